// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Answers questions about this machine out of findings.
//!
//! Code finds what a question is about, the model picks those findings that answer it, and words them. Each sentence of
//! it is checked ([`wording`](crate::wording)); one that fails is never shown, and what the finding itself says stands in its place.

use std::time::{Duration, Instant};

use llamux::{Error, Grammar};
use llamux_facts::{Cause, Facts, Finding, Severity};
use serde::Serialize;

use crate::wording::{self, Truth};
use crate::{Model, Request};

/// Most findings that are named in an answer.
pub const MOST: usize = 3;
/// Most findings that the model picks from.
const CANDIDATES: usize = 6;
/// Most sentences about one finding.
const SENTENCES: usize = 2;

/// Who worded a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Author {
    /// The model, and it was checked.
    Model,
    /// The finding, or whatever else code knows.
    Code,
}

/// A sentence of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sentence {
    /// What it says.
    pub text: String,
    /// The id of the finding that it is about; empty where it is about none.
    pub finding: String,
    /// Who worded it.
    pub by: Author,
    /// What the model had written in its place, and why that was not let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Rejected>,
}

/// A sentence that was not let through.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rejected {
    /// What the model wrote.
    pub text: String,
    /// What is wrong with it.
    pub because: String,
}

/// An answer out of findings.
#[derive(Debug, Default)]
pub struct Answer {
    /// The ids of the findings that answer the question, the most important first.
    pub picked: Vec<String>,
    /// The sentences, in order.
    pub sentences: Vec<Sentence>,
    /// Sentences of the model that were not shown.
    pub rejected: u32,
    /// Why the model had no part in it, or only in its beginning.
    pub without_model: Option<Error>,
    /// How long it took to pick.
    pub picking: Duration,
    /// How long it took until the model's first words of the answer were there.
    pub first: Option<Duration>,
    /// How long all of it took.
    pub elapsed: Duration,
}

/// How findings are picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Picking {
    /// By their rank alone.
    Rank,
    /// By the model alone.
    Model,
    /// By their rank, and the model may leave out what does not answer the question; the first one only where the words
    /// of the question do not say what it is about.
    #[default]
    Veto,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Memory,
    Processor,
    Disk,
    Space,
    Network,
    Battery,
    Heat,
    Unit,
    Boot,
    Update,
    Crash,
    Clock,
    Log,
    Hang,
    Tasks,
    Files,
    Hardware,
}

/// The words of questions about each topic.
const WORDS: &[(Topic, &str)] = &[
    (Topic::Memory, "memory ram swap swapping swapped oom leak leaking gigabytes"),
    (Topic::Processor, "cpu cpus processor processors core cores load busy spinning"),
    (
        Topic::Disk,
        "disk disks drive drives ssd hdd nvme i/o io storage writing reading copy copying corrupt corrupted bad",
    ),
    (
        Topic::Space,
        "full space room inodes storage save saving saved write written readonly read-only create partition filesystem \
         upload uploads",
    ),
    (
        Topic::Network,
        "network internet wifi wi-fi wlan ethernet connection connections connect connects connected disconnected dns link \
         offline online website websites web page pages ping download downloads lan packet packets vpn reachable \
         unreachable browse browsing resolve hostname hostnames host hosts name names streaming router gateway ssh remote \
         cable signal calls meetings latency",
    ),
    (Topic::Battery, "battery charger charge charging unplugged plugged"),
    (
        Topic::Heat,
        "hot warm fan fans loud noisy noise temperature temperatures overheating overheats overheat throttling throttled heat",
    ),
    (
        Topic::Unit,
        "service services unit units daemon timer timers failed website site server backup backups job jobs start starts started",
    ),
    (Topic::Boot, "boot boots booting booted startup login splash"),
    (Topic::Update, "update updates reboot outdated upgrade upgrades restart"),
    (
        Topic::Crash,
        "crash crashed crashes crashing killed died dies die dying disappeared disappears vanished vanishes closed closes kills \
         oops panic gone segfault quit quits overnight",
    ),
    (Topic::Clock, "clock clocks certificate certificates ntp timezone"),
    (Topic::Log, "journal log logs logging"),
    (
        Topic::Hang,
        "hang hangs hanging hung freeze freezes freezing frozen froze stuck unresponsive respond responds responding stalls",
    ),
    (
        Topic::Tasks,
        "fork forks process processes task tasks thread threads pid pids terminal shell login session",
    ),
    (Topic::Files, "files descriptors handles sockets connections"),
    (Topic::Hardware, "hardware ecc mce defective faulty dimm module modules"),
];

