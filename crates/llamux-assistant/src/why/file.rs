// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why a file is there, how large it is, who uses it, and why it cannot be read or written.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use llamux_facts::{text, Quantity};
use rustix::fs::{access, getxattr_query, ioctl_getflags, statvfs, Access, IFlags};

use super::{group, output, size, user, Error, Notes};
use crate::command::quoted;

/// Longest time for adding up a directory.
const TIME: Duration = Duration::from_secs(3);
/// Most entries of a directory that are added up.
const ENTRIES: u64 = 500_000;
/// Most users of a file that are named.
const USERS: usize = 5;

pub(super) fn notes(path: &Path) -> Result<Notes, Error> {
    let shown = path.display().to_string();
    let unreadable = |error: &io::Error| Error::Unreadable(shown.clone(), error.to_string());
    let absolute = std::path::absolute(path).map_err(|error| unreadable(&error))?;
    let name = absolute.display().to_string();
    let mut notes = Notes {
        about: text::shown(&name),
        ..Notes::default()
    };
    let meta = match absolute.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) => {
            missing(&mut notes, &absolute, &error);
            return Ok(notes);
        }
    };
    let kind = kind(&meta);
    let age = meta
        .modified()
        .ok()
        .and_then(|time| SystemTime::now().duration_since(time).ok());
    let changed = age.map_or_else(String::new, |age| {
        format!(
            ", last changed {} ago",
            Quantity::Seconds(age.as_secs_f64())
        )
    });
    notes.fact(match meta.is_file() {
        true => format!("{name} is {kind} of {}{changed}.", size(meta.len())),
        false => format!("{name} is {kind}{changed}."),
    });
    if meta.is_symlink() {
        let target = fs::read_link(&absolute)
            .map(|target| target.display().to_string())
            .unwrap_or_default();
        match absolute.metadata() {
            Ok(_) => notes.fact(format!("It points to {target}.")),
            Err(error) => notes.fact(format!(
                "It points to {target}, which cannot be reached: {}.",
                plain(&error)
            )),
        }
    }
    reach(&mut notes, &absolute);
    writable(&mut notes, &absolute, &meta);
    if meta.is_file() {
        // Blocks are 512 bytes each, whatever the file system has.
        let taken = meta.blocks().saturating_mul(512);
        if meta.len() > 1 << 20 && taken < meta.len() / 2 {
            notes.fact(format!(
                "It has holes or is compressed: on the disk it takes {} only.",
                size(taken)
            ));
        }
        if meta.nlink() > 1 {
            notes.fact(format!("It has {} names (hard links).", meta.nlink()));
        }
    }
    if meta.is_dir() {
        directory(&mut notes, &absolute);
    }
    users(&mut notes, &absolute, &meta);
    owner_package(&mut notes, &absolute);
    mount(&mut notes, &absolute);
    let mode = meta.mode() & 0o7777;
    notes.fact(format!(
        "It belongs to the user {} and the group {}, with the permissions {} ({mode:o}).",
        user(meta.uid()),
        group(meta.gid()),
        letters(mode)
    ));
    Ok(notes)
}

/// The text of an error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn kind(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_file() => "a file",
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_fifo() => "a pipe (FIFO)",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() => "a block device",
        () if kind.is_char_device() => "a character device",
        () => "something",
    }
}

