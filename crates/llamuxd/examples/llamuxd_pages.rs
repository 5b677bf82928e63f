// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the manual page and the shell completions of `llamuxd` into a directory:
//! `cargo run -p llamuxd --example llamuxd_pages -- DIRECTORY`.

use std::error::Error;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use llamuxd::cli::{Cli, EXAMPLES, EXIT_STATUS, FILES, SIGNALS};
use roff::{bold, roman, Roff};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or("usage: llamuxd_pages DIRECTORY")?;
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    let path = directory.join("llamuxd.8");
    std::fs::write(&path, page()?)?;
    println!("{}", path.display());
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let path = clap_complete::generate_to(shell, &mut Cli::command(), "llamuxd", directory)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn page() -> Result<Vec<u8>, Box<dyn Error>> {
    let man = Man::new(Cli::command())
        .section("8")
        .date("")
        .source(concat!("llamuxd ", env!("CARGO_PKG_VERSION")))
        .manual("Llamux");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let mut examples = Roff::new();
    examples.control("SH", ["EXAMPLES"]);
    for (what, command) in EXAMPLES {
        examples.control("PP", []);
        examples.text([roman(what)]);
        examples.control("PP", []);
        examples.control("RS", ["4"]);
        examples.text([bold(command)]);
        examples.control("RE", []);
    }
    examples.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    tagged("SIGNALS", &SIGNALS).to_writer(&mut page)?;
    tagged("EXIT STATUS", &EXIT_STATUS).to_writer(&mut page)?;
    tagged("FILES", &FILES).to_writer(&mut page)?;
    let mut see_also = Roff::new();
    see_also.control("SH", ["SEE ALSO"]);
    see_also.text([
        bold("llamuxd.toml"),
        roman("(5), "),
        bold("llama"),
        roman("(1), "),
        bold("llamux"),
        roman("(7)"),
    ]);
    see_also.to_writer(&mut page)?;
    Ok(page)
}

/// A section of names with what they mean.
fn tagged(title: &str, entries: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (name, meaning) in entries {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*meaning)]);
    }
    roff
}
