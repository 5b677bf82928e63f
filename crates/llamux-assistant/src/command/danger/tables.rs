// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Programs of which the name says what they do.

use crate::command::syntax::SHELLS;

/// Programs that only look and tell.
#[rustfmt::skip]
pub(super) const LOOKING: &[&str] = &[
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
pub(super) const CHANGING_FILES: &[&str] = &[
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
pub(super) const CHANGING_SYSTEM: &[&str] = &[
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
pub(super) const NEEDING_CARE: &[(&str, &str)] = &[
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

/// Options of `sudo` with which it runs nothing.
pub(super) const SUDO_LOOKS: &[&str] = &["-l", "--list", "-k", "-K", "-v", "-V"];

/// Languages: what they are given may do anything.
#[rustfmt::skip]
pub(super) const LANGUAGES: &[&str] = &[
    "python", "python2", "python3", "perl", "ruby", "node", "nodejs", "deno", "bun", "lua", "luajit", "php",
    "tclsh", "wish", "guile", "osascript", "irb", "ipython", "Rscript", "julia", "expect", "gdb", "jshell",
];

/// Short options that take a value, of programs that another short option makes harmless.
#[rustfmt::skip]
const VALUED: &[(&str, &str)] = &[
    ("apt", "octaP"), ("apt-get", "octaP"), ("aptitude", "oqtwF"), ("awk", "eEfFilv"), ("bsdtar", "bCfFgHIKLNTVX"),
    ("chage", "dEImMRW"), ("chrt", "DPT"), ("cp", "tS"), ("cpio", "CDEFHIMOR"), ("crontab", "u"), ("dpkg", "DR"),
    ("e2fsck", "bBCEjlLPz"), ("fc", "e"), ("fdisk", "bcCHLotSuwW"), ("fsck", "CrsRt"), ("gawk", "eEfFilv"),
    ("git", "cC"), ("gzip", "S"), ("install", "gmotS"), ("ionice", "cnpPu"), ("ln", "tS"), ("losetup", "bjoO"),
    ("make", "CEfIjloOW"), ("mawk", "fFv"), ("mv", "tS"), ("nawk", "fFv"), ("nc", "cegiIMmOopPqsTVwWxX"),
    ("ncat", "cegiIMmOopPqsTVwWxX"), ("netcat", "cegiIMmOopPqsTVwWxX"), ("paccache", "acik"), ("pacman", "br"),
    ("paru", "br"), ("passwd", "inPRwx"), ("perl-rename", "eE"), ("prename", "eE"), ("rename", "eE"), ("rpm", "DEr"),
    ("rsync", "@BefMT"), ("sed", "efl"), ("sfdisk", "bNoOwWXY"), ("ssh-add", "eEhHsStT"),
    ("ssh-keygen", "abCDEfFIJjKkmMnNOPRrsStTVwWYzZ"), ("tar", "bCfFgHIKLNTVX"), ("tune2fs", "cCeEgiIJLmMoOQrTuUz"),
    ("unzip", "dPx"), ("usermod", "bcdefgGklpPRsuvVwWZ"), ("xz", "CFMST"), ("yay", "br"), ("zstd", "DMoT"),
];

/// The letters of a program's short options that take a value.
pub(super) fn valued(name: &str) -> &'static str {
    if SHELLS.contains(&name) {
        return "oO";
    }
    let of = VALUED.iter().find(|(program, _)| *program == name);
    of.map_or("", |(_, letters)| letters)
}

/// What a text in another language says when it deletes or runs something.
#[rustfmt::skip]
pub(super) const VIOLENT: &[&str] = &[
    "system", "exec", "popen", "subprocess", "unlink", "rmtree", "rmdir", "remove", "os.kill", "spawn", "rm -",
    "delete", "truncate", "__import__", "eval", "b64decode", "`",
];

/// Whether a program is in one of the tables.
pub(in crate::command) fn known(name: &str) -> bool {
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
