// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel's configuration: a base, the fragments of `configs/`, and a check that each requested option really
//! is as requested. The base is `allnoconfig`, and for PCs the kernel's own configuration of them, or one of the user's,
//! which then counts more than the fragments but for what Llamux itself needs.

use std::collections::BTreeMap;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context as _, Result};

use super::prepare::Tree;
use super::{Flavour, Variant};
use crate::context::Context;
use crate::toolchain::Toolchain;
use crate::{download, sh};

/// A configured build directory.
pub(crate) struct Build {
    pub(crate) dir: PathBuf,
    pub(crate) toolchain: Toolchain,
    pub(crate) variant: Variant,
    source: PathBuf,
    ccache: PathBuf,
    cache: PathBuf,
}

impl Build {
    /// `make` with everything that must be the same in every call.
    pub(crate) fn make(&self) -> Command {
        let mut make = sh::cmd("make");
        make.arg("-C")
            .arg(&self.source)
            .arg(format!("O={}", self.dir.display()));
        make.arg(format!("ARCH={}", self.variant.target.arch()));
        make.args(self.toolchain.make_variables());
        if let Some(libclang) = &self.toolchain.llvm.libclang {
            make.env("LIBCLANG_PATH", libclang);
        }
        make.env("CCACHE_DIR", &self.ccache)
            .env("CCACHE_BASEDIR", &self.cache);
        // What the user has set for his own make or C programs is not meant for the kernel.
        for name in [
            "MAKEFLAGS",
            "MFLAGS",
            "KCFLAGS",
            "CFLAGS",
            "CC",
            "LLVM",
            "ARCH",
            "RUSTFLAGS",
        ] {
            make.env_remove(name);
        }
        make
    }
}

/// Options besides those of `common.config` that no configuration of the user's may change: what the packages are
/// called by and made of.
const OF_PACKAGES: [&str; 3] = ["LOCALVERSION", "LOCALVERSION_AUTO", "MODULES"];
/// Options of `common.config` that are one of several to choose from, any of which will do.
const OF_CHOICES: [&str; 1] = ["NO_HZ_IDLE"];
/// Options that name files where the user's configuration was made.
const OF_PLACES: [&str; 2] = ["SYSTEM_TRUSTED_KEYS", "SYSTEM_REVOCATION_KEYS"];

/// What is requested where the user has a configuration, and what of it must not be refused.
fn with_users(user: &str, texts: &[String]) -> Result<[BTreeMap<String, String>; 2]> {
    let mut requested = merge(texts.iter().map(String::as_str))?;
    let common = merge(texts.iter().map(String::as_str).take(1))?;
    let needed = |name: &str, value: &str| {
        let as_common = common.get(name).is_some_and(|common| common == value);
        OF_PACKAGES.contains(&name) || as_common && !OF_CHOICES.contains(&name)
    };
    let mut needs = requested.clone();
    needs.retain(|name, value| needed(name, value));
    let mut user = merge(iter::once(user))?;
    user.retain(|name, _| !OF_PLACES.contains(&name.as_str()));
    requested.extend(user);
    requested.extend(needs.clone());
    Ok([requested, needs])
}

/// A configuration, which `/proc/config.gz` has compressed.
fn read(path: &Path) -> Result<String> {
    let bytes =
        fs::read(path).with_context(|| format!("there is no configuration {}", path.display()))?;
    let text = if bytes.starts_with(&[0x1f, 0x8b]) {
        sh::read(sh::cmd("gzip").args(["-d", "-c"]).arg(path))?
    } else {
        String::from_utf8_lossy(&bytes).into_owned()
    };
    if !text.lines().any(|line| line.starts_with("CONFIG_")) {
        bail!("{} is no configuration of a kernel", path.display());
    }
    Ok(text)
}

/// The fragments of a variant in the order in which they count.
fn fragments(variant: Variant) -> Vec<String> {
    let target = variant.target.name();
    let mut names = vec!["common.config".to_owned(), format!("{target}.config")];
    match variant.flavour {
        Flavour::Plain | Flavour::Clippy => {}
        Flavour::Debug => {
            names.extend(["debug.config".to_owned(), format!("debug-{target}.config")])
        }
        Flavour::WithoutLlamux => names.push("without-llamux.config".to_owned()),
        Flavour::Pc => names.push("pc.config".to_owned()),
    }
    names
}

/// Makes the build directory's `.config`; leaves it alone if nothing it is made of has changed.
pub(crate) fn configure(cx: &Context, tree: &Tree, variant: Variant) -> Result<Build> {
    let toolchain = Toolchain::find(cx)?;
    let identity = toolchain.identity()?;
    let mut texts = Vec::new();
    for name in fragments(variant) {
        let path = cx.root.join("configs").join(name);
        texts.push(fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?);
    }
    let fragments = merge(texts.iter().map(String::as_str))?;
    let (goal, [requested, wanted]) = match (&tree.config, variant.flavour) {
        (Some(user), _) => ("alldefconfig", with_users(&read(user)?, &texts)?),
        (None, Flavour::Pc) => {
            let base = read(&tree.dir.join("arch/x86/configs/x86_64_defconfig"))?;
            let all = iter::once(&base).chain(&texts);
            let requested = merge(all.map(String::as_str))?;
            ("alldefconfig", [requested, fragments])
        }
        (None, _) => ("allnoconfig", [fragments.clone(), fragments]),
    };

    let key = format!("{}\n{identity}\n{requested:?}", tree.pristine.id);
    let name = format!(
        "{}-{}",
        variant.name(),
        &download::sha256_bytes(key.as_bytes())[..12]
    );
    let build = Build {
        dir: cx.cache_dir("build")?.join(name),
        toolchain,
        variant,
        source: tree.dir.clone(),
        ccache: cx.cache_dir("ccache")?,
        cache: cx.cache.clone(),
    };
    fs::create_dir_all(&build.dir)?;

    let state = kconfig_state(tree)?;
    let stamp = build.dir.join(".llamux-configured");
    if fs::read_to_string(&stamp).is_ok_and(|before| before == state)
        && build.dir.join(".config").exists()
    {
        return Ok(build);
    }
    let file = build.dir.join(".llamux-requested");
    let lines: String = requested
        .iter()
        .map(|(name, value)| line(name, value))
        .collect();
    fs::write(&file, lines)?;
    let mut make = build.make();
    make.arg(goal).env("KCONFIG_ALLCONFIG", &file);
    sh::announce(&make);
    sh::read(&mut make)?;
    let made = fs::read_to_string(build.dir.join(".config"))?;
    let refused = refused(&wanted, &made);
    if !refused.is_empty() {
        bail!(
            "the kernel's configuration refuses what configs/ asks for (a dependency is missing?):\n  {}",
            refused.join("\n  ")
        );
    }
    fs::write(&stamp, state)?;
    Ok(build)
}

