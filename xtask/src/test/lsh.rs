// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `lsh` on a booted kernel, as far as it needs no other shell than busybox's: its own tests have the terminal.

use anyhow::{bail, Result};
use serde::Deserialize;

use super::{Found, Lab};
use crate::kernel::Target;
use crate::model;
use crate::run::Boot;

/// What is asked, with the exit status behind each answer.
const SCRIPT: &str = "\
cd /tmp || exit
lsh --explain 'rm -rf /tmp/x | wc -l'; echo \"status $?\"
lsh --dry-run ' ' 2>/dev/null; echo \"status $?\"
lsh --model no-such-model --dry-run 'list the files here' 2>/dev/null; echo \"status $?\"
lsh --json 'list the files in this directory'; echo \"status $?\"
";

/// What `lsh --json` prints, as far as it is looked at.
#[derive(Deserialize)]
struct Proposed {
    command: String,
    danger: String,
}

pub(super) fn lsh_uml(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let mut boot = Boot::new(Target::Uml, lab.source, SCRIPT);
    boot.model = Some(&model);
    let outcome = boot.run(lab.cx)?;
    if outcome.status()? != 0 {
        bail!("the script failed: {}", outcome.output);
    }
    let answers: Vec<&str> = outcome.output.split("status ").collect();
    let [explained, empty, unknown, proposed, last] = answers[..] else {
        bail!("not four answers: {}", outcome.output);
    };
    let mut found = Found::default();
    let mut test = |name: &str, good: bool| {
        let result = match good {
            true => Ok(()),
            false => Err(anyhow::anyhow!("{}", outcome.output)),
        };
        found.test(name, result);
    };
    test("a command is explained", explained.contains("needs-care"));
    test("its exit status", empty.starts_with("0\n"));
    test("an empty request", unknown.starts_with("2\n"));
    test("a model that there is not", proposed.starts_with("4\n"));
    // A small model may find no command, which has a status of its own. What it does not do is harm.
    let line = proposed.lines().nth(1).unwrap_or_default();
    let good = match last.trim() {
        "0" | "6" => serde_json::from_str::<Proposed>(line)
            .is_ok_and(|proposed| !proposed.command.is_empty() && !proposed.danger.is_empty()),
        "1" => true,
        _ => false,
    };
    test("a request", good);
    Ok(found)
}
