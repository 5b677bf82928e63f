// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What needs no kernel: formatting, lints, the host's tests, the patch series, fuzzing.

use std::fs;
use std::process::Stdio;

use anyhow::{bail, Context as _, Result};

use super::{Found, Lab, Level};
use crate::kernel::prepare;
use crate::model;
use crate::{series, sh};

fn cargo(lab: &Lab<'_>) -> std::process::Command {
    let mut cargo = sh::cmd("cargo");
    cargo
        .current_dir(&lab.cx.root)
        .env("LLAMUX_MODELS", model::dir(lab.cx));
    cargo
}

pub(super) fn format(lab: &Lab<'_>) -> Result<Found> {
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

pub(super) fn clippy(lab: &Lab<'_>) -> Result<Found> {
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
pub(super) fn host(lab: &Lab<'_>) -> Result<Found> {
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

pub(super) fn patch_series(lab: &Lab<'_>) -> Result<Found> {
    series::make(lab.cx, lab.source, true)?;
    Found::passed(1)
}

/// Each fuzz target for a bounded time.
///
/// What `cargo fuzz` would do with a nightly compiler, but for the address sanitizer, which safe code
/// can do without: the coverage that guides libFuzzer is a stable option.
pub(super) fn fuzz(lab: &Lab<'_>) -> Result<Found> {
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
    let seconds = if lab.level == Level::All { 300 } else { 10 };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_the_harness_are_added_up() {
        let text = "test a ... ok\ntest result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
                    test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.00s\n";
        assert_eq!(harness_counts(text), (7, 3, 1));
    }
}
