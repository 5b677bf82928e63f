// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The chat formats, one entry each.
//!
//! Each writes what llama.cpp's `llama_chat_apply_template` writes under the same name. What a program
//! in the template language would add to that (dates, tools) is left out.

/// A form that models were trained to converse in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ChatML: Qwen, SmolLM2.
    /// <https://github.com/openai/openai-python/blob/release-v0.28.0/chatml.md>
    ChatMl,
    /// Zephyr, TinyLlama, StableLM.
    Zephyr,
    /// Llama 2 without a form for the system prompt, which comes in front of the first question.
    Llama2,
    /// Llama 2. <https://huggingface.co/blog/llama2#how-to-prompt-llama-2>
    Llama2Sys,
    /// Llama 2, every exchange beginning like a text.
    Llama2SysBos,
    /// Llama 2, without the spaces around texts.
    Llama2SysStrip,
    /// Llama 3.
    Llama3,
    /// Mistral, the first version.
    /// <https://github.com/mistralai/cookbook/blob/main/concept-deep-dive/tokenization/templates.md>
    MistralV1,
    /// Mistral, the third version.
    MistralV3,
    /// Mistral, the third version for vocabularies that need no spaces.
    MistralV3Tekken,
    /// Mistral, the seventh version.
    MistralV7,
    /// Gemma. It has no system prompt: that comes in front of the first question.
    Gemma,
}

impl Format {
    /// Whether the system prompt is a part of the first question.
    pub(crate) fn shares_system_turn(self) -> bool {
        self.style().shared.is_some()
    }
}

/// A part of what is written around texts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// A special token, by its spelling; text where the vocabulary has no such token.
    Mark(&'static str),
    /// Text, which is split into words together with what is beside it.
    Text(&'static str),
    /// The token at the beginning of a text.
    Begin,
    /// The token that ends an answer.
    End,
}

use Part::{Begin, End, Mark, Text};

/// What is written around the text of a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    pub(super) before: &'static [Part],
    pub(super) after: &'static [Part],
    /// Whether the text loses the spaces at its ends.
    pub(super) trim: bool,
}

/// How a format is written.
#[derive(Debug)]
pub(super) struct Style {
    pub(super) name: &'static str,
    /// In front of an exchange, which an answer ends: of the first one, and of any other.
    pub(super) exchange: [&'static [Part]; 2],
    pub(super) system: Around,
    pub(super) user: Around,
    pub(super) assistant: Around,
    /// What the model continues with its answer.
    pub(super) answer: &'static [Part],
    /// What the system prompt and the question have between them that share the user's turn; `None`
    /// where the system prompt is a turn, or has a form, of its own.
    pub(super) shared: Option<&'static [Part]>,
    /// Spelling of the token that ends an answer.
    pub(super) end: &'static str,
    /// Tokens that a vocabulary for this format has.
    pub(super) tokens: &'static [&'static str],
}

const fn around(before: &'static [Part], after: &'static [Part]) -> Around {
    Around {
        before,
        after,
        trim: false,
    }
}

const fn trimmed(around: Around) -> Around {
    Around {
        trim: true,
        ..around
    }
}

const CHATML: Style = Style {
    name: "chatml",
    exchange: [&[]; 2],
    system: around(
        &[Mark("<|im_start|>"), Text("system\n")],
        &[End, Text("\n")],
    ),
    user: around(&[Mark("<|im_start|>"), Text("user\n")], &[End, Text("\n")]),
    assistant: around(
        &[Mark("<|im_start|>"), Text("assistant\n")],
        &[End, Text("\n")],
    ),
    answer: &[Mark("<|im_start|>"), Text("assistant\n")],
    shared: None,
    end: "<|im_end|>",
    tokens: &["<|im_start|>", "<|im_end|>"],
};

