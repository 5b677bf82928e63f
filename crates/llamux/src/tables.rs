// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the kernel counts and lists, as `Documentation/ABI/testing/procfs-llamux` and `sysfs-kernel-llamux` describe it.
//!
//! All of this takes texts apart and reads no file. What is missing or no number is 0, and what is not known is left
//! out: a later kernel may say more.

use crate::Status;

/// How many of something were shorter than each of some bounds, as in `/proc/llamux/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Bounds in ascending order, each with the number of those below it and not below the one before.
    buckets: Vec<(u64, u64)>,
    /// Those that were longer than all bounds.
    above: u64,
}

/// Between what a part of a [`Histogram`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// At least this.
    pub from: u64,
    /// Less than this; `None` if it is more than the last bound.
    pub below: Option<u64>,
}

impl Histogram {
    /// How many there were.
    pub fn count(&self) -> u64 {
        let below = self.buckets.iter().map(|&(_, count)| count);
        below.fold(self.above, u64::saturating_add)
    }

    /// How many were certainly shorter than `value`.
    pub fn below(&self, value: u64) -> u64 {
        let known = self.buckets.iter().filter(|&&(bound, _)| bound <= value);
        known.fold(0, |sum, &(_, count)| sum.saturating_add(count))
    }

    /// Where the one is that so many thousandths of all are not longer than; `None` if there were none.
    pub fn quantile(&self, thousandths: u32) -> Option<Between> {
        let all = u128::from(self.count());
        if all == 0 {
            return None;
        }
        let wanted = (all * u128::from(thousandths.min(1000)))
            .div_ceil(1000)
            .max(1);
        let (mut seen, mut from) = (0, 0);
        for &(bound, count) in &self.buckets {
            seen += u128::from(count);
            if seen >= wanted {
                let below = Some(bound);
                return Some(Between { from, below });
            }
            from = bound;
        }
        Some(Between { from, below: None })
    }

    /// The bucket of the longest one; `None` if there were none.
    pub fn longest(&self) -> Option<Between> {
        self.quantile(1000)
    }

    /// Those that came since `earlier` was read.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bound| {
            let same = |&&(other, _): &&(u64, u64)| other == bound;
            earlier.buckets.iter().find(same).map_or(0, |&(_, n)| n)
        };
        let rest = |&(bound, count): &(u64, u64)| (bound, count.saturating_sub(before(bound)));
        Self {
            buckets: self.buckets.iter().map(rest).collect(),
            above: self.above.saturating_sub(earlier.above),
        }
    }
}

impl Status {
    /// The histogram of the lines `NAME_below_BOUND_UNIT` and `NAME_above`; `name` is empty in `/proc/llamux/latency`,
    /// and `unit` where there is none. `None` if there is no such line.
    pub fn histogram(&self, name: &str, unit: &str) -> Option<Histogram> {
        let joined = |end: &str| match name {
            "" => end.to_owned(),
            name => format!("{name}_{end}"),
        };
        let (prefix, above) = (joined("below_"), joined("above"));
        let mut buckets: Vec<(u64, u64)> = Vec::new();
        for (key, value) in self.iter() {
            let bound = key.strip_prefix(&prefix).and_then(|rest| match unit {
                "" => Some(rest),
                unit => rest.strip_suffix(unit)?.strip_suffix('_'),
            });
            if let Some(bound) = bound.and_then(|bound| bound.parse().ok()) {
                buckets.push((bound, value.parse().unwrap_or(0)));
            }
        }
        if buckets.is_empty() {
            return None;
        }
        buckets.sort_unstable();
        let above = self.number(&above).unwrap_or(0);
        Some(Histogram { buckets, above })
    }
}

/// Whose a line of `/proc/llamux/usage` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A user, by the effective user id.
    User(u32),
    /// All users without a line of their own.
    OtherUsers,
    /// A control group, by the inode of its directory.
    Cgroup(u64),
    /// All control groups without a line of their own.
    OtherCgroups,
}

