// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the tests share.

use std::boxed::Box;

use llamux_abi as abi;

/// A small deterministic generator: PCG XSH RR 64/32 by M. O'Neill, <https://www.pcg-random.org>.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        random.next_u32();
        random
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        let state = self.0;
        self.0 = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(0xda3e_39cb_94b9_5bdb);
        ((((state >> 18) ^ state) >> 27) as u32).rotate_right((state >> 59) as u32)
    }

    /// In `0..n`.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        self.next_u32() % n
    }

    /// In `0..1`.
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / 16_777_216.0
    }

    /// In `-1..1`.
    pub(crate) fn signed(&mut self) -> f32 {
        2.0 * self.uniform() - 1.0
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.next_u32() as u8)
    }

    /// The bytes of a 16-bit float in `-0.1..0.1`.
    pub(crate) fn scale(&mut self) -> [u8; 2] {
        half::f16::from_f32(self.signed() * 0.1).to_le_bytes()
    }
}

/// An empty list of candidates.
pub(crate) fn candidates(limit: usize) -> Box<abi::Candidates> {
    let none = abi::Candidate {
        id: 0,
        logit_bits: 0,
    };
    Box::new(abi::Candidates {
        len: 0,
        limit: limit as u32,
        entries: [none; abi::MAX_CANDIDATES],
    })
}

/// The `FEATURE_*` bits of this machine.
pub(crate) fn features() -> u32 {
    let mut features = 0;
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx2") && has!("fma") && has!("f16c") {
            features |= abi::FEATURE_AVX2;
        }
        if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
            features |= abi::FEATURE_AVX512;
        }
        if has!("avx512vnni") {
            features |= abi::FEATURE_AVX512_VNNI;
        }
    }
    features
}
