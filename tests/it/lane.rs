//! A client of direct uploads: requests a policy, posts the form to the bucket or the disk store's route,
//! as `uni.uploadFile` does, and completes the upload. For every kind of store and every driver.

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use chat_upload::config::Config;
use serde_json::{Value, json};

use crate::{
    bucket_double::{BUCKET, BucketDouble, Dialect},
    drivers::{Driver, Program},
    support::{FOLDER, Form, PNG, Reply, RequestExt as _, TestApi, UPLOAD, post, send},
};

/// The route that returns an upload policy.
pub(crate) const POLICY: &str = "/api/chat/uploadPolicy";
/// The route that checks an upload and publishes it.
pub(crate) const COMPLETE: &str = "/api/chat/uploadComplete";
/// The route that recalls an upload.
pub(crate) const RECALL: &str = "/api/chat/uploadRecall";
/// The route to which a disk store's form is posted.
pub(crate) const PENDING: &str = "/api/chat/uploadPending";

/// Secret that signs tickets and recall tokens only.
pub(crate) const SIGNING: (&str, &str) = ("UPLOAD_SIGNING_SECRET", "only the function knows this");

/// Returns a request that posts JSON.
pub(crate) fn post_json(path: &str, arguments: &Value) -> Request<Body> {
    post(path, "application/json", arguments.to_string())
}

/// Builds the form that `uni.uploadFile({...upload, filePath})` sends: the fields, then the file.
pub(crate) fn uni_form(upload: &Value, name: &str, content: impl AsRef<[u8]>) -> Form {
    let form = fields(upload);
    form.file(upload["name"].as_str().unwrap(), name, content)
}

/// Builds a form of the fields alone.
pub(crate) fn fields(upload: &Value) -> Form {
    let fields = upload["formData"].as_object().unwrap().iter();
    fields.fold(Form::new(), |form, (name, value)| {
        form.text(name, value.as_str().unwrap())
    })
}

