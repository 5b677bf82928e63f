// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! File systems and disks: full, read-only, failing.

use super::share;
use crate::facts::{Facts, FileSystem};
use crate::finding::{Cache, Cause, Finding, Remedy, Severity, Subject};
use crate::quantity::Quantity;

/// ext4 keeps 5 % for root, and most file systems slow down in the last few percent.
const FULL_WARNING: f64 = 95.0;
/// Programs begin to fail.
const FULL_CRITICAL: f64 = 99.0;
/// Room that is enough for a while, whatever share of a large disk it is.
const ROOM_ENOUGH: u64 = 20 << 30;
/// Files that can still be made, the same way.
const INODES_WARNING: f64 = 95.0;
const INODES_CRITICAL: f64 = 99.5;
/// So small a file system is full at once, and by design: firmware variables, sockets.
const SMALL: u64 = 16 << 20;
/// A journal of more than this: journald's own default is a tenth of the file system, at most 4 GiB.
const JOURNAL_LARGE: u64 = 3 << 30;
/// Errors of a disk that are worth a word; one may be a cable.
const DISK_ERRORS_CRITICAL: u64 = 5;

pub(super) fn analyze(facts: &Facts, out: &mut Vec<Finding>) {
    for fs in &facts.file_systems {
        full(facts, fs, out);
        inodes(fs, out);
        read_only(facts, fs, out);
    }
    disk_errors(facts, out);
    file_system_errors(facts, out);
    journal(facts, out);
}

fn mount(fs: &FileSystem) -> Subject {
    Subject::Mount {
        mount: fs.mount.clone(),
    }
}

