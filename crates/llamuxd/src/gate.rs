// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How much is answered at once, and how often one may ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Most callers whose rate is remembered.
const MAX_CALLERS: usize = 4096;

/// Lets so many in at once, and has so many wait.
pub struct Gate {
    inside: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

/// A place inside, until it is dropped.
pub type Place = OwnedSemaphorePermit;

impl Gate {
    /// A gate.
    pub fn new(inside: usize, queue: usize) -> Self {
        Self {
            inside: Arc::new(Semaphore::new(inside)),
            waiting: AtomicUsize::new(0),
            queue,
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether who comes now has to wait behind so many or more.
    pub fn is_behind(&self, many: usize) -> bool {
        self.inside.available_permits() == 0 && self.waiting() >= many
    }

    /// Waits for a place, unless too many do.
    pub async fn enter(&self) -> Result<Place, ApiError> {
        if let Ok(place) = self.inside.clone().try_acquire_owned() {
            return Ok(place);
        }
        /// Counts one out who waits no more, for whatever reason.
        struct Waiting<'g>(&'g AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.queue {
            return Err(ApiError::busy(
                format!("{before} requests wait already, and no more may: try again later."),
                5,
            ));
        }
        let place = self.inside.clone().acquire_owned().await;
        place.map_err(|_| ApiError::busy("The server is going down.", 30))
    }
}

/// How often callers may ask.
pub struct Rates {
    /// Requests in a minute; 0 for any number.
    per_minute: u32,
    callers: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// So many requests a minute from each caller; 0 for any number.
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            callers: Mutex::new(HashMap::new()),
        }
    }

    /// Counts a request, or refuses it.
    pub fn count(&self, caller: &str, now: Instant) -> Result<(), ApiError> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let most = f64::from(self.per_minute);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MAX_CALLERS && !callers.contains_key(caller) {
            // Who has not asked for a minute has all of it again.
            let minute = Duration::from_secs(60);
            callers.retain(|_, bucket| now.saturating_duration_since(bucket.at) < minute);
            if callers.len() >= MAX_CALLERS {
                return Err(ApiError::busy(
                    "Too many callers: try again in a minute.",
                    60,
                ));
            }
        }
        let bucket = callers.entry(caller.to_owned()).or_insert(Bucket {
            left: most,
            at: now,
        });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * most / 60.0).min(most);
        bucket.at = now;
        if bucket.left < 1.0 {
            // CAST: Of at most a minute.
            let seconds = ((1.0 - bucket.left) * 60.0 / most).ceil() as u64;
            return Err(ApiError::busy(
                format!("More than {} requests in a minute.", self.per_minute),
                seconds.max(1),
            ));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_comes_back_with_time_and_is_each_callers_own() {
        let rates = Rates::new(6);
        let start = Instant::now();
        for _ in 0..6 {
            rates.count("a", start).unwrap();
        }
        let error = rates.count("a", start).unwrap_err();
        assert_eq!((error.status.as_u16(), error.retry_after), (429, Some(10)));
        rates.count("b", start).unwrap();
        rates.count("a", start + Duration::from_secs(10)).unwrap();
        rates
            .count("a", start + Duration::from_secs(11))
            .unwrap_err();
        let any = Rates::new(0);
        for _ in 0..1000 {
            any.count("a", start).unwrap();
        }
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let gate = Arc::new(Gate::new(1, 1));
        let inside = gate.enter().await.unwrap();
        assert!(gate.is_behind(0));
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await.map(drop) }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(gate.is_behind(1) && !gate.is_behind(2));
        assert_eq!(gate.enter().await.unwrap_err().status.as_u16(), 429);
        drop(inside);
        waiting.await.unwrap().unwrap();
        assert_eq!(gate.waiting(), 0);
        // Who goes away while waiting is not counted any more.
        let inside = gate.enter().await.unwrap();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await.map(drop) }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        let _ = waiting.await;
        assert_eq!(gate.waiting(), 0);
        drop(inside);
    }
}
