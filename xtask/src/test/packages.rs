// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Packages: made twice, installed by the real pacman into a root of their own, used, and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{symlink, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};

use super::answers::{compare, script, PROMPTS};
use super::{unclean, Found, Lab};
use crate::initramfs::{self, Content};
use crate::kernel::{Source, Target};
use crate::machine::{Console, Machine};
use crate::model::{self, Model};
use crate::package::{self, Order, Package};
use crate::toolchain::Toolchain;
use crate::{download, run, setup, sh};

/// What Arch's own packages would give.
const ASSUMED: &str = include_str!("../../assets/packages/assumed");

const MODEL: &str = "llamux-model-smollm2";
const QUICK: [&str; 2] = ["llamux-tools", MODEL];
const KERNEL: [&str; 2] = ["linux-llamux", "linux-llamux-headers"];

/// The tools and a model, in a repository that is signed.
pub(super) fn packages(lab: &Lab<'_>) -> Result<Found> {
    where_possible(lab, |found| {
        let repo = place(lab, "repo")?;
        twice(lab, &repo, &QUICK, found)?;
        let system = System::new(lab, &repo, "Never")?;
        installed(&system, &QUICK, found, || Ok(Found::default()))?;
        found.test("signatures", signed(lab));
        Ok(())
    })
}

/// The kernel, which boots, and its headers, which modules are built with.
pub(super) fn kernel_packages(lab: &Lab<'_>) -> Result<Found> {
    where_possible(lab, |found| {
        let repo = place(lab, "kernel-repo")?;
        twice(lab, &repo, &KERNEL, found)?;
        make(lab, &repo, &QUICK)?;
        let system = System::new(lab, &repo, "Never")?;
        let names = [&KERNEL[..], &QUICK].concat();
        installed(&system, &names, found, || used(lab, &system))
    })
}

/// Tests packages where they can be made.
fn where_possible(lab: &Lab<'_>, test: impl FnOnce(&mut Found) -> Result<()>) -> Result<Found> {
    if let Err(reason) = package::check(lab.cx) {
        return Found::skipped(&format!("no packages can be made here: {reason:#}"));
    }
    let mut found = Found::default();
    test(&mut found)?;
    Ok(found)
}

/// A directory for these tests, empty.
fn place(lab: &Lab<'_>, name: &str) -> Result<PathBuf> {
    let dir = lab.cx.root.join("target/llamux/test-packages").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

fn make(lab: &Lab<'_>, repo: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    let only: Option<Vec<_>> = names.iter().map(|name| Package::named(name)).collect();
    let order = Order {
        only: &only.context("there is no such package")?,
        repo,
        sign: None,
        source: &Source {
            config: None,
            ..lab.source.clone()
        },
    };
    package::pacman(lab.cx, &order)
}

/// Makes packages twice, which gives the same bytes.
fn twice(lab: &Lab<'_>, repo: &Path, names: &[&str], found: &mut Found) -> Result<()> {
    let sums = |files: &[PathBuf]| -> Result<Vec<String>> {
        files.iter().map(|file| download::sha256(file)).collect()
    };
    let first = sums(&make(lab, repo, names)?)?;
    let files = make(lab, repo, names)?;
    for ((name, first), second) in names.iter().zip(first).zip(sums(&files)?) {
        let same = (first == second).then_some(());
        found.test(
            &format!("{name} twice"),
            same.context("the second package has other bytes"),
        );
    }
    Ok(())
}

/// Installs packages, has them checked and used, and removes them, after which there is what was there before.
fn installed(
    system: &System,
    names: &[&str],
    found: &mut Found,
    mut used: impl FnMut() -> Result<Found>,
) -> Result<()> {
    let before = system.files()?;
    sh::run(system.installing().args(names))?;
    for name in names {
        found.test(&format!("places of {name}"), system.places(name));
        // What the package's own list says of each file: owner, mode, size, date, sum.
        let checked = sh::read(system.pacman().args(["-Qkk", name])).map(|_| ());
        found.test(&format!("files of {name}"), checked);
    }
    match used() {
        Ok(of_use) => found.add(of_use),
        Err(error) => found.test("use", Err(error)),
    }
    sh::run(system.pacman().args(["-Rn", "--noconfirm"]).args(names))?;
    found.test("what is left", same_files(&before, &system.files()?));
    Ok(())
}

fn same_files(before: &BTreeMap<PathBuf, String>, after: &BTreeMap<PathBuf, String>) -> Result<()> {
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let other: Vec<_> = paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| path.display().to_string())
        .collect();
    if !other.is_empty() {
        bail!("these are not as they were: {}", other.join(" "));
    }
    Ok(())
}

