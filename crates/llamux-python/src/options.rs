// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How a question is to be answered, as Python's keywords say it.

use std::time::Duration;

use llamux::Command;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A grammar that answers keep to, compiled once. Its notation is GBNF.
#[pyclass(frozen, module = "llamux")]
pub(crate) struct Grammar(llamux::Grammar);

#[pymethods]
impl Grammar {
    #[new]
    fn new(text: &str) -> PyResult<Self> {
        let compiled = llamux::Grammar::new(text);
        Ok(Self(compiled.map_err(|error| {
            PyValueError::new_err(format!("the grammar: {error}"))
        })?))
    }

    fn __repr__(&self) -> String {
        format!("<llamux.Grammar of {} bytes>", self.0.table().len())
    }
}

/// What is taken for a grammar.
#[derive(FromPyObject)]
pub(crate) enum GrammarLike {
    #[pyo3(annotation = "Grammar")]
    Compiled(Py<Grammar>),
    #[pyo3(annotation = "str")]
    Text(String),
}

/// The keywords. What is `None` is left to the kernel.
pub(crate) struct Options {
    pub(crate) raw: bool,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_k: Option<u32>,
    pub(crate) top_p: Option<f64>,
    pub(crate) min_p: Option<f64>,
    pub(crate) repeat_penalty: Option<f64>,
    pub(crate) seed: Option<u64>,
    pub(crate) grammar: Option<GrammarLike>,
    pub(crate) stop: Option<Vec<String>>,
    pub(crate) timeout: Option<f64>,
    pub(crate) wait: bool,
}

/// The question with all that was chosen.
pub(crate) fn command(prompt: String, options: Options) -> PyResult<Command> {
    type Number = fn(Command, f64) -> Command;
    let mut command = Command::new(prompt).raw(options.raw).wait(options.wait);
    if let Some(tokens) = options.max_tokens {
        command = command.max_tokens(tokens);
    }
    if let Some(top_k) = options.top_k {
        command = command.top_k(top_k);
    }
    let numbers: [(Option<f64>, Number); 4] = [
        (options.temperature, Command::temperature),
        (options.top_p, Command::top_p),
        (options.min_p, Command::min_p),
        (options.repeat_penalty, Command::repeat_penalty),
    ];
    for (value, set) in numbers {
        if let Some(value) = value {
            command = set(command, value);
        }
    }
    if let Some(seed) = options.seed {
        command = command.seed(seed);
    }
    command = match options.grammar {
        Some(GrammarLike::Text(text)) => command.grammar(Grammar::new(&text)?.0),
        Some(GrammarLike::Compiled(grammar)) => command.grammar(grammar.get().0.clone()),
        None => command,
    };
    for stop in options.stop.unwrap_or_default() {
        command = command.stop(stop);
    }
    if let Some(seconds) = options.timeout {
        let timeout = Duration::try_from_secs_f64(seconds).map_err(|_| {
            PyValueError::new_err(format!(
                "timeout is {seconds}, and may be 0 or more seconds"
            ))
        })?;
        command = command.timeout(timeout);
    }
    Ok(command)
}
