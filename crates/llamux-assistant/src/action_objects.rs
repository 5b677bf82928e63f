// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Whom or what a request is about: processes and units of the facts that its words name.
//!
//! Code alone says which ones these are. Names are compared word by word and whole; what is only similar, or named by
//! its kind, is asked about.

use std::collections::BTreeSet;

use llamux_actions::alike;
use llamux_facts::facts::{Group, GroupKind, Process, Unit};
use llamux_facts::Facts;

use crate::action_words::{Amount, Resource, Said};

/// What a request may be about.
#[derive(Clone, Debug)]
pub(crate) enum Object<'f> {
    /// Processes, and the group that they are all of.
    Processes {
        label: String,
        list: Vec<&'f Process>,
        group: Option<&'f Group>,
    },
    /// A unit.
    Unit { name: String, user: bool },
}

impl Object<'_> {
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Processes { label, .. } => label,
            Self::Unit { name, .. } => name,
        }
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found<'f> {
    /// This one: it is named.
    One(Object<'f>),
    /// One of these, perhaps.
    Some(Vec<Object<'f>>),
    /// Nothing, and why.
    Nothing(String),
}

/// Most objects that are asked about.
const ASKED: usize = 4;

/// Names that people have for one another's programs.
const ALIASES: &[(&str, &str)] = &[
    ("chrome", "chromium google-chrome chrome"),
    ("vscode", "code visual-studio-code"),
    ("vs", "code visual-studio-code"),
    ("postgres", "postgresql postgres"),
    ("postgresql", "postgres"),
    ("mysql", "mysqld mariadb mariadbd"),
    ("mongo", "mongod mongodb"),
    ("redis", "redis-server"),
    ("nvim", "neovim"),
    ("neovim", "nvim"),
    ("libreoffice", "soffice soffice.bin"),
    ("ssh", "sshd"),
    ("apache", "apache2 httpd"),
    ("docker", "dockerd"),
    ("elasticsearch", "elastic"),
    ("printing", "cups"),
    ("printer", "cups"),
    ("wifi", "iwd wpa_supplicant"),
    ("cron", "crond cronie"),
    ("sound", "pipewire pulseaudio"),
    ("audio", "pipewire pulseaudio"),
    ("samba", "smbd smb"),
    ("firewall", "firewalld ufw nftables"),
];

/// Kinds of programs, and those that are of them.
const CATEGORIES: &[(&str, &str)] = &[
    ("browser", "firefox chromium chrome google-chrome brave vivaldi opera epiphany falkon librewolf edge msedge"),
    ("editor", "code vim nvim emacs gedit kate sublime_text gnome-text-editor helix hx zed nano"),
    ("ide", "code idea clion pycharm eclipse android-studio qtcreator kdevelop rustrover zed"),
    ("mail", "thunderbird evolution geary kmail mutt"),
    ("music", "spotify rhythmbox clementine strawberry mpd audacious amarok elisa lollypop"),
    ("player", "vlc mpv totem celluloid smplayer spotify rhythmbox clementine strawberry mpd audacious amarok elisa"),
    ("chat", "slack discord telegram telegram-desktop signal signal-desktop element element-desktop teams"),
    ("backup", "restic borg rsync duplicity borgmatic timeshift"),
    ("compiler", "rustc cc1 cc1plus gcc g++ clang"),
    ("build", "cargo make ninja rustc cc1plus bazel gradle"),
    ("database", "postgres postgresql mysqld mariadbd mariadb mongod redis-server"),
    ("web", "nginx apache2 httpd caddy lighttpd"),
    ("webserver", "nginx apache2 httpd caddy lighttpd"),
    ("torrent", "transmission transmission-gtk transmission-da qbittorrent deluge"),
];

/// The words of a name.
fn tokens(name: &str) -> BTreeSet<String> {
    let lower = name.to_lowercase();
    let parts = lower.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '+' || c == '_'));
    let mut out: BTreeSet<String> = parts
        .map(|part| part.trim_matches('.').to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    out.insert(lower.trim().to_owned());
    // Without the numbers of versions: "php8.2-fpm" is php-fpm, "gimp-2.10" is gimp.
    let bare: String = lower
        .chars()
        .filter(|c| !c.is_ascii_digit() && *c != '.')
        .collect();
    let bare = bare.trim_matches(|c: char| !c.is_alphanumeric());
    if bare.len() > 1 {
        out.insert(bare.to_owned());
    }
    out
}

