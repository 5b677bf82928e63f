// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Asks a model by hand, as the assistant asks it.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use llamux_assistant::answer::Picking;
use llamux_assistant::{Model as _, Request};
use llamux_eval::diagnosis;
use llamux_eval::host::Host;

/// Measures how good the answers of a model are.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The GGUF file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Threads to compute with [default: one for each processor]
    #[arg(long, value_name = "K")]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask a question behind a system prompt
    Ask {
        /// The system prompt
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "You are a helpful assistant."
        )]
        system: String,
        /// The question
        question: String,
    },
    /// Ask what is the matter with machines whose trouble is known
    Diagnosis {
        /// How findings are picked
        #[arg(long, value_enum, default_value = "veto")]
        picking: PickingName,
        /// Only machines whose name contains this
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Only the first question of each machine
        #[arg(long)]
        first: bool,
        /// Writes all that was asked and judged to FILE
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
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

fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut model = Host::load(&cli.model, cli.threads)?;
    match cli.command {
        Command::Ask { system, question } => {
            let reply = model.ask(&Request::new(system, question), &mut |text| {
                print!("{text}");
                std::io::stdout().flush().is_ok()
            })?;
            println!();
            eprintln!(
                "{} tokens before, first part after {:?}, {} tokens in {:?}",
                reply.prompt_tokens,
                reply.first.unwrap_or_default(),
                reply.tokens,
                reply.elapsed
            );
        }
        Command::Diagnosis {
            picking,
            only,
            first,
            json,
        } => {
            let how = match picking {
                PickingName::Rank => Picking::Rank,
                PickingName::Model => Picking::Model,
                PickingName::Veto => Picking::Veto,
            };
            let all = diagnosis::judge(
                Some(&mut model),
                how,
                only.as_deref(),
                first,
                &mut |judged| {
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
                },
            );
            if let Some(path) = json {
                std::fs::write(&path, serde_json::to_string_pretty(&all)?)
                    .with_context(|| path.display().to_string())?;
            }
            println!("{}", diagnosis::summary(&all));
        }
    }
    Ok(())
}
