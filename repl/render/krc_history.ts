// SPDX-License-Identifier: GPL-2.0-only
// The batches of kvfree_rcu() on tree RCU as the log has them: which slot took what and when, and what a bulk free freed.
//
// Ours. kfree_bulk() has no event for each object, so the way of the pointers is followed: each CPU collects in three
// channels, a drain gives each channel to the first slot in which that channel is empty, the work of a slot frees all of
// it, newest block first. Which channel an object is in is told by its address and by how it was freed. The krc of a CPU
// is known by the addresses of its works, timer and heads. Invariant: read from records and looks only; a drain is taken
// to happen where it gives a work to RCU, or else at the end of the monitor.

import type { Kernel } from "../../kernel/kernel.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { KVFREE_RCU_EVENT } from "../../kernel/trace/events/quiesce.ts";
import { is_vmalloc_addr } from "../../mm/vmalloc.ts";
import { contentObjects } from "../../rcu/krc_look.ts";
import { krcState, krcView } from "../../rcu/kvfree.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { eventId, touchOf } from "./allocations.ts";

/** A slot of a CPU's krc. */
export interface Slot {
  readonly cpu: number;
  readonly slot: number;
}

/** The way of an object through a slot. */
export interface Passage extends Slot {
  /** When it went into the slot. */
  readonly closed: EventRecord;
  /** Where the work of the slot was given to RCU; before `closed` when the object came late. */
  readonly given: EventRecord | undefined;
  /** When the callback of that ran. */
  invoked?: EventRecord;
}

const CHANNELS = ["slab", "vmalloc", "list"] as const;
type Channel = typeof CHANNELS[number];
type Channels = Record<Channel, EventRecord[]>; // of kvfree_rcu()

interface SlotState {
  content: Channels;
  given: EventRecord | undefined;
  /** Passages that wait for its callback. */
  waiting: Passage[];
}

interface KrcModel {
  readonly cpu: number;
  collecting: Channels;
  readonly slots: readonly SlotState[];
}

/** A run of the monitor. */
interface Monitoring {
  readonly krc: KrcModel;
  readonly from: number;
  /** It could give nothing away, and armed its timer again. */
  rearmed: boolean;
}

const CALLBACK = eventId("rcu_callback");
const INVOKE = eventId("rcu_invoke_callback");
const INVOKE_KVFREE = eventId("rcu_invoke_kvfree_callback");
const INVOKE_BULK = eventId("rcu_invoke_kfree_bulk_callback");
const TIMER_START = eventId("timer_start");
const EXECUTE_START = eventId("workqueue_execute_start");
const EXECUTE_END = eventId("workqueue_execute_end");

function empty(): Channels {
  return { slab: [], vmalloc: [], list: [] };
}

/** Reads the batches of all CPUs. */
export class KrcHistory {
  /** By address: works and timers of monitors to their CPU, works and heads of slots to their slot. */
  readonly monitors = new Map<number, number>();
  readonly timers = new Map<number, number>();
  readonly works = new Map<number, Slot>();
  readonly heads = new Map<number, Slot>();
  /** By the event that queued an object: its way through a slot. */
  readonly passages = new Map<number, Passage>();
  /** Objects that collect on a CPU whose timer is not armed. */
  readonly stranded = new Set<number>();
  /** By the event of a bulk free: the events that queued its objects. */
  readonly bulks = new Map<number, readonly EventRecord[]>();

  private readonly krcs: KrcModel[] = [];
  /** By the event that queued them: the channel of objects that were not freed in bulk. */
  private readonly channels: ReadonlyMap<number, Channel | "none">;
  private readonly monitoring = new Map<number, Monitoring>();
  /** What the work that a task executes has yet to free in bulk. */
  private readonly freeing = new Map<number, EventRecord[]>();

  constructor(private readonly k: Kernel) {
    const { shape } = krcView(k.config.level);
    for (const krc of krcState(k)) {
      const { cpu } = krc;
      if (!krc.monitor_todo) {
        for (const object of contentObjects(k, shape, krc)) this.stranded.add(object);
      }
      this.monitors.set(krc.monitorWork, cpu);
      this.timers.set(krc.monitorTimer, cpu);
      for (const [slot, batch] of krc.batches.entries()) {
        this.works.set(batch.work, { cpu, slot });
        this.heads.set(batch.head, { cpu, slot });
      }
      const slots = krc.batches.map(() => ({ content: empty(), given: undefined, waiting: [] }));
      this.krcs.push({ cpu, collecting: empty(), slots });
    }
    this.channels = this.channelsByFree();
    for (const r of k.log.records()) this.take(r);
  }

