// SPDX-License-Identifier: GPL-2.0-only

//! `/proc/llamux/prompt`: a question is written, and the same user reads the answer, from any program,
//! described in Documentation/ABI/testing/procfs-llamux.
//!
//! Whose a question is was decided when the file was opened. Each user has one, the last. An answer that was
//! read to its end is only kept to be read again, and given back when memory is short.
//!
//! Lock order: `Request::progress` may be taken with `ASKED` or `Prompt::open` held, and nothing else is taken
//! with another one held. No user memory is touched with any of them held: who provides it may take as long as it
//! likes. Memory is allocated with `ASKED` held, so who frees memory only tries to take it.

use kernel::ffi::{c_int, c_void};
use kernel::pr_warn_once;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use kernel::sync::{global_lock, new_mutex, Arc, Mutex};
use kernel::types::ForeignOwnable;
use kernel::uaccess::{UserPtr, UserSlice};
use kernel::uapi;
use llamux_engine::generate::Stop;

use crate::command::{response_max, Parameters};
use crate::request::{Deadline, Question, Request, Wait};
use crate::service::Service;
use crate::sys::{self, Opener};
use crate::SERVICE;

/// Users whose last answer is kept at the same time.
const USERS: usize = 64;

/// The longest question, in bytes.
const PROMPT_MAX: usize = uapi::LLAMA_PROMPT_MAX as usize;

/// Bytes that are copied out at once.
const CHUNK: usize = 256;

/// A user's last question.
struct Asked {
    owner: u64,
    request: Arc<Request>,
    /// Whether its answer was read to its end.
    read: bool,
}

impl Asked {
    /// Ends it, if it has not come to its end.
    fn cancel(&self, service: &Service) {
        self.request.cancel();
        if service.withdraw(&self.request) {
            // For those who wait for the answer: nobody else will tell them.
            self.request.finish(Err(ECANCELED));
        }
    }
}

global_lock! {
    // SAFETY: Initialised by `init` before the file is there.
    unsafe(uninit) static ASKED: Mutex<KVec<Asked>> = KVec::new();
}

/// Makes the table of questions.
///
/// # Safety
///
/// To be called once, before anything else here.
pub(crate) unsafe fn init() {
    // SAFETY: As the caller's.
    unsafe { ASKED.init() };
}

/// An open file.
#[pin_data]
struct Prompt {
    opener: Opener,
    #[pin]
    open: Mutex<Open>,
}

/// Where an open file is.
struct Open {
    /// What was written so far, until it is asked.
    written: KVVec<u8>,
    /// What is read the answer of.
    read: Option<Arc<Request>>,
    /// Bytes of it that were read.
    at: usize,
}

impl Prompt {
    fn new() -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                opener: Opener::caller(),
                open <- new_mutex!(
                    Open { written: KVVec::new(), read: None, at: 0 },
                    "llamux_prompt"
                ),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Appends to the question.
    fn write(&self, from: UserPtr, len: usize, nonblock: bool) -> Result<usize> {
        let service = SERVICE.as_ref().ok_or(ENODEV)?;
        service.wait_until_ready(!nonblock, &Deadline::after(0), false)?;
        if len > PROMPT_MAX {
            return Err(EMSGSIZE);
        }
        let mut more = KVVec::new();
        UserSlice::new(from, len).read_all(&mut more, sys::on_account())?;
        let mut open = self.open.lock();
        let written = &mut open.written;
        if written.len() + len > PROMPT_MAX {
            return Err(EMSGSIZE);
        }
        let before = written.len();
        written.extend_from_slice(&more, sys::on_account())?;
        // A character may be cut in two by the end of a write, and be completed by the next.
        let broken = core::str::from_utf8(written).is_err_and(|error| error.error_len().is_some());
        if broken {
            written.truncate(before);
            return Err(EILSEQ);
        }
        Ok(len)
    }

