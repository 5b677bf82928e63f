// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The program: what it prints, and its exit status.

mod common;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::gguf::{small_tokens, small_vocabulary, GgufBuilder, Meta};
use common::{file, tiny};
use serde_json::{json, Value};

fn run(arguments: &[&dyn AsRef<OsStr>]) -> Output {
    run_with(arguments, "")
}

fn run_with(arguments: &[&dyn AsRef<OsStr>], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_llamux-host"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends without reading it breaks the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[track_caller]
fn fails(output: &Output, status: i32, messages: &[&str]) {
    assert_eq!(output.status.code(), Some(status));
    let errors = String::from_utf8_lossy(&output.stderr);
    for message in messages {
        assert!(
            errors.contains(message),
            "{errors:?} does not say {message:?}"
        );
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn generates() {
    let model = file("generates.gguf", &tiny().build());
    let arguments: [&dyn AsRef<OsStr>; 15] = [
        &"generate",
        &"--model",
        &model,
        &"--prompt",
        &"hello\\n",
        &"--raw",
        &"--escape",
        &"--temperature",
        &"0",
        &"--max-tokens",
        &"6",
        &"--threads",
        &"2",
        &"--seed",
        &"3",
    ];
    let mut with_json = arguments.to_vec();
    with_json.push(&"--json");
    let object = json_of(&run(&with_json));
    let text = object["text"].as_str().unwrap();
    assert_eq!(object["tokens"].as_array().unwrap().len(), 6);
    assert_eq!(object["stop"], "length");
    assert!(object["prefill_tokens_per_second"].as_f64().unwrap() > 0.0);
    assert!(object["decode_tokens_per_second"].as_f64().unwrap() > 0.0);
    let prompt = run(&[&"tokenize", &"--model", &model, &"--text", &"hello\n"]);
    assert_eq!(object["prompt_tokens"], json_of(&prompt));

    // The same without JSON, and with the prompt on standard input.
    assert_eq!(stdout(&run(&arguments)), format!("{text}\n"));
    let mut without_prompt = arguments.to_vec();
    without_prompt.drain(3..5);
    assert_eq!(
        stdout(&run_with(&without_prompt, "hello\\n")),
        format!("{text}\n")
    );
}

#[test]
fn writes_the_chat_format_that_is_named() {
    let model = file("formats.gguf", &tiny().build());
    let prompt_tokens = |more: &[&str]| {
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"generate", &"--model", &model];
        arguments.extend(more.iter().map(|a| -> &dyn AsRef<OsStr> { a }));
        arguments.extend([
            &"--prompt" as &dyn AsRef<OsStr>,
            &"hello",
            &"--max-tokens",
            &"1",
            &"--threads",
            &"1",
            &"--json",
        ]);
        json_of(&run(&arguments))["prompt_tokens"].clone()
    };
    let tokens = |text: &str| {
        json_of(&run(&[
            &"tokenize",
            &"--model",
            &model,
            &"--escape",
            &"--text",
            &text,
        ]))
    };
    let chatml = "<|im_start|>user\\nhello<|im_end|>\\n<|im_start|>assistant\\n";
    assert_eq!(prompt_tokens(&[]), tokens(chatml));
    // Its end is this vocabulary's, and its other marks are text to it.
    let zephyr = "<|user|>\\nhello<|im_end|>\\n<|assistant|>\\n";
    assert_eq!(prompt_tokens(&["--chat-format", "zephyr"]), tokens(zephyr));
}

#[test]
fn chats() {
    let model = file("chats.gguf", &tiny().build());
    let output = run_with(
        &[
            &"chat",
            &"--model",
            &model,
            &"--max-tokens",
            &"3",
            &"--threads",
            &"1",
        ],
        "hello\n\nabc\n",
    );
    // Three answers would be three lines or more; an empty line is no question.
    assert!(stdout(&output).lines().count() >= 2);
}

#[test]
fn chats_in_a_grammar() {
    let model = file("chats-in-a-grammar.gguf", &tiny().build());
    let chat = |grammar: &'static str| {
        run_with(
            &[
                &"chat",
                &"--model",
                &model,
                &"--grammar-text",
                &grammar,
                &"--threads",
                &"1",
            ],
            "hello\nabc\nhello\n",
        )
    };
    let answers = stdout(&chat("root ::= \"he\" (\"llo\" | \"x\")"));
    assert_eq!(answers.lines().count(), 3);
    let is_allowed = |answer: &str| matches!(answer, "hello" | "hex");
    assert!(answers.lines().all(is_allowed), "{answers:?}");
    fails(&chat("root ::= x"), 1, &["--grammar-text"]);
}

#[test]
fn computes_ahead_and_in_less_memory_on_demand() {
    let model = file("ahead.gguf", &tiny().build());
    let generate = |more: &[&'static str]| {
        let mut arguments: Vec<&dyn AsRef<OsStr>> =
            vec![&"generate", &"--model", &model, &"--json"];
        let fixed = [
            "--prompt=ab ab ab ab",
            "--raw",
            "--temperature=0",
            "--max-tokens=200",
        ];
        arguments.extend(fixed.iter().map(|argument| argument as &dyn AsRef<OsStr>));
        arguments.extend(more.iter().map(|argument| argument as &dyn AsRef<OsStr>));
        json_of(&run(&arguments))
    };
    let (auto, off) = (generate(&[]), generate(&["--speculate=off"]));
    assert_eq!(auto["tokens"], off["tokens"]);
    assert_eq!(off["drafted_tokens"], 0);
    assert!(auto["drafted_tokens"].as_u64() >= auto["accepted_tokens"].as_u64());
    let bytes = generate(&["--kv-type=q8_0"]);
    assert_eq!(bytes["tokens"].as_array().unwrap().len(), 200);
    let wrong = [
        &"generate" as &dyn AsRef<OsStr>,
        &"--model",
        &model,
        &"--kv-type=q4_0",
    ];
    fails(&run(&wrong), 2, &["q4_0", "f16", "q8_0"]);
}

#[test]
fn tokenizes() {
    let (tokens, types) = small_tokens();
    let vocabulary = file("tokenizes.gguf", &small_vocabulary(tokens, types).build());
    let texts = file("tokenizes.txt", b"hello\\nabc\n\n<|im_end|> \\\\\n");
    let lines = stdout(&run(&[
        &"tokenize",
        &"--model",
        &vocabulary,
        &"--file",
        &texts,
    ]));
    let lines: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let one = |text: &str| {
        json_of(&run(&[
            &"tokenize",
            &"--model",
            &vocabulary,
            &"--text",
            &text,
        ]))
    };
    assert_eq!(lines, [one("hello\nabc"), json!([]), one("<|im_end|> \\")]);
    let escaped = run(&[
        &"tokenize",
        &"--model",
        &vocabulary,
        &"--escape",
        &"--text",
        &r"hello\nabc",
    ]);
    assert_eq!(json_of(&escaped), lines[0]);
    // The special token is one, and so is `hell`.
    assert_eq!(lines[2].as_array().unwrap().len(), 3);
    assert_eq!(lines[0].as_array().unwrap().len(), 4);
}

#[test]
fn embeds() {
    let model = file("embeds.gguf", &tiny().build());
    let lines = stdout(&run(&[
        &"embed", &"--model", &model, &"--text", &"hello", &"--text", &"-abc",
    ]));
    let vectors: Vec<Vec<f64>> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(vectors.len(), 2);
    assert_ne!(vectors[0], vectors[1]);
    for vector in vectors {
        assert_eq!(vector.len(), common::EMBEDDING as usize);
        let squares: f64 = vector.iter().map(|x| x * x).sum();
        assert!((squares - 1.0).abs() < 1e-5, "{squares}");
    }
}

#[test]
fn prints_logits() {
    let model = file("logits.gguf", &tiny().build());
    let of = |batch: &str| {
        let arguments: [&dyn AsRef<OsStr>; 7] = [
            &"logits",
            &"--model",
            &model,
            &"--tokens",
            &"1,2,3",
            &"--batch",
            &batch,
        ];
        json_of(&run(&arguments))
    };
    let (one, three) = (of("1"), of("64"));
    let (one, three) = (one.as_array().unwrap(), three.as_array().unwrap());
    assert_eq!(one.len(), small_tokens().0.len());
    for (a, b) in one.iter().zip(three) {
        assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 0.1);
    }
}

