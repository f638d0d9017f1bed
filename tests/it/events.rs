//! Every sample event in `events/` through the built program, against `events/expected.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    fc::{self, ON_FC},
    runtime_double::{GatewayAnswer, RuntimeDouble},
    support::{Process, disk_var, files_below, owned, send},
};

/// One entry of `expected.json`.
#[derive(Deserialize)]
struct Expected {
    event: String,
    status: u16,
    code: Option<String>,
    object: Option<String>,
    class_id: Option<u64>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}

fn expected() -> Vec<Expected> {
    let json = std::fs::read(folder().join("expected.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Caller that hands events to the program.
enum Platform {
    Lambda(RuntimeDouble),
    FunctionCompute(SocketAddr),
}

impl Platform {
    async fn answer(&self, event: Vec<u8>) -> GatewayAnswer {
        match self {
            Self::Lambda(double) => double.answer(event).await,
            Self::FunctionCompute(addr) => {
                GatewayAnswer::new(send(*addr, fc::event(event)).await.json())
            }
        }
    }

    /// Sends one event and compares the response and everything stored.
    async fn check(&self, expected: &Expected, store: &TempDir) {
        let Expected { event, .. } = expected;
        let before = files_below(store.path());
        let sent = std::fs::read(folder().join(event)).unwrap();
        let answer = self.answer(sent).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, expected.status, "{event}: {text}");
        assert!(answer.headers.contains_key("x-request-id"), "{event}");
        if event.contains("options") {
            let origin = answer.header("access-control-allow-origin");
            assert_eq!(origin, "*", "{event}");
            assert_eq!(text, "", "{event}");
        } else {
            check_envelope(expected, &answer);
        }

        let mut stored = files_below(store.path());
        stored.retain(|path, _| !before.contains_key(path));
        let object = expected.object.as_ref();
        let object = object.map(|file| std::fs::read(folder().join(file)).unwrap());
        assert!(stored.values().eq(&object), "{event} stored {stored:?}");
        for path in stored.keys() {
            let told = format!("\"path\":\"{path}\"");
            assert!(text.contains(&told), "{event}: {path} in {text}");
        }
    }
}

fn check_envelope(expected: &Expected, answer: &GatewayAnswer) {
    let (event, code, class_id) = (&expected.event, &expected.code, &expected.class_id);
    let json = answer.json();
    let mime = answer.header("content-type");
    assert_eq!(mime, "application/json; charset=utf-8", "{event}");
    let msg = ["ok", "fail"][usize::from(code.is_some())];
    assert_eq!(json["msg"], msg, "{event}: {json}");
    assert_eq!(json["code"].as_str(), code.as_deref(), "{event}: {json}");
    if let Some(class_id) = class_id {
        let told = &json["data"][0]["image_class_id"];
        assert_eq!(told, class_id, "{event}: {json}");
    }
}

/// Checks each of these events. Events with equal variables share a process, which `start` returns.
async fn check_all(
    entries: Vec<Expected>,
    start: impl AsyncFn(Vec<(&str, String)>) -> (Platform, Process),
) {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for entry in entries {
        groups.entry(entry.env.clone()).or_default().push(entry);
    }
    for (env, entries) in groups {
        let store = tempfile::tempdir().unwrap();
        let env = env.iter().map(|(name, value)| (&**name, value.clone()));
        let vars = env.chain([disk_var(store.path())]).collect();
        let (platform, _process) = start(vars).await;
        for expected in &entries {
            platform.check(expected, &store).await;
        }
    }
}

#[tokio::test]
async fn every_event_gets_its_answer_on_lambda() {
    check_all(expected(), async |vars| {
        let double = RuntimeDouble::start().await;
        let process = Process::start(&[vars, double.env()].concat());
        (Platform::Lambda(double), process)
    })
    .await;
}

#[tokio::test]
async fn every_event_of_aliyuns_gateway_gets_its_answer_on_function_compute() {
    let mut of_aliyun = expected();
    of_aliyun.retain(|expected| expected.event.starts_with("aliyun-"));
    assert!(!of_aliyun.is_empty());
    check_all(of_aliyun, async |vars| {
        let (process, addr) = Process::serve(&[vars, owned(&[ON_FC])].concat());
        (Platform::FunctionCompute(addr), process)
    })
    .await;
}

#[test]
fn every_event_is_expected_once_and_told_of_in_the_readme() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let events: BTreeSet<_> = names
        .filter(|name| name.ends_with(".json") && name != "expected.json")
        .collect();
    let expected = expected();
    assert_eq!(expected.len(), events.len());
    let named: BTreeSet<_> = expected.iter().map(|entry| entry.event.clone()).collect();
    assert_eq!(named, events);

    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for entry in &expected {
        let start = format!("| `{}` |", entry.event);
        let row = readme.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row that begins with {start}"));
        let code = entry.code.as_ref().map(|code| format!(" `{code}`"));
        let end = format!("| {}{} |", entry.status, code.unwrap_or_default());
        assert!(row.ends_with(&end), "{row}");
    }
}
