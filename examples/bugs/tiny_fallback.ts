// SPDX-License-Identifier: GPL-2.0-only
/**
 * B6: in tiny RCU, what finds no page keeps its note of being queued.
 *
 * On a machine with one CPU a driver frees a request, whose rcu_head stands at its start, and, where the level can, a
 * buffer that has none. Memory is short: who may not sleep gets no page. The machine has DEBUG_OBJECTS_RCU_HEAD, which
 * keeps book of what is queued. Each object is given to kvfree_rcu() once.
 */

import {
  __GFP_NOWARN,
  addFailRule,
  clearFailRules,
  embed,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  levelAtLeast,
  type MaySleep,
  type OptionValues,
  type Ptr,
  rcu_head,
  type Scenario,
  struct,
  ulong,
  type VirtAddr,
} from "../../mod.ts";
import { type Bug } from "./bug.ts";
import { giveHeadless, giveHeadlessNeeds } from "./give_headless.ts";

const request = struct("request", { rcu: embed(rcu_head), tag: ulong });
const BUFFER_BYTES = 512;

export const tinyFallbackScenario: Scenario = {
  name: "kvfree_tiny_fallback",
  summary: "a driver frees a request and a buffer by kvfree_rcu() while memory is short",
  options: [{
    name: "free",
    kind: "list",
    values: ["request", "buffer"],
    default: "request,buffer",
    help: "the request has an rcu_head, the buffer has not",
  }],
  needs: ({ free }: OptionValues) => free.includes("buffer") ? giveHeadlessNeeds() : [],
  *main(k: Kernel, { free }: OptionValues): MaySleep<void> {
    const short = addFailRule(k, {
      what: "page",
      gfp: gfp(GFP_NOWAIT, __GFP_NOWARN),
      gfpMask: -1,
      times: -1,
    });
    if (free.includes("buffer")) yield* giveHeadless(k, yield* kmalloc(k, BUFFER_BYTES, GFP_KERNEL));
    if (free.includes("request")) {
      const r = (yield* kmalloc(k, request.size, GFP_KERNEL)) as VirtAddr as Ptr<typeof request>;
      yield* kvfree_rcu(k, r, request, "rcu");
    }
    clearFailRules(k, short);
  },
};

export default tinyFallbackScenario;

export const bug: Bug = {
  id: "B6",
  title:
    "debug objects in tiny RCU: what finds no page still counts as queued; with a head it is a false double free",
  why: [
    "kvfree_call_rcu() notes the object as queued before it knows which way it will go: without a page the buffer is " +
    "freed in the call, with its note.",
    "The request goes to call_rcu(), which notes its rcu_head, and for a head at the start of the object that is the same " +
    "address a second time: reported as a double free.",
  ],
  history: "6/7 of the series; ended when tiny RCU went without blocks in May 2020, so never in Linux",
  levels: ["6/7", "7/7"],
  gone: "v5.9",
  shownAt: "7/7",
  demo: {
    scenario: tinyFallbackScenario,
    file: "examples/bugs/tiny_fallback.ts",
    machine: () => ({ rcu: "tiny", debugObjects: true }),
    // Before 6/7 tiny RCU frees nothing without a head.
    options: (level) => ({ free: levelAtLeast(level, "6/7") ? "request,buffer" : "request" }),
  },
};
