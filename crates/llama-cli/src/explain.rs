// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama explain`: what a log, an error message or a code means.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _};
use std::path::Path;

use llamux_assistant::explain::{self, Explanation};
use llamux_assistant::{why, Kernel};
use llamux_facts::{text, Quantity};

use crate::cli::{Ask, ExplainOptions};
use crate::{ask, here, interrupt, output, Exit, Failure};

/// Texts with more lines than this are cut in what is shown.
const FEW: u64 = 20;

pub(crate) fn run(options: &ExplainOptions) -> Result<Exit, Failure> {
    let explanation = read(options)?;
    let several = options.words.len() > 1 && !options.words.iter().any(|word| word == "-");
    if several && explanation.items.is_empty() && explanation.unknown.is_empty() {
        let model = options.model.as_deref();
        let question = Ask::beginning_with("explain", &options.words, model, options.json)?;
        return ask::run(&question);
    }
    if explanation.lines == 0 && explanation.items.is_empty() {
        return Err(Failure::usage(
            "there is nothing to explain: the input is empty",
        ));
    }
    interrupt::end_answer_on_sigint();
    let mut kernel = Kernel {
        model: options.model.clone(),
        no_wait: false,
    };
    if options.json {
        let answer = explanation.in_other_words(&mut kernel, &mut |_| !interrupt::happened());
        let object = serde_json::json!({ "explanation": explanation, "sentences": answer.sentences, "rejected": answer.rejected });
        output::print(&object.to_string())?;
        return Ok(here::finished(answer));
    }
    let mut out = output::Stream::default();
    if !out.part(&known(&explanation)) {
        return out.finish().map(|()| Exit::Success);
    }
    let mut first = true;
    let answer = explanation.in_other_words(&mut kernel, &mut |sentence| {
        let space = if std::mem::take(&mut first) {
            "\nIn the model's words: "
        } else {
            " "
        };
        out.part(&format!("{space}{}", text::shown(&sentence.text))) && !interrupt::happened()
    });
    out.finish()?;
    Ok(here::finished(answer))
}

fn read(options: &ExplainOptions) -> Result<Explanation, Failure> {
    if let Some(unit) = &options.unit {
        let journal = why::journal(unit)?;
        return explain::read(&mut journal.as_slice()).map_err(|error| Failure::io(unit, &error));
    }
    let stdin = io::stdin();
    match options.words.as_slice() {
        [] if stdin.is_terminal() => Err(Failure::usage(
            "nothing to explain (name a file or an error, or pipe a log into it; llama explain --help)",
        )),
        [] => explain::read(&mut stdin.lock()).map_err(|error| Failure::io("standard input", &error)),
        [word] if word == "-" => explain::read(&mut stdin.lock()).map_err(|error| Failure::io("standard input", &error)),
        [word] if Path::new(word).exists() => {
            let name = text::shown(&word.to_string_lossy());
            let file = File::open(word).map_err(|error| Failure::io(&name, &error))?;
            explain::read(&mut BufReader::new(file)).map_err(|error| Failure::io(&name, &error))
        }
        words => {
            let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
            Ok(explain::words(&words.join(" ")))
        }
    }
}

/// What is known, line by line.
fn known(explanation: &Explanation) -> String {
    let mut out = String::new();
    if explanation.lines > FEW {
        let size = Quantity::Bytes(explanation.bytes);
        let cut = if explanation.cut {
            ", all that is read of it"
        } else {
            ""
        };
        out += &format!(
            "Of {} lines ({size}{cut}) these say something:\n\n",
            explanation.lines
        );
    }
    for item in &explanation.items {
        if let Some(line) = &item.line {
            out += &format!("> {line}\n");
        }
        if item.times > 1 {
            out += &format!("  ({} times, or much alike)\n", item.times);
        }
        out += &format!("  {}\n", item.meaning);
        if !item.advice.is_empty() {
            out += &format!("  {}\n", item.advice);
        }
    }
    if explanation.items.is_empty() {
        out += "Nothing in it is known here.\n";
        for line in explanation.open_lines() {
            out += &format!("> {line}\n");
        }
    }
    out
}
