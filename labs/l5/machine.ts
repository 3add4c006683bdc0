// SPDX-License-Identifier: GPL-2.0-only
/**
 * The machine of lab L5: the rest of tiny RCU around the student's functions, and what those may use of the kernel.
 *
 * Given here: the hooks of tick, context switch and ksoftirqd; the softirq; the works of kvfree_rcu(). Invariant: the
 * student's functions touch memory only through load() and store(), which are points, which count, and which refuse what
 * is not the student's (property A2).
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep, STEP } from "../../kernel/machine/effects.ts";
import { POINT_READ, POINT_SOFTIRQ, POINT_WRITE, pt } from "../../kernel/machine/points.ts";
import { WARN_ONCE } from "../../kernel/bug.ts";
import { __GFP_NOWARN, gfp, GFP_NOWAIT } from "../../kernel/gfp.ts";
import type { KvfreeLevelOps, rcu_callback_t, RcuOps } from "../../kernel/hooks.ts";
import { functionAt, isText, ksym } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { inMarkedReader } from "../../kernel/locking/lockdep_rcu.ts";
import { in_irq, in_serving_softirq, local_irq_restore, local_irq_save } from "../../kernel/preempt.ts";
import { report } from "../../kernel/printk.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { current, might_sleep, resched_cpu, set_tsk_need_resched } from "../../kernel/sched/core.ts";
import { is_idle_task } from "../../kernel/sched/sched.ts";
import {
  local_bh_disable,
  local_bh_enable,
  open_softirq,
  raise_softirq,
  RCU_SOFTIRQ,
} from "../../kernel/softirq.ts";
import { TICK_NSEC } from "../../kernel/time/jiffies.ts";
import { delayed_work, INIT_DELAYED_WORK, schedule_delayed_work } from "../../kernel/workqueue.ts";
import { trace_call_rcu, trace_mark } from "../../kernel/trace/events/quiesce.ts";
import { trace_rcu_invoke_callback } from "../../kernel/trace/events/rcu.ts";
import { kfree, kmalloc } from "../../mm/slub.ts";
import { kvfree } from "../../mm/util.ts";
import type { TinyCode } from "./code.ts";
import { Ledger } from "./ledger.ts";
import { Memory } from "./memory.ts";
import type { Tiny, TinyVariant } from "./start.ts";

/** Mistakes of the host language in the student's code; anything else is not the student's to make. */
const MISTAKES = [TypeError, RangeError, ReferenceError];

/** One machine with one student's functions. */
export class TinyMachine {
  readonly ledger: Ledger;
  readonly memory: Memory;
  private readonly m: Tiny;
  private readonly ctrl: VirtAddr;
  private readonly queued = new Set<number>();
  /** Heads of callbacks that the kernel's log knows of. */
  private readonly told = new Set<number>();
  private readonly waiters = new Map<number, completion>();
  private readonly monitor = new delayed_work();
  private readonly works: { readonly head: VirtAddr; readonly work: delayed_work; busy: boolean }[] = [];
  /** Functions of the student that are active, by name. */
  private readonly active: string[] = [];
  /** Accesses since interrupts went off, and who turned them off. */
  private off: { readonly name: string; accesses: number } | null = null;
  /** Ticks that works come late. */
  slow = 0;
  /** The line of the student's file at which an error was thrown, if it is known. */
  lineOf: (error: unknown) => number | null = () => null;
  /** Called at each tick. */
  onTick: () => Atomic<void> = doneVoid;

  /** `lives`: whether what waits must hang in memory. */
  constructor(
    readonly k: Kernel,
    private readonly code: TinyCode,
    readonly variant: TinyVariant,
    private readonly lives: boolean,
  ) {
    this.ledger = new Ledger(variant, () => k.now(), TICK_NSEC(k));
    this.ctrl = k.dataAlloc(16 * 8);
    for (let i = 0; i < 16; i++) k.ram.storePtr((this.ctrl + 8 * i) as VirtAddr, 0 as VirtAddr);
    this.memory = new Memory(k, this.ledger, this.ctrl);
    this.m = this.facade();
    INIT_DELAYED_WORK(k, this.monitor, () => this.monitorRuns());
    for (let slot = 0; slot < variant.slots; slot++) {
      const entry = { head: k.dataAlloc(16), work: new delayed_work(), busy: false };
      INIT_DELAYED_WORK(k, entry.work, () => this.workRuns(slot));
      this.works.push(entry);
    }
    this.ledger.onRow = ({ text }) => trace_mark(k, text);
    this.ledger.onBroken = ({ property, text }) =>
      report(k, 4, `l5: ${property}: ${text}`, [`l5: ${property}: ${text}`]);
  }

