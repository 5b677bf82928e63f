// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the shell completions of `llamux-setup` into a directory:
//! `cargo run -p llamux-setup --example completions -- DIRECTORY`.

use std::error::Error;

use clap::CommandFactory as _;
use clap_complete::Shell;
use llamux_setup::cli::Cli;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or("usage: completions DIRECTORY")?;
    std::fs::create_dir_all(&directory)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let mut command = Cli::command();
        let path = clap_complete::generate_to(shell, &mut command, "llamux-setup", &directory)?;
        println!("{}", path.display());
    }
    Ok(())
}
