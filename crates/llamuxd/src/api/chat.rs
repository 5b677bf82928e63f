// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `/v1/chat/completions`.

use std::sync::Arc;

use axum::response::Response;
use serde::Deserialize;
use serde_json::{json, Value};

use super::{Answers, Piece, Wishes};
use crate::engine::{Likelihood, Outcome, Question, Role};
use crate::error::ApiError;
use crate::gate::Place;
use crate::json::Json;
use crate::schema;
use crate::server::{Caller, Server};
use crate::tools::{self, Calls, Choice, Delta, Tool};

/// What is asked, besides [`Wishes`].
#[derive(Deserialize)]
struct Request {
    messages: Vec<Message>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    tool_choice: Option<Json>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<ResponseFormat>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    functions: Option<Value>,
    function_call: Option<Value>,
    modalities: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<Called>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
struct ContentPart {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Called {
    function: CalledFunction,
}

#[derive(Deserialize)]
struct CalledFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
struct JsonSchema {
    schema: Option<Json>,
}

/// What the answer is to look like.
enum Format {
    Text,
    Object,
    Schema(Json),
}

/// The answer to such a request.
pub(crate) async fn answer(
    server: &Arc<Server>,
    caller: &Caller,
    body: &[u8],
    (model, shown, place): (Option<String>, String, Place),
) -> Result<Response, ApiError> {
    let wishes: Wishes = super::parse(body)?;
    let request: Request = super::parse(body)?;
    let n = wishes.choices(server.config.limits.choices)?;
    let mut question = wishes.question(server.timeout())?;
    question.model = model;
    question.log_probabilities = request.logprobs()?;
    let calls = request.fill(&mut question, &wishes).await?;
    let logprobs = question.log_probabilities;
    let route = ("/v1/chat/completions", shown, place);
    let mut answers = super::ask(server, caller, route, question, n).await?;
    if wishes.streams() {
        let shape = Shape {
            calls: vec![calls.then(Calls::default); answers.answers.len()],
            called: vec![0; answers.answers.len()],
            texts: vec![String::new(); answers.answers.len()],
            logprobs,
            usage: wishes.usage_in_stream(),
        };
        return Ok(stream(answers, shape));
    }
    let mut choices = Vec::new();
    for (index, (text, end)) in answers.whole().await?.into_iter().enumerate() {
        choices.push(choice(index, &text, &end, (calls, logprobs))?);
    }
    Ok(super::answer(&json!({
        "id": format!("chatcmpl-{}", answers.id),
        "object": "chat.completion",
        "created": answers.created,
        "model": answers.model,
        "choices": choices,
        "usage": answers.usage().json(),
    })))
}

impl Request {
    fn logprobs(&self) -> Result<bool, ApiError> {
        if self.top_logprobs.is_some_and(|top| top > 0) {
            return Err(ApiError::unsupported(
                "top_logprobs",
                "top_logprobs is not supported, other than 0: the kernel tells how likely the chosen tokens were.",
            ));
        }
        Ok(self.logprobs.unwrap_or(false))
    }

