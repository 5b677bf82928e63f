// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Programs for which it matters what they are told.

use super::super::syntax::Word;
use super::{critical, place, Effect, Place, Told};
use super::{ChangesFiles, ChangesSystem, NeedsCare, ReadOnly, Unknown};

/// What a program does that is told these words; `None` if its name says it all.
pub(super) fn effect(name: &str, told: Told<'_>, many: bool) -> Option<Effect> {
    devices(name, told)
        .or_else(|| processes(name, told))
        .or_else(|| packages(name, told))
        .or_else(|| services(name, told))
        .or_else(|| network(name, told))
        .or_else(|| tools(name, told, many))
}

/// Disks and file systems.
fn devices(name: &str, told: Told<'_>) -> Option<Effect> {
    let first = told.verb();
    Some(match name {
        "dd" => {
            let output = told
                .0
                .iter()
                .find_map(|word| Some((word, word.text.strip_prefix("of=")?)));
            match output {
                Some((_, "/dev/null")) | None if !told.computed() => (ReadOnly, ""),
                _ => (NeedsCare, "writes over a file or a device, byte by byte"),
            }
        }
        "mkfs" | "mke2fs" => (
            NeedsCare,
            "makes a new file system, and what was there is lost",
        ),
        _ if name.starts_with("mkfs.") => (
            NeedsCare,
            "makes a new file system, and what was there is lost",
        ),
        "fdisk" | "sfdisk" => {
            if told.has('l', "list") || told.has('d', "dump") {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes partitions")
            }
        }
        "parted" => {
            if told.has('l', "list") || told.says(&["print"]) {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes partitions")
            }
        }
        "wipefs" => {
            if told.has('a', "all") || told.has('o', "offset") {
                (NeedsCare, "destroys what is on a device")
            } else {
                (ReadOnly, "")
            }
        }
        "badblocks" => {
            if told.short('w') || told.short('n') {
                (NeedsCare, "writes over a device")
            } else {
                (ReadOnly, "")
            }
        }
        "cryptsetup" => match first {
            "status" | "luksDump" | "isLuks" | "luksUUID" | "benchmark" => (ReadOnly, ""),
            "luksFormat" | "erase" | "luksErase" | "luksKillSlot" | "luksRemoveKey"
            | "reencrypt" | "repair" => {
                (NeedsCare, "destroys what is on a device, or the keys to it")
            }
            _ => (
                ChangesSystem,
                "opens, closes or changes an encrypted device",
            ),
        },
        "hdparm" | "nvme" => {
            let harmless = matches!(first, "list" | "smart-log" | "id-ctrl" | "list-subsys")
                || told.options().all(|option| {
                    matches!(option, "-I" | "-i" | "-t" | "-T" | "-tT" | "-Tt" | "-C")
                });
            if harmless {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes a disk")
            }
        }
        "zpool" | "zfs" | "btrfs" => {
            if told.says(&["destroy", "delete", "rollback", "del", "--repair", "create"])
                && name != "btrfs"
                || told.says(&["delete", "del", "--repair"])
            {
                (NeedsCare, "destroys data, or may")
            } else if told.says(&[
                "list", "status", "show", "get", "df", "usage", "du", "history", "stats",
            ]) {
                (ReadOnly, "")
            } else {
                (ChangesSystem, "changes a file system")
            }
        }
        "mdadm" => {
            if told.says(&[
                "--create",
                "-C",
                "--zero-superblock",
                "--stop",
                "-S",
                "--fail",
                "--remove",
            ]) {
                (NeedsCare, "changes an array of disks")
            } else if told.says(&["--detail", "-D", "--examine", "-E", "--query"]) {
                (ReadOnly, "")
            } else {
                return None;
            }
        }
        "mount" => {
            if told.operands().next().is_none() && !told.has('a', "all") {
                (ReadOnly, "")
            } else {
                (ChangesSystem, "mounts a file system")
            }
        }
        "umount" => {
            if told.has('f', "force") || told.has('l', "lazy") {
                (NeedsCare, "takes a file system away that is in use")
            } else {
                (ChangesSystem, "unmounts a file system")
            }
        }
        "swapon" if told.says(&["--show", "-s", "--summary"]) || told.0.is_empty() => {
            (ReadOnly, "")
        }
        "losetup" if told.0.is_empty() || told.has('l', "list") || told.short('a') => {
            (ReadOnly, "")
        }
        "zramctl" if told.operands().next().is_none() => (ReadOnly, ""),
        "fsck" | "e2fsck" if told.short('N') || told.short('n') => (ReadOnly, ""),
        "tune2fs" if told.short('l') => (ReadOnly, ""),
        "lvs" | "vgs" | "pvs" | "lvdisplay" | "vgdisplay" | "pvdisplay" | "pvscan" | "lvscan"
        | "dumpe2fs" => (ReadOnly, ""),
        "udevadm" if matches!(first, "info" | "monitor" | "test") => (ReadOnly, ""),
        "udisksctl" => match first {
            "status" | "info" | "dump" | "monitor" => (ReadOnly, ""),
            _ => (ChangesSystem, "mounts, unmounts or changes a device"),
        },
        "smartctl" if told.has('t', "test") || told.has('s', "smart") => {
            (ChangesSystem, "starts a test or changes a disk's settings")
        }
        "efibootmgr" => {
            if told.0.is_empty() || told.0.iter().all(|word| word.text == "-v") {
                (ReadOnly, "")
            } else {
                (NeedsCare, "changes what the machine boots")
            }
        }
        "bootctl" => match first {
            "" | "status" | "list" => (ReadOnly, ""),
            _ => (NeedsCare, "changes what the machine boots"),
        },
        _ => return None,
    })
}

/// Whether a signal is one that a process cannot answer.
fn kills(told: Told<'_>) -> bool {
    let killing = |text: &str| {
        let text = text.trim_start_matches('-').to_ascii_uppercase();
        let text = text.strip_prefix("SIG").unwrap_or(&text).to_owned();
        text == "9" || text == "KILL"
    };
    let mut words = told.0.iter();
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        if matches!(text, "-s" | "-n" | "--signal") {
            if words
                .next()
                .is_some_and(|word| !word.known || killing(&word.text))
            {
                return true;
            }
        } else if let Some(value) = text
            .strip_prefix("--signal=")
            .or_else(|| text.strip_prefix("-s"))
        {
            if killing(value) {
                return true;
            }
        } else if text.starts_with('-') && killing(text) {
            return true;
        }
    }
    false
}

