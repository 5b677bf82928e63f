// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask test`: everything that can go wrong, and how much of it did.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use serde::Deserialize;

use crate::context::Context;
use crate::kernel::{build, prepare, Flavour, Source, Target, Variant};
use crate::machine::Outcome;
use crate::model::{self, Model};
use crate::progress::human_time;
use crate::run::{self, quoted, Boot};
use crate::toolchain::Toolchain;
use crate::{initramfs, lock, series, setup, sh};

/// Run all tests: the host's, and those of a booted system.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out what builds or boots a kernel.
    #[arg(long, conflicts_with = "all")]
    quick: bool,
    /// Also what takes long: the x86_64 debug kernel, a kernel without Llamux, the larger model.
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
    ("fuzzing", Level::Full, fuzz),
    ("uml: build and object check", Level::Full, build_uml),
    ("uml: KUnit", Level::Full, kunit),
    ("uml: self-tests", Level::Full, selftests),
    ("uml soak: many clients at once", Level::Full, soak),
    ("uml: answers of the host engine", Level::Full, answers_uml),
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
    ("x86_64: last words", Level::Full, last_words),
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
    ("uml without Llamux: build", Level::All, without),
];

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    setup::ensure(cx)?;
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
    let mut all = Found::default();
    let started = Instant::now();
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
    eprintln!("\n{} in all", human_time(started.elapsed()));
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

fn cargo(lab: &Lab<'_>) -> std::process::Command {
    let mut cargo = sh::cmd("cargo");
    cargo
        .current_dir(&lab.cx.root)
        .env("LLAMUX_MODELS", model::dir(lab.cx));
    cargo
}

fn format(lab: &Lab<'_>) -> Result<Found> {
    let mut found = Found::default();
    found.test(
        "cargo fmt",
        sh::run(cargo(lab).args(["fmt", "--all", "--check"])),
    );
    // The driver is no member of the workspace: only kbuild can compile it.
    let driver: Vec<_> = prepare::files(&lab.cx.root.join("crates/llamux-kernel"))?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .collect();
    let mut rustfmt = sh::cmd("rustfmt");
    rustfmt
        .current_dir(&lab.cx.root)
        .args(["--check", "--edition", "2021"]);
    // Each file by itself: the modules that a file names are on the list anyway.
    found.test("rustfmt", sh::run(rustfmt.args(driver)));
    Ok(found)
}