/// Topics whose words say for certain what a question is about: where nothing was found, nothing else is meant.
const CERTAIN: &[Topic] = &[Topic::Battery, Topic::Clock];

/// What is one word in questions, whatever it is written as.
const ONE_WORD: &[(&str, &str)] = &[
    ("log in", "login"),
    ("logs in", "login"),
    ("logging in", "login"),
    ("logged in", "login"),
    ("log on", "login"),
    ("start up", "startup"),
    ("wrong time", "clock"),
    ("time is", "clock"),
    ("time and date", "clock"),
    ("date and time", "clock"),
];

/// Words of questions that ask why it is slow.
const SLOW: &str = "slow slower slowly slowness sluggish lag lags lagging laggy stutter stutters stuttering forever long crawling crawls \
    responsive unusable speed performance faster delay delays fast choppy jerky struggling snappy wait waiting ages";

/// Words of questions about whatever is wrong.
const WRONG: &str = "wrong problem problems trouble matter issue issues broken error errors healthy health ok okay fine well weird strange \
    warning warnings fix";

/// What a cause is about, the topic that it belongs to first.
fn topics(cause: Cause) -> &'static [Topic] {
    use Topic::*;
    match cause {
        Cause::MemoryPressure | Cause::MemoryFull => &[Memory, Hang],
        // The disk is busy with it.
        Cause::Swapping => &[Memory, Disk, Hang],
        Cause::SwapFull | Cause::MemoryLimit => &[Memory],
        Cause::OomKill => &[Memory, Crash],
        Cause::ThermalThrottling => &[Heat, Processor],
        Cause::Hot => &[Heat],
        Cause::CpuStolen | Cause::CpuLimit | Cause::Interrupts => &[Processor],
        Cause::CpuSaturated | Cause::ProcessSpinning => &[Processor, Heat, Battery],
        Cause::CpuSlowedDown | Cause::PowerSaver => &[Processor, Battery],
        Cause::DiskSaturated => &[Disk, Hang],
        Cause::ProcessesStuck => &[Disk, Hang, Processor],
        Cause::DiskErrors | Cause::FileSystemErrors => &[Disk, Space],
        Cause::ReadOnly | Cause::InodesFull | Cause::DiskFull => &[Space, Disk],
        Cause::KernelOops => &[Crash, Hang],
        Cause::HardwareErrors => &[Hardware, Crash, Hang, Memory, Processor],
        Cause::TooManyTasks => &[Tasks, Crash],
        Cause::TooManyFiles => &[Files, Network],
        Cause::KernelHang => &[Hang, Crash],
        Cause::LinkDown | Cause::NoRoute | Cause::NoDns | Cause::DnsSilent => &[Network],
        Cause::PacketLoss | Cause::WeakSignal => &[Network, Hang],
        Cause::UnitRestarting | Cause::UnitFailed => &[Unit, Crash],
        Cause::UnitStarting => &[Unit, Boot],
        Cause::ProgramCrashed => &[Crash],
        Cause::BatteryLow | Cause::BatteryWorn => &[Battery],
        Cause::LogFlood | Cause::JournalLarge => &[Log, Space],
        Cause::Frozen => &[Hang],
        Cause::ClockNotSynchronised => &[Clock],
        Cause::RebootRequired | Cause::UpdatesPending => &[Update],
        Cause::SlowBoot => &[Boot],
        _ => &[],
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    let words: Vec<_> = words
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/'))
        .filter(|word| !word.is_empty())
        .collect();
    let mut text = format!(" {} ", words.join(" ").to_lowercase());
    for (written, word) in ONE_WORD {
        text = text.replace(&format!(" {written} "), &format!(" {word} "));
    }
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Whether a word is what somebody would call a thing of this name: `grafana-server.service` is "grafana".
fn calls(word: &str, name: &str) -> bool {
    const KINDS: &str = "server service system daemon manager agent user data home client";
    let stem = name.split('.').next().unwrap_or(name);
    word == name
        || word == stem
        || word.len() > 3
            && !among(word, KINDS)
            && !WORDS.iter().any(|(_, table)| among(word, table))
            && stem
                .split(|c: char| !c.is_alphanumeric())
                .any(|part| part == word || part.strip_suffix('d') == Some(word))
}

fn among(word: &str, table: &str) -> bool {
    table.split_ascii_whitespace().any(|entry| entry == word)
}

/// What the words of a question say that it is about.
fn about(words: &[String]) -> Vec<Topic> {
    let has = |table| words.iter().any(|word| among(word, table));
    let topics = WORDS.iter().filter(|(_, table)| has(table));
    topics.map(|(topic, _)| *topic).collect()
}

/// The findings that may answer a question, those first that answer it best. All of them are about what the question
/// is about; there may be none.
pub fn candidates<'f>(question: &str, findings: &'f [Finding]) -> Vec<&'f Finding> {
    let asked = words(question);
    let about = about(&asked);
    let slow = asked.iter().any(|word| among(word, SLOW));
    let named = |finding: &Finding| {
        finding.subjects.iter().any(|subject| {
            let name = subject.name().to_lowercase();
            name.len() > 1 && asked.iter().any(|word| calls(word, &name))
        })
    };
    // A question about a program by its name is about nothing else.
    let any_named = findings.iter().any(named);
    // 0 answers best; None not at all.
    let place = |finding: &Finding| -> Option<usize> {
        if named(finding) {
            return Some(0);
        }
        let of = topics(finding.cause);
        // How near: the cause's own topic, or one that it touches.
        let topic = of
            .iter()
            .position(|topic| about.contains(topic))
            .map(|at| at.min(1));
        match (about.is_empty(), slow) {
            (true, true) => finding.cause.explains_slowness().then_some(1),
            (true, false) => (!any_named).then_some(1),
            // "Why is my disk slow?"
            (false, true) => {
                topic.map(|near| near + usize::from(!finding.cause.explains_slowness()) + 1)
            }
            (false, false) => topic.map(|near| near + 1),
        }
    };
    let mut out: Vec<_> = findings
        .iter()
        .filter_map(|finding| Some((place(finding)?, finding)))
        .collect();
    // Stable: among those that are as near, the rank decides.
    out.sort_by_key(|(place, finding)| {
        (
            *place,
            std::cmp::Reverse(finding.severity.max(Severity::Notice)),
        )
    });
    let worst = out.iter().map(|(_, finding)| finding.severity).max();
    // What is good to know does not belong beside what hurts, unless it was asked for.
    let hurts = worst.is_some_and(|worst| worst >= Severity::Warning);
    out.into_iter()
        .filter(|(place, finding)| {
            *place == 0 || !about.is_empty() || !hurts || finding.severity >= Severity::Warning
        })
        .map(|(_, finding)| finding)
        .collect()
}

