// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/llama-backend`: each open file is a program that answers for a model, once it has registered it; see
//! [`Backend`]. The model goes when the file is closed.
//!
//! Lock order: `Channel::registered` is taken before `Service::models`, one of a [`Backend`], or none. No user memory
//! is touched with it held.
//!
//! C header: [`include/uapi/linux/llamux.h`](srctree/include/uapi/linux/llamux.h)

use core::mem::offset_of;

use kernel::bindings;
use kernel::fs::file::flags;
use kernel::fs::{File, Kiocb};
use kernel::ioctl::{_IOC_SIZE, _IOW};
use kernel::iov::{IovIterDest, IovIterSource};
use kernel::miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration};
use kernel::prelude::*;
use kernel::seq_file::{seq_print, SeqFile};
use kernel::sync::poll::PollTable;
use kernel::sync::{new_mutex, Arc, ArcBorrow, Mutex, SetOnce};
use kernel::uapi;
use llamux_engine::channel::{self, Bounds, Header, Refused};
use llamux_engine::chat::Role;

use crate::backend::{Abilities, Backend, Message};
use crate::command::bytes_from_user;
use crate::device::without_size;
use crate::models::{checked_name, Escaped, Progress, MAX_NAME};
use crate::request::{Question, Request, Said};
use crate::service::Service;
use crate::status::{Facts, Shown};
use crate::{sys, SERVICE};

/// How long a program may take without a sign if it does not say.
const TIMEOUT_MS: u32 = 60_000;

/// The longest time that it may say.
const TIMEOUT_MAX_MS: u32 = 3_600_000;

/// Most numbers of an embedding.
const EMBEDDING_MAX: u32 = 1 << 16;

/// What a program may say is wrong.
const ERRORS: [u32; 4] = [
    bindings::EIO,
    bindings::EOVERFLOW,
    bindings::ENODATA,
    bindings::EPROTONOSUPPORT,
];

// The header of the engine is the structure of the interface.
const _: () = {
    type Reply = uapi::llama_backend_reply;
    assert!(size_of::<Header>() == size_of::<Reply>());
    assert!(offset_of!(Header, id) == offset_of!(Reply, id));
    assert!(offset_of!(Header, kind) == offset_of!(Reply, kind));
    assert!(offset_of!(Header, flags) == offset_of!(Reply, flags));
    assert!(offset_of!(Header, tokens) == offset_of!(Reply, tokens));
    assert!(offset_of!(Header, prompt_tokens) == offset_of!(Reply, prompt_tokens));
    assert!(offset_of!(Header, cached_tokens) == offset_of!(Reply, cached_tokens));
    assert!(offset_of!(Header, stop_reason) == offset_of!(Reply, stop_reason));
    assert!(offset_of!(Header, error) == offset_of!(Reply, error));
    assert!(offset_of!(Header, token) == offset_of!(Reply, token));
    assert!(offset_of!(Header, logprob_micro) == offset_of!(Reply, logprob_micro));
    assert!(offset_of!(Header, reserved) == offset_of!(Reply, reserved));
    assert!(channel::kind::TEXT == uapi::LLAMA_REPLY_TEXT);
    assert!(channel::kind::VECTOR == uapi::LLAMA_REPLY_VECTOR);
    assert!(channel::kind::ALIVE == uapi::LLAMA_REPLY_ALIVE);
    assert!(channel::kind::END == uapi::LLAMA_REPLY_END);
    assert!(channel::kind::ERROR == uapi::LLAMA_REPLY_ERROR);
    assert!(channel::RATED == uapi::LLAMA_REPLY_RATED);
    assert!(channel::stop::END == uapi::LLAMA_STOP_END);
    assert!(channel::stop::LENGTH == uapi::LLAMA_STOP_LENGTH);
    assert!(channel::stop::STRING == uapi::LLAMA_STOP_STRING);
    assert!(channel::MAX_TEXT == uapi::LLAMA_BACKEND_TEXT_MAX as usize);
};

/// The device, which stays for ever.
static DEVICE: SetOnce<Pin<KBox<MiscDeviceRegistration<Channel>>>> = SetOnce::new();

