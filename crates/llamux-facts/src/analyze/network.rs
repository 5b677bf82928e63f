// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Network: links, ways out, names.

use crate::facts::{Facts, Link, LinkKind};
use crate::finding::{Cause, Finding, Remedy, Severity, Subject};
use crate::quantity::Quantity;

/// One packet of a hundred that is lost halves what TCP gets through.
const LOST: f64 = 1.0;
/// So few packets say nothing.
const PACKETS: u64 = 100;
/// A signal below which wireless links lose packets; -67 dBm is what calls want.
const SIGNAL: f64 = -78.0;
/// A server of names that takes longer is felt at each page.
const DNS_SLOW: f64 = 1.0;

pub(super) fn analyze(facts: &Facts, out: &mut Vec<Finding>) {
    let network = &facts.network;
    let real = |link: &&Link| matches!(link.kind, LinkKind::Wired | LinkKind::Wireless);
    let routed = |link: &Link| {
        network
            .default_routes
            .iter()
            .any(|route| route.link == link.name)
    };
    let works = !network.default_routes.is_empty()
        && network
            .links
            .iter()
            .any(|link| link.carrier == Some(true) && routed(link));
    for link in network.links.iter().filter(real) {
        down(link, works, out);
        loss(link, out);
        signal(link, routed(link), out);
    }
    if network.links.iter().any(|link| real(&link)) {
        route(facts, out);
    }
    dns(facts, out);
}

fn subject(link: &Link) -> Subject {
    Subject::Link {
        name: link.name.clone(),
    }
}

/// A link that was configured, or the only one there is, and has nobody at the other end.
fn down(link: &Link, works: bool, out: &mut Vec<Finding>) {
    let who = subject(link);
    // A second socket without a cable, while the machine is connected, is nobody's concern.
    if works || link.carrier == Some(true) {
        return;
    }
    let wireless = link.kind == LinkKind::Wireless;
    let (title, remedy) = if !link.up {
        (
            format!("The network link {} is turned off.", who.name()),
            Remedy::LinkUp { link: who.clone() },
        )
    } else if wireless {
        (
            format!("The wireless link {} is not connected.", who.name()),
            Remedy::CheckCable { link: who.clone() },
        )
    } else {
        (
            format!(
                "The network link {} has nobody at the other end.",
                who.name()
            ),
            Remedy::CheckCable { link: who.clone() },
        )
    };
    out.push(
        Finding::new(Cause::LinkDown, Severity::Warning, title)
            .about(&link.name)
            .because(match (link.up, wireless) {
                (false, _) => "Somebody or something turned it off, and this machine has no other way out.",
                (true, true) => "No network was chosen, or it is out of reach, and this machine has no other way out.",
                (true, false) => "The cable is not plugged in, or what it leads to is off, and this machine has no other way out.",
            })
            .shows("packets since it is there", Quantity::Count(link.packets))
            .concerns(who)
            .helped_by([remedy]),
    );
}

fn loss(link: &Link, out: &mut Vec<Finding>) {
    let lost = super::share(link.lost_in_sample, link.packets_in_sample);
    let ever = super::share(link.errors, link.packets);
    let now = link.packets_in_sample >= PACKETS && lost >= LOST;
    let always = link.packets >= 100 * PACKETS && ever >= LOST;
    if !now && !always {
        return;
    }
    let who = subject(link);
    let part = Quantity::Percent(if now { lost } else { ever });
    let title = format!(
        "The network link {} loses {part} of its packets.",
        who.name()
    );
    out.push(
        Finding::new(Cause::PacketLoss, Severity::Warning, title)
            .about(&link.name)
            .because("What is lost is sent again, after a wait. A bad cable, a full queue or a bad radio are the usual reasons.")
            .shows("packets that are lost", part)
            .shows("damaged packets since it is there", Quantity::Count(link.errors))
            .shows("dropped packets since it is there", Quantity::Count(link.dropped))
            .concerns(who.clone())
            .helped_by([Remedy::CheckCable { link: who }]),
    );
}

fn signal(link: &Link, routed: bool, out: &mut Vec<Finding>) {
    let Some(signal) = link.signal.filter(|signal| routed && *signal <= SIGNAL) else {
        return;
    };
    let who = subject(link);
    let signal = Quantity::Decibels(signal);
    let title = format!("The wireless signal of {} is weak ({signal}).", who.name());
    out.push(
        Finding::new(Cause::WeakSignal, Severity::Warning, title)
            .about(&link.name)
            .because("Packets are lost and sent again, so the network is slow. Nearer to the other end it is better.")
            .shows("strength of the signal", signal)
            .concerns(who.clone())
            .helped_by([Remedy::CheckCable { link: who }]),
    );
}

