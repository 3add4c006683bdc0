// SPDX-License-Identifier: GPL-2.0-only
/**
 * The known bugs, in the order of their numbers. B21, B22, B30 and B33 are out of scope: of workqueue flags, of sheaves, of
 * a test module and of a sleeping lock.
 *
 * @module
 */

import type { Bug } from "./bug.ts";
import { bug11 as B11, bug31 as B31 } from "./early_boot.ts";
import { bug as B23 } from "./ext4_printed.ts";
import { bug as B24 } from "./ext4_teardown.ts";
import { bug as B20 } from "./kvfree_cache_destroy.ts";
import { bug as B9 } from "./kvfree_early.ts";
import { bug as B26 } from "./kvfree_flood.ts";
import { bug as B25 } from "./kvfree_handful.ts";
import { bug as B7 } from "./kvfree_hurry.ts";
import { bug as B29 } from "./kvfree_kmemleak.ts";
import { bug as B3 } from "./kvfree_locked.ts";
import { bug as B32 } from "./kvfree_low_hz.ts";
import { bug as B16 } from "./kvfree_migrates.ts";
import { bug as B13 } from "./kvfree_nesting.ts";
import { bug as B18 } from "./kvfree_no_cache.ts";
import { bug as B4 } from "./kvfree_odd.ts";
import { bug as B14 } from "./kvfree_pinned.ts";
import { bug as B15 } from "./kvfree_refill.ts";
import { bug as B12 } from "./kvfree_shrink_stop.ts";
import { bug as B8 } from "./kvfree_stranded.ts";
import { bug as B19 } from "./kvfree_typo.ts";
import { bug as B10 } from "./kvfree_undercount.ts";
import { bug as B27 } from "./kvfree_unload.ts";
import { bug as B5 } from "./kvfree_wrapped.ts";
import { bug as B6 } from "./tiny_fallback.ts";
import { bug1 as B1, bug2 as B2, bug28 as B28 } from "./told.ts";
import { bug as B17 } from "./unqueued_before_check.ts";

export { type Bug, deviationsOf, machineOf, optionsOf, type Stall, tokenOf } from "./bug.ts";

export const BUGS: readonly Bug[] = [
  B1,
  B2,
  B3,
  B4,
  B5,
  B6,
  B7,
  B8,
  B9,
  B10,
  B11,
  B12,
  B13,
  B14,
  B15,
  B16,
  B17,
  B18,
  B19,
  B20,
  B23,
  B24,
  B25,
  B26,
  B27,
  B28,
  B29,
  B31,
  B32,
];
