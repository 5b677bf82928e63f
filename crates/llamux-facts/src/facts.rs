// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What was read from a machine, before anybody says what it means.
//!
//! Texts are as `text::decode` makes them: bounded, and not yet safe to show (see `text::shown`).
//! `None` means that something could not be read, or is not there; `missing` says why.

use serde::{Deserialize, Serialize};

/// The version of the format in which facts are stored.
pub const VERSION: u32 = 1;

/// What was read from a machine at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// [`VERSION`].
    pub version: u32,
    /// When and by whom it was read.
    pub collected: Collected,
    /// Which machine it is.
    pub host: Host,
    /// Processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Swap.
    pub swap: Swap,
    /// Pressure stall information.
    pub pressure: Option<Pressure>,
    /// Disks, without their partitions.
    pub disks: Vec<Disk>,
    /// File systems that hold files: no proc and its like.
    pub file_systems: Vec<FileSystem>,
    /// Temperatures.
    pub thermal: Vec<ThermalZone>,
    /// Batteries and power profiles.
    pub power: Power,
    /// All processes.
    pub processes: Vec<Process>,
    /// The processes grouped as a person would name them, those with most memory first.
    pub groups: Vec<Group>,
    /// Control groups that have a limit, or met one.
    pub cgroups: Vec<Cgroup>,
    /// Units of systemd.
    pub units: Option<Units>,
    /// The newest lines of the kernel's log that are warnings or worse, or crashes of programs; the oldest first.
    pub kernel_log: Vec<KernelMessage>,
    /// Processes that the kernel killed for lack of memory since boot, the latest last.
    pub oom_kills: Vec<OomKill>,
    /// The journal.
    pub journal: Option<Journal>,
    /// Network.
    pub network: Network,
    /// What the whole system may have, and has.
    pub limits: Limits,
    /// Updates and reboots that are due.
    pub updates: Updates,
    /// The clock.
    pub clock: Clock,
    /// The state of the kernel.
    pub kernel: Kernel,
    /// What could not be read.
    pub missing: Vec<Missing>,
}

/// When and by whom facts were read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Collected {
    /// Seconds since 1970 in UTC.
    pub time: i64,
    /// The time over which rates and shares were measured, in seconds.
    pub sample_seconds: f64,
    /// How long all of it took, in seconds.
    pub took_seconds: f64,
    /// The user.
    pub uid: u32,
}

/// Which machine it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The system, such as "Arch Linux".
    pub system: String,
    /// The short name of the system, such as "arch".
    pub system_id: String,
    /// The release of the kernel.
    pub kernel: String,
    /// Its architecture, such as "x86_64".
    pub architecture: String,
    /// What it runs in, such as "kvm" or "docker"; empty on real hardware or where that is not known.
    pub virtualization: String,
    /// Seconds since it was booted.
    pub uptime_seconds: f64,
}

/// Processors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// What the manufacturer calls them.
    pub model: String,
    /// How many are online.
    pub count: u32,
    /// Where their time went during the sample.
    pub used: CpuTime,
    /// Each of them.
    pub cores: Vec<Core>,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Threads that could run at the end of the sample.
    pub runnable: u64,
    /// Threads that waited without being interruptible, mostly for disks, at the end of the sample.
    pub blocked: u64,
    /// Switches between threads in a second.
    pub context_switches: f64,
    /// Interrupts in a second.
    pub interrupts: f64,
}

/// Where the time of all processors went, in percent of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuTime {
    /// Programs.
    pub user: f64,
    /// Programs with a positive nice level.
    pub nice: f64,
    /// The kernel on behalf of programs.
    pub system: f64,
    /// Nothing, while a disk was waited for.
    pub iowait: f64,
    /// Interrupts.
    pub irq: f64,
    /// Soft interrupts, such as those for packets.
    pub softirq: f64,
    /// Taken by the hypervisor.
    pub steal: f64,
    /// Nothing.
    pub idle: f64,
}

