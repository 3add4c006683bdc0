// SPDX-License-Identifier: GPL-2.0-only
/**
 * Bugs of the series that no machine can show: two of the compiler's, one of the documentation's.
 */

import type { Bug } from "./bug.ts";

export const bug1: Bug = {
  id: "B1",
  title: "1/7 does not compile on its own",
  why: [
    "1/7 moves KFREE_BULK_MAX_ENTR behind the struct and computes it from the size of the struct, which still declares an " +
    "array of that many records.",
    "2/7 makes the array a flexible one; here 1/7 has that already, and 510 records.",
  ],
  history: "1/7 as mailed in March 2020; merged with one line more (3af848628174, v5.9)",
  levels: [],
  gone: "2/7",
  shownAt: "1/7",
  demo: null,
};

export const bug2: Bug = {
  id: "B2",
  title: "2/7 calls vfree() without its header",
  why: [
    "tree.c of 2/7 calls vfree() but does not include linux/vmalloc.h, which most configurations bring in by other ways.",
    "A robot's random configuration for mips did not, and the build failed a week later.",
  ],
  history:
    "2/7 as mailed in March 2020, found in the repost of 30 March; the merged version includes the header (v5.9)",
  levels: [],
  gone: "v5.9",
  shownAt: "2/7",
  demo: null,
};

export const bug28: Bug = {
  id: "B28",
  title: "the comment of kvfree_rcu() seems to ask for a pointer to the function kvfree()",
  why: [
    'Of the form with one argument it says "where @ptr is a pointer to kvfree()", which can be read as the address of that ' +
    "function.",
    "Meant is the pointer that is to be given to kvfree().",
  ],
  history: "from v5.9 on; pointed out by Steven Rostedt in November 2021, worded anew by v6.1",
  levels: [],
  gone: "v6.1",
  shownAt: "7/7",
  demo: null,
};
