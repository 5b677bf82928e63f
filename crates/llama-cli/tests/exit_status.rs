// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `llama` prints and how it exits where the kernel is not asked, or has no Llamux.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn llama(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_llama"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("llama starts");
    let mut pipe = child.stdin.take().expect("stdin is piped");
    // A program that does not want its input closes the pipe.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    child.wait_with_output().expect("llama ends")
}

#[track_caller]
fn check(output: &Output, code: i32, stderr: &str) {
    let seen = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{seen}");
    assert!(seen.contains(stderr), "{seen}");
    assert!(output.stdout.is_empty() || code == 0);
}

#[test]
fn usage_errors_exit_with_2() {
    check(
        &llama(&["--temperature", "11", "x"], b""),
        2,
        "from 0 to 10",
    );
    check(&llama(&["--unknown", "x"], b""), 2, "--unknown");
    check(&llama(&[], b""), 2, "the question is empty");
    check(&llama(&["-"], b"a\xff"), 2, "not UTF-8 at byte 1");
    check(
        &llama(&["status", "of", "it"], b""),
        2,
        "unexpected argument",
    );
    check(&llama(&["embed", "--json"], b""), 2, "--json");
}

#[test]
fn what_goes_through_the_device_exits_with_3_without_it() {
    if Path::new(llamux::DEVICE_PATH).exists() {
        println!("skipped: this kernel has Llamux");
        return;
    }
    for args in [
        &["embed", "x"][..],
        &["embed", "--model", "x"],
        &["--model", "x", "Why?"],
        &["--model", "x", "--json", "--no-wait", "Why?"],
        &["chat", "--model", "x"],
    ] {
        check(&llama(args, b"x\n"), 3, llamux::DEVICE_PATH);
    }
}

#[test]
fn help_and_version_exit_with_0() {
    let help = llama(&["--help"], b"");
    check(&help, 0, "");
    let text = String::from_utf8_lossy(&help.stdout);
    for part in ["Examples:", "Exit status:", "--temperature", "status"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    check(&llama(&["--version"], b""), 0, "");
}

#[test]
fn a_kernel_without_llamux_exits_with_3_and_says_what_to_boot() {
    if Path::new(llamux::STATUS_PATH).exists() {
        println!("skipped: this kernel has Llamux");
        return;
    }
    check(
        &llama(&["status"], b""),
        3,
        "boot the kernel of the package linux-llamux",
    );
    let asked = llama(&["Why?"], b"");
    if String::from_utf8_lossy(&asked.stderr).contains("seccomp") {
        println!("skipped: system call 600 is filtered here");
        return;
    }
    for output in [
        asked,
        llama(&[], b"Why?\n"),
        llama(&["--json", "--no-wait", "x", "-"], b"y"),
    ] {
        check(&output, 3, "boot the kernel of the package linux-llamux");
    }
}
