// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The machine as a whole: processors, memory, temperatures, power, limits.

use std::collections::HashMap;

use procfs::{Current as _, CurrentSI as _};

use super::{lacks, line, names, number, percent, rate, round, sys, whole};
use crate::facts::{
    Averages, Battery, Clock, Core, Cpu, CpuTime, Host, Kernel, Limits, Memory, Missing, Power,
    Pressure, Stall, Swap, SwapDevice, ThermalZone,
};
use crate::text;

/// Counters whose growth during the sample matters.
pub(super) struct Counters {
    stat: Option<procfs::KernelStats>,
    vmstat: HashMap<String, i64>,
    interrupts: u64,
    throttled: Vec<Option<u64>>,
}

impl Counters {
    pub(super) fn read() -> Self {
        let interrupts = whole("/proc/stat").unwrap_or_default();
        let interrupts = interrupts
            .lines()
            .find_map(|line| line.strip_prefix("intr "));
        let interrupts = interrupts.and_then(|rest| rest.split(' ').next()?.parse().ok());
        Self {
            stat: procfs::KernelStats::current().ok(),
            vmstat: procfs::vmstat().unwrap_or_default(),
            interrupts: interrupts.unwrap_or(0),
            throttled: core_ids().into_iter().map(throttled).collect(),
        }
    }

    fn grown(&self, after: &Self, name: &str, seconds: f64) -> f64 {
        let value = |counters: &Self| {
            let value = counters.vmstat.get(name).copied().unwrap_or(0);
            u64::try_from(value).unwrap_or(0)
        };
        rate(value(self), value(after), seconds)
    }
}

pub(super) fn uptime() -> f64 {
    let text = line("/proc/uptime").unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or(0.0)
}

pub(super) fn host(uptime_seconds: f64) -> Host {
    let release = whole("/etc/os-release").or_else(|| whole("/usr/lib/os-release"));
    let release = release.unwrap_or_default();
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name));
        let value = value.unwrap_or_default().trim_matches('"');
        text::decode(value.as_bytes())
    };
    Host {
        name: line("/proc/sys/kernel/hostname").unwrap_or_default(),
        system: field("PRETTY_NAME="),
        system_id: field("ID="),
        kernel: line("/proc/sys/kernel/osrelease").unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        virtualization: virtualization(),
        uptime_seconds,
    }
}

fn virtualization() -> String {
    if let Some(container) = line("/run/systemd/container") {
        return container;
    }
    for (file, name) in [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")] {
        if std::path::Path::new(file).exists() {
            return name.to_owned();
        }
    }
    let vendor = line("/sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let product = line("/sys/class/dmi/id/product_name").unwrap_or_default();
    let known = [
        ("QEMU", "kvm"),
        ("KVM", "kvm"),
        ("VMware", "vmware"),
        ("VirtualBox", "virtualbox"),
        ("innotek", "virtualbox"),
        ("Microsoft Corporation Virtual", "hyper-v"),
        ("Xen", "xen"),
        ("Amazon EC2", "ec2"),
        ("Google Compute", "google"),
    ];
    let both = format!("{vendor} {product}");
    if let Some((_, name)) = known.iter().find(|(part, _)| both.contains(part)) {
        return (*name).to_owned();
    }
    let info = whole("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags"));
    let virtual_cpu = flags.is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor"));
    let name = if virtual_cpu { "virtual machine" } else { "" };
    name.to_owned()
}

fn core_ids() -> Vec<u32> {
    let names = names("/sys/devices/system/cpu");
    let ids = names
        .iter()
        .filter_map(|name| name.strip_prefix("cpu")?.parse().ok());
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids
}

fn core_file(id: u32, file: &str) -> String {
    format!("/sys/devices/system/cpu/cpu{id}/{file}")
}

fn throttled(id: u32) -> Option<u64> {
    let read = |file| number::<u64>(core_file(id, &format!("thermal_throttle/{file}")));
    let (core, package) = (read("core_throttle_count"), read("package_throttle_count"));
    Some(core?.max(package.unwrap_or(0)))
}

