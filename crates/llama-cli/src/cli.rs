// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line: the one table that the parser, the help, the manual page and the completions
//! are made from.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use llamux_usage::Usage;

/// Asks the language model that the kernel runs.
///
/// The words of the question are joined by blanks. Without words, or where a word is "-", the
/// question is read from standard input. The answer appears on standard output: as it comes, where
/// /dev/llama may be opened, or when it is complete.
///
/// The model is a small one: its answers can be wrong. Nothing that is asked leaves the system.
///
/// A question about this machine, such as "why is my system slow?", is answered out of what is found on it: the model
/// picks what answers the question and words it, and each sentence is checked against what was found. What a request
/// is about its words say; the model is asked only where there are two readings. --plain has the model answer as it
/// is, --here has this machine looked at, --command has a command written. With --json, --raw, --grammar or any other
/// option on how to choose words, and where the question is read from standard input, it is always the model that
/// answers.
///
/// A task for a shell, such as "find big files in my home", becomes a command. On a terminal it is shown with what it
/// does and how dangerous it is, and is run, edited, described or dropped as you say, as in lsh; your own shell runs
/// it, in the place of llama, so that the exit status is its. Elsewhere it is printed, with what it does as a comment
/// behind it, and nothing is run.
#[derive(Debug, Parser)]
#[command(
    name = "llama",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_long_help = USAGE.after_help(),
    max_term_width = 100
)]
pub struct Cli {
    /// The options of a question.
    #[command(flatten)]
    pub ask: Ask,
    /// Anything else than a question.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What `llama` does besides asking.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Shows the state of the kernel's model
    ///
    /// The keys are those of /proc/llamux/status. To ask a question that begins with this word, put
    /// it into quotes together with the next one, or write "--" before it.
    Status(StatusOptions),
    /// Holds a conversation
    ///
    /// Each line is a question, and the answer appears as it comes. Ctrl-C ends an answer, Ctrl-D the
    /// conversation; the line "/reset" begins a new one. Lines can be edited, and earlier ones found with
    /// the arrow keys and Ctrl-R. When the context is full, the oldest questions are forgotten.
    ///
    /// It goes through /dev/llama, which root and the group of this file may open. Where standard input
    /// is no terminal, the lines are read from it.
    Chat(ChatOptions),
    /// Prints texts as vectors
    ///
    /// Each text gets a line, which is a JSON array of numbers: its embedding by the model, as long as 1.
    /// The product of two of them, number by number and added up, says how near their meanings are:
    /// it is at most 1. Without texts, or where one is "-", each line of standard input is one.
    ///
    /// It goes through /dev/llama, which root and the group of this file may open.
    Embed(EmbedOptions),
    /// Says what is the matter with this machine
    ///
    /// It looks at what an administrator looks at, for a second: processors, memory, pressure, disks, file
    /// systems, temperatures, batteries, processes, control groups, units, logs, network, updates. It prints
    /// what is wrong, the figures that show it, and what could be done, the worst first. No model is asked,
    /// nothing is changed, and nothing is sent anywhere. Root sees more.
    ///
    /// It exits with 0 if nothing is wrong or notices are all there is, and with 6 at a warning or worse.
    Doctor(DoctorOptions),
    /// Says why a unit, a process or a file is as it is
    ///
    /// Of a unit of systemd it looks at the state, exit status and log; of a process at what it waits for and what it
    /// uses; of a file at the way to it, permissions, who has it open, which package brought it, and its file system.
    /// The model sums that up, and each of its sentences is checked. Root sees more. Without a model, what was found is
    /// printed all the same, and the exit status says why there is none.
    Why(WhyOptions),
    /// Explains log lines, an error message, a stack trace or a code
    ///
    /// It takes a file, words such as ENOSPC, SIGKILL or "exit status 203", or standard input. What is known is looked up:
    /// error numbers, signals, exit statuses, states of units, messages of the kernel and of usual programs. The model
    /// adds its own words behind that; figures and names in them are checked, the rest is its guess. Of a long log those
    /// lines are shown that say something. Without a model, what is known is printed all the same, and the exit status
    /// says why there is none.
    Explain(ExplainOptions),
    /// Does something with the machine
    ///
    /// The words say what to do and whom to do it to, such as "kill all chrome tabs eating my RAM",
    /// "restart nginx", "limit firefox to 2 GB", "optimize for gaming". It becomes one action of a
    /// closed list; no shell is run. Where several things could be meant, it asks.
    ///
    /// The action is shown with its effect, how dangerous it is, and who may do it, and is done when it
    /// is confirmed. It is noted in the journal that "llama history" shows. The model of the kernel is
    /// asked only where the words alone do not say what is meant.
    Do(DoOptions),
    /// Shows what was done
    ///
    /// The oldest comes first. Those that have not been undone can be, by "llama undo".
    History(HistoryOptions),
    /// Brings back what was before an action
    ///
    /// Without a number, the last action is undone that can be. What somebody has changed since is left
    /// as it is now, and said so.
    Undo(UndoOptions),
    /// Applies actions for a purpose, and undoes them
    ///
    /// Profiles are TOML files in ~/.config/llamux/profiles, /etc/llamux/profiles and
    /// /usr/share/llamux/profiles; of several with the same name the first one counts.
    Profile(ProfileOptions),
    /// Prints what a shell reads at its start to have commands written
    ///
    /// In bash, the line eval "$(llama shell-init bash)" in ~/.bashrc has it read; in zsh, the same with zsh in
    /// ~/.zshrc; in fish, llama shell-init fish | source in ~/.config/fish/config.fish. Then a key, which is
    /// Alt-L unless another one is chosen, turns what is typed into a command, or completes it where it is a
    /// command that was begun; on an empty line it tells why the last command failed. The command is shown with
    /// its danger before anything is done. What the shell says about a command that is not found is followed by
    /// what may have been meant.
    ShellInit(ShellInitOptions),
    /// Tells why a command failed, and what to run instead
    ///
    /// With what llama shell-init prints, it is about the last command where none is given. What is proposed is
    /// printed and not run.
    Fix(FixOptions),
}