/// Whether the words of a question say what it is about: then the first candidate answers it.
fn says_what(question: &str) -> bool {
    let any = |word: &str| {
        WORDS.iter().any(|(_, table)| among(word, table)) || among(word, SLOW) || among(word, WRONG)
    };
    words(question).iter().any(|word| any(word))
}

/// The findings that answer the question, the most important first: at most [`MOST`], perhaps none.
pub fn pick<'f>(
    model: &mut dyn Model,
    question: &str,
    candidates: &[&'f Finding],
    how: Picking,
) -> Result<Vec<&'f Finding>, Error> {
    let candidates = &candidates[..candidates.len().min(CANDIDATES)];
    let by_rank = || candidates.iter().take(MOST).copied().collect::<Vec<_>>();
    if candidates.is_empty() || how == Picking::Rank {
        return Ok(by_rank());
    }
    let Some(grammar) = ids(candidates) else {
        return Ok(by_rank());
    };
    let list: String = candidates
        .iter()
        .map(|finding| format!("{}: {}\n", finding.id, finding.title))
        .collect();
    let request = Request {
        grammar: Some(grammar),
        max_tokens: 64,
        ..Request::new(PICK, format!("Question: {question}\nFindings:\n{list}"))
            .example(
                "Question: why does the video stutter?\nFindings:\n\
                 cpu-saturated: The processors are busy 98 % of the time.\n\
                 updates-pending: 12 updates are due.\n\
                 clock-not-synchronised: The clock is kept right by nobody.\n",
                "cpu-saturated",
            )
            .example(
                "Question: who has eaten all the ham?\nFindings:\n\
                 unit-failed:cups.service: The service cups.service failed.\n",
                "none",
            )
            .example(
                "Question: what is wrong here?\nFindings:\n\
                 disk-errors:sdb: The disk sdb fails.\n\
                 unit-failed:backup.service: The service backup.service failed.\n",
                "disk-errors:sdb, unit-failed:backup.service",
            )
    };
    let reply = model.ask(&request, &mut |_| true)?;
    let named: Vec<&str> = reply.text.split(", ").collect();
    let chosen = || {
        named
            .iter()
            .filter_map(|id| candidates.iter().find(|finding| finding.id == *id).copied())
    };
    let mut picked: Vec<&Finding> = vec![];
    match how {
        Picking::Model => picked.extend(chosen()),
        // What it did not name stays only if it is as bad as what it named.
        _ => {
            let left: Vec<_> = chosen().collect();
            let any = !left.is_empty();
            picked.extend(
                candidates
                    .iter()
                    .copied()
                    .filter(|finding| any && left.iter().any(|chosen| chosen.id == finding.id)),
            );
        }
    }
    let mut seen = std::collections::HashSet::new();
    picked.retain(|finding| seen.insert(finding.id.as_str()));
    picked.truncate(MOST);
    Ok(picked)
}

