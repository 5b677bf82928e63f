// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel's state, power, the clock, updates, the boot.

use crate::facts::Facts;
use crate::finding::{Cause, Finding, Remedy, Severity, Subject};
use crate::quantity::Quantity;
use crate::text;

/// UPower calls a battery low at 20 %, and critical at 5 %.
const BATTERY_LOW: f64 = 15.0;
const BATTERY_CRITICAL: f64 = 5.0;
/// Manufacturers promise 80 % for a few hundred cycles; below a half it is felt.
const BATTERY_WORN: f64 = 50.0;
/// A user space that takes longer to start than this is waited for.
const BOOT_SLOW: f64 = 60.0;
/// Updates that came in a fortnight on a system that moves fast.
const UPDATES: u64 = 50;
/// Lists so old say nothing about today.
const LISTS_OLD: f64 = 30.0 * 86_400.0;
/// A machine that was booted just now has not found the time yet.
const CLOCK_PATIENCE: f64 = 600.0;

/// Flags of /proc/sys/kernel/tainted that mean that something went wrong: a bad page (5), an oops (7), a lockup (14),
/// a machine check (4); see Documentation/admin-guide/tainted-kernels.rst.
const TAINT_TROUBLE: u64 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 14;
/// And that modules are loaded that the kernel's developers cannot look into: proprietary (0), forced (1).
const TAINT_MODULES: u64 = 1 << 0 | 1 << 1;

pub(super) fn analyze(facts: &Facts, out: &mut Vec<Finding>) {
    kernel(facts, out);
    battery(facts, out);
    clock(facts, out);
    updates(facts, out);
    boot(facts, out);
}

fn kernel(facts: &Facts, out: &mut Vec<Finding>) {
    let lines = |parts: &[&str]| {
        let has = |text: &str| parts.iter().any(|part| text.contains(part));
        facts
            .kernel_log
            .iter()
            .filter(|line| has(&line.text))
            .collect::<Vec<_>>()
    };
    let ago = |seconds: f64| Quantity::Seconds((facts.host.uptime_seconds - seconds).max(0.0));
    let oopses = lines(&[
        "Oops:",
        "kernel BUG at",
        "BUG: unable to handle",
        "BUG: kernel NULL pointer",
        "general protection fault, maybe for address",
    ]);
    if let Some(last) = oopses.last() {
        let number = Quantity::Count(oopses.len() as u64);
        out.push(
            Finding::new(Cause::KernelOops, Severity::Critical, "The kernel met a bug of its own (an oops).")
                .because("It went on as well as it could, but whatever it was doing was not done, and locks may be held for ever. Boot anew when you can.")
                .shows("lines about it in the kernel's log", number)
                .shows("time since then", ago(last.seconds))
                .helped_by([Remedy::Reboot, Remedy::ReadLog { subject: None }, Remedy::ReportBug]),
        );
    }
    let errors = lines(&[
        "Hardware Error]",
        "Machine check events logged",
        "EDAC MC",
        "PCIe Bus Error: severity=Uncorrect",
        "CPU is offline due to",
    ]);
    if let Some(last) = errors.last() {
        let number = errors.len() as u64;
        let severity = if number >= 5 {
            Severity::Critical
        } else {
            Severity::Warning
        };
        out.push(
            Finding::new(Cause::HardwareErrors, severity, "The hardware reported errors.")
                .because("Memory, a processor or a bus made mistakes. Some were put right; what fails like that mostly gets worse.")
                .shows("lines about it in the kernel's log", Quantity::Count(number))
                .shows("time since the last one", ago(last.seconds))
                .helped_by([Remedy::ReadLog { subject: None }]),
        );
    }
    let hangs = lines(&[
        "soft lockup",
        "hard LOCKUP",
        "blocked for more than",
        "rcu: INFO: rcu_",
        "watchdog: BUG",
    ]);
    let recent = hangs
        .iter()
        .rev()
        .find(|line| line.seconds > facts.host.uptime_seconds - 3600.0);
    if let Some(last) = recent {
        out.push(
            Finding::new(Cause::KernelHang, Severity::Warning, "Something hung in the kernel.")
                .because("A processor or a task made no progress for a long time: a disk or a server that does not answer, a driver at fault, or a host that stopped this machine for a while.")
                .shows("lines about it in the kernel's log", Quantity::Count(hangs.len() as u64))
                .shows("time since the last one", ago(last.seconds))
                .helped_by([Remedy::ReadLog { subject: None }]),
        );
    }
    let taint = facts.kernel.taint.unwrap_or(0);
    if taint & TAINT_TROUBLE != 0 && oopses.is_empty() && errors.is_empty() && hangs.is_empty() {
        out.push(
            Finding::new(Cause::KernelTainted, Severity::Warning, "The kernel met a serious error since it was booted.")
                .because("Its log does not go back that far, but it remembers that there was an oops, a bad page, a lockup or a machine check. Boot anew when you can.")
                .shows("flags of /proc/sys/kernel/tainted", Quantity::Count(taint))
                .helped_by([Remedy::Reboot]),
        );
    } else if taint & TAINT_MODULES != 0 && !oopses.is_empty() {
        out.push(
            Finding::new(
                Cause::KernelTainted,
                Severity::Notice,
                "The kernel has modules that its developers cannot look into.",
            )
            .because("They may be why it met a bug. Whoever makes them is to be asked first.")
            .shows("flags of /proc/sys/kernel/tainted", Quantity::Count(taint)),
        );
    }
}

