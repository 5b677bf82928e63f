// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Error numbers of Linux (`include/uapi/asm-generic/errno*.h`), what the C library calls them, and what is behind them.

/// An error number.
#[derive(Debug)]
pub struct Errno {
    /// The number.
    pub number: u32,
    /// The constant.
    pub name: &'static str,
    /// What `strerror` says.
    pub text: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What is mostly behind it, or what to do; may be empty.
    pub advice: &'static str,
}

/// The error with this number.
pub fn by_number(number: u32) -> Option<&'static Errno> {
    ERRNO.iter().find(|errno| errno.number == number)
}

/// The error with this name; some have two.
pub(super) fn by_name(name: &str) -> Option<&'static Errno> {
    let name = match name {
        "EWOULDBLOCK" => "EAGAIN",
        "EDEADLOCK" => "EDEADLK",
        "ENOTSUP" => "EOPNOTSUPP",
        name => name,
    };
    ERRNO.iter().find(|errno| errno.name == name)
}

/// The error with this text, in any case.
pub(super) fn by_text(text: &str) -> Option<&'static Errno> {
    ERRNO
        .iter()
        .find(|errno| errno.text.eq_ignore_ascii_case(text))
}

macro_rules! table {
    ($($number:literal $name:ident $text:literal $meaning:literal $advice:literal)+) => {
        /// All of them.
        pub(super) const ERRNO: &[Errno] = &[$(Errno {
            number: $number,
            name: stringify!($name),
            text: $text,
            meaning: $meaning,
            advice: $advice,
        }),+];
    };
}

