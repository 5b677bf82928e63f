// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask iso`: the installation image, by archiso's `mkarchiso`, of a copy of `archiso-profile/` with our
//! repository and the models in it.
//!
//! The models are initramfs images of their own, `/boot/initramfs-NAME.img`: mkarchiso copies all files of that
//! form to where the boot loaders read, and all of these take several initrds for one entry. So the image has each
//! model once beside one initramfs of the system, another entry is another first part, and what is in front of the
//! initrd is what the kernel uses in place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, Context as _, Result};

use super::guest::{Firmware, Medium, Pc};
use super::profile::{self, Facts, Mistake};
use super::{image, live};
use crate::context::Context;
use crate::kernel::{build, Source, Variant};
use crate::model::{self, Model};
use crate::package::{self, PACKAGES};
use crate::{disk, download, initramfs, lock, run, setup, sh};

/// The oldest archiso whose profiles are like ours.
const ARCHISO: u32 = 88;
/// What mkarchiso writes besides the models and our packages: the system, packed and unpacked, and the image.
const SYSTEM_BYTES: u64 = 8 << 30;
/// Options of the installation image.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only check archiso-profile/, as a build does first.
    #[arg(long, conflicts_with = "live")]
    check: bool,
    /// The repository with our packages [default: target/llamux/repo, where `cargo xtask package` makes it].
    #[arg(long, value_name = "DIR", conflicts_with = "live")]
    repo: Option<PathBuf>,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Options, output: Option<&Path>) -> Result<ExitCode> {
    let given = args.repo.clone().map(fs::canonicalize).transpose();
    let given = given.context("the directory of --repo is not there")?;
    let repo = given.or_else(|| Some(package::repo(cx)).filter(|dir| dir.exists()));
    let mistakes = check(cx, repo.as_deref())?;
    for mistake in &mistakes {
        eprintln!("archiso-profile/{mistake}");
    }
    if !mistakes.is_empty() {
        bail!("archiso-profile/ has {} mistakes", mistakes.len());
    }
    eprintln!(
        "iso: archiso-profile/ is in order{}",
        by_whom(repo.as_deref())
    );
    if args.check {
        return Ok(ExitCode::SUCCESS);
    }
    if !sh::has("mkarchiso") {
        bail!(
            "the profile is in order, but there is no mkarchiso to make an image of it: run this on Arch Linux, with \
             the packages archiso ({ARCHISO} or newer) and grub. `cargo xtask iso --live` makes an image everywhere"
        );
    }
    let repo =
        repo.context("there is no repository of our packages: `cargo xtask package` makes it")?;
    build(cx, &repo, output)?;
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with the profile of this checkout.
pub(crate) fn check(cx: &Context, repo: Option<&Path>) -> Result<Vec<Mistake>> {
    profile::check(&cx.root.join("archiso-profile"), &Facts::new(cx, repo)?)
}

/// Programs that look at the profile's files, and are not here.
pub(crate) fn missing_tools() -> Vec<&'static str> {
    let tools = ["shellcheck", "grub-script-check"];
    tools.into_iter().filter(|tool| !sh::has(tool)).collect()
}

/// What the check could use.
fn by_whom(repo: Option<&Path>) -> String {
    let mut said = match repo {
        Some(repo) => format!(", and its packages are in {} or Arch's", repo.display()),
        None => ", without a repository of ours to look at".to_owned(),
    };
    let missing = missing_tools();
    if !missing.is_empty() {
        said += &format!("; not asked, as not here: {}", missing.join(", "));
    }
    said
}

