//! The trace id of a request, as a proxy or a client sent it: W3C's `traceparent`, else X-Ray's header.
//! Anybody may send these headers, so only a valid id is logged.

use axum::http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const X_RAY: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Returns 32 hexadecimal digits of `traceparent`, or X-Ray's `1-58406520-a006649127e371903a2de979`.
pub(super) fn from_headers(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok();
    let w3c = text(TRACEPARENT).and_then(from_traceparent);
    let id = w3c.or_else(|| text(X_RAY).and_then(from_x_ray))?;
    Some(id.to_owned())
}

/// Parses version, trace, parent, flags (W3C Trace Context §3.2). Later versions may append fields.
fn from_traceparent(text: &str) -> Option<&str> {
    let mut fields = text.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let (parent, flags) = (fields.next()?, fields.next()?);
    let are_hex = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    let is_whole = version != "00" || fields.next().is_none();
    let is_zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    let is_valid = are_hex && is_whole && version != "ff" && !is_zero(trace) && !is_zero(parent);
    is_valid.then_some(trace)
}

/// Parses `Root=1-<time>-<random>` among fields separated by semicolons.
fn from_x_ray(text: &str) -> Option<&str> {
    let mut fields = text.split(';');
    let root = fields.find_map(|field| field.trim().strip_prefix("Root="))?;
    let mut parts = root.split('-');
    let is_valid = parts.next()? == "1"
        && is_hex(parts.next()?, 8)
        && is_hex(parts.next()?, 24)
        && parts.next().is_none();
    is_valid.then_some(root)
}

fn is_hex(text: &str, length: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const W3C: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const XRAY: &str = "1-58406520-a006649127e371903a2de979";

    fn id(given: &[(HeaderName, &str)]) -> Option<String> {
        let given = given
            .iter()
            .map(|(name, text)| (name.clone(), HeaderValue::from_str(text).expect("a value")));
        from_headers(&given.collect())
    }

    #[test]
    fn the_id_is_taken_from_either_header_when_it_is_one() {
        const PARENT: &str = "00f067aa0ba902b7";
        for (text, is_id) in [
            // The example of W3C Trace Context §3.2.
            (format!("00-{W3C}-{PARENT}-01"), true),
            (format!("cc-{W3C}-{PARENT}-01-what"), true),
            (format!("00-{W3C}-{PARENT}-01-what"), false),
            (format!("ff-{W3C}-{PARENT}-01"), false),
            (format!("00-{}-{PARENT}-01", W3C.to_uppercase()), false),
            (format!("00-{}-{PARENT}-01", "0".repeat(32)), false),
            (format!("00-{W3C}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{PARENT}-01", &W3C[..31]), false),
            (W3C.to_owned(), false),
            (String::new(), false),
        ] {
            let expected = is_id.then(|| W3C.to_owned());
            assert_eq!(id(&[(TRACEPARENT, &text)]), expected, "{text}");
        }
        let own = "Self=1-67891234-12456789abcdef012345678";
        for (text, is_id) in [
            // The examples of AWS's page about tracing headers.
            (format!("Root={XRAY}"), true),
            (
                format!("Root={XRAY};Parent=53995c3f42cd8ad8;Sampled=1"),
                true,
            ),
            (format!("{own};Root={XRAY}"), true),
            (format!("Root={}", &XRAY[..XRAY.len() - 1]), false),
            (format!("Root={}", XRAY.to_uppercase()), false),
            (format!("Root=2{}", &XRAY[1..]), false),
            (format!("Root={XRAY}-1"), false),
            ("Root=1-58406520-${jndi:ldap://x/aaaaaaa}".to_owned(), false),
            (XRAY.to_owned(), false),
        ] {
            let expected = is_id.then(|| XRAY.to_owned());
            assert_eq!(id(&[(X_RAY, &text)]), expected, "{text}");
        }
        let root = format!("Root={XRAY}");
        let parent = format!("00-{W3C}-{PARENT}-01");
        for (parent, expected) in [(&*parent, W3C), ("?", XRAY)] {
            let found = id(&[(X_RAY, &root), (TRACEPARENT, parent)]);
            assert_eq!(found.as_deref(), Some(expected));
        }
        assert_eq!(id(&[]), None);
    }
}
