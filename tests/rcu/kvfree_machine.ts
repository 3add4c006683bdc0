// SPDX-License-Identifier: GPL-2.0-only
/**
 * A machine with kvfree_rcu() of tree RCU on top of a stand-in for RCU whose grace periods begin and end when the test
 * says so, or by themselves four jiffies after somebody asks.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import { NO_RCU, type rcu_callback_t } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_bind, kthread_create } from "../../kernel/kthread.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { wake_up_process } from "../../kernel/sched/core.ts";
import { wait_event, wait_queue_head, wake_up } from "../../kernel/sched/wait.ts";
import { local_bh_disable, local_bh_enable } from "../../kernel/softirq.ts";
import { instantiate } from "../../kernel/static.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../kernel/system_state.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { slabObjectAt } from "../../mm/slab_live.ts";
import { type shrink_control, shrinkers } from "../../mm/vmscan.ts";
import type { KrcState } from "../../rcu/krc_look.ts";
import { krcState, krcView, kvfreeOps, kvfreeStatics } from "../../rcu/kvfree.ts";
import {
  array,
  boot,
  type Config,
  embed,
  GFP_KERNEL,
  kmalloc,
  kvfree_rcu,
  levelAtLeast,
  rcu_head,
  runToEnd,
  struct,
  u8,
} from "../../mod.ts";
import { eventsOf, executionsOf, jiffyNs } from "../machines.ts";

/** 64 bytes with the head at 48: kmalloc-64. */
export const object = struct("object", { data: array(u8, 48), rcu: embed(rcu_head) });

interface Waiter {
  readonly cpu: number;
  run(k: Kernel): Atomic<void>;
}

/** RCU by hand. */
export class FakeRcu {
  /** What the next grace period will cover, and what the current one covers. */
  private next: Waiter[] = [];
  private now: Waiter[] | null = null;
  private readonly asked = new wait_queue_head("fake grace period");
  callRcus = 0;
  synchronized = 0;
  barriers = 0;
  ended = 0;

  /** With `automatic`, grace periods take four jiffies. */
  constructor(readonly automatic: boolean) {}

  install(k: Kernel): void {
    k.rcu = {
      ...NO_RCU,
      call_rcu: (k, head, func) => {
        this.callRcus++;
        return this.enqueue(k, { cpu: k.cpu.id, run: (k) => (func as rcu_callback_t)(k, head) });
      },
      synchronize_rcu: (k) => this.synchronize(k),
      rcu_barrier: (k) => this.barrier(k),
      get_state_synchronize_rcu: () => this.cookie(),
      poll_state_synchronize_rcu: (_k, oldstate) => this.isDone(oldstate),
      get_state_synchronize_rcu_full: (_k, rgosp) => {
        rgosp.rgos_norm = rgosp.rgos_exp = this.cookie();
      },
      poll_state_synchronize_rcu_full: (_k, rgosp) => this.isDone(rgosp.rgos_norm),
      busy: () => this.next.length > 0 || this.now !== null,
    };
  }

  private enqueue(k: Kernel, waiter: Waiter): Atomic<void> {
    this.next.push(waiter);
    if (this.automatic) wake_up(k, this.asked);
    return doneVoid();
  }

  private *synchronize(k: Kernel): MaySleep<void> {
    this.synchronized++;
    const over = new completion("synchronize_rcu");
    yield* this.enqueue(k, {
      cpu: k.cpu.id,
      run: (k) => {
        complete(k, over);
        return doneVoid();
      },
    });
    yield* wait_for_completion(k, over);
  }

  /** The number of the grace period that will be the first to begin and end from now on. */
  private cookie(): number {
    return this.ended + (this.now === null ? 1 : 2);
  }

  private isDone(cookie: number): boolean {
    return this.ended >= cookie;
  }

