// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How boots end, and what the driver says of itself: haiku, greetings, guesses.

use std::time::Duration;

use anyhow::{bail, Context as _, Result};

use super::{Found, Lab};
use crate::kernel::Target;
use crate::model;
use crate::run::{Boot, LOADED};

const PANIC: &str = "Kernel panic - not syncing";
const LKDTM: &str = "lkdtm: Performing direct entry";

/// A panic and a stuck system end, with a failure.
pub(super) fn ends(lab: &Lab<'_>) -> Result<Found> {
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

pub(super) fn haiku_uml(lab: &Lab<'_>) -> Result<Found> {
    let ends: &[End] = &[
        ("a panic", provoke!("PANIC"), LKDTM, false),
        ("a NULL pointer", provoke!("EXCEPTION"), LKDTM, false),
        ("BUG()", provoke!("BUG"), LKDTM, false),
        ("WARN() and no haiku", provoke!("WARNING"), LKDTM, true),
    ];
    haiku(lab, Target::Uml, ends)
}

pub(super) fn haiku_x86_64(lab: &Lab<'_>) -> Result<Found> {
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
pub(super) fn last_words(lab: &Lab<'_>) -> Result<Found> {
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
pub(super) fn voice(lab: &Lab<'_>) -> Result<Found> {
    let mut found = voice_of(lab, "the first model", "", "")?;
    let model = model::find(lab.cx, None)?;
    let load = format!("{LOADED}\necho {} >/sys/kernel/llamux/load\n", model.name);
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
    let script = concat!(
        "for n in $(seq 300); do grep -q '^haiku: [1-9]' /proc/llamux/stats && break; sleep 0.4; done\n",
        "cat /proc/llamux/status; ",
        provoke!("EXCEPTION")
    );
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
