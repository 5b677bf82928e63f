// SPDX-License-Identifier: GPL-2.0-only

//! Who asks: the queue of requests, who of them is next, and what users and control groups have open and got
//! since boot, which `/proc/llamux/usage` shows, described in Documentation/ABI/testing/procfs-llamux.
//!
//! All of this is behind one lock, `Service::queue`, with which nothing is allocated. Accounts have fixed
//! places, and one stays in its place for as long as anything of it is open.

use kernel::bindings;
use kernel::ffi::{c_int, c_void};
use kernel::list::{List, ListArc};
use kernel::prelude::*;
use kernel::seq_file::{seq_print, SeqFile};
use kernel::sync::atomic::{ordering::Relaxed, Atomic};
use kernel::sync::Arc;
use llamux_engine::fair::{self, Bucket, Candidate, Clock, Seats, Share};

use crate::limits::{Limit, Limits};
use crate::models::ModelId;
use crate::request::{Question, Request};
use crate::sys::{self, Standing};
use crate::SERVICE;

/// Most users, and most control groups, that have accounts of their own at a time.
const MAX_ACCOUNTS: usize = 256;

/// The number of the account of all others, which is nobody's.
const OTHERS: u64 = u64::MAX;

/// Its place, which tells nothing of one user.
const SHARED: u32 = 0;

/// No place in a table.
const NOWHERE: u32 = u32::MAX;

/// What somebody got since boot.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    /// Requests that were taken in and have come to their end.
    pub(crate) requests: u64,
    /// Tokens of prompts that were computed.
    pub(crate) prompt_tokens: u64,
    /// Tokens that were written.
    pub(crate) tokens: u64,
    /// Time that was spent on that.
    pub(crate) time_ns: u64,
}

impl Got {
    fn add(&mut self, more: &Self) {
        self.requests = self.requests.wrapping_add(more.requests);
        self.prompt_tokens = self.prompt_tokens.wrapping_add(more.prompt_tokens);
        self.tokens = self.tokens.wrapping_add(more.tokens);
        self.time_ns = self.time_ns.wrapping_add(more.time_ns);
    }
}

/// The account of a user or of a control group.
#[derive(Clone, Copy)]
struct Account {
    id: u64,
    /// What waits and is being answered; and of a user, what decides who is next.
    share: Share,
    /// Open sessions.
    sessions: u32,
    /// Tokens of context that are held by what is being answered.
    context: u64,
    /// Of a user: tokens of late.
    bucket: Bucket,
    got: Got,
    /// When it was looked for last.
    used_ns: u64,
}

impl Account {
    fn new(id: u64) -> Self {
        Self {
            id,
            share: Share::default(),
            sessions: 0,
            context: 0,
            bucket: Bucket::default(),
            got: Got::default(),
            used_ns: 0,
        }
    }

    fn is_open(&self) -> bool {
        self.sessions != 0 || !self.share.is_idle()
    }

    fn show(&self, m: &SeqFile, whose: &str) {
        match self.id {
            OTHERS if !self.is_open() && self.got == Got::default() => return,
            OTHERS => seq_print!(m, "{whose}=others"),
            id => seq_print!(m, "{whose}={id}"),
        }
        let Got {
            requests,
            prompt_tokens,
            tokens,
            time_ns,
        } = self.got;
        seq_print!(
            m,
            " sessions={} queued={} active={} context={} requests={requests} \
             prompt_tokens={prompt_tokens} tokens={tokens} time_ns={time_ns}\n",
            self.sessions,
            self.share.waiting,
            self.share.seated,
            self.context
        );
    }
}

/// Accounts in fixed places.
struct Table {
    /// The first one is that of all who have none. The capacity is fixed.
    accounts: KVVec<Account>,
}

impl Table {
    fn new() -> Result<Self> {
        let mut accounts = KVVec::with_capacity(MAX_ACCOUNTS + 1, GFP_KERNEL)?;
        accounts.push(Account::new(OTHERS), GFP_KERNEL)?;
        Ok(Self { accounts })
    }

