// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `lsh` in a real terminal: tmux presses the keys and tells what the screen shows.
//!
//! In the place of the model is the example `lsh-told`, whose answers each test writes down.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What the model says, by a word of the request.
const TOLD: &str = "largest\tdu -a . | sort -rn | head -n 3\n\
                    greeting\techo 'hello there'\n\
                    lines\techo one\\necho two\n\
                    wipe\trm -rf ./nothing\n\
                    nowhere\t!missing\n\
                    unfinished\t!cut\n\
                    patience\t!busy\n\
                    own program\town-tool --now\n\
                    bang\techo \"wow!x\"\n";

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !there {
        println!("skipped: there is no {program}");
    }
    there
}

/// The shells that are here.
fn shells() -> impl Iterator<Item = &'static str> {
    let tmux = has("tmux");
    ["bash", "zsh", "fish"]
        .into_iter()
        .filter(move |shell| tmux && has(shell))
}

/// The directory of the programs that were built.
fn built() -> PathBuf {
    let lsh = Path::new(env!("CARGO_BIN_EXE_lsh"));
    lsh.parent()
        .expect("a program is in a directory")
        .to_owned()
}

fn told() -> PathBuf {
    let program = built().join("examples/lsh-told");
    assert!(
        program.exists(),
        "cargo test -p lsh builds {}",
        program.display()
    );
    program
}

/// A terminal with a home of its own.
struct Terminal {
    socket: String,
    dir: PathBuf,
    _turn: Turn,
}

/// How many terminals there are. Each has a shell that people wait for: with many at once, all are too slow.
static OPEN: Mutex<u32> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

/// The right to have one.
struct Turn;

impl Turn {
    fn wait() -> Self {
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = CLOSED
            .wait_while(open, |open| *open >= 3)
            .unwrap_or_else(PoisonError::into_inner);
        *open += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        CLOSED.notify_one();
    }
}