/// Makes the device.
pub(crate) fn register() -> Result {
    let options = MiscDeviceOptions {
        name: c"llama-backend",
    };
    let device = KBox::pin_init(MiscDeviceRegistration::register(options), GFP_KERNEL)?;
    DEVICE.populate(device);
    Ok(())
}

/// An open file.
#[pin_data(PinnedDrop)]
pub(crate) struct Channel {
    service: Arc<Service>,
    #[pin]
    registered: Mutex<Option<Arc<Backend>>>,
}

impl Channel {
    /// What was registered; `EINVAL` if nothing was.
    fn backend(&self) -> Result<Arc<Backend>> {
        self.registered.lock().clone().ok_or(EINVAL)
    }

    fn register(&self, wanted: &uapi::llama_backend) -> Result {
        let abilities = abilities(wanted)?;
        if wanted.name_len == 0 {
            return Err(EINVAL);
        }
        if usize::try_from(wanted.name_len)? > MAX_NAME {
            return Err(ENAMETOOLONG);
        }
        let name = bytes_from_user(wanted.name, wanted.name_len.into())?;
        let name = checked_name(&name)?;
        if name.starts_with('/') {
            // That is a file.
            return Err(EINVAL);
        }
        let (pid, comm) = sys::caller_process();
        let comm = comm.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let facts = Facts::elsewhere(name, (pid, &Escaped(comm)), &abilities)?;
        let mut registered = self.registered.lock();
        if registered.is_some() {
            return Err(EBUSY);
        }
        let progress = Arc::new(Progress::elsewhere(), GFP_KERNEL)?;
        let service = &self.service;
        let id = service.models.lock().new_id();
        let backend = Backend::new(id, service.clone(), abilities, progress.clone())?;
        let parts = (backend.clone(), progress);
        let added = service
            .models
            .lock()
            .add_backend(name.as_bytes(), facts, parts);
        if added.is_err() {
            // For its thread.
            backend.close();
            return added;
        }
        pr_info!("{name}: {} ({pid}) answers for it\n", Shown(&Escaped(comm)));
        *registered = Some(backend);
        drop(registered);
        service.changed();
        Ok(())
    }
}

/// What a program says that it can do, if that can be.
fn abilities(wanted: &uapi::llama_backend) -> Result<Abilities> {
    const KNOWN: u32 = uapi::LLAMA_BACKEND_CHAT
        | uapi::LLAMA_BACKEND_RAW
        | uapi::LLAMA_BACKEND_GRAMMAR
        | uapi::LLAMA_BACKEND_LOGPROBS;
    let answers = u64::from(uapi::LLAMA_BACKEND_CHAT | uapi::LLAMA_BACKEND_RAW);
    if wanted.flags & !u64::from(KNOWN) != 0
        || wanted.reserved != 0
        || (wanted.flags & answers == 0 && wanted.embedding == 0)
        || wanted.context == 0
        || wanted.embedding > EMBEDDING_MAX
        || !(1..=uapi::LLAMA_BACKEND_ACTIVE_MAX).contains(&wanted.active)
        || wanted.timeout_ms > TIMEOUT_MAX_MS
    {
        return Err(EINVAL);
    }
    Ok(Abilities {
        flags: wanted.flags,
        bounds: Bounds {
            context: wanted.context,
            embedding: wanted.embedding,
        },
        active: wanted.active,
        timeout_ms: match wanted.timeout_ms {
            0 => TIMEOUT_MS,
            other => other,
        },
    })
}

/// A request as it is sent.
struct Letter<'q> {
    question: &'q Question,
    /// What conversations begin with, if this one has nothing else for that.
    system: &'q [u8],
    /// The one turn of a question that is no conversation's.
    whole: [Said; 1],
    stops: &'q [u8],
    grammar: &'q [u8],
}

