//! Multipart uploads whose parts a client uploads directly to the bucket: the function creates, completes
//! or aborts the upload, and presigns a URL for each part.

use std::time::Duration;

use super::{
    ListedPart, Session,
    multipart::{CompletePart, Overwrite},
    request::Call,
    retry::Attempts,
    sigv4::Stamp,
};
use crate::store::{ContentHeaders, Error, ObjectKey, Tasks};

/// Multipart uploads of clients.
#[derive(Clone, Copy, Debug)]
pub struct ClientMultipart<'s> {
    session: &'s Session,
    tasks: &'s Tasks,
}

/// An upload whose id has not been returned yet; aborted when dropped.
#[derive(Debug)]
struct AbortOnDrop {
    session: Session,
    tasks: Tasks,
    key: ObjectKey,
    id: Option<String>,
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let (session, key) = (self.session.clone(), self.key.clone());
            self.tasks
                .spawn(async move { session.abort_or_log(&key, &id).await });
        }
    }
}

impl<'s> ClientMultipart<'s> {
    pub(in crate::store) fn new(session: &'s Session, tasks: &'s Tasks) -> Self {
        Self { session, tasks }
    }

    /// Smallest part that a client should send, except the last, in bytes.
    pub fn part_bytes(self) -> u64 {
        self.session.bucket.dialect().part_bytes()
    }

    /// Creates an upload and returns its id. If the response is lost or the client disconnects meanwhile,
    /// aborts the upload.
    ///
    /// # Errors
    /// Those of every call to the bucket.
    pub async fn create(self, key: &ObjectKey) -> Result<String, Error> {
        let (session, tasks) = (self.session.clone(), self.tasks.clone());
        let key = key.clone();
        let creation = self.tasks.spawn(async move {
            let content = ContentHeaders::UNKNOWN;
            let id = Some(session.create_multipart(&key, &content).await?);
            Ok(AbortOnDrop {
                session,
                tasks,
                key,
                id,
            })
        });
        let mut created = creation.await.map_err(|_| Error::Interrupted)??;
        created.id.take().ok_or(Error::Interrupted)
    }

    /// Lists the uploaded parts, in order.
    ///
    /// # Errors
    /// Those of every call to the bucket; [`Error::Refused`] with 404 when the upload has ended.
    pub async fn list(self, key: &ObjectKey, id: &str) -> Result<Vec<ListedPart>, Error> {
        self.session.list_parts(key, id).await
    }

    /// Presigns a URL for the `PUT` of one part; it is valid for `expires`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without valid credentials.
    pub async fn presign_part(
        self,
        key: &ObjectKey,
        id: &str,
        number: i32,
        expires: Duration,
    ) -> Result<String, Error> {
        let bucket = &self.session.bucket.0;
        let credentials = self.session.credentials.current().await?;
        let stamp = Stamp::new(bucket.clock.now());
        let query = [("partNumber", &*number.to_string()), ("uploadId", id)];
        Ok(bucket.presign(&credentials, &stamp, "PUT", key, &query, expires))
    }

    /// Completes an upload with these parts, each a number and an ETag.
    ///
    /// # Errors
    /// Those of every call to the bucket; [`Error::Refused`] with 400 for unknown parts, with 404 when the
    /// upload has ended.
    pub async fn complete(
        self,
        key: &ObjectKey,
        id: &str,
        parts: Vec<(i32, String)>,
    ) -> Result<(), Error> {
        let parts = parts.into_iter();
        let parts = parts.map(|(number, etag)| CompletePart { number, etag });
        let (parts, attempts) = (parts.collect(), Attempts::default());
        self.session
            .complete_multipart(key, id, parts, Overwrite::Allowed, &attempts)
            .await
    }

    /// Aborts an upload; succeeds if it has ended already.
    ///
    /// # Errors
    /// When it may still exist.
    pub async fn abort(self, key: &ObjectKey, id: &str) -> Result<(), Error> {
        let call = Call::abort(key.as_str(), id);
        self.session.send_removal(call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        bucket::{
            Settings,
            fixture::{key, refused, scripted, session, settings},
        },
        test_server::{error_body, response},
    };

    #[tokio::test]
    async fn an_aborted_upload_need_not_be_there_but_a_refusal_is_an_error() {
        let denied = response(403, "", &error_body("AccessDenied"));
        let responses = [response(204, "", ""), response(404, "", ""), denied];
        let (server, session) = scripted(responses).await;
        let tasks = Tasks::default();
        let uploads = ClientMultipart::new(&session, &tasks);
        for _ in 0..2 {
            let aborted = uploads.abort(&key("pending/a"), "a+b/=").await;
            aborted.expect("ended");
        }
        let denied = uploads.abort(&key("pending/a"), "a+b/=").await;
        assert_eq!(refused(denied), 403);
        let line = "DELETE /s3/chat/pending/a?uploadId=a%2Bb%2F%3D HTTP/1.1";
        assert!(server.requests().iter().all(|it| it.line() == line));
    }

    #[tokio::test]
    async fn parts_are_presigned_for_the_address_where_clients_reach_the_bucket() {
        let session = session(Settings {
            endpoint: Some("https://s3.oss-cn-hangzhou-internal.aliyuncs.com".to_owned()),
            path_style: false,
            ..settings("")
        });
        let tasks = Tasks::default();
        let uploads = ClientMultipart::new(&session, &tasks);
        let life = Duration::from_secs(900);
        let key = key("pending/a");
        let url = uploads.presign_part(&key, "a+b/=", 7, life);
        let url = url.await.expect("a URL");
        let start = "https://chat.s3.oss-cn-hangzhou.aliyuncs.com/pending/a?X-Amz-Algorithm=";
        assert!(url.starts_with(start), "{url}");
        for part in [
            "&X-Amz-Expires=900&X-Amz-Security-Token=token&X-Amz-SignedHeaders=host&",
            "&partNumber=7&uploadId=a%2Bb%2F%3D&X-Amz-Signature=",
        ] {
            assert!(url.contains(part), "{url}");
        }
    }
}
