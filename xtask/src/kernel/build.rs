// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Builds a kernel and checks its objects.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{bail, Context as _, Result};

use super::{config, objects, prepare, Flavour, Pinned, Source, Target, Variant};
use crate::context::Context;
use crate::progress::Progress;
use crate::{disk, download, sh};

/// Bytes that a build takes, rounded up.
const ROOM: u64 = 2_000_000_000;

/// A kernel that can be booted.
pub(crate) struct Kernel {
    /// `linux` for UML, `bzImage` for x86_64: a copy that a later build leaves alone.
    pub(crate) image: PathBuf,
    /// The source it was built from.
    pub(crate) tree: prepare::Tree,
    /// Where it was built, and with what.
    pub(crate) build: config::Build,
}

/// Fetches, prepares, configures, builds and checks; what is done already is not done again. Of a kernel with modules
/// this is the image: [`modules`] builds the rest.
pub(crate) fn build(cx: &Context, source: &Source, variant: Variant) -> Result<Kernel> {
    let tree = prepare::tree(cx, source)?;
    let build = config::configure(cx, &tree, variant)?;
    let built = match (variant.flavour, variant.target) {
        // With clippy only the driver is compiled, and nothing is linked that one would boot.
        (Flavour::Clippy, _) => build.dir.join("drivers/llamux/built-in.a"),
        (_, Target::Uml) => build.dir.join("linux"),
        (_, Target::X86_64) => build.dir.join("arch/x86/boot/bzImage"),
    };
    let name = built.file_name().context("an image has a name")?;
    let image = cx
        .root
        .join("target/llamux")
        .join(variant.name())
        .join(name);

    // make itself takes many seconds to find that it has nothing to do.
    let state = state(cx, &tree, variant)?;
    let stamp = build.dir.join(".llamux-built");
    if built.exists() && fs::read_to_string(&stamp).is_ok_and(|before| before == state) {
        if variant.flavour != Flavour::Clippy {
            copy_newer(&built, &image)?;
        }
        return Ok(Kernel { image, tree, build });
    }
    let _ = fs::remove_file(&stamp);

    let mut make = build.make();
    match variant.flavour {
        Flavour::Clippy => make.args(["CLIPPY=1", "drivers/llamux/"]),
        Flavour::Pc => make.arg("bzImage"),
        _ => &mut make,
    };
    let log = run(cx, &build, make, "build", &variant.name())?;
    if variant.flavour == Flavour::Clippy {
        complaints(&log)?;
    } else {
        objects::check(cx, &build)?;
        copy_newer(&built, &image)?;
        eprintln!("kernel: {}", image.display());
    }
    fs::write(&stamp, state)?;
    Ok(Kernel { image, tree, build })
}

/// Builds the kernel for PCs and its modules, of which packages have all, and images that boot by themselves none.
pub(crate) fn modules(cx: &Context, source: &Source) -> Result<Kernel> {
    let variant = Variant::PC;
    let kernel = build(cx, source, variant)?;
    let build = &kernel.build;
    let state = state(cx, &kernel.tree, variant)?;
    let stamp = build.dir.join(".llamux-modules-built");
    if fs::read_to_string(&stamp).is_ok_and(|before| before == state) {
        return Ok(kernel);
    }
    let _ = fs::remove_file(&stamp);
    let mut make = build.make();
    make.arg("modules");
    run(
        cx,
        build,
        make,
        "modules",
        &format!("{}-modules", variant.name()),
    )?;
    fs::write(&stamp, state)?;
    Ok(kernel)
}

/// Runs make for a stage of a build, and says how far it is. Returns the stage's log.
pub(crate) fn run(
    cx: &Context,
    build: &config::Build,
    mut make: Command,
    stage: &str,
    what: &str,
) -> Result<PathBuf> {
    let pinned: Pinned = cx.config("kernel.toml")?;
    make.arg(format!("-j{}", jobs()));
    let log = build.dir.join(format!("llamux-{stage}.log"));
    // The first attempt in this directory; how much a later one has to do, only make knows.
    let whole = !log.exists();
    if whole {
        disk::need(&build.dir, ROOM, &format!("building {what}"))?;
    }
    let known = build.dir.join(format!(".llamux-{stage}-steps"));
    let total = match fs::read_to_string(&known) {
        _ if !whole => None,
        Ok(text) => text.trim().parse().ok(),
        Err(_) => pinned.steps.get(what).copied(),
    };
    let steps = watch(make, &format!("building {what}"), total, &log)?;
    if whole {
        fs::write(&known, steps.to_string())?;
    }
    Ok(log)
}

