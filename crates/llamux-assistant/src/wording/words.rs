// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What words say: the tables, and how a word is found in them.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// Groups of words that claim the same. Each line of [`CLAIMS`] is one.
pub(super) type Claim = &'static str;

/// What is claimed, and the words that do. What is in no such group claims nothing by itself.
const CLAIMS: &str = "\
memory: memory ram
swap: swap swapped swapping swaps swapfile
processor: processor processors cpu cpus core cores
disk: disk disks drive drives ssd hdd nvme storage
partition: filesystem filesystems partition partitions volume volumes
network: network networking internet connection connections wifi ethernet
link: link links cable interface
name: dns nameserver resolver
battery: battery batteries charge
graphics: gpu gpus graphics
kernel: kernel
unit: service services unit units daemon daemons
used: use used uses using usage consume consumed consumes consuming consumption take taken takes taking took occupy \
occupied occupies hold held holds eat eats eating
free: free available left remaining remains unused spare
full: full fill filled fills filling exhausted
wait: wait waits waited waiting stall stalls stalled stalling blocked pressure delayed stuck
busy: busy saturated saturation overloaded loaded utilization utilisation utilized
failed: fail fails failed failing failure failures crash crashed crashes error errors broken
killed: kill killed kills killing
ended: end ended ends ending terminated terminates exited exits
stopped: stop stopped stops frozen paused
started: start started starts starting boot booted
restarted: restart restarted restarts restarting reboot rebooted
slow: slow slower slowed slows slowly slowness sluggish slowing
low: low little few scarce short shortage lack lacks lacking nearly almost barely lower empty weak
high: high heavy heavily large huge big great excessive intense overwhelmed higher
hot: hot heat overheating overheated temperature temperatures warm thermal
limit: limit limits limited capped maximum quota
total: total overall
whole: all every entire entirely whole completely fully always constantly continuously never permanently
plenty: plenty enough sufficient ample
read: read reads reading
write: write writes writing written
lost: lost lose loses loss dropped drops missing
throttled: throttled throttling throttles
could: could would
virus: virus malware attack attacker hacked infected intrusion
";

/// Claims that follow from another one: who waits has pressure on it, which is high.
pub(super) const FOLLOWS: &[(Claim, Claim)] = &[
    ("high", "full"),
    ("high", "busy"),
    ("high", "wait"),
    ("high", "hot"),
    ("low", "full"),
    ("busy", "wait"),
    ("failed", "killed"),
    ("used", "busy"),
    ("stopped", "killed"),
    ("stopped", "ended"),
    ("stopped", "failed"),
];

/// Claims about how much, other than whose it is.
pub(super) const STATES: &[Claim] = &[
    "used", "free", "full", "wait", "busy", "failed", "killed", "limit", "total", "read", "write",
    "lost", "low", "high",
];

/// Words that say nothing by themselves about a machine.
const NEUTRAL: &str = "
a about above after again all also although an and any anything are area around as at back be because been before being
below between both but by came can cause caused causes causing come comes coming computer computer's currently
due during each either else ever explain explained explains
fact find finding finds for found from further furthermore gets get getting give gives given go goes going happen
happened happening happens has have having here how however i if in indicate indicated indicates indicating into is issue
it its itself just keep keeps kind laptop lead leading leads let like likely look looks machine main mainly make makes making
may me mean meaning means might moment more moreover most much my named namely need needs now of off on once only one's or other others
our out over own part pc per place point problem problems process processes program programs put question quite rather
really reason reasons regarding related result resulted resulting results right run running runs same say says
see seem seems seen server shown show shows side since situation so some something state still such suggest suggests
system systems tell that the their them themselves then there therefore these they thing things this those through thus
time times to together too try tries trying until up upon very was way we well were what when where which while who whose why
will with within work works working would yes you your yours
affect affected affecting affects become becomes becoming behavior behaviour behind call called calls contribute contributes
contributing current directly do does doing done effect especially experiencing experience general generally
impact impacts important impacting known large(st) made must particular perform performance performing possible
possibly present spend spends spent file files primarily primary probably responsible responsiveness respond responding responds significant significantly
slowdown sluggishness specific specifically task tasks them turn typically under usually user users name
";

/// Words that deny.
pub(super) const DENIALS: &str = "not no none never nothing cannot cant isnt arent wasnt werent doesnt dont didnt without neither nor nobody hasnt havent wont";

