// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Processes grouped as a person would name them, and control groups.
//!
//! A process belongs to a container or virtual machine, if it is in one; else to the application or service that
//! systemd made a control group for; else to the program that was started by a person or by what manages the
//! session, with all that it started in turn.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{bytes, lacks, line, names, number, percent, whole};
use crate::facts::{Cgroup, Group, GroupKind, Missing, Process};
use crate::text;

/// The unit that a control group is in, and whether it is one of a user's own systemd.
pub(super) fn unit(cgroup: &str) -> (Option<String>, bool) {
    let is_unit = |part: &&str| {
        let kinds = [".service", ".scope"];
        kinds.iter().any(|kind| part.ends_with(kind))
    };
    let manager = |part: &str| part.starts_with("user@") && part.ends_with(".service");
    let below = |rest: &str| {
        rest.split('/')
            .find(|part| is_unit(part))
            .map(str::to_owned)
    };
    let managed = cgroup.split('/').position(manager);
    if let Some(place) = managed {
        let rest: Vec<_> = cgroup.split('/').skip(place + 1).collect();
        if let Some(unit) = below(&rest.join("/")) {
            return (Some(unit), true);
        }
    }
    (below(cgroup), false)
}

/// What a group is known by before its processes are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: String,
    name: String,
    kind: GroupKind,
}

impl Key {
    fn new(prefix: &str, name: impl Into<String>, kind: GroupKind) -> Self {
        let name = name.into();
        Self {
            id: format!("{prefix}:{name}"),
            name,
            kind,
        }
    }
}

/// Groups all processes, and notes in each which group is its.
pub(super) fn groups(processes: &mut [Process]) -> Vec<Group> {
    let desktop = Desktop::read();
    let containers = containers(processes);
    grouped(processes, &desktop, &containers)
}

fn grouped(
    processes: &mut [Process],
    desktop: &Desktop,
    containers: &HashMap<String, String>,
) -> Vec<Group> {
    let by_pid: HashMap<i32, usize> = processes
        .iter()
        .enumerate()
        .map(|(place, process)| (process.pid, place))
        .collect();
    let keys: Vec<Key> = processes
        .iter()
        .map(|process| key(process, processes, &by_pid, desktop, containers))
        .collect();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (process, key) in processes.iter_mut().zip(keys) {
        let group = groups.entry(key.id.clone()).or_insert_with(|| Group {
            id: key.id.clone(),
            name: key.name,
            kind: key.kind,
            user: Some(process.user.clone()),
            memory_exact: true,
            unit: process.unit.clone(),
            user_unit: process.user_unit,
            cgroup: Some(process.cgroup.clone()),
            ..Group::default()
        });
        group.pids.push(process.pid);
        group.memory = group
            .memory
            .saturating_add(process.pss.unwrap_or(process.rss));
        group.memory_exact &= process.pss.is_some() || process.rss == 0;
        group.swap = group.swap.saturating_add(process.swap);
        group.cpu += process.cpu;
        group.read_rate += process.read_rate.unwrap_or(0.0);
        group.write_rate += process.write_rate.unwrap_or(0.0);
        if group.user.as_ref() != Some(&process.user) {
            group.user = None;
        }
        // Control groups of a unit's own are part of it.
        if group.unit != process.unit || group.user_unit != process.user_unit {
            group.unit = None;
        }
        if let Some(cgroup) = &mut group.cgroup {
            let shared = common(cgroup, &process.cgroup);
            *cgroup = shared;
        }
        process.group = key.id;
    }
    // A unit or a control group may have other processes, too: then it is not this group.
    let all: Vec<_> = processes
        .iter()
        .map(|p| {
            (
                p.unit.clone(),
                p.user_unit,
                p.cgroup.clone(),
                p.group.clone(),
            )
        })
        .collect();
    for group in groups.values_mut() {
        let others = || all.iter().filter(|(_, _, _, id)| *id != group.id);
        let of_group = |(unit, user, _, _): &&(Option<String>, bool, String, String)| {
            *unit == group.unit && *user == group.user_unit
        };
        if group.unit.is_none() || others().any(|other| of_group(&other)) {
            group.unit = None;
            group.user_unit = false;
        }
        let alone = group.cgroup.as_deref().is_some_and(|path| {
            path.len() > 1 && !others().any(|(_, _, other, _)| is_below(other, path))
        });
        if !alone {
            group.cgroup = None;
        }
        group.cpu = super::round(group.cpu);
        group.read_rate = super::round(group.read_rate);
        group.write_rate = super::round(group.write_rate);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| b.memory.cmp(&a.memory).then_with(|| a.id.cmp(&b.id)));
    groups
}

