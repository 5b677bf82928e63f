// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A program in C, compiled with the header as it is made now, and with both kinds of the library; and what of the
//! library others see.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a command that succeeds.
#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

#[test]
fn a_program_in_c_is_compiled_and_says_what_is_wrong() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The tests are in target/PROFILE/deps, with what was built for them.
    let this = std::env::current_exe().unwrap();
    let profile: PathBuf = this.ancestors().nth(2).unwrap().to_owned();
    let scratch = std::env::temp_dir().join(format!("libllamux-{}", std::process::id()));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(here).args([
        "build",
        "--quiet",
        "--offline",
        "--package",
        "libllamux",
        "--lib",
    ]);
    cargo.args(["--example", "llamux-header"]);
    if profile.file_name().is_some_and(|name| name == "release") {
        cargo.arg("--release");
    }
    cargo.arg("--target-dir").arg(profile.parent().unwrap());
    run(&mut cargo);
    run(Command::new(profile.join("examples/llamux-header")).arg(&scratch));

    let flags = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-I",
    ];
    let ask = here.join("examples/ask.c");
    let shared = scratch.join("shared");
    let mut gcc = Command::new("gcc");
    gcc.args(flags)
        .arg(&scratch)
        .arg(&ask)
        .arg("-o")
        .arg(&shared);
    run(gcc.arg(profile.join("libllamux.so")));
    let with_archive = scratch.join("static");
    let mut gcc = Command::new("gcc");
    gcc.args(flags)
        .arg(&scratch)
        .arg(&ask)
        .arg("-o")
        .arg(&with_archive);
    run(gcc
        .arg(profile.join("libllamux.a"))
        .args(["-lpthread", "-ldl", "-lm"]));
    // The header is one of C++, too.
    let plus = scratch.join("header.cc");
    std::fs::write(
        &plus,
        "#include <llamux.h>\nint main() { return llamux_error() == nullptr; }\n",
    )
    .unwrap();
    let mut gcc = Command::new("g++");
    run(gcc
        .args(["-Wall", "-Werror", "-fsyntax-only", "-I"])
        .arg(&scratch)
        .arg(&plus));

    only_the_api_is_seen(&scratch.join("llamux.h"), &profile.join("libllamux.so"));

    let soname = run(Command::new("readelf").arg("-d").arg(&shared));
    assert!(String::from_utf8_lossy(&soname.stdout).contains("libllamux.so.0"));
    std::os::unix::fs::symlink(profile.join("libllamux.so"), scratch.join("libllamux.so.0"))
        .unwrap();
    for program in [&shared, &with_archive] {
        let mut ask = Command::new(program);
        ask.env("LD_LIBRARY_PATH", &scratch);
        let usage = ask.output().unwrap();
        assert_eq!(usage.status.code(), Some(2));
        if Path::new("/proc/llamux/status").exists() {
            println!("skipped: this kernel has Llamux");
            continue;
        }
        let output = ask.arg("Why?").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        // A filter may keep the call from a kernel without Llamux, too.
        assert!(
            said.contains("linux-llamux") || said.contains("seccomp"),
            "{said}"
        );
    }
    std::fs::remove_dir_all(&scratch).unwrap();
}

/// What the library exports is what the header declares, and the manual page has all of it.
fn only_the_api_is_seen(header: &Path, library: &Path) {
    let header = std::fs::read_to_string(header).unwrap();
    let declared: BTreeSet<&str> = header
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '(')
        .filter_map(|word| word.split_once('(').map(|(name, _)| name))
        .filter(|name| name.starts_with("llamux_"))
        .collect();
    assert!(declared.len() > 10, "{declared:?}");
    let mut nm = Command::new("nm");
    nm.args(["--dynamic", "--defined-only", "--format=posix"]);
    let listed = String::from_utf8(run(nm.arg(library)).stdout).unwrap();
    let exported: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(exported, declared);
    let page = include_str!("../man/libllamux.3");
    for function in declared {
        assert!(page.contains(&format!("{function}(")), "{function}");
    }
}
