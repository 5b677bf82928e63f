// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The package of the tools: its files, and its hooks of mkinitcpio, whose image boots.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{bail, Context as _, Result};

use super::docs::in_c;
use super::{made_up, unclean, Found, Lab};
use crate::kernel::{prepare, Target};
use crate::model;
use crate::run::{self, Boot};
use crate::sh;
use crate::tools::{self, System};

/// What the package has on Arch, beside its programs.
const FILES: &[&str] = &[
    "etc/llamux.conf",
    "etc/llamux/llamuxd.toml",
    "usr/include/linux/llamux.h",
    "usr/include/llamux.h",
    concat!("usr/lib/libllamux.so.", env!("CARGO_PKG_VERSION")),
    "usr/lib/pkgconfig/llamux.pc",
    "usr/lib/systemd/system/llamux-backend@.service",
    "usr/lib/systemd/system/llamux.service",
    "usr/lib/systemd/system/llamuxd.service",
    "usr/lib/systemd/system/llamuxd.socket",
    "usr/lib/sysusers.d/llamux.conf",
    "usr/lib/tmpfiles.d/llamux.conf",
    "usr/lib/udev/rules.d/60-llamux.rules",
    "usr/share/bash-completion/completions/llama",
    "usr/share/bash-completion/completions/llama-mon",
    "usr/share/bash-completion/completions/llamux-backend",
    "usr/share/bash-completion/completions/llamux-setup",
    "usr/share/bash-completion/completions/llamuxd",
    "usr/share/bash-completion/completions/lsh",
    "usr/share/doc/llamux-tools/examples/ask.c",
    "usr/share/doc/llamux-tools/examples/llama.c",
    "usr/share/fish/vendor_completions.d/llama-mon.fish",
    "usr/share/fish/vendor_completions.d/llama.fish",
    "usr/share/fish/vendor_completions.d/llamux-backend.fish",
    "usr/share/fish/vendor_completions.d/llamux-setup.fish",
    "usr/share/fish/vendor_completions.d/llamuxd.fish",
    "usr/share/fish/vendor_completions.d/lsh.fish",
    "usr/share/licenses/llamux-tools/MIT.txt",
    "usr/share/llamux/profiles/battery.toml",
    "usr/share/llamux/profiles/coding.toml",
    "usr/share/llamux/profiles/gaming.toml",
    "usr/share/man/man1/llama-chat.1",
    "usr/share/man/man1/llama-do.1",
    "usr/share/man/man1/llama-doctor.1",
    "usr/share/man/man1/llama-embed.1",
    "usr/share/man/man1/llama-explain.1",
    "usr/share/man/man1/llama-fix.1",
    "usr/share/man/man1/llama-history.1",
    "usr/share/man/man1/llama-mon.1",
    "usr/share/man/man1/llama-profile.1",
    "usr/share/man/man1/llama-shell-init.1",
    "usr/share/man/man1/llama-status.1",
    "usr/share/man/man1/llama-undo.1",
    "usr/share/man/man1/llama-why.1",
    "usr/share/man/man1/llama.1",
    "usr/share/man/man1/lsh.1",
    "usr/share/man/man2/llama_command.2",
    "usr/share/man/man3/libllamux.3",
    "usr/share/man/man5/llamux.conf.5",
    "usr/share/man/man5/llamuxd.toml.5",
    "usr/share/man/man7/llamux.7",
    "usr/share/man/man8/llamux-backend.8",
    "usr/share/man/man8/llamux-setup.8",
    "usr/share/man/man8/llamuxd.8",
    "usr/share/zsh/site-functions/_llama",
    "usr/share/zsh/site-functions/_llama-mon",
    "usr/share/zsh/site-functions/_llamux-backend",
    "usr/share/zsh/site-functions/_llamux-setup",
    "usr/share/zsh/site-functions/_llamuxd",
    "usr/share/zsh/site-functions/_lsh",
];

