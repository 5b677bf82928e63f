// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Routes, who may ask, and who answers.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::{to_bytes, Body};
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{header, HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{from_fn_with_state, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use llamux_usage::complain;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::api::models::Target;
use crate::api::{self, Named};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::gate::{Gate, Rates};
use crate::keys::Keys;
use crate::metrics::{self, Asked, Metrics, Route};
use crate::page;
use crate::upstream::Upstreams;

/// Longest time that a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);

/// What answers need.
pub struct Server {
    /// How it is configured.
    pub config: Config,
    /// Who computes here.
    pub engine: Arc<dyn Engine>,
    /// Who computes elsewhere.
    pub upstreams: Upstreams,
    /// Keys of clients that come by TCP; `None` if they need none.
    pub keys: RwLock<Option<Keys>>,
    /// How much is answered at once.
    pub gate: Gate,
    /// How often one may ask.
    pub rates: Rates,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// When it began, in seconds since 1970.
    pub started: u64,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// From a program of this user, by the unix socket.
    User(u32),
    /// By TCP.
    Tcp,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user whose account it is; this program's own if there is none.
    pub user: Option<u32>,
    /// As shown in the log, and whose rate it is.
    pub name: String,
}

impl Server {
    /// A server.
    pub fn new(
        config: Config,
        engine: Arc<dyn Engine>,
        keys: Option<Keys>,
    ) -> anyhow::Result<Arc<Self>> {
        let metrics = Arc::new(Metrics::new());
        Ok(Arc::new(Self {
            upstreams: Upstreams::new(&config, metrics.clone())?,
            gate: Gate::new(config.limits.concurrent, config.limits.queue),
            rates: Rates::new(config.limits.requests_per_minute),
            keys: RwLock::new(keys),
            started: api::now(),
            config,
            engine,
            metrics,
        }))
    }

    /// Longest time of an answer.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.config.limits.timeout_seconds)
    }

    /// Other keys from now on.
    pub fn set_keys(&self, keys: Option<Keys>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Who comes from there with these headers.
    fn caller(&self, peer: Peer, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if let Peer::User(user) = peer {
            return Ok(Caller {
                user: Some(user),
                name: format!("user {user}"),
            });
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = &*keys else {
            return Ok(Caller {
                user: None,
                name: "tcp".into(),
            });
        };
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let scheme_and_key = given.and_then(|given| given.trim().split_once(' '));
        let key = scheme_and_key.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let refused = |message: &str| {
            ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key")
        };
        let Some((_, key)) = key else {
            return Err(refused(
                "There is no key: send the header \"Authorization: Bearer KEY\".",
            ));
        };
        match keys.whose(key.trim()) {
            Some(name) => Ok(Caller {
                user: None,
                name: format!("key {name}"),
            }),
            None => Err(refused(
                "The key is not known: llamuxd --new-key makes one.",
            )),
        }
    }

    fn takes_no_keys(&self) -> bool {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

/// All routes.
pub fn router(server: Arc<Server>) -> Router {
    let open = Router::new()
        .route("/", get(page::html))
        .route("/page.js", get(page::script))
        .route("/page.css", get(page::style))
        .route("/health", get(health));
    let guarded = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/v1/chat/completions", post(answer))
        .route("/v1/completions", post(answer))
        .route("/v1/embeddings", post(answer))
        .route_layer(from_fn_with_state(server.clone(), authenticate));
    let router = open
        .merge(guarded)
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "There is nothing here.") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "This is asked in another way: GET or POST.",
            )
        });
    let origins: Vec<HeaderValue> = server
        .config
        .cors
        .origins
        .iter()
        .filter_map(|origin| origin.parse().ok())
        .collect();
    let router = match origins.is_empty() {
        true => router,
        false => router.layer(
            CorsLayer::new()
                .allow_origin(AllowOrigin::list(origins))
                .allow_methods([Method::GET, Method::POST])
                .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE]),
        ),
    };
    router
        .layer(from_fn_with_state(server.clone(), watch))
        .with_state(server)
}

