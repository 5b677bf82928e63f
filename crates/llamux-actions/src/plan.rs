// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What an action would do, exactly; doing it; and bringing back what was before.

use std::fmt;
use std::time::{Duration, Instant};

use llamux_facts::Quantity;
use serde::Serialize;

use crate::action::{
    printable, Action, Cache, Group, Operation, Power, Process, Processes, Scope, Unit,
};
use crate::process::{is_critical, Held};
use crate::step::{self, CgroupFile, FrequencyFile, Limit, Restore, Signal, Step};
use crate::{alike, cache, cgroup, Error, System};

/// How long processes that were asked to end are waited for.
const GRACE: Duration = Duration::from_secs(5);
/// How long it takes at most until a process that was stopped or resumed shows it.
const SOON: Duration = Duration::from_millis(500);
/// Files that are named in a preview.
const NAMED: usize = 12;

/// How dangerous something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Danger {
    /// Nothing is lost that cannot be had again.
    Harmless,
    /// `llama undo` brings the state before back.
    Reversible,
    /// What was not saved, or is being served, is lost.
    LosesWork,
    /// Data, the session or the way to the machine may be lost: it is asked about in any case.
    Dangerous,
}

impl fmt::Display for Danger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Harmless => "harmless",
            Self::Reversible => "reversible",
            Self::LosesWork => "loses work",
            Self::Dangerous => "dangerous",
        })
    }
}

/// Who may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "needs", content = "action")]
pub enum Privilege {
    /// The user.
    Own,
    /// Root, or who has the capability.
    Root,
    /// Whom polkit lets do this.
    Polkit(&'static str),
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("yours"),
            Self::Root => f.write_str("root"),
            Self::Polkit(action) => write!(f, "polkit: {action}"),
        }
    }
}

/// What an action would do.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// In one line.
    pub effect: String,
    /// To whom or what, one a line.
    pub details: Vec<String>,
    /// A command that would do about the same, for those who know it. It is not run.
    pub command: String,
    /// How dangerous it is.
    pub danger: Danger,
    /// Why it is dangerous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Who may do it.
    pub privilege: Privilege,
    /// How it is undone, if it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// What is left out, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// The memory, or the room on disks, that it is about, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// An action, what it would do, and the steps that do it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The action.
    pub action: Action,
    /// What it would do.
    pub preview: Preview,
    /// How.
    pub steps: Vec<Step>,
}

/// How one step went.
pub type Result<T = Option<String>> = std::result::Result<T, Error>;

/// What became of one step.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whom or what it was about.
    pub subject: String,
    /// A note, or why it failed.
    pub result: Result,
    /// What brings the state before back.
    pub restore: Option<Restore>,
}

