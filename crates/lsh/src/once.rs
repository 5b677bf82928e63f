// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `lsh` prints where it is no terminal: a command, or what one means.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};

use llamux_assistant::command::{self, danger, Context, Part, Problem, Proposal, Reason};
use llamux_usage::complain;
use serde::Serialize;

use crate::shells::Shell;
use crate::worker::{Outcome, Place, Task, Worker};
use crate::Failure;

/// Most bytes of a request.
const MOST: usize = 4096;

/// The request: its words, or standard input.
pub(crate) fn request(words: &[OsString]) -> Result<String, Failure> {
    let not_text = || Failure::usage("the request is not UTF-8");
    let mut text = String::new();
    if words == ["-"] {
        let mut bytes = Vec::new();
        // One more than may be taken, to see whether there is more.
        let mut input = io::stdin().lock().take(MOST as u64 + 1);
        input
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::io("standard input", &error))?;
        text = match String::from_utf8(bytes) {
            Ok(text) => text,
            // The last character may have been cut.
            Err(error) if error.utf8_error().error_len().is_none() => {
                let valid = error.utf8_error().valid_up_to();
                String::from_utf8(error.as_bytes()[..valid].to_vec()).map_err(|_| not_text())?
            }
            Err(_) => return Err(not_text()),
        };
    } else {
        for word in words {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word.to_str().ok_or_else(not_text)?);
        }
    }
    if text.len() > MOST {
        let mut end = MOST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        complain!("lsh: the request is cut after {MOST} bytes");
    }
    Ok(text)
}

/// The command for a request that is made here.
pub(crate) fn proposal(
    request: &str,
    shell: Shell,
    worker: &Worker,
) -> Result<Proposal, command::ProposeError> {
    if request.trim().is_empty() {
        return Err(command::ProposeError::Empty);
    }
    let task = Task::Propose(request.to_owned());
    match worker.begin(task, Place::here(shell), None).wait() {
        Outcome::Proposal(proposal) => Ok(*proposal),
        Outcome::Failed(error) => Err(error),
        Outcome::Fix(_) | Outcome::Parts(_) => Err(command::ProposeError::Cancelled),
    }
}

/// Prints the command for a request.
pub(crate) fn propose(
    request: &str,
    shell: Shell,
    json: bool,
    worker: &Worker,
) -> Result<u8, Failure> {
    let proposal = proposal(request, shell, worker)?;
    if json {
        print_json(&proposal)?;
    } else {
        print(&proposal.command)?;
        tell(&proposal);
    }
    Ok(if proposal.unverified.is_empty() { 0 } else { 6 })
}

/// What should be known about a command that is on standard output.
fn tell(proposal: &Proposal) {
    for problem in &proposal.unverified {
        complain!("lsh: not verified: {problem}");
    }
    for note in &proposal.notes {
        complain!("lsh: {note}");
    }
}

/// What is known about a command.
#[derive(Serialize)]
struct Explained<'a> {
    command: &'a str,
    description: String,
    danger: command::Danger,
    reasons: Vec<Reason>,
    parts: Vec<Part>,
    problems: Vec<Problem>,
}

/// Prints what a command does.
pub(crate) fn explain(line: &str, shell: Shell, json: bool) -> Result<u8, Failure> {
    if line.trim().is_empty() {
        return Err(Failure::usage("there is no command to explain"));
    }
    let context = Context::here(shell.into());
    let judgement = danger::judge_in(&context, line);
    let explained = Explained {
        command: line,
        description: command::summary(&context, line),
        danger: judgement.danger,
        reasons: judgement.reasons,
        parts: command::describe(&context, line),
        problems: command::check(&context, line),
    };
    if json {
        print_json(&explained)?;
        return Ok(0);
    }
    let mut text = format!("{}\n{}", explained.description, explained.danger);
    for (at, reason) in explained.reasons.iter().enumerate() {
        text += if at == 0 { ": " } else { "; " };
        text += &reason.what;
    }
    text += "\n";
    let shown = |part: &Part| part.depth.min(8) * 2 + part.text.chars().count();
    let width = explained.parts.iter().map(shown).max().unwrap_or(0).min(30);
    for part in &explained.parts {
        let indent = "  ".repeat(part.depth.min(8));
        let name = format!("{indent}{}", part.text);
        text += match &part.meaning {
            Some(meaning) => format!("  {name:<width$}  {meaning}\n"),
            None => format!("  {name}\n"),
        }
        .as_str();
    }
    for problem in &explained.problems {
        text += &format!("{problem}\n");
    }
    print(&text)?;
    Ok(0)
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::other("JSON", &error))?;
    print(&text)
}

/// Prints a text and the end of its line. Whoever does not read it to its end has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let result = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end.as_bytes()));
    match result.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("standard output", &error))
        }
        _ => Ok(()),
    }
}
