// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A module in Rust that says hello and good-bye, with a macro of the kernel's, its allocator, and one of its locks.

use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};

module! {
    type: Hello,
    name: "hello_rust",
    authors: ["Llamux"],
    description: "Says hello",
    license: "Dual MIT/GPL",
}

struct Hello {
    name: Pin<KBox<Mutex<KVec<u8>>>>,
}

impl kernel::Module for Hello {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let mut letters = KVec::new();
        letters.extend_from_slice(b"Rust", GFP_KERNEL)?;
        let name = KBox::pin_init(new_mutex!(letters), GFP_KERNEL)?;
        pr_info!("hello from {}\n", text(&name.lock()));
        Ok(Self { name })
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        pr_info!("good-bye from {}\n", text(&self.name.lock()));
    }
}

fn text(letters: &[u8]) -> &str {
    core::str::from_utf8(letters).unwrap_or_default()
}
