// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask tools`: lays what the package llamux-tools holds into a directory.
//!
//! `packaging/tools` has what is written by hand, where the package has it; programs, the library for C, completions,
//! and most pages are made from the crates.

use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::context::Context;
use crate::kernel::{prepare, Pinned};
use crate::{lock, sh};

const CARGO_DEB: CargoTool = CargoTool {
    name: "cargo-deb",
    version: "3.8.0",
    minutes: "three",
};

/// Lay the files of the package llamux-tools into a directory.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory that stands for the root of the system.
    #[arg(long, value_name = "DIR")]
    destdir: PathBuf,
    /// Whose package it is: they differ in what makes their initramfs.
    #[arg(long, value_enum, default_value_t = System::Arch)]
    system: System,
}

/// A distribution that has such a package.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// Arch, with mkinitcpio.
    Arch,
    /// Debian, with initramfs-tools.
    Debian,
}

impl System {
    /// What the other one has.
    fn without(self) -> &'static str {
        match self {
            Self::Arch => "usr/share/initramfs-tools",
            Self::Debian => "usr/lib/initcpio",
        }
    }

    /// Where libraries are.
    fn libraries(self) -> &'static str {
        match self {
            Self::Arch => "usr/lib",
            Self::Debian => "usr/lib/x86_64-linux-gnu",
        }
    }

    /// Where its zsh finds completions of packages.
    fn zsh(self) -> &'static str {
        match self {
            Self::Arch => "zsh/site-functions",
            Self::Debian => "zsh/vendor-completions",
        }
    }
}

/// Files of the checkout that are in the package under another name.
const COPIES: &[(&str, &str)] = &[
    (
        "crates/llamux-kernel/include/uapi/linux/llamux.h",
        "usr/include/linux/llamux.h",
    ),
    (
        "crates/llamux-kernel/samples/llamux/llama.c",
        "usr/share/doc/llamux-tools/examples/llama.c",
    ),
    (
        "crates/llamux-sys/man/llama_command.2",
        "usr/share/man/man2/llama_command.2",
    ),
    (
        "LICENSES/MIT.txt",
        "usr/share/licenses/llamux-tools/MIT.txt",
    ),
];

/// The programs, and the crate of each.
const PROGRAMS: [(&str, &str); 6] = [
    ("llama", "llama-cli"),
    ("llama-mon", "llama-mon"),
    ("llamux-backend", "llamux-backend"),
    ("llamux-setup", "llamux-setup"),
    ("llamuxd", "llamuxd"),
    ("lsh", "lsh"),
];

/// The library for C: its file, which has the version of the workspace; the name that programs ask the loader for,
/// which `libllamux`'s build script gives it; and the one that the linker looks for.
const LIBRARY: [&str; 3] = [
    concat!("libllamux.so.", env!("CARGO_PKG_VERSION")),
    "libllamux.so.0",
    "libllamux.so",
];

/// What writes its header and its file for pkg-config.
const HEADER: &str = "llamux-header";

/// What of it is in the checkout.
const LIBRARY_COPIES: [(&str, &str); 2] = [
    (
        "crates/libllamux/examples/ask.c",
        "usr/share/doc/llamux-tools/examples/ask.c",
    ),
    (
        "crates/libllamux/man/libllamux.3",
        "usr/share/man/man3/libllamux.3",
    ),
];

/// What writes completions and pages.
const PAGES: &str = "llamux-pages";

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    lay(cx, &args.destdir, args.system)?;
    Ok(ExitCode::SUCCESS)
}

