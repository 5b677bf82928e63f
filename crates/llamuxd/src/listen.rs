// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Sockets: those that systemd hands over, or our own; and the connections to them.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use axum::body::Body;
use axum::http::Request;
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use llamux_usage::complain;
use rustix::net::AddressFamily;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::config::Config;
use crate::server::Peer;

/// Longest time that the head of a request may take to arrive.
const HEAD: Duration = Duration::from_secs(30);
/// Longest time that answers have to come to their end when the server goes down.
const LAST: Duration = Duration::from_secs(20);

/// Where requests come from.
pub enum Listener {
    /// Programs of this machine.
    Unix(std::os::unix::net::UnixListener),
    /// Others.
    Tcp(std::net::TcpListener),
}

/// The sockets that systemd hands over, and those of the configuration that these do not stand for.
pub fn listeners(config: &Config) -> Result<Vec<Listener>> {
    let given = sd_notify::listen_fds().context("cannot take over systemd's sockets")?;
    let mut listeners: Vec<_> = given.map(given_by_systemd).collect::<Result<_>>()?;
    let (handed_over, has_tcp) = (
        !listeners.is_empty(),
        listeners.iter().any(Listener::is_tcp),
    );
    let path = &config.unix.path;
    if !handed_over && !path.as_os_str().is_empty() {
        listeners.push(unix(config, path).with_context(|| path.display().to_string())?);
    }
    if !has_tcp {
        for &at in &config.tcp.listen {
            listeners.push(tcp(at).with_context(|| format!("cannot listen on {at}"))?);
        }
    }
    if listeners.is_empty() {
        bail!("there is nothing to listen on: unix.path and tcp.listen are empty");
    }
    Ok(listeners)
}

fn given_by_systemd(number: RawFd) -> Result<Listener> {
    // SAFETY: systemd opened it for this process, which has not taken it before.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    let family = rustix::net::getsockname(fd.as_fd())?.address_family();
    match family {
        AddressFamily::UNIX => Ok(Listener::Unix(fd.into())),
        AddressFamily::INET | AddressFamily::INET6 => Ok(Listener::Tcp(fd.into())),
        _ => bail!("systemd's descriptor {number} is neither a unix nor an internet socket"),
    }
}

fn unix(config: &Config, path: &Path) -> Result<Listener> {
    // What a server left behind that did not come to its end; one that lives is not disturbed.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            bail!("somebody listens there already");
        }
        std::fs::remove_file(path).context("cannot remove the old socket")?;
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).context("cannot make its directory")?;
    }
    // Nobody may come before the mode is right.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = std::os::unix::net::UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener.context("cannot listen")?;
    if let Some(group) = &config.unix.group {
        let gid = group_id(group)?;
        std::os::unix::fs::chown(path, None, Some(gid))
            .with_context(|| format!("cannot give it to the group {group}"))?;
    }
    let mode = std::fs::Permissions::from_mode(config.unix.mode()?);
    std::fs::set_permissions(path, mode).context("cannot set its mode")?;
    Ok(Listener::Unix(listener))
}

/// A group's number.
fn group_id(name: &str) -> Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let groups = std::fs::read_to_string("/etc/group").context("cannot read /etc/group")?;
    let numbers = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    let mut numbers = numbers;
    numbers
        .next()
        .with_context(|| format!("unix.group: there is no group {name:?}"))
}

fn tcp(at: SocketAddr) -> Result<Listener> {
    Ok(Listener::Tcp(std::net::TcpListener::bind(at)?))
}

impl Listener {
    /// Where it listens.
    pub fn shown(&self) -> String {
        match self {
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or("a unix socket".into(), |path| path.display().to_string())
            }
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or("tcp".into(), |at| at.to_string()),
        }
    }

    /// Whether others than programs with a user of this machine come by it.
    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Whether others than programs of this machine can come.
    pub fn is_open_to_others(&self) -> bool {
        match self {
            Self::Unix(_) => false,
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|at| !at.ip().is_loopback()),
        }
    }
}

/// Answers on all of these until `down` comes, and then those that are under way. Unix sockets together have so many
/// connections, and the others as many of their own: who needs no key to connect does not keep this machine's users out.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    connections: usize,
    down: impl Future<Output = ()>,
) -> Result<()> {
    let graceful = Arc::new(GracefulShutdown::new());
    let unix = Arc::new(Semaphore::new(connections));
    let tcp = Arc::new(Semaphore::new(connections));
    let mut tasks = Vec::new();
    for listener in listeners {
        let accept = Accept {
            router: router.clone(),
            places: if listener.is_tcp() { &tcp } else { &unix }.clone(),
            graceful: graceful.clone(),
        };
        tasks.push(match listener {
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::UnixListener::from_std(listener)?;
                tokio::spawn(async move { accept.unix(listener).await })
            }
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::spawn(async move { accept.tcp(listener).await })
            }
        });
    }
    down.await;
    for task in tasks {
        task.abort();
        // Its share of what is waited for goes with it.
        let _ = task.await;
    }
    if let Ok(graceful) = Arc::try_unwrap(graceful) {
        if tokio::time::timeout(LAST, graceful.shutdown())
            .await
            .is_err()
        {
            complain!("<4>answers that are under way are cut off");
        }
    }
    Ok(())
}

/// Takes connections.
struct Accept {
    router: Router,
    places: Arc<Semaphore>,
    graceful: Arc<GracefulShutdown>,
}

impl Accept {
    async fn unix(self, listener: tokio::net::UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) => self.begin(stream, Peer::User(peer.uid())).await,
                    Err(error) => complain!("<4>a connection without a user: {error}"),
                },
                Err(error) => wait_after(&error).await,
            }
        }
    }

    async fn tcp(self, listener: tokio::net::TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Parts of an answer are small, and are not to wait for more.
                    let _ = stream.set_nodelay(true);
                    self.begin(stream, Peer::Tcp).await;
                }
                Err(error) => wait_after(&error).await,
            }
        }
    }

    /// Answers a connection's requests in a task of its own, when there is a place for it.
    async fn begin<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(place) = self.places.clone().acquire_owned().await else {
            return;
        };
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request)
        });
        let connection = Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            // Who goes away in the middle is no error of ours.
            let _ = connection.await;
            drop(place);
        });
    }
}

/// Without descriptors there is no connection until one is closed.
async fn wait_after(error: &std::io::Error) {
    complain!("<4>cannot take a connection: {error}");
    tokio::time::sleep(Duration::from_millis(200)).await;
}
