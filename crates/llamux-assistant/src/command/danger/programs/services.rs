// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Services and the machine as a whole.

use super::super::tables::SUDO_LOOKS;
use super::super::{ChangesSystem, Effect, NeedsCare, ReadOnly, Told};
use super::processes::kills;

pub(super) fn services(name: &str, told: Told<'_>) -> Option<Effect> {
    let verb = told.verb();
    Some(match name {
        "systemctl" => {
            let values = [
                "-H",
                "--host",
                "-M",
                "--machine",
                "-t",
                "--type",
                "-p",
                "--property",
                "-P",
                "-n",
                "--lines",
                "-o",
                "--output",
                "-s",
                "--signal",
                "--state",
                "--root",
                "--what",
                "--job-mode",
            ];
            let verb = told.behind(&values).verb();
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
            "" | "query" | "service" | "openpgp" | "tlsa" | "status" | "statistics" | "monitor"
            | "show-cache" | "show-server-state" => (ReadOnly, ""),
            "dns" | "domain" | "default-route" | "llmnr" | "mdns" | "dnsovertls" | "dnssec"
            | "nta" | "log-level"
                if told.operands().count() < 3 && told.second().parse::<u8>().is_err() =>
            {
                (ReadOnly, "")
            }
            _ => (ChangesSystem, "changes how names are looked up"),
        },
        "nvidia-smi" => {
            let words = told.behind(&["-i", "--id", "-d", "--display", "-l", "--loop", "-lms"]);
            let looks = [
                "-L",
                "--list",
                "-q",
                "-x",
                "-i",
                "--id",
                "-d",
                "--display",
                "-l",
                "--loop",
                "-lms",
                "--query",
                "--format",
                "-h",
                "--help",
                "--version",
            ];
            let asks = |option: &str| {
                looks.iter().any(|look| {
                    option == *look || look.starts_with("--") && option.starts_with(look)
                })
            };
            match words.verb() {
                "topo" | "dmon" | "pmon" => (ReadOnly, ""),
                "" if told.options().all(asks) => (ReadOnly, ""),
                _ => (ChangesSystem, "changes a setting of a graphics card"),
            }
        }
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
            if told.letter('r') {
                (NeedsCare, "deletes all timed commands")
            } else if told.flag('l', "list") {
                (ReadOnly, "")
            } else {
                (ChangesSystem, "changes timed commands")
            }
        }
        "atq" => (ReadOnly, ""),
        "atrm" => (ChangesSystem, "takes a timed command away"),
        "passwd" | "chage" => {
            if told.flag('S', "status") || told.letter('l') && name == "chage" {
                (ReadOnly, "")
            } else if told.has('d', "delete") || told.has('l', "lock") {
                (NeedsCare, "changes whether a user can log in")
            } else {
                (ChangesSystem, "changes a password")
            }
        }
        "usermod" if told.has('L', "lock") || (told.short('G') && !told.flag('a', "append")) => {
            (NeedsCare, "takes a user's rights away")
        }
        "sudo" => {
            if told.says(SUDO_LOOKS) {
                (ReadOnly, "")
            } else if told.operands().next().is_none() {
                (ChangesSystem, "opens a shell as root")
            } else if told.says(&["-e"]) {
                (ChangesSystem, "changes files of the system")
            } else {
                (ReadOnly, "")
            }
        }
        "rfkill" if matches!(verb, "" | "list") => (ReadOnly, ""),
        "hwclock" if told.0.is_empty() || told.flag('r', "show") => (ReadOnly, ""),
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
