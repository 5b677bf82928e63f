// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Commands that bash and every program in them would take, and that cannot do what they are there for: a pattern in the
//! wrong language, a separator that a file does not have, a file that is not there.
//!
//! Where there is one way only to mean it, it is mended; else it is told. What may be meant as it is, is left alone: each rule
//! has commands in its tests that it must not touch.

/// A pattern that is part of the program, compiled once.
macro_rules! pattern {
    ($text:literal) => {{
        static PATTERN: std::sync::OnceLock<regex::Regex> = std::sync::OnceLock::new();
        // PANIC: the tests use each.
        PATTERN.get_or_init(|| regex::Regex::new($text).expect("a pattern that the tests use"))
    }};
}

mod operands;
mod patterns;
mod tables;

use std::ops::Range;
use std::path::PathBuf;

use super::files::{names, Text};
use super::syntax::{self, quoted, Call, Script, Word};
use super::{Context, Problem, ProblemKind};
use operands::{
    empties, made, missing, no_size, not_emptied, only_listed, recursive, renamed, respelled, shown,
};
use patterns::{any_case, digits, extended, no_such_text, not_itself, patterns_quoted};
use tables::{
    compared, dates_sorted, divided, elements, raw_strings, silent, sorted, values_of_counts,
};

/// What awk is called.
const AWK: [&str; 3] = ["awk", "gawk", "mawk"];
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

/// What a call is told that is no option.
fn arguments(call: &Call) -> impl Iterator<Item = &Word> {
    call.operands().iter().filter(|word| !is_option(word))
}

/// The files that a call is given as its input.
fn inputs(call: &Call) -> impl Iterator<Item = &Word> {
    let from = call.redirects.iter().filter(|from| from.operator == "<");
    from.map(|from| &from.target)
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
    let all = call.operands().iter().chain(inputs(call));
    if let Some(path) = all.filter_map(|word| file(context, word)).last() {
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

#[cfg(test)]
mod tests {
    use super::super::{testing, Machine, Shell, System};
    use super::*;

    #[rustfmt::skip]
    const FILES: &[(&str, &[u8])] = &[
        ("lib/", b""),
        ("to keep/", b""),
        ("plants.csv", b"name,window,watered,seen\nfern,north,no,2024-05-01\nold ivy,south,yes,2024-06-03\n"),
        ("trips.csv", b"place;how\nUlm;train\nRome;plane\n"),
        ("words.tsv", b"Haus\thouse\nalter Baum\told tree\n"),
        ("teams.txt", b"kira red 14\nlou blue 9\n"),
        ("when.txt", b"2024-05-01T07:00 on\n2024-05-02T08:00 off\n"),
        ("x.json", b"{\"items\": [{\"name\": \"a\", \"tags\": [\"t\"]}, {\"name\": \"b\", \"tags\": []}]}"),
        ("users.txt", b"ida:x:1000\njan:x:1001\n"),
        ("a.txt", b"b\na\n"),
        ("b.txt", b"a\nb\n"),
        ("app.conf", b"volume = 40\nmode=fast\n"),
        ("loud.log", b"ERROR one\nWARN two\na|b\n"),
        ("-rf", b"x\n"),
        ("-n.txt", b"x\n"),
        ("my notes.txt", b"x\n"),
    ];

    /// A directory with files, which goes away at the end.
    struct Place(testing::Place);

    impl Place {
        fn new(name: &str) -> Self {
            Self(testing::Place::new(&format!("misuse-{name}"), FILES))
        }

        fn context(&self) -> Context {
            Context {
                shell: Shell::Bash,
                cwd: self.0.path().to_owned(),
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
            let files = super::super::files::mentioned(self.0.path(), asked);
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