impl CpuTime {
    /// The share in which something was computed here.
    pub fn busy(&self) -> f64 {
        self.user + self.nice + self.system + self.irq + self.softirq
    }
}

/// One processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Core {
    /// Its number.
    pub id: u32,
    /// The share of the sample in which it was busy, in percent.
    pub busy: f64,
    /// Its frequency at the end of the sample.
    pub hertz: Option<u64>,
    /// The highest frequency that it is allowed now.
    pub allowed_hertz: Option<u64>,
    /// The highest frequency that it can have.
    pub max_hertz: Option<u64>,
    /// How its frequency is chosen, such as "powersave".
    pub governor: Option<String>,
    /// How often it was slowed down because of its temperature, since boot.
    pub throttled: Option<u64>,
    /// And during the sample.
    pub throttled_in_sample: Option<u64>,
}

/// Memory, in bytes unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// All that the kernel manages.
    pub total: u64,
    /// What programs could get without swapping.
    pub available: u64,
    /// What nobody uses.
    pub free: u64,
    /// Contents of files that can be dropped mostly, and block devices' own.
    pub cached: u64,
    /// What programs have that is in no file.
    pub anonymous: u64,
    /// Memory that is shared or in tmpfs; it is part of `cached` but cannot be dropped.
    pub shared: u64,
    /// What must be written to disks yet.
    pub dirty: u64,
    /// What is being written to disks.
    pub writeback: u64,
    /// The kernel's own objects.
    pub slab: u64,
    /// Those of them that can be dropped.
    pub slab_reclaimable: u64,
    /// What is set aside as huge pages.
    pub huge_total: u64,
    /// Those huge pages that nobody uses.
    pub huge_free: u64,
    /// What programs asked for, touched or not.
    pub committed: u64,
    /// What they may ask for, where the kernel is strict.
    pub commit_limit: u64,
    /// What Llamux took at boot; it is no part of `total`.
    pub llamux_reserved: Option<u64>,
    /// Page faults in a second that had to read from a disk.
    pub major_faults: f64,
    /// How often in a second a program had to free memory itself before it got some.
    pub direct_reclaims: f64,
    /// `vm.swappiness`.
    pub swappiness: Option<u32>,
}

/// Swap, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Swap {
    /// All of it.
    pub total: u64,
    /// What is not used.
    pub free: u64,
    /// Bytes read from it in a second.
    pub in_rate: f64,
    /// Bytes written to it in a second.
    pub out_rate: f64,
    /// Where it is.
    pub devices: Vec<SwapDevice>,
}

/// A partition, file or compressed memory that is used as swap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SwapDevice {
    /// Its path.
    pub name: String,
    /// Whether it is compressed memory.
    pub zram: bool,
    /// Its size in bytes.
    pub size: u64,
    /// What is used of it.
    pub used: u64,
}

/// The shares of time in which something waited for a resource, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// For a processor.
    pub cpu: Stall,
    /// For memory.
    pub memory: Stall,
    /// For disks.
    pub io: Stall,
}

/// How much waited for one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stall {
    /// The time in which something waited.
    pub some: Averages,
    /// The time in which everything waited.
    pub full: Averages,
}

