// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What can be changed: files of `/sys/kernel/llamux`, and answers that are under way.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use llamux::{Limits, OpenSession, Session, DEVICE_PATH};
use rustix::io::Errno;
use rustix::process::{pidfd_getfd, pidfd_open, Pid, PidfdFlags, PidfdGetfdFlags};

use crate::snapshot::{Allowed, SETTINGS, SYS};

/// The sessions that are open.
const SESSIONS: &str = "/proc/llamux/sessions";

/// A change that was asked for, and confirmed where it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Writes a text to a file below `/sys/kernel/llamux`.
    Write { file: String, text: String },
    /// Ends the answer of a session.
    Cancel(OpenSession),
}

/// What the caller may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// Why nothing can be changed, if so.
    pub(crate) nothing: Option<String>,
    /// The files that may be written, below `/sys/kernel/llamux`.
    pub(crate) files: Vec<String>,
}

impl Access {
    /// Of the caller, to the files of this system.
    pub(crate) fn of_caller() -> Self {
        let settings = SETTINGS.into_iter().map(|(file, _, _)| file);
        let all = ["load", "unload", "default", "limits"]
            .into_iter()
            .chain(settings);
        let may_write = |file: &&str| {
            let path = Path::new("/").join(SYS).join(file);
            rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
        };
        Self {
            nothing: None,
            files: all.filter(may_write).map(str::to_owned).collect(),
        }
    }

    /// To nothing, for this reason.
    pub(crate) fn none(why: &str) -> Self {
        Self {
            nothing: Some(why.to_owned()),
            files: Vec::new(),
        }
    }

    /// Why a file cannot be written, if so.
    pub(crate) fn refusal(&self, file: &str) -> Option<String> {
        if let Some(why) = &self.nothing {
            return Some(why.clone());
        }
        match self.files.iter().any(|name| name == file) {
            true => None,
            false => Some(format!(
                "/{SYS}/{file} is for root: start llama-mon with sudo"
            )),
        }
    }
}

/// Does it. Says what was done, or why not.
pub(crate) fn apply(change: &Change) -> Result<String, String> {
    match change {
        Change::Write { file, text } => write(Path::new("/"), file, text),
        Change::Cancel(session) => {
            cancel(session)?;
            Ok(format!("the answer of session {} is ended", session.number))
        }
    }
}

fn write(root: &Path, file: &str, text: &str) -> Result<String, String> {
    let path = root.join(SYS).join(file);
    let file_of = |error: io::Error| explained(file, text, &error);
    let mut to = OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(file_of)?;
    // One write is one command.
    let line = format!("{text}\n");
    match to.write(line.as_bytes()) {
        Ok(written) if written == line.len() => Ok(format!(
            "{file}: {}",
            match text {
                "" => "empty",
                text => text,
            }
        )),
        Ok(_) => Err(format!("{file}: the kernel took only a part of it")),
        Err(error) => Err(explained(file, text, &error)),
    }
}

/// What an error means for a file, as Documentation/ABI/testing/sysfs-kernel-llamux says.
fn explained(file: &str, text: &str, error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let why = match (file, errno) {
        (_, Some(Errno::ACCESS | Errno::PERM)) => {
            "only root may write it: start llama-mon with sudo"
        }
        ("load", Some(Errno::NOENT)) => {
            "there is no such file below /lib/firmware/llamux, or a part of it is missing"
        }
        ("load", Some(Errno::EXIST)) => "a model of this name is there, or on its way",
        ("load", Some(Errno::BUSY)) => "another model is being loaded: one at a time",
        ("load", Some(Errno::NOSPC)) => "there are 16 models: unload one",
        ("load", Some(Errno::TOOBIG)) => "the model has more parts than the kernel reads",
        ("load", Some(Errno::INVAL)) => "not a name, not an option, or not a regular file",
        ("unload", Some(Errno::BUSY)) => "it is being unloaded already",
        ("default", Some(Errno::BUSY)) => "it is being loaded or unloaded: wait until it is ready",
        ("default", Some(Errno::NOENT)) => "there is no model of this name, or it failed",
        ("unload", Some(Errno::NOENT)) => "there is no model of this name",
        ("unload" | "default", Some(Errno::INVAL)) => "not a model's name",
        ("load" | "unload" | "default", Some(Errno::NAMETOOLONG)) => "a name has 200 bytes at most",
        ("limits", Some(Errno::INVAL)) => {
            "a word is not one of its own: the kernel's log (dmesg) names it"
        }
        ("limits", Some(Errno::NOENT)) => "the user had no limits of its own",
        ("limits", Some(Errno::NOSPC)) => {
            "32 users have limits of their own: give one the default ones first"
        }
        ("system_prompt", Some(Errno::INVAL)) => "not UTF-8, or with a control character",
        ("system_prompt", Some(Errno::RANGE)) => "more than 1024 bytes",
        (_, Some(Errno::RANGE)) => "more or less than it may be",
        (_, Some(Errno::INVAL)) => "not a number",
        (_, Some(Errno::NOMEM)) => "the kernel has no memory for it",
        (_, Some(Errno::NOENT)) => "this kernel has no such file",
        _ => return format!("{file}: {text}: {error}"),
    };
    format!("{file}: {text}: {why}")
}

