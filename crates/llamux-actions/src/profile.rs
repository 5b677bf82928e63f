// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Profiles: actions for a purpose, in TOML, applied together and undone together.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use llamux_facts::Facts;
use serde::Deserialize;
use toml::Spanned;

use crate::action::{
    Action, Cache, Group, IoPriority, Operation, Power, Process, Processes, Scope, Sysctl, Unit,
};
use crate::{alike, System};

/// Largest profile in bytes.
const MOST: u64 = 1 << 16;

/// A profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What it is for, in a sentence.
    pub description: String,
    /// What it does, in order.
    pub entries: Vec<Entry>,
}

/// One of the things that a profile does.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub when: Option<When>,
    /// What.
    pub what: What,
}

/// A condition of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// The machine runs from its battery.
    OnBattery,
    /// It does not.
    PluggedIn,
}

/// What an entry does. Programs, groups and units are named by patterns, in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An action that needs no facts.
    Plain(Action),
    /// Something with units.
    Units {
        /// Which ones.
        patterns: Vec<String>,
        /// Whose.
        scope: Scope,
        /// What.
        operation: Operation,
    },
    /// Sets the nice level of programs.
    Renice(Vec<String>, i8),
    /// Sets the priority of input and output of programs.
    Io(Vec<String>, IoPriority),
    /// Stops programs.
    Stop(Vec<String>),
    /// Limits groups.
    Limit(Vec<String>, Option<u64>, Option<u32>),
}

/// A profile as its file has it. One flat table an action, so that mistakes are found where they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    description: String,
    #[serde(default)]
    action: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    kind: Spanned<Kind>,
    when: Option<When>,
    profile: Option<Power>,
    key: Option<Sysctl>,
    value: Option<u64>,
    units: Option<Vec<String>>,
    scope: Option<Scope>,
    operation: Option<Operation>,
    programs: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    nice: Option<i8>,
    priority: Option<IoPriority>,
    memory: Option<String>,
    cpu: Option<u32>,
    cache: Option<Cache>,
    keep: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Power,
    Sysctl,
    Unit,
    Renice,
    Io,
    Stop,
    Limit,
    Clean,
}

impl Profile {
    /// Reads a profile. The error says in which line it is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line(text, span.start));
            format!("line {line}: {}", error.message())
        })?;
        let entries = raw.action.into_iter().map(|entry| {
            let line = line(text, entry.kind.span().start);
            let when = entry.when;
            let what = entry
                .what()
                .map_err(|message| format!("line {line}: {message}"))?;
            Ok(Entry { when, what })
        });
        Ok(Self {
            description: raw.description,
            entries: entries.collect::<Result<_, String>>()?,
        })
    }

    /// The actions that it comes to on a machine. What does not apply is said beside them.
    pub fn actions(&self, facts: &Facts, system: &System) -> (Vec<Action>, Vec<String>) {
        let mut actions = vec![];
        let mut notes = vec![];
        for entry in &self.entries {
            let on_battery = facts.power.plugged_in == Some(false);
            let applies = match entry.when {
                Some(When::OnBattery) => on_battery,
                Some(When::PluggedIn) => !on_battery,
                None => true,
            };
            if !applies {
                let power = if on_battery {
                    "on battery"
                } else {
                    "not on battery"
                };
                notes.push(format!("{}: not done {power}", entry.what));
                continue;
            }
            let before = actions.len();
            entry.what.actions(facts, system, &mut actions);
            if actions.len() == before {
                notes.push(format!("{}: there are none", entry.what));
            }
        }
        (actions, notes)
    }
}

