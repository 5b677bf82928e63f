// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `llama-mon` prints and how it ends, on a recorded system and where there is no Llamux; and its screen, in a
//! real terminal.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_llama-mon");

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recorded")
        .join(name)
}

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::null());
    command.output().expect("llama-mon runs")
}

#[track_caller]
fn check(output: &Output, code: i32, stderr: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(stderr), "{said}");
}

/// A directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("llama-mon-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_recording_is_printed_as_text_and_as_json() {
    let root = recorded("second");
    let root = root.to_str().unwrap();
    let once = run(&["--once", "--root", root]);
    check(&once, 0, "");
    let text = String::from_utf8(once.stdout).unwrap();
    assert!(
        text.starts_with("llama-mon: Linux 7.3.4, up 23 s, ready, recorded\n"),
        "{text}"
    );
    assert!(text.is_ascii() && !text.contains('\x1b'));
    let lines = run(&[
        "--json",
        "--root",
        root,
        "--interval",
        "0.1",
        "--count",
        "3",
    ]);
    check(&lines, 0, "");
    let text = String::from_utf8(lines.stdout).unwrap();
    let objects: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[2]["sessions"][0]["name"], "ana");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let root = recorded("first");
    let mut mon = Command::new(PROGRAM)
        .args(["--json", "--interval", "0.1", "--count", "0", "--root"])
        .arg(root)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(mon.stdout.take());
    let output = mon.wait_with_output().unwrap();
    check(&output, 0, "");
    assert!(output.stderr.is_empty());
}

#[test]
fn a_kernel_without_llamux_is_named() {
    let scratch = Scratch::new("none");
    let root = scratch.0.to_str().unwrap();
    for args in [&["--once"][..], &["--json"], &[]] {
        let args = [args, &["--root", root]].concat();
        check(
            &run(&args),
            3,
            "boot the kernel of the package linux-llamux",
        );
    }
}

#[test]
fn a_kernel_without_a_model_says_why() {
    let scratch = Scratch::new("no-model");
    let dir = scratch.0.join("proc/llamux");
    std::fs::create_dir_all(&dir).unwrap();
    let status = "state: unavailable\nreason: a.gguf: not a GGUF file\nrequests_served: 0\n";
    std::fs::write(dir.join("status"), status).unwrap();
    let output = run(&["--once", "--root", scratch.0.to_str().unwrap()]);
    check(&output, 4, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("no model") && text.contains("a.gguf: not a GGUF file"),
        "{text}"
    );
}

#[test]
fn wrong_usage_says_what_is_right() {
    let root = recorded("first");
    let root = root.to_str().unwrap();
    check(
        &run(&["--root", root]),
        2,
        "no terminal: use --once or --json",
    );
    check(&run(&["--interval", "0"]), 2, "from 0.1 to 3600");
    let absent = run(&[
        "--once",
        "--root",
        root,
        "--facts",
        "/nonexistent/facts.json",
    ]);
    check(&absent, 1, "/nonexistent/facts.json");
}

/// A terminal of tmux's, with a server of its own.
struct Tmux {
    socket: String,
}

