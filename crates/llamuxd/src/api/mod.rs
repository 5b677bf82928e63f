// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What clients may ask: the routes below `/v1`.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod models;

use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use llamux::{Grammar, StopReason};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use tokio::sync::mpsc;
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::StreamMap;

use crate::engine::{Likelihood, Outcome, Part, Parts, Question};
use crate::error::ApiError;
use crate::gate::Place;
use crate::metrics::{Kind, Route};
use crate::server::{Caller, Server};

/// Between two signs of life while an answer is waited for.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Most texts that end an answer, and most bytes of one, as the kernel takes them.
const MAX_STOPS: (usize, usize) = (16, 64);

/// Takes a request apart. What it does not know is passed over.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let message = format!("The request is not as it should be: {}.", error.inner());
        match path.as_str() {
            "." | "?" => ApiError::bad(message),
            path => ApiError::param(path, message),
        }
    })
}

/// What all answers have in common.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Wishes {
    #[serde(default)]
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    stop: Option<OneOrMore>,
    seed: Option<i64>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    repeat_penalty: Option<f64>,
    n: Option<u32>,
    best_of: Option<u32>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    logit_bias: Option<Value>,
    grammar: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A text, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

/// The model's name, of any request.
#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) model: Option<String>,
}

impl Wishes {
    pub(crate) fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub(crate) fn usage_in_stream(&self) -> bool {
        self.stream_options
            .is_some_and(|options| options.include_usage)
    }

    /// Text of a grammar that the answer must keep to.
    pub(crate) fn grammar(&self) -> Option<&str> {
        self.grammar.as_deref()
    }

    /// How many answers.
    pub(crate) fn choices(&self, most: u32) -> Result<u32, ApiError> {
        let n = self.n.unwrap_or(1);
        if n == 0 || n > most {
            return Err(ApiError::param(
                "n",
                format!("n is {n}, and may be 1 to {most}."),
            ));
        }
        if self.best_of.is_some_and(|best| best != n) {
            return Err(ApiError::unsupported(
                "best_of",
                "best_of is not supported: use n.",
            ));
        }
        Ok(n)
    }

    /// The question, but for what is said.
    pub(crate) fn question(&self, timeout: Duration) -> Result<Question, ApiError> {
        for (name, value) in [
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
        ] {
            if value.is_some_and(|value| value != 0.0) {
                return Err(ApiError::unsupported(
                    name,
                    format!("{name} is not supported, other than 0: repeat_penalty is."),
                ));
            }
        }
        let biased = match &self.logit_bias {
            None | Some(Value::Null) => false,
            Some(Value::Object(bias)) => !bias.is_empty(),
            Some(_) => true,
        };
        if biased {
            return Err(ApiError::unsupported(
                "logit_bias",
                "logit_bias is not supported.",
            ));
        }
        let stops = self
            .stop
            .clone()
            .map(OneOrMore::into_vec)
            .unwrap_or_default();
        let (most, longest) = MAX_STOPS;
        if stops.len() > most
            || stops
                .iter()
                .any(|stop| stop.is_empty() || stop.len() > longest || stop.contains('\0'))
        {
            return Err(ApiError::param(
                "stop",
                format!("stop may be at most {most} texts of 1 to {longest} bytes, without zeros."),
            ));
        }
        // 0 has the engine draw one, which is not meant.
        let seed = |seed: i64| match seed {
            0 => u64::MAX,
            // CAST: Any number will do, as long as it is the same for the same.
            seed => seed as u64,
        };
        let within = |name: &str, value: Option<f64>, least: f64, most: f64| match value {
            Some(value) if !(least..=most).contains(&value) => Err(ApiError::param(
                name,
                format!("{name} is {value}, and may be {least} to {most}."),
            )),
            value => Ok(value),
        };
        let max_tokens = self.max_completion_tokens.or(self.max_tokens);
        if max_tokens == Some(0) {
            let name = match self.max_completion_tokens {
                Some(_) => "max_completion_tokens",
                None => "max_tokens",
            };
            return Err(ApiError::param(
                name,
                format!("{name} is 0, and must be at least 1."),
            ));
        }
        let top_k = match self.top_k {
            // As other servers have it: all of them.
            None | Some(0 | -1) => None,
            Some(k) => match u32::try_from(k) {
                Ok(k) => Some(k),
                Err(_) => {
                    return Err(ApiError::param(
                        "top_k",
                        format!("top_k is {k}, and must be positive."),
                    ))
                }
            },
        };
        Ok(Question {
            stops,
            seed: self.seed.map_or(0, seed),
            max_tokens,
            temperature: within("temperature", self.temperature, 0.0, 10.0)?,
            // A nucleus of nothing is the likeliest alone.
            top_p: within("top_p", self.top_p, 0.0, 1.0)?.map(|p| p.max(0.001)),
            top_k,
            min_p: within("min_p", self.min_p, 0.0, 1.0)?,
            repeat_penalty: within("repeat_penalty", self.repeat_penalty, 0.001, 10.0)?,
            timeout: Some(timeout),
            ..Question::default()
        })
    }
}