#[test]
fn measures_perplexity() {
    let model = file("perplexity.gguf", &tiny().build());
    let texts = file("perplexity.txt", b"hello\\n abc\n\na\n");
    let lines = stdout(&run(&[
        &"perplexity",
        &"--model",
        &model,
        &"--file",
        &texts,
        &"--json",
    ]));
    let objects: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(objects.len(), 3);
    assert!(objects[0]["tokens"].as_u64().unwrap() > 2);
    assert!(objects[0]["mean_nll"].as_f64().unwrap() > 0.0);
    assert_eq!(objects[1], json!({ "tokens": 0, "mean_nll": null }));
    assert_eq!(objects[2], objects[1], "the first token is not predicted");
}

#[test]
fn inspects() {
    let model = file("inspect.gguf", &tiny().build());
    let object = json_of(&run(&[&"inspect", &"--model", &model, &"--json"]));
    assert_eq!(object["metadata"]["llama.block_count"], 2);
    assert_eq!(object["memory"]["context"], 700);
    assert_eq!(object["tensors"][0]["name"], "token_embd.weight");
    assert_eq!(object["tensors"][0]["type"], "q8_0");
    let text = stdout(&run(&[&"inspect", &"--model", &model]));
    assert!(text.contains("key general.name: \"Tiny\\nmodel\""));
    assert!(text.contains("chat format: chatml, since the file has no template\n"));
    assert_eq!(object["chat"]["format"], "chatml");
    assert_eq!(object["chat"]["known_template"], false);

    let (tokens, types) = small_tokens();
    let vocabulary = file("vocabulary.gguf", &small_vocabulary(tokens, types).build());
    let text = stdout(&run(&[&"inspect", &"--model", &vocabulary]));
    assert!(text.contains("tensors: 0\n"));
    assert!(text.contains("not loadable: key general.architecture: is missing\n"));
}