    /// Adds to a question what is said, and what the answer must keep to. Whether the answer may have calls.
    async fn fill(self, question: &mut Question, wishes: &Wishes) -> Result<bool, ApiError> {
        for (name, there) in [
            ("functions", self.functions.is_some_and(|f| !f.is_null())),
            (
                "function_call",
                self.function_call.is_some_and(|f| !f.is_null()),
            ),
        ] {
            if there {
                return Err(ApiError::unsupported(
                    name,
                    format!("{name} is not supported: use tools and tool_choice."),
                ));
            }
        }
        if self
            .modalities
            .is_some_and(|all| all.iter().any(|one| one != "text"))
        {
            return Err(ApiError::unsupported(
                "modalities",
                "Only text is supported.",
            ));
        }
        let format = self
            .response_format
            .map_or(Ok(Format::Text), ResponseFormat::parse)?;
        let functions = tools::functions(&self.tools.unwrap_or_default())?;
        let choice = match (self.tool_choice, functions.is_empty()) {
            (None, true) => Choice::None,
            (choice, _) => Choice::parse(choice.as_ref())?,
        };
        // Without tools there is no call, whatever is chosen automatically.
        let choice = match (choice, functions.is_empty()) {
            (Choice::Auto, true) => Choice::None,
            (choice, _) => choice,
        };
        let mut instructions = Vec::new();
        let mut grammar = None;
        match &format {
            Format::Text => (),
            Format::Object => grammar = Some((schema::any_object(), "response_format")),
            Format::Schema(schema) => {
                let at = "response_format.json_schema.schema";
                let text =
                    schema::grammar(schema).map_err(|refused| tools::refusal(at, &refused))?;
                grammar = Some((text, at));
                instructions.push(format!("Answer with JSON of this schema:\n{schema}"));
            }
        }
        if choice != Choice::None {
            instructions.insert(0, tools::prompt(&functions));
            let any = Json::Object(
                [("type".to_owned(), Json::String("object".into()))]
                    .into_iter()
                    .collect(),
            );
            let text = match &format {
                Format::Text => None,
                Format::Object => Some(&any),
                Format::Schema(schema) => Some(schema),
            };
            let parallel = self.parallel_tool_calls.unwrap_or(true);
            grammar = Some((
                tools::grammar(&functions, &choice, parallel, text)?,
                "tools",
            ));
        }
        if let Some(text) = wishes.grammar() {
            if grammar.is_some() {
                return Err(ApiError::param(
                    "grammar",
                    "There is a grammar beside tools or a response_format: only one of them may be.",
                ));
            }
            grammar = Some((text.to_owned(), "grammar"));
        }
        question.turns = turns(self.messages, &instructions)?;
        if let Some((text, at)) = grammar {
            question.grammar = Some(super::compiled(text, at).await?);
        }
        Ok(choice != Choice::None)
    }
}

impl ResponseFormat {
    fn parse(self) -> Result<Format, ApiError> {
        match self.kind.as_str() {
            "text" => Ok(Format::Text),
            "json_object" => Ok(Format::Object),
            "json_schema" => match self.json_schema.and_then(|format| format.schema) {
                Some(schema) => Ok(Format::Schema(schema)),
                None => Err(ApiError::param(
                    "response_format.json_schema.schema",
                    "The response_format \"json_schema\" needs a schema.",
                )),
            },
            other => Err(ApiError::param(
                "response_format.type",
                format!("There is no response_format {other:?}: text, json_object and json_schema are there."),
            )),
        }
    }
}

/// What was said, as the kernel takes it: instructions of ours are a part of the system prompt, and what functions
/// returned the user says.
fn turns(messages: Vec<Message>, instructions: &[String]) -> Result<Vec<(Role, String)>, ApiError> {
    let count = messages.len();
    let mut turns: Vec<(Role, String)> = Vec::new();
    let mut returned = false;
    for (index, message) in messages.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        let mut text = message
            .content
            .map_or(Ok(String::new()), |content| content.text(&at))?;
        let (role, tool) = match message.role.as_str() {
            "system" | "developer" => (Role::System, false),
            "user" => (Role::User, false),
            "assistant" => (Role::Assistant, false),
            "tool" => (Role::User, true),
            other => {
                return Err(ApiError::param(
                    format!("{at}.role"),
                    format!("There is no role {other:?}: system, developer, user, assistant and tool are there."),
                ))
            }
        };
        for call in message.tool_calls.unwrap_or_default() {
            if !text.is_empty() {
                text.push('\n');
            }
            text += &tools::written(&call.function.name, &call.function.arguments);
        }
        if tool {
            text = tools::returned(&text);
        }
        if text.is_empty() {
            if index + 1 == count {
                return Err(ApiError::param(
                    format!("{at}.content"),
                    "The last message is empty.",
                ));
            }
            continue;
        }
        match turns.last_mut() {
            // What several functions returned is one turn.
            Some((_, before)) if tool && returned => {
                before.push('\n');
                before.push_str(&text);
            }
            _ => turns.push((role, text)),
        }
        returned = tool;
    }
    if turns.is_empty() {
        return Err(ApiError::param("messages", "There is no message."));
    }
    if !instructions.is_empty() {
        let ours = instructions.join("\n\n");
        match turns.first_mut() {
            Some((Role::System, text)) => {
                text.push_str("\n\n");
                text.push_str(&ours);
            }
            _ => turns.insert(0, (Role::System, ours)),
        }
    }
    Ok(turns)
}

impl Content {
    fn text(self, at: &str) -> Result<String, ApiError> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let mut all = String::new();
        for (index, part) in parts.into_iter().enumerate() {
            let text = match part.kind.as_str() {
                "text" => part.text,
                "refusal" => part.refusal,
                other => {
                    return Err(ApiError::unsupported(
                        format!("{at}.content[{index}].type"),
                        format!("Content of the type {other:?} is not supported: only text is."),
                    ))
                }
            };
            all += &text.unwrap_or_default();
        }
        Ok(all)
    }
}