/// A grammar of one to three of these ids, or none.
fn ids(findings: &[&Finding]) -> Option<Grammar> {
    let id = findings
        .iter()
        .map(|finding| llamux::grammar::literal(&finding.id))
        .collect::<Vec<_>>()
        .join(" | ");
    Grammar::new(&format!(
        "root ::= \"none\" | id (\", \" id (\", \" id)?)?\nid ::= {id}"
    ))
    .ok()
}

/// Answers a question about a machine out of what was found on it, and hands each sentence to `each` when it is there;
/// `false` ends the answer. Without a model, or where it fails, the findings speak for themselves.
pub fn answer(
    model: Option<&mut dyn Model>,
    question: &str,
    findings: &[Finding],
    how: Picking,
    each: &mut dyn FnMut(&Sentence) -> bool,
) -> Answer {
    let begin = Instant::now();
    let mut out = Answer::default();
    let mut candidates = candidates(question, findings);
    let mut picked: Vec<&Finding> = candidates.iter().take(MOST).copied().collect();
    let mut model = model;
    // Its words say nothing that fits, and something hurts: whether that is what is meant only the model can tell.
    let unsure = candidates.is_empty()
        && how == Picking::Veto
        && !about(&words(question))
            .iter()
            .any(|topic| CERTAIN.contains(topic));
    if unsure {
        let hurts = |finding: &&Finding| finding.severity >= Severity::Warning;
        candidates = findings.iter().filter(hurts).collect();
    }
    if let Some(asked) = model.as_deref_mut().filter(|_| !candidates.is_empty()) {
        match pick(asked, question, &candidates, how) {
            Ok(chosen) => picked = chosen,
            Err(error) => {
                out.without_model = Some(error);
                model = None;
            }
        }
    }
    if how == Picking::Veto && !unsure && says_what(question) {
        // Code knows what it is about, and the model says "none" too easily.
        if let Some(first) = candidates.first() {
            picked.retain(|finding| finding.id != first.id);
            picked.insert(0, first);
            picked.truncate(MOST);
        }
    }
    out.picked = picked.iter().map(|finding| finding.id.clone()).collect();
    out.picking = begin.elapsed();
    for finding in picked {
        let own = own_words(finding);
        let truth = Truth::of_finding(finding, question);
        let task = Task {
            request: request(question, finding),
            truth: &truth,
            own: &own,
            id: &finding.id,
            most: SENTENCES,
        };
        let go_on = match model.as_deref_mut() {
            Some(asked) => match phrase(asked, &task, &mut out, begin, each) {
                Ok(go_on) => go_on,
                Err(error) => {
                    out.without_model = Some(error);
                    model = None;
                    own_sentence(&task, &mut out, each)
                }
            },
            None => own_sentence(&task, &mut out, each),
        };
        if !go_on {
            break;
        }
    }
    out.elapsed = begin.elapsed();
    out
}

