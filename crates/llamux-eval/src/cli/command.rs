// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-eval command`: commands of the shell.

use std::fs;
use std::path::PathBuf;

use anyhow::{bail, Result};
use llamux_assistant::command::{propose, Context, Shell};
use llamux_assistant::Model;
use llamux_eval::command::{measure, tasks, Sandbox, Set};

use super::Progress;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the proposal for this request instead, as JSON
    #[arg(long, value_name = "REQUEST")]
    one: Option<String>,
    /// The tasks for tuning, which are in no table
    #[arg(long)]
    tuning: bool,
    /// The tasks that nothing is tuned by
    #[arg(long, conflicts_with = "tuning")]
    held_out: bool,
    /// Only tasks whose request has this text in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only every Kth task, for a quick look
    #[arg(long, value_name = "K", default_value_t = 1)]
    every: usize,
    /// Print every proposal, not only those that are wrong
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    progress: Progress,
    /// Write all results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(model: &mut dyn Model, args: &Args) -> Result<()> {
    if let Some(request) = &args.one {
        let context = Context::here(Shell::Bash);
        let proposal = propose(model, &context, request, &mut |_| true)?;
        println!("{}", serde_json::to_string_pretty(&proposal)?);
        return Ok(());
    }
    if !Sandbox::works() {
        bail!("bubblewrap makes no sandbox here: install it, and allow user namespaces");
    }
    let set = match (args.tuning, args.held_out) {
        (true, _) => Set::Tuning,
        (_, true) => Set::HeldOut,
        _ => Set::Judged,
    };
    let mut tasks = tasks(set)?;
    if let Some(text) = &args.only {
        tasks.retain(|task| task.ask.contains(text.as_str()));
    }
    let tasks: Vec<_> = tasks.into_iter().step_by(args.every.max(1)).collect();
    let mut done = args.progress.of(tasks.len());
    let report = measure(model, &tasks, &mut |result| {
        done.one();
        if !result.right || args.verbose {
            let mark = if result.right { "right" } else { "wrong" };
            println!(
                "{mark}: {}\n    {}\n    {:?}",
                result.ask, result.command, result.got
            );
        }
    })?;
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    println!(
        "command: {} tasks ({} by form), right at first {} ({:.2}), after the retry {} ({:.2}), invalid {}, misjudged {}",
        report.tasks,
        report.forms,
        report.right_first,
        report.right_first as f64 / report.tasks.max(1) as f64,
        report.right,
        report.right as f64 / report.tasks.max(1) as f64,
        report.invalid,
        report.misjudged,
    );
    println!(
        "first word {} ms (nine of ten: {}), whole {} ms (nine of ten: {}), {:.1} tokens",
        report.first_ms.0, report.first_ms.1, report.whole_ms.0, report.whole_ms.1, report.tokens,
    );
    Ok(())
}
