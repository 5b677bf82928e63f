// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What systemd and the service of power profiles say, by D-Bus:
//! <https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html>

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zbus::blocking::connection::Builder;
use zbus::blocking::Connection;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Type};

use super::round;
use crate::facts::{Boot, Power, Timer, Unit, Units};
use crate::text;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";

/// The time in which details of units are asked for.
const DETAILS: Duration = Duration::from_millis(1500);

/// Most units that are kept of each systemd.
const MOST: usize = 5000;

/// A boot whose user space took longer than this many seconds is looked at unit by unit.
const SLOW_BOOT: f64 = 30.0;

/// A row of ListUnits: name, description, load state, active state, sub state, who it follows, its object, its job.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// The units of the system, and those of the user's own systemd if there is one.
pub(super) fn units() -> Result<Units, String> {
    let until = Instant::now() + DETAILS;
    let system = Builder::system().and_then(connect).map_err(no_bus)?;
    let mut units = Units {
        state: get(&system, ROOT, MANAGER, "SystemState").unwrap_or_default(),
        ..Units::default()
    };
    units_of(&system, false, until, &mut units).map_err(no_systemd)?;
    units.boot = boot(&system, &units, until);
    if let Ok(session) = Builder::session().and_then(connect) {
        // A user without a systemd has no units.
        let _ = units_of(&session, true, until, &mut units);
    }
    Ok(units)
}

fn connect(builder: Builder<'_>) -> zbus::Result<Connection> {
    builder.method_timeout(Duration::from_secs(1)).build()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the end of a chain of errors"
)]
fn no_bus(e: zbus::Error) -> String {
    format!(
        "there is no system bus to ask: {}",
        text::decode(e.to_string().as_bytes())
    )
}

#[expect(clippy::needless_pass_by_value, reason = "as above")]
fn no_systemd(e: zbus::Error) -> String {
    format!(
        "systemd does not answer: {}",
        text::decode(e.to_string().as_bytes())
    )
}

fn units_of(
    connection: &Connection,
    user: bool,
    until: Instant,
    units: &mut Units,
) -> zbus::Result<()> {
    let rows: Vec<Row> = call(connection, ROOT, MANAGER, "ListUnits", &())?;
    for row in rows.into_iter().take(MOST) {
        let (name, description, load, active, sub, _, path, ..) = row;
        let path = path.as_str();
        let decode = |text: String| text::decode(text.as_bytes());
        let mut unit = Unit {
            name: decode(name),
            description: decode(description),
            user,
            active: decode(active),
            sub: decode(sub),
            load: decode(load),
            ..Unit::default()
        };
        let service = unit.name.ends_with(".service");
        let trouble = ["failed", "activating", "deactivating", "reloading"];
        let trouble = trouble.contains(&unit.active.as_str());
        let runs = service && unit.sub == "running";
        if (trouble || runs) && Instant::now() < until {
            let unit_interface = "org.freedesktop.systemd1.Unit";
            let kind = unit.name.rsplit('.').next().unwrap_or_default();
            let own = match kind {
                "service" => "org.freedesktop.systemd1.Service",
                "mount" => "org.freedesktop.systemd1.Mount",
                "socket" => "org.freedesktop.systemd1.Socket",
                "timer" => "org.freedesktop.systemd1.Timer",
                "swap" => "org.freedesktop.systemd1.Swap",
                _ => "",
            };
            if service {
                unit.restarts = get(connection, path, own, "NRestarts");
            }
            if trouble {
                if !own.is_empty() {
                    unit.result = get(connection, path, own, "Result");
                }
                if service {
                    let status = get(connection, path, own, "ExecMainStatus");
                    match get(connection, path, own, "ExecMainCode") {
                        Some(libc::CLD_KILLED | libc::CLD_DUMPED) => unit.signal = status,
                        Some(libc::CLD_EXITED) => unit.exit_status = status,
                        _ => (),
                    }
                }
                unit.file = get(connection, path, unit_interface, "FragmentPath");
            }
            unit.since_seconds =
                get(connection, path, unit_interface, "StateChangeTimestamp").map(ago);
        }
        if unit.name.ends_with(".timer") && unit.active == "active" && Instant::now() < until {
            let own = "org.freedesktop.systemd1.Timer";
            let time = |name: &str| {
                let micros: u64 = get(connection, path, own, name)?;
                (micros > 0 && micros < u64::MAX).then_some(micros)
            };
            units.timers.push(Timer {
                name: unit.name.clone(),
                unit: get(connection, path, own, "Unit").unwrap_or_default(),
                next_seconds: time("NextElapseUSecRealtime").map(|micros| -ago(micros)),
                last_seconds: time("LastTriggerUSec").map(ago),
            });
        }
        units.all.push(unit);
    }
    Ok(())
}

