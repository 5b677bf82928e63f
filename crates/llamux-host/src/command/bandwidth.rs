// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `bandwidth`: measures how fast threads read memory, which bounds how fast they can decode.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, Context as _, Result};
use clap::Args;
use memmap2::{Advice, MmapMut};
use serde::Serialize;

use super::{print_json, print_line};

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Bandwidth {
    /// Threads that read, each a part of its own
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// MiB to read; should be many times what the processor's caches hold
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    mebibytes: u32,
    /// How often to measure; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    bytes_per_second: f64,
    bytes: usize,
    threads: u16,
    repetitions: u32,
}

impl Bandwidth {
    pub(super) fn run(&self) -> Result<()> {
        let bytes = usize::try_from(self.mebibytes)?
            .checked_mul(1 << 20)
            .ok_or_else(|| anyhow!("no address space has {} MiB", self.mebibytes))?;
        let mut memory = MmapMut::map_anon(bytes)
            .with_context(|| format!("no memory for {bytes} bytes; try a smaller --mebibytes"))?;
        #[cfg(target_os = "linux")]
        // Only a hint.
        let _ = memory.advise(Advice::HugePage);
        let part = bytes.div_ceil(self.threads.into()).next_multiple_of(ROW);

        let start = Barrier::new(self.threads.into());
        let all = thread::scope(|scope| {
            let readers: Vec<_> = memory
                .chunks_mut(part)
                .map(|part| {
                    let start = &start;
                    scope.spawn(move || self.reader(part, start))
                })
                // A part less than there are threads, where they do not come out even.
                .chain(
                    (bytes.div_ceil(part)..self.threads.into())
                        .map(|_| scope.spawn(|| self.reader(&mut [], &start))),
                )
                .collect();
            readers
                .into_iter()
                .map(|reader| reader.join().map_err(|_| anyhow!("a reader panicked")))
                .collect::<Result<Vec<_>>>()
        })?;
        let mut times: Vec<_> = (0..self.repetitions as usize)
            .filter_map(|round| span(all.iter().filter_map(|times| times.get(round))))
            .collect();
        times.sort_unstable();
        let median = times
            .get(times.len() / 2)
            .context("nothing was measured")?
            .as_secs_f64();
        let report = Report {
            bytes_per_second: bytes as f64 / median,
            bytes,
            threads: self.threads,
            repetitions: self.repetitions,
        };
        if self.json {
            return print_json(&report);
        }
        print_line(&format!(
            "{} threads read {:.2} GB/s",
            report.threads,
            report.bytes_per_second / 1e9
        ))
    }

    /// Reads a part again and again, together with the others; returns when each time began and ended.
    fn reader(&self, part: &mut [u8], start: &Barrier) -> Vec<(Instant, Instant)> {
        // Memory that nobody has written is one page of zeros, which is always in the cache.
        part.fill(1);
        let round = |_| {
            start.wait();
            let begin = Instant::now();
            black_box(sum(black_box(part)));
            (begin, Instant::now())
        };
        (0..self.repetitions).map(round).collect()
    }
}

/// Bytes that are added at once: as many as keep the adders from being waited for.
const ROW: usize = 256;

/// The sum of all words: as little to compute as reading can have, in a form that compiles to wide loads.
fn sum(bytes: &[u8]) -> u64 {
    let mut sums = [0_u64; ROW / 8];
    for row in bytes.chunks_exact(ROW) {
        for (sum, word) in sums.iter_mut().zip(row.chunks_exact(8)) {
            // PANIC: Eight bytes.
            *sum = sum.wrapping_add(u64::from_ne_bytes(word.try_into().expect("eight bytes")));
        }
    }
    sums.iter().fold(0, |sum, &more| sum.wrapping_add(more))
}

/// From the first begin to the last end.
fn span<'a>(times: impl Iterator<Item = &'a (Instant, Instant)> + Clone) -> Option<Duration> {
    let begin = times.clone().map(|(begin, _)| *begin).min()?;
    let end = times.map(|(_, end)| *end).max()?;
    Some(end.saturating_duration_since(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_whole_rows_is_read() {
        assert_eq!(sum(&[]), 0);
        for at in [0, 7, 255, 256, 1023] {
            let mut bytes = vec![0; 4 * ROW];
            bytes[at] = 1;
            assert_ne!(sum(&bytes), 0, "{at}");
        }
    }

    #[test]
    fn threads_that_read_together_take_as_long_as_all_of_them() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let times = [(at(2), at(5)), (at(1), at(4)), (at(3), at(9))];
        assert_eq!(span(times.iter()), Some(Duration::from_millis(8)));
        assert_eq!(span([].iter()), None);
    }
}
