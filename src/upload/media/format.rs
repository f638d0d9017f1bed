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

/// The end of a file's name: 1 to 10 of `a-z 0-9`. Reads as text.
#[derive(Clone, Copy)]
pub struct Extension(Text);

#[derive(Clone, Copy)]
enum Text {
    /// Of the table below.
    Known(&'static str),
    /// The client's, with zeros behind it.
    Claimed([u8; Extension::MAX_BYTES]),
}

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
        (is_plain && !text.is_empty()).then_some(Self(Text::Claimed(bytes)))
    }
}

impl Deref for Extension {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Known(text) => text,
            Text::Claimed(bytes) => str::from_utf8(bytes)
                .unwrap_or_default()
                .trim_end_matches('\0'),
        }
    }
}

impl PartialEq for Extension {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Extension {}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A format that the bytes can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    Gif,
    Webp,
    Bmp,
    Heic,
    Heif,
    Avif,
    Mp4,
    M4v,
    Mov,
    ThreeGp,
    ThreeGpSound,
    Webm,
    WebmSound,
    Avi,
    Mkv,
    MkvSound,
    Mp3,
    M4a,
    Aac,
    Amr,
    Wav,
    Ogg,
    Opus,
    Flac,
    Pdf,
    Doc,
    Docx,
    Xls,
    Xlsx,
    Ppt,
    Pptx,
    /// A password-protected office file, which hides which one it is.
    Encrypted,
    Rtf,
    Text,
    Zip,
    Rar,
    SevenZip,
    Gzip,
    Tar,
    Xz,
    Bzip2,
    Zstandard,
}

impl Format {
    /// The usual extension, and the others that fit.
    const fn fitting(self) -> (Media, &'static [Media]) {
        match self {
            Self::Jpeg => (JPG, &[JPEG]),
            Self::Png => (PNG, &[]),
            Self::Gif => (GIF, &[]),
            Self::Webp => (WEBP, &[]),
            Self::Bmp => (BMP, &[]),
            Self::Heic => (HEIC, &[HEIF, HIF]),
            Self::Heif => (HEIF, &[HIF]),
            Self::Avif => (AVIF, &[]),
            Self::Mp4 => (MP4, &[M4V, THREE_GP]),
            Self::M4v => (M4V, &[MP4]),
            Self::Mov => (MOV, &[]),
            Self::ThreeGp => (THREE_GP, &[MP4]),
            Self::ThreeGpSound => (THREE_GA, &[M4A]),
            Self::Webm => (WEBM, &[]),
            Self::WebmSound => (WEBA, &[]),
            Self::Avi => (AVI, &[]),
            Self::Mkv => (MKV, &[]),
            Self::MkvSound => (MKA, &[]),
            Self::Mp3 => (MP3, &[]),
            Self::M4a => (M4A, &[]),
            Self::Aac => (AAC, &[]),
            Self::Amr => (AMR, &[]),
            Self::Wav => (WAV, &[]),
            Self::Ogg => (OGG, &[OGA]),
            // RFC 7845 section 9 recommends `.opus`; messengers write `.ogg`.
            Self::Opus => (OPUS, &[OGG, OGA]),
            Self::Flac => (FLAC, &[]),
            Self::Pdf => (PDF, &[]),
            Self::Doc => (DOC, &[DOT, WPS]),
            Self::Docx => (DOCX, &[DOCM, DOTX, DOTM]),
            Self::Xls => (XLS, &[XLT, ET]),
            Self::Xlsx => (XLSX, &[XLSM, XLTX, XLTM]),
            Self::Ppt => (PPT, &[PPS, POT, DPS]),
            Self::Pptx => (PPTX, &[PPTM, PPSX, PPSM, POTX, POTM]),
            Self::Encrypted => (DOCX, OFFICE),
            Self::Rtf => (RTF, &[]),
            Self::Text => (TXT, TEXTS),
            Self::Zip => (ZIP, ZIPPED),
            Self::Rar => (RAR, &[]),
            Self::SevenZip => (SEVEN_Z, &[]),
            Self::Gzip => (GZ, &[TGZ]),
            Self::Tar => (TAR, &[]),
            Self::Xz => (XZ, &[]),
            Self::Bzip2 => (BZ2, &[]),
            Self::Zstandard => (ZST, &[]),
        }
    }

    /// Whether files of this format may have the extension.
    pub(super) fn fits(self, claimed: &str) -> bool {
        &*self.media(claimed).extension == claimed
    }

