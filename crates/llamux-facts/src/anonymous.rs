// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Takes out of facts who the machine and its users are, so that they can be given to others.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::facts::Facts;

/// Replaces the name of the host, the names of its users and their home directories, and addresses; takes the
/// arguments of commands away, which may have secrets, and the texts of errors in the journal.
pub fn anonymise(facts: &mut Facts) {
    let mut names = Names::of(facts);
    names.put(&mut facts.host.name);
    // Only which options there are: their values say where the root is, and more.
    let line = facts
        .kernel
        .command_line
        .split(" -- ")
        .next()
        .unwrap_or_default();
    let words = line
        .split(' ')
        .map(|word| word.split('=').next().unwrap_or(word));
    facts.kernel.command_line = words.collect::<Vec<_>>().join(" ");
    for process in &mut facts.processes {
        let program = process
            .command
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        process.command = program;
        names.put(&mut process.command);
        names.put(&mut process.user);
        names.put(&mut process.cgroup);
        names.put(&mut process.group);
        names.put_if_there(&mut process.executable);
        names.put_if_there(&mut process.unit);
    }
    for group in &mut facts.groups {
        names.put(&mut group.id);
        names.put_if_there(&mut group.user);
        names.put_if_there(&mut group.unit);
        names.put_if_there(&mut group.cgroup);
    }
    for cgroup in &mut facts.cgroups {
        names.put(&mut cgroup.path);
        names.put_if_there(&mut cgroup.group);
    }
    for kill in &mut facts.oom_kills {
        names.put_if_there(&mut kill.cgroup);
    }
    for device in &mut facts.swap.devices {
        names.put(&mut device.name);
    }
    for fs in &mut facts.file_systems {
        names.put(&mut fs.mount);
        names.put(&mut fs.device);
    }
    for line in &mut facts.kernel_log {
        names.put(&mut line.text);
    }
    for link in &mut facts.network.links {
        link.addresses
            .iter_mut()
            .for_each(|address| names.put(address));
    }
    for route in &mut facts.network.default_routes {
        if let Some(gateway) = &mut route.gateway {
            names.put(gateway);
        }
    }
    facts
        .network
        .dns
        .iter_mut()
        .for_each(|server| names.put(&mut server.address));
    for missing in &mut facts.missing {
        names.put(&mut missing.what);
        names.put(&mut missing.why);
    }
    if let Some(units) = &mut facts.units {
        for unit in &mut units.all {
            names.put(&mut unit.name);
            names.put(&mut unit.description);
            names.put_if_there(&mut unit.file);
        }
        for timer in &mut units.timers {
            names.put(&mut timer.name);
            names.put(&mut timer.unit);
        }
        for (unit, _) in units.boot.iter_mut().flat_map(|boot| &mut boot.slowest) {
            names.put(unit);
        }
    }
    if let Some(journal) = &mut facts.journal {
        for errors in &mut journal.errors {
            names.put(&mut errors.unit);
            errors.last.clear();
        }
        for (unit, _) in &mut journal.loudest {
            names.put(unit);
        }
    }
}

/// Whether this is the number of a person, and not of a service, of one that systemd makes up (61184 to 65519) or of
/// nobody (65534). Directories of a network and namespaces count on from there.
fn is_person(uid: u32) -> bool {
    (1000..61_184).contains(&uid) || uid > 65_535
}

/// What each name and address becomes.
struct Names {
    words: BTreeMap<String, String>,
    addresses: BTreeMap<IpAddr, IpAddr>,
}

impl Names {
    fn of(facts: &Facts) -> Self {
        let mut words = BTreeMap::new();
        // A host that is called as programs are would take their names with it.
        if facts.host.name.len() > 2 {
            words.insert(facts.host.name.clone(), "host".to_owned());
        }
        let people = facts
            .processes
            .iter()
            .filter(|p| is_person(p.uid) && !p.user.bytes().all(|byte| byte.is_ascii_digit()));
        let mut people: Vec<_> = people.map(|process| (process.uid, &process.user)).collect();
        people.sort_unstable();
        people.dedup();
        for (i, (_, user)) in people.into_iter().enumerate() {
            words.insert(user.clone(), format!("user{}", i + 1));
        }
        Self {
            words,
            addresses: BTreeMap::new(),
        }
    }

