// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `/sys/kernel/llamux/models`; its fields are described in Documentation/ABI/testing/sysfs-kernel-llamux.

use std::io;

use crate::{Error, ListedModel};

/// Where the kernel lists its models.
pub const MODELS_PATH: &str = "/sys/kernel/llamux/models";

/// All models, in the order in which they were asked for.
pub fn models() -> Result<Vec<ListedModel>, Error> {
    match std::fs::read(MODELS_PATH) {
        Ok(text) => Ok(ListedModel::parse(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::no_kernel()),
        Err(error) => Err(Error::Other(error)),
    }
}
