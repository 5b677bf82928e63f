// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! llama.cpp's server: how soon it streams the first token of an answer.

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
        let begin = Instant::now();
        let answer = ureq::post(self.url("/v1/chat/completions"))
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
        first.with_context(|| format!("{PROGRAM} has not answered"))
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

#[cfg(test)]
mod tests {
    use super::*;

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
