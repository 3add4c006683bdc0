// SPDX-License-Identifier: GPL-2.0-only
/**
 * Pointers given to kvfree_rcu().
 *
 * KV1 (P10 for kvfree_rcu): freed only after every reader has ended that was open at the call. KV2: freed once. KV3: at
 * the end of a run that comes to rest none is left: what waits then waits for ever. The levels have the bugs that they
 * had: at those with B9 a run may break KV1, with B8 KV3.
 *
 * Slab blocks are freed without an event for each pointer: they are read from the block when its freeing is announced,
 * so the log alone does not tell, the machine must stand there.
 * A pointer that was freed is remembered until its address is allocated again.
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { AddressTable } from "./address_table.ts";
import type { Findings, Monitor, RunEnd, Seen } from "./monitor.ts";
import { addressText, type Readers } from "./readers.ts";

const POINTER_SIZE = 8;

/** What stands for a pointer that has been freed. One that waits has the event of the call, which is never so low. */
const FREED = 1;
/** Its freeing was announced, the event of the allocator is to come. */
const ANNOUNCED = 2;

function isFreed(state: number): boolean {
  return state === FREED || state === ANNOUNCED;
}

export class Kvfree implements Monitor {
  private readonly pointers: AddressTable;
  /** Pointers that wait. */
  private waiting = 0;
  readonly on: Monitor["on"];

  constructor(
    private readonly k: Kernel,
    private readonly readers: Readers,
    private readonly findings: Findings,
  ) {
    this.pointers = new AddressTable(k.config.memBytes);
    const allocated = (e: Seen): void => {
      if (isFreed(this.pointers.get(e.a))) this.pointers.set(e.a, 0);
    };
    const released = (e: Seen): void => this.release(e);
    this.on = {
      kvfree_rcu: (e) => this.given(e),
      rcu_invoke_kfree_bulk_callback: (e) => this.announceBlock(e, e.c, e.b),
      rcu_invoke_kvfree_callback: (e) => this.announceOne(e, e.b - e.c),
      kfree: released,
      kmem_cache_free: released,
      vfree: released,
      kmalloc: allocated,
      kmem_cache_alloc: allocated,
      kmalloc_node: allocated,
      kmem_cache_alloc_node: allocated,
      vmalloc: allocated,
    };
  }

  private given(e: Seen): void {
    if (this.pointers.get(e.a) <= ANNOUNCED) this.waiting++;
    this.pointers.set(e.a, e.seq);
  }

  private peek(addr: number): number {
    const phys = this.k.ram.translate(addr as VirtAddr);
    return phys < 0 ? 0 : this.k.ram.rawLoadPtr(phys);
  }

  private announceBlock(e: Seen, records: number, nr: number): void {
    const { ram } = this.k;
    const phys = ram.translate(records as VirtAddr); // a block is a page
    if (phys < 0) return;
    for (let i = 0; i < nr; i++) this.free(e, ram.rawLoadPtr(phys + i * POINTER_SIZE), FREED);
  }

  /** `start` is the object, or the wrapper of a headless one, whose first word is the object. */
  private announceOne(e: Seen, start: number): void {
    if (this.pointers.get(start) !== 0) this.free(e, start, ANNOUNCED);
    else this.free(e, this.peek(start), ANNOUNCED);
  }

  private free(e: Seen, ptr: number, next: number): void {
    const call = this.pointers.get(ptr);
    if (call === 0) return; // given to it before the run
    if (isFreed(call)) {
      this.twice(e, ptr);
      return;
    }
    this.waiting--;
    this.pointers.set(ptr, next);
    const old = this.readers.oldest();
    if (old >= call) return;
    const what = `${addressText(ptr)}, given to kvfree_rcu() by event ${call}`;
    const text = `${what}, is freed by event ${e.seq} before the reader of event ${old} ends`;
    this.findings.violated("KV1", e.seq, text);
  }

  /** The allocator gets a pointer back. */
  private release(e: Seen): void {
    const state = this.pointers.get(e.a);
    if (state === 0) return;
    if (state === ANNOUNCED) this.pointers.set(e.a, FREED);
    else this.free(e, e.a, FREED);
  }

  private twice(e: Seen, ptr: number): void {
    const text = `${addressText(ptr)} was freed after kvfree_rcu() and is freed again by event ${e.seq}`;
    this.findings.violated("KV2", e.seq, text);
  }

  finish(end: RunEnd): void {
    if (!end.idle || this.waiting === 0) return;
    let first: readonly [number, number] = [0, Infinity];
    for (const entry of this.pointers.list()) if (!isFreed(entry[1]) && entry[1] < first[1]) first = entry;
    const text = `${this.waiting} pointers given to kvfree_rcu() wait and nothing will free them; ` +
      `the first: ${addressText(first[0])}, event ${first[1]}`;
    this.findings.violated("KV3", this.k.seq, text);
  }
}
