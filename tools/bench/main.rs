//! Measures the release binary as whole processes, as Function Compute's server and in Lambda's
//! loop, and prints a table: `cargo measure --help`.
//!
//! The object store is a [`sink`], so only this program's own work is measured. Absolute figures
//! depend on the machine and its load; comparable are multiples of a floor, which is measured in
//! the same run: a [`relay`] of the same bytes, or only their encryption. Linux only: figures
//! come from `/proc`.

mod client;
mod lambda;
mod limits;
mod listener;
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
    client::{Bounds, Done, Payload, first_answer, send},
    lambda::RuntimeApi,
    options::Options,
    process::{Process, Start, Starter, free_address},
    relay::Kind,
    sink::Sink,
    table::{Line, gb_per_s, median, mib, ms, ms_fine, s_per_gb},
};

const SMALL: usize = 100_000;
const MEDIUM: usize = 4_000_000;
const LARGE: usize = 100_000_000;
/// Its event has 5.9 MB, near Lambda's limit of 6 MB.
const LARGEST_IN_AN_EVENT: usize = 4_400_000;
const CLIENTS: usize = 16;
/// Signs the URL of a private file.
const SECRET: &str = "only the function knows this";
const IMAGE_KEY: &str = "images/20250417/1744866732481_20f90b51544f.png";
/// Turns into which a row's uploads are split.
const TURNS: u64 = 5;

