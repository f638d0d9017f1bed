//! The accepted formats, the extensions that fit each, and the Content-Type of every extension.

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

/// The extension of a file name: 1 to 10 of `a-z 0-9`, padded with zeros. Dereferences to text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Extension([u8; Self::MAX_BYTES]);

impl Extension {
    /// Longest extension that is kept, in bytes.
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
        /// A format that can be detected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Format { $($(#[$doc])* $format,)* }

        impl Format {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$format,)*];

            /// Returns the usual extension, and the others that fit.
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
    ThreeGpAudio = "3ga", "m4a";
    Webm = "webm";
    WebmAudio = "weba";
    Avi = "avi";
    Mkv = "mkv";
    MkvAudio = "mka";
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
    /// A password-protected office file, whose application is hidden.
    Encrypted = "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xltx", "xltm", "pptx",
        "pptm", "ppsx", "ppsm", "potx", "potm";
    Rtf = "rtf";
    Text = "txt", "csv", "md", "json", "log", "srt", "vcf", "ics", "lrc", "eml", "sql", "yaml",
        "yml", "tsv";
    // Documents that are zips, regardless of their first entries.
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
    /// Returns whether files of this format may have the extension.
    pub(super) fn fits(self, claimed: &str) -> bool {
        let (usual, others) = self.fitting();
        usual == claimed || others.contains(&claimed)
    }

    /// Returns the `claimed` extension if it fits, else the usual one, with its Content-Type.
    pub(super) fn media(self, claimed: &str) -> Media {
        let (usual, _) = self.fitting();
        Media::from_extension(if self.fits(claimed) { claimed } else { usual })
    }
}

/// Returns every extension in [`TYPES`].
pub(super) fn extensions() -> impl Iterator<Item = Extension> {
    let extensions = TYPES.iter().flat_map(|(_, extensions)| *extensions);
    extensions.filter_map(|text| Extension::parse(text))
}

/// Returns whether files of this extension are audio.
pub(super) fn is_audio(extension: &str) -> bool {
    Media::by_extension(extension).is_some_and(|media| media.kind == Kind::Audio)
}

impl Media {
    /// Returns the [`Media`] of an extension in [`TYPES`], given in lower case and without the dot.
    fn by_extension(extension: &str) -> Option<Self> {
        let parsed = Extension::parse(extension)?;
        let mut types = TYPES.iter();
        let (mime, _) = types.find(|(_, extensions)| extensions.contains(&extension))?;
        let kind = match mime.split_once('/')? {
            ("image", _) => Kind::Image,
            ("video", _) => Kind::Video,
            ("audio", _) => Kind::Audio,
            _ => Kind::Document,
        };
        Some(Self {
            kind,
            mime,
            extension: parsed,
        })
    }

    /// Returns the [`Media`] of an unknown file: the client's extension is kept unless browsers or
    /// [`TYPES`] would give it a type.
    pub(super) fn unknown(claimed: &str) -> Self {
        let is_other = Self::by_extension(claimed).is_none() && !RENDERED.contains(&claimed);
        let claimed = Extension::parse(claimed).filter(|_| is_other);
        Self {
            kind: Kind::File,
            mime: "application/octet-stream",
            extension: claimed.unwrap_or(BIN),
        }
    }

    /// Returns the [`Media`] of a stored key by its extension, given in lower case and without the dot.
    pub fn from_extension(extension: &str) -> Self {
        Self::by_extension(extension).unwrap_or_else(|| Self::unknown(extension))
    }
}

/// Extension of an unknown file.
const BIN: Extension = Extension(*b"bin\0\0\0\0\0\0\0");

/// Extensions that a server or a browser may treat as a page, a style sheet or a script.
const RENDERED: &[&str] = &[
    "asp", "aspx", "atom", "cgi", "cjs", "css", "htc", "htm", "html", "js", "jsp", "mht", "mhtml",
    "mjs", "php", "rdf", "rss", "shtml", "svg", "svgz", "swf", "wasm", "xht", "xhtml", "xml",
    "xsd", "xsl", "xslt",
];