/// How long the boot took; the units are asked only where it was slow.
fn boot(connection: &Connection, units: &Units, until: Instant) -> Option<Boot> {
    // CAST: microseconds of an uptime.
    let at = |name: &str| {
        let micros: Option<u64> = get(connection, ROOT, MANAGER, name);
        micros.map(|micros| micros as f64 / 1e6)
    };
    let userspace = at("UserspaceTimestampMonotonic")?;
    let finish = at("FinishTimestampMonotonic").filter(|finish| *finish > userspace)?;
    let mut boot = Boot {
        kernel_seconds: round(userspace),
        userspace_seconds: round(finish - userspace),
        slowest: vec![],
    };
    if boot.userspace_seconds < SLOW_BOOT {
        return Some(boot);
    }
    for unit in &units.all {
        if unit.user || !unit.name.ends_with(".service") || Instant::now() > until {
            continue;
        }
        let Ok(path) = call::<_, OwnedObjectPath>(connection, ROOT, MANAGER, "GetUnit", &unit.name)
        else {
            continue;
        };
        let time = |name: &str| -> Option<u64> {
            get(
                connection,
                path.as_str(),
                "org.freedesktop.systemd1.Unit",
                name,
            )
        };
        let began = time("InactiveExitTimestampMonotonic").unwrap_or(0);
        let ended = time("ActiveEnterTimestampMonotonic").unwrap_or(0);
        // CAST: as above.
        let took = ended.saturating_sub(began) as f64 / 1e6;
        // What was started later was not waited for.
        if began > 0 && took >= 1.0 && began as f64 / 1e6 < finish {
            boot.slowest.push((unit.name.clone(), round(took)));
        }
    }
    boot.slowest.sort_by(|a, b| b.1.total_cmp(&a.1));
    boot.slowest.truncate(5);
    Some(boot)
}

/// The power profile and those that there are.
pub(super) fn power_profile() -> Result<Power, String> {
    let system = Builder::system().and_then(connect).map_err(no_bus)?;
    // The name that it has today, and the one that it had.
    let services = [
        (
            "org.freedesktop.UPower.PowerProfiles",
            "/org/freedesktop/UPower/PowerProfiles",
        ),
        ("net.hadess.PowerProfiles", "/net/hadess/PowerProfiles"),
    ];
    for (service, path) in services {
        let property = |name: &str| property(&system, service, path, service, name);
        let Some(profile) = property("ActiveProfile").and_then(|v| String::try_from(v).ok()) else {
            continue;
        };
        type Profiles = Vec<std::collections::HashMap<String, OwnedValue>>;
        let profiles = property("Profiles").and_then(|value| Profiles::try_from(value).ok());
        let names = profiles
            .unwrap_or_default()
            .into_iter()
            .filter_map(|mut profile| String::try_from(profile.remove("Profile")?).ok());
        let degraded = property("PerformanceDegraded").and_then(|v| String::try_from(v).ok());
        return Ok(Power {
            profile: Some(profile),
            profiles: names.collect(),
            degraded: degraded.filter(|why| !why.is_empty()),
            ..Power::default()
        });
    }
    Err("no service of power profiles answers".to_owned())
}

/// Seconds since a time in microseconds since 1970.
fn ago(micros: u64) -> f64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // CAST: microseconds since 1970 lose less than one of them.
    round(now.as_secs_f64() - micros as f64 / 1e6)
}

fn call<B, R>(
    connection: &Connection,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> zbus::Result<R>
where
    B: serde::Serialize + DynamicType,
    R: for<'d> serde::Deserialize<'d> + Type,
{
    let reply = connection.call_method(Some(SYSTEMD), path, Some(interface), method, body)?;
    reply.body().deserialize()
}

fn get<T>(connection: &Connection, path: &str, interface: &str, name: &str) -> Option<T>
where
    T: TryFrom<OwnedValue>,
{
    T::try_from(property(connection, SYSTEMD, path, interface, name)?).ok()
}

fn property(
    connection: &Connection,
    service: &str,
    path: &str,
    interface: &str,
    name: &str,
) -> Option<OwnedValue> {
    let properties = Some("org.freedesktop.DBus.Properties");
    let reply = connection.call_method(Some(service), path, properties, "Get", &(interface, name));
    reply.ok()?.body().deserialize().ok()
}