impl Terminal {
    /// Runs `line` in a terminal of this size; `$TOLD` and `$LSH` are the programs.
    fn new(width: u32, height: u32, line: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket = format!("lsh-test-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&socket);
        fs::create_dir_all(dir.join("home/.config/fish")).unwrap();
        // Without it fish reads all manual pages of the machine when it is first started.
        fs::create_dir_all(dir.join("home/.local/share/fish/generated_completions")).unwrap();
        fs::create_dir_all(dir.join("run")).unwrap();
        fs::create_dir_all(dir.join("bin")).unwrap();
        std::os::unix::fs::symlink(told(), dir.join("bin/lsh")).unwrap();
        fs::write(dir.join("told"), TOLD).unwrap();
        fs::write(
            dir.join("home/.bashrc"),
            "PS1='mine> '\nmyown() { echo own function; }\n",
        )
        .unwrap();
        fs::write(
            dir.join("home/.zshrc"),
            "PS1='mine> '\nmyown() { echo own function; }\n",
        )
        .unwrap();
        fs::write(
            dir.join("home/.config/fish/config.fish"),
            "set -g fish_greeting\nfunction fish_prompt; printf 'mine> '; end\nfunction myown; echo own function; end\n",
        )
        .unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let terminal = Self {
            socket,
            dir,
            _turn: Turn::wait(),
        };
        let script = format!(
            "cd {home}; export HOME={home} XDG_RUNTIME_DIR={run} LSH_TOLD={told} PATH={bin}:{path} \
             LC_ALL=C.UTF-8 TERM=screen; unset ZDOTDIR XDG_CONFIG_HOME LSH NO_COLOR SHLVL; {line}; \
             echo ended $?; exec sleep 600",
            home = terminal.at("home"),
            run = terminal.at("run"),
            told = terminal.at("told"),
            bin = terminal.at("bin"),
        );
        let file = terminal.dir.join("script");
        fs::write(&file, script).unwrap();
        let (width, height) = (width.to_string(), height.to_string());
        let begin = format!("sh {}", file.display());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "t",
            "-x",
            &width,
            "-y",
            &height,
            &begin,
        ]);
        terminal
    }

    fn lsh(shell: &str, width: u32, height: u32) -> Self {
        let terminal = Self::new(width, height, &format!("lsh --shell {shell}"));
        terminal.wait("mine>");
        terminal
    }

    fn at(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.socket])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a text, key by key as tmux does.
    fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "t", "-l", text]);
    }

    /// Presses a key by tmux's name of it.
    fn key(&self, key: &str) {
        self.tmux(&["send-keys", "-t", "t", key]);
    }

    /// Empties the line, by a key: fish forgets an interrupt that comes while it draws.
    fn empty(&self) {
        self.key("C-u");
        self.wait_last("mine>");
    }

    /// Types a line: at the prompt, if one comes soon, since what is typed while a command runs is taken as it is.
    ///
    /// Enter comes when the line is seen, if it is soon: the prompt that the next one waits for is another then.
    fn line(&self, text: &str) {
        self.soon(|last| last == "mine>");
        self.type_text(text);
        self.soon(|last| last.contains(text));
        self.key("Enter");
    }

    /// Waits for a moment until the last line is as wanted.
    fn soon(&self, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.screen().lines().last().is_some_and(&wanted) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn screen(&self) -> String {
        let screen = self.tmux(&["capture-pane", "-p", "-t", "t"]);
        let lines: Vec<_> = screen.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no {what:?} in:\n{screen}");
            thread::sleep(Duration::from_millis(30));
        }
    }

    #[track_caller]
    fn wait(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Waits until the last line is this.
    #[track_caller]
    fn wait_last(&self, line: &str) -> String {
        self.until(line, |screen| screen.lines().last() == Some(line))
    }

    /// A command that takes long, and is nobody else's.
    fn sleep(&self) -> String {
        let number = self.socket.rsplit('-').next().unwrap_or_default();
        format!("sleep 98{}.{number}", std::process::id())
    }

    /// Whether a process whose command line has this is alive, and not stopped.
    fn lives(&self, text: &str) -> bool {
        let args = ["--runstates", "S,R,D", "--full", text];
        let output = Command::new("pgrep").args(args).output().unwrap();
        output.status.success()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

const MENU: &str = "[r]un  [e]dit  [d]escribe  [n]o  [Esc] back";

#[test]
fn ordinary_commands_pass_through_and_the_exit_status_is_the_shells() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        terminal.line("echo ordinary; myown");
        terminal.wait("\nordinary\nown function\nmine>");
        // A program that is not there, and a slip, are the shell's to answer.
        terminal.line("gti stauts");
        terminal.wait("gti");
        terminal.wait_last("mine>");
        terminal.line("cd / ; pwd");
        terminal.wait("\n/\n");
        // The size is the terminal's, also after it changed.
        terminal.line("stty size");
        terminal.wait("24 80");
        terminal.tmux(&["resize-window", "-t", "t", "-x", "100", "-y", "30"]);
        thread::sleep(Duration::from_millis(200));
        terminal.line("stty size");
        terminal.wait("30 100");
        // Ctrl-C ends what runs; the line editor empties the line.
        let sleep = terminal.sleep();
        terminal.line(&format!("clear; {sleep}"));
        terminal.until("the program", |_| terminal.lives(&sleep));
        terminal.key("C-c");
        terminal.line("echo status");
        terminal.wait("\nstatus\n");
        terminal.line("exit 7");
        terminal.wait("ended 7");
        let left = fs::read_dir(terminal.dir.join("run")).unwrap().count();
        assert_eq!(left, 0, "{shell}: its directory is removed");
    }
}

