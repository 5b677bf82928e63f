// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The Debian packages, in a Debian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};

use super::answers::{compare, script, PROMPTS};
use super::{Found, Lab};
use crate::iso::guest::Guest;
use crate::kernel::fetch;
use crate::model::{self, Model};
use crate::setup::{self, Purpose};
use crate::{deb, machine, sh, tools};

/// What a Debian has besides the least that boots.
const PACKAGES: &str = "initramfs-tools,systemd-sysv,udev,zstd";
/// What docs/tools.md has to be run for models and settings, and whose the device then is.
const SERVICE: &str = "systemctl enable --now llamux && systemctl reload llamux; \
                       systemctl is-active llamux && stat -c %G /dev/llama";
/// How long each step of a boot may take where there is no KVM.
const LIMIT: Duration = Duration::from_secs(900);

/// The packages of kernel and tools install, boot as docs/debian.md has it, answer, and go without a trace.
pub(super) fn debian_kernel(lab: &Lab<'_>) -> Result<Found> {
    if !rustix::process::geteuid().is_root() {
        return Found::skipped("only root can make a Debian in a directory");
    }
    setup::ensure_for(lab.cx, Purpose::Debian)?;
    let dir = lab.cx.root.join("target/llamux/debian");
    let mut found = Found::default();
    let packages = deb::kernel(lab.cx, lab.source, &dir.join("packages"))?;
    let again = deb::kernel(lab.cx, lab.source, &dir.join("again"))?;
    found.test("twice", same(&packages, &again));
    fs::remove_dir_all(dir.join("again"))?;

    let root = dir.join("root");
    debian(lab, &root)?;
    let image = packages
        .iter()
        .find(|path| name(path).starts_with("linux-image-"));
    let image = image.context("there is no package of the kernel")?;
    let tools = tools::deb(lab.cx, &dir.join("packages"))?;
    for package in [image, &tools] {
        fs::copy(package, root.join("package.deb"))?;
        sh::run(chroot(&root).args(["dpkg", "--install", "/package.deb"]))?;
    }
    fs::remove_file(root.join("package.deb"))?;
    let release = name(image);
    let release = release.trim_start_matches("linux-image-");
    let release = release.split('_').next().context("a package has a name")?;

    let model = model::find(lab.cx, None)?;
    let machine = prepare(&dir, &root, release, &model)?;
    let asked = (&PROMPTS[..1], 8);
    match boot(machine, &[SERVICE, &script(asked.0, asked.1)]) {
        Ok(said) => {
            let runs = said[0].contains("\nactive") && said[0].contains("\nllama");
            let runs = runs.then_some(()).with_context(|| said[0].clone());
            found.test("llamux.service and /dev/llama", runs);
            found.add(compare(lab, &model, asked, &said[1])?);
        }
        Err(error) => found.test("it boots", Err(error)),
    }

    let package = format!("linux-image-{release}");
    sh::run(chroot(&root).args(["dpkg", "--purge", &package, "llamux-tools"]))?;
    found.test("it goes", gone(&root, release));
    fs::remove_dir_all(&dir)?;
    Ok(found)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn same(packages: &[PathBuf], again: &[PathBuf]) -> Result<()> {
    for (first, second) in packages.iter().zip(again) {
        if name(first) != name(second) || fs::read(first)? != fs::read(second)? {
            bail!("{} has other bytes the second time", name(first));
        }
    }
    if packages.is_empty() || packages.len() != again.len() {
        bail!("{} packages, then {}", packages.len(), again.len());
    }
    Ok(())
}

/// A Debian of this machine's release in a directory, from a copy that is kept.
fn debian(lab: &Lab<'_>, root: &Path) -> Result<()> {
    let kept = lab.cx.cache_dir("debian")?.join("root.tar");
    let _ = fs::remove_dir_all(root);
    fs::create_dir_all(root)?;
    if !kept.exists() {
        let os = fs::read_to_string("/etc/os-release")?;
        let codename = |line: &str| line.strip_prefix("VERSION_CODENAME=").map(str::to_owned);
        let suite = os.lines().find_map(codename);
        let mut debootstrap = sh::cmd("debootstrap");
        debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}")]);
        match (suite, fetch::mirror(Path::new("/etc/apt"))) {
            (Some(suite), Some((mirror, keyring))) => debootstrap
                .arg(format!("--keyring={keyring}"))
                .arg(suite)
                .arg(root)
                .arg(mirror),
            _ => debootstrap.arg("stable").arg(root),
        };
        sh::run(&mut debootstrap)?;
        let part = kept.with_extension("part");
        sh::run(tar(root).arg("--create").arg("--file").arg(&part).arg("."))?;
        fs::rename(part, kept)?;
    } else {
        sh::run(tar(root).arg("--extract").arg("--file").arg(&kept))?;
    }
    Ok(())
}

