// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Packages.

use super::super::places::critical;
use super::super::{ChangesFiles, ChangesSystem, Effect, NeedsCare, ReadOnly, Told, Unknown};
use super::{FILES, READS};

const REMOVES: Effect = (ChangesSystem, "removes packages");
const CHANGES: Effect = (ChangesSystem, "changes what is installed");

pub(super) fn packages(name: &str, told: Told<'_>) -> Option<Effect> {
    let verb = told.verb();
    Some(match name {
        "pacman" | "yay" | "paru" => pacman(told),
        "apt" | "apt-get" | "aptitude" | "nala" => match verb {
            _ if told.flag('s', "simulate") || told.long("dry-run") => READS,
            "list" | "search" | "show" | "policy" | "depends" | "rdepends" | "changelog"
            | "showsrc" | "madison" | "check" | "why" | "why-not" | "help" | "versions" | "" => {
                READS
            }
            "download" | "source" => (ChangesFiles, "downloads packages"),
            "purge" | "autopurge" => (NeedsCare, "removes packages with their settings"),
            _ if told.long("purge") => (NeedsCare, "removes packages with their settings"),
            _ if told
                .options()
                .any(|option| option.starts_with("--force") || option.starts_with("--allow-")) =>
            {
                (NeedsCare, "overrides what protects the system")
            }
            "remove" | "autoremove" => REMOVES,
            _ => CHANGES,
        },
        "dpkg" => dpkg(told),
        "apt-mark" => match verb {
            "showhold" | "showauto" | "showmanual" | "showinstall" => READS,
            _ => CHANGES,
        },
        "apt-key" | "apt-file" => match verb {
            "list" | "search" | "show" => READS,
            _ => CHANGES,
        },
        "paccache" => {
            if told.flag('d', "dryrun") {
                READS
            } else {
                (ChangesSystem, "deletes old packages from the cache")
            }
        }
        "pacdiff" => CHANGES,
        "dnf" | "yum" | "zypper" | "apk" | "emerge" | "xbps-install" | "snap" | "flatpak"
        | "brew" | "nix-env" | "nix" => match verb {
            "history" => match told.second() {
                "" | "list" | "info" | "userinstalled" | "stats" => READS,
                _ => CHANGES,
            },
            "list" | "search" | "info" | "repolist" | "provides" | "se" | "if" | "lr" | "lu"
            | "check-update" | "remote-ls" | "remotes" | "find" | "deps" | "config" | "version"
            | "policy" => READS,
            "purge" => (NeedsCare, "removes packages with their settings"),
            "remove" | "erase" | "rm" | "uninstall" | "del" | "autoremove" => REMOVES,
            "run" => (Unknown, "runs a program about which nothing is known"),
            _ => CHANGES,
        },
        "rpm" => {
            if told.flag('q', "query") || told.flag('V', "verify") {
                READS
            } else if told.long("nodeps") || told.long("force") {
                (NeedsCare, "overrides what protects the system")
            } else {
                CHANGES
            }
        }
        "pip" | "pip3" | "pipx" | "npm" | "yarn" | "pnpm" | "gem" | "uv" | "conda" => match verb {
            "audit" if told.second() == "fix" || told.long("fix") => CHANGES,
            "list" | "show" | "freeze" | "search" | "check" | "ls" | "view" | "outdated"
            | "info" | "why" | "audit" | "help" | "" | "root" | "prefix" => READS,
            "run" | "exec" | "x" | "start" | "test" | "dlx" => {
                (Unknown, "runs what a project says")
            }
            "init" | "download" => (ChangesFiles, "makes files"),
            _ => CHANGES,
        },
        "npx" | "uvx" => (NeedsCare, "downloads a program and runs it, unread"),
        _ => return None,
    })
}

fn dpkg(told: Told<'_>) -> Effect {
    let letters = told.letters();
    let is = |letter: char, long: &str| letters.contains(&letter) || told.long(long);
    let looks = [
        "--list",
        "--status",
        "--print",
        "--search",
        "--get-selections",
        "--compare-versions",
        "--verify",
        "--audit",
        "--contents",
        "--info",
        "--field",
        "--show",
        "--fsys-tarfile",
        "--ctrl-tarfile",
        "--assert",
        "--validate",
        "--yet-to-unpack",
        "--help",
        "--version",
        "--dry-run",
        "--simulate",
        "--no-act",
    ];
    if told.options().any(|option| option.starts_with("--force")) {
        (NeedsCare, "overrides what protects the system")
    } else if is('P', "purge") {
        (NeedsCare, "removes packages with their settings")
    } else if is('r', "remove") {
        REMOVES
    } else if is('x', "extract") || is('X', "vextract") || is('b', "build") {
        if told.operands().any(|word| critical(&word.text)) {
            (NeedsCare, "may overwrite files of the system")
        } else {
            FILES
        }
    } else if is('i', "install")
        || !(letters.iter().all(|letter| "lLsSpIcfWCV".contains(*letter))
            && told.options().all(|option| {
                !option.starts_with("--") || looks.iter().any(|begin| option.starts_with(begin))
            }))
    {
        CHANGES
    } else {
        READS
    }
}

fn pacman(told: Told<'_>) -> Effect {
    let letters = told.letters();
    let letter = |operation: char, name: &str| {
        letters.contains(&operation) || told.options().any(|option| option == format!("--{name}"))
    };
    let count = |letter: char| letters.iter().filter(|found| **found == letter).count();
    let forced = told.long("nodeps")
        || told.long("dbonly")
        || told.long("overwrite")
        || told.long("cascade")
        || told.long("assume-installed");
    if told.flag('p', "print") && !letter('Q', "query") {
        (ReadOnly, "")
    } else if letter('R', "remove") {
        if forced || count('d') > 0 || count('c') > 0 || told.long("noconfirm") || told.computed() {
            (
                NeedsCare,
                "removes packages without what protects the system",
            )
        } else {
            (ChangesSystem, "removes packages")
        }
    } else if letter('S', "sync") || told.options().next().is_none() {
        let looks = ['s', 'i', 'l', 'g'].iter().any(|option| count(*option) > 0)
            || told.long("search")
            || told.long("info")
            || told.long("list")
            || told.long("groups");
        if looks && count('y') == 0 {
            (ReadOnly, "")
        } else if count('c') > 1 {
            (NeedsCare, "deletes all packages from the cache")
        } else if forced || count('d') > 0 {
            (
                NeedsCare,
                "installs packages without what protects the system",
            )
        } else if count('y') > 0
            && count('u') == 0
            && !told.long("sysupgrade")
            && told.operands().next().is_some()
        {
            (
                NeedsCare,
                "installs a package against newer ones than the rest of the system",
            )
        } else {
            (ChangesSystem, "changes what is installed")
        }
    } else if letter('U', "upgrade") {
        if forced || count('d') > 0 {
            (
                NeedsCare,
                "installs packages without what protects the system",
            )
        } else {
            (ChangesSystem, "changes what is installed")
        }
    } else if letter('D', "database") && count('k') == 0 {
        (ChangesSystem, "changes what is known about packages")
    } else if letter('F', "files") && count('y') > 0 {
        (ChangesSystem, "downloads the lists of files")
    } else if letter('G', "getpkgbuild") {
        FILES
    } else if letters.iter().any(|letter| "DFhPQTV".contains(*letter))
        || ["database", "deptest", "files", "help", "query", "version"]
            .iter()
            .any(|name| told.options().any(|option| option == format!("--{name}")))
    {
        (ReadOnly, "")
    } else {
        CHANGES
    }
}