/// Options of `llama doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Says what the facts in FILE mean, instead of those of this machine
    #[arg(long, value_name = "FILE")]
    pub facts: Option<std::path::PathBuf>,

    /// Writes the facts to FILE, without the names of the host and its users, addresses, and arguments
    /// of programs
    #[arg(long, value_name = "FILE")]
    pub record: Option<std::path::PathBuf>,

    /// Prints one JSON object: version, collected, findings, missing
    #[arg(long)]
    pub json: bool,

    /// Tells notices in full as well, counts updates with apt, and lists what could not be read
    #[arg(long)]
    pub all: bool,

    /// Measures rates and shares over so many seconds, 0.1 to 60 [default: 1]
    #[arg(long, value_name = "SECONDS", value_parser = sample)]
    pub sample: Option<Duration>,

    /// Asks each server of names (DNS) for an answer; a packet is sent to each
    #[arg(long)]
    pub ask_dns: bool,
}

/// Options of `llama why`.
#[derive(Debug, Args)]
pub struct WhyOptions {
    /// A unit (nginx.service), the number or name of a process, or a path; several words are a question that begins
    /// with "why"
    #[arg(value_name = "UNIT|PID|FILE", required = true)]
    pub what: Vec<std::ffi::OsString>,

    /// Asks the model NAME, as /sys/kernel/llamux/models lists it, instead of the default one
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// Prints one JSON object: target, notes, sentences with who worded each, rejected
    #[arg(long)]
    pub json: bool,
}

/// Options of `llama explain`.
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// A file, or an error message, or a code; "-" stands for standard input. Several words of which nothing is known
    /// are a question that begins with "explain"
    #[arg(value_name = "FILE|WORD")]
    pub words: Vec<std::ffi::OsString>,

    /// Explains the latest lines in the journal of UNIT
    #[arg(long, value_name = "UNIT", conflicts_with = "words")]
    pub unit: Option<String>,

    /// Asks the model NAME, as /sys/kernel/llamux/models lists it, instead of the default one
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// Prints one JSON object: explanation, sentences, rejected
    #[arg(long)]
    pub json: bool,
}

