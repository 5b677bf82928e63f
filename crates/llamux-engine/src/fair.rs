// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Who is taken in next when many users ask: not who came first, but a request of the user who got least.
//!
//! This is [start-time fair queueing](https://doi.org/10.1145/248156.248171). Each user has a virtual time, which
//! goes on with the time that is spent on the user's requests: faster for those of less weight, slower for
//! those of more. The least of them is next. Who comes after a rest begins at the virtual time of those who
//! are there, so that nobody saves up for later.
//!
//! Who has waited for [`PATIENCE_NS`] while nothing of the same user was answered goes first, whatever the weights
//! say. And the last free seat is for users who have none, so that whoever comes does not wait for the end of
//! long answers.

/// The weight of most requests: that of nice level 0 in the kernel's scheduler.
pub const WEIGHT: u32 = 1024;

/// How long a user's request waits at most while others are taken in, but for those who have waited as long.
pub const PATIENCE_NS: u64 = 10_000_000_000;

/// What a user got, and what of the user's is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    virtual_ns: u64,
    /// When one of the requests was being answered last, if none is now.
    served_ns: u64,
    /// Requests that wait.
    pub waiting: u32,
    /// Requests that are being answered.
    pub seated: u32,
}

impl Share {
    /// Whether nothing waits or is being answered.
    pub fn is_idle(&self) -> bool {
        self.waiting == 0 && self.seated == 0
    }
}

/// The virtual time of all users.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Of who was taken in last.
    now: u64,
    /// Of who got most.
    furthest: u64,
    /// Requests that wait or are being answered.
    open: u32,
}

impl Clock {
    /// A request begins to wait.
    pub fn enter(&mut self, share: &mut Share) {
        if self.open == 0 {
            // Nobody was there: what was before does not matter any more.
            self.now = self.furthest;
        }
        if share.is_idle() {
            share.virtual_ns = share.virtual_ns.max(self.now);
        }
        share.waiting = share.waiting.saturating_add(1);
        self.open = self.open.saturating_add(1);
    }

    /// A request that waits is given up.
    pub fn withdraw(&mut self, share: &mut Share) {
        share.waiting = share.waiting.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
    }

    /// A request that waits is taken in.
    pub fn seat(&mut self, share: &mut Share) {
        share.waiting = share.waiting.saturating_sub(1);
        share.seated = share.seated.saturating_add(1);
        self.now = self.now.max(share.virtual_ns);
    }

    /// A request that was taken in has come to its end.
    pub fn leave(&mut self, share: &mut Share, now_ns: u64) {
        share.served_ns = now_ns;
        share.seated = share.seated.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
    }

    /// So much time was spent on a request of this weight.
    pub fn charge(&mut self, share: &mut Share, ns: u64, weight: u32) {
        let weighted = ns.saturating_mul(WEIGHT.into()) / u64::from(weight.max(1));
        share.virtual_ns = share.virtual_ns.saturating_add(weighted);
        self.furthest = self.furthest.max(share.virtual_ns);
    }
}

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its user's.
    pub share: Share,
    /// When it came.
    pub arrived_ns: u64,
    /// How much it weighs among those of all users.
    pub weight: u32,
    /// Whether the last free seat is for this user, too, who has others.
    pub privileged: bool,
}

/// Where requests are answered.
#[derive(Clone, Copy, Debug)]
pub struct Seats {
    /// How many there are.
    pub all: u32,
    /// How many are free.
    pub free: u32,
}

/// What candidates are compared by; the least is first.
type Rank = (bool, u64, u32, bool, u32, u64);

impl Candidate {
    fn may_sit(&self, seats: Seats) -> bool {
        match seats.free {
            0 => false,
            1 => seats.all == 1 || self.share.seated == 0 || self.privileged,
            _ => true,
        }
    }

    fn rank(&self, now_ns: u64) -> Rank {
        let waits_since = |since: u64| now_ns.saturating_sub(since) >= PATIENCE_NS;
        let since = self.arrived_ns.max(self.share.served_ns);
        let starves = self.share.seated == 0 && waits_since(since);
        let among_users = match starves {
            true => since,
            false => self.share.virtual_ns,
        };
        // Among those of one user, too, nobody waits for ever.
        let is_old = waits_since(self.arrived_ns);
        let lightness = if is_old { 0 } else { u32::MAX - self.weight };
        (
            !starves,
            among_users,
            self.share.seated,
            !is_old,
            lightness,
            self.arrived_ns,
        )
    }
}

/// The place of the request that is taken in next, in the order in which they came; `None` stands for one that
/// cannot be taken in now.
pub fn first(
    candidates: impl Iterator<Item = Option<Candidate>>,
    seats: Seats,
    now_ns: u64,
) -> Option<usize> {
    let mut best: Option<(usize, Rank)> = None;
    for (place, candidate) in candidates.enumerate() {
        let Some(candidate) = candidate.filter(|candidate| candidate.may_sit(seats)) else {
            continue;
        };
        let rank = candidate.rank(now_ns);
        if best.is_none_or(|(_, least)| rank < least) {
            best = Some((place, rank));
        }
    }
    best.map(|(place, _)| place)
}

/// How many tokens a user had of late, which drain at a rate of so many a minute; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Tokens, times the milliseconds of a minute.
    level: u64,
    at_ms: u64,
}

/// Milliseconds.
const MINUTE: u64 = 60_000;

impl Bucket {
    fn drain(&mut self, per_minute: u32, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.at_ms);
        self.level = match per_minute {
            0 => 0,
            rate => self
                .level
                .saturating_sub(passed.saturating_mul(rate.into())),
        };
        self.at_ms = self.at_ms.max(now_ms);
    }

    /// Whether there were a minute's tokens, or more.
    pub fn is_full(&mut self, per_minute: u32, now_ms: u64) -> bool {
        self.drain(per_minute, now_ms);
        per_minute != 0 && self.level >= u64::from(per_minute).saturating_mul(MINUTE)
    }

    /// Adds tokens, more than fit if need be.
    pub fn add(&mut self, tokens: u64, per_minute: u32, now_ms: u64) {
        self.drain(per_minute, now_ms);
        self.level = self.level.saturating_add(tokens.saturating_mul(MINUTE));
    }
}
