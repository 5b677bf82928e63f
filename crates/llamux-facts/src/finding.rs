// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What facts mean: causes, with evidence and what can be done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quantity::{Figure, Quantity};
use crate::text;

/// Something that the facts show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Unique in a list of findings: the cause, and what it is about where there can be several, such as
    /// "disk-full:/var".
    pub id: String,
    /// What it is.
    pub cause: Cause,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence for people.
    pub title: String,
    /// What it means, and why it matters, in a few sentences. Its figures are in the evidence.
    pub explanation: String,
    /// The figures that show it.
    pub evidence: Vec<Evidence>,
    /// What it is about, the most important first.
    pub subjects: Vec<Subject>,
    /// What could be done, the best first.
    pub remedies: Vec<Remedy>,
    /// The id of the finding that explains this one, if there is one.
    pub follows_from: Option<String>,
}

/// A figure that shows something, such as "memory available: 240 MiB".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is of.
    pub what: String,
    /// The figure.
    pub value: Quantity,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look some day.
    Notice,
    /// It hurts now, or will soon.
    Warning,
    /// The machine cannot do its work, or data is in danger.
    Critical,
}

/// What something is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Subject {
    /// A process.
    Process {
        /// Its number.
        pid: i32,
        /// When it was started, in clock ticks since boot.
        start_time: u64,
        /// Its name.
        name: String,
    },
    /// Processes that a person would call by one name.
    Group {
        /// `Group::id`.
        id: String,
        /// Its name.
        name: String,
    },
    /// A unit of systemd.
    Unit {
        /// Its name with its type.
        name: String,
        /// Whether it is one of a user's own systemd.
        user: bool,
    },
    /// A control group.
    Cgroup {
        /// Its path.
        path: String,
    },
    /// A file system.
    Mount {
        /// Where it is mounted.
        mount: String,
    },
    /// A disk.
    Disk {
        /// The kernel's name.
        name: String,
    },
    /// A network link.
    Link {
        /// Its name.
        name: String,
    },
    /// A battery.
    Battery {
        /// The kernel's name.
        name: String,
    },
}

/// What kind of action would help, and what it would be applied to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "remedy", rename_all = "kebab-case")]
pub enum Remedy {
    /// Ask a process, or all of a group, to end.
    End {
        /// Which.
        subject: Subject,
    },
    /// Stop it for a while, to be resumed later.
    Pause {
        /// Which.
        subject: Subject,
    },
    /// Let others have the processors first.
    LowerCpuPriority {
        /// Whom.
        subject: Subject,
    },
    /// Let others have the disks first.
    LowerIoPriority {
        /// Whom.
        subject: Subject,
    },
    /// Give it less memory at most.
    LimitMemory {
        /// Whom.
        subject: Subject,
    },
    /// Give it less processor time at most.
    LimitCpu {
        /// Whom.
        subject: Subject,
    },
    /// Allow it more memory.
    RaiseMemoryLimit {
        /// Whom.
        subject: Subject,
    },
    /// Allow it more processor time.
    RaiseCpuLimit {
        /// Whom.
        subject: Subject,
    },
    /// Allow it more processes and threads, or files.
    RaiseCountLimit {
        /// Whom; `None` for the whole system.
        subject: Option<Subject>,
    },
    /// Start a unit.
    StartUnit {
        /// Which.
        unit: Subject,
    },
    /// Stop a unit and start it again.
    RestartUnit {
        /// Which.
        unit: Subject,
    },
    /// Stop a unit.
    StopUnit {
        /// Which.
        unit: Subject,
    },
    /// Do not start a unit at boot any more.
    DisableUnit {
        /// Which.
        unit: Subject,
    },
    /// Read what it wrote to the journal.
    ReadLog {
        /// Whose; `None` for the kernel's.
        subject: Option<Subject>,
    },
    /// Choose a power profile.
    PowerProfile {
        /// Which.
        profile: PowerProfile,
    },
    /// Have the kernel swap less readily.
    LowerSwappiness,
    /// Add swap.
    AddSwap,
    /// Remove what can be had again.
    Clean {
        /// What.
        cache: Cache,
    },
    /// Find what takes the room on a file system.
    FindLargeFiles {
        /// Which.
        mount: Subject,
    },
    /// Find where a file system has very many small files.
    FindManyFiles {
        /// Which.
        mount: Subject,
    },
    /// Check a file system while it is not mounted.
    CheckFileSystem {
        /// Which.
        mount: Subject,
    },
    /// Save what is on a disk, and replace it.
    ReplaceDisk {
        /// Which.
        disk: Subject,
    },
    /// Turn a network link on.
    LinkUp {
        /// Which.
        link: Subject,
    },
    /// Look at the cable or the radio of a link.
    CheckCable {
        /// Which.
        link: Subject,
    },
    /// Configure an address, a way out, or servers of names.
    ConfigureNetwork,
    /// Have the clock kept right.
    SynchroniseClock,
    /// Install updates.
    Update,
    /// Boot anew.
    Reboot,
    /// Plug the charger in.
    PlugIn,
    /// Clean fans, make room for air.
    Cool,
    /// Ask whoever runs the hypervisor for more processor time.
    AskHost,
    /// Report a bug of the kernel or a driver.
    ReportBug,
}

