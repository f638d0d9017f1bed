//! Facts and edits of real files and of bytes made to deceive, in chunks of every size.

use super::*;

/// A file that has passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) report: Report,
    pub(super) bytes: Vec<u8>,
}

/// Takes a file through a walk in chunks of `size` and applies the edits as a store would.
pub(super) fn pass(format: Format, strip: Strip, file: &[u8], size: usize) -> Passed {
    let mut bytes = file.to_vec();
    let mut edits = Vec::new();
    let mut walker = Walker::new(format, strip).expect("a format that is walked");
    let mut seen = 0;
    let file = Bytes::copy_from_slice(file);
    for chunk in file.chunks(size) {
        walker.see(&file.slice_ref(chunk), &mut edits);
        apply(&mut bytes, &mut edits, seen, seen + chunk.len());
        seen += chunk.len();
    }
    let report = walker.end(&mut edits);
    apply(&mut bytes, &mut edits, seen, seen);
    Passed { report, bytes }
}

fn apply(bytes: &mut [u8], edits: &mut Vec<Edit>, before: usize, seen: usize) {
    for Edit { at, by } in edits.drain(..) {
        let by = match by {
            Overwrite::Fill(byte, len) => vec![byte; len].into(),
            Overwrite::Bytes(bytes) => bytes,
        };
        assert!(at + REACH >= before as u64, "{at} is out of reach");
        let at = usize::try_from(at).expect("a position");
        assert!(at + by.len() <= seen, "not seen yet");
        bytes[at..at + by.len()].copy_from_slice(&by);
    }
}

/// The same for any chunks.
pub(super) fn pass_in_any_chunks(format: Format, strip: Strip, file: &[u8]) -> Passed {
    let whole = pass(format, strip, file, file.len().max(1));
    for size in [1, 2, 3, 7, 64, 1000, 4096] {
        let chopped = pass(format, strip, file, size);
        assert_eq!(chopped.report, whole.report, "in chunks of {size}");
        assert!(chopped.bytes == whole.bytes, "in chunks of {size}");
    }
    whole
}

macro_rules! sample {
    ($file:literal) => {
        include_bytes!(concat!("../../../../tests/media/", $file)).as_slice()
    };
}

#[test]
fn sizes_of_real_pictures() {
    let table: &[(Format, &[u8], (u32, u32))] = &[
        (Format::Bmp, sample!("v3.bmp"), (24, 16)),
        (Format::Bmp, sample!("mono.bmp"), (24, 16)),
        (Format::Png, sample!("rgb.png"), (24, 16)),
    ];
    for (format, file, (width, height)) in table {
        let facts = pass_in_any_chunks(*format, Strip::Off, file).report.facts;
        let expected = Facts {
            width: Some(*width),
            height: Some(*height),
            ..Facts::default()
        };
        assert_eq!(facts, expected, "{format:?}");
    }
}
