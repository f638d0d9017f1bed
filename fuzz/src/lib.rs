//! One function for each fuzz target. The checks are in `tests/it/any_input`, so that a stable
//! compiler can replay the inputs that fuzzing finds.

#[path = "../../tests/it/any_input/mod.rs"]
mod any_input;

pub fn differential(input: &[u8]) {
    any_input::differential::check(input);
}

pub fn disposition(input: &[u8]) {
    any_input::disposition::check(input);
}

pub fn event(input: &[u8]) {
    any_input::event::check(input);
}

pub fn form(input: &[u8]) {
    any_input::form::check(input);
}

pub fn media(input: &[u8]) {
    any_input::media::check(input);
}

/// The families of formats, each with a target of its own.
pub fn family(name: &str, input: &[u8]) {
    any_input::media::check_family(name, input);
}

pub fn token(input: &[u8]) {
    any_input::token::check(input);
}
