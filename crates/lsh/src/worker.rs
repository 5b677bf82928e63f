// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A thread that asks the model, so that the terminal never waits for it.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use llamux_assistant::command::{self, Context, Fix, Last, Part, Proposal, ProposeError};
use llamux_assistant::{Model, Reply, Request};

use crate::shells::Shell;

/// Makes the model, in the thread that asks it.
pub type MakeModel = Box<dyn FnOnce() -> Result<Box<dyn Model>, llamux::Error> + Send>;

/// What the model is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Task {
    /// A command for a request.
    Propose(String),
    /// The rest of a command.
    Complete(String),
    /// Why the last command failed.
    Fix,
    /// What the parts of a command mean. This asks no model.
    Describe(String),
}

/// Where it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The shell that would run the command.
    pub(crate) shell: command::Shell,
    /// The directory that it would run in.
    pub(crate) cwd: PathBuf,
    /// The command before.
    pub(crate) last: Option<Last>,
    /// Commands before that.
    pub(crate) history: Vec<String>,
}

impl Place {
    /// This process, of which nothing was asked before.
    pub(crate) fn here(shell: Shell) -> Self {
        Self {
            shell: shell.into(),
            cwd: std::env::current_dir().unwrap_or_else(|_| "/".into()),
            last: None,
            history: vec![],
        }
    }
}

/// What came of a task.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A command.
    Proposal(Box<Proposal>),
    /// Why the last command failed, and perhaps a command.
    Fix(Box<Fix>),
    /// What the parts of a command mean.
    Parts(Vec<Part>),
    /// Nothing.
    Failed(ProposeError),
}

/// The thread.
pub(crate) struct Worker {
    orders: Sender<Order>,
}

/// A task for the thread.
struct Order {
    task: Task,
    place: Place,
    cancelled: Arc<AtomicBool>,
    result: Sender<Outcome>,
    wake: Option<UnixStream>,
}

/// A task that the thread has.
pub(crate) struct Job {
    result: Receiver<Outcome>,
    cancelled: Arc<AtomicBool>,
    /// When it began.
    pub(crate) begun: Instant,
}

impl Worker {
    /// Starts the thread. No answer takes longer than `timeout`.
    pub(crate) fn new(make: MakeModel, timeout: Duration) -> Self {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            let mut desk = Desk {
                make: Some(make),
                model: None,
                context: None,
                timeout,
            };
            while let Ok(order) = taken.recv() {
                if order.cancelled.load(Ordering::Relaxed) {
                    continue;
                }
                let outcome = desk.serve(&order);
                // Who asked may have given up.
                drop(order.result.send(outcome));
                if let Some(mut wake) = order.wake {
                    drop(wake.write(&[0]));
                }
            }
        });
        Self { orders }
    }

    /// Gives the thread a task; when it is done, `wake` is written to.
    pub(crate) fn begin(&self, task: Task, place: Place, wake: Option<UnixStream>) -> Job {
        let (result, receiver) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        drop(self.orders.send(Order {
            task,
            place,
            cancelled: cancelled.clone(),
            result,
            wake,
        }));
        Job {
            result: receiver,
            cancelled,
            begun: Instant::now(),
        }
    }
}

