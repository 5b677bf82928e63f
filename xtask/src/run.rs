// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask run`: builds what is missing, boots it, asks, and prints the answer.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use llamux_setup::memory::{self, Place};

use crate::context::Context;
use crate::initramfs::{self, Content};
use crate::iso::live;
use crate::kernel::{build, Source, Target, Variant};
use crate::machine::{self, Console, Machine, Outcome};
use crate::model::{self, Model};
use crate::setup::{self, Purpose};
use crate::{borrowed, lock, sh, tools};

/// Boot Llamux and ask it a question, or have a shell in it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to ask; without a question there is an interactive shell.
    question: Option<String>,
    /// What to boot on [default: qemu where /dev/kvm works, else uml].
    #[arg(long, value_enum)]
    target: Option<Target>,
    /// A model of configs/models.toml, or a GGUF file.
    #[arg(long, value_name = "NAME|FILE")]
    model: Option<String>,
    /// The system's memory, in MiB or with a unit, as in 4G [default: what the model needs].
    #[arg(long, value_name = "SIZE", value_parser = memory::parse_size)]
    memory: Option<u64>,
    /// How many threads compute [default: one a processor].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The longest answer, in tokens.
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// How much chance decides; 0 gives the likeliest answer.
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// More words for the kernel's command line.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Show the kernel's log.
    #[arg(long)]
    verbose: bool,
    /// Run a shell command in the booted system instead of asking, when its model is loaded or refused; the command's
    /// exit status becomes ours.
    #[arg(long, value_name = "COMMAND", conflicts_with = "question")]
    exec: Option<String>,
    /// A directory whose files are added to the system.
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// Have the model at the head of the initrd, where the kernel uses it without a copy.
    #[arg(long)]
    in_place: bool,
    /// Boot the debug kernel.
    #[arg(long)]
    debug: bool,
    /// Boot the live image in QEMU, with its serial line here (Ctrl-A X ends it).
    #[arg(long, conflicts_with_all = [
        "question", "target", "threads", "max_tokens", "temperature", "append", "verbose", "exec", "overlay",
        "in_place", "debug", "timeout",
    ])]
    iso: bool,
    /// The longest that the system may run, in seconds; 0 for ever [default: 600, for the shell 0].
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    source: Source,
}

/// A system to boot, as `run` and the tests want it.
pub(crate) struct Boot<'a> {
    pub(crate) target: Target,
    pub(crate) debug: bool,
    pub(crate) source: &'a Source,
    /// Another image than the one that is built.
    pub(crate) image: Option<&'a Path>,
    pub(crate) model: Option<&'a Model>,
    /// Whether the model is used where the boot loader leaves it.
    pub(crate) in_place: bool,
    /// An archive of ours at the head of the initrd.
    pub(crate) head: Option<PathBuf>,
    pub(crate) memory_mb: Option<u64>,
    pub(crate) threads: Option<usize>,
    pub(crate) append: Vec<String>,
    pub(crate) overlay: Option<&'a Path>,
    /// Whether it has all that people may type there: llamuxd, bash, curl.
    pub(crate) whole: bool,
    /// A shell script; without one there is an interactive shell.
    pub(crate) command: Option<&'a str>,
    pub(crate) console: Console,
    pub(crate) verbose: bool,
    pub(crate) timeout: Option<Duration>,
}

impl<'a> Boot<'a> {
    /// A boot whose output is captured.
    pub(crate) fn new(target: Target, source: &'a Source, command: &'a str) -> Self {
        Self {
            target,
            debug: false,
            source,
            image: None,
            model: None,
            in_place: false,
            head: None,
            memory_mb: None,
            threads: None,
            append: Vec::new(),
            overlay: None,
            whole: false,
            command: Some(command),
            console: Console::Capture,
            verbose: false,
            timeout: Some(Duration::from_secs(600)),
        }
    }