impl Action {
    /// Finds out what it would do on this system.
    pub fn plan(&self, system: &System) -> std::result::Result<Plan, Error> {
        let mut plan = match self {
            Self::End { processes } => signal(system, processes, Signal::Term),
            Self::Kill { processes } => signal(system, processes, Signal::Kill),
            Self::Stop { processes } => signal(system, processes, Signal::Stop),
            Self::Resume { processes } => signal(system, processes, Signal::Cont),
            Self::Renice { processes, nice } => {
                if !(-20..=19).contains(nice) {
                    let what = format!("{nice} is no nice level: they go from -20 to 19");
                    return Err(Error::Failed(what));
                }
                let mut draft = levels(system, processes, |process| Step::Nice {
                    process,
                    levels: nice.to_string(),
                });
                draft.effect = format!("Set the nice level of {} to {nice}", who(processes));
                draft.command = format!("renice -n {nice} -p {}", pids(processes));
                // Who may raise it again later: see setpriority(2).
                if *nice < 0 {
                    draft.privilege = Privilege::Root;
                }
                draft
            }
            Self::Io {
                processes,
                priority,
            } => {
                let mut draft = levels(system, processes, |process| Step::Io {
                    process,
                    levels: priority.to_string(),
                });
                draft.effect = format!("Set the I/O priority of {} to {priority}", who(processes));
                draft.command = match priority.0 >> 13 {
                    0 => format!("ionice -c 0 -p {}", pids(processes)),
                    class => {
                        let (level, pids) = (priority.0 & 7, pids(processes));
                        format!("ionice -c {class} -n {level} -p {pids}")
                    }
                };
                if priority.0 >> 13 == 1 {
                    draft.privilege = Privilege::Root;
                    draft.danger = Danger::Dangerous;
                    draft.warning = Some("others may not get at the disk any more".to_owned());
                }
                draft
            }
            Self::Freeze { group } => freeze(system, group, true)?,
            Self::Thaw { group } => freeze(system, group, false)?,
            Self::Limit { group, memory, cpu } => limit(system, group, *memory, *cpu)?,
            Self::Unit { unit, operation } => self::unit(unit, *operation),
            Self::Power { profile } => power(system, *profile)?,
            Self::Sysctl { key, value } => {
                if !key.range().contains(value) {
                    return Err(Error::Failed(format!(
                        "{} takes {} to {}, not {value}",
                        key.name(),
                        key.range().start(),
                        key.range().end()
                    )));
                }
                let step = Step::Sysctl {
                    key: *key,
                    value: *value,
                };
                let mut draft = Draft::new(Danger::Reversible, Privilege::Root);
                draft.effect = format!("Set {} to {value} until the next boot", key.name());
                if !system.recorded {
                    let now = step.state(system)?.unwrap_or_default();
                    draft.details.push(format!("it is {now} now"));
                }
                draft.command = format!("sysctl {}={value}", key.name());
                draft.steps.push(step);
                draft
            }
            Self::Clean { cache, keep } => clean(system, *cache, *keep)?,
        };
        if plan.steps.is_empty() && !plan.refused.is_empty() {
            return Err(Error::Failed(format!(
                "refused: {}",
                plan.refused.join("; ")
            )));
        }
        if plan.danger <= Danger::Reversible && plan.undo.is_none() && !plan.no_undo {
            plan.undo = Some("llama undo".to_owned());
        }
        Ok(Plan {
            action: self.clone(),
            preview: Preview {
                effect: plan.effect,
                details: plan.details,
                command: plan.command,
                danger: plan.danger,
                warning: plan.warning,
                privilege: plan.privilege,
                undo: plan.undo,
                refused: plan.refused,
                bytes: plan.bytes,
            },
            steps: plan.steps,
        })
    }
}

impl Plan {
    /// What would bring the state before back, were all steps done: for a journal that is written first. Things
    /// whose state cannot be read are left out.
    pub fn restores(&self, system: &System) -> Vec<Restore> {
        let back = |step: &Step| {
            let before = step.state(system).ok()??;
            let step = step.back_to(&before)?;
            Some(Restore { step, left: None })
        };
        self.steps.iter().filter_map(back).collect()
    }

    /// Does it, step by step. A step that fails does not keep the others from being tried.
    pub fn perform(&self, system: &System) -> Vec<Outcome> {
        if let Action::Clean { cache, .. } = self.action {
            if let Err(error) = cache::check_idle(system, cache) {
                return vec![Outcome {
                    subject: cache.name().to_owned(),
                    result: Err(error),
                    restore: None,
                }];
            }
        }
        let mut ending: Vec<(usize, Held)> = vec![];
        let mut outcomes: Vec<Outcome> = vec![];
        let (mut deleted, mut freed) = (0, 0);
        for step in &self.steps {
            if let Step::Delete { file } = step {
                // There may be very many: those that went as planned are counted.
                match step.run(system) {
                    Ok(_) => {
                        deleted += 1;
                        freed += file.bytes;
                        continue;
                    }
                    // Somebody else deleted it.
                    Err(Error::Gone) => continue,
                    Err(error) => {
                        outcomes.push(Outcome {
                            subject: step.subject(),
                            result: Err(error),
                            restore: None,
                        });
                        continue;
                    }
                }
            }
            let (result, restore) = perform(step, system);
            let result = result.map(|held| {
                if let (Some(held), Step::Signal { signal, .. }) = (held, step) {
                    if matches!(signal, Signal::Term | Signal::Kill) {
                        ending.push((outcomes.len(), held));
                    }
                }
                None
            });
            outcomes.push(Outcome {
                subject: step.subject(),
                result,
                restore,
            });
        }
        if let Action::Clean { cache, .. } = self.action {
            outcomes.push(Outcome {
                subject: cache.name().to_owned(),
                result: Ok(Some(format!("{deleted} files deleted, {}", bytes(freed)))),
                restore: None,
            });
        }
        let end = Instant::now() + GRACE;
        for (index, held) in ending {
            let left = end.saturating_duration_since(Instant::now());
            let note = if held.ended_within(left) {
                "ended".to_owned()
            } else {
                format!("was told to end, and has not within {} s", GRACE.as_secs())
            };
            if let Some(outcome) = outcomes.get_mut(index) {
                outcome.result = Ok(Some(note));
            }
        }
        outcomes
    }
}

