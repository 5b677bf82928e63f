// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Engines elsewhere that speak the same protocol.
//!
//! A request is passed on as it came, and so is the answer, part by part. As long as nothing of an answer has come,
//! the request may go to another one, or once more to the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::header::{self, GetAll, HeaderName, HeaderValue};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{stream, StreamExt as _};
use llamux_usage::complain;
use reqwest::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Config, Mode, UpstreamConfig};
use crate::error::ApiError;
use crate::gate::Gate;
use crate::json::Json;
use crate::metrics::{self, Metrics, UpstreamResult};

/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time of a question for how it is.
const HEALTH: Duration = Duration::from_secs(10);
/// Longest time between two of these.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// Shortest time between two attempts; each time twice as long.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Through so many of us a request goes at most.
const MAX_HOPS: usize = 4;
/// What we call ourselves in the header Via.
const VIA: &str = "1.1 llamuxd";
/// Headers of an answer that are passed on.
const HEADERS: [HeaderName; 3] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
];

/// All of them.
pub struct Upstreams {
    upstreams: Vec<Arc<Upstream>>,
}

struct Upstream {
    config: UpstreamConfig,
    key: Option<HeaderValue>,
    client: Client,
    places: Arc<Semaphore>,
    healthy: AtomicBool,
    metrics: Arc<Metrics>,
}

type Vias<'v> = GetAll<'v, HeaderValue>;

impl Upstreams {
    /// Those of a configuration.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Result<Self> {
        let upstreams = config.upstreams.iter();
        let upstreams = upstreams.map(|upstream| {
            Upstream::new(upstream, metrics.clone())
                .map(Arc::new)
                .with_context(|| format!("upstream {:?}", upstream.name))
        });
        Ok(Self {
            upstreams: upstreams.collect::<Result<_>>()?,
        })
    }

    /// Asks all of them now and then how they are, for as long as the runtime lives.
    pub fn watch(&self) {
        for upstream in &self.upstreams {
            tokio::spawn(watch(upstream.clone()));
        }
    }

    /// Models that are theirs, and whose.
    pub(crate) fn models(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut models = BTreeMap::new();
        for upstream in self.of_mode(Mode::Route) {
            for model in &upstream.config.models {
                models
                    .entry(model.as_str())
                    .or_insert(upstream.config.name.as_str());
            }
        }
        models.into_iter()
    }

    /// Whether a model is theirs.
    pub(crate) fn routes(&self, model: &str) -> bool {
        self.of_mode(Mode::Route)
            .any(|upstream| upstream.serves(model))
    }

    /// How each of them is.
    pub(crate) fn healthy(&self) -> Vec<(&str, bool)> {
        let each = self.upstreams.iter();
        each.map(|upstream| (upstream.config.name.as_str(), upstream.is_healthy()))
            .collect()
    }

    fn of_mode(&self, mode: Mode) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams
            .iter()
            .filter(move |upstream| upstream.config.mode == mode)
    }

    /// Has a request answered whose model is theirs.
    pub(crate) async fn route(
        &self,
        model: &str,
        path: &str,
        body: &Bytes,
        via: &Vias<'_>,
    ) -> Result<Response, ApiError> {
        let those: Vec<_> = self
            .of_mode(Mode::Route)
            .filter(|u| u.serves(model))
            .cloned()
            .collect();
        forward(&those, path, body, via).await
    }

    /// Has a request answered elsewhere that would have to wait here too long, if somebody can.
    pub(crate) async fn relieve(
        &self,
        gate: &Gate,
        (model, path): (&str, &str),
        body: &Bytes,
        via: &Vias<'_>,
    ) -> Option<Response> {
        let helps = |upstream: &&Arc<Upstream>| {
            upstream.serves(model)
                && upstream.can_help()
                && gate.is_behind(upstream.config.when_waiting)
        };
        let those: Vec<_> = self
            .of_mode(Mode::Overflow)
            .filter(helps)
            .cloned()
            .collect();
        if those.is_empty() {
            return None;
        }
        // Who cannot help leaves it to the kernel.
        let answer = forward(&those, path, body, via).await.ok()?;
        let status = answer.status();
        let busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        (!busy).then_some(answer)
    }

    /// Has a request answered that is too much for here, if anybody may.
    pub(crate) async fn overflow(
        &self,
        (model, path): (&str, &str),
        body: &Bytes,
        via: &Vias<'_>,
    ) -> Option<Result<Response, ApiError>> {
        let those = self.of_mode(Mode::Overflow);
        let those: Vec<_> = those
            .filter(|u| u.serves(model) && u.can_help())
            .cloned()
            .collect();
        match those.is_empty() {
            true => None,
            false => Some(forward(&those, path, body, via).await),
        }
    }
}

