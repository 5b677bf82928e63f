// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Chooses the table of operations for this processor.

use anyhow::{bail, Result};
use clap::ValueEnum;
use llamux_abi as abi;
use llamux_engine::math::Kernels;

/// Which table to compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// The fastest one that this processor has
    Best,
    /// Plain Rust, on any processor
    Scalar,
    /// AVX2, FMA and F16C
    Avx2,
    /// AVX-512 F, BW, DQ and VL
    Avx512,
    /// The same and AVX512_VNNI
    Avx512Vnni,
}

impl Choice {
    /// The table.
    pub fn kernels(self) -> Result<Kernels> {
        let have = features();
        let want = match self {
            Self::Best => have,
            Self::Scalar => 0,
            Self::Avx2 => abi::FEATURE_AVX2,
            Self::Avx512 => abi::FEATURE_AVX2 | abi::FEATURE_AVX512,
            Self::Avx512Vnni => abi::FEATURE_AVX2 | abi::FEATURE_AVX512 | abi::FEATURE_AVX512_VNNI,
        };
        if want & !have != 0 {
            let name = self.to_possible_value();
            let name = name.as_ref().map_or("", |name| name.get_name());
            bail!("this processor does not have {name}; leave --kernels away for the best it has");
        }
        // SAFETY: Built from the same `llamux-abi`, and asked for no more than this processor has.
        Ok(unsafe { Kernels::from_ptr(llamux_math::llamux_math_select(want)) })
    }
}

/// The `FEATURE_*` that this processor has.
fn features() -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        let vnni = avx512 && is_x86_feature_detected!("avx512vnni");
        let flag = |have, feature| if have { feature } else { 0 };
        flag(avx2, abi::FEATURE_AVX2)
            | flag(avx512, abi::FEATURE_AVX512)
            | flag(vnni, abi::FEATURE_AVX512_VNNI)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        0
    }
}