    /// Builds what is missing and boots.
    pub(crate) fn run(self, cx: &Context) -> Result<Outcome> {
        let variant = Variant::new(self.target, self.debug);
        let (image, files) = {
            let _lock = lock::take(&cx.cache.join("kernel.lock"))?;
            let kernel = build::build(cx, self.source, variant)?;
            (kernel.image, programs(cx, &kernel.tree.dir, self.whole)?)
        };
        let cpus = std::thread::available_parallelism().map_or(2, usize::from);
        // With one processor what must wait for another would never be tried.
        let cpus = self.threads.unwrap_or(cpus).clamp(2, 8);

        let reserved = self
            .model
            .map_or(0, |model| reserved_mb(model, self.in_place));
        // The model is in memory three times for a moment: as the loader left it, unpacked, and reserved. In
        // place, only the first of these is there.
        let copies = if self.in_place { 1 } else { 2 };
        let unpacked = self
            .model
            .map_or(0, |model| copies * model.bytes.div_ceil(1 << 20));
        let base = if self.debug { 1024 } else { 256 } + if self.whole { 128 } else { 0 };
        let needed = reserved + unpacked + base;
        let memory_mb = self.memory_mb.unwrap_or(needed);
        let mut append = self.append;
        if reserved > 0 && !append.iter().any(|words| words.contains("llamux_mem=")) {
            // Less memory than the default wants goes at the cost of the reservation, not of the rest.
            let reserved = reserved.min(memory_mb.saturating_sub(unpacked + base / 2).max(16));
            append.insert(0, format!("llamux_mem={reserved}M"));
        }
        if let Some(model) = self.model {
            append.push(format!("llamux.model={}", model.name));
        }
        if let Some(threads) = self.threads {
            append.push(format!("llamux.threads={threads}"));
        }
        if self.console == Console::Interactive {
            if let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdin()) {
                if size.ws_row > 0 && size.ws_col > 0 {
                    append.push(format!("xtask.size={}x{}", size.ws_row, size.ws_col));
                }
            }
        }

        let dir = cx.root.join("target/llamux").join(variant.name());
        fs::create_dir_all(&dir)?;
        let initrd = dir.join(format!("initrd-{}.cpio", std::process::id()));
        let mut head = self.head;
        if let (true, Some(model)) = (self.in_place, self.model) {
            head = Some(initramfs::in_place_part(cx, model)?);
        }
        let content = Content {
            head: head.as_deref(),
            model: self.model.filter(|_| !self.in_place),
            files: &files,
            overlay: self.overlay,
            command: self.command,
        };
        initramfs::write(cx, &content, &initrd)?;
        let machine = Machine {
            target: self.target,
            image: self.image.unwrap_or(&image),
            initrd: &initrd,
            memory_mb,
            cpus,
            append,
            timeout: self.timeout,
            verbose: self.verbose,
            console: self.console,
            log: dir.join("boot.log"),
        };
        let outcome = machine.run();
        let _ = fs::remove_file(&initrd);
        outcome
    }
}

/// What to reserve for a model, as `llamux-setup` would.
pub(crate) fn reserved_mb(model: &Model, in_place: bool) -> u64 {
    let place = if in_place {
        Place::Head
    } else {
        Place::Archive
    };
    memory::reserved_mb(model.bytes, place)
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    setup::ensure(cx)?;
    let target = args.target.unwrap_or(if machine::kvm() {
        Target::X86_64
    } else {
        Target::Uml
    });
    let model = model::find(cx, args.model.as_deref())?;
    if args.iso {
        setup::ensure_for(cx, Purpose::Images)?;
        return live::run(cx, &args.source, &model, args.memory);
    }
    let command = match (&args.exec, &args.question) {
        (Some(exec), _) => Some(format!("{LOADED}\n{exec}")),
        (None, Some(question)) => Some(ask(args, question)?),
        (None, None) => None,
    };
    if command.is_none() && !std::io::stdin().is_terminal() {
        bail!("a shell wants a terminal: give a question, or a command with --exec");
    }
    let console = if command.is_some() {
        Console::Pass
    } else {
        Console::Interactive
    };
    let timeout = args
        .timeout
        .unwrap_or(if command.is_some() { 600 } else { 0 });
    let boot = Boot {
        target,
        debug: args.debug,
        source: &args.source,
        image: None,
        model: Some(&model),
        in_place: args.in_place,
        head: None,
        memory_mb: args.memory,
        threads: args.threads,
        append: args.append.clone(),
        overlay: args.overlay.as_deref(),
        whole: args.question.is_none(),
        command: command.as_deref(),
        console,
        verbose: args.verbose,
        timeout: (timeout > 0).then(|| Duration::from_secs(timeout)),
    };
    let outcome = boot.run(cx)?;
    Ok(ExitCode::from(outcome.status()?))
}

/// Waits until it is known whether there is a model, for those who look.
pub(crate) const LOADED: &str =
    "while grep -qs '^state: loading' /proc/llamux/status; do sleep 0.1; done";