impl RawEntry {
    fn what(self) -> Result<What, String> {
        let kind = *self.kind.get_ref();
        // What a kind does not know would have no effect, which is not what its author meant.
        let given = [
            ("profile", self.profile.is_some()),
            ("key", self.key.is_some()),
            ("value", self.value.is_some()),
            ("units", self.units.is_some()),
            ("scope", self.scope.is_some()),
            ("operation", self.operation.is_some()),
            ("programs", self.programs.is_some()),
            ("groups", self.groups.is_some()),
            ("nice", self.nice.is_some()),
            ("priority", self.priority.is_some()),
            ("memory", self.memory.is_some()),
            ("cpu", self.cpu.is_some()),
            ("cache", self.cache.is_some()),
            ("keep", self.keep.is_some()),
        ];
        let known: &[&str] = match kind {
            Kind::Power => &["profile"],
            Kind::Sysctl => &["key", "value"],
            Kind::Unit => &["units", "scope", "operation"],
            Kind::Renice => &["programs", "nice"],
            Kind::Io => &["programs", "priority"],
            Kind::Stop => &["programs"],
            Kind::Limit => &["groups", "memory", "cpu"],
            Kind::Clean => &["cache", "keep"],
        };
        if let Some((name, _)) = given.iter().find(|(name, is)| *is && !known.contains(name)) {
            return Err(format!("an action of this kind has no {name}"));
        }
        let missing = |name: &str| format!("{name} is missing");
        Ok(match kind {
            Kind::Power => What::Plain(Action::Power {
                profile: self.profile.ok_or_else(|| missing("profile"))?,
            }),
            Kind::Sysctl => {
                let key = self.key.ok_or_else(|| missing("key"))?;
                let value = self.value.ok_or_else(|| missing("value"))?;
                if !key.range().contains(&value) {
                    let (least, most) = (key.range().start().to_owned(), *key.range().end());
                    return Err(format!(
                        "{} takes {least} to {most}, not {value}",
                        key.name()
                    ));
                }
                What::Plain(Action::Sysctl { key, value })
            }
            Kind::Clean => {
                let cache = self.cache.ok_or_else(|| missing("cache"))?;
                What::Plain(Action::Clean {
                    cache,
                    keep: self.keep.unwrap_or(cache.keep()),
                })
            }
            Kind::Unit => What::Units {
                patterns: self.units.ok_or_else(|| missing("units"))?,
                scope: self.scope.unwrap_or_default(),
                operation: self.operation.ok_or_else(|| missing("operation"))?,
            },
            Kind::Renice => {
                let nice = self.nice.ok_or_else(|| missing("nice"))?;
                if !(-20..=19).contains(&nice) {
                    return Err(format!("nice goes from -20 to 19, and is {nice}"));
                }
                What::Renice(self.programs.ok_or_else(|| missing("programs"))?, nice)
            }
            Kind::Io => What::Io(
                self.programs.ok_or_else(|| missing("programs"))?,
                self.priority.ok_or_else(|| missing("priority"))?,
            ),
            Kind::Stop => What::Stop(self.programs.ok_or_else(|| missing("programs"))?),
            Kind::Limit => {
                let memory =
                    match self.memory {
                        Some(text) => Some(size(&text).ok_or_else(|| {
                            format!("{text:?} is no size such as \"512M\", \"2G\"")
                        })?),
                        None => None,
                    };
                if memory.is_none() && self.cpu.is_none() {
                    return Err("memory or cpu is missing".to_owned());
                }
                What::Limit(
                    self.groups.ok_or_else(|| missing("groups"))?,
                    memory,
                    self.cpu,
                )
            }
        })
    }
}

impl What {
    fn actions(&self, facts: &Facts, system: &System, out: &mut Vec<Action>) {
        match self {
            Self::Plain(action) => out.push(action.clone()),
            Self::Units {
                patterns,
                scope,
                operation,
            } => {
                let all = facts.units.iter().flat_map(|units| &units.all);
                for unit in all {
                    let active = matches!(unit.active.as_str(), "active" | "activating");
                    let useful = match operation {
                        Operation::Stop | Operation::Restart => active,
                        Operation::Start => !active,
                        Operation::Enable | Operation::Disable => true,
                    };
                    let named = patterns.iter().any(|pattern| alike(pattern, &unit.name));
                    let theirs = unit.user == (*scope == Scope::User);
                    if useful && named && theirs && unit.load == "loaded" {
                        out.push(Action::Unit {
                            unit: Unit {
                                name: unit.name.clone(),
                                scope: *scope,
                            },
                            operation: *operation,
                        });
                    }
                }
            }
            Self::Renice(patterns, nice) => {
                out.extend(
                    programs(facts, system, patterns).map(|processes| Action::Renice {
                        processes,
                        nice: *nice,
                    }),
                );
            }
            Self::Io(patterns, priority) => {
                out.extend(
                    programs(facts, system, patterns).map(|processes| Action::Io {
                        processes,
                        priority: *priority,
                    }),
                );
            }
            Self::Stop(patterns) => {
                let all = programs(facts, system, patterns);
                out.extend(all.map(|processes| Action::Stop { processes }));
            }
            Self::Limit(patterns, memory, cpu) => {
                for group in &facts.groups {
                    let named = patterns
                        .iter()
                        .any(|pattern| alike(&pattern.to_lowercase(), &group.name.to_lowercase()));
                    let Some(path) = group.cgroup.as_ref().filter(|_| named) else {
                        continue;
                    };
                    out.push(Action::Limit {
                        group: Group {
                            label: group.name.clone(),
                            path: path.clone(),
                            processes: processes(facts, &group.pids),
                        },
                        memory: *memory,
                        cpu: *cpu,
                    });
                }
            }
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(Action::Power { profile }) => {
                write!(f, "choose the power profile {}", profile.name())
            }
            Self::Plain(Action::Sysctl { key, value }) => {
                write!(f, "set {} to {value}", key.name())
            }
            Self::Plain(Action::Clean { cache, .. }) => write!(f, "clean {}", cache.name()),
            Self::Plain(_) => f.write_str("an action"),
            Self::Units {
                patterns,
                operation,
                ..
            } => write!(f, "{} units {}", operation.name(), patterns.join(", ")),
            Self::Renice(patterns, nice) => {
                write!(f, "nice level {nice} for {}", patterns.join(", "))
            }
            Self::Io(patterns, priority) => {
                write!(f, "I/O priority {priority} for {}", patterns.join(", "))
            }
            Self::Stop(patterns) => write!(f, "stop {}", patterns.join(", ")),
            Self::Limit(patterns, ..) => write!(f, "limit {}", patterns.join(", ")),
        }
    }
}

