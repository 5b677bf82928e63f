// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is judged, a subcommand each.

pub(crate) mod action;
pub(crate) mod command;
pub(crate) mod diagnosis;
pub(crate) mod time;

/// Whether to say how far it is.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Progress {
    /// Print a line like "3 of 20" to standard error after each
    #[arg(long)]
    progress: bool,
}

impl Progress {
    /// Counts to so many.
    pub(crate) fn of(self, total: usize) -> Count {
        let Self { progress: shown } = self;
        Count {
            shown,
            done: 0,
            total,
        }
    }
}

/// How far it is.
pub(crate) struct Count {
    shown: bool,
    done: usize,
    total: usize,
}

impl Count {
    /// One more is done.
    pub(crate) fn one(&mut self) {
        self.done += 1;
        if self.shown {
            eprintln!("{} of {}", self.done, self.total);
        }
    }
}