/// The script that asks.
fn ask(args: &Args, question: &str) -> Result<String> {
    if question.trim().is_empty() {
        bail!("the question is empty");
    }
    let mut words = vec!["exec llama".to_owned()];
    if let Some(n) = args.max_tokens {
        words.push(format!("--max-tokens {n}"));
    }
    if let Some(t) = args.temperature {
        words.push(format!("--temperature {t}"));
    }
    words.push(format!("-- {}", quoted(question)));
    Ok(words.join(" "))
}

/// A word for the shell.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What goes into a system: the programs that ask and watch, and the kernel's self-tests.
fn programs(cx: &Context, tree: &Path, whole: bool) -> Result<Vec<(String, PathBuf)>> {
    let mut programs = if whole {
        for_people(cx)?
    } else {
        asking(cx, &ASKING)?
    };
    for test in selftests(cx, tree)? {
        let name = test
            .file_name()
            .context("a program has a name")?
            .to_string_lossy()
            .into_owned();
        programs.push((format!("usr/lib/llamux/selftests/{name}"), test));
    }
    Ok(programs)
}

/// The programs that ask and watch.
const ASKING: [&str; 3] = ["llama", "llama-mon", "lsh"];
/// All packages of which a program or an example is ever built for systems without libraries.
const PACKAGES: [&str; 7] = [
    "llama-cli",
    "llama-mon",
    "llamux",
    "llamux-backend",
    "llamux-setup",
    "llamuxd",
    "lsh",
];
/// The profiles of `llama`.
const PROFILES: &str = "usr/share/llamux/profiles";

/// All of ours that can be typed, for systems without libraries, and what of this machine's goes with it.
pub(crate) fn for_people(cx: &Context) -> Result<Vec<(String, PathBuf)>> {
    let ours = [&ASKING[..], &["llamuxd"]].concat();
    let mut files = asking(cx, &ours)?;
    files.extend(borrowed::for_people()?);
    Ok(files)
}

/// Programs of ours for systems without libraries, and what they read, with where they belong.
fn asking(cx: &Context, programs: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let release = linked_statically(cx, "--bin", programs)?;
    let place = |name: &&str| (format!("usr/bin/{name}"), release.join(name));
    let mut files: Vec<_> = programs.iter().map(place).collect();
    let profiles = cx.root.join("packaging/tools").join(PROFILES);
    for entry in fs::read_dir(profiles)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((format!("{PROFILES}/{name}"), entry.path()));
    }
    files.sort();
    Ok(files)
}

/// A program of ours, likewise.
pub(crate) fn program(cx: &Context, name: &str) -> Result<PathBuf> {
    Ok(linked_statically(cx, "--bin", &[name])?.join(name))
}

/// An example of one of our packages, likewise.
pub(crate) fn example(cx: &Context, name: &str) -> Result<PathBuf> {
    let release = linked_statically(cx, "--example", &[name])?;
    Ok(release.join("examples").join(name))
}

/// Builds programs or examples of the workspace that need no libraries. Returns the directory of what was built.
///
/// All packages are named each time, and what is to be built of them apart: so what they have in common has the same
/// features, and is compiled once.
fn linked_statically(cx: &Context, kind: &str, names: &[&str]) -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target_dir = cx.target_dir().join("static");
    let mut cargo = sh::cmd("cargo");
    cargo
        .current_dir(&cx.root)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        // Naming the target keeps the flag away from build scripts and procedural macros.
        .args(["build", "--quiet", "--release", "--target", &triple])
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        .args(names.iter().flat_map(|name| [kind, name]))
        .arg("--target-dir")
        .arg(&target_dir);
    sh::run(tools::stripped(&mut cargo))?;
    Ok(target_dir.join(triple).join("release"))
}

/// The self-tests of `tools/testing/selftests/llamux`, built by their own Makefile, statically.
fn selftests(cx: &Context, tree: &Path) -> Result<Vec<PathBuf>> {
    let to = cx.root.join("target/llamux/selftests");
    fs::create_dir_all(&to)?;
    let mut make = sh::cmd("make");
    make.arg("--quiet")
        .arg("-C")
        .arg(tree.join("tools/testing/selftests/llamux"));
    make.arg(format!("OUTPUT={}", to.display()));
    for name in ["MAKEFLAGS", "MFLAGS", "CFLAGS", "CC", "LLVM", "ARCH"] {
        make.env_remove(name);
    }
    sh::run(&mut make)?;
    let mut programs: Vec<_> = fs::read_dir(&to)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_none() && path.is_file())
        .collect();
    programs.sort();
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_reach_the_shell_unharmed() {
        assert_eq!(
            quoted("what's $(reboot) `now`?"),
            r"'what'\''s $(reboot) `now`?'"
        );
    }
}
