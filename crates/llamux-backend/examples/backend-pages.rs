// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the manual page and the shell completions of `llamux-backend` into a directory:
//! `cargo run -p llamux-backend --example backend-pages -- DIRECTORY`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use llamux_backend::cli::{Cli, EXIT_STATUS, FILES};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or("usage: backend-pages DIRECTORY")?;
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    let path = directory.join("llamux-backend.8");
    std::fs::write(&path, page()?)?;
    println!("{}", path.display());
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let mut command = Cli::command();
        let path = clap_complete::generate_to(shell, &mut command, "llamux-backend", directory)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn page() -> Result<Vec<u8>, Box<dyn Error>> {
    let man = Man::new(Cli::command())
        .section("8")
        .date("")
        .source(concat!("llamux-backend ", env!("CARGO_PKG_VERSION")))
        .manual("Llamux");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut rest = String::from(".SH \"EXIT STATUS\"\n");
    for (code, meaning) in EXIT_STATUS {
        write!(rest, ".TP\n\\fB{code}\\fR\n{}\n", escaped(meaning))?;
    }
    rest += ".SH FILES\n";
    for (file, what) in FILES {
        write!(rest, ".TP\n\\fB{}\\fR\n{}\n", escaped(file), escaped(what))?;
    }
    rest += ".SH \"SEE ALSO\"\n\\fBllama\\fR(1), \\fBllama_command\\fR(2), \\fBllamux\\fR(7)\n";
    page.extend(rest.into_bytes());
    Ok(page)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_page() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        for arg in Cli::command().get_arguments() {
            if let Some(long) = arg.get_long() {
                let long = long.replace('-', "\\-");
                assert!(page.contains(&format!("\\-\\-{long}")), "--{long}");
            }
        }
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FILES"] {
            assert!(page.contains(&format!(".SH {section}\n")), "{section}");
        }
    }
}