    fn get(&mut self, place: u32) -> Option<&mut Account> {
        // CAST: From 32 bits.
        self.accounts.get_mut(place as usize)
    }

    /// The place of somebody's account, which is made if there is none: where there is room, or instead of
    /// that which has nothing open and was not used the longest. Else it is the place of all others.
    fn place(&mut self, id: u64, now_ns: u64) -> u32 {
        let own = |account: &Account| account.id == id;
        let place = match self.accounts.iter().position(own) {
            Some(place) => place,
            None if self.accounts.len() <= MAX_ACCOUNTS => {
                let place = self.accounts.len();
                match self.accounts.push_within_capacity(Account::new(id)) {
                    Ok(()) => place,
                    Err(_) => 0,
                }
            }
            None => self.reuse(id),
        };
        if let Some(account) = self.accounts.get_mut(place) {
            account.used_ns = now_ns;
        }
        // CAST: There are few.
        place as u32
    }

    fn reuse(&mut self, id: u64) -> usize {
        let all = self.accounts.iter().enumerate().skip(1);
        let closed = all.filter(|(_, account)| !account.is_open());
        let Some((place, _)) = closed.min_by_key(|(_, account)| account.used_ns) else {
            return 0;
        };
        if let [others, rest @ ..] = self.accounts.as_mut_slice() {
            if let Some(account) = rest.get_mut(place - 1) {
                others.got.add(&account.got);
                *account = Account::new(id);
            }
        }
        place
    }
}

/// Where the accounts of a user and a control group are, while something of them is open.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    user: u32,
    group: u32,
}

/// Where a request is accounted for, from when it is queued until it has left.
pub(crate) struct Bill {
    user: Atomic<u32>,
    group: Atomic<u32>,
    /// Tokens of context that it holds, or that it wants as far as is known.
    context: Atomic<u32>,
}

impl Bill {
    /// Nobody's.
    pub(crate) fn new() -> Self {
        Self {
            user: Atomic::new(NOWHERE),
            group: Atomic::new(NOWHERE),
            context: Atomic::new(0),
        }
    }
}

/// Those who wait, and all accounts.
pub(crate) struct Queue {
    list: List<Request>,
    clock: Clock,
    users: Table,
    groups: Table,
    pub(crate) limits: Limits,
}

