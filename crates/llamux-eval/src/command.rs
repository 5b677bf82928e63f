// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Requests to commands: each command is run in a sandbox and judged by its effect.
//!
//! What cannot be run in one (services, packages, networks) is judged by the forms that are right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use llamux_assistant::command::{self, Context, Danger, Machine, ProposeError, Shell, System};
use llamux_assistant::Model;
use serde::{Deserialize, Serialize};

/// Longest time that a command may run.
const TIME: Duration = Duration::from_secs(10);
/// Most bytes that are read of what it prints.
const OUTPUT: usize = 1 << 20;

/// Which tasks are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Those of the table.
    Judged,
    /// A few for tuning, which are in no table.
    Tuning,
    /// Those that nothing is tuned by.
    HeldOut,
}

/// A request, and what is right.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What the user says.
    pub ask: String,
    /// What there is before.
    #[serde(rename = "in", default)]
    pub fixture: String,
    /// The distribution, Debian if nothing is said.
    pub system: Option<String>,
    /// A command that is right.
    pub run: String,
    /// How a command is judged.
    pub judge: Judge,
    /// What is run after it, whose output is judged.
    pub check: Option<String>,
    /// What must be printed.
    #[serde(default)]
    pub expect: String,
    /// The forms that are right.
    #[serde(default)]
    pub forms: Vec<String>,
}

/// How a command is judged.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// It prints these lines, in any order.
    Lines,
    /// It prints these lines, in this order.
    Ordered,
    /// It prints a line for each of these files, which may say more and then ends with the name.
    Names,
    /// It prints lines that end with these, in any order.
    Ends,
    /// The first number that it prints is this one.
    Number,
    /// It prints one line, with these words in it.
    Words,
    /// It prints these lines, in any order, and the words of each in any order.
    Counts,
    /// What is run after it prints this.
    Check,
    /// It is one of the forms.
    Forms,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tasks {
    task: Vec<Task>,
}

/// What there is before a command is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    setup: String,
    /// The directory below the home, `work` if nothing is said.
    directory: Option<String>,
}

/// Reads the tasks.
pub fn tasks(set: Set) -> Result<Vec<Task>> {
    let text = match set {
        Set::Judged => include_str!("../tasks/command.toml"),
        Set::Tuning => include_str!("../tasks/command-dev.toml"),
        Set::HeldOut => include_str!("../tasks/command-held-out.toml"),
    };
    Ok(toml::from_str::<Tasks>(text)?.task)
}

fn fixtures() -> Result<BTreeMap<String, Fixture>> {
    Ok(toml::from_str(include_str!(
        "../tasks/command-fixtures.toml"
    ))?)
}

/// What a command did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// What the check printed.
    pub check: String,
    /// Whether files are other than before.
    pub changed: bool,
}

/// A home directory with what a task needs, and a place for what comes of it.
pub struct Sandbox {
    root: tempfile::TempDir,
    fixture: Fixture,
}

