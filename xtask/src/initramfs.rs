// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The initramfs: cpio archives one after the other, as the kernel takes them.
//!
//! First the model, which is large, changes rarely and is cached; then the programs; then what this one
//! boot is to do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{bail, Context as _, Result};
use cpio::newc;
use llamux_setup::head;

use crate::context::Context;
use crate::model::Model;
use crate::{setup, sh};

const INIT: &str = include_str!("../assets/init");
const MOTD: &str = include_str!("../assets/motd");

const LIVE_INIT: &str = include_str!("../assets/live/init");
const LIVE_MOTD: &str = include_str!("../assets/live/motd");
const LIVE_PROFILE: &str = include_str!("../assets/live/profile");
/// What the live image's first program starts.
const LIVE_SCRIPTS: [(&str, &str); 4] = [
    ("shell", include_str!("../assets/live/shell")),
    ("network", include_str!("../assets/live/network")),
    ("udhcpc", include_str!("../assets/live/udhcpc")),
    ("medium", include_str!("../assets/live/medium")),
];

const DIR: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const CHAR: u32 = 0o020_600;

/// A cpio archive in the making.
struct Archive<W: Write> {
    out: W,
    inode: u32,
    dirs: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            inode: 0,
            dirs: BTreeSet::new(),
        }
    }

    /// The header of an entry: owned by root, and of no date, so that the same content gives the same bytes.
    fn entry(&mut self, path: &Path, mode: u32) -> newc::Builder {
        self.inode += 1;
        newc::Builder::new(&path.to_string_lossy())
            .ino(self.inode)
            .mode(mode)
            .nlink(1)
    }

    fn parents(&mut self, path: &Path) -> Result<()> {
        let mut parents: Vec<_> = path
            .ancestors()
            .skip(1)
            .filter(|dir| *dir != Path::new(""))
            .collect();
        parents.reverse();
        for dir in parents {
            if self.dirs.insert(dir.to_owned()) {
                self.bytes_of(dir, DIR, b"")?;
            }
        }
        Ok(())
    }

    fn dir(&mut self, path: &str) -> Result<()> {
        self.parents(&Path::new(path).join("file"))
    }

    fn bytes(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.parents(Path::new(path))?;
        self.bytes_of(Path::new(path), mode, content)
    }

    fn bytes_of(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len())?;
        let mut writer = self.entry(path, mode).write(&mut self.out, size);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }

    fn file(&mut self, path: &str, from: &Path) -> Result<()> {
        self.parents(Path::new(path))?;
        let mut input =
            File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
        let meta = input.metadata()?;
        let size = u32::try_from(meta.len()).with_context(|| {
            format!("{} is too large for a cpio archive (4 GiB)", from.display())
        })?;
        let mode = 0o100_000 | (meta.permissions().mode() & 0o777);
        let mut writer = self.entry(Path::new(path), mode).write(&mut self.out, size);
        io::copy(&mut input, &mut writer)?;
        writer.finish()?;
        Ok(())
    }

    fn console(&mut self) -> Result<()> {
        self.parents(Path::new("dev/console"))?;
        let entry = self
            .entry(Path::new("dev/console"), CHAR)
            .rdev_major(5)
            .rdev_minor(1);
        entry.write(&mut self.out, 0).finish()?;
        Ok(())
    }

    fn finish(mut self) -> Result<W> {
        newc::trailer(&mut self.out)?;
        Ok(self.out)
    }
}

/// What goes into one boot's initramfs.
pub(crate) struct Content<'a> {
    /// An archive that comes before everything else.
    pub(crate) head: Option<&'a Path>,
    pub(crate) model: Option<&'a Model>,
    /// Programs and other files: the path in the system, and the file.
    pub(crate) files: &'a [(String, PathBuf)],
    /// A directory whose content is laid over everything.
    pub(crate) overlay: Option<&'a Path>,
    /// A shell script to run; without one there is an interactive shell.
    pub(crate) command: Option<&'a str>,
}

/// Writes the initramfs to `to`.
pub(crate) fn write(cx: &Context, content: &Content<'_>, to: &Path) -> Result<()> {
    let mut out = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    if let Some(head) = content.head {
        io::copy(&mut File::open(head)?, &mut out)?;
    }
    if let Some(model) = content.model {
        let part = model_part(cx, model)?;
        io::copy(&mut File::open(part)?, &mut out)?;
    }
    let mut archive = Archive::new(BufWriter::new(out));
    system(&mut archive, INIT, MOTD, "PS1='llamux:\\w# '\n")?;
    for (path, file) in content.files {
        archive.file(path, file)?;
    }
    if let Some(dir) = content.overlay {
        overlay(&mut archive, dir, dir)?;
    }
    if let Some(command) = content.command {
        let script = format!("#!/bin/sh\n{command}\n");
        archive.bytes("run/llamux/command", 0o100_755, script.as_bytes())?;
    }
    archive.finish()?.flush()?;
    Ok(())
}

