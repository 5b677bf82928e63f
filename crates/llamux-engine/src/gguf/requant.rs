// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Gives the weights of a file a smaller type, in the memory that the file is in.
//!
//! Tensors only become smaller, and lie in the order of their entries. So each is written where the one
//! before it ends now, which is at or before where it was, and the result is a file like any other.

use llamux_abi as abi;

use super::reader::Reader;
use super::{byte_size, check_tensor, Gguf, Tensor};
use crate::error::Error;
use crate::math::{block, Job, Matrix};
use crate::quantization::{self, FILE_TYPE};
use crate::Run;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantized {
    /// Bytes that it has now.
    pub bytes: usize,
    /// How many tensors got another type.
    pub tensors: u32,
}

/// A file that does not say which type most of its weights have (`LLAMA_FTYPE_GUESSED`).
const NOT_SAID: u32 = 1024;
/// Bytes of the last two fields of a tensor's entry, the type and the offset.
const TYPE_AND_OFFSET: usize = 12;

/// Gives the matrices of a file, or of a part of a model, the type `to` or one near it
/// ([`quantization::for_matrix`]), where that is smaller than theirs. `logits` is
/// [`quantization::logits`] of the whole model, and `scratch` has room for a row of floats, twice.
///
/// On an error, the file is spoilt.
pub fn requantize(
    file: &mut [u8],
    to: abi::TensorType,
    logits: &str,
    scratch: &mut [u8],
    run: &mut Run<'_>,
) -> Result<Requantized, Error> {
    let gguf = Gguf::parse_file(file)?;
    let (count, mut entry, alignment) = (gguf.tensors, gguf.tensors_offset, gguf.alignment);
    let data = as_size(gguf.data_offset)?;
    if let Some(at) = offset_of_file_type(&gguf) {
        write(file, at, &NOT_SAID.to_le_bytes())?;
    }
    let mut end = data;
    let mut tensors = 0;
    for _ in 0..count {
        let mut reader = Reader::new(file, entry);
        let tensor = check_tensor(&mut reader, alignment)?;
        entry = reader.offset();
        let source = Source {
            from: tensor.tensor_type()?,
            // OVERFLOW: The parser has found all of it in the file.
            begin: data + as_size(tensor.offset)?,
            bytes: as_size(byte_size(&tensor)?)?,
        };
        // OVERFLOW: As the alignment is a small one.
        let place = data + (end - data).next_multiple_of(crate::size(alignment));
        let (kept, bytes) = match smaller(&tensor, to, logits)? {
            None => {
                let old = source.begin..source.begin + source.bytes;
                if place > source.begin || file.get(old.clone()).is_none() {
                    return Err(Error::Operation("requantize"));
                }
                file.copy_within(old, place);
                (tensor_type_number(source.from), source.bytes)
            }
            Some((to, columns)) => {
                tensors += 1;
                let bytes = source.convert(file, place, (to, columns), scratch, run)?;
                (tensor_type_number(to), bytes)
            }
        };
        write(file, entry - TYPE_AND_OFFSET, &kept.to_le_bytes())?;
        // CAST: `usize` is at most 64 bits wide.
        let offset = (place - data) as u64;
        write(file, entry - size_of::<u64>(), &offset.to_le_bytes())?;
        end = place + bytes;
    }
    Ok(Requantized {
        bytes: if count == 0 { file.len() } else { end },
        tensors,
    })
}

/// Bytes that a file, or a part of a model, would have after [`requantize`].
pub fn requantized_bytes(file: &[u8], to: abi::TensorType, logits: &str) -> Result<usize, Error> {
    let gguf = Gguf::parse_file(file)?;
    let (mut entry, alignment) = (gguf.tensors_offset, gguf.alignment);
    let data = as_size(gguf.data_offset)?;
    let mut end = data;
    for _ in 0..gguf.tensors {
        let mut reader = Reader::new(file, entry);
        let tensor = check_tensor(&mut reader, alignment)?;
        entry = reader.offset();
        let bytes = as_size(byte_size(&tensor)?)?;
        let bytes = match smaller(&tensor, to, logits)? {
            None => bytes,
            Some((to, columns)) => {
                let rows = bytes / row_bytes(tensor.tensor_type()?, columns)?.max(1);
                // OVERFLOW: Less than the tensor has now.
                rows * row_bytes(to, columns)?
            }
        };
        // OVERFLOW: The parser has found all of them in the file, and none is larger now.
        end = data + (end - data).next_multiple_of(crate::size(alignment)) + bytes;
    }
    Ok(if gguf.tensors == 0 { file.len() } else { end })
}

