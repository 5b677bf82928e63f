// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Models that are loaded, in place or not, refused, and signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use llamux_setup::head;

use super::answers::{generate, same, Asked, PROMPTS};
use super::{small_model, unclean, Found, Lab};
use crate::kernel::{build, Target, Variant};
use crate::machine::Outcome;
use crate::model::{self, Model};
use crate::run::{quoted, Boot, LOADED};
use crate::{initramfs, lock, sh};

pub(super) fn in_place_uml(lab: &Lab<'_>) -> Result<Found> {
    let mut found = in_place(lab, Target::Uml, &model::find(lab.cx, None)?)?;
    found.add(not_in_place(lab)?);
    Ok(found)
}

pub(super) fn in_place_x86_64(lab: &Lab<'_>) -> Result<Found> {
    in_place(lab, Target::X86_64, &small_model(lab)?)
}

/// A model at the head of the initrd is used there, and its pages are given back when it is unloaded.
fn in_place(lab: &Lab<'_>, target: Target, model: &Model) -> Result<Found> {
    let prompt = PROMPTS[0];
    let script = format!(
        "llama --json --raw --temperature 0 --max-tokens 16 -- {} || exit\n\
         sed -n 's/^kernels: //p' /proc/llamux/status\n\
         cat /proc/llamux/status /sys/kernel/llamux/models\n\
         ls /lib/firmware/llamux 2>&1\n\
         total() {{ awk '/^MemTotal/ {{ print $2 }}' /proc/meminfo; }}\n\
         before=$(total)\n\
         echo {name} >/sys/kernel/llamux/unload\n\
         while grep -q name= /sys/kernel/llamux/models; do sleep 0.1; done\n\
         echo \"given back: $(($(total) - before))\"\n\
         echo {name} >/sys/kernel/llamux/load\n\
         echo \"again: $?\"\n",
        quoted(prompt),
        name = model.name
    );
    let mut boot = Boot::new(target, lab.source, &script);
    boot.model = Some(model);
    boot.in_place = true;
    boot.timeout = Some(Duration::from_secs(1200));
    let outcome = boot.run(lab.cx)?;
    outcome.status()?;
    let text = &outcome.output;
    let mut lines = text.lines();
    let (Some(answer), Some(kernels)) = (lines.next(), lines.next()) else {
        bail!("there is no answer: {text}");
    };
    let asked: Asked = serde_json::from_str(answer).with_context(|| format!("not JSON: {text}"))?;
    let expected = generate(lab, model, (prompt, true), 16, kernels)?;
    let mut found = Found::default();
    found.test("the answer", same(&asked, &expected));
    let has = |words: &str| match text.contains(words) {
        true => Ok(()),
        false => Err(anyhow::anyhow!("there is no {words:?}: {text}")),
    };
    found.test("the state", has("\nweights: in place\n"));
    found.test("the list of models", has(" weights=in-place\n"));
    found.test("nothing was read", has(" read=0 "));
    found.test("it is no file", has("No such file"));
    found.test("it cannot be loaded again", has("again: 1\n"));
    let given = text
        .lines()
        .find_map(|line| line.strip_prefix("given back: "));
    let given: u64 = given.and_then(|given| given.parse().ok()).unwrap_or(0);
    found.test(
        "its pages come back",
        // But for a page at each end.
        match given * 1024 + 2 * 4096 >= model.bytes {
            true => Ok(()),
            false => Err(anyhow::anyhow!("{given} KiB of {} bytes", model.bytes)),
        },
    );
    found.test("a clean log", unclean(&outcome.log));
    Ok(found)
}

