// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/rcu.h: RCU's events, with the names of the series (kvfree instead of kfree).
 *
 * Sequence numbers print signed. A mask is recorded as its value, or, when that is not exact in a double, as the
 * negative number of its text. Left out: expedited grace periods, callback offloading, torture.
 *
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import type { Ulong64 } from "../../machine/ulong64.ts";
import { p, SYSTEM, type TraceEvent, type TraceView } from "../trace_event.ts";

const UTILIZATION = SYSTEM.rcu * 256 + 1;
const CALLBACK = SYSTEM.rcu * 256 + 2;
const KVFREE_CALLBACK = SYSTEM.rcu * 256 + 3;
const INVOKE_CALLBACK = SYSTEM.rcu * 256 + 4;
const INVOKE_KVFREE_CALLBACK = SYSTEM.rcu * 256 + 5;
const INVOKE_KFREE_BULK_CALLBACK = SYSTEM.rcu * 256 + 6;
const GRACE_PERIOD = SYSTEM.rcu * 256 + 7;
const FUTURE_GRACE_PERIOD = SYSTEM.rcu * 256 + 8;
const GRACE_PERIOD_INIT = SYSTEM.rcu * 256 + 9;
const QUIESCENT_STATE_REPORT = SYSTEM.rcu * 256 + 10;
const FQS = SYSTEM.rcu * 256 + 11;
const DYNTICK = SYSTEM.rcu * 256 + 12;
const BATCH_START = SYSTEM.rcu * 256 + 13;
const BATCH_END = SYSTEM.rcu * 256 + 14;
const BARRIER = SYSTEM.rcu * 256 + 15;
const PREEMPT_TASK = SYSTEM.rcu * 256 + 16;
const UNLOCK_PREEMPTED_TASK = SYSTEM.rcu * 256 + 17;

/** Largest nesting count that is not the mark of a running task; see DYNTICK_IRQ_NONIDLE. */
const MAX_NESTING = 2 ** 51;

/** A nesting count as %lx prints it: the mark of a running task is LONG_MAX / 2 + 1 in C, 2^52 here. */
function nesting(count: number): string {
  if (count < MAX_NESTING) return count.toString(16);
  return (BigInt(count) - 2n ** 52n + 2n ** 62n).toString(16);
}

/** A mask as an argument of a record. */
function maskArg(m: Machine, mask: Ulong64): number {
  const value = mask.toNumber();
  return value <= Number.MAX_SAFE_INTEGER ? value : -m.log.intern(mask.toString());
}

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
  {
    id: GRACE_PERIOD,
    system: "rcu",
    name: "rcu_grace_period",
    fields: ["rcuname", "gp_seq", "gpevent"],
    print: (v, { args: a }) => `${v.text(a[0])} ${a[1]} ${v.text(a[2])}`,
  },
  {
    id: FUTURE_GRACE_PERIOD,
    system: "rcu",
    name: "rcu_future_grace_period",
    fields: ["rcuname", "gp_seq", "gp_seq_req", "level", "grplo", "grphi", "gpevent"],
    print: (v, { args: a }) => `${v.text(a[0])} ${a[1]} ${a[2]} ${a[3]} ${a[4]} ${a[5]} ${v.text(a[6])}`,
  },
  {
    id: GRACE_PERIOD_INIT,
    system: "rcu",
    name: "rcu_grace_period_init",
    fields: ["rcuname", "gp_seq", "level", "grplo", "grphi", "qsmask"],
    print: (v, { args: a }) => `${v.text(a[0])} ${a[1]} ${a[2]} ${a[3]} ${a[4]} ${maskText(v, a[5])}`,
  },
  {
    id: QUIESCENT_STATE_REPORT,
    system: "rcu",
    name: "rcu_quiescent_state_report",
    fields: ["rcuname", "gp_seq", "mask", "qsmask", "level", "grplo", "grphi", "gp_tasks"],
    print: (v, { args: a }) =>
      `${v.text(a[0])} ${a[1]} ${maskText(v, a[2])}>${maskText(v, a[3])} ${a[4]} ${a[5]} ${a[6]} ${a[7]}`,
  },
  {
    id: FQS,
    system: "rcu",
    name: "rcu_fqs",
    fields: ["rcuname", "gp_seq", "cpu", "qsevent"],
    print: (v, { args: a }) => `${v.text(a[0])} ${a[1]} ${a[2]} ${v.text(a[3])}`,
  },
  {
    id: DYNTICK,
    system: "rcu",
    name: "rcu_dyntick",
    fields: ["polarity", "oldnesting", "newnesting", "dynticks"],
    print: (v, { args: a }) =>
      `${v.text(a[0])} ${nesting(a[1])} ${nesting(a[2])} 0x${(a[3] % 4096).toString(16)}`,
  },
  {
    id: BATCH_START,
    system: "rcu",
    name: "rcu_batch_start",
    fields: ["rcuname", "qlen", "blimit"],
    print: (v, { args: a }) => `${v.text(a[0])} CBs=${a[1]} bl=${a[2]}`,
  },
  {
    id: BATCH_END,
    system: "rcu",
    name: "rcu_batch_end",
    fields: ["rcuname", "callbacks_invoked", "cb", "nr", "iit", "risk"],
    print: (v, { args: a }) => {
      const flags = ["C", "S", "I", "R"].map((letter, i) => a[2 + i] === 0 ? "." : letter);
      return `${v.text(a[0])} CBs-invoked=${a[1]} idle=${flags.join("")}`;
    },
  },
  {
    id: BARRIER,
    system: "rcu",
    name: "rcu_barrier",
    fields: ["rcuname", "s", "cpu", "cnt", "done"],
    print: (v, { args: a }) => `${v.text(a[0])} ${v.text(a[1])} cpu ${a[2]} remaining ${a[3]} # ${a[4]}`,
  },
  {
    id: PREEMPT_TASK,
    system: "rcu",
    name: "rcu_preempt_task",
    fields: ["rcuname", "gp_seq", "pid"],
    print: (v, { args: a }) => `${v.text(a[0])} ${a[1]} ${a[2]}`,
  },
  {
    id: UNLOCK_PREEMPTED_TASK,
    system: "rcu",
    name: "rcu_unlock_preempted_task",
    fields: ["rcuname", "gp_seq", "pid"],
    print: (v, { args: a }) => `${v.text(a[0])} ${a[1]} ${a[2]}`,
  },
];

