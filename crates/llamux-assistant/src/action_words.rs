// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the words of a request say about what is to be done.

/// What can be asked for. An action is one of these with whom or what it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`Kind::TABLE` says what they are")]
pub enum Kind {
    End,
    Kill,
    Pause,
    Resume,
    Lower,
    Raise,
    Io,
    Memory,
    Cpu,
    Start,
    Stop,
    Restart,
    Enable,
    Disable,
    Saver,
    Balanced,
    Performance,
    Sysctl,
    Clean,
    Profile,
    ProfileOff,
}

impl Kind {
    /// All of them: the word that the model says for it, and what it is.
    pub const TABLE: [(Self, &'static str, &'static str); 21] = [
        (Self::End, "end", "end a program or process"),
        (Self::Kill, "kill", "end it by force, at once"),
        (
            Self::Pause,
            "pause",
            "stop a program for a while, to go on later",
        ),
        (Self::Resume, "resume", "let a paused program go on"),
        (
            Self::Lower,
            "lower",
            "give a program less processor priority",
        ),
        (
            Self::Raise,
            "raise",
            "give a program more processor priority",
        ),
        (Self::Io, "disk", "let others use the disk before a program"),
        (
            Self::Memory,
            "memory",
            "limit how much memory a program has",
        ),
        (
            Self::Cpu,
            "cpu",
            "limit how much processor time a program has",
        ),
        (Self::Start, "start", "start a service"),
        (Self::Stop, "stop", "stop a service"),
        (Self::Restart, "restart", "restart a service"),
        (Self::Enable, "enable", "start a service at every boot"),
        (
            Self::Disable,
            "disable",
            "no longer start a service at boot",
        ),
        (Self::Saver, "saver", "save power"),
        (Self::Balanced, "balanced", "the usual power profile"),
        (Self::Performance, "performance", "most speed"),
        (
            Self::Sysctl,
            "swap",
            "set how readily the kernel swaps, or another parameter",
        ),
        (Self::Clean, "clean", "delete caches or old logs"),
        (
            Self::Profile,
            "profile",
            "prepare the machine for games, coding or battery life",
        ),
        (Self::ProfileOff, "normal", "end such a profile"),
    ];

    /// The word that the model says for it.
    pub fn word(self) -> &'static str {
        let entry = Self::TABLE.iter().find(|entry| entry.0 == self);
        entry.map_or("", |entry| entry.1)
    }

    /// Whether it is done to units, or to processes; `None` where it is done to neither.
    pub(crate) fn of_units(self) -> Option<bool> {
        match self {
            Self::End
            | Self::Kill
            | Self::Pause
            | Self::Resume
            | Self::Lower
            | Self::Raise
            | Self::Io
            | Self::Memory
            | Self::Cpu => Some(false),
            Self::Start | Self::Stop | Self::Restart | Self::Enable | Self::Disable => Some(true),
            _ => None,
        }
    }
}

/// A request in words.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// In lower case, without marks around them.
    pub(crate) words: Vec<String>,
    /// All of them with blanks around each.
    text: String,
}

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    Bytes(u64),
    Percent(f64),
    Cores(f64),
    Plain(i64),
}

impl Said {
    pub(crate) fn new(request: &str) -> Self {
        let kept = |c: char| c.is_alphanumeric() || "-_.@/+%".contains(c);
        let mut words = vec![];
        // Apostrophes of both kinds.
        let request = request
            .to_lowercase()
            .replace(['\u{2019}', '`', '\u{b4}'], "'");
        for word in request.split(|c: char| !kept(c) && c != '\'') {
            let word = word.trim_matches(|c| ".'/".contains(c) && c != '/' || c == '\'');
            let word = word
                .strip_suffix("'s")
                .unwrap_or(word)
                .trim_end_matches('.');
            // "don't" is one word, and so is "what's" above.
            let word = word.replace('\'', "");
            if word.contains(char::is_alphanumeric) || word == "%" {
                words.push(word);
            }
        }
        together(&mut words);
        let mut text = format!(" {} ", words.join(" "));
        for (said, plain) in PLAINLY {
            text = text.replace(&format!(" {said} "), &format!(" {plain} "));
        }
        let words = text.split_ascii_whitespace().map(str::to_owned).collect();
        Self { words, text }
    }