/// Averages over the last 10, 60 and 300 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Averages {
    /// Over 10 seconds.
    pub avg10: f64,
    /// Over 60 seconds.
    pub avg60: f64,
    /// Over 300 seconds.
    pub avg300: f64,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// The kernel's name, such as "nvme0n1".
    pub name: String,
    /// What the manufacturer calls it.
    pub model: String,
    /// Bytes.
    pub size: u64,
    /// Whether it has platters that turn.
    pub rotational: bool,
    /// Whether it can be taken out.
    pub removable: bool,
    /// The share of the sample in which it had something to do, in percent.
    pub busy: f64,
    /// Bytes read in a second.
    pub read_rate: f64,
    /// Bytes written in a second.
    pub write_rate: f64,
    /// Reads in a second.
    pub reads: f64,
    /// Writes in a second.
    pub writes: f64,
    /// How long a request took on average, in seconds; `None` if there was none.
    pub wait_seconds: Option<f64>,
    /// Errors of it in the kernel's log.
    pub log_errors: u64,
    /// Errors that the device or its driver counted.
    pub counted_errors: Option<u64>,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileSystem {
    /// Where it is mounted.
    pub mount: String,
    /// What is mounted.
    pub device: String,
    /// Its type, such as "ext4".
    pub kind: String,
    /// The disk that it is on, if it is on one.
    pub disk: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Bytes that ordinary users can still have.
    pub available: u64,
    /// Bytes that nobody uses.
    pub free: u64,
    /// Files that it can hold; 0 if there is no such limit.
    pub inodes: u64,
    /// Files that it can still take.
    pub inodes_free: u64,
    /// Whether nothing can be written to it.
    pub read_only: bool,
    /// Whether the configuration says that it can be written to.
    pub meant_writable: Option<bool>,
    /// Errors that the file system itself counted.
    pub errors: Option<u64>,
}

/// A place whose temperature is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThermalZone {
    /// What it is called.
    pub name: String,
    /// Its temperature in degrees Celsius.
    pub celsius: f64,
    /// The temperature at which the machine begins to slow down.
    pub passive: Option<f64>,
    /// The temperature at which the machine is turned off.
    pub critical: Option<f64>,
}

/// Batteries and power profiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Power {
    /// Whether it is plugged in; `None` where there is nothing to plug in.
    pub plugged_in: Option<bool>,
    /// Batteries of the machine itself.
    pub batteries: Vec<Battery>,
    /// The power profile that is chosen, such as "balanced".
    pub profile: Option<String>,
    /// Those that can be chosen.
    pub profiles: Vec<String>,
    /// Why performance is held down, as the service of power profiles says.
    pub degraded: Option<String>,
}

/// A battery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Battery {
    /// The kernel's name, such as "BAT0".
    pub name: String,
    /// How full it is.
    pub percent: f64,
    /// "Charging", "Discharging", "Full" and the like.
    pub state: String,
    /// What it gives or takes now, in watts.
    pub watts: Option<f64>,
    /// The time until it is empty, in seconds.
    pub seconds_left: Option<f64>,
    /// What it holds of what it held when it was new, in percent.
    pub health: Option<f64>,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it was started, in clock ticks since boot: with `pid` this names a process for good.
    pub start_time: u64,
    /// Seconds since then.
    pub age_seconds: f64,
    /// Who started it.
    pub parent: i32,
    /// Whose it is.
    pub uid: u32,
    /// The user's name, or the number where there is none.
    pub user: String,
    /// The kernel's short name of it.
    pub name: String,
    /// The program and its arguments, with blanks between them; empty for a thread of the kernel.
    pub command: String,
    /// The path of the program, where it may be read.
    pub executable: Option<String>,
    /// "R" running, "S" sleeping, "D" waiting for a disk, "T" stopped, "Z" zombie, "I" idle.
    pub state: String,
    /// Whether it is a thread of the kernel.
    pub kernel_thread: bool,
    /// Memory in bytes, what it shares with others included.
    pub rss: u64,
    /// Memory in bytes, what it shares divided by those who share; where it may be read.
    pub pss: Option<u64>,
    /// What of it is in swap.
    pub swap: u64,
    /// Processor time during the sample, in percent of one processor.
    pub cpu: f64,
    /// Bytes read from disks in a second.
    pub read_rate: Option<f64>,
    /// Bytes written to disks in a second.
    pub write_rate: Option<f64>,
    /// Page faults in a second that had to read from a disk.
    pub major_faults: f64,
    /// Its nice level.
    pub nice: i32,
    /// Its scheduling class where it is not the usual one: "fifo", "rr", "batch", "idle", "deadline".
    pub scheduler: Option<String>,
    /// How its requests to disks are ordered: "best-effort 4", "idle", "realtime 0"; `None` where it is the usual.
    pub io_priority: Option<String>,
    /// Threads.
    pub threads: u32,
    /// Open files, where they may be counted.
    pub open_files: Option<u64>,
    /// How many it may have open.
    pub open_files_limit: Option<u64>,
    /// How readily the kernel would kill it if memory ran out: 0 to about 1000.
    pub oom_score: Option<i32>,
    /// Where in the kernel it waits.
    pub waits_in: Option<String>,
    /// Its control group, as a path.
    pub cgroup: String,
    /// The unit of systemd that it belongs to.
    pub unit: Option<String>,
    /// Whether that is a unit of a user's own systemd.
    pub user_unit: bool,
    /// `Group::id` of its group.
    pub group: String,
}

