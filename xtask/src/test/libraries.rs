// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The client libraries for C, Rust and Python: without a kernel that answers, and their examples beside the host
//! engine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};

use super::answers::generate;
use super::docs::in_python;
use super::llamuxd::{copy, copy_all, python_below};
use super::tools::{accepted, linked};
use super::{unclean, Found, Lab};
use crate::kernel::Target;
use crate::model;
use crate::run::{self, quoted, Boot};
use crate::tools::{self, System};
use crate::{python, setup, sh};

/// Compares types that a package says it has with what it has.
const MYPY: &str = "mypy==2.4.1";

/// Where the Python package is in the checkout.
const PACKAGE: &str = "crates/llamux-python";

/// What all examples are asked. Each answers with the likeliest of at most 200 tokens.
const QUESTION: &str = "Name three colours of the rainbow.";
const TOKENS: u32 = 200;

/// What is run in User Mode Linux. Standard error of the tests is what says which ones passed.
const SCRIPT: &str = "until grep -q '^state: ready' /proc/llamux/status; do sleep 0.1; done
export PYTHONPATH=/opt/packages PYTHONDONTWRITEBYTECODE=1
answer() { echo \"answer of $1\"; shift; \"$@\" \"$QUESTION\" 2>/tmp/said || { echo \"status $?\"; cat /tmp/said; }; }
for page in /opt/pages/*; do
	$PYTHON -W error $page >/tmp/said 2>&1 || { echo \"$page: status $?\"; cat /tmp/said; }
done
answer C ask-c
answer Rust ask-rust
answer Python $PYTHON /opt/examples/ask.py
echo end of answers
sed -n 's/^kernels: //p' /proc/llamux/status
$PYTHON -W error /opt/tests/test_llamux.py --verbose 2>&1
exit 0";

pub(super) fn libraries(lab: &Lab<'_>) -> Result<Found> {
    let mut found = Found::default();
    let base = lab.cx.root.join("target/llamux/libraries");
    let _ = fs::remove_dir_all(&base);
    let overlay = base.join("overlay");
    fs::create_dir_all(overlay.join("usr/bin"))?;
    let package = lab.cx.root.join(PACKAGE);

    // Python, here.
    let wheel = python::wheel(lab.cx, &base.join("wheel"))?;
    let packages = overlay.join("opt/packages");
    python::unpack(&wheel, &packages)?;
    found.test("what is in the wheel", wheel_content(lab, &packages));
    let program = setup::python().context("there is no Python")?;
    let mut tests = sh::cmd(program);
    tests
        .env("PYTHONPATH", &packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-W", "error"])
        .arg(package.join("tests/test_llamux.py"))
        .arg("--verbose");
    sh::announce(&tests);
    let output = tests.stdin(Stdio::null()).output()?;
    add(&mut found, &String::from_utf8_lossy(&output.stderr), "here")?;
    types(lab, &packages, &package, &mut found)?;

    // Then all of them, with the kernel's model.
    let model = model::find(lab.cx, None)?;
    let programs = overlay.join("usr/bin");
    c_program(lab, &overlay, &programs.join("ask-c"))?;
    fs::copy(run::example(lab.cx, "ask")?, programs.join("ask-rust"))?;
    for dir in ["examples", "tests"] {
        copy_all(
            &package.join(dir),
            &overlay.join("opt").join(dir),
            &["__pycache__"],
        )?;
    }
    let pages = in_python(lab)?;
    for (name, program) in &pages {
        let to = overlay.join("opt/pages").join(name);
        fs::create_dir_all(to.parent().context("no directory")?)?;
        fs::write(to, program)?;
    }
    let python = python_below(&overlay)?;
    let script = format!(
        "QUESTION={}\nPYTHON={}\n{SCRIPT}",
        quoted(QUESTION),
        quoted(&python)
    );
    let mut boot = Boot::new(Target::Uml, lab.source, &script);
    boot.model = Some(&model);
    boot.overlay = Some(&overlay);
    boot.memory_mb = Some(1600);
    boot.timeout = Some(Duration::from_secs(600));
    let outcome = boot.run(lab.cx)?;
    outcome.status()?;
    let (answers, rest) = outcome
        .output
        .split_once("end of answers\n")
        .with_context(|| format!("the examples did not end: {}", outcome.output))?;
    let (of_pages, _) = answers
        .split_once("answer of C\n")
        .context("no answer in C")?;
    for (name, _) in &pages {
        let failed = format!("/opt/pages/{name}: status ");
        let good = (!of_pages.contains(&failed)).then_some(());
        let good = good.with_context(|| of_pages.to_owned());
        found.test(&format!("Python of the page {name}"), good);
    }
    let (kernels, tested) = rest.split_once('\n').context("no kernels")?;
    let expected = generate(lab, &model, (QUESTION, false), TOKENS, kernels.trim())?;
    for language in ["C", "Rust", "Python"] {
        let same = match answer_of(language, answers) {
            Some(answer) if answer == expected.text => Ok(()),
            answer => Err(anyhow::anyhow!(
                "{answer:?}, and the host engine says {:?}",
                expected.text
            )),
        };
        found.test(&format!("the example in {language}"), same);
    }
    add(&mut found, tested, "with the kernel's model")?;
    found.test("a clean log", unclean(&outcome.log));
    let _ = fs::remove_dir_all(&base);
    Ok(found)
}

/// What one of the examples printed, without the newline at its end.
fn answer_of<'a>(language: &str, answers: &'a str) -> Option<&'a str> {
    let (_, behind) = answers.split_once(&format!("answer of {language}\n"))?;
    let end = behind.find("answer of ").unwrap_or(behind.len());
    behind.get(..end)?.strip_suffix('\n')
}

/// The library's example in C as somebody would compile it who has installed the package, and what it loads.
fn c_program(lab: &Lab<'_>, overlay: &Path, program: &Path) -> Result<()> {
    let dir = lab.cx.root.join("target/llamux/libraries/installed");
    tools::lay_library(lab.cx, &dir, System::Arch)?;
    linked(&dir, program)?;
    let libraries = dir.join("usr/lib");
    let there = overlay.join("usr/lib");
    fs::create_dir_all(&there)?;
    for entry in fs::read_dir(&libraries)?.flatten() {
        let path = entry.path();
        let to = there.join(entry.file_name());
        if path.is_symlink() {
            symlink(fs::read_link(&path)?, to)?;
        } else if path.is_file() {
            fs::copy(&path, to)?;
        }
    }
    let mut ldd = sh::cmd("ldd");
    let loaded = sh::read(ldd.env("LD_LIBRARY_PATH", &libraries).arg(program))?;
    for word in loaded.split_whitespace() {
        let path = Path::new(word);
        if path.is_absolute() && !path.starts_with(&dir) {
            copy(path, &overlay.join(word.trim_start_matches('/')))?;
        }
    }
    Ok(())
}

/// The module, its types, and no path of this machine.
fn wheel_content(lab: &Lab<'_>, packages: &Path) -> Result<()> {
    for file in ["__init__.py", "__init__.pyi", "py.typed", "llamux.abi3.so"] {
        if !packages.join("llamux").join(file).is_file() {
            bail!("there is no {file}");
        }
    }
    let root = lab.cx.root.display().to_string();
    for file in crate::kernel::prepare::files(&packages.join("llamux"))? {
        let bytes = fs::read(&file)?;
        let mut parts = bytes.windows(root.len());
        if parts.any(|part| part == root.as_bytes()) {
            bail!("{} has the path of this checkout in it", file.display());
        }
    }
    Ok(())
}

/// The types are those of what is there, and the example keeps to them.
fn types(lab: &Lab<'_>, packages: &Path, package: &Path, found: &mut Found) -> Result<()> {
    let mypy = python::packages(lab.cx, MYPY)?;
    let path: Vec<PathBuf> = vec![mypy, packages.to_owned()];
    let path = std::env::join_paths(path)?;
    let example = package.join("examples/ask.py");
    // The extension itself, all of which the module has.
    let untyped = lab.cx.root.join("target/llamux/libraries/untyped");
    fs::write(&untyped, "llamux\\.llamux\n")?;
    for (what, module, arguments) in [
        (
            "its types",
            "mypy.stubtest",
            vec!["llamux".into(), "--allowlist".into(), untyped.into()],
        ),
        (
            "types of the example",
            "mypy",
            vec!["--strict".into(), example.into_os_string()],
        ),
    ] {
        let mut check = sh::cmd(setup::python().context("there is no Python")?);
        check
            .env("PYTHONPATH", &path)
            .env("MYPY_CACHE_DIR", "/dev/null")
            .args(["-m", module])
            .args(arguments);
        found.test(what, accepted(&mut check));
    }
    Ok(())
}

/// Counts what unittest says of each test.
fn add(found: &mut Found, said: &str, whose: &str) -> Result<()> {
    let before = found.passed + found.failed;
    for line in said.lines() {
        // `test_name (module.Class.test_name) ... ok`, and what a test prints may be in between.
        if line.starts_with("test_") && line.ends_with("ok") {
            found.passed += 1;
        }
    }
    let mut failures = said.split("\n======").skip(1).peekable();
    if failures.peek().is_none() && !said.lines().any(|line| line.starts_with("OK")) {
        bail!("{whose}: the tests did not end: {said}");
    }
    for failure in failures {
        let failure = failure.trim_start_matches('=').trim();
        found.test(whose, Err(anyhow::anyhow!("{failure}")));
    }
    if found.passed + found.failed == before {
        bail!("{whose}: no test ran: {said}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_unittest_are_counted() {
        let mut found = Found::default();
        let said = "test_a (__main__.A.test_a) ... ok\ntest_b (__main__.A.test_b) ... FAIL\n\
                    test_c (__main__.B.test_c) ... skipped 'no'\n\n\
                    ======================\nFAIL: test_b (__main__.A.test_b)\n-----\nno\n\n-----\nRan 3 tests in 1s\n\n\
                    FAILED (failures=1, skipped=1)\n";
        add(&mut found, said, "there").unwrap();
        assert_eq!((found.passed, found.failed), (1, 1));
        assert!(found.failures[0].contains("test_b"), "{:?}", found.failures);
        add(
            &mut found,
            "test_a (A) ... ok\n\nRan 1 test in 0s\n\nOK\n",
            "there",
        )
        .unwrap();
        assert_eq!((found.passed, found.failed), (2, 1));
        // A test that ends the whole.
        for said in [
            "",
            "test_a (A) ... ok\nKilled\n",
            "Ran 0 tests in 0s\n\nOK\n",
        ] {
            add(&mut Found::default(), said, "there").unwrap_err();
        }
    }

    #[test]
    fn answers_of_examples_are_told_apart() {
        let said = "answer of C\nred\ngreen\nanswer of Rust\nblue\n\n";
        assert_eq!(answer_of("C", said), Some("red\ngreen"));
        assert_eq!(answer_of("Rust", said), Some("blue\n"));
        assert_eq!(answer_of("Python", said), None);
    }
}
