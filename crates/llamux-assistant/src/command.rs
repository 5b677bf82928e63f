// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Commands of the shell from sentences.
//!
//! The model writes a command behind examples that are like the request. Code reads it as bash does, looks up
//! every program and option that it names, and tells what it would do and how dangerous that is: nothing of
//! what is said about a command comes from the model.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use crate::Model;

mod check;
pub mod danger;
mod describe;
mod files;
mod machine;
mod missing;
mod misuse;
pub mod pairs;
mod propose;
mod syntax;
#[cfg(test)]
mod testing;
mod words;

pub use danger::Danger;
pub use machine::Machine;
pub use syntax::quoted;

/// Where a command is asked for.
#[derive(Clone, Debug)]
pub struct Context {
    /// The shell that would run it.
    pub shell: Shell,
    /// The directory that it would run in.
    pub cwd: PathBuf,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// The distribution.
    pub system: System,
    /// Whether the user is root.
    pub root: bool,
    /// The command before, if one is known.
    pub last: Option<Last>,
    /// Commands before that, the last one last; a few are enough.
    pub history: Vec<String>,
    /// What is installed.
    pub machine: Machine,
}

impl Context {
    /// This process: its directory, its user, this machine, and the shell that is named.
    pub fn here(shell: Shell) -> Self {
        // SAFETY: it reads a number of this process and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        Self {
            shell,
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            home: std::env::var_os("HOME").map(PathBuf::from),
            system: System::of(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()),
            root,
            last: None,
            history: vec![],
            machine: Machine::here(),
        }
    }
}

/// A shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shell {
    /// Bash, or one that understands what it does, as zsh.
    #[default]
    Bash,
    /// Zsh.
    Zsh,
    /// Fish, which has a language of its own: what it would not understand is given to bash.
    Fish,
}

/// A family of distributions, by how packages are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Arch and what is made from it: pacman.
    Arch,
    /// Debian, Ubuntu and what is made from them: apt.
    Debian,
    /// Any other.
    Other,
}

impl System {
    /// The system that `/etc/os-release` tells of.
    pub fn of(os_release: &str) -> Self {
        let value = |key: &str| {
            let line = os_release
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim().trim_matches('"').to_owned()
        };
        let names = format!("{} {}", value("ID"), value("ID_LIKE"));
        let is = |name: &str| names.split_whitespace().any(|word| word == name);
        if is("arch") || is("archarm") {
            Self::Arch
        } else if is("debian") || is("ubuntu") {
            Self::Debian
        } else {
            Self::Other
        }
    }
}

/// The words of each program that a text of bash would start, in the order in which they are written, or why bash would
/// not understand the text. What is known only when it runs stands in a word as it was written.
pub fn programs(text: &str) -> Result<Vec<Vec<String>>, String> {
    let script = syntax::parse(text);
    if let Some((_, error)) = script.errors.into_iter().next() {
        return Err(error);
    }
    let words = |call: syntax::Call| call.words.into_iter().map(|word| word.text).collect();
    Ok(script.calls.into_iter().map(words).collect())
}

/// A command that was run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Last {
    /// The line.
    pub command: String,
    /// Its exit status as `$?` has it.
    pub status: i32,
    /// The end of what it wrote to standard error (or to the terminal), if that is known.
    pub error: Option<String>,
}

/// A command that is proposed. It may be shown and, when the user says so, run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// The command, which may be of several lines.
    pub command: String,
    /// One line: what it does.
    pub description: String,
    /// How dangerous it is.
    pub danger: Danger,
    /// Why, the worst first.
    pub reasons: Vec<Reason>,
    /// What else should be known: that it needs root, or that an unknown option was taken out.
    pub notes: Vec<String>,
    /// What could not be verified. If this is not empty, the command is the best attempt and must be shown as such.
    pub unverified: Vec<Problem>,
    /// What it took.
    pub cost: Cost,
}

/// Why a command is as dangerous as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The part of the command that this is about, in bytes.
    pub span: Range<usize>,
    /// What it does, for instance "deletes directories with all that is in them".
    pub what: String,
    /// How dangerous that is.
    pub danger: Danger,
}

/// Something that is wrong with a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The part of the command, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    #[serde(flatten)]
    pub kind: ProblemKind,
}

/// What can be wrong with a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum ProblemKind {
    /// Bash would not understand it.
    Syntax {
        /// Why not.
        message: String,
    },
    /// A program that is not installed.
    NotInstalled {
        /// Its name.
        program: String,
        /// How to install it, if that is known.
        install: Option<String>,
    },
    /// An option that the program does not have.
    UnknownOption {
        /// The program, with its subcommand.
        program: String,
        /// The option.
        option: String,
    },
    /// A name that still has to be filled in, like `<file>` or `path/to/file`.
    Placeholder {
        /// The name.
        text: String,
    },
    /// Something that cannot do what it is there for, like a file that is not there.
    Misuse {
        /// What, and what there is instead.
        message: String,
    },
}

