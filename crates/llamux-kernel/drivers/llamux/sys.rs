// SPDX-License-Identifier: GPL-2.0-only

//! Safe abstractions over what the kernel offers to C alone.
//!
//! C source: [`drivers/llamux/shim.c`](srctree/drivers/llamux/shim.c),
//! [`drivers/llamux/shim_sysfs.c`](srctree/drivers/llamux/shim_sysfs.c),
//! [`drivers/llamux/shim_users.c`](srctree/drivers/llamux/shim_users.c) and
//! [`drivers/llamux/reserve.c`](srctree/drivers/llamux/reserve.c)

use core::ptr::NonNull;

use kernel::alloc::Flags;
use kernel::bindings;
use kernel::error::{from_err_ptr, to_result};
use kernel::ffi::{c_int, c_void};
use kernel::fs::{Kiocb, LocalFile};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Arc;
use kernel::task::Kuid;
use kernel::types::ForeignOwnable;
use kernel::uapi;
use llamux_engine::math::{FpuSection, Kernels};

/// For memory of a size that callers choose: on the account of their control group, and where there is not
/// so much, they are told and not the log.
pub(crate) fn on_account() -> Flags {
    GFP_KERNEL_ACCOUNT | __GFP_NOWARN
}

mod shim {
    use super::*;

    // The prototypes of shim.h.
    unsafe extern "C" {
        pub(super) fn llamux_fpu_begin();
        pub(super) fn llamux_fpu_end();
        pub(super) safe fn llamux_cpu_features() -> u32;
        pub(super) fn llamux_thread_start(
            function: unsafe extern "C" fn(*mut c_void) -> c_int,
            data: *mut c_void,
            name: *const u8,
        ) -> c_int;
        pub(super) fn llamux_model_open(
            name: *const u8,
            path: *mut u8,
            path_size: usize,
        ) -> *mut c_void;
        pub(super) fn llamux_signature_open(path: *const u8, by_path: bool) -> *mut c_void;
        pub(super) fn llamux_model_read(
            file: *mut c_void,
            buf: *mut c_void,
            buf_size: usize,
            offset: usize,
            file_size: *mut usize,
        ) -> isize;
        pub(super) fn llamux_model_remove(file: *mut c_void, path: *const u8) -> c_int;
        pub(super) fn llamux_model_close(file: *mut c_void);
        pub(super) fn llamux_command_from_user(
            dst: *mut uapi::llama_command,
            src: usize,
            usize: usize,
        ) -> c_int;
        pub(super) fn llamux_struct_from_user(
            dst: *mut c_void,
            ksize: usize,
            src: usize,
            usize: usize,
        ) -> c_int;
        pub(super) safe fn llamux_param_model() -> *const u8;
        pub(super) safe fn llamux_proc_create() -> c_int;
        pub(super) safe fn llamux_sysfs_create() -> c_int;
        pub(super) safe fn llamux_shrinker_create() -> c_int;
        pub(super) safe fn llamux_available_memory() -> usize;
        pub(super) safe fn llamux_cpus_choose() -> c_int;
        pub(super) safe fn llamux_cpus() -> u32;
        pub(super) safe fn llamux_nice(nice: c_int) -> c_int;
        pub(super) safe fn llamux_param_chat_format() -> *const u8;
        pub(super) safe fn llamux_param_requant() -> *const u8;
        pub(super) safe fn llamux_param_cpus() -> *const u8;
        pub(super) safe fn llamux_param_sig() -> *const u8;
        pub(super) safe fn llamux_resched();
        pub(super) safe fn llamux_may_log() -> bool;
        pub(super) safe fn llamux_clock() -> u64;
        pub(super) safe fn llamux_rough_clock() -> u64;
        pub(super) safe fn llamux_real_seconds() -> u64;
        pub(super) safe fn llamux_memory() -> u64;
        pub(super) safe fn llamux_cpus_online() -> u32;
        pub(super) safe fn llamux_command_line() -> *const u8;
        pub(super) safe fn llamux_current_id() -> u64;
        pub(super) safe fn llamux_random() -> u64;
        pub(super) safe fn llamux_wait_for_initramfs();
        pub(super) safe fn llamux_trace_request(
            owner: u64,
            prompt_tokens: u32,
            tokens: u32,
            error: c_int,
            queue_ns: u64,
            total_ns: u64,
        );
        pub(super) safe fn llamux_trace_token(owner: u64, count: u32);
        pub(super) safe fn llamux_trace_fpu_section(thread: u32, operation: u32, ns: u64);
        pub(super) fn llamux_reserved(size: *mut usize) -> *mut u8;
        pub(super) safe fn llamux_now() -> u64;
        pub(super) safe fn llamux_caller_cgroup() -> u64;
        pub(super) safe fn llamux_caller_weight() -> u32;
        pub(super) safe fn llamux_caller_privileged() -> bool;
        pub(super) safe fn llamux_caller_administers() -> bool;
        pub(super) fn llamux_caller_pid(comm: *mut u8) -> c_int;
        pub(super) fn llamux_reader(m: *mut c_void) -> u64;

        #[cfg(CONFIG_LLAMUX_SIG)]
        pub(super) fn llamux_sha256_begin(ctx: *mut c_void);
        #[cfg(CONFIG_LLAMUX_SIG)]
        pub(super) fn llamux_sha256_add(ctx: *mut c_void, data: *const u8, len: usize);
        #[cfg(CONFIG_LLAMUX_SIG)]
        pub(super) fn llamux_sha256_end(ctx: *mut c_void, digest: *mut u8);
        #[cfg(CONFIG_LLAMUX_SIG)]
        pub(super) fn llamux_signature_check(
            data: *const u8,
            len: usize,
            file: *mut c_void,
            signer: *mut u8,
            signer_size: usize,
        ) -> c_int;

        // Exported by the float island.
        pub(super) safe fn llamux_math_select(features: u32) -> *const llamux_abi::Kernels;
    }
}

