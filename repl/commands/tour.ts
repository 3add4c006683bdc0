// SPDX-License-Identifier: GPL-2.0-only
// The guided first five minutes: a script of steps over the commands that everybody has.
//
// Ours. A step tells, asks for a prediction, carries out commands as if they had been typed, says whether the prediction
// was right, and what they showed. On a terminal Enter skips a question and ^D ends the tour; in a pipe the questions are
// shown and nobody waits. Invariants: the tour knows nothing that the commands do not show; a command that ends with
// another status than the step expects ends the tour with that status, so a test that runs the tour notices.

import type { Command, Lines, Output } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { STATUS } from "../status.ts";

/** A command, and the status with which it has to end. */
type Typed = readonly [string | ((session: KernelSession) => Promise<string>), number];

/** Something to predict before the commands run. */
interface Question {
  readonly text: string;
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly right: "a" | "b" | "c";
}

interface Step {
  readonly tell: readonly string[];
  readonly ask?: Question;
  readonly type: readonly Typed[];
  readonly then: readonly string[];
}

const EXAMPLE = "ext4_kvfree_array_rcu";
const BOOT = "boot --cpus 4 --seed 7";
const BOOT_TINY = "boot --rcu tiny --seed 7";

const STEPS: readonly Step[] = [
  {
    tell: [
      "ext4 keeps its group descriptors in an array. Growing the filesystem replaces",
      "the array by a larger copy, while readers index the old one under",
      "rcu_read_lock(). The old array may go only when every reader that could still",
      "see it has left: after a grace period. Here is a machine with four CPUs and",
      "tree RCU, the one that large machines run.",
    ],
    type: [[BOOT, 0]],
    then: [],
  },
  {
    tell: [
      "A writer on CPU 0 makes the array one longer. Three readers, on CPUs 1 to 3,",
      "look into it, the slowest for 36 ms; they are inside when the writer hands the",
      "old array to kvfree_rcu(), and the writer does not wait.",
    ],
    ask: {
      text: "When is the old array freed?",
      a: "20 ms after kvfree_rcu(), when its batch timer fires",
      b: "when the writer is done",
      c: "when all three readers have left",
      right: "c",
    },
    type: [[`run ${EXAMPLE} --variant kvfree_rcu --grows 1 --hold 36`, 0], ["timeline", 0]],
    then: [
      "A is the old array: Q is kvfree_rcu(), F is its free, | is the wait between.",
      "First it waited for the batch timer (t), so that many pointers share one grace",
      "period, and then for the grace period (g): for every CPU to say that whoever",
      "read there has left. It is freed some ms after the last reader was out, because",
      "RCU looks only now and then at CPUs that do not report by themselves.",
    ],
  },
  {
    tell: [
      "So somebody kept the array alive, long after the batch timer.",
    ],
    ask: {
      text: "Who was it?",
      a: "reader/0 on CPU 1, which came first",
      b: "reader/2 on CPU 3, which stayed longest",
      c: "the writer on CPU 0",
      right: "b",
    },
    type: [["rcu why", 0]],
    then: [
      "The array itself counts nobody, and the readers wrote nothing anywhere. RCU",
      "knows CPUs: it asked all four, and CPU 3 could not answer while reader/2 was",
      "inside. A reader that came later, and could only see the new array, would have",
      "been waited for just the same, had it come before the grace period began.",
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
      "One CPU is enough for this: tiny RCU is the smallest there is.",
    ],
    ask: {
      text: "What becomes of the old array?",
      a: "it is freed later, when there is memory again",
      b: "it is freed while readers use it",
      c: "it is never freed",
      right: "c",
    },
    type: [[BOOT_TINY, 0], [`run ${EXAMPLE} --variant printed --grows 1 --fail kmalloc`, 0], [
      "leaks",
      1,
    ]],
    then: [
      "It is lost: nothing points at it, and nothing will free it. The last line does",
      "all of this again on any machine (help replay).",
    ],
  },
  {
    tell: ["Step back to the last thing that the helper freed in this run."],
    ask: {
      text: "Which line of the helper is wrong? (examples/ext4_kvfree_array_rcu.ts)",
      a: "the kmalloc(): it should ask for more",
      b: "the synchronize_rcu(): it does not wait for the readers",
      c: "the kvfree() after it: it frees something else",
      right: "c",
    },
    type: [[gotoWrongFree, 0], ["timeline", 0]],
    then: [
      "This kvfree() got NULL. Without memory for the stub, the helper waits for a",
      "grace period and then frees `ptr`, which is the stub that it did not get. It",
      "has to free `to_free`, the array; and so it was merged:",
    ],
  },
  {
    tell: [],
    type: [[BOOT_TINY, 0], [`run ${EXAMPLE} --variant fixed --grows 1 --fail kmalloc`, 0], ["leaks", 0]],
    then: [],
  },
  {
    tell: [
      "The other half of the bargain is the reader's. Here the readers take the array",
      "out of their section: rcu_read_lock(), the pointer, rcu_read_unlock(), and then",
      "a long walk over the array. There are four CPUs again.",
    ],
    ask: {
      text: "What happens?",
      a: "nothing: the pointer was read under rcu_read_lock()",
      b: "the array is freed under a reader, which then reads freed memory",
      c: "the array is never freed, because a reader has a pointer to it",
      right: "b",
    },
    type: [[BOOT, 0], [`run ${EXAMPLE} --grows 1 --reader escapes`, 1]],
    then: [
      "RCU waits for sections, not for pointers. The report names the function that",
      "read, the object, and where in it; timeline shows the free before it.",
    ],
  },
];

