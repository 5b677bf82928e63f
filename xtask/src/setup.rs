// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask setup`: finds or installs what the other commands need.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{bail, Result};

use crate::context::Context;
use crate::lock;
use crate::sh;
use crate::toolchain::{self, Toolchain};

const BINDGEN_VERSION: &str = "0.72.1";

/// Find or install what is missing on this machine, for all commands.
///
/// They do so themselves, each for what it needs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only report what is missing; exits with a failure if something is.
    #[arg(long)]
    check: bool,
}

/// One thing that the build, the boot or the tests need.
struct Need {
    what: &'static str,
    found: fn(&Context) -> bool,
    debian12: &'static [&'static str],
    debian13: &'static [&'static str],
    arch: &'static [&'static str],
}

/// The packages of what has the same name in both Debian releases.
const fn need(
    what: &'static str,
    found: fn(&Context) -> bool,
    debian: &'static [&'static str],
    arch: &'static [&'static str],
) -> Need {
    Need {
        what,
        found,
        debian12: debian,
        debian13: debian,
        arch,
    }
}

/// Makes a `found` that looks for programs.
macro_rules! programs {
    ($($name:literal),+) => {
        |_| [$($name),+].iter().all(|name| sh::has(name))
    };
}

const NEEDS: &[Need] = &[
    Need {
        what: "rustc 1.85 or newer with the sources of its library (for the kernel)",
        found: |_| toolchain::rustc().is_some(),
        debian12: &["rustc-web", "rust-web-src"],
        debian13: &["rustc", "rust-src"],
        arch: &["rust", "rust-src"],
    },
    Need {
        what: "clippy for that rustc",
        // A toolchain of rustup's has the components that its owner gave it; where there is none at
        // all, the distribution's is on its way.
        found: |_| {
            toolchain::rustc().is_some_and(|rustc| {
                !rustc.path.starts_with("/usr/bin") || rustc.clippy_driver().is_some()
            })
        },
        debian12: &["rust-web-clippy"],
        debian13: &["rust-clippy"],
        arch: &["rust"],
    },
    need(
        "clang, lld and llvm, version 17 or newer, with libclang",
        |_| toolchain::llvm().is_some_and(|llvm| llvm.libclang.is_some()),
        &["clang-19", "lld-19", "llvm-19", "libclang-19-dev"],
        &["clang", "lld", "llvm"],
    ),
    Need {
        what: "bindgen 0.71.1 or newer",
        found: |cx| toolchain::bindgen(cx).is_some(),
        // Debian 12 has an older one: `install_bindgen` builds it.
        debian12: &[],
        debian13: &["bindgen"],
        arch: &["rust-bindgen"],
    },
    need(
        "make, gcc, g++, git, patch, flex, bison, bc",
        programs!("make", "gcc", "g++", "git", "patch", "flex", "bison", "bc"),
        &[
            "make",
            "gcc",
            "g++",
            "libc6-dev",
            "git",
            "patch",
            "flex",
            "bison",
            "bc",
        ],
        &["make", "gcc", "git", "patch", "flex", "bison", "bc"],
    ),
    need(
        "libelf's headers",
        |_| Path::new("/usr/include/gelf.h").exists(),
        &["libelf-dev"],
        &["libelf"],
    ),
    need(
        "OpenSSL's headers",
        |_| {
            Path::new("/usr/include/openssl/opensslconf.h").exists()
                || Path::new("/usr/include/x86_64-linux-gnu/openssl/opensslconf.h").exists()
        },
        &["libssl-dev"],
        &["openssl"],
    ),
    need(
        "the C library for static programs",
        static_libc,
        &["libc6-dev"],
        &["glibc"],
    ),
    need(
        "cpio, kmod, rsync, xz",
        programs!("cpio", "kmod", "rsync", "xz"),
        &["cpio", "kmod", "rsync", "xz-utils"],
        &["cpio", "kmod", "rsync", "xz"],
    ),
    need("pahole", programs!("pahole"), &["dwarves"], &["pahole"]),
    need("ccache", programs!("ccache"), &["ccache"], &["ccache"]),
    need(
        "curl and gpg",
        programs!("curl", "gpg"),
        &["curl", "gnupg"],
        &["curl", "gnupg"],
    ),
    need(
        "pip, and venv",
        |_| pip_works(),
        &["python3", "python3-pip", "python3-venv"],
        &["python", "python-pip"],
    ),
];