fn clippy(lab: &Lab<'_>) -> Result<Found> {
    if sh::read(cargo(lab).args(["clippy", "--version"])).is_err() {
        return Found::skipped("there is no cargo clippy (rustup component add clippy)");
    }
    sh::run(cargo(lab).args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    Found::passed(1)
}

/// The workspace's own tests, counted by what their harness says.
fn host(lab: &Lab<'_>) -> Result<Found> {
    let mut found = Found::default();
    if lab.level == Level::All {
        model::find(lab.cx, Some("qwen2.5-coder-1.5b"))?;
    } else if !model::dir(lab.cx).join("qwen2.5-coder-1.5b.gguf").exists() {
        found.skipped.push(
            "what needs qwen2.5-coder-1.5b (`cargo xtask model fetch qwen2.5-coder-1.5b`, or --all)".to_owned(),
        );
    }
    let mut test = cargo(lab);
    test.args(["test", "--workspace", "--no-fail-fast"]);
    sh::announce(&test);
    let output = test
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    eprint!("{text}");
    let (passed, failed, ignored) = harness_counts(&text);
    found.passed = passed;
    found.failed = failed;
    found.failures.extend(
        text.lines()
            .filter(|line| line.starts_with("test ") && line.ends_with("FAILED"))
            .map(str::to_owned),
    );
    if ignored > 0 {
        found
            .skipped
            .push(format!("{ignored} tests that are marked as ignored"));
    }
    if passed == 0 || (!output.status.success() && failed == 0) {
        bail!("cargo test failed: {}", output.status);
    }
    Ok(found)
}

/// Sums up lines like `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
fn harness_counts(text: &str) -> (u64, u64, u64) {
    let mut counts = (0, 0, 0);
    for line in text
        .lines()
        .filter(|line| line.starts_with("test result: "))
    {
        for part in line.split([';', '.']) {
            let mut words = part.split_whitespace();
            if let (Some(Ok(n)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) {
                match what {
                    "passed" => counts.0 += n,
                    "failed" => counts.1 += n,
                    "ignored" => counts.2 += n,
                    _ => {}
                }
            }
        }
    }
    counts
}

fn patch_series(lab: &Lab<'_>) -> Result<Found> {
    series::make(lab.cx, lab.source, true)?;
    Found::passed(1)
}

/// Each fuzz target for a bounded time.
///
/// What `cargo fuzz` would do with a nightly compiler, but for the address sanitizer, which safe code
/// can do without: the coverage that guides libFuzzer is a stable option.
fn fuzz(lab: &Lab<'_>) -> Result<Found> {
    let dir = lab.cx.root.join("fuzz");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target_dir = lab.cx.target_dir().join("fuzz");
    let flags = [
        "--cfg=fuzzing",
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
    ];
    let mut build = cargo(lab);
    build.current_dir(&dir).env("RUSTFLAGS", flags.join(" "));
    build
        .args(["build", "--release", "--target", &triple, "--target-dir"])
        .arg(&target_dir);
    sh::run(&mut build)?;
    let mut found = Found::default();
    let seconds = if lab.level == Level::All { 300 } else { 20 };
    let mut targets: Vec<_> = fs::read_dir(dir.join("fuzz_targets"))?
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    targets.sort();
    for target in targets {
        // An input that breaks something is left there, and the error names it.
        let artifacts = dir.join("artifacts").join(&target);
        fs::create_dir_all(&artifacts)?;
        let mut run = sh::cmd(target_dir.join(&triple).join("release").join(&target));
        run.arg(format!("-max_total_time={seconds}"))
            .arg("-verbosity=0");
        run.arg(format!("-artifact_prefix={}/", artifacts.display()));
        found.test(&target, sh::run(&mut run));
    }
    Ok(found)
}

fn built(lab: &Lab<'_>, variant: Variant) -> Result<Found> {
    let _lock = lock::take(&lab.cx.cache.join("kernel.lock"))?;
    build::build(lab.cx, lab.source, variant)?;
    // The build and the object check that is a part of it.
    Found::passed(2)
}

fn build_uml(lab: &Lab<'_>) -> Result<Found> {
    built(lab, Variant::new(Target::Uml, false))
}

fn build_x86_64(lab: &Lab<'_>) -> Result<Found> {
    built(lab, Variant::new(Target::X86_64, false))
}

fn without(lab: &Lab<'_>) -> Result<Found> {
    built(
        lab,
        Variant {
            target: Target::Uml,
            flavour: Flavour::WithoutLlamux,
        },
    )?;
    Found::passed(1)
}

fn clippy_driver(lab: &Lab<'_>) -> Result<Found> {
    let toolchain = Toolchain::find(lab.cx)?;
    if toolchain.rustc.clippy_driver().is_none() {
        return Found::skipped(&format!(
            "there is no clippy-driver beside {}, and only the kernel's own compiler can see the driver",
            toolchain.rustc.path.display()
        ));
    }
    built(
        lab,
        Variant {
            target: Target::Uml,
            flavour: Flavour::Clippy,
        },
    )?;
    Found::passed(1)
}

fn kunit(lab: &Lab<'_>) -> Result<Found> {
    let mut boot = Boot::new(Target::Uml, lab.source, "true");
    boot.append.push("kunit.enable=1".to_owned());
    let outcome = boot.run(lab.cx)?;
    outcome.status()?;
    kunit_results(&outcome.log)
}

/// The test cases of the kernel's log, in the format KTAP.
fn kunit_results(log: &[String]) -> Result<Found> {
    let mut found = Found::default();
    for line in log {
        // `[    0.100000]     ok 1 name`: cases are indented, suites are not.
        let text = line
            .split_once("] ")
            .map_or(line.as_str(), |(_, text)| text);
        let case = text.trim_start();
        if case.len() == text.len() {
            continue;
        }
        if let Some(name) = case.strip_prefix("not ok ") {
            found.failed += 1;
            found.failures.push(format!("KUnit: {name}"));
        } else if let Some(name) = case.strip_prefix("ok ") {
            match name.split_once("# SKIP") {
                Some(_) => found.skipped.push(format!("KUnit: {name}")),
                None => found.passed += 1,
            }
        }
    }
    if found.passed + found.failed == 0 {
        bail!("no KUnit test ran");
    }
    Ok(found)
}

/// All of the kernel's own self-tests.
const SELFTESTS: &str = "for test in /usr/lib/llamux/selftests/*; do echo \"# $test\"; $test; done";
/// Those that need no model; some of them need that there is none.
const SELFTESTS_WITHOUT_MODEL: &str =
    "for test in /usr/lib/llamux/selftests/*; do echo \"# $test\"; $test -f global; done";

fn selftests(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let second = second_model(lab)?;
    let mut results = SelfTests::default();
    let mut boot = Boot::new(Target::Uml, lab.source, SELFTESTS);
    boot.model = Some(&model);
    boot.overlay = Some(&second);
    results.add(&boot.run(lab.cx)?)?;
    // With memory from vmalloc, too.
    let mut boot = Boot::new(Target::Uml, lab.source, "/usr/lib/llamux/selftests/models");
    boot.model = Some(&model);
    boot.overlay = Some(&second);
    boot.append.push("llamux_mem=0".to_owned());
    results.add(&boot.run(lab.cx)?)?;
    let without = Boot::new(Target::Uml, lab.source, SELFTESTS_WITHOUT_MODEL);
    results.add(&without.run(lab.cx)?)?;
    let mut refused = Vec::new();
    for (words, wanted) in THREADS {
        let mut boot = Boot::new(Target::Uml, lab.source, "/usr/lib/llamux/selftests/threads");
        boot.model = Some(&model);
        boot.append.push((*words).to_owned());
        let outcome = boot.run(lab.cx)?;
        results.add(&outcome)?;
        for wanted in *wanted {
            let lines = outcome.log.iter().filter(|line| line.contains(wanted));
            refused.push((*wanted, lines.count()));
        }
    }
    let mut found = results.found()?;
    for (wanted, lines) in refused {
        found.test(
            wanted,
            match lines {
                1 => Ok(()),
                _ => Err(anyhow::anyhow!("the log has {lines} such lines")),
            },
        );
    }
    Ok(found)
}

/// Clients of all kinds for a minute; with everything, for half an hour, and under the kernel's own checks.
fn soak(lab: &Lab<'_>) -> Result<Found> {
    let long = lab.level == Level::All;
    let seconds = if long { 1800 } else { 60 };
    let model = model::find(lab.cx, None)?;
    let overlay = lab.cx.root.join("target/llamux/soak");
    made_up(lab, &overlay.join("lib/firmware/llamux/second.gguf"), 1)?;
    fs::create_dir_all(overlay.join("usr/bin"))?;
    fs::copy(run::soak(lab.cx)?, overlay.join("usr/bin/soak"))?;
    let command = format!("soak {seconds}");
    let mut boot = Boot::new(Target::Uml, lab.source, &command);
    boot.debug = long;
    boot.model = Some(&model);
    boot.overlay = Some(&overlay);
    boot.timeout = Some(Duration::from_secs(seconds + 600));
    let outcome = boot.run(lab.cx)?;
    let mut results = SelfTests::default();
    results.add(&outcome)?;
    let mut found = results.found()?;
    found.test(
        "its end",
        match outcome.status()? {
            0 => Ok(()),
            status => Err(anyhow::anyhow!("status {status}: {}", outcome.output)),
        },
    );
    found.test("a clean log", unclean(&outcome.log));
    Ok(found)
}

/// Words for the command line, and what the log must say about them.
const THREADS: &[(&str, &[&str])] = &[
    ("llamux.cpus=1 llamux.nice=7", &[]),
    (
        "llamux.cpus=0-x llamux.nice=20 llamux.threads=999",
        &[
            "llamux.cpus=0-x: not a list",
            "llamux.nice=20: not from -20 to 19",
            "llamux.threads=999: only",
        ],
    ),
    (
        "llamux.sessions=0 llamux.cache=1 llamux.requant=q9",
        &[
            "llamux.sessions=0: not from 1 to 64; using 4",
            "llamux.cache=1: less than 4352",
            "llamux.requant=q9: not one of F32, F16,",
        ],
    ),
    (
        "llamux.sessions=1 llamux.requant=q4_0",
        &["tensors were given the type Q4_0, which saves"],
    ),
];

/// The results that kselftest's harness prints in the format TAP, by the tests' names.
#[derive(Default)]
struct SelfTests(BTreeMap<String, TestResult>);

/// Ordered: a test that fails in one boot has failed, one that ran in any was not skipped.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum TestResult {
    Skipped(String),
    Passed,
    Failed,
}

impl SelfTests {
    fn add(&mut self, outcome: &Outcome) -> Result<()> {
        eprint!("{}", outcome.output);
        outcome.status()?;
        for line in outcome.output.lines() {
            let (text, passed) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
                (Some(text), _) => (text, true),
                (_, Some(text)) => (text, false),
                _ => continue,
            };
            // `12 fixture.test # SKIP reason`
            let (name, comment) = text.split_once(" # ").unwrap_or((text, ""));
            let name = name.split_once(' ').map_or(name, |(_, name)| name);
            let result = match (passed, comment.strip_prefix("SKIP")) {
                (false, _) => TestResult::Failed,
                (true, Some(reason)) => TestResult::Skipped(reason.trim().to_owned()),
                (true, None) => TestResult::Passed,
            };
            let before = self
                .0
                .entry(name.to_owned())
                .or_insert(TestResult::Skipped(String::new()));
            if result >= *before {
                *before = result;
            }
        }
        Ok(())
    }

    fn found(self) -> Result<Found> {
        let mut found = Found::default();
        for (name, result) in self.0 {
            match result {
                TestResult::Passed => found.passed += 1,
                TestResult::Skipped(reason) => found.skipped.push(format!("{name}: {reason}")),
                TestResult::Failed => {
                    found.failed += 1;
                    found.failures.push(format!("self-test {name}"));
                }
            }
        }
        if found.passed + found.failed == 0 {
            bail!("no self-test ran");
        }
        Ok(found)
    }
}

