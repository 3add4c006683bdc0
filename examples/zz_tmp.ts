// SPDX-License-Identifier: GPL-2.0-only
/**
 * ext4's array of group descriptors, growing under its readers: the story that kvfree_rcu(ptr) was written for.
 *
 * In Linux, online resize replaces s_group_desc, an array of pointers, by a larger copy. Readers index the array under
 * rcu_read_lock(), so the old one may go only after a grace period, and the array has no rcu_head to queue it by.
 * fs/ext4/resize.c therefore allocates a 24-byte stub for call_rcu().
 *
 * Variants: `printed` is the helper as the mails print it: without memory for the stub it frees the stub's NULL pointer
 * instead of the array. `fixed` is what was merged. `kvfree_rcu` needs no stub at all.
 *
 * Look at: `leaks` after `--variant printed --fail kmalloc`, and `timeline` after `--variant kvfree_rcu`.
 *
 *     deno run examples/ext4_kvfree_array_rcu.ts --variant fixed --grows 3
 */

import {
  addFailRule,
  type Atomic,
  call_rcu,
  clearFailRules,
  complete,
  completion,
  cond_resched,
  container_of,
  embed,
  type FailRule,
  type FieldType,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kmalloc,
  kthread_run,
  kvfree,
  kvfree_rcu,
  kvmalloc,
  type Layout,
  type MaySleep,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_dereference_protected,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  schedule_timeout_uninterruptible,
  struct,
  synchronize_rcu,
  trace_mark,
  ulong,
  type VirtAddr,
  wait_for_completion,
} from "../mod.ts";
import { runExample } from "./run_example.ts";

/** What the array points to: one group descriptor block. Never replaced; only the array is. */
const buffer_head: Layout<{ b_blocknr: FieldType<number> }> = struct("buffer_head", { b_blocknr: ulong });

/** The two fields of struct ext4_sb_info that matter here. */
const ext4_sb_info = struct("ext4_sb_info", {
  s_group_desc: ptr, // __rcu: array of pointers to buffer heads
  s_gdb_count: ulong, // its length
});

const ext4_rcu_ptr = struct("ext4_rcu_ptr", { rcu: embed(rcu_head), ptr });

function* ext4_rcu_ptr_callback(k: Kernel, head: VirtAddr): Atomic<void> {
  const stub = container_of(head, ext4_rcu_ptr, "rcu");
  yield* kvfree(k, ext4_rcu_ptr.f.ptr.get(k, stub));
  yield* kfree(k, stub);
}

/** Frees `to_free` after a grace period, as printed in the RFC and the series' cover letter, or as merged. */
function* ext4_kvfree_array_rcu(k: Kernel, to_free: VirtAddr, asMerged: boolean): MaySleep<void> {
  const stub = yield* kmalloc(k, ext4_rcu_ptr.size, GFP_KERNEL);
  if (stub !== NULL) {
    ext4_rcu_ptr.f.ptr.set(k, stub, to_free);
    yield* call_rcu(k, stub, ext4_rcu_ptr_callback);
    return;
  }
  yield* synchronize_rcu(k);
  yield* kvfree(k, asMerged ? to_free : stub); // the printed helper frees `ptr`, which is the stub: NULL here
}

/** Makes the array one longer. Only the writer calls it; ext4 holds the resize lock. */
function* add_new_gdb(k: Kernel, sbi: VirtAddr, variant: string): MaySleep<void> {
  const count = ext4_sb_info.f.s_gdb_count.get(k, sbi);
  const gdb_bh = yield* kmalloc(k, buffer_head.size, GFP_KERNEL);
  const n_group_desc = yield* kvmalloc(k, (count + 1) * ptr.size, GFP_KERNEL);
  if (gdb_bh === NULL || n_group_desc === NULL) {
    yield* kfree(k, gdb_bh);
    yield* kvfree(k, n_group_desc);
    return;
  }
  buffer_head.f.b_blocknr.set(k, gdb_bh, count);
  const o_group_desc = rcu_dereference_protected(k, sbi as Ptr<Ptr<VirtAddr>>);
  for (let i = Math.max(0,count-5); i < count; i++) k.ram.storePtr(slot(n_group_desc, i), k.ram.loadPtr(slot(o_group_desc, i)));
  k.ram.storePtr(slot(n_group_desc, count), gdb_bh);
  yield* rcu_assign_pointer(k, sbi as Ptr<Ptr<VirtAddr>>, n_group_desc);
  ext4_sb_info.f.s_gdb_count.set(k, sbi, count + 1);
  trace_mark(k, `add_new_gdb: ${count + 1} groups`);
  if (o_group_desc === NULL) return;
  if (variant === "kvfree_rcu") yield* kvfree_rcu(k, o_group_desc);
  else yield* ext4_kvfree_array_rcu(k, o_group_desc, variant === "fixed");
}

