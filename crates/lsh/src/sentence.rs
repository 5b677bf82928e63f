// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Whether a line whose first word is no command reads like a sentence.
//!
//! The shell knows what is a command to it, and asks only about other lines. What looks like a command with a
//! slip of the fingers must stay one, so that the shell says what it always says.

use std::collections::BTreeSet;
use std::path::Path;

/// Words that requests and questions begin with. With one of them, two words are enough.
const BEGINNINGS: &[&str] = &[
    "add",
    "archive",
    "are",
    "backup",
    "calculate",
    "can",
    "change",
    "check",
    "clean",
    "clear",
    "close",
    "combine",
    "compare",
    "compress",
    "compute",
    "connect",
    "convert",
    "copy",
    "could",
    "count",
    "create",
    "decompress",
    "delete",
    "describe",
    "did",
    "disable",
    "display",
    "do",
    "does",
    "download",
    "empty",
    "enable",
    "encrypt",
    "erase",
    "explain",
    "extract",
    "fetch",
    "find",
    "get",
    "give",
    "go",
    "how",
    "i",
    "is",
    "keep",
    "kill",
    "let",
    "list",
    "look",
    "make",
    "merge",
    "monitor",
    "mount",
    "move",
    "open",
    "pack",
    "pause",
    "play",
    "please",
    "print",
    "put",
    "read",
    "recursively",
    "remove",
    "rename",
    "replace",
    "report",
    "restart",
    "reverse",
    "run",
    "save",
    "scan",
    "search",
    "send",
    "set",
    "should",
    "show",
    "shut",
    "sort",
    "split",
    "start",
    "stop",
    "summarize",
    "switch",
    "take",
    "tell",
    "trim",
    "turn",
    "uncompress",
    "uninstall",
    "unpack",
    "unzip",
    "update",
    "upgrade",
    "verify",
    "view",
    "wait",
    "was",
    "watch",
    "were",
    "what",
    "when",
    "where",
    "which",
    "who",
    "whose",
    "why",
    "will",
    "would",
    "write",
];

/// Words that sentences have and commands hardly ever.
const INSIDE: &[&str] = &[
    "a",
    "about",
    "after",
    "all",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "before",
    "between",
    "bigger",
    "but",
    "by",
    "can",
    "does",
    "every",
    "for",
    "from",
    "has",
    "have",
    "how",
    "i",
    "in",
    "into",
    "is",
    "it",
    "its",
    "larger",
    "last",
    "me",
    "more",
    "most",
    "much",
    "my",
    "newer",
    "not",
    "of",
    "older",
    "on",
    "or",
    "other",
    "out",
    "over",
    "smaller",
    "some",
    "than",
    "that",
    "the",
    "their",
    "them",
    "there",
    "these",
    "this",
    "those",
    "to",
    "today",
    "under",
    "what",
    "when",
    "where",
    "which",
    "who",
    "with",
    "without",
    "yesterday",
    "you",
    "your",
];

/// Whether `line` reads like a sentence. `commands` are those that may have been meant by its first word.
pub fn reads_like_one(line: &str, commands: &dyn Fn() -> BTreeSet<String>) -> bool {
    if line.starts_with(char::is_whitespace) || line.chars().any(char::is_control) {
        return false;
    }
    let asks = line.trim_end().ends_with('?');
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(first) = words.first() else {
        return false;
    };
    if words.len() < 2 || words.iter().any(|word| is_syntax(word)) {
        return false;
    }
    let plain: Vec<String> = words.iter().map(|word| stem(word)).collect();
    if !plain[0].chars().all(|c| c.is_alphabetic() || c == '-') || plain[0].is_empty() {
        return false;
    }
    if BEGINNINGS.binary_search(&plain[0].as_str()).is_ok() {
        return true;
    }
    let inside = plain.iter().skip(1);
    let telling = inside.filter(|word| INSIDE.binary_search(&word.as_str()).is_ok());
    let enough = match telling.count() {
        0 if asks => words.len() >= 3,
        0 => words.len() >= 4 && words.iter().all(|word| is_word(word)),
        1 => words.len() >= 4 || asks,
        _ => words.len() >= 3,
    };
    enough && !is_slip(first, &commands())
}

