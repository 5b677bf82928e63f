// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask`: fetches, patches and builds the kernel, boots it, asks it, and tests all of it.
//!
//! Every command prints the commands that it runs, may be repeated at will, and keeps what it
//! downloads or builds under `~/.cache/llamux`.

mod bench;
mod borrowed;
mod compiled;
mod context;
mod deb;
mod disk;
mod docs;
mod download;
mod eval;
mod initramfs;
mod iso;
mod kernel;
mod lock;
mod machine;
mod model;
mod package;
mod progress;
mod python;
mod run;
mod series;
mod setup;
mod sh;
mod test;
mod toolchain;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, boots and tests Llamux.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    max_term_width = 100
)]
struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    Setup(setup::Args),
    Kernel(kernel::Args),
    Model(model::Args),
    Run(run::Args),
    Series(series::Args),
    Test(test::Args),
    Bench(bench::Args),
    Eval(eval::Args),
    Iso(iso::Args),
    Tools(tools::Args),
    Package(package::Args),
    Docs(docs::Args),
    Python(python::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = context::Context::new().and_then(|cx| match args.command {
        Task::Setup(args) => setup::main(&cx, &args),
        Task::Kernel(args) => kernel::main(&cx, &args),
        Task::Model(args) => model::main(&cx, &args),
        Task::Run(args) => run::main(&cx, &args),
        Task::Series(args) => series::main(&cx, &args),
        Task::Test(args) => test::main(&cx, &args),
        Task::Bench(args) => bench::main(&cx, &args),
        Task::Eval(args) => eval::main(&cx, &args),
        Task::Iso(args) => iso::main(&cx, &args),
        Task::Tools(args) => tools::main(&cx, &args),
        Task::Package(args) => package::main(&cx, &args),
        Task::Docs(args) => docs::main(&cx, &args),
        Task::Python(args) => python::main(&cx, &args),
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