/// What a finding says itself, sentence by sentence.
fn own_words(finding: &Finding) -> Vec<String> {
    let mut out = wording::sentences(&finding.title);
    out.extend(wording::sentences(&finding.explanation));
    out
}

/// What is to be worded.
pub(crate) struct Task<'t> {
    /// How the model is asked.
    pub(crate) request: Request,
    /// What it may say.
    pub(crate) truth: &'t Truth,
    /// What stands where it says something else, the most important first.
    pub(crate) own: &'t [String],
    /// Of which finding it is; may be empty.
    pub(crate) id: &'t str,
    /// Most sentences.
    pub(crate) most: usize,
}

/// Code's own first sentence, where nothing of it has been said.
pub(crate) fn own_sentence(
    task: &Task<'_>,
    out: &mut Answer,
    each: &mut dyn FnMut(&Sentence) -> bool,
) -> bool {
    let said = |text: &String| out.sentences.iter().any(|sentence| sentence.text == *text);
    if out
        .sentences
        .iter()
        .any(|sentence| sentence.finding == task.id)
    {
        return true;
    }
    let Some(text) = task.own.iter().find(|text| !said(text)) else {
        return true;
    };
    let sentence = Sentence {
        text: text.clone(),
        finding: task.id.to_owned(),
        by: Author::Code,
        instead_of: None,
    };
    let go_on = each(&sentence);
    out.sentences.push(sentence);
    go_on
}

/// Has the model word something. Each sentence is checked as soon as it is whole; in the place of one that fails stands
/// the next of code's own. Whether to go on.
pub(crate) fn phrase(
    model: &mut dyn Model,
    task: &Task<'_>,
    out: &mut Answer,
    begin: Instant,
    each: &mut dyn FnMut(&Sentence) -> bool,
) -> Result<bool, Error> {
    let mut said = Said {
        task,
        out,
        each,
        begin,
        text: String::new(),
        count: 0,
        go_on: true,
    };
    let reply = model.ask(&task.request, &mut |part| said.part(part));
    // What was begun when the answer was cut off is no sentence.
    let whole = reply.as_ref().is_ok_and(|reply| reply.complete);
    said.rest(whole);
    let go_on = said.go_on;
    reply?;
    Ok(go_on && own_sentence(task, out, each))
}

/// Takes what the model says.
struct Said<'s, 't> {
    task: &'s Task<'t>,
    out: &'s mut Answer,
    each: &'s mut dyn FnMut(&Sentence) -> bool,
    begin: Instant,
    text: String,
    count: usize,
    go_on: bool,
}

impl Said<'_, '_> {
    fn part(&mut self, part: &str) -> bool {
        self.out.first = self.out.first.or_else(|| Some(self.begin.elapsed()));
        self.text.push_str(part);
        self.sentences(false)
    }

    fn rest(&mut self, whole: bool) {
        if self.go_on && whole {
            self.sentences(true);
        }
    }

    fn sentences(&mut self, whole: bool) -> bool {
        while self.go_on && self.count < self.task.most {
            let text = std::mem::take(&mut self.text);
            let Some((sentence, behind)) = wording::first_sentence(&text, whole) else {
                self.text = text;
                return true;
            };
            self.text = behind.to_owned();
            self.sentence(sentence);
        }
        self.go_on && self.count < self.task.most
    }