/// A root for pacman, with a shell for what packages run, and another kernel.
struct System {
    root: PathBuf,
    config: PathBuf,
}

/// Directories of pacman's own.
const PACMANS: [&str; 3] = ["var/lib/pacman", "var/cache", "etc/pacman.d"];
/// The keys of those whose packages it takes.
const KEYS: &str = "etc/pacman.d/gnupg";

impl System {
    fn new(lab: &Lab<'_>, repo: &Path, trust: &str) -> Result<Self> {
        let root = place(lab, "root")?;
        for dir in PACMANS.iter().chain(&[KEYS, "usr/bin", "tmp", "boot"]) {
            fs::create_dir_all(root.join(dir))?;
        }
        fs::set_permissions(root.join(KEYS), Permissions::from_mode(0o700))?;
        symlink("usr/bin", root.join("bin"))?;
        let busybox = setup::busybox().context("there is no static busybox")?;
        fs::copy(busybox, root.join("usr/bin/busybox"))?;
        for applet in ["sh", "cat"] {
            symlink("busybox", root.join("usr/bin").join(applet))?;
        }
        let other = root.join("usr/lib/modules/7.3.4-arch1-1");
        fs::create_dir_all(&other)?;
        fs::write(other.join("vmlinuz"), "another kernel")?;
        fs::write(root.join("boot/vmlinuz-linux"), "another kernel")?;

        let config = root.with_extension("conf");
        let text = format!(
            "[options]\nArchitecture = x86_64\nSigLevel = {trust}\n\n[llamux]\nServer = file://{}\n",
            repo.display()
        );
        fs::write(&config, text)?;
        Ok(Self { root, config })
    }

    /// pacman for this root. Who is not root here is so in a user namespace.
    fn pacman(&self) -> Command {
        let mut pacman = if rustix::process::geteuid().is_root() {
            sh::cmd("pacman")
        } else {
            let mut unshare = sh::cmd("unshare");
            unshare.args(["--user", "--map-root-user", "--", "pacman"]);
            unshare
        };
        let inside = [
            ("--root", ""),
            ("--dbpath", "var/lib/pacman"),
            ("--cachedir", "var/cache"),
            ("--gpgdir", KEYS),
            ("--hookdir", "etc/pacman.d/hooks"),
            ("--logfile", "var/cache/log"),
        ];
        for (option, dir) in inside {
            pacman.arg(option).arg(self.root.join(dir));
        }
        pacman
            .arg("--config")
            .arg(&self.config)
            .env("LC_ALL", "C")
            .env_remove("GNUPGHOME");
        pacman
    }

    fn keys(&self) -> PathBuf {
        self.root.join(KEYS)
    }

    /// pacman with what an installation may take as given.
    fn installing(&self) -> Command {
        let mut pacman = self.pacman();
        pacman.args(["-Sy", "--noconfirm", "--noprogressbar"]);
        for package in ASSUMED.lines().filter(|line| !line.starts_with('#')) {
            pacman.args(["--assume-installed", package]);
        }
        pacman
    }