/// Ends the answer of a session. The kernel lets those do so who have its file open, so a copy of the owner's
/// descriptor is taken, as a debugger may.
fn cancel(session: &OpenSession) -> Result<(), String> {
    let device = fs::metadata(DEVICE_PATH).map_err(|error| format!("{DEVICE_PATH}: {error}"))?;
    let number = session.number;
    let pid = Pid::from_raw(session.pid).filter(|pid| pid.as_raw_nonzero().get() > 0);
    let pid =
        pid.ok_or_else(|| format!("the process that opened session {number} is not known here"))?;
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| match errno {
        Errno::SRCH => format!(
            "process {} is gone, and who has session {number} open now is not known",
            session.pid
        ),
        errno => format!("process {}: {}", session.pid, io::Error::from(errno)),
    })?;
    let mut those = answering(Path::new("/proc"), session.pid, device.rdev())?;
    // It was chosen a while ago, and what its process answers now may be another session's.
    let sessions = fs::read_to_string(SESSIONS).map_err(|error| format!("{SESSIONS}: {error}"))?;
    let now = still_answering(&sessions, session)
        .ok_or_else(|| format!("session {number} is not answering any more"))?;
    // Several conversations of one process are told apart by what they have said.
    those.retain(|&(_, tokens)| tokens == now.tokens);
    let fd = match those[..] {
        [] => {
            return Err(format!(
                "process {} does not answer session {number} any more",
                session.pid
            ))
        }
        [(fd, _)] => fd,
        _ => {
            return Err(format!(
                "process {} has several conversations like session {number}: none was ended",
                session.pid
            ))
        }
    };
    let taken = pidfd_getfd(process.as_fd(), fd, PidfdGetfdFlags::empty());
    let taken: OwnedFd = taken.map_err(|errno| match errno {
        Errno::PERM => format!(
            "process {} is not yours to trace: start llama-mon with sudo (CAP_SYS_PTRACE)",
            session.pid
        ),
        errno => format!("process {}: {}", session.pid, io::Error::from(errno)),
    })?;
    let is = rustix::fs::fstat(&taken).map_err(|errno| io::Error::from(errno).to_string())?;
    if is.st_rdev != device.rdev() {
        return Err(format!("session {number} is not answering any more"));
    }
    Session::from(taken)
        .cancel()
        .map_err(|error| error.to_string())
}

/// A session as it is now, if its answer is still under way.
fn still_answering(sessions: &str, then: &OpenSession) -> Option<OpenSession> {
    OpenSession::parse(sessions).into_iter().find(|now| {
        (now.number, now.pid, now.state.as_str()) == (then.number, then.pid, "answering")
    })
}

/// The descriptors of a process that are of this device and have an answer under way, with the tokens of the
/// conversation.
fn answering(proc: &Path, pid: i32, device: u64) -> Result<Vec<(i32, u64)>, String> {
    let process = proc.join(pid.to_string());
    let entries = fs::read_dir(process.join("fd")).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("process {pid} is not yours: start llama-mon with sudo")
        }
        _ => format!("process {pid}: {error}"),
    })?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(fd) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let is_device = fs::metadata(entry.path())
            .is_ok_and(|file| file.file_type().is_char_device() && file.rdev() == device);
        if !is_device {
            continue;
        }
        let info = fs::read_to_string(process.join(format!("fdinfo/{fd}"))).unwrap_or_default();
        found.extend(answering_tokens(&info).map(|tokens| (fd, tokens)));
    }
    Ok(found)
}

