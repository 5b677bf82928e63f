// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The machine that is acted on, and why something could not be done.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::{bus, process};

/// The machine: where its files are, how its managers are reached, and who acts.
#[derive(Debug)]
pub struct System {
    /// What stands for `/` where files are read and written: another directory in tests.
    pub root: PathBuf,
    /// Where the user's programs keep what they can make again.
    pub cache: Option<PathBuf>,
    /// Whether only facts of another time or place are there, and nothing can be looked at or done.
    pub recorded: bool,
    /// Who acts.
    pub uid: u32,
    /// This process, those above it, and the leader of its session: they are neither ended nor stopped.
    pub own: Vec<i32>,
    /// The managers.
    pub(crate) buses: bus::Buses,
}

impl System {
    /// The running system.
    pub fn running() -> Self {
        let absolute = |name| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        Self {
            root: PathBuf::from("/"),
            cache: absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache"))),
            recorded: false,
            uid: rustix::process::geteuid().as_raw(),
            own: process::own(),
            buses: bus::Buses::default(),
        }
    }

    /// A system whose files are below a directory and whose managers are on the bus at an address, if at all.
    pub fn at(root: &Path, bus: Option<&str>) -> Self {
        Self {
            root: root.to_owned(),
            cache: Some(root.join("home/.cache")),
            buses: bus::Buses::at(bus),
            ..Self::running()
        }
    }

    /// A system of which only facts are there, as its user `uid` would see it.
    pub fn recorded(uid: u32) -> Self {
        Self {
            recorded: true,
            uid,
            own: vec![],
            buses: bus::Buses::at(None),
            ..Self::running()
        }
    }

    /// A file of the system by its absolute path.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// What a file says, without blanks around it.
    pub(crate) fn read(&self, absolute: &str) -> Result<String, Error> {
        let path = self.path(absolute);
        let text = std::fs::read_to_string(&path).map_err(|error| Error::file(&path, error))?;
        Ok(text.trim().to_owned())
    }

    /// Writes a value into a file that is there.
    pub(crate) fn write(&self, absolute: &str, value: &str) -> Result<(), Error> {
        use std::io::Write as _;
        let path = self.path(absolute);
        std::fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)
            .and_then(|mut file| file.write_all(value.as_bytes()))
            .map_err(|error| Error::file(&path, error))
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The process has ended, or the thing is no longer there.
    Gone,
    /// The number of the process belongs to another one now.
    Reused,
    /// It is never done to this one.
    Refused(&'static str),
    /// The user may not; what it would take.
    Permission(String),
    /// The system has nothing that can do it.
    Unsupported(String),
    /// Another program is at work on the same.
    Busy(String),
    /// It changed since it was shown.
    Changed(String),
    /// It was begun and has not ended in time: it may be done yet.
    Late(String),
    /// Anything else.
    Failed(String),
}

impl Error {
    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission(format!("{path}: {error}")),
            io::ErrorKind::NotFound => Self::Unsupported(format!("{path} is not there")),
            // What is read-only here is so for everybody: a container, or a system that is mounted so.
            io::ErrorKind::ReadOnlyFilesystem => {
                Self::Unsupported(format!("{path} is read-only here"))
            }
            _ => Self::Failed(format!("{path}: {error}")),
        }
    }

    pub(crate) fn process(errno: Errno) -> Self {
        match errno {
            Errno::SRCH => Self::Gone,
            Errno::PERM | Errno::ACCESS => {
                Self::Permission("the process belongs to another user, or needs root".to_owned())
            }
            errno => Self::Failed(io::Error::from(errno).to_string()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("is not there any more"),
            Self::Reused => f.write_str("has ended; its number belongs to another process now"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Permission(what) => write!(f, "not permitted: {what}"),
            Self::Unsupported(what) => write!(f, "not possible here: {what}"),
            Self::Busy(what) | Self::Late(what) | Self::Failed(what) => f.write_str(what),
            Self::Changed(what) => write!(f, "left alone: {what}"),
        }
    }
}

impl std::error::Error for Error {}
