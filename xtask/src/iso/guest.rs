// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A QEMU machine that boots an image, and a serial line to it.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use rustix::process::{set_parent_process_death_signal, Signal};
use serde_json::json;

use crate::{machine, sh};

/// Lines that an error shows of what the machine said.
const TAIL: usize = 15;

/// What starts the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    Bios,
    Uefi,
}

/// What the image is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A disc in a drive.
    Disc,
    /// A USB stick.
    Stick,
}

/// A machine to boot an image on.
pub(crate) struct Pc<'a> {
    pub(crate) image: &'a Path,
    pub(crate) firmware: Firmware,
    pub(crate) medium: Medium,
    pub(crate) memory_mb: u64,
    /// What it finds on a disk of its own.
    pub(crate) disk: Option<&'a Path>,
    /// For what the machine writes: UEFI's variables.
    pub(crate) dir: &'a Path,
}

/// UEFI for virtual machines: its program, and the file of its variables as it is at first.
pub(crate) fn uefi() -> Option<(PathBuf, PathBuf)> {
    let places = [
        (
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/OVMF/OVMF_VARS_4M.fd",
        ),
        (
            "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
            "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
        ),
    ];
    let mut places = places
        .into_iter()
        .map(|(code, vars)| (PathBuf::from(code), PathBuf::from(vars)));
    places.find(|(code, vars)| code.exists() && vars.exists())
}

impl Pc<'_> {
    /// The machine, but for its serial line and its screen.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut qemu = sh::cmd("qemu-system-x86_64");
        qemu.args(["-M", "q35", "-no-user-config", "-no-reboot", "-smp", "2"]);
        qemu.args(machine::accelerator());
        qemu.arg("-m").arg(format!("{}M", self.memory_mb));
        if self.firmware == Firmware::Uefi {
            let (code, vars) = uefi().context("there is no OVMF: `cargo xtask setup`")?;
            let own = self.dir.join("uefi-variables.fd");
            fs::copy(vars, &own)?;
            let flash = |unit: u32, options: &str, file: &Path| {
                let file = file.display();
                format!("if=pflash,unit={unit},format=raw{options},file={file}")
            };
            qemu.arg("-drive").arg(flash(0, ",readonly=on", &code));
            qemu.arg("-drive").arg(flash(1, "", &own));
        }
        if let Some(disk) = self.disk {
            let disk = disk.display();
            let drive = format!("if=virtio,format=raw,readonly=on,file={disk}");
            qemu.arg("-drive").arg(drive);
        }
        let image = self.image.display();
        match self.medium {
            Medium::Disc => qemu.arg("-cdrom").arg(self.image),
            Medium::Stick => qemu
                .arg("-drive")
                .arg(format!(
                    "if=none,id=stick,format=raw,readonly=on,file={image}"
                ))
                .args(["-device", "qemu-xhci", "-device"])
                .arg("usb-storage,drive=stick,bootindex=0"),
        };
        Ok(qemu)
    }
}

/// A machine that runs. It ends with this.
pub(crate) struct Guest {
    child: Child,
    input: ChildStdin,
    said: mpsc::Receiver<Vec<u8>>,
    /// What came from the line behind what was waited for.
    unread: Vec<u8>,
    monitor: PathBuf,
}

impl Guest {
    /// Starts a machine, with its serial line to us.
    pub(crate) fn start(mut qemu: Command) -> Result<Self> {
        // In a short path, as sockets want it.
        let monitor = env::temp_dir().join(format!("llamux-monitor-{}", std::process::id()));
        let _ = fs::remove_file(&monitor);
        qemu.args(["-display", "none", "-monitor", "none"]);
        qemu.args(["-chardev", "stdio,id=line,signal=off"]);
        qemu.args(["-serial", "chardev:line", "-qmp"]);
        qemu.arg(format!("unix:{},server=on,wait=off", monitor.display()));
        sh::announce(&qemu);
        qemu.stdin(Stdio::piped()).stdout(Stdio::piped());
        let die_with_us =
            || set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into);
        // SAFETY: Between fork and exec only a system call is made.
        unsafe { qemu.pre_exec(die_with_us) };
        let mut child = qemu.spawn().context("cannot run qemu-system-x86_64")?;
        let input = child.stdin.take().context("the serial line is piped")?;
        let mut output = child.stdout.take().context("the serial line is piped")?;
        let (sender, said) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut bytes) {
                if sender.send(bytes[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            input,
            said,
            unread: Vec::new(),
            monitor,
        })
    }

    /// Waits until it has said this, and returns what came before.
    pub(crate) fn wait_for(&mut self, wanted: &str, limit: Duration) -> Result<String> {
        self.wait_for_any(&[wanted], limit)
    }

    /// Waits until it has said one of these, and returns what came before.
    pub(crate) fn wait_for_any(&mut self, wanted: &[&str], limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            let places = wanted
                .iter()
                .filter_map(|text| Some((find(&self.unread, text.as_bytes())?, text.len())));
            if let Some((at, len)) = places.min() {
                let rest = self.unread.split_off(at + len);
                let before = std::mem::replace(&mut self.unread, rest);
                return Ok(String::from_utf8_lossy(&before[..at]).into_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let why = match self.said.recv_timeout(left) {
                Ok(bytes) => {
                    self.unread.extend(bytes);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => format!("did not come within {limit:?}"),
                Err(RecvTimeoutError::Disconnected) => "never came: the machine is off".to_owned(),
            };
            let text = String::from_utf8_lossy(&self.unread);
            let lines: Vec<_> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
            let wanted = wanted.join("` or `");
            bail!("`{wanted}` {why}; the end of what did:\n{tail}");
        }
    }

    /// Types this.
    pub(crate) fn send(&mut self, text: &str) -> Result<()> {
        self.input.write_all(text.as_bytes())?;
        self.input.flush()?;
        Ok(())
    }

    /// Has the shell at the line run this, and returns what it printed; a failure is an error.
    pub(crate) fn run(&mut self, command: &str, limit: Duration) -> Result<String> {
        self.send(&format!("{command}; echo \"ended=$?\"\n"))?;
        loop {
            let output = self.wait_for("ended=", limit)?;
            let status = self.wait_for("\r\n", limit)?;
            // What is typed comes back as well, and has no number.
            match status.parse::<u8>() {
                Ok(0) => return Ok(output),
                Ok(status) => bail!("`{command}` ended with {status}: {output}"),
                Err(_) => {}
            }
        }
    }

    /// Writes what is on the screen to a file, as PPM.
    pub(crate) fn screen(&self, to: &Path) -> Result<()> {
        let mut monitor = UnixStream::connect(&self.monitor)?;
        monitor.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut replies = BufReader::new(monitor.try_clone()?);
        let commands = [
            json!({"execute": "qmp_capabilities"}),
            json!({"execute": "screendump", "arguments": {"filename": to}}),
        ];
        for command in commands {
            writeln!(monitor, "{command}")?;
            loop {
                let mut line = String::new();
                if replies.read_line(&mut line)? == 0 {
                    bail!("QEMU's monitor has nothing more to say");
                }
                let reply: serde_json::Value = serde_json::from_str(&line)?;
                if let Some(error) = reply.get("error") {
                    bail!("QEMU refuses {command}: {error}");
                }
                // The rest is a greeting, and events.
                if reply.get("return").is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits until it is off.
    pub(crate) fn wait_until_off(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the machine is not off after {limit:?}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.monitor);
    }
}

/// Where a part begins in a whole.
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|bytes| bytes == part)
}
