// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is installed: programs, and what their manuals say of their options.
//!
//! Manuals come first, then completions of bash, and last what the program itself says with `--help`, which is
//! asked of few well-known programs only, and of what busybox does: an unknown one may do anything when it is run.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;

use super::words::words;

/// Longest manual that is read, unpacked.
const MANUAL_BYTES: u64 = 4 << 20;
/// Longest time that `--help` may take.
const HELP_TIME: Duration = Duration::from_millis(800);

/// What is installed.
#[derive(Clone)]
pub struct Machine {
    path: Vec<PathBuf>,
    man: Vec<PathBuf>,
    completions: Vec<PathBuf>,
    help: bool,
    assumed: Vec<String>,
    manuals: Arc<Mutex<HashMap<String, Option<Arc<Manual>>>>>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What a page of the manual says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Manual {
    /// What the program does, in some words.
    pub(crate) summary: Option<String>,
    /// What each option does.
    pub(crate) options: HashMap<String, String>,
    /// Every long option that is mentioned anywhere.
    pub(crate) mentioned: BTreeSet<String>,
}

/// Programs that say what options they have when they are run with `--help`, and do nothing else.
#[rustfmt::skip]
const HELPFUL: &[&str] = &[
    "apt", "apt-cache", "apt-get", "awk", "b2sum", "base64", "basename", "bzip2", "cat", "chgrp", "chmod", "chown",
    "cksum", "comm", "cp", "curl", "cut", "date", "dd", "df", "diff", "dirname", "dmesg", "dpkg", "dpkg-query", "du",
    "echo", "egrep", "env", "expand", "fdisk", "fgrep", "file", "find", "findmnt", "fold", "free", "gawk", "grep",
    "groupadd", "gunzip", "gzip", "head", "hostnamectl", "id", "install", "join", "journalctl", "jq", "killall",
    "ln", "loginctl", "ls", "lsblk", "lscpu", "lsof", "lsusb", "md5sum", "mkdir", "mktemp", "mount", "mv", "nl",
    "nproc", "numfmt", "od", "pacman", "paste", "pgrep", "pkill", "pr", "printenv", "ps", "pwd", "readlink",
    "realpath", "rg", "rm", "rmdir", "rsync", "sed", "seq", "sha1sum", "sha256sum", "sha512sum", "shuf", "sleep",
    "sort", "split", "ss", "stat", "strings", "sudo", "systemctl", "tac", "tail", "tar", "tee", "timedatectl",
    "timeout", "touch", "tr", "tree", "truncate", "uname", "uniq", "unzip", "uptime", "useradd", "usermod", "wc", "wget",
    "who", "whoami", "xargs", "xz", "zcat", "zip", "zstd",
];

impl Machine {
    /// This machine, as the environment of this process has it.
    pub fn here() -> Self {
        let list = |name: &str| -> Vec<PathBuf> {
            std::env::var_os(name)
                .map(|value| std::env::split_paths(&value).collect())
                .unwrap_or_default()
        };
        let mut path = list("PATH");
        // A user's path may lack what root runs.
        for more in ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
            let more = PathBuf::from(more);
            if !path.contains(&more) {
                path.push(more);
            }
        }
        let mut man = list("MANPATH");
        man.retain(|path| !path.as_os_str().is_empty());
        man.extend(["/usr/share/man", "/usr/local/share/man", "/usr/local/man"].map(PathBuf::from));
        let completions = vec!["/usr/share/bash-completion/completions".into()];
        let mut machine = Self::of(path, man, completions);
        machine.help = true;
        machine
    }

    /// A machine with programs, pages of the manual (`man1` and so on), and completions of bash in these directories;
    /// none of its programs is run.
    pub fn of(path: Vec<PathBuf>, man: Vec<PathBuf>, completions: Vec<PathBuf>) -> Self {
        Self {
            path,
            man,
            completions,
            help: false,
            assumed: vec![],
            manuals: Arc::default(),
        }
    }

    /// The same machine, if these programs were installed as well.
    #[must_use]
    pub fn assuming(mut self, programs: impl IntoIterator<Item = String>) -> Self {
        self.assumed.extend(programs);
        self
    }

