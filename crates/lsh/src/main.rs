// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `lsh`: a terminal in natural language.

use std::process::ExitCode;

fn main() -> ExitCode {
    lsh::main()
}
