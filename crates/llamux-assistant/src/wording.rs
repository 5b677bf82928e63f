// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Checks what a model wrote against what is known, sentence by sentence.
//!
//! A sentence passes if all of this holds:
//!
//! - Each of its words is one that says nothing by itself, or one of the texts that it was made from.
//! - Each claim in it, such as that something is full, waits or failed, is made by those texts, and denied nowhere.
//! - Each figure is one of theirs, with the same unit, and the words beside it in the sentence say of what it is
//!   the figure as they do there: 61 % of the time spent waiting for memory is not "memory is 61 % full".
//! - Numbers as words, fractions, ranges, and comparisons are there only where those texts have them.
//!
//! So a sentence that passes may leave out something, but brings in nothing. Most of what is rejected may well be true;
//! whoever asks for the check has another wording, which code vouches for.

use std::collections::HashSet;
use std::fmt;

use llamux_facts::{Finding, Subject};

use clauses::{clauses, Clause};
use figures::{figures, number, Number};
use words::{
    among, bare, claim, neutral, stem, Claim, DENIALS, FOLLOWS, FRACTIONS, GENERAL_NAMES,
    NUMBER_WORDS, OPENINGS, STATES, TENS, VAGUE,
};

mod clauses;
mod figures;
mod words;

pub use clauses::{first_sentence, sentences};

/// Why a sentence was not let through.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    /// A figure that is in no source, or not with this unit.
    Figure(String),
    /// A figure of something else.
    Context(String),
    /// A fraction, a multiple, a range or a comparison.
    Vague(String),
    /// Something is said to be so that no source says.
    Claim(String),
    /// It denies something, and no source does.
    Denial(String),
    /// A name or a word that no source has.
    Word(String),
    /// There are no words in it.
    Empty,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Figure(what) => write!(f, "no source has the figure {what}"),
            Self::Context(what) => write!(f, "{what} is a figure of something else"),
            Self::Vague(what) => write!(f, "\"{what}\" compares or rounds in words"),
            Self::Claim(what) => write!(f, "no source says \"{what}\""),
            Self::Denial(what) => write!(f, "\"{what}\" denies what no source denies"),
            Self::Word(what) => write!(f, "no source has the word \"{what}\""),
            Self::Empty => f.write_str("it says nothing"),
        }
    }
}

/// What a sentence may say.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    clauses: Vec<Clause>,
    stems: HashSet<String>,
    claims: HashSet<Claim>,
    /// Words of the question, which may be taken up where they claim nothing.
    asked: HashSet<String>,
    /// Names, in lower case.
    names: HashSet<String>,
    denies: bool,
    /// Whether only figures and names are checked.
    loose: bool,
}

impl Truth {
    /// What sentences about this finding may say, in answer to a question.
    pub fn of_finding(finding: &Finding, question: &str) -> Self {
        let mut truth = Self::default();
        for subject in &finding.subjects {
            truth.name(&subject.name());
            // What kind of thing it is may be said.
            truth.claims.extend(match subject {
                Subject::Unit { .. } => Some("unit"),
                Subject::Disk { .. } => Some("disk"),
                Subject::Mount { .. } => Some("partition"),
                Subject::Link { .. } => Some("link"),
                Subject::Battery { .. } => Some("battery"),
                Subject::Process { .. } | Subject::Group { .. } | Subject::Cgroup { .. } => None,
            });
            if let Subject::Process { pid, name, .. } = subject {
                truth.clause(&format!("process pid {pid} {name}"), &[]);
                if let Some(clause) = truth.clauses.last_mut() {
                    clause.identity = true;
                }
            }
        }
        for text in [&finding.title, &finding.explanation] {
            truth.text(text);
        }
        for evidence in &finding.evidence {
            let spellings = evidence.value.spellings();
            truth.clause(&evidence.what, &spellings);
        }
        if finding.cause.explains_slowness() {
            truth.claims.insert("slow");
        }
        truth.ask(question);
        truth
    }

