// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! llama.cpp's server: how soon it streams the first token of an answer, and how long one takes.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use serde_json::{json, Value};

use super::what::STREAMED;
use crate::model::Model;
use crate::sh;

/// Its name.
pub(super) const PROGRAM: &str = "llama-server";

/// For loading, and for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Milliseconds from the question to the first part of its answer.
pub(super) fn first_token(
    program: &Path,
    model: &Model,
    threads: usize,
    apply: impl FnOnce(&mut Command),
) -> Result<f64> {
    let server = Server::start(program, model, threads, apply)?;
    // What the questions begin with is in the cache from the first one on.
    let mut first = Duration::ZERO;
    for question in STREAMED {
        first = server.ask(question)?;
    }
    Ok(1000.0 * first.as_secs_f64())
}

/// A question, and how much is to be answered.
pub(crate) struct Asked {
    pub(crate) prompt: Vec<u32>,
    pub(crate) tokens: u32,
}

/// Milliseconds from a request to the first part of its first answer, and to the end of its last one.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) first_ms: f64,
    pub(crate) whole_ms: f64,
}

/// The times of requests, one after the other, each of which may ask several times. What they begin with is in the
/// cache from what was asked `before`.
pub(super) fn answers(
    program: &Path,
    model: &Model,
    threads: usize,
    before: &[Asked],
    requests: &[Vec<Asked>],
    apply: impl FnOnce(&mut Command),
) -> Result<Vec<Times>> {
    let server = Server::start(program, model, threads, apply)?;
    for asked in before {
        server.complete(asked)?;
    }
    let mut all = Vec::new();
    for request in requests {
        let mut first = None;
        let mut whole = Duration::ZERO;
        for asked in request {
            let (soon, end) = server.complete(asked)?;
            first = first.or(Some(whole + soon));
            whole += end;
        }
        all.push(Times {
            first_ms: 1000.0 * first.unwrap_or_default().as_secs_f64(),
            whole_ms: 1000.0 * whole.as_secs_f64(),
        });
    }
    Ok(all)
}

/// One that runs until this is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(
        program: &Path,
        model: &Model,
        threads: usize,
        apply: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        // Free now, and not likely to be taken until the server does.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let mut command = sh::cmd(program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        // One conversation at a time, as in the kernel.
        command.args(["-np", "1", "-c", "2048", "-t", &threads.to_string(), "-m"]);
        command.arg(&model.file);
        apply(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sh::announce(&command);
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let mut server = Self { child, port };
        let begin = Instant::now();
        while !server.is_ready() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{PROGRAM} ended: {status}");
            }
            if begin.elapsed() > PATIENCE {
                bail!("{PROGRAM} does not come up");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Whether it has loaded its model.
    fn is_ready(&self) -> bool {
        ureq::get(self.url("/health")).call().is_ok()
    }

    /// Asks, and reads the answer to its end. How long it took until the first part of it was there.
    fn ask(&self, question: &str) -> Result<Duration> {
        let body = json!({
            "messages": [{ "role": "user", "content": question }],
            "stream": true,
            "cache_prompt": true,
            "temperature": 0,
            "max_tokens": 8,
        });
        let (first, _) = self.stream("/v1/chat/completions", &body, is_part)?;
        Ok(first)
    }

    /// Has the answer to a prompt of tokens written, as long as it is to be, and says when its first token and its
    /// end were there.
    fn complete(&self, asked: &Asked) -> Result<(Duration, Duration)> {
        let body = json!({
            "prompt": asked.prompt,
            "n_predict": asked.tokens,
            "ignore_eos": true,
            "stream": true,
            "cache_prompt": true,
            "temperature": 0,
        });
        self.stream("/completion", &body, is_token)
    }

    /// Asks, and reads the answer to its end. How long it took until the first line that is a part of it was there,
    /// and until its end.
    fn stream(
        &self,
        path: &str,
        body: &Value,
        is_part: fn(&str) -> bool,
    ) -> Result<(Duration, Duration)> {
        let begin = Instant::now();
        let answer = ureq::post(self.url(path))
            .config()
            .timeout_global(Some(PATIENCE))
            .build()
            .content_type("application/json")
            .send(body.to_string())?;
        let mut first = None;
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            if is_part(&line?) {
                first = first.or_else(|| Some(begin.elapsed()));
            }
        }
        let first = first.with_context(|| format!("{PROGRAM} has not answered"))?;
        Ok((first, begin.elapsed()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a line of the stream has a part of the answer's text. The first ones have a role alone.
fn is_part(line: &str) -> bool {
    let event = line.strip_prefix("data: ");
    let event: Option<Value> = event.and_then(|event| serde_json::from_str(event).ok());
    let text = event.as_ref().and_then(|event| {
        let choice = event.get("choices")?.get(0)?;
        choice.get("delta")?.get("content")?.as_str()
    });
    text.is_some_and(|text| !text.is_empty())
}

/// Whether a line of the other stream is about a token: it may be half a character, and have no text.
fn is_token(line: &str) -> bool {
    let event = line.strip_prefix("data: ");
    let event: Option<Value> = event.and_then(|event| serde_json::from_str(event).ok());
    event.is_some_and(|event| event.get("content").is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_from_other_events() {
        assert!(is_token(r#"data: {"index":0,"content":"ls","stop":false}"#));
        assert!(is_token(r#"data: {"content":"","stop":false}"#));
        for other in [
            r#"data: {"error":{"code":400,"message":"too long"}}"#,
            r#"{"content":"ls"}"#,
            "data: [DONE]",
            "",
        ] {
            assert!(!is_token(other), "{other}");
        }
    }

    #[test]
    fn parts_of_the_text_are_told_from_other_events() {
        let data =
            |delta: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}");
        assert!(is_part(&data("{\"content\":\"The\"}")));
        for other in [
            &data("{\"role\":\"assistant\",\"content\":null}"),
            &data("{\"content\":\"\"}"),
            &data("{}"),
            "data: [DONE]",
            "data: {\"choices\":[]}",
            "HTTP/1.1 200 OK",
            "1f",
            "",
        ] {
            assert!(!is_part(other), "{other}");
        }
    }
}
