//! `Refused`: what a file that is not accepted looks like, in words for a person and the log.

use std::borrow::Cow;

use super::{isobmff, text};

/// The bytes are of no accepted type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes look like {looks_like}")]
pub struct Refused {
    /// A short name of a format in English, never bytes of the client.
    pub looks_like: Cow<'static, str>,
}

/// A tag without a sound behind it, or the beginning of a frame that none follows.
pub(super) const DAMAGED_MP3: Refused = Refused {
    looks_like: Cow::Borrowed("damaged MP3"),
};

impl Refused {
    pub(crate) fn new(looks_like: impl Into<Cow<'static, str>>) -> Self {
        let looks_like = looks_like.into();
        Self { looks_like }
    }

    /// The format's name in Chinese; most names are the same in both languages.
    pub fn chinese(&self) -> Cow<'static, str> {
        if let Some(format) = self.looks_like.strip_prefix("damaged ") {
            return format!("损坏的 {format}").into();
        }
        match &*self.looks_like {
            "unknown" => "未知类型".into(),
            "empty file" => "空文件".into(),
            "OLE file" => "OLE 文件".into(),
            "Linux program" => "Linux 程序".into(),
            "Android program" => "Android 程序".into(),
            "Windows program" => "Windows 程序".into(),
            "macOS program" => "macOS 程序".into(),
            "Windows installer" => "Windows 安装程序".into(),
            "Linux package" => "Linux 安装包".into(),
            "Java class" => "Java 类文件".into(),
            "browser extension" => "浏览器扩展".into(),
            "Ogg without a known sound" => "不含已知音频的 Ogg".into(),
            "Canon raw" => "佳能 RAW 照片".into(),
            "script" => "脚本".into(),
            "server page" => "服务器脚本页面".into(),
            "HLS playlist" => "HLS 播放列表".into(),
            "ffmpeg playlist" => "ffmpeg 播放列表".into(),
            "markup" => "标记语言".into(),
            "font" => "字体".into(),
            _ => self.looks_like.clone(),
        }
    }
}

pub(super) fn describe(head: &[u8], claimed: &str) -> Refused {
    let looks_like = unlisted(head)
        .or_else(|| text::known_beginning(head, claimed))
        .or_else(|| infer::get(head).and_then(|found| name(found.extension())))
        .unwrap_or("unknown");
    Refused::new(looks_like)
}

/// Formats that `infer` does not know, or knows only by reading further than we want.
fn unlisted(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [] => "empty file",
        [0xD0, 0xCF, 0x11, 0xE0, ..] => "OLE file",
        [0x7F, b'E', b'L', b'F', ..] => "Linux program",
        [b'd', b'e', b'x', b'\n', ..] => "Android program",
        [0x1A, 0x45, 0xDF, 0xA3, ..] => "damaged WebM",
        [b'P', b'K', 3 | 5 | 7, ..] => "damaged ZIP",
        [b'O', b'g', b'g', b'S', 0, ..] => "Ogg without a known sound",
        [b'B', b'M', ..] => "damaged BMP",
        _ if isobmff::looks_like_raw_photo(head) => "Canon raw",
        [0x47, ..] if head.get(188) == Some(&0x47) && head.get(376) == Some(&0x47) => "MPEG-TS",
        _ => return None,
    })
}

/// By the extension under which `infer` lists a format. Accepted ones come here damaged; formats
/// that it knows by two bytes are left out, since most files it finds so are something else.
fn name(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "exe" | "dll" => "Windows program",
        "mach" => "macOS program",
        "class" => "Java class",
        "wasm" => "WebAssembly",
        "deb" | "rpm" => "Linux package",
        "crx" => "browser extension",
        "swf" => "SWF",
        "tif" => "TIFF",
        "cr2" => "Canon raw",
        "psd" => "Photoshop",
        "ico" => "ICO",
        "jp2" => "JPEG 2000",
        "jxl" => "JPEG XL",
        "jxr" => "JPEG XR",
        "djvu" => "DjVu",
        "dwg" => "AutoCAD",
        "wmv" => "WMV",
        "flv" => "FLV",
        "mpg" => "MPEG",
        "midi" => "MIDI",
        "aiff" => "AIFF",
        "ape" => "Monkey's Audio",
        "dsf" => "DSF",
        "woff" | "woff2" | "ttf" | "otf" | "eot" => "font",
        "mobi" => "Mobipocket",
        "sqlite" => "SQLite",
        "tar" => "damaged TAR",
        "gz" => "damaged GZIP",
        "bz2" => "damaged BZIP2",
        "bz3" => "BZIP3",
        "xz" => "damaged XZ",
        "zst" => "damaged Zstandard",
        "lz4" => "LZ4",
        "cab" => "CAB",
        "ar" => "AR",
        "jpg" => "damaged JPEG",
        "png" => "damaged PNG",
        "gif" => "damaged GIF",
        "webp" | "wav" | "avi" => "damaged RIFF",
        "heif" | "avif" => "damaged HEIF",
        "mp4" | "m4v" | "m4a" | "mov" => "damaged MP4",
        "mkv" | "webm" => "damaged WebM",
        "mp3" => "damaged MP3",
        "aac" => "damaged AAC",
        "amr" => "damaged AMR",
        "flac" => "damaged FLAC",
        "pdf" => "damaged PDF",
        "rar" => "damaged RAR",
        "7z" => "damaged 7z",
        _ => return None,
    })
}