/// The fastest float operations of this processor.
pub(crate) fn kernels() -> Kernels {
    // SAFETY: The island is built from the same `llamux-abi`, and the features are those that the
    // processor has and whose registers the kernel saves.
    unsafe { Kernels::from_ptr(shim::llamux_math_select(shim::llamux_cpu_features())) }
}

/// The plainest float operations, to which the others are compared.
#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
pub(crate) fn scalar_kernels() -> Kernels {
    // SAFETY: As in `kernels`; no features are claimed.
    unsafe { Kernels::from_ptr(shim::llamux_math_select(0)) }
}

/// A section in which the FPU belongs to this thread, which is not preempted meanwhile.
///
/// See Documentation/core-api/floating-point.rst.
pub(crate) struct Fpu(FpuSection);

impl Fpu {
    /// Begins the section, which ends with the value's life. It must be short, and nothing in it
    /// may sleep.
    pub(crate) fn begin() -> Self {
        // SAFETY: Only threads of the driver come here, outside of interrupts and with no section
        // open (`Kernel::section` of pool.rs is the only caller).
        unsafe { shim::llamux_fpu_begin() };
        // SAFETY: The FPU belongs to us until `drop`.
        Self(unsafe { FpuSection::assume() })
    }

    /// The proof that the engine asks for.
    pub(crate) fn section(&self) -> &FpuSection {
        &self.0
    }
}

impl Drop for Fpu {
    fn drop(&mut self) {
        // SAFETY: `begin` began it, on this thread: `FpuSection` is not `Send`.
        unsafe { shim::llamux_fpu_end() };
    }
}

/// What a kernel thread of the driver does.
pub(crate) trait Thread: Send + Sync + 'static {
    /// The thread's body.
    fn run(self: Arc<Self>);
}

/// Starts a kernel thread on the chosen processors.
pub(crate) fn start_thread<T: Thread>(body: Arc<T>, name: &CStr) -> Result {
    /// # Safety
    ///
    /// `data` is what `Arc::into_raw` returned, and is passed once.
    unsafe extern "C" fn function<T: Thread>(data: *mut c_void) -> c_int {
        // SAFETY: As the caller's.
        let body = unsafe { Arc::from_raw(data.cast::<T>()) };
        body.run();
        0
    }

    let data = Arc::into_raw(body);
    // SAFETY: `function` takes back what `into_raw` gave; the name is copied.
    let result = to_result(unsafe {
        shim::llamux_thread_start(function::<T>, data.cast_mut().cast(), name.as_char_ptr())
    });
    if result.is_err() {
        // SAFETY: The thread was not started, so nobody else takes it.
        drop(unsafe { Arc::from_raw(data) });
    }
    result
}

/// Waits until the files of the initramfs are there.
pub(crate) fn wait_for_initramfs() {
    shim::llamux_wait_for_initramfs();
}

