// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Diagnosis: machines whose trouble is known, and questions that people would ask there.
//!
//! An answer is right if the first finding that it names is of the machine's cause, or if it names none where nothing is
//! wrong. Whether a shown sentence has a figure that no finding has is judged here by other means than those that let
//! it through.

use anyhow::{Context as _, Result};
use llamux_assistant::answer::{self, Answer, Author, Picking};
use llamux_assistant::Model;
use llamux_facts::finding::Cause;
use llamux_facts::{machines, Facts, Finding, Severity};
use serde::{Deserialize, Serialize};

/// A question on a machine whose trouble is known.
#[derive(Clone, Debug)]
pub struct Case {
    /// The machine's name.
    pub machine: String,
    /// What was read from it.
    pub facts: Facts,
    /// What its user asks.
    pub question: String,
    /// What may be named first; nothing where nothing is wrong.
    pub accept: Vec<Cause>,
}

/// Machines and questions of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tasks {
    machine: Vec<Changed>,
}

/// One of [`machines`], changed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    name: String,
    base: String,
    #[serde(default)]
    patch: json_patch::Patch,
    question: Vec<Question>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    ask: String,
    accept: Vec<Cause>,
}

/// The questions that [`machines`] have, and those beside.
pub fn cases() -> Result<Vec<Case>> {
    let own = machines::all().flat_map(|machine| {
        machine.questions.iter().map(move |question| Case {
            machine: machine.name.to_owned(),
            facts: machine.facts.clone(),
            question: (*question).to_owned(),
            accept: machine.cause.into_iter().collect(),
        })
    });
    let mut cases: Vec<_> = own.collect();
    cases.extend(changed(include_str!("../tasks/diagnosis.toml"))?);
    Ok(cases)
}

/// The questions that are held out.
pub fn held_out() -> Result<Vec<Case>> {
    changed(include_str!("../tasks/diagnosis-held-out.toml"))
}

fn changed(text: &str) -> Result<Vec<Case>> {
    let all: Tasks = toml::from_str(text)?;
    let mut cases = vec![];
    for changed in all.machine {
        let name = changed.name;
        let base = machines::all().find(|machine| machine.name == changed.base);
        let base = base.with_context(|| format!("{name}: there is no {}", changed.base))?;
        let mut facts = serde_json::to_value(&base.facts)?;
        json_patch::patch(&mut facts, &changed.patch).with_context(|| name.clone())?;
        let facts: Facts = serde_json::from_value(facts).with_context(|| name.clone())?;
        cases.extend(changed.question.into_iter().map(|question| Case {
            machine: name.clone(),
            facts: facts.clone(),
            question: question.ask,
            accept: question.accept,
        }));
    }
    Ok(cases)
}

/// One question, answered and judged.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// The machine.
    pub machine: String,
    /// The question.
    pub question: String,
    /// The cause of its trouble; none where nothing is wrong.
    pub expected: Option<String>,
    /// The ids of the findings that were picked.
    pub picked: Vec<String>,
    /// The answer, sentence by sentence.
    pub sentences: Vec<String>,
    /// Whether the right cause was named first.
    pub right: bool,
    /// Sentences that the model worded.
    pub by_model: usize,
    /// What the model wrote and nobody was shown, each with the reason.
    pub rejected: Vec<(String, String)>,
    /// Figures in what was shown that no finding has.
    pub wrong_figures: Vec<String>,
    /// Seconds until the model's first word.
    pub first_seconds: Option<f64>,
    /// Seconds until the end.
    pub seconds: f64,
}

/// Asks all questions, without a model as code alone answers them, and hands over each as it is judged.
pub fn judge(
    mut model: Option<&mut dyn Model>,
    how: Picking,
    cases: &[Case],
    each: &mut dyn FnMut(&Judged),
) -> Vec<Judged> {
    let mut out = vec![];
    for case in cases {
        let findings = llamux_facts::findings(&case.facts);
        let answer = answer::answer(
            model.as_deref_mut().map(|model| model as &mut dyn Model),
            &case.question,
            &findings,
            how,
            &mut |_| true,
        );
        let judged = judged(case, &findings, &answer);
        each(&judged);
        out.push(judged);
    }
    out
}

