// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The configuration, `/etc/llamux/llamuxd.toml`; docs/llamuxd.md describes it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};
use serde::Deserialize;
use tokio::sync::Semaphore;

/// Where it is.
pub const PATH: &str = "/etc/llamux/llamuxd.toml";

/// All of it. What is not there has its default.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the kernel's models are served.
    pub kernel: KernelConfig,
    /// The socket for programs of this machine.
    pub unix: Unix,
    /// Addresses.
    pub tcp: Tcp,
    /// How much is taken in.
    pub limits: Limits,
    /// Web pages of others.
    pub cors: Cors,
    /// Engines elsewhere.
    #[serde(rename = "upstream")]
    pub upstreams: Vec<UpstreamConfig>,
}

/// The kernel's models.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct KernelConfig {
    /// Whether they are served.
    pub enabled: bool,
}

/// The unix socket.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Unix {
    /// Where it is; empty for none. Not used where systemd hands one over.
    pub path: PathBuf,
    /// Its mode, in octal digits.
    pub mode: String,
    /// Its group.
    pub group: Option<String>,
}

/// Addresses.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Tcp {
    /// Where to listen; nowhere if it is empty. Not used where systemd hands such sockets over.
    pub listen: Vec<SocketAddr>,
    /// A file with keys, or `none`.
    pub keys: String,
}

/// How much is taken in.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most bytes of a request.
    pub body_bytes: usize,
    /// Requests that are answered at once.
    pub concurrent: usize,
    /// Requests that wait.
    pub queue: usize,
    /// Connections to unix sockets, and as many others.
    pub connections: usize,
    /// Requests in a minute of one key or user; 0 for any number.
    pub requests_per_minute: u32,
    /// Longest time of an answer.
    pub timeout_seconds: u64,
    /// Most answers to one request.
    pub choices: u32,
}

/// Web pages of others.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins whose pages may ask.
    pub origins: Vec<String>,
}

/// What an upstream is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Its models are its own.
    Route,
    /// It helps with models of the kernel.
    Overflow,
}

/// An engine elsewhere.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Its name, in metrics and logs.
    pub name: String,
    /// Its address, with `/v1` at the end.
    pub url: String,
    /// Models that it answers for.
    pub models: Vec<String>,
    /// What it is for.
    #[serde(default = "route")]
    pub mode: Mode,
    /// The model's name there, if it is another one.
    pub remote_model: Option<String>,
    /// A file with its key.
    pub key_file: Option<PathBuf>,
    /// Longest time until an answer begins, and between two parts of one.
    #[serde(default = "ten_minutes")]
    pub timeout_seconds: u64,
    /// Requests at once.
    #[serde(default = "sixteen")]
    pub max_concurrent: usize,
    /// Attempts after the first, as long as nothing of an answer has come.
    #[serde(default = "two")]
    pub retries: u32,
    /// For `overflow`: when so many wait for the kernel.
    #[serde(default)]
    pub when_waiting: usize,
    /// Between two questions for how it is.
    #[serde(default = "ten")]
    pub health_seconds: u64,
}

fn route() -> Mode {
    Mode::Route
}

fn ten_minutes() -> u64 {
    600
}

fn sixteen() -> usize {
    16
}

fn two() -> u32 {
    2
}

fn ten() -> u64 {
    10
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for Unix {
    fn default() -> Self {
        Self {
            path: "/run/llamux/llamuxd.sock".into(),
            mode: "0660".into(),
            group: None,
        }
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            listen: vec![],
            keys: "/etc/llamux/keys".into(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            concurrent: 16,
            queue: 64,
            connections: 512,
            requests_per_minute: 0,
            timeout_seconds: 600,
            choices: 8,
        }
    }
}

impl Unix {
    /// The mode as a number.
    pub fn mode(&self) -> Result<u32> {
        match u32::from_str_radix(&self.mode, 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => bail!("unix.mode: {:?} is no mode, as in \"0660\"", self.mode),
        }
    }
}

impl Tcp {
    /// The file with keys; `None` if none are wanted.
    pub fn key_file(&self) -> Option<&Path> {
        (self.keys != "none").then(|| Path::new(&self.keys))
    }
}

impl Config {
    /// Reads a file; the one of [`PATH`] need not be there.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let at = path.unwrap_or(Path::new(PATH));
        match std::fs::read_to_string(at) {
            Ok(text) => Self::parse(&text).with_context(|| at.display().to_string()),
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", at.display())),
        }
    }

    /// Takes such a file apart. What it does not know is refused, with the line.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        self.unix.mode()?;
        if self.tcp.key_file().is_none() {
            if let Some(far) = self.tcp.listen.iter().find(|at| !at.ip().is_loopback()) {
                bail!(
                    "tcp.listen: {far} is not of this machine alone: that needs keys \
                     (tcp.keys = \"/etc/llamux/keys\")"
                );
            }
        }
        for (name, value) in [
            ("body_bytes", self.limits.body_bytes),
            ("concurrent", self.limits.concurrent),
            ("connections", self.limits.connections),
        ] {
            if value == 0 {
                bail!("limits.{name} is 0: nothing would be answered");
            }
        }
        at_most("limits.concurrent", self.limits.concurrent)?;
        at_most("limits.connections", self.limits.connections)?;
        if self.limits.timeout_seconds == 0 || self.limits.choices == 0 {
            bail!("limits.timeout_seconds and limits.choices are at least 1");
        }
        for origin in &self.cors.origins {
            let url = reqwest::Url::parse(origin);
            let whole = url.is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if !whole {
                bail!("cors.origins: {origin:?} is no origin, as in \"https://example.org\"");
            }
        }
        let mut names = HashSet::new();
        for upstream in &self.upstreams {
            upstream.check()?;
            if !names.insert(&upstream.name) {
                bail!("there are two upstreams of the name {:?}", upstream.name);
            }
        }
        if !self.kernel.enabled && self.upstreams.is_empty() {
            bail!("kernel.enabled is false, and there is no upstream: nobody would answer");
        }
        Ok(())
    }
}