/// Chooses the processors for the threads to be started: those of `llamux.cpus`, or all, but never
/// isolated ones. On error, which comes with the parameter, all that are not isolated.
pub(crate) fn choose_cpus() -> Result<(), (&'static str, Error)> {
    to_result(shim::llamux_cpus_choose()).map_err(|error| {
        let list = parameter(shim::llamux_param_cpus());
        (
            list.and_then(|list| list.to_str().ok()).unwrap_or(""),
            error,
        )
    })
}

/// Number of the chosen processors that are online.
pub(crate) fn cpus() -> u32 {
    shim::llamux_cpus()
}

/// Sets the nice value of the threads to be started.
pub(crate) fn set_nice(nice: i32) -> Result {
    to_result(shim::llamux_nice(nice))
}

/// Lets other threads run, if the scheduler wants it.
pub(crate) fn resched() {
    shim::llamux_resched();
}

/// Whether to log one more line of what callers can bring about as often as they like.
pub(crate) fn may_log() -> bool {
    shim::llamux_may_log()
}

/// Nanoseconds of a clock that is quick to read, and may differ a little between processors.
pub(crate) fn clock() -> u64 {
    shim::llamux_clock()
}

/// The tracepoints of `include/trace/events/llamux.h`.
pub(crate) mod trace {
    use super::*;

    /// A request has ended.
    pub(crate) fn request(
        owner: u64,
        tokens: (u32, u32),
        result: Result,
        queue_ns: u64,
        total_ns: u64,
    ) {
        let error = result.map_or_else(Error::to_errno, |()| 0);
        shim::llamux_trace_request(owner, tokens.0, tokens.1, error, queue_ns, total_ns);
    }

    /// A token of an answer has come out.
    pub(crate) fn token(owner: u64, count: u32) {
        shim::llamux_trace_token(owner, count);
    }

    /// An FPU section has ended.
    pub(crate) fn fpu_section(thread: u32, operation: u32, ns: u64) {
        shim::llamux_trace_fpu_section(thread, operation, ns);
    }
}

/// What can be said of the system once it has started.
pub(crate) struct BootFacts {
    /// Seconds since the epoch, as far as the system's clock knows.
    pub(crate) seconds: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Processors that are online.
    pub(crate) cpus: u64,
    /// The kernel's command line.
    pub(crate) command_line: &'static [u8],
}

/// Asks for all of them.
pub(crate) fn boot_facts() -> BootFacts {
    BootFacts {
        seconds: shim::llamux_real_seconds(),
        memory: shim::llamux_memory(),
        cpus: shim::llamux_cpus_online().into(),
        command_line: parameter(shim::llamux_command_line()).map_or(&[], CStr::to_bytes),
    }
}

/// A clock that can be read in any context, and may only go forward now and then.
pub(crate) fn rough_clock() -> u64 {
    shim::llamux_rough_clock()
}

/// A number that the current task shares with no other, also of those that have ended. In any context.
pub(crate) fn current_id() -> u64 {
    shim::llamux_current_id()
}

/// A random number, for seeds.
pub(crate) fn random() -> u64 {
    shim::llamux_random()
}

/// Bytes of memory that can be had before anybody has to go without.
pub(crate) fn available_memory() -> usize {
    shim::llamux_available_memory()
}

/// The effective user of the calling program, by its number in the initial namespace.
pub(crate) fn caller() -> u64 {
    Kuid::current_euid().into_raw().val.into()
}

/// Creates the files in `/proc/llamux`.
pub(crate) fn create_proc_files() -> Result {
    to_result(shim::llamux_proc_create())
}

/// Creates the files in `/sys/kernel/llamux`.
pub(crate) fn create_sysfs_files() -> Result {
    to_result(shim::llamux_sysfs_create())
}

/// Lets the system ask for memory back. To be called after `prompt::init`.
pub(crate) fn create_shrinker() -> Result {
    to_result(shim::llamux_shrinker_create())
}

/// The parameter `llamux.model`.
pub(crate) fn model_parameter() -> Option<&'static CStr> {
    parameter(shim::llamux_param_model())
}

/// The parameter `llamux.chat_format`.
pub(crate) fn chat_format_parameter() -> Option<&'static CStr> {
    parameter(shim::llamux_param_chat_format())
}

/// The parameter `llamux.requant`.
pub(crate) fn requant_parameter() -> Option<&'static CStr> {
    parameter(shim::llamux_param_requant())
}

