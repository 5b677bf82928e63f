// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The words for the kernel's command line, and the files of boot loaders that have it.

use std::fs;
use std::mem;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};

use crate::conf::Conf;
use crate::files;
use crate::memory::{reserved_mb, Place};
use crate::models::Model;

/// Where GRUB's settings are, its drop-in files if it reads any, and ours among these.
const GRUB: &str = "etc/default/grub";
const GRUB_DIR: &str = "etc/default/grub.d";
const GRUB_FILE: &str = "llamux.cfg";
const GRUB_KEY: &str = "GRUB_CMDLINE_LINUX";
/// What GRUB puts in front of each initramfs if it is in /boot, and these files: microcode. mkinitcpio's hook of that
/// name has the same in the initramfs, but behind the model.
const GRUB_EARLY_KEY: &str = "GRUB_EARLY_INITRD_LINUX_STOCK";
const GRUB_EARLY: [&str; 6] = [
    "intel-uc.img",
    "intel-ucode.img",
    "amd-uc.img",
    "amd-ucode.img",
    "early_ucode.cpio",
    "microcode.cpio",
];
const MKINITCPIO: &str = "etc/mkinitcpio.conf";
/// What kernel-install, and mkinitcpio for unified kernel images, read.
const KERNEL_CMDLINE: &str = "etc/kernel/cmdline";
/// Where systemd-boot's entries are, and whose entries are ours.
const ENTRIES: [&str; 3] = [
    "boot/loader/entries",
    "efi/loader/entries",
    "boot/efi/loader/entries",
];
const ENTRY: &str = "linux-llamux";

/// The words that `llamux.conf` asks for. `model` is the one that is there at boot, `more` are further ones.
pub fn words(conf: &Conf, model: Option<&Model>, place: Place, more: &[Model]) -> Vec<String> {
    let needed = model.map_or(0, |model| reserved_mb(model.bytes, place));
    let more: u64 = more
        .iter()
        .map(|model| reserved_mb(model.bytes, Place::Disk))
        .sum();
    let mut words = Vec::new();
    match conf.memory_mb.unwrap_or(needed + more) {
        0 => (),
        reserved => words.push(format!("llamux_mem={reserved}M")),
    }
    // What is loaded later is none of the kernel's command line.
    if let (Some(model), Place::Head | Place::Archive) = (model, place) {
        words.push(format!("llamux.model={}", model.name));
    }
    words.extend(conf.cmdline.iter().cloned());
    words
}

/// Whether a word is one that this program writes.
fn is_ours(word: &str) -> bool {
    word.starts_with("llamux_mem=") || word.starts_with("llamux.")
}

/// A command line with our words replaced by others.
fn replaced(line: &str, words: &[String]) -> String {
    let kept = line.split_whitespace().filter(|word| !is_ours(word));
    let new = words.iter().map(String::as_str);
    // A word of CMDLINE= that is not ours by its name is not added twice.
    let kept: Vec<_> = kept
        .filter(|word| !words.iter().any(|new| new == word))
        .collect();
    kept.into_iter().chain(new).collect::<Vec<_>>().join(" ")
}

/// A boot loader's file, and what is to be done when it was changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// Its new text.
    pub text: String,
    /// What the administrator has to run.
    pub then: Option<&'static str>,
}

/// Whether GRUB must be told to put nothing in front of the model. Fails if the microcode that it puts there would be
/// nowhere then.
fn without_early(root: &Path, place: Place) -> Result<bool> {
    if place != Place::Head {
        return Ok(false);
    }
    let text = files::read_if_there(&root.join(MKINITCPIO))?.unwrap_or_default();
    let mut hooks = text.lines().filter(|line| line.starts_with("HOOKS="));
    let separates = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_';
    if hooks.any(|line| line.split(separates).any(|hook| hook == "microcode")) {
        return Ok(true);
    }
    match GRUB_EARLY.iter().find(|name| root.join("boot").join(name).exists()) {
        Some(name) => bail!(
            "GRUB puts /boot/{name} in front of the initramfs, where the model has to be: add the hook microcode to \
             HOOKS in /{MKINITCPIO}, which brings the same, or give --in-initramfs archive"
        ),
        None => Ok(false),
    }
}

