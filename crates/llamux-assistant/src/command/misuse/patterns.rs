// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Patterns: of grep, sed, awk and find.

use std::ops::Range;

use super::super::files::{one_line, Text};
use super::super::syntax::{Call, Script, Word};
use super::super::{words, Context};
use super::tables::program_of;
use super::{arguments, file, has_letter, is_option, lines_of, Edit, Look};

/// Names with a pattern in them, which the shell puts the files of the directory in place of.
pub(super) fn patterns_quoted(look: &Look<'_>) -> Option<Vec<Edit>> {
    const NAMES: &[&str] = &["-name", "-iname", "-path", "-ipath", "-wholename"];
    look.calls(&["find"]).find_map(|(_, call)| {
        let mut pairs = call.words.windows(2);
        let word = pairs.find_map(|pair| match pair {
            [option, word] if NAMES.contains(&option.text.as_str()) => {
                (word.pattern && !word.quoted && word.known).then_some(word)
            }
            _ => None,
        })?;
        let raw = look.command.get(word.span.clone())?;
        (raw == word.text && !raw.contains('\''))
            .then(|| vec![(word.span.clone(), format!("'{raw}'"))])
    })
}

/// The part of a sed program that it replaces, and what by.
fn replaced(program: &str) -> Option<(Range<usize>, &str)> {
    let begin = pattern!(r"^(?:/[^/]*/|[0-9,$]+)?s([/|#,@!:])").captures(program)?;
    let delimiter = begin.get(1)?.as_str().chars().next()?;
    let from = begin.get(0)?.end();
    let rest = program.get(from..)?;
    let mut escaped = false;
    let mut ends = rest.char_indices().filter(|(_, c)| {
        let ends = *c == delimiter && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let (first, _) = ends.next()?;
    let (second, _) = ends.next()?;
    Some((from..from + first, rest.get(first + 1..second)?))
}

/// The pattern of a grep or a sed: the word that it is in, and where it is in that word's text.
fn pattern_of(call: &Call) -> Option<(&Word, Range<usize>)> {
    let operands = call.operands();
    match call.name()? {
        "grep" | "zgrep" => {
            let word = pattern_word(operands)?;
            Some((word, 0..word.text.len()))
        }
        "sed" => {
            let word = arguments(call).next()?;
            let program = word.text.as_str();
            let found = replaced(program).map(|(span, _)| span).or_else(|| {
                let address = pattern!(r"^/((?:[^/\\]|\\.)+)/[pd]$").captures(program)?;
                Some(address.get(1)?.range())
            })?;
            Some((word, found))
        }
        _ => None,
    }
}

/// The word of a grep's pattern.
pub(super) fn pattern_word(operands: &[Word]) -> Option<&Word> {
    let mut words = operands.iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "-e" | "--regexp" => return words.next(),
            "-f" | "--file" => return None,
            "-A" | "-B" | "-C" | "-m" | "-d" | "-D" => drop(words.next()),
            _ if is_option(word) => (),
            _ => return Some(word),
        }
    }
    None
}

/// Whether a pattern is of another kind than that of `grep` and `sed` without options.
fn other_kind(call: &Call) -> bool {
    let letters = match call.name() {
        Some("sed") => "Er",
        _ => "EPF",
    };
    call.operands().iter().any(|word| {
        has_letter(word, letters)
            || matches!(
                word.text.as_str(),
                "--extended-regexp" | "--regexp-extended" | "--perl-regexp" | "--fixed-strings"
            )
    })
}

/// Patterns that are written as extended ones, for a program that is told to take them as basic ones.
pub(super) fn extended(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["grep", "zgrep", "sed"])
        .find_map(|(at, call)| {
            let (word, span) = pattern_of(call)?;
            let text = word.text.get(span)?;
            if other_kind(call) || !word.known {
                return None;
            }
            let grouped = call.name() == Some("sed")
                && text.contains('(')
                && !text.contains("\\(")
                && replaced(&word.text).is_some_and(|(_, by)| by.contains("\\1"));
            if !(grouped || meant_extended(text)) {
                return None;
            }
            // It may be what the file says.
            let there = lines_of(look.context, look.script, at);
            if there.is_some_and(|file| file.text.contains(text)) {
                return None;
            }
            look.option(call, "-E")
        })
}

