// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which locks a task holds. Mirrors the held-lock stack of kernel/locking/lockdep.c and include/linux/lockdep.h (v5.7):
 * acquire, release, is it held, and the reports about locks that are released, kept or (with Config.rawLockNesting) nested
 * wrongly.
 *
 * Invariant: it is observation. Nothing here is a point, takes virtual time or decides anything, and with Config.debug off
 * nobody calls it. Entries of the stack are made once and used again, so a lock costs no allocation.
 *
 * Left out: the graph of dependencies and what is proved with it, lock_stat, pins, nested locks, the maps of workqueues.
 *
 * @module
 */

import { formatAddr, TEXT_START } from "../machine/addr.ts";
import { debug_locks, debug_locks_off, DEBUG_LOCKS_WARN_ON } from "../bug.ts";
import type { Kernel } from "../kernel.ts";
import { HARDIRQ_MASK, SOFTIRQ_MASK, SOFTIRQ_OFFSET } from "../preempt.ts";
import { dumpStackLines, KERN_DEBUG, KERN_WARNING, report, UTS_RELEASE } from "../printk.ts";
import type { task_struct } from "../sched/sched.ts";
import { isNotHelper, shortFileOf, type StackFrame, StackSnapshot } from "../stacktrace.ts";
import { DEFINE_PER_CPU, KERNEL_STATIC, type StaticKey, this_cpu_ptr } from "../static.ts";
import { SYSTEM_RUNNING, system_state } from "../system_state.ts";

/**
 * What waiting for a lock may do, weakest first; the numbers are those with CONFIG_PROVE_RAW_LOCK_NESTING. Without it
 * LD_WAIT_CONFIG is LD_WAIT_SPIN: see waitType().
 *
 * @mirrors include/linux/lockdep.h:lockdep_wait_type
 */
export const LD_WAIT_INV = 0; // not said
export const LD_WAIT_FREE = 1; // nobody waits: RCU
export const LD_WAIT_SPIN = 2; // spins: raw_spinlock_t
export const LD_WAIT_CONFIG = 3; // spins, but sleeps with PREEMPT_RT: spinlock_t
export const LD_WAIT_SLEEP = 4; // sleeps: mutexes
export const LD_WAIT_MAX = 5; // a task that holds nothing

/** Most locks that a task holds at a time. @mirrors include/linux/sched.h:MAX_LOCK_DEPTH */
export const MAX_LOCK_DEPTH = 48;

/** How a class was used, as bits: taken in an interrupt of a kind, or with that kind enabled; for writing and reading. */
const LOCK_USED_IN_HARDIRQ = 0x01;
const LOCK_USED_IN_HARDIRQ_READ = 0x02;
const LOCK_USED_IN_SOFTIRQ = 0x04;
const LOCK_USED_IN_SOFTIRQ_READ = 0x08;
/** From a LOCK_USED_IN bit to the LOCK_ENABLED bit of the same kind. */
const ENABLED_SHIFT = 4;

/** Acquisitions of a class whose place is kept: a host stack costs a microsecond or two. */
const SPIN_PLACES = 50;
const OTHER_PLACES = 500;

/** What all locks of one kind have in common. @mirrors include/linux/lockdep.h:lock_class */
export class lock_class {
  usage_mask = 0;
  /** Acquisitions whose place is still to be kept. */
  placesLeft: number;

  /** The wait types are the kernel's, as they are compared and printed. */
  constructor(
    readonly name: string,
    readonly wait_type_outer: number,
    readonly wait_type_inner: number,
    spins: boolean,
  ) {
    this.placesLeft = spins ? SPIN_PLACES : OTHER_PLACES;
  }
}

/** The number that this kernel has for a wait type: without CONFIG_PROVE_RAW_LOCK_NESTING one kind less. */
function waitType(k: Kernel, type: number): number {
  return k.config.rawLockNesting || type <= LD_WAIT_SPIN ? type : type - 1;
}