/// What `llama --json` prints, as far as it is compared.
#[derive(Deserialize)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) prompt_tokens: u64,
    pub(crate) tokens: u64,
}

/// What `llamux-host generate --json` prints, as far as it is compared.
#[derive(Deserialize)]
struct Generated {
    prompt_tokens: Vec<u64>,
    tokens: Vec<u64>,
    text: String,
}

/// A prompt that all kinds of tokens follow.
const PROMPTS: &[&str; 3] = &[
    "The capital of France is",
    "def fibonacci(n):\n    \"\"\"Returns the n-th number.\"\"\"\n",
    "Once upon a time, in a land far away, there was",
];

fn answers_uml(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let mut found = answers(lab, Target::Uml, &model, PROMPTS, 48)?;
    found.add(embeddings(lab, &model)?);
    if lab.level == Level::All {
        let larger = model::find(lab.cx, Some("qwen2.5-coder-1.5b"))?;
        found.add(answers(lab, Target::Uml, &larger, &PROMPTS[..2], 32)?);
    }
    Ok(found)
}

fn answers_x86_64(lab: &Lab<'_>) -> Result<Found> {
    answers(
        lab,
        Target::X86_64,
        &model::find(lab.cx, None)?,
        &PROMPTS[..1],
        16,
    )
}

/// Asks the booted kernel and the host engine the same, both without chance.
fn answers(
    lab: &Lab<'_>,
    target: Target,
    model: &Model,
    prompts: &[&str],
    tokens: u32,
) -> Result<Found> {
    let script: String = prompts
        .iter()
        .map(|prompt| {
            format!(
                "llama --json --raw --temperature 0 --max-tokens {tokens} -- {} || exit\n",
                quoted(prompt)
            )
        })
        .collect();
    let script = script + "sed -n 's/^kernels: //p' /proc/llamux/status\n";
    let mut boot = Boot::new(target, lab.source, &script);
    boot.model = Some(model);
    // Software emulation of a processor is slow.
    boot.timeout = Some(Duration::from_secs(1200));
    let outcome = boot.run(lab.cx)?;
    let status = outcome.status()?;
    if status != 0 {
        bail!("llama failed with status {status}: {}", outcome.output);
    }
    // An emulated processor has not all instructions of the host's. Other ones add in another order, and
    // between two words that are about as likely this decides.
    let (answers, kernels) = outcome
        .output
        .trim_end()
        .rsplit_once('\n')
        .context("there are no answers")?;
    let mut lines = answers.lines();
    let mut found = Found::default();
    for prompt in prompts {
        let line = lines
            .next()
            .context("there are fewer answers than questions")?;
        let asked: Asked =
            serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let expected = generate(lab, model, prompt, tokens, kernels)?;
        found.test(&format!("{prompt:?}"), same(&asked, &expected));
    }
    Ok(found)
}

/// Has the booted kernel and the host engine make vectors of the same texts.
fn embeddings(lab: &Lab<'_>, model: &Model) -> Result<Found> {
    let texts = PROMPTS.map(quoted).join(" ");
    let script = format!(
        "llama embed --model {} -- {texts} || exit\n\
         sed -n 's/^kernels: //p' /proc/llamux/status\n",
        model.name
    );
    let mut boot = Boot::new(Target::Uml, lab.source, &script);
    boot.model = Some(model);
    let outcome = boot.run(lab.cx)?;
    if outcome.status()? != 0 {
        bail!("llama failed: {}", outcome.output);
    }
    let (vectors, kernels) = outcome
        .output
        .trim_end()
        .rsplit_once('\n')
        .context("there are no vectors")?;
    let mut host = sh::cmd(host_engine(lab.cx)?);
    host.arg("embed").arg("--model").arg(&model.file);
    host.args(["--threads", "2", "--kernels", kernels]);
    for text in PROMPTS {
        host.args(["--text", text]);
    }
    sh::announce(&host);
    let read = |lines: &str| -> Result<Vec<Vec<f32>>> {
        let line = |line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"));
        lines.lines().map(line).collect()
    };
    let (vectors, expected) = (read(vectors)?, read(&sh::read(&mut host)?)?);
    let mut found = Found::default();
    for (index, prompt) in PROMPTS.iter().enumerate() {
        let (vector, expected) = (vectors.get(index), expected.get(index));
        found.test(
            &format!("the vector of {prompt:?}"),
            match vector.is_some() && vector == expected {
                true => Ok(()),
                false => Err(anyhow::anyhow!("not what the host engine says")),
            },
        );
    }
    Ok(found)
}

fn same(asked: &Asked, expected: &Generated) -> Result<()> {
    if asked.prompt_tokens != expected.prompt_tokens.len() as u64 {
        bail!(
            "{} prompt tokens, the host engine has {}",
            asked.prompt_tokens,
            expected.prompt_tokens.len()
        );
    }
    if asked.text != expected.text || asked.tokens != expected.tokens.len() as u64 {
        bail!(
            "{} tokens {:?}, the host engine says {} tokens {:?}",
            asked.tokens,
            asked.text,
            expected.tokens.len(),
            expected.text
        );
    }
    Ok(())
}

fn generate(
    lab: &Lab<'_>,
    model: &Model,
    prompt: &str,
    tokens: u32,
    kernels: &str,
) -> Result<Generated> {
    let mut host = sh::cmd(host_engine(lab.cx)?);
    host.arg("generate").arg("--model").arg(&model.file);
    host.args(["--prompt", prompt, "--raw", "--json"]);
    host.args(["--temperature", "0", "--threads", "2"]);
    host.args(["--max-tokens", &tokens.to_string(), "--kernels", kernels]);
    sh::announce(&host);
    let text = sh::read(&mut host)?;
    serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
}

