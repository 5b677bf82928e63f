// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamux-backend`: registers a model with the kernel, and answers by a server of OpenAI's protocol.
//!
//! One task reads what the kernel wants, and each request is a task of its own, which is dropped, and its connection
//! with it, when the kernel says that nobody waits for it any more. Another one looks after the server: without it, the
//! model is taken back, so that callers have an errno at once.

pub mod cli;
mod upstream;

use std::collections::HashMap;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use clap::Parser as _;
use llamux::backend::{Abilities, End, Failure, Message, Request, Usage};
use llamux::{Backend, BackendError};
use llamux_usage::complain;
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{interval, sleep};

use cli::Cli;
use upstream::{Facts, Upstream};

/// Where the default model is set.
const DEFAULT: &str = "/sys/kernel/llamux/default";

/// How often a server is looked for that is not there, and how often one is looked after that is.
const SEARCH: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(5);

/// How often it may say nothing until it is taken to be gone.
const SILENCES: u32 = 2;

/// Tokens of the context where nobody says how many.
const CONTEXT: u32 = 4096;

/// The program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(run(&cli)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("llamux-backend: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let key = match &cli.key_file {
        Some(file) => {
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read the key in {}", file.display()))?;
            Some(text.trim().to_owned())
        }
        None => None,
    };
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("llamux-backend/", env!("CARGO_PKG_VERSION")))
        .build()?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        done = answer_for_ever(cli, client, key) => done,
    }
}

/// How it ended.
enum Over {
    /// The server does not answer any more.
    Server,
    /// The model was unloaded.
    Unloaded,
}

/// Registers the model whenever the server is there, and answers.
async fn answer_for_ever(cli: &Cli, client: reqwest::Client, key: Option<String>) -> Result<()> {
    loop {
        let (upstream, facts) = find(cli, &client, &key).await;
        let abilities = abilities(cli, &upstream, &facts).await?;
        let backend = Backend::register(&cli.name, &abilities)?;
        backend.set_nonblocking(true)?;
        if cli.default {
            fs::write(DEFAULT, &cli.name).with_context(|| format!("cannot write {DEFAULT}"))?;
        }
        complain!(
            "llamux-backend: {} answers for the model {}, {} tokens of context",
            cli.url,
            cli.name,
            abilities.context
        );
        match serve(backend, upstream, abilities.timeout).await? {
            Over::Server => complain!(
                "llamux-backend: {} does not answer any more: the model {} is taken back until it does",
                cli.url, cli.name
            ),
            Over::Unloaded => {
                complain!("llamux-backend: an administrator has unloaded {}", cli.name);
                return Ok(());
            }
        }
    }
}

/// Waits until the server is there.
async fn find(cli: &Cli, client: &reqwest::Client, key: &Option<String>) -> (Upstream, Facts) {
    let mut said = String::new();
    loop {
        match Upstream::find(client.clone(), cli, key.clone()).await {
            Ok(found) => return found,
            Err(failure) => {
                let why = failure.to_string();
                if why != said {
                    complain!("llamux-backend: waiting for {}: {why}", cli.url);
                    said = why;
                }
            }
        }
        sleep(SEARCH).await;
    }
}

async fn abilities(cli: &Cli, upstream: &Upstream, facts: &Facts) -> Result<Abilities> {
    let mut embedding = 0;
    if cli.embeddings {
        match upstream.embed("a").await {
            Ok((vector, _)) => embedding = u32::try_from(vector.len())?,
            Err(failure) => bail!("{} makes no embeddings: {failure}", cli.url),
        }
    }
    Ok(Abilities {
        context: cli.context.or(facts.context).unwrap_or(CONTEXT),
        active: cli.active,
        timeout: Duration::from_secs(cli.timeout.into()),
        chat: true,
        raw: !cli.no_raw,
        embedding,
        ..Abilities::default()
    })
}

