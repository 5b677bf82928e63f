// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Puts a conversation into the form that a model was trained to continue.
//!
//! A file has that form as a program in a template language, `tokenizer.chat_template`. It is not
//! run: the [`Format`] that it writes is recognised in it, and so is the system prompt that a ChatML
//! template begins with when the caller gives none. A template that is not known, or none at all, is
//! taken for the first of ChatML, Llama 3 and Gemma whose tokens the vocabulary has, and for Zephyr,
//! which needs no tokens of its own, where it has none of them; [`Chat::origin`] tells.
//!
//! What a turn says is text, whatever is spelled in it: tokens for control come from the format alone.

mod format;
mod template;
mod writer;

pub use format::Format;

use core::fmt;

use crate::error::{Error, Name};
use crate::gguf::{Gguf, Optional};
use crate::tokenizer::{Vocab, Work};
use format::{Around, Style};
use template::{default_system, Literal};
use writer::Writer;

/// Longest system prompt of a template, in bytes.
pub const MAX_SYSTEM: usize = 4096;

const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// A model's chat format.
#[derive(Clone, Copy, Debug)]
pub struct Chat<'a> {
    format: Format,
    origin: Origin,
    /// The token that ends an answer.
    end: u32,
    system: Option<Literal<'a>>,
}

/// Why a model has the chat format that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller named it.
    Named,
    /// The file's template writes it.
    Template,
    /// The file has a template that is not known.
    UnknownTemplate,
    /// The file has no template.
    NoTemplate,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "as asked for",
            Self::Template => "as the file's template writes it",
            Self::UnknownTemplate => "since the file's template is not known",
            Self::NoTemplate => "since the file has no template",
        })
    }
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whoever tells the model how to behave.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

/// What one says.
#[derive(Clone, Copy, Debug)]
pub struct Message<'t> {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub text: &'t str,
}

/// How far a conversation has been written. It begins with [`Default`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    begun: bool,
    /// Whether an exchange is over.
    exchanged: bool,
    inside: Inside,
}

/// Where the end of a conversation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    /// Between exchanges.
    #[default]
    Nothing,
    /// In an exchange, between turns.
    Exchange,
    /// In the user's turn, behind the system prompt.
    SharedTurn,
    /// In the model's answer.
    Answer,
    /// Behind the token that ended the model's answer.
    EndedAnswer,
}

impl Conversation {
    /// The token that ends the model's answer is in the context. Without this, it is written when the
    /// conversation goes on, be the answer complete or not.
    pub fn end_answer(&mut self) {
        if self.inside == Inside::Answer {
            self.inside = Inside::EndedAnswer;
        }
    }
}

/// Which turn of a conversation a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The first one, which the system prompt comes before.
    First,
    /// One that follows an answer, the token that ended which is already in the context.
    Next,
}

impl<'a> Chat<'a> {
    /// Recognises the format of a file.
    pub fn recognise(gguf: &Gguf<'a>, vocab: &Vocab<'_>) -> Result<Self, Error> {
        Self::new(gguf, vocab, None)
    }

    /// The format that is `named`, or else the file's.
    pub fn new(gguf: &Gguf<'a>, vocab: &Vocab<'_>, named: Option<Format>) -> Result<Self, Error> {
        let template = gguf.str(TEMPLATE_KEY).optional()?;
        let known = template.and_then(Format::of_template);
        let (format, origin) = match (named, known) {
            (Some(format), _) => (format, Origin::Named),
            (None, Some(format)) => (format, Origin::Template),
            (None, None) => {
                let origin = match template {
                    Some(_) => Origin::UnknownTemplate,
                    None => Origin::NoTemplate,
                };
                (default_format(vocab), origin)
            }
        };
        let end = vocab.find(format.style().end);
        let end = end.filter(|&id| vocab.is_end(id)).or(vocab.eos());
        Ok(Self {
            format,
            origin,
            end: end.ok_or(Error::Unsupported {
                what: "chat template",
                name: template.map_or(Name::EMPTY, Name::from),
            })?,
            system: template
                .filter(|_| format == Format::ChatMl)
                .and_then(default_system),
        })
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Where that comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The token that ends an answer. [`Vocab::is_end`] knows others that a model may end with.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The system prompt that comes before the first question, as the template spells it.
    pub fn system(&self) -> Option<&'a str> {
        self.system.map(|system| system.text)
    }

