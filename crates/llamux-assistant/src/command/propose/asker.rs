// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Asks the model, and once more if something is wrong with what it says.

use std::time::{Duration, Instant};

use crate::command::files::one_line;
use crate::command::{check, misuse, Context, Cost, Problem, ProblemKind, Proposal, ProposeError};
use crate::{Model, Reply, Request};

use super::asking::{fenced, MANUAL};
use super::proposal;

/// Asks, and counts what it takes.
pub(super) struct Asker<'a> {
    model: &'a mut dyn Model,
    each: &'a mut dyn FnMut(&str) -> bool,
    begin: Instant,
    cost: Cost,
}

impl<'a> Asker<'a> {
    pub(super) fn new(model: &'a mut dyn Model, each: &'a mut dyn FnMut(&str) -> bool) -> Self {
        Self {
            model,
            each,
            begin: Instant::now(),
            cost: Cost::default(),
        }
    }

    /// What the model says, and whether that is all: half of a command may be another one.
    fn ask(&mut self, request: &Request) -> Result<(String, bool), ProposeError> {
        let mut go_on = true;
        let each = &mut *self.each;
        let before = self.begin.elapsed();
        let Reply {
            text,
            prompt_tokens,
            tokens,
            first,
            complete,
            ..
        } = self.model.ask(request, &mut |part| {
            go_on = each(part);
            go_on
        })?;
        self.cost.asked += 1;
        self.cost.prompt_tokens = self.cost.prompt_tokens.saturating_add(prompt_tokens);
        self.cost.tokens = self.cost.tokens.saturating_add(tokens);
        if self.cost.first_ms.is_none() {
            self.cost.first_ms = first.map(|first| milliseconds(before + first));
        }
        if !go_on {
            return Err(ProposeError::Cancelled);
        }
        Ok((text, complete))
    }

    /// Asks for a command, and once more if something is wrong with it. What it says goes through `accept`, which
    /// makes the command of it.
    pub(super) fn command(
        &mut self,
        context: &Context,
        asked: &str,
        mut request: Request,
        accept: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(String, Vec<Problem>), ProposeError> {
        let checked = |said: &str, complete: bool| {
            let command = accept(said).filter(|_| complete)?;
            let mut problems = check::check(context, &command);
            problems.extend(misuse::not_there(context, &command, asked));
            Some((command, problems))
        };
        let (said, complete) = self.ask(&request)?;
        let first = checked(&said, complete);
        let problem = match &first {
            Some((command, problems)) => match problems.first() {
                Some(problem) => format!(
                    "`{command}` does not work: {problem}.{}",
                    options_instead(context, problem, asked)
                ),
                None => return Ok((command.clone(), vec![])),
            },
            None if !complete => "That is too long.".to_owned(),
            None => "That is no command.".to_owned(),
        };
        let question = std::mem::replace(
            &mut request.question,
            format!("{problem} Write another command for the task."),
        );
        let answer = fenced(first.as_ref().map_or(said.trim(), |(command, _)| command));
        let request = request.example(question, answer);
        let (said, complete) = self.ask(&request)?;
        let second = checked(&said, complete);
        match (first, second) {
            (Some(first), Some(second)) if weight(&second.1) <= weight(&first.1) => Ok(second),
            (Some(first), _) => Ok(first),
            (None, Some(second)) => Ok(second),
            (None, None) => Err(ProposeError::NoCommand {
                attempt: said.trim().to_owned(),
                problems: (!complete).then(cut_off).into_iter().collect(),
            }),
        }
    }

    /// Makes the proposal of a command.
    pub(super) fn proposal(
        mut self,
        context: &Context,
        (command, problems): (String, Vec<Problem>),
    ) -> Result<Proposal, ProposeError> {
        self.cost.whole_ms = milliseconds(self.begin.elapsed());
        proposal(context, command, problems, self.cost)
    }
}

fn cut_off() -> Problem {
    Problem {
        span: 0..0,
        kind: ProblemKind::Syntax {
            message: "the answer was cut off".into(),
        },
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Options of the manual that may have been meant, if one was made up.
fn options_instead(context: &Context, problem: &Problem, asked: &str) -> String {
    let ProblemKind::UnknownOption { program, .. } = &problem.kind else {
        return String::new();
    };
    let Some(manual) = context.machine.manual(&program.replace(' ', "-")) else {
        return String::new();
    };
    let options: Vec<_> = manual
        .options_about(asked, 3)
        .into_iter()
        .map(|(option, meaning)| format!("{option}: {meaning}"))
        .collect();
    if options.is_empty() {
        return String::new();
    }
    one_line(&format!(" It has {}.", options.join("; ")), MANUAL)
}

/// How bad problems are.
fn weight(problems: &[Problem]) -> usize {
    problems
        .iter()
        .map(|problem| match problem.kind {
            ProblemKind::Syntax { .. } => 100,
            ProblemKind::NotInstalled { .. } => 10,
            ProblemKind::UnknownOption { .. } => 10,
            ProblemKind::Placeholder { .. } => 5,
            ProblemKind::Misuse { .. } => 5,
        })
        .sum()
}
