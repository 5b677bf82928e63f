// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Memory and swap.

use super::{count, end_or_restart, share, subject, top};
use crate::facts::{Facts, GroupKind};
use crate::finding::{Cause, Finding, Remedy, Severity, Subject};
use crate::quantity::Quantity;

/// systemd-oomd ends control groups above 60 % "full" memory pressure (ManagedOOM default limit); an
/// interactive machine is felt to be slow well before, which starts at a tenth of the time.
const PRESSURE_SOME: f64 = 10.0;
/// When everything waits for memory this much of the time, little else is done.
const PRESSURE_FULL_CRITICAL: f64 = 20.0;
/// And the same of "some", where "full" is low as a few run on.
const PRESSURE_SOME_CRITICAL: f64 = 50.0;
/// Below this share of memory available the page cache is too small for the programs that run; earlyoom acts at
/// 10 %.
const AVAILABLE_WARNING: f64 = 7.0;
/// Here the next large allocation ends in reclaim or a kill.
const AVAILABLE_CRITICAL: f64 = 3.0;
/// What is above this is enough on any machine, whatever share of a very large memory it is.
const AVAILABLE_ENOUGH: u64 = 4 << 30;
/// Bytes a second in both directions that only thrashing moves: 5 MB/s is what a slow disk does at random.
const SWAP_RATE: f64 = 5e6;
/// Used so much, swap is full for the next program that needs it.
const SWAP_FULL: f64 = 90.0;
/// Waiting for memory in a control group with a limit.
const CGROUP_PRESSURE: f64 = 10.0;
/// A group that has this share of memory is told as the reason.
const GROUP_SHARE: f64 = 10.0;
/// A kill longer ago than a day is history.
const OOM_RECENT: f64 = 86_400.0;
/// One that was within the hour matters to whoever asks now.
const OOM_NOW: f64 = 3600.0;

pub(super) fn analyze(facts: &Facts, out: &mut Vec<Finding>) {
    pressure(facts, out);
    full(facts, out);
    swapping(facts, out);
    swap_full(facts, out);
    limits(facts, out);
    kills(facts, out);
}

/// A sentence without its full stop, with who has most memory behind it.
fn naming(sentence: &str, facts: &Facts) -> String {
    let Some(group) = largest(facts).first().copied() else {
        return format!("{sentence}.");
    };
    let memory = Quantity::Bytes(group.memory);
    let processes = match group.pids.len() {
        0 | 1 => String::new(),
        number => format!(" ({number} processes)"),
    };
    format!(
        "{sentence}; {}{processes} has most of it: {memory}.",
        subject(group)
    )
}

/// Who has most memory.
fn largest(facts: &Facts) -> Vec<&crate::facts::Group> {
    // CAST: a threshold needs no exact size.
    let least = (facts.memory.total as f64 * GROUP_SHARE / 100.0) as u64;
    top(facts, least.max(1), |group| group.memory)
}

/// Who has most memory, as subjects, evidence and remedies.
fn blame(mut finding: Finding, facts: &Facts) -> Finding {
    for group in largest(facts) {
        let about = if group.memory_exact {
            "memory of"
        } else {
            "memory of, at most,"
        };
        finding = finding
            .shows(
                format!("{about} {}", subject(group)),
                Quantity::Bytes(group.memory),
            )
            .concerns(subject(group))
            .helped_by(end_or_restart(group));
        if group.pids.len() > 1 {
            let number = Quantity::Count(group.pids.len() as u64);
            finding = finding.shows(format!("processes of {}", subject(group)), number);
        }
        if group.unit.is_some() {
            finding = finding.helped_by([Remedy::LimitMemory {
                subject: subject(group),
            }]);
        }
    }
    finding
}

fn common(finding: Finding, facts: &Facts) -> Finding {
    let memory = &facts.memory;
    let mut finding = finding
        .shows("memory available", Quantity::Bytes(memory.available))
        .shows("memory in all", Quantity::Bytes(memory.total));
    if facts.swap.total > 0 {
        let used = facts.swap.total.saturating_sub(facts.swap.free);
        finding = finding
            .shows("swap used", Quantity::Bytes(used))
            .shows("swap in all", Quantity::Bytes(facts.swap.total));
    }
    finding
}

