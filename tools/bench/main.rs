//! Measures the release binary as whole processes, on Function Compute's server and on Lambda's
//! loop, and prints a table: `cargo measure --help`.
//!
//! The object store is a [`sink`], so what is measured is this program's own work. Absolute figures
//! belong to the machine and its load; what carries over are multiples of a floor, which is measured
//! in the same run: a [`relay`] of the same bytes, or their encryption alone. Linux only: figures
//! come from `/proc`.

mod client;
mod lambda;
mod limits;
mod options;
mod process;
mod relay;
mod sink;
mod table;

use std::{io, net::SocketAddr, path::Path, process::ExitCode, time::Duration};

use ring::{
    aead::{AES_128_GCM, AES_256_GCM},
    hmac,
};
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};

use self::{
    client::{Bounds, Done, Load, Payload, first_answer},
    lambda::RuntimeApi,
    options::Options,
    process::{Process, Start, Starter, free_address},
    sink::Sink,
    table::{Line, gb_per_s, median, mib, ms, ms_fine, s_per_gb, times},
};

const SMALL: usize = 100_000;
const MEDIUM: usize = 4_000_000;
const LARGE: usize = 100_000_000;
/// Its event has 5.9 MB, near the 6 MB that Lambda takes.
const LARGEST_IN_AN_EVENT: usize = 4_400_000;
const CLIENTS: usize = 16;
/// Signs the address of a private file.
const SECRET: &str = "only the function knows this";
const PICTURE: &str = "images/20250417/1744866732481_20f90b51544f.png";
/// Number of turns that a row's uploads are split into.
const TURNS: u64 = 5;

/// The rows by the names that `--only` knows, in the order of the table.
const ROWS: [(&str, Row); 16] = [
    ("limits", Bench::limits),
    ("start", Bench::start),
    ("idle", Bench::idle),
    ("small", Bench::small),
    ("medium", Bench::medium),
    ("large", Bench::large),
    ("files", Bench::files),
    ("read", Bench::read),
    ("tls", Bench::tls),
    ("peak", Bench::peak),
    ("lambda-start", Bench::lambda_start),
    ("lambda-first", Bench::lambda_first),
    ("lambda-warm", Bench::lambda_warm),
    ("lambda-peak", Bench::lambda_peak),
    ("concurrency", Bench::concurrency),
    ("size", Bench::size),
];

type Row = fn(&Bench) -> Measured;
/// The lines of one row.
type Measured = io::Result<Vec<Line>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if std::env::args().nth(1).as_deref() == Some(relay::COMMAND) {
        return exit(relay::run(arguments.skip(1)));
    }
    let options = match Options::parse(&mut arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("bench: {mistake}\ntry --help");
            return ExitCode::from(2);
        }
    };
    exit(Bench::prepare(options).and_then(|bench| bench.run()))
}

