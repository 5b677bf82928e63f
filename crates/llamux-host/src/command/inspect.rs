// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `inspect`: prints what is in a file.

use anyhow::Result;
use clap::Args;
use llamux_engine::chat::{Chat, Origin};
use llamux_engine::gguf::{Gguf, Value};
use llamux_engine::{Error, Options, Plan};
use serde_json::{json, Map};

use super::{print_json, print_line, FileArgs};
use crate::model::Words;

/// How many elements of an array are shown.
const SHOWN: usize = 8;

/// The subcommand's arguments.
#[derive(Args)]
pub(super) struct Inspect {
    #[command(flatten)]
    file: FileArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(&self) -> Result<()> {
        let file = self.file.open()?;
        let gguf = file.gguf()?;
        // A file that only holds a vocabulary can not be planned for, and why is no failure here.
        let plan = Plan::of(&gguf, &Options::default());
        let mut words = Words::default();
        let chat = words
            .vocab(&gguf)
            .and_then(|vocab| Chat::recognise(&gguf, &vocab));
        if self.json {
            return print_json(&describe(&gguf, &plan, &chat));
        }

        print_line(&format!("version: {}", gguf.version()))?;
        print_line(&format!("files: {}", gguf.parts().iter().count()))?;
        print_line(&format!("bytes: {}", bytes(&gguf)))?;
        print_line(&format!("alignment: {}", gguf.alignment()))?;
        print_line(&format!("tensors: {}", gguf.tensors().count()))?;
        print_line(&format!("parameters: {}", parameters(&gguf)))?;
        match plan {
            Ok(plan) => print_line(&format!(
                "memory: {} bytes besides the file with a context of {}: \
                 {} for keys and values, {} for the vocabulary, {} for the rest",
                plan.arena_bytes(),
                plan.context(),
                plan.kv_bytes(),
                plan.vocabulary_bytes(),
                plan.scratch_bytes(),
            ))?,
            Err(error) => print_line(&format!("not loadable: {error}"))?,
        }
        match &chat {
            Ok(chat) => print_line(&format!(
                "chat format: {}, {}",
                chat.format().name(),
                chat.origin()
            ))?,
            Err(error) => print_line(&format!("chat format: none, {error}"))?,
        }
        for (key, value) in gguf.metadata() {
            print_line(&format!("key {}: {}", key.escape_ascii(), show(&value)))?;
        }
        for tensor in gguf.tensors() {
            print_line(&format!(
                "tensor {}: {:?} {}, offset {:#x}, {} bytes",
                tensor.name().escape_ascii(),
                tensor.dimensions(),
                type_name(tensor.type_name(), tensor.type_number()),
                tensor.offset(),
                tensor.data().len(),
            ))?;
        }
        Ok(())
    }
}

fn describe(
    gguf: &Gguf<'_>,
    plan: &Result<Plan, Error>,
    chat: &Result<Chat<'_>, Error>,
) -> serde_json::Value {
    let metadata: Map<_, _> = gguf
        .metadata()
        .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), as_json(&value)))
        .collect();
    let tensors: Vec<_> = gguf
        .tensors()
        .map(|tensor| {
            json!({
                "name": String::from_utf8_lossy(tensor.name()),
                "type": type_name(tensor.type_name(), tensor.type_number()),
                "dimensions": tensor.dimensions(),
                "offset": tensor.offset(),
                "bytes": tensor.data().len(),
            })
        })
        .collect();
    let memory = match plan {
        Ok(plan) => json!({
            "arena_bytes": plan.arena_bytes(),
            "kv_bytes": plan.kv_bytes(),
            "vocabulary_bytes": plan.vocabulary_bytes(),
            "scratch_bytes": plan.scratch_bytes(),
            "context": plan.context(),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let chat = match chat {
        Ok(chat) => json!({
            "format": chat.format().name(),
            "known_template": chat.origin() == Origin::Template,
            "system": chat.system(),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    json!({
        "chat": chat,
        "version": gguf.version(),
        "alignment": gguf.alignment(),
        "files": gguf.parts().iter().count(),
        "bytes": bytes(gguf),
        "parameters": parameters(gguf),
        "memory": memory,
        "metadata": metadata,
        "tensors": tensors,
    })
}

/// Bytes of all files.
fn bytes(gguf: &Gguf<'_>) -> usize {
    gguf.parts().iter().map(<[u8]>::len).sum()
}

fn parameters(gguf: &Gguf<'_>) -> u64 {
    let elements = gguf.tensors().map(|tensor| tensor.elements());
    elements.fold(0, u64::saturating_add)
}

fn type_name(name: &'static str, number: u32) -> String {
    match name {
        "" => format!("type {number}"),
        name => name.to_owned(),
    }
}

/// A value; of an array its element type, its length, and its first elements.
fn as_json(value: &Value<'_>) -> serde_json::Value {
    match *value {
        Value::U8(n) => n.into(),
        Value::I8(n) => n.into(),
        Value::U16(n) => n.into(),
        Value::I16(n) => n.into(),
        Value::U32(n) => n.into(),
        Value::I32(n) => n.into(),
        Value::U64(n) => n.into(),
        Value::I64(n) => n.into(),
        Value::F32(bits) => f32::from_bits(bits).into(),
        Value::F64(bits) => f64::from_bits(bits).into(),
        Value::Bool(b) => b.into(),
        Value::String(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::Array(array) => json!({
            "type": array.element_type().name(),
            "length": array.len(),
            "first": array.iter().take(SHOWN).map(|v| as_json(&v)).collect::<Vec<_>>(),
        }),
    }
}

/// A value in one line, strings escaped and cut.
fn show(value: &Value<'_>) -> String {
    match value {
        Value::String(bytes) => {
            const MOST: usize = 200;
            let shown = bytes.get(..MOST).unwrap_or(bytes);
            let dots = if shown.len() < bytes.len() { "..." } else { "" };
            format!(
                "\"{}\"{dots}",
                String::from_utf8_lossy(shown).escape_debug()
            )
        }
        Value::Array(array) => {
            let first: Vec<_> = array.iter().take(SHOWN).map(|v| show(&v)).collect();
            let dots = if array.len() > SHOWN { ", ..." } else { "" };
            let name = array.element_type().name();
            format!("{} of {name} [{}{dots}]", array.len(), first.join(", "))
        }
        other => as_json(other).to_string(),
    }
}
