// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Processes.

use super::super::{ChangesSystem, Effect, NeedsCare, ReadOnly, Told};

/// Whether a signal is one that a process cannot answer.
pub(super) fn kills(told: Told<'_>) -> bool {
    let killing = |text: &str| {
        let text = text.trim_start_matches('-').to_ascii_uppercase();
        let text = text.strip_prefix("SIG").unwrap_or(&text).to_owned();
        text == "9" || text == "KILL"
    };
    let mut words = told.0.iter();
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        if matches!(text, "-s" | "-n" | "--signal") {
            if words
                .next()
                .is_some_and(|word| !word.known || killing(&word.text))
            {
                return true;
            }
        } else if let Some(value) = text
            .strip_prefix("--signal=")
            .or_else(|| text.strip_prefix("-s"))
        {
            if killing(value) {
                return true;
            }
        } else if text.starts_with('-') && killing(text) {
            return true;
        }
    }
    false
}

pub(super) fn processes(name: &str, told: Told<'_>) -> Option<Effect> {
    Some(match name {
        "kill" => {
            let first = told.0.first().map_or("", |word| word.text.as_str());
            if matches!(first, "-l" | "-L" | "-0" | "--list" | "--table") {
                (ReadOnly, "")
            } else if kills(told) {
                (NeedsCare, "ends processes that cannot save anything before")
            } else if told.0.iter().skip(1).any(|word| word.text == "-1")
                || first == "-1" && told.0.len() == 1
                || told
                    .operands()
                    .any(|word| matches!(word.text.as_str(), "1" | "0"))
            {
                (NeedsCare, "ends many processes, or the first of all")
            } else {
                (
                    ChangesSystem,
                    "sends processes a signal, which ends most of them",
                )
            }
        }
        "pkill" | "killall" | "skill" | "xkill" => {
            if told.says(&["-l", "--list"]) || (name == "pkill" && told.says(&["-0"])) {
                (ReadOnly, "")
            } else if kills(told) {
                (NeedsCare, "ends processes that cannot save anything before")
            } else if told.has('u', "user")
                || told.short('v')
                || told.long("inverse")
                || told
                    .operands()
                    .any(|word| matches!(word.text.as_str(), "." | ".*" | ""))
            {
                (NeedsCare, "ends many processes")
            } else {
                (
                    ChangesSystem,
                    "sends processes a signal, which ends most of them",
                )
            }
        }
        "fuser" if told.has('k', "kill") => (NeedsCare, "ends every process that uses a file"),
        "renice" | "chrt" | "taskset" | "ionice" | "prlimit" => {
            let shows = match name {
                "chrt" | "taskset" => told.operands().count() < 2 && told.letter('p'),
                "ionice" => {
                    !told.long("class")
                        && !told.long("classdata")
                        && told.letters().iter().all(|letter| "pPut".contains(*letter))
                }
                "prlimit" => {
                    let sets =
                        |option: &str| option.contains(|c: char| c == '=' || c.is_ascii_digit());
                    !told
                        .options()
                        .any(|option| !option.starts_with("-p") && sets(option))
                }
                _ => false,
            };
            if shows {
                (ReadOnly, "")
            } else {
                (
                    ChangesSystem,
                    "changes how much of the machine a process gets",
                )
            }
        }
        _ => return None,
    })
}
