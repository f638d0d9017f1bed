//! `api::form::header_params`: no header panics, the reference parser agrees, and quoted values are decoded
//! unchanged.

use chat_upload::api::form::header_params::{Broken, Params};

use super::reference_form::RawParams;

/// Checks an input as a header, and also as the raw value of a parameter.
pub(crate) fn check(input: &[u8]) {
    let params = Params::parse(input);
    let reference = RawParams::parse(input);
    match (params, reference) {
        (Ok(params), Some(reference)) => assert_same(&params, &reference),
        (Err(Broken), None) => {}
        (params, reference) => panic!("{params:?} and {reference:?}"),
    }
    comes_back_from_quotes(input);
}

fn assert_same(params: &Params<'_>, reference: &RawParams) {
    assert_eq!(params.value, reference.value);
    for name in ["name", "filename", "filename*", "boundary"] {
        let found = params.get(name);
        match *reference.all(name) {
            [] => assert_eq!(found, Ok(None)),
            [value] => assert_eq!(found, Ok(Some(value))),
            _ => assert_eq!(found, Err(Broken)),
        }
        assert_eq!(params.get(&name.to_ascii_uppercase()), found);
        let text = params.text(name);
        assert_eq!(
            text.as_ref().map(Option::is_some),
            found.map(|raw| raw.is_some()).as_ref().copied()
        );
        if let Ok(Some(plain)) = text {
            let extended = params.extended_text(name);
            assert!(
                matches!(extended, Ok(Some(_)) | Err(Broken)),
                "{plain:?} is lost"
            );
        }
    }
}

fn comes_back_from_quotes(value: &[u8]) {
    let mut header = b"form-data; name=\"".to_vec();
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            header.push(b'\\');
        }
        header.push(*byte);
    }
    header.extend_from_slice(b"\"; filename=x");
    let params = Params::parse(&header).expect("a good header");
    assert_eq!(params.get("name"), Ok(Some(value)));
    assert_eq!(params.get("filename"), Ok(Some(&b"x"[..])));
}
