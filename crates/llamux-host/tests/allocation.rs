// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! No allocation after load.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use common::{kernels, options, tiny, Aligned};
use llamux_engine::generate::{Request, Sampling, Sink};
use llamux_engine::{Engine, Plan};
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

struct Nowhere;

impl Sink for Nowhere {
    fn text(&mut self, _text: &str) -> bool {
        true
    }

    fn stop(&mut self) -> bool {
        false
    }
}

/// The only test of this program, since other tests would allocate meanwhile.
#[test]
fn answering_allocates_nothing() {
    let file = Aligned::new(&tiny().build());
    let plan = Plan::new(file.bytes(), &options()).unwrap();
    let mut arena = vec![0; plan.arena_bytes()];
    let pool = Pool::new(1).unwrap();
    let before = CALLS.load(SeqCst);
    let mut engine = Engine::load(file.bytes(), &mut arena, &options(), kernels(), &pool).unwrap();
    assert_eq!(CALLS.load(SeqCst), before, "loading");
    for raw in [true, false] {
        let request = Request {
            prompt: "hello abc, whole he ll abc",
            raw,
            max_tokens: 30,
            sampling: Sampling {
                repeat_penalty_milli: 1100,
                ..Sampling::default()
            },
            ..Request::default()
        };
        let outcome = engine.generate(&request, &pool, &mut Nowhere).unwrap();
        assert!(outcome.tokens > 0);
        assert_eq!(CALLS.load(SeqCst), before, "answering");
    }
    drop(file);
    assert!(CALLS.load(SeqCst) > before, "the counter counts");
}
