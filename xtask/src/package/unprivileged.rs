// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Programs without root's rights, also where root starts them: makepkg refuses to be root.
//!
//! bubblewrap gives them a user namespace, in which they are somebody else, and a view of the file system that is
//! read-only but for the directories named here. What belongs to root there is theirs, so nothing needs to be copied,
//! and the cache, compilers' included, is the same one.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::{model, sh};

/// Who they are there. No right depends on it.
const ID: &str = "1000";

/// A command that is not root.
pub(super) fn cmd(cx: &Context, program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return sh::cmd(program);
    }
    let mut command = sh::cmd("bwrap");
    command.args(["--unshare-user", "--uid", ID, "--gid", ID]);
    command.args(["--die-with-parent", "--ro-bind", "/", "/"]);
    command.args(["--dev-bind", "/dev", "/dev"]);
    for dir in writable(cx) {
        command.arg("--bind").arg(&dir).arg(&dir);
    }
    // fakeroot tries in earnest first, and here most owners are no valid ones.
    command.args(["--setenv", "FAKEROOTDONTTRYCHOWN", "1"]);
    command.args(["--", program]);
    command
}

/// What a build writes to, where it really is: a cache may be made of links.
fn writable(cx: &Context) -> BTreeSet<PathBuf> {
    let mut dirs = vec![cx.root.join("target"), cx.target_dir(), model::dir(cx)];
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    dirs.extend(cargo);
    dirs.push(cx.cache.clone());
    if let Ok(entries) = fs::read_dir(&cx.cache) {
        dirs.extend(entries.flatten().map(|entry| entry.path()));
    }
    let real = dirs.iter().filter_map(|dir| fs::canonicalize(dir).ok());
    let real: BTreeSet<_> = real.filter(|dir| dir.is_dir()).collect();
    // What is below another one is there with it.
    let above = |dir: &PathBuf| dir.ancestors().skip(1).any(|above| real.contains(above));
    real.iter().filter(|dir| !above(dir)).cloned().collect()
}

/// An error if it cannot be done on this machine.
pub(super) fn check(cx: &Context) -> Result<()> {
    let id = sh::read(cmd(cx, "id").arg("-u")).context(
        "makepkg must not be root, and root may not make user namespaces here (a container without that right?): \
         run this as an ordinary user",
    )?;
    if id.trim() == "0" {
        bail!("bubblewrap leaves its programs root here: run this as an ordinary user");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_writes_to_the_cache_and_to_target() {
        let cx = Context::new().unwrap();
        let dirs = writable(&cx);
        assert!(dirs.contains(&fs::canonicalize(&cx.cache).unwrap()));
        assert!(!dirs.contains(&cx.root));
    }
}
