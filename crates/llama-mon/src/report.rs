// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `--json` prints.

use llamux::{Between, Histogram, Owner};
use serde_json::{json, Map, Value};

use crate::figures;
use crate::panes::{token_times, Findings};
use crate::rates::Rates;
use crate::snapshot::{Snapshot, SETTINGS};

/// The keys of the object, for the manual page: what each is.
pub(crate) const KEYS: [(&str, &str); 16] = [
    ("uptime_seconds, kernel", "When, since boot, and the kernel's release."),
    (
        "status",
        "All of /proc/llamux/status, with its keys; numbers are numbers. Among them are state, reason, model, context, \
         memory_used, requests_waiting, sessions_active, prompt_tokens, cached_tokens.",
    ),
    (
        "models",
        "One object for each model: name, state, default, bytes, read, of, reason.",
    ),
    (
        "memory",
        "All of /sys/kernel/llamux/memory: source, reserved, free, and what else there is.",
    ),
    (
        "decode_tokens_per_second, prefill_tokens_per_second",
        "What was written and read between two looks; null if only one was taken. The second one is of the users that \
         the caller may see.",
    ),
    ("batch", "How many answers went on together between two looks."),
    ("requests_per_second", "How many came to their end between two looks."),
    (
        "cache_hit_percent",
        "What part of the tokens of all questions did not need to be computed.",
    ),
    (
        "requests",
        "How those ended that came to their end: end, length, buffer, stopped, failed.",
    ),
    (
        "queue_ms, first_token_ms",
        "Of all requests since boot: count, and p50 and p90, each with from and below, between which it is.",
    ),
    (
        "token_ms",
        "What a token took at most: p50 and p90 of the answers.",
    ),
    (
        "fpu",
        "FPU sections: count, under_50us_percent (at least), longest_ns, longest_operation, and longest_us with from and \
         below, the bucket of the longest.",
    ),
    (
        "cpu",
        "processors, and busy_percent and llamux_percent of them all between two looks.",
    ),
    (
        "users, cgroups",
        "One object for each: user or cgroup, name, sessions, queued, active, context, requests, prompt_tokens, tokens, \
         time_ns, and of users tokens_per_second.",
    ),
    (
        "sessions, limits, settings",
        "As in /proc/llamux/sessions, /sys/kernel/llamux/limits, and the files that can be written there.",
    ),
    (
        "findings",
        "What is the matter with the machine, the worst first, as llama doctor has it; null if that is not known.",
    ),
];

/// One object.
pub(crate) fn json(snapshot: &Snapshot, rates: &Rates, findings: &Findings) -> Value {
    let stats = |key: &str| snapshot.stats.number(key).unwrap_or(0);
    let status = |key: &str| snapshot.status.number(key).unwrap_or(0);
    let model = |model: &llamux::ListedModel| {
        json!({
            "name": model.name, "state": model.state, "default": model.default, "bytes": model.bytes,
            "read": model.read, "of": model.of, "reason": model.reason,
        })
    };
    let session = |session: &llamux::OpenSession| {
        json!({
            "session": session.number, "user": session.user, "name": snapshot.user(session.user),
            "pid": session.pid, "comm": session.comm, "state": session.state, "tokens": session.tokens,
            "held": session.held, "unread": session.unread, "idle": session.idle, "model": session.model,
        })
    };
    let limits = |limits: &llamux::Limits| {
        json!({
            "user": limits.user, "sessions": limits.sessions, "queued": limits.queued,
            "tokens_per_minute": limits.tokens_per_minute, "context": limits.context,
        })
    };
    let settings = SETTINGS
        .iter()
        .zip(&snapshot.settings)
        .map(|((file, _, _), value)| {
            let number = value.as_ref().and_then(|value| value.parse::<i64>().ok());
            (
                file.to_string(),
                number.map_or_else(|| json!(value), |number| json!(number)),
            )
        });
    let (p50, p90) = token_times(snapshot);
    json!({
        "uptime_seconds": snapshot.uptime as f64 / 100.0,
        "kernel": snapshot.release,
        "status": lines(&snapshot.status),
        "models": snapshot.models.iter().map(model).collect::<Vec<_>>(),
        "memory": lines(&snapshot.memory),
        "decode_tokens_per_second": rates.decode,
        "prefill_tokens_per_second": rates.prefill,
        "batch": rates.batch,
        "requests_per_second": rates.requests,
        "cache_hit_percent": figures::percent(status("cached_tokens"), status("prompt_tokens")),
        "requests": {
            "end": stats("requests_end"), "length": stats("requests_length"), "buffer": stats("requests_buffer"),
            "stopped": stats("requests_stopped"), "failed": stats("requests_failed"),
        },
        "queue_ms": times(snapshot.stats.histogram("queue", "ms")),
        "first_token_ms": times(snapshot.stats.histogram("first_token", "ms")),
        "token_ms": { "p50": p50, "p90": p90 },
        "fpu": fpu(snapshot),
        "cpu": {
            "processors": snapshot.cpu.processors, "busy_percent": rates.busy, "llamux_percent": rates.llamux,
        },
        "users": snapshot.users.iter().map(|one| usage(snapshot, rates, one)).collect::<Vec<_>>(),
        "cgroups": snapshot.groups.iter().map(|one| usage(snapshot, rates, one)).collect::<Vec<_>>(),
        "sessions": snapshot.sessions.iter().map(session).collect::<Vec<_>>(),
        "limits": snapshot.limits.iter().map(limits).collect::<Vec<_>>(),
        "settings": settings.collect::<Map<_, _>>(),
        "findings": match findings {
            Findings::Found(all) => json!(all),
            Findings::Looking | Findings::None(_) => Value::Null,
        },
    })
}

