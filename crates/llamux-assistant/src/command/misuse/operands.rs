// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What commands name: files that they read, write, make and delete.

use std::collections::BTreeSet;

use super::super::files::names;
use super::super::syntax::{quoted, By, Call, Redirect, Script, Word};
use super::super::{words, Context};
use super::patterns::pattern_word;
use super::tables::program_of;
use super::{arguments, before, directory, has_letter, inputs, Edit, Look, AWK};

/// Directories that a program leaves out, or takes without what is in them.
pub(super) fn recursive(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["grep", "zip", "cp"]).find_map(|(_, call)| {
        let name = call.name()?;
        let letters = match name {
            "grep" => "rRd",
            "zip" => "rRdi",
            _ => "rRadu",
        };
        let told = |word: &Word| {
            has_letter(word, letters)
                || matches!(
                    word.text.as_str(),
                    "--recursive" | "--directories" | "--archive" | "--recurse-paths"
                )
                || word.text.starts_with("--directories=")
        };
        if call.operands().iter().any(told) || call.by == By::Many {
            return None;
        }
        let pattern = pattern_word(call.operands()).map(|word| word.span.clone());
        let mut operands: Vec<_> = arguments(call).collect();
        match name {
            "grep" => operands.retain(|word| Some(&word.span) != pattern.as_ref()),
            // The first is the archive.
            "zip" => drop((!operands.is_empty()).then(|| operands.remove(0))),
            // The last is where to.
            _ => drop(operands.pop()),
        }
        let any = operands.iter().any(|word| directory(look.context, word));
        any.then(|| look.option(call, "-r")).flatten()
    })
}

/// What is found and deleted, where nothing was said of deleting.
pub(super) fn only_listed(look: &Look<'_>) -> Option<Vec<Edit>> {
    const MORE: &[&str] = &[
        "clean", "clear", "purg", "prune", "unlink", "destroy", "empti", "kick", "away", "dump",
        "keep", "leav", "nuke", "tidi", "free", "rm",
    ];
    let asked = words::words(look.asked);
    let deletes = |word: &String| word == "delet" || MORE.contains(&word.as_str());
    let stems = words::stems(look.asked);
    let said = |word: &String| deletes(word) && word != "empti";
    // "empty" says what they are, or what is to be done: it is the latter if it comes first.
    if asked.iter().chain(&stems).any(said) || stems.first().is_some_and(deletes) {
        return None;
    }
    look.calls(&["find"]).find_map(|(_, call)| {
        let word = call.operands().iter().find(|word| word.text == "-delete")?;
        look.inside(word)?;
        Some(vec![(
            word.span.start.checked_sub(1)?..word.span.end,
            String::new(),
        )])
    })
}

/// Output that goes into a file of which nobody spoke.
pub(super) fn shown(look: &Look<'_>) -> Option<Vec<Edit>> {
    #[rustfmt::skip]
    const WRITING: &[&str] = &[
        "save", "write", "store", "put", "into", "copi", "export", "make", "creat", "generat", "convert", "record",
        "keep", "dump", "backup", "back", "file", "output", "produc", "new", "add", "append", "set", "chang",
        "replac", "merg", "join", "combin", "glue", "concaten", "split", "extract", "unpack", "decompress", "pack",
        "compress", "archiv", "download", "fetch", "log", "list", "redirect", "turn", "remov", "delet", "strip",
        "sort", "dedup", "encrypt", "decrypt", "encod", "decod", "build", "instal", "renam", "move", "empti", "updat",
        "edit", "insert",
    ];
    let stems = words::stems(look.asked);
    let lower = look.asked.to_lowercase();
    if stems.iter().any(|word| WRITING.contains(&word.as_str()))
        || lower.contains(" into ")
        || look.script.calls.iter().any(|call| call.name().is_none())
    {
        return None;
    }
    let redirects = look.script.calls.iter().flat_map(|call| &call.redirects);
    redirects.into_iter().find_map(|redirect| {
        let target = &redirect.target;
        let last = look.command.get(target.span.end..)?.trim().is_empty();
        let named = lower.contains(&target.text.to_lowercase());
        let plain = target.known && !target.pattern && !target.text.starts_with('/');
        if redirect.operator != ">" || !last || !plain || named {
            return None;
        }
        look.inside(target)?;
        let before = look.command.get(..target.span.start)?.trim_end();
        let begin = before.strip_suffix('>')?;
        let whole = !begin.ends_with(['>', '&', '1', '2']);
        let begin = begin.trim_end().len();
        whole.then(|| vec![(begin..look.command.len(), String::new())])
    })
}

/// Programs that make what they name last, or all that they name.
const MAKING: &[&str] = &["mkdir", "touch", "tee", "install", "mktemp"];

