// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Users who ask more than can be answered at once: what each gets, and how long each waits.

use llamux_engine::fair::{first, Bucket, Candidate, Clock, Seats, Share, PATIENCE_NS, WEIGHT};

const SECOND: u64 = 1_000_000_000;
const TICK: u64 = SECOND / 100;

/// A request that waits or is being answered.
#[derive(Clone, Copy)]
struct Asked {
    user: usize,
    weight: u32,
    /// Time that it takes when it is computed alone.
    work: u64,
    arrived: u64,
}

/// Users whose clients ask again and again, on seats that share the time.
struct Bar {
    clock: Clock,
    users: Vec<Share>,
    waiting: Vec<Asked>,
    seated: Vec<(Asked, u64)>,
    seats: u32,
    now: u64,
    /// Time that each user got, and the longest that one waited.
    got: Vec<u64>,
    longest: Vec<u64>,
    /// The weights of those who were taken in.
    order: Vec<u32>,
}

impl Bar {
    fn new(users: usize, seats: u32) -> Self {
        Self {
            clock: Clock::default(),
            users: vec![Share::default(); users],
            waiting: vec![],
            seated: vec![],
            seats,
            // The driver's clock does not begin at 0 either.
            now: 1000 * SECOND,
            got: vec![0; users],
            longest: vec![0; users],
            order: vec![],
        }
    }

    fn ask(&mut self, user: usize, weight: u32, work: u64) {
        self.clock.enter(&mut self.users[user]);
        self.waiting.push(Asked {
            user,
            weight,
            work,
            arrived: self.now,
        });
    }

    fn clients(&mut self, user: usize, count: usize, weight: u32, work: u64) {
        for _ in 0..count {
            self.ask(user, weight, work);
        }
    }

    fn take_in(&mut self) -> Option<Asked> {
        let seats = Seats {
            all: self.seats,
            free: self.seats - self.seated.len() as u32,
        };
        let candidates = self.waiting.iter().map(|asked| {
            Some(Candidate {
                share: self.users[asked.user],
                arrived_ns: asked.arrived,
                weight: asked.weight,
                privileged: false,
            })
        });
        let place = first(candidates, seats, self.now)?;
        let asked = self.waiting.remove(place);
        self.clock.seat(&mut self.users[asked.user]);
        let waited = self.now - asked.arrived;
        let longest = &mut self.longest[asked.user];
        *longest = waited.max(*longest);
        self.seated.push((asked, asked.work));
        self.order.push(asked.weight);
        Some(asked)
    }