#[test]
fn job_control_and_full_screen_programs_work() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        let sleep = terminal.sleep();
        terminal.line(&sleep);
        terminal.until("the program", |_| terminal.lives(&sleep));
        terminal.key("C-z");
        terminal.until("stopped", |screen| {
            screen.contains("topped") || screen.contains("suspended")
        });
        terminal.line("fg");
        // It waits for time again, and not for somebody to continue it.
        terminal.until("the program", |_| terminal.lives(&sleep));
        terminal.key("C-c");
        terminal.line("clear; seq 100 > numbers");
        if has("less") {
            terminal.line("less numbers");
            terminal.wait("\n23\n");
            terminal.key("G");
            terminal.wait("100\n(END)");
            terminal.key("q");
            terminal.wait_last("mine>");
        }
        if has("vim") {
            terminal.line("vim -u NONE numbers");
            terminal.wait("\n23\n");
            terminal.type_text("ihello is this a sentence");
            terminal.key("Escape");
            thread::sleep(Duration::from_millis(100));
            terminal.line(":wq");
            terminal.wait_last("mine>");
            terminal.line("head -n 1 numbers");
            terminal.wait("\nhello is this a sentence1\n");
        }
    }
}

#[test]
fn command_is_offered_without_a_shell_that_waits() {
    for shell in shells() {
        let offered = |request: &str| {
            let line = format!("export SHELL={shell}; lsh offer {request}");
            let terminal = Terminal::new(80, 24, &line);
            terminal.wait(MENU);
            terminal
        };
        let terminal = offered("show me a greeting");
        terminal.key("r");
        // The shell that runs it has taken its place.
        terminal.wait("\n  echo 'hello there'\nhello there\nended 0");
        let terminal = offered("show me a greeting");
        terminal.key("e");
        terminal.wait("Some(Ok(Edit(\"echo 'hello there'\")))\nended 1");
        let terminal = offered("wipe it all");
        terminal.key("r");
        terminal.wait("Type yes to run it");
        terminal.key("Enter");
        terminal.wait(MENU);
        terminal.key("n");
        terminal.wait("Some(Ok(Nothing))\nended 1");
    }
    if has("tmux") {
        let terminal = Terminal::new(80, 24, "lsh offer go nowhere");
        terminal.wait("Some(Err(Model(NoModel");
        let terminal = Terminal::new(80, 24, "lsh offer show me a greeting </dev/null");
        terminal.wait("None\nended 1");
    }
}

#[test]
fn sentence_becomes_a_command_of_the_shell_and_of_its_history() {
    for (shell, (width, height)) in
        shells().flat_map(|shell| [(shell, (80, 24)), (shell, (200, 60))])
    {
        let terminal = Terminal::lsh(shell, width, height);
        terminal.line("show me a greeting");
        let screen = terminal.wait(MENU);
        let expected = "mine> show me a greeting\n  echo 'hello there'\n";
        assert!(screen.contains(expected), "{shell}:\n{screen}");
        assert!(screen.contains("\n  read-only"), "{shell}:\n{screen}");
        terminal.key("r");
        let screen = terminal.wait("\nhello there\nmine>");
        assert!(
            screen.contains("mine> echo 'hello there'\nhello there\nmine>"),
            "{shell}:\n{screen}"
        );
        assert!(!screen.contains("[r]un"), "{shell}:\n{screen}");
        // It is in the history as if it had been typed.
        terminal.key("Up");
        terminal.wait_last("mine> echo 'hello there'");
        if shell != "fish" {
            terminal.key("Up");
            terminal.wait_last("mine> show me a greeting");
        }
        terminal.empty();
        terminal.line("exit 0");
        terminal.wait("ended 0");
    }
}

