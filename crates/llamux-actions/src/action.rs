// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The closed list of what may be done, and to what.

use std::fmt;

use llamux_facts::text::{shortened, shown};
use serde::{Deserialize, Serialize};

/// Something that may be done. There is nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Asks processes to end (`SIGTERM`).
    End {
        /// Which ones.
        processes: Processes,
    },
    /// Ends processes at once (`SIGKILL`).
    Kill {
        /// Which ones.
        processes: Processes,
    },
    /// Stops processes where they are (`SIGSTOP`).
    Stop {
        /// Which ones.
        processes: Processes,
    },
    /// Lets stopped processes go on (`SIGCONT`).
    Resume {
        /// Which ones.
        processes: Processes,
    },
    /// Sets the nice level, of all threads.
    Renice {
        /// Which ones.
        processes: Processes,
        /// From -20, first, to 19, last.
        nice: i8,
    },
    /// Sets the priority of input and output, of all threads.
    Io {
        /// Which ones.
        processes: Processes,
        /// The new one.
        priority: IoPriority,
    },
    /// Freezes all processes of a control group.
    Freeze {
        /// Which one.
        group: Group,
    },
    /// Lets a frozen control group go on.
    Thaw {
        /// Which one.
        group: Group,
    },
    /// Limits what a control group takes.
    Limit {
        /// Which one.
        group: Group,
        /// Bytes of memory above which it is slowed down and reclaimed from.
        memory: Option<u64>,
        /// Percent of one processor.
        cpu: Option<u32>,
    },
    /// Has systemd do something with a unit.
    Unit {
        /// Which one.
        unit: Unit,
        /// What.
        operation: Operation,
    },
    /// Chooses a power profile.
    Power {
        /// Which one.
        profile: Power,
    },
    /// Sets a parameter of the kernel.
    Sysctl {
        /// Which one.
        key: Sysctl,
        /// Its new value.
        value: u64,
    },
    /// Deletes files of a known cache.
    Clean {
        /// Which one.
        cache: Cache,
        /// How much of it stays: versions of a package, or days.
        keep: u32,
    },
}

/// A process that is acted on. `pid` and `start` together never mean another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it began, in ticks since the system did.
    pub start: u64,
    /// Its name, as the kernel has it.
    pub name: String,
    /// Its user's number.
    pub uid: u32,
    /// Its user's name.
    pub user: String,
    /// Its memory in bytes.
    pub memory: u64,
}

/// Processes that are meant by one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Processes {
    /// What a person calls them.
    pub label: String,
    /// All of them.
    pub list: Vec<Process>,
}

impl Processes {
    /// Memory of all of them in bytes.
    pub fn memory(&self) -> u64 {
        self.list
            .iter()
            .fold(0, |sum, process| sum.saturating_add(process.memory))
    }
}

/// A control group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What a person calls it.
    pub label: String,
    /// Its path in the hierarchy of version 2, from `/`.
    pub path: String,
    /// What it has in it.
    pub processes: Vec<Process>,
}

/// Which manager a unit belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The system's.
    #[default]
    System,
    /// The user's own.
    User,
}

/// A unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its name with its suffix.
    pub name: String,
    /// Whose it is.
    #[serde(default)]
    pub scope: Scope,
}

/// What systemd can do with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Start it now.
    Start,
    /// Stop it now.
    Stop,
    /// Stop it and start it.
    Restart,
    /// Start it at boot.
    Enable,
    /// Do not start it at boot.
    Disable,
}

impl Operation {
    /// As systemctl calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }
}

/// A power profile, as power-profiles-daemon has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Little power.
    PowerSaver,
    /// Neither.
    Balanced,
    /// Speed.
    Performance,
}

impl Power {
    /// As power-profiles-daemon calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PowerSaver => "power-saver",
            Self::Balanced => "balanced",
            Self::Performance => "performance",
        }
    }
}

/// The priority of a process's input and output: its class in the upper three bits of sixteen, its level below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoPriority(pub u16);

impl IoPriority {
    /// By the nice level, as long as nobody says otherwise.
    pub const NONE: Self = Self(0);
    /// Only when nobody else wants the disk.
    pub const IDLE: Self = Self(3 << 13);

    /// From 0, first, to 7, last.
    pub fn best_effort(level: u8) -> Self {
        Self(2 << 13 | u16::from(level.min(7)))
    }

    /// What [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (class, level) = match text.split_once(' ') {
            Some((class, level)) => (class, level.parse().ok().filter(|&level: &u16| level < 8)?),
            None => (text, 0),
        };
        let class = ["none", "realtime", "best-effort", "idle"]
            .iter()
            .position(|&known| known == class)?;
        // CAST: One of four.
        Some(Self((class as u16) << 13 | level))
    }
}

impl fmt::Display for IoPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.0 & 7;
        match self.0 >> 13 {
            1 => write!(f, "realtime {level}"),
            2 => write!(f, "best-effort {level}"),
            3 => f.write_str("idle"),
            // The level says nothing there.
            _ => f.write_str("none"),
        }
    }
}

impl Serialize for IoPriority {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IoPriority {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is not one of \"idle\", \"best-effort 0\" to \"best-effort 7\", \"none\""
            ))
        })
    }
}