/// A line of `/proc/llamux/usage`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Whose it is.
    pub owner: Owner,
    /// Open files of `/dev/llama`.
    pub sessions: u64,
    /// Requests that wait.
    pub queued: u64,
    /// Requests that are being answered.
    pub active: u64,
    /// Tokens of context that these hold.
    pub context: u64,
    /// Requests that have come to their end.
    pub requests: u64,
    /// Tokens of prompts that were computed.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub tokens: u64,
    /// Nanoseconds that were spent on it.
    pub time_ns: u64,
}

impl Usage {
    /// All lines of the file.
    pub fn parse(text: &str) -> Vec<Self> {
        text.lines().filter_map(Self::line).collect()
    }

    fn line(line: &str) -> Option<Self> {
        let fields = Fields(line);
        let owner = match (fields.get("user"), fields.get("cgroup")) {
            (Some("others"), _) => Owner::OtherUsers,
            (Some(user), _) => Owner::User(user.parse().ok()?),
            (None, Some("others")) => Owner::OtherCgroups,
            (None, Some(group)) => Owner::Cgroup(group.parse().ok()?),
            (None, None) => return None,
        };
        Some(Self {
            owner,
            sessions: fields.number("sessions"),
            queued: fields.number("queued"),
            active: fields.number("active"),
            context: fields.number("context"),
            requests: fields.number("requests"),
            prompt_tokens: fields.number("prompt_tokens"),
            tokens: fields.number("tokens"),
            time_ns: fields.number("time_ns"),
        })
    }
}

/// A line of `/proc/llamux/sessions`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenSession {
    /// Its number.
    pub number: u64,
    /// Whose it is.
    pub user: u32,
    /// The process that opened it.
    pub pid: i32,
    /// That process's name then.
    pub comm: String,
    /// "idle", "answering" or "answered".
    pub state: String,
    /// Tokens of the conversation.
    pub tokens: u64,
    /// Bytes of turns that wait for the next answer.
    pub held: u64,
    /// Bytes of the answer that are there to be read.
    pub unread: u64,
    /// Seconds since a program wrote to it or read from it.
    pub idle: u64,
    /// The model that answers it.
    pub model: Option<String>,
}

impl OpenSession {
    /// All lines of the file.
    pub fn parse(text: &str) -> Vec<Self> {
        text.lines().filter_map(Self::line).collect()
    }

    fn line(line: &str) -> Option<Self> {
        let fields = Fields(line);
        Some(Self {
            number: fields.get("session")?.parse().ok()?,
            user: fields.get("user")?.parse().ok()?,
            pid: fields.get("pid")?.parse().ok()?,
            comm: fields.text("comm").unwrap_or_default(),
            state: fields.text("state").unwrap_or_default(),
            tokens: fields.number("tokens"),
            held: fields.number("held"),
            unread: fields.number("unread"),
            idle: fields.number("idle"),
            model: fields.text("model"),
        })
    }
}

/// A line of `/sys/kernel/llamux/models`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedModel {
    /// Its name.
    pub name: String,
    /// "loading", "ready", "unloading" or "failed".
    pub state: String,
    /// Whether it answers those who name none.
    pub default: bool,
    /// Bytes of memory that it takes.
    pub bytes: u64,
    /// Bytes of its files that have been read.
    pub read: u64,
    /// Bytes that its files have.
    pub of: u64,
    /// Why it failed.
    pub reason: Option<String>,
}

impl ListedModel {
    /// All lines of the file that have a name.
    pub fn parse(text: &str) -> Vec<Self> {
        text.lines().filter_map(Self::line).collect()
    }

