// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask test`: everything that can go wrong, and how much of it did.

mod ahead;
mod answers;
mod assistant;
mod backend;
mod debian;
mod docs;
mod ends;
mod host;
mod image;
mod kernel;
mod libraries;
mod llamuxd;
mod loading;
mod lsh;
mod monitor;
mod packages;
mod profile;
mod selftests;
mod tools;
mod typed;

use std::fs;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{bail, Context as _, Result};

use crate::context::Context;
use crate::kernel::Source;
use crate::model::{self, Model};
use crate::progress::human_time;
use crate::{compiled, setup, sh};
use answers::{answers_uml, answers_x86_64};
use assistant::answers_about_a_machine;
use backend::backend_uml;
use debian::debian_kernel;
use docs::{documentation, documentation_uml};
use ends::{ends, haiku_uml, haiku_x86_64, last_words, voice};
use host::{clippy, format, fuzz, host, patch_series};
use image::live_image;
use kernel::{build_uml, build_x86_64, clippy_driver, kunit, without};
use libraries::libraries;
use llamuxd::{llamuxd_host, llamuxd_uml};
use loading::{in_place_uml, in_place_x86_64, refusals, signatures};
use lsh::lsh_uml;
use monitor::monitor;
use packages::{kernel_packages, packages};
use profile::{archiso_entry, archiso_profile};
use selftests::{debug_uml, debug_x86_64, selftests, soak};
use tools::{hook_uml, tools};
use typed::{typed_live, typed_uml};

/// Run all tests: the host's, and those of a booted system.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out what builds or boots a kernel.
    #[arg(long, conflicts_with = "all")]
    quick: bool,
    /// Also what takes long: the x86_64 debug kernel, a kernel without Llamux, the larger model, guesses at oopses,
    /// the kernel for PCs, in a live image and as a package of Debian.
    #[arg(long)]
    all: bool,
    /// Only the steps whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    #[command(flatten)]
    source: Source,
}

/// What a step found.
#[derive(Default)]
struct Found {
    passed: u64,
    failed: u64,
    /// What did not pass, and how.
    failures: Vec<String>,
    /// What was not tried, and why.
    skipped: Vec<String>,
}

impl Found {
    fn passed(n: u64) -> Result<Self> {
        Ok(Self {
            passed: n,
            ..Self::default()
        })
    }

    fn skipped(reason: &str) -> Result<Self> {
        Ok(Self {
            skipped: vec![reason.to_owned()],
            ..Self::default()
        })
    }

    /// One test more.
    fn test(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.skipped.extend(other.skipped);
    }
}

/// When a step is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Quick,
    Full,
    All,
}

/// What the steps work with.
struct Lab<'a> {
    cx: &'a Context,
    source: &'a Source,
    level: Level,
}

