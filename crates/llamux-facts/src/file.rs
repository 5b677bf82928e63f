// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Facts in files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::facts::{Facts, VERSION};

/// Most bytes of a file of facts: a machine with 20,000 processes fits.
pub const MAX_BYTES: u64 = 64 << 20;

/// Why a file of facts cannot be used.
#[derive(Debug)]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What is the matter.
    pub kind: ReadErrorKind,
}

/// What is the matter with a file of facts.
#[derive(Debug)]
pub enum ReadErrorKind {
    /// It cannot be read.
    Io(io::Error),
    /// It is larger than [`MAX_BYTES`].
    TooLarge,
    /// It is no JSON, or other values are there than facts have.
    Broken(serde_json::Error),
    /// It is JSON, and says no version.
    NotFacts,
    /// It is of a version that this program does not know.
    Version(u64),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = "record it anew with \"llama doctor --record FILE\"";
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            ReadErrorKind::Io(e) => write!(f, "{e}"),
            ReadErrorKind::TooLarge => {
                let most = MAX_BYTES >> 20;
                write!(f, "it is larger than {most} MiB, so it holds no facts of a machine; {again}")
            }
            ReadErrorKind::Broken(e) => write!(f, "it does not hold facts: {e}; {again}"),
            ReadErrorKind::NotFacts => write!(f, "it does not hold facts: it names no version; {again}"),
            ReadErrorKind::Version(version) => write!(
                f,
                "its facts are of version {version}, and this program reads version {VERSION}; {again}"
            ),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads facts from a file.
pub fn read(path: &Path) -> Result<Facts, ReadError> {
    let read = || {
        let mut bytes = vec![];
        File::open(path)?
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let result = read()
        .map_err(ReadErrorKind::Io)
        .and_then(|bytes| parse(&bytes));
    result.map_err(|kind| ReadError {
        path: path.to_owned(),
        kind,
    })
}

/// Facts of the bytes of a file.
pub fn parse(bytes: &[u8]) -> Result<Facts, ReadErrorKind> {
    #[derive(Deserialize)]
    struct Head {
        version: Option<u64>,
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ReadErrorKind::TooLarge);
    }
    let head: Head = serde_json::from_slice(bytes).map_err(ReadErrorKind::Broken)?;
    match head.version {
        None => Err(ReadErrorKind::NotFacts),
        Some(version) if version != u64::from(VERSION) => Err(ReadErrorKind::Version(version)),
        Some(_) => serde_json::from_slice(bytes).map_err(ReadErrorKind::Broken),
    }
}

/// Writes facts to a file, one process, unit or other thing of a list on each line.
pub fn write(path: &Path, facts: &Facts) -> io::Result<()> {
    let value = serde_json::to_value(facts)?;
    let mut text = String::from("{\n");
    let fields: Vec<_> = value.as_object().into_iter().flatten().collect();
    for (i, (name, value)) in fields.iter().enumerate() {
        let end = if i + 1 == fields.len() { "\n" } else { ",\n" };
        match value.as_array().filter(|list| !list.is_empty()) {
            Some(list) => {
                let rows: Vec<_> = list.iter().map(ToString::to_string).collect();
                text += &format!("\"{name}\":[\n{}\n]{end}", rows.join(",\n"));
            }
            None => text += &format!("\"{name}\":{value}{end}"),
        }
    }
    text += "}\n";
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_facts_is_refused_with_its_name_and_the_way_out() {
        let dir = std::env::temp_dir().join(format!("llamux-facts-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let good = serde_json::to_string(&Facts {
            version: VERSION,
            ..Facts::default()
        })
        .unwrap();
        let half = good.get(..good.len() / 2).unwrap();
        let table: [(&str, &[u8], &str); 8] = [
            ("empty.json", b"", "EOF"),
            ("no-json.json", b"MZ\x90\0\xff", "expected value"),
            ("list.json", b"[1,2]", "it does not hold facts"),
            ("other.json", b"{}", "names no version"),
            (
                "new.json",
                br#"{"version":2}"#,
                "version 2, and this program reads version 1",
            ),
            (
                "kinds.json",
                br#"{"version":1,"memory":{"total":"much"}}"#,
                "invalid type",
            ),
            (
                "number.json",
                br#"{"version":1,"memory":{"total":-5}}"#,
                "invalid value",
            ),
            ("half.json", half.as_bytes(), "EOF"),
        ];
        for (name, bytes, part) in table {
            let path = dir.join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(part), "{error}");
            assert!(error.contains("--record"), "{error}");
        }
        let large = dir.join("large.json");
        File::create(&large)
            .unwrap()
            .set_len(MAX_BYTES + 1)
            .unwrap();
        assert!(read(&large)
            .unwrap_err()
            .to_string()
            .contains("larger than 64 MiB"));
        assert!(read(&dir.join("none"))
            .unwrap_err()
            .to_string()
            .contains("No such file"));
        let mut facts = Facts {
            version: VERSION,
            ..Facts::default()
        };
        facts.missing = vec![
            crate::facts::Missing {
                what: "\n\"x".into(),
                why: "y".into()
            };
            2
        ];
        let good = dir.join("good.json");
        write(&good, &facts).unwrap();
        assert_eq!(read(&good).unwrap(), facts);
        assert_eq!(
            std::fs::read_to_string(good)
                .unwrap()
                .matches("\"why\"")
                .count(),
            2
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn deep_and_odd_files_end_without_a_panic() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(deep.as_bytes()).is_err());
        let known = format!("{{\"version\":1,\"disks\":{deep}}}");
        assert!(parse(known.as_bytes()).is_err());
        // What a newer version of the same format adds is passed over.
        let more = br#"{"version":1,"gpu":[{"busy":7}]}"#;
        assert!(parse(more).is_ok());
    }
}
