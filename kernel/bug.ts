// SPDX-License-Identifier: GPL-2.0-only
/**
 * WARN, BUG, oops and panic. Mirrors include/asm-generic/bug.h, kernel/panic.c and the x86 oops path (v5.7).
 *
 * WARN reports and goes on. BUG and a fault unwind the context they happen in: a task is killed, an interrupt handler
 * takes the machine down. Panic stops the machine.
 *
 * @module
 */

import { formatAddr } from "./machine/addr.ts";
import type { Kernel } from "./kernel.ts";
import { print_modules } from "./module_list.ts";
import { dumpStackLines, KERN_ALERT, KERN_EMERG, KERN_WARNING, report } from "./printk.ts";
import { callTrace } from "./stacktrace.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "./static.ts";

/** Thrown to unwind a context after an oops; the engine hands it to the fault vector. @invented unwinding */
export class KernelOops extends Error {
  override readonly name: string = "KernelOops";
}

/** Places that have warned once, by key. */
const warned = KERNEL_STATIC("__warned", () => new Set<string>());
/** Set by panic(): the machine does not run any more. */
export const panicked: ReturnType<typeof KERNEL_STATIC<string | null>> = KERNEL_STATIC<string | null>(
  "panic_on_oops",
  () => null,
);

/** Whether lock debugging still speaks: it stops after its first report. @mirrors lib/debug_locks.c:debug_locks */
export const debug_locks: KernelStatic<boolean> = KERNEL_STATIC<boolean>("debug_locks", () => true);

export const statics: readonly StaticKey[] = [warned, panicked, debug_locks];

/** Turns lock debugging off. Returns whether it was on. @mirrors lib/debug_locks.c:debug_locks_off */
export function debug_locks_off(k: Kernel): boolean {
  const was = debug_locks(k);
  debug_locks.set(k, false);
  return was;
}

/** WARN() about locks and preempt counts; only the first of a boot speaks. @mirrors include/linux/debug_locks.h:DEBUG_LOCKS_WARN_ON */
export function DEBUG_LOCKS_WARN_ON(k: Kernel, condition: boolean, what: string): boolean {
  if (condition && debug_locks_off(k)) __warn(k, `DEBUG_LOCKS_WARN_ON(${what})`);
  return condition;
}

/**
 * WARN_ON() that reports the first time only; `where` names the place (one function may have several).
 *
 * @mirrors include/asm-generic/bug.h:WARN_ON_ONCE
 */
export function WARN_ON_ONCE(k: Kernel, condition: boolean, where = ""): boolean {
  return WARN_ONCE(k, condition, "", where);
}

/**
 * Reports a broken expectation with the call trace and goes on. Returns `condition`.
 *
 * Context: any.
 *
 * @mirrors include/asm-generic/bug.h:WARN_ON
 */
export function WARN_ON(k: Kernel, condition: boolean): boolean {
  if (condition) __warn(k, "");
  return condition;
}

/** @mirrors include/asm-generic/bug.h:WARN */
export function WARN(k: Kernel, condition: boolean, text: string): boolean {
  if (condition) __warn(k, text);
  return condition;
}

/** @mirrors include/asm-generic/bug.h:WARN_ONCE */
export function WARN_ONCE(k: Kernel, condition: boolean, text: string, where = ""): boolean {
  if (!condition) return false;
  const key = `${callTrace()[0] ?? ""}:${where}`;
  if (warned(k).has(key)) return true;
  warned(k).add(key);
  __warn(k, text);
  return true;
}

/** Whether this is the first time that `where` asks; the _once forms of printing. @invented `static bool __warned` */
export function firstTime(k: Kernel, where: string): boolean {
  if (warned(k).has(where)) return false;
  warned(k).add(where);
  return true;
}

/**
 * Stops the current context: the kernel cannot go on here.
 *
 * @mirrors include/asm-generic/bug.h:BUG
 */
export function BUG(k: Kernel, text = ""): never {
  const at = callTrace()[0] ?? "?";
  const title = `kernel BUG at ${at}!`;
  report(k, KERN_EMERG, title, [
    "------------[ cut here ]------------",
    ...(text === "" ? [] : [text]),
    title,
    "invalid opcode: 0000 [#1]",
    ...dumpStackLines(k),
    "---[ end trace 0000000000000000 ]---",
  ]);
  throw new KernelOops(title);
}

/** @mirrors include/asm-generic/bug.h:BUG_ON */
export function BUG_ON(k: Kernel, condition: boolean): void {
  if (condition) BUG(k);
}

/**
 * Stops the machine. Nothing runs afterwards.
 *
 * @mirrors kernel/panic.c:panic
 */
export function panic(k: Kernel, text: string): never {
  const title = `Kernel panic - not syncing: ${text}`;
  report(k, KERN_EMERG, title, [title, ...dumpStackLines(k), `---[ end ${title} ]---`]);
  panicked.set(k, text);
  for (const cpu of k.cpus) cpu.online = false;
  k.requestStop("stop");
  throw new KernelOops(title);
}

/** A warning with its frame; `title` is what the report is known by. @mirrors kernel/panic.c:__warn */
export function __warn(k: Kernel, text: string, title?: string): void {
  const at = callTrace()[0] ?? "?";
  const warning = `WARNING: CPU: ${k.cpu.id} PID: ${k.cpu.current.pid} at ${at}`;
  report(k, KERN_WARNING, title ?? warning, [
    "------------[ cut here ]------------",
    ...(text === "" ? [] : [text]),
    warning,
    print_modules(k),
    ...dumpStackLines(k),
    "---[ end trace 0000000000000000 ]---",
  ]);
}

/** Bits of a page fault's error code: what was tried. */
const X86_PF_WRITE = 1 << 1;
const X86_PF_INSTR = 1 << 4;

/**
 * A kernel access to an address that is not mapped: an oops. With `instr` the CPU was to execute what is there.
 *
 * @mirrors arch/x86/mm/fault.c:no_context
 * @simplified no registers and no page tables are shown; RIP only where it is what is wrong
 */
export function page_fault_oops(k: Kernel, addr: number, write: boolean, instr = false): never {
  const canonical = addr < 2 ** 48;
  const what = instr ? "instruction fetch" : write ? "write access" : "read access";
  const error_code = hex4((write ? X86_PF_WRITE : 0) | (instr ? X86_PF_INSTR : 0));
  const title = addr < 4096
    ? `BUG: kernel NULL pointer dereference, address: ${formatAddr(addr)}`
    : canonical
    ? `BUG: unable to handle page fault for address: ${formatAddr(addr)}`
    : `general protection fault, probably for non-canonical address 0x${formatAddr(addr)}: 0000 [#1]`;
  const [who, ...trace] = dumpStackLines(k);
  report(k, KERN_ALERT, title, [
    title,
    ...(canonical
      ? [
        `#PF: supervisor ${what} in kernel mode`,
        `#PF: error_code(0x${error_code}) - not-present page`,
        `Oops: ${error_code} [#1]`,
      ]
      : []),
    who,
    ...(instr ? [`RIP: 0010:0x${formatAddr(addr)}`, "Code: Bad RIP value."] : []),
    ...trace,
    ...(instr ? [print_modules(k), `CR2: ${formatAddr(addr)}`] : []),
    "---[ end trace 0000000000000000 ]---",
  ]);
  throw new KernelOops(title);
}

/** As %04lx prints it. */
function hex4(value: number): string {
  return value.toString(16).padStart(4, "0");
}
