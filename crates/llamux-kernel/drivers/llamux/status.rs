// SPDX-License-Identifier: GPL-2.0-only

//! `/proc/llamux/status`: one fact a line, described in Documentation/ABI/testing/procfs-llamux.

use core::fmt::Display;

use kernel::bindings;
use kernel::ffi::{c_int, c_void};
use kernel::fmt;
use kernel::prelude::*;
use kernel::seq_file::{seq_print, SeqFile};
use kernel::str::CString;
use kernel::sync::atomic::ordering::Relaxed;
use kernel::uapi;
use llamux_engine::channel::Bounds;
use llamux_engine::math::Kernels;
use llamux_engine::{quantization, Info};

use crate::backend::Abilities;
use crate::hash::Digest;
use crate::load::Reason;
use crate::models::State;
use crate::requant::Requant;
use crate::sig::Identity;
use crate::SERVICE;

/// Shows a type of the engine, which knows only core's own `Display`.
pub(crate) struct Shown<'a, T>(pub(crate) &'a T);

impl<T: Display> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lines about weights that were given another type.
struct Lines<'a>(Option<&'a Requant>);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Requant { to, tensors, saved }) = self.0 else {
            return Ok(());
        };
        let to = quantization::name_of(*to);
        let to = Shown(&to);
        f.write_fmt(fmt!(
            "requant: {to}\nrequant_tensors: {tensors}\nrequant_saved: {saved}\n"
        ))
    }
}

/// What a program can do, one word each.
struct Can(u64, u32);

impl fmt::Display for Can {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, word) in [
            (uapi::LLAMA_BACKEND_CHAT, " chat"),
            (uapi::LLAMA_BACKEND_RAW, " raw"),
            (uapi::LLAMA_BACKEND_GRAMMAR, " grammar"),
            (uapi::LLAMA_BACKEND_LOGPROBS, " logprobs"),
        ] {
            if self.0 & u64::from(flag) != 0 {
                f.write_str(word)?;
            }
        }
        match self.1 {
            0 => Ok(()),
            _ => f.write_str(" embed"),
        }
    }
}

/// What is known of a loaded model, as text.
pub(crate) struct Facts {
    /// The lines of `status`.
    lines: CString,
    /// For the log.
    summary: CString,
    /// Tokens of the context.
    pub(crate) context: u32,
    /// Which files it is of, if that is looked at.
    identity: Option<Identity>,
    /// Numbers of an embedding.
    pub(crate) embedding: u32,
}

/// The lines about the files.
struct Files<'a>(Option<&'a Identity>);

impl fmt::Display for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Identity { sha256, signer }) = self.0 else {
            return Ok(());
        };
        let sha256 = core::str::from_utf8(sha256.trim_ascii()).unwrap_or("");
        if !sha256.is_empty() {
            f.write_fmt(fmt!("sha256: {sha256}\n"))?;
        }
        let signer = signer.as_ref().and_then(|signer| signer.to_str().ok());
        let signer = signer.unwrap_or("none");
        f.write_fmt(fmt!("signer: {signer}\n"))
    }
}

impl Facts {
    #[expect(clippy::too_many_arguments, reason = "they are lines of one file")]
    pub(crate) fn new(
        info: &Info<'_>,
        path: &str,
        kernels: Kernels,
        threads: u32,
        reserved: usize,
        used: usize,
        requant: Option<&Requant>,
        identity: Option<Identity>,
        in_place: bool,
    ) -> Result<Self> {
        let name = Shown(&info.name);
        let architecture = Shown(&info.architecture);
        let quantization = Shown(&info.quantization);
        let (parameters, context) = (info.parameters, info.context);
        let (sessions, cache) = (info.sequences, info.kv_positions);
        let chat = info.chat.map_or("none", |chat| chat.format().name());
        let weights = if in_place { "in place" } else { "read" };
        let source = if reserved == 0 { "vmalloc" } else { "reserved" };
        Ok(Self {
            context,
            identity,
            embedding: info.embedding,
            lines: CString::try_from_fmt(fmt!(
                "model: {name}\nfile: {path}\narchitecture: {architecture}\n\
                 parameters: {parameters}\nquantization: {quantization}\ncontext: {context}\n\
                 chat_format: {chat}\nsessions_max: {sessions}\ncache: {cache}\n\
                 kernels: {}\nthreads: {threads}\n\
                 memory_source: {source}\nmemory_reserved: {reserved}\nmemory_used: {used}\n\
                 weights: {weights}\n{}",
                kernels.name(),
                Lines(requant)
            ))?,
            summary: CString::try_from_fmt(fmt!(
                "{name}, {architecture}, {parameters} parameters, {quantization}, {used} bytes of \
                 {source} memory, weights {weights}, {} on {threads} threads",
                kernels.name()
            ))?,
        })
    }

