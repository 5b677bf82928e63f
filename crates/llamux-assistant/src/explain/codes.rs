// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Signals, exit statuses, and the states of systemd's units: `signal(7)`, `systemd.exec(5)`, `systemd.service(5)`.

/// A number with a name.
#[derive(Debug)]
pub struct Code {
    /// The number.
    pub number: u32,
    /// The name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What is mostly behind it, or what to do; may be empty.
    pub advice: &'static str,
}

/// The signal with this number.
pub fn signal(number: u32) -> Option<&'static Code> {
    SIGNALS.iter().find(|signal| signal.number == number)
}

/// The signal of this name, with or without SIG.
pub(super) fn signal_by_name(name: &str) -> Option<&'static Code> {
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    SIGNALS
        .iter()
        .find(|signal| signal.name.get(3..) == Some(bare))
}

/// What an exit status says, for people: its meaning and an advice that may be empty.
pub fn exit_status(number: u32) -> (String, String) {
    let found = |code: &Code| {
        (
            format!("Exit status {number} ({}): {}", code.name, code.meaning),
            code.advice.to_owned(),
        )
    };
    if let Some(code) = STATUSES
        .iter()
        .chain(SYSTEMD_STATUSES)
        .find(|code| code.number == number)
    {
        return found(code);
    }
    match number.checked_sub(128).and_then(signal) {
        Some(code) => (
            format!(
                "Exit status {number} is 128 + {}: signal {} ended the program. {}",
                code.number, code.name, code.meaning
            ),
            code.advice.to_owned(),
        ),
        None if number < 256 => (
            format!(
                "Exit status {number} is one of the program's own: its manual says what it means."
            ),
            String::new(),
        ),
        None => (
            format!("There is no exit status {number}: they go from 0 to 255."),
            String::new(),
        ),
    }
}

macro_rules! codes {
    ($(#[doc = $doc:literal] $table:ident { $($number:literal $name:literal $meaning:literal $advice:literal)+ })+) => {
        $(#[doc = $doc] pub(super) const $table: &[Code] = &[$(Code {
            number: $number, name: $name, meaning: $meaning, advice: $advice,
        }),+];)+
    };
}