    fn sentence(&mut self, written: &str) {
        let text = without_yes(written.trim());
        if text.is_empty() {
            return;
        }
        self.count += 1;
        let sentence = match self.task.truth.check(&text) {
            Ok(()) => Sentence {
                text,
                finding: self.task.id.to_owned(),
                by: Author::Model,
                instead_of: None,
            },
            Err(wrong) => {
                self.out.rejected += 1;
                let said = |text: &&String| {
                    !self
                        .out
                        .sentences
                        .iter()
                        .any(|sentence| sentence.text == **text)
                };
                let Some(own) = self.task.own.iter().find(said) else {
                    return;
                };
                let instead_of = Some(Rejected {
                    text,
                    because: wrong.to_string(),
                });
                Sentence {
                    text: own.clone(),
                    finding: self.task.id.to_owned(),
                    by: Author::Code,
                    instead_of,
                }
            }
        };
        if self
            .out
            .sentences
            .iter()
            .any(|before| before.text == sentence.text)
        {
            return;
        }
        self.go_on = (self.each)(&sentence);
        self.out.sentences.push(sentence);
    }
}

/// A sentence without a yes or no before it: whether the question is right in all that it takes for granted, nobody checked.
fn without_yes(sentence: &str) -> String {
    let rest = ["Yes, ", "No, ", "Yes. ", "No. ", "yes, ", "no, "]
        .iter()
        .find_map(|yes| sentence.strip_prefix(yes));
    let Some(rest) = rest else {
        return if matches!(sentence, "Yes." | "No." | "Yes" | "No") {
            String::new()
        } else {
            sentence.to_owned()
        };
    };
    let mut characters = rest.chars();
    let first: String = characters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let name = rest
        .split_whitespace()
        .next()
        .is_some_and(|word| word.contains(['/', '.', '@', '_']));
    if name {
        rest.to_owned()
    } else {
        first + characters.as_str()
    }
}

/// How the model is asked to word a finding. What never changes comes first.
fn request(question: &str, finding: &Finding) -> Request {
    let figures: Vec<_> = finding
        .evidence
        .iter()
        .map(|evidence| format!("{}: {}", evidence.what, evidence.value))
        .collect();
    Request {
        stops: vec!["\n".to_owned()],
        max_tokens: 96,
        ..Request::new(
            WORD,
            format!("Question: {question}\nFinding: {} {}\nFigures: {}", finding.title, finding.explanation, figures.join("; ")),
        )
        .example(
            "Question: why can I not save my photos?\n\
             Finding: The file system /data is full. Programs cannot write files there.\n\
             Figures: space used on /data: 100 %; space free on /data: 3 MiB",
            "You cannot save your photos because the file system /data is full, and only 3 MiB are free there.",
        )
        .example(
            "Question: the mouse jumps around, what is it?\n\
             Finding: Programs wait for the processors 43 % of the time. More of them want to run than there are processors.\n\
             Figures: time in which some program waited for a processor: 43 %; processors: 4",
            "More programs want to run than there are processors, so programs wait for the processors 43 % of the time.",
        )
    }
}

/// How the model is told to pick.
const PICK: &str = "You get a question of somebody who sits at a computer, and a list of what was found on it, each with an id, the \
    worst first. Answer with the ids of those findings that answer the question, the main cause first, at most three. Answer \
    \"none\" if the question has nothing to do with them.";

/// How the model is told to word.
const WORD: &str = "You answer a question about a computer from a finding. Write one or two short sentences for the user. Use only \
    what the finding says, in its own words, and copy figures exactly together with what they are of. Give no advice.";

