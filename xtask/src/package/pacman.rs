// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Packages for pacman, by makepkg, and a repository, by repo-add.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{unprivileged, Order, Package};
use crate::context::Context;
use crate::toolchain::SOURCE_DATE_EPOCH;
use crate::{setup, sh};

/// Who pacman says has made them.
const PACKAGER: &str = "Llamux <llamux@localhost>";
/// What the repository is called in pacman.conf.
const REPOSITORY: &str = "llamux";

/// Has makepkg make the packages in `dir`, signs them, and puts them into the repository.
pub(super) fn make(
    cx: &Context,
    dir: &Path,
    order: &Order<'_>,
    packages: &[&'static Package],
) -> Result<Vec<PathBuf>> {
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    let mut makepkg = makepkg(cx, dir, order, &names)?;
    sh::run(makepkg.args(["--noconfirm", "--force"]))?;

    let list = sh::read(self::makepkg(cx, dir, order, &names)?.arg("--packagelist"))?;
    let mut files = Vec::new();
    for built in list.lines().map(Path::new) {
        let name = built.file_name().context("a package has a name")?;
        let file = order.repo.join(name);
        // Whoever reads the old one meanwhile keeps it.
        let part = order.repo.join(".part");
        fs::copy(built, &part).with_context(|| format!("makepkg left no {}", built.display()))?;
        fs::rename(part, &file)?;
        let signature = signature(&file);
        let _ = fs::remove_file(&signature);
        if let Some(key) = order.sign {
            sign(key, &file, &signature)?;
        }
        // The repository has its own copy.
        fs::remove_file(built)?;
        files.push(file);
    }
    add(order, &files)?;
    Ok(files)
}

/// makepkg, told all that must not depend on the machine.
fn makepkg(cx: &Context, dir: &Path, order: &Order<'_>, names: &[&str]) -> Result<Command> {
    let mut makepkg = unprivileged::cmd(cx, "makepkg");
    makepkg.current_dir(&cx.root);
    makepkg
        .arg("--config")
        .arg(cx.root.join("xtask/assets/packages/makepkg.conf"));
    // pacman knows what is installed on Arch alone. Elsewhere setup has seen to it, and a list of pacman's, in which
    // makepkg looks up what it builds with, is not there.
    if !setup::is_arch() {
        makepkg
            .arg("--nodeps")
            .env("PACMAN", pacman_without_list(dir)?);
    }
    let places = [
        ("BUILDDIR", "build"),
        ("PKGDEST", "packages"),
        ("SRCDEST", "sources"),
        ("LOGDEST", "logs"),
        ("TMPDIR", "tmp"),
    ];
    for (name, place) in places {
        let place = dir.join(place);
        fs::create_dir_all(&place)?;
        makepkg.env(name, place);
    }
    makepkg
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string())
        .env("PACKAGER", PACKAGER)
        .env("LLAMUX_PACKAGES", names.join(" "))
        .env("LLAMUX_CACHE", &cx.cache)
        .env("CARGO_TARGET_DIR", cx.target_dir());
    let files = [
        ("LLAMUX_CONFIG", &order.source.config),
        ("LLAMUX_TARBALL", &order.source.tarball),
    ];
    for (name, file) in files {
        makepkg.env_remove(name);
        if let Some(file) = file {
            makepkg.env(name, fs::canonicalize(file)?);
        }
    }
    Ok(makepkg)
}

/// A pacman whose list of what is installed is empty.
fn pacman_without_list(dir: &Path) -> Result<PathBuf> {
    let list = dir.join("pacman");
    fs::create_dir_all(&list)?;
    let script = dir.join("pacman.sh");
    let list = sh::quote(list.as_os_str());
    fs::write(
        &script,
        format!("#!/bin/sh\nexec pacman --dbpath {list} \"$@\"\n"),
    )?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    Ok(script)
}

/// An error unless GnuPG can sign with this key.
pub(super) fn check_key(key: &str) -> Result<()> {
    let mut gpg = sh::cmd("gpg");
    gpg.args(["--batch", "--list-secret-keys", "--", key]);
    sh::read(&mut gpg).with_context(|| {
        format!("GnuPG has no secret key {key} (`gpg --list-secret-keys` names those that it has)")
    })?;
    Ok(())
}

fn signature(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn sign(key: &str, file: &Path, signature: &Path) -> Result<()> {
    let mut gpg = sh::cmd("gpg");
    gpg.args(["--batch", "--yes", "--detach-sign", "--use-agent"]);
    gpg.args(["--local-user", key, "--output"]);
    sh::run(gpg.arg(signature).arg(file))
}

/// Puts the packages into the repository's list, and takes what they replace out of its directory.
fn add(order: &Order<'_>, files: &[PathBuf]) -> Result<()> {
    let mut add = sh::cmd("repo-add");
    add.args(["--quiet", "--remove"]);
    if let Some(key) = order.sign {
        add.args(["--sign", "--key", key]);
    }
    add.arg(order.repo.join(format!("{REPOSITORY}.db.tar.zst")));
    sh::run(add.args(files))
}

/// What the user does next.
pub(super) fn how_to_use(order: &Order<'_>) -> Result<String> {
    let repo = fs::canonicalize(order.repo)?;
    let trust = match order.sign {
        Some(_) => "Required",
        None => "Optional TrustAll",
    };
    Ok(format!(
        "package: the repository is {repo}; for pacman, write into /etc/pacman.conf\n\
         \n    [{REPOSITORY}]\n    SigLevel = {trust}\n    Server = file://{repo}\n\n\
         and run `pacman -Sy linux-llamux llamux-tools llamux-model-smollm2`\n",
        repo = repo.display(),
    ))
}
