// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/llama`: each open file is a conversation, see [`Session`].
//!
//! C header: [`include/uapi/linux/llamux.h`](srctree/include/uapi/linux/llamux.h)

use kernel::bindings;
use kernel::fs::file::{flags, FileDescriptorReservation};
use kernel::fs::{File, Kiocb, LocalFile};
use kernel::ioctl::{_IO, _IOC_SIZE, _IOW, _IOWR};
use kernel::iov::{IovIterDest, IovIterSource};
use kernel::miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration};
use kernel::prelude::*;
use kernel::seq_file::{seq_print, SeqFile};
use kernel::str::CString;
use kernel::sync::poll::PollTable;
use kernel::sync::{Arc, ArcBorrow, SetOnce};
use kernel::uaccess::{UserPtr, UserSlice};
use kernel::uapi;
use llamux_engine::chat::Role;
use llamux_engine::stops::Stops;

use crate::command::{bytes_from_user, grammar_from_user, Parameters};
use crate::embed::embed;
use crate::models::{State, MAX_NAME};
use crate::request::Rated;
use crate::session::{Options, Session};
use crate::status::Shown;
use crate::{sys, SERVICE};

/// The device, which stays for ever.
static DEVICE: SetOnce<Pin<KBox<MiscDeviceRegistration<Session>>>> = SetOnce::new();

/// Makes the device.
pub(crate) fn register() -> Result {
    let options = MiscDeviceOptions { name: c"llama" };
    let device = KBox::pin_init(MiscDeviceRegistration::register(options), GFP_KERNEL)?;
    DEVICE.populate(device);
    Ok(())
}

/// The session of a file, if it is one of the device.
pub(crate) fn session(file: &LocalFile) -> Option<ArcBorrow<'_, Session>> {
    DEVICE.as_ref()?.private_data(file)
}

/// Whether a call on this file may wait.
fn blocks(file: &LocalFile) -> bool {
    file.flags() & flags::O_NONBLOCK == 0
}

#[vtable]
impl MiscDevice for Session {
    type Ptr = Arc<Self>;

    /// For root and its group, to which an administrator may add others by a rule of udev.
    const MODE: u16 = 0o660;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Arc<Self>> {
        Session::new(SERVICE.as_ref().ok_or(ENODEV)?.clone())
    }

    fn read_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let block = blocks(sys::file_of(&kiocb));
        let room = iov.len();
        kiocb
            .file()
            .read(room, block, |bytes| iov.copy_to_iter(bytes))
    }

    fn write_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        let len = iov.len();
        if len == 0 {
            return Ok(0);
        }
        if len > usize::try_from(uapi::LLAMA_PROMPT_MAX)? {
            return Err(EMSGSIZE);
        }
        let mut text = KVVec::new();
        if iov.copy_from_iter_vec(&mut text, sys::on_account())? != len {
            return Err(EFAULT);
        }
        let block = blocks(sys::file_of(&kiocb));
        kiocb.file().write(&text, block)?;
        Ok(len)
    }

    fn poll(me: ArcBorrow<'_, Session>, file: &File, table: PollTable<'_>) -> u32 {
        table.register_wait(file, &me.reader().0);
        let (readable, writable) = me.ready();
        let mut mask = 0;
        if readable {
            mask |= bindings::POLLIN | bindings::POLLRDNORM;
        }
        if writable {
            mask |= bindings::POLLOUT | bindings::POLLWRNORM;
        }
        mask
    }

    fn ioctl(me: ArcBorrow<'_, Session>, file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let size = _IOC_SIZE(cmd);
        // The size is the structure's as the caller knows it.
        match without_size(cmd) {
            TURN => turn(&me, sys::plain_from_user(arg, size, 32)?, blocks(file))?,
            SET => me.set(options(&sys::plain_from_user(arg, size, 80)?)?)?,
            INFO => info(&me, sys::plain_from_user(arg, size, 64)?, (arg, size))?,
            MODEL => choose(&me, &sys::plain_from_user(arg, size, 24)?, blocks(file))?,
            EMBED => {
                let asked = sys::plain_from_user(arg, size, 48)?;
                embed(&me, asked, blocks(file), |answer| {
                    reply(answer, (arg, size))
                })?;
            }
            LOGPROBS => logprobs(&me, sys::plain_from_user(arg, size, 16)?, (arg, size))?,
            FORK if size == 0 => return fork(&me, file, arg),
            RESET | CANCEL | PREWARM if size == 0 && arg != 0 => return Err(EINVAL),
            RESET if size == 0 => me.reset(),
            CANCEL if size == 0 => me.cancel(),
            PREWARM if size == 0 => me.prewarm(blocks(file))?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }

    fn show_fdinfo(me: ArcBorrow<'_, Session>, m: &SeqFile, _file: &File) {
        let state = me.state();
        seq_print!(
            m,
            "llama-state:\t{}\nllama-tokens:\t{}\nllama-held:\t{}\nllama-unread:\t{}\n",
            state.name(),
            state.tokens,
            state.held,
            state.unread,
        );
    }
}