  /** In place of the machine's RCU, from now on. */
  install(): void {
    const { k } = this;
    open_softirq(k, RCU_SOFTIRQ, () => this.softirq());
    k.rcu = { ...k.rcu, ...this.rcuHooks() };
    k.kvfree = { ...k.kvfree, ...this.kvfreeHooks() };
  }

  /** Calls a function of the student: what it throws is the student's mistake. */
  private *call(name: keyof TinyCode, ...args: number[]): MaySleep<void> {
    const { active, ledger, code, m } = this;
    active.push(name);
    ledger.calls[name] = (ledger.calls[name] ?? 0) + 1;
    ledger.row(this.context(), `${name}(${args.map((a) => this.memory.name(a)).join(", ")})`);
    try {
      yield* (code[name] as (m: Tiny, ...args: number[]) => MaySleep<void>).call(code, m, ...args);
    } catch (error) {
      if (!(error instanceof Error) || !MISTAKES.some((type) => error instanceof type)) throw error;
      const line = this.lineOf(error);
      const where = line === null ? "" : `line ${line}: `;
      ledger.violated("A2", `${where}${name}() throws ${error.name}: ${error.message}`);
    } finally {
      active.splice(active.lastIndexOf(name), 1);
      if (this.off?.name === name) {
        ledger.violated("A2", `${name}() returns with interrupts off`);
        this.off = null;
        local_irq_restore(this.k, 1 as never);
      }
    }
  }

  private context(): "task" | "softirq" | "hardirq" {
    return in_irq(this.k) ? "hardirq" : in_serving_softirq(this.k) ? "softirq" : "task";
  }

  /** Whether none of the student's functions is active. */
  get quiet(): boolean {
    return this.active.length === 0;
  }

  /** Whether everything that waits can be reached from the control block. */
  checkMemory(): void {
    if (this.lives && this.quiet) this.memory.checkReachable();
  }

  private *softirq(): Atomic<void> {
    this.ledger.roundBegins();
    yield* this.call("rcu_process_callbacks") as Atomic<void>;
    this.ledger.roundEnds();
  }

  private *quiescent(): Atomic<void> {
    this.ledger.qsBegins();
    yield* this.call("rcu_qs") as Atomic<void>;
    this.ledger.qsEnds();
  }

  private *tick(k: Kernel, user: boolean): Atomic<void> {
    yield* this.onTick();
    if (user) yield* this.quiescent();
    else if (this.ledger.outstanding > 0) set_tsk_need_resched(k, current(k));
  }

  /** call_rcu() as the rest of the kernel calls it. */
  *callRcu(head: number, func: rcu_callback_t | number, name = this.memory.name(head)): Atomic<void> {
    const { k, ledger, memory } = this;
    ledger.callBegins(head, name);
    memory.own(head, 16, name);
    const addr = typeof func === "number" ? func : ksym(k, func);
    yield* this.call("call_rcu", head, addr) as Atomic<void>;
    // The kernel's own monitors know one order only, and no calls that overlap.
    if (ledger.callEnds(head) && this.variant.order === "fifo") {
      this.told.add(head);
      trace_call_rcu(k, head, addr);
    }
    if (is_idle_task(current(k))) resched_cpu(k, 0);
  }

  private *synchronize(): MaySleep<void> {
    this.ledger.count.syncs++;
    yield* this.call("synchronize_rcu");
  }

  private *barrier(): MaySleep<void> {
    const before = this.ledger.barrierBegins();
    yield* this.call("rcu_barrier");
    this.ledger.barrierEnds(before);
  }

  /** kvfree_call_rcu() as the rest of the kernel calls it, with the object's address and the head's or 0. */
  *give(object: number, head: number, name: string, atomic = false): MaySleep<void> {
    const { ledger, memory, variant } = this;
    ledger.giveBegins(object, name, head === 0, atomic);
    if (head !== 0) memory.own(head, 16, name);
    memory.names.set(object, name);
    const offset = head - object;
    const func = head === 0 || variant.func === "object"
      ? object
      : variant.func === "words"
      ? offset / 8
      : offset;
    yield* this.call("kvfree_call_rcu", head, func);
    ledger.giveEnds(object);
  }