/// Its links, and where they lead.
const LINKS: &[(&str, &str)] = &[
    (
        "usr/lib/libllamux.so",
        concat!("libllamux.so.", env!("CARGO_PKG_VERSION")),
    ),
    (
        "usr/lib/libllamux.so.0",
        concat!("libllamux.so.", env!("CARGO_PKG_VERSION")),
    ),
];

/// Its programs.
const PROGRAMS: &[&str] = &[
    "usr/bin/llama",
    "usr/bin/llamux-backend",
    "usr/bin/llama-mon",
    "usr/bin/llamux-setup",
    "usr/bin/llamuxd",
    "usr/bin/lsh",
    "usr/lib/initcpio/install/llamux",
    "usr/lib/initcpio/post/llamux",
];

/// Where the tests lay the package.
fn laid(lab: &Lab<'_>) -> Result<PathBuf> {
    let dir = lab.cx.root.join("target/llamux/tools");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    tools::lay(lab.cx, &dir, System::Arch)?;
    Ok(dir)
}

pub(super) fn tools(lab: &Lab<'_>) -> Result<Found> {
    let dir = laid(lab)?;
    let mut found = Found::default();
    found.test("files and modes", files_and_modes(&dir, lab));
    let all = prepare::files(&dir)?;
    let below = |part: &str| -> Vec<&PathBuf> {
        let is = |file: &&PathBuf| file.starts_with(dir.join(part));
        all.iter().filter(is).collect()
    };
    // What a checker says on standard error is a complaint, too.
    let mut check = |what: &str, program: &str, args: &[&str], files: &[&PathBuf]| {
        if !sh::has(program) {
            found.skipped.push(format!("{what}: there is no {program}"));
            return;
        }
        for file in files {
            let mut command = sh::cmd(program);
            let name = file
                .strip_prefix(&dir)
                .unwrap_or(file)
                .display()
                .to_string();
            found.test(
                &format!("{what}: {name}"),
                silent(command.args(args).arg(file)),
            );
        }
    };
    let pages = below("usr/share/man");
    check(
        "pages",
        "groff",
        &[
            "-man",
            "-t",
            "-ww",
            "-z",
            "-Tutf8",
            "-Kutf8",
            "-rCHECKSTYLE=3",
        ],
        &pages,
    );
    check("bash", "bash", &["-n"], &below("usr/share/bash-completion"));
    let shells = lab.cx.root.join("crates/lsh/shell");
    let of_lsh = ["bash", "zsh", "fish"].map(|shell| shells.join(format!("llama.{shell}")));
    check("shellcheck", "shellcheck", &["--shell=bash"], &[&of_lsh[0]]);
    check("zsh", "zsh", &["-n"], &[&of_lsh[1]]);
    check("fish", "fish", &["--no-execute"], &[&of_lsh[2]]);
    check("zsh", "zsh", &["-n"], &below("usr/share/zsh"));
    check("fish", "fish", &["--no-execute"], &below("usr/share/fish"));
    check(
        "shellcheck",
        "shellcheck",
        &["--shell=bash"],
        &below("usr/lib/initcpio"),
    );
    let debian = lab.cx.root.join("packaging");
    let scripts = [
        "tools/usr/share/initramfs-tools/hooks/llamux",
        "deb-tools/postinst",
        "deb-tools/postrm",
    ];
    let scripts = scripts.map(|name| debian.join(name));
    let exclude = "--exclude=SC1091";
    check(
        "shellcheck",
        "shellcheck",
        &["--shell=sh", exclude],
        &scripts.iter().collect::<Vec<_>>(),
    );

    for (what, program, args) in [
        (
            "units",
            "systemd-analyze",
            &["verify", "--man=no", "--recursive-errors=no"][..],
        ),
        ("groups", "systemd-sysusers", &["--dry-run"]),
    ] {
        let file = match what {
            "units" => "usr/lib/systemd/system/llamux.service",
            _ => "usr/lib/sysusers.d/llamux.conf",
        };
        if !sh::has(program) {
            found.skipped.push(format!("{what}: there is no {program}"));
            continue;
        }
        let mut command = sh::cmd(program);
        command.arg(format!("--root={}", dir.display())).args(args);
        // The unit names its program as it is in the system.
        match what {
            "units" => {
                let others = ["llamuxd.socket", "llamuxd.service"];
                let others = others.map(|unit| format!("/usr/lib/systemd/system/{unit}"));
                command.arg(format!("/{file}")).args(others)
            }
            _ => command.arg(dir.join(file)),
        };
        found.test(what, accepted(&mut command));
    }
    let program = lab.cx.root.join("target/llamux/sample");
    found.test("a program in C", sample(&dir, &program));
    found.test("a program with the library", linked(&dir, &program));
    in_c(lab, &dir, &mut found)?;
    mkinitcpio(lab, &dir, &mut found)?;
    match sh::has("dpkg-deb") {
        true => found.test("the package of Debian", debian_package(lab, &dir)),
        false => found
            .skipped
            .push("the package of Debian: there is no dpkg-deb".to_owned()),
    }
    Ok(found)
}

