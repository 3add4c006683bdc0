// SPDX-License-Identifier: GPL-2.0-only
/**
 * Who calls in a kvtest case: a thread on its CPU that begins at a phase of the timer wheel, calls, and looks at what RCU
 * of that CPU then holds; and the machine before and after.
 *
 * @module
 */

import { NULL } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { type Config, levelAtLeast } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_bind, kthread_create } from "../../kernel/kthread.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { wake_up_process } from "../../kernel/sched/core.ts";
import { jiffies, TICK_NSEC } from "../../kernel/time/jiffies.ts";
import { msleep, schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import type { KrcBlock, KrcState } from "../../rcu/krc_look.ts";
import { krcState } from "../../rcu/kvfree.ts";
import { OptionError } from "../scenario.ts";
import type { KvtestCase } from "./case.ts";
import { giveAway, layoutOf, makeObjects } from "./objects.ts";
import { kernelName, type KvtestRow, type Queued } from "./row.ts";
import type { Seen, Watch } from "./watch.ts";

/** Buckets of the timer wheel in which a drain of 5 s ends, at HZ 250. */
const WHEEL = 64;
const PHASE_OF = 1250;
/** Longer than any drain that has a timer. */
const MAX_DRAIN_NS = 60e9;

/** What a CPU's thread found. */
export class Caller {
  seen!: Seen;
  queued: Queued | null = null;
  phase = 0;
  readonly ready: completion = new completion("kvtest is ready");
  readonly done: completion = new completion("kvtest has called");
  taken: readonly VirtAddr[] = [];

  constructor(readonly cpu: number) {}
}

/** Starts a thread that is bound to `cpu`. */
export function* startOn(
  k: Kernel,
  cpu: number,
  name: string,
  main: (k: Kernel) => MaySleep<void>,
): MaySleep<void> {
  const p = yield* kthread_create(k, main, `${name}/${cpu}`);
  if (typeof p === "number") throw new OptionError(`kvtest: no memory for a thread on CPU ${cpu}`);
  yield* kthread_bind(k, p, cpu);
  wake_up_process(k, p);
}

/** Gives a pointer of each kind to RCU on each CPU, and waits until all of it is over. */
export function* warmUp(k: Kernel, c: KvtestCase): MaySleep<void> {
  const few: KvtestCase = { ...c, size: 64, n: c.kind === "mix" || c.kind === "half" ? 2 : 1 };
  const layout = layoutOf(few.size);
  for (const { id } of k.cpus) {
    const over = new completion("kvtest is warm");
    yield* startOn(k, id, "warm", function* (k) {
      for (const p of yield* makeObjects(k, few)) yield* giveAway(k, "kv2", p, layout);
      complete(k, over);
    });
    yield* wait_for_completion(k, over);
  }
  yield* untilQuiet(k);
}

/** Waits until RCU has nothing to do, but not for what stays behind for ever (B8). */
export function* untilQuiet(k: Kernel): MaySleep<void> {
  const patience = k.now() + MAX_DRAIN_NS;
  while ((k.kvfree.busy(k) || k.rcu.busy(k)) && k.now() < patience) yield* msleep(k, 50);
  yield* msleep(k, 50);
}

/** The calls, with a look before and after. */
export function* callAll(
  k: Kernel,
  watch: Watch,
  caller: Caller,
  objects: readonly VirtAddr[],
  give: (p: VirtAddr) => MaySleep<void>,
): MaySleep<void> {
  const before = begin(k, watch, caller);
  for (const p of objects) yield* give(p);
  caller.seen.caller = null;
  caller.queued = queuedNow(k, caller, before);
}

/** Begins to watch a caller's CPU. Returns how many spare pages it has. */
export function begin(k: Kernel, watch: Watch, caller: Caller): number {
  caller.seen = watch.begin(caller.cpu);
  caller.phase = wheelPhase(k);
  return k.config.rcu === "tree" ? cachedPages(k.config, krcState(k)[caller.cpu]) : 0;
}

/** What a caller's CPU holds. */
export function queuedNow(k: Kernel, { cpu }: Caller, cached_before: number): Queued | null {
  if (k.config.rcu !== "tree") return null;
  const state = krcState(k)[cpu];
  return {
    cached_before,
    cached_after: cachedPages(k.config, state),
    count: state.count,
    list: state.list.length,
    ch_slab: lengths(state.slab),
    ch_vmalloc: lengths(state.vmalloc),
  };
}

function lengths(blocks: readonly KrcBlock[]): number[] {
  return blocks.map(({ nr_records }) => nr_records);
}

/** Spare pages; up to 7/7, where a channel has one at most, 10 for the slab channel's and 1 for the other's. */
function cachedPages({ level }: Config, { spares }: KrcState): number {
  const full = spares.map((page) => page === NULL ? 0 : 1);
  if (levelAtLeast(level, "v5.9")) return full.reduce((sum: number, n) => sum + n, 0);
  return 10 * full[0] + (full[1] ?? 0);
}

function wheelPhase(k: Kernel): number {
  const phase = (jiffies(k) + PHASE_OF) % WHEEL;
  return phase < 0 ? phase + WHEEL : phase;
}

/** Sleeps to the beginning of a jiffy, of one with this phase. */
export function* alignTo(k: Kernel, phase: number | null): MaySleep<void> {
  do {
    const ahead = phase === null ? 2 : (phase - wheelPhase(k) + WHEEL) % WHEEL;
    // A timer runs one jiffy after it expires; up to 62 jiffies away it has a bucket for itself.
    yield* schedule_timeout_uninterruptible(
      k,
      ahead === 0 ? WHEEL / 2 : Math.max(0, Math.min(ahead, WHEEL - 2) - 1),
    );
  } while (phase !== null && wheelPhase(k) !== phase);
}

/** The row of a caller. */
export function rowOf(
  k: Kernel,
  name: string,
  op: string,
  { cpu, seen, queued, phase }: Caller,
  notes: readonly string[] = [],
): KvtestRow {
  const jiffy = TICK_NSEC(k);
  const [monitor, work, fill] = [seen.monitors[0], seen.works[0], seen.fills[0]];
  const worked = monitor !== undefined && work !== undefined;
  return {
    kernel: kernelName(k.config),
    cpus: k.config.cpus,
    case: name,
    op,
    cpu,
    queued,
    monitor_at_j: monitor === undefined ? null : (monitor - seen.first) / jiffy,
    n_monitor: seen.monitors.length,
    gp_wait_j: worked ? (work - monitor) / jiffy : null,
    n_work: seen.works.length,
    gp_starts: worked ? seen.gracePeriods : 0,
    bulk_nr_records_in_order: seen.bulk,
    kvfree_callbacks: seen.callbacks,
    fill_cache_at_j: fill === undefined ? null : (fill - seen.first) / jiffy,
    phase,
    inline_waits: seen.inline,
    notes,
  };
}
