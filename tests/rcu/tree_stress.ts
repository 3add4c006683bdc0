// SPDX-License-Identifier: GPL-2.0-only
/**
 * Readers and writers at random, with the monitors watching: what several tests of tree RCU run.
 *
 * What a reader holds must not be freed: the memory's own validity shadow reports it, the monitors check callbacks and
 * grace periods, and a warning of the kernel counts as a failure.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { Schedule } from "../../kernel/machine/chooser.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { array, embed, struct, u8, ulong } from "../../kernel/machine/struct.ts";
import { udelay, user_mode } from "../../kernel/entry.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Config } from "../../kernel/config.ts";
import type { RcuOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { cond_resched } from "../../kernel/sched/core.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { rebootKernel } from "../../init/main.ts";
import type { Monitors, Watch } from "../../explore/monitors/monitors.ts";
import { Run, type RunLimits } from "../../explore/run.ts";
import { rcu_head } from "../../rcu/rcu.ts";
import {
  call_rcu,
  kfree,
  kmalloc,
  rcu_assign_pointer,
  rcu_barrier,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
  synchronize_rcu,
} from "../../mod.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { blimit, qhimark, qlowmark, rcu_data } from "../../rcu/tree.ts";
import { checkQuiet, threadOn } from "./tree_machine.ts";

const MAGIC = 0x5ca1ab1e;
const object = struct("object", { rcu: embed(rcu_head), data: ulong, more: array(u8, 40) });
type Obj = Ptr<typeof object>;

/** Numbers for what threads do; a plain linear congruence, so that a seed means the same for ever. */
class Dice {
  constructor(private state: number) {}

