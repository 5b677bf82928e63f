// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask series`: everything that the prepared tree has over the pristine one, as patches for
//! `git am`, and the proof that they give exactly that tree.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{bail, Context as _, Result};
use serde::Deserialize;

use crate::context::Context;
use crate::kernel::prepare::{self, Tree};
use crate::kernel::Source;
use crate::{lock, setup, sh};

/// Make the patch series in target/series.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also apply it to a pristine tree with `git am`, and compare the result with the prepared tree.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    source: Source,
}

/// `configs/series.toml`.
#[derive(Deserialize)]
struct Plan {
    author: String,
    patch: Vec<PatchSpec>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PatchSpec {
    /// Hand-written: the name in `linux-patches/`, where `*` stands for anything.
    File { file: String },
    /// Made from the files laid below these paths, as far as no earlier patch has them.
    Made {
        subject: String,
        body: String,
        paths: Vec<PathBuf>,
    },
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    setup::ensure(cx)?;
    let patches = make(cx, &args.source, args.check)?;
    for patch in patches {
        println!("{}", patch.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the series, and checks it if asked to.
pub(crate) fn make(cx: &Context, source: &Source, check: bool) -> Result<Vec<PathBuf>> {
    let _lock = lock::take(&cx.cache.join("kernel.lock"))?;
    let tree = prepare::tree(cx, source)?;
    let out = cx.root.join("target/series");
    let patches = generate(cx, &tree, &out)?;
    eprintln!("series: {} patches in {}", patches.len(), out.display());
    if check {
        verify(cx, &tree, &patches)?;
    }
    Ok(patches)
}

/// Commits the series one by one in a scratch repository and lets git write the patches.
fn generate(cx: &Context, tree: &Tree, out: &Path) -> Result<Vec<PathBuf>> {
    let plan: Plan = cx.config("series.toml")?;
    let repository = Repository::new(cx, tree, "series-make")?;
    let mut by_hand = prepare::patches(cx)?;
    let touched = prepare::touched(&by_hand)?;
    let mut left: BTreeSet<&PathBuf> = tree
        .laid
        .keys()
        .filter(|path| !touched.contains(*path))
        .collect();
    for patch in &plan.patch {
        match patch {
            PatchSpec::File { file } => {
                let at = by_hand.iter().position(|path| fits(file, path));
                let at = at.with_context(|| format!("linux-patches/ has no {file}"))?;
                repository.am(&[by_hand.remove(at)])?;
            }
            PatchSpec::Made {
                subject,
                body,
                paths,
            } => {
                let mine: Vec<PathBuf> = left
                    .iter()
                    .filter(|path| paths.iter().any(|start| path.starts_with(start)))
                    .map(|path| (*path).clone())
                    .collect();
                if mine.is_empty() {
                    bail!("configs/series.toml: there is nothing for \"{subject}\"");
                }
                left.retain(|path| !mine.contains(path));
                repository.add(tree, &mine)?;
                let message = format!("{subject}\n\n{}\n", body.trim());
                repository.commit(&message, &plan.author, &date(cx, tree, &mine))?;
            }
        }
    }
    if let Some(path) = left.first() {
        bail!("configs/series.toml puts {} into no patch", path.display());
    }
    if let Some(path) = by_hand.first() {
        bail!("configs/series.toml does not name {}", path.display());
    }
    let _ = fs::remove_dir_all(out);
    fs::create_dir_all(out)?;
    sh::read(
        repository
            .git()
            .args([
                "format-patch",
                "--quiet",
                "--numbered",
                "--zero-commit",
                "--no-signature",
            ])
            .arg("--output-directory")
            .arg(out)
            .arg("base"),
    )?;
    repository.remove()?;
    let mut patches: Vec<_> = fs::read_dir(out)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    patches.sort();
    Ok(patches)
}

/// Applies the series to what is pristine and compares all of the tree with the prepared one.
fn verify(cx: &Context, tree: &Tree, patches: &[PathBuf]) -> Result<()> {
    let repository = Repository::new(cx, tree, "series-check")?;
    eprintln!("$ git am target/series/*.patch");
    repository.am(patches)?;

    let applied: BTreeSet<PathBuf> = sh::read(repository.git().args(["ls-files", "-z"]))?
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect();
    let laid: BTreeSet<PathBuf> = tree.laid.keys().cloned().collect();
    let mut differences = Vec::new();
    for path in applied.symmetric_difference(&laid) {
        differences.push(format!("{} is only in one of them", path.display()));
    }
    for path in applied.intersection(&laid) {
        let (here, there) = (repository.dir.join(path), tree.dir.join(path));
        let mode = |path: &Path| fs::metadata(path).map(|meta| meta.mode() & 0o111 != 0).ok();
        if fs::read(&here)? != fs::read(&there)? || mode(&here) != mode(&there) {
            differences.push(format!("{} differs", path.display()));
        }
    }
    // What the series does not touch is the same file in both trees.
    let untouched = compare(&tree.pristine.dir, &tree.dir, &laid, &mut differences)?;
    if !differences.is_empty() {
        differences.truncate(20);
        bail!(
            "the series does not give the prepared tree:\n  {}",
            differences.join("\n  ")
        );
    }
    repository.remove()?;
    eprintln!(
        "series: git am gives the prepared tree: {} files as prepared, {untouched} untouched",
        laid.len()
    );
    Ok(())
}

/// Looks for files outside `laid` that differ between the trees; returns how many there are.
fn compare(
    pristine: &Path,
    prepared: &Path,
    laid: &BTreeSet<PathBuf>,
    differences: &mut Vec<String>,
) -> Result<u64> {
    let mut files = 0;
    let mut left = vec![PathBuf::new()];
    while let Some(dir) = left.pop() {
        let names = |base: &Path| -> Result<BTreeSet<PathBuf>> {
            match fs::read_dir(base.join(&dir)) {
                Ok(entries) => Ok(entries
                    .flatten()
                    .map(|entry| dir.join(entry.file_name()))
                    .collect()),
                Err(_) => Ok(BTreeSet::new()),
            }
        };
        let (before, after) = (names(pristine)?, names(prepared)?);
        for path in before.union(&after).filter(|path| !laid.contains(*path)) {
            let meta = |base: &Path| fs::symlink_metadata(base.join(path)).ok();
            match (meta(pristine), meta(prepared)) {
                (_, Some(there)) if there.is_dir() => left.push(path.clone()),
                (Some(here), Some(there)) => {
                    files += 1;
                    let same = (here.dev(), here.ino()) == (there.dev(), there.ino())
                        || (here.is_file()
                            && fs::read(pristine.join(path))? == fs::read(prepared.join(path))?);
                    if !same {
                        differences
                            .push(format!("{} differs from the pristine one", path.display()));
                    }
                }
                (here, _) => {
                    let verb = if here.is_some() { "went" } else { "came" };
                    differences.push(format!("{} {verb} without a patch", path.display()));
                }
            }
        }
    }
    Ok(files)
}

/// A repository of the pristine files that the series touches: all that `git am` looks at.
struct Repository {
    dir: PathBuf,
}

impl Repository {
    fn new(cx: &Context, tree: &Tree, name: &str) -> Result<Self> {
        let dir = cx.cache_dir("linux")?.join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let this = Self { dir };
        sh::read(
            this.git()
                .args(["init", "--quiet", "--initial-branch=series"]),
        )?;
        for path in tree.laid.keys() {
            let from = tree.pristine.dir.join(path);
            if from.exists() {
                let to = this.dir.join(path);
                fs::create_dir_all(to.parent().context("a file has a directory")?)?;
                fs::copy(from, to)?;
            }
        }
        sh::read(this.git().args(["add", "--force", "--all"]))?;
        sh::read(
            this.git()
                .args(["commit", "--quiet", "--allow-empty", "--message"])
                .arg(format!("Linux {}", tree.pristine.version)),
        )?;
        sh::read(this.git().args(["tag", "base"]))?;
        Ok(this)
    }

    /// git without anything that the user has configured.
    fn git(&self) -> Command {
        let mut git = sh::cmd("git");
        git.current_dir(&self.dir);
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            git.env_remove(name);
        }
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        git.env("GIT_COMMITTER_NAME", "Llamux")
            .env("GIT_COMMITTER_EMAIL", "llamux@localhost");
        git.env("GIT_AUTHOR_NAME", "Llamux")
            .env("GIT_AUTHOR_EMAIL", "llamux@localhost");
        // The kernel's own length of hashes in patches.
        git.args(["-c", "core.abbrev=12", "-c", "gc.auto=0"]);
        git
    }

    fn am(&self, patches: &[PathBuf]) -> Result<()> {
        let mut git = self.git();
        git.args(["am", "--quiet", "--whitespace=nowarn"])
            .args(patches);
        sh::read(&mut git).map(drop)
    }

    fn add(&self, tree: &Tree, paths: &[PathBuf]) -> Result<()> {
        for path in paths {
            let to = self.dir.join(path);
            fs::create_dir_all(to.parent().context("a file has a directory")?)?;
            fs::copy(tree.dir.join(path), to)?;
        }
        sh::read(self.git().args(["add", "--force", "--"]).args(paths)).map(drop)
    }

    fn commit(&self, message: &str, author: &str, date: &str) -> Result<()> {
        sh::read(self.git().args([
            "commit",
            "--quiet",
            "--author",
            author,
            "--date",
            date,
            "--message",
            message,
        ]))
        .map(drop)
    }

    fn remove(self) -> Result<()> {
        Ok(fs::remove_dir_all(self.dir)?)
    }
}

/// When the files of a patch were last changed, as far as the checkout's history tells.
fn date(cx: &Context, tree: &Tree, paths: &[PathBuf]) -> String {
    let files = paths.iter().filter_map(|path| tree.laid.get(path));
    sh::read(
        sh::cmd("git")
            .current_dir(&cx.root)
            .args(["log", "-1", "--format=%aI", "--"])
            .args(files),
    )
    .ok()
    .map(|date| date.trim().to_owned())
    .filter(|date| !date.is_empty())
    .unwrap_or_else(|| "2026-01-01T00:00:00Z".to_owned())
}

/// Whether a file's name is the pattern, where one `*` stands for anything.
fn fits(pattern: &str, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match pattern.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_without_a_patch_is_noticed() {
        let base = std::env::temp_dir().join(format!("xtask-compare-{}", std::process::id()));
        let [pristine, prepared] = ["pristine", "prepared"].map(|name| base.join(name));
        for dir in [&pristine, &prepared] {
            fs::create_dir_all(dir.join("d")).unwrap();
            for name in ["same", "d/same", "d/laid"] {
                fs::write(dir.join(name), name).unwrap();
            }
        }
        let laid = BTreeSet::from([PathBuf::from("d/laid"), PathBuf::from("d/new")]);
        fs::write(prepared.join("d/laid"), "patched").unwrap();
        fs::write(prepared.join("d/new"), "new").unwrap();
        let differences = || {
            let mut found = Vec::new();
            compare(&pristine, &prepared, &laid, &mut found).unwrap();
            found
        };
        assert_eq!(differences(), Vec::<String>::new());
        fs::write(prepared.join("d/same"), "other").unwrap();
        fs::write(prepared.join("stray"), "x").unwrap();
        fs::remove_file(prepared.join("same")).unwrap();
        assert_eq!(differences().len(), 3, "{:?}", differences());
        fs::remove_dir_all(base).unwrap();
    }
}