impl UpstreamConfig {
    fn check(&self) -> Result<()> {
        let name = &self.name;
        if name.is_empty() || name.chars().any(char::is_control) {
            bail!("upstream {name:?}: a name has characters, and none that control a terminal");
        }
        let url = reqwest::Url::parse(&self.url)
            .with_context(|| format!("upstream {name:?}: url {:?}", self.url))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
            bail!(
                "upstream {name:?}: url {:?} is not http:// or https://",
                self.url
            );
        }
        if self.models.is_empty() || self.models.iter().any(String::is_empty) {
            bail!("upstream {name:?}: models must name those that it answers for");
        }
        if self.timeout_seconds == 0 || self.max_concurrent == 0 || self.health_seconds == 0 {
            bail!(
                "upstream {name:?}: timeout_seconds, max_concurrent and health_seconds are at least 1"
            );
        }
        at_most(
            &format!("upstream {name:?}: max_concurrent"),
            self.max_concurrent,
        )
    }
}

/// What is counted by a semaphore has an end.
fn at_most(what: &str, value: usize) -> Result<()> {
    let most = Semaphore::MAX_PERMITS;
    if value > most {
        bail!("{what} is {value}: it is at most {most}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_all_defaults() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert!(Config::default().tcp.listen.is_empty());
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_line() {
        for (text, expected) in [
            ("[limits]\nqueue = 3\nqeue = 4\n", "line 3"),
            ("[kernle]\n", "line 1"),
            ("[unix]\npath = 3\n", "line 2"),
            (
                "[[upstream]]\nname = \"a\"\nurl = \"http://a/v1\"\nmodels = [\"m\"]\nmode = \"rout\"\n",
                "line 5",
            ),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let upstream = |more: &str| format!("[[upstream]]\nname = \"a\"\n{more}");
        let good = "url = \"http://a/v1\"\nmodels = [\"m\"]\n";
        Config::parse(&upstream(good)).unwrap();
        for (text, expected) in [
            ("[unix]\nmode = \"0999\"\n", "unix.mode"),
            (
                "[tcp]\nkeys = \"none\"\nlisten = [\"0.0.0.0:80\"]\n",
                "tcp.listen",
            ),
            ("[limits]\nconcurrent = 0\n", "limits.concurrent"),
            (
                "[limits]\nconcurrent = 9223372036854775807\n",
                "limits.concurrent is 9223372036854775807: it is at most 2305843009213693951",
            ),
            (
                "[limits]\nconnections = 9223372036854775807\n",
                "limits.connections is",
            ),
            (
                &upstream(&format!("{good}max_concurrent = 9223372036854775807\n")),
                "upstream \"a\": max_concurrent is",
            ),
            (
                "[[upstream]]\nname = \"a\\u001b\"\nurl = \"http://a/v1\"\nmodels = [\"m\"]\n",
                "control a terminal",
            ),
            ("[cors]\norigins = [\"example.org\"]\n", "cors.origins"),
            ("[cors]\norigins = [\"http://a/\"]\n", "cors.origins"),
            ("[kernel]\nenabled = false\n", "nobody would answer"),
            (
                &upstream("url = \"ftp://a\"\nmodels = [\"m\"]\n"),
                "http://",
            ),
            (&upstream("url = \"http://a\"\nmodels = []\n"), "models"),
            (
                &format!("{}{}", upstream(good), upstream(good)),
                "two upstreams",
            ),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn keys_may_be_left_out_on_this_machine_alone() {
        let config =
            Config::parse("[tcp]\nkeys = \"none\"\nlisten = [\"127.0.0.1:1\", \"[::1]:1\"]\n");
        assert_eq!(config.unwrap().tcp.key_file(), None);
        let config = Config::parse("[tcp]\nlisten = [\"0.0.0.0:80\"]\n").unwrap();
        assert_eq!(config.tcp.key_file(), Some(Path::new("/etc/llamux/keys")));
    }
}
