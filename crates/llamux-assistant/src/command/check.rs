// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is wrong with a command: what bash would not understand, programs that are not installed, options that
//! a program does not have, and names that are still to be filled in.

use super::machine::mentions;
use super::syntax::{self, Call, Script};
use super::{missing, misuse, Context, Problem, ProblemKind};

/// What bash itself can do.
#[rustfmt::skip]
const BUILTINS: &[&str] = &[
    ".", ":", "[", "[[", "alias", "bg", "bind", "break", "builtin", "caller", "case", "cd", "command", "compgen",
    "complete", "compopt", "continue", "coproc", "declare", "dirs", "disown", "echo", "enable", "eval", "exec", "exit",
    "export", "false", "fc", "fg", "getopts", "hash", "help", "history", "jobs", "kill", "let", "local", "logout",
    "mapfile", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly", "return", "set", "shift", "shopt",
    "source", "suspend", "test", "time", "times", "trap", "true", "type", "typeset", "ulimit", "umask", "unalias",
    "unset", "wait",
];

/// Programs whose first operands are subcommands with options of their own.
#[rustfmt::skip]
pub(super) const WITH_VERBS: &[&str] = &[
    "git", "docker", "podman", "cargo", "npm", "ip", "kubectl", "btrfs", "apt", "apt-get", "systemctl", "nmcli",
    "flatpak", "snap", "dnf", "pip", "pip3", "go", "rustup", "gh", "zfs", "zpool", "virsh", "udisksctl", "loginctl",
    "timedatectl", "hostnamectl", "localectl", "apt-mark", "apt-cache", "cryptsetup", "journalctl", "resolvectl",
];

pub(super) fn check(context: &Context, command: &str) -> Vec<Problem> {
    let script = syntax::parse(command);
    let mut problems: Vec<_> = script
        .errors
        .iter()
        .map(|(span, message)| Problem {
            span: span.clone(),
            kind: ProblemKind::Syntax {
                message: message.clone(),
            },
        })
        .collect();
    for call in &script.calls {
        program(context, &script, call, &mut problems);
        options(context, call, &mut problems);
        if call.name() == Some("find") {
            if let Some(help) = context.machine.busybox_help("find") {
                find(&help, call, &mut problems);
            }
        }
        placeholders(call, &mut problems);
    }
    problems.extend(misuse::problems(context, &script));
    problems
}

/// Whether a name is one of the shell's own commands.
pub(super) fn builtin(name: &str) -> bool {
    BUILTINS.contains(&name)
}

fn program(context: &Context, script: &Script, call: &Call, problems: &mut Vec<Problem>) {
    let (Some(first), Some(name)) = (call.words.first(), call.name()) else {
        return;
    };
    let defined = script.functions.iter().any(|(defined, ..)| defined == name);
    if defined || first.text.contains('/') || builtin(name) || name.is_empty() {
        return;
    }
    if context.machine.program(name).is_none() {
        problems.push(Problem {
            span: first.span.clone(),
            kind: ProblemKind::NotInstalled {
                program: name.into(),
                install: missing::install(context.system, name),
            },
        });
    }
}

fn options(context: &Context, call: &Call, problems: &mut Vec<Problem>) {
    let Some(name) = call.name().filter(|name| !builtin(name)) else {
        return;
    };
    let verbs: Vec<&str> = if WITH_VERBS.contains(&name) {
        call.operands()
            .iter()
            .map(|word| word.text.as_str())
            .filter(|text| !text.starts_with('-'))
            .take(2)
            .collect()
    } else {
        vec![]
    };
    // What stands behind the program that it starts belongs to that one.
    let own = own_words(call);
    for word in call.operands().iter().take(own) {
        if word.text == "--" {
            break;
        }
        let option = word.text.split('=').next().unwrap_or_default();
        let long = option.len() > 2 && option.starts_with("--");
        if !long
            || !option
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        {
            continue;
        }
        if context.machine.has_option(name, &verbs, option) == Some(false) {
            let program = match verbs.first() {
                Some(verb) if matches!(name, "git" | "docker" | "cargo" | "npm") => {
                    format!("{name} {verb}")
                }
                _ => name.to_owned(),
            };
            problems.push(Problem {
                span: word.span.clone(),
                kind: ProblemKind::UnknownOption {
                    program,
                    option: option.into(),
                },
            });
        }
    }
}

