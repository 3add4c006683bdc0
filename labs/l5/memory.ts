// SPDX-License-Identifier: GPL-2.0-only
/**
 * Whose memory it is: what the student's functions of lab L5 may read and write (property A2).
 *
 * Theirs are the control block, the blocks they allocated, and a head from the call that queues it to its callback.
 * Invariant: what waits for a grace period can be reached from the control block by following words, whenever none of
 * their functions is active.
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { Ledger } from "./ledger.ts";

/** No object of the program is larger, and no two are nearer. */
const OBJECT_BYTES = 128;

/** Words of the control block. */
const CTRL_WORDS = 16;

export class Memory {
  /** Names of addresses, for people. */
  readonly names = new Map<number, string>();
  /** By word: first word and size of what it is part of. */
  private readonly words = new Map<number, { readonly start: number; readonly size: number }>();
  private readonly allocated = new Map<number, number>();
  private waiters = 0;

  constructor(private readonly k: Kernel, private readonly ledger: Ledger, private readonly ctrl: VirtAddr) {
    this.own(ctrl, 8 * CTRL_WORDS, "the control block");
  }

  /** From now on these bytes are the student's. */
  own(start: number, size: number, name: string): void {
    const range = { start, size };
    for (let at = start; at < start + size; at += 8) this.words.set(at, range);
    this.names.set(start, name);
  }

  /** From now on they are not. */
  disown(start: number, size: number): void {
    for (let at = start; at < start + size; at += 8) this.words.delete(at);
  }

  /** The head in an object is not either: the object is freed. */
  disownIn(object: number): void {
    for (let at = object; at < object + OBJECT_BYTES; at += 8) {
      const range = this.words.get(at);
      if (range !== undefined && range.size === 16) this.words.delete(at);
    }
  }

  /** Whether a word is the student's; if not, that is noted. */
  mine(addr: number, what: string): boolean {
    if (this.words.has(addr)) return true;
    const where = Number.isSafeInteger(addr) && addr > 0 ? `ffff${addr.toString(16)}` : String(addr);
    this.ledger.violated(
      "A2",
      `${what} at ${where}: that is not the control block, not a block, and no queued head`,
    );
    return false;
  }

  addBlock(block: number, size: number): void {
    this.own(block, size, "a block");
    this.allocated.set(block, size);
  }

  removeBlock(block: number): boolean {
    const size = this.allocated.get(block);
    if (size === undefined) return false;
    this.allocated.delete(block);
    this.disown(block, size);
    return true;
  }

  /** The blocks that are allocated. */
  blocks(): number[] {
    return [...this.allocated.keys()];
  }

  /** A head for a waiter. */
  waiter(): number {
    const head = this.k.dataAlloc(16);
    this.own(head, 16, `waiter ${++this.waiters}`);
    return head;
  }

  /** An address for people. */
  name(addr: number): string {
    return this.names.get(addr) ?? (addr < 2 ** 40 ? String(addr) : `ffff${addr.toString(16)}`);
  }

  private peek(addr: number): number {
    const phys = this.k.ram.translate(addr as VirtAddr);
    return phys < 0 ? 0 : this.k.ram.rawLoadPtr(phys);
  }

  /** Every word that can be found from the control block on. */
  private reachable(): Set<number> {
    const found = new Set<number>();
    const todo: number[] = [this.ctrl];
    const seen = new Set<number>(todo);
    for (let start = todo.pop(); start !== undefined; start = todo.pop()) {
      const range = this.words.get(start);
      if (range === undefined) continue;
      for (let at = range.start; at < range.start + range.size; at += 8) {
        const word = this.peek(at);
        found.add(word);
        const next = this.words.get(word)?.start;
        if (next === undefined || seen.has(next)) continue;
        seen.add(next);
        found.add(next);
        todo.push(next);
      }
    }
    return found;
  }

  /** Everything that waits must be there. */
  checkReachable(): void {
    const { ledger } = this;
    const objects = ledger.objects();
    const heads = ledger.pending();
    if (objects.length + heads.length === 0) return;
    const found = this.reachable();
    const lost = heads.find((head) => !found.has(head)) ??
      objects.find((object) => ![...found].some((word) => word >= object && word < object + OBJECT_BYTES));
    if (lost === undefined) return;
    const text = `${this.name(lost)} waits, but nothing in memory leads to it from the control block`;
    if (!ledger.broken.some((broken) => broken.text === text)) ledger.violated("A2", text);
  }
}
