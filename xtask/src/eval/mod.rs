// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask eval`: how good the answers are, and how soon they come, in numbers for each model.
//!
//! `llamux-eval` asks and judges, a process for each model and subject. What comes of each is kept in
//! `target/llamux/eval` once it is whole, so that times can be measured when the machine is quiet, and the page of the
//! book be made of all of it.

mod outcome;
mod page;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{bail, Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::bench::{self, Times};
use crate::context::Context;
use crate::model::{self, Model};
use crate::progress::Progress;
use crate::{setup, sh};
use outcome::{Outcome, TimeReport};

/// Threads that compute.
const THREADS: usize = 2;
/// The model that the goals are for.
const JUDGED: &str = "qwen2.5-coder-1.5b";
/// A small one, whose results are reported.
const SMALL: &str = "smollm2-135m";
/// The one whose weights are not always to be had.
const TINYLLAMA: &str = "tinyllama-1.1b";
/// What stands in for it: its shape, with made-up weights, which answer nothing sensible.
const SHAPE: &str = "tinyllama-shape";

/// Judge how good the answers of models are, and measure how soon they come.
///
/// Prints a table with the goals. Takes some forty minutes for all; --only, --every and --model make it shorter.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model of configs/models.toml, or a GGUF file; may be repeated [default: qwen2.5-coder-1.5b, smollm2-135m, and
    /// tinyllama-1.1b or, where its weights are not here, a made-up model of its shape, for times].
    #[arg(long, value_name = "NAME|FILE")]
    model: Vec<String>,
    /// What to judge, by commas or repeated [default: all].
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    only: Vec<Subject>,
    /// Only every Nth task of each kind, for a quick look.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Write the table and the failures into docs/eval.md, with what earlier runs measured where this one did not.
    #[arg(long)]
    record: bool,
    /// Measure nothing: only write down what earlier runs measured, an interrupted one too.
    #[arg(long, requires = "record", conflicts_with_all = ["model", "only", "every"])]
    kept: bool,
    /// Measure times without those of llama.cpp's server beside them.
    #[arg(long)]
    host_only: bool,
    /// Measure times although something else uses the processors, and say so below the table.
    #[arg(long)]
    loaded: bool,
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Subject {
    /// Requests to commands of the shell, run in a sandbox.
    Command,
    /// The cause of a machine's trouble.
    Diagnosis,
    /// Requests to actions, with their objects.
    Action,
    /// Texts of others that try to change an action.
    Injection,
    /// Time until a command is proposed.
    Time,
}

/// One run of `llamux-eval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    subject: Subject,
    /// Whether it is by the tasks that nothing is tuned by.
    held_out: bool,
}

/// What came of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    model: String,
    step: Step,
    every: u32,
    /// Processors that something else used, where times were measured.
    other_load: Option<f64>,
    /// Of the day on which it was done.
    date: String,
    outcome: Outcome,
}

/// A model that is judged.
struct Candidate {
    model: Model,
    /// Whether its weights are made up: only times say something then.
    made_up: bool,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    let kept = Kept::new(cx);
    let results = match args.kept {
        true => Vec::new(),
        false => measure(cx, args, &kept)?,
    };
    if !args.record {
        print!("{}", page::table(&results));
        return Ok(ExitCode::SUCCESS);
    }
    let results = kept.all(&default_names(cx))?;
    let path = cx.root.join(page::PATH);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    replace(&path, &page::record(&text, &results)?)?;
    eprintln!("eval: {}", path.display());
    print!("{}", page::table(&results));
    Ok(ExitCode::SUCCESS)
}

/// Does all steps that are wanted.
fn measure(cx: &Context, args: &Args, kept: &Kept) -> Result<Vec<Entry>> {
    setup::ensure_for(cx, setup::Purpose::Evaluation)?;
    let steps: Vec<Step> = STEPS
        .into_iter()
        .filter(|step| args.only.is_empty() || args.only.contains(&step.subject))
        .collect();
    let times = steps.iter().any(|step| step.subject == Subject::Time);
    // What takes an hour should not fail behind it.
    if times {
        bench::expect_quiet(args.loaded)?;
        if !args.host_only {
            bench::prepare(cx)?;
        }
    }
    let program = crate::test::released(cx, "llamux-eval")?;
    let candidates = candidates(cx, args)?;
    let jobs: Vec<(&Candidate, Step)> = candidates
        .iter()
        .flat_map(|candidate| steps.iter().map(move |step| (candidate, *step)))
        .filter(|(candidate, step)| !candidate.made_up || step.subject == Subject::Time)
        .collect();
    let mut results = Vec::new();
    for (at, &(candidate, step)) in jobs.iter().enumerate() {
        let job = Job {
            cx,
            program: &program,
            kept,
            candidate,
            step,
            args,
        };
        eprintln!(
            "\n== {} of {}: {}, {}",
            at + 1,
            jobs.len(),
            candidate.model.name,
            step.words()
        );
        let result = job.run()?;
        kept.keep(&result)?;
        results.push(result);
    }
    Ok(results)
}

