// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The documentation: what it links to is there, and what it says to type works.

use std::fs;
use std::path::Path;

use anyhow::{anyhow, bail, Context as _, Result};

use super::tools::accepted;
use super::{Found, Lab};
use crate::docs::{self, Page};
use crate::sh;

/// Links, and the list of pages. What is typed and what is configured there is for the unit tests.
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

/// The programs in C of the pages and of `llama_command(2)`, compiled against a package that is laid in `dir`.
pub(super) fn in_c(lab: &Lab<'_>, dir: &Path, found: &mut Found) -> Result<()> {
    let mut programs = Vec::new();
    for page in docs::pages(lab.cx)? {
        let blocks = page.blocks("c").into_iter();
        programs.extend(blocks.map(|block| (page.path.clone(), block)));
    }
    let manual = lab.cx.root.join("crates/llamux-sys/man/llama_command.2");
    let blocks = examples(&fs::read_to_string(&manual)?).into_iter();
    programs.extend(blocks.map(|block| (manual.clone(), block)));
    let file = lab.cx.root.join("target/llamux/example.c");
    for (path, program) in programs {
        fs::write(&file, program)?;
        let mut gcc = sh::cmd("gcc");
        gcc.args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-isystem"]);
        let compiled = accepted(gcc.arg(dir.join("usr/include")).arg(&file));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        found.test(&format!("a program of {name}"), compiled);
    }
    Ok(())
}

/// The programs in Python of the pages, as they stand there from top to bottom: the name of the page, and the text.
pub(super) fn in_python(lab: &Lab<'_>) -> Result<Vec<(String, String)>> {
    let pages = docs::pages(lab.cx)?.into_iter();
    let programs = pages.map(|page| {
        let name = page.path.file_stem().unwrap_or_default();
        (
            name.to_string_lossy().into_owned(),
            page.blocks("python").concat(),
        )
    });
    // That of OpenAI's client is no program of this package.
    let ours = programs.filter(|(_, text)| text.contains("import llamux\n"));
    let ours: Vec<_> = ours.collect();
    if ours.is_empty() {
        bail!("no page has a program in Python");
    }
    Ok(ours)
}

/// What the examples of a manual page have as it would stand in a file.
fn examples(page: &str) -> Vec<String> {
    let (_, page) = page.split_once(".SH EXAMPLES").unwrap_or_default();
    let shown = page.split(".EX\n").skip(1);
    let shown = shown.filter_map(|rest| Some(rest.split_once(".EE")?.0));
    shown.map(written).collect()
}

