// SPDX-License-Identifier: GPL-2.0-only

//! Hashes files in a thread of its own, while they are read and their model is loaded.
//!
//! Lock order: `Shared::state` is a leaf.

use kernel::prelude::*;
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex};
use kernel::time::msecs_to_jiffies;

use crate::sys::{self, Sha256, Thread};

/// Bytes that are hashed at once, which disables preemption where it uses vector registers.
const STEP: usize = 1 << 16;

/// How often one who waits looks whether to go on, in milliseconds.
const LOOK_MS: u32 = 50;

/// The SHA-256 of a file.
pub(crate) type Digest = [u8; 32];

/// Bytes of a file that are to be hashed.
///
/// # Invariants
///
/// They are there, and nobody changes them, while the piece is.
struct Piece {
    file: usize,
    start: *const u8,
    len: usize,
}

// SAFETY: By the invariant, any thread may read them.
unsafe impl Send for Piece {}

/// What both sides change.
struct State {
    /// In the order in which they are hashed.
    pieces: KVec<Piece>,
    /// One for each file. The thread has them while it is there.
    hashes: KVec<Sha256>,
    /// Whether no more pieces come.
    complete: bool,
    /// Whether the thread has gone.
    ended: bool,
}

#[pin_data]
struct Shared {
    /// Whether nobody wants the hashes any more.
    over: Atomic<bool>,
    #[pin]
    state: Mutex<State>,
    #[pin]
    changed: CondVar,
}

impl Shared {
    /// The next piece, for which the thread waits; none at the end.
    fn next(&self) -> Option<Piece> {
        let mut state = self.state.lock();
        loop {
            if let Ok(piece) = state.pieces.remove(0) {
                return Some(piece);
            }
            if state.complete {
                return None;
            }
            // Kernel threads have no signals; it is interruptible so as not to count as load.
            let _ = self.changed.wait_interruptible(&mut state);
        }
    }

    fn hash(&self, hash: &mut Sha256, piece: &Piece) {
        // SAFETY: By the invariant of the piece.
        let bytes = unsafe { core::slice::from_raw_parts(piece.start, piece.len) };
        for step in bytes.chunks(STEP) {
            if self.over.load(Relaxed) {
                return;
            }
            hash.add(step);
            sys::resched();
        }
    }

    /// Waits until the thread has hashed all there is, or nobody wants that any more, and is gone.
    fn end(&self, stop: &dyn Fn() -> bool) {
        let mut state = self.state.lock();
        state.complete = true;
        self.changed.notify_all();
        while !state.ended {
            if stop() {
                self.over.store(true, Relaxed);
            }
            let jiffies = msecs_to_jiffies(LOOK_MS);
            let _ = self.changed.wait_interruptible_timeout(&mut state, jiffies);
        }
    }
}

impl Thread for Shared {
    fn run(self: Arc<Self>) {
        let mut hashes = core::mem::take(&mut self.state.lock().hashes);
        while let Some(piece) = self.next() {
            if let Some(hash) = hashes.get_mut(piece.file) {
                self.hash(hash, &piece);
            }
        }
        let mut state = self.state.lock();
        state.hashes = hashes;
        state.ended = true;
        drop(state);
        self.changed.notify_all();
    }
}

/// The hashing of some files.
pub(crate) struct Hashing(Arc<Shared>);

impl Hashing {
    /// Starts a thread that hashes so many files.
    pub(crate) fn start(files: usize) -> Result<Self> {
        let mut hashes = KVec::new();
        for _ in 0..files {
            hashes.push(Sha256::new(), GFP_KERNEL)?;
        }
        let shared = Arc::pin_init(
            pin_init!(Shared {
                over: Atomic::new(false),
                state <- new_mutex!(
                    State {
                        pieces: KVec::new(),
                        hashes,
                        complete: false,
                        ended: false,
                    },
                    "llamux_hash"
                ),
                changed <- new_condvar!("llamux_hash"),
            }),
            GFP_KERNEL,
        )?;
        sys::start_thread(shared.clone(), c"llamux_hash")?;
        Ok(Self(shared))
    }