/// It has the same files, but for the hooks, and dpkg installs it.
fn debian_package(lab: &Lab<'_>, arch: &Path) -> Result<()> {
    let dir = lab.cx.root.join("target/llamux/tools-deb");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let package = tools::deb(lab.cx, &dir)?;
    let root = dir.join("root");
    sh::run(sh::cmd("dpkg-deb").arg("-x").arg(&package).arg(&root))?;
    // Of pages, examples and licences, Debian's have other places and forms.
    let names = |root: &Path| -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut names = Vec::new();
        for file in prepare::files(root)? {
            let name = file.strip_prefix(root)?;
            let other = [
                "usr/share/doc",
                "usr/share/zsh",
                "usr/share/man",
                "usr/lib/initcpio",
                "usr/lib/pkgconfig",
                "usr/lib/x86_64-linux-gnu/pkgconfig",
                "usr/share/initramfs-tools",
            ];
            if other.iter().any(|dir| name.starts_with(dir)) {
                continue;
            }
            let content = match fs::read_link(&file) {
                Ok(to) => to.into_os_string().into_encoded_bytes(),
                Err(_) => fs::read(&file)?,
            };
            let library = name.strip_prefix("usr/lib/x86_64-linux-gnu");
            let name = library.map_or(name.to_owned(), |name| Path::new("usr/lib").join(name));
            names.push((name, content));
        }
        names.sort();
        Ok(names)
    };
    if names(arch)? != names(&root)? {
        bail!(
            "{} has other files than {}",
            package.display(),
            arch.display()
        );
    }
    for file in [
        "usr/share/initramfs-tools/hooks/llamux",
        "usr/share/man/man8/llamux-setup.8.gz",
        "usr/share/zsh/vendor-completions/_llama",
        "usr/share/doc/llamux-tools/copyright",
        "usr/lib/x86_64-linux-gnu/libllamux.so.0",
        "usr/lib/x86_64-linux-gnu/pkgconfig/llamux.pc",
    ] {
        if !root.join(file).exists() {
            bail!("there is no /{file} in {}", package.display());
        }
    }
    let field = |name: &str| sh::read(sh::cmd("dpkg-deb").arg("-f").arg(&package).arg(name));
    let depends = field("Depends")?;
    if !depends.contains("libc6") {
        bail!("it depends on {depends:?}");
    }
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    // A system with nothing else in it.
    let system = dir.join("system");
    for part in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"] {
        fs::create_dir_all(system.join(part))?;
    }
    fs::write(system.join("var/lib/dpkg/status"), "")?;
    let dpkg = |action: &str, what: &Path| {
        let mut dpkg = sh::cmd("dpkg");
        dpkg.arg(format!("--root={}", system.display()));
        dpkg.args(["--force-depends", "--force-script-chrootless", action]);
        accepted(dpkg.arg(what))
    };
    dpkg("--install", &package)?;
    let group = fs::read_to_string(system.join("etc/group")).unwrap_or_default();
    if sh::has("systemd-sysusers") && !group.contains("llama:x:") {
        bail!("there is no group llama: {group:?}");
    }
    if !system.join("var/lib/llamux").is_dir() || !system.join("usr/bin/llamux-setup").exists() {
        bail!("it is not installed");
    }
    // What the administrator and `llamux-setup` have written stays, until that is purged.
    let of_grub = system.join("etc/default/grub.d/llamux.cfg");
    fs::create_dir_all(of_grub.parent().context("no directory")?)?;
    fs::write(&of_grub, "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX\"\n")?;
    dpkg("--remove", Path::new("llamux-tools"))?;
    let kept = system.join("etc/llamux.conf").exists() && of_grub.exists();
    if system.join("usr/bin/llama").exists() || !kept {
        bail!("it is not removed, or too much is");
    }
    dpkg("--purge", Path::new("llamux-tools"))?;
    if system.join("etc/llamux.conf").exists() || of_grub.exists() {
        bail!("its configuration is not removed");
    }
    Ok(())
}