  roll(n: number): number {
    this.state = (Math.imul(this.state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * n);
  }
}

function* newObject(k: Kernel): MaySleep<Obj> {
  const p = (yield* kmalloc(k, object.size, GFP_KERNEL)) as VirtAddr as Obj;
  object.f.data.set(k, p, MAGIC);
  return p;
}

function freeObject(k: Kernel, head: VirtAddr): Atomic<void> {
  return kfree(k, (head - object.offsetof("rcu")) as VirtAddr);
}

/** Reads, for up to eight ticks, and then is quiescent in one way or another, or not at all. */
function* reader(k: Kernel, slot: Ptr<Obj>, dice: Dice, rounds: number): MaySleep<void> {
  const jiffy = 1e6 / k.config.HZ; // in us
  for (let i = 0; i < rounds; i++) {
    yield* rcu_read_lock(k);
    const p = yield* rcu_dereference(k, slot);
    for (let j = dice.roll(4); j >= 0; j--) {
      yield* udelay(k, dice.roll(2 * jiffy));
      assertEquals(object.f.data.get(k, p), MAGIC);
    }
    yield* rcu_read_unlock(k);
    const what = dice.roll(5);
    if (what === 0) yield* cond_resched(k);
    else if (what === 1) yield* user_mode(k, 1000 * dice.roll(2 * jiffy));
    else if (what === 2) yield* schedule_timeout_uninterruptible(k, 1 + dice.roll(4));
  }
}

/** Replaces the object again and again, and frees the old one after a grace period. */
function* writer(k: Kernel, slot: Ptr<Obj>, dice: Dice, rounds: number): MaySleep<void> {
  for (let i = 0; i < rounds; i++) {
    const old = k.ram.loadPtr(slot) as Obj;
    yield* rcu_assign_pointer(k, slot, yield* newObject(k));
    const what = dice.roll(4);
    if (what < 2) {
      yield* call_rcu(k, (old + object.offsetof("rcu")) as VirtAddr, freeObject);
      if (what === 1) yield* rcu_barrier(k);
    } else {
      const cookie = k.rcu.get_state_synchronize_rcu(k);
      if (what === 3) yield* schedule_timeout_uninterruptible(k, 1 + dice.roll(6));
      if (what === 3) yield* k.rcu.cond_synchronize_rcu(k, cookie);
      else yield* synchronize_rcu(k);
      yield* kfree(k, old);
    }
    if (dice.roll(2) === 0) yield* schedule_timeout_uninterruptible(k, dice.roll(3));
  }
}

/** Bursts of callbacks, more than the marks allow. */
function* flooder(k: Kernel, dice: Dice, rounds: number): MaySleep<void> {
  for (let i = 0; i < rounds; i++) {
    for (let j = 6 + dice.roll(12); j > 0; j--) {
      const p = yield* newObject(k);
      yield* call_rcu(k, (p + object.offsetof("rcu")) as VirtAddr, freeObject);
    }
    yield* schedule_timeout_uninterruptible(k, 1 + dice.roll(4));
  }
}

/** Lowers the marks at which callbacks are too many, so that few of them are a flood. */
function lowMarks(k: Kernel): void {
  blimit.set(k, 2);
  qhimark.set(k, 6);
  qlowmark.set(k, 2);
  for (const { id } of k.cpus) per_cpu_ptr(k, rcu_data, id).blimit = 2;
}

/** Two writers and several readers of two objects; with every third seed a flood of callbacks beside them. */
export function* stress(k: Kernel, seed: number): MaySleep<void> {
  const dice = new Dice(seed);
  if (seed % 3 === 0) {
    lowMarks(k);
    const own = new Dice(dice.roll(2 ** 31));
    yield* threadOn(k, dice.roll(k.config.cpus), "flooder", (k) => flooder(k, own, 4));
  }
  for (let i = 0; i < 2; i++) {
    const slot = k.dataAlloc(8) as VirtAddr as Ptr<Obj>;
    k.ram.storePtr(slot, yield* newObject(k));
    const cpu = dice.roll(k.config.cpus);
    const own = new Dice(dice.roll(2 ** 31));
    yield* threadOn(k, cpu, `writer${i}`, (k) => writer(k, slot, own, 6));
    for (let cpu = i; cpu < k.config.cpus; cpu += 1 + i) {
      const own = new Dice(dice.roll(2 ** 31));
      yield* threadOn(k, cpu, `reader${i}.${cpu}`, (k) => reader(k, slot, own, 5 + own.roll(8)));
    }
  }
}

/** A machine to be stressed. */
export type Shape = Pick<Config, "cpus" | "fanout" | "fanoutLeaf" | "HZ">;

/** One CPU to many, trees of one to three levels, slow ticks and fast. */
export const SHAPES: readonly Shape[] = [1, 2, 4, 8].flatMap((cpus) =>
  [2, 16].flatMap((fanout) => [250, 1000].map((HZ) => ({ cpus, fanout, fanoutLeaf: fanout, HZ })))
);

/** `cpus=4 fanout=2 HZ=250` */
export function shapeName({ cpus, fanout, HZ }: Shape): string {
  return `cpus=${cpus} fanout=${fanout} HZ=${HZ}`;
}

/** What one run of the stress came to. */
export interface StressResult {
  /** Properties that did not hold, in the order in which that was noticed, and what was said of the first of each. */
  readonly violations: ReadonlyMap<string, string>;
  readonly monitors: Monitors;
}

/** A run without end is cut off here. */
const LIMITS: RunLimits = { ns: 20e9, points: 5_000_000 };

/** Boots the machine anew under `schedule` and runs, watched. */
export function stressRun(
  k: Kernel,
  schedule: Schedule,
  broken: (rcu: RcuOps) => Partial<RcuOps> = () => ({}),
  watch: Watch = "all",
): StressResult {
  rebootKernel(k, schedule);
  k.rcu = { ...k.rcu, ...broken(k.rcu) };
  const scenario = {
    name: "stress",
    summary: "",
    options: [],
    main: (k: Kernel) => stress(k, schedule.seed),
  };
  const run = new Run(k, scenario, {}, LIMITS, watch);
  run.advance();
  const { ending, remaining } = run.verdict();
  const violations = new Map<string, string>();
  for (const { property, text } of run.verdict().violations) {
    if (!violations.has(property)) violations.set(property, text);
  }
  if (ending !== "completed") {
    const left = remaining.map(({ comm, state }) => `${comm} ${state}`).join(", ");
    violations.set("P35", `the run ends in ${ending}; left: ${left}`);
  }
  return { violations, monitors: run.monitors };
}

/** stressRun() in one text: what was wrong, "" when nothing was. */
export function runStress(
  k: Kernel,
  schedule: Schedule,
  broken: (rcu: RcuOps) => Partial<RcuOps> = () => ({}),
): string {
  const { violations } = stressRun(k, schedule, broken);
  if (violations.size === 0) checkQuiet(k);
  return [...violations].map(([property, text]) => `${property}: ${text}`).join("\n");
}