/// Makes the image.
fn build(cx: &Context, repo: &Path, output: Option<&Path>) -> Result<()> {
    // What may be missing is looked for before anything long begins.
    let version = sh::read(sh::cmd("pacman").args(["-Q", "archiso"]))?;
    let number = version.split_whitespace().nth(1).and_then(|version| {
        let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u32>().ok()
    });
    if number.is_none_or(|number| number < ARCHISO) {
        bail!(
            "{} is too old: the profile is for archiso {ARCHISO} or newer",
            version.trim()
        );
    }
    for tool in [
        "grub-mkstandalone",
        "mksquashfs",
        "mkfs.fat",
        "mcopy",
        "xorriso",
    ] {
        if !sh::has(tool) {
            bail!("{tool} is missing: install grub, squashfs-tools, dosfstools, mtools and libisoburn");
        }
    }
    let packages = profile::packages_of(repo)?;
    let models = models(cx)?;
    // So that the installer finds them; the headers, too, which archinstall takes with a driver that is built there.
    for needed in PACKAGES.iter().map(|ours| ours.name) {
        if !packages.iter().any(|(name, _)| name == needed) {
            bail!(
                "{} has no package {needed}: `cargo xtask package` makes it",
                repo.display()
            );
        }
    }
    if !repo.join("llamux.db").exists() {
        bail!(
            "{} has no llamux.db: `cargo xtask package` makes it",
            repo.display()
        );
    }
    let dir = cx.root.join("target/llamux/archiso");
    let mut bytes = 3 * models.iter().map(|(_, model)| model.bytes).sum::<u64>();
    for (_, file) in &packages {
        bytes += 3 * fs::metadata(file)?.len();
    }
    disk::need(&dir, bytes + SYSTEM_BYTES, "the image")?;

    let profile = dir.join("profile");
    stage(&cx.root, &profile, repo, &packages, &models)?;
    // mkarchiso goes on where it was stopped, which is right as long as it is given the same.
    let work = dir.join("work");
    let key = dir.join("work.key");
    let now = key_of(&profile)?;
    if work.exists() && fs::read_to_string(&key).ok().as_deref() != Some(&now) {
        remove(&work)?;
    }
    fs::write(&key, &now)?;
    let out = output
        .and_then(Path::parent)
        .map_or_else(|| dir.join("out"), Path::to_owned);
    fs::create_dir_all(&out)?;
    let mut make = setup::as_root("mkarchiso")?;
    make.args(["-v", "-r", "-w"])
        .arg(&work)
        .arg("-o")
        .arg(&out)
        .arg(&profile);
    eprintln!("iso: mkarchiso installs a system and packs it, which takes some ten minutes");
    sh::run(&mut make)?;
    if work.exists() {
        // Of a build that was interrupted mkarchiso leaves it, and would make no image of it again.
        remove(&work)?;
    }
    let image = newest(&out)?;
    let image = match output {
        Some(output) => {
            sh::run(setup::as_root("mv")?.arg("--").arg(&image).arg(output))?;
            output.to_owned()
        }
        None => image,
    };
    let bytes = fs::metadata(&image)?.len();
    eprintln!(
        "iso: {} ({} MB)",
        image.display(),
        bytes.div_ceil(1_000_000)
    );
    Ok(())
}

/// Removes what is root's.
fn remove(dir: &Path) -> Result<()> {
    let mut rm = setup::as_root("rm")?;
    sh::run(rm.args(["-rf", "--one-file-system", "--"]).arg(dir))
}

/// The models of the boot entries, by the name of the image that has each.
fn models(cx: &Context) -> Result<Vec<(String, Model)>> {
    let parts: BTreeMap<_, _> = profile::parts(&cx.root.join("archiso-profile"))?;
    let find = |(file, name): (String, String)| Ok((file, model::find(cx, Some(&name))?));
    parts.into_iter().map(find).collect()
}