/// An ioctl's number without the size of its argument.
pub(crate) const fn without_size(cmd: u32) -> u32 {
    cmd & !(uapi::_IOC_SIZEMASK << uapi::_IOC_SIZESHIFT)
}

const MAGIC: u32 = uapi::LLAMA_IOC_MAGIC;
const TURN: u32 = without_size(_IOW::<uapi::llama_turn>(MAGIC, 0));
const SET: u32 = without_size(_IOW::<uapi::llama_options>(MAGIC, 1));
const INFO: u32 = without_size(_IOWR::<uapi::llama_session>(MAGIC, 2));
const LOGPROBS: u32 = without_size(_IOWR::<uapi::llama_logprobs>(MAGIC, 3));
const FORK: u32 = _IO(MAGIC, 4);
const RESET: u32 = _IO(MAGIC, 5);
const CANCEL: u32 = _IO(MAGIC, 6);
const PREWARM: u32 = _IO(MAGIC, 7);
const MODEL: u32 = without_size(_IOW::<uapi::llama_model_name>(MAGIC, 8));
const EMBED: u32 = without_size(_IOWR::<uapi::llama_embedding>(MAGIC, 9));

fn turn(session: &Session, turn: uapi::llama_turn, block: bool) -> Result {
    let role = match turn.role {
        uapi::LLAMA_ROLE_USER => Role::User,
        uapi::LLAMA_ROLE_SYSTEM => Role::System,
        uapi::LLAMA_ROLE_ASSISTANT => Role::Assistant,
        _ => return Err(EINVAL),
    };
    let hold = u64::from(uapi::LLAMA_TURN_HOLD);
    if turn.flags & !hold != 0 || turn.reserved != 0 || turn.text_len == 0 {
        return Err(EINVAL);
    }
    if turn.text_len > u64::from(uapi::LLAMA_PROMPT_MAX) {
        return Err(EMSGSIZE);
    }
    let text = bytes_from_user(turn.text, turn.text_len)?;
    session.say(role, &text, turn.flags & hold != 0, block)
}

fn options(options: &uapi::llama_options) -> Result<Options> {
    const KNOWN: u32 = uapi::LLAMA_OPTION_RAW
        | uapi::LLAMA_OPTION_GREEDY
        | uapi::LLAMA_OPTION_APPEND
        | uapi::LLAMA_OPTION_KEEP
        | uapi::LLAMA_OPTION_LOGPROBS;
    let has = |flag: u32| options.flags & u64::from(flag) != 0;
    let parameters = Parameters {
        greedy: has(uapi::LLAMA_OPTION_GREEDY),
        max_tokens: options.max_tokens,
        seed: options.seed,
        temperature_milli: options.temperature_milli,
        top_k: options.top_k,
        top_p_milli: options.top_p_milli,
        min_p_milli: options.min_p_milli,
        repeat_penalty_milli: options.repeat_penalty_milli,
    };
    if options.flags & !u64::from(KNOWN) != 0
        || options.reserved != 0
        || !parameters.are_valid()
        || (options.stops == 0) != (options.stops_len == 0)
    {
        return Err(EINVAL);
    }
    if options.stops_len > u64::from(uapi::LLAMA_STOPS_MAX) {
        return Err(EMSGSIZE);
    }
    let mut stops = None;
    if options.stops_len != 0 {
        let bytes = bytes_from_user(options.stops, options.stops_len)?;
        let text = core::str::from_utf8(&bytes).map_err(|_| EILSEQ)?;
        Stops::new(text).map_err(|_| EINVAL)?;
        stops = Some(Arc::new(bytes, GFP_KERNEL_ACCOUNT)?);
    }
    Ok(Options {
        raw: has(uapi::LLAMA_OPTION_RAW),
        append: has(uapi::LLAMA_OPTION_APPEND),
        keep: has(uapi::LLAMA_OPTION_KEEP),
        rated: has(uapi::LLAMA_OPTION_LOGPROBS),
        timeout_ms: options.timeout_ms,
        parameters,
        grammar: grammar_from_user(options.grammar, options.grammar_len)?,
        stops,
    })
}

