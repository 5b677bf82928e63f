// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Questions about this machine: `llama "why is my system slow?"`.

use std::path::Path;

use llamux_assistant::answer::{self, Answer, Author, Picking, Sentence};
use llamux_assistant::route::{self, Intent};
use llamux_assistant::Kernel;
use llamux_facts::{text, Facts, Finding};
use llamux_usage::complain;

use crate::cli::Ask;
use crate::{interrupt, output, Exit, Failure};

/// Most remedies that are named.
const REMEDIES: usize = 3;
/// Most figures of a finding that are shown; the most telling come first.
const FIGURES: usize = 4;

/// What a request wants. Whatever asks for the model's own text, or for a certain form of it, is a question to it.
pub(crate) fn intent(options: &Ask, question: &str) -> Intent {
    if options.here || options.facts.is_some() {
        return Intent::Diagnose;
    }
    if options.command {
        return Intent::Command;
    }
    let choice = &options.choice;
    let chosen = choice.max_tokens.is_some()
        || choice.temperature.is_some()
        || choice.top_k.is_some()
        || choice.top_p.is_some()
        || choice.min_p.is_some()
        || choice.repeat_penalty.is_some()
        || choice.seed != 0
        || choice.grammar.is_some();
    let read = options.words.is_empty() || options.words.iter().any(|word| word == "-");
    if options.plain || options.raw || options.json || options.timeout.is_some() || chosen || read {
        return Intent::General;
    }
    let mut kernel = kernel(options);
    // The words mostly decide, and then nobody is asked.
    let routed = route::route(question, &is_here, Some(&mut kernel));
    routed
        .or_else(|_| route::route(question, &is_here, None))
        .unwrap_or(Intent::General)
}

fn kernel(options: &Ask) -> Kernel {
    Kernel {
        model: options.model.clone(),
        no_wait: options.no_wait,
    }
}

/// Whether a word is the name of a process that runs, or of a service that is installed.
fn is_here(word: &str) -> bool {
    let service = |dir: &str| Path::new(dir).join(format!("{word}.service")).exists();
    if [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]
    .iter()
    .any(|dir| service(dir))
    {
        return true;
    }
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        std::fs::read(format!("/proc/{pid}/comm")).ok()
    });
    let mut names = names.map(|name| String::from_utf8_lossy(&name).trim_end().to_lowercase());
    names.any(|name| {
        let behind = name.strip_prefix(word);
        behind.is_some_and(|behind| !behind.starts_with(|c: char| c.is_ascii_alphabetic()))
    })
}

/// Answers out of what is found on this machine, or in a file of facts.
pub(crate) fn run(question: &str, options: &Ask) -> Result<Exit, Failure> {
    let facts = match &options.facts {
        Some(path) => {
            llamux_facts::read(path).map_err(|error| Failure::usage(error.to_string()))?
        }
        None => llamux_facts::collect(&llamux_facts::Options::default()),
    };
    let findings = llamux_facts::findings(&facts);
    interrupt::end_answer_on_sigint();
    let mut kernel = kernel(options);
    if options.json {
        let answer = answer::answer(
            Some(&mut kernel),
            question,
            &findings,
            Picking::default(),
            &mut |_| !interrupt::happened(),
        );
        output::print(&json(question, &facts, &findings, &answer))?;
        return Ok(finished(answer));
    }
    let mut out = output::Stream::default();
    let mut about = String::new();
    let answer = answer::answer(
        Some(&mut kernel),
        question,
        &findings,
        Picking::default(),
        &mut |sentence| {
            let space = between(&about, sentence);
            about.clone_from(&sentence.finding);
            out.part(&format!("{space}{}", text::shown(&sentence.text))) && !interrupt::happened()
        },
    );
    if answer.sentences.is_empty() && answer.picked.is_empty() {
        out.part(&unknown(&facts, &findings));
    } else {
        out.part(&behind(&findings, &answer));
    }
    out.finish()?;
    Ok(finished(answer))
}

/// What stands between two sentences.
fn between(about: &str, next: &Sentence) -> &'static str {
    match about {
        "" => "",
        about if about == next.finding => " ",
        _ => "\n\n",
    }
}

