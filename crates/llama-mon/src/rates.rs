// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What happens in a second: the difference of two snapshots.

use std::collections::BTreeMap;

use llamux::Owner;

use crate::snapshot::Snapshot;

/// What happened between two snapshots; what cannot be known is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// Tokens of answers a second, of all callers.
    pub(crate) decode: Option<f64>,
    /// Tokens of questions a second; only root sees those of everybody, and only they are counted.
    pub(crate) prefill: Option<f64>,
    /// Requests a second that came to their end.
    pub(crate) requests: Option<f64>,
    /// How many answers went on together.
    pub(crate) batch: Option<f64>,
    /// The processors' time that was used, in percent of all processors.
    pub(crate) busy: Option<f64>,
    /// What the kernel's threads for the model had of it, in percent of all processors.
    pub(crate) llamux: Option<f64>,
    /// Tokens of answers a second, of each user.
    pub(crate) users: BTreeMap<Owner, f64>,
}

impl Rates {
    /// What happened from one to the other. Nothing is known if no time went by, or counters went back.
    pub(crate) fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let elapsed = match after.uptime.checked_sub(before.uptime) {
            None | Some(0) => return Self::default(),
            Some(hundredths) => hundredths as f64 / 100.0,
        };
        let number = |snapshot: &Snapshot, key: &str| snapshot.status.number(key);
        let grown = |key: &str| number(after, key)?.checked_sub(number(before, key)?);
        let a_second = |count: Option<u64>| Some(count? as f64 / elapsed);
        let batch = match (grown("step_tokens"), grown("steps")) {
            (Some(tokens), Some(steps)) if steps > 0 => Some(tokens as f64 / steps as f64),
            _ => None,
        };
        let total = after.cpu.total.checked_sub(before.cpu.total);
        let percent = |part: Option<u64>| {
            let total = total.filter(|&total| total > 0)?;
            // Threads' times are rounded otherwise than those of processors.
            Some((part? as f64 * 100.0 / total as f64).min(100.0))
        };
        let idle = after.cpu.idle.checked_sub(before.cpu.idle);
        let used = idle.and_then(|idle| Some(total?.saturating_sub(idle)));
        // One that loaded a model is gone, with its time.
        let grown_by = |(pid, time): (&u32, &u64)| time.checked_sub(*before.cpu.llamux.get(pid)?);
        let threads: Vec<u64> = after.cpu.llamux.iter().filter_map(grown_by).collect();
        let threads = (!threads.is_empty()).then(|| threads.iter().sum());
        let mut users = BTreeMap::new();
        let mut read = None;
        for usage in &after.users {
            let same = |other: &&llamux::Usage| other.owner == usage.owner;
            let earlier = before.users.iter().find(same);
            // Who was not there before has begun since.
            let (tokens, prompt) = earlier.map_or((0, 0), |one| (one.tokens, one.prompt_tokens));
            let tokens = a_second(usage.tokens.checked_sub(tokens));
            users.insert(usage.owner, tokens.unwrap_or(0.0));
            let prompt = usage.prompt_tokens.saturating_sub(prompt);
            read = Some(read.unwrap_or(0) + prompt);
        }
        Self {
            decode: a_second(grown("step_tokens")),
            prefill: a_second(read),
            requests: a_second(grown("requests_served")),
            batch,
            busy: percent(used),
            llamux: percent(threads),
            users,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn counters_become_rates() {
        let (before, after) = testing::recorded();
        let rates = Rates::between(&before, &after);
        let elapsed = (after.uptime - before.uptime) as f64 / 100.0;
        let tokens = |s: &Snapshot| s.status.number("step_tokens").unwrap();
        let expected = (tokens(&after) - tokens(&before)) as f64 / elapsed;
        assert_eq!(rates.decode, Some(expected));
        assert!(expected > 10.0, "{expected}");
        // Four answers go on together, and none has come to its end.
        assert_eq!(rates.requests, Some(0.0));
        assert_eq!(rates.prefill, Some(0.0));
        let batch = rates.batch.unwrap();
        assert!((3.0..=4.0).contains(&batch), "{batch}");
        let (root, ana) = (Owner::User(0), Owner::User(1000));
        assert!(rates.users[&root] > 2.0 * rates.users[&ana]);
        let (busy, llamux) = (rates.busy.unwrap(), rates.llamux.unwrap());
        assert!(
            llamux > 20.0 && llamux <= busy && busy <= 100.0,
            "{rates:?}"
        );
    }

    #[test]
    fn a_thread_that_is_gone_takes_no_time_back() {
        let (mut before, after) = testing::recorded();
        let expected = Rates::between(&before, &after).llamux;
        before.cpu.llamux.insert(7, 1_000_000);
        assert_eq!(Rates::between(&before, &after).llamux, expected);
        before.cpu.llamux.clear();
        assert_eq!(Rates::between(&before, &after).llamux, None);
    }

    #[test]
    fn nothing_is_known_of_no_time_or_of_another_boot() {
        let (before, after) = testing::recorded();
        assert_eq!(Rates::between(&after, &after), Rates::default());
        assert_eq!(Rates::between(&after, &before), Rates::default());
        let mut reset = after.clone();
        reset.uptime += 100;
        reset.status = llamux::Status::parse("step_tokens: 0\n");
        let rates = Rates::between(&after, &reset);
        assert_eq!(
            (rates.decode, rates.requests, rates.busy),
            (None, None, None)
        );
    }
}
