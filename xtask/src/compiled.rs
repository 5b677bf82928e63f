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
    let target = cx.target_dir();
    for profile in profiles(&kept) {
        match put(&kept.join(&profile), &target.join(&profile)) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                eprintln!("cargo: not done, since the checkout is on another file system");
                return Ok(());
            }
            done => done.with_context(|| format!("cannot write {}", target.display()))?,
        }
    }
    mark(cx, &key)
}

/// Keeps what was compiled, if some of it is not kept yet, in the place of what was kept before. It is all of one
/// checkout, as crates fit together only then.
pub(crate) fn keep(cx: &Context) -> Result<()> {
    let (cache, key) = (cx.cache_dir("compiled")?, key(cx)?);
    let _lock = lock::take(&cx.cache.join("compiled.lock"))?;
    let kept = cache.join(&key);
    for old in fs::read_dir(&cache)?.flatten() {
        if old.path() != kept {
            fs::remove_dir_all(old.path())?;
        }
    }
    let target = cx.target_dir();
    let compiled = Ours::new(cx)?.others(&target);
    if compiled.iter().all(|path| kept.join(path).exists()) {
        return mark(cx, &key);
    }
    // Only a whole one gets its name.
    let making = cache.join("making");
    for path in &compiled {
        let to = making.join(path);
        fs::create_dir_all(to.parent().context("it is below a profile")?)?;
        match link(&target.join(path), &to) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                fs::remove_dir_all(&making)?;
                return Ok(());
            }
            done => done.with_context(|| format!("cannot write {}", to.display()))?,
        }
    }
    let _ = fs::remove_dir_all(&kept);
    fs::rename(&making, &kept)?;
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

    /// What there is below the target directory of other people's crates, from there.
    fn others(&self, target: &Path) -> Vec<PathBuf> {
        let mut others = Vec::new();
        for profile in profiles(target) {
            for part in [FINGERPRINTS, "build", "deps"] {
                let entries = fs::read_dir(target.join(&profile).join(part));
                let names = entries
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.file_name());
                let others_of = names.filter(|name| self.has_not(part, &name.to_string_lossy()));
                others.extend(others_of.map(|name| profile.join(part).join(name)));
            }
        }
        others
    }

    /// Whether a file or directory in this one of cargo's, which is named after a crate and a hash, is of no crate
    /// of ours.
    fn has_not(&self, directory: &str, file: &str) -> bool {
        file.rsplit_once('-')
            .is_some_and(|(name, _)| match directory {
                "deps" => !self.files.contains(name),
                _ => !self.packages.contains(name),
            })
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

/// Puts what is kept of a profile in place. Cargo compiles all else again: a crate can be used only with those that it was
/// compiled with, and some, as serde, have the directory inside in which they were compiled.
fn put(kept: &Path, to: &Path) -> std::io::Result<()> {
    link(kept, to)?;
    for entry in fs::read_dir(to.join(FINGERPRINTS))? {
        let entry = entry?;
        if !kept.join(FINGERPRINTS).join(entry.file_name()).exists() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
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
        for (directory, file, others) in [
            (".fingerprint", "llamux-engine-0123456789abcdef", false),
            ("build", "llamux-engine-0123456789abcdef", false),
            ("deps", "libllamux_engine-0123456789abcdef.rlib", false),
            ("deps", "llamux_engine-0123456789abcdef.d", false),
            ("deps", "c-0123456789abcdef", false),
            (".fingerprint", "libc-0123456789abcdef", true),
            ("deps", "libc-0123456789abcdef.d", true),
            ("deps", "liblibc-0123456789abcdef.rmeta", true),
            ("deps", "libserde_derive-0123456789abcdef.so", true),
            ("build", "serde-json-0123456789abcdef", true),
            ("deps", "CACHEDIR.TAG", false),
        ] {
            assert_eq!(ours.has_not(directory, file), others, "{file}");
        }
    }

    #[test]
    fn what_is_kept_replaces_what_is_there() {
        let dir = std::env::temp_dir().join(format!("xtask-compiled-{}", std::process::id()));
        for (file, text) in [
            ("a/x/.fingerprint/serde-01/f", "kept"),
            ("b/x/.fingerprint/serde-01/f", "newer"),
            ("b/x/.fingerprint/uses-serde-02/f", "of the newer one"),
        ] {
            fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
            fs::write(dir.join(file), text).unwrap();
        }
        assert_eq!(profiles(&dir.join("a")), [PathBuf::from("x")]);
        put(&dir.join("a/x"), &dir.join("b/x")).unwrap();
        let text = fs::read_to_string(dir.join("b/x/.fingerprint/serde-01/f")).unwrap();
        let left = dir.join("b/x/.fingerprint/uses-serde-02").exists();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!((text.as_str(), left), ("kept", false));
    }
}
