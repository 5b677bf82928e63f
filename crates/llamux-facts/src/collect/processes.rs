// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Processes.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use procfs::FromBufRead as _;
use procfs::FromRead as _;

use super::{bytes, lacks, line, number, percent, rate, sys, whole, DEADLINE};
use crate::facts::{Missing, Process};
use crate::text;

/// Most processes that are kept.
const MOST: usize = 20_000;

/// The time that may go into counting what processes share, all together.
const SHARES: Duration = Duration::from_millis(400);

/// Counters of a process whose growth during the sample matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    start_time: u64,
    ticks: u64,
    major_faults: u64,
    io: Option<(u64, u64)>,
}

/// The same of all processes. Nothing in it waits for a process.
pub(super) fn counters() -> HashMap<i32, Counters> {
    let read = |pid: i32| {
        let stat = stat(pid)?;
        Some((pid, counters_of(pid, &stat)))
    };
    pids().into_iter().filter_map(read).collect()
}

fn pids() -> Vec<i32> {
    let names = super::names("/proc");
    let pids = names.iter().filter_map(|name| name.parse().ok());
    let mut pids: Vec<i32> = pids.take(MOST).collect();
    pids.sort_unstable();
    pids
}

fn stat(pid: i32) -> Option<procfs::process::Stat> {
    procfs::process::Stat::from_read(&*bytes(format!("/proc/{pid}/stat")).ok()?).ok()
}

fn counters_of(pid: i32, stat: &procfs::process::Stat) -> Counters {
    let io = bytes(format!("/proc/{pid}/io")).ok();
    let io = io.and_then(|bytes| procfs::process::Io::from_buf_read(&*bytes).ok());
    Counters {
        start_time: stat.starttime,
        ticks: stat.utime.saturating_add(stat.stime),
        major_faults: stat.majflt,
        io: io.map(|io| (io.read_bytes, io.write_bytes)),
    }
}