fn in_place_uml(lab: &Lab<'_>) -> Result<Found> {
    let mut found = in_place(lab, Target::Uml, &model::find(lab.cx, None)?)?;
    found.add(not_in_place(lab)?);
    Ok(found)
}

fn in_place_x86_64(lab: &Lab<'_>) -> Result<Found> {
    in_place(lab, Target::X86_64, &small_model(lab)?)
}

/// A model at the head of the initrd is used there, and its pages are given back when it is unloaded.
fn in_place(lab: &Lab<'_>, target: Target, model: &Model) -> Result<Found> {
    let prompt = PROMPTS[0];
    let script = format!(
        "llama --json --raw --temperature 0 --max-tokens 16 -- {} || exit\n\
         sed -n 's/^kernels: //p' /proc/llamux/status\n\
         cat /proc/llamux/status /sys/kernel/llamux/models\n\
         ls /lib/firmware/llamux 2>&1\n\
         total() {{ awk '/^MemTotal/ {{ print $2 }}' /proc/meminfo; }}\n\
         before=$(total)\n\
         echo {name} >/sys/kernel/llamux/unload\n\
         while grep -q name= /sys/kernel/llamux/models; do sleep 0.1; done\n\
         echo \"given back: $(($(total) - before))\"\n\
         echo {name} >/sys/kernel/llamux/load\n\
         echo \"again: $?\"\n",
        quoted(prompt),
        name = model.name
    );
    let mut boot = Boot::new(target, lab.source, &script);
    boot.model = Some(model);
    boot.in_place = true;
    boot.timeout = Some(Duration::from_secs(1200));
    let outcome = boot.run(lab.cx)?;
    outcome.status()?;
    let text = &outcome.output;
    let mut lines = text.lines();
    let (Some(answer), Some(kernels)) = (lines.next(), lines.next()) else {
        bail!("there is no answer: {text}");
    };
    let asked: Asked = serde_json::from_str(answer).with_context(|| format!("not JSON: {text}"))?;
    let expected = generate(lab, model, prompt, 16, kernels)?;
    let mut found = Found::default();
    found.test("the answer", same(&asked, &expected));
    let has = |words: &str| match text.contains(words) {
        true => Ok(()),
        false => Err(anyhow::anyhow!("there is no {words:?}: {text}")),
    };
    found.test("the state", has("\nweights: in place\n"));
    found.test("the list of models", has(" weights=in-place\n"));
    found.test("nothing was read", has(" read=0 "));
    found.test("it is no file", has("No such file"));
    found.test("it cannot be loaded again", has("again: 1\n"));
    let given = text
        .lines()
        .find_map(|line| line.strip_prefix("given back: "));
    let given: u64 = given.and_then(|given| given.parse().ok()).unwrap_or(0);
    found.test(
        "its pages come back",
        // But for a page at each end.
        match given * 1024 + 2 * 4096 >= model.bytes {
            true => Ok(()),
            false => Err(anyhow::anyhow!("{given} KiB of {} bytes", model.bytes)),
        },
    );
    found.test("a clean log", unclean(&outcome.log));
    Ok(found)
}

/// What is not as it should be at the head of the initrd is said, and is unpacked and read if it can be.
fn not_in_place(lab: &Lab<'_>) -> Result<Found> {
    let model = small_model(lab)?;
    let good = fs::read(&model.file)?;
    let dir = lab.cx.root.join("target/llamux/in-place");
    fs::create_dir_all(&dir)?;
    let archive = |bytes: &[u8], shift| {
        let mut out = Vec::new();
        let size = bytes.len() as u64;
        initramfs::in_place(&mut out, "head", bytes, size, shift)?;
        Ok::<_, anyhow::Error>(out)
    };
    let whole = archive(&good, 0)?;
    // Without the zeros that make it whole pages. A NUL and three bytes to fill up end it.
    let end = whole.iter().rposition(|&byte| byte != 0).unwrap_or(0);
    let unpadded = whole[..(end + 8) & !3].to_vec();
    // Three gigabytes, says the header.
    let mut cut = whole.clone();
    let path = b"lib/firmware/llamux/head.gguf";
    let name = whole.windows(path.len()).position(|bytes| bytes == path);
    let size = name.context("there is no name")? - initramfs::HEADER + 6 + 6 * 8;
    cut[size..size + 8].copy_from_slice(b"c0000000");
    let cases = [
        (
            "misaligned",
            archive(&good, 4)?,
            "28 bytes behind a multiple of 32",
            "ready",
        ),
        (
            "not on a page",
            unpadded,
            "does not begin with a page",
            "ready",
        ),
        (
            "no model",
            archive(b"GARB", 0)?,
            "not a GGUF",
            "unavailable",
        ),
        // What follows is taken for its data by whoever unpacks it, so that there is no system.
        ("cut", cut, "the initrd ends before it does", ""),
    ];
    let mut found = Found::default();
    for (name, head, said, state) in cases {
        let path = dir.join("head.cpio");
        fs::write(&path, head)?;
        let script = "while grep -q 'state: loading' /proc/llamux/status; do sleep 0.1; done\n\
                      cat /proc/llamux/status";
        let mut boot = Boot::new(Target::Uml, lab.source, script);
        boot.head = Some(path);
        boot.memory_mb = Some(768);
        boot.append.push("llamux_mem=320M".to_owned());
        let outcome = boot.run(lab.cx)?;
        let logged = outcome.log.iter().any(|line| line.contains(said));
        let wanted = format!("state: {state}\n");
        found.test(
            name,
            if !logged {
                Err(anyhow::anyhow!("the log does not say {said:?}"))
            } else if state.is_empty() || outcome.output.contains(&wanted) {
                Ok(())
            } else {
                Err(anyhow::anyhow!("not {state}: {}", outcome.output))
            },
        );
    }
    fs::remove_dir_all(&dir)?;
    Ok(found)
}

/// `llamux-host`, built.
pub(crate) fn host_engine(cx: &Context) -> Result<PathBuf> {
    sh::run(sh::cmd("cargo").current_dir(&cx.root).args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "llamux-host",
    ]))?;
    Ok(cx.target_dir().join("release/llamux-host"))
}