/// A word of a request, and what else it can be called.
fn spellings(word: &str) -> Vec<String> {
    let mut all = vec![word.to_owned()];
    // "tabs" and the like; "chromes" is not said, so that little is lost if a name ends so.
    if let Some(one) = word.strip_suffix('s').filter(|one| one.len() > 3) {
        all.push(one.to_owned());
    }
    // A program's daemon: tailscaled.
    if word.len() > 3 {
        all.push(format!("{word}d"));
    }
    for (name, others) in ALIASES {
        if *name == word {
            all.extend(others.split_whitespace().map(str::to_owned));
        }
    }
    all
}

fn category(word: &str) -> Option<&'static str> {
    let one = word.strip_suffix('s').unwrap_or(word);
    let found = CATEGORIES
        .iter()
        .find(|(name, _)| *name == word || *name == one);
    found.map(|(_, members)| *members)
}

/// How a word fits to the words of a name: by itself, by another name for it, by its kind. A name that only says of
/// itself that it is of a kind ("music player") fits least, and is asked about: anybody can call himself so.
fn fits(word: &str, names: &BTreeSet<String>) -> Option<u8> {
    if let Some(members) = category(word) {
        let mut members = members.split_whitespace();
        let is_one = members.any(|member| names.contains(member));
        let says_so = || spellings(word).iter().any(|other| names.contains(other));
        return if is_one {
            Some(1)
        } else {
            says_so().then_some(0)
        };
    }
    if names.contains(word) {
        return Some(3);
    }
    spellings(word)
        .iter()
        .any(|other| names.contains(other))
        .then_some(2)
}

/// How all words fit to a name: the least of all; `None` if one does not fit.
fn all_fit(words: &[&str], names: &BTreeSet<String>) -> Option<u8> {
    words.iter().map(|word| fits(word, names)).min()?
}

fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The words of a process: its name, its program, and the names in its command line.
fn process_names(process: &Process) -> BTreeSet<String> {
    let mut names = tokens(&process.name);
    for argument in process.command.split_whitespace().take(12) {
        let base = basename(argument);
        names.extend(tokens(base));
        if let Some((stem, _)) = base.rsplit_once('.') {
            names.insert(stem.to_lowercase());
        }
    }
    names
}

/// The words of a group: its own name, and the names of its programs.
fn group_names(facts: &Facts, group: &Group) -> BTreeSet<String> {
    let mut names = tokens(&group.name);
    if let Some((_, name)) = group.id.split_once(':') {
        names.extend(tokens(name));
    }
    if let Some(unit) = &group.unit {
        if group.kind == GroupKind::Service {
            names.extend(tokens(stem(unit)));
        }
    }
    for process in group.pids.iter().filter_map(|&pid| facts.process(pid)) {
        if !process.kernel_thread {
            names.insert(process.name.to_lowercase());
            if let Some(program) = &process.executable {
                names.insert(basename(program).to_lowercase());
            }
        }
    }
    names
}

fn stem(unit: &str) -> &str {
    unit.rsplit_once('.').map_or(unit, |(stem, _)| stem)
}

fn members<'f>(facts: &'f Facts, group: &Group) -> Vec<&'f Process> {
    let found = group.pids.iter().filter_map(|&pid| facts.process(pid));
    found.filter(|process| !process.kernel_thread).collect()
}

fn of_group<'f>(facts: &'f Facts, group: &'f Group) -> Object<'f> {
    Object::Processes {
        label: group.name.clone(),
        list: members(facts, group),
        group: Some(group),
    }
}

/// Whether a process shows a page of a browser.
fn is_tab(process: &Process) -> bool {
    let command = &process.command;
    command.contains("--type=renderer") && !command.contains("--extension-process")
        || command.contains("-contentproc") && command.trim_end().ends_with(" tab")
}

fn memory(process: &Process) -> u64 {
    process.pss.unwrap_or(process.rss)
}

/// Whose processes may be meant: not those of the kernel.
fn groups(facts: &Facts) -> impl Iterator<Item = &Group> {
    let own = |group: &&Group| group.kind != GroupKind::Kernel && !group.pids.is_empty();
    facts.groups.iter().filter(own)
}

