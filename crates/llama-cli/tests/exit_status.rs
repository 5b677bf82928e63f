// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `llama` prints and how it exits where the kernel is not asked, or has no Llamux.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
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
fn nobody_who_reads_complaints_is_no_reason_to_end_otherwise() {
    let (complaints, _) = UnixStream::pair().expect("there are sockets");
    let output = Command::new(env!("CARGO_BIN_EXE_llama"))
        .stdin(Stdio::null())
        .stderr(OwnedFd::from(complaints))
        .output()
        .expect("llama starts");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
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
    check(&llama(&["why"], b""), 2, "UNIT|PID|FILE");
    check(&llama(&["explain"], b""), 2, "the input is empty");
    check(&llama(&["--plain", "--here", "x"], b""), 2, "--here");
    check(&llama(&["--facts", "/no/such", "x"], b""), 2, "/no/such");
    check(&llama(&["--command", "--raw", "x"], b""), 2, "--raw");
    check(&llama(&["--command", " "], b""), 2, "request is empty");
    check(
        &llama(&["explain", "--unit", "x", "word"], b""),
        2,
        "--unit",
    );
}

#[test]
fn doctor_exits_with_what_it_found() {
    let dir = std::env::temp_dir().join(format!("llama-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("there is room for files");
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    for (name, text) in [
        ("quiet", r#"{"version":1}"#),
        (
            "full",
            r#"{"version":1,"file_systems":[{"mount":"/\u001b[2Jx","size":99999999999}]}"#,
        ),
        ("newer", r#"{"version":2}"#),
        ("broken", r#"{"version":1,"memory":{"total":"#),
    ] {
        std::fs::write(dir.join(name), text).expect("a file can be written");
    }
    let doctor = |options: &[&str]| llama(&[&["doctor"], options].concat(), b"");
    let quiet = doctor(&["--facts", &path("quiet")]);
    check(&quiet, 0, "");
    assert!(String::from_utf8_lossy(&quiet.stdout).contains("Nothing is wrong"));

    let full = doctor(&["--facts", &path("full"), "--record", &path("record")]);
    assert_eq!(full.status.code(), Some(6));
    let text = String::from_utf8_lossy(&full.stdout);
    assert!(
        text.contains("critical  /\\u{1b}[2Jx is 100 % full."),
        "{text}"
    );
    // What was recorded means the same.
    let again = doctor(&["--facts", &path("record"), "--json"]);
    assert_eq!(again.status.code(), Some(6));
    let json: serde_json::Value = serde_json::from_slice(&again.stdout).expect("it is JSON");
    assert_eq!(json["findings"][0]["cause"], "disk-full");
    assert_eq!(json["findings"][0]["evidence"][0]["value"]["unit"], "bytes");

    check(
        &doctor(&["--facts", &path("newer")]),
        2,
        "newer: its facts are of version 2",
    );
    check(
        &doctor(&["--facts", &path("broken")]),
        2,
        "broken: it does not hold facts",
    );
    check(
        &doctor(&["--facts", &path("none")]),
        2,
        "none: No such file",
    );
    check(&doctor(&["--sample", "0"]), 2, "from 0.1 to 60");
    check(
        &doctor(&["--facts", &path("quiet"), "--record", &path("no/such")]),
        1,
        "no/such: No such file",
    );
    std::fs::remove_dir_all(dir).expect("the files are ours");
}

/// What `llama doctor` could not read while the system bus is at `bus`.
fn missing_with_bus(bus: &Path) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_llama"))
        .args(["doctor", "--json", "--sample", "0.1"])
        .env(
            "DBUS_SYSTEM_BUS_ADDRESS",
            format!("unix:path={}", bus.display()),
        )
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .expect("llama starts");
    assert!(matches!(output.status.code(), Some(0 | 6)), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let missing = json["missing"].as_array().expect("it is a list").iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    missing
        .map(|missing| (text(&missing["what"]), text(&missing["why"])))
        .collect()
}

#[test]
fn doctor_does_without_systemd_and_does_not_wait_for_a_bus_that_hangs() {
    let dir = std::env::temp_dir().join(format!("llama-bus-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("there is room for files");
    let why = |missing: Vec<(String, String)>| {
        let units = missing
            .into_iter()
            .find(|(what, _)| what == "units of systemd");
        units.expect("there are no units").1
    };
    let none = why(missing_with_bus(&dir.join("none")));
    assert!(none.contains("no system bus"), "{none}");
    let silent = dir.join("silent");
    let listener = std::os::unix::net::UnixListener::bind(&silent).expect("a socket can be made");
    let began = std::time::Instant::now();
    let late = why(missing_with_bus(&silent));
    assert!(
        late.contains("in time") || late.contains("no system bus"),
        "{late}"
    );
    assert!(began.elapsed().as_secs() < 30);
    drop(listener);
    std::fs::remove_dir_all(dir).expect("the files are ours");
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

/// What there is to say without a model is said, and the exit status says why nobody worded it.
#[test]
fn what_was_found_is_shown_without_a_model() {
    if Path::new(llamux::DEVICE_PATH).exists() {
        println!("skipped: this kernel has Llamux");
        return;
    }
    let facts = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../llamux-facts/machines/oom-limit.json"
    );
    let mut log: Vec<u8> = b"\xff\x1b[31mOut of memory: Killed process 99 (java)\n".to_vec();
    log.extend(
        b"an ordinary line that says nothing of interest to anybody at all\n".repeat(160_000),
    );
    assert!(log.len() > 10_000_000);
    let own = std::process::id().to_string();
    for (args, stdin, expected) in [
        (
            &["--facts", facts, "what is wrong here?"][..],
            &b""[..],
            "What could be done",
        ),
        (
            &["--facts", facts, "why is my clock wrong?"],
            b"",
            "I do not know",
        ),
        (&["explain"], &log, "killed process 99 (java)"),
        (&["explain"], &log, "Of 160001 lines"),
        (
            &["explain", "exit", "status", "203"],
            b"",
            "could not run the program",
        ),
        (&["explain", "-"], b"x: No space left on device\n", "ENOSPC"),
        (&["why", "/etc/passwd"], b"", "is a file of"),
        (&["why", &own], b"", "of memory"),
    ] {
        let output = llama(args, stdin);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(expected), "{args:?}: {text}");
        assert!(!text.contains('\x1b'), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        let none = expected == "I do not know";
        assert_eq!(
            output.status.code(),
            Some(if none { 0 } else { 3 }),
            "{args:?}: {said}"
        );
        assert!(none || said.contains("worded by no model"), "{said}");
    }
    let json = llama(&["--facts", facts, "--json", "what is wrong here?"], b"");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!(json["sentences"][0]["by"], "code");
    assert_eq!(json["by_model"], false);
}

#[test]
fn what_is_not_there_is_named() {
    check(
        &llama(&["why", "no-such-thing-here"], b""),
        1,
        "no-such-thing-here is no unit",
    );
    check(
        &llama(&["why", "2000000000"], b""),
        1,
        "no process has the number",
    );
    if !Path::new("/run/systemd/system").exists() {
        check(
            &llama(&["why", "x.service"], b""),
            1,
            "does not run systemd",
        );
        check(
            &llama(&["explain", "--unit", "x"], b""),
            1,
            "does not run systemd",
        );
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_llama"))
        .args(["explain", "ENOSPC"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("llama starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("llama ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !said.contains("panicked") && !said.contains("Broken pipe"),
        "{said}"
    );
}

#[test]
fn shell_init_prints_a_script_of_the_shell() {
    for (shell, word) in [
        ("bash", "PROMPT_COMMAND"),
        ("zsh", "zle -N"),
        ("fish", "commandline"),
    ] {
        let output = llama(&["shell-init", shell], b"");
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains(word) && text.contains("__llama_key"),
            "{text}"
        );
    }
    check(&llama(&["shell-init", "tcsh"], b""), 2, "tcsh");
    let key = ["shell-init", "--key", "ctrl-c", "bash"];
    check(&llama(&key, b""), 2, "ctrl-");
}

#[test]
fn fix_wants_a_command() {
    check(&llama(&["fix"], b""), 2, "no command to fix");
    let missing = ["fix", "--output", "/no/such/file", "--", "ls /x"];
    check(&llama(&missing, b""), 1, "/no/such/file");
}
