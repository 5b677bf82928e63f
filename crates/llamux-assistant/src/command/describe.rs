// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a command does, told by its syntax tree and the manual.

use super::machine::Manual;
use super::syntax::{self, By, Call};
use super::{Context, Part};

/// What well-known programs do, shorter and plainer than their manuals say it.
#[rustfmt::skip]
const DOES: &[(&str, &str)] = &[
    ("apt", "manage packages"), ("apt-get", "manage packages"), ("awk", "work on lines field by field"),
    ("basename", "take the directory off a name"), ("cat", "print files"), ("cd", "change the directory"),
    ("chgrp", "change the group of files"), ("chmod", "change the rights of files"),
    ("chown", "change the owner of files"), ("comm", "compare two sorted files"), ("cp", "copy files"),
    ("curl", "fetch from an address"), ("cut", "take parts of each line"), ("date", "tell the time"),
    ("df", "tell the space on file systems"), ("diff", "compare files"), ("dig", "ask a name server"),
    ("dmesg", "show the kernel's log"), ("du", "tell the space that files take"), ("echo", "print words"),
    ("export", "set variables for programs"), ("file", "tell the kinds of files"), ("find", "find files"),
    ("free", "tell the memory in use"), ("git", "manage versions"), ("grep", "find lines that match"),
    ("gzip", "compress files"), ("head", "take the first lines"), ("ip", "show or change the network"),
    ("journalctl", "show the journal"), ("kill", "send processes a signal"), ("ln", "make links"),
    ("ls", "list files"), ("lsblk", "list disks"), ("lsof", "list open files"), ("mkdir", "make directories"),
    ("mount", "mount file systems"), ("mv", "move or rename files"), ("nl", "number lines"),
    ("pacman", "manage packages"), ("paste", "join lines of files side by side"),
    ("pgrep", "find processes by name"), ("ping", "ask a machine whether it is there"),
    ("pkill", "send processes a signal by their names"), ("printf", "print by a pattern"), ("ps", "list processes"),
    ("pwd", "tell the directory"), ("rm", "delete files"), ("rmdir", "delete empty directories"),
    ("rsync", "copy what differs"), ("sed", "edit lines"), ("seq", "count"), ("sort", "sort lines"),
    ("ss", "list connections"), ("stat", "tell about files"), ("systemctl", "manage services"), ("tac", "print lines backwards"),
    ("tail", "take the last lines"), ("tar", "pack or unpack archives"), ("tee", "write to files as well"),
    ("test", "test a condition"), ("touch", "make files or set their times"), ("tr", "replace characters"),
    ("uname", "tell about the kernel"), ("uniq", "join lines that repeat"), ("unzip", "unpack zip archives"),
    ("wc", "count lines, words or bytes"), ("wget", "download"), ("which", "tell where a program is"),
    ("who", "tell who is logged in"), ("xargs", "run a command with what it reads"), ("zip", "make zip archives"),
];

/// Programs that are named for what they start.
const QUIET: &[&str] = &[
    "env", "command", "builtin", "exec", "time", "nice", "nohup", "stdbuf",
];

pub(super) fn summary(context: &Context, command: &str) -> String {
    let script = syntax::parse(command);
    let mut out = String::new();
    let mut last = String::new();
    for (at, call) in script.calls.iter().enumerate() {
        let Some(name) = call.name() else {
            continue;
        };
        let quiet = QUIET.contains(&name)
            || matches!(name, "sudo" | "doas")
            || name == "xargs" && call.starts_others;
        if quiet && call.starts_others {
            continue;
        }
        let mut what = does(context, call, name);
        if call.by == By::Many {
            what.push_str(", for each");
        }
        if call.privileged {
            what.push_str(" as root");
        }
        if what == last {
            continue;
        }
        if !out.is_empty() {
            out.push_str(
                if script
                    .calls
                    .get(at)
                    .is_some_and(|call| call.reads.is_some())
                {
                    ", then of that "
                } else {
                    ", "
                },
            );
        }
        out.push_str(&what);
        last = what;
    }
    let mut characters = out.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// What a call does, in some words.
fn does(context: &Context, call: &Call, name: &str) -> String {
    let verb = call
        .operands()
        .iter()
        .map(|word| word.text.as_str())
        .find(|text| !text.starts_with('-'));
    let page = match (name, verb) {
        ("git" | "docker" | "podman" | "cargo" | "npm" | "ip" | "btrfs", Some(verb)) => {
            context.machine.manual(&format!("{name}-{verb}"))
        }
        _ => None,
    };
    if let Some(summary) = page.and_then(|page| page.summary.clone()) {
        return lowered(&summary);
    }
    if let Some((_, does)) = DOES.iter().find(|(known, _)| *known == name) {
        return match verb {
            Some(verb) if matches!(name, "systemctl" | "apt" | "apt-get" | "git" | "docker") => {
                format!("{does} ({verb})")
            }
            _ => (*does).into(),
        };
    }
    match context
        .machine
        .manual(name)
        .and_then(|page| page.summary.clone())
    {
        Some(summary) => lowered(&summary),
        None => format!("run {name}"),
    }
}

/// With a small first letter, but for names.
fn lowered(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.into(),
    }
}

