// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Network links, addresses, ways out, servers of names.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{line, names, number, rate, round, whole};
use crate::facts::{DnsServer, Link, LinkKind, Network, Route};
use crate::text;

/// How long a server of names may take to answer.
const DNS_TIME: Duration = Duration::from_secs(2);

/// What links counted, by name.
pub(super) fn counters() -> HashMap<String, procfs::net::DeviceStatus> {
    procfs::net::dev_status().unwrap_or_default()
}

pub(super) fn network(
    before: &HashMap<String, procfs::net::DeviceStatus>,
    after: &HashMap<String, procfs::net::DeviceStatus>,
    seconds: f64,
) -> Network {
    let addresses = addresses();
    let signals = signals();
    let mut links = vec![];
    for name in names("/sys/class/net") {
        let dir = format!("/sys/class/net/{name}");
        let Some(flags) = line(format!("{dir}/flags")) else {
            continue;
        };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
        let up = flags & 1 != 0;
        let has = |file: &str| Path::new(&dir).join(file).exists();
        let kind = if flags & 8 != 0 {
            LinkKind::Loopback
        } else if has("wireless") || has("phy80211") {
            LinkKind::Wireless
        } else if has("device") {
            LinkKind::Wired
        } else {
            LinkKind::Virtual
        };
        let mut link = Link {
            kind,
            up,
            carrier: number::<u8>(format!("{dir}/carrier")).map(|carrier| carrier == 1),
            speed: number::<u64>(format!("{dir}/speed")).filter(|speed| *speed < 10_000_000),
            signal: signals.get(&name).copied(),
            addresses: addresses.get(&name).cloned().unwrap_or_default(),
            ..Link::default()
        };
        if let Some(now) = after.get(&name) {
            let first = before.get(&name).unwrap_or(now);
            let packets =
                |s: &procfs::net::DeviceStatus| s.recv_packets.saturating_add(s.sent_packets);
            let errors = |s: &procfs::net::DeviceStatus| s.recv_errs.saturating_add(s.sent_errs);
            let dropped = |s: &procfs::net::DeviceStatus| s.recv_drop.saturating_add(s.sent_drop);
            let lost = |s: &procfs::net::DeviceStatus| errors(s).saturating_add(dropped(s));
            link.receive_rate = rate(first.recv_bytes, now.recv_bytes, seconds);
            link.send_rate = rate(first.sent_bytes, now.sent_bytes, seconds);
            link.packets = packets(now);
            link.errors = errors(now);
            link.dropped = dropped(now);
            link.packets_in_sample = packets(now).saturating_sub(packets(first));
            link.lost_in_sample = lost(now).saturating_sub(lost(first));
        }
        link.name = text::decode(name.as_bytes());
        links.push(link);
    }
    Network {
        links,
        default_routes: routes(),
        dns: vec![],
    }
}

fn addresses() -> HashMap<String, Vec<String>> {
    let mut out: HashMap<String, Vec<String>> = HashMap::new();
    for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let (Some(address), Some(mask)) = (entry.address, entry.netmask) else {
            continue;
        };
        let written = match (address.as_sockaddr_in(), mask.as_sockaddr_in()) {
            (Some(address), Some(mask)) => {
                format!("{}/{}", address.ip(), u32::from(mask.ip()).count_ones())
            }
            _ => match (address.as_sockaddr_in6(), mask.as_sockaddr_in6()) {
                (Some(address), Some(mask)) => {
                    format!("{}/{}", address.ip(), u128::from(mask.ip()).count_ones())
                }
                _ => continue,
            },
        };
        out.entry(entry.interface_name).or_default().push(written);
    }
    out
}

/// The strengths of wireless signals in dBm.
fn signals() -> HashMap<String, f64> {
    let text = whole("/proc/net/wireless").unwrap_or_default();
    let rows = text.lines().skip(2).filter_map(|row| {
        let (name, rest) = row.split_once(':')?;
        let level = rest.split_ascii_whitespace().nth(2)?;
        let level: f64 = level.trim_end_matches('.').parse().ok()?;
        // Old drivers count from 0 to 255.
        (level < 0.0).then(|| (name.trim().to_owned(), level))
    });
    rows.collect()
}

