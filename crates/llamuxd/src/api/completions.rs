// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `/v1/completions`: a text is continued as it stands.

use std::sync::Arc;

use axum::response::Response;
use serde::Deserialize;
use serde_json::{json, Value};

use super::{OneOrMore, Piece, Wishes};
use crate::engine::{Likelihood, Role};
use crate::error::ApiError;
use crate::gate::Place;
use crate::json::Json;
use crate::server::{Caller, Server};

/// What is asked, besides [`Wishes`].
#[derive(Deserialize)]
struct Request {
    prompt: Option<Json>,
    echo: Option<bool>,
    logprobs: Option<u32>,
    suffix: Option<String>,
}

/// The text that is continued.
fn prompt(prompt: Option<Json>) -> Result<String, ApiError> {
    let texts = match prompt {
        Some(Json::String(text)) => OneOrMore::One(text),
        Some(Json::Array(items)) if items.iter().all(|item| item.as_str().is_some()) => {
            OneOrMore::More(
                items
                    .iter()
                    .filter_map(Json::as_str)
                    .map(str::to_owned)
                    .collect(),
            )
        }
        Some(Json::Array(_)) => {
            return Err(ApiError::unsupported(
                "prompt",
                "A prompt of tokens is not supported: give its text.",
            ))
        }
        _ => return Err(ApiError::param("prompt", "There is no prompt.")),
    };
    match texts.into_vec().as_slice() {
        [text] if !text.is_empty() => Ok(text.clone()),
        [_] => Err(ApiError::param("prompt", "The prompt is empty.")),
        _ => Err(ApiError::unsupported(
            "prompt",
            "Several prompts in one request are not supported: ask for them one by one.",
        )),
    }
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
    let text = prompt(request.prompt)?;
    let echo = match request.echo {
        Some(true) => text.clone(),
        _ => String::new(),
    };
    if request.suffix.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(ApiError::unsupported("suffix", "suffix is not supported."));
    }
    if request.logprobs.is_some_and(|top| top > 0) {
        return Err(ApiError::unsupported(
            "logprobs",
            "logprobs is not supported, other than 0: the kernel tells how likely the chosen tokens were.",
        ));
    }
    if request.logprobs.is_some() && !echo.is_empty() {
        return Err(ApiError::unsupported(
            "echo",
            "echo beside logprobs is not supported.",
        ));
    }
    question.model = model;
    question.raw = true;
    question.log_probabilities = request.logprobs.is_some();
    if let Some(text) = wishes.grammar() {
        question.grammar = Some(super::compiled(text.to_owned(), "grammar").await?);
    }
    question.turns = vec![(Role::User, text)];
    let logprobs = question.log_probabilities;
    let route = ("/v1/completions", shown, place);
    let mut answers = super::ask(server, caller, route, question, n).await?;
    let object = |answers: &super::Answers, choices: Value| {
        json!({
            "id": format!("cmpl-{}", answers.id),
            "object": "text_completion",
            "created": answers.created,
            "model": answers.model,
            "choices": choices,
        })
    };
    let choice = |index: usize, text: &str, logprobs: Option<Value>, finish: Option<&str>| json!([{"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}]);
    if wishes.streams() {
        let usage = wishes.usage_in_stream();
        let mut texts = vec![String::new(); answers.answers.len()];
        return Ok(answers.stream(move |answers, piece| {
            let mut choices = Vec::new();
            match piece {
                Piece::Begin(count) if !echo.is_empty() => {
                    choices.extend((0..count).map(|index| choice(index, &echo, None, None)));
                }
                Piece::Begin(_) => (),
                Piece::Text(index, text) => {
                    if let (true, Some(whole)) = (logprobs, texts.get_mut(index)) {
                        whole.push_str(text);
                    }
                    choices.push(choice(index, text, None, None));
                }
                Piece::End(index, end) => {
                    let whole = texts.get(index).map_or("", String::as_str);
                    let likely = logprobs.then(|| likely(whole, &end.likelihoods));
                    choices.push(choice(index, "", likely, Some(super::finish_reason(end))));
                }
                Piece::Over if usage => {
                    let mut last = object(answers, json!([]));
                    last["usage"] = answers.usage().json();
                    return vec![last];
                }
                Piece::Over => (),
            }
            let whole = |choices| {
                let mut chunk = object(answers, choices);
                if usage {
                    chunk["usage"] = Value::Null;
                }
                chunk
            };
            choices.into_iter().map(whole).collect()
        }));
    }
    let mut choices = Vec::new();
    for (index, (text, end)) in answers.whole().await?.into_iter().enumerate() {
        let likely = logprobs.then(|| likely(&text, &end.likelihoods));
        let text = format!("{echo}{text}");
        choices.push(json!({
            "index": index, "text": text, "logprobs": likely, "finish_reason": super::finish_reason(&end),
        }));
    }
    let mut whole = object(&answers, Value::Array(choices));
    whole["usage"] = answers.usage().json();
    Ok(super::answer(&whole))
}

/// How likely the tokens were.
fn likely(text: &str, likelihoods: &[Likelihood]) -> Value {
    let (mut tokens, mut logs, mut offsets) = (vec![], vec![], vec![]);
    for (offset, bytes, log) in super::tokens(text, likelihoods) {
        tokens.push(String::from_utf8_lossy(bytes).into_owned());
        logs.push(log);
        // Clients count characters.
        let before = text.as_bytes().get(..offset).unwrap_or_default();
        offsets.push(String::from_utf8_lossy(before).chars().count());
    }
    json!({"tokens": tokens, "token_logprobs": logs, "top_logprobs": null, "text_offset": offsets})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_that_cannot_be_are_refused() {
        let asked = |text: &str| prompt(serde_json::from_str(text).unwrap());
        assert_eq!(asked(r#""a""#).unwrap(), "a");
        assert_eq!(asked(r#"["a"]"#).unwrap(), "a");
        for text in ["null", "3", "[]", "[1, 2]", r#""""#, r#"["a", "b"]"#] {
            assert_eq!(
                asked(text).unwrap_err().param.as_deref(),
                Some("prompt"),
                "{text}"
            );
        }
    }
}
