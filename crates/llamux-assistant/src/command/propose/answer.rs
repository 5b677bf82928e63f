// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command in what the model said, with what can be told to be wrong put right.

use crate::command::{misuse, syntax, Context};

/// The command in an answer: what is in its fence, or the answer if it has none.
pub(super) fn command_of(said: &str) -> Option<String> {
    let inside = match said.find("```") {
        Some(at) => {
            let rest = said.get(at + 3..).unwrap_or_default();
            // The name of the language.
            let (first, behind) = rest.split_once('\n').unwrap_or(("", rest));
            let rest = if first.trim().chars().all(|c| c.is_ascii_alphanumeric()) {
                behind
            } else {
                rest
            };
            rest.split("```").next().unwrap_or_default()
        }
        None => {
            let text = said.trim();
            match text
                .strip_prefix('`')
                .and_then(|text| text.strip_suffix('`'))
            {
                Some(inside) => inside,
                None => text.split("\n\n").next().unwrap_or_default(),
            }
        }
    };
    let lines: Vec<_> = inside
        .lines()
        .map(|line| line.strip_prefix("$ ").unwrap_or(line).trim_end())
        .filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'))
        .collect();
    let command = lines.join("\n").trim().to_owned();
    (!command.is_empty()).then_some(command)
}

/// Puts right what can be told to be wrong.
pub(super) fn mended(context: &Context, command: &str, files: &[String], asked: &str) -> String {
    let mut command = command.to_owned();
    // Names with spaces that were written without quotes.
    for file in files.iter().filter(|file| file.contains(' ')) {
        if let Some(at) = bare(&command, file) {
            command.replace_range(at..at + file.len(), &syntax::quoted(file));
        }
    }
    if let Some(help) = context.machine.busybox_help("find") {
        if !help.contains("[bckM") {
            command = sized(&command);
        }
    }
    if context.root {
        if let Some(rest) = command.strip_prefix("sudo ") {
            if !rest.starts_with('-') && !rest.contains("sudo ") {
                command = rest.into();
            }
        }
    }
    misuse::mended(context, &command, files, asked)
}

/// The sizes that find is told in KiB, the largest unit that busybox has.
pub(super) fn sized(command: &str) -> String {
    let script = syntax::parse(command);
    let calls = script
        .calls
        .iter()
        .filter(|call| call.name() == Some("find"));
    let sizes = calls.flat_map(|call| call.words.windows(2)).filter(|pair| {
        // Where quotes or a shell within the shell stand between, the places are others.
        pair[0].text == "-size" && command.get(pair[1].span.clone()) == Some(&pair[1].text)
    });
    let mut sizes: Vec<_> = sizes.map(|pair| &pair[1]).collect();
    sizes.sort_by_key(|word| std::cmp::Reverse(word.span.start));
    let mut command = command.to_owned();
    for word in sizes {
        let sign = word.text.len() - word.text.trim_start_matches(['+', '-']).len();
        let (sign, size) = word.text.split_at(sign);
        let kib = match size.strip_suffix('M') {
            Some(number) => number
                .parse::<u64>()
                .ok()
                .and_then(|n| n.checked_mul(1 << 10)),
            None => size
                .strip_suffix('G')
                .and_then(|number| number.parse::<u64>().ok()?.checked_mul(1 << 20)),
        };
        if let Some(kib) = kib {
            command.replace_range(word.span.clone(), &format!("{sign}{kib}k"));
        }
    }
    command
}

/// Where a name of several words stands as several words.
fn bare(command: &str, file: &str) -> Option<usize> {
    let at = command.find(file)?;
    let script = syntax::parse(command);
    let inside = script
        .calls
        .iter()
        .flat_map(|call| call.words.iter())
        .any(|word| word.span.start <= at && at + file.len() <= word.span.end);
    (!inside).then_some(at)
}