/** A recorded mask as %lx prints it. */
function maskText(v: TraceView, mask: number): string {
  return mask < 0 ? v.text(-mask) : mask.toString(16);
}

export function trace_rcu_utilization(m: Machine, s: string): void {
  m.emit(UTILIZATION, m.log.intern(s));
}

/** What a grace period, or a CPU's view of it, has come to: start, cpustart, cpuqs, fqswait, cpuend, end and so on. */
export function trace_rcu_grace_period(m: Machine, rcuname: string, gp_seq: number, gpevent: string): void {
  m.emit(GRACE_PERIOD, m.log.intern(rcuname), gp_seq, m.log.intern(gpevent));
}

/** What became of a request for grace period `gp_seq_req` at one rcu_node. */
export function trace_rcu_future_grace_period(
  m: Machine,
  rcuname: string,
  gp_seq: number,
  gp_seq_req: number,
  level: number,
  grplo: number,
  grphi: number,
  gpevent: string,
): void {
  const { log } = m;
  m.emit(
    FUTURE_GRACE_PERIOD,
    log.intern(rcuname),
    gp_seq,
    gp_seq_req,
    level,
    grplo,
    grphi,
    log.intern(gpevent),
  );
}

/** A grace period has reached an rcu_node, which waits for `qsmask`. */
export function trace_rcu_grace_period_init(
  m: Machine,
  rcuname: string,
  gp_seq: number,
  level: number,
  grplo: number,
  grphi: number,
  qsmask: Ulong64,
): void {
  m.emit(GRACE_PERIOD_INIT, m.log.intern(rcuname), gp_seq, level, grplo, grphi, maskArg(m, qsmask));
}

/** A reader is switched away; grace period `gp_seq` is the first that waits for it. */
export function trace_rcu_preempt_task(m: Machine, rcuname: string, pid: number, gp_seq: number): void {
  m.emit(PREEMPT_TASK, m.log.intern(rcuname), gp_seq, pid);
}

/** A reader that was switched away has ended; or, with a name of its own, a grace period starts that waits for it. */
export function trace_rcu_unlock_preempted_task(
  m: Machine,
  rcuname: string,
  gp_seq: number,
  pid: number,
): void {
  m.emit(UNLOCK_PREEMPTED_TASK, m.log.intern(rcuname), gp_seq, pid);
}

/** `mask` has reported to an rcu_node, which still waits for `qsmask`. */
export function trace_rcu_quiescent_state_report(
  m: Machine,
  rcuname: string,
  gp_seq: number,
  mask: Ulong64,
  qsmask: Ulong64,
  level: number,
  grplo: number,
  grphi: number,
  gp_tasks: boolean,
): void {
  m.emit(
    QUIESCENT_STATE_REPORT,
    m.log.intern(rcuname),
    gp_seq,
    maskArg(m, mask),
    maskArg(m, qsmask),
    level,
    grplo,
    grphi,
    gp_tasks ? 1 : 0,
  );
}

/** The grace-period thread found CPU `cpu` quiescent. */
export function trace_rcu_fqs(
  m: Machine,
  rcuname: string,
  gp_seq: number,
  cpu: number,
  qsevent: string,
): void {
  m.emit(FQS, m.log.intern(rcuname), gp_seq, cpu, m.log.intern(qsevent));
}

/** A CPU enters or leaves idle, or an interrupt does. */
export function trace_rcu_dyntick(
  m: Machine,
  polarity: string,
  oldnesting: number,
  newnesting: number,
  dynticks: number,
): void {
  m.emit(DYNTICK, m.log.intern(polarity), oldnesting, newnesting, dynticks);
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

/** A CPU begins to invoke callbacks: `qlen` are queued, about `blimit` may run. */
export function trace_rcu_batch_start(m: Machine, rcuname: string, qlen: number, blimit: number): void {
  m.emit(BATCH_START, m.log.intern(rcuname), qlen, blimit);
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

/** It ends: callbacks left, reschedule wanted, in the idle task, in an rcuc thread. */
export function trace_rcu_batch_end(
  m: Machine,
  rcuname: string,
  callbacks_invoked: number,
  cb: boolean,
  nr: boolean,
  iit: boolean,
  risk: boolean,
): void {
  m.emit(
    BATCH_END,
    m.log.intern(rcuname),
    callbacks_invoked,
    cb ? 1 : 0,
    nr ? 1 : 0,
    iit ? 1 : 0,
    risk ? 1 : 0,
  );
}

/** A step of rcu_barrier(); `cpu` is -1 where it is about none. */
export function trace_rcu_barrier(
  m: Machine,
  rcuname: string,
  s: string,
  cpu: number,
  cnt: number,
  done: number,
): void {
  m.emit(BARRIER, m.log.intern(rcuname), m.log.intern(s), cpu, cnt, done);
}