pub(super) fn describe(context: &Context, command: &str) -> Vec<Part> {
    let script = syntax::parse(command);
    let mut parts: Vec<Part> = vec![];
    let mut ends: Vec<usize> = vec![];
    for call in &script.calls {
        while ends.last().is_some_and(|end| *end <= call.span.start) {
            ends.pop();
        }
        let depth = ends.len();
        ends.push(call.span.end);
        let Some(first) = call.words.first() else {
            continue;
        };
        let name = call.name();
        let mut push = |span: &std::ops::Range<usize>, meaning: Option<String>| {
            // What a script inside of a word is made of cannot be pointed at.
            let text = command.get(span.clone()).unwrap_or_default().to_owned();
            parts.push(Part {
                span: span.clone(),
                text,
                meaning,
                depth,
            });
        };
        push(&first.span, name.map(|name| does(context, call, name)));
        let verb = call
            .operands()
            .iter()
            .map(|word| word.text.as_str())
            .find(|text| !text.starts_with('-'));
        let pages: Vec<_> = name
            .into_iter()
            .flat_map(|name| {
                let own = verb.and_then(|verb| context.machine.manual(&format!("{name}-{verb}")));
                own.into_iter().chain(context.machine.manual(name))
            })
            .collect();
        let begins_own = call.starts_others;
        for word in call.operands() {
            let option = word.text.starts_with('-') && word.text.len() > 1;
            if option {
                push(&word.span, option_meaning(&pages, &word.text));
            } else if begins_own {
                // What it starts has parts of its own.
                if name != Some("find") {
                    break;
                }
            }
        }
        for redirect in &call.redirects {
            let meaning = match redirect.operator.as_str() {
                "<" => "reads its input from this file",
                "<<<" => "reads this text",
                ">>" | "&>>" => "adds its output to this file",
                operator if operator.contains('>') => "writes its output to this file",
                _ => continue,
            };
            push(&redirect.target.span, Some(meaning.into()));
        }
    }
    parts
}

/// What an option means, or several short ones in one word.
fn option_meaning(pages: &[std::sync::Arc<Manual>], text: &str) -> Option<String> {
    let look = |option: &str| {
        pages
            .iter()
            .find_map(|page| page.options.get(option))
            .cloned()
    };
    let option = text.split('=').next().unwrap_or(text);
    if let Some(meaning) = look(option) {
        return Some(meaning);
    }
    if option.starts_with("--") {
        return None;
    }
    let mut meanings = vec![];
    for letter in option.chars().skip(1) {
        if let Some(meaning) = look(&format!("-{letter}")) {
            meanings.push(format!("-{letter}: {meaning}"));
        } else {
            break;
        }
    }
    (!meanings.is_empty()).then(|| meanings.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::{Machine, Shell};
    use super::*;

    #[test]
    fn commands_are_told_in_a_line() {
        let context = Context {
            machine: Machine::of(vec![], vec![], vec![]),
            ..Context::here(Shell::Bash)
        };
        for (command, expected) in [
            ("ls -l", "List files"),
            (
                "cat a | sort | uniq -c",
                "Print files, then of that sort lines, then of that join lines that repeat",
            ),
            ("find . -exec rm {} +", "Find files, delete files, for each"),
            (
                "sudo systemctl restart nginx",
                "Manage services (restart) as root",
            ),
            ("frobnicate", "Run frobnicate"),
            ("", ""),
        ] {
            assert_eq!(summary(&context, command), expected);
        }
    }

    #[test]
    fn every_part_has_its_place() {
        let directory =
            std::env::temp_dir().join(format!("llamux-describe-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("man1")).unwrap();
        let page = ".SH NAME\nls \\- list directory contents\n.SH OPTIONS\n.TP\n\\-a\nshow all\n.TP\n\\-l\nuse a long \
                    form\n";
        std::fs::write(directory.join("man1/ls.1"), page).unwrap();
        let context = Context {
            machine: Machine::of(vec![], vec![directory.clone()], vec![]),
            ..Context::here(Shell::Bash)
        };
        let command = "sudo ls -la > out";
        let parts = describe(&context, command);
        for part in &parts {
            assert_eq!(part.text, command[part.span.clone()]);
        }
        let told: Vec<_> = parts
            .iter()
            .map(|part| (part.text.as_str(), part.depth, part.meaning.as_deref()))
            .collect();
        assert!(
            told.contains(&("-la", 1, Some("-l: use a long form; -a: show all"))),
            "{told:?}"
        );
        assert!(
            told.contains(&("out", 0, Some("writes its output to this file"))),
            "{told:?}"
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
