// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why a unit, a process or a file is as it is: what code finds out about it, which the model puts into words.

mod file;
mod process;
mod unit;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use llamux_facts::text;
use serde::Serialize;

use crate::answer::{self, Answer, Sentence, Task};
use crate::wording::Truth;
use crate::{Model, Request};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A unit of systemd.
    Unit(String),
    /// A process.
    Process(i32),
    /// A file or a directory.
    File(PathBuf),
}

/// What was found out about something.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Notes {
    /// What it is about, as a person would call it, safe to show.
    pub about: String,
    /// Sentences, the most important first, safe to show.
    pub facts: Vec<String>,
    /// What can be done; may be empty.
    pub advice: Vec<String>,
    /// Lines that others wrote about it, such as a log, safe to show.
    pub quoted: Vec<String>,
}

/// Why nothing could be found out.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// No process has this number.
    NoProcess(i32),
    /// The system does not run systemd.
    NoSystemd(String),
    /// There is no unit, process or file of this name.
    Unknown(String),
    /// It could not be read.
    Unreadable(String, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProcess(pid) => write!(f, "no process has the number {pid}: it may have ended"),
            Self::NoSystemd(name) => write!(
                f,
                "this system does not run systemd, so that there is no unit {}; name a process by its number or a file by its path",
                text::shown(name)
            ),
            Self::Unknown(name) => write!(
                f,
                "{} is no unit, no process and no file here: name a unit (nginx.service), the number of a process, or a path",
                text::shown(name)
            ),
            Self::Unreadable(what, why) => write!(f, "{}: {why}", text::shown(what)),
        }
    }
}

/// The endings of units' names.
const UNITS: &[&str] = &[
    "service",
    "socket",
    "timer",
    "mount",
    "automount",
    "target",
    "path",
    "slice",
    "scope",
    "swap",
    "device",
];

/// What a word stands for.
pub fn target(word: &str) -> Result<Target, Error> {
    if let Ok(pid) = word.parse::<i32>() {
        return match Path::new("/proc").join(word).exists() && pid > 0 {
            true => Ok(Target::Process(pid)),
            false => Err(Error::NoProcess(pid)),
        };
    }
    if word.contains('/') || word.starts_with('.') {
        return Ok(Target::File(word.into()));
    }
    if word
        .rsplit_once('.')
        .is_some_and(|(_, ending)| UNITS.contains(&ending))
    {
        return Ok(Target::Unit(word.to_owned()));
    }
    if Path::new(word).symlink_metadata().is_ok() {
        return Ok(Target::File(word.into()));
    }
    if has_systemd() && unit::exists(&format!("{word}.service")) {
        return Ok(Target::Unit(format!("{word}.service")));
    }
    process::largest_named(word)
        .map(Target::Process)
        .ok_or_else(|| Error::Unknown(word.to_owned()))
}

/// Finds out what can be found out.
pub fn notes(target: &Target) -> Result<Notes, Error> {
    match target {
        Target::Unit(name) => unit::notes(name),
        Target::Process(pid) => process::notes(*pid),
        Target::File(path) => file::notes(path),
    }
}

/// The latest lines in the journal of a unit.
pub fn journal(unit: &str) -> Result<Vec<u8>, Error> {
    if !has_systemd() {
        return Err(Error::NoSystemd(unit.to_owned()));
    }
    let lines = output(
        "journalctl",
        &["-q", "--no-pager", "-o", "short", "-n", "1000", "-u", unit],
    );
    let lines = lines.ok_or_else(|| {
        Error::Unreadable(
            unit.to_owned(),
            "its journal cannot be read: root and the groups adm and systemd-journal may"
                .to_owned(),
        )
    })?;
    match lines.is_empty() {
        true => Err(Error::Unreadable(
            unit.to_owned(),
            "its journal has no lines that this user may read".to_owned(),
        )),
        false => Ok(lines.into_bytes()),
    }
}

fn has_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

impl Notes {
    fn fact(&mut self, fact: impl Into<String>) {
        self.facts.push(text::shown(&fact.into()));
    }

    fn advise(&mut self, advice: &str) {
        let advice = text::shown(advice);
        if !advice.is_empty() && !self.advice.contains(&advice) {
            self.advice.push(advice);
        }
    }