/// Splits a URL into socket address and path.
pub(crate) fn target(url: &str) -> (SocketAddr, String) {
    let (authority, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    (authority.parse().unwrap(), format!("/{path}"))
}

/// The function with one store, and a client of both.
pub(crate) struct Lane {
    pub(crate) program: Program,
    /// `None` for a disk store.
    pub(crate) bucket: Option<BucketDouble>,
    token: Option<String>,
}

impl Lane {
    /// Starts the program of this driver, with its store; uploads need a token.
    pub(crate) async fn start(driver: Driver, vars: &[(&'static str, &str)]) -> Self {
        let (program, bucket) = Program::open(driver, vars).await;
        Self::through(program, bucket)
    }

    fn through(program: Program, bucket: Option<BucketDouble>) -> Self {
        if let Some(bucket) = &bucket {
            // The permissions in the templates: only keys with these prefixes may be listed.
            bucket.list_only(&["images/", "pending/"]);
        }
        Self {
            program,
            bucket,
            token: None,
        }
    }

    /// Starts one for each kind of store, with a signing secret and these variables.
    pub(crate) async fn each(vars: &[(&str, &str)]) -> [Self; 3] {
        let [s3, oss] = Self::buckets(vars).await;
        [Self::disk(vars), s3, oss]
    }

    /// Starts one for each kind of bucket.
    pub(crate) async fn buckets(vars: &[(&str, &str)]) -> [Self; 2] {
        [Self::s3(vars).await, Self::oss(vars).await]
    }

    pub(crate) fn disk(vars: &[(&str, &str)]) -> Self {
        Self::changed(None, vars, |_| {})
    }

    pub(crate) async fn s3(vars: &[(&str, &str)]) -> Self {
        Self::over(Dialect::S3, vars).await
    }

    pub(crate) async fn oss(vars: &[(&str, &str)]) -> Self {
        Self::over(Dialect::Oss, vars).await
    }

    pub(crate) async fn over(dialect: Dialect, vars: &[(&str, &str)]) -> Self {
        Self::changed(Some(BucketDouble::start(dialect).await), vars, |_| {})
    }

    /// Starts one with settings that no variable sets.
    pub(crate) fn changed(
        bucket: Option<BucketDouble>,
        vars: &[(&str, &str)],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let vars = [&[SIGNING], vars].concat();
        let api = TestApi::changed(bucket.as_ref(), &vars, change);
        Self::through(Program::Router(Box::new(api)), bucket)
    }

    /// Sends this token from now on.
    pub(crate) fn signed_in(mut self, token: String) -> Self {
        self.token = Some(token);
        self
    }

    /// Returns the Router of a lane without a socket.
    pub(crate) fn api(&self) -> &TestApi {
        match &self.program {
            Program::Router(api) => api,
            _ => panic!("a lane of another process"),
        }
    }

    /// Names the kind of store, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        self.by_store(["s3", "oss", "disk"])
    }

    /// Selects one of three values, for S3, OSS and a disk store.
    pub(crate) fn by_store<T: Copy>(&self, [s3, oss, disk]: [T; 3]) -> T {
        match self.bucket.as_ref().map(BucketDouble::dialect) {
            Some(Dialect::S3) => s3,
            Some(Dialect::Oss) => oss,
            None => disk,
        }
    }

    pub(crate) fn bucket(&self) -> &BucketDouble {
        self.bucket.as_ref().expect("a lane with a bucket")
    }

    /// Returns the Host of requests: the socket's address, if forms may be posted there.
    fn host(&self) -> String {
        match &self.program {
            Program::Local(local) => local.addr.to_string(),
            _ => "chat.example.com".to_owned(),
        }
    }

    /// Sends a request to the function, with this lane's token unless it has one.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let mut request = request.header("host", self.host());
        if let Some(token) = &self.token {
            let token = token.parse().unwrap();
            request.headers_mut().entry("token").or_insert(token);
        }
        self.program.send(request).await.unwrap()
    }

    pub(crate) async fn ask(&self, path: &str, arguments: &Value) -> Reply {
        self.send(post_json(path, arguments)).await
    }

    /// Posts JSON with another token.
    pub(crate) async fn ask_as(&self, token: &str, path: &str, arguments: &Value) -> Reply {
        let request = post_json(path, arguments).header("token", token);
        self.send(request).await
    }

    /// Requests a policy to upload a file of this name.
    pub(crate) async fn policy(&self, name: &str) -> Value {
        self.ask(POLICY, &json!({"name": name})).await.data()
    }

    /// Posts a form to the bucket over its socket, or to the function.
    pub(crate) async fn post_form(&self, upload: &Value, form: &Form) -> Reply {
        let url = upload["url"].as_str().unwrap();
        match &self.bucket {
            Some(bucket) => {
                let (addr, path) = target(url);
                assert_eq!((addr, path), (bucket.addr(), format!("/{BUCKET}/")));
                send(addr, form.to(&format!("/{BUCKET}/"))).await
            }
            None => {
                assert_eq!(url, format!("http://{}{PENDING}", self.host()));
                // The signed form needs no token.
                self.program.send(form.to(PENDING)).await.unwrap()
            }
        }
    }

    /// Sends a file as `policy` allows.
    pub(crate) async fn put(&self, policy: &Value, content: impl AsRef<[u8]>) -> Reply {
        let upload = &policy["upload"];
        // Name and type as an app sends them for a recorded file.
        self.post_form(upload, &uni_form(upload, "tmp_1712.bin", content))
            .await
    }

    /// Sends a file as `policy` allows, which must succeed.
    pub(crate) async fn put_ok(&self, policy: &Value, content: impl AsRef<[u8]>) {
        let reply = self.put(policy, content).await;
        let text = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status, 200, "{}: {text}", self.kind());
    }

    /// Sends a file without completing it; returns its policy.
    pub(crate) async fn waiting(&self, content: impl AsRef<[u8]>) -> Value {
        let policy = self.policy("a.png").await;
        self.put_ok(&policy, content).await;
        policy
    }

    pub(crate) async fn complete(&self, policy: &Value) -> Reply {
        self.ask(COMPLETE, &json!({"ticket": policy["ticket"]}))
            .await
    }

    /// Makes all three calls and returns the item.
    pub(crate) async fn upload(&self, name: &str, content: impl AsRef<[u8]>) -> Value {
        let policy = self.policy(name).await;
        self.put_ok(&policy, content).await;
        self.complete(&policy).await.item()
    }

    /// Sends a file through each route that stores one; returns their items.
    pub(crate) async fn items(&self) -> [Value; 3] {
        let main = self.send(Form::image().to(UPLOAD)).await.item();
        let form = Form::new().file("file", "a.png", PNG);
        let form = form.to(&format!("{FOLDER}chatImgs"));
        let folder = self.send(form).await.data();
        let direct = self.upload("a.png", PNG).await;
        [main, folder, direct]
    }

    /// Returns everything in the store, including hidden files: key → bytes.
    pub(crate) fn contents(&self) -> BTreeMap<String, Bytes> {
        if let Some(bucket) = &self.bucket {
            let objects = bucket.objects().into_iter();
            return objects.map(|(key, object)| (key, object.bytes)).collect();
        }
        let files = match &self.program {
            Program::Local(local) => local.files(),
            _ => self.api().files(),
        };
        let files = files.into_iter();
        files.map(|(key, bytes)| (key, bytes.into())).collect()
    }

    /// Returns the keys of all stored objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.contents().into_keys().collect()
    }

    pub(crate) fn bytes(&self, key: &str) -> Bytes {
        self.contents()[key].clone()
    }

    /// Counts multipart uploads that are neither completed nor aborted.
    pub(crate) fn open_uploads(&self) -> usize {
        self.bucket.as_ref().map_or(0, BucketDouble::open_uploads)
    }

    /// Asserts that these are the only objects, and that no multipart upload is open.
    #[track_caller]
    pub(crate) fn assert_holds(&self, keys: &[&str]) {
        assert_eq!(self.keys(), keys, "{}", self.kind());
        assert_eq!(self.open_uploads(), 0, "{}", self.kind());
    }
}

/// Returns the key of a policy.
pub(crate) fn pending_key(policy: &Value) -> &str {
    policy["upload"]["formData"]["key"].as_str().unwrap()
}

/// Returns an item without the fields that differ between responses: `geo` is reported only once.
pub(crate) fn lasting(item: &Value) -> Value {
    let mut item = item.clone();
    for key in ["recall_token", "geo"] {
        item.as_object_mut().unwrap().remove(key);
    }
    item
}