/// All steps, in the order of the table.
const STEPS: [Step; 8] = {
    const fn of(subject: Subject, held_out: bool) -> Step {
        Step { subject, held_out }
    }
    [
        of(Subject::Command, false),
        of(Subject::Command, true),
        of(Subject::Diagnosis, false),
        of(Subject::Diagnosis, true),
        of(Subject::Action, false),
        of(Subject::Action, true),
        of(Subject::Injection, false),
        of(Subject::Time, false),
    ]
};

impl Step {
    /// As on the command line.
    fn name(self) -> &'static str {
        match self.subject {
            Subject::Command => "command",
            Subject::Diagnosis => "diagnosis",
            Subject::Action => "action",
            Subject::Injection => "injection",
            Subject::Time => "time",
        }
    }

    /// For people.
    fn words(self) -> String {
        let held_out = if self.held_out { ", held out" } else { "" };
        format!("{}{held_out}", self.name())
    }

    /// Of files.
    fn file(self) -> String {
        let held_out = if self.held_out { "-held-out" } else { "" };
        format!("{}{held_out}", self.name())
    }

    /// For `llamux-eval`.
    fn arguments(self, every: u32) -> Vec<String> {
        let mut arguments = vec![self.name().to_owned()];
        if self.held_out {
            arguments.push("--held-out".to_owned());
        }
        if self.subject == Subject::Time {
            let count = (20 / every).max(1);
            arguments.push(format!("--count={count}"));
        } else if every > 1 {
            arguments.push(format!("--every={every}"));
        }
        arguments
    }
}

/// The names under which the default models' results are kept.
fn default_names(cx: &Context) -> [&'static str; 3] {
    [JUDGED, SMALL, tinyllama(cx)]
}

/// TinyLlama if its weights are here, else its shape.
fn tinyllama(cx: &Context) -> &'static str {
    let file = model::dir(cx).join(TINYLLAMA).with_extension("gguf");
    match file.exists() {
        true => TINYLLAMA,
        false => SHAPE,
    }
}

fn candidates(cx: &Context, args: &Args) -> Result<Vec<Candidate>> {
    let names: Vec<&str> = match args.model.is_empty() {
        true => default_names(cx).into(),
        false => args.model.iter().map(String::as_str).collect(),
    };
    let mut candidates = Vec::new();
    for name in names {
        candidates.push(Candidate {
            made_up: name == SHAPE,
            model: match name {
                SHAPE => shape(cx)?,
                name => model::find(cx, Some(name))?,
            },
        });
    }
    Ok(candidates)
}

/// A model of TinyLlama's shape, with the vocabulary that came with llama.cpp if that is here.
fn shape(cx: &Context) -> Result<Model> {
    let file = cx.cache_dir("made-up")?.join(SHAPE).with_extension("gguf");
    if !file.exists() {
        let part = file.with_extension("part");
        let mut synth = sh::cmd(crate::test::host_engine(cx)?);
        synth.args(["synth", "--arch", "tinyllama", "--type", "q4_k"]);
        synth.args(["--context", "2048", "--output"]).arg(&part);
        if let Some(vocabulary) = bench::vocabulary(cx, "ggml-vocab-llama-spm.gguf")? {
            synth.arg("--vocab").arg(vocabulary);
        }
        sh::run(&mut synth)?;
        fs::rename(&part, &file)?;
    }
    model::of_file(&file)
}

/// A step that is to be done.
struct Job<'j> {
    cx: &'j Context,
    program: &'j Path,
    kept: &'j Kept,
    candidate: &'j Candidate,
    step: Step,
    args: &'j Args,
}

impl Job<'_> {
    fn run(&self) -> Result<Entry> {
        let model = &self.candidate.model;
        let raw = self.kept.raw(&model.name, self.step)?;
        let times = self.step.subject == Subject::Time;
        // Of the machine as it is when the clock runs.
        let other_load = match times {
            true => Some(bench::expect_quiet(self.args.loaded)?),
            false => None,
        };
        let mut eval = sh::cmd(self.program);
        eval.arg("--model").arg(&model.file);
        eval.arg(format!("--threads={THREADS}"));
        match self.candidate.made_up {
            true => {
                let like = self.kept.raw(JUDGED, self.step)?;
                if !like.exists() {
                    bail!(
                        "{SHAPE} is asked what {JUDGED} was, and that is not known: \
                         run `cargo xtask eval --only time --model {JUDGED}` first"
                    );
                }
                eval.args(["time", "--like"]).arg(like);
            }
            false => {
                eval.args(self.step.arguments(self.args.every));
            }
        }
        eval.arg("--progress").arg("--json").arg(&raw);
        follow(&mut eval, &format!("{}, {}", model.name, self.step.words()))?;
        let text =
            fs::read_to_string(&raw).with_context(|| format!("cannot read {}", raw.display()))?;
        let mut outcome = Outcome::parse(self.step.subject, &text)?;
        if let (Outcome::Times(times), false) = (&mut outcome, self.args.host_only) {
            let report: TimeReport = serde_json::from_str(&text)?;
            let (llama_cpp, setting) = self.llama_cpp(&report)?;
            times.llama_cpp = Some(outcome::Spread::of(&llama_cpp));
            times.setting = Some(setting);
        }
        Ok(Entry {
            model: model.name.clone(),
            step: self.step,
            every: self.args.every,
            other_load,
            date: today()?,
            outcome,
        })
    }

    /// What llama.cpp's server takes for the same tokens and answers of the same length.
    fn llama_cpp(&self, report: &TimeReport) -> Result<(Vec<Times>, String)> {
        let asked = |call: &outcome::Call| bench::Asked {
            prompt: call.prompt.clone(),
            tokens: call.tokens.max(1),
        };
        let before: Vec<_> = report.before.iter().map(asked).collect();
        let requests: Vec<Vec<_>> = report
            .requests
            .iter()
            .map(|timed| timed.calls.iter().map(asked).collect())
            .collect();
        bench::answers(self.cx, &self.candidate.model, THREADS, &before, &requests)
    }
}