    /// The `claimed` extension when it fits, else the usual one, with its Content-Type.
    pub(super) fn media(self, claimed: &str) -> Media {
        let (usual, others) = self.fitting();
        let claimed = others.iter().find(|media| &*media.extension == claimed);
        claimed.copied().unwrap_or(usual)
    }
}

/// The [`Media`] of a stored key's extension, given in lower case and without the dot.
pub(super) fn by_extension(extension: &str) -> Option<Media> {
    MEDIA
        .iter()
        .find(|media| &*media.extension == extension)
        .copied()
}

/// Every extension of our own table.
pub(super) fn extensions() -> impl Iterator<Item = Extension> {
    MEDIA.iter().map(|media| media.extension)
}

impl Media {
    /// A file that nothing is known of, under the client's extension unless that would give it a type
    /// in a browser or in our own table.
    pub(super) fn unknown(claimed: &str) -> Self {
        let is_other = by_extension(claimed).is_none() && !RENDERED.contains(&claimed);
        let claimed = Extension::parse(claimed).filter(|_| is_other);
        Self {
            extension: claimed.unwrap_or(BIN.extension),
            ..BIN
        }
    }

    /// How a stored key of this extension is served: in lower case, without the dot.
    pub fn of_stored(extension: &str) -> Self {
        by_extension(extension).unwrap_or_else(|| Self::unknown(extension))
    }
}

const BIN: Media = media(Kind::File, "bin", "application/octet-stream");

/// Extensions by which a server or a browser may take a file for a page, a style or a script.
const RENDERED: &[&str] = &[
    "asp", "aspx", "atom", "cgi", "cjs", "css", "htc", "htm", "html", "js", "jsp", "mht", "mhtml",
    "mjs", "php", "rdf", "rss", "shtml", "svg", "svgz", "swf", "wasm", "xht", "xhtml", "xml",
    "xsd", "xsl", "xslt",
];

/// Whether files of this extension are sounds.
pub(super) fn is_audio(extension: &str) -> bool {
    by_extension(extension).is_some_and(|media| media.kind == Kind::Audio)
}

const fn media(kind: Kind, extension: &'static str, mime: &'static str) -> Media {
    let extension = Extension(Text::Known(extension));
    Media {
        kind,
        mime,
        extension,
    }
}

