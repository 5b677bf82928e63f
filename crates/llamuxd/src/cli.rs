// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line: one table for help, manual page and completions.

use std::path::PathBuf;

use clap::Parser;
use llamux_usage::Usage;

/// Serve the kernel's language model to the clients of OpenAI's protocol
///
/// Programs that speak the protocol of OpenAI's API ask the model that a Llamux kernel runs, by a unix socket, on
/// which each request is on the account of the user who asks, or by TCP with keys. Chosen models, or what is too
/// much for the kernel, can be answered by engines elsewhere. A web page to chat is at /, the state at /health,
/// counters for Prometheus at /metrics.
#[derive(Debug, Parser)]
#[command(name = "llamuxd", version, after_long_help = USAGE.after_help())]
pub struct Cli {
    /// Reads this configuration instead of /etc/llamux/llamuxd.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Checks the configuration and the keys, and ends
    #[arg(long)]
    pub check_config: bool,
    /// Makes a key, prints it on standard output and the line for the file of keys on standard error, and ends
    #[arg(long, value_name = "NAME", conflicts_with = "check_config")]
    pub new_key: Option<String>,
}

/// What the help and the manual page say beside the options.
pub const USAGE: Usage<'static> = Usage {
    examples: &[
        (
            "Ask by the unix socket:",
            "curl --unix-socket /run/llamux/llamuxd.sock http://localhost/v1/chat/completions \
             --json '{\"model\": \"default\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}]}'",
        ),
        ("Make a key for a client that comes by TCP:", "llamuxd --new-key anna 2>>/etc/llamux/keys"),
        ("See whether a changed configuration is right:", "llamuxd --check-config"),
    ],
    sections: &[("SIGNALS", &[
        ("SIGTERM, SIGINT", "End, when the answers that are under way have come to their end, after 20 seconds at most."),
        ("SIGHUP", "Read the keys again. A file that is wrong changes nothing."),
    ])],
    exit_status: &[
        (0, "It was told to end, or what was asked for was done."),
        (1, "The configuration or the keys are wrong, or a socket cannot be had; standard error says why."),
        (2, "The command line is wrong."),
    ],
    environment: &[],
    files: &[
        (
            "/etc/llamux/llamuxd.toml",
            "The configuration; without it, all is as by default.",
        ),
        (
            "/etc/llamux/keys",
            "Keys of clients that come by TCP: a name and the SHA-256 of a key on each line.",
        ),
        ("/run/llamux/llamuxd.sock", "The unix socket."),
        ("/dev/llama", "The kernel's model."),
    ],
    see_also: &[("llamuxd.toml", 5), ("llama", 1), ("llamux", 7)],
};

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn table_is_sound() {
        Cli::command().debug_assert();
    }
}
