// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What actions consist of: one change of one thing each, whose state before can be read and brought back.
//!
//! Steps are stored to be undone later. That is why they name what they change by closed types, never by the path of
//! a file: a journal that somebody else wrote to could otherwise have anything written.

use serde::{Deserialize, Serialize};

use crate::action::{IoPriority, Operation, Power, Process, Sysctl, Unit};
use crate::cache::{self, Entry};
use crate::process::{Held, Levels};
use crate::{cgroup, Error, System};

/// One change of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Sends a signal.
    Signal {
        /// To whom.
        process: Process,
        /// Which one.
        signal: Signal,
    },
    /// Sets nice levels: the process's own, and `TID=LEVEL` of threads that differ.
    Nice {
        /// Whose.
        process: Process,
        /// The levels.
        levels: String,
    },
    /// Sets priorities of input and output, likewise.
    Io {
        /// Whose.
        process: Process,
        /// The levels.
        levels: String,
    },
    /// Writes a file of a control group.
    Cgroup {
        /// The path of the group.
        path: String,
        /// Which file.
        file: CgroupFile,
        /// The value.
        value: String,
    },
    /// Sets a limit of a unit until the next boot.
    Property {
        /// Which unit.
        unit: Unit,
        /// Which limit.
        limit: Limit,
        /// The value; the greatest one stands for no limit.
        value: u64,
    },
    /// Freezes a unit, or lets it go on.
    Freezer {
        /// Which unit.
        unit: Unit,
        /// Whether to freeze it.
        freeze: bool,
    },
    /// Starts, stops or restarts a unit.
    Job {
        /// Which unit.
        unit: Unit,
        /// Which of these.
        operation: Operation,
    },
    /// Has a unit be started at boot, or not.
    AtBoot {
        /// Which unit.
        unit: Unit,
        /// Whether it is.
        enable: bool,
    },
    /// Has the service of power profiles choose one.
    Profile {
        /// Which one.
        profile: Power,
    },
    /// Sets how the frequency of some processors is chosen.
    Frequency {
        /// The number of the policy that they share.
        policy: u32,
        /// What of it.
        file: FrequencyFile,
        /// The value.
        value: String,
    },
    /// Sets a parameter of the kernel.
    Sysctl {
        /// Which one.
        key: Sysctl,
        /// The value.
        value: u64,
    },
    /// Deletes a file of a cache.
    Delete {
        /// Which one.
        file: Entry,
    },
}

/// Signals that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    Term,
    Kill,
    Stop,
    Cont,
}

/// Files of a control group that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupFile {
    #[serde(rename = "cgroup.freeze")]
    Freeze,
    #[serde(rename = "memory.high")]
    MemoryHigh,
    #[serde(rename = "cpu.max")]
    CpuMax,
}

impl CgroupFile {
    fn name(self) -> &'static str {
        match self {
            Self::Freeze => "cgroup.freeze",
            Self::MemoryHigh => "memory.high",
            Self::CpuMax => "cpu.max",
        }
    }
}

/// Limits of a unit that are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    MemoryHigh,
    #[serde(rename = "CPUQuotaPerSecUSec")]
    CpuQuota,
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Self::MemoryHigh => "MemoryHigh",
            Self::CpuQuota => "CPUQuotaPerSecUSec",
        }
    }
}

/// What says how the frequency of processors is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrequencyFile {
    /// The governor.
    Governor,
    /// What the hardware prefers: speed or power.
    Preference,
}

impl FrequencyFile {
    pub(crate) fn path(self, policy: u32) -> String {
        let name = match self {
            Self::Governor => "scaling_governor",
            Self::Preference => "energy_performance_preference",
        };
        format!("/sys/devices/system/cpu/cpufreq/policy{policy}/{name}")
    }
}

/// What brings the state before a step back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The step that does.
    pub step: Step,
    /// The state that was left: if it is another one now, somebody else has changed it since.
    pub left: Option<String>,
}

impl Step {
    /// What it changes, for people.
    pub fn subject(&self) -> String {
        use crate::printable;
        match self {
            Self::Signal { process, .. }
            | Self::Nice { process, .. }
            | Self::Io { process, .. } => {
                format!("{} {}", process.pid, printable(&process.name, 32))
            }
            Self::Cgroup { path, .. } => printable(path, 80),
            Self::Property { unit, .. }
            | Self::Freezer { unit, .. }
            | Self::Job { unit, .. }
            | Self::AtBoot { unit, .. } => printable(&unit.name, 80),
            Self::Profile { .. } => "the power profile".to_owned(),
            Self::Frequency { policy, file, .. } => match file {
                FrequencyFile::Governor => format!("the governor of policy {policy}"),
                FrequencyFile::Preference => format!("the energy preference of policy {policy}"),
            },
            Self::Sysctl { key, .. } => key.name().to_owned(),
            Self::Delete { file } => printable(&file.base.join(&file.path).to_string_lossy(), 200),
        }
    }