impl Sandbox {
    /// Whether there is what sandboxes are made with.
    pub fn works() -> bool {
        Command::new("bwrap")
            .args(["--ro-bind", "/", "/", "--unshare-all", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Lays out what a task needs.
    pub fn new(task: &Task) -> Result<Self> {
        let fixture = match task.fixture.as_str() {
            "" => Fixture::default(),
            name => fixtures()?
                .remove(name)
                .with_context(|| format!("{}: there is no fixture {name}", task.ask))?,
        };
        let root = tempfile::tempdir()?;
        let sandbox = Self { root, fixture };
        let work = sandbox.work();
        fs::create_dir_all(&work)?;
        fs::create_dir_all(sandbox.judge())?;
        for (name, text) in &sandbox.fixture.files {
            let path = work.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, text)?;
        }
        // The set-up is part of every run, for the processes that it starts; what it makes must be seen before, too.
        if !sandbox.fixture.setup.is_empty() {
            sandbox.run("true", None)?;
        }
        Ok(sandbox)
    }

    fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    fn judge(&self) -> PathBuf {
        self.root.path().join("judge")
    }

    /// Where the command runs, as it is called outside.
    pub fn work(&self) -> PathBuf {
        self.home().join(self.directory())
    }

    fn directory(&self) -> &str {
        self.fixture.directory.as_deref().unwrap_or("work")
    }

    /// Runs a command, and a check after it.
    pub fn run(&self, command: &str, check: Option<&str>) -> Result<Outcome> {
        // The set-up runs once: again there are only its processes to start.
        let ready = self.judge().join("ready");
        let setup = match ready.exists() {
            false => self.fixture.setup.as_str(),
            true if self.fixture.setup.contains('&') && !self.fixture.setup.contains("&&") => {
                self.fixture.setup.as_str()
            }
            true => "",
        };
        let judge = self.judge();
        fs::write(judge.join("setup.sh"), setup)?;
        fs::write(judge.join("command.sh"), command)?;
        fs::write(judge.join("check.sh"), check.unwrap_or_default())?;
        fs::write(judge.join("driver.sh"), DRIVER)?;
        let inside = format!("/home/user/{}", self.directory());
        let mut bwrap = Command::new("bwrap");
        bwrap.args([
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
        ]);
        bwrap.args(["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]);
        for path in ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"] {
            bwrap.args(["--ro-bind-try", path, path]);
        }
        bwrap.args([
            "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run",
        ]);
        bwrap
            .args(["--dir", "/home", "--bind"])
            .arg(self.home())
            .arg("/home/user");
        bwrap.arg("--bind").arg(&judge).arg("/judge");
        for (name, value) in [
            ("HOME", "/home/user"),
            (
                "PATH",
                "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            ),
            ("USER", "user"),
            ("LOGNAME", "user"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("TERM", "dumb"),
            ("PAGER", "cat"),
            ("GIT_AUTHOR_NAME", "Ida"),
            ("GIT_AUTHOR_EMAIL", "ida@example.org"),
            ("GIT_COMMITTER_NAME", "Ida"),
            ("GIT_COMMITTER_EMAIL", "ida@example.org"),
            ("GIT_EDITOR", "true"),
        ] {
            bwrap.args(["--setenv", name, value]);
        }
        bwrap.args(["--chdir", &inside, "bash", "/judge/driver.sh"]);
        let mut child = bwrap
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("bwrap cannot be started; install bubblewrap")?;
        let begin = Instant::now();
        // Some more than the command's own time, for the set-up and the check.
        while child.try_wait()?.is_none() {
            if begin.elapsed() > TIME * 2 {
                child.kill()?;
                child.wait()?;
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if !judge.join("ready").exists() {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                std::io::Read::read_to_string(&mut stderr, &mut said)?;
            }
            bail!("the sandbox does not work: {}", said.trim());
        }
        let read = |name: &str| {
            let bytes = fs::read(judge.join(name)).unwrap_or_default();
            String::from_utf8_lossy(bytes.get(..OUTPUT).unwrap_or(&bytes)).into_owned()
        };
        Ok(Outcome {
            stdout: read("stdout"),
            stderr: read("stderr"),
            check: read("check"),
            changed: read("before") != read("after"),
        })
    }
}

/// What runs in the sandbox: the set-up, the command and the check, each in a shell of its own but the first.
const DRIVER: &str = r#"
ulimit -f 200000 -v 8000000 -t 20
state() {
    find "$HOME" -name .git -prune -o -name '.cache' -prune -o -printf '%P %y %m %s %l %C@\n' | sort
}
. /judge/setup.sh > /dev/null 2> /judge/setup
: > /judge/ready
state > /judge/before
timeout -k 1 10 bash /judge/command.sh > /judge/stdout 2> /judge/stderr < /dev/null
state > /judge/after
timeout -k 1 5 bash /judge/check.sh > /judge/check 2> /dev/null < /dev/null
"#;

impl Task {
    /// Whether a command is right, and if not what came instead.
    pub fn judge(&self, sandbox: &Sandbox, command: &str) -> Result<(bool, Outcome)> {
        if self.judge == Judge::Forms {
            let form = normal(command);
            let right = self.forms.iter().any(|accepted| normal(accepted) == form);
            let outcome = Outcome {
                stdout: form,
                ..Outcome::default()
            };
            return Ok((right, outcome));
        }
        let outcome = sandbox.run(command, self.check.as_deref())?;
        let got = if self.judge == Judge::Check {
            &outcome.check
        } else {
            &outcome.stdout
        };
        Ok((self.judge.holds(&self.expect, got), outcome))
    }

    fn system(&self) -> System {
        match self.system.as_deref() {
            Some("arch") => System::Arch,
            _ => System::Debian,
        }
    }
}

impl Judge {
    /// Whether what came is what was expected.
    pub fn holds(self, expected: &str, got: &str) -> bool {
        let lines = |text: &str| -> Vec<String> {
            text.lines()
                .map(clean)
                .filter(|line| !line.is_empty())
                .collect()
        };
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        match self {
            Self::Ordered | Self::Check => lines(expected) == lines(got),
            Self::Lines => sorted(lines(expected)) == sorted(lines(got)),
            Self::Names => {
                let name = |line: String| {
                    let word = line.split_whitespace().next_back().unwrap_or_default();
                    word.rsplit('/').next().unwrap_or_default().to_owned()
                };
                let each = |text: &str| sorted(lines(text).into_iter().map(name).collect());
                each(expected) == each(got)
            }
            Self::Ends => {
                let (expected, got) = (lines(expected), lines(got));
                let ends = |end: &String| got.iter().any(|line| line.ends_with(end.as_str()));
                expected.len() == got.len() && expected.iter().all(ends)
            }
            Self::Number => match (number(expected), number(got)) {
                (Some(a), Some(b)) => (a - b).abs() <= 0.01 * a.abs().min(1.0),
                _ => false,
            },
            Self::Words => {
                let got = lines(got);
                let [line] = got.as_slice() else {
                    return false;
                };
                let mut words = line.split_whitespace();
                clean(expected)
                    .split_whitespace()
                    .all(|word| words.any(|found| clean(found) == word))
            }
            Self::Counts => {
                let words = |line: String| {
                    let text = line.replace([':', ','], " ");
                    sorted(text.split_whitespace().map(str::to_owned).collect()).join(" ")
                };
                let each = |text: &str| sorted(lines(text).into_iter().map(words).collect());
                each(expected) == each(got)
            }
            Self::Forms => false,
        }
    }
}

/// A line as it means the same: spaces are one space, and files are named from where the command ran.
fn clean(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.strip_prefix("/home/user/").unwrap_or(&line);
    let line = line.strip_prefix("work/").unwrap_or(line);
    line.strip_prefix("./").unwrap_or(line).to_owned()
}

/// The first number in a text.
fn number(text: &str) -> Option<f64> {
    let begin = text.find(|c: char| c.is_ascii_digit())?;
    let rest = text.get(begin..)?;
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(rest.len());
    rest.get(..end)?.trim_end_matches('.').parse().ok()
}

/// A command in the one form of all that mean the same: without `sudo` and quotes, short options each on its own
/// and in order, `.service` left out.
fn normal(command: &str) -> String {
    let mut out = vec![];
    for part in command.split("&&") {
        let mut options = vec![];
        let mut operands = vec![];
        for word in part.split_whitespace() {
            let word = word.trim_matches(['\'', '"']).trim_end_matches(';');
            let word = word.strip_suffix(".service").unwrap_or(word);
            match word {
                "sudo" | "--no-pager" | "" => {}
                _ if word.starts_with("--") => options.push(word.to_owned()),
                _ if word.starts_with('-') && operands.first().is_some_and(|name| name == "ip") => {
                    options.push(word.to_owned());
                }
                _ if word.starts_with('-') => {
                    options.extend(word.chars().skip(1).map(|letter| format!("-{letter}")));
                }
                _ => operands.push(word.to_owned()),
            }
        }
        options.sort();
        options.dedup();
        let words: Vec<_> = operands
            .iter()
            .take(1)
            .chain(&options)
            .chain(operands.iter().skip(1))
            .cloned()
            .collect();
        out.push(words.join(" "));
    }
    out.join(" && ")
}

/// What came of one task.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The request.
    pub ask: String,
    /// The command that was proposed, if any.
    pub command: String,
    /// Whether it does what was asked.
    pub right: bool,
    /// How often the model was asked.
    pub asked: u32,
    /// Whether nothing was found to be wrong with it before it ran.
    pub valid: bool,
    /// How dangerous it was said to be.
    pub danger: Option<Danger>,
    /// Whether it was said to change nothing, and changed files.
    pub misjudged: bool,
    /// Milliseconds to the first word.
    pub first_ms: u64,
    /// Milliseconds in all.
    pub whole_ms: u64,
    /// Tokens of the prompts.
    pub prompt_tokens: u32,
    /// Tokens of the answers.
    pub tokens: u32,
    /// What it printed, or why there is none.
    pub got: String,
}

/// What came of all tasks.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many there were.
    pub tasks: usize,
    /// How many of them were judged by form.
    pub forms: usize,
    /// How many were right at the first answer of the model.
    pub right_first: usize,
    /// How many were right at the end.
    pub right: usize,
    /// How many came to nothing or were shown as not verified.
    pub invalid: usize,
    /// How many changed files although they were said not to.
    pub misjudged: usize,
    /// Milliseconds to the first word: the median, and what nine of ten are below.
    pub first_ms: (u64, u64),
    /// Milliseconds in all.
    pub whole_ms: (u64, u64),
    /// Tokens of the answers, in the mean.
    pub tokens: f64,
    /// Each task.
    pub results: Vec<Judged>,
}

/// Where a command is asked for in a task.
pub(crate) fn context(task: &Task, cwd: &Path, machine: &Machine) -> Context {
    Context {
        shell: Shell::Bash,
        cwd: cwd.into(),
        home: None,
        system: task.system(),
        root: false,
        last: None,
        history: vec![],
        machine: machine.clone(),
    }
}

/// This machine, and the same with what is judged by form: that is not run, and need not be installed.
pub(crate) fn machines(tasks: &[Task]) -> (Machine, Machine) {
    let forms = tasks.iter().flat_map(|task| &task.forms);
    let named = forms
        .flat_map(|form| form.split_whitespace())
        .map(str::to_owned);
    let machine = Machine::here();
    let unrun = machine.clone().assuming(named.chain(["sudo".to_owned()]));
    (machine, unrun)
}

/// Has the model propose a command for each task, and judges it.
pub fn measure(
    model: &mut dyn Model,
    tasks: &[Task],
    each: &mut dyn FnMut(&Judged),
) -> Result<Report> {
    let (machine, unrun) = machines(tasks);
    let mut results = vec![];
    // What every request begins with is computed before the clock runs, as it is on a machine that was asked before.
    if let Some(task) = tasks.first() {
        let context = context(task, Path::new("/nonexistent"), &machine);
        drop(command::propose(
            model,
            &context,
            "print hello",
            &mut |_| true,
        ));
    }
    for task in tasks {
        let sandbox = Sandbox::new(task)?;
        let machine = if task.judge == Judge::Forms {
            &unrun
        } else {
            &machine
        };
        let context = context(task, &sandbox.work(), machine);
        let mut result = Judged {
            ask: task.ask.clone(),
            command: String::new(),
            right: false,
            asked: 0,
            valid: false,
            danger: None,
            misjudged: false,
            first_ms: 0,
            whole_ms: 0,
            prompt_tokens: 0,
            tokens: 0,
            got: String::new(),
        };
        match command::propose(model, &context, &task.ask, &mut |_| true) {
            Ok(proposal) => {
                let (right, outcome) = task.judge(&sandbox, &proposal.command)?;
                result.right = right;
                result.asked = proposal.cost.asked;
                result.valid = proposal.unverified.is_empty();
                result.danger = Some(proposal.danger);
                result.misjudged = proposal.danger == Danger::ReadOnly && outcome.changed;
                result.first_ms = proposal.cost.first_ms.unwrap_or_default();
                result.whole_ms = proposal.cost.whole_ms;
                result.prompt_tokens = proposal.cost.prompt_tokens;
                result.tokens = proposal.cost.tokens;
                result.command = proposal.command;
                let got = [outcome.stdout, outcome.check, outcome.stderr].join(" | ");
                result.got = got.chars().take(300).collect();
            }
            Err(ProposeError::Model(error)) => return Err(error.into()),
            Err(error) => result.got = error.to_string(),
        }
        each(&result);
        results.push(result);
    }
    let forms = tasks
        .iter()
        .filter(|task| task.judge == Judge::Forms)
        .count();
    Ok(report(results, forms))
}

fn report(results: Vec<Judged>, forms: usize) -> Report {
    let count =
        |holds: &dyn Fn(&Judged) -> bool| results.iter().filter(|result| holds(result)).count();
    let spread = |of: &dyn Fn(&Judged) -> u64| {
        let mut values: Vec<_> = results
            .iter()
            .filter(|result| result.asked > 0)
            .map(of)
            .collect();
        values.sort_unstable();
        let at = |tenths: usize| {
            let place = (values.len() * tenths / 10).min(values.len().saturating_sub(1));
            values.get(place).copied().unwrap_or_default()
        };
        (at(5), at(9))
    };
    let tokens: u32 = results.iter().map(|result| result.tokens).sum();
    Report {
        tasks: results.len(),
        forms,
        right_first: count(&|result| result.right && result.asked <= 1),
        right: count(&|result| result.right),
        invalid: count(&|result| !result.valid),
        misjudged: count(&|result| result.misjudged),
        first_ms: spread(&|result| result.first_ms),
        whole_ms: spread(&|result| result.whole_ms),
        tokens: f64::from(tokens) / results.len().max(1) as f64,
        results,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamux_assistant::command::{pairs, ProblemKind};
    use std::collections::BTreeSet;

    fn every() -> Vec<Task> {
        let mut all = tasks(Set::Judged).unwrap();
        all.extend(tasks(Set::Tuning).unwrap());
        all.extend(tasks(Set::HeldOut).unwrap());
        all
    }

    #[test]
    fn there_are_enough_tasks_and_few_are_judged_by_form() {
        for (set, least) in [(Set::Judged, 300), (Set::HeldOut, 80)] {
            let judged = tasks(set).unwrap();
            assert!(judged.len() >= least, "{}", judged.len());
            let forms = judged
                .iter()
                .filter(|task| task.judge == Judge::Forms)
                .count();
            assert!(forms * 4 < judged.len(), "{forms} of {}", judged.len());
        }
    }

    /// What share of the words of two texts is the same.
    fn overlap(a: &str, b: &str) -> f64 {
        let words = |text: &str| -> BTreeSet<String> {
            let lower = text.to_lowercase();
            let words = lower.split(|c: char| !c.is_alphanumeric());
            words
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let (a, b) = (words(a), words(b));
        a.intersection(&b).count() as f64 / a.union(&b).count().max(1) as f64
    }

    #[test]
    fn no_request_is_one_of_the_examples() {
        let mut seen: Vec<String> = vec![];
        for task in every() {
            assert!(!seen.contains(&task.ask), "twice: {}", task.ask);
            for pair in pairs::all() {
                let overlap = overlap(&task.ask, &pair.ask);
                assert!(overlap < 0.7, "{overlap}: {} / {}", task.ask, pair.ask);
            }
            seen.push(task.ask);
        }
    }

    /// What is wrong with a task.
    fn faults(task: &Task, machine: &Machine) -> Vec<String> {
        let mut wrong = vec![];
        let sandbox = Sandbox::new(task).unwrap();
        let context = context(task, &sandbox.work(), machine);
        let problems = command::check(&context, &task.run);
        let missing = problems
            .iter()
            .find(|problem| matches!(problem.kind, ProblemKind::NotInstalled { .. }));
        if let Some(missing) = missing.filter(|_| task.judge != Judge::Forms) {
            eprintln!("left out: {}: {missing}", task.ask);
            return vec![];
        }
        if task.judge.holds(&task.expect, "") {
            wrong.push(format!("{}: nothing is taken for right", task.ask));
        }
        if task.judge(&sandbox, "echo wrong").unwrap().0 {
            wrong.push(format!("{}: something else is taken for right", task.ask));
        }
        let (right, outcome) = task.judge(&sandbox, &task.run).unwrap();
        if !right {
            let Outcome {
                stdout,
                check,
                stderr,
                ..
            } = &outcome;
            wrong.push(format!("{}: {stdout:?} {check:?} {stderr:?}", task.ask));
        }
        let danger = command::danger::judge(&task.run).danger;
        if danger == Danger::ReadOnly && outcome.changed {
            wrong.push(format!("{}: changes files, and is {danger}", task.ask));
        }
        wrong
    }

    #[test]
    fn every_solution_is_right_and_nothing_else_is() {
        if !Sandbox::works() {
            eprintln!("left out: bubblewrap makes no sandbox here");
            return;
        }
        let machine = Machine::here();
        let every = every();
        // Each waits for others more than it computes.
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let parts: Vec<_> = every
                .chunks(every.len().div_ceil(4))
                .map(|part| {
                    let machine = &machine;
                    scope.spawn(move || {
                        part.iter()
                            .flat_map(|task| faults(task, machine))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap())
                .collect()
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn judges_tell_right_from_wrong() {
        for (judge, expected, got, right) in [
            (Judge::Lines, "a\nb\n", "./b\n\na\n", true),
            (Judge::Lines, "a\nb\n", "a\n", false),
            (Judge::Ordered, "a\nb\n", "b\na\n", false),
            (Judge::Ordered, "1 a\n", "     1\ta\n", true),
            (Judge::Names, "a/b\nc\n", "c\n-rw-r--r-- 1 b\n", true),
            (Judge::Names, "a/b\nc\n", "c\n", false),
            (Judge::Ends, "a/\na/b\n", "drwx a/\n-rw- a/b\n", true),
            (Judge::Ends, "a/\na/b\n", "a/b\na/b\n", false),
            (Judge::Number, "9", "9 sales.csv\n", true),
            (Judge::Number, "9", "90\n", false),
            (Judge::Number, "2.5", "2.50\n", true),
            (Judge::Number, "9", "", false),
            (Judge::Words, "apple", "      3 apple\n", true),
            (Judge::Words, "apple", "apple\npear\n", false),
            (Judge::Counts, "2 a\n1 b\n", "b: 1\na: 2\n", true),
            (Judge::Counts, "2 a\n1 b\n", "b: 2\na: 1\n", false),
        ] {
            assert_eq!(
                judge.holds(expected, got),
                right,
                "{judge:?} {expected:?} {got:?}"
            );
        }
    }

    #[test]
    fn forms_that_mean_the_same_are_one() {
        for (a, b) in [
            (
                "sudo systemctl restart nginx.service",
                "systemctl restart nginx",
            ),
            ("ss -tlnp", "ss -lpnt"),
            ("pacman -S --needed git", "sudo pacman --needed -S git"),
            (
                "apt update && apt upgrade",
                "sudo apt update && sudo apt upgrade",
            ),
        ] {
            assert_eq!(normal(a), normal(b));
        }
        assert_ne!(normal("systemctl stop a"), normal("systemctl start a"));
    }
}