    /// The file of a program.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let found = self.path.iter().map(|path| path.join(name)).find(|path| {
            fs::metadata(path)
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        });
        let assumed = || self.assumed.iter().any(|assumed| assumed == name);
        found.or_else(|| assumed().then(|| Path::new("/usr/bin").join(name)))
    }

    /// The names of all programs, in order.
    pub fn programs(&self) -> BTreeSet<String> {
        self.path
            .iter()
            .filter_map(|path| fs::read_dir(path).ok())
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()
    }

    /// What the manual says of a program or of its subcommand; `git log` is on the page `git-log`.
    pub(crate) fn manual(&self, page: &str) -> Option<Arc<Manual>> {
        let sound = |c: char| c.is_ascii_alphanumeric() || "-_.+[".contains(c);
        if page.is_empty() || page.starts_with(['-', '.']) || !page.chars().all(sound) {
            return None;
        }
        if let Ok(manuals) = self.manuals.lock() {
            if let Some(manual) = manuals.get(page) {
                return manual.clone();
            }
        }
        let manual = self.page(page, 0).map(|text| Arc::new(read(&text)));
        if let Ok(mut manuals) = self.manuals.lock() {
            manuals.insert(page.into(), manual.clone());
        }
        manual
    }

    /// The source of a page.
    fn page(&self, name: &str, depth: usize) -> Option<String> {
        for directory in &self.man {
            for section in ["1", "8", "7", "1p", "5"] {
                let path = directory.join(format!("man{section}/{name}.{section}"));
                let zipped = directory.join(format!("man{section}/{name}.{section}.gz"));
                let bytes = match fs::File::open(&zipped) {
                    Ok(file) => {
                        let mut bytes = vec![];
                        let decoder = GzDecoder::new(file).take(MANUAL_BYTES);
                        std::io::BufReader::new(decoder)
                            .read_to_end(&mut bytes)
                            .ok()
                            .map(|_| bytes)
                    }
                    Err(_) => fs::File::open(&path).ok().and_then(|file| {
                        let mut bytes = vec![];
                        file.take(MANUAL_BYTES)
                            .read_to_end(&mut bytes)
                            .ok()
                            .map(|_| bytes)
                    }),
                };
                let Some(bytes) = bytes else {
                    continue;
                };
                let text = String::from_utf8_lossy(&bytes).into_owned();
                // Another page stands for it.
                if let Some(other) = text.strip_prefix(".so ") {
                    let other = other.lines().next().unwrap_or_default().trim();
                    let other = other.rsplit('/').next().unwrap_or_default();
                    let other = other.strip_suffix(".gz").unwrap_or(other);
                    let other = other.rsplit_once('.').map_or(other, |(name, _)| name);
                    return (depth < 4).then(|| self.page(other, depth + 1)).flatten();
                }
                return Some(text);
            }
        }
        None
    }

    /// Whether a program has a long option; `None` if nothing is known about its options.
    pub(crate) fn has_option(&self, program: &str, verbs: &[&str], option: &str) -> Option<bool> {
        let mut known = false;
        let mut page = program.to_owned();
        let mut pages = vec![page.clone()];
        for verb in verbs.iter().take(2) {
            page = format!("{page}-{verb}");
            pages.push(page.clone());
        }
        let own = pages.len() > 1 && pages.iter().skip(1).any(|page| self.manual(page).is_some());
        for page in &pages {
            let Some(manual) = self.manual(page) else {
                continue;
            };
            // Options may be shortened.
            if manual
                .mentioned
                .iter()
                .any(|mentioned| mentioned.starts_with(option))
            {
                return Some(true);
            }
            known |= manual.mentioned.len() > 2;
        }
        // A program with pages for its subcommands says little on its own.
        if matches!(
            program,
            "git" | "docker" | "podman" | "cargo" | "npm" | "ip" | "kubectl" | "btrfs"
        ) && !own
        {
            known = false;
        }
        for directory in &self.completions {
            let text = fs::read_to_string(directory.join(program)).unwrap_or_default();
            if mentions(&text, option) {
                return Some(true);
            }
        }
        if let Some(help) = self.help(program) {
            if mentions(&help, option) {
                return Some(true);
            }
            known = true;
        }
        known.then_some(false)
    }

    /// Whether busybox is what does a program's work.
    fn is_of_busybox(&self, program: &str) -> bool {
        let path = self.program(program);
        path.is_some_and(|path| is_busybox(&path))
    }

    /// What busybox says of a program that it does the work of; `None` if it does not.
    pub(crate) fn busybox_help(&self, program: &str) -> Option<String> {
        let known = self.help && self.is_of_busybox(program);
        known.then(|| self.help(program)).flatten()
    }

    /// What a well-known program says of itself.
    fn help(&self, program: &str) -> Option<String> {
        static SAID: OnceLock<Mutex<HashMap<String, Option<String>>>> = OnceLock::new();
        if !self.help || !(HELPFUL.contains(&program) || self.is_of_busybox(program)) {
            return None;
        }
        let said = SAID.get_or_init(Mutex::default);
        if let Ok(said) = said.lock() {
            if let Some(help) = said.get(program) {
                return help.clone();
            }
        }
        let path = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
            .iter()
            .map(|directory| Path::new(directory).join(program))
            .find(|path| path.is_file());
        let help = path.and_then(|path| help_of(&path));
        if let Ok(mut said) = said.lock() {
            said.insert(program.into(), help.clone());
        }
        help
    }
}

