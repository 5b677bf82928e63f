// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama history` and `llama undo`.

use llamux_actions::history::{boot, now, Done, Entries, Entry, History};
use llamux_actions::{printable, restore, Danger, Restore, Restored, System};
use llamux_facts::Quantity;
use llamux_usage::complain;

use crate::act::{confirm, failed, journal, rustix_root, unwritten, How};
use crate::cli::{HistoryOptions, UndoOptions};
use crate::{output, Exit, Failure};

/// `llama history`.
pub(crate) fn run(options: &HistoryOptions) -> Result<Exit, Failure> {
    let (history, entries) = read()?;
    if options.json {
        let list = serde_json::to_string(&entries.list).unwrap_or_default();
        output::print(&list)?;
    } else if entries.list.is_empty() {
        output::print("Nothing was done yet.")?;
    } else {
        let lines: String = entries.list.iter().map(line).collect();
        output::print(&lines)?;
    }
    if entries.skipped > 0 {
        let path = history.path().display();
        complain!(
            "llama: {} lines of {path} could not be understood",
            entries.skipped
        );
    }
    Ok(Exit::Success)
}

pub(crate) fn read() -> Result<(History, Entries), Failure> {
    let history = journal()?;
    let entries = history
        .read()
        .map_err(|error| unwritten(&history, &error))?;
    Ok((history, entries))
}

/// An entry in a line, with what was asked for below it.
fn line(entry: &Entry) -> String {
    let state = match (&entry.results, entry.undone) {
        (_, Some(_)) => "undone",
        (None, None) => "cut short",
        (Some(results), None) => match results.iter().filter(|done| !done.ok).count() {
            0 => "done",
            failures if failures == results.len() => "failed",
            _ => "failed in part",
        },
    };
    let undo = match (&entry.results, entry.undone) {
        (Some(_), None) if !entry.restores.is_empty() => ", can be undone",
        _ => "",
    };
    // CAST: Seconds are far below 2^53.
    let age = Quantity::Seconds(now().saturating_sub(entry.time) as f64);
    let of = entry
        .profile
        .as_ref()
        .map_or_else(String::new, |name| format!(" (profile {name})"));
    format!(
        "{:>4}  {age} ago  {}  [{state}{undo}]\n      \"{}\"{of}\n",
        entry.id,
        printable(&entry.effect, 200),
        printable(&entry.request, 100)
    )
}

/// `llama undo`.
pub(crate) fn undo(options: &UndoOptions) -> Result<Exit, Failure> {
    let (history, entries) = read()?;
    let entry = match options.number {
        Some(number) => entries
            .list
            .iter()
            .find(|entry| entry.id == number)
            .ok_or_else(|| failed(format!("there is no {number} in llama history")))?,
        None => entries
            .list
            .iter()
            .rev()
            .find(|entry| entry.undone.is_none() && !entry.restores.is_empty())
            .ok_or_else(|| failed("there is nothing to undo".to_owned()))?,
    };
    if entry.undone.is_some() {
        return Err(failed(format!("{} was undone already", entry.id)));
    }
    if entry.restores.is_empty() {
        return Err(failed(format!(
            "{} cannot be undone, or changed nothing: {}",
            entry.id,
            printable(&entry.effect, 200)
        )));
    }
    let how = How {
        yes: options.confirm.yes,
        dry_run: options.confirm.dry_run,
        json: false,
        again: format!("sudo llama undo {}", entry.id),
    };
    output::print(&preview(entry))?;
    if how.dry_run {
        return Ok(Exit::Success);
    }
    confirm(Danger::Reversible, &how, "nothing was undone")?;
    let brought = bring_back(&history, entry, &System::running());
    output::print(&brought.text())?;
    brought.ended()
}

/// What undoing an entry would do.
pub(crate) fn preview(entry: &Entry) -> String {
    let mut text = format!("Undo {}: {}\n", entry.id, printable(&entry.effect, 200));
    for it in entry.restores.iter().rev() {
        text += &format!("    {}\n", it.step.describe());
    }
    if entry.results.is_none() {
        text += "  it was cut short, so it is not known what of it was done\n";
    }
    text
}

/// What became of each step that was to be brought back.
#[derive(Default)]
pub(crate) struct Brought {
    pub(crate) results: Vec<Done>,
    /// Whether it was for lack of rights that one was not.
    denied: bool,
    /// Why it is not in the journal.
    unwritten: Option<Failure>,
}

impl Brought {
    pub(crate) fn add(&mut self, other: Self) {
        self.results.extend(other.results);
        self.denied |= other.denied;
        self.unwritten = self.unwritten.take().or(other.unwritten);
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.results.iter();
        lines
            .map(|done| format!("{}: {}\n", done.subject, done.note))
            .collect()
    }

    /// How it ends when some of it may have failed.
    pub(crate) fn ended(self) -> Result<Exit, Failure> {
        if let Some(failure) = self.unwritten {
            return Err(failure);
        }
        let failures = self.results.iter().filter(|done| !done.ok).count();
        if failures == 0 {
            return Ok(Exit::Success);
        }
        let mut message = format!(
            "{failures} of {} could not be brought back",
            self.results.len()
        );
        if self.denied && !rustix_root() {
            // Root has a journal of its own.
            message += ": only root may";
        }
        Err(failed(message))
    }
}

/// Brings back what was before an entry, the last step first, and notes it.
pub(crate) fn bring_back(history: &History, entry: &Entry, system: &System) -> Brought {
    let same_boot = entry.boot == boot();
    let mut brought = Brought::default();
    let mut left: Vec<Restore> = vec![];
    for it in entry.restores.iter().rev() {
        let (ok, note) = match restore(it, system, same_boot) {
            Restored::Done => (true, "as before".to_owned()),
            Restored::Nothing(why) => (true, why),
            Restored::Not(error) => {
                use llamux_actions::Error;
                brought.denied |= matches!(error, Error::Permission(_));
                // What somebody changed since stays as it is now, also the next time.
                if !matches!(error, Error::Changed(_) | Error::Refused(_)) {
                    left.insert(0, it.clone());
                }
                (false, error.to_string())
            }
        };
        let subject = it.step.subject();
        brought.results.push(Done { subject, ok, note });
    }
    let noted = history.undone(entry.id, brought.results.clone(), left);
    brought.unwritten = noted.err().map(|error| unwritten(history, &error));
    brought
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamux_actions::{Action, Step, Sysctl};

    #[test]
    fn what_is_left_of_a_failure_is_said_to_be_undoable() {
        let key = Sysctl::Swappiness;
        for (steps, restores, undone, state) in [
            (&[true][..], 1, None, "[done, can be undone]"),
            (&[true], 0, None, "[done]"),
            (&[true], 1, Some(2), "[undone]"),
            (&[false], 0, None, "[failed]"),
            (&[false], 1, None, "[failed, can be undone]"),
            (&[true, false], 1, None, "[failed in part, can be undone]"),
        ] {
            let done = |&ok: &bool| Done {
                subject: String::new(),
                ok,
                note: String::new(),
            };
            let restore = Restore {
                step: Step::Sysctl { key, value: 60 },
                left: None,
            };
            let entry = Entry {
                id: 1,
                time: 1,
                boot: String::new(),
                request: String::new(),
                effect: String::new(),
                profile: None,
                action: Action::Sysctl { key, value: 10 },
                results: Some(steps.iter().map(done).collect()),
                restores: vec![restore; restores],
                undone,
            };
            assert!(line(&entry).contains(state), "{state}: {}", line(&entry));
        }
    }
}
