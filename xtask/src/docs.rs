// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask docs`: makes a book of `docs/`, and writes down what the commands on its pages print.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use crate::context::Context;
use crate::kernel::{Source, Target};
use crate::run::Boot;
use crate::{model, setup, sh, tools};

const MDBOOK: tools::CargoTool = tools::CargoTool {
    name: "mdbook",
    version: "0.4.52",
    minutes: "three",
};
/// What stands before a block of commands whose output is to be written down.
const RECORDED: &str = "<!-- recorded -->\n```console\n";
/// Where lines of an output are folded, in characters.
const WIDTH: usize = 100;
/// What begins a line of the script's own: no program prints it.
const MARK: char = '\u{1e}';

/// Make a book of docs/, in target/book.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Boot a system first, run the commands that the pages show, and write down what they print.
    #[arg(long)]
    record: bool,
    #[command(flatten)]
    source: Source,
}

/// A page of the documentation.
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    if args.record {
        setup::ensure(cx)?;
        record(cx, &args.source)?;
    }
    let mdbook = MDBOOK.find_or_install(cx)?;
    let staged = stage(cx)?;
    sh::run(sh::cmd(mdbook).arg("build").arg(&staged))?;
    println!("{}", cx.root.join("target/book/index.html").display());
    Ok(ExitCode::SUCCESS)
}

/// All pages: those of the repository itself, and those of `docs/`.
pub(crate) fn pages(cx: &Context) -> Result<Vec<Page>> {
    let mut paths = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
        .map(|name| cx.root.join(name))
        .to_vec();
    for entry in fs::read_dir(cx.root.join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    paths.sort();
    let page = |path: PathBuf| {
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Page { path, text })
    };
    paths.into_iter().map(page).collect()
}

impl Page {
    /// The code blocks of a language, without their fences.
    pub(crate) fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut inside = None;
        for event in Parser::new(&self.text) {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) if *info == *language => {
                    inside = Some(String::new());
                }
                Event::Text(text) => {
                    if let Some(block) = &mut inside {
                        block.push_str(&text);
                    }
                }
                Event::End(TagEnd::CodeBlock) => blocks.extend(inside.take()),
                _ => (),
            }
        }
        blocks
    }

    /// What stands as code between words.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Vec<String> {
        let code = |event| match event {
            Event::Code(text) => Some(text.into_string()),
            _ => None,
        };
        Parser::new(&self.text).filter_map(code).collect()
    }

    /// Where its links lead.
    pub(crate) fn links(&self) -> Vec<String> {
        let link = |event| match event {
            Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.into_string()),
            _ => None,
        };
        Parser::new(&self.text).filter_map(link).collect()
    }

    /// What a link can name behind a `#`, as GitHub and mdBook make it of the headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors = Vec::new();
        let mut heading = None;
        for event in Parser::new(&self.text) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    anchors.extend(heading.take().as_deref().map(anchor));
                }
                _ => (),
            }
        }
        anchors
    }

    /// Where the insides of recorded blocks are in the text.
    fn recorded(&self) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        for (at, _) in self.text.match_indices(RECORDED) {
            let begin = at + RECORDED.len();
            let rest = &self.text[begin..];
            let len = if rest.starts_with("```") {
                0
            } else {
                rest.find("\n```").map_or(rest.len(), |end| end + 1)
            };
            ranges.push(begin..begin + len);
        }
        ranges
    }

    /// The commands whose output is written down.
    pub(crate) fn commands(&self) -> Vec<&str> {
        let blocks = self.recorded().into_iter();
        blocks
            .flat_map(|range| commands(&self.text[range]))
            .collect()
    }
}

/// What was run, how it ended, and what it printed.
pub(crate) struct Ran {
    pub(crate) status: u8,
    pub(crate) output: String,
}

/// Runs commands in a booted system, one after the other.
pub(crate) fn run(cx: &Context, source: &Source, commands: &[&str]) -> Result<Vec<Ran>> {
    let model = model::find(cx, None)?;
    let script = script(commands);
    let mut boot = Boot::new(Target::Uml, source, &script);
    boot.model = Some(&model);
    boot.timeout = Some(Duration::from_secs(300));
    let outcome = boot.run(cx)?;
    outcome.status()?;
    let ran = parse(&outcome.output);
    if ran.len() != commands.len() {
        bail!(
            "of {} commands {} ended:\n{}",
            commands.len(),
            ran.len(),
            outcome.output
        );
    }
    Ok(ran)
}

/// Writes down what the commands of all pages print.
fn record(cx: &Context, source: &Source) -> Result<()> {
    let pages = pages(cx)?;
    let commands: Vec<_> = pages.iter().flat_map(Page::commands).collect();
    let mut ran = run(cx, source, &commands)?.into_iter();
    for page in &pages {
        let mut text = String::new();
        let mut at = 0;
        for range in page.recorded() {
            text.push_str(&page.text[at..range.start]);
            at = range.end;
            for command in self::commands(&page.text[range]) {
                let ran = ran.next().context("fewer outputs than commands")?;
                if ran.status != 0 {
                    bail!(
                        "{}: `{command}` ended with status {}: {}",
                        page.path.display(),
                        ran.status,
                        ran.output
                    );
                }
                text += &format!("$ {command}\n");
                for line in ran.output.lines() {
                    text += &fold(line);
                    text.push('\n');
                }
            }
        }
        text.push_str(&page.text[at..]);
        if text != page.text {
            eprintln!("docs: {}", page.path.display());
            fs::write(&page.path, text)?;
        }
    }
    Ok(())
}

