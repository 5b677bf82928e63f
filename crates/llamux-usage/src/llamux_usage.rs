// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How the programs complain, and what their help and manual pages say beside their options.
//!
//! Each program has one [`Usage`], next to its command line. Its help ends with what [`Usage::after_help`] makes of
//! it, and `llamux-pages` makes the sections of the manual page. What goes wrong it says by [`complain!`].

use std::fmt;
use std::io::{self, Write as _};

/// Names, each with what it means.
pub type Entries<'a> = &'a [(&'a str, &'a str)];

/// What is to be said of a program.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'a> {
    /// Examples: what each does, and the command.
    pub examples: Entries<'a>,
    /// Sections that other programs do not have: their titles and what is in them.
    pub sections: &'a [(&'a str, Entries<'a>)],
    /// Exit statuses, and what they mean.
    pub exit_status: &'a [(u8, &'a str)],
    /// Variables of the environment.
    pub environment: Entries<'a>,
    /// Files that it reads or makes.
    pub files: Entries<'a>,
    /// Related manual pages: name and section.
    pub see_also: &'a [(&'a str, u8)],
}

impl Usage<'_> {
    /// What stands below the options in the program's help.
    pub fn after_help(&self) -> String {
        let mut text = String::new();
        if !self.examples.is_empty() {
            text += "Examples:\n";
            for (what, command) in self.examples {
                text += &format!("  {what}\n      {command}\n");
            }
            text += "\n";
        }
        text += "Exit status:\n";
        for (code, meaning) in self.exit_status {
            text += &format!("  {code:>3}  {meaning}\n");
        }
        text
    }
}

/// Says a line on standard error, formatted as by `format!`. Where nobody reads there any more it is lost, and the
/// program goes on; `eprintln!` would panic.
#[macro_export]
macro_rules! complain {
    ($($line:tt)*) => {
        $crate::complain(::std::format_args!($($line)*))
    };
}

/// What [`complain!`] does.
pub fn complain(line: fmt::Arguments<'_>) {
    // In one piece: others write there too.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_examples_if_there_are_some() {
        let mut usage = Usage {
            examples: &[("Begin:", "lsh")],
            sections: &[],
            exit_status: &[(0, "Good."), (130, "Interrupted.")],
            environment: &[],
            files: &[],
            see_also: &[],
        };
        let codes = "Exit status:\n    0  Good.\n  130  Interrupted.\n";
        let examples = "Examples:\n  Begin:\n      lsh\n\n";
        assert_eq!(usage.after_help(), format!("{examples}{codes}"));
        usage.examples = &[];
        assert_eq!(usage.after_help(), codes);
    }
}
