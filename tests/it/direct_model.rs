//! Random histories of one direct upload: its client posts the form, completes several times at once,
//! disconnects, recalls, posts again, and the process is killed, while the test decides in which order the
//! bucket performs and answers. Two rules hold at every step: a file answered with 200 stays unchanged
//! until it is recalled, and an accepted form can be completed until it is recalled.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use bytes::Bytes;
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinHandle, yield_now},
};

use crate::{
    bucket_double::{BucketDouble, Dialect, Held, Operation, Stage},
    lane::{COMPLETE, POLICY, RECALL, SIGNING, pending_key, post_json, target, uni_form},
    support::{Reply, RequestExt as _, TestApi, path_of, png_bytes, send},
};

/// Histories of each kind of bucket and of each way to publish.
const HISTORIES: u64 = 50;
const STEPS: usize = 80;
const MAX_COMPLETIONS: usize = 3;
const MAX_FORMS: usize = 3;
/// Both runtimes are idle after this many rounds in a row without a change.
const QUIET_ROUNDS: usize = 6;
/// Polls of a runtime in one round; each checks its sockets.
const POLLS: usize = 4;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// One process using the bucket. Dropping it kills it: its work stops, except for calls that have
/// arrived at the bucket.
struct Process {
    runtime: Runtime,
    api: Arc<TestApi>,
}

impl Process {
    fn start(bucket: &BucketDouble, strip: &str) -> Self {
        let runtime = runtime();
        let _inside = runtime.enter();
        let api = TestApi::with_bucket(bucket, &[SIGNING, ("UPLOAD_STRIP", strip)]);
        let api = Arc::new(api);
        Self { runtime, api }
    }

    fn ask(&self, path: &str, arguments: &Value) -> JoinHandle<Reply> {
        let request = post_json(path, arguments).header("host", "chat.example.com");
        let api = Arc::clone(&self.api);
        self.runtime.spawn(async move { api.send(request).await })
    }
}

/// A completion that its client waits for.
struct Completion {
    number: usize,
    answer: JoinHandle<Reply>,
    /// Recalls that had taken effect when it was sent.
    recalls_before: usize,
}

/// One upload, its history, and what its client knows.
struct History {
    rng: Rng,
    /// Whether the process is sometimes killed.
    is_killed: bool,
    strip: &'static str,
    bucket: BucketDouble,
    double_runtime: Runtime,
    process: Process,
    policy: Value,
    /// All actions, for the message of a failure.
    story: String,
    completions: Vec<Completion>,
    recalls: Vec<JoinHandle<Reply>>,
    /// Bytes of every posted file, and whether a form was accepted since the last recall.
    posted: BTreeSet<Bytes>,
    is_accepted: bool,
    forms: usize,
    completed: usize,
    /// Calls of recalls, which alone may remove a published file, and how many took effect.
    recall_calls: BTreeSet<usize>,
    recalls_sent: usize,
    recalls_done: usize,
    recall_token: Option<String>,
    /// By key: files that were answered with 200 and not recalled.
    acknowledged: BTreeMap<String, Bytes>,
}

impl History {
    fn begin(dialect: Dialect, strip: &'static str, seed: u64) -> Self {
        let double_runtime = runtime();
        let bucket = {
            let _inside = double_runtime.enter();
            BucketDouble::held(dialect, &double_runtime)
        };
        let process = Process::start(&bucket, strip);
        let leave = process.ask(POLICY, &json!({"name": "a.png"}));
        let policy = process.runtime.block_on(leave).unwrap().data();
        Self {
            rng: Rng::with_seed(seed),
            is_killed: seed % 2 == 1,
            strip,
            policy,
            bucket,
            double_runtime,
            process,
            story: format!("{dialect:?}, UPLOAD_STRIP={strip}, seed {seed}:\n"),
            completions: Vec::new(),
            recalls: Vec::new(),
            posted: BTreeSet::new(),
            is_accepted: false,
            forms: 0,
            completed: 0,
            recall_calls: BTreeSet::new(),
            recalls_sent: 0,
            recalls_done: 0,
            recall_token: None,
            acknowledged: BTreeMap::new(),
        }
    }

    fn run(mut self) {
        self.post_form();
        for _ in 0..STEPS {
            self.step();
            self.settle();
        }
        self.end();
    }

