// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reading files that may not be there, and replacing files at once.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The text of a file, if there is one.
pub fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The path with something behind its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Has the file's content replaced by what `write` writes, or by nothing if that fails. The mode stays.
pub fn replace<T>(path: &Path, write: impl FnOnce(&mut fs::File) -> Result<T>) -> Result<T> {
    let mode = match fs::metadata(path) {
        Ok(meta) => meta.permissions().mode() & 0o7777,
        Err(_) => 0o644,
    };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let new = beside(path, ".new");
    // One that an interrupted run left may have another mode.
    let _ = fs::remove_file(&new);
    let made: Result<T> = (|| {
        let mut file = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        let made = write(&mut file)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        Ok(made)
    })();
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made.with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces the file's text. Keeps the old one in a file beside it if it is to be kept, and no older one is: that is the
/// administrator's, and what follows it has been written here.
pub fn replace_text(path: &Path, text: &str, keep: bool) -> Result<()> {
    let old = beside(path, ".llamux-old");
    if keep && path.exists() && !old.exists() {
        copy(path, &old).with_context(|| format!("cannot write {}", old.display()))?;
    }
    replace(path, |file| Ok(file.write_all(text.as_bytes())?))
}

/// Copies a file with its mode, as a whole or not at all.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let new = beside(to, ".new");
    let copied = fs::copy(from, &new)
        .and_then(|_| fs::File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, to));
    if copied.is_err() {
        let _ = fs::remove_file(&new);
    }
    copied
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A directory of a test's own, gone when it ends.
    pub(crate) struct Dir(pub(crate) PathBuf);

    impl Dir {
        pub(crate) fn new(name: &str) -> Self {
            let name = format!("llamux-setup-{name}-{}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Dir;
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let dir = Dir::new("files");
        let path = dir.write("a", "old");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, |file| {
            file.write_all(b"half")?;
            anyhow::bail!("the source ends here");
            #[expect(unreachable_code, reason = "says the type")]
            Ok(())
        })
        .unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert!(!beside(&path, ".new").exists());
        replace_text(&path, "new", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        replace_text(&path, "newer", true).unwrap();
        let old = beside(&path, ".llamux-old");
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        for path in [path, old] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_no_failure() {
        let dir = Dir::new("absent");
        assert!(read_if_there(&dir.0.join("a")).unwrap().is_none());
        assert!(read_if_there(&dir.0).is_err());
    }
}
