// SPDX-License-Identifier: GPL-2.0-only
// The timeline gives many calls that say the same a line between them, and every one of them an object in NDJSON.

import { assertEquals, assertMatch } from "@std/assert";
import { kernelRan } from "./kernel_shell.ts";

const LINE = "boot --cpus 1 --mem 64M; run pressure --kind shrinker --objects 40; ";

Deno.test("timeline folds forty kvfree_rcu() calls into three lines, and says how many they are", async () => {
  const { out, status } = await kernelRan(`${LINE}timeline`);
  assertEquals(status, 0);
  assertMatch(out, /^ +\.\.\. +\d+ more like the one above$/m);
  const calls = out.match(/ Q .* kvfree_rcu\(/g)?.length ?? 0;
  const more = [...out.matchAll(/(\d+) more like the one above/g)].reduce((sum, [, n]) => sum + Number(n), 0);
  assertEquals(calls < 20, true, `${calls} lines`);
  assertEquals(calls + more >= 80, true, `${calls} lines and ${more} more`);
});

Deno.test("timeline folds nothing in NDJSON", async () => {
  const { out } = await kernelRan(`${LINE}timeline --json`);
  const rows = out.split("\n").filter((line) => line.startsWith('{"type":"timeline"'));
  assertEquals(rows.filter((line) => line.includes('"symbol":"Q"')).length, 80);
});
