// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why a process is in its state and uses what it uses: `proc_pid(5)`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use llamux_facts::text;

use super::{size, user, Error, Notes};

/// The time over which its use of the processor is measured.
const SAMPLE: Duration = Duration::from_millis(500);

/// What functions of the kernel in which processes sleep wait for (`/proc/PID/wchan`); the first that begins so.
const WAITS: &[(&str, &str)] = &[
    ("futex", "another thread, by a lock or a condition"),
    (
        "ep_poll",
        "something to happen on the files and connections that it watches",
    ),
    (
        "do_epoll",
        "something to happen on the files and connections that it watches",
    ),
    (
        "do_sys_poll",
        "something to happen on the files and connections that it watches",
    ),
    (
        "poll_schedule",
        "something to happen on the files and connections that it watches",
    ),
    (
        "do_select",
        "something to happen on the files and connections that it watches",
    ),
    ("hrtimer_nanosleep", "a time to pass"),
    ("do_nanosleep", "a time to pass"),
    ("common_nsleep", "a time to pass"),
    ("do_wait", "a child process to end"),
    ("pipe_read", "somebody to write into a pipe"),
    ("anon_pipe_read", "somebody to write into a pipe"),
    ("pipe_write", "somebody to read from a pipe that is full"),
    (
        "anon_pipe_write",
        "somebody to read from a pipe that is full",
    ),
    (
        "wait_for_partner",
        "somebody to open the other end of a pipe",
    ),
    ("n_tty_read", "input at a terminal"),
    ("unix_stream", "data on a local socket"),
    ("unix_wait", "room or data on a local socket"),
    ("inet_csk_accept", "a connection from the network"),
    ("inet_csk_wait", "a connection over the network"),
    ("tcp_recvmsg", "data from the network"),
    ("wait_woken", "data on a connection"),
    ("sk_wait_data", "data from the network"),
    ("sk_stream_wait", "the network to take its data"),
    ("skb_wait", "data from the network"),
    ("locks_lock", "a lock on a file"),
    ("flock", "a lock on a file"),
    ("fcntl_setlk", "a lock on a file"),
    ("sigsuspend", "a signal"),
    ("do_sigtimedwait", "a signal"),
    ("pause", "a signal"),
    ("io_cqring", "work that it gave to the kernel (io_uring)"),
    ("nfs", "a server of NFS"),
    ("rpc_wait", "a server of NFS"),
    ("cifs", "a server of files (SMB)"),
    ("fuse", "the program behind a file system (FUSE)"),
    (
        "request_wait_answer",
        "the program behind a file system (FUSE)",
    ),
    ("io_schedule", "a disk"),
    ("folio_wait", "a disk"),
    ("wait_on_page", "a disk"),
    ("bit_wait_io", "a disk"),
    ("blk_", "a disk"),
    ("rq_qos", "a disk, whose queue is full"),
    ("submit_bio", "a disk"),
    ("jbd2", "the journal of a file system, on a disk"),
    ("ext4", "a file system"),
    ("xfs", "a file system"),
    ("btrfs", "a file system"),
    (
        "balance_dirty",
        "a disk, as too much that was written is not there yet",
    ),
    ("throttle_direct", "memory, which is short"),
    ("shrink", "memory, which is short"),
    ("reclaim", "memory, which is short"),
    (
        "mem_cgroup_handle_over_high",
        "memory, as its group is over its limit",
    ),
    ("swap", "memory to come back from swap"),
    ("usb_", "a USB device"),
    ("down_", "a lock inside of the kernel"),
    ("rwsem", "a lock inside of the kernel"),
    ("mutex", "a lock inside of the kernel"),
    ("do_freezer", "its group to be thawed"),
    ("cgroup_freeze", "its group to be thawed"),
    ("ptrace_stop", "a debugger"),
    ("do_signal_stop", "SIGCONT, as it was stopped"),
    ("llamux", "an answer of the kernel's language model"),
];