/// What is not as it should be at the head of the initrd is said, and is unpacked and read if it can be.
fn not_in_place(lab: &Lab<'_>) -> Result<Found> {
    let model = small_model(lab)?;
    let good = fs::read(&model.file)?;
    let dir = lab.cx.root.join("target/llamux/in-place");
    fs::create_dir_all(&dir)?;
    let archive = |bytes: &[u8], shift| {
        let mut out = Vec::new();
        let size = bytes.len() as u64;
        initramfs::in_place(&mut out, "head", bytes, size, shift)?;
        Ok::<_, anyhow::Error>(out)
    };
    let whole = archive(&good, 0)?;
    // Without the zeros that make it whole pages. A NUL and three bytes to fill up end it.
    let end = whole.iter().rposition(|&byte| byte != 0).unwrap_or(0);
    let unpadded = whole[..(end + 8) & !3].to_vec();
    // Three gigabytes, says the header.
    let mut cut = whole.clone();
    let path = b"lib/firmware/llamux/head.gguf";
    let name = whole.windows(path.len()).position(|bytes| bytes == path);
    let size = name.context("there is no name")? - head::HEADER + 6 + 6 * 8;
    cut[size..size + 8].copy_from_slice(b"c0000000");
    let cases = [
        (
            "misaligned",
            archive(&good, 4)?,
            "28 bytes behind a multiple of 32",
            "ready",
        ),
        (
            "not on a page",
            unpadded,
            "does not begin with a page",
            "ready",
        ),
        (
            "no model",
            archive(b"GARB", 0)?,
            "not a GGUF",
            "unavailable",
        ),
        // What follows is taken for its data by whoever unpacks it, so that there is no system.
        ("cut", cut, "the initrd ends before it does", ""),
    ];
    let mut found = Found::default();
    for (name, head, said, state) in cases {
        let path = dir.join("head.cpio");
        fs::write(&path, head)?;
        let script = format!("{LOADED}\ncat /proc/llamux/status");
        let mut boot = Boot::new(Target::Uml, lab.source, &script);
        boot.head = Some(path);
        boot.memory_mb = Some(768);
        boot.append.push("llamux_mem=320M".to_owned());
        let outcome = boot.run(lab.cx)?;
        let logged = outcome.log.iter().any(|line| line.contains(said));
        let wanted = format!("state: {state}\n");
        found.test(
            name,
            if !logged {
                Err(anyhow::anyhow!("the log does not say {said:?}"))
            } else if state.is_empty() || outcome.output.contains(&wanted) {
                Ok(())
            } else {
                Err(anyhow::anyhow!("not {state}: {}", outcome.output))
            },
        );
    }
    fs::remove_dir_all(&dir)?;
    Ok(found)
}

/// Files and reservations that the driver must refuse with a reason, and run on.
pub(super) fn refusals(lab: &Lab<'_>) -> Result<Found> {
    let model = model::find(lab.cx, None)?;
    let good = fs::read(&model.file)?;
    let version = |n: u32| {
        let mut bytes = good[..4096].to_vec();
        bytes[4..8].copy_from_slice(&n.to_le_bytes());
        bytes
    };
    // The file, the words for the command line, and what the reason must say.
    let cases: &[(&str, Vec<u8>, &str, &[&str])] = &[
        ("empty", Vec::new(), "", &["empty.gguf"]),
        (
            "text",
            b"This is no model at all, only some text.\n".repeat(9),
            "",
            &["text.gguf", "GGUF"],
        ),
        (
            "big-endian",
            [b"GGUF\0\0\0\x03".as_slice(), &[0; 64]].concat(),
            "",
            &["big-endian.gguf"],
        ),
        (
            "version-1",
            version(1),
            "",
            &["version-1.gguf", "version", "1"],
        ),
        (
            "version-4",
            version(4),
            "",
            &["version-4.gguf", "version", "4"],
        ),
        (
            "cut-header",
            good[..100_000].to_vec(),
            "",
            &["cut-header.gguf"],
        ),
        (
            "cut-tensors",
            good[..good.len() / 2].to_vec(),
            "",
            &["cut-tensors.gguf"],
        ),
        ("large", good.clone(), "llamux_mem=64M", &["large.gguf"]),
    ];
    let base = lab.cx.root.join("target/llamux/refusals");
    let mut found = Found::default();
    for (name, bytes, words, wanted) in cases {
        let firmware = base.join("lib/firmware/llamux");
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(&firmware)?;
        fs::write(firmware.join(format!("{name}.gguf")), bytes)?;
        // Asking waits until it is known that there is no model, and must say so.
        let script = "llama --max-tokens 1 Hello; echo \"status $?\"; cat /proc/llamux/status";
        let mut boot = Boot::new(Target::Uml, lab.source, script);
        boot.overlay = Some(&base);
        boot.memory_mb = Some(768);
        boot.append.push(format!("llamux.model={name}"));
        boot.append.push(
            if words.is_empty() {
                "llamux_mem=320M"
            } else {
                words
            }
            .to_owned(),
        );
        let outcome = boot.run(lab.cx)?;
        found.test(name, refused(&outcome, wanted));
    }
    fs::remove_dir_all(&base)?;
    Ok(found)
}

