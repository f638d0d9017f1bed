//! Starts the process: environment, log, store, router, and the runtime of the platform it runs on.

mod command_line;

use std::{
    error::Error as _, hint::black_box, io, io::IsTerminal as _, process::ExitCode, time::Duration,
};

use chat_upload::{
    api,
    config::Config,
    runtime::{self, Greeting, Limits, Runtime},
    store::{self, Store},
};
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Longest wait at shutdown for aborts and deletions in progress.
const SHUTDOWN_CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Size of the block freed at start, in bytes. glibc sets the trim threshold to twice this, and 62 MiB is what 16
/// concurrent uploads of 4 MB need. glibc ignores blocks over 32 MiB.
const TRIM_BLOCK: usize = 31 * 1024 * 1024;

fn main() -> ExitCode {
    if let Some(code) = command_line::answer(std::env::args_os().skip(1)) {
        return code;
    }
    raise_trim_threshold();
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    start_log(&config);
    match tokio_runtime(config.runtime).and_then(|tokio| tokio.block_on(run(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "fatal error");
            ExitCode::FAILURE
        }
    }
}

/// Raises glibc's dynamic mmap and trim thresholds by freeing one large block, so that freed memory is kept for
/// the next upload (mallopt(3)). The block is never touched, so it uses no physical memory.
fn raise_trim_threshold() {
    drop(black_box(Vec::<u8>::with_capacity(TRIM_BLOCK)));
}

async fn run(config: Config) -> io::Result<()> {
    let target = describe_store(&config);
    let limits = Limits {
        idle: config.api.idle,
        request: config.api.request_limit,
        max_in_flight: config.api.max_in_flight,
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let store = Store::open(config.store).map_err(|error| store_error(&target, &error))?;
    if config.warm {
        store.warm();
    }
    let greeting = Greeting {
        stores_into: &target,
        needs_token: !config.api.auth.secrets.is_empty(),
        has_page: config.api.page.as_ref().is_some_and(|page| page.is_on),
        has_random_secret: config.has_random_secret,
    };
    let router = api::router(store.clone(), config.api);
    let outcome = runtime::run(config.runtime, config.addr, router, limits, greeting).await;
    let _ = tokio::time::timeout(SHUTDOWN_CLEANUP_TIMEOUT, store.settle()).await;
    outcome
}

/// Names the setting to change and the system's reason.
fn store_error(target: &str, error: &store::Error) -> io::Error {
    let cause = error.source().map(|cause| format!(": {cause}"));
    let cause = cause.unwrap_or_default();
    io::Error::other(format!(
        "cannot store into {target} (UPLOAD_STORE): {error}{cause}; a folder must be writable for this user, \
         UPLOAD_STORE=disk:<folder> names another one"
    ))
}

/// Single-threaded on one processor, and on Lambda, which usually sends one request at a time.
fn tokio_runtime(runtime: Runtime) -> io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match (runtime, processors) {
        (Runtime::Lambda, _) | (_, 1) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// Logs JSON lines in a cloud, plain text on a developer's machine.
fn start_log(config: &Config) {
    let registry = tracing_subscriber::registry().with(config.log.clone());
    let is_local = config.runtime == Runtime::Local;
    if is_local {
        let ansi = io::stdout().is_terminal();
        let text = tracing_subscriber::fmt::layer().with_target(false);
        registry.with(text.with_ansi(ansi)).init();
    } else {
        let json = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false);
        registry.with(json).init();
    }
}

/// Describes the store, for messages at start.
fn describe_store(config: &Config) -> String {
    match &config.store {
        store::Settings::Disk(disk) => format!("the folder {}", disk.folder.display()),
        store::Settings::Bucket(bucket) => {
            format!("the {} bucket {}", bucket.dialect.name(), bucket.bucket)
        }
    }
}
