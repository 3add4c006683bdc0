// SPDX-License-Identifier: GPL-2.0-only
// What kvfree_rcu() of tree RCU holds, CPU by CPU: what collects, the two slots that wait, the spare pages, the timer.
//
// Ours. A look at rcu/krc_look.ts. Invariants: every number is read from the machine; a CPU that holds nothing, not even
// a spare page, has no lines; what is left out is counted.

import { heading, row, type Shown } from "../command.ts";
import { plainFields } from "../output.ts";
import { levelAtLeast } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { formatAddr, NULL } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { ptr } from "../../kernel/machine/struct.ts";
import { jiffies } from "../../kernel/time/jiffies.ts";
import type { KrcBatch, KrcBlock, KrcShape, KrcState } from "../../rcu/krc_look.ts";
import { krcState, krcView } from "../../rcu/kvfree.ts";
import { treeCpu } from "../../rcu/tree_look.ts";
import { count } from "./verdict.ts";

/** Most CPUs, and pointers of a chain, that are listed. */
const MOST_CPUS = 8;
const MOST_LISTED = 10;
/** Callbacks of a segment among which the one of a slot is looked for. */
const DEEP = 1000;

/** The lines of `krc`. */
export function* treeKrcLines(k: Kernel, only?: number): Generator<Shown, void, void> {
  const { shape } = krcView(k.config.level);
  const all = krcState(k).filter((krc) => only === undefined ? holdsSomething(krc) : krc.cpu === only);
  const drain = shape.drainJiffies(k);
  yield row(
    "kvfree_rcu",
    { capacity: shape.capacity, drain_jiffies: drain },
    `kvfree_rcu(): blocks of ${shape.capacity} pointers, a batch goes ${drain} jiffies after its first pointer`,
  );
  if (all.length === 0) yield heading(`nothing on ${count(k.cpus.length, "CPU")}`);
  for (const krc of all.slice(0, MOST_CPUS)) {
    yield row("krc", plainFields(krc), ...cpuLines(k, shape, krc));
  }
  if (all.length > MOST_CPUS) yield `and ${count(all.length - MOST_CPUS, "CPU")} more`;
}

function holdsSomething(krc: KrcState): boolean {
  return krc.monitor_todo || krc.monitorPending || krc.spares.some((page) => page !== NULL) ||
    !isEmpty(krc) ||
    krc.batches.some((batch) => batch.pending || !isEmpty(batch));
}

type Content = Pick<KrcState, "slab" | "vmalloc" | "list">;

function isEmpty({ slab, vmalloc, list }: Content): boolean {
  return slab.length === 0 && vmalloc.length === 0 && list.length === 0;
}

function* cpuLines(k: Kernel, shape: KrcShape, krc: KrcState): Generator<string, void, void> {
  yield `CPU ${krc.cpu}: count ${krc.count}, ${monitorText(k, krc)}${krc.locked ? ", locked" : ""}`;
  yield* contentLines(k, shape, "collecting", krc);
  for (const [i, batch] of krc.batches.entries()) {
    const state = slotText(k, batch);
    if (isEmpty(batch)) yield `  slot ${i}: ${batch.pending ? `nothing in it, ${state}` : "free"}`;
    else yield* contentLines(k, shape, `slot ${i}, ${state}`, batch);
  }
  yield `  spare pages: ${sparesText(k, krc)}`;
  if (!isEmpty(krc) && !krc.monitor_todo) {
    yield "  ! what collects has no timer: it stays until the next kvfree_rcu() on this CPU";
  }
}

/** Up to 7/7 a slot for each channel, later one stock. */
function sparesText(k: Kernel, { spares }: KrcState): string {
  const pages = spares.map((page) => page === NULL ? "none" : formatAddr(page));
  if (levelAtLeast(k.config.level, "v5.9")) return pages.length === 0 ? "none" : pages.join(" ");
  return pages.length === 1 ? pages[0] : `slab ${pages[0]}, vmalloc ${pages[1]}`;
}

function monitorText(k: Kernel, { monitor_todo, monitorPending, monitorExpires }: KrcState): string {
  const todo = `monitor_todo ${monitor_todo ? 1 : 0}`;
  if (!monitorPending) return `${todo}, no timer`;
  const left = monitorExpires - jiffies(k);
  return left >= 0
    ? `${todo}, timer expires in ${left === 1 ? "1 jiffy" : `${left} jiffies`}`
    : `${todo}, timer has expired: the monitor is queued`;
}

/** What the work of a slot waits for. */
function slotText(k: Kernel, batch: KrcBatch): string {
  if (!batch.pending) return "its work is not pending";
  for (const { id } of k.cpus) {
    const { segments, len } = treeCpu(k, id, 0);
    if (len === 0) continue;
    for (const [i, segment] of treeCpu(k, id, DEEP).segments.entries()) {
      if (!segment.callbacks.some(({ head }) => head === batch.head)) continue;
      if (i === 0) return `its grace period is over, CPU ${id} will invoke its callback`;
      const seq = segments[i].gp_seq;
      return seq === null
        ? `waits on CPU ${id}'s list for a grace period that has no number yet`
        : `waits on CPU ${id}'s list for gp_seq ${seq}`;
    }
  }
  return "its grace period is over, its work is queued";
}

function* contentLines(
  k: Kernel,
  shape: KrcShape,
  what: string,
  content: Content,
): Generator<string, void, void> {
  const { slab, vmalloc, list } = content;
  if (isEmpty(content)) {
    yield `  ${what}: nothing`;
    return;
  }
  yield `  ${what}:`;
  yield* channelLines(k, shape, "slab", slab);
  yield* channelLines(k, shape, "vmalloc", vmalloc);
  if (list.length > 0) {
    yield* pointerLines(`list: ${count(list.length, "head")}, last queued first`, list.length, list);
  }
}

function* channelLines(
  k: Kernel,
  shape: KrcShape,
  name: string,
  chain: readonly KrcBlock[],
): Generator<string, void, void> {
  if (chain.length === 0) return;
  const total = chain.reduce((sum, block) => sum + block.nr_records, 0);
  yield* pointerLines(
    `${name}: ${count(total, "pointer")} in ${count(chain.length, "block")}`,
    total,
    chain.flatMap((block) => recordsOf(k, shape, block)),
  );
}

function* pointerLines(
  head: string,
  total: number,
  pointers: readonly number[],
): Generator<string, void, void> {
  yield `    ${head}`;
  const shown = pointers.slice(0, MOST_LISTED).map((p) => formatAddr(p));
  for (let i = 0; i < shown.length; i += 4) yield `      ${shown.slice(i, i + 4).join(" ")}`;
  if (total > shown.length) yield `      and ${total - shown.length} more`;
}

/** The first pointers of a block, as they stand in RAM. */
function recordsOf(k: Kernel, { records }: KrcShape, { addr, nr_records }: KrcBlock): VirtAddr[] {
  return Array.from({ length: Math.min(nr_records, MOST_LISTED) }, (_, i) => {
    const at = k.ram.translate(addr + records + i * ptr.size);
    return at < 0 ? NULL : k.ram.rawLoadPtr(at);
  });
}
