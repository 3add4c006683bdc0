// SPDX-License-Identifier: GPL-2.0-only
// The biography of an address: what it is, and who allocated, queued and freed it, when.
//
// Ours. What it is now is asked of the allocators, what happened to it of the log. Invariant: any address inside an
// object is as good as its first; an address that was used again shows every life that the log still holds.

import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  ADDRESS_LIMIT,
  formatAddr,
  PAGE_OFFSET,
  PAGE_SIZE,
  pfnToVirt,
  TEXT_START,
} from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { show_gfp_flags } from "../../kernel/gfp.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import { compound_head, mem_map, page_address, PG_buddy, virt_to_page } from "../../mm/mm_types.ts";
import { slabObjectAt } from "../../mm/slab_live.ts";
import { vmallocAreaAt } from "../../mm/vmalloc.ts";
import { row, type Shown } from "../command.ts";
import type { SiteTable } from "../sites.ts";
import { type Touch, touchOf } from "./allocations.ts";
import { seconds } from "./dmesg.ts";

/** A piece of memory: from where, how long, and what the allocators say of it. */
interface Piece {
  readonly addr: number;
  readonly size: number;
  readonly text: string;
  /** Part of a slab: the life of its page is another story. */
  readonly slab?: boolean;
}

/** The lines of `obj ADDR`. Yields nothing when the address is no memory of the machine. */
export function* objectLines(
  k: Kernel,
  view: TraceView,
  sites: SiteTable,
  addr: VirtAddr,
): Generator<Shown, void, void> {
  const piece = pieceAt(k, addr);
  if (piece === undefined) return;
  const inside = addr === piece.addr ? "" : `${formatAddr(addr)} is ${addr - piece.addr} bytes into `;
  const found = {
    addr: formatAddr(piece.addr),
    size: piece.size,
    offset: addr - piece.addr,
    text: piece.text,
  };
  yield row("object", found, `${inside}${formatAddr(piece.addr)}: ${piece.text}`);
  let known = false;
  for (const r of k.log.records()) {
    const touch = touchOf(r);
    if (touch === undefined || touch.addr < piece.addr || touch.addr >= piece.addr + piece.size) continue;
    if (piece.slab === true && "by" in touch && touch.by.startsWith("mm_page_")) continue;
    known = true;
    const place = touch.kind === "invoked" ? "" : sites.placeOf(r);
    const by = `${view.comm(r.task)}/${r.task}`;
    const line = `  event ${String(r.seq).padStart(6)} ${seconds(r.ns)}  ${touch.kind.padEnd(9)}  by ${by}` +
      `${place === "" ? "" : ` in ${place}`}${detail(k, touch)}`;
    yield row("touch", { event: r.seq, ns: r.ns, what: touch.kind, by, place }, line);
  }
  if (!known) yield "  no event of the log is about it";
}

function detail(k: Kernel, touch: Touch): string {
  switch (touch.kind) {
    case "allocated":
      return `, ${touch.by} of ${touch.size} bytes, ${show_gfp_flags(touch.gfp)}`;
    case "freed":
      return `, ${touch.by}`;
    case "queued":
      return touch.by === "kvfree_rcu" ? ", kvfree_rcu" : `, call_rcu of ${functionText(k, touch.func)}`;
    case "invoked":
      return `, ${functionText(k, touch.func)}`;
  }
}

function functionText(k: Kernel, func: number): string {
  return func < 4096 ? `a head at offset ${func}` : kallsyms_lookup(k, func);
}

/** What the allocators say of an address. */
function pieceAt(k: Kernel, addr: VirtAddr): Piece | undefined {
  const area = vmallocAreaAt(k, addr);
  if (area !== null) {
    const text = `vmalloc area of ${area.requested} bytes, ${area.nr_pages} pages, ${
      pendingText(k, area.addr, area.size)
    }`;
    return { addr: area.addr, size: area.size, text };
  }
  const slab = slabObjectAt(k, addr);
  if (slab !== undefined) {
    const state = slab.birth === 0
      ? "never handed out"
      : slab.live
      ? pendingText(k, slab.addr, slab.cache.size)
      : "freed";
    const size = slab.birth === 0 ? "" : `${slab.size} bytes, `;
    return {
      addr: slab.addr,
      size: slab.cache.size,
      text: `object of ${slab.cache.name}, ${size}${state}`,
      slab: true,
    };
  }
  if (addr >= PAGE_OFFSET && addr < PAGE_OFFSET + k.ram.size) return pageAt(k, addr);
  return formerArea(k, addr) ?? textAt(k, addr);
}

/** A page of RAM that is no slab. */
function pageAt(k: Kernel, addr: VirtAddr): Piece {
  const m = mem_map(k);
  if (addr < pfnToVirt(0) + k.dataEnd) {
    return { addr: pfnToVirt(0), size: k.dataEnd, text: "the kernel's own .data" };
  }
  const head = compound_head(m, virt_to_page(addr));
  const base = page_address(head);
  const free = (m.flags[head] & PG_buddy) !== 0 || m._refcount[head] === 0;
  const size = PAGE_SIZE << (free ? 0 : m.order[head]);
  const text = free
    ? "free page"
    : `${size / PAGE_SIZE === 1 ? "page" : `${size / PAGE_SIZE} pages`}, ${pendingText(k, base, size)}`;
  return { addr: base, size, text };
}

/** A vmalloc area that is gone, as the log knows it. */
function formerArea(k: Kernel, addr: number): Piece | undefined {
  let found: Piece | undefined;
  for (const r of k.log.records()) {
    const touch = touchOf(r);
    if (touch?.kind !== "allocated" || touch.by !== "vmalloc") continue;
    if (addr < touch.addr || addr >= touch.addr + touch.size) continue;
    found = { addr: touch.addr, size: touch.size, text: `was a vmalloc area of ${touch.size} bytes, freed` };
  }
  return found;
}

function textAt(k: Kernel, addr: number): Piece | undefined {
  if (addr < TEXT_START || addr >= ADDRESS_LIMIT) return undefined;
  const name = kallsyms_lookup(k, addr);
  return name.startsWith("0x") ? undefined : { addr, size: 1, text: `text of ${name}` };
}

/** Whether live memory waits in RCU. */
function pendingText(k: Kernel, addr: number, size: number): string {
  for (const p of k.kvfree.pendingAddresses(k)) {
    if (p >= addr && p < addr + size) return "waits in kvfree_rcu()";
  }
  for (const p of k.rcu.pendingAddresses(k)) {
    if (p >= addr && p < addr + size) return "waits on RCU's callback list";
  }
  return "live";
}
