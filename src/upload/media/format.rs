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
    Webm,
    Avi,
    Mkv,
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
    /// The extensions that fit; the first is the usual one.
    pub(super) const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Png => &["png"],
            Self::Gif => &["gif"],
            Self::Webp => &["webp"],
            Self::Bmp => &["bmp"],
            Self::Heic => &["heic", "heif"],
            Self::Heif => &["heif"],
            Self::Avif => &["avif"],
            Self::Mp4 => &["mp4", "m4v", "3gp"],
            Self::M4v => &["m4v", "mp4"],
            Self::Mov => &["mov"],
            Self::ThreeGp => &["3gp", "mp4"],
            Self::Webm => &["webm"],
            Self::Avi => &["avi"],
            Self::Mkv => &["mkv"],
            Self::Mp3 => &["mp3"],
            Self::M4a => &["m4a"],
            Self::Aac => &["aac"],
            Self::Amr => &["amr"],
            Self::Wav => &["wav"],
            Self::Ogg => &["ogg", "oga"],
            // RFC 7845 section 9 recommends `.opus`; messengers write `.ogg`.
            Self::Opus => &["opus", "ogg", "oga"],
            Self::Flac => &["flac"],
            Self::Pdf => &["pdf"],
            Self::Doc => &["doc"],
            Self::Docx => &["docx"],
            Self::Xls => &["xls"],
            Self::Xlsx => &["xlsx"],
            Self::Ppt => &["ppt"],
            Self::Pptx => &["pptx"],
            Self::Text => &["txt", "csv"],
            Self::Zip => &["zip"],
            Self::Rar => &["rar"],
            Self::SevenZip => &["7z"],
        }
    }

    /// The `claimed` extension when it fits, else the usual one, with its Content-Type.
    pub(super) fn media(self, claimed: &str) -> Media {
        let fitting = self.extensions();
        let extension = fitting
            .iter()
            .find(|&&each| each == claimed)
            .unwrap_or(&fitting[0]);
        by_extension(extension).expect("every extension of a format is in the table")
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

/// One row for every extension that [`Format::extensions`] names.
const MEDIA: &[Media] = &[
    media(Kind::Image, "jpg", "image/jpeg"),
    media(Kind::Image, "jpeg", "image/jpeg"),
    media(Kind::Image, "png", "image/png"),
    media(Kind::Image, "gif", "image/gif"),
    media(Kind::Image, "webp", "image/webp"),
    media(Kind::Image, "bmp", "image/bmp"),
    media(Kind::Image, "heic", "image/heic"),
    media(Kind::Image, "heif", "image/heif"),
    media(Kind::Image, "avif", "image/avif"),
    media(Kind::Video, "mp4", "video/mp4"),
    media(Kind::Video, "m4v", "video/x-m4v"),
    media(Kind::Video, "mov", "video/quicktime"),
    media(Kind::Video, "3gp", "video/3gpp"),
    media(Kind::Video, "webm", "video/webm"),
    media(Kind::Video, "avi", "video/x-msvideo"),
    media(Kind::Video, "mkv", "video/x-matroska"),
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
    media(Kind::Document, "txt", "text/plain"),
    media(Kind::Document, "csv", "text/csv"),
    media(Kind::Document, "zip", "application/zip"),
    media(Kind::Document, "rar", "application/vnd.rar"),
    media(Kind::Document, "7z", "application/x-7z-compressed"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use Format::*;

    const EACH: [Format; 34] = [
        Jpeg, Png, Gif, Webp, Bmp, Heic, Heif, Avif, Mp4, M4v, Mov, ThreeGp, Webm, Avi, Mkv, Mp3,
        M4a, Aac, Amr, Wav, Ogg, Opus, Flac, Pdf, Doc, Docx, Xls, Xlsx, Ppt, Pptx, Text, Zip, Rar,
        SevenZip,
    ];

    #[test]
    fn every_answer_is_a_function_of_the_extension() {
        for format in EACH {
            for &extension in format.extensions() {
                let media = format.media(extension);
                assert_eq!(media.extension, extension);
                assert_eq!(by_extension(extension), Some(media));
            }
        }
    }

    #[test]
    fn every_row_of_the_table_is_used_and_stands_once() {
        for (index, media) in MEDIA.iter().enumerate() {
            let extension = media.extension;
            assert!(
                EACH.iter()
                    .any(|format| format.extensions().contains(&extension)),
                "{extension}"
            );
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
