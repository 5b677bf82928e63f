// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What cargo has compiled of other people's crates, kept in the cache for fresh checkouts.
//!
//! Half of what a test of a fresh checkout compiles never changes: the crates that Cargo.lock names. They are kept
//! as hard links to the files of the checkout that compiled them first. Nothing of the workspace is among them: cargo
//! tells whether that is up to date by the times of its sources, which say nothing about another checkout's.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::context::Context;
use crate::{download, lock, sh};

/// Where cargo says of each crate what it was compiled of.
const FINGERPRINTS: &str = ".fingerprint";
/// Directories below cargo's one in which it builds, at most.
const DEPTH: usize = 3;

/// Puts what is kept below the target directory, once for each.
pub(crate) fn seed(cx: &Context) -> Result<()> {
    let key = key(cx)?;
    if fs::read_to_string(seeded(cx)).is_ok_and(|before| before == key) {
        return Ok(());
    }
    // Another checkout may be about to remove it.
    let _lock = lock::take(&cx.cache.join("compiled.lock"))?;
    let kept = cx.cache_dir("compiled")?.join(&key);
    if !kept.exists() {
        return Ok(());
    }
    eprintln!("cargo: taking compiled crates from {}", kept.display());
    let ours = Ours::new(cx)?;
    let target = cx.target_dir();
    for profile in profiles(&kept) {
        let to = target.join(&profile);
        match link(&kept.join(&profile), &to).and_then(|()| ours.leave(&to)) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                eprintln!("cargo: not done, since the checkout is on another file system");
                return Ok(());
            }
            done => done.with_context(|| format!("cannot write {}", target.display()))?,
        }
    }
    mark(cx, &key)
}

/// Keeps what was compiled and is not kept yet; what was kept of other versions goes.
pub(crate) fn keep(cx: &Context) -> Result<()> {
    let (cache, key) = (cx.cache_dir("compiled")?, key(cx)?);
    let _lock = lock::take(&cx.cache.join("compiled.lock"))?;
    let kept = cache.join(&key);
    let making = cache.join("making");
    // Only a whole one gets its name; what is added to that later may be part of what it will be.
    let to = if kept.exists() { &kept } else { &making };
    for old in fs::read_dir(&cache)?.flatten() {
        if old.path() != kept {
            fs::remove_dir_all(old.path())?;
        }
    }
    let ours = Ours::new(cx)?;
    let target = cx.target_dir();
    for profile in profiles(&target) {
        for part in [FINGERPRINTS, "build", "deps"] {
            let Ok(entries) = fs::read_dir(target.join(&profile).join(part)) else {
                continue;
            };
            let to = to.join(&profile).join(part);
            fs::create_dir_all(&to)?;
            for entry in entries.flatten() {
                let name = entry.file_name();
                let to = to.join(&name);
                if ours.has(part, &name.to_string_lossy()) == Some(false) && !to.exists() {
                    match link(&entry.path(), &to) {
                        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                            let _ = fs::remove_dir_all(&making);
                            return Ok(());
                        }
                        done => done.with_context(|| format!("cannot write {}", to.display()))?,
                    }
                }
            }
        }
    }
    if making.exists() {
        fs::rename(&making, &kept)?;
    }
    mark(cx, &key)
}

/// What the compiled files depend on: the crates, their profiles, the compiler and its flags.
fn key(cx: &Context) -> Result<String> {
    let mut inputs = sh::read(sh::cmd("rustc").arg("-vV"))?;
    inputs += &std::env::var("RUSTFLAGS").unwrap_or_default();
    for file in [
        "Cargo.toml",
        "Cargo.lock",
        "fuzz/Cargo.toml",
        "fuzz/Cargo.lock",
    ] {
        inputs += &fs::read_to_string(cx.root.join(file)).with_context(|| file.to_owned())?;
    }
    Ok(download::sha256_bytes(inputs.as_bytes())[..12].to_owned())
}

/// Says what a target directory was seeded with.
fn seeded(cx: &Context) -> PathBuf {
    cx.target_dir().join("llamux-compiled")
}

fn mark(cx: &Context, key: &str) -> Result<()> {
    fs::write(seeded(cx), key).with_context(|| format!("cannot write {}", seeded(cx).display()))
}

/// What is the workspaces' own.
#[derive(Default)]
struct Ours {
    packages: HashSet<String>,
    /// What is built of them, as cargo names the files.
    files: HashSet<String>,
}

