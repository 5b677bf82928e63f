// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `lsh` with the engine in this process in the place of the kernel's: `--model` names a GGUF file.

use std::path::PathBuf;
use std::process::ExitCode;

use llamux_eval::host::Host;

fn main() -> ExitCode {
    lsh::main_with(|name| {
        let file = name.map(PathBuf::from);
        Box::new(move || {
            let Some(file) = file else {
                return Err(llamux::Error::NoModel { reason: None });
            };
            match Host::load(&file, None) {
                Ok(host) => Ok(Box::new(host)),
                Err(error) => Err(llamux::Error::Other(std::io::Error::other(format!(
                    "{error:#}"
                )))),
            }
        })
    })
}
