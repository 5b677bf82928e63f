// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Whether `archiso-profile/` is what archiso 88 takes, and whether its parts agree with each other and with ours.
//!
//! What archiso needs is in its `docs/README.profile.rst` and in what `mkarchiso` validates; this finds that, and
//! what would come out only in the booted image, on machines that have no archiso.

mod definition;
mod entries;
mod initramfs;
mod menus;
mod packages;
mod root;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::package::PACKAGES;
use crate::{model, run, sh};

/// The package of the kernel, which names its files in `/boot`.
const KERNEL: &str = "linux-llamux";
/// What stands for our repository's directory in pacman.conf.
pub(super) const REPO: &str = "%LLAMUX_REPO%";
/// Where the image has the repository.
pub(super) const REPO_ON_IMAGE: &str = "usr/share/llamux/repo";
/// The names of Arch's packages that the profile may use.
const ARCH_PACKAGES: &str = include_str!("../../../assets/arch-packages.txt");

/// Something that is not as it must be.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// The file, below the profile.
    pub(crate) file: String,
    pub(crate) what: String,
    pub(crate) fix: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.file, self.what, self.fix)
    }
}

/// What the profile must agree with.
pub(crate) struct Facts {
    /// The known models, and what to reserve for each that is used in place, in MiB.
    pub(crate) models: BTreeMap<String, u64>,
    /// The names of packages that there are.
    pub(crate) packages: BTreeSet<String>,
    /// The kernel's options that are built in or modules.
    pub(crate) options: BTreeSet<String>,
    /// Whether shellcheck and other programs look at the files, too.
    pub(crate) tools: bool,
}

impl Facts {
    /// Those of this checkout, and of a repository of ours, if there is one.
    pub(crate) fn new(cx: &Context, repo: Option<&Path>) -> Result<Self> {
        let models = model::known(cx)?.into_iter();
        let models = models.map(|model| (model.name.clone(), run::reserved_mb(&model, true)));
        let ours: Vec<String> = match repo {
            Some(repo) => packages_of(repo)?
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            None => PACKAGES.iter().map(|ours| ours.name.to_owned()).collect(),
        };
        let arch = lines(ARCH_PACKAGES).map(str::to_owned);
        let config = cx.root.join("configs/pc.config");
        let config =
            fs::read_to_string(&config).with_context(|| format!("no {}", config.display()))?;
        let options = config.lines().filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            matches!(value, "y" | "m").then(|| name.to_owned())
        });
        Ok(Self {
            models: models.collect(),
            packages: arch.chain(ours).collect(),
            options: options.collect(),
            tools: true,
        })
    }
}

/// The packages of a repository, by name, without their signatures.
pub(super) fn packages_of(repo: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut packages = Vec::new();
    let entries = fs::read_dir(repo).with_context(|| format!("cannot list {}", repo.display()))?;
    for entry in entries {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        // NAME-VERSION-RELEASE-ARCHITECTURE.pkg.tar.zst
        let Some((stem, kind)) = file.split_once(".pkg.tar") else {
            continue;
        };
        if kind.ends_with(".sig") {
            continue;
        }
        if let Some(name) = stem.rsplitn(4, '-').nth(3) {
            packages.push((name.to_owned(), path.clone()));
        }
    }
    packages.sort();
    Ok(packages)
}

/// All that is wrong with the profile.
pub(crate) fn check(dir: &Path, facts: &Facts) -> Result<Vec<Mistake>> {
    let mut check = Check {
        dir,
        facts,
        packages: BTreeSet::new(),
        mistakes: Vec::new(),
    };
    check.packages();
    let definition = check.definition()?;
    check.pacman();
    check.preset()?;
    check.hooks()?;
    check.menus(&definition);
    check.links()?;
    check.units()?;
    check.hooks_of_pacman();
    check.texts();
    check.scripts(&definition)?;
    Ok(check.mistakes)
}

/// The variables that a shell file sets: each one's values by their indices, which are 0 for one that is no array.
type Variables = BTreeMap<String, BTreeMap<String, String>>;

