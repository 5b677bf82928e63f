// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama QUESTION`.
//!
//! The answer appears as it comes where /dev/llama can be opened and the model is there, and when it is
//! complete otherwise.

use std::io::IsTerminal as _;

use llamux::{Answer, Command, Error, Grammar, Session, StopReason};
use llamux_assistant::route::Intent;
use llamux_usage::complain;
use serde::Serialize;

use crate::cli::{Ask, Choice};
use crate::{act, here, input, interrupt, output, propose, Exit, Failure};

/// What `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    text: &'a str,
    prompt_tokens: u32,
    tokens: u32,
    stop_reason: &'static str,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seconds: Option<f64>,
}

pub(crate) fn run(options: &Ask) -> Result<Exit, Failure> {
    let stdin = std::io::stdin();
    let terminal = stdin.is_terminal();
    let question = input::question(&options.words, &mut stdin.lock(), terminal)?;
    match here::intent(options, &question) {
        Intent::Diagnose => return here::run(&question, options),
        Intent::Act => return act::run(&question, options),
        Intent::Command => return propose::run(&question, options),
        Intent::General => (),
    }
    let mut command = parameters(&options.choice)?
        .with_prompt(question)
        .raw(options.raw)
        .wait(!options.no_wait);
    if let Some(timeout) = options.timeout {
        command = command.timeout(timeout);
    }
    interrupt::end_answer_on_sigint();
    let session = match (&options.model, options.json) {
        (Some(model), _) => Some(session_with(model, !options.no_wait)?),
        (None, true) => None,
        (None, false) => ready_session(),
    };
    let answer = match &session {
        Some(session) if options.json => session.ask(&command, |_| true)?,
        Some(session) => stream(session, &command)?,
        None => command.ask()?,
    };
    if options.json {
        output::print(&json(&answer))?;
    } else if session.is_none() && !(answer.text.is_empty() && exit(&answer) != Exit::Success) {
        output::print(&answer.text)?;
    }
    if let Some(note) = note(&answer, &options.choice) {
        complain!("llama: {note}");
    }
    Ok(exit(&answer))
}

/// A conversation, if there can be one, and the model is there to answer.
fn ready_session() -> Option<Session> {
    let session = Session::open().ok()?;
    let ready = session.info().is_ok_and(|info| info.ready);
    ready.then_some(session)
}

/// A conversation with the model of this name.
pub(crate) fn session_with(model: &str, wait: bool) -> Result<Session, Error> {
    let session = Session::open()?;
    session.choose_model(model, wait)?;
    Ok(session)
}

/// Asks, and prints the answer as it comes.
pub(crate) fn stream(session: &Session, command: &Command) -> Result<Answer, Failure> {
    let mut out = output::Stream::default();
    // A signal may also come while a part is written, where it interrupts nothing.
    let answer = session.ask(command, |text| out.part(text) && !interrupt::happened());
    out.finish()?;
    Ok(answer?)
}

/// How answers are chosen.
pub(crate) fn parameters(options: &Choice) -> Result<Command, Failure> {
    let mut command = Command::default().seed(options.seed);
    if let Some(tokens) = options.max_tokens {
        command = command.max_tokens(tokens);
    }
    if let Some(temperature) = options.temperature {
        command = command.temperature(temperature);
    }
    if let Some(top_k) = options.top_k {
        command = command.top_k(top_k);
    }
    if let Some(top_p) = options.top_p {
        command = command.top_p(top_p);
    }
    if let Some(min_p) = options.min_p {
        command = command.min_p(min_p);
    }
    if let Some(penalty) = options.repeat_penalty {
        command = command.repeat_penalty(penalty);
    }
    if let Some(path) = &options.grammar {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Failure::io(&name, &error))?;
        let grammar =
            Grammar::new(&text).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        command = command.grammar(grammar);
    }
    Ok(command)
}

fn json(answer: &Answer) -> String {
    let object = Json {
        text: &answer.text,
        prompt_tokens: answer.prompt_tokens,
        tokens: answer.tokens,
        stop_reason: answer.stop_reason.name(),
        seconds: answer.elapsed.as_secs_f64(),
        first_seconds: answer.first.map(|first| first.as_secs_f64()),
    };
    // PANIC: Strings and numbers always serialize.
    serde_json::to_string(&object).expect("a flat object")
}

fn exit(answer: &Answer) -> Exit {
    match answer.stop_reason {
        StopReason::Timeout => Exit::TimedOut,
        StopReason::Interrupted | StopReason::Cancelled => Exit::Interrupted,
        _ => Exit::Success,
    }
}

/// What to tell a person about an answer that is cut, for which nothing was asked.
pub(crate) fn note(answer: &Answer, options: &Choice) -> Option<String> {
    match answer.stop_reason {
        StopReason::Timeout => Some("the time was up before the answer was complete".to_owned()),
        StopReason::Interrupted | StopReason::Cancelled => Some("interrupted".to_owned()),
        StopReason::Buffer => Some("the answer was longer than the kernel's buffer".to_owned()),
        StopReason::Length if options.max_tokens.is_none() => Some(format!(
            "cut after {} tokens; --max-tokens may allow more",
            answer.tokens
        )),
        _ => None,
    }
}