/// Files and reservations that the driver must refuse with a reason, and run on.
fn refusals(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let good = fs::read(&model.file)?;
    let version = |n: u32| {
        let mut bytes = good[..4096].to_vec();
        bytes[4..8].copy_from_slice(&n.to_le_bytes());
        bytes
    };
    // The file, the words for the command line, and what the reason must say.
    let cases: &[(&str, Vec<u8>, &str, &[&str])] = &[
        ("empty", Vec::new(), "", &["empty.gguf"]),
        (
            "text",
            b"This is no model at all, only some text.\n".repeat(9),
            "",
            &["text.gguf", "GGUF"],
        ),
        (
            "big-endian",
            [b"GGUF\0\0\0\x03".as_slice(), &[0; 64]].concat(),
            "",
            &["big-endian.gguf"],
        ),
        (
            "version-1",
            version(1),
            "",
            &["version-1.gguf", "version", "1"],
        ),
        (
            "version-4",
            version(4),
            "",
            &["version-4.gguf", "version", "4"],
        ),
        (
            "cut-header",
            good[..100_000].to_vec(),
            "",
            &["cut-header.gguf"],
        ),
        (
            "cut-tensors",
            good[..good.len() / 2].to_vec(),
            "",
            &["cut-tensors.gguf"],
        ),
        ("large", good.clone(), "llamux_mem=64M", &["large.gguf"]),
    ];
    let base = lab.cx.root.join("target/llamux/refusals");
    let mut found = Found::default();
    for (name, bytes, words, wanted) in cases {
        let firmware = base.join("lib/firmware/llamux");
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(&firmware)?;
        fs::write(firmware.join(format!("{name}.gguf")), bytes)?;
        // Asking waits until it is known that there is no model, and must say so.
        let script = "llama --max-tokens 1 Hello; echo \"status $?\"; cat /proc/llamux/status";
        let mut boot = Boot::new(Target::Uml, lab.source, script);
        boot.overlay = Some(&base);
        boot.memory_mb = Some(768);
        boot.append.push(format!("llamux.model={name}"));
        boot.append.push(
            if words.is_empty() {
                "llamux_mem=320M"
            } else {
                words
            }
            .to_owned(),
        );
        let outcome = boot.run(lab.cx)?;
        found.test(name, refused(&outcome, wanted));
    }
    fs::remove_dir_all(&base)?;
    Ok(found)
}

fn refused(outcome: &Outcome, wanted: &[&str]) -> Result<()> {
    outcome.status()?;
    let text = &outcome.output;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    };
    if !text.contains("status 4\n") {
        bail!("llama did not exit with 4: {text}");
    }
    if value("state") != Some("unavailable") {
        bail!("the state is not unavailable: {text}");
    }
    let reason = value("reason").with_context(|| format!("there is no reason: {text}"))?;
    if let Some(word) = wanted.iter().find(|word| !reason.contains(**word)) {
        bail!("the reason does not name {word}: {reason}");
    }
    let lines: Vec<_> = outcome
        .log
        .iter()
        .filter(|line| line.contains("llamux") && line.contains(reason))
        .collect();
    if lines.len() != 1 {
        bail!("the log has the reason {} times: {reason}", lines.len());
    }
    unclean(&outcome.log)
}

/// What is found in the system that tries signatures: which model it is, and what its state is under
/// `llamux.sig=enforce`.
const SIGNED: &[(&str, &str, &str)] = &[
    ("signed", "ready", ""),
    ("tampered", "failed", "is not a signature of"),
    ("unsigned", "failed", "is not signed"),
    (
        "foreign",
        "failed",
        "is not by a key that the kernel trusts",
    ),
    ("garbage", "failed", "is not a PKCS#7 message"),
    ("bare", "failed", "is not a signature of"),
];

/// Signs models with a key of our own, whose certificate is put into the image of a kernel, and with others.
fn signatures(lab: &Lab<'_>) -> Result<Found> {
    if sh::read(sh::cmd("openssl").arg("version")).is_err() {
        return Found::skipped("there is no openssl to sign with");
    }
    let kernel = {
        let _lock = lock::take(&lab.cx.cache.join("kernel.lock"))?;
        build::build(lab.cx, lab.source, Variant::new(Target::Uml, false))?
    };
    let dir = lab.cx.root.join("target/llamux/signed");
    let overlay = dir.join("overlay");
    let firmware = overlay.join("lib/firmware/llamux");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&firmware)?;
    for key in ["trusted", "other"] {
        let mut openssl = sh::cmd("openssl");
        openssl.current_dir(&dir).args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        ]);
        openssl.args(["-subj", &format!("/CN=The {key} key of a test")]);
        openssl.args([
            "-keyout",
            &format!("{key}.key"),
            "-out",
            &format!("{key}.pem"),
        ]);
        sh::run(&mut openssl)?;
    }
    sh::run(sh::cmd("openssl").current_dir(&dir).args([
        "x509",
        "-in",
        "trusted.pem",
        "-outform",
        "DER",
        "-out",
        "trusted.der",
    ]))?;
    let good = fs::read(small_model(lab)?.file)?;
    let path = |name: &str| firmware.join(format!("{name}.gguf"));
    for (name, _, _) in SIGNED {
        fs::write(path(name), &good)?;
        let (key, more): (_, &[_]) = match *name {
            "unsigned" | "garbage" => continue,
            "foreign" => ("other", &[]),
            "bare" => ("trusted", &["-noattr"]),
            _ => ("trusted", &[]),
        };
        let mut openssl = sh::cmd("openssl");
        openssl
            .current_dir(&dir)
            .args(["cms", "-sign", "-binary", "-nocerts", "-nosmimecap"]);
        openssl
            .args(["-md", "sha256", "-outform", "DER"])
            .args(more);
        openssl.args([
            "-signer",
            &format!("{key}.pem"),
            "-inkey",
            &format!("{key}.key"),
        ]);
        openssl.arg("-in").arg(path(name)).arg("-out");
        sh::run(openssl.arg(firmware.join(format!("{name}.gguf.p7s"))))?;
    }
    fs::write(firmware.join("garbage.gguf.p7s"), b"This is no message.")?;
    let mut tampered = good.clone();
    *tampered.last_mut().context("the model is empty")? ^= 1;
    fs::write(path("tampered"), tampered)?;

    let image = dir.join("linux");
    fs::copy(&kernel.image, &image)?;
    let mut insert = sh::cmd(kernel.build.join("scripts/insert-sys-cert"));
    insert.arg("-b").arg(&image).arg("-c");
    sh::run(insert.arg(dir.join("trusted.der")))?;

    let mut script =
        "while grep -q 'state: loading' /proc/llamux/status; do sleep 0.1; done\n".to_owned();
    for (name, _, _) in &SIGNED[1..] {
        script += &format!("echo {name} >/sys/kernel/llamux/load\n");
        script += "while grep -q state=loading /sys/kernel/llamux/models; do sleep 0.1; done\n";
    }
    script += "cat /sys/kernel/llamux/models /proc/llamux/status\n";
    let boot = |image, mode: &str| {
        let mut boot = Boot::new(Target::Uml, lab.source, &script);
        boot.image = image;
        boot.overlay = Some(&overlay);
        boot.memory_mb = Some(1024);
        boot.append
            .push(format!("llamux.model=signed llamux.sig={mode}"));
        let outcome = boot.run(lab.cx)?;
        outcome.status()?;
        Ok::<_, anyhow::Error>(outcome)
    };
    let has = |outcome: &Outcome, words: &[&str]| {
        let mut lines = outcome.output.lines();
        match lines.any(|line| words.iter().all(|word| line.contains(word))) {
            true => Ok(()),
            false => Err(anyhow::anyhow!(
                "no line has {words:?}:\n{}",
                outcome.output
            )),
        }
    };
    let mut found = Found::default();
    let enforced = boot(Some(&image), "enforce")?;
    for (name, state, reason) in SIGNED {
        let words = [&format!("name={name} state={state} "), *reason];
        found.test(&format!("enforce, {name}"), has(&enforced, &words));
    }
    found.test(
        "the signer",
        has(&enforced, &["signer: The trusted key of a test "]),
    );
    let sha256 = crate::download::sha256_bytes(&good);
    found.test("the hash", has(&enforced, &[&format!("sha256: {sha256}")]));
    found.test("a clean log", unclean(&enforced.log));

    // The kernel that does not have the certificate trusts nobody.
    let stranger = boot(None, "enforce")?;
    let words = [
        "name=signed state=failed ",
        "is not by a key that the kernel trusts",
    ];
    found.test("enforce, another kernel", has(&stranger, &words));

    // A mode that there is not counts as this one.
    let misspelt = boot(Some(&image), "enforced")?;
    found.test(
        "a wrong mode",
        has(&misspelt, &["name=unsigned state=failed "]),
    );

    let warned = boot(Some(&image), "warn")?;
    for (name, _, reason) in SIGNED {
        let name = format!("name={name} state=ready ");
        found.test(&format!("warn, {name}"), has(&warned, &[&name]));
        let said = warned.log.iter().filter(|line| line.contains(reason));
        let said = said
            .filter(|line| line.contains("loading it all the same"))
            .count();
        let expected = match *reason {
            "" => SIGNED.len() - 1,
            reason => SIGNED
                .iter()
                .filter(|(_, _, other)| *other == reason)
                .count(),
        };
        found.test(
            &format!("warn, {reason}"),
            match said == expected {
                true => Ok(()),
                false => Err(anyhow::anyhow!("said {said} times, not {expected}")),
            },
        );
    }
    let off = boot(Some(&image), "off")?;
    found.test("off", has(&off, &["name=garbage state=ready "]));
    found.test(
        "off says nothing",
        match off.output.contains("sha256: ") || off.output.contains("signer: ") {
            false => Ok(()),
            true => Err(anyhow::anyhow!("{}", off.output)),
        },
    );
    fs::remove_dir_all(&dir)?;
    Ok(found)
}

