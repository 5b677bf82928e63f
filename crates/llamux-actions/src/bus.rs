// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! systemd and power-profiles-daemon, by D-Bus.
//!
//! They ask polkit themselves whether the caller may, and polkit may ask the user, since every call says that this is
//! welcome: <https://www.freedesktop.org/wiki/Software/systemd/dbus/>.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use zbus::blocking::{connection, Connection, Proxy};
use zbus::proxy::MethodFlags;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Type, Value};

use crate::action::{Operation, Power, Scope, Unit};
use crate::Error;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The service of power profiles by its present and by its former name, with its object.
const POWER: [(&str, &str); 2] = [
    (
        "org.freedesktop.UPower.PowerProfiles",
        "/org/freedesktop/UPower/PowerProfiles",
    ),
    ("net.hadess.PowerProfiles", "/net/hadess/PowerProfiles"),
];

/// How long an answer may take: somebody may be typing a password.
const CALL: Duration = Duration::from_secs(120);
/// How long a unit may take to start or stop.
const JOB: Duration = Duration::from_secs(100);
const TICK: Duration = Duration::from_millis(50);

/// The buses that managers are on, connected to when they are needed.
#[derive(Debug, Default)]
pub(crate) struct Buses {
    /// In place of the machine's own: the address of one, or none.
    instead: Option<Option<String>>,
    system: OnceLock<Connection>,
    user: OnceLock<Connection>,
}

impl Buses {
    pub(crate) fn at(address: Option<&str>) -> Self {
        Self {
            instead: Some(address.map(str::to_owned)),
            ..Self::default()
        }
    }

    fn connect(&self, scope: Scope) -> Result<&Connection, Error> {
        let (place, name) = match scope {
            Scope::System => (&self.system, "system"),
            Scope::User => (&self.user, "user's"),
        };
        if let Some(connection) = place.get() {
            return Ok(connection);
        }
        let builder = match (&self.instead, scope) {
            (Some(Some(address)), _) => connection::Builder::address(address.as_str()),
            (Some(None), _) => return Err(Error::Unsupported("there is no bus".to_owned())),
            (None, Scope::System) => connection::Builder::system(),
            (None, Scope::User) => connection::Builder::session(),
        };
        let connection = builder
            .and_then(|builder| builder.method_timeout(CALL).build())
            .map_err(|error| {
                Error::Unsupported(format!(
                    "the {name} bus, on which systemd would be, cannot be reached: {error}"
                ))
            })?;
        Ok(place.get_or_init(|| connection))
    }

    /// Calls a method of an object.
    fn call<R>(
        &self,
        scope: Scope,
        (service, path, interface): (&str, &str, &str),
        method: &str,
        body: &(impl serde::Serialize + DynamicType),
    ) -> Result<R, Error>
    where
        R: DeserializeOwned + Type,
    {
        let failed = |error: zbus::Error| refusal(service, error);
        let proxy: Proxy<'_> = zbus::blocking::proxy::Builder::new(self.connect(scope)?)
            .destination(service.to_owned())
            .and_then(|builder| builder.path(path.to_owned()))
            .and_then(|builder| builder.interface(interface.to_owned()))
            .map_err(failed)?
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .map_err(failed)?;
        let reply: Option<R> = proxy
            .call_with_flags(method, MethodFlags::AllowInteractiveAuth.into(), body)
            .map_err(failed)?;
        reply.ok_or_else(|| Error::Failed(format!("{service} did not answer {method}")))
    }

    fn manager<R: DeserializeOwned + Type>(
        &self,
        scope: Scope,
        method: &str,
        body: &(impl serde::Serialize + DynamicType),
    ) -> Result<R, Error> {
        self.call(scope, (SYSTEMD, SYSTEMD_PATH, MANAGER), method, body)
    }

    fn property(
        &self,
        scope: Scope,
        service: &str,
        path: &str,
        interface: &str,
        name: &str,
    ) -> Result<OwnedValue, Error> {
        let place = (service, path, PROPERTIES);
        self.call(scope, place, "Get", &(interface, name))
    }

    /// The object of a unit, loaded if it was not.
    fn unit(&self, unit: &Unit) -> Result<OwnedObjectPath, Error> {
        self.manager(unit.scope, "LoadUnit", &(unit.name.as_str(),))
    }

    /// A property of a unit that is a text.
    fn unit_text(&self, unit: &Unit, name: &str) -> Result<String, Error> {
        let path = self.unit(unit)?;
        let value = self.property(unit.scope, SYSTEMD, path.as_str(), UNIT, name)?;
        String::try_from(value).map_err(|_| unknown_type(name))
    }

    /// Whether a unit is active: "active", "inactive", "failed" and the like.
    pub(crate) fn active(&self, unit: &Unit) -> Result<String, Error> {
        if self.unit_text(unit, "LoadState")? == "not-found" {
            return Err(Error::Failed(format!("there is no unit {}", unit.name)));
        }
        self.unit_text(unit, "ActiveState")
    }