/// Words that compare, round or count, and so stand for figures.
pub(super) const VAGUE: &str = "half halves third thirds quarter quarters fifth dozen dozens couple double doubled twice triple tripled \
fraction majority minority hundreds thousands millions several percent percentage ratio average twofold tenfold exceeds \
exceeding exceeded than below above between beyond approximately roughly least";

/// Numbers that are written as words.
pub(super) const NUMBER_WORDS: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
seventeen eighteen nineteen twenty";

pub(super) const TENS: &str =
    "thirty forty fifty sixty seventy eighty ninety hundred thousand million billion";

/// Parts of a whole.
pub(super) const FRACTIONS: &str = "half halves third thirds quarter quarters dozen dozens twice triple hundreds thousands millions";

/// Words with which sentences that explain may begin, beside neutral ones.
pub(super) const OPENINGS: &str = "another someone somebody something nothing nobody neither either both any many most several few check \
    make ensure verify restart start stop install reinstall remove wait use look free increase reduce raise lower add close \
    open replace save unplug plug update upgrade fix correct change set review inspect confirm contact ask run rerun retry \
    you either no not without with when while once under during before after although since because as to by on of from even \
    only perhaps maybe possible likely probably usually often normally access permission permissions memory disk network \
    error errors reading writing multiple too";

/// Names that explain and claim nothing.
pub(super) const GENERAL_NAMES: &str = "I Linux Unix Python Java Rust Go Node.js JavaScript C C++ TLS SSL DNS TCP UDP IP HTTP HTTPS SSH USB PCI \
    CPU RAM GPU SSD API URL ID OOM OK BIOS UEFI SQL JSON";

/// Words after which another thing is said.
pub(super) const BREAKS: &str =
    "and but while because since which as so whereas where when though although however with";

pub(super) fn among(word: &str, table: &str) -> bool {
    table.split_ascii_whitespace().any(|entry| entry == word)
}

pub(super) fn claim(word: &str) -> Option<Claim> {
    static TABLE: OnceLock<HashMap<&'static str, Claim>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let lines = CLAIMS.lines().filter_map(|line| line.split_once(": "));
        lines
            .flat_map(|(claim, words)| {
                words
                    .split_ascii_whitespace()
                    .map(move |word| (word, claim))
            })
            .collect()
    });
    table.get(word).copied()
}

pub(super) fn neutral() -> &'static HashSet<String> {
    static TABLE: OnceLock<HashSet<String>> = OnceLock::new();
    TABLE.get_or_init(|| NEUTRAL.split_ascii_whitespace().map(stem).collect())
}

/// A word without its ending, so that "waits" and "waiting" are one.
pub(super) fn stem(word: &str) -> String {
    let word = word.strip_suffix("'s").unwrap_or(word).replace('\'', "");
    let cut = |ending: &str, instead: &str| {
        let stem = word.strip_suffix(ending).filter(|stem| stem.len() > 1)?;
        Some(format!("{stem}{instead}"))
    };
    if !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word;
    }
    let mut stem = cut("ies", "y")
        .or_else(|| cut("ied", "y"))
        .or_else(|| {
            ["xes", "sses", "ches", "shes"]
                .iter()
                .any(|end| word.ends_with(end))
                .then(|| cut("es", ""))
                .flatten()
        })
        .or_else(|| cut("ing", ""))
        .or_else(|| cut("ed", ""))
        .or_else(|| {
            if word.ends_with("ss") || word.ends_with("us") {
                None
            } else {
                cut("s", "")
            }
        })
        .or_else(|| cut("ly", ""))
        .unwrap_or_else(|| word.clone());
    let bytes = stem.as_bytes();
    if let [.., a, b] = bytes {
        if a == b && stem.len() > 3 && !b"aeiousl".contains(b) && stem != word {
            stem.pop();
        }
    }
    if stem.len() > 2 && stem.ends_with('e') {
        stem.pop();
    }
    stem
}

/// A word without what surrounds it.
pub(super) fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| {
        matches!(
            c,
            '(' | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '"'
                | '\''
                | '`'
                | '*'
                | ','
                | ';'
                | ':'
                | '!'
                | '?'
                | '\u{201c}'
                | '\u{201d}'
                | '\u{2018}'
                | '\u{2019}'
        )
    })
    .trim_end_matches('.')
    .trim_end_matches(['"', '\'', '`', '*', ')', ','])
}