impl Job {
    /// What came of it, if it is done.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self.result.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Outcome::Failed(ProposeError::Cancelled)),
        }
    }

    /// Waits for what comes of it.
    pub(crate) fn wait(self) -> Outcome {
        let outcome = self.result.recv();
        outcome.unwrap_or(Outcome::Failed(ProposeError::Cancelled))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// What the thread works with.
struct Desk {
    make: Option<MakeModel>,
    model: Option<Box<dyn Model>>,
    /// Where programs were looked for when it was made, and what is known.
    context: Option<(Option<OsString>, Context)>,
    timeout: Duration,
}

impl Desk {
    fn serve(&mut self, order: &Order) -> Outcome {
        self.try_serve(order).unwrap_or_else(Outcome::Failed)
    }

    fn try_serve(&mut self, order: &Order) -> Result<Outcome, ProposeError> {
        let path = std::env::var_os("PATH");
        let before = self.context.take().filter(|(known, _)| *known == path);
        let context = context(before.map(|(_, context)| context), &order.place);
        let (_, context) = self.context.insert((path, context));
        if let Task::Describe(command) = &order.task {
            return Ok(Outcome::Parts(command::describe(context, command)));
        }
        if self.model.is_none() {
            let make = self.make.take().ok_or(ProposeError::Cancelled)?;
            self.model = Some(make()?);
        }
        let model = self.model.as_mut().ok_or(ProposeError::Cancelled)?;
        let mut model = Limited {
            model: model.as_mut(),
            deadline: Instant::now() + self.timeout,
            cancelled: &order.cancelled,
        };
        let each = &mut |_: &str| !order.cancelled.load(Ordering::Relaxed);
        Ok(match &order.task {
            Task::Propose(request) => {
                let proposal = command::propose(&mut model, context, request, each)?;
                Outcome::Proposal(Box::new(proposal))
            }
            Task::Complete(typed) => {
                let proposal = command::complete(&mut model, context, typed, each)?;
                Outcome::Proposal(Box::new(proposal))
            }
            Task::Fix => Outcome::Fix(Box::new(command::fix(&mut model, context, each)?)),
            Task::Describe(_) => return Err(ProposeError::Cancelled),
        })
    }
}

/// The surroundings of a place. What is installed is kept from before.
pub(crate) fn context(before: Option<Context>, place: &Place) -> Context {
    let mut context = before.unwrap_or_else(|| Context::here(place.shell));
    context.shell = place.shell;
    context.cwd.clone_from(&place.cwd);
    context.last.clone_from(&place.last);
    context.history.clone_from(&place.history);
    context
}

/// A model that answers in time or not at all.
struct Limited<'m> {
    model: &'m mut dyn Model,
    deadline: Instant,
    cancelled: &'m AtomicBool,
}

impl Model for Limited<'_> {
    fn ask(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Reply, llamux::Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(llamux::Error::TimedOut);
        }
        let mut request = request.clone();
        request.timeout = Some(left);
        let mut reply = self.model.ask(&request, &mut |part| {
            !self.cancelled.load(Ordering::Relaxed) && each(part)
        })?;
        if !reply.complete {
            // Half a command may do something else than the whole: it is as good as none.
            reply.text.clear();
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model that only remembers what time it had.
    struct Clock(Option<Duration>);

    impl Model for Clock {
        fn ask(
            &mut self,
            request: &Request,
            _: &mut dyn FnMut(&str) -> bool,
        ) -> Result<Reply, llamux::Error> {
            self.0 = request.timeout;
            Err(llamux::Error::TimedOut)
        }
    }

    #[test]
    fn what_is_allowed_goes_before_what_a_request_has() {
        let mut request = Request::new("", "");
        for own in [None, Some(Duration::from_secs(1)), Some(Duration::MAX)] {
            request.timeout = own;
            let mut clock = Clock(None);
            let mut limited = Limited {
                model: &mut clock,
                deadline: Instant::now() + Duration::from_secs(3600),
                cancelled: &AtomicBool::new(false),
            };
            assert!(limited.ask(&request, &mut |_| true).is_err());
            let left = clock.0.expect("there is a time");
            let hour = Duration::from_secs(3000)..=Duration::from_secs(3600);
            assert!(hour.contains(&left), "{own:?}: {left:?}");
        }
    }

    #[test]
    fn model_that_is_missing_is_an_outcome_and_describing_needs_none() {
        let worker = Worker::new(
            Box::new(|| Err(llamux::Error::Forbidden)),
            Duration::from_secs(1),
        );
        let place = Place {
            shell: command::Shell::Bash,
            cwd: "/".into(),
            last: None,
            history: vec![],
        };
        let job = worker.begin(Task::Describe("ls -l".into()), place.clone(), None);
        assert!(matches!(job.wait(), Outcome::Parts(parts) if !parts.is_empty()));
        let job = worker.begin(Task::Propose("list the files".into()), place, None);
        assert!(matches!(
            job.wait(),
            Outcome::Failed(ProposeError::Model(llamux::Error::Forbidden))
        ));
    }
}
