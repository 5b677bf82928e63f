// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The names of the files of a split model: `NAME-00001-of-00003.gguf` and so on.

use std::path::{Path, PathBuf};

use llamux_engine::gguf::PartName;

/// All parts of the model that a file belongs to by its name, in order; `None` if it is not named like
/// a part.
pub fn parts(path: &Path) -> Option<Vec<PathBuf>> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let parts = PartName::parse(stem)?.all();
    let part = |part: PartName<'_>| path.with_file_name(format!("{part}.gguf"));
    Some(parts.map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_parts_of_a_name() {
        let all = |path: &str| {
            let parts = parts(Path::new(path))?;
            let names = parts.iter().map(|part| part.to_str().unwrap());
            Some(names.collect::<Vec<_>>().join(" "))
        };
        let both = "d/a-b-00001-of-00002.gguf d/a-b-00002-of-00002.gguf";
        assert_eq!(all("d/a-b-00001-of-00002.gguf").as_deref(), Some(both));
        assert_eq!(all("d/a-b-00002-of-00002.gguf").as_deref(), Some(both));
        for other in [
            "a.gguf",
            "a-00000-of-00002.gguf",
            "a-00003-of-00002.gguf",
            "a-1-of-2.gguf",
            "a-+0001-of-00002.gguf",
            "a-00001-of-00002.bin",
            "a-00001-of-99999.gguf",
        ] {
            assert_eq!(all(other), None, "{other}");
        }
    }
}
