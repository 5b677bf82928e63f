// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `quantize`: writes a file with the weights in another type.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context as _, Result};
use clap::{Args, ValueEnum};
use llamux_abi::TensorType;
use llamux_engine::gguf::{Gguf, Tensor, Value};
use llamux_engine::math::{block, Executor, Job, Kernels, Matrix};
use llamux_engine::quantization;

use super::{print_line, ComputeArgs, FileArgs};
use crate::gguf_writer::{Header, Writer};
use crate::pool::Pool;
use crate::split;

/// How many weights are converted at a time, as far as rows allow.
const PIECE: u64 = 1 << 22;
/// The version of the quantized formats that `general.quantization_version` tells.
const QUANTIZATION_VERSION: u32 = 2;

/// The subcommand's arguments.
///
/// Matrices of weights are converted, whatever type they have; vectors (norms, biases) and the router
/// of a mixture of experts are copied. A type whose blocks do not divide a row is replaced: q2_k, q3_k
/// and iq4_xs by iq4_nl, q4_k by q5_0, q5_k by q5_1, q6_k by q8_0, and these by f16.
///
/// Without --pure, the matrix that gives the logits (output.weight, or token_embd.weight in its place)
/// becomes q6_k where the type has fewer bits, since its errors are not evened out by anything behind
/// it. The parts of a split model become one file.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Quantize {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// The type of the weights
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    to: Type,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Give all matrices the type
    #[arg(long)]
    pure: bool,
}

/// What weights can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Type {
    #[value(name = "f32")]
    F32,
    #[value(name = "f16")]
    F16,
    #[value(name = "bf16")]
    BF16,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q6_k")]
    Q6K,
    #[value(name = "q5_k")]
    Q5K,
    #[value(name = "q5_1")]
    Q5_1,
    #[value(name = "q5_0")]
    Q5_0,
    #[value(name = "q4_k")]
    Q4K,
    #[value(name = "q4_1")]
    Q4_1,
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "iq4_nl")]
    IQ4NL,
    #[value(name = "iq4_xs")]
    IQ4XS,
    #[value(name = "q3_k")]
    Q3K,
    #[value(name = "q2_k")]
    Q2K,
}

impl Type {
    /// The type of tensors, and what `general.file_type` says of a file of it (`enum llama_ftype`).
    fn numbers(self) -> (TensorType, u32) {
        match self {
            Self::F32 => (TensorType::F32, 0),
            Self::F16 => (TensorType::F16, 1),
            Self::BF16 => (TensorType::BF16, 32),
            Self::Q8_0 => (TensorType::Q8_0, 7),
            Self::Q6K => (TensorType::Q6_K, 18),
            Self::Q5K => (TensorType::Q5_K, 16),
            Self::Q5_1 => (TensorType::Q5_1, 9),
            Self::Q5_0 => (TensorType::Q5_0, 8),
            Self::Q4K => (TensorType::Q4_K, 14),
            Self::Q4_1 => (TensorType::Q4_1, 3),
            Self::Q4_0 => (TensorType::Q4_0, 2),
            Self::IQ4NL => (TensorType::IQ4_NL, 25),
            Self::IQ4XS => (TensorType::IQ4_XS, 30),
            Self::Q3K => (TensorType::Q3_K, 11),
            Self::Q2K => (TensorType::Q2_K, 21),
        }
    }
}

/// A tensor of the new file.
struct Part<'a> {
    tensor: Tensor<'a>,
    /// The type that it is converted to; `None` if it is copied.
    to: Option<TensorType>,
    /// Why this is not the type that was asked for.
    reason: String,
    bytes: u64,
}

impl Quantize {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        refuse_output(file.path(), &self.output)?;
        let gguf = file.gguf()?;
        let parts = self
            .plan(&gguf)
            .with_context(|| file.path().display().to_string())?;

        let mut header = Header::new();
        // The parts of a split model become one file.
        for (key, value) in gguf
            .metadata()
            .filter(|(key, _)| !key.starts_with(b"split."))
        {
            header.set(key, &value)?;
        }
        header.set("general.file_type", &Value::U32(self.to.numbers().1))?;
        header.set(
            "general.quantization_version",
            &Value::U32(QUANTIZATION_VERSION),
        )?;
        for part in &parts {
            let tensor = &part.tensor;
            // CAST: The discriminants are the numbers of `enum ggml_type`.
            let number = part.to.map_or(tensor.type_number(), |to| to as u32);
            header.tensor(tensor.name(), number, tensor.dimensions(), part.bytes)?;
        }