/// The parameter `llamux.sig`.
pub(crate) fn sig_parameter() -> Option<&'static CStr> {
    parameter(shim::llamux_param_sig())
}

/// One of shim.c's parameters.
fn parameter(value: *const u8) -> Option<&'static CStr> {
    let value = NonNull::new(value.cast_mut())?;
    // SAFETY: A parameter of type charp points to a string that is never freed, and these cannot be
    // written after boot.
    Some(unsafe { CStr::from_char_ptr(value.as_ptr()) })
}

/// Takes the memory that was reserved at boot.
///
/// # Safety
///
/// To be called once at most.
pub(crate) unsafe fn take_reserved() -> Option<&'static mut [u8]> {
    let mut size = 0;
    // SAFETY: `size` is valid for the write.
    let base = NonNull::new(unsafe { shim::llamux_reserved(&raw mut size) })?;
    // SAFETY: The range was reserved from memblock, is in the direct mapping, belongs to nobody
    // else, and is never given back; the caller calls once.
    Some(unsafe { core::slice::from_raw_parts_mut(base.as_ptr(), size) })
}

/// Longest path of a model file, with its NUL.
const PATH_SIZE: usize = 400;

/// An open model file.
pub(crate) struct ModelFile {
    file: NonNull<c_void>,
    path: KVec<u8>,
}

// SAFETY: A reference to a file may be moved to another thread and given back there.
unsafe impl Send for ModelFile {}
// SAFETY: Reading says where to read, and so does not use the file's own position.
unsafe impl Sync for ModelFile {}

impl ModelFile {
    /// Opens the model of this name, or the first in alphabetical order. On error also says which
    /// path was tried.
    pub(crate) fn open(name: Option<&CStr>) -> Result<Self, (Error, KVec<u8>)> {
        let mut path = KVec::zeroed(PATH_SIZE, GFP_KERNEL).map_err(|e| (e.into(), KVec::new()))?;
        let name = name.map_or(core::ptr::null(), |name| name.as_char_ptr());
        // SAFETY: The name is null or a string, and `path` has that many bytes.
        let file =
            from_err_ptr(unsafe { shim::llamux_model_open(name, path.as_mut_ptr(), PATH_SIZE) });
        // `path` holds a string on every way out of the call.
        let file = file.and_then(|file| NonNull::new(file).ok_or(ENOENT));
        match file {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => Err((error, path)),
        }
    }

    /// Opens the signature of the model at a path, which was found by it or by a name.
    pub(crate) fn open_signature(path: &str, by_path: bool) -> Result<Self> {
        let path = CString::try_from_fmt(fmt!("{path}"))?;
        // SAFETY: The path is a string.
        let file =
            from_err_ptr(unsafe { shim::llamux_signature_open(path.as_char_ptr(), by_path) })?;
        let file = NonNull::new(file).ok_or(ENOENT)?;
        Ok(Self {
            file,
            path: KVec::new(),
        })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &str {
        path_str(&self.path)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        name_of(self.path())
    }

    /// Reads as much as fits, from `offset` on. Returns how much that was, and the file's size.
    pub(crate) fn read(&self, buf: &mut [u8], offset: usize) -> Result<(usize, usize)> {
        let mut size = 0;
        // SAFETY: The file is open, and the buffer is ours to write.
        let read = unsafe {
            shim::llamux_model_read(
                self.file.as_ptr(),
                buf.as_mut_ptr().cast(),
                buf.len(),
                offset,
                &raw mut size,
            )
        };
        if read < 0 {
            // CAST: Errors fit in an int.
            return Err(Error::from_errno(read as c_int));
        }
        Ok((read.unsigned_abs(), size))
    }

    /// Gives the file's memory back if it lies in the initramfs. Whether it did.
    pub(crate) fn remove_from_initramfs(&self) -> Result<bool> {
        // SAFETY: The file is open, and the path a string.
        let result =
            to_result(unsafe { shim::llamux_model_remove(self.file.as_ptr(), self.path.as_ptr()) });
        match result {
            Ok(()) => Ok(true),
            Err(error) if error == EXDEV => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for ModelFile {
    fn drop(&mut self) {
        // SAFETY: `open` opened it, and nobody uses it any more.
        unsafe { shim::llamux_model_close(self.file.as_ptr()) };
    }
}

/// The string in a buffer that C wrote.
pub(crate) fn path_str(path: &[u8]) -> &str {
    let end = path.iter().position(|&b| b == 0).unwrap_or(path.len());
    core::str::from_utf8(path.get(..end).unwrap_or(&[])).unwrap_or("(not UTF-8)")
}

/// The name of a model: the last part of its path, without its suffix.
pub(crate) fn name_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".gguf").unwrap_or(name)
}

/// A SHA-256 that is being computed.
#[repr(C, align(16))]
pub(crate) struct Sha256([u8; SHA256_CTX]);

/// Bytes of its context, as in shim.h.
const SHA256_CTX: usize = 128;

#[cfg(CONFIG_LLAMUX_SIG)]
impl Sha256 {
    /// Of nothing so far.
    pub(crate) fn new() -> Self {
        let mut ctx = Self([0; SHA256_CTX]);
        // SAFETY: There is room for a context, as shim_sig.c checks.
        unsafe { shim::llamux_sha256_begin((&raw mut ctx.0).cast()) };
        ctx
    }

    /// Goes on with these bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        // SAFETY: `new` made the context, and the bytes are there.
        unsafe {
            shim::llamux_sha256_add((&raw mut self.0).cast(), bytes.as_ptr(), bytes.len());
        }
    }

    /// The hash of all of them.
    pub(crate) fn end(mut self) -> [u8; 32] {
        let mut digest = [0; 32];
        // SAFETY: As above, and the hash has 32 bytes.
        unsafe { shim::llamux_sha256_end((&raw mut self.0).cast(), digest.as_mut_ptr()) };
        digest
    }
}

#[cfg(not(CONFIG_LLAMUX_SIG))]
impl Sha256 {
    pub(crate) fn new() -> Self {
        Self([0; SHA256_CTX])
    }

