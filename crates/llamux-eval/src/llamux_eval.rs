// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How good the answers are.

pub mod action;
pub mod command;
pub mod diagnosis;
pub mod host;
