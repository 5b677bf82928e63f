// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The tokenizer: against what llama.cpp made of the same texts, where the vocabulary is at hand,
//! and on small vocabularies that show one thing each.
//!
//! `fixtures/texts.txt` has one text a line, with `\n`, `\t`, `\r` and `\\` escaped. A line of an
//! `.ids` file has the tokens of the text of the same line: as llama.cpp's `llama_tokenize` (version
//! 11434) gives them with `add_special` and `parse_special`, then, behind a bar, with neither.

mod common;

use std::path::PathBuf;

use common::{GgufBuilder, Meta};
use llamux_engine::error::Error;
use llamux_engine::gguf::Gguf;
use llamux_engine::tokenizer::{Options, Vocab};

const PLAIN: Options = Options {
    add_special: false,
    parse_special: false,
};
const SPECIAL: Options = Options {
    add_special: true,
    parse_special: true,
};

fn with_vocab<T>(file: &[u8], test: impl FnOnce(&Vocab<'_>) -> T) -> Result<T, Error> {
    let gguf = Gguf::parse(file)?;
    let mut memory = vec![0x5555_5555; Vocab::plan(&gguf)?];
    Vocab::load(&gguf, &mut memory).map(|vocab| test(&vocab))
}

fn encode(vocab: &Vocab<'_>, text: &str, options: Options) -> Vec<u32> {
    // Neither the scratch memory nor what is behind the output needs to be zero.
    let mut scratch = vec![u64::MAX / 3; Vocab::scratch(text.len())];
    let mut out = vec![0; text.len() + 2];
    let len = vocab.encode(text, options, &mut scratch, &mut out).unwrap();
    out.truncate(len);
    out
}

fn decode(vocab: &Vocab<'_>, ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| vocab.piece(id, true)).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unescape(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next().unwrap() {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '\\' => '\\',
                other => panic!("\\{other}"),
            },
            c => c,
        });
    }
    text
}