impl<'q> Letter<'q> {
    fn new(request: &'q Request, system: &'q [u8]) -> Self {
        let question = &request.question;
        let turn = question.turn.as_ref();
        let begins = turn.and_then(|turn| turn.said.first());
        let own = begins.is_some_and(|said| said.role == Role::System);
        let stops = turn.and_then(|turn| turn.stops.as_deref());
        let grammar = question.grammar.as_ref();
        Self {
            question,
            system: match own || question.raw {
                true => &[],
                false => system,
            },
            whole: [Said {
                role: Role::User,
                len: question.prompt.len(),
            }],
            stops: stops.map_or(&[], |stops| stops.as_slice()),
            grammar: grammar.map_or(&[], |grammar| grammar.bytes()),
        }
    }

    fn said(&self) -> &[Said] {
        let turn = self.question.turn.as_ref();
        turn.map_or(&self.whole, |turn| &turn.said)
    }

    /// All turns, that of the system first, if there is one.
    fn turns(&self) -> impl Iterator<Item = Said> + '_ {
        let system = (!self.system.is_empty()).then_some(Said {
            role: Role::System,
            len: self.system.len(),
        });
        Iterator::chain(system.into_iter(), self.said().iter().copied())
    }

    fn size(&self) -> usize {
        size_of::<uapi::llama_backend_request>()
            + self.turns().count() * size_of::<uapi::llama_backend_turn>()
            + self.system.len()
            + self.question.prompt.len()
            + self.stops.len()
            + self.grammar.len()
    }

    fn header(&self, id: u64) -> Result<uapi::llama_backend_request> {
        let question = self.question;
        let sampling = &question.sampling;
        let turn = question.turn.as_ref();
        let mut flags = 0;
        for (set, flag) in [
            (question.raw, uapi::LLAMA_ASK_RAW),
            (sampling.temperature_milli == 0, uapi::LLAMA_ASK_GREEDY),
            (
                turn.is_some_and(|turn| !turn.drop_oldest),
                uapi::LLAMA_ASK_KEEP,
            ),
            (
                turn.is_some_and(|turn| turn.rated),
                uapi::LLAMA_ASK_LOGPROBS,
            ),
            (question.embed != 0, uapi::LLAMA_ASK_EMBED),
        ] {
            if set {
                flags |= u64::from(flag);
            }
        }
        Ok(uapi::llama_backend_request {
            id,
            flags,
            seed: sampling.seed,
            size: u32::try_from(self.size())?,
            kind: uapi::LLAMA_MESSAGE_ASK,
            uid: u32::try_from(question.owner)?,
            turns: u32::try_from(self.turns().count())?,
            stops_len: u32::try_from(self.stops.len())?,
            grammar_len: u32::try_from(self.grammar.len())?,
            max_tokens: question.max_tokens,
            // Who has none left is let go at once.
            timeout_ms: question.deadline.left().map_or(0, |left| left.max(1)),
            temperature_milli: sampling.temperature_milli,
            top_k: sampling.top_k,
            top_p_milli: sampling.top_p_milli,
            min_p_milli: sampling.min_p_milli,
            repeat_penalty_milli: sampling.repeat_penalty_milli,
            reserved: 0,
        })
    }

    /// Hands out all of it, piece by piece.
    fn write(&self, id: u64, mut out: impl FnMut(&[u8]) -> Result) -> Result {
        out(sys::plain_bytes(&self.header(id)?))?;
        for said in self.turns() {
            let turn = uapi::llama_backend_turn {
                role: match said.role {
                    Role::User => uapi::LLAMA_ROLE_USER,
                    Role::System => uapi::LLAMA_ROLE_SYSTEM,
                    Role::Assistant => uapi::LLAMA_ROLE_ASSISTANT,
                },
                len: u32::try_from(said.len)?,
            };
            out(sys::plain_bytes(&turn))?;
        }
        out(self.system)?;
        out(&self.question.prompt)?;
        out(self.stops)?;
        out(self.grammar)
    }
}

/// The message that nobody waits for a request any more.
fn cancel(id: u64) -> uapi::llama_backend_request {
    const SIZE: usize = size_of::<uapi::llama_backend_request>();
    uapi::llama_backend_request {
        id,
        // CAST: A small constant.
        size: SIZE as u32,
        kind: uapi::LLAMA_MESSAGE_CANCEL,
        ..Default::default()
    }
}

