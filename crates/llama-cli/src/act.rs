// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama do`, and orders in plain words: one action, shown with its effect, confirmed, done and noted.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use llamux_actions::history::{Done, History};
use llamux_actions::{Action, Danger, Error, Outcome, Plan, Preview, System};
use llamux_assistant::action::{decide, Decision, Scene};
use llamux_assistant::command::quoted;
use llamux_assistant::Kernel;
use llamux_facts::Facts;
use serde::Serialize;

use crate::cli::{Ask, DoOptions};
use crate::{output, profile, Exit, Failure};

/// Over how long it is measured who uses what.
const SAMPLE: Duration = Duration::from_millis(300);
/// Longest request in bytes.
const REQUEST: usize = 2000;
/// Details that are shown of one action.
const DETAILS: usize = 20;
/// Where units are installed.
const UNITS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// How something is to be done.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    pub(crate) yes: bool,
    pub(crate) dry_run: bool,
    pub(crate) json: bool,
    /// What to type to do it as root.
    pub(crate) again: String,
}

/// What `--json` prints.
#[derive(Default, Serialize)]
pub(crate) struct Json<'a> {
    pub(crate) request: &'a str,
    pub(crate) decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) choices: Vec<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'a Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preview: Option<&'a Preview>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<&'a str>,
    /// Of what a profile does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) previews: Vec<&'a Preview>,
    /// What a profile would do elsewhere, and why not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<String>,
    /// What the end of a profile brings back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) restores: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) done: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) results: Vec<Done>,
}

impl Json<'_> {
    /// How it ends, after it was printed where it is wanted.
    pub(crate) fn printed(&self, how: &How, end: Result<Exit, Failure>) -> Result<Exit, Failure> {
        if how.json {
            output::print(&serde_json::to_string(self).unwrap_or_default())?;
        }
        end
    }
}

/// An order among plain words.
pub(crate) fn run(request: &str, options: &Ask) -> Result<Exit, Failure> {
    let how = How {
        yes: options.yes,
        dry_run: options.dry_run,
        json: false,
        again: again("do", request),
    };
    order(request, &how, None, options.model.clone())
}

/// `llama do`.
pub(crate) fn run_do(options: &DoOptions) -> Result<Exit, Failure> {
    let request = words(&options.words)?;
    let how = How {
        yes: options.confirm.yes,
        dry_run: options.confirm.dry_run,
        json: options.json,
        again: again("do", &request),
    };
    order(
        &request,
        &how,
        options.facts.as_deref(),
        options.model.clone(),
    )
}

fn words(words: &[std::ffi::OsString]) -> Result<String, Failure> {
    let texts: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    let texts = texts.ok_or_else(|| Failure::usage("a word of the request is not UTF-8"))?;
    let request = texts.join(" ");
    if request.len() > REQUEST {
        return Err(Failure::usage(format!(
            "the request has {} bytes, and may have {REQUEST}: say only what to do",
            request.len()
        )));
    }
    Ok(request)
}

/// What to type to do the same as root.
pub(crate) fn again(command: &str, request: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " -_./:%".contains(c);
    if request.chars().all(plain) {
        format!("sudo llama {command} {request}")
    } else {
        format!("sudo llama {command} {}", quoted(request))
    }
}

fn order(
    request: &str,
    how: &How,
    file: Option<&Path>,
    model: Option<String>,
) -> Result<Exit, Failure> {
    let (facts, system) = match file {
        Some(path) => {
            let facts =
                llamux_facts::read(path).map_err(|error| Failure::usage(error.to_string()))?;
            let uid = facts.collected.uid;
            (facts, System::recorded(uid))
        }
        None => {
            let system = System::running();
            let mut facts = facts();
            forget(&mut facts, &system);
            (facts, system)
        }
    };
    let unit_files = if file.is_some() { vec![] } else { unit_files() };
    let directories = llamux_actions::profile::directories();
    let profiles: Vec<_> = llamux_actions::profile::list(&directories)
        .into_keys()
        .collect();
    let scene = Scene {
        facts: &facts,
        unit_files: &unit_files,
        profiles: &profiles,
    };
    let mut kernel = Kernel {
        model,
        no_wait: true,
    };
    let mut without = None;
    let decision = match decide(request, scene, Some(&mut kernel)) {
        Ok(decision) => decision,
        Err(error) => {
            // Most requests say it in words that need no model.
            without = Some(error.to_string());
            decide(request, scene, None)?
        }
    };
    let model_note = |reason: String| match &without {
        Some(error) => {
            format!("{reason} (only its words were looked at, as there is no model: {error})")
        }
        None => reason,
    };
    match decision {
        Decision::Act(action) => carry_out(&action, request, how, &system),
        Decision::Profile(name) => profile::apply(&name, request, how, &facts, &system),
        Decision::ProfileOff => profile::off(request, how, &system),
        Decision::Nothing(reason) => {
            let reason = model_note(reason);
            if how.json {
                let json = Json {
                    request,
                    decision: "nothing",
                    reason: Some(reason),
                    ..Json::default()
                };
                return json.printed(how, Ok(Exit::Failure));
            }
            Err(failed(format!("nothing was done: {reason}")))
        }
        Decision::Ask { question, choices } => {
            if how.json {
                let json = Json {
                    request,
                    decision: "ask",
                    reason: Some(question),
                    choices,
                    ..Json::default()
                };
                return json.printed(how, Ok(Exit::Failure));
            }
            ask_back(&model_note(question), &choices, request, how, &system)
        }
    }
}