    fn tick(&mut self) {
        while self.take_in().is_some() {}
        self.now += TICK;
        let part = TICK / (self.seated.len() as u64).max(1);
        let mut ended = vec![];
        for (asked, left) in &mut self.seated {
            *left = left.saturating_sub(part);
            self.got[asked.user] += part;
            let share = &mut self.users[asked.user];
            self.clock.charge(share, part, asked.weight);
            if *left == 0 {
                self.clock.leave(share, self.now);
                ended.push(*asked);
            }
        }
        self.seated.retain(|(_, left)| *left != 0);
        for asked in ended {
            self.ask(asked.user, asked.weight, asked.work);
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + seconds * SECOND;
        while self.now < end {
            self.tick();
        }
    }

    /// How much the first user got for each thousand of the second.
    fn ratio(&self) -> u64 {
        self.got[0] * 1000 / self.got[1]
    }
}

#[test]
fn a_user_with_eight_clients_gets_no_more_than_one_with_one() {
    let mut bar = Bar::new(2, 1);
    bar.clients(0, 8, WEIGHT, SECOND);
    bar.clients(1, 1, WEIGHT, SECOND);
    bar.run(200);
    assert!((950..1050).contains(&bar.ratio()), "{}", bar.ratio());
    // One answer of the other user at a time.
    assert!(bar.longest[1] <= SECOND + 2 * TICK, "{}", bar.longest[1]);
}

#[test]
fn it_is_time_that_counts_and_not_requests() {
    let mut bar = Bar::new(2, 1);
    bar.clients(0, 2, WEIGHT, 4 * SECOND);
    bar.clients(1, 2, WEIGHT, SECOND / 4);
    bar.run(400);
    assert!((900..1100).contains(&bar.ratio()), "{}", bar.ratio());
}

#[test]
fn weights_count() {
    // Nice levels 0 and 5: 1024 to 335.
    let mut bar = Bar::new(2, 1);
    bar.clients(0, 3, 1024, SECOND / 2);
    bar.clients(1, 3, 335, SECOND / 2);
    bar.run(400);
    assert!((2800..3300).contains(&bar.ratio()), "{}", bar.ratio());
}

#[test]
fn who_comes_finds_a_seat_though_others_ask_for_more_than_there_are() {
    let mut bar = Bar::new(2, 4);
    bar.clients(0, 8, WEIGHT, 30 * SECOND);
    bar.run(7);
    assert_eq!(bar.seated.len(), 3, "one stays free");
    bar.ask(1, WEIGHT, SECOND);
    assert_eq!(bar.take_in().map(|asked| asked.user), Some(1));
    bar.run(500);
    // It has come to its end and asked again many times, and did not wait once.
    assert!(bar.got[1] > 100 * SECOND, "{}", bar.got[1]);
    assert!(bar.longest[1] <= 2 * TICK, "{}", bar.longest[1]);
}

#[test]
fn the_only_seat_is_for_everybody() {
    let mut bar = Bar::new(1, 1);
    bar.clients(0, 2, WEIGHT, SECOND);
    bar.run(10);
    assert_eq!(bar.got[0], 10 * SECOND);
}

#[test]
fn who_is_privileged_takes_the_last_seat_too() {
    let (mut clock, mut share) = (Clock::default(), Share::default());
    clock.enter(&mut share);
    clock.seat(&mut share);
    let seats = Seats { all: 4, free: 1 };
    for privileged in [false, true] {
        let candidate = Candidate {
            share,
            arrived_ns: 0,
            weight: WEIGHT,
            privileged,
        };
        let taken = first([Some(candidate)].into_iter(), seats, 1);
        assert_eq!(taken.is_some(), privileged);
    }
}

#[test]
fn nobody_waits_longer_than_patience_whatever_the_weights() {
    // Nice levels -20 and 19: one would get 1 of 5917.
    let mut bar = Bar::new(2, 1);
    bar.clients(0, 8, 88761, SECOND / 2);
    bar.clients(1, 1, 15, SECOND / 2);
    bar.run(600);
    let most = PATIENCE_NS + SECOND;
    assert!(bar.longest[1] <= most, "{}", bar.longest[1]);
    assert!(bar.longest[1] > SECOND, "weights count for nothing");
    assert!(bar.got[1] > 20 * SECOND, "{}", bar.got[1]);
}

#[test]
fn who_waits_long_for_itself_does_not_go_before_others() {
    // All but a few of these have waited for longer than patience.
    let mut bar = Bar::new(2, 1);
    bar.clients(0, 40, WEIGHT, SECOND);
    bar.run(30);
    bar.clients(1, 1, WEIGHT, SECOND);
    bar.run(60);
    assert!(bar.longest[0] > PATIENCE_NS);
    assert!(bar.longest[1] <= SECOND + 2 * TICK, "{}", bar.longest[1]);
}

#[test]
fn who_was_answered_for_long_has_not_waited() {
    let mut bar = Bar::new(2, 1);
    bar.clients(0, 2, WEIGHT, 30 * SECOND);
    bar.clients(1, 1, WEIGHT, SECOND);
    bar.run(300);
    // One answer of the other user, and no second one.
    assert!(bar.longest[1] <= 30 * SECOND + TICK, "{}", bar.longest[1]);
}

#[test]
fn of_one_user_the_heavier_goes_first_and_the_lighter_not_never() {
    let mut bar = Bar::new(1, 1);
    bar.clients(0, 4, WEIGHT, SECOND);
    bar.ask(0, 15, SECOND);
    bar.run(20);
    let light = bar.order.iter().position(|&weight| weight == 15);
    let light = light.expect("it was taken in");
    assert!((9..=11).contains(&light), "{:?}", bar.order);
}

#[test]
fn nobody_saves_up_while_away() {
    let mut bar = Bar::new(2, 1);
    bar.clients(0, 2, WEIGHT, SECOND);
    bar.run(1000);
    let before = bar.got[0];
    bar.clients(1, 2, WEIGHT, SECOND);
    bar.run(20);
    let got = bar.got[0] - before;
    assert!((8 * SECOND..12 * SECOND).contains(&got), "{got}");
}

#[test]
fn what_was_before_a_rest_of_all_is_forgotten() {
    let next = |rest: bool| {
        let mut clock = Clock::default();
        let mut shares = [Share::default(); 2];
        for share in &mut shares {
            clock.enter(share);
            clock.seat(share);
        }
        clock.charge(&mut shares[0], 100 * SECOND, WEIGHT);
        clock.leave(&mut shares[0], SECOND);
        if rest {
            clock.leave(&mut shares[1], SECOND);
        }
        clock.enter(&mut shares[0]);
        clock.enter(&mut shares[1]);
        // The one who got more came first; where both sit, that does not count.
        shares[1].seated = 0;
        let candidates = shares.iter().zip(1..).map(|(&share, second)| {
            Some(Candidate {
                share,
                arrived_ns: second * SECOND,
                weight: WEIGHT,
                privileged: false,
            })
        });
        first(candidates, Seats { all: 4, free: 4 }, 3 * SECOND)
    };
    assert_eq!(next(true), Some(0));
    assert_eq!(next(false), Some(1));
}

#[test]
fn many_users_get_the_same() {
    let mut bar = Bar::new(10, 4);
    for user in 0..10 {
        bar.clients(user, 1 + user, WEIGHT, SECOND / 20 * (1 + user as u64));
    }
    bar.run(1000);
    let least = *bar.got.iter().min().unwrap();
    let most = *bar.got.iter().max().unwrap();
    assert!(most < least * 5 / 4, "{:?}", bar.got);
}

#[test]
fn what_cannot_be_taken_in_is_left_out() {
    let candidate = Candidate {
        share: Share::default(),
        arrived_ns: 1,
        weight: WEIGHT,
        privileged: false,
    };
    let seats = Seats { all: 4, free: 4 };
    let waiting = [None, Some(candidate), Some(candidate)];
    assert_eq!(first(waiting.into_iter(), seats, 2), Some(1));
    assert_eq!(first([None].into_iter(), seats, 2), None);
    let full = Seats { all: 4, free: 0 };
    assert_eq!(first(waiting.into_iter(), full, 2), None);
}

#[test]
fn a_bucket_drains() {
    let mut bucket = Bucket::default();
    assert!(!bucket.is_full(60, 1000));
    bucket.add(1000, 0, 1000);
    assert!(!bucket.is_full(0, 1000), "no bound");
    assert!(!bucket.is_full(60, 1000), "and no memory");
    bucket.add(59, 60, 1000);
    assert!(!bucket.is_full(60, 1000));
    bucket.add(1, 60, 1000);
    assert!(bucket.is_full(60, 1000));
    // One token a second.
    assert!(bucket.is_full(60, 1000));
    assert!(!bucket.is_full(60, 1001));
    bucket.add(1, 60, 2000);
    assert!(bucket.is_full(60, 2000));
    // What was too much takes as long.
    bucket.add(600, 60, 2000);
    assert!(bucket.is_full(60, 2000 + 600_000));
    assert!(!bucket.is_full(60, 2001 + 600_000));
    // A clock that goes back drains nothing.
    bucket.add(60, 60, 1_000_000);
    assert!(bucket.is_full(60, 3000));
}
