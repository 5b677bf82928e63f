// SPDX-License-Identifier: GPL-2.0-only

//! A text as a vector: `LLAMA_IOC_EMBED` of the device.
//!
//! It has nothing to do with the session's conversation, but for the model and for whose it is, and waits in
//! the queue as a question does.
//!
//! C header: [`include/uapi/linux/llamux.h`](srctree/include/uapi/linux/llamux.h)

use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};
use kernel::uapi;
use llamux_engine::generate::Sampling;

use crate::command::{answer, bytes_from_user};
use crate::request::{Deadline, Question, Request};
use crate::session::Session;

/// Does what is asked for, and hands the structure back by `reply`.
pub(crate) fn embed(
    session: &Session,
    mut asked: uapi::llama_embedding,
    block: bool,
    reply: impl FnOnce(&uapi::llama_embedding) -> Result,
) -> Result {
    let deadline = Deadline::after(asked.timeout_ms);
    if asked.flags != 0 || asked.reserved != 0 || asked.text_len == 0 {
        return Err(EINVAL);
    }
    if asked.text_len > u64::from(uapi::LLAMA_PROMPT_MAX) {
        return Err(EMSGSIZE);
    }
    let text = bytes_from_user(asked.text, asked.text_len)?;
    core::str::from_utf8(&text).map_err(|_| EILSEQ)?;
    session.wait_until_ready(block, &deadline, true)?;
    let service = session.service();
    let model = session.model();
    let (model, columns) = {
        let models = service.models.lock();
        let model = models.ready(model)?;
        (model, models.embedding(Some(model)))
    };
    if columns == 0 {
        // A program answers that makes none.
        return Err(EPROTONOSUPPORT);
    }
    let room = core::mem::replace(&mut asked.vector_len, columns);
    if room < columns {
        reply(&asked)?;
        return Err(E2BIG);
    }
    let question = Question {
        prompt: text,
        grammar: None,
        owner: session.opener().user,
        standing: session.opener().standing(),
        raw: true,
        max_tokens: 0,
        sampling: Sampling::default(),
        deadline,
        turn: None,
        embed: columns,
    };
    let queued = Request::new(0, question)?;
    let request = queued.clone_arc();
    service.submit(queued, Some(model))?;
    let answer = answer(service, request)?;
    let vector = core::mem::take(&mut answer.request.progress.lock().vector);
    let target = UserPtr::from_addr(usize::try_from(asked.vector)?);
    let bytes = vector.as_slice().as_bytes();
    UserSlice::new(target, bytes.len())
        .writer()
        .write_slice(bytes)?;
    asked.tokens = answer.finish.prompt_tokens;
    reply(&asked)
}