/// Does a step, and finds what brings back the state before. A step that failed may have been done in part.
fn perform(step: &Step, system: &System) -> (Result<Option<Held>>, Option<Restore>) {
    let before = match step.state(system) {
        Ok(before) => before,
        Err(error) => return (Err(error), None),
    };
    let result = step.run(system);
    let left = match &result {
        Ok(_) => settled(step, system),
        Err(Error::Gone | Error::Reused) => return (result, None),
        // What is left in the end is not known yet.
        Err(Error::Late(_)) => None,
        Err(_) => step.state(system).ok().flatten(),
    };
    let restore = before.and_then(|before| undoing(step, &before, left));
    (result, restore)
}

/// What brings the state before a step back from the one that is left, where that is known. What is so already needs
/// no undoing.
fn undoing(step: &Step, before: &str, left: Option<String>) -> Option<Restore> {
    let back = step.back_to(before)?;
    let same = left.as_deref().and_then(|left| step.back_to(left)) == Some(back.clone());
    (!same).then_some(Restore { step: back, left })
}

/// The state behind a step: a process does not stop at once.
fn settled(step: &Step, system: &System) -> Option<String> {
    let end = Instant::now() + SOON;
    loop {
        let state = step.state(system).ok().flatten()?;
        let expected = match step {
            Step::Signal {
                signal: Signal::Stop,
                ..
            } => "stopped",
            Step::Signal {
                signal: Signal::Cont,
                ..
            } => "running",
            Step::Freezer { freeze: true, .. } => "frozen",
            Step::Freezer { freeze: false, .. } => "running",
            _ => return Some(state),
        };
        if state == expected || Instant::now() >= end {
            return Some(state);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How bringing something back went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is as it was.
    Done,
    /// It was already, or there is nothing left that could be brought back.
    Nothing(String),
    /// It was left alone or failed.
    Not(Error),
}

/// Brings back what was before a step, if nobody has changed it since. `same_boot` says whether the system still
/// runs that it was done on.
pub fn restore(restore: &Restore, system: &System, same_boot: bool) -> Restored {
    if matches!(
        restore.step,
        Step::Delete { .. }
            | Step::Signal {
                signal: Signal::Term | Signal::Kill,
                ..
            }
            | Step::Job {
                operation: Operation::Restart | Operation::Enable | Operation::Disable,
                ..
            }
    ) {
        return Restored::Not(Error::Refused("it brings nothing back"));
    }
    if !same_boot && restore.step.process().is_some() {
        return Restored::Nothing("gone: the system was restarted since".to_owned());
    }
    let now = match restore.step.state(system) {
        Ok(Some(now)) => now,
        Ok(None) => return Restored::Not(Error::Refused("it brings nothing back")),
        Err(error @ (Error::Gone | Error::Reused)) => return Restored::Nothing(error.to_string()),
        Err(error) => return Restored::Not(error),
    };
    if restore.step.back_to(&now).as_ref() == Some(&restore.step) {
        return Restored::Nothing("is so already".to_owned());
    }
    match &restore.left {
        Some(left) if *left != now => {
            let what = format!("it is {now} now, and was left as {left}");
            Restored::Not(Error::Changed(what))
        }
        _ => match restore.step.run(system) {
            Ok(_) => Restored::Done,
            Err(error @ (Error::Gone | Error::Reused)) => Restored::Nothing(error.to_string()),
            Err(error) => Restored::Not(error),
        },
    }
}

/// A preview that is being put together.
struct Draft {
    effect: String,
    details: Vec<String>,
    command: String,
    danger: Danger,
    warning: Option<String>,
    privilege: Privilege,
    undo: Option<String>,
    no_undo: bool,
    refused: Vec<String>,
    bytes: Option<u64>,
    steps: Vec<Step>,
}

impl Draft {
    fn new(danger: Danger, privilege: Privilege) -> Self {
        Self {
            effect: String::new(),
            details: vec![],
            command: String::new(),
            danger,
            warning: None,
            privilege,
            undo: None,
            no_undo: false,
            refused: vec![],
            bytes: None,
            steps: vec![],
        }
    }
}

fn bytes(bytes: u64) -> String {
    Quantity::Bytes(bytes).to_string()
}

/// Processes in a sentence.
fn who(processes: &Processes) -> String {
    let label = printable(&processes.label, 60);
    match processes.list.as_slice() {
        [one] => format!("{label} (process {})", one.pid),
        list => format!("{label} ({} processes)", list.len()),
    }
}

/// A process in a line.
fn line(process: &Process) -> String {
    format!(
        "{:>7}  {:<20}  {:<10}  {}",
        process.pid,
        printable(&process.name, 20),
        printable(&process.user, 10),
        bytes(process.memory)
    )
}

fn pids(processes: &Processes) -> String {
    let pids: Vec<_> = processes.list.iter().map(|p| p.pid.to_string()).collect();
    pids.join(" ")
}

/// Who may send signals to processes, or change their priorities.
fn privilege(system: &System, list: &[Process]) -> Privilege {
    if list.iter().all(|process| process.uid == system.uid) {
        Privilege::Own
    } else {
        Privilege::Root
    }
}

/// What is said of critical ones among processes.
fn critical(list: &[Process]) -> Option<String> {
    let names: Vec<_> = list
        .iter()
        .filter(|process| is_critical(&process.name))
        .map(|process| printable(&process.name, 20))
        .collect();
    let (first, rest) = names.split_first()?;
    Some(match rest.len() {
        0 => format!("{first} may take your session, or the machine, with it"),
        more => format!("{first} and {more} more may take your session, or the machine, with them"),
    })
}

fn signal(system: &System, processes: &Processes, signal: Signal) -> Draft {
    let (danger, verb, name) = match signal {
        Signal::Term => (Danger::LosesWork, "End", "TERM"),
        Signal::Kill => (Danger::Dangerous, "Kill", "KILL"),
        Signal::Stop => (Danger::Reversible, "Stop", "STOP"),
        Signal::Cont => (Danger::Reversible, "Resume", "CONT"),
    };
    let mut draft = Draft::new(danger, Privilege::Own);
    let mut left = vec![];
    for process in &processes.list {
        let why = match process.pid {
            ..=1 => "it is the first process of the system",
            2 => "it is the kernel's",
            pid if system.own.contains(&pid) && signal != Signal::Cont => {
                "it is what runs this program"
            }
            _ => {
                left.push(process.clone());
                continue;
            }
        };
        let name = printable(&process.name, 20);
        draft.refused.push(format!("{} {name}: {why}", process.pid));
    }
    let left = Processes {
        label: processes.label.clone(),
        list: left,
    };
    draft.privilege = privilege(system, &left.list);
    if signal != Signal::Cont {
        draft.warning = critical(&left.list);
    }
    if draft.warning.is_some() {
        draft.danger = Danger::Dangerous;
    } else if signal == Signal::Kill {
        draft.warning = Some("they cannot save anything before".to_owned());
    }
    draft.effect = format!("{verb} {}, {}", who(&left), bytes(left.memory()));
    draft.details = left.list.iter().map(line).collect();
    draft.command = format!("kill -{name} {}", pids(&left));
    draft.bytes = Some(left.memory());
    if signal == Signal::Stop {
        draft.undo = Some("llama undo lets them go on".to_owned());
    }
    draft.steps = left
        .list
        .into_iter()
        .map(|process| Step::Signal { process, signal })
        .collect();
    draft
}

fn levels(system: &System, processes: &Processes, step: impl Fn(Process) -> Step) -> Draft {
    let mut draft = Draft::new(Danger::Reversible, privilege(system, &processes.list));
    draft.details = processes.list.iter().map(line).collect();
    for process in &processes.list {
        if process.pid <= 2 {
            let name = printable(&process.name, 20);
            draft
                .refused
                .push(format!("{} {name}: it is the system's own", process.pid));
        } else {
            draft.steps.push(step(process.clone()));
        }
    }
    if system.uid != 0 {
        draft.undo = Some("llama undo, which may need root".to_owned());
    }
    draft
}

/// Whether systemd runs the system.
fn has_systemd(system: &System) -> bool {
    system.recorded || system.path("/run/systemd/system").exists()
}

/// The unit that owns a group, where systemd runs.
fn unit_of(system: &System, group: &Group) -> Option<Unit> {
    cgroup::owner(&group.path).filter(|_| has_systemd(system))
}

fn scope_word(unit: &Unit) -> &'static str {
    match unit.scope {
        Scope::System => "",
        Scope::User => "--user ",
    }
}

fn manage(unit: &Unit) -> Privilege {
    match unit.scope {
        Scope::System => Privilege::Polkit("org.freedesktop.systemd1.manage-units"),
        Scope::User => Privilege::Own,
    }
}

fn freeze(system: &System, group: &Group, freeze: bool) -> std::result::Result<Draft, Error> {
    if freeze && !system.recorded {
        step::refuse_own_group(&group.path)?;
    }
    let mut draft = Draft::new(Danger::Reversible, Privilege::Root);
    let (verb, word) = if freeze {
        ("Freeze", "freeze")
    } else {
        ("Thaw", "thaw")
    };
    let path = printable(&group.path, 100);
    let processes = Processes {
        label: group.label.clone(),
        list: group.processes.clone(),
    };
    draft.effect = format!("{verb} {}", who(&processes));
    draft.details = group.processes.iter().map(line).collect();
    draft.bytes = Some(processes.memory());
    if freeze {
        draft.warning = critical(&group.processes);
        if let Some(process) = group
            .processes
            .iter()
            .find(|process| process.pid <= 2 || system.own.contains(&process.pid))
        {
            let name = printable(&process.name, 20);
            return Err(Error::Failed(format!(
                "refused: {} {name} is in it, which runs this program or the system",
                process.pid
            )));
        }
    }
    if draft.warning.is_some() {
        draft.danger = Danger::Dangerous;
    }
    match unit_of(system, group) {
        Some(unit) => {
            draft.privilege = manage(&unit);
            let name = printable(&unit.name, 80);
            draft.command = format!("systemctl {}{word} {name}", scope_word(&unit));
            draft.steps.push(Step::Freezer { unit, freeze });
        }
        None => {
            let value = if freeze { "1" } else { "0" }.to_owned();
            draft.command = format!("echo {value} > /sys/fs/cgroup{path}/cgroup.freeze");
            draft.steps.push(Step::Cgroup {
                path: group.path.clone(),
                file: CgroupFile::Freeze,
                value,
            });
        }
    }
    Ok(draft)
}

/// The period in which the kernel counts processor time, in microseconds.
const PERIOD: u64 = 100_000;
/// The least limits that leave something running.
const LEAST_MEMORY: u64 = 16 << 20;

fn limit(
    system: &System,
    group: &Group,
    memory: Option<u64>,
    cpu: Option<u32>,
) -> std::result::Result<Draft, Error> {
    if memory.is_some_and(|memory| memory < LEAST_MEMORY) || cpu == Some(0) {
        return Err(Error::Failed(format!(
            "nothing runs with less than {} of memory, or with no processor",
            bytes(LEAST_MEMORY)
        )));
    }
    let mut draft = Draft::new(Danger::Reversible, Privilege::Root);
    let used = group
        .processes
        .iter()
        .fold(0, |sum: u64, process| sum.saturating_add(process.memory));
    let mut limits = vec![];
    if let Some(memory) = memory {
        limits.push(format!("{} of memory", bytes(memory)));
        let details = format!("it has {} now", bytes(used));
        draft.details.push(details);
        if used > memory {
            let slow = "it is slowed down, and swapped out, until it has less".to_owned();
            draft.details.push(slow);
        }
    }
    if let Some(cpu) = cpu {
        limits.push(format!("{cpu} % of one processor"));
    }
    if limits.is_empty() {
        return Err(Error::Failed("there is no limit to set".to_owned()));
    }
    let label = printable(&group.label, 60);
    draft.effect = format!(
        "Limit {label} ({} processes) to {} until the next boot",
        group.processes.len(),
        limits.join(" and ")
    );
    draft.details.extend(group.processes.iter().map(line));
    match unit_of(system, group) {
        Some(unit) => {
            draft.privilege = manage(&unit);
            let name = printable(&unit.name, 80);
            let scope = scope_word(&unit);
            draft.command = format!("systemctl {scope}set-property --runtime {name}");
            if let Some(value) = memory {
                draft.command += &format!(" MemoryHigh={value}");
                draft.steps.push(Step::Property {
                    unit: unit.clone(),
                    limit: Limit::MemoryHigh,
                    value,
                });
            }
            if let Some(percent) = cpu {
                draft.command += &format!(" CPUQuota={percent}%");
                draft.steps.push(Step::Property {
                    unit,
                    limit: Limit::CpuQuota,
                    // Microseconds of processor time in a second.
                    value: u64::from(percent) * 10_000,
                });
            }
        }
        None => {
            let path = printable(&group.path, 100);
            let mut commands = vec![];
            let mut write = |file, name, value: String| {
                commands.push(format!("echo {value} > /sys/fs/cgroup{path}/{name}"));
                draft.steps.push(Step::Cgroup {
                    path: group.path.clone(),
                    file,
                    value,
                });
            };
            if let Some(memory) = memory {
                write(CgroupFile::MemoryHigh, "memory.high", memory.to_string());
            }
            if let Some(percent) = cpu {
                let quota = u64::from(percent) * PERIOD / 100;
                let value = format!("{quota} {PERIOD}");
                write(CgroupFile::CpuMax, "cpu.max", value);
            }
            draft.command = commands.join("; ");
        }
    }
    Ok(draft)
}

/// Units that the session, the machine or the way to it needs.
const CRITICAL_UNITS: &[&str] = &[
    "dbus*",
    "systemd-*",
    "display-manager.service",
    "gdm*",
    "sddm*",
    "lightdm*",
    "greetd*",
    "sshd*",
    "ssh.*",
    "ssh@*",
    "NetworkManager*",
    "iwd.service",
    "wpa_supplicant*",
    "user@*",
    "user-runtime-dir@*",
    "session-*",
    "getty@*",
    "polkit*",
    "plasma-*",
    "gnome-session*",
    "org.gnome.Shell*",
    "*.target",
    "*.slice",
    "*.mount",
    "init.scope",
    "lvm2-*",
    "cryptsetup*",
];

fn unit(unit: &Unit, operation: Operation) -> Draft {
    let name = printable(&unit.name, 80);
    let (danger, at_boot) = match operation {
        Operation::Start => (Danger::Reversible, false),
        Operation::Stop | Operation::Restart => (Danger::LosesWork, false),
        Operation::Enable | Operation::Disable => (Danger::Reversible, true),
    };
    let mut draft = Draft::new(danger, manage(unit));
    if at_boot && unit.scope == Scope::System {
        draft.privilege = Privilege::Polkit("org.freedesktop.systemd1.manage-unit-files");
    }
    let ends = !matches!(operation, Operation::Start | Operation::Enable);
    if ends && CRITICAL_UNITS.iter().any(|known| alike(known, &unit.name)) {
        draft.danger = Danger::Dangerous;
        let why = format!("{name} is needed by your session, the machine, or the way to it");
        draft.warning = Some(why);
    }
    draft.effect = match operation {
        Operation::Start => format!("Start {name} now"),
        Operation::Stop => format!("Stop {name} now; it starts again at boot if it is enabled"),
        Operation::Restart => format!("Stop {name} and start it again"),
        Operation::Enable => format!("Have {name} started at boot, and leave it as it is now"),
        Operation::Disable => {
            format!("Do not have {name} started at boot any more, and leave it as it is now")
        }
    };
    draft.command = format!("systemctl {}{} {name}", scope_word(unit), operation.name());
    match operation {
        Operation::Stop => draft.undo = Some("llama undo starts it".to_owned()),
        Operation::Restart => draft.no_undo = true,
        _ => (),
    }
    let unit = unit.clone();
    draft.steps.push(match operation {
        Operation::Enable | Operation::Disable => Step::AtBoot {
            unit,
            enable: operation == Operation::Enable,
        },
        _ => Step::Job { unit, operation },
    });
    draft
}

fn power(system: &System, profile: Power) -> std::result::Result<Draft, Error> {
    let polkit = Privilege::Polkit("org.freedesktop.UPower.PowerProfiles.switch-profile");
    let mut draft = Draft::new(Danger::Reversible, polkit);
    let name = profile.name();
    draft.effect = format!("Choose the power profile {name}");
    draft.command = format!("powerprofilesctl set {name}");
    let step = Step::Profile { profile };
    if system.recorded {
        draft.steps.push(step);
        return Ok(draft);
    }
    match step.state(system) {
        Ok(now) => {
            let now = now.unwrap_or_default();
            draft
                .details
                .push(format!("it is {} now", printable(&now, 20)));
            draft.steps.push(step);
            return Ok(draft);
        }
        // Without the service the kernel is told itself.
        Err(Error::Unsupported(_)) => (),
        Err(error) => return Err(error),
    }
    draft.privilege = Privilege::Root;
    let mut commands = vec![];
    for policy in policies(system) {
        for (file, value) in frequency(system, policy, profile) {
            let path = file.path(policy);
            let now = system.read(&path)?;
            if now != value {
                draft.details.push(format!("{path}: {now} becomes {value}"));
            }
            commands.push(format!("echo {value} > {path}"));
            draft.steps.push(Step::Frequency {
                policy,
                file,
                value,
            });
        }
    }
    if draft.steps.is_empty() {
        return Err(Error::Unsupported(
            "there is no service of power profiles, and the frequency of these processors cannot be set"
                .to_owned(),
        ));
    }
    draft.command = commands.join("; ");
    Ok(draft)
}

/// The policies of processors, which some of them share.
fn policies(system: &System) -> Vec<u32> {
    let entries = std::fs::read_dir(system.path("/sys/devices/system/cpu/cpufreq"));
    let mut list: Vec<u32> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_prefix("policy")?.parse().ok()
        })
        .collect();
    list.sort_unstable();
    list
}

