// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama status`.

use llamux::{State, Status};

use crate::cli::StatusOptions;
use crate::{output, Exit, Failure};

pub(crate) fn run(options: &StatusOptions) -> Result<Exit, Failure> {
    let status = Status::read()?;
    let text = if options.json {
        json(&status)
    } else {
        people(&status)
    };
    output::print(&text)?;
    Ok(match status.state() {
        State::Ready => Exit::Success,
        _ => Exit::Unavailable,
    })
}

/// What a value is, for both outputs. Keys that this program does not know are text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Text,
    Count,
    Bytes,
    Milli(&'static str),
}

fn unit(key: &str) -> Unit {
    match key {
        "parameters" | "context" | "sessions_max" | "cache" | "threads" | "requests_served"
        | "requests_waiting" | "sessions_active" | "prompt_tokens" | "cached_tokens"
        | "response_tokens" | "steps" | "step_tokens" | "requant_tensors" => Unit::Count,
        "memory_reserved" | "memory_used" | "requant_saved" => Unit::Bytes,
        "prefill_millitokens_per_second" | "decode_millitokens_per_second" => {
            Unit::Milli("tokens/s")
        }
        _ => Unit::Text,
    }
}

/// One object; a value that the kernel does not have is null.
fn json(status: &Status) -> String {
    let object: serde_json::Map<String, serde_json::Value> = status
        .iter()
        .map(|(key, value)| {
            let value = match (unit(key), value.parse::<u64>()) {
                (_, _) if value.is_empty() => serde_json::Value::Null,
                (Unit::Text, _) | (_, Err(_)) => value.into(),
                (_, Ok(number)) => number.into(),
            };
            (key.to_owned(), value)
        })
        .collect();
    serde_json::Value::Object(object).to_string()
}

/// Aligned lines with units; values that the kernel does not have are left out.
fn people(status: &Status) -> String {
    let rows: Vec<(String, String)> = status
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| {
            let name = key.strip_suffix("_millitokens_per_second").unwrap_or(key);
            (name.replace('_', " "), human(unit(key), value))
        })
        .collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

fn human(unit: Unit, value: &str) -> String {
    let Ok(number) = value.parse::<u64>() else {
        return value.to_owned();
    };
    match unit {
        Unit::Text => value.to_owned(),
        Unit::Count if number >= 10_000_000 => {
            format!("{} million", (number + 500_000) / 1_000_000)
        }
        Unit::Count => value.to_owned(),
        Unit::Bytes => format!("{} MiB", number.div_ceil(1 << 20)),
        Unit::Milli(what) => format!("{}.{} {what}", number / 1000, number % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
state: ready
reason:
model: 7
parameters: 134515008
context: 2048
memory_used: 104857601
decode_millitokens_per_second: 51299
new_key: 12
";

    #[test]
    fn json_has_numbers_where_the_kernel_counts() {
        let object: serde_json::Value =
            serde_json::from_str(&json(&Status::parse(STATUS))).unwrap();
        let expected = serde_json::json!({
            "state": "ready", "reason": null, "model": "7", "parameters": 134_515_008,
            "context": 2048, "memory_used": 104_857_601u64,
            "decode_millitokens_per_second": 51299, "new_key": "12",
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn people_get_units() {
        let expected = "\
state        ready
model        7
parameters   135 million
context      2048
memory used  101 MiB
decode       51.2 tokens/s
new key      12
";
        assert_eq!(people(&Status::parse(STATUS)), expected);
    }
}
