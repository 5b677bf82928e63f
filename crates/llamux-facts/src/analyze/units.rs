// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Units of systemd, and who writes to the journal.

use crate::facts::{Facts, Unit};
use crate::finding::{Cause, Finding, Remedy, Severity, Subject};
use crate::quantity::Quantity;
use crate::text;

/// systemd gives up at 5 starts within 10 seconds; a service that has come back so often does not get anywhere.
const RESTARTS: u32 = 5;
/// A service that runs this long now has found its feet.
const SETTLED: f64 = 600.0;
/// systemd's own limit for starting is 90 seconds.
const STARTING: f64 = 90.0;
/// Lines in a minute that are more than anybody reads, and fill a journal of 4 GiB within days.
const LINES: u64 = 3000;

pub(super) fn analyze(facts: &Facts, out: &mut Vec<Finding>) {
    for unit in facts.units.iter().flat_map(|units| &units.all) {
        // What an application of a session left behind is not a service that anybody misses.
        let leftover = unit.name.starts_with("app-") || unit.name.starts_with("run-");
        let restarts = unit.restarts.unwrap_or(0);
        let fresh = unit.since_seconds.is_none_or(|since| since < SETTLED);
        let again = unit.active != "failed" && restarts >= RESTARTS && fresh;
        if unit.sub == "auto-restart" || again {
            restarting(facts, unit, out);
        } else if unit.active == "failed" && !leftover {
            failed(facts, unit, out);
        } else if unit.active == "activating"
            && unit.since_seconds.is_some_and(|since| since >= STARTING)
            && (unit.name.ends_with(".service") || unit.name.ends_with(".mount"))
        {
            starting(unit, out);
        }
    }
    flood(facts, out);
}

fn subject(unit: &Unit) -> Subject {
    Subject::Unit {
        name: unit.name.clone(),
        user: unit.user,
    }
}

fn id(unit: &Unit) -> String {
    let user = if unit.user { "user/" } else { "" };
    format!("{user}{}", unit.name)
}

/// Figures and reasons that failed units have in common.
fn details(mut finding: Finding, facts: &Facts, unit: &Unit) -> Finding {
    let ends = [
        ("its exit status", unit.exit_status),
        ("number of the signal that ended it", unit.signal),
    ];
    for (what, number) in ends {
        let number = number.and_then(|number| u64::try_from(number).ok());
        if let Some(number) = number.filter(|number| *number != 0) {
            finding = finding.shows(what, Quantity::Count(number));
        }
    }
    if let Some(since) = unit.since_seconds {
        finding = finding.shows("time since then", Quantity::Seconds(since.max(0.0)));
    }
    let errors = facts.journal.iter().flat_map(|journal| &journal.errors);
    if let Some(errors) = errors.into_iter().find(|errors| errors.unit == unit.name) {
        finding = finding.shows(
            "its errors in the journal within an hour",
            Quantity::Count(errors.count),
        );
    }
    finding
}

/// How a unit ended, as a sentence.
fn result(unit: &Unit) -> String {
    let why = match unit.result.as_deref() {
        Some("exit-code") => "Its program ended with an error.",
        Some("signal") => "Its program was ended by a signal.",
        Some("core-dump") => "Its program crashed.",
        Some("oom-kill") => "The kernel ended its program for lack of memory.",
        Some("timeout") => "It took too long.",
        Some("watchdog") => "It did not say in time that it is alive.",
        Some("start-limit-hit") => "It ended so often that systemd gave up.",
        Some("resources") => "Something that it needs was not there.",
        Some("dependency") => "Something that it depends on failed.",
        Some("protocol") => "It did not behave as its kind of service must.",
        Some("exec-condition" | "success") | None => "",
        Some(other) => return format!("systemd calls the reason {}.", text::shown(other)),
    };
    why.to_owned()
}

fn failed(facts: &Facts, unit: &Unit, out: &mut Vec<Finding>) {
    let who = subject(unit);
    let description = text::shown(&unit.description);
    let title = match description.as_str() {
        "" => format!("{who} failed."),
        _ if description == unit.name => format!("{who} failed."),
        _ => format!("{who} ({description}) failed."),
    };
    let finding = Finding::new(Cause::UnitFailed, Severity::Warning, title)
        .about(&id(unit))
        .because(
            format!(
                "{} It does not run, and what needs it does not work.",
                result(unit)
            )
            .trim_start(),
        )
        .concerns(who.clone())
        .helped_by([
            Remedy::ReadLog {
                subject: Some(who.clone()),
            },
            Remedy::RestartUnit { unit: who },
        ]);
    out.push(details(finding, facts, unit));
}

fn restarting(facts: &Facts, unit: &Unit, out: &mut Vec<Finding>) {
    let who = subject(unit);
    let title = format!("{who} ends and is started again all the time.");
    let mut finding = Finding::new(Cause::UnitRestarting, Severity::Warning, title)
        .about(&id(unit))
        .because(format!("{} systemd starts it again each time, which takes processor time and fills the journal.", result(unit)).trim_start())
        .concerns(who.clone())
        .helped_by([
            Remedy::ReadLog { subject: Some(who.clone()) },
            Remedy::StopUnit { unit: who },
        ]);
    if let Some(restarts) = unit.restarts {
        finding = finding.shows(
            "times it was started again",
            Quantity::Count(u64::from(restarts)),
        );
    }
    out.push(details(finding, facts, unit));
}

