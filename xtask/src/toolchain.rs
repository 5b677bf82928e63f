// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The programs that compile the kernel, found where the distributions put them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::context::Context;
use crate::sh;

/// The oldest versions that Linux 7.3 takes (`scripts/min-tool-version.sh`).
const LLVM_MIN: u32 = 17;
const RUSTC_MIN: (u32, u32, u32) = (1, 85, 0);
const BINDGEN_MIN: (u32, u32, u32) = (0, 71, 1);

/// The date that all that is built has, and the same in seconds: the same source gives the same bytes.
const BUILD_DATE: &str = "2026-01-01";
pub(crate) const SOURCE_DATE_EPOCH: u64 = 1_767_225_600;

/// What `make` is given.
pub(crate) struct Toolchain {
    pub(crate) llvm: Llvm,
    pub(crate) rustc: Rustc,
    pub(crate) bindgen: PathBuf,
}

/// clang, lld and the LLVM binary utilities of one version.
pub(crate) struct Llvm {
    /// What follows the programs' names: `-19`, or nothing.
    pub(crate) suffix: String,
    pub(crate) major: u32,
    /// The directory of `libclang.so`, for bindgen.
    pub(crate) libclang: Option<PathBuf>,
}

/// A Rust compiler that has the sources of its library beside it.
pub(crate) struct Rustc {
    pub(crate) path: PathBuf,
    pub(crate) version: (u32, u32, u32),
}

impl Toolchain {
    /// The toolchain, or what is missing of it.
    pub(crate) fn find(cx: &Context) -> Result<Self> {
        match (llvm(), rustc(), bindgen(cx)) {
            (Some(llvm), Some(rustc), Some(bindgen)) => Ok(Self {
                llvm,
                rustc,
                bindgen,
            }),
            (llvm, rustc, bindgen) => {
                let missing: Vec<_> = [
                    llvm.is_none()
                        .then_some("clang, lld and llvm, version 17 or newer"),
                    rustc
                        .is_none()
                        .then_some("rustc 1.85 or newer with its library sources"),
                    bindgen.is_none().then_some("bindgen 0.71.1 or newer"),
                ]
                .into_iter()
                .flatten()
                .collect();
                anyhow::bail!(
                    "missing: {}; `cargo xtask setup` installs it",
                    missing.join("; ")
                )
            }
        }
    }

    /// A line that changes when any of the compilers does; part of the build directory's key.
    pub(crate) fn identity(&self) -> Result<String> {
        let clang = sh::read(sh::cmd(format!("clang{}", self.llvm.suffix)).arg("--version"))?;
        let rustc = sh::read(sh::cmd(&self.rustc.path).arg("--version"))?;
        let bindgen = sh::read(sh::cmd(&self.bindgen).arg("--version"))?;
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        Ok([first(&clang), first(&rustc), first(&bindgen)].join("; "))
    }

    /// The variables for `make`, the same in every call: kbuild rebuilds what was built with others.
    pub(crate) fn make_variables(&self) -> Vec<String> {
        let suffix = &self.llvm.suffix;
        let beside = |name: &str| self.rustc.path.with_file_name(name);
        let llvm = if suffix.is_empty() {
            "1"
        } else {
            suffix.as_str()
        };
        let ccache = if sh::has("ccache") { "ccache " } else { "" };
        let mut variables = vec![
            format!("LLVM={llvm}"),
            format!("CC={ccache}clang{suffix}"),
            format!("RUSTC={}", self.rustc.path.display()),
            format!("HOSTRUSTC={}", self.rustc.path.display()),
            format!("RUSTDOC={}", beside("rustdoc").display()),
            format!("BINDGEN={}", self.bindgen.display()),
            "KBUILD_BUILD_USER=llamux".to_owned(),
            "KBUILD_BUILD_HOST=llamux".to_owned(),
            format!("KBUILD_BUILD_TIMESTAMP={BUILD_DATE}"),
            "KBUILD_BUILD_VERSION=1".to_owned(),
        ];
        if let Some(clippy) = self.rustc.clippy_driver() {
            variables.push(format!("CLIPPY_DRIVER={}", clippy.display()));
        }
        variables
    }

