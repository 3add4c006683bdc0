// SPDX-License-Identifier: GPL-2.0-only
/**
 * The examples by name; none is loaded before it is wanted.
 *
 * Names are what tokens hold: a name once given stays given.
 *
 * @module
 */

import type { Scenario } from "../mod.ts";
import { CALLERS } from "./callers/index.ts";

type Load = () => Promise<{ default: Scenario }>;

/** What `run` lists. */
export const EXAMPLES: Readonly<Record<string, Load>> = {
  ext4_kvfree_array_rcu: () => import("./ext4_kvfree_array_rcu.ts"),
  hello_kvfree_rcu: () => import("./hello_kvfree_rcu.ts"),
  flood: () => import("./workloads/flood.ts"),
  pressure: () => import("./workloads/pressure.ts"),
  ...Object.fromEntries(CALLERS.map(({ name, load }) => [name, load])),
};

/** The programs of examples/bugs, which `bugs` lists. */
export const BUG_PROGRAMS: Readonly<Record<string, Load>> = {
  early: () => import("./workloads/early_boot.ts"),
  ext4_teardown: () => import("./bugs/ext4_teardown.ts"),
  kvfree_cache_destroy: () => import("./bugs/kvfree_cache_destroy.ts"),
  kvfree_early: () => import("./bugs/kvfree_early.ts"),
  kvfree_flood: () => import("./bugs/kvfree_flood.ts"),
  kvfree_handful: () => import("./bugs/kvfree_handful.ts"),
  kvfree_hurry: () => import("./bugs/kvfree_hurry.ts"),
  kvfree_kmemleak: () => import("./bugs/kvfree_kmemleak.ts"),
  kvfree_locked: () => import("./bugs/kvfree_locked.ts"),
  kvfree_low_hz: () => import("./bugs/kvfree_low_hz.ts"),
  kvfree_migrates: () => import("./bugs/kvfree_migrates.ts"),
  kvfree_nesting: () => import("./bugs/kvfree_nesting.ts"),
  kvfree_no_cache: () => import("./bugs/kvfree_no_cache.ts"),
  kvfree_odd: () => import("./bugs/kvfree_odd.ts"),
  kvfree_pinned: () => import("./bugs/kvfree_pinned.ts"),
  kvfree_refill: () => import("./bugs/kvfree_refill.ts"),
  kvfree_shrink_stop: () => import("./bugs/kvfree_shrink_stop.ts"),
  kvfree_stranded: () => import("./bugs/kvfree_stranded.ts"),
  kvfree_tiny_fallback: () => import("./bugs/tiny_fallback.ts"),
  kvfree_typo: () => import("./bugs/kvfree_typo.ts"),
  kvfree_undercount: () => import("./bugs/kvfree_undercount.ts"),
  kvfree_unload: () => import("./bugs/kvfree_unload.ts"),
  kvfree_wrapped: () => import("./bugs/kvfree_wrapped.ts"),
};
