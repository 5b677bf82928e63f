// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `packages.x86_64` and `pacman.conf`.

use super::{lines, Check, KERNEL, REPO};
use crate::package::Package;

impl Check<'_> {
    pub(super) fn packages(&mut self) {
        const FILE: &str = "packages.x86_64";
        let text = self.text(FILE);
        for (number, line) in text.lines().enumerate() {
            let name = line.split('#').next().unwrap_or_default();
            self.must(
                name.trim().is_empty() || name == name.trim(),
                FILE,
                format!(
                    "line {}: `{name}` has blanks, which archiso leaves",
                    number + 1
                ),
                "put a comment on a line of its own: pacman finds no package of such a name",
            );
        }
        for name in lines(&text) {
            if !self.packages.insert(name.to_owned()) {
                self.mistake(FILE, format!("{name} is there twice"), "leave one out");
            }
            let known = self.facts.packages.contains(name);
            let (what, fix) = if Package::named(name).is_some() {
                ("is not in our repository", "`cargo xtask package` makes it")
            } else {
                (
                    "is neither a package of ours nor a known one of Arch",
                    "mend the name, or add it to xtask/assets/arch-packages.txt",
                )
            };
            self.must(known, FILE, format!("{name} {what}"), fix);
            let other = matches!(name, "linux" | "linux-lts" | "linux-zen" | "linux-hardened");
            self.must(
                !other,
                FILE,
                format!("{name} is a second kernel, of which no entry boots"),
                format!("leave it out: {KERNEL} is the image's"),
            );
        }
        for (name, why) in [
            ("base", "is the system"),
            ("mkinitcpio", "makes the initramfs"),
            ("mkinitcpio-archiso", "has the hook that finds the image"),
            (KERNEL, "is the kernel that the entries boot"),
            ("llamux-tools", "has llama"),
            ("archinstall", "is what llamux-install works with"),
        ] {
            let there = self.packages.contains(name);
            self.must(
                there,
                FILE,
                format!("{name} is missing, which {why}"),
                "add it",
            );
        }
    }

    pub(super) fn pacman(&mut self) {
        const FILE: &str = "pacman.conf";
        let text = self.text(FILE);
        let mut sections: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
        for line in lines(&text) {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
            {
                if sections.iter().any(|(known, _)| *known == name) {
                    self.mistake(
                        FILE,
                        format!("[{name}] is there twice, which pacman refuses"),
                        "leave one out",
                    );
                }
                sections.push((name, Vec::new()));
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            match sections.last_mut() {
                Some((_, keys)) => keys.push((key.trim(), value.trim())),
                None => self.mistake(
                    FILE,
                    format!("`{line}` is in no section"),
                    "put it behind [options]",
                ),
            }
        }
        let names: Vec<_> = sections.iter().map(|(name, _)| *name).collect();
        self.must(
            names == ["options", "llamux", "core", "extra"],
            FILE,
            format!("the sections are {}", names.join(", ")),
            "they must be options, llamux (which goes before Arch's), core, extra",
        );
        for (name, keys) in &sections {
            let value = |key: &str| {
                keys.iter()
                    .find(|(known, _)| *known == key)
                    .map(|(_, value)| *value)
            };
            match *name {
                "options" => {
                    let level = value("SigLevel").unwrap_or_default();
                    self.must(
                        level.split_whitespace().any(|word| word == "Required"),
                        FILE,
                        "Arch's packages may come without signatures",
                        "set SigLevel = Required DatabaseOptional in [options]",
                    );
                    let here = [
                        "CacheDir", "DBPath", "RootDir", "LogFile", "HookDir", "GPGDir",
                    ];
                    for key in here.into_iter().filter(|key| value(key).is_some()) {
                        self.mistake(FILE, format!("{key} is of one machine"), "leave it out");
                    }
                }
                "llamux" => self.must(
                    value("Server") == Some(&*format!("file://{REPO}")),
                    FILE,
                    "[llamux] is not where `cargo xtask iso` puts our repository",
                    format!("write Server = file://{REPO}"),
                ),
                _ => self.must(
                    value("Include") == Some("/etc/pacman.d/mirrorlist")
                        || value("Server").is_some(),
                    FILE,
                    format!("[{name}] has no servers"),
                    "write Include = /etc/pacman.d/mirrorlist",
                ),
            }
        }
    }
}
