// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The facts of a running machine, and what they mean.
//!
//! [`Facts`] are what an administrator looks at, read at one time. [`Finding`]s are what they mean: a cause,
//! with evidence and what can be done. Every figure in them is a [`Quantity`], so that whoever words them
//! can be checked.

mod analyze;
mod anonymous;
pub mod collect;
pub mod facts;
pub mod file;
pub mod finding;
#[cfg(any(test, feature = "machines"))]
pub mod machines;
pub mod quantity;
pub mod text;

pub use analyze::findings;
pub use anonymous::anonymise;
pub use collect::{collect, Options};
pub use facts::Facts;
pub use file::{read, ReadError};
pub use finding::{Cause, Evidence, Finding, Remedy, Severity, Subject};
pub use quantity::{Figure, Quantity};
