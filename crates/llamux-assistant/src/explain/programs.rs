// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Messages of usual programs, of systemd and of libraries, and what is behind them.

use super::pattern::Pattern;

macro_rules! patterns {
    ($($name:literal $weight:literal $pattern:literal $meaning:literal $advice:literal)+) => {
        &[$(Pattern { name: $name, weight: $weight, pattern: $pattern, meaning: $meaning, advice: $advice }),+]
    };
}

/// The catalogue. `{errno}` and its like are looked up in the tables of codes by the first group.
pub(super) const PATTERNS: &[Pattern] = patterns! {
    // Error numbers, in the ways in which programs write them
    "errno-text" 64 r"(?i)\b(operation not permitted|no such file or directory|no such process|input/output error|no such device or address|argument list too long|exec format error|bad file descriptor|no child processes|resource temporarily unavailable|cannot allocate memory|permission denied|bad address|device or resource busy|file exists|invalid cross-device link|no such device|not a directory|is a directory|too many open files in system|too many open files|inappropriate ioctl for device|text file busy|file too large|no space left on device|illegal seek|read-only file system|too many links|broken pipe|resource deadlock avoided|file name too long|no locks available|function not implemented|directory not empty|too many levels of symbolic links|value too large for defined data type|message too long|protocol not supported|operation not supported|address family not supported by protocol|address already in use|cannot assign requested address|network is down|network is unreachable|connection reset by peer|no buffer space available|transport endpoint is not connected|connection timed out|connection refused|host is down|no route to host|stale file handle|structure needs cleaning|disk quota exceeded|no medium found|required key not available|key was rejected by service|operation not possible due to rf-kill)\b" "{errno}" ""
    "errno-name" 63 r"\b(E(?:PERM|NOENT|SRCH|INTR|IO|NXIO|2BIG|NOEXEC|BADF|CHILD|AGAIN|WOULDBLOCK|NOMEM|ACCES|FAULT|BUSY|EXIST|XDEV|NODEV|NOTDIR|ISDIR|INVAL|NFILE|MFILE|NOTTY|TXTBSY|FBIG|NOSPC|SPIPE|ROFS|MLINK|PIPE|DOM|RANGE|DEADLK|NAMETOOLONG|NOLCK|NOSYS|NOTEMPTY|LOOP|NODATA|PROTO|BADMSG|OVERFLOW|ILSEQ|USERS|NOTSOCK|MSGSIZE|OPNOTSUPP|NOTSUP|AFNOSUPPORT|ADDRINUSE|ADDRNOTAVAIL|NETDOWN|NETUNREACH|CONNABORTED|CONNRESET|NOBUFS|ISCONN|NOTCONN|TIMEDOUT|CONNREFUSED|HOSTDOWN|HOSTUNREACH|ALREADY|INPROGRESS|STALE|UCLEAN|REMOTEIO|DQUOT|NOMEDIUM|CANCELED|NOKEY|KEYREJECTED|RFKILL|HWPOISON))\b" "{errno}" ""
    "errno-rust" 63 r"(?:os error |Os \{ code: )([0-9]{1,3})" "{errno}" ""
    "errno-python" 63 r"\[Errno ([0-9]{1,3})\]" "{errno}" ""
    "errno-kernel" 58 r"(?:failed with (?:error|err|code)|error|err|ret|rc|returned|failed)[ :=(]+(-[0-9]{1,3})\b" "{errno}" ""
    // Exit statuses and signals
    "exit-status" 66 r"(?i)(?:exited with (?:code|status)|exit (?:code|status)|code=exited, status=|returned (?:a )?non-zero (?:code|exit status)|exited with exit code|\*\*\* \[[^\]]*\] Error)[ :=]*([0-9]{1,3})\b" "{status}" ""
    "signal" 68 r"(?:code=(?:killed|dumped), (?:status|signal)=(?:[0-9]+/)?|(?:terminated|killed) by signal |signal: )\(?(?:SIG)?([A-Z0-9]{1,7}|[0-9]{1,2})\b" "{signal}" ""
    "shell-segfault" 68 r"(?:^|: )Segmentation fault(?: \(core dumped\))?" "The program used memory that it does not have, and was ended (SIGSEGV)." "It is a bug of the program or of a library; coredumpctl info may show where."
    "shell-killed" 66 r"^(?:.*: line [0-9]+: +[0-9]+ )?Killed\b" "Somebody ended the program at once (SIGKILL): mostly the kernel for lack of memory." "Look into dmesg for \"Out of memory\"."
    "shell-aborted" 66 r"(?:^|: )Aborted(?: \(core dumped\))?$" "The program ended itself, as something was wrong in it (SIGABRT)." "What it printed before says what."
    // systemd
    "unit-result" 70 r"Failed with result '([a-z-]+)'" "{result}" ""
    "unit-start-limit" 72 r"(?:Start request repeated too quickly|start-limit-hit)" "The unit was started too often in a short time, so systemd tries no more." "Find out why it ends (the lines before), then systemctl reset-failed and start it again."
    "unit-dependency" 68 r"(?:Dependency failed for (.+?)\.?$|Job [^ ]+ failed with result 'dependency')" "{1} was not started because another unit that it requires failed." "Look at that one: systemctl list-dependencies shows which."
    "unit-timeout" 70 r"([^ ]+\.service): (?:State '[^']*' timed out|start operation timed out|Start operation timed out|Stopping timed out)" "{1} was not ready, or did not end, when its time was up." "See what it waits for, or raise TimeoutStartSec= or TimeoutStopSec=."
    "unit-watchdog" 70 r"([^ ]+\.service): Watchdog timeout" "{1} did not say in time that it is still well, and was ended." "It hangs; its log before that may say where."
    "unit-not-found" 66 r"Unit ([^ ]+) (?:not found|could not be found)" "There is no unit {1}." "Check the name; its package may not be installed, or systemctl daemon-reload is due."
    "unit-masked" 66 r"Unit ([^ ]+) is masked" "Somebody masked {1}, so that it cannot be started." "systemctl unmask {1}"
    "unit-bad-setting" 66 r"(?:Unknown (?:key|lvalue|section) '?(?:name )?'?([^' ]+)'?|Failed to parse .*ignoring)" "A unit's file has something that systemd does not know: {1}." "systemd-analyze verify FILE"
    "unit-oom" 76 r"([^ ]+): (?:A process of this unit has been killed by the OOM killer|systemd-oomd killed)" "A process of {1} was killed for lack of memory." "See MemoryMax= of the unit, and how much memory is free."
    "unit-exec-missing" 72 r"Failed to locate executable ([^:]+):" "The program {1} of a unit is not there." "Check ExecStart=, and whether its package is installed."
    "unit-restart" 30 r"([^ ]+\.service): Scheduled restart job, restart counter is at ([0-9]+)" "systemd starts {1} again, for the {2}. time." ""
    "emergency" 85 r"(?:You are in emergency mode|Welcome to emergency mode)" "The boot could not go on, mostly as a file system of /etc/fstab is not there." "journalctl -xb says which; correct /etc/fstab."
    "mount-timeout" 80 r"Timed out waiting for device (.+?)\.?$" "The device {1} did not appear, and something waits for it." "Check the UUID in /etc/fstab against blkid; nofail lets the boot go on without it."
    // Shells and programs
    "command-not-found" 62 r"(?:(?:^|: )([^ :]+): command not found|(?:^|: )([^ :]+): not found|command not found: ([^ ]+))" "There is no command {1}{2}{3} here." "Check its name; its package may not be installed, or PATH lacks its directory."
    "missing-library" 74 r"error while loading shared libraries: ([^:]+): cannot open shared object file" "The program needs the library {1}, which is not there." "Install its package; after an update, programs may have to be built anew."
    "glibc-version" 74 r"version `(GLIBC[^']+)' not found" "The program was built for a newer C library ({1}) than there is here." "Use a build for this system, or update it."
    "sudo-not-allowed" 60 r"is not in the sudoers file" "The user may not use sudo." "Somebody with root's rights has to add the user to the group sudo or wheel."
    "port-in-use" 76 r"(?i)(?:port ([0-9]+) (?:is )?already (?:in use|allocated)|bind\(\) to [^ ]+?:([0-9]+) failed|listen EADDRINUSE[^0-9]*(?:.*:)?([0-9]+))" "Another program has port {1}{2}{3}." "Find it with ss -ltnp, stop it, or choose another port."
    "stale-lock" 60 r"(?:Could not get lock ([^ ]+)|unable to lock database|Unable to acquire the dpkg frontend lock)" "Another package manager is running, or one was ended in the middle." "Wait for it; only if none runs, remove the lock."
    // Network
    "dns" 76 r"(?i)(?:could not resolve host(?:name)?:? ?([^ ;]*)|temporary failure in name resolution|name or service not known|getaddrinfo (?:ENOTFOUND|EAI_AGAIN) ?([^ ]*)|nodename nor servname provided|no such host|SERVFAIL|NXDOMAIN)" "A name could not be turned into an address: {1}{2}." "Check the name, the network, and the server of names (resolvectl status)."
    "tls-expired" 78 r"(?i)certificate (?:has expired|expired|is not yet valid)" "The certificate of the other side is not valid at the time that this machine's clock shows." "Check the clock first (timedatectl); otherwise its owner must renew it."
    "tls-unknown-issuer" 76 r"(?i)(?:certificate signed by unknown authority|unable to get local issuer certificate|self[- ]signed certificate|certificate verify failed|UnknownIssuer)" "The certificate of the other side is from somebody whom this machine does not trust." "Install ca-certificates; for a server of your own add its authority. A proxy in between does so, too."
    "tls-name" 76 r"(?i)(?:certificate (?:is|not) valid for|hostname mismatch|no alternative certificate subject name matches|NotValidForName)" "The certificate of the other side is for another name." "Check the address that was asked for."
    "http-status" 50 r"\bHTTP(?:/[0-9.]+)? (?:error )?(401|403|404|407|429|500|502|503|504)\b" "The web server refused or failed with status {1}." "401 and 403: rights; 404: address; 429: too many requests; 5xx: the server itself, or the one behind it."
    "ssh-publickey" 70 r"Permission denied \((publickey[^)]*)\)" "The SSH server accepted none of the keys ({1})." "Check the user's name, the key (ssh -v), and the permissions of ~/.ssh on the server."
    "ssh-host-key" 74 r"REMOTE HOST IDENTIFICATION HAS CHANGED" "The SSH server has another key than before: it was installed anew, or somebody is in between." "Ask its owner; then ssh-keygen -R HOST."
    "too-many-requests" 55 r"(?i)(?:rate limit exceeded|too many requests)" "More was asked than the other side allows." "Wait, and ask less often."
    "connection-closed" 55 r"(?i)(?:connection closed by (?:remote host|peer)|unexpected EOF|server closed the connection|socket hang up)" "The other side ended the connection." "Its log says why."
    // Languages
    "python-no-module" 74 r"ModuleNotFoundError: No module named '([^']+)'" "Python finds no module {1}." "Install it for the Python that runs (a virtual environment has its own)."
    "python-exception" 67 r"^([A-Za-z_][A-Za-z0-9_.]*(?:Error|Exception|Interrupt|Warning|Exit)): (.+)" "The exception {1} says: {2}." ""
    "python-indentation" 70 r"(?:IndentationError|TabError|SyntaxError): (.+)" "Python cannot read the program: {1}." "The line above shows where."
    "node-no-module" 74 r"(?:Error: )?Cannot find module '([^']+)'" "Node.js finds no module {1}." "Run npm install in the directory with package.json, or correct the path."
    "java-oom" 80 r"java\.lang\.OutOfMemoryError: (.+)" "Java's own memory is used up: {1}." "Raise -Xmx, or look for a leak."
    "java-no-class" 74 r"(?:NoClassDefFoundError|ClassNotFoundException): ([^ ]+)" "Java finds no class {1}." "A JAR is missing on the class path, or has another version."
    "java-version" 74 r"UnsupportedClassVersionError|has been compiled by a more recent version of the Java Runtime" "The program was built for a newer Java." "Install a newer one; java -version shows the one that runs."
    "rust-panic" 72 r"thread '([^']*)'(?: \([0-9]+\))? panicked at (?:'([^']*)', )?([^:]+:[0-9]+)" "The thread {1} of a Rust program gave up at {3}." "The line after it says why; RUST_BACKTRACE=1 shows how it got there."
    "go-panic" 72 r"^panic: (.+)" "A Go program gave up: {1}." ""
    "cpp-terminate" 70 r"terminate called after throwing an instance of '([^']+)'" "A C++ program did not catch the exception {1}." "The next line says what it was."
    "heap-corruption" 76 r"(?:double free or corruption|free\(\): invalid (?:pointer|size)|malloc\(\): (?:corrupted|invalid)|corrupted size vs\. prev_size|munmap_chunk\(\): invalid pointer)" "The C library found that the program's memory is damaged, and ended it." "It is a bug of the program: run it with valgrind or AddressSanitizer."
    "stack-smashing" 76 r"stack smashing detected" "A function of the program wrote beyond its stack, and it was ended." "It is a bug of the program."
    "assertion" 66 r"Assertion [`']([^']+)' failed" "The program found that something is not as it should be: {1}." "It is a bug of the program, or of its input."
    "linker-undefined" 68 r"undefined reference to `([^']+)'" "The linker finds no function or variable {1}." "Add the library that has it (-l), behind what needs it."
    "compiler-no-header" 70 r"fatal error: ([^:]+\.h[a-z]*): No such file or directory" "The compiler finds no header {1}." "Install the development package that has it."
    "make-no-rule" 64 r"No rule to make target [`']([^']+)'" "make does not know how {1} is made: it is missing, or its name is wrong." ""
    "disk-full-sqlite" 66 r"database or disk is full" "A database could not be written: the disk is full, or its limit is met." "df -h"
    "database-locked" 58 r"database is locked" "Another program is writing to the database." ""
    "docker-daemon" 72 r"Cannot connect to the Docker daemon" "The Docker service does not run, or the user may not use it." "systemctl start docker; or add the user to the group docker, which has root's rights."
    "git-not-repository" 58 r"not a git repository" "The directory is not inside of a Git repository." "cd to it, or git init."
    "git-conflict" 58 r"CONFLICT \(([^)]+)\): (.+)" "Git could not join two changes: {2}." "Edit the files between the marks, then git add and go on."
    "pacman-signature" 70 r"(?:is unknown trust|invalid or corrupted package \(PGP signature\)|signature from .* is (?:invalid|marginal trust))" "The signature of a package is by a key that is not trusted here, mostly as the keyring is old." "Update archlinux-keyring first."
    "pacman-conflict" 66 r"([^ ]+): ([^ ]+) exists in filesystem" "The package {1} brings the file {2}, which is there already and belongs to another one or to none." "pacman -Qo {2} says to whom; move it away if to none."
    "apt-unmet" 66 r"The following packages have unmet dependencies" "Packages need others in versions that are not there." "apt update; then look for mixed sources in /etc/apt."
    "apt-no-key" 68 r"NO_PUBKEY ([0-9A-F]+)" "A source of packages is signed with the key {1}, which is not here." "Install its keyring as its maker says."
    "locale" 30 r"(?:Setting locale failed|cannot change locale|cannot set LC_ALL)" "The language of the environment is not installed." "locale-gen, or set LANG=C.UTF-8."
    "display" 60 r"(?:cannot open display|Can't open display|could not connect to display|no DISPLAY environment variable)" "A program with windows finds no desktop to show them on." "Start it in the desktop, or by ssh -X."
};