/// Runs `llamux-eval`, and shows how far it is.
fn follow(eval: &mut std::process::Command, what: &str) -> Result<()> {
    sh::announce(eval);
    let mut child = eval
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", sh::show(eval)))?;
    let mut progress: Option<Progress> = None;
    let mut done = 0;
    let mut complaint = String::new();
    let stderr = child.stderr.take().context("it has no standard error")?;
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        match counted(&line) {
            Some((now, all)) => {
                done = now;
                progress
                    .get_or_insert_with(|| Progress::steps(what, Some(all)))
                    .at(now, "");
            }
            None => {
                complaint += &line;
                complaint.push('\n');
            }
        }
    }
    let status = child.wait()?;
    if let Some(progress) = progress {
        progress.finish(done);
    }
    if !status.success() {
        bail!("llamux-eval failed ({status}): {}", complaint.trim());
    }
    Ok(())
}

/// A line like "3 of 20".
fn counted(line: &str) -> Option<(u64, u64)> {
    let (done, all) = line.split_once(" of ")?;
    Some((done.parse().ok()?, all.parse().ok()?))
}

fn today() -> Result<String> {
    Ok(sh::read(sh::cmd("date").args(["-u", "+%F"]))?
        .trim()
        .to_owned())
}

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &str) -> Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, text).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The results so far, a directory for each model.
struct Kept {
    dir: PathBuf,
}

impl Kept {
    fn new(cx: &Context) -> Self {
        Self {
            dir: cx.root.join("target/llamux/eval"),
        }
    }

    /// What `llamux-eval` writes.
    fn raw(&self, model: &str, step: Step) -> Result<PathBuf> {
        let dir = self.dir.join(model);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir.join(format!("{}.raw.json", step.file())))
    }

    fn file(&self, model: &str, step: Step) -> PathBuf {
        self.dir.join(model).join(format!("{}.json", step.file()))
    }

    fn keep(&self, result: &Entry) -> Result<()> {
        let text = serde_json::to_string_pretty(result)?;
        replace(&self.file(&result.model, result.step), &text)
    }

    /// All results of these models, in the order of the table.
    fn all(&self, models: &[&str]) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        for model in models {
            for step in STEPS {
                let path = self.file(model, step);
                if !path.exists() {
                    continue;
                }
                let text = fs::read_to_string(&path)?;
                let result = serde_json::from_str(&text).with_context(|| {
                    format!(
                        "{} is not what this program writes: remove it",
                        path.display()
                    )
                })?;
                all.push(result);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_from_complaints() {
        assert_eq!(counted("3 of 20"), Some((3, 20)));
        for other in ["", "of", "three of 20", "3 of 20 tasks", "error: no file"] {
            assert_eq!(counted(other), None, "{other}");
        }
    }

    #[test]
    fn each_step_has_a_file_and_arguments_of_its_own() {
        let files: std::collections::HashSet<_> = STEPS.iter().map(|step| step.file()).collect();
        assert_eq!(files.len(), STEPS.len());
        let time = STEPS.last().unwrap();
        assert_eq!(time.arguments(1), ["time", "--count=20"]);
        assert_eq!(time.arguments(50), ["time", "--count=1"]);
        assert_eq!(STEPS[1].arguments(1), ["command", "--held-out"]);
        assert_eq!(STEPS[2].arguments(3), ["diagnosis", "--every=3"]);
    }

    #[test]
    fn results_are_found_again_and_unfinished_ones_are_not() {
        let dir = std::env::temp_dir().join(format!("llamux-xtask-eval-{}", std::process::id()));
        let kept = Kept { dir: dir.clone() };
        let result = page::tests::example(JUDGED, STEPS[0]);
        fs::write(kept.raw(JUDGED, STEPS[1]).unwrap(), "{").unwrap();
        kept.keep(&result).unwrap();
        let all = kept.all(&[JUDGED, SMALL]).unwrap();
        fs::write(kept.file(JUDGED, STEPS[0]), "{").unwrap();
        let broken = kept.all(&[JUDGED]).unwrap_err().to_string();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(page::table(&all), page::table(&[result]));
        assert!(broken.contains("remove it"), "{broken}");
    }
}