  private rcuHooks(): Partial<RcuOps> {
    return {
      flavour: "tiny",
      rcu_note_context_switch: () => this.quiescent(),
      rcu_softirq_qs: () => this.quiescent(),
      rcu_sched_clock_irq: (k, user) => this.tick(k, user),
      call_rcu: (_k, head, func) => this.callRcu(head, func),
      synchronize_rcu: () => this.synchronize(),
      rcu_barrier: () => this.barrier(),
      pendingAddresses: () => [...this.ledger.pending(), ...this.ledger.objects()] as VirtAddr[],
      busy: () => this.ledger.outstanding > 0,
    };
  }

  private kvfreeHooks(): Partial<KvfreeLevelOps> {
    const kvfree_call_rcu = (_k: Kernel, head: VirtAddr | null, func: number): MaySleep<void> =>
      this.give(head === null ? func : head - func, head ?? 0, this.memory.name(head ?? func));
    return {
      kvfree_call_rcu: kvfree_call_rcu as KvfreeLevelOps["kvfree_call_rcu"],
      pendingAddresses: () => this.ledger.objects() as VirtAddr[],
      ownAddresses: () => this.memory.blocks() as VirtAddr[],
      busy: () => this.ledger.objects().length > 0,
    };
  }

  private *monitorRuns(): MaySleep<void> {
    if (this.works.every(({ busy }) => busy)) this.ledger.count.allBusy++;
    yield* this.call("kvfree_rcu_monitor");
  }

  private *workRuns(slot: number): MaySleep<void> {
    yield* this.call("kvfree_rcu_work", slot);
    this.works[slot].busy = false;
  }

  private *afterGracePeriod(slot: number): Atomic<void> {
    const { k, slow, works } = this;
    yield* schedule_delayed_work(k, works[slot].work, slow);
  }

  // What the student's functions may use

  private *load(addr: number): Atomic<number> {
    const { k } = this;
    if (pt(k, POINT_READ, "load")) yield STEP;
    this.counts();
    return this.memory.mine(addr, "load") ? k.ram.loadPtr(addr as VirtAddr) : 0;
  }

