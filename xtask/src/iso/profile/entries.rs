// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The boot entries: whether they name what is on the image, and agree with each other.

use std::collections::{BTreeMap, BTreeSet};

use super::menus::{self, Entry, Menu};
use super::{Check, Variables, KERNEL};

/// Modules of syslinux, of those that archiso copies, which a menu may name.
const MODULES: [&str; 7] = [
    "chain.c32",
    "hdt.c32",
    "menu.c32",
    "poweroff.c32",
    "reboot.c32",
    "vesamenu.c32",
    "whichsys.c32",
];

impl Check<'_> {
    pub(super) fn menus(&mut self, definition: &Variables) {
        let modes: Vec<_> = definition
            .get("bootmodes")
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect();
        let mut menus = Vec::new();
        for (mode, file, parse) in [
            (
                "bios.syslinux",
                "syslinux/syslinux.cfg",
                menus::syslinux as fn(&str) -> Menu,
            ),
            ("uefi.grub", "grub/grub.cfg", menus::grub),
        ] {
            if modes.iter().any(|known| *known == mode) && self.exists(file) {
                let text = self.text(file);
                let menu = parse(&text);
                self.menu(file, &text, &menu);
                menus.push((file, menu));
            }
        }
        if let [(first, one), (second, other)] = &menus[..] {
            let of = |menu: &Menu| -> Vec<Entry> {
                let kernels = menu.entries.iter().filter(|entry| is_linux(entry));
                kernels.cloned().collect()
            };
            for (a, b) in of(one).iter().zip(of(other).iter()).filter(|(a, b)| a != b) {
                self.mistake(
                    second,
                    format!("the entry {} is not the same as {} in {first}", b.id, a.id),
                    "kernel, initrds and command line must be equal: people read about one menu",
                );
            }
            let (a, b) = (of(one).len(), of(other).len());
            self.must(
                a == b,
                second,
                format!("it has {b} entries for the kernel, and {first} {a}"),
                "both firmwares must have the same",
            );
            self.must(
                one.default == other.default,
                second,
                format!(
                    "the default is {:?}, and in {first} {:?}",
                    other.default, one.default
                ),
                "make them the same",
            );
        }
    }

    fn menu(&mut self, file: &str, text: &str, menu: &Menu) {
        let known = [
            "ARCHISO_LABEL",
            "ARCHISO_UUID",
            "INSTALL_DIR",
            "ARCH",
            "ARCHISO_SEARCH_FILENAME",
        ];
        for (number, line) in text.lines().enumerate() {
            for name in line.split('%').skip(1).step_by(2) {
                let good = known.contains(&name)
                    && (file.starts_with("grub") || name != "ARCHISO_SEARCH_FILENAME");
                self.must(
                    good,
                    file,
                    format!("line {}: archiso does not replace %{name}%", number + 1),
                    format!("it knows %{}%", known[..4].join("%, %")),
                );
            }
        }
        self.must(
            menu.timeout,
            file,
            "nothing boots unless somebody chooses",
            "set a timeout",
        );
        let default = menu
            .entries
            .iter()
            .find(|entry| Some(&entry.id) == menu.default.as_ref());
        self.must(
            default.is_some(),
            file,
            format!(
                "the default {:?} is no entry",
                menu.default.as_deref().unwrap_or("")
            ),
            "name one that there is",
        );
        for module in &menu.needs {
            self.must(
                MODULES.contains(&module.as_str()),
                file,
                format!("{module} is no module of syslinux"),
                format!("it has {}", MODULES.join(", ")),
            );
        }
        let mut ids = BTreeSet::new();
        for entry in &menu.entries {
            self.must(
                ids.insert(&entry.id),
                file,
                format!("two entries are called {}", entry.id),
                "boot loaders find the first alone: rename one",
            );
            if let Some(name) = entry.kernel.strip_prefix("/boot/memtest86+/") {
                let package = if name.ends_with(".efi") {
                    "memtest86+-efi"
                } else {
                    "memtest86+"
                };
                let there = self.packages.contains(package);
                self.must(
                    there,
                    file,
                    format!(
                        "{} is of the package {package}, which is not in packages.x86_64",
                        entry.kernel
                    ),
                    "add it, or leave out the entry",
                );
            } else {
                self.entry(file, entry);
            }
        }
        let linux: Vec<_> = menu
            .entries
            .iter()
            .filter(|entry| is_linux(entry))
            .collect();
        // One part has one model, and a model one part.
        let pairs: BTreeSet<_> = linux
            .iter()
            .filter_map(|entry| {
                Some((
                    entry.initrds.first()?.as_str(),
                    entry.value("llamux.model")?,
                ))
            })
            .collect();
        let parts: BTreeSet<_> = pairs.iter().map(|pair| pair.0).collect();
        let models: BTreeSet<_> = pairs.iter().map(|pair| pair.1).collect();
        self.must(
            pairs.len() == parts.len() && pairs.len() == models.len(),
            file,
            format!("initrds and models do not agree: {pairs:?}"),
            "each model has an initrd of its own",
        );
        let size = |entry: &Entry| {
            entry
                .value("llamux.model")
                .and_then(|name| self.facts.models.get(name))
                .copied()
        };
        let default_size = default.and_then(size);
        let smaller = linux.iter().any(|entry| size(entry) < default_size);
        let serial = linux.iter().any(|entry| {
            entry
                .words
                .iter()
                .any(|word| word.starts_with("console=ttyS0"))
        });
        self.must(
            smaller,
            file,
            "no entry has a smaller model than the default",
            "add one for small machines",
        );
        self.must(
            serial,
            file,
            "no entry has a console on the serial port",
            "add one with console=ttyS0,115200",
        );
    }

    /// An entry for our kernel.
    fn entry(&mut self, file: &str, entry: &Entry) {
        let id = &entry.id;
        let boot = "/%INSTALL_DIR%/boot/%ARCH%";
        let kernel = format!("{boot}/vmlinuz-{KERNEL}");
        self.must(
            !id.is_empty(),
            file,
            format!("the entry of {} has no name", entry.kernel),
            "give it one (--id)",
        );
        self.must(
            entry.kernel == kernel,
            file,
            format!(
                "the entry {id} boots {}, which is not on the image",
                entry.kernel
            ),
            format!("archiso puts the kernel to {kernel}"),
        );
        let system = format!("{boot}/initramfs-{KERNEL}.img");
        match &entry.initrds[..] {
            [model, last] => {
                self.must(
                    *last == system,
                    file,
                    format!("the entry {id} ends its initrd with {last}"),
                    format!("the system's initramfs is {system}"),
                );
                let name = model
                    .strip_prefix(&format!("{boot}/initramfs-"))
                    .unwrap_or_default();
                self.must(
                    name.ends_with(".img") && *model != system,
                    file,
                    format!("the entry {id} begins its initrd with {model}"),
                    format!("a model is in {boot}/initramfs-NAME.img: archiso copies files of this form, and no other"),
                );
            }
            other => self.mistake(
                file,
                format!("the entry {id} has {} initrds", other.len()),
                format!(
                    "the first is the model's, which is used where it lies, the second {system}"
                ),
            ),
        }
        for path in entry.initrds.iter().chain([&entry.kernel]) {
            let name = path.rsplit('/').next().unwrap_or_default();
            self.must(
                name.len() <= 31 && name.matches('.').count() <= 1,
                file,
                format!("{name} is no name that every reader of ISO 9660 finds"),
                "use at most 31 characters and one dot",
            );
        }
        for wanted in [
            "archisobasedir=%INSTALL_DIR%",
            "archisosearchuuid=%ARCHISO_UUID%",
        ] {
            let there = entry.words.iter().any(|word| word == wanted);
            self.must(
                there,
                file,
                format!("the command line of {id} has no {wanted}"),
                "the hook archiso finds the image by it: add it",
            );
        }
        let Some(model) = entry.value("llamux.model") else {
            self.mistake(
                file,
                format!("the command line of {id} names no model"),
                "add llamux.model=NAME",
            );
            return;
        };
        let Some(wanted) = self.facts.models.get(model) else {
            let known: Vec<_> = self.facts.models.keys().map(String::as_str).collect();
            self.mistake(
                file,
                format!("the entry {id} has the model {model}, which configs/models.toml has not"),
                format!("those are {}", known.join(", ")),
            );
            return;
        };
        let wanted = format!("{wanted}M");
        let reserved = entry.value("llamux_mem").unwrap_or("nothing");
        self.must(
            reserved == wanted,
            file,
            format!("the entry {id} reserves {reserved} for {model}"),
            format!("write llamux_mem={wanted}, which it needs in place"),
        );
    }
}

/// Whether the entry starts Linux, and not a program for one purpose.
fn is_linux(entry: &Entry) -> bool {
    !entry.kernel.contains("/memtest86+/")
}
