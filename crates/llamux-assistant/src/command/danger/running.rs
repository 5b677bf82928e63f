// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Shells and other languages.

use crate::command::syntax::{is_runner, By, Call, Script, Word};

use super::programs::subcommand;
use super::tables::{SUDO_LOOKS, VIOLENT};
use super::told::Told;
use super::{ChangesFiles, ChangesSystem, Effect, NeedsCare, ReadOnly, Unknown};

/// Options by which programs that are harmless else run another one. What begins with one letter and a hyphen may have
/// its value behind it in the same word.
#[rustfmt::skip]
const BY_OPTION: &[(&str, &[&str])] = &[
    ("bat", &["--pager"]),
    ("compgen", &["-C", "-F"]),
    ("fzf", &["--preview", "--bind"]),
    ("git", &["--extcmd", "--open-files-in-pager", "--receive-pack", "--upload-pack"]),
    ("less", &["+!", "+|"]),
    ("man", &["--html", "--pager", "--preprocessor", "-H", "-P"]),
    ("more", &["+!"]),
    ("rg", &["--hostname-bin", "--pre"]),
    ("scp", &["-S"]),
    ("sort", &["--compress-program"]),
    ("split", &["--filter"]),
    ("tcpdump", &["-z"]),
];

/// Whether a program is told by an option to run another one.
pub(super) fn by_option(name: &str, told: Told<'_>) -> bool {
    match name {
        "enable" if told.short('f') => return true,
        "hash" if told.short('p') => return true,
        "git" => {
            if let Some((verb, words)) = subcommand(told).1.split_first() {
                if verb.text == "grep" && Told(words, "ABCefm").letter('O') {
                    return true;
                }
            }
        }
        _ => {}
    }
    // That of dc is in its program.
    if name == "dc" {
        return told.has('e', "expression") && told.0.iter().any(|word| word.text.contains('!'));
    }
    let options = BY_OPTION.iter().find(|(of, _)| *of == name);
    let mut options = options.into_iter().flat_map(|(_, options)| *options);
    options.any(|option| {
        let is = |word: &Word| match option.strip_prefix("--") {
            // It may be shortened, to what no other option is called.
            Some(long) => word.text.strip_prefix("--").is_some_and(|said| {
                let said = said.split('=').next().unwrap_or_default();
                said.len() > 2 && long.starts_with(said)
            }),
            None => word.text.starts_with(option),
        };
        told.0.iter().any(is)
    })
}

/// Programs that open a shell when they are not told what to run.
#[rustfmt::skip]
const OPENING_SHELLS: &[&str] = &[
    "arch-chroot", "chroot", "doas", "newgrp", "nsenter", "pkexec", "run0", "runuser", "ssh", "su", "sudo", "unshare",
];

/// Whether a program that is not told what to run runs what it reads.
pub(super) fn runs_input(name: &str, told: Told<'_>, call: &Call) -> bool {
    if call.starts_others {
        return false;
    }
    if call.by == By::Many {
        // These may be about a process that runs already.
        let process = matches!(name, "chrt" | "ionice" | "ltrace" | "strace" | "taskset");
        return name == "{}" || is_runner(name) && !(process && told.has('p', "pid"));
    }
    let opens = OPENING_SHELLS.contains(&name) && !told.says(SUDO_LOOKS);
    name == "parallel" || call.piped && opens
}

/// A shell that is started.
pub(super) fn shell(name: &str, told: Told<'_>, call: &Call, script: &Script) -> Effect {
    if call.starts_others {
        return (ReadOnly, "");
    }
    if let Some(word) = told.operands().next().filter(|_| !told.says(&["-s"])) {
        if !word.known {
            return (NeedsCare, "runs a script that nobody has read");
        }
        if told.letter('n') && name != "." && name != "source" {
            return (ReadOnly, "");
        }
        return (Unknown, "runs a script");
    }
    let from = call
        .reads
        .and_then(|at| script.calls.get(at))
        .and_then(Call::name);
    if matches!(from, Some("curl" | "wget")) {
        return (NeedsCare, "runs what comes from the network, unread");
    }
    if call.piped || call.by == By::Many {
        return (NeedsCare, "runs what it reads as a script");
    }
    (ReadOnly, "")
}

/// A program in another language.
pub(super) fn language(told: Told<'_>, call: &Call) -> Effect {
    let module = told.0.iter().position(|word| word.text == "-m");
    let first = |at: &usize| {
        let before = told.0.get(..*at).unwrap_or_default();
        before
            .iter()
            .all(|word| word.text.starts_with('-') && !word.text.contains(['c', 'e']))
    };
    if let Some(at) = module.filter(first) {
        match told.0.get(at + 1).map_or("", |word| word.text.as_str()) {
            "json.tool" | "http.server" | "this" | "calendar" | "site" | "base64" | "dis" => {
                return (ReadOnly, "");
            }
            "venv" | "zipfile" | "tarfile" | "compileall" => {
                return (ChangesFiles, "makes or changes files");
            }
            "pip" => return (ChangesSystem, "changes what is installed"),
            _ => {}
        }
    }
    if call.piped && told.operands().next().is_none() && !told.says(&["-c", "-e"]) {
        return (NeedsCare, "runs what it reads as a program");
    }
    if told.operands().next().is_none() && !told.computed() {
        return (ReadOnly, "");
    }
    let violent = |word: &Word| !word.known || VIOLENT.iter().any(|text| word.text.contains(text));
    if told.0.iter().any(violent) {
        return (
            NeedsCare,
            "runs a program that deletes something or runs other programs",
        );
    }
    (Unknown, "runs a program in another language")
}
