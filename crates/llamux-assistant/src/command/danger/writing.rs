// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is written, overwritten and deleted.

use std::path::{Path, PathBuf};

use crate::command::syntax::{apart, base_name, By, Call, Redirect, Script, Word};

use super::places::{critical, place, Place};
use super::programs::checks_out_files;
use super::told::Told;
use super::{ChangesFiles, ChangesSystem, Danger, Effect, Judge, NeedsCare, ReadOnly, Unknown};

impl Judge<'_> {
    pub(super) fn redirect(&mut self, redirect: &Redirect, privileged: bool) {
        let operator = redirect.operator.as_str();
        let target = &redirect.target;
        let writes = operator.contains('>');
        let descriptor = operator.ends_with('&')
            && (target.text == "-" || target.text.chars().all(|c| c.is_ascii_digit()));
        if !writes || descriptor {
            return;
        }
        let appends = operator.contains(">>");
        let (danger, what) = self.written(target, appends, privileged);
        self.add(&target.span, danger, what);
    }

    /// What writing a file is.
    fn written(&self, target: &Word, appends: bool, privileged: bool) -> (Danger, String) {
        let text = target.text.as_str();
        if !target.known || target.pattern {
            return match self.home_path(text) {
                Some(path) if path.exists() && !appends => {
                    (NeedsCare, format!("overwrites {text}, which exists"))
                }
                Some(_) => (ChangesFiles, format!("writes {text}")),
                None => (
                    ChangesFiles,
                    "writes a file whose name is only known when it runs".into(),
                ),
            };
        }
        let (danger, what) = match place(text) {
            Place::Nothing => (ReadOnly, String::new()),
            Place::Device => (NeedsCare, format!("writes to the device {text}")),
            Place::Kernel => (
                ChangesSystem,
                format!("changes a setting of the kernel, {text}"),
            ),
            Place::System if appends => (ChangesSystem, format!("adds to {text}")),
            Place::System => (
                NeedsCare,
                format!("overwrites {text}, a file of the system"),
            ),
            Place::Login => (
                if appends { ChangesSystem } else { NeedsCare },
                format!("changes {text}, which decides who may log in or what runs then"),
            ),
            Place::User if appends => (ChangesFiles, format!("adds to {text}")),
            Place::User if self.exists(text) => {
                (NeedsCare, format!("overwrites {text}, which exists"))
            }
            Place::User if self.context.is_some() => (ChangesFiles, format!("makes {text}")),
            Place::User => (ChangesFiles, format!("makes or overwrites {text}")),
        };
        if privileged && danger == ChangesFiles {
            return (ChangesSystem, what);
        }
        (danger, what)
    }

    /// What `$HOME/...` and `~/...` stand for.
    fn home_path(&self, text: &str) -> Option<PathBuf> {
        let home = self.context?.home.as_ref()?;
        ["~/", "$HOME/", "${HOME}/"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .map(|rest| home.join(rest))
    }

    fn exists(&self, text: &str) -> bool {
        let Some(context) = self.context else {
            return false;
        };
        match self.home_path(text) {
            Some(path) => path.exists(),
            None => context.cwd.join(text).exists(),
        }
    }

    /// Programs that write the files that they are told, as `cp` and `tee` do.
    pub(super) fn writing(&mut self, name: &str, told: Told<'_>, call: &Call) -> Option<Effect> {
        let privileged = call.privileged;
        match name {
            "git" if checks_out_files(told, |name| self.exists(name)) => {
                Some((NeedsCare, "throws away changes that are not committed"))
            }
            "tee" | "sponge" => {
                let appends = told.has('a', "append");
                for target in told.operands() {
                    let (danger, what) = self.written(target, appends, privileged);
                    self.add(&target.span, danger, what);
                }
                Some((ReadOnly, ""))
            }
            "sort" | "shuf" | "curl" | "gcc" | "cc" | "g++" | "clang" | "openssl" | "gpg"
            | "yt-dlp" | "tcpdump" | "wget" | "pandoc" | "xmllint" | "hexdump" | "dig" => {
                let output: &[&str] = match name {
                    "openssl" => &["-out"],
                    "tcpdump" => &["-w"],
                    "wget" => &["-O", "--output-document"],
                    "hexdump" | "dig" => &[],
                    _ => &["-o", "--output"],
                };
                let mut words = told.0.iter();
                let mut found = false;
                while let Some(word) = words.next() {
                    let target = if output.contains(&word.text.as_str()) {
                        words.next().cloned()
                    } else {
                        output
                            .iter()
                            .filter(|option| option.starts_with("--"))
                            .find_map(|option| word.text.strip_prefix(*option)?.strip_prefix('='))
                            .map(|text| Word {
                                text: text.into(),
                                ..word.clone()
                            })
                    };
                    if let Some(target) = target.filter(|target| target.text != "-") {
                        found = true;
                        let (danger, what) = self.written(&target, false, privileged);
                        self.add(&target.span, danger, what);
                    }
                }
                // What else these are told, others look at.
                if found && matches!(name, "sort" | "shuf" | "openssl" | "xmllint" | "pandoc") {
                    return Some((ReadOnly, ""));
                }
                None
            }
            "cp" | "mv" | "install" | "ln" | "rsync" | "scp" => {
                let directory = told.0.iter().position(|word| word.text == "-t");
                let target = match directory {
                    Some(at) => told.0.get(at + 1),
                    None => told.last(),
                }?;
                let careful = told.flag('n', "no-clobber")
                    || told.flag('i', "interactive")
                    || told.flag('b', "backup")
                    || name == "rsync"
                    || name == "scp";
                let sources = told.operands().filter(|word| *word != target);
                if name == "mv" {
                    for source in sources.clone() {
                        if critical(&source.text) {
                            return Some((NeedsCare, "moves a directory that must stay"));
                        }
                    }
                }
                if target.text == "/dev/null" && name == "mv" {
                    return Some((NeedsCare, "destroys what is moved there"));
                }
                if matches!(place(&target.text), Place::Device) && target.known {
                    return Some((NeedsCare, "writes to a device"));
                }
                if matches!(
                    place(&target.text),
                    Place::System | Place::Login | Place::Kernel
                ) {
                    return Some((ChangesSystem, "changes files of the system"));
                }
                if !careful && target.known && !target.pattern {
                    if let Some(existing) = self.overwritten(target, sources) {
                        let forces = name == "ln" && !told.has('f', "force");
                        if !forces {
                            let what = format!("overwrites {existing}, which exists");
                            self.add(&target.span, NeedsCare, what);
                        }
                    }
                }
                if name == "mv"
                    && told
                        .operands()
                        .any(|word| matches!(place(&word.text), Place::System | Place::Login))
                {
                    return Some((ChangesSystem, "moves files of the system"));
                }
                if name == "rsync"
                    && told
                        .options()
                        .any(|option| option.starts_with("--del") || option.starts_with("--remove"))
                {
                    return Some((NeedsCare, "deletes files that are not in both places"));
                }
                if name == "rsync" && remote_shells(told).any(|shell| !transports(&shell.text)) {
                    return Some((NeedsCare, "runs a command by the way"));
                }
                if name == "rsync" && told.flag('n', "dry-run") {
                    return Some((ReadOnly, ""));
                }
                Some((
                    ChangesFiles,
                    match name {
                        "mv" => "moves files",
                        "ln" => "makes links",
                        _ => "copies files",
                    },
                ))
            }
            _ => None,
        }
    }

    /// The file that copying or moving to a place would overwrite.
    fn overwritten<'w>(
        &self,
        target: &Word,
        sources: impl Iterator<Item = &'w Word>,
    ) -> Option<String> {
        let context = self.context?;
        let at = match self.home_path(&target.text) {
            Some(path) => path,
            None => context.cwd.join(&target.text),
        };
        if at.is_dir() {
            return sources
                .filter(|source| source.known && !source.pattern)
                .filter_map(|source| Path::new(&source.text).file_name())
                .map(|name| at.join(name))
                .find(|path| path.exists())
                .map(|path| path.display().to_string());
        }
        at.exists().then(|| target.text.clone())
    }
}

