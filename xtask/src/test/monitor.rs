// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama-mon` beside a question that is being answered: what it says, and what its keys do.

use std::fs;

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use super::{unclean, Found, Lab};
use crate::kernel::Target;
use crate::model;
use crate::run::{self, Boot};

/// Looks at an answer that is being written, ends it, and changes what can be changed.
const SCRIPT: &str = r#"
until grep -q '^state: ready' /proc/llamux/status; do sleep 0.1; done
llama --max-tokens 3500 --temperature 0 'Write a story of a hundred chapters.' >/tmp/answer &
until grep -q state=answering /proc/llamux/sessions; do sleep 0.1; done
llama-mon --json --interval 2 || exit 11
sed -n 's/^step_tokens: //p' /proc/llamux/status
llama-mon --once >/tmp/once || exit 12
grep -q 'ready$' /tmp/once && grep -q ' answering ' /tmp/once || exit 13
grep -q "$(printf '\033')" /tmp/once && exit 14
enter=$(printf '\r')
clear=$(printf '\025')
typed llama-mon =answering c =y: y =ended q >/tmp/screen || exit 15
wait
grep -q state=answering /proc/llamux/sessions && exit 16
cd /sys/kernel/llamux
typed llama-mon '=[1 Sessions]' 4e '=> 0' 99 '=not yet' "${clear}7$enter" '=nice: 7' q >/tmp/screen || exit 17
[ $(cat nice) = 7 ] || exit 18
typed llama-mon '=[1 Sessions]' '3l' '=Load' "absent$enter" '=no such file' q >/tmp/screen || exit 19
typed llama-mon '=[1 Sessions]' '2n' '=Limits' "1000 queued=3$enter" '=Done' q >/tmp/screen || exit 20
grep -q '^user=1000 .*queued=3 ' limits || exit 21
su nobody -s /bin/sh -c "typed llama-mon '=[1 Sessions]' '2n' '=(n new)|Not done' '=sudo' q" >/tmp/screen || exit 22
"#;

pub(super) fn monitor(lab: &Lab<'_>) -> Result<Found> {
    let overlay = lab.cx.root.join("target/llamux/monitor");
    fs::create_dir_all(overlay.join("usr/bin"))?;
    fs::copy(
        run::example(lab.cx, "typed")?,
        overlay.join("usr/bin/typed"),
    )?;
    let model = model::find(lab.cx, None)?;
    let mut boot = Boot::new(Target::Uml, lab.source, SCRIPT);
    boot.model = Some(&model);
    boot.overlay = Some(&overlay);
    let outcome = boot.run(lab.cx)?;
    let mut found = Found::default();
    found.test(
        "its screen and its keys",
        match outcome.status()? {
            0 => Ok(()),
            status => Err(anyhow::anyhow!("status {status}: {}", outcome.output)),
        },
    );
    found.test("what it says is so", same(&outcome.output));
    found.test("a clean log", unclean(&outcome.log));
    Ok(found)
}

/// Compares the object with what the kernel said right behind it.
fn same(output: &str) -> Result<()> {
    let mut lines = output.lines();
    let object = lines.next().context("there is no object")?;
    let object: Value =
        serde_json::from_str(object).with_context(|| format!("not JSON: {object}"))?;
    let later: u64 = lines
        .next()
        .context("there is no counter")?
        .trim()
        .parse()?;
    let status = &object["status"];
    let tokens = status["step_tokens"].as_u64().context("no step_tokens")?;
    let speed = object["decode_tokens_per_second"].as_f64().unwrap_or(0.0);
    let busy = object["cpu"]["llamux_percent"].as_f64().unwrap_or(0.0);
    let session = &object["sessions"][0];
    let wrong = [
        (status["state"] != "ready", "the state"),
        (
            status["sessions_active"] != 1,
            "the requests being answered",
        ),
        // It goes on writing meanwhile, by no more than a moment's tokens.
        (tokens == 0 || later < tokens, "the tokens"),
        (
            speed <= 0.0 || speed * 60.0 < (later - tokens.min(later)) as f64,
            "the speed",
        ),
        (busy <= 0.0, "the processors' time"),
        (session["state"] != "answering", "the session"),
        (session["comm"] != "llama", "who asks"),
        (object["users"][0]["active"] != 1, "the user's requests"),
    ];
    let wrong: Vec<_> = wrong
        .iter()
        .filter(|(wrong, _)| *wrong)
        .map(|(_, what)| *what)
        .collect();
    if !wrong.is_empty() {
        bail!(
            "{} not as the kernel says ({later} tokens later): {object}",
            wrong.join(", ")
        );
    }
    Ok(())
}