const ZEPHYR: Style = Style {
    name: "zephyr",
    exchange: [&[]; 2],
    system: around(&[Mark("<|system|>"), Text("\n")], &[End, Text("\n")]),
    user: around(&[Mark("<|user|>"), Text("\n")], &[End, Text("\n")]),
    assistant: around(&[Mark("<|assistant|>"), Text("\n")], &[End, Text("\n")]),
    answer: &[Mark("<|assistant|>"), Text("\n")],
    shared: None,
    end: "",
    tokens: &[],
};

const LLAMA_2: Style = Style {
    name: "llama2",
    exchange: [&[Mark("[INST]"), Text(" ")]; 2],
    system: around(&[], &[Text("\n")]),
    user: around(&[], &[Text(" "), Mark("[/INST]")]),
    assistant: around(&[], &[End]),
    answer: &[],
    shared: None,
    end: "</s>",
    tokens: &["[INST]", "[/INST]", "</s>"],
};

const LLAMA_2_SYS: Style = Style {
    name: "llama2-sys",
    system: around(&[Text("<<SYS>>\n")], &[Text("\n<</SYS>>\n\n")]),
    ..LLAMA_2
};

const LLAMA_2_SYS_BOS: Style = Style {
    name: "llama2-sys-bos",
    exchange: [
        &[Mark("[INST]"), Text(" ")],
        &[Begin, Mark("[INST]"), Text(" ")],
    ],
    ..LLAMA_2_SYS
};

const LLAMA_2_SYS_STRIP: Style = Style {
    name: "llama2-sys-strip",
    system: trimmed(LLAMA_2_SYS.system),
    user: trimmed(LLAMA_2_SYS.user),
    assistant: trimmed(LLAMA_2_SYS.assistant),
    ..LLAMA_2_SYS
};

const LLAMA_3: Style = Style {
    name: "llama3",
    exchange: [&[]; 2],
    system: trimmed(around(
        &[
            Mark("<|start_header_id|>"),
            Text("system"),
            Mark("<|end_header_id|>"),
            Text("\n\n"),
        ],
        &[End],
    )),
    user: trimmed(around(
        &[
            Mark("<|start_header_id|>"),
            Text("user"),
            Mark("<|end_header_id|>"),
            Text("\n\n"),
        ],
        &[End],
    )),
    assistant: trimmed(around(LLAMA_3_ANSWER, &[End])),
    answer: LLAMA_3_ANSWER,
    shared: None,
    end: "<|eot_id|>",
    tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
};

const LLAMA_3_ANSWER: &[Part] = &[
    Mark("<|start_header_id|>"),
    Text("assistant"),
    Mark("<|end_header_id|>"),
    Text("\n\n"),
];

const MISTRAL_V1: Style = Style {
    name: "mistral-v1",
    exchange: [&[Text(" "), Mark("[INST]"), Text(" ")]; 2],
    system: around(&[], &[Text("\n\n")]),
    user: around(&[], &[Text(" "), Mark("[/INST]")]),
    assistant: around(&[Text(" ")], &[End]),
    answer: &[],
    shared: None,
    end: "</s>",
    tokens: &["[INST]", "[/INST]", "</s>"],
};

const MISTRAL_V3: Style = Style {
    name: "mistral-v3",
    exchange: [&[Mark("[INST]"), Text(" ")]; 2],
    user: around(&[], &[Mark("[/INST]")]),
    assistant: trimmed(MISTRAL_V1.assistant),
    ..MISTRAL_V1
};

const MISTRAL_V3_TEKKEN: Style = Style {
    name: "mistral-v3-tekken",
    exchange: [&[Mark("[INST]")]; 2],
    assistant: around(&[], &[End]),
    ..MISTRAL_V3
};

const MISTRAL_V7: Style = Style {
    name: "mistral-v7",
    exchange: [&[]; 2],
    system: around(
        &[Mark("[SYSTEM_PROMPT]"), Text(" ")],
        &[Mark("[/SYSTEM_PROMPT]")],
    ),
    user: around(&[Mark("[INST]"), Text(" ")], &[Mark("[/INST]")]),
    ..MISTRAL_V1
};