/// Directories that something is put into, and that are not there.
pub(super) fn made(look: &Look<'_>) -> Option<Vec<Edit>> {
    let calls = &look.script.calls;
    // Where it changes to, nobody has looked.
    if calls
        .iter()
        .any(|call| matches!(call.name(), Some("cd" | "pushd")) || call.privileged)
    {
        return None;
    }
    let missing = calls.iter().find_map(|call| {
        let operands: Vec<_> = arguments(call).collect();
        let target = match call.name()? {
            "cp" | "mv" => {
                if call.operands().iter().any(|word| has_letter(word, "tT")) {
                    return None;
                }
                let (target, sources) = operands.split_last()?;
                let many = sources.len() > 1
                    || call.by == By::Many
                    || sources.iter().any(|word| word.pattern)
                    || target.text.ends_with('/') && !sources.is_empty();
                let one =
                    sources.len() == 1 && sources.iter().any(|word| directory(look.context, word));
                many.then_some(())?;
                (!one).then_some(*target)?
            }
            "tar" => {
                let first = call.operands().first()?;
                let unpacks = has_letter(first, "x") || first.text.starts_with('x');
                let at = call.operands().iter().position(|word| word.text == "-C")?;
                unpacks.then(|| call.operands().get(at + 1)).flatten()?
            }
            _ => return None,
        };
        let text = target.text.as_str();
        let plain = target.known
            && !target.pattern
            && !text.starts_with(['/', '~', '-', '$'])
            && !text.starts_with("..")
            && !text.contains('{')
            && !text.is_empty();
        (plain && !look.context.cwd.join(text).exists()).then_some(target)
    })?;
    let name = missing.text.trim_end_matches('/');
    let making = calls.iter().any(|call| {
        call.name()
            .is_some_and(|made| MAKING.contains(&made) || made == "ln" || made == "git")
            && call.operands().iter().any(|word| {
                let word = word.text.trim_end_matches('/');
                word == name || !word.starts_with('-') && word.starts_with(&format!("{name}/"))
            })
    });
    (!making).then(|| vec![(0..0, format!("mkdir -p {} && ", quoted(name)))])
}

/// The file that a call's output goes to and that it, or what comes before it, reads.
pub(super) fn empties(script: &Script, at: usize) -> Option<&Redirect> {
    let call = script.calls.get(at)?;
    let redirect = call
        .redirects
        .iter()
        .find(|redirect| matches!(redirect.operator.as_str(), ">" | ">|" | "&>"))?;
    let target = &redirect.target;
    if !target.known || target.pattern || target.text.starts_with("/dev/") {
        return None;
    }
    let mut calls = before(script, at);
    calls.push(at);
    let reads = calls.into_iter().any(|at| {
        script.calls.get(at).is_some_and(|call| {
            let reads = call.name().is_some_and(|name| READING.contains(&name));
            reads && {
                let operands = call
                    .operands()
                    .iter()
                    .skip(usize::from(call.name() == Some("tr")));
                operands
                    .chain(inputs(call))
                    .any(|word| word.known && word.text == target.text)
            }
        })
    });
    reads.then_some(redirect)
}

/// Output into a file that is read for it.
pub(super) fn not_emptied(look: &Look<'_>) -> Option<Vec<Edit>> {
    (0..look.script.calls.len()).find_map(|at| {
        let redirect = empties(look.script, at)?;
        let target = &redirect.target;
        look.inside(target)?;
        let new = format!("{}.new", target.text);
        let last = look.command.get(target.span.end..)?.trim().is_empty();
        let free = !look.context.cwd.join(&new).exists();
        let plain =
            !target.text.starts_with(['-', '~']) && look.context.cwd.join(&target.text).is_file();
        (last && free && plain && redirect.operator == ">").then(|| {
            let (new, old) = (quoted(&new), quoted(&target.text));
            vec![(
                target.span.start..look.command.len(),
                format!("{new} && mv {new} {old}"),
            )]
        })
    })
}

/// Programs that read the files that they are told.
#[rustfmt::skip]
const READING: &[&str] = &[
    "awk", "base64", "bunzip2", "cat", "chmod", "cmp", "column", "comm", "cp", "csplit", "cut", "diff", "expand", "file",
    "fold", "gawk", "grep", "gunzip", "gzip", "head", "iconv", "jq", "join", "less", "mawk", "md5sum", "mv", "nl", "od",
    "paste", "rev", "rm", "sed", "sha1sum", "sha256sum", "shuf", "sort", "split", "stat", "strings", "tac", "tail", "tr",
    "uniq", "unxz", "unzip", "wc", "xxd", "xz", "zcat", "zgrep", "zless",
];

