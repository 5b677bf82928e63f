// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Requests as the words that matter in them.

use std::collections::HashMap;
use std::sync::OnceLock;

use rust_stemmers::{Algorithm, Stemmer};

/// Words that say nothing about what is wanted.
const STOP: &[&str] = &[
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can", "could", "do",
    "does", "for", "from", "get", "give", "got", "has", "have", "how", "i", "if", "in", "into",
    "is", "it", "its", "just", "let", "like", "me", "my", "need", "of", "on", "one", "or", "our",
    "please", "s", "so", "some", "t", "tell", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "up", "us", "want", "was", "we", "were", "what",
    "when", "where", "which", "who", "will", "with", "would", "you", "your", "using", "use",
    "command", "linux", "called", "named",
];

/// Words that mean the same; the first of a line stands for all.
const SYNONYMS: &str = "
directory folder folders dir dirs directories subdirectory subdirectories subfolder subfolders
delete remove erase wipe discard rid drop trash throw kick uninstall
show display print list see view output reveal tell
find search locate look hunt seek
count number many amount total tally
large big largest biggest larger bigger huge heavy highest maximum max expensive
size space
small smallest tiny smaller lowest minimum cheapest
average mean
new newest recent recently latest newer fresh
old oldest older
modified changed modify change altered edited touched
rename renamed
copy duplicate clone backup
move relocate put
extract unpack decompress unzip untar unpacked expand uncompress
archive pack bundle
compress compressed zip squeeze shrink
line lines row rows
column columns field fields
word words
character characters letter letters char chars
header heading headings headline
settings setting config configs configuration configurations
save store
file files document documents
text string phrase
image images picture pictures photo photos jpg jpeg png
process processes program programs task tasks running application applications app apps
kill stop end terminate quit
shutdown poweroff
start launch begin run boot
restart reload reboot
service services daemon daemons unit units
install add setup
package packages software
update upgrade
memory ram
cpu processor cores
disk disks drive drives partition partitions
network networks net interface interfaces
port ports
listen listening open
address addresses ip
user users account accounts
group groups
permission permissions rights mode access
owner owned ownership owns belong belongs belonging
executable runnable
download fetch
upload send
connect connection connections
replace substitute swap
sort order sorted ordered alphabetical alphabetically
unique distinct duplicates duplicate dedupe repeated once doubles double repeats repeat different
first top head begin beginning
last bottom tail final end
contain contains containing include includes matching match matches mention mentions
without except exclude excluding not nobody never
empty blank
hidden dot
recursive recursively below under nested tree inside
reverse reversed backwards descending
between range
every each all per
minute minutes min
hour hours
day days
week weeks
year years
lowercase lower
uppercase upper capital capitals
link symlink links symlinks symbolic
log logs journal
error errors failure failures failed fail
commit commits committed
branch branches
checksum hash sha256 md5 digest
compare difference differences diff differ
join merge combine concatenate glue
split divide cut
hostname machine computer pc system
repository repositories repo repos
occur occurs appear appears
version release
schedule cron timer timers
password passwords
";

/// Several words that mean one.
const PHRASES: &[(&str, &str)] = &[
    ("tarball", "tar archive"),
    ("in both", "common"),
    ("unstage", "take stage"),
    ("reword", "change message"),
    ("add up", "sum"),
    ("added up", "sum"),
    ("adding up", "sum"),
    ("altogether", "sum"),
    ("block device", "disk"),
    ("power off", "shutdown"),
    ("switch off", "shutdown"),
    ("switch the machine off", "shutdown"),
    ("shut down", "shutdown"),
    ("turn off", "shutdown"),
    ("small letters", "lowercase"),
    ("capital letters", "uppercase"),
];

/// Months, by their names; that of May is a word of its own.
const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "apr",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
];

/// Words that end as the highest degree of something does, and are none.
#[rustfmt::skip]
const NO_DEGREE: &[&str] = &[
    "digest", "forest", "guest", "harvest", "honest", "interest", "invest", "manifest", "modest", "protest", "request",
    "suggest", "contest",
];

fn synonyms() -> &'static HashMap<&'static str, &'static str> {
    static TABLE: OnceLock<HashMap<&'static str, &'static str>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        for line in SYNONYMS.lines() {
            let mut words = line.split_whitespace();
            if let Some(first) = words.next() {
                for word in words {
                    table.entry(word).or_insert(first);
                }
            }
        }
        table
    })
}

