//! A scripted HTTP server for unit tests: it returns its responses in order, to any request, and records
//! the requests.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A successful response to any request.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"e\"\r\n\r\n";

/// Builds a response of status, header lines and body.
pub(super) fn response(status: u16, headers: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {status} Said\r\ncontent-length: {len}\r\n{headers}\r\n{body}")
}

/// Builds the body of an S3 error.
pub(super) fn error_body(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>says why</Message></Error>")
}

/// A running server; it closes connections when it has no more responses.
pub(super) struct TestServer {
    url: String,
    requests: Arc<Mutex<Vec<Received>>>,
}

/// One request, and the number of its connection.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) connection: usize,
    pub(super) head: String,
}

impl Received {
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

impl TestServer {
    pub(super) async fn start(responses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let responses: Vec<_> = responses.into_iter().map(Into::into).collect();
        let requests = Arc::default();
        let shared = (Arc::clone(&requests), Arc::from(responses));
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(serve(stream, connection, shared.clone()));
            }
        });
        Self { url, requests }
    }

    /// Its URL, without a trailing slash.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn requests(&self) -> Vec<Received> {
        let requests = self.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    (requests, responses): (Arc<Mutex<Vec<Received>>>, Arc<[String]>),
) {
    let mut unread = Vec::new();
    while let Some(head) = request(&mut stream, &mut unread).await {
        let number = {
            let mut requests = requests.lock().expect("no panic while held");
            requests.push(Received { connection, head });
            requests.len()
        };
        let Some(response) = responses.get(number - 1) else {
            return;
        };
        stream.write_all(response.as_bytes()).await.expect("sent");
        if response.contains("connection: close") {
            return;
        }
    }
}

/// Reads a whole request and returns its head; `None` at the end of the connection.
async fn request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(unread).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(Ok(0), str::parse);
            if body.len() >= length.expect("a number") {
                unread.clear();
                return Some(head.to_owned());
            }
        }
        stream
            .read_buf(unread)
            .await
            .ok()
            .filter(|read| *read > 0)?;
    }
}
