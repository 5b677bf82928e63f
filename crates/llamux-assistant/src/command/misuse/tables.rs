// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Fields, columns and order: of awk, cut, sort, uniq and jq.

use std::ops::Range;

use super::super::files::{Divider, Text};
use super::super::syntax::{quoted, Call, Word};
use super::super::words;
use super::{arguments, before, file, has_letter, is_option, lines_of, Edit, Look, AWK};

/// The program that an awk is given.
pub(super) fn program_of(call: &Call) -> Option<&Word> {
    let mut words = call.operands().iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "-F" | "-v" | "--field-separator" | "--assign" => drop(words.next()),
            "-f" | "--file" => return None,
            _ if is_option(word) => (),
            _ => return Some(word).filter(|word| word.known),
        }
    }
    None
}

/// The value of an option, and where both stand.
fn value_of(call: &Call, short: &str, long: &str) -> Option<(Range<usize>, String)> {
    let words = call.operands();
    for (at, word) in words.iter().enumerate() {
        if word.text == short || word.text == long {
            let value = words.get(at + 1)?;
            return Some((word.span.start..value.span.end, value.text.clone()));
        }
        let value = word
            .text
            .strip_prefix(long)
            .and_then(|rest| rest.strip_prefix('='))
            .or_else(|| word.text.strip_prefix(short));
        if let Some(value) = value {
            return Some((word.span.clone(), value.to_owned()));
        }
    }
    None
}

/// By what a program is told that fields are divided; `None` if that is not plain.
fn told_divider(call: &Call) -> Option<(Option<Range<usize>>, Divider)> {
    let (short, long, none) = match call.name()? {
        "sort" => ("-t", "--field-separator", Divider::Blanks),
        "cut" => ("-d", "--delimiter", Divider::One('\t')),
        _ => ("-F", "--field-separator", Divider::Blanks),
    };
    let Some((span, value)) = value_of(call, short, long) else {
        return Some((None, none));
    };
    let awk = short == "-F";
    let mut chars = value.chars();
    let divider = match (value.as_str(), chars.next(), chars.next()) {
        (" ", ..) if awk => Divider::Blanks,
        ("\\t" | "\t", ..) => Divider::One('\t'),
        (_, Some(c), None) => Divider::One(c),
        _ => return None,
    };
    Some((Some(span), divider))
}

/// A separator that the file does not have, while it has another in all of its lines.
pub(super) fn divided(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["awk", "gawk", "mawk", "cut", "sort"])
        .find_map(|(at, call)| {
            let name = call.name()?;
            // Only where it asks for fields.
            let asks = match name {
                "cut" => call
                    .operands()
                    .iter()
                    .any(|word| word.text.starts_with("-f") || word.text.starts_with("--fields")),
                "sort" => value_of(call, "-k", "--key")
                    .is_some_and(|(_, key)| !key.starts_with("1,1") && key != "1"),
                _ => {
                    let program = &program_of(call)?.text;
                    let own = pattern!(r"\b(FS|FPAT|FIELDWIDTHS)\b").is_match(program);
                    !own && pattern!(r"\$[1-9]|\bNF\b").is_match(program)
                }
            };
            if !asks {
                return None;
            }
            let file = lines_of(look.context, look.script, at)?;
            let (told, divider) = told_divider(call)?;
            let right = file.divider()?;
            let wrong = match divider {
                Divider::One(c) => !file.lines().any(|line| line.contains(c)),
                // The fields may have blanks in them.
                Divider::Blanks => {
                    let one = |line: &str| line.split_whitespace().nth(1).is_none();
                    let (ones, all) = (file.lines().filter(|line| one(line)), file.lines());
                    ones.count() * 2 > all.count()
                        && !(name != "sort" && only_first(&program_of(call)?.text))
                }
            };
            if !wrong || right == divider {
                return None;
            }
            let (short, by) = match (name, right) {
                ("sort", Divider::Blanks) => ("", String::new()),
                ("sort", Divider::One('\t')) => (" -t", "$'\\t'".into()),
                ("sort", Divider::One(c)) => (" -t", quoted(&c.to_string())),
                ("cut", Divider::Blanks) => {
                    // It would take each of several spaces for one.
                    if file.lines().any(|line| line.contains("  ")) {
                        return None;
                    }
                    (" -d", "' '".into())
                }
                ("cut", Divider::One('\t')) => ("", String::new()),
                ("cut", Divider::One(c)) => (" -d", quoted(&c.to_string())),
                (_, Divider::Blanks) => ("", String::new()),
                (_, Divider::One('\t')) => (" -F", "'\\t'".into()),
                (_, Divider::One(c)) => (" -F", quoted(&c.to_string())),
            };
            let option = format!("{short}{by}");
            match told {
                Some(span) => {
                    look.inside(call.words.first()?)?;
                    let raw = look.command.get(span.clone())?;
                    raw.starts_with('-').then_some(())?;
                    // The space before it goes too.
                    Some(vec![(span.start.checked_sub(1)?..span.end, option)])
                }
                None if option.is_empty() => None,
                None => look.option(call, option.trim_start()),
            }
        })
}