/// Ticks as percent of all of them.
fn shares(before: &procfs::CpuTime, after: &procfs::CpuTime) -> CpuTime {
    let grown = |of: fn(&procfs::CpuTime) -> u64| {
        // CAST: ticks of a sample are few.
        of(after).saturating_sub(of(before)) as f64
    };
    let mut parts = [
        grown(|t| t.user),
        grown(|t| t.nice),
        grown(|t| t.system),
        grown(|t| t.iowait.unwrap_or(0)),
        grown(|t| t.irq.unwrap_or(0)),
        grown(|t| t.softirq.unwrap_or(0)),
        grown(|t| t.steal.unwrap_or(0)),
        grown(|t| t.idle),
    ];
    let sum = parts.iter().sum();
    parts = parts.map(|part| percent(part, sum));
    let [user, nice, system, iowait, irq, softirq, steal, idle] = parts;
    CpuTime {
        user,
        nice,
        system,
        iowait,
        irq,
        softirq,
        steal,
        idle,
    }
}

pub(super) fn cpu(
    before: &Counters,
    after: &Counters,
    seconds: f64,
    missing: &mut Vec<Missing>,
) -> Cpu {
    let mut cpu = Cpu::default();
    if let Ok(load) = procfs::LoadAverage::current() {
        cpu.load = [load.one, load.five, load.fifteen].map(|load| round(f64::from(load)));
    }
    let info = whole("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let value = line
            .strip_prefix("model name")
            .or(line.strip_prefix("Model"))?;
        value.split_once(':')
    });
    cpu.model = model.map_or_else(String::new, |(_, name)| {
        text::decode(name.trim().as_bytes())
    });
    cpu.interrupts = rate(before.interrupts, after.interrupts, seconds);
    let (Some(first), Some(last)) = (&before.stat, &after.stat) else {
        lacks(missing, "processors", "/proc/stat could not be read");
        return cpu;
    };
    cpu.used = shares(&first.total, &last.total);
    cpu.context_switches = rate(first.ctxt, last.ctxt, seconds);
    // The thread that reads it is one of those that run.
    cpu.runnable = last
        .procs_running
        .map_or(0, |n| u64::from(n.saturating_sub(1)));
    cpu.blocked = last.procs_blocked.map_or(0, u64::from);
    cpu.count = u32::try_from(last.cpu_time.len()).unwrap_or(u32::MAX);
    // The lines of /proc/stat are those of the processors that are online, in order.
    let online = |id: &u32| *id == 0 || number::<u32>(core_file(*id, "online")) != Some(0);
    let ids = core_ids().into_iter().enumerate();
    let ids = ids.filter(|(_, id)| online(id));
    for ((place, id), (first, last)) in ids.zip(first.cpu_time.iter().zip(&last.cpu_time)) {
        let file = |file: &str| core_file(id, &format!("cpufreq/{file}"));
        let hertz = |name: &str| number::<u64>(file(name)).map(|khz| khz.saturating_mul(1000));
        let of = |counters: &Counters| counters.throttled.get(place).copied().flatten();
        cpu.cores.push(Core {
            id,
            busy: round(shares(first, last).busy()),
            hertz: hertz("scaling_cur_freq"),
            allowed_hertz: hertz("scaling_max_freq"),
            max_hertz: hertz("cpuinfo_max_freq"),
            governor: line(file("scaling_governor")),
            throttled: of(after),
            throttled_in_sample: of(after)
                .zip(of(before))
                .map(|(after, before)| after.saturating_sub(before)),
        });
    }
    cpu
}

