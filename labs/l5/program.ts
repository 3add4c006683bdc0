// SPDX-License-Identifier: GPL-2.0-only
/**
 * The program of lab L5: a list of steps for a thread, one for the tick's interrupt, on a machine with somebody's tiny RCU.
 *
 * Invariant: what the steps do depends on the options only. At the end the thread waits until nothing is outstanding, or
 * for longer than anything may take, and then the ledger says what is missing.
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { udelay, user_mode } from "../../kernel/entry.ts";
import { GFP_NOWAIT } from "../../kernel/gfp.ts";
import type { rcu_callback_t } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { preempt_disable, preempt_enable } from "../../kernel/preempt.ts";
import { TICK_NSEC } from "../../kernel/time/jiffies.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import type { OptionValues, Scenario, ScenarioOption } from "../../explore/scenario.ts";
import { kfree, kmalloc } from "../../mm/slub.ts";
import { vmalloc } from "../../mm/vmalloc.ts";
import { rcu_read_lock, rcu_read_unlock } from "../../rcu/rcupdate.ts";
import type { TinyCode } from "./code.ts";
import { TinyMachine } from "./machine.ts";
import { HANDOUT, VARIANT_WORDS, variantFrom, variantText } from "./variants.ts";

/** Steps of the thread. */
export const TASK_STEPS: readonly string[] = [
  "call", // call_rcu() of a new callback
  "again", // of one that queues itself again, five times
  "lock", // rcu_read_lock()
  "unlock",
  "spin", // two ticks in the kernel
  "sleep", // a tick; a context switch
  "user", // a tick and a half in user mode
  "sync", // synchronize_rcu()
  "barrier", // rcu_barrier()
  "head", // kvfree_call_rcu() of a new object with its head
  "headless", // without
  "vmalloc", // without, of vmalloc memory
  "atomic", // without, where one must not sleep
  "twice", // of the last object again, as it was given before
];
/** Steps of the interrupt. */
export const IRQ_STEPS: readonly string[] = ["call", "again", "head"];

/** Bytes of an object with a head, and where the head can be in it. */
const OBJECT_SIZE = 100;
const HEAD_OFFSETS = [0, 8, 24, 48];
/** Times that a callback queues itself again. */
const AGAIN = 5;

const OPTIONS: readonly ScenarioOption[] = [
  { name: "task", kind: "list", help: "steps of the thread", default: "call,sleep", values: TASK_STEPS },
  {
    name: "irq",
    kind: "list",
    help: "steps of the tick's interrupt, one a tick",
    default: "",
    values: IRQ_STEPS,
  },
  { name: "slow", kind: "int", help: "ticks that works come late", default: "0", max: 100 },
  {
    name: "variant",
    kind: "list",
    help: "the machine's variant, as lab start says it",
    default: variantText(HANDOUT),
    values: VARIANT_WORDS,
  },
];

/** An object that was given, for "twice". */
interface Last {
  readonly object: number;
  readonly head: number;
  readonly name: string;
}

/** One run of the program. */
class Play {
  private callbacks = 0;
  private objects = 0;
  private last: Last | null = null;
  private reader: { readonly begun: number } | null = null;
  private readonly irq: string[];
  /** Heads and objects for the interrupt, made beforehand. */
  private readonly stock: VirtAddr[] = [];

  constructor(
    private readonly k: Kernel,
    private readonly tm: TinyMachine,
    private readonly options: OptionValues,
  ) {
    this.irq = words(options.irq);
  }

  *run(): MaySleep<void> {
    const { k, tm, options } = this;
    for (const _ of this.irq) this.stock.push(yield* kmalloc(k, OBJECT_SIZE, GFP_NOWAIT));
    tm.onTick = () => this.tick();
    for (const step of words(options.task)) {
      tm.ledger.row("task", `-- ${step}`);
      yield* this.step(step);
      tm.checkMemory();
    }
    while (this.reader !== null) yield* this.unlock();
    yield* this.settle();
    this.irq.length = 0;
    for (const memory of this.stock) yield* kfree(k, memory);
    tm.ledger.finish(tm.memory.blocks().length);
  }

  /** Waits until nothing is outstanding; not longer than it may take. */
  private *settle(): MaySleep<void> {
    const { k, tm } = this;
    const most = 4 * (tm.variant.drain + tm.slow) + 40;
    // What a work that was begun has to do comes after the last object is freed.
    for (let i = 0, rest = 3; i < most && rest > 0; i++) {
      yield* schedule_timeout_uninterruptible(k, 1);
      tm.checkMemory();
      if (tm.ledger.outstanding === 0) rest--;
    }
  }

  private *tick(): Atomic<void> {
    const step = this.irq.shift();
    const memory = this.stock.pop();
    if (step === undefined || memory === undefined || memory === 0) return;
    if (step === "head") yield* this.giveHead(memory) as Atomic<void>;
    else yield* this.call(memory, step === "again" ? AGAIN : 0);
  }

