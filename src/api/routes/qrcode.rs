//! `GET /api/chat/qrcode?url=<text>`: renders the text as a QR code, PNG or (`&type=svg`) SVG.

use axum::{
    extract::State,
    http::{
        HeaderValue,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
        request::Parts,
    },
    response::{IntoResponse as _, Response},
};
use qrcode::{Color, EcLevel, QrCode, render::svg};

use crate::api::{Api, Error, access::rate_limit, origin};

/// Longest text, in bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// Side of one module, in pixels.
const MODULE_PIXELS: usize = 10;
/// Width of the white border, in modules (ISO/IEC 18004 requires four).
const QUIET_ZONE: usize = 4;

/// Sends the QR code. Counts for the rate limit: the longest text takes about 10 ms to render.
pub(in crate::api) async fn show(State(api): State<Api>, parts: Parts) -> Result<Response, Error> {
    let (mut text, mut as_svg) = (String::new(), false);
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        match &*name {
            "url" => text = value.into_owned(),
            "type" => as_svg = value.eq_ignore_ascii_case("svg"),
            _ => {}
        }
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(Error::TextTooLong {
            limit: MAX_TEXT_BYTES,
        });
    }
    let address = origin::client_address(&parts, api.settings.trusted_hops);
    rate_limit::count(&api, None, address)?;
    let rendered = tokio::task::spawn_blocking(move || render(&text, as_svg)).await;
    let (mime, image) = rendered.map_err(Error::internal)??;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(mime)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")),
    ];
    Ok((headers, image).into_response())
}

/// Returns media type and bytes.
fn render(text: &str, as_svg: bool) -> Result<(&'static str, Vec<u8>), Error> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(Error::internal)?;
    if as_svg {
        let image = code.render::<svg::Color<'_>>().build();
        return Ok(("image/svg+xml", image.into_bytes()));
    }
    Ok(("image/png", png(&code).map_err(Error::internal)?))
}

/// Encodes a PNG of one bit per pixel; 1 is white.
fn png(code: &QrCode) -> Result<Vec<u8>, png::EncodingError> {
    let side = (code.width() + 2 * QUIET_ZONE) * MODULE_PIXELS;
    let mut pixels = Vec::with_capacity(side * side.div_ceil(8));
    for row in 0..side {
        for start in (0..side).step_by(8) {
            let byte = (0..8).fold(0, |byte, bit| {
                byte << 1 | u8::from(is_white(code, row, start + bit))
            });
            pixels.push(byte);
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side as u32, side as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

fn is_white(code: &QrCode, row: usize, column: usize) -> bool {
    let module = |pixel: usize| {
        let module = (pixel / MODULE_PIXELS).checked_sub(QUIET_ZONE)?;
        (module < code.width()).then_some(module)
    };
    match (module(column), module(row)) {
        (Some(x), Some(y)) => code[(x, y)] == Color::Light,
        _ => true,
    }
}
