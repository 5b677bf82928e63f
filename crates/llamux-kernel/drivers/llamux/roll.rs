// SPDX-License-Identifier: GPL-2.0-only

//! `/proc/llamux/sessions`: the open sessions, described in Documentation/ABI/testing/procfs-llamux.
//!
//! `Service::roll` is a leaf. It has a reference to what is behind the lock of each session, which is asked
//! for its state when nothing is locked.

use kernel::bindings;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;
use kernel::seq_file::{seq_print, SeqFile};
use kernel::sync::{Arc, Mutex};

use crate::models::Escaped;
use crate::service::Service;
use crate::session::{self, Inner};
use crate::status::Shown;
use crate::sys::{self, Opener, COMM_LEN};
use crate::users::Places;
use crate::SERVICE;

/// An open session.
#[derive(Clone)]
struct Opened {
    number: u64,
    owner: u64,
    /// Who opened it.
    pid: i32,
    comm: [u8; COMM_LEN],
    inner: Arc<Mutex<Inner>>,
}

/// All of them, in the order in which they were opened.
pub(crate) struct Roll {
    opened: KVVec<Opened>,
    last: u64,
}

impl Roll {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            opened: KVVec::new(),
            last: 0,
        }
    }

    /// Where the first one is whose number is larger.
    fn behind(&self, number: u64) -> usize {
        self.opened
            .partition_point(|opened| opened.number <= number)
    }

    /// The first one behind a number that the reader may see.
    fn next(&self, number: u64, reader: Option<u64>) -> Option<Opened> {
        let rest = self.opened.get(self.behind(number)..)?;
        let seen = |opened: &&Opened| reader.is_none_or(|reader| reader == opened.owner);
        rest.iter().find(seen).cloned()
    }

    /// How many are of a user.
    fn of(&self, owner: u64) -> usize {
        self.opened.iter().filter(|one| one.owner == owner).count()
    }

    fn remove(&mut self, number: u64) -> Option<Opened> {
        let place = self.behind(number).checked_sub(1)?;
        self.opened.get(place).filter(|one| one.number == number)?;
        self.opened.remove(place).ok()
    }
}

/// A session's place among all, for as long as it is open.
pub(crate) struct Place {
    service: Arc<Service>,
    places: Places,
    /// 0 as long as it is not on the roll.
    number: u64,
}

impl Place {
    /// Counts a session of this user, made by the calling program, and puts it on the roll. `EDQUOT` if there are
    /// too many.
    pub(crate) fn new(
        service: Arc<Service>,
        opener: &Opener,
        inner: Arc<Mutex<Inner>>,
    ) -> Result<Self> {
        let owner = opener.user;
        let others = service.roll.lock().of(owner);
        let places = service
            .queue
            .lock()
            .open(owner, &opener.standing(), others)?;
        let mut place = Self {
            service,
            places,
            number: 0,
        };
        let (pid, comm) = sys::caller_process();
        let mut roll = place.service.roll.lock();
        let number = roll.last + 1;
        let opened = Opened {
            number,
            owner,
            pid,
            comm,
            inner,
        };
        roll.opened.push(opened, GFP_KERNEL_ACCOUNT)?;
        roll.last = number;
        drop(roll);
        place.number = number;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let opened = self.service.roll.lock().remove(self.number);
        drop(opened);
        self.service.queue.lock().close(self.places);
    }
}

fn show(service: &Service, m: &SeqFile, opened: &Opened) {
    let state = session::state(&opened.inner);
    let name = opened.comm.split(|&byte| byte == 0).next();
    let comm = Escaped(name.unwrap_or(&[]));
    seq_print!(
        m,
        "session={} user={} pid={} comm={} state={} tokens={} held={} unread={} idle={}",
        opened.number,
        opened.owner,
        opened.pid,
        Shown(&comm),
        state.name(),
        state.tokens,
        state.held,
        state.unread,
        state.idle_s
    );
    let models = service.models.lock();
    if state.model.is_some() {
        seq_print!(m, " model={}", Shown(&Escaped(models.name(state.model))));
    }
    drop(models);
    seq_print!(m, "\n");
}

/// Called by procfs for each reading of the file.
///
/// # Safety
///
/// `m` is a seq_file that nobody else uses meanwhile.
#[no_mangle]
unsafe extern "C" fn llamux_roll_show(m: *mut bindings::seq_file, _v: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let (reader, m) = unsafe { (sys::reader(m), SeqFile::from_raw(m)) };
    let Some(service) = SERVICE.as_ref() else {
        return 0;
    };
    let mut last = 0;
    loop {
        let next = service.roll.lock().next(last, reader);
        let Some(opened) = next else { return 0 };
        show(service, m, &opened);
        last = opened.number;
    }
}