/// Whether a pattern would hardly be written so if it were not an extended one.
fn meant_extended(pattern: &str) -> bool {
    let times = pattern!(r"^\{[0-9]+(,[0-9]*)?\}");
    let mut meant = false;
    let mut bracket = false;
    // What stood before, and whether that is a class, a group or any character.
    let (mut before, mut many) = (' ', false);
    let chars: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match c {
            _ if bracket => {
                bracket = c != ']';
                many = !bracket;
            }
            '\\' => {
                // Whoever writes these knows that it is a basic one.
                if "|+?(){}".contains(next) {
                    return false;
                }
                many = "wsdSWD".contains(next);
                before = next;
                at += 2;
                continue;
            }
            '[' => {
                bracket = true;
                // A bracket that stands first in the brackets is one of them.
                at += usize::from(next == ']') + usize::from(next == '^');
            }
            '|' => meant |= !before.is_whitespace() && !next.is_whitespace() && next != '|',
            '+' => {
                meant |= many;
                many = false;
            }
            '?' => {
                meant |= many && before != '.';
                many = false;
            }
            '*' => meant |= before == ')',
            '{' => {
                let rest: String = chars.iter().skip(at).collect();
                meant |= times.is_match(&rest) && before != ' ';
            }
            ')' => many = true,
            '.' => many = true,
            _ => many = false,
        }
        before = c;
        at += 1;
    }
    meant
}

/// `\d` stands for digits in patterns of Perl only.
pub(super) fn digits(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["grep", "zgrep", "sed", "awk", "gawk", "mawk"])
        .find_map(|(_, call)| {
            let word = match call.name()? {
                "sed" => arguments(call).next()?,
                "grep" | "zgrep" => pattern_word(call.operands())?,
                _ => program_of(call)?,
            };
            let perl = call.name()?.ends_with("grep")
                && call
                    .operands()
                    .iter()
                    .any(|word| has_letter(word, "PF") || word.text.starts_with("--p"));
            if perl || !word.text.contains("\\d") || word.text.contains("\\\\d") {
                return None;
            }
            let inside = look.inside(word)?;
            let mut out = String::new();
            let mut bracket = false;
            let mut rest = word.text.as_str();
            while let Some(c) = rest.chars().next() {
                if let Some(behind) = rest.strip_prefix("\\d") {
                    out.push_str(if bracket { "0-9" } else { "[0-9]" });
                    rest = behind;
                    continue;
                }
                bracket = (bracket || c == '[') && c != ']';
                out.push(c);
                rest = rest.get(c.len_utf8()..)?;
            }
            Some(vec![(inside, out)])
        })
}

/// What grep is told to look for, if its files have it in other letters only.
pub(super) fn any_case(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["grep"]).find_map(|(_, call)| {
        let word = pattern_word(call.operands())?;
        let options = || call.operands().iter().filter(|word| is_option(word));
        if !word.known
            || options().any(|word| {
                has_letter(word, "ivPrR")
                    || word.text.starts_with("--") && word.text.contains("case")
            })
        {
            return None;
        }
        let alternatives: Vec<&str> = match other_kind(call) {
            true => word.text.split('|').collect(),
            false => vec![word.text.as_str()],
        };
        let plain = |text: &&str| {
            let text = text.strip_prefix('^').unwrap_or(text);
            text.len() > 1
                && text
                    .chars()
                    .all(|c| c.is_alphanumeric() || " _-,=:".contains(c))
        };
        if !alternatives.iter().all(plain) {
            return None;
        }
        let files: Vec<_> = call
            .operands()
            .iter()
            .filter(|other| other.span != word.span)
            .filter_map(|word| file(look.context, word))
            .map(|path| Text::of(&path).filter(|text| text.whole))
            .collect::<Option<_>>()?;
        let lower: Vec<_> = files.iter().map(|file| file.text.to_lowercase()).collect();
        let other_letters = alternatives.iter().any(|text| {
            let text = text.strip_prefix('^').unwrap_or(text);
            !files.iter().any(|file| file.text.contains(text))
                && lower.iter().any(|file| file.contains(&text.to_lowercase()))
        });
        other_letters.then(|| look.option(call, "-i")).flatten()
    })
}

