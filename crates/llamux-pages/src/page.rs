// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A manual page.

use std::io;

use clap_mangen::Man;
use llamux_usage::Usage;
use roff::{bold, roman, Inline, Roff};

/// Pages that are written: the name of the file of each, and its text.
pub(crate) type Written = Vec<(String, Vec<u8>)>;

/// What a page is made of.
pub(crate) struct Page<'a> {
    pub(crate) command: clap::Command,
    pub(crate) section: u8,
    pub(crate) usage: Usage<'a>,
    /// The lines of the synopsis, where those of the parser would not do: a command and its operands.
    pub(crate) synopsis: &'a [(&'a str, &'a str)],
    /// Commands of the command, and what each does.
    pub(crate) commands: Vec<(String, String)>,
}

impl<'a> Page<'a> {
    pub(crate) fn new(command: clap::Command, section: u8, usage: Usage<'a>) -> Self {
        Self {
            command,
            section,
            usage,
            synopsis: &[],
            commands: Vec::new(),
        }
    }

    /// The page as troff has it.
    pub(crate) fn text(self) -> io::Result<Vec<u8>> {
        // The help has as plain text what the page has in sections of its own.
        let command = self.command.after_long_help("");
        let name = command.get_bin_name().unwrap_or(command.get_name());
        let program = name.split(' ').next().unwrap_or_default();
        let source = format!("{program} {}", env!("CARGO_PKG_VERSION"));
        let man = Man::new(command)
            .section(self.section.to_string())
            .date("")
            .source(source)
            .manual("Llamux");
        let mut page = Vec::new();
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        if self.synopsis.is_empty() {
            man.render_synopsis_section(&mut page)?;
        } else {
            synopsis(self.synopsis).to_writer(&mut page)?;
        }
        man.render_description_section(&mut page)?;
        if !self.commands.is_empty() {
            let mut commands = Roff::new();
            let listed = self.commands.iter();
            list(
                &mut commands,
                listed.map(|(name, what)| (name.as_str(), what.as_str())),
            );
            commands.to_writer(&mut page)?;
        }
        if !self.usage.examples.is_empty() {
            examples(self.usage.examples).to_writer(&mut page)?;
        }
        man.render_options_section(&mut page)?;
        let mut rest = Roff::new();
        let mut section = |title, entries: &[(&str, &str)]| {
            if !entries.is_empty() {
                rest.control("SH", [title]);
                list(&mut rest, entries.iter().copied());
            }
        };
        for &(title, entries) in self.usage.sections {
            section(title, entries);
        }
        let codes = self.usage.exit_status.iter();
        let codes: Vec<_> = codes
            .map(|(code, meaning)| (code.to_string(), *meaning))
            .collect();
        let codes: Vec<_> = codes
            .iter()
            .map(|(code, meaning)| (code.as_str(), *meaning))
            .collect();
        section("EXIT STATUS", &codes);
        section("ENVIRONMENT", self.usage.environment);
        section("FILES", self.usage.files);
        rest.to_writer(&mut page)?;
        see_also(self.usage.see_also).to_writer(&mut page)?;
        Ok(page)
    }
}

fn synopsis(lines: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for (i, (command, operands)) in lines.iter().enumerate() {
        if i > 0 {
            roff.control("br", []);
        }
        roff.text([bold(*command), roman(format!(" {operands}"))]);
    }
    roff
}

fn examples(examples: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (what, command) in examples {
        roff.control("PP", []);
        roff.text([roman(*what)]);
        roff.control("PP", []);
        roff.control("RS", ["4"]);
        roff.text([bold(*command)]);
        roff.control("RE", []);
    }
    roff
}

/// Names with what they mean.
fn list<'n>(roff: &mut Roff, entries: impl Iterator<Item = (&'n str, &'n str)>) {
    for (name, meaning) in entries {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(meaning)]);
    }
}

fn see_also(pages: &[(&str, u8)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line: Vec<Inline> = Vec::new();
    for (name, section) in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(*name), roman(format!("({section})"))]);
    }
    roff.text(line);
    roff
}