/// The processes that a request is about.
pub(crate) fn processes<'f>(said: &Said, facts: &'f Facts) -> Found<'f> {
    let words = said.names();
    let tabs = said.has("tab, tabs, renderer, renderers, page, pages");
    let words: Vec<&str> = words
        .into_iter()
        .filter(|w| !matches!(*w, "page" | "pages" | "list"))
        .collect();
    if let Some(found) = by_number(said, facts, &words) {
        return found;
    }
    if words.is_empty() {
        if tabs {
            return tabs_of(said, facts, groups(facts).collect());
        }
        return match said.evidence() {
            Some(resource) => by_use(facts, resource),
            None => Found::Nothing("it does not say which program or process".to_owned()),
        };
    }
    let mut fitting: Vec<(u8, &Group)> = groups(facts)
        .filter_map(|group| Some((all_fit(&words, &group_names(facts, group))?, group)))
        .collect();
    fitting.sort_by_key(|(fit, _)| std::cmp::Reverse(*fit));
    // One that is called exactly so before those that have the word among others. Between one that is named and one
    // that is of the kind that is named, nothing decides: whoever gives names could decide it for the user.
    if fitting.len() > 1 && fitting.iter().all(|(fit, _)| *fit == 3) {
        let whole = words.join(" ");
        let exact = |group: &Group| group.name.to_lowercase() == whole;
        let mut exactly = fitting.iter().copied().filter(|(_, group)| exact(group));
        if let (Some(one), None) = (exactly.next(), exactly.next()) {
            fitting = vec![one];
        }
    }
    if tabs && !fitting.is_empty() {
        return tabs_of(
            said,
            facts,
            fitting.into_iter().map(|(_, group)| group).collect(),
        );
    }
    match fitting.as_slice() {
        [(1.., group)] => {
            let others = outsiders(facts, group, &words);
            if others.is_empty() {
                return over(said, facts, of_group(facts, group));
            }
            let mut all = vec![of_group(facts, group)];
            all.extend(others);
            return Found::Some(all);
        }
        [] => (),
        several => {
            let all = several
                .iter()
                .take(ASKED)
                .map(|(_, group)| of_group(facts, group));
            return Found::Some(all.collect());
        }
    }
    by_command(said, facts, &words)
}

/// Processes outside of a group whose command lines fit as well, if the group is not called exactly so.
fn outsiders<'f>(facts: &'f Facts, group: &Group, words: &[&str]) -> Vec<Object<'f>> {
    if group.name.to_lowercase() == words.join(" ") {
        return vec![];
    }
    let outside = |process: &&Process| {
        !process.kernel_thread && process.pid > 2 && !group.pids.contains(&process.pid)
    };
    let fit = |process: &&Process| all_fit(words, &process_names(process)).is_some();
    let found = facts.processes.iter().filter(outside).filter(fit);
    found
        .take(ASKED - 1)
        .map(|process| Object::Processes {
            label: process.name.clone(),
            list: vec![process],
            group: None,
        })
        .collect()
}

/// Processes by their numbers.
fn by_number<'f>(said: &Said, facts: &'f Facts, words: &[&str]) -> Option<Found<'f>> {
    let numbers: Vec<i64> = said
        .amounts()
        .into_iter()
        .filter_map(|(amount, range)| {
            let before = range.start.checked_sub(1).and_then(|at| said.words.get(at));
            let of_level = before.is_some_and(|word| {
                matches!(
                    word.as_str(),
                    "to" | "nice" | "than" | "level" | "-n" | "priority" | "by"
                )
            });
            match amount {
                Amount::Plain(number) if !of_level && number > 0 => Some(number),
                _ => None,
            }
        })
        .collect();
    if numbers.is_empty() {
        return None;
    }
    let mut list = vec![];
    for number in numbers {
        let pid = i32::try_from(number).unwrap_or(0);
        let Some(process) = facts.process(pid) else {
            return Some(Found::Nothing(format!("there is no process {number}")));
        };
        if pid <= 2 || process.kernel_thread {
            let what = format!("process {number} is the system itself, and is left alone");
            return Some(Found::Nothing(what));
        }
        list.push(process);
    }
    // "kill firefox 1234": the number must be one of Firefox's.
    let named = |process: &&Process| {
        let mut names = process_names(process);
        if let Some(group) = facts.group(&process.group) {
            names.extend(group_names(facts, group));
        }
        words.is_empty() || all_fit(words, &names).is_some()
    };
    if !list.iter().all(named) {
        let what = "the number and the name in it do not belong together";
        return Some(Found::Nothing(what.to_owned()));
    }
    let label = match list.as_slice() {
        [one] => one.name.clone(),
        _ => "these".to_owned(),
    };
    Some(Found::One(Object::Processes {
        label,
        list,
        group: None,
    }))
}