    /// Whether it has one of these phrases, which are parted by commas.
    pub(crate) fn has(&self, phrases: &str) -> bool {
        phrases
            .split(',')
            .any(|phrase| self.text.contains(&format!(" {} ", phrase.trim())))
    }

    /// Whether it says what not to do, or makes an exception: that is left to people.
    pub(crate) fn negated(&self) -> bool {
        !self.not_at_boot() && self.has(
            "dont, do not, never, not, without, except, unless, besides, other than, apart from, \
             no longer kill, avoid, instead of, rather than, cannot, cant, shouldnt, mustnt, wont, \
             anything but, everything but, all but, alone",
        )
    }

    /// Whether it is about what happens at each boot.
    fn at_boot(&self) -> bool {
        self.has(
            "at boot, on boot, at startup, on startup, at every boot, at each boot, every boot, at login, automatically, \
             autostart, auto-start, when the system boots, when i boot, after a reboot, at boot time, with the system, \
             with the machine, with the computer, when the machine starts, when the computer starts, when the system starts, \
             when i turn it on, by itself",
        )
    }

    /// Whether it says that something should not start at boot, which is something to do.
    fn not_at_boot(&self) -> bool {
        self.at_boot()
            && self.has("dont, do not, not, never, shouldnt, mustnt, no longer, wont")
            && self.has("start, starts, starting, started, come up, comes up, coming up, run, runs, launch, launched")
            && !self.has("except, unless, besides, enable, disable, stop, kill, restart, other than")
    }

    /// The numbers that it has, with the places of the words that they are in.
    pub(crate) fn amounts(&self) -> Vec<(Amount, std::ops::Range<usize>)> {
        let mut out = vec![];
        let mut at = 0;
        while let Some(word) = self.words.get(at) {
            let digits = word
                .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
                .unwrap_or(word.len());
            let (number, unit) = word.split_at(digits);
            let negative = number.starts_with('-') && digits > 1;
            let Some(value) = number.parse::<f64>().ok().filter(|value| value.is_finite()) else {
                at += 1;
                continue;
            };
            let next = self.words.get(at + 1).map(String::as_str);
            let (unit, used) = match (unit, next) {
                ("", Some(next)) if unit_of(next).is_some() => (next, 2),
                (unit, _) => (unit, 1),
            };
            let amount = match unit_of(unit) {
                Some(Measure::Bytes(shift)) => {
                    // CAST: A size that a person says is far below 2^53.
                    let bytes = value * (1u64 << shift) as f64;
                    (bytes >= 0.0).then_some(Amount::Bytes(bytes as u64))
                }
                Some(Measure::Percent) => Some(Amount::Percent(value)),
                Some(Measure::Cores) => Some(Amount::Cores(value)),
                None if unit.is_empty() && (negative || value >= 0.0) && value.fract() == 0.0 => {
                    // CAST: Of few digits, or saturated.
                    Some(Amount::Plain(value as i64))
                }
                None => None,
            };
            if let Some(amount) = amount {
                out.push((amount, at..at + used));
            }
            at += used;
        }
        out
    }

    /// What its words ask for; nothing where they do not say.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let has = |phrases| self.has(phrases);
        let mut kinds = vec![];
        let memory = has("memory, ram, mem") || self.measures(|a| matches!(a, Amount::Bytes(_)));
        let cpu = has("cpu, processor, cpus, processors, core, cores, cpu time")
            || self.measures(|a| matches!(a, Amount::Percent(_) | Amount::Cores(_)));
        let disk = has("io, i/o, disk, disks, ssd, drive, hdd, io priority");
        let at_boot = self.at_boot();