/// What must change in which files, so that the next boot has these words, and the model where it is looked for.
pub fn changes(root: &Path, words: &[String], place: Place) -> Result<Vec<Change>> {
    if let Some(word) = words
        .iter()
        .find(|word| word.contains(['"', '\'', '\\', '$', '`']))
    {
        bail!("CMDLINE= has the word {word}, which boot loaders read differently: put it there by hand");
    }
    let mut changes = Vec::new();
    let mut change = |path: PathBuf, old: Option<&str>, new: String, then| {
        if old != Some(new.as_str()) {
            changes.push(Change {
                path,
                text: new,
                then,
            });
        }
    };
    let path = root.join(KERNEL_CMDLINE);
    if let Some(old) = files::read_if_there(&path)? {
        change(
            path,
            Some(&old),
            with_cmdline(&old, words),
            Some("mkinitcpio -P"),
        );
    }
    let grub = root.join(GRUB);
    if root.join(GRUB_DIR).is_dir() {
        let path = root.join(GRUB_DIR).join(GRUB_FILE);
        let mut new = format!(
            "# Written by llamux-setup.\n{GRUB_KEY}=\"${GRUB_KEY} {}\"\n",
            words.join(" ")
        );
        if without_early(root, place)? {
            new += &format!("{GRUB_EARLY_KEY}=\"\"\n");
        }
        change(
            path.clone(),
            files::read_if_there(&path)?.as_deref(),
            new,
            Some(make_menu(root)),
        );
    } else if let Some(old) = files::read_if_there(&grub)? {
        let early = without_early(root, place)?;
        let new = with_grub(&old, words, early).with_context(|| grub.display().to_string())?;
        change(grub, Some(&old), new, Some(make_menu(root)));
    }
    for dir in ENTRIES {
        let Ok(entries) = fs::read_dir(root.join(dir)) else {
            continue;
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "conf"));
        paths.sort();
        for path in paths {
            let old = files::read_if_there(&path)?.unwrap_or_default();
            if let Some(new) = with_entry(&old, words) {
                change(path, Some(&old), new, None);
            }
        }
    }
    Ok(changes)
}

/// What makes GRUB's menu anew. Debian has a command for it; Arch reads the directory of drop-in files, too, and has none.
fn make_menu(root: &Path) -> &'static str {
    if root.join("usr/sbin/update-grub").exists() {
        "update-grub"
    } else {
        "grub-mkconfig -o /boot/grub/grub.cfg"
    }
}

/// GRUB's settings with our words in `GRUB_CMDLINE_LINUX`, and nothing in front of an initramfs if that is asked for.
fn with_grub(text: &str, words: &[String], without_early: bool) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let end = format!("${GRUB_KEY} {}", words.join(" "));
    let at = grub_line(&lines, GRUB_KEY, &end)?;
    let old = at.and_then(|at| grub_value(&lines[at], GRUB_KEY));
    let old = old.unwrap_or_default();
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| old.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(old);
    if inner.contains(['"', '\'', '\\', '$', '`', '#']) {
        bail!(
            "{GRUB_KEY}={old} is not plain enough to be changed: add {} by hand",
            words.join(" ")
        );
    }
    let new = replaced(inner, words);
    set_grub_value(&mut lines, at, GRUB_KEY, &new);
    if without_early {
        let at = grub_line(&lines, GRUB_EARLY_KEY, "")?;
        set_grub_value(&mut lines, at, GRUB_EARLY_KEY, "");
    }
    Ok(lines.join("\n") + "\n")
}

/// What a line of GRUB's settings sets a key to, with its quotes.
fn grub_value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    Some(line.strip_prefix(key)?.strip_prefix('=')?.trim())
}

