// SPDX-License-Identifier: GPL-2.0-only
// Tests of repl/render/levels.ts.

import { assertEquals } from "@std/assert";
import { LEVELS } from "../../kernel/config.ts";
import { levelRanges } from "../../repl/render/levels.ts";

Deno.test("levelRanges() joins three neighbours and more, in the order of the history", () => {
  assertEquals(levelRanges([]), "");
  assertEquals(levelRanges(["v6.3-rc1", "base"]), "base, v6.3-rc1");
  assertEquals(levelRanges(["6/7", "7/7"]), "6/7, 7/7");
  assertEquals(levelRanges([...LEVELS.slice(0, 13), "v6.3-rc1"]), "base to v6.1, v6.3-rc1");
  assertEquals(levelRanges(LEVELS), "base to v6.12");
});
