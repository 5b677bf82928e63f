// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The journal of what was done: one JSON object a line, in a file that only its owner reads.
//!
//! What brings the state before back is written before anything is done, and the result after it, so that an action
//! that was cut short can be undone too. Lines are only ever added, under a lock; one that was cut off when a machine
//! lost its power is skipped.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::{Action, Outcome, Plan, Restore, System};

/// Largest journal that is read, in bytes.
const MOST: u64 = 64 << 20;

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    /// Something is about to be done.
    Begin {
        id: u64,
        time: u64,
        boot: String,
        request: String,
        effect: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
        action: Action,
        restores: Vec<Restore>,
    },
    /// It was done.
    End {
        id: u64,
        results: Vec<Done>,
        restores: Vec<Restore>,
    },
    /// It was undone, or what could be.
    Undone {
        id: u64,
        time: u64,
        results: Vec<Done>,
        /// What is still to be brought back.
        left: Vec<Restore>,
    },
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Whom or what it was about.
    pub subject: String,
    /// Whether it was done.
    pub ok: bool,
    /// More about it, or why not.
    pub note: String,
}

impl From<&Outcome> for Done {
    fn from(outcome: &Outcome) -> Self {
        Self {
            subject: outcome.subject.clone(),
            ok: outcome.result.is_ok(),
            note: match &outcome.result {
                Ok(note) => note.clone().unwrap_or_default(),
                Err(error) => error.to_string(),
            },
        }
    }
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number, from 1.
    pub id: u64,
    /// When, in seconds since 1970.
    pub time: u64,
    /// Which run of the system it was.
    pub boot: String,
    /// What was asked for.
    pub request: String,
    /// What it was to do.
    pub effect: String,
    /// The profile that it was part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What was done.
    pub action: Action,
    /// What became of its steps; `None` if it was cut short.
    pub results: Option<Vec<Done>>,
    /// What brings the state before back.
    pub restores: Vec<Restore>,
    /// When it was undone, in seconds since 1970.
    pub undone: Option<u64>,
}

/// The journal.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
}

/// What the journal says.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// What was done, the oldest first.
    pub list: Vec<Entry>,
    /// Lines that could not be understood.
    pub skipped: usize,
}

impl History {
    /// The journal of this user: root's is in `/var/lib/llamux`, as HOME may be that of another user then.
    pub fn own() -> io::Result<Self> {
        let absolute = |name| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        let state = absolute("XDG_STATE_HOME").or_else(|| {
            if rustix::process::geteuid().is_root() {
                return Some(PathBuf::from("/var/lib"));
            }
            Some(absolute("HOME")?.join(".local/state"))
        });
        let state = state.ok_or_else(|| {
            io::Error::other("neither XDG_STATE_HOME nor HOME says where the journal is")
        })?;
        Ok(Self::at(&state.join("llamux/history.jsonl")))
    }

    /// A journal at a path.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it with a lock that lasts as long as the file is open.
    fn open(&self) -> io::Result<File> {
        if let Some(dir) = self.path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&self.path)?;
        self.check(&file)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    /// What a journal of another user says would be undone with the rights of this one.
    fn check(&self, file: &File) -> io::Result<()> {
        let meta = file.metadata()?;
        let uid = rustix::process::geteuid().as_raw();
        if !meta.is_file() || meta.uid() != uid || meta.mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it belongs to somebody else, or others may write to it",
            ));
        }
        Ok(())
    }

    /// All that was done.
    pub fn read(&self) -> io::Result<Entries> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
        let mut file = match options.open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entries::default()),
            Err(error) => return Err(error),
        };
        self.check(&file)?;
        rustix::fs::flock(&file, FlockOperation::LockShared)?;
        entries(&mut file)
    }

    /// Notes what is about to be done, and returns its number.
    pub fn begin(
        &self,
        plan: &Plan,
        request: &str,
        profile: Option<&str>,
        system: &System,
    ) -> io::Result<u64> {
        let mut file = self.open()?;
        let id = entries(&mut file)?.list.last().map_or(0, |last| last.id) + 1;
        let line = Line::Begin {
            id,
            time: now(),
            boot: boot(),
            request: request.to_owned(),
            effect: plan.preview.effect.clone(),
            profile: profile.map(str::to_owned),
            action: plan.action.clone(),
            restores: plan.restores(system),
        };
        append(&mut file, &line)?;
        Ok(id)
    }

    /// Notes what became of it.
    pub fn end(&self, id: u64, outcomes: &[Outcome]) -> io::Result<()> {
        let line = Line::End {
            id,
            results: outcomes.iter().map(Done::from).collect(),
            restores: outcomes.iter().filter_map(|o| o.restore.clone()).collect(),
        };
        append(&mut self.open()?, &line)
    }

    /// Notes that it was undone, but for what is left.
    pub fn undone(&self, id: u64, results: Vec<Done>, left: Vec<Restore>) -> io::Result<()> {
        let line = Line::Undone {
            id,
            time: now(),
            results,
            left,
        };
        append(&mut self.open()?, &line)
    }
}

