// SPDX-License-Identifier: GPL-2.0-only
/**
 * Same input, same run: over many seeds, event by event, with the log on or off, and through a token.
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Kernel } from "../../kernel/kernel.ts";
import { boot, decodeToken, encodeToken, memorySince, reboot, Run, scheduleOf } from "../../mod.ts";
import { checkOptions } from "../../explore/scenario.ts";
import { ext4Scenario } from "../../examples/ext4_kvfree_array_rcu.ts";

const SEEDS = 1000;
const options = checkOptions(ext4Scenario, { variant: "kvfree_rcu", grows: "3" });

/** Runs the example on `k` (just booted) and returns the state hash at every event. */
function hashesOf(k: Kernel): string[] {
  const hashes: string[] = [];
  const emit = k.emit;
  k.emit = function (...args: Parameters<Kernel["emit"]>): void {
    emit.apply(k, args);
    hashes.push(k.hash.text());
  };
  const run = new Run(k, ext4Scenario, options);
  run.advance();
  assertEquals(run.verdict().ending, "completed");
  delete (k as { emit?: unknown }).emit;
  return hashes;
}

Deno.test(`ext4_kvfree_array_rcu: ${SEEDS} seeds give at least 900 runs, no report, no leak`, () => {
  const seen = new Set<string>();
  const k = boot({ rcu: "tiny", seed: 1 });
  k.log.recording = false;
  for (let seed = 1; seed <= SEEDS; seed++) {
    reboot(k, { ...scheduleOf(k.config), seed });
    const run = new Run(k, ext4Scenario, options);
    run.advance();
    const verdict = run.verdict();
    assertEquals([verdict.ending, verdict.reports], ["completed", 0], `seed ${seed}`);
    assertEquals(memorySince(k, run).leaked, [], `seed ${seed}`);
    seen.add(verdict.hash);
  }
  assert(seen.size >= 900, `${seen.size} distinct hashes`);
});

Deno.test("each seed run twice has the same hash at every event, with the log on or off, on a fresh or reused machine", () => {
  const reused = boot({ rcu: "tiny" });
  for (let seed = 1; seed <= 60; seed++) {
    const fresh = boot({ rcu: "tiny", seed });
    const first = hashesOf(fresh);
    reused.log.recording = seed % 2 === 0;
    reboot(reused, { ...scheduleOf(reused.config), seed });
    assertEquals(hashesOf(reused), first, `seed ${seed}`);
    assertEquals(reused.digest(), fresh.digest(), `seed ${seed}`);
  }
});

Deno.test("a run stopped after every event is the run that was not stopped", () => {
  const whole = boot({ rcu: "tiny", seed: 5 });
  new Run(whole, ext4Scenario, options).advance();
  const stepped = boot({ rcu: "tiny", seed: 5 });
  const run = new Run(stepped, ext4Scenario, options);
  for (let steps = 0; !run.advance(Infinity, stepped.seq + 1); steps++) assert(steps < 100_000);
  assertEquals([stepped.hash.text(), stepped.seq, stepped.points], [
    whole.hash.text(),
    whole.seq,
    whole.points,
  ]);
});

Deno.test("flipping one byte of a live object changes the final digest and nothing else tells", () => {
  const k = boot({ rcu: "tiny", seed: 3 });
  const run = new Run(k, ext4Scenario, options);
  run.advance();
  const [object] = memorySince(k, run).live;
  const before = k.digest();
  assertEquals(k.digest(), before, "looking changes nothing");
  k.ram.bytes[k.ram.translate(object.addr) + object.size - 1] ^= 1;
  assertNotEquals(k.digest(), before);
});

Deno.test("a token gives back the machine, the programs and the deviations; damage is noticed", () => {
  const k = boot({ rcu: "tiny", seed: 123456789, HZ: 1000, memBytes: 64 * 2 ** 20 });
  const content = {
    config: k.config,
    deviations: [{ site: 0xdeadbeef, nth: 3, stall: 7 }],
    runs: [{ name: "ext4_kvfree_array_rcu", options: { variant: "printed", fail: "kmalloc" } }],
  };
  const token = encodeToken(content);
  assertEquals(decodeToken(token), content);
  const digit = token[20] === "A" ? "B" : "A";
  const damaged = token.slice(0, 20) + digit + token.slice(21);
  let message = "";
  try {
    decodeToken(damaged);
  } catch (error) {
    message = (error as Error).message;
  }
  assertEquals(message, "token is damaged: its checksum is wrong");
});