fn routes() -> Vec<Route> {
    const UP: u16 = 1;
    const GATEWAY: u16 = 2;
    let mut out = vec![];
    for route in procfs::net::route().unwrap_or_default() {
        if route.destination.is_unspecified()
            && route.mask.is_unspecified()
            && route.flags & UP != 0
        {
            out.push(Route {
                link: route.iface,
                gateway: (route.flags & GATEWAY != 0).then(|| route.gateway.to_string()),
                ipv6: false,
                metric: route.metrics,
            });
        }
    }
    let text = whole("/proc/net/ipv6_route").unwrap_or_default();
    out.extend(text.lines().filter_map(ipv6_route));
    out.sort_by_key(|route| (route.ipv6, route.metric));
    out
}

/// A default route of IPv6; those to nowhere are on "lo".
fn ipv6_route(row: &str) -> Option<Route> {
    let words: Vec<_> = row.split_ascii_whitespace().collect();
    let [destination, length, _, _, gateway, metric, _, _, _, link] = words.as_slice() else {
        return None;
    };
    let none = |word: &str| word.bytes().all(|byte| byte == b'0');
    if !none(destination) || !none(length) || *link == "lo" {
        return None;
    }
    let address = u128::from_str_radix(gateway, 16).ok()?;
    Some(Route {
        link: (*link).to_owned(),
        gateway: (address != 0).then(|| Ipv6Addr::from(address).to_string()),
        ipv6: true,
        metric: u32::from_str_radix(metric, 16).ok()?,
    })
}

/// The servers of names, asked for an answer if that is wanted.
pub(super) fn dns(ask: bool) -> Result<Vec<DnsServer>, String> {
    let mut servers = servers(&whole("/etc/resolv.conf").unwrap_or_default());
    // The resolver on this machine says whom it asks.
    if servers.iter().any(|server| server.starts_with("127.0.0.5")) {
        if let Some(real) = whole("/run/systemd/resolve/resolv.conf") {
            servers.extend(self::servers(&real));
        }
    }
    servers.dedup();
    servers.truncate(8);
    let asking: Vec<_> = servers
        .into_iter()
        .map(|address| {
            let server = address.clone();
            let answer = ask.then(|| thread::spawn(move || answers(&server)));
            (address, answer)
        })
        .collect();
    let answered = asking.into_iter().map(|(address, answer)| {
        let seconds = answer.map(|thread| thread.join().ok().flatten());
        DnsServer {
            address,
            answers: seconds.map(|seconds| seconds.is_some()),
            seconds: seconds.flatten(),
        }
    });
    Ok(answered.collect())
}

fn servers(resolv_conf: &str) -> Vec<String> {
    let rows = resolv_conf.lines().filter_map(|row| {
        let mut words = row.split_ascii_whitespace();
        (words.next()? == "nameserver").then(|| words.next())?
    });
    rows.map(|server| text::decode(server.as_bytes())).collect()
}

/// How long a server took to answer who is responsible for the root, which every one of them can.
fn answers(server: &str) -> Option<f64> {
    let plain = server.split('%').next().unwrap_or(server);
    let address: IpAddr = plain.parse().ok()?;
    let any: SocketAddr = match address {
        IpAddr::V4(_) => "0.0.0.0:0".parse().ok()?,
        IpAddr::V6(_) => "[::]:0".parse().ok()?,
    };
    // RFC 1035, section 4: id, a recursive question, one of them, the root's name, type NS, class IN.
    const QUESTION: [u8; 17] = [0x4c, 0x4c, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((address, 53)).ok()?;
    socket.set_read_timeout(Some(DNS_TIME)).ok()?;
    let began = Instant::now();
    socket.send(&QUESTION).ok()?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).ok()?;
    let same = answer.get(..2) == QUESTION.get(..2);
    (length >= 12 && same).then(|| round(began.elapsed().as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_names_are_read() {
        let text = "# nameserver 1.1.1.1\nnameserver 9.9.9.9\n nameserver\tfe80::1%eth0 x\nnameserver\nsearch x\n";
        assert_eq!(servers(text), ["9.9.9.9", "fe80::1%eth0"]);
    }

    #[test]
    fn a_way_out_by_ipv6_is_read() {
        let zero = "0".repeat(32);
        let gateway = "fe800000000000000000000000000001";
        let row = format!("{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00000003 eth0");
        let route = ipv6_route(&row).unwrap();
        assert_eq!((route.link.as_str(), route.metric), ("eth0", 1024));
        assert_eq!(route.gateway.as_deref(), Some("fe80::1"));
        let nowhere = row.replace("eth0", "lo");
        assert!(ipv6_route(&nowhere).is_none() && ipv6_route("x").is_none());
    }

    #[test]
    fn a_server_that_is_no_address_does_not_answer() {
        assert_eq!(answers("not an address"), None);
    }
}