/// An answer that is complete.
fn choice(
    index: usize,
    text: &str,
    end: &Outcome,
    (calls, logprobs): (bool, bool),
) -> Result<Value, ApiError> {
    let mut content = String::new();
    let mut called: Vec<(String, String)> = Vec::new();
    let mut deltas = Vec::new();
    if calls {
        let mut finder = Calls::default();
        deltas = finder.push(text);
        deltas.extend(finder.end());
    } else {
        content = text.to_owned();
    }
    for delta in deltas {
        match delta {
            Delta::Content(more) => content += &more,
            Delta::Call(name) => called.push((name, String::new())),
            Delta::Arguments(more) => {
                if let Some((_, arguments)) = called.last_mut() {
                    arguments.push_str(&more);
                }
            }
        }
    }
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    let mut finish = super::finish_reason(end);
    if !called.is_empty() {
        let mut list = Vec::new();
        for (name, arguments) in called {
            let id = format!("call_{}", super::random_id()?);
            list.push(json!({
                "id": id, "type": "function", "function": {"name": name, "arguments": arguments},
            }));
        }
        if content.is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = Value::Array(list);
        if finish == "stop" {
            finish = "tool_calls";
        }
    }
    let logprobs = logprobs.then(|| likely(text, &end.likelihoods));
    Ok(json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}))
}

/// How likely the tokens were.
fn likely(text: &str, likelihoods: &[Likelihood]) -> Value {
    let tokens = super::tokens(text, likelihoods).map(|(_, bytes, logprob)| {
        json!({
            "token": String::from_utf8_lossy(bytes), "logprob": logprob, "bytes": bytes, "top_logprobs": [],
        })
    });
    json!({"content": tokens.collect::<Vec<_>>(), "refusal": null})
}

/// What streamed answers have looked like so far.
struct Shape {
    /// Of each answer, if it may have calls.
    calls: Vec<Option<Calls>>,
    /// How many calls each has.
    called: Vec<usize>,
    /// The texts, if their tokens are told of at the end.
    texts: Vec<String>,
    logprobs: bool,
    usage: bool,
}

fn stream(answers: Answers, mut shape: Shape) -> Response {
    answers.stream(move |answers, piece| shape.piece(answers, &piece))
}

