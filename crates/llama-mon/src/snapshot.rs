// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the kernel says of its model at one time, read from `/proc` and `/sys`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use llamux::{Limits, ListedModel, OpenSession, Owner, Status, Usage};

/// Where the files of `/sys/kernel/llamux` are, below the root.
pub(crate) const SYS: &str = "sys/kernel/llamux";

/// Most bytes that are read of a file.
const FILE_MAX: u64 = 1 << 20;

/// How many looks a list of the kernel's threads is good for.
const THREADS_KEPT: u32 = 10;

/// Of the flags in `/proc/PID/stat`: a thread of the kernel.
const PF_KTHREAD: u64 = 0x0020_0000;

/// The settings that can be changed: the file, what it is, and what it may be.
pub(crate) const SETTINGS: [(&str, &str, Allowed); 8] = [
    (
        "nice",
        "of the threads that compute",
        Allowed::Number(-20, 19),
    ),
    (
        "sampling/max_tokens",
        "most tokens of an answer",
        Allowed::Number(1, 65536),
    ),
    (
        "sampling/temperature_milli",
        "thousandths; 0: likeliest only",
        Allowed::Number(0, 10_000),
    ),
    (
        "sampling/top_k",
        "likeliest to choose from; 0: 1024",
        Allowed::Number(0, 1024),
    ),
    (
        "sampling/top_p_milli",
        "thousandths; 1000: no bound",
        Allowed::Number(1, 1000),
    ),
    (
        "sampling/min_p_milli",
        "thousandths; 0: no bound",
        Allowed::Number(0, 1000),
    ),
    (
        "sampling/repeat_penalty_milli",
        "thousandths; 1000: no penalty",
        Allowed::Number(0, 10_000),
    ),
    (
        "system_prompt",
        "what conversations begin with",
        Allowed::Text(1024),
    ),
];

/// What may be written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// A number from one to the other.
    Number(i64, i64),
    /// UTF-8 of so many bytes at most.
    Text(usize),
}

/// All that the kernel says of its model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// When: hundredths of a second since boot.
    pub(crate) uptime: u64,
    /// The kernel's release.
    pub(crate) release: String,
    pub(crate) status: Status,
    pub(crate) stats: Status,
    pub(crate) latency: Status,
    pub(crate) memory: Status,
    /// Of users, without control groups.
    pub(crate) users: Vec<Usage>,
    /// Of control groups.
    pub(crate) groups: Vec<Usage>,
    pub(crate) sessions: Vec<OpenSession>,
    pub(crate) models: Vec<ListedModel>,
    pub(crate) limits: Vec<Limits>,
    /// The values of [`SETTINGS`]; `None` if the kernel has no such file.
    pub(crate) settings: Vec<Option<String>>,
    pub(crate) cpu: Cpu,
    /// The names of users.
    pub(crate) names: BTreeMap<u32, String>,
}

/// Time of the processors since boot, in hundredths of a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// All of it, of all processors.
    pub(crate) total: u64,
    /// In which they had nothing to do.
    pub(crate) idle: u64,
    /// What each of the kernel's threads for the model took, by its number.
    pub(crate) llamux: BTreeMap<u32, u64>,
    /// How many processors there are.
    pub(crate) processors: u64,
}

impl Snapshot {
    /// A user's name, or the number.
    pub(crate) fn user(&self, uid: u32) -> String {
        let name = self.names.get(&uid).cloned();
        name.unwrap_or_else(|| uid.to_string())
    }

    /// Whose a line of usage is, for people.
    pub(crate) fn owner(&self, owner: Owner) -> String {
        match owner {
            Owner::User(uid) => self.user(uid),
            Owner::Cgroup(inode) => format!("cgroup {inode}"),
            Owner::OtherUsers | Owner::OtherCgroups => "others".to_owned(),
        }
    }
}

/// Where snapshots come from: the files of this system, or a recording of them.
#[derive(Debug)]
pub(crate) struct Source {
    root: PathBuf,
    /// The kernel's threads for the model.
    threads: Vec<u32>,
    /// For how many more looks that list is good.
    good_for: u32,
}

