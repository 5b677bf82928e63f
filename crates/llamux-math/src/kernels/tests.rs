// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Every table that this machine can run against plain sums in `f64`, and against the scalar table.

use std::boxed::Box;
use std::println;
use std::vec;
use std::vec::Vec;

use llamux_abi as abi;
use llamux_abi::Sums;

use super::{scalar, select};
use crate::activation::{Activations, Q16x32, Q8x256};
use crate::float16;
use crate::testing::{candidates, features, Random};
use crate::types::{with_block, Block};

/// Error of a product of quantized rows, relative to the sum of the products' magnitudes: only the
/// order of additions in `f32` differs.
const PRODUCT_ERROR: f64 = 4e-6;
/// Relative error of what goes through `exp` in `f32`.
const EXP_ERROR: f64 = 4e-6;
/// Absolute error of a GELU where it is nearly zero: there the relative one is that of the exponent.
const GELU_ERROR: f64 = 1e-7;

/// The tables, the scalar one first. Prints which ones cannot be tested here.
fn tables() -> Vec<&'static abi::Kernels> {
    let mut tables = vec![select(0)];
    for (wanted, name) in [
        (abi::FEATURE_AVX2, "avx2"),
        (abi::FEATURE_AVX2 | abi::FEATURE_AVX512, "avx512"),
        (
            abi::FEATURE_AVX2 | abi::FEATURE_AVX512 | abi::FEATURE_AVX512_VNNI,
            "avx512_vnni",
        ),
    ] {
        if features() & wanted != wanted {
            println!("skipped: this processor cannot run the {name} kernels");
            continue;
        }
        let table = select(wanted);
        if !tables.iter().any(|known| core::ptr::eq(*known, table)) {
            tables.push(table);
        }
    }
    tables
}

fn label(table: &abi::Kernels) -> &str {
    core::str::from_utf8(&table.name)
        .unwrap()
        .trim_end_matches('\0')
}

/// Runs all units, cut at random.
fn run(table: &abi::Kernels, op: abi::Op, units: usize, random: &mut Random) {
    let mut begin = 0;
    while begin < units as u32 {
        let end = (begin + 1 + random.below(units as u32)).min(units as u32);
        // SAFETY: The tests pass buffers of the sizes that the operations ask for.
        unsafe { (table.run)(&op, begin, end) };
        begin = end;
    }
}

fn floats(random: &mut Random, len: usize, scale: f32) -> Vec<f32> {
    (0..len).map(|_| random.signed() * scale).collect()
}

fn assert_close(what: &str, got: &[f32], expected: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= bound(i), "{what}: [{i}] is {got}, not {expected}");
    }
}

/// Bytes of random blocks whose 16-bit floats are of ordinary size, or with all bits of the weights
/// set, or all zero.
fn weights(tensor_type: abi::TensorType, blocks: usize, random: &mut Random) -> Vec<u8> {
    let bytes = abi::BLOCKS
        .iter()
        .find(|block| block.tensor_type == tensor_type)
        .unwrap()
        .bytes;
    let mut all = Vec::new();
    for _ in 0..blocks {
        let kind = random.below(8);
        let mut block: Vec<u8> = (0..bytes)
            .map(|_| match kind {
                0 => 0,
                1 => 0xff,
                _ => random.next_u32() as u8,
            })
            .collect();
        let halves: &[usize] = match tensor_type {
            abi::TensorType::F32 => {
                block.copy_from_slice(&random.signed().to_le_bytes());
                &[]
            }
            abi::TensorType::BF16 => {
                block.copy_from_slice(&random.signed().to_le_bytes()[2..]);
                &[]
            }
            abi::TensorType::Q4_1
            | abi::TensorType::Q5_1
            | abi::TensorType::Q4_K
            | abi::TensorType::Q5_K => &[0, 2],
            abi::TensorType::Q2_K => &[80, 82],
            abi::TensorType::Q3_K => &[108],
            abi::TensorType::Q6_K => &[208],
            _ => &[0],
        };
        for &at in halves {
            let scale = if kind == 0 { [0; 2] } else { random.scale() };
            block[at..at + 2].copy_from_slice(&scale);
        }
        all.extend(block);
    }
    all
}

/// The weights as `f32`.
fn dequantized<B: Block>(weights: &[u8]) -> Vec<f32> {
    let mut out = vec![0.0; weights.len() / size_of::<B>() * B::Activation::LEN];
    let blocks = weights.as_ptr().cast::<B>();
    for (i, out) in out.chunks_exact_mut(B::Activation::LEN).enumerate() {
        // SAFETY: There are so many blocks, which may lie at any address.
        unsafe { (*blocks.add(i)).dequantize(out) };
    }
    out
}

