// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Exceptions: each is an `OSError` with the error number that llama_command(2) gives it.

use std::io;

use llamux::Error;
use pyo3::exceptions::{
    PyBlockingIOError, PyOSError, PyPermissionError, PyTimeoutError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

/// What can be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Error,
    NoKernel,
    Forbidden,
    Loading,
    NoModel,
    UnknownModel,
    Busy,
    TooLong,
    TimedOut,
    OverLimit,
    BackendGone,
    Unable,
    GrammarStuck,
}

/// All of them, each with its name and what it is for. The first is what the others are, too.
const KINDS: [(Kind, &str, &str); 13] = [
    (
        Kind::Error,
        "Error",
        "There is no answer. The text says what to do about it, and `errno` is that of llama_command(2).",
    ),
    (Kind::NoKernel, "NoKernel", "This kernel has no Llamux."),
    (
        Kind::Forbidden,
        "Forbidden",
        "A filter keeps this process from asking, or it may not open /dev/llama.",
    ),
    (
        Kind::Loading,
        "Loading",
        "The model is still being loaded, and the call was not to wait.",
    ),
    (
        Kind::NoModel,
        "NoModel",
        "The kernel has no model, or refused it.",
    ),
    (
        Kind::UnknownModel,
        "UnknownModel",
        "The kernel has no model of this name.",
    ),
    (
        Kind::Busy,
        "Busy",
        "The conversation has an answer under way, or has begun with another model.",
    ),
    (
        Kind::TooLong,
        "TooLong",
        "The question is longer than the kernel takes, or than the model's context.",
    ),
    (
        Kind::TimedOut,
        "TimedOut",
        "The time was up before the first token.",
    ),
    (
        Kind::OverLimit,
        "OverLimit",
        "This user has asked for as much as the administrator allows.",
    ),
    (
        Kind::BackendGone,
        "BackendGone",
        "The program that answers for the model ended meanwhile.",
    ),
    (
        Kind::Unable,
        "Unable",
        "The program that answers for the model does not take what was asked for.",
    ),
    (
        Kind::GrammarStuck,
        "GrammarStuck",
        "The model has no token that continues the answer as the grammar asks.",
    ),
];

/// The classes, in the order of [`KINDS`].
static CLASSES: PyOnceLock<Vec<Py<PyType>>> = PyOnceLock::new();

fn classes(py: Python<'_>) -> PyResult<&Vec<Py<PyType>>> {
    CLASSES.get_or_try_init(py, || {
        let mut classes: Vec<Bound<'_, PyType>> = Vec::new();
        for (kind, name, doc) in KINDS {
            // Whoever catches Python's own exceptions catches these.
            let own = match kind {
                Kind::Forbidden => Some(py.get_type::<PyPermissionError>()),
                Kind::Loading => Some(py.get_type::<PyBlockingIOError>()),
                Kind::TimedOut => Some(py.get_type::<PyTimeoutError>()),
                _ => None,
            };
            let first = classes.first().cloned();
            let first = first.unwrap_or_else(|| py.get_type::<PyOSError>());
            let bases: Vec<_> = [Some(first), own].into_iter().flatten().collect();
            let members = PyDict::new(py);
            members.set_item("__module__", "llamux")?;
            members.set_item("__doc__", doc)?;
            let bases = PyTuple::new(py, bases)?;
            let class = py.get_type::<PyType>().call1((name, bases, members))?;
            classes.push(class.cast_into()?);
        }
        Ok(classes.into_iter().map(Bound::unbind).collect())
    })
}

/// Puts the exceptions into the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let classes = classes(module.py())?;
    for ((_, name, _), class) in KINDS.iter().zip(classes) {
        module.add(*name, class)?;
    }
    Ok(())
}

fn kind(error: &Error) -> Kind {
    match error {
        Error::NotSupported { .. } => Kind::NoKernel,
        Error::Forbidden => Kind::Forbidden,
        Error::Loading => Kind::Loading,
        Error::NoModel { .. } => Kind::NoModel,
        Error::UnknownModel { .. } => Kind::UnknownModel,
        Error::Busy => Kind::Busy,
        Error::PromptTooLong { .. } | Error::PromptOverContext { .. } => Kind::TooLong,
        Error::TimedOut => Kind::TimedOut,
        Error::OverLimit => Kind::OverLimit,
        Error::BackendGone => Kind::BackendGone,
        Error::Unable => Kind::Unable,
        Error::GrammarStuck => Kind::GrammarStuck,
        Error::Device(error) => match error.kind() {
            io::ErrorKind::NotFound => Kind::NoKernel,
            io::ErrorKind::PermissionDenied => Kind::Forbidden,
            // The device's own limit is on how many are open.
            io::ErrorKind::QuotaExceeded => Kind::OverLimit,
            _ => Kind::Error,
        },
        _ => Kind::Error,
    }
}

/// The exception for an error.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let text = error.to_string();
    // What was asked for is wrong, whatever the kernel.
    if matches!(error, Error::Parameter { .. } | Error::EmptyPrompt) {
        return PyValueError::new_err(text);
    }
    let wanted = kind(error);
    let classes = match classes(py) {
        Ok(classes) => classes,
        Err(error) => return error,
    };
    let place = KINDS.iter().position(|(kind, _, _)| *kind == wanted);
    match place.and_then(|place| classes.get(place)) {
        Some(class) => PyErr::from_type(class.bind(py).clone(), (error.errno(), text)),
        None => PyOSError::new_err((error.errno(), text)),
    }
}