fn refused(outcome: &Outcome, wanted: &[&str]) -> Result<()> {
    outcome.status()?;
    let text = &outcome.output;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    };
    if !text.contains("status 4\n") {
        bail!("llama did not exit with 4: {text}");
    }
    if value("state") != Some("unavailable") {
        bail!("the state is not unavailable: {text}");
    }
    let reason = value("reason").with_context(|| format!("there is no reason: {text}"))?;
    if let Some(word) = wanted.iter().find(|word| !reason.contains(**word)) {
        bail!("the reason does not name {word}: {reason}");
    }
    let lines: Vec<_> = outcome
        .log
        .iter()
        .filter(|line| line.contains("llamux") && line.contains(reason))
        .collect();
    if lines.len() != 1 {
        bail!("the log has the reason {} times: {reason}", lines.len());
    }
    unclean(&outcome.log)
}

/// What is found in the system that tries signatures: which model it is, and what its state is under
/// `llamux.sig=enforce`.
const SIGNED: &[(&str, &str, &str)] = &[
    ("signed", "ready", ""),
    ("tampered", "failed", "is not a signature of"),
    ("unsigned", "failed", "is not signed"),
    (
        "foreign",
        "failed",
        "is not by a key that the kernel trusts",
    ),
    ("garbage", "failed", "is not a PKCS#7 message"),
    ("bare", "failed", "is not a signature of"),
];