/// The errno of a message that is refused.
fn errno(refused: Refused) -> Error {
    match refused {
        Refused::Long => EMSGSIZE,
        Refused::Text => EILSEQ,
        _ => EINVAL,
    }
}

const REGISTER: u32 = without_size(_IOW::<uapi::llama_backend>(uapi::LLAMA_IOC_MAGIC, 15));

#[vtable]
impl MiscDevice for Channel {
    type Ptr = Arc<Self>;

    /// For root alone, who has to have the capability as well.
    const MODE: u16 = 0o600;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Arc<Self>> {
        if !sys::caller_administers() {
            return Err(EPERM);
        }
        let service = SERVICE.as_ref().ok_or(ENODEV)?.clone();
        Arc::pin_init(
            pin_init!(Self {
                service,
                registered <- new_mutex!(None, "llamux_channel"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn read_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let block = sys::file_of(&kiocb).flags() & flags::O_NONBLOCK == 0;
        let channel = kiocb.file();
        let backend = channel.backend()?;
        let system = channel.service.system.text();
        let room = iov.len();
        let next = backend.next(block, |message| match message {
            Message::Ask(_, request) => Letter::new(request, &system).size() <= room,
            Message::Cancel(_) => size_of::<uapi::llama_backend_request>() <= room,
        })?;
        let mut out = |bytes: &[u8]| match iov.copy_to_iter(bytes) == bytes.len() {
            true => Ok(()),
            false => Err(EFAULT),
        };
        match next {
            Message::Ask(id, request) => {
                let letter = Letter::new(&request, &system);
                if let Err(error) = letter.write(id, out) {
                    backend.put_back(id);
                    return Err(error);
                }
                Ok(letter.size())
            }
            Message::Cancel(id) => {
                let message = cancel(id);
                out(sys::plain_bytes(&message))?;
                Ok(size_of_val(&message))
            }
        }
    }

    fn write_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        let backend = kiocb.file().backend()?;
        let len = iov.len();
        if len > size_of::<Header>() + channel::MAX_TEXT {
            return Err(EMSGSIZE);
        }
        let mut message = KVVec::new();
        if iov.copy_from_iter_vec(&mut message, sys::on_account())? != len {
            return Err(EFAULT);
        }
        let bounds = backend.abilities().bounds;
        let (id, said) = channel::parse(&message, bounds, &ERRORS).map_err(errno)?;
        backend.take(id, &said)?;
        Ok(len)
    }

    fn poll(me: ArcBorrow<'_, Self>, file: &File, table: PollTable<'_>) -> u32 {
        let Ok(backend) = me.backend() else {
            return bindings::POLLERR;
        };
        table.register_wait(file, backend.reader());
        let (readable, gone) = backend.ready();
        let mut mask = bindings::POLLOUT | bindings::POLLWRNORM;
        if readable {
            mask |= bindings::POLLIN | bindings::POLLRDNORM;
        }
        if gone {
            mask |= bindings::POLLHUP | bindings::POLLERR;
        }
        mask
    }

    fn ioctl(me: ArcBorrow<'_, Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        match without_size(cmd) {
            REGISTER => me.register(&sys::plain_from_user(arg, _IOC_SIZE(cmd), 40)?)?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }

    fn show_fdinfo(me: ArcBorrow<'_, Self>, m: &SeqFile, _file: &File) {
        let Ok(backend) = me.backend() else {
            return;
        };
        let models = me.service.models.lock();
        seq_print!(
            m,
            "llama-model:\t{}\n",
            Shown(&Escaped(models.name(Some(backend.id()))))
        );
        drop(models);
        seq_print!(m, "llama-active:\t{}\n", backend.active());
    }
}

#[pinned_drop]
impl PinnedDrop for Channel {
    fn drop(self: Pin<&mut Self>) {
        let backend = self.registered.lock().take();
        if let Some(backend) = backend {
            backend.close();
        }
    }
}
