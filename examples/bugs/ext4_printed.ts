// SPDX-License-Identifier: GPL-2.0-only
/**
 * B23: the helper in ext4 that the mails print leaks the array when memory is short.
 *
 * The program is examples/ext4_kvfree_array_rcu.ts with `--variant printed --fail kmalloc`: no memory for the 24 bytes of
 * the stub. `--variant fixed` is what was merged.
 */

import { ext4Scenario } from "../ext4_kvfree_array_rcu.ts";
import { LEVELS } from "../../kernel/config.ts";
import { type Bug } from "./bug.ts";

export default ext4Scenario;

export const bug: Bug = {
  id: "B23",
  title: "ext4's helper, as it was mailed, leaks the array when there is no memory for the stub",
  why: [
    "Without a stub the helper waits for a grace period and then frees `ptr`, which is the stub that it did not get, " +
    "instead of the array in `to_free`.",
    "kvfree(NULL) does nothing and says nothing, so only a look for leaks finds it.",
  ],
  history:
    "the RFC of 15 February 2020, noticed by its author the day after and never merged; the mails of this series " +
    "still print it, at all levels: what was merged is --variant fixed",
  levels: LEVELS,
  gone: null,
  shownAt: "7/7",
  demo: {
    scenario: ext4Scenario,
    file: "examples/ext4_kvfree_array_rcu.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20 }),
    options: () => ({ variant: "printed", fail: "kmalloc" }),
    look: ["leaks"],
  },
};
