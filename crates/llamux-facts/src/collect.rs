// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads the facts of the machine that this runs on.
//!
//! Nothing fails as a whole: what cannot be read is listed as missing. Each source has a deadline, as a machine
//! in trouble is where this is needed: a server of files that does not answer blocks whoever asks about its
//! file system, a stuck process whoever reads its arguments.

mod disks;
mod groups;
mod logs;
mod machine;
mod network;
mod processes;
mod sys;
mod systemd;
mod updates;

pub(crate) use groups::is_manager;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::facts::{Collected, Facts, Missing, VERSION};
use crate::text;

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time over which rates and shares are measured.
    pub sample: Duration,
    /// Whether to ask the servers of names for an answer. Nothing is sent to anybody otherwise.
    pub ask_dns: bool,
    /// Whether to have apt count updates, which takes it a second of processor time; pacman always does.
    pub updates: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sample: Duration::from_secs(1),
            ask_dns: false,
            updates: false,
        }
    }
}

/// How long a source may take beyond the sample.
const DEADLINE: Duration = Duration::from_secs(3);

/// Most bytes that are read of a file, or of what a program prints.
const MAX_READ: u64 = 4 << 20;

/// Reads everything.
pub fn collect(options: &Options) -> Facts {
    let began = Instant::now();
    let mut missing = vec![];
    let ask_dns = options.ask_dns;
    let count_updates = options.updates;

    // What takes long runs beside the sample.
    let units = Source::start("units of systemd", systemd::units);
    let profile = Source::start("power profiles", systemd::power_profile);
    let journal = Source::start("the journal", logs::journal);
    let kernel_log = Source::start("the kernel's log", logs::kernel);
    let updates = Source::start("updates", move || updates::updates(count_updates));
    let names = Source::start("servers of names", move || network::dns(ask_dns));

    let before = machine::Counters::read();
    let disks_before = disks::counters();
    let links_before = network::counters();
    let cgroups_before = groups::throttled();
    let processes_before = processes::counters();
    let sampled = Instant::now();
    thread::sleep(options.sample);
    let seconds = sampled.elapsed().as_secs_f64().max(0.001);
    let after = machine::Counters::read();
    let disks_after = disks::counters();
    let links_after = network::counters();

    let uptime = machine::uptime();
    let mut processes = processes::processes(&processes_before, seconds, uptime, &mut missing);
    let groups = groups::groups(&mut processes);
    let cgroups = groups::cgroups(&cgroups_before, &processes, &mut missing);
    let (kernel_log, oom_kills) = kernel_log.end(&mut missing).unwrap_or_default();
    let file_systems = disks::file_systems(&mut missing);
    let mut disks = disks::disks(&disks_before, &disks_after, seconds, &mut missing);
    disks::count_errors(&mut disks, &kernel_log);

    let mut facts = Facts {
        version: VERSION,
        host: machine::host(uptime),
        cpu: machine::cpu(&before, &after, seconds, &mut missing),
        memory: machine::memory(&before, &after, seconds, &mut missing),
        swap: machine::swap(&before, &after, seconds),
        pressure: machine::pressure(&mut missing),
        disks,
        file_systems,
        thermal: machine::thermal(),
        power: machine::power(),
        processes,
        groups,
        cgroups,
        kernel_log,
        oom_kills,
        limits: machine::limits(),
        clock: machine::clock(&mut missing),
        kernel: machine::kernel(),
        network: network::network(&links_before, &links_after, seconds),
        units: units.end(&mut missing),
        journal: journal.end(&mut missing),
        ..Facts::default()
    };
    if let Some((updates, why)) = updates.end(&mut missing) {
        facts.updates = updates;
        if let Some(why) = why {
            lacks(&mut missing, "the number of updates", why);
        }
    }
    facts.network.dns = names.end(&mut missing).unwrap_or_default();
    if let Some(found) = profile.end(&mut missing) {
        facts.power.profile = found.profile.or(facts.power.profile);
        facts.power.degraded = found.degraded;
        if !found.profiles.is_empty() {
            facts.power.profiles = found.profiles;
        }
    }
    facts.missing = missing;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    facts.collected = Collected {
        time: now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0)),
        sample_seconds: round(seconds),
        took_seconds: round(began.elapsed().as_secs_f64()),
        uid: nix::unistd::getuid().as_raw(),
    };
    facts
}

/// Something that is read by a thread of its own, which is left behind if it does not end in time.
struct Source<T> {
    what: &'static str,
    result: mpsc::Receiver<Result<T, String>>,
    until: Instant,
}

