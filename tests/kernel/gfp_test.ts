// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/gfp.ts. Values and names are those of include/linux/gfp.h and include/trace/events/mmflags.h (5.7), as a
 * page allocation failure prints them on x86-64: `mode:0x100cca(GFP_HIGHUSER_MOVABLE)`.
 */
import { assertEquals } from "@std/assert";
import {
  __GFP_NOWARN,
  gfp,
  GFP_ATOMIC,
  GFP_DMA,
  GFP_DMA32,
  GFP_HIGHUSER,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GFP_KERNEL_ACCOUNT,
  GFP_NOFS,
  GFP_NOIO,
  GFP_NOWAIT,
  GFP_TRANSHUGE,
  GFP_TRANSHUGE_LIGHT,
  GFP_USER,
  gfpflags_allow_blocking,
} from "../../kernel/gfp.ts";
import { show_gfp_flags } from "../../kernel/trace/events/mmflags.ts";

const MASKS: readonly [number, number, string, boolean][] = [
  [GFP_ATOMIC, 0xa20, "GFP_ATOMIC", false],
  [GFP_KERNEL, 0xcc0, "GFP_KERNEL", true],
  [GFP_KERNEL_ACCOUNT, 0x400cc0, "GFP_KERNEL_ACCOUNT", true],
  [GFP_NOWAIT, 0x800, "GFP_NOWAIT", false],
  [GFP_NOIO, 0xc00, "GFP_NOIO", true],
  [GFP_NOFS, 0xc40, "GFP_NOFS", true],
  [GFP_USER, 0x100cc0, "GFP_USER", true],
  [GFP_DMA, 0x1, "GFP_DMA", false],
  [GFP_DMA32, 0x4, "GFP_DMA32", false],
  [GFP_HIGHUSER, 0x100cc2, "GFP_HIGHUSER", true],
  [GFP_HIGHUSER_MOVABLE, 0x100cca, "GFP_HIGHUSER_MOVABLE", true],
  [GFP_TRANSHUGE_LIGHT, 0x1c20ca, "GFP_TRANSHUGE_LIGHT", false],
  [GFP_TRANSHUGE, 0x1c24ca, "GFP_TRANSHUGE", true],
];

Deno.test("the GFP masks have Linux's values and names, and tell whether they may sleep", () => {
  for (const [mask, value, name, sleeps] of MASKS) {
    assertEquals([mask, show_gfp_flags(mask)], [value, name]);
    assertEquals(gfpflags_allow_blocking(mask as typeof GFP_KERNEL), sleeps, name);
  }
});

Deno.test("gfp() combines flags; what no mask covers is named one by one", () => {
  assertEquals(show_gfp_flags(gfp(GFP_NOWAIT, __GFP_NOWARN)), "GFP_NOWAIT|__GFP_NOWARN");
  assertEquals(show_gfp_flags(gfp(GFP_ATOMIC, __GFP_NOWARN)), "GFP_ATOMIC|__GFP_NOWARN");
});
