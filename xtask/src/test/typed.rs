// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What people type at a system of ours, as they would, and what becomes of it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};

use super::{small_model, unclean, Found, Lab, Level};
use crate::iso::guest::{Firmware, Guest, Medium};
use crate::iso::live;
use crate::kernel::Target;
use crate::model::{self, Model};
use crate::progress::human_time;
use crate::run::{self, quoted, Boot};
use crate::setup::{self, Purpose};
use crate::{machine, sh};

/// The model whose choices are judged, and not only that nothing happens that must not.
const CLEVER: &str = "qwen2.5-coder-1.5b";

/// What the stage takes, in MiB.
const STAGE_MB: u64 = 1200;
/// How long a line may take on the live image where there is no KVM, and each wait within it.
const LIMIT: Duration = Duration::from_secs(900);
const PATIENCE: Duration = Duration::from_secs(180);

/// Something that is typed.
struct Typed {
    /// What is done before, for a shell.
    before: &'static str,
    /// The line.
    line: &'static str,
    /// What is waited for, perhaps one of several with `|` between them, and what is typed then.
    keys: &'static [(&'static str, &'static str)],
    /// What must hold then, for a shell; `$status` is the line's exit status.
    check: &'static str,
    /// Whether it takes a model that chooses well.
    clever: bool,
}

const fn typed(
    line: &'static str,
    keys: &'static [(&'static str, &'static str)],
    check: &'static str,
) -> Typed {
    Typed {
        before: "",
        line,
        keys,
        check,
        clever: false,
    }
}

const fn clever(
    line: &'static str,
    keys: &'static [(&'static str, &'static str)],
    check: &'static str,
) -> Typed {
    Typed {
        clever: true,
        ..typed(line, keys, check)
    }
}

impl Typed {
    /// Whether a command is to be proposed, for whose first token one waits a minute.
    fn proposes(&self) -> bool {
        let choice =
            |(wanted, _): &(&str, &str)| wanted.contains("[n]o") || wanted.contains("[r]un");
        self.keys.iter().any(choice)
    }
}

/// A browser with two large pages, a small one, and a window; another program that is as large; something to be
/// found; what serves the model; and a shell in which this can be counted. Each line is a command.
const STAGE: &str = r#"export NO_COLOR=1; cd /root
mkfifo /tmp/never; cp /usr/bin/bash /tmp/chrome; cp /usr/bin/bash /tmp/firefox; cp /usr/bin/bash /tmp/miner
echo 'echo $$ >>/tmp/miner.pids; while :; do :; done' >/tmp/mine
echo 'echo $$ >>/tmp/$1; [ $1 = idle ] || printf -v page %090000000d 0; : >/tmp/$1.$$; read -r _ <>/tmp/never' >/tmp/page
echo 'for page in full full idle; do /tmp/chrome /tmp/page $page --type=renderer & done; . /tmp/page' >/tmp/window
(setsid /tmp/chrome /tmp/window idle </dev/null >/dev/null 2>&1 &)
(setsid /tmp/firefox /tmp/page other </dev/null >/dev/null 2>&1 &)
until [ "$(ls /tmp/*.[0-9]* | wc -l)" = 5 ]; do sleep 0.2; done
alive() { for pid in $(cat /tmp/$1); do grep -q . /proc/$pid/cmdline 2>/dev/null && echo $pid; done | wc -l; }
set_to() { cat /proc/sys/$1; }
nice_of() { for pid in $(cat /tmp/$1); do cut -d' ' -f19 /proc/$pid/stat; done; }
head -c 110000000 /dev/zero >/root/holiday.film; echo one >/root/note.txt
(llamuxd </dev/null >/tmp/llamuxd.log 2>&1 &)
until [ -S /run/llamux/llamuxd.sock ]; do sleep 0.2; done
"#;