/// Options of `llama do`.
#[derive(Debug, Args)]
pub struct DoOptions {
    /// What to do
    #[arg(value_name = "WORD", required = true)]
    pub words: Vec<std::ffi::OsString>,

    /// Whether to ask.
    #[command(flatten)]
    pub confirm: Confirm,

    /// Prints one JSON object: request, decision (act, profile, profile-off, ask, nothing), and what belongs to it
    #[arg(long)]
    pub json: bool,

    /// Takes the facts from FILE instead of this machine's
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    pub facts: Option<std::path::PathBuf>,

    /// Asks the model NAME, as /sys/kernel/llamux/models lists it, instead of the default one
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
}

/// Whether something is done, and whether it is asked about.
#[derive(Debug, Args)]
pub struct Confirm {
    /// Does it without asking, unless it is dangerous
    #[arg(long)]
    pub yes: bool,

    /// Shows what would be done, and does nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// Options of `llama history`.
#[derive(Debug, Args)]
pub struct HistoryOptions {
    /// Prints one JSON array
    #[arg(long)]
    pub json: bool,
}

/// Options of `llama undo`.
#[derive(Debug, Args)]
pub struct UndoOptions {
    /// Which one, as "llama history" numbers them
    #[arg(value_name = "NUMBER")]
    pub number: Option<u64>,

    /// Whether to ask.
    #[command(flatten)]
    pub confirm: Confirm,
}

/// Options of `llama profile`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct ProfileOptions {
    /// What to do with profiles.
    #[command(subcommand)]
    pub action: ProfileAction,
}

/// What `llama profile` does.
#[derive(Debug, Subcommand)]
pub enum ProfileAction {
    /// Lists the profiles; "*" marks the one that is applied
    List,
    /// Shows what a profile would do here
    Show {
        /// Which one
        name: String,
    },
    /// Does what a profile says
    Apply {
        /// Which one
        name: String,
        /// Whether to ask.
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Brings back what was before the profile that is applied, the last change first
    Off {
        /// Whether to ask.
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Opens your own copy of a profile in the editor that VISUAL or EDITOR names, and checks it
    Edit {
        /// Which one
        name: String,
    },
}

/// Options of `llama shell-init`.
#[derive(Debug, Args)]
pub struct ShellInitOptions {
    /// The shell
    pub shell: lsh::shells::Shell,

    /// The key: alt- or ctrl- and a letter, or none
    #[arg(long, value_name = "KEY", default_value = lsh::shells::KEY)]
    pub key: lsh::shells::Key,
}

/// Options of `llama fix`.
#[derive(Debug, Args)]
pub struct FixOptions {
    /// The exit status of the command
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub status: Option<i32>,

    /// What the command wrote: the end of FILE, or of standard input for "-"
    #[arg(long, value_name = "FILE")]
    pub output: Option<std::path::PathBuf>,

    /// Prints one JSON object: explanation, and proposal or null
    #[arg(long)]
    pub json: bool,

    /// The command
    #[arg(last = true, value_name = "COMMAND")]
    pub words: Vec<String>,
}

/// Options of `llama status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// Prints one JSON object, numbers as the kernel has them
    #[arg(long)]
    pub json: bool,
}

/// A question.
#[derive(Debug, Args)]
pub struct Ask {
    /// The question; "-" stands for standard input
    #[arg(value_name = "WORD")]
    pub words: Vec<std::ffi::OsString>,

    /// Continues the text, without the model's chat format
    #[arg(long)]
    pub raw: bool,

    /// Asks the model NAME, as /sys/kernel/llamux/models lists it, instead of the default one; it
    /// goes through /dev/llama, which root and the group of this file may open
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// How to choose words.
    #[command(flatten)]
    pub choice: Choice,

