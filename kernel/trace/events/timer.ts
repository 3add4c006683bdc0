// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/timer.h: timers of the wheel, and those of nanosecond resolution.
 *
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import { p, SYSTEM, type TraceEvent } from "../trace_event.ts";

const INIT = SYSTEM.timer * 256 + 1;
const START = SYSTEM.timer * 256 + 2;
const EXPIRE_ENTRY = SYSTEM.timer * 256 + 3;
const EXPIRE_EXIT = SYSTEM.timer * 256 + 4;
const CANCEL = SYSTEM.timer * 256 + 5;
const HRTIMER_INIT = SYSTEM.timer * 256 + 6;
const HRTIMER_START = SYSTEM.timer * 256 + 7;
const HRTIMER_EXPIRE_ENTRY = SYSTEM.timer * 256 + 8;
const HRTIMER_EXPIRE_EXIT = SYSTEM.timer * 256 + 9;
const HRTIMER_CANCEL = SYSTEM.timer * 256 + 10;

/** jiffies as %lu prints it on a 64-bit kernel, where it starts at 2^32 - 300 HZ. */
function lu(jiffies: number): string {
  return String(jiffies + 2 ** 32);
}

/** Bits of timer_list.flags that are shown, and their letters. */
const FLAGS: readonly (readonly [number, string])[] = [
  [0x0004_0000, "M"],
  [0x0008_0000, "D"],
  [0x0010_0000, "P"],
  [0x0020_0000, "I"],
];
const CPUMASK = 0x0003_ffff;
const ARRAYSHIFT = 22;

function decode_timer_flags(flags: number): string {
  return FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, letter]) => letter).join("|");
}

/** What is shown of an hrtimer_mode, by number. */
const HRTIMER_MODES: Readonly<Record<number, string>> = {
  0x00: "ABS",
  0x01: "REL",
  0x02: "ABS|PINNED",
  0x03: "REL|PINNED",
  0x08: "ABS|HARD",
  0x09: "REL|HARD",
  0x0a: "ABS|PINNED|HARD",
  0x0b: "REL|PINNED|HARD",
};

/** __print_symbolic(): the number itself where it has no name. */
function decode_hrtimer_mode(mode: number): string {
  return HRTIMER_MODES[mode] ?? "0x" + mode.toString(16);
}

function decode_clockid(clockid: number): string {
  return clockid === 1 ? "CLOCK_MONOTONIC" : "0x" + clockid.toString(16);
}

export const events: readonly TraceEvent[] = [
  timerClass(INIT, "timer_init"),
  {
    id: START,
    system: "timer",
    name: "timer_start",
    fields: ["timer", "function", "expires", "now", "flags"],
    print: (v, { args: [timer, fn, expires, now, flags] }) =>
      `timer=${p(timer)} function=${v.symbol(fn)} expires=${lu(expires)} [timeout=${expires - now}] ` +
      `cpu=${flags & CPUMASK} idx=${flags >>> ARRAYSHIFT} flags=${decode_timer_flags(flags)}`,
  },
  {
    id: EXPIRE_ENTRY,
    system: "timer",
    name: "timer_expire_entry",
    fields: ["timer", "now", "function", "baseclk"],
    print: (v, { args: [timer, now, fn, baseclk] }) =>
      `timer=${p(timer)} function=${v.symbol(fn)} now=${lu(now)} baseclk=${lu(baseclk)}`,
  },
  timerClass(EXPIRE_EXIT, "timer_expire_exit"),
  timerClass(CANCEL, "timer_cancel"),
  {
    id: HRTIMER_INIT,
    system: "timer",
    name: "hrtimer_init",
    fields: ["hrtimer", "clockid", "mode"],
    print: (_v, { args: [hrtimer, clockid, mode] }) =>
      `hrtimer=${p(hrtimer)} clockid=${decode_clockid(clockid)} mode=${decode_hrtimer_mode(mode)}`,
  },
  {
    id: HRTIMER_START,
    system: "timer",
    name: "hrtimer_start",
    fields: ["hrtimer", "function", "expires", "softexpires", "mode"],
    print: (v, { args: [hrtimer, fn, expires, softexpires, mode] }) =>
      `hrtimer=${p(hrtimer)} function=${v.symbol(fn)} expires=${expires} softexpires=${softexpires} ` +
      `mode=${decode_hrtimer_mode(mode)}`,
  },
  {
    id: HRTIMER_EXPIRE_ENTRY,
    system: "timer",
    name: "hrtimer_expire_entry",
    fields: ["hrtimer", "now", "function"],
    print: (v, { args: [hrtimer, now, fn] }) => `hrtimer=${p(hrtimer)} function=${v.symbol(fn)} now=${now}`,
  },
  hrtimerClass(HRTIMER_EXPIRE_EXIT, "hrtimer_expire_exit"),
  hrtimerClass(HRTIMER_CANCEL, "hrtimer_cancel"),
];

function timerClass(id: number, name: string): TraceEvent {
  return { id, system: "timer", name, fields: ["timer"], print: (_v, { args: a }) => `timer=${p(a[0])}` };
}

function hrtimerClass(id: number, name: string): TraceEvent {
  return { id, system: "timer", name, fields: ["hrtimer"], print: (_v, { args: a }) => `hrtimer=${p(a[0])}` };
}

export function trace_timer_init(m: Machine, timer: number): void {
  m.emit(INIT, timer);
}

export function trace_timer_start(
  m: Machine,
  timer: number,
  fn: number,
  expires: number,
  now: number,
  flags: number,
): void {
  m.emit(START, timer, fn, expires, now, flags);
}

export function trace_timer_expire_entry(
  m: Machine,
  timer: number,
  now: number,
  fn: number,
  baseclk: number,
): void {
  m.emit(EXPIRE_ENTRY, timer, now, fn, baseclk);
}

export function trace_timer_expire_exit(m: Machine, timer: number): void {
  m.emit(EXPIRE_EXIT, timer);
}

export function trace_timer_cancel(m: Machine, timer: number): void {
  m.emit(CANCEL, timer);
}

export function trace_hrtimer_init(m: Machine, hrtimer: number, clockid: number, mode: number): void {
  m.emit(HRTIMER_INIT, hrtimer, clockid, mode);
}

export function trace_hrtimer_start(
  m: Machine,
  hrtimer: number,
  fn: number,
  expires: number,
  softexpires: number,
  mode: number,
): void {
  m.emit(HRTIMER_START, hrtimer, fn, expires, softexpires, mode);
}

export function trace_hrtimer_expire_entry(m: Machine, hrtimer: number, now: number, fn: number): void {
  m.emit(HRTIMER_EXPIRE_ENTRY, hrtimer, now, fn);
}

export function trace_hrtimer_expire_exit(m: Machine, hrtimer: number): void {
  m.emit(HRTIMER_EXPIRE_EXIT, hrtimer);
}

export function trace_hrtimer_cancel(m: Machine, hrtimer: number): void {
  m.emit(HRTIMER_CANCEL, hrtimer);
}

export const TIMER_START_EVENT: number = START;
export const TIMER_EXPIRE_ENTRY_EVENT: number = EXPIRE_ENTRY;
