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
use llamux_engine::tokenizer::{Options, Vocab, Work};

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
    let mut decoder = vocab.decoder(true);
    let mut text = String::new();
    for &id in ids {
        decoder.push(vocab, id, true, |s| text.push_str(s));
    }
    decoder.finish(|s| text.push_str(s));
    text
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
                // To SentencePiece, U+2581 is a space.
                let spaced = |text: &str| text.replace('\u{2581}', " ");
                assert_eq!(spaced(&decode(vocab, &tokens)), spaced(&text));
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
fn qwen2_vocabulary_equals_llama_cpp() {
    let expected = include_str!("fixtures/ggml-vocab-qwen2.ids");
    compare(vocabulary("ggml-vocab-qwen2.gguf"), expected, true);
}

#[test]
fn llama_spm_equals_llama_cpp() {
    let expected = include_str!("fixtures/ggml-vocab-llama-spm.ids");
    compare(vocabulary("ggml-vocab-llama-spm.gguf"), expected, true);
}

/// llama.cpp's own test texts lie beside its vocabularies, with their tokens.
#[test]
fn texts_of_llama_cpp_have_their_tokens() {
    for name in [
        "llama-spm",
        "phi-3",
        "llama-bpe",
        "qwen2",
        "gpt-2",
        "refact",
        "starcoder",
    ] {
        let Some(path) = vocabulary(&format!("ggml-vocab-{name}.gguf")) else {
            continue;
        };
        let beside = |end: &str| std::fs::read_to_string(path.with_extension(end)).unwrap();
        let (texts, tokens) = (beside("gguf.inp"), beside("gguf.out"));
        let texts: Vec<_> = texts.split("\n__ggml_vocab_test__\n").collect();
        let tokens: Vec<_> = tokens.lines().collect();
        assert!(texts.len() > 40 && tokens.len() >= texts.len() - 1);
        with_vocab(&common::map(&path), |vocab| {
            for (text, expected) in texts.iter().zip(tokens) {
                assert_eq!(encode(vocab, text, PLAIN), ids(expected), "{name} {text:?}");
            }
        })
        .unwrap();
    }
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

fn pieces() -> GgufBuilder {
    common::piece_vocabulary(common::small_pieces())
}

#[test]
fn merges_by_score() {
    let file = pieces().key("tokenizer.ggml.add_space_prefix", Meta::Bool(0));
    // "bc" has a higher score than "ab", and "abc" comes of it.
    check(&file, "abc", PLAIN, &["abc"]);
    check(&file, "abx", PLAIN, &["ab", "x"]);
    // "▁a" is higher than "ab", but "bc" is higher still.
    check(&file, " ab", PLAIN, &["▁a", "b"]);
    check(&file, " abc", PLAIN, &["▁", "abc"]);
    // Of equal scores the leftmost, and one token may merge on.
    check(&file, "llllll", PLAIN, &["ll", "ll", "ll"]);
    check(&file, "lllll", PLAIN, &["ll", "lll"]);
    check(&file, "é漢", PLAIN, &["é漢"]);
    check(&file, "", PLAIN, &[]);
}

#[test]
fn a_space_comes_first_and_behind_special_tokens() {
    let file = pieces();
    check(&file, "a", PLAIN, &["▁a"]);
    check(&file, " a", PLAIN, &["▁", "▁a"]);
    check(&file, "b a", PLAIN, &["▁", "b", "▁a"]);
    check(&file, "", PLAIN, &[]);
    check(
        &file,
        "a<turn>a<--a",
        SPECIAL,
        &["<s>", "▁a", "<turn>", "▁a", "<--", "▁a"],
    );
    check(&file, "<turn><turn>", SPECIAL, &["<s>", "<turn>", "<turn>"]);
}

#[test]
fn what_is_no_token_becomes_bytes() {
    let file = pieces().key("tokenizer.ggml.add_space_prefix", Meta::Bool(0));
    check(&file, "a\n", PLAIN, &["a", "<0x0A>"]);
    check(&file, "漢字", PLAIN, &["漢", "<0xE5>", "<0xAD>", "<0x97>"]);
    // A byte's token may be the byte itself, and one without any is left out.
    let mut pieces = common::small_pieces();
    pieces[3 + 10].0 = b"\n".to_vec();
    pieces[3 + 13].0 = b"gone".to_vec();
    let file = common::piece_vocabulary(pieces);
    check(&file, "a\r\n", PLAIN, &["▁a", "\n"]);
}

#[test]
fn control_tokens_do_not_come_out_of_merges() {
    check(&pieces(), "</s>", PLAIN, &["▁", "</s", ">"]);
    check(&pieces(), "</s>", SPECIAL, &["<s>", "</s>"]);
}

#[test]
fn pieces_become_the_text_again() {
    with_vocab(&pieces().build(), |vocab| {
        assert_eq!((vocab.bos(), vocab.eos()), (Some(1), Some(2)));
        assert!(vocab.add_bos() && vocab.is_end(2));
        for text in ["", "a", " a  b ", "漢字\n", "b--->", "</s>x"] {
            assert_eq!(decode(vocab, &encode(vocab, text, PLAIN)), text);
        }
        // In the midst of a text, the space is the text's own.
        let mut text = String::new();
        let mut decoder = vocab.decoder(false);
        for id in encode(vocab, "a", PLAIN) {
            decoder.push(vocab, id, false, |s| text.push_str(s));
        }
        assert_eq!(text, " a");
        // A byte waits for those that complete its character.
        let byte = |text: &str| vocab.find(text).unwrap();
        let mut decoder = vocab.decoder(true);
        let mut text = String::new();
        for id in [1, byte("<0xE5>"), byte("<0xAD>")] {
            decoder.push(vocab, id, false, |s| text.push_str(s));
        }
        assert_eq!(text, "");
        decoder.push(vocab, byte("<0x97>"), false, |s| text.push_str(s));
        assert_eq!(text, "字");
    })
    .unwrap();
}

#[test]
fn what_goes_on_behind_others_has_no_space_in_front() {
    let check = |file: &GgufBuilder, text: &str, expected: &[&str]| {
        with_vocab(&file.build(), |vocab| {
            let mut scratch = vec![0; Vocab::scratch(text.len())];
            let mut out = vec![0; 6 * text.len() + 6];
            let count = vocab.encode_behind(text, &mut scratch, &mut out).unwrap();
            let tokens = &out[..count];
            let spelled: Vec<_> = tokens
                .iter()
                .map(|&id| String::from_utf8_lossy(vocab.spelling(id).unwrap()))
                .collect();
            assert_eq!(spelled, expected, "{text:?}");
            let bytes: Vec<u8> = tokens
                .iter()
                .flat_map(|&id| vocab.piece(id, false))
                .collect();
            assert_eq!(bytes, text.as_bytes());
        })
        .unwrap();
    };
    check(&pieces(), "abc", &["abc"]);
    check(&pieces(), " abc a", &["▁", "abc", "▁a"]);
    check(&pieces(), "", &[]);
    // Not even behind a token that the user defined.
    check(&pieces(), "a--->b", &["a", "--->", "b"]);
    check(&small(), "a--->b", &["a", "--->", "b"]);
}

#[test]
fn pairs_that_come_and_go_stay_within_the_memory() {
    // With each merge of "a"s, another pair of the same score in front of them replaces the last.
    let mut pieces = common::small_pieces();
    for n in 2..=300 {
        pieces.push((vec![b'p'; n], 1, n as f32));
    }
    for n in 1..=300 {
        pieces.push((
            format!("q{}", "p".repeat(n)).into_bytes(),
            1,
            -100.0 - (n % 2) as f32,
        ));
    }
    let file = common::piece_vocabulary(pieces).build();
    let text = format!("q{}", "p".repeat(299)).repeat(50);
    with_vocab(&file, |vocab| {
        let tokens = encode(vocab, &text, PLAIN);
        assert_eq!(tokens.len(), 51);
        assert_eq!(decode(vocab, &tokens), text);
    })
    .unwrap();
}

#[test]
fn long_texts_take_no_quadratic_time() {
    let text = "abc lll é漢字".repeat(60_000);
    let start = std::time::Instant::now();
    with_vocab(&pieces().build(), |vocab| {
        assert_eq!(decode(vocab, &encode(vocab, &text, PLAIN)), text);
    })
    .unwrap();
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn refuses_scores_that_are_not_there() {
    let name = "tokenizer.ggml.scores";
    assert_eq!(
        refused(&pieces().set(name, None)),
        Error::Missing {
            what: "key",
            name: name.into()
        }
    );
    let count = common::small_pieces().len();
    let scores = |scores| pieces().set(name, Some(Meta::F32s(scores)));
    assert!(matches!(
        refused(&scores(vec![0.0; count - 1])),
        Error::Invalid { what: "number of scores", value, .. } if value == count as u64 - 1
    ));
    let mut wrong = vec![0.0; count];
    wrong[2] = f32::NAN;
    assert!(matches!(
        refused(&scores(wrong)),
        Error::Invalid { what: "bits of a score", name, .. } if name == "</s>".into()
    ));
    let integers = Meta::I32s(vec![0; count]);
    assert!(matches!(
        refused(&pieces().set(name, Some(integers))),
        Error::KeyType { .. }
    ));
}

#[test]
fn refuses_a_piece_that_is_too_long() {
    let with_piece = |len: usize| {
        let mut pieces = common::small_pieces();
        pieces.push((vec![b'z'; len], 1, 0.0));
        common::piece_vocabulary(pieces)
    };
    assert!(matches!(
        refused(&with_piece(1025)),
        Error::Limit {
            what: "length of a token",
            value: 1025,
            limit: 1024,
            ..
        }
    ));
    assert!(with_vocab(&with_piece(1024).build(), |_| ()).is_ok());
}

#[test]
fn pauses_and_gives_up_when_told_to() {
    for file in [small(), pieces()] {
        with_vocab(&file.build(), |vocab| {
            let text = "abc ab--->lll ".repeat(5000);
            let mut scratch = vec![0; Vocab::scratch(text.len())];
            let mut out = vec![0; 2 * text.len()];
            let mut encode = |most: usize| {
                let mut pauses = 0;
                let result = vocab.encode_with(
                    &text,
                    PLAIN,
                    &mut Work {
                        scratch: &mut scratch,
                        pause: &mut || {
                            pauses += 1;
                            pauses > most
                        },
                    },
                    &mut out,
                );
                (result, pauses)
            };
            let (result, pauses) = encode(usize::MAX);
            let len = result.unwrap();
            assert!(pauses > 50 && len > 5000);
            for most in [0, 1, pauses / 2, pauses - 1] {
                assert_eq!(encode(most), (Err(Error::Interrupted), most + 1));
            }
            assert_eq!(encode(pauses), (Ok(len), pauses));
        })
        .unwrap();
    }
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
