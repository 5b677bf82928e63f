// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The float island.

#![cfg_attr(not(CONFIG_RUST), no_std)]
