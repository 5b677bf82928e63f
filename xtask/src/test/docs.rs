// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The documentation: what it links to is there, and what it says to type works.

use std::fs;
use std::path::Path;

use anyhow::{anyhow, bail, Context as _, Result};
use clap::Parser as _;

use super::{Found, Lab};
use crate::docs::{self, Page};

/// Links, the list of pages, and the command lines of our own programs.
pub(super) fn documentation(lab: &Lab<'_>) -> Result<Found> {
    let mut found = Found::default();
    let pages = docs::pages(lab.cx)?;
    let summary = fs::read_to_string(lab.cx.root.join("docs/SUMMARY.md"))?;
    for page in &pages {
        let shown = page.path.strip_prefix(&lab.cx.root)?.display().to_string();
        let name = page.path.file_name().unwrap_or_default().to_string_lossy();
        if shown.starts_with("docs/") && name != "SUMMARY.md" {
            let listed = summary.contains(&format!("]({name})"));
            let listed = listed.then_some(()).context("is not in docs/SUMMARY.md");
            found.test(&shown, listed);
        }
        for link in page.links() {
            found.test(&format!("{shown}: {link}"), leads(page, &link));
        }
        for line in page.blocks("sh").iter().flat_map(|block| block.lines()) {
            if let Some(result) = accepted(line) {
                found.test(&format!("{shown}: {line}"), result);
            }
        }
    }
    Ok(found)
}

/// The commands whose output the pages show still work.
pub(super) fn documentation_uml(lab: &Lab<'_>) -> Result<Found> {
    let pages = docs::pages(lab.cx)?;
    let commands: Vec<_> = pages.iter().flat_map(Page::commands).collect();
    let mut found = Found::default();
    let ran = docs::run(lab.cx, lab.source, &commands)?;
    for (command, ran) in commands.iter().zip(ran) {
        found.test(
            command,
            match ran.status {
                0 => Ok(()),
                status => Err(anyhow!("status {status}: {}", ran.output)),
            },
        );
    }
    Ok(found)
}

/// Whether a link leads to something.
fn leads(page: &Page, link: &str) -> Result<()> {
    if link.starts_with("https://") {
        return Ok(());
    }
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    let dir = page.path.parent().context("no directory")?;
    let target = dir.join(path);
    if !path.is_empty() && !target.exists() {
        bail!("there is no {}", target.display());
    }
    let anchors = match (path, anchor) {
        (_, None) => return Ok(()),
        ("", _) => page.anchors(),
        _ => Page {
            text: fs::read_to_string(&target)?,
            path: target,
        }
        .anchors(),
    };
    match anchor.is_some_and(|anchor| anchors.iter().any(|known| known == anchor)) {
        true => Ok(()),
        false => bail!("there is no such heading"),
    }
}

/// Whether the program of a line takes its arguments; `None` if it is none of ours.
fn accepted(line: &str) -> Option<Result<()>> {
    let words = shlex::split(line)?;
    let mut words: Vec<_> = words.iter().map(String::as_str).collect();
    // What is behind them in a pipe or a list is for the shell.
    let end = words
        .iter()
        .position(|word| matches!(*word, "|" | "&&" | ";") || word.starts_with('>'));
    words.truncate(end.unwrap_or(words.len()));
    let parsed = match words.as_slice() {
        ["cargo", "xtask", ..] => crate::Args::try_parse_from(&words[1..]).map(drop),
        [program, ..] if Path::new(program).ends_with("llamux-setup") => {
            llamux_setup::cli::Cli::try_parse_from(&words).map(drop)
        }
        _ => return None,
    };
    Some(parsed.map_err(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_do_not_exist_are_found() {
        for line in [
            "cargo xtask test --quick   # before a commit",
            "cargo xtask run \"Why?\"",
            "llamux-setup --dry-run",
            "cargo xtask model list | head",
        ] {
            accepted(line).unwrap().unwrap();
        }
        for line in [
            "cargo xtask tset",
            "cargo xtask iso --life",
            "llamux-setup --dry",
        ] {
            accepted(line).unwrap().unwrap_err();
        }
        assert!(accepted("pacman -Sy linux-llamux").is_none());
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = Page {
            path: root.join("README.md"),
            text: "# Here\n".to_owned(),
        };
        for link in [
            "ARCHITECTURE.md",
            "#here",
            "https://example.org",
            "ARCHITECTURE.md#invariants",
        ] {
            leads(&page, link).unwrap();
        }
        for link in ["ARCHITEKTUR.md", "#there", "ARCHITECTURE.md#nothing"] {
            leads(&page, link).unwrap_err();
        }
    }
}