/// What is typed, in this order. What is proposed is a model's choice, and a simple one's may be wrong: then it has to
/// be shown, and nothing may happen before it is confirmed.
const ALL: &[Typed] = &[
    typed(
        "llama \"kill all chrome tabs eating my RAM\"",
        &[("Do it? [y/N]", "n\r")],
        "[ $status = 1 ] && [ $(alive full) = 2 ] && [ $(alive idle) = 2 ] && [ $(alive other) = 1 ]",
    ),
    typed(
        "llama \"kill all chrome tabs eating my RAM\"",
        &[("Do it? [y/N]", "y\r")],
        "[ $status = 0 ] && [ $(alive full) = 0 ] && [ $(alive idle) = 2 ] && [ $(alive other) = 1 ]",
    ),
    typed(
        "llama history",
        &[("\"kill all chrome tabs eating my RAM\"", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "llama undo",
        &[("nothing to undo", "")],
        "[ $status = 1 ] && [ $(alive full) = 0 ]",
    ),
    typed(
        "llama \"lower the priority of firefox\"",
        &[("Do it? [y/N]", "y\r")],
        "[ $status = 0 ] && [ $(nice_of other) -gt 0 ] && [ \"$(nice_of idle | sort -u)\" = 0 ]",
    ),
    typed(
        "llama undo",
        &[("Do it? [y/N]", "y\r")],
        "[ $status = 0 ] && [ $(nice_of other) = 0 ]",
    ),
    typed(
        "llama \"optimize for gaming\"",
        &[("Do it? [y/N]", "n\r")],
        "[ $status = 1 ] && [ $(set_to vm/swappiness) = 60 ]",
    ),
    typed(
        "llama \"optimize for gaming\"",
        &[("Do it? [y/N]", "y\r")],
        "[ $(set_to vm/swappiness) = 10 ]",
    ),
    typed(
        "llama profile off",
        &[("Do it? [y/N]", "y\r")],
        "[ $(set_to vm/swappiness) = 60 ]",
    ),
    typed(
        "llama \"optimize for coding\"",
        &[("Do it? [y/N]", "y\r")],
        "[ $(set_to vm/vfs_cache_pressure) = 50 ]",
    ),
    typed(
        "llama profile off",
        &[("Do it? [y/N]", "y\r")],
        "[ $(set_to vm/vfs_cache_pressure) = 100 ]",
    ),
    typed(
        "llama \"optimize for battery\"",
        &[("Do it? [y/N]", "y\r")],
        "[ $(set_to vm/dirty_writeback_centisecs) = 6000 ]",
    ),
    typed(
        "llama profile off",
        &[("Do it? [y/N]", "y\r")],
        "[ $(set_to vm/dirty_writeback_centisecs) = 500 ]",
    ),
    Typed {
        // Something that keeps all processors busy, and has for long enough that it counts as load.
        before: "for miner in $(seq $((8 * $(nproc)))); do (setsid /tmp/miner /tmp/mine </dev/null >/dev/null 2>&1 &); done; \
                 until [ $(cut -d. -f1 /proc/loadavg) -gt $((2 * $(nproc))) ]; do sleep 1; done; \
                 kill $(tail -n +$(($(nproc) + 1)) /tmp/miner.pids); sleep 1",
        ..typed("llama doctor", &[("miner", "")], "[ $status = 6 ]")
    },
    typed(
        "llama \"why is my system slow?\"",
        &[("miner", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "llama \"kill miner\"",
        &[("Do it? [y/N]", "y\r")],
        "[ $status = 0 ] && [ $(alive miner.pids) = 0 ] && [ $(alive other) = 1 ]",
    ),
    typed(
        "llama why nginx.service",
        &[("does not run systemd", "")],
        "[ $status = 1 ]",
    ),
    typed(
        "llama why $(cat /tmp/other)",
        &[("firefox", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "llama why /root/note.txt",
        &[("/root/note.txt", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "echo \"nginx.service: Main process exited, code=exited, status=203/EXEC\" | llama explain",
        &[("203", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "llama-mon --once",
        &[("ready", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "llama-mon --json | grep -o '\"state\":\"ready\"' | head -n 1",
        &[("\"state\":\"ready\"", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "llama-mon",
        &[("Sessions", "q")],
        "[ $status = 0 ]",
    ),
    typed(
        "curl --unix-socket /run/llamux/llamuxd.sock http://localhost/v1/chat/completions \
         --json '{\"model\": \"default\", \"max_tokens\": 8, \"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}]}'",
        &[("\"completion_tokens\"", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "llama \"find big files in my home\"",
        &[("[n]o|could not find a command|nothing was", "n")],
        "[ $status = 1 ] && [ \"$(ls /root)\" = \"$(printf 'holiday.film\\nnote.txt')\" ]",
    ),
    clever(
        "llama \"find big files in my home\"",
        &[("[r]un", "r"), ("/holiday.film", "")],
        "[ $status = 0 ]",
    ),
    typed(
        "lsh",
        &[
            ("# ", "show me the largest files here\r"),
            ("[n]o|could not find a command", "\u{3}"),
            ("", "exit 7\r"),
        ],
        "[ $status = 7 ] && [ \"$(ls /root)\" = \"$(printf 'holiday.film\\nnote.txt')\" ]",
    ),
    clever(
        "lsh",
        &[
            ("# ", "show the names of all files here\r"),
            ("[r]un", "r"),
            ("holiday.film", "exit 7\r"),
        ],
        "[ $status = 7 ]",
    ),
    typed(
        "PS1='here> ' bash --norc",
        &[
            ("here>", "eval \"$(llama shell-init bash)\"; echo told-$((1 + 1))\r"),
            ("told-2", "show me the files in /etc\u{1b}l"),
            ("[n]o|could not find a command", "\u{3}"),
            ("", "\u{15}exit 7\r"),
        ],
        "[ $status = 7 ]",
    ),
];

/// Those for a model.
fn all(of: &Model) -> impl Iterator<Item = &'static Typed> {
    let chooses = of.name == CLEVER;
    ALL.iter().filter(move |typed| chooses || !typed.clever)
}

pub(super) fn typed_uml(lab: &Lab<'_>) -> Result<Found> {
    let mut found = in_uml(lab, &model::find(lab.cx, None)?)?;
    let clever = model::here(lab.cx)?
        .into_iter()
        .find(|model| model.name == CLEVER);
    match clever {
        Some(model) if lab.level == Level::All => found.add(in_uml(lab, &model)?),
        Some(_) => (),
        None => found.skipped.push(format!("{CLEVER} is not here")),
    }
    Ok(found)
}

/// What the shell is told before the first line.
fn stage() -> String {
    format!("until grep -q '^state: ready' /proc/llamux/status; do sleep 0.1; done\n{STAGE}")
}

/// What types one of the lines, for a shell: says that it is well, or shows the screen.
fn typing(at: usize, typed: &Typed) -> String {
    let mut words = format!("typed {}", quoted(typed.line));
    for (wanted, keys) in typed.keys {
        for step in [format!("={wanted}"), (*keys).to_owned()] {
            if !matches!(step.as_str(), "" | "=") {
                words += &format!(" {}", quoted(&step));
            }
        }
    }
    format!(
        "{}\n{words} >/tmp/screen 2>&1; status=$?\n\
         if {}; then echo 'ok {at}'; else echo \"status $status\"; cat /tmp/screen; echo 'not ok {at}'; fi\n",
        typed.before, typed.check
    )
}

fn in_uml(lab: &Lab<'_>, model: &Model) -> Result<Found> {
    let overlay = lab.cx.root.join("target/llamux/typed");
    fs::create_dir_all(overlay.join("usr/bin"))?;
    fs::copy(
        run::example(lab.cx, "typed")?,
        overlay.join("usr/bin/typed"),
    )?;
    let lines = all(model).enumerate();
    let script: String = lines.map(|(at, typed)| typing(at, typed)).collect();
    let script = stage() + &script;
    let mut boot = Boot::new(Target::Uml, lab.source, &script);
    boot.model = Some(model);
    boot.overlay = Some(&overlay);
    boot.whole = true;
    let twice = 2 * model.bytes.div_ceil(1 << 20);
    boot.memory_mb = Some(run::reserved_mb(model, false) + twice + STAGE_MB);
    let outcome = boot.run(lab.cx)?;
    if outcome.status()? != 0 {
        bail!("the script failed: {}", outcome.output);
    }
    let mut found = Found::default();
    let mut rest = outcome.output.as_str();
    for (at, typed) in all(model).enumerate() {
        let end = format!("ok {at}\n");
        let (said, behind) = rest.split_once(&end).with_context(|| rest.to_owned())?;
        rest = behind;
        found.test(&name(model, typed), well(said));
    }
    found.test("a clean log", unclean(&outcome.log));
    Ok(found)
}

fn name(model: &Model, typed: &Typed) -> String {
    format!("{}: {}", model.name, typed.line)
}

/// Whether a line was well, by what was said before the `ok`.
fn well(said: &str) -> Result<()> {
    match said.strip_suffix("not ") {
        Some(said) => bail!("{said}"),
        None => Ok(()),
    }
}

/// On the live image, by the shell at its serial line.
pub(super) fn typed_live(lab: &Lab<'_>) -> Result<Found> {
    setup::ensure_for(lab.cx, Purpose::Images)?;
    // Emulated, a model of some size takes many minutes for some hundred words. What one with made-up weights says is
    // nothing that may be shown, so that what code says in its place is.
    let emulated = !machine::kvm();
    let model = match emulated {
        true => small_model(lab)?,
        false => model::find(lab.cx, None)?,
    };
    let image = live::make(lab.cx, lab.source, &model, None)?;
    let dir = lab.cx.root.join("target/llamux/typed-live");
    fs::create_dir_all(&dir)?;
    fs::copy(run::example(lab.cx, "typed")?, dir.join("typed"))?;
    fs::write(dir.join("stage"), stage())?;
    for (at, typed) in all(&model).enumerate() {
        fs::write(dir.join(at.to_string()), typing(at, typed))?;
    }
    let disk = dir.with_extension("tar");
    let mut tar = sh::cmd("tar");
    tar.arg("--create").arg("--file").arg(&disk);
    sh::run(tar.arg("--directory").arg(&dir).arg("."))?;

    let way = (Firmware::Bios, Medium::Disc);
    let mut pc = live::pc(&dir, (&image, &model), way, STAGE_MB);
    pc.disk = Some(&disk);
    let mut guest = live::boot(&pc, live::SERIAL)?;
    let run = |guest: &mut Guest, command: &str| {
        let said = guest.run(command, LIMIT);
        // As the line has it.
        said.map(|said| said.replace('\r', ""))
    };
    run(
        &mut guest,
        &format!(
            "mkdir /tmp/typed && tar -xf /dev/vda -C /tmp/typed && PATH=$PATH:/tmp/typed PATIENCE={} && export PATIENCE && \
             . /tmp/typed/stage",
            PATIENCE.as_secs()
        ),
    )?;
    let mut found = Found::default();
    for (at, typed) in all(&model).enumerate() {
        if typed.proposes() && emulated {
            let name = name(&model, typed);
            found
                .skipped
                .push(format!("{name}: without KVM it gives up after its minute"));
            continue;
        }
        let begin = Instant::now();
        let said = run(&mut guest, &format!(". /tmp/typed/{at}"))?;
        eprintln!("{}: {}", typed.line, human_time(begin.elapsed()));
        let end = format!("ok {at}\n");
        let (said, _) = said.split_once(&end).with_context(|| said.clone())?;
        // In front of it is the command itself.
        let (_, said) = said.split_once('\n').unwrap_or(("", said));
        found.test(&name(&model, typed), well(said));
    }
    let log = run(&mut guest, "dmesg")?;
    let log: Vec<_> = log.lines().map(str::to_owned).collect();
    found.test("a clean log", unclean(&log));
    live::end(&mut guest)?;
    fs::remove_file(disk)?;
    Ok(found)
}