/// Whether a program is a link to busybox.
fn is_busybox(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|file| {
        let name = file.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("busybox"))
    })
}

/// Whether a text about a program has an option.
pub(crate) fn mentions(text: &str, option: &str) -> bool {
    text.match_indices(option).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c == '-' || c.is_ascii_alphanumeric())
    })
}

/// Runs a program with `--help`, for a moment.
fn help_of(path: &Path) -> Option<String> {
    let mut child = Command::new(path)
        .arg("--help")
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(match is_busybox(path) {
            true => Stdio::piped(),
            false => Stdio::null(),
        })
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    // Busybox says it there.
    let output: Box<dyn std::io::Read + Send> = match child.stderr.take() {
        Some(stderr) => Box::new(stdout.chain(stderr)),
        None => Box::new(stdout),
    };
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        drop(output.take(1 << 18).read_to_string(&mut text));
        text
    });
    let begin = Instant::now();
    while let Ok(None) = child.try_wait() {
        if begin.elapsed() > HELP_TIME {
            drop(child.kill());
            drop(child.wait());
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    reader.join().ok().filter(|text| text.len() > 40)
}

/// Reads the source of a page: `man`'s macros, those of BSD, and what programs make that write either.
fn read(text: &str) -> Manual {
    let mut manual = Manual::default();
    let mut section = String::new();
    let mut name = String::new();
    // Tags whose text is still to come, and their text.
    let mut tags: Vec<String> = vec![];
    let mut body = String::new();
    let mut state = Expect::Text;
    let mut before = String::new();
    for line in text.lines() {
        let (macro_name, rest) = match line.strip_prefix(['.', '\'']) {
            Some(rest) => {
                let rest = rest.trim_start();
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                rest.split_at(end)
            }
            None => ("", line),
        };
        let text = match macro_name {
            "" => plain(rest),
            "B" | "I" | "SM" | "SB" | "R" => plain(&arguments(rest).join(" ")),
            "BR" | "RB" | "BI" | "IB" | "IR" | "RI" => plain(&arguments(rest).concat()),
            "Fl" | "Ar" | "Op" | "Nm" | "Cm" | "Pa" | "Li" | "Sy" | "Em" | "Dq" | "Ql" | "Nd"
            | "It" | "Ic" => mdoc(macro_name, rest),
            _ => String::new(),
        };
        for option in long_options(&text) {
            manual.mentioned.insert(option);
        }
        match macro_name {
            "SH" | "Sh" => {
                manual.define(&mut tags, &mut body);
                section = arguments(rest).join(" ").to_uppercase();
                state = Expect::Text;
                continue;
            }
            "TP" | "HP" | "SS" | "PP" | "P" | "LP" | "sp" | "Ss" | "Pp" => {
                if macro_name != "sp" || state == Expect::Text {
                    manual.define(&mut tags, &mut body);
                }
                state = if macro_name == "TP" {
                    Expect::Tag
                } else {
                    Expect::Text
                };
                before.clear();
                continue;
            }
            "TQ" => {
                state = Expect::Tag;
                continue;
            }
            "IP" => {
                manual.define(&mut tags, &mut body);
                tags.extend(arguments(rest).first().map(|tag| plain(tag)));
                for option in long_options(tags.last().map_or("", String::as_str)) {
                    manual.mentioned.insert(option);
                }
                state = Expect::Text;
                continue;
            }
            "RS" => {
                // What stands before what is moved in is its tag.
                if tags.is_empty() && before.trim_start().starts_with('-') {
                    tags.push(std::mem::take(&mut before));
                    body.clear();
                }
                continue;
            }
            "It" => {
                manual.define(&mut tags, &mut body);
                tags.push(text);
                state = Expect::Text;
                continue;
            }
            "RE" | "El" => {
                manual.define(&mut tags, &mut body);
                continue;
            }
            _ => {}
        }
        if text.is_empty() {
            continue;
        }
        if section == "NAME" {
            if macro_name == "Nd" {
                name.push_str(" - ");
            }
            name.push_str(&text);
            name.push(' ');
        }
        if state == Expect::Tag {
            tags.push(text);
            state = Expect::Text;
        } else {
            if !tags.is_empty() {
                body.push_str(&text);
                body.push(' ');
            }
            if !before.is_empty() {
                before.push_str(", ");
            }
            before.push_str(&text);
        }
    }
    manual.define(&mut tags, &mut body);
    manual.summary = name
        .split_once(" - ")
        .or_else(|| name.split_once(" \u{2013} "))
        .map(|(_, summary)| summary.trim().trim_end_matches('.').to_owned())
        .filter(|summary| !summary.is_empty());
    manual
}

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Tag,
    Text,
}

