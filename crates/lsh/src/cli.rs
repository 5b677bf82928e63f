// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line: the one table that the parser, the help, the manual page and the completions are made from.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use llamux_usage::Usage;

use crate::shells::{Key, KEY};

/// A terminal in natural language, on top of your own shell.
///
/// It runs bash, zsh or fish as a terminal does, with your own configuration, history and line editor. Ordinary
/// commands run as ever. A line whose first word is no command, and that reads like a sentence, becomes a command
/// that is shown with what it does and how dangerous it is: it is run, edited, described or dropped as you say,
/// and one that needs care runs only when you type yes.
///
/// A "?" before a line has it turned into a command whatever it looks like, and a "?" alone tells why the last
/// command failed. Ctrl-J runs a line as it is; so does Enter where a blank is before it. Alt-L turns what is
/// typed into a command, or completes it where it is one that was begun.
///
/// The kernel's language model writes the commands. Code looks up what they name, and judges how dangerous they
/// are; the model is a small one, and a command may still not be what was meant. Nothing leaves the machine.
#[derive(Debug, Parser)]
#[command(name = "lsh", version, after_long_help = USAGE.after_help(), max_term_width = 100)]
pub struct Cli {
    /// With --dry-run or --json, what is wanted; "-" stands for standard input
    #[arg(value_name = "REQUEST")]
    pub words: Vec<OsString>,

    /// Prints the command for REQUEST, and runs nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Prints one JSON object: for REQUEST the proposal, with --explain what is known about the command
    #[arg(long)]
    pub json: bool,

    /// Tells what COMMAND does, how dangerous it is, and what its parts mean; asks no model
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["words", "dry_run"])]
    pub explain: Option<String>,

    /// Runs this shell instead of the one in SHELL
    #[arg(long, value_name = "PROGRAM")]
    pub shell: Option<OsString>,

    /// Asks the model NAME, as /sys/kernel/llamux/models lists it, instead of the default one
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// Gives up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub timeout: Duration,

    /// The key that turns the line into a command: alt- or ctrl- and a letter, or none
    #[arg(long, value_name = "KEY", default_value = KEY)]
    pub key: Key,

    /// Says nothing at the start
    #[arg(long, short)]
    pub quiet: bool,

    /// For the script of llama shell-init: a line's kind.
    #[arg(long, hide = true)]
    pub widget: Option<String>,

    /// For the script of llama shell-init: about a command that is not found.
    #[arg(long, hide = true)]
    pub not_found: bool,

    /// For the script of llama shell-init: the exit status of the last command.
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub status: Option<i32>,

    /// For the script of llama shell-init: the last command.
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub last: Option<String>,
}

/// A number of seconds, perhaps with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|&seconds: &f64| seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

/// What the help and the manual page say beside the options.
pub const USAGE: Usage<'static> = Usage {
    examples: &[
        ("Begin:", "lsh"),
        (
            "See the command for a request:",
            "lsh --dry-run show the five largest files here",
        ),
        (
            "Use it in a script, with its danger and description:",
            "lsh --json \"which process listens on port 8080\" | jq -r .danger",
        ),
        (
            "Know what a command does before it is run:",
            "lsh --explain \"tar -xzf a.tar.gz -C /tmp\"",
        ),
        (
            "Have the key without lsh, in ~/.bashrc:",
            "eval \"$(llama shell-init bash)\"",
        ),
    ],
    sections: &[],
    exit_status: &[
        (0, "What was asked for is on standard output. As a terminal, lsh ends with the exit status of the shell, whatever it is."),
        (1, "No command was found for the request, or the answer could not be written."),
        (2, "Wrong usage: an unknown option, no request, one that is not UTF-8, or no terminal."),
        (3, "The running kernel has no Llamux, or /dev/llama may not be opened."),
        (4, "The kernel has no model, or none of this name."),
        (5, "The time was up."),
        (6, "A command is on standard output, and part of it could not be verified; standard error says which."),
        (129, "The terminal went away."),
    ],
    environment: &[
        ("SHELL", "The shell that is run."),
        (
            "NO_COLOR",
            "If it is set and not empty, nothing is coloured.",
        ),
        (
            "LSH",
            "Set for the shell: the version of the lsh that it runs in.",
        ),
        (
            "TERM",
            "If it is dumb, the cursor is not moved, and what is shown is not taken away again.",
        ),
    ],
    files: &[
        ("/dev/llama", "How the model is asked; root and the group of this file may."),
        ("~/.bashrc, ~/.zshrc, ~/.config/fish", "What the shell reads at its start, as without lsh."),
        (
            "$XDG_RUNTIME_DIR/lsh-*",
            "A directory that only its user may enter, with the pipes by which the shell asks; gone when lsh ends.",
        ),
    ],
    see_also: &[("llama", 1), ("bash", 1), ("llamux", 7)],
};

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn table_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_refused() {
        for args in [
            &["--timeout", "0"][..],
            &["--key", "ctrl-c"],
            &["--explain"],
            &["--explain", "ls", "--dry-run"],
            &["--frob"],
        ] {
            let error = Cli::try_parse_from([&["lsh"], args].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
    }
}
