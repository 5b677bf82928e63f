// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Has the kernel's model asked by eight clients of different kinds for so many seconds, while another model
//! comes and goes, and reports what became of each, and of the kernel's memory.
//!
//! `soak SECONDS [KIB]`, as root; a test of `cargo xtask test`, which runs it in a system of its own. It fails if an
//! answer is wrong, if a client had none or waited for longer than a minute, or if the kernel's memory
//! grew by more than so many KiB (1024) after a quarter of the time.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::process::{Command as Program, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{RwLock, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use llamux::{Command, Grammar, Role, Session, State, Status, StopReason};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Goes on for as long as it may.
const COUNT: &str = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,";
/// More tokens than anybody stays for.
const MANY: u32 = 400;
/// Nobody may wait for longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Until what was freed is free; see kvfree_rcu() in the kernel.
const DRAIN: Duration = Duration::from_secs(8);
/// A child that asks without an end.
const CHILD: &str = "--child";

const PROMPT: &str = "/proc/llamux/prompt";
const SYSFS: &str = "/sys/kernel/llamux";

/// A client: its name, and what it does again and again.
type Client = (&'static str, fn(&mut Turn<'_>) -> Result<()>);

const CLIENTS: [Client; 9] = [
    ("short questions", short_question),
    ("long questions", long_question),
    ("turns that are streamed", turns),
    ("forks of forks", forks),
    ("answers that are cancelled", cancels),
    ("children that are killed", kills),
    ("answers under a grammar", grammar),
    ("the prompt", prompt),
    // Not one of those who ask.
    ("models loaded", loader),
];

/// One time that a client does something.
struct Turn<'a> {
    number: u64,
    record: &'a mut Record,
}

/// What became of a client.
#[derive(Default)]
struct Record {
    answers: u64,
    longest: Duration,
}

impl Turn<'_> {
    /// Notes an answer, and how long it took from the question to its end.
    fn answered(&mut self, start: Instant) {
        self.record.answers += 1;
        self.record.longest = self.record.longest.max(start.elapsed());
    }

    /// A number that differs from turn to turn.
    fn random(&self, below: u64) -> u64 {
        (self.number.wrapping_mul(6_364_136_223_846_793_005) >> 33) % below
    }
}

fn counting(tokens: u32) -> Command {
    Command::new(COUNT)
        .raw(true)
        .temperature(0.0)
        .repeat_penalty(1.0)
        .max_tokens(tokens)
}

fn check(what: bool, why: impl FnOnce() -> String) -> Result<()> {
    if what {
        Ok(())
    } else {
        Err(why().into())
    }
}

fn short_question(turn: &mut Turn<'_>) -> Result<()> {
    let start = Instant::now();
    let answer = counting(8).ask()?;
    turn.answered(start);
    check(answer.tokens == 8, || format!("8 tokens became {answer:?}"))
}

fn long_question(turn: &mut Turn<'_>) -> Result<()> {
    let words = 50 + turn.random(200);
    let text: String = (0..words)
        .map(|word| format!("{} ", (word * 7 + turn.number) % 1000))
        .collect();
    let start = Instant::now();
    let answer = counting(100).with_prompt(text).ask()?;
    turn.answered(start);
    check(u64::from(answer.prompt_tokens) >= words, || {
        format!("{words} words became {} tokens", answer.prompt_tokens)
    })
}

fn turns(turn: &mut Turn<'_>) -> Result<()> {
    let session = Session::open()?;
    session.say(Role::System, "You answer in one sentence.")?;
    for question in ["Who are you?", "And what do you like?", "Why?"] {
        let mut streamed = String::new();
        let start = Instant::now();
        let command = Command::new(question).max_tokens(24);
        let answer = session.ask(&command, |text| {
            streamed.push_str(text);
            true
        })?;
        turn.answered(start);
        check(answer.text == streamed, || {
            format!("{streamed:?} was streamed of {answer:?}")
        })?;
    }
    session.reset()?;
    check(session.info()?.tokens == 0, || "a reset is none".to_owned())
}

fn forks(turn: &mut Turn<'_>) -> Result<()> {
    let first = Session::open()?;
    let heard = first.ask(&counting(4), |_| true)?;
    let second = first.fork()?;
    let third = second.fork()?;
    drop(second);
    let again = counting(8).with_prompt(" and");
    for (index, session) in [first.fork()?, first, third].into_iter().enumerate() {
        let start = Instant::now();
        let answer = session.ask(&again, |_| true)?;
        turn.answered(start);
        check(answer.prompt_tokens > heard.prompt_tokens, || {
            format!("fork {index} has forgotten {heard:?}: {answer:?}")
        })?;
    }
    Ok(())
}

