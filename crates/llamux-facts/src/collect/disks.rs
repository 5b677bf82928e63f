// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Disks and file systems.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use procfs::Current as _;

use super::{bytes, lacks, line, names, number, percent, rate, whole};
use crate::facts::{Disk, FileSystem, KernelMessage, Missing};
use crate::text;

/// What /proc/diskstats says, by name.
pub(super) fn counters() -> HashMap<String, procfs::DiskStat> {
    let stats = procfs::DiskStats::current().map(|stats| stats.0);
    let stats = stats.unwrap_or_default().into_iter();
    stats.map(|stat| (stat.name.clone(), stat)).collect()
}

pub(super) fn disks(
    before: &HashMap<String, procfs::DiskStat>,
    after: &HashMap<String, procfs::DiskStat>,
    seconds: f64,
    missing: &mut Vec<Missing>,
) -> Vec<Disk> {
    const SECTOR: u64 = 512;
    if after.is_empty() {
        lacks(missing, "disks", "/proc/diskstats could not be read");
    }
    let mut disks = vec![];
    for name in names("/sys/block") {
        let dir = format!("/sys/block/{name}");
        let size = number::<u64>(format!("{dir}/size"))
            .unwrap_or(0)
            .saturating_mul(SECTOR);
        let made_of_others = ["dm-", "md", "loop", "ram", "zram", "nbd"];
        // What those do is done by the disks below them, or is no work of a disk at all.
        if size == 0 || made_of_others.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let mut disk = Disk {
            model: line(format!("{dir}/device/model")).unwrap_or_default(),
            size,
            rotational: number::<u8>(format!("{dir}/queue/rotational")) == Some(1),
            removable: number::<u8>(format!("{dir}/removable")) == Some(1),
            counted_errors: errors_counted(&dir),
            name,
            ..Disk::default()
        };
        if let (Some(first), Some(last)) = (before.get(&disk.name), after.get(&disk.name)) {
            let grown = |of: fn(&procfs::DiskStat) -> u64| of(last).saturating_sub(of(first));
            // CAST: what a disk does in a sample has few digits.
            let requests = grown(|s| s.reads.saturating_add(s.writes)) as f64;
            let waited = grown(|s| s.time_reading.saturating_add(s.time_writing)) as f64 / 1000.0;
            let busy = grown(|s| s.time_in_progress) as f64 / 1000.0;
            disk.busy = percent(busy, seconds).min(100.0);
            disk.reads = rate(first.reads, last.reads, seconds);
            disk.writes = rate(first.writes, last.writes, seconds);
            let bytes = |sectors: u64| sectors.saturating_mul(SECTOR);
            disk.read_rate = rate(bytes(first.sectors_read), bytes(last.sectors_read), seconds);
            let written = |stat: &procfs::DiskStat| bytes(stat.sectors_written);
            disk.write_rate = rate(written(first), written(last), seconds);
            let wait = || (waited / requests * 10_000.0).round() / 10_000.0;
            disk.wait_seconds = (requests > 0.0).then(wait);
        }
        disks.push(disk);
    }
    disks
}

/// What a SCSI or SATA disk's driver counted. The file is hexadecimal.
fn errors_counted(dir: &str) -> Option<u64> {
    let text = line(format!("{dir}/device/ioerr_cnt"))?;
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// Counts the errors of each disk in the kernel's log.
pub(super) fn count_errors(disks: &mut [Disk], log: &[KernelMessage]) {
    for disk in disks {
        let lines = log
            .iter()
            .filter(|line| is_disk_error(&line.text, &disk.name));
        disk.log_errors = lines.count() as u64;
    }
}

/// Whether a line of the kernel's log reports that this disk, or a partition of it, could not be read or written.
fn is_disk_error(line: &str, disk: &str) -> bool {
    let complaint = [
        "I/O error",
        "critical medium error",
        "critical target error",
        "Medium Error",
        "Unrecovered read error",
        "Buffer I/O error",
        "failed command",
        "controller is down",
        "I/O timeout",
        "I/O Cmd",
    ];
    let words = || line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let about = |word: &str| {
        let rest = word.strip_prefix(disk);
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == 'p'))
    };
    complaint.iter().any(|part| line.contains(part)) && words().any(about)
}

