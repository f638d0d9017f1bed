//! The formats we take, the extensions that fit each, and the Content-Type of every extension.

use std::{collections::BTreeSet, fmt, ops::Deref};

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
    let fitting = Format::ALL.iter().map(|format| format.fitting());
    let all = fitting.flat_map(|(usual, others)| [&[usual], others].concat());
    all.collect::<BTreeSet<_>>()
        .into_iter()
        .filter_map(Extension::parse)
}

/// Whether files of this extension are sounds.
pub(super) fn is_audio(extension: &str) -> bool {
    mime(extension).is_some_and(|mime| kind(mime) == Kind::Audio)
}

impl Media {
    /// The [`Media`] of a stored key's extension, given in lower case and without the dot.
    fn by_extension(extension: &str) -> Option<Self> {
        let mime = mime(extension)?;
        let extension = Extension::parse(extension)?;
        Some(Self {
            kind: kind(mime),
            mime,
            extension,
        })
    }

    /// A file that nothing is known of, under the client's extension unless that would give it a type
    /// in a browser or in our own table.
    pub(super) fn unknown(claimed: &str) -> Self {
        let is_other = mime(claimed).is_none() && !RENDERED.contains(&claimed);
        let claimed = Extension::parse(claimed).filter(|_| is_other);
        Self {
            kind: Kind::File,
            mime: "application/octet-stream",
            extension: claimed.unwrap_or(Extension(*b"bin\0\0\0\0\0\0\0")),
        }
    }

    /// How a stored key of this extension is served: in lower case, without the dot.
    pub fn of_stored(extension: &str) -> Self {
        Self::by_extension(extension).unwrap_or_else(|| Self::unknown(extension))
    }
}

/// Extensions by which a server or a browser may take a file for a page, a style or a script.
const RENDERED: &[&str] = &[
    "asp", "aspx", "atom", "cgi", "cjs", "css", "htc", "htm", "html", "js", "jsp", "mht", "mhtml",
    "mjs", "php", "rdf", "rss", "shtml", "svg", "svgz", "swf", "wasm", "xht", "xhtml", "xml",
    "xsd", "xsl", "xslt",
];

/// The kind of an accepted file of this Content-Type.
fn kind(mime: &str) -> Kind {
    match mime.split_once('/') {
        Some(("image", _)) => Kind::Image,
        Some(("video", _)) => Kind::Video,
        Some(("audio", _)) => Kind::Audio,
        _ => Kind::Document,
    }
}

/// The Content-Type of an extension.
fn mime(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "bmp" => "image/bmp",
        "heic" => "image/heic",
        // The latter is what cameras of Canon and Sony write.
        "heif" | "hif" => "image/heif",
        "avif" => "image/avif",
        "mp4" => "video/mp4",
        "m4v" => "video/x-m4v",
        "mov" => "video/quicktime",
        "3gp" => "video/3gpp",
        "webm" => "video/webm",
        "avi" => "video/x-msvideo",
        "mkv" => "video/x-matroska",
        // Sound alone in a film's container.
        "3ga" => "audio/3gpp",
        "weba" => "audio/webm",
        "mka" => "audio/x-matroska",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "amr" => "audio/amr",
        "wav" => "audio/wav",
        // Opus is not audio/opus: that is the type of RTP payloads (RFC 7587); a file is audio/ogg
        // (RFC 7845), which is also what browsers say they can play.
        "ogg" | "oga" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "pdf" => "application/pdf",
        "doc" | "dot" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" | "xlt" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "ppt" | "pps" | "pot" => "application/vnd.ms-powerpoint",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "wps" => "application/wps-office.wps",
        "et" => "application/wps-office.et",
        "dps" => "application/wps-office.dps",
        "docm" => "application/vnd.ms-word.document.macroEnabled.12",
        "dotx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
        "dotm" => "application/vnd.ms-word.template.macroEnabled.12",
        "xlsm" => "application/vnd.ms-excel.sheet.macroEnabled.12",
        "xltx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.template",
        "xltm" => "application/vnd.ms-excel.template.macroEnabled.12",
        "pptm" => "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
        "ppsx" => "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
        "ppsm" => "application/vnd.ms-powerpoint.slideshow.macroEnabled.12",
        "potx" => "application/vnd.openxmlformats-officedocument.presentationml.template",
        "potm" => "application/vnd.ms-powerpoint.template.macroEnabled.12",
        "rtf" => "application/rtf",
        "odt" => "application/vnd.oasis.opendocument.text",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        "odp" => "application/vnd.oasis.opendocument.presentation",
        "ofd" => "application/ofd",
        "xmind" => "application/vnd.xmind.workbook",
        "vsdx" => "application/vnd.ms-visio.drawing",
        "pages" => "application/vnd.apple.pages",
        "numbers" => "application/vnd.apple.numbers",
        "key" => "application/vnd.apple.keynote",
        "epub" => "application/epub+zip",
        "kmz" => "application/vnd.google-earth.kmz",
        "sketch" | "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        "tar" => "application/x-tar",
        "xz" => "application/x-xz",
        "bz2" => "application/x-bzip2",
        "zst" => "application/zstd",
        // Served as what they are to a browser: text, whatever they are to another program.
        "md" | "json" | "log" | "srt" | "vcf" | "ics" | "lrc" | "eml" | "sql" | "yaml" | "yml"
        | "tsv" | "txt" => "text/plain",
        "csv" => "text/csv",
        "rar" => "application/vnd.rar",
        "7z" => "application/x-7z-compressed",
        _ => return None,
    })
}

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
    fn only_known_extensions_in_lower_case_have_a_type() {
        for unknown in ["", "PNG", "html", "svg", "png ", ".png"] {
            assert_eq!(Media::by_extension(unknown), None, "{unknown}");
        }
    }
}