fn exit(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Bench {
    options: Options,
    starter: Starter,
    sink: Sink,
}

impl Bench {
    fn prepare(options: Options) -> io::Result<Self> {
        describe(&options);
        let starter = Starter::new(options.pin)?;
        let sink = Sink::start(options.tls.then_some(TLS13_AES_128_GCM_SHA256))?;
        Ok(Self {
            options,
            starter,
            sink,
        })
    }

    fn run(&self) -> io::Result<()> {
        println!("{}", table::HEAD);
        for (row, measure) in ROWS {
            if self.options.wants(row) {
                for line in measure(self)? {
                    println!("{line}");
                }
            }
        }
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------
    // The machine

    fn limits(&self) -> Measured {
        let time = self.options.at_most(1).time / 4;
        let line = |what: &str, measured| Line {
            what: what.to_owned(),
            measured,
            ..Line::default()
        };
        Ok(vec![
            line("memcpy, one thread", gb_per_s(limits::memcpy(time))),
            line("loopback, one socket", gb_per_s(limits::loopback(time)?)),
        ])
    }

    // ---------------------------------------------------------------------------------------------
    // Function Compute's server

    fn start(&self) -> Measured {
        let mut bare = (Vec::new(), Vec::new());
        let mut upload = (Vec::new(), Vec::new());
        for _ in 0..self.options.starts() {
            let server = Server::start(self)?;
            bare.0.push(server.ready_after);
            bare.1.push(server.process.cpu()?);
        }
        for _ in 0..self.options.starts() {
            let server = Server::start(self)?;
            std::thread::sleep(self.options.pause);
            server.upload(&Payload::of_size(SMALL), 1, once())?;
            let wall = server.process.started.elapsed() - self.options.pause;
            upload.0.push(wall);
            upload.1.push(server.process.cpu()?);
        }
        let first_200 = "process start to first 200 (/healthz)";
        let first_upload = "process start to the first upload of 100 KB done";
        Ok(vec![
            medians(first_200, "≤ 8 ms, CPU ≤ 4 ms", bare),
            medians(first_upload, "", upload),
        ])
    }

    fn idle(&self) -> Measured {
        let server = Server::start(self)?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(vec![memory("idle RSS", "≤ 6 MiB", server.process.rss()?)])
    }

    fn small(&self) -> Measured {
        let payload = Payload::of_size(SMALL);
        let turns = self.beside(relay::Kind::Plain, &payload, CLIENTS, 20_000)?;
        Ok(vec![Line {
            what: format!("100 KB, 16 clients; floor: {}", self.floor("relay")),
            to_reach: "CPU ≤ 1.6 × floor",
            cpu: ms_fine(turns[0].cpu),
            floor: ms_fine(turns[1].cpu),
            ..turns_beside(turns, SMALL)
        }])
    }

    fn medium(&self) -> Measured {
        let payload = Payload::of_size(MEDIUM);
        let turns = self.beside(relay::Kind::Keeping, &payload, CLIENTS, 1_000)?;
        let floor = self.floor("relay that keeps");
        Ok(vec![Line {
            what: format!("4 MB, 16 clients; floor: {floor}"),
            to_reach: "CPU ≤ 1.1 × floor",
            ..turns_beside(turns, MEDIUM)
        }])
    }

    fn large(&self) -> Measured {
        let payload = Payload::of_size(LARGE);
        let turns = self.beside(relay::Kind::Keeping, &payload, 1, 30)?;
        let floor = self.floor("relay that keeps");
        Ok(vec![Line {
            what: format!("100 MB, one after the other; floor: {floor}"),
            to_reach: "CPU ≤ 1.35 × floor",
            ..turns_beside(turns, LARGE)
        }])
    }

    /// The files of the command line.
    fn files(&self) -> Measured {
        let floor = self.floor("relay that keeps");
        let lines = self.options.files.iter().map(|path| {
            let payload = Payload::of_file(path)?;
            let turns = self.beside(relay::Kind::Keeping, &payload, CLIENTS, 2_000)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Ok(Line {
                what: format!("{name}, 16 clients; floor: {floor}"),
                ..turns_beside(turns, payload.file_bytes)
            })
        });
        lines.collect()
    }

    /// The program, and its floor: the other build where one is given, else a relay.
    fn beside(
        &self,
        floor: relay::Kind,
        payload: &Payload,
        clients: usize,
        requests: u64,
    ) -> io::Result<[Turn; 2]> {
        let floor = match &self.options.beside {
            Some(binary) => Server::start_build(self, binary, &self.sink, Vec::new())?,
            None => Server::start_relay(self, floor)?,
        };
        let servers = [Server::start(self)?, floor];
        self.alternate(&servers, payload, clients, requests)
    }

    fn floor<'n>(&self, relay: &'n str) -> &'n str {
        match self.options.beside {
            Some(_) => "the other build",
            None => relay,
        }
    }

    /// The redirect to a private file, beside the answer of a route that does nothing.
    fn read(&self) -> Measured {
        let private = vec![
            ("UPLOAD_READ", "signed".to_owned()),
            ("UPLOAD_SIGNING_SECRET", SECRET.to_owned()),
        ];
        let server = Server::start_build(self, &self.options.binary, &self.sink, private)?;
        let path = format!("/f/{}/{PICTURE}", signature(PICTURE));
        let payloads = [Payload::get(&path), Payload::get("/healthz")];
        let bounds = self.options.at_most(100_000).split(TURNS);
        let mut best = [Turn::WORST; 2];
        for payload in &payloads {
            server.upload(payload, CLIENTS, warm_up(CLIENTS))?;
        }
        for _ in 0..TURNS {
            for (payload, best) in payloads.iter().zip(&mut best) {
                best.improve(server.turn(payload, CLIENTS, bounds)?);
            }
        }
        let [redirect, bare] = best;
        Ok(vec![Line {
            what: "redirect to a private file, 16 clients; floor: /healthz".to_owned(),
            to_reach: "CPU ≤ floor + 0.030 ms",
            measured: rate(redirect.rate),
            cpu: ms_fine(redirect.cpu),
            floor: ms_fine(bare.cpu),
            ratio: times(redirect.cpu, bare.cpu),
        }])
    }

    /// The cost of TLS to the store, beside the encryption of the file's bytes alone.
    fn tls(&self) -> Measured {
        let sinks = [
            Sink::start(Some(TLS13_AES_128_GCM_SHA256))?,
            Sink::start(Some(TLS13_AES_256_GCM_SHA384))?,
        ];
        let servers = [
            Server::start(self)?,
            Server::start_with(self, &sinks[0])?,
            Server::start_with(self, &sinks[1])?,
        ];
        let mut lines = Vec::new();
        for (name, size, clients, requests) in [
            ("100 KB, 16 clients", SMALL, CLIENTS, 10_000),
            ("4 MB, 16 clients", MEDIUM, CLIENTS, 500),
            ("100 MB, one after the other", LARGE, 1, 20),
        ] {
            let payload = Payload::of_size(size);
            let [plain, tls_128, tls_256] =
                self.alternate(&servers, &payload, clients, requests)?;
            for (cipher, algorithm, tls) in [
                ("AES-128-GCM", &AES_128_GCM, tls_128),
                ("AES-256-GCM", &AES_256_GCM, tls_256),
            ] {
                let more = tls.cpu.saturating_sub(plain.cpu);
                let floor = limits::aes_gcm(algorithm, size)?;
                lines.push(Line {
                    what: format!("TLS to the store, more than without: {name}; floor: {cipher}"),
                    to_reach: ["", "CPU ≤ 1.5 × floor"][usize::from(size == MEDIUM)],
                    measured: rate(tls.rate),
                    cpu: s_per_gb(more, size),
                    floor: s_per_gb(floor, size),
                    ratio: times(more, floor),
                });
            }
        }
        Ok(lines)
    }

    /// Measures uploads of one file to warm servers, which take turns. The cheapest turn of each
    /// counts, as the others were disturbed by other programs.
    fn alternate<const N: usize>(
        &self,
        servers: &[Server<'_>; N],
        payload: &Payload,
        clients: usize,
        requests: u64,
    ) -> io::Result<[Turn; N]> {
        let bounds = self.options.at_most(requests).split(TURNS);
        for server in servers {
            server.upload(payload, clients, warm_up(clients))?;
        }
        let mut best = [Turn::WORST; N];
        for _ in 0..TURNS {
            for (server, best) in servers.iter().zip(&mut best) {
                best.improve(server.turn(payload, clients, bounds)?);
            }
        }
        Ok(best)
    }

    fn peak(&self) -> Measured {
        let size = self.options.largest();
        let server = Server::start(self)?;
        let cpu = server.process.cpu()?;
        server.upload(&Payload::of_size(size), 1, once())?;
        let cpu = server.process.cpu()? - cpu;
        let uploaded = mib(size as u64);
        let what = format!("peak RSS, one upload of {uploaded}, fresh process");
        Ok(vec![Line {
            cpu: s_per_gb(cpu, size),
            ..memory(&what, "≤ 40 MiB", server.process.peak_rss()?)
        }])
    }

    fn concurrency(&self) -> Measured {
        let size = self.options.concurrent_bytes();
        let payload = Payload::of_size(size);
        let mut lines = Vec::new();
        for &uploads in &self.options.concurrency {
            let server = Server::start(self)?;
            let bounds = Bounds {
                requests: uploads as u64,
                time: Duration::from_secs(60),
            };
            let done = server.upload(&payload, uploads, bounds)?;
            let cpu = server.process.cpu()?.div_f64(done.requests.max(1) as f64);
            let what = format!("peak RSS, {} MB × {uploads} at once", size / 1_000_000);
            let to_reach = if uploads == 64 { "≤ 450 MiB" } else { "" };
            lines.push(Line {
                cpu: s_per_gb(cpu, size),
                ..memory(&what, to_reach, server.process.peak_rss()?)
            });
        }
        Ok(lines)
    }

    // ---------------------------------------------------------------------------------------------
    // Lambda's loop

    fn lambda_start(&self) -> Measured {
        let mut times = (Vec::new(), Vec::new());
        for _ in 0..self.options.starts() {
            let function = Function::start(self)?;
            times.0.push(function.asked_after);
            times.1.push(function.process.cpu()?);
        }
        let what = "Lambda: exec to first /next";
        Ok(vec![medians(what, "≤ 3 ms", times)])
    }

    fn lambda_first(&self) -> Measured {
        let event = lambda::event(&Payload::of_size(SMALL));
        let mut times = (Vec::new(), Vec::new());
        for _ in 0..self.options.starts() {
            let function = Function::start(self)?;
            std::thread::sleep(self.options.pause);
            let invoked = function.api.invoke(&event)?;
            times.0.push(function.asked_after + invoked);
            times.1.push(function.process.cpu()?);
        }
        let what = "Lambda: init and first invocation with 100 KB";
        Ok(vec![medians(what, "≤ 4.5 ms", times)])
    }

    fn lambda_warm(&self) -> Measured {
        let (times, cpu, _) = self.largest_events()?;
        Ok(vec![Line {
            what: "Lambda: event with 4.4 MB, warm, p50".to_owned(),
            to_reach: "≤ 9 ms",
            measured: ms(median(times)),
            cpu: ms(cpu),
            ..Line::default()
        }])
    }

    fn lambda_peak(&self) -> Measured {
        let (_, _, peak) = self.largest_events()?;
        let what = "Lambda: peak RSS after events with 4.4 MB";
        Ok(vec![memory(what, "≤ 20 MiB", peak)])
    }

    /// Wall time of each, processor time of one, peak memory.
    fn largest_events(&self) -> io::Result<(Vec<Duration>, Duration, u64)> {
        let event = lambda::event(&Payload::of_size(LARGEST_IN_AN_EVENT));
        let function = Function::start(self)?;
        for _ in 0..3 {
            function.api.invoke(&event)?;
        }
        let cpu = function.process.cpu()?;
        let number = self.options.invocations();
        let times = (0..number).map(|_| function.api.invoke(&event));
        let times = times.collect::<io::Result<Vec<_>>>()?;
        let cpu = (function.process.cpu()? - cpu).div_f64(number as f64);
        Ok((times, cpu, function.process.peak_rss()?))
    }

    fn size(&self) -> Measured {
        let size = std::fs::metadata(&self.options.binary)?.len();
        Ok(vec![Line {
            what: "the binary".to_owned(),
            to_reach: "≤ 6 MB",
            measured: format!("{:.2} MB", size as f64 / 1e6),
            ..Line::default()
        }])
    }

    // ---------------------------------------------------------------------------------------------
    // How the binary is started

    /// The program, storing into `sink`.
    fn command(&self, binary: &Path, sink: &Sink, more: Vec<(&'static str, String)>) -> Start {
        let mut variables = vec![
            ("UPLOAD_STORE", "s3://bench".to_owned()),
            ("UPLOAD_ENDPOINT", sink.endpoint()),
            ("UPLOAD_PATH_STYLE", "true".to_owned()),
            ("UPLOAD_MAX_BYTES", (2_u64 << 30).to_string()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG".to_owned()),
        ];
        let certificate = sink.certificate.as_ref();
        variables.extend(certificate.map(|file| {
            let path = file.path().display().to_string();
            ("SSL_CERT_FILE", path)
        }));
        variables.extend(more);
        variables.extend(self.options.variables.iter().cloned());
        Start {
            binary: binary.to_owned(),
            arguments: Vec::new(),
            variables,
        }
    }
}

/// Result of uploads of one size to one server.
#[derive(Clone, Copy)]
struct Turn {
    /// Requests a second.
    rate: f64,
    /// The server's processor time for one.
    cpu: Duration,
}

impl Turn {
    const WORST: Self = Self {
        rate: 0.0,
        cpu: Duration::MAX,
    };

    fn improve(&mut self, other: Self) {
        self.rate = self.rate.max(other.rate);
        self.cpu = self.cpu.min(other.cpu);
    }
}

/// The binary as Function Compute's server, or a relay.
struct Server<'b> {
    process: Process,
    address: SocketAddr,
    sink: &'b Sink,
    /// How long until it answered.
    ready_after: Duration,
}

impl<'b> Server<'b> {
    fn start(bench: &'b Bench) -> io::Result<Self> {
        Self::start_with(bench, &bench.sink)
    }

    fn start_with(bench: &'b Bench, sink: &'b Sink) -> io::Result<Self> {
        Self::start_build(bench, &bench.options.binary, sink, Vec::new())
    }

    fn start_build(
        bench: &'b Bench,
        binary: &Path,
        sink: &'b Sink,
        mut variables: Vec<(&'static str, String)>,
    ) -> io::Result<Self> {
        let address = free_address()?;
        let memory = bench.options.memory_mb.to_string();
        variables.extend([
            ("FC_FUNCTION_NAME", "bench".to_owned()),
            ("FC_FUNCTION_MEMORY_SIZE", memory),
            ("UPLOAD_ADDR", address.to_string()),
        ]);
        let command = bench.command(binary, sink, variables);
        Self::answering(bench.starter.run(command)?, address, sink)
    }

    fn start_relay(bench: &'b Bench, kind: relay::Kind) -> io::Result<Self> {
        let (address, sink) = (free_address()?, &bench.sink);
        let command = Start {
            binary: std::env::current_exe()?,
            arguments: kind.arguments(address, sink.address),
            variables: Vec::new(),
        };
        Self::answering(bench.starter.run(command)?, address, sink)
    }

    fn answering(mut process: Process, address: SocketAddr, sink: &'b Sink) -> io::Result<Self> {
        first_answer(address, "/healthz", || process.check())?;
        Ok(Self {
            ready_after: process.started.elapsed(),
            process,
            address,
            sink,
        })
    }

    fn upload(&self, payload: &Payload, clients: usize, bounds: Bounds) -> io::Result<Done> {
        let load = Load {
            to: self.address,
            payload: payload.clone(),
            clients,
            bounds,
        };
        load.run()
    }

    fn turn(&self, payload: &Payload, clients: usize, bounds: Bounds) -> io::Result<Turn> {
        let (cpu, taken) = (self.process.cpu()?, self.sink.taken());
        let done = self.upload(payload, clients, bounds)?;
        // A relay passes on the form around the file as well.
        if self.sink.taken() - taken < done.requests * payload.file_bytes as u64 {
            let lost = "not every byte sent has reached the store";
            return Err(io::Error::other(lost));
        }
        Ok(Turn {
            rate: done.rate(),
            cpu: (self.process.cpu()? - cpu).div_f64(done.requests.max(1) as f64),
        })
    }
}

/// The binary as a Lambda function.
struct Function {
    process: Process,
    api: RuntimeApi,
    /// How long until it asked for an event.
    asked_after: Duration,
}

impl Function {
    fn start(bench: &Bench) -> io::Result<Self> {
        let api = RuntimeApi::start()?;
        let start = bench.command(
            &bench.options.binary,
            &bench.sink,
            vec![
                ("AWS_LAMBDA_RUNTIME_API", api.address.to_string()),
                ("AWS_LAMBDA_FUNCTION_NAME", "bench".to_owned()),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".to_owned()),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench".to_owned()),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".to_owned()),
            ],
        );
        let process = bench.starter.run(start)?;
        let asked = api.asked()?;
        Ok(Self {
            asked_after: asked - process.started,
            process,
            api,
        })
    }
}

/// The signature by which the program named this key.
fn signature(key: &str) -> String {
    let mac = |secret: &[u8], text: &str| {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        hmac::sign(&secret, text.as_bytes())
    };
    let tag = mac(mac(SECRET.as_bytes(), "chat-upload 1 read").as_ref(), key);
    let half = tag.as_ref().get(..16).unwrap_or_default();
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(half)
}

fn once() -> Bounds {
    Bounds {
        requests: 1,
        time: Duration::from_secs(60),
    }
}

/// Opens the connections, grows the buffers and reads the code from disk.
fn warm_up(clients: usize) -> Bounds {
    Bounds {
        requests: 2 * clients as u64,
        ..once()
    }
}

fn rate(per_second: f64) -> String {
    let digits = if per_second < 100.0 { 1 } else { 0 };
    format!("{per_second:.digits$} req/s")
}

/// The columns of a program and its floor that both uploaded a file of `size` bytes.
fn turns_beside([program, floor]: [Turn; 2], size: usize) -> Line {
    Line {
        measured: rate(program.rate),
        cpu: s_per_gb(program.cpu, size),
        floor: s_per_gb(floor.cpu, size),
        ratio: times(program.cpu, floor.cpu),
        ..Line::default()
    }
}

/// The medians of wall times and of processor times.
fn medians(
    what: &str,
    to_reach: &'static str,
    (wall, cpu): (Vec<Duration>, Vec<Duration>),
) -> Line {
    Line {
        what: what.to_owned(),
        to_reach,
        measured: ms(median(wall)),
        cpu: ms(median(cpu)),
        ..Line::default()
    }
}

fn memory(what: &str, to_reach: &'static str, bytes: u64) -> Line {
    Line {
        what: what.to_owned(),
        to_reach,
        measured: mib(bytes),
        ..Line::default()
    }
}

/// Prints processors and load, without which no figure means anything.
fn describe(options: &Options) {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let pinned = ["", ", one of them the binary's alone"][usize::from(options.pin)];
    println!("{processors} processors{pinned}; load {load} before the first row\n");
}
