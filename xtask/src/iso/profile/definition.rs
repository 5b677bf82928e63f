// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `profiledef.sh`: what archiso makes, and of what.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Check, Variables};

/// The variables of profiledef.sh, and whether ours must have them.
const VARIABLES: [(&str, bool); 16] = [
    ("airootfs_image_tool_options", true),
    ("airootfs_image_type", true),
    ("arch", true),
    ("bootmodes", true),
    ("bootstrap_packages", false),
    ("bootstrap_tarball_compression", false),
    ("buildmodes", true),
    ("file_permissions", true),
    ("install_dir", true),
    ("iso_application", true),
    ("iso_label", true),
    ("iso_name", true),
    ("iso_publisher", true),
    ("iso_version", true),
    ("packages", false),
    ("pacman_conf", true),
];

/// A boot mode of archiso 88, the directory and the file that it needs, and the package of the boot loader, if
/// that is in the image.
const BOOT_MODES: [(&str, &str, &str, Option<&str>); 3] = [
    (
        "bios.syslinux",
        "syslinux",
        "syslinux.cfg",
        Some("syslinux"),
    ),
    ("uefi.grub", "grub", "grub.cfg", None),
    ("uefi.systemd-boot", "efiboot/loader", "loader.conf", None),
];

impl Check<'_> {
    /// profiledef.sh; returns what it sets.
    pub(super) fn definition(&mut self) -> Result<Variables> {
        const FILE: &str = "profiledef.sh";
        let set = self.variables(FILE)?;
        for name in set.keys() {
            let known = VARIABLES.iter().any(|(known, _)| known == name);
            self.must(
                known,
                FILE,
                format!("archiso has no variable {name}"),
                "mend the name; README.profile.rst of archiso has them all",
            );
        }
        for (name, needed) in VARIABLES {
            let there = set.get(name).is_some_and(|values| !values.contains_key(""));
            let filled = set
                .get(name)
                .is_some_and(|values| values.values().all(|value| !value.is_empty()));
            self.must(
                !needed || (there && filled),
                FILE,
                format!("{name} is not set"),
                "set it: archiso's default is another",
            );
        }
        let one = |name: &str| {
            let values = set.get(name);
            values
                .and_then(|values| values.get("0"))
                .map_or("", String::as_str)
        };
        let all = |name: &str| {
            set.get(name)
                .into_iter()
                .flat_map(BTreeMap::values)
                .map(String::as_str)
        };

        let label = one("iso_label");
        let plain = label
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        self.must(
            plain && label.len() <= 32,
            FILE,
            format!("iso_label={label} is no name of an ISO 9660 volume"),
            "use at most 32 of A to Z, 0 to 9 and _",
        );
        let install = one("install_dir");
        let plain = install
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        self.must(
            plain && install.len() <= 8,
            FILE,
            format!("install_dir={install} is not possible"),
            "use at most 8 of a to z and 0 to 9",
        );
        self.must(
            one("arch") == "x86_64",
            FILE,
            format!("arch={}", one("arch")),
            "the kernel is for x86_64",
        );
        for mode in all("buildmodes") {
            self.must(
                mode == "iso",
                FILE,
                format!("the build mode {mode} makes no image that boots"),
                "use iso",
            );
        }
        self.boot_modes(&all("bootmodes").collect::<Vec<_>>());
        self.image(
            one("airootfs_image_type"),
            &all("airootfs_image_tool_options").collect::<Vec<_>>(),
        );

        let conf = one("pacman_conf");
        let there = self.exists(conf);
        self.must(
            there,
            FILE,
            format!("pacman_conf={conf} is not there"),
            "name the profile's pacman.conf",
        );
        for (path, how) in set.get("file_permissions").into_iter().flatten() {
            let inside = path.starts_with('/') && !path.split('/').any(|part| part == "..");
            let there = inside && self.exists(&format!("airootfs{path}"));
            self.must(
                there,
                FILE,
                format!("file_permissions has {path}, which is not in airootfs"),
                "archiso sets modes before there are packages: leave it out, or mend the path",
            );
            let parts: Vec<_> = how.split(':').collect();
            let number =
                |text: &str, base| !text.is_empty() && u32::from_str_radix(text, base).is_ok();
            let good = matches!(parts[..], [user, group, mode]
                if number(user, 10) && number(group, 10) && number(mode, 8) && mode.len() <= 4);
            self.must(
                good,
                FILE,
                format!("file_permissions has {how} for {path}"),
                "write USER:GROUP:MODE in numbers, as in 0:0:755",
            );
        }
        Ok(set)
    }

    fn boot_modes(&mut self, modes: &[&str]) {
        const FILE: &str = "profiledef.sh";
        for mode in modes {
            let Some((_, dir, file, package)) = BOOT_MODES.iter().find(|known| known.0 == *mode)
            else {
                let now: Vec<_> = BOOT_MODES.iter().map(|known| known.0).collect();
                self.mistake(
                    FILE,
                    format!("{mode} is no boot mode of archiso 88"),
                    format!("those are {}", now.join(", ")),
                );
                continue;
            };
            let needed = format!("{dir}/{file}");
            let there = self.exists(&needed);
            self.must(
                there,
                &needed,
                format!("it is not there, and {mode} needs it"),
                "add it",
            );
            if let Some(package) = package {
                let there = self.packages.contains(*package);
                self.must(
                    there,
                    "packages.x86_64",
                    format!("{package} is missing, which {mode} needs"),
                    "add it",
                );
            }
        }
        for (what, start) in [("BIOS", "bios."), ("UEFI", "uefi.")] {
            let count = modes.iter().filter(|mode| mode.starts_with(start)).count();
            self.must(
                count == 1,
                FILE,
                format!("bootmodes has {count} for {what}"),
                "there must be one: the image boots on all PCs, and two exclude each other",
            );
        }
        self.must(
            !modes.contains(&"uefi.systemd-boot"),
            FILE,
            "uefi.systemd-boot needs all that is booted, the models too, a second time",
            "use uefi.grub",
        );
    }

    /// The file system that the image's root is in.
    fn image(&mut self, kind: &str, options: &[&str]) {
        const FILE: &str = "profiledef.sh";
        let compression = options
            .iter()
            .skip_while(|option| **option != "-comp")
            .nth(1);
        let mut needs = vec![
            "CONFIG_OVERLAY_FS".to_owned(),
            "CONFIG_BLK_DEV_LOOP".to_owned(),
        ];
        match kind {
            "squashfs" | "ext4+squashfs" => {
                needs.push("CONFIG_SQUASHFS".to_owned());
                let compression = compression.unwrap_or(&"gzip").replace("gzip", "zlib");
                needs.push(format!("CONFIG_SQUASHFS_{}", compression.to_uppercase()));
                if kind.starts_with("ext4") {
                    needs.push("CONFIG_DM_SNAPSHOT".to_owned());
                }
            }
            "erofs" => needs.push("CONFIG_EROFS_FS".to_owned()),
            _ => self.mistake(
                FILE,
                format!("airootfs_image_type={kind} is unknown"),
                "archiso has squashfs, ext4+squashfs and erofs",
            ),
        }
        self.kernel_has(FILE, &needs);
    }
}