    pub(crate) fn add(&mut self, _bytes: &[u8]) {}

    pub(crate) fn end(self) -> [u8; 32] {
        [0; 32]
    }
}

/// Checks bytes against the signature in a file. Returns who signed.
#[cfg(CONFIG_LLAMUX_SIG)]
pub(crate) fn check_signature(bytes: &[u8], signature: &ModelFile) -> Result<CString> {
    let mut signer = [0; 160];
    // SAFETY: The bytes are there, the file is open, and the buffer is ours to write.
    to_result(unsafe {
        shim::llamux_signature_check(
            bytes.as_ptr(),
            bytes.len(),
            signature.file.as_ptr(),
            signer.as_mut_ptr(),
            signer.len(),
        )
    })?;
    CString::try_from_fmt(fmt!("{}", path_str(&signer)))
}

#[cfg(not(CONFIG_LLAMUX_SIG))]
pub(crate) fn check_signature(_bytes: &[u8], _signature: &ModelFile) -> Result<CString> {
    Err(EOPNOTSUPP)
}

/// Copies the argument of the system call, as
/// Documentation/process/adding-syscalls.rst wants it for extensible structures.
pub(crate) fn command_from_user(address: usize, size: usize) -> Result<uapi::llama_command> {
    let mut command = uapi::llama_command::default();
    // SAFETY: `command` is valid for the write; any address and size may be given.
    to_result(unsafe { shim::llamux_command_from_user(&raw mut command, address, size) })?;
    Ok(command)
}

/// A structure of the device's interface.
///
/// # Safety
///
/// It consists of integers, without padding, so that any bytes make one and all of its bytes may be
/// shown.
pub(crate) unsafe trait Plain: Default {}

// SAFETY: 3 times 8 bytes and 2 times 4.
unsafe impl Plain for uapi::llama_turn {}
// SAFETY: 6 times 8 bytes and 8 times 4.
unsafe impl Plain for uapi::llama_options {}
// SAFETY: 14 times 4 bytes and 8, then 2 times 4 and 8.
unsafe impl Plain for uapi::llama_session {}
// SAFETY: 4 times 4 bytes.
unsafe impl Plain for uapi::llama_logprob {}
// SAFETY: 8 bytes and 2 times 4.
unsafe impl Plain for uapi::llama_logprobs {}
// SAFETY: 2 times 8 bytes and 2 times 4.
unsafe impl Plain for uapi::llama_model_name {}
// SAFETY: 4 times 8 bytes and 4 times 4.
unsafe impl Plain for uapi::llama_embedding {}
// SAFETY: 2 times 8 bytes and 6 times 4.
unsafe impl Plain for uapi::llama_backend {}
// SAFETY: 3 times 8 bytes and 14 times 4.
unsafe impl Plain for uapi::llama_backend_request {}
// SAFETY: 2 times 4 bytes.
unsafe impl Plain for uapi::llama_backend_turn {}

const _: () = {
    assert!(size_of::<uapi::llama_turn>() == 32);
    assert!(size_of::<uapi::llama_options>() == 80);
    assert!(size_of::<uapi::llama_session>() == 80);
    assert!(size_of::<uapi::llama_logprob>() == 16);
    assert!(size_of::<uapi::llama_logprobs>() == 16);
    assert!(size_of::<uapi::llama_model_name>() == 24);
    assert!(size_of::<uapi::llama_embedding>() == 48);
    assert!(size_of::<uapi::llama_backend>() == 40);
    assert!(size_of::<uapi::llama_backend_request>() == 80);
    assert!(size_of::<uapi::llama_backend_turn>() == 8);
};

/// Copies a structure that is `size` bytes long in the caller's eyes, `least` at least.
pub(crate) fn plain_from_user<T: Plain>(address: usize, size: usize, least: usize) -> Result<T> {
    if size < least {
        return Err(EINVAL);
    }
    let mut value = T::default();
    let place: *mut T = &raw mut value;
    // SAFETY: `place` is valid for the write, after which it is a `T`, as `Plain` says; any address and
    // size may be given.
    to_result(unsafe {
        shim::llamux_struct_from_user(place.cast(), size_of::<T>(), address, size)
    })?;
    Ok(value)
}

/// Its bytes.
pub(crate) fn plain_bytes<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: So many bytes are there, without padding, as `Plain` says, and borrowed as long.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The file that is read or written.
pub(crate) fn file_of<'k, T: ForeignOwnable>(kiocb: &'k Kiocb<'_, T>) -> &'k LocalFile {
    // SAFETY: The kiocb is valid for as long as it is borrowed, and has a reference to its file, whose
    // position no other thread changes without the lock.
    unsafe { LocalFile::from_raw_file((*kiocb.as_raw()).ki_filp) }
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    shim::llamux_now()
}

/// What matters of a caller besides the user.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    /// The control group, or 0.
    pub(crate) group: u64,
    /// How much the scheduler makes of the nice level.
    pub(crate) weight: u32,
    /// Whether limits do not hold.
    pub(crate) privileged: bool,
}

