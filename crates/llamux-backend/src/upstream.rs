// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The server: what it is asked, and what it says.
//!
//! The protocol is OpenAI's, as far as [llama.cpp](https://github.com/ggml-org/llama.cpp/tree/master/tools/server) and
//! [vLLM](https://docs.vllm.ai/en/latest/serving/openai_compatible_server/) have it, too.

use std::time::Duration;

use llamux::backend::{End, Request, Usage};
use llamux::Role;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{json, Map, Value};

/// How long the server may take to say whether it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is asked again that says that it is busy.
const TRIES: u32 = 5;

/// Longest line of a stream.
const MAX_LINE: usize = 1 << 20;

/// A model of a server.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    client: reqwest::Client,
    url: String,
    model: String,
    key: Option<String>,
    strict: bool,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was asked is longer than the context.
    TooLong,
    /// The server cannot be reached, or the connection broke.
    Gone(String),
    /// It refuses, or says what nobody understands.
    Refused(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => f.write_str("the question is longer than the server's context"),
            Self::Gone(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        use std::error::Error as _;

        // The innermost one says what is the matter, without the address that may have a key.
        let error = error.without_url();
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            why = inner.to_string();
            source = inner.source();
        }
        Self::Gone(why)
    }
}

/// What the server says of its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Tokens of the context, if it says so.
    pub(crate) context: Option<u32>,
}

/// A part of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) end: Option<End>,
    pub(crate) usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    /// vLLM's.
    max_model_len: Option<u32>,
}

impl Upstream {
    /// The model of this name, or the first that the server lists. What is known of it.
    pub(crate) async fn find(
        client: reqwest::Client,
        cli: &crate::cli::Cli,
        key: Option<String>,
    ) -> Result<(Self, Facts), Failure> {
        let mut upstream = Self {
            client,
            url: cli.url.trim_end_matches('/').to_owned(),
            model: String::new(),
            key,
            strict: cli.strict,
        };
        let models = upstream.models().await?;
        let model = match &cli.model {
            Some(name) => models.iter().find(|model| model.id == *name),
            None => models.first(),
        };
        let Some(model) = model else {
            let names: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
            let wanted = cli.model.as_deref().unwrap_or("any");
            return Err(Failure::Refused(format!(
                "the server has no model {wanted:?}; it has {names:?}"
            )));
        };
        upstream.model.clone_from(&model.id);
        let context = match model.max_model_len {
            Some(len) => Some(len),
            None => upstream.context_of_llama_cpp().await,
        };
        Ok((upstream, Facts { context }))
    }

    /// Whether the server is there and answers.
    pub(crate) async fn is_healthy(&self) -> bool {
        self.models().await.is_ok()
    }

    async fn models(&self) -> Result<Vec<Model>, Failure> {
        let request = self.client.get(format!("{}/models", self.url));
        let response = self.with_key(request).timeout(PATIENCE).send().await?;
        let response = checked(response).await?;
        let models: Models = response.json().await.map_err(|error| {
            Failure::Refused(format!(
                "what the server lists as its models is not understood: {}",
                error.without_url()
            ))
        })?;
        Ok(models.data)
    }

