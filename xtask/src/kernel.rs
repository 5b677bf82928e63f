// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask kernel`: from kernel.org's archive to a kernel that boots.

pub(crate) mod build;
pub(crate) mod config;
pub(crate) mod fetch;
pub(crate) mod objects;
pub(crate) mod prepare;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use serde::Deserialize;

use crate::context::Context;
use crate::{lock, setup, sh};

/// Fetch, patch, configure and build the kernel.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Fetch and unpack the pinned kernel.
    Fetch(Source),
    /// Apply the patches and lay the crates into the tree.
    Prepare(Source),
    /// Make the build directory's .config and check it.
    Config(BuildArgs),
    /// Build the kernel and check its objects. Prints where.
    Build(BuildArgs),
    /// Run make in the build directory, as a build does: `cargo xtask kernel make -- menuconfig`.
    Make(MakeArgs),
}

/// Which kernel source.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Source {
    /// Use this archive of Linux 7.3 instead of the pinned one.
    #[arg(long, value_name = "FILE")]
    pub(crate) tarball: Option<PathBuf>,
    /// A configuration of the user's.
    #[arg(skip)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(clap::Args)]
struct MakeArgs {
    #[command(flatten)]
    build: BuildArgs,
    /// What to make, and variables.
    #[arg(last = true, required = true)]
    words: Vec<OsString>,
}

#[derive(clap::Args)]
struct BuildArgs {
    /// What the kernel runs on.
    #[arg(long, value_enum, default_value_t = Target::Uml)]
    target: Target,
    /// With the kernel's own checks (KASAN, lockdep, …).
    #[arg(long)]
    debug: bool,
    /// With CONFIG_LLAMUX off: the series must not matter then.
    #[arg(long, conflicts_with = "debug")]
    without_llamux: bool,
    /// With the drivers of real machines, as packages and images have them (x86_64).
    #[arg(long, conflicts_with_all = ["debug", "without_llamux", "clippy"])]
    pc: bool,
    /// The modules as well, which packages have and live images do without.
    #[arg(long, requires = "pc")]
    modules: bool,
    /// Compile the kernel's Rust code with clippy, where there is one for its compiler.
    #[arg(long)]
    clippy: bool,
    /// Configure as this file does, such as /proc/config.gz: it counts more than configs/, but for what Llamux needs.
    #[arg(long, value_name = "FILE", requires = "pc")]
    config: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

/// What a kernel is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// User Mode Linux: the kernel as a program.
    Uml,
    /// A PC, real or in QEMU; `qemu` means the same.
    #[value(name = "x86_64", alias = "qemu")]
    X86_64,
}

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uml => "uml",
            Self::X86_64 => "x86_64",
        }
    }

    /// `ARCH=` for make.
    pub(crate) fn arch(self) -> &'static str {
        match self {
            Self::Uml => "um",
            Self::X86_64 => "x86_64",
        }
    }
}

/// One kernel of the several that are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) target: Target,
    pub(crate) flavour: Flavour,
}

/// How it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    Plain,
    Debug,
    WithoutLlamux,
    /// With the drivers of real machines.
    Pc,
    /// As plain, but compiled by clippy; its objects are thrown away.
    Clippy,
}

impl Variant {
    /// What packages and images boot.
    pub(crate) const PC: Self = Self {
        target: Target::X86_64,
        flavour: Flavour::Pc,
    };

    pub(crate) fn new(target: Target, debug: bool) -> Self {
        Self {
            target,
            flavour: if debug {
                Flavour::Debug
            } else {
                Flavour::Plain
            },
        }
    }

    /// `uml`, `x86_64-debug`.
    pub(crate) fn name(self) -> String {
        let suffix = match self.flavour {
            Flavour::Plain => "",
            Flavour::Debug => "-debug",
            Flavour::WithoutLlamux => "-without",
            Flavour::Pc => "-pc",
            Flavour::Clippy => "-clippy",
        };
        format!("{}{suffix}", self.target.name())
    }
}

/// `configs/kernel.toml`.
#[derive(Deserialize)]
pub(crate) struct Pinned {
    pub(crate) version: String,
    pub(crate) series: String,
    pub(crate) source: Vec<fetch::SourceSpec>,
    pub(crate) package: PackageSpec,
    #[serde(default)]
    pub(crate) steps: std::collections::BTreeMap<String, u64>,
}

/// What the version of packages has besides that of Linux.
#[derive(Deserialize)]
pub(crate) struct PackageSpec {
    pub(crate) release: String,
    pub(crate) pkgrel: u32,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    setup::ensure_kernel(cx)?;
    let _lock = lock::take(&cx.cache.join("kernel.lock"))?;
    match &args.step {
        Step::Fetch(source) => {
            let pristine = fetch::pristine(cx, source)?;
            eprintln!(
                "kernel: Linux {} is in {}",
                pristine.version,
                pristine.dir.display()
            );
        }
        Step::Prepare(source) => {
            let tree = prepare::tree(cx, source)?;
            eprintln!("kernel: the prepared tree is {}", tree.dir.display());
        }
        Step::Config(args) => {
            let tree = prepare::tree(cx, &args.source())?;
            let build = config::configure(cx, &tree, args.variant())?;
            eprintln!("kernel: configured {}", build.dir.display());
        }
        Step::Build(args) => {
            let kernel = if args.modules {
                build::modules(cx, &args.source())?
            } else {
                build::build(cx, &args.source(), args.variant())?
            };
            println!("{}", kernel.build.dir.display());
        }
        Step::Make(args) => {
            let tree = prepare::tree(cx, &args.build.source())?;
            let build = config::configure(cx, &tree, args.build.variant())?;
            let mut make = build.make();
            make.arg(format!("-j{}", build::jobs())).args(&args.words);
            sh::run(&mut make)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl BuildArgs {
    fn source(&self) -> Source {
        Source {
            config: self.config.clone(),
            ..self.source.clone()
        }
    }

    fn variant(&self) -> Variant {
        let flavour = match (self.debug, self.without_llamux, self.clippy) {
            // No other target has real machines.
            _ if self.pc => return Variant::PC,
            (true, ..) => Flavour::Debug,
            (_, true, _) => Flavour::WithoutLlamux,
            (.., true) => Flavour::Clippy,
            _ => Flavour::Plain,
        };
        Variant {
            target: self.target,
            flavour,
        }
    }
}
