// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The user's shell in a terminal of its own, whose every byte passes through both ways.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use llamux_assistant::command::Last;
use pty_process::blocking::{self as pty, Pty};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::termios::{self, OptionalActions};
use signal_hook::consts::SIGCHLD;

use crate::console::{timespec, Console};
use crate::dialogue::{self, Absent};
use crate::sentence;
use crate::shells::{Answer, Channel, Key, Message, Shell, Start};
use crate::worker::{Place, Task, Worker};
use crate::{keys, Failure};

/// How to run.
pub(crate) struct Options {
    /// The shell's program.
    pub(crate) program: OsString,
    /// What shell it is, if we know.
    pub(crate) shell: Option<Shell>,
    /// The key that asks.
    pub(crate) key: Key,
    /// Whether to say nothing at the start.
    pub(crate) quiet: bool,
}

/// Runs the shell until it ends, and returns its exit status.
pub(crate) fn run(options: &Options, worker: &Worker) -> Result<u8, Failure> {
    let console = Console::standard().map_err(|error| Failure::io("the terminal", &error))?;
    let mut console = console.ok_or_else(|| {
        Failure::usage(
            "standard input and output must be a terminal; without one, use lsh --dry-run REQUEST",
        )
    })?;
    let channel =
        Channel::new().map_err(|error| Failure::io("a directory for the shell's pipes", &error))?;
    let start = match options.shell {
        Some(shell) => {
            let start = channel.prepare(shell, options.key);
            start.map_err(|error| Failure::io("a file for the shell", &error))?
        }
        None => Start::default(),
    };
    let (pty, pts) =
        pty::open().map_err(|error| Failure::other("a terminal for the shell", &error))?;
    let described = || -> rustix::io::Result<()> {
        if let Some(size) = console.size() {
            termios::tcsetwinsize(&pty, size)?;
        }
        termios::tcsetattr(&pts, OptionalActions::Now, console.saved())?;
        let flags = rustix::fs::fcntl_getfl(&pty)?;
        rustix::fs::fcntl_setfl(&pty, flags | OFlags::NONBLOCK)
    };
    described().map_err(|error| Failure::io("a terminal for the shell", &error.into()))?;
    let mut command = pty::Command::new(&options.program)
        .args(&start.args)
        .env("LSH", env!("CARGO_PKG_VERSION"));
    if let Some((name, value)) = &start.env {
        command = command.env(name, value);
    }
    let shown = options.program.to_string_lossy();
    let child = command
        .spawn(pts)
        .map_err(|error| Failure::other(&shown, &error))?;
    if !options.quiet {
        let hello = match options.shell {
            Some(_) => {
                "lsh: type a command, or say what you want; Ctrl-J runs a line as it is.\r\n"
                    .to_owned()
            }
            None => {
                format!(
                    "lsh: {shown} is none of bash, fish, zsh: sentences stay what they are.\r\n"
                )
            }
        };
        console.write(hello.as_bytes());
    }
    let mut terminal = Terminal {
        console,
        channel,
        pty,
        child,
        shell: options.shell,
        worker,
        pending: Vec::new(),
        running: None,
        last: None,
        history: Vec::new(),
        programs: None,
        absent: None,
    };
    let status = terminal.run();
    Ok(code(status))
}

/// The exit status of a shell, as a shell would tell it.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// A command that runs.
struct Running {
    command: String,
    /// The end of what it wrote.
    output: Vec<u8>,
}

/// Most bytes of output that are kept, and most of what was typed and the shell did not read yet.
const KEPT: usize = 1 << 13;
const PENDING: usize = 1 << 16;
/// How many commands are remembered.
const HISTORY: usize = 5;
/// How long a model that was not there is not asked again.
const PAUSE: Duration = Duration::from_secs(60);

