// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! One question and its answer; see `llama_command(2)`.

use std::time::{Duration, Instant};

use llamux_sys as sys;

use crate::{Error, Grammar};

/// A question, and how it is to be answered.
///
/// What is not set is left to the kernel.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a command does nothing until it is asked"]
pub struct Command {
    prompt: String,
    raw: bool,
    no_wait: bool,
    max_tokens: Option<u32>,
    timeout: Option<Duration>,
    seed: u64,
    temperature: Option<f64>,
    top_k: Option<u32>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    repeat_penalty: Option<f64>,
    grammar: Option<Grammar>,
    stops: Vec<String>,
    log_probabilities: bool,
    keep: bool,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The model ended it.
    End,
    /// As many tokens as were asked for, or as the context holds.
    Length,
    /// The time was up.
    Timeout,
    /// A signal arrived.
    Interrupted,
    /// It outgrew the kernel's buffer, or this library's.
    Buffer,
    /// One of the texts came that end an answer.
    Stopped,
    /// It was cancelled.
    Cancelled,
    /// A reason that this library does not know.
    Unknown(u32),
}

impl StopReason {
    pub(crate) fn from_raw(raw: u32) -> Self {
        match raw {
            sys::LLAMA_STOP_END => Self::End,
            sys::LLAMA_STOP_LENGTH => Self::Length,
            sys::LLAMA_STOP_TIMEOUT => Self::Timeout,
            sys::LLAMA_STOP_INTERRUPTED => Self::Interrupted,
            sys::LLAMA_STOP_BUFFER => Self::Buffer,
            sys::LLAMA_STOP_STRING => Self::Stopped,
            sys::LLAMA_STOP_CANCELLED => Self::Cancelled,
            other => Self::Unknown(other),
        }
    }

    /// One word for programs: `end`, `length`, `timeout`, `interrupted`, `buffer`, `stopped`, `cancelled`,
    /// `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Length => "length",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
            Self::Buffer => "buffer",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What the model said.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The text. It comes from a language model: show it to people, do not run it.
    pub text: String,
    /// Tokens of the prompt, chat format included.
    pub prompt_tokens: u32,
    /// Those of them that the cache had, of a [`Session`](crate::Session) only.
    pub cached_tokens: u32,
    /// Tokens generated.
    pub tokens: u32,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// How long the call took, waiting included.
    pub elapsed: Duration,
    /// How long it took until the first part of the text was there, if it came in parts.
    pub first: Option<Duration>,
}

