// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Times the matrix products of the models that the project measures itself by, on one thread.
//!
//! `cargo run --release -p llamux-math --example mat_mul [scalar|avx2|avx512|avx512-vnni] [TYPE]`

use std::arch::is_x86_feature_detected as has;
use std::time::{Duration, Instant};

use llamux_abi as abi;

/// Rows, columns and types: SmolLM2-135M's and Qwen2.5-1.5B's.
const SHAPES: [(usize, usize, abi::TensorType); 16] = [
    (576, 576, abi::TensorType::Q4_1),
    (1536, 576, abi::TensorType::Q4_1),
    (576, 1536, abi::TensorType::Q4_1),
    (1536, 576, abi::TensorType::Q4_0),
    (1536, 576, abi::TensorType::Q5_0),
    (1536, 576, abi::TensorType::Q5_1),
    (1536, 576, abi::TensorType::IQ4_NL),
    (49_152, 576, abi::TensorType::Q8_0),
    (1536, 1536, abi::TensorType::Q4_K),
    (8960, 1536, abi::TensorType::Q4_K),
    (1536, 8960, abi::TensorType::Q2_K),
    (1536, 8960, abi::TensorType::Q3_K),
    (1536, 8960, abi::TensorType::IQ4_XS),
    (1536, 8960, abi::TensorType::Q5_K),
    (1536, 8960, abi::TensorType::Q6_K),
    (151_936, 1536, abi::TensorType::Q6_K),
];

/// Batch sizes whose tokens are computed as each alone, and together.
const TOKENS: [(abi::Sums, &[usize]); 2] = [
    (abi::Sums::Alone, &[1, 2, 3, 4, 5, 6, 8]),
    (abi::Sums::Together, &[2, 4, 8, 16, 64]),
];

/// A line of the cache, at which the engine has activations begin.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "it is there to be pointed to")] [u8; 64]);

/// Rows in a slice, as the engine would cut the work; all shapes have a multiple of it.
const GRAIN: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.first().map_or("", String::as_str);
    let wanted_type = arguments.get(1).map_or("", String::as_str);
    // SAFETY: The features are those of this processor, and the tables are statics.
    let table = unsafe { &*llamux_math::llamux_math_select(features(wanted)) };
    println!(
        "kernels: {}",
        String::from_utf8_lossy(&table.name).trim_end_matches('\0')
    );
    for (rows, columns, tensor_type) in SHAPES {
        if !format!("{tensor_type:?}").starts_with(wanted_type) {
            continue;
        }
        println!("{rows} x {columns} {tensor_type:?}, GMAC/s:");
        for (sums, counts) in TOKENS {
            print!("  {:8}", format!("{sums:?}"));
            for &tokens in counts {
                let (seconds, bytes) = time(table, [rows, columns, tokens], (tensor_type, sums));
                let macs = (rows * columns * tokens) as f64 / seconds / 1e9;
                print!("  {tokens:2}: {macs:5.1}");
                if tokens == 1 {
                    print!(" ({:.1} GB/s)", bytes as f64 / seconds / 1e9);
                }
            }
            println!();
        }
    }
}

/// What this processor has, up to the table asked for.
fn features(wanted: &str) -> u32 {
    let mut features = 0;
    if wanted != "scalar" && has!("avx2") && has!("fma") && has!("f16c") {
        features |= abi::FEATURE_AVX2;
        let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
        if wanted != "avx2" && avx512 {
            features |= abi::FEATURE_AVX512;
            if wanted != "avx512" && has!("avx512vnni") {
                features |= abi::FEATURE_AVX512_VNNI;
            }
        }
    }
    features
}

/// The time of a product, from the median of its slices, so that what else runs on the machine counts
/// for little; and the bytes of the weights.
fn time(
    table: &abi::Kernels,
    shape: [usize; 3],
    (tensor_type, sums): (abi::TensorType, abi::Sums),
) -> (f64, usize) {
    let [rows, columns, tokens] = shape;
    let block = abi::BLOCKS
        .iter()
        .find(|block| block.tensor_type == tensor_type)
        .unwrap();
    let bytes = rows * columns / block.weights as usize * block.bytes as usize;
    // As many copies as do not fit in a cache, to be read in turn; small numbers of any kind.
    let copies = (256_000_000 / bytes).max(1);
    let weights: Vec<u8> = (0..bytes * copies).map(|i| (i * 7 % 31) as u8).collect();
    let x: Vec<f32> = (0..tokens * columns)
        .map(|i| (i % 13) as f32 - 6.0)
        .collect();
    let mut activations = vec![Line([0; 64]); tokens * columns / 16 + 64];
    let quantize = abi::Op::Quantize(abi::Quantize {
        x: x.as_ptr(),
        out: activations.as_mut_ptr().cast(),
        columns: columns as u32,
        activation: block.activation,
    });
    // SAFETY: Four bytes for each value are more than any layout takes.
    unsafe { (table.run)(&quantize, 0, tokens as u32) };
    let mut out = vec![0.0_f32; rows * tokens];
    let mut slices = Vec::new();
    let start = Instant::now();
    let mut turn = 0;
    while start.elapsed() < Duration::from_millis(200) || turn < 2 {
        let op = abi::Op::MatMul(abi::MatMul {
            weights: weights[turn % copies * bytes..].as_ptr(),
            tensor_type,
            columns: columns as u32,
            x: activations.as_ptr().cast(),
            bias: std::ptr::null(),
            out: out.as_mut_ptr(),
            out_stride: rows as u32,
            tokens: tokens as u32,
            accumulate: 0,
            sums,
        });
        for row in (0..rows).step_by(GRAIN) {
            let slice = Instant::now();
            // SAFETY: The buffers are as long as the shapes say.
            unsafe { (table.run)(&op, row as u32, (row + GRAIN) as u32) };
            slices.push(slice.elapsed());
        }
        turn += 1;
    }
    slices.sort();
    let median = slices[slices.len() / 2].as_secs_f64();
    (median * (rows / GRAIN) as f64, bytes)
}
