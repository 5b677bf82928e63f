// SPDX-License-Identifier: GPL-2.0-only
/*
 * What voice.rs needs of the kernel and finds no Rust abstraction for: sleeping
 * until somebody calls from any context, and what is known of an oops.
 *
 * What happens in an oops takes no lock and no memory, and works in any context:
 * the facts go into places in static memory, which are filled once each. The
 * names are looked up there as for the trace that is printed, since the module
 * that they are of may be gone later.
 */
#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/kallsyms.h>
#include <linux/kdebug.h>
#include <linux/notifier.h>
#include <linux/sched.h>
#include <linux/stacktrace.h>
#include <linux/wait.h>
#ifndef CONFIG_UML
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#endif

#include "shim.h"

static DECLARE_WAIT_QUEUE_HEAD(callers);
static atomic_t called = ATOMIC_INIT(0);

/* From any context but an oops's or an NMI's. */
void llamux_voice_call(void)
{
	atomic_set(&called, 1);
	wake_up(&callers);
}

/* Until somebody has called, or for so many milliseconds; 0 for ever. */
bool llamux_voice_wait(u32 ms)
{
	long left = ms ? msecs_to_jiffies(ms) : MAX_SCHEDULE_TIMEOUT;

	return wait_event_idle_timeout(callers, atomic_xchg(&called, 0), left);
}

static struct llamux_oops oopses[LLAMUX_OOPSES];

/* What is known of an oops of this boot, counted from 0; NULL before it. */
const struct llamux_oops *llamux_oops_get(u32 number)
{
	/* Pairs with the release in note_oops(): who finds it filled finds all of it. */
	if (number >= LLAMUX_OOPSES || !smp_load_acquire(&oopses[number].filled))
		return NULL;
	return &oopses[number];
}

#ifdef CONFIG_UML
/* There every oops is a panic. */
int llamux_oops_watch(void)
{
	return 0;
}

void llamux_oops_fault(unsigned long address)
{
}
#else
/* How many places are taken. */
static atomic_t taken = ATOMIC_INIT(0);

static void call_later(struct irq_work *work)
{
	llamux_voice_call();
}

static DEFINE_IRQ_WORK(later, call_later);

/* Of the oops under way, whose CPU has the lock of all oopses. */
static unsigned long fault_address;
static bool is_fault;

void llamux_oops_fault(unsigned long address)
{
	fault_address = address;
	is_fault = true;
}

static void describe(struct llamux_oops *oops, const struct die_args *args)
{
	const char *how = "reading", *where = "at an address that is not mapped";

	if (is_fault) {
		if (args->err & X86_PF_INSTR)
			how = "calling a function";
		else if (args->err & X86_PF_WRITE)
			how = "writing";
		if (fault_address < PAGE_SIZE)
			where = "through a NULL pointer";
		else if (args->err & X86_PF_PROT)
			where = "where that is not allowed";
		snprintf(oops->kind, sizeof(oops->kind), "%s %s", how, where);
	} else if (args->trapnr == X86_TRAP_UD) {
		/* What BUG() is. */
		strscpy(oops->kind, "at BUG(), an assertion that does not hold");
	} else if (args->trapnr == X86_TRAP_DE) {
		strscpy(oops->kind, "dividing by zero");
	} else {
		snprintf(oops->kind, sizeof(oops->kind), "at: %s", args->str);
	}
	is_fault = false;
}

static int note_oops(struct notifier_block *nb, unsigned long what, void *data)
{
	unsigned long addresses[LLAMUX_OOPS_ENTRIES];
	const struct die_args *args = data;
	struct llamux_oops *oops;
	int place;

	if (what != DIE_OOPS)
		return NOTIFY_DONE;
	place = atomic_fetch_add_unless(&taken, 1, LLAMUX_OOPSES);
	if (place >= LLAMUX_OOPSES)
		return NOTIFY_DONE;
	oops = &oopses[place];
	describe(oops, args);
	strscpy(oops->comm, current->comm);
	oops->pid = current->pid;
	oops->entries = stack_trace_save_regs(args->regs, addresses, ARRAY_SIZE(addresses), 0);
	for (int i = 0; i < oops->entries; i++)
		snprintf(oops->trace[i], sizeof(oops->trace[i]), "%pS", (void *)addresses[i]);
	/* Pairs with the acquire in llamux_oops_get(). */
	smp_store_release(&oops->filled, 1);
	/* When interrupts are on again, and all of the trace is in the log. */
	irq_work_queue(&later);
	return NOTIFY_DONE;
}

static struct notifier_block oops_notifier = {
	.notifier_call = note_oops,
};

int llamux_oops_watch(void)
{
	return register_die_notifier(&oops_notifier);
}
#endif
