// SPDX-License-Identifier: GPL-2.0-only

//! Llamux: a language model in the kernel.
//!
//! One kernel thread answers the questions of all callers with all models ([`serve`]); the callers wait
//! in a queue ([`service`]), in an order that is fair to users ([`users`], [`limits`]), and others help it with the large operations ([`pool`]). Models are loaded
//! by threads of their own ([`load`]) as the administrator wants ([`models`]) into memory that they own
//! ([`model`], [`region`]), after their signatures were checked ([`sig`]). Callers come by the system call
//! llama_command ([`command`]), or hold a conversation ([`session`]) through /dev/llama ([`device`], [`roll`]), or
//! write to a file ([`prompt`]). Programs may answer, too: their models ([`backend`]) come by /dev/llama-backend
//! ([`channel`]).
//!
//! C header: [`include/uapi/linux/llamux.h`](srctree/include/uapi/linux/llamux.h)

use kernel::prelude::*;
use kernel::sync::{Arc, SetOnce};

mod backend;
mod channel;
mod command;
mod device;
mod embed;
mod files;
mod greeting;
mod haiku;
mod hash;
mod inplace;
mod latency;
mod limits;
mod load;
mod model;
mod models;
mod oops;
mod pool;
mod prompt;
mod region;
mod requant;
mod request;
mod roll;
mod serve;
mod service;
mod session;
mod settings;
mod sig;
mod stats;
mod status;
mod sys;
#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
mod tests;
mod users;
mod voice;

use service::Service;

module! {
    type: Llamux,
    name: "llamux",
    authors: ["The Llamux developers"],
    description: "Language model in the kernel",
    license: "GPL",
    params: {
        threads: u32 {
            default: 0,
            description: "Threads that compute; 0 for one on each processor that may",
        },
        nice: i32 {
            default: 0,
            description: "Nice value of the threads, from -20 to 19",
        },
        context: u32 {
            default: 0,
            description: "Tokens of prompt and answer together; 0 for the model's own, at most 4096",
        },
        sessions: u32 {
            default: 4,
            description: "Questions that are answered at once, from 1 to 64",
        },
        cache: u32 {
            default: 0,
            description: "Tokens whose keys and values are kept for all questions; 0 for a context",
        },
        speculate: bool {
            default: true,
            description: "Guess tokens from what was said before",
        },
        keep_firmware: bool {
            default: false,
            description: "Keep the model's file in the initramfs after it was loaded",
        },
        haiku: bool {
            default: true,
            description: "End panics and oopses with three lines",
        },
        greeting: bool {
            default: true,
            description: "Let the model greet when it is loaded",
        },
        idle: u32 {
            default: 60,
            description: "Seconds without a question after which the model writes haiku; 0 for never",
        },
        last_words: bool {
            default: true,
            description: "Let the model guess in the log what an oops was about",
        },
    },
}

/// The one service, once it was started.
static SERVICE: SetOnce<Arc<Service>> = SetOnce::new();

struct Llamux;

impl kernel::Module for Llamux {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let service = Service::start(service::Settings {
            threads: module_parameters::threads.value(),
            nice: module_parameters::nice.value(),
            context: module_parameters::context.value(),
            sessions: module_parameters::sessions.value(),
            cache: module_parameters::cache.value(),
            speculate: module_parameters::speculate.value(),
            keep_firmware: module_parameters::keep_firmware.value(),
            sig: sig::Mode::wanted(),
        })?;
        voice::Voice::start(
            service.clone(),
            voice::Settings {
                greeting: module_parameters::greeting.value(),
                haiku: module_parameters::haiku.value(),
                idle: module_parameters::idle.value(),
                last_words: module_parameters::last_words.value(),
            },
        )?;
        SERVICE.populate(service);
        // SAFETY: Once, and the files come after it.
        unsafe { prompt::init() };
        sys::create_proc_files()?;
        sys::create_sysfs_files()?;
        sys::create_shrinker()?;
        device::register()?;
        channel::register()?;
        Ok(Self)
    }
}
