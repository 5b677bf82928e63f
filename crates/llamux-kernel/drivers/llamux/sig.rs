// SPDX-License-Identifier: GPL-2.0-only

//! Signatures of models: `llamux.sig=`.
//!
//! Each file may have a detached PKCS#7 signature beside it, which the kernel checks against the keys that it
//! trusts, as it does for firmware and modules. A model decides nothing in the kernel, and what it is read by
//! is made for any file; so the default is to warn.

use core::ops::Range;

use kernel::prelude::*;
use kernel::str::CString;

use crate::files::Files;
use crate::hash::{Digest, Hashing};
use crate::load::{reason, Reason};
use crate::sys;

/// What becomes of a model without a good signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is refused.
    Enforce,
    /// It is loaded, with a warning.
    Warn,
    /// Nothing is looked at.
    Off,
}

impl Mode {
    /// What the parameter says.
    pub(crate) fn wanted() -> Self {
        let can = cfg!(CONFIG_LLAMUX_SIG);
        match sys::sig_parameter().map_or(&b""[..], |mode| mode.to_bytes()) {
            b"enforce" => Self::Enforce,
            b"warn" if can => Self::Warn,
            b"" if can => Self::Warn,
            b"off" | b"" => Self::Off,
            b"warn" => {
                pr_err!("llamux.sig=warn: this kernel checks no signatures; using off\n");
                Self::Off
            }
            other => {
                // Who misspells it means that something be checked.
                let other = core::str::from_utf8(other).unwrap_or("?");
                pr_err!("llamux.sig={other}: not one of enforce, warn, off; using enforce\n");
                Self::Enforce
            }
        }
    }
}

/// Which files a model was loaded from.
pub(crate) struct Identity {
    /// The SHA-256 of each, in hexadecimal digits, with blanks between them; empty until they are known.
    pub(crate) sha256: KVec<u8>,
    /// Who signed all of them, if that is known and trusted.
    pub(crate) signer: Option<CString>,
}

impl Identity {
    /// Before the hashes are known.
    pub(crate) fn new(signer: Option<CString>) -> Self {
        Self {
            sha256: KVec::new(),
            signer,
        }
    }

    /// With the hashes of the files, in their order.
    pub(crate) fn set(&mut self, digests: &[Digest]) -> Result<(), Reason> {
        let mut sha256 = KVec::new();
        let digit = |nibble: u8| b"0123456789abcdef".get(usize::from(nibble)).copied();
        for digest in digests {
            let mut push = |byte| sha256.push(byte, GFP_KERNEL).map_err(no_memory);
            for byte in digest {
                push(digit(byte >> 4).unwrap_or(b'?'))?;
                push(digit(byte & 15).unwrap_or(b'?'))?;
            }
            push(b' ')?;
        }
        self.sha256 = sha256;
        Ok(())
    }
}

/// Begins to hash so many files. With [`Mode::Off`] there is no need for that.
pub(crate) fn hashing(mode: Mode, files: &Files) -> Result<Option<Hashing>, Reason> {
    if mode == Mode::Off {
        return Ok(None);
    }
    let path = files.path();
    if !cfg!(CONFIG_LLAMUX_SIG) {
        return Err(reason(fmt!(
            "{path}: llamux.sig=enforce, and this kernel checks no signatures"
        )));
    }
    let hashing = Hashing::start(files.paths().count());
    let no_thread = |error| reason(fmt!("{path}: no thread to hash it ({error:?})"));
    hashing.map(Some).map_err(no_thread)
}

/// Checks the signatures of files. Returns who signed them, if that is known; an error if it has to be.
pub(crate) fn check(
    mode: Mode,
    files: &Files,
    memory: &[u8],
    places: &[Range<usize>],
) -> Result<Option<CString>, Reason> {
    if mode == Mode::Off {
        return Ok(None);
    }
    match signer(files, memory, places) {
        Ok(signer) => Ok(Some(signer)),
        Err(why) if mode == Mode::Enforce => Err(why),
        Err(why) => {
            pr_warn!(
                "{}; loading it all the same (llamux.sig=warn)\n",
                why.as_str()
            );
            Ok(None)
        }
    }
}

/// Who signed the files: all of them, and the same for all.
fn signer(files: &Files, memory: &[u8], places: &[Range<usize>]) -> Result<CString, Reason> {
    let mut all: Option<CString> = None;
    for ((path, signature), place) in files.paths().zip(files.signatures()).zip(places) {
        let file = memory.get(place.clone()).unwrap_or_default();
        let signature = signature.as_ref().map_err(|error| *error);
        let signer = signature.and_then(|signature| sys::check_signature(file, signature));
        let signer = signer.map_err(|error| match error {
            ENOENT => reason(fmt!("{path}: is not signed: there is no {path}.p7s")),
            ENOKEY => reason(fmt!("{path}.p7s: is not by a key that the kernel trusts")),
            EKEYREJECTED => reason(fmt!("{path}.p7s: is not a signature of {path}")),
            EBADMSG => reason(fmt!("{path}.p7s: is not a PKCS#7 message of one signer")),
            EFBIG => reason(fmt!("{path}: is too long to be checked, or {path}.p7s is")),
            ENOMEM => reason(fmt!("out of memory")),
            _ => reason(fmt!("{path}.p7s: cannot be checked ({error:?})")),
        })?;
        match &all {
            Some(before) if before.to_bytes() != signer.to_bytes() => {
                return Err(reason(fmt!(
                    "{path}: is signed by another than the first part"
                )));
            }
            _ => all = Some(signer),
        }
    }
    all.ok_or_else(|| reason(fmt!("there are no files")))
}

fn no_memory<E>(_: E) -> Reason {
    reason(fmt!("out of memory"))
}

#[cfg(all(CONFIG_LLAMUX_KUNIT_TEST, CONFIG_LLAMUX_SIG))]
#[kunit_tests(llamux_sig)]
mod tests {
    use super::*;

    /// Of the specification, FIPS 180-4, in pieces of any size.
    #[test]
    fn the_hash_is_sha_256() {
        const EXPECTED: [u8; 4] = [0xba, 0x78, 0x16, 0xbf];
        for cut in 0..=3 {
            let mut hash = sys::Sha256::new();
            let (first, second) = b"abc".split_at(cut);
            hash.add(first);
            hash.add(second);
            assert_eq!(hash.end()[..4], EXPECTED);
        }
    }

    #[test]
    fn a_file_without_a_signature_is_told_from_a_bad_one() {
        let missing = sys::ModelFile::open_signature("/there/is/no/such", false);
        assert_eq!(missing.err(), Some(ENOENT));
    }
}
