// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The Python package `llamux`, a thin layer over the crate of that name; what Python sees of it is in `llamux.pyi`.

mod errors;
mod options;
mod session;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use llamux::{Command, Error, ListedModel, StopReason};
use pyo3::prelude::*;

use errors::raise;
use options::{command, Grammar, GrammarLike, Options};
use session::{patiently, Answer, Session};

/// A model of the kernel, as /sys/kernel/llamux/models lists it.
#[pyclass(frozen, get_all, module = "llamux")]
struct Model {
    /// Its name.
    name: String,
    /// "loading", "ready", "unloading" or "failed".
    state: String,
    /// Whether it answers those who name none.
    default: bool,
    /// Bytes of memory that it takes.
    bytes: u64,
    /// Why it failed.
    reason: Option<String>,
}

impl From<ListedModel> for Model {
    fn from(listed: ListedModel) -> Self {
        Self {
            name: listed.name,
            state: listed.state,
            default: listed.default,
            bytes: listed.bytes,
            reason: listed.reason,
        }
    }
}

#[pymethods]
impl Model {
    fn __repr__(&self) -> String {
        let default = if self.default { ", the default" } else { "" };
        format!("<llamux.Model {} {}{default}>", self.name, self.state)
    }
}

/// Asks the kernel's model one question, and returns its answer.
///
/// What is None is left to the kernel. It needs no more than the system call; with model, system or stop it opens a
/// Session, which takes the right to open /dev/llama.
#[pyfunction]
#[pyo3(signature = (prompt, *, model=None, system=None, raw=false, max_tokens=None, temperature=None, top_k=None,
    top_p=None, min_p=None, repeat_penalty=None, seed=None, grammar=None, stop=None, timeout=None, wait=true))]
#[expect(clippy::too_many_arguments, reason = "they are Python's keywords")]
fn ask(
    py: Python<'_>,
    prompt: String,
    model: Option<&str>,
    system: Option<&str>,
    raw: bool,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_k: Option<u32>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    repeat_penalty: Option<f64>,
    seed: Option<u64>,
    grammar: Option<GrammarLike>,
    stop: Option<Vec<String>>,
    timeout: Option<f64>,
    wait: bool,
) -> PyResult<String> {
    let in_session =
        model.is_some() || system.is_some() || stop.as_ref().is_some_and(|stop| !stop.is_empty());
    let options = Options {
        raw,
        max_tokens,
        temperature,
        top_k,
        top_p,
        min_p,
        repeat_penalty,
        seed,
        grammar,
        stop,
        timeout,
        wait,
    };
    let command = command(prompt, options)?;
    if in_session {
        let session = Session::begin(py, model, system, wait)?;
        return session.put(py, &command, wait)?.whole(py);
    }
    // All calls together have the time of one: signals may come more often than an answer.
    let deadline = timeout
        .filter(|&seconds| seconds > 0.0)
        .and_then(|seconds| Instant::now().checked_add(Duration::from_secs_f64(seconds)));
    patiently(py, || {
        let Some(deadline) = deadline else {
            return ask_once(&command);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::TimedOut);
        }
        ask_once(&command.clone().timeout(left))
    })
}

/// A part of an answer that a signal ended is none.
fn ask_once(command: &Command) -> Result<String, Error> {
    let answer = command.ask()?;
    match answer.stop_reason {
        StopReason::Interrupted => Err(Error::Interrupted),
        _ => Ok(answer.text),
    }
}

/// The vector of a text, as long as 1: texts that are about the same have vectors whose product is near 1.
#[pyfunction]
#[pyo3(signature = (text, *, model=None))]
fn embed(py: Python<'_>, text: &str, model: Option<&str>) -> PyResult<Vec<f32>> {
    Session::begin(py, model, None, true)?.vector(py, text)
}

/// The models that the kernel has, in the order in which they were asked for.
#[pyfunction]
fn models(py: Python<'_>) -> PyResult<Vec<Model>> {
    let models = llamux::models().map_err(|error| raise(py, &error))?;
    Ok(models.into_iter().map(Model::from).collect())
}

/// What the kernel says of its model, as /proc/llamux/status has it.
#[pyfunction]
fn status(py: Python<'_>) -> PyResult<BTreeMap<String, String>> {
    let status = llamux::Status::read().map_err(|error| raise(py, &error))?;
    let line = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Ok(status.iter().map(line).collect())
}

/// Asks the language model that a Llamux kernel runs.
///
///     >>> import llamux
///     >>> llamux.ask("Why is the sky blue?", max_tokens=50)
///     >>> with llamux.Session(system="Be brief.") as session:
///     ...     for part in session.ask("And at night?"):
///     ...         print(part, end="", flush=True)
#[pymodule]
#[pyo3(name = "llamux")]
fn package(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("PROMPT_MAX", llamux::PROMPT_MAX)?;
    module.add_class::<Answer>()?;
    module.add_class::<Grammar>()?;
    module.add_class::<Model>()?;
    module.add_class::<Session>()?;
    module.add_function(wrap_pyfunction!(ask, module)?)?;
    module.add_function(wrap_pyfunction!(embed, module)?)?;
    module.add_function(wrap_pyfunction!(models, module)?)?;
    module.add_function(wrap_pyfunction!(status, module)?)?;
    errors::add(module)
}