/// Lines `key: value`. What is a number is one, but for those of people.
fn lines(status: &llamux::Status) -> Value {
    const TEXTS: [&str; 6] = ["model", "file", "reason", "sha256", "signer", "version"];
    let line = |(key, value): (&str, &str)| {
        let number = value.parse::<u64>().ok().filter(|_| !TEXTS.contains(&key));
        let value = match number {
            Some(number) => json!(number),
            None if value.is_empty() => Value::Null,
            None => json!(value),
        };
        (key.to_owned(), value)
    };
    Value::Object(status.iter().map(line).collect())
}

fn between(between: Option<Between>) -> Value {
    between.map_or(
        Value::Null,
        |it| json!({ "from": it.from, "below": it.below }),
    )
}

fn times(histogram: Option<Histogram>) -> Value {
    let histogram = histogram.unwrap_or_default();
    json!({
        "count": histogram.count(),
        "p50": between(histogram.quantile(500)),
        "p90": between(histogram.quantile(900)),
    })
}

fn fpu(snapshot: &Snapshot) -> Value {
    let latency = &snapshot.latency;
    let sections = latency.histogram("", "us").unwrap_or_default();
    json!({
        "count": sections.count(),
        "under_50us_percent": figures::percent(sections.below(50), sections.count()),
        "longest_ns": latency.number("longest_ns"),
        "longest_operation": latency.get("longest_operation"),
        "longest_us": between(sections.longest()),
    })
}

fn usage(snapshot: &Snapshot, rates: &Rates, usage: &llamux::Usage) -> Value {
    let (kind, whose) = match usage.owner {
        Owner::User(uid) => ("user", json!(uid)),
        Owner::OtherUsers => ("user", json!("others")),
        Owner::Cgroup(inode) => ("cgroup", json!(inode)),
        Owner::OtherCgroups => ("cgroup", json!("others")),
    };
    let mut object = json!({
        "name": snapshot.owner(usage.owner), "sessions": usage.sessions, "queued": usage.queued,
        "active": usage.active, "context": usage.context, "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens, "tokens": usage.tokens, "time_ns": usage.time_ns,
    });
    if let Some(object) = object.as_object_mut() {
        object.insert(kind.to_owned(), whose);
        if kind == "user" {
            let speed = rates.users.get(&usage.owner).copied();
            object.insert("tokens_per_second".to_owned(), json!(speed));
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn object_has_what_the_kernel_says() {
        let (before, after) = testing::recorded();
        let rates = Rates::between(&before, &after);
        let object = json(&after, &rates, &Findings::Found(Vec::new()));
        let status = &object["status"];
        assert_eq!(status["state"], "ready");
        assert_eq!(
            Some(status["step_tokens"].as_u64().unwrap()),
            after.status.number("step_tokens")
        );
        assert!(status["version"].is_string());
        assert_eq!(object["decode_tokens_per_second"].as_f64(), rates.decode);
        assert_eq!(object["users"][1]["name"], "ana");
        assert_eq!(object["sessions"].as_array().unwrap().len(), 5);
        assert_eq!(object["models"][1]["state"], "failed");
        assert_eq!(object["settings"]["sampling/top_k"], 40);
        assert_eq!(object["settings"]["system_prompt"], "");
        assert_eq!(object["fpu"]["longest_us"]["from"], 16384);
        assert_eq!(object["findings"], json!([]));
    }

    #[test]
    fn what_is_not_known_is_null() {
        let object = json(&Snapshot::default(), &Rates::default(), &Findings::Looking);
        for key in [
            "decode_tokens_per_second",
            "batch",
            "cache_hit_percent",
            "findings",
        ] {
            assert!(object[key].is_null(), "{key}");
        }
        assert!(object["queue_ms"]["p50"].is_null() && object["token_ms"]["p50"].is_null());
    }

    #[test]
    fn every_key_is_documented() {
        let object = json(&Snapshot::default(), &Rates::default(), &Findings::Looking);
        let mut documented: Vec<&str> =
            KEYS.iter().flat_map(|(keys, _)| keys.split(", ")).collect();
        documented.sort_unstable();
        let mut keys: Vec<_> = object
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, documented);
    }
}
