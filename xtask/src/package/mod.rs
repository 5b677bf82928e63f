// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask package`: packages of the kernel, the tools and the models, and a repository of them.

mod pacman;
mod unprivileged;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, Context as _, Result};
use clap::ValueEnum;

use crate::context::Context;
use crate::kernel::{build, Pinned, Source};
use crate::setup::{self, Purpose};
use crate::{deb, disk, lock, model, tools};

/// Make packages of the kernel, the tools and the models, and a repository of them.
///
/// The packages are Arch's, made by the real makepkg, on Debian too, or with --format deb Debian's, of the kernel
/// and the tools. Without --only it makes all of them but for those
/// of models that cannot be fetched here, which it names. Root's build runs without root's rights. The repository
/// is one for /etc/pacman.conf: what to write there is said at the end.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this package; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = Package::parser())]
    only: Vec<&'static Package>,
    /// The directory of the repository, or of Debian's packages [default: target/llamux/repo, target/llamux/deb].
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
    /// Sign the packages and the repository with this key of yours in GnuPG.
    #[arg(long, value_name = "KEY")]
    sign: Option<String>,
    /// What kind of packages.
    #[arg(long, value_enum, default_value_t = Format::Pacman)]
    format: Format,
    /// Configure the kernel as this file does, such as /proc/config.gz: it counts more than configs/, but for what
    /// Llamux needs.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

/// Whose packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Arch's, in a repository.
    Pacman,
    /// Debian's, of the kernel and the tools, in a directory.
    Deb,
}

/// One of our packages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) content: Content,
}

/// What a package is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The kernel for PCs.
    Kernel,
    /// The programs of user space.
    Tools,
    /// A model, by its name in configs/models.toml.
    Model(&'static str),
}

/// All of them, in the order of the PKGBUILD.
pub(crate) const PACKAGES: &[Package] = &[
    Package {
        name: "linux-llamux",
        content: Content::Kernel,
    },
    Package {
        name: "linux-llamux-headers",
        content: Content::Kernel,
    },
    Package {
        name: "llamux-tools",
        content: Content::Tools,
    },
    Package {
        name: "llamux-model-smollm2",
        content: Content::Model("smollm2-135m"),
    },
    Package {
        name: "llamux-model-tinyllama",
        content: Content::Model("tinyllama-1.1b"),
    },
];

impl Package {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        PACKAGES.iter().find(|package| package.name == name)
    }

    fn parser() -> impl clap::builder::TypedValueParser<Value = &'static Self> {
        use clap::builder::{PossibleValuesParser, TypedValueParser as _};
        PossibleValuesParser::new(PACKAGES.iter().map(|package| package.name))
            .try_map(|name| Self::named(&name).context("no such package"))
    }
}

/// Bytes that packing takes, rounded up.
const ROOM: u64 = 2_000_000_000;

/// What is to be made.
pub(crate) struct Order<'a> {
    /// These packages; of none at all, all that can be made.
    pub(crate) only: &'a [&'static Package],
    pub(crate) repo: &'a Path,
    pub(crate) sign: Option<&'a str>,
    pub(crate) source: &'a Source,
}

/// Where the repository is unless somebody says otherwise.
pub(crate) fn repo(cx: &Context) -> PathBuf {
    cx.root.join("target/llamux/repo")
}