    /// Gives up after so many seconds, and prints what is there by then
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,

    /// Fails where the model is still being loaded, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,

    /// Prints one JSON object: text, prompt_tokens, tokens, stop_reason, seconds; and with --model
    /// first_seconds, until the first part of the answer was there. With --here: question, text, sentences with who
    /// worded each, findings, figures, found, looked_at, missing, by_model, rejected, first_seconds, seconds. With
    /// --command: command, description, danger, reasons, notes, unverified, cost
    #[arg(long)]
    pub json: bool,

    /// Has the model answer, whatever the question is about
    #[arg(long, conflicts_with_all = ["here", "facts", "command"])]
    pub plain: bool,

    /// Answers out of what is found on this machine, whatever the question is about
    #[arg(long, conflicts_with_all = ["raw", "grammar"])]
    pub here: bool,

    /// Answers out of the facts in FILE instead of those of this machine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["raw", "grammar"])]
    pub facts: Option<std::path::PathBuf>,

    /// Has a command of the shell written, whatever the words are
    #[arg(long, conflicts_with_all = ["raw", "grammar", "here", "facts"])]
    pub command: bool,

    /// Where the words ask to do something, as for "llama do": does it without asking, unless it is
    /// dangerous. A command of the shell is never run without asking
    #[arg(long)]
    pub yes: bool,

    /// Likewise: shows what would be done, and does nothing. A command is printed as where there is no terminal
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// How answers are chosen.
#[derive(Debug, Args)]
pub struct Choice {
    /// Most tokens to generate, a token being about three quarters of a word
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: Option<u32>,

    /// How freely to choose words, 0 to 10; 0 always takes the likeliest
    #[arg(long, value_name = "T", value_parser = number::<0, 10_000>)]
    pub temperature: Option<f64>,

    /// Chooses among the K likeliest tokens
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub top_k: Option<u32>,

    /// Chooses among the likeliest tokens that have probability P together, 0.001 to 1
    #[arg(long, value_name = "P", value_parser = number::<1, 1_000>)]
    pub top_p: Option<f64>,

    /// Leaves out tokens less probable than the likeliest one times P, 0 to 1
    #[arg(long, value_name = "P", value_parser = number::<0, 1_000>)]
    pub min_p: Option<f64>,

    /// Makes recent words less likely, 0.001 to 10; 1 leaves them alone
    #[arg(long, value_name = "R", value_parser = number::<1, 10_000>)]
    pub repeat_penalty: Option<f64>,

    /// Seed of the random numbers: the same one gives the same answer; 0 lets the kernel draw one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub seed: u64,

    /// Answers only what the GBNF grammar in FILE allows
    #[arg(long, value_name = "FILE")]
    pub grammar: Option<std::path::PathBuf>,
}

/// Options of `llama chat`.
#[derive(Debug, Args)]
pub struct ChatOptions {
    /// Tells the model how to behave, instead of what its chat format says
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,

    /// Talks with the model NAME, as /sys/kernel/llamux/models lists it, instead of the default one
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// How to choose words.
    #[command(flatten)]
    pub choice: Choice,
}

/// Options of `llama embed`.
#[derive(Debug, Args)]
pub struct EmbedOptions {
    /// A text; "-" stands for the lines of standard input
    #[arg(value_name = "TEXT")]
    pub texts: Vec<std::ffi::OsString>,