    /// Asks what was written, instead of what this user had asked before.
    fn ask(&self) -> Result {
        let service = SERVICE.as_ref().ok_or(ENODEV)?;
        let mut prompt = core::mem::take(&mut self.open.lock().written);
        let text = core::str::from_utf8(&prompt).map_err(|_| EILSEQ)?;
        // As a shell's echo ends it.
        let len = text.trim_end_matches(['\n', '\r']).len();
        prompt.truncate(len);
        if prompt.is_empty() {
            return Ok(());
        }
        let (max_tokens, sampling) = Parameters::default().or_defaults();
        let question = Question {
            prompt,
            grammar: None,
            owner: self.opener.user,
            standing: self.opener.standing(),
            raw: false,
            max_tokens,
            sampling,
            deadline: Deadline::after(0),
            turn: None,
            embed: 0,
        };
        let queued = Request::new(response_max(max_tokens)?, question)?;
        let request = queued.clone_arc();
        let asked = Asked {
            owner: self.opener.user,
            request: request.clone(),
            read: false,
        };
        if let Some(former) = put(asked)? {
            former.cancel(service);
        }
        if let Err(error) = service.submit(queued, None) {
            // The model was unloaded just now. Who reads is told, and does not wait.
            request.finish(Err(error));
            return Err(error);
        }
        let mut open = self.open.lock();
        (open.read, open.at) = (Some(request), 0);
        Ok(())
    }

    /// Copies what comes next of the answer.
    fn read(&self, to: UserSlice, nonblock: bool) -> Result<usize> {
        if !self.open.lock().written.is_empty() {
            self.ask()?;
        }
        let request = self.answer()?;
        if nonblock && request.progress.lock().result.is_none() {
            return Err(EAGAIN);
        }
        request.wait(false).map_err(|wait| match wait {
            Wait::Signal => ERESTARTSYS,
            Wait::Timeout => ETIMEDOUT,
        })?;
        let result = request.progress.lock().result;
        let finish = result.ok_or(EIO)?.inspect_err(|_| set_read(&request))?;
        if matches!(finish.stop, Stop::Requested) {
            return Err(ECANCELED);
        }
        let mut to = to.writer();
        let mut copied = 0;
        while !to.is_empty() {
            let mut chunk = [0; CHUNK];
            let room = chunk.get_mut(..to.len().min(CHUNK)).unwrap_or_default();
            let (at, part) = self.take(&request, room);
            if part.is_empty() {
                if copied == 0 {
                    set_read(&request);
                }
                break;
            }
            if let Err(error) = to.write_slice(part) {
                // Put back what could not be copied, unless somebody else has read on.
                let mut open = self.open.lock();
                if open.at == at + part.len() {
                    open.at = at;
                }
                return if copied != 0 { Ok(copied) } else { Err(error) };
            }
            copied += part.len();
        }
        Ok(copied)
    }

    /// Copies what comes next of an answer that is complete. Returns where that begins, and as much of `room` as
    /// it takes; none at the end.
    fn take<'r>(&self, request: &Request, room: &'r mut [u8]) -> (usize, &'r [u8]) {
        let mut open = self.open.lock();
        let progress = request.progress.lock();
        let response = progress.response.as_slice();
        // The line ends, so that what a terminal shows next begins in another one.
        let end: &[u8] = if response.ends_with(b"\n") {
            b""
        } else {
            b"\n"
        };
        let at = open.at;
        let left = Iterator::chain(response.iter(), end).skip(at);
        let mut len = 0;
        for (to, from) in room.iter_mut().zip(left) {
            *to = *from;
            len += 1;
        }
        open.at = at + len;
        (at, room.get(..len).unwrap_or_default())
    }

    /// What is read the answer of: what this file asked, or else what its user asked last.
    fn answer(&self) -> Result<Arc<Request>> {
        if let Some(request) = &self.open.lock().read {
            return Ok(request.clone());
        }
        let request = {
            let asked = ASKED.lock();
            let mine = asked.iter().find(|asked| asked.owner == self.opener.user);
            mine.ok_or(ENODATA)?.request.clone()
        };
        self.open.lock().read = Some(request.clone());
        Ok(request)
    }
}

/// Puts a user's question into the table. Returns what had its place; where there is no place, that of
/// the answer that has been there the longest.
fn put(new: Asked) -> Result<Option<Asked>> {
    let mut asked = ASKED.lock();
    let own = asked.iter().position(|asked| asked.owner == new.owner);
    let place = match own {
        None if asked.len() == USERS => asked
            .iter()
            .position(|asked| asked.request.progress.lock().result.is_some()),
        own => own,
    };
    let former = match place {
        Some(place) => Some(asked.remove(place).map_err(|_| EIO)?),
        None if asked.len() == USERS => return Err(EUSERS),
        None => None,
    };
    asked.push(new, GFP_KERNEL)?;
    Ok(former)
}

