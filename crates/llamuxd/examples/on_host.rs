// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llamuxd` with the engine in this process instead of the kernel's, for tests by other clients:
//! `cargo run --release -p llamuxd --example on_host -- MODEL.gguf CONFIG.toml [THREADS]`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use llamuxd::config::Config;
use llamuxd::keys::Keys;
use llamuxd::listen;
use llamuxd::server::{router, Server};
use tokio::signal::unix::{signal, SignalKind};

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let usage = "usage: on_host MODEL.gguf CONFIG.toml [THREADS]";
    let model = args.next().context(usage)?;
    let config = args.next().context(usage)?;
    let threads = args
        .next()
        .and_then(|n| n.to_str()?.parse().ok())
        .unwrap_or(2);
    let config = Config::read(Some(Path::new(&config)))?;
    let keys = match config.tcp.key_file() {
        Some(file) if !config.tcp.listen.is_empty() => Some(Keys::read(file)?),
        _ => None,
    };
    let host = common::Host::load(Path::new(&model), threads)?;
    let connections = config.limits.connections;
    let listeners = listen::listeners(&config)?;
    let server = Server::new(config, Arc::new(host), keys)?;
    server.upstreams.watch();
    let mut terminate = signal(SignalKind::terminate())?;
    eprintln!("ready");
    let down = async move {
        terminate.recv().await;
    };
    listen::serve(listeners, router(server), connections, down).await
}