/// Signs models with a key of our own, whose certificate is put into the image of a kernel, and with others.
pub(super) fn signatures(lab: &Lab<'_>) -> Result<Found> {
    if sh::read(sh::cmd("openssl").arg("version")).is_err() {
        return Found::skipped("there is no openssl to sign with");
    }
    let dir = lab.cx.root.join("target/llamux/signed");
    let overlay = dir.join("overlay");
    let firmware = overlay.join("lib/firmware/llamux");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&firmware)?;
    for key in ["trusted", "other"] {
        let mut openssl = sh::cmd("openssl");
        openssl.current_dir(&dir).args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        ]);
        openssl.args(["-subj", &format!("/CN=The {key} key of a test")]);
        openssl.args([
            "-keyout",
            &format!("{key}.key"),
            "-out",
            &format!("{key}.pem"),
        ]);
        sh::run(&mut openssl)?;
    }
    sh::run(sh::cmd("openssl").current_dir(&dir).args([
        "x509",
        "-in",
        "trusted.pem",
        "-outform",
        "DER",
        "-out",
        "trusted.der",
    ]))?;
    let good = fs::read(small_model(lab)?.file)?;
    let path = |name: &str| firmware.join(format!("{name}.gguf"));
    for (name, _, _) in SIGNED {
        fs::write(path(name), &good)?;
        let (key, more): (_, &[_]) = match *name {
            "unsigned" | "garbage" => continue,
            "foreign" => ("other", &[]),
            "bare" => ("trusted", &["-noattr"]),
            _ => ("trusted", &[]),
        };
        let mut openssl = sh::cmd("openssl");
        openssl
            .current_dir(&dir)
            .args(["cms", "-sign", "-binary", "-nocerts", "-nosmimecap"]);
        openssl
            .args(["-md", "sha256", "-outform", "DER"])
            .args(more);
        openssl.args([
            "-signer",
            &format!("{key}.pem"),
            "-inkey",
            &format!("{key}.key"),
        ]);
        openssl.arg("-in").arg(path(name)).arg("-out");
        sh::run(openssl.arg(firmware.join(format!("{name}.gguf.p7s"))))?;
    }
    fs::write(firmware.join("garbage.gguf.p7s"), b"This is no message.")?;
    let mut tampered = good.clone();
    *tampered.last_mut().context("the model is empty")? ^= 1;
    fs::write(path("tampered"), tampered)?;

    let trusting = |debug: bool| -> Result<PathBuf> {
        let variant = Variant::new(Target::Uml, debug);
        let _lock = lock::take(&lab.cx.cache.join("kernel.lock"))?;
        let kernel = build::build(lab.cx, lab.source, variant)?;
        let image = dir.join(variant.name());
        fs::copy(&kernel.image, &image)?;
        let mut insert = sh::cmd(kernel.build.dir.join("scripts/insert-sys-cert"));
        insert.arg("-b").arg(&image).arg("-c");
        sh::run(insert.arg(dir.join("trusted.der")))?;
        Ok(image)
    };
    let image = trusting(false)?;
    // It sees what is read of a signature that is not there any more.
    let careful = trusting(true)?;

    let mut script = format!("{LOADED}\n");
    for (name, _, _) in &SIGNED[1..] {
        script += &format!("echo {name} >/sys/kernel/llamux/load\n");
        script += "while grep -q state=loading /sys/kernel/llamux/models; do sleep 0.1; done\n";
    }
    script += "cat /sys/kernel/llamux/models /proc/llamux/status\n";
    let boot = |image: Option<&Path>, mode: &str| {
        let mut boot = Boot::new(Target::Uml, lab.source, &script);
        boot.image = image;
        boot.debug = image == Some(&careful);
        boot.overlay = Some(&overlay);
        boot.memory_mb = Some(1536);
        boot.append
            .push(format!("llamux.model=signed llamux.sig={mode}"));
        let outcome = boot.run(lab.cx)?;
        outcome.status()?;
        Ok::<_, anyhow::Error>(outcome)
    };
    let has = |outcome: &Outcome, words: &[&str]| {
        let mut lines = outcome.output.lines();
        match lines.any(|line| words.iter().all(|word| line.contains(word))) {
            true => Ok(()),
            false => Err(anyhow::anyhow!(
                "no line has {words:?}:\n{}",
                outcome.output
            )),
        }
    };
    let mut found = Found::default();
    let enforced = boot(Some(&careful), "enforce")?;
    for (name, state, reason) in SIGNED {
        let words = [&format!("name={name} state={state} "), *reason];
        found.test(&format!("enforce, {name}"), has(&enforced, &words));
    }
    found.test(
        "the signer",
        has(&enforced, &["signer: The trusted key of a test "]),
    );
    let sha256 = crate::download::sha256_bytes(&good);
    found.test("the hash", has(&enforced, &[&format!("sha256: {sha256}")]));
    found.test("a clean log", unclean(&enforced.log));

    // The kernel that does not have the certificate trusts nobody.
    let stranger = boot(None, "enforce")?;
    let words = [
        "name=signed state=failed ",
        "is not by a key that the kernel trusts",
    ];
    found.test("enforce, another kernel", has(&stranger, &words));

    // A mode that there is not counts as this one.
    let misspelt = boot(Some(&image), "enforced")?;
    found.test(
        "a wrong mode",
        has(&misspelt, &["name=unsigned state=failed "]),
    );

    let warned = boot(Some(&image), "warn")?;
    for (name, _, reason) in SIGNED {
        let name = format!("name={name} state=ready ");
        found.test(&format!("warn, {name}"), has(&warned, &[&name]));
        let said = warned.log.iter().filter(|line| line.contains(reason));
        let said = said
            .filter(|line| line.contains("loading it all the same"))
            .count();
        let expected = match *reason {
            "" => SIGNED.len() - 1,
            reason => SIGNED
                .iter()
                .filter(|(_, _, other)| *other == reason)
                .count(),
        };
        found.test(
            &format!("warn, {reason}"),
            match said == expected {
                true => Ok(()),
                false => Err(anyhow::anyhow!("said {said} times, not {expected}")),
            },
        );
    }
    let off = boot(Some(&image), "off")?;
    found.test("off", has(&off, &["name=garbage state=ready "]));
    found.test(
        "off says nothing",
        match off.output.contains("sha256: ") || off.output.contains("signer: ") {
            false => Ok(()),
            true => Err(anyhow::anyhow!("{}", off.output)),
        },
    );
    fs::remove_dir_all(&dir)?;
    Ok(found)
}