/// What most commands need besides: a machine, and a system for it.
const FOR_BOOTS: &[Need] = &[
    need(
        "qemu-system-x86_64",
        programs!("qemu-system-x86_64"),
        &["qemu-system-x86"],
        &["qemu-system-x86"],
    ),
    need(
        "a static busybox",
        |_| busybox().is_some(),
        &["busybox-static"],
        &["busybox"],
    ),
    need(
        "bash, curl and ldd",
        programs!("bash", "curl", "ldd"),
        &["bash", "curl", "libc-bin"],
        &["bash", "curl", "glibc"],
    ),
];

/// What only some commands need.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Images that boot by themselves, and trying them.
    Images,
    /// Packages for pacman.
    Packages,
    /// Debian packages, and trying them.
    Debian,
    /// Judging answers: the commands that models propose run in a sandbox.
    Evaluation,
}

impl Purpose {
    const ALL: [Self; 4] = [Self::Images, Self::Packages, Self::Debian, Self::Evaluation];

    const fn needs(self) -> &'static [Need] {
        match self {
            Self::Images => FOR_IMAGES,
            Self::Packages => FOR_PACKAGES,
            Self::Debian => FOR_DEBIAN,
            Self::Evaluation => FOR_EVALUATION,
        }
    }
}

const SHELLCHECK: Need = need(
    "shellcheck",
    programs!("shellcheck"),
    &["shellcheck"],
    &["shellcheck"],
);

const FOR_IMAGES: &[Need] = &[
    need(
        "xorriso, mtools and GRUB, for BIOS and for UEFI",
        |_| crate::iso::has_tools(),
        &[
            "xorriso",
            "mtools",
            "grub-common",
            "grub-pc-bin",
            "grub-efi-amd64-bin",
        ],
        &["libisoburn", "mtools", "grub"],
    ),
    SHELLCHECK,
    need(
        "UEFI for QEMU",
        |_| crate::iso::has_uefi(),
        &["ovmf"],
        &["edk2-ovmf"],
    ),
];

const FOR_DEBIAN: &[Need] = &[
    need(
        "dpkg-buildpackage and debhelper",
        programs!("dpkg-buildpackage", "dh_builddeb"),
        &["dpkg-dev", "debhelper"],
        &["dpkg", "debhelper"],
    ),
    need("zstd", programs!("zstd"), &["zstd"], &["zstd"]),
    need(
        "debootstrap and mke2fs",
        programs!("debootstrap", "mke2fs"),
        &["debootstrap", "e2fsprogs"],
        &["debootstrap", "e2fsprogs"],
    ),
];

const FOR_EVALUATION: &[Need] = &[
    need(
        "bubblewrap",
        programs!("bwrap"),
        &["bubblewrap"],
        &["bubblewrap"],
    ),
    need(
        "what the commands that are judged need: jq, zip, unzip, bzip2, xz, zstd, pgrep",
        programs!("jq", "zip", "unzip", "bzip2", "xz", "zstd", "pgrep"),
        &["jq", "zip", "unzip", "bzip2", "xz-utils", "zstd", "procps"],
        &["jq", "zip", "unzip", "bzip2", "xz", "zstd", "procps-ng"],
    ),
];

/// What tests look at files with, and do what people do with.
const FOR_TESTS: &[Need] = &[
    need("groff", programs!("groff"), &["groff-base"], &["groff"]),
    SHELLCHECK,
    need(
        "systemd-analyze and systemd-sysusers",
        programs!("systemd-analyze", "systemd-sysusers"),
        &["systemd"],
        &["systemd"],
    ),
    need(
        "dbus-daemon",
        programs!("dbus-daemon"),
        &["dbus-daemon"],
        &["dbus"],
    ),
    need(
        "zsh and fish",
        programs!("zsh", "fish"),
        &["zsh", "fish"],
        &["zsh", "fish"],
    ),
    need(
        "pkg-config",
        programs!("pkg-config"),
        &["pkgconf"],
        &["pkgconf"],
    ),
    need(
        "tmux, and less and vim to run in it",
        programs!("tmux", "less", "vim", "pgrep"),
        &["tmux", "less", "vim", "procps"],
        &["tmux", "less", "vim", "procps-ng"],
    ),
    need(
        "Chromium",
        |_| browser().is_some(),
        &["chromium"],
        &["chromium"],
    ),
    need(
        "Node.js and npm",
        programs!("node", "npm"),
        &["nodejs", "npm"],
        &["nodejs", "npm"],
    ),
];