/// Permissions as ls writes them.
fn letters(mode: u32) -> String {
    let mut out = String::new();
    for (shift, special, set, unset) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

/// Says at which part of the path it ends.
fn missing(notes: &mut Notes, path: &Path, error: &io::Error) {
    let mut so_far = PathBuf::new();
    for part in path.components() {
        let parent = so_far.clone();
        so_far.push(part);
        if let Err(error) = so_far.symlink_metadata() {
            let parent = parent.display();
            match error.kind() {
                io::ErrorKind::NotFound => notes.fact(format!(
                    "{} does not exist; {parent} does.",
                    so_far.display()
                )),
                io::ErrorKind::PermissionDenied => notes.fact(format!(
                    "{} cannot be reached: {parent} may not be searched by this user.",
                    so_far.display()
                )),
                _ => notes.fact(format!("{}: {}.", so_far.display(), plain(&error))),
            }
            return;
        }
    }
    notes.fact(format!("{}: {}.", path.display(), plain(error)));
}

/// Says which directory on the way keeps others from it.
fn reach(notes: &mut Notes, path: &Path) {
    let mut so_far = PathBuf::new();
    for part in path.parent().into_iter().flat_map(Path::components) {
        so_far.push(part);
        if matches!(part, Component::RootDir) {
            continue;
        }
        if access(&so_far, Access::EXEC_OK).is_err() {
            notes.fact(format!(
                "The directory {} on the way to it may not be searched by this user.",
                so_far.display()
            ));
            return;
        }
        if let Ok(meta) = so_far.metadata() {
            if meta.mode() & 0o001 == 0 {
                notes.fact(format!(
                    "The directory {} on the way to it is closed to others than the user {} and the group {}.",
                    so_far.display(),
                    user(meta.uid()),
                    group(meta.gid())
                ));
                return;
            }
        }
    }
}

/// Says why it cannot be written to, if so.
fn writable(notes: &mut Notes, path: &Path, meta: &Metadata) {
    let flags = match meta.is_file() || meta.is_dir() {
        true => File::open(path)
            .ok()
            .and_then(|file| ioctl_getflags(file).ok()),
        false => None,
    };
    flagged(notes, path, flags.unwrap_or(IFlags::empty()));
    if getxattr_query(path, "system.posix_acl_access").is_ok_and(|length| length > 0) {
        notes.fact("It has an access control list, which getfacl shows.");
    }
    if meta.is_symlink() {
        return;
    }
    if let Err(error) = access(path, Access::WRITE_OK) {
        let why = match error {
            rustix::io::Errno::ROFS => "its file system is mounted read-only",
            rustix::io::Errno::ACCESS => "its permissions do not allow it",
            rustix::io::Errno::PERM => "it is immutable",
            rustix::io::Errno::TXTBSY => "it is a program that is running",
            _ => "the kernel refuses it",
        };
        notes.fact(format!("This user cannot write to it: {why}."));
    }
    let parent = path.parent().filter(|_| path.parent() != Some(path));
    if let Some(parent) = parent {
        if access(parent, Access::WRITE_OK | Access::EXEC_OK).is_err() {
            notes.fact(format!(
                "This user cannot remove or rename it, as the directory {} may not be written to.",
                parent.display()
            ));
        }
    }
}

/// Says what the file system was told to keep from it.
fn flagged(notes: &mut Notes, path: &Path, flags: IFlags) {
    if flags.contains(IFlags::IMMUTABLE) {
        notes.fact(
            "It is immutable: nobody, not even root, can change or remove it before chattr -i.",
        );
        // Whoever made the name chose it, and what is advised is typed.
        if let Some(path) = path.to_str() {
            notes.advise(&format!("chattr -i {}", quoted(path)));
        }
    }
    if flags.contains(IFlags::APPEND) {
        notes.fact("It is append-only: it can be made longer, and nothing else, before chattr -a.");
    }
}

/// Adds up a directory.
fn directory(notes: &mut Notes, path: &Path) {
    let begin = Instant::now();
    let Ok(device) = path.metadata().map(|meta| meta.dev()) else {
        return;
    };
    let mut largest: HashMap<PathBuf, u64> = HashMap::new();
    let (mut count, mut total, mut complete) = (0_u64, 0_u64, true);
    // Directories that are to be read, each with the entry of `path` that it is below.
    let mut left: Vec<(PathBuf, Option<PathBuf>)> = vec![(path.to_owned(), None)];
    while let Some((directory, child)) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            complete = false;
            continue;
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else {
                complete = false;
                continue;
            };
            count += 1;
            let top = child.clone().unwrap_or_else(|| entry.path());
            let taken = meta.blocks().saturating_mul(512);
            total = total.saturating_add(taken);
            *largest.entry(top.clone()).or_insert(0) += taken;
            if meta.is_dir() && meta.dev() == device {
                left.push((entry.path(), Some(top)));
            }
        }
        if count > ENTRIES || begin.elapsed() > TIME {
            complete = false;
            break;
        }
    }
    let at_least = if complete { "" } else { "at least " };
    notes.fact(format!(
        "In it are {at_least}{count} files and directories, which take {at_least}{} on the disk.",
        size(total)
    ));
    let mut largest: Vec<_> = largest.into_iter().collect();
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (path, bytes) in largest
        .iter()
        .take(3)
        .filter(|(_, bytes)| *bytes > 1 << 20 && *bytes * 20 > total)
    {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        notes.fact(format!("The largest there: {name} takes {}.", size(*bytes)));
    }
}