const NEXT: readonly string[] = [
  "What to try next",
  "  run ext4_kvfree_array_rcu --fail page    kvfree_rcu() without a page; timeline",
  "  boot --rcu tiny; run hello_kvfree_rcu    tiny RCU, with one CPU; timeline",
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
      if (status === ENDED) {
        yield "The tour ends here; tour begins it again.";
        return STATUS.ok;
      }
      if (status !== undefined) {
        yield `tour: that ended with status ${status}, which it should not; please report it`;
        return STATUS.fault;
      }
    }
    yield "";
    yield* NEXT;
  },
};

/** The user wants no more. */
const ENDED = -1;

/** One step. Returns the status that was not expected, if any, or ENDED. */
async function* carryOut(
  session: KernelSession,
  step: Step,
  i: number,
): AsyncGenerator<Output, number | undefined> {
  const { host } = session;
  if (i > 0) yield "";
  yield* step.tell;
  let answer: string | undefined = "";
  if (step.ask !== undefined) {
    const { text, a, b, c } = step.ask;
    yield* [text, `  a  ${a}`, `  b  ${b}`, `  c  ${c}`];
    if (host.answers) answer = await host.ask("a, b or c? (Enter skips, ^D ends the tour) ");
    if (answer === undefined) {
      yield "";
      return ENDED;
    }
  }
  for (const [j, [command, expected]] of step.type.entries()) {
    const text = typeof command === "string" ? command : await command(session);
    if (j > 0 || step.tell.length > 0) yield "";
    yield `quiesce> ${text}`;
    const status = await host.execute(text);
    if (status !== expected) return status;
  }
  if (step.ask !== undefined || step.then.length > 0) yield "";
  if (step.ask !== undefined) yield judge(step.ask, answer);
  yield* step.then;
  return undefined;
}

/** What came of the guess. */
function judge(question: Question, answer: string): string {
  const { right } = question;
  const guess = answer.trim().toLowerCase();
  if (guess === "") return `The answer is ${right}.`;
  if (guess === right) return `You said ${right}, and that is right.`;
  const said = /^[abc]$/.test(guess) ? `You said ${guess}` : `"${answer.trim()}" is none of a, b and c`;
  return `${said}; the answer is ${right}.`;
}

/** In the order in which `help` lists them. */
export const tourCommands: readonly Command<KernelSession>[] = [tour];
