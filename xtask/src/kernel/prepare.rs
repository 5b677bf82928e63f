// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The prepared tree: the pristine one, the patches, and the crates laid under `drivers/llamux/`.
//!
//! Files that have not changed keep their times, so that a build after an edit compiles only what the
//! edit touched. A file that the patches leave alone is a hard link to the pristine one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};

use super::{fetch, Source};
use crate::context::Context;
use crate::{download, sh};

/// A patched tree with the crates in it.
pub(crate) struct Tree {
    pub(crate) dir: PathBuf,
    pub(crate) pristine: fetch::Pristine,
    /// What was laid into it: the path in the tree, and the file it comes from.
    pub(crate) laid: BTreeMap<PathBuf, PathBuf>,
    /// A configuration of the user's.
    pub(crate) config: Option<PathBuf>,
}

/// Where the crates go. What is compiled on both sides is laid beside the driver that uses it.
const CRATES: &[(&str, &str)] = &[
    ("crates/llamux-kernel", ""),
    ("crates/llamux-abi/src", "drivers/llamux/abi"),
    ("crates/llamux-math/src", "drivers/llamux/math"),
    ("crates/llamux-engine/src", "drivers/llamux/engine"),
];

/// The hand-written patches in order.
pub(crate) fn patches(cx: &Context) -> Result<Vec<PathBuf>> {
    let mut patches: Vec<_> = match fs::read_dir(cx.root.join("linux-patches")) {
        Ok(entries) => entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "patch"))
            .collect(),
        Err(_) => Vec::new(),
    };
    patches.sort();
    Ok(patches)
}

/// What goes where: path in the tree to file of the checkout.
pub(crate) fn layout(cx: &Context) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut laid = BTreeMap::new();
    for (from, to) in CRATES {
        let from = cx.root.join(from);
        for file in files(&from)? {
            let path = Path::new(to).join(file.strip_prefix(&from)?);
            if let Some(other) = laid.insert(path.clone(), file.clone()) {
                bail!(
                    "{} and {} both go to {}",
                    other.display(),
                    file.display(),
                    path.display()
                );
            }
        }
    }
    Ok(laid)
}

/// Brings the prepared tree up to date.
pub(crate) fn tree(cx: &Context, source: &Source) -> Result<Tree> {
    let pristine = fetch::pristine(cx, source)?;
    let linux = cx.cache_dir("linux")?;
    let dir = linux.join(format!("tree-{}", pristine.id));
    if !dir.exists() {
        let part = dir.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        sh::run(
            sh::cmd("cp")
                .args(["--archive", "--link"])
                .arg(&pristine.dir)
                .arg(&part),
        )?;
        fs::rename(&part, &dir)?;
    }
    let mut laid = patched(cx, &pristine, &linux)?;
    for (path, file) in layout(cx)? {
        if pristine.dir.join(&path).exists() || laid.contains_key(&path) {
            bail!(
                "{} is in the kernel already: an edit to it is a patch in linux-patches/",
                path.display()
            );
        }
        laid.insert(path, file);
    }
    lay(&dir, &pristine.dir, &laid)?;
    Ok(Tree {
        dir,
        pristine,
        laid,
        config: source.config.clone(),
    })
}

/// The files that the patches change, patched, in a directory of their own.
fn patched(
    cx: &Context,
    pristine: &fetch::Pristine,
    linux: &Path,
) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let patches = patches(cx)?;
    let mut key = String::new();
    for patch in &patches {
        key += &download::sha256_bytes(&fs::read(patch)?);
    }
    let key = &download::sha256_bytes(key.as_bytes())[..12];
    let dir = linux.join(format!("patched-{}-{key}", pristine.id));
    if !dir.exists() {
        let part = dir.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir_all(&part)?;
        for path in touched(&patches)? {
            let from = pristine.dir.join(&path);
            if from.exists() {
                let to = part.join(&path);
                fs::create_dir_all(to.parent().context("a file has a directory")?)?;
                fs::copy(from, to)?;
            }
        }
        for patch in &patches {
            sh::run(
                git_apply(&part)
                    .current_dir(&part)
                    .arg("--whitespace=nowarn")
                    .arg(patch),
            )
            .with_context(|| format!("{} does not apply", patch.display()))?;
        }
        fs::rename(&part, &dir)?;
    }
    let mut laid = BTreeMap::new();
    for path in touched(&patches)? {
        let file = dir.join(&path);
        if !file.exists() {
            bail!(
                "a patch deletes or renames {}, which is not provided for",
                path.display()
            );
        }
        laid.insert(path, file);
    }
    Ok(laid)
}

/// The files that patches change or add.
pub(crate) fn touched(patches: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut touched = BTreeSet::new();
    for patch in patches {
        let stat = sh::read(git_apply(patch).args(["--numstat", "-z"]).arg(patch))?;
        touched.extend(
            stat.split('\0')
                .filter_map(|entry| entry.split('\t').nth(2))
                .map(PathBuf::from),
        );
    }
    Ok(touched)
}