    /// What it does, for people, where it brings something back.
    pub fn describe(&self) -> String {
        let subject = self.subject();
        match self {
            Self::Signal { signal, .. } => match signal {
                Signal::Stop => format!("stop {subject}"),
                Signal::Cont => format!("let {subject} go on"),
                Signal::Term => format!("end {subject}"),
                Signal::Kill => format!("kill {subject}"),
            },
            Self::Nice { levels, .. } => format!("nice level of {subject} to {levels}"),
            Self::Io { levels, .. } => format!("I/O priority of {subject} to {levels}"),
            Self::Cgroup { file, value, .. } => format!("{} of {subject} to {value}", file.name()),
            Self::Property { limit, value, .. } => match *value {
                u64::MAX => format!("{} of {subject} to no limit", limit.name()),
                value => format!("{} of {subject} to {value}", limit.name()),
            },
            Self::Freezer { freeze: true, .. } => format!("freeze {subject}"),
            Self::Freezer { freeze: false, .. } => format!("thaw {subject}"),
            Self::Job { operation, .. } => format!("{} {subject}", operation.name()),
            Self::AtBoot { enable: true, .. } => format!("enable {subject}"),
            Self::AtBoot { enable: false, .. } => format!("disable {subject}"),
            Self::Profile { profile } => format!("{subject} to {}", profile.name()),
            Self::Frequency { value, .. } => format!("{subject} to {value}"),
            Self::Sysctl { value, .. } => format!("{subject} to {value}"),
            Self::Delete { .. } => format!("delete {subject}"),
        }
    }

    /// The process that it is about.
    pub(crate) fn process(&self) -> Option<&Process> {
        match self {
            Self::Signal { process, .. }
            | Self::Nice { process, .. }
            | Self::Io { process, .. } => Some(process),
            _ => None,
        }
    }

    /// The state now of what it changes; `None` where that has none that could be brought back.
    pub(crate) fn state(&self, system: &System) -> Result<Option<String>, Error> {
        Ok(Some(match self {
            Self::Signal { process, signal } => match signal {
                Signal::Term | Signal::Kill => return Ok(None),
                Signal::Stop | Signal::Cont => {
                    let stopped = Held::new(process)?.stopped()?;
                    if stopped { "stopped" } else { "running" }.to_owned()
                }
            },
            Self::Nice { process, .. } => Held::new(process)?.nice()?.write(),
            Self::Io { process, .. } => Held::new(process)?.io()?.write(),
            Self::Cgroup { path, file, .. } => {
                system.read(&cgroup::file(system, path, file.name())?)?
            }
            Self::Property { unit, limit, .. } => {
                system.buses.limit(unit, limit.name())?.to_string()
            }
            Self::Freezer { unit, .. } => match system.buses.frozen(unit)? {
                true => "frozen".to_owned(),
                false => "running".to_owned(),
            },
            Self::Job { operation, .. } if *operation == Operation::Restart => return Ok(None),
            Self::Job { unit, .. } => system.buses.active(unit)?,
            Self::AtBoot { unit, .. } => system.buses.enabled(unit)?,
            Self::Profile { .. } => system.buses.power()?,
            Self::Frequency { policy, file, .. } => system.read(&file.path(*policy))?,
            Self::Sysctl { key, .. } => system.read(&key.path())?,
            Self::Delete { .. } => return Ok(None),
        }))
    }

    /// The step that brings such a state back, if there is one.
    pub(crate) fn back_to(&self, state: &str) -> Option<Self> {
        let mut step = self.clone();
        match &mut step {
            Self::Signal { signal, .. } => {
                *signal = match (*signal, state) {
                    (Signal::Stop | Signal::Cont, "stopped") => Signal::Stop,
                    (Signal::Stop | Signal::Cont, "running") => Signal::Cont,
                    _ => return None,
                }
            }
            Self::Nice { levels, .. } | Self::Io { levels, .. } => *levels = state.to_owned(),
            Self::Cgroup { value, .. } | Self::Frequency { value, .. } => {
                *value = state.to_owned();
            }
            Self::Property { value, .. } | Self::Sysctl { value, .. } => {
                *value = state.parse().ok()?;
            }
            Self::Freezer { freeze, .. } => {
                *freeze = match state {
                    "frozen" => true,
                    "running" => false,
                    _ => return None,
                }
            }
            Self::Job { operation, .. } => {
                *operation = match (*operation, state) {
                    (Operation::Stop, "active" | "activating" | "reloading") => Operation::Start,
                    (Operation::Start, "inactive" | "failed") => Operation::Stop,
                    // As it is undone itself.
                    (Operation::Start, "active") => Operation::Start,
                    (Operation::Stop, "inactive") => Operation::Stop,
                    _ => return None,
                }
            }
            Self::AtBoot { enable, .. } => {
                *enable = match state {
                    "enabled" => true,
                    "disabled" => false,
                    _ => return None,
                }
            }
            Self::Profile { profile } => {
                *profile = [Power::PowerSaver, Power::Balanced, Power::Performance]
                    .into_iter()
                    .find(|profile| profile.name() == state)?;
            }
            Self::Delete { .. } => return None,
        }
        Some(step)
    }

