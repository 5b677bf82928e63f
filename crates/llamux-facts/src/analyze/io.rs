// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Disks that have too much to do, and processes that wait for them.

use super::{count, process_subject, subject, top};
use crate::facts::{Disk, Facts, Process};
use crate::finding::{Cause, Finding, Remedy, Severity, Subject};
use crate::quantity::Quantity;

/// Waiting for disks, from which on programs are felt to hang.
const PRESSURE: f64 = 20.0;
/// Everything waits for disks this much of the time.
const PRESSURE_FULL_CRITICAL: f64 = 40.0;
/// A disk that had something to do nearly all the time. Modern ones do much at once, so this alone says nothing.
const BUSY: f64 = 90.0;
/// What a request may take: more than a disk with platters needs for a few of them at random.
const WAIT: f64 = 0.05;
/// A group that moves this many bytes in a second is told.
const GROUP_RATE: f64 = 1e6;
/// The part of all that is moved that makes who moves it the reason.
const MOSTLY: f64 = 0.4;
/// Threads of the kernel wait so for a moment all the time; programs that are stuck do for long. More than these at the
/// same time are no accident, without anything to do for the disks.
const STUCK: usize = 3;

pub(super) fn analyze(facts: &Facts, out: &mut Vec<Finding>) {
    saturated(facts, out);
    stuck(facts, out);
}

/// The disk that others wait for.
fn slowest(facts: &Facts) -> Option<&Disk> {
    let busy = facts.disks.iter().filter(|disk| disk.busy >= BUSY);
    busy.max_by(|a, b| {
        a.wait_seconds
            .unwrap_or(0.0)
            .total_cmp(&b.wait_seconds.unwrap_or(0.0))
    })
}

