// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Processes: who they are, and what the kernel can do with them.
//!
//! A process is known by its number and by when it began. A descriptor of it is opened first and its beginning is
//! compared after that, so that a number that was given to another process is never acted on.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::action::{IoPriority, Process};
use crate::Error;

/// The flag of kernel threads in `/proc/PID/stat`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// What `/proc/PID/stat` says that is of use here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    pub(crate) kernel: bool,
    pub(crate) start: u64,
}

impl Stat {
    pub(crate) fn read(pid: i32) -> Result<Self, Error> {
        let bytes = fs::read(format!("/proc/{pid}/stat")).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Gone,
            _ if error.raw_os_error() == Some(libc::ESRCH) => Error::Gone,
            _ => Error::Failed(format!("/proc/{pid}/stat: {error}")),
        })?;
        Self::parse(&bytes)
            .ok_or_else(|| Error::Failed(format!("/proc/{pid}/stat is not as known")))
    }

    /// The name comes second, in parentheses, and may have any byte in it: what follows the last one counts.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(bytes.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            kernel: number(6)? & PF_KTHREAD != 0,
            start: number(19)?,
        })
    }
}

/// This process, those above it, and the leader of its session.
pub(crate) fn own() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut list = vec![own];
    let mut next = own;
    while let Ok(stat) = Stat::read(next) {
        if stat.session > 1 && !list.contains(&stat.session) && next == own {
            list.push(stat.session);
        }
        next = stat.parent;
        // The parent of the first process, and of those from another namespace, is 0.
        if next <= 1 {
            break;
        }
        if !list.contains(&next) {
            list.push(next);
        }
    }
    list
}

/// Names of processes without which the user's session, or the machine, is gone. They may be acted on, but are asked
/// about even when nobody wants to be asked.
const CRITICAL: &[&str] = &[
    "init",
    "systemd",
    "systemd-*",
    "(sd-pam)",
    "dbus-daemon",
    "dbus-broker",
    "dbus-broker-lau",
    "login",
    "agetty",
    "sshd",
    "sshd-*",
    "polkitd",
    "elogind",
    "runit",
    "openrc-*",
    "s6-svscan",
    "udevd",
    "NetworkManager",
    "wpa_supplicant",
    "iwd",
    "Xorg",
    "X",
    "Xwayland",
    "gnome-shell",
    "gnome-session-*",
    "mutter*",
    "kwin_*",
    "plasmashell",
    "startplasma-*",
    "ksmserver",
    "xfce4-session",
    "xfwm4",
    "cinnamon*",
    "mate-session",
    "lxsession",
    "lxqt-session",
    "sway",
    "Hyprland",
    "river",
    "niri",
    "labwc",
    "weston",
    "i3",
    "openbox",
    "gdm*",
    "sddm*",
    "lightdm*",
    "greetd",
    "pipewire",
    "wireplumber",
    "containerd",
    "dockerd",
];

/// Whether a name is one of a critical process.
pub(crate) fn is_critical(name: &str) -> bool {
    CRITICAL.iter().any(|pattern| alike(pattern, name))
}

