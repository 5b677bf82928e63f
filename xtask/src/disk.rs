// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Room on a disk, which is looked for before anything long begins.

use std::path::Path;

use anyhow::{bail, Context as _, Result};
use rustix::fs::statvfs;

/// Fails if the file system of `dir`, which need not be there yet, has not so many bytes left.
pub(crate) fn need(dir: &Path, bytes: u64, what: &str) -> Result<()> {
    let there = dir.ancestors().find(|dir| dir.exists());
    let there = there.unwrap_or(Path::new("."));
    let fs = statvfs(there).with_context(|| format!("cannot ask for room in {}", dir.display()))?;
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    if free < bytes {
        bail!(
            "{what} takes {} MB in {}, where {} MB are free",
            bytes.div_ceil(1_000_000),
            dir.display(),
            free / 1_000_000
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_an_error_that_says_where() {
        let dir = std::env::temp_dir().join("not/there");
        need(&dir, 1, "a byte").unwrap();
        let error = need(&dir, u64::MAX, "all").unwrap_err().to_string();
        assert!(error.contains("not/there"), "{error}");
    }
}
