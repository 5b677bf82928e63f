// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Archives whose model the kernel uses where the boot loader leaves it.
//!
//! What they must be like is in the section "In place" of Documentation/admin-guide/llamux.rst.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::path::{Component, Path};

use anyhow::{bail, Context as _, Result};
use cpio::newc;

use crate::files;
use crate::memory::mebibytes;
use crate::models::Model;

/// Where models are in an initramfs of a distribution: `/lib` is a link there, which a directory of this name
/// would be in the way of if the archive is unpacked after all.
pub const DIR: &str = "usr/lib/firmware/llamux";

/// The size of a page, which such archives are multiples of.
pub const PAGE: usize = 4096;
/// Bytes of the header of an archive's entry, which its name and a NUL follow.
pub const HEADER: usize = 110;

/// Counts what is written.
struct Counted<W> {
    out: W,
    len: usize,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.len += len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes an archive whose model can be used in place: `dir/name.gguf`, whose `size` bytes begin `shift` bytes
/// in front of a page. The same model gives the same bytes.
pub fn write(
    out: impl Write,
    (dir, name): (&str, &str),
    mut model: impl Read,
    size: u64,
    shift: usize,
) -> Result<()> {
    let mut out = Counted { out, len: 0 };
    let mut inode = 0;
    let mut entry = |path: &str, mode| {
        inode += 1;
        newc::Builder::new(path).ino(inode).mode(mode).nlink(1)
    };
    let mut parent = String::new();
    for part in Path::new(dir).components() {
        let Component::Normal(part) = part else {
            bail!("{dir} is no path below the root");
        };
        if !parent.is_empty() {
            parent.push('/');
        }
        parent.push_str(&part.to_string_lossy());
        entry(&parent, 0o040_755).write(&mut out, 0).finish()?;
    }
    let mut path = format!("{dir}/{name}.gguf");
    let begin = out.len + HEADER + path.len() + 1 + shift;
    path.extend(std::iter::repeat_n(
        '\0',
        begin.next_multiple_of(PAGE) - begin,
    ));
    let size = u32::try_from(size).context("a model of 4 GiB does not fit into an archive")?;
    let mut writer = entry(&path, 0o100_644).write(&mut out, size);
    io::copy(&mut model, &mut writer)?;
    writer.finish()?;
    newc::trailer(&mut out)?;
    let rest = out.len.next_multiple_of(PAGE) - out.len;
    out.write_all(&[0; PAGE][..rest])?;
    out.flush()?;
    Ok(())
}

/// Puts a model in front of an initramfs.
pub fn prepend(model: &Model, image: &Path) -> Result<()> {
    let [file] = model.files.as_slice() else {
        bail!(
            "{} has several files, which cannot be used in place: set IN_INITRAMFS=archive in /etc/llamux.conf",
            model.name
        );
    };
    let mut rest = File::open(image).with_context(|| format!("cannot open {}", image.display()))?;
    let begins = read_start(&mut rest)?;
    if begins
        .windows(DIR.len())
        .any(|bytes| bytes == DIR.as_bytes())
    {
        bail!(
            "{} begins with a model already: make it anew",
            image.display()
        );
    }
    let meta = rest.metadata()?;
    let needed = meta.len() + model.bytes + (2 * PAGE) as u64;
    check_space(image, needed, 0)?;
    files::replace(image, |new| {
        let mut out = BufWriter::with_capacity(1 << 20, &mut *new);
        let from = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        write(&mut out, (DIR, &model.name), from, model.bytes, 0)?;
        out.flush()?;
        drop(out);
        rest.rewind()?;
        io::copy(&mut rest, new)?;
        Ok(())
    })
}

/// As much of a file as tells what it begins with.
fn read_start(file: &mut File) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(PAGE as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// Fails unless the file system of a file has room for so many bytes, besides some that will be given back.
pub fn check_space(image: &Path, needed: u64, given_back: u64) -> Result<()> {
    let dir = match image.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let fs = rustix::fs::statvfs(dir).with_context(|| dir.display().to_string())?;
    let free = fs.f_bavail * fs.f_frsize + given_back;
    if free < needed {
        bail!(
            "{} has {} MiB free, and {} MiB are needed: free some, choose a smaller model (MODEL=), or set \
             IN_INITRAMFS=no in /etc/llamux.conf",
            dir.display(),
            free >> 20,
            mebibytes(needed)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::testing::Dir;

    /// Names and modes of an archive's entries, up to its end, and what follows.
    fn entries(mut input: &[u8]) -> (Vec<(String, u32)>, &[u8]) {
        let mut names = Vec::new();
        loop {
            let reader = newc::Reader::new(input).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                return (names, reader.finish().unwrap());
            }
            names.push((entry.name().to_owned(), entry.mode()));
            input = reader.finish().unwrap();
        }
    }

    #[test]
    fn a_model_that_is_used_in_place_begins_with_a_page() {
        let model = b"GGUF and more".repeat(1000);
        for shift in [0, 4, 32] {
            let mut bytes = Vec::new();
            let size = model.len() as u64;
            write(&mut bytes, (DIR, "name"), model.as_slice(), size, shift).unwrap();
            assert_eq!(bytes.len() % PAGE, 0);
            assert_eq!(bytes[PAGE - shift..][..model.len()], model);
            let (names, rest) = entries(&bytes);
            let dir = |name: &str| (name.to_owned(), 0o040_755);
            let expected = [
                dir("usr"),
                dir("usr/lib"),
                dir("usr/lib/firmware"),
                dir(DIR),
                (format!("{DIR}/name.gguf"), 0o100_644),
            ];
            assert_eq!(names, expected);
            assert!(rest.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for dir in ["/usr", "../usr", "usr/../.."] {
            assert!(
                write(io::sink(), (dir, "a"), io::empty(), 0, 0).is_err(),
                "{dir}"
            );
        }
    }

    #[test]
    fn an_image_gets_its_model_once() {
        let dir = Dir::new("head");
        let file = dir.write("a.gguf", b"GGUF and more".repeat(1000));
        let image = dir.write("initramfs.img", "what was there");
        let model = Model::of_file(&file).unwrap();
        prepend(&model, &image).unwrap();
        let bytes = std::fs::read(&image).unwrap();
        assert!(bytes.ends_with(b"what was there"));
        assert_eq!((bytes.len() - b"what was there".len()) % PAGE, 0);
        let error = prepend(&model, &image).unwrap_err().to_string();
        assert!(error.contains("already"), "{error}");
        assert_eq!(std::fs::read(&image).unwrap(), bytes);
        assert!(prepend(&model, &dir.0.join("absent")).is_err());
    }

    #[test]
    fn a_full_file_system_is_found_before_anything_is_written() {
        let dir = Dir::new("space");
        let image = dir.0.join("initramfs.img");
        check_space(&image, 1, 0).unwrap();
        let error = check_space(&image, 1 << 60, 0).unwrap_err().to_string();
        assert!(error.contains("MiB are needed"), "{error}");
        check_space(&image, 1 << 60, 1 << 60).unwrap();
    }
}