/// Processes.
fn processes(name: &str, told: Told<'_>) -> Option<Effect> {
    Some(match name {
        "kill" => {
            let first = told.0.first().map_or("", |word| word.text.as_str());
            if matches!(first, "-l" | "-L" | "-0" | "--list" | "--table") {
                (ReadOnly, "")
            } else if kills(told) {
                (NeedsCare, "ends processes that cannot save anything before")
            } else if told.0.iter().skip(1).any(|word| word.text == "-1")
                || first == "-1" && told.0.len() == 1
                || told
                    .operands()
                    .any(|word| matches!(word.text.as_str(), "1" | "0"))
            {
                (NeedsCare, "ends many processes, or the first of all")
            } else {
                (
                    ChangesSystem,
                    "sends processes a signal, which ends most of them",
                )
            }
        }
        "pkill" | "killall" | "skill" | "xkill" => {
            if told.says(&["-l", "--list"]) || (name == "pkill" && told.says(&["-0"])) {
                (ReadOnly, "")
            } else if kills(told) {
                (NeedsCare, "ends processes that cannot save anything before")
            } else if told.has('u', "user")
                || told.short('v')
                || told.long("inverse")
                || told
                    .operands()
                    .any(|word| matches!(word.text.as_str(), "." | ".*" | ""))
            {
                (NeedsCare, "ends many processes")
            } else {
                (
                    ChangesSystem,
                    "sends processes a signal, which ends most of them",
                )
            }
        }
        "fuser" if told.has('k', "kill") => (NeedsCare, "ends every process that uses a file"),
        "renice" | "chrt" | "taskset" | "ionice" | "prlimit" => {
            let shows = match name {
                "chrt" | "taskset" => told.operands().count() < 2 && told.short('p'),
                "ionice" => !told.0.iter().any(|word| word.text.starts_with("-c")),
                "prlimit" => !told.0.iter().any(|word| word.text.contains('=')),
                _ => false,
            };
            if shows {
                (ReadOnly, "")
            } else {
                (
                    ChangesSystem,
                    "changes how much of the machine a process gets",
                )
            }
        }
        _ => return None,
    })
}