/// Lays all files below `destdir`, with the modes that the package has.
pub(crate) fn lay(cx: &Context, destdir: &Path, system: System) -> Result<()> {
    let target_dir = target_dir(cx)?;
    let _lock = lock::take(&target_dir.join("lock"))?;
    let packages = PROGRAMS.iter().map(|(_, package)| *package).chain([PAGES]);
    let packages = packages.flat_map(|package| ["--package", package]);
    let what: Vec<_> = ["--bins"].into_iter().chain(packages).collect();
    let release = build(cx, &target_dir, &what)?;
    let made = target_dir.join("made");
    if made.exists() {
        fs::remove_dir_all(&made)?;
    }
    sh::run(sh::cmd(release.join(PAGES)).arg(&made))?;

    for (program, _) in PROGRAMS {
        let to = Path::new("usr/bin").join(program);
        install(&release.join(program), destdir, &to)?;
    }
    for file in prepare::files(&made)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let to = place(&name, system).with_context(|| format!("where does {name} belong?"))?;
        install(&file, destdir, &to)?;
    }
    library(cx, &target_dir, destdir, system)?;
    for (from, to) in COPIES {
        install(&cx.root.join(from), destdir, Path::new(to))?;
    }
    let ours = cx.root.join("packaging/tools");
    for file in prepare::files(&ours)? {
        let to = file.strip_prefix(&ours)?;
        if !to.starts_with(system.without()) {
            install(&file, destdir, to)?;
        }
    }
    Ok(())
}

/// Lays the library for C alone, and what goes with it.
pub(crate) fn lay_library(cx: &Context, destdir: &Path, system: System) -> Result<()> {
    let target_dir = target_dir(cx)?;
    let _lock = lock::take(&target_dir.join("lock"))?;
    library(cx, &target_dir, destdir, system)
}

/// The same with the lock of the directory held: the library with its links, header, page, example, and what
/// pkg-config reads.
fn library(cx: &Context, target_dir: &Path, destdir: &Path, system: System) -> Result<()> {
    let what = ["--package", "libllamux", "--lib", "--example", HEADER];
    let release = build(cx, target_dir, &what)?;
    let at = Path::new(system.libraries());
    let [file, names @ ..] = LIBRARY;
    install_as(
        &release.join("libllamux.so"),
        destdir,
        &at.join(file),
        0o644,
    )?;
    for name in names {
        let link = destdir.join(at).join(name);
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(file, &link).with_context(|| format!("cannot make {}", link.display()))?;
    }

    let made = target_dir.join("made-library");
    sh::run(sh::cmd(release.join("examples").join(HEADER)).arg(&made))?;
    let header = Path::new("usr/include/llamux.h");
    install(&made.join("llamux.h"), destdir, header)?;
    let config = made.join("llamux.pc");
    let libdir = format!(
        "${{prefix}}{}\n",
        system.libraries().trim_start_matches("usr")
    );
    let text = fs::read_to_string(&config)?.replace("${prefix}/lib\n", &libdir);
    fs::write(&config, text)?;
    install(&config, destdir, &at.join("pkgconfig/llamux.pc"))?;
    for (from, to) in LIBRARY_COPIES {
        install(&cx.root.join(from), destdir, Path::new(to))?;
    }
    Ok(())
}

/// Makes the Debian package of the tools in `out`, and returns its file.
pub(crate) fn deb(cx: &Context, out: &Path) -> Result<PathBuf> {
    let pinned: Pinned = cx.config("kernel.toml")?;
    let package = &pinned.package;
    let version = format!("{}.{}-{}", pinned.version, package.release, package.pkgrel);
    let cargo_deb = CARGO_DEB.find_or_install(cx)?;
    let dir = cx.target_dir().join("tools/deb");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let root = dir.join("root");
    lay(cx, &root, System::Debian)?;
    // What cargo-deb packs is said in a manifest. This one is of a crate without code, so that the files come from
    // one place, whatever packs them.
    let mut assets = String::new();
    for file in prepare::files(&root)? {
        let mode = fs::metadata(&file)?.permissions().mode() & 0o777;
        let to = file.strip_prefix(&root)?.to_string_lossy().into_owned();
        assets += &format!(
            "    [{:?}, {to:?}, \"{mode:o}\"],\n",
            file.to_string_lossy()
        );
    }
    let manifest = include_str!("../../packaging/deb-tools/Cargo.toml.in")
        .replace(
            "@SCRIPTS@",
            &cx.root.join("packaging/deb-tools").to_string_lossy(),
        )
        .replace("@COPYING@", &cx.root.join("COPYING.md").to_string_lossy())
        .replace("@ASSETS@", &assets);
    fs::create_dir_all(dir.join("src"))?;
    fs::write(dir.join("Cargo.toml"), manifest)?;
    fs::write(dir.join("src/lib.rs"), "")?;
    fs::create_dir_all(out)?;
    let file = out.join(format!("llamux-tools_{version}_amd64.deb"));
    let mut make = sh::cmd(cargo_deb);
    make.current_dir(&dir)
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .args([
            "--no-build",
            "--no-strip",
            "--deb-version",
            &version,
            "--output",
        ])
        .arg(&file);
    sh::run(&mut make)?;
    Ok(file)
}