    /// Asks the model NAME, as /sys/kernel/llamux/models lists it, instead of the default one
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
}

impl Ask {
    /// The question that a first word, which is also the name of a command, and others are.
    pub(crate) fn beginning_with(
        first: &str,
        words: &[std::ffi::OsString],
        model: Option<&str>,
        json: bool,
    ) -> Result<Self, clap::Error> {
        let mut args: Vec<std::ffi::OsString> = vec!["llama".into()];
        if let Some(model) = model {
            args.extend(["--model".into(), model.into()]);
        }
        if json {
            args.push("--json".into());
        }
        args.extend(["--".into(), first.into()]);
        args.extend_from_slice(words);
        Cli::try_parse_from(args).map(|cli| cli.ask)
    }
}

/// A decimal number from `LEAST` to `MOST` thousandths.
fn number<const LEAST: u32, const MOST: u32>(text: &str) -> Result<f64, String> {
    let (least, most) = (f64::from(LEAST) / 1000.0, f64::from(MOST) / 1000.0);
    text.parse()
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| format!("expected a number from {least} to {most}"))
}

/// A number of seconds, perhaps with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|&seconds: &f64| seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

/// The time over which rates are measured.
fn sample(text: &str) -> Result<Duration, String> {
    let seconds = number::<100, 60_000>(text)?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// What the help and the manual page say beside the options.
pub const USAGE: Usage<'static> = Usage {
    examples: &[
        ("Ask a question:", "llama \"Why is the sky blue?\""),
        (
            "Ask about what another command prints:",
            "dmesg | tail -n 20 | llama \"What do these lines mean?\" -",
        ),
        (
            "Get the same answer every time, for a script:",
            "llama --temperature 0 --max-tokens 20 --json \"Name a prime number.\"",
        ),
        (
            "Get one of a few answers, as a grammar in a file says, such as root ::= \"yes\" | \"no\":",
            "llama --grammar yes-or-no.gbnf \"Is 7 a prime number?\"",
        ),
        (
            "Continue a text:",
            "llama --raw --max-tokens 50 \"Once upon a time\"",
        ),
        ("Hold a conversation:", "llama chat"),
        (
            "Ask another model than the default one:",
            "llama --model qwen2.5-coder-1.5b \"How do I list open files?\"",
        ),
        (
            "Get the vectors of two texts, to see how near they are:",
            "llama embed \"The cat sleeps.\" \"A kitten naps.\"",
        ),
        (
            "Ask about this machine:",
            "llama \"why is my system slow?\"",
        ),
        (
            "Have a command written, and run if you say so:",
            "llama \"find big files in my home\"",
        ),
        ("See why a service failed:", "llama why nginx.service"),
        (
            "See what the kernel complains about:",
            "dmesg | llama explain",
        ),
        ("See which model answers, and how fast:", "llama status"),
        (
            "See what would be ended, and how much memory it has:",
            "llama do --dry-run kill all chrome tabs eating my RAM",
        ),
        ("Bring back what was before the last action:", "llama undo"),
        (
            "Prepare the machine for games:",
            "llama profile apply gaming",
        ),
    ],
    sections: &[],
    exit_status: &[
        (0, "The answer is on standard output."),
        (1, "The kernel refused the question or failed to answer it, or the answer could not be written; for what is to be done: it was not confirmed, not clear, or failed in part; for a command: none was found, or it was not run."),
        (2, "Wrong usage: an unknown option, a value out of range, a grammar with a mistake, no question, or one that is not UTF-8."),
        (3, "The running kernel has no Llamux, or a seccomp filter hides it; of a question about this machine, why and explain, standard output has what was found."),
        (4, "The kernel has no model, or none of this name, or is still loading it (with --no-wait, and for status); standard output as with 3."),
        (5, "The time was up; standard output has what was generated until then."),
        (6, "Of doctor: something is wrong with this machine, a warning or worse. Of a command that was printed: part of it could not be verified, as it says."),
        (130, "Interrupted; standard output has what was generated until then."),
    ],
    environment: &[],
    files: &[
        (
            "/dev/llama",
            "Conversations with the kernel's model; see also llama_command(2).",
        ),
        (
            "~/.local/state/llama/history",
            "The lines of conversations, or in $XDG_STATE_HOME/llama.",
        ),
        (
            "~/.local/state/llamux/history.jsonl",
            "What was done, one JSON object a line, or in $XDG_STATE_HOME/llamux; root's is in /var/lib/llamux.",
        ),
        (
            "~/.config/llamux/profiles/*.toml",
            "Profiles, before those of /etc/llamux/profiles and /usr/share/llamux/profiles.",
        ),
        (
            "/proc/llamux/status",
            "The state of the kernel's model, one key: value a line.",
        ),
        (
            "/sys/kernel/llamux/models",
            "The models that there are, one a line.",
        ),
        (
            "/lib/firmware/llamux/*.gguf",
            "In the initramfs: the model that the kernel loads at boot.",
        ),
    ],
    see_also: &[("llama_command", 2), ("llamux", 7)],
};

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn words(args: &[&str]) -> Vec<String> {
        let cli = Cli::try_parse_from(args).unwrap();
        assert!(cli.action.is_none(), "{args:?}");
        let words = cli.ask.words.into_iter();
        words.map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn table_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn question_may_be_several_words_with_options_anywhere() {
        let args = [
            "llama", "Why", "is", "--seed", "7", "the", "sky", "blue?", "--json",
        ];
        assert_eq!(words(&args), ["Why", "is", "the", "sky", "blue?"]);
        let ask = Cli::try_parse_from(args).unwrap().ask;
        assert!(ask.json);
        assert_eq!(ask.choice.seed, 7);
    }

    #[test]
    fn status_is_a_command_only_where_it_comes_first_and_alone() {
        let status = Cli::try_parse_from(["llama", "status", "--json"]).unwrap();
        assert!(matches!(
            status.action,
            Some(Action::Status(StatusOptions { json: true }))
        ));
        assert_eq!(
            words(&["llama", "what", "is", "status"]),
            ["what", "is", "status"]
        );
        assert_eq!(words(&["llama", "--", "status", "of"]), ["status", "of"]);
        assert_eq!(words(&["llama", "status of it"]), ["status of it"]);
        assert_eq!(words(&["llama", "help", "me"]), ["help", "me"]);
        let chat = Cli::try_parse_from(["llama", "chat", "--system", "You count."]).unwrap();
        assert!(matches!(chat.action, Some(Action::Chat(_))));
        let embed = Cli::try_parse_from(["llama", "embed", "--model", "x", "One.", "Two."]);
        assert!(matches!(
            embed.unwrap().action,
            Some(Action::Embed(options)) if options.texts.len() == 2
        ));
        assert_eq!(words(&["llama", "embed this text"]), ["embed this text"]);
        assert_eq!(words(&["llama", "chat with me"]), ["chat with me"]);
        assert_eq!(words(&["llama", "-"]), ["-"]);
        let why = Cli::try_parse_from(["llama", "why", "is", "the", "sky", "blue?"]);
        let Some(Action::Why(why)) = why.unwrap().action else {
            panic!("not the command");
        };
        let ask = Ask::beginning_with("why", &why.what, Some("x"), false).unwrap();
        assert_eq!(ask.words, ["why", "is", "the", "sky", "blue?"]);
        assert_eq!(ask.model.as_deref(), Some("x"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for args in [
            ["--temperature", "10.1"],
            ["--temperature", "NaN"],
            ["--temperature=-1", "x"],
            ["--top-p", "0"],
            ["--top-p", "1.001"],
            ["--min-p", "2"],
            ["--repeat-penalty", "0"],
            ["--max-tokens", "0"],
            ["--max-tokens", "4294967296"],
            ["--top-k", "0"],
            ["--seed=-1", "x"],
            ["--timeout", "0"],
            ["--timeout", "inf"],
            ["--timeout", "1e300"],
        ] {
            let error = Cli::try_parse_from(["llama"].iter().chain(&args)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
    }

    #[test]
    fn values_in_range_are_taken() {
        let args = "llama --temperature 0 --top-k 1 --top-p 0.001 --min-p 0 --repeat-penalty 10 \
                    --seed 18446744073709551615 --timeout 0.5 --max-tokens 4294967295 x";
        let ask = Cli::try_parse_from(args.split_whitespace()).unwrap().ask;
        assert_eq!(ask.choice.temperature, Some(0.0));
        assert_eq!(ask.choice.seed, u64::MAX);
        assert_eq!(ask.timeout, Some(Duration::from_millis(500)));
    }
}
