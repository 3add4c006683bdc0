// SPDX-License-Identifier: GPL-2.0-only
/**
 * B20: a slab cache is destroyed while kvfree_rcu() still holds its objects.
 *
 * A file system is unmounted for the last time: its inodes went to kvfree_rcu(), it waits for what RCU still has to free, as
 * every user of call_rcu() must, and destroys the cache that they came from.
 */

import { embed, type Kernel, kvfree_rcu, type MaySleep, type Ptr, rcu_barrier, rcu_head } from "../../mod.ts";
import { GFP_KERNEL, type Scenario, struct, ulong, type VirtAddr } from "../../mod.ts";
import { kmem_cache_create, kmem_cache_destroy } from "../../mm/slab_common.ts";
import { kmem_cache_alloc } from "../../mm/slub.ts";
import { type Bug, levelsFromTo } from "./bug.ts";

const toyfs_inode = struct("toyfs_inode", { ino: ulong, rcu: embed(rcu_head) });
const INODES = 20;

/** Constructor of the cache, because of which no other cache shares it. */
function toyfs_init_once(k: Kernel, p: VirtAddr): void {
  toyfs_inode.f.ino.set(k, p as Ptr<typeof toyfs_inode>, 0);
}

export const cacheDestroyScenario: Scenario = {
  name: "kvfree_cache_destroy",
  summary:
    `${INODES} inodes of a cache are freed by kvfree_rcu(), and after rcu_barrier() the cache is destroyed`,
  options: [],
  *main(k: Kernel): MaySleep<void> {
    const cache = yield* kmem_cache_create(k, "toyfs_inode_cache", toyfs_inode.size, 0, 0, toyfs_init_once);
    if (cache === null) return;
    for (let i = 0; i < INODES; i++) {
      const inode = (yield* kmem_cache_alloc(k, cache, GFP_KERNEL)) as Ptr<typeof toyfs_inode>;
      yield* kvfree_rcu(k, inode, toyfs_inode, "rcu");
    }
    yield* rcu_barrier(k);
    yield* kmem_cache_destroy(k, cache);
  },
};

export default cacheDestroyScenario;

export const bug: Bug = {
  id: "B20",
  title: "a slab cache cannot be destroyed after kvfree_rcu(): rcu_barrier() does not see what is batched",
  why: [
    "rcu_barrier() waits for the callbacks of call_rcu(), and what kvfree_rcu() has collected is no callback until its " +
    "batch starts, so the inodes are still there when the cache is destroyed.",
    "From v6.12 on there is kvfree_rcu_barrier(), which starts the batches and waits for them, and " +
    "kmem_cache_destroy() calls it.",
  ],
  history:
    "from v5.6, with batching, to v6.11; ended by 2b55d6a42d14 (kvfree_rcu_barrier()) and 6c6c47b063b5 (its call " +
    "by kmem_cache_destroy(), v6.12)",
  levels: levelsFromTo("base", "v6.5"),
  gone: "v6.12",
  shownAt: "7/7",
  demo: {
    scenario: cacheDestroyScenario,
    file: "examples/bugs/kvfree_cache_destroy.ts",
    machine: () => ({ cpus: 2 }),
  },
};