/// Counts a request, and writes a line about it, in which there is nothing of what was said.
async fn watch(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    // What is not there would make a counter for whatever anybody asks for.
    let path = request.extensions().get::<MatchedPath>();
    let route = path.map_or("other".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let guard = InFlight::new(server.clone());
    let mut response = match foreign(&server, &request) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let (parts, body) = response.into_parts();
    let who = parts
        .extensions
        .get::<Caller>()
        .map(|caller| caller.name.clone());
    let end = Ended {
        server,
        route,
        method,
        status: parts.status,
        who: who.unwrap_or_default(),
        started,
        _guard: guard,
    };
    // It has ended when its last part was sent, or nobody takes it any more.
    let body = Body::new(http_body_util::BodyExt::map_frame(body, move |frame| {
        let _ = &end;
        frame
    }));
    Response::from_parts(parts, body)
}

/// Counts what is under way.
struct InFlight(Arc<Server>);

impl InFlight {
    fn new(server: Arc<Server>) -> Self {
        server.metrics.in_flight.inc();
        Self(server)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}

/// Says at its end what became of a request.
struct Ended {
    server: Arc<Server>,
    route: String,
    method: Method,
    status: StatusCode,
    who: String,
    started: Instant,
    _guard: InFlight,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let metrics = &self.server.metrics;
        let asked = Asked {
            route: self.route.clone(),
            status: self.status.as_u16(),
        };
        metrics.requests.get_or_create(&asked).inc();
        let route = Route {
            route: self.route.clone(),
        };
        metrics
            .seconds
            .get_or_create(&route)
            .observe(elapsed.as_secs_f64());
        if self.route.starts_with("/v1") {
            let Self {
                route,
                method,
                status,
                who,
                ..
            } = self;
            let code = status.as_u16();
            complain!(
                "<6>{method} {route} {code} {} ms, {who}",
                elapsed.as_millis()
            );
        }
    }
}

/// Without keys, a web page that has its own name point to this machine must not be able to ask: such a request
/// names that host.
fn foreign(server: &Server, request: &Request) -> Option<ApiError> {
    let tcp = request.extensions().get::<Peer>() != Some(&Peer::Tcp);
    if tcp || !server.takes_no_keys() {
        return None;
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.or(request.uri().host()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let own = name.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    (!own).then(|| {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "Without keys only localhost may be asked for: the header Host names another one.",
        )
    })
}

/// Lets nobody in who may not ask.
async fn authenticate(
    State(server): State<Arc<Server>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request
        .extensions()
        .get::<Peer>()
        .copied()
        .unwrap_or(Peer::Tcp);
    let caller = match server.caller(peer, request.headers()) {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(caller);
    response
}

async fn health(State(server): State<Arc<Server>>) -> Response {
    let (status, text) = api::models::health(&server);
    (status, axum::Json(text)).into_response()
}

async fn metrics_text(State(server): State<Arc<Server>>) -> Response {
    // CAST: As many as memory allows are fewer.
    server.metrics.waiting.set(server.gate.waiting() as i64);
    let kernel = match server.config.kernel.enabled {
        true => server.engine.statistics(),
        false => String::new(),
    };
    let text = server.metrics.text(&kernel);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn models(State(server): State<Arc<Server>>) -> Response {
    let data = api::models::all(&server);
    api::answer(&serde_json::json!({"object": "list", "data": data}))
}

async fn model(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    api::models::one(&server, &id)
}

/// Reads a request that has JSON.
async fn body(server: &Server, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    // Web pages of others can send other types without being asked whether they may.
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !essence.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The header Content-Type must be application/json.",
        ));
    }
    let most = server.config.limits.body_bytes;
    let too_large = || {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "The request has more than {most} bytes, which are the most (limits.body_bytes)."
            ),
        )
    };
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|n| n.to_str().ok());
    if length
        .and_then(|n| n.parse().ok())
        .is_some_and(|n: usize| n > most)
    {
        return Err(too_large());
    }
    match tokio::time::timeout(ARRIVAL, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            use std::error::Error as _;
            let limit = error
                .source()
                .is_some_and(|e| e.is::<http_body_util::LengthLimitError>());
            Err(match limit {
                true => too_large(),
                false => ApiError::bad("The request was cut off."),
            })
        }
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "The request came too slowly.",
        )),
    }
}

/// Answers what takes a model.
async fn answer(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    path: MatchedPath,
    request: Request,
) -> Result<Response, ApiError> {
    server.rates.count(&caller.name, Instant::now())?;
    let (parts, stream) = request.into_parts();
    let body = body(&server, &parts.headers, stream).await?;
    let named: Named = api::parse(&body)?;
    let path = path.as_str();
    let via = parts.headers.get_all(header::VIA);
    let (model, shown) = match api::models::target(&server, named.model.as_deref())? {
        Target::Upstream(name) => {
            return server.upstreams.route(&name, path, &body, &via).await;
        }
        Target::Kernel(model, shown) => (model, shown),
    };
    if let Some(response) = server
        .upstreams
        .relieve(&server.gate, (&shown, path), &body, &via)
        .await
    {
        return Ok(response);
    }
    let answered = match server.gate.enter().await {
        Ok(place) => {
            let target = (model, shown.clone(), place);
            match path {
                "/v1/chat/completions" => api::chat::answer(&server, &caller, &body, target).await,
                "/v1/completions" => {
                    api::completions::answer(&server, &caller, &body, target).await
                }
                _ => api::embeddings::answer(&server, &caller, &body, target).await,
            }
        }
        Err(error) => Err(error),
    };
    match answered {
        Err(error) if error.status == StatusCode::TOO_MANY_REQUESTS => {
            let instead = server.upstreams.overflow((&shown, path), &body, &via).await;
            instead.unwrap_or(Err(error))
        }
        answered => answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_a_foreign_host_is_refused() {
        let engine = crate::testing::Nobody;
        let mut config = Config::default();
        config.tcp.keys = "none".into();
        let server = Server::new(config, Arc::new(engine), None).unwrap();
        let asked = |host: &str, peer| {
            let mut request = Request::builder()
                .header(header::HOST, host)
                .body(Body::empty())
                .unwrap();
            request.extensions_mut().insert(peer);
            foreign(&server, &request).is_none()
        };
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:11535",
            "127.1.2.3",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(asked(host, Peer::Tcp), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org:80",
            "10.0.0.1",
            "127.0.0.1.example.org",
        ] {
            assert!(!asked(host, Peer::Tcp), "{host}");
            assert!(asked(host, Peer::User(1)), "{host}");
        }
    }
}