type Step = fn(&Lab<'_>) -> Result<Found>;

const STEPS: &[(&str, Level, Step)] = &[
    ("format", Level::Quick, format),
    ("clippy", Level::Quick, clippy),
    ("host tests", Level::Quick, host),
    ("patch series", Level::Quick, patch_series),
    (
        "archiso profile and installer",
        Level::Quick,
        archiso_profile,
    ),
    ("documentation", Level::Quick, documentation),
    ("fuzzing", Level::Full, fuzz),
    ("uml: build and object check", Level::Full, build_uml),
    ("uml: KUnit", Level::Full, kunit),
    ("uml: self-tests", Level::Full, selftests),
    ("uml soak: many clients at once", Level::Full, soak),
    ("uml: answers of the host engine", Level::Full, answers_uml),
    (
        "uml: commands of the documentation",
        Level::Full,
        documentation_uml,
    ),
    ("uml: another engine's answers", Level::Full, backend_uml),
    (
        "uml: answers about a machine",
        Level::Full,
        answers_about_a_machine,
    ),
    (
        "uml: libraries for C, Rust and Python",
        Level::Full,
        libraries,
    ),
    ("uml: what people type", Level::Full, typed_uml),
    ("uml: lsh", Level::Full, lsh_uml),
    ("uml: llama-mon", Level::Full, monitor),
    ("uml: models that are refused", Level::Full, refusals),
    ("uml: signatures", Level::Full, signatures),
    ("uml: a model in place", Level::Full, in_place_uml),
    ("uml: ends of a boot", Level::Full, ends),
    ("uml: haiku at the end", Level::Full, haiku_uml),
    (
        "uml: the model's own haiku and greeting",
        Level::Full,
        voice,
    ),
    ("x86_64: build and object check", Level::Full, build_x86_64),
    ("x86_64: haiku at the end", Level::Full, haiku_x86_64),
    ("x86_64: last words", Level::All, last_words),
    (
        "x86_64: answer of the host engine",
        Level::Full,
        answers_x86_64,
    ),
    ("x86_64: a model in place", Level::Full, in_place_x86_64),
    ("uml debug: KUnit and self-tests", Level::Full, debug_uml),
    ("clippy on the driver", Level::Full, clippy_driver),
    (
        "x86_64 debug: KUnit and self-tests",
        Level::All,
        debug_x86_64,
    ),
    ("llamuxd: its clients", Level::Full, llamuxd_host),
    ("uml: llamuxd and its clients", Level::Full, llamuxd_uml),
    ("tools", Level::Full, tools),
    (
        "uml: a model by the hook of mkinitcpio",
        Level::Full,
        hook_uml,
    ),
    (
        "an entry of the installation image",
        Level::All,
        archiso_entry,
    ),
    ("live image", Level::All, live_image),
    ("live image: what people type", Level::All, typed_live),
    ("packages", Level::Full, packages),
    ("packages of the kernel", Level::All, kernel_packages),
    ("debian package of the kernel", Level::All, debian_kernel),
    ("uml without Llamux: build", Level::All, without),
];

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    setup::ensure_tests(cx)?;
    compiled::seed(cx)?;
    let level = match (args.quick, args.all) {
        (true, _) => Level::Quick,
        (_, true) => Level::All,
        _ => Level::Full,
    };
    // The tests of the engine leave out what they find no model for.
    model::find(cx, None)?;
    let lab = Lab {
        cx,
        source: &args.source,
        level,
    };
    let whole = level > Level::Quick && args.only.is_none();
    let started = Instant::now();
    let ahead = whole.then(|| ahead::begin(&lab));
    let mut all = Found::default();
    for (name, needed, step) in STEPS {
        if *needed > level
            || args
                .only
                .as_ref()
                .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        eprintln!("\n== {name}");
        let start = Instant::now();
        // A step that panics is a failed one, and the others still run.
        let found = catch_unwind(AssertUnwindSafe(|| step(&lab)))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
        let found = found.unwrap_or_else(|error| {
            let mut found = Found::default();
            found.test("it", Err(error));
            found
        });
        for failure in &found.failures {
            eprintln!("FAILED {name}: {failure}");
        }
        for reason in &found.skipped {
            eprintln!("skipped {name}: {reason}");
        }
        eprintln!(
            "== {name}: {} passed, {} failed, {}",
            found.passed,
            found.failed,
            human_time(start.elapsed())
        );
        let labelled = |list: Vec<String>| {
            list.into_iter()
                .map(|what| format!("{name}: {what}"))
                .collect()
        };
        all.add(Found {
            failures: labelled(found.failures),
            skipped: labelled(found.skipped),
            ..found
        });
    }
    if ahead.is_some_and(|ahead| ahead.join().is_err()) {
        bail!("building ahead panicked");
    }
    eprintln!("\n{} in all", human_time(started.elapsed()));
    if whole {
        compiled::keep(cx)?;
    }
    for failure in &all.failures {
        println!("failed: {failure}");
    }
    for reason in &all.skipped {
        println!("skipped: {reason}");
    }
    let skipped = match all.skipped.len() {
        0 => String::new(),
        n => format!(", {n} skipped"),
    };
    println!("{} passed, {} failed{skipped}", all.passed, all.failed);
    Ok(if all.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// `llamux-host`, built.
pub(crate) fn host_engine(cx: &Context) -> Result<PathBuf> {
    released(cx, "llamux-host")
}

/// The program of a package of the same name, built for this machine.
pub(crate) fn released(cx: &Context, package: &str) -> Result<PathBuf> {
    let mut cargo = sh::cmd("cargo");
    cargo.current_dir(&cx.root);
    cargo.args(["build", "--quiet", "--release", "--package", package]);
    sh::run(&mut cargo)?;
    Ok(cx.target_dir().join("release").join(package))
}

/// A model with the default one's vocabulary and few made-up weights, for an emulated processor.
fn small_model(lab: &Lab<'_>) -> Result<Model> {
    let file = lab.cx.root.join("target/llamux/small.gguf");
    made_up(lab, &file, 0)?;
    model::of_file(&file)
}

/// Makes such a model; each seed gives other weights.
fn made_up(lab: &Lab<'_>, file: &Path, seed: u64) -> Result<()> {
    fs::create_dir_all(file.parent().context("no directory")?)?;
    let mut synth = sh::cmd(host_engine(lab.cx)?);
    synth.args(["synth", "--arch", "smollm2", "--type", "q4_1", "--vocab"]);
    synth.arg(model::find(lab.cx, None)?.file);
    synth.args(["--layers", "4", "--embedding", "128", "--context", "8192"]);
    synth.args(["--seed", &seed.to_string()]);
    sh::run(synth.arg("--output").arg(file))
}

/// A directory to lay over a system, with a second model that can be loaded there.
fn second_model(lab: &Lab<'_>) -> Result<PathBuf> {
    let overlay = lab.cx.root.join("target/llamux/second");
    made_up(lab, &overlay.join("lib/firmware/llamux/second.gguf"), 1)?;
    Ok(overlay)
}

/// An error with the first complaint of the kernel about itself, if its log has one. What it says when it kills
/// for lack of memory is none: a test wants that.
fn unclean(log: &[String]) -> Result<()> {
    const COMPLAINTS: &[&str] = &[
        "BUG:",
        "WARNING:",
        "KASAN:",
        "UBSAN:",
        "INFO: task",
        "INFO: rcu",
        "possible circular locking",
        "possible recursive locking",
        "inconsistent lock state",
        "suspicious RCU usage",
        "bad unlock balance",
        "sleeping function called",
        "scheduling while atomic",
        "Oops",
        "general protection fault",
        "Call Trace:",
        "ODEBUG:",
        "soft lockup",
        "kernel stack overflow",
    ];
    let wanted = |line: &String| {
        line.contains(" invoked oom-killer: ")
            || line.contains(" pressure: page allocation failure: ")
    };
    let complains = |at: usize| {
        let line = &log[at];
        // Theirs is the next trace.
        let excused =
            line.contains("Call Trace:") && log[at.saturating_sub(12)..at].iter().any(wanted);
        !excused && COMPLAINTS.iter().any(|complaint| line.contains(complaint))
    };
    let at = (0..log.len()).find(|&at| complains(at));
    match at {
        None => Ok(()),
        Some(at) => bail!(
            "the kernel complains:\n{}",
            log[at..]
                .iter()
                .take(30)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_found_in_a_log() {
        let log = |line: &str| ["[ 0.1] llamux: ready".to_owned(), line.to_owned()];
        unclean(&log("[ 0.2] Run /init as init process")).unwrap();
        unclean(&log(
            "[ 0.2] BUG: sleeping function called from invalid context",
        ))
        .unwrap_err();
        unclean(&log(
            "[ 0.2] WARNING: possible circular locking dependency detected",
        ))
        .unwrap_err();
        let mut oom = vec![
            "[ 1.1] hog invoked oom-killer: gfp_mask=0x140cca".to_owned(),
            "[ 1.1] Call Trace:".to_owned(),
            "[ 1.1] Out of memory: Killed process 42 (hog)".to_owned(),
        ];
        unclean(&oom).unwrap();
        oom.extend((0..12).map(|n| format!("[ 1.{n}] something else")));
        oom.push("[ 1.9] Call Trace:".to_owned());
        unclean(&oom).unwrap_err();
    }
}
