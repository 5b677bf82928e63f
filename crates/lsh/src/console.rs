// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The user's terminal: raw while we have it, and as it was afterwards.

use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::termios::{self, OptionalActions, Termios, Winsize};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGWINCH};

use crate::paint::Look;

/// Signals that came, by flags and a socket that becomes readable.
pub(crate) struct Signals {
    socket: UnixStream,
    flags: Vec<(i32, Arc<AtomicBool>)>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let (socket, writer) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let mut flags = Vec::new();
        for signal in [SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGWINCH] {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag first: it must be there when the socket wakes us.
            signal_hook::flag::register(signal, flag.clone())?;
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
            flags.push((signal, flag));
        }
        Ok(Self { socket, flags })
    }

    /// Whether this signal came since the last time.
    pub(crate) fn take(&self, signal: i32) -> bool {
        let flag = self.flags.iter().find(|(known, _)| *known == signal);
        flag.is_some_and(|(_, flag)| flag.swap(false, Ordering::Relaxed))
    }

    /// The signal that asks us to end, if one came.
    pub(crate) fn end(&self) -> Option<i32> {
        [SIGHUP, SIGTERM, SIGINT]
            .into_iter()
            .find(|&signal| self.take(signal))
    }
}

/// Something that happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The user typed; what one read gave.
    Typed(Vec<u8>),
    /// The terminal has another size.
    Resized,
    /// Somebody used the [`Console::waker`].
    Woken,
    /// The time is up.
    Tick,
    /// The terminal went away, or we are to end.
    Gone,
}

/// The terminal.
pub(crate) struct Console {
    input: OwnedFd,
    output: OwnedFd,
    saved: Termios,
    pub(crate) signals: Signals,
    wake: UnixStream,
    waker: UnixStream,
    /// Whether it cannot be used any more.
    gone: Option<i32>,
}

impl Console {
    /// The terminal that standard input and output are; `None` if they are none.
    pub(crate) fn standard() -> io::Result<Option<Self>> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        if !stdin.is_terminal() || !stdout.is_terminal() {
            return Ok(None);
        }
        let input = stdin.as_fd().try_clone_to_owned()?;
        let output = stdout.as_fd().try_clone_to_owned()?;
        Self::new(input, output).map(Some)
    }

    /// The terminal that controls us.
    pub(crate) fn controlling() -> io::Result<Self> {
        let tty = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/tty")?;
        Self::new(tty.try_clone()?.into(), tty.into())
    }

    fn new(input: OwnedFd, output: OwnedFd) -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let saved = termios::tcgetattr(&input)?;
        let console = Self {
            input,
            output,
            saved,
            signals: Signals::new()?,
            wake,
            waker,
            gone: None,
        };
        console.raw()?;
        Ok(console)
    }

    /// Takes the terminal as it is, each key and nothing done about it.
    pub(crate) fn raw(&self) -> io::Result<()> {
        let mut raw = self.saved.clone();
        raw.make_raw();
        Ok(termios::tcsetattr(&self.input, OptionalActions::Now, &raw)?)
    }

    /// How the terminal was.
    pub(crate) fn saved(&self) -> &Termios {
        &self.saved
    }

    /// Its size.
    pub(crate) fn size(&self) -> Option<Winsize> {
        termios::tcgetwinsize(&self.output).ok()
    }

    /// What can be drawn on it.
    pub(crate) fn look(&self) -> Look {
        let (columns, rows) = self
            .size()
            .map_or((0, 0), |size| (size.ws_col, size.ws_row));
        Look::new(columns, rows)
    }

    /// What is typed comes from here.
    pub(crate) fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// Whoever writes a byte to this ends a [`Console::wait`].
    pub(crate) fn waker(&self) -> io::Result<UnixStream> {
        self.waker.try_clone()
    }

    /// The signal because of which it cannot be used any more.
    pub(crate) fn gone(&self) -> Option<i32> {
        self.gone
    }

    /// Writes all of it.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.gone.is_none() {
            match rustix::io::write(&self.output, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => {
                    let mut fds = [PollFd::new(&self.output, PollFlags::OUT)];
                    let _ = rustix::event::poll(&mut fds, None);
                }
                Err(_) => self.gone = Some(SIGHUP),
            }
        }
    }

    /// What was typed; nothing if the terminal went away.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.input, &mut buffer) {
            Ok(read @ 1..) => buffer[..read].to_vec(),
            Err(Errno::INTR | Errno::AGAIN) => vec![],
            Ok(_) | Err(_) => {
                self.gone = self.gone.or(Some(SIGHUP));
                vec![]
            }
        }
    }

    /// The descriptor that becomes readable when signals came.
    pub(crate) fn signalled(&self) -> BorrowedFd<'_> {
        self.signals.socket.as_fd()
    }

    /// Notes signals: whether the size may be another one.
    pub(crate) fn note_signals(&mut self) -> bool {
        let mut buffer = [0; 64];
        while let Ok(1..) = (&self.signals.socket).read(&mut buffer) {}
        if let Some(signal) = self.signals.end() {
            self.gone = self.gone.or(Some(signal));
        }
        let mut resized = self.signals.take(SIGWINCH);
        if self.signals.take(SIGCONT) {
            // Whoever had the terminal meanwhile may have changed it.
            let _ = self.raw();
            resized = true;
        }
        resized
    }

    /// Waits until something happens, or for so long.
    pub(crate) fn wait(&mut self, time: Duration) -> Event {
        let deadline = Instant::now() + time;
        loop {
            if self.gone.is_some() {
                return Event::Gone;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [
                PollFd::new(&self.input, PollFlags::IN),
                PollFd::new(&self.signals.socket, PollFlags::IN),
                PollFd::new(&self.wake, PollFlags::IN),
            ];
            let result = rustix::event::poll(&mut fds, Some(&timespec(left)));
            let ready = fds.map(|fd| !fd.revents().is_empty());
            match result {
                Ok(0) => return Event::Tick,
                Err(Errno::INTR) => continue,
                Err(_) => return Event::Gone,
                Ok(_) => (),
            }
            if ready[1] && self.note_signals() {
                return Event::Resized;
            }
            if ready[2] {
                let mut buffer = [0; 64];
                while let Ok(1..) = (&self.wake).read(&mut buffer) {}
                return Event::Woken;
            }
            if ready[0] {
                let bytes = self.read();
                if !bytes.is_empty() {
                    return Event::Typed(bytes);
                }
            }
        }
    }

    /// Forgets what was typed so far: it was not meant for what is shown next.
    pub(crate) fn forget(&mut self) {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        loop {
            let mut fds = [PollFd::new(&self.input, PollFlags::IN)];
            if !matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(1)) || self.read().is_empty()
            {
                return;
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // A terminal that went away needs nothing any more.
        let _ = termios::tcsetattr(&self.input, OptionalActions::Now, &self.saved);
    }
}

/// A duration as poll wants it.
pub(crate) fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
