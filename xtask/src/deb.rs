// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel's Debian packages, made by its own `bindeb-pkg`: the image with its modules, and the headers.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::kernel::{build, Pinned, Source, Variant};
use crate::toolchain::SOURCE_DATE_EPOCH;
use crate::{disk, lock, sh};

/// Bytes that packing takes, rounded up.
const ROOM: u64 = 1_000_000_000;

/// What of `bindeb-pkg`'s is handed out: a kernel's headers for user space are the distribution's own.
const OURS: [&str; 2] = ["linux-image-", "linux-headers-"];

/// Makes the packages, and returns their files, which are in `to`.
pub(crate) fn kernel(cx: &Context, source: &Source, to: &Path) -> Result<Vec<PathBuf>> {
    let _lock = lock::take(&cx.cache.join("kernel.lock"))?;
    let build = build::modules(cx, source)?.build;
    disk::need(&build.dir, ROOM, "packing the kernel")?;
    fs::create_dir_all(to)?;

    let release = fs::read_to_string(build.dir.join("include/config/kernel.release"))?;
    // A hyphen in a version is for the package's own number.
    let pinned: Pinned = cx.config("kernel.toml")?;
    let version = format!(
        "{}-{}",
        release.trim().replace('-', "."),
        pinned.package.pkgrel
    );
    let mut make = build.make();
    make.arg("bindeb-pkg")
        .arg("KDEB_SOURCENAME=linux-llamux")
        .arg(format!("KDEB_PKGVERSION={version}"))
        .arg("KDEB_CHANGELOG_DIST=unstable")
        // What they are is known, as this is built; some of it is for other configurations.
        .arg("DPKG_FLAGS=--no-check-builddeps")
        // The modules, which are most of it, are compressed already.
        .arg("KDEB_COMPRESS=gzip")
        .env("DEBFULLNAME", "Llamux")
        .env("DEBEMAIL", "llamux@localhost")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string())
        .env("PATH", path_with_date(&build.dir.join("llamux-bin"))?);
    let what = format!("{}-deb", Variant::PC.name());
    build::run(cx, &build, make, "deb", &what)?;

    let beside = build.dir.parent().context("a build has a directory")?;
    let list = fs::read_to_string(build.dir.join("debian/files"))?;
    let mut packages = Vec::new();
    for name in list.lines().filter_map(|line| line.split(' ').next()) {
        let made = beside.join(name);
        if name.ends_with(".deb") && OURS.iter().any(|ours| name.starts_with(ours)) {
            let package = to.join(name);
            fs::copy(&made, &package)?;
            packages.push(package);
        }
        let _ = fs::remove_file(made);
    }
    let _ = fs::remove_file(beside.join(format!("linux-llamux_{version}_amd64.changes")));
    fs::remove_dir_all(build.dir.join("debian"))?;
    packages.sort();
    Ok(packages)
}

/// The search path with a `date` in front that tells ours: the kernel's scripts write the present one into the
/// package's list of changes otherwise.
fn path_with_date(dir: &Path) -> Result<std::ffi::OsString> {
    let date = sh::find("date").context("there is no date")?;
    fs::create_dir_all(dir)?;
    let ours = dir.join("date");
    let script = format!(
        "#!/bin/sh\nexec {} --utc --date=@{SOURCE_DATE_EPOCH} \"$@\"\n",
        date.display()
    );
    fs::write(&ours, script)?;
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o755))?;
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = [dir.to_owned()].into_iter().chain(env::split_paths(&path));
    Ok(env::join_paths(dirs)?)
}
