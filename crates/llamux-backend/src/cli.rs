// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line: the one table that the parser, the help, the manual page and the completions
//! are made from.

use std::path::PathBuf;

use clap::Parser;
use llamux_usage::Usage;

/// Lets another engine answer as a model of the kernel.
///
/// Registers a model with the kernel, and answers what programs ask of it by a server that speaks
/// OpenAI's protocol, such as those of llama.cpp, vLLM and Ray Serve. Programs notice nothing:
/// llama_command(2), /dev/llama and /proc/llamux/prompt reach the server by the model's name, or without
/// one if it is the default.
///
/// The model is there as long as the server is: it is registered when the server is ready, goes when the
/// server does, and comes again with it. What callers ask is sent to the server as text. Answers are
/// streamed, several at once, and ended when nobody waits for them any more.
#[derive(Debug, Parser)]
#[command(name = "llamux-backend", version, after_long_help = USAGE.after_help(), max_term_width = 100)]
pub struct Cli {
    /// The model's name in the kernel, as in /sys/kernel/llamux/models
    pub name: String,

    /// Where the server is, with the version of its protocol, as in http://127.0.0.1:8080/v1
    #[arg(long)]
    pub url: String,

    /// What the server calls the model [default: the first that it lists]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// A file with the key that the server wants
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Makes the model the kernel's default, each time that it is registered
    #[arg(long)]
    pub default: bool,

    /// Tokens of the model's context [default: what the server says, or 4096]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub context: Option<u32>,

    /// How many questions the server is asked at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub active: u32,

    /// Seconds without a word of the server after which a caller is told that the time is up
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub timeout: u32,

    /// Offers embeddings as well, if the server makes them
    #[arg(long)]
    pub embeddings: bool,

    /// Offers no completion of raw text, for servers that know chats alone
    #[arg(long)]
    pub no_raw: bool,

    /// Sends only parameters that OpenAI's own servers know, without top-k, min-p and the repeat penalty
    #[arg(long)]
    pub strict: bool,
}

/// What the help and the manual page say beside the options.
pub const USAGE: Usage<'static> = Usage {
    examples: &[],
    sections: &[],
    exit_status: &[
        (
            0,
            "It was ended by SIGTERM or SIGINT, or an administrator has unloaded the model.",
        ),
        (
            1,
            "It cannot go on: the key cannot be read, the kernel has no Llamux, it is not run by root, or the name is taken.",
        ),
        (2, "The command line is wrong."),
    ],
    environment: &[],
    files: &[
        ("/dev/llama-backend", "Where the model is registered."),
        (
            "/sys/kernel/llamux/default",
            "The default model, which is set with --default.",
        ),
        (
            "/etc/llamux/backends/NAME.conf",
            "What the unit llamux-backend@NAME.service runs it with: a line OPTIONS=, as in OPTIONS=\"--url http://127.0.0.1:8080/v1 --default\".",
        ),
    ],
    see_also: &[("llama", 1), ("llama_command", 2), ("llamux", 7)],
};

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_table_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let parse = |option: &str| {
            Cli::try_parse_from(["llamux-backend", "x", "--url", "http://h/v1", option])
        };
        assert!(parse("--active=256").is_ok());
        for option in [
            "--active=0",
            "--active=257",
            "--timeout=0",
            "--timeout=3601",
            "--context=0",
        ] {
            assert!(parse(option).is_err(), "{option}");
        }
        assert!(Cli::try_parse_from(["llamux-backend", "x"]).is_err());
    }
}
