// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the manual pages and the shell completions of all programs into a directory:
//! `cargo run -p llamux-pages -- DIRECTORY`.
//!
//! What is in them comes from the programs' command lines and from the `Usage` next to each.

mod llama;
mod page;

use std::error::Error;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use page::{Page, Written};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or("usage: llamux-pages DIRECTORY")?;
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    for (name, page) in pages()? {
        let path = directory.join(name);
        std::fs::write(&path, page)?;
        println!("{}", path.display());
    }
    for mut command in programs() {
        let name = command.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let path = clap_complete::generate_to(shell, &mut command, &name, directory)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// The command lines of all programs.
fn programs() -> [Command; 6] {
    [
        llama_cli::cli::Cli::command(),
        llama_mon::cli::Cli::command(),
        llamux_backend::cli::Cli::command(),
        llamux_setup::cli::Cli::command(),
        llamuxd::cli::Cli::command(),
        lsh::cli::Cli::command(),
    ]
}

/// All pages. That of llamux-setup is written by hand.
fn pages() -> Result<Written, Box<dyn Error>> {
    let mut pages = llama::pages()?;
    let mut related = vec![("llama-fix", 1), ("llama-shell-init", 1)];
    related.extend(lsh::cli::USAGE.see_also);
    let lsh = llamux_usage::Usage {
        see_also: &related,
        ..lsh::cli::USAGE
    };
    let synopsis = [
        ("lsh", "[OPTION]..."),
        ("lsh", "--dry-run [--json] REQUEST..."),
        ("lsh", "--explain COMMAND [--json]"),
    ];
    let mut add = |command: Command, section, synopsis, usage| -> std::io::Result<()> {
        let name = format!("{}.{section}", command.get_name());
        let page = Page {
            synopsis,
            ..Page::new(command, section, usage)
        };
        pages.push((name, page.text()?));
        Ok(())
    };
    add(lsh::cli::Cli::command(), 1, &synopsis, lsh)?;
    add(
        llama_mon::cli::Cli::command(),
        1,
        &[],
        llama_mon::cli::USAGE,
    )?;
    add(llamuxd::cli::Cli::command(), 8, &[], llamuxd::cli::USAGE)?;
    add(
        llamux_backend::cli::Cli::command(),
        8,
        &[],
        llamux_backend::cli::USAGE,
    )?;
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sections that a page may have, in their order.
    const SECTIONS: [&str; 11] = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "EXAMPLES",
        "OPTIONS",
        "JSON",
        "SIGNALS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "SEE ALSO",
    ];

    #[test]
    fn sections_are_in_order() {
        let pages = pages().unwrap();
        assert_eq!(pages.len(), 17);
        for (name, page) in &pages {
            let page = std::str::from_utf8(page).unwrap();
            let sections: Vec<_> = page
                .lines()
                .filter_map(|line| line.strip_prefix(".SH "))
                .map(|title| title.trim_matches('"'))
                .collect();
            let expected: Vec<_> = SECTIONS
                .into_iter()
                .filter(|&section| match section {
                    "EXAMPLES" => {
                        !name.contains('-') && name != "llamux-backend.8" || name == "llama-mon.1"
                    }
                    "ENVIRONMENT" => matches!(name.as_str(), "lsh.1" | "llama-mon.1"),
                    "JSON" => name == "llama-mon.1",
                    "SIGNALS" => name == "llamuxd.8",
                    _ => true,
                })
                .collect();
            assert_eq!(sections, expected, "{name}");
        }
    }

    #[test]
    fn every_option_is_in_the_page() {
        let pages = pages().unwrap();
        for command in programs() {
            let name = command.get_name();
            let page = pages
                .iter()
                .find(|(file, _)| file.rsplit_once('.').is_some_and(|(stem, _)| stem == name));
            let Some((_, page)) = page else {
                assert_eq!(name, "llamux-setup");
                continue;
            };
            let page = std::str::from_utf8(page).unwrap();
            for arg in command.get_arguments() {
                if let Some(long) = arg.get_long() {
                    let long = format!("\\-\\-{}", long.replace('-', "\\-"));
                    assert_eq!(page.contains(&long), !arg.is_hide_set(), "{name}: {long}");
                }
            }
        }
    }

    #[test]
    fn keys_of_the_monitor_and_signals_of_the_server_are_told() {
        let pages = pages().unwrap();
        for (file, word) in [
            ("llama-mon.1", "cache_hit_percent"),
            ("llamuxd.8", "SIGHUP"),
        ] {
            let (_, page) = pages.iter().find(|(name, _)| name == file).unwrap();
            assert!(std::str::from_utf8(page).unwrap().contains(word), "{file}");
        }
    }
}