#[test]
fn proposal_can_be_edited_described_and_dropped() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        terminal.line("find me the largest files, please");
        if has("find") {
            // The first word is a command, so the line is the shell's.
            terminal.until("find's complaint", |screen| screen.contains("find:"));
        }
        terminal.line("? find me the largest files");
        terminal.wait(MENU);
        terminal.key("d");
        let screen = terminal.wait("[d]escribe less");
        assert!(screen.contains("head"), "{shell}:\n{screen}");
        terminal.key("d");
        terminal.wait(MENU);
        // A paste chooses nothing, nor does a key that is no choice.
        terminal.type_text("rrr");
        terminal.key("Up");
        thread::sleep(Duration::from_millis(200));
        terminal.wait(MENU);
        terminal.key("e");
        terminal.wait_last("mine> du -a . | sort -rn | head -n 3");
        terminal.type_text(" | wc -l");
        terminal.key("Enter");
        terminal.until("the edited line's output", |screen| {
            screen.ends_with("\n3\nmine>")
        });
        terminal.line("? the largest");
        terminal.wait(MENU);
        terminal.key("Escape");
        terminal.wait_last("mine> ? the largest");
        terminal.key("Enter");
        terminal.wait(MENU);
        terminal.key("C-c");
        terminal.wait_last("mine>");
        terminal.line("expr 20 + 3");
        terminal.wait("\n23\n");
    }
}

#[test]
fn dangerous_command_runs_only_after_yes() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        terminal.line("mkdir -p nothing/below");
        terminal.until("its end", |_| {
            terminal.dir.join("home/nothing/below").exists()
        });
        terminal.wait("below\nmine>");
        terminal.line("please wipe it all");
        let screen = terminal.wait(MENU);
        assert!(screen.contains("\n  needs-care: "), "{shell}:\n{screen}");
        terminal.key("r");
        terminal.wait("Type yes to run it:");
        terminal.type_text("n");
        // What comes in one piece is a paste, and chooses nothing.
        terminal.wait("run it: n");
        terminal.key("Enter");
        terminal.wait(MENU);
        assert!(terminal.dir.join("home/nothing").exists());
        terminal.key("r");
        terminal.wait("Type yes to run it:");
        for key in ["y", "e", "x", "BSpace", "s"] {
            terminal.key(key);
            thread::sleep(Duration::from_millis(50));
        }
        terminal.wait("run it: yes");
        terminal.key("Enter");
        terminal.wait_last("mine>");
        terminal.until("its end", |_| !terminal.dir.join("home/nothing").exists());
    }
}

#[test]
fn lines_that_continue_others_are_no_sentences() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        if shell == "fish" {
            terminal.line("begin");
            terminal.line("echo inside");
            terminal.line("end");
            terminal.wait("\ninside\n");
        } else {
            terminal.line("cat <<END");
            terminal.line("show me a greeting");
            terminal.line("END");
            terminal.until("the text", |screen| {
                screen.matches("show me a greeting").count() == 2
            });
        }
        // Ctrl-J and a blank leave a line to the shell.
        terminal.line("clear");
        terminal.until("an empty screen", |screen| screen == "mine>");
        terminal.type_text("show me a greeting");
        terminal.key("C-j");
        terminal.until("not found", |screen| screen.to_lowercase().contains("show"));
        terminal.wait_last("mine>");
        terminal.line(" show me a greeting");
        thread::sleep(Duration::from_millis(300));
        let screen = terminal.wait_last("mine>");
        assert!(!screen.contains("hello there"), "{shell}:\n{screen}");
    }
}

#[test]
fn what_was_shown_is_what_runs() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        terminal.line("echo xylophone");
        terminal.line("please show the bang");
        terminal.wait(MENU);
        terminal.key("r");
        terminal.wait("\nwow!x\n");
        terminal.line("please show two lines");
        terminal.wait("  echo one\n  echo two\n");
        terminal.key("r");
        terminal.wait("\none\ntwo\n");
    }
}