fn is_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path that both are below.
fn common(a: &str, b: &str) -> String {
    let same = a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b);
    let parts: Vec<_> = same.map(|(part, _)| part).collect();
    parts.join("/")
}

fn key(
    process: &Process,
    all: &[Process],
    by_pid: &HashMap<i32, usize>,
    desktop: &Desktop,
    containers: &HashMap<String, String>,
) -> Key {
    if process.kernel_thread {
        return Key::new("kernel", "kernel threads", GroupKind::Kernel);
    }
    if let Some(key) = contained(process, containers) {
        return key;
    }
    let parts: Vec<&str> = process.cgroup.split('/').collect();
    let leaf = parts.iter().rev().find(|part| {
        // A service may have control groups of its own below it.
        part.ends_with(".service") || part.ends_with(".scope")
    });
    if let Some(leaf) = leaf {
        if let Some(id) = application_of_unit(leaf) {
            // What runs in a terminal is not the terminal.
            if !is_terminal(&id) {
                return application(&id, process.uid, desktop);
            }
        } else if let Some(service) = leaf.strip_suffix(".service") {
            let session = service.starts_with("user@") || service.starts_with("session-");
            // What a person starts over ssh or at a console is in a scope of its session where there is logind.
            if !session {
                let name = unescape(service);
                let prefix = if process.user_unit {
                    "user-service"
                } else {
                    "service"
                };
                return Key {
                    id: format!("{prefix}:{leaf}"),
                    name,
                    kind: GroupKind::Service,
                };
            }
        }
    }
    let top = topmost(process, all, by_pid);
    application(&program(top), process.uid, desktop)
}

/// The process that was started by a person, or by what manages the session, and that this one descends from.
fn topmost<'p>(
    process: &'p Process,
    all: &'p [Process],
    by_pid: &HashMap<i32, usize>,
) -> &'p Process {
    let mut chain = vec![process];
    // Parents are not in a ring, but what is read at different times may seem so.
    for _ in 0..64 {
        let Some(last) = chain.last() else { break };
        let parent = by_pid.get(&last.parent).and_then(|place| all.get(*place));
        match parent {
            Some(parent) if parent.pid != last.pid && !parent.kernel_thread => chain.push(parent),
            _ => break,
        }
    }
    // The root of all is a boundary whatever it is called.
    let boundary = |p: &Process| p.pid == 1 || is_boundary(p);
    let place = chain.iter().position(|p| boundary(p));
    match place {
        Some(0) | None => process,
        Some(place) => chain.get(place - 1).copied().unwrap_or(process),
    }
}

/// Whether a program is what a session or the system rests on: it starts the programs of others, and they end
/// with it.
pub(crate) fn is_manager(name: &str) -> bool {
    const MANAGERS: &[&str] = &[
        "systemd",
        "init",
        "sshd",
        "sshd-session",
        "login",
        "agetty",
        "sudo",
        "su",
        "doas",
        "tmux",
        "screen",
        "zellij",
        "gnome-shell",
        "gnome-session",
        "gnome-session-b",
        "gdm-session-wor",
        "gdm-x-session",
        "gdm-wayland-ses",
        "plasmashell",
        "startplasma-way",
        "startplasma-x11",
        "ksmserver",
        "kwin_wayland",
        "kwin_x11",
        "sddm",
        "sddm-helper",
        "lightdm",
        "xfce4-session",
        "xfce4-panel",
        "xfdesktop",
        "cinnamon",
        "mate-session",
        "lxsession",
        "lxqt-session",
        "sway",
        "Hyprland",
        "i3",
        "openbox",
        "awesome",
        "niri",
        "river",
        "labwc",
        "dbus-daemon",
        "dbus-broker",
        "Xorg",
        "Xwayland",
        "containerd-shim",
        "conmon",
        "runc",
        "tini",
        "dumb-init",
        "runsv",
        "s6-supervise",
        "supervisord",
        "lsh",
    ];
    // Some say behind a colon what they do.
    let name = name.split(':').next().unwrap_or(name);
    MANAGERS.contains(&name)
}