impl Ours {
    fn new(cx: &Context) -> Result<Self> {
        let mut ours = Self::default();
        for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
            let mut metadata = sh::cmd("cargo");
            metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
            metadata.arg("--manifest-path").arg(cx.root.join(manifest));
            let metadata: Value = serde_json::from_str(&sh::read(&mut metadata)?)?;
            for package in metadata["packages"].as_array().into_iter().flatten() {
                ours.add(package);
            }
        }
        Ok(ours)
    }

    /// Adds a package as `cargo metadata` describes it.
    fn add(&mut self, package: &Value) {
        let name = |it: &Value| it["name"].as_str().unwrap_or_default().to_owned();
        self.packages.insert(name(package));
        for target in package["targets"].as_array().into_iter().flatten() {
            let name = name(target).replace('-', "_");
            let kinds = target["kind"].as_array().into_iter().flatten();
            let mut kinds = kinds.filter_map(Value::as_str);
            if kinds.any(|kind| kind.contains("lib") || kind == "proc-macro") {
                self.files.insert(format!("lib{name}"));
            }
            self.files.insert(name);
        }
    }

    /// Whether a file or directory in this one of cargo's, which is named after a crate and a hash, is of a crate of
    /// ours. Nothing is known of other names.
    fn has(&self, directory: &str, file: &str) -> Option<bool> {
        let (name, _) = file.rsplit_once('-')?;
        Some(match directory {
            "deps" => self.files.contains(name),
            _ => self.packages.contains(name),
        })
    }

    /// Has cargo compile again what it has compiled of ours in the directory of a profile. The compiler takes a crate
    /// only with those that it was compiled with, and some have the directory that they were compiled in inside.
    fn leave(&self, profile: &Path) -> std::io::Result<()> {
        for entry in fs::read_dir(profile.join(FINGERPRINTS))? {
            let entry = entry?;
            let name = entry.file_name();
            if self.has(FINGERPRINTS, &name.to_string_lossy()) == Some(true) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The directories below `dir` that cargo builds a profile in.
fn profiles(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![(PathBuf::new(), 0)];
    while let Some((below, depth)) = left.pop() {
        if dir.join(&below).join(FINGERPRINTS).is_dir() {
            found.push(below);
        } else if depth < DEPTH {
            for entry in fs::read_dir(dir.join(&below))
                .into_iter()
                .flatten()
                .flatten()
            {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    left.push((below.join(entry.file_name()), depth + 1));
                }
            }
        }
    }
    found
}

/// Has `to` be the same file as `from`, or the same files below it. What is there is replaced: cargo compares the
/// times of crates with those of the crates that they use, so that all have to be of the same build.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        match fs::remove_file(to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => return fs::hard_link(from, to),
        }
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        link(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_workspace_are_told_by_their_names() {
        let mut ours = Ours::default();
        ours.add(&serde_json::json!({
            "name": "llamux-engine",
            "targets": [
                {"name": "llamux-engine", "kind": ["lib"]},
                {"name": "c", "kind": ["test"]},
                {"name": "build-script-build", "kind": ["custom-build"]},
            ],
        }));
        for (directory, file, expected) in [
            (FINGERPRINTS, "llamux-engine-0123456789abcdef", Some(true)),
            ("build", "llamux-engine-0123456789abcdef", Some(true)),
            ("deps", "libllamux_engine-0123456789abcdef.rlib", Some(true)),
            ("deps", "llamux_engine-0123456789abcdef.d", Some(true)),
            ("deps", "c-0123456789abcdef", Some(true)),
            (FINGERPRINTS, "libc-0123456789abcdef", Some(false)),
            ("deps", "libc-0123456789abcdef.d", Some(false)),
            ("deps", "liblibc-0123456789abcdef.rmeta", Some(false)),
            ("deps", "libserde_derive-0123456789abcdef.so", Some(false)),
            ("build", "serde-json-0123456789abcdef", Some(false)),
            ("deps", "CACHEDIR.TAG", None),
        ] {
            assert_eq!(ours.has(directory, file), expected, "{file}");
        }
    }

    #[test]
    fn links_replace_what_is_there_and_ours_is_compiled_again() {
        let dir = std::env::temp_dir().join(format!("xtask-compiled-{}", std::process::id()));
        for (file, text) in [
            ("a/x/.fingerprint/serde-01/f", "kept"),
            ("b/x/.fingerprint/serde-01/f", "newer"),
            ("b/x/.fingerprint/llamux-abi-02/f", "of the newer one"),
        ] {
            fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
            fs::write(dir.join(file), text).unwrap();
        }
        assert_eq!(profiles(&dir.join("a")), [PathBuf::from("x")]);
        link(&dir.join("a"), &dir.join("b")).unwrap();
        let mut ours = Ours::default();
        ours.add(&serde_json::json!({"name": "llamux-abi", "targets": []}));
        ours.leave(&dir.join("b/x")).unwrap();
        let text = fs::read_to_string(dir.join("b/x/.fingerprint/serde-01/f")).unwrap();
        let left = dir.join("b/x/.fingerprint/llamux-abi-02").exists();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!((text.as_str(), left), ("kept", false));
    }
}