/// Makes those of Debian's packages that are asked for, and returns their files.
fn debian(cx: &Context, order: &Order<'_>) -> Result<Vec<PathBuf>> {
    if order.sign.is_some() {
        bail!("--sign is for repositories of pacman's: Debian's packages have no signatures of their own");
    }
    let wanted = |content| {
        order.only.is_empty() || order.only.iter().any(|package| package.content == content)
    };
    let models = |package: &&&Package| matches!(package.content, Content::Model(_));
    if let Some(package) = order.only.iter().find(models) {
        bail!(
            "there is no {} for Debian: put the model into /usr/lib/firmware/llamux",
            package.name
        );
    }
    setup::ensure_for(cx, Purpose::Debian)?;
    let mut made = Vec::new();
    if wanted(Content::Kernel) {
        made.extend(deb::kernel(cx, order.source, order.repo)?);
    }
    if wanted(Content::Tools) {
        made.push(tools::deb(cx, order.repo)?);
    }
    Ok(made)
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    let repo = match (&args.repo, args.format) {
        (Some(dir), _) => dir.clone(),
        (None, Format::Pacman) => repo(cx),
        (None, Format::Deb) => cx.root.join("target/llamux/deb"),
    };
    let source = Source {
        config: args.config.clone(),
        ..args.source.clone()
    };
    let order = Order {
        only: &args.only,
        repo: &repo,
        sign: args.sign.as_deref(),
        source: &source,
    };
    match args.format {
        Format::Pacman => {
            let made = pacman(cx, &order)?;
            for package in made {
                println!("{}", package.display());
            }
            eprint!("{}", pacman::how_to_use(&order)?);
        }
        Format::Deb => {
            for package in debian(cx, &order)? {
                println!("{}", package.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An error if packages for pacman cannot be made on this machine.
pub(crate) fn check(cx: &Context) -> Result<()> {
    setup::ensure_for(cx, Purpose::Packages)?;
    unprivileged::check(cx)
}

/// Makes packages for pacman and puts them into the repository. Returns their files.
pub(crate) fn pacman(cx: &Context, order: &Order<'_>) -> Result<Vec<PathBuf>> {
    check(cx)?;
    let dir = cx.root.join("target/llamux/package");
    fs::create_dir_all(&dir)?;
    let _lock = lock::take(&dir.join("lock"))?;
    // All that can be known to be missing, before anything is built.
    fs::create_dir_all(order.repo)
        .with_context(|| format!("cannot make {}", order.repo.display()))?;
    if let Some(key) = order.sign {
        pacman::check_key(key)?;
    }
    disk::need(&dir, ROOM, "packing")?;
    let packages = fetch_models(cx, order)?;

    // makepkg would build it too, but this way what only the caller can do (fetch, above all) is done by the caller.
    if packages.iter().any(|p| p.content == Content::Kernel) {
        let _lock = lock::take(&cx.cache.join("kernel.lock"))?;
        check_release(cx, &build::modules(cx, order.source)?.build.dir)?;
    }
    pacman::make(cx, &dir, order, &packages)
}

/// Packages say one version, which is the kernel's own: an archive of another one would be in packages of this one.
fn check_release(cx: &Context, build: &Path) -> Result<()> {
    let release = fs::read_to_string(build.join("include/config/kernel.release"))?;
    let pinned: Pinned = cx.config("kernel.toml")?;
    let (version, spec) = (pinned.version, pinned.package);
    let expected = format!("{version}-{}", spec.release);
    if release.trim() != expected {
        bail!(
            "the kernel that was built is {}, and the packages {version}.{}-{} are for {expected}: \
             configs/kernel.toml and PKGBUILD say which",
            release.trim(),
            spec.release,
            spec.pkgrel
        );
    }
    Ok(())
}

/// The packages that can be made, with their models fetched. One that was asked for by name must be among them.
fn fetch_models(cx: &Context, order: &Order<'_>) -> Result<Vec<&'static Package>> {
    let mut packages = Vec::new();
    let wanted = PACKAGES
        .iter()
        .filter(|package| order.only.is_empty() || order.only.contains(package));
    for package in wanted {
        if let Content::Model(name) = package.content {
            match model::find(cx, Some(name)) {
                Ok(_) => {}
                Err(error) if order.only.is_empty() => {
                    eprintln!("package: {} is left out: {error:#}", package.name);
                    continue;
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("{} has no model", package.name));
                }
            }
        }
        packages.push(package);
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh;

    /// What bash reads in the PKGBUILD.
    fn pkgbuild(root: &Path, expression: &str) -> Vec<String> {
        let script = format!(". ./PKGBUILD && printf '%s\\n' {expression}");
        let mut bash = sh::cmd("bash");
        let text = sh::read(bash.current_dir(root).args(["-euc", &script])).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn versions_and_names_have_one_home() {
        let cx = Context::new().unwrap();
        let pinned: Pinned = cx.config("kernel.toml").unwrap();
        let spec = &pinned.package;
        let version = [
            format!("{}.{}", pinned.version, spec.release),
            spec.pkgrel.to_string(),
        ];
        assert_eq!(pkgbuild(&cx.root, "$pkgver $pkgrel"), version);
        let names: Vec<_> = PACKAGES.iter().map(|package| package.name).collect();
        assert_eq!(pkgbuild(&cx.root, "${pkgname[@]}"), names);
        let config = fs::read_to_string(cx.root.join("configs/pc.config")).unwrap();
        let local = format!("CONFIG_LOCALVERSION=\"-{}\"", spec.release);
        assert!(config.lines().any(|line| line == local), "no {local}");
    }

    #[test]
    fn llamux_setup_knows_the_packages_of_models() {
        let known = llamux_setup::models::known().into_iter();
        let known = known.filter_map(|model| Some((model.package?, model.name)));
        let mut known: Vec<_> = known.collect();
        let ours = PACKAGES.iter().filter_map(|package| match package.content {
            Content::Model(name) => Some((package.name.to_owned(), name.to_owned())),
            _ => None,
        });
        let mut ours: Vec<_> = ours.collect();
        known.sort();
        ours.sort();
        assert_eq!(known, ours);
    }

    #[test]
    fn what_is_fetched_on_arch_is_what_makepkg_is_told() {
        let cx = Context::new().unwrap();
        let told = pkgbuild(&cx.root, "${makedepends[@]}");
        // What base-devel has and what runs the kernel instead of building it.
        let given = ["bison", "flex", "gcc", "glibc", "make", "patch"];
        for package in setup::arch_packages_for_kernel() {
            assert!(
                given.contains(&package) || told.iter().any(|there| there == package),
                "{package} is not in the PKGBUILD's makedepends"
            );
        }
    }
}
