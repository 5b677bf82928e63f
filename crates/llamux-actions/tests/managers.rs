// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Actions of systemd and of the service of power profiles, against a bus of our own with services of these names.

use std::fs;
use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use llamux_actions::history::History;
use llamux_actions::{
    restore, Action, Danger, Error, Group, Operation, Power, Privilege, Restored, Scope, System,
    Unit,
};
use zbus::message::Flags;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{fdo, interface};

/// What the services remember.
#[derive(Default)]
struct State {
    active: bool,
    enabled: bool,
    frozen: bool,
    memory: u64,
    cpu: u64,
    profile: String,
    calls: Vec<String>,
}

type Shared = Arc<Mutex<State>>;

/// What systemd says of each link that it made or removed: what it did, the link, and where it leads.
type Changes = Vec<(String, String, String)>;

const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/nginx_2eservice";

struct Manager(Shared);

impl Manager {
    /// As systemd does where polkit says no, or would have to ask.
    fn check(&self, call: &str, unit: &str, header: &zbus::message::Header<'_>) -> fdo::Result<()> {
        let flags = header.primary().flags();
        assert!(flags.contains(Flags::AllowInteractiveAuth), "{call}");
        self.0.lock().unwrap().calls.push(format!("{call} {unit}"));
        match unit {
            "denied.service" => Err(fdo::Error::AccessDenied("Permission denied".to_owned())),
            "locked.service" => Err(fdo::Error::InteractiveAuthorizationRequired(
                "Interactive authentication required.".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn job(&self) -> OwnedObjectPath {
        OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/1").unwrap()
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn load_unit(&self, name: &str) -> OwnedObjectPath {
        let path = match name {
            "none.service" => "/org/freedesktop/systemd1/unit/none_2eservice",
            _ => UNIT_PATH,
        };
        OwnedObjectPath::try_from(path).unwrap()
    }

    fn start_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.check("start", name, &header)?;
        self.0.lock().unwrap().active = true;
        Ok(self.job())
    }

    fn stop_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.check("stop", name, &header)?;
        self.0.lock().unwrap().active = false;
        if name == "half.service" {
            return Err(fdo::Error::Failed("lost my way".to_owned()));
        }
        Ok(self.job())
    }

    fn restart_unit(
        &self,
        name: &str,
        _mode: &str,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.check("restart", name, &header)?;
        Ok(self.job())
    }

    fn get_unit_file_state(&self, name: &str) -> String {
        if name == "static.service" {
            return "static".to_owned();
        }
        let enabled = self.0.lock().unwrap().enabled;
        if enabled { "enabled" } else { "disabled" }.to_owned()
    }

    fn enable_unit_files(
        &self,
        names: Vec<String>,
        _runtime: bool,
        _force: bool,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> fdo::Result<(bool, Changes)> {
        self.check("enable", &names[0], &header)?;
        if names[0] == "static.service" {
            return Ok((false, vec![]));
        }
        self.0.lock().unwrap().enabled = true;
        Ok((true, vec![("symlink".into(), "a".into(), "b".into())]))
    }

    fn disable_unit_files(
        &self,
        names: Vec<String>,
        _runtime: bool,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> fdo::Result<Changes> {
        self.check("disable", &names[0], &header)?;
        self.0.lock().unwrap().enabled = false;
        Ok(vec![])
    }

    fn reload(&self) {
        self.0.lock().unwrap().calls.push("reload".to_owned());
    }

    fn set_unit_properties(
        &self,
        name: &str,
        runtime: bool,
        properties: Vec<(String, OwnedValue)>,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> fdo::Result<()> {
        self.check("set", name, &header)?;
        assert!(runtime);
        for (name, value) in properties {
            let value = u64::try_from(value).unwrap();
            let mut state = self.0.lock().unwrap();
            match name.as_str() {
                "MemoryHigh" => state.memory = value,
                "CPUQuotaPerSecUSec" => state.cpu = value,
                other => panic!("{other}"),
            }
        }
        Ok(())
    }

    fn freeze_unit(
        &self,
        name: &str,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> fdo::Result<()> {
        self.check("freeze", name, &header)?;
        self.0.lock().unwrap().frozen = true;
        Ok(())
    }

    fn thaw_unit(
        &self,
        name: &str,
        #[zbus(header)] header: zbus::message::Header<'_>,
    ) -> fdo::Result<()> {
        self.check("thaw", name, &header)?;
        self.0.lock().unwrap().frozen = false;
        Ok(())
    }
}

/// A unit, and one that is not there.
struct OneUnit(Shared, bool);

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl OneUnit {
    #[zbus(property)]
    fn load_state(&self) -> String {
        if self.1 { "loaded" } else { "not-found" }.to_owned()
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        let active = self.0.lock().unwrap().active;
        if active { "active" } else { "inactive" }.to_owned()
    }

    #[zbus(property)]
    fn freezer_state(&self) -> String {
        let frozen = self.0.lock().unwrap().frozen;
        if frozen { "frozen" } else { "running" }.to_owned()
    }

    #[zbus(property)]
    fn job(&self) -> (u32, OwnedObjectPath) {
        (0, OwnedObjectPath::try_from("/").unwrap())
    }
}

struct Service(Shared);

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn memory_high(&self) -> u64 {
        self.0.lock().unwrap().memory
    }

    #[zbus(property, name = "CPUQuotaPerSecUSec")]
    fn cpu_quota(&self) -> u64 {
        self.0.lock().unwrap().cpu
    }
}

struct Profiles(Shared);

#[interface(name = "org.freedesktop.UPower.PowerProfiles")]
impl Profiles {
    #[zbus(property)]
    fn active_profile(&self) -> String {
        self.0.lock().unwrap().profile.clone()
    }

    #[zbus(property)]
    fn set_active_profile(&self, profile: String) {
        self.0.lock().unwrap().profile = profile;
    }
}

/// A bus with the services on it, that ends with the test.
struct Bus {
    daemon: Child,
    _services: zbus::blocking::Connection,
    state: Shared,
    root: tempfile::TempDir,
    system: System,
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// None where there is no dbus-daemon.
fn bus() -> Option<Bus> {
    let daemon = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--nopidfile", "--print-address"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut daemon) = daemon else {
        println!("skipped: there is no dbus-daemon");
        return None;
    };
    let mut address = String::new();
    let out = daemon.stdout.take().unwrap();
    std::io::BufReader::new(out)
        .read_line(&mut address)
        .unwrap();
    let address = address.trim();
    let state: Shared = Arc::new(Mutex::new(State {
        memory: u64::MAX,
        cpu: u64::MAX,
        profile: "balanced".to_owned(),
        ..State::default()
    }));
    let none = "/org/freedesktop/systemd1/unit/none_2eservice";
    let services = zbus::blocking::connection::Builder::address(address)
        .unwrap()
        .serve_at("/org/freedesktop/systemd1", Manager(state.clone()))
        .unwrap()
        .serve_at(UNIT_PATH, OneUnit(state.clone(), true))
        .unwrap()
        .serve_at(none, OneUnit(state.clone(), false))
        .unwrap()
        .serve_at(UNIT_PATH, Service(state.clone()))
        .unwrap()
        .serve_at(
            "/org/freedesktop/UPower/PowerProfiles",
            Profiles(state.clone()),
        )
        .unwrap()
        .name("org.freedesktop.systemd1")
        .unwrap()
        .name("org.freedesktop.UPower.PowerProfiles")
        .unwrap()
        .build()
        .unwrap();
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
    let system = System::at(root.path(), Some(address));
    Some(Bus {
        daemon,
        _services: services,
        state,
        root,
        system,
    })
}

fn unit(name: &str) -> Unit {
    Unit {
        name: name.to_owned(),
        scope: Scope::System,
    }
}

fn operate(name: &str, operation: Operation) -> Action {
    Action::Unit {
        unit: unit(name),
        operation,
    }
}

#[test]
fn units_are_started_and_stopped_and_that_is_undone() {
    let Some(bus) = bus() else { return };
    let plan = operate("nginx.service", Operation::Start)
        .plan(&bus.system)
        .unwrap();
    assert_eq!(
        plan.preview.privilege,
        Privilege::Polkit("org.freedesktop.systemd1.manage-units")
    );
    assert_eq!(plan.restores(&bus.system).len(), 1);
    let outcomes = plan.perform(&bus.system);
    assert_eq!(outcomes[0].result, Ok(None));
    assert!(bus.state.lock().unwrap().active);
    let it = outcomes[0].restore.as_ref().unwrap();
    assert_eq!(restore(it, &bus.system, true), Restored::Done);
    assert!(!bus.state.lock().unwrap().active);
    assert!(matches!(
        restore(it, &bus.system, true),
        Restored::Nothing(_)
    ));
    // Stopped already.
    let stop = operate("nginx.service", Operation::Stop)
        .plan(&bus.system)
        .unwrap();
    assert_eq!(stop.perform(&bus.system)[0].restore, None);
    let restart = operate("nginx.service", Operation::Restart)
        .plan(&bus.system)
        .unwrap();
    assert_eq!(
        (restart.preview.danger, &restart.preview.undo),
        (Danger::LosesWork, &None)
    );
    assert_eq!(restart.perform(&bus.system)[0].result, Ok(None));
}

#[test]
fn a_step_that_failed_behind_its_change_is_undone() {
    let Some(bus) = bus() else { return };
    bus.state.lock().unwrap().active = true;
    let stop = operate("half.service", Operation::Stop)
        .plan(&bus.system)
        .unwrap();
    let history = History::at(&bus.root.path().join("history.jsonl"));
    let id = history.begin(&stop, "stop it", None, &bus.system).unwrap();
    let outcomes = stop.perform(&bus.system);
    assert!(outcomes[0].result.is_err());
    history.end(id, &outcomes).unwrap();
    let entry = history.read().unwrap().list.remove(0);
    assert!(!bus.state.lock().unwrap().active);
    assert_eq!(entry.restores.len(), 1);
    let it = &entry.restores[0];
    assert_eq!(restore(it, &bus.system, true), Restored::Done);
    assert!(bus.state.lock().unwrap().active);
    // Refused, it changed nothing.
    let denied = operate("denied.service", Operation::Stop)
        .plan(&bus.system)
        .unwrap();
    assert_eq!(denied.perform(&bus.system)[0].restore, None);
}

#[test]
fn polkit_and_systemd_refuse_with_a_reason() {
    let Some(bus) = bus() else { return };
    for (name, part) in [
        ("denied.service", "denied"),
        ("locked.service", "authentication"),
    ] {
        let plan = operate(name, Operation::Stop).plan(&bus.system).unwrap();
        let error = plan.perform(&bus.system)[0].result.clone().unwrap_err();
        assert!(
            matches!(&error, Error::Permission(text) if text.contains(part)),
            "{error}"
        );
    }
    let plan = operate("none.service", Operation::Start)
        .plan(&bus.system)
        .unwrap();
    let error = plan.perform(&bus.system)[0].result.clone().unwrap_err();
    assert_eq!(error.to_string(), "there is no unit none.service");
    let plan = operate("static.service", Operation::Enable)
        .plan(&bus.system)
        .unwrap();
    let error = plan.perform(&bus.system)[0].result.clone().unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
}

#[test]
fn units_that_everything_needs_are_dangerous() {
    let system = System::recorded(1000);
    for (name, operation, danger) in [
        ("nginx.service", Operation::Stop, Danger::LosesWork),
        ("nginx.service", Operation::Disable, Danger::Reversible),
        ("sshd.service", Operation::Stop, Danger::Dangerous),
        ("sshd.service", Operation::Start, Danger::Reversible),
        (
            "systemd-logind.service",
            Operation::Restart,
            Danger::Dangerous,
        ),
        ("multi-user.target", Operation::Stop, Danger::Dangerous),
        ("dbus-broker.service", Operation::Disable, Danger::Dangerous),
    ] {
        let plan = operate(name, operation).plan(&system).unwrap();
        assert_eq!(plan.preview.danger, danger, "{name}");
        let outcome = plan.perform(&system)[0].result.clone();
        assert!(matches!(outcome, Err(Error::Unsupported(_))));
    }
}

#[test]
fn units_are_enabled_limited_and_frozen_and_that_is_undone() {
    let Some(bus) = bus() else { return };
    let group = Group {
        label: "nginx".to_owned(),
        path: "/system.slice/nginx.service".to_owned(),
        processes: vec![],
    };
    for action in [
        operate("nginx.service", Operation::Enable),
        Action::Limit {
            group: group.clone(),
            memory: Some(1 << 30),
            cpu: Some(50),
        },
        Action::Freeze { group },
    ] {
        let plan = action.plan(&bus.system).unwrap();
        let outcomes = plan.perform(&bus.system);
        let changed = {
            let state = bus.state.lock().unwrap();
            (state.enabled, state.memory, state.cpu, state.frozen)
        };
        assert_ne!(changed, (false, u64::MAX, u64::MAX, false), "{action:?}");
        for outcome in outcomes.iter().rev() {
            assert_eq!(outcome.result, Ok(None));
            let it = outcome.restore.as_ref().unwrap();
            assert_eq!(restore(it, &bus.system, true), Restored::Done);
        }
        let state = bus.state.lock().unwrap();
        let back = (state.enabled, state.memory, state.cpu, state.frozen);
        assert_eq!(back, (false, u64::MAX, u64::MAX, false), "{action:?}");
    }
    let calls = bus.state.lock().unwrap().calls.join("; ");
    let expected = "enable nginx.service; reload; disable nginx.service; reload; \
                    set nginx.service; set nginx.service; set nginx.service; set nginx.service; \
                    freeze nginx.service; thaw nginx.service";
    assert_eq!(calls, expected);
}

#[test]
fn a_power_profile_is_chosen_by_its_service_or_in_the_kernels_files() {
    let action = Action::Power {
        profile: Power::Performance,
    };
    if let Some(bus) = bus() {
        let plan = action.plan(&bus.system).unwrap();
        assert_eq!(plan.preview.details, ["it is balanced now"]);
        let outcomes = plan.perform(&bus.system);
        assert_eq!(bus.state.lock().unwrap().profile, "performance");
        let it = outcomes[0].restore.as_ref().unwrap();
        assert_eq!(restore(it, &bus.system, true), Restored::Done);
        assert_eq!(bus.state.lock().unwrap().profile, "balanced");
        assert!(bus.root.path().exists());
    }

    let root = tempfile::tempdir().unwrap();
    let system = System::at(root.path(), None);
    assert!(matches!(action.plan(&system), Err(Error::Unsupported(_))));
    let dir = root.path().join("sys/devices/system/cpu/cpufreq/policy0");
    fs::create_dir_all(&dir).unwrap();
    for (name, text) in [
        ("scaling_available_governors", "performance powersave\n"),
        ("scaling_governor", "powersave\n"),
        (
            "energy_performance_available_preferences",
            "default performance balance_performance balance_power power\n",
        ),
        ("energy_performance_preference", "balance_performance\n"),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let plan = action.plan(&system).unwrap();
    assert_eq!(plan.preview.privilege, Privilege::Root);
    let outcomes = plan.perform(&system);
    assert_eq!(read("scaling_governor"), "performance");
    assert_eq!(read("energy_performance_preference"), "performance");
    for outcome in outcomes.iter().rev() {
        let it = outcome.restore.as_ref().unwrap();
        assert_eq!(restore(it, &system, false), Restored::Done);
    }
    assert_eq!(read("scaling_governor"), "powersave");
    assert_eq!(read("energy_performance_preference"), "balance_performance");
}

#[test]
fn without_a_bus_it_says_so() {
    let root = tempfile::tempdir().unwrap();
    let system = System::at(root.path(), None);
    let plan = operate("nginx.service", Operation::Start)
        .plan(&system)
        .unwrap();
    let error = plan.perform(&system)[0].result.clone().unwrap_err();
    assert!(error.to_string().contains("there is no bus"), "{error}");
}
