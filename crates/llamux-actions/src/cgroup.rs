// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Control groups of version 2: <https://docs.kernel.org/admin-guide/cgroup-v2.html>.

use crate::action::{Scope, Unit};
use crate::{Error, System};

/// Where the hierarchy of version 2 is: alone, or beside those of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The file of a control group, if version 2 has it.
pub(crate) fn file(system: &System, path: &str, name: &str) -> Result<String, Error> {
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(Error::Failed(format!("{path:?} is no control group")));
    }
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Err(Error::Refused("it is the group of everything"));
    }
    let mount = MOUNTS
        .iter()
        .find(|mount| system.path(&format!("{mount}/cgroup.procs")).exists())
        .ok_or_else(|| Error::Unsupported("there are no control groups of version 2".to_owned()))?;
    let file = format!("{mount}/{path}/{name}");
    if system.path(&file).exists() {
        return Ok(file);
    }
    if system.path(&format!("{mount}/{path}")).exists() {
        let what = format!("the control group /{path} has no {name}");
        return Err(Error::Unsupported(what));
    }
    Err(Error::Gone)
}

/// The unit that a control group belongs to, by the way that systemd lays them out.
pub fn owner(path: &str) -> Option<Unit> {
    let last = path.rsplit('/').next()?;
    let known = [".service", ".scope", ".slice"];
    if !known.iter().any(|suffix| last.ends_with(suffix)) {
        return None;
    }
    let user = path
        .split('/')
        .rev()
        .skip(1)
        .any(|part| part.starts_with("user@") && part.ends_with(".service"));
    Some(Unit {
        name: last.to_owned(),
        scope: if user { Scope::User } else { Scope::System },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_own_the_groups_of_their_names() {
        let unit = |path| owner(path).map(|unit| (unit.name, unit.scope));
        for (path, expected) in [
            (
                "/system.slice/nginx.service",
                Some(("nginx.service", Scope::System)),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-7.scope",
                Some(("app-firefox-7.scope", Scope::User)),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service",
                Some(("user@1000.service", Scope::System)),
            ),
            (
                "/user.slice/user-1000.slice/session-2.scope",
                Some(("session-2.scope", Scope::System)),
            ),
            ("/mine/own", None),
            ("/", None),
            ("", None),
        ] {
            let expected = expected.map(|(name, scope)| (name.to_owned(), scope));
            assert_eq!(unit(path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_stays_in_the_hierarchy() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("sys/fs/cgroup/a");
        std::fs::create_dir_all(&dir).unwrap();
        for name in ["cgroup.procs", "a/cgroup.freeze"] {
            std::fs::write(root.path().join("sys/fs/cgroup").join(name), "0\n").unwrap();
        }
        let system = System::at(root.path(), None);
        let freeze = |path| file(&system, path, "cgroup.freeze");
        assert_eq!(freeze("/a").unwrap(), "/sys/fs/cgroup/a/cgroup.freeze");
        assert!(matches!(freeze("/../a"), Err(Error::Failed(_))));
        assert!(matches!(freeze("a"), Err(Error::Failed(_))));
        assert!(matches!(freeze("/"), Err(Error::Refused(_))));
        assert_eq!(freeze("/b"), Err(Error::Gone));
        assert!(matches!(
            file(&system, "/a", "memory.high"),
            Err(Error::Unsupported(_))
        ));
    }
}
