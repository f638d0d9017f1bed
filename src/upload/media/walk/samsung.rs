//! Samsung's records (SEF) after an image or in a box of a HEIC: a name, followed by its value.

use super::{
    Strip,
    input::{Input, Walked},
};

/// Record with the mobile country code.
pub(super) const COUNTRY: &[u8] = b"MCC_Data";
/// Record with the time in UTC.
pub(super) const TIME: &[u8] = b"Image_UTC_Data";

/// Cleans all records up to the end of the entered structure.
pub(super) async fn records(input: &mut Input) -> Walked {
    loop {
        let (record, _) = input.find(&[COUNTRY, TIME]).await?;
        value(input, record == 1).await?;
    }
}

/// Overwrites the digits of a country code, or of a time if device metadata is removed.
pub(super) async fn value(input: &mut Input, is_time: bool) -> Walked {
    let longest = if is_time { 13 } else { 4 };
    if is_time && input.strip() < Strip::Device {
        return Ok(());
    }
    for _ in 0..longest {
        input.fill().await?;
        if !input.ready().first().is_some_and(u8::is_ascii_digit) {
            break;
        }
        input.blank(1, b'0').await?;
    }
    Ok(())
}
