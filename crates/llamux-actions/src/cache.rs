// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Caches: which files of them can go.
//!
//! Files are listed first. Only what was listed is deleted, and only if it is still the same file: it is reached
//! without following a link, and its number, size and time are compared.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::action::Cache;
use crate::{Error, System};

/// How deep caches are looked through.
const DEPTH: usize = 12;
/// Most files of one cache.
const FILES: usize = 500_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A file that can go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The directory of the cache.
    pub base: PathBuf,
    /// Its path below that.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    device: u64,
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Entry {
    fn modified(&self) -> SystemTime {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        let nanoseconds = u32::try_from(self.nanoseconds).unwrap_or(0);
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }
}

/// The directory of a cache.
pub(crate) fn directory(system: &System, cache: Cache) -> Result<PathBuf, Error> {
    let own = |name| {
        let dir = system.cache.as_ref().map(|dir| dir.join(name));
        dir.ok_or_else(|| Error::Unsupported("HOME does not say where your cache is".to_owned()))
    };
    Ok(match cache {
        Cache::Pacman => system.path("/var/cache/pacman/pkg"),
        Cache::Apt => system.path("/var/cache/apt/archives"),
        Cache::Journal => system.path("/var/log/journal"),
        Cache::Coredumps => system.path("/var/lib/systemd/coredump"),
        Cache::Thumbnails => own("thumbnails")?,
        Cache::Pip => own("pip")?,
    })
}

