// SPDX-License-Identifier: GPL-2.0-only
/**
 * The two recorded scenarios with readers, in which posted levels of kvfree_rcu() show B8 and B9.
 *
 * A reader on CPU 1 holds up grace periods. CPU 0 queues 10 slab pointers, 10 more when the first are in a batch, and 5
 * slab and 5 vmalloc pointers when the second are in the other. `stuck` then lets the reader go and looks at what stays
 * behind until somebody calls again. `early` has a second reader, on CPU 2, that begins before the last pointers are
 * queued and ends long after the first: they must outlive it.
 *
 * Invariant: readers hold as long as the monitor of the level needs, so that the same happens with drains of 20 ms and 5 s.
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { levelAtLeast } from "../../kernel/config.ts";
import { udelay } from "../../kernel/entry.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { TICK_NSEC } from "../../kernel/time/jiffies.ts";
import { msleep, schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { kmalloc } from "../../mm/slub.ts";
import { vmalloc } from "../../mm/vmalloc.ts";
import { krcState, krcView } from "../../rcu/kvfree.ts";
import { rcu_read_lock, rcu_read_unlock } from "../../rcu/rcupdate.ts";
import { parseCase } from "./case.ts";
import { giveAway, layoutOf } from "./objects.ts";
import type { KvtestRow } from "./row.ts";
import { alignTo, begin, callAll, Caller, queuedNow, rowOf, startOn, untilQuiet, warmUp } from "./caller.ts";
import type { Watch } from "./watch.ts";

type Main = (k: Kernel) => MaySleep<void>;

const SIZE = 64;
const AREA_SIZE = 8192;
const EARLY_OBJECTS = 10;
const LATE_OBJECTS = 5;
/** How long what stays behind is waited for. */
const FORGOTTEN_MS = 7000;
/** Ticks, or ms where those are longer, in which a grace period ends and its batch is freed. */
const FREED_JIFFIES = 40;
const FREED_MS = 300;

/** A reader that holds until it is told to end. */
class Reader {
  from = 0;
  to = 0;
  private ends = false;
  private readonly begun = new completion("reader begins");
  private readonly over = new completion("reader ends");

  constructor(private readonly cpu: number) {}

  *begin(k: Kernel): MaySleep<void> {
    yield* startOn(k, this.cpu, "reader", (k) => this.hold(k));
    yield* wait_for_completion(k, this.begun);
  }

  private *hold(k: Kernel): MaySleep<void> {
    yield* rcu_read_lock(k);
    this.from = k.now();
    complete(k, this.begun);
    while (!this.ends) yield* udelay(k, 1000);
    this.to = k.now();
    yield* rcu_read_unlock(k);
    complete(k, this.over);
  }

  *end(k: Kernel): MaySleep<void> {
    this.ends = true;
    yield* wait_for_completion(k, this.over);
  }
}

/** Sleeps until a monitor that was armed now has run: 90 ms as recorded, or a long drain with the wheel's rounding. */
function* letMonitorRun(k: Kernel): MaySleep<void> {
  const drain = krcView(k.config.level).shape.drainJiffies(k);
  const least = Math.ceil(0.09 * k.config.HZ);
  yield* schedule_timeout_uninterruptible(k, Math.max(least, drain + Math.ceil(drain / 8) + 3));
}

function* newObjects(k: Kernel, n: number): MaySleep<VirtAddr[]> {
  const objects: VirtAddr[] = [];
  for (let i = 0; i < n; i++) objects.push(yield* kmalloc(k, SIZE, GFP_KERNEL));
  return objects;
}

const layout = layoutOf(SIZE);

function* queue(k: Kernel, objects: readonly VirtAddr[]): MaySleep<void> {
  for (const p of objects) yield* giveAway(k, "kv2", p, layout);
}

/** Runs `code` on CPU 0 and waits for it. */
function* onCpu0(k: Kernel, code: Main): MaySleep<void> {
  const over = new completion("kvt/0 is done");
  yield* startOn(k, 0, "kvt", function* (k) {
    yield* code(k);
    complete(k, over);
  });
  yield* wait_for_completion(k, over);
}