/// Activations in a layout, 4-byte aligned, and their values.
fn activations<B: Block>(x: &[f32], columns: usize) -> (Vec<u32>, Vec<f32>) {
    let blocks = columns / B::Activation::LEN;
    let bytes = B::Activation::row_bytes(blocks);
    let mut buffer = vec![0_u32; x.len() / columns * bytes / 4];
    for (row, x) in x.chunks_exact(columns).enumerate() {
        for (i, x) in x.chunks_exact(B::Activation::LEN).enumerate() {
            // SAFETY: Within the buffer.
            unsafe {
                let row = buffer.as_mut_ptr().cast::<u8>().add(row * bytes);
                B::Activation::quantize(x).write(row, blocks, i);
            }
        }
    }
    let values = match B::Activation::LEN {
        1 => x.to_vec(),
        32 => x
            .chunks_exact(32)
            .map(Q16x32::quantize)
            .flat_map(|block| block.q.map(|q| f32::from(q) * block.scale.scale))
            .collect(),
        _ => x
            .chunks_exact(256)
            .map(Q8x256::quantize)
            .flat_map(|block| block.q.map(|q| f32::from(q) * block.scale))
            .collect(),
    };
    (buffer, values)
}

fn check_mat_mul<B: Block>(shape: [usize; 3], extreme: bool) {
    let [rows, columns, tokens] = shape;
    let mut random = Random::new((rows * 1000 + tokens) as u64);
    let blocks = columns / B::Activation::LEN;
    let matrix = weights(B::TENSOR_TYPE, rows * blocks, &mut random);
    let w = dequantized::<B>(&matrix);
    let mut x = floats(&mut random, tokens * columns, 4.0);
    if extreme {
        // All quantize to 127 or -127, which drives the sums of 16 bits to their limits.
        x.iter_mut().for_each(|x| *x = x.signum() * 4.0);
        x[..columns].fill(4.0);
        x[columns * (tokens - 1)..].fill(-4.0);
    }
    let (x, values) = activations::<B>(&x, columns);
    let bias = floats(&mut random, rows, 1.0);
    let stride = rows + 3;
    for table in tables() {
        for (bias, accumulate, sums) in [
            (None, 0, Sums::Together),
            (Some(&bias), 0, Sums::Alone),
            (Some(&bias), 1, Sums::Together),
            (None, 1, Sums::Alone),
        ] {
            let before = floats(&mut random, tokens * stride, 1.0);
            let mut out = before.clone();
            let op = abi::MatMul {
                weights: matrix.as_ptr(),
                tensor_type: B::TENSOR_TYPE,
                columns: columns as u32,
                x: x.as_ptr().cast(),
                bias: bias.map_or(core::ptr::null(), |bias| bias.as_ptr()),
                out: out.as_mut_ptr(),
                out_stride: stride as u32,
                tokens: tokens as u32,
                accumulate,
                sums,
            };
            run(table, abi::Op::MatMul(op), rows, &mut random);
            let (mut expected, mut bounds) = (Vec::new(), Vec::new());
            for t in 0..tokens {
                for r in 0..stride {
                    let before = f64::from(before[t * stride + r]);
                    let (mut sum, mut magnitude) = (before, 0.0);
                    if r < rows {
                        if accumulate == 0 {
                            sum = 0.0;
                        }
                        sum += bias.map_or(0.0, |bias| f64::from(bias[r]));
                        magnitude = sum.abs();
                        let w = &w[r * columns..][..columns];
                        for (w, x) in w.iter().zip(&values[t * columns..]) {
                            sum += f64::from(*w) * f64::from(*x);
                            magnitude += (f64::from(*w) * f64::from(*x)).abs();
                        }
                    }
                    expected.push(sum);
                    bounds.push(magnitude * PRODUCT_ERROR);
                }
            }
            let what = std::format!("{} {:?} {shape:?}", label(table), B::TENSOR_TYPE);
            // What a minimum or an offset takes away again counts as well.
            let magnitudes = bounds.iter().fold(0.0_f64, |a, b| a.max(*b));
            assert_close(&what, &out, &expected, |i| match i % stride < rows {
                true => bounds[i].max(magnitudes * 0.3),
                false => 0.0,
            });
        }
    }
}

