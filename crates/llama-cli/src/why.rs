// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama why`: why a unit, a process or a file is as it is.

use llamux_assistant::answer::Author;
use llamux_assistant::why::{self, Notes, Target};
use llamux_assistant::Kernel;

use crate::cli::{Ask, WhyOptions};
use crate::{ask, here, interrupt, output, Exit, Failure};

impl From<why::Error> for Failure {
    fn from(error: why::Error) -> Self {
        Self {
            exit: Exit::Failure,
            message: error.to_string(),
        }
    }
}

pub(crate) fn run(options: &WhyOptions) -> Result<Exit, Failure> {
    let [what] = options.what.as_slice() else {
        let model = options.model.as_deref();
        return ask::run(&Ask::beginning_with(
            "why",
            &options.what,
            model,
            options.json,
        )?);
    };
    let target = match what.to_str() {
        Some(word) => why::target(word)?,
        // Nothing else has such names.
        None => Target::File(what.into()),
    };
    let notes = why::notes(&target)?;
    let question = format!("Why is {} as it is?", notes.about);
    interrupt::end_answer_on_sigint();
    let mut kernel = Kernel {
        model: options.model.clone(),
        no_wait: false,
    };
    if options.json {
        let answer = notes.in_words(&question, Some(&mut kernel), &mut |_| {
            !interrupt::happened()
        });
        let object = serde_json::json!({ "target": target, "notes": notes, "sentences": answer.sentences, "rejected": answer.rejected });
        output::print(&object.to_string())?;
        return Ok(here::finished(answer));
    }
    let mut out = output::Stream::default();
    let mut spoke = false;
    let answer = notes.in_words(&question, Some(&mut kernel), &mut |sentence| {
        // What code would say in its place stands below.
        if sentence.by == Author::Model {
            let space = if spoke { " " } else { "" };
            spoke = true;
            out.part(&format!("{space}{}", sentence.text));
        }
        !interrupt::happened()
    });
    if spoke {
        out.part("\n\n");
    }
    out.part(&facts(&notes));
    out.finish()?;
    Ok(here::finished(answer))
}

/// All that is known, below the model's words.
fn facts(notes: &Notes) -> String {
    let mut out = String::new();
    for fact in &notes.facts {
        out += &format!("{fact}\n");
    }
    for line in &notes.quoted {
        out += &format!("> {line}\n");
    }
    for advice in &notes.advice {
        out += &format!("What could be done: {advice}\n");
    }
    out
}
