// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Actions with their real effects: on processes that the tests start, on control groups where they can be written.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use llamux_actions::{
    restore, Action, Danger, Group, IoPriority, Outcome, Plan, Privilege, Process, Processes,
    Restored, System,
};

/// A process that sleeps, and is ended with the test.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self::with(&mut Command::new("sleep"))
    }

    fn with(command: &mut Command) -> Self {
        Self(command.arg("600").spawn().expect("sleep starts"))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn subject(&self) -> Process {
        subject(self.pid())
    }

    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit(')')
            .next()
            .unwrap()
            .trim()
            .chars()
            .next()
            .unwrap()
    }

    fn nice(&self) -> i32 {
        field(self.pid(), 16).parse().unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A field of `/proc/PID/stat`, counted from behind the name.
fn field(pid: i32, index: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = stat.rsplit(')').next().unwrap();
    rest.split_whitespace().nth(index).unwrap().to_owned()
}

fn subject(pid: i32) -> Process {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    Process {
        pid,
        start: field(pid, 19).parse().unwrap(),
        name: "sleep".to_owned(),
        uid: uid.split_whitespace().nth(1).unwrap().parse().unwrap(),
        user: "somebody".to_owned(),
        memory: 4096,
    }
}

fn processes(list: Vec<Process>) -> Processes {
    Processes {
        label: "sleepers".to_owned(),
        list,
    }
}

fn plan(action: Action) -> Plan {
    action.plan(&System::running()).unwrap()
}

fn ok(outcome: &Outcome) -> bool {
    outcome.result.is_ok()
}

fn undo(outcomes: &[Outcome]) -> Vec<Restored> {
    let system = System::running();
    let restores = outcomes.iter().filter_map(|o| o.restore.as_ref());
    restores.map(|it| restore(it, &system, true)).collect()
}

#[test]
fn processes_are_ended_and_killed() {
    let mut sleepers = [Sleeper::new(), Sleeper::new()];
    let list = sleepers.iter().map(Sleeper::subject).collect();
    let end = plan(Action::End {
        processes: processes(list),
    });
    assert_eq!(end.preview.danger, Danger::LosesWork);
    assert_eq!(end.preview.privilege, Privilege::Own);
    assert!(
        end.preview.effect.contains("2 processes"),
        "{}",
        end.preview.effect
    );
    assert!(end.preview.details[1].contains(&sleepers[1].pid().to_string()));
    let outcomes = end.perform(&System::running());
    assert!(outcomes
        .iter()
        .all(|o| o.result == Ok(Some("ended".to_owned()))));
    assert!(outcomes.iter().all(|o| o.restore.is_none()));
    let signal = sleepers[0].0.wait().unwrap().signal();
    assert_eq!(signal, Some(libc::SIGTERM));

    let mut stubborn = Sleeper::new();
    let kill = plan(Action::Kill {
        processes: processes(vec![stubborn.subject()]),
    });
    assert_eq!(kill.preview.danger, Danger::Dangerous);
    assert!(ok(&kill.perform(&System::running())[0]));
    assert_eq!(stubborn.0.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_process_that_does_not_end_is_said_to_be_there_still() {
    let mut shell = Command::new("sh");
    let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
    shell.args(["-c", script]).stdout(Stdio::piped());
    let mut child = Sleeper::with(&mut shell);
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.0.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let outcomes = plan(Action::End {
        processes: processes(vec![child.subject()]),
    })
    .perform(&System::running());
    let note = outcomes[0].result.clone().unwrap().unwrap();
    assert!(note.contains("has not within"), "{note}");
    assert_ne!(child.state(), 'Z');
}

#[test]
fn processes_are_stopped_and_go_on_when_it_is_undone() {
    let sleeper = Sleeper::new();
    let stop = plan(Action::Stop {
        processes: processes(vec![sleeper.subject()]),
    });
    assert_eq!(stop.preview.danger, Danger::Reversible);
    let outcomes = stop.perform(&System::running());
    assert!(ok(&outcomes[0]));
    assert_eq!(sleeper.state(), 'T');
    // Stopped already: nothing was changed, so there is nothing to undo.
    assert_eq!(stop.perform(&System::running())[0].restore, None);
    assert_eq!(undo(&outcomes), [Restored::Done]);
    assert_ne!(sleeper.state(), 'T');
    assert!(matches!(&undo(&outcomes)[..], [Restored::Nothing(_)]));

    plan(Action::Stop {
        processes: processes(vec![sleeper.subject()]),
    })
    .perform(&System::running());
    let resume = plan(Action::Resume {
        processes: processes(vec![sleeper.subject()]),
    });
    assert!(ok(&resume.perform(&System::running())[0]));
    assert_ne!(sleeper.state(), 'T');
}

#[test]
fn priorities_are_set_for_all_threads_and_brought_back() {
    let sleeper = Sleeper::new();
    let before = sleeper.nice();
    let nice = plan(Action::Renice {
        processes: processes(vec![sleeper.subject()]),
        nice: 7,
    });
    let outcomes = nice.perform(&System::running());
    assert!(ok(&outcomes[0]));
    assert_eq!(sleeper.nice(), 7);
    if rustix::process::geteuid().is_root() {
        assert_eq!(undo(&outcomes), [Restored::Done]);
        assert_eq!(sleeper.nice(), before);
    } else {
        println!("undoing not tried: only root raises a priority");
    }

    let idle = plan(Action::Io {
        processes: processes(vec![sleeper.subject()]),
        priority: IoPriority::IDLE,
    });
    let outcomes = idle.perform(&System::running());
    let left = outcomes[0].restore.as_ref().unwrap().left.as_deref();
    assert_eq!(left, Some("idle"));
    assert_eq!(undo(&outcomes), [Restored::Done]);
    // Idle as before, it would be a change once more.
    assert!(idle.perform(&System::running())[0].restore.is_some());
}

#[test]
fn what_somebody_changed_since_is_left_alone() {
    let sleeper = Sleeper::new();
    let set = |nice| {
        plan(Action::Renice {
            processes: processes(vec![sleeper.subject()]),
            nice,
        })
        .perform(&System::running())
    };
    let outcomes = set(5);
    set(9);
    let undone = undo(&outcomes);
    let [Restored::Not(error)] = &undone[..] else {
        panic!("{undone:?}");
    };
    assert!(
        error.to_string().contains("it is 9 now, and was left as 5"),
        "{error}"
    );
    assert_eq!(sleeper.nice(), 9);
}

#[test]
fn another_process_with_the_same_number_is_not_hit() {
    let sleeper = Sleeper::new();
    let mut other = sleeper.subject();
    other.start -= 1;
    for action in [
        Action::Kill {
            processes: processes(vec![other.clone()]),
        },
        Action::Renice {
            processes: processes(vec![other]),
            nice: 19,
        },
    ] {
        let outcomes = plan(action).perform(&System::running());
        let error = outcomes[0].result.clone().unwrap_err().to_string();
        assert!(error.contains("belongs to another process now"), "{error}");
    }
    assert!(!matches!(sleeper.state(), 'T' | 'Z'));
    assert_eq!(sleeper.nice(), Sleeper::new().nice());
}

#[test]
fn one_that_is_gone_does_not_keep_the_others_from_being_tried() {
    let mut gone = Sleeper::new();
    let left = Sleeper::new();
    let list = vec![gone.subject(), left.subject()];
    let stop = plan(Action::Stop {
        processes: processes(list),
    });
    gone.0.kill().unwrap();
    gone.0.wait().unwrap();
    let outcomes = stop.perform(&System::running());
    let error = outcomes[0].result.clone().unwrap_err().to_string();
    assert_eq!(error, "is not there any more");
    assert!(ok(&outcomes[1]));
    assert_eq!(left.state(), 'T');
    let mut outcomes = outcomes;
    drop(left);
    // What there was to undo is gone, too.
    assert!(matches!(&undo(&outcomes)[..], [Restored::Nothing(_)]));
    let it = outcomes.remove(1).restore.unwrap();
    let after_boot = restore(&it, &System::running(), false);
    assert!(matches!(after_boot, Restored::Nothing(why) if why.contains("restarted")));
}

#[test]
fn the_first_process_the_kernels_and_our_own_are_refused() {
    let own = subject(std::process::id() as i32);
    let parent = subject(field(own.pid, 1).parse().unwrap());
    for process in [subject(1), own, parent] {
        let pid = process.pid;
        for action in [
            Action::Kill {
                processes: processes(vec![process.clone()]),
            },
            Action::Stop {
                processes: processes(vec![process.clone()]),
            },
        ] {
            let error = action.plan(&System::running()).err().unwrap();
            assert!(error.to_string().starts_with("refused"), "{pid}: {error}");
        }
    }
    // Beside one that may be ended, they are left out.
    let sleeper = Sleeper::new();
    let end = plan(Action::End {
        processes: processes(vec![subject(1), sleeper.subject()]),
    });
    assert_eq!((end.steps.len(), end.preview.refused.len()), (1, 1));
    // A step that was made without a plan is refused as well, and so is a thread of the kernel.
    let kernel = fs::read_dir("/proc").unwrap().find_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (field_of(pid, 6)? & 0x0020_0000 != 0).then_some(pid)
    });
    match kernel {
        Some(pid) => {
            let nice = plan(Action::Renice {
                processes: processes(vec![Process {
                    pid: pid.max(3),
                    ..subject(pid)
                }]),
                nice: 19,
            });
            let error = nice.perform(&System::running())[0]
                .result
                .clone()
                .unwrap_err();
            println!("{pid}: {error}");
            assert!(!matches!(error, llamux_actions::Error::Permission(_)));
        }
        None => println!("skipped: no thread of the kernel is to be seen"),
    }
}

fn field_of(pid: i32, index: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit(')').next()?;
    rest.split_whitespace().nth(index)?.parse().ok()
}

#[test]
fn critical_processes_are_dangerous() {
    let sleeper = Sleeper::new();
    for (name, danger) in [
        ("sleep", Danger::Reversible),
        ("gnome-shell", Danger::Dangerous),
        ("systemd-logind", Danger::Dangerous),
        ("sshd", Danger::Dangerous),
    ] {
        let process = Process {
            name: name.to_owned(),
            ..sleeper.subject()
        };
        let stop = plan(Action::Stop {
            processes: processes(vec![process]),
        });
        assert_eq!(stop.preview.danger, danger, "{name}");
        assert_eq!(stop.preview.warning.is_some(), danger == Danger::Dangerous);
    }
}

/// Names the test below to the process that runs it as another user.
const VICTIM: &str = "LLAMUX_TEST_VICTIM";

#[test]
fn processes_of_others_need_root() {
    if let Ok(pid) = std::env::var(VICTIM) {
        let stop = plan(Action::Stop {
            processes: processes(vec![subject(pid.parse().unwrap())]),
        });
        assert_eq!(stop.preview.privilege, Privilege::Root);
        let error = stop.perform(&System::running())[0]
            .result
            .clone()
            .unwrap_err();
        assert!(error.to_string().starts_with("not permitted"), "{error}");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be another user");
        return;
    }
    let sleeper = Sleeper::new();
    // Nobody may not be able to reach this program where it is.
    let copy = tempfile::tempdir_in("/tmp").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy.path().join("effects");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(program)
        .args(["--exact", "processes_of_others_need_root"])
        .env(VICTIM, sleeper.pid().to_string())
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    assert_ne!(sleeper.state(), 'T');
}

/// A control group of version 2 that can be written, or none.
fn group(name: &str) -> Option<(std::path::PathBuf, String)> {
    for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        let dir = Path::new(mount).join(name);
        let there = Path::new(mount).join("cgroup.procs").exists();
        if there && fs::create_dir(&dir).is_ok() {
            if dir.join("cgroup.freeze").exists() {
                return Some((dir, format!("/{name}")));
            }
            let _ = fs::remove_dir(&dir);
        }
    }
    println!("skipped: no control group of version 2 can be made here");
    None
}

#[test]
fn a_control_group_is_frozen_and_thawed() {
    let Some((dir, path)) = group(&format!("llamux-test-{}", std::process::id())) else {
        return;
    };
    let sleeper = Sleeper::new();
    fs::write(dir.join("cgroup.procs"), sleeper.pid().to_string()).unwrap();
    let freeze = plan(Action::Freeze {
        group: Group {
            label: "sleepers".to_owned(),
            path,
            processes: vec![sleeper.subject()],
        },
    });
    let frozen = || {
        fs::read_to_string(dir.join("cgroup.events"))
            .unwrap()
            .contains("frozen 1")
    };
    let outcomes = freeze.perform(&System::running());
    assert!(ok(&outcomes[0]), "{outcomes:?}");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !frozen() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(frozen());
    assert_eq!(undo(&outcomes), [Restored::Done]);
    drop(sleeper);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while fs::remove_dir(&dir).is_err() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