/// The pages of browsers; those that use much if it says so.
fn tabs_of<'f>(said: &Said, facts: &'f Facts, groups: Vec<&'f Group>) -> Found<'f> {
    let mut objects: Vec<Object<'f>> = groups
        .into_iter()
        .filter_map(|group| {
            let list: Vec<_> = members(facts, group)
                .into_iter()
                .filter(|p| is_tab(p))
                .collect();
            (!list.is_empty()).then(|| Object::Processes {
                label: format!("tabs of {}", group.name),
                list,
                group: None,
            })
        })
        .collect();
    match objects.len() {
        0 => Found::Nothing("no tab of it is open".to_owned()),
        1 => over(said, facts, objects.remove(0)),
        _ => {
            objects.truncate(ASKED);
            Found::Some(objects)
        }
    }
}

/// Whether a process is meant.
type Test = Box<dyn Fn(&Process) -> bool>;

/// Of many processes, those that use much, where it says so.
fn over<'f>(said: &Said, facts: &'f Facts, object: Object<'f>) -> Found<'f> {
    let Object::Processes { label, list, group } = object else {
        return Found::One(object);
    };
    if list.len() > 1 && (of_some(said) || of_parts(said) && of_which(said)) {
        return which(said, label, list, group);
    }
    let tabs = group.is_none();
    let much: Option<(String, Test)> = match said.threshold() {
        Some(Amount::Bytes(least)) => Some((
            llamux_facts::Quantity::Bytes(least).to_string(),
            Box::new(move |process| memory(process) >= least),
        )),
        Some(Amount::Percent(least)) => Some((
            llamux_facts::Quantity::Percent(least).to_string(),
            Box::new(move |process| process.cpu >= least),
        )),
        Some(_) => return Found::Nothing("it is not clear what is counted".to_owned()),
        // Of a program as a whole it is the reason, of its parts it says which ones.
        None if !tabs => None,
        None => match said.evidence() {
            Some(Resource::Memory) => {
                let least = (facts.memory.total / 100).max(64 << 20);
                Some((
                    llamux_facts::Quantity::Bytes(least).to_string(),
                    Box::new(move |process| memory(process) >= least),
                ))
            }
            Some(Resource::Cpu) => Some((
                "5 % of a processor".to_owned(),
                Box::new(|process| process.cpu >= 5.0),
            )),
            _ => None,
        },
    };
    let Some((least, much)) = much else {
        return Found::One(Object::Processes { label, list, group });
    };
    let chosen: Vec<_> = list
        .iter()
        .copied()
        .filter(|process| much(process))
        .collect();
    if chosen.is_empty() {
        return Found::Nothing(format!("none of {label} uses {least} or more"));
    }
    let all = chosen.len() == list.len();
    Found::One(Object::Processes {
        label: format!("{label} with {least} or more"),
        list: chosen,
        group: group.filter(|_| all),
    })
}

/// Whether it is about parts of a program.
fn of_parts(said: &Said) -> bool {
    said.has("tab, tabs, process, processes, renderer, renderers, worker, workers, instance, instances, thread, threads, job, jobs, page, pages")
}

/// Whether it is about some of them and does not say which, or about a window, which is no process.
fn of_some(said: &Said) -> bool {
    said.has("half, some, few, one of, any one, a couple, couple, several, part of, parts of, most of, window, windows, two, three")
}

/// Whether it is about those of some property.
fn of_which(said: &Said) -> bool {
    said.has(
        "heaviest, biggest, largest, hungriest, worst, fattest, greediest, smallest, first, last, second, third, other, others, \
         oldest, newest, latest, youngest, hung, stuck, frozen, unresponsive, crashed, background, idle, only, old, new, \
         current, active, inactive, sleeping, running, spinning, runaway, rogue, misbehaving, hanging, top, slowest, slow",
    )
}

