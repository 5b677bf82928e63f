// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Answers of booted kernels, next to those of the host engine.

use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use serde::Deserialize;

use super::{host_engine, Found, Lab, Level};
use crate::kernel::Target;
use crate::model::{self, Model};
use crate::run::{quoted, Boot};
use crate::sh;

/// What `llama --json` prints, as far as it is compared.
#[derive(Deserialize)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) prompt_tokens: u64,
    pub(crate) tokens: u64,
}

/// What `llamux-host generate --json` prints, as far as it is compared.
#[derive(Deserialize)]
pub(super) struct Generated {
    prompt_tokens: Vec<u64>,
    tokens: Vec<u64>,
    pub(super) text: String,
}

/// A prompt that all kinds of tokens follow.
pub(super) const PROMPTS: &[&str; 3] = &[
    "The capital of France is",
    "def fibonacci(n):\n    \"\"\"Returns the n-th number.\"\"\"\n",
    "Once upon a time, in a land far away, there was",
];

pub(super) fn answers_uml(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let mut found = answers(lab, Target::Uml, &model, PROMPTS, 48)?;
    found.add(embeddings(lab, &model)?);
    if lab.level == Level::All {
        let larger = model::find(lab.cx, Some("qwen2.5-coder-1.5b"))?;
        found.add(answers(lab, Target::Uml, &larger, &PROMPTS[..2], 32)?);
    }
    Ok(found)
}

pub(super) fn answers_x86_64(lab: &Lab<'_>) -> Result<Found> {
    answers(
        lab,
        Target::X86_64,
        &model::find(lab.cx, None)?,
        &PROMPTS[..1],
        16,
    )
}

/// Asks the booted kernel and the host engine the same, both without chance.
fn answers(
    lab: &Lab<'_>,
    target: Target,
    model: &Model,
    prompts: &[&str],
    tokens: u32,
) -> Result<Found> {
    let script = script(prompts, tokens);
    let mut boot = Boot::new(target, lab.source, &script);
    boot.model = Some(model);
    // Software emulation of a processor is slow.
    boot.timeout = Some(Duration::from_secs(1200));
    let outcome = boot.run(lab.cx)?;
    let status = outcome.status()?;
    if status != 0 {
        bail!("llama failed with status {status}: {}", outcome.output);
    }
    compare(lab, model, (prompts, tokens), &outcome.output)
}

/// A command that asks all of this, and ends with the name of the kernels that computed it.
pub(super) fn script(prompts: &[&str], tokens: u32) -> String {
    let ask = "llama --json --raw --temperature 0 --max-tokens";
    let asked = prompts
        .iter()
        .map(|prompt| format!("{ask} {tokens} -- {} && ", quoted(prompt)));
    asked.collect::<String>() + "sed -n 's/^kernels: //p' /proc/llamux/status"
}

/// Compares what that command printed with what the host engine says.
pub(super) fn compare(
    lab: &Lab<'_>,
    model: &Model,
    (prompts, tokens): (&[&str], u32),
    output: &str,
) -> Result<Found> {
    // An emulated processor has not all instructions of the host's. Other ones add in another order, and
    // between two words that are about as likely this decides.
    let (answers, kernels) = output
        .trim()
        .rsplit_once('\n')
        .context("there are no answers")?;
    let mut lines = answers.lines();
    let mut found = Found::default();
    for prompt in prompts {
        let line = lines
            .next()
            .context("there are fewer answers than questions")?;
        let asked: Asked =
            serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let expected = generate(lab, model, (prompt, true), tokens, kernels)?;
        found.test(&format!("{prompt:?}"), same(&asked, &expected));
    }
    Ok(found)
}

/// Has the booted kernel and the host engine make vectors of the same texts.
fn embeddings(lab: &Lab<'_>, model: &Model) -> Result<Found> {
    let texts = PROMPTS.map(quoted).join(" ");
    let script = format!(
        "llama embed --model {} -- {texts} || exit\n\
         sed -n 's/^kernels: //p' /proc/llamux/status\n",
        model.name
    );
    let mut boot = Boot::new(Target::Uml, lab.source, &script);
    boot.model = Some(model);
    let outcome = boot.run(lab.cx)?;
    if outcome.status()? != 0 {
        bail!("llama failed: {}", outcome.output);
    }
    let (vectors, kernels) = outcome
        .output
        .trim_end()
        .rsplit_once('\n')
        .context("there are no vectors")?;
    let mut host = sh::cmd(host_engine(lab.cx)?);
    host.arg("embed").arg("--model").arg(&model.file);
    host.args(["--threads", "2", "--kernels", kernels]);
    for text in PROMPTS {
        host.args(["--text", text]);
    }
    sh::announce(&host);
    let read = |lines: &str| -> Result<Vec<Vec<f32>>> {
        let line = |line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"));
        lines.lines().map(line).collect()
    };
    let (vectors, expected) = (read(vectors)?, read(&sh::read(&mut host)?)?);
    let mut found = Found::default();
    for (index, prompt) in PROMPTS.iter().enumerate() {
        let (vector, expected) = (vectors.get(index), expected.get(index));
        found.test(
            &format!("the vector of {prompt:?}"),
            match vector.is_some() && vector == expected {
                true => Ok(()),
                false => Err(anyhow::anyhow!("not what the host engine says")),
            },
        );
    }
    Ok(found)
}

pub(super) fn same(asked: &Asked, expected: &Generated) -> Result<()> {
    if asked.prompt_tokens != expected.prompt_tokens.len() as u64 {
        bail!(
            "{} prompt tokens, the host engine has {}",
            asked.prompt_tokens,
            expected.prompt_tokens.len()
        );
    }
    if asked.text != expected.text || asked.tokens != expected.tokens.len() as u64 {
        bail!(
            "{} tokens {:?}, the host engine says {} tokens {:?}",
            asked.tokens,
            asked.text,
            expected.tokens.len(),
            expected.text
        );
    }
    Ok(())
}

/// The host engine's answer to a prompt, as it stands (`raw`) or in the model's chat format.
pub(super) fn generate(
    lab: &Lab<'_>,
    model: &Model,
    (prompt, raw): (&str, bool),
    tokens: u32,
    kernels: &str,
) -> Result<Generated> {
    let mut host = sh::cmd(host_engine(lab.cx)?);
    host.arg("generate").arg("--model").arg(&model.file);
    host.args(["--prompt", prompt, "--json"]);
    if raw {
        host.arg("--raw");
    }
    host.args(["--temperature", "0", "--threads", "2"]);
    host.args(["--max-tokens", &tokens.to_string(), "--kernels", kernels]);
    sh::announce(&host);
    let text = sh::read(&mut host)?;
    serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
}
