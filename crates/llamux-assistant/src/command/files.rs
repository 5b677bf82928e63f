// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The files that a request is about, and what they are like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::syntax::quoted;
use super::words;

/// Most files of the directory that the model is told of.
const FILES: usize = 5;
/// Of how many files it is told what they are like.
const GLIMPSES: usize = 2;
/// How much of such a file it is told, in characters.
const GLIMPSE: usize = 56;
/// How much of a row below a heading.
const ROW: usize = 40;
/// How much of a file is looked at, in bytes.
const LOOKED_AT: usize = 64 << 10;
/// How many of its lines.
const LINES: usize = 400;

/// Words of requests that say nothing about what is in a file.
#[rustfmt::skip]
const GENERIC: &[&str] = &[
    "all", "chang", "charact", "column", "count", "delet", "each", "empti", "everi", "field", "file", "first", "folder",
    "last", "line", "list", "make", "mani", "name", "number", "onc", "order", "output", "print", "replac", "row", "save",
    "set", "show", "sort", "text", "valu", "word",
];

/// What a text file says.
pub(super) struct Text {
    /// Its beginning.
    pub(super) text: String,
    /// Whether that is all of it.
    pub(super) whole: bool,
}

/// What divides the lines of a table into fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Divider {
    /// Spaces and tabs, as many as there are.
    Blanks,
    /// One character.
    One(char),
}

impl Text {
    /// Reads the beginning of a file, if it is one of text.
    pub(super) fn of(path: &Path) -> Option<Self> {
        // A pipe or a device would wait, or do something.
        if !fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let mut bytes = vec![];
        let file = fs::File::open(path).ok()?;
        file.take(LOOKED_AT as u64 + 1)
            .read_to_end(&mut bytes)
            .ok()?;
        let whole = bytes.len() <= LOOKED_AT;
        bytes.truncate(LOOKED_AT);
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            // The last character may be cut.
            Err(error) if error.error_len().is_none() && !whole => {
                std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
            }
            Err(_) => return None,
        };
        if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
            return None;
        }
        Some(Self {
            text: text.into(),
            whole,
        })
    }

    /// Whether it begins as JSON does.
    fn is_json(&self) -> bool {
        self.text.trim_start().starts_with(['{', '['])
    }

    /// Its lines that are not empty.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().take(LINES);
        lines.filter(|line| !line.trim().is_empty())
    }

    /// What divides its lines, if all of them have as many fields and more than one.
    pub(super) fn divider(&self) -> Option<Divider> {
        let same = |count: &dyn Fn(&str) -> usize| {
            let mut counts = self.lines().map(count);
            let first = counts.next()?;
            (first > 1 && counts.all(|count| count == first)).then_some(first)
        };
        self.lines().nth(1)?;
        let by = |c: char| same(&|line| line.split(c).count()).map(|_| Divider::One(c));
        let blanks = same(&|line| line.split_whitespace().count());
        let none = || (blanks.is_some()).then_some(Divider::Blanks);
        // A colon stands in times as well, where it divides nothing.
        [',', ';', '\t', '|']
            .iter()
            .find_map(|c| by(*c))
            .or_else(none)
            .or_else(|| by(':'))
    }
}

impl Divider {
    /// The fields of a line.
    pub(super) fn fields<'l>(self, line: &'l str) -> Vec<&'l str> {
        match self {
            Self::Blanks => line.split_whitespace().collect(),
            Self::One(c) => line.split(c).collect(),
        }
    }
}

/// The files that a request is about, with what the first of them are like.
pub(super) fn listed(directory: &Path, files: &[String], asked: &str) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut out = String::from("Files:\n");
    let mut left = GLIMPSES;
    for file in files {
        let path = directory.join(file);
        out.push_str(&quoted(file));
        if path.is_dir() {
            out.push('/');
        } else if left > 0 {
            left -= 1;
            out.push_str(&glimpse(&path, asked).unwrap_or_default());
        }
        out.push('\n');
    }
    out
}

/// What a file is, as far as that tells which commands are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory.
    Directory,
    /// A table.
    Table(Divider),
    /// JSON.
    Json,
    /// Any other text.
    Text,
    /// None of text, or nothing is known of it.
    Other,
}

/// What the first of the files are that a request is about.
pub(super) fn kinds(directory: &Path, files: &[String]) -> Vec<Kind> {
    let kind = |file: &String| {
        let path = directory.join(file);
        if path.is_dir() {
            return Kind::Directory;
        }
        match Text::of(&path) {
            Some(text) if text.is_json() => Kind::Json,
            Some(text) => text.divider().map_or(Kind::Text, Kind::Table),
            None => Kind::Other,
        }
    };
    files.iter().take(GLIMPSES).map(kind).collect()
}