/// Passes a request to one of these, and its answer back.
async fn forward(
    those: &[Arc<Upstream>],
    path: &str,
    body: &Bytes,
    via: &Vias<'_>,
) -> Result<Response, ApiError> {
    let hops = via.iter().filter_map(|via| via.to_str().ok());
    let hops = hops
        .map(|via| via.matches("llamuxd").count())
        .sum::<usize>();
    if hops >= MAX_HOPS {
        return Err(ApiError::new(
            StatusCode::LOOP_DETECTED,
            "The request goes round in a circle: an upstream leads back here.",
        ));
    }
    let attempts = those
        .iter()
        .map(|upstream| upstream.config.retries)
        .max()
        .unwrap_or(0);
    let mut last = None;
    let mut full = false;
    for attempt in 0..=attempts {
        if attempt > 0 {
            tokio::time::sleep(BACK_OFF * 2_u32.saturating_pow(attempt - 1)).await;
        }
        // Those that did not answer of late may have come back, but only when no other one is there.
        let healthy = those.iter().filter(|upstream| upstream.is_healthy());
        let others = those.iter().filter(|upstream| !upstream.is_healthy());
        for upstream in healthy.chain(others) {
            if attempt > upstream.config.retries {
                continue;
            }
            let Ok(place) = upstream.places.clone().try_acquire_owned() else {
                full = true;
                continue;
            };
            match upstream.ask(path, body, (hops, place)).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        if last.is_none() && full {
            break;
        }
    }
    Err(match last {
        Some(Failed::Answer(status, message)) => ApiError::new(status, message).retry(5),
        Some(Failed::Unreachable(message)) => ApiError::new(StatusCode::BAD_GATEWAY, message)
            .code("upstream_unreachable")
            .retry(10),
        None => ApiError::busy(
            "The engine for this model has as many requests as it takes.",
            5,
        ),
    })
}

/// Why there is no answer.
enum Failed {
    /// It says that it cannot now.
    Answer(StatusCode, String),
    /// It says nothing.
    Unreachable(String),
}

impl Upstream {
    fn new(config: &UpstreamConfig, metrics: Arc<Metrics>) -> Result<Self> {
        let key = match &config.key_file {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
                    .with_context(|| format!("{}: not a key", file.display()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(Duration::from_secs(config.timeout_seconds))
            // A proxy of the environment is for other ways than to one's own engines.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let healthy = metrics::Upstream {
            upstream: config.name.clone(),
        };
        metrics.upstream_healthy.get_or_create(&healthy).set(1);
        Ok(Self {
            key,
            client,
            places: Arc::new(Semaphore::new(config.max_concurrent)),
            // Until it is known better.
            healthy: AtomicBool::new(true),
            config: config.clone(),
            metrics,
        })
    }

    fn serves(&self, model: &str) -> bool {
        self.config.models.iter().any(|own| own == model)
    }

    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    fn can_help(&self) -> bool {
        self.is_healthy() && self.places.available_permits() > 0
    }

    fn set_healthy(&self, healthy: bool, why: &str) {
        let before = self.healthy.swap(healthy, Ordering::Relaxed);
        let label = metrics::Upstream {
            upstream: self.config.name.clone(),
        };
        self.metrics
            .upstream_healthy
            .get_or_create(&label)
            .set(healthy.into());
        let name = &self.config.name;
        match (before, healthy) {
            (true, false) => complain!("<4>upstream {name} does not answer: {why}"),
            (false, true) => complain!("<5>upstream {name} answers again"),
            _ => (),
        }
    }

    fn count(&self, result: &str) {
        let result = UpstreamResult {
            upstream: self.config.name.clone(),
            result: result.to_owned(),
        };
        self.metrics.upstream_requests.get_or_create(&result).inc();
    }

    /// The address of a path below `/v1`.
    fn url(&self, path: &str) -> String {
        let path = path.strip_prefix("/v1").unwrap_or(path);
        format!("{}{path}", self.config.url.trim_end_matches('/'))
    }

    /// The request with the model's name there.
    fn body(&self, body: &Bytes) -> Bytes {
        let Some(remote) = &self.config.remote_model else {
            return body.clone();
        };
        match serde_json::from_slice(body) {
            Ok(Json::Object(mut members)) => {
                members.insert("model".into(), Json::String(remote.clone()));
                Bytes::from(Json::Object(members).to_string())
            }
            _ => body.clone(),
        }
    }

    async fn ask(
        self: &Arc<Self>,
        path: &str,
        body: &Bytes,
        (hops, place): (usize, OwnedSemaphorePermit),
    ) -> Result<Response, Failed> {
        let started = Instant::now();
        let under_way = UnderWay::new(self.clone(), place);
        let mut request = self.client.post(self.url(path));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key);
        }
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::VIA, vec![VIA; hops + 1].join(", "))
            .body(self.body(body));
        let unreachable = |error: &dyn std::fmt::Display| {
            self.count("unreachable");
            Failed::Unreachable(format!(
                "The engine {:?} does not answer: {error}.",
                self.config.name
            ))
        };
        let timeout = Duration::from_secs(self.config.timeout_seconds);
        let answer = match tokio::time::timeout(timeout, request.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let connect = error.is_connect();
                let error = cause(error);
                if connect {
                    self.set_healthy(false, &error);
                }
                return Err(unreachable(&error));
            }
            Err(_) => return Err(unreachable(&"it takes too long")),
        };
        let status = answer.status();
        if matches!(status.as_u16(), 429 | 502 | 503 | 504) {
            self.count(status.as_str());
            let message = format!("The engine {:?} says: {status}.", self.config.name);
            return Err(Failed::Answer(status, message));
        }
        let mut response = Response::builder().status(status);
        for name in &HEADERS {
            if let Some(value) = answer.headers().get(name) {
                response = response.header(name, value);
            }
        }
        let mut parts = answer.bytes_stream();
        // Until the first part is there, it may still be asked once more.
        let first = match parts.next().await {
            Some(Ok(first)) => first,
            Some(Err(error)) => return Err(unreachable(&cause(error))),
            None => Bytes::new(),
        };
        let label = metrics::Upstream {
            upstream: self.config.name.clone(),
        };
        let seconds = self.metrics.upstream_seconds.get_or_create(&label);
        seconds.observe(started.elapsed().as_secs_f64());
        drop(seconds);
        self.count(status.as_str());
        let rest = parts.map(move |part| {
            if part.is_err() {
                under_way.upstream.count("cut");
            }
            part.map_err(|error| std::io::Error::other(error.without_url()))
        });
        let all = stream::iter([Ok(first)]).chain(rest);
        response
            .body(Body::from_stream(all))
            .map_err(|error| unreachable(&error))
    }
}

