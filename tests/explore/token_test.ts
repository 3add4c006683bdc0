// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of explore/token.ts: what a token keeps.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { checkConfig } from "../../kernel/config.ts";
import { decodeToken, encodeToken, scheduleOf, TokenError } from "../../explore/token.ts";

Deno.test("a token keeps the shape of the rcu_node tree", () => {
  const config = checkConfig({
    rcu: "none",
    cpus: 8,
    fanout: 3,
    fanoutLeaf: 2,
    nrCpus: 20,
    bootFanoutLeaf: 4,
    fanoutExact: true,
    dumpTree: true,
  });
  const content = { config, deviations: null, runs: [] };
  assertEquals(decodeToken(encodeToken(content)).config, config);
});

Deno.test("a token keeps what is given to RCU during boot", () => {
  const config = checkConfig({ rcuSelfTest: true, earlyDriver: 7 });
  assertEquals(decodeToken(encodeToken({ config, deviations: null, runs: [] })).config, config);
});

Deno.test("a token of a default machine names none of its numbers", () => {
  const config = checkConfig({});
  const token = encodeToken({ config, deviations: [], runs: [] });
  assert(token.length < 16, token);
  assertEquals(decodeToken(token), { config, deviations: [], runs: [] });
  assertEquals(scheduleOf(config, []).deviations, []);
});

Deno.test("a token of the first format is refused: what it leaves unsaid was another machine", () => {
  const error = assertThrows(() => decodeToken("q1.AQEHAAECAwQFCBwJCgC43g"), TokenError);
  assertEquals(error.message, "token has format q1., this build replays q2.: make it anew");
});
