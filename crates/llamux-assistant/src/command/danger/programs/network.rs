// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Networks.

use crate::command::syntax::Word;

use super::super::{ChangesFiles, ChangesSystem, Effect, NeedsCare, Told, Unknown};
use super::READS;

pub(super) fn network(name: &str, told: Told<'_>) -> Option<Effect> {
    let verb = told.verb();
    Some(match name {
        "ip" | "bridge" => ip(told),
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
        "nmcli" => nmcli(told),
        "networkctl" => match verb {
            "" | "list" | "status" | "lldp" | "label" | "cat" => READS,
            "down" | "delete" => (NeedsCare, "takes a network down or deletes it"),
            _ => (ChangesSystem, "changes the network"),
        },
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
            let texts: Vec<_> = told.operands().map(|word| word.text.as_str()).collect();
            let text = texts.join(" ");
            let takes = |word: &str| matches!(word, "flush" | "delete" | "destroy" | "reset");
            let mut commands = text.split([';', '\n']).map(str::trim);
            if text.split([';', '\n', ' ', '\t']).any(takes) || told.computed() {
                (NeedsCare, "takes rules of the firewall away")
            } else if commands.all(|command| command.is_empty() || command.starts_with("list"))
                && !told.flag('f', "file")
            {
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
            } else if told.letter('z') {
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
        | "drill" | "delv" | "avahi-browse" | "arping" | "arp-scan" => READS,
        _ => return None,
    })
}

/// Whether a word is one of these, perhaps shortened.
fn shortened(word: &str, texts: &[&str]) -> bool {
    !word.is_empty() && texts.iter().any(|text| text.starts_with(word))
}

fn ip(told: Told<'_>) -> Effect {
    let batch = |option: &str| matches!(option.trim_start_matches('-'), "b" | "batch");
    if told.options().any(batch) {
        return (Unknown, "runs commands of a file");
    }
    let values = [
        "-n", "-netns", "--netns", "-f", "-family", "--family", "-l", "-loops", "-rc", "-rcvbuf",
    ];
    // Its options have one hyphen and whole names, so that no letter in one is another.
    let mut words = told.0;
    while let Some(option) = words.first().filter(|word| word.text.starts_with('-')) {
        let own = 1 + usize::from(values.contains(&option.text.as_str()));
        words = words.get(own..).unwrap_or_default();
    }
    let words: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
    let object = words.first().copied().unwrap_or_default();
    let nested = ["xfrm", "mptcp", "ioam", "sr"].contains(&object);
    let at = if nested { 2 } else { 1 };
    let action = words.get(at).copied().unwrap_or_default();
    if action == "exec" {
        (Unknown, "runs a program in another network")
    } else if shortened(action, &["flush", "delete"]) || words.contains(&"down") {
        (NeedsCare, "takes addresses, routes or a network away")
    } else if shortened(action, &["add", "set"])
        || !(action.is_empty()
            || object == "monitor"
            || shortened(action, &["show", "list", "lst", "get", "help"])
            || matches!(action, "monitor" | "identify" | "pids" | "list-id" | "save"))
    {
        (ChangesSystem, "changes the network")
    } else {
        READS
    }
}

fn nmcli(told: Told<'_>) -> Effect {
    let values = [
        "-f",
        "--fields",
        "-g",
        "--get-values",
        "-m",
        "--mode",
        "-c",
        "--colors",
        "-e",
        "--escape",
        "-w",
        "--wait",
    ];
    let words: Vec<_> = told
        .behind(&values)
        .operands()
        .map(|word| word.text.as_str())
        .collect();
    let at = |index: usize| words.get(index).copied().unwrap_or_default();
    let (object, action, third) = (at(0), at(1), at(2));
    let takes = ["delete", "down", "disconnect"];
    if shortened(action, &takes)
        || words
            .iter()
            .any(|word| *word == "off" || takes.contains(word))
    {
        return (NeedsCare, "takes a network down or deletes it");
    }
    let looks = match action {
        "" => true,
        _ if shortened(object, &["radio"]) => action != "on" && third.is_empty(),
        _ if shortened(object, &["device"]) && shortened(action, &["wifi"]) => {
            third.is_empty() || shortened(third, &["list", "rescan", "show-password"])
        }
        "mon" | "monitor" => true,
        _ if shortened(action, &["hostname", "logging"]) => third.is_empty(),
        _ => shortened(
            action,
            &["status", "show", "permissions", "lldp", "connectivity"],
        ),
    };
    if looks {
        READS
    } else {
        (ChangesSystem, "changes the network")
    }
}