    /// An LLVM program, such as `llvm-nm-19`.
    pub(crate) fn llvm_program(&self, name: &str) -> String {
        format!("{name}{}", self.llvm.suffix)
    }
}

/// Version 19 before any other, as that is what the configurations were tried with.
pub(crate) fn llvm() -> Option<Llvm> {
    let complete = |suffix: &str| {
        ["clang", "ld.lld", "llvm-nm", "llvm-objcopy", "llvm-ar"]
            .iter()
            .all(|name| sh::has(&format!("{name}{suffix}")))
    };
    let numbered = [19]
        .into_iter()
        .chain((LLVM_MIN..40).rev().filter(|&n| n != 19))
        .find_map(|major| {
            let suffix = format!("-{major}");
            complete(&suffix).then_some((suffix, major))
        });
    let (suffix, major) = numbered.or_else(|| {
        let text = sh::read(sh::cmd("clang").arg("--version"))
            .ok()
            .filter(|_| complete(""))?;
        let (major, _, _) = version(text.split("version ").nth(1)?)?;
        (major >= LLVM_MIN).then_some((String::new(), major))
    })?;
    let libclang = [
        format!("/usr/lib/llvm-{major}/lib"),
        "/usr/lib".into(),
        "/usr/lib64".into(),
    ]
    .into_iter()
    .map(PathBuf::from)
    .find(|dir| dir.join("libclang.so").exists());
    Some(Llvm {
        suffix,
        major,
        libclang,
    })
}

impl Rustc {
    /// clippy for exactly this compiler, where it is installed.
    pub(crate) fn clippy_driver(&self) -> Option<PathBuf> {
        Some(self.path.with_file_name("clippy-driver")).filter(|path| path.is_file())
    }
}

/// The distribution's compiler first, then rustup's; only one with `library/core` will do.
pub(crate) fn rustc() -> Option<Rustc> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    candidates.extend(env::var_os("LLAMUX_RUSTC").map(PathBuf::from));
    candidates.push("/usr/bin/rustc".into());
    let rustup = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
    if let Some(entries) = rustup.and_then(|dir| fs::read_dir(dir.join("toolchains")).ok()) {
        let mut toolchains: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path().join("bin/rustc"))
            .collect();
        toolchains.sort();
        candidates.extend(toolchains);
    }
    candidates.into_iter().find_map(|path| {
        let text = sh::read(sh::cmd(&path).arg("--version")).ok()?;
        let version = version(text.strip_prefix("rustc ")?)?;
        let sysroot = sh::read(sh::cmd(&path).args(["--print", "sysroot"])).ok()?;
        let sources =
            Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
        (version >= RUSTC_MIN && sources.exists()).then_some(Rustc { path, version })
    })
}

/// Our own build of bindgen, or the system's if that is new enough.
pub(crate) fn bindgen(cx: &Context) -> Option<PathBuf> {
    let ours = cx.cache.join("tools/bin/bindgen");
    [Some(ours), sh::find("bindgen")]
        .into_iter()
        .flatten()
        .find(|path| {
            sh::read(sh::cmd(path).arg("--version"))
                .ok()
                .and_then(|text| version(text.strip_prefix("bindgen ")?))
                .is_some_and(|version| version >= BINDGEN_MIN)
        })
}

/// `1.96.0 (…)` as numbers; a missing part counts as zero.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let digits = text
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .next()?;
    let mut parts = digits.split('.').map(|part| part.parse::<u32>().ok());
    Some((
        parts.next()??,
        parts.next().flatten().unwrap_or(0),
        parts.next().flatten().unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("1.96.0 (ac68faa20 2026-05-25)"), Some((1, 96, 0)));
        assert_eq!(version("19.1.7 (3~deb12u1)"), Some((19, 1, 7)));
        assert_eq!(version("0.72\n"), Some((0, 72, 0)));
        assert_eq!(version("nightly"), None);
        assert!(version("0.71.1") < version("0.72.0"));
        assert!(version("1.100.0") > version("1.85.0"));
    }
}