impl<T: Send + 'static> Source<T> {
    fn start(
        what: &'static str,
        read: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Self {
        let (sender, result) = mpsc::sync_channel(1);
        let spawned = thread::Builder::new().spawn(move || {
            // Nobody waits for it any more if this fails.
            let _ = sender.send(read());
        });
        // Without a thread the sender is gone, which `end` sees.
        drop(spawned);
        Self {
            what,
            result,
            until: Instant::now() + DEADLINE,
        }
    }

    fn end(self, missing: &mut Vec<Missing>) -> Option<T> {
        let left = self.until.saturating_duration_since(Instant::now());
        let why = match self.result.recv_timeout(left) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(why)) => why,
            Err(RecvTimeoutError::Timeout) => "it did not answer in time".to_owned(),
            Err(RecvTimeoutError::Disconnected) => "it could not be read".to_owned(),
        };
        lacks(missing, self.what, why);
        None
    }
}

fn lacks(missing: &mut Vec<Missing>, what: impl Into<String>, why: impl Into<String>) {
    missing.push(Missing {
        what: what.into(),
        why: why.into(),
    });
}

/// The bytes of a file, up to a bound.
fn bytes(path: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
    let mut out = vec![];
    File::open(path)?.take(MAX_READ).read_to_end(&mut out)?;
    Ok(out)
}

/// All of a file as text.
fn whole(path: impl AsRef<Path>) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(path).ok()?).into_owned())
}

/// The one line of a small file, without blanks around it; `None` if there is none.
fn line(path: impl AsRef<Path>) -> Option<String> {
    let bytes = bytes(path).ok()?;
    let text = text::decode(bytes.trim_ascii());
    (!text.is_empty()).then_some(text)
}

/// The one number of a small file.
fn number<T: std::str::FromStr>(path: impl AsRef<Path>) -> Option<T> {
    line(path)?.parse().ok()
}

/// The names in a directory, in order, at most so many as nobody has.
fn names(path: impl AsRef<Path>) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.take(100_000).collect();
    names.sort_unstable();
    names
}

/// With two digits behind the point: more are noise.
fn round(value: f64) -> f64 {
    if value.is_finite() {
        (value * 100.0).round() / 100.0
    } else {
        0.0
    }
}

/// What a counter grew by in a second. A counter that was set back did not grow.
fn rate(before: u64, after: u64, seconds: f64) -> f64 {
    // CAST: rates have few digits.
    round(after.saturating_sub(before) as f64 / seconds)
}

/// A share in percent.
fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        round(part / whole * 100.0)
    } else {
        0.0
    }
}

/// What a program prints, if it ends in time. It gets no input, and its complaints are not shown.
fn output(program: &str, args: &[&str], time: Duration) -> Result<Vec<u8>, String> {
    let failed = |e: std::io::Error| format!("{program}: {e}");
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let Some(stdout) = child.stdout.take() else {
        return Err(format!("{program}: no output"));
    };
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut out = vec![];
        let result = stdout.take(MAX_READ).read_to_end(&mut out);
        let _ = sender.send(result.map(|_| out));
    });
    let result = receiver.recv_timeout(time);
    // It has printed all, or too much, or is late.
    let _ = child.kill();
    let _ = child.wait();
    match result {
        Ok(result) => result.map_err(failed),
        Err(_) => Err(format!("{program} did not end in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_hangs_is_left_behind() {
        let mut source = Source::start("x", || {
            thread::sleep(Duration::from_secs(60));
            Ok(())
        });
        source.until = Instant::now() + Duration::from_millis(20);
        let mut missing = vec![];
        assert_eq!(source.end(&mut missing), None);
        assert!(missing[0].why.contains("in time"));
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let began = Instant::now();
        let result = output("sleep", &["60"], Duration::from_millis(50));
        assert!(result.unwrap_err().contains("in time"));
        assert!(began.elapsed() < Duration::from_secs(20));
        let result = output("no-such-program", &[], DEADLINE);
        assert!(result.unwrap_err().starts_with("no-such-program: "));
        assert_eq!(output("echo", &["x"], DEADLINE).unwrap(), b"x\n");
    }

    #[test]
    fn this_machine_can_be_read_without_rights() {
        let options = Options {
            sample: Duration::from_millis(100),
            ..Options::default()
        };
        let facts = collect(&options);
        assert!(facts.memory.total > facts.memory.available);
        assert!(facts.cpu.count > 0 && !facts.cpu.cores.is_empty());
        let own = i32::try_from(std::process::id()).unwrap();
        let own = facts.process(own).unwrap();
        assert!(own.rss > 0 && own.threads > 0 && own.age_seconds < 3600.0);
        let group = facts.group(&own.group).unwrap();
        assert!(group.pids.contains(&own.pid));
        assert!(facts.file_system_of("/").is_some());
        let grouped: usize = facts.groups.iter().map(|group| group.pids.len()).sum();
        assert_eq!(grouped, facts.processes.len());
        assert!(facts.collected.took_seconds < 10.0);
    }
}