impl Queue {
    /// Nobody waits.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            list: List::new(),
            clock: Clock::default(),
            users: Table::new()?,
            groups: Table::new()?,
            limits: Limits::new()?,
        })
    }

    fn limit(&self, owner: u64, standing: &Standing) -> Limit {
        match standing.privileged {
            true => Limit::NONE,
            false => self.limits.of(owner),
        }
    }

    fn places(&mut self, owner: u64, standing: &Standing) -> Places {
        let now = sys::now();
        Places {
            user: self.users.place(owner, now),
            group: match standing.group {
                0 => NOWHERE,
                group => self.groups.place(group, now),
            },
        }
    }

    /// Both accounts of a request; none, if it is the driver's own.
    fn accounts(&mut self, request: &Request) -> impl Iterator<Item = &mut Account> {
        let bill = &request.bill;
        let user = self.users.get(bill.user.load(Relaxed));
        let group = self.groups.get(bill.group.load(Relaxed));
        [user, group].into_iter().flatten()
    }

    /// Counts a session of a user who has `others`. `EDQUOT` if these are too many.
    pub(crate) fn open(
        &mut self,
        owner: u64,
        standing: &Standing,
        others: usize,
    ) -> Result<Places> {
        let most = self.limit(owner, standing).sessions;
        let places = self.places(owner, standing);
        let user = self.users.get(places.user).ok_or(EIO)?;
        let sessions = match places.user {
            SHARED => u32::try_from(others)?,
            _ => user.sessions,
        };
        if most != 0 && sessions >= most {
            return Err(EDQUOT);
        }
        user.sessions += 1;
        if let Some(group) = self.groups.get(places.group) {
            group.sessions += 1;
        }
        Ok(places)
    }

    /// Counts a session out.
    pub(crate) fn close(&mut self, places: Places) {
        let user = self.users.get(places.user);
        let group = self.groups.get(places.group);
        for account in [user, group].into_iter().flatten() {
            account.sessions = account.sessions.saturating_sub(1);
        }
    }

    /// Puts a request at the end of the queue. `EDQUOT` if the user has too many there, or had too many tokens
    /// of late.
    pub(crate) fn push(&mut self, request: ListArc<Request>) -> Result {
        let Question {
            owner, standing, ..
        } = &request.question;
        let limit = self.limit(*owner, standing);
        let places = self.places(*owner, standing);
        let user = self.users.get(places.user).ok_or(EIO)?;
        let waiting = match places.user {
            SHARED => {
                let all = self.list.iter();
                u32::try_from(all.filter(|other| other.question.owner == *owner).count())?
            }
            _ => user.share.waiting,
        };
        let now_ms = sys::now() / 1_000_000;
        if (limit.queued != 0 && waiting >= limit.queued)
            || user.bucket.is_full(limit.tokens_per_minute, now_ms)
        {
            return Err(EDQUOT);
        }
        self.clock.enter(&mut user.share);
        if let Some(group) = self.groups.get(places.group) {
            group.share.waiting += 1;
        }
        request.bill.user.store(places.user, Relaxed);
        request.bill.group.store(places.group, Relaxed);
        self.list.push_back(request);
        Ok(())
    }

    /// The same for one of the driver's own, which is nobody's.
    pub(crate) fn push_own(&mut self, request: ListArc<Request>) {
        self.list.push_back(request);
    }

    /// Takes a request out for good. `false` if it is not there any more.
    pub(crate) fn withdraw(&mut self, request: &Arc<Request>) -> bool {
        // SAFETY: A request is in this list or in none.
        let withdrawn = unsafe { self.list.remove(request) }.is_some();
        if withdrawn {
            self.dismiss(request);
        }
        withdrawn
    }

    /// A request that was taken out is not answered.
    pub(crate) fn dismiss(&mut self, request: &Request) {
        let bill = &request.bill;
        if let Some(user) = self.users.get(bill.user.load(Relaxed)) {
            self.clock.withdraw(&mut user.share);
        }
        if let Some(group) = self.groups.get(bill.group.load(Relaxed)) {
            group.share.waiting = group.share.waiting.saturating_sub(1);
        }
    }

    /// Takes out any of those requests for a model that are wanted.
    pub(crate) fn any_of(
        &mut self,
        model: ModelId,
        wanted: impl Fn(&Request) -> bool,
    ) -> Option<Arc<Request>> {
        let mut cursor = self.list.cursor_front();
        while let Some(next) = cursor.peek_next() {
            if next.model.load(Relaxed) == model.number() && wanted(&next) {
                return Some(next.remove().into_arc());
            }
            cursor.move_next();
        }
        None
    }

    /// Whether there is any request for a model.
    pub(crate) fn has(&self, model: ModelId) -> bool {
        let mut requests = self.list.iter();
        requests.any(|request| request.model.load(Relaxed) == model.number())
    }

    /// The place of the request for a model that is next.
    fn place_of_next(&mut self, model: ModelId, seats: Seats) -> Option<usize> {
        let Self {
            list,
            users,
            limits,
            ..
        } = self;
        let candidates = list.iter().map(|request| {
            let asked = request.model.load(Relaxed) == model.number();
            asked.then(|| candidate(users, limits, &request))?
        });
        fair::first(candidates, seats, sys::now())
    }

    /// Whether a request for a model can be taken in.
    pub(crate) fn has_next(&mut self, model: ModelId, seats: Seats) -> bool {
        self.place_of_next(model, seats).is_some()
    }

    /// Takes out the request for a model that is next, unless it is `but`.
    pub(crate) fn next(
        &mut self,
        model: ModelId,
        seats: Seats,
        but: Option<&Arc<Request>>,
    ) -> Option<Arc<Request>> {
        let place = self.place_of_next(model, seats)?;
        let mut cursor = self.list.cursor_front();
        for _ in 0..place {
            cursor.move_next();
        }
        let next = cursor.peek_next()?;
        if but.is_some_and(|but| core::ptr::eq(&*next.arc(), &**but)) {
            return None;
        }
        Some(next.remove().into_arc())
    }

    /// Puts a request that was taken out back. `false` if nobody waits for it any more.
    pub(crate) fn put_back(&mut self, request: &Arc<Request>) -> bool {
        // Who has found it gone before this has cancelled it before that, or its time was up.
        if request.is_over() {
            return false;
        }
        match ListArc::try_from_arc(request.clone()) {
            Ok(request) => {
                self.list.push_back(request);
                true
            }
            Err(_) => false,
        }
    }

    /// Positions of the cache that a request may take, beside what its user has there already.
    pub(crate) fn allowance(&mut self, request: &Request) -> Option<u32> {
        let Question {
            owner, standing, ..
        } = &request.question;
        let most = self.limit(*owner, standing).context;
        let user = self.users.get(request.bill.user.load(Relaxed))?;
        let held = u32::try_from(user.context).unwrap_or(u32::MAX);
        (most != 0).then(|| most.saturating_sub(held))
    }

    /// A request needs so many, more than that. Whether it waits for others of its user; or else it cannot be
    /// answered.
    pub(crate) fn needs(&mut self, request: &Request, positions: u32) -> bool {
        let Question {
            owner, standing, ..
        } = &request.question;
        request.bill.context.store(positions, Relaxed);
        let most = self.limit(*owner, standing).context;
        most == 0 || positions <= most
    }

    /// A request that was taken out is being answered, in a context of so many tokens.
    pub(crate) fn seat(&mut self, request: &Request, positions: u32) {
        let bill = &request.bill;
        bill.context.store(positions, Relaxed);
        if let Some(user) = self.users.get(bill.user.load(Relaxed)) {
            self.clock.seat(&mut user.share);
        }
        if let Some(group) = self.groups.get(bill.group.load(Relaxed)) {
            group.share.waiting = group.share.waiting.saturating_sub(1);
            group.share.seated += 1;
        }
        for account in self.accounts(request) {
            account.context += u64::from(positions);
        }
    }

    /// A request that was being answered has come to its end.
    pub(crate) fn leave(&mut self, request: &Request) {
        let bill = &request.bill;
        if let Some(user) = self.users.get(bill.user.load(Relaxed)) {
            self.clock.leave(&mut user.share, sys::now());
        }
        if let Some(group) = self.groups.get(bill.group.load(Relaxed)) {
            group.share.seated = group.share.seated.saturating_sub(1);
        }
        let positions = bill.context.load(Relaxed);
        for account in self.accounts(request) {
            account.context = account.context.saturating_sub(positions.into());
            account.got.requests += 1;
        }
    }

    /// A request that is being answered got something.
    pub(crate) fn charge(&mut self, request: &Request, got: &Got) {
        for account in self.accounts(request) {
            account.got.add(got);
        }
        let Question {
            owner, standing, ..
        } = &request.question;
        let rate = self.limit(*owner, standing).tokens_per_minute;
        let Some(user) = self.users.get(request.bill.user.load(Relaxed)) else {
            return;
        };
        self.clock
            .charge(&mut user.share, got.time_ns, standing.weight);
        if !standing.privileged {
            let tokens = got.prompt_tokens.saturating_add(got.tokens);
            user.bucket.add(tokens, rate, sys::now() / 1_000_000);
        }
    }

    /// A line for each account that the reader may see.
    fn show(&self, m: &SeqFile, reader: Option<u64>) {
        for user in &self.users.accounts {
            if reader.is_none_or(|reader| reader == user.id) {
                user.show(m, "user");
            }
        }
        if reader.is_none() {
            for group in &self.groups.accounts {
                group.show(m, "cgroup");
            }
        }
    }
}