impl Manual {
    /// The options whose meanings have the most words of a request, the best first.
    pub(crate) fn options_about(&self, asked: &str, most: usize) -> Vec<(&str, &str)> {
        let asked = words(asked);
        let mut found: Vec<_> = self
            .options
            .iter()
            .filter_map(|(option, meaning)| {
                let meant = words(meaning);
                let common = meant.iter().filter(|word| asked.contains(word)).count();
                // Of two, the one that says less else; of its names, the long one.
                let rank = (
                    std::cmp::Reverse(common),
                    meant.len(),
                    std::cmp::Reverse(option.len()),
                );
                (common > 0).then_some((rank, meaning.as_str(), option.as_str()))
            })
            .collect();
        found.sort();
        found.dedup_by_key(|(_, meaning, _)| *meaning);
        found
            .into_iter()
            .take(most)
            .map(|(_, meaning, option)| (option, meaning))
            .collect()
    }

    /// Keeps what the text says of the options in its tags.
    fn define(&mut self, tags: &mut Vec<String>, body: &mut String) {
        let meaning = first_sentence(body);
        for tag in tags.drain(..) {
            for option in tag.split([',', ' ', '|', '\t']) {
                let option = option.trim_start_matches('[');
                let end = option.find(['=', '[', '<', '{']).unwrap_or(option.len());
                let option = option.get(..end).unwrap_or_default();
                if option.len() > 1 && option.starts_with('-') && !meaning.is_empty() {
                    self.options
                        .entry(option.into())
                        .or_insert_with(|| meaning.clone());
                }
            }
        }
        body.clear();
    }
}