/// What `rsync` is told to reach the other machine with, or to run there.
fn remote_shells(told: Told<'_>) -> impl Iterator<Item = Word> {
    let options = ["-e", "--rsh", "--rsync-path"];
    apart(told.0, &options, &["-B", "-f", "-M", "-T"])
        .0
        .into_iter()
}

/// Whether a command of `rsync` does nothing but to carry its data.
fn transports(command: &str) -> bool {
    let mut words = command.split_whitespace().map(base_name);
    let first = words.next().unwrap_or_default();
    match first {
        "ssh" => !command.to_ascii_lowercase().contains("command"),
        "rsync" => true,
        "sudo" | "doas" => words.next() == Some("rsync"),
        _ => false,
    }
}

/// `find`, but for the programs that it starts.
pub(super) fn finding(told: Told<'_>, script: &Script) -> Effect {
    let deletes = |text: &str| {
        let mut words = text.split_whitespace();
        words.any(|word| word == "-delete" || word.starts_with("-exec") || word.starts_with("-ok"))
    };
    if told.says(&["-delete"]) {
        return (NeedsCare, "deletes all that it finds");
    }
    // A variable without quotes may be any words.
    let open = |word: &&Word| {
        let places = ["$HOME", "$OLDPWD", "$PWD", "$TMPDIR"];
        !word.known
            && !word.quoted
            && word.text.starts_with(['$', '`'])
            && !places.iter().any(|place| word.text.starts_with(place))
    };
    let mut worst = (ReadOnly, "");
    for word in told.0.iter().filter(open) {
        let name = word.text.trim_matches(['$', '{', '}']);
        let mut values = script
            .variables
            .iter()
            .filter(|(of, _)| of == name)
            .peekable();
        let known = values.peek().is_some();
        for (_, value) in values {
            match value {
                Some(value) if deletes(value) => return (NeedsCare, "deletes all that it finds"),
                Some(value) if !value.contains('-') => {}
                _ => worst = UNSEEN,
            }
        }
        if !known {
            worst = UNSEEN;
        }
    }
    if worst.0 == ReadOnly && told.says(&["-fprint", "-fprintf", "-fls", "-fprint0"]) {
        return (ChangesFiles, "writes what it finds to a file");
    }
    worst
}

