// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The shells that we know, what they are told at their start, and the pipes by which they ask.
//!
//! The shell itself edits the line and knows what is a command to it, so it is the shell that asks, through two
//! named pipes in a directory that only its user may enter. Nothing that a program writes to the terminal can
//! ask or answer, and what it writes passes through as it is.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, CWD};
use tempfile::TempDir;

/// A shell that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// Bash.
    Bash,
    /// Fish.
    Fish,
    /// Zsh.
    Zsh,
}

impl Shell {
    /// The shell that a program is, by its name.
    pub fn of(program: &OsStr) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        // A login shell is told by a hyphen, a version by a number.
        let name = name.trim_start_matches('-');
        match name
            .split(['-', '.'])
            .next()?
            .trim_end_matches(|c: char| c.is_ascii_digit())
        {
            "bash" | "rbash" => Some(Self::Bash),
            "fish" => Some(Self::Fish),
            "zsh" => Some(Self::Zsh),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Fish => "fish",
            Self::Zsh => "zsh",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../shell/llama.bash"),
            Self::Fish => include_str!("../shell/llama.fish"),
            Self::Zsh => include_str!("../shell/llama.zsh"),
        }
    }

    /// A key as this shell writes it.
    fn key(self, key: Key) -> String {
        match (self, key) {
            (_, Key::None) => String::new(),
            (Self::Bash | Self::Fish, Key::Alt(c)) => format!("\\e{c}"),
            (Self::Zsh, Key::Alt(c)) => format!("^[{c}"),
            (Self::Bash, Key::Ctrl(c)) => format!("\\C-{c}"),
            (Self::Fish, Key::Ctrl(c)) => format!("\\c{c}"),
            (Self::Zsh, Key::Ctrl(c)) => format!("^{}", c.to_ascii_uppercase()),
        }
    }

    /// Assigns a variable of the script.
    fn assign(self, name: &str, value: &OsStr) -> OsString {
        let mut line = OsString::from(match self {
            Self::Fish => format!("set -g {name} "),
            _ => format!("{name}="),
        });
        line.push(self.quote(value));
        line.push("\n");
        line
    }

    /// A text as one word of the shell's language.
    fn quote(self, text: &OsStr) -> OsString {
        use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
        let mut out = vec![b'\''];
        for &byte in text.as_bytes() {
            match (self, byte) {
                (Self::Fish, b'\'' | b'\\') => out.extend([b'\\', byte]),
                (_, b'\'') => out.extend(b"'\\''"),
                _ => out.push(byte),
            }
        }
        out.push(b'\'');
        OsString::from_vec(out)
    }

    /// What a shell is told so that `key` asks; `dir` has the pipes where it runs in lsh.
    fn told(self, key: Key, dir: Option<&Path>, lsh: &OsStr) -> OsString {
        let mut text = self.assign("__llama_new", OsStr::new(env!("CARGO_PKG_VERSION")));
        text.push(self.assign("__llama_lsh", lsh));
        let key = self.key(key);
        // Fish does not resolve an escape within quotes.
        text.push(match self {
            Self::Fish if !key.is_empty() => format!("set -g __llama_key {key}\n").into(),
            _ => self.assign("__llama_key", OsStr::new(&key)),
        });
        if let Some(dir) = dir {
            text.push(self.assign("__llama_dir", dir.as_os_str()));
        }
        text.push(self.script());
        text
    }
}

/// A key that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// No key.
    None,
    /// A character with the Alt key.
    Alt(char),
    /// A letter with the control key.
    Ctrl(char),
}

/// The key that asks unless another one is wanted.
pub const KEY: &str = "alt-l";

impl std::str::FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let letter = |rest: &str| {
            let mut chars = rest.chars();
            let c = chars.next()?;
            (chars.next().is_none() && (c.is_ascii_alphanumeric())).then_some(c)
        };
        let key = match lower.split_once('-') {
            _ if lower == "none" => Some(Self::None),
            Some(("alt", rest)) => letter(rest).map(Self::Alt),
            // Enter, Tab, interrupts and job control belong to the shell.
            Some(("ctrl", rest)) => letter(rest)
                .filter(|c| c.is_ascii_alphabetic() && !"cdijmqsz".contains(*c))
                .map(Self::Ctrl),
            _ => None,
        };
        key.ok_or_else(|| {
            "expected alt- and a letter or digit, ctrl- and a letter but c, d, i, j, m, q, s and z, or none".to_owned()
        })
    }
}

