// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamuxd`; see docs/llamuxd.md.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{bail, Context as _, Result};
use clap::Parser as _;
use llamux_usage::complain;
use llamuxd::cli::Cli;
use llamuxd::config::Config;
use llamuxd::kernel::Kernel;
use llamuxd::keys::{self, Keys};
use llamuxd::listen::{self, Listener};
use llamuxd::server::{router, Server};
use llamuxd::user::{self, Opener};
use sd_notify::NotifyState;
use tokio::signal::unix::{signal, SignalKind};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("llamuxd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    if let Some(name) = &cli.new_key {
        let (key, line) = keys::make(name)?;
        // Not a complaint but what was asked for: without this line the key is of no use.
        writeln!(io::stderr(), "{line}").context("standard error")?;
        return writeln!(io::stdout(), "{key}").context("standard output");
    }
    let config = Config::read(cli.config.as_deref())?;
    if cli.check_config {
        if !config.tcp.listen.is_empty() {
            keys_of(&config)?;
        }
        return writeln!(io::stdout(), "the configuration is right").context("standard output");
    }
    let listeners = listen::listeners(&config)?;
    let keys = keys_for(&config, &listeners)?;
    // Before there are other threads, which have what this one has.
    user::drop_capabilities()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start")?
        .block_on(serve(config, listeners, keys))
}

/// The keys that clients need on these sockets.
fn keys_for(config: &Config, listeners: &[Listener]) -> Result<Option<Keys>> {
    if !listeners.iter().any(Listener::is_tcp) {
        return Ok(None);
    }
    let open = listeners
        .iter()
        .find(|listener| listener.is_open_to_others());
    if let (None, Some(open)) = (config.tcp.key_file(), open) {
        bail!(
            "{} is not of this machine alone: that needs keys (tcp.keys)",
            open.shown()
        );
    }
    keys_of(config)
}

fn keys_of(config: &Config) -> Result<Option<Keys>> {
    let Some(file) = config.tcp.key_file() else {
        return Ok(None);
    };
    let keys = Keys::read(file).context(
        "clients that come by TCP need keys: make one with `llamuxd --new-key NAME`, or say tcp.keys = \"none\"",
    )?;
    if keys.is_empty() {
        bail!(
            "{} has no keys: make one with `llamuxd --new-key NAME`",
            file.display()
        );
    }
    Ok(Some(keys))
}

async fn serve(config: Config, listeners: Vec<Listener>, keys: Option<Keys>) -> Result<()> {
    let opener = Opener::start()?;
    if config.kernel.enabled && !opener.charges_callers() {
        complain!("<5>without CAP_SETUID all requests are on the account of this program's user");
    }
    let connections = config.limits.connections;
    let has_keys = keys.is_some();
    let server = Server::new(config, Arc::new(Kernel::new(opener)), keys)?;
    server.upstreams.watch();
    for listener in &listeners {
        complain!("<5>listening on {}", listener.shown());
    }
    let mut again = signal(SignalKind::hangup())?;
    let reloaded = server.clone();
    tokio::spawn(async move {
        while again.recv().await.is_some() && has_keys {
            match keys_of(&reloaded.config) {
                Ok(keys) => {
                    let count = keys.as_ref().map_or(0, Keys::len);
                    reloaded.set_keys(keys);
                    complain!("<5>{count} keys");
                }
                Err(error) => complain!("<3>the keys stay as they were: {error:#}"),
            }
        }
    });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let down = async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
    };
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);
    listen::serve(listeners, router(server), connections, down).await
}
