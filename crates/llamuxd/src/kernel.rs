// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel's model, by `/dev/llama`.
//!
//! No thread waits for an answer: the device can be polled. A session that nobody wants any more is closed, and the
//! kernel ends its answer with it.

use std::sync::Arc;

use llamux::{Command, Error, ListedModel, Session};
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::sync::mpsc;

use crate::engine::{Engine, Later, Likelihood, Outcome, Part, Parts, Question, Vectors};
use crate::user::Opener;

/// What the kernel counts.
const STATISTICS: [&str; 2] = ["/proc/llamux/status", "/proc/llamux/stats"];
/// Turns that are held at most before they are computed; the kernel holds one more, which is the last.
const HELD: usize = 31;
/// Bytes that are held at most before that.
const HELD_BYTES: usize = llamux::PROMPT_MAX;

/// The kernel.
pub struct Kernel {
    opener: Arc<Opener>,
}

impl Kernel {
    /// The kernel's model, whose sessions are opened by this one.
    pub fn new(opener: Opener) -> Self {
        Self {
            opener: Arc::new(opener),
        }
    }
}

impl Engine for Kernel {
    fn models(&self) -> Result<Vec<ListedModel>, Error> {
        llamux::models()
    }

    fn ask(&self, user: Option<u32>, question: Question) -> Parts {
        // Few: who does not read what is there has the kernel keep the rest.
        let (parts, receiver) = mpsc::channel(16);
        let opener = self.opener.clone();
        tokio::spawn(async move {
            let answered = tokio::select! {
                biased;
                // Dropping the other closes the session.
                () = parts.closed() => return,
                answered = answer(&opener, user, &question, &parts) => answered,
            };
            if let Err(error) = answered {
                // Nobody may be there to hear it.
                let _ = parts.send(Err(error)).await;
            }
        });
        receiver
    }

    fn embed(
        &self,
        user: Option<u32>,
        model: Option<String>,
        texts: Vec<String>,
    ) -> Later<Result<Vectors, Error>> {
        let opener = self.opener.clone();
        Box::pin(async move {
            let session = Arc::new(opener.open(user).await?);
            session.set_nonblocking(true)?;
            if let Some(name) = model {
                session.choose_model(&name, false)?;
            }
            let (mut vectors, mut tokens) = (Vec::with_capacity(texts.len()), 0);
            for text in texts {
                let session = session.clone();
                let embedded = blocking(move || session.embedding(&text)).await?;
                vectors.push(embedded.0);
                tokens += u64::from(embedded.1);
            }
            Ok((vectors, tokens))
        })
    }

    fn statistics(&self) -> String {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        STATISTICS.map(read).concat()
    }
}

/// Asks, and passes on what comes.
async fn answer(
    opener: &Opener,
    user: Option<u32>,
    question: &Question,
    parts: &mpsc::Sender<Result<Part, Error>>,
) -> Result<(), Error> {
    let session = opener.open(user).await?;
    session.set_nonblocking(true)?;
    if let Some(name) = &question.model {
        session.choose_model(name, false)?;
    }
    let session = Arc::new(session);
    let Some(((role, last), before)) = question.turns.split_last() else {
        return Err(Error::EmptyPrompt);
    };
    let command = command(question, last);
    session.set(&command)?;
    let (mut held, mut bytes) = (0, 0_usize);
    for (role, text) in before {
        if held == HELD || bytes.saturating_add(text.len()) > HELD_BYTES {
            compute(&session).await?;
            (held, bytes) = (0, 0);
        }
        session.say(*role, text)?;
        held += 1;
        bytes = bytes.saturating_add(text.len());
    }
    if bytes.saturating_add(last.len()) > HELD_BYTES && held > 0 {
        compute(&session).await?;
    }
    session.begin(*role, &command)?;
    // SAFETY: The descriptor is the session's, which gives out no other and is open for as long as it is there.
    let device = unsafe { AsyncFd::register_with_interest(session, Interest::READABLE) }
        .map_err(|error| Error::Other(std::io::Error::other(error.to_string())))?;
    let mut buffer = vec![0; 4096];
    loop {
        let read = match device.get_ref().read(&mut buffer)? {
            Some(read) => read,
            None => {
                let mut ready = device.readable().await.map_err(Error::Other)?;
                // What came since then would not be told of again.
                match device.get_ref().read(&mut buffer)? {
                    Some(read) => read,
                    None => {
                        ready.clear_ready();
                        continue;
                    }
                }
            }
        };
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()).into_owned();
        if parts.send(Ok(Part::Text(text))).await.is_err() {
            return Ok(());
        }
    }
    let session = device.get_ref();
    let ended = session.outcome()?;
    let likelihoods = match question.log_probabilities {
        true => session.log_probabilities()?,
        false => Vec::new(),
    };
    let likelihoods = likelihoods.iter().map(|token| Likelihood {
        log: token.log,
        offset: token.offset,
    });
    let outcome = Outcome {
        prompt_tokens: ended.prompt_tokens,
        cached_tokens: ended.cached_tokens,
        tokens: ended.tokens,
        stop_reason: ended.stop_reason,
        likelihoods: likelihoods.collect(),
    };
    let _ = parts.send(Ok(Part::End(outcome))).await;
    Ok(())
}

/// Has all that is held computed, which makes room for more to be held.
async fn compute(session: &Arc<Session>) -> Result<(), Error> {
    /// Ends it if it is dropped meanwhile.
    struct Ending(Arc<Session>);
    impl Drop for Ending {
        fn drop(&mut self) {
            // There may be nothing to end.
            let _ = self.0.cancel();
        }
    }
    let ending = Ending(session.clone());
    let busy = session.clone();
    let computed = blocking(move || busy.prewarm()).await;
    drop(ending);
    computed
}

/// Runs what blocks in a thread of its own.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(run).await;
    done.unwrap_or_else(|error| Err(Error::Other(std::io::Error::other(error))))
}

fn command(question: &Question, prompt: &str) -> Command {
    let mut command = Command::new(prompt)
        .raw(question.raw)
        .wait(false)
        .seed(question.seed)
        .log_probabilities(question.log_probabilities)
        .keep_all(true);
    for stop in &question.stops {
        command = command.stop(stop.as_str());
    }
    if let Some(grammar) = &question.grammar {
        command = command.grammar(grammar.clone());
    }
    if let Some(tokens) = question.max_tokens {
        command = command.max_tokens(tokens);
    }
    if let Some(value) = question.temperature {
        command = command.temperature(value);
    }
    if let Some(value) = question.top_k {
        command = command.top_k(value);
    }
    if let Some(value) = question.top_p {
        command = command.top_p(value);
    }
    if let Some(value) = question.min_p {
        command = command.min_p(value);
    }
    if let Some(value) = question.repeat_penalty {
        command = command.repeat_penalty(value);
    }
    if let Some(timeout) = question.timeout {
        command = command.timeout(timeout);
    }
    command
}