/// The tiny model in two files, of which the first has so many tensors.
fn split_tiny(tensors: usize) -> [Vec<u8>; 2] {
    let whole = tiny();
    let count = Meta::I32(whole.tensors.len() as i32);
    let parts = [0, 1].map(|number| {
        let mut part = GgufBuilder {
            keys: if number == 0 {
                whole.keys.clone()
            } else {
                vec![]
            },
            ..GgufBuilder::default()
        };
        part = part
            .key("split.no", Meta::U16(number))
            .key("split.count", Meta::U16(2))
            .key("split.tensors.count", count.clone());
        let ends = whole.tensors.iter().skip(1).map(|next| next.offset);
        let ends = ends.chain([whole.data.len() as u64]);
        for (i, (tensor, end)) in whole.tensors.iter().zip(ends).enumerate() {
            if (i < tensors) == (number == 0) {
                let name = String::from_utf8(tensor.name.clone()).unwrap();
                let data = &whole.data[tensor.offset as usize..end as usize];
                part = part.tensor(&name, tensor.type_number, &tensor.dimensions, data);
            }
        }
        part
    });
    parts.map(|part| part.build())
}

#[test]
fn runs_a_model_that_is_split() {
    let whole = file("whole.gguf", &tiny().build());
    let answer = |model: &Path| {
        let output = run(&[
            &"generate",
            &"--model",
            &model,
            &"--prompt",
            &"hello",
            &"--temperature",
            &"0",
            &"--max-tokens",
            &"8",
            &"--threads",
            &"1",
            &"--json",
        ]);
        json_of(&output)["tokens"].clone()
    };
    for tensors in [0, 1, 9] {
        let [first, second] = split_tiny(tensors);
        let first = file(&format!("split{tensors}-00001-of-00002.gguf"), &first);
        let second = file(&format!("split{tensors}-00002-of-00002.gguf"), &second);
        // Any part stands for the model.
        for part in [&first, &second] {
            assert_eq!(answer(part), answer(&whole));
            let object = json_of(&run(&[&"inspect", &"--model", part, &"--json"]));
            assert_eq!(object["files"], 2);
            assert!(object["memory"]["arena_bytes"].is_u64());
        }
        std::fs::remove_file(&second).unwrap();
        let missing = format!("split{tensors}-00002-of-00002.gguf");
        fails(
            &run(&[&"inspect", &"--model", &first]),
            1,
            &[&missing, "cannot open"],
        );
        let renamed = file("renamed.gguf", &std::fs::read(&first).unwrap());
        fails(
            &run(&[&"inspect", &"--model", &renamed]),
            1,
            &["renamed.gguf", "split.count is 2, expected 1", "beside"],
        );
    }
}