fn full(facts: &Facts, fs: &FileSystem, out: &mut Vec<Finding>) {
    // What is read-only by design is full by design.
    if fs.read_only || fs.size < SMALL || fs.available >= ROOM_ENOUGH {
        return;
    }
    // As df(1) counts: what is reserved for root is neither used nor available.
    let used = fs.size.saturating_sub(fs.free);
    let part = share(used, used.saturating_add(fs.available));
    if part < FULL_WARNING {
        return;
    }
    let severity = if part >= FULL_CRITICAL {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let part = Quantity::Percent(part);
    let memory = fs.kind == "tmpfs";
    let title = format!("{} is {part} full.", mount(fs));
    let mut finding = Finding::new(Cause::DiskFull, severity, title)
        .about(&fs.mount)
        .because(if memory {
            "It is in memory, and what it holds is memory that programs cannot have. What is written to it next fails."
        } else {
            "Programs that write to it fail, often without saying so, and those that keep state may lose it."
        })
        .shows("used", Quantity::Bytes(used))
        .shows("available", Quantity::Bytes(fs.available))
        .shows("size", Quantity::Bytes(fs.size))
        .shows("share that is used", part)
        .concerns(mount(fs))
        .helped_by([Remedy::FindLargeFiles { mount: mount(fs) }]);
    let holds = |path: &str| {
        facts
            .file_system_of(path)
            .is_some_and(|holder| holder.mount == fs.mount)
    };
    let journal = facts
        .journal
        .as_ref()
        .and_then(|journal| journal.size)
        .unwrap_or(0);
    if holds("/var/log") && journal > 1 << 28 {
        finding = finding
            .shows("the journal", Quantity::Bytes(journal))
            .helped_by([Remedy::Clean {
                cache: Cache::Journal,
            }]);
    }
    if holds("/var/cache") && facts.updates.manager.is_some() {
        finding = finding.helped_by([Remedy::Clean {
            cache: Cache::Packages,
        }]);
    }
    if holds("/home") {
        finding = finding.helped_by([Remedy::Clean { cache: Cache::User }]);
    }
    if holds("/tmp") || holds("/var/tmp") {
        finding = finding.helped_by([Remedy::Clean {
            cache: Cache::Temporary,
        }]);
    }
    out.push(finding);
}

fn inodes(fs: &FileSystem, out: &mut Vec<Finding>) {
    let used = fs.inodes.saturating_sub(fs.inodes_free);
    let part = share(used, fs.inodes);
    if fs.read_only || fs.inodes < 100 || part < INODES_WARNING {
        return;
    }
    let severity = if part >= INODES_CRITICAL {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let left = Quantity::Count(fs.inodes_free);
    let room = Quantity::Bytes(fs.available);
    let title = format!(
        "{} can take only {left} more files, though {room} are free.",
        mount(fs)
    );
    out.push(
        Finding::new(Cause::InodesFull, severity, title)
            .about(&fs.mount)
            .because("Each file needs an inode, whose number was fixed when the file system was made. Very many small files have used them up.")
            .shows("files that it can still take", left)
            .shows("files that it can hold", Quantity::Count(fs.inodes))
            .shows("share of them that is used", Quantity::Percent(part))
            .shows("available", room)
            .concerns(mount(fs))
            .helped_by([Remedy::FindManyFiles { mount: mount(fs) }]),
    );
}

fn read_only(facts: &Facts, fs: &FileSystem, out: &mut Vec<Finding>) {
    let remounted = facts.kernel_log.iter().any(|line| {
        let says = ["emounting filesystem read-only", "forced readonly"];
        says.iter().any(|part| line.text.contains(part)) && says_name(&line.text, "", fs)
    });
    if !fs.read_only || !(fs.meant_writable == Some(true) || remounted) {
        return;
    }
    let title = format!("{} is read-only, and should not be.", mount(fs));
    out.push(
        Finding::new(Cause::ReadOnly, Severity::Critical, title)
            .about(&fs.mount)
            .because("The kernel does this when it meets errors, so that they do not get worse. Nothing is saved there until they are repaired.")
            .shows("errors that the file system counted", Quantity::Count(fs.errors.unwrap_or(0)))
            .concerns(mount(fs))
            .helped_by([
                Remedy::ReadLog { subject: None },
                Remedy::CheckFileSystem { mount: mount(fs) },
            ]),
    );
}

fn disk_errors(facts: &Facts, out: &mut Vec<Finding>) {
    for disk in facts.disks.iter().filter(|disk| disk.log_errors > 0) {
        // A stick that was pulled out complains, too.
        let severity = match disk.log_errors {
            _ if disk.removable => Severity::Notice,
            errors if errors >= DISK_ERRORS_CRITICAL => Severity::Critical,
            _ => Severity::Warning,
        };
        let who = Subject::Disk {
            name: disk.name.clone(),
        };
        let errors = Quantity::Count(disk.log_errors);
        let title = match disk.log_errors {
            1 => format!("The disk {} had an error.", who.name()),
            _ => format!("The disk {} had {errors} errors.", who.name()),
        };
        let mut finding = Finding::new(Cause::DiskErrors, severity, title)
            .about(&disk.name)
            .because("The kernel could not read or write it. It, its cable or its controller fails; what is on it is in danger, and each try again takes time.")
            .shows("errors in the kernel's log", errors);
        if let Some(wait) = disk.wait_seconds {
            finding = finding.shows("time that a request takes", Quantity::Seconds(wait));
        }
        finding = finding.concerns(who.clone());
        for fs in facts
            .file_systems
            .iter()
            .filter(|fs| fs.disk.as_ref() == Some(&disk.name))
        {
            finding = finding.concerns(mount(fs));
        }
        out.push(finding.helped_by([
            Remedy::ReplaceDisk { disk: who },
            Remedy::ReadLog { subject: None },
        ]));
    }
}

/// Whether a line of the kernel's log says that a file system is damaged.
fn is_damage(line: &str) -> bool {
    const DAMAGE: [&str; 9] = [
        "EXT4-fs error",
        "XFS (",
        "BTRFS error",
        "BTRFS critical",
        "BTRFS: error",
        "F2FS-fs error",
        "FAT-fs (",
        "bcachefs error",
        "JBD2: Detected IO errors",
    ];
    let says = DAMAGE.iter().any(|part| line.contains(part));
    // XFS and FAT say everything that way.
    let vague = line.contains("XFS (") || line.contains("FAT-fs (");
    let bad = ["orruption", "rror", "shut"];
    says && (!vague || bad.iter().any(|part| line.contains(part)))
}

/// Whether a line has, behind these words, the name of the device that a file system is on: a whole one, as sda1 is
/// another disk's than sda12. What comes from a server has none.
fn says_name(line: &str, before: &str, fs: &FileSystem) -> bool {
    let name = fs.device.rsplit('/').next().unwrap_or_default();
    let part = |c: char| c.is_alphanumeric();
    let whole = |at: usize| {
        let end = at + before.len() + name.len();
        let begins = !before.is_empty() || !line[..at].ends_with(part);
        begins && !line[end..].starts_with(part)
    };
    !name.is_empty()
        && line
            .match_indices(&format!("{before}{name}"))
            .any(|(at, _)| whole(at))
}

fn file_system_errors(facts: &Facts, out: &mut Vec<Finding>) {
    for fs in &facts.file_systems {
        let about = |line: &str| says_name(line, "(", fs) || says_name(line, "device ", fs);
        let lines = facts
            .kernel_log
            .iter()
            .filter(|l| is_damage(&l.text) && about(&l.text));
        let logged = lines.count() as u64;
        let counted = fs.errors.unwrap_or(0);
        if logged == 0 && counted == 0 {
            continue;
        }
        // Those counted in earlier boots need a check, too, but are no news.
        let severity = if logged > 0 {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let title = format!("The file system of {} is damaged.", mount(fs));
        out.push(
            Finding::new(Cause::FileSystemErrors, severity, title)
                .about(&fs.mount)
                .because("What is on the disk contradicts itself. It gets worse with use, until it is checked and repaired.")
                .shows("errors in the kernel's log", Quantity::Count(logged))
                .shows("errors that the file system counted", Quantity::Count(counted))
                .concerns(mount(fs))
                .helped_by([
                    Remedy::CheckFileSystem { mount: mount(fs) },
                    Remedy::ReadLog { subject: None },
                ]),
        );
    }
}

fn journal(facts: &Facts, out: &mut Vec<Finding>) {
    let Some(size) = facts.journal.as_ref().and_then(|journal| journal.size) else {
        return;
    };
    // On a disk with room it may be as large as it likes.
    let holder = facts.file_system_of("/var/log/journal");
    let tight = holder.is_some_and(|fs| share(fs.available, fs.size) < 15.0);
    if size < JOURNAL_LARGE || !tight {
        return;
    }
    let size = Quantity::Bytes(size);
    out.push(
        Finding::new(
            Cause::JournalLarge,
            Severity::Notice,
            format!("The journal takes {size}."),
        )
        .because(
            "Old parts of it can be removed, and a limit set (SystemMaxUse= in journald.conf).",
        )
        .shows("the journal", size)
        .helped_by([Remedy::Clean {
            cache: Cache::Journal,
        }]),
    );
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use crate::facts::{Disk, Facts, Journal, KernelMessage};
    use crate::finding::Severity::{Critical, Notice, Warning};

    const GIB: u64 = 1 << 30;

    fn room(facts: &mut Facts, available: u64) {
        facts.file_systems[0].available = available;
        facts.file_systems[0].free = available + 5 * GIB;
    }

    fn log(facts: &mut Facts, text: &str) {
        facts.kernel_log.push(KernelMessage {
            seconds: 7000.0,
            level: 3,
            text: text.into(),
        });
    }

    fn disk(facts: &mut Facts, log_errors: u64, removable: bool) {
        facts.disks.push(Disk {
            name: "sda".into(),
            log_errors,
            removable,
            ..Disk::default()
        });
    }

    #[test]
    fn file_systems_in_trouble_are_found() {
        check(&[
            ("half full", |f| room(f, 50 * GIB), &[]),
            (
                "nearly full",
                |f| room(f, 4 * GIB),
                &[("disk-full:/", Warning)],
            ),
            ("full", |f| room(f, GIB / 10), &[("disk-full:/", Critical)]),
            (
                "nothing at all is left",
                |f| room(f, 0),
                &[("disk-full:/", Critical)],
            ),
            (
                "much room is left on a large one",
                |f| {
                    f.file_systems[0].size = 10_000 * GIB;
                    room(f, 100 * GIB);
                },
                &[],
            ),
            (
                "read-only by design and full",
                |f| {
                    room(f, 0);
                    f.file_systems[0].read_only = true;
                },
                &[],
            ),
            (
                "inodes",
                |f| f.file_systems[0].inodes_free = 10,
                &[("inodes-full:/", Critical)],
            ),
            (
                "no inodes at all, as in btrfs",
                |f| {
                    f.file_systems[0].inodes = 0;
                    f.file_systems[0].inodes_free = 0;
                },
                &[],
            ),
            (
                "remounted",
                |f| {
                    f.file_systems[0].read_only = true;
                    f.file_systems[0].meant_writable = Some(true);
                },
                &[("read-only:/", Critical)],
            ),
            (
                "damaged and remounted",
                |f| {
                    f.file_systems[0].read_only = true;
                    log(
                        f,
                        "EXT4-fs error (device sda1): ext4_lookup:1: inode #2: bad",
                    );
                    log(f, "EXT4-fs (sda1): Remounting filesystem read-only");
                },
                &[
                    ("file-system-errors:/", Critical),
                    ("read-only:/", Critical),
                ],
            ),
            (
                "another one damaged and remounted",
                |f| {
                    f.file_systems[0].read_only = true;
                    log(f, "EXT4-fs error (device sda12): ext4_lookup:1: bad");
                    log(f, "EXT4-fs (sda12): Remounting filesystem read-only");
                },
                &[],
            ),
            (
                "a server's, while a disk is damaged",
                |f| {
                    f.file_systems[0].device = "server:/".into();
                    f.file_systems[0].kind = "nfs4".into();
                    f.file_systems[0].read_only = true;
                    log(f, "BTRFS error (device sdb1): bad tree block");
                    log(f, "BTRFS info (device sdb1): forced readonly");
                },
                &[],
            ),
            (
                "damaged with a state",
                |f| log(f, "BTRFS error (device sda1: state EA): bad tree block"),
                &[("file-system-errors:/", Critical)],
            ),
            (
                "damaged before",
                |f| f.file_systems[0].errors = Some(3),
                &[("file-system-errors:/", Warning)],
            ),
            (
                "mounted",
                |f| log(f, "XFS (sda1): Mounting V5 Filesystem"),
                &[],
            ),
            (
                "failing",
                |f| disk(f, 12, false),
                &[("disk-errors:sda", Critical)],
            ),
            (
                "one error",
                |f| disk(f, 1, false),
                &[("disk-errors:sda", Warning)],
            ),
            (
                "pulled out",
                |f| disk(f, 12, true),
                &[("disk-errors:sda", Notice)],
            ),
            (
                "a large journal on a tight disk",
                |f| {
                    room(f, 10 * GIB);
                    f.journal = Some(Journal {
                        size: Some(4 * GIB),
                        ..Journal::default()
                    });
                },
                &[("journal-large", Notice)],
            ),
        ]);
    }
}