impl Command {
    /// Asks `prompt`, put into the model's chat format.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            ..Self::default()
        }
    }

    /// Leaves the chat format out: the model continues the text.
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// Waits for a model that is still being loaded (the default), or fails with
    /// [`Error::Loading`].
    pub fn wait(mut self, wait: bool) -> Self {
        self.no_wait = !wait;
        self
    }

    /// Generates at most so many tokens, at least one.
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Gives up after this time, the wait for the model and for other callers included. What is
    /// there by then is the answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Seeds the random numbers: the same seed gives the same answer. 0 lets the kernel draw one.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How freely tokens are drawn, 0 to 10; 0 always takes the likeliest.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Draws among the so many likeliest tokens, at least one.
    pub fn top_k(mut self, top_k: u32) -> Self {
        self.top_k = Some(top_k);
        self
    }

    /// Draws among the likeliest tokens whose probabilities add up to this, above 0 to 1.
    pub fn top_p(mut self, top_p: f64) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// Draws among tokens at least so probable as this part of the likeliest one's probability, 0
    /// to 1.
    pub fn min_p(mut self, min_p: f64) -> Self {
        self.min_p = Some(min_p);
        self
    }

    /// Makes recent tokens less likely, above 0 to 10; 1 leaves them alone.
    pub fn repeat_penalty(mut self, penalty: f64) -> Self {
        self.repeat_penalty = Some(penalty);
        self
    }

    /// Answers with a text of this grammar and nothing else. An answer whose reason to end is not
    /// [`StopReason::End`] is the beginning of such a text.
    pub fn grammar(mut self, grammar: Grammar) -> Self {
        self.grammar = Some(grammar);
        self
    }

    /// Ends the answer where it would say this text, which is not part of it. Of a
    /// [`Session`](crate::Session) only; at most 16 texts of 64 bytes.
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.stops.push(text.into());
        self
    }

    /// Keeps how likely the tokens of the answer were, for
    /// [`Session::log_probabilities`](crate::Session::log_probabilities).
    pub fn log_probabilities(mut self, keep: bool) -> Self {
        self.log_probabilities = keep;
        self
    }

    /// Fails with [`Error::PromptOverContext`] where a [`Session`](crate::Session) would drop its oldest turns to
    /// make room.
    pub fn keep_all(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// The same for another prompt.
    pub fn with_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// Asks, and blocks until the answer is complete.
    pub fn ask(&self) -> Result<Answer, Error> {
        if let Some(stop) = self.stops.first() {
            return Err(Error::Parameter {
                name: "stop",
                value: stop.clone(),
                allowed: "in a session only",
            });
        }
        let mut command = self.to_raw()?;
        // The kernel keeps no answer for a second call, so the buffer holds the longest there is.
        // Pages of it that stay empty are never touched.
        let mut response = vec![0u8; sys::LLAMA_RESPONSE_MAX as usize];
        command.prompt = self.prompt.as_ptr().expose_provenance() as u64;
        if let Some(grammar) = &self.grammar {
            command.grammar = grammar.table().as_ptr().expose_provenance() as u64;
        }
        command.response = response.as_mut_ptr().expose_provenance() as u64;
        command.response_len = response.len() as u64;
        let start = Instant::now();
        // SAFETY: `response` is borrowed for as long as the call takes, and has that length.
        let length = unsafe { sys::llama_command(&mut command) };
        let elapsed = start.elapsed();
        let length = length.map_err(|errno| Error::from_errno(errno, self))?;
        let fits = usize::try_from(length).is_ok_and(|length| length <= response.len());
        if fits {
            response.truncate(length as usize);
        } else if let Some(end) = response.iter().rposition(|&b| b != 0) {
            // A kernel with a longer buffer than this library's: what is not text is zeros.
            response.truncate(end + 1);
        }
        Ok(Answer {
            text: String::from_utf8(response)
                .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
            prompt_tokens: command.prompt_tokens,
            cached_tokens: 0,
            tokens: command.response_tokens,
            stop_reason: if fits {
                StopReason::from_raw(command.stop_reason)
            } else {
                StopReason::Buffer
            },
            elapsed,
            first: None,
        })
    }

    /// The prompt.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    pub(crate) fn stops(&self) -> &[String] {
        &self.stops
    }

    pub(crate) fn compiled_grammar(&self) -> Option<&[u8]> {
        self.grammar.as_ref().map(Grammar::table)
    }

    /// The options of a session, without the addresses.
    pub(crate) fn to_options(&self) -> Result<sys::llama_options, Error> {
        let raw = self.parameters()?;
        let mut flags = 0;
        for (set, flag) in [
            (self.raw, sys::LLAMA_OPTION_RAW),
            (
                raw.flags & u64::from(sys::LLAMA_GREEDY) != 0,
                sys::LLAMA_OPTION_GREEDY,
            ),
            (self.log_probabilities, sys::LLAMA_OPTION_LOGPROBS),
            (self.keep, sys::LLAMA_OPTION_KEEP),
        ] {
            if set {
                flags |= u64::from(flag);
            }
        }
        Ok(sys::llama_options {
            flags,
            seed: raw.seed,
            max_tokens: raw.max_tokens,
            timeout_ms: raw.timeout_ms,
            temperature_milli: raw.temperature_milli,
            top_k: raw.top_k,
            top_p_milli: raw.top_p_milli,
            min_p_milli: raw.min_p_milli,
            repeat_penalty_milli: raw.repeat_penalty_milli,
            ..sys::llama_options::default()
        })
    }

    /// Everything but the addresses.
    fn to_raw(&self) -> Result<sys::llama_command, Error> {
        if self.prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        self.parameters()
    }

    /// The same, whatever the prompt.
    fn parameters(&self) -> Result<sys::llama_command, Error> {
        let mut flags = 0;
        if self.raw {
            flags |= sys::LLAMA_RAW;
        }
        if !self.no_wait {
            flags |= sys::LLAMA_WAIT;
        }
        let temperature_milli = milli("temperature", self.temperature, 0.0, 10.0)?;
        if temperature_milli == Some(0) {
            flags |= sys::LLAMA_GREEDY;
        }
        let at_least_one = |name, value: Option<u32>| match value {
            Some(0) => Err(Error::Parameter {
                name,
                value: "0".into(),
                allowed: "at least 1",
            }),
            value => Ok(value.unwrap_or(0)),
        };
        Ok(sys::llama_command {
            flags: u64::from(flags),
            prompt_len: self.prompt.len() as u64,
            max_tokens: at_least_one("max_tokens", self.max_tokens)?,
            timeout_ms: self.timeout.map_or(0, timeout_ms),
            seed: self.seed,
            temperature_milli: temperature_milli.unwrap_or(0),
            top_k: at_least_one("top_k", self.top_k)?,
            top_p_milli: milli("top_p", self.top_p, 0.001, 1.0)?.unwrap_or(0),
            // Zero would be the kernel's default: a thousandth is as good as no bound.
            min_p_milli: milli("min_p", self.min_p, 0.0, 1.0)?.map_or(0, |p| p.max(1)),
            repeat_penalty_milli: milli("repeat_penalty", self.repeat_penalty, 0.001, 10.0)?
                .unwrap_or(0),
            grammar_len: self
                .grammar
                .as_ref()
                .map_or(0, |grammar| grammar.table().len() as u64),
            ..sys::llama_command::default()
        })
    }
}

/// Milliseconds for the kernel, where 0 is for ever and so never a rounded time.
fn timeout_ms(timeout: Duration) -> u32 {
    let ms = timeout.as_nanos().div_ceil(1_000_000).max(1);
    u32::try_from(ms).unwrap_or(u32::MAX)
}

