// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What goes into an initramfs: asked by the hooks of mkinitcpio and initramfs-tools.

use std::path::Path;

use anyhow::{bail, Result};

use crate::conf::Conf;
use crate::files;
use crate::head::check_space;
use crate::machine::Machine;
use crate::memory::{boot_mb, Place, REST_MB};
use crate::models::{self, Model};

/// What else an initramfs has, roughly.
const REST: u64 = 32 << 20;
/// An entry of an archive is smaller.
const TOO_LARGE: u64 = 1 << 32;

/// Where unified kernel images are asked for.
const PRESET: &str = "etc/mkinitcpio.d/linux-llamux.preset";

/// Where the model is at boot: as `llamux.conf` says, or as what makes an initramfs here can have it.
pub fn place(root: &Path, conf: &Conf) -> Result<Place> {
    if let Some(place) = conf.place {
        return Ok(place);
    }
    let preset = files::read_if_there(&root.join(PRESET))?.unwrap_or_default();
    let unified = |line: &str| line.trim_start().starts_with("default_uki=");
    Ok(if preset.lines().any(unified) {
        // The image is inside of another file, which would have to be made anew.
        Place::Archive
    } else if root.join("usr/bin/mkinitcpio").exists() {
        Place::Head
    } else if root.join("usr/sbin/update-initramfs").exists() {
        // Its microcode is in front of everything.
        Place::Archive
    } else {
        Place::Disk
    })
}

/// The model that is there at boot: the one that `llamux.conf` chooses, or the only one that is installed.
pub fn model(root: &Path, conf: &Conf, warn: &mut dyn FnMut(String)) -> Result<Option<Model>> {
    if let Some(name) = &conf.model {
        return Model::find(root, name).map(Some);
    }
    let (mut models, complaints) = models::installed(root);
    complaints.into_iter().for_each(warn);
    if models.len() > 1 {
        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        bail!(
            "several models are installed ({}), and none is chosen: set MODEL= in /etc/llamux.conf, or run \
             llamux-setup",
            names.join(", ")
        );
    }
    Ok(models.pop())
}

/// The model of an initramfs, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where.
    pub place: Place,
    /// Which.
    pub model: Model,
}