pub(super) fn memory(
    before: &Counters,
    after: &Counters,
    seconds: f64,
    missing: &mut Vec<Missing>,
) -> Memory {
    let mut memory = Memory::default();
    match procfs::Meminfo::current() {
        Ok(info) => {
            let huge = info.hugepagesize.unwrap_or(0);
            let pages = |count: Option<u64>| count.unwrap_or(0).saturating_mul(huge);
            memory = Memory {
                total: info.mem_total,
                available: info.mem_available.unwrap_or(info.mem_free),
                free: info.mem_free,
                cached: info.cached.saturating_add(info.buffers),
                anonymous: info.anon_pages.unwrap_or(0),
                shared: info.shmem.unwrap_or(0),
                dirty: info.dirty,
                writeback: info.writeback,
                slab: info.slab,
                slab_reclaimable: info.s_reclaimable.unwrap_or(0),
                huge_total: pages(info.hugepages_total),
                huge_free: pages(info.hugepages_free),
                committed: info.committed_as,
                commit_limit: info.commit_limit.unwrap_or(0),
                ..memory
            };
        }
        Err(e) => lacks(missing, "memory", e.to_string()),
    }
    memory.major_faults = before.grown(after, "pgmajfault", seconds);
    let stalls = ["dma", "dma32", "normal", "movable", "device"];
    let stalls = stalls.map(|zone| before.grown(after, &format!("allocstall_{zone}"), seconds));
    memory.direct_reclaims = round(stalls.iter().sum());
    memory.swappiness = number("/proc/sys/vm/swappiness");
    let status = whole("/proc/llamux/status").unwrap_or_default();
    let reserved = status
        .lines()
        .find_map(|line| line.strip_prefix("memory_reserved:"));
    memory.llamux_reserved = reserved.and_then(|value| value.trim().parse().ok());
    memory
}