#[test]
fn measures_its_speed() {
    let model = file("bench.gguf", &tiny().build());
    let object = json_of(&run(&[
        &"bench",
        &"--model",
        &model,
        &"--threads",
        &"1",
        &"--prefill",
        &"70",
        &"--decode",
        &"5",
        &"--repetitions",
        &"3",
        &"--json",
    ]));
    assert!(object["prefill_tokens_per_second"].as_f64().unwrap() > 0.0);
    assert!(object["decode_tokens_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(object["sessions_tokens_per_second"], Value::Null);

    let object = json_of(&run(&[
        &"bench",
        &"--model",
        &model,
        &"--threads=1",
        &"--prefill=0",
        &"--decode=5",
        &"--depth=100",
        &"--sessions=3",
        &"--prefix=200",
        &"--repetitions=1",
        &"--kv-type=q8_0",
        &"--json",
    ]));
    for key in [
        "decode_tokens_per_second",
        "sessions_tokens_per_second",
        "one_session_tokens_per_second",
        "cold_first_token",
        "cached_first_token",
    ] {
        assert!(object[key].as_f64().unwrap() > 0.0, "{key}");
    }
    let wrong = run(&[&"bench", &"--model", &model, &"--depth=4294967295"]);
    fails(&wrong, 1, &["fit in no context"]);
}

#[test]
fn measures_memory() {
    // Three parts that do not come out even, and more threads than there are rows to read.
    for (threads, mebibytes) in [("1", "1"), ("3", "7"), ("1024", "1")] {
        let object = json_of(&run(&[
            &"bandwidth",
            &"--threads",
            &threads,
            &"--mebibytes",
            &mebibytes,
            &"--repetitions=2",
            &"--json",
        ]));
        assert!(object["bytes_per_second"].as_f64().unwrap() > 0.0);
        let bytes = mebibytes.parse::<u64>().unwrap() << 20;
        assert_eq!(object["bytes"], json!(bytes));
    }
    let text = stdout(&run(&[&"bandwidth", &"--mebibytes=1"]));
    assert!(text.starts_with("1 threads read ") && text.ends_with(" GB/s\n"));
    let wrong = run(&[&"bandwidth", &"--threads=0"]);
    fails(&wrong, 2, &["--threads"]);
    let wrong = run(&[&"bandwidth", &"--mebibytes=4294967295"]);
    fails(&wrong, 1, &["try a smaller --mebibytes"]);
}

#[test]
fn refuses_files() {
    let good = tiny().build();
    let mut version = good.clone();
    version[4] = 4;
    let mut swapped = good.clone();
    swapped[4..8].copy_from_slice(&3u32.to_be_bytes());
    let cases: [(&str, &[u8], &str); 5] = [
        ("empty.gguf", b"", "the file is empty"),
        ("text.gguf", b"Once upon a time", "not a GGUF file"),
        (
            "cut.gguf",
            &good[..good.len() / 2],
            "passes the end of the file",
        ),
        ("version.gguf", &version, "GGUF version 4"),
        ("swapped.gguf", &swapped, "other byte order"),
    ];
    for (name, bytes, message) in cases {
        let path = file(name, bytes);
        for command in [
            "generate",
            "inspect",
            "tokenize",
            "logits",
            "bench",
            "perplexity",
        ] {
            let more: &[&str] = match command {
                "generate" => &["--prompt", "x"],
                "tokenize" => &["--text", "x"],
                "logits" => &["--tokens", "1"],
                "perplexity" => &["--file", "/dev/null"],
                _ => &[],
            };
            let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&command, &"--model", &path];
            arguments.extend(more.iter().map(|a| -> &dyn AsRef<OsStr> { a }));
            fails(&run(&arguments), 1, &[name, message]);
        }
    }
    let nowhere = Path::new("/nonexistent/model.gguf");
    // Without a token that ends an answer there is no chat.
    let turns = ["<|im_start|>", "<|im_end|>"].map(String::from);
    let (mut tokens, _) = small_tokens();
    for token in &mut tokens {
        if turns.iter().any(|turn| turn.as_bytes() == &token[..]) {
            token.insert(1, b'_');
        }
    }
    let tokens = Meta::Strings(tokens);
    let no_chat = tiny()
        .set("tokenizer.ggml.tokens", Some(tokens))
        .set("tokenizer.ggml.eos_token_id", None);
    let path = file("no-chat.gguf", &no_chat.build());
    fails(
        &run(&[&"generate", &"--model", &path, &"--prompt", &"x"]),
        1,
        &["no-chat.gguf", "chat template", "--raw"],
    );
    fails(
        &run(&[&"inspect", &"--model", &nowhere]),
        1,
        &["/nonexistent/model.gguf", "--model"],
    );
    fails(&run(&[&"inspect", &"--model", &"/"]), 1, &["/: cannot map"]);
}

#[test]
fn refuses_arguments() {
    let model = file("arguments.gguf", &tiny().build());
    let wrong: [&[&str]; 11] = [
        &[],
        &["dance"],
        &["embed"],
        &["tokenize"],
        &["tokenize", "--text", "a", "--file", "b"],
        &["logits"],
        &["logits", "--tokens", "1,x"],
        &["generate", "--prompt", "x", "--temperature", "-1"],
        &["generate", "--prompt", "x", "--temperature", "nan"],
        &["generate", "--prompt", "x", "--threads", "0"],
        &["generate", "--prompt", "x", "--chat-format", "none"],
    ];
    for arguments in wrong {
        let mut all: Vec<&dyn AsRef<OsStr>> = vec![];
        all.extend(arguments.iter().map(|a| -> &dyn AsRef<OsStr> { a }));
        if !arguments.is_empty() {
            all.extend([&"--model" as &dyn AsRef<OsStr>, &model]);
        }
        fails(&run(&all), 2, &["--help"]);
    }
    let failing: [(&[&str], &str); 5] = [
        (
            &["logits", "--tokens", "1,99999"],
            "token 99999 is not in the vocabulary",
        ),
        (&["generate", "--prompt", ""], "the prompt is empty"),
        (&["embed", "--text", ""], "the prompt is empty"),
        (
            &["generate", "--prompt", "x", "--context", "9999"],
            "context is 9999, more than the limit of 700",
        ),
        (
            &[
                "generate",
                "--prompt",
                "hello hello hello",
                "--context",
                "4",
                "--raw",
            ],
            "raise --context",
        ),
    ];
    for (arguments, message) in failing {
        let mut all: Vec<&dyn AsRef<OsStr>> = vec![];
        all.extend(arguments.iter().map(|a| -> &dyn AsRef<OsStr> { a }));
        all.extend([&"--model" as &dyn AsRef<OsStr>, &model]);
        fails(&run(&all), 1, &["arguments.gguf", message]);
    }
}

#[test]
fn makes_models() {
    let path = |name: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let make = |name: &str, arguments: &[&str]| {
        let output = path(name);
        let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"synth", &"--output", &output];
        all.extend(
            arguments
                .iter()
                .map(|argument| argument as &dyn AsRef<OsStr>),
        );
        run(&all)
    };
    let bytes = |name: &str, arguments: &[&str]| {
        assert_eq!(stdout(&make(name, arguments)), "");
        std::fs::read(path(name)).unwrap()
    };
    let usual = ["--arch", "smollm2", "--type", "q4_0"];
    let first = bytes("made.gguf", &usual);
    assert!(first == bytes("made.gguf", &usual), "the same again");
    let mut other = usual.to_vec();
    other.extend(["--seed", "1"]);
    assert!(first != bytes("made.gguf", &other), "another seed");

    // The vocabulary of another file, and another shape.
    let words = path("made-words.gguf");
    let words = words.to_str().unwrap();
    bytes(
        "made-words.gguf",
        &["--arch", "qwen2", "--vocabulary", "400"],
    );
    let mut other = usual.to_vec();
    other.extend(["--vocab", words, "--layers", "1", "--heads", "6"]);
    bytes("made.gguf", &other);
    let model = path("made.gguf");
    let info = json_of(&run(&[&"inspect", &"--json", &"--model", &model]));
    assert_eq!(info["metadata"]["general.architecture"], "llama");
    assert_eq!(info["metadata"]["llama.block_count"], 1);
    assert_eq!(info["tensors"][0]["dimensions"], json!([192, 400]));
    assert_eq!(info["tensors"][0]["type"], "q4_0");
    assert!(info["memory"]["kv_bytes"].as_u64() > Some(0), "loadable");

    for (arguments, status, message) in [
        (
            &["--arch", "smollm2", "--type", "q4_k"][..],
            1,
            "rows of 192 are no whole number of q4_k blocks",
        ),
        (
            &["--arch", "llama2", "--heads", "3"],
            1,
            "3 heads are no multiple of 4 key heads",
        ),
        (
            &["--arch", "llama2", "--vocabulary", "258"],
            1,
            "a made-up vocabulary has at least 259 tokens",
        ),
        (
            &["--arch", "llama2", "--rope-factor", "2"],
            2,
            "--rope-scaling",
        ),
        (&["--arch", "mamba"], 2, "llama2"),
        (&["--arch", "llama2", "--vocab", "/"], 1, "/"),
    ] {
        fails(&make("refused.gguf", arguments), status, &[message]);
        assert!(!path("refused.gguf").exists());
    }
}
/// Everything that `inspect` prints of a file.
fn inspected(path: &Path) -> Value {
    json_of(&run(&[&"inspect", &"--model", &path, &"--json"]))
}