    /// Goes on with these bytes of a file.
    ///
    /// # Safety
    ///
    /// They must be there, and nobody may change them, until [`finish`](Self::finish) has returned or
    /// this value was dropped.
    pub(crate) unsafe fn add(&self, file: usize, bytes: &[u8]) -> Result {
        // INVARIANT: The thread is gone after that, and has no piece any more.
        let piece = Piece {
            file,
            start: bytes.as_ptr(),
            len: bytes.len(),
        };
        self.0.state.lock().pieces.push(piece, GFP_KERNEL)?;
        self.0.changed.notify_all();
        Ok(())
    }

    /// Waits until all is hashed, as [`Hashes::wait`].
    pub(crate) fn finish(self, stop: &dyn Fn() -> bool) -> Result<KVec<Digest>> {
        self.hashes().wait(stop)
    }

    /// What comes of it, to be waited for when nothing more is added. Whoever has this keeps nobody from
    /// dropping the bytes: there are no hashes then.
    pub(crate) fn hashes(&self) -> Hashes {
        Hashes(self.0.clone())
    }
}

/// The hashes of some files, when they are there.
pub(crate) struct Hashes(Arc<Shared>);

impl Hashes {
    /// Waits until all is hashed. Returns a hash for each file. If `stop` says so meanwhile, or the files are
    /// gone, `EINTR`.
    pub(crate) fn wait(self, stop: &dyn Fn() -> bool) -> Result<KVec<Digest>> {
        self.0.end(stop);
        if self.0.over.load(Relaxed) {
            return Err(EINTR);
        }
        let hashes = core::mem::take(&mut self.0.state.lock().hashes);
        let mut digests = KVec::with_capacity(hashes.len(), GFP_KERNEL)?;
        for hash in hashes {
            digests.push(hash.end(), GFP_KERNEL)?;
        }
        Ok(digests)
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.0.end(&|| true);
    }
}

#[cfg(all(CONFIG_LLAMUX_KUNIT_TEST, CONFIG_LLAMUX_SIG))]
#[kunit_tests(llamux_hash)]
mod tests {
    use super::*;

    static TEXTS: [&[u8]; 3] = [b"abc", b"", &[0x5a; 100_000]];

    fn expected(bytes: &[u8]) -> Digest {
        let mut hash = Sha256::new();
        hash.add(bytes);
        hash.end()
    }

    #[test]
    fn files_are_hashed_piece_by_piece_in_any_order_of_files() -> Result {
        let hashing = Hashing::start(TEXTS.len())?;
        for part in 0..8 {
            for (file, text) in TEXTS.iter().enumerate() {
                let piece = |part: usize| part * text.len() / 8;
                // SAFETY: They are in the kernel's image.
                unsafe { hashing.add(file, &text[piece(part)..piece(part + 1)])? };
            }
        }
        let digests = hashing.finish(&|| false)?;
        assert_eq!(digests.len(), TEXTS.len());
        for (digest, text) in digests.iter().zip(TEXTS) {
            assert_eq!(*digest, expected(text));
        }
        Ok(())
    }

    #[test]
    fn hashing_can_be_stopped() -> Result {
        let hashing = Hashing::start(1)?;
        for _ in 0..100 {
            // SAFETY: It is in the kernel's image.
            unsafe { hashing.add(0, TEXTS[2])? };
        }
        assert_eq!(hashing.finish(&|| true).err(), Some(EINTR));
        Ok(())
    }

    #[test]
    fn hashes_outlive_the_files() -> Result {
        for _ in 0..20 {
            let hashing = Hashing::start(1)?;
            let hashes = hashing.hashes();
            // SAFETY: It is in the kernel's image.
            unsafe { hashing.add(0, TEXTS[2])? };
            drop(hashing);
            assert_eq!(hashes.wait(&|| false).err(), Some(EINTR));
        }
        let hashing = Hashing::start(1)?;
        // SAFETY: As above.
        unsafe { hashing.add(0, TEXTS[2])? };
        let digests = hashing.hashes().wait(&|| false)?;
        drop(hashing);
        assert_eq!(digests[0], expected(TEXTS[2]));
        Ok(())
    }

    #[test]
    fn hashing_that_nobody_waits_for_ends() -> Result {
        for _ in 0..20 {
            let hashing = Hashing::start(1)?;
            // SAFETY: It is in the kernel's image.
            unsafe { hashing.add(0, TEXTS[2])? };
            drop(hashing);
        }
        Ok(())
    }
}
