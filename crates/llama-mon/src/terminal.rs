// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The terminal, which is left as it was found, however the program ends.

use std::io::{self, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    disable_raw_mode, enable_raw_mode, EnterAlternateScreen, LeaveAlternateScreen,
};
use ratatui::{Frame, Terminal};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::panes::Look;

/// Who writes to the terminal has this. Signals wait for a screen that is being drawn.
static DRAWING: Mutex<()> = Mutex::new(());

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether the screen has to be drawn anew, as somebody else had the terminal.
static LOST: AtomicBool = AtomicBool::new(false);

/// A terminal that shows our screen.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal. From now on, signals and panics give it back before they end the program.
    pub(crate) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                // Other threads say so by themselves, on the screen.
                if thread::current().name() == Some("main") {
                    leave();
                    before(info);
                }
            }));
        });
        watch_signals()?;
        enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        match terminal {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                leave();
                Err(error)
            }
        }
    }

    /// Whether somebody else had the terminal since this was asked.
    pub(crate) fn was_lost() -> bool {
        LOST.load(Ordering::Relaxed)
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let _drawing = drawing();
        if LOST.swap(false, Ordering::Relaxed) {
            self.terminal.clear()?;
        }
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _drawing = drawing();
        leave();
    }
}

/// Stops the program as Ctrl-Z does, until it is continued.
pub(crate) fn suspend() {
    // The thread that watches signals does it.
    let _ = signal_hook::low_level::raise(SIGTSTP);
}

fn drawing() -> MutexGuard<'static, ()> {
    // A panic while drawing has given the terminal back.
    DRAWING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn enter() -> io::Result<()> {
    TAKEN.store(true, Ordering::Relaxed);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)
}

/// Gives the terminal back. What fails, fails: it may be gone.
fn leave() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Has a thread of its own do what signals ask for: the one that draws may be waiting for a terminal that is gone.
fn watch_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGCONT])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGTSTP => {
                        let drawing = drawing();
                        leave();
                        let _ = emulate_default_handler(SIGTSTP);
                        back(drawing);
                    }
                    // After SIGSTOP, which nobody sees coming.
                    SIGCONT => back(drawing()),
                    signal => {
                        let _drawing = drawing();
                        leave();
                        // The shell is told what it was.
                        let _ = emulate_default_handler(signal);
                    }
                }
            }
        })?;
    Ok(())
}

fn back(_drawing: MutexGuard<'_, ()>) {
    LOST.store(true, Ordering::Relaxed);
    // A failure shows when the screen is drawn.
    let _ = enter();
}

/// What the terminal can show, by the environment.
pub(crate) fn look(variable: impl Fn(&str) -> Option<String>) -> Look {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    let monochrome = set("TERM").is_some_and(|term| {
        term == "dumb" || term.starts_with("vt") || term.ends_with("-m") || term.ends_with("-mono")
    });
    Look {
        colour: set("NO_COLOR").is_none() && !monochrome,
        unicode: locale.contains("utf-8") || locale.contains("utf8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_says_what_can_be_shown() {
        let with = |variables: &'static [(&str, &str)]| {
            let value = move |name: &str| {
                let mut all = variables.iter();
                all.find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            let look = look(value);
            (look.colour, look.unicode)
        };
        assert_eq!(
            with(&[("LANG", "en_GB.UTF-8"), ("TERM", "xterm")]),
            (true, true)
        );
        assert_eq!(
            with(&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")]),
            (true, false)
        );
        assert_eq!(
            with(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]),
            (true, true)
        );
        assert_eq!(
            with(&[("NO_COLOR", "1"), ("TERM", "xterm")]),
            (false, false)
        );
        assert_eq!(with(&[("NO_COLOR", ""), ("TERM", "linux")]), (true, false));
        assert_eq!(with(&[("TERM", "vt220")]), (false, false));
        assert_eq!(with(&[("TERM", "dumb")]), (false, false));
    }
}