/// The script that `llama shell-init` prints.
pub fn init(shell: Shell, key: Key) -> String {
    let text = shell.told(key, None, OsStr::new("lsh"));
    // What is not ours in it is empty here.
    text.to_string_lossy().into_owned()
}

/// What the shell wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// To know whether this line is a sentence.
    Sentence(String),
    /// A command for this request.
    Request(String),
    /// The rest of this command.
    Complete(String),
    /// To know why the last command failed.
    Fix,
    /// Nothing but to be heard: it runs this command.
    Runs(String),
    /// Nothing but to be heard: it shows its prompt, and the last command had this exit status.
    Prompt(i32),
    /// Nothing but to be heard: this is where it looks for programs.
    Path(String),
    /// What is too long to be served, or no message at all. The shell waits for an answer all the same.
    Unknown,
}

impl Message {
    /// A message from its letter and text.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let kind = chars.next()?;
        let rest = chars.as_str().to_owned();
        Some(match kind {
            's' => Self::Sentence(rest),
            'a' => Self::Request(
                rest.strip_prefix('?')
                    .map(|rest| rest.trim().to_owned())
                    .unwrap_or(rest),
            ),
            'c' => Self::Complete(rest),
            'f' => Self::Fix,
            'r' => Self::Runs(rest),
            'p' => Self::Prompt(rest.trim().parse().ok()?),
            'v' => Self::Path(rest),
            _ => return None,
        })
    }
}

/// What the shell is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is a sentence; or: heard.
    Yes,
    /// It is none.
    No,
    /// Run this command.
    Run(String),
    /// Put this on the line.
    Edit(String),
    /// Empty the line.
    Drop,
    /// Leave the line as it is.
    Back,
}

impl Answer {
    /// Its letter and text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Yes => "y".into(),
            Self::No => "n".into(),
            Self::Run(command) => format!("r{command}"),
            Self::Edit(command) => format!("e{command}"),
            Self::Drop => "d".into(),
            Self::Back => "b".into(),
        }
    }
}

/// Most bytes of a message that is served: no line is longer that is a request. Of a command, which may have whole
/// files in it, so much is kept.
const MOST: usize = 1 << 16;

/// The pipes, and the files that the shell reads at its start.
pub(crate) struct Channel {
    /// Removed with all that is in it when this ends.
    dir: TempDir,
    ask: File,
    answer: File,
    /// What has come of a message, cut where it would be longer than is looked at.
    got: Vec<u8>,
}

