// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Other programs for which it matters what they are told.

use crate::command::syntax::Word;

use super::super::places::{critical, place, Place};
use super::super::{ChangesFiles, ChangesSystem, Effect, NeedsCare, Told, Unknown};
use super::{FILES, READS};

pub(super) fn tools(name: &str, told: Told<'_>) -> Option<Effect> {
    let verb = told.verb();
    Some(match name {
        "chmod" | "chown" | "chgrp" | "setfacl" => {
            let mode = verb;
            let system = |word: &Word| {
                critical(&word.text) || matches!(place(&word.text), Place::System | Place::Device)
            };
            let open = |mode: &str| {
                let octal = mode.len() >= 3 && mode.chars().all(|c| c.is_digit(8));
                (octal && mode.ends_with(['2', '3', '6', '7']))
                    || (octal && mode.len() == 4 && !mode.starts_with('0'))
                    || mode.split(',').any(|part| {
                        let (who, what) =
                            part.split_at(part.find(['+', '=']).unwrap_or(part.len()));
                        (what.contains('w') && (who.contains('o') || who.contains('a')))
                            || what.contains('s')
                    })
            };
            if told.short('R') || told.long("recursive") {
                (NeedsCare, "changes rights of all that is in a directory")
            } else if name == "chmod" && open(mode) {
                (NeedsCare, "lets everyone write, or run it as its owner")
            } else if told.operands().skip(1).any(system) {
                (ChangesSystem, "changes rights of the system's files")
            } else {
                (ChangesFiles, "changes rights of files")
            }
        }
        "mysql" | "mariadb" | "psql" | "sqlite3" | "redis-cli" | "mongosh" | "mongo" => {
            let harmful = |word: &Word| {
                let text = word.text.to_ascii_lowercase();
                [
                    "drop ",
                    "delete ",
                    "truncate ",
                    "update ",
                    "alter ",
                    "flushall",
                    "flushdb",
                    "dropdatabase",
                    ".shell",
                    ".system",
                    "\\!",
                    "writefile",
                    "load_extension",
                    "edit(",
                ]
                .iter()
                .any(|part| text.contains(part))
            };
            let statement = |text: &str| {
                [
                    "select ",
                    ".tables",
                    ".schema",
                    "show ",
                    "explain ",
                    "describe ",
                    "\\dt",
                    "\\l",
                ]
                .iter()
                .any(|begin| text.starts_with(begin))
                    && !text.contains(" into ")
            };
            let looks = |word: &Word| {
                let text = word.text.to_ascii_lowercase();
                let mut statements = text.split(';').map(str::trim_start);
                statements.next().is_some_and(statement)
                    && statements.all(|text| text.is_empty() || statement(text))
            };
            if told.0.iter().any(harmful) {
                (NeedsCare, "changes or deletes what is in a database")
            } else if told.0.iter().any(looks) && !told.computed() {
                READS
            } else {
                (Unknown, "does something with a database")
            }
        }
        "make" | "ninja" | "cmake" | "meson" | "just" | "rake" | "gradle" | "mvn" | "ant"
        | "scons" | "bazel" => {
            let dry = told.flag('n', "just-print") || told.long("dry-run");
            if name == "make" && dry && !told.long("eval") {
                READS
            } else {
                (Unknown, "runs what a project says")
            }
        }
        "cargo" | "go" | "rustup" | "dotnet" => match verb {
            _ if told.options().any(|option| {
                let option = option.trim_start_matches('-');
                ["vettool", "toolexec", "exec="]
                    .iter()
                    .any(|name| option.starts_with(name))
            }) =>
            {
                (NeedsCare, "has another program run by an option")
            }
            "env" if told.letter('w') || told.letter('u') => FILES,
            "tree" | "metadata" | "search" | "version" | "env" | "list" | "doc" | "show"
            | "vet" => READS,
            "fmt" | "new" | "init" | "clean" | "add" | "mod" | "update" | "fetch" => FILES,
            "install" | "uninstall" | "publish" | "default" | "toolchain" | "target"
            | "component" => (ChangesSystem, "changes what is installed"),
            _ => (Unknown, "runs what a project says"),
        },
        "gpg" | "gpg2" => {
            if told.options().any(|option| option.starts_with("--delete")) {
                (NeedsCare, "deletes keys")
            } else if told.options().any(|option| {
                option.starts_with("--list")
                    || option.starts_with("--fingerprint")
                    || option == "-k"
                    || option == "-K"
                    || option.starts_with("--verify")
                    || option == "--print-md"
                    || option.starts_with("--show")
            }) {
                READS
            } else {
                FILES
            }
        }
        "openssl" => {
            if told.says(&["-out", "-keyout"]) {
                FILES
            } else {
                READS
            }
        }
        "ssh-keygen" if told.letters().iter().any(|letter| "lyF".contains(*letter)) => READS,
        "ssh-add" if told.letter('l') || told.letter('L') => READS,
        "exiftool" => {
            let writes = |option: &str| {
                option.contains(['=', '<'])
                    || matches!(option, "-o" | "-w" | "-w!" | "-W" | "-W!" | "-@")
                    || ["-overwrite_original", "-restore_original", "-tagsfromfile"]
                        .iter()
                        .any(|begin| option.to_ascii_lowercase().starts_with(begin))
            };
            if told
                .options()
                .any(|option| option.starts_with("-delete_original"))
            {
                (NeedsCare, "deletes the files as they were")
            } else if told.options().any(writes) {
                FILES
            } else {
                READS
            }
        }
        "ffmpeg" if told.short('y') && told.says(&["-y"]) => {
            (NeedsCare, "overwrites files without asking")
        }
        "mogrify" => (NeedsCare, "changes pictures in place"),
        "rename" | "prename" | "perl-rename" => {
            if told.flag('n', "no-act") || told.long("nono") {
                READS
            } else {
                (ChangesFiles, "renames files")
            }
        }
        "mktemp" | "mkdir" | "touch" | "mkfifo" => (ChangesFiles, "makes files or directories"),
        "history" => {
            if told.short('c') || told.short('d') || told.short('w') {
                (ChangesFiles, "changes the history")
            } else {
                READS
            }
        }
        "fc" if !told.letter('l') => (NeedsCare, "runs a command of the history again"),
        "tmux" | "screen" | "zellij" => match verb {
            _ if told.says(&["kill-server", "kill-session"]) => {
                (NeedsCare, "ends all that runs in a session")
            }
            _ if told.says(&[";"]) => (Unknown, "does something in another terminal"),
            "ls" | "list-sessions" | "" | "attach" | "a" | "new" | "new-session" => READS,
            _ if name == "screen" && told.says(&["-ls", "-list"]) => READS,
            _ => (Unknown, "does something in another terminal"),
        },
        "wakeonlan" | "ydotool" | "xdotool" => (ChangesFiles, "acts elsewhere"),
        "chattr" if told.short('R') => (
            NeedsCare,
            "changes attributes of all that is in a directory",
        ),
        _ => return None,
    })
}