table! {
    1 EPERM "Operation not permitted" "Only root, or a process with a certain capability, may do this." "Run it as root, or look for an immutable flag (lsattr), a seccomp filter or a container that forbids it."
    2 ENOENT "No such file or directory" "A file, or a directory on the way to it, does not exist." "Check the path letter by letter; a script that exists gives it when the interpreter in its first line does not, a program when its dynamic loader does not."
    3 ESRCH "No such process" "No process has this number any more." "It ended before it could be reached."
    4 EINTR "Interrupted system call" "A signal came while the kernel was waiting for something." "A program should try again."
    5 EIO "Input/output error" "A device did not do what it was asked to." "Look into dmesg for the disk; save the data, and check cable and disk (smartctl -a)."
    6 ENXIO "No such device or address" "The device file is there, and the device behind it is not." "Load its driver or plug it in; for a FIFO, nobody has the other end open."
    7 E2BIG "Argument list too long" "The arguments and the environment of a new program are larger than the kernel takes." "Hand names over in parts: find ... -exec ... +, or xargs."
    8 ENOEXEC "Exec format error" "The file is executable, and in no format that the kernel can run." "It was built for another processor, or is a script without #! in its first line."
    9 EBADF "Bad file descriptor" "A file descriptor is not open, or not for this." "It is a bug of the program: it closed the file before, or opened it only for reading."
    10 ECHILD "No child processes" "A process waits for children that it does not have." "Something else collected them already."
    11 EAGAIN "Resource temporarily unavailable" "It would have to wait, or a limit of processes or memory is met at the moment." "Try again; for a new process, look at the limit of processes (ulimit -u, TasksMax=)."
    12 ENOMEM "Cannot allocate memory" "The kernel gives no more memory for this." "Look at free memory, at the limit of the control group, and at vm.overcommit_memory."
    13 EACCES "Permission denied" "The permissions of a file or of a directory above it do not allow this." "Look at all directories on the way with namei -l; on a mount with noexec nothing can be run; SELinux and AppArmor deny it, too."
    14 EFAULT "Bad address" "A program gave the kernel a pointer to memory that it does not have." "It is a bug of the program."
    15 ENOTBLK "Block device required" "Only a block device, such as a disk, can be used here." ""
    16 EBUSY "Device or resource busy" "Somebody else is using it." "Find out who with fuser -vm or lsof."
    17 EEXIST "File exists" "There is something of this name already." "Remove it, or choose another name."
    18 EXDEV "Invalid cross-device link" "A link or a rename cannot go from one file system to another." "Copy the file and remove the old one."
    19 ENODEV "No such device" "There is no such device, or it cannot do this." "Its driver is not loaded, or the kernel has none for this type of file system."
    20 ENOTDIR "Not a directory" "A part of the path that should be a directory is a file." "Check the path."
    21 EISDIR "Is a directory" "A file is needed here, and this is a directory." "Name a file in it."
    22 EINVAL "Invalid argument" "The kernel does not accept a value that it was given." "Which one, its log may say (dmesg); for mount look at the options and the type."
    23 ENFILE "Too many open files in system" "All processes together have as many files open as the system allows." "Find who has most, or raise fs.file-max."
    24 EMFILE "Too many open files" "This process has as many files open as it may." "Raise the limit (ulimit -n, LimitNOFILE=), or look for a leak: ls /proc/PID/fd."
    25 ENOTTY "Inappropriate ioctl for device" "What was asked for makes sense only for another kind of device, mostly a terminal." "The program expects a terminal and got a pipe or a file."
    26 ETXTBSY "Text file busy" "A program that is running cannot be written to, and one that is written to cannot be run." "Stop it, or replace the file by a rename."
    27 EFBIG "File too large" "The file would be larger than the limit or than the file system allows." "Look at ulimit -f; FAT takes files below 4 GiB only."
    28 ENOSPC "No space left on device" "The file system has no room for data, or none for further files." "Look at df -h and at df -i; deleted files that are still open (lsof +L1) take room, too; for inotify raise fs.inotify.max_user_watches."
    29 ESPIPE "Illegal seek" "In a pipe or a socket there is no position to go to." "Write it to a file first."
    30 EROFS "Read-only file system" "The file system is mounted so that nothing can be written." "If it was not before, the kernel may have done it after an error: see dmesg, check the disk, then mount -o remount,rw."
    31 EMLINK "Too many links" "A file has as many hard links as it can." ""
    32 EPIPE "Broken pipe" "Whoever was to read at the other end is gone." "Look why the reader ended; in a pipe with head it is normal."
    33 EDOM "Numerical argument out of domain" "A function of mathematics is not defined for this number." ""
    34 ERANGE "Numerical result out of range" "A result is too large for where it should go." ""
    35 EDEADLK "Resource deadlock avoided" "To wait for this lock would last for ever." "Two programs hold locks that the other one wants."
    36 ENAMETOOLONG "File name too long" "A name has more than 255 bytes, or a path more than 4096." "Shorten it; some encrypted file systems allow 143 bytes only."
    37 ENOLCK "No locks available" "The kernel or a server of NFS can keep no more locks." "For NFS see whether rpc.statd runs."
    38 ENOSYS "Function not implemented" "The kernel has no such system call, or a filter hides it." "The program is newer than the kernel, or the container's profile forbids the call."
    39 ENOTEMPTY "Directory not empty" "A directory can be removed only when nothing is in it." "Look for hidden files: ls -A."
    40 ELOOP "Too many levels of symbolic links" "Symbolic links lead in a circle." "Follow them with namei."
    42 ENOMSG "No message of desired type" "There is no such message in the queue." ""
    43 EIDRM "Identifier removed" "An object of System V communication was removed meanwhile." ""
    61 ENODATA "No data available" "There is no such attribute, or nothing to read." ""
    62 ETIME "Timer expired" "A time was up, mostly in a driver." "See dmesg for the device."
    63 ENOSR "Out of streams resources" "A driver has no buffers left." ""
    71 EPROTO "Protocol error" "The other side, often a USB device, did not keep to the protocol." "Try another cable or port."
    74 EBADMSG "Bad message" "Data is not as it should be: a checksum does not match." "On a file system it means damage: check it."
    75 EOVERFLOW "Value too large for defined data type" "A number does not fit where it should go." "A program built for 32 bits met a large file or inode number."
    84 EILSEQ "Invalid or incomplete multibyte or wide character" "A text is not valid in its encoding." "Convert it with iconv, or set the locale."
    87 EUSERS "Too many users" "A table of users is full." ""
    88 ENOTSOCK "Socket operation on non-socket" "A file descriptor is no socket." "It is a bug of the program, or a service that was to be activated by a socket was started by hand."
    89 EDESTADDRREQ "Destination address required" "A packet has no address to go to." ""
    90 EMSGSIZE "Message too long" "A packet is larger than the network takes." "Look at the MTU of the link or the tunnel."
    91 EPROTOTYPE "Protocol wrong type for socket" "The socket is of another kind than the one at the other end." ""
    92 ENOPROTOOPT "Protocol not available" "The kernel does not know this option of a socket." ""
    93 EPROTONOSUPPORT "Protocol not supported" "The kernel has no such network protocol." "Load its module."
    94 ESOCKTNOSUPPORT "Socket type not supported" "There are no sockets of this type." ""
    95 EOPNOTSUPP "Operation not supported" "The file system, the device or the socket cannot do this." "It may work on another file system."
    96 EPFNOSUPPORT "Protocol family not supported" "The kernel has no such family of protocols." ""
    97 EAFNOSUPPORT "Address family not supported by protocol" "There are no addresses of this family, mostly because IPv6 is turned off." "Configure the program for IPv4, or turn IPv6 on."
    98 EADDRINUSE "Address already in use" "Another program has this port or socket." "Find it with ss -ltnp, stop it, or choose another port."
    99 EADDRNOTAVAIL "Cannot assign requested address" "This machine has no such address." "Look at ip addr; the link may not be up yet when the service starts."
    100 ENETDOWN "Network is down" "The network link is turned off." "Turn it on: ip link set LINK up."
    101 ENETUNREACH "Network is unreachable" "No route leads there." "Look at ip route: the default route is mostly missing, or IPv6 has none."
    102 ENETRESET "Network dropped connection on reset" "The network lost the connection." ""
    103 ECONNABORTED "Software caused connection abort" "The connection was given up on this side before it was used." ""
    104 ECONNRESET "Connection reset by peer" "The other side ended the connection at once." "See the log of the server; a firewall in between does so, too."
    105 ENOBUFS "No buffer space available" "The kernel has no memory for packets." ""
    106 EISCONN "Transport endpoint is already connected" "The socket has a connection already." ""
    107 ENOTCONN "Transport endpoint is not connected" "The socket has no connection; a FUSE file system has lost its program." "For a mount: unmount it (fusermount -u) and mount it again."
    108 ESHUTDOWN "Cannot send after transport endpoint shutdown" "This side of the connection was closed." ""
    109 ETOOMANYREFS "Too many references: cannot splice" "Too many file descriptors are on their way between processes." ""
    110 ETIMEDOUT "Connection timed out" "The other side did not answer in time." "It is down, its address is wrong, or a firewall drops the packets."
    111 ECONNREFUSED "Connection refused" "The machine was reached, and no program listens on this port." "See whether the service runs there and on which address it listens: ss -ltn."
    112 EHOSTDOWN "Host is down" "The other machine does not answer on the local network." ""
    113 EHOSTUNREACH "No route to host" "The machine cannot be reached: nobody on the network has its address, or a firewall says so." "Check address and cable, and the firewall of the other side."
    114 EALREADY "Operation already in progress" "It was begun before and is not done." ""
    115 EINPROGRESS "Operation now in progress" "It was begun and goes on." ""
    116 ESTALE "Stale file handle" "The server of NFS does not know this file any more." "Mount it again."
    117 EUCLEAN "Structure needs cleaning" "The file system is damaged." "Unmount it and run its fsck."
    121 EREMOTEIO "Remote I/O error" "A device behind another one did not answer." "See dmesg."
    122 EDQUOT "Disk quota exceeded" "The user may have no more room or files here." "Remove files, or ask for a larger quota."
    123 ENOMEDIUM "No medium found" "Nothing is in the drive." "Put a medium in."
    124 EMEDIUMTYPE "Wrong medium type" "The medium in the drive is of another kind." ""
    125 ECANCELED "Operation canceled" "It was called off." ""
    126 ENOKEY "Required key not available" "The kernel has not the key for this: an encrypted directory is locked, or a module is not signed." "Unlock it; a module needs a signature where Secure Boot is on."
    127 EKEYEXPIRED "Key has expired" "The key is not valid any more." ""
    128 EKEYREVOKED "Key has been revoked" "The key was withdrawn." ""
    129 EKEYREJECTED "Key was rejected by service" "A signature was made with a key that the kernel does not trust." "Sign the module with an enrolled key (mokutil)."
    130 EOWNERDEAD "Owner died" "Whoever held a lock ended without giving it back." ""
    131 ENOTRECOVERABLE "State not recoverable" "What a lock protects is lost." ""
    132 ERFKILL "Operation not possible due to RF-kill" "The radio is turned off." "Turn it on with rfkill unblock, or by its key."
    133 EHWPOISON "Memory page has hardware error" "A part of memory is broken." "Test the memory, and replace it."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_those_of_the_c_library() {
        for errno in ERRNO {
            // CAST: at most 133.
            let error = std::io::Error::from_raw_os_error(errno.number as i32).to_string();
            let text = error
                .rsplit_once(" (os error")
                .map_or(error.as_str(), |(text, _)| text);
            // Libraries other than glibc say some of it otherwise.
            if cfg!(target_env = "gnu") {
                assert_eq!(errno.text, text);
            }
            assert!(by_name(errno.name).is_some_and(|found| found.number == errno.number));
            assert!(errno.meaning.ends_with('.'), "{}", errno.name);
        }
        assert_eq!(by_name("EWOULDBLOCK").unwrap().number, 11);
        assert_eq!(by_text("no space left on device").unwrap().name, "ENOSPC");
    }
}
