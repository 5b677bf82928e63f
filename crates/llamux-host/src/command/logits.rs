// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `logits`: prints what the model thinks of every token as the next one.

use anyhow::Result;
use clap::Args;
use llamux_engine::Options;

use super::{print_json, CacheArgs, ComputeArgs, FileArgs};
use crate::model::Arena;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Logits {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// The tokens, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
}

impl Logits {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        let pool = self.compute.pool()?;
        let options = Options {
            context: u32::try_from(self.tokens.len())?,
            prompt_bytes: 0,
            kv_type: self.cache.kv_type(),
            ..Options::default()
        };
        let mut arena = Arena::new(&file, options)?;
        let mut engine = arena.load(&file, self.compute.kernels()?, &pool)?;
        engine.set_batch(self.compute.batch);
        let logits = engine
            .extend(&self.tokens, &pool)
            .map_err(|error| file.error(error))?;
        let logits: Vec<f32> = logits.iter().map(|bits| f32::from_bits(bits.0)).collect();
        print_json(&logits)
    }
}
