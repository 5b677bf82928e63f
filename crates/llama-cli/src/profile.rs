// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama profile`: actions for a purpose, applied and undone together.

use std::fs;
use std::path::Path;
use std::process::Command;

use llamux_actions::history::{Done, Entry};
use llamux_actions::profile::{directories, is_name, list, read, Profile};
use llamux_actions::{printable, Danger, Plan, System};
use llamux_facts::Facts;

use crate::act::{self, confirm, ended, failed, How, Json};
use crate::cli::{Confirm, ProfileAction, ProfileOptions};
use crate::history::{self, Brought};
use crate::{output, Exit, Failure};

/// `llama profile`.
pub(crate) fn run(options: &ProfileOptions) -> Result<Exit, Failure> {
    match &options.action {
        ProfileAction::List => show_all(),
        ProfileAction::Show { name } => {
            let profile = find(name)?;
            let (plans, left_out) = planned(&profile, &act::facts(), &System::running());
            output::print(&described(&profile, &plans, &left_out))?;
            Ok(Exit::Success)
        }
        ProfileAction::Apply { name, confirm } => {
            let how = how(confirm, &format!("apply {name}"));
            apply(
                name,
                &format!("profile {name}"),
                &how,
                &act::facts(),
                &System::running(),
            )
        }
        ProfileAction::Off { confirm } => {
            off("profile off", &how(confirm, "off"), &System::running())
        }
        ProfileAction::Edit { name } => edit(name),
    }
}

fn how(confirm: &Confirm, rest: &str) -> How {
    How {
        yes: confirm.yes,
        dry_run: confirm.dry_run,
        json: false,
        again: format!("sudo llama profile {rest}"),
    }
}

fn find(name: &str) -> Result<Profile, Failure> {
    let all = list(&directories());
    let path = all.get(name).ok_or_else(|| {
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        let name = printable(name, 60);
        failed(match names.is_empty() {
            true => format!("there is no profile {name}, and no other one"),
            false => format!("there is no profile {name}; there are {}", names.join(", ")),
        })
    })?;
    read(path).map_err(failed)
}

fn show_all() -> Result<Exit, Failure> {
    let (_, entries) = history::read()?;
    let applied = applied(&entries.list).map(|(name, _)| name);
    let mut text = String::new();
    for (name, path) in list(&directories()) {
        let what = match read(&path) {
            Ok(profile) => printable(&profile.description, 100),
            Err(error) => format!("cannot be used: {}", printable(&error, 200)),
        };
        let mark = if applied == Some(name.as_str()) {
            '*'
        } else {
            ' '
        };
        text += &format!("{mark} {name:<12}  {what}\n");
    }
    if text.is_empty() {
        text = "There are no profiles.\n".to_owned();
    }
    output::print(&text)?;
    Ok(Exit::Success)
}

/// What a profile does here, and what it cannot.
fn planned(profile: &Profile, facts: &Facts, system: &System) -> (Vec<Plan>, Vec<String>) {
    let (actions, notes) = profile.actions(facts, system);
    let (mut plans, mut left_out) = (vec![], vec![]);
    for action in actions {
        match action.plan(system) {
            Ok(plan) => plans.push(plan),
            Err(error) => left_out.push(error.to_string()),
        }
    }
    left_out.extend(notes.iter().map(|note| printable(note, 200)));
    (plans, left_out)
}

/// That, for people.
fn described(profile: &Profile, plans: &[Plan], left_out: &[String]) -> String {
    let mut text = format!("{}\n", printable(&profile.description, 200));
    text.extend(plans.iter().map(line));
    text.extend(left_out.iter().map(|note| format!("  not done: {note}\n")));
    text
}

fn line(plan: &Plan) -> String {
    let preview = &plan.preview;
    format!(
        "  {}  [{}, needs: {}]\n",
        preview.effect, preview.danger, preview.privilege
    )
}

/// What is applied: its name, and its entries in the journal, the latest first.
fn applied(entries: &[Entry]) -> Option<(&str, Vec<&Entry>)> {
    let open = |entry: &&Entry| entry.undone.is_none() && !entry.restores.is_empty();
    let last = entries
        .iter()
        .filter(open)
        .rfind(|entry| entry.profile.is_some())?;
    let name = last.profile.as_deref()?;
    let same = |entry: &&Entry| entry.profile.as_deref() == Some(name);
    let all = entries.iter().rev().filter(open).filter(same).collect();
    Some((name, all))
}

