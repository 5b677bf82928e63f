// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `perplexity`: measures how well the model predicts texts.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use llamux_engine::Options;
use serde::Serialize;

use super::{print_json, print_line, CacheArgs, ComputeArgs, FileArgs};
use crate::model::{Arena, Tokenizer, Words};
use crate::text;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Perplexity {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// A file of texts, one a line, with the escapes \n, \t, \r and \\
    #[arg(long = "file", value_name = "FILE")]
    texts: PathBuf,
    /// Print one JSON object for each text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    /// Tokens that were predicted: all but the first.
    tokens: usize,
    /// In nats; null for a text that has nothing to predict.
    mean_nll: Option<f64>,
}

impl Perplexity {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        let mut words = Words::default();
        let tokenizer = Tokenizer::load(&file, &mut words)?;
        let texts = text::lines(&self.texts)?
            .iter()
            .map(|text| tokenizer.encode(text))
            .collect::<Result<Vec<_>>>()?;

        let longest = texts.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let pool = self.compute.pool()?;
        let options = Options {
            context: u32::try_from(longest)?,
            prompt_bytes: 0,
            kv_type: self.cache.kv_type(),
            ..Options::default()
        };
        let mut arena = Arena::new(&file, options)?;
        let mut engine = arena.load(&file, self.compute.kernels()?, &pool)?;
        engine.set_batch(self.compute.batch);
        for tokens in &texts {
            let (mut count, mut sum) = (0, 0.0);
            if tokens.len() > 1 {
                engine
                    .likelihoods(tokens, &pool, |bits| {
                        count += 1;
                        sum += f64::from_bits(bits);
                    })
                    .map_err(|error| file.error(error))?;
            }
            let report = Report {
                tokens: count,
                mean_nll: (count > 0).then(|| sum / count as f64),
            };
            match report.mean_nll {
                _ if self.json => print_json(&report)?,
                Some(nll) => print_line(&format!(
                    "{count} tokens, mean negative log-likelihood {nll:.5}, perplexity {:.4}",
                    nll.exp()
                ))?,
                None => print_line("nothing to predict")?,
            }
        }
        Ok(())
    }
}
