// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-eval diagnosis`: answers about machines whose trouble is known.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use llamux_assistant::answer::Picking;
use llamux_assistant::Model;
use llamux_eval::diagnosis;

use super::Progress;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How findings are picked
    #[arg(long, value_enum, default_value = "veto")]
    picking: PickingName,
    /// Only machines whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only the first question of each machine
    #[arg(long)]
    first: bool,
    /// The questions that nothing is tuned by
    #[arg(long)]
    held_out: bool,
    /// Only every Nth question
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    #[command(flatten)]
    progress: Progress,
    /// Write all that was asked and judged to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How findings are picked.
#[derive(Clone, Copy, clap::ValueEnum)]
enum PickingName {
    /// By their rank alone
    Rank,
    /// By the model alone
    Model,
    /// By their rank, and the model may leave some out
    Veto,
}

pub(crate) fn run(model: &mut dyn Model, args: &Args) -> Result<()> {
    let how = match args.picking {
        PickingName::Rank => Picking::Rank,
        PickingName::Model => Picking::Model,
        PickingName::Veto => Picking::Veto,
    };
    let mut cases = match args.held_out {
        false => diagnosis::cases()?,
        true => diagnosis::held_out()?,
    };
    cases.retain(|case| {
        let only = args.only.as_deref();
        only.is_none_or(|only| case.machine.contains(only))
    });
    if args.first {
        cases.dedup_by(|next, case| next.machine == case.machine);
    }
    // CAST: A step of 32 bits.
    let cases: Vec<_> = cases.into_iter().step_by(args.every as usize).collect();
    let mut done = args.progress.of(cases.len());
    let all = diagnosis::judge(Some(model), how, &cases, &mut |judged| {
        done.one();
        if !judged.right {
            let expected = judged.expected.as_deref().unwrap_or("nothing");
            println!(
                "failed: {}: {:?}: expected {expected}, got {}",
                judged.machine,
                judged.question,
                judged.picked.join(", ")
            );
        }
        for (text, because) in &judged.rejected {
            println!("replaced: {}: {text:?}: {because}", judged.machine);
        }
    });
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_string_pretty(&all)?)
            .with_context(|| path.display().to_string())?;
    }
    println!("{}", diagnosis::summary(&all));
    Ok(())
}
