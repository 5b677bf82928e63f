// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the manual page and the shell completions of `llama-mon` into a directory:
//! `cargo run -p llama-mon --example llama-mon-pages -- DIRECTORY`.

use std::error::Error;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use llama_mon::cli::{Cli, ENVIRONMENT, EXAMPLES, EXIT_STATUS, FILES, JSON_KEYS, SEE_ALSO};
use roff::{bold, roman, Inline, Roff};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or("usage: llama-mon-pages DIRECTORY")?;
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    let path = directory.join("llama-mon.1");
    std::fs::write(&path, page()?)?;
    println!("{}", path.display());
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let path = clap_complete::generate_to(shell, &mut Cli::command(), "llama-mon", directory)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn page() -> Result<Vec<u8>, Box<dyn Error>> {
    // The help has these as plain text; the page has sections of its own.
    let man = Man::new(Cli::command().after_long_help(""))
        .date("")
        .source(concat!("llama-mon ", env!("CARGO_PKG_VERSION")))
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
    tagged("JSON", JSON_KEYS).to_writer(&mut page)?;
    let codes = EXIT_STATUS.map(|(code, meaning)| (code.to_string(), meaning));
    let codes = codes
        .iter()
        .map(|(code, meaning)| (code.as_str(), *meaning));
    tagged("EXIT STATUS", codes).to_writer(&mut page)?;
    tagged("ENVIRONMENT", ENVIRONMENT).to_writer(&mut page)?;
    tagged("FILES", FILES).to_writer(&mut page)?;
    see_also().to_writer(&mut page)?;
    Ok(page)
}

/// A section of names with what they mean.
fn tagged<'a>(title: &str, entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (name, meaning) in entries {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(meaning)]);
    }
    roff
}

fn see_also() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line: Vec<Inline> = Vec::new();
    for (name, section) in SEE_ALSO {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(name), roman(format!("({section})"))]);
    }
    roff.text(line);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_in_order_and_options_and_keys_are_there() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        let sections: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|title| title.trim_matches('"'))
            .collect();
        let expected = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "EXAMPLES",
            "OPTIONS",
            "JSON",
            "EXIT STATUS",
            "ENVIRONMENT",
            "FILES",
            "SEE ALSO",
        ];
        assert_eq!(sections, expected);
        for arg in Cli::command().get_arguments() {
            if let Some(long) = arg.get_long() {
                assert!(page.contains(&format!("\\-\\-{long}")), "--{long}");
            }
        }
        assert!(page.contains("cache_hit_percent"));
    }
}
