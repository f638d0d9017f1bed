//! `Refused`: describes a file that is not accepted, for the user and the log.

use std::borrow::Cow;

use super::{isobmff, text};

/// The type of the file is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes look like {looks_like}")]
pub struct Refused {
    /// Short English name of the format; never contains bytes from the client.
    pub looks_like: Cow<'static, str>,
}

/// A tag without audio after it, or a frame header that no other follows.
pub(super) const DAMAGED_MP3: Refused = Refused {
    looks_like: Cow::Borrowed("damaged MP3"),
};

impl Refused {
    pub(crate) fn new(looks_like: impl Into<Cow<'static, str>>) -> Self {
        let looks_like = looks_like.into();
        Self { looks_like }
    }

    /// Returns the format's name in Chinese; most names are the same in both languages.
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
    let looks_like = damaged_or_binary(head)
        .or_else(|| text::known_beginning(head, claimed))
        .or_else(|| by_signature(head))
        .or_else(|| has_late_pdf_header(head).then_some("damaged PDF"))
        .unwrap_or("unknown");
    Refused::new(looks_like)
}

/// Names formats that must be recognised before the signatures of text are compared.
fn damaged_or_binary(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [] => "empty file",
        [0xD0, 0xCF, 0x11, 0xE0, ..] => "OLE file",
        [0x7F, b'E', b'L', b'F', ..] => "Linux program",
        [b'd', b'e', b'x', b'\n', ..] => "Android program",
        [0xCE | 0xCF, 0xFA, 0xED, 0xFE, ..] | [0xFE, 0xED, 0xFA, ..] => "macOS program",
        // A universal program has the number of its processors where a Java class has its version, 45 or more.
        [0xCA, 0xFE, 0xBA, 0xBE, 0, 0, 0, ..45, ..] => "macOS program",
        [0x1A, 0x45, 0xDF, 0xA3, ..] => "damaged WebM",
        [b'P', b'K', 3 | 5 | 7, ..] => "damaged ZIP",
        [b'O', b'g', b'g', b'S', 0, ..] => "Ogg without a known sound",
        [b'B', b'M', ..] => "damaged BMP",
        [0, 0, 1, 0xB0..=0xBF, ..] => "MPEG",
        _ if isobmff::looks_like_raw_photo(head) => "Canon raw",
        [0x47, ..] if head.get(188) == Some(&0x47) && head.get(376) == Some(&0x47) => "MPEG-TS",
        _ => return None,
    })
}

/// Returns whether a PDF starts after other bytes, as readers permit (PDF Reference 1.7, annex H.3.4.1).
fn has_late_pdf_header(head: &[u8]) -> bool {
    let searched = head.get(..1024).unwrap_or(head);
    memchr::memmem::find(searched, b"%PDF").is_some()
}

fn by_signature(head: &[u8]) -> Option<&'static str> {
    let has = |at: usize, bytes| head.get(at..).is_some_and(|rest| rest.starts_with(bytes));
    let &(.., name) = SIGNATURES.iter().find(|(at, bytes, _)| has(*at, bytes))?;
    Some(name)
}

/// Offset, magic bytes and name; the first match wins. Accepted formats only get here damaged.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"MZ", "Windows program"),
    (0, b"\xCA\xFE\xBA\xBE", "Java class"),
    (0, b"\0asm", "WebAssembly"),
    (0, b"!<arch>\ndebian-binary", "Linux package"),
    (0, b"\xED\xAB\xEE\xDB", "Linux package"),
    (0, b"Cr24", "browser extension"),
    (0, b"!<arch>", "AR"),
    (0, b"\x04\x22\x4D\x18", "LZ4"),
    (0, b"II*\0\x10\0\0\0CR\x02", "Canon raw"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II\xBC", "JPEG XR"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"\0\0\0\x0CjP  ", "JPEG 2000"),
    (0, b"\0\0\0\x0CJXL ", "JPEG XL"),
    (0, b"\xFF\x0A", "JPEG XL"),
    (0, b"AC10", "AutoCAD"),
    (0, b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", "WMV"),
    (0, b"FLV\x01", "FLV"),
    (0, b"MThd", "MIDI"),
    (8, b"AIFF", "AIFF"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (0, b"OTTO\0", "font"),
    (0, b"\0\x01\0\0\0", "font"),
    (0, b"SQLite format 3", "SQLite"),
    (0, b"MSCF", "CAB"),
    (0, b"ISc(", "CAB"),
    (0, b"\xFF\xD8\xFF", "damaged JPEG"),
    (4, b"ftyphei", "damaged HEIF"),
    (4, b"ftypmif1", "damaged HEIF"),
    (4, b"ftypmsf1", "damaged HEIF"),
    (4, b"ftypavi", "damaged HEIF"),
    (4, b"ftypiso", "damaged MP4"),
    (4, b"ftypmp4", "damaged MP4"),
    (4, b"ftypM4", "damaged MP4"),
    (4, b"ftypqt", "damaged MP4"),
    (4, b"ftypavc1", "damaged MP4"),
    (4, b"ftypdash", "damaged MP4"),
    (4, b"ftypmmp4", "damaged MP4"),
    (4, b"ftypMSNV", "damaged MP4"),
    (4, b"moov", "damaged MP4"),
    (4, b"mdat", "damaged MP4"),
    (12, b"mdat", "damaged MP4"),
    (0, b"ID3", "damaged MP3"),
    (0, b"\xFF\xFB", "damaged MP3"),
    (0, b"\xFF\xF3", "damaged MP3"),
    (0, b"\xFF\xF2", "damaged MP3"),
    (0, b"\xFF\xF1", "damaged AAC"),
    (0, b"\xFF\xF9", "damaged AAC"),
    (257, b"ustar", "damaged TAR"),
    (0, b"\x1F\x8B\x08", "damaged GZIP"),
    (0, b"BZh", "damaged BZIP2"),
    (0, b"\xFD7zXZ\0", "damaged XZ"),
    (0, b"\x28\xB5\x2F\xFD", "damaged Zstandard"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_signature_is_hidden_by_an_earlier_one() {
        for &(at, bytes, name) in SIGNATURES {
            let mut head = vec![0x80; 300];
            head[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(describe(&head, "").looks_like, name, "{bytes:X?} at {at}");
        }
    }
}