fn pressure(facts: &Facts, out: &mut Vec<Finding>) {
    let Some(pressure) = facts.pressure else {
        return;
    };
    let (some, full) = (pressure.memory.some, pressure.memory.full);
    if some.avg10 < PRESSURE_SOME {
        return;
    }
    let critical = full.avg10 >= PRESSURE_FULL_CRITICAL || some.avg10 >= PRESSURE_SOME_CRITICAL;
    let severity = if critical {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let waiting = Quantity::Percent(some.avg10);
    let title = naming(
        &format!("Programs wait for memory {waiting} of the time"),
        facts,
    );
    let mut finding = Finding::new(Cause::MemoryPressure, severity, title)
        .because(
            "There is too little memory for all that runs. The kernel keeps taking memory from one \
             program to give it to another, and reads back what it took. That makes everything slow.",
        )
        .shows("time in which something waited for memory (10 s)", waiting)
        .shows("time in which everything waited for memory (10 s)", Quantity::Percent(full.avg10))
        .shows("time in which something waited for memory (60 s)", Quantity::Percent(some.avg60));
    finding = blame(common(finding, facts), facts);
    if facts.swap.total == 0 {
        finding = finding.helped_by([Remedy::AddSwap]);
    }
    out.push(finding);
}

fn full(facts: &Facts, out: &mut Vec<Finding>) {
    let memory = &facts.memory;
    let available = share(memory.available, memory.total);
    if memory.total == 0 || memory.available >= AVAILABLE_ENOUGH || available >= AVAILABLE_WARNING {
        return;
    }
    let critical = available < AVAILABLE_CRITICAL;
    let severity = if critical {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let left = Quantity::Bytes(memory.available);
    let all = Quantity::Bytes(memory.total);
    let title = naming(
        &format!("Only {left} of {all} of memory is available"),
        facts,
    );
    let mut finding = Finding::new(Cause::MemoryFull, severity, title).because(
        "When memory runs out, the kernel ends a program of its choice. Memory that only holds \
         contents of files is counted as available here, as it can be given away.",
    );
    finding = finding.shows("share of memory available", Quantity::Percent(available));
    finding = common(finding, facts);
    // CAST: thresholds need no exact sizes.
    let large = |bytes: u64| share(bytes, memory.total) >= GROUP_SHARE;
    if large(memory.shared) {
        finding = finding.shows(
            "memory that is shared or in tmpfs",
            Quantity::Bytes(memory.shared),
        );
    }
    let fixed = memory.slab.saturating_sub(memory.slab_reclaimable);
    if large(fixed) {
        finding = finding.shows("memory of the kernel itself", Quantity::Bytes(fixed));
    }
    if large(memory.huge_total) {
        finding = finding
            .shows(
                "memory set aside as huge pages",
                Quantity::Bytes(memory.huge_total),
            )
            .shows(
                "huge pages that nobody uses",
                Quantity::Bytes(memory.huge_free),
            );
    }
    finding = blame(finding, facts);
    if facts.swap.total == 0 {
        finding = finding.helped_by([Remedy::AddSwap]);
    }
    out.push(finding);
}

fn swapping(facts: &Facts, out: &mut Vec<Finding>) {
    let swap = &facts.swap;
    if swap.in_rate < SWAP_RATE || swap.out_rate < SWAP_RATE {
        return;
    }
    let reading = Quantity::BytesPerSecond(swap.in_rate);
    let title = format!("Memory is moved to swap and back all the time ({reading} back).");
    let finding = Finding::new(Cause::Swapping, Severity::Warning, title)
        .because(
            "Programs need more memory than there is, and wait for what was moved to swap. That is much \
             slower than memory.",
        )
        .shows("read from swap", reading)
        .shows("written to swap", Quantity::BytesPerSecond(swap.out_rate))
        .shows("page faults that read from a disk", Quantity::PerSecond(facts.memory.major_faults));
    out.push(blame(common(finding, facts), facts));
}

fn swap_full(facts: &Facts, out: &mut Vec<Finding>) {
    let swap = &facts.swap;
    let used = swap.total.saturating_sub(swap.free);
    let part = share(used, swap.total);
    if swap.total == 0 || part < SWAP_FULL {
        return;
    }
    // Full swap with much memory left holds what nobody asked for since.
    let tight = share(facts.memory.available, facts.memory.total) < 20.0;
    let severity = if tight {
        Severity::Warning
    } else {
        Severity::Notice
    };
    let part = Quantity::Percent(part);
    let mut finding = Finding::new(Cause::SwapFull, severity, format!("Swap is {part} full."))
        .because("What is needed next cannot be moved to swap. When memory runs out, the kernel ends a program.")
        .shows("share of swap that is used", part);
    finding = common(finding, facts);
    for group in top(facts, 1 << 26, |group| group.swap) {
        finding = finding
            .shows(
                format!("swap of {}", subject(group)),
                Quantity::Bytes(group.swap),
            )
            .concerns(subject(group))
            .helped_by(end_or_restart(group));
    }
    out.push(finding.helped_by([Remedy::AddSwap]));
}

fn limits(facts: &Facts, out: &mut Vec<Finding>) {
    for cgroup in &facts.cgroups {
        let limit = cgroup
            .memory_high
            .into_iter()
            .chain(cgroup.memory_max)
            .min();
        let waits = cgroup.memory_pressure.unwrap_or(0.0) >= CGROUP_PRESSURE;
        let Some(limit) = limit.filter(|_| cgroup.events_in_sample > 0 && waits) else {
            continue;
        };
        let group = cgroup.group.as_deref().and_then(|id| facts.group(id));
        let who = match group {
            Some(group) => subject(group),
            None => Subject::Cgroup {
                path: cgroup.path.clone(),
            },
        };
        let limit = Quantity::Bytes(limit);
        let title = format!("{who} may have {limit} of memory, and needs more.");
        let pressure = Quantity::Percent(cgroup.memory_pressure.unwrap_or(0.0));
        out.push(
            Finding::new(Cause::MemoryLimit, Severity::Warning, title)
                .about(&cgroup.path)
                .because(
                    "It met the limit of its control group during the sample, and is slow because it \
                     waits for memory. The rest of the machine need not lack any.",
                )
                .shows("memory it has", Quantity::Bytes(cgroup.memory))
                .shows("limit of its memory", limit)
                .shows("times it met the limit during the sample", Quantity::Count(cgroup.events_in_sample))
                .shows("time in which it waited for memory", pressure)
                .concerns(who.clone())
                .helped_by([Remedy::RaiseMemoryLimit { subject: who }]),
        );
    }
}

fn kills(facts: &Facts, out: &mut Vec<Finding>) {
    let recent: Vec<_> = facts
        .oom_kills
        .iter()
        .filter(|kill| kill.ago_seconds < OOM_RECENT)
        .collect();
    let Some(last) = recent.last() else { return };
    let number = recent.len() as u64;
    let now = last.ago_seconds < OOM_NOW;
    let severity = if now {
        Severity::Warning
    } else {
        Severity::Notice
    };
    let ago = Quantity::Seconds(last.ago_seconds);
    let victim = Subject::Process {
        pid: last.pid,
        // It is gone: nothing else can have this number and time.
        start_time: 0,
        name: last.name.clone(),
    };
    let title = if number == 1 {
        format!(
            "The kernel ended {} {ago} ago, as memory ran out.",
            victim.name()
        )
    } else {
        let programs = count(number, "program", "programs");
        format!(
            "The kernel ended {programs} as memory ran out, {} last, {ago} ago.",
            victim.name()
        )
    };
    let mut finding = Finding::new(Cause::OomKill, severity, title)
        .because(match &last.cgroup {
            Some(_) => "It met the limit of its control group: the machine as a whole had memory left.",
            None => "No memory was left in the whole machine, so the kernel ended the program that had most.",
        })
        .shows("programs ended within a day", Quantity::Count(number))
        .shows(format!("memory that {} had", victim.name()), Quantity::Bytes(last.memory))
        .shows("time since then", ago)
        .concerns(victim);
    if let Some(path) = &last.cgroup {
        let subject = Subject::Cgroup { path: path.clone() };
        finding = finding.helped_by([Remedy::RaiseMemoryLimit { subject }]);
    } else if facts.swap.total == 0 {
        finding = finding.helped_by([Remedy::AddSwap]);
    }
    // The service that lost a process may have to be started again.
    let unit = facts.units.iter().flat_map(|units| &units.all);
    let mut failed =
        unit.filter(|u| u.active == "failed" && u.result.as_deref() == Some("oom-kill"));
    if let Some(unit) = failed.next() {
        finding = finding.helped_by([Remedy::StartUnit {
            unit: Subject::Unit {
                name: unit.name.clone(),
                user: unit.user,
            },
        }]);
    }
    let same = |group: &&crate::facts::Group| {
        group.kind != GroupKind::Kernel && group.name.eq_ignore_ascii_case(&last.name)
    };
    if let Some(group) = facts.groups.iter().find(same) {
        finding = finding.concerns(subject(group));
    }
    out.push(finding.helped_by([Remedy::ReadLog { subject: None }]));
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use crate::facts::{Cgroup, Facts, Group, OomKill, SwapDevice};
    use crate::finding::Severity::{Critical, Notice, Warning};

    const GIB: u64 = 1 << 30;

    fn hog(facts: &mut Facts) {
        facts.groups.push(Group {
            id: "app:hog/0".into(),
            name: "hog".into(),
            memory: 13 * GIB,
            memory_exact: true,
            ..Group::default()
        });
        facts.memory.available = GIB / 4;
        facts.memory.free = GIB / 8;
    }

    fn stall(facts: &mut Facts, some: f64, full: f64) {
        let memory = &mut facts.pressure.as_mut().unwrap().memory;
        memory.some.avg10 = some;
        memory.full.avg10 = full;
    }

    fn swap(facts: &mut Facts, used: u64) {
        facts.swap.total = 8 * GIB;
        facts.swap.free = 8 * GIB - used;
        facts.swap.devices.push(SwapDevice {
            size: 8 * GIB,
            used,
            ..SwapDevice::default()
        });
    }

    #[test]
    fn lack_of_memory_is_found_and_plenty_is_not() {
        check(&[
            ("page cache is no lack", |f| f.memory.free = 0, &[]),
            ("some pressure for a moment", |f| stall(f, 9.0, 0.0), &[]),
            (
                "pressure",
                |f| stall(f, 15.0, 5.0),
                &[("memory-pressure", Warning)],
            ),
            (
                "thrashing",
                |f| stall(f, 61.0, 30.0),
                &[("memory-pressure", Critical)],
            ),
            (
                "thrashing for lack of memory",
                |f| {
                    hog(f);
                    stall(f, 61.0, 30.0);
                },
                &[("memory-pressure", Critical), ("memory-full", Critical)],
            ),
            ("nearly full", hog, &[("memory-full", Critical)]),
            (
                "a little left",
                |f| f.memory.available = GIB,
                &[("memory-full", Warning)],
            ),
            (
                "a small share of a huge memory",
                |f| {
                    f.memory.total = 1024 * GIB;
                    f.memory.available = 20 * GIB;
                },
                &[],
            ),
            ("swap used and quiet", |f| swap(f, 2 * GIB), &[]),
            (
                "swap full of what nobody needs",
                |f| swap(f, 8 * GIB),
                &[("swap-full", Notice)],
            ),
            (
                "swap full with little memory",
                |f| {
                    swap(f, 8 * GIB);
                    f.memory.available = 2 * GIB;
                },
                &[("swap-full", Warning)],
            ),
            ("pages come back once", |f| f.swap.in_rate = 5e7, &[]),
            (
                "pages go to and fro",
                |f| {
                    f.swap.in_rate = 5e7;
                    f.swap.out_rate = 4e7;
                },
                &[("swapping", Warning)],
            ),
        ]);
    }

    #[test]
    fn who_has_it_is_named() {
        let mut facts = super::super::quiet();
        hog(&mut facts);
        let found = super::super::findings(&facts);
        assert_eq!(found[0].subjects[0].name(), "hog");
        assert!(
            found[0].title.contains("256 MiB of 16 GiB"),
            "{}",
            found[0].title
        );
        assert!(found[0].remedies[0].to_string().contains("End hog"));
    }

    #[test]
    fn limits_and_kills_are_told_with_whom_they_met() {
        fn limited(f: &mut Facts, events: u64, pressure: f64) {
            f.cgroups.push(Cgroup {
                path: "/system.slice/x.service".into(),
                memory: GIB,
                memory_max: Some(GIB),
                max_events: 1000,
                events_in_sample: events,
                memory_pressure: Some(pressure),
                ..Cgroup::default()
            });
        }
        fn killed(f: &mut Facts, ago_seconds: f64) {
            f.oom_kills.push(OomKill {
                ago_seconds,
                pid: 7,
                name: "hog".into(),
                ..OomKill::default()
            });
        }
        check(&[
            ("a limit that was met long ago", |f| limited(f, 0, 0.0), &[]),
            ("a limit that drops page cache", |f| limited(f, 3, 1.0), &[]),
            (
                "a limit that hurts",
                |f| limited(f, 30, 40.0),
                &[("memory-limit:/system.slice/x.service", Warning)],
            ),
            ("a kill now", |f| killed(f, 60.0), &[("oom-kill", Warning)]),
            (
                "a kill this morning",
                |f| killed(f, 40_000.0),
                &[("oom-kill", Notice)],
            ),
            ("a kill last week", |f| killed(f, 600_000.0), &[]),
        ]);
    }
}
