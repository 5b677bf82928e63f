// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel's log and the journal.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{machine, output, round};
use crate::facts::{Journal, JournalErrors, KernelMessage, OomKill};
use crate::text;

/// Most lines that are kept.
const LINES: usize = 400;

/// How long journalctl may take.
const TIME: Duration = Duration::from_millis(2500);

/// The kernel's log: the lines that matter, and whom it killed for lack of memory.
pub(super) fn kernel() -> Result<(Vec<KernelMessage>, Vec<OomKill>), String> {
    let messages = match kmsg() {
        Ok(messages) => messages,
        Err(why) => from_journal().map_err(|second| format!("{why}; {second}"))?,
    };
    Ok(sift(messages, machine::uptime()))
}

/// What /dev/kmsg has. Each read gives one record.
fn kmsg() -> Result<Vec<KernelMessage>, String> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .map_err(|e| format!("/dev/kmsg: {e}"))?;
    let mut messages = vec![];
    let mut buffer = [0; 8192];
    // A log that grows while it is read must end all the same.
    for _ in 0..200_000 {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                messages.extend(record(buffer.get(..length).unwrap_or_default()));
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            // Records were overwritten before they were read.
            Err(e) if e.raw_os_error() == Some(libc::EPIPE) => {}
            Err(e) => return Err(format!("/dev/kmsg: {e}")),
        }
    }
    Ok(messages)
}

/// A record such as `6,339,5140900,-;text`, with further lines that say more.
fn record(bytes: &[u8]) -> Option<KernelMessage> {
    let place = bytes.iter().position(|byte| *byte == b';')?;
    let head = std::str::from_utf8(bytes.get(..place)?).ok()?;
    let mut fields = head.split(',');
    let priority: u64 = fields.next()?.parse().ok()?;
    let micros: u64 = fields.nth(1)?.parse().ok()?;
    let line = bytes
        .get(place + 1..)?
        .split(|byte| *byte == b'\n')
        .next()?;
    Some(KernelMessage {
        // CAST: microseconds of an uptime.
        seconds: round(micros as f64 / 1e6),
        level: u8::try_from(priority & 7).ok()?,
        text: unescaped(line),
    })
}

/// The kernel writes bytes that are no text as `\xNN`, as we do; a blackslash alone is `\x5c`.
fn unescaped(line: &[u8]) -> String {
    text::decode(line).replace("\\x5c", "\\")
}

/// The same from the journal, for those who may read that.
fn from_journal() -> Result<Vec<KernelMessage>, String> {
    let args = ["-k", "-b", "-o", "json", "-n", "2000", "--no-pager", "-q"];
    let out = output("journalctl", &args, TIME)?;
    let messages: Vec<_> = out.split(|b| *b == b'\n').filter_map(from_entry).collect();
    if messages.is_empty() {
        return Err("the journal shows none of it either".to_owned());
    }
    Ok(messages)
}

fn from_entry(line: &[u8]) -> Option<KernelMessage> {
    let entry: Value = serde_json::from_slice(line).ok()?;
    let number = |field: &str| entry.get(field)?.as_str()?.parse::<u64>().ok();
    let micros = number("_SOURCE_MONOTONIC_TIMESTAMP").or(number("__MONOTONIC_TIMESTAMP"))?;
    Some(KernelMessage {
        // CAST: as above.
        seconds: round(micros as f64 / 1e6),
        level: u8::try_from(number("PRIORITY")?).ok()?,
        text: message(&entry)?,
    })
}

/// The text of an entry of the journal: a string, or an array of bytes where it is not UTF-8.
fn message(entry: &Value) -> Option<String> {
    match entry.get("MESSAGE")? {
        Value::String(text) => Some(text::decode(text.as_bytes())),
        Value::Array(bytes) => {
            let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
            let bytes: Vec<_> = bytes.iter().filter_map(byte).collect();
            Some(text::decode(&bytes))
        }
        _ => None,
    }
}

/// Keeps the lines that matter, the newest of them, and reads whom the kernel killed.
fn sift(messages: Vec<KernelMessage>, uptime: f64) -> (Vec<KernelMessage>, Vec<OomKill>) {
    let mut kills: Vec<OomKill> = vec![];
    let mut cgroup = None;
    for message in &messages {
        if let Some(constraint) = message.text.strip_prefix("oom-kill:constraint=") {
            let limited = constraint.starts_with("CONSTRAINT_MEMCG");
            let path = constraint
                .split(',')
                .find_map(|word| word.strip_prefix("oom_memcg="));
            cgroup = path.filter(|_| limited).map(str::to_owned);
        } else if let Some(kill) = kill(message, uptime, cgroup.clone()) {
            kills.push(kill);
        }
    }
    let keep = |message: &KernelMessage| {
        let crash = [
            "segfault at",
            "general protection fault",
            "trap invalid opcode",
        ];
        message.level <= 4 || crash.iter().any(|part| message.text.contains(part))
    };
    let mut kept: Vec<_> = messages.into_iter().filter(keep).collect();
    kept.drain(..kept.len().saturating_sub(LINES));
    kills.drain(..kills.len().saturating_sub(LINES));
    (kept, kills)
}

/// Reads "Out of memory: Killed process 12 (name) total-vm:1kB, anon-rss:2kB, file-rss:3kB, shmem-rss:4kB, …".
fn kill(message: &KernelMessage, uptime: f64, cgroup: Option<String>) -> Option<OomKill> {
    let (cause, rest) = message.text.split_once("Killed process ")?;
    if !cause.to_lowercase().contains("out of memory") {
        return None;
    }
    let (pid, rest) = rest.split_once(" (")?;
    // A name may have brackets.
    let (name, figures) = rest.rsplit_once(") total-vm:")?;
    let kib = figures.split(", ").filter_map(|word| {
        let (name, value) = word.split_once(':')?;
        name.ends_with("rss").then_some(())?;
        value.strip_suffix("kB")?.parse::<u64>().ok()
    });
    Some(OomKill {
        ago_seconds: round((uptime - message.seconds).max(0.0)),
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        memory: kib.fold(0, u64::saturating_add).saturating_mul(1024),
        cgroup: cgroup.filter(|_| cause.contains("cgroup")),
    })
}

