// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! llama.cpp's server as a model of the kernel, by `llamux-backend`: the guest runs the host's programs.

use std::fs;

use anyhow::{anyhow, Context as _, Result};

use super::{unclean, Found, Lab};
use crate::bench;
use crate::kernel::Target;
use crate::model;
use crate::run::{self, quoted, Boot};
use crate::sh;

/// What the guest does. `SERVER` and `MODEL` are the host's, and stand in front of it.
const SCRIPT: &str = r#"
fail() { echo "FAILED: $*"; tail -n 20 /tmp/backend.log /tmp/server.log; exit 1; }
# Waits until a command succeeds.
until_() { n=0; until eval "$1"; do n=$((n + 1)); [ $n -lt 600 ] || fail "$1"; sleep 0.2; done; }
serve() { chroot /host "$SERVER" -m "$MODEL" -c 2048 -t 1 -np 2 --no-warmup --host 127.0.0.1 --port 8080 >/tmp/server.log 2>&1 & server=$!; }
listed() { grep -q '^name=elsewhere state=ready default=yes .* weights=backend$' /sys/kernel/llamux/models; }
gone() { ! grep -q elsewhere /sys/kernel/llamux/models; }

ip link set lo up || ifconfig lo up || fail "no loopback"
mkdir -p /host && mount -t hostfs -o / none /host || fail "no hostfs"

# The server may come later.
llamux-backend elsewhere --url http://127.0.0.1:8080/v1 --default --timeout 5 2>/tmp/backend.log & backend=$!
sleep 1
gone || fail "it is there before its server"
serve
until_ listed
cat /tmp/backend.log
echo "context: $(sed -n 's/^context: //p' /proc/llamux/status)"

# A program that knows nothing of it, by the system call and by the device.
ask "What is the capital of France?" || fail "the sample"
echo "Why is the sky blue?" >/proc/llamux/prompt && cat /proc/llamux/prompt | grep . || fail "/proc/llamux/prompt"
one=$(llama --temperature 0 --max-tokens 16 "Name a colour." | tee /dev/stderr)
two=$(llama --temperature 0 --max-tokens 16 "Name a colour.")
[ -n "$one" ] && [ "$one" = "$two" ] || fail "two answers: $one / $two"
raw=$(llama --raw --temperature 0 --max-tokens 8 "1, 2, 3, 4,")
case "$raw" in *5*) ;; *) fail "raw: $raw" ;; esac
echo 'root ::= "yes"' >/tmp/yes.gbnf
llama --grammar /tmp/yes.gbnf "Yes?" 2>&1 | grep -q "does not take what was asked for" || fail "a grammar"
[ "$(sed -n 's/^requests_served: //p' /proc/llamux/status)" = 6 ] || fail "$(cat /proc/llamux/status)"
[ "$(sed -n 's/^response_tokens: //p' /proc/llamux/status)" -gt 40 ] || fail "no tokens"

# Many at once, and one that goes away.
for i in 1 2 3 4 5 6; do llama --max-tokens 12 "Count to $i." >/tmp/answer.$i 2>&1 & eval "pid$i=\$!"; done
llama --max-tokens 1000 "Tell a very long story." >/dev/null 2>&1 & impatient=$!
sleep 1; kill -9 $impatient
for i in 1 2 3 4 5 6; do eval "wait \$pid$i" || fail "asker $i: $(cat /tmp/answer.$i)"; done
until_ "grep -q '^sessions_active: 0' /proc/llamux/status"

# A server that stands still: an errno after the time, and it may go on.
kill -STOP $server
llama "Are you there?" 2>&1 | grep -q "ready in time" || fail "a silent server"
kill -CONT $server
until_ listed
until_ "llama --max-tokens 4 'Again?' 2>/dev/null"

# One that ends: an errno, and none while it is away.
kill -9 $server
until_ gone
llama "Are you there?" >/tmp/none 2>&1 && fail "an answer of nobody"
grep "the program that answered for elsewhere is gone" /tmp/none || fail "$(cat /tmp/none)"
serve
until_ listed
llama --max-tokens 4 "Again?" | grep . || fail "no answer after all"

# And a bridge that ends.
kill $backend; wait $backend || fail "the bridge: $?"
gone || fail "a model of nobody"
kill -9 $server
echo "all of it"
"#;

pub(super) fn backend_uml(lab: &Lab<'_>) -> Result<Found> {
    let Some(server) = bench::built_server(lab.cx)? else {
        return Found::skipped("llama.cpp's server is not built: cargo xtask bench does that");
    };
    let model = model::find(lab.cx, None)?;
    let overlay = lab.cx.root.join("target/llamux/backend");
    let bin = overlay.join("usr/bin");
    fs::create_dir_all(&bin)?;
    let bridge = run::program(lab.cx, "llamux-backend")?;
    fs::copy(bridge, bin.join("llamux-backend"))?;
    let sources = lab.cx.root.join("crates/llamux-kernel");
    let mut cc = sh::cmd("cc");
    cc.args(["-static", "-O2", "-idirafter"])
        .arg(sources.join("include/uapi"))
        .arg(sources.join("samples/llamux/llama.c"))
        .arg("-o")
        .arg(bin.join("ask"));
    sh::run(&mut cc)?;
    let path = |path: &std::path::Path| -> Result<String> {
        let path = path.canonicalize()?;
        Ok(quoted(path.to_str().context("a path that is not UTF-8")?))
    };
    let command = format!(
        "SERVER={}\nMODEL={}\n{SCRIPT}",
        path(&server)?,
        path(&model.file)?
    );
    let mut boot = Boot::new(Target::Uml, lab.source, &command);
    boot.overlay = Some(&overlay);
    boot.memory_mb = Some(1024);
    let outcome = boot.run(lab.cx)?;
    eprint!("{}", outcome.output);
    let mut found = Found::default();
    let done = match outcome.status()? {
        0 if outcome.output.contains("all of it") => Ok(()),
        status => Err(anyhow!("status {status}: {}", outcome.output)),
    };
    found.test("a server answers for the kernel", done);
    found.test("a clean log", unclean(&outcome.log));
    Ok(found)
}
