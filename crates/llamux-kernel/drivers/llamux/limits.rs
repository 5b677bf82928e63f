// SPDX-License-Identifier: GPL-2.0-only

//! How much a user may have: the file `/sys/kernel/llamux/limits`, described in
//! Documentation/ABI/testing/sysfs-kernel-llamux.

use core::fmt::Write as _;

use kernel::prelude::*;

use crate::models::Page;
use crate::status::Shown;
use crate::SERVICE;

/// Most users who have limits of their own: so many lines are in one page.
const MAX_EXCEPTIONS: usize = 32;

/// What there are limits of, in the order in which they are shown.
const NAMES: [&str; 4] = ["sessions", "queued", "tokens_per_minute", "context"];

/// The limits of a user; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Open files of the device.
    pub(crate) sessions: u32,
    /// Requests that wait.
    pub(crate) queued: u32,
    /// Tokens of prompts that are computed, and tokens that are written.
    pub(crate) tokens_per_minute: u32,
    /// Tokens of context that requests being answered hold.
    pub(crate) context: u32,
}

impl Limit {
    /// No limits.
    pub(crate) const NONE: Self = Self {
        sessions: 0,
        queued: 0,
        tokens_per_minute: 0,
        context: 0,
    };

    fn values(&self) -> [u32; NAMES.len()] {
        [
            self.sessions,
            self.queued,
            self.tokens_per_minute,
            self.context,
        ]
    }

    /// These, but for the values that are given.
    fn with(&self, values: &Values) -> Self {
        let mut own = self.values();
        for (own, value) in own.iter_mut().zip(values) {
            *own = value.unwrap_or(*own);
        }
        let [sessions, queued, tokens_per_minute, context] = own;
        Self {
            sessions,
            queued,
            tokens_per_minute,
            context,
        }
    }
}

/// Some limits, by the places of their names.
type Values = [Option<u32>; NAMES.len()];

/// A user's own limits.
struct Exception {
    user: u32,
    values: Values,
}

/// All limits.
pub(crate) struct Limits {
    default: Limit,
    /// Its capacity is fixed.
    exceptions: KVec<Exception>,
}

impl Limits {
    /// Those that hold if nobody has changed them.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            default: Limit {
                sessions: 64,
                queued: 16,
                ..Limit::NONE
            },
            exceptions: KVec::with_capacity(MAX_EXCEPTIONS, GFP_KERNEL)?,
        })
    }

    /// A user's.
    pub(crate) fn of(&self, owner: u64) -> Limit {
        let mut exceptions = self.exceptions.iter();
        match exceptions.find(|exception| u64::from(exception.user) == owner) {
            Some(exception) => self.default.with(&exception.values),
            None => self.default,
        }
    }

    fn change(&mut self, line: &Line) -> Result {
        let Some(user) = line.user else {
            self.default = self.default.with(&line.values);
            return Ok(());
        };
        let mut exceptions = self.exceptions.iter();
        let place = exceptions.position(|exception| exception.user == user);
        if line.remove {
            let removed = self.exceptions.remove(place.ok_or(ENOENT)?);
            return removed.map(|_| ()).map_err(|_| ENOENT);
        }
        match place.and_then(|place| self.exceptions.get_mut(place)) {
            Some(exception) => {
                for (own, value) in exception.values.iter_mut().zip(line.values) {
                    *own = value.or(*own);
                }
                Ok(())
            }
            None => {
                let values = line.values;
                let exception = Exception { user, values };
                self.exceptions
                    .push_within_capacity(exception)
                    .map_err(|_| ENOSPC)
            }
        }
    }

    fn show(&self, page: &mut Page<'_>) -> core::fmt::Result {
        write!(page, "default")?;
        show_values(page, &self.default)?;
        for Exception { user, values } in &self.exceptions {
            write!(page, "user={user}")?;
            show_values(page, &self.default.with(values))?;
        }
        Ok(())
    }
}

/// The rest of a line.
fn show_values(page: &mut Page<'_>, limit: &Limit) -> core::fmt::Result {
    for (name, value) in NAMES.iter().zip(limit.values()) {
        write!(page, " {name}={value}")?;
    }
    page.write_char('\n')
}

/// What was written to the file.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// Whose limits; `None` for those of all others.
    user: Option<u32>,
    values: Values,
    /// Whether the user has the same as all others from now on.
    remove: bool,
}

impl Line {
    /// Reads the line; on error, says which word is wrong and why.
    fn parse(text: &[u8]) -> Result<Self, (&str, &'static str)> {
        let text = core::str::from_utf8(text).map_err(|_| ("the line", "not UTF-8"))?;
        let mut words = text.split_ascii_whitespace();
        let whose = words.next().ok_or(("the line", "empty"))?;
        let user = match whose.strip_prefix("user=") {
            // The last one is no user's.
            Some(number) => match number.parse() {
                Ok(user) if user != u32::MAX => Some(user),
                _ => return Err((whose, "not a user's number")),
            },
            None if whose == "default" => None,
            None => return Err((whose, "neither \"default\" nor \"user=\"")),
        };
        let mut line = Self {
            user,
            values: [None; NAMES.len()],
            remove: false,
        };
        let mut any = false;
        for word in words {
            if line.remove || (any && word == "default") {
                return Err((word, "not together with others"));
            }
            any = true;
            if word == "default" && user.is_some() {
                line.remove = true;
                continue;
            }
            let (name, value) = word.split_once('=').ok_or((word, "not NAME=NUMBER"))?;
            let place = NAMES.iter().position(|known| *known == name);
            let place = place.and_then(|place| line.values.get_mut(place));
            let place = place.ok_or((word, "not a limit"))?;
            if place.is_some() {
                return Err((word, "there twice"));
            }
            *place = Some(value.parse().map_err(|_| (word, "not a number"))?);
        }
        if !any {
            return Err((whose, "no limit follows"));
        }
        Ok(line)
    }
}