/// A grep of `ps`, which finds itself.
pub(super) fn not_itself(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["grep"]).find_map(|(at, call)| {
        let reads = call.reads?;
        let ps = look.script.calls.get(reads)?;
        if ps.name() != Some("ps") || call.operands().iter().any(|word| has_letter(word, "v")) {
            return None;
        }
        // Somebody thought of it.
        let calls = &look.script.calls;
        let thought = calls.iter().any(|other| {
            other.name() == Some("grep")
                && other.operands().iter().any(|word| has_letter(word, "v"))
        });
        let word = pattern_word(call.operands())?;
        let plain = word.text.len() > 1
            && word.text.len() <= 15
            && word
                .text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
            && word.text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if thought || !plain {
            return None;
        }
        look.inside(word)?;
        let behind: Vec<_> = calls
            .iter()
            .filter(|other| other.reads == Some(at))
            .collect();
        let lines = |call: &&Call| {
            let operands: Vec<_> = call.operands().iter().map(|word| &word.text).collect();
            call.name() == Some("wc") && operands == ["-l"]
        };
        let all = |word: &Word| {
            matches!(
                word.text.as_str(),
                "-ef" | "-e" | "-A" | "aux" | "ax" | "-aux"
            )
        };
        let counts = match behind[..] {
            [one] if lines(&one) => Some(one.span.end),
            [] if call.operands().len() == 2
                && call.operands().iter().any(|word| word.text == "-c") =>
            {
                Some(call.span.end)
            }
            _ => None,
        };
        let simple = call
            .operands()
            .iter()
            .all(|other| other.span == word.span || other.text == "-c");
        if let (Some(end), true, true) = (counts, simple, ps.operands().iter().all(all)) {
            return Some(vec![(
                ps.span.start..end,
                format!("pgrep -c {}", word.text),
            )]);
        }
        let (first, rest) = word.text.split_at(1);
        Some(vec![(word.span.clone(), format!("'[{first}]{rest}'"))])
    })
}

/// What sed is to replace and no line has.
pub(super) fn no_such_text(context: &Context, script: &Script, at: usize) -> Option<String> {
    let call = script.calls.get(at)?;
    // Several programs may make it for each other.
    let programs = call.operands().iter().filter(|word| {
        word.text == "-e"
            || word.text == "--expression"
            || word.text == "-f"
            || has_letter(word, "z")
    });
    if programs.count() > 0 {
        return None;
    }
    let word = arguments(call).next()?;
    let (span, _) = replaced(&word.text).filter(|_| word.known)?;
    let flags = word.text.rsplit(['/', '|', '#']).next().unwrap_or_default();
    let pattern = word.text.get(span)?;
    let anchored = pattern.starts_with('^');
    // What is there up to the first character that means something else.
    let literal = pattern.strip_prefix('^').unwrap_or(pattern);
    let end = literal.find(|c: char| r"\.*[]^$+?(){}|".contains(c));
    let literal = literal.get(..end.unwrap_or(literal.len()))?;
    // A quantifier is about the last of them.
    let quantified = end.is_some_and(|end| {
        let rest = literal.len().max(end);
        pattern
            .get(usize::from(anchored) + rest..)
            .is_some_and(|rest| rest.starts_with(['*', '?', '+', '{', '\\']))
    });
    let literal = match quantified {
        true => literal.get(..literal.char_indices().next_back()?.0)?,
        false => literal,
    };
    let alternatives = pattern.contains('|');
    if literal.trim().len() < 2 || alternatives || flags.contains(['i', 'I', ';', ' ']) {
        return None;
    }
    let own: Vec<_> = call
        .operands()
        .iter()
        .filter_map(|word| file(context, word))
        .collect();
    let [path] = &own[..] else {
        return None;
    };
    let text = Text::of(path).filter(|text| text.whole)?;
    let has = |line: &str| match anchored {
        true => line.starts_with(literal),
        false => line.contains(literal),
    };
    if text.text.lines().any(has) {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let wanted = words::stems(literal);
    let near = text
        .lines()
        .find(|line| words::stems(line).iter().any(|word| wanted.contains(word)));
    let near = near.map(|line| format!("; it has `{}`", one_line(line, 60).replace('`', "'")));
    Some(format!(
        "no line of {name} has `{}`{}",
        literal.trim(),
        near.unwrap_or_default()
    ))
}
