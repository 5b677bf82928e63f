// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Boots a kernel, in User Mode Linux or in QEMU, and sees to it that this ends.
//!
//! The system has two terminals: one for what its program prints, which becomes our standard output,
//! and one for the kernel's log, which ends in a line that says how the program ended.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use rustix::process::{kill_process_group, set_parent_process_death_signal, Pid, Signal};

use crate::kernel::Target;
use crate::progress::human_time;
use crate::sh;

/// What the init of `assets/init` writes to the log at the end.
const EXIT: &str = "xtask-exit: ";
/// How much of the log an error shows.
const TAIL: usize = 40;

/// A machine to be booted.
pub(crate) struct Machine<'a> {
    pub(crate) target: Target,
    pub(crate) image: &'a Path,
    pub(crate) initrd: &'a Path,
    pub(crate) memory_mb: u64,
    pub(crate) cpus: usize,
    /// More words for the kernel's command line.
    pub(crate) append: Vec<String>,
    pub(crate) timeout: Option<Duration>,
    /// Shows the kernel's log.
    pub(crate) verbose: bool,
    pub(crate) console: Console,
    /// Where the whole log is kept.
    pub(crate) log: PathBuf,
}

/// Where the program's terminal leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Console {
    /// To our standard output as it comes.
    Pass,
    /// Into the result.
    Capture,
    /// To and from the user's terminal.
    Interactive,
}

/// How a boot ended.
pub(crate) struct Outcome {
    /// The program's exit status, if it came to that.
    pub(crate) status: Option<u8>,
    /// What the program printed, if captured.
    pub(crate) output: String,
    /// The kernel's log.
    pub(crate) log: Vec<String>,
    /// Why there is no status.
    pub(crate) reason: Option<String>,
}

impl Outcome {
    /// The status, or an error with the end of the log.
    pub(crate) fn status(&self) -> Result<u8> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let tail = &self.log[self.log.len().saturating_sub(TAIL)..];
        bail!(
            "the system {}; the end of its log:\n{}",
            self.reason.as_deref().unwrap_or("ended without a word"),
            tail.join("\n")
        )
    }
}

/// Whether KVM can be used here. Some hosts offer the device to a guest whose processor does not show
/// the instructions; what boots on it then hangs before its first line.
pub(crate) fn kvm() -> bool {
    let shown = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|info| {
        info.split_ascii_whitespace()
            .any(|flag| flag == "vmx" || flag == "svm")
    });
    shown
        && File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok()
}

/// QEMU's options for the fastest processor that it can be here.
pub(crate) fn accelerator() -> [&'static str; 4] {
    if kvm() {
        return ["-accel", "kvm", "-cpu", "host"];
    }
    // An interrupt during identify_cpu(), which clears the feature bits for a while, finds
    // pgtable_l5_enabled() false, and KASAN then takes all addresses for wild ones.
    ["-accel", "tcg", "-cpu", "max,la57=off"]
}