impl Source {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            threads: Vec::new(),
            good_for: 0,
        }
    }

    /// Whether this is another system than the running one, of which nothing can be changed.
    pub(crate) fn is_recording(&self) -> bool {
        self.root != Path::new("/")
    }

    /// Reads everything. Fails if the kernel has no Llamux.
    pub(crate) fn read(&mut self) -> Result<Snapshot, llamux::Error> {
        let status = match self.file("proc/llamux/status") {
            Ok(text) => Status::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let kernel = self.text("proc/sys/kernel/osrelease").trim().to_owned();
                return Err(llamux::Error::NotSupported { kernel });
            }
            Err(error) => {
                let path = self.root.join("proc/llamux/status");
                let text = format!("{}: {error}", path.display());
                return Err(llamux::Error::Other(io::Error::new(error.kind(), text)));
            }
        };
        let usage = Usage::parse(&self.text("proc/llamux/usage"));
        let is_user = |usage: &Usage| matches!(usage.owner, Owner::User(_) | Owner::OtherUsers);
        let (users, groups) = usage.into_iter().partition(is_user);
        let sys = |name: &str| self.text(&format!("{SYS}/{name}"));
        let setting = |(file, _, _): (&str, &str, Allowed)| {
            let text = self.file(&format!("{SYS}/{file}")).ok()?;
            Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())
        };
        let mut snapshot = Snapshot {
            uptime: uptime(&self.text("proc/uptime")),
            release: self.text("proc/sys/kernel/osrelease").trim().to_owned(),
            status,
            stats: Status::parse(&self.text("proc/llamux/stats")),
            latency: Status::parse(&self.text("proc/llamux/latency")),
            memory: Status::parse(&sys("memory")),
            users,
            groups,
            sessions: OpenSession::parse(&self.text("proc/llamux/sessions")),
            models: ListedModel::parse(&sys("models")),
            limits: Limits::parse(&sys("limits")),
            settings: SETTINGS.into_iter().map(setting).collect(),
            cpu: processors(&self.text("proc/stat")),
            names: names(&self.text("etc/passwd")),
        };
        snapshot.cpu.llamux = self.threads_time();
        Ok(snapshot)
    }

    fn file(&self, path: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        let file = File::open(self.root.join(path))?;
        file.take(FILE_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Nothing where it cannot be read.
    fn text(&self, path: &str) -> String {
        self.file(path).unwrap_or_default()
    }

    /// What each of the kernel's threads for the model has taken.
    fn threads_time(&mut self) -> BTreeMap<u32, u64> {
        if self.good_for == 0 {
            self.threads = self.find_threads();
            self.good_for = THREADS_KEPT;
        }
        self.good_for -= 1;
        let time = |&pid: &u32| Some((pid, thread(&self.text(&format!("proc/{pid}/stat")))?));
        self.threads.iter().filter_map(time).collect()
    }

    fn find_threads(&self) -> Vec<u32> {
        let entries = fs::read_dir(self.root.join("proc"));
        let names = entries.into_iter().flatten().flatten();
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| thread(&self.text(&format!("proc/{pid}/stat"))).is_some())
            .collect()
    }
}

/// Hundredths of a second since boot.
fn uptime(text: &str) -> u64 {
    let seconds = text.split_whitespace().next().unwrap_or_default();
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(whole)
        .saturating_mul(100)
        .saturating_add(number(part))
}

/// The first line of `/proc/stat`, and how many processors it has.
fn processors(text: &str) -> Cpu {
    let mut cpu = Cpu::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        if name == "cpu" {
            // The time of guests, behind the eighth, is part of others.
            let times: Vec<u64> = words.take(8).map(|n| n.parse().unwrap_or(0)).collect();
            cpu.total = times.iter().fold(0, |sum, time| sum.saturating_add(*time));
            let at = |index: usize| times.get(index).copied().unwrap_or(0);
            cpu.idle = at(3).saturating_add(at(4));
        } else if name
            .strip_prefix("cpu")
            .is_some_and(|n| n.parse::<u32>().is_ok())
        {
            cpu.processors += 1;
        }
    }
    cpu
}

/// The time of one of the kernel's threads for the model, from its `/proc/PID/stat`; `None` if it is something else.
fn thread(stat: &str) -> Option<u64> {
    // The name is in parentheses, and may have any in it.
    let (_, rest) = stat.split_once('(')?;
    let (name, fields) = rest.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let kernel = number(6)? & PF_KTHREAD != 0;
    let time = number(11)?.saturating_add(number(12)?);
    (kernel && name.starts_with("llamux")).then_some(time)
}

/// The names in `/etc/passwd`.
fn names(text: &str) -> BTreeMap<u32, String> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    let mut names = BTreeMap::new();
    for (uid, name) in text.lines().filter_map(line) {
        names.entry(uid).or_insert(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_in_hundredths() {
        for (text, expected) in [("11.46 6.48\n", 1146), ("3", 300), ("", 0), ("x.y z", 0)] {
            assert_eq!(uptime(text), expected, "{text:?}");
        }
    }

    #[test]
    fn time_of_guests_counts_once() {
        let text = "cpu  1 2 3 40 5 6 7 8 100 100\ncpu0 1 2\ncpu1 3\ncpufreq 9\nintr 7\n";
        let cpu = processors(text);
        assert_eq!((cpu.total, cpu.idle, cpu.processors), (72, 45, 2));
        assert_eq!(processors("cpu"), Cpu::default());
    }

    #[test]
    fn only_the_kernels_threads_count() {
        let line = |name: &str, flags: u64| {
            format!("34 ({name}) R 2 0 0 0 -1 {flags} 0 0 0 0 5 1206 0 0 20 0 1 0 19")
        };
        assert_eq!(thread(&line("llamux_helper", 2_129_984)), Some(1211));
        assert_eq!(thread(&line("llamux) 1 (", 2_129_984)), Some(1211));
        assert_eq!(thread(&line("llamuxd", 4_194_560)), None);
        assert_eq!(thread(&line("kworker", 2_129_984)), None);
        for broken in ["", "1 (llamux", "1 (llamux) R 2", ")("] {
            assert_eq!(thread(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn names_of_users_are_found() {
        let names = names("root::0:0:root:/root:/bin/sh\ntoor:x:0:0\nana:x:1000:\nbad\na:b:c\n");
        let expected = [(0, "root".to_owned()), (1000, "ana".to_owned())];
        assert_eq!(names, BTreeMap::from(expected));
    }

    #[test]
    fn a_kernel_without_llamux_is_named() {
        let root = std::env::temp_dir().join(format!("llama-mon-{}-none", std::process::id()));
        fs::create_dir_all(root.join("proc/sys/kernel")).unwrap();
        fs::write(root.join("proc/sys/kernel/osrelease"), "6.1.0-mine\n").unwrap();
        let error = Source::new(&root).read().unwrap_err().to_string();
        fs::remove_dir_all(&root).unwrap();
        assert!(error.contains("6.1.0-mine"), "{error}");
        assert!(error.contains("linux-llamux"), "{error}");
    }
}