    /// Starts, stops or restarts a unit, and waits until that is done. How it is then.
    pub(crate) fn job(&self, unit: &Unit, operation: Operation) -> Result<String, Error> {
        let method = match operation {
            Operation::Start => "StartUnit",
            Operation::Stop => "StopUnit",
            _ => "RestartUnit",
        };
        let name = unit.name.as_str();
        let _: OwnedObjectPath = self.manager(unit.scope, method, &(name, "replace"))?;
        let end = Instant::now() + JOB;
        let path = self.unit(unit)?;
        loop {
            let job = self.property(unit.scope, SYSTEMD, path.as_str(), UNIT, "Job")?;
            let number = match Value::from(job) {
                Value::Structure(job) => match job.fields().first() {
                    Some(Value::U32(number)) => *number,
                    _ => return Err(unknown_type("Job")),
                },
                _ => return Err(unknown_type("Job")),
            };
            if number == 0 {
                break;
            }
            if Instant::now() >= end {
                let what = format!("{name} is still at it after {} s", JOB.as_secs());
                return Err(Error::Late(what));
            }
            thread::sleep(TICK);
        }
        let active = self.unit_text(unit, "ActiveState")?;
        let right = match operation {
            Operation::Stop => matches!(active.as_str(), "inactive" | "failed"),
            // A service that has done its work is inactive again.
            _ => active != "failed",
        };
        if right {
            Ok(active)
        } else {
            let what = format!("{name} is {active} after all: see journalctl -u {name}");
            Err(Error::Failed(what))
        }
    }

    /// Whether a unit is started at boot: "enabled", "disabled", "static" and the like.
    pub(crate) fn enabled(&self, unit: &Unit) -> Result<String, Error> {
        self.manager(unit.scope, "GetUnitFileState", &(unit.name.as_str(),))
    }

    /// Has a unit be started at boot, or not.
    pub(crate) fn enable(&self, unit: &Unit, enable: bool) -> Result<(), Error> {
        let names = [unit.name.as_str()];
        if enable {
            let (_, changes): (bool, Vec<(String, String, String)>) =
                self.manager(unit.scope, "EnableUnitFiles", &(&names[..], false, false))?;
            if changes.is_empty() && self.enabled(unit)? != "enabled" {
                let what = format!("{} does not say what would start it", unit.name);
                return Err(Error::Unsupported(what));
            }
        } else {
            let _: Vec<(String, String, String)> =
                self.manager(unit.scope, "DisableUnitFiles", &(&names[..], false))?;
        }
        self.manager(unit.scope, "Reload", &())
    }

    /// A property of a unit's control group that is a number; `u64::MAX` stands for no limit.
    pub(crate) fn limit(&self, unit: &Unit, name: &str) -> Result<u64, Error> {
        let path = self.unit(unit)?;
        let interface = match unit.name.rsplit_once('.') {
            Some((_, "scope")) => "org.freedesktop.systemd1.Scope",
            Some((_, "slice")) => "org.freedesktop.systemd1.Slice",
            _ => "org.freedesktop.systemd1.Service",
        };
        let value = self.property(unit.scope, SYSTEMD, path.as_str(), interface, name)?;
        u64::try_from(value).map_err(|_| unknown_type(name))
    }

    /// Sets such a property until the next boot.
    pub(crate) fn set_limit(&self, unit: &Unit, name: &str, value: u64) -> Result<(), Error> {
        let properties = [(name, Value::from(value))];
        let body = (unit.name.as_str(), true, &properties[..]);
        self.manager(unit.scope, "SetUnitProperties", &body)
    }

    /// Whether a unit's processes are frozen.
    pub(crate) fn frozen(&self, unit: &Unit) -> Result<bool, Error> {
        Ok(self.unit_text(unit, "FreezerState")? == "frozen")
    }

    /// Freezes a unit's processes, or lets them go on.
    pub(crate) fn freeze(&self, unit: &Unit, freeze: bool) -> Result<(), Error> {
        let method = if freeze { "FreezeUnit" } else { "ThawUnit" };
        self.manager(unit.scope, method, &(unit.name.as_str(),))
    }

    /// The power profile that is chosen, and who has it: its place in [`POWER`].
    fn power_of(&self) -> Result<(usize, String), Error> {
        let mut last = Error::Unsupported("there is no service of power profiles".to_owned());
        for (index, (name, path)) in POWER.iter().enumerate() {
            match self.property(Scope::System, name, path, name, "ActiveProfile") {
                Ok(value) => {
                    let text = String::try_from(value);
                    return Ok((index, text.map_err(|_| unknown_type("ActiveProfile"))?));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The power profile that is chosen.
    pub(crate) fn power(&self) -> Result<String, Error> {
        Ok(self.power_of()?.1)
    }

    /// Chooses a power profile.
    pub(crate) fn set_power(&self, profile: Power) -> Result<(), Error> {
        // PANIC: The index is one of the table.
        let (name, path) = POWER[self.power_of()?.0];
        let value = Value::from(profile.name());
        let place = (name, path, PROPERTIES);
        self.call(Scope::System, place, "Set", &(name, "ActiveProfile", value))
    }
}

fn unknown_type(name: &str) -> Error {
    Error::Failed(format!("{name} is not of the type that is known"))
}

/// What an error of a call means.
fn refusal(service: &str, error: zbus::Error) -> Error {
    let (name, text) = match &error {
        zbus::Error::MethodError(name, text, _) => {
            (name.as_str(), text.clone().unwrap_or_default())
        }
        zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            let what = format!("{service} did not answer within {} s", CALL.as_secs());
            return Error::Late(what);
        }
        _ => return Error::Failed(format!("{service}: {error}")),
    };
    match name.rsplit('.').next().unwrap_or_default() {
        "AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed" | "NotAuthorized" => {
            Error::Permission(format!("{service} says: {text}"))
        }
        "ServiceUnknown" | "NameHasNoOwner" => {
            Error::Unsupported(format!("nobody is {service} on the bus"))
        }
        "UnknownMethod" | "UnknownProperty" | "UnknownInterface" => {
            Error::Unsupported(format!("{service} is too old for it: {text}"))
        }
        "NoSuchUnit" => Error::Failed(text),
        _ => Error::Failed(format!("{service} says: {text} ({name})")),
    }
}