/// Whether a line that begins with a command, and failed, may have been meant as a sentence.
pub(crate) fn may_have_been_one(line: &str) -> bool {
    let words: Vec<String> = line.split_whitespace().map(stem).collect();
    let telling = |word: &String| INSIDE.binary_search(&word.as_str()).is_ok();
    words.len() >= 4
        && BEGINNINGS.binary_search(&words[0].as_str()).is_ok()
        && words.iter().skip(1).any(telling)
        && reads_like_one(line, &BTreeSet::new)
}

/// Whether only a shell would want such a word: an operator, a variable, an option.
fn is_syntax(word: &str) -> bool {
    let option = word.starts_with('-') && word.chars().nth(1).is_some_and(|c| !c.is_ascii_digit());
    option
        || word.contains(['|', ';', '`', '<', '>', '\\', '{', '}', '=', '*'])
        || word.contains("$(")
        || word.contains("&&")
        || word.ends_with('&')
        || word.starts_with(['$', '!', '(', '['])
}

/// Whether it is made of letters, as a word of a language is.
fn is_word(word: &str) -> bool {
    let word = word.trim_end_matches([',', '.', ':', '!', '?']);
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, '\'' | '’' | '-'))
}

/// A word without what is written at it: "What's" is "what".
fn stem(word: &str) -> String {
    let word = word
        .trim_end_matches([',', '.', ':', '!', '?'])
        .to_lowercase();
    match word.split_once(['\'', '’']) {
        Some((stem, _)) => stem.to_owned(),
        None => word,
    }
}

/// Whether a command is one slip away: a letter too few, too many, wrong, or two in the wrong order.
fn is_slip(word: &str, commands: &BTreeSet<String>) -> bool {
    let near = |name: &String| {
        name.len() > 1
            && name.len().abs_diff(word.len()) <= 1
            && strsim::osa_distance(name, word) <= 1
    };
    commands.iter().any(near)
}

/// The programs that a search path has.
pub fn programs(path: &std::ffi::OsStr) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for directory in std::env::split_paths(path).filter(|path| path != Path::new("")) {
        let Ok(entries) = directory.read_dir() else {
            continue;
        };
        names.extend(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(line: &str) -> bool {
        let commands = || {
            ["git", "docker", "systemctl", "grep", "ls"]
                .map(str::to_owned)
                .into()
        };
        reads_like_one(line, &commands)
    }

    #[test]
    fn lists_are_sorted() {
        assert!(BEGINNINGS.is_sorted() && INSIDE.is_sorted());
    }

    #[test]
    fn sentences_are_recognised() {
        for line in [
            "show the five largest files here",
            "list everything",
            "what's using port 8080",
            "What is my address?",
            "how much memory is free",
            "rename photo.jpeg to picture.jpg",
            "please, show /etc/hosts",
            "delete all files older than 7 days",
            "zeige mir alle Dateien",
            "wie viel Platz ist frei?",
            "dateien größer als zehn MB in diesem Ordner zeigen, im Ordner?",
            "biggest files in this directory",
            "all processes of the user joe",
            "show me -5 degrees",
            "ou est le fichier?",
            "покажи все большие файлы",
        ] {
            assert!(reads(line), "{line}");
        }
    }

    #[test]
    fn commands_with_slips_and_what_has_syntax_stay_commands() {
        for line in [
            "",
            "hello",
            "why?",
            "gti status",
            "gti add all of the files in this",
            "dokcer ps -a",
            "dcoker compose up all the services in here",
            "grpe foo bar",
            "foo --all the files in this",
            "show files | less",
            "frobnicate a > b in the end",
            "show the $HOME in `pwd`",
            "show this; list that",
            "list of (a b) in $(pwd)",
            " show the five largest files here",
            "my-script one two",
            "sl -la in the dir",
            "x=1 show the files in it",
            "kubectl get pods",
            "show\tthe\x1b[31mfiles",
            "start this &",
            "[ this is a test ]",
        ] {
            assert!(!reads(line), "{line}");
        }
    }

    #[test]
    fn commands_that_failed_may_have_been_sentences() {
        for (line, expected) in [
            ("find me the largest files", true),
            ("which process listens on port 8080", true),
            ("kill the process on port 80", true),
            ("find . -name x", false),
            ("make all", false),
            ("sort x y z", false),
            ("ls of the day in here", false),
            ("", false),
        ] {
            assert_eq!(may_have_been_one(line), expected, "{line}");
        }
    }
}