    /// Has the model sum them up. Each of its sentences is checked against the facts.
    pub fn in_words(
        &self,
        question: &str,
        model: Option<&mut dyn Model>,
        each: &mut dyn FnMut(&Sentence) -> bool,
    ) -> Answer {
        let begin = Instant::now();
        let mut out = Answer::default();
        let truth = Truth::of_texts(self.facts.iter().map(String::as_str), question);
        let facts: String = self
            .facts
            .iter()
            .take(8)
            .map(|fact| format!("{fact}\n"))
            .collect();
        let request = Request {
            stops: vec!["\n".to_owned()],
            max_tokens: 96,
            ..Request::new(SYSTEM, format!("Question: {question}\nFacts:\n{facts}"))
                .example(
                    "Question: why backup.service\nFacts:\nbackup.service (Nightly backup) failed.\nIts program ended with an exit status other than 0.\n\
                     Exit status 217 (USER): systemd could not become the user.\nIt was started again 4 times.\n",
                    "backup.service failed because systemd could not become the user, which is exit status 217 (USER).",
                )
                .example(
                    "Question: why 71\nFacts:\nProcess 71 is tar.\nIt waits for a disk and cannot be interrupted (state D).\nIt reads /data/old.tar.\n\
                     It uses 12 MiB of memory.\n",
                    "tar waits for a disk while it reads /data/old.tar, and it cannot be interrupted.",
                )
        };
        let task = Task {
            request,
            truth: &truth,
            own: &self.facts,
            id: "",
            most: 2,
        };
        match model {
            Some(model) => {
                if let Err(error) = answer::phrase(model, &task, &mut out, begin, each) {
                    out.without_model = Some(error);
                    answer::own_sentence(&task, &mut out, each);
                }
            }
            None => {
                answer::own_sentence(&task, &mut out, each);
            }
        }
        out.elapsed = begin.elapsed();
        out
    }
}

/// How the model is told to sum up.
const SYSTEM: &str = "You say why something on a computer is as it is, from facts. Write one or two short sentences with the facts that matter \
    most for the question, in their own words. Copy names and figures exactly. Give no advice.";

/// Longest time that a program may take.
const TIME: Duration = Duration::from_secs(5);
/// Most that is read of what a program prints.
const MOST: u64 = 1 << 20;

/// What a program prints, if it is there, ends well and in time.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("SYSTEMD_PAGER", "")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = vec![];
        let read = stdout.take(MOST).read_to_end(&mut bytes);
        // Nobody listens any more when the time was up.
        let _ = sender.send(read.map(|_| bytes));
    });
    let bytes = receiver.recv_timeout(TIME);
    if bytes.is_err() {
        // It may have ended in this moment.
        let _ = child.kill();
    }
    let ended_well = child.wait().is_ok_and(|status| status.success());
    let bytes = bytes.ok()?.ok()?;
    ended_well.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// A size as Llamux writes it.
fn size(bytes: u64) -> String {
    llamux_facts::Quantity::Bytes(bytes).to_string()
}

/// The name of a user.
fn user(uid: u32) -> String {
    named_in("/etc/passwd", uid).unwrap_or_else(|| format!("number {uid}"))
}

/// The name of a group.
fn group(gid: u32) -> String {
    named_in("/etc/group", gid).unwrap_or_else(|| format!("number {gid}"))
}

fn named_in(file: &str, id: u32) -> Option<String> {
    let bytes = std::fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == id).then(|| name.to_owned())
    });
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Author;

    #[test]
    fn words_stand_for_units_processes_and_files() {
        let own = std::process::id();
        // CAST: numbers of processes are below 2^22.
        assert_eq!(target(&own.to_string()), Ok(Target::Process(own as i32)));
        assert_eq!(
            target("/etc/passwd"),
            Ok(Target::File("/etc/passwd".into()))
        );
        assert_eq!(target("./x"), Ok(Target::File("./x".into())));
        assert_eq!(
            target("nginx.service"),
            Ok(Target::Unit("nginx.service".into()))
        );
        assert_eq!(target("2000000000"), Err(Error::NoProcess(2_000_000_000)));
        assert_eq!(target("0"), Err(Error::NoProcess(0)));
        assert_eq!(
            target("no-such-thing-here"),
            Err(Error::Unknown("no-such-thing-here".into()))
        );
        assert!(Error::Unknown("\x1b[2J".into())
            .to_string()
            .contains("\\u{1b}"));
    }

    #[test]
    fn facts_are_said_without_a_model() {
        let notes = Notes {
            facts: vec!["The first fact.".into(), "Another one.".into()],
            ..Notes::default()
        };
        let mut said = vec![];
        let answer = notes.in_words("why x", None, &mut |sentence| {
            said.push(sentence.text.clone());
            true
        });
        assert_eq!(said, ["The first fact."]);
        assert_eq!(answer.sentences[0].by, Author::Code);
    }

    #[test]
    fn a_program_that_is_not_there_or_fails_has_no_output() {
        assert_eq!(output("no-such-program-here", &[]), None);
        assert_eq!(output("false", &[]), None);
        assert_eq!(output("echo", &["x"]).as_deref(), Some("x\n"));
    }
}
