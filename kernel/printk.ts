// SPDX-License-Identifier: GPL-2.0-only
/**
 * The kernel log. Mirrors the part of kernel/printk/printk.c and lib/dump_stack.c (v5.7) that ends in dmesg.
 *
 * A line is an event; dmesg renders events. Reports (several lines that belong together) are also kept on the kernel.
 *
 * @module
 */

import { trace_console } from "./trace/events/printk.ts";
import type { Kernel } from "./kernel.ts";
import { frameName } from "./module_list.ts";
import { callTrace } from "./stacktrace.ts";

export const KERN_EMERG = 0;
export const KERN_ALERT = 1;
export const KERN_CRIT = 2;
export const KERN_ERR = 3;
export const KERN_WARNING = 4;
export const KERN_NOTICE = 5;
export const KERN_INFO = 6;
export const KERN_DEBUG = 7;
export const KERN_DEFAULT = KERN_WARNING;

/** What utsname says in reports. */
export const UTS_RELEASE = "5.7.0-quiesce";

/**
 * Writes lines to the kernel log.
 *
 * Context: any.
 *
 * @mirrors kernel/printk/printk.c:printk
 */
export function printk(k: Kernel, level: number, text: string): void {
  for (const line of text.split("\n")) trace_console(k, line, level);
}

/** @mirrors include/linux/printk.h:pr_err */
export function pr_err(k: Kernel, text: string): void {
  printk(k, KERN_ERR, text);
}

/** @mirrors include/linux/printk.h:pr_warn */
export function pr_warn(k: Kernel, text: string): void {
  printk(k, KERN_WARNING, text);
}

/** @mirrors include/linux/printk.h:pr_notice */
export function pr_notice(k: Kernel, text: string): void {
  printk(k, KERN_NOTICE, text);
}

/** @mirrors include/linux/printk.h:pr_info */
export function pr_info(k: Kernel, text: string): void {
  printk(k, KERN_INFO, text);
}

/**
 * The lines of dump_stack(): who runs where, and the call trace.
 *
 * @mirrors lib/dump_stack.c:dump_stack_print_info
 */
export function dumpStackLines(k: Kernel): string[] {
  const task = k.cpu.current;
  return [
    `CPU: ${k.cpu.id} PID: ${task.pid} Comm: ${task.comm.slice(0, 20)} Not tainted ${UTS_RELEASE} #1`,
    "Call Trace:",
    ...callTrace().map((name) => ` ${frameName(k, name)}`),
  ];
}

/**
 * Writes a report: its lines go to the log together, and the report is kept for the run's verdict.
 *
 * @invented the verdict of a run needs reports as data
 */
export function report(k: Kernel, level: number, title: string, lines: readonly string[]): void {
  for (const line of lines) printk(k, level, line);
  k.reports.push({ title, lines, seq: k.seq, ns: k.now() });
}
