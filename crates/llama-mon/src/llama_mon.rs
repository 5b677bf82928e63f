// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command `llama-mon`, as a library so that its manual page is made from the same table.

mod act;
mod app;
pub mod cli;
mod figures;
mod panes;
mod rates;
mod report;
mod screen;
mod snapshot;
mod terminal;
#[cfg(test)]
mod testing;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser as _;
use llamux::State;
use llamux_usage::complain;
use ratatui::crossterm::event::{self, Event};

use crate::act::{Access, Change};
use crate::app::{App, Effect};
use crate::cli::Cli;
use crate::panes::{Findings, Look, Told};
use crate::rates::Rates;
use crate::snapshot::{Snapshot, Source};
use crate::terminal::Screen;

/// How often the machine is looked at, beside the kernel's model: that costs more.
const MACHINE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a key may be waited for before news are looked at.
const TICK: Duration = Duration::from_millis(50);

/// A failure and the exit status that goes with it; [`cli::USAGE`] has the table for people.
#[derive(Debug)]
struct Failure {
    exit: u8,
    message: String,
}

impl Failure {
    fn new(exit: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message }
    }

    /// Standard output failed.
    fn output(error: &io::Error) -> Self {
        Self::new(1, format!("standard output: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<llamux::Error> for Failure {
    fn from(error: llamux::Error) -> Self {
        let exit = match error {
            llamux::Error::NotSupported { .. } => 3,
            _ => 1,
        };
        Self::new(exit, error.to_string())
    }
}

/// The program. Clap ends it by itself for `--help`, `--version` (0) and wrong usage (2).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = run(&cli).unwrap_or_else(|failure| {
        complain!("llama-mon: {failure}");
        failure.exit
    });
    ExitCode::from(exit)
}

fn run(cli: &Cli) -> Result<u8, Failure> {
    let mut source = Source::new(&cli.root);
    // Before anything else, what cannot work is said.
    let first = source.read()?;
    let machine = Machine::of(cli, &source)?;
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if cli.once {
        once(cli, &mut source, first, &machine, true)
    } else if cli.json {
        objects(cli, &mut source, first, &machine)
    } else if !io::stdout().is_terminal() {
        let why = "standard output is no terminal: use --once or --json";
        Err(Failure::new(2, why))
    } else if dumb {
        loop {
            let snapshot = source.read()?;
            once(cli, &mut source, snapshot, &machine, false)?;
            thread::sleep(cli.interval);
        }
    } else {
        watch(cli, source, first, machine)
    }
}

/// What looks at the machine.
enum Machine {
    /// Nobody, and why.
    Nobody(&'static str),
    /// The facts of one time.
    Recorded(Vec<llamux_facts::Finding>),
    /// This one.
    Here,
}

impl Machine {
    fn of(cli: &Cli, source: &Source) -> Result<Self, Failure> {
        match &cli.facts {
            Some(file) => read_facts(file).map(Self::Recorded),
            None if source.is_recording() => Ok(Self::Nobody(
                "not looked at, as files of another one are shown",
            )),
            None => Ok(Self::Here),
        }
    }

    /// Looks, which takes a second of this one.
    fn look(&self) -> Findings {
        match self {
            Self::Nobody(why) => Findings::None((*why).to_owned()),
            Self::Recorded(findings) => Findings::Found(findings.clone()),
            Self::Here => {
                let facts = llamux_facts::collect(&llamux_facts::Options::default());
                Findings::Found(llamux_facts::findings(&facts))
            }
        }
    }
}

fn read_facts(file: &Path) -> Result<Vec<llamux_facts::Finding>, Failure> {
    let facts = llamux_facts::read(file).map_err(|error| Failure::new(1, error.to_string()))?;
    Ok(llamux_facts::findings(&facts))
}

/// Looks a second time. A recording is what it is.
fn second(cli: &Cli, source: &mut Source, since: Instant) -> Result<Snapshot, Failure> {
    if !source.is_recording() {
        thread::sleep(cli.interval.saturating_sub(since.elapsed()));
    }
    Ok(source.read()?)
}

/// Prints everything as text.
fn once(
    cli: &Cli,
    source: &mut Source,
    first: Snapshot,
    machine: &Machine,
    ends: bool,
) -> Result<u8, Failure> {
    let start = Instant::now();
    let findings = machine.look();
    let snapshot = second(cli, source, start)?;
    let rates = Rates::between(&first, &snapshot);
    let told = Told {
        snapshot: &snapshot,
        rates: &rates,
        findings: &findings,
        history: &[],
        look: Look::PLAIN,
    };
    let recorded = if source.is_recording() {
        ", recorded"
    } else {
        ""
    };
    let mut text = told.plain(recorded);
    if !ends {
        text.push('\n');
    }
    print(&text)?;
    Ok(match snapshot.status.state() {
        State::Ready => 0,
        _ => 4,
    })
}

/// Prints objects, one a line.
fn objects(
    cli: &Cli,
    source: &mut Source,
    first: Snapshot,
    machine: &Machine,
) -> Result<u8, Failure> {
    let count = cli.count.unwrap_or(1);
    let mut before = first;
    let mut findings = Findings::Looking;
    let mut looked: Option<Instant> = None;
    let mut printed = 0;
    while count == 0 || printed < count {
        let start = Instant::now();
        if looked.is_none_or(|at| at.elapsed() >= MACHINE_INTERVAL) {
            findings = machine.look();
            looked = Some(Instant::now());
        }
        let snapshot = second(cli, source, start)?;
        if source.is_recording() && printed > 0 {
            thread::sleep(cli.interval);
        }
        let rates = Rates::between(&before, &snapshot);
        let object = report::json(&snapshot, &rates, &findings);
        if !print(&format!("{object}\n"))? {
            break;
        }
        before = snapshot;
        printed += 1;
    }
    Ok(0)
}

/// Whether anybody still reads.
fn print(text: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::output(&error)),
    }
}

