/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the Rust driver needs of the kernel and finds no Rust abstraction for.
 * The modules that use it repeat these prototypes: sys.rs most of them, inplace.rs,
 * oops.rs and settings.rs those that are theirs alone.
 */
#ifndef _DRIVERS_LLAMUX_SHIM_H
#define _DRIVERS_LLAMUX_SHIM_H

#include <linux/types.h>

struct file;
struct kobj_attribute;
struct kobject;
struct llama_command;
struct proc_dir_entry;
struct seq_file;

/* shim.c */
void llamux_fpu_begin(void);
void llamux_fpu_end(void);
u32 llamux_cpu_features(void);
int llamux_thread_start(int (*fn)(void *data), void *data, const char *name);
struct file *llamux_model_open(const char *name, char *path, size_t path_size);
struct file *llamux_signature_open(const char *path, bool by_path);
ssize_t llamux_model_read(struct file *file, void *buf, size_t buf_size, size_t offset,
			  size_t *file_size);
int llamux_model_remove(struct file *file, const char *path);
void llamux_model_close(struct file *file);
int llamux_command_from_user(struct llama_command *dst, unsigned long src, size_t usize);
const char *llamux_param_model(void);
int llamux_proc_create(void);
size_t llamux_available_memory(void);
int llamux_cpus_choose(void);
u32 llamux_cpus(void);
size_t llamux_cpus_show(char *page, size_t size);
int llamux_nice(int nice);
int llamux_nice_now(void);
const char *llamux_param_chat_format(void);
const char *llamux_param_requant(void);
const char *llamux_param_cpus(void);
const char *llamux_param_sig(void);
void llamux_resched(void);
bool llamux_may_log(void);
u64 llamux_clock(void);
u64 llamux_rough_clock(void);
u64 llamux_real_seconds(void);
u64 llamux_memory(void);
u32 llamux_cpus_online(void);
const char *llamux_command_line(void);
u64 llamux_current_id(void);
u64 llamux_random(void);
void llamux_wait_for_initramfs(void);

/* shim_device.c */
int llamux_struct_from_user(void *dst, size_t ksize, unsigned long src, size_t usize);

/* shim_sysfs.c */
int llamux_sysfs_create(void);

/* shim_shrinker.c */
int llamux_shrinker_create(void);

/* shim_settings.c */
int llamux_settings_create(struct kobject *dir);

/* shim_users.c */
#define LLAMUX_COMM_LEN		16	/* bytes of a program's name, with its NUL */
u64 llamux_now(void);
u64 llamux_caller_cgroup(void);
u32 llamux_caller_weight(void);
bool llamux_caller_privileged(void);
bool llamux_caller_administers(void);
int llamux_caller_pid(char *comm);
u64 llamux_reader(struct seq_file *m);
int llamux_users_proc_create(struct proc_dir_entry *dir);
extern struct kobj_attribute llamux_limits_attr;

/* shim_sig.c, with CONFIG_LLAMUX_SIG */
#define LLAMUX_SHA256_CTX	128	/* bytes of room for a context */
void llamux_sha256_begin(void *ctx);
void llamux_sha256_add(void *ctx, const void *data, size_t len);
void llamux_sha256_end(void *ctx, u8 *digest);
int llamux_signature_check(const void *data, size_t len, struct file *file, char *signer,
			   size_t signer_size);

/* shim_trace.c */
void llamux_trace_request(u64 owner, u32 prompt_tokens, u32 tokens, int error, u64 queue_ns,
			  u64 total_ns);
void llamux_trace_token(u64 owner, u32 count);
void llamux_trace_fpu_section(u32 thread, u32 operation, u64 ns);

/* shim_voice.c */
#define LLAMUX_OOPSES		4	/* of a boot, that are explained */
#define LLAMUX_OOPS_ENTRIES	6	/* of a trace, that are noted */
/* The same as in oops.rs. */
struct llamux_oops {
	char kind[64];
	char comm[16];
	char trace[LLAMUX_OOPS_ENTRIES][128];
	u32 pid;
	u32 entries;
	u32 filled;
};
void llamux_voice_call(void);
bool llamux_voice_wait(u32 ms);
int llamux_oops_watch(void);
void llamux_oops_fault(unsigned long address);
const struct llamux_oops *llamux_oops_get(u32 number);

/* reserve.c */
void *llamux_reserved(size_t *size);

/* inplace.c */
void llamux_find_in_place(void);
int llamux_in_place_find(const char *name, char *path, size_t path_size, size_t *size);
void *llamux_in_place_take(unsigned int index);
void llamux_in_place_give(unsigned int index, bool used);

/* Defined in Rust. */
long llamux_command(unsigned long command, size_t size);
int llamux_status_show(struct seq_file *m, void *v);
int llamux_latency_show(struct seq_file *m, void *v);
int llamux_stats_show(struct seq_file *m, void *v);
int llamux_prompt_open(void **private);
ssize_t llamux_prompt_write(void *private, unsigned long from, size_t len, bool nonblock);
ssize_t llamux_prompt_read(void *private, unsigned long to, size_t len, bool nonblock);
void llamux_prompt_release(void *private);
unsigned long llamux_answers_count(void);
long llamux_answers_free(unsigned long most);
size_t llamux_models_show(u32 file, char *page, size_t size);
int llamux_models_store(u32 file, const char *text, size_t len);
int llamux_usage_show(struct seq_file *m, void *v);
int llamux_roll_show(struct seq_file *m, void *v);
size_t llamux_limits_show(char *page, size_t size);
int llamux_limits_store(const char *text, size_t len);
size_t llamux_setting_show(u32 setting, char *page, size_t size);
int llamux_setting_store(u32 setting, const char *text, size_t len);

#endif /* _DRIVERS_LLAMUX_SHIM_H */