/// A panic and a stuck system end, with a failure.
fn ends(lab: &Lab<'_>) -> Result<Found> {
    let mut found = Found::default();
    let mut boot = Boot::new(Target::Uml, lab.source, "true");
    boot.append.push("rdinit=/there/is/none".to_owned());
    let outcome = boot.run(lab.cx)?;
    found.test(
        "a panic",
        match outcome.status() {
            Err(error) if error.to_string().contains("panicked") => Ok(()),
            other => Err(anyhow::anyhow!("not reported as one: {other:?}")),
        },
    );
    let mut boot = Boot::new(Target::Uml, lab.source, "sleep 1000");
    boot.timeout = Some(Duration::from_secs(3));
    let outcome = boot.run(lab.cx)?;
    found.test(
        "a stuck system",
        match outcome.status() {
            Err(error) if error.to_string().contains("stopped after") => Ok(()),
            other => Err(anyhow::anyhow!("not reported as one: {other:?}")),
        },
    );
    let outcome = Boot::new(Target::Uml, lab.source, "exit 42").run(lab.cx)?;
    found.test(
        "an exit status",
        match outcome.status()? {
            42 => Ok(()),
            other => Err(anyhow::anyhow!("42 came out as {other}")),
        },
    );
    Ok(found)
}

/// A way to end: its name, what makes the kernel come to it, what the log says first of it, and whether the
/// system runs on.
type End = (&'static str, &'static str, &'static str, bool);

/// Makes the kernel itself fail, by Documentation/fault-injection/provoke-crashes.rst.
macro_rules! provoke {
    ($what:literal) => {
        concat!(
            "mount -t debugfs none /sys/kernel/debug; echo ",
            $what,
            " > /sys/kernel/debug/provoke-crash/DIRECT"
        )
    };
}

const PANIC: &str = "Kernel panic - not syncing";
const LKDTM: &str = "lkdtm: Performing direct entry";

fn haiku_uml(lab: &Lab<'_>) -> Result<Found> {
    let ends: &[End] = &[
        ("a panic", provoke!("PANIC"), LKDTM, false),
        ("a NULL pointer", provoke!("EXCEPTION"), LKDTM, false),
        ("BUG()", provoke!("BUG"), LKDTM, false),
        ("WARN() and no haiku", provoke!("WARNING"), LKDTM, true),
    ];
    haiku(lab, Target::Uml, ends)
}

fn haiku_x86_64(lab: &Lab<'_>) -> Result<Found> {
    let ends: &[End] = &[
        (
            "sysrq c",
            "echo c > /proc/sysrq-trigger",
            "sysrq: Trigger a crash",
            false,
        ),
        ("a NULL pointer", provoke!("EXCEPTION"), LKDTM, true),
        ("BUG()", provoke!("BUG"), LKDTM, true),
        (
            "a NULL pointer that becomes a panic",
            concat!(
                "echo 1 > /proc/sys/kernel/panic_on_oops; ",
                provoke!("EXCEPTION")
            ),
            LKDTM,
            false,
        ),
        (
            "an out-of-memory panic",
            "echo 1 > /proc/sys/vm/panic_on_oom\n\
             awk 'BEGIN { while (1) a[i++] = sprintf(\"%4000s\", \"\") }'",
            "invoked oom-killer",
            false,
        ),
    ];
    haiku(lab, Target::X86_64, ends)
}

/// Each end has one haiku, as the last thing before the trace's own end.
fn haiku(lab: &Lab<'_>, target: Target, ends: &[End]) -> Result<Found> {
    let mut found = Found::default();
    for (name, script, first, runs_on) in ends {
        let outcome = Boot::new(target, lab.source, script).run(lab.cx)?;
        let wanted = usize::from(!name.contains("no haiku"));
        let mut result = one_haiku(&outcome.log, first, wanted);
        if *runs_on != outcome.status.is_some() {
            result = Err(anyhow::anyhow!("the system {:?}", outcome.reason));
        } else if !runs_on && !outcome.log.iter().any(|line| line.contains(PANIC)) {
            result = Err(anyhow::anyhow!("there was no panic"));
        }
        found.test(name, result);
    }
    let mut boot = Boot::new(target, lab.source, provoke!("PANIC"));
    boot.append.push("llamux.haiku=0".to_owned());
    let outcome = boot.run(lab.cx)?;
    found.test("llamux.haiku=0", one_haiku(&outcome.log, LKDTM, 0));
    Ok(found)
}

/// Looks for haiku behind the line with `first`.
fn one_haiku(log: &[String], first: &str, wanted: usize) -> Result<()> {
    let begin = log.iter().position(|line| line.contains(first));
    let log = &log[begin.with_context(|| format!("the log has no {first:?}"))?..];
    let said = |line: &String| Some(line.split_once("] llamux: ")?.1.to_owned());
    let lines: Vec<_> = log.iter().filter_map(said).collect();
    if lines.len() != 3 * wanted {
        bail!("the log has {} lines of ours: {lines:?}", lines.len());
    }
    if wanted == 0 {
        return Ok(());
    }
    llamux_engine::haiku::check(&lines.join("\n")).with_context(|| format!("{lines:?}"))?;
    let last = log.iter().rposition(|line| said(line).is_some());
    let (last, trace) = (last.unwrap_or(0), "Call Trace");
    if log[last.saturating_sub(2)..=last]
        .iter()
        .any(|line| said(line).is_none())
    {
        bail!("something comes between the lines");
    }
    if !log[..last].iter().any(|line| line.contains(trace)) {
        bail!("there is no trace in front of it");
    }
    // The end marker of an oops, the notes of a panic.
    const AFTER: &[&str] = &["---[ end", "Rebooting", "Kernel Offset", "epollctl"];
    match log.get(last + 1) {
        Some(next) if !next.is_empty() && !AFTER.iter().any(|after| next.contains(after)) => {
            bail!("it is not the last thing: {next}")
        }
        _ => Ok(()),
    }
}

/// Oopses that the system survives, in turn: what provokes each, and the function where it is.
const OOPSES: &[(&str, &str)] = &[("EXCEPTION", "lkdtm_EXCEPTION"), ("BUG", "lkdtm_BUG")];

/// What the model says after oopses that the system survived.
fn last_words(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let mut script = "mount -t debugfs none /sys/kernel/debug\n\
                      llama --max-tokens 1 Hello >/dev/null || exit\n"
        .to_owned();
    for (number, (what, _)) in OOPSES.iter().enumerate() {
        // The shell that writes it is killed.
        script += &format!(
            "(echo {what} >/sys/kernel/debug/provoke-crash/DIRECT)\n\
             i=0; while [ $(dmesg | grep -c 'llamux: a guess:') -le {number} ] && [ $i -lt 900 ]\n\
             do sleep 1; i=$((i + 1)); done\n"
        );
    }
    script += "cat /proc/llamux/status\n";
    let boot = |script: &str, words: &str| {
        let mut boot = Boot::new(Target::X86_64, lab.source, script);
        boot.model = Some(&model);
        boot.append
            .push("llamux.greeting=0 llamux.idle=0".to_owned());
        boot.append.push(words.to_owned());
        // Software emulation of a processor is slow.
        boot.timeout = Some(Duration::from_secs(2400));
        let outcome = boot.run(lab.cx)?;
        outcome.status()?;
        Ok::<_, anyhow::Error>(outcome)
    };
    let mut found = Found::default();
    let outcome = boot(&script, "llamux.last_words=1")?;
    let mut rest = outcome.log.as_slice();
    for (what, function) in OOPSES {
        let explained = explained(&mut rest, function);
        found.test(&format!("a guess at {what}"), explained);
    }
    found.test(
        "as many guesses as oopses",
        match outcome
            .log
            .iter()
            .filter(|line| line.contains(GUESS))
            .count()
        {
            count if count == OOPSES.len() => Ok(()),
            count => Err(anyhow::anyhow!("there are {count}")),
        },
    );
    // It is nobody's request: there was one.
    found.test(
        "it is not counted",
        match outcome.output.contains("requests_served: 1\n") {
            true => Ok(()),
            false => Err(anyhow::anyhow!("{}", outcome.output)),
        },
    );
    let script = "mount -t debugfs none /sys/kernel/debug\n\
                  llama --max-tokens 1 Hello >/dev/null || exit\n\
                  (echo BUG >/sys/kernel/debug/provoke-crash/DIRECT); sleep 60\n";
    let silent = boot(script, "llamux.last_words=0")?;
    found.test(
        "llamux.last_words=0",
        match silent.log.iter().any(|line| line.contains(GUESS)) {
            true => Err(anyhow::anyhow!("there is a guess")),
            false => Ok(()),
        },
    );
    Ok(found)
}

/// What marks a guess.
const GUESS: &str = "] llamux: a guess: ";

/// Looks for an oops in a function and for the guess at it, which is marked as one, later, about this
/// function and more than its name. What is behind it is left.
fn explained(log: &mut &[String], function: &str) -> Result<()> {
    let place = format!("RIP: 0010:{function}+");
    let begin = log.iter().position(|line| line.contains(&place));
    let begin = begin.with_context(|| format!("no oops is in {function}"))?;
    let end = log[begin..]
        .iter()
        .position(|line| line.contains("---[ end trace"));
    let end = begin + end.context("the oops has no end")?;
    let early = log[..end].iter().any(|line| line.contains(GUESS));
    let guess = log[end..].iter().position(|line| line.contains(GUESS));
    let guess = end + guess.context("there is no guess after it")?;
    let line = &log[guess];
    *log = &log[guess + 1..];
    let (_, text) = line.split_once(GUESS).unwrap_or_default();
    let words = text.strip_prefix(function).unwrap_or_default();
    let words = words.strip_prefix(" failed because").unwrap_or_default();
    let words = words.split(" (\"").next().unwrap_or_default();
    let good = !early && words.trim().len() >= 12 && text.contains("\", pid ");
    if !good || !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        bail!("not a guess at {function}: {line}");
    }
    Ok(())
}

