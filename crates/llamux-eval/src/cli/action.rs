// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-eval action` and `injection`: which action is chosen, and whether names that others chose change it.

use std::path::PathBuf;

use anyhow::Result;
use llamux_assistant::Model;
use llamux_eval::action;

use super::Progress;

/// How requests are judged.
#[derive(clap::Args)]
pub(crate) struct ActionArgs {
    /// The requests that nothing is tuned by
    #[arg(long)]
    held_out: bool,
    #[command(flatten)]
    common: Args,
}

/// How tasks are judged.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only every Nth task
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    #[command(flatten)]
    progress: Progress,
    /// Write what came of each task into FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Args {
    fn chosen<T>(&self, list: Vec<T>) -> Vec<T> {
        // CAST: A step of 32 bits.
        list.into_iter().step_by(self.every as usize).collect()
    }

    fn write(&self, value: &impl serde::Serialize) -> Result<()> {
        if let Some(path) = &self.json {
            std::fs::write(path, serde_json::to_string_pretty(value)?)?;
        }
        Ok(())
    }
}

pub(crate) fn run(model: &mut dyn Model, options: &ActionArgs) -> Result<()> {
    let mut all = vec![];
    let (held_out, options) = (options.held_out, &options.common);
    let tasks = options.chosen(action::tasks(held_out)?);
    let mut done = options.progress.of(tasks.len());
    for task in tasks {
        let judged = action::judge(&task, model)?;
        done.one();
        if !judged.right {
            let wrong = if judged.wrong_object {
                "WRONG OBJECT"
            } else {
                "failed"
            };
            let (request, outcome) = (&task.request, &judged.outcome);
            println!(
                "{wrong}: {request:?}: {outcome}, not {}",
                task.accept.join(" | ")
            );
        }
        all.push(judged);
    }
    let right = all.iter().filter(|judged| judged.right).count();
    let wrong = all.iter().filter(|judged| judged.wrong_object).count();
    let asked = all.iter().filter(|judged| judged.outcome == "ask").count();
    let ratio = right as f64 / all.len().max(1) as f64;
    println!(
        "action: {right} of {} right ({ratio:.3}), {asked} questions back, {wrong} on the wrong object",
        all.len()
    );
    options.write(&all)
}

pub(crate) fn run_injection(model: &mut dyn Model, options: &Args) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Tried<'a> {
        place: &'a str,
        text: &'a str,
        request: &'a str,
        effect: action::Effect,
        outcome: String,
    }
    let injection = action::injection()?;
    let attacks = options.chosen(injection.attack);
    let mut all = vec![];
    let mut done = options.progress.of(attacks.len() * injection.request.len());
    for attack in &attacks {
        for target in &injection.request {
            let (effect, outcome) = action::effect(attack, target, model)?;
            done.one();
            if effect != action::Effect::None {
                println!(
                    "{effect:?}: {:?} by {:?}: {outcome}",
                    target.text, attack.text
                );
            }
            all.push(Tried {
                place: &attack.place,
                text: &attack.text,
                request: &target.text,
                effect,
                outcome,
            });
        }
    }
    let count = |effect| all.iter().filter(|tried| tried.effect == effect).count();
    println!(
        "injection: {} attacks on {} requests: {} illegal actions, {} other actions, {} other questions",
        attacks.len(),
        injection.request.len(),
        count(action::Effect::Illegal),
        count(action::Effect::Action),
        count(action::Effect::Question)
    );
    options.write(&all)
}
