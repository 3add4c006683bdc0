// SPDX-License-Identifier: GPL-2.0-only
// L0: answers gathered by typing what the hand-out says score all, others nothing; the experiments do what they say.

import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { Outcome, Variant } from "../../labs/lab.ts";
import readme from "../../labs/l0/README.md" with { type: "text" };
import manifest from "../../labs/l0/lab.json" with { type: "json" };
import lab from "../../labs/l0/lab.ts";
import { Subject } from "../../labs/l0/questions.ts";
import * as start from "../../labs/l0/start.ts";
import { experimentsOf, labShell } from "./lab_shell.ts";

const KEYS = [0, 1, 2, 3, 77, 20261234, 4000000006, 3735928559];

interface Submission {
  readonly run: Readonly<Record<string, unknown>>;
  readonly leak: Readonly<Record<string, unknown>>;
}

function gradeOne(id: string, submission: object, key: number): Outcome {
  return lab.checks[id]({
    submission: submission as Record<string, unknown>,
    variant: lab.variant(key),
    seeds: [1],
    budget: manifest.budget,
    execution() {},
  });
}

function grade(submission: object, key: number): { score: number; outcomes: Record<string, Outcome> } {
  let score = 0;
  const outcomes: Record<string, Outcome> = {};
  for (const { id, points } of manifest.properties) {
    outcomes[id] = gradeOne(id, submission, key);
    if (outcomes[id].state === "PASS") score += points;
  }
  return { score, outcomes };
}

/** What a pattern finds in a text, by its groups. */
function found(text: string, pattern: RegExp): string[] {
  const match = pattern.exec(text);
  assert(match !== null, `${pattern} in ${text}`);
  return match.slice(1);
}

/** Types what the hand-out says, and reads the answers off the output alone. */
async function gathered(v: Variant): Promise<Submission> {
  const shell = labShell();
  const typed = async (line: string): Promise<string> => {
    const { out, err } = await shell.run(line);
    assertEquals(err, "", line);
    return out;
  };
  await typed(`boot --cpus ${v.cpus} --mem ${v.mem} --seed ${v.seed}`);
  await typed(`run ext4_kvfree_array_rcu --grows ${v.grows} --hold ${v.hold} --groups ${v.groups}`);
  const counts = (await typed("buddyinfo")).replace(/^.*Normal/, "").trim().split(/\s+/).map(Number);
  const order = counts.findLastIndex((count) => count > 0);
  const why = await typed("rcu why --gp -1199");
  const lastCpu = Number(found(why, /CPUs? (\d+)(?:[-,] ?\d+)* (?:was|were) last/)[0]);
  const bulk = await typed("trace -e rcu_invoke_kfree_bulk_callback");
  const ends = await typed("trace -e rcu_grace_period --seq");
  const at = await typed("goto kvfree_rcu");
  const runq = await typed("runq");
  const obj = await typed(`obj ${found(at, /ptr=(ffff\w+)/)[0]}`);
  const back = await typed("rstep");
  await typed("goto rcu_batch_start");
  const middle = (await shell.run("leaks")).out;
  await typed(`boot --rcu tiny --seed ${v.seed2}`);
  await typed(
    `run ext4_kvfree_array_rcu --variant printed --fail kmalloc --grows ${v.grows} --groups ${v.groups}`,
  );
  const leaks = (await shell.run("leaks")).out;
  return {
    run: {
      who:
        found(runq, new RegExp(`^CPU ${v.cpu} RUNQUEUE.*\\n +CURRENT: PID: \\d+ .*COMMAND: "(.*)"`, "m"))[0],
      largestFree: [order, counts[order]],
      cache: found(obj, /object of (kmalloc-\w+)/)[0],
      lastCpu,
      pointers: Number(found(bulk, /nr_records=(\d+)/)[0]),
      endOfGp: Number(found(ends, /^ *(\d+) .*rcu_grace_period: rcu_sched -1199 end$/m)[0]),
      stepBack: Number(found(back, /^ *(\d+) [^]*\n? *$/)[0]),
      pending: Number(found(middle, /(\d+) pending/)[0]),
    },
    leak: {
      bytes: [...leaks.matchAll(/\(size (\d+)\)/g)].reduce((sum, [, size]) => sum + Number(size), 0),
      token: found(await typed("token"), /^TOKEN (\S+)$/m)[0],
    },
  };
}