fn battery(facts: &Facts, out: &mut Vec<Finding>) {
    for battery in &facts.power.batteries {
        let who = Subject::Battery {
            name: battery.name.clone(),
        };
        let percent = Quantity::Percent(battery.percent);
        if battery.state == "Discharging" && battery.percent <= BATTERY_LOW {
            let critical = battery.percent <= BATTERY_CRITICAL;
            let severity = if critical {
                Severity::Critical
            } else {
                Severity::Warning
            };
            let title = match battery.seconds_left {
                Some(left) => format!(
                    "The battery has {percent} left, for {}.",
                    Quantity::Seconds(left)
                ),
                None => format!("The battery has {percent} left."),
            };
            let mut finding = Finding::new(Cause::BatteryLow, severity, title)
                .about(&battery.name)
                .because("When it is empty, the machine goes off.")
                .shows("left in the battery", percent)
                .concerns(who.clone())
                .helped_by([Remedy::PlugIn]);
            if let Some(left) = battery.seconds_left {
                finding = finding.shows("time until it is empty", Quantity::Seconds(left));
            }
            if let Some(watts) = battery.watts {
                finding = finding.shows("power that it gives", Quantity::Watts(watts));
            }
            let saver = crate::finding::PowerProfile::PowerSaver;
            let can = facts
                .power
                .profiles
                .iter()
                .any(|name| *name == saver.to_string());
            if can && facts.power.profile.as_deref() != Some("power-saver") {
                finding = finding.helped_by([Remedy::PowerProfile { profile: saver }]);
            }
            out.push(finding);
        }
        if let Some(health) = battery
            .health
            .filter(|health| *health < BATTERY_WORN && *health > 0.0)
        {
            let health = Quantity::Percent(health);
            out.push(
                Finding::new(
                    Cause::BatteryWorn,
                    Severity::Notice,
                    format!("The battery holds {health} of what it did when it was new."),
                )
                .about(&battery.name)
                .because("It is worn, and lasts that much shorter.")
                .shows("what it holds of what it did", health)
                .concerns(who),
            );
        }
    }
}

fn clock(facts: &Facts, out: &mut Vec<Finding>) {
    // In a container the clock is somebody else's.
    let early = facts.host.uptime_seconds < CLOCK_PATIENCE;
    if facts.clock.synchronised != Some(false) || early || facts.units.is_none() {
        return;
    }
    out.push(
        Finding::new(Cause::ClockNotSynchronised, Severity::Notice, "Nothing keeps the clock right.")
            .because("It drifts by seconds a week. Certificates, builds and logs of several machines need it right.")
            .shows("time since boot", Quantity::Seconds(facts.host.uptime_seconds))
            .helped_by([Remedy::SynchroniseClock]),
    );
}

fn updates(facts: &Facts, out: &mut Vec<Finding>) {
    let updates = &facts.updates;
    if let Some(why) = &updates.reboot {
        out.push(
            Finding::new(
                Cause::RebootRequired,
                Severity::Notice,
                "The machine should be booted anew.",
            )
            .because(format!(
                "It runs what was replaced: {}. Modules that are not loaded yet cannot be.",
                text::shown(why)
            ))
            .shows(
                "time since boot",
                Quantity::Seconds(facts.host.uptime_seconds),
            )
            .helped_by([Remedy::Reboot]),
        );
    }
    let pending = updates.pending.unwrap_or(0);
    let old = updates.lists_age_seconds.is_some_and(|age| age > LISTS_OLD);
    if pending >= UPDATES || (pending > 0 && old) {
        let number = Quantity::Count(pending);
        let mut finding = Finding::new(
            Cause::UpdatesPending,
            Severity::Notice,
            format!("{number} updates are due."),
        )
        .because("Among them may be some that close holes.")
        .shows("updates", number)
        .helped_by([Remedy::Update]);
        if let Some(age) = updates.lists_age_seconds {
            finding = finding.shows("age of the lists of packages", Quantity::Seconds(age));
        }
        out.push(finding);
    }
}