/// The list, and no path of this machine in it.
fn files_and_modes(dir: &Path, lab: &Lab<'_>) -> Result<()> {
    let mut expected: Vec<_> = FILES.iter().map(|file| (*file, 0o644)).collect();
    expected.extend(PROGRAMS.iter().map(|file| (*file, 0o755)));
    expected.sort_unstable();
    let all = prepare::files(dir)?;
    let mut here = Vec::new();
    let mut links = Vec::new();
    let root = lab.cx.root.display().to_string();
    for file in &all {
        let name = file.strip_prefix(dir)?.to_string_lossy();
        if file.is_symlink() {
            links.push((name, fs::read_link(file)?.display().to_string()));
            continue;
        }
        let mode = fs::metadata(file)?.permissions().mode() & 0o7777;
        here.push((name, mode));
        let bytes = fs::read(file)?;
        if bytes
            .windows(root.len())
            .any(|part| part == root.as_bytes())
        {
            bail!("{} has the path of this checkout in it", file.display());
        }
    }
    let links: Vec<_> = links
        .iter()
        .map(|(name, to)| (name.as_ref(), to.as_str()))
        .collect();
    if links != LINKS {
        bail!("its links are {links:?}");
    }
    let mut here: Vec<_> = here
        .iter()
        .map(|(name, mode)| (name.as_ref(), *mode))
        .collect();
    // Paths are in another order than their texts.
    here.sort_unstable();
    let only_in = |these: &[(&str, u32)], those: &[(&str, u32)]| {
        let missing = these.iter().filter(|entry| !those.contains(entry));
        let shown: Vec<_> = missing
            .map(|(name, mode)| format!("{name} ({mode:o})"))
            .collect();
        shown.join(", ")
    };
    if here != expected {
        bail!(
            "missing: {}; not on the list: {}",
            only_in(&expected, &here),
            only_in(&here, &expected)
        );
    }
    Ok(())
}

fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", sh::show(command)))
}

