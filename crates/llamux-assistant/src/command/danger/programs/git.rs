// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Versions of files.

use crate::command::syntax::{base_name, Word};

use super::super::{ChangesFiles, Effect, NeedsCare, Told, Unknown};
use super::READS;

pub(super) fn versions(name: &str, told: Told<'_>) -> Option<Effect> {
    Some(match name {
        "git" => git(told),
        "gh" | "glab" => {
            if told.says(&["delete", "merge", "close"]) {
                (NeedsCare, "changes what others see")
            } else if told.says(&["list", "view", "status", "diff", "checks"]) {
                READS
            } else {
                (ChangesFiles, "changes what others see")
            }
        }
        _ => return None,
    })
}

/// Keys of git's configuration that say which program runs.
#[rustfmt::skip]
const RUNNING_KEYS: &[&str] = &[
    "alias.", "browser.", "core.askpass", "core.editor", "core.fsmonitor", "core.gitproxy", "core.hookspath", "core.pager",
    "core.sshcommand", "credential", "diff.external", "difftool.", "filter.", "gpg.", "include", "init.templatedir",
    "interactive.difffilter", "man.", "mergetool.", "pager.", "sequence.editor", "uploadpack",
];

/// Keys of git's configuration that run nothing.
#[rustfmt::skip]
const HARMLESS_KEYS: &[&str] = &[
    "advice.", "apply.", "blame.", "branch.", "color.", "column.", "commit.", "core.abbrev", "core.autocrlf",
    "core.compression", "core.eol", "core.filemode", "core.ignorecase", "core.longpaths", "core.preloadindex",
    "core.quotepath", "core.safecrlf", "core.symlinks", "core.whitespace", "diff.algorithm", "diff.color",
    "diff.context", "diff.ignoresubmodules", "diff.interhunkcontext", "diff.mnemonicprefix", "diff.noprefix",
    "diff.relative", "diff.rename", "diff.stat", "diff.submodule", "diff.suppress", "diff.wordregex", "feature.",
    "fetch.", "format.", "gc.auto", "grep.", "http.", "i18n.", "index.", "init.defaultbranch", "log.", "merge.conflict",
    "merge.ff", "merge.rename", "merge.stat", "protocol.version", "pull.", "push.", "rebase.", "rerere.", "safe.",
    "status.", "submodule.recurse", "tag.", "user.",
];

/// Files without a dot in their names that are often versioned.
#[rustfmt::skip]
const FILES_BY_NAME: &[&str] = &[
    "CHANGELOG", "COPYING", "Dockerfile", "Gemfile", "Jenkinsfile", "Kbuild", "Kconfig", "LICENSE", "Makefile", "PKGBUILD",
    "Procfile", "README", "Rakefile", "Vagrantfile",
];

/// What stands before the subcommand, and the subcommand with what it is told.
pub(in crate::command::danger) fn subcommand(told: Told<'_>) -> (&[Word], &[Word]) {
    let values = [
        "-C",
        "-c",
        "--attr-source",
        "--config-env",
        "--git-dir",
        "--namespace",
        "--work-tree",
    ];
    let words = told.behind(&values).0;
    told.0.split_at(told.0.len().saturating_sub(words.len()))
}

/// Whether files are taken out of the repository, over those that are there.
pub(in crate::command::danger) fn checks_out_files(
    told: Told<'_>,
    is_file: impl Fn(&str) -> bool,
) -> bool {
    let Some((verb, words)) = subcommand(told).1.split_first() else {
        return false;
    };
    let told = Told(words, "bB");
    let branch = told.flag('b', "orphan") || told.letter('B') || told.flag('t', "track");
    let mut operands = told.operands();
    verb.text == "checkout"
        && !branch
        && (operands
            .next()
            .is_some_and(|word| is_file(base_name(&word.text)) || is_file(&word.text))
            || operands.next().is_some())
}