/// Every Content-Type in use, and the extensions of its files.
const TYPES: &[(&str, &[&str])] = &[
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
    ("image/bmp", &["bmp"]),
    ("image/heic", &["heic"]),
    // Canon and Sony cameras write `hif`.
    ("image/heif", &["heif", "hif"]),
    ("image/avif", &["avif"]),
    ("video/mp4", &["mp4"]),
    ("video/x-m4v", &["m4v"]),
    ("video/quicktime", &["mov"]),
    ("video/3gpp", &["3gp"]),
    ("video/webm", &["webm"]),
    ("video/x-msvideo", &["avi"]),
    ("video/x-matroska", &["mkv"]),
    // Audio alone in a video container.
    ("audio/3gpp", &["3ga"]),
    ("audio/webm", &["weba"]),
    ("audio/x-matroska", &["mka"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/mp4", &["m4a"]),
    ("audio/aac", &["aac"]),
    ("audio/amr", &["amr"]),
    ("audio/wav", &["wav"]),
    // Not audio/opus: that is the type of RTP payloads (RFC 7587); a file is audio/ogg (RFC 7845),
    // which is also what browsers report as playable.
    ("audio/ogg", &["ogg", "oga", "opus"]),
    ("audio/flac", &["flac"]),
    ("application/pdf", &["pdf"]),
    ("application/msword", &["doc", "dot"]),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        &["docx"],
    ),
    ("application/vnd.ms-excel", &["xls", "xlt"]),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        &["xlsx"],
    ),
    ("application/vnd.ms-powerpoint", &["ppt", "pps", "pot"]),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        &["pptx"],
    ),
    ("application/wps-office.wps", &["wps"]),
    ("application/wps-office.et", &["et"]),
    ("application/wps-office.dps", &["dps"]),
    (
        "application/vnd.ms-word.document.macroEnabled.12",
        &["docm"],
    ),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
        &["dotx"],
    ),
    (
        "application/vnd.ms-word.template.macroEnabled.12",
        &["dotm"],
    ),
    ("application/vnd.ms-excel.sheet.macroEnabled.12", &["xlsm"]),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.template",
        &["xltx"],
    ),
    (
        "application/vnd.ms-excel.template.macroEnabled.12",
        &["xltm"],
    ),
    (
        "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
        &["pptm"],
    ),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
        &["ppsx"],
    ),
    (
        "application/vnd.ms-powerpoint.slideshow.macroEnabled.12",
        &["ppsm"],
    ),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.template",
        &["potx"],
    ),
    (
        "application/vnd.ms-powerpoint.template.macroEnabled.12",
        &["potm"],
    ),
    ("application/rtf", &["rtf"]),
    ("application/vnd.oasis.opendocument.text", &["odt"]),
    ("application/vnd.oasis.opendocument.spreadsheet", &["ods"]),
    ("application/vnd.oasis.opendocument.presentation", &["odp"]),
    ("application/ofd", &["ofd"]),
    ("application/vnd.xmind.workbook", &["xmind"]),
    ("application/vnd.ms-visio.drawing", &["vsdx"]),
    ("application/vnd.apple.pages", &["pages"]),
    ("application/vnd.apple.numbers", &["numbers"]),
    ("application/vnd.apple.keynote", &["key"]),
    ("application/epub+zip", &["epub"]),
    ("application/vnd.google-earth.kmz", &["kmz"]),
    ("application/zip", &["sketch", "zip"]),
    ("application/gzip", &["gz", "tgz"]),
    ("application/x-tar", &["tar"]),
    ("application/x-xz", &["xz"]),
    ("application/x-bzip2", &["bz2"]),
    ("application/zstd", &["zst"]),
    // To a browser they are text.
    (
        "text/plain",
        &[
            "md", "json", "log", "srt", "vcf", "ics", "lrc", "eml", "sql", "yaml", "yml", "tsv",
            "txt",
        ],
    ),
    ("text/csv", &["csv"]),
    ("application/vnd.rar", &["rar"]),
    ("application/x-7z-compressed", &["7z"]),
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
    fn every_extension_of_the_table_is_used_and_stands_once() {
        let mut before = Vec::new();
        for extension in extensions() {
            let is_used = |format: &Format| format.media(&extension).extension == extension;
            assert!(Format::ALL.iter().any(is_used), "{extension:?}");
            assert!(!before.contains(&extension), "{extension:?}");
            before.push(extension);
        }
    }

    #[test]
    fn only_known_extensions_in_lower_case_have_a_type() {
        for unknown in ["", "PNG", "html", "svg", "png ", ".png"] {
            assert_eq!(Media::by_extension(unknown), None, "{unknown}");
        }
    }
}
