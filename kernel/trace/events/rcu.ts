// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/rcu.h: RCU's events, with the names of the series (kvfree instead of kfree).
 *
 * Those of tree RCU come with it.
 *
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import { p, SYSTEM, type TraceEvent } from "../trace_event.ts";

const UTILIZATION = SYSTEM.rcu * 256 + 1;
const CALLBACK = SYSTEM.rcu * 256 + 2;
const KVFREE_CALLBACK = SYSTEM.rcu * 256 + 3;
const INVOKE_CALLBACK = SYSTEM.rcu * 256 + 4;
const INVOKE_KVFREE_CALLBACK = SYSTEM.rcu * 256 + 5;
const INVOKE_KFREE_BULK_CALLBACK = SYSTEM.rcu * 256 + 6;

export const events: readonly TraceEvent[] = [
  {
    id: UTILIZATION,
    system: "rcu",
    name: "rcu_utilization",
    fields: ["s"],
    print: (v, { args: a }) => v.text(a[0]),
  },
  {
    id: CALLBACK,
    system: "rcu",
    name: "rcu_callback",
    fields: ["rcuname", "rhp", "func", "qlen"],
    print: (v, { args: a }) => `${v.text(a[0])} rhp=${p(a[1])} func=${v.symbol(a[2])} ${a[3]}`,
  },
  {
    id: KVFREE_CALLBACK,
    system: "rcu",
    name: "rcu_kvfree_callback",
    fields: ["rcuname", "rhp", "offset", "qlen"],
    print: (v, { args: a }) => `${v.text(a[0])} rhp=${p(a[1])} func=${a[2]} ${a[3]}`,
  },
  {
    id: INVOKE_CALLBACK,
    system: "rcu",
    name: "rcu_invoke_callback",
    fields: ["rcuname", "rhp", "func"],
    print: (v, { args: a }) => `${v.text(a[0])} rhp=${p(a[1])} func=${v.symbol(a[2])}`,
  },
  {
    id: INVOKE_KVFREE_CALLBACK,
    system: "rcu",
    name: "rcu_invoke_kvfree_callback",
    fields: ["rcuname", "rhp", "offset"],
    print: (v, { args: a }) => `${v.text(a[0])} rhp=${p(a[1])} func=${a[2]}`,
  },
  {
    id: INVOKE_KFREE_BULK_CALLBACK,
    system: "rcu",
    name: "rcu_invoke_kfree_bulk_callback",
    fields: ["rcuname", "nr_records", "p"],
    print: (v, { args: a }) => `${v.text(a[0])} bulk=0x${p(a[2])} nr_records=${a[1]}`,
  },
];

export function trace_rcu_utilization(m: Machine, s: string): void {
  m.emit(UTILIZATION, m.log.intern(s));
}

export function trace_rcu_callback(
  m: Machine,
  rcuname: string,
  rhp: number,
  func: number,
  qlen: number,
): void {
  m.emit(CALLBACK, m.log.intern(rcuname), rhp, func, qlen);
}

export function trace_rcu_kvfree_callback(
  m: Machine,
  rcuname: string,
  rhp: number,
  offset: number,
  qlen: number,
): void {
  m.emit(KVFREE_CALLBACK, m.log.intern(rcuname), rhp, offset, qlen);
}

export function trace_rcu_invoke_callback(m: Machine, rcuname: string, rhp: number, func: number): void {
  m.emit(INVOKE_CALLBACK, m.log.intern(rcuname), rhp, func);
}

export function trace_rcu_invoke_kvfree_callback(
  m: Machine,
  rcuname: string,
  rhp: number,
  offset: number,
): void {
  m.emit(INVOKE_KVFREE_CALLBACK, m.log.intern(rcuname), rhp, offset);
}

export function trace_rcu_invoke_kfree_bulk_callback(
  m: Machine,
  rcuname: string,
  nr_records: number,
  records: number,
): void {
  m.emit(INVOKE_KFREE_BULK_CALLBACK, m.log.intern(rcuname), nr_records, records);
}
