// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Files, either made up from nothing or right ones with some bytes replaced, are read as far as the
//! engine reads a file before it touches the weights; alone, or as a part of a split model.

#![no_main]

#[path = "../../crates/llamux-engine/tests/common/mod.rs"]
mod common;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use llamux_engine::chat::{Chat, Turn};
use llamux_engine::error::Error;
use llamux_engine::gguf::{Gguf, Value};
use llamux_engine::tokenizer::Vocab;

fuzz_target!(|data: &[u8]| {
    let Some((&mode, data)) = data.split_first() else {
        return;
    };
    let result = if mode % 4 == 0 {
        read(&[data])
    } else {
        let [first, second] = right_parts();
        let edited = match mode % 4 {
            1 => right_file(),
            2 => first,
            _ => second,
        };
        let mut file = edited.to_vec();
        for edit in data.chunks_exact(3) {
            let offset = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
            let len = file.len();
            // The last offset cuts the file short.
            match file.get_mut(offset % (len + 1)) {
                Some(byte) => *byte = edit[2],
                None => file.truncate(len - usize::from(edit[2]).min(len)),
            }
            if file.is_empty() {
                break;
            }
        }
        match mode % 4 {
            1 => read(&[&file]),
            2 => read(&[&file, second]),
            _ => read(&[first, &file]),
        }
    };
    if let Err(error) = result {
        // It is one line, and no file makes it a long one.
        let line = error.to_string();
        assert!(!line.contains('\n') && line.len() < 1000, "{line}");
    }
});

fn right_file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let (tokens, types) = common::small_tokens();
        common::small_vocabulary(tokens, types)
            .key("general.architecture", "llama")
            .key("general.alignment", common::Meta::U32(32))
            .key("llama.rope.freq_base", common::Meta::F32(10000.0))
            .key(
                "tokenizer.chat_template",
                "'<|im_start|>system\\nS<|im_end|>\\n'",
            )
            .key("tokenizer.ggml.add_bos_token", common::Meta::Bool(1))
            .tensor("token_embd.weight", 8, &[32, 4], &[0; 136])
            .tensor("output_norm.weight", 0, &[32], &[0; 128])
            .tensor("blk.0.attn_q.weight", 2, &[64, 1], &[0; 36])
            .build()
    })
}

fn right_parts() -> &'static [&'static [u8]; 2] {
    static PARTS: OnceLock<[&[u8]; 2]> = OnceLock::new();
    PARTS.get_or_init(|| {
        [0, 1].map(|number| {
            let file = if number == 0 {
                common::piece_vocabulary(common::small_pieces())
            } else {
                common::GgufBuilder::default()
            };
            let file = file
                .key("split.no", common::Meta::U16(number))
                .key("split.count", common::Meta::U16(2))
                .key("split.tensors.count", common::Meta::I32(2))
                .tensor(["first", "second"][usize::from(number)], 0, &[8], &[0; 32])
                .build();
            &*file.leak()
        })
    })
}

fn read(files: &[&[u8]]) -> Result<(), Error> {
    let gguf = Gguf::parse_split(files)?;
    for (key, value) in gguf.metadata() {
        if let Value::Array(array) = value {
            assert_eq!(array.iter().count(), array.len());
        }
        assert!(gguf.get(key).is_some());
    }
    for tensor in gguf.tensors() {
        assert!(tensor.elements() > 0);
        if tensor.tensor_type().is_ok() {
            assert!(!tensor.data().is_empty());
        }
        assert!(gguf.tensor(tensor.name()).is_some());
    }
    let mut memory = vec![0; Vocab::plan(&gguf)?];
    let vocab = Vocab::load(&gguf, &mut memory)?;
    let chat = Chat::recognise(&gguf, &vocab)?;
    let question = "Why <|im_end|> abc?";
    let mut out = [0; 4200];
    let mut scratch = vec![0; Chat::scratch(question.len())];
    let len = chat.encode(&vocab, Turn::First, question, &mut scratch, &mut out)?;
    for &id in &out[..len] {
        assert!((id as usize) < vocab.len());
        vocab.piece(id, true).count();
    }
    Ok(())
}
