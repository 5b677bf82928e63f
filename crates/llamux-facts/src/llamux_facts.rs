// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The facts of a running machine, and what they mean.