/// Whether a text is like a pattern, in which `*` stands for any text.
pub fn alike(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A process that is held, so that its number cannot mean another one without notice.
pub(crate) struct Held {
    fd: OwnedFd,
    pid: Pid,
}

impl Held {
    /// Holds a process, if it is still the same one, and one that may be acted on at all.
    pub(crate) fn new(process: &Process) -> Result<Self, Error> {
        if process.pid <= 1 {
            return Err(Error::Refused("it is the first process of the system"));
        }
        let pid = Pid::from_raw(process.pid).ok_or(Error::Gone)?;
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| {
            match errno {
                // A thread's number, not a process's.
                rustix::io::Errno::INVAL => Error::Gone,
                errno => Error::process(errno),
            }
        })?;
        let stat = Stat::read(process.pid)?;
        if stat.start != process.start {
            return Err(Error::Reused);
        }
        if stat.kernel {
            return Err(Error::Refused("it is a thread of the kernel"));
        }
        if stat.state == b'Z' || stat.state == b'X' {
            return Err(Error::Gone);
        }
        let held = Self { fd, pid };
        held.alive()?;
        Ok(held)
    }

    /// Whether it is still there.
    fn alive(&self) -> Result<(), Error> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match poll(&mut fds, Some(&now)) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::Gone),
            Err(errno) => Err(Error::process(errno)),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        rustix::process::pidfd_send_signal(&self.fd, signal).map_err(Error::process)
    }

    /// Waits until it has ended, at most so long. Whether it has.
    pub(crate) fn ended_within(&self, time: std::time::Duration) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let time = Timespec::try_from(time).ok();
        matches!(poll(&mut fds, time.as_ref()), Ok(1..))
    }

    /// Whether it is stopped.
    pub(crate) fn stopped(&self) -> Result<bool, Error> {
        let stat = Stat::read(self.pid.as_raw_nonzero().get())?;
        self.alive()?;
        Ok(stat.state == b'T')
    }

    /// Its threads, itself first.
    fn threads(&self) -> Result<Vec<Pid>, Error> {
        let own = self.pid.as_raw_nonzero().get();
        let entries = fs::read_dir(format!("/proc/{own}/task")).map_err(|_| Error::Gone)?;
        let mut list: Vec<i32> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&tid| tid != own)
            .collect();
        list.sort_unstable();
        list.insert(0, own);
        Ok(list.into_iter().filter_map(Pid::from_raw).collect())
    }

    /// What `read` says of each thread: the process's own value, and those that differ.
    fn levels<T: Copy + PartialEq>(
        &self,
        read: impl Fn(Pid) -> io::Result<T>,
    ) -> Result<Levels<T>, Error> {
        let mut own = None;
        let mut others = BTreeMap::new();
        for thread in self.threads()? {
            let value = match read(thread) {
                Ok(value) => value,
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => continue,
                Err(error) => return Err(Error::Failed(error.to_string())),
            };
            match own {
                None => own = Some(value),
                Some(own) if own != value => {
                    others.insert(thread.as_raw_nonzero().get(), value);
                }
                Some(_) => (),
            }
        }
        self.alive()?;
        Ok(Levels {
            own: own.ok_or(Error::Gone)?,
            others,
        })
    }

    fn set_levels<T: Copy>(
        &self,
        levels: &Levels<T>,
        set: impl Fn(Pid, T) -> io::Result<()>,
    ) -> Result<(), Error> {
        for thread in self.threads()? {
            self.alive()?;
            let tid = thread.as_raw_nonzero().get();
            let value = levels.others.get(&tid).copied().unwrap_or(levels.own);
            match set(thread, value) {
                Ok(()) => (),
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => (),
                Err(error) => {
                    return Err(match error.raw_os_error() {
                        Some(errno) => Error::process(rustix::io::Errno::from_raw_os_error(errno)),
                        None => Error::Failed(error.to_string()),
                    })
                }
            }
        }
        self.alive()
    }

    pub(crate) fn nice(&self) -> Result<Levels<i8>, Error> {
        self.levels(|thread| {
            let nice = rustix::process::getpriority_process(Some(thread))?;
            Ok(i8::try_from(nice).unwrap_or(0))
        })
    }

    pub(crate) fn set_nice(&self, levels: &Levels<i8>) -> Result<(), Error> {
        self.set_levels(levels, |thread, nice| {
            Ok(rustix::process::setpriority_process(
                Some(thread),
                nice.into(),
            )?)
        })
    }

    pub(crate) fn io(&self) -> Result<Levels<IoPriority>, Error> {
        self.levels(io_priority)
    }

    pub(crate) fn set_io(&self, levels: &Levels<IoPriority>) -> Result<(), Error> {
        self.set_levels(levels, set_io_priority)
    }
}

/// A level of a process, and those of its threads that differ from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Levels<T> {
    pub(crate) own: T,
    pub(crate) others: BTreeMap<i32, T>,
}

impl<T: ToString> Levels<T> {
    /// The own one, and `TID=LEVEL` for each that differs, with commas.
    pub(crate) fn write(&self) -> String {
        let mut out = self.own.to_string();
        for (tid, level) in &self.others {
            out += &format!(", {tid}={}", level.to_string());
        }
        out
    }