/// What the model says of its own: a greeting, and haiku that replace those that are built in.
fn voice(lab: &Lab<'_>) -> Result<Found> {
    let mut found = voice_of(lab, "the first model", "", "")?;
    let model = model::find(lab.cx, None)?;
    let load = format!(
        "while grep -q 'state: loading' /proc/llamux/status; do sleep 0.1; done\n\
         echo {} >/sys/kernel/llamux/load\n",
        model.name
    );
    found.add(voice_of(
        lab,
        "a model that is loaded later",
        &load,
        "llamux.model=there-is-none",
    )?);
    Ok(found)
}

fn voice_of(lab: &Lab<'_>, whose: &str, first: &str, words: &str) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let mut found = Found::default();
    // The first haiku is about a NULL pointer.
    let script = concat!("sleep 40; cat /proc/llamux/status; ", provoke!("EXCEPTION"));
    let script = format!("{first}{script}");
    let mut boot = Boot::new(Target::Uml, lab.source, &script);
    boot.model = Some(&model);
    boot.append.push("llamux.idle=1".to_owned());
    boot.append.push(words.to_owned());
    let outcome = boot.run(lab.cx)?;
    let built_in = |text: &str| {
        let mut kinds = llamux_engine::haiku::Kind::ALL.into_iter();
        kinds.any(|kind| llamux_engine::haiku::built_in(kind).contains(&text))
    };
    let said = |line: &String| Some(line.split_once("] llamux: ")?.1.to_owned());
    let lines: Vec<_> = outcome.log.iter().filter_map(said).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("\n");
    found.test(
        &format!("a haiku of {whose}"),
        one_haiku(&outcome.log, LKDTM, 1),
    );
    found.test(
        &format!("it is none of those that are built in, of {whose}"),
        if built_in(&last) {
            Err(anyhow::anyhow!("it is: {last:?}"))
        } else {
            Ok(())
        },
    );
    // A greeting is a sentence; all other lines name a file, the memory, or are the haiku.
    let greetings = lines
        .iter()
        .filter(|line| line.ends_with(['.', '!', '?']) && !line.contains('/'));
    found.test(
        &format!("one greeting at most, of {whose}"),
        match greetings.count() {
            0 | 1 => Ok(()),
            n => Err(anyhow::anyhow!("there are {n}: {lines:?}")),
        },
    );
    // What the driver asks itself is nobody's request.
    for key in [
        "requests_served",
        "prompt_tokens",
        "response_tokens",
        "step_tokens",
    ] {
        let zero = format!("{key}: 0\n");
        found.test(
            &format!("{key}, of {whose}"),
            match outcome.output.contains(&zero) {
                true => Ok(()),
                false => Err(anyhow::anyhow!("not 0: {}", outcome.output)),
            },
        );
    }
    Ok(found)
}