  private *store(addr: number, value: number): Atomic<void> {
    const { k } = this;
    if (pt(k, POINT_WRITE, "store")) yield STEP;
    this.counts();
    if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`store: ${value} is no word`);
    if (this.memory.mine(addr, "store")) k.ram.storePtr(addr as VirtAddr, value as VirtAddr);
  }

  private counts(): void {
    const { ledger, off } = this;
    const name = this.active.at(-1) ?? "?";
    ledger.accesses[name] = (ledger.accesses[name] ?? 0) + 1;
    if (off !== null) ledger.irqsOff[off.name] = Math.max(ledger.irqsOff[off.name] ?? 0, ++off.accesses);
  }

  private irqSave(): boolean {
    const { k } = this;
    const on = k.cpu.irqsOn;
    local_irq_save(k);
    if (on) this.off = { name: this.active.at(-1) ?? "?", accesses: 0 };
    return on;
  }

  private irqRestore(flags: boolean): void {
    if (typeof flags !== "boolean") {
      throw new TypeError(`local_irq_restore: ${flags} is not what local_irq_save() gave`);
    }
    if (!flags) return;
    if (this.off === null && !this.k.cpu.irqsOn) {
      this.ledger.violated(
        "A2",
        `${this.active.at(-1)}() turns interrupts on that were off when it was called`,
      );
      return;
    }
    this.off = null;
    local_irq_restore(this.k, 1 as never);
  }

  private *invoke(head: number, func: number): Atomic<void> {
    const { k, ledger, memory, waiters } = this;
    if (pt(k, POINT_SOFTIRQ, "CB6")) yield STEP;
    ledger.ran();
    memory.disown(head, 16);
    ledger.row(this.context(), `invoke ${memory.name(head)}`);
    if (this.told.delete(head)) trace_rcu_invoke_callback(k, "", head, func);
    if (!waiters.has(head)) ledger.invoked(head);
    if (!isText(k, func as VirtAddr)) {
      ledger.violated("S3", `${memory.name(head)} is invoked with ${func}, which is no function`);
      return;
    }
    local_bh_disable(k);
    yield* (functionAt(k, func as VirtAddr) as rcu_callback_t)(k, head as VirtAddr);
    yield* local_bh_enable(k);
  }

  private *free(object: number): Atomic<void> {
    const { k, ledger, memory } = this;
    ledger.ran();
    ledger.row(this.context(), `kvfree ${memory.name(object)}`);
    if (!ledger.frees(object)) return;
    memory.disownIn(object);
    yield* kvfree(k, object as VirtAddr);
  }

  private *allocBlock(): Atomic<number> {
    const { k, ledger, memory, variant } = this;
    const size = 16 + 8 * variant.capacity;
    const block = yield* kmalloc(k, size, gfp(GFP_NOWAIT, __GFP_NOWARN));
    ledger.row(this.context(), block === 0 ? "alloc_block: no memory" : "alloc_block");
    if (block === 0) return 0;
    ledger.count.blocks++;
    memory.addBlock(block, size);
    return block;
  }

  private *freeBlock(block: number): Atomic<void> {
    if (!this.memory.removeBlock(block)) {
      this.ledger.violated("A1", `free_block(${block.toString(16)}): that is no block of yours`);
      return;
    }
    this.ledger.row(this.context(), "free_block");
    yield* kfree(this.k, block as VirtAddr);
  }

  private *scheduleMonitor(ticks: number): Atomic<void> {
    const { drain } = this.variant;
    if (ticks !== drain) {
      this.ledger.violated("A1", `the monitor is wanted in ${ticks} ticks; ${drain} is right`);
    }
    yield* schedule_delayed_work(this.k, this.monitor, Math.max(0, Math.floor(ticks)) || 0);
  }

  private *queueWork(slot: number): Atomic<void> {
    const entry = this.works[slot];
    if (entry === undefined) throw new RangeError(`queue_rcu_work: there is no slot ${slot}`);
    if (entry.busy) {
      this.ledger.violated("F4", `queue_rcu_work(${slot}): the slot is busy`);
      return;
    }
    entry.busy = true;
    const after = (): Atomic<void> => this.afterGracePeriod(slot);
    yield* this.callRcu(entry.head, after, `work ${slot}`);
  }

  private initWaiter(): number {
    const head = this.memory.waiter();
    this.waiters.set(head, new completion("rcu_barrier"));
    return head;
  }

  private *waitFor(head: number): MaySleep<void> {
    const waiter = this.waiters.get(head);
    if (waiter === undefined) throw new TypeError(`wait_for_completion: ${head} is no waiter`);
    yield* wait_for_completion(this.k, waiter);
    this.waiters.delete(head);
  }

  private debugQueue(object: number): boolean {
    if (!this.queued.has(object)) {
      this.queued.add(object);
      return true;
    }
    WARN_ONCE(
      this.k,
      true,
      `kvfree_call_rcu(): ${this.memory.name(object)} is queued already`,
      "l5 debug_rcu_head",
    );
    return false;
  }

  private facade(): Tiny {
    const { k, waiters } = this;
    const wake: rcu_callback_t = (_k, head) => {
      const waiter = waiters.get(head);
      if (waiter !== undefined) complete(k, waiter);
      return doneVoid();
    };
    return Object.freeze<Tiny>({
      variant: this.variant,
      ctrl: this.ctrl,
      load: (addr) => this.load(addr),
      store: (addr, value) => this.store(addr, value),
      local_irq_save: () => this.irqSave(),
      local_irq_restore: (flags) => this.irqRestore(flags),
      raise_softirq: () => raise_softirq(k, RCU_SOFTIRQ),
      is_function: (func) => isText(k, func as VirtAddr),
      invoke: (head, func) => this.invoke(head, func),
      init_waiter: () => this.initWaiter(),
      wakeme_after_rcu: ksym(k, wake),
      wait_for_completion: (head) => this.waitFor(head),
      rcu_read_lock_held: () => inMarkedReader(k),
      might_sleep: () => might_sleep(k),
      WARN_ONCE: (text) => void WARN_ONCE(k, true, String(text), `l5 ${text}`),
      alloc_block: () => this.allocBlock(),
      free_block: (block) => this.freeBlock(block),
      kvfree: (object) => this.free(object),
      schedule_monitor: (ticks) => this.scheduleMonitor(ticks),
      queue_rcu_work: (slot) => this.queueWork(slot),
      debug_rcu_head_queue: (object) => this.debugQueue(object),
      debug_rcu_head_unqueue: (object) => void this.queued.delete(object),
    });
  }
}