/// What starts programs on behalf of a person.
fn is_boundary(process: &Process) -> bool {
    let name = process.name.as_str();
    is_manager(name) || is_terminal(name) || (is_shell(name) && is_interactive(process))
}

fn is_terminal(name: &str) -> bool {
    const TERMINALS: &[&str] = &[
        "gnome-terminal-",
        "gnome-terminal",
        "org.gnome.terminal",
        "ptyxis",
        "ptyxis-agent",
        "org.gnome.ptyxis",
        "kgx",
        "org.gnome.console",
        "konsole",
        "org.kde.konsole",
        "yakuake",
        "xterm",
        "alacritty",
        "kitty",
        "foot",
        "footclient",
        "wezterm",
        "wezterm-gui",
        "ghostty",
        "tilix",
        "terminator",
        "xfce4-terminal",
        "lxterminal",
        "qterminal",
        "urxvt",
        "st",
        "vte-spawn",
    ];
    TERMINALS.contains(&name.to_lowercase().as_str())
}

fn is_shell(name: &str) -> bool {
    ["bash", "zsh", "fish", "sh", "dash", "ksh", "nu", "tcsh"].contains(&name)
}

/// Whether a shell runs no script: it has no argument, or such as "-l" only.
fn is_interactive(process: &Process) -> bool {
    let mut words = process.command.split(' ').skip(1);
    words.all(|word| word.starts_with('-') && !word.starts_with("-c"))
}

/// What a person would call the program of a process: that of a script is the script's name.
fn program(process: &Process) -> String {
    let path = process
        .executable
        .as_deref()
        .map(|path| path.trim_end_matches(" (deleted)"));
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    // A program that is in no file has a name that says nothing.
    let path = path.filter(|path| !path.starts_with("/memfd:") && !path.starts_with("/proc/"));
    let first = process.command.split(' ').next().unwrap_or_default();
    let first = base(first.trim_start_matches('-').trim_end_matches(':'));
    let names = path.map(base).into_iter().chain([first]);
    let mut telling = names.filter(|name| name.bytes().any(|byte| byte.is_ascii_alphabetic()));
    let name = telling.next().unwrap_or_else(|| process.name.clone());
    script(&name, &process.command).unwrap_or(name)
}

/// The name of the script that an interpreter runs.
fn script(interpreter: &str, command: &str) -> Option<String> {
    const INTERPRETERS: &[&str] = &[
        "python", "pypy", "node", "nodejs", "ruby", "perl", "bash", "sh", "dash", "zsh", "php",
        "lua", "java", "deno", "bun", "mono", "dotnet", "electron", "guile", "Rscript", "beam.smp",
    ];
    let plain = interpreter.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if !INTERPRETERS.contains(&plain) {
        return None;
    }
    let mut words = command.split(' ').skip(1);
    let base = |path: &str| {
        let name = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or(path);
        (!name.is_empty()).then(|| name.to_owned())
    };
    while let Some(word) = words.next() {
        match word {
            "-m" | "-jar" => return words.next().and_then(base),
            // The text of a program is no name.
            "-c" | "-e" | "-E" => return None,
            _ if word.starts_with('-') => {}
            _ => return base(word),
        }
    }
    None
}

/// The key of an application by the id of its desktop file or the name of its program.
fn application(id: &str, uid: u32, desktop: &Desktop) -> Key {
    let id = id.strip_suffix(".desktop").unwrap_or(id);
    let short = id.rsplit('.').next().filter(|last| last.len() > 2);
    // "org.mozilla.firefox" and "firefox" are the same; "script.py" has an ending.
    let reversed = id.split('.').count() > 2;
    let program = if reversed { short.unwrap_or(id) } else { id };
    let program = program.to_lowercase();
    let name = desktop.name(id).or_else(|| desktop.name(&program));
    Key {
        id: format!("app:{program}/{uid}"),
        name: name.unwrap_or_else(|| if reversed { program } else { id.to_owned() }),
        kind: GroupKind::Application,
    }
}