const JPG: Media = media(Kind::Image, "jpg", "image/jpeg");
const JPEG: Media = media(Kind::Image, "jpeg", "image/jpeg");
const PNG: Media = media(Kind::Image, "png", "image/png");
const GIF: Media = media(Kind::Image, "gif", "image/gif");
const WEBP: Media = media(Kind::Image, "webp", "image/webp");
const BMP: Media = media(Kind::Image, "bmp", "image/bmp");
const HEIC: Media = media(Kind::Image, "heic", "image/heic");
const HEIF: Media = media(Kind::Image, "heif", "image/heif");
// The extension that cameras of Canon and Sony write.
const HIF: Media = media(Kind::Image, "hif", "image/heif");
const AVIF: Media = media(Kind::Image, "avif", "image/avif");
const MP4: Media = media(Kind::Video, "mp4", "video/mp4");
const M4V: Media = media(Kind::Video, "m4v", "video/x-m4v");
const MOV: Media = media(Kind::Video, "mov", "video/quicktime");
const THREE_GP: Media = media(Kind::Video, "3gp", "video/3gpp");
const WEBM: Media = media(Kind::Video, "webm", "video/webm");
const AVI: Media = media(Kind::Video, "avi", "video/x-msvideo");
const MKV: Media = media(Kind::Video, "mkv", "video/x-matroska");
// Sound alone in a film's container.
const THREE_GA: Media = media(Kind::Audio, "3ga", "audio/3gpp");
const WEBA: Media = media(Kind::Audio, "weba", "audio/webm");
const MKA: Media = media(Kind::Audio, "mka", "audio/x-matroska");
const MP3: Media = media(Kind::Audio, "mp3", "audio/mpeg");
const M4A: Media = media(Kind::Audio, "m4a", "audio/mp4");
const AAC: Media = media(Kind::Audio, "aac", "audio/aac");
const AMR: Media = media(Kind::Audio, "amr", "audio/amr");
const WAV: Media = media(Kind::Audio, "wav", "audio/wav");
const OGG: Media = media(Kind::Audio, "ogg", "audio/ogg");
const OGA: Media = media(Kind::Audio, "oga", "audio/ogg");
// Not audio/opus: that is the type of RTP payloads (RFC 7587); a file is audio/ogg (RFC 7845),
// which is also what browsers say they can play.
const OPUS: Media = media(Kind::Audio, "opus", "audio/ogg");
const FLAC: Media = media(Kind::Audio, "flac", "audio/flac");
const PDF: Media = media(Kind::Document, "pdf", "application/pdf");
const DOC: Media = media(Kind::Document, "doc", "application/msword");
const DOCX: Media = media(
    Kind::Document,
    "docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
);
const XLS: Media = media(Kind::Document, "xls", "application/vnd.ms-excel");
const XLSX: Media = media(
    Kind::Document,
    "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
);
const PPT: Media = media(Kind::Document, "ppt", "application/vnd.ms-powerpoint");
const PPTX: Media = media(
    Kind::Document,
    "pptx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
);
const DOT: Media = media(Kind::Document, "dot", "application/msword");
const WPS: Media = media(Kind::Document, "wps", "application/wps-office.wps");
const XLT: Media = media(Kind::Document, "xlt", "application/vnd.ms-excel");
const ET: Media = media(Kind::Document, "et", "application/wps-office.et");
const PPS: Media = media(Kind::Document, "pps", "application/vnd.ms-powerpoint");
const POT: Media = media(Kind::Document, "pot", "application/vnd.ms-powerpoint");
const DPS: Media = media(Kind::Document, "dps", "application/wps-office.dps");
const DOCM: Media = media(
    Kind::Document,
    "docm",
    "application/vnd.ms-word.document.macroEnabled.12",
);
const DOTX: Media = media(
    Kind::Document,
    "dotx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
);
const DOTM: Media = media(
    Kind::Document,
    "dotm",
    "application/vnd.ms-word.template.macroEnabled.12",
);
const XLSM: Media = media(
    Kind::Document,
    "xlsm",
    "application/vnd.ms-excel.sheet.macroEnabled.12",
);
const XLTX: Media = media(
    Kind::Document,
    "xltx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template",
);
const XLTM: Media = media(
    Kind::Document,
    "xltm",
    "application/vnd.ms-excel.template.macroEnabled.12",
);
const PPTM: Media = media(
    Kind::Document,
    "pptm",
    "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
);
const PPSX: Media = media(
    Kind::Document,
    "ppsx",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
);
const PPSM: Media = media(
    Kind::Document,
    "ppsm",
    "application/vnd.ms-powerpoint.slideshow.macroEnabled.12",
);
const POTX: Media = media(
    Kind::Document,
    "potx",
    "application/vnd.openxmlformats-officedocument.presentationml.template",
);
const POTM: Media = media(
    Kind::Document,
    "potm",
    "application/vnd.ms-powerpoint.template.macroEnabled.12",
);
const RTF: Media = media(Kind::Document, "rtf", "application/rtf");
const ODT: Media = media(
    Kind::Document,
    "odt",
    "application/vnd.oasis.opendocument.text",
);
const ODS: Media = media(
    Kind::Document,
    "ods",
    "application/vnd.oasis.opendocument.spreadsheet",
);
const ODP: Media = media(
    Kind::Document,
    "odp",
    "application/vnd.oasis.opendocument.presentation",
);
const OFD: Media = media(Kind::Document, "ofd", "application/ofd");
const XMIND: Media = media(Kind::Document, "xmind", "application/vnd.xmind.workbook");
const VSDX: Media = media(Kind::Document, "vsdx", "application/vnd.ms-visio.drawing");
const PAGES: Media = media(Kind::Document, "pages", "application/vnd.apple.pages");
const NUMBERS: Media = media(Kind::Document, "numbers", "application/vnd.apple.numbers");
const KEY: Media = media(Kind::Document, "key", "application/vnd.apple.keynote");
const EPUB: Media = media(Kind::Document, "epub", "application/epub+zip");
const KMZ: Media = media(Kind::Document, "kmz", "application/vnd.google-earth.kmz");
const SKETCH: Media = media(Kind::Document, "sketch", "application/zip");
const GZ: Media = media(Kind::Document, "gz", "application/gzip");
const TGZ: Media = media(Kind::Document, "tgz", "application/gzip");
const TAR: Media = media(Kind::Document, "tar", "application/x-tar");
const XZ: Media = media(Kind::Document, "xz", "application/x-xz");
const BZ2: Media = media(Kind::Document, "bz2", "application/x-bzip2");
const ZST: Media = media(Kind::Document, "zst", "application/zstd");
// Served as what they are to a browser: text, whatever they are to another program.
const MD: Media = media(Kind::Document, "md", "text/plain");
const JSON: Media = media(Kind::Document, "json", "text/plain");
const LOG: Media = media(Kind::Document, "log", "text/plain");
const SRT: Media = media(Kind::Document, "srt", "text/plain");
const VCF: Media = media(Kind::Document, "vcf", "text/plain");
const ICS: Media = media(Kind::Document, "ics", "text/plain");
const LRC: Media = media(Kind::Document, "lrc", "text/plain");
const EML: Media = media(Kind::Document, "eml", "text/plain");
const SQL: Media = media(Kind::Document, "sql", "text/plain");
const YAML: Media = media(Kind::Document, "yaml", "text/plain");
const YML: Media = media(Kind::Document, "yml", "text/plain");
const TSV: Media = media(Kind::Document, "tsv", "text/plain");
const TXT: Media = media(Kind::Document, "txt", "text/plain");
const CSV: Media = media(Kind::Document, "csv", "text/csv");
const ZIP: Media = media(Kind::Document, "zip", "application/zip");
const RAR: Media = media(Kind::Document, "rar", "application/vnd.rar");
const SEVEN_Z: Media = media(Kind::Document, "7z", "application/x-7z-compressed");

