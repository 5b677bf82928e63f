// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Why a unit is in its state: its properties by `systemctl show`, and its journal.

use std::collections::HashMap;

use llamux_facts::text;

use super::{has_systemd, output, size, Error, Notes};
use crate::explain;

/// What is asked of systemd.
const PROPERTIES: &str = "Id,Description,LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,ExecMainPID,NRestarts,\
    MemoryCurrent,MemoryMax,TasksCurrent,TasksMax,FragmentPath,UnitFileState,ConditionResult,AssertResult,StatusText,MainPID,\
    NeedDaemonReload,TriggeredBy,CPUUsageNSec";
/// How many lines of the journal are looked at.
const LINES: &str = "60";
/// How many of them are shown.
const SHOWN: usize = 5;

/// Whether systemd knows a unit of this name.
pub(super) fn exists(name: &str) -> bool {
    output(
        "systemctl",
        &["show", "-p", "LoadState", "--value", "--", name],
    )
    .is_some_and(|state| !matches!(state.trim(), "" | "not-found"))
}

pub(super) fn notes(name: &str) -> Result<Notes, Error> {
    if !has_systemd() {
        return Err(Error::NoSystemd(name.to_owned()));
    }
    let shown = output(
        "systemctl",
        &["show", "--no-pager", "-p", PROPERTIES, "--", name],
    );
    let shown = shown
        .ok_or_else(|| Error::Unreadable(name.to_owned(), "systemctl show failed".to_owned()))?;
    let log = output(
        "journalctl",
        &["-q", "--no-pager", "-o", "cat", "-n", LINES, "-u", name],
    );
    Ok(facts(name, &shown, log.as_deref()))
}

