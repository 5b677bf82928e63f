// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The profile is in order, and each mistake in it is found.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{check, Facts};
use crate::context::Context;
use crate::iso::arch;

/// A copy of the profile, gone at the end.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("llamux-profile-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        arch::copy(&checkout().join("archiso-profile"), &dir).unwrap();
        Self(dir)
    }

    /// All mistakes, as they are shown.
    fn mistakes(&self, tools: bool) -> Vec<String> {
        let root = checkout();
        let cache = root.join("target");
        let facts = Facts {
            tools,
            ..Facts::new(&Context { root, cache }, None).unwrap()
        };
        let mistakes = check(&self.0, &facts).unwrap();
        mistakes.iter().map(ToString::to_string).collect()
    }

    fn replace(&self, file: &str, old: &str, new: &str) {
        let path = self.0.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} has no {old:?}");
        fs::write(path, text.replacen(old, new, 1)).unwrap();
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

const SYSTEM: &str = "airootfs/etc/systemd/system";
const GRUB: &str = "grub/grub.cfg";
const SYSLINUX: &str = "syslinux/syslinux.cfg";
const HOOKS: &str = "airootfs/etc/mkinitcpio.conf.d/archiso.conf";
const MIRRORS: &str = "airootfs/etc/pacman.d/hooks/llamux-mirrors.hook";
const PRESET: &str = "airootfs/etc/mkinitcpio.d/linux-llamux.preset";

#[test]
fn the_profile_is_in_order() {
    assert_eq!(Copy::new("good").mistakes(true), [""; 0]);
}

