// SPDX-License-Identifier: GPL-2.0-only
/**
 * `deno task bench series`: the figures that were published with the patches, as ratios, beside ours.
 *
 * Everything here is virtual: grace periods, pages, records of a block. So the ratios are the same on every host; they
 * are compared with those of real machines, which are larger and ran longer. Published ones are from the commit logs and
 * mails of the changes.
 *
 * @module
 */

import {
  array,
  type Atomic,
  boot,
  call_rcu,
  checkOptions,
  cond_resched,
  type Config,
  container_of,
  DEFAULT_LIMITS,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kfree_rcu,
  kmalloc,
  type Level,
  type MaySleep,
  msleep,
  NULL,
  type Ptr,
  rcu_head,
  runToEnd,
  schedule_timeout_uninterruptible,
  struct,
  Tally,
  type TallyCounts,
  u8,
  udelay,
  type VirtAddr,
  wait_for_completion,
} from "../mod.ts";
import { floodScenario } from "../examples/bugs/kvfree_flood.ts";
import { startOn } from "../examples/bugs/start_on.ts";

const kfree_obj = struct("kfree_obj", { kfree_obj: array(u8, 8), rh: embed(rcu_head) });
type KfreeObj = Ptr<typeof kfree_obj>;

type Free = (k: Kernel, p: KfreeObj) => MaySleep<void>;
type Work = (k: Kernel) => MaySleep<void>;

/** kfree_rcu() as it is. */
function batched(k: Kernel, p: KfreeObj): MaySleep<void> {
  return kfree_rcu(k, p, kfree_obj, "rh");
}

/** What kfree_rcu() was before it batched: a callback for each object. */
function unbatched(k: Kernel, p: KfreeObj): MaySleep<void> {
  return call_rcu(k, (p + kfree_obj.offsetof("rh")) as KfreeObj, freeObject);
}

function* freeObject(k: Kernel, head: VirtAddr): Atomic<void> {
  yield* kfree(k, container_of(head, kfree_obj, "rh"));
}

const LOOPS = 200;
const ALLOC_NUM = 80;
/** A loop of the real test takes longer than its 8,000 objects: here its 80 do. */
const LOOP_US = 500;

/** rcuscale's kfree test on every CPU, scaled down to 200 loops of 80 objects. */
function scale(free: Free): Work {
  function* thread(k: Kernel, id: number): MaySleep<void> {
    for (let loop = 0; loop < LOOPS; loop++) {
      for (let i = 0; i < ALLOC_NUM; i++) {
        const p = (yield* kmalloc(k, kfree_obj.size, GFP_KERNEL)) as KfreeObj;
        if (p === NULL) return;
        yield* free(k, p);
      }
      yield* udelay(k, LOOP_US);
      // A real machine has other things to do now and then.
      if (loop % 4 === id % 4) yield* schedule_timeout_uninterruptible(k, 1);
      else yield* cond_resched(k);
    }
  }
  return function* (k) {
    const done = [];
    for (const { id } of k.cpus) done.push(yield* startOn(k, id, `kfree_scale/${id}`, (k) => thread(k, id)));
    for (const c of done) yield* wait_for_completion(k, c);
  };
}

/** A few objects every 30 ms for 20 s, as on a phone that is used a little. */
function* trickle(k: Kernel): MaySleep<void> {
  for (let i = 0; i < 600; i++) {
    const few = 1 + (i * 7919) % 50;
    for (let j = 0; j < few; j++) {
      const p = (yield* kmalloc(k, kfree_obj.size, GFP_KERNEL)) as KfreeObj;
      yield* kfree_rcu(k, p, kfree_obj, "rh");
    }
    yield* msleep(k, 30);
  }
}

function run(config: Partial<Config>, work: Work): TallyCounts {
  const k = boot({ debug: false, memBytes: 512 * 2 ** 20, ...config });
  const tally = new Tally(k);
  runToEnd(
    k,
    "bench",
    (k) => {
      tally.attach();
      return work(k);
    },
    DEFAULT_LIMITS,
    "none",
  );
  return tally.counts;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}

/** One published change, as the ratio after / before, and ours. */
export interface Ratio {
  readonly what: string;
  readonly published: number;
  readonly ours: number;
}

/** Buffers freed while callbacks of others keep RCU's softirq busy, which is what floods a machine with memory (B26). */
function busy(level: Level): TallyCounts {
  const options = checkOptions(floodScenario, { inodes: "9000", buffers: "22000" });
  return run({ level, cpus: 2 }, (k) => floodScenario.main(k, options));
}

/** The published changes, beside what they do here. */
export function ratios(): Ratio[] {
  const at = (level: Level, cpus: number, free: Free = batched): TallyCounts =>
    run({ level, cpus, HZ: 1000 }, scale(free));
  const plain = at("base", 8, unbatched);
  const base = at("base", 8);
  const series = at("7/7", 8);
  const [before, after] = [busy("v6.1"), busy("v6.3")];
  const short = run({ level: "v5.14", cpus: 1 }, trickle);
  const long = run({ level: "v6.1", cpus: 1 }, trickle);
  const pages = (a: TallyCounts, b: TallyCounts): number => b.peakPages / a.peakPages;
  const gps = (a: TallyCounts, b: TallyCounts): number => b.gracePeriods / a.gracePeriods;
  return [
    { what: "batching (v5.6): grace periods", published: 1732 / 9133, ours: gps(plain, base) },
    { what: "batching (v5.6): memory in flight", published: mean([200, 250]) / 50, ours: pages(plain, base) },
    {
      what: "the series: grace periods",
      published: mean([3120, 3084]) / mean([2814, 2755]),
      ours: gps(base, series),
    },
    { what: "the series: memory in flight", published: mean([211, 208]) / 230, ours: pages(base, series) },
    {
      what: "drain after 5 s (v6.1): pointers of a block",
      published: mean([121, 47, 510, 169, 510, 123, 322, 185, 510]) / mean([6, 1, 9, 48, 3, 76, 1, 5, 102]),
      ours: mean(long.bulk) / mean(short.bulk),
    },
    {
      what: "polled reclaim (v6.3): grace periods",
      published: mean([1787, 1724]) / mean([1188, 1006]),
      ours: gps(before, after),
    },
    {
      what: "polled reclaim (v6.3): memory in flight",
      published: mean([61, 93, 66, 75, 62]) / mean([2248, 2820, 6502, 3343, 6549]),
      ours: pages(before, after),
    },
  ];
}

/** Prints them. */
export function seriesBench(): void {
  console.log(
    "Ratios of what a change was published with, and of the same here: the published machines have 12 to",
  );
  console.log(
    "64 CPUs and run for seconds, so what went up or down by much is to be compared, not the digits.",
  );
  console.log(`${"after / before".padEnd(46)} ${"published".padStart(10)} ${"here".padStart(8)}`);
  for (const { what, published, ours } of ratios()) {
    console.log(`${what.padEnd(46)} ${published.toFixed(3).padStart(10)} ${ours.toFixed(3).padStart(8)}`);
  }
}

if (import.meta.main) seriesBench();
