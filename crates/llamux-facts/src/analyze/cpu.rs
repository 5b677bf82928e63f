// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Processors: who keeps them busy, and what slows them down.

use super::{end_or_restart, process_subject, subject, top};
use crate::facts::{Facts, Process};
use crate::finding::{Cause, Finding, PowerProfile, Remedy, Severity, Subject};
use crate::quantity::Quantity;

/// All processors together, busy so much of the time that whatever comes next has to wait.
const BUSY: f64 = 90.0;
/// Waiting for a processor. A build with one job a processor stays below; more jobs than that do not.
const PRESSURE: f64 = 25.0;
/// And so much of it that everything is felt to lag.
const PRESSURE_HIGH: f64 = 60.0;
/// One processor is all but taken. A sample of a second has 100 ticks, a few of which are others'.
const SPINNING: f64 = 90.0;
/// What has run only a moment may be about to end. A build's compilers run for seconds each.
const SPINNING_AGE: f64 = 60.0;
/// Taken by the hypervisor: providers promise less than a tenth, and programs feel it from there on.
const STEAL: f64 = 10.0;
/// And here half of the machine is somebody else's.
const STEAL_CRITICAL: f64 = 40.0;
/// Hard and soft interrupts together: a busy router or a device that storms.
const INTERRUPTS: f64 = 25.0;
/// The share of the periods of its limit in which a control group had to stop.
const THROTTLED: f64 = 25.0;
/// A limit of the frequency below this share of what the processor can do, while there is something to do.
const SLOWED: f64 = 70.0;
/// A governor that keeps the frequency at its lowest has it here; a power limit of all cores together leaves more.
const LOW: f64 = 35.0;
/// A machine that does nothing may be as slow as it likes.
const IDLE: f64 = 30.0;
/// Group that takes this share of one processor is told.
const GROUP_SHARE: f64 = 20.0;
/// The part of all work that makes who does it the reason.
const MOSTLY: f64 = 0.4;
/// Degrees below the temperature at which the machine turns itself off.
const HOT: f64 = 5.0;

pub(super) fn analyze(facts: &Facts, out: &mut Vec<Finding>) {
    throttling(facts, out);
    stolen(facts, out);
    saturated(facts, out);
    limited(facts, out);
    spinning(facts, out);
    interrupts(facts, out);
    slowed_down(facts, out);
    hot(facts, out);
}

fn throttling(facts: &Facts, out: &mut Vec<Finding>) {
    let times = facts
        .cpu
        .cores
        .iter()
        .filter_map(|core| core.throttled_in_sample);
    let times: u64 = times.fold(0, u64::saturating_add);
    let hottest = facts
        .thermal
        .iter()
        .max_by(|a, b| a.celsius.total_cmp(&b.celsius));
    let above = facts
        .thermal
        .iter()
        .find(|zone| zone.passive.is_some_and(|limit| zone.celsius >= limit));
    if times == 0 && above.is_none() {
        return;
    }
    let mut finding = Finding::new(
        Cause::ThermalThrottling,
        Severity::Warning,
        match hottest {
            Some(zone) => {
                let celsius = Quantity::Celsius(zone.celsius);
                format!("The processors are slowed down because they are hot ({celsius}).")
            }
            None => "The processors are slowed down because they are hot.".to_owned(),
        },
    )
    .because("The machine protects itself: it runs slower until it is cooler. Dust, a blocked fan or heavy work are the usual reasons.")
    .shows("times slowed down during the sample", Quantity::Count(times));
    if let Some(zone) = hottest {
        finding = finding.shows(
            format!("temperature of {}", crate::text::shown(&zone.name)),
            Quantity::Celsius(zone.celsius),
        );
    }
    if let Some((zone, limit)) = above.and_then(|zone| Some((zone, zone.passive?))) {
        let what = format!(
            "temperature at which {} is slowed down",
            crate::text::shown(&zone.name)
        );
        finding = finding.shows(what, Quantity::Celsius(limit));
    }
    finding = finding.helped_by([Remedy::Cool]);
    for group in top(facts, GROUP_SHARE, |group| group.cpu)
        .into_iter()
        .take(1)
    {
        finding = finding
            .shows(
                format!("processor time of {}", subject(group)),
                Quantity::Percent(group.cpu),
            )
            .concerns(subject(group))
            .helped_by([Remedy::LimitCpu {
                subject: subject(group),
            }]);
    }
    out.push(finding);
}

