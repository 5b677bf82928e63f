// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Texts are encoded with a small vocabulary by every pre-tokenizer; decoded, they are what they
//! were, but for bytes that the vocabulary lacks. Bytes of any kind are put together to text as they
//! come.

#![no_main]

#[path = "../../crates/llamux-engine/tests/common/mod.rs"]
mod common;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use llamux_engine::chat::{Chat, Turn};
use llamux_engine::gguf::Gguf;
use llamux_engine::tokenizer::{Options, Utf8Assembler, Vocab};

struct Setup {
    vocab: Vocab<'static>,
    chat: Chat<'static>,
    /// Whether the vocabulary has a token for a byte.
    known: [bool; 256],
}

fn setups() -> &'static [Setup] {
    static SETUPS: OnceLock<Vec<Setup>> = OnceLock::new();
    SETUPS.get_or_init(|| {
        ["gpt-2", "smollm", "qwen2", "llama-bpe"]
            .map(|pre| {
                let (tokens, types) = common::small_tokens();
                let file = common::small_vocabulary(tokens, types)
                    .set("tokenizer.ggml.pre", Some(pre.into()))
                    .build();
                let gguf = Gguf::parse(file.leak()).unwrap();
                let memory = vec![0; Vocab::plan(&gguf).unwrap()].leak();
                let vocab = Vocab::load(&gguf, memory).unwrap();
                let mut known = [false; 256];
                for id in 0..vocab.len() as u32 {
                    let piece: Vec<u8> = vocab.piece(id, false).collect();
                    if let [byte] = piece[..] {
                        known[usize::from(byte)] = true;
                    }
                }
                let chat = Chat::recognise(&gguf, &vocab).unwrap();
                Setup { vocab, chat, known }
            })
            .into()
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&mode, data)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(data);

    let mut assembler = Utf8Assembler::default();
    let mut assembled = String::new();
    for piece in data.chunks(1 + usize::from(mode >> 4)) {
        assembler.push(piece.iter().copied(), |s| assembled.push_str(s));
    }
    assembler.finish(|s| assembled.push_str(s));
    assert_eq!(assembled, text);

    let setup = &setups()[usize::from(mode % 4)];
    let vocab = &setup.vocab;
    let options = Options {
        add_special: false,
        parse_special: mode & 4 != 0,
    };
    let mut scratch = vec![u64::from(mode); Chat::scratch(text.len())];
    let mut out = vec![0; text.len() + 100];
    let len = vocab
        .encode(&text, options, &mut scratch, &mut out)
        .unwrap();
    assert!(len <= text.len());
    let decoded: Vec<u8> = out[..len]
        .iter()
        .flat_map(|&id| vocab.piece(id, true))
        .collect();
    let known = |byte: &u8| setup.known[usize::from(*byte)];
    assert!(decoded.iter().copied().eq(text.bytes().filter(known)));
    if !options.parse_special {
        assert!(!out[..len].iter().any(|&id| vocab.is_control(id)));
    }

    let ends = |tokens: &[u32]| tokens.iter().filter(|&&id| vocab.is_end(id)).count();
    let len = setup
        .chat
        .encode(vocab, Turn::First, &text, &mut scratch, &mut out)
        .unwrap();
    assert_eq!(ends(&out[..len]), 1);
});
