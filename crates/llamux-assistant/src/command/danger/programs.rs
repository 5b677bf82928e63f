// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Programs for which it matters what they are told.

use super::{ChangesFiles, Effect, ReadOnly, Told};

mod archives;
mod devices;
mod git;
mod machines;
mod network;
mod packages;
mod processes;
mod services;
mod texts;
mod tools;

pub(super) use git::{checks_out_files, subcommand};

const READS: Effect = (ReadOnly, "");
const FILES: Effect = (ChangesFiles, "makes or changes files");

/// What a program does that is told these words; `None` if its name says it all.
pub(super) fn effect(name: &str, told: Told<'_>) -> Option<Effect> {
    devices::devices(name, told)
        .or_else(|| processes::processes(name, told))
        .or_else(|| packages::packages(name, told))
        .or_else(|| services::services(name, told))
        .or_else(|| network::network(name, told))
        .or_else(|| git::versions(name, told))
        .or_else(|| texts::texts(name, told))
        .or_else(|| archives::archives(name, told))
        .or_else(|| machines::machines(name, told))
        .or_else(|| tools::tools(name, told))
}