/// Says why the model had no part in an answer, if so.
pub(crate) fn finished(answer: Answer) -> Exit {
    if interrupt::happened() {
        return Exit::Interrupted;
    }
    let Some(error) = answer.without_model else {
        return Exit::Success;
    };
    complain!("llama: what was found is worded by no model: {error}");
    Failure::from(error).exit
}

/// The figures of the findings, and what could be done: both are code's own.
fn behind(findings: &[Finding], answer: &Answer) -> String {
    let picked: Vec<&Finding> = answer
        .picked
        .iter()
        .filter_map(|id| findings.iter().find(|finding| finding.id == *id))
        .collect();
    let mut out = String::from("\n\n");
    for finding in &picked {
        let figures: Vec<_> = finding
            .evidence
            .iter()
            .take(FIGURES)
            .map(|evidence| format!("{}: {}", evidence.what, evidence.value))
            .collect();
        out += &format!("  {}\n", text::shown(&figures.join("; ")));
    }
    let mut remedies: Vec<String> = vec![];
    for remedy in picked.iter().flat_map(|finding| &finding.remedies) {
        let remedy = text::shown(&remedy.to_string());
        if !remedies.contains(&remedy) {
            remedies.push(remedy);
        }
    }
    remedies.truncate(REMEDIES);
    if !remedies.is_empty() {
        out += &format!("  What could be done: {}\n", remedies.join(" "));
    }
    out
}

/// What is said where no finding answers.
fn unknown(facts: &Facts, findings: &[Finding]) -> String {
    let mut out = String::from("I do not know: ");
    out += match findings {
        [] => "I found nothing wrong with this machine.",
        _ => "nothing that I found answers this.",
    };
    out += &format!("\nI looked at {}.", answer::looked_at(facts).join(", "));
    if let [worst, ..] = findings {
        out += &format!("\nWhat I did find: {}", text::shown(&worst.title));
        if findings.len() > 1 {
            out += &format!(" (and {} more; llama doctor tells all)", findings.len() - 1);
        }
    }
    if !facts.missing.is_empty() {
        let missing: Vec<_> = facts
            .missing
            .iter()
            .take(3)
            .map(|missing| missing.what.as_str())
            .collect();
        out += &format!("\nI could not read {}.", text::shown(&missing.join(", ")));
    }
    out
}

fn json(question: &str, facts: &Facts, findings: &[Finding], answer: &Answer) -> String {
    let picked: Vec<_> = answer
        .picked
        .iter()
        .filter_map(|id| findings.iter().find(|finding| finding.id == *id))
        .collect();
    let figures = picked.iter().flat_map(|finding| &finding.evidence);
    let figures: Vec<_> = figures
        .map(|evidence| format!("{}: {}", evidence.what, evidence.value))
        .collect();
    let mut text = String::new();
    let mut about = "";
    for sentence in &answer.sentences {
        text += between(about, sentence);
        text += &sentence.text;
        about = &sentence.finding;
    }
    serde_json::json!({
        "question": question,
        "text": text,
        "sentences": answer.sentences,
        "findings": picked,
        "figures": figures,
        "found": findings.iter().map(|finding| &finding.id).collect::<Vec<_>>(),
        "looked_at": answer::looked_at(facts),
        "missing": facts.missing,
        "by_model": answer.sentences.iter().any(|sentence| sentence.by == Author::Model),
        "rejected": answer.rejected,
        "first_seconds": answer.first.map(|first| first.as_secs_f64()),
        "seconds": answer.elapsed.as_secs_f64(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn options_decide_before_words_do() {
        for (args, expected) in [
            (&["find big files in my home"][..], Intent::Command),
            (
                &["--model", "x", "--dry-run", "find big files in my home"],
                Intent::Command,
            ),
            (&["--command", "why is the sky blue?"], Intent::Command),
            (
                &["--command", "--json", "--timeout", "9", "list them"],
                Intent::Command,
            ),
            (&["--json", "find big files in my home"], Intent::General),
            (&["--raw", "find big files in my home"], Intent::General),
            (&["--plain", "find big files in my home"], Intent::General),
            (&["find big files in my home", "-"], Intent::General),
            (&["--here", "find big files in my home"], Intent::Diagnose),
            (&["why is the sky blue?"], Intent::General),
        ] {
            let cli = Cli::try_parse_from([&["llama"], args].concat()).unwrap();
            let question = args.last().unwrap();
            assert_eq!(intent(&cli.ask, question), expected, "{args:?}");
        }
    }
}
