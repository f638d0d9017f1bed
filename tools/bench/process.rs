//! The binary under test as a separate process, and its counters in the kernel: processor time of all
//! its threads, current and peak memory. Linux only.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// Command to start a process with.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// All its environment variables.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) started: Instant,
}

/// Starts processes from a dedicated thread. A child inherits its parent thread's processor
/// affinity, so no wrapper (such as taskset) has to run first and be measured with it.
pub(crate) struct Starter(mpsc::Sender<(Start, mpsc::Sender<io::Result<Process>>)>);

impl Starter {
    /// With `pin`, children get the first processor; the calling thread and all threads that it starts
    /// later get the others.
    pub(crate) fn new(pin: bool) -> io::Result<Self> {
        let (asked, orders) = mpsc::channel::<(Start, mpsc::Sender<_>)>();
        let (tell, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let pinned = if pin { pin_this_thread("0") } else { Ok(()) };
            _ = tell.send(pinned);
            for (start, answer) in orders {
                _ = answer.send(start.run());
            }
        });
        ready.recv().map_err(io::Error::other)??;
        if pin {
            let last = std::thread::available_parallelism()?.get() - 1;
            pin_this_thread(&format!("1-{last}"))?;
        }
        Ok(Self(asked))
    }

    pub(crate) fn run(&self, start: Start) -> io::Result<Process> {
        let (answer, started) = mpsc::channel();
        self.0.send((start, answer)).map_err(io::Error::other)?;
        started.recv().map_err(io::Error::other)?
    }
}

fn pin_this_thread(processors: &str) -> io::Result<()> {
    let thread = fs::read_link("/proc/thread-self")?;
    let id = thread.file_name().unwrap_or_default();
    let pinned = Command::new("taskset")
        .args(["-pc", processors])
        .arg(id)
        .stdout(Stdio::null())
        .status()?;
    let failed = || io::Error::other("taskset failed; are there two processors?");
    pinned.success().then_some(()).ok_or_else(failed)
}

impl Start {
    fn run(&self) -> io::Result<Process> {
        let mut command = Command::new(&self.binary);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let started = Instant::now();
        let child = command.spawn()?;
        Ok(Process { child, started })
    }
}

impl Process {
    /// Returns the processor time of all threads, once all of them sleep: the kernel's count of a running
    /// one lags by up to a tick. Time of finished threads is lost.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let until = Instant::now() + Duration::from_millis(500);
        loop {
            let (sleeps, cpu) = self.threads()?;
            if sleeps || Instant::now() > until {
                return Ok(cpu);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns whether all threads sleep, and their processor time.
    fn threads(&self) -> io::Result<(bool, Duration)> {
        let mut sleeps = true;
        let mut cpu = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let thread = thread?.path();
            let stat = fs::read_to_string(thread.join("stat"))?;
            let state = stat.rsplit(") ").next().unwrap_or_default();
            sleeps &= state.starts_with('S');
            cpu += processor_time(&thread)?;
        }
        Ok((sleeps, cpu))
    }

    /// Returns the resident memory, in bytes.
    pub(crate) fn rss(&self) -> io::Result<u64> {
        self.memory("VmRSS:")
    }

    /// Returns the peak resident memory, in bytes.
    pub(crate) fn peak_rss(&self) -> io::Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kibibytes
            .map(|kibibytes: u64| kibibytes * 1024)
            .ok_or_else(|| io::Error::other(format!("no {name} in /proc")))
    }

    /// Whether it is still running.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(io::Error::other(format!("the binary ended: {status}"))),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the processor time of the calling thread, which lags by a tick at most.
pub(crate) fn own_cpu() -> io::Result<Duration> {
    processor_time(Path::new("/proc/thread-self"))
}

/// Parses the first number of `schedstat`: nanoseconds on a processor.
fn processor_time(thread: &Path) -> io::Result<Duration> {
    let schedstat = fs::read_to_string(thread.join("schedstat"))?;
    let nanoseconds = schedstat.split(' ').next().and_then(|n| n.parse().ok());
    nanoseconds
        .map(Duration::from_nanos)
        .ok_or_else(|| io::Error::other("this kernel keeps no schedstat"))
}

/// Builds a single-threaded runtime.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build()
}

/// Returns an address with a port that was just free.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
