// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama shell-init`.

use crate::cli::ShellInitOptions;
use crate::{output, Exit, Failure};

pub(crate) fn run(options: &ShellInitOptions) -> Result<Exit, Failure> {
    output::print(&lsh::shells::init(options.shell, options.key))?;
    Ok(Exit::Success)
}