struct Check<'a> {
    dir: &'a Path,
    facts: &'a Facts,
    /// Those of packages.x86_64.
    packages: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl Check<'_> {
    fn mistake(&mut self, file: &str, what: impl Into<String>, fix: impl Into<String>) {
        self.mistakes.push(Mistake {
            file: file.to_owned(),
            what: what.into(),
            fix: fix.into(),
        });
    }

    /// A mistake, if this is not so.
    fn must(&mut self, so: bool, file: &str, what: impl Into<String>, fix: impl Into<String>) {
        if !so {
            self.mistake(file, what, fix);
        }
    }

    fn exists(&self, path: &str) -> bool {
        self.dir.join(path).symlink_metadata().is_ok()
    }

    /// A file's text; one that cannot be read is a mistake.
    fn text(&mut self, file: &str) -> String {
        match fs::read_to_string(self.dir.join(file)) {
            Ok(text) => text,
            Err(error) => {
                self.mistake(file, error.to_string(), "archiso needs it");
                String::new()
            }
        }
    }

    /// What a shell file sets; one that bash does not take is a mistake.
    fn variables(&mut self, file: &str) -> Result<Variables> {
        const SCRIPT: &str = r#"
            set -eu
            declare -A file_permissions=()
            before=" $(compgen -v | tr '\n' ' ') before name ref index _ PIPESTATUS "
            . "$1"
            for name in $(compgen -v); do
                [[ $name != file_permissions && $before == *" $name "* ]] && continue
                declare -n ref=$name
                for index in "${!ref[@]}"; do
                    printf '%s\0%s\0%s\0' "$name" "$index" "${ref[$index]}"
                done
                unset -n ref
            done"#;
        let mut bash = sh::cmd("bash");
        bash.args(["--norc", "-c", SCRIPT, "bash"])
            .arg(self.dir.join(file));
        // What the caller has set would not be seen to be set by the file.
        let path = std::env::var_os("PATH").unwrap_or_default();
        bash.env_clear().env("PATH", path);
        let said = match sh::read(&mut bash) {
            Ok(said) => said,
            Err(error) => {
                let error = format!("{error:#}");
                let why = error.lines().last().unwrap_or_default().to_owned();
                self.mistake(file, "bash does not take it", why);
                return Ok(Variables::new());
            }
        };
        let mut variables = Variables::new();
        let mut fields = said.split('\0');
        while let (Some(name), Some(index), Some(value)) =
            (fields.next(), fields.next(), fields.next())
        {
            let of_name: &mut BTreeMap<_, _> = variables.entry(name.to_owned()).or_default();
            of_name.insert(index.to_owned(), value.to_owned());
        }
        Ok(variables)
    }

    fn kernel_has(&mut self, file: &str, options: &[String]) {
        for option in options {
            let there = self.facts.options.contains(option);
            self.must(
                there,
                file,
                format!("the kernel is built without {option}, which this needs"),
                "set it in configs/pc.config, or choose another way",
            );
        }
    }

    /// Has a program look at a file, if the program is here.
    fn tool(&mut self, path: &str, program: &str, args: &[&str], file: &Path) -> Result<()> {
        if !self.facts.tools || !sh::has(program) {
            return Ok(());
        }
        let output = sh::cmd(program).args(args).arg(file).output()?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            self.mistake(path, format!("{program} does not take it"), said);
        }
        Ok(())
    }

    /// The names in a directory, in order.
    fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join(dir))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// All below a directory that is no directory itself, by its path below the profile.
    fn tree(&self, dir: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for name in self.names(dir) {
            let path = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            if self.dir.join(&path).symlink_metadata()?.is_dir() {
                found.extend(self.tree(&path)?);
            } else {
                found.push(path);
            }
        }
        Ok(found)
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The lines without comments, and without blanks around.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
}

/// The boot entries' models, each with the file of the image that has it: by the name in `/boot`.
pub(super) fn parts(dir: &Path) -> Result<BTreeMap<String, String>> {
    let path = dir.join("grub/grub.cfg");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    let menu = menus::grub(&text);
    let parts = menu.entries.iter().filter_map(|entry| {
        let file = name_of(entry.initrds.first()?);
        Some((file.to_owned(), entry.value("llamux.model")?.to_owned()))
    });
    Ok(parts.collect())
}