/// Processes that a person would call by one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Unique in these facts, such as "app:firefox".
    pub id: String,
    /// What a person would say, such as "Firefox".
    pub name: String,
    /// What kind of thing it is.
    pub kind: GroupKind,
    /// Its processes.
    pub pids: Vec<i32>,
    /// Whose they are, if they are one user's.
    pub user: Option<String>,
    /// Memory in bytes.
    pub memory: u64,
    /// Whether `memory` counts what its processes share once; else it is too high.
    pub memory_exact: bool,
    /// What is in swap.
    pub swap: u64,
    /// Processor time during the sample, in percent of one processor.
    pub cpu: f64,
    /// Bytes read from disks in a second.
    pub read_rate: f64,
    /// Bytes written to disks in a second.
    pub write_rate: f64,
    /// The unit of systemd that is all of it and nothing else.
    pub unit: Option<String>,
    /// Whether that is a unit of a user's own systemd.
    pub user_unit: bool,
    /// The control group that is all of it and nothing else.
    pub cgroup: Option<String>,
}

/// What kind of thing a group of processes is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    /// A service of the system.
    Service,
    /// A program of a desktop session or a terminal.
    #[default]
    Application,
    /// A container.
    Container,
    /// A virtual machine.
    VirtualMachine,
    /// Threads of the kernel.
    Kernel,
}

/// A control group that has a limit, or met one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cgroup {
    /// Its path below the root of control groups.
    pub path: String,
    /// The `Group::id` of what runs in it, if that is one.
    pub group: Option<String>,
    /// Memory in bytes.
    pub memory: u64,
    /// The memory that it can have at most.
    pub memory_max: Option<u64>,
    /// The memory above which it is held back.
    pub memory_high: Option<u64>,
    /// How often it met `memory_max`.
    pub max_events: u64,
    /// How often it met `memory_high`.
    pub high_events: u64,
    /// How often it met either during the sample.
    pub events_in_sample: u64,
    /// How many of its processes were killed for lack of memory.
    pub oom_kills: u64,
    /// The share of time in which something in it waited for memory, over 10 seconds, in percent.
    pub memory_pressure: Option<f64>,
    /// The processor time that it can have at most, in percent of one processor.
    pub cpu_max: Option<f64>,
    /// The share of the sample in which it was kept from running by `cpu_max`, in percent.
    pub cpu_throttled: f64,
    /// Processes and threads.
    pub pids: u64,
    /// How many it may have.
    pub pids_max: Option<u64>,
    /// Whether its processes are stopped.
    pub frozen: bool,
}

/// What systemd says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Units {
    /// "running", "degraded", "starting" and the like.
    pub state: String,
    /// All units that are loaded.
    pub all: Vec<Unit>,
    /// Timers.
    pub timers: Vec<Timer>,
    /// How long the boot took, where systemd says.
    pub boot: Option<Boot>,
}