/// The tokens of a conversation that has an answer under way, from its `/proc/PID/fdinfo/FD`.
fn answering_tokens(info: &str) -> Option<u64> {
    let value = |key: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|&(name, _)| name == key)
            .map(|(_, value)| value.trim())
    };
    (value("llama-state")? == "answering").then(|| value("llama-tokens")?.parse().ok())?
}

/// A value for a setting as it is written, or what is wrong with it.
pub(crate) fn setting(text: &str, allowed: Allowed) -> Result<String, String> {
    let text = text.trim();
    match allowed {
        Allowed::Number(least, most) => match text.parse::<i64>() {
            Ok(value) if (least..=most).contains(&value) => Ok(value.to_string()),
            _ => Err(format!("a whole number from {least} to {most}")),
        },
        Allowed::Text(most) if text.len() > most => {
            Err(format!("{} bytes, and {most} at most", text.len()))
        }
        Allowed::Text(_) if text.contains(|c: char| c.is_control() && c != '\t') => {
            Err("it has a control character".to_owned())
        }
        Allowed::Text(_) => Ok(text.to_owned()),
    }
}

/// A line for `/sys/kernel/llamux/limits`, or what is wrong with it.
pub(crate) fn limits(text: &str) -> Result<String, String> {
    let mut words = text.split_whitespace();
    let whose = words.next().unwrap_or_default();
    let user = whose.strip_prefix("user=");
    if whose != "default" && user.and_then(|user| user.parse::<u32>().ok()).is_none() {
        return Err("it begins with default, or user= and a number".to_owned());
    }
    let words: Vec<&str> = words.collect();
    if words == ["default"] && user.is_some() {
        return Ok(format!("{whose} default"));
    }
    if words.is_empty() {
        return Err(format!(
            "then come limits: {}=NUMBER",
            Limits::NAMES.join("=NUMBER, ")
        ));
    }
    for word in &words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if !Limits::NAMES.contains(&name) {
            return Err(format!("{name}: not one of {}", Limits::NAMES.join(", ")));
        }
        if value.parse::<u64>().is_err() {
            return Err(format!("{name}: not a number; 0 is no limit"));
        }
    }
    Ok(format!("{whose} {}", words.join(" ")))
}

