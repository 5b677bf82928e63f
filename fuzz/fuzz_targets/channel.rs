// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Bytes are taken as messages of a program that answers for a model. What is accepted keeps to what the program has
//! said of its model.

#![no_main]

use libfuzzer_sys::fuzz_target;
use llamux_engine::channel::{parse, Bounds, Said, MAX_TEXT};

const ERRORS: [u32; 2] = [5, 75];

fuzz_target!(|data: &[u8]| {
    let Some((&mode, message)) = data.split_first() else {
        return;
    };
    let bounds = Bounds {
        context: if mode & 1 == 0 { 1 } else { 4096 },
        embedding: u32::from(mode >> 1),
    };
    let Ok((_, said)) = parse(message, bounds, &ERRORS) else {
        return;
    };
    match said {
        Said::Text {
            text,
            tokens,
            rated: _,
        } => {
            assert!(!text.is_empty() && text.len() <= MAX_TEXT);
            assert!((1..=bounds.context).contains(&tokens));
        }
        Said::Vector(bytes) => {
            assert_eq!(bytes.len(), 4 * bounds.embedding as usize);
            for bytes in bytes.chunks_exact(4) {
                let number = f32::from_ne_bytes(bytes.try_into().unwrap());
                assert!(number.is_finite());
            }
        }
        Said::Alive(usage) | Said::End(_, usage) => {
            assert!(usage.tokens <= bounds.context && usage.prompt_tokens <= bounds.context);
            assert!(usage.cached_tokens <= usage.prompt_tokens);
        }
        Said::Error(error) => assert!(ERRORS.contains(&error)),
    }
});
