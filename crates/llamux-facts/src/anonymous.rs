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
        if let Some(path) = &mut process.executable {
            names.put(path);
        }
    }
    for group in &mut facts.groups {
        if let Some(user) = &mut group.user {
            names.put(user);
        }
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
    for unit in facts.units.iter_mut().flat_map(|units| &mut units.all) {
        names.put(&mut unit.description);
    }
    for errors in facts
        .journal
        .iter_mut()
        .flat_map(|journal| &mut journal.errors)
    {
        errors.last.clear();
    }
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
            .filter(|p| (1000..60_000).contains(&p.uid));
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
    use crate::facts::{FileSystem, KernelMessage, Link, Process};

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
}