/// The files of a cache that can go, the largest first.
pub(crate) fn list(system: &System, cache: Cache, keep: u32) -> Result<Vec<Entry>, Error> {
    let base = directory(system, cache)?;
    let mut all = vec![];
    match fs::symlink_metadata(&base) {
        Ok(meta) if meta.is_dir() => walk(&base, Path::new(""), DEPTH, &mut all)?,
        Ok(_) => return Err(Error::Failed(format!("{} is no directory", base.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(Error::file(&base, error)),
    }
    let before = SystemTime::now()
        .checked_sub(DAY.saturating_mul(keep))
        .unwrap_or(UNIX_EPOCH);
    let old = |entry: &Entry| entry.modified() < before;
    let mut list: Vec<Entry> = match cache {
        Cache::Pacman => packages(all, keep),
        Cache::Apt => all
            .into_iter()
            .filter(|entry| file_name(entry).ends_with(".deb"))
            .collect(),
        Cache::Thumbnails | Cache::Pip => all,
        // The files that are written to now have no '@' in their names.
        Cache::Journal => all
            .into_iter()
            .filter(|entry| {
                let name = file_name(entry);
                (name.contains('@') && name.ends_with(".journal") || name.ends_with(".journal~"))
                    && old(entry)
            })
            .collect(),
        Cache::Coredumps => all
            .into_iter()
            .filter(|entry| file_name(entry).starts_with("core.") && old(entry))
            .collect(),
    };
    list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    Ok(list)
}

fn file_name(entry: &Entry) -> &str {
    let name = entry.path.file_name().and_then(|name| name.to_str());
    name.unwrap_or_default()
}

fn walk(base: &Path, dir: &Path, depth: usize, all: &mut Vec<Entry>) -> Result<(), Error> {
    let at = base.join(dir);
    let entries = match fs::read_dir(&at) {
        Ok(entries) => entries,
        // What another program deletes meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file(&at, error)),
    };
    for entry in entries.filter_map(Result::ok) {
        let path = dir.join(entry.file_name());
        // Of the link itself, if it is one.
        let Ok(meta) = entry.metadata() else {
            continue;
        };
        if meta.is_dir() && depth > 0 {
            walk(base, &path, depth - 1, all)?;
        } else if meta.is_file() && all.len() < FILES {
            all.push(Entry {
                base: base.to_owned(),
                path,
                bytes: meta.blocks().saturating_mul(512),
                device: meta.dev(),
                inode: meta.ino(),
                seconds: meta.mtime(),
                nanoseconds: meta.mtime_nsec(),
            });
        }
    }
    Ok(())
}

/// Of each package all files but those of the `keep` newest versions, by the time of the file.
fn packages(all: Vec<Entry>, keep: u32) -> Vec<Entry> {
    // By package and architecture, and in it by version: the files, a package and its signature.
    let mut packages: BTreeMap<(String, String), BTreeMap<String, Vec<Entry>>> = BTreeMap::new();
    for entry in all {
        if let Some((name, version, architecture)) = package(file_name(&entry)) {
            let key = (name.to_owned(), architecture.to_owned());
            let versions = packages.entry(key).or_default();
            versions.entry(version.to_owned()).or_default().push(entry);
        }
    }
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let mut out = vec![];
    for versions in packages.into_values() {
        let mut versions: Vec<_> = versions.into_values().collect();
        let newest = |entries: &Vec<Entry>| entries.iter().map(Entry::modified).max();
        versions.sort_by_key(|entries| std::cmp::Reverse(newest(entries)));
        out.extend(versions.into_iter().skip(keep).flatten());
    }
    out
}

/// The name, the version and the architecture in the name of a package's file: `NAME-VERSION-RELEASE-ARCH.pkg.tar.*`.
fn package(file: &str) -> Option<(&str, &str, &str)> {
    let (stem, suffix) = file.split_once(".pkg.tar")?;
    let known = ["", ".zst", ".xz", ".gz", ".bz2", ".lz4"];
    let suffix = suffix.strip_suffix(".sig").unwrap_or(suffix);
    if !known.contains(&suffix) {
        return None;
    }
    let (rest, architecture) = stem.rsplit_once('-')?;
    let (rest, _) = rest
        .rsplit_once('-')
        .filter(|(_, release)| !release.is_empty())?;
    let (name, _) = rest.rsplit_once('-')?;
    let version = stem
        .get(name.len() + 1..stem.len() - architecture.len() - 1)
        .filter(|version| !version.is_empty())?;
    (!name.is_empty()).then_some((name, version, architecture))
}

/// Whether the program that the cache belongs to is at work.
pub(crate) fn check_idle(system: &System, cache: Cache) -> Result<(), Error> {
    let busy = |what: &str| Err(Error::Busy(format!("{what} is at work: try again later")));
    match cache {
        Cache::Pacman if system.path("/var/lib/pacman/db.lck").exists() => busy("pacman"),
        Cache::Apt => {
            let path = system.path("/var/cache/apt/archives/lock");
            let Ok(file) = fs::OpenOptions::new().write(true).open(path) else {
                return Ok(());
            };
            match rustix::fs::fcntl_lock(
                &file,
                rustix::fs::FlockOperation::NonBlockingLockExclusive,
            ) {
                Ok(()) => Ok(()),
                Err(_) => busy("apt"),
            }
        }
        _ => Ok(()),
    }
}

/// Deletes a file that was listed.
pub(crate) fn delete(entry: &Entry) -> Result<(), Error> {
    let shown = entry.base.join(&entry.path);
    let failed = |errno: rustix::io::Errno| Error::file(&shown, errno.into());
    let open = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let base = rustix::fs::open(&entry.base, open, Mode::empty()).map_err(failed)?;
    let parent = match entry.path.parent().filter(|dir| *dir != Path::new("")) {
        Some(dir) => {
            let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            rustix::fs::openat2(&base, dir, open, Mode::empty(), within).map_err(failed)?
        }
        None => base,
    };
    let name = entry.path.file_name().ok_or(Error::Gone)?;
    let stat = match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Err(Error::Gone),
        Err(errno) => return Err(failed(errno)),
    };
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(-1);
    let now = (stat.st_dev, stat.st_ino, stat.st_mtime, nanoseconds);
    if now != (entry.device, entry.inode, entry.seconds, entry.nanoseconds) {
        let what = format!("{} is another file now", shown.display());
        return Err(Error::Changed(what));
    }
    rustix::fs::unlinkat(&parent, name, AtFlags::empty()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packages_are_taken_apart() {
        for (file, expected) in [
            (
                "linux-llamux-headers-7.3.4-1-x86_64.pkg.tar.zst",
                Some(("linux-llamux-headers", "7.3.4-1", "x86_64")),
            ),
            (
                "a-1:2.0-3-any.pkg.tar.xz.sig",
                Some(("a", "1:2.0-3", "any")),
            ),
            ("a-1-1-any.pkg.tar.zst.part", None),
            ("a-1-any.pkg.tar.zst", None),
            ("-1-1-any.pkg.tar.zst", None),
            ("download-x", None),
        ] {
            assert_eq!(package(file), expected, "{file}");
        }
    }

    fn file(root: &Path, path: &str, days: u64) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut &file, &[7; 5000]).unwrap();
        let time = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60 + 60);
        file.set_modified(time).unwrap();
    }

    fn names(system: &System, cache: Cache, keep: u32) -> Vec<String> {
        let list = list(system, cache, keep).unwrap();
        let mut names: Vec<_> = list.iter().map(|e| e.path.display().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_new_or_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        let system = System::at(at, None);
        let pacman = "var/cache/pacman/pkg";
        for (version, days) in [("1-1", 30), ("2-1", 20), ("10-1", 10)] {
            file(at, &format!("{pacman}/a-{version}-any.pkg.tar.zst"), days);
            file(
                at,
                &format!("{pacman}/a-{version}-any.pkg.tar.zst.sig"),
                days,
            );
        }
        file(at, &format!("{pacman}/a-b-1-1-any.pkg.tar.zst"), 99);
        file(at, &format!("{pacman}/notes.txt"), 99);
        let old = ["a-1-1-any.pkg.tar.zst", "a-1-1-any.pkg.tar.zst.sig"];
        assert_eq!(names(&system, Cache::Pacman, 2), old);

        for name in ["x.deb", "partial/y.deb", "lock"] {
            file(at, &format!("var/cache/apt/archives/{name}"), 0);
        }
        assert_eq!(names(&system, Cache::Apt, 0), ["partial/y.deb", "x.deb"]);

        for name in ["system.journal", "system@1-2.journal", "user-1@5.journal~"] {
            file(at, &format!("var/log/journal/id/{name}"), 20);
        }
        file(at, "var/log/journal/id/system@3-4.journal", 2);
        let old = ["id/system@1-2.journal", "id/user-1@5.journal~"];
        assert_eq!(names(&system, Cache::Journal, 14), old);
        assert_eq!(names(&system, Cache::Coredumps, 7), [""; 0]);
    }

    #[test]
    fn links_are_not_followed_and_files_that_changed_stay() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        let system = System::at(at, None);
        file(at, "home/.cache/thumbnails/large/a.png", 0);
        file(at, "home/.cache/thumbnails/large/b.png", 0);
        file(at, "home/precious/c.png", 0);
        std::os::unix::fs::symlink(
            at.join("home/precious"),
            at.join("home/.cache/thumbnails/link"),
        )
        .unwrap();
        let listed = list(&system, Cache::Thumbnails, 0).unwrap();
        assert_eq!(listed.len(), 2);
        // What was a directory is a link to another one, where files have the same names.
        let large = at.join("home/.cache/thumbnails/large");
        fs::rename(&large, at.join("home/moved")).unwrap();
        std::os::unix::fs::symlink(at.join("home/moved"), &large).unwrap();
        assert!(matches!(delete(&listed[0]), Err(Error::Failed(_))));
        fs::remove_file(&large).unwrap();
        fs::rename(at.join("home/moved"), &large).unwrap();
        assert_eq!(delete(&listed[0]), Ok(()));
        assert_eq!(delete(&listed[0]), Err(Error::Gone));
        fs::remove_file(large.join("b.png")).unwrap();
        file(at, "home/.cache/thumbnails/large/b.png", 3);
        assert!(matches!(delete(&listed[1]), Err(Error::Changed(_))));
        assert!(at.join("home/precious/c.png").exists());
        // The directory of the cache is a link itself.
        fs::rename(at.join("home/.cache/thumbnails"), at.join("home/t")).unwrap();
        std::os::unix::fs::symlink("../t", at.join("home/.cache/thumbnails")).unwrap();
        assert!(matches!(
            list(&system, Cache::Thumbnails, 0),
            Err(Error::Failed(_))
        ));
    }
}
