// SPDX-License-Identifier: GPL-2.0-only
/**
 * What became of the series: releases that changed kvfree_rcu(); see manifest.ts.
 *
 * @invented git log as data
 * @module
 */

import type { LevelEntry } from "./manifest.ts";

/** v5.9 to v6.12. @invented see manifest.ts */
export const LATER: readonly LevelEntry[] = [
  {
    label: "v5.9",
    subject: "[PATCH v2 00/16] Introduce kvfree_rcu(1 or 2 arguments)",
    messageId: "20200525214800.93072-1-urezki@gmail.com",
    commits: ["8ac88f7177c7", "53c72b590b3a", "594aa5975b9b", "3042f83f19be", "c6dfd72b7a3b"],
    date: "2020-10-11",
    parent: "7/7",
    says: [
      "As merged: no expedited drain and no wrapper; without a page a headless object is freed by its caller after a grace period.",
      "A stock of two spare pages a CPU, for both channels, filled at boot; the lock is a raw one that needs no initialisation.",
      "The monitor comes again while any channel could not be handed over, which ends B8.",
      "Tiny RCU is back to call_rcu().",
    ],
    files: { tree: "tree/v5.9", tiny: "tiny/v5.9", macros: "macros/7of7" },
    changes: {
      tree: {
        functions: {
          added: [
            "rcu_min_cached_objs",
            "krc_this_cpu_lock",
            "krc_this_cpu_unlock",
            "get_cached_bnode",
            "put_cached_bnode",
          ],
          changed: [
            "kfree_rcu_work",
            "queue_kfree_rcu_work",
            "kfree_rcu_drain_unlock",
            "kfree_rcu_monitor",
            "kvfree_call_rcu_add_ptr_to_bulk",
            "kvfree_call_rcu",
            "kfree_rcu_shrink_scan",
            "kfree_rcu_scheduler_running",
            "kfree_rcu_batch_init",
          ],
          removed: ["attach_rcu_head_to_object"],
        },
        constants: { added: ["FREE_N_CHANNELS"] },
        structs: { changed: ["kfree_rcu_cpu"] },
        ours: {
          added: ["KrcLocked"],
          changed: ["putBlock", "look", "view", "level"],
          removed: ["WRAPPER_SIZE", "recordsBefore", "callPlainly"],
        },
      },
      tiny: {
        functions: {
          changed: ["kvfree_call_rcu"],
          removed: [
            "kvfree_call_rcu_add_ptr_to_bulk",
            "kvfree_rcu_work",
            "queue_kvfree_rcu_work",
            "kvfree_rcu_monitor",
            "kfree_rcu_batch_init",
          ],
        },
        ours: {
          added: ["waitAndFree"],
          changed: ["level"],
          removed: [
            "recordAddr",
            "armMonitor",
            "mayQueue",
            "queue",
            "chains",
            "pendingAddresses",
            "ownAddresses",
            "look",
          ],
        },
        constants: {
          removed: [
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
        structs: { removed: ["kvfree_rcu_bulk_data"] },
      },
    },
  },
  {
    label: "v5.11",
    subject: "rcu/tree: Defer kvfree_rcu() allocation to a clean context",
    messageId: null,
    commits: ["56292e8609e3"],
    date: "2021-02-14",
    parent: "v5.9",
    says: [
      "Callers may hold raw locks, under which the page allocator must not be entered (B13): they take pages from the stock only.",
      "An empty stock is filled by a worker, which an hrtimer of no delay starts; the stock is five pages now, and empty at boot.",
      "A pointer that finds no page goes on the list, a headless one is freed by its caller.",
    ],
    files: { tree: "tree/v5.11", tiny: "tiny/v5.9", macros: "macros/7of7" },
    changes: {
      tree: {
        functions: {
          changed: [
            "rcu_min_cached_objs",
            "kfree_rcu_work",
            "kvfree_call_rcu_add_ptr_to_bulk",
            "kvfree_call_rcu",
            "kfree_rcu_shrink_count",
            "kfree_rcu_shrink_scan",
            "kfree_rcu_scheduler_running",
            "kfree_rcu_batch_init",
          ],
          added: ["schedule_page_work_fn", "fill_page_cache_func", "run_page_cache_worker"],
        },
        structs: { changed: ["kfree_rcu_cpu"] },
        ours: { changed: ["putBlock"] },
      },
    },
  },
  {
    label: "v5.13",
    subject: "[PATCH tip/core/rcu 0/6] kvfree_rcu() updates for v5.12-rc1",
    messageId: "20210304001044.GA22871@paulmck-ThinkPad-P72",
    commits: ["148e3731d124", "b01b405092b7", "3e7ce7a187fc", "ee6ddf58475c", "7ffc9ec8eacc", "5130b8fd0690"],
    date: "2021-06-27",
    parent: "v5.11",
    says: [
      "A headless call may sleep, so it allocates its own page, without the lock and with light reclaim.",
      "Afterwards it takes the lock of the CPU it is then on, which may be another one (B16).",
      "kfree_rcu() takes a pointer alone too.",
    ],
    files: { tree: "tree/v5.13", tiny: "tiny/v5.9", macros: "macros/v5.13" },
    changes: {
      tree: {
        functions: {
          changed: ["krc_this_cpu_unlock", "fill_page_cache_func", "kvfree_call_rcu"],
          added: ["add_ptr_to_bulk_krc_lock"],
          removed: ["kvfree_call_rcu_add_ptr_to_bulk"],
        },
      },
      macros: { macros: { changed: ["kfree_rcu", "kvfree_rcu_arg_2"], removed: ["__kvfree_rcu"] } },
    },
  },
  {
    label: "v5.14",
    subject: "[PATCH v2 0/5] kvfree_rcu() miscellaneous fixes",
    messageId: "20210415172000.15086-1-urezki@gmail.com",
    commits: ["d0bfa8b3c42c", "ac7625ebd5f7", "d434c00fa3ac", "dd28c9f057ad", "7fe1da33f6ba", "a78d4a2a1017"],
    date: "2021-08-29",
    parent: "v5.13",
    says: [
      "The shrinker gets the spare pages too, and keeps the stock from being filled again for five seconds.",
      "When the scheduler starts, blocks count as well as the list, which ends B11.",
      "The monitor is one function.",
    ],
    files: { tree: "tree/v5.14", tiny: "tiny/v5.9", macros: "macros/v5.13" },
    changes: {
      tree: {
        constants: { added: ["rcu_delay_page_cache_fill_msec"] },
        structs: { changed: ["kfree_rcu_cpu"] },
        functions: {
          changed: [
            "get_cached_bnode",
            "put_cached_bnode",
            "kfree_rcu_monitor",
            "schedule_page_work_fn",
            "fill_page_cache_func",
            "run_page_cache_worker",
            "kfree_rcu_shrink_count",
            "kfree_rcu_shrink_scan",
            "kfree_rcu_scheduler_running",
            "kfree_rcu_batch_init",
          ],
          added: ["drain_page_cache"],
          removed: ["queue_kfree_rcu_work", "kfree_rcu_drain_unlock"],
        },
        ours: { changed: ["level"] },
      },
    },
  },
  {
    label: "v6.1",
    subject: "[PATCH rcu 3/3] rcu/kvfree: Update KFREE_DRAIN_JIFFIES interval",
    messageId: "20220831180921.2694017-3-paulmck@kernel.org",
    commits: ["51824b780b71", "093590c16b44", "382692693518"],
    date: "2022-12-11",
    parent: "v5.14",
    says: [
      "Most blocks went with fewer than ten pointers (B25), so a batch starts after five seconds in place of 20 ms.",
      "With a block full of pointers it starts at the next jiffy, for which an armed timer is shortened.",
      "A refill of the stock ends at the first failure; the shrinker says when it has nothing.",
    ],
    files: { tree: "tree/v6.1", tiny: "tiny/v5.9", macros: "macros/v5.13" },
    changes: {
      tree: {
        constants: { changed: ["KFREE_DRAIN_JIFFIES"] },
        structs: { changed: ["kfree_rcu_cpu"] },
        functions: {
          added: ["need_offload_krc", "schedule_delayed_monitor_work"],
          changed: [
            "kfree_rcu_monitor",
            "fill_page_cache_func",
            "kvfree_call_rcu",
            "kfree_rcu_shrink_count",
            "kfree_rcu_scheduler_running",
          ],
        },
        ours: { changed: ["look"] },
      },
    },
  },
  {
    label: "v6.1.192",
    subject: "[PATCH 1/1] rcu/kvfree: Avoid freeing new kfree_rcu() memory after old grace period",
    messageId: null,
    commits: ["5da7cb193db3"],
    date: "2023-04-18",
    parent: "v6.1",
    says: [
      "The stable series of v6.1 with the fix of 2023: a batch takes new pointers only when all three of its channels are empty, so that none goes with an older grace period (B9).",
    ],
    files: { tree: "tree/v6.1.192", tiny: "tiny/v5.9", macros: "macros/v5.13" },
    changes: {
      tree: {
        functions: { added: ["need_wait_for_krwp_work"], changed: ["kfree_rcu_monitor"] },
        ours: { removed: ["canDetach"] },
      },
    },
  },
  {
    label: "v6.3-rc1",
    subject: "[PATCH 4/4] rcu/kvfree: Use a polled API to speedup a reclaim process",
    messageId: "20221128153628.541361-4-urezki@gmail.com",
    commits: [
      "04a522b7da3d",
      "27538e18b62f",
      "8c15a9e80865",
      "8fc5494ad5fa",
      "cc37d52076a9",
      "9627456101ec",
      "4c33464ae85e",
      "2ca836b1da17",
      "608723c41cd9",
    ],
    date: "2023-03-05",
    parent: "v6.1",
    says: [
      "A batch waited for a new grace period, though one had often passed since its pointers came: gigabytes could wait (B26).",
      "Every block remembers the state of RCU at its last pointer; the monitor frees at once what has had its grace period, and starts a batch only for the rest.",
      "The second parameter of kvfree_call_rcu() is the object, not the offset.",
      "kvfree_rcu_mightsleep() and kfree_rcu_mightsleep() appear.",
    ],
    files: { tree: "tree/v6.3-rc1", tiny: "tiny/v6.3-rc1", macros: "macros/v6.3-rc1" },
    changes: {
      tree: {
        structs: { changed: ["kvfree_rcu_bulk_data", "kfree_rcu_cpu_work", "kfree_rcu_cpu"] },
        constants: { changed: ["KVFREE_BULK_MAX_ENTR", "krc"], added: ["HEADS_SIZE"] },
        ours: {
          changed: ["recordAddr", "canDetach", "addRecord", "place", "look", "view", "level"],
          added: ["headsAt", "nextOf", "prevOf", "freeBlocks", "firstBlock", "blocksOf", "countOf"],
        },
        functions: {
          added: ["kvfree_rcu_bulk", "kvfree_rcu_list", "krc_count", "kvfree_rcu_drain_ready"],
          changed: [
            "kfree_rcu_work",
            "need_offload_krc",
            "schedule_delayed_monitor_work",
            "kfree_rcu_monitor",
            "add_ptr_to_bulk_krc_lock",
            "kvfree_call_rcu",
            "kfree_rcu_shrink_count",
            "kfree_rcu_shrink_scan",
            "kfree_rcu_scheduler_running",
            "kfree_rcu_batch_init",
          ],
        },
      },
      tiny: { functions: { changed: ["kvfree_call_rcu"] } },
      macros: {
        macros: { added: ["kvfree_rcu_mightsleep", "kfree_rcu_mightsleep"], changed: ["kvfree_rcu_arg_2"] },
        ours: { changed: ["macros"] },
      },
    },
  },
  {
    label: "v6.3",
    subject: "rcu/kvfree: Avoid freeing new kfree_rcu() memory after old grace period",
    messageId: null,
    commits: ["5da7cb193db3"],
    date: "2023-04-23",
    parent: "v6.3-rc1",
    says: [
      "A batch takes new pointers only when all three of its channels are empty, so that none goes with an older grace period (B9): a use after free that had been there since v5.7.",
    ],
    files: { tree: "tree/v6.3", tiny: "tiny/v6.3-rc1", macros: "macros/v6.3-rc1" },
    changes: {
      tree: {
        functions: { added: ["need_wait_for_krwp_work"], changed: ["kfree_rcu_monitor"] },
        ours: { removed: ["canDetach"] },
      },
    },
  },
  {
    label: "v6.5",
    subject: "[PATCH v2 11/14] rcu/kvfree: Eliminate k[v]free_rcu() single argument macro",
    messageId: "20230315181902.4177819-11-joel@joelfernandes.org",
    commits: [
      "7e3f926bf453",
      "309a43165077",
      "cdfa0f6fa6b7",
      "f32276a37652",
      "1e237994d9c9",
      "021a5ff84743",
      "60888b77a06e",
      "6b706e5603c4",
    ],
    date: "2023-08-27",
    parent: "v6.3",
    says: [
      "kvfree_rcu() and kfree_rcu() need the rcu_head again; the headless form is called kvfree_rcu_mightsleep(), as it sleeps.",
      "After its allocation a headless call takes the lock of the CPU it started on, which ends B16.",
      "Nothing is filled when the stock is switched off, and never more than is missing (B18); each free checks that its grace period is over.",
      "The snapshot of a block has two words, so it holds 507 pointers.",
    ],
    files: { tree: "tree/v6.5", tiny: "tiny/v6.3-rc1", macros: "macros/v6.5" },
    changes: {
      tree: {
        structs: { changed: ["kvfree_rcu_bulk_data", "kfree_rcu_cpu_work"] },
        functions: {
          changed: [
            "drain_page_cache",
            "kvfree_rcu_bulk",
            "kfree_rcu_work",
            "kvfree_rcu_drain_ready",
            "kfree_rcu_monitor",
            "fill_page_cache_func",
            "run_page_cache_worker",
            "add_ptr_to_bulk_krc_lock",
          ],
        },
        ours: { changed: ["addRecord"] },
      },
      macros: { macros: { changed: ["kfree_rcu", "kvfree_rcu", "kfree_rcu_mightsleep"] } },
    },
  },
  {
    label: "v6.12",
    subject: "[PATCH v2] rcu/kvfree: Add kvfree_rcu_barrier() API",
    messageId: "20240820155935.1167988-1-urezki@gmail.com",
    commits: ["2b55d6a42d14", "6c6c47b063b5"],
    date: "2024-11-17",
    parent: "v6.5",
    says: [
      "rcu_barrier() does not wait for what is batched, so a slab cache could be destroyed with objects on their way (B20): kvfree_rcu_barrier() does, and kmem_cache_destroy() calls it.",
      "kmemleak is told to look away from objects that only a block points to (B29).",
    ],
    files: { tree: "tree/v6.12", tiny: "tiny/v6.12", macros: "macros/v6.5" },
    changes: {
      tree: {
        functions: {
          changed: [
            "schedule_delayed_monitor_work",
            "kfree_rcu_monitor",
            "run_page_cache_worker",
            "kvfree_call_rcu",
            "kfree_rcu_batch_init",
          ],
          added: ["kvfree_rcu_queue_batch", "kvfree_rcu_barrier"],
        },
        ours: { changed: ["addRecord", "level"], added: ["flushBatches"] },
      },
      tiny: { functions: { added: ["kvfree_rcu_barrier"] }, ours: { changed: ["level"] } },
    },
  },
];
