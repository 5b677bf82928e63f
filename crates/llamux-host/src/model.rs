// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Model files, and the memory that models are loaded into.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, Context as _, Result};
use llamux_engine::gguf::Gguf;
use llamux_engine::math::{Executor, Kernels};
use llamux_engine::tokenizer::{self, Vocab};
use llamux_engine::{Engine, Error, Options, Plan};
use memmap2::{Advice, Mmap, MmapMut, MmapOptions};

use crate::split;

/// A model file, mapped into memory; or all files of a model that is split.
///
/// # Invariants
///
/// `images` are the bytes of `maps`, or empty.
pub struct ModelFile {
    path: PathBuf,
    images: Vec<&'static [u8]>,
    /// None for a file without a byte, which can not be mapped.
    maps: Vec<Mmap>,
}

impl ModelFile {
    /// Opens a file. One that is named like a part of a split model stands for all of them.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = Self {
            path: path.to_owned(),
            images: vec![],
            maps: vec![],
        };
        for part in split::parts(path).unwrap_or_else(|| vec![path.to_owned()]) {
            match map(&part)? {
                Some(map) => {
                    // SAFETY: The bytes of a map stay where they are until it is dropped, which it is
                    // with this struct; `images` hands them out for no longer than that.
                    let image = unsafe { std::slice::from_raw_parts(map.as_ptr(), map.len()) };
                    // INVARIANT: The bytes of the map that follows.
                    file.images.push(image);
                    file.maps.push(map);
                }
                // INVARIANT: Empty.
                None => file.images.push(&[]),
            }
        }
        Ok(file)
    }

    /// The bytes of the files.
    pub fn images(&self) -> &[&[u8]] {
        &self.images
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads its directory.
    pub fn gguf(&self) -> Result<Gguf<'_>> {
        Gguf::parse_split(self.images()).map_err(|error| self.error(error))
    }

    /// An error of the engine, with the file's name and what can be done about it.
    pub fn error(&self, error: Error) -> anyhow::Error {
        let fix = match error {
            Error::EmptyFile
            | Error::NotGguf { .. }
            | Error::Truncated { .. }
            | Error::PastEnd { .. } => "; fetch the file again",
            Error::WrongEndian | Error::Version { .. } => "; convert the model again",
            Error::Unsupported {
                what: "chat template",
                ..
            } => "; ask with --raw",
            Error::Unsupported { .. } | Error::TensorType { .. } => {
                "; choose another model or quantization"
            }
            Error::Part { .. } => {
                "; all parts belong beside each other, as NAME-00001-of-00002.gguf and so on"
            }
            Error::Context { .. } => "; raise --context or shorten the text",
            _ => "",
        };
        anyhow!("{}: {error}{fix}", self.path.display())
    }

    /// Has the whole file read ahead, since all weights will be.
    fn read_ahead(&self) {
        for map in &self.maps {
            // Only hints.
            let _ = map.advise(Advice::WillNeed);
            #[cfg(target_os = "linux")]
            let _ = map.advise(Advice::PopulateRead);
        }
    }
}

/// Maps a file; `None` if it has no bytes.
fn map(path: &Path) -> Result<Option<Mmap>> {
    let file = File::open(path)
        .with_context(|| format!("{}: cannot open; --model takes a GGUF file", path.display()))?;
    let metadata = file
        .metadata()
        .with_context(|| format!("{}: cannot read", path.display()))?;
    if metadata.is_file() && metadata.len() == 0 {
        return Ok(None);
    }
    let options = MmapOptions::new();
    // SAFETY: As with every mapped file, one who truncates it meanwhile ends this process. What others
    // write to it is read as weights or indices that are checked when used.
    let map = unsafe { options.map(&file) };
    let map =
        map.with_context(|| format!("{}: cannot map; --model takes a GGUF file", path.display()))?;
    Ok(Some(map))
}

/// The memory of one loaded model.
pub struct Arena {
    map: MmapMut,
    options: Options,
}

impl Arena {
    /// Maps as much memory as the model needs.
    pub fn new(file: &ModelFile, options: Options) -> Result<Self> {
        let plan = Plan::of(&file.gguf()?, &options).map_err(|error| file.error(error))?;
        let bytes = plan.arena_bytes();
        let map = MmapMut::map_anon(bytes).with_context(|| {
            format!(
                "{}: no memory for the {bytes} bytes that it computes in; try a smaller --context",
                file.path.display()
            )
        })?;
        #[cfg(target_os = "linux")]
        // Only a hint.
        let _ = map.advise(Advice::HugePage);
        Ok(Self { map, options })
    }

    /// Loads the model.
    pub fn load<'a>(
        &'a mut self,
        file: &'a ModelFile,
        kernels: Kernels,
        executor: &dyn Executor,
    ) -> Result<Engine<'a>> {
        file.read_ahead();
        let gguf = file.gguf()?;
        Engine::load_parsed(&gguf, &mut self.map, &self.options, kernels, executor)
            .map_err(|error| file.error(error))
    }
}

/// The memory of a vocabulary without its model.
#[derive(Default)]
pub struct Words(Vec<u32>);

impl Words {
    /// Loads the vocabulary of a file.
    pub fn vocab<'a>(&'a mut self, gguf: &Gguf<'a>) -> Result<Vocab<'a>, Error> {
        self.0.resize(Vocab::plan(gguf)?, 0);
        Vocab::load(gguf, &mut self.0)
    }
}

/// A vocabulary without its model, which the file need not have.
pub struct Tokenizer<'a> {
    file: &'a ModelFile,
    /// The vocabulary.
    pub vocab: Vocab<'a>,
}

impl<'a> Tokenizer<'a> {
    /// Loads the vocabulary of a file.
    pub fn load(file: &'a ModelFile, words: &'a mut Words) -> Result<Self> {
        let gguf = file.gguf()?;
        let vocab = words.vocab(&gguf).map_err(|error| file.error(error))?;
        Ok(Self { file, vocab })
    }

    /// The tokens of a text, special tokens in it parsed, BOS added where the file says so.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let options = tokenizer::Options {
            add_special: true,
            parse_special: true,
        };
        let mut scratch = vec![0; Vocab::scratch(text.len())];
        let mut tokens = vec![0; text.len() + 2];
        loop {
            match self.vocab.encode(text, options, &mut scratch, &mut tokens) {
                Ok(count) => {
                    tokens.truncate(count);
                    return Ok(tokens);
                }
                Err(Error::Context { need, .. }) => tokens.resize(usize::try_from(need)?, 0),
                Err(error) => return Err(self.file.error(error)),
            }
        }
    }
}
