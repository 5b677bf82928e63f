// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Containers, virtual machines and what runs elsewhere.

use super::super::{ChangesFiles, ChangesSystem, Effect, NeedsCare, Told};
use super::READS;

pub(super) fn machines(name: &str, told: Told<'_>) -> Option<Effect> {
    let verb = told.verb();
    Some(match name {
        "docker" | "podman" | "docker-compose" | "nerdctl" => docker(name, told),
        "kubectl" | "oc" => match told.behind(KUBECTL_VALUES).verb() {
            "get" | "describe" | "logs" | "top" | "explain" | "version" | "cluster-info"
            | "api-resources" | "diff" => READS,
            "delete" | "drain" | "replace" => {
                (NeedsCare, "deletes or replaces what runs elsewhere")
            }
            _ => (ChangesSystem, "changes what runs elsewhere"),
        },
        "terraform" | "tofu" | "ansible" | "ansible-playbook" | "helm" => match verb {
            "plan" | "show" | "validate" | "list" | "status" | "get" | "version" => READS,
            _ => (NeedsCare, "changes other machines"),
        },
        "virsh" | "lxc" | "machinectl" | "VBoxManage" => match verb {
            "list" | "info" | "status" | "show" | "dominfo" | "dumpxml" => READS,
            "destroy" | "undefine" | "delete" | "remove" | "terminate" | "poweroff"
            | "unregistervm" => (NeedsCare, "destroys or stops a virtual machine"),
            _ => (ChangesSystem, "changes virtual machines"),
        },
        _ => return None,
    })
}

/// Options of `kubectl` that take the next word.
#[rustfmt::skip]
const KUBECTL_VALUES: &[&str] = &[
    "-n", "--namespace", "--context", "--cluster", "--user", "--kubeconfig", "-s", "--server", "--token", "-v", "--v",
    "--as", "--request-timeout",
];

/// Options of `docker` and `docker compose` that take the next word.
#[rustfmt::skip]
const DOCKER_VALUES: &[&str] = &[
    "-H", "--host", "-c", "--context", "--config", "-l", "--log-level", "-f", "--file", "-p", "--project-name",
    "--profile", "--env-file", "--project-directory", "--ansi", "--parallel",
];

fn docker(name: &str, told: Told<'_>) -> Effect {
    let words = told.behind(DOCKER_VALUES);
    let verb = words.verb();
    let behind = Told(words.0.get(1..).unwrap_or_default(), told.1);
    let second = behind.behind(DOCKER_VALUES).verb();
    let object = name != "docker-compose"
        && matches!(
            verb,
            "container"
                | "image"
                | "volume"
                | "network"
                | "system"
                | "compose"
                | "pod"
                | "builder"
                | "context"
                | "config"
                | "secret"
                | "service"
                | "stack"
                | "node"
                | "plugin"
                | "buildx"
                | "manifest"
        );
    let action = if object { second } else { verb };
    if told.says(&["--privileged", "--pid=host"])
        || told
            .0
            .iter()
            .any(|word| word.text.starts_with("/:") || word.text.contains("docker.sock"))
    {
        return (NeedsCare, "gives a container the whole machine");
    }
    match action {
        "" | "ps" | "images" | "logs" | "inspect" | "stats" | "top" | "port" | "version"
        | "info" | "search" | "diff" | "history" | "events" | "ls" | "list" | "df" | "config"
        | "wait" => READS,
        "rm" | "rmi" | "prune" | "kill" | "remove" | "down" => {
            (NeedsCare, "deletes containers, images or volumes")
        }
        "cp" | "save" | "export" => (ChangesFiles, "copies files"),
        _ => (ChangesSystem, "changes containers or images"),
    }
}
