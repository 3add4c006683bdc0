// SPDX-License-Identifier: GPL-2.0-only
/**
 * jiffies.ts: conversions by hand, for HZ that divide a second and HZ that do not.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  INITIAL_JIFFIES,
  jiffies,
  jiffies_to_msecs,
  jiffies_to_usecs,
  MAX_JIFFY_OFFSET,
  msecs_to_jiffies,
  TICK_NSEC,
  time_after,
  time_after_eq,
  time_before,
  time_before_eq,
  time_in_range,
  usecs_to_jiffies,
} from "../../../kernel/time/jiffies.ts";
import type { Config } from "../../../kernel/config.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { bareKernel } from "../../helpers.ts";

function kernel(wanted: Partial<Config>): Kernel {
  return bareKernel({ memBytes: 8 * 2 ** 20, ...wanted }, []);
}

Deno.test("msecs_to_jiffies() rounds up [HZ=12,100,250,300,1000,10000]", () => {
  // HZ, ms, jiffies
  const table = [
    [100, 0, 0],
    [100, 1, 1],
    [100, 10, 1],
    [100, 11, 2],
    [250, 4, 1],
    [250, 5, 2],
    [250, 5000, 1250],
    [300, 1, 1],
    [300, 10, 3],
    [300, 11, 4],
    [1000, 7, 7],
    [10000, 7, 70],
    [12, 1000, 12],
    [12, 84, 2],
  ];
  for (const [HZ, ms, expected] of table) {
    const k = kernel({ HZ });
    assertEquals(msecs_to_jiffies(k, ms), expected, `HZ=${HZ} ${ms} ms`);
    assertEquals(usecs_to_jiffies(k, ms * 1000), expected, `HZ=${HZ} ${ms} ms in us`);
  }
  assertEquals(msecs_to_jiffies(kernel({}), -1), MAX_JIFFY_OFFSET);
});

Deno.test("jiffies_to_msecs() rounds down, up where HZ is a multiple of 1000", () => {
  assertEquals(jiffies_to_msecs(kernel({ HZ: 250 }), 3), 12);
  assertEquals(jiffies_to_msecs(kernel({ HZ: 300 }), 1), 3);
  assertEquals(jiffies_to_msecs(kernel({ HZ: 2000 }), 1), 1);
  assertEquals(jiffies_to_usecs(kernel({ HZ: 300 }), 3), 10000);
});

Deno.test("TICK_NSEC() is a second divided by HZ, rounded to the nearest", () => {
  assertEquals(TICK_NSEC(kernel({ HZ: 250 })), 4_000_000);
  assertEquals(TICK_NSEC(kernel({ HZ: 300 })), 3_333_333);
  assertEquals(TICK_NSEC(kernel({ HZ: 1024 })), 976_563);
});

Deno.test("jiffies starts 300 seconds before zero and is compared by difference", () => {
  const k = kernel({ HZ: 250 });
  assertEquals([jiffies(k), INITIAL_JIFFIES(k)], [-75000, -75000]);
  assert(time_after(0, jiffies(k)) && time_before(jiffies(k), 0));
  assert(!time_after(5, 5) && time_after_eq(5, 5) && time_before_eq(5, 5) && !time_before(5, 5));
  assert(time_in_range(-1, -1, 3) && time_in_range(3, -1, 3) && !time_in_range(4, -1, 3));
});