/// Adds a line, behind a newline if the last one was cut off.
fn append(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let length = file.seek(SeekFrom::End(0))?;
    if length > 0 {
        file.seek(SeekFrom::Start(length - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.insert(0, b'\n');
        }
    }
    file.write_all(&text)?;
    file.sync_data()
}

fn entries(file: &mut File) -> io::Result<Entries> {
    let length = file.seek(SeekFrom::End(0))?;
    if length > MOST {
        return Err(io::Error::other(format!(
            "it has {length} bytes, more than the {MOST} that are read: move it away"
        )));
    }
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = vec![];
    file.take(MOST).read_to_end(&mut bytes)?;
    let mut all: BTreeMap<u64, Entry> = BTreeMap::new();
    let mut skipped = 0;
    for line in bytes.split(|&byte| byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(Line::Begin {
                id,
                time,
                boot,
                request,
                effect,
                profile,
                action,
                restores,
            }) => {
                all.insert(
                    id,
                    Entry {
                        id,
                        time,
                        boot,
                        request,
                        effect,
                        profile,
                        action,
                        results: None,
                        restores,
                        undone: None,
                    },
                );
            }
            Ok(Line::End {
                id,
                results,
                restores,
            }) => match all.get_mut(&id) {
                Some(entry) => {
                    entry.results = Some(results);
                    entry.restores = restores;
                }
                None => skipped += 1,
            },
            Ok(Line::Undone { id, time, left, .. }) => match all.get_mut(&id) {
                Some(entry) => {
                    if left.is_empty() {
                        entry.undone = Some(time);
                    }
                    entry.restores = left;
                }
                None => skipped += 1,
            },
            Err(_) => skipped += 1,
        }
    }
    Ok(Entries {
        list: all.into_values().collect(),
        skipped,
    })
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// Which run of the system this is.
pub fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Power, Sysctl};

    fn plan() -> (tempfile::TempDir, System, Plan) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("proc/sys/vm");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("swappiness"), "60\n").unwrap();
        let system = System::at(root.path(), None);
        let action = Action::Sysctl {
            key: Sysctl::Swappiness,
            value: 10,
        };
        let plan = action.plan(&system).unwrap();
        (root, system, plan)
    }

    #[test]
    fn what_was_done_is_found_again_and_can_be_undone() {
        let (root, system, plan) = plan();
        let history = History::at(&root.path().join("state/history.jsonl"));
        assert!(history.read().unwrap().list.is_empty());
        let id = history.begin(&plan, "swap less", None, &system).unwrap();
        assert_eq!(id, 1);
        // Cut short here, it could be undone.
        assert_eq!(history.read().unwrap().list[0].restores.len(), 1);
        let outcomes = plan.perform(&system);
        history.end(id, &outcomes).unwrap();
        let entry = history.read().unwrap().list.remove(0);
        assert_eq!(entry.restores[0].left.as_deref(), Some("10"));
        let restored = crate::restore(&entry.restores[0], &system, true);
        assert_eq!(restored, crate::Restored::Done);
        assert_eq!(system.read("/proc/sys/vm/swappiness").unwrap(), "60");
        history.undone(id, vec![], vec![]).unwrap();
        assert!(history.read().unwrap().list[0].undone.is_some());
        let mode = fs::metadata(history.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_was_cut_off_is_skipped_and_the_next_one_is_not() {
        let (root, system, plan) = plan();
        let history = History::at(&root.path().join("history.jsonl"));
        history.begin(&plan, "one", None, &system).unwrap();
        let bytes = fs::read(history.path()).unwrap();
        let mut file = OpenOptions::new()
            .append(true)
            .open(history.path())
            .unwrap();
        file.write_all(&bytes[..bytes.len() / 2]).unwrap();
        file.write_all(b"\xff").unwrap();
        assert_eq!(history.begin(&plan, "two", None, &system).unwrap(), 2);
        let entries = history.read().unwrap();
        assert_eq!(entries.skipped, 1);
        let requests: Vec<_> = entries.list.iter().map(|e| e.request.as_str()).collect();
        assert_eq!(requests, ["one", "two"]);
    }

    #[test]
    fn writers_at_the_same_time_get_numbers_of_their_own() {
        let (root, system, plan) = plan();
        let path = root.path().join("history.jsonl");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let history = History::at(&path);
                    for _ in 0..8 {
                        let id = history.begin(&plan, "x", None, &system).unwrap();
                        history.end(id, &[]).unwrap();
                    }
                });
            }
        });
        let entries = History::at(&path).read().unwrap();
        assert_eq!((entries.list.len(), entries.skipped), (32, 0));
        assert!(entries.list.iter().all(|entry| entry.results.is_some()));
    }

    #[test]
    fn a_journal_that_others_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("history.jsonl");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let error = History::at(&path).read().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(History::at(&link).read().is_err());
    }

    #[test]
    fn actions_survive_the_journal() {
        let action = Action::Power {
            profile: Power::Balanced,
        };
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(text, r#"{"kind":"power","profile":"balanced"}"#);
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action);
    }
}