/// `git apply`, which would refuse or skip files if it took the directory for a part of a repository.
fn git_apply(dir: &Path) -> std::process::Command {
    let mut git = sh::cmd("git");
    git.env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir))
        .arg("apply");
    git
}

/// Writes what differs and takes back what is laid no longer.
fn lay(dir: &Path, pristine: &Path, laid: &BTreeMap<PathBuf, PathBuf>) -> Result<()> {
    let manifest = dir.with_extension("laid");
    let before: BTreeSet<PathBuf> = fs::read_to_string(&manifest)
        .unwrap_or_default()
        .lines()
        .map(PathBuf::from)
        .collect();
    // Noted first: a run that ends half way must not leave a file that nobody knows to take back.
    let list = |paths: &BTreeSet<PathBuf>| -> String {
        paths
            .iter()
            .map(|path| format!("{}\n", path.display()))
            .collect()
    };
    let after: BTreeSet<PathBuf> = laid.keys().cloned().collect();
    fs::write(&manifest, list(&before.union(&after).cloned().collect()))?;
    let (mut written, mut removed) = (0, 0);
    for path in before.difference(&after) {
        let original = pristine.join(path);
        if original.exists() {
            // A copy and not a link: make must see that the file is newer than what it built of it.
            removed += u32::from(write(&dir.join(path), &original)?);
            continue;
        }
        removed += u32::from(fs::remove_file(dir.join(path)).is_ok());
        // Parents that are empty now go as well; the first that is not ends it.
        for parent in path
            .ancestors()
            .skip(1)
            .take_while(|parent| !parent.as_os_str().is_empty())
        {
            if fs::remove_dir(dir.join(parent)).is_err() {
                break;
            }
        }
    }
    for (path, file) in laid {
        written += u32::from(write(&dir.join(path), file)?);
    }
    fs::write(&manifest, list(&after))?;
    if written + removed > 0 {
        eprintln!("kernel: laid {written} files into the tree, took back {removed}");
    }
    Ok(())
}

/// Makes `to` a copy of `from` if it is not one, and says whether it was written.
fn write(to: &Path, from: &Path) -> Result<bool> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let mode = fs::metadata(from)?.permissions();
    if fs::read(to).is_ok_and(|there| there == content) {
        if fs::metadata(to)?.permissions() != mode {
            fs::set_permissions(to, mode)?;
        }
        return Ok(false);
    }
    fs::create_dir_all(to.parent().context("a laid file has a directory")?)?;
    // A new file in its place: the old one may be a link to the pristine one.
    let new = to.with_file_name(".llamux-new");
    fs::write(&new, content)?;
    fs::set_permissions(&new, mode)?;
    fs::rename(&new, to)?;
    Ok(true)
}

/// All files below a directory but hidden ones and cargo's.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kept_hidden = name == ".gitignore";
            if (name.starts_with('.') && !kept_hidden) || name == "Cargo.toml" || name == "target" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn laying_touches_only_what_changed_and_removes_what_went() {
        let base = std::env::temp_dir().join(format!("xtask-lay-{}", std::process::id()));
        let [tree, from, pristine] = ["tree", "from", "pristine"].map(|name| base.join(name));
        for dir in [&tree, &from, &pristine] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(pristine.join("Makefile"), "kernel's").unwrap();
        fs::hard_link(pristine.join("Makefile"), tree.join("Makefile")).unwrap();
        for name in ["a", "b"] {
            fs::write(from.join(name), name).unwrap();
        }
        let mut laid: BTreeMap<_, _> = ["a", "b"]
            .map(|name| (PathBuf::from("d").join(name), from.join(name)))
            .into();
        lay(&tree, &pristine, &laid).unwrap();
        let inode = |name: &str| fs::metadata(tree.join("d").join(name)).unwrap().ino();
        let (a, b) = (inode("a"), inode("b"));
        fs::write(from.join("b"), "changed").unwrap();
        lay(&tree, &pristine, &laid).unwrap();
        assert_eq!(inode("a"), a);
        assert_ne!(inode("b"), b);
        assert_eq!(fs::read(tree.join("d/b")).unwrap(), b"changed");

        laid.clear();
        lay(&tree, &pristine, &laid).unwrap();
        assert!(!tree.join("d").exists());

        // A patched file replaces the link and leaves the pristine one alone; without it the original is back.
        laid.insert("Makefile".into(), from.join("a"));
        lay(&tree, &pristine, &laid).unwrap();
        assert_eq!(fs::read(tree.join("Makefile")).unwrap(), b"a");
        assert_eq!(fs::read(pristine.join("Makefile")).unwrap(), b"kernel's");
        lay(&tree, &pristine, &BTreeMap::new()).unwrap();
        assert_eq!(fs::read(tree.join("Makefile")).unwrap(), b"kernel's");
        fs::remove_dir_all(base).unwrap();
    }
}