        if has("profile off, mode off, back to normal, leave gaming mode, leave coding mode")
            || has("off, end, stop, leave, exit, undo, disable, quit, no more, no longer, enough")
                && has("profile, gaming mode, game mode, coding mode, battery mode, gaming profile")
        {
            return vec![Kind::ProfileOff];
        }
        let purpose = self.purpose().is_some();
        let prepares = has(
            "optimize, optimise, tune, prepare, ready, set up, setup, configure, adjust, mode, profile, \
             switch to, apply",
        );
        // One of the user's own may be called anything.
        let named = has("profile") && has("apply, use, switch to, activate, turn on");
        if (purpose && prepares || named) && !has("power profile, power mode, performance mode") {
            return vec![Kind::Profile];
        }
        if has("swappiness, swap less, swap more, swap less readily, less swapping, stop swapping")
            || self
                .words
                .iter()
                .any(|word| crate::action::sysctl(word).is_some())
        {
            kinds.push(Kind::Sysctl);
        }
        let caches = has(
            "cache, caches, thumbnails, thumbnail, journal, logs, log, packages, coredumps, core dumps, \
             coredump, core, crash dumps, disk space, space, archives, junk, room, pip",
        );
        if caches
            && has(
                "clean, clear, empty, purge, vacuum, delete, remove, free, free up, trim, wipe, prune, \
                 shrink, clean up, cleanup, flush, rid, make",
            )
        {
            kinds.push(Kind::Clean);
        }
        if has("power saver, power-saver, powersaver, power saving, power-saving, save power, save battery, saving power, \
                battery saver, low power, low-power, less power, save energy, energy saving, powersave, \
                saving battery, eco mode")
        {
            kinds.push(Kind::Saver);
        }
        if has("balanced, normal power") {
            kinds.push(Kind::Balanced);
        }
        if has("performance mode, performance profile, full speed, maximum performance, max performance, high performance, \
                full performance, performance power, full power, best performance, to performance, performance governor")
        {
            kinds.push(Kind::Performance);
        }
        let force = has("force, forcibly, forcefully, sigkill, -9, kill -9, hard, by force, violently, force-kill, force-quit");
        if has("kill, terminate, quit, close, end, exit, shut down, shut, nuke, rid, sigterm, sigkill, force-kill, force-quit, \
                murder, axe, slay, ditch, off with")
        {
            kinds.push(if force { Kind::Kill } else { Kind::End });
        }
        let limits = has(
            "limit, cap, restrict, throttle, at most, no more than, max, maximum, confine, constrain, bound, \
             ceiling, quota, only get, only use, capped, limited",
        );
        if limits && memory {
            kinds.push(Kind::Memory);
        }
        if limits && cpu {
            kinds.push(Kind::Cpu);
        }
        if limits && !memory && !cpu {
            kinds.extend([Kind::Memory, Kind::Cpu]);
        }
        if has("pause, suspend, freeze, halt, sigstop, on hold, to sleep") {
            kinds.push(Kind::Pause);
        }
        if has("resume, continue, unpause, unfreeze, thaw, sigcont, unsuspend, go on, carry on") {
            kinds.push(Kind::Resume);
        }
        let raise = has("raise, raise the, boost, prioritize, prioritise, higher, increase, up, more priority, faster, bump, first");
        let priority = has("priority, nice, renice, niceness, prioritize, prioritise, deprioritize, deprioritise, precedence");
        if priority
            || has("boost, slow down, background, calm, less cpu, more cpu, less aggressive, nicer")
                && !limits
        {
            kinds.push(
                match (
                    disk,
                    raise && !has("deprioritize, deprioritise, lower, low, less, reduce, decrease"),
                ) {
                    (true, _) => Kind::Io,
                    (false, true) => Kind::Raise,
                    (false, false) => Kind::Lower,
                },
            );
        }
        if has("restart, bounce, reboot, reload, start again, turn off and on")
            && !has("restart at boot")
        {
            kinds.push(Kind::Restart);
        }
        if self.not_at_boot() {
            return vec![Kind::Disable];
        }
        if has("enable")
            || at_boot
                && has("start, starts, run, runs, launch, autostart, bring up, come up, turn on")
        {
            kinds.push(Kind::Enable);
        } else if has("start, bring up, turn on, switch on, fire up, spin up")
            && !kinds.contains(&Kind::Restart)
        {
            kinds.push(Kind::Start);
        }
        if has("disable") || at_boot && has("stop, stops, remove") {
            kinds.push(Kind::Disable);
        } else if has("stop, turn off, switch off, shut down, take down, bring down, stopping") {
            if has("stop, shut down, turn off, stopping")
                && !kinds.contains(&Kind::End)
                && !kinds.contains(&Kind::Kill)
            {
                kinds.push(if force { Kind::Kill } else { Kind::End });
            }
            kinds.push(Kind::Stop);
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn measures(&self, is: impl Fn(&Amount) -> bool) -> bool {
        self.amounts().iter().any(|(amount, _)| is(amount))
    }

    /// The profile that it speaks of.
    pub(crate) fn purpose(&self) -> Option<&'static str> {
        let purposes = [
            ("gaming", "gaming, games, game, play, playing, gamer, steam"),
            (
                "coding",
                "coding, code, programming, development, developing, compiling, compile, compiler, builds, \
                 software development, work on code",
            ),
            (
                "battery",
                "battery, battery life, travel, travelling, traveling, flight, train ride, on the road, unplugged",
            ),
        ];
        let mut found = purposes.iter().filter(|(_, phrases)| self.has(phrases));
        match (found.next(), found.next()) {
            (Some((name, _)), None) => Some(name),
            _ => None,
        }
    }