/// Parameters of the kernel that may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "their names say which they are; `Sysctl::ALL` says what they take"
)]
pub enum Sysctl {
    #[serde(rename = "vm.swappiness")]
    Swappiness,
    #[serde(rename = "vm.vfs_cache_pressure")]
    VfsCachePressure,
    #[serde(rename = "vm.dirty_ratio")]
    DirtyRatio,
    #[serde(rename = "vm.dirty_background_ratio")]
    DirtyBackgroundRatio,
    #[serde(rename = "vm.dirty_writeback_centisecs")]
    DirtyWriteback,
    #[serde(rename = "vm.laptop_mode")]
    LaptopMode,
    #[serde(rename = "vm.compaction_proactiveness")]
    Compaction,
    #[serde(rename = "vm.max_map_count")]
    MaxMapCount,
    #[serde(rename = "kernel.nmi_watchdog")]
    NmiWatchdog,
    #[serde(rename = "kernel.sched_autogroup_enabled")]
    Autogroup,
    #[serde(rename = "fs.inotify.max_user_watches")]
    InotifyWatches,
}

impl Sysctl {
    /// All of them: the name, the least and the greatest value that is taken.
    pub const ALL: [(Self, &'static str, u64, u64); 11] = [
        (Self::Swappiness, "vm.swappiness", 0, 200),
        (Self::VfsCachePressure, "vm.vfs_cache_pressure", 1, 1000),
        (Self::DirtyRatio, "vm.dirty_ratio", 1, 80),
        (
            Self::DirtyBackgroundRatio,
            "vm.dirty_background_ratio",
            1,
            60,
        ),
        (
            Self::DirtyWriteback,
            "vm.dirty_writeback_centisecs",
            100,
            6000,
        ),
        (Self::LaptopMode, "vm.laptop_mode", 0, 60),
        (Self::Compaction, "vm.compaction_proactiveness", 0, 100),
        (Self::MaxMapCount, "vm.max_map_count", 65_530, 2_147_483_642),
        (Self::NmiWatchdog, "kernel.nmi_watchdog", 0, 1),
        (Self::Autogroup, "kernel.sched_autogroup_enabled", 0, 1),
        (
            Self::InotifyWatches,
            "fs.inotify.max_user_watches",
            8192,
            16_777_216,
        ),
    ];

    fn entry(self) -> &'static (Self, &'static str, u64, u64) {
        // PANIC: A test has all of them in the table; the first one is there in any case.
        Self::ALL
            .iter()
            .find(|entry| entry.0 == self)
            .unwrap_or(&Self::ALL[0])
    }

    /// As sysctl calls it.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// What it takes.
    pub fn range(self) -> std::ops::RangeInclusive<u64> {
        self.entry().2..=self.entry().3
    }

    pub(crate) fn path(self) -> String {
        format!("/proc/sys/{}", self.name().replace('.', "/"))
    }
}

/// Caches that may be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// Packages that pacman downloaded: the newest versions stay.
    Pacman,
    /// Packages that apt downloaded: none stays.
    Apt,
    /// Small pictures of the user's files.
    Thumbnails,
    /// What pip downloaded for the user.
    Pip,
    /// Files of the journal that are full: those of the last days stay.
    Journal,
    /// Memory images of programs that crashed: those of the last days stay.
    Coredumps,
}

impl Cache {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pacman,
        Self::Apt,
        Self::Thumbnails,
        Self::Pip,
        Self::Journal,
        Self::Coredumps,
    ];

    /// What a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pacman => "pacman's package cache",
            Self::Apt => "apt's package cache",
            Self::Thumbnails => "the thumbnails",
            Self::Pip => "pip's cache",
            Self::Journal => "the journal's old files",
            Self::Coredumps => "old core dumps",
        }
    }

    /// How much of it stays if nobody says otherwise.
    pub fn keep(self) -> u32 {
        match self {
            Self::Pacman => 2,
            Self::Apt | Self::Thumbnails | Self::Pip => 0,
            Self::Journal => 14,
            Self::Coredumps => 7,
        }
    }
}

/// A text of a process, a file or a log as it can be shown: safe, and at most so many characters.
pub fn printable(text: &str, most: usize) -> String {
    shortened(&shown(text), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_in_the_table_by_the_name_that_it_is_written_with() {
        for (key, name, least, most) in Sysctl::ALL {
            assert_eq!(serde_json::to_value(key).unwrap(), name);
            assert_eq!(key.name(), name);
            assert!(least < most);
        }
    }

    #[test]
    fn priorities_of_input_and_output_are_written_and_read() {
        for (priority, text) in [
            (IoPriority::NONE, "none"),
            (IoPriority::IDLE, "idle"),
            (IoPriority::best_effort(7), "best-effort 7"),
            (IoPriority(1 << 13 | 3), "realtime 3"),
        ] {
            assert_eq!(priority.to_string(), text);
            assert_eq!(IoPriority::parse(text), Some(priority));
        }
        for text in ["", "fast", "best-effort 8", "best-effort -1"] {
            assert_eq!(IoPriority::parse(text), None, "{text}");
        }
    }

    #[test]
    fn unknown_actions_and_operands_are_refused() {
        for text in [
            r#"{"kind":"run","command":"rm -rf /"}"#,
            r#"{"kind":"power","profile":"turbo"}"#,
            r#"{"kind":"sysctl","key":"kernel.core_pattern","value":1}"#,
            r#"{"kind":"clean","cache":"home","keep":0}"#,
            r#"{"kind":"power","profile":"balanced","also":1}"#,
        ] {
            assert!(serde_json::from_str::<Action>(text).is_err(), "{text}");
        }
    }
}
