// SPDX-License-Identifier: GPL-2.0-only
/**
 * Machines with tree RCU for tests, and what happened on them as the event log tells it.
 *
 * What RCU must keep is watched by the monitors of explore/monitors/.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { checkConfig, type Config } from "../../kernel/config.ts";
import { cpumask_set_cpu, cpumask_t } from "../../kernel/cpumask.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_bind_mask, kthread_create } from "../../kernel/kthread.ts";
import { wake_up_process } from "../../kernel/sched/core.ts";
import { traceEvent } from "../../kernel/trace/table.ts";
import { bootKernel } from "../../init/main.ts";
import { Monitors } from "../../explore/monitors/monitors.ts";
import { scheduleOf } from "../../explore/token.ts";
import { rcu_state } from "../../rcu/tree.ts";

/** A configuration with tree RCU on 4 CPUs unless `wanted` says otherwise. */
export function treeConfig(wanted: Partial<Config> = {}): Config {
  return checkConfig({ ...wanted, rcu: "tree" });
}

/** A booted machine with tree RCU. `early` runs in rcu_init(). */
export function bootTree(
  wanted: Partial<Config> = {},
  early: ((k: Kernel) => Atomic<void>) | null = null,
): Kernel {
  const config = treeConfig(wanted);
  return bootKernel(config, scheduleOf(config), early);
}

/** Starts a thread that is bound to `cpu`. */
export function* threadOn(
  k: Kernel,
  cpu: number,
  comm: string,
  main: (k: Kernel) => MaySleep<void>,
): MaySleep<void> {
  const p = yield* kthread_create(k, main, comm);
  assert(typeof p !== "number");
  const mask = new cpumask_t(k.config.cpus);
  cpumask_set_cpu(cpu, mask);
  yield* kthread_bind_mask(k, p, mask);
  wake_up_process(k, p);
}

/** Events of RCU after event `since`, as "name: text"; without those of every tick and idle entry. */
export function rcuLines(
  k: Kernel,
  since: number,
  where: (r: EventRecord) => boolean = () => true,
): string[] {
  const lines: string[] = [];
  for (const record of k.log.records(since + 1)) {
    const event = traceEvent(record.kind);
    if (event === undefined || event.system !== "rcu" || !where(record)) continue;
    if (event.name === "rcu_utilization" || event.name === "rcu_dyntick") continue;
    const view = {
      text: (id: number): string => k.log.text(id),
      symbol: (addr: number): string => kallsyms_lookup(k, addr),
      comm: String,
      site: (): string => "",
    };
    lines.push(`${event.name}: ${event.print(view, record)}`);
  }
  return lines;
}

/** One rcu_grace_period event. */
export interface GpEvent {
  readonly gp_seq: number;
  readonly event: string;
  readonly ns: number;
  readonly cpu: number;
  readonly task: number;
  readonly seq: number;
}

/** The rcu_grace_period events called `events` after event `since`. */
export function gpEvents(k: Kernel, since: number, ...events: string[]): GpEvent[] {
  const found: GpEvent[] = [];
  for (const r of k.log.records(since + 1)) {
    if (traceEvent(r.kind)?.name !== "rcu_grace_period") continue;
    const event = k.log.text(r.args[2]);
    if (events.length > 0 && !events.includes(event)) continue;
    found.push({ gp_seq: r.args[1], event, ns: r.ns, cpu: r.cpu, task: r.task, seq: r.seq });
  }
  return found;
}

/**
 * Checks the run after event `since` by the event monitors. Returns how many callbacks ran and grace periods ended. The run
 * must have begun and ended without callbacks; `gp_seq` is what the sequence number was then.
 */
export function checkRun(k: Kernel, since: number, gp_seq: number): { invoked: number; ended: number } {
  assert(k.log.first <= since + 1, "the log has lost the beginning");
  const monitors = new Monitors(k, "log", gp_seq);
  for (const record of k.log.records(since + 1)) monitors.see(record);
  monitors.finish({ idle: true });
  assertEquals(monitors.violations, []);
  return { invoked: monitors.callbacks.invoked, ended: monitors.gp?.ended ?? 0 };
}

/** Nothing is owed and nothing is asked for: the state between grace periods. */
export function checkQuiet(k: Kernel): void {
  const rsp = rcu_state(k);
  assertEquals(rsp.gp_seq % 4, 0, "no grace period runs");
  for (const rnp of rsp.node) {
    assertEquals(rnp.qsmask.isZero(), true);
    assertEquals(rnp.gp_seq, rsp.gp_seq);
    assert(rnp.gp_seq_needed <= rsp.gp_seq, "no request is lost");
    assertEquals(rnp.lock.owner, null);
  }
}
