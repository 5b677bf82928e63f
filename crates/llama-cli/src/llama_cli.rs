// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command `llama`, as a library so that its manual page is made from the same table.

mod act;
mod ask;
mod chat;
pub mod cli;
mod doctor;
mod embed;
mod explain;
mod fix;
mod here;
mod history;
mod input;
mod interrupt;
mod output;
mod profile;
mod propose;
mod shell_init;
mod status;
mod why;

use std::fmt;
use std::process::ExitCode;

use clap::Parser as _;
use llamux_usage::complain;

use crate::cli::{Action, Cli};

/// How `llama` ends; [`cli::USAGE`] has the table for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    Success = 0,
    Failure = 1,
    Usage = 2,
    NotSupported = 3,
    Unavailable = 4,
    TimedOut = 5,
    /// `llama doctor` found something, or part of a command could not be verified.
    Found = 6,
    Interrupted = 130,
}

/// A failure and the exit status that goes with it.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// Standard input or output failed.
    fn io(what: &str, error: &std::io::Error) -> Self {
        Self {
            exit: Exit::Failure,
            message: format!("{what}: {error}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<llamux::Error> for Failure {
    fn from(error: llamux::Error) -> Self {
        use llamux::Error;
        let exit = match error {
            Error::NotSupported { .. } | Error::Forbidden | Error::Device(_) => Exit::NotSupported,
            Error::Loading | Error::NoModel { .. } | Error::UnknownModel { .. } => {
                Exit::Unavailable
            }
            Error::TimedOut => Exit::TimedOut,
            Error::Interrupted => Exit::Interrupted,
            Error::Parameter { .. } | Error::EmptyPrompt => Exit::Usage,
            _ => Exit::Failure,
        };
        Self {
            exit,
            message: error.to_string(),
        }
    }
}

/// The program. Clap ends it by itself for `--help`, `--version` (0) and wrong usage (2).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.action {
        Some(Action::Status(options)) => status::run(options),
        Some(Action::Chat(options)) => chat::run(options),
        Some(Action::Embed(options)) => embed::run(options),
        Some(Action::Doctor(options)) => doctor::run(options),
        Some(Action::Why(options)) => why::run(options),
        Some(Action::Explain(options)) => explain::run(options),
        Some(Action::Do(options)) => act::run_do(options),
        Some(Action::History(options)) => history::run(options),
        Some(Action::Undo(options)) => history::undo(options),
        Some(Action::Profile(options)) => profile::run(options),
        Some(Action::ShellInit(options)) => shell_init::run(options),
        Some(Action::Fix(options)) => fix::run(options),
        None => ask::run(&cli.ask),
    };
    let exit = result.unwrap_or_else(|failure| {
        complain!("llama: {failure}");
        failure.exit
    });
    // CAST: `Exit` is represented by a `u8`.
    ExitCode::from(exit as u8)
}
