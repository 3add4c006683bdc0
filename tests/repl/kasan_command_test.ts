// SPDX-License-Identifier: GPL-2.0-only
// `boot --kasan`: the machine says so, and what it reports is KASAN's.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { kernelRan } from "./kernel_shell.ts";

Deno.test("boot --kasan says so, and a use after free is KASAN's report with status 1", async () => {
  const { out, status } = await kernelRan("boot --rcu tiny --kasan; run tests/examples/use_after_free.ts");
  assertEquals(status, 1);
  assertMatch(out, /^booted 1 CPU, 256M, tiny RCU 7\/7, HZ 250, seed 1, KASAN: events 1 to \d+$/m);
  assertMatch(out, /^\[ +\d+\.\d+\] BUG: KASAN: use-after-free in main$/m);
  assertMatch(out, /^\[ +\d+\.\d+\] Allocated by task \d+:$/m);
  assertMatch(out, /^\[ +\d+\.\d+\] {2}which belongs to the cache kmalloc-64 of size 64$/m);
});

Deno.test("without --kasan nothing of it is said", async () => {
  const { out } = await kernelRan("boot --rcu tiny; run tests/examples/use_after_free.ts");
  assert(!out.includes("KASAN"));
});

Deno.test("leaks of a run whose objects are in quarantine: none", async () => {
  const { out, status } = await kernelRan("boot --kasan; run ext4_kvfree_array_rcu; leaks");
  assertEquals(status, 0, out);
});

Deno.test("boot --debug-off leaves the checks of locks and readers out, and the token keeps it", async () => {
  const { out } = await kernelRan("boot --debug-off; k.config.debug; run hello_kvfree_rcu; token");
  assertMatch(out, /^false$/m);
  const { out: again } = await kernelRan(`replay ${/TOKEN (\S+)/.exec(out)?.[1]}; k.config.debug`);
  assertMatch(again, /^false$/m);
});
