// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line: the one table that the parser, the help, the manual page and the completions are made from.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use llamux_usage::Usage;

/// Watches the language model that the kernel runs.
///
/// One screen shows the models and their memory, how fast answers come, who asks, who waits and how long, how long the
/// kernel computed without letting others have the processor, what the cache spared, and what is the matter with the
/// machine. Keys end an answer, choose, load and unload models, and change limits, the nice level and how answers are
/// chosen; "?" lists them.
///
/// Users other than root see their own requests and sessions only, and can end their own answers.
#[derive(Clone, Debug, Parser)]
#[command(name = "llama-mon", version, after_long_help = USAGE.after_help(), max_term_width = 100)]
pub struct Cli {
    /// Prints one screen of plain text, and ends
    #[arg(long, conflicts_with = "json")]
    pub once: bool,

    /// Prints one JSON object, or with --count one a line
    #[arg(long)]
    pub json: bool,

    /// Seconds between two looks, 0.1 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub interval: Duration,

    /// How many objects to print; 0 goes on until it is ended
    #[arg(long, value_name = "N", requires = "json", conflicts_with = "once")]
    pub count: Option<u64>,

    /// Shows what is the matter with the recorded machine in FILE instead of this one; see llama doctor
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,

    /// Reads proc, sys and etc/passwd below DIR instead of /, and changes nothing
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/",
        hide_default_value = true
    )]
    pub root: PathBuf,
}

/// A number of seconds, perhaps with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=3600.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a number of seconds from 0.1 to 3600".to_owned())
}

/// What the help and the manual page say beside the options.
pub const USAGE: Usage<'static> = Usage {
    examples: &[
        ("Watch, and be able to change things:", "sudo llama-mon"),
        ("Have the state in a log:", "llama-mon --once >>llama.log"),
        (
            "See how fast answers are written, each ten seconds:",
            "llama-mon --json --interval 10 --count 0 | jq .decode_tokens_per_second",
        ),
        (
            "Look at files that another system had, kept below /tmp/other:",
            "llama-mon --root /tmp/other --once",
        ),
    ],
    sections: &[("JSON", &crate::report::KEYS)],
    exit_status: &[
        (
            0,
            "It was ended by a key, or what was asked for is on standard output.",
        ),
        (1, "A file could not be read, or the output not be written."),
        (
            2,
            "Wrong usage, or standard output is no terminal and neither --once nor --json was given.",
        ),
        (3, "The running kernel has no Llamux."),
        (
            4,
            "With --once: the kernel has no model, or is still loading it; the text says why.",
        ),
    ],
    environment: &[
        (
            "NO_COLOR",
            "If it is there and not empty, there are no colours.",
        ),
        (
            "TERM",
            "With \"dumb\", plain text is printed again and again instead of a screen.",
        ),
        (
            "LC_ALL, LC_CTYPE, LANG",
            "The first one that is set says whether the terminal has more than ASCII.",
        ),
    ],
    files: &[
        (
            "/proc/llamux/status, stats, latency, usage, sessions",
            "What is shown; readable by all, the last two only about oneself.",
        ),
        (
            "/sys/kernel/llamux/*",
            "Models, memory, limits and settings; root writes them.",
        ),
        (
            "/proc/PID/fd",
            "To end an answer, the file of its conversation is borrowed from the process that has it open \
             (pidfd_getfd(2)): root may do so, and who may trace the process.",
        ),
    ],
    see_also: &[("llama", 1), ("llamux-setup", 8), ("llamux", 7)],
};

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn table_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for args in [
            &["--interval", "0"][..],
            &["--interval", "nan"],
            &["--interval", "1e9"],
            &["--count", "3"],
            &["--once", "--json"],
            &["--once", "--count", "1"],
            &["x"],
        ] {
            let error = Cli::try_parse_from(["llama-mon"].iter().chain(args)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
        let args = ["llama-mon", "--json", "--interval", "0.5", "--count", "0"];
        let cli = Cli::try_parse_from(args).unwrap();
        assert_eq!(cli.interval, Duration::from_millis(500));
    }
}