/** The three rounds of calls, by a caller on CPU 0. */
function* rounds(
  k: Kernel,
  watch: Watch,
  phase: number | null,
  caller: Caller,
  beforeLast: Main,
): MaySleep<void> {
  const first = yield* newObjects(k, EARLY_OBJECTS);
  const second = yield* newObjects(k, EARLY_OBJECTS);
  const late = yield* newObjects(k, LATE_OBJECTS);
  for (let i = 0; i < LATE_OBJECTS; i++) late.push(yield* vmalloc(k, AREA_SIZE));
  watch.expect(late);
  yield* alignTo(k, phase);
  const cached = begin(k, watch, caller);
  caller.seen.caller = null;
  yield* queue(k, first);
  yield* letMonitorRun(k);
  yield* queue(k, second);
  yield* letMonitorRun(k);
  yield* beforeLast(k);
  yield* queue(k, late);
  caller.queued = queuedNow(k, caller, cached);
  yield* letMonitorRun(k);
}

function* prepare(k: Kernel): MaySleep<void> {
  if (levelAtLeast(k.config.level, "v5.9")) yield* warmUp(k, parseCase("kv2-n1"));
}

/** What stays behind when batches are full (B8). */
export function stuckScript(watch: Watch, phase: number | null, rows: KvtestRow[]): Main {
  return function* stuckMain(k) {
    yield* prepare(k);
    const caller = new Caller(0);
    const reader = new Reader(1);
    yield* reader.begin(k);
    yield* onCpu0(k, (k) => rounds(k, watch, phase, caller, function* () {}));
    yield* reader.end(k);
    yield* msleep(k, FORGOTTEN_MS);
    const behind = [...watch.freedAt.values()].filter((at) => at === Infinity).length;
    const { count, monitorPending } = krcState(k)[0];
    const timer = monitorPending ? "armed" : "not armed";
    rows.push(rowOf(k, "stuck-phase", "kv2", caller, [
      `${FORGOTTEN_MS / 1000} s later: ${behind} of ${
        2 * LATE_OBJECTS
      } late pointers wait, count ${count}, monitor ${timer}`,
    ]));
    const after = new Caller(0);
    yield* onCpu0(k, function* (k) {
      const one = yield* newObjects(k, 1);
      yield* alignTo(k, null);
      yield* callAll(k, watch, after, one, (p) => giveAway(k, "kv2", p, layout));
    });
    yield* untilQuiet(k);
    const left = [...watch.freedAt.values()].filter((at) => at === Infinity).length;
    rows.push(rowOf(k, "stuck-after", "kv2", after, [`after one more call: ${left} of them wait`]));
  };
}

/** What is freed under a reader (B9). */
export function earlyScript(watch: Watch, phase: number | null, rows: KvtestRow[]): Main {
  return function* earlyMain(k) {
    yield* prepare(k);
    const caller = new Caller(0);
    const [first, second] = [new Reader(1), new Reader(2)];
    yield* first.begin(k);
    yield* onCpu0(k, (k) =>
      rounds(k, watch, phase, caller, function* (k) {
        yield* second.begin(k);
        yield* msleep(k, 40);
      }));
    yield* first.end(k);
    yield* schedule_timeout_uninterruptible(k, FREED_JIFFIES);
    yield* msleep(k, FREED_MS);
    yield* second.end(k);
    yield* untilQuiet(k);
    rows.push(rowOf(k, "early-phase", "kv2", caller, earlyNotes(k, watch, caller, first, second)));
  };
}

function earlyNotes(k: Kernel, watch: Watch, { seen }: Caller, first: Reader, second: Reader): string[] {
  const at = (ns: number): string => ((ns - seen.first) / TICK_NSEC(k)).toFixed(1);
  const freed = [...watch.freedAt.values()].filter((ns) => ns < Infinity).sort((a, b) => a - b);
  const under = freed.filter((ns) => ns < second.to).length;
  const all = watch.freedAt.size;
  const behind = freed.length === all ? "" : `, ${all - freed.length} wait still`;
  const when = freed.map(at).filter((text, i, texts) => text !== texts[i - 1]).map((text) => `j+${text}`);
  return [
    `first reader to j+${at(first.to)}, second reader from j+${at(second.from)} to j+${at(second.to)}`,
    `late pointers freed at ${when.join(", ")}: ` +
    `${under} of ${all} while the second reader was in its section${behind}`,
  ];
}
