// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Messages that are known by their form.

use std::sync::OnceLock;

use regex::{Captures, Regex, RegexSet};

use super::{codes, errno, kernel, programs};

/// A message that is known.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Its name in the catalogue.
    pub(super) name: &'static str,
    /// How much it explains, up to 100.
    pub(super) weight: u8,
    /// A regular expression.
    pub(super) pattern: &'static str,
    /// What it means, with `{1}` for the first group.
    pub(super) meaning: &'static str,
    /// What is mostly behind it, or what to do; may be empty.
    pub(super) advice: &'static str,
}

/// What a line was found to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) weight: u8,
    pub(super) meaning: String,
    pub(super) advice: String,
}

/// The catalogue, ready for use.
pub(super) struct Catalogue {
    set: RegexSet,
    patterns: Vec<&'static Pattern>,
    compiled: Vec<OnceLock<Option<Regex>>>,
}

impl Catalogue {
    pub(super) fn new() -> Option<Self> {
        let patterns: Vec<_> = kernel::PATTERNS.iter().chain(programs::PATTERNS).collect();
        let set = RegexSet::new(patterns.iter().map(|pattern| pattern.pattern)).ok()?;
        let compiled = patterns.iter().map(|_| OnceLock::new()).collect();
        Some(Self {
            set,
            patterns,
            compiled,
        })
    }

    /// What a line is known as, what explains most first.
    pub(super) fn look_up(&self, line: &str) -> Vec<Known> {
        let mut out: Vec<Known> = vec![];
        for at in self.set.matches(line) {
            let (Some(pattern), Some(compiled)) = (self.patterns.get(at), self.compiled.get(at))
            else {
                continue;
            };
            let regex = compiled.get_or_init(|| Regex::new(pattern.pattern).ok());
            if let Some(groups) = regex.as_ref().and_then(|regex| regex.captures(line)) {
                out.extend(known(pattern, &groups));
            }
        }
        out.sort_by_key(|known| std::cmp::Reverse(known.weight));
        out
    }
}

fn known(pattern: &Pattern, groups: &Captures<'_>) -> Option<Known> {
    let group = |at: usize| groups.get(at).map_or("", |group| group.as_str());
    let (meaning, advice) = match pattern.meaning {
        "{segfault}" => (segfault(groups)?, filled(pattern.advice, groups)),
        "{errno}" => {
            let word = group(1);
            let number = || {
                word.trim_start_matches('-')
                    .parse()
                    .ok()
                    .and_then(errno::by_number)
            };
            let errno = errno::by_name(word)
                .or_else(|| errno::by_text(word))
                .or_else(number)?;
            (
                format!(
                    "{} ({}, {}): {}",
                    errno.name, errno.number, errno.text, errno.meaning
                ),
                errno.advice.to_owned(),
            )
        }
        "{signal}" => {
            let word = group(1);
            let number = || word.parse().ok().and_then(codes::signal);
            let signal = codes::signal_by_name(word).or_else(number)?;
            (
                format!(
                    "{} (signal {}): {}",
                    signal.name, signal.number, signal.meaning
                ),
                signal.advice.to_owned(),
            )
        }
        "{status}" => codes::exit_status(group(1).parse().ok()?),
        "{result}" => {
            let (word, meaning) = codes::UNIT_WORDS
                .iter()
                .find(|(word, _)| *word == group(1))?;
            (format!("systemd says \"{word}\": {meaning}"), String::new())
        }
        _ => (
            filled(pattern.meaning, groups),
            filled(pattern.advice, groups),
        ),
    };
    Some(Known {
        name: pattern.name,
        weight: pattern.weight,
        meaning,
        advice,
    })
}

