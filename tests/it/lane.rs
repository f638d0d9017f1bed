//! A client of the direct lane: asks the function for leave, posts the form to whoever takes it, as
//! `uni.uploadFile` does, and asks for completion. Over every kind of store and through every way into
//! the program.

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use chat_upload::config::Config;
use serde_json::{Value, json};

use crate::{
    bucket_double::{BUCKET, BucketDouble, Dialect},
    drivers::{Door, Way},
    support::{FOLDER, Form, PNG, Reply, RequestExt as _, TestApi, UPLOAD, post, send},
};

/// The route that asks for leave to upload.
pub(crate) const POLICY: &str = "/api/chat/uploadPolicy";
/// The route that looks at the upload and makes it visible.
pub(crate) const COMPLETE: &str = "/api/chat/uploadComplete";
/// The route that takes an upload back.
pub(crate) const RECALL: &str = "/api/chat/uploadRecall";
/// Where a disk store takes the form.
pub(crate) const PENDING: &str = "/api/chat/uploadPending";

/// Signs tickets and recall tokens, and nothing else.
pub(crate) const SIGNING: (&str, &str) = ("UPLOAD_SIGNING_SECRET", "only the function knows this");

/// A request that posts JSON.
pub(crate) fn post_json(path: &str, arguments: &Value) -> Request<Body> {
    post(path, "application/json", arguments.to_string())
}

/// The form that `uni.uploadFile({...upload, filePath})` sends: the fields, then the file.
pub(crate) fn uni_form(upload: &Value, name: &str, content: impl AsRef<[u8]>) -> Form {
    let form = fields(upload);
    form.file(upload["name"].as_str().unwrap(), name, content)
}

/// The fields alone.
pub(crate) fn fields(upload: &Value) -> Form {
    let fields = upload["formData"].as_object().unwrap().iter();
    fields.fold(Form::new(), |form, (name, value)| {
        form.text(name, value.as_str().unwrap())
    })
}

