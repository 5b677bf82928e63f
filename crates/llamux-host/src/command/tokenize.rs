// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `tokenize`: prints the tokens of texts as JSON arrays.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{print_json, FileArgs};
use crate::model::{Tokenizer, Words};
use crate::text;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Tokenize {
    #[command(flatten)]
    file: FileArgs,
    /// The text, in which special tokens are parsed
    #[arg(
        long,
        value_name = "T",
        required_unless_present = "file_of_texts",
        allow_hyphen_values = true
    )]
    text: Option<String>,
    /// A file of texts, one a line, with the escapes \n, \t, \r and \\
    #[arg(long = "file", value_name = "FILE", conflicts_with = "text")]
    file_of_texts: Option<PathBuf>,
    /// The text has these escapes too
    #[arg(long)]
    escape: bool,
}

impl Tokenize {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        let mut words = Words::default();
        let tokenizer = Tokenizer::load(&file, &mut words)?;
        if let Some(path) = &self.file_of_texts {
            for text in text::lines(path)? {
                print_json(&tokenizer.encode(&text)?)?;
            }
        }
        match &self.text {
            Some(text) if self.escape => print_json(&tokenizer.encode(&text::unescape(text))?),
            Some(text) => print_json(&tokenizer.encode(text)?),
            None => Ok(()),
        }
    }
}
