// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-backend`: lets another engine answer as a model of the kernel.

use std::process::ExitCode;

fn main() -> ExitCode {
    llamux_backend::main()
}