    fn line(line: &str) -> Option<Self> {
        // The reason is the last field, and has blanks.
        let (fields, reason) = match line.split_once(" reason=") {
            Some((fields, reason)) => (fields, Some(reason.to_owned())),
            None => (line, None),
        };
        let fields = Fields(fields);
        Some(Self {
            name: fields.text("name").filter(|name| !name.is_empty())?,
            state: fields.text("state").unwrap_or_default(),
            default: fields.get("default") == Some("yes"),
            bytes: fields.number("bytes"),
            read: fields.number("read"),
            of: fields.number("of"),
            reason,
        })
    }
}

/// What a user may have; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Whose they are; `None` is the default.
    pub user: Option<u32>,
    /// Open files of `/dev/llama`.
    pub sessions: u64,
    /// Requests that wait.
    pub queued: u64,
    /// Tokens in a minute.
    pub tokens_per_minute: u64,
    /// Tokens of context that requests being answered hold together.
    pub context: u64,
}

impl Limits {
    /// The names of all limits, in the order of the fields.
    pub const NAMES: [&'static str; 4] = ["sessions", "queued", "tokens_per_minute", "context"];

    /// All lines of `/sys/kernel/llamux/limits`.
    pub fn parse(text: &str) -> Vec<Self> {
        text.lines().filter_map(Self::line).collect()
    }

    fn line(line: &str) -> Option<Self> {
        let fields = Fields(line);
        let user = match fields.get("user") {
            Some(user) => Some(user.parse().ok()?),
            None if line.starts_with("default ") => None,
            None => return None,
        };
        Some(Self {
            user,
            sessions: fields.number("sessions"),
            queued: fields.number("queued"),
            tokens_per_minute: fields.number("tokens_per_minute"),
            context: fields.number("context"),
        })
    }
}

/// A line of fields `KEY=VALUE` with blanks between them.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let mut fields = self.0.split(' ').filter_map(|field| field.split_once('='));
        fields
            .find(|&(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// 0 if there is no such number.
    fn number(&self, key: &str) -> u64 {
        let value = self.get(key).and_then(|value| value.parse().ok());
        value.unwrap_or(0)
    }

    /// A value whose blanks, backslashes and unprintable bytes are three octal digits after a backslash.
    fn text(&self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        let mut bytes = Vec::with_capacity(value.len());
        let mut rest = value.as_bytes();
        while let Some((&first, behind)) = rest.split_first() {
            let code = behind.get(..3).filter(|_| first == b'\\');
            let code = code.and_then(|digits| core::str::from_utf8(digits).ok());
            match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
                Some(byte) => {
                    bytes.push(byte);
                    rest = behind.get(3..).unwrap_or_default();
                }
                None => {
                    bytes.push(first);
                    rest = behind;
                }
            }
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "\
requests_end: 5
queue_below_1_ms: 90
queue_below_2_ms: 0
queue_below_4_ms: 9
queue_above: 1
tokens_per_second_below_64: 1
tokens_per_second_above: 0
";

    #[test]
    fn histogram_is_found_by_its_name_and_unit() {
        let stats = Status::parse(STATS);
        let queue = stats.histogram("queue", "ms").unwrap();
        assert_eq!(queue.count(), 100);
        assert_eq!(stats.histogram("tokens_per_second", "").unwrap().count(), 1);
        assert_eq!(stats.histogram("queue", "us"), None);
        assert_eq!(stats.histogram("fpu_section", "us"), None);
        let latency = Status::parse("sections: 3\nbelow_1_us: 2\nbelow_2_us: 1\nabove: 0\n");
        assert_eq!(latency.histogram("", "us").unwrap().count(), 3);
    }

    #[test]
    fn quantiles_are_between_bounds() {
        let queue = Status::parse(STATS).histogram("queue", "ms").unwrap();
        let between = |from, below| Some(Between { from, below });
        for (thousandths, expected) in [
            (0, between(0, Some(1))),
            (500, between(0, Some(1))),
            (900, between(0, Some(1))),
            (901, between(2, Some(4))),
            (990, between(2, Some(4))),
            (991, between(4, None)),
            (1000, between(4, None)),
            (5000, between(4, None)),
        ] {
            assert_eq!(queue.quantile(thousandths), expected, "{thousandths}");
        }
        assert_eq!(queue.longest(), between(4, None));
        assert_eq!(Histogram::default().quantile(500), None);
        // Of those between 2 and 4, nobody knows whether they were below 3.
        assert_eq!((queue.below(3), queue.below(4)), (90, 99));
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let earlier = Status::parse("queue_below_1_ms: 40\nqueue_above: 2\n");
        let earlier = earlier.histogram("queue", "ms").unwrap();
        let later = Status::parse(STATS).histogram("queue", "ms").unwrap();
        let since = later.since(&earlier);
        assert_eq!((since.count(), since.below(1)), (59, 50));
        assert_eq!(later.since(&later).count(), 0);
    }

    #[test]
    fn usage_has_users_groups_and_others() {
        let text = "\
user=1000 sessions=2 queued=0 active=1 context=560 requests=9 prompt_tokens=402 tokens=1204 time_ns=26003918440
user=others sessions=0 queued=0 active=0 context=0 requests=1 prompt_tokens=1 tokens=1 time_ns=1 new=7
cgroup=1 sessions=2 tokens=x
cgroup=others
user=-1 sessions=2
nonsense
";
        let usage = Usage::parse(text);
        let owners: Vec<_> = usage.iter().map(|line| line.owner).collect();
        let expected = [
            Owner::User(1000),
            Owner::OtherUsers,
            Owner::Cgroup(1),
            Owner::OtherCgroups,
        ];
        assert_eq!(owners, expected);
        assert_eq!((usage[0].tokens, usage[0].time_ns), (1204, 26_003_918_440));
        assert_eq!((usage[2].sessions, usage[2].tokens), (2, 0));
    }

    #[test]
    fn names_come_back_as_they_were() {
        let text = "\
session=7 user=1000 pid=1034 comm=my\\040prog\\134 state=answering tokens=121 held=0 unread=14 idle=0 model=a
session=8 user=0 pid=1 comm=\\377\\1 state=idle tokens=0 held=0 unread=0 idle=3
session=x user=0 pid=1
";
        let sessions = OpenSession::parse(text);
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions[0].comm, "my prog\\");
        assert_eq!(sessions[0].model.as_deref(), Some("a"));
        assert_eq!(sessions[1].comm, "\u{fffd}\\1");
        assert_eq!((sessions[1].model.as_deref(), sessions[1].idle), (None, 3));
    }

    #[test]
    fn reason_of_a_model_goes_to_the_end_of_its_line() {
        let text = "\
name=smollm2-135m state=ready default=yes bytes=226947072 read=98362432 of=98362432 read_us=24310 weights=read
name=b state=failed default=no bytes=0 read=7 of=7 read_us=9 weights=read reason=b.gguf: name=x state=ready
name= state=ready
garbage

";
        let models = ListedModel::parse(text);
        assert_eq!(models.len(), 2);
        assert!(models[0].default && models[0].reason.is_none());
        assert_eq!(models[0].bytes, 226_947_072);
        assert_eq!(models[1].name, "b");
        assert_eq!(models[1].state, "failed");
        assert_eq!(
            models[1].reason.as_deref(),
            Some("b.gguf: name=x state=ready")
        );
    }

    #[test]
    fn limits_are_the_defaults_or_a_users() {
        let text = "\
default sessions=64 queued=16 tokens_per_minute=0 context=0
user=1000 sessions=64 queued=4 tokens_per_minute=6000 context=0
other sessions=1
";
        let limits = Limits::parse(text);
        assert_eq!(limits.len(), 2);
        assert_eq!((limits[0].user, limits[0].sessions), (None, 64));
        assert_eq!(
            (limits[1].user, limits[1].tokens_per_minute),
            (Some(1000), 6000)
        );
    }
}