/// What `llamux.conf` asks for, if it asks for a model in the initramfs. `image` is where that will be
/// written; `machine` is the one that boots it, if that is known. Warnings go to `warn`.
pub fn plan(
    root: &Path,
    conf: &Conf,
    image: &Path,
    machine: Option<&Machine>,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Plan>> {
    let place = place(root, conf)?;
    if place == Place::Disk {
        return Ok(None);
    }
    let Some(model) = model(root, conf, warn)? else {
        warn(
            "no model is installed: the kernel will have none at boot. Install a package such as \
             llamux-model-smollm2"
                .to_owned(),
        );
        return Ok(None);
    };
    if place == Place::Head && model.files.len() > 1 {
        bail!(
            "{} has several files, which cannot be used in place: set IN_INITRAMFS=archive in /etc/llamux.conf",
            model.name
        );
    }
    // The files of a split model are entries of their own.
    if model.files.len() == 1 && model.bytes >= TOO_LARGE {
        bail!(
            "{} has {} MiB, and an initramfs takes files of less than 4096: set IN_INITRAMFS=no in /etc/llamux.conf, \
             and enable llamux.service, which loads it later",
            model.name,
            model.bytes >> 20
        );
    }
    // At the head, the image is written twice: without the model, and with it.
    let copies = if place == Place::Head { 2 } else { 1 };
    let old = image.metadata().map_or(0, |meta| meta.len());
    check_space(image, model.bytes + copies * REST, old)?;
    if let Some(machine) = machine {
        let needed = boot_mb(model.bytes, place) + REST_MB;
        if needed > machine.memory_mb {
            warn(format!(
                "{} needs {needed} MiB of memory at boot with IN_INITRAMFS={place}, and this machine has {}",
                model.name, machine.memory_mb
            ));
        }
    }
    Ok(Some(Plan { place, model }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::testing::Dir;
    use crate::machine::tests::recorded;

    /// The plan, or the error, and the warnings.
    fn planned(dir: &Dir, text: &str) -> (Result<Option<Plan>, String>, String) {
        let mut warnings = Vec::new();
        let conf = Conf::parse(text).unwrap();
        let plan = plan(
            &dir.0,
            &conf,
            &dir.0.join("initramfs.img"),
            Some(&recorded(2)),
            &mut |warning| warnings.push(warning),
        );
        (
            plan.map_err(|error| format!("{error:#}")),
            warnings.join("\n"),
        )
    }

    #[test]
    fn the_place_follows_what_makes_images() {
        let dir = Dir::new("place");
        let at = |text: &str| place(&dir.0, &Conf::parse(text).unwrap()).unwrap();
        assert_eq!(at(""), Place::Disk);
        dir.write("usr/sbin/update-initramfs", "");
        assert_eq!(at(""), Place::Archive);
        dir.write("usr/bin/mkinitcpio", "");
        assert_eq!(at(""), Place::Head);
        dir.write(PRESET, "#default_uki=x\n");
        assert_eq!(at(""), Place::Head);
        dir.write(PRESET, "default_uki=\"/efi/EFI/Linux/arch.efi\"\n");
        assert_eq!(at(""), Place::Archive);
        assert_eq!(at("IN_INITRAMFS=head"), Place::Head);
    }

    #[test]
    fn the_chosen_model_goes_where_it_shall() {
        let dir = Dir::new("plan");
        dir.write("usr/bin/mkinitcpio", "");
        dir.write("usr/lib/firmware/llamux/a.gguf", "GGUF");
        for (text, place) in [
            ("", Place::Head),
            ("MODEL=a\nIN_INITRAMFS=head", Place::Head),
            ("IN_INITRAMFS=archive", Place::Archive),
        ] {
            let (plan, warnings) = planned(&dir, text);
            let plan = plan.unwrap().unwrap();
            assert_eq!((plan.place, plan.model.name.as_str()), (place, "a"));
            assert_eq!(warnings, "");
        }
        assert_eq!(planned(&dir, "IN_INITRAMFS=no").0, Ok(None));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let dir = Dir::new("plan-not");
        dir.write("usr/bin/mkinitcpio", "");
        let (plan, warnings) = planned(&dir, "");
        assert_eq!(plan, Ok(None));
        assert!(warnings.contains("no model is installed"), "{warnings}");
        assert!(planned(&dir, "MODEL=a")
            .0
            .unwrap_err()
            .contains("there is no model a"));
        dir.write("usr/lib/firmware/llamux/a.gguf", "GGUF");
        dir.write("usr/lib/firmware/llamux/b.gguf", "GGUF");
        assert!(planned(&dir, "").0.unwrap_err().contains("(a, b)"));
        for n in 1..=2 {
            dir.write(&format!("var/lib/llamux/c-0000{n}-of-00002.gguf"), "GGUF");
        }
        let split = "MODEL=c-00001-of-00002\nIN_INITRAMFS=";
        assert!(planned(&dir, &format!("{split}head"))
            .0
            .unwrap_err()
            .contains("several files"));
        assert!(planned(&dir, &format!("{split}archive"))
            .0
            .unwrap()
            .is_some());
        // Holes take no room; what they would take does.
        let large = dir.write("var/lib/llamux/large.gguf", "GGUF");
        let large = std::fs::File::options().write(true).open(large).unwrap();
        large.set_len(1 << 33).unwrap();
        assert!(planned(&dir, "MODEL=large")
            .0
            .unwrap_err()
            .contains("less than 4096"));
        large.set_len(600 << 20).unwrap();
        let (plan, warnings) = planned(&dir, "MODEL=large");
        // 600 MiB, 512 to think, 512 for the rest; unless the disk is full.
        match plan {
            Ok(_) => assert!(warnings.contains("needs 1624 MiB of memory"), "{warnings}"),
            Err(error) => assert!(error.contains("MiB free"), "{error}"),
        }
    }
}