/// A mount, as a line of /proc/self/mountinfo has it.
#[derive(Clone, Debug, PartialEq)]
struct Mount {
    device_number: String,
    root: Vec<u8>,
    mount: Vec<u8>,
    read_only: bool,
    kind: String,
    device: Vec<u8>,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let device_number = String::from_utf8(words.nth(2)?.to_vec()).ok()?;
        let root = unescape(words.next()?);
        let mount = unescape(words.next()?);
        let options = words.next()?;
        words.find(|word| *word == b"-")?;
        let kind = String::from_utf8_lossy(words.next()?).into_owned();
        let device = unescape(words.next()?);
        let super_options = words.next().unwrap_or_default();
        // ext4 says so in a word of its own where an error was the reason.
        let says = |option: &[u8]| option == b"ro" || option == b"emergency_ro";
        let read_only = |options: &[u8]| options.split(|b| *b == b',').any(says);
        Some(Self {
            device_number,
            root,
            mount,
            read_only: read_only(options) || read_only(super_options),
            kind,
            device,
        })
    }
}

/// Octal escapes, as /proc and fstab(5) write blanks.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digits = if *first == b'\\' { tail.get(..3) } else { None };
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Types that hold no files of anybody, or are full by their nature.
const NO_FILES: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.gvfsd-fuse",
    "fuse.portal",
    "fuse.snapfuse",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "udf",
];

/// Reads all file systems, each with a deadline: a server of files may not answer.
pub(super) fn file_systems(missing: &mut Vec<Missing>) -> Vec<FileSystem> {
    let Ok(table) = bytes("/proc/self/mountinfo") else {
        lacks(
            missing,
            "file systems",
            "/proc/self/mountinfo could not be read",
        );
        return vec![];
    };
    let table = table.split(|byte| *byte == b'\n').filter_map(Mount::parse);
    let mut mounts: Vec<_> = table.collect();
    // What is mounted later hides what was there before.
    mounts.reverse();
    let mut seen_mounts = HashSet::new();
    mounts.retain(|mount| seen_mounts.insert(mount.mount.clone()));
    mounts.reverse();
    mounts.retain(|mount| {
        let root_overlay = mount.kind == "overlay" && mount.mount == b"/";
        root_overlay || !NO_FILES.contains(&mount.kind.as_str())
    });
    // The same file system at several places is told once, at the place that shows most of it.
    mounts.sort_by_key(|mount| (mount.root.len(), mount.mount.len()));
    let mut seen_devices = HashSet::new();
    mounts.retain(|mount| seen_devices.insert(mount.device_number.clone()));
    mounts.sort_by(|a, b| a.mount.cmp(&b.mount));
    mounts.truncate(500);

    let fstab = bytes("/etc/fstab").unwrap_or_default();
    let until = Instant::now() + Duration::from_secs(1);
    let (sender, receiver) = mpsc::channel();
    let count = mounts.len();
    for (place, mount) in mounts.iter().enumerate() {
        let path = PathBuf::from(OsString::from_vec(mount.mount.clone()));
        let sender = sender.clone();
        let spawned = thread::Builder::new().spawn(move || {
            let _ = sender.send((place, nix::sys::statvfs::statvfs(&path)));
        });
        drop(spawned);
    }
    drop(sender);
    let mut results: Vec<_> = (0..count).map(|_| None).collect();
    while let Ok((place, result)) =
        receiver.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        if let Some(slot) = results.get_mut(place) {
            *slot = Some(result);
        }
    }

    let mut file_systems = vec![];
    for (mount, result) in mounts.iter().zip(results) {
        let name = text::decode(&mount.mount);
        let stat = match result {
            Some(Ok(stat)) => stat,
            Some(Err(e)) => {
                lacks(missing, format!("the file system {name}"), e.desc());
                continue;
            }
            None => {
                let why = format!("{} did not answer in time", text::decode(&mount.device));
                lacks(missing, format!("the file system {name}"), why);
                continue;
            }
        };
        let block = stat.fragment_size();
        let size = stat.blocks().saturating_mul(block);
        if size == 0 {
            continue;
        }
        let disk = disk_of(&mount.device_number);
        file_systems.push(FileSystem {
            device: text::decode(&mount.device),
            kind: mount.kind.clone(),
            size,
            available: stat.blocks_available().saturating_mul(block),
            free: stat.blocks_free().saturating_mul(block),
            inodes: stat.files(),
            inodes_free: stat.files_free(),
            read_only: mount.read_only,
            meant_writable: meant_writable(&fstab, &mount.mount),
            errors: errors_of(mount),
            disk,
            mount: name,
        });
    }
    file_systems
}