fn stolen(facts: &Facts, out: &mut Vec<Finding>) {
    let steal = facts.cpu.used.steal;
    if steal < STEAL {
        return;
    }
    let critical = steal >= STEAL_CRITICAL;
    let severity = if critical {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let stolen = Quantity::Percent(steal);
    let title = format!("The host gives {stolen} of the processor time to others.");
    out.push(
        Finding::new(Cause::CpuStolen, severity, title)
            .because(
                "This is a virtual machine, and its host has more to do than it can. Nothing in here \
                 can change that.",
            )
            .shows("processor time taken by the host", stolen)
            .shows("processor time used here", Quantity::Percent(facts.cpu.used.busy()))
            .helped_by([Remedy::AskHost]),
    );
}

fn saturated(facts: &Facts, out: &mut Vec<Finding>) {
    let busy = facts.cpu.used.busy();
    let stall = facts.pressure.map(|pressure| pressure.cpu.some.avg10);
    // Without pressure information the queue of those that could run says the same.
    let queue = facts.cpu.load[0] / f64::from(facts.cpu.count.max(1));
    let waits = stall.map_or(queue >= 1.5, |stall| stall >= PRESSURE);
    if busy < BUSY || !waits {
        return;
    }
    // Work that gives way to all other work is not in anybody's way.
    if facts.cpu.used.nice >= busy * 0.8 && stall.unwrap_or(0.0) < PRESSURE_HIGH {
        return;
    }
    let high = stall.map_or(queue >= 3.0, |stall| stall >= PRESSURE_HIGH);
    let severity = if high {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let groups = top(facts, GROUP_SHARE, |group| group.cpu);
    let spent = busy * f64::from(facts.cpu.count);
    let main = groups.first().filter(|group| group.cpu >= spent * MOSTLY);
    let busy = Quantity::Percent(busy);
    let title = match main {
        Some(group) => format!(
            "The processors are {busy} busy, mostly with {}.",
            subject(group)
        ),
        None => format!("The processors are {busy} busy."),
    };
    let mut finding = Finding::new(Cause::CpuSaturated, severity, title)
        .because("There is more to compute than the processors can do at once, so programs wait for their turn.")
        .shows("processor time used", busy)
        .shows("processors", Quantity::Count(u64::from(facts.cpu.count)))
        .shows("load of the last minute", Quantity::Number(facts.cpu.load[0]));
    if let Some(stall) = stall {
        finding = finding.shows(
            "time in which something waited for a processor (10 s)",
            Quantity::Percent(stall),
        );
    }
    for group in groups {
        finding = finding
            .shows(
                format!(
                    "processor time of {}, 100 % being one processor",
                    subject(group)
                ),
                Quantity::Percent(group.cpu),
            )
            .concerns(subject(group))
            .helped_by([Remedy::LowerCpuPriority {
                subject: subject(group),
            }])
            .helped_by(end_or_restart(group));
    }
    out.push(finding);
}

fn limited(facts: &Facts, out: &mut Vec<Finding>) {
    for cgroup in &facts.cgroups {
        let Some(limit) = cgroup.cpu_max.filter(|_| cgroup.cpu_throttled >= THROTTLED) else {
            continue;
        };
        let group = cgroup.group.as_deref().and_then(|id| facts.group(id));
        let who = group.map_or_else(
            || Subject::Cgroup {
                path: cgroup.path.clone(),
            },
            subject,
        );
        let held = Quantity::Percent(cgroup.cpu_throttled);
        let limit = Quantity::Percent(limit);
        let title = format!("{who} may use {limit} of a processor, and needs more.");
        out.push(
            Finding::new(Cause::CpuLimit, Severity::Warning, title)
                .about(&cgroup.path)
                .because("Its control group has a limit of processor time, and it is kept waiting although the processors may have time.")
                .shows("limit of its processor time, 100 % being one processor", limit)
                .shows("periods in which it was kept waiting", held)
                .concerns(who.clone())
                .helped_by([Remedy::RaiseCpuLimit { subject: who }]),
        );
    }
}

/// A process that keeps one processor busy on a machine where others have nothing to do. That may be its work: it is
/// a warning only where nobody expects work of it.
fn spinning(facts: &Facts, out: &mut Vec<Finding>) {
    let spins = |process: &&Process| {
        let one = process.cpu >= SPINNING && process.cpu < 115.0;
        one && process.age_seconds >= SPINNING_AGE && process.nice <= 0 && !process.kernel_thread
    };
    // The kernel's threads that answer are busy whenever somebody asks.
    let kernel = facts
        .processes
        .iter()
        .filter(|p| p.kernel_thread && p.cpu >= SPINNING && !p.name.starts_with("llamux"));
    for process in facts.processes.iter().filter(spins).chain(kernel).take(5) {
        let who = process_subject(process);
        let title = format!("{} keeps one processor busy all the time.", who);
        let mut finding = Finding::new(Cause::ProcessSpinning, Severity::Warning, title)
            .about(&process.pid.to_string())
            .because(if process.kernel_thread {
                "It is a thread of the kernel: what it works on is mostly a device or a file system in trouble."
            } else {
                "That is right where it computes something, and else a sign that it hangs in a loop. \
                 Others have the remaining processors."
            })
            .shows("its processor time, 100 % being one processor", Quantity::Percent(process.cpu))
            .shows("time since it was started", Quantity::Seconds(process.age_seconds))
            .concerns(who.clone());
        if let Some(group) = facts.group(&process.group) {
            finding = finding.concerns(subject(group));
        }
        out.push(if process.kernel_thread {
            finding.helped_by([Remedy::ReadLog { subject: None }])
        } else {
            finding
                .helped_by(super::end(process))
                .helped_by([Remedy::LowerCpuPriority { subject: who }])
        });
    }
}

fn interrupts(facts: &Facts, out: &mut Vec<Finding>) {
    let used = &facts.cpu.used;
    let share = used.irq + used.softirq;
    if share < INTERRUPTS {
        return;
    }
    let part = Quantity::Percent(share);
    let title = format!("{part} of the processor time goes into interrupts.");
    let mut finding = Finding::new(Cause::Interrupts, Severity::Warning, title)
        .because("Devices ask for attention so often that little time is left for programs: very many packets, or a device or driver at fault.")
        .shows("processor time in interrupts", part)
        .shows("processor time in soft interrupts", Quantity::Percent(used.softirq))
        .shows("interrupts", Quantity::PerSecond(facts.cpu.interrupts));
    let links = &facts.network.links;
    if let Some(link) = links.iter().max_by_key(|link| link.packets_in_sample) {
        // CAST: packets of a sample.
        let rate = link.packets_in_sample as f64 / facts.collected.sample_seconds.max(0.001);
        if rate >= 50_000.0 {
            let link = Subject::Link {
                name: link.name.clone(),
            };
            finding = finding
                .shows(format!("packets of {link}"), Quantity::PerSecond(rate))
                .concerns(link);
        }
    }
    out.push(finding.helped_by([Remedy::ReadLog { subject: None }]));
}

fn slowed_down(facts: &Facts, out: &mut Vec<Finding>) {
    let cores = &facts.cpu.cores;
    let works = facts.cpu.used.busy() >= IDLE || cores.iter().any(|core| core.busy >= 80.0);
    let saver = facts.power.profile.as_deref() == Some("power-saver");
    if saver {
        let severity = if works {
            Severity::Warning
        } else {
            Severity::Notice
        };
        let mut finding = Finding::new(
            Cause::PowerSaver,
            severity,
            "The power profile power-saver is chosen.",
        )
        .because("The processors save power, and are slower for it.")
        .shows(
            "processor time used",
            Quantity::Percent(facts.cpu.used.busy()),
        );
        let profiles = [PowerProfile::Balanced, PowerProfile::Performance];
        for profile in profiles {
            if facts
                .power
                .profiles
                .iter()
                .any(|name| *name == profile.to_string())
            {
                finding = finding.helped_by([Remedy::PowerProfile { profile }]);
            }
        }
        out.push(finding);
    }
    // The lowest limit of all processors, with what it could be.
    let limits = cores.iter().filter_map(|core| {
        let allowed = core.allowed_hertz?;
        let most = core.max_hertz.filter(|most| *most > 0)?;
        Some((super::share(allowed, most), allowed, most))
    });
    let lowest = limits.min_by(|a, b| a.0.total_cmp(&b.0));
    let held = lowest.filter(|(share, _, _)| *share < SLOWED);
    // "powersave" of intel_pstate and amd_pstate goes up with the work; that of others does not.
    let stays_low = |core: &&crate::facts::Core| {
        let low = core
            .hertz
            .zip(core.max_hertz)
            .filter(|(now, most)| super::share(*now, *most) < LOW);
        core.governor.as_deref() == Some("powersave") && core.busy >= 80.0 && low.is_some()
    };
    let governed = cores.iter().find(stays_low);
    let degraded = facts.power.degraded.as_deref();
    let (now, most, why) = match (held, governed) {
        (Some((_, allowed, most)), _) => (
            allowed,
            most,
            "The highest frequency was limited by hand, by a program or by the firmware.",
        ),
        (None, Some(core)) => (
            core.hertz.unwrap_or(0),
            core.max_hertz.unwrap_or(0),
            "The governor powersave keeps the frequency low whatever there is to do.",
        ),
        _ => return,
    };
    if !works {
        return;
    }
    let (now, most) = (Quantity::Hertz(now), Quantity::Hertz(most));
    let title = format!("The processors run at {now} at most, and could at {most}.");
    let mut finding = Finding::new(Cause::CpuSlowedDown, Severity::Warning, title)
        .because(match degraded {
            Some(reason) => format!(
                "{why} The service of power profiles says: {}.",
                crate::text::shown(reason)
            ),
            None => why.to_owned(),
        })
        .shows("frequency now", now)
        .shows("frequency that is possible", most);
    if !saver
        && facts
            .power
            .profiles
            .iter()
            .any(|name| name == "performance")
    {
        let profile = PowerProfile::Performance;
        finding = finding.helped_by([Remedy::PowerProfile { profile }]);
    }
    out.push(finding);
}

fn hot(facts: &Facts, out: &mut Vec<Finding>) {
    for zone in &facts.thermal {
        let Some(limit) = zone.critical.filter(|limit| zone.celsius >= limit - HOT) else {
            continue;
        };
        let name = crate::text::shown(&zone.name);
        let celsius = Quantity::Celsius(zone.celsius);
        let title = format!("{name} is {celsius} hot.");
        out.push(
            Finding::new(Cause::Hot, Severity::Critical, title)
                .about(&zone.name)
                .because("At its limit the machine turns itself off at once.")
                .shows(format!("temperature of {name}"), celsius)
                .shows(
                    "temperature at which the machine is turned off",
                    Quantity::Celsius(limit),
                )
                .helped_by([Remedy::Cool]),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use crate::facts::{Cgroup, CpuTime, Facts, Group, Process, ThermalZone};
    use crate::finding::Severity::{Critical, Notice, Warning};

    fn busy(facts: &mut Facts, user: f64, pressure: f64) {
        facts.cpu.used = CpuTime {
            user,
            idle: 100.0 - user,
            ..CpuTime::default()
        };
        facts.pressure.as_mut().unwrap().cpu.some.avg10 = pressure;
        facts.groups.push(Group {
            id: "app:make/0".into(),
            name: "make".into(),
            cpu: user * 4.0,
            ..Group::default()
        });
    }

    fn process(facts: &mut Facts, cpu: f64, age_seconds: f64, nice: i32) {
        facts.processes.push(Process {
            pid: 42,
            name: "loop".into(),
            cpu,
            age_seconds,
            nice,
            ..Process::default()
        });
    }

    fn frequency(facts: &mut Facts, now: u64, allowed: u64, governor: &str) {
        for core in &mut facts.cpu.cores {
            core.hertz = Some(now);
            core.allowed_hertz = Some(allowed);
            core.max_hertz = Some(4_000_000_000);
            core.governor = Some(governor.into());
        }
    }

    #[test]
    fn busy_processors_are_found_where_somebody_waits() {
        check(&[
            (
                "a build with as many jobs as processors",
                |f| busy(f, 98.0, 5.0),
                &[],
            ),
            (
                "too many jobs",
                |f| busy(f, 98.0, 40.0),
                &[("cpu-saturated", Warning)],
            ),
            (
                "far too many jobs",
                |f| busy(f, 99.0, 80.0),
                &[("cpu-saturated", Critical)],
            ),
            (
                "work that gives way",
                |f| {
                    busy(f, 0.0, 40.0);
                    f.cpu.used.nice = 99.0;
                },
                &[],
            ),
            (
                "no pressure information",
                |f| {
                    busy(f, 98.0, 0.0);
                    f.pressure = None;
                    f.cpu.load[0] = 9.0;
                },
                &[("cpu-saturated", Warning)],
            ),
            (
                "half is taken by the host",
                |f| f.cpu.used.steal = 45.0,
                &[("cpu-stolen", Critical)],
            ),
            ("a little is", |f| f.cpu.used.steal = 3.0, &[]),
            (
                "interrupts",
                |f| f.cpu.used.softirq = 30.0,
                &[("interrupts", Warning)],
            ),
            (
                "a loop",
                |f| process(f, 99.0, 600.0, 0),
                &[("process-spinning:42", Warning)],
            ),
            (
                "a loop that began just now",
                |f| process(f, 99.0, 5.0, 0),
                &[],
            ),
            (
                "a loop in the background",
                |f| process(f, 99.0, 600.0, 10),
                &[],
            ),
            ("many threads at work", |f| process(f, 380.0, 600.0, 0), &[]),
            (
                "a thread of the kernel",
                |f| {
                    process(f, 99.0, 600.0, 0);
                    f.processes[0].kernel_thread = true;
                },
                &[("process-spinning:42", Warning)],
            ),
            (
                "the thread of the kernel that answers",
                |f| {
                    process(f, 99.0, 600.0, 0);
                    f.processes[0].kernel_thread = true;
                    f.processes[0].name = "llamux/1".into();
                },
                &[],
            ),
        ]);
    }

    #[test]
    fn what_slows_processors_down_is_found_where_it_matters() {
        check(&[
            (
                "throttled",
                |f| f.cpu.cores[0].throttled_in_sample = Some(3),
                &[("thermal-throttling", Warning)],
            ),
            (
                "throttled last week",
                |f| f.cpu.cores[0].throttled = Some(3),
                &[],
            ),
            (
                "hot",
                |f| {
                    f.thermal.push(ThermalZone {
                        name: "x86_pkg_temp".into(),
                        celsius: 97.0,
                        critical: Some(100.0),
                        ..ThermalZone::default()
                    })
                },
                &[("hot:x86_pkg_temp", Critical)],
            ),
            (
                "saving while idle",
                |f| f.power.profile = Some("power-saver".into()),
                &[("power-saver", Notice)],
            ),
            (
                "saving while at work",
                |f| {
                    f.power.profile = Some("power-saver".into());
                    f.cpu.used.user = 50.0;
                },
                &[("power-saver", Warning)],
            ),
            (
                "slow while idle",
                |f| frequency(f, 800_000_000, 4_000_000_000, "powersave"),
                &[],
            ),
            (
                "limited while idle",
                |f| frequency(f, 800_000_000, 800_000_000, "powersave"),
                &[],
            ),
            (
                "limited while at work",
                |f| {
                    frequency(f, 800_000_000, 800_000_000, "performance");
                    f.cpu.used.user = 50.0;
                },
                &[("cpu-slowed-down", Warning)],
            ),
            (
                "governed while at work",
                |f| {
                    frequency(f, 800_000_000, 4_000_000_000, "powersave");
                    f.cpu.cores[0].busy = 99.0;
                },
                &[("cpu-slowed-down", Warning)],
            ),
            (
                "held back by a limit",
                |f| {
                    f.cgroups.push(Cgroup {
                        path: "/x".into(),
                        cpu_max: Some(50.0),
                        cpu_throttled: 90.0,
                        ..Cgroup::default()
                    })
                },
                &[("cpu-limit:/x", Warning)],
            ),
        ]);
    }
}