#[test]
fn programs_are_looked_for_where_the_shell_does() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        let dir = terminal.dir.join("own");
        fs::create_dir_all(&dir).unwrap();
        let tool = dir.join("own-tool");
        fs::write(&tool, "#!/bin/sh\necho it is found\n").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        terminal.line("please run my own program");
        terminal.wait("not verified: own-tool is not installed");
        terminal.key("n");
        terminal.wait_last("mine>");
        terminal.line(&match shell {
            "fish" => format!("set -x PATH $PATH {}", dir.display()),
            _ => format!("export PATH=$PATH:{}", dir.display()),
        });
        terminal.wait_last("mine>");
        terminal.line("please run my own program");
        terminal.wait(MENU);
        terminal.key("r");
        terminal.wait("\nit is found\n");
    }
}

#[test]
fn program_that_is_to_end_ends_the_shell_and_restores_the_terminal() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        let pid = format!("pkill -TERM -f '^lsh --shell {shell}' --parent");
        // Its parent is the script, which is what tmux runs.
        let script = terminal.tmux(&["list-panes", "-F", "#{pane_pid}"]);
        let done = Command::new("sh")
            .args(["-c", &format!("{pid} {}", script.trim())])
            .status();
        assert!(done.unwrap().success());
        terminal.wait("ended 143");
        assert_eq!(fs::read_dir(terminal.dir.join("run")).unwrap().count(), 0);
    }
}

#[test]
fn model_that_is_missing_busy_or_cut_off_is_said_and_the_shell_goes_on() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        terminal.line("please show unfinished things");
        terminal.wait("lsh: could not find a command for this");
        terminal.empty();
        terminal.line("please have some patience");
        terminal.wait("thinking");
        terminal.key("Escape");
        terminal.wait_last("mine> please have some patience");
        terminal.empty();
        terminal.line("please go nowhere");
        terminal.wait("lsh: the kernel has no model");
        terminal.empty();
        terminal.line("clear");
        // It was said once: now such a line is the shell's.
        terminal.line("please go nowhere");
        terminal.until("not found", |screen| {
            screen.contains("please") && screen.ends_with("\nmine>")
        });
        thread::sleep(Duration::from_millis(300));
        let screen = terminal.screen();
        assert!(!screen.contains("no model"), "{shell}:\n{screen}");
        terminal.line("exit 3");
        terminal.wait("ended 3");
    }
}

#[test]
fn last_failure_is_explained_by_what_it_wrote() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 100, 30);
        terminal.line("ls /frobnicate");
        terminal.until("its message", |screen| screen.contains("No such file"));
        terminal.wait_last("mine>");
        terminal.line("clear -x");
        terminal.line("ls /frobnicate");
        terminal.until("its message", |screen| screen.contains("No such file"));
        terminal.line("?");
        let screen = terminal.until("an explanation", |screen| {
            screen.matches("No such file").count() > 1
        });
        assert!(screen.contains("ls"), "{shell}:\n{screen}");
    }
}

