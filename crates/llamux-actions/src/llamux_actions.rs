// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What may be done to a machine.