  /** Waits for what is queued on any CPU; asks for no grace period itself. */
  private *barrier(k: Kernel): MaySleep<void> {
    this.barriers++;
    const last = this.next.length > 0 ? this.next : this.now;
    if (last === null) return;
    const over = k.cpus.map(() => new completion("rcu_barrier"));
    for (const { id } of k.cpus) {
      last.push({
        cpu: id,
        run: (k) => {
          complete(k, over[id]);
          return doneVoid();
        },
      });
    }
    for (const it of over) yield* wait_for_completion(k, it);
  }

  /** A grace period begins: it covers what was queued so far. */
  begin(): void {
    assert(this.now === null, "a grace period at a time");
    this.now = this.next;
    this.next = [];
  }

  /** It ends: its callbacks run here, with bottom halves off. */
  *end(k: Kernel): MaySleep<void> {
    yield* invoke(k, this.finish());
  }

  private finish(): Waiter[] {
    const due = this.now;
    assert(due !== null, "no grace period to end");
    this.now = null;
    this.ended++;
    return due;
  }

  /** A whole grace period. */
  *pass(k: Kernel): MaySleep<void> {
    this.begin();
    yield* this.end(k);
  }

  /** The grace-period thread of the automatic kind; callbacks run where they were queued. */
  *thread(k: Kernel): MaySleep<void> {
    for (;;) {
      yield* wait_event(k, this.asked, () => this.next.length > 0);
      this.begin();
      yield* schedule_timeout_uninterruptible(k, 4);
      const due = this.finish();
      for (const cpu of new Set(due.map((waiter) => waiter.cpu))) {
        yield* onCpu(k, cpu, (k) => invoke(k, due.filter((waiter) => waiter.cpu === cpu)));
      }
    }
  }
}

function* invoke(k: Kernel, waiters: readonly Waiter[]): MaySleep<void> {
  local_bh_disable(k);
  for (const waiter of waiters) yield* waiter.run(k);
  yield* local_bh_enable(k);
}

export interface KvfreeMachine {
  readonly k: Kernel;
  readonly rcu: FakeRcu;
}

/** A machine whose kvfree_rcu() has been opened, or with `early` not even initialised. */
export function kvfreeMachine(wanted: Partial<Config> = {}, automatic = false, early = false): KvfreeMachine {
  const k = boot({ rcu: "none", cpus: 4, memBytes: 64 * 2 ** 20, ...wanted });
  const tree: Config = { ...k.config, rcu: "tree" };
  instantiate(k, [kvfreeStatics(tree)]);
  const rcu = new FakeRcu(automatic);
  rcu.install(k);
  k.kvfree = kvfreeOps(tree);
  if (!early) {
    runToEnd(k, "setup", function* (k) {
      yield* k.kvfree.kfree_rcu_batch_init(k);
      if (automatic) yield* startOn(k, 3, () => rcu.thread(k));
    });
    rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
  }
  return { k, rcu };
}

type Code = (k: Kernel) => MaySleep<void>;

/** Starts `code` in a thread bound to `cpu`. */
export function* startOn(k: Kernel, cpu: number, code: Code): MaySleep<void> {
  const p = yield* kthread_create(k, code, `test/${cpu}`);
  assert(typeof p !== "number");
  yield* kthread_bind(k, p, cpu % k.config.cpus);
  wake_up_process(k, p);
}

/** Runs `code` in a thread bound to `cpu` and waits for it. */
export function* onCpu(k: Kernel, cpu: number, code: Code): MaySleep<void> {
  const over = new completion("onCpu");
  yield* startOn(k, cpu, function* (k) {
    yield* code(k);
    complete(k, over);
  });
  yield* wait_for_completion(k, over);
}

/** Runs `code` on CPU 0 to the end; everything must drain, with `reports` kernel reports. */
export function script({ k }: KvfreeMachine, code: Code, reports = 0, ending = "completed"): void {
  let failure: unknown;
  const verdict = runToEnd(k, "script", (k) =>
    onCpu(k, 0, function* (k) {
      try {
        yield* code(k);
      } catch (error) {
        failure = error;
      }
    }));
  if (failure !== undefined) throw failure;
  const text = k.reports.map((r) => r.lines.join("\n")).join("\n");
  assertEquals([verdict.ending, verdict.reports], [ending, reports], text);
}

