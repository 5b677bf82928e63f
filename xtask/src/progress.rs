// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Progress of anything long: one line that is rewritten on a terminal, a line now and then elsewhere.

use std::io::{stderr, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How far something has got.
pub(crate) struct Progress {
    what: String,
    total: Option<u64>,
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
    bytes: bool,
}

impl Progress {
    /// Progress in steps, out of `total` where that is known.
    pub(crate) fn steps(what: &str, total: Option<u64>) -> Self {
        Self {
            what: what.to_owned(),
            total: total.filter(|&total| total > 0),
            started: Instant::now(),
            shown: None,
            terminal: stderr().is_terminal(),
            bytes: false,
        }
    }

    /// Progress in bytes.
    pub(crate) fn bytes(what: &str, total: Option<u64>) -> Self {
        Self {
            bytes: true,
            ..Self::steps(what, total)
        }
    }

    /// Says how far it is, if it has not been said just now.
    pub(crate) fn at(&mut self, done: u64, detail: &str) {
        let every = Duration::from_millis(if self.terminal { 200 } else { 20_000 });
        // Short work needs no line at all where lines stay.
        let since = self.shown.unwrap_or(self.started);
        if since.elapsed() < every {
            return;
        }
        self.shown = Some(Instant::now());
        let line = self.line(done, detail);
        let mut out = stderr().lock();
        // Nothing depends on the line, so a closed standard error is no error here.
        let _ = if self.terminal {
            write!(out, "\r\x1b[K{:.110}", line)
        } else {
            writeln!(out, "{line}")
        };
        let _ = out.flush();
    }

    /// Ends the line, and says how long it took.
    pub(crate) fn finish(self, done: u64) {
        if self.terminal && self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
        eprintln!(
            "{}: {} in {}",
            self.what,
            self.count(done),
            human_time(self.started.elapsed())
        );
    }

    fn count(&self, n: u64) -> String {
        if self.bytes {
            format!("{:.1} MB", n as f64 / 1e6)
        } else {
            format!("{n} steps")
        }
    }

    fn line(&self, done: u64, detail: &str) -> String {
        let elapsed = self.started.elapsed();
        let mut line = format!("{}: ", self.what);
        match self.total {
            Some(total) if done <= total => {
                line += &format!(
                    "{} of {} ({} %)",
                    self.count(done),
                    self.count(total),
                    done * 100 / total
                );
                if done > 0 && elapsed > Duration::from_secs(5) {
                    let left = elapsed.mul_f64((total - done) as f64 / done as f64);
                    line += &format!(", about {} left", human_time(left));
                }
            }
            _ => line += &format!("{} in {}", self.count(done), human_time(elapsed)),
        }
        if !detail.is_empty() {
            line += &format!(", {detail}");
        }
        line
    }
}

/// `42 s`, `3 min 5 s`.
pub(crate) fn human_time(time: Duration) -> String {
    match time.as_secs() {
        0..=9 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..=99 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(human_time(Duration::from_millis(1230)), "1.2 s");
        assert_eq!(human_time(Duration::from_secs(42)), "42 s");
        assert_eq!(human_time(Duration::from_secs(185)), "3 min 5 s");
    }

    #[test]
    fn a_line_has_the_share_where_the_total_is_known() {
        assert!(Progress::steps("building", Some(200))
            .line(50, "CC a.o")
            .contains("50 steps of 200 steps (25 %)"));
        assert!(Progress::bytes("loading", None)
            .line(1_500_000, "")
            .contains("1.5 MB in"));
    }
}