    /// Whether it is about who uses much of something, and of what.
    pub(crate) fn evidence(&self) -> Option<Resource> {
        if !self.has(
            "eating, eats, eat, hog, hogging, hogs, using, uses, use, consuming, consumes, taking, takes, most, \
             biggest, largest, heaviest, top, wasting, burning, burns, greedy, hungry, hungriest, filling, \
             slowing, thrashing, pegging, leaking, leaks, memory hog, cpu hog, using up",
        ) {
            return None;
        }
        if self.has("memory, ram, mem, memory-hungry, swap") {
            Some(Resource::Memory)
        } else if self.has("cpu, processor, processors, cpus, cores, core, cpu time") {
            Some(Resource::Cpu)
        } else if self.has("disk, io, i/o, ssd, drive") {
            Some(Resource::Disk)
        } else {
            None
        }
    }

    /// How much more than which each one must have, in "more than 1 GB".
    pub(crate) fn threshold(&self) -> Option<Amount> {
        let over = ["over", "than", "above", "least", "exceeding"];
        self.amounts().into_iter().find_map(|(amount, range)| {
            let before = range
                .start
                .checked_sub(1)
                .and_then(|at| self.words.get(at))?;
            let measured = !matches!(amount, Amount::Plain(_));
            (measured && over.contains(&before.as_str()) && !self.has("no more than"))
                .then_some(amount)
        })
    }

    /// The words that can be names: all that have no other sense here.
    pub(crate) fn names(&self) -> Vec<&str> {
        let amounts = self.amounts();
        let in_amount = |at: &usize| {
            amounts
                .iter()
                .any(|(amount, range)| range.contains(at) && !matches!(amount, Amount::Plain(_)))
        };
        let words = self.words.iter().enumerate();
        let names: Vec<&str> = words
            .filter(|(at, word)| {
                !in_amount(at)
                    && !FILLERS
                        .split_whitespace()
                        .any(|filler| filler == word.as_str())
                    && word.parse::<f64>().is_err()
            })
            .map(|(_, word)| word.as_str())
            .collect();
        if !names.is_empty() || self.evidence().is_some() {
            return names;
        }
        // Programs whose names are such words, where nothing else is named.
        let programs = ["sleep", "make", "watch", "top", "time"];
        let words = self.words.iter().skip(1).map(String::as_str);
        words
            .filter(|word| programs.contains(word))
            .take(1)
            .collect()
    }
}

/// What somebody may use much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Memory,
    Cpu,
    Disk,
}

enum Measure {
    Bytes(u32),
    Percent,
    Cores,
}

fn unit_of(word: &str) -> Option<Measure> {
    Some(match word {
        "k" | "kb" | "kib" => Measure::Bytes(10),
        "m" | "mb" | "mib" | "meg" | "megs" | "megabyte" | "megabytes" => Measure::Bytes(20),
        "g" | "gb" | "gib" | "gig" | "gigs" | "gigabyte" | "gigabytes" => Measure::Bytes(30),
        "%" | "percent" | "pct" => Measure::Percent,
        "core" | "cores" | "cpus" | "processors" => Measure::Cores,
        _ => return None,
    })
}

