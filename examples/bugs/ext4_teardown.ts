// SPDX-License-Identifier: GPL-2.0-only
/**
 * B24: ext4 frees its arrays inside of a reader's section.
 *
 * fs/ext4/super.c: at unmount ext4_put_super() frees the array of pointers to the group descriptors, fetched by
 * rcu_dereference() between rcu_read_lock() and rcu_read_unlock(), only so that the checker of rcu_dereference() is
 * content: nobody else is there any more. A large array came from vmalloc(), and vfree() may sleep, which a reader must
 * not. `--section none` fetches the pointer as its only owner may.
 */

import {
  addFailRule,
  clearFailRules,
  GFP_KERNEL,
  type Kernel,
  kvfree,
  kvmalloc,
  type MaySleep,
  type OptionValues,
  type Ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_dereference_protected,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  type VirtAddr,
} from "../../mod.ts";
import { LEVELS } from "../../kernel/config.ts";
import { type Bug } from "./bug.ts";

/** Pointers to 8192 blocks of group descriptors: 1 TB in blocks of 1 KiB. */
const GROUP_DESC_BYTES = 8 * 8192;

/** What of struct ext4_sb_info matters here. */
interface Ext4SbInfo {
  readonly s_group_desc: Ptr<Ptr<VirtAddr>>; // __rcu
}

function* ext4_fill_super(k: Kernel, sbi: Ext4SbInfo): MaySleep<void> {
  const group_desc = yield* kvmalloc(k, GROUP_DESC_BYTES, GFP_KERNEL);
  yield* rcu_assign_pointer(k, sbi.s_group_desc, group_desc as Ptr<VirtAddr>);
}

function* ext4_put_super(k: Kernel, sbi: Ext4SbInfo): MaySleep<void> {
  yield* rcu_read_lock(k);
  const group_desc = yield* rcu_dereference(k, sbi.s_group_desc);
  yield* kvfree(k, group_desc);
  yield* rcu_read_unlock(k);
}

/** ... without the section: the file system is unmounted, there are no readers. */
function* ext4_group_desc_free(k: Kernel, sbi: Ext4SbInfo): MaySleep<void> {
  yield* kvfree(k, rcu_dereference_protected(k, sbi.s_group_desc, true));
}

export const teardownScenario: Scenario = {
  name: "ext4_teardown",
  summary:
    "an ext4 file system is mounted and unmounted; its array is freed in a reader's section, or outside",
  options: [{
    name: "section",
    kind: "enum",
    values: ["reader", "none"],
    default: "reader",
    help: "reader: kvfree() between rcu_read_lock() and rcu_read_unlock(); none: without",
  }],
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    // Memory is fragmented: there are no 16 pages in a row, and kvmalloc() turns to vmalloc().
    const fragmented = addFailRule(k, { what: "page", order: 4, times: -1 });
    const sbi: Ext4SbInfo = { s_group_desc: k.dataAlloc(8) as VirtAddr as Ext4SbInfo["s_group_desc"] };
    yield* ext4_fill_super(k, sbi);
    clearFailRules(k, fragmented);
    yield* options.section === "reader" ? ext4_put_super(k, sbi) : ext4_group_desc_free(k, sbi);
  },
};

export default teardownScenario;

export const bug: Bug = {
  id: "B24",
  title: "ext4 calls kvfree(), which may sleep, inside of a reader's section",
  why: [
    "rcu_dereference() wants a reader's section around it, so one was put there at unmount, and the freeing of what it " +
    "fetched came to stand in it too; for a vmalloc'ed array that is vfree(), which may sleep.",
    "It is the caller's bug, the same at all levels: without other readers there is no need for a section, as " +
    "--section none shows.",
  ],
  history: "ext4 from v5.6 on; ended by Zqiang's patch of March 2026 (in v7.2), after all the levels here",
  levels: LEVELS,
  gone: null,
  shownAt: "7/7",
  demo: {
    scenario: teardownScenario,
    file: "examples/bugs/ext4_teardown.ts",
    machine: () => ({ cpus: 2 }),
  },
};
