// SPDX-License-Identifier: GPL-2.0-only
// Tasks and run queues, in the columns of crash's ps and runq.
//
// Ours. Left out: columns that mean nothing here (parent, memory of a process). Invariant: pure functions; what a task
// waits for is what the kernel noted for humans when it went to sleep.

import { tasklist } from "../../kernel/fork.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { type Fields, heading, type Row, row } from "../command.ts";
import { formatAddr, NULL } from "../../kernel/machine/addr.ts";
import {
  cpu_rq,
  is_idle_task,
  TASK_DEAD,
  TASK_IDLE,
  TASK_INTERRUPTIBLE,
  TASK_KILLABLE,
  TASK_NEW,
  TASK_PARKED,
  TASK_RUNNING,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
} from "../../kernel/sched/sched.ts";

/** States in crash's two letters. */
const STATES: Readonly<Record<number, string>> = {
  [TASK_RUNNING]: "RU",
  [TASK_INTERRUPTIBLE]: "IN",
  [TASK_UNINTERRUPTIBLE]: "UN",
  [TASK_KILLABLE]: "UN",
  [TASK_IDLE]: "ID",
  [TASK_PARKED]: "PA",
  [TASK_NEW]: "NE",
  [TASK_DEAD]: "DE",
};

/** Every task: the idle ones first, then in order of birth; `>` marks what runs on a CPU. */
export function* psLines(k: Kernel): Generator<Row, void, void> {
  yield heading("   PID  CPU       TASK        ST  COMM                   WAITS FOR");
  const idle = k.cpus.filter((cpu) => cpu.online).map((cpu) => cpu_rq(k, cpu.id).idle);
  for (const p of [...idle, ...tasklist(k)]) {
    const state = STATES[p.state] ?? "??";
    const task = p.addr === NULL ? "in the image    " : formatAddr(p.addr);
    const line =
      `${p.on_cpu ? ">" : " "}${String(p.pid).padStart(5)}  ${String(p.cpu).padStart(3)}  ${task}  ` +
      `${state}  ${p.comm.padEnd(21)}  ${waitOf(p)}`;
    const fields = {
      pid: p.pid,
      cpu: p.cpu,
      task: p.addr === NULL ? null : formatAddr(p.addr),
      state,
      comm: p.comm,
      running: p.on_cpu,
      waits: waitOf(p),
    };
    yield row("task", fields, line.trimEnd());
  }
}

function waitOf(p: task_struct): string {
  if (p.waitingFor !== "") return p.waitingFor;
  if (p.on_cpu) return "";
  return p.on_rq ? "(a CPU)" : is_idle_task(p) ? "" : "(to be woken)";
}

/** What runs and what waits to run, CPU by CPU. */
export function* runqLines(k: Kernel): Generator<Row, void, void> {
  for (const cpu of k.cpus) {
    if (!cpu.online) continue;
    const rq = cpu_rq(k, cpu.id);
    const { nr_running, nr_switches, curr } = rq;
    const briefly = ({ pid, comm, prio }: task_struct): Fields => ({ pid, comm, prio });
    const fields = {
      cpu: cpu.id,
      nr_running,
      nr_switches,
      current: briefly(curr),
      rt: rq.rt.queue.map(briefly),
      cfs: rq.cfs.tasks_timeline.map(briefly),
    };
    yield row(
      "runqueue",
      fields,
      `CPU ${cpu.id} RUNQUEUE: nr_running ${nr_running}, nr_switches ${nr_switches}`,
      `  CURRENT: ${taskText(curr)}`,
      ...queueLines("RT PRIO_ARRAY", rq.rt.queue),
      ...queueLines("CFS RB_ROOT", rq.cfs.tasks_timeline),
    );
  }
}

function* queueLines(name: string, queue: readonly task_struct[]): Generator<string, void, void> {
  yield `  ${name}:`;
  if (queue.length === 0) yield "     [no tasks queued]";
  for (const p of queue) yield `     [${String(p.prio).padStart(3)}] ${taskText(p)}`;
}

function taskText(p: task_struct): string {
  const task = p.addr === NULL ? "in the image" : formatAddr(p.addr);
  return `PID: ${String(p.pid).padEnd(5)}  TASK: ${task}  COMMAND: "${p.comm}"`;
}