    pub(crate) fn read(text: &str, level: impl Fn(&str) -> Option<T>) -> Option<Self> {
        let mut parts = text.split(", ");
        let own = level(parts.next()?)?;
        let others = parts
            .map(|part| {
                let (tid, text) = part.split_once('=')?;
                Some((tid.parse().ok()?, level(text)?))
            })
            .collect::<Option<_>>()?;
        Some(Self { own, others })
    }
}

/// `IOPRIO_WHO_PROCESS`: a thread by its number.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;

fn io_priority(thread: Pid) -> io::Result<IoPriority> {
    // SAFETY: ioprio_get(2) takes two numbers and returns one; it touches no memory of ours.
    let value = unsafe {
        libc::syscall(
            libc::SYS_ioprio_get,
            IOPRIO_WHO_PROCESS,
            thread.as_raw_nonzero().get(),
        )
    };
    match u16::try_from(value) {
        // Processes that nobody set one for: the level that the kernel says beside it follows from the nice level.
        Ok(value) if value >> 13 == 0 => Ok(IoPriority::NONE),
        Ok(value) => Ok(IoPriority(value)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

fn set_io_priority(thread: Pid, priority: IoPriority) -> io::Result<()> {
    // SAFETY: ioprio_set(2) takes three numbers; it touches no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_ioprio_set,
            IOPRIO_WHO_PROCESS,
            thread.as_raw_nonzero().get(),
            libc::c_int::from(priority.0),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A process of its own as it is acted on.
    pub(crate) fn subject(pid: i32) -> Process {
        Process {
            pid,
            start: Stat::read(pid).unwrap().start,
            name: "sleep".to_owned(),
            uid: rustix::process::geteuid().as_raw(),
            user: "me".to_owned(),
            memory: 0,
        }
    }

    #[test]
    fn a_name_with_parentheses_and_blanks_is_skipped() {
        let line = b"7 (a) R 1 ) b) S 2 7 3 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let expected = Stat {
            state: b'S',
            parent: 2,
            session: 3,
            kernel: true,
            start: 4711,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        for bad in [&b""[..], b"7 (a", b"7 (a) S", b"7 (a) \xff 1 2 3"] {
            assert_eq!(Stat::parse(bad), None);
        }
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, expected) in [
            ("sway", "sway", true),
            ("sway", "swaybar", false),
            ("systemd-*", "systemd-logind", true),
            ("systemd-*", "mysystemd-x", false),
            ("*", "", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("*.timer", "x.timer", true),
            ("*.timer", "x.timers", false),
        ] {
            assert_eq!(alike(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn this_process_and_those_above_are_known() {
        let own = own();
        assert_eq!(own[0], std::process::id() as i32);
        assert!(own.len() > 1);
        assert!(!own.contains(&0) && !own.contains(&1));
    }

    #[test]
    fn a_number_that_another_process_has_is_not_acted_on() {
        let mut process = subject(std::process::id() as i32);
        process.start -= 1;
        assert_eq!(Held::new(&process).err(), Some(Error::Reused));
        process.pid = 1;
        assert!(matches!(Held::new(&process), Err(Error::Refused(_))));
        process.pid = i32::MAX;
        assert_eq!(Held::new(&process).err(), Some(Error::Gone));
        process.pid = -1;
        assert!(matches!(Held::new(&process), Err(Error::Refused(_))));
    }

    #[test]
    fn levels_of_threads_are_written_and_read() {
        let levels = Levels {
            own: 0i8,
            others: BTreeMap::from([(7, -5), (9, 19)]),
        };
        assert_eq!(levels.write(), "0, 7=-5, 9=19");
        let level = |text: &str| text.parse().ok();
        assert_eq!(Levels::read("0, 7=-5, 9=19", level), Some(levels));
        for bad in ["", "x", "0, 7", "0, x=1", "0, 7=x"] {
            assert_eq!(Levels::<i8>::read(bad, level), None, "{bad}");
        }
    }
}