fn route(facts: &Facts, out: &mut Vec<Finding>) {
    let network = &facts.network;
    if !network.default_routes.is_empty() {
        return;
    }
    let connected = network.links.iter().find(|link| {
        link.carrier == Some(true) && matches!(link.kind, LinkKind::Wired | LinkKind::Wireless)
    });
    let Some(link) = connected else { return };
    let global = link
        .addresses
        .iter()
        .filter(|address| !address.starts_with("fe80") && !address.starts_with("169.254."))
        .count();
    let who = subject(link);
    // Some networks have no way out on purpose; none has no addresses.
    let severity = if global == 0 {
        Severity::Warning
    } else {
        Severity::Notice
    };
    let title = if global == 0 {
        format!("The network link {} has no address.", who.name())
    } else {
        "There is no way out of this network.".to_owned()
    };
    out.push(
        Finding::new(Cause::NoRoute, severity, title)
            .because(if global == 0 {
                "It is connected, but nobody gave it an address: the server for that (DHCP) does not answer, or nothing asks it."
            } else {
                "The machine has an address, but knows nobody who passes packets on (no default route)."
            })
            .shows("addresses of the link", Quantity::Count(global as u64))
            .concerns(who)
            .helped_by([Remedy::ConfigureNetwork]),
    );
}

fn dns(facts: &Facts, out: &mut Vec<Finding>) {
    let network = &facts.network;
    if network.default_routes.is_empty() && network.dns.is_empty() {
        return;
    }
    if network.dns.is_empty() {
        out.push(
            Finding::new(
                Cause::NoDns,
                Severity::Warning,
                "There is no server of names (DNS).",
            )
            .because(
                "Addresses work, but no names: pages and mail do not. /etc/resolv.conf names none.",
            )
            .shows("servers of names", Quantity::Count(0))
            .helped_by([Remedy::ConfigureNetwork]),
        );
        return;
    }
    let asked = network.dns.iter().filter(|server| server.answers.is_some());
    let asked: Vec<_> = asked.collect();
    let silent = asked
        .iter()
        .filter(|server| server.answers == Some(false))
        .count() as u64;
    let slow = asked
        .iter()
        .find(|server| server.seconds.is_some_and(|s| s >= DNS_SLOW));
    if silent == 0 && slow.is_none() {
        return;
    }
    let all = silent == asked.len() as u64;
    let severity = if all || silent == 0 {
        Severity::Warning
    } else {
        Severity::Notice
    };
    let title = match (silent, all) {
        (0, _) => "A server of names (DNS) answers late.".to_owned(),
        (_, true) => "No server of names (DNS) answers.".to_owned(),
        _ => "A server of names (DNS) does not answer.".to_owned(),
    };
    let mut finding = Finding::new(Cause::DnsSilent, severity, title)
        .because("Each name that is looked up waits for it, which makes the network seem slow or broken.")
        .shows("servers of names", Quantity::Count(network.dns.len() as u64))
        .shows("servers of names that do not answer", Quantity::Count(silent));
    if let Some(seconds) = slow.and_then(|server| server.seconds) {
        finding = finding.shows("time until one answered", Quantity::Seconds(seconds));
    }
    out.push(finding.helped_by([Remedy::ConfigureNetwork]));
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use crate::facts::{DnsServer, Facts, Link, LinkKind, Route};
    use crate::finding::Severity::{Notice, Warning};

    fn link(facts: &mut Facts, name: &str, up: bool, carrier: bool) {
        facts.network.links.push(Link {
            name: name.into(),
            up,
            carrier: up.then_some(carrier),
            addresses: vec!["192.0.2.7/24".into()],
            ..Link::default()
        });
    }

    fn connected(facts: &mut Facts) {
        link(facts, "eth0", true, true);
        facts.network.default_routes.push(Route {
            link: "eth0".into(),
            ..Route::default()
        });
        facts.network.dns.push(DnsServer {
            address: "192.0.2.1".into(),
            ..DnsServer::default()
        });
    }

    #[test]
    fn a_machine_that_is_cut_off_says_why() {
        check(&[
            ("connected", connected, &[]),
            (
                "a second socket",
                |f| {
                    connected(f);
                    link(f, "eth1", true, false);
                },
                &[],
            ),
            (
                "no cable",
                |f| link(f, "eth0", true, false),
                &[("link-down:eth0", Warning)],
            ),
            (
                "turned off",
                |f| link(f, "eth0", false, false),
                &[("link-down:eth0", Warning)],
            ),
            (
                "no way out",
                |f| link(f, "eth0", true, true),
                &[("no-route", Notice)],
            ),
            (
                "no names",
                |f| {
                    connected(f);
                    f.network.dns.clear();
                },
                &[("no-dns", Warning)],
            ),
            (
                "names do not come",
                |f| {
                    connected(f);
                    f.network.dns[0].answers = Some(false);
                },
                &[("dns-silent", Warning)],
            ),
            (
                "one of two answers",
                |f| {
                    connected(f);
                    f.network.dns.push(f.network.dns[0].clone());
                    f.network.dns[0].answers = Some(false);
                    f.network.dns[1].answers = Some(true);
                },
                &[("dns-silent", Notice)],
            ),
            (
                "lost packets",
                |f| {
                    connected(f);
                    f.network.links[0].packets_in_sample = 1000;
                    f.network.links[0].lost_in_sample = 50;
                },
                &[("packet-loss:eth0", Warning)],
            ),
            (
                "a few lost since boot",
                |f| {
                    connected(f);
                    f.network.links[0].packets = 10_000_000;
                    f.network.links[0].errors = 3;
                    f.network.links[0].dropped = 30_000;
                },
                &[],
            ),
            (
                "far away",
                |f| {
                    connected(f);
                    f.network.links[0].kind = LinkKind::Wireless;
                    f.network.links[0].signal = Some(-84.0);
                },
                &[("weak-signal:eth0", Warning)],
            ),
        ]);
    }
}