/// What options before the subcommand do.
fn configured(words: &[Word]) -> Effect {
    let mut worst = READS;
    let mut words = words.iter().map(|word| word.text.as_str());
    while let Some(option) = words.next() {
        let setting = match option {
            "-c" | "--config-env" => words.next(),
            _ => option.strip_prefix("--config-env="),
        };
        let lower = setting.unwrap_or_default().to_ascii_lowercase();
        let is = |keys: &[&str]| keys.iter().any(|key| lower.starts_with(key));
        if lower.contains('!') || is(RUNNING_KEYS) || option.starts_with("--exec-path=") {
            return (NeedsCare, "has git run another command");
        }
        if setting.is_some() && !is(HARMLESS_KEYS) {
            worst = (Unknown, "sets an option of git that may run a program");
        }
    }
    worst
}

fn git(told: Told<'_>) -> Effect {
    let (before, words) = subcommand(told);
    let configured = configured(before);
    let checks_out = checks_out_files(told, |name| FILES_BY_NAME.contains(&name));
    let effect = if checks_out {
        (NeedsCare, "throws away changes that are not committed")
    } else {
        git_verb(words)
    };
    if configured.0 > effect.0 {
        configured
    } else {
        effect
    }
}

fn git_verb(words: &[Word]) -> Effect {
    const FILES: Effect = (ChangesFiles, "changes the repository or the working tree");
    let verb = words.first().map_or("", |word| word.text.as_str());
    let valued = match verb {
        "clean" => "e",
        "push" => "o",
        "restore" => "sU",
        "tag" => "Fmnu",
        "config" => "f",
        _ => "",
    };
    let told = Told(words.get(1..).unwrap_or_default(), valued);
    let second = told.verb();
    match verb {
        "" | "status" | "log" | "diff" | "show" | "blame" | "shortlog" | "describe"
        | "rev-parse" | "rev-list" | "ls-files" | "ls-tree" | "ls-remote" | "grep" | "cat-file"
        | "count-objects" | "fsck" | "help" | "version" | "whatchanged" | "name-rev" | "cherry"
        | "merge-base" | "diff-tree" | "check-ignore" | "for-each-ref" | "var" | "range-diff"
        | "annotate" | "show-ref" | "show-branch" | "verify-commit" | "verify-tag" => {
            if told.long("output") || told.long("ext-diff") {
                FILES
            } else {
                READS
            }
        }
        "reset" if told.long("hard") || told.long("merge") => {
            (NeedsCare, "throws away changes that are not committed")
        }
        "push" => {
            let forced = told.short('f')
                || told.short('d')
                || told.options().any(|option| {
                    option.starts_with("--force")
                        || option.starts_with("--mirror")
                        || option.starts_with("--del")
                        || option.starts_with("--prune")
                })
                || told
                    .operands()
                    .any(|word| word.text.starts_with('+') || word.text.starts_with(':'));
            if forced {
                (NeedsCare, "overwrites or deletes what others have")
            } else if told.flag('n', "dry-run") {
                READS
            } else {
                (ChangesFiles, "sends commits to another machine")
            }
        }
        "clean" => {
            if told.flag('n', "dry-run") {
                READS
            } else if told.short('f') || told.long("force") {
                (NeedsCare, "deletes files that are not in the repository")
            } else {
                FILES
            }
        }
        "checkout" | "switch" => {
            let paths = told.says(&["--", "."])
                || told
                    .operands()
                    .any(|word| word.text.contains('.') && !word.text.starts_with("origin"));
            if told.short('f') || told.long("force") || told.long("discard-changes") || paths {
                (NeedsCare, "throws away changes that are not committed")
            } else {
                FILES
            }
        }
        "restore" => {
            if told.long("staged") && !told.has('W', "worktree")
                || told.letter('S') && !told.short('W')
            {
                FILES
            } else {
                (NeedsCare, "throws away changes that are not committed")
            }
        }
        "branch" | "tag" | "remote" | "config" | "worktree" | "submodule" | "bisect" | "notes" => {
            git_lists(verb, second, told)
        }
        "stash" => match second {
            "list" | "show" => READS,
            "drop" | "clear" => (NeedsCare, "throws away changes that were put aside"),
            _ => FILES,
        },
        "reflog" => match second {
            "expire" | "delete" => (NeedsCare, "forgets where lost commits are"),
            _ => READS,
        },
        "gc" | "prune" | "repack" => {
            if verb == "prune" || told.long("prune") || told.long("aggressive") && told.computed() {
                (NeedsCare, "deletes commits that nothing leads to")
            } else {
                FILES
            }
        }
        "filter-branch" | "filter-repo" | "replace" | "fast-import" => {
            (NeedsCare, "rewrites the whole history")
        }
        "update-ref" if told.short('d') => (NeedsCare, "deletes a branch or a tag"),
        "rm" => {
            if told.long("cached") {
                FILES
            } else if told.short('r') || told.short('f') {
                (NeedsCare, "deletes files")
            } else {
                FILES
            }
        }
        _ if verb.contains('!') => (NeedsCare, "runs a command of the history again"),
        "add" | "commit" | "merge" | "rebase" | "pull" | "fetch" | "clone" | "init" | "mv"
        | "cherry-pick" | "revert" | "apply" | "am" | "format-patch" | "archive" | "bundle"
        | "reset" | "sparse-checkout" | "maintenance" | "request-pull" | "send-email"
        | "update-index" | "update-ref" | "lfs" | "rerere" | "difftool" | "mergetool" => {
            if verb == "rebase" && told.has('x', "exec") {
                (Unknown, "runs a command for every commit")
            } else {
                FILES
            }
        }
        // An alias, perhaps.
        _ => (Unknown, "runs something that is not of git itself"),
    }
}