/// What is at the bottom of an error, as "Connection refused", and not "error sending request".
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut deepest: &dyn std::error::Error = &error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Counts a request, and has its place, until all of the answer has come or nobody wants it.
struct UnderWay {
    upstream: Arc<Upstream>,
    _place: OwnedSemaphorePermit,
}

impl UnderWay {
    fn new(upstream: Arc<Upstream>, place: OwnedSemaphorePermit) -> Self {
        let label = metrics::Upstream {
            upstream: upstream.config.name.clone(),
        };
        upstream
            .metrics
            .upstream_in_flight
            .get_or_create(&label)
            .inc();
        Self {
            upstream,
            _place: place,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let label = metrics::Upstream {
            upstream: self.upstream.config.name.clone(),
        };
        self.upstream
            .metrics
            .upstream_in_flight
            .get_or_create(&label)
            .dec();
    }
}

/// Asks an upstream again and again how it is; the longer it does not answer, the more rarely.
async fn watch(upstream: Arc<Upstream>) {
    let usual = Duration::from_secs(upstream.config.health_seconds);
    let mut pause = usual;
    loop {
        let mut request = upstream.client.get(upstream.url("/models")).timeout(HEALTH);
        if let Some(key) = &upstream.key {
            request = request.header(header::AUTHORIZATION, key);
        }
        let well = match request.send().await {
            Ok(answer) if answer.status().is_server_error() => Err(answer.status().to_string()),
            Ok(_) => Ok(()),
            Err(error) => Err(cause(error)),
        };
        pause = match &well {
            Ok(()) => usual,
            Err(_) => (pause * 2).min(MAX_PAUSE),
        };
        upstream.set_healthy(well.is_ok(), well.as_ref().err().map_or("", String::as_str));
        tokio::time::sleep(pause).await;
    }
}
