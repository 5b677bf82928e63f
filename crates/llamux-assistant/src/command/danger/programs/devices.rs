// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Disks and file systems.

use super::super::{ChangesSystem, Effect, NeedsCare, ReadOnly, Told};

pub(super) fn devices(name: &str, told: Told<'_>) -> Option<Effect> {
    let first = told.verb();
    Some(match name {
        "dd" => {
            let output = told
                .0
                .iter()
                .find_map(|word| Some((word, word.text.strip_prefix("of=")?)));
            match output {
                Some((_, "/dev/null")) | None if !told.computed() => (ReadOnly, ""),
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
            if told.has('l', "list") || told.has('d', "dump") {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes partitions")
            }
        }
        "parted" => {
            if told.has('l', "list") || told.says(&["print"]) {
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
        "cryptsetup" => match first {
            "status" | "luksDump" | "isLuks" | "luksUUID" | "benchmark" => (ReadOnly, ""),
            "luksFormat" | "erase" | "luksErase" | "luksKillSlot" | "luksRemoveKey"
            | "reencrypt" | "repair" => {
                (NeedsCare, "destroys what is on a device, or the keys to it")
            }
            _ => (
                ChangesSystem,
                "opens, closes or changes an encrypted device",
            ),
        },
        "hdparm" | "nvme" => {
            let harmless = matches!(first, "list" | "smart-log" | "id-ctrl" | "list-subsys")
                || told.options().all(|option| {
                    matches!(option, "-I" | "-i" | "-t" | "-T" | "-tT" | "-Tt" | "-C")
                });
            if harmless {
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
        "losetup" if told.0.is_empty() || told.has('l', "list") || told.short('a') => {
            (ReadOnly, "")
        }
        "zramctl" if told.operands().next().is_none() => (ReadOnly, ""),
        "fsck" | "e2fsck" if told.short('N') || told.short('n') => (ReadOnly, ""),
        "tune2fs" if told.short('l') => (ReadOnly, ""),
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