fn ids(list: &str) -> Vec<u32> {
    list.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

/// `lossless` is whether the vocabulary has a token for every byte.
fn compare(path: Option<PathBuf>, expected: &str, lossless: bool) {
    let Some(path) = path else {
        return;
    };
    let texts = include_str!("fixtures/texts.txt");
    assert_eq!(texts.lines().count(), expected.lines().count());
    with_vocab(&common::map(&path), |vocab| {
        for (line, expected) in texts.lines().zip(expected.lines()) {
            let text = unescape(line);
            let (special, plain) = expected.split_once('|').unwrap();
            assert_eq!(encode(vocab, &text, SPECIAL), ids(special), "{line}");
            let tokens = encode(vocab, &text, PLAIN);
            assert_eq!(tokens, ids(plain), "{line}");
            if lossless {
                assert_eq!(decode(vocab, &tokens), text);
            }
        }
    })
    .unwrap();
}

fn model(name: &str) -> Option<PathBuf> {
    common::find("LLAMUX_MODELS", ".cache/llamux/models", name)
}

fn vocabulary(name: &str) -> Option<PathBuf> {
    common::find("LLAMUX_VOCABS", ".cache/llamux/llama.cpp/models", name)
}

#[test]
fn smollm_equals_llama_cpp() {
    let expected = include_str!("fixtures/smollm2-135m.ids");
    compare(model("smollm2-135m.gguf"), expected, false);
}

#[test]
fn qwen2_equals_llama_cpp() {
    let expected = include_str!("fixtures/qwen2.5-coder-1.5b.ids");
    compare(model("qwen2.5-coder-1.5b.gguf"), expected, true);
}

#[test]
fn gpt_2_equals_llama_cpp() {
    let expected = include_str!("fixtures/ggml-vocab-gpt-2.ids");
    compare(vocabulary("ggml-vocab-gpt-2.gguf"), expected, true);
}

#[test]
fn llama_bpe_equals_llama_cpp() {
    let expected = include_str!("fixtures/ggml-vocab-llama-bpe.ids");
    compare(vocabulary("ggml-vocab-llama-bpe.gguf"), expected, true);
}

#[test]
fn ends_are_those_of_llama_cpp() {
    for (name, ends) in [
        ("smollm2-135m.gguf", &[0, 2, 4][..]),
        (
            "qwen2.5-coder-1.5b.gguf",
            // The first is "</s>", an ordinary token that llama.cpp takes for one of these.
            &[128247, 151643, 151645, 151662, 151663, 151664],
        ),
    ] {
        let Some(path) = model(name) else {
            continue;
        };
        with_vocab(&common::map(&path), |vocab| {
            let found: Vec<_> = (0..vocab.len() as u32)
                .filter(|&id| vocab.is_end(id))
                .collect();
            assert_eq!(found, ends);
        })
        .unwrap();
    }
}

/// The tokens of the tests below. All ASCII but `$` and `%` is there as a byte.
fn small() -> GgufBuilder {
    let (tokens, types) = common::small_tokens();
    common::small_vocabulary(tokens, types)
}

#[track_caller]
fn check(file: &GgufBuilder, text: &str, options: Options, expected: &[&str]) {
    with_vocab(&file.build(), |vocab| {
        let spelled: Vec<_> = encode(vocab, text, options)
            .iter()
            .map(|&id| String::from_utf8_lossy(vocab.spelling(id).unwrap()).into_owned())
            .collect();
        assert_eq!(spelled, expected, "{text:?}");
    })
    .unwrap();
}

#[test]
fn merges_in_the_order_of_the_file() {
    // "h e", "l l", "he ll", "a b", "b c", "ab c", "Ġ a"
    check(&small(), "hello", PLAIN, &["hell", "o"]);
    check(&small(), "abc", PLAIN, &["abc"]);
    check(&small(), "xbc", PLAIN, &["x", "bc"]);
    check(&small(), "x abc", PLAIN, &["x", "Ġ", "abc"]);
    check(&small(), "x a", PLAIN, &["x", "Ġa"]);
    // Of equal pairs the leftmost.
    check(&small(), "lll", PLAIN, &["ll", "l"]);
    check(&small(), "", PLAIN, &[]);
}

#[test]
fn the_first_of_equal_merges_counts() {
    // "b c" once more, in front of everything else.
    let mut merges = common::small_merges();
    merges.insert(0, b"b c".to_vec());
    let file = small().set("tokenizer.ggml.merges", Some(Meta::Strings(merges)));
    check(&file, "abc", PLAIN, &["a", "bc"]);
}

#[test]
fn ignores_merges_where_the_pre_tokenizer_says_so() {
    let file = small().set("tokenizer.ggml.pre", Some("llama-bpe".into()));
    // "whole" has no merges that make it, and in another word it is nothing.
    check(&file, "whole", PLAIN, &["whole"]);
    check(&file, "wholex", PLAIN, &["w", "h", "o", "l", "e", "x"]);
    check(&small(), "whole", PLAIN, &["w", "h", "o", "l", "e"]);
    // It also asks for the token at the beginning, which a key can refuse.
    check(&file, "x", SPECIAL, &["<s>", "x"]);
    let file = file.key("tokenizer.ggml.add_bos_token", Meta::Bool(0));
    check(&file, "x", SPECIAL, &["x"]);
}

#[test]
fn adds_the_tokens_for_beginning_and_end() {
    let file = small()
        .key("tokenizer.ggml.add_bos_token", Meta::Bool(1))
        .key("tokenizer.ggml.add_eos_token", Meta::Bool(1));
    check(&file, "x", SPECIAL, &["<s>", "x", "<|im_end|>"]);
    check(&file, "", SPECIAL, &["<s>", "<|im_end|>"]);
    check(&file, "x", PLAIN, &["x"]);
}

#[test]
fn finds_special_tokens_longest_first() {
    let file = small();
    check(
        &file,
        "a<|im_start|>b<|im_end|><|im_end|>",
        SPECIAL,
        &["a", "<|im_start|>", "b", "<|im_end|>", "<|im_end|>"],
    );
    // "--->" is longer than "<--", and so goes first though it begins later.
    check(&file, "<----->", SPECIAL, &["<--", "--->"]);
    check(&file, "<--->", SPECIAL, &["<", "--->"]);
    // Without leave, a control token in the text is text; one that the user defined is not.
    let spelled = encode_spelled(&file, "<|im_end|>--->");
    assert!(!spelled.contains(&"<|im_end|>".to_string()), "{spelled:?}");
    assert_eq!(spelled.last().unwrap(), "--->");
}

fn encode_spelled(file: &GgufBuilder, text: &str) -> Vec<String> {
    with_vocab(&file.build(), |vocab| {
        encode(vocab, text, PLAIN)
            .iter()
            .map(|&id| String::from_utf8_lossy(vocab.spelling(id).unwrap()).into_owned())
            .collect()
    })
    .unwrap()
}

#[test]
fn bytes_without_a_token_are_left_out() {
    check(&small(), "a$b%c", PLAIN, &["a", "b", "c"]);
    check(&small(), "$%", PLAIN, &[]);
}

#[test]
fn pieces_are_bytes() {
    with_vocab(&small().build(), |vocab| {
        let piece = |text: &str, control| -> Vec<u8> {
            vocab.piece(vocab.find(text).unwrap(), control).collect()
        };
        assert_eq!(piece("Ġa", false), b" a");
        assert_eq!(piece("Ċ", false), b"\n");
        assert_eq!(piece("é漢", false), b"\xe9\xe6\xbc\xa2");
        assert_eq!(piece("--->", false), b"--->");
        assert_eq!(piece("<|im_end|>", false), b"");
        assert_eq!(piece("<|im_end|>", true), b"<|im_end|>");
        assert_eq!(piece("unused", true), b"");
        assert_eq!(vocab.piece(u32::MAX, true).count(), 0);
        let end = vocab.find("<|im_end|>").unwrap();
        assert!(vocab.is_end(end) && vocab.is_control(end));
        assert_eq!(vocab.eos(), Some(end));
        assert!(!vocab.is_end(u32::MAX));
    })
    .unwrap();
}

#[test]
fn says_how_many_tokens_did_not_fit() {
    with_vocab(&small().build(), |vocab| {
        let mut scratch = vec![0; Vocab::scratch(5)];
        let mut out = [7; 4];
        assert_eq!(
            vocab.encode("xyzxy", PLAIN, &mut scratch, &mut out[..3]),
            Err(Error::Context { need: 5, have: 3 })
        );
        assert_eq!(out[3], 7);
    })
    .unwrap();
}

#[test]
fn refuses_a_text_that_is_too_long_for_the_scratch_memory() {
    with_vocab(&small().build(), |vocab| {
        let mut scratch = vec![0; Vocab::scratch(100)];
        let mut out = [0; 200];
        let text = "x".repeat(200);
        let mut encode = |len: usize| vocab.encode(&text[..len], PLAIN, &mut scratch, &mut out);
        assert_eq!(encode(100), Ok(100));
        assert_eq!(
            encode(101),
            Err(Error::PromptLength {
                need: 101,
                have: 100
            })
        );
    })
    .unwrap();
}

#[test]
fn long_words_take_no_quadratic_time() {
    // Were it quadratic, this would take minutes.
    let text = "abcab".repeat(200_000);
    let file = small().build();
    let start = std::time::Instant::now();
    with_vocab(&file, |vocab| {
        assert_eq!(encode(vocab, &text, PLAIN).len(), 400_000);
    })
    .unwrap();
    assert!(start.elapsed().as_secs() < 30);
}

#[track_caller]
fn refused(file: &GgufBuilder) -> Error {
    with_vocab(&file.build(), |_| ()).unwrap_err()
}

#[test]
fn refuses_what_is_missing_or_unknown() {
    for key in [
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges",
    ] {
        assert_eq!(
            refused(&small().set(key, None)),
            Error::Missing {
                what: "key",
                name: key.into()
            }
        );
        assert!(matches!(
            refused(&small().set(key, Some(Meta::U32(1)))),
            Error::KeyType { key: k, found: "u32", .. } if k == key.into()
        ));
    }
    assert_eq!(
        refused(&small().set("tokenizer.ggml.model", Some("bert".into()))),
        Error::Unsupported {
            what: "tokenizer",
            name: "bert".into()
        }
    );
    assert_eq!(
        refused(&small().set("tokenizer.ggml.pre", Some("tekken".into()))),
        Error::Unsupported {
            what: "pre-tokenizer",
            name: "tekken".into()
        }
    );
    let types = Meta::Array(4, 1, vec![0; 4]);
    assert!(matches!(
        refused(&small().set("tokenizer.ggml.token_type", Some(types))),
        Error::KeyType { .. }
    ));
    let file = small()
        .set("tokenizer.ggml.bos_token_id", None)
        .key("tokenizer.ggml.add_bos_token", Meta::Bool(1));
    assert_eq!(
        refused(&file),
        Error::Missing {
            what: "key",
            name: "tokenizer.ggml.bos_token_id".into()
        }
    );
}

#[test]
fn refuses_tables_that_do_not_agree() {
    assert_eq!(
        refused(&small().set("tokenizer.ggml.tokens", Some(Meta::Strings(vec![])))),
        Error::Invalid {
            what: "number of tokens",
            name: "tokenizer.ggml.tokens".into(),
            value: 0,
            expected: "at least 1"
        }
    );
    let (mut tokens, types) = common::small_tokens();
    let n = tokens.len() as u64;
    assert!(matches!(
        refused(&common::small_vocabulary(tokens.clone(), types[1..].to_vec())),
        Error::Invalid { what: "number of types", value, .. } if value == n - 1
    ));
    tokens[20] = tokens[10].clone();
    assert_eq!(
        refused(&common::small_vocabulary(tokens.clone(), types.clone())),
        Error::Duplicate {
            what: "token",
            name: (&*String::from_utf8_lossy(&tokens[10])).into()
        }
    );
    for merge in ["a z", "q a", "nospace", "", " ", "x y"] {
        let mut merges = common::small_merges();
        merges.push(merge.into());
        assert!(matches!(
            refused(&small().set("tokenizer.ggml.merges", Some(Meta::Strings(merges)))),
            Error::Invalid { name, value: 7, .. } if name == "tokenizer.ggml.merges".into()
        ));
    }
    for key in ["tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"] {
        assert_eq!(
            refused(&small().set(key, Some(Meta::U32(n as u32)))),
            Error::Limit {
                what: "value",
                name: key.into(),
                value: n,
                limit: n - 1
            }
        );
    }
}

#[test]
fn refuses_too_little_memory() {
    let file = small().build();
    let gguf = Gguf::parse(&file).unwrap();
    let need = Vocab::plan(&gguf).unwrap();
    let mut memory = vec![0; need - 1];
    let error = Vocab::load(&gguf, &mut memory).map(|_| ()).unwrap_err();
    assert_eq!(
        error,
        Error::Memory {
            need: 4 * need as u64,
            have: 4 * (need as u64 - 1)
        }
    );
}