const GEMMA: Style = Style {
    name: "gemma",
    exchange: [&[]; 2],
    system: trimmed(around(&[], &[])),
    user: trimmed(around(
        &[Mark("<start_of_turn>"), Text("user\n")],
        &[End, Text("\n")],
    )),
    assistant: trimmed(around(
        &[Mark("<start_of_turn>"), Text("model\n")],
        &[End, Text("\n")],
    )),
    answer: &[Mark("<start_of_turn>"), Text("model\n")],
    shared: Some(&[Text("\n\n")]),
    end: "<end_of_turn>",
    tokens: &["<start_of_turn>", "<end_of_turn>"],
};

impl Format {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ChatMl,
        Self::Zephyr,
        Self::Llama2,
        Self::Llama2Sys,
        Self::Llama2SysBos,
        Self::Llama2SysStrip,
        Self::Llama3,
        Self::MistralV1,
        Self::MistralV3,
        Self::MistralV3Tekken,
        Self::MistralV7,
        Self::Gemma,
    ];

    /// Its name, which is llama.cpp's too.
    pub fn name(self) -> &'static str {
        self.style().name
    }

    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    pub(super) fn style(self) -> &'static Style {
        match self {
            Self::ChatMl => &CHATML,
            Self::Zephyr => &ZEPHYR,
            Self::Llama2 => &LLAMA_2,
            Self::Llama2Sys => &LLAMA_2_SYS,
            Self::Llama2SysBos => &LLAMA_2_SYS_BOS,
            Self::Llama2SysStrip => &LLAMA_2_SYS_STRIP,
            Self::Llama3 => &LLAMA_3,
            Self::MistralV1 => &MISTRAL_V1,
            Self::MistralV3 => &MISTRAL_V3,
            Self::MistralV3Tekken => &MISTRAL_V3_TEKKEN,
            Self::MistralV7 => &MISTRAL_V7,
            Self::Gemma => &GEMMA,
        }
    }

    /// The format that a program in the template language writes, by what llama.cpp looks for too.
    pub(super) fn of_template(template: &str) -> Option<Self> {
        let has = |part| template.contains(part);
        if has("<|im_start|>") {
            // Two others begin their turns with the same token.
            let other = has("<|im_sep|>") || has("<end_of_utterance>");
            (!other).then_some(Self::ChatMl)
        } else if has("[INST]") {
            Some(if has("[SYSTEM_PROMPT]") {
                Self::MistralV7
            } else if has("' [INST] ' + system_message") || has("[AVAILABLE_TOOLS]") {
                if has(" [INST]") {
                    Self::MistralV1
                } else if has("\"[INST]\"") {
                    Self::MistralV3Tekken
                } else {
                    Self::MistralV3
                }
            } else if has("content.strip()") {
                Self::Llama2SysStrip
            } else if has("bos_token + '[INST]") {
                Self::Llama2SysBos
            } else if has("<<SYS>>") {
                Self::Llama2Sys
            } else {
                Self::Llama2
            })
        } else if has("<|user|>") {
            // Others name the roles so too, and end their turns otherwise.
            let other = has("<|end|>") || has("[gMASK]") || has("<|tool_declare|>");
            let spelled = has("<|endoftext|>") && !has("<|assistant|>");
            (!other && (spelled || user_turn_ends(template))).then_some(Self::Zephyr)
        } else if has("<start_of_turn>") {
            Some(Self::Gemma)
        } else if has("<|start_header_id|>") && has("<|end_header_id|>") {
            Some(Self::Llama3)
        } else {
            None
        }
    }
}

/// Whether the user's turn of a template ends with the token that ends a text.
fn user_turn_ends(template: &str) -> bool {
    let mut turns = template.split("<|user|>").skip(1);
    turns.any(|turn| {
        let expression = turn.split("}}").next().unwrap_or("");
        expression.contains("content") && expression.contains("eos_token")
    })
}