/// The process of this name that uses most memory.
pub(super) fn largest_named(name: &str) -> Option<i32> {
    let entries = fs::read_dir("/proc").ok()?;
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/comm"))
                .is_ok_and(|comm| comm.strip_suffix(b"\n") == Some(name.as_bytes()))
        })
        .max_by_key(|pid| Process::read(*pid).map_or(0, |process| process.kib("VmRSS")))
}

pub(super) fn notes(pid: i32) -> Result<Notes, Error> {
    let before = Process::read(pid).ok_or(Error::NoProcess(pid))?;
    thread::sleep(SAMPLE);
    let mut process = Process::read(pid).ok_or(Error::NoProcess(pid))?;
    process.ticks_in_sample = process.ticks().saturating_sub(before.ticks());
    Ok(process.notes())
}

/// What `/proc` says about a process.
#[derive(Clone, Debug, Default)]
struct Process {
    pid: i32,
    /// The fields of `stat` behind the name; the state is the first.
    stat: Vec<String>,
    status: HashMap<String, String>,
    command: String,
    wchan: String,
    /// The number of the system call and its first argument.
    call: Option<(i64, u64)>,
    program: String,
    directory: String,
    cgroup: String,
    /// Its open files by number, as far as they may be seen.
    files: Option<HashMap<u64, String>>,
    /// A process that has the lock that this one waits for.
    locked_by: Option<(i32, String)>,
    parent: String,
    uptime: f64,
    memory_total: u64,
    ticks_in_sample: u64,
    /// Read and written bytes.
    io: Option<(u64, u64)>,
    files_limit: Option<u64>,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        let file = |name: &str| text_of(&dir.join(name));
        let link = |name: &str| {
            fs::read_link(dir.join(name))
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let stat = file("stat")?;
        // The name may have anything in it, parentheses included.
        let stat: Vec<String> = stat
            .rsplit_once(')')?
            .1
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        let status = file("status")?;
        let status: HashMap<String, String> = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
            .collect();
        let call = file("syscall").and_then(|call| {
            let mut fields = call.split_ascii_whitespace();
            let number = fields.next()?.parse().ok()?;
            let first = u64::from_str_radix(fields.next()?.trim_start_matches("0x"), 16).ok()?;
            Some((number, first))
        });
        let files = fs::read_dir(dir.join("fd")).ok().map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| {
                    let number = entry.file_name().to_str()?.parse().ok()?;
                    let path = fs::read_link(entry.path()).ok()?;
                    Some((number, path.to_string_lossy().into_owned()))
                })
                .collect()
        });
        let counters = file("io").map(|io| fields(&io));
        let io = counters.and_then(|io| Some((*io.get("read_bytes")?, *io.get("write_bytes")?)));
        let parent: i32 = status.get("PPid")?.parse().ok()?;
        let files_limit = file("limits").and_then(|limits| {
            let line = limits
                .lines()
                .find(|line| line.starts_with("Max open files"))?
                .to_owned();
            line.split_ascii_whitespace().nth(3)?.parse().ok()
        });
        Some(Self {
            pid,
            stat,
            status,
            command: file("cmdline")
                .unwrap_or_default()
                .replace('\0', " ")
                .trim()
                .to_owned(),
            wchan: file("wchan").unwrap_or_default(),
            call,
            program: link("exe"),
            directory: link("cwd"),
            cgroup: file("cgroup")
                .and_then(|text| {
                    Some(
                        text.lines()
                            .find_map(|line| line.strip_prefix("0::"))?
                            .to_owned(),
                    )
                })
                .unwrap_or_default(),
            files,
            locked_by: text_of(Path::new("/proc/locks"))
                .and_then(|locks| locker(&locks, pid))
                .map(|pid| (pid, name_of(pid))),
            parent: name_of(parent),
            uptime: text_of(Path::new("/proc/uptime"))
                .and_then(|text| text.split(' ').next()?.parse().ok())
                .unwrap_or(0.0),
            memory_total: text_of(Path::new("/proc/meminfo"))
                .and_then(|text| fields(&text).get("MemTotal").copied())
                .unwrap_or(0)
                << 10,
            ticks_in_sample: 0,
            io,
            files_limit,
        })
    }

    fn kib(&self, key: &str) -> u64 {
        self.status
            .get(key)
            .and_then(|value| value.split(' ').next()?.parse().ok())
            .unwrap_or(0)
    }

    /// A field of `stat` by its number in `proc_pid_stat(5)`, from 3 on.
    fn field(&self, number: usize) -> u64 {
        number
            .checked_sub(3)
            .and_then(|at| self.stat.get(at)?.parse().ok())
            .unwrap_or(0)
    }

    fn ticks(&self) -> u64 {
        self.field(14).saturating_add(self.field(15))
    }

    fn notes(&self) -> Notes {
        let name = self.status.get("Name").map_or("", String::as_str);
        let mut notes = Notes {
            about: text::shown(&format!("process {} ({name})", self.pid)),
            ..Notes::default()
        };
        let state = self.stat.first().map_or("", String::as_str);
        let uid = self
            .status
            .get("Uid")
            .and_then(|uids| uids.split_ascii_whitespace().next()?.parse().ok());
        notes.fact(format!(
            "Process {} is {name}, of the user {}.",
            self.pid,
            uid.map_or_else(|| "?".to_owned(), user)
        ));
        self.say_state(&mut notes, state);
        if let Some((pid, name)) = &self.locked_by {
            notes.fact(format!(
                "The lock that it waits for is held by process {pid} ({name})."
            ));
        }
        // Ticks are a hundredth of a second for programs on all architectures that Linux has.
        // CAST: counters of short times.
        let busy = self.ticks_in_sample as f64 / SAMPLE.as_secs_f64();
        let age = self.uptime - self.field(22) as f64 / 100.0;
        let used = self.ticks() as f64 / 100.0;
        let quantity = |value: f64| llamux_facts::Quantity::Percent(value).to_string();
        if busy >= 1.0 {
            notes.fact(format!(
                "It uses {} of one processor at the moment.",
                quantity(busy)
            ));
        }
        if used >= 1.0 && age > 1.0 {
            let time = llamux_facts::Quantity::Seconds(used);
            notes.fact(format!("It has used {time} of processor time in all, which is {} of the time since it was started.", quantity(100.0 * used / age)));
        }
        let resident = self.kib("VmRSS") << 10;
        if resident > 0 && self.memory_total > 0 {
            // CAST: as above.
            let share = 100.0 * resident as f64 / self.memory_total as f64;
            notes.fact(format!(
                "It uses {} of memory, which is {} of all.",
                size(resident),
                quantity(share)
            ));
        }
        let swapped = self.kib("VmSwap") << 10;
        if swapped > 0 {
            notes.fact(format!("Of its memory, {} are in swap.", size(swapped)));
        }
        let threads = self.kib("Threads");
        if threads > 1 {
            notes.fact(format!("It has {threads} threads."));
        }
        if let Some(files) = &self.files {
            match self.files_limit {
                // CAST: files are few.
                Some(limit) if files.len() as u64 * 10 >= limit * 9 => {
                    notes.fact(format!(
                        "It has {} files open, nearly its limit of {limit}.",
                        files.len()
                    ));
                }
                _ if files.len() > 200 => notes.fact(format!("It has {} files open.", files.len())),
                _ => (),
            }
            let mut deleted: Vec<_> = files
                .values()
                .filter_map(|path| path.strip_suffix(" (deleted)"))
                .filter(|path| {
                    path.starts_with('/')
                        && !path.starts_with("/memfd:")
                        && !path.starts_with("/dev/")
                })
                .collect();
            deleted.sort_unstable();
            if let Some(first) = deleted.first() {
                notes.fact(format!(
                    "It has {} deleted files open, such as {first}.",
                    deleted.len()
                ));
            }
        }
        if let Some((read, written)) = self.io.filter(|(read, written)| read + written > 1 << 20) {
            notes.fact(format!(
                "It has read {} from disks and written {}.",
                size(read),
                size(written)
            ));
        }
        notes.fact(format!("It was started by {}.", self.parent));
        if let Some(unit) = self.unit() {
            notes.fact(format!("It belongs to {unit}."));
        }
        if let Some(program) = self.program.strip_suffix(" (deleted)") {
            notes.fact(format!(
                "Its program {program} was replaced or removed since it was started."
            ));
            notes.advise("Start it anew to have the new version.");
        } else if !self.program.is_empty() {
            notes.fact(format!("Its program is {}.", self.program));
        }
        if !self.directory.is_empty() && self.directory != "/" {
            notes.fact(format!("Its working directory is {}.", self.directory));
        }
        if !self.command.is_empty() {
            notes
                .quoted
                .push(text::shortened(&text::shown(&self.command), 240));
        }
        notes
    }

    fn say_state(&self, notes: &mut Notes, state: &str) {
        let waits = WAITS
            .iter()
            .find(|(function, _)| !self.wchan.is_empty() && self.wchan.starts_with(function))
            .map(|(_, what)| *what);
        match state {
            "R" => notes.fact("It is running, or could run (state R)."),
            "S" | "I" => match waits {
                Some(what) => notes.fact(format!("It sleeps, and waits for {what}.")),
                None => notes.fact("It sleeps until something happens (state S)."),
            },
            "D" => {
                let what = waits.unwrap_or("something in the kernel, mostly a disk or a server");
                notes.fact(format!(
                    "It waits for {what} and cannot be interrupted, not even killed (state D)."
                ));
                notes.advise(
                    "Look for errors of disks and for servers that do not answer: journalctl -k.",
                );
            }
            "T" => {
                notes.fact("It was stopped by a signal, and goes on after SIGCONT (state T).");
                notes.advise(&format!("kill -CONT {} has it go on.", self.pid));
            }
            "t" => notes.fact("A debugger stopped it (state t)."),
            "Z" => {
                notes.fact(format!(
                    "It has ended, and its parent, {}, did not ask how (zombie, state Z).",
                    self.parent
                ));
                notes.advise(
                    "It uses nothing but its number, and goes when its parent ends or asks.",
                );
            }
            "X" => notes.fact("It is about to be gone."),
            _ => (),
        }
        if let Some(tracer) = self.status.get("TracerPid").filter(|pid| *pid != "0") {
            notes.fact(format!("Process {tracer} watches it as a debugger does."));
        }
        if !matches!(state, "S" | "D") {
            return;
        }
        // The file that the system call is about, on x86_64: read, write, recvfrom, sendmsg, recvmsg, fsync, fdatasync, flock.
        let about = self.call.filter(|_| cfg!(target_arch = "x86_64"));
        let file = about.and_then(|(call, first)| {
            let does = match call {
                0 | 17 | 19 => "reads from",
                1 | 18 | 20 => "writes to",
                45 | 47 => "receives from",
                44 | 46 => "sends to",
                74 | 75 => "has written out",
                73 => "locks",
                _ => return None,
            };
            let path = self.files.as_ref()?.get(&first)?;
            Some(format!("It {does} {path} (its file {first})."))
        });
        if let Some(file) = file {
            notes.fact(file);
        }
        if state == "D" && !self.wchan.is_empty() && self.wchan != "0" {
            notes.fact(format!(
                "In the kernel it is in the function {}.",
                self.wchan
            ));
        }
    }

    /// The unit or container that its control group is of.
    fn unit(&self) -> Option<&str> {
        self.cgroup
            .rsplit('/')
            .find(|part| part.ends_with(".service") || part.ends_with(".scope"))
    }
}

