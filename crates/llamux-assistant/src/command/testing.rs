// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Files for tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A directory of a test, which goes away at the end.
pub(super) struct Place(PathBuf);

impl Place {
    /// One with these files, and the directories that they are in; a name that ends in `/` is a directory's.
    pub(super) fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
        let root = std::env::temp_dir().join(format!("llamux-{name}-{}", std::process::id()));
        for (name, bytes) in files {
            let path = root.join(name);
            if name.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        Self(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
