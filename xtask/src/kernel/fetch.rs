// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Gets the kernel's source, checks it, and unpacks it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{Pinned, Source};
use crate::context::Context;
use crate::{download, sh};

/// One place to get the source from.
#[derive(Deserialize)]
#[serde(tag = "kind")]
pub(crate) enum SourceSpec {
    #[serde(rename = "kernel.org")]
    KernelOrg(KernelOrg),
    #[serde(rename = "debian")]
    Debian(Debian),
}

/// A signed list of sums, and an archive in it.
#[derive(Deserialize)]
pub(crate) struct KernelOrg {
    url: String,
    sums: String,
    signer: String,
    fingerprint: String,
}

/// A package that has the archive inside.
#[derive(Deserialize)]
pub(crate) struct Debian {
    suite: String,
    package: String,
    version: String,
    sha256: String,
}

/// An archive that has been checked.
#[derive(Deserialize, Serialize)]
struct Archive {
    file: PathBuf,
    sha256: String,
    origin: String,
}

/// The source as its authors left it.
pub(crate) struct Pristine {
    pub(crate) dir: PathBuf,
    /// Distinguishes this source from any other.
    pub(crate) id: String,
    pub(crate) version: String,
}

/// The unpacked source, fetched first if it is not here.
pub(crate) fn pristine(cx: &Context, source: &Source) -> Result<Pristine> {
    let pinned: Pinned = cx.config("kernel.toml")?;
    let archive = match &source.tarball {
        Some(file) => {
            let file = fs::canonicalize(file)
                .with_context(|| format!("there is no archive {}", file.display()))?;
            let sha256 = download::sha256(&file)?;
            Archive {
                origin: file.display().to_string(),
                file,
                sha256,
            }
        }
        None => archive(cx, &pinned)?,
    };
    let id = archive.sha256[..12].to_owned();
    let dir = cx.cache_dir("linux")?.join(format!("pristine-{id}"));
    if !dir.exists() {
        unpack(&archive.file, &dir)?;
    }
    let version = version(&dir)?;
    if version != pinned.version {
        if !version.starts_with(&format!("{}.", pinned.series)) && version != pinned.series {
            bail!(
                "{} is Linux {version}, not {}",
                archive.origin,
                pinned.series
            );
        }
        eprintln!(
            "kernel: {} is Linux {version}, pinned is {}",
            archive.origin, pinned.version
        );
    }
    Ok(Pristine { dir, id, version })
}

/// The pinned archive: the one fetched earlier, or from the first source that has it.
fn archive(cx: &Context, pinned: &Pinned) -> Result<Archive> {
    let dir = cx.cache_dir("downloads")?;
    let note = dir.join(format!("linux-{}.json", pinned.version));
    if let Ok(text) = fs::read_to_string(&note) {
        let archive: Archive = serde_json::from_str(&text)?;
        if archive.file.exists() {
            return Ok(archive);
        }
    }
    let mut complaints = Vec::new();
    for source in &pinned.source {
        let tried = match source {
            SourceSpec::KernelOrg(source) => source.fetch(&dir),
            SourceSpec::Debian(source) => source.fetch(&dir),
        };
        match tried {
            Ok(archive) => {
                fs::write(&note, serde_json::to_string_pretty(&archive)?)?;
                return Ok(archive);
            }
            Err(error) => {
                eprintln!(
                    "kernel: {}: {error:#}; trying the next source",
                    source.name()
                );
                complaints.push(format!("{}: {error:#}", source.name()));
            }
        }
    }
    bail!(
        "no source of Linux {} worked (--tarball FILE takes one of yours):\n  {}",
        pinned.version,
        complaints.join("\n  ")
    )
}

impl SourceSpec {
    fn name(&self) -> &str {
        match self {
            Self::KernelOrg(source) => &source.url,
            Self::Debian(source) => &source.package,
        }
    }
}