/// Whether an awk program looks at the first field only, which in a line of one word is the line.
fn only_first(program: &str) -> bool {
    !pattern!(r"\$([2-9]|1[0-9]|NF)|\bNF\b").is_match(program)
}

/// What an awk program compares a field with, if that is in no row of the file, and in another column, or in other letters,
/// or at the beginning of what is in it.
pub(super) fn compared(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&AWK).find_map(|(at, call)| {
        let word = program_of(call)?;
        let inside = look.inside(word)?;
        let file = lines_of(look.context, look.script, at)?;
        let (_, divider) = told_divider(call)?;
        if !file.whole || pattern!(r"\bFS\b").is_match(&word.text) {
            return None;
        }
        let rows: Vec<_> = file.lines().map(|line| divider.fields(line)).collect();
        let columns = rows.first()?.len();
        let comparisons =
            pattern!(r#"\$([1-9][0-9]?)\s*==\s*(?:"([^"\\]+)"|([0-9]{2,}(?:\.[0-9]+)?)\b)"#);
        comparisons.captures_iter(&word.text).find_map(|found| {
            let whole = found.get(0)?.range();
            let column = found.get(1)?.as_str().parse::<usize>().ok()?;
            let value = found.get(2).or(found.get(3))?.as_str();
            let is = |column: usize, holds: &dyn Fn(&str) -> bool| {
                let field = |row: &Vec<&str>| row.get(column - 1).is_some_and(|field| holds(field));
                rows.iter().any(field)
            };
            let same = |field: &str| {
                let number = || Some(field.parse::<f64>().ok()? == value.parse::<f64>().ok()?);
                field == value || number() == Some(true)
            };
            if is(column, &same) {
                return None;
            }
            // The one column in which it is.
            let only = |holds: &dyn Fn(&str) -> bool| {
                let mut having = (1..=columns).filter(|column| is(*column, holds));
                having.next().filter(|_| having.next().is_none())
            };
            let by = if let Some(other) = only(&same) {
                let all = word.text.get(whole.clone())?;
                all.replacen(&format!("${column}"), &format!("${other}"), 1)
            } else if let Some(other) = only(&|field: &str| field.eq_ignore_ascii_case(value)) {
                let mut forms: Vec<_> = rows
                    .iter()
                    .filter_map(|row| row.get(other - 1))
                    .filter(|field| field.eq_ignore_ascii_case(value))
                    .collect();
                forms.sort();
                forms.dedup();
                match forms[..] {
                    [form] if found.get(2).is_some() => format!("${other}==\"{form}\""),
                    _ => return None,
                }
            } else {
                let begins = |field: &str| {
                    let rest = field.strip_prefix(value);
                    // In a point of time a letter stands behind the date.
                    let day = value.ends_with(|c: char| c.is_ascii_digit());
                    rest.is_some_and(|rest| {
                        rest.starts_with(|c: char| !c.is_alphanumeric() || day && c == 'T')
                    })
                };
                let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                let long = value.len() >= 4;
                let other = match is(column, &begins) {
                    true => column,
                    false => only(&begins)?,
                };
                if !plain || !long {
                    return None;
                }
                format!("${other} ~ /^{value}/")
            };
            Some(vec![(
                inside.start + whole.start..inside.start + whole.end,
                by,
            )])
        })
    })
}

