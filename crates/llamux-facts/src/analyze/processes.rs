// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Processes that are too many, ended, stopped or crashed.

use std::collections::BTreeMap;

use super::{count, end, end_or_restart, process_subject, share, subject};
use crate::facts::Facts;
use crate::finding::{Cause, Finding, Remedy, Severity, Subject};
use crate::quantity::Quantity;
use crate::text;

/// A few are normal for a moment; each keeps a number only.
const ZOMBIES: u64 = 50;
/// The share of a limit from which on it will be met soon.
const LIMIT: f64 = 90.0;
/// A crash longer ago than this is history.
const CRASH_RECENT: f64 = 3600.0;

pub(super) fn analyze(facts: &Facts, out: &mut Vec<Finding>) {
    zombies(facts, out);
    files(facts, out);
    tasks(facts, out);
    crashes(facts, out);
    frozen(facts, out);
}

fn zombies(facts: &Facts, out: &mut Vec<Finding>) {
    let mut parents: BTreeMap<i32, u64> = BTreeMap::new();
    for process in facts
        .processes
        .iter()
        .filter(|process| process.state == "Z")
    {
        *parents.entry(process.parent).or_default() += 1;
    }
    let all: u64 = parents.values().sum();
    if all < ZOMBIES {
        return;
    }
    let number = Quantity::Count(all);
    let mut finding = Finding::new(
        Cause::Zombies,
        Severity::Notice,
        format!("{number} processes have ended and are not collected."),
    )
    .because("Who started them does not ask how they ended. They take neither memory nor processor time, but numbers of processes, of which there are not endlessly many.")
    .shows("processes that ended", number);
    let worst = parents.iter().max_by_key(|(_, number)| **number);
    if let Some(parent) = worst.and_then(|(pid, _)| facts.process(*pid)) {
        finding = finding.concerns(process_subject(parent));
        finding = finding.helped_by(end(parent));
    }
    out.push(finding);
}

fn files(facts: &Facts, out: &mut Vec<Finding>) {
    let limits = &facts.limits;
    let part = share(limits.files, limits.files_max);
    if limits.files_max > 0 && part >= LIMIT {
        let used = Quantity::Count(limits.files);
        let most = Quantity::Count(limits.files_max);
        let mut finding = Finding::new(
            Cause::TooManyFiles,
            Severity::Critical,
            format!("{used} files are open, of {most} that can be."),
        )
        .because(
            "When there are no more, every program fails at opening its next file or connection.",
        )
        .shows("open files", used)
        .shows("files that can be open", most)
        .helped_by([Remedy::RaiseCountLimit { subject: None }]);
        let most = facts
            .processes
            .iter()
            .max_by_key(|process| process.open_files.unwrap_or(0));
        if let Some((process, files)) = most.and_then(|p| Some((p, p.open_files?))) {
            finding = finding
                .shows(
                    format!("files that {} has open", process_subject(process)),
                    Quantity::Count(files),
                )
                .concerns(process_subject(process))
                .helped_by(end(process));
        }
        out.push(finding);
        return;
    }
    for process in &facts.processes {
        let (Some(files), Some(most)) = (process.open_files, process.open_files_limit) else {
            continue;
        };
        if most == 0 || share(files, most) < LIMIT {
            continue;
        }
        let who = process_subject(process);
        let (files, most) = (Quantity::Count(files), Quantity::Count(most));
        out.push(
            Finding::new(
                Cause::TooManyFiles,
                Severity::Warning,
                format!("{who} has {files} files open, of {most} that it may have."),
            )
            .about(&process.pid.to_string())
            .because("When it has no more, it fails at its next file or connection. Either it forgets to close them, or its limit is too low.")
            .shows("files that it has open", files)
            .shows("files that it may have open", most)
            .concerns(who.clone())
            .helped_by([Remedy::RaiseCountLimit { subject: Some(who) }])
            .helped_by(end(process)),
        );
    }
}

fn tasks(facts: &Facts, out: &mut Vec<Finding>) {
    let limits = &facts.limits;
    if limits.tasks_max > 0 && share(limits.tasks, limits.tasks_max) >= LIMIT {
        let (used, most) = (
            Quantity::Count(limits.tasks),
            Quantity::Count(limits.tasks_max),
        );
        let mut finding = Finding::new(
            Cause::TooManyTasks,
            Severity::Critical,
            format!("There are {used} processes and threads, of {most} that there can be."),
        )
        .because("When there are no more, nothing can be started, not even what would help.")
        .shows("processes and threads", used)
        .shows("processes and threads that there can be", most);
        if let Some(group) = facts.groups.iter().max_by_key(|group| group.pids.len()) {
            let number = group.pids.len() as u64;
            finding = finding
                .shows(
                    format!("processes of {}", subject(group)),
                    Quantity::Count(number),
                )
                .concerns(subject(group))
                .helped_by(end_or_restart(group));
        }
        out.push(finding.helped_by([Remedy::RaiseCountLimit { subject: None }]));
    }
    for cgroup in &facts.cgroups {
        let Some(most) = cgroup.pids_max.filter(|most| *most > 0) else {
            continue;
        };
        if share(cgroup.pids, most) < LIMIT {
            continue;
        }
        let group = cgroup.group.as_deref().and_then(|id| facts.group(id));
        let who = group.map_or_else(
            || Subject::Cgroup {
                path: cgroup.path.clone(),
            },
            subject,
        );
        let (used, most) = (Quantity::Count(cgroup.pids), Quantity::Count(most));
        out.push(
            Finding::new(
                Cause::TooManyTasks,
                Severity::Warning,
                format!("{who} has {used} processes and threads, of {most} that it may have."),
            )
            .about(&cgroup.path)
            .because("When it has no more, it cannot start anything.")
            .shows("processes and threads", used)
            .shows("processes and threads that it may have", most)
            .concerns(who.clone())
            .helped_by([Remedy::RaiseCountLimit { subject: Some(who) }]),
        );
    }
}

