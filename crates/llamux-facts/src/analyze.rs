// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What facts mean. Each analyzer is a function of the facts alone.
//!
//! A threshold is a named constant that says where it comes from. Where there is no authority, it is set so
//! that a machine that does its work well is left alone: a false alarm costs the trust in the next one.

mod boot;
mod cpu;
mod io;
mod memory;
mod network;
mod processes;
mod storage;
mod units;

use crate::collect::is_manager;
use crate::facts::{Facts, Group, GroupKind, Process};
use crate::finding::{Cause, Evidence, Finding, Remedy, Severity, Subject};
use crate::quantity::Quantity;

/// All that the facts show, the worst first; what explains that a machine is slow comes before what does not, and
/// what follows from something else after it. Nothing at all is an honest result.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let analyzers: [fn(&Facts, &mut Vec<Finding>); 8] = [
        memory::analyze,
        cpu::analyze,
        io::analyze,
        storage::analyze,
        network::analyze,
        units::analyze,
        processes::analyze,
        boot::analyze,
    ];
    let mut findings = vec![];
    for analyze in analyzers {
        analyze(facts, &mut findings);
    }
    explain(facts, &mut findings);
    findings.sort_by_cached_key(|finding| (finding.rank(), finding.id.clone()));
    findings
}

/// Notes which findings follow from others, so that the reason is told before what it does.
fn explain(facts: &Facts, findings: &mut [Finding]) {
    let found = |cause: Cause, findings: &[Finding]| {
        let worst = findings.iter().filter(|finding| finding.cause == cause);
        let worst = worst.max_by_key(|finding| finding.severity);
        worst.map(|finding| (finding.id.clone(), finding.severity))
    };
    // What explains, and what it explains. Who lacks memory swaps, and swap is on a disk, which others wait for.
    let swaps_to_disk = facts
        .swap
        .devices
        .iter()
        .any(|device| !device.zram && device.used > 0);
    let rules: &[(Cause, &[Cause])] = &[
        (
            Cause::MemoryPressure,
            &[
                Cause::MemoryFull,
                Cause::Swapping,
                Cause::SwapFull,
                Cause::OomKill,
            ],
        ),
        (
            Cause::MemoryFull,
            &[Cause::Swapping, Cause::SwapFull, Cause::OomKill],
        ),
        (Cause::MemoryLimit, &[Cause::OomKill]),
        (
            Cause::DiskErrors,
            &[
                Cause::DiskSaturated,
                Cause::ProcessesStuck,
                Cause::FileSystemErrors,
                Cause::ReadOnly,
            ],
        ),
        (Cause::FileSystemErrors, &[Cause::ReadOnly]),
        (Cause::DiskSaturated, &[Cause::ProcessesStuck]),
        (
            Cause::ThermalThrottling,
            &[Cause::CpuSlowedDown, Cause::Hot],
        ),
        (Cause::PowerSaver, &[Cause::CpuSlowedDown]),
        (Cause::CpuSaturated, &[Cause::ProcessSpinning]),
        (
            Cause::LinkDown,
            &[Cause::NoRoute, Cause::NoDns, Cause::DnsSilent],
        ),
        (Cause::NoRoute, &[Cause::NoDns, Cause::DnsSilent]),
        (Cause::UnitRestarting, &[Cause::LogFlood]),
        (Cause::KernelOops, &[Cause::KernelTainted]),
        (Cause::DiskFull, &[Cause::JournalLarge]),
    ];
    for (reason, followers) in rules {
        let Some((id, severity)) = found(*reason, findings) else {
            continue;
        };
        for finding in findings.iter_mut() {
            let weaker = finding.severity <= severity;
            if followers.contains(&finding.cause) && weaker && finding.follows_from.is_none() {
                finding.follows_from = Some(id.clone());
            }
        }
    }
    if swaps_to_disk {
        for reason in [Cause::MemoryPressure, Cause::Swapping] {
            let Some((id, _)) = found(reason, findings) else {
                continue;
            };
            for finding in findings.iter_mut() {
                let follower =
                    [Cause::DiskSaturated, Cause::ProcessesStuck].contains(&finding.cause);
                if follower && finding.follows_from.is_none() {
                    finding.follows_from = Some(id.clone());
                }
            }
        }
    }
}

impl Finding {
    fn new(cause: Cause, severity: Severity, title: impl Into<String>) -> Self {
        Self {
            id: cause.name().to_owned(),
            cause,
            severity,
            title: title.into(),
            explanation: String::new(),
            evidence: vec![],
            subjects: vec![],
            remedies: vec![],
            follows_from: None,
        }
    }

    /// What it is about, where there can be several of the same cause.
    fn about(mut self, what: &str) -> Self {
        self.id = format!("{}:{what}", self.cause.name());
        self
    }

    fn because(mut self, explanation: impl Into<String>) -> Self {
        self.explanation = explanation.into();
        self
    }

    fn shows(mut self, what: impl Into<String>, value: Quantity) -> Self {
        let what = what.into();
        self.evidence.push(Evidence { what, value });
        self
    }