/// Input that has to be in order.
pub(super) fn sorted(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["comm", "join", "uniq"])
        .find_map(|(at, call)| {
            let unsorted = |word: &Word| {
                let text = Text::of(&file(look.context, word)?)?;
                let lines: Vec<_> = text.text.lines().collect();
                (!lines.is_sorted()).then_some(())
            };
            if call.name() == Some("uniq") {
                let options: Vec<_> = call
                    .operands()
                    .iter()
                    .filter(|word| is_option(word))
                    .collect();
                if !options
                    .iter()
                    .any(|word| has_letter(word, "cduD") || word.text == "--count")
                {
                    return None;
                }
                look.inside(call.words.first()?)?;
                let own = call.operands().iter().find(|word| unsorted(word).is_some());
                if let Some(word) = own {
                    let raw = look.command.get(word.span.clone())?;
                    return Some(vec![
                        (call.span.start..call.span.start, format!("sort {raw} | ")),
                        (
                            word.span.start.checked_sub(1)?..word.span.end,
                            String::new(),
                        ),
                    ]);
                }
                let before = before(look.script, at);
                let ordered = before.iter().any(|at| {
                    let name = look.script.calls.get(*at).and_then(Call::name);
                    // Of what is not known, nothing is known.
                    name.is_none_or(|name| matches!(name, "sort" | "comm" | "uniq" | "ls" | "join"))
                });
                return (!ordered && !before.is_empty())
                    .then(|| vec![(call.span.start..call.span.start, "sort | ".into())]);
            }
            let told = call
                .operands()
                .iter()
                .any(|word| has_letter(word, "12jt") && call.name() == Some("join"));
            if told {
                return None;
            }
            let edits: Vec<_> = call
                .operands()
                .iter()
                .filter(|word| unsorted(word).is_some())
                .filter_map(|word| {
                    let raw = look.command.get(word.span.clone())?;
                    look.inside(word)?;
                    Some((word.span.clone(), format!("<(sort {raw})")))
                })
                .collect();
            (!edits.is_empty()).then_some(edits)
        })
}

/// Texts out of JSON, which are wanted without the quotes of JSON.
pub(super) fn raw_strings(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["jq"]).find_map(|(_, call)| {
        let told = call.operands().iter().any(|word| {
            has_letter(word, "rjasnc") || word.text.starts_with("--raw") || word.text == "--tab"
        });
        let json = call.redirects.iter().any(|redirect| {
            redirect.operator.starts_with('>') && redirect.target.text.ends_with("json")
        });
        let filter = arguments(call).next()?;
        if told || json || !filter.known {
            return None;
        }
        let last = filter.text.rsplit('|').next()?.trim();
        let text = pattern!(r#"^\.[\w.\[\]"?-]*\w"?(\[\])?\??$"#).is_match(last)
            || pattern!(r"^(@csv|@tsv|@text|@sh|join\(.*\))$").is_match(last)
            || (last.starts_with('"') && last.ends_with('"'));
        text.then(|| look.option(call, "-r")).flatten()
    })
}

/// Lists out of JSON that are to be sorted or counted, which is done by the line.
pub(super) fn elements(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["jq"]).find_map(|(at, call)| {
        let lines = look.script.calls.iter().any(|other| {
            let by_line = matches!(other.name(), Some("sort" | "uniq" | "wc" | "grep" | "head"));
            other.reads == Some(at) && by_line
        });
        let filter = arguments(call).next()?;
        if !lines || !pattern!(r"^\.?((\.\w+)|\[\])+$").is_match(&filter.text) {
            return None;
        }
        let text = lines_of(look.context, look.script, at).filter(|text| text.whole)?;
        let mut values = vec![serde_json::from_str::<serde_json::Value>(&text.text).ok()?];
        for step in filter.text.replace("[]", ".[]").split('.') {
            values = match step {
                "" => values,
                "[]" => values
                    .iter()
                    .filter_map(|value| value.as_array())
                    .flatten()
                    .cloned()
                    .collect(),
                key => values
                    .iter()
                    .filter_map(|value| value.get(key))
                    .cloned()
                    .collect(),
            };
        }
        let lists = !values.is_empty() && values.iter().all(serde_json::Value::is_array);
        let inside = look.inside(filter)?;
        lists.then(|| vec![(inside.end..inside.end, "[]".into())])
    })
}

