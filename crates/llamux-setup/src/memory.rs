// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How much memory a model takes, in MiB: at boot, and from then on.

use std::fmt;
use std::str::FromStr;

/// What is left to the rest of the system, at least.
pub const REST_MB: u64 = 512;

/// Where the model is when the kernel begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the head of the initramfs, where it is used without a copy.
    Head,
    /// In the initramfs, which is unpacked.
    Archive,
    /// On a disk, from where it is loaded later.
    Disk,
}

impl Place {
    /// The value of `IN_INITRAMFS=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Archive => "archive",
            Self::Disk => "no",
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Head, Self::Archive, Self::Disk]
            .into_iter()
            .find(|place| place.name() == text)
            .ok_or_else(|| format!("{text:?} is none of head, archive and no"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes as MiB, rounded up.
pub fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// What to reserve (`llamux_mem=`) for a model of so many bytes: the file if it is copied, the tables
/// made of it, and room to think.
pub fn reserved_mb(bytes: u64, place: Place) -> u64 {
    let file = mebibytes(bytes);
    let room = if file < 512 { 192 } else { 512 };
    match place {
        Place::Head => room,
        Place::Archive | Place::Disk => file + room,
    }
}

/// What the model takes for as long as the system runs.
pub fn taken_mb(bytes: u64, place: Place) -> u64 {
    match place {
        Place::Head => mebibytes(bytes) + reserved_mb(bytes, place),
        Place::Archive | Place::Disk => reserved_mb(bytes, place),
    }
}

/// What it takes for a moment at boot. In an archive that is unpacked it is there three times: as the loader
/// left it, unpacked, and in what is reserved.
pub fn boot_mb(bytes: u64, place: Place) -> u64 {
    match place {
        Place::Head | Place::Disk => taken_mb(bytes, place),
        Place::Archive => taken_mb(bytes, place) + 2 * mebibytes(bytes),
    }
}

/// `512`, `512M` or `4G` as MiB.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let number: Option<u64> = number.parse().ok().filter(|&n| n > 0);
    number
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| format!("{text} is not a size: write for example 512, 512M or 4G"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_reserved_where_it_is_copied() {
        // SmolLM2-135M, and a model of 1.5 billion parameters.
        for (bytes, head, copied, at_boot) in [
            (98_362_432, 192, 286, 474),
            (1_117_320_768, 512, 1578, 3710),
        ] {
            let file = mebibytes(bytes);
            assert_eq!(reserved_mb(bytes, Place::Head), head);
            assert_eq!(reserved_mb(bytes, Place::Archive), copied);
            assert_eq!(reserved_mb(bytes, Place::Disk), copied);
            assert_eq!(taken_mb(bytes, Place::Head), head + file);
            assert_eq!(boot_mb(bytes, Place::Head), head + file);
            assert_eq!(boot_mb(bytes, Place::Archive), at_boot);
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("768M"), Ok(768));
        assert_eq!(parse_size("4G"), Ok(4096));
        for bad in [
            "",
            "0",
            "-1",
            "4T",
            "99999999999999999999G",
            "18446744073709551615G",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_have_names() {
        for place in [Place::Head, Place::Archive, Place::Disk] {
            assert_eq!(place.name().parse(), Ok(place));
        }
        assert!("yes".parse::<Place>().is_err());
    }
}
