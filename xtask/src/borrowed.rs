// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Programs of this machine for systems that have no others: with the libraries that they want.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::sh;

/// What people find in a system that they sit at: the shell on whose top lsh is, and what asks llamuxd.
const PROGRAMS: [&str; 2] = ["bash", "curl"];
/// Terminals at which they may sit.
const TERMINALS: [&str; 12] = [
    "ansi",
    "dumb",
    "linux",
    "screen",
    "screen-256color",
    "tmux",
    "tmux-256color",
    "vt100",
    "vt102",
    "vt220",
    "xterm",
    "xterm-256color",
];
/// Where descriptions of terminals are.
const TERMINFO: [&str; 3] = ["/usr/share/terminfo", "/lib/terminfo", "/etc/terminfo"];
/// By which certificates curl knows others.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Those programs and all that they want: the path in the system, and the file.
pub(crate) fn for_people() -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut programs = Vec::new();
    for name in PROGRAMS {
        let file = sh::find(name).with_context(|| format!("{name} is missing here"))?;
        files.push((format!("usr/bin/{name}"), file.clone()));
        programs.push(file);
    }
    for library in libraries(&programs)? {
        files.push((below_root(&library), library));
    }
    for terminal in TERMINALS {
        let name = format!("{}/{terminal}", &terminal[..1]);
        let places = TERMINFO.map(|dir| Path::new(dir).join(&name));
        let file = places.into_iter().find(|file| file.is_file());
        files.extend(file.map(|file| (format!("usr/share/terminfo/{name}"), file)));
    }
    if Path::new(CERTIFICATES).is_file() {
        files.push((below_root(Path::new(CERTIFICATES)), CERTIFICATES.into()));
    }
    Ok(files)
}

/// A path in a system whose root is elsewhere.
fn below_root(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.trim_start_matches('/').to_owned()
}

/// The libraries that programs and libraries want, and what loads them, where these look for them.
pub(crate) fn libraries(objects: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let said = sh::read(sh::cmd("ldd").args(objects))?;
    Ok(paths(&said))
}

/// The paths in what ldd says, without those that it speaks of.
fn paths(said: &str) -> BTreeSet<PathBuf> {
    let words = said.split_whitespace();
    words
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_where_ldd_says() {
        let said = "/usr/bin/bash:\n\tlinux-vdso.so.1 (0x00007f44)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 \
                    (0x00007f45)\n\t/lib64/ld-linux-x86-64.so.2 => /usr/lib64/ld-linux-x86-64.so.2 (0x1)\n";
        let paths: Vec<_> = paths(said).into_iter().collect();
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(paths, expected.map(PathBuf::from));
    }
}