const UNSEEN: Effect = (Unknown, "does what is only known when it runs");

/// `rm` and what else deletes.
pub(super) fn deleting(name: &str, told: Told<'_>, call: &Call) -> Option<Effect> {
    match name {
        "rm" | "unlink" | "rmdir" | "trash" | "trash-put" | "gio" => {}
        "trash-empty" => return Some((NeedsCare, "deletes what was thrown away")),
        _ => return None,
    }
    if name == "gio" {
        return Some(match told.verb() {
            "trash" if told.has('e', "empty") => (NeedsCare, "deletes what was thrown away"),
            "remove" => (NeedsCare, "deletes files"),
            "info" | "list" | "cat" | "tree" | "mime" | "version" => (ReadOnly, ""),
            _ => (ChangesFiles, "changes files"),
        });
    }
    if name.starts_with("trash") {
        return Some((ChangesFiles, "throws files away, to be had back"));
    }
    if name == "rm" && (told.short('r') || told.short('R') || told.long("recursive")) {
        return Some((NeedsCare, "deletes directories with all that is in them"));
    }
    if told.operands().any(|word| critical(&word.text)) {
        return Some((NeedsCare, "deletes a place that must stay"));
    }
    if name == "rmdir" {
        return Some((ChangesFiles, "deletes empty directories"));
    }
    if told.computed() {
        return Some((
            NeedsCare,
            "deletes files whose names are only known when it runs",
        ));
    }
    if call.by == By::Many {
        return Some((
            NeedsCare,
            "deletes files whose names come from another command",
        ));
    }
    if told.operands().any(|word| word.pattern) {
        return Some((NeedsCare, "deletes all files of a pattern"));
    }
    let anothers = |word: &Word| !matches!(place(&word.text), Place::User | Place::Nothing);
    if call.privileged || told.operands().any(anothers) {
        return Some((NeedsCare, "deletes files of the system"));
    }
    Some((ChangesFiles, "deletes files"))
}