    /// Does it. The process that a signal was sent to is returned, so that its end can be waited for.
    pub(crate) fn run(&self, system: &System) -> Result<Option<Held>, Error> {
        if system.recorded {
            return Err(Error::Unsupported(
                "these are facts of another time".to_owned(),
            ));
        }
        match self {
            Self::Signal { process, signal } => {
                if *signal != Signal::Cont && system.own.contains(&process.pid) {
                    return Err(Error::Refused("it is what runs this program"));
                }
                let held = Held::new(process)?;
                held.signal(match signal {
                    Signal::Term => rustix::process::Signal::TERM,
                    Signal::Kill => rustix::process::Signal::KILL,
                    Signal::Stop => rustix::process::Signal::STOP,
                    Signal::Cont => rustix::process::Signal::CONT,
                })?;
                return Ok(Some(held));
            }
            Self::Nice { process, levels } => {
                let level = |text: &str| {
                    let nice: i8 = text.parse().ok()?;
                    (-20..=19).contains(&nice).then_some(nice)
                };
                let levels = Levels::read(levels, level).ok_or_else(|| bad(levels))?;
                Held::new(process)?.set_nice(&levels)?;
            }
            Self::Io { process, levels } => {
                let levels = Levels::read(levels, IoPriority::parse).ok_or_else(|| bad(levels))?;
                Held::new(process)?.set_io(&levels)?;
            }
            Self::Cgroup { path, file, value } => {
                if *file == CgroupFile::Freeze && value == "1" {
                    refuse_own_group(path)?;
                }
                let known = |c: char| c.is_ascii_alphanumeric() || c == ' ';
                if !value.chars().all(known) {
                    return Err(bad(value));
                }
                system.write(&cgroup::file(system, path, file.name())?, value)?;
            }
            Self::Property { unit, limit, value } => {
                system.buses.set_limit(unit, limit.name(), *value)?;
            }
            Self::Freezer { unit, freeze } => system.buses.freeze(unit, *freeze)?,
            Self::Job { unit, operation } => {
                system.buses.job(unit, *operation)?;
            }
            Self::AtBoot { unit, enable } => system.buses.enable(unit, *enable)?,
            Self::Profile { profile } => system.buses.set_power(*profile)?,
            Self::Frequency {
                policy,
                file,
                value,
            } => {
                let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if !value.chars().all(known) {
                    return Err(bad(value));
                }
                system.write(&file.path(*policy), value)?;
            }
            Self::Sysctl { key, value } => {
                if !key.range().contains(value) {
                    return Err(bad(&value.to_string()));
                }
                system.write(&key.path(), &value.to_string())?;
            }
            Self::Delete { file } => cache::delete(file)?,
        }
        Ok(None)
    }
}

fn bad(value: &str) -> Error {
    Error::Failed(format!("{value:?} is no value for it"))
}

/// A group that this process is in, or below, is not frozen: nobody could thaw it then.
pub(crate) fn refuse_own_group(path: &str) -> Result<(), Error> {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = text.lines().find_map(|line| line.strip_prefix("0::"));
    match own {
        Some(own) if contains(path, own) => Err(Error::Refused("this program runs in it")),
        _ => Ok(()),
    }
}

/// Whether a control group is another one or has it below it.
fn contains(path: &str, other: &str) -> bool {
    let path = path.trim_end_matches('/');
    other
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_contain_those_below() {
        for (path, other, expected) in [
            ("/", "/a", true),
            ("/a", "/a", true),
            ("/a", "/a/b", true),
            ("/a/", "/a/b", true),
            ("/a", "/ab", false),
            ("/a/b", "/a", false),
        ] {
            assert_eq!(contains(path, other), expected, "{path} {other}");
        }
    }

    #[test]
    fn a_step_of_a_journal_writes_no_other_file() {
        let root = tempfile::tempdir().unwrap();
        let system = System::at(root.path(), None);
        for text in [
            r#"{"step":"sysctl","key":"kernel.core_pattern","value":1}"#,
            r#"{"step":"cgroup","path":"/a","file":"cgroup.kill","value":"1"}"#,
            r#"{"step":"frequency","policy":"0/../..","file":"governor","value":"x"}"#,
            r#"{"step":"write","path":"/etc/passwd","value":"x"}"#,
        ] {
            assert!(serde_json::from_str::<Step>(text).is_err(), "{text}");
        }
        for text in [
            r#"{"step":"sysctl","key":"vm.swappiness","value":201}"#,
            r#"{"step":"frequency","policy":0,"file":"governor","value":"../x"}"#,
            r#"{"step":"cgroup","path":"/a/../..","file":"memory.high","value":"1"}"#,
            r#"{"step":"cgroup","path":"/a","file":"memory.high","value":"1\n"}"#,
        ] {
            let step: Step = serde_json::from_str(text).unwrap();
            assert!(matches!(step.run(&system), Err(Error::Failed(_))), "{text}");
        }
    }
}