  /** First pass: what its free, or where it stands, tells about an object. */
  private channelsByFree(): Map<number, Channel | "none"> {
    const channels = new Map<number, Channel | "none">();
    const queued = new Map<number, EventRecord>();
    const inWork = new Map<number, Channel>(); // by task: what it frees one by one
    for (const r of this.k.log.records()) {
      if (r.kind === KVFREE_RCU_EVENT) queued.set(r.args[0], r);
      else if (r.kind === INVOKE_KVFREE) inWork.set(r.task, r.args[2] === 0 ? "vmalloc" : "list");
      else if (r.kind === EXECUTE_END) inWork.delete(r.task);
      const touch = touchOf(r);
      if (touch?.kind === "allocated") queued.delete(touch.addr); // freed in bulk, and used again
      if (touch?.kind !== "freed" || touch.by === "mm_page_free") continue;
      const from = queued.get(touch.addr);
      if (from === undefined) continue;
      channels.set(from.seq, inWork.get(r.task) ?? "none"); // none: the caller waited and freed it
      queued.delete(touch.addr);
    }
    const { shape } = krcView(this.k.config.level);
    for (const krc of krcState(this.k)) {
      for (const { list } of [krc, ...krc.batches]) {
        for (const object of contentObjects(this.k, shape, { slab: [], vmalloc: [], list })) {
          const from = queued.get(object);
          if (from !== undefined) channels.set(from.seq, "list");
        }
      }
    }
    return channels;
  }

  private take(r: EventRecord): void {
    switch (r.kind) {
      case KVFREE_RCU_EVENT: {
        const known = this.channels.get(r.seq);
        const channel = known ?? (is_vmalloc_addr(this.k, r.args[0] as VirtAddr) ? "vmalloc" : "slab");
        if (channel !== "none") this.krcs[r.cpu].collecting[channel].push(r);
        break;
      }
      case EXECUTE_START:
        this.workStarts(r);
        break;
      case EXECUTE_END:
        this.workEnds(r);
        break;
      case TIMER_START: {
        const monitor = this.monitoring.get(r.task);
        if (monitor !== undefined && this.timers.get(r.args[0]) === monitor.krc.cpu) monitor.rearmed = true;
        break;
      }
      case CALLBACK: {
        const slot = this.heads.get(r.args[1]);
        if (slot !== undefined) this.drain(this.krcs[slot.cpu], r, slot.slot, Infinity);
        break;
      }
      case INVOKE: {
        const slot = this.heads.get(r.args[1]);
        if (slot === undefined) break;
        const state = this.krcs[slot.cpu].slots[slot.slot];
        for (const passage of state.waiting) passage.invoked = r;
        state.waiting = [];
        break;
      }
      case INVOKE_BULK: {
        const objects = this.freeing.get(r.task);
        if (objects !== undefined) this.bulks.set(r.seq, objects.splice(-r.args[1]));
        break;
      }
    }
  }

  private workStarts(r: EventRecord): void {
    const monitor = this.monitors.get(r.args[0]);
    const slot = this.works.get(r.args[0]);
    if (monitor !== undefined) {
      this.monitoring.set(r.task, { krc: this.krcs[monitor], from: r.seq, rearmed: false });
    } else if (slot !== undefined) {
      const state = this.krcs[slot.cpu].slots[slot.slot];
      this.freeing.set(r.task, state.content.slab);
      state.content = empty();
    }
  }

  private workEnds(r: EventRecord): void {
    const monitor = this.monitoring.get(r.task);
    if (monitor?.rearmed === false) this.drain(monitor.krc, r, monitor.krc.slots.length - 1, monitor.from);
    this.monitoring.delete(r.task);
    this.freeing.delete(r.task);
  }

  /** The slots up to `last` take what was collected up to event `until`; at `r`, which gives the work of the last to RCU. */
  private drain(krc: KrcModel, r: EventRecord, last: number, until: number): void {
    for (const [i, state] of krc.slots.entries()) {
      if (i > last) break;
      if (r.kind === CALLBACK && i === last) state.given = r;
      for (const channel of CHANNELS) {
        const collected = krc.collecting[channel].filter(({ seq }) => seq < until);
        if (collected.length === 0 || state.content[channel].length > 0) continue;
        state.content[channel] = collected;
        krc.collecting[channel] = krc.collecting[channel].filter(({ seq }) => seq >= until);
        for (const { seq } of collected) {
          const passage: Passage = { cpu: krc.cpu, slot: i, closed: r, given: state.given };
          this.passages.set(seq, passage);
          state.waiting.push(passage);
        }
      }
    }
  }
}
