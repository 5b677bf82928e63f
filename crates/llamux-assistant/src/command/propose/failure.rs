// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why a command failed, and what puts it right.

use std::path::Path;

use crate::command::files::{listed, mentioned, names, one_line};
use crate::command::{check, danger, missing, syntax, Context, Cost, Fix, ProposeError};
use crate::Model;

use super::answer::{command_of, mended};
use super::asker::Asker;
use super::asking::request;
use super::{proposal, REQUEST};

pub(in crate::command) fn fix(
    model: &mut dyn Model,
    context: &Context,
    each: &mut dyn FnMut(&str) -> bool,
) -> Result<Fix, ProposeError> {
    let last = match &context.last {
        Some(last) if last.status != 0 && !last.command.trim().is_empty() => last,
        _ => return Err(ProposeError::NothingFailed),
    };
    let error = last.error.as_deref().unwrap_or_default();
    let explanation = explanation(context, &last.command, last.status, error);
    if let Some(command) = mend_known(context, &last.command, last.status, error) {
        let problems = check::check(context, &command);
        if problems.is_empty() {
            let proposal = proposal(context, command, problems, Cost::default())?;
            return Ok(Fix {
                explanation,
                proposal: Some(proposal),
            });
        }
    }
    let error = one_line(last_lines(error), REQUEST);
    let command = one_line(&last.command, REQUEST);
    let files = mentioned(&context.cwd, &command);
    let said = if error.is_empty() {
        format!("Failed with status {}: `{command}`", last.status)
    } else {
        format!("Failed: `{command}`\nError: {error}")
    };
    let question = format!(
        "{said}\n{}correct this command",
        listed(&context.cwd, &files, &command)
    );
    let mut asker = Asker::new(model, each);
    let found = asker.command(
        context,
        &command,
        request(context, &[], question),
        &|said| command_of(said).map(|better| mended(context, &better, &files, &command)),
    );
    let proposal = match found {
        // The same again would fail again.
        Ok((again, _)) if again.trim() == last.command.trim() => None,
        Ok(found) => asker.proposal(context, found).ok(),
        Err(ProposeError::NoCommand { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Fix {
        explanation,
        proposal,
    })
}

/// The end of what a command wrote, where the reason is.
fn last_lines(text: &str) -> &str {
    let text = text.trim_end();
    let begin = text
        .char_indices()
        .rev()
        .map(|(at, _)| at)
        .take(REQUEST)
        .last()
        .unwrap_or(0);
    text.get(begin..).unwrap_or(text)
}

/// What the status and the message of a command that failed mean.
fn explanation(context: &Context, command: &str, status: i32, error: &str) -> String {
    let script = syntax::parse(command);
    let name = script
        .calls
        .first()
        .and_then(|call| call.name())
        .unwrap_or("the command")
        .to_owned();
    let lower = error.to_lowercase();
    let says = |text: &str| lower.contains(text);
    let mut out = match status {
        127 => {
            let missing = script
                .calls
                .iter()
                .filter_map(|call| call.name())
                .find(|name| !check::builtin(name) && context.machine.program(name).is_none())
                .unwrap_or(&name)
                .to_owned();
            format!("there is no command {missing}")
        }
        126 => format!("{name} is there, but may not be run: it is no program, or not executable"),
        130 => format!("{name} was interrupted with Ctrl-C"),
        137 => format!("{name} was killed (signal 9), by somebody or because memory ran out"),
        139 => format!("{name} crashed: it used memory that is not its own (signal 11)"),
        141 => format!("{name} was writing to a pipe that nobody reads any more"),
        143 => format!("{name} was asked to end (signal 15)"),
        129..=192 => format!("{name} was ended by signal {}", status - 128),
        124 if name == "timeout" => "the time that timeout gave it was up".into(),
        _ if !script.errors.is_empty() => {
            let what = script.errors.first().map_or("", |(_, what)| what.as_str());
            format!("the shell does not understand it: {what}")
        }
        _ if says("permission denied")
            || says("operation not permitted")
            || says("are you root")
            || says("must be root") =>
        {
            format!("{name} has no right to do this")
        }
        _ if says("no such file or directory") => {
            format!("{name} was told a file that does not exist")
        }
        _ if says("no space left") => "the file system is full".into(),
        _ if says("is a directory") => {
            format!("{name} was told a directory where a file is needed")
        }
        _ if says("not a directory") => {
            format!("{name} was told a file where a directory is needed")
        }
        _ if says("file exists") => "what it should make is there already".into(),
        _ if says("unrecognized option") || says("invalid option") || says("unknown option") => {
            format!("{name} does not have this option")
        }
        _ if says("could not resolve")
            || says("name or service not known")
            || says("temporary failure in name resolution") =>
        {
            "the name of the machine could not be looked up".into()
        }
        _ if says("connection refused") => "nothing listens there".into(),
        _ if says("timed out") => "no answer came in time".into(),
        _ if says("address already in use") => "something else uses this port already".into(),
        _ if says("device or resource busy") || says("target is busy") => {
            "something still uses it".into()
        }
        1 if matches!(
            name.as_str(),
            "grep" | "rg" | "pgrep" | "diff" | "cmp" | "test" | "["
        ) && error.is_empty() =>
        {
            match name.as_str() {
                "diff" | "cmp" => "the files differ; that is no error".into(),
                "test" | "[" => "the condition is false; that is no error".into(),
                _ => "nothing matched; that is no error".into(),
            }
        }
        _ => format!("{name} failed with status {status}"),
    };
    let line = error.lines().map(str::trim).rfind(|line| !line.is_empty());
    if let Some(line) = line {
        let line: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
        out.push_str(&format!(" (it said: {line})"));
    }
    out
}

/// Mistakes that need no model.
fn mend_known(context: &Context, command: &str, status: i32, error: &str) -> Option<String> {
    let script = syntax::parse(command);
    let replaced = |span: &std::ops::Range<usize>, by: &str| {
        let mut out = command.to_owned();
        out.get(span.clone())?;
        out.replace_range(span.clone(), by);
        Some(out)
    };
    if status == 127 {
        let call = script.calls.iter().find(|call| {
            call.name().is_some_and(|name| {
                !check::builtin(name) && context.machine.program(name).is_none()
            })
        })?;
        let similar = missing::not_found(context, call.name()?).similar;
        return replaced(&call.words.first()?.span, similar.first()?);
    }
    // git says itself what it took the word for.
    for line in error
        .lines()
        .rev()
        .filter(|_| error.contains("most similar command"))
    {
        let meant = line.trim();
        if !meant.is_empty() && meant.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            let call = script
                .calls
                .iter()
                .find(|call| call.name() == Some("git"))?;
            let verb = call
                .operands()
                .iter()
                .find(|word| !word.text.starts_with('-'))?;
            return replaced(&verb.span, meant);
        }
    }
    if error.contains("No such file or directory") {
        for word in script.calls.iter().flat_map(|call| call.operands()) {
            let path = Path::new(&word.text);
            let named = error.contains(&word.text)
                && word.known
                && !word.pattern
                && !word.text.starts_with('-');
            if !named || context.cwd.join(path).exists() {
                continue;
            }
            let name = path.file_name()?.to_str()?;
            let directory = path.parent().unwrap_or(Path::new(""));
            let near = names(&context.cwd.join(directory))
                .into_iter()
                .map(|found| (missing::distance(name, &found), found))
                .filter(|(distance, _)| *distance <= 2.min(name.len().saturating_sub(1)))
                .min()?;
            let whole = directory.join(near.1);
            return replaced(&word.span, &syntax::quoted(whole.to_str()?));
        }
    }
    let lower = error.to_lowercase();
    let denied = [
        "permission denied",
        "operation not permitted",
        "are you root",
        "must be root",
        "superuser",
    ]
    .iter()
    .any(|text| lower.contains(text));
    let system = danger::judge(command).danger >= danger::Danger::ChangesSystem;
    let one = script.calls.len() == 1 && script.calls.iter().all(|call| call.redirects.is_empty());
    (denied && system && one && !context.root).then(|| format!("sudo {command}"))
}