/// Compiles a grammar, which may take a while.
pub(crate) async fn compiled(text: String, at: &'static str) -> Result<Grammar, ApiError> {
    let compiled = tokio::task::spawn_blocking(move || Grammar::new(&text)).await;
    let failed = |reason: &dyn std::fmt::Display| {
        ApiError::param(at, format!("{at} makes no grammar: {reason}.")).code("unsupported_schema")
    };
    compiled
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))
}

/// An answer under way, of which the first part is there.
pub(crate) struct Answer {
    first: Option<Part>,
    parts: Parts,
}

/// Answers to one request, and the place that they take.
pub(crate) struct Answers {
    /// Random, for the answer's name.
    pub(crate) id: String,
    pub(crate) created: u64,
    /// The model that answers.
    pub(crate) model: String,
    answers: Vec<Answer>,
    watch: Watch,
    _place: Place,
}

/// Counts what comes, and whether it came to its end.
struct Watch {
    server: std::sync::Arc<Server>,
    open: usize,
    usage: Usage,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.open > 0 {
            self.server.metrics.cancelled.inc();
        }
    }
}

/// Tokens of all answers to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    prompt: u64,
    cached: u64,
    completion: u64,
}

impl Usage {
    pub(crate) fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        })
    }
}

/// Asks for so many answers, and waits until each has begun.
pub(crate) async fn ask(
    server: &std::sync::Arc<Server>,
    caller: &Caller,
    (route, model, place): (&str, String, Place),
    question: Question,
    n: u32,
) -> Result<Answers, ApiError> {
    let started = Instant::now();
    let mut parts: Vec<Parts> = Vec::new();
    for index in 0..n {
        let mut question = question.clone();
        if question.seed != 0 {
            question.seed = match question.seed.wrapping_add(u64::from(index)) {
                0 => 1,
                seed => seed,
            };
        }
        parts.push(server.engine.ask(caller.user, question));
    }
    let mut answers = Vec::new();
    for mut parts in parts {
        let first = match parts.recv().await {
            Some(part) => Some(part?),
            None => return Err(ended_early()),
        };
        let nothing = matches!(&first, Some(Part::End(end)) if end.tokens == 0 && end.stop_reason == StopReason::Timeout);
        if nothing {
            return Err(llamux::Error::TimedOut.into());
        }
        answers.push(Answer { first, parts });
    }
    let route = Route {
        route: route.to_owned(),
    };
    server
        .metrics
        .first
        .get_or_create(&route)
        .observe(started.elapsed().as_secs_f64());
    Ok(Answers {
        id: random_id()?,
        created: now(),
        model,
        watch: Watch {
            server: server.clone(),
            open: answers.len(),
            usage: Usage::default(),
        },
        answers,
        _place: place,
    })
}

fn ended_early() -> ApiError {
    llamux::Error::Internal {
        reason: Some("the answer ended without an end".into()),
    }
    .into()
}

impl Watch {
    /// An answer came to its end.
    fn ended(&mut self, end: &Outcome) {
        self.open = self.open.saturating_sub(1);
        // All answers have one prompt, which counts once.
        self.usage.prompt = self.usage.prompt.max(end.prompt_tokens.into());
        self.usage.cached = self.usage.cached.max(end.cached_tokens.into());
        self.usage.completion += u64::from(end.tokens);
        let tokens = &self.server.metrics.tokens;
        for (kind, count) in [
            ("prompt", end.prompt_tokens),
            ("cached", end.cached_tokens),
            ("completion", end.tokens),
        ] {
            tokens.get_or_create(&Kind { kind }).inc_by(count.into());
        }
    }
}