    fn step(&mut self) {
        let held = self.bucket.calls_held();
        match self.rng.u32(0..100) {
            0..72 if !held.is_empty() => {
                // Often the oldest one, so that calls finish.
                let one = if self.rng.bool() {
                    0
                } else {
                    self.rng.usize(0..held.len())
                };
                self.release(&held[one]);
            }
            72..74 if self.is_killed => self.kill(),
            74..80 if !self.completions.is_empty() => {
                let one = self.rng.usize(0..self.completions.len());
                let left = self.completions.swap_remove(one);
                self.note(format_args!("client of completion {} leaves", left.number));
                left.answer.abort();
            }
            80..85 if self.recall_token.is_some() => self.recall(),
            85..89 if self.forms < MAX_FORMS => self.post_form(),
            _ if self.completions.len() < MAX_COMPLETIONS => self.complete(),
            _ => {}
        }
    }

    fn note(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.story, "  {line}").unwrap();
    }

    #[track_caller]
    fn fail(&self, rule: &str) -> ! {
        let objects = self.bucket.objects().into_iter();
        let objects: Vec<_> = objects.map(|(key, it)| (key, it.bytes.len())).collect();
        panic!("{rule}\n{}the bucket has {objects:?}", self.story);
    }

    /// Posts a form with new bytes.
    fn post_form(&mut self) {
        self.forms += 1;
        // More than the head that is read first, so that the rest is read.
        let content = Bytes::from(png_bytes(20_000 + self.forms));
        let upload = self.policy["upload"].clone();
        let form = uni_form(&upload, "a.png", &content);
        let (addr, path) = target(upload["url"].as_str().unwrap());
        let posting = self.process.runtime.spawn(send(addr, form.to(&path)));
        self.settle();
        assert!(posting.is_finished(), "forms do not wait");
        let status = self.process.runtime.block_on(posting).unwrap().status;
        self.note(format_args!("form of {} bytes: {status}", content.len()));
        if status.is_success() {
            self.posted.insert(content);
            self.is_accepted = true;
        }
    }

    fn complete(&mut self) {
        self.completed += 1;
        let number = self.completed;
        self.note(format_args!("completion {number}"));
        let arguments = json!({"ticket": self.policy["ticket"]});
        self.completions.push(Completion {
            number,
            answer: self.process.ask(COMPLETE, &arguments),
            recalls_before: self.recalls_done,
        });
    }

    fn recall(&mut self) {
        let held = self.bucket.calls_held();
        let known: BTreeSet<_> = held.iter().map(|it| it.number).collect();
        let arguments = json!({"recall_token": self.recall_token});
        self.recalls.push(self.process.ask(RECALL, &arguments));
        self.recalls_sent += 1;
        self.run_until_idle();
        // A recall makes one call, and no other was released.
        let held = self.bucket.calls_held();
        let new = held.iter().filter(|it| !known.contains(&it.number));
        let calls: Vec<_> = new.filter(|it| self.removes_a_file(it)).collect();
        let [call] = calls[..] else {
            self.fail(&format!("a recall makes one call, not {calls:?}"));
        };
        let number = call.number;
        self.recall_calls.insert(number);
        self.note(format_args!("recall, call {number}"));
    }

    fn removes_a_file(&self, call: &Held) -> bool {
        call.operation == Operation::Delete && call.key != pending_key(&self.policy)
    }

    fn release(&mut self, call: &Held) {
        let (number, key) = (call.number, &call.key);
        let (operation, stage) = (call.operation, call.stage);
        self.note(format_args!(
            "call {number} {operation:?} {key} {stage:?}: on"
        ));
        if stage == Stage::Arrived && self.removes_a_file(call) {
            if !self.recall_calls.contains(&number) {
                self.fail("only a recall may remove a published file");
            }
            self.recalls_done += 1;
            self.acknowledged.clear();
            self.is_accepted = false;
        }
        self.bucket.release(number);
    }

    fn kill(&mut self) {
        self.note(format_args!("kill"));
        // The client never sees the response.
        for call in self.bucket.calls_held() {
            if call.stage == Stage::Performed {
                self.bucket.release(call.number);
            }
        }
        self.completions.clear();
        self.recalls.clear();
        // All its work ends here; the bucket still performs the calls at the gate.
        self.process = Process::start(&self.bucket, self.strip);
    }

    /// Runs the process and the bucket until both wait for the test, and checks the rules.
    fn settle(&mut self) {
        self.run_until_idle();
        self.read_answers();
        let objects = self.bucket.objects();
        for (key, content) in &self.acknowledged {
            match objects.get(key) {
                None => self.fail(&format!("{key} was answered with 200 and is gone")),
                Some(object) if object.bytes == content => {}
                Some(_) => self.fail(&format!("{key} was answered with 200 and is another now")),
            }
        }
    }

    fn run_until_idle(&mut self) {
        let mut quiet = 0;
        let mut before = None;
        while quiet < QUIET_ROUNDS {
            for runtime in [&self.process.runtime, &self.double_runtime] {
                runtime.block_on(async {
                    for _ in 0..POLLS {
                        yield_now().await;
                    }
                });
            }
            let answered = self.completions.iter().filter(|it| it.answer.is_finished());
            let requests = self.bucket.requests().len();
            let now = Some((requests, self.bucket.calls_held(), answered.count()));
            quiet = if before == now { quiet + 1 } else { 0 };
            before = now;
        }
    }

    /// Reads the responses that have arrived.
    fn read_answers(&mut self) {
        let is_answered = |it: &mut Completion| it.answer.is_finished();
        let answered: Vec<_> = self.completions.extract_if(.., is_answered).collect();
        for completion in answered {
            let answer = self.process.runtime.block_on(completion.answer).unwrap();
            let (number, status) = (completion.number, answer.status);
            self.note(format_args!("completion {number} is answered {status}"));
            match status.as_u16() {
                200 => self.acknowledge(&answer.item(), completion.recalls_before),
                // Its form is not stored yet, or its file was recalled.
                409 if !self.is_accepted || self.recalls_sent > 0 => {
                    answer.assert_refused("upload_incomplete");
                }
                _ => self.fail(&format!("a completion has failed: {}", answer.json())),
            }
        }
    }

    /// Records what a client was told is stored.
    fn acknowledge(&mut self, item: &Value, recalls_before: usize) {
        self.recall_token = item["recall_token"].as_str().map(str::to_owned);
        if recalls_before != self.recalls_done {
            // It may have been stored before the recall, which then removed it.
            return;
        }
        let key = path_of(item);
        let Some(object) = self.bucket.objects().remove(key) else {
            self.fail(&format!("{key} is answered with 200 and is not there"));
        };
        if !self.posted.contains(&object.bytes) {
            self.fail(&format!("{key} holds what no form has brought"));
        }
        if item["size"] != object.bytes.len() {
            self.fail(&format!("the answer says {} bytes", item["size"]));
        }
        self.acknowledged.insert(key.to_owned(), object.bytes);
    }

    /// Runs everything to its end, completes once more, and checks what is left.
    fn end(mut self) {
        self.release_all();
        let is_due = !self.acknowledged.is_empty() || self.is_accepted && self.recalls_sent == 0;
        self.complete();
        self.release_all();
        if !self.completions.is_empty() {
            self.fail("the last completion is not answered");
        }
        if is_due && self.acknowledged.is_empty() {
            self.fail("a form was accepted, nothing was recalled, and it cannot be completed");
        }
        let keys: Vec<_> = self.bucket.objects().into_keys().collect();
        let expected: Vec<_> = self.acknowledged.keys().cloned().collect();
        if keys != expected || self.bucket.open_uploads() != 0 {
            self.fail(&format!("{expected:?} should be all there is"));
        }
    }

    fn release_all(&mut self) {
        self.settle();
        while let Some(call) = self.bucket.calls_held().first() {
            let call = call.clone();
            self.release(&call);
            self.settle();
        }
    }
}

/// Runs histories of a kind of bucket, which publishes by storing again (`location`) or by a copy (`off`).
fn run_histories(dialect: Dialect, strip: &'static str) {
    let factor = std::env::var("CHAT_UPLOAD_HISTORIES").ok();
    let count = factor.map_or(HISTORIES, |count| count.parse().unwrap());
    for seed in 0..count {
        History::begin(dialect, strip, seed).run();
    }
}

#[test]
fn in_any_order_a_file_of_s3_that_is_stored_again_is_kept_or_completable() {
    run_histories(Dialect::S3, "location");
}

#[test]
fn in_any_order_a_file_of_s3_that_is_copied_is_kept_or_completable() {
    run_histories(Dialect::S3, "off");
}

#[test]
fn in_any_order_a_file_of_oss_that_is_stored_again_is_kept_or_completable() {
    run_histories(Dialect::Oss, "location");
}

#[test]
fn in_any_order_a_file_of_oss_that_is_copied_is_kept_or_completable() {
    run_histories(Dialect::Oss, "off");
}
