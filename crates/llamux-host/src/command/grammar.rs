// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The options of commands whose answers can be made to keep to a grammar.

use std::fs;
use std::path::PathBuf;

use anyhow::{anyhow, Context as _, Result};
use clap::Args;
use llamux::Grammar;
use llamux_engine::grammar::{self, Constraint};

/// What an answer must keep to.
#[derive(Args)]
pub(super) struct GrammarArgs {
    /// Answer only what the GBNF grammar in FILE allows
    #[arg(long, value_name = "FILE", conflicts_with = "grammar_text")]
    grammar: Option<PathBuf>,
    /// Answer only what this GBNF grammar allows
    #[arg(long, value_name = "GBNF")]
    grammar_text: Option<String>,
    /// Have the model choose each token, even where the grammar allows one text only
    #[arg(long)]
    no_forced: bool,
}

impl GrammarArgs {
    /// Compiles the grammar, if there is one.
    pub(super) fn compile(&self) -> Result<Option<Grammar>> {
        let (name, text) = match (&self.grammar, &self.grammar_text) {
            (Some(path), _) => {
                let text = fs::read_to_string(path);
                let name = path.display().to_string();
                (
                    name.clone(),
                    text.with_context(|| format!("{name}: cannot read"))?,
                )
            }
            (None, Some(text)) => ("--grammar-text".to_owned(), text.clone()),
            (None, None) => return Ok(None),
        };
        let grammar = Grammar::new(&text);
        grammar
            .map(Some)
            .map_err(|error| anyhow!("{name}: {error}"))
    }

    /// What the engine takes.
    pub(super) fn constraint<'t>(
        &self,
        grammar: &'t Option<Grammar>,
    ) -> Result<Option<Constraint<'t>>> {
        let Some(grammar) = grammar else {
            return Ok(None);
        };
        Ok(Some(Constraint {
            grammar: grammar::Grammar::new(grammar.table())?,
            forced: !self.no_forced,
        }))
    }
}