/** What lockdep knows of one lock. @mirrors include/linux/lockdep.h:lockdep_map */
export class lockdep_map {
  /** Known from the first acquisition on. */
  class_cache: lock_class | null = null;
  /** Number in the order of first acquisition; stands in for the address. */
  instance = 0;

  constructor(
    readonly name: string,
    readonly wait_type_outer: number,
    readonly wait_type_inner: number,
  ) {}
}

/** One lock that a task holds. @mirrors include/linux/lockdep.h:held_lock */
export class held_lock {
  instance: lockdep_map | null = null;
  /** Where it was taken; null when that was not kept. */
  acquire_ip: StackSnapshot | null = null;
  /** 2 in a hard interrupt, plus 1 in a softirq. */
  irq_context = 0;
  /** 0 for writing, 1 for reading, 2 for reading that may recurse. */
  read = 0;
}

class LockClasses {
  readonly byKey = new Map<string, lock_class>();
  instances = 0;
}

const lock_classes = KERNEL_STATIC("lock_classes", () => new LockClasses());

/** What PREEMPT_RT would make of the hard interrupt that a CPU is in. */
class HardirqContext {
  /** The handler would run in a thread. @mirrors include/linux/sched.h:task_struct.hardirq_threaded */
  threaded = false;
  /** What runs would run in a softirq. @mirrors include/linux/sched.h:task_struct.irq_config */
  config = false;
}

const hardirqContext = DEFINE_PER_CPU("hardirq_context", () => new HardirqContext());

export const statics: readonly StaticKey[] = [lock_classes, hardirqContext];

/** @mirrors kernel/locking/lockdep.c:get_usage_char */
function get_usage_char(mask: number, bit: number): string {
  const used = (mask & bit) !== 0;
  if ((mask & (bit << ENABLED_SHIFT)) !== 0) return used ? "?" : "+";
  return used ? "-" : ".";
}

/** @mirrors kernel/locking/lockdep.c:get_usage_chars */
function get_usage_chars(class_: lock_class): string {
  const bits = [
    LOCK_USED_IN_HARDIRQ,
    LOCK_USED_IN_HARDIRQ_READ,
    LOCK_USED_IN_SOFTIRQ,
    LOCK_USED_IN_SOFTIRQ_READ,
  ];
  return bits.map((bit) => get_usage_char(class_.usage_mask, bit)).join("");
}

/** @mirrors kernel/locking/lockdep.c:print_lock_name */
function print_lock_name(class_: lock_class): string {
  const { wait_type_outer, wait_type_inner } = class_;
  const waits = `{${wait_type_outer === LD_WAIT_INV ? wait_type_inner : wait_type_outer}:${wait_type_inner}}`;
  return ` (${class_.name}){${get_usage_chars(class_)}}-${waits}`;
}

/** Where locks would be: classes here have no address in memory. */
const LOCKS_START = TEXT_START + 0x0100_0000;
const LOCK_BYTES = 0x40;

/**
 * @mirrors kernel/locking/lockdep.c:print_lock
 * @simplified the address is made up; the place is 0x0 where a class was taken often before
 */
function print_lock(hlock: held_lock): string {
  const lock = hlock.instance as lockdep_map;
  const at = hlock.acquire_ip === null ? "0x0" : placeOfAcquisition(hlock.acquire_ip.frames());
  return formatAddr(LOCKS_START + lock.instance * LOCK_BYTES) +
    `${print_lock_name(lock.class_cache as lock_class)}, at: ${at}`;
}

/** What takes a lock on behalf of somebody else: macros and inline functions in C. */
const TAKES_A_LOCK =
  /^_*(raw_)?((spin|read|write|mutex)_((try)?lock|acquire)|down_(read|write)|rcu_(read_)?lock|lock_)|^might_lock|^(print|check)_.*wait_context$/;

/** A function, or the line of one without a name. */
function nameOf(frame: StackFrame | undefined): string {
  if (frame === undefined) return "0x0";
  return frame.name === "" ? `${shortFileOf(frame)}:${frame.line}` : frame.name;
}

