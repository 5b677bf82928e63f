// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where things are: the checkout, the cache, and what `configs/` says.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};
use serde::de::DeserializeOwned;

/// The directories that every command needs.
pub(crate) struct Context {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// `~/.cache/llamux`, or `$LLAMUX_CACHE`.
    pub(crate) cache: PathBuf,
}

impl Context {
    /// Finds the checkout above the working directory, and the cache.
    pub(crate) fn new() -> Result<Self> {
        let here = env::current_dir().context("the working directory is gone")?;
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let root = here
            .ancestors()
            .chain(built_in)
            .find(|dir| dir.join("configs/kernel.toml").is_file())
            .context("no Llamux checkout here: configs/kernel.toml was not found")?
            .to_owned();
        let cache = match env::var_os("LLAMUX_CACHE") {
            Some(dir) => PathBuf::from(dir),
            None => match env::var_os("HOME") {
                Some(home) => PathBuf::from(home).join(".cache/llamux"),
                None => bail!("neither HOME nor LLAMUX_CACHE is set"),
            },
        };
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        Ok(Self { root, cache })
    }

    /// A directory below the cache, made if it is not there.
    pub(crate) fn cache_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.cache.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// A file of `configs/`, parsed.
    pub(crate) fn config<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.root.join("configs").join(name);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))
    }

    /// The target directory of the host builds (`$CARGO_TARGET_DIR` or `target`).
    pub(crate) fn target_dir(&self) -> PathBuf {
        match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => self.root.join(dir),
            None => self.root.join("target"),
        }
    }
}
