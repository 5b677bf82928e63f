// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The profile of the installation image, and its installer.

use anyhow::{anyhow, Context as _, Result};

use super::answers::{compare, script, PROMPTS};
use super::{Found, Lab};
use crate::iso::arch;
use crate::iso::guest::Firmware;
use crate::setup::{self, Purpose};
use crate::{model, sh};

/// Nothing is wrong with the profile, and llamux-install passes its own tests. That mistakes are found is for the
/// unit tests of the check.
pub(super) fn archiso_profile(lab: &Lab<'_>) -> Result<Found> {
    let mut found = Found::default();
    let mistakes = arch::check(lab.cx, None)?;
    if mistakes.is_empty() {
        found.test("archiso-profile", Ok(()));
    }
    for mistake in mistakes {
        found.test("archiso-profile", Err(anyhow!("{mistake}")));
    }
    for tool in arch::missing_tools() {
        let reason = format!("{tool} is not here, and was not asked about the profile's files");
        found.add(Found::skipped(&reason)?);
    }

    let mut tests = sh::cmd("python3");
    let dir = lab.cx.root.join("archiso-profile/tests");
    let tests = tests.args([
        "-m",
        "unittest",
        "discover",
        "--verbose",
        "--start-directory",
    ]);
    let output = tests.arg(dir).output().context("cannot run python3")?;
    // Each test is a line `NAME (CLASS) ... ok`, or another word, with a reason if it was left out.
    let said = String::from_utf8_lossy(&output.stderr);
    for (name, result) in said.lines().filter_map(|line| line.split_once(" ... ")) {
        match result.strip_prefix("skipped ") {
            Some(reason) => found.add(Found::skipped(reason.trim_matches(['\'', '"']))?),
            None if result == "ok" => found.test(name, Ok(())),
            None => found.test(name, Err(anyhow!("{result}"))),
        }
    }
    let all = output.status.success().then_some(());
    found.test("llamux-install", all.with_context(|| said.into_owned()));
    Ok(found)
}

/// The entries boot: GRUB reads the profile's menu, and the model of the entry is used where its initrd lies.
pub(super) fn archiso_entry(lab: &Lab<'_>) -> Result<Found> {
    setup::ensure_for(lab.cx, Purpose::Images)?;
    let model = model::find(lab.cx, None)?;
    let asked = (&PROMPTS[..1], 8);
    let script = format!(
        "cat /proc/llamux/status; echo; {}",
        script(asked.0, asked.1)
    );
    let said = arch::exec(lab.cx, lab.source, &model, Firmware::Uefi, &script)?;
    // Lines of a serial port.
    let said = said.replace('\r', "");
    let said = said.split_once("\n\n");
    let (status, answers) = said.context("there is no status")?;
    let mut found = compare(lab, &model, asked, answers)?;
    for line in ["weights: in place", "tinyllama-1.1b.gguf"] {
        let there = status.contains(line).then_some(());
        found.test(
            line,
            there.with_context(|| format!("the status is\n{status}")),
        );
    }
    Ok(found)
}