/// The user's terminal and the shell's.
struct Terminal<'w> {
    console: Console,
    channel: Channel,
    pty: Pty,
    child: Child,
    shell: Option<Shell>,
    worker: &'w Worker,
    /// What was typed and the shell has not taken yet.
    pending: Vec<u8>,
    running: Option<Running>,
    last: Option<Last>,
    history: Vec<String>,
    /// The programs that there were when it was last asked, and when that was.
    programs: Option<(Instant, BTreeSet<String>)>,
    /// Until when no sentence is looked for, as there is no model; `None` in it: for good.
    absent: Option<Option<Instant>>,
}

impl Terminal<'_> {
    fn run(&mut self) -> ExitStatus {
        loop {
            let ready = self.poll();
            if ready.signals {
                if self.console.note_signals() {
                    self.resize();
                }
                if self.console.signals.take(SIGCHLD) {
                    if let Ok(Some(status)) = self.child.try_wait() {
                        self.show();
                        return status;
                    }
                }
            }
            if ready.typed && self.pending.len() < PENDING {
                let typed = self.console.read();
                self.pending.extend_from_slice(&typed);
            }
            if let Some(signal) = self.console.gone() {
                return self.hang_up(signal);
            }
            if !self.pending.is_empty() {
                self.hand_over();
            }
            // What a command wrote comes before what the shell says when it has ended.
            let open = self.show();
            if ready.asked {
                for message in self.channel.messages() {
                    self.serve(message);
                }
            }
            if !open {
                // Nobody has the shell's terminal any more: it is ending.
                if let Ok(status) = self.child.wait() {
                    return status;
                }
            }
        }
    }

    fn poll(&self) -> Ready {
        let typed = match self.pending.len() < PENDING {
            true => PollFlags::IN,
            false => PollFlags::empty(),
        };
        let shell = match self.pending.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::IN | PollFlags::OUT,
        };
        let (input, signalled) = (self.console.input(), self.console.signalled());
        let mut fds = [
            PollFd::new(&input, typed),
            PollFd::new(&self.pty, shell),
            PollFd::new(&self.channel, PollFlags::IN),
            PollFd::new(&signalled, PollFlags::IN),
        ];
        // A signal between two calls leaves a byte in its socket, so nothing is missed; an interrupted call
        // finds it the next time.
        let _ = rustix::event::poll(&mut fds, None);
        Ready {
            typed: !fds[0].revents().is_empty(),
            asked: !fds[2].revents().is_empty(),
            signals: !fds[3].revents().is_empty(),
        }
    }

    /// Shows what the shell's terminal has. Whether anybody still has it open.
    fn show(&mut self) -> bool {
        let mut buffer = [0; 1 << 16];
        // A program that writes without end leaves time for keys.
        for _ in 0..16 {
            match self.pty.read(&mut buffer) {
                Ok(0) => return false,
                Ok(read) => {
                    self.console.write(&buffer[..read]);
                    if let Some(running) = &mut self.running {
                        running.output.extend_from_slice(&buffer[..read]);
                        let over = running.output.len().saturating_sub(KEPT);
                        if over > KEPT {
                            running.output.drain(..over);
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // EIO: the last one closed it.
                Err(_) => return false,
            }
        }
        true
    }

    /// Gives the shell what was typed, as much as it takes.
    fn hand_over(&mut self) {
        while !self.pending.is_empty() {
            match rustix::io::write(&self.pty, &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => return,
                Err(_) => self.pending.clear(),
            }
        }
    }

    fn resize(&self) {
        if let Some(size) = self.console.size() {
            let _ = termios::tcsetwinsize(&self.pty, size);
        }
    }

    /// The user's terminal went away, or we are to end: so does the shell's.
    fn hang_up(&mut self, signal: i32) -> ExitStatus {
        if let Ok(Some(status)) = self.child.try_wait() {
            return status;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::HUP);
            let _ = rustix::process::kill_process(pid, Signal::CONT);
        }
        let deadline = Instant::now() + Duration::from_millis(500);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        ExitStatus::from_raw(signal)
    }

    /// Does what the shell wants.
    fn serve(&mut self, message: Message) {
        match message {
            // Both wait for an answer, so that it is known which output is the command's.
            Message::Prompt(status) => {
                self.ended(status);
                self.channel.answer(&Answer::Yes);
            }
            Message::Runs(command) => {
                self.running = Some(Running {
                    command,
                    output: Vec::new(),
                });
                self.channel.answer(&Answer::Yes);
            }
            Message::Path(path) => {
                // The user's files may have changed it, and commands are looked up along it.
                std::env::set_var("PATH", path);
                self.programs = None;
                self.channel.answer(&Answer::Yes);
            }
            Message::Sentence(line) => {
                let answer = match self.may_ask() && self.reads_like_sentence(&line) {
                    true => Answer::Yes,
                    false => Answer::No,
                };
                self.channel.answer(&answer);
            }
            Message::Request(request) => self.hold(Task::Propose(request)),
            Message::Complete(typed) => self.hold(Task::Complete(typed)),
            Message::Fix => self.hold(Task::Fix),
            Message::Unknown => self.channel.answer(&Answer::Back),
        }
    }

    /// A command ended.
    fn ended(&mut self, status: i32) {
        let Some(running) = self.running.take() else {
            return;
        };
        if let Some(last) = self.last.take() {
            self.history.push(last.command);
            if self.history.len() > HISTORY {
                self.history.remove(0);
            }
        }
        if status != 0 && self.may_ask() && sentence::may_have_been_one(&running.command) {
            // The cursor is at the beginning of a line if the command left it there, as they do.
            let hint =
                "lsh: a ? before a line that begins like this has it turned into a command\r\n";
            self.console.write(hint.as_bytes());
        }
        let output = keys::text(&running.output);
        // The shell shows the line again before it runs it.
        let output = match output.split_once('\n') {
            Some((line, rest)) if line.contains(running.command.trim()) => rest,
            _ => &output,
        };
        let error = output.trim();
        self.last = Some(Last {
            command: running.command,
            status,
            error: (!error.is_empty()).then(|| error.to_owned()),
        });
    }

    fn may_ask(&mut self) -> bool {
        match self.absent {
            None => true,
            Some(None) => false,
            Some(Some(until)) => Instant::now() >= until,
        }
    }

    fn reads_like_sentence(&mut self, line: &str) -> bool {
        if self
            .programs
            .as_ref()
            .is_none_or(|(when, _)| when.elapsed() > PAUSE)
        {
            let path = std::env::var_os("PATH").unwrap_or_default();
            self.programs = Some((Instant::now(), sentence::programs(&path)));
        }
        let programs = self.programs.as_ref().map(|(_, programs)| programs);
        sentence::reads_like_one(line, &|| programs.cloned().unwrap_or_default())
    }

    fn hold(&mut self, task: Task) {
        let place = Place {
            shell: self.shell.unwrap_or(Shell::Bash).into(),
            cwd: self.cwd(),
            last: self.last.clone(),
            history: self.history.clone(),
        };
        // What the shell wrote before it asked is on its way through its terminal.
        self.settle();
        let held = dialogue::hold(&mut self.console, self.worker, task, &place);
        // The size may have changed meanwhile.
        self.resize();
        match held.absent {
            Some(Absent::ForGood) => self.absent = Some(None),
            Some(Absent::ForNow) => self.absent = Some(Some(Instant::now() + PAUSE)),
            None => self.absent = None,
        }
        self.channel.answer(&held.answer);
    }

    /// Shows what comes within a moment.
    fn settle(&mut self) {
        let moment = timespec(Duration::from_millis(5));
        loop {
            self.show();
            let mut fds = [PollFd::new(&self.pty, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&moment)) {
                Ok(1) if fds[0].revents().contains(PollFlags::IN) => (),
                _ => return,
            }
        }
    }

    /// The shell's directory.
    fn cwd(&self) -> PathBuf {
        let link = format!("/proc/{}/cwd", self.child.id());
        std::fs::read_link(link)
            .or_else(|_| std::env::current_dir())
            .unwrap_or_else(|_| "/".into())
    }
}

/// What can be looked at.
struct Ready {
    typed: bool,
    asked: bool,
    signals: bool,
}
