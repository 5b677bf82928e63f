// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Running other programs: each command is shown before it runs.
//!
//! Standard output belongs to the answer (`cargo xtask run "…" > file`), so whatever the programs
//! print goes to standard error.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{bail, Context as _, Result};

/// A command in an environment free of what `cargo run` adds for the program it starts: cargo itself would compile
/// again what it depends on.
pub(crate) fn cmd(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let added = text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_");
        // Under fakeroot, which makepkg packs in, its library is found by that path.
        let path = text == "LD_LIBRARY_PATH" && std::env::var_os("FAKEROOTKEY").is_none();
        if added || path || text == "RUST_RECURSION_COUNT" {
            command.env_remove(name);
        }
    }
    command
}

/// The command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let mut words = Vec::new();
    if let Some(dir) = command.get_current_dir() {
        words.push(format!("cd {} &&", quote(dir.as_os_str())));
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.to_string_lossy(), quote(value)));
        }
    }
    words.push(quote(command.get_program()));
    words.extend(command.get_args().map(quote));
    words.join(" ")
}

/// Prints the command.
pub(crate) fn announce(command: &Command) {
    eprintln!("$ {}", show(command));
}

/// Shows and runs the command; its output goes to standard error; a failure is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command
        .stdout(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?))
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!(
            "{} failed: {status}",
            command.get_program().to_string_lossy()
        );
    }
    Ok(())
}

/// Runs a query quietly and returns what it printed; a failure is an error with its complaint.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            show(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the search path has this program.
pub(crate) fn has(program: &str) -> bool {
    find(program).is_some()
}

/// The program's place on the search path.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Some systems leave the administrator's directories out of an ordinary user's path.
    let more = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|dir| dir.join(program))
        .find(|at| is_program(at))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A word as one would type it.
pub(crate) fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_typed() {
        let mut command = Command::new("echo");
        command
            .args(["plain", "two words", "it's", ""])
            .env("A", "b c")
            .current_dir("/tmp");
        assert_eq!(
            show(&command),
            r"cd /tmp && A='b c' echo plain 'two words' 'it'\''s' ''"
        );
    }
}