/// What a request that waits is compared by; `None` if its user holds so much context that it cannot be
/// taken in now.
fn candidate(users: &mut Table, limits: &Limits, request: &Request) -> Option<Candidate> {
    let Question {
        owner, standing, ..
    } = &request.question;
    let bill = &request.bill;
    let user = users.get(bill.user.load(Relaxed));
    let (share, held) = user.map_or((Share::default(), 0), |user| (user.share, user.context));
    if held != 0 && !standing.privileged {
        let wants = u64::from(bill.context.load(Relaxed).max(1));
        let most = u64::from(limits.of(*owner).context);
        if most != 0 && held.saturating_add(wants) > most {
            return None;
        }
    }
    Some(Candidate {
        share,
        arrived_ns: request.arrived_ns,
        weight: standing.weight,
        privileged: standing.privileged,
    })
}

/// Called by procfs for each reading of the file.
///
/// # Safety
///
/// `m` is a seq_file that nobody else uses meanwhile.
#[no_mangle]
unsafe extern "C" fn llamux_usage_show(m: *mut bindings::seq_file, _v: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let (reader, m) = unsafe { (sys::reader(m), SeqFile::from_raw(m)) };
    if let Some(service) = SERVICE.as_ref() {
        service.queue.lock().show(m, reader);
    }
    0
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_users)]
mod tests {
    use super::*;