fn text_of(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// Lines of `key: number`.
fn fields(text: &str) -> HashMap<String, u64> {
    let field = |line: &str| {
        let (key, value) = line.split_once(':')?;
        Some((
            key.to_owned(),
            value.trim().split(' ').next()?.parse().ok()?,
        ))
    };
    text.lines().filter_map(field).collect()
}

/// Who has the lock that a process waits for, by `/proc/locks`: lines with "->" wait for the one above without it.
fn locker(locks: &str, pid: i32) -> Option<i32> {
    let mut holder = None;
    for line in locks.lines() {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let waits = fields.get(1) == Some(&"->");
        let at = if waits { 5 } else { 4 };
        let of: Option<i32> = fields.get(at).and_then(|pid| pid.parse().ok());
        match waits {
            true if of == Some(pid) => return holder,
            true => (),
            false => holder = of.filter(|pid| *pid > 0),
        }
    }
    None
}

fn name_of(pid: i32) -> String {
    let name = text_of(Path::new(&format!("/proc/{pid}/comm")));
    match (pid, name) {
        (0, _) => "the kernel".to_owned(),
        (_, Some(name)) => format!("{name} (process {pid})"),
        (_, None) => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(state: &str, wchan: &str) -> Process {
        let mut stat = vec!["0".to_owned(); 50];
        stat[0] = state.to_owned();
        let status = [
            ("Name", "tar"),
            ("Uid", "0\t0\t0\t0"),
            ("VmRSS", "2048 kB"),
            ("VmSwap", "1024 kB"),
            ("Threads", "3"),
            ("TracerPid", "0"),
        ];
        Process {
            pid: 77,
            stat,
            status: status
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            wchan: wchan.to_owned(),
            call: Some((0, 3)),
            program: "/usr/bin/tar (deleted)".to_owned(),
            files: Some(
                [
                    (3, "/data/old\x1b.tar".to_owned()),
                    (4, "/var/log/big (deleted)".to_owned()),
                ]
                .into_iter()
                .collect(),
            ),
            parent: "bash (process 5)".to_owned(),
            cgroup: "/user.slice/app.slice/backup.service".to_owned(),
            uptime: 100.0,
            memory_total: 4 << 20,
            ..Process::default()
        }
    }

    #[test]
    fn states_say_what_is_waited_for() {
        for (state, wchan, parts) in [
            (
                "D",
                "folio_wait_bit_common",
                &[
                    "waits for a disk and cannot be interrupted",
                    "folio_wait_bit_common",
                ][..],
            ),
            ("D", "rpc_wait_bit_killable", &["server of NFS"]),
            ("D", "", &["mostly a disk or a server"]),
            ("S", "futex_wait_queue", &["another thread"]),
            ("S", "something_new", &["until something happens"]),
            ("R", "0", &["running"]),
            ("T", "do_signal_stop", &["SIGCONT"]),
            ("Z", "", &["bash (process 5)", "zombie"]),
        ] {
            let all = process(state, wchan).notes().facts.join("\n");
            for part in parts {
                assert!(all.contains(part), "{part} is not in {all}");
            }
            let file = matches!(state, "S" | "D") && cfg!(target_arch = "x86_64");
            assert_eq!(
                all.contains("It reads from /data/old\\u{1b}.tar (its file 3)."),
                file,
                "{all}"
            );
        }
    }

    #[test]
    fn figures_and_origin_are_said() {
        let all = process("R", "").notes().facts.join("\n");
        for part in [
            "2 MiB of memory, which is 50 % of all",
            "1 MiB are in swap",
            "3 threads",
            "1 deleted files open, such as /var/log/big",
            "started by bash (process 5)",
            "belongs to backup.service",
            "/usr/bin/tar was replaced or removed",
        ] {
            assert!(all.contains(part), "{part} is not in {all}");
        }
    }

    #[test]
    fn who_holds_a_lock_is_found() {
        let locks = "\
1: POSIX  ADVISORY  WRITE 10 08:02:99 0 EOF
1: -> POSIX  ADVISORY  WRITE 77 08:02:99 0 EOF
2: FLOCK  ADVISORY  WRITE 11 08:02:98 0 EOF
2: -> FLOCK  ADVISORY  WRITE 78 08:02:98 0 EOF
";
        assert_eq!(locker(locks, 77), Some(10));
        assert_eq!(locker(locks, 78), Some(11));
        assert_eq!(locker(locks, 10), None);
        assert_eq!(locker("nonsense\n1: ->\n", 77), None);
    }

    #[test]
    fn this_process_has_notes() {
        // CAST: numbers of processes are below 2^22.
        let notes = notes(std::process::id() as i32).unwrap();
        assert!(
            notes.facts.iter().any(|fact| fact.contains("of memory")),
            "{notes:?}"
        );
        assert_eq!(super::notes(i32::MAX), Err(Error::NoProcess(i32::MAX)));
    }
}