/// Lets a person choose what was meant.
fn ask_back(
    question: &str,
    choices: &[Action],
    request: &str,
    how: &How,
    system: &System,
) -> Result<Exit, Failure> {
    let plans: Vec<Plan> = choices
        .iter()
        .filter_map(|action| action.plan(system).ok())
        .collect();
    let mut text = format!("{question}\n");
    for (index, plan) in plans.iter().enumerate() {
        text += &format!("  {}  {}\n", index + 1, plan.preview.effect);
    }
    output::print(&text)?;
    if plans.is_empty() || how.dry_run || !io::stdin().is_terminal() {
        return Err(failed(
            "nothing was done: say it with the name that you mean".to_owned(),
        ));
    }
    let answer = answer(&format!(
        "Which one? [1-{}, nothing for none] ",
        plans.len()
    ))?;
    let chosen = answer
        .trim()
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_sub(1));
    match chosen.and_then(|index| plans.get(index)) {
        Some(plan) => carry_out(&plan.action, request, how, system),
        None => Err(failed("nothing was done".to_owned())),
    }
}

/// Shows an action, asks, does it, and notes it.
fn carry_out(action: &Action, request: &str, how: &How, system: &System) -> Result<Exit, Failure> {
    let plan = action.plan(system).map_err(|error| refused(&error, how))?;
    let mut json = Json {
        request,
        decision: "act",
        action: Some(action),
        preview: Some(&plan.preview),
        done: Some(false),
        ..Json::default()
    };
    if !how.json {
        output::print(&shown(&plan.preview))?;
    }
    if how.dry_run {
        return json.printed(how, Ok(Exit::Success));
    }
    if plan.steps.is_empty() {
        if !how.json {
            output::print("There is nothing to do.")?;
        }
        return json.printed(how, Ok(Exit::Success));
    }
    if let Err(failure) = confirm(plan.preview.danger, how, "nothing was done") {
        return json.printed(how, Err(failure));
    }
    let (id, outcomes) = perform(&plan, request, None, system)?;
    json.id = Some(id);
    json.done = Some(outcomes.iter().all(|outcome| outcome.result.is_ok()));
    json.results = outcomes.iter().map(Done::from).collect();
    if !how.json {
        output::print(&results(&outcomes))?;
        let undoable = outcomes.iter().any(|outcome| outcome.restore.is_some());
        if undoable {
            output::print(&format!("llama undo {id} brings back what was before."))?;
        }
    }
    json.printed(how, ended(&outcomes, how))
}

/// Notes what is about to be done, does it, and notes how that went.
pub(crate) fn perform(
    plan: &Plan,
    request: &str,
    profile: Option<&str>,
    system: &System,
) -> Result<(u64, Vec<Outcome>), Failure> {
    let history = journal()?;
    let id = history
        .begin(plan, request, profile, system)
        .map_err(|error| unwritten(&history, &error))?;
    let outcomes = plan.perform(system);
    history
        .end(id, &outcomes)
        .map_err(|error| unwritten(&history, &error))?;
    Ok((id, outcomes))
}

/// The journal of this user.
pub(crate) fn journal() -> Result<History, Failure> {
    History::own().map_err(|error| Failure::io("the journal", &error))
}

/// Without its line in the journal nothing is done, as it could not be undone.
pub(crate) fn unwritten(history: &History, error: &io::Error) -> Failure {
    Failure::io(&format!("the journal {}", history.path().display()), error)
}

/// How it ends when some of it may have failed.
pub(crate) fn ended(outcomes: &[Outcome], how: &How) -> Result<Exit, Failure> {
    let denied = |outcome: &Outcome| matches!(outcome.result, Err(Error::Permission(_)));
    let failures = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_err())
        .count();
    if failures == 0 {
        return Ok(Exit::Success);
    }
    let mut message = format!("{failures} of {} failed", outcomes.len());
    if outcomes.iter().any(denied) && !rustix_root() {
        message += &format!("; with root's rights: {}", how.again);
    }
    Err(failed(message))
}