/// Says who has it open, or is in it.
fn users(notes: &mut Notes, path: &Path, meta: &Metadata) {
    let mut found: Vec<String> = vec![];
    let mut hidden = false;
    let of_directory = meta.is_dir();
    let mut deleted = (0_u64, 0_u64);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let same = |link: &Path| {
            let is = fs::metadata(link)
                .is_ok_and(|other| (other.dev(), other.ino()) == (meta.dev(), meta.ino()));
            is || of_directory
                && path != Path::new("/")
                && fs::read_link(link).is_ok_and(|target| target.starts_with(path))
        };
        let mut uses = ["cwd", "exe", "root"].iter().any(|link| {
            let link = entry.path().join(link);
            // Everybody is below the root directory.
            fs::read_link(&link).is_ok_and(|target| target != Path::new("/")) && same(&link)
        });
        match fs::read_dir(entry.path().join("fd")) {
            Ok(files) => {
                for file in files.flatten() {
                    uses = uses || same(&file.path());
                    if of_directory
                        && fs::read_link(file.path()).is_ok_and(|target| {
                            target.as_os_str().as_bytes().ends_with(b" (deleted)")
                                && target.starts_with(path)
                        })
                    {
                        if let Ok(gone) = fs::metadata(file.path()) {
                            deleted = (
                                deleted.0 + 1,
                                deleted.1.saturating_add(gone.blocks().saturating_mul(512)),
                            );
                        }
                    }
                }
            }
            Err(error) => hidden |= error.kind() == io::ErrorKind::PermissionDenied,
        }
        // This program looks, and is no user.
        if uses && u32::try_from(pid) != Ok(std::process::id()) {
            let name = fs::read(entry.path().join("comm")).unwrap_or_default();
            found.push(format!(
                "{} (process {pid})",
                text::decode(name.strip_suffix(b"\n").unwrap_or(&name))
            ));
        }
    }
    match found.len() {
        0 => (),
        more if more > USERS => {
            found.truncate(USERS);
            notes.fact(format!(
                "It is in use by {more} processes, such as {}.",
                found.join(", ")
            ));
        }
        _ => notes.fact(format!("It is in use by {}.", found.join(", "))),
    }
    if deleted.0 > 0 && deleted.1 > 1 << 20 {
        notes.fact(format!(
            "Of files that were deleted in it, {} are still open and take {}.",
            deleted.0,
            size(deleted.1)
        ));
        notes.advise(
            "Their room is free when the programs that have them open end: lsof +L1 names them.",
        );
    }
    if hidden && found.is_empty() && !meta.is_symlink() {
        notes.fact("Whether processes of other users have it open, only root may see.");
    }
}

/// Says which package brought it.
fn owner_package(notes: &mut Notes, path: &Path) {
    let Some(name) = path.to_str() else {
        return;
    };
    let owned = output("pacman", &["-Qoq", "--", name])
        .map(|out| out.trim().to_owned())
        .or_else(|| {
            let dpkg = |name: &str| {
                let out = output("dpkg-query", &["-S", "--", name])?;
                out.lines().next()?.split(": ").next().map(str::to_owned)
            };
            // Debian's packages say /bin where it is a link to /usr/bin.
            dpkg(name).or_else(|| dpkg(name.strip_prefix("/usr")?))
        });
    match owned {
        Some(package) if !package.is_empty() => {
            notes.fact(format!(
                "The package {} brought it.",
                text::shortened(package.lines().next().unwrap_or(""), 80)
            ));
        }
        _ if name.starts_with("/usr/") && !name.starts_with("/usr/local/") => {
            notes.fact("No package brought it.")
        }
        _ => (),
    }
}

/// Says where it is mounted, and how.
fn mount(notes: &mut Notes, path: &Path) {
    let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let Some(found) = mount_of(&String::from_utf8_lossy(&text), path) else {
        return;
    };
    let space = statvfs(path).ok().map(|stat| {
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        (free, total, stat.f_favail, stat.f_files)
    });
    let options: Vec<&str> = found
        .options
        .split(',')
        .filter(|option| matches!(*option, "ro" | "noexec" | "nosuid" | "nodev"))
        .collect();
    notes.fact(format!(
        "It is on the file system {} ({}), from {}.",
        found.mount, found.kind, found.source
    ));
    if options.contains(&"ro") {
        notes.fact("That file system is mounted read-only.");
    }
    if options.contains(&"noexec") {
        notes.fact("No program on that file system can be run (noexec).");
    }
    if let Some((free, total, inodes_free, inodes)) = space.filter(|(_, total, _, _)| *total > 0) {
        notes.fact(format!(
            "There, {} of {} are free.",
            size(free),
            size(total)
        ));
        if inodes > 0 && inodes_free == 0 {
            notes.fact("That file system can take no further files (no inodes are free).");
        }
    }
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq)]
struct Mount {
    mount: String,
    options: String,
    kind: String,
    source: String,
}

/// The mount that a path is on: the last one of the longest.
fn mount_of(info: &str, path: &Path) -> Option<Mount> {
    let parse = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(4);
        let mount = unescaped(front.next()?);
        let options = front.next()?.to_owned();
        let mut back = back.split(' ');
        let kind = back.next()?.to_owned();
        let source = unescaped(back.next()?);
        path.starts_with(&mount).then_some(Mount {
            mount,
            options,
            kind,
            source,
        })
    };
    info.lines()
        .filter_map(parse)
        .max_by_key(|found| found.mount.len())
}