/// Processes of facts as they are acted on.
pub fn processes(facts: &Facts, pids: &[i32]) -> Vec<Process> {
    let found = pids.iter().filter_map(|&pid| facts.process(pid));
    found.map(process).collect()
}

/// A process of facts as it is acted on.
pub fn process(process: &llamux_facts::facts::Process) -> Process {
    Process {
        pid: process.pid,
        start: process.start_time,
        name: process.name.clone(),
        uid: process.uid,
        user: process.user.clone(),
        memory: process.pss.unwrap_or(process.rss),
    }
}

/// The user's programs of some names, each pattern's together. Root's are all.
fn programs<'a>(
    facts: &'a Facts,
    system: &'a System,
    patterns: &'a [String],
) -> impl Iterator<Item = Processes> + 'a {
    patterns.iter().filter_map(|pattern| {
        let list: Vec<_> = facts
            .processes
            .iter()
            .filter(|process| {
                alike(pattern, &process.name)
                    && !process.kernel_thread
                    && process.pid > 2
                    && (system.uid == 0 || process.uid == system.uid)
                    && !system.own.contains(&process.pid)
            })
            .map(process)
            .collect();
        (!list.is_empty()).then(|| Processes {
            label: pattern.clone(),
            list,
        })
    })
}

/// A size such as "512M".
fn size(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

/// Where profiles are: the user's own first, then the administrator's, then those of the package.
pub fn directories() -> Vec<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let own = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let mut all: Vec<_> = own
        .map(|dir| dir.join("llamux/profiles"))
        .into_iter()
        .collect();
    all.push(PathBuf::from("/etc/llamux/profiles"));
    all.push(PathBuf::from("/usr/share/llamux/profiles"));
    all
}

/// The profiles that there are, by name, and the file of each.
pub fn list(directories: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut all = BTreeMap::new();
    for dir in directories {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            if let (Some(name), Some("toml")) = (name, path.extension().and_then(|e| e.to_str())) {
                if is_name(name) {
                    all.entry(name.to_owned()).or_insert(path);
                }
            }
        }
    }
    all
}