/// Whether a line of GRUB's settings, which are a shell script, sets a key or adds to it.
fn sets(line: &str, key: &str) -> bool {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !line.trim_start().starts_with('#')
        && line.match_indices(key).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + key.len()..]);
            !before.ends_with(in_name) && ["=", "+=", ":="].iter().any(|op| after.starts_with(op))
        })
}

/// Which line sets a key, if any does. Fails if several do, or one that is more than `KEY=value`, and says what to add
/// as the last line then.
fn grub_line(lines: &[String], key: &str, end: &str) -> Result<Option<usize>> {
    let mut found = None;
    for (at, line) in lines.iter().enumerate() {
        if !sets(line, key) {
            continue;
        }
        if found.is_some() || grub_value(line, key).is_none() {
            bail!(
                "line {}, {line:?}, sets {key} in another way, or once more: add {key}=\"{end}\" as the last line by hand",
                at + 1
            );
        }
        found = Some(at);
    }
    Ok(found)
}

/// Sets a key in a line, or at the end.
fn set_grub_value(lines: &mut Vec<String>, at: Option<usize>, key: &str, value: &str) {
    let new = format!("{key}=\"{value}\"");
    match at.and_then(|at| lines.get_mut(at)) {
        Some(line) => *line = new,
        None => lines.push(new),
    }
}

/// What a line of an entry of systemd-boot sets a key to.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix(key)?;
    rest.starts_with([' ', '\t']).then(|| rest.trim())
}

/// An entry of systemd-boot with our words in its options, if it boots our kernel.
fn with_entry(text: &str, words: &[String]) -> Option<String> {
    let ours = |line| field(line, "linux").is_some_and(|path| path.contains(ENTRY));
    if !text.lines().any(ours) {
        return None;
    }
    // There may be several lines of options, which are joined.
    Some(with_words(text, words, "options ", |line| {
        field(line, "options")
    }))
}

/// The text of `/etc/kernel/cmdline` with our words. What reads it joins its lines, and leaves out those that begin
/// with `#`.
fn with_cmdline(text: &str, words: &[String]) -> String {
    with_words(text, words, "", |line| {
        (!line.starts_with('#') && !line.trim().is_empty()).then_some(line)
    })
}