codes! {
    /// Signals of Linux on x86 and ARM.
    SIGNALS {
        1 "SIGHUP" "The terminal was closed; services take it as a wish to read their configuration again." ""
        2 "SIGINT" "Somebody pressed Ctrl-C." ""
        3 "SIGQUIT" "Somebody pressed Ctrl-\\, which also makes a core dump." ""
        4 "SIGILL" "The processor met an instruction that it does not have." "The program was built for a newer processor, or jumped to a wrong place."
        5 "SIGTRAP" "A debugger's break point was met, or an assertion of the program." ""
        6 "SIGABRT" "The program ended itself, as something was wrong in it: an assertion, or damage of its memory." "What it printed before says which."
        7 "SIGBUS" "Memory was used that nothing is behind: a file was made shorter while it was mapped, or a disk failed." "Look for a full disk or tmpfs, and into dmesg."
        8 "SIGFPE" "A division by zero, or a result that is too large." ""
        9 "SIGKILL" "Somebody ended it at once, and it could do nothing about it." "Mostly the kernel for lack of memory (see dmesg for \"Out of memory\"), systemd after a time-out, or kill -9."
        10 "SIGUSR1" "A signal whose meaning the program defines." ""
        11 "SIGSEGV" "The program used memory that it does not have." "It is a bug of the program or of a library; coredumpctl info may show where."
        12 "SIGUSR2" "A signal whose meaning the program defines." ""
        13 "SIGPIPE" "The program wrote to a pipe that nobody reads any more." ""
        14 "SIGALRM" "A time that the program had set was up." ""
        15 "SIGTERM" "Somebody asked it to end: systemd when it stops a unit, a shutdown, or kill." ""
        17 "SIGCHLD" "A child process ended." ""
        18 "SIGCONT" "It goes on after it was stopped." ""
        19 "SIGSTOP" "It was stopped, and goes on after SIGCONT." ""
        20 "SIGTSTP" "Somebody pressed Ctrl-Z." "fg has it go on."
        21 "SIGTTIN" "It wanted to read from the terminal while it was in the background." "fg brings it to the front."
        22 "SIGTTOU" "It wanted to write to the terminal while it was in the background." ""
        23 "SIGURG" "Urgent data came on a socket." ""
        24 "SIGXCPU" "It used more processor time than its limit allows." "See ulimit -t and LimitCPU=."
        25 "SIGXFSZ" "A file would have become larger than its limit allows." "See ulimit -f and LimitFSIZE=."
        26 "SIGVTALRM" "A time of its own that the program had set was up." ""
        27 "SIGPROF" "A profiler's time was up." ""
        28 "SIGWINCH" "The window has another size." ""
        29 "SIGIO" "A file can be read or written." ""
        30 "SIGPWR" "The power fails." ""
        31 "SIGSYS" "It made a system call that a filter forbids." "Look at SystemCallFilter= of the unit, or at the container's profile."
    }
    /// Exit statuses of shells and usual programs.
    STATUSES {
        0 "success" "It ended well." ""
        1 "failure" "It failed; what it printed says why." ""
        2 "usage" "Mostly wrong options or arguments." ""
        64 "EX_USAGE" "It was called with wrong options." ""
        65 "EX_DATAERR" "Its input is not as it should be." ""
        66 "EX_NOINPUT" "Its input cannot be read." ""
        69 "EX_UNAVAILABLE" "A service that it needs is not there." ""
        70 "EX_SOFTWARE" "It met a bug of its own." ""
        73 "EX_CANTCREAT" "It cannot write its output." ""
        74 "EX_IOERR" "Reading or writing failed." ""
        75 "EX_TEMPFAIL" "It does not work at the moment, and may later." ""
        77 "EX_NOPERM" "It has not the rights." ""
        78 "EX_CONFIG" "Its configuration has a mistake." ""
        124 "timeout" "The command timeout ended it, as its time was up." ""
        125 "not started" "A program such as docker or timeout failed itself before it started the command." ""
        126 "not executable" "The command was found and cannot be run." "Look at its permissions (chmod +x), at a mount with noexec, and at its format."
        127 "not found" "The command was not found." "Check its name and PATH, and whether its package is installed."
        255 "failure" "It failed with -1; ssh says so when the connection failed." ""
    }
    /// Exit statuses with which systemd says that it could not even start the program.
    SYSTEMD_STATUSES {
        200 "CHDIR" "systemd could not change to the working directory." "Check WorkingDirectory=: it must exist, and User= must be allowed in."
        201 "NICE" "systemd could not set the nice level." ""
        202 "FDS" "systemd could not hand over the open files." ""
        203 "EXEC" "systemd could not run the program." "Check the path in ExecStart=, that it is executable, the interpreter in the first line of a script, and SELinux."
        204 "MEMORY" "There was no memory to start it." ""
        205 "LIMITS" "systemd could not set its limits." ""
        206 "OOM_ADJUST" "systemd could not set how soon it is killed for lack of memory." ""
        207 "SIGNAL_MASK" "systemd could not set its signals." ""
        208 "STDIN" "systemd could not open its standard input." ""
        209 "STDOUT" "systemd could not open its standard output." "Check the file in StandardOutput=, and the directory above it."
        210 "CHROOT" "systemd could not change the root directory." "Check RootDirectory=."
        211 "IOPRIO" "systemd could not set its priority for disks." ""
        212 "TIMERSLACK" "systemd could not set how exact its timers are." ""
        213 "SECUREBITS" "systemd could not set its secure bits." ""
        214 "SETSCHEDULER" "systemd could not set how it is scheduled." "A control group may give no real-time budget."
        215 "CPUAFFINITY" "systemd could not choose its processors." "Check CPUAffinity=: they must exist."
        216 "GROUP" "systemd could not become the group." "Check that the group of Group= exists."
        217 "USER" "systemd could not become the user." "Check that the user of User= exists."
        218 "CAPABILITIES" "systemd could not set its capabilities." "In a container or as a user's unit it may not."
        219 "CGROUP" "systemd could not make its control group." ""
        220 "SETSID" "systemd could not make a session of processes." ""
        221 "CONFIRM" "Somebody said no when systemd asked whether to start it." ""
        222 "STDERR" "systemd could not open its standard error." "Check the file in StandardError=."
        224 "PAM" "A session of PAM could not be opened." "Check PAMName= and the modules that it uses."
        225 "NETWORK" "systemd could not make its network namespace." ""
        226 "NAMESPACE" "systemd could not make its mount namespace." "A path in ReadWritePaths=, ReadOnlyPaths=, BindPaths= or StateDirectory= does not exist, or a container forbids namespaces."
        227 "NO_NEW_PRIVILEGES" "systemd could not forbid new privileges." ""
        228 "SECCOMP" "systemd could not set the filter of system calls." ""
        229 "SELINUX_CONTEXT" "systemd could not set the context of SELinux." ""
        230 "PERSONALITY" "systemd could not set the personality." ""
        231 "APPARMOR_PROFILE" "systemd could not set the profile of AppArmor." ""
        232 "ADDRESS_FAMILIES" "systemd could not restrict the families of addresses." ""
        233 "RUNTIME_DIRECTORY" "systemd could not make the directory of RuntimeDirectory=." ""
        235 "CHOWN" "systemd could not change the owner of a socket." ""
        236 "SMACK_PROCESS_LABEL" "systemd could not set the label of SMACK." ""
        237 "KEYRING" "systemd could not make a keyring." ""
        238 "STATE_DIRECTORY" "systemd could not make the directory of StateDirectory=." "Something of this name may be there and no directory, or the disk is full or read-only."
        239 "CACHE_DIRECTORY" "systemd could not make the directory of CacheDirectory=." ""
        240 "LOGS_DIRECTORY" "systemd could not make the directory of LogsDirectory=." ""
        241 "CONFIGURATION_DIRECTORY" "systemd could not make the directory of ConfigurationDirectory=." ""
        242 "NUMA_POLICY" "systemd could not set where its memory is." ""
        243 "CREDENTIALS" "systemd could not hand over the credentials." "Check LoadCredential= and the files behind it."
        245 "BPF" "systemd could not set the filters of BPF." ""
    }
}

