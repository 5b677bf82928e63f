// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `llamux-setup` does, as a library: the build pipeline reserves and packs by the same code.
//!
//! Each part that decides something takes facts and returns what is to be done; [`cli`] reads the
//! machine and writes the files.

pub mod apply;
pub mod boot_loader;
pub mod choice;
pub mod cli;
pub mod conf;
pub mod files;
pub mod head;
pub mod initramfs;
pub mod machine;
pub mod memory;
pub mod models;
