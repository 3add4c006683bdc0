// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of what boot gives to RCU: init/early_driver.ts, and the self test of rcu/update.ts.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { boot, type Config, ConfigError, type Kernel, type Level, msleep, runToEnd } from "../../mod.ts";
import { arg, eventsOf } from "../machines.ts";

/** Objects that kvfree_rcu() was given since power-on. */
function given(k: Kernel): number {
  return eventsOf(k, "kvfree_rcu").length;
}

function quietFor(k: Kernel, ms: number): boolean {
  runToEnd(k, "quiet", (k) => msleep(k, ms));
  return !k.kvfree.busy(k);
}

const MEM = { memBytes: 64 * 2 ** 20 };

Deno.test("earlyDriverInit() gives so many objects, by address alone where the level has a name for that", () => {
  const ways: readonly (readonly [Level, number])[] = [["6/7", 0], ["7/7", 1], ["v6.3", 1], ["v6.5", 1]];
  for (const [level, headless] of ways) {
    const k = boot({ ...MEM, cpus: 2, level, earlyDriver: 3 });
    assertEquals(eventsOf(k, "kvfree_rcu").map((r) => r.args[1]), [headless, headless, headless], level);
  }
  assertEquals(given(boot({ ...MEM, cpus: 2 })), 0);
});

Deno.test("earlyDriverInit(): a machine refuses more objects than it may have", () => {
  const error = assertThrows(() => boot({ earlyDriver: 1001 }), ConfigError);
  assertEquals(error.message, "early-driver 1001 is out of range: 0 to 1000 is allowed");
});

Deno.test("rcu_early_boot_tests() gives a callback, which runs, and an object, which goes on the list [rcu=tree,tiny]", () => {
  const machines: readonly Partial<Config>[] = [
    { cpus: 2, level: "base" },
    { cpus: 2, level: "7/7" },
    { cpus: 2, level: "v6.12" },
    { rcu: "tiny", level: "5/7" },
    { rcu: "tiny", level: "v5.9" },
  ];
  for (const machine of machines) {
    const k = boot({ ...MEM, ...machine, rcuSelfTest: true });
    assertEquals(given(k), 1);
    const said = eventsOf(k, "console").map((r) => k.log.text(arg(r, "msg"))).filter((text) =>
      /RCU (self tests|test callback)/.test(text)
    );
    assertEquals(said, ["Running RCU self tests", "RCU test callback executed 1"]);
    assertEquals([quietFor(k, 6000), k.reports], [true, []], `${machine.rcu} ${machine.level}`);
  }
});
