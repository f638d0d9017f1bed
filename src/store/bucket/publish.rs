//! Looks at objects in the bucket, copies them to another key, finds and removes them.
//!
//! A copy is made of the very bytes that were seen (`x-amz-copy-source-if-match`), never overwrites
//! another object, and has headers of its own: those that the client set stay behind.

use aws_sdk_s3::types::MetadataDirective;
use axum::http::{Method, header::RANGE};
use chrono::DateTime;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Deadline, MAX_PARTS, Session,
    multipart::{CompletePart, Uploaded, as_text},
    request::{Answer, Call},
    retry::Attempts,
};
use crate::store::{ContentHeaders, Error, Found, ObjectKey, Published, Seen};

/// Parts of one object that are copied at a time: the bucket does the work.
const COPIES_IN_FLIGHT: usize = 8;

impl Session {
    /// One request, so that size, bytes and ETag are of the same object.
    pub(in crate::store) async fn look(
        &self,
        key: &ObjectKey,
        head_bytes: usize,
    ) -> Result<Option<Seen>, Error> {
        let last = head_bytes.saturating_sub(1);
        let mut call = Call::new("GetObject", Method::GET, key.as_str())
            .with(RANGE, format!("bytes=0-{last}"));
        call.answer_bytes = head_bytes;
        match self.send(&call, &Attempts::default()).await {
            Ok(answer) => seen(call.operation, answer).map(Some),
            // 403: nothing is there, and the function may not list the bucket.
            Err(Error::Refused {
                status: 403 | 404, ..
            }) => Ok(None),
            // No byte to begin with.
            Err(Error::Refused { status: 416, .. }) => Ok(Some(Seen::empty())),
            Err(error) => Err(error),
        }
    }

    /// Copies what was seen.
    pub(in crate::store) async fn copy(
        &self,
        from: &ObjectKey,
        seen: &Seen,
        to: &ObjectKey,
        content: ContentHeaders,
    ) -> Result<Published, Error> {
        let copy = Copy {
            session: self,
            from,
            seen,
            to,
            content,
        };
        copy.run().await
    }

    /// The first object whose key has this prefix.
    pub(in crate::store) async fn find(&self, prefix: &str) -> Result<Option<Found>, Error> {
        let call = self
            .sdk()
            .list_objects_v2()
            .bucket(self.name())
            .prefix(prefix)
            .max_keys(1)
            .customize()
            .config_override(self.call_config(&Attempts::default()))
            .send();
        let listed = self.wait("ListObjectsV2", Deadline::Store, call).await?;
        let found = listed.contents().iter().find_map(|object| {
            let key = ObjectKey::parse(object.key()?).ok()?;
            let size = object.size()?.try_into().ok()?;
            let since = DateTime::from_timestamp(object.last_modified()?.secs(), 0)?;
            let is_it = key.as_str().starts_with(prefix);
            is_it.then_some(Found { key, size, since })
        });
        Ok(found)
    }

