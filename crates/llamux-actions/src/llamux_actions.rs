// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What may be done to a machine.
//!
//! An [`Action`] is one value of a closed type. [`Action::plan`] turns it into steps that say exactly what they will
//! do, to whom, and who may; [`Plan::perform`] does what was shown and nothing else, and returns what brings the
//! state before back. No shell is ever run.

mod action;
mod bus;
mod cache;
mod cgroup;
pub mod history;
mod plan;
mod process;
pub mod profile;
mod step;
mod system;

pub use action::{
    printable, Action, Cache, Group, IoPriority, Operation, Power, Process, Processes, Scope,
    Sysctl, Unit,
};
pub use cgroup::owner;
pub use plan::{
    restore, Danger, Outcome, Plan, Preview, Privilege, Restored, Result as StepResult,
};
pub use process::alike;
pub use step::{Restore, Step};
pub use system::{Error, System};