        let (kernels, pool) = (self.compute.kernels()?, self.compute.pool()?);
        let mut writer = header.write_to(&self.output)?;
        for part in &parts {
            let label = || format!("tensor {}", part.tensor.label());
            match part.to {
                None => writer.tensor(part.tensor.data())?,
                Some(to) => {
                    convert(&part.tensor, to, kernels, &pool, &mut writer).with_context(label)?;
                }
            }
        }
        writer.finish()?;
        self.report(&parts)
    }

    /// What becomes of each tensor.
    fn plan<'a>(&self, gguf: &Gguf<'a>) -> Result<Vec<Part<'a>>> {
        let logits = quantization::logits(gguf);
        let mut parts = Vec::new();
        for tensor in gguf.tensors() {
            let (to, reason) = match quantization::is_matrix(&tensor) {
                false => (None, String::new()),
                true => {
                    let logits = tensor.name() == logits.as_bytes();
                    let (to, reason) = self.type_of(&tensor, logits)?;
                    (Some(to), reason)
                }
            };
            // CAST: `usize` is at most 64 bits wide.
            let bytes = match to {
                Some(to) => {
                    tensor.elements() / u64::from(block(to).weights) * u64::from(block(to).bytes)
                }
                None => tensor.data().len() as u64,
            };
            ensure!(
                bytes != 0,
                "tensor {}: type {} is not known",
                tensor.label(),
                tensor.type_number()
            );
            parts.push(Part {
                tensor,
                to,
                reason,
                bytes,
            });
        }
        ensure!(
            parts.iter().any(|part| part.to.is_some()),
            "has no matrices of weights"
        );
        Ok(parts)
    }

    /// The type that a matrix gets, and why it is not the one that was asked for.
    fn type_of(&self, tensor: &Tensor<'_>, logits: bool) -> Result<(TensorType, String)> {
        tensor.tensor_type()?;
        let (wanted, mut reason) = (self.to.numbers().0, String::new());
        let columns = tensor.dimensions().first().copied().unwrap_or(1);
        let to = quantization::for_matrix(wanted, columns, logits && !self.pure);
        let fitting = quantization::fitting(wanted, columns);
        if fitting != wanted && to == fitting {
            reason = format!(" instead of {wanted:?} for rows of {columns}");
        } else if to != wanted {
            reason = " for the logits".to_owned();
        }
        Ok((to, reason))
    }

    /// Says what was made of how many tensors, and which did not get the type.
    fn report(&self, parts: &[Part<'_>]) -> Result<()> {
        let mut made = BTreeMap::<String, (usize, u64)>::new();
        for part in parts {
            let what = match part.to {
                None => "copied".to_owned(),
                Some(to) => format!("{to:?}{}", part.reason),
            };
            let (count, bytes) = made.entry(what).or_default();
            *count += 1;
            *bytes += part.bytes;
        }
        for (what, (count, bytes)) in made {
            print_line(&format!("{what}: {count} tensors, {bytes} bytes"))?;
        }
        Ok(())
    }
}

/// Refuses to write over what is read, and onto what is no file, before anything is computed.
fn refuse_output(input: &Path, output: &Path) -> Result<()> {
    if output.is_dir() {
        bail!(
            "{}: is a directory; --output takes a file",
            output.display()
        );
    }
    let inputs = split::parts(input).unwrap_or_else(|| vec![input.to_owned()]);
    let same = |input: PathBuf| match (fs::canonicalize(input), fs::canonicalize(output)) {
        (Ok(input), Ok(output)) => input == output,
        _ => false,
    };
    if inputs.into_iter().any(same) {
        bail!(
            "{}: is the file that is read; --output takes another one",
            output.display()
        );
    }
    Ok(())
}

/// Converts a matrix and writes it, some rows at a time.
fn convert(
    tensor: &Tensor<'_>,
    to: TensorType,
    kernels: Kernels,
    pool: &Pool,
    writer: &mut Writer,
) -> Result<()> {
    let from = tensor.tensor_type()?;
    if from == to {
        return writer.tensor(tensor.data());
    }
    let columns = tensor.dimensions().first().copied().unwrap_or(1);
    let rows = tensor.elements() / columns;
    let row_bytes = tensor.data().len() / usize::try_from(rows)?;
    let at_once = usize::try_from((PIECE / columns).clamp(1, rows))?;
    let columns = u32::try_from(columns).context("a row is too long")?;
    let bound = f32::from_bits(quantization::largest(to).0);
    let (mut floats, mut blocks) = (Vec::new(), Vec::new());
    for data in tensor.data().chunks(row_bytes * at_once) {
        let rows = u32::try_from(data.len() / row_bytes)?;
        let elements = columns as usize * rows as usize;
        floats.resize(4 * elements, 0);
        let matrix = Matrix::new(data, from, rows, columns).context("has a wrong length")?;
        pool.execute(&[Job::convert(kernels, matrix, TensorType::F32, &mut floats)?]);
        let all = floats.chunks_exact(4);
        let weight = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if let Some(bad) = all.map(weight).find(|x| x.is_nan() || x.abs() > bound) {
            bail!("a weight is {bad}, which {to:?} can not hold");
        }
        let matrix = Matrix::new(&floats, TensorType::F32, rows, columns);
        let matrix = matrix.context("has a wrong length")?;
        let size = block(to);
        blocks.resize(elements / size.weights as usize * size.bytes as usize, 0);
        pool.execute(&[Job::convert(kernels, matrix, to, &mut blocks)?]);
        writer.piece(&blocks)?;
    }
    Ok(())
}