/// A copy of the profile with what is not committed: where the repository is, its packages, the models.
fn stage(
    root: &Path,
    to: &Path,
    repo: &Path,
    packages: &[(String, PathBuf)],
    models: &[(String, Model)],
) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    copy(&root.join("archiso-profile"), to)?;
    // The tests are for the checkout.
    fs::remove_dir_all(to.join("tests"))?;
    let conf = to.join("pacman.conf");
    let text = fs::read_to_string(&conf)?;
    let repo_path = repo
        .to_str()
        .context("the repository's path is not UTF-8")?;
    if repo_path.contains(char::is_whitespace) {
        bail!("pacman does not take a repository with a blank in its path: {repo_path}");
    }
    fs::write(&conf, text.replace(profile::REPO, repo_path))?;
    let on_image = to.join("airootfs").join(profile::REPO_ON_IMAGE);
    fs::create_dir_all(&on_image)?;
    for entry in fs::read_dir(repo)? {
        let path = entry?.path();
        let name = path.file_name().context("an entry has a name")?.to_owned();
        let text = name.to_string_lossy();
        let wanted = packages
            .iter()
            .any(|(_, package)| text.starts_with(&*name_of(package)))
            || text.starts_with("llamux.db")
            || text.starts_with("llamux.files");
        let wanted = wanted && !text.contains(".old");
        if wanted {
            // Names without a version are links to the others.
            fs::copy(&path, on_image.join(&name))?;
        }
    }
    let boot = to.join("airootfs/boot");
    fs::create_dir_all(&boot)?;
    for (file, model) in models {
        let out = BufWriter::with_capacity(1 << 20, File::create(boot.join(file))?);
        let input = File::open(&model.file)?;
        initramfs::in_place(out, &model.name, input, model.bytes, 0)?;
    }
    Ok(())
}

fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// Copies a directory, with its links as links.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let (path, new) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&path, &new)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&path)?, &new)?;
        } else {
            fs::copy(&path, &new)?;
        }
    }
    Ok(())
}

/// What a staged profile is made of.
fn key_of(dir: &Path) -> Result<String> {
    fn list(dir: &Path, text: &mut String) -> Result<()> {
        let mut paths: Vec<_> = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        paths.sort();
        for path in paths {
            let meta = path.symlink_metadata()?;
            *text += &format!("{}\n", path.display());
            if meta.is_dir() {
                list(&path, text)?;
            } else if meta.is_symlink() {
                *text += &format!("-> {}\n", fs::read_link(&path)?.display());
            } else {
                *text += &format!("{}\n", download::sha256(&path)?);
            }
        }
        Ok(())
    }
    let mut text = String::new();
    list(dir, &mut text)?;
    Ok(download::sha256_bytes(text.as_bytes()))
}

/// The image that was written last.
fn newest(dir: &Path) -> Result<PathBuf> {
    let images = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    let images = images.filter(|path| path.extension().is_some_and(|ext| ext == "iso"));
    let date = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    images
        .max_by_key(date)
        .with_context(|| format!("mkarchiso left no image in {}", dir.display()))
}

