// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The bindings say what the kernel's header says.
//!
//! `generated` makes `src/bindings.rs` anew with bindgen and compares; with `LLAMUX_BLESS=1` it
//! writes the file instead. `layout` needs a C compiler only. So does the manual page, whose structure
//! and example are checked as well.

use std::ffi::OsString;
use std::io::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use llamux_sys as sys;

const BINDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bindings.rs");
const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/man/llama_command.2");

fn uapi() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../llamux-kernel/include/uapi")
}

/// bindgen, from `PATH` or from where `cargo xtask setup` puts it.
fn bindgen() -> Option<OsString> {
    let own = std::env::var_os("HOME").map(|home| {
        Path::new(&home)
            .join(".cache/llamux/tools/bin/bindgen")
            .into_os_string()
    });
    [Some(OsString::from("bindgen")), own]
        .into_iter()
        .flatten()
        .find(|program| {
            Command::new(program)
                .arg("--version")
                .output()
                .is_ok_and(|o| o.status.success())
        })
}

/// The newest libclang of the distribution, if bindgen is not told of one.
fn libclang() -> Option<PathBuf> {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return None;
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib")
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
        .map(|entry| entry.path().join("lib"))
        .filter(|lib| lib.join("libclang.so").exists() || lib.join("libclang.so.1").exists())
        .collect();
    found.sort();
    found.pop()
}

#[test]
fn generated() {
    let Some(bindgen) = bindgen() else {
        println!("skipped: bindgen is not installed (cargo install bindgen-cli)");
        return;
    };
    let mut command = Command::new(bindgen);
    command
        .arg(uapi().join("linux/llamux.h"))
        .args([
            "--rust-target",
            "1.85",
            "--rust-edition",
            "2021",
            "--use-core",
        ])
        .args([
            "--disable-header-comment",
            "--no-layout-tests",
            "--no-doc-comments",
        ])
        .args([
            "--with-derive-default",
            "--with-derive-partialeq",
            "--with-derive-eq",
        ])
        .args([
            "--allowlist-type",
            "llama_.*",
            "--allowlist-var",
            "LLAMA_.*",
        ])
        .args([
            "--raw-line",
            "// SPDX-License-Identifier: GPL-2.0-only OR MIT",
        ])
        .args(["--raw-line", ""])
        .args([
            "--raw-line",
            "// Made from include/uapi/linux/llamux.h by tests/bindings.rs.",
        ])
        .arg("--")
        .arg("-idirafter")
        .arg(uapi());
    if let Some(path) = libclang() {
        command.env("LIBCLANG_PATH", path);
    }
    let output = command.output().expect("bindgen runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && stderr.contains("libclang") {
        println!("skipped: bindgen finds no libclang (set LIBCLANG_PATH)");
        return;
    }
    assert!(output.status.success(), "bindgen: {stderr}");
    let made = String::from_utf8(output.stdout).expect("bindgen writes UTF-8");
    if std::env::var_os("LLAMUX_BLESS").is_some() {
        std::fs::write(BINDINGS, made).expect("the bindings can be written");
        return;
    }
    let kept = std::fs::read_to_string(BINDINGS).expect("the bindings can be read");
    assert!(
        kept == made,
        "the header has changed; run LLAMUX_BLESS=1 cargo test -p llamux-sys --test bindings\n{made}"
    );
}

/// Every number of the header twice: by its name in C, and as the bindings have it.
macro_rules! numbers {
    ([$($constant:ident),*], [$($field:ident),*]) => {
        vec![
            ("sizeof(struct llama_command)".to_string(), size_of::<sys::llama_command>() as u64),
            ("_Alignof(struct llama_command)".to_string(), align_of::<sys::llama_command>() as u64),
            $((stringify!($constant).to_string(), u64::from(sys::$constant)),)*
            $((
                format!("offsetof(struct llama_command, {})", stringify!($field)),
                offset_of!(sys::llama_command, $field) as u64,
            ),)*
            $((
                format!("sizeof(((struct llama_command *)0)->{})", stringify!($field)),
                field_size(|c: &sys::llama_command| &c.$field) as u64,
            ),)*
        ]
    };
}

fn field_size<T>(_: impl Fn(&sys::llama_command) -> &T) -> usize {
    size_of::<T>()
}

#[test]
fn layout() {
    let numbers: Vec<(String, u64)> = numbers!(
        [
            LLAMA_RAW,
            LLAMA_GREEDY,
            LLAMA_WAIT,
            LLAMA_SESSION,
            LLAMA_STOP_END,
            LLAMA_STOP_LENGTH,
            LLAMA_STOP_TIMEOUT,
            LLAMA_STOP_INTERRUPTED,
            LLAMA_STOP_BUFFER,
            LLAMA_STOP_STRING,
            LLAMA_STOP_CANCELLED,
            LLAMA_PROMPT_MAX,
            LLAMA_RESPONSE_MAX,
            LLAMA_GRAMMAR_MAX,
            LLAMA_COMMAND_SIZE_VER0,
            LLAMA_COMMAND_SIZE_VER1,
            LLAMA_COMMAND_SIZE_VER2
        ],
        [
            flags,
            prompt,
            prompt_len,
            response,
            response_len,
            max_tokens,
            timeout_ms,
            seed,
            temperature_milli,
            top_k,
            top_p_milli,
            min_p_milli,
            repeat_penalty_milli,
            prompt_tokens,
            response_tokens,
            stop_reason,
            grammar,
            grammar_len,
            session,
            reserved
        ]
    );
    let mut source = String::from("#include <stddef.h>\n#include <linux/llamux.h>\n");
    for (expression, value) in &numbers {
        source += &format!("_Static_assert({expression} == {value}ULL, \"{expression}\");\n");
    }
    compile(&source);
}