#[test]
fn terminal_that_goes_away_ends_the_shell_and_leaves_nothing() {
    for shell in shells() {
        let terminal = Terminal::lsh(shell, 80, 24);
        let mark = terminal.sleep();
        terminal.line(&mark);
        terminal.until("the program", |_| terminal.lives(&mark));
        terminal.tmux(&["kill-server"]);
        let deadline = Instant::now() + Duration::from_secs(20);
        let left = || fs::read_dir(terminal.dir.join("run")).unwrap().count() > 0;
        while terminal.lives(&mark) || left() {
            assert!(
                Instant::now() < deadline,
                "{shell}: {mark} or the directory is still there"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn model_of_the_engine_is_asked_through_the_terminal() {
    let models = std::env::var_os("LLAMUX_MODELS").map(PathBuf::from);
    let model = models.map(|dir| dir.join("smollm2-135m.gguf"));
    let Some(model) = model.filter(|file| file.exists()) else {
        println!("skipped: LLAMUX_MODELS names no directory with smollm2-135m.gguf");
        return;
    };
    if !has("tmux") || !has("bash") {
        return;
    }
    let program = built().join("examples/lsh-host");
    let line = format!(
        "{} --shell bash --model {}",
        program.display(),
        model.display()
    );
    let terminal = Terminal::new(80, 24, &line);
    terminal.wait("mine>");
    terminal.line("list all files in this directory");
    // What it writes is its own affair: it is either shown to be chosen, or said to be nothing.
    terminal.until("an answer", |screen| {
        screen.contains("[e]dit  [d]escribe") || screen.contains("lsh: could not find a command")
    });
    terminal.key("C-c");
    terminal.wait_last("mine>");
    terminal.line("exit 0");
    terminal.wait("ended 0");
}

#[test]
fn unknown_shell_runs_as_it_is() {
    if !has("tmux") {
        return;
    }
    let terminal = Terminal::new(80, 24, "PS1='plain> ' lsh --shell sh");
    terminal.wait("plain>");
    terminal.wait("lsh: sh is none of bash, fish, zsh");
    terminal.line("exit 5");
    terminal.wait("ended 5");
    let terminal = Terminal::new(80, 24, "lsh --shell /no/such/shell");
    terminal.wait("lsh: /no/such/shell: ");
    terminal.wait("ended 1");
}

#[test]
fn key_works_in_a_shell_without_lsh() {
    for shell in shells() {
        let known = match shell {
            "bash" => lsh::shells::Shell::Bash,
            "zsh" => lsh::shells::Shell::Zsh,
            _ => lsh::shells::Shell::Fish,
        };
        let script = lsh::shells::init(known, lsh::shells::KEY.parse().unwrap());
        let terminal = Terminal::new(80, 24, &format!("sleep 0.3; {shell}"));
        let rc = match shell {
            "bash" => "home/.bashrc",
            "zsh" => "home/.zshrc",
            _ => "home/.config/fish/config.fish",
        };
        let before = fs::read_to_string(terminal.dir.join(rc)).unwrap();
        // A handler that was there before goes on.
        let handler = match shell {
            "bash" => "command_not_found_handle() { echo \"mine: $1\"; return 127; }\nset -u\n",
            "zsh" => "command_not_found_handler() { echo \"mine: $1\"; return 127 }\n",
            _ => "function fish_command_not_found; echo \"mine: $argv[1]\"; end\n",
        };
        // Twice, as when such a file is read again.
        fs::write(
            terminal.dir.join(rc),
            format!("{before}{handler}{script}{script}"),
        )
        .unwrap();
        terminal.wait("mine>");
        terminal.type_text("show me a greeting");
        terminal.key("M-l");
        terminal.wait(MENU);
        terminal.key("r");
        terminal.wait("\nhello there\nmine>");
        terminal.line("clear");
        terminal.type_text("please wipe it");
        terminal.key("M-l");
        terminal.wait(MENU);
        terminal.key("e");
        terminal.wait_last("mine> rm -rf ./nothing");
        terminal.empty();
        // What "llama fix" is told, by a program in its place.
        let fake = terminal.dir.join("bin/llama");
        fs::write(&fake, "#!/bin/sh\necho \"told: $*\"\n").unwrap();
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
        terminal.line("clear");
        terminal.line("ls /frob  nicate");
        terminal.line("llama fix");
        terminal.wait("\ntold: fix --status 2 -- ls /frob  nicate\n");
        terminal.line("ls /frob");
        terminal.until("its failure", |screen| screen.matches("/frob").count() >= 4);
        terminal.wait_last("mine>");
        terminal.key("M-l");
        terminal.wait("\n  ls failed with status 2\n");
        terminal.wait("[n]o");
        terminal.key("n");
        terminal.wait_last("mine>");
        terminal.line("llama status");
        terminal.wait("\ntold: status\n");
        // Enter is the shell's own.
        terminal.line("clear");
        terminal.line("show me a greeting");
        terminal.wait("mine: show");
        terminal.wait("this reads like a sentence");
        terminal.line("gti status");
        terminal.wait("mine: gti");
        if has("git") {
            terminal.wait("did you mean git");
        }
        terminal.line("exit");
        terminal.wait("ended");
    }
}