/// How a table or a file of JSON begins, which tells its columns or keys; of any file, the line that the request seems to be
/// about. How another file begins would only mislead.
pub(super) fn glimpse(path: &Path, asked: &str) -> Option<String> {
    let file = Text::of(path)?;
    let like = |text: &str| {
        let text = one_line(text, GLIMPSE).replace('`', "'");
        (!text.is_empty()).then(|| format!(" is like: {text}"))
    };
    if file.is_json() {
        // What is not shown needs not be looked at.
        return like(&file.text.chars().take(4 * GLIMPSE).collect::<String>());
    }
    let mut lines = file.lines();
    let first = lines.next()?;
    let second = lines.next();
    let meant = meant(&file, asked);
    let begins = |second: &str| {
        let fields = |line: &str, by: char| line.split(by).count();
        let table = [',', '\t', ';', '|', ':']
            .iter()
            .any(|by| fields(first, *by) > 1 && fields(first, *by) == fields(second, *by));
        let words = |line: &str| line.split_whitespace().count();
        (table, words(first) > 1 && words(first) == words(second))
    };
    match second.map(begins) {
        // What has no digits names the columns; how they are written, a line behind it shows.
        Some((true, _)) if !first.contains(|c: char| c.is_ascii_digit()) => {
            let row = meant.filter(|line| *line != first).or(second)?;
            let (first, row) = (one_line(first, GLIMPSE), one_line(row, ROW));
            Some(format!(" is like: {first} / {row}").replace('`', "'"))
        }
        Some((true, _) | (_, true)) => like(meant.unwrap_or(first)),
        _ => {
            let line = one_line(meant?, GLIMPSE).replace('`', "'");
            Some(format!(" has: {line}"))
        }
    }
}

/// The line of a file that has the most of the words of a request, the rare ones first.
fn meant<'f>(file: &'f Text, asked: &str) -> Option<&'f str> {
    let asked: BTreeSet<_> = words::stems(asked)
        .into_iter()
        .filter(|word| word.len() > 1 && !GENERIC.contains(&word.as_str()))
        .collect();
    let having: Vec<(&str, Vec<String>)> = file
        .lines()
        .map(|line| {
            let short: String = line.chars().take(200).collect();
            let mut words = words::stems(&short);
            words.retain(|word| asked.contains(word));
            words.sort();
            words.dedup();
            (line, words)
        })
        .collect();
    let mut lines: BTreeMap<&str, u32> = BTreeMap::new();
    for word in having.iter().flat_map(|(_, words)| words) {
        *lines.entry(word).or_default() += 1;
    }
    let score = |words: &[String]| -> f64 {
        let each = |word: &String| 1.0 / f64::from(lines.get(word.as_str()).copied().unwrap_or(1));
        words.iter().map(each).sum()
    };
    let mut best: Option<(f64, &str)> = None;
    for (line, words) in &having {
        let score = score(words);
        if score > best.map_or(0.0, |(best, _)| best) {
            best = Some((score, line));
        }
    }
    best.map(|(_, line)| line)
}

/// The names in a directory.
fn all_names(directory: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .take(2000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.contains(char::is_control) && name.len() < 80)
}

/// The names in a directory, those of hidden files left out.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = all_names(directory)
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// The files of a directory that a request is about: by name, by a part of it, or by kind.
pub(super) fn mentioned(directory: &Path, asked: &str) -> Vec<String> {
    let lower = asked.to_lowercase();
    let words: Vec<_> = lower
        .split(|c: char| !(c.is_alphanumeric() || "._-".contains(c)))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.len() > 2)
        .collect();
    let mut found: Vec<(usize, String)> = all_names(directory)
        .filter_map(|name| {
            let small = name.to_lowercase();
            let hidden = small.starts_with('.');
            let stem = small.split('.').next().unwrap_or_default();
            let kinds: Vec<_> = small.split('.').skip(1).collect();
            let whole = lower.contains(&small) && small.len() > 1 + 2 * usize::from(hidden);
            let stemmed = words.contains(&stem);
            let archive = ["archive", "tarball"]
                .iter()
                .any(|word| words.contains(word))
                && kinds.iter().any(|kind| {
                    ["tar", "tgz", "zip", "gz", "xz", "zst", "bz2", "7z"].contains(kind)
                });
            let kind = kinds
                .iter()
                .any(|kind| kind.len() > 1 && words.contains(kind));
            let rank = match () {
                () if whole => 0,
                // What is hidden is not meant by chance.
                () if hidden => return None,
                () if stemmed => 1,
                () if archive => 2,
                () if kind => 3,
                () => return None,
            };
            Some((rank, name))
        })
        .collect();
    // Those below it, by their path.
    for word in asked.split_whitespace() {
        let word = word.trim_matches(|c: char| ",;:!?()[]'\"".contains(c));
        let word = word.trim_end_matches(['.', '/']);
        let below = word.contains('/') && !word.starts_with(['/', '~']) && !word.contains("..");
        if below && word.len() < 120 && directory.join(word).exists() {
            found.push((0, word.to_owned()));
        }
    }
    found.sort();
    found.dedup();
    // Those of a kind are many; a pattern is what is wanted then.
    let of_kind = found.iter().filter(|(rank, _)| *rank >= 2).count();
    if of_kind > 2 {
        found.retain(|(rank, _)| *rank < 2);
    }
    found.truncate(FILES);
    found.into_iter().map(|(_, name)| name).collect()
}