/// Packages.
fn packages(name: &str, told: Told<'_>) -> Option<Effect> {
    const REMOVES: Effect = (ChangesSystem, "removes packages");
    const CHANGES: Effect = (ChangesSystem, "changes what is installed");
    const READS: Effect = (ReadOnly, "");
    let verb = told.verb();
    Some(match name {
        "pacman" | "yay" | "paru" => pacman(told),
        "apt" | "apt-get" | "aptitude" | "nala" => match verb {
            _ if told.short('s') || told.long("simulate") || told.long("dry-run") => READS,
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
        "dpkg" => {
            if told.options().any(|option| option.starts_with("--force")) {
                (NeedsCare, "overrides what protects the system")
            } else if told.has('P', "purge") {
                (NeedsCare, "removes packages with their settings")
            } else if told.options().any(|option| {
                matches!(
                    option,
                    "-i" | "--install"
                        | "--configure"
                        | "--unpack"
                        | "-a"
                        | "--triggers-only"
                        | "--set-selections"
                        | "--add-architecture"
                        | "--remove-architecture"
                )
            }) {
                CHANGES
            } else if told.has('r', "remove") {
                REMOVES
            } else {
                READS
            }
        }
        "apt-mark" => match verb {
            "showhold" | "showauto" | "showmanual" | "showinstall" => READS,
            _ => CHANGES,
        },
        "apt-key" | "apt-file" => match verb {
            "list" | "search" | "show" => READS,
            _ => CHANGES,
        },
        "paccache" => {
            if told.has('d', "dryrun") {
                READS
            } else {
                (ChangesSystem, "deletes old packages from the cache")
            }
        }
        "pacdiff" => CHANGES,
        "dnf" | "yum" | "zypper" | "apk" | "emerge" | "xbps-install" | "snap" | "flatpak"
        | "brew" | "nix-env" | "nix" => match verb {
            "list" | "search" | "info" | "repolist" | "provides" | "history" | "se" | "if"
            | "lr" | "lu" | "check-update" | "remote-ls" | "remotes" | "find" | "deps"
            | "config" | "version" | "policy" => READS,
            "purge" => (NeedsCare, "removes packages with their settings"),
            "remove" | "erase" | "rm" | "uninstall" | "del" | "autoremove" => REMOVES,
            "run" => (Unknown, "runs a program about which nothing is known"),
            _ => CHANGES,
        },
        "rpm" => {
            if told.short('q') || told.long("query") || told.has('V', "verify") {
                READS
            } else if told.long("nodeps") || told.long("force") {
                (NeedsCare, "overrides what protects the system")
            } else {
                CHANGES
            }
        }
        "pip" | "pip3" | "pipx" | "npm" | "yarn" | "pnpm" | "gem" | "uv" | "conda" => match verb {
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

fn pacman(told: Told<'_>) -> Effect {
    let letter = |operation: char, name: &str| {
        told.options().any(|option| {
            option == format!("--{name}")
                || (!option.starts_with("--") && option.contains(operation))
        })
    };
    let count = |letter: char| {
        told.options()
            .filter(|option| !option.starts_with("--"))
            .flat_map(str::chars)
            .filter(|found| *found == letter)
            .count()
    };
    let forced = told.long("nodeps")
        || told.long("dbonly")
        || told.long("overwrite")
        || told.long("cascade")
        || told.long("assume-installed");
    if told.has('p', "print") && !letter('Q', "query") {
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
    } else {
        (ReadOnly, "")
    }
}

/// Services and the machine as a whole.
fn services(name: &str, told: Told<'_>) -> Option<Effect> {
    let verb = told.verb();
    Some(match name {
        "systemctl" => {
            let verb = match told.0.first().map(|word| word.text.as_str()) {
                Some("-H" | "-M" | "-t" | "-p" | "-n" | "-o") => {
                    told.operands().nth(1).map_or("", |w| w.text.as_str())
                }
                _ => verb,
            };
            match verb {
                "" | "status" | "show" | "cat" | "help" | "get-default" | "show-environment" => {
                    (ReadOnly, "")
                }
                _ if verb.starts_with("list-") || verb.starts_with("is-") => (ReadOnly, ""),
                "disable" | "mask" => (NeedsCare, "keeps a unit from starting from now on"),
                "poweroff" | "reboot" | "halt" | "kexec" | "soft-reboot" | "exit" => {
                    (NeedsCare, "stops or restarts the machine")
                }
                "isolate" | "rescue" | "emergency" | "default" | "set-default" | "switch-root" => {
                    (NeedsCare, "changes what the whole machine runs")
                }
                "kill" if kills(told) => {
                    (NeedsCare, "ends processes that cannot save anything before")
                }
                "stop" => (ChangesSystem, "stops a unit"),
                "start" => (ChangesSystem, "starts a unit"),
                "restart" | "reload" | "try-restart" | "reload-or-restart" => {
                    (ChangesSystem, "restarts a unit")
                }
                "enable" | "reenable" => (ChangesSystem, "starts a unit from now on"),
                _ => (ChangesSystem, "changes units or the machine's state"),
            }
        }
        "service" => match told.second() {
            "status" => (ReadOnly, ""),
            _ if told.long("status-all") => (ReadOnly, ""),
            _ => (ChangesSystem, "starts or stops a service"),
        },
        "shutdown" if told.says(&["-c", "--show"]) => {
            (ChangesSystem, "takes back that the machine stops")
        }
        "journalctl" => {
            if told.options().any(|option| option.starts_with("--vacuum")) {
                (NeedsCare, "deletes parts of the journal")
            } else if told.long("rotate") || told.long("flush") || told.long("relinquish-var") {
                (ChangesSystem, "changes where the journal is kept")
            } else {
                (ReadOnly, "")
            }
        }
        "loginctl" => match verb {
            _ if verb.starts_with("terminate") || verb.starts_with("kill") => {
                (NeedsCare, "ends all that a user runs")
            }
            "" | "session-status" | "user-status" | "seat-status" => (ReadOnly, ""),
            _ if verb.starts_with("list") || verb.starts_with("show") => (ReadOnly, ""),
            _ => (ChangesSystem, "changes sessions"),
        },
        "hostnamectl" | "timedatectl" | "localectl" => match verb {
            "" | "status" | "show" | "timesync-status" | "show-timesync" => (ReadOnly, ""),
            "hostname" | "chassis" if told.second().is_empty() => (ReadOnly, ""),
            _ if verb.starts_with("list") => (ReadOnly, ""),
            _ => (ChangesSystem, "changes a setting of the machine"),
        },
        "resolvectl" => match verb {
            "flush-caches" | "reset-statistics" | "dns" | "domain" | "revert"
                if verb != "dns" && verb != "domain" || told.operands().count() > 2 =>
            {
                (ChangesSystem, "changes how names are looked up")
            }
            _ => (ReadOnly, ""),
        },
        "hostname" => {
            if told.operands().next().is_some() {
                (ChangesSystem, "changes the machine's name")
            } else {
                (ReadOnly, "")
            }
        }
        "date" => {
            if told.has('s', "set")
                || told.operands().any(|word| {
                    !word.text.starts_with('+')
                        && word.text.chars().all(|c| c.is_ascii_digit() || c == '.')
                        && word.text.len() >= 8
                })
            {
                (ChangesSystem, "sets the clock")
            } else {
                (ReadOnly, "")
            }
        }
        "sysctl" => {
            let sets = told.has('w', "write")
                || told.short('p')
                || told.long("load")
                || told.long("system");
            if sets || told.operands().any(|word| word.text.contains('=')) {
                (ChangesSystem, "changes a setting of the kernel")
            } else {
                (ReadOnly, "")
            }
        }
        "dmesg" => {
            if told.has('C', "clear")
                || told.has('c', "read-clear")
                || told.short('n')
                || told.short('D')
            {
                (
                    ChangesSystem,
                    "clears the kernel's log or changes where it goes",
                )
            } else {
                (ReadOnly, "")
            }
        }
        "crontab" => {
            if told.has('l', "list") {
                (ReadOnly, "")
            } else if told.short('r') {
                (NeedsCare, "deletes all timed commands")
            } else {
                (ChangesSystem, "changes timed commands")
            }
        }
        "atq" => (ReadOnly, ""),
        "atrm" => (ChangesSystem, "takes a timed command away"),
        "passwd" | "chage" => {
            if told.has('S', "status") || told.short('l') && name == "chage" {
                (ReadOnly, "")
            } else if told.has('d', "delete") || told.has('l', "lock") {
                (NeedsCare, "changes whether a user can log in")
            } else {
                (ChangesSystem, "changes a password")
            }
        }
        "usermod"
            if told.has('L', "lock")
                || (told.short('G') && !told.short('a') && !told.long("append")) =>
        {
            (NeedsCare, "takes a user's rights away")
        }
        "sudo" => {
            if told.says(&["-l", "--list", "-k", "-K", "-v", "-V"]) {
                (ReadOnly, "")
            } else if told.operands().next().is_none() {
                (ChangesSystem, "opens a shell as root")
            } else if told.says(&["-e"]) {
                (ChangesSystem, "changes files of the system")
            } else {
                (ReadOnly, "")
            }
        }
        "su" if told.short('c') || told.long("command") => (ReadOnly, ""),
        "rfkill" if matches!(verb, "" | "list") => (ReadOnly, ""),
        "hwclock" if told.0.is_empty() || told.has('r', "show") => (ReadOnly, ""),
        "powerprofilesctl" if matches!(verb, "" | "get" | "list") => (ReadOnly, ""),
        "cpupower" if told.says(&["frequency-info", "idle-info", "monitor"]) => (ReadOnly, ""),
        "update-alternatives"
            if told.0.iter().any(|word| {
                matches!(
                    word.text.as_str(),
                    "--list" | "--display" | "--query" | "--get-selections"
                )
            }) =>
        {
            (ReadOnly, "")
        }
        "brightnessctl" if matches!(verb, "" | "get" | "info" | "max") => (ReadOnly, ""),
        "xrandr" if told.0.is_empty() || told.says(&["-q", "--query", "--listmonitors"]) => {
            (ReadOnly, "")
        }
        "pactl" | "wpctl"
            if matches!(verb, "list" | "info" | "status" | "inspect")
                || verb.starts_with("get-") =>
        {
            (ReadOnly, "")
        }
        "bluetoothctl"
            if matches!(
                verb,
                "devices" | "show" | "info" | "list" | "paired-devices"
            ) =>
        {
            (ReadOnly, "")
        }
        "fwupdmgr" if verb.starts_with("get-") => (ReadOnly, ""),
        _ => return None,
    })
}

/// Networks.
fn network(name: &str, told: Told<'_>) -> Option<Effect> {
    const READS: Effect = (ReadOnly, "");
    let verb = told.verb();
    Some(match name {
        "ip" | "bridge" => {
            let words: Vec<_> = told
                .operands()
                .skip(1)
                .map(|word| word.text.as_str())
                .collect();
            let action = words.first().copied().unwrap_or_default();
            // `ip` takes any word that is shortened.
            let is = |texts: &[&str], least: usize| {
                texts
                    .iter()
                    .any(|text| action.len() >= least && text.starts_with(action))
            };
            if matches!(action, "exec") {
                (Unknown, "runs a program in another network")
            } else if is(&["flush", "delete"], 1) || words.contains(&"down") {
                (NeedsCare, "takes addresses, routes or a network away")
            } else if is(
                &[
                    "add", "set", "change", "replace", "append", "prepend", "attach", "detach",
                ],
                1,
            ) {
                (ChangesSystem, "changes the network")
            } else {
                READS
            }
        }
        "ifconfig" => {
            if told.says(&["down"]) {
                (NeedsCare, "takes a network down")
            } else if told.operands().count() > 1 {
                (ChangesSystem, "changes the network")
            } else {
                READS
            }
        }
        "route" | "arp" | "brctl" => {
            if told.says(&["del", "flush", "-d", "delbr"]) {
                (NeedsCare, "takes addresses, routes or a network away")
            } else if told.says(&["add", "-s", "addbr", "addif"]) {
                (ChangesSystem, "changes the network")
            } else {
                READS
            }
        }
        "nmcli" => {
            if told.says(&["delete", "del", "down", "off", "disconnect"]) {
                (NeedsCare, "takes a network down or deletes it")
            } else if told.says(&[
                "up", "connect", "add", "modify", "on", "set", "reload", "import", "hotspot",
                "edit", "clone",
            ]) {
                (ChangesSystem, "changes the network")
            } else {
                READS
            }
        }
        "iptables" | "ip6tables" | "ebtables" | "arptables" => {
            let flush = told.options().any(|option| {
                matches!(
                    option,
                    "--flush" | "--delete-chain" | "--delete" | "--policy" | "--zero" | "--replace"
                ) || (option.starts_with('-')
                    && !option.starts_with("--")
                    && option.starts_with(['-'])
                    && option.chars().nth(1).is_some_and(|c| "FXDPZR".contains(c)))
            });
            if flush {
                (NeedsCare, "takes rules of the firewall away")
            } else if told.short('A')
                || told.short('I')
                || told.short('N')
                || told.long("append")
                || told.long("insert")
            {
                (ChangesSystem, "changes the firewall")
            } else {
                READS
            }
        }
        "iptables-save" => READS,
        "nft" => {
            if told.says(&["flush", "delete", "destroy", "reset"]) || told.computed() {
                (NeedsCare, "takes rules of the firewall away")
            } else if verb == "list" || told.0.iter().any(|word| word.text.starts_with("list ")) {
                READS
            } else {
                (ChangesSystem, "changes the firewall")
            }
        }
        "ufw" => match verb {
            "status" | "show" | "version" => READS,
            "disable" | "reset" | "delete" => (NeedsCare, "takes the firewall or its rules away"),
            _ => (ChangesSystem, "changes the firewall"),
        },
        "firewall-cmd" => {
            let looks = |option: &str| {
                [
                    "--list",
                    "--get",
                    "--state",
                    "--query",
                    "--info",
                    "--zone",
                    "--permanent",
                ]
                .iter()
                .any(|prefix| option.starts_with(prefix))
            };
            if told.says(&["--panic-on", "--complete-reload"])
                || told.options().any(|option| option.starts_with("--remove"))
            {
                (NeedsCare, "takes the network or rules of the firewall away")
            } else if told.options().all(looks) {
                READS
            } else {
                (ChangesSystem, "changes the firewall")
            }
        }
        "wg" if matches!(verb, "" | "show" | "genkey" | "pubkey" | "genpsk") => READS,
        "tc" if told.says(&["show", "list", "ls"]) => READS,
        "iw" if told.says(&["info", "link", "list", "scan", "dump"]) => READS,
        "iwconfig" | "ethtool"
            if told.operands().count() < 2 && !told.short('s') && !told.short('K') =>
        {
            READS
        }
        "curl" => {
            if told.computed()
                && told
                    .0
                    .iter()
                    .any(|word| !word.known && word.text.starts_with("$("))
            {
                (
                    Unknown,
                    "asks another machine for what is only known when it runs",
                )
            } else if (told.short('o') || told.long("output")) && !told.says(&["/dev/null", "-"])
                || told.short('O')
                || told.long("remote-name")
                || told.long("remote-name-all")
            {
                (ChangesFiles, "downloads to a file")
            } else if told.short('T')
                || told.short('d')
                || told.short('F')
                || told.options().any(|option| {
                    ["--data", "--form", "--upload-file", "--json"]
                        .iter()
                        .any(|prefix| option.starts_with(prefix))
                })
                || told.says(&[
                    "POST", "PUT", "DELETE", "PATCH", "-XPOST", "-XPUT", "-XDELETE",
                ])
            {
                (ChangesFiles, "sends data to another machine")
            } else {
                READS
            }
        }
        "wget" => {
            let prints = told.0.windows(2).any(|pair| {
                let option = pair[0].text.as_str();
                (option == "-O"
                    || (option.starts_with('-')
                        && !option.starts_with("--")
                        && option.ends_with('O')))
                    && pair[1].text == "-"
            }) || told.options().any(|option| {
                option.starts_with('-') && option.ends_with("O-") || option == "--output-document=-"
            });
            if prints || told.long("spider") {
                READS
            } else {
                (ChangesFiles, "downloads to a file")
            }
        }
        "nc" | "ncat" | "netcat" | "socat" => {
            let runs = |word: &Word| {
                let text = word.text.to_ascii_uppercase();
                text.starts_with("EXEC:") || text.starts_with("SYSTEM:")
            };
            if told.short('e')
                || (name != "socat" && told.short('c'))
                || told.long("exec")
                || told.long("sh-exec")
                || told.0.iter().any(runs)
            {
                (NeedsCare, "lets another machine run a program")
            } else if told.short('z') {
                READS
            } else {
                (Unknown, "talks with another machine")
            }
        }
        "ping" if told.short('f') => (NeedsCare, "floods another machine"),
        "nmap" if told.long("script") => (Unknown, "runs scripts against another machine"),
        "tcpdump" | "tshark" | "dumpcap" => {
            if told.short('z') {
                (NeedsCare, "runs a program")
            } else if told.short('w') {
                (ChangesFiles, "writes what it hears to a file")
            } else {
                READS
            }
        }
        "ngrep" | "wireshark" | "iwlist" | "ifstat" | "vnstat" | "speedtest-cli" | "speedtest"
        | "drill" | "delv" | "avahi-browse" | "arping" | "arp-scan" | "networkctl" => READS,
        _ => return None,
    })
}

/// Other programs for which it matters what they are told.
fn tools(name: &str, told: Told<'_>, many: bool) -> Option<Effect> {
    const READS: Effect = (ReadOnly, "");
    const FILES: Effect = (ChangesFiles, "makes or changes files");
    let verb = told.verb();
    Some(match name {
        "git" => git(told),
        "gh" | "glab" => {
            if told.says(&["delete", "merge", "close"]) {
                (NeedsCare, "changes what others see")
            } else if told.says(&["list", "view", "status", "diff", "checks"]) {
                READS
            } else {
                (ChangesFiles, "changes what others see")
            }
        }
        "chmod" | "chown" | "chgrp" | "setfacl" => {
            let mode = verb;
            let system = |word: &Word| {
                critical(&word.text) || matches!(place(&word.text), Place::System | Place::Device)
            };
            let open = |mode: &str| {
                let octal = mode.len() >= 3 && mode.chars().all(|c| c.is_digit(8));
                (octal && mode.ends_with(['2', '3', '6', '7']))
                    || (octal && mode.len() == 4 && !mode.starts_with('0'))
                    || mode.split(',').any(|part| {
                        let (who, what) =
                            part.split_at(part.find(['+', '=']).unwrap_or(part.len()));
                        (what.contains('w') && (who.contains('o') || who.contains('a')))
                            || what.contains('s')
                    })
            };
            if told.short('R') || told.long("recursive") {
                (NeedsCare, "changes rights of all that is in a directory")
            } else if name == "chmod" && open(mode) {
                (NeedsCare, "lets everyone write, or run it as its owner")
            } else if told.operands().skip(1).any(system) {
                (ChangesSystem, "changes rights of the system's files")
            } else {
                (ChangesFiles, "changes rights of files")
            }
        }
        "sed" => {
            let scripts = told.operands().map(|word| word.text.as_str());
            let mut runs = false;
            let mut writes = false;
            for script in scripts {
                let (r, w) = sed_script(script);
                runs |= r;
                writes |= w;
            }
            if runs {
                (NeedsCare, "runs what it finds in a text")
            } else if told.options().any(|option| {
                option.starts_with("--in-p")
                    || (!option.starts_with("--") && option.contains('i'))
                    || option == "-s"
            }) && !told.options().all(|option| option == "-s")
            {
                (ChangesFiles, "changes files in place")
            } else if writes {
                FILES
            } else {
                READS
            }
        }
        "awk" | "gawk" | "mawk" | "nawk" => {
            let programs = || told.operands().map(|word| word.text.as_str());
            if programs().any(|text| {
                text.contains("system(")
                    || text.contains("| \"")
                    || text.contains("|\"")
                    || text.contains("|&")
                    || text.contains("system (")
            }) {
                (NeedsCare, "runs commands that it puts together")
            } else if told.has('f', "file") && told.0.iter().any(|word| word.text == "-f") {
                (Unknown, "runs a script")
            } else if told.says(&["inplace"])
                || programs().any(|text| {
                    text.contains("> \"")
                        || text.contains(">\"")
                        || text.contains("print > ")
                        || text.contains("print $0 > ")
                        || text.contains(">> ")
                })
            {
                FILES
            } else {
                READS
            }
        }
        "tar" | "bsdtar" => {
            let first = told.0.first().map_or("", |word| word.text.as_str());
            let old = !first.starts_with('-') && !first.contains('/') && !first.contains('.');
            let has = |letter: char, long: &str| {
                told.has(letter, long) || (old && first.contains(letter))
            };
            let runs = told.options().any(|option| {
                [
                    "--to-c",
                    "--checkpoint-a",
                    "--info-s",
                    "--new-volume-script",
                    "--rsh",
                    "--rmt",
                ]
                .iter()
                .any(|prefix| option.starts_with(prefix))
            });
            if runs {
                (NeedsCare, "runs a command by the way")
            } else if told.long("remove-files") {
                (NeedsCare, "deletes the files that it puts into the archive")
            } else if told.long("list")
                || (has('t', "list") && !has('c', "create") && !has('x', "extract"))
            {
                READS
            } else if has('x', "extract") || told.long("get") {
                if told.long("to-stdout") || told.short('O') || (old && first.contains('O')) {
                    READS
                } else if told.long("absolute-names")
                    || told.short('P')
                    || told.long("unlink-first")
                    || told.long("recursive-unlink")
                {
                    (NeedsCare, "may overwrite files anywhere")
                } else {
                    (ChangesFiles, "unpacks files, over those of the same names")
                }
            } else {
                (ChangesFiles, "makes or changes an archive")
            }
        }
        "unzip" => {
            if told.short('l')
                || told.short('t')
                || told.short('p')
                || told.short('Z')
                || told.short('v')
                || told.short('z')
            {
                READS
            } else if told.short('o') {
                (
                    NeedsCare,
                    "unpacks files over those that exist, without asking",
                )
            } else {
                (ChangesFiles, "unpacks files")
            }
        }
        "zip" if told.short('m') || told.long("move") => {
            (NeedsCare, "deletes the files that it puts into the archive")
        }
        "7z" | "7za" | "7zr" | "rar" | "unrar" => match verb {
            "l" | "t" | "i" | "lt" | "lb" | "v" | "p" => READS,
            "d" => (NeedsCare, "deletes files from an archive"),
            _ => FILES,
        },
        "gzip" | "gunzip" | "bzip2" | "bunzip2" | "xz" | "unxz" | "zstd" | "unzstd" | "lz4"
        | "brotli" | "lzma" | "pigz" => {
            if told.short('c')
                || told.short('t')
                || told.short('l')
                || told.long("stdout")
                || told.long("test")
                || told.long("list")
                || told.operands().next().is_none()
            {
                READS
            } else if told.long("rm") || told.short('f') {
                (NeedsCare, "overwrites or deletes files without asking")
            } else {
                FILES
            }
        }
        "cpio" if told.short('t') || told.long("list") || told.short('o') => READS,
        "perl" => return None,
        "docker" | "podman" | "docker-compose" | "nerdctl" => docker(told),
        "kubectl" | "oc" => match verb {
            "get" | "describe" | "logs" | "top" | "explain" | "version" | "cluster-info"
            | "api-resources" | "diff" => READS,
            "delete" | "drain" | "replace" => {
                (NeedsCare, "deletes or replaces what runs elsewhere")
            }
            _ => (ChangesSystem, "changes what runs elsewhere"),
        },
        "terraform" | "tofu" | "ansible" | "ansible-playbook" | "helm" => match verb {
            "plan" | "show" | "validate" | "list" | "status" | "get" | "version" => READS,
            _ => (NeedsCare, "changes other machines"),
        },
        "virsh" | "lxc" | "machinectl" | "VBoxManage" => match verb {
            "list" | "info" | "status" | "show" | "dominfo" | "dumpxml" => READS,
            "destroy" | "undefine" | "delete" | "remove" | "terminate" | "poweroff"
            | "unregistervm" => (NeedsCare, "destroys or stops a virtual machine"),
            _ => (ChangesSystem, "changes virtual machines"),
        },
        "mysql" | "mariadb" | "psql" | "sqlite3" | "redis-cli" | "mongosh" | "mongo" => {
            let harmful = |word: &Word| {
                let text = word.text.to_ascii_lowercase();
                [
                    "drop ",
                    "delete ",
                    "truncate ",
                    "update ",
                    "alter ",
                    "flushall",
                    "flushdb",
                    "dropdatabase",
                    ".shell",
                    ".system",
                    "\\!",
                ]
                .iter()
                .any(|part| text.contains(part))
            };
            let looks = |word: &Word| {
                let text = word.text.trim_start().to_ascii_lowercase();
                [
                    "select ",
                    ".tables",
                    ".schema",
                    "show ",
                    "explain ",
                    "describe ",
                    "\\dt",
                    "\\l",
                ]
                .iter()
                .any(|begin| text.starts_with(begin))
                    && !text.contains(" into ")
            };
            if told.0.iter().any(harmful) {
                (NeedsCare, "changes or deletes what is in a database")
            } else if told.0.iter().any(looks) && !told.computed() {
                READS
            } else {
                (Unknown, "does something with a database")
            }
        }
        "make" | "ninja" | "cmake" | "meson" | "just" | "rake" | "gradle" | "mvn" | "ant"
        | "scons" | "bazel" => {
            if name == "make" && told.has('n', "just-print") {
                READS
            } else {
                (Unknown, "runs what a project says")
            }
        }
        "cargo" | "go" | "rustup" | "dotnet" => match verb {
            "tree" | "metadata" | "search" | "version" | "env" | "list" | "doc" | "show"
            | "vet" => READS,
            "fmt" | "new" | "init" | "clean" | "add" | "mod" | "update" | "fetch" => FILES,
            "install" | "uninstall" | "publish" | "default" | "toolchain" | "target"
            | "component" => (ChangesSystem, "changes what is installed"),
            _ => (Unknown, "runs what a project says"),
        },
        "gpg" | "gpg2" => {
            if told.options().any(|option| option.starts_with("--delete")) {
                (NeedsCare, "deletes keys")
            } else if told.options().any(|option| {
                option.starts_with("--list")
                    || option.starts_with("--fingerprint")
                    || option == "-k"
                    || option == "-K"
                    || option.starts_with("--verify")
                    || option == "--print-md"
                    || option.starts_with("--show")
            }) {
                READS
            } else {
                FILES
            }
        }
        "openssl" => {
            if told.says(&["-out", "-keyout"]) {
                FILES
            } else {
                READS
            }
        }
        "ssh-keygen" if told.short('l') || told.short('y') || told.short('F') => READS,
        "ssh-add" if told.short('l') || told.short('L') => READS,
        "exiftool"
            if !told.options().any(|option| option.contains('=')) && !told.says(&["-all="]) =>
        {
            READS
        }
        "sort" | "shuf" if told.has('o', "output") => FILES,
        "uniq"
            if told
                .operands()
                .filter(|word| !word.text.chars().all(|c| c.is_ascii_digit()))
                .count()
                > 1 =>
        {
            FILES
        }
        "tree" if told.says(&["-o"]) => FILES,
        "xxd" if told.operands().count() > 1 => FILES,
        "iconv" if told.has('o', "output") => FILES,
        "yq" if told.has('i', "inplace") => FILES,
        "pdftotext" if told.operands().any(|word| word.text == "-") => READS,
        "ffmpeg" if told.short('y') && told.says(&["-y"]) => {
            (NeedsCare, "overwrites files without asking")
        }
        "mogrify" => (NeedsCare, "changes pictures in place"),
        "rename" | "prename" | "perl-rename" => {
            if told.short('n') || told.long("no-act") || told.long("nono") {
                READS
            } else {
                (ChangesFiles, "renames files")
            }
        }
        "split" | "csplit" => (ChangesFiles, "writes pieces to files"),
        "mktemp" | "mkdir" | "touch" | "mkfifo" => (ChangesFiles, "makes files or directories"),
        "vim" | "vi" | "nvim" | "ex" | "emacs" | "ed" | "view" => {
            let commands = |word: &Word| {
                word.text.starts_with("+!")
                    || word.text.starts_with(":!")
                    || word.text.contains("system(")
                    || word.text.starts_with("!")
            };
            if told.0.iter().any(commands) {
                (NeedsCare, "runs a command from an editor")
            } else if told.short('c') || told.short('S') || told.says(&["--eval", "--batch", "-es"])
            {
                (Unknown, "runs what an editor is told")
            } else {
                (ChangesFiles, "opens an editor")
            }
        }
        "history" => {
            if told.short('c') || told.short('d') || told.short('w') {
                (ChangesFiles, "changes the history")
            } else {
                READS
            }
        }
        "xargs" | "parallel" if told.operands().next().is_none() || !many => READS,
        "tmux" | "screen" | "zellij" => match verb {
            "ls" | "list-sessions" | "" | "attach" | "a" | "new" | "new-session" => READS,
            "kill-server" | "kill-session" => (NeedsCare, "ends all that runs in a session"),
            _ if told.short('l') => READS,
            _ => (Unknown, "does something in another terminal"),
        },
        "wakeonlan" | "ydotool" | "xdotool" => (ChangesFiles, "acts elsewhere"),
        "chattr" if told.short('R') => (
            NeedsCare,
            "changes attributes of all that is in a directory",
        ),
        _ => return None,
    })
}

/// Whether a script of `sed` runs commands, and whether it writes files.
fn sed_script(script: &str) -> (bool, bool) {
    let mut runs = false;
    let mut writes = false;
    for part in script.split([';', '\n']) {
        let part = part.trim_start_matches(|c: char| c.is_ascii_digit() || " ,$!{".contains(c));
        let part = match part.strip_prefix('/') {
            // An address.
            Some(rest) => rest
                .split_once('/')
                .map_or(part, |(_, rest)| rest.trim_start()),
            None => part,
        };
        let mut characters = part.chars();
        match characters.next() {
            Some('e') if matches!(characters.next(), None | Some(' ')) => runs = true,
            Some('w' | 'W') if matches!(characters.next(), Some(' ')) => writes = true,
            Some('s') => {
                if let Some(delimiter) = characters
                    .next()
                    .filter(|c| !c.is_alphanumeric() && *c != ' ')
                {
                    let flags = part.rsplit(delimiter).next().unwrap_or_default();
                    let flags = flags.trim_end_matches(['}', ' ', '\'']);
                    let only = flags.split(' ').next().unwrap_or_default();
                    if only.chars().all(|c| "gpiIemMw0123456789".contains(c)) {
                        runs |= only.contains('e');
                        writes |= only.contains('w');
                    }
                }
            }
            _ => {}
        }
    }
    (runs, writes)
}

fn git(told: Told<'_>) -> Effect {
    const READS: Effect = (ReadOnly, "");
    const FILES: Effect = (ChangesFiles, "changes the repository or the working tree");
    let mut words = told.0;
    // What stands before the subcommand.
    while let Some(word) = words.first() {
        match word.text.as_str() {
            "-C" | "--git-dir" | "--work-tree" | "--namespace" => {
                words = words.get(2..).unwrap_or_default();
            }
            "-c" => {
                let value = words.get(1).map_or("", |word| word.text.as_str());
                let lower = value.to_ascii_lowercase();
                let runs = [
                    "alias.",
                    "core.pager",
                    "core.editor",
                    "core.sshcommand",
                    "core.fsmonitor",
                    "core.hookspath",
                    "diff.external",
                    "pager.",
                    "credential",
                    "filter.",
                    "uploadpack",
                ];
                if value.contains('!') || runs.iter().any(|key| lower.starts_with(key)) {
                    return (NeedsCare, "has git run another command");
                }
                words = words.get(2..).unwrap_or_default();
            }
            text if text.starts_with('-') => words = words.get(1..).unwrap_or_default(),
            _ => break,
        }
    }
    let verb = words.first().map_or("", |word| word.text.as_str());
    let told = Told(words.get(1..).unwrap_or_default());
    let second = told.verb();
    match verb {
        "" | "status" | "log" | "diff" | "show" | "blame" | "shortlog" | "describe"
        | "rev-parse" | "rev-list" | "ls-files" | "ls-tree" | "ls-remote" | "grep" | "cat-file"
        | "count-objects" | "fsck" | "help" | "version" | "whatchanged" | "name-rev" | "cherry"
        | "merge-base" | "diff-tree" | "check-ignore" | "for-each-ref" | "var" | "range-diff"
        | "annotate" | "show-ref" | "show-branch" | "verify-commit" | "verify-tag" => {
            if told.long("output") || told.long("ext-diff") {
                FILES
            } else {
                READS
            }
        }
        "reset" if told.long("hard") || told.long("merge") => {
            (NeedsCare, "throws away changes that are not committed")
        }
        "push" => {
            let forced = told.short('f')
                || told.short('d')
                || told.options().any(|option| {
                    option.starts_with("--force")
                        || option.starts_with("--mirror")
                        || option.starts_with("--del")
                        || option.starts_with("--prune")
                })
                || told
                    .operands()
                    .any(|word| word.text.starts_with('+') || word.text.starts_with(':'));
            if forced {
                (NeedsCare, "overwrites or deletes what others have")
            } else if told.has('n', "dry-run") {
                READS
            } else {
                (ChangesFiles, "sends commits to another machine")
            }
        }
        "clean" => {
            if told.has('n', "dry-run") {
                READS
            } else if told.short('f') || told.long("force") {
                (NeedsCare, "deletes files that are not in the repository")
            } else {
                FILES
            }
        }
        "checkout" | "switch" => {
            let paths = told.says(&["--", "."])
                || told
                    .operands()
                    .any(|word| word.text.contains('.') && !word.text.starts_with("origin"));
            if told.short('f') || told.long("force") || told.long("discard-changes") || paths {
                (NeedsCare, "throws away changes that are not committed")
            } else {
                FILES
            }
        }
        "restore" => {
            if told.long("staged") && !told.has('W', "worktree")
                || told.short('S') && !told.short('W')
            {
                FILES
            } else {
                (NeedsCare, "throws away changes that are not committed")
            }
        }
        "branch" | "tag" | "remote" | "config" | "worktree" | "submodule" | "bisect" | "notes" => {
            git_lists(verb, second, told)
        }
        "stash" => match second {
            "list" | "show" => READS,
            "drop" | "clear" => (NeedsCare, "throws away changes that were put aside"),
            _ => FILES,
        },
        "reflog" => match second {
            "expire" | "delete" => (NeedsCare, "forgets where lost commits are"),
            _ => READS,
        },
        "gc" | "prune" | "repack" => {
            if verb == "prune" || told.long("prune") || told.long("aggressive") && told.computed() {
                (NeedsCare, "deletes commits that nothing leads to")
            } else {
                FILES
            }
        }
        "filter-branch" | "filter-repo" | "replace" | "fast-import" => {
            (NeedsCare, "rewrites the whole history")
        }
        "update-ref" if told.short('d') => (NeedsCare, "deletes a branch or a tag"),
        "rm" => {
            if told.long("cached") {
                FILES
            } else if told.short('r') || told.short('f') {
                (NeedsCare, "deletes files")
            } else {
                FILES
            }
        }
        _ if verb.contains('!') => (NeedsCare, "runs a command of the history again"),
        "add" | "commit" | "merge" | "rebase" | "pull" | "fetch" | "clone" | "init" | "mv"
        | "cherry-pick" | "revert" | "apply" | "am" | "format-patch" | "archive" | "bundle"
        | "reset" | "sparse-checkout" | "maintenance" | "request-pull" | "send-email"
        | "update-index" | "update-ref" | "lfs" | "rerere" | "difftool" | "mergetool" => {
            if verb == "rebase" && told.has('x', "exec") {
                (Unknown, "runs a command for every commit")
            } else {
                FILES
            }
        }
        // An alias, perhaps.
        _ => (Unknown, "runs something that is not of git itself"),
    }
}

/// Subcommands of git that list when they are told nothing.
fn git_lists(verb: &str, second: &str, told: Told<'_>) -> Effect {
    const READS: Effect = (ReadOnly, "");
    const FILES: Effect = (ChangesFiles, "changes the repository");
    match verb {
        "branch" if told.short('D') || (told.has('d', "delete") && told.has('f', "force")) => (
            NeedsCare,
            "deletes a branch whose commits may be nowhere else",
        ),
        "branch" => {
            let lists = told.options().all(|option| {
                matches!(
                    option,
                    "-a" | "-r"
                        | "-v"
                        | "-vv"
                        | "-l"
                        | "-av"
                        | "-avv"
                        | "--all"
                        | "--remotes"
                        | "--list"
                        | "--show-current"
                        | "--verbose"
                ) || [
                    "--merged",
                    "--no-merged",
                    "--contains",
                    "--sort",
                    "--format",
                    "--points-at",
                ]
                .iter()
                .any(|begin| option.starts_with(begin))
            });
            let named = told.operands().next().is_some()
                && !told.options().any(|option| {
                    option.starts_with("--merged")
                        || option.starts_with("--no-m")
                        || option.starts_with("--con")
                        || option == "--list"
                        || option == "-l"
                });
            if lists && !named {
                READS
            } else {
                FILES
            }
        }
        "tag" => {
            let lists = told.operands().next().is_none() && !told.short('d')
                || told.short('l')
                || told.long("list")
                || told.long("contains")
                || told.options().any(|option| option.starts_with("--sort"));
            if lists {
                READS
            } else {
                FILES
            }
        }
        "remote" if matches!(second, "" | "show" | "get-url") => READS,
        "config" => {
            let values = told.operands().count();
            let lists = told.has('l', "list")
                || told.options().any(|option| option.starts_with("--get"))
                || second == "list"
                || second == "get";
            if told.0.iter().any(|word| word.text.starts_with('!')) {
                (NeedsCare, "has git run another command from now on")
            } else if lists
                || (values < 2
                    && !told.options().any(|option| {
                        option.starts_with("--unset")
                            || option.starts_with("--remove")
                            || option == "-e"
                            || option == "--edit"
                    }))
            {
                READS
            } else {
                FILES
            }
        }
        "worktree" if second == "list" => READS,
        "worktree" if told.has('f', "force") => {
            (NeedsCare, "throws away changes that are not committed")
        }
        "submodule" if matches!(second, "" | "status" | "summary") => READS,
        "submodule" if second == "foreach" => (Unknown, "runs a command in every submodule"),
        "bisect" if second == "run" => (Unknown, "runs a command for every step"),
        "bisect" if matches!(second, "log" | "view" | "visualize") => READS,
        "notes" if matches!(second, "" | "list" | "show") => READS,
        _ => FILES,
    }
}

fn docker(told: Told<'_>) -> Effect {
    const READS: Effect = (ReadOnly, "");
    let verb = told.verb();
    let second = told.second();
    let object = matches!(
        verb,
        "container"
            | "image"
            | "volume"
            | "network"
            | "system"
            | "compose"
            | "pod"
            | "builder"
            | "context"
    );
    let action = if object { second } else { verb };
    if told.says(&["--privileged", "--pid=host"])
        || told
            .0
            .iter()
            .any(|word| word.text.starts_with("/:") || word.text.contains("docker.sock"))
    {
        return (NeedsCare, "gives a container the whole machine");
    }
    match action {
        "" | "ps" | "images" | "logs" | "inspect" | "stats" | "top" | "port" | "version"
        | "info" | "search" | "diff" | "history" | "events" | "ls" | "list" | "df" | "config"
        | "wait" => READS,
        "rm" | "rmi" | "prune" | "kill" | "remove" | "down" => {
            (NeedsCare, "deletes containers, images or volumes")
        }
        "cp" | "save" | "export" => (ChangesFiles, "copies files"),
        _ => (ChangesSystem, "changes containers or images"),
    }
}
