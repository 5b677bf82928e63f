// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Weights that get another type in the memory that their file is in.

mod common;

use common::{kernels, options, tiny, Aligned};
use llamux_abi::TensorType;
use llamux_engine::gguf::{requantize, requantized_bytes, Gguf, Requantized};
use llamux_engine::math::{block, Executor, Job, Matrix};
use llamux_engine::{quantization, Engine, Error, Plan, Run};
use llamux_host::pool::Pool;

fn in_place(file: &mut [u8], to: TensorType, scratch: usize) -> Result<Requantized, Error> {
    let logits = quantization::logits(&Gguf::parse(file).unwrap());
    let pool = Pool::new(1).unwrap();
    let mut run = Run {
        kernels: kernels(),
        executor: &pool,
        stop: &mut || false,
    };
    requantize(file, to, logits, &mut vec![0x5a; scratch], &mut run)
}

/// What a tensor should become.
fn converted(data: &[u8], from: TensorType, to: TensorType, columns: u64) -> Vec<u8> {
    let pool = Pool::new(1).unwrap();
    let size = block(from);
    let weights = data.len() / size.bytes as usize * size.weights as usize;
    let (columns, rows) = (columns as u32, (weights as u64 / columns) as u32);
    let convert = |data: &[u8], from, to| {
        let mut out = vec![0; weights / block(to).weights as usize * block(to).bytes as usize];
        let matrix = Matrix::new(data, from, rows, columns).unwrap();
        pool.execute(&[Job::convert(kernels(), matrix, to, &mut out).unwrap()]);
        out
    };
    let floats = convert(data, from, TensorType::F32);
    convert(&floats, TensorType::F32, to)
}

#[test]
fn every_matrix_that_is_larger_gets_the_type() {
    let before = tiny()
        .key("general.file_type", common::gguf::Meta::U32(1))
        .build();
    let old = Gguf::parse(&before).unwrap();
    for name in quantization::names() {
        let to = quantization::named(name).unwrap();
        let mut file = before.clone();
        let logits = quantization::logits(&old);
        let bytes = requantized_bytes(&file, to, logits).unwrap();
        // Some rows at a time, and the last few.
        let done = in_place(&mut file, to, 20_000).unwrap();
        assert_eq!(done.bytes, bytes, "{name}");
        file.truncate(done.bytes);
        let new = Gguf::parse(&file).unwrap();
        assert_eq!(new.tensors().count(), old.tensors().count());
        let mut changed = 0;
        for (old, new) in old.tensors().zip(new.tensors()) {
            assert_eq!(
                (old.name(), old.dimensions()),
                (new.name(), new.dimensions())
            );
            let from = old.tensor_type().unwrap();
            let columns = old.dimensions()[0];
            let wanted = quantization::for_matrix(to, columns, old.name() == b"token_embd.weight");
            if quantization::is_matrix(&old) && quantization::is_smaller(wanted, from) {
                changed += 1;
                assert_eq!(new.tensor_type(), Ok(wanted), "{name}: {}", old.label());
                let expected = converted(old.data(), from, wanted, columns);
                assert_eq!(new.data(), expected, "{name}: {}", old.label());
            } else {
                assert_eq!(new.type_number(), old.type_number());
                assert_eq!(new.data(), old.data(), "{name}: {}", old.label());
            }
        }
        assert_eq!(done.tensors, changed);
        assert_eq!(changed > 0, done.bytes < before.len(), "{name}");
        let claim = new.u32("general.file_type").unwrap();
        assert_eq!(claim, 1024, "it does not know");
    }
}

#[test]
fn what_was_requantized_can_be_asked() {
    let mut file = tiny().build();
    let whole = file.len();
    let done = in_place(&mut file, TensorType::Q4_0, 1 << 20).unwrap();
    assert!(done.bytes < whole && done.tensors > 0);
    let file = Aligned::new(&file[..done.bytes]);
    let plan = Plan::new(file.bytes(), &options()).unwrap();
    let mut arena = vec![0xa5; plan.arena_bytes()];
    let pool = Pool::new(1).unwrap();
    let loaded = Engine::load(file.bytes(), &mut arena, &options(), kernels(), &pool);
    let mut engine = loaded.unwrap();
    engine.extend(&[1, 2, 3], &pool).unwrap();
}

#[test]
fn refuses_what_no_type_can_hold() {
    let matrix = |weight: f32| {
        let data = weight.to_le_bytes().repeat(512);
        let file = common::gguf::GgufBuilder::default();
        file.tensor("a.weight", 0, &[256, 2], &data).build()
    };
    assert_eq!(
        in_place(&mut matrix(65504.0), TensorType::F16, 8192)
            .unwrap()
            .tensors,
        1
    );
    for (weight, to) in [
        (f32::NAN, TensorType::BF16),
        (f32::INFINITY, TensorType::Q8_0),
        (-65505.0, TensorType::F16),
    ] {
        let end = in_place(&mut matrix(weight), to, 8192);
        assert!(
            matches!(end, Err(Error::Invalid { .. })),
            "{weight} {to:?} {end:?}"
        );
    }
    // A row of 1024 bytes has to fit into half of the scratch memory.
    let end = in_place(&mut matrix(1.0), TensorType::F16, 2047);
    assert!(
        matches!(end, Err(Error::Limit { limit: 255, .. })),
        "{end:?}"
    );
    assert!(in_place(&mut matrix(1.0), TensorType::F16, 2048).is_ok());
}