/** The function that took a lock. */
function placeOfAcquisition(frames: readonly StackFrame[]): string {
  return nameOf(frames.find((frame) => isNotHelper(frame) && !TAKES_A_LOCK.test(frame.name)));
}

/** The list of locks that `p` holds, as lines. @mirrors kernel/locking/lockdep.c:lockdep_print_held_locks */
export function lockdep_print_held_locks(p: task_struct): string[] {
  const depth = p.lockdep_depth;
  if (depth === 0) return [`no locks held by ${p.comm}/${p.pid}.`];
  return [
    `${depth} lock${depth > 1 ? "s" : ""} held by ${p.comm}/${p.pid}:`,
    ...p.held_locks.slice(0, depth).map((hlock, i) => ` #${i}: ${print_lock(hlock)}`),
  ];
}

/** @mirrors kernel/locking/lockdep.c:print_kernel_ident */
export function print_kernel_ident(): string {
  return `${UTS_RELEASE} #1 Not tainted`;
}

/**
 * The class of `lock`; the first acquisition makes it known.
 *
 * @mirrors kernel/locking/lockdep.c:register_lock_class
 * @simplified the name and the wait type are the key
 */
function register_lock_class(k: Kernel, lock: lockdep_map): lock_class {
  const { byKey } = lock_classes(k);
  const key = `${lock.wait_type_inner} ${lock.name}`;
  let found = byKey.get(key);
  if (found === undefined) {
    const { wait_type_outer: outer, wait_type_inner: inner } = lock;
    const spins = outer === LD_WAIT_INV && (inner === LD_WAIT_SPIN || inner === LD_WAIT_CONFIG);
    found = new lock_class(lock.name, waitType(k, outer), waitType(k, inner), spins);
    byKey.set(key, found);
  }
  lock.class_cache = found;
  lock.instance = ++lock_classes(k).instances;
  return found;
}

/** Notes in what contexts a class is taken. @mirrors kernel/locking/lockdep.c:mark_usage */
function mark_usage(k: Kernel, class_: lock_class, trylock: boolean, read: number): void {
  const { preempt_count: count, irqsOn } = k.cpu;
  const shift = read !== 0 ? 1 : 0;
  let bits = 0;
  if (!trylock) {
    if ((count & HARDIRQ_MASK) !== 0) bits |= LOCK_USED_IN_HARDIRQ;
    if ((count & SOFTIRQ_OFFSET) !== 0) bits |= LOCK_USED_IN_SOFTIRQ;
  }
  if (irqsOn) {
    bits |= LOCK_USED_IN_HARDIRQ << ENABLED_SHIFT;
    if ((count & SOFTIRQ_MASK) === 0) bits |= LOCK_USED_IN_SOFTIRQ << ENABLED_SHIFT;
  }
  class_.usage_mask |= bits << shift;
}

/** What may be waited for here, locks apart. @mirrors kernel/locking/lockdep.c:task_wait_context */
function task_wait_context(k: Kernel): number {
  const count = k.cpu.preempt_count;
  if ((count & HARDIRQ_MASK) !== 0) {
    const { threaded, config } = this_cpu_ptr(k, hardirqContext);
    return threaded || config ? LD_WAIT_CONFIG : LD_WAIT_SPIN;
  }
  return (count & SOFTIRQ_OFFSET) !== 0 ? LD_WAIT_CONFIG : LD_WAIT_MAX;
}

/** @mirrors kernel/locking/lockdep.c:print_lock_invalid_wait_context */
function print_lock_invalid_wait_context(k: Kernel, curr: task_struct, hlock: held_lock): void {
  if (!debug_locks_off(k)) return;
  const title = "[ BUG: Invalid wait context ]";
  const curr_inner = task_wait_context(k);
  hlock.acquire_ip = new StackSnapshot();
  report(k, KERN_WARNING, title, [
    "",
    "=============================",
    title,
    print_kernel_ident(),
    "-----------------------------",
    `${curr.comm}/${curr.pid} is trying to lock:`,
    print_lock(hlock),
    "other info that might help us debug this:",
    `context-{${curr_inner}:${curr_inner}}`,
    ...lockdep_print_held_locks(curr),
    "stack backtrace:",
    ...dumpStackLines(k),
  ]);
}