fn boot(facts: &Facts, out: &mut Vec<Finding>) {
    let boot = facts.units.as_ref().and_then(|units| units.boot.as_ref());
    let Some(boot) = boot.filter(|boot| boot.userspace_seconds >= BOOT_SLOW) else {
        return;
    };
    let took = Quantity::Seconds(boot.userspace_seconds);
    let mut finding = Finding::new(
        Cause::SlowBoot,
        Severity::Notice,
        format!("Starting the system took {took}."),
    )
    .because("Some services are waited for. Those that took longest are named.")
    .shows("time from the kernel to the finished system", took);
    for (name, seconds) in &boot.slowest {
        let unit = Subject::Unit {
            name: name.clone(),
            user: false,
        };
        finding = finding
            .shows(
                format!("time that {unit} took"),
                Quantity::Seconds(*seconds),
            )
            .concerns(unit.clone());
        if *seconds * 3.0 >= boot.userspace_seconds {
            finding = finding.helped_by([Remedy::ReadLog {
                subject: Some(unit),
            }]);
        }
    }
    out.push(finding);
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use crate::facts::{Battery, Boot, Facts, KernelMessage, Units};
    use crate::finding::Severity::{Critical, Notice, Warning};

    fn log(facts: &mut Facts, text: &str) {
        facts.kernel_log.push(KernelMessage {
            seconds: 7000.0,
            level: 3,
            text: text.into(),
        });
    }

    fn battery(facts: &mut Facts, percent: f64, state: &str, health: f64) {
        facts.power.batteries.push(Battery {
            name: "BAT0".into(),
            percent,
            state: state.into(),
            health: Some(health),
            ..Battery::default()
        });
    }

    #[test]
    fn the_state_of_the_machine_is_found() {
        check(&[
            (
                "an oops",
                |f| log(f, "Oops: 0002 [#1] SMP"),
                &[("kernel-oops", Critical)],
            ),
            (
                "a machine check",
                |f| log(f, "mce: [Hardware Error]: CPU 1"),
                &[("hardware-errors", Warning)],
            ),
            (
                "a lockup",
                |f| log(f, "watchdog: BUG: soft lockup - CPU#1 stuck for 26s!"),
                &[("kernel-hang", Warning)],
            ),
            (
                "an oops that is not in the log any more",
                |f| f.kernel.taint = Some(1 << 7),
                &[("kernel-tainted", Warning)],
            ),
            (
                "a module from elsewhere",
                |f| f.kernel.taint = Some(1 << 12 | 1 << 13),
                &[],
            ),
            (
                "low",
                |f| battery(f, 8.0, "Discharging", 90.0),
                &[("battery-low:BAT0", Warning)],
            ),
            (
                "empty",
                |f| battery(f, 3.0, "Discharging", 90.0),
                &[("battery-low:BAT0", Critical)],
            ),
            (
                "low and plugged in",
                |f| battery(f, 8.0, "Charging", 90.0),
                &[],
            ),
            (
                "worn",
                |f| battery(f, 80.0, "Full", 40.0),
                &[("battery-worn:BAT0", Notice)],
            ),
            (
                "drifting",
                |f| {
                    f.units = Some(Units::default());
                    f.clock.synchronised = Some(false);
                },
                &[("clock-not-synchronised", Notice)],
            ),
            (
                "booted just now",
                |f| {
                    f.units = Some(Units::default());
                    f.clock.synchronised = Some(false);
                    f.host.uptime_seconds = 60.0;
                },
                &[],
            ),
            (
                "replaced",
                |f| f.updates.reboot = Some("x".into()),
                &[("reboot-required", Notice)],
            ),
            ("some updates", |f| f.updates.pending = Some(12), &[]),
            (
                "many updates",
                |f| f.updates.pending = Some(120),
                &[("updates-pending", Notice)],
            ),
            (
                "slow to start",
                |f| {
                    f.units = Some(Units {
                        boot: Some(Boot {
                            userspace_seconds: 95.0,
                            slowest: vec![("wait-online.service".into(), 88.0)],
                            ..Boot::default()
                        }),
                        ..Units::default()
                    })
                },
                &[("slow-boot", Notice)],
            ),
        ]);
    }
}
