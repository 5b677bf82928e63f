// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the tests share: a recorded system, and texts to compare with.

use std::fs;
use std::path::{Path, PathBuf};

use crate::snapshot::{Snapshot, Source};

/// Where the recorded files are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// The same system twice, eleven seconds apart: four answers are being written, for two users.
pub(crate) fn recorded() -> (Snapshot, Snapshot) {
    let read = |name| Source::new(&directory().join(name)).read();
    (read("first").unwrap(), read("second").unwrap())
}

/// Compares a text with the file of this name in `tests/screens`, which is written anew with `UPDATE_SCREENS=1`.
#[track_caller]
pub(crate) fn same_as(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/screens")
        .join(name);
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
    }
    let expected =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(
        text == expected,
        "not what is in {}:\n{text}",
        file.display()
    );
}