fn saturated(facts: &Facts, out: &mut Vec<Finding>) {
    let stall = facts.pressure.map(|pressure| pressure.io);
    let disk = slowest(facts);
    let slow = disk.is_some_and(|disk| disk.wait_seconds.unwrap_or(0.0) >= WAIT);
    let waits = match stall {
        Some(stall) => stall.some.avg10 >= PRESSURE,
        None => facts.cpu.used.iowait >= PRESSURE && slow,
    };
    // Where something waits and no disk of this machine is busy, it is for a server of files: see `stuck`.
    let Some(disk) = disk.filter(|_| waits) else {
        return;
    };
    let full = stall.map_or(0.0, |stall| stall.full.avg10);
    let severity = if full >= PRESSURE_FULL_CRITICAL {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let who = Subject::Disk {
        name: disk.name.clone(),
    };
    let moved = |group: &crate::facts::Group| group.read_rate + group.write_rate;
    let groups = top(facts, GROUP_RATE, moved);
    let busy = Quantity::Percent(disk.busy);
    let all = disk.read_rate + disk.write_rate;
    let main = groups.first().filter(|group| moved(group) >= all * MOSTLY);
    let title = match main {
        Some(group) => format!(
            "{} is {busy} busy, mostly with {}.",
            capital(&who),
            subject(group)
        ),
        None => format!("{} is {busy} busy.", capital(&who)),
    };
    let mut finding = Finding::new(Cause::DiskSaturated, severity, title)
        .about(&disk.name)
        .because("Programs wait until the disk has done what others asked of it.")
        .shows("time in which the disk had something to do", busy)
        .shows("read from it", Quantity::BytesPerSecond(disk.read_rate))
        .shows("written to it", Quantity::BytesPerSecond(disk.write_rate));
    if let Some(wait) = disk.wait_seconds {
        finding = finding.shows("time that a request takes", Quantity::Seconds(wait));
    }
    if let Some(stall) = stall {
        finding = finding.shows(
            "time in which something waited for disks (10 s)",
            Quantity::Percent(stall.some.avg10),
        );
    }
    finding = finding.concerns(who);
    for group in groups {
        finding = finding
            .shows(
                format!("read and written by {}", subject(group)),
                Quantity::BytesPerSecond(moved(group)),
            )
            .concerns(subject(group))
            .helped_by([
                Remedy::LowerIoPriority {
                    subject: subject(group),
                },
                Remedy::Pause {
                    subject: subject(group),
                },
            ]);
    }
    out.push(finding);
}

/// Processes that wait without being interruptible, while no disk has much to do: they wait for a disk or a server that
/// does not answer.
fn stuck(facts: &Facts, out: &mut Vec<Finding>) {
    let waits = |process: &&Process| process.state == "D" && !process.kernel_thread;
    let mut stuck: Vec<_> = facts.processes.iter().filter(waits).collect();
    let hung = facts.kernel_log.iter().any(|line| {
        let recent = line.seconds > facts.host.uptime_seconds - 3600.0;
        recent && line.text.contains("blocked for more than")
    });
    if stuck.is_empty() || (stuck.len() < STUCK && !hung) || slowest(facts).is_some() {
        return;
    }
    // Those that wait for memory or swap are the matter of others.
    if facts
        .pressure
        .is_some_and(|pressure| pressure.memory.some.avg10 >= PRESSURE)
    {
        return;
    }
    stuck.sort_by(|a, b| b.age_seconds.total_cmp(&a.age_seconds));
    let number = stuck.len() as u64;
    let remote = |fs: &&crate::facts::FileSystem| {
        fs.kind.starts_with("nfs") || fs.kind == "cifs" || fs.kind == "fuse.sshfs"
    };
    let server = facts
        .file_systems
        .iter()
        .find(remote)
        .map(|fs| fs.mount.clone());
    let silent = facts.missing.iter().find_map(|missing| {
        let mount = missing.what.strip_prefix("the file system ")?;
        missing
            .why
            .contains("did not answer")
            .then(|| mount.to_owned())
    });
    let what = count(number, "program hangs", "programs hang");
    let title = format!("{what}, waiting for a disk or a server that does not answer.");
    let mut finding = Finding::new(Cause::ProcessesStuck, Severity::Warning, title)
        .because(
            "They cannot be ended until they get an answer. They count for the load, though they need no \
             processor. The usual reasons are a server of files that is gone, or a disk that fails.",
        )
        .shows("programs that hang", Quantity::Count(number))
        .shows("load of the last minute", Quantity::Number(facts.cpu.load[0]))
        .shows("processor time used", Quantity::Percent(facts.cpu.used.busy()));
    for process in stuck.into_iter().take(5) {
        finding = finding.concerns(process_subject(process));
    }
    if let Some(mount) = silent.or(server) {
        finding = finding.concerns(Subject::Mount { mount });
    }
    out.push(finding.helped_by([Remedy::ReadLog { subject: None }]));
}

/// As the first word of a sentence.
fn capital(subject: &Subject) -> String {
    let text = subject.to_string();
    match text.strip_prefix("the ") {
        Some(rest) => format!("The {rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use crate::facts::{Disk, Facts, Process};
    use crate::finding::Severity::{Critical, Warning};

    fn disk(facts: &mut Facts, busy: f64, some: f64, full: f64) {
        facts.disks.push(Disk {
            name: "sda".into(),
            busy,
            wait_seconds: Some(0.2),
            write_rate: 1e8,
            ..Disk::default()
        });
        let io = &mut facts.pressure.as_mut().unwrap().io;
        io.some.avg10 = some;
        io.full.avg10 = full;
    }

    fn hang(facts: &mut Facts, number: i32) {
        facts.cpu.load[0] = 30.0;
        facts.processes.extend((0..number).map(|i| Process {
            pid: 100 + i,
            name: "ls".into(),
            state: "D".into(),
            ..Process::default()
        }));
    }

    #[test]
    fn a_disk_is_to_blame_where_somebody_waits_for_it() {
        check(&[
            ("busy, and nobody waits", |f| disk(f, 100.0, 5.0, 1.0), &[]),
            (
                "busy",
                |f| disk(f, 100.0, 40.0, 10.0),
                &[("disk-saturated:sda", Warning)],
            ),
            (
                "everything waits",
                |f| disk(f, 100.0, 90.0, 80.0),
                &[("disk-saturated:sda", Critical)],
            ),
            (
                "programs that wait for a busy disk are not stuck",
                |f| {
                    disk(f, 100.0, 40.0, 10.0);
                    hang(f, 5);
                },
                &[("disk-saturated:sda", Warning)],
            ),
            ("stuck", |f| hang(f, 5), &[("processes-stuck", Warning)]),
            ("one waits for a moment", |f| hang(f, 1), &[]),
        ]);
    }
}
