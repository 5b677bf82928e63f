// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-host`: the engine on the command line. Exit status 0 for success, 1 for a failure, 2 for
//! wrong arguments.

use std::process::ExitCode;

use clap::Parser;
use llamux_host::command::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llamux-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}
