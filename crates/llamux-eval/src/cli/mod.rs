// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is judged, a subcommand each.

pub(crate) mod action;
pub(crate) mod command;
pub(crate) mod diagnosis;
