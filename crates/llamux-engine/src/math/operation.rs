// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The operations by name, for those who measure them.

use llamux_abi as abi;

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// What a slice computes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names of abi::Op")]
        #[repr(u8)]
        pub enum Operation {
            $($name),*
        }

        impl Operation {
            /// All of them; each stands at the place that its number says.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name, as in `abi`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),*
                }
            }

            pub(super) fn of(op: &abi::Op) -> Self {
                match op {
                    $(abi::Op::$name(_) => Self::$name),*
                }
            }
        }
    };
}

operations! {
    Embed, RmsNorm, Quantize, MatMul, RopeFrequencies, RopeAngles, Rope, StoreKv, Attention,
    MergeAttention, SwiGlu, GeGlu, Route, Combine, Penalize, TopK, Pick, LogSumExp, Convert,
    Pool, Normalize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for (place, &operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(operation as usize, place, "{}", operation.name());
        }
    }
}
