// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask python`: makes the Python package `llamux`, a wheel for pip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::{lock, setup, sh, tools};

/// What makes it.
const MATURIN: &str = "maturin==1.16.0";

/// Make the Python package llamux, a wheel for pip.
///
/// It is for CPython from 3.9 on, on this machine's kind of processor, and the path of its file is printed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the wheel [default: target/llamux/python].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    let out = match &args.out {
        Some(dir) => dir.clone(),
        None => cx.root.join("target/llamux/python"),
    };
    println!("{}", wheel(cx, &out)?.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes the wheel, the only one in a directory, and returns its file.
pub(crate) fn wheel(cx: &Context, out: &Path) -> Result<PathBuf> {
    let maturin = packages(cx, MATURIN)?.join("bin/maturin");
    fs::create_dir_all(out)?;
    let wheels = || -> Result<Vec<PathBuf>> {
        let all = fs::read_dir(out)?.flatten().map(|entry| entry.path());
        Ok(all
            .filter(|path| path.extension().is_some_and(|suffix| suffix == "whl"))
            .collect())
    };
    for old in wheels()? {
        fs::remove_file(old)?;
    }
    // The crates below are the same as those of the tools.
    let target_dir = tools::target_dir(cx)?;
    let _lock = lock::take(&target_dir.join("lock"))?;
    let mut make = sh::cmd(maturin);
    make.current_dir(cx.root.join("crates/llamux-python"))
        .env("RUSTFLAGS", tools::anywhere())
        .args(["build", "--release", "--locked", "--quiet"])
        .arg("--target-dir")
        .arg(&target_dir)
        .arg("--out")
        .arg(out);
    sh::run(tools::stripped(&mut make))?;
    match wheels()?.as_slice() {
        [wheel] => Ok(wheel.clone()),
        wheels => bail!("there are {} wheels in {}", wheels.len(), out.display()),
    }
}

/// A package of PyPI, `NAME==VERSION`, with what it depends on: a directory for `PYTHONPATH`, made once.
pub(crate) fn packages(cx: &Context, package: &str) -> Result<PathBuf> {
    let dir = cx.cache_dir("tools")?.join(package.replace("==", "-"));
    if dir.is_dir() {
        return Ok(dir);
    }
    let new = dir.with_file_name(format!("{package}.new"));
    let _ = fs::remove_dir_all(&new);
    sh::run(pip_install()?.arg(&new).arg(package))?;
    fs::rename(&new, &dir)?;
    Ok(dir)
}

/// Puts a wheel, and nothing else, into a directory for `PYTHONPATH`.
pub(crate) fn unpack(wheel: &Path, to: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(to);
    let mut pip = pip_install()?;
    sh::run(
        pip.arg(to)
            .args(["--no-index", "--no-deps", "--no-compile"])
            .arg(wheel),
    )
}

/// `pip install` into the directory that follows.
fn pip_install() -> Result<std::process::Command> {
    let python = setup::python().context("pip is missing: `cargo xtask setup` installs it")?;
    let mut pip = sh::cmd(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--target",
    ]);
    Ok(pip)
}
