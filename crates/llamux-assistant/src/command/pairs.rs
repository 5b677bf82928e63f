// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Requests and the commands that answer them: the examples that the model is shown.
//!
//! They are in `data/commands/*.toml`, by topic and danger. Those that are like a request are found by Okapi BM25.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use serde::Deserialize;

use super::files::{Divider, Kind};
use super::words::words;
use super::{Danger, System};

/// A request and its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What somebody asks.
    pub ask: String,
    /// What answers it.
    pub run: String,
    /// How dangerous that is.
    pub danger: Danger,
    /// The one system on which it works, if there is but one.
    pub system: Option<System>,
    /// The file that it is in.
    pub topic: &'static str,
}

/// A file of pairs: every list has the request and the command of each.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Topic {
    system: Option<SystemName>,
    #[serde(default)]
    read_only: Vec<(String, String)>,
    #[serde(default)]
    changes_files: Vec<(String, String)>,
    #[serde(default)]
    unknown: Vec<(String, String)>,
    #[serde(default)]
    changes_system: Vec<(String, String)>,
    #[serde(default)]
    needs_care: Vec<(String, String)>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SystemName {
    Arch,
    Debian,
}

macro_rules! topics {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../data/commands/", $name, ".toml")))),*]
    };
}

const TOPICS: &[(&str, &str)] = topics![
    "apt",
    "archives",
    "disks",
    "files",
    "find",
    "git",
    "json",
    "media",
    "network",
    "pacman",
    "processes",
    "systemd",
    "tables",
    "text",
    "users",
];

fn read(name: &'static str, text: &str) -> Result<Vec<Pair>, toml::de::Error> {
    let topic: Topic = toml::from_str(text)?;
    let system = topic.system.map(|system| match system {
        SystemName::Arch => System::Arch,
        SystemName::Debian => System::Debian,
    });
    let lists = [
        (Danger::ReadOnly, topic.read_only),
        (Danger::ChangesFiles, topic.changes_files),
        (Danger::Unknown, topic.unknown),
        (Danger::ChangesSystem, topic.changes_system),
        (Danger::NeedsCare, topic.needs_care),
    ];
    let pairs = lists.into_iter().flat_map(|(danger, list)| {
        list.into_iter().map(move |(ask, run)| Pair {
            ask,
            run,
            danger,
            system,
            topic: name,
        })
    });
    Ok(pairs.collect())
}

/// All pairs.
pub fn all() -> &'static [Pair] {
    &index().pairs
}

/// What is where a command is asked for.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// The files that the request is about.
    pub(super) kinds: Vec<Kind>,
    /// Whether it is a repository of git.
    pub(super) repository: bool,
}

impl Around {
    /// How much more likely a pair is than without knowing this.
    fn likely(&self, pair: &Pair) -> f64 {
        let mut likely: f64 = match (self.repository, pair.topic) {
            (true, "git") => 1.3,
            // Most of it needs one.
            (false, "git") => 0.7,
            _ => 1.0,
        };
        let about = |topics: &[&str]| topics.contains(&pair.topic);
        for kind in &self.kinds {
            likely = likely.max(match kind {
                Kind::Table(divider) if about(&["tables", "text"]) => {
                    let by = |c: char| {
                        let told = [format!("-F{c}"), format!("-t{c}"), format!("-d{c}")];
                        let quoted = format!("'{c}'");
                        pair.run.contains(&quoted)
                            || told.iter().any(|told| pair.run.contains(told))
                    };
                    let same = match divider {
                        Divider::One(c) => by(*c),
                        Divider::Blanks => ![',', ';', ':', '|'].into_iter().any(by),
                    };
                    match (same, pair.topic) {
                        (true, "tables") => 1.8,
                        (false, "tables") => 1.3,
                        _ => 1.4,
                    }
                }
                Kind::Json if about(&["json"]) => 1.8,
                Kind::Json | Kind::Table(_) | Kind::Text if about(&["text", "files"]) => 1.4,
                Kind::Directory if about(&["files", "find", "archives"]) => 1.2,
                _ => 1.0,
            });
        }
        likely
    }
}

struct Index {
    pairs: Vec<Pair>,
    /// For each word, the pairs that have it, and how often.
    postings: HashMap<String, Vec<(usize, f64)>>,
    /// How many words each pair has.
    lengths: Vec<f64>,
    mean: f64,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        // PANIC: the files are part of the program, and a test reads each of them.
        let pairs: Vec<_> = TOPICS
            .iter()
            .flat_map(|(name, text)| read(name, text).expect("pairs that a test reads"))
            .collect();
        Index::new(pairs)
    })
}

impl Index {
    fn new(pairs: Vec<Pair>) -> Self {
        let mut postings: HashMap<String, Vec<(usize, f64)>> = HashMap::new();
        let mut lengths = vec![];
        for (at, pair) in pairs.iter().enumerate() {
            let mut counts: HashMap<String, f64> = HashMap::new();
            for word in words(&pair.ask) {
                *counts.entry(word).or_default() += 1.0;
            }
            // Who names the program means it.
            for program in programs(&pair.run) {
                *counts.entry(program).or_default() += 0.5;
            }
            lengths.push(counts.values().sum());
            for (word, count) in counts {
                postings.entry(word).or_default().push((at, count));
            }
        }
        let mean = lengths.iter().sum::<f64>() / (lengths.len().max(1)) as f64;
        Self {
            pairs,
            postings,
            lengths,
            mean,
        }
    }

