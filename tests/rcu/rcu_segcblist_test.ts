// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/rcu_segcblist.ts against a model: four arrays of callbacks and two numbers.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { NULL } from "../../kernel/machine/addr.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { rcu_head } from "../../rcu/rcu.ts";
import {
  rcu_cblist,
  rcu_cblist_dequeue,
  rcu_cblist_init,
  RCU_DONE_TAIL,
  RCU_NEXT_READY_TAIL,
  RCU_NEXT_TAIL,
  rcu_segcblist,
  rcu_segcblist_accelerate,
  rcu_segcblist_advance,
  rcu_segcblist_disable,
  rcu_segcblist_empty,
  rcu_segcblist_enqueue,
  rcu_segcblist_entrain,
  rcu_segcblist_extract_done_cbs,
  rcu_segcblist_first_cb,
  rcu_segcblist_first_pend_cb,
  rcu_segcblist_init,
  rcu_segcblist_insert_count,
  rcu_segcblist_insert_done_cbs,
  rcu_segcblist_merge,
  rcu_segcblist_n_cbs,
  rcu_segcblist_pend_cbs,
  rcu_segcblist_ready_cbs,
  rcu_segcblist_restempty,
  RCU_WAIT_TAIL,
} from "../../rcu/rcu_segcblist.ts";
import { bareKernel, run } from "../helpers.ts";

const SEGMENTS = [RCU_DONE_TAIL, RCU_WAIT_TAIL, RCU_NEXT_READY_TAIL, RCU_NEXT_TAIL];

function newKernel(): Kernel {
  return bareKernel({ memBytes: 8 * 2 ** 20 }, []);
}

function newList(k: Kernel): rcu_segcblist {
  const list = new rcu_segcblist(k);
  rcu_segcblist_init(k, list);
  return list;
}

/** The callbacks of each segment as they stand in memory, by following the links. */
function segments(k: Kernel, list: rcu_segcblist): VirtAddr[][] {
  let link = list.head;
  return SEGMENTS.map((seg) => {
    const members: VirtAddr[] = [];
    while (link !== list.tails[seg]) {
      const head = k.ram.loadPtr(link);
      assert(head !== NULL, `segment ${seg} ends before its tail`);
      members.push(head);
      link = (head + rcu_head.offsetof("next")) as VirtAddr;
    }
    return members;
  });
}

/** The list as its documentation has it. */
class Model {
  parts: VirtAddr[][] = [[], [], [], []];
  gp_seq = [0, 0, 0, 0];
  len = 0;

  enqueue(head: VirtAddr): void {
    this.parts[RCU_NEXT_TAIL].push(head);
    this.len++;
  }

  entrain(head: VirtAddr): boolean {
    if (this.len === 0) return false;
    const last = SEGMENTS.findLast((seg) => this.parts[seg].length > 0) ?? RCU_DONE_TAIL;
    this.parts[last].push(head);
    this.len++;
    return true;
  }

  pending(): boolean {
    return this.parts.slice(1).some((part) => part.length > 0);
  }

  advance(seq: number): void {
    if (!this.pending()) return;
    const { parts, gp_seq } = this;
    for (let done = 0; done < 2 && seq >= gp_seq[RCU_WAIT_TAIL]; done++) {
      parts[RCU_DONE_TAIL].push(...parts[RCU_WAIT_TAIL]);
      parts[RCU_WAIT_TAIL] = parts[RCU_NEXT_READY_TAIL];
      parts[RCU_NEXT_READY_TAIL] = [];
      if (done === 0) gp_seq[RCU_WAIT_TAIL] = gp_seq[RCU_NEXT_READY_TAIL];
    }
  }

  accelerate(seq: number): boolean {
    if (!this.pending()) return false;
    const { parts, gp_seq } = this;
    const target =
      [RCU_NEXT_READY_TAIL, RCU_WAIT_TAIL, RCU_DONE_TAIL].find((seg) =>
        seg === RCU_DONE_TAIL || (parts[seg].length > 0 && gp_seq[seg] < seq)
      )! + 1;
    if (target === RCU_NEXT_TAIL) return false;
    for (let seg = target + 1; seg <= RCU_NEXT_TAIL; seg++) {
      parts[target].push(...parts[seg]);
      parts[seg] = [];
    }
    for (let seg = target; seg < RCU_NEXT_TAIL; seg++) gp_seq[seg] = seq;
    return true;
  }
}

type Step = { op: "enqueue" | "entrain" | "advance" | "accelerate" | "batch"; n: number };

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom("enqueue", "enqueue", "entrain", "advance", "accelerate", "batch"),
  n: fc.integer({ min: 0, max: 3 }),
});

function compare(k: Kernel, list: rcu_segcblist, model: Model): void {
  assertEquals(segments(k, list), model.parts);
  assertEquals(rcu_segcblist_n_cbs(list), model.len);
  assertEquals(rcu_segcblist_empty(k, list), model.parts.every((part) => part.length === 0));
  assertEquals(rcu_segcblist_ready_cbs(list), model.parts[0].length > 0);
  assertEquals(rcu_segcblist_pend_cbs(k, list), model.pending());
  assertEquals(rcu_segcblist_first_cb(k, list), model.parts.flat()[0] ?? NULL);
  assertEquals(rcu_segcblist_first_pend_cb(k, list), model.parts.slice(1).flat()[0] ?? NULL);
  for (const seg of SEGMENTS) {
    const rest = model.parts.slice(seg + 1).every((part) => part.length === 0);
    assertEquals(rcu_segcblist_restempty(k, list, seg), rest);
    const numbered = seg === RCU_WAIT_TAIL || seg === RCU_NEXT_READY_TAIL;
    if (numbered && model.parts[seg].length > 0) assertEquals(list.gp_seq[seg], model.gp_seq[seg]);
  }
}