/// Answers until the server or the model is gone.
async fn serve(backend: Backend, upstream: Upstream, timeout: Duration) -> Result<Over> {
    let backend = Arc::new(backend);
    // SAFETY: A backend has one file, which is open as long as it lives, and this has a reference to it.
    let readable = unsafe { AsyncFd::register_with_interest(backend.clone(), Interest::READABLE) };
    let readable = readable.map_err(std::io::Error::from)?;
    let mut tasks: JoinSet<u64> = JoinSet::new();
    let mut handles: HashMap<u64, AbortHandle> = HashMap::new();
    let suspicion = Arc::new(Notify::new());
    let gone = is_gone(&upstream, &suspicion);
    tokio::pin!(gone);
    let over = loop {
        tokio::select! {
            ready = readable.readable() => {
                let mut ready = ready?;
                match backend.next() {
                    Ok(Message::Ask(request)) => {
                        let id = request.id;
                        let (backend, upstream) = (backend.clone(), upstream.clone());
                        let suspicion = suspicion.clone();
                        let handle = tasks.spawn(async move {
                            if !answer(&backend, &upstream, request, timeout).await {
                                suspicion.notify_one();
                            }
                            id
                        });
                        handles.insert(id, handle);
                    }
                    Ok(Message::Cancel(id)) => {
                        // With the task its connection goes, and the server sees that.
                        if let Some(handle) = handles.remove(&id) {
                            handle.abort();
                        }
                    }
                    Ok(_) => (),
                    Err(BackendError::Other(error))
                        if error.kind() == std::io::ErrorKind::WouldBlock =>
                    {
                        ready.clear_ready();
                    }
                    Err(BackendError::Unloaded) => break Over::Unloaded,
                    Err(error) => return Err(error.into()),
                }
            }
            Some(done) = tasks.join_next(), if !tasks.is_empty() => {
                if let Ok(id) = done {
                    handles.remove(&id);
                }
            }
            () = &mut gone => break Over::Server,
        }
    };
    // They have the file, too, with which the model goes.
    tasks.shutdown().await;
    Ok(over)
}

/// Returns when the server has been silent again and again.
async fn is_gone(upstream: &Upstream, suspicion: &Notify) {
    let mut silences = 0;
    while silences < SILENCES {
        let pause = if silences == 0 { LOOK } else { SEARCH };
        tokio::select! {
            () = sleep(pause) => (),
            () = suspicion.notified(), if silences == 0 => (),
        }
        silences = match upstream.is_healthy().await {
            true => 0,
            false => silences + 1,
        };
    }
}

/// Answers a request. `false` if the server does not seem to be there.
async fn answer(
    backend: &Backend,
    upstream: &Upstream,
    request: Request,
    timeout: Duration,
) -> bool {
    let id = request.id;
    // While the server reads a long question it says nothing. As long as it is alive, that is no reason to give up.
    let alive = async {
        let mut tick = interval(timeout / 3);
        tick.tick().await;
        loop {
            tick.tick().await;
            if upstream.is_healthy().await && backend.alive(id).is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let failed = tokio::select! {
        done = ask(backend, upstream, &request) => done.err(),
        () = alive => None,
    };
    let Some(failed) = failed else { return true };
    let gone = matches!(failed, Failed::Server(upstream::Failure::Gone(_)));
    let failure = match failed {
        Failed::Kernel(BackendError::Cancelled | BackendError::Unloaded) => return true,
        Failed::Kernel(error) => {
            complain!("llamux-backend: request {id}: {error}");
            Failure::Failed
        }
        Failed::Server(upstream::Failure::TooLong) => Failure::TooLong,
        Failed::Server(failure) => {
            complain!("llamux-backend: request {id}: {failure}");
            Failure::Failed
        }
    };
    // Nobody may wait any more.
    let _ = backend.fail(id, failure);
    !gone
}

enum Failed {
    Kernel(BackendError),
    Server(upstream::Failure),
}

impl From<BackendError> for Failed {
    fn from(error: BackendError) -> Self {
        Self::Kernel(error)
    }
}

impl From<upstream::Failure> for Failed {
    fn from(failure: upstream::Failure) -> Self {
        Self::Server(failure)
    }
}

async fn ask(backend: &Backend, upstream: &Upstream, request: &Request) -> Result<(), Failed> {
    let id = request.id;
    if request.embed {
        let text: String = request.turns.iter().map(|turn| turn.1.as_str()).collect();
        let (vector, prompt_tokens) = upstream.embed(&text).await?;
        backend.vector(id, &vector)?;
        let usage = Usage {
            prompt_tokens,
            ..Usage::default()
        };
        return Ok(backend.end(id, End::Own, usage)?);
    }
    let mut stream = upstream.ask(request).await?;
    let (mut end, mut usage) = (None, Usage::default());
    while let Some(part) = stream.next().await? {
        if !part.text.is_empty() {
            backend.text(id, &part.text, 1)?;
        }
        end = part.end.or(end);
        usage = part.usage.unwrap_or(usage);
    }
    // A stream that ends without a reason was cut off.
    let Some(end) = end else {
        return Err(upstream::Failure::Gone("the answer was cut off".to_owned()).into());
    };
    match backend.end(id, end, usage) {
        // What it counts may not fit what it said of its context. The answer is none the worse.
        Err(BackendError::Other(_)) => Ok(backend.end(id, end, Usage::default())?),
        done => Ok(done?),
    }
}