    fn nearest(
        &self,
        request: &str,
        system: System,
        around: &Around,
        most: usize,
    ) -> Vec<(&Pair, f64)> {
        const K1: f64 = 1.2;
        const B: f64 = 0.6;
        let mut asked = words(request);
        asked.sort();
        asked.dedup();
        let count = self.pairs.len() as f64;
        let mut scores = vec![0.0; self.pairs.len()];
        for word in &asked {
            let Some(found) = self.postings.get(word) else {
                continue;
            };
            let having = found.len() as f64;
            let weight = (1.0 + (count - having + 0.5) / (having + 0.5)).ln();
            for (at, times) in found {
                let length = self.lengths.get(*at).copied().unwrap_or_default();
                let norm = K1 * (1.0 - B + B * length / self.mean);
                if let Some(score) = scores.get_mut(*at) {
                    *score += weight * times * (K1 + 1.0) / (times + norm);
                }
            }
        }
        let mut order: Vec<_> = self
            .pairs
            .iter()
            .zip(scores)
            .map(|(pair, score)| (pair, score * around.likely(pair)))
            .filter(|(pair, score)| *score > 0.0 && pair.system.is_none_or(|only| only == system))
            .collect();
        order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        order.truncate(most);
        order
    }
}

/// The names of the programs in a command, as words of it. What else looks like one does no harm, and reading all
/// pairs as bash does takes longer than finding the nearest.
fn programs(run: &str) -> Vec<String> {
    let begins = run.split(['|', ';', '&', '(', '`', '\n']);
    let first = |part: &str| {
        part.split_whitespace()
            .find(|word| {
                !matches!(*word, "sudo" | "xargs" | "do" | "then" | "for" | "if")
                    && !word.contains('=')
            })
            .filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
            .map(str::to_lowercase)
    };
    let mut names: Vec<_> = begins.filter_map(first).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether any pair has a program.
pub(super) fn uses(program: &str) -> bool {
    static PROGRAMS: OnceLock<HashSet<String>> = OnceLock::new();
    PROGRAMS
        .get_or_init(|| all().iter().flat_map(|pair| programs(&pair.run)).collect())
        .contains(program)
}

/// The pairs that are most like a request, with how like they are; the best first.
pub fn nearest(request: &str, system: System, most: usize) -> Vec<(&'static Pair, f64)> {
    nearest_in(request, system, &Around::default(), most)
}

/// The same, among what there is around.
pub(super) fn nearest_in(
    request: &str,
    system: System,
    around: &Around,
    most: usize,
) -> Vec<(&'static Pair, f64)> {
    index().nearest(request, system, around, most)
}

#[cfg(test)]
mod tests {
    use super::super::{check, danger, syntax, Context, Machine, ProblemKind, Shell};
    use super::*;

    fn context(system: System) -> Context {
        Context {
            shell: Shell::Bash,
            cwd: "/".into(),
            home: None,
            system,
            root: false,
            last: None,
            history: vec![],
            machine: Machine::here(),
        }
    }

    #[test]
    fn every_file_can_be_read_and_there_are_many() {
        for (name, text) in TOPICS {
            let pairs = read(name, text).unwrap();
            assert!(pairs.len() > 10, "{name}");
        }
        assert!(all().len() >= 400);
    }

    #[test]
    fn every_command_is_one_for_bash() {
        for pair in all() {
            let script = syntax::parse(&pair.run);
            assert_eq!(script.errors, [], "{}", pair.run);
            assert!(!script.calls.is_empty(), "{}", pair.run);
        }
    }

    #[test]
    fn every_command_is_as_dangerous_as_its_list_says() {
        let wrong: Vec<_> = all()
            .iter()
            .filter_map(|pair| {
                let judged = danger::judge(&pair.run);
                (judged.danger != pair.danger)
                    .then(|| format!("{} [{}]: {judged:?}", pair.run, pair.danger))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn no_request_is_there_twice() {
        let mut seen = HashMap::new();
        for pair in all() {
            let system = pair.system.map(|system| format!("{system:?}"));
            let key = (pair.ask.to_lowercase(), system);
            if let Some(run) = seen.insert(key, &pair.run) {
                panic!("{}: {run} / {}", pair.ask, pair.run);
            }
        }
    }

    #[test]
    fn no_command_has_an_option_that_its_program_lacks() {
        let mut missing: Vec<String> = vec![];
        let mut wrong = vec![];
        for pair in all() {
            let context = context(pair.system.unwrap_or(System::Debian));
            for problem in check(&context, &pair.run) {
                match problem.kind {
                    ProblemKind::NotInstalled { program, .. } => missing.push(program),
                    _ => wrong.push(format!("{}: {problem}", pair.run)),
                }
            }
        }
        missing.sort();
        missing.dedup();
        eprintln!(
            "not looked up, as they are not installed: {}",
            missing.join(" ")
        );
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn packages_are_for_the_system_that_has_them() {
        for (system, expected) in [(System::Arch, "pacman"), (System::Debian, "apt")] {
            let found = nearest("install a package", system, 5);
            assert!(
                found[..3]
                    .iter()
                    .any(|(pair, _)| pair.run.contains(expected)),
                "{found:?}"
            );
        }
        for (pair, _) in nearest("install a package", System::Other, 20) {
            assert_eq!(pair.system, None);
        }
    }

    #[test]
    fn what_is_asked_in_other_words_is_found() {
        for (asked, expected) in [
            ("which documents are the biggest", "ls -lhS"),
            ("unpack the tarball", "tar -xzf project.tar.gz"),
            ("what is my IP", "ip -br addr"),
        ] {
            let found = nearest(asked, System::Debian, 4);
            assert!(
                found.iter().any(|(pair, _)| pair.run == expected),
                "{asked}: {found:?}"
            );
        }
    }
}