/// A power profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerProfile {
    /// Least power.
    PowerSaver,
    /// The usual one.
    Balanced,
    /// Most speed.
    Performance,
}

/// Something that can be had again when it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// Old parts of the journal.
    Journal,
    /// Packages that are installed already.
    Packages,
    /// `~/.cache`.
    User,
    /// `/tmp` and `/var/tmp`.
    Temporary,
}

/// Makes the enum of causes, with their names and whether they explain that a machine is slow.
macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $cause:ident = $name:literal, $slow:literal;)+) => {
        /// What can be found. The order is that in which findings of the same severity are told: what
        /// explains that a machine is slow comes first, and the deeper reason before what follows from it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Cause {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $cause,)+
        }

        impl Cause {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$cause),+];

            /// The name, as in `Finding::id` and in JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$cause => $name),+ }
            }

            /// Whether it can be the reason that a machine is slow.
            pub const fn explains_slowness(self) -> bool {
                match self { $(Self::$cause => $slow),+ }
            }
        }
    };
}

causes! {
    /// Much time goes into waiting for memory.
    MemoryPressure = "memory-pressure", true;
    /// Nearly no memory is left.
    MemoryFull = "memory-full", true;
    /// A control group meets the limit of its memory.
    MemoryLimit = "memory-limit", true;
    /// Memory is moved to swap and back all the time.
    Swapping = "swapping", true;
    /// Nearly no swap is left.
    SwapFull = "swap-full", true;
    /// The processors are slowed down because they are hot.
    ThermalThrottling = "thermal-throttling", true;
    /// The hypervisor gives processor time to others.
    CpuStolen = "cpu-stolen", true;
    /// A disk has as much to do as it can.
    DiskSaturated = "disk-saturated", true;
    /// Processes wait for a disk or a server that does not answer.
    ProcessesStuck = "processes-stuck", true;
    /// All processors are busy.
    CpuSaturated = "cpu-saturated", true;
    /// A control group meets the limit of its processor time.
    CpuLimit = "cpu-limit", true;
    /// One process keeps a processor busy all the time.
    ProcessSpinning = "process-spinning", true;
    /// Much processor time goes into interrupts.
    Interrupts = "interrupts", true;
    /// The processors may not run at their speed.
    CpuSlowedDown = "cpu-slowed-down", true;
    /// A profile that saves power is chosen.
    PowerSaver = "power-saver", true;
    /// A disk fails.
    DiskErrors = "disk-errors", true;
    /// A file system has errors.
    FileSystemErrors = "file-system-errors", false;
    /// A file system cannot be written to, and should be.
    ReadOnly = "read-only", false;
    /// A file system is full.
    DiskFull = "disk-full", false;
    /// A file system cannot take more files.
    InodesFull = "inodes-full", false;
    /// The kernel killed processes for lack of memory.
    OomKill = "oom-kill", false;
    /// The kernel met a bug of its own.
    KernelOops = "kernel-oops", false;
    /// The hardware reported errors.
    HardwareErrors = "hardware-errors", false;
    /// A processor or a task hung in the kernel.
    KernelHang = "kernel-hang", true;
    /// A network link has nobody at the other end, or is turned off.
    LinkDown = "link-down", false;
    /// There is no way out.
    NoRoute = "no-route", false;
    /// There is no server of names.
    NoDns = "no-dns", false;
    /// A server of names does not answer.
    DnsSilent = "dns-silent", false;
    /// A network link loses packets.
    PacketLoss = "packet-loss", false;
    /// The radio signal is weak.
    WeakSignal = "weak-signal", false;
    /// A unit is restarted again and again.
    UnitRestarting = "unit-restarting", false;
    /// A unit failed.
    UnitFailed = "unit-failed", false;
    /// A unit does not get done with starting.
    UnitStarting = "unit-starting", false;
    /// A program crashed.
    ProgramCrashed = "program-crashed", false;
    /// The battery is nearly empty.
    BatteryLow = "battery-low", false;
    /// Something is hot.
    Hot = "hot", false;
    /// Nearly as many files are open as there can be.
    TooManyFiles = "too-many-files", false;
    /// There are nearly as many processes and threads as there can be.
    TooManyTasks = "too-many-tasks", false;
    /// Processes that ended are not collected by who started them.
    Zombies = "zombies", false;
    /// Something writes very much to the journal.
    LogFlood = "log-flood", false;
    /// A group of processes is stopped.
    Frozen = "frozen", false;
    /// The journal is large.
    JournalLarge = "journal-large", false;
    /// The clock is kept right by nobody.
    ClockNotSynchronised = "clock-not-synchronised", false;
    /// The machine should be booted anew.
    RebootRequired = "reboot-required", false;
    /// Updates are due.
    UpdatesPending = "updates-pending", false;
    /// The boot took long.
    SlowBoot = "slow-boot", false;
    /// The battery holds much less than when it was new.
    BatteryWorn = "battery-worn", false;
    /// The kernel has modules or had events that its developers do not support.
    KernelTainted = "kernel-tainted", false;
}

