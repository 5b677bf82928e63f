// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The pages of `llama` and of its commands.

use std::error::Error;

use clap::CommandFactory as _;
use llama_cli::cli::{Cli, USAGE};
use llamux_usage::Usage;

use crate::page::{Page, Written};

/// The lines of the synopsis of `llama`.
const SYNOPSIS: [(&str, &str); 13] = [
    ("llama", "[OPTION]... [WORD]..."),
    ("llama status", "[--json]"),
    ("llama chat", "[OPTION]..."),
    ("llama embed", "[OPTION]... [TEXT]..."),
    ("llama doctor", "[OPTION]..."),
    ("llama why", "[OPTION]... UNIT|PID|FILE"),
    ("llama explain", "[OPTION]... [FILE|WORD]..."),
    ("llama do", "[OPTION]... WORD..."),
    ("llama history", "[OPTION]..."),
    ("llama undo", "[OPTION]..."),
    ("llama profile", "COMMAND"),
    ("llama shell-init", "[OPTION]... SHELL"),
    ("llama fix", "[OPTION]... -- COMMAND"),
];

/// What the page of a command says beside its options.
struct About {
    name: &'static str,
    exit_status: Vec<(u8, &'static str)>,
    files: Vec<(&'static str, &'static str)>,
    see_also: &'static [(&'static str, u8)],
}

/// Success in the words of a command, and of what `llama` may end with the statuses that the command has, too.
fn statuses(good: &'static str, others: &[u8]) -> Vec<(u8, &'static str)> {
    let ours = USAGE.exit_status.iter();
    let ours = ours.filter(|(code, _)| others.contains(code)).copied();
    [(0, good)].into_iter().chain(ours).collect()
}

/// The files of `llama` whose names have one of these parts.
fn files(parts: &[&str]) -> Vec<(&'static str, &'static str)> {
    let has = |file: &str| parts.iter().any(|part| file.contains(part));
    let ours = USAGE.files.iter().filter(|(file, _)| has(file));
    ours.copied().collect()
}

fn commands() -> Vec<About> {
    let found = |name, see_also| {
        About {
        name,
        exit_status: vec![
            (
                0,
                "What was found is on standard output, in the model's words, too.",
            ),
            (1, "It could not be read, or there is no such thing."),
            (2, "Wrong usage, or an empty input."),
            (
                3,
                "The running kernel has no Llamux; standard output has what was found.",
            ),
            (
                4,
                "The kernel has no model, or none of this name; standard output has what was found.",
            ),
            (130, "Interrupted."),
        ],
        files: vec![
            ("/dev/llama", "Where the model is asked."),
            (
                "/proc",
                "Where what is said of processes and open files is from.",
            ),
        ],
        see_also,
    }
    };
    let acts = |name| About {
        name,
        exit_status: vec![
            (0, "It was done, or shown."),
            (
                1,
                "It was not confirmed, not clear, or not possible, or failed in part.",
            ),
            (2, "Wrong usage."),
        ],
        files: files(&["jsonl", ".toml"]),
        see_also: &[
            ("llama", 1),
            ("llama-do", 1),
            ("llama-history", 1),
            ("llama-undo", 1),
            ("llama-profile", 1),
        ],
    };
    vec![
        About {
            name: "status",
            exit_status: vec![
                (0, "The kernel can answer."),
                (3, "The running kernel has no Llamux."),
                (4, "The kernel has no model, or is still loading it."),
            ],
            files: files(&["status"]),
            see_also: &[("llama", 1), ("llama_command", 2), ("llamux", 7)],
        },
        About {
            name: "chat",
            exit_status: statuses("The conversation was ended.", &[1, 2, 3, 4]),
            files: files(&["llama/history", "/dev"]),
            see_also: &[("llama", 1), ("llama_command", 2), ("llamux", 7)],
        },
        About {
            name: "embed",
            exit_status: statuses("The vectors are on standard output.", &[1, 2, 3, 4, 130]),
            files: files(&["llamux/models", "/dev"]),
            see_also: &[("llama", 1), ("llama_command", 2), ("llamux", 7)],
        },
        About {
            name: "doctor",
            exit_status: vec![
                (0, "Nothing is wrong, or notices are all there is."),
                (1, "The facts or the findings could not be written."),
                (
                    2,
                    "Wrong usage, or the file of --facts holds no facts of this version.",
                ),
                (6, "Something is wrong: a warning, or worse."),
            ],
            files: vec![
                ("/proc, /sys", "Where most facts are from."),
                (
                    "/dev/kmsg",
                    "The kernel's log, where it may be read; else the journal.",
                ),
            ],
            see_also: &[
                ("llama", 1),
                ("dmesg", 1),
                ("journalctl", 1),
                ("systemctl", 1),
            ],
        },
        found(
            "why",
            &[
                ("llama", 1),
                ("journalctl", 1),
                ("systemctl", 1),
                ("lsof", 1),
            ],
        ),
        found("explain", &[("llama", 1), ("journalctl", 1), ("dmesg", 1)]),
        About {
            name: "shell-init",
            exit_status: vec![
                (0, "The script is on standard output."),
                (2, "No shell that is known, or no such key."),
            ],
            files: ["~/.bashrc", "~/.zshrc", "~/.config/fish/config.fish"]
                .map(|file| (file, "Where the shell is told to read it."))
                .to_vec(),
            see_also: &[("llama", 1), ("lsh", 1), ("llamux", 7)],
        },
        About {
            name: "fix",
            exit_status: statuses("The explanation is on standard output.", &[1, 2, 3, 4]),
            files: files(&["/dev"]),
            see_also: &[
                ("llama", 1),
                ("llama-shell-init", 1),
                ("lsh", 1),
                ("llamux", 7),
            ],
        },
        acts("do"),
        acts("history"),
        acts("undo"),
        acts("profile"),
    ]
}