/// The application that a unit of a desktop session is for, as systemd's rules for desktop environments name it:
/// `app[-LAUNCHER]-ID-RANDOM.scope` or `app[-LAUNCHER]-ID[@RANDOM].service`.
fn application_of_unit(unit: &str) -> Option<String> {
    if let Some(rest) = unit.strip_prefix("snap.") {
        return rest.split('.').next().map(str::to_owned);
    }
    if unit.starts_with("vte-spawn-") {
        return Some("vte-spawn".to_owned());
    }
    let (stem, scope) = match unit.strip_suffix(".scope") {
        Some(stem) => (stem, true),
        None => (unit.strip_suffix(".service")?, false),
    };
    let rest = stem.strip_prefix("app-")?;
    let rest = rest.split('@').next().unwrap_or(rest);
    let mut parts: Vec<_> = rest.split('-').collect();
    if scope && parts.len() > 1 {
        parts.pop();
    }
    // A launcher is one word; what is left behind it is the id.
    let id = parts.pop()?;
    let id = unescape(id);
    (!id.is_empty()).then_some(id)
}

/// `\xNN` as systemd writes what may not be in the name of a unit.
fn unescape(name: &str) -> String {
    let mut out = vec![];
    let mut rest = name;
    while let Some(place) = rest.find("\\x") {
        let (before, tail) = rest.split_at(place);
        out.extend_from_slice(before.as_bytes());
        let digits = tail.get(2..4);
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(4..).unwrap_or_default();
            }
            None => {
                out.extend_from_slice(b"\\x");
                rest = tail.get(2..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    text::decode(&out)
}

/// The container or virtual machine that a process is in.
fn contained(process: &Process, names: &HashMap<String, String>) -> Option<Key> {
    for part in process.cgroup.split('/') {
        let stem = part.strip_suffix(".scope").unwrap_or(part);
        let id = ["docker-", "libpod-", "cri-containerd-", "crio-"]
            .iter()
            .find_map(|prefix| stem.strip_prefix(prefix))
            .unwrap_or(stem);
        if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let short = id.get(..12).unwrap_or(id);
            let name = names.get(id).map_or(short, String::as_str);
            return Some(Key {
                id: format!("container:{id}"),
                name: name.to_owned(),
                kind: GroupKind::Container,
            });
        }
        if let Some(name) = part.strip_prefix("lxc.payload.") {
            return Some(Key::new("container", name, GroupKind::Container));
        }
        if let Some(name) = stem.strip_prefix("machine-qemu\\x2d") {
            let name = unescape(name);
            let name = name.split_once('-').map_or(name.as_str(), |(_, name)| name);
            return Some(Key::new("vm", name, GroupKind::VirtualMachine));
        }
        let nspawn = part
            .strip_prefix("systemd-nspawn@")
            .and_then(|rest| rest.strip_suffix(".service"));
        if let Some(name) = stem.strip_prefix("machine-").or(nspawn) {
            return Some(Key::new("container", unescape(name), GroupKind::Container));
        }
    }
    if process.name.starts_with("qemu-system") {
        let mut words = process.command.split(' ');
        words.find(|word| *word == "-name")?;
        let name = words.next()?;
        let name = name.split(',').next()?.trim_start_matches("guest=");
        return Some(Key::new("vm", name, GroupKind::VirtualMachine));
    }
    None
}

/// The names of containers by their ids, where whoever runs them has written them down.
fn containers(processes: &[Process]) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for process in processes.iter().filter(|process| process.name == "conmon") {
        let words: Vec<_> = process.command.split(' ').collect();
        let after = |option: &str| {
            let place = words.iter().position(|word| *word == option)?;
            words.get(place + 1).map(|word| (*word).to_owned())
        };
        if let (Some(id), Some(name)) = (after("-c"), after("-n")) {
            found.insert(id, name);
        }
    }
    for id in names("/var/lib/docker/containers").into_iter().take(1000) {
        let config = bytes(format!("/var/lib/docker/containers/{id}/config.v2.json"));
        let config = config
            .ok()
            .and_then(|c| serde_json::from_slice::<serde_json::Value>(&c).ok());
        if let Some(name) = config.as_ref().and_then(|c| c.get("Name")?.as_str()) {
            found.insert(id, text::decode(name.trim_start_matches('/').as_bytes()));
        }
    }
    found
}