impl Channel {
    /// Makes the directory and the pipes.
    pub(crate) fn new() -> io::Result<Self> {
        let place = std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute() && dir.is_dir());
        let place = place.unwrap_or_else(std::env::temp_dir);
        // It is made with mode 700. That of another user, whose environment we have, may be closed to us.
        let mut builder = tempfile::Builder::new();
        builder.prefix("lsh-");
        let dir = builder.tempdir_in(place).or_else(|_| builder.tempdir())?;
        let pipe = |name: &str| -> io::Result<File> {
            let path = dir.path().join(name);
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, mode, 0)?;
            // We have both ends of each, so that the shell never waits to open one, and finds the end of the
            // file when we are gone.
            let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags)
                .open(path)
        };
        Ok(Self {
            ask: pipe("ask")?,
            answer: pipe("answer")?,
            dir,
            got: Vec::new(),
        })
    }

    /// The arguments and variables with which the shell reads what it is told behind its own files.
    pub(crate) fn prepare(&self, shell: Shell, key: Key) -> io::Result<Start> {
        let lsh = std::env::current_exe().unwrap_or_else(|_| "lsh".into());
        let told = shell.told(key, Some(self.dir.path()), lsh.as_os_str());
        let script = self.dir.path().join(format!("llama.{}", shell.name()));
        fs::write(&script, told.as_encoded_bytes())?;
        let quoted = shell.quote(script.as_os_str());
        let mut start = Start::default();
        match shell {
            Shell::Bash => {
                let rc = self.dir.path().join("bashrc");
                let mut text = OsString::from("if [ -r ~/.bashrc ]; then . ~/.bashrc; fi\n. ");
                text.push(quoted);
                text.push("\n");
                fs::write(&rc, text.as_encoded_bytes())?;
                start.args = vec!["--rcfile".into(), rc.into()];
            }
            Shell::Fish => {
                let mut command = OsString::from("source ");
                command.push(quoted);
                start.args = vec!["--init-command".into(), command];
            }
            Shell::Zsh => {
                // Zsh reads .zshenv from here, which turns to the user's own directory for all that follows, and
                // has our part read before the first prompt, when all of the user's files were.
                let mut text = match std::env::var_os("ZDOTDIR") {
                    Some(dir) => {
                        let mut line = OsString::from("export ZDOTDIR=");
                        line.push(shell.quote(&dir));
                        line
                    }
                    None => "unset ZDOTDIR".into(),
                };
                text.push(
                    "\nif [[ -r ${ZDOTDIR:-$HOME}/.zshenv ]]; then source ${ZDOTDIR:-$HOME}/.zshenv; fi\n\
                     if [[ -o interactive ]]; then\n\
                     \t__llama_begin() {\n\
                     \t\tlocal begin=$?\n\
                     \t\tprecmd_functions=(${precmd_functions:#__llama_begin})\n\
                     \t\tunfunction __llama_begin\n\
                     \t\tsource ",
                );
                text.push(quoted);
                text.push(
                    "\n\t\t__llama_precmd\n\t\treturn $begin\n\t}\n\
                     \ttypeset -ga precmd_functions\n\
                     \tprecmd_functions+=(__llama_begin)\n\
                     fi\n",
                );
                fs::write(self.dir.path().join(".zshenv"), text.as_encoded_bytes())?;
                start.env = Some(("ZDOTDIR".into(), self.dir.path().into()));
            }
        }
        Ok(start)
    }

    /// What the shell has asked since.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        let mut buffer = [0; 4096];
        let mut messages = Vec::new();
        while let Ok(read @ 1..) = self.ask.read(&mut buffer) {
            for piece in buffer[..read].split_inclusive(|&byte| byte == 0) {
                let (piece, ended) = match piece.split_last() {
                    Some((0, before)) => (before, true),
                    _ => (piece, false),
                };
                // One byte too many tells that it was cut.
                let room = (MOST + 1).saturating_sub(self.got.len());
                self.got.extend_from_slice(&piece[..room.min(piece.len())]);
                if ended {
                    messages.push(received(&std::mem::take(&mut self.got)));
                }
            }
        }
        messages
    }

    /// Answers the shell, which waits for it.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        // Whoever was to read an earlier answer was interrupted.
        let mut buffer = [0; 4096];
        while let Ok(1..) = self.answer.read(&mut buffer) {}
        let mut text = answer.text();
        text.retain(|c| c != '\0');
        text.truncate(text.floor_char_boundary_at(MOST / 2));
        text.push('\0');
        // It fits, as the pipe is empty.
        drop(self.answer.write_all(text.as_bytes()));
    }
}

/// The message of these bytes, which are one more than [`MOST`] if they were cut.
fn received(bytes: &[u8]) -> Message {
    let cut = bytes.len() > MOST;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]);
    match Message::new(&text) {
        Some(message) if !cut || matches!(message, Message::Runs(_)) => message,
        _ => Message::Unknown,
    }
}

/// A text cut where a character ends.
trait Cut {
    fn floor_char_boundary_at(&self, most: usize) -> usize;
}

impl Cut for String {
    fn floor_char_boundary_at(&self, most: usize) -> usize {
        let mut at = most.min(self.len());
        while !self.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ask.as_fd()
    }
}