/// The journal: its size, its errors, and who writes most.
pub(super) fn journal() -> Result<Journal, String> {
    let fields = "--output-fields=MESSAGE,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,SYSLOG_IDENTIFIER,_COMM";
    let common = ["-o", "json", "--no-pager", "-q", fields];
    let run = |own: &[&str]| output("journalctl", &[&common[..], own].concat(), TIME);
    let errors = run(&[
        "-b",
        "-p",
        "err",
        "--since",
        "-1h",
        "-n",
        "1000",
        "_TRANSPORT=journal",
        "+",
        "_TRANSPORT=syslog",
        "+",
        "_TRANSPORT=stdout",
    ])?;
    let recent = run(&["-b", "--since", "-1min", "-n", "20000"])?;

    let mut by_unit: HashMap<String, JournalErrors> = HashMap::new();
    for entry in entries(&errors) {
        let unit = who(&entry);
        let errors = by_unit.entry(unit.clone()).or_default();
        errors.unit = unit;
        errors.count += 1;
        errors.last = message(&entry).unwrap_or_default();
    }
    let mut errors: Vec<_> = by_unit.into_values().collect();
    errors.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.unit.cmp(&b.unit)));
    errors.truncate(50);

    let mut lines: HashMap<String, u64> = HashMap::new();
    for entry in entries(&recent) {
        *lines.entry(who(&entry)).or_default() += 1;
    }
    let mut loudest: Vec<_> = lines.into_iter().collect();
    loudest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    loudest.truncate(10);
    Ok(Journal {
        size: size(),
        errors,
        loudest,
    })
}

fn entries(out: &[u8]) -> impl Iterator<Item = Value> + '_ {
    let lines = out.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok())
}

fn who(entry: &Value) -> String {
    let field = |name: &str| entry.get(name)?.as_str();
    // What a user's systemd runs is in the unit of that systemd, which says nothing.
    let names = [
        "_SYSTEMD_USER_UNIT",
        "_SYSTEMD_UNIT",
        "SYSLOG_IDENTIFIER",
        "_COMM",
    ];
    let name = names.into_iter().find_map(field).unwrap_or("unknown");
    text::decode(name.as_bytes())
}

/// Bytes of the journal on disk, or in memory where it is not kept.
fn size() -> Option<u64> {
    let mut sum = None;
    for root in ["/var/log/journal", "/run/log/journal"] {
        for machine in super::names(root) {
            for file in super::names(Path::new(root).join(&machine)) {
                let data = std::fs::metadata(Path::new(root).join(&machine).join(file));
                let Ok(data) = data else { continue };
                sum = Some(
                    std::os::unix::fs::MetadataExt::blocks(&data)
                        .saturating_mul(512)
                        .saturating_add(sum.unwrap_or(0)),
                );
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: u8, text: &str) -> KernelMessage {
        KernelMessage {
            seconds: 100.0,
            level,
            text: text.into(),
        }
    }

    #[test]
    fn records_of_the_kernel_are_read() {
        let read =
            record(b"28,7,1234567,-,caller=T1;disk \\x1b[31m\\x5cn\n SUBSYSTEM=block\n").unwrap();
        assert_eq!((read.level, read.seconds), (4, 1.23));
        assert_eq!(read.text, "disk \\x1b[31m\\n");
        for broken in [&b""[..], b";", b"x,y,z;t", b"6,1;text", b"\xff,1,1,-;x"] {
            assert!(record(broken).is_none());
        }
    }

    #[test]
    fn those_that_were_killed_are_known_with_the_reason() {
        let messages = vec![
            message(6, "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),global_oom,task=a"),
            message(3, "Out of memory: Killed process 42 (a) (b) total-vm:9kB, anon-rss:2048kB, file-rss:1kB, shmem-rss:0kB, UID:0 pgtables:8kB oom_score_adj:0"),
            message(6, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,oom_memcg=/system.slice/x.service,task_memcg=/y,task=b,pid=43,uid=0"),
            message(3, "Memory cgroup out of memory: Killed process 43 (b) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB"),
            message(3, "Out of memory: Killed process x (b) total"),
            message(6, "usb 1-1: new device"),
            message(6, "prog[7]: segfault at 0 ip 0 sp 0 error 4 in prog[1]"),
        ];
        let (kept, kills) = sift(messages, 160.0);
        assert_eq!(kills.len(), 2);
        assert_eq!((kills[0].pid, kills[0].name.as_str()), (42, "a) (b"));
        assert_eq!((kills[0].memory, kills[0].ago_seconds), (2049 * 1024, 60.0));
        assert_eq!(kills[0].cgroup, None);
        assert_eq!(kills[1].cgroup.as_deref(), Some("/system.slice/x.service"));
        assert_eq!(kept.len(), 4);
    }

    #[test]
    fn entries_that_are_no_text_are_read() {
        let entry = br#"{"MESSAGE":[255,97],"PRIORITY":"3","__MONOTONIC_TIMESTAMP":"2000000"}"#;
        let read = from_entry(entry).unwrap();
        assert_eq!((read.text.as_str(), read.seconds), ("\\xFFa", 2.0));
        assert!(from_entry(b"{").is_none());
        assert!(from_entry(br#"{"MESSAGE":null}"#).is_none());
    }
}
