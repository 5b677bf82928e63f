// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Counters for Prometheus: our own, and what the kernel says in `/proc/llamux`.

use std::fmt::Write as _;

use llamux::Status;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{exponential_buckets, Histogram};
use prometheus_client::registry::Registry;

/// What [`Metrics::text`] is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Histograms of `/proc/llamux/stats`: what their lines begin with, what they end with, how many of that are one of
/// our unit, our name.
const HISTOGRAMS: [(&str, &str, f64, &str); 4] = [
    ("queue", "_ms", 1000.0, "queue_seconds"),
    ("first_token", "_ms", 1000.0, "first_token_seconds"),
    ("tokens_per_second", "", 1.0, "tokens_per_second"),
    ("fpu_section", "_us", 1e6, "fpu_section_seconds"),
];

/// Lines of `/proc/llamux/status` that say how it is now; the other numbers are what it is and what it has done.
const GAUGES: &[&str] = &[
    "requests_waiting",
    "sessions_active",
    "prefill_millitokens_per_second",
    "decode_millitokens_per_second",
    "parameters",
    "context",
    "sessions_max",
    "cache",
    "threads",
    "memory_reserved",
    "memory_used",
    "haiku",
    "requant_tensors",
    "requant_saved",
];

/// A request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Asked {
    /// The route, as in `/v1/models/{id}`.
    pub route: String,
    /// The status of its answer.
    pub status: u16,
}

/// A route.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Route {
    /// The route.
    pub route: String,
}

/// Tokens.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Kind {
    /// `prompt`, `cached` or `completion`.
    pub kind: &'static str,
}

/// An upstream.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Upstream {
    /// Its name.
    pub upstream: String,
}

/// How it went with an upstream.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct UpstreamResult {
    /// Its name.
    pub upstream: String,
    /// The status of its answer, `unreachable`, or `cut` if it ended in the middle.
    pub result: String,
}

/// All counters.
pub struct Metrics {
    registry: Registry,
    /// Requests that came to their end.
    pub requests: Family<Asked, Counter>,
    /// How long they took.
    pub seconds: Family<Route, Histogram>,
    /// How long until the first part of an answer.
    pub first: Family<Route, Histogram>,
    /// Tokens by the kernel.
    pub tokens: Family<Kind, Counter>,
    /// Requests under way.
    pub in_flight: Gauge,
    /// Requests that wait here.
    pub waiting: Gauge,
    /// Answers that nobody wanted any more.
    pub cancelled: Counter,
    /// Requests to upstreams.
    pub upstream_requests: Family<UpstreamResult, Counter>,
    /// Requests that they are answering.
    pub upstream_in_flight: Family<Upstream, Gauge>,
    /// Whether they answer.
    pub upstream_healthy: Family<Upstream, Gauge>,
    /// How long until they began.
    pub upstream_seconds: Family<Upstream, Histogram>,
}