/// Dates that are sorted as numbers, which end at the year.
pub(super) fn dates_sorted(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["sort"]).find_map(|(at, call)| {
        let (span, key) = value_of(call, "-k", "--key")?;
        let found = pattern!(r"^([0-9]+)(?:,[0-9]+)?r?(n)r?$").captures(&key)?;
        let column = found
            .get(1)?
            .as_str()
            .parse::<usize>()
            .ok()?
            .checked_sub(1)?;
        let file = lines_of(look.context, look.script, at)?;
        let (_, divider) = told_divider(call)?;
        let date = |line: &str| {
            let field = divider
                .fields(line)
                .get(column)
                .copied()
                .unwrap_or_default();
            pattern!(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}").is_match(field)
        };
        let mut rows = file.lines().skip(1).peekable();
        if rows.peek().is_none() || !rows.all(date) {
            return None;
        }
        let raw = look.command.get(span.clone())?;
        let behind = key.len() - found.get(2)?.start();
        (raw.ends_with(&key))
            .then(|| vec![(span.end - behind..span.end - behind + 1, String::new())])
    })
}

/// What is counted, where nobody asked how often it is: `uniq -c` has the counts in the first column.
pub(super) fn values_of_counts(look: &Look<'_>) -> Option<Vec<Edit>> {
    let stems = words::stems(look.asked);
    let asked = |word: &String| {
        matches!(
            word.as_str(),
            "count" | "number" | "time" | "total" | "frequenc"
        )
    };
    let lower = look.asked.to_lowercase();
    if stems.iter().any(asked) || lower.contains("how many") || lower.contains("how often") {
        return None;
    }
    look.calls(&AWK).find_map(|(at, call)| {
        let word = program_of(call)?;
        let first = pattern!(r"^\{ *print \$(1) *\}$")
            .captures(&word.text)?
            .get(1)?
            .range();
        let counted = before(look.script, at).into_iter().find_map(|at| {
            let call = look.script.calls.get(at)?;
            match call.name() {
                Some("sort" | "head" | "tail") => None,
                Some("uniq") => Some(call.operands().iter().any(|word| has_letter(word, "c"))),
                _ => Some(false),
            }
        });
        let inside = look.inside(word)?;
        (counted? && call.operands().len() == 1).then(|| {
            vec![(
                inside.start + first.start..inside.start + first.end,
                "2".into(),
            )]
        })
    })
}

/// An awk program that prints nothing, or compares with what is never set.
pub(super) fn silent(call: &Call) -> Option<String> {
    let program = program_of(call)?.text.trim();
    let compared = pattern!(r"\$[0-9]+\s*(?:==|>=|<=)\s*([a-z]+)\b").captures(program);
    let variable = compared.and_then(|found| Some(found.get(1)?.as_str()));
    let set = |name: &&str| {
        let words = || program.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let given = call
            .operands()
            .iter()
            .any(|word| word.text.contains(&format!("{name}=")));
        // Set, counted, computed or a function: it stands there once more.
        given || words().filter(|word| word == name).count() > 1
    };
    if let Some(name) = variable.filter(|name| !set(name) && program.find('(').is_none()) {
        return Some(format!(
            "the awk program compares with {name}, which is never set"
        ));
    }
    let speaks = ["print", "getline", "system", "exit", "|", "@"]
        .iter()
        .any(|word| program.contains(word));
    let mut depth = 0;
    let mut outside = 0;
    for c in program.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' | '\n' if depth == 0 => outside += 1,
            _ => (),
        }
    }
    (!speaks && outside == 0 && program.ends_with('}')).then(|| {
        "the awk program prints nothing; results are printed with print, at the end in END"
            .to_owned()
    })
}