const FOR_PACKAGES: &[Need] = &[
    need(
        "makepkg, pacman, repo-add, bsdtar, fakeroot, zstd",
        programs!("makepkg", "pacman", "repo-add", "bsdtar", "fakeroot", "zstd"),
        &[
            "makepkg",
            "pacman-package-manager",
            "libarchive-tools",
            "fakeroot",
            "zstd",
        ],
        &["base-devel", "pacman", "libarchive", "fakeroot", "zstd"],
    ),
    need(
        "bubblewrap (for builds that root starts)",
        |_| !rustix::process::geteuid().is_root() || sh::has("bwrap"),
        &["bubblewrap"],
        &["bubblewrap"],
    ),
];

/// Everything that any command needs.
fn all() -> impl Iterator<Item = &'static Need> {
    let more = Purpose::ALL.into_iter().flat_map(Purpose::needs);
    NEEDS.iter().chain(FOR_BOOTS).chain(FOR_TESTS).chain(more)
}

/// The systems that packages are known for.
#[derive(Clone, Copy)]
enum System {
    Debian12,
    Debian13,
    Arch,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    let missing = missing(cx, all());
    if missing.is_empty() {
        report(cx)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.check {
        eprintln!("missing:");
        for need in missing {
            eprintln!("  {}", need.what);
        }
        return Ok(ExitCode::FAILURE);
    }
    install(cx, &missing)?;
    Ok(ExitCode::SUCCESS)
}

/// Called by whatever builds and boots: installs what is missing, and is silent if nothing is.
pub(crate) fn ensure(cx: &Context) -> Result<()> {
    ensure_all(cx, &missing(cx, NEEDS.iter().chain(FOR_BOOTS)))
}

/// The same for what tests.
pub(crate) fn ensure_tests(cx: &Context) -> Result<()> {
    let needs = NEEDS.iter().chain(FOR_BOOTS).chain(FOR_TESTS);
    ensure_all(cx, &missing(cx, needs))
}

/// The same for what only builds the kernel.
pub(crate) fn ensure_kernel(cx: &Context) -> Result<()> {
    ensure_all(cx, &missing(cx, NEEDS))
}

/// The same for what a purpose needs besides.
pub(crate) fn ensure_for(cx: &Context, purpose: Purpose) -> Result<()> {
    // Who makes packages boots them elsewhere, and who judges answers boots nothing.
    let boots = match purpose {
        Purpose::Packages | Purpose::Evaluation => &[],
        _ => FOR_BOOTS,
    };
    let needs = NEEDS.iter().chain(boots).chain(purpose.needs());
    ensure_all(cx, &missing(cx, needs))
}

fn ensure_all(cx: &Context, missing: &[&Need]) -> Result<()> {
    if missing.is_empty() {
        Ok(())
    } else {
        install(cx, missing)
    }
}

fn missing(cx: &Context, needs: impl IntoIterator<Item = &'static Need>) -> Vec<&'static Need> {
    let needs = needs.into_iter();
    needs.filter(|need| !(need.found)(cx)).collect()
}

fn install(cx: &Context, missing: &[&Need]) -> Result<()> {
    let _lock = lock::take(&cx.cache.join("setup.lock"))?;
    eprintln!("setup: missing here:");
    for need in missing {
        eprintln!("  {}", need.what);
    }
    let Some(system) = system() else {
        bail!("this is neither Debian 12 or 13 nor Arch: install the above by hand");
    };
    let packages: Vec<_> = missing
        .iter()
        .flat_map(|need| match system {
            System::Debian12 => need.debian12,
            System::Debian13 => need.debian13,
            System::Arch => need.arch,
        })
        .copied()
        .collect();
    if !packages.is_empty() {
        eprintln!("setup: installing the packages {}", packages.join(" "));
        match system {
            System::Arch => sh::run(
                as_root("pacman")?
                    .args(["-S", "--needed", "--noconfirm"])
                    .args(&packages),
            )?,
            System::Debian12 | System::Debian13 => {
                sh::run(as_root("apt-get")?.arg("update"))?;
                sh::run(
                    as_root("apt-get")?
                        .args(["install", "--yes", "--no-install-recommends"])
                        .args(&packages),
                )?;
            }
        }
    }
    if toolchain::bindgen(cx).is_none() {
        install_bindgen(cx)?;
    }
    let left: Vec<_> = missing
        .iter()
        .filter(|need| !(need.found)(cx))
        .map(|need| need.what)
        .collect();
    if !left.is_empty() {
        bail!("still missing after installing: {}", left.join("; "));
    }
    report(cx)
}

fn report(cx: &Context) -> Result<()> {
    let found = Toolchain::find(cx)?;
    let (llvm, rustc) = (found.llvm, found.rustc);
    let (major, minor, patch) = rustc.version;
    eprintln!(
        "setup: everything is here; the kernel will be compiled by clang {} and {} {major}.{minor}.{patch}",
        llvm.major,
        rustc.path.display()
    );
    Ok(())
}

fn install_bindgen(cx: &Context) -> Result<()> {
    eprintln!("setup: building bindgen {BINDGEN_VERSION}, about two minutes");
    sh::run(
        sh::cmd("cargo")
            .args([
                "install",
                "bindgen-cli",
                "--locked",
                "--version",
                BINDGEN_VERSION,
            ])
            .arg("--root")
            .arg(cx.cache_dir("tools")?),
    )
}

/// The program by itself for root, by sudo for others.
pub(crate) fn as_root(program: &str) -> Result<Command> {
    if rustix::process::geteuid().is_root() {
        let mut command = sh::cmd(program);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        return Ok(command);
    }
    if !sh::has("sudo") {
        bail!("not root, and there is no sudo: run `cargo xtask setup` as root once");
    }
    let mut command = sh::cmd("sudo");
    command.args(["DEBIAN_FRONTEND=noninteractive", program]);
    Ok(command)
}

fn system() -> Option<System> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    match (field("ID"), field("VERSION_ID")) {
        (Some("debian"), Some("12")) => Some(System::Debian12),
        (Some("debian"), _) => Some(System::Debian13),
        (Some("arch"), _) => Some(System::Arch),
        _ if field("ID_LIKE") == Some("arch") => Some(System::Arch),
        _ => None,
    }
}

/// Whether pacman knows what is installed here.
pub(crate) fn is_arch() -> bool {
    matches!(system(), Some(System::Arch))
}

/// The packages that a build of the kernel takes on Arch.
#[cfg(test)]
pub(crate) fn arch_packages_for_kernel() -> impl Iterator<Item = &'static str> {
    NEEDS.iter().flat_map(|need| need.arch).copied()
}