fn first_sentence(text: &str) -> String {
    let text = text.trim();
    let end = [". ", "; ", ": "]
        .iter()
        .filter_map(|end| text.find(end))
        .filter(|end| *end > 8)
        .min()
        .unwrap_or(text.len());
    let text = text
        .get(..end)
        .unwrap_or(text)
        .trim_end_matches(['.', ';', ':']);
    let mut out: String = text.chars().take(120).collect();
    if out.len() < text.len() {
        if let Some(space) = out.rfind(' ') {
            out.truncate(space);
        }
        out.push_str(" ...");
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The long options that a text mentions.
fn long_options(text: &str) -> Vec<String> {
    let mut out = vec![];
    let mut rest = text;
    while let Some(at) = rest.find("--") {
        let before = rest.get(..at).and_then(|text| text.chars().next_back());
        let after = rest.get(at + 2..).unwrap_or_default();
        let (negated, after) = match after.strip_prefix("[no-]") {
            Some(after) => (true, after),
            None => (false, after),
        };
        let end = after
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
            .unwrap_or(after.len());
        let name = after.get(..end).unwrap_or_default().trim_end_matches('-');
        if !name.is_empty() && !before.is_some_and(|c| c == '-' || c.is_ascii_alphanumeric()) {
            out.push(format!("--{name}"));
            if negated {
                out.push(format!("--no-{name}"));
            }
        }
        rest = after.get(end..).unwrap_or_default();
    }
    out
}

/// The arguments of a macro.
fn arguments(text: &str) -> Vec<String> {
    let mut out = vec![];
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push(quoted.get(..end).unwrap_or_default().to_owned());
            rest = quoted.get(end + 1..).unwrap_or_default().trim_start();
        } else {
            // A space behind a backslash belongs to the word.
            let mut escaped = false;
            let end = rest
                .find(|c: char| {
                    let ends = c.is_whitespace() && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                })
                .unwrap_or(rest.len());
            out.push(rest.get(..end).unwrap_or_default().to_owned());
            rest = rest.get(end..).unwrap_or_default().trim_start();
        }
    }
    out
}

/// A line of BSD's macros.
fn mdoc(name: &str, rest: &str) -> String {
    let mut out = String::new();
    let mut dash = name == "Fl";
    for word in arguments(rest) {
        match word.as_str() {
            "Fl" => {
                dash = true;
                continue;
            }
            "Ar" | "Op" | "Nm" | "Cm" | "Pa" | "Li" | "Sy" | "Em" | "Ns" | "Xo" | "Dq" | "Ql"
            | "Ic" | "Oo" | "Oc" => continue,
            "," | "|" => out.push_str(&word),
            _ => {
                if !out.is_empty() {
                    out.push(' ');
                }
                if dash {
                    out.push('-');
                    dash = false;
                }
                out.push_str(&plain(&word));
            }
        }
    }
    out
}

/// A text without what tells how it is to be set.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('-') => out.push('-'),
            Some('e' | '\\') => out.push('\\'),
            Some(' ' | '~' | '0') => out.push(' '),
            Some('&' | '|' | '^' | '/' | ',' | ')' | ':' | '%' | 'c' | 'u' | 'd') => {}
            Some('\'') => out.push('\''),
            Some('`') => out.push('`'),
            Some('f' | 'F' | 'm' | '*' | 'g' | 'k' | 'n') => drop(glyph(&mut rest)),
            Some('s') => {
                if matches!(rest.peek(), Some('+' | '-')) {
                    rest.next();
                }
                rest.next();
            }
            Some('h' | 'v' | 'w' | 'o' | 'z') => {
                // What is between two of the same.
                if let Some(quote) = rest.next() {
                    while rest.next().is_some_and(|c| c != quote) {}
                }
            }
            Some('(') => {
                let name: String = rest.by_ref().take(2).collect();
                out.push_str(special(&name));
            }
            Some('[') => {
                let name: String = rest.by_ref().take_while(|c| *c != ']').collect();
                out.push_str(special(&name));
            }
            Some('"' | '#') => break,
            Some(other) => out.push(other),
            None => {}
        }
    }
    out.trim().to_owned()
}

/// Reads a name of one character, of two behind `(`, or in brackets.
fn glyph(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    match rest.next() {
        Some('(') => rest.by_ref().take(2).collect(),
        Some('[') => rest.by_ref().take_while(|c| *c != ']').collect(),
        Some(other) => other.into(),
        None => String::new(),
    }
}