pub(crate) fn rustix_root() -> bool {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// An action, for people.
pub(crate) fn shown(preview: &Preview) -> String {
    let mut text = format!("{}\n", preview.effect);
    for line in preview.details.iter().take(DETAILS) {
        text += &format!("    {line}\n");
    }
    if preview.details.len() > DETAILS {
        text += &format!("    and {} more\n", preview.details.len() - DETAILS);
    }
    for line in &preview.refused {
        text += &format!("  left out: {line}\n");
    }
    text += &format!(
        "  like:   {}\n",
        llamux_actions::printable(&preview.command, 300)
    );
    text += &format!("  danger: {}", preview.danger);
    if let Some(warning) = &preview.warning {
        text += &format!(": {warning}");
    }
    text += &format!("\n  needs:  {}\n", preview.privilege);
    let undo = preview.undo.as_deref().unwrap_or("none");
    text + &format!("  undo:   {undo}\n")
}

/// What became of each step.
pub(crate) fn results(outcomes: &[Outcome]) -> String {
    let line = |outcome: &Outcome| {
        let note = match &outcome.result {
            Ok(Some(note)) => note.clone(),
            Ok(None) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        format!("{}: {note}\n", outcome.subject)
    };
    outcomes.iter().map(line).collect()
}

/// Has it confirmed. Dangerous things are asked about in any case; `otherwise` says how it ends without a yes.
pub(crate) fn confirm(danger: Danger, how: &How, otherwise: &str) -> Result<(), Failure> {
    if how.yes && danger < Danger::Dangerous {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let message = if how.yes {
            "not done: it is dangerous, so that --yes does not do, and standard input is no terminal to ask on"
        } else {
            "not done: standard input is no terminal to ask on; --yes does it without asking"
        };
        return Err(failed(message.to_owned()));
    }
    let yes = if danger == Danger::Dangerous {
        answer("This is dangerous. Type \"yes\" to do it: ")?.trim() == "yes"
    } else {
        let answer = answer("Do it? [y/N] ")?.trim().to_lowercase();
        matches!(answer.as_str(), "y" | "yes")
    };
    match yes {
        true => Ok(()),
        false => Err(failed(otherwise.to_owned())),
    }
}

/// What is typed; nothing at the end of the input.
fn answer(question: &str) -> Result<String, Failure> {
    let mut stderr = io::stderr().lock();
    // The question is not what a program would read.
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let mut line = String::new();
    let read = io::stdin().lock().take(1000).read_line(&mut line);
    match read {
        Ok(0) => {
            let _ = writeln!(stderr);
            Ok(String::new())
        }
        Ok(_) => Ok(line),
        Err(error) => Err(Failure::io("standard input", &error)),
    }
}

pub(crate) fn failed(message: String) -> Failure {
    Failure {
        exit: Exit::Failure,
        message,
    }
}

pub(crate) fn refused(error: &Error, how: &How) -> Failure {
    let mut message = error.to_string();
    if matches!(error, Error::Permission(_)) && !rustix_root() {
        message += &format!("; with root's rights: {}", how.again);
    }
    failed(message)
}

/// The facts of this machine that matter here.
pub(crate) fn facts() -> Facts {
    llamux_facts::collect(&llamux_facts::Options {
        sample: SAMPLE,
        ..llamux_facts::Options::default()
    })
}

/// Takes this program, and what started it with the request among its words, out of the facts: they would be named by
/// any request.
fn forget(facts: &mut Facts, system: &System) {
    let own = |process: &llamux_facts::facts::Process| {
        system.own.contains(&process.pid) && process.command.contains("llama")
    };
    let pids: Vec<i32> = facts
        .processes
        .iter()
        .filter(|p| own(p))
        .map(|p| p.pid)
        .collect();
    facts
        .processes
        .retain(|process| !pids.contains(&process.pid));
    for group in &mut facts.groups {
        group.pids.retain(|pid| !pids.contains(pid));
    }
}

/// The names of units that are installed.
fn unit_files() -> Vec<String> {
    let mut names = vec![];
    for dir in UNITS {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        names.extend(entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.ends_with(".service").then_some(name)
        }));
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_type_as_root_is_quoted() {
        for (request, expected) in [
            ("restart nginx", "sudo llama do restart nginx"),
            ("kill $(x)", "sudo llama do 'kill $(x)'"),
            ("it's", "sudo llama do 'it'\\''s'"),
        ] {
            assert_eq!(again("do", request), expected);
        }
    }
}
