// SPDX-License-Identifier: GPL-2.0-only
// The kernel log as dmesg prints it: `[    0.012345] text`.
//
// Ours; the format is that of kernel/printk/printk.c:print_time. Lines are the console events of the event log, so the
// oldest are gone when the log has wrapped. This file loads nothing of the kernel.

import { type Row, row } from "../command.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";

/** One line with its time stamp. */
export function dmesgLine(ns: number, text: string): string {
  return `[${seconds(ns)}] ${text}`;
}

/** The lines of console events. */
export function* dmesgLines(
  records: Iterable<EventRecord>,
  consoleEvent: number,
  textOf: (id: number) => string,
): Generator<Row, void, void> {
  for (const { kind, ns, seq, args } of records) {
    if (kind !== consoleEvent) continue;
    const text = textOf(args[0]);
    yield row("dmesg", { ns, event: seq, text }, dmesgLine(ns, text));
  }
}

/** `    0.012345`: seconds and microseconds, as the kernel prints times. */
export function seconds(ns: number): string {
  const us = Math.floor(ns / 1000);
  return `${String(Math.floor(us / 1e6)).padStart(5)}.${String(us % 1e6).padStart(6, "0")}`;
}