fn tar(root: &Path) -> Command {
    let mut tar = sh::cmd("tar");
    tar.args(["--numeric-owner", "--directory"]).arg(root);
    tar
}

fn chroot(root: &Path) -> Command {
    let mut chroot = sh::cmd("chroot");
    chroot
        .arg(root)
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive");
    chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    chroot
}

/// A machine with that Debian on its disk, configured by `llamux-setup`.
fn prepare(dir: &Path, root: &Path, release: &str, model: &Model) -> Result<Command> {
    let models = root.join("lib/firmware/llamux");
    fs::create_dir_all(&models)?;
    fs::copy(&model.file, models.join(format!("{}.gguf", model.name)))?;
    // It runs outside, as in an installer, for in that directory no machine is to be seen.
    let setup = || {
        let mut setup = sh::cmd(root.join("usr/bin/llamux-setup"));
        setup.arg("--root").arg(root);
        setup
    };
    sh::run(setup().args(["--yes", "--boot-loader"]))?;
    sh::run(chroot(root).args(["update-initramfs", "-u", "-k", release]))?;
    sh::run(chroot(root).args(["passwd", "--delete", "root"]))?;
    let words = sh::read(setup().arg("cmdline"))?;
    let boot = root.join("boot");
    let disk = dir.join("disk.img");
    let _ = fs::remove_file(&disk);
    sh::run(
        sh::cmd("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .arg(root)
            .arg(&disk)
            .arg("2G"),
    )?;
    let mut qemu = sh::cmd("qemu-system-x86_64");
    qemu.args(["-M", "q35", "-no-user-config", "-no-reboot", "-smp", "2"]);
    qemu.args(machine::accelerator()).args(["-m", "2G"]);
    qemu.arg("-kernel")
        .arg(boot.join(format!("vmlinuz-{release}")));
    qemu.arg("-initrd")
        .arg(boot.join(format!("initrd.img-{release}")));
    qemu.arg("-append").arg(format!(
        "root=/dev/vda rw quiet console=ttyS0 {}",
        words.trim()
    ));
    let drive = format!("if=virtio,format=raw,file={}", disk.display());
    qemu.arg("-drive").arg(drive);
    Ok(qemu)
}

/// Logs in, and has commands run.
fn boot(machine: Command, commands: &[&str]) -> Result<Vec<String>> {
    let mut guest = Guest::start(machine)?;
    guest.wait_for("login: ", LIMIT)?;
    guest.send("root\n")?;
    guest.wait_for("# ", LIMIT)?;
    // A shell that does not draw its line anew.
    guest.send("exec sh\n")?;
    guest.wait_for("# ", LIMIT)?;
    let mut said = Vec::new();
    for command in commands {
        said.push(guest.run(command, LIMIT)?);
        guest.wait_for("# ", LIMIT)?;
    }
    guest.send("poweroff\n")?;
    guest.wait_until_off(LIMIT)?;
    Ok(said)
}

/// Nothing of the kernel is left in a system.
fn gone(root: &Path, release: &str) -> Result<()> {
    for dir in ["boot", "lib/modules"] {
        // A directory that was the package's alone goes as well.
        let Ok(entries) = fs::read_dir(root.join(dir)) else {
            continue;
        };
        for entry in entries {
            let left = entry?.path();
            if name(&left).contains(release) {
                bail!("{} is left", left.display());
            }
        }
    }
    Ok(())
}
