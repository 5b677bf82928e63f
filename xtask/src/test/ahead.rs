// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What later steps build, built while the processors have nothing better to do.
//!
//! Half of a test waits: for systems that boot, and for the last crate of a build. Each of these builds takes the lock
//! that the step takes which needs it, so that this one finds it done, or waits for it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use super::Lab;

/// The commands, in the order in which steps need what they build.
const BUILDS: &[&[&str]] = &[
    &["kernel", "build"],
    &["kernel", "build", "--target", "x86_64"],
    &["kernel", "build", "--debug"],
    &["kernel", "build", "--clippy"],
    &["tools", "--destdir", "target/llamux/ahead"],
];

/// Begins. A build that fails is left to the step that needs it, which says so.
pub(super) fn begin(lab: &Lab<'_>) -> JoinHandle<()> {
    let (root, tarball) = (lab.cx.root.clone(), lab.source.tarball.clone());
    thread::spawn(move || {
        for words in BUILDS {
            let mut command = command(&root);
            command.args(*words);
            if let (Some(tarball), ["kernel", ..]) = (&tarball, words) {
                command.arg("--tarball").arg(tarball);
            }
            let Ok(mut child) = command.spawn() else {
                return;
            };
            if let Some(said) = child.stderr.take() {
                for line in BufReader::new(said).lines().map_while(Result::ok) {
                    eprintln!("(ahead) {line}");
                }
            }
            let _ = child.wait();
        }
    })
}

/// What runs here, behind all else. It is not named by its path, which may be that of a newer one by now.
fn command(root: &Path) -> Command {
    let mut command = crate::sh::cmd("nice");
    command
        .args(["-n", "19"])
        .arg(format!("/proc/{}/exe", std::process::id()))
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}