    /// Of a model that a program answers for.
    pub(crate) fn elsewhere(
        name: &str,
        (pid, program): (i32, &dyn Display),
        abilities: &Abilities,
    ) -> Result<Self> {
        let Abilities {
            flags,
            bounds: Bounds { context, embedding },
            active,
            timeout_ms,
        } = *abilities;
        let can = Can(flags, embedding);
        Ok(Self {
            context,
            identity: None,
            embedding,
            lines: CString::try_from_fmt(fmt!(
                "model: {name}\nbackend: {}\nbackend_pid: {pid}\nbackend_timeout_ms: {timeout_ms}\n\
                 can:{can}\ncontext: {context}\nsessions_max: {active}\nmemory_source: backend\n",
                Shown(&program)
            ))?,
            summary: CString::try_from_fmt(fmt!("{name}, answered by {}", Shown(&program)))?,
        })
    }

    /// The hashes of its files are known now.
    pub(crate) fn hashed(&mut self, digests: &[Digest]) -> Result<(), Reason> {
        match &mut self.identity {
            Some(identity) => identity.set(digests),
            None => Ok(()),
        }
    }

    fn lines(&self) -> &str {
        // What is formatted is UTF-8, and the engine escapes what comes from the file.
        self.lines.to_str().unwrap_or("")
    }

    pub(crate) fn summary(&self) -> &str {
        self.summary.to_str().unwrap_or("")
    }
}

/// Called by procfs for each reading of the file.
///
/// # Safety
///
/// `m` is a seq_file that nobody else uses meanwhile.
#[no_mangle]
unsafe extern "C" fn llamux_status_show(m: *mut bindings::seq_file, _v: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let m = unsafe { SeqFile::from_raw(m) };
    let Some(service) = SERVICE.as_ref() else {
        return 0;
    };
    seq_print!(m, "version: {}\n", llamux_abi::VERSION);
    match service.models.lock().state() {
        State::Loading => seq_print!(m, "state: loading\n"),
        State::Unloading => seq_print!(m, "state: unloading\n"),
        State::Unavailable(reason) => {
            seq_print!(m, "state: unavailable\nreason: {}\n", Shown(reason));
        }
        State::Ready(facts) => {
            let files = Files(facts.identity.as_ref());
            seq_print!(m, "state: ready\n{}{files}", facts.lines());
        }
    }
    let stats = *service.stats.lock();
    seq_print!(
        m,
        "requests_served: {}\nrequests_waiting: {}\nsessions_active: {}\nprompt_tokens: {}\n\
         cached_tokens: {}\nresponse_tokens: {}\nsteps: {}\nstep_tokens: {}\n\
         prefill_millitokens_per_second: {}\ndecode_millitokens_per_second: {}\n",
        stats.requests,
        service.waiting.load(Relaxed),
        service.active.load(Relaxed),
        stats.prompt_tokens,
        stats.cached_tokens,
        stats.response_tokens,
        stats.steps,
        stats.step_tokens,
        millitokens_per_second(stats.prefilled_tokens, stats.prefill_ns),
        millitokens_per_second(stats.decoded_tokens, stats.decode_ns),
    );
    0
}

/// Tokens in a time, as a speed.
fn millitokens_per_second(tokens: u64, nanoseconds: u64) -> u64 {
    let microseconds = nanoseconds / 1000;
    tokens
        .saturating_mul(1_000_000_000)
        .checked_div(microseconds)
        .unwrap_or(0)
}