/// The numbers of the ioctls, and the sizes of what they take.
#[test]
fn ioctls() {
    let numbers = [
        ("LLAMA_IOC_TURN", u64::from(sys::LLAMA_IOC_TURN)),
        ("LLAMA_IOC_SET", sys::LLAMA_IOC_SET.into()),
        ("LLAMA_IOC_INFO", sys::LLAMA_IOC_INFO.into()),
        ("LLAMA_IOC_LOGPROBS", sys::LLAMA_IOC_LOGPROBS.into()),
        ("LLAMA_IOC_FORK", sys::LLAMA_IOC_FORK.into()),
        ("LLAMA_IOC_RESET", sys::LLAMA_IOC_RESET.into()),
        ("LLAMA_IOC_CANCEL", sys::LLAMA_IOC_CANCEL.into()),
        ("LLAMA_IOC_PREWARM", sys::LLAMA_IOC_PREWARM.into()),
        ("LLAMA_IOC_MODEL", sys::LLAMA_IOC_MODEL.into()),
        ("LLAMA_IOC_EMBED", sys::LLAMA_IOC_EMBED.into()),
        ("LLAMA_IOC_BACKEND", sys::LLAMA_IOC_BACKEND.into()),
        (
            "sizeof(struct llama_backend_request)",
            size_of::<sys::llama_backend_request>() as u64,
        ),
        (
            "sizeof(struct llama_backend_reply)",
            size_of::<sys::llama_backend_reply>() as u64,
        ),
        (
            "offsetof(struct llama_backend_reply, logprob_micro)",
            offset_of!(sys::llama_backend_reply, logprob_micro) as u64,
        ),
        (
            "sizeof(struct llama_logprob)",
            size_of::<sys::llama_logprob>() as u64,
        ),
    ];
    let mut source = String::from("#include <stddef.h>\n#include <linux/llamux.h>\n");
    for (expression, value) in numbers {
        source += &format!("_Static_assert({expression} == {value}ULL, \"{expression}\");\n");
    }
    compile(&source);
}

/// Lets the C compiler check a source file.
#[track_caller]
fn compile(source: &str) {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let child = Command::new(&compiler)
        .args(["-Wall", "-Werror", "-fsyntax-only", "-x", "c", "-idirafter"])
        .arg(uapi())
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: no C compiler {}", compiler.to_string_lossy());
        return;
    };
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(source.as_bytes())
        .expect("the compiler reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the compiler ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The examples of the manual page as plain text.
fn manual_examples() -> Vec<String> {
    let page = std::fs::read_to_string(MANUAL).expect("the manual page");
    page.split(".EX\n")
        .skip(1)
        .filter_map(|part| part.split_once(".EE\n"))
        .map(|(example, _)| {
            example
                .replace("\\&\n", "\n")
                .replace("\\-", "-")
                .replace("\\e", "\\")
        })
        .collect()
}

/// The members of the first structure in a C source, without comments and blanks.
fn members(source: &str) -> Vec<String> {
    let (_, body) = source
        .split_once("struct llama_command {")
        .expect("the structure");
    let (body, _) = body.split_once('}').expect("its end");
    body.split_inclusive(&[';', '/'][..])
        .filter_map(|part| part.trim().strip_suffix(';'))
        .map(|member| member.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn manual_page_has_the_structure_and_a_good_example() {
    let examples = manual_examples();
    let [structure, program] = &examples[..] else {
        panic!("{examples:?}")
    };
    let header = std::fs::read_to_string(uapi().join("linux/llamux.h")).expect("the header");
    assert_eq!(members(structure), members(&header));
    assert_eq!(members(structure).len(), 20);
    compile(program);
}

#[test]
fn every_constant_is_in_the_header() {
    // A constant that bindgen could not evaluate would be missing without a word.
    let header = std::fs::read_to_string(uapi().join("linux/llamux.h")).expect("the header");
    let bindings = std::fs::read_to_string(BINDINGS).expect("the bindings");
    for line in header.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("#define") {
            continue;
        }
        let Some(name) = words.next().filter(|name| name.starts_with("LLAMA_")) else {
            continue;
        };
        // What it cannot evaluate is in `llamux_sys.rs`; `ioctls` compares.
        if name.starts_with("LLAMA_IOC_") && name != "LLAMA_IOC_MAGIC" {
            continue;
        }
        assert!(
            bindings.contains(&format!("pub const {name}:")),
            "{name} has no binding"
        );
    }
}