/// The largest of many, if that is what is said and clear; else it is asked about.
fn which<'f>(
    said: &Said,
    label: String,
    mut list: Vec<&'f Process>,
    group: Option<&'f Group>,
) -> Found<'f> {
    let largest = said.has("heaviest, biggest, largest, hungriest, fattest, greediest")
        && said.has("tab, process, renderer, worker, instance, page");
    let by_cpu = matches!(said.evidence(), Some(Resource::Cpu));
    if !largest || of_some(said) {
        return Found::Some(vec![Object::Processes { label, list, group }]);
    }
    // CAST: A size loses digits that do not matter here.
    let amount = |process: &Process| {
        if by_cpu {
            process.cpu
        } else {
            memory(process) as f64
        }
    };
    list.sort_by(|a, b| amount(b).total_cmp(&amount(a)));
    let first = list.first().map_or(0.0, |process| amount(process));
    let near = list.iter().filter(|process| amount(process) >= first / 1.2);
    let mut near: Vec<_> = near
        .take(ASKED)
        .map(|process| Object::Processes {
            label: format!("the largest of {label}"),
            list: vec![*process],
            group: None,
        })
        .collect();
    if near.len() == 1 {
        Found::One(near.remove(0))
    } else {
        Found::Some(near)
    }
}

/// Who uses most of something, if that is clear.
fn by_use(facts: &Facts, resource: Resource) -> Found<'_> {
    // CAST: A size loses digits that do not matter here.
    let total = facts.memory.total as f64;
    let (amount, least): (fn(&Group) -> f64, f64) = match resource {
        Resource::Memory => (|group| group.memory as f64, total / 10.0),
        Resource::Cpu => (|group| group.cpu, 25.0),
        Resource::Disk => (|group| group.read_rate + group.write_rate, 1e6),
    };
    let mut all: Vec<(f64, &Group)> = groups(facts).map(|group| (amount(group), group)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let first = all.first().map_or(0.0, |(amount, _)| *amount);
    if first < least {
        return Found::Nothing("nobody uses so much of it that this would help".to_owned());
    }
    let near = all.iter().filter(|(amount, _)| *amount >= first / 1.5);
    let mut near: Vec<_> = near
        .take(ASKED)
        .map(|(_, group)| of_group(facts, group))
        .collect();
    if near.len() == 1 {
        Found::One(near.remove(0))
    } else {
        Found::Some(near)
    }
}

/// Processes by what is in their command lines.
fn by_command<'f>(said: &Said, facts: &'f Facts, words: &[&str]) -> Found<'f> {
    let mut fitting: Vec<(u8, &Process)> = facts
        .processes
        .iter()
        .filter(|process| !process.kernel_thread && process.pid > 2)
        .filter_map(|process| {
            let mut names = process_names(process);
            names.extend(
                facts
                    .group(&process.group)
                    .map(|group| tokens(&group.name))
                    .unwrap_or_default(),
            );
            Some((all_fit(words, &names)?, process))
        })
        .collect();
    // A process that only started the one that is meant, such as a shell with its name, has the name, too.
    let parents: BTreeSet<i32> = fitting.iter().map(|(_, process)| process.parent).collect();
    let is_shell = |process: &Process| {
        [
            "sh", "bash", "zsh", "fish", "sudo", "dash", "su", "env", "time", "nohup",
        ]
        .contains(&process.name.as_str())
    };
    fitting.retain(|(_, process)| !(is_shell(process) && parents.contains(&process.pid)));
    let object = |list: Vec<&'f Process>| Object::Processes {
        label: list.first().map_or_else(String::new, |p| p.name.clone()),
        list,
        group: None,
    };
    let all = said.has("all, every, each, scripts, processes, jobs, instances, any");
    match fitting.as_slice() {
        [] => similar(facts, words),
        [(1.., process)] => Found::One(object(vec![*process])),
        several if all && several.iter().all(|(fit, _)| *fit > 0) => {
            let first = &several[0].1.group;
            let list: Vec<_> = several.iter().map(|(_, process)| *process).collect();
            if list.iter().all(|process| process.group == *first) {
                over(said, facts, object(list))
            } else {
                Found::Some(vec![object(list)])
            }
        }
        several => {
            let some = several.iter().take(ASKED);
            Found::Some(some.map(|(_, process)| object(vec![*process])).collect())
        }
    }
}

/// What is called nearly so, or has one of the words.
fn similar<'f>(facts: &'f Facts, words: &[&str]) -> Found<'f> {
    let near = |group: &Group| {
        let names = group_names(facts, group);
        words.iter().any(|word| {
            fits(word, &names).is_some()
                || names.iter().any(|name| word.len() > 3 && close(word, name))
        })
    };
    let some: Vec<_> = groups(facts)
        .filter(|group| near(group))
        .take(ASKED)
        .map(|group| of_group(facts, group))
        .collect();
    if some.is_empty() {
        let words = llamux_actions::printable(&words.join(" "), 60);
        Found::Nothing(format!("nothing that runs is called \"{words}\""))
    } else {
        Found::Some(some)
    }
}

