// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Texts are encoded with a small vocabulary by every pre-tokenizer, and with one of SentencePiece's;
//! decoded, they are what they were, but for bytes that the vocabulary lacks. Bytes of any kind are put
//! together to text as they come.

#![no_main]

#[path = "../../crates/llamux-engine/tests/common/mod.rs"]
mod common;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use llamux_engine::chat::{Chat, Conversation, Format, Message, Role};
use llamux_engine::gguf::Gguf;
use llamux_engine::tokenizer::{Options, Utf8Assembler, Vocab, Work};

struct Setup {
    vocab: Vocab<'static>,
    /// Of all formats.
    chats: Vec<Chat<'static>>,
    /// Whether the vocabulary has a token for a byte.
    known: [bool; 256],
    /// Whether a space becomes U+2581, and may come in front.
    spaces: bool,
}

impl Setup {
    fn new(file: Vec<u8>, spaces: bool) -> Self {
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
        let chats = Format::ALL.map(|format| Chat::new(&gguf, &vocab, Some(format)).unwrap());
        Setup {
            vocab,
            chats: chats.into(),
            known,
            spaces,
        }
    }
}

fn setups() -> &'static [Setup] {
    static SETUPS: OnceLock<Vec<Setup>> = OnceLock::new();
    SETUPS.get_or_init(|| {
        let bpe = ["gpt-2", "smollm", "qwen2", "llama-bpe"].map(|pre| {
            let (tokens, types) = common::small_tokens();
            let file = common::small_vocabulary(tokens, types);
            let file = file.set("tokenizer.ggml.pre", Some(pre.into()));
            Setup::new(file.build(), false)
        });
        let spm = [0, 1].map(|prefix| {
            let file = common::piece_vocabulary(common::small_pieces());
            let file = file.key(
                "tokenizer.ggml.add_space_prefix",
                common::Meta::Bool(prefix),
            );
            Setup::new(file.build(), true)
        });
        bpe.into_iter().chain(spm).collect()
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

    let setups = setups();
    let setup = &setups[usize::from(mode & 15) % setups.len()];
    let vocab = &setup.vocab;
    let options = Options {
        add_special: false,
        parse_special: mode & 16 != 0,
    };
    let mut scratch = vec![u64::from(mode); Chat::scratch(text.len())];
    let mut out = vec![0; 6 * text.len() + 100];
    let len = vocab
        .encode(&text, options, &mut scratch, &mut out)
        .unwrap();
    let tokens = &out[..len];
    let mut decoded = String::new();
    let mut decoder = vocab.decoder(true);
    for &id in tokens {
        decoder.push(vocab, id, true, |s| decoded.push_str(s));
    }
    decoder.finish(|s| decoded.push_str(s));
    if text.contains("unused") {
        // A token that is out of use has no text.
    } else if setup.spaces {
        // A space also comes behind what is special, and only there.
        let bare = |text: &str| text.replace(['\u{2581}', ' '], "");
        assert_eq!(bare(&decoded), bare(&text));
    } else {
        assert!(len <= text.len());
        let known = |byte: &u8| setup.known[usize::from(*byte)];
        let bytes: Vec<u8> = text.bytes().filter(known).collect();
        assert_eq!(decoded, String::from_utf8_lossy(&bytes));
    }
    if !options.parse_special {
        assert!(!tokens.iter().any(|&id| vocab.is_control(id)));
    }

    // Three turns of the text, in one of the formats, are no more than three turns.
    let chat = &setup.chats[data.len() % setup.chats.len()];
    let messages =
        |text| [Role::User, Role::Assistant, Role::User].map(|role| Message { role, text });
    let tokens_of = |messages: &[&[Message<'_>]]| {
        let mut conversation = Conversation::default();
        let mut scratch = vec![u64::from(mode); Chat::scratch(3 * text.len() + 3)];
        let mut out = vec![0; 18 * text.len() + 500];
        let mut tokens = vec![];
        for &messages in messages {
            let len = chat
                .append(
                    vocab,
                    &mut conversation,
                    messages,
                    false,
                    &mut Work {
                        scratch: &mut scratch,
                        pause: &mut || false,
                    },
                    &mut out,
                )
                .unwrap();
            tokens.extend_from_slice(&out[..len]);
        }
        tokens
    };
    let harmless = tokens_of(&[&messages("x")]);
    let special = |tokens: &[u32]| tokens.iter().filter(|&&id| vocab.is_control(id)).count();
    let [first, second, third] = messages(&text);
    for calls in [
        &[&[first, second, third][..]][..],
        &[&[first], &[second, third]],
    ] {
        assert_eq!(special(&tokens_of(calls)), special(&harmless));
    }
});
