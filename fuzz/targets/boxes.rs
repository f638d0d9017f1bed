//! Runs `tests/it/any_input/media.rs` on files of one family of formats.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chat_upload_fuzz::family("boxes", input));