/// One word of one file is another, and nothing else.
#[test]
fn each_word_that_is_wrong_is_found() {
    // The file, what it says, what it says instead, and what is said of it, behind the file's name if that is
    // another.
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str, &str)] = &[
        ("profiledef.sh", "'bios.syslinux'", "'bios.syslinux.mbr'", "no boot mode of archiso 88: those are bios."),
        ("profiledef.sh", "'bios.syslinux' ", "", "bootmodes has 0 for BIOS"),
        ("profiledef.sh", "'uefi.grub'", "'uefi.systemd-boot'", "efiboot/loader/loader.conf: it is not there"),
        ("profiledef.sh", "iso_version=", "iso_verison=", "archiso has no variable iso_verison"),
        ("profiledef.sh", "iso_version=", "iso_verison=", "iso_version is not set"),
        ("profiledef.sh", "install_dir=\"llamux\"", "install_dir=\"Llamux-64\"", "use at most 8 of a to z"),
        ("profiledef.sh", "LLAMUX_$", "llamux $", "is no name of an ISO 9660 volume"),
        ("profiledef.sh", "\"x86_64\"", "\"i686\"", "the kernel is for x86_64"),
        ("profiledef.sh", "('iso')", "('netboot')", "makes no image that boots"),
        ("profiledef.sh", "\"squashfs\"", "\"squash\"", "airootfs_image_type=squash is unknown"),
        ("profiledef.sh", "'zstd'", "'lzo'", "the kernel is built without CONFIG_SQUASHFS_LZO"),
        ("profiledef.sh", "\"pacman.conf\"", "\"pacman.cnf\"", "pacman_conf=pacman.cnf is not there"),
        ("profiledef.sh", "/etc/shadow\"]", "/etc/shadwo\"]", "file_permissions has /etc/shadwo, which is not"),
        ("profiledef.sh", "/etc/shadow\"]", "/etc/shadwo\"]", "/etc/shadow may be read by others"),
        ("profiledef.sh", "/etc/shadow\"]", "/../pacman.conf\"]", "file_permissions has /../pacman.conf, which is not"),
        ("profiledef.sh", "0:0:755", "0:0:u+x", "write USER:GROUP:MODE in numbers"),
        ("profiledef.sh", "0:0:755", "0:0:644", "is a program, and file_permissions does not make it one"),
        ("profiledef.sh", "arch=\"x86_64\"", "arch=\"x86_64", "bash does not take it"),
        ("packages.x86_64", "mkinitcpio-archiso\n", "", "mkinitcpio-archiso is missing"),
        ("packages.x86_64", "\nsyslinux\n", "\n", "syslinux is missing, which bios.syslinux needs"),
        ("packages.x86_64", "\nlinux-llamux\n", "\nlinux\nlinux-llamux\n", "linux is a second kernel"),
        ("packages.x86_64", "\nnano\n", "\nnanno\n", "nanno is neither a package of ours nor a known one"),
        ("packages.x86_64", "\nnano\n", "\nnano\nnano\n", "nano is there twice"),
        ("packages.x86_64", "\nnano\n", "\nnano # an editor\n", "`nano ` has blanks, which archiso leaves"),
        ("packages.x86_64", "\nmemtest86+\n", "\n", "syslinux/syslinux.cfg: /boot/memtest86+/memtest is of the"),
        ("packages.x86_64", "\niwd\n", "\n", "iwd.service, which nothing brings: add its package, iwd"),
        ("packages.x86_64", "llamux-tools\n", "", "llamux-tools is missing, which has the hook llamux"),
        ("pacman.conf", "[llamux]", "[llama]", "the sections are options, llama, core, extra"),
        ("pacman.conf", "[extra]", "[core]", "[core] is there twice, which pacman refuses"),
        ("pacman.conf", "%LLAMUX_REPO%", "/srv/repo", "write Server = file://%LLAMUX_REPO%"),
        ("pacman.conf", "SigLevel = Required", "SigLevel = Never", "may come without signatures"),
        ("pacman.conf", "HoldPkg", "CacheDir = /tmp\nHoldPkg", "CacheDir is of one machine"),
        (PRESET, "('archiso')", "('archiso' 'fallback')", "write PRESETS=('archiso')"),
        (PRESET, "vmlinuz-linux-llamux", "vmlinuz-linux", "write ALL_kver='/boot/vmlinuz-linux-llamux'"),
        (PRESET, "initramfs-linux-llamux", "initramfs-llamux", "is not what the entries boot"),
        (PRESET, "conf.d/archiso.conf", "conf.d/arch.conf", "is not in airootfs"),
        (HOOKS, " llamux)", ")", "the hook llamux is missing"),
        (HOOKS, " archiso ", " ", "the hook archiso is missing"),
        (HOOKS, "udev", "systemd", "archiso needs udev, not systemd"),
        (HOOKS, "modconf", "autodetect modconf", "autodetect is no hook for an image"),
        (HOOKS, "'zstd'", "'bzip3'", "the kernel is built without CONFIG_RD_BZIP3"),
        (GRUB, "vmlinuz-linux-llamux", "vmlinuz-linux", "vmlinuz-linux, which is not on the image"),
        (GRUB, "/%INSTALL_DIR%/boot/%ARCH%/initramfs-tinyllama.img ", "", "the entry llamux has 1 initrds"),
        (GRUB, "llamux_mem=512M", "llamux_mem=256M", "write llamux_mem=512M, which it needs in place"),
        (GRUB, "=smollm2-135m", "=smollm", "the model smollm, which configs/models.toml has not"),
        (GRUB, "%ARCHISO_UUID%", "%ARCHISO_UID%", "archiso does not replace %ARCHISO_UID%"),
        (GRUB, " archisobasedir=%INSTALL_DIR%", "", "has no archisobasedir=%INSTALL_DIR%"),
        (GRUB, "default=llamux", "default=llama", "the default \"llama\" is no entry"),
        (GRUB, "timeout=15", "timeout=0", "nothing boots unless somebody chooses"),
        (GRUB, "console=ttyS0,115200", "quiet", "the entry serial is not the same as serial in syslinux"),
        (GRUB, "--id serial", "--id port", "the entry port is not the same as serial in syslinux"),
        (SYSLINUX, "initramfs-tinyllama.img,", "initramfs-linux-llamux.img,", "initrds and models do not agree"),
        (SYSLINUX, "initramfs-smollm2.img", "model-smollm2.img", "archiso copies files of this form"),
        (SYSLINUX, "initramfs-smollm2.img", "initramfs-smollm2-135m.instruct.img", "at most 31 characters and one dot"),
        (SYSLINUX, "UI menu.c32", "UI men.c32", "men.c32 is no module of syslinux"),
        (SYSLINUX, "LABEL small", "LABEL llamux", "two entries are called llamux"),
        (SYSLINUX, " archisosearchuuid=%ARCHISO_UUID%", "", "the hook archiso finds the image by it"),
        (SYSLINUX, " console=ttyS0,115200", "", "no entry has a console on the serial port"),
        (MIRRORS, " && rm /etc/pacman.d/hooks/llamux-mirrors.hook", "", "it stays on the image, and pacman takes"),
        ("airootfs/etc/motd", "llamux-install", "the installer", "it does not say `llamux-install`"),
        ("airootfs/etc/hostname", "llamux", "Llamux PC", "is no host name"),
        ("airootfs/etc/locale.conf", "C.UTF-8", "de_DE.UTF-8", "write LANG=C.UTF-8"),
        ("airootfs/etc/shadow", "root::", "root:secret:", "the image has one account, without a password"),
    ];
    for (at, (file, old, new, said)) in cases.iter().enumerate() {
        let copy = Copy::new(&format!("word-{at}"));
        copy.replace(file, old, new);
        let mistakes = copy.mistakes(false);
        let found = mistakes.iter().any(|mistake| {
            let (named, rest) = mistake.split_once(": ").unwrap();
            let fix = rest.rsplit(": ").next().unwrap();
            mistake.contains(said) && copy.names(named) && fix.len() > 2
        });
        assert!(
            found,
            "{file}: {old:?} as {new:?} gave {mistakes:#?}, and not {said:?}"
        );
    }
}

