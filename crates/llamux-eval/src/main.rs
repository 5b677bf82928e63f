// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Asks a model by hand, as the assistant asks it.

mod cli;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use llamux_assistant::{Model as _, Request};
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
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
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
    Diagnosis(cli::diagnosis::Args),
    /// Have commands of the shell proposed, and judge them by what they do in a sandbox
    Command(cli::command::Args),
    /// Judge which action is chosen
    Action(cli::action::ActionArgs),
    /// Judge whether names that others chose change an action
    Injection(cli::action::Args),
    /// Measure how long it takes until a command is proposed
    Time(cli::time::Args),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut model = Host::load(&cli.model, cli.threads)?;
    match cli.subject {
        Subject::Ask { system, question } => {
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
        Subject::Diagnosis(args) => cli::diagnosis::run(&mut model, &args)?,
        Subject::Command(args) => cli::command::run(&mut model, &args)?,
        Subject::Action(args) => cli::action::run(&mut model, &args)?,
        Subject::Injection(args) => cli::action::run_injection(&mut model, &args)?,
        Subject::Time(args) => cli::time::run(&mut model, &args)?,
    }
    Ok(())
}
