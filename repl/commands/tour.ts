// SPDX-License-Identifier: GPL-2.0-only
// The guided first five minutes: a script of steps over the commands that everybody has.
//
// Ours. A step tells, asks for a prediction, carries out commands as if they had been typed, and says what they showed.
// On a terminal Enter skips a question; in a pipe the questions are shown and nobody waits. Invariants: the tour knows
// nothing that the commands do not show; a command that ends with another status than the step expects ends the tour
// with that status, so a test that runs the tour notices.

import type { Command, Lines, Output } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { STATUS } from "../status.ts";

/** A command, and the status with which it has to end. */
type Typed = readonly [string | ((session: KernelSession) => Promise<string>), number];

interface Step {
  readonly tell: readonly string[];
  /** What to predict before the commands run. */
  readonly ask?: string;
  readonly type: readonly Typed[];
  readonly then: readonly string[];
}

const EXAMPLE = "ext4_kvfree_array_rcu";
const BOOT = "boot --rcu tiny --seed 7";

const STEPS: readonly Step[] = [
  {
    tell: [
      "ext4 keeps its group descriptors in an array. Growing the filesystem replaces",
      "the array by a larger copy, while readers index the old one under",
      "rcu_read_lock(). The old array may go only when every reader that could still",
      "see it has left: after a grace period. Here is a machine with one CPU and tiny",
      "RCU, the smallest there is.",
    ],
    type: [[BOOT, 0]],
    then: [],
  },
  {
    tell: [
      "A writer makes the array one longer; two readers look into it again and again.",
      "The writer hands the old array to kvfree_rcu(), and does not wait.",
    ],
    ask: "When is the old array freed: at once, at the next tick, or later?",
    type: [[`run ${EXAMPLE} --variant kvfree_rcu --grows 1`, 0], ["timeline", 0]],
    then: [
      "A is the old array: Q is kvfree_rcu(), F is its free, | is the wait between. It",
      "waited for the batch timer (t), so that many pointers share one grace period,",
      "and then for the next context switch (g): on one CPU that is a grace period. No",
      "reader overlaps the writer here: without preemption, whoever is inside",
      "rcu_read_lock() leaves before anything else runs. Readers on other CPUs come",
      "with tree RCU.",
    ],
  },
  {
    tell: ["Is everything that was allocated still needed by somebody?"],
    type: [["leaks", 0]],
    then: ["Live means that something points at it: the new array, and what that holds."],
  },
  {
    tell: [
      "Before kvfree_rcu(ptr), ext4 had a helper of its own: it allocates a stub of 24",
      "bytes to queue the array by. The mails of the series print the helper with a way",
      "out for when the stub cannot be had. Now that allocation, and no other, fails.",
    ],
    ask: "What becomes of the old array?",
    type: [[BOOT, 0], [`run ${EXAMPLE} --variant printed --grows 1 --fail kmalloc`, 0], ["leaks", 1]],
    then: [
      "It is lost: nothing points at it, and nothing will free it. The last line does",
      "all of this again on any machine (help replay).",
    ],
  },
  {
    tell: ["Step back to the last thing that the helper freed in this run."],
    ask: "Which line of the helper is wrong? (examples/ext4_kvfree_array_rcu.ts)",
    type: [[gotoWrongFree, 0], ["timeline", 0]],
    then: [
      "This kvfree() got NULL. Without memory for the stub, the helper waits for a",
      "grace period and then frees `ptr`, which is the stub that it did not get. It",
      "has to free `to_free`, the array; and so it was merged:",
    ],
  },
  {
    tell: [],
    type: [[BOOT, 0], [`run ${EXAMPLE} --variant fixed --grows 1 --fail kmalloc`, 0], ["leaks", 0]],
    then: [],
  },
];

const NEXT: readonly string[] = [
  "What to try next",
  "  run ext4_kvfree_array_rcu --fail page    kvfree_rcu() without a page; timeline",
  "  goto kvfree_rcu; step 5; rstep 3         stop anywhere, go on, go back",
  "  trace -e rcu:* -e workqueue:*            the kernel's own trace events",
  "  kmalloc(k, 100, GFP_KERNEL)              a kernel function, from TypeScript",
  "  obj _; rd _ 2; leaks                     what became of its value",
  "  run mine.ts                              a file of yours (help run)",
  "  help                                     everything else",
];

/** Goes to where the helper freed what it should not have. */
async function gotoWrongFree({ k, sites }: KernelSession): Promise<string> {
  const { touchOf } = await import("../render/allocations.ts");
  let event = 0;
  for (const record of k.log.records()) {
    if (touchOf(record)?.kind === "freed" && sites.nameOf(record) === EXAMPLE) event = record.seq;
  }
  return `goto ${event}`;
}

const tour: Command<KernelSession> = {
  name: "tour",
  group: "learn",
  summary: "the guided first five minutes",
  kind: "configure",
  description: "It boots machines of its own in place of the one that is there.",
  examples: [{ line: "tour", shows: "a run, a timeline, a leak, and the line that caused it" }],
  async *run(session): Lines {
    for (const [i, step] of STEPS.entries()) {
      const status = yield* carryOut(session, step, i);
      if (status !== undefined) {
        yield `tour: that ended with status ${status}, which it should not; please report it`;
        return STATUS.fault;
      }
    }
    yield "";
    yield* NEXT;
  },
};

/** One step. Returns the status that was not expected, if any. */
async function* carryOut(
  session: KernelSession,
  step: Step,
  i: number,
): AsyncGenerator<Output, number | undefined> {
  const { host } = session;
  if (i > 0) yield "";
  yield* step.tell;
  if (step.ask !== undefined) {
    yield step.ask;
    const answer = host.answers ? await host.ask("Your guess (Enter skips): ") : undefined;
    if (answer !== undefined && answer.trim() !== "") yield `You said: ${answer.trim()}. Let us see.`;
  }
  for (const [j, [command, expected]] of step.type.entries()) {
    const text = typeof command === "string" ? command : await command(session);
    if (j > 0 || step.tell.length > 0) yield "";
    yield `quiesce> ${text}`;
    const status = await host.execute(text);
    if (status !== expected) return status;
  }
  if (step.then.length > 0) yield "";
  yield* step.then;
  return undefined;
}

/** In the order in which `help` lists them. */
export const tourCommands: readonly Command<KernelSession>[] = [tour];