/// Lines with our words behind the others of the last line that has any, or in a new line. `old` finds the words of a
/// line, which follow `start`.
fn with_words<'a>(
    text: &'a str,
    words: &[String],
    start: &str,
    old: impl Fn(&'a str) -> Option<&'a str>,
) -> String {
    let mut rest = words;
    let from_the_end = text.lines().rev().map(|line| match old(line) {
        Some(old) => start.to_owned() + &replaced(old, mem::take(&mut rest)),
        None => line.to_owned(),
    });
    let mut lines: Vec<String> = from_the_end.collect();
    lines.reverse();
    if !rest.is_empty() {
        lines.push(start.to_owned() + &rest.join(" "));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::testing::Dir;

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn words_follow_the_configuration() {
        let model = |name: &str, bytes| Model {
            name: name.to_owned(),
            files: Vec::new(),
            bytes,
        };
        let small = model("small", 98_362_432);
        let large = model("large", 1_117_320_768);
        let mut conf = Conf::default();
        let line =
            |conf: &Conf, model, place, more: &[Model]| words(conf, model, place, more).join(" ");
        assert_eq!(
            line(&conf, Some(&small), Place::Head, &[]),
            "llamux_mem=192M llamux.model=small"
        );
        assert_eq!(
            line(&conf, Some(&small), Place::Archive, &[]),
            "llamux_mem=286M llamux.model=small"
        );
        assert_eq!(
            line(&conf, Some(&small), Place::Disk, &[]),
            "llamux_mem=286M"
        );
        assert_eq!(
            line(
                &conf,
                Some(&small),
                Place::Head,
                std::slice::from_ref(&large)
            ),
            "llamux_mem=1770M llamux.model=small"
        );
        assert_eq!(line(&conf, None, Place::Disk, &[]), "");
        conf.memory_mb = Some(4096);
        conf.cmdline = list("llamux.threads=2 quiet");
        assert_eq!(
            line(&conf, Some(&small), Place::Head, &[large]),
            "llamux_mem=4096M llamux.model=small llamux.threads=2 quiet"
        );
    }

    #[test]
    fn our_words_replace_those_from_before() {
        let words = list("llamux_mem=192M llamux.model=b quiet");
        let old = "root=/dev/sda2 llamux_mem=1G rw llamux.model=a quiet llamux.threads=2";
        let new = "root=/dev/sda2 rw llamux_mem=192M llamux.model=b quiet";
        assert_eq!(replaced(old, &words), new);
        assert_eq!(replaced(new, &words), new);
    }

    #[test]
    fn each_boot_loader_has_its_file() {
        let dir = Dir::new("boot");
        let words = list("llamux_mem=192M llamux.model=b");
        assert_eq!(changes(&dir.0, &words, Place::Archive).unwrap(), []);
        dir.write("etc/kernel/cmdline", "root=UUID=1 rw\n");
        dir.write(
            "etc/default/grub",
            "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=\"rootflags=x llamux.sig=off\"\n",
        );
        let ours = "title Llamux\nlinux /vmlinuz-linux-llamux\noptions root=UUID=1 llamux_mem=9M\noptions rw\n";
        dir.write("boot/loader/entries/llamux.conf", ours);
        dir.write(
            "boot/loader/entries/arch.conf",
            "linux /vmlinuz-linux\noptions root=UUID=1\n",
        );
        let made = changes(&dir.0, &words, Place::Archive).unwrap();
        let texts: Vec<_> = made.iter().map(|change| change.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "root=UUID=1 rw llamux_mem=192M llamux.model=b\n",
                "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=\"rootflags=x llamux_mem=192M llamux.model=b\"\n",
                "title Llamux\nlinux /vmlinuz-linux-llamux\noptions root=UUID=1\n\
                 options rw llamux_mem=192M llamux.model=b\n",
            ]
        );
        for change in &made {
            files::replace_text(&change.path, &change.text, true).unwrap();
        }
        assert_eq!(changes(&dir.0, &words, Place::Archive).unwrap(), []);
        // Debian's GRUB reads files of others, too, and so does Arch's.
        fs::create_dir(dir.0.join("etc/default/grub.d")).unwrap();
        let made = changes(&dir.0, &words, Place::Archive).unwrap();
        assert_eq!(made.len(), 1);
        assert!(made[0].path.ends_with("etc/default/grub.d/llamux.cfg"));
        let then = Some("grub-mkconfig -o /boot/grub/grub.cfg");
        assert_eq!(made[0].then, then);
        dir.write("usr/sbin/update-grub", "");
        let made = changes(&dir.0, &words, Place::Archive).unwrap();
        assert_eq!(made[0].then, Some("update-grub"));
        assert!(made[0]
            .text
            .contains("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX llamux_mem=192M llamux.model=b\""));
    }

    #[test]
    fn comments_of_a_command_line_stay_comments() {
        let words = list("llamux_mem=192M quiet");
        for (old, new) in [
            (
                "# my root llamux_mem=1G\nroot=UUID=1 rw\n",
                "# my root llamux_mem=1G\nroot=UUID=1 rw llamux_mem=192M quiet\n",
            ),
            (
                "root=UUID=1 llamux_mem=1G\n\nrw #1\n# end",
                "root=UUID=1\n\nrw #1 llamux_mem=192M quiet\n# end\n",
            ),
            ("# none\n", "# none\nllamux_mem=192M quiet\n"),
            ("", "llamux_mem=192M quiet\n"),
        ] {
            assert_eq!(with_cmdline(old, &words), new);
            assert_eq!(with_cmdline(new, &words), new);
        }
    }

    #[test]
    fn grub_puts_nothing_in_front_of_a_model() {
        let dir = Dir::new("early");
        let words = list("llamux_mem=192M");
        let path = dir.write("etc/default/grub", "GRUB_TIMEOUT=5\n");
        let text = |place| changes(&dir.0, &words, place).map(|made| made[0].text.clone());
        let plain = "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=\"llamux_mem=192M\"\n";
        // Nothing would be in front, and nobody brings microcode otherwise.
        assert_eq!(text(Place::Head).unwrap(), plain);
        dir.write("boot/amd-ucode.img", "");
        assert_eq!(text(Place::Archive).unwrap(), plain);
        let refused = |hooks: &str| {
            dir.write(MKINITCPIO, hooks);
            let error = text(Place::Head).unwrap_err().to_string();
            assert!(error.contains("GRUB puts /boot/amd-ucode.img"), "{error}");
        };
        refused("");
        refused("#HOOKS=(base microcode)\nHOOKS=(base my-microcode)\n");
        dir.write(MKINITCPIO, "HOOKS=(base microcode)\n");
        let early = "GRUB_EARLY_INITRD_LINUX_STOCK=\"\"\n";
        assert_eq!(text(Place::Head).unwrap(), plain.to_owned() + early);
        fs::write(&path, "GRUB_EARLY_INITRD_LINUX_STOCK=\"amd-ucode.img\"\n").unwrap();
        let new = early.to_owned() + "GRUB_CMDLINE_LINUX=\"llamux_mem=192M\"\n";
        assert_eq!(text(Place::Head).unwrap(), new);
        fs::create_dir(dir.0.join("etc/default/grub.d")).unwrap();
        assert!(text(Place::Head).unwrap().ends_with(early));
        assert!(!text(Place::Archive).unwrap().contains("EARLY"));
    }

    #[test]
    fn what_grub_is_told_elsewhere_is_not_lost() {
        let dir = Dir::new("elsewhere");
        let words = list("llamux_mem=192M");
        for (text, line) in [
            (
                "if true; then\n  GRUB_CMDLINE_LINUX=\"cryptdevice=a\"\nfi\n",
                2,
            ),
            ("GRUB_CMDLINE_LINUX+=\" a\"\n", 1),
            ("GRUB_CMDLINE_LINUX=a\nexport GRUB_CMDLINE_LINUX=b\n", 2),
            ("GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX=b\n", 2),
            ("test -e /a && GRUB_CMDLINE_LINUX=a\n", 1),
            (": ${GRUB_CMDLINE_LINUX:=a}\n", 1),
        ] {
            dir.write(GRUB, text);
            let error = changes(&dir.0, &words, Place::Archive).unwrap_err();
            let error = format!("{error:#}");
            let by_hand = "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX llamux_mem=192M\"";
            for part in [GRUB, &format!("line {line},"), by_hand] {
                assert!(error.contains(part), "{error}");
            }
        }
        let error = with_grub("export GRUB_EARLY_INITRD_LINUX_STOCK=a\n", &words, true);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("GRUB_EARLY_INITRD_LINUX_STOCK=\"\""),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_administrator() {
        let words = list("llamux_mem=192M");
        for line in [
            "GRUB_CMDLINE_LINUX=\"$OTHER\"",
            "GRUB_CMDLINE_LINUX=a\"b\"",
            "GRUB_CMDLINE_LINUX=\"a\" # b",
        ] {
            let error = with_grub(line, &words, false).unwrap_err().to_string();
            assert!(error.contains("by hand"), "{error}");
        }
        let others =
            "# GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX_DEFAULT=b\nMY_GRUB_CMDLINE_LINUX=c\n";
        assert_eq!(
            with_grub(others, &words, false).unwrap(),
            others.to_owned() + "GRUB_CMDLINE_LINUX=\"llamux_mem=192M\"\n"
        );
        let dir = Dir::new("words");
        assert!(changes(&dir.0, &list("a=\"b"), Place::Head).is_err());
    }
}