/// The words of a command that name files to be read, which are not there and which the request does not name.
pub(super) fn missing<'s>(
    context: &Context,
    script: &'s Script,
    asked: &str,
) -> Vec<(&'s Word, &'s str)> {
    // Where it changes to, and what it makes, nobody has seen.
    let changes = |call: &Call| {
        matches!(
            call.name(),
            Some("cd" | "pushd" | "git" | "wget" | "curl" | "ssh")
        ) || matches!(call.by, By::Many)
    };
    if script.calls.iter().any(changes) || !script.functions.is_empty() {
        return vec![];
    }
    let name_like = pattern!(r"^[\w][\w./ -]*\.[A-Za-z][A-Za-z0-9]{0,4}$");
    let lower = asked.to_lowercase();
    let mut made: BTreeSet<&str> = BTreeSet::new();
    let mut out = vec![];
    for call in &script.calls {
        let name = call.name().unwrap_or_default();
        let operands: Vec<_> = arguments(call).collect();
        let skipped = match name {
            "grep" | "zgrep" => pattern_word(call.operands()).map(|word| word.span.clone()),
            "sed" | "jq" | "chmod" | "tr" => operands.first().map(|word| word.span.clone()),
            awk if AWK.contains(&awk) => program_of(call).map(|word| word.span.clone()),
            // What it makes.
            "cp" | "mv" | "split" | "csplit" => operands.last().map(|word| word.span.clone()),
            _ => None,
        };
        if READING.contains(&name) {
            for word in operands.iter().copied().chain(inputs(call)) {
                let text = word.text.as_str();
                let last = text.rsplit('/').next().unwrap_or_default();
                let is_name = name_like.is_match(text);
                if is_name
                    && word.known
                    && !word.pattern
                    && Some(&word.span) != skipped.as_ref()
                    && !lower.contains(&last.to_lowercase())
                    && !made.contains(text)
                    && !context.cwd.join(text).exists()
                {
                    out.push((word, text));
                }
            }
        }
        made.extend(
            operands
                .iter()
                .filter(|_| !READING.contains(&name))
                .map(|word| word.text.as_str()),
        );
        if let Some(last) = operands.last() {
            made.insert(last.text.as_str());
        }
        let targets = call
            .redirects
            .iter()
            .filter(|redirect| redirect.operator != "<");
        made.extend(targets.map(|redirect| redirect.target.text.as_str()));
        made.extend(call.operands().windows(2).filter_map(|pair| match pair {
            [option, word] if option.text == "-o" => Some(word.text.as_str()),
            _ => None,
        }));
    }
    out
}

/// A name that is there with spaces, or in other letters.
pub(super) fn respelled(look: &Look<'_>) -> Option<Vec<Edit>> {
    let bare = |name: &str| -> String {
        let name = name.trim_end_matches('/').to_lowercase();
        name.chars().filter(|c| !" _-'\\".contains(*c)).collect()
    };
    let lower = look.asked.to_lowercase();
    let reads = |call: &&Call| {
        call.name().is_some_and(|name| {
            READING.contains(&name) || matches!(name, "rmdir" | "du" | "ls" | "tar" | "zip")
        })
    };
    look.script.calls.iter().filter(reads).find_map(|call| {
        let mut operands: Vec<_> = arguments(call).collect();
        if matches!(call.name(), Some("cp" | "mv")) {
            operands.pop();
        }
        operands.into_iter().find_map(|word| {
            let text = word.text.as_str();
            let plain = word.known && !word.pattern && !text.contains('/') && text.len() > 3;
            if !plain
                || look.context.cwd.join(text).exists()
                || lower.contains(&text.to_lowercase())
            {
                return None;
            }
            look.inside(word)?;
            let there = names(&look.context.cwd);
            // What would be taken for an option is no name to put there.
            let mut alike = there
                .iter()
                .filter(|name| !name.starts_with('-') && bare(name) == bare(text));
            let meant = alike.next().filter(|_| alike.next().is_none())?;
            Some(vec![(word.span.clone(), quoted(meant))])
        })
    })
}

/// The name of a file that is not there, where the request names one that is, and that nothing else reads.
pub(super) fn renamed(look: &Look<'_>) -> Option<Vec<Edit>> {
    let missing = missing(look.context, look.script, look.asked);
    let (_, name) = *missing.first()?;
    if missing.iter().any(|(_, other)| *other != name) {
        return None;
    }
    let lower = look.asked.to_lowercase();
    let mut meant = look.files.iter().filter(|file| {
        lower.contains(&file.to_lowercase())
            && !file.starts_with('-')
            && look.context.cwd.join(file).is_file()
            && !look.command.contains(file.as_str())
    });
    let meant = meant.next().filter(|_| meant.next().is_none())?;
    let edits: Option<Vec<_>> = missing
        .iter()
        .map(|(word, _)| {
            look.inside(word)?;
            Some((word.span.clone(), quoted(meant)))
        })
        .collect();
    edits
}

/// `truncate` that is not told how long the file shall be.
pub(super) fn no_size(call: &Call) -> Option<String> {
    let told = |word: &Word| {
        has_letter(word, "sr")
            || ["--size", "--reference"]
                .iter()
                .any(|long| word.text.starts_with(long))
    };
    (!call.operands().iter().any(told))
        .then(|| "truncate needs -s with the size, as in -s 0".to_owned())
}