fn special(name: &str) -> &'static str {
    match name {
        "aq" | "cq" | "oq" => "'",
        "dq" | "lq" | "rq" => "\"",
        "em" | "en" | "hy" | "mi" | "-" => "-",
        "ha" => "^",
        "ti" => "~",
        "bu" => "*",
        "rs" => "\\",
        "at" => "@",
        "sh" => "#",
        "Do" => "$",
        "or" | "ba" => "|",
        "la" | "fo" => "<",
        "ra" | "fc" => ">",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAN: &str = r#".TH LS 1
.SH NAME
ls \- list directory contents
.SH DESCRIPTION
.TP
\fB\-a\fR, \fB\-\-all\fR
do not ignore entries starting with .
.TP
\fB\-\-color\fR[=\fI\,WHEN\/\fR]
color the output WHEN; more info below
.IP "\fB\-x\fR, \fB\-\-ex\fR"
Some words.  More words.
"#;
    const DOCBOOK: &str = ".SH \"NAME\"\ngit-log \\- Show commit logs\n.SH \"OPTIONS\"\n.PP\n\\-\\-[no\\-]decorate\n.RS 4\nPrint out the \
                           ref names\\&. And so on\\&.\n.RE\n.PP\n\\-n <number>, \\-\\-max\\-count=<number>\n.RS 4\nLimit \
                           the output\\&.\n.RE\n";
    const MDOC: &str = ".Sh NAME\n.Nm tool\n.Nd do things\n.Sh OPTIONS\n.Bl -tag\n.It Fl q , Fl -quiet\nSay nothing.\n.It Fl \
                        c Ar n\nCount.\n.El\n";

    #[test]
    fn every_style_of_page_is_read() {
        let manual = read(MAN);
        assert_eq!(manual.summary.as_deref(), Some("list directory contents"));
        assert_eq!(manual.options["-a"], "do not ignore entries starting with");
        assert_eq!(manual.options["--color"], "color the output WHEN");
        assert_eq!(manual.options["--ex"], "Some words");
        assert!(manual.mentioned.contains("--all"));

        let manual = read(DOCBOOK);
        assert_eq!(manual.summary.as_deref(), Some("Show commit logs"));
        assert_eq!(manual.options["--max-count"], "Limit the output");
        assert!(
            manual.mentioned.contains("--no-decorate") && manual.mentioned.contains("--decorate")
        );

        let manual = read(MDOC);
        assert_eq!(manual.summary.as_deref(), Some("do things"));
        assert_eq!(manual.options["-q"], "Say nothing");
        assert_eq!(manual.options["--quiet"], "Say nothing");
        assert_eq!(manual.options["-c"], "Count");
    }

    #[test]
    fn options_are_found_by_what_they_do() {
        let manual = read(MAN);
        let found = manual.options_about("colored output please", 2);
        assert_eq!(found, [("--color", "color the output WHEN")]);
        assert_eq!(manual.options_about("something else", 2), []);
    }

    #[test]
    fn any_text_can_be_read_as_a_page() {
        for text in [
            "",
            ".",
            "\\",
            ".TP",
            ".IP \"",
            "\\f",
            "\\(",
            "\\[",
            ".SH NAME\n\\-",
            ".It",
            "\\h'",
            "--",
            "--[no-]",
        ] {
            read(text);
        }
    }

    #[test]
    fn options_are_looked_up_in_the_manual_only_if_it_has_some() {
        let directory = std::env::temp_dir().join(format!("llamux-manual-{}", std::process::id()));
        fs::create_dir_all(directory.join("man1")).unwrap();
        let page = MAN.replace("Some words", "Some words, as \\-\\-more does");
        fs::write(directory.join("man1/ls.1"), page).unwrap();
        fs::write(directory.join("man1/dir.1"), ".so man1/ls.1\n").unwrap();
        fs::write(
            directory.join("man1/bare.1"),
            ".SH NAME\nbare \\- nothing\n",
        )
        .unwrap();
        let machine = Machine::of(vec![], vec![directory.clone()], vec![]);
        for (program, option, expected) in [
            ("ls", "--all", Some(true)),
            ("ls", "--al", Some(true)),
            ("ls", "--nothing", Some(false)),
            ("dir", "--color", Some(true)),
            ("bare", "--all", None),
            ("none", "--all", None),
            ("../ls", "--all", None),
        ] {
            assert_eq!(
                machine.has_option(program, &[], option),
                expected,
                "{program} {option}"
            );
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