/// A browser that can be driven.
pub(crate) fn browser() -> Option<std::path::PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find_map(sh::find)
}

/// A busybox that needs no library, for the initramfs.
pub(crate) fn busybox() -> Option<std::path::PathBuf> {
    let found = [
        "/usr/lib/initcpio/busybox",
        "/usr/bin/busybox",
        "/bin/busybox",
    ]
    .into_iter()
    .map(std::path::PathBuf::from)
    .chain(sh::find("busybox"));
    // A static program names no dynamic loader.
    found.filter(|path| path.is_file()).find(|path| {
        fs::read(path).is_ok_and(|bytes| {
            let head = &bytes[..bytes.len().min(4096)];
            !head
                .windows(10)
                .any(|window| window == b"ld-linux-x".as_slice())
        })
    })
}

/// The Python whose pip works.
pub(crate) fn python() -> Option<&'static str> {
    ["python3", "python", "/usr/bin/python3"]
        .into_iter()
        .find(|python| sh::read(sh::cmd(python).args(["-m", "pip", "--version"])).is_ok())
}

fn pip_works() -> bool {
    // Starting pip takes half a second: its package being there is enough for every later call.
    let quick = "import importlib.util as u, sys; sys.exit(not (u.find_spec('pip') and u.find_spec('venv')))";
    ["python3", "python"]
        .into_iter()
        .any(|python| sh::read(sh::cmd(python).args(["-c", quick])).is_ok())
}

fn static_libc(_: &Context) -> bool {
    [
        "/usr/lib/x86_64-linux-gnu/libc.a",
        "/usr/lib/libc.a",
        "/usr/lib64/libc.a",
    ]
    .iter()
    .any(|path| Path::new(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_can_be_installed_everywhere() {
        for need in all() {
            assert!(
                !need.debian13.is_empty() && !need.arch.is_empty(),
                "{}",
                need.what
            );
            assert!(
                !need.debian12.is_empty() || need.what.starts_with("bindgen"),
                "{}",
                need.what
            );
        }
    }
}
