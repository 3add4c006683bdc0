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

/** Runs the example on `k` (just booted) and returns the two words of the state hash at every event. */
function hashesOf(k: Kernel): { run: Run; hashes: Int32Array } {
  const hashes: number[] = [];
  const emit = k.emit;
  k.emit = function (...args: Parameters<Kernel["emit"]>): void {
    emit.apply(k, args);
    hashes.push(k.hash.h1, k.hash.h2);
  };
  const run = new Run(k, ext4Scenario, options);
  run.advance();
  delete (k as { emit?: unknown }).emit;
  return { run, hashes: Int32Array.from(hashes) };
}

Deno.test(`${SEEDS} seeds: at least 900 runs, no report, no leak, each the same twice at every event, log on or off`, () => {
  const seen = new Set<string>();
  const k = boot({ rcu: "tiny", seed: 1 });
  for (let seed = 1; seed <= SEEDS; seed++) {
    const schedule = { ...scheduleOf(k.config), seed };
    k.log.recording = true;
    reboot(k, schedule);
    const { run, hashes } = hashesOf(k);
    const verdict = run.verdict();
    assertEquals([verdict.ending, verdict.reports], ["completed", 0], `seed ${seed}`);
    assertEquals(memorySince(k, run).leaked, [], `seed ${seed}`);
    seen.add(verdict.hash);
    k.log.recording = false;
    reboot(k, schedule);
    assertEquals(hashesOf(k).hashes, hashes, `seed ${seed}`);
  }
  assert(seen.size >= 900, `${seen.size} distinct hashes`);
});

Deno.test("a machine that was used before gives the run of a fresh one, to the last byte", () => {
  const reused = boot({ rcu: "tiny" });
  for (let seed = 1; seed <= 30; seed++) {
    const fresh = boot({ rcu: "tiny", seed });
    const first = hashesOf(fresh).hashes;
    reboot(reused, { ...scheduleOf(reused.config), seed });
    assertEquals(hashesOf(reused).hashes, first, `seed ${seed}`);
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