/// Notes that the answer to a question was read to its end.
fn set_read(request: &Arc<Request>) {
    let mut asked = ASKED.lock();
    let mut asked = asked.iter_mut();
    if let Some(asked) = asked.find(|asked| Arc::ptr_eq(&asked.request, request)) {
        asked.read = true;
    }
}

/// Answers that were given back.
static GIVEN_BACK: Atomic<u64> = Atomic::new(0);

/// How many answers are kept, and how many were given back because memory was short.
pub(crate) fn answers() -> (usize, u64) {
    (ASKED.lock().len(), GIVEN_BACK.load(Relaxed))
}

/// Called by the shrinker: how many answers can be given back.
#[no_mangle]
extern "C" fn llamux_answers_count() -> usize {
    let asked = ASKED.try_lock();
    asked.map_or(0, |asked| asked.iter().filter(|asked| asked.read).count())
}

/// Called by the shrinker: gives back so many of them. Returns how many it were, or -1 if that cannot be done
/// now.
#[no_mangle]
extern "C" fn llamux_answers_free(most: usize) -> isize {
    let mut freed = 0;
    while usize::try_from(freed).is_ok_and(|freed| freed < most) {
        let Some(mut asked) = ASKED.try_lock() else {
            return if freed == 0 { -1 } else { freed };
        };
        let index = asked.iter().position(|asked| asked.read);
        let gone = index.and_then(|index| asked.remove(index).ok());
        drop(asked);
        if gone.is_none() {
            break;
        }
        // It is freed here, with no lock held.
        drop(gone);
        freed += 1;
        GIVEN_BACK.fetch_add(1, Relaxed);
    }
    freed
}

/// # Safety
///
/// `private` is what `llamux_prompt_open` returned, and not yet released.
unsafe fn opened<'a>(private: *mut c_void) -> Pin<&'a Prompt> {
    // SAFETY: As the caller's.
    unsafe { <Pin<KBox<Prompt>> as ForeignOwnable>::borrow(private) }
}

/// Called when the file is opened. On success writes what the other functions are passed.
///
/// # Safety
///
/// `private` is valid for a write.
#[no_mangle]
unsafe extern "C" fn llamux_prompt_open(private: *mut *mut c_void) -> c_int {
    match Prompt::new() {
        Ok(prompt) => {
            // SAFETY: As the caller's.
            unsafe { private.write(prompt.into_foreign()) };
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// Called by write().
///
/// # Safety
///
/// As `opened`.
#[no_mangle]
unsafe extern "C" fn llamux_prompt_write(
    private: *mut c_void,
    from: usize,
    len: usize,
    nonblock: bool,
) -> isize {
    // SAFETY: As the caller's.
    let prompt = unsafe { opened(private) };
    returned(prompt.write(UserPtr::from_addr(from), len, nonblock))
}

/// Called by read().
///
/// # Safety
///
/// As `opened`.
#[no_mangle]
unsafe extern "C" fn llamux_prompt_read(
    private: *mut c_void,
    to: usize,
    len: usize,
    nonblock: bool,
) -> isize {
    // SAFETY: As the caller's.
    let prompt = unsafe { opened(private) };
    let to = UserSlice::new(UserPtr::from_addr(to), len);
    returned(prompt.read(to, nonblock))
}

/// Called when the file is closed for the last time.
///
/// # Safety
///
/// As `opened`; it is passed once.
#[no_mangle]
unsafe extern "C" fn llamux_prompt_release(private: *mut c_void) {
    // SAFETY: As the caller's.
    let prompt = unsafe { <Pin<KBox<Prompt>> as ForeignOwnable>::from_foreign(private) };
    if let Err(error) = prompt.ask() {
        pr_warn_once!("a question in /proc/llamux/prompt was not asked: {error:?}\n");
    }
}

fn returned(result: Result<usize>) -> isize {
    match result {
        Ok(len) => isize::try_from(len).unwrap_or(isize::MAX),
        // CAST: From int to long.
        Err(error) => error.to_errno() as isize,
    }
}
