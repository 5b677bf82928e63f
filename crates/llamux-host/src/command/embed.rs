// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `embed`: prints the embeddings of texts.

use anyhow::Result;
use clap::Args;
use llamux_engine::math::F32Bits;

use super::{print_json, CacheArgs, ComputeArgs, ContextArgs, FileArgs};
use crate::model::Arena;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Embed {
    #[command(flatten)]
    file: FileArgs,
    /// A text; each one gets a line, which is a JSON array
    #[arg(
        long = "text",
        value_name = "T",
        required = true,
        allow_hyphen_values = true
    )]
    texts: Vec<String>,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

impl Embed {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        let pool = self.compute.pool()?;
        let longest = self.texts.iter().map(String::len).max().unwrap_or(0);
        let mut arena = Arena::new(&file, self.context.options(longest, &self.cache))?;
        let mut engine = arena.load(&file, self.compute.kernels()?, &pool)?;
        engine.set_batch(self.compute.batch);
        let mut vector = vec![F32Bits(0); engine.info().embedding as usize];
        for text in &self.texts {
            let embedded = engine.embed(text, &pool, &mut vector);
            embedded.map_err(|error| file.error(error))?;
            let numbers = vector.iter().map(|bits| f32::from_bits(bits.0));
            print_json(&numbers.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}