/// What applications are called, by the ids of their desktop files and by their programs.
#[derive(Debug, Default)]
struct Desktop {
    names: HashMap<String, String>,
}

impl Desktop {
    fn read() -> Self {
        let mut desktop = Self::default();
        for dir in [
            "/usr/share/applications",
            "/var/lib/flatpak/exports/share/applications",
        ] {
            for file in names(dir).into_iter().take(2000) {
                let Some(id) = file.strip_suffix(".desktop") else {
                    continue;
                };
                let text = whole(Path::new(dir).join(&file)).unwrap_or_default();
                desktop.add(id, &text);
            }
        }
        desktop
    }

    fn add(&mut self, id: &str, text: &str) {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let hidden = field("NoDisplay=") == Some("true") || field("Terminal=") == Some("true");
        let Some(name) = field("Name=").filter(|_| !hidden) else {
            return;
        };
        let name = text::decode(name.trim().as_bytes());
        let program = field("Exec=").and_then(|exec| exec.split(' ').next()?.rsplit('/').next());
        // Launchers are the program of many.
        let program = program.filter(|program| !["env", "sh", "flatpak", "snap"].contains(program));
        for key in [Some(id), program].into_iter().flatten() {
            self.names
                .entry(key.to_lowercase())
                .or_insert_with(|| name.clone());
        }
    }

    fn name(&self, id: &str) -> Option<String> {
        self.names.get(&id.to_lowercase()).cloned()
    }
}

/// Periods and those of them in which a control group was held back, and events of its memory.
pub(super) type Throttled = HashMap<String, (u64, u64, u64)>;

/// The same of all control groups.
pub(super) fn throttled() -> Throttled {
    let mut out = HashMap::new();
    for path in paths() {
        let dir = format!("{ROOT}{path}");
        let stat = whole(format!("{dir}/cpu.stat")).unwrap_or_default();
        let events = whole(format!("{dir}/memory.events")).unwrap_or_default();
        let events = value(&events, "max").saturating_add(value(&events, "high"));
        out.insert(
            path,
            (
                value(&stat, "nr_periods"),
                value(&stat, "nr_throttled"),
                events,
            ),
        );
    }
    out
}

const ROOT: &str = "/sys/fs/cgroup";

/// The paths of control groups: at most so many, and so deep, as a machine has that does its work.
fn paths() -> Vec<String> {
    if !Path::new(ROOT).join("cgroup.controllers").exists() {
        return vec![];
    }
    let mut paths = vec![];
    let mut left = vec![(String::new(), 0)];
    while let Some((path, depth)) = left.pop() {
        if paths.len() >= 2000 {
            break;
        }
        if depth < 10 {
            let entries = std::fs::read_dir(format!("{ROOT}{path}"))
                .into_iter()
                .flatten()
                .flatten();
            let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            let names = dirs.filter_map(|entry| entry.file_name().into_string().ok());
            left.extend(names.map(|name| (format!("{path}/{name}"), depth + 1)));
        }
        if !path.is_empty() {
            paths.push(path);
        }
    }
    paths
}

/// The value of a line such as "name 12".
fn value(text: &str, name: &str) -> u64 {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    rest.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
}

