//! The formats we take, the extensions that fit each, and the Content-Type of every extension.

use std::{fmt, ops::Deref};

use super::Kind;

/// The type of a stored file: its kind, extension and Content-Type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    pub kind: Kind,
    /// The Content-Type, without parameters.
    pub mime: &'static str,
    /// Lower case, without the dot.
    pub extension: Extension,
}

/// The end of a file's name: 1 to 10 of `a-z 0-9`, with zeros behind it. Reads as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Extension([u8; Self::MAX_BYTES]);

impl Extension {
    /// Longest of the extensions that are kept.
    pub(super) const MAX_BYTES: usize = 10;

    /// `None` for any other text.
    fn parse(text: &str) -> Option<Self> {
        let is_plain = text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
        let mut bytes = [0; Self::MAX_BYTES];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        (is_plain && !text.is_empty()).then_some(Self(bytes))
    }
}

impl Deref for Extension {
    type Target = str;

    fn deref(&self) -> &str {
        let text = str::from_utf8(&self.0).unwrap_or_default();
        text.trim_end_matches('\0')
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

macro_rules! formats {
    ($($(#[$doc:meta])* $format:ident = $usual:literal $(, $other:literal)*;)*) => {
        /// A format that the bytes can show.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Format { $($(#[$doc])* $format,)* }

        impl Format {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$format,)*];

            /// The usual extension, and the others that fit.
            const fn fitting(self) -> (&'static str, &'static [&'static str]) {
                match self { $(Self::$format => ($usual, &[$($other,)*]),)* }
            }
        }
    };
}

formats! {
    Jpeg = "jpg", "jpeg";
    Png = "png";
    Gif = "gif";
    Webp = "webp";
    Bmp = "bmp";
    Heic = "heic", "heif", "hif";
    Heif = "heif", "hif";
    Avif = "avif";
    Mp4 = "mp4", "m4v", "3gp";
    M4v = "m4v", "mp4";
    Mov = "mov";
    ThreeGp = "3gp", "mp4";
    ThreeGpSound = "3ga", "m4a";
    Webm = "webm";
    WebmSound = "weba";
    Avi = "avi";
    Mkv = "mkv";
    MkvSound = "mka";
    Mp3 = "mp3";
    M4a = "m4a";
    Aac = "aac";
    Amr = "amr";
    Wav = "wav";
    Ogg = "ogg", "oga";
    // RFC 7845 section 9 recommends `.opus`; messengers write `.ogg`.
    Opus = "opus", "ogg", "oga";
    Flac = "flac";
    Pdf = "pdf";
    Doc = "doc", "dot", "wps";
    Docx = "docx", "docm", "dotx", "dotm";
    Xls = "xls", "xlt", "et";
    Xlsx = "xlsx", "xlsm", "xltx", "xltm";
    Ppt = "ppt", "pps", "pot", "dps";
    Pptx = "pptx", "pptm", "ppsx", "ppsm", "potx", "potm";
    /// A password-protected office file, which hides which one it is.
    Encrypted = "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xltx", "xltm", "pptx",
        "pptm", "ppsx", "ppsm", "potx", "potm";
    Rtf = "rtf";
    Text = "txt", "csv", "md", "json", "log", "srt", "vcf", "ics", "lrc", "eml", "sql", "yaml",
        "yml", "tsv";
    // Documents that are zips, whatever their first entries are.
    Zip = "zip", "odt", "ods", "odp", "ofd", "xmind", "vsdx", "pages", "numbers", "key", "epub",
        "kmz", "sketch";
    Rar = "rar";
    SevenZip = "7z";
    Gzip = "gz", "tgz";
    Tar = "tar";
    Xz = "xz";
    Bzip2 = "bz2";
    Zstandard = "zst";
}

impl Format {
    /// Whether files of this format may have the extension.
    pub(super) fn fits(self, claimed: &str) -> bool {
        let (usual, others) = self.fitting();
        usual == claimed || others.contains(&claimed)
    }

    /// The `claimed` extension when it fits, else the usual one, with its Content-Type.
    pub(super) fn media(self, claimed: &str) -> Media {
        let (usual, _) = self.fitting();
        Media::of_stored(if self.fits(claimed) { claimed } else { usual })
    }
}

/// Every extension of our own table.
pub(super) fn extensions() -> impl Iterator<Item = Extension> {
    MEDIA.iter().map(|media| media.extension)
}

/// Whether files of this extension are sounds.
pub(super) fn is_audio(extension: &str) -> bool {
    Media::by_extension(extension).is_some_and(|media| media.kind == Kind::Audio)
}

impl Media {
    /// The [`Media`] of a stored key's extension, given in lower case and without the dot.
    fn by_extension(extension: &str) -> Option<Self> {
        let wanted = Extension::parse(extension)?;
        let mut all = MEDIA.iter();
        all.find(|media| media.extension == wanted).copied()
    }

    /// A file that nothing is known of, under the client's extension unless that would give it a type
    /// in a browser or in our own table.
    pub(super) fn unknown(claimed: &str) -> Self {
        let is_other = Self::by_extension(claimed).is_none() && !RENDERED.contains(&claimed);
        let claimed = Extension::parse(claimed).filter(|_| is_other);
        Self {
            extension: claimed.unwrap_or(BIN.extension),
            ..BIN
        }
    }

    /// How a stored key of this extension is served: in lower case, without the dot.
    pub fn of_stored(extension: &str) -> Self {
        Self::by_extension(extension).unwrap_or_else(|| Self::unknown(extension))
    }
}

const BIN: Media = media(Kind::File, "bin", "application/octet-stream");

/// Extensions by which a server or a browser may take a file for a page, a style or a script.
const RENDERED: &[&str] = &[
    "asp", "aspx", "atom", "cgi", "cjs", "css", "htc", "htm", "html", "js", "jsp", "mht", "mhtml",
    "mjs", "php", "rdf", "rss", "shtml", "svg", "svgz", "swf", "wasm", "xht", "xhtml", "xml",
    "xsd", "xsl", "xslt",
];

const fn media(kind: Kind, extension: &str, mime: &'static str) -> Media {
    let mut bytes = [0; Extension::MAX_BYTES];
    let (start, _) = bytes.split_at_mut(extension.len());
    start.copy_from_slice(extension.as_bytes());
    Media {
        kind,
        mime,
        extension: Extension(bytes),
    }
}

/// Every extension of our own, and its Content-Type.
const MEDIA: &[Media] = &[
    media(Kind::Image, "jpg", "image/jpeg"),
    media(Kind::Image, "jpeg", "image/jpeg"),
    media(Kind::Image, "png", "image/png"),
    media(Kind::Image, "gif", "image/gif"),
    media(Kind::Image, "webp", "image/webp"),
    media(Kind::Image, "bmp", "image/bmp"),
    media(Kind::Image, "heic", "image/heic"),
    media(Kind::Image, "heif", "image/heif"),
    // The extension that cameras of Canon and Sony write.
    media(Kind::Image, "hif", "image/heif"),
    media(Kind::Image, "avif", "image/avif"),
    media(Kind::Video, "mp4", "video/mp4"),
    media(Kind::Video, "m4v", "video/x-m4v"),
    media(Kind::Video, "mov", "video/quicktime"),
    media(Kind::Video, "3gp", "video/3gpp"),
    media(Kind::Video, "webm", "video/webm"),
    media(Kind::Video, "avi", "video/x-msvideo"),
    media(Kind::Video, "mkv", "video/x-matroska"),
    // Sound alone in a film's container.
    media(Kind::Audio, "3ga", "audio/3gpp"),
    media(Kind::Audio, "weba", "audio/webm"),
    media(Kind::Audio, "mka", "audio/x-matroska"),
    media(Kind::Audio, "mp3", "audio/mpeg"),
    media(Kind::Audio, "m4a", "audio/mp4"),
    media(Kind::Audio, "aac", "audio/aac"),
    media(Kind::Audio, "amr", "audio/amr"),
    media(Kind::Audio, "wav", "audio/wav"),
    media(Kind::Audio, "ogg", "audio/ogg"),
    media(Kind::Audio, "oga", "audio/ogg"),
    // Not audio/opus: that is the type of RTP payloads (RFC 7587); a file is audio/ogg (RFC 7845),
    // which is also what browsers say they can play.
    media(Kind::Audio, "opus", "audio/ogg"),
    media(Kind::Audio, "flac", "audio/flac"),
    media(Kind::Document, "pdf", "application/pdf"),
    media(Kind::Document, "doc", "application/msword"),
    media(
        Kind::Document,
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    media(Kind::Document, "xls", "application/vnd.ms-excel"),
    media(
        Kind::Document,
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    media(Kind::Document, "ppt", "application/vnd.ms-powerpoint"),
    media(
        Kind::Document,
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    media(Kind::Document, "dot", "application/msword"),
    media(Kind::Document, "wps", "application/wps-office.wps"),
    media(Kind::Document, "xlt", "application/vnd.ms-excel"),
    media(Kind::Document, "et", "application/wps-office.et"),
    media(Kind::Document, "pps", "application/vnd.ms-powerpoint"),
    media(Kind::Document, "pot", "application/vnd.ms-powerpoint"),
    media(Kind::Document, "dps", "application/wps-office.dps"),
    media(
        Kind::Document,
        "docm",
        "application/vnd.ms-word.document.macroEnabled.12",
    ),
    media(
        Kind::Document,
        "dotx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
    ),
    media(
        Kind::Document,
        "dotm",
        "application/vnd.ms-word.template.macroEnabled.12",
    ),
    media(
        Kind::Document,
        "xlsm",
        "application/vnd.ms-excel.sheet.macroEnabled.12",
    ),
    media(
        Kind::Document,
        "xltx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.template",
    ),
    media(
        Kind::Document,
        "xltm",
        "application/vnd.ms-excel.template.macroEnabled.12",
    ),
    media(
        Kind::Document,
        "pptm",
        "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
    ),
    media(
        Kind::Document,
        "ppsx",
        "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
    ),
    media(
        Kind::Document,
        "ppsm",
        "application/vnd.ms-powerpoint.slideshow.macroEnabled.12",
    ),
    media(
        Kind::Document,
        "potx",
        "application/vnd.openxmlformats-officedocument.presentationml.template",
    ),
    media(
        Kind::Document,
        "potm",
        "application/vnd.ms-powerpoint.template.macroEnabled.12",
    ),
    media(Kind::Document, "rtf", "application/rtf"),
    media(
        Kind::Document,
        "odt",
        "application/vnd.oasis.opendocument.text",
    ),
    media(
        Kind::Document,
        "ods",
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
    media(
        Kind::Document,
        "odp",
        "application/vnd.oasis.opendocument.presentation",
    ),
    media(Kind::Document, "ofd", "application/ofd"),
    media(Kind::Document, "xmind", "application/vnd.xmind.workbook"),
    media(Kind::Document, "vsdx", "application/vnd.ms-visio.drawing"),
    media(Kind::Document, "pages", "application/vnd.apple.pages"),
    media(Kind::Document, "numbers", "application/vnd.apple.numbers"),
    media(Kind::Document, "key", "application/vnd.apple.keynote"),
    media(Kind::Document, "epub", "application/epub+zip"),
    media(Kind::Document, "kmz", "application/vnd.google-earth.kmz"),
    media(Kind::Document, "sketch", "application/zip"),
    media(Kind::Document, "gz", "application/gzip"),
    media(Kind::Document, "tgz", "application/gzip"),
    media(Kind::Document, "tar", "application/x-tar"),
    media(Kind::Document, "xz", "application/x-xz"),
    media(Kind::Document, "bz2", "application/x-bzip2"),
    media(Kind::Document, "zst", "application/zstd"),
    // Served as what they are to a browser: text, whatever they are to another program.
    media(Kind::Document, "md", "text/plain"),
    media(Kind::Document, "json", "text/plain"),
    media(Kind::Document, "log", "text/plain"),
    media(Kind::Document, "srt", "text/plain"),
    media(Kind::Document, "vcf", "text/plain"),
    media(Kind::Document, "ics", "text/plain"),
    media(Kind::Document, "lrc", "text/plain"),
    media(Kind::Document, "eml", "text/plain"),
    media(Kind::Document, "sql", "text/plain"),
    media(Kind::Document, "yaml", "text/plain"),
    media(Kind::Document, "yml", "text/plain"),
    media(Kind::Document, "tsv", "text/plain"),
    media(Kind::Document, "txt", "text/plain"),
    media(Kind::Document, "csv", "text/csv"),
    media(Kind::Document, "zip", "application/zip"),
    media(Kind::Document, "rar", "application/vnd.rar"),
    media(Kind::Document, "7z", "application/x-7z-compressed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_a_function_of_the_extension() {
        for format in Format::ALL {
            let (usual, others) = format.fitting();
            for extension in [&[usual], others].concat() {
                let media = Media::by_extension(extension).expect("a Content-Type");
                assert_eq!(&*media.extension, extension);
                assert_eq!(format.media(extension), media);
            }
        }
    }

    #[test]
    fn every_row_of_the_table_is_used_and_stands_once() {
        for (index, media) in MEDIA.iter().enumerate() {
            let is_used = |format: &Format| format.media(&media.extension) == *media;
            assert!(Format::ALL.iter().any(is_used), "{media:?}");
            let mut before = MEDIA[..index].iter();
            assert!(
                before.all(|other| other.extension != media.extension),
                "{media:?}"
            );
        }
    }

    #[test]
    fn only_known_extensions_in_lower_case_have_a_type() {
        for unknown in ["", "PNG", "html", "svg", "png ", ".png"] {
            assert_eq!(Media::by_extension(unknown), None, "{unknown}");
        }
    }
}