impl KernelOrg {
    fn fetch(&self, dir: &Path) -> Result<Archive> {
        let name = self.url.rsplit('/').next().unwrap_or("linux.tar.xz");
        let sums = dir.join("sha256sums.asc");
        // The small file first: it tells at once whether the site can be reached.
        let _ = fs::remove_file(&sums);
        download::http(&self.sums, &sums)?;
        let list = self.verified(&sums, dir)?;
        let sha256 = sum_of(&list, name)
            .with_context(|| format!("{} does not list {name}", self.sums))?
            .to_owned();
        let file = dir.join(name);
        if !file.exists() {
            download::http(&self.url, &file)?;
        }
        download::check_sha256(&file, &sha256)?;
        Ok(Archive {
            file,
            sha256,
            origin: self.url.clone(),
        })
    }

    /// The text that the signer signed, in a key ring of our own.
    fn verified(&self, sums: &Path, dir: &Path) -> Result<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let home = dir.join("gnupg");
        fs::create_dir_all(&home)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
        let gpg = || {
            let mut gpg = sh::cmd("gpg");
            gpg.args(["--batch", "--quiet", "--homedir"]).arg(&home);
            gpg
        };
        sh::run(
            gpg()
                .args(["--auto-key-locate", "clear,wkd", "--locate-external-keys"])
                .arg(&self.signer),
        )?;
        let text = dir.join("sha256sums");
        let mut verify = gpg();
        verify
            .args(["--yes", "--status-fd", "1", "--output"])
            .arg(&text)
            .arg("--decrypt")
            .arg(sums);
        sh::announce(&verify);
        let status = sh::read(&mut verify)?;
        let valid = status.lines().any(|line| {
            line.starts_with("[GNUPG:] VALIDSIG ") && line.contains(self.fingerprint.as_str())
        });
        if !valid {
            bail!("{} is not signed by {}", sums.display(), self.fingerprint);
        }
        Ok(fs::read_to_string(text)?)
    }
}

/// The sum that a `sha256sum` list gives for a file.
fn sum_of<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    list.lines().find_map(|line| {
        let (sum, file) = line.split_once(char::is_whitespace)?;
        (file.trim_start_matches([' ', '*']) == name && sum.len() == 64).then_some(sum)
    })
}

impl Debian {
    /// apt with all of its state in a directory of ours; the machine's own is only read for the mirror.
    fn fetch(&self, dir: &Path) -> Result<Archive> {
        if !sh::has("apt-get") {
            bail!("this machine has no apt");
        }
        let (mirror, keyring) = mirror(Path::new("/etc/apt"))
            .context("no Debian mirror is named in this machine's apt sources")?;
        let apt = dir.join("apt");
        for part in ["lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(apt.join(part))?;
        }
        fs::write(
            apt.join("sources.list"),
            format!("deb [signed-by={keyring}] {mirror} {} main\n", self.suite),
        )?;
        let apt_get = || {
            let mut command = sh::cmd("apt-get");
            command.current_dir(&apt).args(["-q", "-o"]);
            command.arg(format!(
                "Dir::Etc::SourceList={}",
                apt.join("sources.list").display()
            ));
            command.arg("-o").arg(format!(
                "Dir::Etc::SourceParts={}",
                apt.join("parts").display()
            ));
            command
                .arg("-o")
                .arg(format!("Dir::State::Lists={}", apt.join("lists").display()));
            command
                .arg("-o")
                .arg(format!("Dir::Cache={}", apt.join("cache").display()));
            // The user that apt drops to cannot write below somebody's home.
            command.args(["-o", "APT::Sandbox::User=root"]);
            command
        };
        sh::run(apt_get().arg("update"))?;
        sh::run(apt_get().arg("download").arg(&self.package))?;
        let deb = newest(&apt, |name| {
            name.starts_with(&format!("{}_", self.package)) && name.ends_with(".deb")
        })?;
        if download::sha256(&deb)? != self.sha256 {
            eprintln!(
                "kernel: {} is not {} {}, which configs/kernel.toml names; apt has checked its signature",
                deb.display(),
                self.package,
                self.version
            );
        }
        let unpacked = apt.join("unpacked");
        let _ = fs::remove_dir_all(&unpacked);
        sh::run(sh::cmd("dpkg-deb").arg("-x").arg(&deb).arg(&unpacked))?;
        let inside = newest(&unpacked.join("usr/src"), |name| {
            name.starts_with("linux-source-") && name.contains(".tar")
        })?;
        let file = dir.join(inside.file_name().unwrap_or_default());
        fs::rename(&inside, &file)?;
        fs::remove_dir_all(&unpacked)?;
        let origin = deb
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        fs::remove_file(&deb)?;
        Ok(Archive {
            sha256: download::sha256(&file)?,
            file,
            origin,
        })
    }
}