/// The pages.
pub(crate) fn pages() -> Result<Written, Box<dyn Error>> {
    let mut llama = Cli::command();
    llama.build();
    let commands = commands();
    let titles: Vec<_> = commands
        .iter()
        .map(|about| format!("llama-{}", about.name))
        .collect();
    let mut related: Vec<_> = titles.iter().map(|title| (title.as_str(), 1)).collect();
    related.push(("lsh", 1));
    related.sort_unstable();
    related.extend(USAGE.see_also);
    let main = Page {
        synopsis: &SYNOPSIS,
        ..Page::new(
            llama.clone(),
            1,
            Usage {
                see_also: &related,
                ..USAGE
            },
        )
    };
    let mut pages = vec![("llama.1".to_owned(), main.text()?)];
    for (about, title) in commands.iter().zip(&titles) {
        let command = llama
            .find_subcommand(about.name)
            .ok_or_else(|| format!("llama has no command {}", about.name))?
            .clone()
            .display_name(title)
            .bin_name(format!("llama {}", about.name));
        let itself = (title.as_str(), 1);
        let see_also = about.see_also.iter().copied();
        let see_also: Vec<_> = see_also.filter(|page| *page != itself).collect();
        let page = Page {
            commands: parts(&command),
            ..Page::new(
                command,
                1,
                Usage {
                    examples: &[],
                    sections: &[],
                    exit_status: &about.exit_status,
                    environment: &[],
                    files: &about.files,
                    see_also: &see_also,
                },
            )
        };
        pages.push((format!("{title}.1"), page.text()?));
    }
    Ok(pages)
}

/// The commands of a command, with their operands, and what they do.
fn parts(command: &clap::Command) -> Vec<(String, String)> {
    let parts = command
        .get_subcommands()
        .filter(|part| part.get_name() != "help");
    parts
        .map(|part| {
            let operand = match part.get_positionals().next() {
                Some(_) => format!("{} NAME", part.get_name()),
                None => part.get_name().to_owned(),
            };
            let about = part.get_about().map(ToString::to_string);
            (operand, format!("{}.", about.unwrap_or_default()))
        })
        .collect()
}