/// A unit of systemd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unit {
    /// Its name with its type, such as "sshd.service".
    pub name: String,
    /// Its description.
    pub description: String,
    /// Whether it is one of a user's own systemd.
    pub user: bool,
    /// "active", "inactive", "failed", "activating", "deactivating".
    pub active: String,
    /// More about it, such as "running", "auto-restart".
    pub sub: String,
    /// "loaded", "not-found", "masked" and the like.
    pub load: String,
    /// How it ended, such as "exit-code", "oom-kill"; only for those that failed or restart.
    pub result: Option<String>,
    /// Its exit status, where it ended by itself; only for those that failed or restart.
    pub exit_status: Option<i32>,
    /// The number of the signal that ended it; only for those that failed or restart.
    pub signal: Option<i32>,
    /// How often systemd restarted it; only for those that run, failed or restart.
    pub restarts: Option<u32>,
    /// Seconds since it came into this state.
    pub since_seconds: Option<f64>,
    /// The file that defines it.
    pub file: Option<String>,
}

/// A timer of systemd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timer {
    /// Its name.
    pub name: String,
    /// The unit that it starts.
    pub unit: String,
    /// Seconds until then.
    pub next_seconds: Option<f64>,
    /// Seconds since it did so.
    pub last_seconds: Option<f64>,
}

/// How long the boot took, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Boot {
    /// The kernel and its initramfs.
    pub kernel_seconds: f64,
    /// Everything behind them.
    pub userspace_seconds: f64,
    /// The services that took longest: name and seconds.
    pub slowest: Vec<(String, f64)>,
}

/// A line of the kernel's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelMessage {
    /// Seconds since boot.
    pub seconds: f64,
    /// 0 emergency, 1 alert, 2 critical, 3 error, 4 warning, 5 notice, 6 information, 7 debugging.
    pub level: u8,
    /// What it says.
    pub text: String,
}

/// A process that the kernel killed for lack of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OomKill {
    /// Seconds since then.
    pub ago_seconds: f64,
    /// The process.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// The memory that it had, in bytes.
    pub memory: u64,
    /// The control group whose limit was met; `None` if the whole machine ran out.
    pub cgroup: Option<String>,
}

/// The journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// Bytes on disk.
    pub size: Option<u64>,
    /// Errors of the last hour by who wrote them, the most first.
    pub errors: Vec<JournalErrors>,
    /// Who wrote most in the last minute: name and lines.
    pub loudest: Vec<(String, u64)>,
}

/// Errors in the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalErrors {
    /// The unit or the program that wrote them.
    pub unit: String,
    /// How many.
    pub count: u64,
    /// The last one.
    pub last: String,
}

/// Network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Links.
    pub links: Vec<Link>,
    /// Ways out.
    pub default_routes: Vec<Route>,
    /// Servers of names.
    pub dns: Vec<DnsServer>,
}

/// A network link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Its name, such as "eth0".
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Whether it is turned on.
    pub up: bool,
    /// Whether there is somebody at the other end; `None` while it is turned off.
    pub carrier: Option<bool>,
    /// Megabits in a second.
    pub speed: Option<u64>,
    /// The strength of the signal in dBm, of a wireless one.
    pub signal: Option<f64>,
    /// Addresses with the lengths of their prefixes.
    pub addresses: Vec<String>,
    /// Bytes received in a second.
    pub receive_rate: f64,
    /// Bytes sent in a second.
    pub send_rate: f64,
    /// Packets, both ways, since it is there.
    pub packets: u64,
    /// Packets that were damaged or could not be sent, since it is there.
    pub errors: u64,
    /// Packets that were dropped, since it is there.
    pub dropped: u64,
    /// Packets during the sample.
    pub packets_in_sample: u64,
    /// Damaged or dropped ones during the sample.
    pub lost_in_sample: u64,
}

/// What a network link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// A cable.
    #[default]
    Wired,
    /// A wireless one.
    Wireless,
    /// Made by software: bridges, tunnels, links of containers.
    Virtual,
    /// The machine itself.
    Loopback,
}

