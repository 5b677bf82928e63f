// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamuxd`, asked by OpenAI's own client, by curl, and by a browser: with the engine in a process and another
//! `llamuxd` in front of it, and with the kernel's model in User Mode Linux behind it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{bail, Context as _, Result};

use super::{unclean, Found, Lab};
use crate::borrowed;
use crate::kernel::Target;
use crate::model;
use crate::python;
use crate::run::{self, Boot};
use crate::setup;
use crate::sh;

/// OpenAI's client for Python.
const CLIENT: &str = "openai==3.54.0";

/// What drives a browser.
const DRIVER: &str = "playwright-core@1.65.1";

/// The lines of `tests/client.py`.
fn add(found: &mut Found, output: &str, whose: &str) -> Result<()> {
    eprint!("{output}");
    let mut any = false;
    for line in output.lines() {
        if line.starts_with("ok ") {
            found.passed += 1;
            any = true;
        } else if let Some(failure) = line.strip_prefix("FAILED ") {
            found.test(whose, Err(anyhow::anyhow!("{failure}")));
            any = true;
        }
    }
    if !any {
        bail!("{whose}: no test ran");
    }
    Ok(())
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program, and waits for a word in what it prints.
fn start(command: &mut Command, word: &str) -> Result<Running> {
    sh::announce(command);
    let mut child = Running(command.stderr(Stdio::piped()).spawn()?);
    let lines = child.0.stderr.take().context("standard error is piped")?;
    let mut lines = BufReader::new(lines).lines();
    for line in lines.by_ref().map_while(Result::ok) {
        if line.contains(word) {
            // It goes on to write, and somebody has to read.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(child);
        }
        eprintln!("{line}");
    }
    bail!("{} did not start", command.get_program().to_string_lossy())
}

/// A port that nobody has at the moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(super) fn llamuxd_host(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let packages = python::packages(lab.cx, CLIENT)?;
    // As the tests of the whole workspace have built it, in which the engine is optimised all the same.
    let mut cargo = sh::cmd("cargo");
    cargo.current_dir(&lab.cx.root);
    cargo.args(["build", "--quiet", "--workspace"]);
    sh::run(cargo.args(["--bin", "llamuxd", "--example", "on_host"]))?;
    let built = lab.cx.target_dir().join("debug");
    let dir = lab.cx.root.join("target/llamux/llamuxd");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;

    // One computes; its clients need a key, and the one in front of it has one.
    let made = sh::cmd(built.join("llamuxd"))
        .args(["--new-key", "front"])
        .output()?;
    let key = String::from_utf8(made.stdout)?.trim().to_owned();
    fs::write(dir.join("keys"), made.stderr)?;
    fs::write(dir.join("key"), &key)?;
    let (back, front) = (free_port()?, free_port()?);
    let keys = dir.join("keys");
    let config =
        format!("[unix]\npath = \"\"\n[tcp]\nlisten = [\"127.0.0.1:{back}\"]\nkeys = {keys:?}\n");
    fs::write(dir.join("back.toml"), config)?;
    let socket = dir.join("front.sock");
    let config = format!(
        "[kernel]\nenabled = false\n[unix]\npath = {socket:?}\n[tcp]\nlisten = [\"127.0.0.1:{front}\"]\nkeys = {keys:?}\n\
         [[upstream]]\nname = \"back\"\nurl = \"http://127.0.0.1:{back}/v1\"\nmodels = [{:?}]\nkey_file = {:?}\n",
        model.name,
        dir.join("key"),
    );
    fs::write(dir.join("front.toml"), config)?;
    let mut computes = sh::cmd(built.join("examples/on_host"));
    computes
        .arg(&model.file)
        .arg(dir.join("back.toml"))
        .arg("2");
    let _back = start(&mut computes, "ready")?;
    let mut passes_on = sh::cmd(built.join("llamuxd"));
    passes_on.arg("--config").arg(dir.join("front.toml"));
    let _front = start(&mut passes_on, &front.to_string())?;

    let mut found = Found::default();
    let python = setup::python().context("there is no Python")?;
    let mut asks = sh::cmd(python);
    asks.env("PYTHONPATH", &packages)
        .arg(lab.cx.root.join("crates/llamuxd/tests/client.py"));
    asks.args([
        "--url",
        &format!("http://127.0.0.1:{front}/v1"),
        "--model",
        &model.name,
    ]);
    asks.args([
        "--counters",
        &format!("http://127.0.0.1:{back}"),
        "--key",
        &key,
    ]);
    sh::announce(&asks);
    let output = asks.stderr(Stdio::inherit()).output()?;
    add(
        &mut found,
        &String::from_utf8_lossy(&output.stdout),
        "by the one in front",
    )?;
    let at = (back, socket.as_path(), key.as_str());
    for (what, status, more) in curls(at, &model.name) {
        found.test(what, curl(status, &more));
    }
    page(lab, &dir, (back, &key), &mut found)?;
    Ok(found)
}