#[test]
fn quantizes() {
    let model = file("quantizes.gguf", &tiny().build());
    let output = model.with_file_name("quantized.gguf");
    for (name, tensor_type, logits) in [
        ("f32", "f32", "f32"),
        ("f16", "f16", "f16"),
        ("bf16", "bf16", "bf16"),
        ("q8_0", "q8_0", "q8_0"),
        ("q6_k", "q6_K", "q6_K"),
        ("q5_k", "q5_K", "q6_K"),
        ("q5_1", "q5_1", "q6_K"),
        ("q5_0", "q5_0", "q6_K"),
        ("q4_k", "q4_K", "q6_K"),
        ("q4_1", "q4_1", "q6_K"),
        ("q4_0", "q4_0", "q6_K"),
        ("iq4_nl", "iq4_nl", "q6_K"),
        ("iq4_xs", "iq4_xs", "q6_K"),
        ("q3_k", "q3_K", "q6_K"),
        ("q2_k", "q2_K", "q6_K"),
    ] {
        let said = stdout(&run(&[
            &"quantize",
            &"--model",
            &model,
            &"--type",
            &name,
            &"--output",
            &output,
        ]));
        assert!(said.contains("copied: 7 tensors"), "{said}");
        let (before, after) = (inspected(&model), inspected(&output));
        let tensors = |file: &Value| file["tensors"].as_array().unwrap().clone();
        assert_eq!(tensors(&before).len(), tensors(&after).len());
        for (before, after) in tensors(&before).iter().zip(tensors(&after)) {
            assert_eq!(before["name"], after["name"]);
            assert_eq!(before["dimensions"], after["dimensions"]);
            let expected = match before["dimensions"].as_array().unwrap().len() {
                1 => "f32",
                _ if before["name"] == "token_embd.weight" => logits,
                _ => tensor_type,
            };
            assert_eq!(after["type"], expected, "{after}");
        }
        for (key, value) in before["metadata"].as_object().unwrap() {
            assert_eq!(&after["metadata"][key], value);
        }
        assert_eq!(after["metadata"]["general.quantization_version"], 2);
        // It can be loaded and computed with.
        let logits = json_of(&run(&[
            &"logits",
            &"--model",
            &output,
            &"--tokens",
            &"1,2,3",
        ]));
        let logits = logits.as_array().unwrap();
        assert!(!logits.is_empty() && logits.iter().all(|x| x.as_f64().unwrap().is_finite()));
    }
}

