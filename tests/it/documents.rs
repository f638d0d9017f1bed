//! Documents and files of no known kind, from the form to the store: extension, type and the name
//! they are saved under.

use serde_json::json;

use crate::{
    bucket_double::{BucketDouble, Dialect},
    lane::assert_refused,
    support::{Form, TestApi, get},
};

/// A compound file as LibreOffice and WPS write it: the directory behind `content_bytes` of content.
fn compound(content_bytes: usize, stream: &str) -> Vec<u8> {
    let sector = content_bytes / 512;
    let mut bytes = vec![0; 512 * (sector + 2)];
    bytes[..8].copy_from_slice(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");
    bytes[24..32].copy_from_slice(&[0x3E, 0, 3, 0, 0xFE, 0xFF, 9, 0]);
    bytes[48..52].copy_from_slice(&u32::try_from(sector).unwrap().to_le_bytes());
    let entry = 512 * (sector + 1) + 128;
    let name: Vec<u8> = stream.encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes[entry..entry + name.len()].copy_from_slice(&name);
    bytes[entry + 64] = u8::try_from(name.len() + 2).unwrap();
    bytes[entry + 66] = 2;
    bytes
}

#[tokio::test]
async fn a_compound_file_is_held_until_its_directory_tells() {
    for dialect in [Dialect::S3, Dialect::Oss] {
        let bucket = BucketDouble::start(dialect).await;
        let api = TestApi::with_bucket(&bucket, &[]);
        for (content_bytes, stream, name, extension) in [
            (3_000_000, "Workbook", "blob", "xls"),
            (3_000_000, "WordDocument", "letter.wps", "wps"),
            (40_000, "EncryptedPackage", "secret.pptx", "pptx"),
            // More than can be held: by its name, else the usual one.
            (9_000_000, "Workbook", "big.ppt", "ppt"),
            (9_000_000, "Workbook", "blob", "doc"),
        ] {
            let content = compound(content_bytes, stream);
            let reply = api.upload(&Form::img(name, &content)).await;
            let path = reply.data()[0]["path"].as_str().unwrap().to_owned();
            assert!(path.ends_with(&format!(".{extension}")), "{path}");
            assert_eq!(bucket.objects()[&path].bytes, content);
        }
    }
}

#[tokio::test]
async fn a_document_is_saved_under_its_name() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let api = TestApi::with_bucket(&bucket, &[("UPLOAD_CACHE_CONTROL", "private, no-store")]);
    let reply = api.upload(&Form::img("账单 1.md", "# Rent")).await;
    let object = &bucket.objects()[reply.data()[0]["path"].as_str().unwrap()];
    assert_eq!(object.content_type.as_deref(), Some("text/plain"));
    let saved_as = "attachment; filename=\"___1.md\"; \
                    filename*=UTF-8''%E8%B4%A6%E5%8D%95%201.md";
    assert_eq!(object.content_disposition.as_deref(), Some(saved_as));
    assert_eq!(object.cache_control.as_deref(), Some("private, no-store"));
}

#[tokio::test]
async fn files_of_no_known_kind_are_stored_where_they_are_listed() {
    let listed = TestApi::with(&[("UPLOAD_TYPES", "image,file")]);
    for (name, content, extension) in [
        ("setup.exe", b"MZ\x90\0\x03\0\0\0".as_slice(), "exe"),
        ("page.html", b"<html><script>alert(1)</script>", "bin"),
        ("data", b"\0\x01\x02", "bin"),
    ] {
        let item = listed.upload(&Form::img(name, content)).await.data()[0].clone();
        let (mime, kind) = ("application/octet-stream", "file");
        assert_eq!((&item["mime"], &item["kind"]), (&json!(mime), &json!(kind)));
        let path = item["path"].as_str().unwrap();
        assert!(path.ends_with(&format!(".{extension}")), "{path}");
        let served = listed.send(get(&format!("/{path}"))).await;
        assert_eq!(served.header("content-type"), mime);
        assert_eq!(served.header("content-disposition"), "attachment");
    }
    // A kind that the bytes show stays what the list says.
    let text = listed.upload(&Form::img("a.dat", "plain words")).await;
    assert_refused(&text, 415, "type_refused");
    let unlisted = TestApi::new();
    let program = unlisted
        .upload(&Form::img("setup.exe", b"MZ\x90\0\x03\0\0\0"))
        .await;
    assert_refused(&program, 415, "type_refused");
}
