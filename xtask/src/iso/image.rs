// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A hybrid image: an ISO 9660 file system that also begins as a disk does, with GRUB for BIOS and for UEFI.
//!
//! What GRUB itself is told, and why: <https://www.gnu.org/software/grub/manual/grub/>. The layout is that of
//! `grub-mkrescue`, without the dates and random numbers that this one puts in.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::sh;
use crate::toolchain::SOURCE_DATE_EPOCH;

/// The name of the volume, by which `assets/live/medium` finds it again.
const VOLUME: &str = "LLAMUX";

/// The date of all that is built, for the volume: it is also its UUID.
const VOLUME_DATE: &str = "2026010100000000";
/// The name of the FAT file system, which must not be found in the volume's stead.
const FAT_NAME: &str = "LLAMUX_EFI";
/// Its serial number, which would be the time otherwise.
const FAT_SERIAL: &str = "4c4c414d";

/// All of GRUB that the menu uses, in one program: nothing is loaded later.
const MODULES: &[&str] = &[
    "all_video",
    "boot",
    "configfile",
    "echo",
    "font",
    "gfxterm",
    "halt",
    "iso9660",
    "linux",
    "ls",
    "minicmd",
    "normal",
    "part_gpt",
    "part_msdos",
    "reboot",
    "search",
    "search_fs_file",
    "serial",
    "sleep",
    "terminal",
    "test",
];

/// What GRUB does first: it looks for the volume that it came from, whose `grub.cfg` it reads then.
const EARLY: &str = "search --file --set=root /llamux/vmlinuz\nset prefix=($root)/boot/grub\n";

/// One firmware's GRUB.
struct Firmware {
    platform: &'static str,
    modules: &'static [&'static str],
}

const BIOS: Firmware = Firmware {
    platform: "i386-pc",
    modules: &["biosdisk", "vbe"],
};
const UEFI: Firmware = Firmware {
    platform: "x86_64-efi",
    modules: &["efi_gop", "efi_uga"],
};

impl Firmware {
    fn dir(&self) -> PathBuf {
        Path::new("/usr/lib/grub").join(self.platform)
    }

    /// GRUB's core with its modules, in the format of `format`.
    fn core(&self, format: &str, early: &Path, to: &Path) -> Result<()> {
        let mut make = sh::cmd("grub-mkimage");
        make.args(["--prefix", "/boot/grub", "--format", format])
            .arg("--directory")
            .arg(self.dir())
            .arg("--config")
            .arg(early)
            .arg("--output")
            .arg(to)
            .args(MODULES)
            .args(self.modules);
        sh::run(&mut make)
    }
}

/// Whether all that makes an image is here.
pub(crate) fn has_tools() -> bool {
    let programs = ["grub-mkimage", "xorriso", "mformat", "mmd", "mcopy", "gzip"];
    let modules = [BIOS, UEFI].map(|firmware| firmware.dir().join("linux.mod"));
    programs.into_iter().all(sh::has)
        && modules.iter().all(|module| module.exists())
        && font().is_some()
}

/// GRUB's font.
pub(crate) fn font() -> Option<PathBuf> {
    let places = [
        "/usr/share/grub/unicode.pf2",
        "/boot/grub/fonts/unicode.pf2",
    ];
    let mut places = places.into_iter().map(PathBuf::from);
    places.find(|path| path.exists())
}

/// Writes an image with these files to `output`; `dir` is for what comes between.
pub(crate) fn write(dir: &Path, files: &[(String, PathBuf)], output: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    let early = dir.join("early.cfg");
    fs::write(&early, EARLY)?;
    let bios = dir.join("bios.img");
    BIOS.core("i386-pc-eltorito", &early, &bios)?;
    let program = dir.join("bootx64.efi");
    UEFI.core("x86_64-efi", &early, &program)?;
    let uefi = dir.join("efi.img");
    fat(&program, &uefi)?;

    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    let part = output.with_extension("part");
    let _ = fs::remove_file(&part);
    let mut xorriso = sh::cmd("xorriso");
    xorriso.env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string());
    xorriso.args(["-as", "mkisofs", "-quiet", "-rational-rock", "-joliet"]);
    // With files of 4 GiB and more.
    xorriso.args(["-iso-level", "3", "-volid", VOLUME]);
    xorriso.arg(format!("--modification-date={VOLUME_DATE}"));
    xorriso.args(["--set_all_file_dates", VOLUME_DATE]);
    // From a disc by BIOS.
    xorriso.args(["-b", "boot/grub/bios.img", "-no-emul-boot"]);
    xorriso.args(["-boot-load-size", "4", "-boot-info-table"]);
    // From a stick by BIOS.
    xorriso.arg("--grub2-boot-info").arg("--grub2-mbr");
    xorriso.arg(BIOS.dir().join("boot_hybrid.img"));
    // From either by UEFI: a partition, which El Torito's entry is, too.
    xorriso.args(["-partition_offset", "16", "-append_partition", "2", "0xef"]);
    xorriso.arg(&uefi).arg("-eltorito-alt-boot");
    xorriso.args(["-e", "--interval:appended_partition_2:all::"]);
    xorriso.args(["-no-emul-boot", "-o"]).arg(&part);
    xorriso.arg("-graft-points");
    let bios = [("boot/grub/bios.img".to_owned(), bios)];
    for (path, file) in bios.iter().chain(files) {
        xorriso.arg(format!("/{path}={}", file.display()));
    }
    sh::run(&mut xorriso)?;
    fs::rename(&part, output).with_context(|| format!("cannot write {}", output.display()))?;
    fs::remove_dir_all(dir)?;
    Ok(())
}

/// A FAT file system with the program that UEFI starts from removable disks.
fn fat(program: &Path, to: &Path) -> Result<()> {
    let kilobytes = fs::metadata(program)?.len().div_ceil(1024) + 512;
    File::create(to)?.set_len(kilobytes * 1024)?;
    let mtools = |name: &str| {
        let mut command = sh::cmd(name);
        // Without it mtools refuses sizes that no floppy disk has had.
        command.env("MTOOLS_SKIP_CHECK", "1");
        command
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH.to_string())
            .arg("-i")
            .arg(to);
        command
    };
    sh::run(mtools("mformat").args(["-N", FAT_SERIAL, "-v", FAT_NAME, "::"]))?;
    sh::run(mtools("mmd").args(["::/EFI", "::/EFI/BOOT"]))?;
    sh::run(mtools("mcopy").arg(program).arg("::/EFI/BOOT/BOOTX64.EFI"))
}
