// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama-mon`: watches the kernel's language model.

use std::process::ExitCode;

fn main() -> ExitCode {
    llama_mon::main()
}
