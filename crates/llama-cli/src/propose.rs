// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama "find big files in my home"`: a command of the shell, offered on a terminal and printed elsewhere.

use std::time::Duration;

use llamux_actions::printable;
use llamux_assistant::command::Proposal;
use llamux_assistant::Kernel;
use lsh::{Chosen, Offer};
use rustyline::error::ReadlineError;

use crate::act::failed;
use crate::cli::Ask;
use crate::{chat, output, Exit, Failure};

/// How long the model may take, if nothing else is said.
const TIME: Duration = Duration::from_secs(60);

/// Offers the command for a request.
pub(crate) fn run(request: &str, options: &Ask) -> Result<Exit, Failure> {
    let kernel = Kernel {
        model: options.model.clone(),
        no_wait: options.no_wait,
    };
    let make: lsh::MakeModel = Box::new(move || Ok(Box::new(kernel)));
    let offer = Offer::new(make, options.timeout.unwrap_or(TIME));
    if !options.json && !options.dry_run {
        let chosen = offer.choose(request);
        if let Some(chosen) = chosen.map_err(|error| Failure::io("the terminal", &error))? {
            let command = match chosen? {
                Chosen::Run(command) => Some(command),
                Chosen::Edit(command) => edited(&command)?,
                Chosen::Nothing => None,
            };
            let command = command.ok_or_else(|| failed("nothing was run".to_owned()))?;
            return Err(failed(offer.run(&command).to_string()));
        }
    }
    let proposal = offer.proposal(request)?;
    if options.json {
        // PANIC: Strings, numbers and lists always serialize.
        output::print(&serde_json::to_string(&proposal).expect("an object of plain values"))?;
    } else {
        output::print(&text(&proposal))?;
    }
    Ok(match proposal.unverified.is_empty() {
        true => Exit::Success,
        false => Exit::Found,
    })
}

/// The command, and what is known about it in comments of the shell.
fn text(proposal: &Proposal) -> String {
    let mut text = proposal.command.trim_end().to_owned();
    let mut comment = |line: &str| text += &format!("\n# {}", printable(line, 300));
    let mut danger = proposal.danger.name().to_owned();
    if let Some(reason) = proposal.reasons.first() {
        danger += &format!(": {}", reason.what);
    }
    comment(&format!("{} ({danger})", proposal.description));
    for problem in &proposal.unverified {
        comment(&format!("not verified: {problem}"));
    }
    for note in &proposal.notes {
        comment(note);
    }
    text
}

/// What the user makes of a command; nothing if it is given up.
fn edited(command: &str) -> Result<Option<String>, Failure> {
    let mut editor = rustyline::DefaultEditor::new().map_err(chat::terminal)?;
    match editor.readline_with_initial("$ ", (command, "")) {
        Ok(line) => Ok(Some(line).filter(|line| !line.trim().is_empty())),
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => Ok(None),
        Err(error) => Err(chat::terminal(error)),
    }
}

#[cfg(test)]
mod tests {
    use llamux_assistant::command::{Cost, Danger, Problem, ProblemKind, Reason};

    use super::*;

    #[test]
    fn all_but_the_command_are_comments() {
        let proposal = Proposal {
            command: "frob a\nrm b\n".to_owned(),
            description: "Run frob, delete files".to_owned(),
            danger: Danger::NeedsCare,
            reasons: vec![Reason {
                span: 7..9,
                what: "deletes files".to_owned(),
                danger: Danger::NeedsCare,
            }],
            notes: vec!["a note\nrm -rf /".to_owned()],
            unverified: vec![Problem {
                span: 0..4,
                kind: ProblemKind::NotInstalled {
                    program: "frob\nreboot".to_owned(),
                    install: None,
                },
            }],
            cost: Cost::default(),
        };
        let text = text(&proposal);
        let (commands, comments) = text.split_at(text.find("\n#").unwrap());
        assert_eq!(commands, "frob a\nrm b");
        let comments: Vec<_> = comments.trim().lines().collect();
        assert_eq!(comments.len(), 3, "{comments:?}");
        assert!(comments.iter().all(|line| line.starts_with("# ")));
        assert_eq!(
            comments[0],
            "# Run frob, delete files (needs-care: deletes files)"
        );
    }
}