    fn concerns(mut self, subject: Subject) -> Self {
        self.subjects.push(subject);
        self
    }

    fn helped_by(mut self, remedies: impl IntoIterator<Item = Remedy>) -> Self {
        self.remedies.extend(remedies);
        self
    }
}

/// A size or count as a percentage of another.
fn share(part: u64, whole: u64) -> f64 {
    // CAST: percents have few digits.
    part as f64 / whole.max(1) as f64 * 100.0
}

/// The subject that a group is: its unit, where that is a service and all of it.
fn subject(group: &Group) -> Subject {
    Subject::Group {
        id: group.id.clone(),
        name: group.name.clone(),
    }
}

fn process_subject(process: &Process) -> Subject {
    Subject::Process {
        pid: process.pid,
        start_time: process.start_time,
        name: process.name.clone(),
    }
}

/// The groups that have most of something, at least `least` of it, at most three.
fn top<T: PartialOrd>(facts: &Facts, least: T, of: impl Fn(&Group) -> T) -> Vec<&Group> {
    let people = |group: &&Group| group.kind != GroupKind::Kernel;
    let mut groups: Vec<_> = facts.groups.iter().filter(people).collect();
    groups.retain(|group| of(group) >= least);
    groups.sort_by(|a, b| {
        of(b)
            .partial_cmp(&of(a))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    groups.truncate(3);
    groups
}

/// "1 process", "2 processes": a number with a word behind it.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What may be done about a group that takes too much. What the session or the system rests on is not ended: all
/// else would end with it.
fn end_or_restart(group: &Group) -> Option<Remedy> {
    match &group.unit {
        Some(name) if group.kind == GroupKind::Service => Some(Remedy::RestartUnit {
            unit: Subject::Unit {
                name: name.clone(),
                user: group.user_unit,
            },
        }),
        _ if is_manager(&group.name) || group.pids.contains(&1) => None,
        _ => Some(Remedy::End {
            subject: subject(group),
        }),
    }
}

/// The same of one process.
fn end(process: &Process) -> Option<Remedy> {
    let keep = is_manager(&process.name) || process.pid == 1 || process.kernel_thread;
    let subject = process_subject(process);
    (!keep).then_some(Remedy::End { subject })
}

/// Facts of a machine on which nothing is wrong, for tests to spoil.
#[cfg(test)]
pub(crate) fn quiet() -> Facts {
    use crate::facts::{
        Clock, Core, CpuTime, FileSystem, Limits, Memory, Pressure, Updates, VERSION,
    };
    const GIB: u64 = 1 << 30;
    Facts {
        version: VERSION,
        cpu: crate::facts::Cpu {
            count: 4,
            used: CpuTime {
                user: 4.0,
                idle: 96.0,
                ..CpuTime::default()
            },
            cores: (0..4)
                .map(|id| Core {
                    id,
                    busy: 4.0,
                    ..Core::default()
                })
                .collect(),
            load: [0.2, 0.2, 0.2],
            ..crate::facts::Cpu::default()
        },
        memory: Memory {
            total: 16 * GIB,
            available: 12 * GIB,
            free: 8 * GIB,
            cached: 4 * GIB,
            ..Memory::default()
        },
        pressure: Some(Pressure::default()),
        file_systems: vec![FileSystem {
            mount: "/".into(),
            device: "/dev/sda1".into(),
            kind: "ext4".into(),
            disk: Some("sda".into()),
            size: 100 * GIB,
            available: 50 * GIB,
            free: 55 * GIB,
            inodes: 1_000_000,
            inodes_free: 900_000,
            ..FileSystem::default()
        }],
        limits: Limits {
            files: 1000,
            files_max: 1_000_000,
            tasks: 300,
            tasks_max: 32_768,
        },
        clock: Clock {
            synchronised: Some(true),
            error_seconds: Some(0.01),
        },
        kernel: crate::facts::Kernel {
            taint: Some(0),
            ..Default::default()
        },
        updates: Updates::default(),
        collected: crate::facts::Collected {
            sample_seconds: 1.0,
            ..Default::default()
        },
        host: crate::facts::Host {
            uptime_seconds: 7200.0,
            ..Default::default()
        },
        ..Facts::default()
    }
}

/// A case: its name, what it spoils, and what is to be found.
#[cfg(test)]
pub(crate) type Case<'c> = (&'c str, fn(&mut Facts), &'c [(&'c str, Severity)]);

/// Runs each case on spoiled quiet facts, and compares what is found.
#[cfg(test)]
pub(crate) fn check(cases: &[Case<'_>]) {
    assert_eq!(findings(&quiet()), [], "a quiet machine");
    for (name, spoil, expected) in cases {
        let mut facts = quiet();
        spoil(&mut facts);
        let found = findings(&facts);
        let ids: Vec<_> = found.iter().map(|f| (f.id.as_str(), f.severity)).collect();
        assert_eq!(ids, *expected, "{name}: {found:#?}");
    }
}
