// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What makes a small model useful.
//!
//! The model understands a request, chooses from a list, and words an answer. What it may choose from, and
//! whether what it wrote is true, code decides.

pub mod action;
mod action_objects;
mod action_words;
pub mod answer;
pub mod choice;
pub mod command;
pub mod explain;
pub mod model;
pub mod route;
pub mod why;
pub mod wording;

pub use model::{Kernel, Model, Reply, Request};