/// What a profile sets of a policy. The governor comes first: with "performance" the hardware takes no preference.
fn frequency(system: &System, policy: u32, profile: Power) -> Vec<(FrequencyFile, String)> {
    let list = |name: &str| {
        let path = format!("/sys/devices/system/cpu/cpufreq/policy{policy}/{name}");
        system.read(&path).unwrap_or_default()
    };
    let choose = |available: &str, wanted: &[&str]| {
        let has = |wanted: &&&str| available.split_whitespace().any(|one| one == **wanted);
        wanted.iter().find(has).map(|&found| found.to_owned())
    };
    let preference = choose(
        &list("energy_performance_available_preferences"),
        match profile {
            Power::PowerSaver => &["power"],
            Power::Balanced => &["balance_performance", "default"],
            Power::Performance => &["performance"],
        },
    );
    let governor = choose(
        &list("scaling_available_governors"),
        match (profile, &preference) {
            (Power::Performance, _) => &["performance"],
            // Where the hardware chooses, this leaves it to the hardware.
            (_, Some(_)) => &["powersave", "schedutil"],
            (Power::Balanced, None) => &["schedutil", "ondemand", "conservative"],
            (Power::PowerSaver, None) => &["powersave", "conservative"],
        },
    );
    let governor = governor.map(|value| (FrequencyFile::Governor, value));
    let preference = preference.map(|value| (FrequencyFile::Preference, value));
    governor.into_iter().chain(preference).collect()
}

