// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The models that there are: those that are installed, and those that packages bring.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};
use serde::Deserialize;

/// Where models are: those of packages, and the administrator's own.
pub const DIRS: [&str; 2] = ["usr/lib/firmware/llamux", "var/lib/llamux"];

/// A model that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What the kernel calls it: the file's name without `.gguf`.
    pub name: String,
    /// Its file, or the parts of one that is split.
    pub files: Vec<PathBuf>,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Model {
    /// The model of a file, and of the other parts if it is one of a split model.
    pub fn of_file(file: &Path) -> Result<Self> {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // The name is a kernel parameter and a file name in the initramfs.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            bail!(
                "the name of {} has characters other than letters, digits, `-`, `_` and `.`: rename it",
                file.display()
            );
        }
        let files = parts(file, &name);
        let mut bytes = 0;
        for file in &files {
            let shown = || format!("cannot read {}", file.display());
            let mut magic = [0; 4];
            let mut opened = File::open(file).with_context(shown)?;
            opened.read_exact(&mut magic).with_context(shown)?;
            if magic != *b"GGUF" {
                bail!("{} is not a GGUF file", file.display());
            }
            bytes += opened.metadata().with_context(shown)?.len();
        }
        Ok(Self { name, files, bytes })
    }

    /// The model that `MODEL=` means: a name, or the path of a file.
    pub fn find(root: &Path, name: &str) -> Result<Self> {
        if let Some(path) = name.strip_prefix('/') {
            let path = path.strip_suffix(".gguf").unwrap_or(path);
            return Self::of_file(&root.join(format!("{path}.gguf")));
        }
        let paths = DIRS.map(|dir| root.join(dir).join(format!("{name}.gguf")));
        match paths.iter().find(|path| path.exists()) {
            Some(path) => Self::of_file(path),
            None => {
                let package = known().into_iter().find(|known| known.name == name);
                let how = match package.and_then(|known| known.package) {
                    Some(package) => format!("install the package {package}"),
                    None => format!("put the file into /{}", DIRS[1]),
                };
                bail!(
                    "there is no model {name} (/{0}/{name}.gguf): {how}",
                    DIRS[0]
                )
            }
        }
    }

    /// Where the kernel finds it by its name, once the system runs.
    pub fn is_firmware(&self, root: &Path) -> bool {
        let dir = root.join(DIRS[0]);
        self.files.iter().all(|file| file.parent() == Some(&dir))
    }
}

/// The files of a model that is split like `NAME-00001-of-00003`, or the one that it has.
fn parts(file: &Path, name: &str) -> Vec<PathBuf> {
    let split = || {
        let (front, count) = name.rsplit_once("-of-")?;
        let (front, number) = front.rsplit_once('-')?;
        let number_of = |text: &str| {
            (text.len() == 5)
                .then(|| text.parse::<u32>().ok())
                .flatten()
        };
        let count = number_of(count).filter(|count| (2..=1000).contains(count))?;
        number_of(number)?;
        let part = |n| file.with_file_name(format!("{front}-{n:05}-of-{count:05}.gguf"));
        Some((1..=count).map(part).collect())
    };
    split().unwrap_or_else(|| vec![file.to_owned()])
}

/// Whether the file is a part of a split model, and not the first.
fn is_further_part(file: &Path, name: &str) -> bool {
    parts(file, name).first().map(PathBuf::as_path) != Some(file)
}

/// The models that are installed, by name, and what is wrong with files that are none.
pub fn installed(root: &Path) -> (Vec<Model>, Vec<String>) {
    let mut models: Vec<Model> = Vec::new();
    let mut complaints = Vec::new();
    for dir in DIRS {
        let Ok(entries) = fs::read_dir(root.join(dir)) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_model = path.extension().is_some_and(|ext| ext == "gguf");
            if !is_model
                || is_further_part(&path, &stem)
                || models.iter().any(|model| model.name == stem)
            {
                continue;
            }
            match Model::of_file(&path) {
                Ok(model) => models.push(model),
                Err(error) => complaints.push(format!("{error:#}")),
            }
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    complaints.sort();
    (models, complaints)
}

/// A model that is known by name.
#[derive(Clone, Debug, Deserialize)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// The package that has it, if one does.
    pub package: Option<String>,
    /// The size of its file.
    pub bytes: u64,
}

/// The models of `configs/models.toml`.
pub fn known() -> Vec<Known> {
    #[derive(Deserialize)]
    struct File {
        model: Vec<Known>,
    }
    let text = include_str!("../../../configs/models.toml");
    // PANIC: The file is part of the program, and a test reads it.
    toml::from_str::<File>(text)
        .expect("configs/models.toml")
        .model
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::testing::Dir;

    #[test]
    fn known_models_have_packages() {
        let known = known();
        let package = |name| {
            known
                .iter()
                .find(|known| known.name == name)
                .unwrap()
                .package
                .clone()
        };
        assert_eq!(
            package("smollm2-135m").as_deref(),
            Some("llamux-model-smollm2")
        );
        assert!(known.iter().all(|known| known.bytes > 1 << 20));
    }

    #[test]
    fn models_are_found_by_name_and_path() {
        let dir = Dir::new("models");
        let file = dir.write("usr/lib/firmware/llamux/a.gguf", "GGUF1");
        dir.write("var/lib/llamux/b.gguf", "GGUF22");
        dir.write("var/lib/llamux/a.gguf", "GGUF of the same name");
        dir.write("var/lib/llamux/bad.gguf", "GARBAGE");
        dir.write("var/lib/llamux/readme", "text");
        for n in 1..=2 {
            dir.write(
                &format!("var/lib/llamux/c-0000{n}-of-00002.gguf"),
                "GGUF333",
            );
        }
        let (models, complaints) = installed(&dir.0);
        let found: Vec<_> = models
            .iter()
            .map(|m| (m.name.as_str(), m.files.len(), m.bytes))
            .collect();
        assert_eq!(
            found,
            [("a", 1, 5), ("b", 1, 6), ("c-00001-of-00002", 2, 14)]
        );
        assert_eq!(complaints.len(), 1);
        assert!(
            complaints[0].contains("bad.gguf is not a GGUF file"),
            "{complaints:?}"
        );
        let a = Model::find(&dir.0, "a").unwrap();
        assert_eq!(a.files, [file]);
        assert!(a.is_firmware(&dir.0));
        let b = Model::find(&dir.0, "/var/lib/llamux/b.gguf").unwrap();
        assert_eq!(b, Model::find(&dir.0, "b").unwrap());
        assert!(!b.is_firmware(&dir.0));
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let dir = Dir::new("none");
        let said = |name: &str| format!("{:#}", Model::find(&dir.0, name).unwrap_err());
        assert!(said("smollm2-135m").contains("install the package llamux-model-smollm2"));
        assert!(said("other").contains("/var/lib/llamux"));
        assert!(said("/srv/other").contains("srv/other.gguf"));
        dir.write("srv/a b.gguf", "GGUF");
        assert!(said("/srv/a b").contains("characters other than"));
        dir.write("srv/d-00001-of-00002.gguf", "GGUF");
        assert!(said("/srv/d-00002-of-00002").contains("d-00002-of-00002.gguf"));
    }
}
