// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Updates and reboots that are due.

use std::path::Path;
use std::time::Duration;

use super::{line, names, output, whole};
use crate::facts::Updates;
use crate::text;

/// How long a package manager may take.
const TIME: Duration = Duration::from_millis(2500);

/// Most names of packages that are kept.
const NAMES: usize = 50;

/// What the package manager of this system knows, and why it does not know more. Nothing is fetched.
pub(super) fn updates(count: bool) -> Result<(Updates, Option<String>), String> {
    let mut updates = Updates::default();
    let Some(manager) = manager() else {
        return Ok((updates, None));
    };
    let (lists, program, args) = if manager == "pacman" {
        ("/var/lib/pacman/sync", "pacman", &["-Qu"][..])
    } else {
        let args = &["-s", "-q", "-o", "Debug::NoLocking=true", "upgrade"][..];
        ("/var/lib/apt/lists", "apt-get", args)
    };
    updates.manager = Some(manager.to_owned());
    updates.lists_age_seconds = age(lists);
    updates.reboot = reboot(manager);
    // pacman only compares names; apt works out what an upgrade would do.
    if count || manager == "pacman" {
        match output(program, args, TIME) {
            Ok(out) => {
                let packages = packages(manager, &String::from_utf8_lossy(&out));
                updates.pending = Some(packages.len() as u64);
                updates.packages = packages;
                updates.packages.truncate(NAMES);
            }
            Err(why) => return Ok((updates, Some(why))),
        }
    }
    Ok((updates, None))
}

/// The package manager of this system: others may be installed.
fn manager() -> Option<&'static str> {
    let release = whole("/etc/os-release").unwrap_or_default();
    let ids = release.lines().filter_map(|row| {
        row.strip_prefix("ID=")
            .or_else(|| row.strip_prefix("ID_LIKE="))
    });
    let ids: Vec<_> = ids
        .flat_map(|ids| ids.trim_matches('"').split(' '))
        .collect();
    let managers = [
        ("pacman", "/var/lib/pacman/local", &["arch"][..]),
        ("apt", "/var/lib/dpkg/status", &["debian", "ubuntu"][..]),
    ];
    let there = managers
        .iter()
        .filter(|(_, path, _)| Path::new(path).exists());
    let there: Vec<_> = there.collect();
    let own = there
        .iter()
        .find(|(_, _, names)| names.iter().any(|name| ids.contains(name)));
    own.or(there.first()).map(|(name, _, _)| *name)
}

fn packages(manager: &str, out: &str) -> Vec<String> {
    let rows = out.lines().filter_map(|row| match manager {
        // Those that the configuration holds back are no updates.
        "pacman" => (!row.ends_with("[ignored]")).then_some(row),
        _ => row.strip_prefix("Inst "),
    });
    let names = rows.filter_map(|row| row.split(' ').next());
    names
        .filter(|name| !name.is_empty())
        .map(|name| text::decode(name.as_bytes()))
        .collect()
}

/// Seconds since the newest list of packages was written.
fn age(dir: &str) -> Option<f64> {
    let changed = |name: String| {
        let data = std::fs::metadata(Path::new(dir).join(name)).ok()?;
        data.modified().ok()?.elapsed().ok()
    };
    let ages = names(dir).into_iter().filter_map(changed);
    ages.min().map(|age| super::round(age.as_secs_f64()))
}

fn reboot(manager: &str) -> Option<String> {
    if Path::new("/run/reboot-required").exists() {
        let packages = whole("/run/reboot-required.pkgs").unwrap_or_default();
        let mut packages: Vec<_> = packages.lines().collect();
        packages.sort_unstable();
        packages.dedup();
        packages.truncate(5);
        let packages = text::decode(packages.join(", ").as_bytes());
        return Some(if packages.is_empty() {
            "an update asks for it".to_owned()
        } else {
            format!("an update asks for it: {packages}")
        });
    }
    // pacman removes the modules of the kernel that runs when it installs the next one.
    let running = line("/proc/sys/kernel/osrelease")?;
    let modules = Path::new("/usr/lib/modules");
    let others = names(modules);
    let kernels = others
        .iter()
        .any(|name| modules.join(name).join("vmlinuz").exists());
    let replaced = manager == "pacman" && kernels && !modules.join(&running).exists();
    replaced.then(|| format!("the modules of the running kernel {running} were replaced"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_counted_as_each_manager_prints_them() {
        let pacman = "linux 6.1-1 -> 6.2-1\nvim 9-1 -> 9-2 [ignored]\n\n";
        assert_eq!(packages("pacman", pacman), ["linux"]);
        let apt = "NOTE: x\nInst libc6 [2.36] (2.37 Debian)\nConf libc6 (2.37)\nInst zlib (1)\n";
        assert_eq!(packages("apt", apt), ["libc6", "zlib"]);
    }
}
