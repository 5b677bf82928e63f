// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Runs a line of the shell in a terminal of its own and types: for tests where there is no tmux.
//!
//! `typed LINE STEP...`: a step `=TEXT` waits until the screen has the text, or one of several with `|` between them,
//! `!TEXT` until it has it no more, and any other one is typed. In the environment, PATIENCE says how many seconds a
//! step may wait. At the end the last screen is on standard output. The
//! exit status is the line's, or 99 if a step waited in vain or the line did not end.

use std::error::Error;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, ExitCode};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// How long a step waits, if PATIENCE does not say.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a person takes before each key: some keys are for what is shown, and not for what was before.
const PAUSE: Duration = Duration::from_millis(300);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let line = args.next().ok_or("usage: typed LINE STEP...")?;
    let patience = match std::env::var("PATIENCE") {
        Ok(seconds) => Duration::from_secs(seconds.parse()?),
        Err(_) => PATIENCE,
    };
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::pty::grantpt(&ours)?;
    rustix::pty::unlockpt(&ours)?;
    let name = rustix::pty::ptsname(&ours, Vec::new())?;
    let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&theirs, size)?;
    let theirs = File::from(theirs);
    // The terminal is its own, as job control and /dev/tty want it.
    let mut child = Command::new("setsid")
        .args(["-c", "sh", "-c", &line])
        .env("TERM", "xterm")
        .stdin(theirs.try_clone()?)
        .stdout(theirs.try_clone()?)
        .stderr(theirs)
        .spawn()?;
    let mut ours = File::from(ours);
    let mut reader = ours.try_clone()?;
    let (sender, output) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // It fails when the program has closed its side.
        while let Ok(length) = reader.read(&mut buffer) {
            let part = buffer.get(..length).unwrap_or_default().to_vec();
            if length == 0 || sender.send(part).is_err() {
                break;
            }
        }
    });
    let mut screen = vt100::Parser::new(24, 80, 0);
    let mut good = true;
    for step in args {
        let (wanted, there) = match (step.strip_prefix('='), step.strip_prefix('!')) {
            (Some(text), _) => (text, true),
            (_, Some(text)) => (text, false),
            _ => {
                thread::sleep(PAUSE);
                // It may have ended, and then nobody reads.
                let _ = ours.write_all(step.as_bytes());
                continue;
            }
        };
        let start = Instant::now();
        let seen = |text: String| wanted.split('|').any(|wanted| text.contains(wanted));
        while seen(screen.screen().contents()) != there {
            match output.recv_timeout(Duration::from_millis(100)) {
                Ok(part) => screen.process(&part),
                Err(RecvTimeoutError::Timeout) if start.elapsed() < patience => (),
                Err(_) => {
                    eprintln!("typed: waited in vain: {step}");
                    good = false;
                    break;
                }
            }
        }
        if !good {
            break;
        }
    }
    let start = Instant::now();
    while good && child.try_wait()?.is_none() {
        good = start.elapsed() < patience;
        if !good {
            eprintln!("typed: it does not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
    if !good {
        child.kill()?;
    }
    let status = child.wait()?;
    // What it started may have the terminal still, and say nothing more.
    while let Ok(part) = output.recv_timeout(Duration::from_millis(200)) {
        screen.process(&part);
    }
    println!("{}", screen.screen().contents());
    Ok(match status.code() {
        Some(code) if good => ExitCode::from(u8::try_from(code)?),
        _ => ExitCode::from(99),
    })
}
