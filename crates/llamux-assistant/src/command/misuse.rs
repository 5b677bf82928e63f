// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Commands that bash and every program in them would take, and that cannot do what they are there for: a pattern in the
//! wrong language, a separator that a file does not have, a file that is not there.
//!
//! Where there is one way only to mean it, it is mended; else it is told. What may be meant as it is, is left alone: each rule
//! has commands in its tests that it must not touch.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;

use regex::Regex;

use super::files::{names, one_line, Divider, Text};
use super::propose::quoted;
use super::syntax::{self, By, Call, Redirect, Script, Word};
use super::{words, Context, Problem, ProblemKind};

/// Most things that are mended in one command.
const MENDS: usize = 12;
/// Most names that are told.
const TOLD: usize = 6;

/// A command that is looked at.
struct Look<'l> {
    context: &'l Context,
    /// The files that the request is about.
    files: &'l [String],
    asked: &'l str,
    command: &'l str,
    script: &'l Script,
}

/// What to put in place of a part of a command.
type Edit = (Range<usize>, String);

/// Finds one thing to mend, or none.
type Mend = fn(&Look<'_>) -> Option<Vec<Edit>>;

/// What one has mended, none finds again.
const ALL: &[Mend] = &[
    patterns_quoted,
    exec_ended,
    computed,
    respelled,
    renamed,
    extended,
    digits,
    divided,
    compared,
    any_case,
    recursive,
    sorted,
    not_itself,
    raw_strings,
    elements,
    dates_sorted,
    values_of_counts,
    only_listed,
    shown,
    made,
    not_emptied,
];

/// A command with all put right that can be meant in one way only.
pub(super) fn mended(context: &Context, command: &str, files: &[String], asked: &str) -> String {
    let mut command = separators_quoted(command);
    for _ in 0..MENDS {
        let script = syntax::parse(&command);
        if !script.errors.is_empty() {
            break;
        }
        let look = Look {
            context,
            files,
            asked,
            command: &command,
            script: &script,
        };
        let Some(mut edits) = ALL.iter().find_map(|mend| mend(&look)) else {
            break;
        };
        // The last first, so that the places of the others stay what they are.
        edits.sort_by_key(|(span, _)| std::cmp::Reverse((span.start, span.end)));
        let mut better = command.clone();
        for (span, by) in edits {
            if better.get(span.clone()).is_none() {
                return command;
            }
            better.replace_range(span, &by);
        }
        command = better;
    }
    command
}

/// What is wrong with a command whatever was asked.
pub(super) fn problems(context: &Context, script: &Script) -> Vec<Problem> {
    let mut problems = vec![];
    for (at, call) in script.calls.iter().enumerate() {
        let message = match call.name() {
            Some("truncate") => no_size(call),
            Some("awk" | "gawk" | "mawk" | "nawk") => silent(call),
            Some("sed") => no_such_text(context, script, at),
            _ => None,
        };
        problems.extend(message.map(|message| problem(&call.span, message)));
        problems.extend(empties(script, at).map(|redirect| {
            let name = &redirect.target.text;
            problem(
                &redirect.target.span,
                format!("`> {name}` empties {name} before it is read"),
            )
        }));
    }
    problems
}

/// Files that a command reads and that are not there, nor named by the request.
pub(super) fn not_there(context: &Context, command: &str, asked: &str) -> Option<Problem> {
    let script = syntax::parse(command);
    let (word, name) = missing(context, &script, asked).into_iter().next()?;
    let there = names(&context.cwd);
    let mut told: Vec<_> = there.iter().take(TOLD).map(|name| quoted(name)).collect();
    if there.len() > TOLD {
        told.push("more".into());
    }
    let there = match told.is_empty() {
        true => String::from("this directory is empty"),
        false => format!("here are {}", told.join(", ")),
    };
    Some(problem(
        &word.span,
        format!("there is no file {name}; {there}"),
    ))
}

fn problem(span: &Range<usize>, message: String) -> Problem {
    Problem {
        span: span.clone(),
        kind: ProblemKind::Misuse { message },
    }
}

/// A pattern that is part of the program, compiled once.
macro_rules! pattern {
    ($text:literal) => {{
        static PATTERN: OnceLock<Regex> = OnceLock::new();
        // PANIC: a test compiles each.
        PATTERN.get_or_init(|| Regex::new($text).expect("a pattern that a test compiles"))
    }};
}

impl Look<'_> {
    fn calls<'s>(&'s self, names: &'s [&'s str]) -> impl Iterator<Item = (usize, &'s Call)> {
        let calls = self.script.calls.iter().enumerate();
        calls.filter(move |(_, call)| call.name().is_some_and(|name| names.contains(&name)))
    }

    /// Where the text of a word stands as it is, without its quotes; in a shell within the shell it may stand nowhere.
    fn inside(&self, word: &Word) -> Option<Range<usize>> {
        let raw = self.command.get(word.span.clone())?;
        let Range { start, end } = word.span;
        if raw == word.text {
            return Some(start..end);
        }
        let quoted = ['\'', '"'].iter().any(|quote| {
            raw.strip_prefix(*quote)
                .and_then(|raw| raw.strip_suffix(*quote))
                == Some(&word.text)
        });
        (word.known && quoted).then(|| start + 1..end - 1)
    }

    /// Puts an option behind the name of a program.
    fn option(&self, call: &Call, option: &str) -> Option<Vec<Edit>> {
        let name = call.words.first()?;
        self.inside(name)?;
        Some(vec![(name.span.end..name.span.end, format!(" {option}"))])
    }
}

/// Whether a word is options of one letter each, with one of these among them.
fn has_letter(word: &Word, letters: &str) -> bool {
    let text = word.text.strip_prefix('-').unwrap_or_default();
    !text.starts_with('-') && text.contains(|c: char| letters.contains(c))
}

fn is_option(word: &Word) -> bool {
    word.text.starts_with('-') && word.text.len() > 1
}

/// A file of the directory, or below it.
fn file(context: &Context, word: &Word) -> Option<PathBuf> {
    let plain = word.known && !word.pattern && !word.text.starts_with(['~', '-']);
    let path = context.cwd.join(&word.text);
    (plain && !word.text.is_empty() && path.is_file()).then_some(path)
}

