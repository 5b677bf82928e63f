// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama profile`: actions for a purpose, applied and undone together.

use std::fs;
use std::path::Path;
use std::process::Command;

use llamux_actions::history::Entry;
use llamux_actions::profile::{directories, is_name, list, read, Profile};
use llamux_actions::{printable, Danger, Plan, System};
use llamux_facts::Facts;

use crate::act::{self, confirmed, ended, failed, How};
use crate::cli::{Confirm, ProfileAction, ProfileOptions};
use crate::{history, output, Exit, Failure};

/// `llama profile`.
pub(crate) fn run(options: &ProfileOptions) -> Result<Exit, Failure> {
    match &options.action {
        ProfileAction::List => show_all(),
        ProfileAction::Show { name } => {
            let facts = act::facts();
            let system = System::running();
            output::print(&described(&find(name)?, &facts, &system))?;
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
        ProfileAction::Off { confirm } => off(&how(confirm, "off"), &System::running()),
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

/// What a profile would do here.
fn described(profile: &Profile, facts: &Facts, system: &System) -> String {
    let (actions, notes) = profile.actions(facts, system);
    let mut text = format!("{}\n", printable(&profile.description, 200));
    for action in actions {
        match action.plan(system) {
            Ok(plan) => text += &line(&plan),
            Err(error) => text += &format!("  not done: {error}\n"),
        }
    }
    for note in notes {
        text += &format!("  not done: {}\n", printable(&note, 200));
    }
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
    let (actions, notes) = profile.actions(facts, system);
    let mut plans: Vec<Plan> = vec![];
    let mut text = format!(
        "Apply the profile {name}: {}\n",
        printable(&profile.description, 200)
    );
    for action in actions {
        match action.plan(system) {
            Ok(plan) => {
                text += &line(&plan);
                plans.push(plan);
            }
            Err(error) => text += &format!("  not done: {error}\n"),
        }
    }
    for note in notes {
        text += &format!("  not done: {}\n", printable(&note, 200));
    }
    text += "  undo: llama profile off\n";
    output::print(&text)?;
    if how.dry_run {
        return Ok(Exit::Success);
    }
    if plans.is_empty() {
        return Err(failed("nothing of it can be done here".to_owned()));
    }
    let danger = plans.iter().map(|plan| plan.preview.danger).max();
    if !confirmed(danger.unwrap_or(Danger::Reversible), how)? {
        return Err(failed("nothing was done".to_owned()));
    }
    let mut all = vec![];
    for plan in &plans {
        let (_, outcomes) = act::perform(plan, request, Some(name), system)?;
        output::print(&act::results(&outcomes))?;
        all.extend(outcomes);
    }
    ended(&all, how)
}

/// Undoes what the profile that is applied did, the last thing first.
pub(crate) fn off(how: &How, system: &System) -> Result<Exit, Failure> {
    let (history, entries) = history::read()?;
    let Some((name, applied)) = applied(&entries.list) else {
        return Err(failed("no profile is applied".to_owned()));
    };
    let mut text = format!("End the profile {name}\n");
    for entry in &applied {
        for it in entry.restores.iter().rev() {
            text += &format!("    {}\n", it.step.describe());
        }
    }
    output::print(&text)?;
    if how.dry_run {
        return Ok(Exit::Success);
    }
    if !confirmed(Danger::Reversible, how)? {
        return Err(failed("nothing was undone".to_owned()));
    }
    let mut failures = vec![];
    for entry in applied {
        if let Err(failure) = history::bring_back(&history, entry, system) {
            failures.push(failure);
        }
    }
    match failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(Exit::Success),
    }
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