    /// What sentences that are made from these texts may say.
    pub fn of_texts<'t>(texts: impl IntoIterator<Item = &'t str>, question: &str) -> Self {
        let mut truth = Self::default();
        for text in texts {
            truth.text(text);
        }
        truth.ask(question);
        truth
    }

    /// What sentences may say that explain these texts in other words: whatever has no figure, name, path, option or
    /// command that is not in them.
    pub fn loose<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self {
            loose: true,
            ..Self::of_texts(texts, "")
        }
    }

    /// Something has this name, which sentences may use.
    fn name(&mut self, name: &str) {
        for word in name.split_whitespace() {
            let word = bare(word).to_lowercase();
            self.stems.insert(stem(&word));
            self.names.insert(word);
        }
    }

    fn text(&mut self, text: &str) {
        for sentence in sentences(text) {
            for part in clauses(&sentence, &self.names) {
                self.add(part);
            }
        }
    }

    /// A clause with figures, which have several right spellings.
    fn clause(&mut self, what: &str, spellings: &[String]) {
        let mut whole = Clause::default();
        for part in clauses(what, &self.names) {
            whole.take(part);
        }
        for spelling in spellings {
            for part in clauses(spelling, &self.names) {
                whole.numbers.extend(part.numbers);
            }
        }
        self.add(whole);
    }

    fn add(&mut self, clause: Clause) {
        self.denies |= clause.words.iter().any(|word| among(word, DENIALS));
        self.stems
            .extend(clause.words.iter().map(|word| stem(word)));
        self.claims.extend(&clause.claims);
        self.clauses.push(clause);
    }

    fn ask(&mut self, question: &str) {
        for part in clauses(question, &self.names) {
            let silent = part
                .words
                .iter()
                .filter(|word| claim(word).is_none() && !among(word, VAGUE));
            self.asked.extend(
                silent
                    .filter(|word| !word.bytes().any(|b| b.is_ascii_digit()))
                    .map(|word| stem(word)),
            );
        }
    }

    /// Whether a sentence says nothing that is not known.
    pub fn check(&self, sentence: &str) -> Result<(), Wrong> {
        let parts = clauses(sentence, &self.names);
        if parts.iter().all(|part| part.words.is_empty()) {
            return Err(Wrong::Empty);
        }
        if self.loose {
            return self.check_loosely(sentence, &parts);
        }
        for part in &parts {
            for word in &part.words {
                self.check_word(word)?;
            }
            for number in &part.numbers {
                self.check_number(number, part)?;
            }
        }
        Ok(())
    }

    fn check_loosely(&self, sentence: &str, parts: &[Clause]) -> Result<(), Wrong> {
        let known =
            |word: &str| self.stems.contains(&stem(word)) || neutral().contains(&stem(word));
        for number in parts.iter().flat_map(|part| &part.numbers) {
            let same = |source: &Number| {
                source.unit == number.unit && (source.value - number.value).abs() < 1e-9
            };
            if !self
                .clauses
                .iter()
                .any(|clause| clause.numbers.iter().any(same))
            {
                return Err(Wrong::Figure(number.written.clone()));
            }
        }
        for word in parts.iter().flat_map(|part| &part.words) {
            let counts = |word: &str| {
                word != "one"
                    && (among(word, NUMBER_WORDS) || among(word, TENS) || among(word, FRACTIONS))
            };
            if word.split('-').any(counts) && !self.stems.contains(&stem(word)) {
                return Err(Wrong::Vague(word.clone()));
            }
        }
        let mut first = true;
        let mut to_run = false;
        for token in sentence.split_whitespace() {
            let word = bare(token);
            if word.is_empty() || number(word).is_some() || word.ends_with('%') {
                continue;
            }
            let lower = word.to_lowercase();
            let plain = word
                .chars()
                .all(|c| c.is_alphabetic() || matches!(c, '\'' | '\u{2019}' | '-'))
                && !word.starts_with('-');
            let capital = word.chars().next().is_some_and(char::is_uppercase);
            let special = !plain && !among(&lower, "e.g i.e and/or") || token.contains('`');
            let name = special
                || capital && !first && !among(word, GENERAL_NAMES)
                || first && !among(&lower, OPENINGS) && !among(word, GENERAL_NAMES)
                || to_run;
            if name && !known(&lower) && figures(word, token, &|_| None).is_none() {
                return Err(Wrong::Word(word.to_owned()));
            }
            to_run = among(&lower, "run type execute enter sudo command commands");
            first = false;
        }
        Ok(())
    }

    fn check_word(&self, word: &str) -> Result<(), Wrong> {
        let own = || word.to_owned();
        if among(word, DENIALS) {
            return if self.denies {
                Ok(())
            } else {
                Err(Wrong::Denial(own()))
            };
        }
        let stemmed = stem(word);
        let said = self.stems.contains(&stemmed);
        if said {
            return Ok(());
        }
        if among(word, VAGUE) {
            return Err(Wrong::Vague(own()));
        }
        if word
            .split('-')
            .any(|word| word != "one" && (among(word, NUMBER_WORDS) || among(word, TENS)))
        {
            return Err(Wrong::Figure(own()));
        }
        if let Some(claim) = claim(word) {
            let follows = FOLLOWS
                .iter()
                .any(|(then, if_so)| *then == claim && self.claims.contains(if_so));
            return match self.claims.contains(claim) || follows {
                true => Ok(()),
                false => Err(Wrong::Claim(own())),
            };
        }
        // Two words in one: "low-memory", "high/low".
        if let Some((first, second)) = word
            .split_once(['-', '/'])
            .filter(|(a, b)| a.len() > 1 && b.len() > 1)
        {
            return self
                .check_word(first)
                .and_then(|()| self.check_word(second));
        }
        match neutral().contains(&stemmed) || self.asked.contains(&stemmed) {
            true => Ok(()),
            false => Err(Wrong::Word(own())),
        }
    }

    fn check_number(&self, number: &Number, part: &Clause) -> Result<(), Wrong> {
        let same =
            |known: &Number| known.unit == number.unit && (known.value - number.value).abs() < 1e-9;
        let mut found = false;
        for source in &self.clauses {
            if !source.numbers.iter().any(same) {
                continue;
            }
            found = true;
            if self.fits(number, part, source) {
                return Ok(());
            }
        }
        Err(match found {
            true => Wrong::Context(number.written.clone()),
            false => Wrong::Figure(number.written.clone()),
        })
    }

    /// Whether what is said of a figure in a part of a sentence is what a source says of it.
    fn fits(&self, number: &Number, part: &Clause, source: &Clause) -> bool {
        if source.identity {
            let named = number
                .before
                .as_ref()
                .is_some_and(|word| among(word, "process pid number id"));
            return named && part.names.is_subset(&source.names);
        }
        // Who has much memory uses it.
        let owned = !source.names.is_empty();
        let claims = part.claims.iter().all(|claim| {
            source.claims.contains(claim)
                || *claim == "used"
                    && owned
                    && !source.claims.iter().any(|claim| STATES.contains(claim))
                || *claim == "slow" && self.claims.contains("slow")
        });
        let stems: HashSet<_> = source.words.iter().map(|word| stem(word)).collect();
        let says =
            |word: &String| stems.contains(&stem(word)) && !among(word, "of the a in to is are");
        let own_name = |name: &String| {
            source.names.contains(name) || source.names.is_empty() && self.names.len() == 1
        };
        let counted = match &number.counted {
            Some(word) if number.unit.is_empty() => {
                stems.contains(&stem(word))
                    || self.names.contains(word)
                    || part.words.iter().all(|w| w != word)
                    || among(word, "of times in on at per")
            }
            _ => true,
        };
        claims
            && counted
            && part.names.iter().all(own_name)
            && (part.words.iter().any(says)
                || part
                    .claims
                    .iter()
                    .any(|claim| source.claims.contains(claim)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamux_facts::{Cause, Evidence, Quantity, Severity};

    fn evidence(what: &str, value: Quantity) -> Evidence {
        Evidence {
            what: what.into(),
            value,
        }
    }

    fn group(name: &str) -> Subject {
        Subject::Group {
            id: name.to_lowercase(),
            name: name.into(),
        }
    }

    fn finding(
        cause: Cause,
        title: &str,
        explanation: &str,
        evidence: Vec<Evidence>,
        subjects: Vec<Subject>,
    ) -> Finding {
        Finding {
            id: cause.name().to_owned(),
            cause,
            severity: Severity::Critical,
            title: title.into(),
            explanation: explanation.into(),
            evidence,
            subjects,
            remedies: vec![],
            follows_from: None,
        }
    }

    const GIB: u64 = 1 << 30;

    fn pressure() -> Finding {
        finding(
            Cause::MemoryPressure,
            "Programs wait for memory 61 % of the time.",
            "Memory is nearly full: 15.6 GiB of 16 GiB are used. Most of it is used by Firefox, which has 212 processes. \
             Chromium has less.",
            vec![
                evidence("time in which some program waited for memory", Quantity::Percent(61.04)),
                evidence("memory used", Quantity::Bytes(GIB * 156 / 10)),
                evidence("memory total", Quantity::Bytes(GIB * 16)),
                evidence("memory available", Quantity::Bytes(GIB * 4 / 10)),
                evidence("memory of Firefox", Quantity::Bytes(GIB * 92 / 10)),
                evidence("processes of Firefox", Quantity::Count(212)),
                evidence("memory of Chromium", Quantity::Bytes(GIB * 31 / 10)),
            ],
            vec![group("Firefox"), group("Chromium")],
        )
    }

    fn disk() -> Finding {
        finding(
            Cause::DiskFull,
            "The file system /var is full.",
            "Of 50 GiB, 200 MiB are left, so programs cannot write files there.",
            vec![
                evidence("space used on /var", Quantity::Percent(99.6)),
                evidence("space free on /var", Quantity::Bytes(200 << 20)),
                evidence("size of /var", Quantity::Bytes(50 * GIB)),
            ],
            vec![Subject::Mount {
                mount: "/var".into(),
            }],
        )
    }

    fn unit_failed() -> Finding {
        finding(
            Cause::UnitFailed,
            "The service nginx.service failed 3 min ago.",
            "It ended with exit status 1. Another program has port 80 already.",
            vec![
                evidence("time since nginx.service failed", Quantity::Seconds(180.0)),
                evidence("exit status of nginx.service", Quantity::Count(1)),
            ],
            vec![Subject::Unit {
                name: "nginx.service".into(),
                user: false,
            }],
        )
    }

    fn thermal() -> Finding {
        finding(
            Cause::ThermalThrottling,
            "The processors are slowed down because they are hot.",
            "They run at 800 MHz instead of 3.4 GHz, at 97 °C.",
            vec![
                evidence("temperature of the processor", Quantity::Celsius(97.0)),
                evidence("speed of the processor", Quantity::Hertz(800_000_000)),
                evidence(
                    "speed that the processor could have",
                    Quantity::Hertz(3_400_000_000),
                ),
                evidence("disk writes", Quantity::BytesPerSecond(150.0 * 1_048_576.0)),
            ],
            vec![],
        )
    }

    #[track_caller]
    fn passes(finding: &Finding, question: &str, sentences: &[&str]) {
        let truth = Truth::of_finding(finding, question);
        let rejected = sentences
            .iter()
            .map(|sentence| (sentence, truth.check(sentence)));
        let rejected: Vec<_> = rejected.filter(|(_, checked)| checked.is_err()).collect();
        assert!(rejected.is_empty(), "rejected: {rejected:#?}");
    }

    #[track_caller]
    fn fails(finding: &Finding, question: &str, sentences: &[&str]) {
        let truth = Truth::of_finding(finding, question);
        let passed = sentences
            .iter()
            .filter(|sentence| truth.check(sentence).is_ok());
        let passed: Vec<_> = passed.collect();
        assert!(passed.is_empty(), "passed: {passed:#?}");
    }

    const SLOW: &str = "Why is my system slow?";

    #[test]
    fn true_sentences_pass() {
        passes(
            &pressure(),
            SLOW,
            &[
                "Programs wait for memory 61 % of the time.",
                "Your system is slow because programs wait for memory 61% of the time.",
                "Your system is slow because programs spend 61 percent of the time waiting for memory.",
                "The memory is nearly full, with 15.6 GiB of 16 GiB used.",
                "15.6 of 16 GiB of memory are used.",
                "Memory is nearly full (15.6/16 GiB used).",
                "Firefox uses most of it.",
                "Firefox is using 9.2 GiB of memory.",
                "Firefox has 212 processes.",
                "Firefox, which has 212 processes, uses 9.2 GiB of memory.",
                "The system is slow because memory is nearly full.",
                "Only 410 MiB of memory is available.",
                "The memory pressure is high.",
                "Chromium uses 3.1 GiB of memory, and Firefox uses 9.2 GiB.",
                "The reason is that programs are waiting for memory.",
                "Firefox takes up 9.2 GiB of RAM.",
                "Firefox uses 9.9 GB of memory.",
            ],
        );
        passes(
            &disk(),
            "is my disk full?",
            &[
                "The file system /var is full.",
                "Yes, /var is full.",
                "Only 200 MiB are left on /var.",
                "200 MiB of 50 GiB are left on /var.",
                "Programs cannot write files to /var because it is full.",
            ],
        );
        passes(
            &unit_failed(),
            "why does the web server not run?",
            &[
                "The service nginx.service failed 3 minutes ago.",
                "nginx.service ended with exit status 1.",
                "nginx.service failed because another program already has port 80.",
            ],
        );
        passes(
            &thermal(),
            SLOW,
            &[
                "Your system is slow because the processors are hot.",
                "The processors are slowed down to 800 MHz, as their temperature is 97 °C.",
                "They run at 800 MHz instead of 3.4 GHz.",
                "The processor is at 97 degrees.",
            ],
        );
    }

    #[test]
    fn the_number_of_a_process_says_which_one_it_is() {
        let subject = |pid, name: &str| Subject::Process {
            pid,
            start_time: 1,
            name: name.into(),
        };
        let spinning = finding(
            Cause::ProcessSpinning,
            "python3 (process 4711) keeps one processor busy all the time.",
            "That is right where it computes something.",
            vec![evidence(
                "processor time of python3",
                Quantity::Percent(99.0),
            )],
            vec![subject(4711, "python3"), subject(88, "make")],
        );
        passes(
            &spinning,
            "why is the fan loud?",
            &[
                "The fan is loud because process 4711 keeps one processor busy all the time.",
                "python3 (process 4711) is using one processor all the time.",
            ],
        );
        fails(
            &spinning,
            "why is the fan loud?",
            &[
                "make (process 4711) keeps one processor busy.",
                "4711 programs keep the processor busy.",
                "The processor is 88 % busy.",
                "process 4712 keeps one processor busy.",
            ],
        );
    }

    #[test]
    fn a_figure_of_something_else_fails() {
        fails(
            &pressure(),
            SLOW,
            &[
                "Memory is 61 % full.",
                "The memory was 61% full.",
                "Your memory is at 61 % of its capacity.",
                "61 % of the memory is used.",
                "The system is slow because 61 % of memory is in use.",
                "Your system uses 61 percent of its memory.",
                "Memory usage is 61 %.",
                "Memory is full, at 61 %.",
                "Memory is nearly full (61 %).",
                "It is 61 % full.",
                "Programs wait, and 61 % of the memory is used.",
                "Firefox uses 61 % of the memory.",
                "Firefox uses 15.6 GiB of memory.",
                "Firefox uses 3.1 GiB of memory.",
                "Chromium uses 9.2 GiB of memory.",
                "Chromium has 212 processes.",
                "Firefox has 212 GiB of memory.",
                "15.6 GiB of memory are available.",
                "9.2 GiB of memory is free.",
                "There are 16 GiB of memory left.",
                "410 MiB of memory are used.",
                "Programs wait 212 times for memory.",
                "Swap is 61 % full.",
                "The processor is 61 % busy.",
            ],
        );
        fails(
            &thermal(),
            SLOW,
            &[
                "The temperature is 800 MHz.",
                "The disk writes at 97 °C.",
                "The processor could run at 800 MHz.",
                "The processor writes 150 MiB/s.",
            ],
        );
    }

    #[test]
    fn figures_that_nobody_has_fail() {
        fails(
            &pressure(),
            SLOW,
            &[
                "Programs wait for memory 62 % of the time.",
                "Programs wait for memory 61.5% of the time.",
                "15.6 GB of memory are used.",
                "15.6 MiB of memory are used.",
                "15.6G of memory are used.",
                "Memory used is 15.6 GiB/s.",
                "Memory used is 15.6 GiB per second.",
                "Firefox has 213 processes.",
                "Firefox has 2120 processes.",
                "Firefox has 2,12 processes.",
                "Programs wait for memory 60-70 % of the time.",
                "Programs wait for memory between 60 and 62 % of the time.",
                "Programs wait for memory 0.61 of the time.",
                "Firefox (process 1234) uses 9.2 GiB of memory.",
                "97.5 % of the memory is used.",
                "Programs wait for memory 61 seconds.",
                "Firefox has 3x the memory of Chromium.",
            ],
        );
        fails(
            &thermal(),
            SLOW,
            &[
                "The processor is at 97 °F.",
                "The processor is at 97 degrees Fahrenheit.",
                "The processor runs at 800 GHz.",
            ],
        );
        fails(
            &unit_failed(),
            "?",
            &[
                "nginx.service failed 3 hours ago.",
                "nginx.service failed 3 s ago.",
                "Another program has port 8080.",
            ],
        );
    }

    #[test]
    fn numbers_as_words_and_comparisons_fail() {
        fails(
            &pressure(),
            SLOW,
            &[
                "Programs wait for memory two thirds of the time.",
                "Firefox uses more than half of the memory.",
                "Sixty-one percent of the time is spent waiting for memory.",
                "Firefox has two hundred processes.",
                "Firefox uses three times as much memory as Chromium.",
                "Firefox uses twice the memory of Chromium.",
                "Firefox uses 9.2 GiB of memory, which is more than the 16 GiB of memory in total.",
                "Firefox has hundreds of processes.",
                "Memory used exceeds 15.6 GiB.",
                "At least 15.6 GiB of memory are used.",
                "Two programs wait for memory.",
                "A quarter of memory is used by Chromium.",
                "Dozens of processes wait for memory.",
            ],
        );
    }

    #[test]
    fn claims_without_figures_that_no_source_makes_fail() {
        fails(
            &pressure(),
            "why is my disk full and slow?",
            &[
                "Your disk is full.",
                "The processor is busy and hot.",
                "Your network is slow.",
                "Firefox crashed.",
                "Memory is not full.",
                "There is no pressure on memory.",
                "The swap is full.",
                "Your computer has a virus.",
                "Java uses most of the memory.",
                "You should restart Firefox.",
                "Try closing some tabs.",
                "Consider adding more RAM.",
                "The GPU is overheating.",
                "Memory is leaking.",
                "The memory is full since yesterday.",
                "The kernel is waiting for the hypervisor.",
                "Systemd uses most of it.",
                "",
                "...",
            ],
        );
        fails(
            &disk(),
            "is my memory full?",
            &[
                "Your memory is full.",
                "/home is full.",
                "The file system / is full.",
                "/var has enough space.",
                "/var is read-only.",
            ],
        );
        fails(
            &unit_failed(),
            "?",
            &[
                "nginx.service was killed.",
                "sshd.service failed.",
                "nginx.service is running fine.",
            ],
        );
    }

    #[test]
    fn sentences_end_where_they_should() {
        for (text, expected) in [
            ("One. Two!", &["One.", "Two!"][..]),
            ("It is 15.6 GiB. Yes.", &["It is 15.6 GiB.", "Yes."]),
            ("nginx.service failed", &["nginx.service failed"]),
            (
                "Some, e.g. this one. More",
                &["Some, e.g. this one.", "More"],
            ),
            ("a\nb", &["a", "b"]),
            ("  ", &[]),
        ] {
            assert_eq!(sentences(text), expected, "{text:?}");
        }
        assert_eq!(first_sentence("It is 15.", false), None);
        assert_eq!(
            first_sentence("It is 15.6 GiB. N", false),
            Some(("It is 15.6 GiB.", " N"))
        );
    }

    #[test]
    fn endings_do_not_matter() {
        for (a, b) in [
            ("waits", "waiting"),
            ("processes", "process"),
            ("stopped", "stop"),
            ("uses", "using"),
            ("tries", "try"),
            ("slowly", "slow"),
        ] {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
        assert_ne!(stem("disk"), stem("desk"));
    }

    #[test]
    fn any_text_can_be_checked() {
        let truth = Truth::of_finding(&pressure(), "?");
        for text in [
            "\0",
            "%",
            "1",
            "1 of",
            "1 of 2 of",
            "- -",
            "//",
            "1/",
            "/s",
            "１２",
            "٣ ملفات",
            "1e9",
            "1..2",
            "a-",
            "-",
            "\u{2013}5",
            "🦙",
            "5 per",
        ] {
            let _ = truth.check(text);
        }
    }
}