/// Whether two words differ by a slip of a finger, or one is the beginning of the other.
fn close(a: &str, b: &str) -> bool {
    if b.len() > 3 && (a.starts_with(b) || b.starts_with(a)) {
        return true;
    }
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(40).collect(), b.chars().take(40).collect());
    if a.len().abs_diff(b.len()) > 2 || b.len() < 4 {
        return false;
    }
    // The distance of Damerau and Levenshtein, where two letters that changed places are one slip.
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let change = rows[i][j] + usize::from(x != y);
            let mut least = change.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    let distance = rows.last().and_then(|row| row.last()).copied().unwrap_or(9);
    distance <= if a.len() > 5 { 2 } else { 1 }
}

/// The units that a request is about. `files` has the names of units that are installed, loaded or not.
pub(crate) fn units<'f>(said: &Said, facts: &'f Facts, files: &[String]) -> Found<'f> {
    let words: Vec<String> = said
        .names()
        .into_iter()
        .filter(|word| !matches!(*word, "logging" | "daemon"))
        .map(str::to_owned)
        .collect();
    if words.is_empty() {
        return Found::Nothing("it does not say which service".to_owned());
    }
    let all = facts.units.iter().flat_map(|units| &units.all);
    let mut known: Vec<(String, bool, String)> = all
        .filter(|unit: &&Unit| unit.load == "loaded" || unit.load.is_empty())
        .map(|unit| (unit.name.clone(), unit.user, unit.description.clone()))
        .collect();
    for file in files {
        if !known.iter().any(|(name, user, _)| name == file && !user) {
            known.push((file.clone(), false, String::new()));
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let whole = words.join("-");
    let spoken = words.join(" ");
    let mut fitting: Vec<(u8, &(String, bool, String))> = known
        .iter()
        .filter_map(|unit| {
            let name = unit.0.to_lowercase();
            let stem = stem(&name);
            // As it is called, with or without its suffix.
            let fit = if name == whole || stem == whole && name.ends_with(".service") {
                9
            } else if spellings(&whole).iter().any(|s| s == stem) && name.ends_with(".service") {
                8
            } else if whole.contains('.') || !name.ends_with(".service") {
                // Timers, sockets and the like are named with their suffix.
                0
            } else {
                let mut names = tokens(stem);
                match all_fit(&words, &names) {
                    Some(0) => 2,
                    Some(fit) => 3 + fit,
                    None => {
                        names.extend(tokens(&unit.2));
                        let fit = all_fit(&words, &names)
                            .filter(|&fit| fit > 1)
                            .map_or(0, |_| 2);
                        match fit {
                            0 if words.iter().any(|word| close(word, stem)) => 1,
                            fit => fit,
                        }
                    }
                }
            };
            (fit > 0).then_some((fit, unit))
        })
        .collect();
    let best = fitting.iter().map(|(fit, _)| *fit).max().unwrap_or(0);
    fitting.retain(|(fit, _)| *fit == best);
    fitting.sort_by(|a, b| a.1 .0.cmp(&b.1 .0));
    let object = |unit: &(String, bool, String)| Object::Unit {
        name: unit.0.clone(),
        user: unit.1,
    };
    match fitting.as_slice() {
        [] => {
            let spoken = llamux_actions::printable(&spoken, 60);
            Found::Nothing(format!("there is no service \"{spoken}\""))
        }
        // By its description, or by a slip of a finger: that is asked about.
        [(3.., unit)] => Found::One(object(unit)),
        several => Found::Some(
            several
                .iter()
                .take(ASKED)
                .map(|(_, unit)| object(unit))
                .collect(),
        ),
    }
}

/// Whether a group is a service whose unit could be meant in its place.
pub(crate) fn is_service(group: &Group) -> bool {
    let unit = group.unit.as_deref().unwrap_or_default();
    group.kind == GroupKind::Service && alike("*.service", unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_close_and_other_names_are_not() {
        for (a, b, expected) in [
            ("fierfox", "firefox", true),
            ("chromum", "chromium", true),
            ("thunder", "thunderbird", true),
            ("slack", "black", true),
            ("slack", "skype", false),
            ("vim", "vi", false),
            ("nginx", "ngnix", true),
        ] {
            assert_eq!(close(a, b), expected, "{a} {b}");
        }
    }
}
