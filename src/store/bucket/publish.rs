//! Reads objects in the bucket, copies them to another key, finds and removes them.
//!
//! A copy is made of exactly the object that was seen (`x-amz-copy-source-if-match`), never overwrites
//! another one, and has its own headers: those that the client set are not copied. Parts with edits are
//! read, edited and uploaded by this process; the bucket copies the others.

use axum::http::{
    HeaderName, Method,
    header::{IF_MATCH, RANGE},
};
use bytes::Bytes;
use chrono::DateTime;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Deadline, MAX_PARTS, ONE_CALL_BYTES, Session,
    multipart::{CompletePart, Uploaded, part_query},
    request::{Call, Response},
    retry::Attempts,
};
use crate::{
    body::{Edit, edited},
    store::{ContentHeaders, Error, Found, ObjectKey, Published, Seen, chunks::Part},
};

/// Parts of one object that are copied concurrently: the bucket does the work.
const COPIES_IN_FLIGHT: usize = 8;
/// Smallest part that S3 accepts, except the last, in bytes; OSS accepts smaller ones.
const SMALLEST_PART: u64 = 5 * 1024 * 1024;

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const COPY_SOURCE_IF_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-match");
const COPY_SOURCE_RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");
const METADATA_DIRECTIVE: HeaderName = HeaderName::from_static("x-amz-metadata-directive");

impl Session {
    /// Sends one request, so that size, bytes and ETag are of the same object.
    pub(in crate::store) async fn look(
        &self,
        key: &ObjectKey,
        head_bytes: usize,
    ) -> Result<Option<Seen>, Error> {
        let last = head_bytes.saturating_sub(1);
        let mut call = Call::new("GetObject", Method::GET, key.as_str())
            .with(RANGE, format!("bytes=0-{last}"));
        call.response_bytes = head_bytes;
        match self.send(&call, &Attempts::default()).await {
            Ok(response) => seen(call.operation, response).map(Some),
            Err(error) => match self.resolve_403(key, error).await {
                Error::Refused { status: 404, .. } => Ok(None),
                // An empty object has no such range.
                Error::Refused { status: 416, .. } => Ok(Some(Seen::default())),
                error => Err(error),
            },
        }
    }

    /// Reads a range of the object that was seen. 404, 412 and 416 mean that it is gone or was replaced.
    pub(in crate::store) async fn read(
        &self,
        key: &ObjectKey,
        seen: &Seen,
        at: u64,
        bytes: usize,
    ) -> Result<Bytes, Error> {
        let end = seen.size.min(at.saturating_add(bytes as u64));
        let mut call = Call::new("GetObject", Method::GET, key.as_str())
            .with(RANGE, format!("bytes={at}-{}", end.saturating_sub(1)))
            .with(IF_MATCH, seen.version.as_str());
        call.response_bytes = bytes;
        let response = match self.send(&call, &Attempts::default()).await {
            Ok(response) => response,
            Err(error) => return Err(self.resolve_403(key, error).await),
        };
        let is_requested_range = response.offset() == Some(at)
            && response.body.len() as u64 == end.saturating_sub(at)
            && response.etag() == Some(&*seen.version);
        if is_requested_range {
            Ok(response.body)
        } else {
            Err(Error::incomplete_response(
                call.operation,
                "the response has other bytes than requested",
            ))
        }
    }

    /// Copies the object that was seen, with edits applied.
    pub(in crate::store) async fn copy(
        &self,
        from: &ObjectKey,
        seen: &Seen,
        to: &ObjectKey,
        content: ContentHeaders,
        edits: &[Edit],
    ) -> Result<Published, Error> {
        let copy = Copy {
            session: self,
            from,
            seen,
            to,
            content,
            edits,
        };
        copy.run().await
    }

    /// Finds the first object whose key has this prefix.
    pub(in crate::store) async fn find(&self, prefix: &str) -> Result<Option<Found>, Error> {
        self.find_first(prefix, Deadline::Store).await
    }

    async fn find_first(&self, prefix: &str, deadline: Deadline) -> Result<Option<Found>, Error> {
        let call = self
            .sdk()
            .list_objects_v2()
            .bucket(self.name())
            .prefix(prefix)
            .max_keys(1)
            .customize()
            .config_override(self.call_config(&Attempts::default()))
            .send();
        let listed = self.wait("ListObjectsV2", deadline, call).await?;
        let found = listed.contents().iter().find_map(|object| {
            let key = ObjectKey::parse(object.key()?).ok()?;
            let size = object.size()?.try_into().ok()?;
            let since = DateTime::from_timestamp(object.last_modified()?.secs(), 0)?;
            let is_match = key.as_str().starts_with(prefix);
            is_match.then_some(Found { key, size, since })
        });
        Ok(found)
    }

