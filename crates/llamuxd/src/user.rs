// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! On whose account a session is: the kernel charges the effective user who opens `/dev/llama`.
//!
//! One thread opens all sessions. For another user it takes that one's effective id for the time of open(2), by the
//! system call itself, which changes this thread alone, and keeps the service's own id for the file system: whether
//! the device may be opened is the service's right, and the socket's mode says who may ask the service. For that it
//! needs `CAP_SETUID`, and no other capability.

use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result};
use llamux::{Error, Session};
use llamux_usage::complain;
use rustix::thread::{CapabilitySet, CapabilitySets};
use tokio::sync::oneshot;

type Job = (Option<u32>, oneshot::Sender<Result<Session, Error>>);

/// Opens sessions.
pub struct Opener {
    jobs: mpsc::Sender<Job>,
    switches: bool,
}

impl Opener {
    /// Starts the thread.
    pub fn start() -> Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let switches = may_switch();
        let opening = move || {
            // In a thread that gives up root's id for a while and comes back, they would be gone.
            let _ = rustix::thread::set_keep_capabilities(true);
            for (user, reply) in queue {
                let opened = match user {
                    Some(user) if switches => open_as(user),
                    _ => Session::open(),
                };
                // Who asked may be gone; then it is closed.
                let _ = reply.send(opened);
            }
        };
        thread::Builder::new()
            .name("opener".into())
            .spawn(opening)
            .context("cannot start a thread")?;
        Ok(Self { jobs, switches })
    }

    /// Whether sessions are on the account of those who ask for them.
    pub fn charges_callers(&self) -> bool {
        self.switches
    }

    /// Opens a session.
    pub(crate) async fn open(&self, user: Option<u32>) -> Result<Session, Error> {
        let gone = || {
            Error::Other(std::io::Error::other(
                "the thread that opens sessions is gone",
            ))
        };
        let (reply, opened) = oneshot::channel();
        self.jobs.send((user, reply)).map_err(|_| gone())?;
        opened.await.map_err(|_| gone())?
    }
}

/// Gives up all capabilities but the one that charging callers needs, in this thread and those that it starts: a
/// service with `CAP_SYS_RESOURCE` would lift everybody's limits.
pub fn drop_capabilities() -> Result<()> {
    let now = rustix::thread::capabilities(None).context("cannot read capabilities")?;
    let keep = now.permitted & CapabilitySet::SETUID;
    let sets = CapabilitySets {
        effective: keep,
        permitted: keep,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).context("cannot drop capabilities")
}

fn may_switch() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETUID))
}

/// Opens a session as another effective user.
fn open_as(user: u32) -> Result<Session, Error> {
    let own = rustix::process::geteuid().as_raw();
    if user == own {
        return Session::open();
    }
    let before = rustix::thread::capabilities(None).map_err(|error| Error::Other(error.into()))?;
    set_effective(user).map_err(Error::Device)?;
    // SAFETY: The system call takes a number, and changes this thread.
    unsafe { libc::syscall(libc::SYS_setfsuid, own) };
    let opened = Session::open();
    let back = set_effective(own).is_ok() && rustix::process::geteuid().as_raw() == own;
    let back = back && rustix::thread::set_capabilities(None, before).is_ok();
    if !back {
        complain!("<2>cannot come back from user {user}");
        std::process::abort();
    }
    opened
}

/// Changes the effective user of this thread alone, which the C library's function would not.
fn set_effective(user: u32) -> std::io::Result<()> {
    const UNCHANGED: u32 = u32::MAX;
    // SAFETY: The system call takes numbers, and changes this thread.
    match unsafe { libc::syscall(libc::SYS_setresuid, UNCHANGED, user, UNCHANGED) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_comes_back_from_another_user() {
        let all = rustix::thread::capabilities(None).unwrap().effective;
        if !rustix::process::geteuid().is_root() || !all.contains(CapabilitySet::SETUID) {
            println!("skipped: only root may change its user");
            return;
        }
        thread::spawn(|| {
            rustix::thread::set_keep_capabilities(true).unwrap();
            drop_capabilities().unwrap();
            for _ in 0..2 {
                // There may be no such device here: what matters is what is left behind.
                let _ = open_as(65534);
                assert!(rustix::process::geteuid().is_root());
                let now = rustix::thread::capabilities(None).unwrap();
                assert_eq!(now.effective, CapabilitySet::SETUID);
                assert_eq!(now.permitted, CapabilitySet::SETUID);
            }
            set_effective(65534).unwrap();
        })
        .join()
        .unwrap();
        assert!(
            rustix::process::geteuid().is_root(),
            "another thread has changed this one's user"
        );
    }
}
