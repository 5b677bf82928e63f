// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama`: asks the kernel's language model.

use std::process::ExitCode;

fn main() -> ExitCode {
    llama_cli::main()
}