impl Answers {
    /// Waits for all of it: the texts, and how they ended.
    pub(crate) async fn whole(&mut self) -> Result<Vec<(String, Outcome)>, ApiError> {
        let mut all = Vec::new();
        for answer in &mut self.answers {
            let mut text = String::new();
            let mut next = answer.first.take();
            let end = loop {
                match next.take() {
                    Some(Part::Text(part)) => text += &part,
                    Some(Part::End(end)) => break end,
                    None => (),
                }
                next = match answer.parts.recv().await {
                    Some(part) => Some(part?),
                    None => return Err(ended_early()),
                };
            };
            self.watch.ended(&end);
            all.push((text, end));
        }
        Ok(all)
    }

    /// Tokens so far.
    pub(crate) fn usage(&self) -> Usage {
        self.watch.usage
    }

    /// Sends the answers as they come: what `shape` makes of each part, and at the end what `last` says.
    pub(crate) fn stream<S>(mut self, mut shape: S) -> Response
    where
        S: FnMut(&Self, Piece<'_>) -> Vec<Value> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let gone = sender.clone();
            let mut reader = Reader {
                sender,
                patience: self.watch.server.timeout(),
            };
            tokio::select! {
                biased;
                // With the answers goes what asks for them.
                () = gone.closed() => (),
                () = self.send_all(&mut reader, &mut shape) => (),
            }
        });
        Response::builder()
            .header(header::CONTENT_TYPE, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-cache")
            // For those in between who would wait for the whole.
            .header("x-accel-buffering", "no")
            .body(Body::from_stream(ReceiverStream::new(receiver)))
            .unwrap_or_default()
    }

    async fn send_all<S>(&mut self, reader: &mut Reader, shape: &mut S)
    where
        S: FnMut(&Self, Piece<'_>) -> Vec<Value> + Send + 'static,
    {
        let mut streams = StreamMap::new();
        let mut firsts = Vec::new();
        for (index, answer) in self.answers.drain(..).enumerate() {
            firsts.extend(answer.first.map(|part| (index, Ok(part))));
            streams.insert(index, ReceiverStream::new(answer.parts));
        }
        let mut open = firsts.len();
        for value in shape(self, Piece::Begin(open)) {
            if !reader.data(&value).await {
                return;
            }
        }
        let mut firsts = firsts.into_iter();
        while open > 0 {
            let next = match firsts.next() {
                Some(first) => Some(first),
                None => match time::timeout(SIGN_OF_LIFE, streams.next()).await {
                    Ok(next) => next,
                    Err(_) => match reader.send(Bytes::from_static(b": still there\n\n")).await {
                        true => continue,
                        false => return,
                    },
                },
            };
            let values = match next {
                Some((index, Ok(Part::Text(text)))) => shape(self, Piece::Text(index, &text)),
                Some((index, Ok(Part::End(end)))) => {
                    open -= 1;
                    self.watch.ended(&end);
                    shape(self, Piece::End(index, &end))
                }
                Some((_, Err(error))) => {
                    reader.data(&ApiError::from(error).body()).await;
                    return;
                }
                None => {
                    reader.data(&ended_early().body()).await;
                    return;
                }
            };
            for value in values {
                if !reader.data(&value).await {
                    return;
                }
            }
        }
        for value in shape(self, Piece::Over) {
            if !reader.data(&value).await {
                return;
            }
        }
        reader.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
    }
}

/// Where an answer goes as it comes.
struct Reader {
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
    /// How long it is still waited for, in all.
    patience: Duration,
}

impl Reader {
    /// Sends an event. Whether more is wanted.
    async fn data(&mut self, value: &Value) -> bool {
        self.send(Bytes::from(format!("data: {value}\n\n"))).await
    }

    async fn send(&mut self, bytes: Bytes) -> bool {
        let started = Instant::now();
        let sent = time::timeout(self.patience, self.sender.send(Ok(bytes))).await;
        self.patience = self.patience.saturating_sub(started.elapsed());
        matches!(sent, Ok(Ok(())))
    }
}