/// What systemd's properties and the journal say.
fn facts(name: &str, shown: &str, log: Option<&str>) -> Notes {
    let properties: HashMap<&str, &str> = shown
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let get = |key: &str| properties.get(key).copied().unwrap_or("").trim();
    let number = |key: &str| {
        get(key)
            .parse::<u64>()
            .ok()
            .filter(|number| *number < u64::MAX)
    };
    let id = if get("Id").is_empty() {
        name
    } else {
        get("Id")
    };
    let mut notes = Notes {
        about: text::shown(id),
        ..Notes::default()
    };
    let meaning = |word: &str| {
        explain::UNIT_WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, meaning)| *meaning)
    };

    match get("LoadState") {
        "not-found" => {
            notes.fact(format!(
                "There is no unit {id}: no file of this name was found."
            ));
            notes.advise("Check the name (systemctl list-unit-files), or install the package that brings it.");
            return notes;
        }
        "masked" => {
            notes.fact(format!(
                "{id} is masked: it cannot be started before systemctl unmask."
            ));
            notes.advise(&format!("systemctl unmask {id}"));
        }
        word @ ("bad-setting" | "error") => {
            notes.fact(format!("The file of {id} cannot be read ({word})."));
            notes.advise(&format!("systemd-analyze verify {id}"));
        }
        _ => (),
    }
    let description = match get("Description") {
        "" => String::new(),
        description if description == id => String::new(),
        description => format!(" ({})", text::shortened(description, 80)),
    };
    match (get("ActiveState"), get("SubState")) {
        ("failed", _) => notes.fact(format!("{id}{description} failed.")),
        (active, sub) => notes.fact(format!("{id}{description} is {active} ({sub}).")),
    }
    let result = get("Result");
    if !matches!(result, "" | "success") {
        match meaning(result) {
            Some(meaning) => notes.fact(format!("{meaning} (systemd says \"{result}\".)")),
            None => notes.fact(format!("systemd gives as the result \"{result}\".")),
        }
    }
    if let Some(status) = number("ExecMainStatus").and_then(|status| u32::try_from(status).ok()) {
        match get("ExecMainCode") {
            // CLD_EXITED, CLD_KILLED, CLD_DUMPED
            "1" if status != 0 => {
                let (meaning, advice) = explain::exit_status(status);
                notes.fact(meaning);
                notes.advise(&advice);
            }
            "2" | "3" => {
                if let Some(signal) = explain::signal(status) {
                    notes.fact(format!(
                        "{} (signal {}) ended it: {}",
                        signal.name, signal.number, signal.meaning
                    ));
                    notes.advise(signal.advice);
                }
            }
            _ => (),
        }
    }
    if let Some(log) = log.filter(|log| !log.trim().is_empty()) {
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        if let Ok(found) = explain::read(&mut log.as_bytes()) {
            for item in found
                .items
                .iter()
                .filter(|item| {
                    !matches!(
                        item.name,
                        "exit-status" | "signal" | "unit-result" | "unit-restart"
                    )
                })
                .take(3)
            {
                notes.fact(format!("Its log has a line that says: {}", item.meaning));
                notes.advise(&item.advice);
            }
        }
        for line in lines.iter().rev().take(SHOWN).rev() {
            notes.quoted.push(text::shortened(&text::shown(line), 200));
        }
    } else if log.is_none() {
        notes.fact(
            "Its journal could not be read: root and the groups adm and systemd-journal may.",
        );
    }
    match number("NRestarts") {
        Some(restarts) if restarts > 0 => {
            notes.fact(format!("It was started again {restarts} times."))
        }
        _ => (),
    }
    if get("ConditionResult") == "no" && get("ActiveState") == "inactive" {
        notes.fact(
            "A condition of its file was not met when it was to be started, or it was never tried.",
        );
    }
    if get("AssertResult") == "no" && get("ActiveState") == "failed" {
        notes.fact("An assertion of its file was not met.");
    }
    if !get("StatusText").is_empty() {
        notes.fact(format!(
            "It says of itself: \"{}\"",
            text::shortened(get("StatusText"), 160)
        ));
    }
    match get("UnitFileState") {
        "disabled" => notes.fact("It is not started at boot (disabled)."),
        "masked" if get("LoadState") != "masked" => notes.fact("It is masked."),
        _ => (),
    }
    if !get("TriggeredBy").is_empty() {
        notes.fact(format!("It is started by {}.", get("TriggeredBy")));
    }
    if let Some(pid) = number("MainPID").filter(|pid| *pid > 0) {
        notes.fact(format!("Its main process is number {pid}."));
    }
    if let Some(memory) = number("MemoryCurrent") {
        match number("MemoryMax") {
            Some(limit) => notes.fact(format!(
                "It uses {} of memory, and its limit is {}.",
                size(memory),
                size(limit)
            )),
            None => notes.fact(format!("It uses {} of memory.", size(memory))),
        }
    }
    if get("NeedDaemonReload") == "yes" {
        notes.fact("Its file was changed since systemd read it.");
        notes.advise("systemctl daemon-reload");
    }
    if !get("FragmentPath").is_empty() {
        notes.fact(format!("Its file is {}.", get("FragmentPath")));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "\
Id=web.service
Description=The web server
LoadState=loaded
ActiveState=failed
SubState=failed
Result=exit-code
ExecMainCode=1
ExecMainStatus=203
NRestarts=5
MemoryCurrent=[not set]
MemoryMax=infinity
FragmentPath=/etc/systemd/system/web.service
UnitFileState=enabled
ConditionResult=yes
MainPID=0
";

    #[test]
    fn a_failed_unit_says_how_it_failed() {
        let log = "web.service: Failed to locate executable /opt/web/bin/web: No such file or directory\n\
                   web.service: Main process exited, code=exited, status=203/EXEC\n\
                   web.service: Failed with result 'exit-code'.\n";
        let notes = facts("web", FAILED, Some(log));
        let all = notes.facts.join("\n");
        for part in [
            "web.service (The web server) failed.",
            "exit status other than 0",
            "Exit status 203 (EXEC): systemd could not run the program.",
            "The program /opt/web/bin/web of a unit is not there.",
            "started again 5 times",
            "/etc/systemd/system/web.service",
        ] {
            assert!(all.contains(part), "{part} is not in {all}");
        }
        assert_eq!(notes.quoted.len(), 3);
        assert!(notes
            .advice
            .iter()
            .any(|advice| advice.contains("ExecStart=")));
        assert!(!all.contains("memory"));
    }

    #[test]
    fn states_of_all_kinds_are_said() {
        for (shown, part) in [
            ("Id=x.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead", "There is no unit x.service"),
            ("Id=x.service\nLoadState=masked\nActiveState=inactive\nSubState=dead", "is masked"),
            ("Id=x.service\nLoadState=loaded\nActiveState=active\nSubState=running\nMainPID=12\nMemoryCurrent=1048576\nMemoryMax=2097152", "uses 1 MiB of memory, and its limit is 2 MiB"),
            ("Id=x.service\nLoadState=loaded\nActiveState=failed\nResult=signal\nExecMainCode=2\nExecMainStatus=9", "SIGKILL (signal 9) ended it"),
            ("Id=x.service\nLoadState=loaded\nActiveState=failed\nResult=something-new", "something-new"),
            ("Id=x.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nConditionResult=no", "condition"),
            ("garbage\n===\n\0", "is  ()"),
        ] {
            let all = facts("x.service", shown, Some("")).facts.join("\n");
            assert!(all.contains(part), "{part} is not in {all}");
        }
    }

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        let notes = facts(
            "x",
            "Id=x\nDescription=\x1b[2Jevil\nActiveState=failed",
            Some("\x1b]0;t\x07 error\n"),
        );
        assert!(!format!("{notes:?}").contains('\x1b'));
        assert!(notes
            .facts
            .iter()
            .chain(&notes.quoted)
            .all(|text| !text.contains('\x1b')));
    }
}