impl Shape {
    fn piece(&mut self, answers: &Answers, piece: &Piece<'_>) -> Vec<Value> {
        let mut chunks = Vec::new();
        match *piece {
            Piece::Begin(count) => {
                for index in 0..count {
                    let delta = json!({"role": "assistant", "content": "", "refusal": null});
                    chunks.push(chosen(index, &delta, &Value::Null, None));
                }
            }
            Piece::Text(index, text) => {
                if self.logprobs {
                    if let Some(whole) = self.texts.get_mut(index) {
                        whole.push_str(text);
                    }
                }
                let deltas = match self.calls.get_mut(index) {
                    Some(Some(calls)) => calls.push(text),
                    _ => vec![Delta::Content(text.to_owned())],
                };
                for delta in deltas {
                    chunks.push(chosen(index, &self.delta(index, delta), &Value::Null, None));
                }
            }
            Piece::End(index, end) => {
                let rest = match self.calls.get_mut(index) {
                    Some(Some(calls)) => calls.end(),
                    _ => None,
                };
                if let Some(delta) = rest {
                    chunks.push(chosen(index, &self.delta(index, delta), &Value::Null, None));
                }
                if self.logprobs {
                    // The kernel tells of them when the answer is complete.
                    let text = self.texts.get(index).map_or("", String::as_str);
                    let likely = likely(text, &end.likelihoods);
                    chunks.push(chosen(index, &json!({"content": ""}), &likely, None));
                }
                let called = self.called.get(index).is_some_and(|count| *count > 0);
                let finish = match super::finish_reason(end) {
                    "stop" if called => "tool_calls",
                    other => other,
                };
                chunks.push(chosen(index, &json!({}), &Value::Null, Some(finish)));
            }
            Piece::Over => {
                if self.usage {
                    chunks.push(json!([]));
                }
            }
        }
        let over = matches!(piece, Piece::Over);
        let whole = |choices: Value| {
            let mut chunk = json!({
                "id": format!("chatcmpl-{}", answers.id),
                "object": "chat.completion.chunk",
                "created": answers.created,
                "model": answers.model,
                "choices": choices,
            });
            if self.usage {
                chunk["usage"] = if over {
                    answers.usage().json()
                } else {
                    Value::Null
                };
            }
            chunk
        };
        chunks.into_iter().map(whole).collect()
    }

    fn delta(&mut self, index: usize, delta: Delta) -> Value {
        let mut none = 0;
        let called = self.called.get_mut(index).unwrap_or(&mut none);
        match delta {
            Delta::Content(text) => json!({"content": text}),
            Delta::Call(name) => {
                *called += 1;
                json!({"tool_calls": [{
                    "index": *called - 1,
                    // Without random numbers the place is at least told apart from the others of this answer.
                    "id": format!("call_{}", super::random_id().unwrap_or_else(|_| called.to_string())),
                    "type": "function",
                    "function": {"name": name, "arguments": ""},
                }]})
            }
            Delta::Arguments(text) => json!({"tool_calls": [{
                "index": called.saturating_sub(1), "function": {"arguments": text},
            }]}),
        }
    }
}

fn chosen(index: usize, delta: &Value, logprobs: &Value, finish: Option<&str>) -> Value {
    json!([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Vec<(Role, String)>, ApiError> {
        turns(serde_json::from_str(text).unwrap(), &[])
    }

    #[test]
    fn messages_are_turns() {
        let text = r#"[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "one"},
            {"role": "tool", "tool_call_id": "2", "content": "two"},
            {"role": "assistant", "content": ""}, {"role": "user", "content": "c", "name": "me"}
        ]"#;
        let turn = |role, text: &str| (role, text.to_owned());
        let expected = [
            turn(Role::System, "Be brief."),
            turn(Role::User, "ab"),
            turn(
                Role::Assistant,
                "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>",
            ),
            turn(
                Role::User,
                "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>",
            ),
            turn(Role::User, "c"),
        ];
        assert_eq!(said(text).unwrap(), expected);
    }

    #[test]
    fn instructions_are_in_the_system_prompt() {
        let messages = |text: &str| serde_json::from_str(text).unwrap();
        let ours = ["Answer in JSON.".to_owned()];
        let with = turns(
            messages(
                r#"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"}]"#,
            ),
            &ours,
        );
        assert_eq!(with.unwrap()[0].1, "Be brief.\n\nAnswer in JSON.");
        let without = turns(messages(r#"[{"role": "user", "content": "a"}]"#), &ours);
        assert_eq!(
            without.unwrap()[0],
            (Role::System, "Answer in JSON.".to_owned())
        );
    }

    #[test]
    fn messages_that_cannot_be_are_refused_by_their_place() {
        for (text, param) in [
            ("[]", "messages"),
            (r#"[{"role": "king", "content": "a"}]"#, "messages[0].role"),
            (
                r#"[{"role": "user", "content": ""}]"#,
                "messages[0].content",
            ),
            (
                r#"[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]"#,
                "messages[0].content[0].type",
            ),
        ] {
            assert_eq!(
                said(text).unwrap_err().param.as_deref(),
                Some(param),
                "{text}"
            );
        }
    }
}
