// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-eval diagnosis`: answers about machines whose trouble is known.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use llamux_assistant::answer::Picking;
use llamux_assistant::Model;
use llamux_eval::diagnosis;

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
    let only = args.only.as_deref();
    let all = diagnosis::judge(Some(model), how, only, args.first, &mut |judged| {
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