/// The name in a line such as "name[12]: segfault at 0 ip …" or "traps: name[12] trap invalid opcode …".
fn crashed(line: &str) -> Option<(&str, i32)> {
    let crash = [
        "]: segfault at",
        "] general protection fault",
        "] trap invalid opcode",
    ];
    let place = crash.iter().find_map(|part| line.find(part))?;
    let (name, pid) = line.get(..place)?.rsplit_once('[')?;
    let name = name.strip_prefix("traps: ").unwrap_or(name);
    Some((name, pid.parse().ok()?))
}

fn crashes(facts: &Facts, out: &mut Vec<Finding>) {
    let mut programs: BTreeMap<&str, (u64, f64, i32)> = BTreeMap::new();
    for line in &facts.kernel_log {
        let ago = facts.host.uptime_seconds - line.seconds;
        let Some((name, pid)) = crashed(&line.text).filter(|_| ago < CRASH_RECENT) else {
            continue;
        };
        let entry = programs.entry(name).or_insert((0, ago, pid));
        *entry = (entry.0 + 1, ago.min(entry.1), pid);
    }
    for (name, (times, ago, pid)) in programs {
        let shown = text::shown(name);
        let ago = Quantity::Seconds(ago.max(0.0));
        let title = match times {
            1 => format!("{shown} crashed {ago} ago."),
            _ => format!(
                "{shown} crashed {}, {ago} ago the last time.",
                count(times, "time", "times")
            ),
        };
        out.push(
            Finding::new(Cause::ProgramCrashed, Severity::Warning, title)
                .about(name)
                .because("It touched memory that is not its own, or ran into what is no instruction: a bug of the program, or bad memory if it happens to many.")
                .shows("crashes within an hour", Quantity::Count(times))
                .shows("time since the last one", ago)
                .concerns(Subject::Process { pid, start_time: 0, name: name.to_owned() })
                .helped_by([Remedy::ReadLog { subject: None }]),
        );
    }
}

fn frozen(facts: &Facts, out: &mut Vec<Finding>) {
    for cgroup in facts
        .cgroups
        .iter()
        .filter(|cgroup| cgroup.frozen && cgroup.pids > 0)
    {
        let group = cgroup.group.as_deref().and_then(|id| facts.group(id));
        let who = group.map_or_else(
            || Subject::Cgroup {
                path: cgroup.path.clone(),
            },
            subject,
        );
        out.push(
            Finding::new(Cause::Frozen, Severity::Notice, format!("{who} is frozen."))
                .about(&cgroup.path)
                .because(
                    "Somebody stopped all of its processes. It does nothing until it is thawed.",
                )
                .shows("processes and threads", Quantity::Count(cgroup.pids))
                .concerns(who),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::crashed;
    use crate::facts::{Cgroup, Facts, KernelMessage, Process};
    use crate::finding::Severity::{Critical, Notice, Warning};

    fn zombies(facts: &mut Facts, number: i32) {
        facts.processes.extend((0..number).map(|i| Process {
            pid: 1000 + i,
            parent: 7,
            state: "Z".into(),
            ..Process::default()
        }));
    }

    #[test]
    fn limits_and_ends_of_processes_are_found() {
        check(&[
            ("two ended just now", |f| zombies(f, 2), &[]),
            (
                "very many ended",
                |f| zombies(f, 300),
                &[("zombies", Notice)],
            ),
            (
                "files",
                |f| f.limits.files = 990_000,
                &[("too-many-files", Critical)],
            ),
            (
                "files of one",
                |f| {
                    f.processes.push(Process {
                        pid: 7,
                        open_files: Some(1020),
                        open_files_limit: Some(1024),
                        ..Process::default()
                    })
                },
                &[("too-many-files:7", Warning)],
            ),
            (
                "processes",
                |f| f.limits.tasks = 32_000,
                &[("too-many-tasks", Critical)],
            ),
            (
                "processes of one",
                |f| {
                    f.cgroups.push(Cgroup {
                        path: "/x".into(),
                        pids: 99,
                        pids_max: Some(100),
                        ..Cgroup::default()
                    })
                },
                &[("too-many-tasks:/x", Warning)],
            ),
            (
                "frozen",
                |f| {
                    f.cgroups.push(Cgroup {
                        path: "/x".into(),
                        pids: 3,
                        frozen: true,
                        ..Cgroup::default()
                    })
                },
                &[("frozen:/x", Notice)],
            ),
            (
                "crashed",
                |f| {
                    f.kernel_log.push(KernelMessage {
                        seconds: 7100.0,
                        level: 6,
                        text: "gimp[9]: segfault at 0 ip 0 sp 0 error 4".into(),
                    })
                },
                &[("program-crashed:gimp", Warning)],
            ),
            (
                "crashed hours ago",
                |f| {
                    f.kernel_log.push(KernelMessage {
                        seconds: 10.0,
                        level: 6,
                        text: "gimp[9]: segfault at 0 ip 0 sp 0 error 4".into(),
                    })
                },
                &[],
            ),
        ]);
    }

    #[test]
    fn names_of_crashed_programs_may_have_brackets() {
        assert_eq!(crashed("a[b][12]: segfault at 0"), Some(("a[b]", 12)));
        assert_eq!(
            crashed("traps: x[3] trap invalid opcode ip"),
            Some(("x", 3))
        );
        assert_eq!(
            crashed("traps: x[3] general protection fault"),
            Some(("x", 3))
        );
        assert_eq!(crashed("x: segfault at"), None);
    }
}