/// How to start a shell so that it reads what it is told.
#[derive(Debug, Default)]
pub(crate) struct Start {
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Option<(OsString, OsString)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_are_known_by_their_name() {
        for (program, shell) in [
            ("/bin/bash", Some(Shell::Bash)),
            ("-zsh", Some(Shell::Zsh)),
            ("/usr/local/bin/zsh-5.9", Some(Shell::Zsh)),
            ("fish", Some(Shell::Fish)),
            ("/opt/bash5.3", Some(Shell::Bash)),
            ("/bin/dash", None),
            ("/bin/lsh", None),
            ("", None),
        ] {
            assert_eq!(Shell::of(OsStr::new(program)), shell, "{program}");
        }
    }

    #[test]
    fn keys_are_written_as_the_shell_wants_them() {
        let alt: Key = "Alt-L".parse().unwrap();
        let ctrl: Key = "ctrl-g".parse().unwrap();
        assert_eq!(Shell::Bash.key(alt), r"\el");
        assert_eq!(Shell::Zsh.key(alt), "^[l");
        assert_eq!(Shell::Fish.key(ctrl), r"\cg");
        assert_eq!(Shell::Zsh.key(ctrl), "^G");
        for bad in [
            "ctrl-m", "ctrl-c", "alt-", "alt-ll", "x", "", "alt-'", "ctrl-1",
        ] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }

    #[test]
    fn any_path_can_be_told() {
        let path = OsStr::new("/a b/it's \\n $x");
        assert_eq!(Shell::Bash.quote(path), r"'/a b/it'\''s \n $x'");
        assert_eq!(Shell::Fish.quote(path), r"'/a b/it\'s \\n $x'");
    }

    #[test]
    fn shell_is_answered_once_and_by_the_last_answer() {
        let mut channel = Channel::new().unwrap();
        let path = channel.dir.path().join("ask");
        let mut shell = fs::OpenOptions::new().write(true).open(path).unwrap();
        shell
            .write_all(b"p0\0sshow it\0a? show it \0zunknown\0p\0cunfin")
            .unwrap();
        assert_eq!(
            channel.messages(),
            [
                Message::Prompt(0),
                Message::Sentence("show it".into()),
                Message::Request("show it".into()),
                Message::Unknown,
                Message::Unknown,
            ]
        );
        shell.write_all(b"ished\0").unwrap();
        assert_eq!(channel.messages(), [Message::Complete("unfinished".into())]);
        channel.answer(&Answer::Yes);
        channel.answer(&Answer::Run("ls\n-l \0ü".into()));
        let mut buffer = [0; 64];
        let read = channel.answer.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], "rls\n-l ü\0".as_bytes());
        let kept = channel.dir.path().to_owned();
        drop(channel);
        assert!(!kept.exists());
    }

    #[test]
    fn a_message_that_is_too_long_is_one_message() {
        let mut channel = Channel::new().unwrap();
        let path = channel.dir.path().join("ask");
        let mut shell = fs::OpenOptions::new().write(true).open(path).unwrap();
        let mut told = |messages: &[u8], count: usize| {
            let mut got = Vec::new();
            for part in messages.chunks(4096) {
                shell.write_all(part).unwrap();
                got.extend(channel.messages());
            }
            assert_eq!(got.len(), count, "{got:?}");
            got
        };
        // What is behind the cut would be a request to fix the last command.
        let long = "f".repeat(3 * MOST);
        let got = told(format!("r{long}\0p1\0").as_bytes(), 2);
        assert_eq!(got[0], Message::Runs("f".repeat(MOST - 1)));
        assert_eq!(got[1], Message::Prompt(1));
        let got = told(format!("s{long}\0a{long}\0f\0").as_bytes(), 3);
        assert_eq!(got, [Message::Unknown, Message::Unknown, Message::Fix]);
        let most = "x".repeat(MOST - 1);
        let got = told(format!("a{most}\0").as_bytes(), 1);
        assert_eq!(got, [Message::Request(most)]);
    }
}
