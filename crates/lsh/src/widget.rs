// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the key of `llama shell-init` runs: the dialogue below the line of a shell that runs without lsh.

use llamux_assistant::command::{self, Context, Last};

use crate::console::Console;
use crate::dialogue;
use crate::sentence;
use crate::shells::{Answer, Message, Shell};
use crate::worker::{Place, Task, Worker};
use crate::Failure;

/// What the shell says.
pub(crate) struct Line {
    /// What it wants: the letter of a message.
    pub(crate) kind: String,
    /// The line.
    pub(crate) text: String,
    /// The shell.
    pub(crate) shell: Shell,
    /// The command before.
    pub(crate) last: Option<Last>,
}

/// Holds the dialogue, and returns what the shell is to do.
pub(crate) fn run(line: &Line, worker: &Worker) -> Result<String, Failure> {
    let task = match Message::new(&format!("{}{}", line.kind, line.text)) {
        Some(Message::Request(request)) => Task::Propose(request),
        Some(Message::Complete(typed)) => Task::Complete(typed),
        Some(Message::Fix) => Task::Fix,
        _ => {
            return Err(Failure::usage(
                "--widget is for the script of llama shell-init",
            ))
        }
    };
    let console = Console::controlling();
    let mut console = console.map_err(|error| Failure::io("/dev/tty", &error))?;
    let place = Place {
        last: line.last.clone(),
        ..Place::here(line.shell)
    };
    let held = dialogue::hold(&mut console, worker, task, &place);
    match console.gone() {
        Some(_) => Ok(Answer::Drop.text()),
        None => Ok(held.answer.text()),
    }
}

/// What to say about a line whose first word is no command; nothing if there is nothing to say.
pub(crate) fn not_found(words: &[String], shell: Shell) -> Option<String> {
    let first = words.first()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    if sentence::reads_like_one(&words.join(" "), &|| sentence::programs(&path)) {
        let text = match std::env::var_os("LSH") {
            Some(_) => "lsh: this reads like a sentence: a ? before it has it turned into a command",
            None => {
                "llama: this reads like a sentence: get it back, and press the key of llama shell-init \
                 (Alt-L) to have it turned into a command"
            }
        };
        return Some(text.to_owned());
    }
    let found = command::not_found(&Context::here(shell.into()), first);
    let mut lines = Vec::new();
    if !found.similar.is_empty() {
        lines.push(format!(
            "llama: did you mean {}?",
            found.similar.join(" or ")
        ));
    }
    if let Some(install) = &found.install {
        lines.push(format!("llama: {first} can be installed: {install}"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}