fn starting(unit: &Unit, out: &mut Vec<Finding>) {
    let who = subject(unit);
    let since = Quantity::Seconds(unit.since_seconds.unwrap_or(0.0));
    let title = format!("{who} has been starting for {since}.");
    out.push(
        Finding::new(Cause::UnitStarting, Severity::Warning, title)
            .about(&id(unit))
            .because("It waits for something that does not come, and what needs it waits as well.")
            .shows("time that it has been starting", since)
            .concerns(who.clone())
            .helped_by([
                Remedy::ReadLog {
                    subject: Some(who.clone()),
                },
                Remedy::StopUnit { unit: who },
            ]),
    );
}

fn flood(facts: &Facts, out: &mut Vec<Finding>) {
    let loudest = facts.journal.iter().flat_map(|journal| &journal.loudest);
    for (name, lines) in loudest.filter(|(_, lines)| *lines >= LINES) {
        let unit = facts.unit(name).map(subject);
        let shown = text::shown(name);
        let lines = Quantity::Count(*lines);
        let title = format!("{shown} wrote {lines} lines to the journal within a minute.");
        let mut finding = Finding::new(Cause::LogFlood, Severity::Warning, title)
            .about(name)
            .because("That takes processor time and room on the disk, and hides what matters.")
            .shows("lines in the last minute", lines);
        if let Some(unit) = unit {
            finding = finding.concerns(unit.clone()).helped_by([
                Remedy::ReadLog {
                    subject: Some(unit.clone()),
                },
                Remedy::RestartUnit { unit },
            ]);
        }
        out.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::Quantity;
    use crate::facts::{Facts, Journal, Unit, Units};
    use crate::finding::Severity::Warning;

    fn unit(facts: &mut Facts, active: &str, sub: &str, restarts: u32, since_seconds: f64) {
        let units = facts.units.get_or_insert_with(Units::default);
        units.all.push(Unit {
            name: "x.service".into(),
            active: active.into(),
            sub: sub.into(),
            restarts: Some(restarts),
            since_seconds: Some(since_seconds),
            ..Unit::default()
        });
    }

    #[test]
    fn units_in_trouble_are_found() {
        check(&[
            ("running", |f| unit(f, "active", "running", 0, 9000.0), &[]),
            (
                "restarted once by hand",
                |f| unit(f, "active", "running", 1, 60.0),
                &[],
            ),
            (
                "failed",
                |f| unit(f, "failed", "failed", 0, 60.0),
                &[("unit-failed:x.service", Warning)],
            ),
            (
                "failed after restarts",
                |f| unit(f, "failed", "failed", 5, 60.0),
                &[("unit-failed:x.service", Warning)],
            ),
            (
                "waits to be started again",
                |f| unit(f, "activating", "auto-restart", 2, 1.0),
                &[("unit-restarting:x.service", Warning)],
            ),
            (
                "runs for a moment",
                |f| unit(f, "active", "running", 40, 2.0),
                &[("unit-restarting:x.service", Warning)],
            ),
            (
                "was restless and is not any more",
                |f| unit(f, "active", "running", 40, 9000.0),
                &[],
            ),
            ("starts", |f| unit(f, "activating", "start", 0, 5.0), &[]),
            (
                "starts for ever",
                |f| unit(f, "activating", "start", 0, 500.0),
                &[("unit-starting:x.service", Warning)],
            ),
            (
                "writes too much",
                |f| {
                    f.journal = Some(Journal {
                        loudest: vec![("y.service".into(), 15_000), ("z.service".into(), 20)],
                        ..Journal::default()
                    })
                },
                &[("log-flood:y.service", Warning)],
            ),
        ]);
    }

    #[test]
    fn a_signal_is_no_exit_status() {
        for (ends, expected) in [
            ((Some(9), None), "its exit status"),
            ((None, Some(9)), "number of the signal that ended it"),
        ] {
            let mut facts = super::super::quiet();
            unit(&mut facts, "failed", "failed", 0, 60.0);
            let failed = &mut facts.units.as_mut().unwrap().all[0];
            (failed.exit_status, failed.signal) = ends;
            let found = super::super::findings(&facts);
            let shown = found[0].evidence.iter();
            let shown = shown.filter(|it| it.value == Quantity::Count(9));
            let shown: Vec<_> = shown.map(|it| it.what.as_str()).collect();
            assert_eq!(shown, [expected]);
        }
    }

    #[test]
    fn a_restart_loop_explains_what_it_writes() {
        let mut facts = super::super::quiet();
        unit(&mut facts, "activating", "auto-restart", 900, 1.0);
        facts.journal = Some(Journal {
            loudest: vec![("x.service".into(), 15_000)],
            ..Journal::default()
        });
        let found = super::super::findings(&facts);
        assert_eq!(found[0].id, "unit-restarting:x.service");
        assert_eq!(
            found[1].follows_from.as_deref(),
            Some("unit-restarting:x.service")
        );
    }
}