    /// Removes an object if it exists.
    pub(in crate::store) async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        self.send_removal(Call::delete(key.as_str())).await
    }

    /// Makes a call that removes or aborts something, and succeeds if that does not exist.
    pub(super) async fn send_removal(&self, call: Call<'_>) -> Result<(), Error> {
        match self.send(&call, &Attempts::default()).await {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether an object exists. The deadline of storing does not apply: it may have passed.
    pub(super) async fn exists(&self, key: &ObjectKey) -> Result<bool, Error> {
        let call = Call::head(key.as_str()).undoing();
        match self.send(&call, &Attempts::default()).await {
            Ok(_) => Ok(true),
            Err(Error::Refused { status: 404, .. }) => Ok(false),
            Err(Error::Refused { status: 403, .. }) => self.is_listed(key, Deadline::Undo).await,
            Err(error) => Err(error),
        }
    }

    /// Turns a 403 into 404 if the key is not listed: S3 answers 403 for a missing key if the role may not list
    /// the bucket (GetObject, "Permissions"), other servers sometimes even if it may.
    async fn resolve_403(&self, key: &ObjectKey, mut error: Error) -> Error {
        let Error::Refused { status, .. } = &mut error else {
            return error;
        };
        if *status == 403 {
            match self.is_listed(key, Deadline::Store).await {
                Ok(false) => *status = 404,
                Ok(true) | Err(Error::Refused { .. }) => {
                    tracing::warn!(%key, "the bucket denied access to an object; check that the role may read it and list the bucket");
                }
                Err(error) => return error,
            }
        }
        error
    }

    async fn is_listed(&self, key: &ObjectKey, deadline: Deadline) -> Result<bool, Error> {
        let found = self.find_first(key.as_str(), deadline).await?;
        Ok(found.is_some_and(|found| found.key == *key))
    }
}

/// Requires size and ETag: without them the object could be too large, or replaced before it is copied.
fn seen(operation: &'static str, response: Response) -> Result<Seen, Error> {
    let known = response.size().zip(response.etag().map(str::to_owned));
    let incomplete = || Error::incomplete_response(operation, "the response has no size or ETag");
    let (size, version) = known.ok_or_else(incomplete)?;
    Ok(Seen {
        head: response.body,
        size,
        version,
    })
}

/// One copy within the bucket.
struct Copy<'c> {
    session: &'c Session,
    from: &'c ObjectKey,
    seen: &'c Seen,
    to: &'c ObjectKey,
    content: ContentHeaders,
    edits: &'c [Edit],
}