/// The type that a tensor gets if it is smaller than its own, and the length of its rows.
fn smaller(
    tensor: &Tensor<'_>,
    to: abi::TensorType,
    logits: &str,
) -> Result<Option<(abi::TensorType, u32)>, Error> {
    if !quantization::is_matrix(tensor) {
        return Ok(None);
    }
    let from = tensor.tensor_type()?;
    let columns = tensor.dimensions().first().copied().unwrap_or(1);
    let to = quantization::for_matrix(to, columns, tensor.name() == logits.as_bytes());
    // One with longer rows is in no model, and stays as it is.
    let columns = u32::try_from(columns).ok();
    Ok(columns
        .filter(|_| quantization::is_smaller(to, from))
        .map(|columns| (to, columns)))
}

/// Where a tensor's weights are.
struct Source {
    from: abi::TensorType,
    begin: usize,
    bytes: usize,
}

impl Source {
    /// Converts them some rows at a time, and writes them to `place`. Returns how many bytes that are.
    fn convert(
        &self,
        file: &mut [u8],
        place: usize,
        (to, columns): (abi::TensorType, u32),
        scratch: &mut [u8],
        run: &mut Run<'_>,
    ) -> Result<usize, Error> {
        let failed = Error::Operation("requantize");
        let (from_row, to_row) = (row_bytes(self.from, columns)?, row_bytes(to, columns)?);
        let float_row = row_bytes(abi::TensorType::F32, columns)?;
        let (floats, blocks) = scratch.split_at_mut(scratch.len() / 2);
        let most = floats.len() / float_row.max(1);
        let rows = self.bytes / from_row.max(1);
        if most == 0 {
            return Err(Error::Limit {
                what: "length of a row",
                name: crate::error::Name::EMPTY,
                value: columns.into(),
                limit: (floats.len() / size_of::<f32>()) as u64,
            });
        }
        let largest = quantization::largest(to);
        let mut done = 0;
        while done < rows {
            let count = most.min(rows - done);
            // CAST: No more than there are bytes in the scratch memory.
            let rows = count as u32;
            let begin = self.begin + done * from_row;
            let old = file.get(begin..begin + count * from_row).ok_or(failed)?;
            let floats = floats.get_mut(..count * float_row).ok_or(failed)?;
            let matrix = Matrix::new(old, self.from, rows, columns).ok_or(failed)?;
            let job = Job::convert(run.kernels, matrix, abi::TensorType::F32, floats);
            run.job(job)?;
            quantization::check_floats(floats, largest)?;
            let blocks = blocks.get_mut(..count * to_row).ok_or(failed)?;
            let matrix = Matrix::new(floats, abi::TensorType::F32, rows, columns).ok_or(failed)?;
            run.job(Job::convert(run.kernels, matrix, to, blocks))?;
            write(file, place + done * to_row, blocks)?;
            done += count;
        }
        Ok(rows * to_row)
    }
}

/// Bytes of a row of so many weights.
fn row_bytes(of: abi::TensorType, columns: u32) -> Result<usize, Error> {
    let block = block(of);
    // OVERFLOW: Of 32 bits each.
    as_size(u64::from(columns / block.weights) * u64::from(block.bytes))
}

fn write(file: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), Error> {
    let place = at
        .checked_add(bytes.len())
        .and_then(|end| file.get_mut(at..end));
    let place = place.ok_or(Error::Operation("requantize"))?;
    place.copy_from_slice(bytes);
    Ok(())
}

/// Where the value of `general.file_type` is, if the file has it.
fn offset_of_file_type(gguf: &Gguf<'_>) -> Option<usize> {
    gguf.u32(FILE_TYPE).ok()?;
    let mut metadata = gguf.metadata();
    while let Some((key, _)) = metadata.next() {
        if key == FILE_TYPE.as_bytes() {
            return metadata.reader.offset().checked_sub(size_of::<u32>());
        }
    }
    None
}

fn tensor_type_number(tensor_type: abi::TensorType) -> u32 {
    // CAST: The discriminants are the numbers of `enum ggml_type`.
    tensor_type as u32
}

fn as_size(number: u64) -> Result<usize, Error> {
    usize::try_from(number).map_err(|_| Error::Operation("requantize"))
}
