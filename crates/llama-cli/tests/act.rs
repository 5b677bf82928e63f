// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama do`, `history`, `undo` and `profile`, with real effects on processes that the tests start.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn nice(&self) -> i32 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let rest = stat.rsplit(')').next().unwrap();
        rest.split_whitespace().nth(16).unwrap().parse().unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processes belong to who runs them, these as well.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn llama(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_llama"))
        .args(args)
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn nothing_is_done_unless_it_is_confirmed() {
    let home = tempfile::tempdir().unwrap();
    let mut sleeper = Sleeper::new();
    let pid = sleeper.0.id().to_string();
    let text = said(&llama(home.path(), &["do", "kill", &pid]), 1);
    assert!(text.contains("no terminal"), "{text}");
    let text = said(&llama(home.path(), &["do", "--dry-run", "kill", &pid]), 0);
    assert!(text.contains(&format!("kill -TERM {pid}")), "{text}");
    let text = said(
        &llama(home.path(), &["do", "--yes", "force", "kill", &pid]),
        1,
    );
    assert!(text.contains("dangerous"), "{text}");
    assert!(sleeper.0.try_wait().unwrap().is_none());
    let text = said(&llama(home.path(), &["history"]), 0);
    assert!(text.contains("Nothing was done"), "{text}");
    let text = said(
        &llama(home.path(), &["do", "--json", "--yes", "kill", &pid]),
        0,
    );
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["action"]["kind"], "end");
    assert_eq!(json["results"][0]["note"], "ended");
    assert!(sleeper.0.try_wait().unwrap().is_some());
    let text = said(&llama(home.path(), &["undo", "--yes"]), 1);
    assert!(text.contains("nothing to undo"), "{text}");
}

#[test]
fn what_was_done_is_listed_and_undone() {
    let home = tempfile::tempdir().unwrap();
    let sleeper = Sleeper::new();
    let pid = sleeper.0.id().to_string();
    let before = sleeper.nice();
    said(
        &llama(home.path(), &["do", "--yes", "renice", &pid, "to", "17"]),
        0,
    );
    assert_eq!(sleeper.nice(), 17);
    let text = said(&llama(home.path(), &["history"]), 0);
    assert!(text.contains("can be undone"), "{text}");
    let text = said(&llama(home.path(), &["undo", "--dry-run"]), 0);
    assert!(
        text.contains(&format!("nice level of {pid} sleep to {before}")),
        "{text}"
    );
    // Raising a priority again is root's.
    if is_root() {
        said(&llama(home.path(), &["undo", "--yes", "1"]), 0);
        assert_eq!(sleeper.nice(), before);
        let text = said(&llama(home.path(), &["undo", "--yes", "1"]), 1);
        assert!(text.contains("undone already"), "{text}");
    }
    let text = said(&llama(home.path(), &["undo", "--yes", "9"]), 1);
    assert!(text.contains("there is no 9"), "{text}");
}

#[test]
fn requests_that_cannot_be_are_refused_with_a_reason() {
    let home = tempfile::tempdir().unwrap();
    for (words, code, part) in [
        (&["kill", "process", "1"][..], 1, "the system itself"),
        (&["kill", "2147483647"], 1, "there is no process"),
        (&["do", "not", "kill", "sleep"], 1, "what not to do"),
        (&["kill", "no-such-program-anywhere"], 1, "called"),
        (&["set", "swappiness", "to", "999"], 1, "0 to 200"),
        (&[], 2, "WORD"),
        (&["--facts", "x", "kill", "it"], 2, "--dry-run"),
        (
            &["--dry-run", "--facts", "/nonexistent", "kill", "it"],
            2,
            "/nonexistent",
        ),
        (
            &["--dry-run", "--facts", "/proc/version", "kill", "it"],
            2,
            "/proc/version",
        ),
    ] {
        let args: Vec<_> = ["do"].iter().chain(words).copied().collect();
        let text = said(&llama(home.path(), &args), code);
        assert!(text.contains(part), "{words:?}: {text}");
    }
    let long = "kill ".repeat(1000);
    assert!(said(&llama(home.path(), &["do", &long]), 2).contains("bytes"));
    assert!(!home.path().join("state").exists());
}