/// What was looked at, for an answer that there is none.
pub fn looked_at(facts: &Facts) -> Vec<&'static str> {
    [
        ("the processors", facts.cpu.count > 0),
        ("memory", facts.memory.total > 0),
        ("swap", facts.swap.total > 0),
        (
            "pressure on processors, memory and disks",
            facts.pressure.is_some(),
        ),
        ("disks", !facts.disks.is_empty()),
        ("file systems", !facts.file_systems.is_empty()),
        ("temperatures", !facts.thermal.is_empty()),
        ("processes", !facts.processes.is_empty()),
        ("units of systemd", facts.units.is_some()),
        (
            "the kernel's log",
            !facts
                .missing
                .iter()
                .any(|missing| missing.what.contains("kernel log")),
        ),
        ("network links", !facts.network.links.is_empty()),
    ]
    .into_iter()
    .filter(|(_, there)| *there)
    .map(|(what, _)| what)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reply;
    use llamux_facts::{Evidence, Quantity, Subject};

    /// A model that says what it was told to, in small parts.
    struct Parrot(Vec<Result<(&'static str, bool), Error>>);

    impl Model for Parrot {
        fn ask(&mut self, _: &Request, each: &mut dyn FnMut(&str) -> bool) -> Result<Reply, Error> {
            let (text, complete) = self.0.remove(0)?;
            let mut said = String::new();
            for character in text.chars() {
                said.push(character);
                if !each(character.encode_utf8(&mut [0; 4])) {
                    break;
                }
            }
            Ok(Reply {
                text: said,
                complete,
                prompt_tokens: 1,
                tokens: 1,
                first: None,
                elapsed: Duration::ZERO,
            })
        }
    }

    fn finding(cause: Cause, severity: Severity, title: &str, subject: Option<&str>) -> Finding {
        Finding {
            id: cause.name().to_owned(),
            cause,
            severity,
            title: title.to_owned(),
            explanation: "This is what it means.".to_owned(),
            evidence: vec![Evidence {
                what: "time spent waiting for memory".to_owned(),
                value: Quantity::Percent(61.0),
            }],
            subjects: subject
                .map(|name| Subject::Group {
                    id: name.to_owned(),
                    name: name.to_owned(),
                })
                .into_iter()
                .collect(),
            remedies: vec![],
            follows_from: None,
        }
    }

    fn machine() -> Vec<Finding> {
        vec![
            finding(
                Cause::MemoryPressure,
                Severity::Critical,
                "Programs wait for memory.",
                Some("Firefox"),
            ),
            finding(
                Cause::DiskFull,
                Severity::Warning,
                "The file system /var is full.",
                None,
            ),
            finding(
                Cause::UnitFailed,
                Severity::Warning,
                "A service failed.",
                Some("nginx.service"),
            ),
            finding(
                Cause::LinkDown,
                Severity::Notice,
                "The network link eth0 has no cable.",
                None,
            ),
            finding(
                Cause::UpdatesPending,
                Severity::Info,
                "Updates are due.",
                None,
            ),
        ]
    }

    #[test]
    fn questions_are_about_what_they_name() {
        use Cause::*;
        let machine = machine();
        for (question, expected) in [
            ("why is my system slow?", &[MemoryPressure][..]),
            ("what is eating my RAM", &[MemoryPressure]),
            ("is my disk full?", &[DiskFull]),
            ("why does the internet not work?", &[LinkDown]),
            ("do I need to update?", &[UpdatesPending]),
            ("which services failed?", &[UnitFailed]),
            ("why is nginx down", &[UnitFailed]),
            ("why is Firefox slow", &[MemoryPressure]),
            (
                "what is wrong with my computer?",
                &[MemoryPressure, DiskFull, UnitFailed],
            ),
            ("why is my battery empty", &[]),
            ("why is my clock wrong", &[]),
            ("I can't log in any more", &[]),
        ] {
            let seen: Vec<_> = candidates(question, &machine)
                .iter()
                .map(|finding| finding.cause)
                .collect();
            assert_eq!(seen, expected, "{question}");
        }
        assert!(candidates("why is my system slow?", &[]).is_empty());
    }

    #[test]
    fn things_are_called_by_a_part_of_their_names() {
        for (word, name, is) in [
            ("nginx", "nginx.service", true),
            ("grafana", "grafana-server.service", true),
            ("tailscale", "tailscaled.service", true),
            ("server", "grafana-server.service", false),
            ("login", "systemd-logind.service", false),
            ("graf", "grafana-server.service", false),
        ] {
            assert_eq!(calls(word, name), is, "{word} {name}");
        }
    }

    fn answered(
        model: Vec<Result<(&'static str, bool), Error>>,
        question: &str,
    ) -> (Answer, Vec<String>) {
        let mut shown = vec![];
        let answer = answer(
            Some(&mut Parrot(model)),
            question,
            &machine(),
            Picking::Veto,
            &mut |sentence| {
                shown.push(sentence.text.clone());
                true
            },
        );
        (answer, shown)
    }

    #[test]
    fn the_model_words_what_it_picked() {
        let (answer, shown) = answered(
            vec![
                Ok(("memory-pressure", true)),
                Ok((
                    "Yes, programs wait for memory 61 % of the time. It means this",
                    true,
                )),
            ],
            "why is my system slow?",
        );
        assert_eq!(answer.picked, ["memory-pressure"]);
        assert_eq!(
            shown,
            [
                "Programs wait for memory 61 % of the time.",
                "It means this"
            ]
        );
        assert!(answer
            .sentences
            .iter()
            .all(|sentence| sentence.by == Author::Model));
        assert_eq!(answer.rejected, 0);
    }

    #[test]
    fn a_wrong_sentence_is_never_shown() {
        let (answer, shown) = answered(
            vec![
                Ok(("memory-pressure", true)),
                Ok(("Memory is 61 % full. The disk is full.", true)),
            ],
            "why is my system slow?",
        );
        assert_eq!(
            shown,
            ["Programs wait for memory.", "This is what it means."]
        );
        assert_eq!(answer.rejected, 2);
        let json = serde_json::to_value(&answer.sentences).unwrap();
        assert_eq!(json[0]["by"], "code");
        assert_eq!(json[0]["instead_of"]["text"], "Memory is 61 % full.");
    }

    #[test]
    fn an_answer_that_is_cut_off_ends_with_a_whole_sentence() {
        let (_, shown) = answered(
            vec![
                Ok(("memory-pressure", true)),
                Ok((
                    "Programs wait for memory. Programs wait for memory 6",
                    false,
                )),
            ],
            "why is my system slow?",
        );
        assert_eq!(shown, ["Programs wait for memory."]);
        let (_, shown) = answered(
            vec![Ok(("memory-pressure", true)), Ok(("Programs wait", false))],
            "why is my system slow?",
        );
        assert_eq!(shown, ["Programs wait for memory."]);
    }

    #[test]
    fn findings_speak_for_themselves_where_the_model_fails() {
        let busy = || Err(Error::Busy);
        for model in [
            vec![busy()],
            vec![Ok(("memory-pressure", true)), busy()],
            vec![
                Ok(("memory-pressure", true)),
                Err(Error::NoModel { reason: None }),
            ],
            vec![Err(Error::UnknownModel {
                name: "gone".into(),
            })],
        ] {
            let (answer, shown) = answered(model, "why is my system slow?");
            assert_eq!(shown, ["Programs wait for memory."]);
            assert!(answer.without_model.is_some());
        }
        let mut shown = vec![];
        let answer = answer(
            None,
            "what is wrong?",
            &machine(),
            Picking::Veto,
            &mut |sentence| {
                shown.push(sentence.finding.clone());
                true
            },
        );
        assert_eq!(shown, ["memory-pressure", "disk-full", "unit-failed"]);
        assert!(answer.without_model.is_none() && answer.first.is_none());
    }

    #[test]
    fn nothing_is_said_where_nothing_answers() {
        let (answer, shown) = answered(vec![Ok(("none", true))], "who ate the ham?");
        assert!(answer.picked.is_empty() && shown.is_empty());
        // Whose words say what it is about is answered all the same.
        let words = Ok(("Programs wait for memory.", true));
        let (answer, _) = answered(vec![Ok(("none", true)), words], "why is my system slow?");
        assert_eq!(answer.picked, ["memory-pressure"]);
        let (answer, shown) = answered(vec![], "why is my battery empty?");
        assert!(answer.picked.is_empty() && shown.is_empty());
        // What words do not say the model may know.
        for (said, picked) in [("none", &[][..]), ("memory-pressure", &["memory-pressure"])] {
            let words = Ok(("Programs wait for memory.", true));
            let (answer, _) = answered(vec![Ok((said, true)), words], "I can't log in any more");
            assert_eq!(answer.picked, picked);
        }
    }

    #[test]
    fn who_listens_may_stop() {
        let mut count = 0;
        answer(
            None,
            "what is wrong?",
            &machine(),
            Picking::Rank,
            &mut |_| {
                count += 1;
                false
            },
        );
        assert_eq!(count, 1);
    }

    #[test]
    fn ids_of_any_kind_can_be_chosen() {
        let mut odd = finding(Cause::DiskFull, Severity::Warning, "t", None);
        odd.id = "disk-full:/mnt/\"quoted\" \\ ü".to_owned();
        assert!(ids(&[&odd]).is_some());
    }
}
