// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! That kernels build, and what their own tests say.

use anyhow::{bail, Result};

use super::{Found, Lab};
use crate::kernel::{build, Flavour, Target, Variant};
use crate::lock;
use crate::run::Boot;
use crate::toolchain::Toolchain;

fn built(lab: &Lab<'_>, variant: Variant) -> Result<Found> {
    let _lock = lock::take(&lab.cx.cache.join("kernel.lock"))?;
    build::build(lab.cx, lab.source, variant)?;
    // The build and the object check that is a part of it.
    Found::passed(2)
}

pub(super) fn build_uml(lab: &Lab<'_>) -> Result<Found> {
    built(lab, Variant::new(Target::Uml, false))
}

pub(super) fn build_x86_64(lab: &Lab<'_>) -> Result<Found> {
    built(lab, Variant::new(Target::X86_64, false))
}

pub(super) fn without(lab: &Lab<'_>) -> Result<Found> {
    built(
        lab,
        Variant {
            target: Target::Uml,
            flavour: Flavour::WithoutLlamux,
        },
    )?;
    Found::passed(1)
}

pub(super) fn clippy_driver(lab: &Lab<'_>) -> Result<Found> {
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

pub(super) fn kunit(lab: &Lab<'_>) -> Result<Found> {
    let mut boot = Boot::new(Target::Uml, lab.source, "true");
    boot.append.push("kunit.enable=1".to_owned());
    let outcome = boot.run(lab.cx)?;
    outcome.status()?;
    kunit_results(&outcome.log)
}

/// The test cases of the kernel's log, in the format KTAP.
pub(super) fn kunit_results(log: &[String]) -> Result<Found> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