/// Makes an image with the profile's menu for UEFI, boots its entry for the serial port, and runs a command there.
///
/// What only mkarchiso can make is another system, which is the live image's, and any model may stand for the
/// entry's. The entry itself is as it is: its paths, its two initrds in their order, and its command line.
pub(crate) fn exec(
    cx: &Context,
    source: &Source,
    model: &Model,
    firmware: Firmware,
    command: &str,
) -> Result<String> {
    let dir = cx.root.join("target/llamux/archiso-entry");
    fs::create_dir_all(&dir)?;
    let (kernel, llama) = {
        let _lock = lock::take(&cx.cache.join("kernel.lock"))?;
        (
            build::build(cx, source, Variant::PC)?.image,
            run::program(cx, "llama")?,
        )
    };
    let system = dir.join("system.img");
    initramfs::live(&[("usr/bin/llama".to_owned(), llama)], None, &system)?;
    let menu = dir.join("grub.cfg");
    let text = fs::read_to_string(cx.root.join("archiso-profile/grub/grub.cfg"))?;
    let text = text
        .replace("%INSTALL_DIR%", "llamux")
        .replace("%ARCH%", "x86_64")
        .replace("%ARCHISO_UUID%", "2026-01-01-00-00-00-00");
    fs::write(&menu, text)?;
    let boot = |name: &str| format!("llamux/boot/x86_64/{name}");
    let mut files = vec![
        ("boot/grub/grub.cfg".to_owned(), menu),
        // By which GRUB finds the volume.
        ("llamux/vmlinuz".to_owned(), kernel.clone()),
        (boot("vmlinuz-linux-llamux"), kernel),
        (boot("initramfs-linux-llamux.img"), system),
    ];
    for (file, name) in profile::parts(&cx.root.join("archiso-profile"))? {
        let part = dir.join(&file);
        let out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
        initramfs::in_place(out, &name, File::open(&model.file)?, model.bytes, 0)?;
        files.push((boot(&file), part));
    }
    let image = dir.join("entry.iso");
    image::write(&dir.join("image"), &files, &image)?;
    let pc = Pc {
        image: &image,
        firmware,
        medium: Medium::Stick,
        memory_mb: 2048,
        disk: None,
        dir: &dir,
    };
    let mut guest = live::boot(&pc, "r")?;
    let output = guest.run(command, live::LIMIT)?;
    live::end(&mut guest)?;
    fs::remove_dir_all(&dir)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_what_is_not_committed() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let dir = std::env::temp_dir().join(format!("llamux-stage-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let (repo, to) = (dir.join("repo"), dir.join("profile"));
        fs::create_dir_all(&repo).unwrap();
        for name in [
            "linux-llamux-7.3.4.llamux1-1-x86_64.pkg.tar.zst",
            "linux-llamux-7.3.4.llamux1-1-x86_64.pkg.tar.zst.sig",
            "llamux-tools-7.3.4.llamux1-1-x86_64.pkg.tar.zst",
            "llamux.db",
            "llamux.db.tar.zst",
            "notes.txt",
        ] {
            fs::write(repo.join(name), name).unwrap();
        }
        let packages = profile::packages_of(&repo).unwrap();
        let names: Vec<_> = packages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["linux-llamux", "llamux-tools"]);
        let file = dir.join("a.gguf");
        fs::write(&file, b"GGUF and more").unwrap();
        let model = Model {
            name: "a".to_owned(),
            bytes: 13,
            file,
        };
        let models = [("initramfs-a.img".to_owned(), model)];
        stage(checkout, &to, &repo, &packages, &models).unwrap();

        let text = |path: &str| fs::read_to_string(to.join(path)).unwrap();
        let server = format!("Server = file://{}\n", repo.display());
        assert!(text("pacman.conf").contains(&server));
        let brought = to.join("airootfs/usr/share/llamux/repo");
        assert!(brought
            .join("linux-llamux-7.3.4.llamux1-1-x86_64.pkg.tar.zst.sig")
            .exists());
        assert!(brought.join("llamux.db").exists());
        assert!(!brought.join("notes.txt").exists());
        let part = fs::read(to.join("airootfs/boot/initramfs-a.img")).unwrap();
        assert_eq!(&part[4096..][..13], b"GGUF and more");
        assert!(!to.join("tests").exists());

        let key = key_of(&to).unwrap();
        stage(checkout, &to, &repo, &packages, &models).unwrap();
        assert_eq!(key_of(&to).unwrap(), key);
        fs::write(to.join("airootfs/etc/motd"), "other").unwrap();
        assert_ne!(key_of(&to).unwrap(), key);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn each_entry_has_a_model_that_is_known() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let parts = profile::parts(&checkout.join("archiso-profile")).unwrap();
        let parts: Vec<_> = parts
            .iter()
            .map(|(file, name)| (file.as_str(), name.as_str()))
            .collect();
        let expected = [
            ("initramfs-smollm2.img", "smollm2-135m"),
            ("initramfs-tinyllama.img", "tinyllama-1.1b"),
        ];
        assert_eq!(parts, expected);
    }
}