/**
 * Reports a lock that may sleep, with PREEMPT_RT at least, where nothing may: under a lock that spins even then, or in a
 * context that is none of a task even then. Returns whether it did.
 *
 * @mirrors kernel/locking/lockdep.c:check_wait_context
 * @simplified only with Config.rawLockNesting; Linux compares without it too, and might_sleep() says the same
 */
function check_wait_context(k: Kernel, curr: task_struct, next: held_lock, trylock: boolean): boolean {
  const { wait_type_inner, wait_type_outer } = (next.instance as lockdep_map).class_cache as lock_class;
  if (wait_type_inner === LD_WAIT_INV || trylock) return false;
  const next_outer = wait_type_outer === LD_WAIT_INV ? wait_type_inner : wait_type_outer;
  let curr_inner = task_wait_context(k);
  // What an interrupt interrupted does not count.
  for (let depth = curr.lockdep_depth - 1; depth >= 0; depth--) {
    const prev = curr.held_locks[depth];
    if (prev.irq_context !== next.irq_context) break;
    const prev_inner = (prev.instance?.class_cache as lock_class).wait_type_inner;
    // Not just the last: RCU in a stricter context does not loosen it.
    if (prev_inner !== LD_WAIT_INV) curr_inner = Math.min(curr_inner, prev_inner);
  }
  if (next_outer <= curr_inner) return false;
  print_lock_invalid_wait_context(k, curr, next);
  return true;
}

/** @mirrors kernel/locking/lockdep.c:print_unlock_imbalance_bug */
function print_unlock_imbalance_bug(k: Kernel, curr: task_struct, lock: lockdep_map): void {
  if (!debug_locks_off(k)) return;
  const title = "WARNING: bad unlock balance detected!";
  const at = new StackSnapshot().frames().find((f) => isNotHelper(f) && !RELEASES_A_LOCK.test(f.name));
  report(k, KERN_WARNING, title, [
    "",
    "=====================================",
    title,
    print_kernel_ident(),
    "-------------------------------------",
    `${curr.comm}/${curr.pid} is trying to release lock (${lock.name}) at:`,
    nameOf(at),
    "but there are no more locks to release!",
    "",
    "other info that might help us debug this:",
    ...lockdep_print_held_locks(curr),
    "",
    "stack backtrace:",
    ...dumpStackLines(k),
  ]);
}

/** Where `p` took the innermost hold of `lock`; null when it does not hold it or the place was not kept. @invented for verdicts */
export function placeOfHeldLock(p: task_struct, lock: lockdep_map): string | null {
  const held = p.held_locks.slice(0, p.lockdep_depth).findLast((hlock) => hlock.instance === lock);
  return held === undefined || held.acquire_ip === null ? null : placeOfAcquisition(held.acquire_ip.frames());
}

/** What releases a lock on behalf of somebody else. */
const RELEASES_A_LOCK =
  /^_*(raw_)?((spin|read|write|mutex)_unlock|up_(read|write)|rcu_(read_)?(unlock|lock)|lock_|print_)/;

/** Where in the stack `lock` is; -1 when it is not, or only in another context. @mirrors kernel/locking/lockdep.c:find_held_lock */
function find_held_lock(curr: task_struct, lock: lockdep_map): number {
  const { held_locks } = curr;
  for (let i = curr.lockdep_depth - 1; i >= 0; i--) {
    if (held_locks[i].instance === lock) return i;
    if (i > 0 && held_locks[i].irq_context !== held_locks[i - 1].irq_context) return -1;
  }
  return -1;
}

/**
 * Puts `lock` on the current task's stack of held locks. `read` is 0 to write, 1 to read, 2 to read recursively; without
 * `check` how it is used is not noted.
 *
 * Context: any. Called before the lock is had, so that who waits for it shows it too.
 *
 * @mirrors kernel/locking/lockdep.c:lock_acquire
 */