/// The commands of a block, each behind a dollar sign; the other lines are what they printed.
fn commands(block: &str) -> Vec<&str> {
    let lines = block.lines();
    lines.filter_map(|line| line.strip_prefix("$ ")).collect()
}

/// A script that runs each command, and says how it ended.
fn script(commands: &[&str]) -> String {
    let mut script = String::new();
    for command in commands {
        script += &format!(
            "echo '{MARK}'; {{ {command}\n}} </dev/null 2>&1; status=$?; echo; echo \"{MARK}$status\"\n"
        );
    }
    script
}

/// What that script printed.
fn parse(output: &str) -> Vec<Ran> {
    let mut ran = Vec::new();
    let mut current = None;
    for line in output.lines() {
        match line.strip_prefix(MARK) {
            Some("") => current = Some(String::new()),
            Some(status) => {
                if let (Some(output), Ok(status)) = (current.take(), status.parse()) {
                    ran.push(Ran {
                        status,
                        output: output.trim_end().to_owned(),
                    });
                }
            }
            None => {
                if let Some(output) = &mut current {
                    output.push_str(line);
                    output.push('\n');
                }
            }
        }
    }
    ran
}

/// Breaks a long line at blanks.
fn fold(line: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in line.split_inclusive(' ') {
        let len = word.chars().count();
        if width > 0 && width + word.trim_end().chars().count() > WIDTH {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            width = 0;
        }
        out.push_str(word);
        width += len;
    }
    out
}

/// What a link to a heading names.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        character if character.is_alphanumeric() => character.to_lowercase().next(),
        _ => None,
    });
    kept.collect()
}

/// A copy of `docs/` for mdBook, whose links to other files of the repository lead to copies of these.
fn stage(cx: &Context) -> Result<PathBuf> {
    let docs = cx.root.join("docs");
    let staged = cx.root.join("target/docs");
    if staged.exists() {
        fs::remove_dir_all(&staged)?;
    }
    fs::create_dir_all(&staged)?;
    fs::copy(docs.join("book.toml"), staged.join("book.toml"))?;
    for page in pages(cx)? {
        let Ok(name) = page.path.strip_prefix(&docs) else {
            continue;
        };
        let mut text = page.text.clone();
        for link in page.links() {
            let Some(path) = link.strip_prefix("../") else {
                continue;
            };
            let to = Path::new("repository").join(format!("{path}.txt"));
            let copy = staged.join(&to);
            fs::create_dir_all(copy.parent().context("no directory")?)?;
            fs::copy(cx.root.join(path), &copy)
                .with_context(|| format!("{}: no {link}", page.path.display()))?;
            text = text.replace(&format!("]({link})"), &format!("]({})", to.display()));
        }
        fs::write(staged.join(name), text)?;
    }
    Ok(staged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page {
            path: PathBuf::from("page.md"),
            text: text.to_owned(),
        }
    }

    #[test]
    fn recorded_commands_are_found() {
        let page = page(
            "<!-- recorded -->\n```console\n$ one\noutput\n$ two | three\n```\n\n```console\n$ not this\n```\n\n\
             <!-- recorded -->\n```console\n```\n",
        );
        assert_eq!(page.commands(), ["one", "two | three"]);
        assert_eq!(page.recorded().len(), 2);
    }

    #[test]
    fn what_a_script_prints_is_told_apart() {
        let output = "boot\n\u{1e}\nhello\n\n\u{1e}0\n\u{1e}\na\n\nb\n\u{1e}3\n";
        let ran = parse(output);
        let ran: Vec<_> = ran
            .iter()
            .map(|ran| (ran.status, ran.output.as_str()))
            .collect();
        assert_eq!(ran, [(0, "hello"), (3, "a\n\nb")]);
    }

    #[test]
    fn the_script_does_what_it_says() {
        let script = script(&["echo one; false", "printf two"]);
        let mut shell = sh::cmd("sh");
        let ran = parse(&sh::read(shell.args(["-c", &script])).unwrap());
        let ran: Vec<_> = ran
            .iter()
            .map(|ran| (ran.status, ran.output.as_str()))
            .collect();
        assert_eq!(ran, [(1, "one"), (0, "two")]);
    }

    #[test]
    fn long_lines_are_folded_at_blanks() {
        let words = "word ".repeat(30);
        let folded = fold(words.trim_end());
        assert!(folded.lines().all(|line| line.len() <= WIDTH), "{folded}");
        assert_eq!(folded.replace('\n', " "), words.trim_end());
        assert_eq!(fold("  short   line"), "  short   line");
        let long = "x".repeat(200);
        assert_eq!(fold(&long), long);
    }

    #[test]
    fn headings_are_what_links_name() {
        let page = page("# A `b` and c\n\nText\n\n## What's new, 2?\n");
        assert_eq!(page.anchors(), ["a-b-and-c", "whats-new-2"]);
    }
}
