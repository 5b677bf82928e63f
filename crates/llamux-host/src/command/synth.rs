// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `synth`: makes a model with made-up weights.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::model::ModelFile;
use crate::synth::{self, Family, Scaling, Type};

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Synth {
    /// The family of models whose features it has
    #[arg(long, value_enum)]
    arch: Family,
    /// The type of its matrices
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t = Type::Q8_0)]
    tensor_type: Type,
    /// Seed of the weights: the same arguments make the same file
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Take the vocabulary of this GGUF file [default: bytes and short words]
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,
    /// Tokens of a vocabulary that is not taken from a file
    #[arg(long, value_name = "N", conflicts_with = "vocab")]
    vocabulary: Option<u32>,
    /// Number of layers; without this and the following, the family's own small shape
    #[arg(long, value_name = "N")]
    layers: Option<u32>,
    /// Length of a token's state
    #[arg(long, value_name = "N")]
    embedding: Option<u32>,
    /// Length of the hidden state of the feed-forward part, or of an expert
    #[arg(long, value_name = "N")]
    feed_forward: Option<u32>,
    /// Number of query heads
    #[arg(long, value_name = "N")]
    heads: Option<u32>,
    /// Number of key and value heads
    #[arg(long, value_name = "N")]
    kv_heads: Option<u32>,
    /// Length of a head
    #[arg(long, value_name = "N")]
    head_dim: Option<u32>,
    /// Length of the context
    #[arg(long, value_name = "N")]
    context: Option<u32>,
    /// Positions of the sliding window; 0 for none
    #[arg(long, value_name = "N")]
    window: Option<u32>,
    /// How rotations are slowed down for a longer context
    #[arg(long, value_enum, value_name = "HOW")]
    rope_scaling: Option<Scaling>,
    /// By how much
    #[arg(long, value_name = "X", requires = "rope_scaling")]
    rope_factor: Option<f32>,
    /// The length of the context before that
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    rope_original_context: Option<u32>,
}

impl Synth {
    pub(super) fn run(&self) -> Result<()> {
        let mut shape = self.arch.shape();
        for (field, value) in [
            (&mut shape.vocabulary, self.vocabulary),
            (&mut shape.layers, self.layers),
            (&mut shape.embedding, self.embedding),
            (&mut shape.feed_forward, self.feed_forward),
            (&mut shape.heads, self.heads),
            (&mut shape.kv_heads, self.kv_heads),
            (&mut shape.head_dim, self.head_dim),
            (&mut shape.context, self.context),
            (&mut shape.window, self.window),
            (&mut shape.original_context, self.rope_original_context),
        ] {
            if let Some(value) = value {
                *field = value;
            }
        }
        if let Some(scaling) = self.rope_scaling {
            shape.scaling = scaling;
        }
        if let Some(stretch) = self.rope_factor {
            shape.stretch = stretch;
        }
        let vocab = self.vocab.as_deref().map(ModelFile::open).transpose()?;
        let gguf = vocab.as_ref().map(ModelFile::gguf).transpose()?;
        synth::write(
            &shape,
            self.tensor_type,
            self.seed,
            gguf.as_ref(),
            &self.output,
        )
    }
}