/// Changes when anything does that a build is made of and that its directory's name does not say.
fn state(cx: &Context, tree: &prepare::Tree, variant: Variant) -> Result<String> {
    let mut state = download::sha256_bytes(&fs::read(cx.root.join("configs/island-symbols.txt"))?);
    for (path, file) in &tree.laid {
        // A kernel without the driver is not made of it.
        let is_ours = path.starts_with("drivers/llamux") && !path.ends_with("Kconfig");
        if is_ours && variant.flavour == Flavour::WithoutLlamux {
            continue;
        }
        state += &format!(
            "\n{} {}",
            path.display(),
            download::sha256_bytes(&fs::read(file)?)
        );
    }
    Ok(download::sha256_bytes(state.as_bytes()))
}

/// How many jobs make may run: all processors, or `$LLAMUX_JOBS`.
pub(crate) fn jobs() -> usize {
    std::env::var("LLAMUX_JOBS")
        .ok()
        .and_then(|jobs| jobs.parse().ok())
        .unwrap_or_else(|| thread::available_parallelism().map_or(2, usize::from))
}

/// Runs make, counts the lines of its targets, and keeps all that it says in a log.
fn watch(mut make: Command, what: &str, total: Option<u64>, log: &Path) -> Result<u64> {
    sh::announce(&make);
    let mut child = make
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run make")?;
    let file = fs::File::create(log)?;
    let mut errors = file.try_clone()?;
    let stderr = child
        .stderr
        .take()
        .context("make's standard error is piped")?;
    // Two pipes need two readers, or a full one stops make.
    let complaints = thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let _ = errors.write_all(&[line, b"\n".to_vec()].concat());
        }
    });
    let mut progress = Progress::steps(what, total);
    let mut steps = 0;
    let mut output = file;
    let stdout = child
        .stdout
        .take()
        .context("make's standard output is piped")?;
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        output.write_all(&[line.as_slice(), b"\n"].concat())?;
        let line = String::from_utf8_lossy(&line);
        // kbuild's own lines are indented: `  CC      kernel/fork.o`.
        if line.starts_with("  ") {
            steps += 1;
            progress.at(steps, line.trim());
        }
    }
    let status = child.wait()?;
    let _ = complaints.join();
    if !status.success() {
        eprintln!();
        eprint!("{}", failure(&fs::read_to_string(log).unwrap_or_default()));
        bail!(
            "make failed: {status}; its whole output is {}",
            log.display()
        );
    }
    progress.finish(steps);
    Ok(steps)
}

/// The part of a build log that says what went wrong: from the first error on, at most 60 lines.
fn failure(log: &str) -> String {
    let lines: Vec<_> = log
        .lines()
        .filter(|line| !line.starts_with("  ") || line.contains(" | "))
        .collect();
    let is_error =
        |line: &&str| line.contains("error") || line.contains("undefined") || line.contains("***");
    let first = lines
        .iter()
        .position(is_error)
        .unwrap_or(lines.len().saturating_sub(40));
    lines[first..]
        .iter()
        .take(60)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Fails if clippy or the compiler warned about a file of ours.
fn complaints(log: &Path) -> Result<()> {
    let text = fs::read_to_string(log)?;
    let mut ours = Vec::new();
    let mut head = "";
    for line in text.lines() {
        if line.starts_with("warning") || line.starts_with("error") {
            head = line;
        } else if line.trim_start().starts_with("--> ") && line.contains("drivers/llamux/") {
            ours.push(format!("{head}\n  {}", line.trim()));
        }
    }
    if ours.is_empty() {
        return Ok(());
    }
    bail!(
        "clippy complains about {} places:\n{}",
        ours.len(),
        ours.join("\n")
    )
}

/// Copies a file unless the copy is as new.
fn copy_newer(from: &Path, to: &Path) -> Result<()> {
    let source = fs::metadata(from).with_context(|| format!("{} was not built", from.display()))?;
    if let Ok(there) = fs::metadata(to) {
        if there.len() == source.len() && there.modified()? >= source.modified()? {
            return Ok(());
        }
    }
    fs::create_dir_all(to.parent().context("a copy has a directory")?)?;
    // A kernel that runs from the old copy keeps it.
    let new = to.with_extension("new");
    fs::copy(from, &new)?;
    fs::rename(new, to)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_begins_with_the_first_error() {
        let log = "  CC      a.o\nnote\na.c:1: error: no\n  CC      b.o\nmake: *** [a.o] Error 1\n";
        assert_eq!(failure(log), "a.c:1: error: no\nmake: *** [a.o] Error 1\n");
    }
}