/// Reads all processes. A process that is stuck may block whoever reads its arguments: that is done by another
/// thread, and those that come after it are read without them.
pub(super) fn processes(
    before: &HashMap<i32, Counters>,
    seconds: f64,
    uptime: f64,
    missing: &mut Vec<Missing>,
) -> Vec<Process> {
    let users = users();
    let mut processes: Vec<_> = pids()
        .into_iter()
        .filter_map(|pid| process(pid, before, seconds, uptime, &users))
        .collect();
    if processes.len() == MOST {
        lacks(
            missing,
            "some processes",
            format!("there are more than {MOST}"),
        );
    }

    // Those with most memory first: what they share is what matters.
    let mut order: Vec<_> = processes.iter().map(|p| (p.rss, p.pid)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let wanted: Vec<_> = processes
        .iter()
        .filter(|p| !p.kernel_thread)
        .map(|p| p.pid)
        .collect();
    let (sender, receiver) = mpsc::channel();
    let spawned = thread::Builder::new().spawn(move || {
        for pid in wanted {
            if sender.send((pid, Private::Command(command(pid)))).is_err() {
                return;
            }
        }
        let until = Instant::now() + SHARES;
        for (rss, pid) in order {
            let late = Instant::now() > until || rss == 0;
            if late || sender.send((pid, Private::Pss(pss(pid)))).is_err() {
                return;
            }
        }
    });
    drop(spawned);
    let places: HashMap<_, _> = processes
        .iter()
        .enumerate()
        .map(|(i, p)| (p.pid, i))
        .collect();
    let until = Instant::now() + DEADLINE;
    loop {
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((pid, private)) => {
                let place = places.get(&pid).and_then(|place| processes.get_mut(*place));
                let Some(process) = place else { continue };
                match private {
                    Private::Command(command) => process.command = command,
                    Private::Pss(pss) => process.pss = pss,
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let why = "a process did not let its arguments be read in time";
                lacks(missing, "the arguments of some processes", why);
                break;
            }
        }
    }
    let own = nix::unistd::getuid();
    if !own.is_root() && processes.iter().any(|p| p.uid != own.as_raw()) {
        let what = "what other users' processes share, read, write and have open";
        lacks(missing, what, "Permission denied: only root may read it");
    }
    processes
}

/// What the kernel takes from the memory of a process.
enum Private {
    Command(String),
    Pss(Option<u64>),
}

fn command(pid: i32) -> String {
    let mut command = bytes(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    while command.last() == Some(&0) {
        command.pop();
    }
    for byte in &mut command {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    text::decode(&command)
}

fn pss(pid: i32) -> Option<u64> {
    let rollup = whole(format!("/proc/{pid}/smaps_rollup"))?;
    kib(&rollup, "Pss:")
}

/// The value of a line such as "Pss:     12 kB" in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let value: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(value.saturating_mul(1024))
}

/// The names of users. Only those of /etc/passwd: whoever has others needs a service to answer.
fn users() -> HashMap<u32, String> {
    let passwd = bytes("/etc/passwd").unwrap_or_default();
    let rows = passwd.split(|byte| *byte == b'\n').filter_map(|row| {
        let mut fields = row.split(|byte| *byte == b':');
        let name = text::decode(fields.next()?);
        let uid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
        Some((uid, name))
    });
    // The first one of a number is who is meant.
    let mut users = HashMap::new();
    for (uid, name) in rows {
        users.entry(uid).or_insert(name);
    }
    users
}

fn process(
    pid: i32,
    before: &HashMap<i32, Counters>,
    seconds: f64,
    uptime: f64,
    users: &HashMap<u32, String>,
) -> Option<Process> {
    const KERNEL_THREAD: u32 = 0x0020_0000;
    let dir = format!("/proc/{pid}");
    let uid = std::fs::metadata(&dir).ok()?.uid();
    let stat = stat(pid)?;
    let now = counters_of(pid, &stat);
    // A number may have been given to another process meanwhile; and what was not there has grown from nothing.
    let first = before
        .get(&pid)
        .filter(|first| first.start_time == now.start_time);
    let zero = Counters {
        start_time: now.start_time,
        ticks: 0,
        major_faults: 0,
        io: now.io.map(|_| (0, 0)),
    };
    let first = first.unwrap_or(&zero);
    // CAST: ticks of a sample are few, and so are those of an uptime for a float.
    let ticks = procfs::ticks_per_second() as f64;
    let cpu = now.ticks.saturating_sub(first.ticks) as f64 / ticks;
    let age = uptime - stat.starttime as f64 / ticks;
    let io = first.io.zip(now.io);
    let status = whole(format!("{dir}/status")).unwrap_or_default();
    let kernel_thread = stat.flags & KERNEL_THREAD != 0;
    let cgroup = bytes(format!("{dir}/cgroup"))
        .map(|bytes| cgroup(&bytes))
        .unwrap_or_default();
    let (unit, user_unit) = super::groups::unit(&cgroup);
    let name = bytes(format!("{dir}/comm")).unwrap_or_else(|_| stat.comm.clone().into_bytes());
    let waits = stat.state == 'D';
    Some(Process {
        pid,
        start_time: stat.starttime,
        age_seconds: super::round(age.max(0.0)),
        parent: stat.ppid,
        uid,
        user: users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
        name: text::decode(name.strip_suffix(b"\n").unwrap_or(&name)),
        command: String::new(),
        executable: executable(&dir),
        state: stat.state.to_string(),
        kernel_thread,
        rss: stat.rss.saturating_mul(procfs::page_size()),
        pss: None,
        swap: kib(&status, "VmSwap:").unwrap_or(0),
        cpu: percent(cpu, seconds),
        read_rate: io.map(|(first, now)| rate(first.0, now.0, seconds)),
        write_rate: io.map(|(first, now)| rate(first.1, now.1, seconds)),
        major_faults: rate(first.major_faults, now.major_faults, seconds),
        nice: i32::try_from(stat.nice).unwrap_or(0),
        scheduler: scheduler(stat.policy.unwrap_or(0)),
        io_priority: if kernel_thread {
            None
        } else {
            sys::io_priority(pid)
        },
        threads: u32::try_from(stat.num_threads).unwrap_or(0),
        open_files: std::fs::read_dir(format!("{dir}/fd"))
            .ok()
            .map(|fds| fds.count() as u64),
        open_files_limit: open_files_limit(&dir),
        oom_score: number(format!("{dir}/oom_score")),
        waits_in: waits
            .then(|| line(format!("{dir}/wchan")))
            .flatten()
            .filter(|w| w != "0"),
        cgroup,
        unit,
        user_unit,
        group: String::new(),
    })
}

fn executable(dir: &str) -> Option<String> {
    let path = std::fs::read_link(format!("{dir}/exe")).ok()?;
    Some(text::decode(path.as_os_str().as_bytes()))
}

fn scheduler(policy: u32) -> Option<String> {
    let name = match policy {
        1 => "fifo",
        2 => "rr",
        3 => "batch",
        5 => "idle",
        6 => "deadline",
        _ => return None,
    };
    Some(name.to_owned())
}

fn open_files_limit(dir: &str) -> Option<u64> {
    let limits = whole(format!("{dir}/limits"))?;
    let rest = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// The path in the hierarchy of control groups that counts: version 2's, or that of systemd.
fn cgroup(text: &[u8]) -> String {
    let rows = || text.split(|byte| *byte == b'\n');
    let path = |prefix: &[u8]| {
        rows().find_map(|row| {
            let (_, rest) = split(row)?;
            rest.strip_prefix(prefix)
        })
    };
    let path = path(b":")
        .filter(|path| *path != b"/")
        .or_else(|| path(b"name=systemd:"));
    text::decode(path.unwrap_or_default())
}

fn split(row: &[u8]) -> Option<(&[u8], &[u8])> {
    let place = row.iter().position(|byte| *byte == b':')?;
    Some((row.get(..place)?, row.get(place + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_that_counts_is_chosen() {
        for (text, path) in [
            (
                &b"0::/system.slice/sshd.service\n"[..],
                "/system.slice/sshd.service",
            ),
            (
                b"4:memory:/x\n1:name=systemd:/user.slice\n0::/\n",
                "/user.slice",
            ),
            (b"0::/\n", ""),
            (b"", ""),
            (b"0::/a\xff:b\n", "/a\\xFF:b"),
        ] {
            assert_eq!(cgroup(text), path);
        }
    }

    #[test]
    fn processes_with_odd_names_are_read() {
        // The name of a thread of ours may have any bytes.
        let (sender, receiver) = mpsc::channel::<()>();
        let (ready, started) = mpsc::channel();
        let thread = thread::spawn(move || {
            std::fs::write("/proc/thread-self/comm", b"a) R\xff\n\x1b[").unwrap();
            ready.send(()).unwrap();
            let _ = receiver.recv();
        });
        started.recv().unwrap();
        let dir = format!("/proc/{}/task", std::process::id());
        let odd = super::super::names(dir).into_iter().find_map(|tid| {
            let name = bytes(format!("/proc/{tid}/comm")).ok()?;
            name.contains(&0xff).then_some(tid)
        });
        let tid = odd.unwrap().parse().unwrap();
        let process = process(tid, &HashMap::new(), 1.0, 1e6, &users()).unwrap();
        drop(sender);
        thread.join().unwrap();
        assert_eq!(process.name, "a) R\\xFF\n\u{1b}[");
        assert!(text::shown(&process.name).is_ascii());
    }
}