/// What is told of answers as they come.
pub(crate) enum Piece<'p> {
    /// So many answers begin.
    Begin(usize),
    /// A part of one.
    Text(usize, &'p str),
    /// The end of one.
    End(usize, &'p Outcome),
    /// All have ended.
    Over,
}

/// Why an answer ended, as clients know it.
pub(crate) fn finish_reason(end: &Outcome) -> &'static str {
    match end.stop_reason {
        StopReason::End | StopReason::Stopped => "stop",
        _ => "length",
    }
}

/// The tokens of an answer: their bytes, and the logarithm of how likely they were. A token that the grammar left
/// no other choice than was certain.
pub(crate) fn tokens<'t>(
    text: &'t str,
    likelihoods: &'t [Likelihood],
) -> impl Iterator<Item = (usize, &'t [u8], f64)> + 't {
    likelihoods.iter().enumerate().map(move |(index, token)| {
        let end = likelihoods
            .get(index + 1)
            .map_or(text.len(), |next| next.offset);
        let bytes = text.as_bytes().get(token.offset..end.min(text.len()));
        (
            token.offset,
            bytes.unwrap_or_default(),
            token.log.unwrap_or(0.0),
        )
    })
}

/// Letters that nobody else has.
pub(crate) fn random_id() -> Result<String, ApiError> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| {
        ApiError::new(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
        )
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// An answer as JSON.
pub(crate) fn answer(value: &impl Serialize) -> Response {
    use axum::response::IntoResponse as _;
    axum::Json(value).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(text: &str) -> Wishes {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (text, param) in [
            (r#"{"frequency_penalty": 0.5}"#, "frequency_penalty"),
            (r#"{"presence_penalty": -1}"#, "presence_penalty"),
            (r#"{"logit_bias": {"50256": -100}}"#, "logit_bias"),
            (r#"{"temperature": 11}"#, "temperature"),
            (r#"{"temperature": -0.1}"#, "temperature"),
            (r#"{"top_p": 1.1}"#, "top_p"),
            (r#"{"min_p": 2}"#, "min_p"),
            (r#"{"top_k": -2}"#, "top_k"),
            (r#"{"max_tokens": 0}"#, "max_tokens"),
            (
                r#"{"max_completion_tokens": 0, "max_tokens": 7}"#,
                "max_completion_tokens",
            ),
            (r#"{"stop": ""}"#, "stop"),
            (r#"{"stop": ["a", "b\u0000"]}"#, "stop"),
        ] {
            let error = wishes(text).question(Duration::from_secs(1)).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{text}");
            assert_eq!(error.status.as_u16(), 400);
        }
        for (text, param) in [
            (r#"{"n": 0}"#, "n"),
            (r#"{"n": 9}"#, "n"),
            (r#"{"best_of": 2}"#, "best_of"),
        ] {
            assert_eq!(
                wishes(text).choices(8).unwrap_err().param.as_deref(),
                Some(param),
                "{text}"
            );
        }
    }

    #[test]
    fn what_says_nothing_is_taken() {
        let text = r#"{"frequency_penalty": 0, "logit_bias": {}, "top_k": -1, "top_p": 0, "seed": 0, "n": 1,
                       "best_of": 1, "stop": null, "user": "me", "max_tokens": null}"#;
        let question = wishes(text).question(Duration::from_secs(1)).unwrap();
        assert_eq!((question.top_k, question.top_p), (None, Some(0.001)));
        assert_ne!(question.seed, 0);
        assert_eq!(
            wishes("{}").question(Duration::from_secs(1)).unwrap().seed,
            0
        );
        assert_eq!(wishes(text).choices(1).unwrap(), 1);
    }

    #[test]
    fn a_member_of_another_type_is_named() {
        let error = parse::<Wishes>(br#"{"stream_options": {"include_usage": 3}}"#).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("stream_options.include_usage"));
        assert_eq!(parse::<Wishes>(b"{").unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn tokens_have_their_bytes() {
        let at = |offset, log| Likelihood { log, offset };
        let likelihoods = [at(0, Some(-0.5)), at(1, None), at(3, Some(-1.0))];
        let all: Vec<_> = tokens("aéb", &likelihoods).collect();
        assert_eq!(
            all,
            [
                (0, &b"a"[..], -0.5),
                (1, "é".as_bytes(), 0.0),
                (3, b"b", -1.0)
            ]
        );
        // What a stop took away is not there.
        let cut: Vec<_> = tokens("a", &likelihoods).collect();
        assert_eq!(cut[1].1, b"");
    }
}