/// Runs a checker that has nothing to say.
fn silent(command: &mut Command) -> Result<()> {
    let output = output(command)?;
    let said = [output.stdout, output.stderr].concat();
    if !output.status.success() || !said.is_empty() {
        bail!("{}", String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}

/// Runs one that succeeds.
pub(super) fn accepted(command: &mut Command) -> Result<()> {
    let output = output(command)?;
    if !output.status.success() {
        // Some complain on the one, some on the other.
        let said = [output.stdout, output.stderr].concat();
        bail!("{}", String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}

/// The sample compiles against the header as the package has it.
fn sample(dir: &Path, program: &Path) -> Result<()> {
    let mut gcc = sh::cmd("gcc");
    gcc.args([
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-result",
        "-O2",
        "-static",
        "-isystem",
    ]);
    gcc.arg(dir.join("usr/include")).arg("-o").arg(program);
    accepted(gcc.arg(dir.join("usr/share/doc/llamux-tools/examples/llama.c")))
}

/// Compiles the library's example against the package, by what pkg-config says: linked dynamically, for a system
/// where the package is installed.
pub(super) fn linked(dir: &Path, program: &Path) -> Result<()> {
    let mut config = sh::cmd("pkg-config");
    config
        .env("PKG_CONFIG_SYSROOT_DIR", dir)
        .env("PKG_CONFIG_LIBDIR", dir.join("usr/lib/pkgconfig"))
        .env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1")
        .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1")
        .args(["--cflags", "--libs", "llamux"]);
    let flags = sh::read(&mut config)?;
    let flags = shlex::split(&flags).context("pkg-config says no words")?;
    let mut gcc = sh::cmd("gcc");
    gcc.args(["-Wall", "-Wextra", "-Werror", "-O2", "-o"])
        .arg(program)
        .arg(dir.join("usr/share/doc/llamux-tools/examples/ask.c"));
    accepted(gcc.args(flags))?;
    let mut readelf = sh::cmd("readelf");
    let wanted = sh::read(readelf.arg("--dynamic").arg(program))?;
    if !wanted.contains("[libllamux.so.0]") {
        bail!("the program wants {wanted}");
    }
    // It starts, and complains about nothing but that it is not told what to ask.
    let mut usage = sh::cmd(program);
    let output = output(usage.env("LD_LIBRARY_PATH", dir.join("usr/lib")))?;
    if output.status.code() != Some(2) {
        bail!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// What mkinitcpio offers to hooks, as far as ours use it, and its order of things.
const MKINITCPIO: &str = r#"
set -u
quiet() { printf "quiet: $1\n" "${@:2}"; }
warning() { printf "warning: $1\n" "${@:2}" >&2; }
error() { printf "error: $1\n" "${@:2}" >&2; return 1; }
add_file() { install -Dm"$3" "$1" "$BUILDROOT$2"; }
_builderrors=0
KERNELVERSION=7.3.4-llamux1
_optgenimg=$IMAGE
[[ -n ${UNIFIED-} ]] && _optuki=$UNIFIED
_optnopost=$NOPOST
. "$DIR/usr/lib/initcpio/install/llamux"
build
printf %s "$REST" >"$IMAGE"
(( _optnopost )) || "$DIR/usr/lib/initcpio/post/llamux" /kernel "$IMAGE" || (( ++_builderrors ))
exit $(( !!_builderrors ))
"#;

/// What mkinitcpio has made when the post hook runs.
const REST: &str = "an archive";

/// What mkinitcpio makes.
#[derive(Clone, Copy)]
enum Image<'a> {
    /// An initramfs.
    Plain,
    /// One that kernel-install asks for, without post hooks.
    NoPost,
    /// A unified image, whose path this is, below where the run works.
    Unified(&'a str),
}

/// One run of both hooks.
struct Hooks<'a> {
    /// Where the package was laid.
    dir: &'a Path,
    /// Where this run works.
    work: PathBuf,
    /// `llamux.conf`
    conf: &'a str,
    /// `modules.builtin.modinfo` of the kernel.
    modinfo: &'a str,
    image: Image<'a>,
}

/// What came out.
struct Made {
    good: bool,
    said: String,
    image: PathBuf,
    /// The model in the archive.
    inside: PathBuf,
}

impl Hooks<'_> {
    fn run(&self, model: &Path) -> Result<Made> {
        let work = &self.work;
        if work.exists() {
            fs::remove_dir_all(work)?;
        }
        let root = work.join("root");
        let modules = work.join("modules");
        for dir in [
            root.join("etc"),
            root.join("usr/lib/firmware/llamux"),
            work.join("bin"),
            modules.clone(),
        ] {
            fs::create_dir_all(dir)?;
        }
        fs::write(root.join("etc/llamux.conf"), self.conf)?;
        let firmware = root
            .join("usr/lib/firmware/llamux")
            .join(model.file_name().context("no name")?);
        std::os::unix::fs::symlink(model, firmware)?;
        fs::write(modules.join("modules.builtin.modinfo"), self.modinfo)?;
        // The hooks call it by its name, for the system that runs.
        let wrapper = work.join("bin/llamux-setup");
        let program = self.dir.join("usr/bin/llamux-setup");
        let script = format!(
            "#!/bin/sh\nexec '{}' --root '{}' \"$@\"\n",
            program.display(),
            root.display()
        );
        fs::write(&wrapper, script)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        let image = work.join("initramfs.img");
        let (unified, nopost) = match self.image {
            Image::Plain => (PathBuf::new(), "0"),
            Image::NoPost => (PathBuf::new(), "1"),
            Image::Unified(file) => (work.join(file), "0"),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let mut bash = sh::cmd("bash");
        bash.args(["-c", MKINITCPIO])
            .env("PATH", format!("{}:{path}", work.join("bin").display()))
            .env("DIR", self.dir)
            .env("IMAGE", &image)
            .env("REST", REST)
            .env("BUILDROOT", work.join("build"))
            .env("_d_kmoduledir", &modules)
            .env("UNIFIED", unified)
            .env("NOPOST", nopost);
        let output = output(&mut bash)?;
        let name = model.file_name().context("no name")?;
        Ok(Made {
            good: output.status.success(),
            said: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            inside: work.join("build/usr/lib/firmware/llamux").join(name),
            image,
        })
    }
}

impl Made {
    fn is(&self, good: bool, front: bool, inside: bool, said: &str) -> Result<()> {
        let image = fs::read(&self.image)?;
        let has_front = image.starts_with(b"070701") && image.ends_with(REST.as_bytes());
        if !has_front && image != REST.as_bytes() {
            bail!("the image is neither what it was nor has it a model in front");
        }
        let is = (self.good, has_front, self.inside.exists());
        if is != (good, front, inside) || !self.said.contains(said) {
            bail!(
                "(success, in front, inside) is {is:?}, and it says {}",
                self.said
            );
        }
        Ok(())
    }
}

/// Runs the hooks for a model with `llamux.conf`, the names of what the kernel has, and what is made.
fn hooks(
    lab: &Lab<'_>,
    dir: &Path,
    model: &Path,
    (conf, modinfo, image): (&str, &str, Image<'_>),
) -> Result<Made> {
    let work = lab.cx.root.join("target/llamux/hooks");
    let hooks = Hooks {
        dir,
        work,
        conf,
        modinfo,
        image,
    };
    hooks.run(model)
}

/// What `modules.builtin.modinfo` has of our kernel, and of others.
const LLAMUX: &str = "ext4.license=GPL\0llamux.parmtype=model:charp\0";
const OTHER: &str = "ext4.license=GPL\0";

/// The hooks do what `llamux.conf` says, and say what they cannot do.
fn mkinitcpio(lab: &Lab<'_>, dir: &Path, found: &mut Found) -> Result<()> {
    let model = lab.cx.root.join("target/llamux/hook.gguf");
    fs::write(&model, b"GGUF and more")?;
    let chosen = |place: &str| format!("MODEL=hook\nIN_INITRAMFS={place}\n");
    for (name, conf, modinfo, image, (good, front, inside, said)) in [
        (
            "no model",
            chosen("no"),
            LLAMUX,
            Image::Plain,
            (true, false, false, ""),
        ),
        (
            "in front",
            chosen("head"),
            LLAMUX,
            Image::Plain,
            (true, true, false, ""),
        ),
        (
            "inside",
            chosen("archive"),
            LLAMUX,
            Image::Plain,
            (true, false, true, ""),
        ),
        (
            "a unified image",
            chosen("head"),
            LLAMUX,
            Image::Unified("unified.efi"),
            (true, false, true, "has the model inside"),
        ),
        (
            "an image without post hooks",
            chosen("head"),
            LLAMUX,
            Image::NoPost,
            (true, false, true, "has the model inside"),
        ),
        (
            "a unified image that cannot be",
            chosen("archive"),
            LLAMUX,
            Image::Unified("absent/unified.efi"),
            (false, false, false, "hooks/absent: "),
        ),
        (
            "another kernel",
            chosen("head"),
            OTHER,
            Image::Plain,
            (true, false, false, "no Llamux"),
        ),
        (
            "a model that is absent",
            "MODEL=absent\nIN_INITRAMFS=head\n".to_owned(),
            LLAMUX,
            Image::Plain,
            (false, false, false, "there is no model absent"),
        ),
        (
            "a line that is wrong",
            "MODEL\n".to_owned(),
            LLAMUX,
            Image::Plain,
            (
                false,
                false,
                false,
                "etc/llamux.conf: line 1: not of the form KEY=value",
            ),
        ),
    ] {
        let made = hooks(lab, dir, &model, (&conf, modinfo, image))?;
        found.test(
            &format!("mkinitcpio: {name}"),
            made.is(good, front, inside, said),
        );
    }
    Ok(())
}

/// What `llamux.service` is to do, and how it is seen that it did.
const SETTINGS: &str = "LOAD='second third'\nNICE=5\nSYSTEM_PROMPT='You are brief.'\n\
                        SAMPLING='top_k=7 max_tokens=33'\nLIMITS='default queued=9; user=1000 context=512'\n";
const SCRIPT: &str = "sample 'Name a prime number.' && grep -x 'weights: in place' /proc/llamux/status || exit 10
llamux-setup apply || exit 11
cd /sys/kernel/llamux
while grep -q state=loading models; do sleep 0.1; done
grep -q '^name=/var/lib/llamux/second state=ready default=no' models || exit 12
grep -q '^name=/var/lib/llamux/third state=ready default=no' models || exit 12
[ $(cat nice) = 5 ] && [ $(cat sampling/top_k) = 7 ] && [ $(cat sampling/max_tokens) = 33 ] || exit 13
grep -x 'You are brief.' system_prompt || exit 14
grep -q '^default .*queued=9 ' limits && grep -q '^user=1000 .*context=512' limits || exit 15
llamux-setup apply || exit 16
[ $(grep -c ^name= models) = 3 ] || exit 17
echo SAMPLING=top_k=9999 >/etc/llamux.conf
llamux-setup apply && exit 18
exit 0";

/// An image that the hooks made boots with its model in place, a program in C asks it, and what the unit runs has the
/// kernel load another one, and take its settings.
pub(super) fn hook_uml(lab: &Lab<'_>) -> Result<Found> {
    let dir = laid(lab)?;
    let model = model::find(lab.cx, None)?;
    let conf = format!("MODEL={}\nIN_INITRAMFS=head\n", model.name);
    let made = hooks(lab, &dir, &model.file, (&conf, LLAMUX, Image::Plain))?;
    made.is(true, true, false, "")?;
    // What follows the model here is an archive of its own.
    let head = made.image.with_extension("head");
    let bytes = fs::metadata(&made.image)?.len() - REST.len() as u64;
    let mut out = File::create(&head)?;
    std::io::copy(&mut File::open(&made.image)?.take(bytes), &mut out)?;

    let overlay = lab.cx.root.join("target/llamux/hook-overlay");
    fs::create_dir_all(overlay.join("usr/bin"))?;
    sample(&dir, &overlay.join("usr/bin/sample"))?;
    fs::copy(
        run::program(lab.cx, "llamux-setup")?,
        overlay.join("usr/bin/llamux-setup"),
    )?;
    fs::create_dir_all(overlay.join("var/lib/llamux"))?;
    fs::copy(&model.file, overlay.join("var/lib/llamux/second.gguf"))?;
    // It has to wait until the second one is loaded.
    made_up(lab, &overlay.join("var/lib/llamux/third.gguf"), 1)?;
    fs::create_dir_all(overlay.join("etc"))?;
    fs::write(overlay.join("etc/llamux.conf"), format!("{conf}{SETTINGS}"))?;
    let mut boot = Boot::new(Target::Uml, lab.source, SCRIPT);
    boot.head = Some(head);
    boot.overlay = Some(&overlay);
    boot.memory_mb = Some(1400);
    boot.append.push("llamux_mem=540M".to_owned());
    boot.append.push(format!("llamux.model={}", model.name));
    let outcome = boot.run(lab.cx)?;
    let mut found = Found::default();
    let answered = match outcome.status()? {
        0 => Ok(()),
        status => Err(anyhow::anyhow!("status {status}: {}", outcome.output)),
    };
    found.test("it answers, and is configured", answered);
    found.test("a clean log", unclean(&outcome.log));
    Ok(found)
}
