// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Shells and other languages.

use crate::command::syntax::{By, Call, Script, Word};

use super::tables::VIOLENT;
use super::told::Told;
use super::{ChangesFiles, ChangesSystem, Effect, NeedsCare, ReadOnly, Unknown};

/// A shell that is started.
pub(super) fn shell(name: &str, told: Told<'_>, call: &Call, script: &Script) -> Effect {
    if call.starts_others {
        return (ReadOnly, "");
    }
    if let Some(word) = told.operands().next().filter(|_| !told.says(&["-s"])) {
        if !word.known {
            return (NeedsCare, "runs a script that nobody has read");
        }
        if told.short('n') && name != "." && name != "source" {
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
    if let Some(at) = told.0.iter().position(|word| word.text == "-m") {
        match told.0.get(at + 1).map_or("", |word| word.text.as_str()) {
            "json.tool" | "http.server" | "this" | "timeit" | "calendar" | "site" | "base64"
            | "dis" => {
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