/// The newest file of a directory whose name fits.
fn newest(dir: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .with_context(|| format!("cannot list {}", dir.display()))?
        .flatten()
        .filter(|entry| fits(&entry.file_name().to_string_lossy()))
        .map(|entry| {
            (
                entry.metadata().and_then(|meta| meta.modified()).ok(),
                entry.path(),
            )
        })
        .collect();
    found.sort();
    let (_, path) = found
        .pop()
        .with_context(|| format!("nothing fitting in {}", dir.display()))?;
    Ok(path)
}

/// The address and key ring of the Debian archive that this machine uses, from `sources.list` and its directory, in either format.
pub(crate) fn mirror(etc: &Path) -> Option<(String, String)> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let ring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let uri = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| mirror_in(&text))?;
    Some((uri, ring.to_owned()))
}

/// The first address of a file that is Debian's main archive.
fn mirror_in(text: &str) -> Option<String> {
    let archive = |uri: &str| {
        let path = uri.trim_end_matches('/');
        let known = ["http://", "https://", "mirror+", "tor+"]
            .iter()
            .any(|s| uri.starts_with(s));
        (known && path.ends_with("/debian")).then(|| uri.to_owned())
    };
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            if let Some(uris) = line.strip_prefix("URIs:") {
                return uris.split_whitespace().find_map(archive);
            }
            if line.starts_with("deb ") || line.starts_with("deb\t") || line.starts_with("deb-src ")
            {
                return line.split_whitespace().find_map(archive);
            }
            None
        })
}

fn unpack(archive: &Path, dir: &Path) -> Result<()> {
    let part = dir.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(&part)?;
    eprintln!("kernel: unpacking 1.6 GB, about half a minute");
    sh::run(
        sh::cmd("tar")
            .args([
                "--extract",
                "--strip-components=1",
                "--no-same-owner",
                "--directory",
            ])
            .arg(&part)
            .arg("--file")
            .arg(archive),
    )?;
    fs::rename(&part, dir)?;
    Ok(())
}

/// `7.3.4`, from the tree's own Makefile.
fn version(dir: &Path) -> Result<String> {
    let text = fs::read_to_string(dir.join("Makefile"))
        .with_context(|| format!("{} is no kernel tree", dir.display()))?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))
            .map(str::trim)
            .with_context(|| format!("{}/Makefile has no {name}", dir.display()))
    };
    let (major, minor, patch) = (field("VERSION")?, field("PATCHLEVEL")?, field("SUBLEVEL")?);
    Ok(if patch == "0" {
        format!("{major}.{minor}")
    } else {
        format!("{major}.{minor}.{patch}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        let deb822 = "Types: deb\n# URIs: http://old/debian\nURIs: http://mirror.example/debian\nSuites: trixie\n";
        assert_eq!(
            mirror_in(deb822).as_deref(),
            Some("http://mirror.example/debian")
        );
        let lines =
            "# deb http://no/debian x main\ndeb http://security.example/debian-security s main\n\
                     deb [arch=amd64] https://mirror.example/debian/ bookworm main\n";
        assert_eq!(
            mirror_in(lines).as_deref(),
            Some("https://mirror.example/debian/")
        );
        assert_eq!(
            mirror_in("deb https://packages.example/apt stable main\n"),
            None
        );
    }

    #[test]
    fn a_sum_belongs_to_the_whole_name() {
        let sum = "a".repeat(64);
        let list = format!(
            "{sum}  linux-7.3.40.tar.xz\n{}  linux-7.3.4.tar.xz\n",
            "b".repeat(64)
        );
        assert_eq!(
            sum_of(&list, "linux-7.3.4.tar.xz"),
            Some("b".repeat(64).as_str())
        );
        assert_eq!(sum_of(&list, "linux-7.3.tar.xz"), None);
    }
}
