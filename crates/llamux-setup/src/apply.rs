// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What `llamux.service` does at boot: settings and further models, written to `/sys/kernel/llamux`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};

use crate::conf::Conf;
use crate::models::Model;

/// Where the kernel takes them.
pub const SYSFS: &str = "sys/kernel/llamux";

/// How long a model may take that is being loaded when another one is to be.
const PATIENCE: Duration = Duration::from_secs(600);

/// Writes what `llamux.conf` asks for; what fails does not keep the rest from being tried.
pub fn apply(root: &Path, conf: &Conf) -> Result<()> {
    let sysfs = root.join(SYSFS);
    if !sysfs.is_dir() {
        bail!("there is no /{SYSFS}: boot the kernel of the package linux-llamux");
    }
    let mut failures = Vec::new();
    let mut note = |key: &str, done: Result<()>| {
        if let Err(error) = done {
            failures.push(format!("{key}: {error:#}"));
        }
    };
    let set = |file: &str, value: &str| write(&sysfs.join(file), value);
    if let Some(nice) = conf.nice {
        note("NICE", set("nice", &nice.to_string()));
    }
    for (name, value) in &conf.sampling {
        note("SAMPLING", set(&format!("sampling/{name}"), value));
    }
    if let Some(prompt) = &conf.system_prompt {
        note("SYSTEM_PROMPT", set("system_prompt", prompt));
    }
    for line in &conf.limits {
        note("LIMITS", set("limits", line));
    }
    let there = fs::read_to_string(sysfs.join("models")).unwrap_or_default();
    let first = conf.model.iter().map(|name| ("MODEL", name));
    for (key, name) in first.chain(conf.load.iter().map(|name| ("LOAD", name))) {
        match Model::find(root, name) {
            Ok(model) => {
                let name = kernel_name(root, &model);
                if !is_there(&there, &name) {
                    note(key, load(&sysfs.join("load"), &name, PATIENCE));
                }
            }
            // The one of the initramfs need not be on a disk.
            Err(_) if is_there(&there, name) => (),
            Err(error) => note(key, Err(error)),
        }
    }
    match failures.as_slice() {
        [] => Ok(()),
        failures => bail!("{}", failures.join("\n")),
    }
}

/// What the kernel finds the model by: its name, or the path of a file that is not with the firmware.
fn kernel_name(root: &Path, model: &Model) -> String {
    let path = match model.files.first() {
        Some(file) if !model.is_firmware(root) => file,
        _ => return model.name.clone(),
    };
    let path = path.strip_prefix(root).unwrap_or(path).with_extension("");
    format!("/{}", path.to_string_lossy().trim_start_matches('/'))
}

/// Whether the lines of `/sys/kernel/llamux/models` have a model that did not fail, also by the name that the
/// initramfs gave it.
fn is_there(models: &str, name: &str) -> bool {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let named = |line: &str| {
        let mut words = line.split(' ');
        let listed = words.next().and_then(|word| word.strip_prefix("name="));
        listed.is_some_and(|listed| listed == name || listed == stem)
            && !words.any(|word| word == "state=failed")
    };
    models.lines().any(named)
}

/// Has a model loaded. The kernel takes one at a time, and loads the one of the initramfs by itself: who comes while it
/// does so waits.
fn load(path: &Path, name: &str, patience: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        match write(path, name) {
            Err(error) if is_busy(&error) && begun.elapsed() < patience => {
                thread::sleep(Duration::from_millis(100));
            }
            done => return done,
        }
    }
}

fn is_busy(error: &anyhow::Error) -> bool {
    let io: Option<&io::Error> = error.downcast_ref();
    io.is_some_and(|error| error.kind() == ErrorKind::ResourceBusy)
}

/// One write, as the kernel wants it.
fn write(path: &Path, value: &str) -> Result<()> {
    let written = File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.with_context(|| format!("the kernel does not take {value:?} ({})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::testing::Dir;

    fn conf(text: &str) -> Conf {
        Conf::parse(text).unwrap()
    }

    #[test]
    fn settings_and_models_reach_the_kernel() {
        let dir = Dir::new("apply");
        for file in ["nice", "system_prompt", "limits", "load", "sampling/top_k"] {
            dir.write(&format!("{SYSFS}/{file}"), "");
        }
        dir.write(
            &format!("{SYSFS}/models"),
            "name=a state=ready default=yes\nname=b state=failed reason=x\n",
        );
        dir.write("usr/lib/firmware/llamux/b.gguf", "GGUF");
        dir.write("var/lib/llamux/c.gguf", "GGUF");
        let text = |file: &str| fs::read_to_string(dir.0.join(SYSFS).join(file)).unwrap();
        let all = "MODEL=a\nLOAD=b\nNICE=5\nSAMPLING=top_k=3\nSYSTEM_PROMPT='Be brief.'\nLIMITS='default queued=4'";
        apply(&dir.0, &conf(all)).unwrap();
        assert_eq!(text("nice"), "5");
        assert_eq!(text("sampling/top_k"), "3");
        assert_eq!(text("system_prompt"), "Be brief.");
        assert_eq!(text("limits"), "default queued=4");
        // The first one is there, and the second one has failed.
        assert_eq!(text("load"), "b");
        dir.write(&format!("{SYSFS}/load"), "");
        apply(&dir.0, &conf("LOAD=c")).unwrap();
        assert_eq!(text("load"), "/var/lib/llamux/c");
    }

    #[test]
    fn what_fails_is_named_and_the_rest_is_done() {
        let dir = Dir::new("apply-fails");
        let error = apply(&dir.0, &conf("NICE=1")).unwrap_err().to_string();
        assert!(error.contains("linux-llamux"), "{error}");
        dir.write(&format!("{SYSFS}/limits"), "");
        let text = "NICE=1\nSAMPLING=unknown=3\nLOAD=absent\nLIMITS='default queued=4'";
        let error = apply(&dir.0, &conf(text)).unwrap_err().to_string();
        for part in [
            "NICE: ",
            "SAMPLING: ",
            "sampling/unknown",
            "LOAD: there is no model absent",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let limits = fs::read_to_string(dir.0.join(SYSFS).join("limits")).unwrap();
        assert_eq!(limits, "default queued=4");
    }
}
