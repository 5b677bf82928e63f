// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Downloads that resume, and sums.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{bail, Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::progress::Progress;
use crate::sh;

/// Fetches `url` to `file`, continuing a part that is there already.
pub(crate) fn http(url: &str, file: &Path) -> Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    let part = file.with_extension("part");
    let mut curl = sh::cmd("curl");
    curl.args([
        "--fail",
        "--location",
        "--connect-timeout",
        "10",
        "--retry",
        "2",
        "--progress-bar",
    ])
    // A server that stops sending must not hold everything up.
    .args(["--speed-limit", "1000", "--speed-time", "60"])
    .args(["--continue-at", "-", "--output"])
    .arg(&part)
    .arg(url);
    sh::run(&mut curl).with_context(|| format!("{url} could not be fetched"))?;
    fs::rename(&part, file)?;
    Ok(())
}

/// The SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(file: &Path) -> Result<String> {
    let mut input = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let total = input.metadata()?.len();
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut progress = Progress::bytes(&format!("checking {name}"), Some(total));
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let n = input.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        done += n as u64;
        progress.at(done, "");
    }
    Ok(hex(&hash.finalize()))
}

/// Refuses a file whose SHA-256 is another one, and moves it out of the way.
pub(crate) fn check_sha256(file: &Path, expected: &str) -> Result<()> {
    let found = sha256(file)?;
    if found != expected {
        let bad = file.with_extension("bad");
        fs::rename(file, &bad)?;
        bail!(
            "{} has SHA-256 {found}, expected {expected}; it is now {}",
            file.display(),
            bad.display()
        );
    }
    Ok(())
}

/// The SHA-256 of some bytes, in hexadecimal.
pub(crate) fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_sum_is_refused_and_the_file_set_aside() {
        let file = std::env::temp_dir().join(format!("xtask-sum-{}.bin", std::process::id()));
        fs::write(&file, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_bytes(b"abc"), abc);
        check_sha256(&file, abc).unwrap();
        check_sha256(&file, &abc.replace('b', "c")).unwrap_err();
        assert!(!file.exists());
        fs::remove_file(file.with_extension("bad")).unwrap();
    }
}