impl Copy {
    /// Whether this is a file of the profile, or one that it should have.
    fn names(&self, file: &str) -> bool {
        let known = self.0.join(file).symlink_metadata().is_ok();
        known || file.starts_with("efiboot/") || file.starts_with("airootfs/")
    }
}

/// Files that are missing, too many, or lead nowhere.
#[test]
fn each_file_that_is_wrong_is_found() {
    type Change = fn(&Path);
    let cases: &[(&str, Change, &str)] = &[
        (
            "packages",
            |dir| fs::remove_file(dir.join("packages.x86_64")).unwrap(),
            "packages.x86_64: ",
        ),
        (
            "menu",
            |dir| fs::remove_file(dir.join(GRUB)).unwrap(),
            "grub/grub.cfg: it is not there, and uefi.grub",
        ),
        (
            "preset",
            |dir| fs::remove_file(dir.join(PRESET)).unwrap(),
            "linux-llamux.preset: it is not there",
        ),
        (
            "other-preset",
            |dir| {
                fs::copy(
                    dir.join(PRESET),
                    dir.join("airootfs/etc/mkinitcpio.d/linux.preset"),
                )
                .map(drop)
                .unwrap()
            },
            "linux.preset: there is no kernel of this name",
        ),
        (
            "installer",
            |dir| fs::remove_file(dir.join("airootfs/usr/local/bin/llamux-install")).unwrap(),
            "llamux-install: it is not there",
        ),
        (
            "program",
            |dir| fs::write(dir.join("airootfs/usr/local/bin/more"), "#!/bin/sh\n").unwrap(),
            "profiledef.sh: /usr/local/bin/more is a program",
        ),
        (
            "dangling",
            |dir| {
                symlink(
                    "/usr/lib/systemd/system/iwdd.service",
                    dir.join(SYSTEM).join("x.service"),
                )
                .unwrap()
            },
            "x.service: it leads to /usr/lib/systemd/system/iwdd.service, which nothing brings",
        ),
        (
            "other-name",
            |dir| {
                let wants = dir.join(SYSTEM).join("multi-user.target.wants");
                fs::rename(wants.join("iwd.service"), wants.join("wifi.service")).unwrap();
            },
            "wifi.service: it enables iwd.service by another name",
        ),
        (
            "not-enabled",
            |dir| {
                fs::remove_file(
                    dir.join(SYSTEM)
                        .join("multi-user.target.wants/pacman-init.service"),
                )
                .unwrap()
            },
            "pacman-init.service: multi-user.target wants it, and nothing enables it",
        ),
        (
            "drop-in",
            |dir| {
                fs::rename(
                    dir.join(SYSTEM).join("getty@tty1.service.d"),
                    dir.join(SYSTEM).join("getty@tty9.service.d"),
                )
                .unwrap()
            },
            "autologin.conf: it changes getty@tty9.service, which nothing brings",
        ),
        (
            "mount",
            |dir| {
                fs::rename(
                    dir.join(SYSTEM).join("etc-pacman.d-gnupg.mount"),
                    dir.join(SYSTEM).join("pacman-keys.mount"),
                )
                .unwrap()
            },
            "pacman-keys.mount: it mounts /etc/pacman.d/gnupg, and systemd takes that under another",
        ),
        (
            "autologin",
            |dir| {
                fs::remove_file(
                    dir.join(SYSTEM)
                        .join("serial-getty@.service.d/autologin.conf"),
                )
                .unwrap()
            },
            "serial-getty@.service.d: nobody is logged in on this console",
        ),
    ];
    for (name, change, said) in cases {
        let copy = Copy::new(name);
        change(&copy.0);
        let mistakes = copy.mistakes(false);
        let found = mistakes.iter().any(|mistake| mistake.contains(said));
        assert!(found, "{name} gave {mistakes:#?}, and not {said:?}");
    }
}

/// What other programs find, where they are.
#[test]
fn programs_look_at_scripts() {
    for (program, file, new) in [
        ("shellcheck", PRESET, "\n[ $x = y ]\n"),
        (
            "python3",
            "airootfs/usr/local/bin/llamux-install",
            "\ndef broken(:\n",
        ),
        ("grub-script-check", GRUB, "\nif [ -f /x ]; then\n"),
    ] {
        if !crate::sh::has(program) {
            continue;
        }
        let copy = Copy::new(program);
        let path = copy.0.join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + new).unwrap();
        let said = format!("{file}: {program} does not take it: ");
        let mistakes = copy.mistakes(true);
        assert!(
            mistakes.iter().any(|mistake| mistake.starts_with(&said)),
            "{mistakes:#?}"
        );
    }
}
