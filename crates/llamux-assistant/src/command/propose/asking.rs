// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the model is asked.

use std::time::Duration;

use crate::command::files::{kinds, listed, one_line};
use crate::command::pairs::{self, Around, Pair};
use crate::command::{check, danger, Context, System};
use crate::Request;

/// How many pairs the model is shown.
const SHOWN: usize = 3;
/// Most bytes of all pairs that it is shown.
const SHOWN_BYTES: usize = 300;
/// Most tokens of an answer.
const TOKENS: u32 = 160;
/// Longest time that an answer may take, where who asks allows no other.
const TIME: Duration = Duration::from_secs(30);
/// How much of a manual it is told, in characters.
pub(super) const MANUAL: usize = 240;

/// A question behind what every question begins with, which does not change and is computed once, and behind the pairs
/// that are like it, as if they had been asked before.
pub(super) fn request(context: &Context, similar: &[&Pair], question: String) -> Request {
    let system = match context.system {
        System::Arch => "Arch Linux (pacman, systemd)",
        System::Debian => "Debian (apt, systemd)",
        System::Other => "Linux (systemd)",
    };
    let mut request = Request::new(
        format!(
            "You turn a task into one bash command for {system}. Answer with nothing but the command in a code fence. \
             Use the names and numbers of the task as they are. Prefer standard tools. The task works in the current \
             directory unless it says otherwise."
        ),
        question,
    );
    for (task, command) in FIXED {
        request = request.example(*task, fenced(command));
    }
    for pair in similar {
        request = request.example(pair.ask.as_str(), fenced(&pair.run));
    }
    request.stops = vec!["\n```".into()];
    request.max_tokens = TOKENS;
    request.timeout = Some(TIME);
    request
}

/// Tasks that show how files are told of, and that names and numbers are those of the task.
const FIXED: &[(&str, &str)] = &[
    (
        "how many lines are in all the .conf files together",
        "cat *.conf | wc -l",
    ),
    (
        "Files:\nguests.csv is like: name,city,age,nights / Ann,Rome,34,2\nhow many nights do the guests from Oslo stay in all",
        "awk -F, '$2==\"Oslo\" {s+=$4} END {print s}' guests.csv",
    ),
    (
        "Files:\nvisits.log is like: 12:01 de /home 35\nhow often was each page visited",
        "awk '{print $3}' visits.log | sort | uniq -c",
    ),
    (
        "which pictures below ~/Photos are over 5 MB",
        "find ~/Photos -type f -iname '*.jpg' -size +5M",
    ),
    ("has cron been started?", "systemctl is-active cron"),
    (
        "Files:\ndoor.log is like: 08:00 INFO open\nwhat does door.log say about the cellar",
        "grep -i 'cellar' door.log",
    ),
    (
        "Files:\n'my notes.md'\nchange teh to the everywhere in my notes.md",
        "sed -i 's/teh/the/g' 'my notes.md'",
    ),
    (
        "Files:\nplayer.ini has: volume = 40\nset the volume in player.ini to 70",
        "sed -i 's/^volume = .*/volume = 70/' player.ini",
    ),
    (
        "Files:\nboats.txt is like: wanda red 12\nnames of all the red boats in boats.txt",
        "awk '$2==\"red\" {print $1}' boats.txt",
    ),
    (
        "Files:\nparts.csv is like: part;shelf;price / bolt;A7;0.2\nthe dearest part, only its name",
        "tail -n +2 parts.csv | sort -t';' -k3,3nr | head -n 1 | cut -d';' -f1",
    ),
    (
        "put the reports of 2023 into a folder of their own",
        "mkdir reports-2023 && mv report*2023* reports-2023/",
    ),
];

// What the kernel holds before a second question: the system's words, tasks with their commands, and the first question with
// its answer.
const _: () = assert!(2 * (FIXED.len() + SHOWN + 1) < llamux::HELD_MAX);

pub(super) fn fenced(command: &str) -> String {
    format!("```bash\n{command}\n```")
}

/// What is asked, behind what is known about it.
pub(super) fn question(context: &Context, asked: &str, files: &[String]) -> String {
    let manual = manual_of(context, asked);
    format!("{manual}{}{asked}", listed(&context.cwd, files, asked))
}

/// What the manual says of a program that the request names and no pair has, in a line.
fn manual_of(context: &Context, asked: &str) -> String {
    // Many programs are called by a word that is used without thinking of them, as in "make it so".
    const BEFORE: &[&str] = &[
        "with", "using", "use", "by", "via", "through", "run", "program", "command", "tool", "of",
    ];
    let words = || asked.split(|c: char| !(c.is_alphanumeric() || "-_.+".contains(c)));
    let named = words().zip(std::iter::once("").chain(words()));
    let unusual = |(name, before): &(&str, &str)| {
        name.len() > 2
            && BEFORE.contains(&before.to_lowercase().as_str())
            && !danger::known(name)
            && !check::builtin(name)
            && !pairs::uses(name)
    };
    let Some((name, manual)) = named.filter(unusual).find_map(|(name, _)| {
        context.machine.program(name)?;
        Some((name, context.machine.manual(name)?))
    }) else {
        return String::new();
    };
    let mut out = format!(
        "Manual of {name}: {}",
        manual.summary.as_deref().unwrap_or(name)
    );
    for (option, meaning) in manual.options_about(asked, 3) {
        out.push_str(&format!("; {option}: {meaning}"));
    }
    let mut out = one_line(&out, MANUAL);
    out.push('\n');
    out
}

/// The pairs that the model is shown, the most similar last.
pub(super) fn similar(context: &Context, asked: &str, files: &[String]) -> Vec<&'static Pair> {
    let around = Around {
        kinds: kinds(&context.cwd, files),
        repository: context
            .cwd
            .ancestors()
            .any(|above| above.join(".git").exists()),
    };
    let mut room = SHOWN_BYTES;
    let mut shown: Vec<&Pair> = vec![];
    for (pair, _) in pairs::nearest_in(asked, context.system, &around, SHOWN * 2) {
        let bytes = pair.ask.len() + pair.run.len();
        let again = shown.iter().any(|other| other.run == pair.run);
        if shown.len() < SHOWN && bytes <= room && !again {
            room -= bytes;
            shown.push(pair);
        }
    }
    shown.reverse();
    shown
}