/// What systemd says about a unit: a word, and its meaning. Results first, then states.
pub const UNIT_WORDS: &[(&str, &str)] = &[
    ("success", "It did what it should."),
    ("protocol", "It did not say that it is ready in the way that Type= promises."),
    ("timeout", "It was not ready, or not done with ending, when its time was up."),
    ("exit-code", "Its program ended with an exit status other than 0."),
    ("signal", "A signal ended its program."),
    ("core-dump", "Its program crashed, and a core dump was made."),
    ("watchdog", "It did not say in time that it is still well, as WatchdogSec= asks."),
    ("start-limit-hit", "It was started too often in a short time, so systemd tries no more; systemctl reset-failed allows it again."),
    ("resources", "systemd had not what it needed to start it, such as a file of EnvironmentFile= or a PID file."),
    ("oom-kill", "The kernel killed one of its processes for lack of memory."),
    ("exec-condition", "A command of ExecCondition= said that it should not run."),
    ("condition", "A condition was not met, so it was left out."),
    ("dependency", "Another unit that it requires failed; look at that one."),
    ("assert", "An assertion of its file is not met."),
    ("not-found", "There is no file of this name."),
    ("masked", "Somebody masked it: it cannot be started before systemctl unmask."),
    ("bad-setting", "Its file has a mistake; systemd-analyze verify says where."),
    ("auto-restart", "It ended, and systemd is about to start it again."),
    ("activating", "It is being started."),
    ("deactivating", "It is being stopped."),
    ("active", "It runs, or did what it should."),
    ("inactive", "It does not run."),
    ("failed", "It ended with a failure."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_numbers_of_this_system() {
        for (name, number) in [
            ("SIGKILL", libc::SIGKILL),
            ("SIGSEGV", libc::SIGSEGV),
            ("SIGBUS", libc::SIGBUS),
            ("SIGSYS", libc::SIGSYS),
            ("SIGCHLD", libc::SIGCHLD),
            ("SIGSTOP", libc::SIGSTOP),
            ("SIGXFSZ", libc::SIGXFSZ),
        ] {
            assert_eq!(
                signal_by_name(name).map(|signal| signal.number as i32),
                Some(number),
                "{name}"
            );
        }
        assert!(
            signal_by_name("KILL").is_some()
                && signal_by_name("SIGX").is_none()
                && signal_by_name("").is_none()
        );
    }

    #[test]
    fn exit_statuses_are_said_with_what_they_stand_for() {
        for (number, part) in [
            (0, "ended well"),
            (127, "not found"),
            (137, "SIGKILL"),
            (139, "128 + 11"),
            (203, "could not run the program"),
            (226, "namespace"),
            (42, "program's own"),
            (300, "no exit status"),
        ] {
            assert!(
                exit_status(number).0.contains(part),
                "{number}: {:?}",
                exit_status(number)
            );
        }
    }

    #[test]
    fn numbers_are_there_once() {
        for table in [SIGNALS, STATUSES, SYSTEMD_STATUSES] {
            assert!(table.windows(2).all(|pair| pair[0].number < pair[1].number));
        }
    }
}
