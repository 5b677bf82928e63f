// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask iso`: images that boot by themselves.

pub(crate) mod arch;
pub(crate) mod guest;
mod image;
pub(crate) mod live;
mod profile;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::context::Context;
use crate::kernel::Source;
use crate::model;
use crate::setup::{self, Purpose};

/// Make an image that boots from a disc or a USB stick, by BIOS and by UEFI.
///
/// Without --live it is the installation image, Arch Linux with our kernel, of archiso-profile/. That is checked first,
/// which works everywhere; archiso's mkarchiso makes the image, on Arch.
///
/// With --live it is made of this checkout, and of busybox, bash and curl of this machine. It has the kernel with the
/// drivers of real machines, the model, `llama` and its like, and leaves the machine's disks alone.
///
/// To put an image on a stick: `dd if=FILE of=/dev/STICK bs=4M conv=fsync`. Secure Boot must be off.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The image that is made of this checkout.
    #[arg(long)]
    live: bool,
    /// A model of configs/models.toml, or a GGUF file.
    #[arg(long, value_name = "NAME|FILE", requires = "live")]
    model: Option<String>,
    /// Where the image goes [default: target/llamux/llamux-live-MODEL.iso, or target/llamux/archiso/out].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    arch: arch::Options,
    #[command(flatten)]
    source: Source,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    if !args.live {
        return arch::main(cx, &args.arch, args.output.as_deref());
    }
    setup::ensure_for(cx, Purpose::Images)?;
    let model = model::find(cx, args.model.as_deref())?;
    let image = live::make(cx, &args.source, &model, args.output.as_deref())?;
    let bytes = fs::metadata(&image)?.len();
    eprintln!(
        "iso: {} ({} MB)",
        image.display(),
        bytes.div_ceil(1_000_000)
    );
    Ok(ExitCode::SUCCESS)
}

/// Whether all that makes an image is here.
pub(crate) fn has_tools() -> bool {
    image::has_tools()
}

/// Whether there is UEFI to boot an image by.
pub(crate) fn has_uefi() -> bool {
    guest::uefi().is_some()
}