fn histogram() -> Histogram {
    // From 5 ms to some 5 minutes.
    Histogram::new(exponential_buckets(0.005, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("llamuxd");
        let seconds =
            Family::<Route, Histogram>::new_with_constructor(histogram as fn() -> Histogram);
        let first =
            Family::<Route, Histogram>::new_with_constructor(histogram as fn() -> Histogram);
        let upstream_seconds =
            Family::<Upstream, Histogram>::new_with_constructor(histogram as fn() -> Histogram);
        let metrics = Self {
            requests: Family::default(),
            seconds,
            first,
            tokens: Family::default(),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
            cancelled: Counter::default(),
            upstream_requests: Family::default(),
            upstream_in_flight: Family::default(),
            upstream_healthy: Family::default(),
            upstream_seconds,
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register(
            "requests",
            "Requests by route and status",
            m.requests.clone(),
        );
        registry.register("request_seconds", "Time of a request", m.seconds.clone());
        registry.register(
            "first_part_seconds",
            "Time to the first part of an answer",
            m.first.clone(),
        );
        registry.register("tokens", "Tokens of the kernel's model", m.tokens.clone());
        registry.register("in_flight", "Requests under way", m.in_flight.clone());
        registry.register(
            "waiting",
            "Requests that wait in llamuxd",
            m.waiting.clone(),
        );
        registry.register(
            "cancelled",
            "Answers whose client went away",
            m.cancelled.clone(),
        );
        registry.register(
            "upstream_requests",
            "Requests to upstreams",
            m.upstream_requests.clone(),
        );
        registry.register(
            "upstream_in_flight",
            "Requests under way there",
            m.upstream_in_flight.clone(),
        );
        registry.register(
            "upstream_healthy",
            "Whether an upstream answers",
            m.upstream_healthy.clone(),
        );
        registry.register(
            "upstream_first_part_seconds",
            "Time until it began",
            m.upstream_seconds.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }

    /// All of them, with what the kernel says.
    pub fn text(&self, kernel: &str) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        let own = text.strip_suffix("# EOF\n").unwrap_or(&text);
        format!("{own}{}# EOF\n", of_kernel(kernel))
    }
}

/// What the kernel says, as metrics.
fn of_kernel(text: &str) -> String {
    let status = Status::parse(text);
    let mut out = String::new();
    let mut histograms = vec![Vec::new(); HISTOGRAMS.len()];
    for (key, value) in status.iter() {
        let part = HISTOGRAMS.iter().position(|(begin, ..)| {
            let rest = key.strip_prefix(begin);
            rest.is_some_and(|rest| rest == "_above" || rest.starts_with("_below_"))
        });
        let Ok(number) = value.parse::<u64>() else {
            continue;
        };
        if let Some(parts) = part.and_then(|part| histograms.get_mut(part)) {
            parts.push((key, number));
            continue;
        }
        // Writing to a string does not fail.
        let _ = match GAUGES.contains(&key) {
            true => writeln!(
                out,
                "# TYPE llamux_kernel_{key} gauge\nllamux_kernel_{key} {number}"
            ),
            false => writeln!(
                out,
                "# TYPE llamux_kernel_{key} counter\nllamux_kernel_{key}_total {number}"
            ),
        };
    }
    for ((begin, end, per, name), parts) in HISTOGRAMS.iter().zip(histograms) {
        if parts.is_empty() {
            continue;
        }
        let _ = writeln!(out, "# TYPE llamux_kernel_{name} histogram");
        let mut below = 0_u64;
        for (key, number) in parts {
            below = below.saturating_add(number);
            let bound = key
                .strip_prefix(begin)
                .and_then(|key| key.strip_prefix("_below_"));
            let bound = bound
                .and_then(|key| key.strip_suffix(end))
                .and_then(|n| n.parse::<f64>().ok());
            let bound = bound.map_or("+Inf".to_owned(), |bound| (bound / per).to_string());
            let _ = writeln!(out, "llamux_kernel_{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(out, "llamux_kernel_{name}_count {below}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_histograms_are_added_up() {
        let text = "version: 0.1.0\nstate: ready\nrequests_served: 7\nthreads: 2\nqueue_below_1_ms: 3\n\
                    queue_below_2_ms: 2\nqueue_above: 1\nfpu_section_below_4_us: 5\nfpu_section_above: 0\n";
        let metrics = Metrics::new();
        metrics.in_flight.set(3);
        let text = metrics.text(text);
        for line in [
            "llamuxd_in_flight 3",
            "llamux_kernel_requests_served_total 7",
            "# TYPE llamux_kernel_threads gauge",
            "llamux_kernel_queue_seconds_bucket{le=\"0.001\"} 3",
            "llamux_kernel_queue_seconds_bucket{le=\"0.002\"} 5",
            "llamux_kernel_queue_seconds_bucket{le=\"+Inf\"} 6",
            "llamux_kernel_queue_seconds_count 6",
            "llamux_kernel_fpu_section_seconds_bucket{le=\"0.000004\"} 5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    }
}
