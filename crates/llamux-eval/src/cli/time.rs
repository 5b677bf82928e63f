// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-eval time`: how long it takes until a command is proposed.

use std::fs;
use std::path::PathBuf;

use anyhow::{bail, Context as _, Result};
use llamux_eval::command::Sandbox;
use llamux_eval::host::Host;
use llamux_eval::time::{measure, replay, Report};

use super::Progress;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many of the command tasks to ask for
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Ask the same as in FILE, which --json wrote for another model, and have as much answered
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    like: Option<PathBuf>,
    #[command(flatten)]
    progress: Progress,
    /// Write what was asked, as text and as tokens, and what it took, to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(model: &mut Host, args: &Args) -> Result<()> {
    let report = match &args.like {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let like: Report = serde_json::from_str(&text)
                .with_context(|| format!("{} is not what `time --json` wrote", path.display()))?;
            let mut done = args.progress.of(like.requests.len());
            replay(model, &like, &mut |_| done.one())?
        }
        None if !Sandbox::works() => {
            bail!("bubblewrap makes no sandbox here: install it, and allow user namespaces")
        }
        None => {
            let mut done = args.progress.of(args.count as usize);
            measure(model, args.count as usize, &mut |_| done.one())?
        }
    };
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_string(&report)?)
            .with_context(|| path.display().to_string())?;
    }
    let sorted = |of: fn(&llamux_eval::time::Timed) -> f64| {
        let mut values: Vec<f64> = report.requests.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
        (at(values.len() / 2), at(values.len().saturating_sub(1)))
    };
    let (first, whole) = (
        sorted(|timed| timed.first_ms),
        sorted(|timed| timed.whole_ms),
    );
    println!(
        "time: {} requests: first word {:.0} ms (worst {:.0}), whole {:.0} ms (worst {:.0})",
        report.requests.len(),
        first.0,
        first.1,
        whole.0,
        whole.1
    );
    Ok(())
}