export function lock_acquire(
  k: Kernel,
  lock: lockdep_map,
  trylock: boolean,
  read: number,
  check: boolean,
): void {
  if (!debug_locks(k)) return;
  const { cpu } = k;
  const curr = cpu.current as task_struct;
  const depth = curr.lockdep_depth;
  if (depth >= MAX_LOCK_DEPTH) {
    DEBUG_LOCKS_WARN_ON(k, true, "depth >= MAX_LOCK_DEPTH");
    return;
  }
  const class_ = lock.class_cache ?? register_lock_class(k, lock);
  const count = cpu.preempt_count;
  const hlock = curr.held_locks[depth] ?? (curr.held_locks[depth] = new held_lock());
  hlock.instance = lock;
  hlock.read = read;
  hlock.irq_context = ((count & HARDIRQ_MASK) !== 0 ? 2 : 0) + ((count & SOFTIRQ_OFFSET) !== 0 ? 1 : 0);
  if (k.config.rawLockNesting && check_wait_context(k, curr, hlock, trylock)) return;
  if (check) mark_usage(k, class_, trylock, read);
  hlock.acquire_ip = class_.placesLeft > 0 ? keepPlace(k, class_) : null;
  curr.lockdep_depth = depth + 1;
  if (depth + 1 >= MAX_LOCK_DEPTH) depthTooLow(k, curr);
}

/** Frames between the place where a lock is taken and the capture, and a few to choose from. */
const PLACE_FRAMES = 12;

/** The place of this acquisition; boot's are not wanted. */
function keepPlace(k: Kernel, class_: lock_class): StackSnapshot | null {
  if (system_state(k) !== SYSTEM_RUNNING) return null;
  class_.placesLeft--;
  return new StackSnapshot(PLACE_FRAMES);
}

function depthTooLow(k: Kernel, curr: task_struct): void {
  debug_locks_off(k);
  const title = "BUG: MAX_LOCK_DEPTH too low!";
  report(k, KERN_DEBUG, title, [
    title,
    "turning off the locking correctness validator.",
    `depth: ${curr.lockdep_depth}  max: ${MAX_LOCK_DEPTH}!`,
    ...lockdep_print_held_locks(curr),
    ...dumpStackLines(k),
  ]);
}

/**
 * Takes `lock` off the current task's stack; reported when it is not there.
 *
 * Context: any. Called before the lock is given up.
 *
 * @mirrors kernel/locking/lockdep.c:lock_release
 */
export function lock_release(k: Kernel, lock: lockdep_map): void {
  if (!debug_locks(k)) return;
  const curr = k.cpu.current as task_struct;
  const last = curr.lockdep_depth - 1;
  if (last >= 0 && curr.held_locks[last].instance === lock) curr.lockdep_depth = last;
  else releaseInner(k, curr, lock);
}

/** The lock is not the one taken last: those above move down. */
function releaseInner(k: Kernel, curr: task_struct, lock: lockdep_map): void {
  const found = find_held_lock(curr, lock);
  if (found < 0) {
    print_unlock_imbalance_bug(k, curr, lock);
    return;
  }
  const { held_locks } = curr;
  const entry = held_locks[found];
  const last = --curr.lockdep_depth;
  for (let i = found; i < last; i++) held_locks[i] = held_locks[i + 1];
  held_locks[last] = entry;
}

/**
 * Whether the current task holds `lock`; `read` -1 in any way, else in that way.
 *
 * @mirrors kernel/locking/lockdep.c:lock_is_held_type
 */
export function lock_is_held_type(k: Kernel, lock: lockdep_map, read: number): boolean {
  const { held_locks, lockdep_depth } = k.cpu.current as task_struct;
  for (let i = 0; i < lockdep_depth; i++) {
    if (held_locks[i].instance === lock) return read === -1 || held_locks[i].read === read;
  }
  return false;
}

/** Whether the current task holds `lock`, in any way. @mirrors include/linux/lockdep.h:lock_is_held */
export function lock_is_held(k: Kernel, lock: lockdep_map): boolean {
  return lock_is_held_type(k, lock, -1);
}

