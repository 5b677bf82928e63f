// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama chat`: a conversation, line by line.

use std::fs;
use std::path::PathBuf;

use llamux::{Error, Role, Session, StopReason};
use llamux_usage::complain;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::Editor;

use crate::cli::ChatOptions;
use crate::{ask, interrupt, Exit, Failure};

/// Lines that are kept for later conversations.
const HISTORY: usize = 1000;

/// The line that begins a new conversation.
const RESET: &str = "/reset";

pub(crate) fn run(options: &ChatOptions) -> Result<Exit, Failure> {
    let command = ask::parameters(&options.choice)?;
    let session = match &options.model {
        Some(model) => ask::session_with(model, true)?,
        None => Session::open()?,
    };
    begin(&session, options)?;
    let config = rustyline::Config::builder()
        .max_history_size(HISTORY)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(terminal)?
        .auto_add_history(true)
        .build();
    let mut editor: Editor<(), FileHistory> = Editor::with_config(config).map_err(terminal)?;
    let path = history();
    if let Some(path) = &path {
        // There is none at first.
        let _ = editor.load_history(path);
    }
    let result = converse(&session, options, &command, &mut editor);
    if let Some(path) = &path {
        if path
            .parent()
            .is_some_and(|dir| fs::create_dir_all(dir).is_ok())
        {
            // A conversation is worth more than its history.
            let _ = editor.save_history(path);
        }
    }
    result
}

fn converse(
    session: &Session,
    options: &ChatOptions,
    command: &llamux::Command,
    editor: &mut Editor<(), FileHistory>,
) -> Result<Exit, Failure> {
    loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            // The line is given up, as in a shell.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(Exit::Success),
            Err(error) => return Err(terminal(error)),
        };
        if line.trim().is_empty() {
            continue;
        }
        if line.trim() == RESET {
            session.reset()?;
            begin(session, options)?;
            continue;
        }
        interrupt::end_answer_on_sigint();
        match ask::stream(session, &command.clone().with_prompt(line)) {
            Ok(answer) if answer.stop_reason == StopReason::Cancelled => (),
            Ok(answer) => {
                if let Some(note) = ask::note(&answer, &options.choice) {
                    complain!("llama: {note}");
                }
            }
            Err(failure) if failure.exit == Exit::Interrupted => (),
            // The conversation goes on without this question.
            Err(failure) if failure.exit == Exit::Failure => complain!("llama: {failure}"),
            Err(failure) => return Err(failure),
        }
    }
}

/// Says what comes before the first question.
fn begin(session: &Session, options: &ChatOptions) -> Result<(), Error> {
    match &options.system {
        Some(system) => session.say(Role::System, system),
        None => Ok(()),
    }
}

/// Where lines are kept, if that is known.
fn history() -> Option<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("llama/history"))
}

pub(crate) fn terminal(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => Failure::io("standard input", &error),
        error => Failure {
            exit: Exit::Failure,
            message: format!("the terminal: {error}"),
        },
    }
}