  private *step(step: string): MaySleep<void> {
    const { k, tm } = this;
    switch (step) {
      case "call":
      case "again": {
        const head = yield* kmalloc(k, OBJECT_SIZE, GFP_NOWAIT);
        if (head !== 0) yield* this.call(head, step === "again" ? AGAIN : 0);
        break;
      }
      case "lock":
        if (this.reader !== null) break;
        yield* rcu_read_lock(k);
        this.reader = tm.ledger.readerBegins();
        break;
      case "unlock":
        yield* this.unlock();
        break;
      case "spin":
        yield* udelay(k, 2 * TICK_NSEC(k) / 1000);
        break;
      case "sleep":
        if (this.reader === null) yield* schedule_timeout_uninterruptible(k, 1);
        break;
      case "user":
        if (this.reader === null) yield* user_mode(k, 1.5 * TICK_NSEC(k));
        break;
      case "sync":
        yield* this.reported("S5", "synchronize_rcu()", () => k.rcu.synchronize_rcu(k));
        break;
      case "barrier":
        if (this.reader === null) yield* k.rcu.rcu_barrier(k);
        break;
      default:
        yield* this.kvfreeStep(step);
    }
  }

  private *kvfreeStep(step: string): MaySleep<void> {
    const { k, last } = this;
    if (step === "twice") {
      if (last !== null && this.tm.ledger.waits(last.object)) {
        yield* this.tm.give(last.object, last.head, last.name);
      }
      return;
    }
    if (step === "vmalloc" && this.reader !== null) return; // vmalloc() itself would sleep
    const object = step === "vmalloc" ? yield* vmalloc(k, 4096) : yield* kmalloc(k, OBJECT_SIZE, GFP_NOWAIT);
    if (object === 0) return;
    if (step === "head") yield* this.giveHead(object);
    else if (step === "atomic") {
      preempt_disable(k);
      yield* this.giveHeadless(object, true);
      preempt_enable(k);
    } else yield* this.giveHeadless(object, false);
  }

  private *unlock(): MaySleep<void> {
    const { k, tm, reader } = this;
    if (reader === null) return;
    this.reader = null;
    yield* rcu_read_unlock(k);
    tm.ledger.readerEnds(reader);
  }

  private call(head: number, again: number): Atomic<void> {
    const { tm } = this;
    const name = `cb${++this.callbacks}`;
    let left = again;
    const callback: rcu_callback_t = (k) =>
      left-- > 0 ? tm.callRcu(head, callback, name) : kfree(k, head as VirtAddr);
    return tm.callRcu(head, callback, name);
  }

  private giveHead(object: VirtAddr): MaySleep<void> {
    const n = ++this.objects;
    const head = object + HEAD_OFFSETS[n % HEAD_OFFSETS.length];
    const name = `obj${n}`;
    this.tm.ledger.allocated(object);
    this.last = { object, head, name };
    return this.tm.give(object, head, name);
  }

  private *giveHeadless(object: VirtAddr, atomic: boolean): MaySleep<void> {
    const { tm } = this;
    const name = `obj${++this.objects}`;
    tm.ledger.allocated(object);
    this.last = { object, head: 0, name };
    const inReader = this.reader !== null;
    yield* this.reported(
      "F2",
      "the headless kvfree_call_rcu()",
      () => tm.give(object, 0, name, atomic || inReader),
      atomic,
    );
  }

  /** Carries out what must be reported in a reader (or where `atomic` says so), and must not be outside. */
  private *reported(
    property: string,
    what: string,
    act: () => MaySleep<void>,
    atomic = false,
  ): MaySleep<void> {
    const { k, tm: { ledger } } = this;
    const wrong = atomic || this.reader !== null;
    const before = k.reports.length;
    const broken = ledger.broken.length;
    yield* act();
    if (ledger.broken.length > broken) return; // those are reports, too
    const reports = k.reports.length - before;
    if (!wrong && reports > 0) {
      ledger.violated(property, `${what} is reported where it is allowed: ${k.reports[before].title}`);
    } else if (wrong && reports === 0 && !ledger.reported.has(property)) {
      const where = this.reader !== null ? "inside a reader" : "with preemption off";
      ledger.violated(property, `${what} ${where} is not reported`);
    }
    if (wrong) ledger.reported.add(property);
  }
}

function words(text: string): string[] {
  return text.split(",").filter((word) => word !== "");
}

/** What a run of the program is about. */
export interface ProgramOf {
  readonly name: string;
  /** The functions, for each run anew. */
  code(options: OptionValues): TinyCode;
  /** Whether what waits must hang in memory. */
  readonly lives: boolean;
  /** Further options. */
  readonly options?: readonly ScenarioOption[];
  /** Told of each run's machine as it begins. */
  begins?(tm: TinyMachine): void;
}

/** The program as a scenario. */
export function tinyProgram(of: ProgramOf): Scenario {
  return {
    name: of.name,
    summary: "steps on a machine with this tiny RCU",
    options: [...OPTIONS, ...of.options ?? []],
    *main(k: Kernel, options: OptionValues): MaySleep<void> {
      const tm = new TinyMachine(k, of.code(options), variantFrom(options.variant), of.lives);
      tm.slow = Number(options.slow);
      of.begins?.(tm);
      tm.install();
      yield* new Play(k, tm, options).run();
    },
  };
}
