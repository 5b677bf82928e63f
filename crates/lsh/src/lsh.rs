// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `lsh`, as a library: so that its manual page is made from the same table, that `llama` has the scripts of the
//! shells and offers a command as `lsh` does, and that tests have it ask another model than the kernel's.

pub mod cli;
mod console;
mod dialogue;
mod keys;
mod offer;
mod once;
mod paint;
pub mod sentence;
pub mod shells;
mod terminal;
mod widget;
mod worker;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::ExitCode;

use clap::Parser as _;
use llamux_assistant::command;
use llamux_assistant::Kernel;
use llamux_usage::complain;

use crate::cli::Cli;
pub use crate::offer::{Chosen, Offer};
use crate::shells::Shell;
pub use crate::worker::MakeModel;
use crate::worker::Worker;

/// A failure and the exit status that goes with it; [`cli::USAGE`] has the table for people.
#[derive(Debug)]
struct Failure {
    exit: u8,
    message: String,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: 2,
            message: message.into(),
        }
    }

    fn io(what: &str, error: &std::io::Error) -> Self {
        Self::other(what, error)
    }

    fn other(what: &str, error: &dyn fmt::Display) -> Self {
        Self {
            exit: 1,
            message: format!("{what}: {error}"),
        }
    }
}

impl From<command::ProposeError> for Failure {
    fn from(error: command::ProposeError) -> Self {
        use command::ProposeError;
        use llamux::Error;
        let exit = match &error {
            ProposeError::Empty => 2,
            ProposeError::Model(error) => match error {
                Error::NotSupported { .. } | Error::Forbidden | Error::Device(_) => 3,
                Error::Loading | Error::NoModel { .. } | Error::UnknownModel { .. } => 4,
                Error::TimedOut => 5,
                _ => 1,
            },
            _ => 1,
        };
        Self {
            exit,
            message: error.to_string(),
        }
    }
}

impl From<Shell> for command::Shell {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Bash => Self::Bash,
            Shell::Fish => Self::Fish,
            Shell::Zsh => Self::Zsh,
        }
    }
}

/// The program. Clap ends it by itself for `--help`, `--version` (0) and wrong usage (2).
pub fn main() -> ExitCode {
    main_with(|name| {
        let model = name.map(str::to_owned);
        Box::new(move || {
            let kernel = Kernel {
                model,
                no_wait: false,
            };
            Ok(Box::new(kernel))
        })
    })
}

/// The program with another model than the kernel's: what `make` returns for the name that the user gave.
pub fn main_with(make: impl FnOnce(Option<&str>) -> MakeModel) -> ExitCode {
    let cli = Cli::parse();
    let make = make(cli.model.as_deref());
    let code = run(&cli, make).unwrap_or_else(|failure| {
        complain!("lsh: {}", failure.message);
        failure.exit
    });
    ExitCode::from(code)
}

fn run(cli: &Cli, make: MakeModel) -> Result<u8, Failure> {
    let program = program(cli.shell.as_deref());
    let shell = Shell::of(&program);
    let known = shell.unwrap_or(Shell::Bash);
    if cli.not_found {
        let words: Vec<String> = cli
            .words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        if let Some(text) = widget::not_found(&words, known) {
            once::print(&text)?;
        }
        return Ok(0);
    }
    if let Some(command) = &cli.explain {
        return once::explain(command, known, cli.json);
    }
    let worker = Worker::new(make, cli.timeout);
    if let Some(kind) = &cli.widget {
        let text = once::request(&cli.words)?;
        let line = widget::Line {
            kind: kind.clone(),
            text,
            shell: known,
            last: last(cli),
        };
        let answer = widget::run(&line, &worker)?;
        once::print(&answer)?;
        return Ok(0);
    }
    if cli.dry_run || cli.json {
        let request = once::request(&cli.words)?;
        return once::propose(&request, known, cli.json, &worker);
    }
    if !cli.words.is_empty() {
        return Err(Failure::usage(
            "a request on the command line needs --dry-run or --json",
        ));
    }
    if std::env::var_os("LSH").is_some() {
        return Err(Failure::usage("this is lsh already; exit ends it"));
    }
    let options = terminal::Options {
        program,
        shell,
        key: cli.key,
        quiet: cli.quiet,
    };
    terminal::run(&options, &worker)
}

/// The command before, as the shell's script tells it.
fn last(cli: &Cli) -> Option<command::Last> {
    let command = cli.last.clone().filter(|last| !last.trim().is_empty())?;
    Some(command::Last {
        command,
        status: cli.status?,
        error: None,
    })
}

/// The shell to run: the one that was asked for, the user's, or one that there is.
fn program(asked: Option<&OsStr>) -> OsString {
    if let Some(asked) = asked {
        return asked.to_owned();
    }
    let own = std::env::var_os("SHELL").filter(|shell| {
        // lsh as the shell of a user must run another one.
        !shell.is_empty() && !std::path::Path::new(shell).ends_with("lsh")
    });
    own.unwrap_or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let there = |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
        ["bash", "zsh", "fish"]
            .into_iter()
            .find(there)
            .unwrap_or("sh")
            .into()
    })
}