/// Extensions of texts, beside the usual one.
const TEXTS: &[Media] = &[
    CSV, MD, JSON, LOG, SRT, VCF, ICS, LRC, EML, SQL, YAML, YML, TSV,
];
/// Office files that are zips.
const OFFICE: &[Media] = &[
    DOCX, DOCM, DOTX, DOTM, XLSX, XLSM, XLTX, XLTM, PPTX, PPTM, PPSX, PPSM, POTX, POTM,
];
/// Documents that are zips, whatever their first entries are.
const ZIPPED: &[Media] = &[
    ODT, ODS, ODP, OFD, XMIND, VSDX, PAGES, NUMBERS, KEY, EPUB, KMZ, SKETCH,
];

/// All of them.
const MEDIA: &[Media] = &[
    JPG, JPEG, PNG, GIF, WEBP, BMP, HEIC, HEIF, HIF, AVIF, MP4, M4V, MOV, THREE_GP, WEBM, AVI, MKV,
    THREE_GA, WEBA, MKA, MP3, M4A, AAC, AMR, WAV, OGG, OGA, OPUS, FLAC, PDF, DOC, DOCX, XLS, XLSX,
    PPT, PPTX, DOT, WPS, XLT, ET, PPS, POT, DPS, DOCM, DOTX, DOTM, XLSM, XLTX, XLTM, PPTM, PPSX,
    PPSM, POTX, POTM, RTF, ODT, ODS, ODP, OFD, XMIND, VSDX, PAGES, NUMBERS, KEY, EPUB, KMZ, SKETCH,
    GZ, TGZ, TAR, XZ, BZ2, ZST, MD, JSON, LOG, SRT, VCF, ICS, LRC, EML, SQL, YAML, YML, TSV, TXT,
    CSV, ZIP, RAR, SEVEN_Z,
];

#[cfg(test)]
mod tests {
    use super::*;
    use Format::*;

    const EACH: [Format; 44] = [
        Jpeg,
        Png,
        Gif,
        Webp,
        Bmp,
        Heic,
        Heif,
        Avif,
        Mp4,
        M4v,
        Mov,
        ThreeGp,
        ThreeGpSound,
        Webm,
        WebmSound,
        Avi,
        Mkv,
        MkvSound,
        Mp3,
        M4a,
        Aac,
        Amr,
        Wav,
        Ogg,
        Opus,
        Flac,
        Pdf,
        Doc,
        Docx,
        Xls,
        Xlsx,
        Ppt,
        Pptx,
        Encrypted,
        Rtf,
        Text,
        Zip,
        Rar,
        SevenZip,
        Gzip,
        Tar,
        Xz,
        Bzip2,
        Zstandard,
    ];

    #[test]
    fn every_answer_is_a_function_of_the_extension() {
        for format in EACH {
            let (usual, others) = format.fitting();
            for media in [&[usual], others].concat() {
                assert_eq!(format.media(&media.extension), media);
                assert_eq!(by_extension(&media.extension), Some(media));
            }
        }
    }

    #[test]
    fn every_row_of_the_table_is_used_and_stands_once() {
        for (index, media) in MEDIA.iter().enumerate() {
            let extension = media.extension;
            let is_used = |format: &Format| format.media(&extension) == *media;
            assert!(EACH.iter().any(is_used), "{extension:?}");
            assert!(
                MEDIA[..index]
                    .iter()
                    .all(|other| other.extension != extension),
                "{extension:?}"
            );
        }
    }

    #[test]
    fn only_known_extensions_in_lower_case_have_a_type() {
        for unknown in ["", "PNG", "html", "svg", "png ", ".png"] {
            assert_eq!(by_extension(unknown), None, "{unknown}");
        }
    }
}
