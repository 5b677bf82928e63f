// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The self-tests of `tools/testing/selftests/llamux`, in booted kernels.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{bail, Result};

use super::kernel::kunit_results;
use super::{made_up, second_model, small_model, unclean, Found, Lab, Level};
use crate::kernel::Target;
use crate::machine::Outcome;
use crate::model::{self, Model};
use crate::run::{self, Boot};

/// All of the kernel's own self-tests.
const SELFTESTS: &str = "for test in /usr/lib/llamux/selftests/*; do echo \"# $test\"; $test; done";

/// Those that need no model; some of them need that there is none.
const SELFTESTS_WITHOUT_MODEL: &str =
    "for test in /usr/lib/llamux/selftests/*; do echo \"# $test\"; $test -f global -f backend; done";

pub(super) fn selftests(lab: &Lab<'_>) -> Result<Found> {
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

/// Clients of all kinds for half a minute; with everything, for half an hour, and under the kernel's own checks.
pub(super) fn soak(lab: &Lab<'_>) -> Result<Found> {
    let long = lab.level == Level::All;
    let seconds = if long { 1800 } else { 30 };
    let model = model::find(lab.cx, None)?;
    let overlay = lab.cx.root.join("target/llamux/soak");
    made_up(lab, &overlay.join("lib/firmware/llamux/second.gguf"), 1)?;
    fs::create_dir_all(overlay.join("usr/bin"))?;
    fs::copy(run::example(lab.cx, "soak")?, overlay.join("usr/bin/soak"))?;
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

pub(super) fn debug_uml(lab: &Lab<'_>) -> Result<Found> {
    debug(lab, Target::Uml, &model::find(lab.cx, None)?)
}

pub(super) fn debug_x86_64(lab: &Lab<'_>) -> Result<Found> {
    debug(lab, Target::X86_64, &small_model(lab)?)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
