// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the key of `llama shell-init` runs: the dialogue below the line of a shell that runs without lsh.

use llamux_assistant::command::Last;

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
        shell: line.shell.into(),
        cwd: std::env::current_dir().unwrap_or_else(|_| "/".into()),
        last: line.last.clone(),
        history: vec![],
    };
    let held = dialogue::hold(&mut console, worker, task, &place);
    match console.gone() {
        Some(_) => Ok(Answer::Drop.text()),
        None => Ok(held.answer.text()),
    }
}

/// What to say about a line whose first word is no command; nothing if there is nothing to say.
pub(crate) fn not_found(words: &[String]) -> Option<String> {
    let first = words.first()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = sentence::programs(&path);
    if sentence::reads_like_one(&words.join(" "), &|| programs.clone()) {
        let inside = std::env::var_os("LSH").is_some();
        return Some(match inside {
            true => "lsh: this reads like a sentence: a ? before it has it turned into a command"
                .to_owned(),
            false => "llama: this reads like a sentence: get it back, and press the key of \
                      llama shell-init (Alt-L) to have it turned into a command"
                .to_owned(),
        });
    }
    let similar = sentence::similar(first, &programs);
    (!similar.is_empty()).then(|| format!("llama: did you mean {}?", similar.join(" or ")))
}