/// Applies a profile.
pub(crate) fn apply(
    name: &str,
    request: &str,
    how: &How,
    facts: &Facts,
    system: &System,
) -> Result<Exit, Failure> {
    let profile = find(name)?;
    let (_, entries) = history::read()?;
    if let (Some((other, _)), false) = (applied(&entries.list), how.dry_run) {
        return Err(failed(format!(
            "the profile {other} is applied: end it first by llama profile off"
        )));
    }
    let (plans, left_out) = planned(&profile, facts, system);
    let mut json = Json {
        request,
        decision: "profile",
        profile: Some(name),
        previews: plans.iter().map(|plan| &plan.preview).collect(),
        left_out,
        done: Some(false),
        ..Json::default()
    };
    if !how.json {
        let what = described(&profile, &plans, &json.left_out);
        output::print(&format!(
            "Apply the profile {name}: {what}  undo: llama profile off\n"
        ))?;
    }
    if how.dry_run {
        return json.printed(how, Ok(Exit::Success));
    }
    if plans.is_empty() {
        let failure = failed("nothing of it can be done here".to_owned());
        return json.printed(how, Err(failure));
    }
    let danger = plans.iter().map(|plan| plan.preview.danger).max();
    let danger = danger.unwrap_or(Danger::Reversible);
    if let Err(failure) = confirm(danger, how, "nothing was done") {
        return json.printed(how, Err(failure));
    }
    let mut all = vec![];
    for plan in &plans {
        let (_, outcomes) = act::perform(plan, request, Some(name), system)?;
        if !how.json {
            output::print(&act::results(&outcomes))?;
        }
        all.extend(outcomes);
    }
    json.results = all.iter().map(Done::from).collect();
    json.done = Some(json.results.iter().all(|done| done.ok));
    json.printed(how, ended(&all, how))
}

/// Undoes what the profile that is applied did, the last thing first.
pub(crate) fn off(request: &str, how: &How, system: &System) -> Result<Exit, Failure> {
    let (history, entries) = history::read()?;
    let Some((name, applied)) = applied(&entries.list) else {
        return Err(failed("no profile is applied".to_owned()));
    };
    let steps = applied.iter().flat_map(|entry| entry.restores.iter().rev());
    let mut json = Json {
        request,
        decision: "profile-off",
        profile: Some(name),
        restores: steps.map(|it| it.step.describe()).collect(),
        done: Some(false),
        ..Json::default()
    };
    if !how.json {
        let lines = json.restores.iter().map(|line| format!("    {line}\n"));
        let lines: String = lines.collect();
        output::print(&format!("End the profile {name}\n{lines}"))?;
    }
    if how.dry_run {
        return json.printed(how, Ok(Exit::Success));
    }
    if let Err(failure) = confirm(Danger::Reversible, how, "nothing was undone") {
        return json.printed(how, Err(failure));
    }
    let mut all = Brought::default();
    for entry in applied {
        let brought = history::bring_back(&history, entry, system);
        if !how.json {
            output::print(&brought.text())?;
        }
        all.add(brought);
    }
    json.results = all.results.clone();
    let end = all.ended();
    json.done = Some(end.is_ok());
    json.printed(how, end)
}

/// Opens the user's own copy of a profile in an editor, and checks it after that.
fn edit(name: &str) -> Result<Exit, Failure> {
    if !is_name(name) {
        return Err(Failure::usage(
            "a profile's name has letters, digits, \"-\" and \"_\", and at most 64 of them",
        ));
    }
    let all = directories();
    let own = all
        .first()
        .filter(|dir| !dir.starts_with("/etc") && !dir.starts_with("/usr"))
        .ok_or_else(|| failed("HOME does not say where your profiles are".to_owned()))?;
    let path = own.join(format!("{name}.toml"));
    let io = |error: std::io::Error| Failure::io(&path.display().to_string(), &error);
    if !path.exists() {
        fs::create_dir_all(own).map_err(io)?;
        let text = match list(&all).get(name) {
            Some(other) => fs::read_to_string(other).map_err(io)?,
            None => "description = \"\"\n".to_owned(),
        };
        fs::write(&path, text).map_err(io)?;
    }
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        })
        .unwrap_or_else(|| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program)
        .args(words)
        .arg(&path)
        .status()
        .map_err(|error| {
            Failure::io(
                &format!("the editor {program} (EDITOR names another)"),
                &error,
            )
        })?;
    if !status.success() {
        return Err(failed(format!("{program} ended with {status}")));
    }
    checked(&path)
}

fn checked(path: &Path) -> Result<Exit, Failure> {
    read(path).map_err(failed)?;
    output::print(&format!("{} is sound.", path.display()))?;
    Ok(Exit::Success)
}
