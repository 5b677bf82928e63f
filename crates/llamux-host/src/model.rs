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

/// A model file, mapped into memory.
pub struct ModelFile {
    path: PathBuf,
    /// `None` for a file without a byte, which can not be mapped.
    map: Option<Mmap>,
}

impl ModelFile {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| {
            format!("{}: cannot open; --model takes a GGUF file", path.display())
        })?;
        let metadata = file
            .metadata()
            .with_context(|| format!("{}: cannot read", path.display()))?;
        let map = if metadata.is_file() && metadata.len() == 0 {
            None
        } else {
            let options = MmapOptions::new();
            // SAFETY: As with every mapped file, one who truncates it meanwhile ends this process.
            // What others write to it is read as weights or indices that are checked when used.
            let map = unsafe { options.map(&file) };
            Some(map.with_context(|| {
                format!("{}: cannot map; --model takes a GGUF file", path.display())
            })?)
        };
        Ok(Self {
            path: path.to_owned(),
            map,
        })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads its directory.
    pub fn gguf(&self) -> Result<Gguf<'_>> {
        Gguf::parse(self.bytes()).map_err(|error| self.error(error))
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
            Error::Context { .. } => "; raise --context or shorten the text",
            _ => "",
        };
        anyhow!("{}: {error}{fix}", self.path.display())
    }

    /// Has the whole file read ahead, since all weights will be.
    fn read_ahead(&self) {
        if let Some(map) = &self.map {
            // Only hints.
            let _ = map.advise(Advice::WillNeed);
            #[cfg(target_os = "linux")]
            let _ = map.advise(Advice::PopulateRead);
        }
    }
}

/// The memory of one loaded model.
pub struct Arena {
    map: MmapMut,
    options: Options,
}

impl Arena {
    /// Maps as much memory as the model needs.
    pub fn new(file: &ModelFile, options: Options) -> Result<Self> {
        let plan = Plan::new(file.bytes(), &options).map_err(|error| file.error(error))?;
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
        Engine::load(
            file.bytes(),
            &mut self.map,
            &self.options,
            kernels,
            executor,
        )
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