    /// What llama.cpp's server tells beside the protocol.
    async fn context_of_llama_cpp(&self) -> Option<u32> {
        let root = self.url.strip_suffix("/v1")?;
        let request = self.client.get(format!("{root}/props"));
        let response = self.with_key(request).timeout(PATIENCE).send().await.ok()?;
        let props: Value = response.error_for_status().ok()?.json().await.ok()?;
        let context = props.pointer("/default_generation_settings/n_ctx")?;
        u32::try_from(context.as_u64()?).ok().filter(|&n| n > 0)
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Response, Failure> {
        let mut tries = 0;
        loop {
            let request = self.client.post(format!("{}/{path}", self.url)).json(body);
            let response = self.with_key(request).send().await?;
            let busy = matches!(
                response.status(),
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
            );
            tries += 1;
            if !busy || tries >= TRIES {
                return checked(response).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Begins with an answer. Where that is too long, and the request allows it, without the oldest turns.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Stream, Failure> {
        let mut turns = request.turns.clone();
        loop {
            let body = self.body(request, &turns);
            let path = match request.raw {
                true => "completions",
                false => "chat/completions",
            };
            match self.post(path, &body).await {
                Ok(response) => return Ok(Stream::new(response)),
                Err(Failure::TooLong) if !request.keep && leave_out(&mut turns) => (),
                Err(failure) => return Err(failure),
            }
        }
    }

    fn body(&self, request: &Request, turns: &[(Role, String)]) -> Value {
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        put("model", json!(self.model));
        put("stream", json!(true));
        put("stream_options", json!({ "include_usage": true }));
        put("max_tokens", json!(request.max_tokens));
        put("temperature", json!(request.temperature));
        // Servers differ in how large it may be.
        put("seed", json!(request.seed & 0x7fff_ffff));
        if request.temperature > 0.0 {
            put("top_p", json!(request.top_p));
        }
        if !self.strict {
            if request.top_k > 0 {
                put("top_k", json!(request.top_k));
            }
            put("min_p", json!(request.min_p));
            // llama.cpp's name, and vLLM's.
            put("repeat_penalty", json!(request.repeat_penalty));
            put("repetition_penalty", json!(request.repeat_penalty));
        }
        if request.raw {
            let text: String = turns.iter().map(|(_, text)| text.as_str()).collect();
            put("prompt", json!(text));
        } else {
            let message = |(role, text): &(Role, String)| {
                let role = match role {
                    Role::System => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                json!({ "role": role, "content": text })
            };
            put("messages", turns.iter().map(message).collect());
        }
        Value::Object(body)
    }

    /// A text as a vector of length 1, and how many tokens it has.
    pub(crate) async fn embed(&self, text: &str) -> Result<(Vec<f32>, u32), Failure> {
        #[derive(Deserialize)]
        struct Embeddings {
            data: Vec<Embedding>,
            #[serde(default)]
            usage: RawUsage,
        }
        #[derive(Deserialize)]
        struct Embedding {
            embedding: Vec<f32>,
        }

        let body = json!({ "model": self.model, "input": text, "encoding_format": "float" });
        let response = self.post("embeddings", &body).await?;
        let answer: Embeddings = response.json().await.map_err(|error| {
            Failure::Refused(format!(
                "an embedding is not understood: {}",
                error.without_url()
            ))
        })?;
        let vector = answer.data.into_iter().next().map(|one| one.embedding);
        let mut vector = vector.unwrap_or_default();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if !length.is_normal() {
            return Err(Failure::Refused("an embedding has no direction".to_owned()));
        }
        for x in &mut vector {
            *x /= length;
        }
        Ok((vector, answer.usage.prompt_tokens))
    }
}

/// Leaves out the older half of the turns, but for a system's at the beginning. What begins then is a user's turn.
/// `false` if there is nothing to leave out.
fn leave_out(turns: &mut Vec<(Role, String)>) -> bool {
    let fixed = usize::from(turns.first().is_some_and(|turn| turn.0 == Role::System));
    let mut end = fixed + turns.len().saturating_sub(fixed) / 2;
    while turns.get(end).is_some_and(|turn| turn.0 == Role::Assistant) {
        end += 1;
    }
    // The last one is what is asked.
    if end <= fixed || end >= turns.len() {
        return false;
    }
    turns.drain(fixed..end);
    true
}

/// The response, if it is a good one.
async fn checked(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(refusal(status, &text))
}

fn refusal(status: StatusCode, text: &str) -> Failure {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let of = |key: &str| {
        let value = value.pointer(&format!("/error/{key}"));
        value.and_then(Value::as_str).unwrap_or("")
    };
    let message = match of("message") {
        // vLLM's own, which has no object around it.
        "" => value.get("message").and_then(Value::as_str).unwrap_or(""),
        message => message,
    };
    let too_long = of("type") == "exceed_context_size_error"
        || of("code") == "context_length_exceeded"
        || message.contains("maximum context length")
        || message.contains("context size");
    if too_long && status.is_client_error() {
        return Failure::TooLong;
    }
    let mut message: String = message.chars().take(300).collect();
    message.retain(|c| !c.is_control());
    Failure::Refused(format!("the server says {status}: {message}"))
}

/// An answer as it comes.
#[derive(Debug)]
pub(crate) struct Stream {
    response: Response,
    /// What came of a line that is not complete.
    rest: Vec<u8>,
}

impl Stream {
    fn new(response: Response) -> Self {
        Self {
            response,
            rest: Vec::new(),
        }
    }

    /// The next part; `None` behind the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Failure> {
        loop {
            while let Some(line) = take_line(&mut self.rest) {
                match event(&line)? {
                    Event::Nothing => (),
                    Event::Part(part) => return Ok(Some(part)),
                    Event::Done => return Ok(None),
                }
            }
            if self.rest.len() > MAX_LINE {
                return Err(Failure::Refused(
                    "a line of the stream is too long".to_owned(),
                ));
            }
            match self.response.chunk().await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// Takes a complete line, if there is one.
fn take_line(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let mut line: Vec<u8> = bytes.drain(..=end).collect();
    line.truncate(end);
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(line)
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    Part(Part),
    Done,
}

#[derive(Default, Deserialize)]
struct RawUsage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<RawUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    text: Option<String>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

/// What a line of the stream says.
fn event(line: &[u8]) -> Result<Event, Failure> {
    // Comments, and the names of events, are none of ours.
    let Some(data) = line.strip_prefix(b"data:") else {
        return Ok(Event::Nothing);
    };
    let data = data.trim_ascii();
    if data == b"[DONE]" {
        return Ok(Event::Done);
    }
    let not_understood =
        |error| Failure::Refused(format!("a line of the stream is not understood: {error}"));
    let chunk: Chunk = serde_json::from_slice(data).map_err(not_understood)?;
    if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
        let text = json!({ "error": error }).to_string();
        return Err(refusal(StatusCode::BAD_REQUEST, &text));
    }
    let mut part = Part {
        usage: chunk.usage.map(|usage| Usage {
            prompt_tokens: usage.prompt_tokens,
            cached_tokens: usage
                .prompt_tokens_details
                .and_then(|details| details.cached_tokens)
                .unwrap_or(0),
            tokens: usage.completion_tokens,
        }),
        ..Part::default()
    };
    if let Some(choice) = chunk.choices.into_iter().next() {
        let text = choice.delta.and_then(|delta| delta.content);
        part.text = text.or(choice.text).unwrap_or_default();
        part.end = choice.finish_reason.map(|reason| match reason.as_str() {
            "length" => End::Length,
            _ => End::Own,
        });
    }
    Ok(Event::Part(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(line: &str) -> Part {
        match event(line.as_bytes()) {
            Ok(Event::Part(part)) => part,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_of_a_stream_are_read() {
        let chat = part(r#"data: {"choices":[{"delta":{"content":"Hé"},"finish_reason":null}]}"#);
        assert_eq!((chat.text.as_str(), chat.end), ("Hé", None));
        let first = part(r#"data: {"choices":[{"delta":{"role":"assistant","content":null}}]}"#);
        assert_eq!(first, Part::default());
        let text = part(r#"data:{"choices":[{"text":"a","finish_reason":"length"}]}"#);
        assert_eq!((text.text.as_str(), text.end), ("a", Some(End::Length)));
        let usage = part(
            r#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}"#,
        );
        let wanted = Usage {
            prompt_tokens: 9,
            cached_tokens: 2,
            tokens: 4,
        };
        assert_eq!(usage.usage, Some(wanted));
        assert_eq!(event(b"data: [DONE]"), Ok(Event::Done));
        for nothing in ["", ": ping", "event: x", "id: 1"] {
            assert_eq!(event(nothing.as_bytes()), Ok(Event::Nothing));
        }
        assert!(matches!(event(b"data: {"), Err(Failure::Refused(_))));
        let error = br#"data: {"error":{"code":500,"message":"broken","type":"server_error"}}"#;
        assert!(matches!(event(error), Err(Failure::Refused(why)) if why.contains("broken")));
    }

    #[test]
    fn lines_may_come_in_pieces() {
        let mut rest = b"data: a\r\n\ndata".to_vec();
        assert_eq!(take_line(&mut rest), Some(b"data: a".to_vec()));
        assert_eq!(take_line(&mut rest), Some(Vec::new()));
        assert_eq!(take_line(&mut rest), None);
        rest.extend(b": b\n");
        assert_eq!(take_line(&mut rest), Some(b"data: b".to_vec()));
    }

    #[test]
    fn what_is_too_long_is_known_from_each_server() {
        for text in [
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
            r#"{"object":"error","message":"This model's maximum context length is 2048 tokens.","type":"BadRequestError"}"#,
            r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
        ] {
            assert_eq!(refusal(StatusCode::BAD_REQUEST, text), Failure::TooLong);
        }
        let other = refusal(
            StatusCode::UNAUTHORIZED,
            r#"{"error":{"message":"no\nkey"}}"#,
        );
        let Failure::Refused(why) = other else {
            panic!("{other:?}");
        };
        assert_eq!(why, "the server says 401 Unauthorized: nokey");
    }

    #[test]
    fn the_older_half_is_left_out_but_for_the_system() {
        let turns = |roles: &str| -> Vec<(Role, String)> {
            let role = |c| match c {
                's' => Role::System,
                'a' => Role::Assistant,
                _ => Role::User,
            };
            roles.chars().map(|c| (role(c), c.to_string())).collect()
        };
        let left = |roles: &str| {
            let mut all = turns(roles);
            leave_out(&mut all).then(|| all.iter().map(|turn| turn.1.as_str()).collect::<String>())
        };
        assert_eq!(left("suauau").as_deref(), Some("suau"));
        assert_eq!(left("uau").as_deref(), Some("u"));
        assert_eq!(left("uauau").as_deref(), Some("uau"));
        assert_eq!(left("su"), None);
        assert_eq!(left("u"), None);
    }

    /// A server that gives each connection the next of these answers: a status and what follows. What it was asked
    /// comes back when it has given all.
    async fn server(
        answers: Vec<(&'static str, String)>,
    ) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut asked = Vec::new();
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let whole = |bytes: &[u8]| {
                    let text = String::from_utf8_lossy(bytes);
                    let (head, rest) = text.split_once("\r\n\r\n")?;
                    let head = head.to_lowercase();
                    let len = head
                        .lines()
                        .find_map(|l| l.strip_prefix("content-length: "));
                    Some(rest.len() >= len.map_or(0, |len| len.parse().unwrap()))
                };
                while whole(&request) != Some(true) {
                    let mut part = [0; 4096];
                    let len = stream.read(&mut part).await.unwrap();
                    assert_ne!(len, 0, "half a request");
                    request.extend_from_slice(&part[..len]);
                }
                asked.push(String::from_utf8(request).unwrap());
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
                // In pieces, as networks do.
                for part in [head.as_bytes(), body.as_bytes()].concat().chunks(7) {
                    stream.write_all(part).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
            asked
        });
        (url, task)
    }

    fn cli(url: &str) -> crate::cli::Cli {
        use clap::Parser as _;

        crate::cli::Cli::parse_from(["llamux-backend", "x", "--url", url])
    }

    fn listing(models: &str) -> (&'static str, String) {
        (
            "200 OK",
            format!(r#"{{"object":"list","data":[{models}]}}"#),
        )
    }

    /// As the kernel hands it over.
    fn request(turns: &[(Role, &str)]) -> Request {
        let mut request = Request::default();
        request.turns = turns
            .iter()
            .map(|&(role, text)| (role, text.to_owned()))
            .collect();
        request.max_tokens = 7;
        request.temperature = 0.8;
        request.top_k = 40;
        request.seed = u64::MAX;
        request
    }

    #[tokio::test]
    async fn the_model_and_its_context_are_found() {
        let vllm = listing(r#"{"id":"a","max_model_len":2048},{"id":"b"}"#);
        let (url, task) = server(vec![vllm]).await;
        let key = Some("secret".to_owned());
        let (upstream, facts) = Upstream::find(reqwest::Client::new(), &cli(&url), key)
            .await
            .unwrap();
        assert_eq!((upstream.model.as_str(), facts.context), ("a", Some(2048)));
        let asked = task.await.unwrap();
        assert!(asked[0].starts_with("GET /v1/models "), "{asked:?}");
        assert!(
            asked[0].contains("authorization: Bearer secret"),
            "{asked:?}"
        );

        let props = r#"{"default_generation_settings":{"n_ctx":512}}"#.to_owned();
        let answers = vec![listing(r#"{"id":"a"}"#), ("200 OK", props)];
        let (url, _task) = server(answers).await;
        let found = Upstream::find(reqwest::Client::new(), &cli(&url), None).await;
        assert_eq!(found.unwrap().1.context, Some(512));

        let (url, _task) = server(vec![listing("")]).await;
        let none = Upstream::find(reqwest::Client::new(), &cli(&url), None).await;
        assert!(matches!(none, Err(Failure::Refused(why)) if why.contains("no model")));
        let nobody = cli("http://127.0.0.1:1/v1");
        let none = Upstream::find(reqwest::Client::new(), &nobody, None).await;
        assert!(matches!(none, Err(Failure::Gone(_))), "{none:?}");
    }

    #[tokio::test]
    async fn an_answer_comes_in_parts_and_a_long_question_gets_shorter() {
        let too_long = r#"{"error":{"type":"exceed_context_size_error","message":"x"}}"#;
        let stream = concat!(
            "data: {\"choices\":[{\"delta\":{\"content\":\"Sö\"}}]}\n\n",
            ": ping\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\".\"},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n",
            "data: [DONE]\n\n",
        );
        let answers = vec![
            listing(r#"{"id":"a","max_model_len":9}"#),
            ("503 Service Unavailable", String::new()),
            ("400 Bad Request", too_long.to_owned()),
            ("200 OK", stream.to_owned()),
        ];
        let (url, task) = server(answers).await;
        let found = Upstream::find(reqwest::Client::new(), &cli(&url), None).await;
        let (upstream, _) = found.unwrap();
        let turns = [
            (Role::System, "Be kind."),
            (Role::User, "One?"),
            (Role::Assistant, "Two."),
            (Role::User, "Three?"),
        ];
        let mut answer = upstream.ask(&request(&turns)).await.unwrap();
        let (mut text, mut end, mut usage) = (String::new(), None, None);
        while let Some(part) = answer.next().await.unwrap() {
            text += &part.text;
            end = part.end.or(end);
            usage = part.usage.or(usage);
        }
        assert_eq!((text.as_str(), end), ("Sö.", Some(End::Own)));
        assert_eq!(usage.map(|usage| usage.tokens), Some(2));
        let asked = task.await.unwrap();
        let body = |at: usize| -> Value {
            serde_json::from_str(asked[at].split_once("\r\n\r\n").unwrap().1).unwrap()
        };
        assert!(asked[1].starts_with("POST /v1/chat/completions "));
        assert_eq!(body(2)["messages"].as_array().unwrap().len(), 4);
        assert_eq!(body(2)["seed"], 0x7fff_ffff);
        assert_eq!(body(2)["top_k"], 40);
        let shorter = body(3);
        let kept = shorter["messages"].as_array().unwrap();
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0]["role"], "system");
        assert_eq!(kept[1]["content"], "Three?");
    }

    #[tokio::test]
    async fn a_vector_is_made_as_long_as_one() {
        let vector = r#"{"data":[{"embedding":[3.0,0.0,-4.0]}],"usage":{"prompt_tokens":5}}"#;
        let none = r#"{"data":[{"embedding":[0.0]}]}"#;
        let answers = vec![
            listing(r#"{"id":"a","max_model_len":9}"#),
            ("200 OK", vector.to_owned()),
            ("200 OK", none.to_owned()),
        ];
        let (url, _task) = server(answers).await;
        let found = Upstream::find(reqwest::Client::new(), &cli(&url), None).await;
        let (upstream, _) = found.unwrap();
        let (vector, tokens) = upstream.embed("a").await.unwrap();
        assert_eq!((vector, tokens), (vec![0.6, 0.0, -0.8], 5));
        assert!(matches!(
            upstream.embed("a").await,
            Err(Failure::Refused(_))
        ));
    }
}