export function* newObject(k: Kernel): MaySleep<VirtAddr> {
  return yield* kmalloc(k, object.size, GFP_KERNEL);
}

export function* newObjects(k: Kernel, n: number): MaySleep<VirtAddr[]> {
  const objects: VirtAddr[] = [];
  for (let i = 0; i < n; i++) objects.push(yield* newObject(k));
  return objects;
}

export function isLive(k: Kernel, addr: VirtAddr): boolean {
  const at = slabObjectAt(k, addr);
  return at?.live === true || (at === undefined && k.ram.translate(addr) >= 0);
}

/** No block gets a page from now on; the page cache, from v5.9 on, keeps what it has. */
export function failPages(k: Kernel): number {
  const { level } = k.config;
  const old = levelAtLeast(level, "2/7")
    ? "kvfree_call_rcu_add_ptr_to_bulk"
    : "kfree_call_rcu_add_ptr_to_bulk";
  const site = levelAtLeast(level, "v5.13") ? "add_ptr_to_bulk_krc_lock" : old;
  return addFailRule(k, { what: "page", site, times: -1 });
}

/** No wrapper gets memory from now on. */
export function failWrappers(k: Kernel): number {
  return addFailRule(k, { what: "slab", site: "attach_rcu_head_to_object", times: -1 });
}

/** The krc of CPU 0. */
export function krc0(k: Kernel): KrcState {
  return krcState(k)[0];
}

/** Lengths of blocks. */
export function lengths(blocks: readonly { readonly nr_records: number }[]): number[] {
  return blocks.map((b) => b.nr_records);
}

/** Sleeps `jiffies` and the rest of the current one. */
export function* sleepJiffies(k: Kernel, jiffies: number): MaySleep<void> {
  yield* schedule_timeout_uninterruptible(k, jiffies);
}

/** count_objects and scan_objects of the shrinker of kvfree_rcu(). */
export function shrinkerFunctions(
  k: Kernel,
): readonly [(sc: shrink_control) => MaySleep<number>, (sc: shrink_control) => MaySleep<number>] {
  const found = shrinkers(k).find((s) => s.count_objects.name === "kfree_rcu_shrink_count");
  assert(found !== undefined, "kvfree_rcu() has registered its shrinker");
  return [(sc) => found.count_objects(k, found, sc), (sc) => found.scan_objects(k, found, sc)];
}

/** Two-argument kvfree_rcu() of a test object. */
export function* queue2(k: Kernel, p: VirtAddr): MaySleep<void> {
  yield* kvfree_rcu(k, p as Ptr<typeof object>, object, "rcu");
}

/** Jiffies after which the monitor has run for sure, with the timer wheel's rounding: an eighth where it is coarse. */
export function monitorIsOver(k: Kernel): number {
  const drain = krcView(k.config.level).shape.drainJiffies(k);
  return drain + 3 + (drain < 64 ? 0 : Math.floor(drain / 8));
}

/** Lets the monitor run, a grace period pass and the worker free. */
export function* drain({ k, rcu }: KvfreeMachine): MaySleep<void> {
  yield* sleepJiffies(k, monitorIsOver(k));
  yield* rcu.pass(k);
  yield* sleepJiffies(k, 1);
}

/** Frees of whole slab blocks. */
export function bulkEvents(k: Kernel, since = 0): EventRecord[] {
  return eventsOf(k, "rcu_invoke_kfree_bulk_callback", since);
}

/** Frees of single pointers. */
export function callbackEvents(k: Kernel, since = 0): EventRecord[] {
  return eventsOf(k, "rcu_invoke_kvfree_callback", since);
}

/** Runs of the monitor, in jiffies after `from` (ns). */
export function monitorJiffies(k: Kernel, from: number): number[] {
  return executionsOf(k, "kfree_rcu_monitor").map((r) => (r.ns - from) / jiffyNs(k)).filter((j) => j >= 0);
}
