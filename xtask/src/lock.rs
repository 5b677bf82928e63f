// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A lock file, so that two checkouts may share one cache.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;

/// Held until dropped; the kernel lets go of it when the process dies.
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock, waiting for whoever has it.
pub(crate) fn take(path: &Path) -> Result<Lock> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            eprintln!("waiting for another xtask to let go of {}", path.display());
            flock(&file, FlockOperation::LockExclusive)?;
        }
        Err(error) => return Err(error).context(format!("cannot lock {}", path.display())),
    }
    Ok(Lock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_refused_to_others() {
        let path = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        let held = take(&path).unwrap();
        let other = File::open(&path).unwrap();
        assert_eq!(
            flock(&other, FlockOperation::NonBlockingLockExclusive),
            Err(Errno::WOULDBLOCK)
        );
        drop(held);
        assert_eq!(
            flock(&other, FlockOperation::NonBlockingLockExclusive),
            Ok(())
        );
        std::fs::remove_file(path).unwrap();
    }
}