pub(super) fn swap(before: &Counters, after: &Counters, seconds: f64) -> Swap {
    let mut swap = Swap::default();
    if let Ok(info) = procfs::Meminfo::current() {
        swap.total = info.swap_total;
        swap.free = info.swap_free;
    }
    // CAST: a page has few bytes.
    let page = procfs::page_size() as f64;
    swap.in_rate = round(before.grown(after, "pswpin", seconds) * page);
    swap.out_rate = round(before.grown(after, "pswpout", seconds) * page);
    for row in whole("/proc/swaps").unwrap_or_default().lines().skip(1) {
        let mut words = row.split_ascii_whitespace();
        let (Some(name), _, Some(size), Some(used)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let kib = |word: &str| word.parse::<u64>().unwrap_or(0).saturating_mul(1024);
        swap.devices.push(SwapDevice {
            zram: name.starts_with("/dev/zram"),
            name: text::decode(name.as_bytes()),
            size: kib(size),
            used: kib(used),
        });
    }
    swap
}

pub(super) fn pressure(missing: &mut Vec<Missing>) -> Option<Pressure> {
    let averages = |record: &procfs::PressureRecord| Averages {
        avg10: round(f64::from(record.avg10)),
        avg60: round(f64::from(record.avg60)),
        avg300: round(f64::from(record.avg300)),
    };
    let read = || -> procfs::ProcResult<Pressure> {
        let stall = |some, full| Stall {
            some: averages(some),
            full: averages(full),
        };
        let (cpu, memory) = (
            procfs::CpuPressure::current()?,
            procfs::MemoryPressure::current()?,
        );
        let io = procfs::IoPressure::current()?;
        Ok(Pressure {
            cpu: stall(&cpu.some, &cpu.full),
            memory: stall(&memory.some, &memory.full),
            io: stall(&io.some, &io.full),
        })
    };
    match read() {
        Ok(pressure) => Some(pressure),
        Err(_) => {
            let why = "the kernel has none in /proc/pressure (CONFIG_PSI, psi=1)";
            lacks(missing, "pressure stall information", why);
            None
        }
    }
}

pub(super) fn thermal() -> Vec<ThermalZone> {
    let mut zones = vec![];
    let milli = |path: String| number::<i64>(path).map(|value| round(value as f64 / 1000.0));
    // What makes no sense as a temperature is one that the hardware does not have.
    let sane = |value: &f64| (1.0..200.0).contains(value);
    for zone in names("/sys/class/thermal") {
        let dir = format!("/sys/class/thermal/{zone}");
        if !zone.starts_with("thermal_zone") {
            continue;
        }
        let Some(celsius) = milli(format!("{dir}/temp")).filter(sane) else {
            continue;
        };
        let trip = |kind: &str| {
            let trips = (0..12)
                .filter(|i| line(format!("{dir}/trip_point_{i}_type")).as_deref() == Some(kind));
            let values = trips.filter_map(|i| milli(format!("{dir}/trip_point_{i}_temp")));
            values.filter(sane).reduce(f64::min)
        };
        zones.push(ThermalZone {
            name: line(format!("{dir}/type")).unwrap_or(zone),
            celsius,
            passive: trip("passive"),
            critical: trip("critical"),
        });
    }
    for chip in names("/sys/class/hwmon") {
        let dir = format!("/sys/class/hwmon/{chip}");
        let name = line(format!("{dir}/name")).unwrap_or_default();
        // The processor's own sensors, which are in no zone on many machines, and those of disks.
        if !["coretemp", "k10temp", "zenpower", "nvme", "drivetemp"].contains(&name.as_str()) {
            continue;
        }
        for i in 1..=3 {
            let file = |what: &str| format!("{dir}/temp{i}_{what}");
            if let Some(celsius) = milli(file("input")).filter(sane) {
                let label = line(file("label")).map_or(String::new(), |label| format!(" {label}"));
                zones.push(ThermalZone {
                    name: format!("{name}{label}"),
                    celsius,
                    passive: None,
                    critical: milli(file("crit")).filter(sane),
                });
            }
        }
    }
    zones
}

pub(super) fn power() -> Power {
    let mut power = Power::default();
    for name in names("/sys/class/power_supply") {
        let dir = format!("/sys/class/power_supply/{name}");
        let text = |file: &str| line(format!("{dir}/{file}"));
        // CAST: micro-units of a battery are far below 2^53.
        let value = |file: &str| number::<i64>(format!("{dir}/{file}")).map(|v| v as f64);
        match text("type").as_deref() {
            Some("Mains" | "USB") => {
                if let Some(online) = value("online") {
                    power.plugged_in = Some(power.plugged_in == Some(true) || online > 0.0);
                }
            }
            // Mice and telephones have batteries, too.
            Some("Battery") if text("scope").as_deref() != Some("Device") => {
                let pick = |energy: &str, charge: &str| value(energy).or_else(|| value(charge));
                let now = pick("energy_now", "charge_now");
                let full = pick("energy_full", "charge_full");
                let new = pick("energy_full_design", "charge_full_design");
                let flow = pick("power_now", "current_now").map(f64::abs);
                let state = text("status").unwrap_or_default();
                let discharging = state == "Discharging";
                let left = now.zip(flow).filter(|(_, flow)| discharging && *flow > 0.0);
                power.batteries.push(Battery {
                    percent: value("capacity").unwrap_or(0.0),
                    watts: value("power_now").map(|micro| round(micro.abs() / 1e6)),
                    seconds_left: left.map(|(now, flow)| round(now / flow * 3600.0)),
                    health: full.zip(new).map(|(full, new)| percent(full, new)),
                    state,
                    name,
                });
            }
            _ => {}
        }
    }
    power.profile = line("/sys/firmware/acpi/platform_profile").map(|profile| {
        let name = if profile == "low-power" {
            "power-saver"
        } else {
            profile.as_str()
        };
        name.to_owned()
    });
    power
}

pub(super) fn limits() -> Limits {
    let files = line("/proc/sys/fs/file-nr").unwrap_or_default();
    let mut files = files
        .split_ascii_whitespace()
        .map(|word| word.parse().unwrap_or(0));
    let tasks = line("/proc/loadavg").unwrap_or_default();
    let tasks = tasks
        .split(' ')
        .nth(3)
        .and_then(|pair| pair.split_once('/'));
    let most = |file: &str| number::<u64>(file).unwrap_or(u64::MAX);
    let tasks_max = most("/proc/sys/kernel/pid_max").min(most("/proc/sys/kernel/threads-max"));
    Limits {
        files: files.next().unwrap_or(0),
        files_max: files.nth(1).unwrap_or(0),
        tasks: tasks.and_then(|(_, all)| all.parse().ok()).unwrap_or(0),
        tasks_max: if tasks_max == u64::MAX { 0 } else { tasks_max },
    }
}

pub(super) fn clock(missing: &mut Vec<Missing>) -> Clock {
    sys::clock().unwrap_or_else(|e| {
        lacks(missing, "the state of the clock", e.to_string());
        Clock::default()
    })
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        taint: number("/proc/sys/kernel/tainted"),
        command_line: line("/proc/cmdline").unwrap_or_default(),
        ticks: procfs::ticks_per_second(),
    }
}
