// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What takes texts apart, and editors.

use crate::command::syntax::Word;

use super::super::{ChangesFiles, Effect, NeedsCare, Told, Unknown};
use super::{FILES, READS};

pub(super) fn texts(name: &str, told: Told<'_>) -> Option<Effect> {
    Some(match name {
        "sed" => {
            let scripts = told.operands().map(|word| word.text.as_str());
            let mut runs = false;
            let mut writes = false;
            for script in scripts {
                let (r, w) = sed_script(script);
                runs |= r;
                writes |= w;
            }
            if runs {
                (NeedsCare, "runs what it finds in a text")
            } else if told.options().any(|option| {
                option.starts_with("--in-p")
                    || (!option.starts_with("--") && option.contains('i'))
                    || option == "-s"
            }) && !told.options().all(|option| option == "-s")
            {
                (ChangesFiles, "changes files in place")
            } else if writes {
                FILES
            } else {
                READS
            }
        }
        "awk" | "gawk" | "mawk" | "nawk" => {
            let programs = || told.operands().map(|word| word.text.as_str());
            if programs().any(|text| {
                text.contains("system(")
                    || text.contains("| \"")
                    || text.contains("|\"")
                    || text.contains("|&")
                    || text.contains("system (")
            }) {
                (NeedsCare, "runs commands that it puts together")
            } else if told.has('f', "file") && told.0.iter().any(|word| word.text == "-f") {
                (Unknown, "runs a script")
            } else if told.says(&["inplace"])
                || programs().any(|text| {
                    text.contains("> \"")
                        || text.contains(">\"")
                        || text.contains("print > ")
                        || text.contains("print $0 > ")
                        || text.contains(">> ")
                })
            {
                FILES
            } else {
                READS
            }
        }
        "sort" | "shuf" if told.has('o', "output") => FILES,
        "uniq"
            if told
                .operands()
                .filter(|word| !word.text.chars().all(|c| c.is_ascii_digit()))
                .count()
                > 1 =>
        {
            FILES
        }
        "tree" if told.says(&["-o"]) => FILES,
        "xxd" if told.operands().count() > 1 => FILES,
        "iconv" if told.has('o', "output") => FILES,
        "yq" if told.has('i', "inplace") => FILES,
        "pdftotext" if told.operands().any(|word| word.text == "-") => READS,
        "split" | "csplit" => (ChangesFiles, "writes pieces to files"),
        "vim" | "vi" | "nvim" | "ex" | "emacs" | "ed" | "view" => {
            let commands = |word: &Word| {
                word.text.starts_with("+!")
                    || word.text.starts_with(":!")
                    || word.text.contains("system(")
                    || word.text.starts_with("!")
            };
            if told.0.iter().any(commands) {
                (NeedsCare, "runs a command from an editor")
            } else if told.short('c') || told.short('S') || told.says(&["--eval", "--batch", "-es"])
            {
                (Unknown, "runs what an editor is told")
            } else {
                (ChangesFiles, "opens an editor")
            }
        }
        _ => return None,
    })
}

/// Whether a script of `sed` runs commands, and whether it writes files.
fn sed_script(script: &str) -> (bool, bool) {
    let mut runs = false;
    let mut writes = false;
    for part in script.split([';', '\n']) {
        let part = part.trim_start_matches(|c: char| c.is_ascii_digit() || " ,$!{".contains(c));
        let part = match part.strip_prefix('/') {
            // An address.
            Some(rest) => rest
                .split_once('/')
                .map_or(part, |(_, rest)| rest.trim_start()),
            None => part,
        };
        let mut characters = part.chars();
        match characters.next() {
            Some('e') if matches!(characters.next(), None | Some(' ')) => runs = true,
            Some('w' | 'W') if matches!(characters.next(), Some(' ')) => writes = true,
            Some('s') => {
                if let Some(delimiter) = characters
                    .next()
                    .filter(|c| !c.is_alphanumeric() && *c != ' ')
                {
                    let flags = part.rsplit(delimiter).next().unwrap_or_default();
                    let flags = flags.trim_end_matches(['}', ' ', '\'']);
                    let only = flags.split(' ').next().unwrap_or_default();
                    if only.chars().all(|c| "gpiIemMw0123456789".contains(c)) {
                        runs |= only.contains('e');
                        writes |= only.contains('w');
                    }
                }
            }
            _ => {}
        }
    }
    (runs, writes)
}