Deno.test("l0: answers typed together from the hand-out score 100, and nobody else's do [keys=8]", async () => {
  const all: Submission[] = [];
  for (const key of KEYS) {
    const submission = await gathered(lab.variant(key));
    const { score, outcomes } = grade(submission, key);
    assertEquals(score, 100, `key ${key}: ${JSON.stringify(submission)} ${JSON.stringify(outcomes)}`);
    all.push(submission);
  }
  for (let i = 0; i < 3; i++) {
    const { score } = grade(all[(i + 1) % KEYS.length], KEYS[i]);
    assert(
      score <= 50,
      `the answers of key ${KEYS[(i + 1) % KEYS.length]} score ${score} for key ${KEYS[i]}`,
    );
  }
  const distinct = (pick: (s: Submission) => unknown): number =>
    new Set(all.map((s) => String(pick(s)))).size;
  for (
    const name of ["who", "largestFree", "cache", "pointers", "endOfGp", "stepBack", "pending", "lastCpu"]
  ) {
    assertNotEquals(distinct(({ run }) => run[name]), 1, `${name} is the same for all: ${all[0].run[name]}`);
  }
});

Deno.test("l0: the starter and wrong answers score nothing, with cause, token and trace", () => {
  const wrong = {
    run: {
      who: "nobody",
      largestFree: [3, 1],
      cache: "kmalloc-16",
      lastCpu: 99,
      pointers: 0,
      endOfGp: 1,
      stepBack: 1,
      pending: 1000,
    },
    leak: { bytes: 1, token: "q2.AQEBAAEDAACiaQ" },
  };
  for (const submission of [start, wrong, {}, { run: null, leak: 7 }]) {
    const { score, outcomes } = grade(submission, 3);
    assertEquals(score, 0);
    for (const [id, outcome] of Object.entries(outcomes)) {
      assert(outcome.state === "FAIL", id);
      assertMatch(outcome.cause, /^(run|leak)\.\w+ is .*, and the machine says otherwise: \w+/);
      if (/^A[1-8]$/.test(id)) {
        assertMatch(outcome.token ?? "", /^q2\./);
        assert(outcome.trace.length > 3);
      }
    }
  }
});

Deno.test("l0: an answer counts alone, blanks and the word TOKEN do no harm, and twice is the same", async () => {
  const key = 77;
  const { run, leak } = await gathered(lab.variant(key));
  assertEquals(grade({ run: { ...start.run, cache: ` ${run.cache} ` }, leak: start.leak }, key).score, 10);
  assertEquals(
    grade({ run: start.run, leak: { ...start.leak, token: `TOKEN ${leak.token}` } }, key).score,
    10,
  );
  assertEquals(grade(start, key), grade(start, key));
});

Deno.test("l0: each CPU that reported last is a right answer", () => {
  for (const key of KEYS.slice(0, 4)) {
    const lastCpus = new Subject(lab.variant(key)).lastCpus();
    assert(lastCpus.length > 0);
    for (const lastCpu of lastCpus) assertEquals(gradeOne("A4", { run: { lastCpu } }, key).state, "PASS");
  }
});

Deno.test("l0 manifest: ten questions of ten points, each with a check and a hint", () => {
  assertEquals(
    manifest.properties.map(({ id, points }) => [id, points]),
    Object.keys(lab.checks).map((id) => [id, 10]),
  );
  assertEquals(Object.keys(manifest.hints), Object.keys(lab.checks));
});

Deno.test("l0 README: its three experiments show what it says, with the numbers of the hand-out's variant", async () => {
  const texts = experimentsOf(readme);
  assertEquals(texts.length, 3);
  const { cpus, mem, seed, grows, hold, groups } = lab.variant(0);
  const first = `boot --cpus ${cpus} --mem ${mem} --seed ${seed}; ` +
    `run ext4_kvfree_array_rcu --grows ${grows} --hold ${hold} --groups ${groups}; `;
  for (const text of texts) assert(text.startsWith(first), text);
  const [timeline, moment, why] = await Promise.all(texts.map((text) => labShell().run(text)));
  assertEquals([timeline.status, moment.status, why.status], [0, 0, 0]);
  assertMatch(timeline.out, /R read-side sections[^]*kvfree_rcu\(ffff/);
  assertMatch(moment.out, /kvfree_rcu: ptr=ffff[^]*COMM[^]*writer[^]*CPU 0 RUNQUEUE/);
  assertMatch(why.out, /grace period -1199 of rcu_sched is over[^]*was last/);
});