fn debug_uml(lab: &Lab<'_>) -> Result<Found> {
    debug(lab, Target::Uml, &model::find(lab.cx, None)?)
}

fn debug_x86_64(lab: &Lab<'_>) -> Result<Found> {
    debug(lab, Target::X86_64, &small_model(lab)?)
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

/// The self-tests under the kernel's own checks, whose complaints are in the log.
fn debug(lab: &Lab<'_>, target: Target, model: &Model) -> Result<Found> {
    let second = second_model(lab)?;
    let mut boot = Boot::new(target, lab.source, SELFTESTS);
    boot.debug = true;
    boot.model = Some(model);
    boot.overlay = Some(&second);
    boot.append.push("kunit.enable=1".to_owned());
    boot.timeout = Some(Duration::from_secs(3600));
    let outcome = boot.run(lab.cx)?;
    let mut results = SelfTests::default();
    results.add(&outcome)?;
    let mut boot = Boot::new(target, lab.source, SELFTESTS_WITHOUT_MODEL);
    boot.debug = true;
    boot.timeout = Some(Duration::from_secs(3600));
    let without = boot.run(lab.cx)?;
    results.add(&without)?;
    let mut found = results.found()?;
    found.add(kunit_results(&outcome.log)?);
    found.test("a clean log", unclean(&outcome.log));
    found.test("a clean log without a model", unclean(&without.log));
    Ok(found)
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
    fn results_of_the_harness_are_added_up() {
        let text = "test a ... ok\ntest result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
                    test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.00s\n";
        assert_eq!(harness_counts(text), (7, 3, 1));
    }

    #[test]
    fn kunit_counts_cases_and_not_suites() {
        let log: Vec<String> = [
            "[    0.1] KTAP version 1",
            "[    0.1]     # Subtest: llamux",
            "[    0.1]     ok 1 first",
            "[    0.1]     not ok 2 second",
            "[    0.1]     ok 3 third # SKIP no AVX2",
            "[    0.1] not ok 1 llamux",
        ]
        .map(str::to_owned)
        .into();
        let found = kunit_results(&log).unwrap();
        assert_eq!((found.passed, found.failed, found.skipped.len()), (1, 1, 1));
        assert!(kunit_results(&log[..2]).is_err());
    }

    #[test]
    fn a_self_test_counts_once_and_by_its_worst() {
        let outcome = |output: &str| Outcome {
            status: Some(0),
            output: output.to_owned(),
            log: Vec::new(),
            reason: None,
        };
        let mut results = SelfTests::default();
        results
            .add(&outcome(
                "ok 1 g.a\nok 2 g.b # SKIP no model\nnot ok 3 m.c\nok 4 g.d # SKIP why\n",
            ))
            .unwrap();
        results
            .add(&outcome("ok 1 g.a # SKIP x\nok 2 g.b\nok 3 m.c\n"))
            .unwrap();
        let found = results.found().unwrap();
        assert_eq!((found.passed, found.failed), (2, 1));
        assert_eq!(found.skipped, ["g.d: why"]);
        assert!(SelfTests::default().found().is_err());
    }

    #[test]
    fn a_guess_is_behind_its_oops_and_about_it() {
        let log = |guess: &str| -> Vec<String> {
            let lines = [
                "[ 1.0] RIP: 0010:lkdtm_BUG+0x5/0x10",
                "[ 1.0] ---[ end trace 0000000000000000 ]---",
                guess,
                "[ 3.0] the end",
            ];
            lines.map(str::to_owned).into()
        };
        let good = "[ 2.0] llamux: a guess: lkdtm_BUG failed because it wanted to. (\"sh\", pid 9)";
        let lines = log(good);
        let mut rest = lines.as_slice();
        explained(&mut rest, "lkdtm_BUG").unwrap();
        assert_eq!(rest, ["[ 3.0] the end"]);
        assert!(explained(&mut lines.as_slice(), "lkdtm_EXCEPTION").is_err());
        for bad in [
            "[ 2.0] llamux: lkdtm_BUG failed because it wanted to. (\"sh\", pid 9)",
            "[ 2.0] llamux: a guess: something went wrong somewhere. (\"sh\", pid 9)",
            "[ 2.0] llamux: a guess: lkdtm_BUG failed because. (\"sh\", pid 9)",
            "[ 2.0] llamux: a guess: lkdtm_BUG failed because it \x1b[31mwanted to. (\"sh\", pid 9)",
        ] {
            assert!(
                explained(&mut log(bad).as_slice(), "lkdtm_BUG").is_err(),
                "{bad}"
            );
        }
        let mut early = lines.clone();
        early.swap(0, 2);
        early.insert(0, lines[0].clone());
        assert!(explained(&mut early.as_slice(), "lkdtm_BUG").is_err());
    }

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