Deno.test("rcu_segcblist does what four arrays do, through any sequence of operations", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const k = newKernel();
      const list = newList(k);
      const batch = new rcu_cblist(k);
      const model = new Model();
      let seq = -1200;
      for (const { op, n } of steps) {
        const head = k.dataAlloc(rcu_head.size);
        if (op === "enqueue") {
          run(rcu_segcblist_enqueue(k, list, head));
          model.enqueue(head);
        } else if (op === "entrain") {
          assertEquals(rcu_segcblist_entrain(k, list, head), model.entrain(head));
        } else if (op === "advance") {
          seq += 4 * n;
          rcu_segcblist_advance(k, list, seq);
          model.advance(seq);
        } else if (op === "accelerate") {
          const wanted = seq + 4 * (1 + n % 2);
          assertEquals(rcu_segcblist_accelerate(k, list, wanted), model.accelerate(wanted));
        } else {
          invokeSome(k, list, batch, model, n);
        }
        compare(k, list, model);
      }
      assertEquals(k.reports.length, 0);
    }),
    { numRuns: 200 },
  );
});

/** What rcu_do_batch() does with the list: takes all that may run, invokes `n`, puts the others back. */
function invokeSome(k: Kernel, list: rcu_segcblist, batch: rcu_cblist, model: Model, n: number): void {
  rcu_cblist_init(k, batch);
  rcu_segcblist_extract_done_cbs(k, list, batch);
  assertEquals(rcu_segcblist_n_cbs(list), model.len, "those that are being invoked still count");
  const done = model.parts[RCU_DONE_TAIL];
  for (let i = 0; i < n; i++) {
    assertEquals(rcu_cblist_dequeue(k, batch), done[0] ?? NULL);
    if (done.shift() !== undefined) model.len--;
  }
  rcu_segcblist_insert_done_cbs(k, list, batch);
  rcu_segcblist_insert_count(k, list, batch);
}

Deno.test("rcu_segcblist_accelerate() returns true though nothing was left to number, as 5.7 does", () => {
  const k = newKernel();
  const list = newList(k);
  run(rcu_segcblist_enqueue(k, list, k.dataAlloc(rcu_head.size)));
  assertEquals(rcu_segcblist_accelerate(k, list, -1196), true);
  assertEquals(rcu_segcblist_accelerate(k, list, -1192), true, "a second grace period for one callback");
  assertEquals(rcu_segcblist_accelerate(k, list, -1192), true, "and again: the segment behind it is empty");
  assertEquals(segments(k, list).map((part) => part.length), [0, 1, 0, 0]);
});

Deno.test("rcu_segcblist_entrain() refuses an empty list", () => {
  const k = newKernel();
  const list = newList(k);
  assertEquals(rcu_segcblist_entrain(k, list, k.dataAlloc(rcu_head.size)), false);
  assertEquals([rcu_segcblist_n_cbs(list), rcu_segcblist_empty(k, list)], [0, true]);
});

Deno.test("rcu_segcblist_merge() keeps every callback: ready ones ready, the others new", () => {
  const k = newKernel();
  const [mine, dead] = [newList(k), newList(k)];
  const heads = Array.from({ length: 6 }, () => k.dataAlloc(rcu_head.size));
  for (const list of [mine, dead]) {
    const own = list === mine ? heads.slice(0, 3) : heads.slice(3);
    run(rcu_segcblist_enqueue(k, list, own[0]));
    rcu_segcblist_accelerate(k, list, -1196);
    run(rcu_segcblist_enqueue(k, list, own[1]));
    rcu_segcblist_accelerate(k, list, -1192);
    run(rcu_segcblist_enqueue(k, list, own[2]));
    rcu_segcblist_advance(k, list, -1196);
  }
  rcu_segcblist_merge(k, mine, dead, new rcu_cblist(k), new rcu_cblist(k));
  const [done, wait, ready, next] = segments(k, mine);
  assertEquals(done, [heads[3], heads[0]], "those of the dead CPU come first");
  assertEquals([wait, ready], [[heads[1]], []]);
  assertEquals(next, [heads[2], heads[4], heads[5]]);
  assertEquals([rcu_segcblist_n_cbs(mine), rcu_segcblist_n_cbs(dead)], [6, 0]);
  rcu_segcblist_disable(k, dead);
  assertEquals([dead.enabled, k.reports.length], [false, 0]);
});

Deno.test("rcu_segcblist reports what its users must not do, and goes on", () => {
  const k = newKernel();
  const list = newList(k);
  run(rcu_segcblist_enqueue(k, list, k.dataAlloc(rcu_head.size)));
  rcu_segcblist_disable(k, list);
  assertEquals(k.reports.length, 2, "not empty, and a count");
  assertEquals([rcu_segcblist_ready_cbs(list), rcu_segcblist_pend_cbs(k, list)], [false, false]);
  rcu_segcblist_advance(k, list, -1196);
  rcu_segcblist_accelerate(k, list, -1196);
  assertEquals(k.reports.length, 4);
});