/// What a proposal took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// How often the model was asked.
    pub asked: u32,
    /// Milliseconds until the first word of the first answer.
    pub first_ms: Option<u64>,
    /// Milliseconds in all.
    pub whole_ms: u64,
    /// Tokens of all prompts.
    pub prompt_tokens: u32,
    /// Tokens of all answers.
    pub tokens: u32,
}

/// Why the last command failed, and what may work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fix {
    /// What its exit status and its message mean.
    pub explanation: String,
    /// What to run instead, if there is something.
    pub proposal: Option<Proposal>,
}

/// What to say about a command that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NotFound {
    /// Installed commands of a similar name, the most similar first.
    pub similar: Vec<String>,
    /// How to install it, if a package is known that has it.
    pub install: Option<String>,
}

/// A part of a command and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The part, in bytes.
    pub span: Range<usize>,
    /// Its text.
    pub text: String,
    /// What it means, if that is known.
    pub meaning: Option<String>,
    /// How deep it stands: what another program starts is one deeper.
    pub depth: usize,
}

/// Why there is no proposal.
#[derive(Debug)]
pub enum ProposeError {
    /// The request says nothing.
    Empty,
    /// The model could not be asked.
    Model(llamux::Error),
    /// It was given up while the model answered.
    Cancelled,
    /// The model answered, but not with a command; or bash would not understand it, nor the second attempt.
    NoCommand {
        /// The best attempt, not to be run.
        attempt: String,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// There is nothing to fix: no last command is known, or it did not fail.
    NothingFailed,
}

/// Proposes a command for a sentence.
///
/// Each part of what the model writes goes to `each`, to show that something happens; it is not vouched for and
/// not to be shown as a command. `false` from it gives up.
pub fn propose(
    model: &mut dyn Model,
    context: &Context,
    request: &str,
    each: &mut dyn FnMut(&str) -> bool,
) -> Result<Proposal, ProposeError> {
    propose::propose(model, context, request, each)
}

/// Completes a half-typed command: the proposal begins with what was typed.
pub fn complete(
    model: &mut dyn Model,
    context: &Context,
    typed: &str,
    each: &mut dyn FnMut(&str) -> bool,
) -> Result<Proposal, ProposeError> {
    propose::complete(model, context, typed, each)
}

/// Explains why [`Context::last`] failed, and proposes what to run instead.
pub fn fix(
    model: &mut dyn Model,
    context: &Context,
    each: &mut dyn FnMut(&str) -> bool,
) -> Result<Fix, ProposeError> {
    propose::fix(model, context, each)
}

/// Tells what may have been meant by the name of a command that does not exist. Asks no model.
pub fn not_found(context: &Context, name: &str) -> NotFound {
    missing::not_found(context, name)
}

/// Tells what a command does in one line. Asks no model.
pub fn summary(context: &Context, command: &str) -> String {
    describe::summary(context, command)
}

/// Tells what every part of a command means, by the syntax tree and the manual. Asks no model.
pub fn describe(context: &Context, command: &str) -> Vec<Part> {
    describe::describe(context, command)
}

/// Looks up what a command names: programs, options, and whether bash would understand it. Asks no model.
pub fn check(context: &Context, command: &str) -> Vec<Problem> {
    check::check(context, command)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { message } | Self::Misuse { message } => f.write_str(message),
            Self::NotInstalled {
                program,
                install: Some(install),
            } => write!(f, "{program} is not installed ({install})"),
            Self::NotInstalled {
                program,
                install: None,
            } => write!(f, "{program} is not installed"),
            Self::UnknownOption { program, option } => {
                write!(f, "{program} has no option {option}")
            }
            Self::Placeholder { text } => write!(f, "{text} has to be filled in"),
        }
    }
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the request is empty: say what should be done"),
            Self::Model(error) => error.fmt(f),
            Self::Cancelled => f.write_str("given up"),
            Self::NoCommand { attempt, problems } => {
                f.write_str("could not find a command for this")?;
                if let Some(problem) = problems.first() {
                    write!(f, ": {problem}")?;
                }
                if !attempt.is_empty() {
                    write!(f, "; the best attempt was: {attempt}")?;
                }
                Ok(())
            }
            Self::NothingFailed => {
                f.write_str("no command that failed is known: run it again, then ask")
            }
        }
    }
}

impl std::error::Error for ProposeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Model(error) => Some(error),
            _ => None,
        }
    }
}

impl From<llamux::Error> for ProposeError {
    fn from(error: llamux::Error) -> Self {
        Self::Model(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_told_by_what_they_are_made_from() {
        for (text, expected) in [
            ("ID=arch\n", System::Arch),
            ("ID=manjaro\nID_LIKE=arch\n", System::Arch),
            ("ID=debian", System::Debian),
            (
                "NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                System::Debian,
            ),
            ("ID=fedora", System::Other),
            ("", System::Other),
        ] {
            assert_eq!(System::of(text), expected, "{text:?}");
        }
    }
}
