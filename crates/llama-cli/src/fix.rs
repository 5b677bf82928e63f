// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama fix`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use llamux_assistant::command::{self, Context, Fix, Last, ProposeError};
use llamux_assistant::Kernel;
use llamux_usage::complain;

use crate::cli::FixOptions;
use crate::{output, Exit, Failure};

/// Most bytes of what a command wrote: its end says why it failed.
const OUTPUT: usize = 1 << 13;

pub(crate) fn run(options: &FixOptions) -> Result<Exit, Failure> {
    let line = options.words.join(" ");
    if line.trim().is_empty() {
        return Err(Failure::usage(
            "there is no command to fix: give it as in `llama fix --status 1 -- COMMAND`, or have \
             `llama shell-init` remember the last one",
        ));
    }
    let error = match &options.output {
        Some(path) => Some(end_of(path)?),
        None => None,
    };
    let mut context = Context::here(command::Shell::Bash);
    context.last = Some(Last {
        command: line,
        // A command of which nobody asks why it worked.
        status: options.status.unwrap_or(1),
        error,
    });
    let fix = command::fix(&mut Kernel::default(), &context, &mut |_| true)?;
    if options.json {
        // PANIC: Strings, numbers and lists always serialize.
        output::print(&serde_json::to_string(&fix).expect("an object of plain values"))?;
    } else {
        output::print(&text(&fix))?;
    }
    Ok(Exit::Success)
}

/// What a person reads.
fn text(fix: &Fix) -> String {
    let mut text = fix.explanation.trim_end().to_owned();
    if let Some(proposal) = &fix.proposal {
        text += &format!(
            "\n\n  {}\n\n{} ({})",
            proposal.command.replace('\n', "\n  "),
            proposal.description,
            proposal.danger.name()
        );
        for problem in &proposal.unverified {
            text += &format!("\nnot verified: {problem}");
        }
        for note in &proposal.notes {
            text += &format!("\n{note}");
        }
    }
    text
}

/// The end of a file, or of standard input for "-".
fn end_of(path: &Path) -> Result<String, Failure> {
    let name = path.display().to_string();
    let failure = |error: io::Error| Failure::io(&name, &error);
    let mut input: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(failure)?),
    };
    let mut end = Vec::new();
    let mut buffer = [0; 1 << 16];
    let mut cut = false;
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failure(error)),
        };
        end.extend_from_slice(&buffer[..read]);
        let over = end.len().saturating_sub(OUTPUT);
        cut |= over > 0;
        end.drain(..over);
    }
    if cut {
        complain!("llama: of {name}, only the last {OUTPUT} bytes are looked at");
    }
    Ok(String::from_utf8_lossy(&end).into_owned())
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Model(error) => error.into(),
            ProposeError::Empty => Self::usage(error.to_string()),
            _ => Self {
                exit: Exit::Failure,
                message: error.to_string(),
            },
        }
    }
}