/// A text on one line, without what a terminal does not show.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most)
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::testing::Place;
    use super::*;

    #[test]
    fn files_are_shown_by_what_they_begin_with() {
        for (at, (bytes, expected)) in [
            (&b"name,age\nida,3\n"[..], Some("name,age / ida,3")),
            (b"{\n  \"a\": 1\n}", Some("{ \"a\": 1 }")),
            (b"ida sales 3\n\njan it 4\n", Some("ida sales 3")),
            (b"one\ntwo\n", None),
            (b"a sentence\nand a longer one\n", None),
            (b"\0\x01", None),
            (b"\xff\xfe", None),
            (b"", None),
            (b"\x1b[2Jx", None),
        ]
        .into_iter()
        .enumerate()
        {
            let place = Place::new(&format!("begin-{at}"), &[("x", bytes)]);
            let expected = expected.map(|expected| format!(" is like: {expected}"));
            assert_eq!(glimpse(&place.path().join("x"), "what is in it"), expected);
        }
        assert_eq!(glimpse(Path::new("/dev/zero"), "zero"), None);
        assert_eq!(glimpse(&std::env::temp_dir(), "x"), None);
    }

    #[test]
    fn the_line_that_is_asked_about_is_shown() {
        let long = format!(
            "a b c\nd e\n{}the needle\n",
            "hay and more hay\n".repeat(20_000)
        );
        for (at, (text, asked, expected)) in [
            (
                "# main\nvolume = 40\nmode = loud\n",
                "set the volume to 50",
                Some(" has: volume = 40"),
            ),
            (
                "a,b\n1,2\n3,four\n",
                "the row of four",
                Some(" is like: a,b / 3,four"),
            ),
            (
                "x 1 up\ny 2 down\n",
                "which is down",
                Some(" is like: y 2 down"),
            ),
            // The rarer word decides, and a word like "line" says nothing.
            (
                "an error\nan old error\nan error of the disk\n",
                "the errors of disks",
                Some(" has: an error of the disk"),
            ),
            ("a line\nanother line here\n", "how many lines", None),
            // What is far down is not looked for.
            (&long, "needle", None),
        ]
        .into_iter()
        .enumerate()
        {
            let place = Place::new(&format!("meant-{at}"), &[("x", text.as_bytes())]);
            assert_eq!(
                glimpse(&place.path().join("x"), asked).as_deref(),
                expected,
                "{asked}"
            );
        }
    }

    #[test]
    fn files_are_meant_by_name_by_path_or_by_kind() {
        let place = Place::new(
            "mentioned",
            &[
                ("a.txt", b""),
                ("b.csv", b""),
                (".env", b"A=1"),
                ("sub dir/c.txt", b""),
                ("deep/er/d.txt", b""),
                ("x'y", b""),
            ],
        );
        for (asked, expected) in [
            ("what is in a.txt?", &["a.txt"][..]),
            ("the csv", &["b.csv"]),
            ("sort deep/er/d.txt.", &["deep", "deep/er/d.txt"]),
            ("value in .env", &[".env"]),
            ("the environment", &[]),
            ("in ../../etc/passwd and /etc/passwd", &[]),
            ("the sub dir", &["sub dir"]),
        ] {
            assert_eq!(mentioned(place.path(), asked), expected, "{asked}");
        }
        let files = mentioned(place.path(), "the sub dir");
        assert_eq!(listed(place.path(), &files, "x"), "Files:\n'sub dir'/\n");
        assert_eq!(kinds(place.path(), &files), [Kind::Directory]);
    }

    #[test]
    fn dividers_are_what_all_lines_have() {
        let text = |text: &str| Text {
            text: text.into(),
            whole: true,
        };
        for (lines, expected) in [
            ("a,b\n1,2\n", Some(Divider::One(','))),
            ("a;b c\n1;2\n", Some(Divider::One(';'))),
            ("a\tb\n1\t2 3\n", Some(Divider::One('\t'))),
            ("a:b:c\n1::3\n", Some(Divider::One(':'))),
            ("10:00 x\n10:01 y\n", Some(Divider::Blanks)),
            ("a b\n\n1 2\n", Some(Divider::Blanks)),
            ("a,b\n1\n", None),
            ("a,b\n", None),
            ("", None),
        ] {
            assert_eq!(text(lines).divider(), expected, "{lines:?}");
        }
    }
}
