//! The formats we take, the extensions that fit each, and the Content-Type of every extension.

use super::Kind;

/// What a stored file is called and served as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    pub kind: Kind,
    /// The Content-Type, without parameters.
    pub mime: &'static str,
    /// Lower case, without the dot.
    pub extension: &'static str,
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
    Text,
    Zip,
    Rar,
    SevenZip,
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
            Self::Doc => (DOC, &[]),
            Self::Docx => (DOCX, &[]),
            Self::Xls => (XLS, &[]),
            Self::Xlsx => (XLSX, &[]),
            Self::Ppt => (PPT, &[]),
            Self::Pptx => (PPTX, &[]),
            Self::Text => (TXT, &[CSV]),
            Self::Zip => (ZIP, &[]),
            Self::Rar => (RAR, &[]),
            Self::SevenZip => (SEVEN_Z, &[]),
        }
    }

    /// The `claimed` extension when it fits, else the usual one, with its Content-Type.
    pub(super) fn media(self, claimed: &str) -> Media {
        let (usual, others) = self.fitting();
        let claimed = others.iter().find(|media| media.extension == claimed);
        claimed.copied().unwrap_or(usual)
    }
}

/// The [`Media`] of a stored key's extension, given in lower case and without the dot.
pub fn by_extension(extension: &str) -> Option<Media> {
    MEDIA
        .iter()
        .find(|media| media.extension == extension)
        .copied()
}

/// Whether files of this extension are sounds.
pub(super) fn is_audio(extension: &str) -> bool {
    by_extension(extension).is_some_and(|media| media.kind == Kind::Audio)
}

const fn media(kind: Kind, extension: &'static str, mime: &'static str) -> Media {
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
// What the cameras of Canon and Sony call it.
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
const TXT: Media = media(Kind::Document, "txt", "text/plain");
const CSV: Media = media(Kind::Document, "csv", "text/csv");
const ZIP: Media = media(Kind::Document, "zip", "application/zip");
const RAR: Media = media(Kind::Document, "rar", "application/vnd.rar");
const SEVEN_Z: Media = media(Kind::Document, "7z", "application/x-7z-compressed");

/// All of them.
const MEDIA: &[Media] = &[
    JPG, JPEG, PNG, GIF, WEBP, BMP, HEIC, HEIF, HIF, AVIF, MP4, M4V, MOV, THREE_GP, WEBM, AVI, MKV,
    THREE_GA, WEBA, MKA, MP3, M4A, AAC, AMR, WAV, OGG, OGA, OPUS, FLAC, PDF, DOC, DOCX, XLS, XLSX,
    PPT, PPTX, TXT, CSV, ZIP, RAR, SEVEN_Z,
];

#[cfg(test)]
mod tests {
    use super::*;
    use Format::*;

    const EACH: [Format; 37] = [
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
        Text,
        Zip,
        Rar,
        SevenZip,
    ];

    #[test]
    fn every_answer_is_a_function_of_the_extension() {
        for format in EACH {
            let (usual, others) = format.fitting();
            for media in [&[usual], others].concat() {
                assert_eq!(format.media(media.extension), media);
                assert_eq!(by_extension(media.extension), Some(media));
            }
        }
    }

    #[test]
    fn every_row_of_the_table_is_used_and_stands_once() {
        for (index, media) in MEDIA.iter().enumerate() {
            let extension = media.extension;
            let is_used = |format: &Format| format.media(extension) == *media;
            assert!(EACH.iter().any(is_used), "{extension}");
            // It becomes the end of a key as it is.
            assert!(extension.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert!(
                MEDIA[..index]
                    .iter()
                    .all(|other| other.extension != extension),
                "{extension}"
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