#[test]
fn quantizes_all_matrices_alike_if_asked() {
    let model = file("pure.gguf", &tiny().build());
    let output = model.with_file_name("pure-q4_0.gguf");
    let said = stdout(&run(&[
        &"quantize",
        &"--model",
        &model,
        &"--type",
        &"q4_0",
        &"--pure",
        &"--output",
        &output,
    ]));
    assert!(
        said.contains("Q4_0: 15 tensors") && !said.contains("Q6_K"),
        "{said}"
    );
}

#[test]
fn falls_back_where_rows_are_no_whole_blocks() {
    let rows = |columns: u64| (0..columns * 2).flat_map(|i| (i as f32).to_le_bytes());
    let bytes = |columns| rows(columns).collect::<Vec<_>>();
    let model = file(
        "rows.gguf",
        &common::gguf::GgufBuilder::default()
            .tensor("a.weight", 0, &[288, 2], &bytes(288))
            .tensor("b.weight", 0, &[48, 2], &bytes(48))
            .tensor("a_norm.weight", 0, &[48, 2], &bytes(48))
            .build(),
    );
    let output = model.with_file_name("rows-q5_k.gguf");
    let said = stdout(&run(&[
        &"quantize",
        &"--model",
        &model,
        &"--type",
        &"q5_k",
        &"--output",
        &output,
    ]));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "F16 instead of Q5_K for rows of 48: 1 tensors, 192 bytes",
            "Q5_1 instead of Q5_K for rows of 288: 1 tensors, 432 bytes",
            "copied: 1 tensors, 384 bytes",
        ]
    );
}