/// The rows by their names for `--only`, in the order of the table.
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
        let [memcpy, loopback] = [limits::memcpy(time), limits::loopback(time)?].map(gb_per_s);
        Ok(vec![
            Line::new("memcpy, one thread", "", memcpy),
            Line::new("loopback, one socket", "", loopback),
        ])
    }

    // ---------------------------------------------------------------------------------------------
    // Function Compute's server

    fn start(&self) -> Measured {
        let first_200 = "process start to first 200 (/healthz)";
        let mut lines = self.medians(first_200, "≤ 8 ms, CPU ≤ 4 ms", || {
            let server = Server::start(self)?;
            Ok((server.ready_after, server.process.cpu()?))
        })?;
        let first_upload = "process start to the first upload of 100 KB done";
        lines.extend(self.medians(first_upload, "", || {
            let server = Server::start(self)?;
            std::thread::sleep(self.options.pause);
            server.upload(&Payload::with_size(SMALL), 1, once())?;
            let wall = server.process.started.elapsed() - self.options.pause;
            Ok((wall, server.process.cpu()?))
        })?);
        Ok(lines)
    }

    /// Returns the medians of wall time and processor time of several starts.
    fn medians(
        &self,
        what: &str,
        to_reach: &'static str,
        start: impl Fn() -> io::Result<(Duration, Duration)>,
    ) -> Measured {
        let times = (0..self.options.starts()).map(|_| start());
        let (wall, cpu) = times.collect::<io::Result<(Vec<_>, Vec<_>)>>()?;
        let line = Line::new(what, to_reach, ms(median(wall)));
        Ok(vec![line.with_cpu(ms(median(cpu)))])
    }

    fn idle(&self) -> Measured {
        let server = Server::start(self)?;
        std::thread::sleep(Duration::from_millis(300));
        let rss = mib(server.process.rss()?);
        Ok(vec![Line::new("idle RSS", "≤ 6 MiB", rss)])
    }

    fn small(&self) -> Measured {
        let (what, to_reach) = ("100 KB, 16 clients", "CPU ≤ 1.6 × floor");
        let payload = Payload::with_size(SMALL);
        self.compare(Kind::Plain, what, to_reach, &payload, CLIENTS, 20_000)
    }

    fn medium(&self) -> Measured {
        let (what, to_reach) = ("4 MB, 16 clients", "CPU ≤ 1.1 × floor");
        let payload = Payload::with_size(MEDIUM);
        self.compare(Kind::Keeping, what, to_reach, &payload, CLIENTS, 1_000)
    }

    fn large(&self) -> Measured {
        let (what, to_reach) = ("100 MB, one after the other", "CPU ≤ 1.35 × floor");
        let payload = Payload::with_size(LARGE);
        self.compare(Kind::Keeping, what, to_reach, &payload, 1, 30)
    }

    /// Measures the files of the command line.
    fn files(&self) -> Measured {
        let mut lines = Vec::new();
        for path in &self.options.files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let (what, payload) = (format!("{name}, 16 clients"), Payload::read_file(path)?);
            lines.extend(self.compare(Kind::Keeping, &what, "", &payload, CLIENTS, 2_000)?);
        }
        Ok(lines)
    }

    /// Measures uploads to the program, and to its floor: the other build if one is given, else a relay.
    fn compare(
        &self,
        relay: Kind,
        what: &str,
        to_reach: &'static str,
        payload: &Payload,
        clients: usize,
        requests: u64,
    ) -> Measured {
        let build = self.options.beside.as_ref();
        let floor = match build {
            Some(build) => Server::start_build(self, build, &self.sink, Vec::new())?,
            None => Server::start_relay(self, relay)?,
        };
        let name = match (build, relay) {
            (Some(_), _) => "the other build",
            (None, Kind::Plain) => "relay",
            (None, Kind::Keeping) => "relay that keeps",
        };
        let server = Server::start(self)?;
        let loads = [(&server, payload), (&floor, payload)];
        let [program, floor] = self.alternate(loads, clients, requests)?;
        let shown = |cpu| match relay {
            Kind::Plain => ms_fine(cpu),
            Kind::Keeping => s_per_gb(cpu, payload.file_bytes),
        };
        let what = format!("{what}; floor: {name}");
        let line = Line::new(what, to_reach, rate(program.rate));
        Ok(vec![line.compared(program.cpu, floor.cpu, shown)])
    }

    /// Measures the redirect to a private file, and the response of a route that does nothing.
    fn read(&self) -> Measured {
        let private = vec![
            ("UPLOAD_READ", "signed".to_owned()),
            ("UPLOAD_SIGNING_SECRET", SECRET.to_owned()),
        ];
        let server = Server::start_build(self, &self.options.binary, &self.sink, private)?;
        let path = format!("/f/{}/{IMAGE_KEY}", signature(IMAGE_KEY));
        let [file, healthz] = [Payload::get(&path), Payload::get("/healthz")];
        let loads = [(&server, &file), (&server, &healthz)];
        let [redirect, bare] = self.alternate(loads, CLIENTS, 100_000)?;
        let what = "redirect to a private file, 16 clients; floor: /healthz";
        let line = Line::new(what, "CPU ≤ floor + 0.030 ms", rate(redirect.rate));
        Ok(vec![line.compared(redirect.cpu, bare.cpu, ms_fine)])
    }

    /// Measures the cost of TLS to the store, and the encryption of the file's bytes alone.
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
            let payload = Payload::with_size(size);
            let loads = servers.each_ref().map(|server| (server, &payload));
            let [plain, tls_128, tls_256] = self.alternate(loads, clients, requests)?;
            for (cipher, algorithm, tls) in [
                ("AES-128-GCM", &AES_128_GCM, tls_128),
                ("AES-256-GCM", &AES_256_GCM, tls_256),
            ] {
                let more = tls.cpu.saturating_sub(plain.cpu);
                let floor = limits::aes_gcm(algorithm, size)?;
                let what = format!("TLS to the store, more than without: {name}; floor: {cipher}");
                let to_reach = ["", "CPU ≤ 1.5 × floor"][usize::from(size == MEDIUM)];
                let line = Line::new(what, to_reach, rate(tls.rate));
                lines.push(line.compared(more, floor, |cpu| s_per_gb(cpu, size)));
            }
        }
        Ok(lines)
    }

    /// Measures loads of warm servers, which take turns. The cheapest turn of each counts, as other
    /// programs disturbed the rest.
    fn alternate<const N: usize>(
        &self,
        loads: [(&Server<'_>, &Payload); N],
        clients: usize,
        requests: u64,
    ) -> io::Result<[Turn; N]> {
        let bounds = self.options.at_most(requests).split(TURNS);
        for (server, payload) in loads {
            server.upload(payload, clients, warm_up(clients))?;
        }
        let mut best = [Turn::WORST; N];
        for _ in 0..TURNS {
            for ((server, payload), best) in loads.iter().zip(&mut best) {
                best.improve(server.turn(payload, clients, bounds)?);
            }
        }
        Ok(best)
    }

    fn peak(&self) -> Measured {
        let size = self.options.largest();
        let server = Server::start(self)?;
        let cpu = server.process.cpu()?;
        server.upload(&Payload::with_size(size), 1, once())?;
        let cpu = server.process.cpu()? - cpu;
        let uploaded = mib(size as u64);
        let what = format!("peak RSS, one upload of {uploaded}, fresh process");
        let line = Line::new(what, "≤ 40 MiB", mib(server.process.peak_rss()?));
        Ok(vec![line.with_cpu(s_per_gb(cpu, size))])
    }

    fn concurrency(&self) -> Measured {
        let size = self.options.concurrent_bytes();
        let payload = Payload::with_size(size);
        let mut lines = Vec::new();
        for &uploads in &self.options.concurrency {
            let server = Server::start(self)?;
            let bounds = Bounds {
                requests: uploads as u64,
                ..once()
            };
            let done = server.upload(&payload, uploads, bounds)?;
            let cpu = server.process.cpu()?.div_f64(done.requests.max(1) as f64);
            let what = format!("peak RSS, {} MB × {uploads} at once", size / 1_000_000);
            let to_reach = if uploads == 64 { "≤ 450 MiB" } else { "" };
            let line = Line::new(what, to_reach, mib(server.process.peak_rss()?));
            lines.push(line.with_cpu(s_per_gb(cpu, size)));
        }
        Ok(lines)
    }

    // ---------------------------------------------------------------------------------------------
    // Lambda's loop

    fn lambda_start(&self) -> Measured {
        let what = "Lambda: exec to first /next";
        self.medians(what, "≤ 3 ms", || {
            let function = Function::start(self)?;
            Ok((function.asked_after, function.process.cpu()?))
        })
    }

    fn lambda_first(&self) -> Measured {
        let event = lambda::event(&Payload::with_size(SMALL))?;
        let what = "Lambda: init and first invocation with 100 KB";
        self.medians(what, "≤ 4.5 ms", || {
            let function = Function::start(self)?;
            std::thread::sleep(self.options.pause);
            let invoked = function.api.invoke(&event)?;
            Ok((function.asked_after + invoked, function.process.cpu()?))
        })
    }

    fn lambda_warm(&self) -> Measured {
        let (times, cpu, _) = self.largest_events()?;
        let what = "Lambda: event with 4.4 MB, warm, p50";
        let line = Line::new(what, "≤ 9 ms", ms(median(times)));
        Ok(vec![line.with_cpu(ms(cpu))])
    }

    fn lambda_peak(&self) -> Measured {
        let (_, _, peak) = self.largest_events()?;
        let what = "Lambda: peak RSS after events with 4.4 MB";
        Ok(vec![Line::new(what, "≤ 20 MiB", mib(peak))])
    }

    /// Measures wall time, processor time and peak memory of invocations.
    fn largest_events(&self) -> io::Result<(Vec<Duration>, Duration, u64)> {
        let event = lambda::event(&Payload::with_size(LARGEST_IN_AN_EVENT))?;
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
        let size = format!("{:.2} MB", size as f64 / 1e6);
        Ok(vec![Line::new("the binary", "≤ 6 MB", size)])
    }

    // ---------------------------------------------------------------------------------------------
    // Starting the binary

    /// Returns a command that runs the program, storing into `sink`.
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
    /// Requests per second.
    rate: f64,
    /// The server's processor time per request.
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
    /// Time until it answered.
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

    fn start_relay(bench: &'b Bench, kind: Kind) -> io::Result<Self> {
        let (address, sink) = (free_address()?, &bench.sink);
        let command = Start {
            binary: std::env::current_exe()?,
            arguments: kind.arguments(address, sink.address),
            variables: Vec::new(),
        };
        Self::answering(bench.starter.run(command)?, address, sink)
    }

    fn answering(mut process: Process, address: SocketAddr, sink: &'b Sink) -> io::Result<Self> {
        first_answer(address, || process.check())?;
        Ok(Self {
            ready_after: process.started.elapsed(),
            process,
            address,
            sink,
        })
    }

    fn upload(&self, payload: &Payload, clients: usize, bounds: Bounds) -> io::Result<Done> {
        send(self.address, payload, clients, bounds)
    }

    fn turn(&self, payload: &Payload, clients: usize, bounds: Bounds) -> io::Result<Turn> {
        let (cpu, taken) = (self.process.cpu()?, self.sink.taken());
        let done = self.upload(payload, clients, bounds)?;
        // A relay also relays the form around the file.
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
    /// Time until it requested an event.
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

/// Returns the program's signature of this key.
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

/// Warms up: opens the connections, grows the buffers and reads the code from disk.
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

/// Prints processors and load, which every figure depends on.
fn describe(options: &Options) {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let pinned = ["", ", one of them the binary's alone"][usize::from(options.pin)];
    println!("{processors} processors{pinned}; load {load} before the first row\n");
}