/// A text of a manual page, as it is printed.
fn written(text: &str) -> String {
    let text = text.replace("\\&", "").replace("\\-", "-");
    text.replace("\\e", "\\")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    use clap::error::ErrorKind;
    use clap::{Command, CommandFactory as _};
    use llamux_assistant::command;
    use llamux_setup::conf::Conf;

    use super::*;
    use crate::context::Context;

    /// The command lines of our own programs.
    static PROGRAMS: LazyLock<[Command; 8]> = LazyLock::new(|| {
        [
            crate::Args::command(),
            llama_cli::cli::Cli::command(),
            llama_mon::cli::Cli::command(),
            llamux_backend::cli::Cli::command(),
            llamux_host::command::Cli::command(),
            llamux_setup::cli::Cli::command(),
            llamuxd::cli::Cli::command(),
            lsh::cli::Cli::command(),
        ]
    });

    /// Whether a text begins with one of them.
    fn ours(text: &str) -> bool {
        let begins = |program: &Command| {
            let rest = text.strip_prefix(program.get_name());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        PROGRAMS.iter().any(begins)
    }

    /// Has our programs read what a text of the shell tells them. Returns how many there were.
    fn read(text: &str) -> Result<usize> {
        let mut read = 0;
        for words in command::programs(text).map_err(anyhow::Error::msg)? {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let (name, words) = match words.as_slice() {
                ["cargo", "xtask", ..] => ("cargo xtask", &words[1..]),
                [program, ..] => (program.rsplit('/').next().unwrap_or(program), &words[..]),
                [] => continue,
            };
            let Some(program) = PROGRAMS.iter().find(|program| program.get_name() == name) else {
                continue;
            };
            read += 1;
            match program.clone().try_get_matches_from(words) {
                Err(error) if error.use_stderr() => return Err(error.into()),
                _ => (),
            }
        }
        Ok(read)
    }

    /// The same for what stands between words, where a command is named and not always told all that it needs, or told
    /// `FILE` for one.
    fn named(text: &str) -> Result<usize> {
        read(text).or_else(|error| match error.downcast_ref::<clap::Error>() {
            None => Err(error),
            Some(of_clap) => match of_clap.kind() {
                ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => Err(error),
                _ => Ok(1),
            },
        })
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn text(path: &str) -> String {
        fs::read_to_string(root().join(path)).unwrap()
    }

    /// The lines of a text that begin with a prompt, without it.
    fn typed<'a>(text: &'a str, prompts: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let typed = |line: &'a str| prompts.iter().find_map(|prompt| line.strip_prefix(prompt));
        text.lines().filter_map(typed)
    }

    #[test]
    fn programs_take_what_pages_have_typed() {
        let mut found = 0;
        let mut wrong = Vec::new();
        let mut test = |place: &str, text: &str, result: Result<usize>| match result {
            Ok(read) => found += read,
            Err(error) => wrong.push(format!("{place}: {text}: {error:#}")),
        };
        let pages = docs::pages(&Context::new().unwrap()).unwrap();
        for page in &pages {
            let place = page.path.display().to_string();
            for block in page.blocks("sh") {
                test(&place, &block, read(&block));
            }
            for command in page.commands() {
                test(&place, command, read(command));
            }
            for block in page.blocks("text") {
                for line in typed(&block, &["$ "]).filter(|line| ours(line)) {
                    test(&place, line, read(line));
                }
            }
            for code in page.code().iter().filter(|code| ours(code)) {
                test(&place, code, named(code));
            }
        }
        for place in [
            "crates/llamux-kernel/Documentation/admin-guide/llamux.rst",
            "crates/llamux-kernel/Documentation/userspace-api/llamux.rst",
        ] {
            let page = text(place);
            for line in typed(&page, &["  # ", "  $ "]) {
                test(place, line, read(line));
            }
            for code in page
                .split("``")
                .skip(1)
                .step_by(2)
                .filter(|code| ours(code))
            {
                test(place, code, named(code));
            }
        }
        let place = "packaging/tools/usr/share/man/man8/llamux-setup.8";
        let page = text(place);
        let (_, shown) = page.split_once(".SH EXAMPLES").unwrap();
        let (shown, _) = shown.split_once(".SH").unwrap();
        for line in typed(&written(shown), &[".B "]) {
            test(place, line, read(line));
        }
        for (place, usage) in [
            ("llama --help", llama_cli::cli::USAGE),
            ("llama-mon --help", llama_mon::cli::USAGE),
            ("llamux-backend --help", llamux_backend::cli::USAGE),
            ("llamuxd --help", llamuxd::cli::USAGE),
            ("lsh --help", lsh::cli::USAGE),
        ] {
            for (_, command) in usage.examples {
                test(place, command, read(command));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(found > 150, "only {found} commands were found");
    }

    #[test]
    fn programs_read_what_pages_have_written() {
        let pages = docs::pages(&Context::new().unwrap()).unwrap();
        let mut found = 0;
        for page in &pages {
            for block in page.blocks("toml") {
                assert!(page.path.ends_with("actions.md"), "{}", page.path.display());
                llamux_actions::profile::Profile::parse(&block).unwrap();
                found += 1;
            }
        }
        for block in examples(&text("packaging/tools/usr/share/man/man5/llamuxd.toml.5")) {
            llamuxd::config::Config::parse(&block).unwrap();
            found += 1;
        }
        for block in examples(&text("packaging/tools/usr/share/man/man5/llamux.conf.5")) {
            Conf::parse(&block).unwrap();
            found += 1;
        }
        assert_eq!(found, 6);
        // What the files of the package have in comments, each with all of the others.
        let uncommented = |path: &str| {
            let text = text(path);
            let lines = text.lines().map(|line| match line.strip_prefix('#') {
                Some(line) if !line.starts_with(' ') => line,
                _ => "",
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        let config = uncommented("packaging/tools/etc/llamux/llamuxd.toml");
        let config = llamuxd::config::Config::parse(&config).unwrap();
        assert_eq!((config.upstreams.len(), config.tcp.listen.len()), (2, 2));
        let conf = Conf::parse(&uncommented("packaging/tools/etc/llamux.conf")).unwrap();
        assert_eq!((conf.load.len(), conf.limits.len()), (1, 2));
    }

    #[test]
    fn models_have_their_names() {
        let known: toml::Table = text("configs/models.toml").parse().unwrap();
        let known = known["model"].as_array().unwrap().iter();
        let known: Vec<_> = known.map(|model| model["name"].as_str().unwrap()).collect();
        let page = text("docs/models.md");
        let rows = typed(&page, &["| `"]);
        let mut shown: Vec<_> = rows
            .filter_map(|row| Some(row.split_once('`')?.0))
            .collect();
        shown.sort_by_key(|name| known.iter().position(|of| of == name));
        assert_eq!(shown, known);
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        for (line, calls) in [
            ("cargo xtask test --quick   # before a commit", 1),
            ("cargo xtask run \"Why?\"", 1),
            ("sudo /usr/bin/llamux-setup --dry-run", 1),
            ("cargo xtask model list | head", 1),
            ("source <(llama shell-init bash --key ctrl-g)", 1),
            ("llama --version && llama-mon --help", 2),
            ("pacman -Sy linux-llamux", 0),
        ] {
            assert_eq!(read(line).unwrap(), calls, "{line}");
        }
        for line in [
            "cargo xtask tset",
            "cargo xtask iso --life",
            "llamux-setup --dry",
            "dmesg | llama explain --unti nginx",
            "eval \"$(llama shell-init csh)\"",
            "llama why",
            "if lsh --dry-run; then",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        assert_eq!(named("llama why").unwrap(), 1);
        assert!(named("llama why --unti").is_err());
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let page = Page {
            path: root().join("README.md"),
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