fn cancels(turn: &mut Turn<'_>) -> Result<()> {
    let session = Session::open()?;
    let start = Instant::now();
    let (mut parts, most) = (0, turn.random(12) + 1);
    // Now and then it wants all of the cache for itself.
    let tokens = if turn.number % 16 == 0 { 100_000 } else { MANY };
    let answer = session.ask(&counting(tokens), |_| {
        parts += 1;
        parts < most
    })?;
    turn.answered(start);
    check(answer.stop_reason == StopReason::Cancelled, || {
        format!("it was not cancelled: {answer:?}")
    })?;
    // And one that nobody is there for any more.
    let deserted = session.fork()?;
    deserted.say(Role::User, COUNT)?;
    thread::scope(|scope| {
        let other = scope.spawn(|| deserted.prewarm());
        deserted.cancel()?;
        // Cancelled or not: what counts is that it comes back.
        let _ = other.join().map_err(|_| "a thread panicked")?;
        Ok(())
    })
}

fn kills(turn: &mut Turn<'_>) -> Result<()> {
    let start = Instant::now();
    let mut child = Program::new(std::env::current_exe()?)
        .arg(CHILD)
        .stdout(Stdio::piped())
        .spawn()?;
    // Before the answer, in its beginning, in the middle.
    let heard = turn.number % 3;
    if heard > 0 {
        let mut bytes = vec![0; if heard == 1 { 1 } else { 40 }];
        if let Some(out) = &mut child.stdout {
            out.read_exact(&mut bytes)?;
        }
        turn.answered(start);
    } else {
        thread::sleep(Duration::from_millis(turn.random(40)));
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn child() -> Result<()> {
    let session = Session::open()?;
    session.ask(&counting(MANY), |text| {
        std::io::stdout().write_all(text.as_bytes()).is_ok() && std::io::stdout().flush().is_ok()
    })?;
    Ok(())
}

fn grammar(turn: &mut Turn<'_>) -> Result<()> {
    let grammar = Grammar::new("root ::= \"yes\" | \"no\" | \"[\" [0-9]{2,4} \"]\"")?;
    let command = Command::new(format!("Is {} a prime number?", turn.number))
        .max_tokens(32)
        .grammar(grammar);
    let start = Instant::now();
    let answer = match turn.number % 2 {
        0 => command.ask()?,
        _ => Session::open()?.ask(&command, |_| true)?,
    };
    turn.answered(start);
    let text = answer.text.as_str();
    let number = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let digits = number.is_some_and(|digits| {
        (2..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    });
    check(matches!(text, "yes" | "no") || digits, || {
        format!("{text:?} is not of the grammar")
    })
}

fn prompt(turn: &mut Turn<'_>) -> Result<()> {
    let mut file = File::options().read(true).write(true).open(PROMPT)?;
    let start = Instant::now();
    writeln!(file, "Name the number {} in one word.", turn.random(100))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    turn.answered(start);
    check(text.ends_with('\n'), || format!("{text:?} has no end"))
}

fn loader(turn: &mut Turn<'_>) -> Result<()> {
    let default = fs::read_to_string(format!("{SYSFS}/default"))?;
    let mut files = fs::read_dir("/lib/firmware/llamux")?
        .flatten()
        .filter_map(|entry| {
            Some(
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".gguf")?
                    .to_owned(),
            )
        });
    let Some(second) = files.find(|name| name.as_str() != default.trim()) else {
        thread::sleep(Duration::from_millis(100));
        return Ok(());
    };
    let line = || -> Result<Option<String>> {
        let models = fs::read_to_string(format!("{SYSFS}/models"))?;
        let start = format!("name={second} ");
        let mut lines = models.lines().filter(|line| line.starts_with(&start));
        Ok(lines.next().map(str::to_owned))
    };
    let start = Instant::now();
    fs::write(format!("{SYSFS}/load"), &second)?;
    while line()?.is_some_and(|line| line.contains(" state=loading ")) {
        thread::sleep(Duration::from_millis(5));
    }
    let loaded = line()?.unwrap_or_default();
    check(loaded.contains(" state=ready "), || {
        format!("it was not loaded: {loaded}")
    })?;
    turn.answered(start);
    thread::sleep(Duration::from_millis(turn.random(500)));
    fs::write(format!("{SYSFS}/unload"), &second)?;
    while line()?.is_some() {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(turn.random(3000)));
    Ok(())
}

/// What the kernel has taken, in KiB, and what is free of the memory for models, in bytes.
fn memory() -> Result<BTreeMap<String, u64>> {
    const KEYS: &[&str] = &["SUnreclaim", "VmallocUsed", "KernelStack", "Slab"];
    let mut taken = BTreeMap::new();
    // What is free in slabs is given back, and what KASAN keeps to see who uses it.
    for slab in fs::read_dir("/sys/kernel/slab").into_iter().flatten() {
        // Those that cannot are none of ours.
        let _ = fs::write(slab?.path().join("shrink"), "1");
    }
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    for (key, value) in meminfo.lines().filter_map(|line| line.split_once(':')) {
        if KEYS.contains(&key) {
            let kib = value.trim().trim_end_matches(" kB").parse()?;
            taken.insert(key.to_owned(), kib);
        }
    }
    let models = fs::read_to_string(format!("{SYSFS}/memory"))?;
    let facts = Status::parse(&models);
    if facts.get("source") == Some("reserved") {
        let free = facts.number("free").ok_or("no free memory is told")?;
        taken.insert("free".to_owned(), free);
    }
    Ok(taken)
}

/// Runs all clients until `end`; then the kernel has come to rest.
struct Soak {
    stop: AtomicBool,
    /// Held for writing while all pause.
    pause: RwLock<()>,
}

impl Soak {
    fn run(&self, (name, client): Client) -> Result<Record> {
        let mut record = Record::default();
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let _going: Option<RwLockReadGuard<'_, ()>> = self.pause.read().ok();
            number += 1;
            client(&mut Turn {
                number,
                record: &mut record,
            })
            .map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(record)
    }

    /// The kernel's memory while nobody asks.
    fn rest(&self) -> Result<BTreeMap<String, u64>> {
        let _pause = self.pause.write();
        thread::sleep(DRAIN);
        memory()
    }
}

fn soak(time: Duration, growth: u64) -> Result<bool> {
    while Status::read()?.state() == State::Loading {
        thread::sleep(Duration::from_millis(100));
    }
    let soak = Soak {
        stop: AtomicBool::new(false),
        pause: RwLock::new(()),
    };
    let start = Instant::now();
    let (records, before) = thread::scope(|scope| {
        let clients = CLIENTS.map(|client| {
            let soak = &soak;
            scope.spawn(move || soak.run(client))
        });
        thread::sleep(time / 4);
        let before = soak.rest();
        thread::sleep(time.saturating_sub(start.elapsed()));
        soak.stop.store(true, Ordering::Relaxed);
        (
            clients.map(|client| client.join().unwrap_or_else(|_| Err("it panicked".into()))),
            before,
        )
    });
    let (before, after) = (before?, soak.rest()?);

    let (mut good, mut tests) = (true, 0);
    let mut test = |passed: bool, name: &str, comment: String| {
        let not = if passed { "" } else { "not " };
        tests += 1;
        println!("{not}ok {tests} soak: {name} # {comment}");
        good &= passed;
    };
    for ((name, _), record) in CLIENTS.iter().zip(records) {
        match record {
            Ok(record) => test(
                record.answers > 0 && record.longest < PATIENCE,
                name,
                format!(
                    "{} answers, the longest wait was {} ms",
                    record.answers,
                    record.longest.as_millis()
                ),
            ),
            Err(error) => test(false, name, error.to_string()),
        }
    }
    for (key, after) in &after {
        let before = before.get(key).copied().unwrap_or(0);
        let grown = after.saturating_sub(before);
        let passed = match key.as_str() {
            "free" => *after == before,
            // A part of it is for whoever asks again.
            "Slab" => true,
            _ => grown <= growth,
        };
        test(passed, key, format!("{before} became {after}"));
    }
    let status = Status::read()?;
    for key in ["sessions_active", "requests_waiting"] {
        let number = status.number(key);
        test(number == Some(0), key, format!("{number:?}"));
    }
    println!(
        "# {} s; {} requests served, {} tokens of answers",
        start.elapsed().as_secs(),
        status.number("requests_served").unwrap_or(0),
        status.number("response_tokens").unwrap_or(0)
    );
    Ok(good)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [CHILD] => child().map(|()| true),
        [seconds] => number(seconds).and_then(|s| soak(Duration::from_secs(s), 1024)),
        [seconds, kib] => {
            number(seconds).and_then(|seconds| soak(Duration::from_secs(seconds), number(kib)?))
        }
        _ => Err("usage: soak SECONDS [KIB]".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(word: &str) -> Result<u64> {
    word.parse()
        .map_err(|_| format!("{word} is no number").into())
}