    /// The sums of all files that are not pacman's own.
    fn files(&self) -> Result<BTreeMap<PathBuf, String>> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![self.root.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                let path = entry.path();
                let name = path.strip_prefix(&self.root)?.to_owned();
                let kind = entry.file_type()?;
                let what = if kind.is_symlink() {
                    format!("link to {}", fs::read_link(&path)?.display())
                } else if kind.is_dir() {
                    if PACMANS.iter().any(|dir| name == Path::new(dir)) {
                        continue;
                    }
                    dirs.push(path);
                    "directory".to_owned()
                } else {
                    download::sha256(&path)?
                };
                files.insert(name, what);
            }
        }
        Ok(files)
    }

    /// What a package has brought, from the root on.
    fn list(&self, name: &str) -> Result<Vec<PathBuf>> {
        let text = sh::read(self.pacman().args(["-Qlq", name]))?;
        let inside =
            |line| -> Result<PathBuf> { Ok(Path::new(line).strip_prefix(&self.root)?.to_owned()) };
        text.lines().map(inside).collect()
    }

    /// The directory of the kernel's modules.
    fn modules(&self) -> Result<PathBuf> {
        let list = self.list("linux-llamux")?;
        let kernel = list.iter().find(|path| path.ends_with("vmlinuz"));
        let dir = kernel.and_then(|path| path.parent());
        Ok(self.root.join(dir.context("there is no vmlinuz")?))
    }

    /// Arch's guidelines: packages have their files in /usr, their settings in /etc, and nothing in /boot.
    fn places(&self, name: &str) -> Result<()> {
        let list = self.list(name)?;
        for path in &list {
            let settings = path.starts_with("etc") && name == "llamux-tools";
            if !settings && !path.starts_with("usr") {
                bail!("/{} is not where packages have files", path.display());
            }
            let local = ["usr/local", "usr/lib64", "usr/sbin", "usr/bin/llamux/"];
            if local.iter().any(|dir| path.starts_with(dir)) {
                bail!("/{} is not a place of packages", path.display());
            }
        }
        let release = || -> Result<String> {
            let dir = self.modules()?;
            let name = dir.file_name().context("modules have a directory")?;
            Ok(name.to_string_lossy().into_owned())
        };
        let wanted: Vec<String> = match name {
            "linux-llamux" => [
                "vmlinuz",
                "pkgbase",
                "modules.order",
                "modules.builtin",
                "kernel",
            ]
            .iter()
            .map(|file| Ok(format!("usr/lib/modules/{}/{file}", release()?)))
            .collect::<Result<_>>()?,
            "linux-llamux-headers" => [
                "Makefile",
                "Kconfig",
                "Module.symvers",
                "System.map",
                ".config",
                "include/generated/autoconf.h",
                "include/generated/rustc_cfg",
                "include/linux/module.h",
                "arch/x86/Makefile",
                "arch/x86/include/asm/io.h",
                "scripts/mod/modpost",
                "scripts/target.json",
                "tools/objtool/objtool",
                "rust/libkernel.rmeta",
                "rust/libmacros.so",
            ]
            .iter()
            .map(|file| Ok(format!("usr/lib/modules/{}/build/{file}", release()?)))
            .collect::<Result<_>>()?,
            "llamux-tools" => vec!["usr/bin/llama".to_owned(), "etc/llamux.conf".to_owned()],
            _ => vec![
                "usr/lib/firmware/llamux/smollm2-135m.gguf".to_owned(),
                format!("usr/share/licenses/{name}/Apache-2.0.txt"),
                format!("usr/share/doc/{name}/SHA256SUMS"),
            ],
        };
        for file in wanted {
            if !list.iter().any(|path| path == Path::new(&file)) {
                bail!("there is no /{file}");
            }
        }
        Ok(())
    }

    /// The model of the package.
    fn model(&self) -> Result<Model> {
        model::of_file(&self.root.join("usr/lib/firmware/llamux/smollm2-135m.gguf"))
    }
}

/// Builds modules against the installed headers, boots the installed kernel with the installed model, loads the
/// modules there, and asks as the installed `llama`.
fn used(lab: &Lab<'_>, system: &System) -> Result<Found> {
    let mut found = Found::default();
    let overlay = place(lab, "overlay")?;
    let modules = system.modules()?;
    let hello = hello_modules(lab, &modules.join("build"))?;
    for module in &hello {
        let name = module.file_name().context("a module has a name")?;
        fs::copy(module, overlay.join(name))?;
    }
    // And one that the package brought, out of its compression.
    let packed = modules.join("kernel/drivers/net/tun.ko.zst");
    sh::run(
        sh::cmd("zstd")
            .args(["-d", "-q", "-f", "-o"])
            .arg(overlay.join("tun.ko"))
            .arg(packed),
    )?;
    found.passed += 2;

    let model = system.model()?;
    let asked = (&PROMPTS[..1], 8);
    let command = format!(
        "set -e\n\
         for name in tun hello_c hello_rust; do insmod /$name.ko; done\n\
         rmmod hello_rust\nrmmod hello_c\n{}",
        script(asked.0, asked.1)
    );
    let initrd = overlay.with_extension("cpio");
    let content = Content {
        head: None,
        model: Some(&model),
        files: &with_libraries("usr/bin/llama", &system.root)?,
        overlay: Some(&overlay),
        command: Some(&command),
    };
    initramfs::write(lab.cx, &content, &initrd)?;
    let reserved = run::reserved_mb(&model, false);
    let machine = Machine {
        target: Target::X86_64,
        image: &modules.join("vmlinuz"),
        initrd: &initrd,
        memory_mb: reserved + 2 * model.bytes.div_ceil(1 << 20) + 512,
        cpus: 2,
        append: vec![
            format!("llamux_mem={reserved}M"),
            format!("llamux.model={}", model.name),
        ],
        timeout: Some(Duration::from_secs(1200)),
        verbose: false,
        console: Console::Capture,
        log: overlay.with_extension("log"),
    };
    let outcome = machine.run()?;
    fs::remove_file(initrd)?;
    let status = outcome.status()?;
    if status != 0 {
        bail!(
            "the command failed with status {status}: {}",
            outcome.output
        );
    }
    found.test("log", unclean(&outcome.log));
    for language in ["C", "Rust"] {
        for word in ["hello", "good-bye"] {
            let wanted = format!("{word} from {language}");
            let said = outcome.log.iter().any(|line| line.ends_with(&wanted));
            found.test(
                &wanted,
                said.then_some(()).context("the module did not say it"),
            );
        }
    }
    found.add(compare(lab, &model, asked, &outcome.output)?);
    Ok(found)
}