function slot(array: VirtAddr, index: number): VirtAddr {
  return (array + index * ptr.size) as VirtAddr;
}

/** sbi_array_rcu_deref(): the element outlives the array, so it may be used after the reader has left. */
function* sbi_array_rcu_deref(k: Kernel, sbi: VirtAddr, index: number): Atomic<VirtAddr> {
  yield* rcu_read_lock(k);
  const array = yield* rcu_dereference(k, sbi as Ptr<Ptr<VirtAddr>>);
  const element = k.ram.loadPtr(slot(array, index));
  yield* rcu_read_unlock(k);
  return element;
}

function* reader(k: Kernel, sbi: VirtAddr, loops: number, done: completion): MaySleep<void> {
  for (let i = 0; i < loops; i++) {
    const count = ext4_sb_info.f.s_gdb_count.get(k, sbi);
    const bh = yield* sbi_array_rcu_deref(k, sbi, i % count);
    if (buffer_head.f.b_blocknr.get(k, bh) !== i % count) trace_mark(k, "reader: wrong group descriptor");
    if (i % 4 === 3) yield* schedule_timeout_uninterruptible(k, 1);
    else yield* cond_resched(k);
  }
  complete(k, done);
}

function* writer(k: Kernel, sbi: VirtAddr, grows: number, variant: string, done: completion): MaySleep<void> {
  for (let i = 0; i < grows; i++) {
    yield* add_new_gdb(k, sbi, variant);
    yield* schedule_timeout_uninterruptible(k, 1);
  }
  complete(k, done);
}

const READERS = 2;

/** What each word of --fail makes fail, for ever. */
const FAIL_RULES: Readonly<Record<string, FailRule>> = {
  kmalloc: { what: "slab", site: "ext4_kvfree_array_rcu", times: -1 },
  page: { what: "page", site: "kvfree_call_rcu_add_ptr_to_bulk", times: -1 },
  wrapper: { what: "slab", site: "attach_rcu_head_to_object", times: -1 },
};

export const ext4Scenario: Scenario = {
  name: "ext4_kvfree_array_rcu",
  summary: "a writer replaces an array of pointers under its readers: how is the old array freed?",
  options: [
    {
      name: "variant",
      kind: "enum",
      values: ["printed", "fixed", "kvfree_rcu"],
      default: "kvfree_rcu",
      help: "how the old array is freed: the helper as printed, as merged, or kvfree_rcu(ptr)",
    },
    { name: "grows", kind: "int", min: 1, max: 50000, default: "3", help: "how often the array grows" },
    {
      name: "fail",
      kind: "list",
      values: ["kmalloc", "page", "wrapper"],
      default: "",
      help: "fail ext4_kvfree_array_rcu's own kmalloc; kvfree_rcu's block page; its wrapper",
    },
  ],
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const sbi = k.dataAlloc(ext4_sb_info.size);
    yield* add_new_gdb(k, sbi, options.variant); // the first array exists before anybody looks
    const rules = options.fail.split(",").flatMap((what) => FAIL_RULES[what] ?? []).map((rule) =>
      addFailRule(k, rule)
    );

    const done = Array.from({ length: READERS + 1 }, () => new completion());
    const grows = Number(options.grows);
    for (let i = 0; i < READERS; i++) {
      yield* kthread_run(k, (k) => reader(k, sbi, 4 * grows, done[i]), `reader/${i}`);
    }
    yield* kthread_run(k, (k) => writer(k, sbi, grows, options.variant, done[READERS]), "writer");
    for (const c of done) yield* wait_for_completion(k, c);
    for (const rule of rules) clearFailRules(k, rule); // they are about this run only
  },
};

export default ext4Scenario;

if (import.meta.main) runExample(ext4Scenario);