    /// Accounts of as many as there are places for, the later ones used later.
    fn full() -> Result<Table> {
        let mut table = Table::new()?;
        for id in 0..MAX_ACCOUNTS as u64 {
            assert_eq!(u64::from(table.place(id, 100 + id)), id + 1);
        }
        Ok(table)
    }

    #[test]
    fn who_comes_back_finds_the_account() -> Result {
        let mut table = full()?;
        let place = table.place(7, 1000);
        table.get(place).ok_or(EIO)?.got.tokens = 5;
        assert_eq!(table.place(7, 1001), place);
        assert_eq!(table.get(place).ok_or(EIO)?.got.tokens, 5);
        Ok(())
    }

    #[test]
    fn the_one_that_rests_the_longest_makes_room() -> Result {
        let mut table = full()?;
        table.get(1).ok_or(EIO)?.sessions = 1;
        table.get(2).ok_or(EIO)?.share.waiting = 1;
        table.get(3).ok_or(EIO)?.share.seated = 1;
        table.place(3, 1000);
        table.get(5).ok_or(EIO)?.got.tokens = 5;
        // 0, 1 and 2 have something open, and 3 was used of late.
        assert_eq!(table.place(5000, 1001), 5);
        assert_eq!(table.get(5).ok_or(EIO)?.got, Got::default());
        assert_eq!(table.get(0).ok_or(EIO)?.got.tokens, 5);
        assert_eq!(table.place(4, 1002), 6);
        assert_eq!(table.get(6).ok_or(EIO)?.id, 4);
        Ok(())
    }

    #[test]
    fn where_no_account_can_be_had_all_others_share_one() -> Result {
        let mut table = full()?;
        for place in 1..=MAX_ACCOUNTS as u32 {
            table.get(place).ok_or(EIO)?.sessions = 1;
        }
        assert_eq!(table.place(5000, 1001), 0);
        assert_eq!(table.place(5001, 1001), 0);
        table.get(9).ok_or(EIO)?.sessions = 0;
        assert_eq!(table.place(5001, 1001), 9);
        Ok(())
    }
}
