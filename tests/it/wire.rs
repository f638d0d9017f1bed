//! A client that writes HTTP byte by byte, for requests that no HTTP library would send.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Form, Reply, TIMEOUT, UPLOAD};

/// One connection.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(addr).await.unwrap()))
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = timeout(TIMEOUT, self.0.write_all(bytes.as_ref())).await;
        sent.expect("the server reads").unwrap();
    }

    /// Closes the sending side; responses can still be read.
    pub(crate) async fn end_sending(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Opens a connection whose request the server has started to read.
    pub(crate) async fn asked_for(addr: SocketAddr, form: &Form) -> Self {
        let mut wire = Self::connect(addr).await;
        assert_eq!(wire.ask_first(form).await.status, 100);
        wire
    }

    /// Sends a request's head with `Expect: 100-continue`; returns the response.
    pub(crate) async fn ask_first(&mut self, form: &Form) -> Reply {
        let head = head(form, &[&length(form), "Expect: 100-continue"]);
        self.send(head).await;
        self.answer().await
    }

    /// Sends the head of a request that posts `form`, and the start of its body.
    pub(crate) async fn begin(&mut self, form: &Form, body: usize) {
        self.send(head(form, &[&length(form)])).await;
        self.send(&form.bytes()[..body]).await;
    }

    /// Posts a whole form; returns the response.
    pub(crate) async fn post(&mut self, form: &Form) -> Reply {
        self.begin(form, form.bytes().len()).await;
        self.answer().await
    }

    /// Gets a page; returns the response.
    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let head = format!("GET {path} HTTP/1.1\r\nHost: chat.example.com\r\n\r\n");
        self.send(head).await;
        self.answer().await
    }

    /// Reads the next response, including `100 Continue`.
    pub(crate) async fn answer(&mut self) -> Reply {
        let (status, headers) = self.head().await;
        let len = headers.get("content-length");
        let len = len.map_or(0, |len| len.to_str().unwrap().parse().unwrap());
        let mut body = vec![0; len];
        let read = timeout(TIMEOUT, self.0.read_exact(&mut body)).await;
        read.expect("the rest of an answer").unwrap();
        Reply {
            status,
            headers,
            body: body.into(),
        }
    }

    /// Reads everything until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = timeout(TIMEOUT, self.0.read_to_end(&mut rest)).await;
        read.expect("the server closes the connection").unwrap();
        rest
    }

    async fn head(&mut self) -> (StatusCode, HeaderMap) {
        let status_line = self.line().await;
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                assert_eq!(line, "");
                return (status, headers);
            };
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(TIMEOUT, self.0.read_line(&mut line)).await;
        read.expect("an answer in time").unwrap();
        line.strip_suffix("\r\n").expect("an answer").to_owned()
    }
}

/// Returns the head of a request that posts `form`, with these additional header lines.
pub(crate) fn head(form: &Form, more: &[&str]) -> String {
    let content_type = format!("Content-Type: {}", form.content_type());
    let first = format!("POST {UPLOAD} HTTP/1.1\r\nHost: chat.example.com");
    [&[&*first, &*content_type], more, &["\r\n"]]
        .concat()
        .join("\r\n")
}

/// Returns the `Content-Length` line of a whole form.
pub(crate) fn length(form: &Form) -> String {
    format!("Content-Length: {}", form.bytes().len())
}
