// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/config.ts: impossible machines are refused in one line that says what is allowed. */
import { assertEquals, assertThrows } from "@std/assert";
import { checkConfig, type Config, ConfigError, LEVELS } from "../../kernel/config.ts";

Deno.test("checkConfig() fills in the default machine", () => {
  const { cpus, memBytes, HZ, rcu, preempt, level, seed } = checkConfig({});
  assertEquals([cpus, memBytes, HZ, rcu, preempt, level, seed], [
    4,
    256 * 2 ** 20,
    250,
    "tree",
    "none",
    "7/7",
    1,
  ]);
  assertEquals(checkConfig({ rcu: "tiny" }).cpus, 1);
  assertEquals(checkConfig({ cpus: 4096 }).memBytes, 384 * 2 ** 20, "enough for its CPUs");
  assertEquals(Object.isFrozen(checkConfig({})), true);
});

const REFUSED: readonly [Partial<Config>, string][] = [
  [{ rcu: "tiny", cpus: 4 }, "rcu tiny runs on 1 CPU, not 4: use --cpus 1"],
  [{ rcu: "tiny", preempt: "full" }, "rcu tiny needs preempt none: tiny RCU exists only without preemption"],
  [{ fanout: 1 }, "fanout 1 is out of range: 2 to 64 is allowed"],
  [{ fanoutLeaf: 65 }, "fanout-leaf 65 is out of range: 2 to 64 is allowed"],
  [
    { fanout: 2, fanoutLeaf: 2, cpus: 17 },
    "fanout 2 with fanout-leaf 2 holds 16 CPUs in four levels, not 17",
  ],
  [{ cpus: 8, nrCpus: 4 }, "nr-cpus 4 is out of range: 8 to 4096 is allowed"],
  [{ cpus: 256, memBytes: 16 * 2 ** 20 }, "mem 16M is too little for 256 CPUs: 24M is needed"],
  [{ memBytes: 1024 }, "mem 1024 bytes is out of range: 8M to 4G is allowed"],
  [{ memBytes: 5 * 2 ** 30 }, "mem 5368709120 bytes is out of range: 8M to 4G is allowed"],
  [{ memBytes: 9 * 2 ** 20 + 1 }, "mem 9437185 bytes is not a multiple of 4K"],
  [{ HZ: 0 }, "hz 0 is out of range: 12 to 10000 is allowed"],
  [{ HZ: 10001 }, "hz 10001 is out of range: 12 to 10000 is allowed"],
  [{ rcu: "none", cpus: 4097 }, "cpus 4097 is out of range: 1 to 4096 is allowed"],
  [{ seed: -1 }, "seed -1 is out of range: 0 to 9007199254740991 is allowed"],
  [{ level: "9/7" as "7/7" }, `level "9/7" does not exist: ${LEVELS.join(", ")} are allowed`],
  [{ rcu: "srcu" as "tiny" }, 'rcu "srcu" does not exist: tiny, tree, none are allowed'],
];

for (const [wanted, message] of REFUSED) {
  Deno.test(`checkConfig() refuses ${JSON.stringify(wanted)}`, () => {
    const error = assertThrows(() => checkConfig(wanted), ConfigError);
    assertEquals(error.message, message);
  });
}