impl Finding {
    /// All figures of the finding.
    pub fn figures(&self) -> Vec<Figure> {
        let figure = |evidence: &Evidence| Figure {
            what: evidence.what.clone(),
            quantity: evidence.value,
        };
        self.evidence.iter().map(figure).collect()
    }

    /// The place in the list: the worst first, what follows from others after them, and else by cause.
    pub fn rank(&self) -> impl Ord {
        let worst_first = std::cmp::Reverse(self.severity);
        (worst_first, self.follows_from.is_some(), self.cause)
    }
}

impl Subject {
    /// What a person would call it, safe to show.
    pub fn name(&self) -> String {
        let name = match self {
            Self::Process { name, .. } | Self::Group { name, .. } => name,
            Self::Unit { name, .. } | Self::Disk { name } => name,
            Self::Link { name } | Self::Battery { name } => name,
            Self::Cgroup { path } => path,
            Self::Mount { mount } => mount,
        };
        text::shown(name)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Process { pid, .. } => write!(f, "{name} (process {pid})"),
            Self::Group { .. } | Self::Unit { .. } | Self::Mount { .. } => f.write_str(&name),
            Self::Cgroup { .. } => write!(f, "the control group {name}"),
            Self::Disk { .. } => write!(f, "the disk {name}"),
            Self::Link { .. } => write!(f, "the network link {name}"),
            Self::Battery { .. } => write!(f, "the battery {name}"),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for PowerProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerSaver => "power-saver",
            Self::Balanced => "balanced",
            Self::Performance => "performance",
        })
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => "old parts of the journal",
            Self::Packages => "packages that were downloaded and are installed",
            Self::User => "the caches of programs in ~/.cache",
            Self::Temporary => "old files in /tmp and /var/tmp",
        })
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End { subject } => write!(f, "End {subject}."),
            Self::Pause { subject } => write!(f, "Stop {subject} for a while."),
            Self::LowerCpuPriority { subject } => {
                write!(f, "Lower the priority of {subject}.")
            }
            Self::LowerIoPriority { subject } => {
                write!(f, "Let others use the disks before {subject}.")
            }
            Self::LimitMemory { subject } => write!(f, "Limit the memory of {subject}."),
            Self::LimitCpu { subject } => write!(f, "Limit the processor time of {subject}."),
            Self::RaiseMemoryLimit { subject } => write!(f, "Allow {subject} more memory."),
            Self::RaiseCpuLimit { subject } => {
                write!(f, "Allow {subject} more processor time.")
            }
            Self::RaiseCountLimit { subject: Some(who) } => write!(f, "Raise the limit of {who}."),
            Self::RaiseCountLimit { subject: None } => f.write_str("Raise the limit."),
            Self::StartUnit { unit } => write!(f, "Start {unit}."),
            Self::RestartUnit { unit } => write!(f, "Restart {unit}."),
            Self::StopUnit { unit } => write!(f, "Stop {unit}."),
            Self::DisableUnit { unit } => write!(f, "Do not start {unit} at boot."),
            Self::ReadLog { subject: Some(who) } => {
                write!(f, "Read what {who} wrote to the journal.")
            }
            Self::ReadLog { subject: None } => f.write_str("Read the kernel's log (dmesg)."),
            Self::PowerProfile { profile } => write!(f, "Choose the power profile {profile}."),
            Self::LowerSwappiness => f.write_str("Have the kernel swap less readily."),
            Self::AddSwap => f.write_str("Add swap."),
            Self::Clean { cache } => write!(f, "Remove {cache}."),
            Self::FindLargeFiles { mount } => write!(f, "Find what takes the room on {mount}."),
            Self::FindManyFiles { mount } => write!(f, "Find the many small files on {mount}."),
            Self::CheckFileSystem { mount } => {
                write!(
                    f,
                    "Check the file system of {mount} while it is not mounted."
                )
            }
            Self::ReplaceDisk { disk } => write!(f, "Save what is on {disk}, and replace it."),
            Self::LinkUp { link } => write!(f, "Turn {link} on."),
            Self::CheckCable { link } => write!(f, "Check the cable or the radio of {link}."),
            Self::ConfigureNetwork => f.write_str("Configure the network."),
            Self::SynchroniseClock => f.write_str("Have the clock kept right."),
            Self::Update => f.write_str("Install the updates."),
            Self::Reboot => f.write_str("Boot anew."),
            Self::PlugIn => f.write_str("Plug the charger in."),
            Self::Cool => f.write_str("Clean the fans, and leave room for air."),
            Self::AskHost => f.write_str("Ask whoever runs the host for more processor time."),
            Self::ReportBug => f.write_str("Report it to whoever makes the kernel or the driver."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_unique_names_which_json_uses() {
        let mut names: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        for cause in Cause::ALL {
            let json = serde_json::to_string(cause).unwrap();
            assert_eq!(json, format!("\"{cause}\""));
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(cause.name().chars().all(kebab), "{cause}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
    }

    #[test]
    fn every_cause_is_documented() {
        let page = include_str!("../../../docs/doctor.md");
        for cause in Cause::ALL {
            assert!(page.contains(&format!("`{cause}`")), "{cause}");
        }
    }

    #[test]
    fn names_of_others_are_shown_escaped() {
        let subject = Subject::Process {
            pid: 7,
            start_time: 1,
            name: "evil\n\x1b[2J".into(),
        };
        let end = Remedy::End { subject };
        assert_eq!(end.to_string(), "End evil\\n\\u{1b}[2J (process 7).");
    }
}
