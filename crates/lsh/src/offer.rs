// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A command for a request, offered where there is no shell that waits for it: what `llama` does with one.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use llamux_assistant::command::{Proposal, ProposeError};

use crate::console::Console;
use crate::shells::{Answer, Shell};
use crate::worker::{MakeModel, Place, Task, Worker};
use crate::{dialogue, once, paint};

/// What a user chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// To run this command, which is on the screen.
    Run(String),
    /// To change this command first.
    Edit(String),
    /// To run nothing.
    Nothing,
}

/// Whoever is asked for commands, and the user's shell, which runs them.
pub struct Offer {
    worker: Worker,
    program: OsString,
}

impl Offer {
    /// Asks what `make` returns; no answer takes longer than `timeout`.
    pub fn new(make: MakeModel, timeout: Duration) -> Self {
        Self {
            worker: Worker::new(make, timeout),
            program: crate::program(None),
        }
    }

    /// The shell that commands are written for.
    fn shell(&self) -> Shell {
        Shell::of(&self.program).unwrap_or(Shell::Bash)
    }

    /// The command for a request. Nothing is shown, and nothing is run.
    pub fn proposal(&self, request: &str) -> Result<Proposal, ProposeError> {
        once::proposal(request, self.shell(), &self.worker)
    }

    /// Shows the command for a request on the terminal, and asks what to do with it; `None` if standard input and
    /// output are no terminal.
    pub fn choose(&self, request: &str) -> io::Result<Option<Result<Chosen, ProposeError>>> {
        let Some(mut console) = Console::standard()? else {
            return Ok(None);
        };
        let task = Task::Propose(request.to_owned());
        let place = Place::here(self.shell());
        let answer = dialogue::ask(&mut console, &self.worker, task, &place);
        Ok(Some(answer.map(|answer| match answer {
            Answer::Run(command) => {
                // A shell would have it on its line.
                dialogue::say(&mut console, &paint::command(&command));
                Chosen::Run(command)
            }
            Answer::Edit(command) => Chosen::Edit(command),
            Answer::Yes | Answer::No | Answer::Drop | Answer::Back => Chosen::Nothing,
        })))
    }

    /// Has the user's shell run a command in the place of this process; returns only if that fails.
    pub fn run(&self, command: &str) -> io::Error {
        // A command is no option, whatever it begins with.
        let command = format!(" {command}");
        let error = Command::new(&self.program).arg("-c").arg(command).exec();
        let shell = self.program.to_string_lossy();
        io::Error::new(error.kind(), format!("{shell}: {error}"))
    }
}