/// Subcommands of git that list when they are told nothing.
fn git_lists(verb: &str, second: &str, told: Told<'_>) -> Effect {
    const FILES: Effect = (ChangesFiles, "changes the repository");
    match verb {
        "branch" if told.short('D') || (told.has('d', "delete") && told.has('f', "force")) => (
            NeedsCare,
            "deletes a branch whose commits may be nowhere else",
        ),
        "branch" => {
            let lists = told.options().all(|option| {
                matches!(
                    option,
                    "-a" | "-r"
                        | "-v"
                        | "-vv"
                        | "-l"
                        | "-av"
                        | "-avv"
                        | "--all"
                        | "--remotes"
                        | "--list"
                        | "--show-current"
                        | "--verbose"
                ) || [
                    "--merged",
                    "--no-merged",
                    "--contains",
                    "--sort",
                    "--format",
                    "--points-at",
                ]
                .iter()
                .any(|begin| option.starts_with(begin))
            });
            let named = told.operands().next().is_some()
                && !told.options().any(|option| {
                    option.starts_with("--merged")
                        || option.starts_with("--no-m")
                        || option.starts_with("--con")
                        || option == "--list"
                        || option == "-l"
                });
            if lists && !named {
                READS
            } else {
                FILES
            }
        }
        "tag" => {
            let lists = told.operands().next().is_none() && !told.short('d')
                || told.flag('l', "list")
                || told.long("contains")
                || told.options().any(|option| option.starts_with("--sort"));
            if lists {
                READS
            } else {
                FILES
            }
        }
        "remote" if matches!(second, "" | "show" | "get-url") => READS,
        "config" => {
            let values = told.operands().count();
            let lists = told.flag('l', "list")
                || told.options().any(|option| option.starts_with("--get"))
                || second == "list"
                || second == "get";
            if told.0.iter().any(|word| word.text.starts_with('!')) {
                (NeedsCare, "has git run another command from now on")
            } else if lists
                || (values < 2
                    && !told.options().any(|option| {
                        option.starts_with("--unset")
                            || option.starts_with("--remove")
                            || option == "-e"
                            || option == "--edit"
                    }))
            {
                READS
            } else {
                FILES
            }
        }
        "worktree" if second == "list" => READS,
        "worktree" if told.has('f', "force") => {
            (NeedsCare, "throws away changes that are not committed")
        }
        "submodule" if matches!(second, "" | "status" | "summary") => READS,
        "submodule" if second == "foreach" => (Unknown, "runs a command in every submodule"),
        "bisect" if second == "run" => (Unknown, "runs a command for every step"),
        "bisect" if matches!(second, "log" | "view" | "visualize") => READS,
        "notes" if matches!(second, "" | "list" | "show") => READS,
        _ => FILES,
    }
}