/// What people say, and how it is said plainly. None of it is a name.
const PLAINLY: &[(&str, &str)] = &[
    ("half a gig", "512 mb"),
    ("half a gigabyte", "512 mb"),
    ("half a gb", "512 mb"),
    ("a gig of", "1 gb of"),
    ("a gigabyte of", "1 gb of"),
    ("one gig", "1 gb"),
    ("one gigabyte", "1 gb"),
    ("two gigs", "2 gb"),
    ("two gigabytes", "2 gb"),
    ("not use more than", "limited to"),
    ("not take more than", "limited to"),
    ("not have more than", "limited to"),
    ("not get more than", "limited to"),
    ("not eat more than", "limited to"),
    ("not more than", "at most"),
    ("never use more than", "limited to"),
    ("not exceed", "limited to"),
    ("not more", "at most"),
    ("use no more than", "limited to"),
];

/// Brings together what stands apart: "turn it on" is "turn on it".
fn together(words: &mut Vec<String>) {
    const BETWEEN: usize = 4;
    for at in 0..words.len() {
        if !matches!(words[at].as_str(), "turn" | "switch" | "shut") {
            continue;
        }
        let behind = words.iter().skip(at + 2).take(BETWEEN);
        let particle = behind
            .into_iter()
            .position(|word| matches!(word.as_str(), "on" | "off" | "down"))
            .map(|place| at + 2 + place);
        // "Turn the service on the server off": only where its clause ends.
        let ends = |place: usize| {
            words.get(place + 1).is_none_or(|next| {
                let next = next.as_str();
                matches!(
                    next,
                    "it" | "its"
                        | "because"
                        | "since"
                        | "as"
                        | "so"
                        | "until"
                        | "please"
                        | "now"
                        | "again"
                )
            })
        };
        if let Some(place) = particle.filter(|place| ends(*place)) {
            let word = words.remove(place);
            words.insert(at + 1, word);
        }
    }
}