#[test]
fn facts_of_another_time_are_only_shown() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("facts.json");
    let facts = r#"{"version": 1, "processes": [{"pid": 70, "start_time": 5, "name": "firefox",
        "command": "firefox", "rss": 1048576, "uid": 7, "user": "x\u001b[2Jy", "group": "app:firefox"}],
        "groups": [{"id": "app:firefox", "name": "Firefox", "pids": [70], "memory": 1048576}]}"#;
    fs::write(&file, facts).unwrap();
    let path = file.to_str().unwrap();
    let args = ["do", "--dry-run", "--facts", path, "close", "firefox"];
    let text = said(&llama(home.path(), &args), 0);
    assert!(text.contains("End Firefox (process 70), 1 MiB"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_profile_is_applied_and_ended() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("config/llamux/profiles");
    fs::create_dir_all(&dir).unwrap();
    // A program of a name that nobody else has.
    let program = home.path().join("llamux-sleeper");
    fs::copy("/bin/sleep", &program).unwrap();
    // Another test may start a program just now, which then has this one open for writing as well.
    let started = || Command::new(&program).arg("600").spawn();
    let sleeper = loop {
        match started() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            started => break Sleeper(started.unwrap()),
        }
    };
    let before = sleeper.nice();
    fs::write(
        dir.join("quiet.toml"),
        "description = \"Quiet\"\n[[action]]\nkind = \"renice\"\nprograms = [\"llamux-sleeper\"]\nnice = 18\n",
    )
    .unwrap();
    fs::write(
        dir.join("broken.toml"),
        "description = \"x\"\n[[action]]\nkind = \"fly\"\n",
    )
    .unwrap();
    let text = said(&llama(home.path(), &["profile", "list"]), 0);
    assert!(
        text.contains("  quiet") && text.contains("line 3"),
        "{text}"
    );
    let text = said(
        &llama(home.path(), &["profile", "apply", "broken", "--yes"]),
        1,
    );
    assert!(text.contains("broken.toml, line 3"), "{text}");
    let text = said(
        &llama(home.path(), &["profile", "apply", "none", "--yes"]),
        1,
    );
    assert!(text.contains("there are broken"), "{text}");
    said(&llama(home.path(), &["profile", "show", "quiet"]), 0);
    let json = |order: &[&str], status| -> serde_json::Value {
        let all = [&["do", "--json"], order].concat();
        serde_json::from_str(&said(&llama(home.path(), &all), status)).unwrap()
    };
    let shown = json(&["--dry-run", "apply", "the", "profile", "quiet"], 0);
    assert_eq!(shown["decision"], "profile");
    assert_eq!(shown["profile"], "quiet");
    assert_eq!(shown["done"], false);
    assert_eq!(shown["previews"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(sleeper.nice(), before);
    said(
        &llama(home.path(), &["profile", "apply", "quiet", "--yes"]),
        0,
    );
    assert_eq!(sleeper.nice(), 18);
    let text = said(&llama(home.path(), &["profile", "list"]), 0);
    assert!(text.contains("* quiet"), "{text}");
    let text = said(
        &llama(home.path(), &["profile", "apply", "quiet", "--yes"]),
        1,
    );
    assert!(text.contains("llama profile off"), "{text}");
    if is_root() {
        let off = json(&["--yes", "turn", "the", "profile", "off"], 0);
        assert_eq!(off["decision"], "profile-off");
        assert_eq!(off["restores"].as_array().unwrap().len(), 1, "{off}");
        assert_eq!(off["done"], true);
        assert_eq!(off["results"].as_array().unwrap().len(), 1, "{off}");
        assert_eq!(sleeper.nice(), before);
        let done = json(&["--yes", "apply", "the", "profile", "quiet"], 0);
        assert_eq!(done["results"][0]["ok"], true, "{done}");
        assert_eq!(sleeper.nice(), 18);
        said(&llama(home.path(), &["profile", "off", "--yes"]), 0);
        assert_eq!(sleeper.nice(), before);
        let text = said(&llama(home.path(), &["profile", "off", "--yes"]), 1);
        assert!(text.contains("no profile is applied"), "{text}");
    }
    let edit = Command::new(env!("CARGO_BIN_EXE_llama"))
        .args(["profile", "edit", "mine"])
        .env("XDG_CONFIG_HOME", home.path().join("config"))
        .env("VISUAL", "true")
        .output()
        .unwrap();
    assert!(said(&edit, 0).contains("mine.toml is sound"));
}
