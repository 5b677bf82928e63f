// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `/v1/models`, and which model a request means.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{json, Value};

use crate::error::ApiError;
use crate::server::Server;

/// What stands for the kernel's default model.
pub(crate) const DEFAULT: &str = "default";

/// Who answers.
pub(crate) enum Target {
    /// The kernel: the name to choose there, if it is not the default, and the name to show.
    Kernel(Option<String>, String),
    /// Upstreams that serve a model of this name.
    Upstream(String),
}

/// Who answers for a model.
pub(crate) fn target(server: &Server, model: Option<&str>) -> Result<Target, ApiError> {
    let name = model.unwrap_or(DEFAULT);
    if server.upstreams.routes(name) {
        return Ok(Target::Upstream(name.to_owned()));
    }
    let none = || match name {
        DEFAULT | "" => ApiError::from(llamux::Error::NoModel { reason: None }),
        name => ApiError::no_such_model(name),
    };
    if !server.config.kernel.enabled {
        return Err(none());
    }
    let models = server.engine.models()?;
    if let Some(line) = models.iter().find(|line| line.name == name) {
        return match line.state.as_str() {
            "ready" => Ok(Target::Kernel(Some(line.name.clone()), line.name.clone())),
            "loading" => Err(llamux::Error::Loading.into()),
            _ => {
                let reason = line.reason.clone();
                Err(llamux::Error::NoModel { reason }.into())
            }
        };
    }
    if !matches!(name, DEFAULT | "") {
        return Err(none());
    }
    let ready = models
        .iter()
        .find(|line| line.default && line.state == "ready");
    if let Some(line) = ready {
        return Ok(Target::Kernel(None, line.name.clone()));
    }
    match models.iter().find(|line| line.state == "loading") {
        Some(_) => Err(llamux::Error::Loading.into()),
        None => {
            let reason = models.iter().find_map(|line| line.reason.clone());
            Err(llamux::Error::NoModel { reason }.into())
        }
    }
}

/// All models that can be asked.
pub(crate) fn all(server: &Server) -> Vec<Value> {
    let mut models = Vec::new();
    let model = |id: &str, owner: &str| json!({"id": id, "object": "model", "created": server.started, "owned_by": owner});
    if server.config.kernel.enabled {
        // Without a kernel there is none of its.
        for line in server.engine.models().unwrap_or_default() {
            if line.state == "ready" && !server.upstreams.routes(&line.name) {
                let mut entry = model(&line.name, "kernel");
                entry["default"] = json!(line.default);
                models.push(entry);
            }
        }
    }
    for (name, owner) in server.upstreams.models() {
        models.push(model(name, owner));
    }
    models
}

/// One of them.
pub(crate) fn one(server: &Server, id: &str) -> Result<Response, ApiError> {
    let models = all(server);
    match models.iter().find(|model| model["id"] == id) {
        Some(model) => Ok(super::answer(model)),
        None => Err(ApiError::no_such_model(id)),
    }
}

/// Whether anybody can answer, and why not.
pub(crate) fn health(server: &Server) -> (StatusCode, Value) {
    let kernel = match server.config.kernel.enabled {
        true => target(server, None)
            .map(|_| ())
            .map_err(|error| error.message),
        false => Err("not served".to_owned()),
    };
    let upstreams = server.upstreams.healthy();
    let fine = kernel.is_ok() || upstreams.iter().any(|(_, healthy)| *healthy);
    let status = match fine {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let said = match kernel {
        Ok(()) => "ok".to_owned(),
        Err(message) => message,
    };
    let upstreams: serde_json::Map<String, Value> = upstreams
        .into_iter()
        .map(|(name, healthy)| (name.to_owned(), json!(healthy)))
        .collect();
    let word = if fine { "ok" } else { "unavailable" };
    (
        status,
        json!({"status": word, "kernel": said, "upstreams": upstreams}),
    )
}