/// The stems of a text's words, as they are.
pub(super) fn stems(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| !word.is_empty() && !STOP.contains(word))
        .map(|word| stemmer.stem(word).into_owned())
        .collect()
}

/// The words of a request, each in the form that stands for all of its forms. Names of files stand for their kind,
/// and numbers and what is in quotes for nothing.
pub(crate) fn words(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let mut out = vec![];
    let text = without_quoted(text).to_lowercase();
    let text = PHRASES
        .iter()
        .fold(text, |text, (phrase, word)| text.replace(phrase, word));
    for chunk in text.split_whitespace() {
        let chunk = chunk.trim_matches(|c: char| ",;:!?()[]{}\"'`".contains(c));
        let chunk = chunk.trim_end_matches('.');
        if let Some((name, kind)) = chunk.rsplit_once('.') {
            let extension =
                (1..=6).contains(&kind.len()) && kind.chars().all(|c| c.is_ascii_alphanumeric());
            if extension && kind.chars().any(|c| c.is_ascii_alphabetic()) {
                if name == "tar" || name.ends_with(".tar") {
                    out.push("tar".into());
                } else if !name.is_empty() && !name.ends_with('*') {
                    out.push("file".into());
                }
                // What ends in them may be anything.
                let any = matches!(kind, "txt" | "md" | "bin" | "dat");
                if !any || name.is_empty() || name.ends_with('*') {
                    out.push(kind.into());
                }
                continue;
            }
        }
        if chunk.contains('/') && chunk.len() > 1 {
            let path = chunk.starts_with(['/', '~', '.', '$']) || chunk.matches('/').count() > 1;
            if path {
                out.extend(["path".to_owned(), "file".to_owned()]);
                continue;
            }
        }
        for word in chunk.split(|c: char| !c.is_alphanumeric()) {
            if word.is_empty() || word.chars().all(|c| c.is_ascii_digit()) || STOP.contains(&word) {
                continue;
            }
            let same = synonyms().get(word).copied();
            // "Untracked" is "not tracked".
            let not = match (same, word.strip_prefix("un")) {
                (None, Some(rest)) if rest.len() > 4 && rest.ends_with("ed") => Some(rest),
                _ => None,
            };
            if not.is_some() {
                out.push(stemmer.stem("without").into_owned());
            }
            // The cheapest and the fastest are looked for alike.
            if word.len() > 5 && word.ends_with("est") && !NO_DEGREE.contains(&word) {
                out.push("-est".into());
            }
            if MONTHS.contains(&word) {
                out.push("date".into());
            }
            let word = not.unwrap_or(same.unwrap_or(word));
            out.push(stemmer.stem(word).into_owned());
        }
    }
    out
}

/// The text without what is in quotes.
fn without_quoted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let inside = behind.get(1..).unwrap_or_default();
        match inside.find('"') {
            Some(end) => rest = inside.get(end + 1..).unwrap_or_default(),
            None => {
                rest = inside;
                break;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_wordings_have_the_same_words() {
        for (a, b) in [
            ("find the largest files", "search for the biggest documents"),
            ("delete the folder", "please remove this directory"),
            ("count the lines of a.txt", "how many lines has b.txt"),
            ("untracked files", "files not tracked"),
            ("power off", "shut down"),
            ("the mean of each", "average per"),
        ] {
            assert_eq!(
                words(a).iter().collect::<std::collections::BTreeSet<_>>(),
                words(b).iter().collect(),
                "{a} / {b}"
            );
        }
    }

    #[test]
    fn degrees_and_dates_are_found_by_what_they_are() {
        assert!(words("the fastest").contains(&"-est".to_owned()));
        assert!(!words("each request").contains(&"-est".to_owned()));
        assert!(words("on february 3").contains(&"date".to_owned()));
        assert!(!words("unpacked").contains(&"without".to_owned()));
    }

    #[test]
    fn names_and_numbers_and_quoted_texts_stand_for_nothing() {
        assert_eq!(
            words("replace \"foo bar\" in notes.md 17 times"),
            ["replac", "file", "time"]
        );
    }
}
