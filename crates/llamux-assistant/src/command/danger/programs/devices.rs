// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Disks and file systems.

use crate::command::syntax::Word;

use super::super::{ChangesSystem, Effect, NeedsCare, ReadOnly, Told};

/// Options of `cryptsetup` that take the next word.
#[rustfmt::skip]
const CRYPTSETUP_VALUES: &[&str] = &[
    "-c", "--cipher", "-h", "--hash", "-d", "--key-file", "-l", "--keyfile-size", "-s", "--key-size", "-S",
    "--key-slot", "-b", "--size", "-o", "--offset", "-p", "--skip", "-t", "--timeout", "-T", "--tries", "-M", "--type",
    "-i", "--iter-time", "--header", "--uuid", "--label", "--pbkdf",
];

/// Whether a word of a command to `parted` is part of one that only looks.
fn parted_looks(word: &Word) -> bool {
    let text = word.text.as_str();
    let commands = ["print", "p", "unit", "help", "version", "quit"];
    let lists = ["free", "all", "list", "devices"];
    let units = [
        "s", "b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib", "%", "cyl", "chs", "compact",
    ];
    word.known
        && (commands.contains(&text)
            || lists.contains(&text)
            || units.contains(&text.to_ascii_lowercase().as_str())
            || text.chars().all(|c| c.is_ascii_digit()))
}

pub(super) fn devices(name: &str, told: Told<'_>) -> Option<Effect> {
    let first = told.verb();
    Some(match name {
        "dd" => {
            let output = told
                .0
                .iter()
                .filter_map(|word| word.text.strip_prefix("of="))
                .next_back();
            match output {
                Some("/dev/null") | None if !told.computed() => (ReadOnly, ""),
                _ => (NeedsCare, "writes over a file or a device, byte by byte"),
            }
        }
        "mkfs" | "mke2fs" => (
            NeedsCare,
            "makes a new file system, and what was there is lost",
        ),
        _ if name.starts_with("mkfs.") => (
            NeedsCare,
            "makes a new file system, and what was there is lost",
        ),
        "fdisk" | "sfdisk" => {
            if told.flag('l', "list") || told.flag('d', "dump") {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes partitions")
            }
        }
        "parted" => {
            let mut commands = told
                .operands()
                .skip_while(|word| !word.text.contains('/'))
                .skip(1)
                .peekable();
            let looks = match commands.peek() {
                Some(_) => commands.all(parted_looks),
                None => told.flag('l', "list"),
            };
            if looks {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes partitions")
            }
        }
        "wipefs" => {
            if told.has('a', "all") || told.has('o', "offset") {
                (NeedsCare, "destroys what is on a device")
            } else {
                (ReadOnly, "")
            }
        }
        "badblocks" => {
            if told.short('w') || told.short('n') {
                (NeedsCare, "writes over a device")
            } else {
                (ReadOnly, "")
            }
        }
        "cryptsetup" => {
            let destroys = told.says(&[
                "luksFormat",
                "erase",
                "luksErase",
                "luksKillSlot",
                "luksRemoveKey",
                "luksHeaderRestore",
                "reencrypt",
                "repair",
            ]);
            match told.behind(CRYPTSETUP_VALUES).verb() {
                _ if destroys => (NeedsCare, "destroys what is on a device, or the keys to it"),
                "status" | "luksDump" | "isLuks" | "luksUUID" | "benchmark" => (ReadOnly, ""),
                _ => (
                    ChangesSystem,
                    "opens, closes or changes an encrypted device",
                ),
            }
        }
        "hdparm" => {
            let looks = |option: &str| option.chars().skip(1).all(|c| "IitTCHv".contains(c));
            if told.options().all(looks) {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes a disk")
            }
        }
        "nvme" => {
            let verb = told.0.first().map_or("", |word| word.text.as_str());
            let looks = matches!(
                verb,
                "" | "list" | "help" | "version" | "--help" | "--version"
            ) || verb.ends_with("-log")
                || ["list-", "id-", "get-", "show-"]
                    .iter()
                    .any(|begin| verb.starts_with(begin));
            if looks {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes a disk")
            }
        }
        "zpool" | "zfs" | "btrfs" => {
            if told.says(&["destroy", "delete", "rollback", "del", "--repair", "create"])
                && name != "btrfs"
                || told.says(&["delete", "del", "--repair"])
            {
                (NeedsCare, "destroys data, or may")
            } else if told.says(&[
                "list", "status", "show", "get", "df", "usage", "du", "history", "stats",
            ]) {
                (ReadOnly, "")
            } else {
                (ChangesSystem, "changes a file system")
            }
        }
        "mdadm" => {
            if told.says(&[
                "--create",
                "-C",
                "--zero-superblock",
                "--stop",
                "-S",
                "--fail",
                "--remove",
            ]) {
                (NeedsCare, "changes an array of disks")
            } else if told.says(&["--detail", "-D", "--examine", "-E", "--query"]) {
                (ReadOnly, "")
            } else {
                return None;
            }
        }
        "mount" => {
            if told.operands().next().is_none() && !told.has('a', "all") {
                (ReadOnly, "")
            } else {
                (ChangesSystem, "mounts a file system")
            }
        }
        "umount" => {
            if told.has('f', "force") || told.has('l', "lazy") {
                (NeedsCare, "takes a file system away that is in use")
            } else {
                (ChangesSystem, "unmounts a file system")
            }
        }
        "swapon" if told.says(&["--show", "-s", "--summary"]) || told.0.is_empty() => {
            (ReadOnly, "")
        }
        "losetup" if told.0.is_empty() || told.flag('l', "list") || told.flag('a', "all") => {
            (ReadOnly, "")
        }
        "zramctl" if told.operands().next().is_none() => (ReadOnly, ""),
        "fsck" | "e2fsck" if told.letter('N') || told.letter('n') => (ReadOnly, ""),
        "tune2fs" if told.letter('l') => (ReadOnly, ""),
        "lvs" | "vgs" | "pvs" | "lvdisplay" | "vgdisplay" | "pvdisplay" | "pvscan" | "lvscan"
        | "dumpe2fs" => (ReadOnly, ""),
        "udevadm" if matches!(first, "info" | "monitor" | "test") => (ReadOnly, ""),
        "udisksctl" => match first {
            "status" | "info" | "dump" | "monitor" => (ReadOnly, ""),
            _ => (ChangesSystem, "mounts, unmounts or changes a device"),
        },
        "smartctl" if told.has('t', "test") || told.has('s', "smart") => {
            (ChangesSystem, "starts a test or changes a disk's settings")
        }
        "efibootmgr" => {
            if told.0.is_empty() || told.0.iter().all(|word| word.text == "-v") {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes what the machine boots")
            }
        }
        "bootctl" => match first {
            "" | "status" | "list" => (ReadOnly, ""),
            _ => (NeedsCare, "changes what the machine boots"),
        },
        _ => return None,
    })
}