/// What is to be loaded, or what is wrong with it.
pub(crate) fn load(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [] => Err("the name of a model, or the path of a file".to_owned()),
        [name, ..] if name.len() > 200 => Err("a name has 200 bytes at most".to_owned()),
        [_] => Ok(words.join(" ")),
        [_, option]
            if option
                .strip_prefix("requant=")
                .is_some_and(|kind| !kind.is_empty()) =>
        {
            Ok(words.join(" "))
        }
        _ => Err("behind the name there may be requant=TYPE or requant=fit".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_within_their_range() {
        let nice = Allowed::Number(-20, 19);
        assert_eq!(setting(" -20 ", nice).unwrap(), "-20");
        assert_eq!(setting("+7", nice).unwrap(), "7");
        for wrong in ["20", "-21", "", "1.5", "x", "99999999999999999999"] {
            assert!(
                setting(wrong, nice).unwrap_err().contains("-20 to 19"),
                "{wrong}"
            );
        }
        let text = Allowed::Text(4);
        assert_eq!(setting("éé", text).unwrap(), "éé");
        assert_eq!(setting("", text).unwrap(), "");
        assert!(setting("ééé", text).unwrap_err().contains("6 bytes"));
        assert!(setting("a\x1b", text).is_err());
    }

    #[test]
    fn limits_name_what_is_wrong() {
        for (text, line) in [
            ("default  queued=4", "default queued=4"),
            (
                "user=1000 sessions=1 context=0",
                "user=1000 sessions=1 context=0",
            ),
            ("user=1000 default", "user=1000 default"),
        ] {
            assert_eq!(limits(text).unwrap(), line);
        }
        for (text, part) in [
            ("", "begins with default"),
            ("user=ana queued=1", "begins with default"),
            ("default default", "not one of"),
            ("default", "then come limits"),
            ("default queue=1", "queue: not one of"),
            ("default queued=-1", "queued: not a number"),
            ("default queued", "queued: not a number"),
        ] {
            let error = limits(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_loaded_has_a_name_and_one_option() {
        assert_eq!(load(" a/b  requant=fit").unwrap(), "a/b requant=fit");
        assert_eq!(load("a").unwrap(), "a");
        for wrong in ["", "a b", "a requant=", "a requant=fit x"] {
            assert!(load(wrong).is_err(), "{wrong:?}");
        }
        assert!(load(&"a".repeat(201)).unwrap_err().contains("200"));
    }

    #[test]
    fn a_write_is_one_line_and_errors_are_explained() {
        let root = std::env::temp_dir().join(format!("llama-mon-{}-write", std::process::id()));
        fs::create_dir_all(root.join(SYS)).unwrap();
        let file = root.join(SYS).join("nice");
        fs::write(&file, "").unwrap();
        assert_eq!(write(&root, "nice", "5").unwrap(), "nice: 5");
        assert_eq!(fs::read_to_string(&file).unwrap(), "5\n");
        let error = write(&root, "limits", "x").unwrap_err();
        assert!(error.starts_with("limits: x: "), "{error}");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn each_documented_errno_of_a_file_has_its_own_meaning() {
        for (file, errnos) in [
            (
                "load",
                &[
                    Errno::INVAL,
                    Errno::NAMETOOLONG,
                    Errno::NOENT,
                    Errno::EXIST,
                    Errno::BUSY,
                    Errno::NOSPC,
                    Errno::TOOBIG,
                    Errno::NOMEM,
                ][..],
            ),
            (
                "unload",
                &[Errno::INVAL, Errno::NAMETOOLONG, Errno::NOENT, Errno::BUSY],
            ),
            (
                "default",
                &[Errno::INVAL, Errno::NAMETOOLONG, Errno::NOENT, Errno::BUSY],
            ),
            ("limits", &[Errno::INVAL, Errno::NOENT, Errno::NOSPC]),
            ("nice", &[Errno::INVAL, Errno::RANGE]),
            ("system_prompt", &[Errno::INVAL, Errno::RANGE, Errno::NOMEM]),
        ] {
            let mut seen = std::collections::HashSet::new();
            for errno in errnos.iter().chain(&[Errno::ACCESS]) {
                let text = explained(file, "x", &io::Error::from(*errno));
                assert!(!text.contains("os error"), "{file}: {text}");
                assert!(seen.insert(text.clone()), "{file}: {text}");
            }
        }
        assert!(explained("nice", "1", &io::Error::from(Errno::IO)).contains("os error"));
    }

    #[test]
    fn an_answer_under_way_is_told_by_its_descriptor() {
        let info = "pos:\t0\nflags:\t02\nllama-state:\tanswering\nllama-tokens:\t121\n";
        assert_eq!(answering_tokens(info), Some(121));
        assert_eq!(answering_tokens(&info.replace("answering", "idle")), None);
        assert_eq!(answering_tokens("pos:\t0\n"), None);
        // This process has none.
        let pid = std::process::id() as i32;
        assert_eq!(answering(Path::new("/proc"), pid, 1 << 40), Ok(Vec::new()));
        assert!(answering(Path::new("/proc"), -1, 0).is_err());
    }

    #[test]
    fn another_answer_of_the_same_process_is_not_the_chosen_one() {
        let table = |number: u64, pid: i32, state: &str| {
            format!(
                "session={number} user=1000 pid={pid} comm=llamuxd state={state} tokens=7 held=0 unread=0 idle=1 model=m\n"
            )
        };
        let then = OpenSession::parse(&table(5, 812, "answering")).remove(0);
        let both = table(4, 812, "answering") + &table(5, 812, "answering");
        assert_eq!(still_answering(&both, &then), Some(then.clone()));
        for now in [
            table(6, 812, "answering"),
            table(5, 813, "answering"),
            table(5, 812, "answered"),
            String::new(),
        ] {
            assert_eq!(still_answering(&now, &then), None, "{now}");
        }
    }

    #[test]
    fn who_may_change_nothing_is_told_why() {
        let none = Access::none("a recording cannot be changed");
        assert_eq!(
            none.refusal("load").unwrap(),
            "a recording cannot be changed"
        );
        let some = Access {
            nothing: None,
            files: vec!["load".to_owned()],
        };
        assert_eq!(some.refusal("load"), None);
        assert!(some.refusal("nice").unwrap().contains("sudo"));
    }
}