/// Where an address leads: socket and path.
pub(crate) fn target(url: &str) -> (SocketAddr, String) {
    let (authority, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    (authority.parse().unwrap(), format!("/{path}"))
}

/// The function over one store, and a client of both.
pub(crate) struct Lane {
    pub(crate) door: Door,
    /// `None` for a folder.
    pub(crate) bucket: Option<BucketDouble>,
    token: Option<String>,
}

impl Lane {
    /// Through this way into the program, with tokens and the store it goes with.
    pub(crate) async fn start(way: Way, vars: &[(&'static str, &str)]) -> Self {
        let (door, bucket) = Door::open(way, vars).await;
        Self::through(door, bucket)
    }

    fn through(door: Door, bucket: Option<BucketDouble>) -> Self {
        if let Some(bucket) = &bucket {
            // The rights that the templates give: keys may be listed below these alone.
            bucket.list_only(&["images/", "pending/"]);
        }
        Self {
            door,
            bucket,
            token: None,
        }
    }

    /// One over each kind of store, with a signing secret and these variables.
    pub(crate) async fn each(vars: &[(&str, &str)]) -> [Self; 3] {
        let [s3, oss] = Self::buckets(vars).await;
        [Self::disk(vars), s3, oss]
    }

    /// One over each kind of bucket.
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

    /// With settings that no variable sets.
    pub(crate) fn changed(
        bucket: Option<BucketDouble>,
        vars: &[(&str, &str)],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let vars = [&[SIGNING], vars].concat();
        let api = TestApi::changed(bucket.as_ref(), &vars, change);
        Self::through(Door::Router(Box::new(api)), bucket)
    }

    /// From now on with this token.
    pub(crate) fn signed_in(mut self, token: String) -> Self {
        self.token = Some(token);
        self
    }

    /// The Router of a lane without a socket.
    pub(crate) fn api(&self) -> &TestApi {
        match &self.door {
            Door::Router(api) => api,
            _ => panic!("a lane of another process"),
        }
    }

    /// Which store it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        self.by_store(["s3", "oss", "disk"])
    }

    /// One of three, for S3, OSS and a folder.
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

    /// The host that the function is asked at: where its socket is, if a form may lead there.
    fn host(&self) -> String {
        match &self.door {
            Door::Local(local) => local.addr.to_string(),
            _ => "chat.example.com".to_owned(),
        }
    }

    /// Sends a request to the function, with the token if there is one and it has none.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let mut request = request.header("host", self.host());
        if let Some(token) = &self.token {
            let token = token.parse().unwrap();
            request.headers_mut().entry("token").or_insert(token);
        }
        self.door.send(request).await.unwrap()
    }

    pub(crate) async fn ask(&self, path: &str, arguments: &Value) -> Reply {
        self.send(post_json(path, arguments)).await
    }

    /// Posts JSON with another token.
    pub(crate) async fn ask_as(&self, token: &str, path: &str, arguments: &Value) -> Reply {
        let request = post_json(path, arguments).header("token", token);
        self.send(request).await
    }

    /// Leave to upload a file of this name.
    pub(crate) async fn policy(&self, name: &str) -> Value {
        self.ask(POLICY, &json!({"name": name})).await.data()
    }

    /// Posts a form to whoever takes it: the bucket over its socket, or the function.
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
                // The form is its own leave: no token goes along.
                self.door.send(form.to(PENDING)).await.unwrap()
            }
        }
    }

    /// Sends a file as `policy` allows.
    pub(crate) async fn put(&self, policy: &Value, content: impl AsRef<[u8]>) -> Reply {
        let upload = &policy["upload"];
        // The name that an app gives a file it has recorded, and the type it guesses.
        self.post_form(upload, &uni_form(upload, "tmp_1712.bin", content))
            .await
    }

    /// Sends a file as `policy` allows, which must succeed.
    pub(crate) async fn put_well(&self, policy: &Value, content: impl AsRef<[u8]>) {
        let reply = self.put(policy, content).await;
        let text = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status, 200, "{}: {text}", self.kind());
    }

    /// Sends a file that then waits for its completion; its policy.
    pub(crate) async fn waiting(&self, content: impl AsRef<[u8]>) -> Value {
        let policy = self.policy("a.png").await;
        self.put_well(&policy, content).await;
        policy
    }

    pub(crate) async fn complete(&self, policy: &Value) -> Reply {
        self.ask(COMPLETE, &json!({"ticket": policy["ticket"]}))
            .await
    }

    /// All three calls; the item.
    pub(crate) async fn upload(&self, name: &str, content: impl AsRef<[u8]>) -> Value {
        let policy = self.policy(name).await;
        self.put_well(&policy, content).await;
        self.complete(&policy).await.item()
    }

    /// The item of a file sent through each route that stores one.
    pub(crate) async fn items(&self) -> [Value; 3] {
        let main = self.send(Form::picture().to(UPLOAD)).await.item();
        let form = Form::new().file("file", "a.png", PNG);
        let form = form.to(&format!("{FOLDER}chatImgs"));
        let folder = self.send(form).await.data();
        let direct = self.upload("a.png", PNG).await;
        [main, folder, direct]
    }

    /// Everything in the store, hidden files included: key → bytes.
    pub(crate) fn contents(&self) -> BTreeMap<String, Bytes> {
        if let Some(bucket) = &self.bucket {
            let objects = bucket.objects().into_iter();
            return objects.map(|(key, object)| (key, object.bytes)).collect();
        }
        let files = match &self.door {
            Door::Local(local) => local.files(),
            _ => self.api().files(),
        };
        let files = files.into_iter();
        files.map(|(key, bytes)| (key, bytes.into())).collect()
    }

    /// The keys of everything stored.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.contents().into_keys().collect()
    }

    pub(crate) fn bytes(&self, key: &str) -> Bytes {
        self.contents()[key].clone()
    }

    /// Uploads in parts that are neither completed nor aborted.
    pub(crate) fn open_uploads(&self) -> usize {
        self.bucket.as_ref().map_or(0, BucketDouble::open_uploads)
    }

    /// Asserts that this is all there is, and that no upload in parts is open.
    #[track_caller]
    pub(crate) fn assert_holds(&self, keys: &[&str]) {
        assert_eq!(self.keys(), keys, "{}", self.kind());
        assert_eq!(self.open_uploads(), 0, "{}", self.kind());
    }
}

/// The key that a policy is for.
pub(crate) fn pending_key(policy: &Value) -> &str {
    policy["upload"]["formData"]["key"].as_str().unwrap()
}

/// An item without what differs from answer to answer: what was found in a file is told once.
pub(crate) fn lasting(item: &Value) -> Value {
    let mut item = item.clone();
    for key in ["recall_token", "geo"] {
        item.as_object_mut().unwrap().remove(key);
    }
    item
}
