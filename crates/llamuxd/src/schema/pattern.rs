// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A regular expression as rules for the inside of a JSON string.

use std::fmt::Write as _;

use llamux::grammar::literal;
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use regex_syntax::ParserBuilder;

/// Most that something may be repeated.
const MAX_REPEATED: u32 = 1000;

/// The expression of texts in which the pattern is found, escaped as JSON has them.
pub(super) fn rule(pattern: &str) -> Result<String, String> {
    let mut parser = ParserBuilder::new().nest_limit(64).build();
    let hir = parser
        .parse(&ascii_classes(pattern))
        .map_err(|error| match error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            _ => "it cannot be read".to_owned(),
        })?;
    anchored(&hir)
}

/// Perl's classes as ECMAScript means them: of ASCII. They may be within brackets, too.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(character) = chars.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match chars.next() {
            Some('d') => out += "[0-9]",
            Some('D') => out += "[^0-9]",
            Some('w') => out += "[0-9A-Za-z_]",
            Some('W') => out += "[^0-9A-Za-z_]",
            Some('s') => out += r"[ \t\n\r\x0B\x0C]",
            Some('S') => out += r"[^ \t\n\r\x0B\x0C]",
            Some('/') => out.push('/'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// The whole: what is not held at an end may have anything there.
fn anchored(hir: &Hir) -> Result<String, String> {
    if let HirKind::Alternation(ways) = hir.kind() {
        let ways: Vec<_> = ways.iter().map(anchored).collect::<Result<_, _>>()?;
        return Ok(ways.join(" | "));
    }
    if let HirKind::Capture(capture) = hir.kind() {
        return anchored(&capture.sub);
    }
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let is =
        |part: Option<&Hir>, look| part.is_some_and(|part| *part.kind() == HirKind::Look(look));
    let begins = is(parts.first(), Look::Start);
    let parts = match begins {
        true => parts.get(1..).unwrap_or_default(),
        false => parts,
    };
    let ends = is(parts.last(), Look::End);
    let parts = match ends {
        true => parts
            .get(..parts.len().saturating_sub(1))
            .unwrap_or_default(),
        false => parts,
    };
    let mut out = Vec::new();
    if !begins {
        out.push("char*".to_owned());
    }
    for part in parts {
        out.push(inner(part)?);
    }
    if !ends {
        out.push("char*".to_owned());
    }
    Ok(match out.is_empty() {
        true => "\"\"".to_owned(),
        false => out.join(" "),
    })
}

fn inner(hir: &Hir) -> Result<String, String> {
    Ok(match hir.kind() {
        HirKind::Empty => "\"\"".to_owned(),
        HirKind::Literal(bytes) => {
            let text = std::str::from_utf8(&bytes.0).map_err(|_| "it is not UTF-8".to_owned())?;
            let json = serde_json::to_string(text).map_err(|error| error.to_string())?;
            let json = json
                .get(1..json.len().saturating_sub(1))
                .unwrap_or_default();
            literal(json)
        }
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.iter().map(|range| (range.start(), range.end()));
            one_of(ranges)?
        }
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.iter();
            one_of(ranges.map(|range| (char::from(range.start()), char::from(range.end()))))?
        }
        HirKind::Look(_) => {
            return Err(
                "anchors in the middle and boundaries of words are not supported".to_owned(),
            )
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(repetition.min);
            if most > MAX_REPEATED {
                return Err(format!(
                    "something is repeated more than {MAX_REPEATED} times"
                ));
            }
            let sub = inner(&repetition.sub)?;
            match (repetition.min, repetition.max) {
                (0, None) => format!("({sub})*"),
                (1, None) => format!("({sub})+"),
                (min, None) => format!("({sub}){{{min},}}"),
                (min, Some(max)) => format!("({sub}){{{min},{max}}}"),
            }
        }
        HirKind::Capture(capture) => format!("({})", inner(&capture.sub)?),
        HirKind::Concat(parts) => {
            let parts: Vec<_> = parts.iter().map(inner).collect::<Result<_, _>>()?;
            parts.join(" ")
        }
        HirKind::Alternation(ways) => {
            let ways: Vec<_> = ways.iter().map(inner).collect::<Result<_, _>>()?;
            format!("({})", ways.join(" | "))
        }
    })
}

/// One character of these ranges; those that JSON does not take as they are, escaped.
fn one_of(ranges: impl Iterator<Item = (char, char)>) -> Result<String, String> {
    let mut plain = String::new();
    let mut escaped = Vec::new();
    for (start, end) in ranges {
        let (start, end) = (u32::from(start), u32::from(end));
        for code in start..=end.min(0x5C) {
            let special = char::from_u32(code).filter(|c| matches!(c, '\0'..='\x1F' | '"' | '\\'));
            if let Some(special) = special {
                let json = serde_json::to_string(&special).map_err(|error| error.to_string())?;
                let json = json
                    .get(1..json.len().saturating_sub(1))
                    .unwrap_or_default();
                escaped.push(literal(json));
            }
        }
        // Around those, and around what is no character.
        for (from, to) in [
            (0x20, 0x21),
            (0x23, 0x5B),
            (0x5D, 0xD7FF),
            (0xE000, 0x10_FFFF),
        ] {
            let (from, to) = (start.max(from), end.min(to));
            if from <= to {
                // Writing to a string does not fail.
                let _ = write!(plain, "\\U{from:08X}-\\U{to:08X}");
            }
        }
    }
    if !plain.is_empty() {
        escaped.insert(0, format!("[{plain}]"));
    }
    match escaped.is_empty() {
        true => Err("a class has no character".to_owned()),
        false => Ok(format!("({})", escaped.join(" | "))),
    }
}