/** How many locks `p` holds. @mirrors include/linux/lockdep.h:lockdep_depth */
export function lockdep_depth(k: Kernel, p: task_struct): number {
  return debug_locks(k) ? p.lockdep_depth : 0;
}

/**
 * Says that `lock` may be taken here, so that what is wrong with that is found whether it is or not. Nothing without
 * Config.rawLockNesting.
 *
 * @mirrors include/linux/lockdep.h:might_lock
 */
export function might_lock(k: Kernel, lock: { readonly dep_map: lockdep_map }): void {
  if (!k.config.rawLockNesting || !k.config.debug) return;
  lock_acquire(k, lock.dep_map, false, 0, true);
  lock_release(k, lock.dep_map);
}

/** The next hard interrupt is one until it says otherwise. @mirrors include/linux/irqflags.h:lockdep_hardirq_enter */
export function lockdep_hardirq_enter(k: Kernel): void {
  this_cpu_ptr(k, hardirqContext).threaded = false;
}

/** The handler of an interrupt begins that would be a thread. @mirrors include/linux/irqflags.h:lockdep_hardirq_threaded */
export function lockdep_hardirq_threaded(k: Kernel): void {
  this_cpu_ptr(k, hardirqContext).threaded = true;
}

/**
 * The callback of a timer begins, which would be in a softirq unless the timer is for hard interrupts. Returns whether it is.
 *
 * @mirrors include/linux/irqflags.h:lockdep_hrtimer_enter
 */
export function lockdep_hrtimer_enter(k: Kernel, timer: { readonly is_hard: boolean }): boolean {
  if (!timer.is_hard) this_cpu_ptr(k, hardirqContext).config = true;
  return timer.is_hard;
}

/** @mirrors include/linux/irqflags.h:lockdep_hrtimer_exit */
export function lockdep_hrtimer_exit(k: Kernel, expires_in_hardirq: boolean): void {
  if (!expires_in_hardirq) this_cpu_ptr(k, hardirqContext).config = false;
}

/** @mirrors kernel/locking/lockdep.c:print_held_locks_bug */
function print_held_locks_bug(k: Kernel, curr: task_struct): void {
  if (!debug_locks_off(k)) return;
  const title = `WARNING: ${curr.comm}/${curr.pid} still has locks held!`;
  report(k, KERN_WARNING, title, [
    "",
    "====================================",
    title,
    print_kernel_ident(),
    "------------------------------------",
    ...lockdep_print_held_locks(curr),
    "",
    "stack backtrace:",
    ...dumpStackLines(k),
  ]);
}

/** Reports locks that a dying task still holds. @mirrors kernel/locking/lockdep.c:debug_check_no_locks_held */
export function debug_check_no_locks_held(k: Kernel): void {
  const curr = k.cpu.current as task_struct;
  if (curr.lockdep_depth > 0) print_held_locks_bug(k, curr);
}

/** The locks that `task` holds, for a report about something else. @mirrors kernel/locking/lockdep.c:debug_show_held_locks */
export function debug_show_held_locks(k: Kernel, task: task_struct): string[] {
  if (!k.config.debug) return [];
  return debug_locks(k) ? lockdep_print_held_locks(task) : ["INFO: lockdep is turned off."];
}

/** Reports locks that a task takes along to user mode. @mirrors kernel/locking/lockdep.c:lockdep_sys_exit */
export function lockdep_sys_exit(k: Kernel): void {
  const curr = k.cpu.current as task_struct;
  if (curr.lockdep_depth === 0 || !debug_locks_off(k)) return;
  const title = "WARNING: lock held when returning to user space!";
  report(k, KERN_WARNING, title, [
    "",
    "================================================",
    title,
    print_kernel_ident(),
    "------------------------------------------------",
    `${curr.comm}/${curr.pid} is leaving the kernel with locks still held!`,
    ...lockdep_print_held_locks(curr),
  ]);
}