impl Tmux {
    /// `None` if there is no tmux.
    fn start(name: &str, (width, height): (u16, u16), command: &str) -> Option<Self> {
        let socket = format!("llama-mon-{}-{name}", std::process::id());
        let tmux = Self { socket };
        let size = [width.to_string(), height.to_string()];
        let started = tmux.command(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "test",
            "-x",
            &size[0],
            "-y",
            &size[1],
            command,
        ]);
        match started {
            Ok(output) => {
                check(&output, 0, "");
                Some(tmux)
            }
            Err(_) => {
                println!("skipped: there is no tmux");
                None
            }
        }
    }

    fn command(&self, args: &[&str]) -> std::io::Result<Output> {
        let mut tmux = Command::new("tmux");
        tmux.env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        tmux.args(["-L", &self.socket]).args(args).output()
    }

    fn keys(&self, keys: &[&str]) {
        let args = [&["send-keys", "-t", "test"], keys].concat();
        check(&self.command(&args).unwrap(), 0, "");
    }

    fn screen(&self) -> String {
        let output = self.command(&["capture-pane", "-p", "-t", "test"]).unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the screen has all of this.
    #[track_caller]
    fn wait_for(&self, parts: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if parts.iter().all(|part| screen.contains(part)) {
                return screen;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "no {parts:?} in:\n{screen}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]);
    }
}

fn shell(scratch: &Scratch, environment: &str) -> String {
    // A shell that says how the program ended, and whether the terminal is as it was.
    format!(
        "cd {}; stty -a | tail -n +2 >before; {environment} {PROGRAM} --interval 0.2 --root root; echo status $?; stty -a | tail -n +2 | cmp - before \
         && echo same terminal; exec sh",
        scratch.0.display()
    )
}

/// A root that can be exchanged for another one while it is looked at.
fn exchangeable(scratch: &Scratch, name: &str) {
    let link = scratch.0.join("new");
    std::os::unix::fs::symlink(recorded(name), &link).unwrap();
    std::fs::rename(link, scratch.0.join("root")).unwrap();
}

#[test]
fn a_terminal_of_80_by_24_shows_everything() {
    let scratch = Scratch::new("tmux-80");
    exchangeable(&scratch, "first");
    let Some(tmux) = Tmux::start("80", (80, 24), &shell(&scratch, "LC_ALL=C.UTF-8")) else {
        return;
    };
    tmux.wait_for(&["llama-mon  ready", "up 12 s", "[1 Sessions]"]);
    exchangeable(&scratch, "second");
    let screen = tmux.wait_for(&["up 23 s", "55.5 tokens/s"]);
    assert_eq!(
        screen
            .lines()
            .filter(|line| line.contains("answering"))
            .count(),
        4,
        "{screen}"
    );
    tmux.keys(&["2"]);
    tmux.wait_for(&["[2 Users]", "> root", "ana*"]);
    tmux.keys(&["e"]);
    tmux.wait_for(&["Not done: files of another system are shown"]);
    tmux.keys(&["?"]);
    tmux.wait_for(&["Ctrl-Z            suspend", "any key: back"]);
    tmux.keys(&["x", "C-z"]);
    // The shell of the test has no job control, so that nobody gets it back but by a signal.
    thread::sleep(Duration::from_millis(300));
    check(
        &tmux
            .command(&["resize-window", "-t", "test", "-x", "40", "-y", "10"])
            .unwrap(),
        0,
        "",
    );
    let pid = tmux
        .command(&["display-message", "-p", "-t", "test", "#{pane_pid}"])
        .unwrap();
    let shell = String::from_utf8(pid.stdout).unwrap();
    let mon = child_of(shell.trim());
    signal(&mon, "CONT");
    tmux.wait_for(&["llama-mon  ready  Linux 7.3.4", "? help"]);
    tmux.keys(&["q"]);
    tmux.wait_for(&["status 0", "same terminal"]);
}

#[test]
fn a_terminal_of_200_by_60_shows_all_lists_at_once() {
    let scratch = Scratch::new("tmux-200");
    exchangeable(&scratch, "second");
    let environment = "LC_ALL=C NO_COLOR=1";
    let Some(tmux) = Tmux::start("200", (200, 60), &shell(&scratch, environment)) else {
        return;
    };
    let screen = tmux.wait_for(&[
        "-[1 Sessions]---",
        "- 4 Settings ---",
        "system_prompt",
        "not looked at",
    ]);
    assert!(screen.is_ascii(), "{screen}");
    assert_eq!(screen.lines().count(), 60);
    let output = tmux
        .command(&["capture-pane", "-p", "-e", "-t", "test"])
        .unwrap();
    let coloured = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(coloured.contains("\x1b[7m"), "something is reversed");
    // 39 and 49 are the terminal's own.
    for colour in (30..39).chain(40..49).chain(90..108) {
        let sequence = format!("\x1b[{colour}");
        assert!(
            !coloured.contains(&sequence),
            "there is a colour: {coloured:?}"
        );
    }
    let pid = tmux
        .command(&["display-message", "-p", "-t", "test", "#{pane_pid}"])
        .unwrap();
    let mon = child_of(String::from_utf8(pid.stdout).unwrap().trim());
    signal(&mon, "TERM");
    // 128 and the number of the signal.
    tmux.wait_for(&["status 143", "same terminal"]);
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let scratch = Scratch::new("tmux-gone");
    exchangeable(&scratch, "first");
    let command = format!("exec {PROGRAM} --root {}/root", scratch.0.display());
    let Some(tmux) = Tmux::start("gone", (80, 24), &command) else {
        return;
    };
    tmux.wait_for(&["llama-mon  ready"]);
    let pid = tmux
        .command(&["display-message", "-p", "-t", "test", "#{pane_pid}"])
        .unwrap();
    let pid = String::from_utf8(pid.stdout).unwrap().trim().to_owned();
    let process = PathBuf::from(format!("/proc/{pid}/exe"));
    assert!(process.exists());
    drop(tmux);
    let start = Instant::now();
    while process.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it runs without a terminal"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_dumb_terminal_gets_plain_text() {
    let scratch = Scratch::new("tmux-dumb");
    exchangeable(&scratch, "first");
    let Some(tmux) = Tmux::start("dumb", (100, 50), &shell(&scratch, "TERM=dumb")) else {
        return;
    };
    tmux.wait_for(&["nice", "system_prompt", "Findings"]);
    let pid = tmux
        .command(&["display-message", "-p", "-t", "test", "#{pane_pid}"])
        .unwrap();
    let mon = child_of(String::from_utf8(pid.stdout).unwrap().trim());
    signal(&mon, "INT");
    tmux.wait_for(&["status 130", "same terminal"]);
}

fn child_of(shell: &str) -> String {
    let children = Command::new("ps")
        .args(["--ppid", shell, "-o", "pid="])
        .output();
    let pids = String::from_utf8(children.unwrap().stdout).unwrap();
    pids.split_whitespace().next().expect("it runs").to_owned()
}

fn signal(pid: &str, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, pid])
        .status()
        .unwrap();
    assert!(status.success() && status.signal().is_none());
}
