// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-setup`: says what a machine can run, and configures Llamux.

use std::process::ExitCode;

fn main() -> ExitCode {
    llamux_setup::cli::main()
}
