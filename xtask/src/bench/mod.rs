// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask bench`: how fast the engine is, on the host and in the kernel, next to llama.cpp.
//!
//! The three take turns on the same file, threads and machine, so that what else the machine does hits
//! all of them, and the table has the medians.

mod host;
mod kernel;
mod llama_cpp;
mod load;
mod plot;
mod report;
mod server;
mod what;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};

use crate::context::Context;
use crate::kernel::Source;
use crate::model::{self, Model};
use crate::progress::human_time;
use crate::setup;
use host::Host;
use kernel::Kernel;
use llama_cpp::LlamaCpp;
pub(crate) use llama_cpp::{answers, prepare, vocabulary, RELEASE};
pub(crate) use load::expect_quiet;
use load::Compile;
use report::{Bandwidth, Figure, Machine, Report, Row};
pub(crate) use server::{Asked, Times};
use what::{Contestant, What, GROUPS};

/// Measure the engine against llama.cpp.
///
/// Prints a table: reading and writing speed at several lengths, the share of the memory's bandwidth,
/// the time to the first token, sessions together, loading, and what the kernel's latency file has.
/// Takes some forty minutes for two models; --only, --model and --rounds make it shorter.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model of configs/models.toml, or a GGUF file; may be repeated [default: those that are here].
    #[arg(long, value_name = "NAME|FILE")]
    model: Vec<String>,
    /// Numbers of threads that compute [default: 1 and 2].
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Vec<u16>,
    /// How often each is measured.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only the rows whose name contains this, as "decode" or "sessions".
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Also decode beside a compile that keeps all processors busy.
    #[arg(long)]
    busy: bool,
    /// Leave out the kernel.
    #[arg(long)]
    host_only: bool,
    /// Measure although something else uses the processors, and say so above the table.
    #[arg(long)]
    loaded: bool,
    /// Write JSON, with every sample, to a file; without one to standard output instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    json: Option<Option<PathBuf>>,
    /// Draw SVG files into target/bench.
    #[arg(long)]
    plot: bool,
    #[command(flatten)]
    source: Source,
}

/// A number that was measured.
type Sample = (What, f64);

/// What a sample belongs to: the model by its place, threads, row, contestant.
type Key = (usize, usize, What, Contestant);

/// One contestant's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    round: u32,
    model: usize,
    threads: usize,
    contestant: Contestant,
    whats: Vec<What>,
}

impl Turn {
    fn busy(&self) -> bool {
        self.whats.contains(&What::Busy)
    }

    /// Roughly how many bytes of weights are read by each thread, which is where the time goes.
    fn cost(&self, models: &[Model]) -> f64 {
        let passes: u32 = self.whats.iter().map(|what| what.passes()).sum();
        let passes = match self.contestant {
            // It tries its settings in the first round, and is not the fastest.
            Contestant::LlamaCpp if self.round == 1 => 4 * passes,
            Contestant::LlamaCpp => 2 * passes,
            // Once more to warm up.
            Contestant::Host => 2 * passes,
            // It has to boot.
            Contestant::Kernel => passes + 100,
        };
        models[self.model].bytes as f64 * f64::from(passes) / self.threads as f64
    }
}