fn store(text: &[u8]) -> Result {
    let service = SERVICE.as_ref().ok_or(ENODEV)?;
    let line = Line::parse(text).map_err(|(word, why)| {
        pr_err!("limits: {}: {why}\n", Shown(&word.escape_debug()));
        EINVAL
    })?;
    let changed = service.queue.lock().limits.change(&line);
    // Who waits for others of the same user may wait no more.
    service.changed();
    changed
}

/// Called by sysfs when the file is written to.
///
/// # Safety
///
/// `text` has `len` bytes.
#[no_mangle]
unsafe extern "C" fn llamux_limits_store(text: *const u8, len: usize) -> i32 {
    // SAFETY: By the requirements of this function.
    let text = unsafe { core::slice::from_raw_parts(text, len) };
    match store(text) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Called by sysfs when the file is read. Returns how much was written to the page.
///
/// # Safety
///
/// `page` has `size` bytes for us to write.
#[no_mangle]
unsafe extern "C" fn llamux_limits_show(page: *mut u8, size: usize) -> usize {
    // SAFETY: By the requirements of this function.
    let bytes = unsafe { core::slice::from_raw_parts_mut(page, size) };
    let mut page = Page::new(bytes);
    if let Some(service) = SERVICE.as_ref() {
        // It fits: the lines are few, and none is longer than 110 bytes.
        let _ = service.queue.lock().limits.show(&mut page);
    }
    page.len()
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_limits)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Line> {
        Line::parse(text.as_bytes()).ok()
    }

    /// The word that is wrong.
    fn wrong(text: &[u8]) -> Option<&str> {
        Line::parse(text).err().map(|(word, _)| word)
    }

    fn changed(lines: &[&str]) -> Result<Limits> {
        let mut limits = Limits::new()?;
        for line in lines {
            limits.change(&parsed(line).ok_or(EINVAL)?)?;
        }
        Ok(limits)
    }

    #[test]
    fn a_line_is_read() {
        let line = parsed("default queued=3 sessions=0\n");
        let values = [Some(0), Some(3), None, None];
        let expected = |user, values, remove| {
            Some(Line {
                user,
                values,
                remove,
            })
        };
        assert_eq!(line, expected(None, values, false));
        let line = parsed("user=1000 tokens_per_minute=600 context=4294967295");
        let values = [None, None, Some(600), Some(u32::MAX)];
        assert_eq!(line, expected(Some(1000), values, false));
        let line = parsed(" user=0  default ");
        assert_eq!(line, expected(Some(0), [None; 4], true));
    }

    #[test]
    fn each_wrong_word_is_named() {
        assert_eq!(wrong(b""), Some("the line"));
        assert_eq!(wrong(b"\xff"), Some("the line"));
        assert_eq!(wrong(b"all queued=1"), Some("all"));
        assert_eq!(wrong(b"default"), Some("default"));
        assert_eq!(wrong(b"user=1000"), Some("user=1000"));
        assert_eq!(wrong(b"user= queued=1"), Some("user="));
        assert_eq!(wrong(b"user=-1 queued=1"), Some("user=-1"));
        assert_eq!(wrong(b"user=4294967295 queued=1"), Some("user=4294967295"));
        assert_eq!(wrong(b"user=me queued=1"), Some("user=me"));
        assert_eq!(wrong(b"default queued"), Some("queued"));
        assert_eq!(wrong(b"default queue=1"), Some("queue=1"));
        assert_eq!(wrong(b"default queued=-1"), Some("queued=-1"));
        assert_eq!(wrong(b"default queued="), Some("queued="));
        assert_eq!(
            wrong(b"default queued=4294967296"),
            Some("queued=4294967296")
        );
        assert_eq!(wrong(b"default queued=1 queued=1"), Some("queued=1"));
        assert_eq!(wrong(b"default default"), Some("default"));
        assert_eq!(wrong(b"user=1 default queued=2"), Some("queued=2"));
        assert_eq!(wrong(b"user=1 queued=2 default"), Some("default"));
        assert_eq!(wrong(b"default queued=1\ndefault"), Some("default"));
    }

    #[test]
    fn exceptions_keep_the_rest_of_the_default() -> Result {
        let limits = changed(&["user=7 queued=2", "default sessions=5", "user=7 context=9"])?;
        let default = Limit {
            sessions: 5,
            queued: 16,
            tokens_per_minute: 0,
            context: 0,
        };
        assert_eq!(limits.of(8), default);
        let own = Limit {
            queued: 2,
            context: 9,
            ..default
        };
        assert_eq!(limits.of(7), own);
        let limits = changed(&["user=7 queued=2", "user=7 default"])?;
        assert_eq!(limits.of(7).queued, 16);
        Ok(())
    }

    #[test]
    fn exceptions_are_few() -> Result {
        let mut limits = Limits::new()?;
        let mut line = parsed("user=1 queued=1").ok_or(EINVAL)?;
        for user in 0..MAX_EXCEPTIONS {
            line.user = Some(u32::try_from(user)?);
            limits.change(&line)?;
        }
        line.user = Some(u32::MAX - 1);
        assert_eq!(limits.change(&line), Err(ENOSPC));
        line.remove = true;
        assert_eq!(limits.change(&line), Err(ENOENT));
        let mut bytes = KVec::zeroed(4096, GFP_KERNEL)?;
        let mut page = Page::new(&mut bytes);
        assert!(limits.show(&mut page).is_ok());
        Ok(())
    }
}