fn info(session: &Session, mut info: uapi::llama_session, place: (usize, usize)) -> Result {
    let service = SERVICE.as_ref().ok_or(ENODEV)?;
    let mut reason = None;
    let mut name = KVec::new();
    let state = session.state();
    {
        let models = service.models.lock();
        info.model = match models.state_of(state.model) {
            Some(State::Loading) => uapi::LLAMA_MODEL_LOADING,
            Some(State::Ready(_)) => uapi::LLAMA_MODEL_READY,
            Some(State::Unavailable(why)) => {
                reason = Some(CString::try_from_fmt(fmt!("{}", Shown(why)))?);
                uapi::LLAMA_MODEL_UNAVAILABLE
            }
            Some(State::Unloading) | None => {
                reason = Some(CString::try_from_fmt(fmt!("the model was unloaded"))?);
                uapi::LLAMA_MODEL_UNAVAILABLE
            }
        };
        info.context = models.context(state.model);
        info.embedding = models.embedding(state.model);
        name.extend_from_slice(models.name(state.model), GFP_KERNEL_ACCOUNT)?;
    }
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    info.state = state.state;
    info.tokens = number(state.tokens);
    info.context_left = info.context.saturating_sub(info.tokens);
    info.held_bytes = number(state.held);
    info.unread = number(state.unread);
    info.prompt_tokens = state.last.prompt_tokens;
    info.cached_tokens = state.last.cached_tokens;
    info.response_tokens = state.last.tokens;
    info.stop_reason = state.last.stop;
    info.error = state
        .last
        .error
        .map_or(0, |error| error.to_errno().unsigned_abs());
    info.logprobs = number(state.rated);
    let text = reason.as_ref().map_or(&[][..], |reason| reason.to_bytes());
    info.reason_len = show(text, info.reason, info.reason_len)?;
    info.name_len = show(&name, info.name, info.name_len)?;
    reply(&info, place)
}

/// Copies out as much of a text as there is room for, if there is a buffer. Returns its length.
fn show(text: &[u8], buffer: u64, room: u32) -> Result<u32> {
    if buffer != 0 {
        let text = text.get(..usize::try_from(room)?).unwrap_or(text);
        let target = UserPtr::from_addr(usize::try_from(buffer)?);
        UserSlice::new(target, text.len())
            .writer()
            .write_slice(text)?;
    }
    Ok(u32::try_from(text.len()).unwrap_or(u32::MAX))
}

fn choose(session: &Session, model: &uapi::llama_model_name, block: bool) -> Result {
    if model.flags != 0 || model.reserved != 0 {
        return Err(EINVAL);
    }
    if usize::try_from(model.name_len)? > MAX_NAME {
        return Err(ENAMETOOLONG);
    }
    let name = bytes_from_user(model.name, model.name_len.into())?;
    session.choose(&name, block)
}

fn logprobs(session: &Session, mut asked: uapi::llama_logprobs, place: (usize, usize)) -> Result {
    const SIZE: usize = size_of::<uapi::llama_logprob>();
    let (first, room) = (usize::try_from(asked.first)?, usize::try_from(asked.count)?);
    let address = usize::try_from(asked.entries)?;
    let len = room.checked_mul(SIZE).ok_or(EINVAL)?;
    let mut writer = UserSlice::new(UserPtr::from_addr(address), len).writer();
    let nothing = Rated {
        token: 0,
        millionths: None,
        offset: 0,
    };
    let mut done = 0;
    while done < room {
        let mut part = [nothing; 16];
        let most = part.len().min(room - done);
        let out = part.get_mut(..most).unwrap_or_default();
        let count = session.rated(first.saturating_add(done), out);
        for rated in part.iter().take(count) {
            let entry = uapi::llama_logprob {
                token: rated.token,
                logprob_micro: -i32::try_from(rated.millionths.unwrap_or(0)).unwrap_or(i32::MAX),
                offset: rated.offset,
                flags: match rated.millionths {
                    Some(_) => 0,
                    None => uapi::LLAMA_LOGPROB_FORCED,
                },
            };
            writer.write_slice(sys::plain_bytes(&entry))?;
        }
        done += count;
        if count == 0 {
            break;
        }
    }
    // CAST: At most what was asked for, which is of this type.
    asked.count = done as u32;
    reply(&asked, place)
}

/// Copies out as much of a structure as the caller knows.
fn reply<T: sys::Plain>(value: &T, (address, size): (usize, usize)) -> Result {
    let bytes = sys::plain_bytes(value);
    let known = bytes.get(..size).unwrap_or(bytes);
    let target = UserPtr::from_addr(address);
    UserSlice::new(target, known.len())
        .writer()
        .write_slice(known)
}

fn fork(session: &Session, file: &File, arg: usize) -> Result<isize> {
    let wanted = u32::try_from(arg).map_err(|_| EINVAL)?;
    if wanted & !(flags::O_CLOEXEC | flags::O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    let device = DEVICE.as_ref().ok_or(ENODEV)?;
    let number = FileDescriptorReservation::get_unused_fd_flags(wanted)?;
    let mode = file.flags() & flags::O_ACCMODE | wanted & flags::O_NONBLOCK;
    let file = device.anon_file(c"[llama]", session.fork()?, mode)?;
    let fd = isize::try_from(number.reserved_fd())?;
    number.fd_install(file);
    Ok(fd)
}