    fn put_if_there(&mut self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.put(text);
        }
    }

    fn put(&mut self, text: &mut String) {
        let part = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(begin) = rest.find(part) {
            let (before, tail) = rest.split_at(begin);
            out.push_str(before);
            let end = tail.find(|c| !part(c)).unwrap_or(tail.len());
            let (word, tail) = tail.split_at(end);
            out.push_str(&self.word(word));
            rest = tail;
        }
        out.push_str(rest);
        *text = out;
    }

    fn word(&mut self, word: &str) -> String {
        if let Some(other) = self.words.get(word) {
            return other.clone();
        }
        let bare = word.trim_end_matches(['.', ':', '-', '_']);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return word.replacen(bare, &self.address(address).to_string(), 1);
        }
        let digits = |c: char, parts: usize, length: usize| {
            let split: Vec<_> = bare.split(c).collect();
            let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
            split.len() == parts && bare.len() == length && split.iter().all(hex)
        };
        // Addresses of hardware, and the names of file systems.
        if digits(':', 6, 17) {
            return word.replacen(bare, "02:00:00:00:00:01", 1);
        }
        if digits('-', 5, 36) {
            return word.replacen(bare, "00000000-0000-0000-0000-000000000001", 1);
        }
        // Parts of a word, such as those of "host.example.org" or "ssh-ann".
        let known = self.words.keys().any(|name| word.contains(name.as_str()));
        if !known {
            return word.to_owned();
        }
        let parts: Vec<String> = word
            .split_inclusive(['.', '_', ':', '-'])
            .map(|part| {
                let bare = part.trim_end_matches(['.', '_', ':', '-']);
                let other = self.words.get(bare).map_or(bare, String::as_str);
                part.replacen(bare, other, 1)
            })
            .collect();
        parts.concat()
    }

    /// An address that is kept for examples, the same for the same one.
    fn address(&mut self, address: IpAddr) -> IpAddr {
        if address.is_loopback() || address.is_unspecified() {
            return address;
        }
        let next = u8::try_from(self.addresses.len() % 250).unwrap_or(0) + 1;
        let other = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, next)),
            // Whether an address is good for one link only matters.
            IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80 => {
                IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(next)))
            }
            IpAddr::V6(_) => {
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(next)))
            }
        };
        *self.addresses.entry(address).or_insert(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{
        Cgroup, FileSystem, Group, Journal, JournalErrors, KernelMessage, Link, OomKill, Process,
        SwapDevice, Timer, Unit, Units,
    };

    #[test]
    fn who_it_is_cannot_be_told_from_what_is_left() {
        let mut facts = Facts::default();
        facts.host.name = "atlas".into();
        facts.kernel.command_line =
            "root=UUID=0a1b2c3d-1111-2222-3333-444455556666 ip=203.0.113.9 quiet -- secret".into();
        facts.processes.push(Process {
            uid: 1000,
            user: "ann".into(),
            command: "/home/ann/bin/tool --password=secret".into(),
            executable: Some("/home/ann/bin/tool".into()),
            ..Process::default()
        });
        facts.processes.push(Process {
            user: "root".into(),
            ..Process::default()
        });
        facts.file_systems.push(FileSystem {
            mount: "/media/ann/disk".into(),
            ..FileSystem::default()
        });
        facts.kernel_log.push(KernelMessage {
            text: "eth0: from 203.0.113.9, de:ad:be:ef:00:01 [atlas.example.org] (0a1b2c3d-1111-2222-3333-444455556666)".into(),
            ..KernelMessage::default()
        });
        facts.network.links.push(Link {
            addresses: vec![
                "203.0.113.9/24".into(),
                "fe80::dead/64".into(),
                "2a00::1/64".into(),
            ],
            ..Link::default()
        });
        anonymise(&mut facts);
        let text = serde_json::to_string(&facts).unwrap();
        for secret in [
            "atlas",
            "\"ann\"",
            "/ann/",
            "203.0.113",
            "de:ad",
            "dead",
            "2a00",
            "secret",
            "0a1b2c3d",
        ] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        for kept in [
            "/home/user1/bin/tool",
            "/media/user1/disk",
            "\"root\"",
            "192.0.2.1/24",
            "fe80::2/64",
            "\"root ip quiet\"",
            "eth0: from 192.0.2.1,",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn a_name_is_taken_out_wherever_it_is() {
        // Of a directory of the network, and in a namespace without names.
        let process = |uid: u32, user: &str| Process {
            uid,
            user: user.into(),
            ..Process::default()
        };
        let unit = || "sync@bea.service".to_owned();
        let cgroup = || "/system.slice/system-sync.slice/sync@bea.service".to_owned();
        let group = || "service:sync@bea.service".to_owned();
        let mut facts = Facts {
            processes: vec![
                Process {
                    cgroup: cgroup(),
                    unit: Some(unit()),
                    group: group(),
                    ..process(1_600_001, "bea")
                },
                process(100_033, "100033"),
                process(61_200, "dynamic"),
            ],
            groups: vec![Group {
                id: group(),
                user: Some("bea".into()),
                unit: Some(unit()),
                cgroup: Some(cgroup()),
                ..Group::default()
            }],
            cgroups: vec![Cgroup {
                path: cgroup(),
                group: Some(group()),
                memory: 100_033,
                ..Cgroup::default()
            }],
            oom_kills: vec![OomKill {
                cgroup: Some(cgroup()),
                ..OomKill::default()
            }],
            units: Some(Units {
                all: vec![Unit {
                    name: "home-bea.mount".into(),
                    description: "/home/bea".into(),
                    file: Some("/home/bea/.config/systemd/user/x.service".into()),
                    ..Unit::default()
                }],
                timers: vec![Timer {
                    name: "sync@bea.timer".into(),
                    unit: unit(),
                    ..Timer::default()
                }],
                ..Units::default()
            }),
            journal: Some(Journal {
                errors: vec![JournalErrors {
                    unit: unit(),
                    ..JournalErrors::default()
                }],
                loudest: vec![(unit(), 7)],
                ..Journal::default()
            }),
            ..Facts::default()
        };
        facts.swap.devices.push(SwapDevice {
            name: "/home/bea/swap".into(),
            ..SwapDevice::default()
        });
        anonymise(&mut facts);
        let text = serde_json::to_string(&facts).unwrap();
        assert!(!text.contains("bea"), "{text}");
        // What belongs together still does.
        assert_eq!(facts.processes[0].group, facts.groups[0].id);
        assert_eq!(facts.processes[0].unit, facts.groups[0].unit);
        assert_eq!(facts.processes[0].group, "service:sync@user1.service");
        for kept in ["\"100033\"", "\"dynamic\"", "home-user1.mount"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }
}