/// What find of busybox is told, which knows less than others do, and has words for options.
fn find(help: &str, call: &Call, problems: &mut Vec<Problem>) {
    // What it knows and does not say.
    const MORE: &[&str] = &["-and", "-not", "-or"];
    let mut others = false;
    for word in call.operands() {
        let text = word.text.as_str();
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let option = text.strip_prefix('-').is_some_and(|rest| {
            rest.len() > 1 && is_word(rest) && rest.starts_with(|c: char| c.is_ascii_alphabetic())
        });
        // What it starts has options of its own.
        match text {
            "-exec" | "-execdir" | "-ok" | "-okdir" => others = true,
            ";" | "+" => others = false,
            _ if others => continue,
            _ => (),
        }
        if option && !MORE.contains(&text) && !mentions(help, text) {
            problems.push(Problem {
                span: word.span.clone(),
                kind: ProblemKind::UnknownOption {
                    program: "find".into(),
                    option: text.into(),
                },
            });
        }
    }
}

/// How many words behind its name are a call's own.
fn own_words(call: &Call) -> usize {
    if !call.starts_others {
        return call.operands().len();
    }
    call.operands()
        .iter()
        .position(|word| !word.text.starts_with('-') && !word.text.contains('='))
        .unwrap_or(call.operands().len())
}

fn placeholders(call: &Call, problems: &mut Vec<Problem>) {
    let targets = call.redirects.iter().map(|redirect| &redirect.target);
    for word in call.words.iter().chain(targets) {
        let text = word.text.as_str();
        let upper = text.to_ascii_uppercase();
        let value = upper
            .rsplit_once('=')
            .map_or(upper.as_str(), |(_, value)| value);
        let angle = text.starts_with('<') && text.ends_with('>') && text.len() > 2 && word.quoted;
        if text.contains("path/to")
            || text.contains("/your/")
            || angle
            || ["YOUR_", "YOUR-"]
                .iter()
                .any(|your| value.starts_with(your))
            || ["YOUR NAME", "YOUR EMAIL", "YOUR MESSAGE"].contains(&value)
        {
            problems.push(Problem {
                span: word.span.clone(),
                kind: ProblemKind::Placeholder { text: text.into() },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Machine, Shell};
    use super::*;

    #[test]
    fn what_is_not_there_is_found_wherever_it_is_started() {
        let context = Context {
            machine: Machine::of(vec!["/usr/bin".into(), "/bin".into()], vec![], vec![]),
            ..Context::here(Shell::Bash)
        };
        for command in [
            "frobnicate",
            "ls | frobnicate",
            "xargs frobnicate",
            "find . -exec frobnicate {} +",
            "sh -c 'frobnicate'",
            "echo $(frobnicate)",
            "env A=1 frobnicate",
        ] {
            let problems = check(&context, command);
            let found = problems.iter().any(|problem| {
                matches!(&problem.kind, ProblemKind::NotInstalled { program, .. } if program == "frobnicate")
            });
            assert!(found, "{command}: {problems:?}");
        }
        for command in [
            "cd /",
            "[ -e a ]",
            "f() { :; }; f",
            "./frobnicate",
            "if true; then echo; fi",
            "ls > $x",
        ] {
            assert_eq!(check(&context, command), [], "{command}");
        }
    }

    #[test]
    fn find_of_busybox_is_told_what_it_knows() {
        let help = "-name PATTERN\n\t-mtime DAYS\n\t-exec CMD ARG ;\n\t-print0\t";
        for (command, unknown) in [
            ("find . -name '*.c' -not -mtime -7 -mtime +1", &[][..]),
            ("find . -name x -delete", &["-delete"]),
            (
                "find . -printf '%s' -exec ls -lah --full-time {} + -ls",
                &["-printf", "-ls"],
            ),
            ("find . -exec ls -lah {} \\; -print", &[]),
        ] {
            let mut problems = vec![];
            find(help, &syntax::parse(command).calls[0], &mut problems);
            let found: Vec<_> = problems
                .iter()
                .map(|problem| &command[problem.span.clone()])
                .collect();
            assert_eq!(found, unknown, "{command}");
        }
    }

    #[test]
    fn names_that_are_to_be_filled_in_are_found() {
        let context = Context::here(Shell::Bash);
        for command in [
            "cat /path/to/file",
            "cat '<file>'",
            "ls > path/to/x",
            "cat YOUR_FILE",
            "git log --author='Your Name'",
        ] {
            let problems = check(&context, command);
            let found = |problem: &Problem| matches!(problem.kind, ProblemKind::Placeholder { .. });
            assert!(problems.iter().any(found), "{command}: {problems:?}");
        }
    }
}
