// SPDX-License-Identifier: GPL-2.0-only
/**
 * The programs of lab L5's checks: for each property a few that come into its situation in the given variant, and others
 * drawn by a seed.
 *
 * @module
 */

import { Random } from "../../kernel/machine/random.ts";
import type { Script } from "./bench.ts";
import type { TinyVariant } from "./start.ts";

/** `n` times a step. */
export function times(n: number, step: string): string {
  return Array<string>(n).fill(step).join(",");
}

/** Steps, one after the other. */
export function steps(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(",");
}

/** Programs for a property of the run part. */
export function scriptsFor(property: string, v: TinyVariant): Script[] {
  const rest = times(v.drain + 4, "sleep");
  switch (property) {
    case "S1":
      return [
        { task: "lock,call,spin,unlock,sleep", irq: "call,call" },
        { task: "lock,spin,call,call,spin,unlock,user,lock,call,unlock,sleep", irq: "call,call,call" },
      ];
    case "S2":
      return [
        { task: "call,call,sleep,call,user,call,spin,sleep", irq: "call,call,call" },
        { task: "again,user,user,again,user" },
      ];
    case "S3":
      return [
        { task: steps(times(7, "call"), "sleep", times(3, "call"), "user,call,call,sleep") },
        { task: "call,call,user,call,call,call,spin,call,sleep", irq: "call,call,again,call" },
      ];
    case "L1":
      return [
        { task: steps(times(9, "call"), "sleep"), strict: true },
        { task: steps(times(5, "call"), "user,user", times(5, "call"), "user,sleep"), strict: true },
        { task: "again,again,call,sleep,sleep,call,user", strict: true },
      ];
    case "S4":
      return [
        {
          task: steps("again,again", times(6, "call"), "sleep", times(4, "call"), "user,sleep"),
          irq: "again,call",
        },
        { task: steps(times(12, "call"), "user", times(3, "again"), "sleep") },
      ];
    case "S5":
      return [{ task: "sync,call,sync,sleep,lock,sync,unlock" }, { task: "call,sleep,sync" }];
    case "S6":
      return [
        { task: steps(times(5, "call"), "barrier,call,call,call,barrier,barrier") },
        { task: "again,call,barrier,call,user,call,barrier", irq: "call,call" },
      ];
    case "F1":
      return [
        { task: steps(times(v.capacity + 1, "head"), "vmalloc,headless,headless", rest, "head,head") },
        { task: "lock,head,spin,unlock,headless,sleep,vmalloc", irq: "head,head" },
        { task: "head,headless,head,vmalloc,sleep,head", noBlocksFrom: 1 },
      ];
    case "F2":
      return [{ task: "headless,sleep,atomic,vmalloc" }, {
        task: "head,headless,vmalloc,lock,headless,unlock",
      }];
    case "F3":
      return [
        { task: steps("head,twice,headless,twice,twice", rest, "head,headless") },
        { task: "head,twice,call,headless", noBlocksFrom: 1 },
      ];
    case "F4":
      return [{ task: busySteps(v), slow: 40 }];
    case "A1": {
      const [many, more] = [times(2 * v.capacity + 1, "head"), times(v.capacity + 1, "headless")];
      return [{ task: steps(many, rest, more, rest) }];
    }
    default:
      return [
        { task: steps("call,head", times(3, "headless"), "call,sleep,again,head", rest, "call") },
        { task: "call,call,user,head,call,barrier", irq: "call,head,call" },
        { task: "head,call,head,sleep,call", noBlocksFrom: 1 },
      ];
  }
}

/** Batch after batch, until all slots are busy and one more is collected. */
export function busySteps(v: TinyVariant): string {
  const batch = steps("head,headless", times(v.drain + 2, "sleep"));
  return steps(...Array<string>(v.slots + 1).fill(batch), "head");
}

const CALLBACK_STEPS = [
  "call",
  "call",
  "call",
  "again",
  "sleep",
  "user",
  "spin",
  "barrier",
  "sync",
  "lock",
  "unlock",
];
const KVFREE_STEPS = [
  "head",
  "headless",
  "vmalloc",
  "twice",
  "sleep",
  "call",
  "user",
  "head",
  "lock",
  "unlock",
];

/** A program drawn by a seed: of callbacks, or of kvfree_rcu(). */
export function drawnScript(kind: "callbacks" | "kvfree", seed: number, v: TinyVariant): Script {
  const random = new Random(seed, kind === "callbacks" ? 511 : 512);
  const from = kind === "callbacks" ? CALLBACK_STEPS : KVFREE_STEPS;
  const drawn: string[] = [];
  let inReader = false;
  while (drawn.length < 24) {
    const step = from[random.below(from.length)];
    if (inReader && ["sync", "barrier", "headless", "vmalloc"].includes(step)) continue;
    if (step === "twice" && !["head", "headless"].includes(drawn.at(-1) ?? "")) continue;
    if (step === "lock") inReader = true;
    if (step === "unlock") inReader = false;
    drawn.push(step);
  }
  const irqFrom = kind === "callbacks" ? ["call", "call", "again"] : ["head", "call"];
  const irq = Array.from({ length: 8 }, () => irqFrom[random.below(irqFrom.length)]).join(",");
  const slow = kind === "kvfree" && random.below(2) === 1 ? 3 * v.drain : 0;
  const last = kind === "kvfree" ? "unlock,head,twice,atomic" : "unlock,call,barrier";
  return { task: steps(drawn.join(","), last), irq, slow };
}