fn directory(context: &Context, word: &Word) -> bool {
    word.known && !word.pattern && !is_option(word) && context.cwd.join(&word.text).is_dir()
}

/// The calls whose output comes to a call, the nearest first.
fn before(script: &Script, at: usize) -> Vec<usize> {
    let mut out = vec![];
    let mut at = at;
    while let Some(reads) = script.calls.get(at).and_then(|call| call.reads) {
        if out.contains(&reads) {
            break;
        }
        out.push(reads);
        at = reads;
    }
    out
}

/// The file whose lines a call reads: its own, or that of a pipeline which leaves lines as they are.
fn lines_of(context: &Context, script: &Script, at: usize) -> Option<Text> {
    let call = script.calls.get(at)?;
    let own = call
        .operands()
        .iter()
        .filter_map(|word| file(context, word));
    let from = call
        .redirects
        .iter()
        .filter(|redirect| redirect.operator == "<")
        .filter_map(|redirect| file(context, &redirect.target));
    if let Some(path) = own.chain(from).last() {
        return Text::of(&path);
    }
    let reads = call.reads?;
    let before = script.calls.get(reads)?;
    let keeps = match before.name()? {
        "cat" | "head" | "tail" | "tac" | "shuf" | "sort" => true,
        "grep" => !before
            .operands()
            .iter()
            .any(|word| has_letter(word, "onclLr") || word.text.starts_with("--")),
        "sed" => before
            .operands()
            .iter()
            .any(|word| pattern!(r"^[0-9,$]+[dp]$").is_match(&word.text)),
        _ => false,
    };
    keeps.then(|| lines_of(context, script, reads)).flatten()
}

/// `;` and `|` behind the option for a separator end the command, or begin another one.
fn separators_quoted(command: &str) -> String {
    let mut out = String::new();
    let mut rest = command;
    let mut quote = None;
    while let Some(c) = rest.chars().next() {
        let (this, behind) = rest.split_at(c.len_utf8());
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => (),
            None if c == '\'' || c == '"' => quote = Some(c),
            None if matches!(c, ';' | '|') && behind.starts_with([' ', '\t', '\'', '"']) => {
                let part = out.rsplit(['|', ';', '&', '(', '\n']).next();
                let part = part.unwrap_or_default();
                let program = part.split_whitespace().find(|word| *word != "sudo");
                let takes = match program.unwrap_or_default() {
                    "awk" | "gawk" | "mawk" => " -F",
                    "sort" => " -t",
                    "cut" | "paste" => "d",
                    "column" => " -s",
                    "join" => " -t",
                    _ => "",
                };
                let option = part.split(' ').next_back().unwrap_or_default();
                // `cut -d ;` has a space between.
                let option = match option.is_empty() {
                    true => part.trim_end().rsplit(' ').next().unwrap_or_default(),
                    false => option,
                };
                let letter = takes.trim_start_matches([' ', '-']);
                if !takes.is_empty()
                    && option.starts_with('-')
                    && !option.starts_with("--")
                    && option.ends_with(letter)
                    && !(option.len() > 2 && takes.starts_with(' '))
                {
                    out.push_str(&format!("'{c}'"));
                    rest = behind;
                    continue;
                }
            }
            None => (),
        }
        out.push_str(this);
        rest = behind;
    }
    out
}

/// Names with a pattern in them, which the shell puts the files of the directory in place of.
fn patterns_quoted(look: &Look<'_>) -> Option<Vec<Edit>> {
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

/// `find -exec` that nothing ends.
fn exec_ended(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["find"]).find_map(|(_, call)| {
        let open = call
            .words
            .iter()
            .fold(false, |open, word| match word.text.as_str() {
                "-exec" | "-execdir" | "-ok" | "-okdir" => true,
                ";" | "+" => false,
                _ => open,
            });
        let last = call.words.last().filter(|_| open)?;
        look.inside(call.words.first()?)?;
        let end = last.span.end;
        let behind = look.command.get(end..)?;
        let gap = behind.len() - behind.trim_start_matches(' ').len();
        let ends = behind.trim_start_matches(' ').starts_with(';')
            && !behind.trim_start_matches(' ').starts_with(";;");
        let until = if ends { end + gap + 1 } else { end };
        Some(vec![(end..until, " \\;".into())])
    })
}

