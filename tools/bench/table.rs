//! The printed table: one line per measurement, and the format of figures.

use std::{fmt, time::Duration};

/// One line: the measurement, its target, and its result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) to_reach: &'static str,
    /// Wall time, requests per second or bytes.
    pub(crate) measured: String,
    pub(crate) cpu: String,
    /// Processor time of the floor in the same run.
    pub(crate) floor: String,
    /// `cpu` as a multiple of `floor`.
    pub(crate) ratio: String,
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, to_reach: &'static str, measured: String) -> Self {
        Self {
            what: what.into(),
            to_reach,
            measured,
            ..Self::default()
        }
    }

    pub(crate) fn with_cpu(self, cpu: String) -> Self {
        Self { cpu, ..self }
    }

    /// Adds processor times: the program's, its floor's, and their ratio.
    pub(crate) fn compared(
        self,
        cpu: Duration,
        floor: Duration,
        shown: impl Fn(Duration) -> String,
    ) -> Self {
        Self {
            cpu: shown(cpu),
            floor: shown(floor),
            ratio: format!("{:.2}", cpu.as_secs_f64() / floor.as_secs_f64()),
            ..self
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |text: &str| if text.is_empty() { "–" } else { text }.to_owned();
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} |",
            self.what,
            or_dash(self.to_reach),
            or_dash(&self.measured),
            or_dash(&self.cpu),
            or_dash(&self.floor),
            or_dash(&self.ratio),
        )
    }
}

pub(crate) const HEAD: &str = "\
| what | to reach | measured | CPU | floor, CPU | CPU ÷ floor |
|---|---|---|---|---|---|";

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

pub(crate) fn ms_fine(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

pub(crate) fn gb_per_s(bytes_per_s: f64) -> String {
    format!("{:.1} GB/s", bytes_per_s / 1e9)
}

/// Converts the time for `bytes` to seconds per 10⁹ bytes.
pub(crate) fn s_per_gb(time: Duration, bytes: usize) -> String {
    format!("{:.2} s/GB", time.as_secs_f64() * 1e9 / bytes as f64)
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
