// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The entries of boot menus: of syslinux (<https://wiki.syslinux.org/wiki/index.php?title=Config>) and of GRUB
//! (<https://www.gnu.org/software/grub/manual/grub/grub.html>), as far as the profile's own menus go.

use std::collections::BTreeSet;

/// One entry that starts a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Syslinux's label, GRUB's `--id`.
    pub(super) id: String,
    pub(super) kernel: String,
    /// The parts of the initrd, in their order.
    pub(super) initrds: Vec<String>,
    /// The kernel's command line.
    pub(super) words: Vec<String>,
}

impl Entry {
    /// The value of a word `NAME=value` of the command line.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.words
            .iter()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A menu.
#[derive(Debug, Default)]
pub(super) struct Menu {
    pub(super) entries: Vec<Entry>,
    /// Which entry is taken when nobody chooses.
    pub(super) default: Option<String>,
    /// Whether it is taken at some time.
    pub(super) timeout: bool,
    /// Files of the boot loader's own that it needs, such as modules of syslinux.
    pub(super) needs: BTreeSet<String>,
}

/// The menu of a syslinux.cfg.
pub(super) fn syslinux(text: &str) -> Menu {
    let mut menu = Menu::default();
    let mut entries: Vec<Entry> = Vec::new();
    let mut help = false;
    for line in text.lines() {
        let line = line.trim();
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (key, value) = (key.to_ascii_uppercase(), value.trim());
        if help {
            help = key != "ENDTEXT";
            continue;
        }
        match (key.as_str(), entries.last_mut()) {
            ("TEXT", _) => help = value.eq_ignore_ascii_case("help"),
            ("LABEL", _) => entries.push(Entry {
                id: value.to_owned(),
                ..Entry::default()
            }),
            ("DEFAULT", _) => menu.default = Some(value.to_owned()),
            ("TIMEOUT", _) => menu.timeout = value.parse::<u32>().is_ok_and(|tenths| tenths > 0),
            ("UI", _) | ("COM32", Some(_)) => {
                menu.needs
                    .extend(value.split_whitespace().next().map(str::to_owned));
            }
            ("LINUX", Some(entry)) => entry.kernel = value.to_owned(),
            ("INITRD", Some(entry)) => {
                entry.initrds = value.split(',').map(str::to_owned).collect()
            }
            ("APPEND", Some(entry)) => {
                entry.words = value.split_whitespace().map(str::to_owned).collect()
            }
            _ => {}
        }
    }
    entries.retain(|entry| !entry.kernel.is_empty());
    menu.entries = entries;
    menu
}

/// The menu of a grub.cfg.
pub(super) fn grub(text: &str) -> Menu {
    let mut menu = Menu::default();
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let mut words = words(line).into_iter();
        match words.next().as_deref() {
            Some("menuentry") => {
                let id = words.skip_while(|word| word != "--id").nth(1);
                entries.push(Entry {
                    id: id.unwrap_or_default(),
                    ..Entry::default()
                });
            }
            Some("set") => match words
                .next()
                .as_deref()
                .and_then(|word| word.split_once('='))
            {
                Some(("default", value)) => menu.default = Some(value.to_owned()),
                Some(("timeout", value)) => {
                    menu.timeout = value.parse::<u32>().is_ok_and(|s| s > 0)
                }
                _ => {}
            },
            Some("linux") => {
                if let Some(entry) = entries.last_mut() {
                    entry.kernel = words.next().unwrap_or_default();
                    entry.words = words.collect();
                }
            }
            Some("initrd") => {
                if let Some(entry) = entries.last_mut() {
                    entry.initrds = words.collect();
                }
            }
            _ => {}
        }
    }
    entries.retain(|entry| !entry.kernel.is_empty());
    menu.entries = entries;
    menu
}

/// The words of a line of GRUB's language, without their quotes; a comment is none.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(q)) if c == q => quote = None,
            ('#', None) if word.is_none() => break,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Vec<Entry> {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        vec![Entry {
            id: "one".to_owned(),
            kernel: "/k".to_owned(),
            initrds: owned(&["/a", "/b"]),
            words: owned(&["x=1", "y"]),
        }]
    }

    #[test]
    fn the_entries_of_syslinux_are_read() {
        let menu = syslinux(
            "# LABEL none\nUI menu.c32\ndefault one\nTIMEOUT 150\nLABEL one\nMENU LABEL It\nTEXT HELP\n\
             LINUX /not\nENDTEXT\n  linux /k\nINITRD /a,/b\nAPPEND x=1 y\nLABEL off\nCOM32 poweroff.c32\n",
        );
        assert_eq!(menu.entries, expected());
        assert_eq!(menu.default.as_deref(), Some("one"));
        assert!(menu.timeout);
        assert!(menu.needs.iter().eq(["menu.c32", "poweroff.c32"]));
        assert_eq!(menu.entries[0].value("x"), Some("1"));
    }

    #[test]
    fn the_entries_of_grub_are_read() {
        let menu = grub(
            "# linux /not\nset default=one\nset timeout=5\nmenuentry \"The # one\" --id one --hotkey o {\n\
             \tlinux /k x=1 'y'\n\tinitrd /a /b # both\n}\nmenuentry \"Off\" {\n\thalt\n}\n",
        );
        assert_eq!(menu.entries, expected());
        assert_eq!(menu.default.as_deref(), Some("one"));
        assert!(menu.timeout);
    }
}
