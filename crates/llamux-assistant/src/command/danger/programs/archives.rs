// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Archives, and files that are packed.

use crate::command::syntax::{apart, base_name, Word};

use super::super::{ChangesFiles, Effect, NeedsCare, Told};
use super::{FILES, READS};

/// Programs that `tar` may be told to pack with.
#[rustfmt::skip]
const PACKERS: &[&str] = &[
    "brotli", "bzip2", "compress", "gzip", "lbzip2", "lrzip", "lz4", "lzip", "lzma", "lzop", "pbzip2", "pigz", "pixz",
    "plzip", "pxz", "xz", "zstd", "zstdmt",
];

pub(super) fn archives(name: &str, told: Told<'_>) -> Option<Effect> {
    let verb = told.verb();
    Some(match name {
        "tar" | "bsdtar" => {
            let first = told.0.first().map_or("", |word| word.text.as_str());
            let old = !first.starts_with('-') && !first.contains('/') && !first.contains('.');
            let has = |letter: char, long: &str| {
                told.flag(letter, long) || (old && first.contains(letter))
            };
            let packs = |command: &Word| {
                let mut words = command.text.split_whitespace();
                words
                    .next()
                    .is_some_and(|name| PACKERS.contains(&base_name(name)))
                    && words.all(|word| word.starts_with('-') || word.parse::<u8>().is_ok())
            };
            let (packers, _) = apart(
                told.0,
                &["-I", "--use-compress-program", "-F"],
                &[
                    "-b", "-C", "-f", "-g", "-H", "-K", "-L", "-N", "-T", "-V", "-X",
                ],
            );
            let runs = packers.iter().any(|command| !packs(command))
                || old && first.contains(['I', 'F'])
                || told.options().any(|option| {
                    [
                        "--to-c",
                        "--checkpoint-a",
                        "--info-s",
                        "--new-volume-script",
                        "--rsh",
                        "--rmt",
                    ]
                    .iter()
                    .any(|prefix| option.starts_with(prefix))
                });
            if runs {
                (NeedsCare, "runs a command by the way")
            } else if told.long("remove-files") {
                (NeedsCare, "deletes the files that it puts into the archive")
            } else if told.long("list")
                || (has('t', "list") && !has('c', "create") && !has('x', "extract"))
            {
                READS
            } else if has('x', "extract") || told.long("get") {
                if told.long("to-stdout") || told.letter('O') || (old && first.contains('O')) {
                    READS
                } else if told.long("absolute-names")
                    || told.short('P')
                    || told.long("unlink-first")
                    || told.long("recursive-unlink")
                {
                    (NeedsCare, "may overwrite files anywhere")
                } else {
                    (ChangesFiles, "unpacks files, over those of the same names")
                }
            } else {
                (ChangesFiles, "makes or changes an archive")
            }
        }
        "unzip" => {
            if told
                .letters()
                .iter()
                .any(|letter| "ltpZvz".contains(*letter))
            {
                READS
            } else if told.short('o') {
                (
                    NeedsCare,
                    "unpacks files over those that exist, without asking",
                )
            } else {
                (ChangesFiles, "unpacks files")
            }
        }
        "zip" if told.short('m') || told.long("move") => {
            (NeedsCare, "deletes the files that it puts into the archive")
        }
        "7z" | "7za" | "7zr" | "rar" | "unrar" => match verb {
            "l" | "t" | "i" | "lt" | "lb" | "v" | "p" => READS,
            "d" => (NeedsCare, "deletes files from an archive"),
            _ => FILES,
        },
        "gzip" | "gunzip" | "bzip2" | "bunzip2" | "xz" | "unxz" | "zstd" | "unzstd" | "lz4"
        | "brotli" | "lzma" | "pigz" => {
            if told.flag('c', "stdout")
                || told.flag('t', "test")
                || told.flag('l', "list")
                || told.operands().next().is_none()
            {
                READS
            } else if told.long("rm") || told.short('f') {
                (NeedsCare, "overwrites or deletes files without asking")
            } else {
                FILES
            }
        }
        "cpio" if told.flag('t', "list") || told.letter('o') => READS,
        _ => return None,
    })
}