impl Machine<'_> {
    /// Boots it and waits for its end, which comes: by itself, by a panic, or by the time limit.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let mut command = match self.target {
            Target::Uml => self.uml(),
            Target::X86_64 => self.qemu(),
        };
        sh::announce(&command);
        match self.console {
            Console::Pass | Console::Capture => {
                command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .process_group(0);
            }
            // In a process group of its own it could not read the terminal.
            Console::Interactive => {
                command.stdin(Stdio::inherit()).stdout(Stdio::inherit());
            }
        }
        command.stderr(Stdio::piped());
        let die_with_us =
            || set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into);
        // SAFETY: Between fork and exec only a system call is made.
        unsafe { command.pre_exec(die_with_us) };
        let _terminal = (self.console == Console::Interactive).then(Terminal::save);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;

        // Open until the end, and silent: the program's input never ends and never comes.
        let _input = child.stdin.take();
        let (to_us, events) = mpsc::channel();
        let log = child.stderr.take().context("standard error is piped")?;
        let sender = to_us.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line)
                    .trim_end_matches('\r')
                    .to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        drop(to_us);
        let console = self.console;
        let output = child
            .stdout
            .take()
            .map(|stdout| thread::spawn(move || pass(stdout, console)));

        let mut outcome = self.watch(&mut child, &events)?;
        if let Some(output) = output {
            outcome.output = output.join().unwrap_or_default();
        }
        drop(events);
        let _ = reader.join();
        let _ = fs::write(&self.log, outcome.log.join("\n") + "\n");
        Ok(outcome)
    }

    /// Follows the log until the machine is off.
    fn watch(&self, child: &mut Child, events: &mpsc::Receiver<String>) -> Result<Outcome> {
        let started = Instant::now();
        let mut deadline = self.timeout.map(|timeout| started + timeout);
        let mut outcome = Outcome {
            status: None,
            output: String::new(),
            log: Vec::new(),
            reason: None,
        };
        // After its last word a machine has some seconds to go off by itself.
        let soon = || Some(Instant::now() + Duration::from_secs(10));
        loop {
            let wait = deadline.map_or(Duration::from_secs(3600), |at| {
                at.saturating_duration_since(Instant::now())
            });
            match events.recv_timeout(wait) {
                Ok(line) => {
                    if self.verbose {
                        eprintln!("{line}");
                    }
                    if let Some(status) = line.strip_prefix(EXIT) {
                        outcome.status = status.trim().parse().ok();
                        deadline = soon();
                    } else if line.contains("Kernel panic - not syncing")
                        && outcome.reason.is_none()
                    {
                        outcome.reason = Some("panicked".to_owned());
                        deadline = soon();
                    }
                    outcome.log.push(line);
                }
                // Nothing writes to the log any more: it is off.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if deadline.is_some() => {
                    if outcome.status.is_none() && outcome.reason.is_none() {
                        let limit = human_time(self.timeout.unwrap_or_default());
                        outcome.reason = Some(format!("was stopped after {limit}"));
                    }
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        self.end(child);
        let status = child.wait()?;
        if outcome.status.is_none() && outcome.reason.is_none() {
            outcome.reason = Some(format!("went off before its program ended ({status})"));
        }
        Ok(outcome)
    }

    /// Kills whatever is left: User Mode Linux is several processes.
    fn end(&self, child: &mut Child) {
        let left = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_none());
        for _ in 0..20 {
            if !left(child) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        if self.console == Console::Interactive {
            let _ = child.kill();
        } else if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // The group outlives its leader, and this is how its stragglers end.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn uml(&self) -> Command {
        let mut uml = sh::cmd(self.image);
        uml.arg(format!("mem={}M", self.memory_mb));
        uml.arg(format!("initrd={}", self.initrd.display()));
        uml.args(["seccomp=on", &format!("ncpus={}", self.cpus)]);
        // A channel must be something that can be polled, which rules out its `null` for input.
        uml.args(["con=null", "ssl=null", "con0=fd:0,fd:1", "ssl0=fd:2"]);
        uml.args([
            "console=ttyS0",
            "xtask.answer=tty0",
            "xtask.log=ttyS0",
            "panic=-1",
        ]);
        uml.args(&self.append);
        // Its memory is a file there; a small /dev/shm, as containers have, would end it with SIGBUS.
        let free = rustix::fs::statvfs("/dev/shm").map_or(0, |fs| fs.f_bavail * fs.f_frsize);
        if free / (1 << 20) > self.memory_mb {
            uml.env("TMPDIR", "/dev/shm");
        } else if let Some(dir) = self.initrd.parent() {
            uml.env("TMPDIR", dir);
        }
        uml
    }

    fn qemu(&self) -> Command {
        let mut qemu = sh::cmd("qemu-system-x86_64");
        qemu.args(["-M", "q35", "-nodefaults", "-no-user-config", "-no-reboot"]);
        qemu.args(accelerator());
        qemu.arg("-smp")
            .arg(self.cpus.to_string())
            .arg("-m")
            .arg(format!("{}M", self.memory_mb));
        qemu.arg("-kernel")
            .arg(self.image)
            .arg("-initrd")
            .arg(self.initrd);
        qemu.args(["-display", "none", "-monitor", "none"]);
        // The first serial port is the log's, as the kernel's early messages go there.
        qemu.args([
            "-chardev",
            "file,id=log,path=/dev/stderr",
            "-serial",
            "chardev:log",
        ]);
        qemu.args([
            "-chardev",
            "stdio,id=answer,signal=off",
            "-serial",
            "chardev:answer",
        ]);
        let words = [
            "console=ttyS0",
            "xtask.answer=ttyS1",
            "xtask.log=ttyS0",
            "panic=-1",
        ];
        let words: Vec<&str> = words
            .into_iter()
            .chain(self.append.iter().map(String::as_str))
            .collect();
        qemu.arg("-append").arg(words.join(" "));
        qemu
    }
}

/// Reads the program's terminal to its end.
fn pass(mut from: impl Read, console: Console) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if console == Console::Capture {
            all.extend_from_slice(&buffer[..n]);
        } else {
            let mut out = std::io::stdout().lock();
            // Whoever reads our output may stop reading; the system still has to end.
            let _ = out.write_all(&buffer[..n]).and_then(|()| out.flush());
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// The user's terminal as it was, for after a machine that was killed in raw mode.
struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    fn save() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(termios) = &self.0 {
            let _ = rustix::termios::tcsetattr(
                std::io::stdin(),
                rustix::termios::OptionalActions::Now,
                termios,
            );
        }
    }
}
