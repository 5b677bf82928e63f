// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What else the machine does: whether it is quiet, and a compile that keeps it busy on purpose.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use rustix::process::{kill_process_group, set_parent_process_death_signal, Pid, Signal};

use crate::context::Context;
use crate::sh;

/// Processors that something else may use where the machine counts as quiet.
const QUIET: f64 = 0.15;

/// The average number of programs that ran or wanted to during the last minute.
fn average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    first.parse().context("/proc/loadavg has no average")
}

/// Processors that are in use while this program waits for so long, a hypervisor's other guests included.
fn processors(wait: Duration) -> Result<f64> {
    let ticks = || times(&fs::read_to_string("/proc/stat")?);
    let before = ticks()?;
    thread::sleep(wait);
    let after = ticks()?;
    let used = after.0.saturating_sub(before.0);
    let all = after.1.saturating_sub(before.1).max(1);
    Ok(used as f64 / all as f64 * cpus() as f64)
}

/// Processors that something else uses; refuses a machine on which that is much, unless `anyway`. The
/// average is of little use for that: it remembers what ended a minute ago.
pub(crate) fn expect_quiet(anyway: bool) -> Result<f64> {
    let used = processors(Duration::from_secs(2))?;
    if used <= QUIET {
        return Ok(used);
    }
    let found = format!(
        "something else uses {used:.1} of {} processors (load average {:.1})",
        cpus(),
        average()?
    );
    if !anyway {
        bail!(
            "{found}: what is measured now says little. Wait until it has ended, or measure all the \
             same with --loaded"
        );
    }
    eprintln!("{found}: what is measured now says little");
    Ok(used)
}

/// How many processors there are.
pub(super) fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The ticks in which processors were used, and all ticks, of the first line of /proc/stat.
fn times(stat: &str) -> Result<(u64, u64)> {
    let line = stat.lines().next().unwrap_or_default();
    let fields = line
        .strip_prefix("cpu ")
        .context("/proc/stat does not begin with all processors")?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice already.
    let ticks: Vec<u64> = fields
        .split_ascii_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let all = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}

/// Compilers that run until this is dropped, one for each processor.
pub(super) struct Compile {
    loops: Vec<Child>,
    dir: PathBuf,
}

impl Compile {
    /// Starts them and waits until all processors are busy.
    pub(super) fn start(cx: &Context) -> Result<Self> {
        let dir = cx.root.join("target/bench/compile");
        let mut compile = Self {
            loops: Vec::new(),
            dir,
        };
        for i in 0..cpus() {
            let dir = compile.dir.join(i.to_string());
            let mut shell = sh::cmd("sh");
            // From nothing each time: what is there already takes no time to build.
            let build = "while rm -rf \"$0\" && cargo build --quiet --release --jobs 1 \
                         --package llamux-host --target-dir \"$0\"; do :; done";
            shell.current_dir(&cx.root).args(["-c", build]).arg(&dir);
            for name in ["MAKEFLAGS", "CARGO_MAKEFLAGS", "RUSTFLAGS"] {
                shell.env_remove(name);
            }
            shell.stdin(Stdio::null()).stdout(Stdio::null());
            shell.process_group(0);
            let die_with_us =
                || set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into);
            // SAFETY: Between fork and exec only a system call is made.
            unsafe { shell.pre_exec(die_with_us) };
            sh::announce(&shell);
            compile.loops.push(shell.spawn().context("cannot run sh")?);
        }
        let begin = Instant::now();
        while processors(Duration::from_secs(1))? < 0.95 * cpus() as f64 {
            compile.check()?;
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("compilers do not keep the processors busy");
            }
        }
        Ok(compile)
    }

    /// An error if one has stopped.
    pub(super) fn check(&mut self) -> Result<()> {
        for shell in &mut self.loops {
            if let Some(status) = shell.try_wait()? {
                bail!("the compile that was to keep a processor busy ended: {status}");
            }
        }
        Ok(())
    }
}

impl Drop for Compile {
    fn drop(&mut self) {
        for shell in &mut self.loops {
            if let Some(group) = i32::try_from(shell.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = shell.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_told_apart() {
        let stat = "cpu  10 20 30 400 50 6 7 8 9 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n";
        assert_eq!(times(stat).unwrap(), (81, 531));
        assert!(times("").is_err() && times("cpu  x 2").is_err());
    }
}