#[test]
fn products_of_matrices_are_right_for_all_types_and_ragged_shapes() {
    for block in abi::BLOCKS {
        let tensor_type = block.tensor_type;
        for (rows, tokens) in [
            (1, 1),
            (5, 1),
            (19, 1),
            (8, 2),
            (3, 3),
            (17, 5),
            (33, 4),
            (40, 8),
            (21, 33),
            (37, 64),
        ] {
            for blocks in [1, 2, 5] {
                let columns = match block.weights {
                    1 => [1, 34, 77][blocks / 2],
                    32 => 32 * [1, 4, 7][blocks / 2],
                    weights => weights as usize * blocks,
                };
                let shape = [rows, columns, tokens];
                with_block!(tensor_type, check_mat_mul(shape, false));
                with_block!(tensor_type, check_mat_mul(shape, true));
            }
        }
    }
}

/// What a token gets does not depend on how many others there are, so that a prompt may be cut anywhere;
/// and it gets what it would get alone where that is asked for.
#[test]
fn products_do_not_depend_on_the_other_tokens() {
    fn check<B: Block>() {
        let mut random = Random::new(B::TENSOR_TYPE as u64);
        let (rows, tokens) = (21, 37);
        // Of blocks of 32, not a multiple of four.
        let columns = if B::Activation::LEN == 256 { 512 } else { 480 };
        let matrix = weights(
            B::TENSOR_TYPE,
            rows * columns / B::Activation::LEN,
            &mut random,
        );
        let x = floats(&mut random, tokens * columns, 4.0);
        let (x, _) = activations::<B>(&x, columns);
        let words = x.len() / tokens;
        for table in tables() {
            let mut multiply = |first: usize, tokens: usize, sums| {
                let mut out = vec![f32::NAN; tokens * rows];
                let op = abi::MatMul {
                    weights: matrix.as_ptr(),
                    tensor_type: B::TENSOR_TYPE,
                    columns: columns as u32,
                    x: x[first * words..].as_ptr().cast(),
                    bias: core::ptr::null(),
                    out: out.as_mut_ptr(),
                    out_stride: rows as u32,
                    tokens: tokens as u32,
                    accumulate: 0,
                    sums,
                };
                run(table, abi::Op::MatMul(op), rows, &mut random);
                out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let what = std::format!("{} {:?}", label(table), B::TENSOR_TYPE);
            let all = multiply(0, tokens, Sums::Together);
            for (first, count) in [(0, 2), (5, 3), (20, 17), (2, 35)] {
                let some = multiply(first, count, Sums::Together);
                assert_eq!(some, all[first * rows..][..some.len()], "{what} {count}");
            }
            for (first, count) in [
                (3, 1),
                (0, 2),
                (9, 3),
                (4, 4),
                (3, 5),
                (7, 6),
                (1, 7),
                (29, 8),
                (0, 37),
            ] {
                let several = multiply(first, count, Sums::Alone);
                for (token, row) in several.chunks(rows).enumerate() {
                    let alone = multiply(first + token, 1, Sums::Together);
                    assert_eq!(row, alone, "{what} {token} of {count}");
                }
                let either = multiply(first, count, Sums::Either);
                let together = multiply(first, count, Sums::Together);
                assert!(either == several || either == together, "{what} {count}");
            }
        }
    }
    for block in abi::BLOCKS {
        with_block!(block.tensor_type, check());
    }
}

#[test]
fn embedding_rows_are_the_dequantized_weights() {
    fn check<B: Block>() {
        let mut random = Random::new(3);
        let columns = 2 * B::Activation::LEN;
        let matrix = weights(B::TENSOR_TYPE, 2 * 9, &mut random);
        let expected = dequantized::<B>(&matrix);
        let ids = [8, 0, 3, 3];
        for (table, scale_square) in tables().into_iter().flat_map(|t| [(t, 1), (t, 48)]) {
            let scale = (scale_square as f32).sqrt();
            let mut out = vec![0.0; ids.len() * columns];
            let op = abi::Embed {
                table: matrix.as_ptr(),
                tensor_type: B::TENSOR_TYPE,
                columns: columns as u32,
                ids: ids.as_ptr(),
                out: out.as_mut_ptr(),
                scale_square,
            };
            run(table, abi::Op::Embed(op), ids.len(), &mut random);
            for (out, id) in out.chunks_exact(columns).zip(ids) {
                let expected = &expected[id as usize * columns..][..columns];
                assert!(out
                    .iter()
                    .zip(expected)
                    .all(|(a, b)| a.to_bits() == (b * scale).to_bits()));
            }
        }
    }
    for block in abi::BLOCKS {
        with_block!(block.tensor_type, check());
    }
}

/// Root of the mean squared error that a type may have, as a share of the weights' own: somewhat more
/// than what it has for weights of a normal distribution.
fn conversion_error(tensor_type: abi::TensorType) -> f64 {
    match tensor_type {
        abi::TensorType::F32 => 0.0,
        abi::TensorType::F16 => 0.0003,
        abi::TensorType::BF16 => 0.0025,
        abi::TensorType::Q8_0 => 0.006,
        abi::TensorType::Q6_K => 0.02,
        abi::TensorType::Q5_0 | abi::TensorType::Q5_1 | abi::TensorType::Q5_K => 0.045,
        abi::TensorType::Q4_0 | abi::TensorType::Q4_1 | abi::TensorType::Q4_K => 0.09,
        abi::TensorType::IQ4_NL | abi::TensorType::IQ4_XS => 0.08,
        abi::TensorType::Q3_K => 0.17,
        abi::TensorType::Q2_K => 0.33,
    }
}

#[test]
fn weights_are_converted_alike_and_come_back() {
    let mut random = Random::new(27);
    let elements = 5 * 256;
    // The sum of twelve is as good as normally distributed.
    let mut x: Vec<f32> = (0..elements)
        .map(|_| (0..12).map(|_| random.signed()).sum::<f32>() * 0.01)
        .collect();
    x[32..64].fill(0.0);
    x[256..512].fill(-0.01);
    for block in abi::BLOCKS {
        let bytes = elements / block.weights as usize * block.bytes as usize;
        // All but the last of the tables' units are whole.
        let len = if block.weights == 256 {
            elements
        } else {
            elements - 224
        };
        let units = len.div_ceil(abi::CONVERT_WEIGHTS as usize);
        let mut first = None;
        for table in tables() {
            let mut there = vec![0x55_u8; bytes];
            let mut back = vec![9.0_f32; elements];
            let mut op = abi::Convert {
                weights: x.as_ptr().cast(),
                out: there.as_mut_ptr(),
                elements: len as u64,
                from: abi::TensorType::F32,
                to: block.tensor_type,
            };
            run(table, abi::Op::Convert(op), units, &mut random);
            op = abi::Convert {
                weights: there.as_ptr(),
                out: back.as_mut_ptr().cast(),
                from: block.tensor_type,
                to: abi::TensorType::F32,
                ..op
            };
            run(table, abi::Op::Convert(op), units, &mut random);

            let what = std::format!("{} {:?}", label(table), block.tensor_type);
            assert!(back[len..].iter().all(|x| *x == 9.0), "{what}");
            let of = |x: &dyn Fn(usize) -> f32| -> f64 {
                (0..len).map(|i| f64::from(x(i)) * f64::from(x(i))).sum()
            };
            let error = (of(&|i| back[i] - x[i]) / of(&|i| x[i])).sqrt();
            assert!(
                error <= conversion_error(block.tensor_type),
                "{what}: {error}"
            );
            let first = first.get_or_insert_with(|| there.clone());
            assert_eq!(first, &there, "{what}");
        }
    }
}

#[test]
fn rows_are_normed() {
    let mut random = Random::new(11);
    for columns in [1, 7, 32, 576, 1539] {
        let x = floats(&mut random, 3 * columns, 9.0);
        let weight = floats(&mut random, columns, 2.0);
        for table in tables() {
            for (in_place, accumulate) in [(false, 0), (true, 0), (false, 1)] {
                let mut out = x.clone();
                let op = abi::RmsNorm {
                    x: if in_place { out.as_ptr() } else { x.as_ptr() },
                    weight: weight.as_ptr(),
                    out: out.as_mut_ptr(),
                    columns: columns as u32,
                    epsilon_bits: 1e-5_f32.to_bits(),
                    accumulate,
                };
                run(table, abi::Op::RmsNorm(op), 3, &mut random);
                let expected: Vec<f64> = x
                    .chunks_exact(columns)
                    .flat_map(|x| {
                        let squares: f64 = x.iter().map(|x| f64::from(x * x)).sum();
                        let scale = 1.0 / (squares / columns as f64 + 1e-5).sqrt();
                        let weight = &weight;
                        (0..columns).map(move |i| {
                            let before = f64::from(x[i]) * f64::from(accumulate);
                            f64::from(x[i]) * scale * f64::from(weight[i]) + before
                        })
                    })
                    .collect();
                let bound = |i: usize| 1e-6 * (expected[i].abs() + f64::from(x[i].abs()));
                assert_close(label(table), &out, &expected, bound);
            }
        }
    }
}

#[test]
fn activations_are_quantized_alike() {
    fn check<A: Activations>(activation: abi::Activation) {
        let mut random = Random::new(12);
        let columns = 3 * A::LEN;
        let mut x = floats(&mut random, 5 * columns, 3.0);
        x[..A::LEN].fill(0.0);
        x[A::LEN..2 * A::LEN]
            .iter_mut()
            .for_each(|x| *x = x.signum() * 3e38);
        let mut results = Vec::new();
        for table in tables() {
            let mut out = vec![0_u32; 5 * A::row_bytes(3) / 4];
            let op = abi::Quantize {
                x: x.as_ptr(),
                out: out.as_mut_ptr().cast(),
                columns: columns as u32,
                activation,
            };
            run(table, abi::Op::Quantize(op), 5, &mut random);
            results.push((label(table), out));
        }
        for (label, out) in &results {
            assert!(*out == results[0].1, "{label}");
        }
    }
    check::<Q16x32>(abi::Activation::Q16x32);
    check::<Q8x256>(abi::Activation::Q8x256);
}

#[test]
fn gates_are_applied() {
    let mut random = Random::new(13);
    for columns in [1, 9, 64, 1537] {
        let mut gate = floats(&mut random, 2 * columns, 20.0);
        gate[0] = -200.0;
        gate[columns] = 200.0;
        let up = floats(&mut random, 2 * columns, 2.0);
        let silu = |g: f64| g / (1.0 + (-g).exp());
        let gelu = |g: f64| {
            let tanh = ((2.0 / std::f64::consts::PI).sqrt() * (g + 0.044715 * g * g * g)).tanh();
            0.5 * g * (1.0 + tanh)
        };
        let gated = |function: &dyn Fn(f64) -> f64| -> Vec<f64> {
            gate.iter()
                .zip(&up)
                .map(|(&g, &u)| function(g.into()) * f64::from(u))
                .collect()
        };
        for (table, gaussian) in tables().into_iter().flat_map(|t| [(t, false), (t, true)]) {
            let expected = gated(if gaussian { &gelu } else { &silu });
            let mut out = gate.clone();
            let op = abi::SwiGlu {
                gate: out.as_ptr(),
                up: up.as_ptr(),
                out: out.as_mut_ptr(),
                columns: columns as u32,
            };
            let (op, slack) = match gaussian {
                true => (abi::Op::GeGlu(op), GELU_ERROR),
                false => (abi::Op::SwiGlu(op), 1e-35),
            };
            run(table, op, 2, &mut random);
            let bound = |i: usize| EXP_ERROR * expected[i].abs() + slack;
            assert_close(label(table), &out, &expected, bound);
        }
    }
}

#[test]
fn what_experts_computed_is_put_together() {
    let mut random = Random::new(19);
    for (tokens, used, columns) in [(1, 1, 1), (3, 2, 65), (7, 4, 576)] {
        let x = floats(&mut random, tokens * used * columns, 3.0);
        let mut rows: Vec<u32> = (0..(tokens * used) as u32).collect();
        rows.reverse();
        let weights = floats(&mut random, tokens * used, 1.0);
        let before = floats(&mut random, tokens * columns, 3.0);
        let mut expected: Vec<f64> = before.iter().map(|&x| f64::from(x)).collect();
        for (i, (&row, &weight)) in rows.iter().zip(&weights).enumerate() {
            let out = &mut expected[i / used * columns..][..columns];
            for (out, &x) in out.iter_mut().zip(&x[row as usize * columns..]) {
                *out += f64::from(weight) * f64::from(x);
            }
        }
        for table in tables() {
            let mut out = before.clone();
            let op = abi::Combine {
                x: x.as_ptr(),
                rows: rows.as_ptr(),
                weights: weights.as_ptr(),
                out: out.as_mut_ptr(),
                used: used as u32,
                columns: columns as u32,
            };
            run(table, abi::Op::Combine(op), tokens, &mut random);
            assert_close(label(table), &out, &expected, |_| 2e-6);
        }
    }
}

#[test]
fn heads_are_rotated_alike() {
    let mut random = Random::new(14);
    for (style, head_dim, pairs) in [
        (abi::RopeStyle::Interleaved, 64, 32),
        (abi::RopeStyle::Halves, 128, 64),
        (abi::RopeStyle::Halves, 26, 5),
        (abi::RopeStyle::Interleaved, 26, 5),
    ] {
        let x = floats(&mut random, 3 * 4 * head_dim, 5.0);
        let angles: Vec<f32> = (0..3 * pairs)
            .map(|_| random.signed() * 4.0)
            .flat_map(|angle| [angle.cos(), angle.sin()])
            .collect();
        let mut expected: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        for (i, head) in expected.chunks_exact_mut(head_dim).enumerate() {
            for pair in 0..pairs {
                let angle = &angles[(i / 4 * pairs + pair) * 2..];
                let (cos, sin) = (f64::from(angle[0]), f64::from(angle[1]));
                let (a, b) = match style {
                    abi::RopeStyle::Interleaved => (2 * pair, 2 * pair + 1),
                    abi::RopeStyle::Halves => (pair, pair + pairs),
                };
                (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
            }
        }
        for table in tables() {
            let mut x = x.clone();
            let op = abi::Rope {
                x: x.as_mut_ptr(),
                angles: angles.as_ptr(),
                heads: 4,
                head_dim: head_dim as u32,
                pairs: pairs as u32,
                style,
            };
            run(table, abi::Op::Rope(op), 3, &mut random);
            assert_close(label(table), &x, &expected, |_| 1e-6);
        }
    }
}

/// Two sequences in the blocks of one cache, of which the first has most of the tokens.
struct Sequences {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    window: usize,
    /// Positions before the tokens of the batch, for each sequence.
    before: [usize; 2],
    /// Tokens of the batch, for each sequence.
    tokens: [usize; 2],
    /// `(positions, kv_heads, head_dim)`, for each sequence.
    k: [Vec<f32>; 2],
    v: [Vec<f32>; 2],
    /// `(tokens, heads, head_dim)`, both sequences' in turn.
    q: Vec<f32>,
}

impl Sequences {
    /// Numbers that the type keeps as they are.
    fn kept(random: &mut Random, kv_type: abi::KvType, len: usize, scale: f32) -> Vec<f32> {
        let mut x = floats(random, len, scale);
        match kv_type {
            abi::KvType::F16 => {
                for x in &mut x {
                    *x = float16::to_f32(float16::from_f32(*x));
                }
            }
            abi::KvType::Q8_0 => {
                for x in x.chunks_exact_mut(abi::KV_GROUP as usize) {
                    let scale = scale / [64.0, 128.0, 256.0][random.below(3) as usize];
                    x.fill_with(|| (random.below(255) as f32 - 127.0) * scale);
                    x[random.below(abi::KV_GROUP) as usize] = 127.0 * scale;
                }
            }
        }
        x
    }

    fn new(random: &mut Random, kv_type: abi::KvType, shape: [usize; 8]) -> Self {
        let [heads, kv_heads, head_dim, window, b0, t0, b1, t1] = shape;
        let row = kv_heads * head_dim;
        let mut kept =
            |scale| [b0 + t0, b1 + t1].map(|len| Self::kept(random, kv_type, len * row, scale));
        let (k, v) = (kept(2.0), kept(1.0));
        Self {
            heads,
            kv_heads,
            head_dim,
            window,
            before: [b0, b1],
            tokens: [t0, t1],
            k,
            v,
            q: floats(random, (t0 + t1) * heads * head_dim, 2.0),
        }
    }

    /// `(tokens, heads, head_dim)`.
    fn expected(&self) -> Vec<f64> {
        let (heads, head_dim) = (self.heads, self.head_dim);
        let mut out = Vec::new();
        let mut queries = self.q.chunks_exact(head_dim);
        for (sequence, tokens) in self.tokens.into_iter().enumerate() {
            let (k, v) = (&self.k[sequence], &self.v[sequence]);
            for (token, head) in (0..tokens).flat_map(|t| (0..heads).map(move |h| (t, h))) {
                let q = queries.next().unwrap();
                let kv_head = head / (heads / self.kv_heads);
                let end = self.before[sequence] + token + 1;
                let first = match self.window {
                    0 => 0,
                    window => end.saturating_sub(window),
                };
                let at = |p: usize| (p * self.kv_heads + kv_head) * head_dim;
                let weights: Vec<f64> = (first..end)
                    .map(|p| {
                        let products = q.iter().zip(&k[at(p)..]);
                        let dot: f64 = products.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                        (dot / (head_dim as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                for d in 0..head_dim {
                    let values = weights.iter().zip(first..);
                    let sum: f64 = values.map(|(w, p)| w * f64::from(v[at(p) + d])).sum();
                    out.push(sum / total);
                }
            }
        }
        out
    }

    /// The same by a table, from a cache that was full of what is no number.
    fn computed(
        &self,
        table: &abi::Kernels,
        kv_type: abi::KvType,
        random: &mut Random,
    ) -> Vec<f32> {
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        let block = abi::KV_BLOCK as usize;
        let ends = [0, 1].map(|s| self.before[s] + self.tokens[s]);
        let [first, second] = ends.map(|end| end.div_ceil(block));
        // The blocks of both sequences, in no order, and one that nobody has.
        let mut table_of: Vec<u32> = (0..(first + second) as u32 + 1).collect();
        for i in (1..table_of.len()).rev() {
            table_of.swap(i, random.below(i as u32 + 1) as usize);
        }
        let head = block * head_dim;
        let head_bytes = match kv_type {
            abi::KvType::F16 => 2 * head,
            abi::KvType::Q8_0 => head + 2 * head / abi::KV_GROUP as usize,
        };
        // The second layer of three.
        let layer_bytes = 2 * kv_heads * head_bytes;
        let mut memory = vec![0x7e7e_u16; (table_of.len() * 3 + 1) * layer_bytes / 2];
        let layer = memory[layer_bytes / 2..].as_mut_ptr().cast();
        let cache = |places: &[abi::Place]| abi::KvCache {
            layer,
            block_bytes: 3 * layer_bytes as u64,
            table: table_of.as_ptr(),
            places: places.as_ptr(),
            kv_type,
            kv_heads: kv_heads as u32,
            head_dim: head_dim as u32,
        };
        let place = |sequence: usize, position: usize| abi::Place {
            table: if sequence == 0 { 0 } else { first as u32 },
            position: position as u32,
        };
        let row = kv_heads * head_dim;
        for (sequence, end) in ends.into_iter().enumerate() {
            let places: Vec<_> = (0..end).map(|p| place(sequence, p)).collect();
            let op = abi::StoreKv {
                k: self.k[sequence].as_ptr(),
                v: self.v[sequence].as_ptr(),
                cache: cache(&places),
            };
            assert_eq!(self.k[sequence].len(), end * row);
            run(table, abi::Op::StoreKv(op), end, random);
        }
        let places: Vec<_> = (0..2)
            .flat_map(|s| (0..self.tokens[s]).map(move |t| (s, t)))
            .map(|(s, t)| place(s, self.before[s] + t))
            .collect();
        let tokens = places.len();
        let chunks = ends[0].max(ends[1]).div_ceil(abi::ATTENTION_CHUNK as usize);
        let mut partial = vec![f32::NAN; tokens * heads * chunks * (head_dim + 2)];
        let op = abi::Attention {
            q: self.q.as_ptr(),
            partial: partial.as_mut_ptr(),
            cache: cache(&places),
            chunks: chunks as u32,
            heads: heads as u32,
            window: self.window as u32,
            scale_square: head_dim as u32,
        };
        run(
            table,
            abi::Op::Attention(op),
            tokens * kv_heads * chunks,
            random,
        );
        let mut out = vec![f32::NAN; tokens * heads * head_dim];
        let op = abi::MergeAttention {
            partial: partial.as_ptr(),
            out: out.as_mut_ptr(),
            chunks: chunks as u32,
            head_dim: head_dim as u32,
        };
        run(table, abi::Op::MergeAttention(op), tokens * heads, random);
        out
    }
}

#[test]
fn attention_is_right_over_several_blocks_and_sequences() {
    let mut random = Random::new(15);
    for kv_type in [abi::KvType::F16, abi::KvType::Q8_0] {
        for shape in [
            [9, 3, 64, 0, 0, 1, 0, 1],
            [9, 3, 64, 0, 250, 9, 3, 1],
            [12, 2, 128, 0, 700, 3, 63, 2],
            [14, 2, 96, 0, 64, 2, 65, 1],
            [8, 1, 32, 0, 10, 2, 300, 1],
            [4, 4, 80, 0, 64, 2, 127, 2],
            [5, 1, 12, 0, 257, 2, 1, 1],
            [2, 1, 256, 0, 300, 1, 512, 1],
            [4, 2, 64, 1, 100, 2, 0, 1],
            [4, 2, 64, 70, 600, 2, 255, 2],
            [4, 2, 32, 256, 600, 2, 255, 2],
        ] {
            if kv_type == abi::KvType::Q8_0 && shape[2] % abi::KV_GROUP as usize != 0 {
                continue;
            }
            let sequences = Sequences::new(&mut random, kv_type, shape);
            let expected = sequences.expected();
            for table in tables() {
                let out = sequences.computed(table, kv_type, &mut random);
                let what = std::format!("{} {kv_type:?} {shape:?}", label(table));
                assert_close(&what, &out, &expected, |_| 8.0 * EXP_ERROR);
            }
        }
    }
}

#[test]
fn a_chunk_that_is_not_seen_counts_for_nothing() {
    let mut random = Random::new(16);
    for table in tables() {
        let (q, mut cache) = ([1.0_f32; 16], vec![0x3c00_u16; 2 * 8 * 64]);
        let mut partial = [f32::NAN; 2 * 10 * 2];
        let places = [0, 1].map(|position| abi::Place { table: 0, position });
        let op = abi::Attention {
            q: q.as_ptr(),
            partial: partial.as_mut_ptr(),
            cache: abi::KvCache {
                layer: cache.as_mut_ptr().cast(),
                block_bytes: 2 * 2 * 8 * 64,
                table: [0].as_ptr(),
                places: places.as_ptr(),
                kv_type: abi::KvType::F16,
                kv_heads: 1,
                head_dim: 8,
            },
            chunks: 2,
            heads: 1,
            window: 0,
            scale_square: 8,
        };
        run(table, abi::Op::Attention(op), 4, &mut random);
        for token in 0..2 {
            let unseen = &partial[token * 20 + 10..][..10];
            assert_eq!(unseen[..8], [0.0; 8], "{}", label(table));
            assert_eq!(unseen[8..], [f32::NEG_INFINITY, 0.0], "{}", label(table));
        }
    }
}

#[test]
fn the_largest_logits_are_kept_whatever_the_ranges() {
    let mut random = Random::new(17);
    for (vocabulary, limit) in [(5, 8), (1, 1), (3000, 1), (3001, 40), (50_000, 1024)] {
        // Few distinct values, so that many are equal.
        let logits: Vec<f32> = (0..vocabulary)
            .map(|_| match random.below(20) {
                0 => f32::NAN,
                1 => f32::NEG_INFINITY,
                _ => (random.signed() * 300.0).round(),
            })
            .collect();
        let mut expected: Vec<u32> = (0..vocabulary as u32)
            .filter(|&i| !logits[i as usize].is_nan())
            .collect();
        expected.sort_by(|&a, &b| logits[b as usize].partial_cmp(&logits[a as usize]).unwrap());
        expected.truncate(limit);
        for table in tables() {
            let mut kept: Box<abi::Candidates> = candidates(limit);
            let op = abi::TopK {
                logits: logits.as_ptr(),
                vocabulary: vocabulary as u32,
                candidates: &mut *kept,
            };
            run(table, abi::Op::TopK(op), vocabulary, &mut random);
            let entries = &kept.entries[..kept.len as usize];
            let ids: Vec<u32> = entries.iter().map(|entry| entry.id).collect();
            assert_eq!(ids, expected, "{}", label(table));
            assert!(entries
                .iter()
                .all(|e| e.logit_bits == logits[e.id as usize].to_bits()));
        }
    }
}

#[test]
fn likelihoods_agree_with_a_plain_sum() {
    let mut random = Random::new(18);
    for vocabulary in [1, 7, 1000, 49_152] {
        let logits = floats(&mut random, vocabulary, 30.0);
        let target = random.below(vocabulary as u32);
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let expected = sum.ln() - f64::from(logits[target as usize]);
        for table in tables() {
            let mut state = abi::LogSumExpState::default();
            let op = abi::LogSumExp {
                logits: logits.as_ptr(),
                vocabulary: vocabulary as u32,
                target,
                state: &mut state,
            };
            run(table, abi::Op::LogSumExp(op), vocabulary, &mut random);
            let error = f64::from_bits(state.nll_bits) - expected;
            assert!(error.abs() < 1e-6, "{}: {error:e}", label(table));
        }
    }
}

#[test]
fn no_feature_gives_the_scalar_table() {
    assert!(core::ptr::eq(select(0), &scalar::KERNELS));
    assert_eq!(label(select(0)), "scalar");
    assert_eq!(label(select(abi::FEATURE_AVX512)), "scalar");
}