/// A text with what the groups matched.
fn filled(text: &str, groups: &Captures<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let digit = behind
            .split_once('}')
            .and_then(|(number, after)| Some((number.parse::<usize>().ok()?, after)));
        match digit {
            Some((number, after)) => {
                let group = groups.get(number).map_or("", |group| group.as_str());
                out.push_str(&llamux_facts::text::shortened(group.trim(), 120));
                rest = after;
            }
            None => {
                out.push('{');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out.replace(" .", ".").replace("..", ".")
}

/// What the kernel's line about a segmentation fault says. The bits of the error code are those of a page fault
/// (`arch/x86/include/asm/trap_pf.h`).
fn segfault(groups: &Captures<'_>) -> Option<String> {
    let text = |at: usize| groups.get(at).map_or("", |group| group.as_str());
    let address = u64::from_str_radix(text(3), 16).ok()?;
    let code = u64::from_str_radix(text(5), 16).ok()?;
    let what = match code {
        code if code & 0x10 != 0 => "run code at",
        code if code & 2 != 0 => "write to",
        _ => "read from",
    };
    let why = match code {
        code if code & 0x20 != 0 => "which a protection key forbids",
        code if code & 1 != 0 => "which it may not use in this way",
        _ => "where it has no memory",
    };
    let pointer = match address {
        0 => ": the pointer was empty (NULL)",
        1..0x1000 => {
            ": almost certainly a field of an object that is not there (a pointer that is NULL)"
        }
        _ => "",
    };
    let place = match text(6) {
        "" => String::new(),
        place => format!(", in {place}"),
    };
    let who = match code & 4 {
        0 => "the kernel on behalf of it",
        _ => "it",
    };
    Some(format!(
        "The program {} (process {}) crashed{place}: {who} tried to {what} address 0x{}, {why}{pointer}.",
        text(1),
        text(2),
        text(3).trim_start_matches('0').to_owned() + if address == 0 { "0" } else { "" },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_valid_and_named_once() {
        let catalogue = Catalogue::new().expect("all patterns are valid");
        let mut names: Vec<_> = catalogue
            .patterns
            .iter()
            .map(|pattern| pattern.name)
            .collect();
        for pattern in &catalogue.patterns {
            let regex = Regex::new(pattern.pattern).unwrap();
            for number in 1..10 {
                let used = [pattern.meaning, pattern.advice]
                    .iter()
                    .any(|text| text.contains(&format!("{{{number}}}")));
                assert!(!used || number < regex.captures_len(), "{}", pattern.name);
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(kernel::PATTERNS.len() >= 60 && programs::PATTERNS.len() >= 30);
    }

    #[test]
    fn messages_are_known() {
        let catalogue = Catalogue::new().unwrap();
        for (line, name, part) in [
            ("[ 91.1] Out of memory: Killed process 4242 (java) total-vm:9kB, anon-rss:8kB", "oom-kill", "4242 (java)"),
            ("Memory cgroup out of memory: Killed process 7 (node)", "oom-kill-cgroup", "process 7 (node)"),
            ("INFO: task jbd2/sda1-8:312 blocked for more than 122 seconds.", "hung-task", "312 (jbd2/sda1-8)"),
            ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [kworker/1:2:88]", "soft-lockup", "22 seconds"),
            ("app[311]: segfault at 8 ip 00007f11 sp 00007ffe error 4 in libfoo.so[7f1100000000+2000]", "segfault", "read from address 0x8, where it has no memory: almost certainly"),
            ("x[1]: segfault at 0 ip 0 sp 0 error 14", "segfault", "run code at address 0x0"),
            ("x[1]: segfault at 7fff00001000 ip 5 sp 6 error 7", "segfault", "write to address 0x7fff00001000, which it may not"),
            ("blk_update_request: I/O error, dev sda, sector 123456 op 0x0:(READ) flags 0x0", "io-error", "disk sda"),
            ("EXT4-fs error (device sda2): ext4_lookup:1855: inode #2: comm ls: deleted inode", "ext4-error", "sda2"),
            ("BTRFS error (device nvme0n1p2): bdev /dev/nvme0n1p2 errs: wr 0, rd 4", "btrfs-error", "nvme0n1p2"),
            ("XFS (dm-0): Metadata corruption detected at xfs_agf_read_verify", "xfs-corruption", "dm-0"),
            ("usb 1-1-port2: over-current condition", "usb-overcurrent", "port 2"),
            ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff", "nvme-down", "nvme0"),
            ("CPU3: Core temperature above threshold, cpu clock throttled (total events = 5)", "thermal-throttle", "Processor 3"),
            ("mce: [Hardware Error]: Machine check events logged", "mce", "hardware"),
            ("e1000e 0000:00:1f.6 eth0: NIC Link is Down", "link-down", ""),
            ("IPv4: martian source 10.0.0.1 from 192.168.1.1, on dev eth0", "martian", "eth0"),
            ("nf_conntrack: nf_conntrack: table full, dropping packet", "conntrack-full", "packets"),
            ("iwlwifi 0000:02:00.0: Direct firmware load for iwlwifi-9000.ucode failed with error -2", "firmware-missing", "iwlwifi-9000.ucode"),
            ("ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PCI0]", "acpi-error", "resolve"),
            (r#"audit: type=1400 apparmor="DENIED" operation="open" class="file" profile="/usr/sbin/cupsd" name="/etc/shadow" pid=1"#, "apparmor-denied", "/usr/sbin/cupsd"),
            ("BUG: kernel NULL pointer dereference, address: 0000000000000010", "null-dereference", "0000000000000010"),
            ("RIP: 0010:nvme_poll+0x1a/0x40 [nvme]", "rip", "nvme_poll"),
            ("CPU: 1 PID: 1234 Comm: my prog Tainted: G        W  O       6.1.0", "oops-process", "1234 (my prog)"),
            ("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "panic", "root fs"),
            ("write error: No space left on device", "errno-text", "ENOSPC (28"),
            ("open: permission denied", "errno-text", "EACCES"),
            ("Error: Os { code: 2, kind: NotFound }", "errno-rust", "ENOENT"),
            ("failed (os error 98)", "errno-rust", "EADDRINUSE"),
            ("probe of 0000:00:14.0 failed with error -110", "errno-kernel", "ETIMEDOUT"),
            ("connect ECONNREFUSED 127.0.0.1:5432", "errno-name", "ECONNREFUSED"),
            ("systemd[1]: foo.service: Main process exited, code=exited, status=203/EXEC", "exit-status", "could not run"),
            ("systemd[1]: foo.service: Failed with result 'timeout'.", "unit-result", "when its time was up"),
            ("make: *** [all] Error 137", "exit-status", "SIGKILL"),
            ("Main process exited, code=killed, status=9/KILL", "signal", "SIGKILL"),
            ("bash: foo: command not found", "command-not-found", "foo"),
            ("curl: (6) Could not resolve host: example.org", "dns", "example.org"),
            ("x509: certificate signed by unknown authority", "tls-unknown-issuer", "certificate"),
            ("ModuleNotFoundError: No module named 'numpy'", "python-no-module", "numpy"),
            ("error while loading shared libraries: libfoo.so.1: cannot open shared object file", "missing-library", "libfoo.so.1"),
        ] {
            let known = catalogue.look_up(line);
            let found = known.iter().find(|known| known.name == name);
            let found = found.unwrap_or_else(|| panic!("{line}: {known:?}"));
            assert!(found.meaning.contains(part), "{line}: {}", found.meaning);
        }
    }

    #[test]
    fn ordinary_lines_are_not_known() {
        let catalogue = Catalogue::new().unwrap();
        for line in [
            "",
            "Linux version 7.3.0 (gcc 14) #1 SMP",
            "systemd[1]: Started Daily Cleanup of Temporary Directories.",
            "The quick brown fox jumps over the lazy dog",
            "GET /index.html HTTP/1.1 200 512",
            "EXT4-fs (sda1): mounted filesystem with ordered data mode",
            "0 errors, 0 warnings",
        ] {
            assert_eq!(catalogue.look_up(line), [], "{line}");
        }
    }
}