/// A way out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// The link.
    pub link: String,
    /// Who passes packets on; `None` where the link itself leads there.
    pub gateway: Option<String>,
    /// Whether it is one of IPv6.
    pub ipv6: bool,
    /// The lower, the sooner it is taken.
    pub metric: u32,
}

/// A server of names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsServer {
    /// Its address.
    pub address: String,
    /// Whether it answers; `None` where it was not asked.
    pub answers: Option<bool>,
    /// How long that took, in seconds.
    pub seconds: Option<f64>,
}

/// What the whole system may have, and has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Open files.
    pub files: u64,
    /// How many there can be.
    pub files_max: u64,
    /// Processes and threads.
    pub tasks: u64,
    /// How many there can be: the lower one of `kernel.pid_max` and `kernel.threads-max`.
    pub tasks_max: u64,
}

/// Updates and reboots that are due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Updates {
    /// Who knows: "pacman", "apt"; `None` where nobody does.
    pub manager: Option<String>,
    /// How many there are, as of when the lists were fetched last.
    pub pending: Option<u64>,
    /// Some of their names.
    pub packages: Vec<String>,
    /// Seconds since the lists were fetched.
    pub lists_age_seconds: Option<f64>,
    /// Why the machine should be booted anew; `None` if it need not be.
    pub reboot: Option<String>,
}

/// The clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// Whether something keeps it right.
    pub synchronised: Option<bool>,
    /// How wrong it may be at most, in seconds.
    pub error_seconds: Option<f64>,
}

/// The state of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kernel {
    /// The flags of `/proc/sys/kernel/tainted`.
    pub taint: Option<u64>,
    /// Its command line.
    pub command_line: String,
    /// How the kernel counts: clock ticks in a second.
    pub ticks: u64,
}

/// Something that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Missing {
    /// What, such as "the kernel's log".
    pub what: String,
    /// Why, such as "Operation not permitted: only root may read /dev/kmsg here".
    pub why: String,
}

impl Facts {
    /// The process with this number.
    pub fn process(&self, pid: i32) -> Option<&Process> {
        self.processes.iter().find(|process| process.pid == pid)
    }

    /// The group with this id.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// The unit with this name; the system's own, if a user has one of this name, too.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        let all = self.units.iter().flat_map(|units| &units.all);
        let mut named: Vec<_> = all.filter(|unit| unit.name == name).collect();
        named.sort_by_key(|unit| unit.user);
        named.first().copied()
    }

    /// The file system that holds `path`.
    pub fn file_system_of(&self, path: &str) -> Option<&FileSystem> {
        let holds = |mount: &str| {
            let rest = path.strip_prefix(mount.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let holding = self.file_systems.iter().filter(|fs| holds(&fs.mount));
        holding.max_by_key(|fs| fs.mount.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_a_file() {
        let facts = Facts {
            version: VERSION,
            processes: vec![Process {
                pid: 1,
                name: "a\u{1b}\"\\xFF".into(),
                pss: Some(u64::MAX),
                ..Process::default()
            }],
            pressure: Some(Pressure::default()),
            ..Facts::default()
        };
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
    }

    #[test]
    fn the_innermost_file_system_holds_a_path() {
        let mounted = |mount: &str| FileSystem {
            mount: mount.into(),
            ..FileSystem::default()
        };
        let facts = Facts {
            file_systems: ["/", "/home", "/home/ann"].map(mounted).into(),
            ..Facts::default()
        };
        for (path, mount) in [
            ("/", "/"),
            ("/homely", "/"),
            ("/home", "/home"),
            ("/home/bob/x", "/home"),
            ("/home/ann/x", "/home/ann"),
        ] {
            assert_eq!(facts.file_system_of(path).unwrap().mount, mount, "{path}");
        }
    }
}