/// llama.cpp's server, if it was built for a benchmark.
pub(crate) fn built_server(cx: &Context) -> Result<Option<PathBuf>> {
    let server = cx
        .cache_dir("llama.cpp")?
        .join("build/bin")
        .join(server::PROGRAM);
    Ok(server.exists().then_some(server))
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    setup::ensure(cx)?;
    let groups = chosen(args.only.as_deref(), args.busy)?;
    let models = if args.model.is_empty() {
        model::here(cx)?
    } else {
        args.model
            .iter()
            .map(|name| model::find(cx, Some(name)))
            .collect::<Result<_>>()?
    };
    let other_load = load::expect_quiet(args.loaded)?;
    let threads: Vec<usize> = match args.threads.is_empty() {
        true => (1..=load::cpus().min(2)).collect(),
        false => args.threads.iter().map(|&count| count.into()).collect(),
    };

    let host = Host::new(cx)?;
    let kernel = Kernel::new(cx, &args.source, &host);
    if !args.host_only {
        kernel.prepare()?;
    }
    let llama_cpp = LlamaCpp::new(cx)?;

    let mut speeds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let mut samples: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
    let turns = turns(&groups, models.len(), &threads, args.rounds, args.host_only);
    let mut clock = Clock::new(turns.iter().map(|turn| turn.cost(&models)).sum());
    let mut compile: Option<Compile> = None;
    let mut round = 0;
    for turn in &turns {
        if turn.round > round {
            round = turn.round;
            compile = None;
            for &threads in &threads {
                let speed = host.bandwidth(threads)?;
                speeds.entry(threads).or_default().push(speed);
            }
        }
        if !turn.busy() {
            compile = None;
        } else if compile.is_none() {
            compile = Some(Compile::start(cx)?);
        }
        let model = &models[turn.model];
        eprintln!(
            "\n== round {} of {}, {}, {}, {}: {}",
            turn.round,
            args.rounds,
            model.name,
            report::threads(turn.threads),
            turn.contestant.name(),
            clock.words()
        );
        let (threads, whats) = (turn.threads, &turn.whats);
        let got = match turn.contestant {
            Contestant::LlamaCpp => llama_cpp.measure(model, threads, whats)?,
            Contestant::Host => host.measure(model, threads, whats)?,
            Contestant::Kernel => kernel.measure(model, threads, whats)?,
        };
        for (what, value) in got {
            eprintln!("   {}: {value:.2} {}", what.name(), what.unit().name);
            let key = (turn.model, threads, what, turn.contestant);
            samples.entry(key).or_default().push(value);
        }
        if let Some(compile) = &mut compile {
            compile.check()?;
        }
        clock.advance(turn.cost(&models));
    }
    drop(compile);

    let mut rows = Vec::new();
    for (i, model) in models.iter().enumerate() {
        let bytes = host.bytes_per_token(model)?;
        for &threads in &threads {
            let read = Figure::new(speeds.get(&threads).map_or(&[], Vec::as_slice));
            for &what in groups.iter().flatten() {
                let figure = |contestant| {
                    let of = samples.get(&(i, threads, what, contestant))?;
                    Figure::new(of)
                };
                let row = Row {
                    model: model.name.clone(),
                    threads,
                    what: what.name(),
                    unit: what.unit().name,
                    more_is_better: what.unit().more_is_better,
                    llama_cpp: figure(Contestant::LlamaCpp),
                    llama_cpp_setting: figure(Contestant::LlamaCpp)
                        .and_then(|_| llama_cpp.setting(model, threads, what)),
                    host: figure(Contestant::Host),
                    uml_kernel: figure(Contestant::Kernel),
                };
                let none = Contestant::ALL.iter().all(|&of| row.of(of).is_none());
                let share = read.as_ref().map(|read| {
                    let share = 100.0 * bytes as f64 / read.median;
                    row.share("weights read while decoding", "% of bandwidth", share)
                });
                rows.extend((!none).then_some(row));
                rows.extend(share.filter(|_| what == What::Decode(0) && !none));
            }
        }
    }
    let bandwidth = speeds.iter().filter_map(|(&threads, speeds)| {
        Some(Bandwidth {
            threads,
            bytes_per_second: Figure::new(speeds)?,
        })
    });
    let report = Report {
        command: command(),
        machine: Machine::new(),
        llama_cpp: llama_cpp::RELEASE,
        llama_cpp_tried: llama_cpp.tried(),
        rounds: args.rounds,
        other_load,
        bandwidth: bandwidth.collect(),
        rows,
    };
    eprintln!("\nbench: took {}", human_time(clock.begun.elapsed()));
    if args.plot {
        let dir = cx.root.join("target/bench");
        for file in plot::draw(&report, &dir)? {
            eprintln!("bench: drew {}", file.display());
        }
    }
    match &args.json {
        Some(Some(file)) => {
            fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
            print!("{}", report.markdown());
        }
        Some(None) => println!("{}", serde_json::to_string_pretty(&report)?),
        None => print!("{}", report.markdown()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The command as it was typed.
fn command() -> String {
    let words: Vec<_> = std::env::args()
        .skip(1)
        .map(|word| crate::sh::quote(word.as_ref()))
        .collect();
    format!("cargo xtask {}", words.join(" "))
}

/// The groups of rows that are wanted.
fn chosen(only: Option<&str>, busy: bool) -> Result<Vec<Vec<What>>> {
    let wanted = |what: &What| {
        (busy || *what != What::Busy) && only.is_none_or(|only| what.name().contains(only))
    };
    let groups = GROUPS
        .iter()
        .map(|group| group.iter().copied().filter(wanted).collect::<Vec<_>>());
    let groups: Vec<_> = groups.filter(|group| !group.is_empty()).collect();
    if groups.is_empty() {
        let names: Vec<_> = GROUPS
            .iter()
            .copied()
            .flatten()
            .map(|what| what.name())
            .collect();
        bail!(
            "no row is named like that (the one beside a compile wants --busy too); there are: {}",
            names.join("; ")
        );
    }
    Ok(groups)
}

/// Who is measured when. The programs take turns for each group of rows, and change who begins with each
/// round; a kernel boots once for all of its rows.
fn turns(
    groups: &[Vec<What>],
    models: usize,
    threads: &[usize],
    rounds: u32,
    host_only: bool,
) -> Vec<Turn> {
    let mut turns = Vec::new();
    for round in 1..=rounds {
        let mut programs = [Contestant::LlamaCpp, Contestant::Host];
        if round % 2 == 0 {
            programs.reverse();
        }
        let most = threads.iter().max();
        for (model, threads) in (0..models).flat_map(|i| threads.iter().map(move |t| (i, t))) {
            let mut turn = |contestant: Contestant, whats: &[What]| {
                let wanted = |what: &What| {
                    what.of(contestant) && (what.with_each() || Some(threads) == most)
                };
                let whats: Vec<_> = whats.iter().copied().filter(wanted).collect();
                let left_out = host_only && contestant == Contestant::Kernel;
                if !whats.is_empty() && !left_out {
                    turns.push(Turn {
                        round,
                        model,
                        threads: *threads,
                        contestant,
                        whats,
                    });
                }
            };
            let (busy, quiet): (Vec<_>, Vec<_>) =
                groups.iter().partition(|group| group.contains(&What::Busy));
            for groups in [quiet, busy] {
                for group in &groups {
                    for contestant in programs {
                        turn(contestant, group);
                    }
                }
                turn(
                    Contestant::Kernel,
                    &groups.into_iter().flatten().copied().collect::<Vec<_>>(),
                );
            }
        }
    }
    turns
}

/// How long it takes, as far as can be said.
struct Clock {
    begun: Instant,
    done: f64,
    all: f64,
}

impl Clock {
    /// What costs are measured in is what a second is assumed to do until something is known.
    const GUESS: f64 = 2.5e10;

    fn new(all: f64) -> Self {
        Self {
            begun: Instant::now(),
            done: 0.0,
            all,
        }
    }

    fn advance(&mut self, cost: f64) {
        self.done += cost;
    }

    fn words(&self) -> String {
        let gone = self.begun.elapsed();
        let left = self.left(gone.as_secs_f64());
        let left = human_time(Duration::try_from_secs_f64(left).unwrap_or_default());
        format!("{} gone, about {left} left", human_time(gone))
    }

    fn left(&self, gone: f64) -> f64 {
        let left = self.all - self.done;
        // The first turns say little about all.
        let rate = match gone > 20.0 && self.done > 0.0 {
            true => self.done / gone,
            false => Self::GUESS,
        };
        left / rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name() {
        let names = |only, busy| -> Vec<String> {
            let groups = chosen(only, busy).unwrap();
            groups.iter().flatten().map(|what| what.name()).collect()
        };
        assert_eq!(
            names(Some("prefill"), false),
            ["prefill of 128", "prefill of 512"]
        );
        assert_eq!(names(Some("beside"), true), ["decode beside a compile"]);
        assert!(!names(None, false).contains(&What::Busy.name()));
        assert!(chosen(Some("beside"), false).is_err());
        assert!(chosen(Some("nothing"), true).is_err());
    }

    #[test]
    fn everybody_is_measured_equally_often_and_in_turns() {
        let groups = chosen(None, true).unwrap();
        let turns = turns(&groups, 2, &[1, 2], 2, false);
        for (what, threads) in [
            (What::Prefill(128), 2),
            (What::Decode(2048), 2),
            (What::Sessions(4), 1),
            (What::Busy, 1),
        ] {
            for contestant in Contestant::ALL {
                let times = turns
                    .iter()
                    .filter(|turn| turn.contestant == contestant && turn.whats.contains(&what));
                assert_eq!(times.count(), 2 * 2 * threads, "{what:?} {contestant:?}");
            }
        }
        let first = |round| turns.iter().find(|turn| turn.round == round).unwrap();
        assert_ne!(first(1).contestant, first(2).contestant);
        // A compile runs beside nothing else.
        for turn in turns.iter().filter(|turn| turn.busy()) {
            assert_eq!(turn.whats, [What::Busy]);
        }
        let most = turns.iter().filter(|turn| turn.whats.contains(&What::Load));
        assert!(most.clone().count() > 0 && most.clone().all(|turn| turn.threads == 2));
        let kernels = turns
            .iter()
            .filter(|turn| turn.contestant == Contestant::Kernel);
        assert_eq!(kernels.count(), 2 * 2 * 2 + 2 * 2);
    }

    #[test]
    fn the_kernel_can_be_left_out() {
        let groups = chosen(None, true).unwrap();
        let turns = turns(&groups, 1, &[1, 2], 1, true);
        assert!(turns
            .iter()
            .all(|turn| turn.contestant != Contestant::Kernel));
    }

    #[test]
    fn the_time_left_shrinks() {
        let mut clock = Clock::new(100.0);
        clock.advance(50.0);
        assert_eq!(clock.left(50.0), 50.0);
        clock.advance(25.0);
        assert_eq!(clock.left(75.0), 25.0);
    }
}