impl Standing {
    /// The calling program's.
    pub(crate) fn of_caller() -> Self {
        Self {
            group: shim::llamux_caller_cgroup(),
            weight: shim::llamux_caller_weight(),
            privileged: shim::llamux_caller_privileged(),
        }
    }

    /// The driver's own.
    pub(crate) fn own() -> Self {
        Self {
            group: 0,
            weight: llamux_engine::fair::WEIGHT,
            privileged: true,
        }
    }
}

/// Who opened a file. Whoever asks through it, it counts for this user.
#[derive(Clone, Copy)]
pub(crate) struct Opener {
    /// By its number in the initial namespace.
    pub(crate) user: u64,
    privileged: bool,
}

impl Opener {
    /// The calling program.
    pub(crate) fn caller() -> Self {
        Self {
            user: caller(),
            privileged: shim::llamux_caller_privileged(),
        }
    }

    /// The standing of the calling program when it asks through the file.
    ///
    /// Limits do not hold only for two that are privileged: one that is might not know what its output is.
    pub(crate) fn standing(&self) -> Standing {
        let caller = Standing::of_caller();
        Standing {
            privileged: caller.privileged && self.privileged,
            ..caller
        }
    }
}

/// Whether the calling program may administer the system.
pub(crate) fn caller_administers() -> bool {
    shim::llamux_caller_administers()
}

/// Bytes of a program's name, with its NUL, as in shim.h.
pub(crate) const COMM_LEN: usize = 16;

/// The calling program's process, by its number in the initial namespace, and its name.
pub(crate) fn caller_process() -> (i32, [u8; COMM_LEN]) {
    let mut comm = [0; COMM_LEN];
    // SAFETY: There is room for a name, as shim_users.c checks.
    let pid = unsafe { shim::llamux_caller_pid(comm.as_mut_ptr()) };
    (pid, comm)
}

/// The user whose lines of a file its reader may see; `None` for all.
///
/// # Safety
///
/// `m` is a seq_file that is being read.
pub(crate) unsafe fn reader(m: *mut bindings::seq_file) -> Option<u64> {
    // SAFETY: As the caller's.
    let user = unsafe { shim::llamux_reader(m.cast()) };
    (user != u64::MAX).then_some(user)
}