/// A browser uses the page of the one that computes.
fn page(lab: &Lab<'_>, dir: &Path, (port, key): (u16, &str), found: &mut Found) -> Result<()> {
    let browser = setup::browser().context("there is no Chromium")?;
    let driver = lab.cx.cache_dir("tools")?.join(DRIVER.replace('@', "-"));
    if !driver.join("node_modules").is_dir() {
        fs::create_dir_all(&driver)?;
        let mut npm = sh::cmd("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        sh::run(npm.arg(&driver).arg(DRIVER))?;
    }
    // Modules are looked for beside the one that wants them.
    let script = driver.join("page.mjs");
    fs::copy(lab.cx.root.join("crates/llamuxd/tests/page.mjs"), &script)?;
    let mut node = sh::cmd("node");
    node.arg(&script)
        .arg(format!("http://127.0.0.1:{port}/"))
        .arg(key);
    node.arg(browser).arg(dir).stderr(Stdio::inherit());
    sh::announce(&node);
    let output = node.output()?;
    add(
        found,
        &String::from_utf8_lossy(&output.stdout),
        "in a browser",
    )
}

/// What curl asks, and with which status it is answered.
fn curls(
    (port, socket, key): (u16, &Path, &str),
    model: &str,
) -> Vec<(&'static str, u16, Vec<String>)> {
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let bearer = format!("Authorization: Bearer {key}");
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let socket = socket.display().to_string();
    let asked = format!(
        r#"{{"model": {model:?}, "messages": [{{"role": "user", "content": "Hi."}}], "max_tokens": 3}}"#
    );
    let answer = url("/v1/chat/completions");
    vec![
        ("without a key", 401, words(&[&url("/v1/models")])),
        (
            "with a wrong key",
            401,
            words(&["-H", "Authorization: Bearer llx-0", &url("/metrics")]),
        ),
        (
            "with the key",
            200,
            words(&["-H", &bearer, &url("/v1/models")]),
        ),
        ("health needs no key", 200, words(&[&url("/health")])),
        ("the page needs no key", 200, words(&[&url("/")])),
        (
            "an answer",
            200,
            words(&["-H", &bearer, "--json", &asked, &answer]),
        ),
        (
            "no question without a key",
            401,
            words(&["--json", &asked, &answer]),
        ),
        (
            "an answer by the unix socket",
            200,
            words(&[
                "--unix-socket",
                &socket,
                "--json",
                &asked,
                "http://localhost/v1/chat/completions",
            ]),
        ),
    ]
}

fn curl(status: u16, more: &[String]) -> Result<()> {
    let mut curl = sh::cmd("curl");
    curl.args([
        "--silent",
        "--max-time",
        "120",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    let said = sh::read(curl.args(more))?;
    match said.trim() == status.to_string() {
        true => Ok(()),
        false => bail!("the status is {said}, and not {status}"),
    }
}

/// What is asked in User Mode Linux: everything as root; then on the account of a user, and of another one who may
/// have little.
const SCRIPT: &str = "llamuxd --config /etc/llamuxd.toml 2>/tmp/log & server=$!
while ! [ -S /run/llamux/llamuxd.sock ]; do sleep 0.1; done
ask() { $PYTHON /opt/client.py --unix /run/llamux/llamuxd.sock \"$@\"; }
ask; failed=$?
ask --user 1000 --only an_answer a_streamed json vectors || failed=1
grep -q '^user=1000 .* requests=[1-9]' /proc/llamux/usage && echo ok the_user_was_charged ||
	echo FAILED the_user_was_charged: $(cat /proc/llamux/usage)
echo 'user=1001 tokens_per_minute=1' >/sys/kernel/llamux/limits
ask --user 1001 --limited || failed=1
grep -q ' sessions=[1-9]' /proc/llamux/usage && echo FAILED sessions_are_closed: $(cat /proc/llamux/usage) ||
	echo ok sessions_are_closed
grep -iq 'story\\|colour' /tmp/log && echo FAILED nothing_said_is_in_the_log || echo ok nothing_said_is_in_the_log
kill $server; wait $server && echo ok it_ends || echo FAILED it_ends
[ $failed = 0 ] || cat /tmp/log
exit 0";

pub(super) fn llamuxd_uml(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let overlay = lab.cx.root.join("target/llamux/llamuxd-uml");
    let _ = fs::remove_dir_all(&overlay);
    for dir in ["usr/bin", "etc", "run/llamux", "opt"] {
        fs::create_dir_all(overlay.join(dir))?;
    }
    fs::copy(
        run::program(lab.cx, "llamuxd")?,
        overlay.join("usr/bin/llamuxd"),
    )?;
    // The system has no users of these numbers, nor a group for the socket.
    fs::write(
        overlay.join("etc/llamuxd.toml"),
        "[unix]\nmode = \"0666\"\n",
    )?;
    let tests = lab.cx.root.join("crates/llamuxd/tests/client.py");
    fs::copy(tests, overlay.join("opt/client.py"))?;
    let packages = python::packages(lab.cx, CLIENT)?;
    copy_all(&packages, &overlay.join("opt/packages"), &["bin"])?;
    let python = python_below(&overlay)?;
    let script = format!(
        "export PYTHONPATH=/opt/packages PYTHONDONTWRITEBYTECODE=1 PYTHON={}\n{SCRIPT}",
        run::quoted(&python)
    );
    let mut boot = Boot::new(Target::Uml, lab.source, &script);
    boot.model = Some(&model);
    boot.overlay = Some(&overlay);
    boot.memory_mb = Some(2000);
    boot.timeout = Some(Duration::from_secs(900));
    let outcome = boot.run(lab.cx)?;
    outcome.status()?;
    let mut found = Found::default();
    add(&mut found, &outcome.output, "with the kernel's model")?;
    found.test("a clean log", unclean(&outcome.log));
    let _ = fs::remove_dir_all(&overlay);
    Ok(found)
}

/// Lays this machine's Python below a directory, where it is here, with the libraries that it and `opt/packages` need.
/// Returns its path.
pub(super) fn python_below(to: &Path) -> Result<String> {
    let python = setup::python().context("there is no Python")?;
    let ask = "import os, sys, sysconfig; print(os.path.realpath(sys.executable)); print(sysconfig.get_path('stdlib'))";
    let said = sh::read(sh::cmd(python).args(["-c", ask]))?;
    let (program, library) = said
        .trim()
        .split_once('\n')
        .context("Python says nothing")?;
    let below = |path: &str| to.join(path.trim_start_matches('/'));
    // What is large, and no client wants.
    let without = [
        "test",
        "idlelib",
        "tkinter",
        "ensurepip",
        "lib2to3",
        "turtledemo",
        "site-packages",
        "dist-packages",
        "pydoc_data",
    ];
    copy_all(Path::new(library), &below(library), &without)?;
    copy(Path::new(program), &below(program))?;
    let mut objects = vec![PathBuf::from(program)];
    for dir in [
        Path::new(library).join("lib-dynload"),
        to.join("opt/packages"),
    ] {
        let all = crate::kernel::prepare::files(&dir)?.into_iter();
        objects.extend(all.filter(|file| file.to_string_lossy().ends_with(".so")));
    }
    for library in borrowed::libraries(&objects)? {
        let to = below(&library.to_string_lossy());
        if !to.exists() {
            copy(&library, &to)?;
        }
    }
    Ok(program.to_owned())
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no directory")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Copies a directory but for what has one of these names, and what a compiler wants.
pub(super) fn copy_all(from: &Path, to: &Path, without: &[&str]) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let unwanted = [".a", ".exe", ".opt-1.pyc", ".opt-2.pyc"]
            .iter()
            .any(|end| name.ends_with(end));
        if without.contains(&name.as_str()) || name.starts_with("config-") || unwanted {
            continue;
        }
        let path = entry.path();
        let meta = fs::metadata(&path)?;
        if meta.is_dir() {
            copy_all(&path, &to.join(name), without)?;
        } else if meta.is_file() {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