    /// Removes an object, whether it is there or not.
    pub(in crate::store) async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        self.end(Call::delete(key.as_str())).await
    }

    /// Makes a call that removes or aborts; one that finds nothing to end has succeeded.
    pub(super) async fn end(&self, call: Call<'_>) -> Result<(), Error> {
        match self.send(&call, &Attempts::default()).await {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether there is an object, as far as the bucket tells.
    pub(super) async fn is_there(&self, key: &ObjectKey) -> Result<bool, Error> {
        let call = Call::head(key.as_str()).undoing();
        match self.send(&call, &Attempts::default()).await {
            Ok(_) => Ok(true),
            Err(Error::Refused {
                status: 403 | 404, ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Without its size an object could be too large, and without its ETag another one than is copied.
fn seen(operation: &'static str, answer: Answer) -> Result<Seen, Error> {
    let known = answer.whole_size().zip(answer.etag().map(str::to_owned));
    let incomplete = || Error::incomplete_answer(operation, "the answer holds no size or no ETag");
    let (size, version) = known.ok_or_else(incomplete)?;
    Ok(Seen {
        head: answer.body,
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
}

impl Copy<'_> {
    async fn run(self) -> Result<Published, Error> {
        let attempts = Attempts::default();
        let copied = if self.seen.size <= self.one_copy_bytes() {
            self.in_one_call(&attempts).await
        } else {
            self.in_parts(&attempts).await
        };
        match copied {
            Ok(()) => Ok(Published::Now),
            // Either the source has changed, or there is a copy already.
            Err(Error::Refused {
                status: 404 | 409 | 412,
                ..
            }) => match self.session.is_there(self.to).await? {
                true => Ok(Published::Before),
                false => Ok(Published::Changed),
            },
            // It may have been made all the same.
            Err(error) if attempts.outcome_is_unknown(Some(&error)) => {
                match self.session.is_there(self.to).await {
                    Ok(true) => Ok(Published::Now),
                    Ok(false) | Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn in_one_call(&self, attempts: &Attempts) -> Result<(), Error> {
        let session = self.session;
        let call = session
            .sdk()
            .copy_object()
            .bucket(session.name())
            .key(self.to.as_str())
            .copy_source(self.source())
            .copy_source_if_match(&self.seen.version)
            .metadata_directive(MetadataDirective::Replace)
            .set_content_type(as_text(Some(&self.content.content_type)))
            .set_content_disposition(as_text(self.content.disposition.as_ref()))
            .set_cache_control(as_text(Some(session.cache_control())))
            .customize()
            .config_override(session.call_config(attempts))
            .mutate_request(session.create_only())
            .send();
        let copied = session.wait("CopyObject", Deadline::Store, call);
        copied.await.map(|_| ())
    }

    async fn in_parts(&self, attempts: &Attempts) -> Result<(), Error> {
        let session = self.session;
        let upload_id = session.create_multipart(self.to, &self.content).await?;
        let copied = match self.copy_parts(&upload_id).await {
            Ok(parts) => {
                let size = self.seen.size;
                let uploaded = Uploaded { parts, size };
                let completed = session.complete_new(self.to, &upload_id, uploaded, attempts);
                completed.await
            }
            Err(error) => Err(error),
        };
        if copied.is_err() {
            session.abort_or_log(self.to, &upload_id).await;
        }
        copied
    }

    async fn copy_parts(&self, upload_id: &str) -> Result<Vec<CompletePart>, Error> {
        let size = self.seen.size;
        let part_bytes = self
            .one_copy_bytes()
            .div_ceil(2)
            .max(size.div_ceil(MAX_PARTS as u64));
        let copies = (0..size.div_ceil(part_bytes)).map(|index| {
            let start = index * part_bytes;
            let end = size.min(start + part_bytes);
            self.copy_part(upload_id, index as i32 + 1, start, end)
        });
        let copies = stream::iter(copies).buffered(COPIES_IN_FLIGHT);
        copies.try_collect().await
    }

    async fn copy_part(
        &self,
        upload_id: &str,
        number: i32,
        start: u64,
        end: u64,
    ) -> Result<CompletePart, Error> {
        const OPERATION: &str = "UploadPartCopy";
        let session = self.session;
        let call = session
            .sdk()
            .upload_part_copy()
            .bucket(session.name())
            .key(self.to.as_str())
            .upload_id(upload_id)
            .part_number(number)
            .copy_source(self.source())
            .copy_source_if_match(&self.seen.version)
            .copy_source_range(format!("bytes={start}-{}", end - 1))
            .customize()
            .config_override(session.call_config(&Attempts::default()))
            .send();
        let copied = session.wait(OPERATION, Deadline::Store, call).await?;
        let etag = copied.copy_part_result.and_then(|part| part.e_tag);
        let missing = || Error::incomplete_answer(OPERATION, "the answer holds no ETag");
        let etag = etag.ok_or_else(missing)?;
        Ok(CompletePart { number, etag })
    }

    fn one_copy_bytes(&self) -> u64 {
        self.session.bucket.0.settings.one_copy_bytes
    }

    /// A key has no byte that would have to be encoded here.
    fn source(&self) -> String {
        format!("{}/{}", self.session.name(), self.from)
    }
}

impl Seen {
    fn empty() -> Self {
        Self {
            head: bytes::Bytes::new(),
            size: 0,
            version: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        bucket::fixture::{key, scripted},
        test_server::{answer, error_body},
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
            let answer = format!("HTTP/1.1 {status}\r\netag: \"e\"\r\n{rest}");
            let (server, session) = scripted([answer]).await;
            let seen = look(&session).await.expect("an answer").expect("an object");
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
            let answer = format!("HTTP/1.1 206 Some\r\n{headers}\r\n1234");
            let (_, session) = scripted([answer]).await;
            let error = look(&session)
                .await
                .expect_err("an answer that says too little");
            assert!(
                matches!(&error, Error::Unavailable { detail, .. } if detail.contains("no size")),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn nothing_is_not_there_and_an_empty_object_is() {
        for status in [403, 404] {
            let (_, session) = scripted([answer(status, "", "")]).await;
            assert_eq!(look(&session).await.expect("an answer"), None, "{status}");
        }
        let (_, session) = scripted([answer(416, "", "")]).await;
        let empty = look(&session).await.expect("an answer").expect("an object");
        assert_eq!((empty.head.len(), empty.size), (0, 0));
        let (_, session) = scripted([answer(400, "", "")]).await;
        let error = look(&session).await.expect_err("refused");
        assert!(
            matches!(error, Error::Refused { status: 400, .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_objects_head_says_whether_it_is_there() {
        let there = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n".to_owned();
        let missing = |status| format!("HTTP/1.1 {status} No\r\ncontent-length: 9\r\n\r\n");
        let answers = [there, missing(404), missing(403), missing(400)];
        let (server, session) = scripted(answers).await;
        let key = key("images/a.png");
        for expected in [true, false, false] {
            let is_there = session.is_there(&key).await;
            assert_eq!(is_there.expect("an answer"), expected);
        }
        let error = session.is_there(&key).await.expect_err("refused");
        assert!(
            matches!(error, Error::Refused { status: 400, .. }),
            "{error}"
        );
        let asked = server.requests();
        let line = "HEAD /s3/chat/images/a.png HTTP/1.1";
        assert!(asked.iter().all(|asked| asked.head.starts_with(line)));
    }

    #[tokio::test]
    async fn a_removed_object_need_not_be_there_but_a_refusal_is_an_error() {
        let denied = answer(403, "", &error_body("AccessDenied"));
        let answers = [answer(204, "", ""), answer(404, "", ""), denied];
        let (server, session) = scripted(answers).await;
        let key = key("pending/a");
        for _ in 0..2 {
            session.remove(&key).await.expect("removed");
        }
        let error = session.remove(&key).await.expect_err("refused");
        assert!(
            matches!(error, Error::Refused { status: 403, .. }),
            "{error}"
        );
        for request in server.requests() {
            assert_eq!(request.line(), "DELETE /s3/chat/pending/a HTTP/1.1");
        }
    }
}
