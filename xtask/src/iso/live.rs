// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The live image: the kernel for PCs, a model, `llama` and its like, busybox, bash and curl, all of it in memory once it
//! has booted.

use std::env;
use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};

use super::guest::{Firmware, Guest, Medium, Pc};
use super::image;
use crate::context::Context;
use crate::kernel::{build, Source, Variant};
use crate::model::Model;
use crate::{disk, initramfs, lock, run, sh};

const MENU: &str = include_str!("../../assets/live/grub.cfg");

/// The largest model that GRUB loads for the kernel to use it in place. It puts all into the first GiB, of which the
/// firmware of some machines has taken pieces, and shows nothing while it reads. Larger ones are read by the kernel.
const IN_PLACE: u64 = 512 << 20;

/// How long a step takes at most where there is no KVM, and all of it is slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// The key of the menu's entry with a shell at the serial line.
pub(crate) const SERIAL: &str = "s";

/// What the shell asks with, in root's directory.
const PROMPT: &str = "llamux:/root#";

fn in_place(model: &Model) -> bool {
    model.bytes <= IN_PLACE
}

/// Memory of a machine for the image of a model, in MiB: for the model, and for all else.
fn memory_mb(model: &Model) -> u64 {
    let in_place = in_place(model);
    let archive = if in_place { model.bytes } else { 0 };
    run::reserved_mb(model, in_place) + archive.div_ceil(1 << 20) + 512
}

/// Where all of this is made.
fn dir(cx: &Context) -> PathBuf {
    cx.root.join("target/llamux").join(Variant::PC.name())
}

/// Makes the image of a model.
pub(crate) fn make(
    cx: &Context,
    source: &Source,
    model: &Model,
    output: Option<&Path>,
) -> Result<PathBuf> {
    let output = match output {
        Some(file) => file.to_owned(),
        None => {
            let name = format!("target/llamux/llamux-live-{}.iso", model.name);
            cx.root.join(name)
        }
    };
    disk::need(&output, model.bytes + (64 << 20), "the image")?;
    let (kernel, programs) = {
        let _lock = lock::take(&cx.cache.join("kernel.lock"))?;
        let kernel = build::build(cx, source, Variant::PC)?;
        (kernel.image, run::for_people(cx)?)
    };
    let dir = dir(cx);
    let _lock = lock::take(&dir.join("image.lock"))?;
    let in_place = in_place(model);
    let from_medium = (!in_place).then_some(model.name.as_str());
    let system = dir.join("system.cpio.gz");
    initramfs::live(&programs, from_medium, &system)?;

    let mut words = format!("llamux_mem={}M", run::reserved_mb(model, in_place));
    let mut archives = String::new();
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    if in_place {
        words += &format!(" llamux.model={}", model.name);
        archives += "/llamux/model.cpio ";
        let archive = initramfs::in_place_part(cx, model)?;
        files.push(("llamux/model.cpio".to_owned(), archive));
    } else {
        let path = format!("llamux/models/{}.gguf", model.name);
        files.push((path, model.file.clone()));
    }
    archives += "/llamux/system.cpio.gz";
    let menu = dir.join("grub.cfg");
    let text = MENU
        .replace("@MODEL@", &model.name)
        .replace("@WORDS@", &words)
        .replace("@ARCHIVES@", &archives);
    fs::write(&menu, text)?;
    let font = image::font().context("GRUB has no unicode.pf2")?;
    for (path, file) in [
        ("boot/grub/grub.cfg", menu),
        ("boot/grub/unicode.pf2", font),
        ("llamux/vmlinuz", kernel),
        ("llamux/system.cpio.gz", system),
    ] {
        files.push((path.to_owned(), file));
    }
    image::write(&dir.join("image"), &files, &output)?;
    Ok(output)
}

/// Makes the image and boots it, with its menu and a shell on the terminal, and on a screen if there is one.
pub(crate) fn run(
    cx: &Context,
    source: &Source,
    model: &Model,
    memory: Option<u64>,
) -> Result<ExitCode> {
    if !std::io::stdin().is_terminal() {
        bail!("the menu and the shell of an image want a terminal");
    }
    let image = make(cx, source, model, None)?;
    let mut qemu = Pc {
        image: &image,
        firmware: Firmware::Bios,
        medium: Medium::Disc,
        memory_mb: memory.unwrap_or_else(|| memory_mb(model)),
        disk: None,
        dir: &dir(cx),
    }
    .command()?;
    qemu.args(["-serial", "mon:stdio"]);
    if env::var_os("DISPLAY").is_none() && env::var_os("WAYLAND_DISPLAY").is_none() {
        qemu.args(["-display", "none"]);
    }
    eprintln!("iso: `s` in the menu gives a shell here; Ctrl-A X ends it");
    sh::run(&mut qemu)?;
    Ok(ExitCode::SUCCESS)
}

/// What a command in the booted image printed, and where a picture of the screen was left then.
pub(crate) struct Said {
    pub(crate) output: String,
    pub(crate) screen: PathBuf,
}

/// The machine for the image of a model, with so many MiB more than that needs.
pub(crate) fn pc<'a>(
    dir: &'a Path,
    (image, model): (&'a Path, &Model),
    (firmware, medium): (Firmware, Medium),
    more_mb: u64,
) -> Pc<'a> {
    Pc {
        image,
        firmware,
        medium,
        memory_mb: memory_mb(model) + more_mb,
        disk: None,
        dir,
    }
}

/// Boots a machine by the entry of its menu that has this key, up to the prompt at its serial line.
pub(crate) fn boot(pc: &Pc<'_>, entry: &str) -> Result<Guest> {
    let mut guest = Guest::start(pc.command()?)?;
    guest.wait_for("serial port", LIMIT)?;
    guest.send(entry)?;
    guest.wait_for(PROMPT, LIMIT)?;
    // So that what is typed comes back in one line.
    guest.send("stty cols 999\n")?;
    guest.wait_for(PROMPT, LIMIT)?;
    Ok(guest)
}

/// Has it go off, when a command has ended.
pub(crate) fn end(guest: &mut Guest) -> Result<()> {
    guest.wait_for(PROMPT, LIMIT)?;
    guest.send("poweroff\n")?;
    guest.wait_until_off(LIMIT)
}

/// Boots the image by a firmware from a medium, and runs a command in it over the serial line.
pub(crate) fn exec(
    cx: &Context,
    (image, model): (&Path, &Model),
    (firmware, medium): (Firmware, Medium),
    command: &str,
) -> Result<Said> {
    let dir = dir(cx);
    let mut guest = boot(&pc(&dir, (image, model), (firmware, medium), 0), SERIAL)?;
    let output = guest.run(command, LIMIT)?;
    let name = format!("{firmware:?}-{medium:?}.ppm").to_lowercase();
    let screen = dir.join(name);
    guest.screen(&screen)?;
    end(&mut guest)?;
    Ok(Said { output, screen })
}
