// SPDX-License-Identifier: GPL-2.0-only
/**
 * The series of 2020-03-23 and what it was posted against; see manifest.ts.
 *
 * @invented git log as data
 * @module
 */

import type { LevelEntry } from "./manifest.ts";

/** base to 7/7. @invented see manifest.ts */
export const SERIES: readonly LevelEntry[] = [
  {
    label: "base",
    subject: "[PATCH v1 0/6] Introduce kvfree_rcu() logic",
    messageId: "20200315181840.6966-1-urezki@gmail.com",
    commits: ["34c881745549"],
    date: "2020-03-15",
    parent: null,
    says: [
      "The development tree of March 2020 that the series was posted against: v5.7's kfree_rcu() batching, a shrinker, and the six patches before.",
      "Each CPU collects slab pointers in blocks of 509, and everything else on a list through its rcu_head.",
      "Two batches may wait for a grace period; one starts 20 ms after the first pointer.",
      "On tiny RCU kvfree_rcu() is call_rcu().",
    ],
    files: { tree: "tree/base", tiny: "tiny/base", macros: "macros/base" },
    changes: {},
  },
  {
    label: "1/7",
    subject: "[PATCH 1/7] rcu/tree: simplify KFREE_BULK_MAX_ENTR macro",
    messageId: "20200323113621.12048-2-urezki@gmail.com",
    commits: ["3af848628174"],
    date: "2020-03-23",
    parent: "base",
    says: [
      "The capacity of a block is what a page has left after the header: 510 pointers in place of 509.",
      "As posted it does not compile (B1): the macro now needs the struct's size, and the struct the macro; here it has the flexible array that 2/7 brings.",
    ],
    files: { tree: "tree/1of7", tiny: "tiny/base", macros: "macros/base" },
    changes: {
      tree: {
        structs: { changed: ["kfree_rcu_bulk_data"] },
        constants: { changed: ["KFREE_BULK_MAX_ENTR"] },
      },
    },
  },
  {
    label: "2/7",
    subject: "[PATCH 2/7] rcu/tree: maintain separate array for vmalloc ptrs",
    messageId: "20200323113621.12048-3-urezki@gmail.com",
    commits: ["5f3c8d620447"],
    date: "2020-03-23",
    parent: "1/7",
    says: [
      "kfree_bulk() cannot free vmalloc memory, so vmalloc pointers had to go on the list, one rcu_head each.",
      "Now they have a chain of blocks of their own, freed by vfree() one by one; the list is left for when no page can be had.",
      "Each channel keeps one spare page.",
    ],
    files: { tree: "tree/2of7", tiny: "tiny/base", macros: "macros/base" },
    changes: {
      tree: {
        constants: { added: ["KVFREE_BULK_MAX_ENTR"], removed: ["KFREE_BULK_MAX_ENTR"] },
        structs: {
          added: ["kvfree_rcu_bulk_data"],
          changed: ["kfree_rcu_cpu_work", "kfree_rcu_cpu"],
          removed: ["kfree_rcu_bulk_data"],
        },
        ours: {
          changed: ["recordAddr", "putBlock", "canDetach", "place", "look", "view", "level"],
          added: ["SLAB", "VMALLOC", "recordsBefore", "callPlainly"],
        },
        functions: {
          changed: ["debug_rcu_bhead_unqueue", "kfree_rcu_work", "queue_kfree_rcu_work", "kvfree_call_rcu"],
          added: ["kvfree_call_rcu_add_ptr_to_bulk"],
          removed: ["kfree_call_rcu_add_ptr_to_bulk"],
        },
      },
    },
  },
  {
    label: "3/7",
    subject: "[PATCH 3/7] rcu/tree: introduce expedited_drain flag",
    messageId: "20200323113621.12048-4-urezki@gmail.com",
    commits: [],
    date: "2020-03-23",
    parent: "2/7",
    says: [
      "When a pointer had to go on the list, memory is short: the monitor is armed without the delay of 20 ms.",
      "It has no effect when the timer is armed already, as it is under load (B7); it was dropped without a word before v5.9.",
    ],
    files: { tree: "tree/3of7", tiny: "tiny/base", macros: "macros/base" },
    changes: { tree: { functions: { changed: ["kvfree_call_rcu"] } } },
  },
  {
    label: "4/7",
    subject: "[PATCH 4/7] rcu/tree: support reclaim for head-less object",
    messageId: "20200323113621.12048-5-urezki@gmail.com",
    commits: ["3042f83f19be"],
    date: "2020-03-23",
    parent: "3/7",
    says: [
      "kvfree_call_rcu() takes NULL for a head: the object then needs no rcu_head, and the caller must be able to sleep.",
      "Without a page for a block such an object gets a wrapper of 24 bytes; without memory for that either, the caller waits for a grace period and frees it.",
      "The wrapper is marked by an odd offset.",
    ],
    files: { tree: "tree/4of7", tiny: "tiny/base", macros: "macros/base" },
    changes: {
      tree: {
        functions: { changed: ["kfree_rcu_work", "kvfree_call_rcu"], added: ["attach_rcu_head_to_object"] },
        ours: { added: ["WRAPPER_SIZE"], changed: ["view"] },
      },
    },
  },
  {
    label: "5/7",
    subject: "[PATCH 5/7] rcu/tiny: move kvfree_call_rcu() out of header",
    messageId: "20200323113621.12048-6-urezki@gmail.com",
    commits: [],
    date: "2020-03-23",
    parent: "4/7",
    says: [
      "The function moves from rcutiny.h to tiny.c, so that the next patch can make it longer; nothing else changes.",
    ],
    files: { tree: "tree/4of7", tiny: "tiny/5of7", macros: "macros/base" },
    changes: {},
  },
  {
    label: "6/7",
    subject: "[PATCH 6/7] rcu/tiny: support reclaim for head-less object",
    messageId: "20200323113621.12048-7-urezki@gmail.com",
    commits: [],
    date: "2020-03-23",
    parent: "5/7",
    says: [
      "Tiny RCU collects pointers of either kind in blocks too, and drains them after 20 ms by one grace period.",
      "Without a page a headless object is freed at once, because on one CPU being allowed to sleep is a grace period.",
      "Paul McKenney found it more than a uniprocessor needs; v5.9 does without.",
    ],
    files: { tree: "tree/4of7", tiny: "tiny/6of7", macros: "macros/base" },
    changes: {
      tiny: {
        constants: {
          added: [
            "KVFREE_BULK_MAX_ENTR",
            "KVFREE_DRAIN_JIFFIES",
            "kvhead",
            "kvhead_free",
            "kvcache",
            "rcu_init_done",
            "monitor_work",
            "kvfree_rcu_rwork",
            "monitor_todo",
          ],
        },
        structs: { added: ["kvfree_rcu_bulk_data"] },
        ours: {
          added: [
            "recordAddr",
            "armMonitor",
            "mayQueue",
            "queue",
            "chains",
            "pendingAddresses",
            "ownAddresses",
            "look",
          ],
          changed: ["level"],
        },
        functions: {
          added: [
            "kvfree_call_rcu_add_ptr_to_bulk",
            "kvfree_rcu_work",
            "queue_kvfree_rcu_work",
            "kvfree_rcu_monitor",
            "kfree_rcu_batch_init",
          ],
          changed: ["kvfree_call_rcu"],
        },
      },
    },
  },
  {
    label: "7/7",
    subject: "[PATCH 7/7] rcu: support headless variant in the kvfree_rcu()",
    messageId: "20200323113621.12048-8-urezki@gmail.com",
    commits: ["1835f475e351"],
    date: "2020-03-23",
    parent: "6/7",
    says: [
      "kvfree_rcu() becomes a macro that counts its arguments: with a member name it is the old form, with a pointer alone the headless one.",
      "So a forgotten argument compiles, and sleeps (B19).",
    ],
    files: { tree: "tree/4of7", tiny: "tiny/6of7", macros: "macros/7of7" },
    changes: {
      macros: { macros: { changed: ["kvfree_rcu"], added: ["kvfree_rcu_arg_2", "kvfree_rcu_arg_1"] } },
    },
  },
];