/// Control groups that have a limit, or met one.
pub(super) fn cgroups(
    before: &Throttled,
    processes: &[Process],
    missing: &mut Vec<Missing>,
) -> Vec<Cgroup> {
    if !Path::new(ROOT).join("cgroup.controllers").exists() {
        lacks(
            missing,
            "limits of control groups",
            "there is no version 2 in /sys/fs/cgroup",
        );
    }
    let mut out = vec![];
    for (path, (periods, held, events)) in throttled() {
        let dir = format!("{ROOT}{path}");
        let most = |file: &str| number::<u64>(format!("{dir}/{file}"));
        let memory_events = whole(format!("{dir}/memory.events")).unwrap_or_default();
        let pressure = whole(format!("{dir}/memory.pressure")).unwrap_or_default();
        let pressure = pressure.lines().next().and_then(|some| {
            let word = some
                .split(' ')
                .find_map(|word| word.strip_prefix("avg10="))?;
            word.parse().ok()
        });
        let (first_periods, first_held, first_events) = before
            .get(&path)
            .copied()
            .unwrap_or((periods, held, events));
        // CAST: periods of a sample are few.
        let share = |part: u64, all: u64| percent(part as f64, all as f64);
        let members: Vec<_> = processes
            .iter()
            .filter(|process| is_below(&process.cgroup, &path))
            .collect();
        let mut groups: Vec<_> = members.iter().map(|process| &process.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let cgroup = Cgroup {
            group: match groups.as_slice() {
                [only] => Some((*only).clone()),
                _ => None,
            },
            memory: most("memory.current").unwrap_or(0),
            memory_max: most("memory.max"),
            memory_high: most("memory.high"),
            max_events: value(&memory_events, "max"),
            high_events: value(&memory_events, "high"),
            events_in_sample: events.saturating_sub(first_events),
            oom_kills: value(&memory_events, "oom_kill"),
            memory_pressure: pressure,
            cpu_max: line(format!("{dir}/cpu.max")).and_then(|text| {
                let (quota, period) = text.split_once(' ')?;
                Some(percent(quota.parse().ok()?, period.parse().ok()?))
            }),
            cpu_throttled: share(
                held.saturating_sub(first_held),
                periods.saturating_sub(first_periods),
            ),
            // Where nobody counts, there are at least its processes.
            pids: most("pids.current").unwrap_or(members.len() as u64),
            pids_max: most("pids.max"),
            frozen: number::<u8>(format!("{dir}/cgroup.freeze")) == Some(1),
            path,
        };
        let limited = cgroup.memory_max.is_some()
            || cgroup.memory_high.is_some()
            || cgroup.cpu_max.is_some()
            || cgroup.frozen
            || cgroup.oom_kills > 0
            || cgroup.max_events > 0
            || cgroup
                .pids_max
                .is_some_and(|most| cgroup.pids.saturating_mul(10) >= most.saturating_mul(8));
        if limited {
            out.push(cgroup);
        }
    }
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn process(pid: i32, parent: i32, executable: &str, command: &str, cgroup: &str) -> Process {
        let (unit, user_unit) = unit(cgroup);
        let base = executable.rsplit('/').next().unwrap();
        Process {
            pid,
            parent,
            uid: 1000,
            user: "ann".into(),
            name: base.chars().take(15).collect(),
            executable: Some(executable.into()),
            command: command.into(),
            cgroup: cgroup.into(),
            unit,
            user_unit,
            rss: 100,
            ..Process::default()
        }
    }

    #[test]
    fn processes_have_the_names_that_a_person_would_use() {
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice";
        let terminal = format!("{user}/app-org.gnome.Terminal.slice/vte-spawn-1-2.scope");
        let mut desktop = Desktop::default();
        desktop.add(
            "firefox",
            "[Desktop Entry]\nName=Firefox\nExec=/usr/lib/firefox/firefox %u\n",
        );
        let mut containers = HashMap::new();
        containers.insert(ID.to_owned(), "web-1".to_owned());
        let table = [
            (
                process(
                    1,
                    0,
                    "/usr/lib/systemd/systemd",
                    "/sbin/init",
                    "/init.scope",
                ),
                "systemd",
            ),
            (
                process(
                    2,
                    1,
                    "/usr/bin/postgres",
                    "postgres: writer",
                    "/system.slice/postgresql@15-main.service",
                ),
                "postgresql@15-main",
            ),
            (
                process(
                    3,
                    9,
                    "/usr/lib/firefox/firefox",
                    "firefox",
                    &format!("{user}/app-gnome-firefox-4242.scope"),
                ),
                "Firefox",
            ),
            (
                process(
                    4,
                    3,
                    "/usr/lib/firefox/firefox",
                    "firefox -contentproc",
                    &format!("{user}/app-gnome-firefox-4242.scope"),
                ),
                "Firefox",
            ),
            (
                process(
                    5,
                    1,
                    "/app/x",
                    "x",
                    &format!("{user}/app-flatpak-org.gimp.GIMP-77.scope"),
                ),
                "gimp",
            ),
            (process(6, 1, "/usr/bin/bash", "-bash", &terminal), "bash"),
            (
                process(7, 6, "/usr/bin/cargo", "cargo build", &terminal),
                "cargo",
            ),
            (
                process(8, 7, "/usr/bin/rustc", "rustc x", &terminal),
                "cargo",
            ),
            (
                process(
                    9,
                    6,
                    "/usr/bin/python3.11",
                    "python3 -u ./train.py --x",
                    &terminal,
                ),
                "train.py",
            ),
            (
                process(
                    10,
                    6,
                    "/usr/bin/python3.11",
                    "python3 -m http.server",
                    &terminal,
                ),
                "http.server",
            ),
            (
                process(11, 6, "/usr/bin/bash", "bash ./build.sh", &terminal),
                "build.sh",
            ),
            (
                process(
                    12,
                    1,
                    "/usr/bin/nginx",
                    "nginx",
                    &format!("/system.slice/docker-{ID}.scope"),
                ),
                "web-1",
            ),
            (
                process(
                    13,
                    1,
                    "/usr/bin/pipewire",
                    "pipewire",
                    "/user.slice/user-1000.slice/user@1000.service/session.slice/pipewire.service",
                ),
                "pipewire",
            ),
            (
                process(
                    14,
                    6,
                    "/usr/bin/java",
                    "java -Xmx2g -jar /opt/app.jar",
                    &terminal,
                ),
                "app.jar",
            ),
            (
                process(
                    15,
                    1,
                    "/usr/bin/qemu-system-x86_64",
                    "qemu-system-x86_64 -name guest=win,debug=1",
                    "/x",
                ),
                "win",
            ),
        ];
        let mut processes: Vec<_> = table.iter().map(|(process, _)| process.clone()).collect();
        let groups = grouped(&mut processes, &desktop, &containers);
        for (process, (_, name)) in processes.iter().zip(&table) {
            let group = groups
                .iter()
                .find(|group| group.id == process.group)
                .unwrap();
            assert_eq!(group.name, *name, "{}", process.command);
        }
        let firefox = groups.iter().find(|group| group.name == "Firefox").unwrap();
        assert_eq!(
            (firefox.pids.as_slice(), firefox.memory),
            (&[3, 4][..], 200)
        );
        assert_eq!(
            firefox.unit.as_deref(),
            Some("app-gnome-firefox-4242.scope")
        );
        assert!(firefox.user_unit && firefox.cgroup.is_some() && !firefox.memory_exact);
        // The terminal's scope has others in it, too: it is not cargo.
        let cargo = groups.iter().find(|group| group.name == "cargo").unwrap();
        assert_eq!((&cargo.unit, &cargo.cgroup), (&None, &None));
    }

    #[test]
    fn units_are_found_in_control_groups() {
        for (cgroup, name, user) in [
            ("/system.slice/sshd.service", Some("sshd.service"), false),
            (
                "/system.slice/x.service/inner/deep",
                Some("x.service"),
                false,
            ),
            (
                "/user.slice/user-1.slice/user@1.service/app.slice/a.service",
                Some("a.service"),
                true,
            ),
            (
                "/user.slice/user-1.slice/session-3.scope",
                Some("session-3.scope"),
                false,
            ),
            (
                "/user.slice/user-1.slice/user@1.service/init.scope",
                Some("init.scope"),
                true,
            ),
            ("/", None, false),
            ("", None, false),
        ] {
            assert_eq!(unit(cgroup), (name.map(str::to_owned), user), "{cgroup}");
        }
    }

    #[test]
    fn parents_in_a_ring_end() {
        let mut ring = [
            process(2, 3, "/a", "a", ""),
            process(3, 2, "/b", "b", ""),
            process(4, 4, "/c", "c", ""),
        ];
        assert_eq!(
            grouped(&mut ring, &Desktop::default(), &HashMap::new()).len(),
            3
        );
    }
}
