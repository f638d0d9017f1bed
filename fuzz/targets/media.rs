//! Runs `tests/it/any_input/media.rs`, which says what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| chat_upload_fuzz::media(input));
