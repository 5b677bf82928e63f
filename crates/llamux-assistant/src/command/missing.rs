// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Commands that are not there: what was meant, and which package has it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{Context, NotFound, System};

/// For each program, its package on Arch and on Debian; empty where there is none.
fn packages() -> &'static BTreeMap<String, (String, String)> {
    static TABLE: OnceLock<BTreeMap<String, (String, String)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        // PANIC: the file is part of the program, and a test reads it.
        toml::from_str(include_str!("../../data/packages.toml"))
            .expect("packages that a test reads")
    })
}

/// How to install a program.
pub(super) fn install(system: System, program: &str) -> Option<String> {
    let (arch, debian) = packages().get(program)?;
    let (how, package) = match system {
        System::Arch => ("sudo pacman -S", arch),
        System::Debian => ("sudo apt install", debian),
        System::Other => return None,
    };
    (!package.is_empty()).then(|| format!("{how} {package}"))
}

pub(super) fn not_found(context: &Context, name: &str) -> NotFound {
    let length = name.chars().count();
    let most = if length < 4 { 1 } else { 2 };
    let mut similar: Vec<_> = context
        .machine
        .programs()
        .into_iter()
        .filter(|program| *program != name)
        .filter_map(|program| {
            let distance = distance(name, &program);
            (distance <= most && distance < length).then(|| {
                // Of two that are as near, the one that people use, and that begins alike.
                let known = super::danger::known(&program);
                let begins = program.chars().next() == name.chars().next();
                ((distance, !known, !begins, program.len()), program)
            })
        })
        .collect();
    similar.sort();
    similar.truncate(3);
    NotFound {
        similar: similar.into_iter().map(|(_, program)| program).collect(),
        install: install(context.system, name),
    }
}

/// How many letters were put in, left out, changed, or swapped with the next one.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let width = b.len() + 1;
    let mut table = vec![0; (a.len() + 1) * width];
    let at = |i: usize, j: usize| i * width + j;
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[at(i, j)] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (table[at(i - 1, j)] + 1)
                    .min(table[at(i, j - 1)] + 1)
                    .min(table[at(i - 1, j - 1)] + same);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(table[at(i - 2, j - 2)] + 1);
                }
                least
            };
        }
    }
    table[at(a.len(), b.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_mistakes() {
        for (a, b, expected) in [
            ("", "", 0),
            ("ls", "ls", 0),
            ("sl", "ls", 1),
            ("gti", "git", 1),
            ("systemclt", "systemctl", 1),
            ("grpe", "grep", 1),
            ("cta", "cat", 1),
            ("abc", "xyz", 3),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn similar_programs_are_found_the_likely_ones_first() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = std::env::temp_dir().join(format!("llamux-missing-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["git", "gtf", "systemctl", "ls", "grep"] {
            let path = directory.join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let context = Context {
            machine: super::super::Machine::of(vec![directory.clone()], vec![], vec![]),
            system: System::Debian,
            ..Context::here(super::super::Shell::Bash)
        };
        for (name, similar, install) in [
            ("gti", &["git", "gtf"][..], None),
            ("sytemctl", &["systemctl"], None),
            ("sl", &["ls"], None),
            ("htop", &[], Some("sudo apt install htop")),
            ("frobnicate", &[], None),
            ("", &[], None),
            ("\u{1b}[2J", &[], None),
        ] {
            let found = not_found(&context, name);
            assert_eq!(found.similar, similar, "{name}");
            assert_eq!(found.install.as_deref(), install, "{name}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn packages_are_known_by_the_program() {
        assert_eq!(
            install(System::Debian, "dig").as_deref(),
            Some("sudo apt install bind9-dnsutils")
        );
        assert_eq!(
            install(System::Arch, "dig").as_deref(),
            Some("sudo pacman -S bind")
        );
        assert_eq!(install(System::Debian, "no-such-program"), None);
    }
}
