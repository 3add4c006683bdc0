// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/printk.h: the console event. dmesg is rendered from it.
 *
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import { SYSTEM, type TraceEvent } from "../trace_event.ts";

const CONSOLE = SYSTEM.printk * 256 + 1;

export const events: readonly TraceEvent[] = [
  {
    id: CONSOLE,
    system: "printk",
    name: "console",
    fields: ["msg", "level"],
    print: (view, r) => view.text(r.args[0]),
  },
];

/** One line of the kernel log. @mirrors include/trace/events/printk.h:console */
export function trace_console(m: Machine, text: string, level: number): void {
  m.emit(CONSOLE, m.log.intern(text), level);
}

/** Id of the console event, for dmesg. */
export const CONSOLE_EVENT: number = CONSOLE;
