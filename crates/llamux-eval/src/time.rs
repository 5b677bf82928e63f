// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How long a proposal takes, on a machine that was asked before: what every prompt begins with is in the cache.
//!
//! What the model was asked is kept as tokens, so that another engine can be asked the same, and as text, so that a
//! model that answers nothing sensible can be asked the same and made to write as much.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use llamux_assistant::command::{self, ProposeError};
use llamux_assistant::model::Role;
use llamux_assistant::{Model, Reply, Request};
use serde::{Deserialize, Serialize};

use crate::command::{context, machines, tasks, Judge, Sandbox, Set};
use crate::host::Host;

/// One question to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Who says what, the question last: "system", "user" or "assistant", and a text.
    pub said: Vec<(String, String)>,
    /// The same as tokens, in the model's chat format.
    pub prompt: Vec<u32>,
    /// Tokens of the answer.
    pub tokens: u32,
    /// Milliseconds until the first part of the answer.
    pub first_ms: f64,
    /// Milliseconds until its end.
    pub whole_ms: f64,
}

/// One request, and what it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// What the user said.
    pub ask: String,
    /// Milliseconds until the first part of the first answer.
    pub first_ms: f64,
    /// Milliseconds until there is a proposal, checked, and asked for again if need be.
    pub whole_ms: f64,
    /// What the model was asked for it.
    pub calls: Vec<Call>,
}

/// All requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked before.
    pub before: Vec<Call>,
    /// The requests.
    pub requests: Vec<Timed>,
}

/// A model, and what it is asked.
struct Recorder<'m> {
    model: &'m mut Host,
    calls: Vec<Call>,
    first: Option<Instant>,
}

impl<'m> Recorder<'m> {
    fn new(model: &'m mut Host) -> Self {
        Self {
            model,
            calls: vec![],
            first: None,
        }
    }

    /// Does something with the model, and says what it took.
    fn time<T>(&mut self, ask: &str, work: impl FnOnce(&mut Self) -> T) -> (Timed, T) {
        self.calls.clear();
        self.first = None;
        let begin = Instant::now();
        let done = work(self);
        let end = Instant::now();
        let first = self.first.unwrap_or(end);
        let timed = Timed {
            ask: ask.to_owned(),
            first_ms: milliseconds(first.duration_since(begin)),
            whole_ms: milliseconds(end.duration_since(begin)),
            calls: std::mem::take(&mut self.calls),
        };
        (timed, done)
    }
}

impl Model for Recorder<'_> {
    fn ask(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Reply, llamux::Error> {
        let begin = Instant::now();
        let reply = self.model.ask(request, each)?;
        let first = reply.first.unwrap_or(reply.elapsed);
        self.first = self.first.or(Some(begin + first));
        let question = (Role::User, request.question.clone());
        let said = request.before.iter().chain([&question]);
        self.calls.push(Call {
            said: said
                .map(|(role, text)| (name(*role).to_owned(), text.clone()))
                .collect(),
            prompt: self.model.prompt().to_vec(),
            tokens: reply.tokens,
            first_ms: milliseconds(first),
            whole_ms: milliseconds(reply.elapsed),
        });
        Ok(reply)
    }
}

/// Times the proposals for so many of the command tasks, taken evenly from all.
pub fn measure(model: &mut Host, count: usize, each: &mut dyn FnMut(&Timed)) -> Result<Report> {
    let all = tasks(Set::Judged)?;
    let step = (all.len() / count.max(1)).max(1);
    let tasks: Vec<_> = all.into_iter().step_by(step).take(count).collect();
    let (machine, unrun) = machines(&tasks);
    let mut recorder = Recorder::new(model);
    let mut report = Report::default();
    if let Some(task) = tasks.first() {
        let context = context(task, Path::new("/nonexistent"), &machine);
        let (before, _) = recorder.time("", |model| {
            command::propose(model, &context, "print hello", &mut |_| true).ok()
        });
        report.before = before.calls;
    }
    for task in &tasks {
        let sandbox = Sandbox::new(task)?;
        let machine = match task.judge {
            Judge::Forms => &unrun,
            _ => &machine,
        };
        let context = context(task, &sandbox.work(), machine);
        let (timed, proposed) = recorder.time(&task.ask, |model| {
            command::propose(model, &context, &task.ask, &mut |_| true)
        });
        // No command is an outcome that takes its time, too.
        if let Err(ProposeError::Model(error)) = proposed {
            return Err(error.into());
        }
        each(&timed);
        report.requests.push(timed);
    }
    Ok(report)
}

/// Times the same conversations with answers of the same length, whatever the model has to say.
pub fn replay(model: &mut Host, like: &Report, each: &mut dyn FnMut(&Timed)) -> Result<Report> {
    let mut recorder = Recorder::new(model);
    let mut report = Report::default();
    for call in &like.before {
        let request = again(call)?;
        let (before, reply) = recorder.time("", |model| model.ask(&request, &mut |_| true));
        reply?;
        report.before.extend(before.calls);
    }
    for timed in &like.requests {
        let requests = timed.calls.iter().map(again);
        let requests = requests.collect::<Result<Vec<_>>>()?;
        let (timed, replies) = recorder.time(&timed.ask, |model| {
            let ask = |request: &Request| model.ask(request, &mut |_| true);
            requests.iter().map(ask).collect::<Result<Vec<_>, _>>()
        });
        replies?;
        each(&timed);
        report.requests.push(timed);
    }
    Ok(report)
}

/// What was asked, without anything that ends the answer early.
fn again(call: &Call) -> Result<Request> {
    let mut said = vec![];
    for (who, text) in &call.said {
        said.push((role(who)?, text.clone()));
    }
    let question = said.pop().map(|(_, text)| text).unwrap_or_default();
    Ok(Request {
        before: said,
        question,
        grammar: None,
        stops: vec![],
        max_tokens: call.tokens.max(1),
        timeout: None,
    })
}

fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn role(name: &str) -> Result<Role> {
    let all = [Role::System, Role::User, Role::Assistant];
    let found = all.into_iter().find(|role| self::name(*role) == name);
    anyhow::Context::with_context(found, || {
        format!("nobody is called {name:?} in a conversation")
    })
}

fn milliseconds(time: Duration) -> f64 {
    1000.0 * time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_asked_again_with_nothing_that_ends_it_early() {
        let call = Call {
            said: [
                ("system", "s"),
                ("user", "a"),
                ("assistant", "b"),
                ("user", "q"),
            ]
            .map(|(who, text)| (who.to_owned(), text.to_owned()))
            .into(),
            prompt: vec![1, 2],
            tokens: 7,
            first_ms: 1.0,
            whole_ms: 2.0,
        };
        let request = again(&call).unwrap();
        assert_eq!(request.question, "q");
        assert_eq!(
            request.before,
            [
                (Role::System, "s".to_owned()),
                (Role::User, "a".to_owned()),
                (Role::Assistant, "b".to_owned())
            ]
        );
        assert_eq!((request.max_tokens, request.stops.len()), (7, 0));
        let mut unknown = call;
        unknown.said[0].0 = "narrator".to_owned();
        assert!(again(&unknown)
            .unwrap_err()
            .to_string()
            .contains("narrator"));
    }
}