impl Copy<'_> {
    async fn run(self) -> Result<Published, Error> {
        let attempts = Attempts::default();
        let copied = if self.edits.is_empty() && self.seen.size <= self.one_copy_bytes() {
            self.in_one_call(&attempts).await
        } else {
            self.in_parts(&attempts).await
        };
        match copied {
            Ok(()) => Ok(Published::Now),
            // Either the source has changed, or the copy exists already.
            Err(Error::Refused {
                status: 404 | 409 | 412,
                ..
            }) => {
                if self.session.exists(self.to).await? {
                    Ok(Published::Before)
                } else {
                    Ok(Published::Changed)
                }
            }
            // The copy may have been made nevertheless.
            Err(error) if attempts.outcome_is_unknown(Some(&error)) => {
                match self.session.exists(self.to).await {
                    Ok(true) => Ok(Published::Now),
                    Ok(false) | Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn in_one_call(&self, attempts: &Attempts) -> Result<(), Error> {
        let session = self.session;
        let (create_only, value) = session.bucket.dialect().create_only();
        let call = self
            .call("CopyObject")
            .with_content(&self.content, session)
            .with(METADATA_DIRECTIVE, "REPLACE")
            .with(create_only, value);
        session.send(&call, attempts).await.map(drop)
    }

    async fn in_parts(&self, attempts: &Attempts) -> Result<(), Error> {
        let session = self.session;
        let upload_id = session.create_multipart(self.to, &self.content).await?;
        let copied = self.copy_parts(&upload_id).await;
        session
            .complete_or_abort(self.to, &upload_id, copied, attempts)
            .await
    }

    /// Uploads edited parts one by one, since they need memory, then lets the bucket copy the others.
    async fn copy_parts(&self, upload_id: &str) -> Result<Uploaded, Error> {
        let size = self.seen.size;
        let copied_bytes = self
            .one_copy_bytes()
            .div_ceil(2)
            .max(size.div_ceil(MAX_PARTS as u64 / 2));
        let pieces = (1..).zip(pieces(size, self.edits, copied_bytes));
        let (edited, copied): (Vec<_>, Vec<_>) = pieces.partition(|(_, piece)| piece.is_edited);
        let mut parts = Vec::new();
        for (number, piece) in edited {
            parts.push(self.edit_part(upload_id, number, piece).await?);
        }
        let copies = copied
            .into_iter()
            .map(|(number, piece)| self.copy_part(upload_id, number, piece));
        let copies = stream::iter(copies).buffered(COPIES_IN_FLIGHT);
        parts.extend(copies.try_collect::<Vec<_>>().await?);
        parts.sort();
        Ok(Uploaded { parts, size })
    }

    async fn edit_part(
        &self,
        upload_id: &str,
        number: i32,
        piece: Piece,
    ) -> Result<CompletePart, Error> {
        let session = self.session;
        let len = usize::try_from(piece.end - piece.start).unwrap_or(usize::MAX);
        let _memory = session.bucket.0.memory.claim(len).await?;
        let bytes = session.read(self.from, self.seen, piece.start, len).await?;
        let part = Part::from(edited(bytes, piece.start, self.edits));
        session.upload_part(self.to, upload_id, number, part).await
    }

    async fn copy_part(
        &self,
        upload_id: &str,
        number: i32,
        Piece { start, end, .. }: Piece,
    ) -> Result<CompletePart, Error> {
        let mut call = self
            .call("UploadPartCopy")
            .with(COPY_SOURCE_RANGE, format!("bytes={start}-{}", end - 1));
        call.query = part_query(upload_id, number);
        let copied = self.session.send(&call, &Attempts::default()).await?;
        CompletePart::new(call.operation, number, copied.element("ETag"))
    }

    /// Begins a call that copies the object that was seen.
    fn call(&self, operation: &'static str) -> Call<'_> {
        // Keys contain no bytes that need encoding here.
        let source = format!("{}/{}", self.session.name(), self.from);
        Call::new(operation, Method::PUT, self.to.as_str())
            .with(COPY_SOURCE, source)
            .with(COPY_SOURCE_IF_MATCH, self.seen.version.as_str())
    }

    fn one_copy_bytes(&self) -> u64 {
        self.session.bucket.0.settings.one_copy_bytes
    }
}

/// A range of a copy, for one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u64,
    end: u64,
    is_edited: bool,
}

/// Divides an object into parts: edited ones of at most [`ONE_CALL_BYTES`], and others of `copied_bytes`
/// to twice as much. All except the last have at least the size that S3 requires.
fn pieces(size: u64, edits: &[Edit], copied_bytes: u64) -> Vec<Piece> {
    let mut edits: Vec<_> = edits.iter().map(|edit| (edit.at, edit.end())).collect();
    edits.sort_unstable();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        // The next edit, and the end of the part that contains it.
        let next = edits.iter().find(|(_, end)| *end > at);
        let start = next.map_or(size, |(start, _)| (*start).clamp(at, size));
        if start - at >= SMALLEST_PART || start == size {
            push_copied(&mut pieces, at, start, copied_bytes);
            at = start;
            continue;
        }
        let limit = size.min(at + ONE_CALL_BYTES as u64);
        let contained = edits.iter().filter(|(start, _)| *start < limit);
        let last = contained.map(|(_, end)| *end).max().unwrap_or(at);
        let end = last.clamp(at + SMALLEST_PART, limit.max(at + SMALLEST_PART));
        let end = end.min(size);
        pieces.push(Piece {
            start: at,
            end,
            is_edited: true,
        });
        at = end;
    }
    pieces
}

/// Adds parts of about the same size for bytes that the bucket copies.
fn push_copied(pieces: &mut Vec<Piece>, start: u64, end: u64, part_size: u64) {
    let count = (end - start).checked_div(part_size).unwrap_or(1).max(1);
    let each = (end - start).div_ceil(count);
    pieces.extend((start..end).step_by(each as usize).map(|at| Piece {
        start: at,
        end: end.min(at + each),
        is_edited: false,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        body::Overwrite,
        store::{
            bucket::fixture::{key, refused, scripted},
            test_server::{error_body, response},
        },
    };

    async fn look(session: &Session) -> Result<Option<Seen>, Error> {
        session.look(&key("images/a.png"), 4).await
    }

    #[tokio::test]
    async fn first_bytes_are_asked_for_and_no_more_are_taken() {
        let ranged = "content-range: bytes 0-3/9\r\ncontent-length: 4\r\n\r\n1234";
        for (status, rest) in [
            ("200 OK", "content-length: 9\r\n\r\n123456789"),
            ("206 Some", ranged),
        ] {
            let response = format!("HTTP/1.1 {status}\r\netag: \"e\"\r\n{rest}");
            let (server, session) = scripted([response]).await;
            let seen = look(&session).await.expect("read").expect("an object");
            assert_eq!((&*seen.head, seen.size), (&b"1234"[..], 9), "{status}");
            assert_eq!(server.requests()[0].header("range"), Some("bytes=0-3"));
        }
    }

    #[tokio::test]
    async fn what_tells_no_size_or_no_etag_is_not_judged() {
        for headers in [
            "content-length: 4\r\n",
            "etag: \"e\"\r\ncontent-range: bytes 0-3/*\r\ncontent-length: 4\r\n",
            "etag: \"e\"\r\nconnection: close\r\n",
        ] {
            let response = format!("HTTP/1.1 206 Some\r\n{headers}\r\n1234");
            let (_, session) = scripted([response]).await;
            let error = look(&session).await.expect_err("too little");
            let Error::Unavailable { detail, .. } = error else {
                panic!("{error}");
            };
            assert!(detail.contains("no size"), "{detail}");
        }
    }

    #[tokio::test]
    async fn nothing_is_not_there_and_an_empty_object_is() {
        let (_, session) = scripted([response(404, "", "")]).await;
        assert_eq!(look(&session).await.expect("read"), None);
        let (_, session) = scripted([response(416, "", "")]).await;
        let empty = look(&session).await.expect("read").expect("an object");
        assert_eq!((empty.head.len(), empty.size), (0, 0));
        let (_, session) = scripted([response(400, "", "")]).await;
        assert_eq!(refused(look(&session).await), 400);
    }

    #[tokio::test]
    async fn other_bytes_than_were_asked_for_are_an_error() {
        let seen = Seen {
            size: 9,
            version: "\"e\"".to_owned(),
            ..Seen::default()
        };
        let key = key("pending/a");
        let response = |etag, range, body| {
            let headers = format!("etag: \"{etag}\"\r\ncontent-range: bytes {range}\r\n");
            response(206, &headers, body)
        };
        let (server, session) = scripted([response("e", "4-6/9", "567")]).await;
        let read = session.read(&key, &seen, 4, 3).await.expect("read");
        assert_eq!(read, "567");
        let asked = &server.requests()[0];
        let headers = (asked.header("range"), asked.header("if-match"));
        assert_eq!(headers, (Some("bytes=4-6"), Some("\"e\"")));
        for wrong in [
            response("other", "4-6/9", "567"),
            response("e", "0-2/9", "123"),
            response("e", "4-5/9", "56"),
            "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 9\r\n\r\n123456789".to_owned(),
        ] {
            let (_, session) = scripted([wrong]).await;
            let error = session.read(&key, &seen, 4, 3).await;
            let error = error.expect_err("other bytes");
            assert!(error.to_string().contains("other bytes"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_copy_may_fail_after_it_was_answered_with_200() {
        let seen = Seen {
            version: "\"e\"".to_owned(),
            ..Seen::default()
        };
        let failed = || {
            let body = format!("<?xml version=\"1.0\"?>\n{}", error_body("InternalError"));
            response(200, "x-amz-retry-after: 0\r\n", &body)
        };
        let done = "<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>";
        let in_vain = vec![failed(), failed(), failed(), response(404, "", "")];
        for (responses, is_copied) in [
            (vec![failed(), response(200, "", done)], true),
            (in_vain, false),
        ] {
            let calls = responses.len();
            let (server, session) = scripted(responses).await;
            let (from, to) = (key("pending/a"), key("images/a.png"));
            let content = ContentHeaders::UNKNOWN;
            let copied = session.copy(&from, &seen, &to, content, &[]).await;
            let is_now = matches!(copied, Ok(Published::Now));
            assert_eq!(is_now, is_copied, "{copied:?}");
            let requests = server.requests();
            assert_eq!(requests.len(), calls);
            for (name, value) in [
                ("x-amz-copy-source-if-match", "\"e\""),
                ("x-amz-metadata-directive", "REPLACE"),
                ("if-none-match", "*"),
                ("content-length", "0"),
            ] {
                assert_eq!(requests[0].header(name), Some(value), "{name}");
            }
        }
    }

    #[test]
    fn parts_of_a_copy_hold_all_of_it_and_are_large_enough() {
        const MIB: u64 = 1024 * 1024;
        let edit = |at, len| Edit {
            at,
            by: Overwrite::Fill(0, len as usize),
        };
        for edits in [
            vec![],
            vec![edit(0, 1)],
            vec![edit(40 * MIB - 1, 1)],
            vec![edit(36 * MIB, MIB), edit(39 * MIB, 10)],
            vec![edit(5 * MIB - 1, 2), edit(10 * MIB, 5)],
            vec![edit(0, 8), edit(8 * MIB - 4, 8), edit(30 * MIB, 1)],
            vec![edit(3 * MIB, 30 * MIB)],
            vec![edit(0, 40 * MIB)],
            vec![edit(20 * MIB, 5), edit(2 * MIB, 5), edit(11 * MIB, 5)],
        ] {
            let cut = pieces(40 * MIB, &edits, 10 * MIB);
            let mut at = 0;
            for piece in &cut {
                let len = piece.end - piece.start;
                assert_eq!(piece.start, at, "{cut:?}");
                assert!(len < 20 * MIB, "{cut:?}");
                assert!(len >= SMALLEST_PART || piece.end == 40 * MIB, "{cut:?}");
                if piece.is_edited {
                    assert!(len <= ONE_CALL_BYTES as u64, "{cut:?}");
                } else {
                    let touches = |edit: &Edit| edit.touches(piece.start, len as usize);
                    assert!(!edits.iter().any(touches), "{edits:?} {cut:?}");
                }
                at = piece.end;
            }
            assert_eq!(at, 40 * MIB, "{cut:?}");
            let edited = cut.iter().filter(|piece| piece.is_edited).count();
            assert_eq!(edited == 0, edits.is_empty());
        }
    }

    fn listing(keys: &[&str]) -> String {
        let object = |key: &&str| {
            format!(
                "<Contents><Key>{key}</Key><Size>9</Size>\
                 <LastModified>2025-04-17T05:12:12.000Z</LastModified></Contents>"
            )
        };
        let contents: String = keys.iter().map(object).collect();
        let list = format!("<ListBucketResult>{contents}</ListBucketResult>");
        response(200, "", &list)
    }

    #[tokio::test]
    async fn a_look_that_is_refused_finds_nothing_only_where_nothing_is_listed() {
        let denied = || response(403, "", &error_body("AccessDenied"));
        for (listed, is_absent) in [
            (listing(&[]), true),
            (listing(&["images/a.png.webp"]), true),
            (listing(&["images/a.png"]), false),
            (denied(), false),
        ] {
            let (server, session) = scripted([denied(), listed.clone()]).await;
            match look(&session).await {
                Ok(None) => assert!(is_absent, "{listed}"),
                Err(Error::Refused { status: 403, .. }) => assert!(!is_absent, "{listed}"),
                other => panic!("{listed}: {other:?}"),
            }
            let asked = &server.requests()[1].head;
            assert!(asked.contains("prefix=images%2Fa.png"), "{asked}");
        }
    }

    #[tokio::test]
    async fn an_objects_head_says_whether_it_is_there() {
        let there = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n".to_owned();
        let missing = |status| format!("HTTP/1.1 {status} No\r\ncontent-length: 9\r\n\r\n");
        let responses = [there, missing(404), missing(400)];
        let (server, session) = scripted(responses).await;
        let key = key("images/a.png");
        for expected in [true, false] {
            let exists = session.exists(&key).await;
            assert_eq!(exists.expect("a response"), expected);
        }
        assert_eq!(refused(session.exists(&key).await), 400);
        let asked = server.requests();
        let line = "HEAD /s3/chat/images/a.png HTTP/1.1";
        assert!(asked.iter().all(|asked| asked.head.starts_with(line)));
        for (listed, expected) in [(listing(&[]), false), (listing(&["images/a.png"]), true)] {
            let (_, session) = scripted([missing(403), listed]).await;
            assert_eq!(session.exists(&key).await.expect("a list"), expected);
        }
    }

    #[tokio::test]
    async fn a_removed_object_need_not_be_there_but_a_refusal_is_an_error() {
        let denied = response(403, "", &error_body("AccessDenied"));
        let responses = [response(204, "", ""), response(404, "", ""), denied];
        let (server, session) = scripted(responses).await;
        let key = key("pending/a");
        for _ in 0..2 {
            session.remove(&key).await.expect("removed");
        }
        assert_eq!(refused(session.remove(&key).await), 403);
        for request in server.requests() {
            assert_eq!(request.line(), "DELETE /s3/chat/pending/a HTTP/1.1");
        }
    }
}
