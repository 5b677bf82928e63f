// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The system calls that no library here wraps.

use crate::facts::Clock;

/// What keeps the kernel's clock right, as adjtimex(2) says.
pub(super) fn clock() -> Result<Clock, std::io::Error> {
    // SAFETY: all fields are integers, for which zero is a value; `modes` of zero changes nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a `timex` of our own.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(Clock {
        synchronised: Some(timex.status & libc::STA_UNSYNC == 0),
        // CAST: microseconds, at most 16 seconds of them.
        error_seconds: Some(super::round(timex.maxerror as f64 / 1e6)),
    })
}

/// How the requests of a process to disks are ordered, where that was set; see ioprio_get(2).
pub(super) fn io_priority(pid: i32) -> Option<String> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: the call takes two integers and changes nothing.
    let value = unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, pid) };
    let level = value & 0x1fff;
    match value >> 13 {
        1 => Some(format!("realtime {level}")),
        // What the kernel makes of the nice level 0.
        2 if level == 4 => None,
        2 => Some(format!("best-effort {level}")),
        3 => Some("idle".to_owned()),
        _ => None,
    }
}
