// SPDX-License-Identifier: GPL-2.0-only
/** B17: told only. The check that it is about and its place came with the same release. */

import type { Bug } from "./bug.ts";

export const bug: Bug = {
  id: "B17",
  title: "debug objects forgot a block's records before its grace period was checked",
  why: [
    "A check was added that leaks a block whose grace period is not over, but the records were taken out of the book of " +
    "debug objects before it, so that of what was leaked, and may be in use, the book said that it was free.",
    "v6.3 has no such check and v6.5 has it in the right order, so no level shows it: it lived between two patches of one " +
    "release.",
  ],
  history: 'between cdfa0f6fa6b7, "Add debug to check grace periods", and 1e237994d9c9, "Invoke ' +
    'debug_rcu_bhead_unqueue() after checking bnode->gp_snap", both of v6.5',
  levels: [],
  gone: null,
  shownAt: "v6.5",
  demo: null,
};