    /// The same format with another system prompt, if that is not empty.
    #[must_use]
    pub fn with_system<'s>(self, text: &'s str) -> Chat<'s>
    where
        'a: 's,
    {
        Chat {
            system: match text {
                "" => self.system,
                text => Some(Literal::plain(text)),
            },
            ..self
        }
    }

    /// How many 64-bit words of scratch memory messages of `bytes` in all need.
    pub const fn scratch(bytes: usize) -> usize {
        Writer::scratch(if bytes > MAX_SYSTEM {
            bytes
        } else {
            MAX_SYSTEM
        })
    }

    /// Writes the tokens of a question, and of the beginning of the turn that answers it, to `out`,
    /// and returns how many they are.
    pub fn encode(
        &self,
        vocab: &Vocab<'_>,
        turn: Turn,
        question: &str,
        scratch: &mut [u64],
        out: &mut [u32],
    ) -> Result<usize, Error> {
        let mut conversation = match turn {
            Turn::First => Conversation::default(),
            Turn::Next => Conversation {
                begun: true,
                exchanged: true,
                inside: Inside::EndedAnswer,
            },
        };
        let question = Message {
            role: Role::User,
            text: question,
        };
        let pause = &mut || false;
        let work = &mut Work { scratch, pause };
        self.append(vocab, &mut conversation, &[question], true, work, out)
    }

    /// Writes the tokens of messages that continue a conversation to `out` and returns how many they
    /// are. With `answer`, the beginning of the model's turn is behind them, and what the model
    /// generates is the conversation's next message.
    ///
    /// The text of one call is split into words apart from that of the next. Where the format has a
    /// special token between two messages, which Llama 2 has behind answers alone, it is all the same
    /// how they are divided among calls; a system prompt that is put into the user's turn (Llama 2,
    /// Mistral, Gemma) should come with the question. On an error, the conversation is where it was.
    pub fn append(
        &self,
        vocab: &Vocab<'_>,
        conversation: &mut Conversation,
        messages: &[Message<'_>],
        answer: bool,
        work: &mut Work<'_>,
        out: &mut [u32],
    ) -> Result<usize, Error> {
        let mut state = *conversation;
        let mut writer = Writer::new(vocab, self.end, work, out);
        if !state.begun {
            state.begun = true;
            if let (true, Some(bos)) = (vocab.add_bos(), vocab.bos()) {
                writer.token(bos)?;
            }
            let given = messages.first().map(|message| message.role) == Some(Role::System);
            if let (false, Some(system)) = (given, self.system) {
                self.write(&mut writer, &mut state, Role::System, system)?;
            }
        }
        for message in messages {
            let text = Literal::plain(message.text);
            self.write(&mut writer, &mut state, message.role, text)?;
        }
        if answer {
            let style = self.format.style();
            self.leave(&mut writer, &mut state)?;
            self.enter(&mut writer, &mut state)?;
            writer.parts(style.answer)?;
            state.inside = Inside::Answer;
        }
        let len = writer.finish()?;
        *conversation = state;
        Ok(len)
    }

    /// Writes a turn, from wherever the conversation is.
    fn write(
        &self,
        writer: &mut Writer<'_, '_>,
        state: &mut Conversation,
        role: Role,
        text: Literal<'_>,
    ) -> Result<(), Error> {
        let style = self.format.style();
        if matches!(state.inside, Inside::Answer | Inside::EndedAnswer) {
            self.leave(writer, state)?;
        }
        self.enter(writer, state)?;
        match (role, style.shared) {
            (Role::System, Some(between)) => {
                let text = text.trimmed(style.system.trim);
                if !text.text.is_empty() {
                    match state.inside {
                        Inside::SharedTurn => writer.parts(between)?,
                        _ => writer.parts(style.user.before)?,
                    }
                    writer.text(text)?;
                    state.inside = Inside::SharedTurn;
                }
            }
            (Role::System, None) => turn(writer, &style.system, text)?,
            (Role::User, shared) => {
                match (state.inside, shared) {
                    (Inside::SharedTurn, Some(between)) => writer.parts(between)?,
                    _ => writer.parts(style.user.before)?,
                }
                writer.text(text.trimmed(style.user.trim))?;
                writer.parts(style.user.after)?;
                state.inside = Inside::Exchange;
            }
            (Role::Assistant, _) => {
                self.leave(writer, state)?;
                turn(writer, &style.assistant, text)?;
                state.inside = Inside::Nothing;
                state.exchanged = true;
            }
        }
        Ok(())
    }

    /// Begins an exchange, unless the conversation is in one.
    fn enter(&self, writer: &mut Writer<'_, '_>, state: &mut Conversation) -> Result<(), Error> {
        if state.inside == Inside::Nothing {
            let [first, next] = self.format.style().exchange;
            writer.parts(if state.exchanged { next } else { first })?;
            state.inside = Inside::Exchange;
        }
        Ok(())
    }

    /// Ends the turn that the conversation is in, if any.
    fn leave(&self, writer: &mut Writer<'_, '_>, state: &mut Conversation) -> Result<(), Error> {
        let style = self.format.style();
        match state.inside {
            Inside::Nothing | Inside::Exchange => (),
            Inside::SharedTurn => {
                writer.parts(style.user.after)?;
                state.inside = Inside::Exchange;
            }
            Inside::Answer | Inside::EndedAnswer => {
                let after = match (state.inside, style.assistant.after.split_first()) {
                    // The end is the first of them.
                    (Inside::EndedAnswer, Some((_, rest))) => rest,
                    _ => style.assistant.after,
                };
                writer.parts(after)?;
                state.inside = Inside::Nothing;
                state.exchanged = true;
            }
        }
        Ok(())
    }
}

fn turn(writer: &mut Writer<'_, '_>, around: &Around, text: Literal<'_>) -> Result<(), Error> {
    writer.parts(around.before)?;
    writer.text(text.trimmed(around.trim))?;
    writer.parts(around.after)
}

/// The format for a file whose own is not known.
fn default_format(vocab: &Vocab<'_>) -> Format {
    let has_tokens = |style: &Style| style.tokens.iter().all(|token| vocab.find(token).is_some());
    [Format::ChatMl, Format::Llama3, Format::Gemma]
        .into_iter()
        .find(|format| has_tokens(format.style()))
        .unwrap_or(Format::Zephyr)
}
