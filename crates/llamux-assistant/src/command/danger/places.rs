// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Places by their names.

/// Places whose loss is the loss of the machine or of all that a user has.
#[rustfmt::skip]
const CRITICAL: &[&str] = &[
    "/", "/*", "/.", "/..", "~", "~/", "~/*", ".", "./", "..", "../", "*", "./*", ".*", "/bin", "/boot", "/dev", "/etc",
    "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/usr", "/var", "/mnt",
    "/media", "$HOME", "${HOME}", "$HOME/", "$PWD", "/usr/bin", "/usr/lib", "/usr/share", "/var/lib", "/var/log",
];

/// Directories of the system, whose files are not the user's.
#[rustfmt::skip]
const SYSTEM_PATHS: &[&str] = &[
    "/bin/", "/boot/", "/etc/", "/lib/", "/lib64/", "/opt/", "/root/", "/sbin/", "/usr/", "/var/", "/srv/",
];

pub(super) fn in_system_path(path: &str) -> bool {
    [
        "/bin/",
        "/sbin/",
        "/usr/bin/",
        "/usr/sbin/",
        "/usr/local/bin/",
    ]
    .iter()
    .any(|directory| {
        path.strip_prefix(directory)
            .is_some_and(|rest| !rest.contains('/'))
    })
}

pub(super) fn critical(path: &str) -> bool {
    let short = path.trim_end_matches('/');
    CRITICAL.contains(&path)
        || CRITICAL.contains(&short)
        || path.starts_with("//")
        || path.contains("/../")
        || (path.starts_with('~') && !path.contains('/'))
        || path.ends_with("/*") && CRITICAL.contains(&path.trim_end_matches("/*"))
}

/// What is at a path, by its name.
pub(super) enum Place {
    /// Nothing is kept there.
    Nothing,
    Device,
    Kernel,
    System,
    /// What decides who may log in, or runs when somebody does.
    Login,
    User,
}

pub(super) fn place(path: &str) -> Place {
    match path {
        "/dev/null" | "/dev/stdout" | "/dev/stderr" | "/dev/tty" | "/dev/zero" | "/dev/full" => {
            return Place::Nothing
        }
        "/proc/sysrq-trigger" => return Place::Device,
        _ => {}
    }
    if path.starts_with("/dev/fd/") || path.starts_with("/dev/shm/") {
        return Place::User;
    }
    if path.starts_with("/dev/") {
        return Place::Device;
    }
    if path.starts_with("/proc/") || path.starts_with("/sys/") {
        return Place::Kernel;
    }
    // A path that climbs may end anywhere.
    if path.starts_with('/') && path.contains("/../") {
        return Place::System;
    }
    if path.starts_with("/var/tmp/") {
        return Place::User;
    }
    if SYSTEM_PATHS
        .iter()
        .any(|directory| path.starts_with(directory))
        || path == "/etc"
    {
        return Place::System;
    }
    let login = [
        ".ssh/",
        ".bashrc",
        ".bash_profile",
        ".profile",
        ".zshrc",
        ".zshenv",
        ".config/fish/config.fish",
        ".config/autostart",
        ".xinitrc",
    ];
    if login.iter().any(|name| path.contains(name)) {
        return Place::Login;
    }
    Place::User
}