#[test]
fn refuses_what_it_can_not_quantize() {
    let model = file("not-quantized.gguf", &tiny().build());
    let output = model.with_file_name("not-written.gguf");
    let quantize = |model: &Path, output: &Path| {
        run(&[
            &"quantize",
            &"--model",
            &model,
            &"--type",
            &"q4_0",
            &"--output",
            &output,
        ])
    };
    let matrix = |kind: u32, data: &[u8]| {
        let file = common::gguf::GgufBuilder::default();
        file.tensor("a.weight", kind, &[256, 1], data).build()
    };
    let of = |x: f32| matrix(0, &x.to_le_bytes().repeat(256));
    let alone = common::gguf::GgufBuilder::default();
    let cases = [
        (of(f32::NAN), "tensor a.weight: a weight is NaN"),
        (
            of(f32::INFINITY),
            "a weight is inf, which Q4_0 can not hold",
        ),
        (of(1e5), "a weight is 100000, which Q4_0 can not hold"),
        (
            matrix(16, &[0; 66]),
            "a.weight: type 16 (iq2_xxs) is not supported",
        ),
        (alone.key("k", "v").build(), "has no matrices of weights"),
        (vec![1; 64], "not a GGUF"),
    ];
    for (i, (bytes, message)) in cases.iter().enumerate() {
        let model = file(&format!("refused-{i}.gguf"), bytes);
        fails(&quantize(&model, &output), 1, &[message]);
        assert!(!output.exists());
    }
    fails(&quantize(&model, &model), 1, &["is the file that is read"]);
    let directory = model.parent().unwrap();
    fails(&quantize(&model, directory), 1, &["is a directory"]);
    let nowhere = directory.join("nowhere/file.gguf");
    fails(&quantize(&model, &nowhere), 1, &["cannot create"]);
    assert_eq!(std::fs::read(&model).unwrap(), tiny().build());
}