/// Thousandths, as the kernel has them.
fn milli(
    name: &'static str,
    value: Option<f64>,
    least: f64,
    most: f64,
) -> Result<Option<u32>, Error> {
    let Some(value) = value else { return Ok(None) };
    if !(least..=most).contains(&value) {
        return Err(Error::Parameter {
            name,
            value: value.to_string(),
            allowed: match (least > 0.0, most > 1.0) {
                (false, false) => "0 to 1",
                (false, true) => "0 to 10",
                (true, false) => "0.001 to 1",
                (true, true) => "0.001 to 10",
            },
        });
    }
    // CAST: 0 to 10,000.
    Ok(Some((value * 1000.0).round() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_all_defaults() {
        let raw = Command::new("x").to_raw().unwrap();
        let expected = sys::llama_command {
            flags: u64::from(sys::LLAMA_WAIT),
            prompt_len: 1,
            ..Default::default()
        };
        assert_eq!(raw, expected);
    }

    #[test]
    fn everything_set_arrives() {
        let grammar = Grammar::new("root ::= \"yes\"").unwrap();
        let raw = Command::new("añb")
            .raw(true)
            .wait(false)
            .max_tokens(7)
            .timeout(Duration::from_millis(1500))
            .seed(42)
            .temperature(0.8)
            .top_k(40)
            .top_p(0.95)
            .min_p(0.05)
            .repeat_penalty(1.1)
            .grammar(grammar.clone())
            .to_raw()
            .unwrap();
        let expected = sys::llama_command {
            flags: u64::from(sys::LLAMA_RAW),
            prompt_len: 4,
            max_tokens: 7,
            timeout_ms: 1500,
            seed: 42,
            temperature_milli: 800,
            top_k: 40,
            top_p_milli: 950,
            min_p_milli: 50,
            repeat_penalty_milli: 1100,
            grammar_len: grammar.table().len() as u64,
            ..Default::default()
        };
        assert_eq!(raw, expected);
    }

    #[test]
    fn a_session_gets_the_same_parameters() {
        let command = Command::new("")
            .raw(true)
            .max_tokens(7)
            .timeout(Duration::from_millis(1500))
            .seed(42)
            .temperature(0.0)
            .top_k(40)
            .top_p(0.95)
            .min_p(0.05)
            .repeat_penalty(1.1)
            .log_probabilities(true)
            .keep_all(true);
        let options = sys::LLAMA_OPTION_RAW
            | sys::LLAMA_OPTION_GREEDY
            | sys::LLAMA_OPTION_LOGPROBS
            | sys::LLAMA_OPTION_KEEP;
        let expected = sys::llama_options {
            flags: u64::from(options),
            max_tokens: 7,
            timeout_ms: 1500,
            seed: 42,
            top_k: 40,
            top_p_milli: 950,
            min_p_milli: 50,
            repeat_penalty_milli: 1100,
            ..Default::default()
        };
        assert_eq!(command.to_options().unwrap(), expected);
        assert_eq!(Command::new("x").to_options().unwrap().flags, 0);
    }

    #[test]
    fn temperature_zero_is_greedy() {
        for temperature in [0.0, -0.0, 0.0004] {
            let raw = Command::new("x").temperature(temperature).to_raw().unwrap();
            assert_eq!(
                raw.flags,
                u64::from(sys::LLAMA_WAIT | sys::LLAMA_GREEDY),
                "temperature {temperature}"
            );
            assert_eq!(raw.temperature_milli, 0);
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let x = || Command::new("x");
        let cases = [
            (x().temperature(-0.1), "temperature"),
            (x().temperature(10.1), "temperature"),
            (x().temperature(f64::NAN), "temperature"),
            (x().top_p(0.0), "top_p"),
            (x().top_p(1.1), "top_p"),
            (x().min_p(-1.0), "min_p"),
            (x().min_p(f64::INFINITY), "min_p"),
            (x().repeat_penalty(0.0), "repeat_penalty"),
            (x().top_k(0), "top_k"),
            (x().max_tokens(0), "max_tokens"),
        ];
        for (command, expected) in cases {
            match command.to_raw() {
                Err(Error::Parameter { name, .. }) => assert_eq!(name, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
        assert!(matches!(Command::new("").to_raw(), Err(Error::EmptyPrompt)));
    }

    #[test]
    fn a_value_that_is_set_is_never_the_default() {
        let raw = Command::new("x")
            .min_p(0.0)
            .top_p(0.001)
            .timeout(Duration::ZERO)
            .to_raw()
            .unwrap();
        assert_eq!(
            (raw.min_p_milli, raw.top_p_milli, raw.timeout_ms),
            (1, 1, 1)
        );
    }

    #[test]
    fn timeouts_are_rounded_up_and_capped() {
        assert_eq!(timeout_ms(Duration::from_micros(1001)), 2);
        assert_eq!(timeout_ms(Duration::from_secs(u64::MAX)), u32::MAX);
    }
}
