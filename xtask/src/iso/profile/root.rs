// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `airootfs/`: what lies over the root file system of the image.

use std::fs;

use anyhow::Result;

use super::{lines, name_of, Check, Variables};

/// The units that the profile enables or changes, and the package of each. `base` brings systemd.
const UNITS: [(&str, &str); 10] = [
    ("getty@tty1.service", "base"),
    ("iwd.service", "iwd"),
    ("serial-getty@.service", "base"),
    ("sshd.service", "openssh"),
    ("systemd-networkd-wait-online.service", "base"),
    ("systemd-networkd.service", "base"),
    ("systemd-networkd.socket", "base"),
    ("systemd-resolved.service", "base"),
    ("systemd-time-wait-sync.service", "base"),
    ("systemd-timesyncd.service", "base"),
];

/// Where links may lead to that are no units: `base` has these, or they come with the boot.
const TARGETS: [&str; 3] = [
    "/dev/null",
    "/usr/share/zoneinfo/UTC",
    "/run/systemd/resolve/stub-resolv.conf",
];

/// The installer on the image.
const INSTALLER: &str = "usr/local/bin/llamux-install";

impl Check<'_> {
    /// Symbolic links: each must lead to what the profile or its packages bring.
    pub(super) fn links(&mut self) -> Result<()> {
        for path in self.tree("airootfs")? {
            let Ok(target) = fs::read_link(self.dir.join(&path)) else {
                continue;
            };
            let target = target.to_string_lossy().into_owned();
            let unit = target.strip_prefix("/usr/lib/systemd/system/");
            let known = UNITS.iter().find(|known| Some(known.0) == unit);
            let there = TARGETS.contains(&target.as_str())
                || known.is_some_and(|(_, package)| self.packages.contains(*package))
                || (target.starts_with('/') && self.exists(&format!("airootfs{target}")));
            let fix = match known {
                Some((_, package)) => format!("add its package, {package}, to packages.x86_64"),
                None => {
                    "mend the target, or name its package in xtask/src/iso/profile.rs".to_owned()
                }
            };
            self.must(
                there,
                &path,
                format!("it leads to {target}, which nothing brings"),
                fix,
            );
            let (from, to) = (name_of(&path), name_of(&target));
            let wants = path.contains(".wants/");
            self.must(
                !wants || from == to,
                &path,
                format!("it enables {to} by another name"),
                format!("call it {to}"),
            );
        }
        Ok(())
    }

    /// The units of the profile, and what it changes of others.
    pub(super) fn units(&mut self) -> Result<()> {
        const DIR: &str = "airootfs/etc/systemd/system";
        for path in self.tree(DIR)? {
            let meta = self.dir.join(&path).symlink_metadata()?;
            if !meta.is_file() {
                continue;
            }
            let below = path
                .strip_prefix(DIR)
                .unwrap_or_default()
                .trim_start_matches('/');
            if let Some((unit, _)) = below.split_once(".d/") {
                let package = UNITS
                    .iter()
                    .find(|known| known.0 == unit)
                    .map(|known| known.1);
                let there = package.is_some_and(|package| self.packages.contains(package));
                self.must(
                    there || self.exists(&format!("{DIR}/{unit}")),
                    &path,
                    format!("it changes {unit}, which nothing brings"),
                    "mend the name of the directory, or name the unit's package in xtask/src/iso/profile.rs",
                );
                continue;
            }
            let text = self.text(&path);
            for place in lines(&text).filter_map(|line| line.strip_prefix("Where=")) {
                let unit = format!("{}.mount", place.trim_matches('/').replace('/', "-"));
                self.must(
                    below == unit,
                    &path,
                    format!("it mounts {place}, and systemd takes that under another name alone"),
                    format!("call it {unit}"),
                );
            }
            for wanted in lines(&text).filter_map(|line| line.strip_prefix("WantedBy=")) {
                let link = format!("{DIR}/{wanted}.wants/{below}");
                let there = self.exists(&link);
                self.must(
                    there,
                    &path,
                    format!("{wanted} wants it, and nothing enables it"),
                    format!("add the link {link}"),
                );
            }
            for line in lines(&text).filter(|line| line.starts_with("ExecStart=/usr/local/")) {
                let program = line
                    .trim_start_matches("ExecStart=")
                    .split_whitespace()
                    .next()
                    .unwrap_or_default();
                let there = self.exists(&format!("airootfs{program}"));
                self.must(
                    there,
                    &path,
                    format!("it starts {program}, which is not there"),
                    "add it, or mend the path",
                );
            }
        }
        for unit in ["getty@tty1.service", "serial-getty@.service"] {
            let dir = format!("{DIR}/{unit}.d");
            let logs_in = self.names(&dir).iter().any(|name| {
                let text = fs::read_to_string(self.dir.join(&dir).join(name)).unwrap_or_default();
                // The first empties the list of commands, the second is the only one then.
                let commands: Vec<_> = lines(&text)
                    .filter_map(|line| line.strip_prefix("ExecStart="))
                    .collect();
                matches!(commands[..], ["", command] if command.contains(" --autologin root "))
            });
            self.must(
                logs_in,
                &dir,
                "nobody is logged in on this console",
                "add a file with an empty ExecStart= and one with --autologin root",
            );
        }
        Ok(())
    }

    /// pacman's hooks: those of the image would run in each system that is installed from it.
    pub(super) fn hooks_of_pacman(&mut self) {
        const DIR: &str = "etc/pacman.d/hooks";
        for name in self.names(&format!("airootfs/{DIR}")) {
            let file = format!("airootfs/{DIR}/{name}");
            let text = self.text(&file);
            let itself = format!("rm /{DIR}/{name}");
            // There a comment is a line of its own.
            let mut commands = text.lines().filter(|line| line.starts_with("Exec"));
            let gone = commands.any(|line| line.contains(&itself));
            self.must(
                gone,
                &file,
                "it stays on the image, and pacman takes the hooks of the system that it runs on",
                format!("have its command end with `&& {itself}`"),
            );
        }
    }

    pub(super) fn texts(&mut self) {
        const MOTD: &str = "airootfs/etc/motd";
        let motd = self.text(MOTD);
        for command in ["llama \"", "llama status", "llamux-install"] {
            let there = motd.contains(command);
            self.must(
                there,
                MOTD,
                format!("it does not say `{command}`"),
                "say what to type",
            );
        }
        self.must(
            motd.lines().all(|line| line.chars().count() <= 80),
            MOTD,
            "a line is longer than a screen of text",
            "keep to 80 characters",
        );
        const HOSTNAME: &str = "airootfs/etc/hostname";
        let name = self.text(HOSTNAME);
        let name = name.trim_end();
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        self.must(
            !name.is_empty() && plain,
            HOSTNAME,
            format!("{name:?} is no host name"),
            "use a to z, 0 to 9 and -",
        );
        const LOCALE: &str = "airootfs/etc/locale.conf";
        let locale = self.text(LOCALE);
        self.must(
            lines(&locale).any(|line| line == "LANG=C.UTF-8"),
            LOCALE,
            "the language is not one that is there without generating it",
            "write LANG=C.UTF-8",
        );
        const SHADOW: &str = "airootfs/etc/shadow";
        let shadow = self.text(SHADOW);
        self.must(
            shadow.lines().count() == 1 && shadow.starts_with("root::"),
            SHADOW,
            "there are more accounts than root's, or it has a password",
            "the image has one account, without a password",
        );
    }

    /// Programs and shell files: their modes, and what the shell, shellcheck, Python and GRUB say of them.
    pub(super) fn scripts(&mut self, definition: &Variables) -> Result<()> {
        let modes = definition
            .get("file_permissions")
            .cloned()
            .unwrap_or_default();
        let there = self.exists(&format!("airootfs/{INSTALLER}"));
        self.must(
            there,
            &format!("airootfs/{INSTALLER}"),
            "it is not there",
            "it is what motd names",
        );
        for path in self.tree("")? {
            let file = self.dir.join(&path);
            if !file.symlink_metadata()?.is_file() {
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            let first = text.lines().next().unwrap_or_default();
            if let (Some(on_image), true) = (path.strip_prefix("airootfs"), first.starts_with("#!"))
            {
                let mode = modes.get(on_image).and_then(|how| how.rsplit(':').next());
                let runs = mode
                    .and_then(|mode| u32::from_str_radix(mode, 8).ok())
                    .is_some_and(|mode| mode & 0o111 == 0o111);
                self.must(
                    runs,
                    "profiledef.sh",
                    format!("{on_image} is a program, and file_permissions does not make it one"),
                    format!(
                        "add [\"{on_image}\"]=\"0:0:755\": archiso gives every other file mode 644"
                    ),
                );
            }
            let sourced = ["profiledef.sh", ".preset"]
                .iter()
                .any(|end| path.ends_with(end))
                || path.starts_with("airootfs/etc/mkinitcpio.conf.d/")
                || path == "airootfs/etc/llamux.conf";
            let shell = first.starts_with("#!") && first.contains("sh");
            if sourced || shell {
                self.tool(&path, "bash", &["-n"], &file)?;
                self.tool(
                    &path,
                    "shellcheck",
                    &["--shell=bash", "--format=gcc", "--exclude=SC2034"],
                    &file,
                )?;
            }
            if first.starts_with("#!") && first.contains("python") {
                let parse = "import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])";
                self.tool(&path, "python3", &["-c", parse], &file)?;
            }
            if path == "grub/grub.cfg" {
                self.tool(&path, "grub-script-check", &[], &file)?;
            }
        }
        let secret = "/etc/shadow";
        let mode = modes.get(secret).and_then(|how| how.rsplit(':').next());
        self.must(
            mode == Some("400"),
            "profiledef.sh",
            format!("{secret} may be read by others"),
            format!("add [\"{secret}\"]=\"0:0:400\" to file_permissions"),
        );
        Ok(())
    }
}