/// A program that is kept among the pipeline's own tools.
pub(crate) struct CargoTool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// How long building it takes.
    pub(crate) minutes: &'static str,
}

impl CargoTool {
    /// The program, installed if it is not there.
    pub(crate) fn find_or_install(&self, cx: &Context) -> Result<PathBuf> {
        let Self {
            name,
            version,
            minutes,
        } = *self;
        let tools = cx.cache_dir("tools")?;
        let program = tools.join("bin").join(name);
        if program.exists() {
            return Ok(program);
        }
        eprintln!("tools: building {name} {version}, about {minutes} minutes");
        let mut install = sh::cmd("cargo");
        install.args(["install", name, "--locked", "--version", version]);
        sh::run(install.arg("--root").arg(&tools))?;
        Ok(program)
    }
}

/// Where is built what goes to other machines.
pub(crate) fn target_dir(cx: &Context) -> Result<PathBuf> {
    let dir = cx.target_dir().join("tools");
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Flags of a compiler whose programs are the same wherever the checkout is.
pub(crate) fn anywhere() -> String {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    // The paths of the workspace's sources are relative to it anyway.
    if let Some(home) = home {
        flags += &format!(" --remap-path-prefix={}=/cargo", home.display());
    }
    flags.trim_start().to_owned()
}

/// Has cargo leave out what debuggers read: most of a program otherwise, and nobody there reads it.
pub(crate) fn stripped(cargo: &mut Command) -> &mut Command {
    cargo
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
}

/// Builds some of it, and returns the directory of what was built.
fn build(cx: &Context, target_dir: &Path, what: &[&str]) -> Result<PathBuf> {
    let mut cargo = sh::cmd("cargo");
    cargo
        .current_dir(&cx.root)
        .env("RUSTFLAGS", anywhere())
        .env("CARGO_TARGET_DIR", target_dir)
        .args(["build", "--release", "--locked", "--quiet"])
        .args(what);
    sh::run(stripped(&mut cargo))?;
    Ok(target_dir.join("release"))
}

/// Where a page or a completion belongs.
fn place(name: &str, system: System) -> Option<PathBuf> {
    let share = Path::new("usr/share");
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    Some(match suffix {
        "bash" => share.join("bash-completion/completions").join(stem),
        "fish" => share.join("fish/vendor_completions.d").join(name),
        "" if name.starts_with('_') => share.join(system.zsh()).join(name),
        section if section.parse().is_ok_and(|n: u8| (1..=9).contains(&n)) => {
            share.join(format!("man/man{section}")).join(name)
        }
        _ => return None,
    })
}

/// Copies a file, with a mode that depends on nothing but whether it is a program.
fn install(from: &Path, destdir: &Path, to: &Path) -> Result<()> {
    let meta = fs::metadata(from).with_context(|| format!("cannot read {}", from.display()))?;
    let program = meta.permissions().mode() & 0o111 != 0;
    install_as(from, destdir, to, if program { 0o755 } else { 0o644 })
}

/// Copies a file, with this mode.
fn install_as(from: &Path, destdir: &Path, to: &Path, mode: u32) -> Result<()> {
    let at = destdir.join(to);
    let shown = || format!("cannot write {}", at.display());
    let mut dir = destdir.to_owned();
    for part in to.parent().into_iter().flat_map(Path::components) {
        dir.push(part);
        if !dir.is_dir() {
            fs::create_dir_all(&dir).with_context(shown)?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).with_context(shown)?;
        }
    }
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    fs::write(&at, bytes).with_context(shown)?;
    fs::set_permissions(&at, fs::Permissions::from_mode(mode)).with_context(shown)
}