/// Blanks and their like are octal there.
fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    for (code, character) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        out = out.replace(code, character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("llamux-why-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            // It is in a directory for things of no lasting value.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn all(path: &Path) -> String {
        notes(path).unwrap().facts.join("\n")
    }

    #[test]
    fn a_file_says_what_it_is_and_who_has_it_open() {
        let dir = Dir::new("file");
        let path = dir.0.join("some file");
        fs::write(&path, vec![1; 3 << 20]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut sleeper = std::process::Command::new("sleep")
            .arg("60")
            .stdin(File::open(&path).unwrap())
            .spawn()
            .unwrap();
        let seen = all(&path);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        for part in [
            "is a file of 3 MiB",
            "rw-r----- (640)",
            &format!("in use by sleep (process {})", sleeper.id()),
            "It is on the file system",
        ] {
            assert!(seen.contains(part), "{part} is not in {seen}");
        }
    }

    #[test]
    fn a_directory_says_what_is_large_in_it() {
        let dir = Dir::new("dir");
        fs::write(dir.0.join("large"), vec![1; 4 << 20]).unwrap();
        fs::create_dir(dir.0.join("sub")).unwrap();
        fs::write(dir.0.join("sub/small"), "x").unwrap();
        let seen = all(&dir.0);
        assert!(seen.contains("In it are 3 files and directories"), "{seen}");
        assert!(
            seen.contains("The largest there: large takes 4 MiB."),
            "{seen}"
        );
    }

    #[test]
    fn what_is_not_there_says_where_the_path_ends() {
        let dir = Dir::new("missing");
        let seen = all(&dir.0.join("no/such"));
        assert!(
            seen.contains(&format!(
                "{} does not exist; {} does.",
                dir.0.join("no").display(),
                dir.0.display()
            )),
            "{seen}"
        );
        std::os::unix::fs::symlink("nowhere", dir.0.join("link")).unwrap();
        let seen = all(&dir.0.join("link"));
        assert!(
            seen.contains("points to nowhere, which cannot be reached: No such file or directory."),
            "{seen}"
        );
        fs::write(dir.0.join("file"), "").unwrap();
        let seen = all(&dir.0.join("file/below"));
        assert!(seen.contains("Not a directory"), "{seen}");
    }

    #[test]
    fn what_is_advised_can_be_typed() {
        use std::ffi::OsStr;
        for (path, advice) in [
            ("/srv/data", &["chattr -i /srv/data"][..]),
            (
                "/tmp/a b; rm -r $HOME",
                &["chattr -i '/tmp/a b; rm -r $HOME'"],
            ),
        ] {
            let mut notes = Notes::default();
            flagged(&mut notes, Path::new(path), IFlags::IMMUTABLE);
            assert_eq!(notes.advice, advice);
        }
        let mut notes = Notes::default();
        let path = Path::new(OsStr::from_bytes(b"/tmp/\xff"));
        flagged(&mut notes, path, IFlags::IMMUTABLE | IFlags::APPEND);
        assert!(notes.advice.is_empty() && notes.facts.len() == 2);
    }

    #[test]
    fn names_that_are_not_utf_8_are_shown() {
        use std::ffi::OsStr;
        let dir = Dir::new("utf8");
        let path = dir.0.join(OsStr::from_bytes(b"a\xff\x1b[2J"));
        fs::write(&path, "x").unwrap();
        let seen = all(&path);
        assert!(
            seen.contains("is a file of 1 B") && !seen.contains('\x1b'),
            "{seen}"
        );
    }

    #[test]
    fn the_mount_is_the_nearest_one() {
        let info = "\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
30 22 0:30 / /my\\040data ro,noexec - xfs /dev/sdb1 ro
31 22 0:31 / /my\\040data2 rw - tmpfs tmpfs rw
bad line
";
        let mount = mount_of(info, Path::new("/my data/x")).unwrap();
        assert_eq!(
            (
                mount.mount.as_str(),
                mount.kind.as_str(),
                mount.options.as_str()
            ),
            ("/my data", "xfs", "ro,noexec")
        );
        assert_eq!(mount_of(info, Path::new("/etc")).unwrap().mount, "/");
    }

    #[test]
    fn permissions_are_written_as_ls_does() {
        for (mode, text) in [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o1777, "rwxrwxrwt"),
            (0o2640, "rw-r-S---"),
            (0, "---------"),
        ] {
            assert_eq!(letters(mode), text);
        }
    }
}
