// SPDX-License-Identifier: GPL-2.0-only
/** The session that README.md shows is what the shell answers today. */
import { assertEquals } from "@std/assert";
import readme from "../../README.md" with { type: "text" };
import { withSession } from "./readme.ts";

Deno.test("README.md: the first session is what the shell answers", async () => {
  assertEquals(await withSession(readme), readme);
});