/// Changes when a Kconfig file of ours or a patched one does.
fn kconfig_state(tree: &Tree) -> Result<String> {
    let mut state = String::new();
    for (path, file) in &tree.laid {
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("Kconfig"))
        {
            state += &format!(
                "{} {}\n",
                path.display(),
                download::sha256_bytes(&fs::read(file)?)
            );
        }
    }
    Ok(state)
}

/// The options that the fragments set; a later fragment wins.
fn merge<'a>(texts: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, String>> {
    let mut wanted = BTreeMap::new();
    for text in texts {
        for line in text.lines().map(str::trim) {
            if let Some((name, value)) = line
                .strip_prefix("CONFIG_")
                .and_then(|rest| rest.split_once('='))
            {
                wanted.insert(name.to_owned(), value.to_owned());
            } else if let Some(name) = line
                .strip_prefix("# CONFIG_")
                .and_then(|rest| rest.strip_suffix(" is not set"))
            {
                wanted.insert(name.to_owned(), "n".to_owned());
            } else if !line.is_empty() && !line.starts_with('#') {
                bail!("a config fragment has the line `{line}`");
            }
        }
    }
    Ok(wanted)
}

fn line(name: &str, value: &str) -> String {
    match value {
        "n" => format!("# CONFIG_{name} is not set\n"),
        _ => format!("CONFIG_{name}={value}\n"),
    }
}

/// The requested options that a `.config` does not have.
fn refused(wanted: &BTreeMap<String, String>, config: &str) -> Vec<String> {
    let has = |line: &str| config.lines().any(|there| there == line);
    let is_off = |name: &str| {
        !config
            .lines()
            .any(|there| there.starts_with(&format!("CONFIG_{name}=")))
    };
    wanted
        .iter()
        .filter(|(name, value)| match value.as_str() {
            "n" => !is_off(name),
            _ => !has(&format!("CONFIG_{name}={value}")),
        })
        .map(|(name, value)| format!("CONFIG_{name}={value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_fragments_win_and_refusals_are_named() {
        let wanted = merge(
            [
                "CONFIG_A=y\nCONFIG_B=n\n",
                "# why\n# CONFIG_A is not set\nCONFIG_C=8\n",
            ]
            .into_iter(),
        )
        .unwrap();
        assert_eq!(line("A", &wanted["A"]), "# CONFIG_A is not set\n");
        assert!(refused(&wanted, "# CONFIG_A is not set\nCONFIG_C=8\n").is_empty());
        assert_eq!(
            refused(&wanted, "CONFIG_A=y\nCONFIG_C=4\n"),
            ["CONFIG_A=n", "CONFIG_C=8"]
        );
        merge(["CONFIG A=y\n"].into_iter()).unwrap_err();
    }

    #[test]
    fn the_users_options_count_but_for_what_is_needed() {
        let texts = [
            "CONFIG_RUST=y\nCONFIG_NR_CPUS=8\nCONFIG_NO_HZ_IDLE=y\n",
            "CONFIG_ACPI=y\n",
            "CONFIG_NR_CPUS=512\nCONFIG_MODULES=y\nCONFIG_USB=m\n",
        ]
        .map(str::to_owned);
        let user = "# CONFIG_RUST is not set\nCONFIG_NR_CPUS=320\nCONFIG_USB=y\n\
                    # CONFIG_MODULES is not set\nCONFIG_SYSTEM_TRUSTED_KEYS=\"there.pem\"\n";
        let [requested, needed] = with_users(user, &texts).unwrap();
        let expected = [
            ("ACPI", "y"),
            ("MODULES", "y"),
            ("NO_HZ_IDLE", "y"),
            ("NR_CPUS", "320"),
            ("RUST", "y"),
            ("USB", "y"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        assert_eq!(requested, expected.map(own).into());
        assert_eq!(needed, [("MODULES", "y"), ("RUST", "y")].map(own).into());
    }

    #[test]
    fn a_base_may_be_compressed_and_must_be_a_configuration() {
        let file = std::env::temp_dir().join(format!("xtask-config-{}", std::process::id()));
        fs::write(&file, "# Linux\nCONFIG_A=y\n").unwrap();
        assert_eq!(read(&file).unwrap(), "# Linux\nCONFIG_A=y\n");
        sh::read(sh::cmd("gzip").arg(&file)).unwrap();
        let packed = file.with_extension("gz");
        assert_eq!(read(&packed).unwrap(), "# Linux\nCONFIG_A=y\n");
        fs::write(&packed, "nothing of that kind\n").unwrap();
        read(&packed).unwrap_err();
        fs::remove_file(packed).unwrap();
    }
}
