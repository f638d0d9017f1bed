//! The command line: rows, duration, processor.

use std::{path::PathBuf, time::Duration};

use crate::{ROWS, client::Bounds};

pub(crate) const HELP: &str = "\
Measures the release binary as whole processes and prints a Markdown table.

Usage: cargo build --release && cargo measure [OPTIONS]

  --binary PATH         the binary [default: bootstrap beside the folder of this program]
  --beside PATH         another build takes turns with it and stands for the floor
  --file PATH           an upload of row files, which has none without; repeatable
  --pin                 the binary gets the first processor, everything else the others (taskset)
  --only ROW,ROW        limits, start, idle, small, medium, large, files, read, tls, peak,
                        lambda-start, lambda-first, lambda-warm, lambda-peak, concurrency, size [default: all]
  --quick               a fifth of the time, smaller files; to see that it runs
  --concurrency N,N     uploads at once in the last table [default: 1,16,64]
  --concurrent-mb N     size of each of them [default: 100]
  --memory-mb N         what the function is told to have; a quarter is for parts [default: 1024]
  --tls                 the store speaks TLS; rows start, idle, lambda-start and lambda-first only
  --pause-ms N          how long nobody asks for anything after the start, before the first upload
  --env NAME=VALUE      one more variable for the binary; repeatable
  --help                this text
";

#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) binary: PathBuf,
    /// Another build of the binary.
    pub(crate) beside: Option<PathBuf>,
    /// Files for row `files`.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) pin: bool,
    only: Vec<String>,
    quick: bool,
    pub(crate) concurrency: Vec<usize>,
    concurrent_mb: usize,
    pub(crate) memory_mb: usize,
    pub(crate) tls: bool,
    pub(crate) pause: Duration,
    /// Environment variables; their names are leaked, for the life of the process.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Options {
    /// Parses the arguments; `None` if help was requested, `Err` with the reason if they are invalid.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            binary: beside_this_program()?,
            concurrency: vec![1, 16, 64],
            concurrent_mb: 100,
            memory_mb: 1024,
            ..Self::default()
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--help" => return Ok(None),
                "--pin" => options.pin = true,
                "--quick" => options.quick = true,
                "--tls" => options.tls = true,
                "--pause-ms" => options.pause = Duration::from_millis(number(&value()?)? as u64),
                "--binary" => options.binary = value()?.into(),
                "--beside" => options.beside = Some(value()?.into()),
                "--file" => options.files.push(value()?.into()),
                "--only" => options.only = rows(&value()?)?,
                "--concurrency" => options.concurrency = numbers(&value()?)?,
                "--concurrent-mb" => options.concurrent_mb = number(&value()?)?,
                "--memory-mb" => options.memory_mb = number(&value()?)?,
                "--env" => options.variables.push(variable(&value()?)?),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        if !options.binary.is_file() {
            let binary = options.binary.display();
            return Err(format!("no {binary}: cargo build --release, or --binary"));
        }
        Ok(Some(options))
    }

    pub(crate) fn wants(&self, row: &str) -> bool {
        // The others compare with a relay, which has no TLS.
        let with_tls = ["start", "idle", "lambda-start", "lambda-first"].contains(&row);
        let wanted = self.only.is_empty() || self.only.iter().any(|wanted| wanted == row);
        wanted && (!self.tls || with_tls)
    }

    /// Returns the first in a quick run, else the second.
    fn quick_or<T>(&self, quick: T, thorough: T) -> T {
        if self.quick { quick } else { thorough }
    }

    /// Returns the number of starts for a median.
    pub(crate) fn starts(&self) -> usize {
        self.quick_or(5, 21)
    }

    /// Returns the number of timed warm invocations.
    pub(crate) fn invocations(&self) -> usize {
        self.quick_or(5, 30)
    }

    /// Returns the limits of a load: fewer requests in a quick run, and the time of a row.
    pub(crate) fn at_most(&self, requests: u64) -> Bounds {
        Bounds {
            requests: self.quick_or(requests / 5, requests),
            time: Duration::from_millis(self.quick_or(800, 5000)),
        }
    }

    pub(crate) fn largest(&self) -> usize {
        self.quick_or(100_000_000, 1 << 30)
    }

    pub(crate) fn concurrent_bytes(&self) -> usize {
        let megabytes = self.concurrent_mb;
        self.quick_or(megabytes.div_ceil(5), megabytes) * 1_000_000
    }
}

/// Finds `target/release/bootstrap`, from `target/release/examples/bench`.
fn beside_this_program() -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = this.parent().and_then(|examples| examples.parent());
    Ok(profile.unwrap_or(&this).join("bootstrap"))
}

fn rows(list: &str) -> Result<Vec<String>, String> {
    let known = ROWS.map(|(name, _)| name);
    let rows = list.split(',').map(|row| {
        if known.contains(&row) {
            Ok(row.to_owned())
        } else {
            Err(format!("no row {row}; there are {}", known.join(", ")))
        }
    });
    rows.collect()
}

fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or(format!("{text} is not a number above 0"))
}

fn numbers(list: &str) -> Result<Vec<usize>, String> {
    list.split(',').map(number).collect()
}

fn variable(text: &str) -> Result<(&'static str, String), String> {
    let (name, value) = text.split_once('=').ok_or(format!("{text} has no ="))?;
    Ok((String::leak(name.to_owned()), value.to_owned()))
}