fn clean(system: &System, which: Cache, keep: u32) -> std::result::Result<Draft, Error> {
    let (danger, privilege) = match which {
        Cache::Pacman | Cache::Apt => (Danger::Harmless, Privilege::Root),
        Cache::Thumbnails | Cache::Pip => (Danger::Harmless, Privilege::Own),
        Cache::Journal | Cache::Coredumps => (Danger::LosesWork, Privilege::Root),
    };
    let mut draft = Draft::new(danger, privilege);
    draft.no_undo = true;
    let kept = match (which, keep) {
        (Cache::Pacman, keep) => format!(", but for the {keep} newest versions of each package"),
        (Cache::Journal | Cache::Coredumps, keep) => {
            format!(", but for those of the last {keep} days")
        }
        _ => String::new(),
    };
    let name = which.name();
    if system.recorded {
        draft.effect = format!("Delete the files of {name}{kept}");
        let details = "which files that are is not among the facts";
        draft.details.push(details.to_owned());
    } else {
        let files = cache::list(system, which, keep)?;
        let total = files.iter().map(|file| file.bytes).sum();
        draft.bytes = Some(total);
        let count = files.len();
        draft.effect = format!("Delete {count} files of {name}{kept}: {}", bytes(total));
        let named = files.iter().take(NAMED).map(|file| {
            let path = file.base.join(&file.path);
            let path = printable(&path.to_string_lossy(), 100);
            format!("{:>10}  {path}", bytes(file.bytes))
        });
        draft.details.extend(named);
        if count > NAMED {
            draft.details.push(format!("and {} more", count - NAMED));
        }
        draft.steps = files
            .into_iter()
            .map(|file| Step::Delete { file })
            .collect();
    }
    let dir = cache::directory(system, which)?;
    let dir = printable(&dir.to_string_lossy(), 100);
    draft.command = match which {
        Cache::Pacman => format!("paccache -rk{keep}"),
        Cache::Apt => "apt-get clean".to_owned(),
        Cache::Journal => format!("journalctl --vacuum-time={keep}d"),
        _ => format!("find {dir} -type f -delete"),
    };
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_has_left_is_undone_unless_it_is_as_before() {
        use Operation::{Start, Stop};
        let job = |operation| Step::Job {
            unit: Unit {
                name: "a.service".to_owned(),
                scope: Scope::System,
            },
            operation,
        };
        for (operation, before, left, expected) in [
            (Stop, "active", Some("inactive"), Some(Start)),
            (Stop, "active", Some("deactivating"), Some(Start)),
            (Stop, "active", None, Some(Start)),
            (Stop, "active", Some("active"), None),
            (Stop, "active", Some("reloading"), None),
            (Stop, "deactivating", None, None),
            (Start, "inactive", Some("activating"), Some(Stop)),
            (Start, "inactive", Some("failed"), None),
        ] {
            let left = left.map(str::to_owned);
            let expected = expected.map(|operation| Restore {
                step: job(operation),
                left: left.clone(),
            });
            let found = undoing(&job(operation), before, left.clone());
            assert_eq!(found, expected, "{operation:?} {before} {left:?}");
        }
    }
}