/// What threads tell the one that draws.
enum News {
    Seen(Box<Snapshot>),
    /// The kernel could not be looked at.
    Blind(String),
    Machine(Findings),
    Applied(Result<String, String>),
}

/// Shows the screen until a key ends it. Whatever may wait is done by other threads.
fn watch(cli: &Cli, source: Source, first: Snapshot, machine: Machine) -> Result<u8, Failure> {
    let access = match source.is_recording() {
        true => Access::none("files of another system are shown, and nothing is changed"),
        false => Access::of_caller(),
    };
    let look = terminal::look(|name| std::env::var(name).ok());
    let mut app = App::new(look, access);
    app.seen(first);
    let (sender, news) = mpsc::channel();
    let interval = cli.interval;
    start("kernel", &sender, move |sender| {
        look_at_kernel(source, interval, &sender)
    })?;
    start("machine", &sender, move |sender| loop {
        if sender.send(News::Machine(machine.look())).is_err() || !matches!(machine, Machine::Here)
        {
            break;
        }
        thread::sleep(MACHINE_INTERVAL);
    })?;
    let mut screen = Screen::take().map_err(|error| Failure::output(&error))?;
    let result = keys(&mut screen, &mut app, &news, &sender);
    drop(screen);
    result.map_err(|error| Failure::new(1, format!("terminal: {error}")))?;
    Ok(0)
}

fn start(
    name: &str,
    sender: &Sender<News>,
    work: impl FnOnce(Sender<News>) + Send + 'static,
) -> Result<(), Failure> {
    let sender = sender.clone();
    let thread = thread::Builder::new().name(name.to_owned());
    let what = name.to_owned();
    let started = thread.spawn(move || {
        let told = sender.clone();
        if catch_unwind(AssertUnwindSafe(|| work(sender))).is_err() {
            let why = format!("llama-mon has a bug: its thread \"{what}\" panicked");
            let _ = told.send(News::Blind(why));
        }
    });
    started
        .map(drop)
        .map_err(|error| Failure::new(1, format!("a thread: {error}")))
}

fn look_at_kernel(mut source: Source, interval: Duration, sender: &Sender<News>) {
    loop {
        thread::sleep(interval);
        let news = match source.read() {
            Ok(snapshot) => News::Seen(Box::new(snapshot)),
            Err(error) => News::Blind(error.to_string()),
        };
        if sender.send(news).is_err() {
            break;
        }
    }
}

fn keys(
    screen: &mut Screen,
    app: &mut App,
    news: &Receiver<News>,
    sender: &Sender<News>,
) -> io::Result<()> {
    let mut changed = true;
    loop {
        while let Ok(news) = news.try_recv() {
            match news {
                News::Seen(snapshot) => app.seen(*snapshot),
                News::Blind(why) => app.message = Some(Err(why)),
                News::Machine(findings) => app.findings = findings,
                News::Applied(result) => app.message = Some(result),
            }
            changed = true;
        }
        if changed || Screen::was_lost() {
            screen.draw(|frame| screen::draw(frame, app))?;
            changed = false;
        }
        if !event::poll(TICK)? {
            continue;
        }
        changed = true;
        let Event::Key(key) = event::read()? else {
            continue;
        };
        match app.key(key) {
            None => (),
            Some(Effect::Quit) => return Ok(()),
            Some(Effect::Suspend) => terminal::suspend(),
            Some(Effect::Apply(change)) => apply(change, sender),
        }
    }
}

/// Makes a change, which may take the kernel a while.
fn apply(change: Change, sender: &Sender<News>) {
    let sent = sender.clone();
    let thread = thread::Builder::new().name("change".to_owned());
    let started = thread.spawn(move || {
        // If nobody listens any more, the screen is gone.
        let _ = sent.send(News::Applied(act::apply(&change)));
    });
    if let Err(error) = started {
        let _ = sender.send(News::Applied(Err(format!("a thread: {error}"))));
    }
}