/// Words that are no names here: verbs of all kinds, politeness, what is used, and generic things.
const FILLERS: &str = "\
    a an and the this that these those it its my your our their his her me i we you they them is are was were be been \
    being do does did done can could would should will shall may might must have has had please pls plz kindly just \
    now right immediately asap quickly fast at once of on in at to for from with by into onto up down off out over \
    under than more less most least few many much some any all every each everything anything whatever whichever \
    something so as if then else when while until because since which who whom whose what where why how there here \
    very really too also still again ever yes no ok okay hey hi hello llama linux machine computer system laptop pc \
    box desktop server thanks thank want need needs needed wanted like let lets get gets give gives go going make makes put set sets keep \
    kill kills end ends quit close closes terminate exit shut nuke stop stops halt pause suspend freeze resume \
    continue unpause unfreeze thaw renice nice nicer niceness priority priorities prioritize prioritise deprioritize \
    deprioritise precedence lower raise reduce increase decrease boost bump slow slows slower faster speed calm limit \
    limits cap caps restrict throttle confine constrain quota ceiling bound capped limited start starts restart \
    restarts reboot reload bounce launch enable enables disable disables turn switch bring fire spin run runs running \
    force forcibly forcefully sigkill sigterm sigstop sigcont hard -9 violently process processes program programs \
    app apps application applications application's task tasks tab tabs renderer renderers window windows job jobs \
    service services unit units daemon daemons script scripts instance instances thing things stuff one ones group \
    pid pids number thread threads memory ram mem swap cpu cpus processor processors core cores disk disks ssd drive \
    io i/o resources resource usage use uses using used eat eats eating hog hogs hogging consume consumes consuming \
    take takes taking burn burns burning waste wasting greedy hungry hungriest biggest largest heaviest hungriest fattest greediest smallest oldest newest top worst big \
    heavy leaking leaks leak filling slowing thrashing pegging back background boot startup login automatically \
    autostart time maximum max minimum percent only own other others user users's called named name hold sleep wake \
    on- mine hung stuck frozen unresponsive hanging responding crashed misbehaving annoying stupid damn bloody rogue \
    runaway crazy wild try help think guess maybe probably exactly currently today temporarily permanently moment \
    second seconds minute minutes while aggressive aggressively carefully gently gracefully properly cleanly for- \
    allow allowed let's high low higher highest lowest first last rid away murder axe slay ditch go- carry leave \
    spinning since paused suspended stopped again- completely entirely whole entire anymore longer am im doing \
    wants seems looks gone mad way bit little lot loads tons full half hangs hang freezes freezing acts acting send sends \
    signal broken dead weird strange stalls crashes crashing responds respond behaves nothing well";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_is_to_be_done() {
        use Kind::*;
        for (request, expected) in [
            ("kill all chrome tabs eating my RAM", &[End][..]),
            ("force kill firefox", &[Kill]),
            ("kill -9 firefox", &[Kill]),
            ("stop nginx", &[End, Stop]),
            ("please restart the web server", &[Restart]),
            ("start sshd at boot", &[Enable]),
            ("disable bluetooth", &[Disable]),
            ("pause the backup", &[Pause]),
            ("limit Firefox to 2 GB", &[Memory]),
            ("cap ffmpeg at 50%", &[Cpu]),
            ("give rsync less disk priority", &[Io]),
            ("lower the priority of make", &[Lower]),
            ("optimize for gaming", &[Profile]),
            ("apply the profile quiet", &[Profile]),
            ("use the power profile balanced", &[Balanced]),
            ("turn the profile off", &[ProfileOff]),
            ("set swappiness to 10", &[Sysctl]),
            ("clean the package cache", &[Clean]),
            ("switch to power saver", &[Saver]),
            ("hello there", &[]),
            (
                "Firefox must not use more than half a gig of RAM",
                &[Memory],
            ),
            ("redis may have 1 gigabyte of memory, not more", &[Memory]),
            ("I don't want cups to come up at boot", &[Disable]),
            ("make cups start with the system", &[Enable]),
            ("turn the printer service on", &[Start]),
            ("turn the printer service off", &[End, Stop]),
            ("turn mongodb off, it eats memory", &[End, Stop]),
            ("no more coding mode", &[ProfileOff]),
        ] {
            assert_eq!(Said::new(request).kinds(), expected, "{request}");
        }
    }

    #[test]
    fn numbers_are_read_with_their_units() {
        let amounts = |text: &str| -> Vec<_> {
            let said = Said::new(text);
            said.amounts()
                .into_iter()
                .map(|(amount, _)| amount)
                .collect()
        };
        assert_eq!(amounts("limit it to 1.5 GB"), [Amount::Bytes(3 << 29)]);
        assert_eq!(amounts("to 512M."), [Amount::Bytes(512 << 20)]);
        assert_eq!(
            amounts("at 50 % or 2 cores"),
            [Amount::Percent(50.0), Amount::Cores(2.0)]
        );
        assert_eq!(
            amounts("kill 1234 and 5"),
            [Amount::Plain(1234), Amount::Plain(5)]
        );
        assert_eq!(amounts("half a gig"), [Amount::Bytes(512 << 20)]);
        assert_eq!(amounts("nice -5"), [Amount::Plain(-5)]);
        assert_eq!(amounts("python3 1.2.3 x 7z nan inf - ."), []);
    }

    #[test]
    fn names_are_what_is_left() {
        for (request, expected) in [
            ("kill all chrome tabs eating my RAM", &["chrome"][..]),
            ("Please limit Firefox's memory to 2 GB!", &["firefox"]),
            ("kill the python script train.py", &["python", "train.py"]),
            ("firefox hangs - kill it hard", &["firefox"]),
            ("send SIGSTOP to process 7400", &[]),
            (
                "restart systemd-resolved.service",
                &["systemd-resolved.service"],
            ),
        ] {
            assert_eq!(Said::new(request).names(), expected, "{request}");
        }
        assert!(Said::new("Don\u{2019}t kill firefox").negated());
        assert!(Said::new("end everything except vim").negated());
        assert!(Said::new("don't disable cups at boot").negated());
        assert!(!Said::new("cups should not start at boot").negated());
        assert!(!Said::new("kill firefox").negated());
    }
}