/// A sum that stands for itself.
fn computed(look: &Look<'_>) -> Option<Vec<Edit>> {
    let command = look.command.trim();
    let sum = pattern!(r"^[0-9(][0-9 .()]*([-+*/%^]+[0-9 .()]+)+$").is_match(command);
    // A date, or a version.
    let spaced = command.contains(' ') || command.contains(['*', '+', '/', '%', '^']);
    let whole = 0..look.command.len();
    let by = match command.contains(['.', '^', '/']) {
        true => format!("echo '{command}' | bc -l"),
        false => format!("echo $(({command}))"),
    };
    (sum && spaced).then(|| vec![(whole, by)])
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
            let word = operands.iter().find(|word| !is_option(word))?;
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
fn pattern_word(operands: &[Word]) -> Option<&Word> {
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
fn extended(look: &Look<'_>) -> Option<Vec<Edit>> {
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
fn digits(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["grep", "zgrep", "sed", "awk", "gawk", "mawk"])
        .find_map(|(_, call)| {
            let word = match call.name()? {
                "sed" => call.operands().iter().find(|word| !is_option(word))?,
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

/// The program that an awk is given.
fn program_of(call: &Call) -> Option<&Word> {
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
fn divided(look: &Look<'_>) -> Option<Vec<Edit>> {
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
fn compared(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["awk", "gawk", "mawk"]).find_map(|(at, call)| {
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

/// What grep is told to look for, if its files have it in other letters only.
fn any_case(look: &Look<'_>) -> Option<Vec<Edit>> {
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

/// Directories that a program leaves out, or takes without what is in them.
fn recursive(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["grep", "zip", "cp"]).find_map(|(_, call)| {
        let name = call.name()?;
        let letters = match name {
            "grep" => "rRd",
            "zip" => "rRdi",
            _ => "rRadu",
        };
        let told = |word: &Word| {
            has_letter(word, letters)
                || matches!(
                    word.text.as_str(),
                    "--recursive" | "--directories" | "--archive" | "--recurse-paths"
                )
                || word.text.starts_with("--directories=")
        };
        if call.operands().iter().any(told) || call.by == By::Many {
            return None;
        }
        let pattern = pattern_word(call.operands()).map(|word| word.span.clone());
        let mut operands: Vec<_> = call
            .operands()
            .iter()
            .filter(|word| !is_option(word))
            .collect();
        match name {
            "grep" => operands.retain(|word| Some(&word.span) != pattern.as_ref()),
            // The first is the archive.
            "zip" => drop((!operands.is_empty()).then(|| operands.remove(0))),
            // The last is where to.
            _ => drop(operands.pop()),
        }
        let any = operands.iter().any(|word| directory(look.context, word));
        any.then(|| look.option(call, "-r")).flatten()
    })
}

/// Input that has to be in order.
fn sorted(look: &Look<'_>) -> Option<Vec<Edit>> {
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

/// A grep of `ps`, which finds itself.
fn not_itself(look: &Look<'_>) -> Option<Vec<Edit>> {
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

/// Texts out of JSON, which are wanted without the quotes of JSON.
fn raw_strings(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["jq"]).find_map(|(_, call)| {
        let told = call.operands().iter().any(|word| {
            has_letter(word, "rjasnc") || word.text.starts_with("--raw") || word.text == "--tab"
        });
        let json = call.redirects.iter().any(|redirect| {
            redirect.operator.starts_with('>') && redirect.target.text.ends_with("json")
        });
        let filter = call.operands().iter().find(|word| !is_option(word))?;
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
fn elements(look: &Look<'_>) -> Option<Vec<Edit>> {
    look.calls(&["jq"]).find_map(|(at, call)| {
        let lines = look.script.calls.iter().any(|other| {
            let by_line = matches!(other.name(), Some("sort" | "uniq" | "wc" | "grep" | "head"));
            other.reads == Some(at) && by_line
        });
        let filter = call.operands().iter().find(|word| !is_option(word))?;
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
fn dates_sorted(look: &Look<'_>) -> Option<Vec<Edit>> {
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

/// What is found and deleted, where nothing was said of deleting.
fn only_listed(look: &Look<'_>) -> Option<Vec<Edit>> {
    const MORE: &[&str] = &[
        "clean", "clear", "purg", "prune", "unlink", "destroy", "empti", "kick", "away", "dump",
        "keep", "leav", "nuke", "tidi", "free", "rm",
    ];
    let asked = words::words(look.asked);
    let deletes = |word: &String| word == "delet" || MORE.contains(&word.as_str());
    let stems = words::stems(look.asked);
    let said = |word: &String| deletes(word) && word != "empti";
    // "empty" says what they are, or what is to be done: it is the latter if it comes first.
    if asked.iter().chain(&stems).any(said) || stems.first().is_some_and(deletes) {
        return None;
    }
    look.calls(&["find"]).find_map(|(_, call)| {
        let word = call.operands().iter().find(|word| word.text == "-delete")?;
        look.inside(word)?;
        Some(vec![(
            word.span.start.checked_sub(1)?..word.span.end,
            String::new(),
        )])
    })
}

/// What is counted, where nobody asked how often it is: `uniq -c` has the counts in the first column.
fn values_of_counts(look: &Look<'_>) -> Option<Vec<Edit>> {
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
    look.calls(&["awk", "gawk", "mawk"]).find_map(|(at, call)| {
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

/// Output that goes into a file of which nobody spoke.
fn shown(look: &Look<'_>) -> Option<Vec<Edit>> {
    const WRITING: &[&str] = &[
        "save",
        "write",
        "store",
        "put",
        "into",
        "copi",
        "export",
        "make",
        "creat",
        "generat",
        "convert",
        "record",
        "keep",
        "dump",
        "backup",
        "back",
        "file",
        "output",
        "produc",
        "new",
        "add",
        "append",
        "set",
        "chang",
        "replac",
        "merg",
        "join",
        "combin",
        "glue",
        "concaten",
        "split",
        "extract",
        "unpack",
        "decompress",
        "pack",
        "compress",
        "archiv",
        "download",
        "fetch",
        "log",
        "list",
        "redirect",
        "turn",
        "remov",
        "delet",
        "strip",
        "sort",
        "dedup",
        "encrypt",
        "decrypt",
        "encod",
        "decod",
        "build",
        "instal",
        "renam",
        "move",
        "empti",
        "updat",
        "edit",
        "insert",
    ];
    let stems = words::stems(look.asked);
    let lower = look.asked.to_lowercase();
    if stems.iter().any(|word| WRITING.contains(&word.as_str()))
        || lower.contains(" into ")
        || look.script.calls.iter().any(|call| call.name().is_none())
    {
        return None;
    }
    let redirects = look.script.calls.iter().flat_map(|call| &call.redirects);
    redirects.into_iter().find_map(|redirect| {
        let target = &redirect.target;
        let last = look.command.get(target.span.end..)?.trim().is_empty();
        let named = lower.contains(&target.text.to_lowercase());
        let plain = target.known && !target.pattern && !target.text.starts_with('/');
        if redirect.operator != ">" || !last || !plain || named {
            return None;
        }
        look.inside(target)?;
        let before = look.command.get(..target.span.start)?.trim_end();
        let begin = before.strip_suffix('>')?;
        let whole = !begin.ends_with(['>', '&', '1', '2']);
        let begin = begin.trim_end().len();
        whole.then(|| vec![(begin..look.command.len(), String::new())])
    })
}

/// Programs that make what they name last, or all that they name.
const MAKING: &[&str] = &["mkdir", "touch", "tee", "install", "mktemp"];

/// Directories that something is put into, and that are not there.
fn made(look: &Look<'_>) -> Option<Vec<Edit>> {
    let calls = &look.script.calls;
    // Where it changes to, nobody has looked.
    if calls
        .iter()
        .any(|call| matches!(call.name(), Some("cd" | "pushd")) || call.privileged)
    {
        return None;
    }
    let missing = calls.iter().find_map(|call| {
        let operands: Vec<_> = call
            .operands()
            .iter()
            .filter(|word| !is_option(word))
            .collect();
        let target = match call.name()? {
            "cp" | "mv" => {
                if call.operands().iter().any(|word| has_letter(word, "tT")) {
                    return None;
                }
                let (target, sources) = operands.split_last()?;
                let many = sources.len() > 1
                    || call.by == By::Many
                    || sources.iter().any(|word| word.pattern)
                    || target.text.ends_with('/') && !sources.is_empty();
                let one =
                    sources.len() == 1 && sources.iter().any(|word| directory(look.context, word));
                many.then_some(())?;
                (!one).then_some(*target)?
            }
            "tar" => {
                let first = call.operands().first()?;
                let unpacks = has_letter(first, "x") || first.text.starts_with('x');
                let at = call.operands().iter().position(|word| word.text == "-C")?;
                unpacks.then(|| call.operands().get(at + 1)).flatten()?
            }
            _ => return None,
        };
        let text = target.text.as_str();
        let plain = target.known
            && !target.pattern
            && !text.starts_with(['/', '~', '-', '$'])
            && !text.starts_with("..")
            && !text.contains('{')
            && !text.is_empty();
        (plain && !look.context.cwd.join(text).exists()).then_some(target)
    })?;
    let name = missing.text.trim_end_matches('/');
    let making = calls.iter().any(|call| {
        call.name()
            .is_some_and(|made| MAKING.contains(&made) || made == "ln" || made == "git")
            && call.operands().iter().any(|word| {
                let word = word.text.trim_end_matches('/');
                word == name || !word.starts_with('-') && word.starts_with(&format!("{name}/"))
            })
    });
    (!making).then(|| vec![(0..0, format!("mkdir -p {} && ", quoted(name)))])
}

/// The file that a call's output goes to and that it, or what comes before it, reads.
fn empties(script: &Script, at: usize) -> Option<&Redirect> {
    let call = script.calls.get(at)?;
    let redirect = call
        .redirects
        .iter()
        .find(|redirect| matches!(redirect.operator.as_str(), ">" | ">|" | "&>"))?;
    let target = &redirect.target;
    if !target.known || target.pattern || target.text.starts_with("/dev/") {
        return None;
    }
    let mut calls = before(script, at);
    calls.push(at);
    let reads = calls.into_iter().any(|at| {
        script.calls.get(at).is_some_and(|call| {
            let reads = call.name().is_some_and(|name| READING.contains(&name));
            reads && {
                let operands = call
                    .operands()
                    .iter()
                    .skip(usize::from(call.name() == Some("tr")));
                let from = call.redirects.iter().filter(|from| from.operator == "<");
                operands
                    .chain(from.map(|from| &from.target))
                    .any(|word| word.known && word.text == target.text)
            }
        })
    });
    reads.then_some(redirect)
}

/// Output into a file that is read for it.
fn not_emptied(look: &Look<'_>) -> Option<Vec<Edit>> {
    (0..look.script.calls.len()).find_map(|at| {
        let redirect = empties(look.script, at)?;
        let target = &redirect.target;
        look.inside(target)?;
        let new = format!("{}.new", target.text);
        let last = look.command.get(target.span.end..)?.trim().is_empty();
        let free = !look.context.cwd.join(&new).exists();
        let plain =
            !target.text.starts_with(['-', '~']) && look.context.cwd.join(&target.text).is_file();
        (last && free && plain && redirect.operator == ">").then(|| {
            let (new, old) = (quoted(&new), quoted(&target.text));
            vec![(
                target.span.start..look.command.len(),
                format!("{new} && mv {new} {old}"),
            )]
        })
    })
}

/// Programs that read the files that they are told.
#[rustfmt::skip]
const READING: &[&str] = &[
    "awk", "base64", "bunzip2", "cat", "chmod", "cmp", "column", "comm", "cp", "csplit", "cut", "diff", "expand", "file",
    "fold", "gawk", "grep", "gunzip", "gzip", "head", "iconv", "jq", "join", "less", "mawk", "md5sum", "mv", "nl", "od",
    "paste", "rev", "rm", "sed", "sha1sum", "sha256sum", "shuf", "sort", "split", "stat", "strings", "tac", "tail", "tr",
    "uniq", "unxz", "unzip", "wc", "xxd", "xz", "zcat", "zgrep", "zless",
];

/// The words of a command that name files to be read, which are not there and which the request does not name.
fn missing<'s>(context: &Context, script: &'s Script, asked: &str) -> Vec<(&'s Word, &'s str)> {
    // Where it changes to, and what it makes, nobody has seen.
    let changes = |call: &Call| {
        matches!(
            call.name(),
            Some("cd" | "pushd" | "git" | "wget" | "curl" | "ssh")
        ) || matches!(call.by, By::Many)
    };
    if script.calls.iter().any(changes) || !script.functions.is_empty() {
        return vec![];
    }
    let name_like = pattern!(r"^[\w][\w./ -]*\.[A-Za-z][A-Za-z0-9]{0,4}$");
    let lower = asked.to_lowercase();
    let mut made: BTreeSet<&str> = BTreeSet::new();
    let mut out = vec![];
    for call in &script.calls {
        let name = call.name().unwrap_or_default();
        let operands: Vec<_> = call
            .operands()
            .iter()
            .filter(|word| !is_option(word))
            .collect();
        let skipped = match name {
            "grep" | "zgrep" => pattern_word(call.operands()).map(|word| word.span.clone()),
            "sed" | "jq" | "chmod" | "tr" => operands.first().map(|word| word.span.clone()),
            "awk" | "gawk" | "mawk" => program_of(call).map(|word| word.span.clone()),
            // What it makes.
            "cp" | "mv" | "split" | "csplit" => operands.last().map(|word| word.span.clone()),
            _ => None,
        };
        if READING.contains(&name) {
            let from = call.redirects.iter().filter(|from| from.operator == "<");
            for word in operands
                .iter()
                .copied()
                .chain(from.map(|from| &from.target))
            {
                let text = word.text.as_str();
                let last = text.rsplit('/').next().unwrap_or_default();
                let is_name = name_like.is_match(text);
                if is_name
                    && word.known
                    && !word.pattern
                    && Some(&word.span) != skipped.as_ref()
                    && !lower.contains(&last.to_lowercase())
                    && !made.contains(text)
                    && !context.cwd.join(text).exists()
                {
                    out.push((word, text));
                }
            }
        }
        made.extend(
            operands
                .iter()
                .filter(|_| !READING.contains(&name))
                .map(|word| word.text.as_str()),
        );
        if let Some(last) = operands.last() {
            made.insert(last.text.as_str());
        }
        let targets = call
            .redirects
            .iter()
            .filter(|redirect| redirect.operator != "<");
        made.extend(targets.map(|redirect| redirect.target.text.as_str()));
        made.extend(call.operands().windows(2).filter_map(|pair| match pair {
            [option, word] if option.text == "-o" => Some(word.text.as_str()),
            _ => None,
        }));
    }
    out
}

/// A name that is there with spaces, or in other letters.
fn respelled(look: &Look<'_>) -> Option<Vec<Edit>> {
    let bare = |name: &str| -> String {
        let name = name.trim_end_matches('/').to_lowercase();
        name.chars().filter(|c| !" _-'\\".contains(*c)).collect()
    };
    let lower = look.asked.to_lowercase();
    let reads = |call: &&Call| {
        call.name().is_some_and(|name| {
            READING.contains(&name) || matches!(name, "rmdir" | "du" | "ls" | "tar" | "zip")
        })
    };
    look.script.calls.iter().filter(reads).find_map(|call| {
        let mut operands: Vec<_> = call
            .operands()
            .iter()
            .filter(|word| !is_option(word))
            .collect();
        if matches!(call.name(), Some("cp" | "mv")) {
            operands.pop();
        }
        operands.into_iter().find_map(|word| {
            let text = word.text.as_str();
            let plain = word.known && !word.pattern && !text.contains('/') && text.len() > 3;
            if !plain
                || look.context.cwd.join(text).exists()
                || lower.contains(&text.to_lowercase())
            {
                return None;
            }
            look.inside(word)?;
            let there = names(&look.context.cwd);
            // What would be taken for an option is no name to put there.
            let mut alike = there
                .iter()
                .filter(|name| !name.starts_with('-') && bare(name) == bare(text));
            let meant = alike.next().filter(|_| alike.next().is_none())?;
            Some(vec![(word.span.clone(), quoted(meant))])
        })
    })
}

/// The name of a file that is not there, where the request names one that is, and that nothing else reads.
fn renamed(look: &Look<'_>) -> Option<Vec<Edit>> {
    let missing = missing(look.context, look.script, look.asked);
    let (_, name) = *missing.first()?;
    if missing.iter().any(|(_, other)| *other != name) {
        return None;
    }
    let lower = look.asked.to_lowercase();
    let mut meant = look.files.iter().filter(|file| {
        lower.contains(&file.to_lowercase())
            && !file.starts_with('-')
            && look.context.cwd.join(file).is_file()
            && !look.command.contains(file.as_str())
    });
    let meant = meant.next().filter(|_| meant.next().is_none())?;
    let edits: Option<Vec<_>> = missing
        .iter()
        .map(|(word, _)| {
            look.inside(word)?;
            Some((word.span.clone(), quoted(meant)))
        })
        .collect();
    edits
}

/// `truncate` that is not told how long the file shall be.
fn no_size(call: &Call) -> Option<String> {
    let told = |word: &Word| {
        has_letter(word, "sr")
            || ["--size", "--reference"]
                .iter()
                .any(|long| word.text.starts_with(long))
    };
    (!call.operands().iter().any(told))
        .then(|| "truncate needs -s with the size, as in -s 0".to_owned())
}

/// An awk program that prints nothing, or compares with what is never set.
fn silent(call: &Call) -> Option<String> {
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

/// What sed is to replace and no line has.
fn no_such_text(context: &Context, script: &Script, at: usize) -> Option<String> {
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
    let word = call.operands().iter().find(|word| !is_option(word))?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Machine, Shell, System};
    use super::*;

    /// A directory with files, which goes away at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("llamux-misuse-{name}-{}", std::process::id()));
            for directory in ["lib", "to keep"] {
                fs::create_dir_all(root.join(directory)).unwrap();
            }
            for (name, text) in [
                ("plants.csv", "name,window,watered,seen\nfern,north,no,2024-05-01\nold ivy,south,yes,2024-06-03\n"),
                ("trips.csv", "place;how\nUlm;train\nRome;plane\n"),
                ("words.tsv", "Haus\thouse\nalter Baum\told tree\n"),
                ("teams.txt", "kira red 14\nlou blue 9\n"),
                ("when.txt", "2024-05-01T07:00 on\n2024-05-02T08:00 off\n"),
                ("x.json", "{\"items\": [{\"name\": \"a\", \"tags\": [\"t\"]}, {\"name\": \"b\", \"tags\": []}]}"),
                ("users.txt", "ida:x:1000\njan:x:1001\n"),
                ("a.txt", "b\na\n"),
                ("b.txt", "a\nb\n"),
                ("app.conf", "volume = 40\nmode=fast\n"),
                ("loud.log", "ERROR one\nWARN two\na|b\n"),
                ("-rf", "x\n"),
                ("-n.txt", "x\n"),
                ("my notes.txt", "x\n"),
            ] {
                fs::write(root.join(name), text).unwrap();
            }
            Self(root)
        }

        fn context(&self) -> Context {
            Context {
                shell: Shell::Bash,
                cwd: self.0.clone(),
                home: None,
                system: System::Debian,
                root: false,
                last: None,
                history: vec![],
                machine: Machine::of(vec![], vec![], vec![]),
            }
        }

        /// What a command becomes, and all of them that became something else than was expected.
        fn wrong(&self, cases: &[(&str, &str)], asked: &str) -> Vec<String> {
            let context = self.context();
            let files = super::super::files::mentioned(&self.0, asked);
            cases
                .iter()
                .filter_map(|(command, expected)| {
                    let expected = if expected.is_empty() {
                        command
                    } else {
                        expected
                    };
                    let got = mended(&context, command, &files, asked);
                    // What was mended is right.
                    let again = mended(&context, &got, &files, asked);
                    (got != *expected || again != got)
                        .then(|| format!("{command}\n  {got}\n  {again}"))
                })
                .collect()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    /// Each command, and what it becomes: nothing says that it stays.
    #[test]
    fn what_can_be_meant_in_one_way_only_is_mended() {
        let place = Place::new("mended");
        let wrong = place.wrong(
            &[
                // Separators that end a command.
                (
                    "awk -F; '{print $1}' trips.csv",
                    "awk -F';' '{print $1}' trips.csv",
                ),
                ("sort x | cut -d| -f2", "sort x | cut -d'|' -f2"),
                ("cut -d ; -f1 trips.csv", "cut -d ';' -f1 trips.csv"),
                ("paste -sd; a.txt", "paste -sd';' a.txt"),
                ("ls -d; pwd", ""),
                ("echo 'awk -F; x' | cat", ""),
                ("cut -d, -f1 plants.csv | sort", ""),
                ("sort -d | uniq", ""),
                // Patterns of the other kind.
                (
                    "grep 'WARN|ERROR' loud.log",
                    "grep -E 'WARN|ERROR' loud.log",
                ),
                (
                    "grep -n 'x[0-9]+' loud.log",
                    "grep -E -n 'x[0-9]+' loud.log",
                ),
                ("grep '[0-9]{3}' loud.log", "grep -E '[0-9]{3}' loud.log"),
                ("grep '(ab)+' loud.log", "grep -E '(ab)+' loud.log"),
                (
                    "sed 's/(a)(b)/\\2\\1/' b.txt",
                    "sed -E 's/(a)(b)/\\2\\1/' b.txt",
                ),
                ("sed -n '/a|b/p' b.txt", "sed -E -n '/a|b/p' b.txt"),
                ("grep 'a\\|b' b.txt", ""),
                ("grep 'a|b' loud.log", ""),
                ("grep -E 'a|b' b.txt", ""),
                ("grep -F 'a|b' b.txt", ""),
                ("grep -oP '\\d+' b.txt", ""),
                ("grep 'main()' b.txt", ""),
                ("grep 'c++' b.txt", ""),
                ("grep 'really?' b.txt", ""),
                ("grep ' | ' b.txt", ""),
                ("grep 'page.php?id=' b.txt", ""),
                ("sed 's|/usr|/opt|' b.txt", ""),
                ("sed 's/f(x)/g(x)/' b.txt", ""),
                ("grep '\\d\\d' loud.log", "grep '[0-9][0-9]' loud.log"),
                ("sed 's/[\\d.]*//' b.txt", "sed 's/[0-9.]*//' b.txt"),
                // Separators of other files.
                (
                    "awk -F, '{print $1}' teams.txt",
                    "awk '{print $1}' teams.txt",
                ),
                (
                    "awk '{print $2}' trips.csv",
                    "awk -F';' '{print $2}' trips.csv",
                ),
                (
                    "awk -F, '{print $2}' trips.csv",
                    "awk -F';' '{print $2}' trips.csv",
                ),
                (
                    "awk -F ',' '{print $3}' users.txt",
                    "awk -F: '{print $3}' users.txt",
                ),
                (
                    "awk -F, '{print $2}' words.tsv",
                    "awk -F'\\t' '{print $2}' words.tsv",
                ),
                (
                    "tail -n +2 trips.csv | cut -d, -f2",
                    "tail -n +2 trips.csv | cut -d';' -f2",
                ),
                ("cut -f2 plants.csv", "cut -d, -f2 plants.csv"),
                ("cut -d, -f2 teams.txt", "cut -d' ' -f2 teams.txt"),
                ("sort -k2,2 trips.csv", "sort -t';' -k2,2 trips.csv"),
                ("sort -t, -k3,3n teams.txt", "sort -k3,3n teams.txt"),
                ("awk -F, '{print $1}' plants.csv", ""),
                ("awk '{print $1}' trips.csv", ""),
                ("awk '{print}' trips.csv", ""),
                ("awk 'BEGIN {FS=\";\"} {print $2}' trips.csv", ""),
                ("awk -F'[;,]' '{print $2}' trips.csv", ""),
                ("awk -F: '{print $2}' none.txt", ""),
                ("cut -c1-3 trips.csv", ""),
                ("cut -f2 words.tsv", ""),
                ("sort trips.csv", ""),
                ("sort -k2,2 teams.txt", ""),
                // What a column is compared with.
                (
                    "awk -F, '$2==\"no\" {print $1}' plants.csv",
                    "awk -F, '$3==\"no\" {print $1}' plants.csv",
                ),
                (
                    "awk -F, '$2==\"North\"' plants.csv",
                    "awk -F, '$2==\"north\"' plants.csv",
                ),
                (
                    "awk -F, '$4==\"2024-05\"' plants.csv",
                    "awk -F, '$4 ~ /^2024-05/' plants.csv",
                ),
                (
                    "awk -F, '$1==\"2024\"' plants.csv",
                    "awk -F, '$4 ~ /^2024/' plants.csv",
                ),
                (
                    "awk -F' ' '$1==\"2024-05-01\" {print $2}' when.txt",
                    "awk -F' ' '$1 ~ /^2024-05-01/ {print $2}' when.txt",
                ),
                (
                    "jq -r '.items[].tags' x.json | sort -u",
                    "jq -r '.items[].tags[]' x.json | sort -u",
                ),
                ("jq -r '.items[].name' x.json | sort -u", ""),
                ("jq -r '.items[].tags' x.json", ""),
                ("sort -t, -k4,4n plants.csv", "sort -t, -k4,4 plants.csv"),
                ("sort -t, -k4,4nr plants.csv", "sort -t, -k4,4r plants.csv"),
                ("sort -k3,3n teams.txt", ""),
                ("awk '$2==14' teams.txt", "awk '$3==14' teams.txt"),
                ("awk -F, '$3==\"no\"' plants.csv", ""),
                ("awk -F, '$3==\"maybe\"' plants.csv", ""),
                ("awk '$3==7' teams.txt", ""),
                ("awk -F, '$3!=\"maybe\"' plants.csv", ""),
                // Letters.
                ("grep 'error' loud.log", "grep -i 'error' loud.log"),
                (
                    "grep -cE 'warn|ERROR' loud.log",
                    "grep -i -cE 'warn|ERROR' loud.log",
                ),
                ("grep 'ERROR' loud.log", ""),
                ("grep 'nothing' loud.log", ""),
                ("grep -v 'error' loud.log", ""),
                // Directories.
                ("grep -n 'x' lib", "grep -r -n 'x' lib"),
                ("zip l.zip lib/", "zip -r l.zip lib/"),
                ("cp lib copy", "cp -r lib copy"),
                ("grep -rn 'x' lib", ""),
                ("zip -qr l.zip lib", ""),
                ("zip l.zip a.txt", ""),
                ("cp a.txt lib", ""),
                ("cp -a lib copy", ""),
                ("grep 'lib' a.txt", ""),
                // Order.
                ("comm -12 a.txt b.txt", "comm -12 <(sort a.txt) b.txt"),
                (
                    "cut -d, -f2 plants.csv | uniq -c",
                    "cut -d, -f2 plants.csv | sort | uniq -c",
                ),
                ("uniq -d a.txt", "sort a.txt | uniq -d"),
                ("uniq -c b.txt", ""),
                ("sort a.txt | uniq -c", ""),
                ("sort a.txt | cut -c1 | uniq -c", ""),
                ("cut -c1 a.txt | uniq", ""),
                ("comm -12 <(sort a.txt) <(sort b.txt)", ""),
                // The search that finds itself.
                ("ps -ef | grep nginx | wc -l", "pgrep -c nginx"),
                ("ps aux | grep -c nginx", "pgrep -c nginx"),
                ("ps aux | grep nginx", "ps aux | grep '[n]ginx'"),
                (
                    "kill $(ps -ef | grep nginx | awk '{print $2}')",
                    "kill $(ps -ef | grep '[n]ginx' | awk '{print $2}')",
                ),
                ("ps aux | grep nginx | grep -v grep", ""),
                ("ps aux | grep '[n]ginx'", ""),
                ("ps -e | wc -l", ""),
                ("cat a.txt | grep nginx | wc -l", ""),
                // JSON.
                ("jq '.[] | .name' x.json", "jq -r '.[] | .name' x.json"),
                ("jq '.a[].b' x.json | sort", "jq -r '.a[].b' x.json | sort"),
                (
                    "jq '.[] | \"\\(.a) \\(.b)\"' x.json",
                    "jq -r '.[] | \"\\(.a) \\(.b)\"' x.json",
                ),
                ("jq . x.json", ""),
                ("jq '.a | length' x.json", ""),
                ("jq '.a' x.json > y.json", ""),
                ("jq -c '.a' x.json", ""),
                // Ends.
                (
                    "find . -name '*.c' -exec wc -l {} ;",
                    "find . -name '*.c' -exec wc -l {} \\;",
                ),
                ("find . -exec ls {}", "find . -exec ls {} \\;"),
                ("find . -exec ls {} \\; -print", ""),
                ("find . -exec ls {} +", ""),
                ("find . -name *.c", "find . -name '*.c'"),
                ("find . -name \"*.c\" -o -name x", ""),
                ("for f in *.c; do echo $f; done", ""),
                // Places that are not there.
                ("cp *.txt out/", "mkdir -p out && cp *.txt out/"),
                (
                    "find lib -name '*.h' -exec cp {} out/ \\;",
                    "mkdir -p out && find lib -name '*.h' -exec cp {} out/ \\;",
                ),
                (
                    "tar -xf x.tar -C out",
                    "mkdir -p out && tar -xf x.tar -C out",
                ),
                ("cp a.txt c.txt", ""),
                ("cp a.txt lib/", ""),
                ("cp -r lib copy", ""),
                ("mkdir out && mv *.txt out/", ""),
                ("tar -cf x.tar -C out .", ""),
                ("cp *.txt ~/out/", ""),
                ("cd x && cp *.txt out/", ""),
                // What would be emptied.
                (
                    "sort a.txt > a.txt",
                    "sort a.txt > a.txt.new && mv a.txt.new a.txt",
                ),
                (
                    "cat a.txt | sort -u > a.txt",
                    "cat a.txt | sort -u > a.txt.new && mv a.txt.new a.txt",
                ),
                ("sort a.txt > c.txt", ""),
                ("cat b.txt >> a.txt", ""),
                ("echo a.txt > a.txt", ""),
                // Sums.
                ("250 * 1024", "echo $((250 * 1024))"),
                ("7 / 2", "echo '7 / 2' | bc -l"),
                ("2024-01-01", ""),
                ("7z x a.7z", ""),
            ],
            "save what there is",
        );
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn names_are_those_that_are_there() {
        let place = Place::new("names");
        for (asked, command, expected) in [
            (
                "copy my notes.txt to c",
                "cp mynotes.txt c",
                "cp 'my notes.txt' c",
            ),
            ("count the lines of a.txt", "wc -l names.txt", "wc -l a.txt"),
            (
                "sort a.txt",
                "sort names.txt | uniq > c.txt",
                "sort a.txt | uniq > c.txt",
            ),
            // A name that would be an option.
            ("delete that file", "rm r__f", ""),
            ("show the file -n.txt", "cat lines.txt", ""),
            // The request has it so.
            ("copy mynotes.txt to c", "cp mynotes.txt c", ""),
            // It makes it.
            (
                "put a.txt into c.txt",
                "cat a.txt > c.txt && wc -l c.txt",
                "",
            ),
            ("sort a.txt and b.txt", "sort names.txt", ""),
            ("show it", "cat names.txt", ""),
        ] {
            let wrong = place.wrong(&[(command, expected)], asked);
            assert!(wrong.is_empty(), "{asked}: {wrong:?}");
        }
        let context = place.context();
        for (asked, command, told) in [
            ("show it", "cat names.txt", true),
            ("sort a.txt and b.txt", "sort names.txt", true),
            ("show names.txt", "cat names.txt", false),
            ("show it", "cat a.txt", false),
            ("show it", "grep 'a.txt' b.txt", false),
            (
                "pack it",
                "tar -czf all.tar.gz lib && ls -l all.tar.gz",
                false,
            ),
            ("sort it", "sort a.txt > c.txt; head c.txt", false),
            ("show it", "cd lib && cat x.h", false),
            ("show it", "cat /etc/none.conf", false),
            ("split it", "cp a.txt c.txt && sort c.txt", false),
        ] {
            let problem = not_there(&context, command, asked);
            assert_eq!(problem.is_some(), told, "{asked}: {command}");
            if let Some(problem) = problem {
                assert!(problem.to_string().contains("a.txt, app.conf"), "{problem}");
            }
        }
    }

    #[test]
    fn nothing_is_deleted_that_was_not_to_be() {
        let place = Place::new("deleted");
        let command = "find . -type d -empty -delete";
        for (asked, expected) in [
            ("which folders are empty", "find . -type d -empty"),
            ("folders with nothing in them", "find . -type d -empty"),
            ("delete empty folders", ""),
            ("get rid of the empty folders", ""),
            ("clean up empty folders", ""),
            ("empty folders should go away", ""),
            ("remove what is empty", ""),
        ] {
            let wrong = place.wrong(&[(command, expected)], asked);
            assert!(wrong.is_empty(), "{asked}: {wrong:?}");
        }
    }

    #[test]
    fn what_is_shown_is_what_was_asked_for() {
        let place = Place::new("shown");
        let most = "sort a.txt | uniq -c | sort -rn | head -n 1 | awk '{print $1}'";
        let value = "sort a.txt | uniq -c | sort -rn | head -n 1 | awk '{print $2}'";
        let written = "cut -d, -f1 plants.csv | head -n 3 > left.txt";
        let printed = "cut -d, -f1 plants.csv | head -n 3";
        for (asked, command, expected) in [
            ("the most frequent word, just the word", most, value),
            ("how often is the most frequent word there", most, ""),
            ("the number of the most frequent one", most, ""),
            ("the first word", "awk '{print $1}' teams.txt", ""),
            (
                "which plants are there, the heading left out",
                written,
                printed,
            ),
            ("save the plants", written, ""),
            ("the plants for left.txt", written, ""),
            (
                "which plants are there",
                "cut -d, -f1 plants.csv 2> left.txt",
                "",
            ),
            (
                "which plants are there",
                "cut -d, -f1 plants.csv > left.txt; cat left.txt",
                "",
            ),
        ] {
            let wrong = place.wrong(&[(command, expected)], asked);
            assert!(wrong.is_empty(), "{asked}: {wrong:?}");
        }
    }

    #[test]
    fn what_cannot_work_is_told() {
        let place = Place::new("told");
        let context = place.context();
        let told = |command: &str| {
            let problems = problems(&context, &syntax::parse(command));
            let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
            told.join("; ")
        };
        for (command, expected) in [
            ("truncate a.txt", "needs -s"),
            ("awk '$1 > m {m=$1}' a.txt", "prints nothing"),
            ("awk '$1==max {print $2}' a.txt", "max, which is never set"),
            ("sort a.txt | tee c > a.txt", "empties"),
            (
                "sed -i 's/volume=.*/volume=50/' app.conf",
                "it has `volume = 40`",
            ),
            (
                "sed -i 's/^mode =.*/mode = slow/' app.conf",
                "it has `mode=fast`",
            ),
            (
                "sed 's/LOUD/quiet/' app.conf",
                "no line of app.conf has `LOUD`",
            ),
        ] {
            assert!(
                told(command).contains(expected),
                "{command}: {}",
                told(command)
            );
        }
        for command in [
            "truncate -s 0 a.txt",
            "truncate --size=1M a.txt",
            "awk '$1 > m {m=$1} END {print m}' a.txt",
            "awk '/x/' a.txt",
            "awk -v max=3 '$1==max' a.txt",
            "awk '$1==m {n++} {m=$1} END {print n}' a.txt",
            "awk '{n++}; n > 1' a.txt",
            "awk -f x.awk a.txt",
            "awk '{s[$1]=$2} END {for (k in s) printf k}' a.txt",
            "sort a.txt > c.txt",
            "sort < a.txt >> a.txt",
            "cat a.txt > /dev/null",
            "sed -i 's/^volume *=.*/volume = 50/' app.conf",
            "sed -i 's/volumes\\?/x/' app.conf",
            "sed 's/[xyz]/q/' app.conf",
            "sed 's/quiet/LOUD/I' app.conf",
            "sed 's/none/x/' nowhere.conf",
            "sed -e 's/a/bb/' -e 's/bb/c/' app.conf",
            "echo x | sed 's/LOUD/quiet/'",
        ] {
            assert_eq!(told(command), "", "{command}");
        }
    }

    #[test]
    fn odd_texts_are_left_alone() {
        let place = Place::new("odd");
        for command in [
            "",
            "awk",
            "awk -F",
            "sed",
            "sed s",
            "sed s/",
            "grep",
            "grep ''",
            "find -exec",
            "jq ''",
            "uniq -c",
            "comm",
            "sort -t",
            "cut -d",
            "ps | grep",
            "a > ",
            "\u{e4} | awk -F\u{e4} '{print $1}' teams.txt",
            "cp",
            "mv *",
            "sh -c 'grep \"a|b\" x'\\''y'",
            "'awk -F; ",
        ] {
            drop(mended(&place.context(), command, &[], "x"));
            drop(problems(&place.context(), &syntax::parse(command)));
            drop(not_there(&place.context(), command, "x"));
        }
    }
}
