// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `/v1/embeddings`.

use std::sync::Arc;

use axum::response::Response;
use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{json, Value};

use crate::error::ApiError;
use crate::gate::Place;
use crate::json::Json;
use crate::metrics::Kind;
use crate::server::{Caller, Server};

/// Most texts of a request.
const MAX_TEXTS: usize = 2048;

#[derive(Deserialize)]
struct Request {
    input: Json,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

/// The answer to such a request.
pub(crate) async fn answer(
    server: &Arc<Server>,
    caller: &Caller,
    body: &[u8],
    (model, shown, _place): (Option<String>, String, Place),
) -> Result<Response, ApiError> {
    let request: Request = super::parse(body)?;
    let base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            return Err(ApiError::param(
                "encoding_format",
                format!("There is no encoding_format {other:?}: float and base64 are there."),
            ))
        }
    };
    let texts = texts(request.input)?;
    let embedding = server.engine.embed(caller.user, model, texts);
    let (vectors, tokens) = tokio::time::timeout(server.timeout(), embedding)
        .await
        .map_err(|_| llamux::Error::TimedOut)??;
    server
        .metrics
        .tokens
        .get_or_create(&Kind { kind: "prompt" })
        .inc_by(tokens);
    let own = vectors.first().map_or(0, Vec::len);
    if let Some(wanted) = request.dimensions.filter(|wanted| *wanted != own) {
        return Err(ApiError::unsupported(
            "dimensions",
            format!("dimensions is {wanted}, and vectors of this model have {own} numbers."),
        ));
    }
    let data = vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = match base64 {
            true => {
                let bytes: Vec<u8> = vector
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                Value::String(STANDARD.encode(bytes))
            }
            false => json!(vector),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    Ok(super::answer(&json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": shown,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

fn texts(input: Json) -> Result<Vec<String>, ApiError> {
    let texts = match input {
        Json::String(text) => vec![text],
        Json::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Json::String(text) => Ok(text),
                _ => Err(ApiError::unsupported(
                    "input",
                    "Tokens are not supported: give texts.",
                )),
            })
            .collect::<Result<_, _>>()?,
        _ => {
            return Err(ApiError::param(
                "input",
                "input must be a text, or several in an array.",
            ))
        }
    };
    if texts.is_empty() || texts.len() > MAX_TEXTS || texts.iter().any(String::is_empty) {
        return Err(ApiError::param(
            "input",
            format!("input may be 1 to {MAX_TEXTS} texts, none of which is empty."),
        ));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_cannot_be_are_refused() {
        let asked = |text: &str| texts(serde_json::from_str(text).unwrap());
        assert_eq!(asked(r#""a""#).unwrap(), ["a"]);
        assert_eq!(asked(r#"["a", "b"]"#).unwrap(), ["a", "b"]);
        for text in ["3", "[]", "[1, 2]", r#""""#, r#"["a", ""]"#] {
            assert_eq!(
                asked(text).unwrap_err().param.as_deref(),
                Some("input"),
                "{text}"
            );
        }
    }
}