fn judged(case: &Case, findings: &[Finding], answer: &Answer) -> Judged {
    let picked: Vec<&Finding> = answer
        .picked
        .iter()
        .filter_map(|id| findings.iter().find(|finding| finding.id == *id))
        .collect();
    let right = match picked.first() {
        Some(first) if !case.accept.is_empty() => case.accept.contains(&first.cause),
        // What is good to know may be told.
        first => {
            case.accept.is_empty() && first.is_none_or(|first| first.severity < Severity::Warning)
        }
    };
    let expected: Vec<_> = case.accept.iter().map(|cause| cause.name()).collect();
    let rejected = answer
        .sentences
        .iter()
        .filter_map(|sentence| sentence.instead_of.as_ref());
    Judged {
        machine: case.machine.clone(),
        question: case.question.clone(),
        expected: (!expected.is_empty()).then(|| expected.join(" or ")),
        picked: answer.picked.clone(),
        sentences: answer
            .sentences
            .iter()
            .map(|sentence| sentence.text.clone())
            .collect(),
        right,
        by_model: answer
            .sentences
            .iter()
            .filter(|sentence| sentence.by == Author::Model)
            .count(),
        rejected: rejected
            .map(|rejected| (rejected.text.clone(), rejected.because.clone()))
            .collect(),
        wrong_figures: answer
            .sentences
            .iter()
            .flat_map(|sentence| wrong_figures(&sentence.text, &picked))
            .collect(),
        first_seconds: answer.first.map(|first| first.as_secs_f64()),
        seconds: answer.elapsed.as_secs_f64(),
    }
}

/// The numbers of a text that are in no figure and no wording of these findings.
fn wrong_figures(text: &str, findings: &[&Finding]) -> Vec<String> {
    let mut known: Vec<String> = vec![];
    for finding in findings {
        known.extend([finding.title.clone(), finding.explanation.clone()]);
        known.extend(finding.subjects.iter().map(ToString::to_string));
        for evidence in &finding.evidence {
            known.push(evidence.what.clone());
            known.extend(evidence.value.spellings());
        }
    }
    let known: Vec<String> = known.iter().flat_map(|text| numbers(text)).collect();
    numbers(text)
        .into_iter()
        .filter(|number| !known.contains(number))
        .collect()
}

/// The numbers of a text, as they are written.
fn numbers(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .map(|number| number.trim_matches(['.', ',']).to_owned())
        .filter(|number| number.bytes().any(|byte| byte.is_ascii_digit()))
        .collect()
}

/// The closing line.
pub fn summary(all: &[Judged]) -> String {
    let right = all.iter().filter(|judged| judged.right).count();
    let sentences: usize = all.iter().map(|judged| judged.sentences.len()).sum();
    let by_model: usize = all.iter().map(|judged| judged.by_model).sum();
    let rejected: usize = all.iter().map(|judged| judged.rejected.len()).sum();
    let wrong: usize = all.iter().map(|judged| judged.wrong_figures.len()).sum();
    let mut first: Vec<f64> = all
        .iter()
        .filter_map(|judged| judged.first_seconds)
        .collect();
    let mut whole: Vec<f64> = all.iter().map(|judged| judged.seconds).collect();
    format!(
        "diagnosis: right cause first {right} of {} ({:.2}); {sentences} sentences, {by_model} of the model, {rejected} of its replaced; \
         {wrong} wrong figures shown; median {:.2} s to the first word, {:.2} s in all",
        all.len(),
        ratio(right, all.len()),
        median(&mut first),
        median(&mut whole),
    )
}

fn ratio(part: usize, all: usize) -> f64 {
    // CAST: a few hundred at most.
    part as f64 / all.max(1) as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What code knows without a model is what an answer begins with.
    #[test]
    fn code_alone_finds_most_causes_and_has_no_figure_of_its_own() {
        let all = judge(None, Picking::Rank, &cases().unwrap(), &mut |judged| {
            if !judged.right {
                println!(
                    "{}: {:?}: expected {:?}, got {:?}",
                    judged.machine, judged.question, judged.expected, judged.picked
                );
            }
        });
        assert!(all.iter().all(|judged| judged.wrong_figures.is_empty()));
        let right = all.iter().filter(|judged| judged.right).count();
        println!("{}", summary(&all));
        assert!(
            all.len() >= 130 && ratio(right, all.len()) >= 0.9,
            "{}",
            summary(&all)
        );
    }

    #[test]
    fn machines_have_what_is_asked_about_and_what_is_held_out_is_new() {
        let (known, held_out) = (cases().unwrap(), held_out().unwrap());
        assert!(held_out.len() >= 50, "{}", held_out.len());
        for case in &held_out {
            let same = |known: &Case| known.question == case.question || known.facts == case.facts;
            let mut known = known.iter();
            assert!(!known.any(same), "{}: {}", case.machine, case.question);
        }
        for case in known.iter().chain(&held_out) {
            let (machine, question) = (&case.machine, &case.question);
            let found = llamux_facts::findings(&case.facts);
            let ids: Vec<_> = found.iter().map(|f| (&f.id, f.severity)).collect();
            let right = if case.accept.is_empty() {
                found.iter().all(|found| found.severity < Severity::Warning)
            } else {
                let there = |cause: &Cause| found.iter().any(|found| found.cause == *cause);
                case.accept.iter().any(there)
            };
            assert!(right, "{machine}: {question}: {ids:?}");
        }
    }

    #[test]
    fn numbers_are_found_as_they_are_written() {
        assert_eq!(
            numbers("At 61 %, 15.6 GiB (sda1), 1,024."),
            ["61", "15.6", "1", "1,024"]
        );
        assert!(numbers("no, none.").is_empty());
    }
}