/// A program of the packages, and the libraries of this machine that it wants.
fn with_libraries(program: &str, root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let file = root.join(program);
    let mut files = Vec::new();
    for line in sh::read(sh::cmd("ldd").arg(&file))?.lines() {
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, and the loader by its path alone.
        if let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) {
            files.push((path.trim_start_matches('/').to_owned(), path.into()));
        }
    }
    files.push((program.to_owned(), file));
    Ok(files)
}

/// The modules of `assets/packages/modules`, built outside of the kernel's tree.
fn hello_modules(lab: &Lab<'_>, headers: &Path) -> Result<[PathBuf; 2]> {
    let dir = place(lab, "modules")?;
    for entry in fs::read_dir(lab.cx.root.join("xtask/assets/packages/modules"))? {
        let from = entry?.path();
        fs::copy(
            &from,
            dir.join(from.file_name().context("a file has a name")?),
        )?;
    }
    let mut make = sh::cmd("make");
    make.arg("-C").arg(headers);
    make.arg(format!("M={}", dir.display()));
    make.args(Toolchain::find(lab.cx)?.make_variables());
    for name in ["MAKEFLAGS", "MFLAGS", "CFLAGS", "CC", "LLVM", "ARCH"] {
        make.env_remove(name);
    }
    sh::run(make.arg("modules"))?;
    Ok([dir.join("hello_c.ko"), dir.join("hello_rust.ko")])
}

/// A signed repository by the command as users have it: pacman takes what the key has signed, and nothing else.
fn signed(lab: &Lab<'_>) -> Result<()> {
    const KEY: &str = "test@localhost";
    let home = place(lab, "gnupg")?;
    fs::set_permissions(&home, Permissions::from_mode(0o700))?;
    let gpg = |home: &Path| {
        let mut gpg = sh::cmd("gpg");
        gpg.args(["--batch", "--quiet", "--homedir"]).arg(home);
        gpg
    };
    let kind = ["ed25519", "sign", "never"];
    sh::run(
        gpg(&home)
            .args(["--passphrase", "", "--quick-generate-key", KEY])
            .args(kind),
    )?;
    let repo = place(lab, "signed-repo")?;
    // Not by the path of what runs here, as that may have been compiled again since.
    let mut command = sh::cmd("cargo");
    command
        .current_dir(&lab.cx.root)
        .env("GNUPGHOME", &home)
        .args(["xtask", "package", "--only", MODEL, "--sign", KEY])
        .arg("--repo")
        .arg(&repo);
    let made = sh::read(&mut command)?;

    let trust = "Required TrustAll";
    let system = System::new(lab, &repo, trust)?;
    let exported = home.with_extension("asc");
    sh::run(
        gpg(&home)
            .args(["--yes", "--output"])
            .arg(&exported)
            .args(["--export", KEY]),
    )?;
    refused(&system, "key", "that nobody it knows has signed")?;
    sh::run(gpg(&system.keys()).arg("--import").arg(&exported))?;
    sh::run(system.installing().arg(MODEL))?;
    // And a package that is not what was signed.
    let package = Path::new(made.trim());
    let mut bytes = fs::read(package)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(package, bytes)?;
    let system = System::new(lab, &repo, trust)?;
    sh::run(gpg(&system.keys()).arg("--import").arg(&exported))?;
    refused(&system, "corrupt", "that was changed after it was signed")?;
    let mut stop = sh::cmd("gpgconf");
    let _ = sh::read(
        stop.arg("--homedir")
            .arg(&home)
            .args(["--kill", "gpg-agent"]),
    );
    Ok(())
}

/// pacman does not take the package, and says why.
fn refused(system: &System, why: &str, which: &str) -> Result<()> {
    match sh::read(system.installing().arg(MODEL)) {
        Ok(_) => bail!("pacman took a package {which}"),
        Err(error) if error.to_string().contains(why) => Ok(()),
        Err(error) => Err(error).context(format!("pacman has another reason than \"{why}\"")),
    }
}
