// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the manual pages and the shell completions of `llama` and `lsh` into a directory:
//! `cargo run -p llama-cli --example generate -- DIRECTORY`.

use std::error::Error;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use llama_cli::cli::{Cli, EXAMPLES, EXIT_STATUS, FILES, SEE_ALSO};
use roff::{bold, roman, Inline, Roff};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or("usage: generate DIRECTORY")?;
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    for (name, page) in pages()? {
        let path = directory.join(name);
        std::fs::write(&path, page)?;
        println!("{}", path.display());
    }
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let path = clap_complete::generate_to(shell, &mut Cli::command(), "llama", directory)?;
        println!("{}", path.display());
        let mut lsh = lsh::cli::Cli::command();
        let path = clap_complete::generate_to(shell, &mut lsh, "lsh", directory)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// A manual page: file name and text.
type Page = (&'static str, Vec<u8>);

/// All manual pages.
fn pages() -> Result<Vec<Page>, Box<dyn Error>> {
    // The help has these as plain text; the page has sections of its own.
    let mut command = Cli::command().after_long_help("");
    command.build();
    let sub = |name: &str| -> Result<clap::Command, Box<dyn Error>> {
        let found = command.find_subcommand(name).ok_or("no such command")?;
        let found = found.clone().display_name(format!("llama-{name}"));
        Ok(found.bin_name(format!("llama {name}")))
    };
    let mut pages = vec![
        ("llama.1", main_page(command.clone())?),
        ("llama-status.1", status_page(sub("status")?)?),
        ("llama-chat.1", chat_page(sub("chat")?)?),
        ("llama-embed.1", embed_page(sub("embed")?)?),
        ("llama-doctor.1", doctor_page(sub("doctor")?)?),
        (
            "llama-why.1",
            found_page(sub("why")?, &["journalctl", "systemctl", "lsof"])?,
        ),
        (
            "llama-explain.1",
            found_page(sub("explain")?, &["journalctl", "dmesg"])?,
        ),
        ("llama-shell-init.1", shell_init_page(sub("shell-init")?)?),
        ("llama-fix.1", fix_page(sub("fix")?)?),
        ("lsh.1", lsh_page()?),
    ];
    for (name, _, file) in ACTIONS {
        pages.push((file, action_page(sub(name)?)?));
    }
    Ok(pages)
}

/// Commands that do something with the machine, and their pages.
const ACTIONS: [(&str, &str, &str); 4] = [
    ("do", "llama-do", "llama-do.1"),
    ("history", "llama-history", "llama-history.1"),
    ("undo", "llama-undo", "llama-undo.1"),
    ("profile", "llama-profile", "llama-profile.1"),
];

fn action_page(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let commands: Vec<_> = command
        .get_subcommands()
        .map(|sub| {
            let operand = match sub.get_positionals().next() {
                Some(_) => format!("{} NAME", sub.get_name()),
                None => sub.get_name().to_owned(),
            };
            let about = sub.get_about().map(ToString::to_string);
            (operand, format!("{}.", about.unwrap_or_default()))
        })
        .collect();
    let man = manual(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    list(&mut Roff::new(), &commands).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    let codes = [
        ("0", "It was done, or shown."),
        (
            "1",
            "It was not confirmed, not clear, or not possible, or failed in part.",
        ),
        ("2", "Wrong usage."),
    ];
    let owned = |(name, what): (&str, &str)| (name.to_owned(), what.to_owned());
    tagged("EXIT STATUS", &codes.map(owned)).to_writer(&mut page)?;
    let files = FILES
        .into_iter()
        .filter(|(file, _)| file.ends_with("jsonl") || file.ends_with("toml"))
        .map(owned);
    tagged("FILES", &files.collect::<Vec<_>>()).to_writer(&mut page)?;
    let others = ACTIONS.map(|(_, title, _)| (title, 1));
    see_also([("llama", 1)].iter().chain(&others)).to_writer(&mut page)?;
    Ok(page)
}

fn main_page(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let man = manual(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.text([bold("llama"), roman(" [OPTION]... [WORD]...")]);
    synopsis.control("br", []);
    synopsis.text([
        bold("llama status"),
        roman(" ["),
        bold("--json"),
        roman("]"),
    ]);
    synopsis.control("br", []);
    synopsis.text([bold("llama chat"), roman(" [OPTION]...")]);
    synopsis.control("br", []);
    synopsis.text([bold("llama embed"), roman(" [OPTION]... [TEXT]...")]);
    synopsis.control("br", []);
    synopsis.text([bold("llama doctor"), roman(" [OPTION]...")]);
    synopsis.control("br", []);
    synopsis.text([bold("llama why"), roman(" [OPTION]... UNIT|PID|FILE")]);
    synopsis.control("br", []);
    synopsis.text([bold("llama explain"), roman(" [OPTION]... [FILE|WORD]...")]);
    for (command, operands) in [
        ("llama do", " [OPTION]... WORD..."),
        ("llama history", " [OPTION]..."),
        ("llama undo", " [OPTION]... [NUMBER]"),
        ("llama profile", " COMMAND"),
        ("llama shell-init", " [OPTION]... SHELL"),
        ("llama fix", " [OPTION]... -- COMMAND"),
    ] {
        synopsis.control("br", []);
        synopsis.text([bold(command), roman(operands)]);
    }
    synopsis.to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    examples(&EXAMPLES).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    let codes = EXIT_STATUS.map(|(code, meaning)| (code.to_string(), meaning.to_owned()));
    tagged("EXIT STATUS", &codes).to_writer(&mut page)?;
    let files = FILES.map(|(file, what)| (file.to_owned(), what.to_owned()));
    tagged("FILES", &files).to_writer(&mut page)?;
    let own = [
        ("llama-chat", 1),
        ("llama-doctor", 1),
        ("llama-embed", 1),
        ("llama-explain", 1),
        ("llama-fix", 1),
        ("llama-shell-init", 1),
        ("llama-status", 1),
        ("llama-why", 1),
        ("lsh", 1),
    ];
    let actions = ACTIONS.map(|(_, title, _)| (title, 1));
    see_also(own.iter().chain(&actions).chain(&SEE_ALSO)).to_writer(&mut page)?;
    Ok(page)
}

/// The examples: what each does, and the command.
fn examples(examples: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (what, command) in examples {
        roff.control("PP", []);
        roff.text([roman(*what)]);
        roff.control("PP", []);
        roff.control("RS", ["4"]);
        roff.text([bold(*command)]);
        roff.control("RE", []);
    }
    roff
}

/// What the page of a subcommand begins with, its options included.
fn beginning(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let man = manual(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    Ok(page)
}

fn status_page(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = beginning(command)?;
    tagged(
        "EXIT STATUS",
        &[
            ("0".to_owned(), "The kernel can answer.".to_owned()),
            (
                "3".to_owned(),
                "The running kernel has no Llamux.".to_owned(),
            ),
            (
                "4".to_owned(),
                "The kernel has no model, or is still loading it.".to_owned(),
            ),
        ],
    )
    .to_writer(&mut page)?;
    let files = FILES
        .into_iter()
        .filter(|(file, _)| file.ends_with("status"))
        .map(|(file, what)| (file.to_owned(), what.to_owned()));
    let files: Vec<_> = files.collect();
    tagged("FILES", &files).to_writer(&mut page)?;
    see_also([("llama", 1)].iter().chain(&SEE_ALSO)).to_writer(&mut page)?;
    Ok(page)
}

fn chat_page(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = beginning(command)?;
    let codes = EXIT_STATUS
        .into_iter()
        .filter(|(code, _)| (1..=4).contains(code))
        .map(|(code, meaning)| (code.to_string(), meaning.to_owned()));
    let mut codes: Vec<_> = codes.collect();
    codes.insert(
        0,
        ("0".to_owned(), "The conversation was ended.".to_owned()),
    );
    tagged("EXIT STATUS", &codes).to_writer(&mut page)?;
    let files = FILES
        .into_iter()
        .filter(|(file, _)| file.contains("llama/history") || file.starts_with("/dev"))
        .map(|(file, what)| (file.to_owned(), what.to_owned()));
    let files: Vec<_> = files.collect();
    tagged("FILES", &files).to_writer(&mut page)?;
    see_also([("llama", 1)].iter().chain(&SEE_ALSO)).to_writer(&mut page)?;
    Ok(page)
}

fn embed_page(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = beginning(command)?;
    let codes = EXIT_STATUS
        .into_iter()
        .filter(|(code, _)| (1..=4).contains(code) || *code == 130)
        .map(|(code, meaning)| (code.to_string(), meaning.to_owned()));
    let mut codes: Vec<_> = codes.collect();
    let good = "The vectors are on standard output.".to_owned();
    codes.insert(0, ("0".to_owned(), good));
    tagged("EXIT STATUS", &codes).to_writer(&mut page)?;
    let files = FILES
        .into_iter()
        .filter(|(file, _)| file.ends_with("models") || file.starts_with("/dev"))
        .map(|(file, what)| (file.to_owned(), what.to_owned()));
    let files: Vec<_> = files.collect();
    tagged("FILES", &files).to_writer(&mut page)?;
    see_also([("llama", 1)].iter().chain(&SEE_ALSO)).to_writer(&mut page)?;
    Ok(page)
}

fn doctor_page(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = beginning(command)?;
    let codes = [
        ("0", "Nothing is wrong, or notices are all there is."),
        ("1", "The facts or the findings could not be written."),
        (
            "2",
            "Wrong usage, or the file of --facts holds no facts of this version.",
        ),
        ("6", "Something is wrong: a warning, or worse."),
    ];
    let codes = codes.map(|(code, meaning)| (code.to_owned(), meaning.to_owned()));
    tagged("EXIT STATUS", &codes).to_writer(&mut page)?;
    let files = [
        ("/proc, /sys", "Where most facts are from."),
        (
            "/dev/kmsg",
            "The kernel's log, where it may be read; else the journal.",
        ),
    ];
    let files = files.map(|(file, what)| (file.to_owned(), what.to_owned()));
    tagged("FILES", &files).to_writer(&mut page)?;
    see_also(
        [
            ("llama", 1),
            ("dmesg", 1),
            ("journalctl", 1),
            ("systemctl", 1),
        ]
        .iter(),
    )
    .to_writer(&mut page)?;
    Ok(page)
}

/// The page of a command that says what it found, with or without a model.
fn found_page(command: clap::Command, related: &[&'static str]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = beginning(command)?;
    let codes = [
        (
            "0",
            "What was found is on standard output, in the model's words, too.",
        ),
        ("1", "It could not be read, or there is no such thing."),
        ("2", "Wrong usage, or an empty input."),
        (
            "3",
            "The running kernel has no Llamux; standard output has what was found.",
        ),
        (
            "4",
            "The kernel has no model, or none of this name; standard output has what was found.",
        ),
        ("130", "Interrupted."),
    ];
    let codes = codes.map(|(code, meaning)| (code.to_owned(), meaning.to_owned()));
    tagged("EXIT STATUS", &codes).to_writer(&mut page)?;
    let files = [
        ("/dev/llama", "Where the model is asked."),
        (
            "/proc",
            "Where what is said of processes and open files is from.",
        ),
    ];
    let files = files.map(|(file, what)| (file.to_owned(), what.to_owned()));
    tagged("FILES", &files).to_writer(&mut page)?;
    let related: Vec<_> = related.iter().map(|name| (*name, 1)).collect();
    see_also([("llama", 1)].iter().chain(&related)).to_writer(&mut page)?;
    Ok(page)
}

fn shell_init_page(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = beginning(command)?;
    let codes = [
        ("0", "The script is on standard output."),
        ("2", "No shell that is known, or no such key."),
    ];
    let codes = codes.map(|(code, meaning)| (code.to_owned(), meaning.to_owned()));
    tagged("EXIT STATUS", &codes).to_writer(&mut page)?;
    let files = ["~/.bashrc", "~/.zshrc", "~/.config/fish/config.fish"];
    let files = files.map(|file| {
        (
            file.to_owned(),
            "Where the shell is told to read it.".to_owned(),
        )
    });
    tagged("FILES", &files).to_writer(&mut page)?;
    see_also([("llama", 1), ("lsh", 1)].iter().chain(&SEE_ALSO)).to_writer(&mut page)?;
    Ok(page)
}

fn fix_page(command: clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = beginning(command)?;
    let codes = EXIT_STATUS
        .into_iter()
        .filter(|(code, _)| (1..=4).contains(code))
        .map(|(code, meaning)| (code.to_string(), meaning.to_owned()));
    let mut codes: Vec<_> = codes.collect();
    let good = "The explanation is on standard output.".to_owned();
    codes.insert(0, ("0".to_owned(), good));
    tagged("EXIT STATUS", &codes).to_writer(&mut page)?;
    let files = FILES
        .into_iter()
        .filter(|(file, _)| file.starts_with("/dev"))
        .map(|(file, what)| (file.to_owned(), what.to_owned()));
    let files: Vec<_> = files.collect();
    tagged("FILES", &files).to_writer(&mut page)?;
    let own = [("llama", 1), ("llama-shell-init", 1), ("lsh", 1)];
    see_also(own.iter().chain(&SEE_ALSO)).to_writer(&mut page)?;
    Ok(page)
}

fn lsh_page() -> Result<Vec<u8>, Box<dyn Error>> {
    use lsh::cli;
    let man = manual(cli::Cli::command().after_long_help(""))
        .source(concat!("lsh ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.text([bold("lsh"), roman(" [OPTION]...")]);
    for usage in [
        " --dry-run [--json] REQUEST...",
        " --explain COMMAND [--json]",
    ] {
        synopsis.control("br", []);
        synopsis.text([bold("lsh"), roman(usage)]);
    }
    synopsis.to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    examples(&cli::EXAMPLES).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    let codes = cli::EXIT_STATUS.map(|(code, meaning)| (code.to_string(), meaning.to_owned()));
    tagged("EXIT STATUS", &codes).to_writer(&mut page)?;
    let owned = |(name, what): (&str, &str)| (name.to_owned(), what.to_owned());
    tagged("ENVIRONMENT", &cli::ENVIRONMENT.map(owned)).to_writer(&mut page)?;
    tagged("FILES", &cli::FILES.map(owned)).to_writer(&mut page)?;
    let own = [("llama-fix", 1), ("llama-shell-init", 1)];
    see_also(own.iter().chain(&cli::SEE_ALSO)).to_writer(&mut page)?;
    Ok(page)
}

fn manual(command: clap::Command) -> Man {
    Man::new(command)
        .date("")
        .source(concat!("llama ", env!("CARGO_PKG_VERSION")))
        .manual("Llamux")
}

/// A section of names with what they mean.
fn tagged(title: &str, entries: &[(String, String)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    list(&mut roff, entries);
    roff
}

/// Names with what they mean.
fn list<'r>(roff: &'r mut Roff, entries: &[(String, String)]) -> &'r mut Roff {
    for (name, meaning) in entries {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(meaning)]);
    }
    roff
}

fn see_also<'a>(pages: impl Iterator<Item = &'a (&'a str, u8)>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line: Vec<Inline> = Vec::new();
    for (name, section) in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(*name), roman(format!("({section})"))]);
    }
    roff.text(line);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_in_order() {
        let pages = pages().unwrap();
        let expected = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "EXAMPLES",
            "OPTIONS",
            "EXIT STATUS",
            "ENVIRONMENT",
            "FILES",
            "SEE ALSO",
        ];
        for &(name, ref page) in &pages {
            let page = std::str::from_utf8(page).unwrap();
            let sections: Vec<_> = page
                .lines()
                .filter_map(|line| line.strip_prefix(".SH "))
                .map(|title| title.trim_matches('"'))
                .collect();
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|&section| match section {
                    "EXAMPLES" => matches!(name, "llama.1" | "lsh.1"),
                    "ENVIRONMENT" => name == "lsh.1",
                    _ => true,
                })
                .collect();
            assert_eq!(sections, expected, "{name}");
        }
    }

    #[test]
    fn every_option_is_in_the_page() {
        let pages = pages().unwrap();
        for (name, command) in [
            ("llama.1", Cli::command()),
            ("lsh.1", lsh::cli::Cli::command()),
        ] {
            let page = pages.iter().find(|page| page.0 == name).unwrap();
            let page = String::from_utf8(page.1.clone()).unwrap();
            for arg in command.get_arguments() {
                if let Some(long) = arg.get_long() {
                    let long = format!("\\-\\-{}", long.replace('-', "\\-"));
                    assert_eq!(page.contains(&long), !arg.is_hide_set(), "{name}: {long}");
                }
            }
        }
    }
}