/// Writes the system of the live image, without its model, to `to`. A model that is not in the initrd is `from_medium`.
pub(crate) fn live(
    files: &[(String, PathBuf)],
    from_medium: Option<&str>,
    to: &Path,
) -> Result<()> {
    let out = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    // Without a date and a name, so that the same content gives the same bytes.
    let mut gzip = sh::cmd("gzip")
        .args(["-n", "-9"])
        .stdin(Stdio::piped())
        .stdout(out)
        .spawn()
        .context("cannot run gzip")?;
    let input = gzip.stdin.take().context("gzip's input is piped")?;
    let mut archive = Archive::new(BufWriter::new(input));
    system(&mut archive, LIVE_INIT, LIVE_MOTD, LIVE_PROFILE)?;
    for dir in ["mnt", "media"] {
        archive.dir(dir)?;
    }
    for (name, script) in LIVE_SCRIPTS {
        let path = format!("usr/lib/llamux/{name}");
        archive.bytes(&path, 0o100_755, script.as_bytes())?;
    }
    if let Some(model) = from_medium {
        archive.bytes("etc/llamux-model", 0o100_644, model.as_bytes())?;
    }
    for (path, file) in files {
        archive.file(path, file)?;
    }
    drop(archive.finish()?.into_inner()?);
    if !gzip.wait()?.success() {
        bail!("gzip failed");
    }
    Ok(())
}

/// What every system has: directories, busybox, and its own first program, greeting and profile.
fn system<W: Write>(archive: &mut Archive<W>, init: &str, motd: &str, profile: &str) -> Result<()> {
    for dir in [
        "dev", "proc", "sys", "tmp", "root", "run", "usr/bin", "usr/sbin",
    ] {
        archive.dir(dir)?;
    }
    archive.console()?;
    for (link, to) in [("bin", "usr/bin"), ("sbin", "usr/sbin")] {
        archive.bytes(link, LINK, to.as_bytes())?;
    }
    let busybox = setup::busybox().context("there is no static busybox: `cargo xtask setup`")?;
    archive.file("usr/bin/busybox", &busybox)?;
    for applet in sh::read(sh::cmd(&busybox).arg("--list"))?.split_whitespace() {
        if applet != "busybox" {
            archive.bytes(&format!("usr/bin/{applet}"), LINK, b"busybox")?;
        }
    }
    archive.bytes("init", 0o100_755, init.as_bytes())?;
    archive.bytes("etc/motd", 0o100_644, motd.as_bytes())?;
    archive.bytes(
        "etc/passwd",
        0o100_644,
        b"root::0:0:root:/root:/bin/sh\nnobody::65534:65534:nobody:/:/bin/sh\n",
    )?;
    archive.bytes("etc/group", 0o100_644, b"root:x:0:\nnogroup:x:65534:\n")?;
    archive.bytes("etc/profile", 0o100_644, profile.as_bytes())
}

fn overlay<W: Write>(archive: &mut Archive<W>, base: &Path, dir: &Path) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .with_context(|| format!("cannot list {}", dir.display()))?
        .collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A system of ours has no /bin of its own: it is a link, and what is laid there goes to its end.
        let name = path.strip_prefix(base)?.to_string_lossy().into_owned();
        let name = match name.split_once('/') {
            Some((top @ ("bin" | "sbin"), rest)) => format!("usr/{top}/{rest}"),
            _ => name,
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if name != "bin" && name != "sbin" {
                archive.dir(&name)?;
            }
            overlay(archive, base, &path)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path)?;
            archive.bytes(&name, LINK, target.to_string_lossy().as_bytes())?;
        } else {
            archive.file(&name, &path)?;
        }
    }
    Ok(())
}

/// Where models are in these systems, in which `/lib` is a directory.
const MODELS: &str = "lib/firmware/llamux";

/// Writes an archive whose model can be used in place: its data begin `shift` bytes in front of a page.
pub(crate) fn in_place(
    out: impl Write,
    name: &str,
    model: impl io::Read,
    size: u64,
    shift: usize,
) -> Result<()> {
    head::write(out, (MODELS, name), model, size, shift)
}

/// Such an archive of a model, made once.
pub(crate) fn in_place_part(cx: &Context, model: &Model) -> Result<PathBuf> {
    part(cx, model, "-in-place", |out| {
        let input = File::open(&model.file)?;
        in_place(out, &model.name, input, model.bytes, 0)
    })
}

/// The archive with the model in it, made once.
fn model_part(cx: &Context, model: &Model) -> Result<PathBuf> {
    part(cx, model, "", |out| {
        let mut archive = Archive::new(out);
        archive.file(&format!("{MODELS}/{}.gguf", model.name), &model.file)?;
        archive.finish()?.flush()?;
        Ok(())
    })
}

/// What `make` writes for a model, kept until the model changes.
fn part(
    cx: &Context,
    model: &Model,
    kind: &str,
    make: impl FnOnce(BufWriter<File>) -> Result<()>,
) -> Result<PathBuf> {
    let meta = fs::metadata(&model.file)?;
    let key = format!(
        "{}-{}-{}-{}",
        model.name,
        meta.len(),
        meta.mtime(),
        meta.ino()
    );
    let part = cx.cache_dir("initramfs")?.join(format!("{key}{kind}.cpio"));
    if !part.exists() {
        eprintln!("initramfs: packing {}", model.file.display());
        let new = part.with_extension("new");
        make(BufWriter::with_capacity(1 << 20, File::create(&new)?))?;
        fs::rename(&new, &part)?;
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_its_directories_before_its_files() {
        let mut archive = Archive::new(Vec::new());
        archive.bytes("a/b/c", 0o100_644, b"text").unwrap();
        archive.bytes("a/d", 0o100_755, b"more").unwrap();
        let bytes = archive.finish().unwrap();
        let mut names = Vec::new();
        let mut input = bytes.as_slice();
        loop {
            let reader = newc::Reader::new(input).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push((reader.entry().name().to_owned(), reader.entry().mode()));
            input = reader.finish().unwrap();
        }
        let expected = [
            ("a", DIR),
            ("a/b", DIR),
            ("a/b/c", 0o100_644),
            ("a/d", 0o100_755),
        ];
        assert_eq!(names, expected.map(|(name, mode)| (name.to_owned(), mode)));
    }
}
