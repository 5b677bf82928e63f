// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `lsh` prints, and how it exits, where it is no terminal.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn run(program: &Path, told: Option<&str>, args: &[&str], stdin: &[u8]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("told");
    std::fs::write(&file, told.unwrap_or_default()).unwrap();
    let mut child = Command::new(program)
        .args(args)
        .env("LSH_TOLD", &file)
        .env_remove("LSH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not want its input closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn lsh(args: &[&str], stdin: &[u8]) -> Output {
    run(Path::new(env!("CARGO_BIN_EXE_lsh")), None, args, stdin)
}

fn told(told: &str, args: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_lsh")).with_file_name("examples/lsh-told");
    run(&program, Some(told), args, b"")
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(out.contains(stdout), "{out}");
    assert!(err.contains(stderr), "{err}");
}

#[test]
fn command_alone_is_on_standard_output() {
    let output = told(
        "largest\tdu -a . | sort -rn | head\n",
        &["--dry-run", "the", "largest", "files"],
    );
    check(&output, 0, "", "");
    assert_eq!(output.stdout, b"du -a . | sort -rn | head\n");
    let output = told("largest\tdu -a .\n", &["--json", "the largest files"]);
    check(&output, 0, "\"command\":\"du -a .\"", "");
    check(&output, 0, "\"danger\":\"read-only\"", "");
}

#[test]
fn what_could_not_be_verified_is_said() {
    let output = told(
        "things\tfrobnicate-it --now\n",
        &["--dry-run", "do the things"],
    );
    check(
        &output,
        6,
        "frobnicate-it --now\n",
        "not verified: frobnicate-it is not installed",
    );
}

#[test]
fn no_command_no_model_and_no_time_have_exit_statuses() {
    check(
        &told("things\t!cut\n", &["--dry-run", "do the things"]),
        1,
        "",
        "could not find a command",
    );
    check(
        &told("things\t!missing\n", &["--dry-run", "do the things"]),
        4,
        "",
        "no model",
    );
    let late = ["--dry-run", "--timeout", "0.2", "do the things"];
    check(&told("things\t!busy\n", &late), 5, "", "time");
}

#[test]
fn wrong_usage_exits_with_2() {
    check(&lsh(&["--dry-run"], b""), 2, "", "the request is empty");
    check(
        &lsh(&["--dry-run", "-"], b" \n"),
        2,
        "",
        "the request is empty",
    );
    check(&lsh(&["--dry-run", "-"], b"\xff\xfe"), 2, "", "not UTF-8");
    check(&lsh(&["show", "files"], b""), 2, "", "needs --dry-run");
    check(&lsh(&[], b""), 2, "", "must be a terminal");
    check(
        &lsh(&["--explain", " "], b""),
        2,
        "",
        "no command to explain",
    );
    check(&lsh(&["--frob"], b""), 2, "", "--frob");
}

#[test]
fn long_request_is_cut_with_a_note() {
    let long = "ü and so on ".repeat(1_000_000);
    let output = lsh(&["--dry-run", "-"], long.as_bytes());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("cut after 4096 bytes"), "{err}");
}

#[test]
fn kernel_without_llamux_is_said() {
    if Path::new("/proc/llamux").exists() {
        println!("skipped: this kernel has Llamux");
        return;
    }
    check(
        &lsh(&["--dry-run", "show the largest files"], b""),
        3,
        "",
        "",
    );
}

#[test]
fn explaining_asks_no_model() {
    let output = lsh(&["--explain", "rm -rf /tmp/x | wc -l"], b"");
    check(&output, 0, "needs-care", "");
    let output = lsh(&["--explain", "ls -l", "--json"], b"");
    check(&output, 0, "\"danger\":\"read-only\"", "");
    check(&output, 0, "\"parts\":[", "");
}

/// A model's file in the directory that `LLAMUX_MODELS` names.
fn model() -> Option<PathBuf> {
    let file = PathBuf::from(std::env::var_os("LLAMUX_MODELS")?).join("smollm2-135m.gguf");
    file.exists().then_some(file)
}

#[test]
fn small_model_does_no_harm() {
    let Some(model) = model() else {
        println!("skipped: LLAMUX_MODELS names no directory with smollm2-135m.gguf");
        return;
    };
    let program = Path::new(env!("CARGO_BIN_EXE_lsh")).with_file_name("examples/lsh-host");
    let model = model.to_str().unwrap();
    for request in [
        "list the files in this directory",
        "qwertz uiop",
        "how are you?",
    ] {
        let output = run(&program, None, &["--model", model, "--json", request], b"");
        let text = String::from_utf8_lossy(&output.stdout);
        match output.status.code() {
            Some(0 | 6) => {
                assert!(text.contains("\"command\":\"") && text.contains("\"danger\":\""))
            }
            code => {
                assert_eq!(code, Some(1), "{request}");
                assert!(text.is_empty(), "{text}");
            }
        }
    }
    let missing = ["--model", "/no/such.gguf", "--dry-run", "list files"];
    check(&run(&program, None, &missing, b""), 1, "", "/no/such.gguf");
}

#[test]
fn nobody_who_reads_is_no_failure() {
    let program = env!("CARGO_BIN_EXE_lsh");
    let script = format!("'{program}' --explain 'ls -l' | true; exit ${{PIPESTATUS[0]}}");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    check(&output, 0, "", "");
}

#[test]
fn command_that_is_not_found_is_compared_with_those_that_are() {
    check(
        &lsh(&["--not-found", "--", "show", "me", "all", "files"], b""),
        0,
        "reads like a sentence",
        "",
    );
    let output = lsh(&["--not-found", "--", "xq7zzzy"], b"");
    assert!(output.stdout.is_empty());
}