/// Whether fstab(5) has this mount, and does not say that it is read-only.
fn meant_writable(fstab: &[u8], mount: &[u8]) -> Option<bool> {
    let rows = fstab.split(|byte| *byte == b'\n');
    let rows = rows.map(|row| {
        let words = row.split(u8::is_ascii_whitespace);
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>()
    });
    let mut rows = rows.filter(|row| row.first().is_some_and(|word| !word.starts_with(b"#")));
    let row = rows.find(|row| row.get(1).is_some_and(|word| unescape(word) == mount))?;
    let options = row.get(3).copied().unwrap_or_default();
    Some(
        !options
            .split(|byte| *byte == b',')
            .any(|option| option == b"ro"),
    )
}

/// The disk that a block device is a part of; `None` where it is no block device, or of several disks.
fn disk_of(number: &str) -> Option<String> {
    let mut dir = std::fs::canonicalize(format!("/sys/dev/block/{number}")).ok()?;
    // Encrypted and logical volumes are on others.
    for _ in 0..8 {
        let mut below = names(dir.join("slaves")).into_iter();
        match (below.next(), below.next()) {
            (Some(only), None) => {
                dir = std::fs::canonicalize(format!("/sys/class/block/{only}")).ok()?;
            }
            (None, _) => break,
            _ => return None,
        }
    }
    if dir.join("partition").exists() {
        dir.pop();
    }
    Some(dir.file_name()?.to_str()?.to_owned())
}

fn errors_of(mount: &Mount) -> Option<u64> {
    let dir = std::fs::canonicalize(format!("/sys/dev/block/{}", mount.device_number)).ok()?;
    let name = dir.file_name()?.to_str()?;
    match mount.kind.as_str() {
        "ext4" => number(format!("/sys/fs/ext4/{name}/errors_count")),
        "btrfs" => {
            // One file a device of the file system, one counter a line.
            let mut sum = 0u64;
            let mut found = false;
            for id in names("/sys/fs/btrfs") {
                if !std::path::Path::new(&format!("/sys/fs/btrfs/{id}/devices/{name}")).exists() {
                    continue;
                }
                for device in names(format!("/sys/fs/btrfs/{id}/devinfo")) {
                    let file = format!("/sys/fs/btrfs/{id}/devinfo/{device}/error_stats");
                    for row in whole(file).unwrap_or_default().lines() {
                        let value = row.rsplit(' ').next().and_then(|v| v.parse::<u64>().ok());
                        sum = sum.saturating_add(value.unwrap_or(0));
                        found = true;
                    }
                }
            }
            found.then_some(sum)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_blanks_and_bytes_that_are_no_text() {
        let line = b"36 35 98:0 /sub /mnt/my\\040disk\xff rw,noatime master:1 - ext3 /dev/ro\\134ot rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.mount, b"/mnt/my disk\xff");
        assert_eq!(mount.device, b"/dev/ro\\ot");
        assert_eq!((mount.kind.as_str(), mount.read_only), ("ext3", false));
        let line = b"1 2 0:1 / / ro - ext4 /dev/sda1 rw";
        assert!(Mount::parse(line).unwrap().read_only);
        let line = b"1 2 7:0 / /mnt rw - ext4 /dev/loop0 rw,errors=remount-ro,emergency_ro";
        assert!(Mount::parse(line).unwrap().read_only);
        for broken in [&b""[..], b"1 2 3", b"1 2 0:1 / / rw - "] {
            assert!(Mount::parse(broken).is_none_or(|mount| mount.device.is_empty()));
        }
    }

    #[test]
    fn fstab_says_what_is_meant() {
        let fstab = b"# <file>\nUUID=1 / ext4 errors=remount-ro 0 1\n/dev/sr0\t/mnt/a\\040b udf ro,noauto 0 0\n";
        for (mount, meant) in [
            (&b"/"[..], Some(true)),
            (b"/mnt/a b", Some(false)),
            (b"/home", None),
        ] {
            assert_eq!(meant_writable(fstab, mount), meant);
        }
    }

    #[test]
    fn errors_are_counted_for_the_disk_that_has_them() {
        for (line, disk, expected) in [
            ("I/O error, dev sda, sector 128 op 0x0:(READ)", "sda", true),
            ("I/O error, dev sda, sector 128", "sd", false),
            ("I/O error, dev sdaa, sector 128", "sda", false),
            ("Buffer I/O error on dev sda1, logical block 3", "sda", true),
            (
                "nvme nvme0: I/O Cmd(0x2) timeout on nvme0n1p2",
                "nvme0n1",
                true,
            ),
            ("EXT4-fs (sda1): mounted filesystem", "sda", false),
        ] {
            assert_eq!(is_disk_error(line, disk), expected, "{line} {disk}");
        }
    }
}
