// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! No allocation after load.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use common::{kernels, options, tiny, Aligned};
use llamux_engine::generate::{Full, Outcome, Request, Sampling, Sink};
use llamux_engine::grammar::{Constraint, Grammar};
use llamux_engine::math::F32Bits;
use llamux_engine::scheduler::{Audience, SlotId};
use llamux_engine::{Engine, Error, Options, Plan};
use llamux_host::pool::Pool;

/// Counts what is asked of the system.
struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: Everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, SeqCst);
        // SAFETY: The caller keeps the same promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, SeqCst);
        // SAFETY: The caller keeps the same promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Nowhere;

impl Sink for Nowhere {
    fn text(&mut self, _text: &str) -> bool {
        true
    }

    fn stop(&mut self) -> bool {
        false
    }
}

#[derive(Default)]
struct Crowd {
    sink: Nowhere,
    failed: u32,
}

impl Audience for Crowd {
    fn sink(&mut self, _id: SlotId) -> Option<&mut dyn Sink> {
        Some(&mut self.sink)
    }

    fn done(&mut self, _id: SlotId, end: Result<Outcome, Error>) {
        self.failed += u32::from(end.is_err());
    }
}

/// The only test of this program, since other tests would allocate meanwhile.
#[test]
fn answering_allocates_nothing() {
    let file = Aligned::new(&tiny().build());
    let options = Options {
        sequences: 2,
        ..options()
    };
    let plan = Plan::new(file.bytes(), &options).unwrap();
    let mut arena = vec![0; plan.arena_bytes()];
    let pool = Pool::new(1).unwrap();
    let before = CALLS.load(SeqCst);
    let mut engine = Engine::load(file.bytes(), &mut arena, &options, kernels(), &pool).unwrap();
    assert_eq!(CALLS.load(SeqCst), before, "loading");
    let grammar =
        llamux::Grammar::new("root ::= (\"ab\" [a-z]+ \" \"?){3,} | \"(\" root \")\"").unwrap();
    let before = CALLS.load(SeqCst);
    let constraint = Constraint {
        grammar: Grammar::new(grammar.table()).unwrap(),
        forced: true,
    };
    for (raw, constraint) in [(true, None), (false, None), (true, Some(constraint))] {
        let request = Request {
            prompt: "hello abc, whole he ll abc",
            raw,
            max_tokens: 30,
            sampling: Sampling {
                repeat_penalty_milli: 1100,
                ..Sampling::default()
            },
            constraint,
            ..Request::default()
        };
        let outcome = engine.generate(&request, &pool, &mut Nowhere).unwrap();
        assert!(outcome.tokens > 0);
        assert_eq!(CALLS.load(SeqCst), before, "answering");
    }
    let mut vector = [F32Bits(0); common::EMBEDDING as usize];
    let tokens = engine.embed("hello abc", &pool, &mut vector).unwrap();
    assert!(tokens > 0 && vector.iter().any(|bits| bits.0 != 0));
    assert_eq!(CALLS.load(SeqCst), before, "embedding");
    // Two at once, and one whose text is guessed and outgrows the context.
    engine.set_speculation(true);
    assert!(engine.prewarm(&pool).unwrap() > 0);
    let long = Request {
        max_tokens: 2 * common::CONTEXT,
        sampling: Sampling::GREEDY,
        full: Full::DropOldest,
        ..Request::default()
    };
    for round in 0..3 {
        let mut crowd = Crowd::default();
        for owner in 0..2 - u64::from(round == 2) {
            engine
                .submit_tokens(&[5, 6, 7, 5, 6, 7, 5, 6], &long, owner)
                .unwrap();
        }
        while engine.step(&pool, &mut crowd) {}
        assert_eq!(crowd.failed, 0);
        assert_eq!(CALLS.load(SeqCst), before, "answering several");
    }
    drop(file);
    assert!(CALLS.load(SeqCst) > before, "the counter counts");
}
