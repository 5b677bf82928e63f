// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What mkinitcpio is told.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Check, KERNEL};

/// The hooks of mkinitcpio that fit an image, and the package of each.
const HOOKS: [(&str, &str); 11] = [
    ("archiso", "mkinitcpio-archiso"),
    ("archiso_loop_mnt", "mkinitcpio-archiso"),
    ("base", "mkinitcpio"),
    ("block", "mkinitcpio"),
    ("filesystems", "mkinitcpio"),
    ("keyboard", "mkinitcpio"),
    ("kms", "mkinitcpio"),
    ("llamux", "llamux-tools"),
    ("microcode", "mkinitcpio"),
    ("modconf", "mkinitcpio"),
    ("udev", "mkinitcpio"),
];

impl Check<'_> {
    pub(super) fn preset(&mut self) -> Result<()> {
        let dir = "airootfs/etc/mkinitcpio.d";
        let file = format!("{dir}/{KERNEL}.preset");
        for name in self.names(dir) {
            self.must(
                name == format!("{KERNEL}.preset"),
                &format!("{dir}/{name}"),
                "there is no kernel of this name in the image",
                format!("mkinitcpio reads {KERNEL}.preset, after the kernel's package"),
            );
        }
        if !self.exists(&file) {
            self.mistake(
                &file,
                "it is not there",
                "without it mkinitcpio makes an initramfs for this machine",
            );
            return Ok(());
        }
        let set = self.variables(&file)?;
        let presets: Vec<_> = set
            .get("PRESETS")
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect();
        self.must(
            presets == ["archiso"],
            &file,
            format!("PRESETS has {presets:?}"),
            "write PRESETS=('archiso'): one initramfs is what the entries boot",
        );
        let one = |name: &str| {
            let value = set.get(name).and_then(|values| values.get("0"));
            value.map_or("", String::as_str).to_owned()
        };
        for (name, wanted) in [
            ("ALL_kver", format!("/boot/vmlinuz-{KERNEL}")),
            ("archiso_image", format!("/boot/initramfs-{KERNEL}.img")),
        ] {
            let value = one(name);
            self.must(
                value == wanted,
                &file,
                format!("{name}={value} is not what the entries boot"),
                format!("write {name}='{wanted}'"),
            );
        }
        let config = one("archiso_config");
        let there = !config.is_empty() && self.exists(&format!("airootfs{config}"));
        self.must(
            there,
            &file,
            format!("archiso_config={config} is not in airootfs"),
            "name the file that has the hooks",
        );
        Ok(())
    }

    pub(super) fn hooks(&mut self) -> Result<()> {
        const FILE: &str = "airootfs/etc/mkinitcpio.conf.d/archiso.conf";
        let set = self.variables(FILE)?;
        let array = set.get("HOOKS").cloned().unwrap_or_default();
        let mut hooks: Vec<_> = array
            .iter()
            .filter_map(|(at, hook)| Some((at.parse::<u32>().ok()?, hook)))
            .collect();
        hooks.sort();
        let hooks: Vec<_> = hooks.into_iter().map(|(_, hook)| hook.as_str()).collect();
        for hook in &hooks {
            let Some((_, package)) = HOOKS.iter().find(|known| known.0 == *hook) else {
                self.mistake(
                    FILE,
                    format!("{hook} is no hook for an image"),
                    "autodetect and fsck are for one machine, and archiso needs udev, not systemd",
                );
                continue;
            };
            let there = self.packages.contains(*package);
            self.must(
                there,
                "packages.x86_64",
                format!("{package} is missing, which has the hook {hook}"),
                "add it",
            );
        }
        for hook in ["base", "udev", "archiso", "block", "filesystems", "llamux"] {
            let there = hooks.contains(&hook);
            self.must(
                there,
                FILE,
                format!("the hook {hook} is missing"),
                "add it to HOOKS",
            );
        }
        self.must(
            hooks.first() == Some(&"base"),
            FILE,
            "base is not the first hook",
            "put it first",
        );
        let compression = set.get("COMPRESSION").and_then(|values| values.get("0"));
        let compression = compression.map_or("zstd", String::as_str);
        if compression != "cat" {
            self.kernel_has(FILE, &[format!("CONFIG_RD_{}", compression.to_uppercase())]);
        }
        Ok(())
    }
}
