// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the assistant does with the kernel's model behind it.

use std::fs;

use anyhow::{bail, Context as _, Result};
use serde::Deserialize;

use super::{Found, Lab};
use crate::kernel::Target;
use crate::model;
use crate::run::Boot;

/// What `llama --here --json` prints, as far as it is looked at.
#[derive(Deserialize)]
struct Answer {
    sentences: Vec<Sentence>,
    findings: Vec<Finding>,
    figures: Vec<String>,
}

#[derive(Deserialize)]
struct Finding {
    title: String,
    explanation: String,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
}

/// A machine on which a service is kept from memory by its limit.
const MACHINE: &str = "crates/llamux-facts/machines/oom-limit.json";

/// Asks the booted kernel about a recorded machine: whatever its model says, each figure that is shown is one of the
/// findings.
pub(super) fn answers_about_a_machine(lab: &Lab<'_>) -> Result<Found> {
    let overlay = lab.cx.root.join("target/llamux/machine");
    fs::create_dir_all(&overlay)?;
    fs::copy(lab.cx.root.join(MACHINE), overlay.join("machine.json"))?;
    let script = "llama --here --facts /machine.json --json \"why is my system slow?\" && \
                  llama --here --facts /machine.json --json \"what was killed, and why?\" && \
                  llama explain --json exit status 203 && llama why --json /init";
    let model = model::find(lab.cx, None)?;
    let mut boot = Boot::new(Target::Uml, lab.source, script);
    boot.model = Some(&model);
    boot.overlay = Some(&overlay);
    let outcome = boot.run(lab.cx)?;
    let status = outcome.status()?;
    if status != 0 {
        bail!("llama failed with status {status}: {}", outcome.output);
    }
    let lines: Vec<&str> = outcome
        .output
        .lines()
        .filter(|line| line.starts_with('{'))
        .collect();
    let mut found = Found::default();
    for (at, question) in ["why is it slow", "what was killed"].iter().enumerate() {
        let line = lines
            .get(at)
            .context("there are fewer answers than questions")?;
        let answer: Answer =
            serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        found.test(question, figures(&answer));
    }
    for (at, part) in [(2, "could not run the program"), (3, "is a file of")] {
        let line = lines
            .get(at)
            .context("there are fewer answers than questions")?;
        found.test(
            part,
            if line.contains(part) {
                Ok(())
            } else {
                Err(anyhow::anyhow!("not in {line}"))
            },
        );
    }
    Ok(found)
}

/// Whether there is an answer, and each number in it is in the findings.
fn figures(answer: &Answer) -> Result<()> {
    if answer.sentences.is_empty() {
        bail!("nothing was said");
    }
    let mut known = answer.figures.join("\n");
    for finding in &answer.findings {
        known += &format!("\n{}\n{}", finding.title, finding.explanation);
    }
    for sentence in &answer.sentences {
        let numbers = sentence
            .text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|number| !number.is_empty());
        for number in numbers {
            if !known.contains(number) {
                bail!("no finding has {number}: {}", sentence.text);
            }
        }
    }
    Ok(())
}