/// Whether a text can be the name of a profile.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Reads the file of a profile. The error names it.
pub fn read(path: &Path) -> Result<Profile, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let load = || -> io::Result<String> {
        if fs::metadata(path)?.len() > MOST {
            return Err(io::Error::other(format!("it has more than {MOST} bytes")));
        }
        fs::read_to_string(path)
    };
    let text = load().map_err(|error| named(&error))?;
    Profile::parse(&text).map_err(|message| format!("{}, {message}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamux_facts::facts;

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, line, part) in [
            ("", 1, "description"),
            ("description = \"x\"\nactions = []\n", 2, "actions"),
            (
                "description = \"x\"\n[[action]]\nkind = \"power\"\nprofil = \"balanced\"\n",
                4,
                "profil",
            ),
            (
                "description = \"x\"\n[[action]]\nkind = \"run\"\n",
                3,
                "run",
            ),
            (
                "description = \"x\"\n\n[[action]]\nkind = \"power\"\n",
                4,
                "profile is missing",
            ),
            (
                "description = \"x\"\n[[action]]\nkind = \"power\"\nprofile = \"balanced\"\nnice = 1\n",
                3,
                "no nice",
            ),
            (
                "description = \"x\"\n[[action]]\nkind = \"sysctl\"\nkey = \"vm.swappiness\"\nvalue = 900\n",
                3,
                "0 to 200",
            ),
            (
                "description = \"x\"\n[[action]]\nkind = \"sysctl\"\nkey = \"kernel.modprobe\"\nvalue = 9\n",
                4,
                "kernel.modprobe",
            ),
            (
                "description = \"x\"\n[[action]]\nkind = \"limit\"\ngroups = [\"a\"]\nmemory = \"2\"\n",
                3,
                "no size",
            ),
            (
                "description = \"x\"\n[[action]]\nkind = \"renice\"\nprograms = [\"a\"]\nnice = 20\n",
                3,
                "-20 to 19",
            ),
        ] {
            let error = Profile::parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line}: ")), "{text}: {error}");
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_profile_becomes_actions_of_what_is_there() {
        let text = r#"
            description = "x"
            [[action]]
            kind = "power"
            profile = "performance"
            when = "plugged-in"
            [[action]]
            kind = "power"
            profile = "power-saver"
            when = "on-battery"
            [[action]]
            kind = "unit"
            operation = "stop"
            units = ["tracker-*.service", "none.service"]
            scope = "user"
            [[action]]
            kind = "renice"
            programs = ["cargo", "nothing"]
            nice = 10
            [[action]]
            kind = "limit"
            groups = ["fire*"]
            memory = "2G"
        "#;
        let process = |pid, name: &str, uid| facts::Process {
            pid,
            name: name.to_owned(),
            uid,
            ..facts::Process::default()
        };
        let unit = |name: &str, user, active: &str| facts::Unit {
            name: name.to_owned(),
            user,
            active: active.to_owned(),
            load: "loaded".to_owned(),
            ..facts::Unit::default()
        };
        let facts = Facts {
            processes: vec![
                process(10, "cargo", 1000),
                process(11, "cargo", 0),
                process(12, "cargo-x", 1000),
                process(13, "firefox", 1000),
            ],
            groups: vec![facts::Group {
                name: "Firefox".to_owned(),
                pids: vec![13],
                cgroup: Some("/app.scope".to_owned()),
                ..facts::Group::default()
            }],
            units: Some(facts::Units {
                all: vec![
                    unit("tracker-miner.service", true, "active"),
                    unit("tracker-miner.service", false, "active"),
                    unit("tracker-extract.service", true, "inactive"),
                ],
                ..facts::Units::default()
            }),
            ..Facts::default()
        };
        let system = System::recorded(1000);
        let (actions, notes) = Profile::parse(text).unwrap().actions(&facts, &system);
        let shown: Vec<_> = actions
            .iter()
            .map(|action| match action {
                Action::Power { profile } => profile.name().to_owned(),
                Action::Unit { unit, operation } => {
                    assert_eq!(unit.scope, Scope::User);
                    format!("{} {}", operation.name(), unit.name)
                }
                Action::Renice { processes, nice } => {
                    let pids: Vec<_> = processes.list.iter().map(|p| p.pid).collect();
                    format!("{pids:?} {nice}")
                }
                Action::Limit { group, memory, .. } => format!("{} {memory:?}", group.path),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            "performance",
            "stop tracker-miner.service",
            "[10] 10",
            "/app.scope Some(2147483648)",
        ];
        assert_eq!(shown, expected);
        assert_eq!(
            notes,
            ["choose the power profile power-saver: not done not on battery"]
        );
    }

    #[test]
    fn the_first_directory_that_has_a_profile_counts() {
        let root = tempfile::tempdir().unwrap();
        let dirs: Vec<_> = ["own", "system"].map(|dir| root.path().join(dir)).into();
        for (dir, name) in [
            (0, "a.toml"),
            (1, "a.toml"),
            (1, "b.toml"),
            (1, "c.txt"),
            (1, "..toml"),
        ] {
            fs::create_dir_all(&dirs[dir]).unwrap();
            fs::write(dirs[dir].join(name), "description = \"x\"").unwrap();
        }
        let all = list(&dirs);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(all["a"], dirs[0].join("a.toml"));
        assert!(!is_name("../x") && !is_name("") && is_name("my-own_1"));
    }

    #[test]
    fn profiles_of_the_package_are_sound() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../packaging/tools/usr/share/llamux/profiles");
        let all = list(&[dir]);
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["battery", "coding", "gaming"]);
        for path in all.values() {
            let profile = read(path).unwrap();
            assert!(!profile.entries.is_empty() && !profile.description.is_empty());
        }
    }
}
