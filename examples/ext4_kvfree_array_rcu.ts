// SPDX-License-Identifier: GPL-2.0-only
/**
 * ext4's array of group descriptors, growing under its readers: the story that kvfree_rcu(ptr) was written for.
 *
 * In Linux, online resize replaces s_group_desc, an array of pointers, by a larger copy. Readers index the array under
 * rcu_read_lock(), so the old one may go only after a grace period, and the array has no rcu_head to queue it by.
 * fs/ext4/resize.c therefore allocates a 24-byte stub for call_rcu(). Here the writer is on CPU 0, the readers are on
 * the other CPUs, and with one CPU all of them share it.
 *
 * Variants: `printed` is the helper as the mails print it: without memory for the stub it frees the stub's NULL pointer
 * instead of the array. `fixed` is what was merged. `kvfree_rcu` needs no stub at all; from v6.3 on that form is
 * called `kvfree_rcu_mightsleep`, and from v6.5 on only so.
 * Readers: `leaves` copies what it needs out of the array; `escapes` keeps the array after rcu_read_unlock().
 *
 * The filesystem starts with 512 blocks of descriptors (4 TiB), so that the first array just fits a page. Every later
 * one is larger: kvmalloc() may take it from vmalloc(), and does so with `--fail kvmalloc`.
 *
 * Look at: `leaks` after `--variant printed --fail kmalloc`, `timeline` after `--variant kvfree_rcu`, and the report
 * after `--reader escapes`.
 *
 *     deno run examples/ext4_kvfree_array_rcu.ts --variant fixed --grows 3
 */

import {
  __GFP_COMP,
  __GFP_NORETRY,
  __GFP_NOWARN,
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
  gfp,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kmalloc,
  kthread_bind,
  kthread_create,
  kthread_should_stop,
  kthread_stop,
  kvfree,
  kvfree_rcu,
  kvfree_rcu_mightsleep,
  type KvfreeInterface,
  kvmalloc,
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
  type task_struct,
  trace_mark,
  udelay,
  ulong,
  type VirtAddr,
  wait_for_completion,
  wake_up_process,
} from "../mod.ts";
import { runExample } from "./run_example.ts";

/** What the array points to: a block of group descriptors. Never replaced; only the array is. */
const buffer_head = struct("buffer_head", { b_blocknr: ulong });

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

/** Where the array holds its pointer to block `index`. */
function slot(array: VirtAddr, index: number): VirtAddr {
  return (array + index * ptr.size) as VirtAddr;
}

/** Mounts: makes the first array, and the blocks that it points to in one piece. Returns whether there was memory. */
function* ext4_fill_super(k: Kernel, sbi: VirtAddr, count: number): MaySleep<boolean> {
  const array = yield* kvmalloc(k, count * ptr.size, GFP_KERNEL);
  const blocks = yield* kvmalloc(k, count * buffer_head.size, GFP_KERNEL);
  if (array === NULL || blocks === NULL) {
    yield* kvfree(k, array);
    yield* kvfree(k, blocks);
    return false;
  }
  for (let i = 0; i < count; i++) {
    const bh = (blocks + i * buffer_head.size) as VirtAddr;
    buffer_head.f.b_blocknr.set(k, bh, i);
    k.ram.storePtr(slot(array, i), bh);
  }
  ext4_sb_info.f.s_group_desc.set(k, sbi, array);
  ext4_sb_info.f.s_gdb_count.set(k, sbi, count);
  return true;
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
  for (let i = 0; i < count; i++) k.ram.storePtr(slot(n_group_desc, i), k.ram.loadPtr(slot(o_group_desc, i)));
  k.ram.storePtr(slot(n_group_desc, count), gdb_bh);
  yield* rcu_assign_pointer(k, sbi as Ptr<Ptr<VirtAddr>>, n_group_desc);
  ext4_sb_info.f.s_gdb_count.set(k, sbi, count + 1);
  trace_mark(k, `add_new_gdb: ${count + 1} blocks`);
  if (variant === "kvfree_rcu") yield* kvfree_rcu(k, o_group_desc);
  else if (variant === "kvfree_rcu_mightsleep") yield* kvfree_rcu_mightsleep(k, o_group_desc);
  else yield* ext4_kvfree_array_rcu(k, o_group_desc, variant === "fixed");
}

function* writer(k: Kernel, sbi: VirtAddr, grows: number, variant: string, done: completion): MaySleep<void> {
  for (let i = 0; i < grows; i++) {
    yield* add_new_gdb(k, sbi, variant);
    yield* schedule_timeout_uninterruptible(k, 1);
  }
  complete(k, done);
}

/** Block `index` of the array. It outlives the array, so it may be used after the section; the array may not. */
function* sbi_array_rcu_deref(k: Kernel, sbi: VirtAddr, index: number, usecs: number): Atomic<VirtAddr> {
  yield* rcu_read_lock(k);
  const array = yield* rcu_dereference(k, sbi as Ptr<Ptr<VirtAddr>>);
  yield* udelay(k, usecs); // meanwhile, on another CPU, the array is replaced
  const element = k.ram.loadPtr(slot(array, index));
  yield* rcu_read_unlock(k);
  return element;
}

/** How many blocks, the newest ones, a reader looks at. */
const LOOKS = 20;

function* reader(k: Kernel, sbi: VirtAddr, usecs: number): MaySleep<void> {
  for (let i = 0; !kthread_should_stop(k); i++) {
    const count = ext4_sb_info.f.s_gdb_count.get(k, sbi);
    const index = count - 1 - i % Math.min(count, LOOKS);
    check(k, yield* sbi_array_rcu_deref(k, sbi, index, usecs), index);
    if (i % 4 === 3) yield* schedule_timeout_uninterruptible(k, 1);
    else yield* cond_resched(k);
  }
}

/**
 * The classical mistake: a walk over many blocks is long, so it gives way in between, which needs it outside of the
 * section; and it takes the array along. To a grace period that has waited for 100 ms, cond_resched() says that this CPU
 * has left its readers behind.
 */
function* walker(k: Kernel, sbi: VirtAddr, usecs: number): MaySleep<void> {
  while (!kthread_should_stop(k)) {
    const count = ext4_sb_info.f.s_gdb_count.get(k, sbi);
    yield* rcu_read_lock(k);
    const array = yield* rcu_dereference(k, sbi as Ptr<Ptr<VirtAddr>>);
    yield* rcu_read_unlock(k);
    for (let i = 0; i < Math.min(count, LOOKS); i++) {
      yield* cond_resched(k); // from here on the array can be gone
      const index = count - 1 - i;
      check(k, k.ram.loadPtr(slot(array, index)), index);
      yield* udelay(k, usecs);
    }
    yield* schedule_timeout_uninterruptible(k, 1);
  }
}

function check(k: Kernel, bh: VirtAddr, index: number): void {
  if (buffer_head.f.b_blocknr.get(k, bh) !== index) trace_mark(k, "reader: wrong block");
}

/** Starts a thread that stays on one CPU. Null: there was no memory for it. */
function* startOn(
  k: Kernel,
  cpu: number,
  threadfn: (k: Kernel) => MaySleep<void>,
  name: string,
): MaySleep<task_struct | null> {
  const task = yield* kthread_create(k, threadfn, name);
  if (typeof task === "number") return null;
  yield* kthread_bind(k, task, cpu);
  wake_up_process(k, task);
  return task;
}

const READERS = 3;

/** What each word of --fail makes fail, for ever. */
const FAIL_RULES: Readonly<Record<string, readonly FailRule[]>> = {
  kmalloc: [{ what: "slab", site: "ext4_kvfree_array_rcu", times: -1 }],
  page: [{ what: "page", site: "kvfree_call_rcu_add_ptr_to_bulk", times: -1 }],
  wrapper: [{ what: "slab", site: "attach_rcu_head_to_object", times: -1 }],
  // kvmalloc() asks kmalloc() not to try hard when it can fall back: above a page, and only then. Above two pages
  // kmalloc() is a request for pages.
  kvmalloc: [
    { what: "slab", site: "add_new_gdb", gfp: gfp(__GFP_NORETRY, __GFP_NOWARN), times: -1 },
    {
      what: "page",
      site: "add_new_gdb",
      gfp: gfp(GFP_KERNEL, __GFP_NORETRY, __GFP_NOWARN, __GFP_COMP),
      times: -1,
    },
  ],
};

export const ext4Scenario: Scenario = {
  name: "ext4_kvfree_array_rcu",
  summary: "a writer replaces an array of pointers under its readers: how is the old array freed?",
  options: [
    {
      name: "variant",
      kind: "enum",
      values: ["printed", "fixed", "kvfree_rcu", "kvfree_rcu_mightsleep"],
      default: "kvfree_rcu",
      help:
        "how the old array is freed: the helper as printed, as merged, or kvfree_rcu(ptr) under either name",
    },
    { name: "grows", kind: "int", min: 1, max: 50000, default: "3", help: "how often the array grows" },
    { name: "groups", kind: "int", min: 1, max: 50000, default: "512", help: "pointers in the first array" },
    {
      name: "reader",
      kind: "enum",
      values: ["leaves", "escapes"],
      default: "leaves",
      help: "what a reader does: leaves the array with its section, or keeps it (a bug)",
    },
    {
      name: "hold",
      kind: "int",
      min: 0,
      max: 1000,
      default: "12",
      help: "ms that the slowest reader takes for a look at the array",
    },
    {
      name: "fail",
      kind: "list",
      values: ["kmalloc", "page", "wrapper", "kvmalloc"],
      default: "",
      help:
        "fail the helper's kmalloc; kvfree_rcu's block page; its wrapper; kmalloc for arrays above a page",
    },
  ],
  needs({ variant }): KvfreeInterface[][] {
    if (variant === "kvfree_rcu") return [["kvfree_rcu(ptr)"]];
    return variant === "kvfree_rcu_mightsleep" ? [["kvfree_rcu_mightsleep(ptr)"]] : [];
  },
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const sbi = k.dataAlloc(ext4_sb_info.size);
    if (!(yield* ext4_fill_super(k, sbi, Number(options.groups)))) return;
    const rules = options.fail.split(",").flatMap((what) => FAIL_RULES[what] ?? []).map((rule) =>
      addFailRule(k, rule)
    );

    const read = options.reader === "escapes" ? walker : reader;
    const usecs = Math.floor(1000 * Number(options.hold) / READERS);
    const readers: (task_struct | null)[] = [];
    for (let i = 0; i < READERS; i++) {
      const look = (i + 1) * usecs; // the last one is the slowest
      readers.push(yield* startOn(k, (i + 1) % k.config.cpus, (k) => read(k, sbi, look), `reader/${i}`));
    }
    const grows = Number(options.grows);
    const done = new completion("the writer");
    const task = yield* startOn(k, 0, (k) => writer(k, sbi, grows, options.variant, done), "writer");
    if (task !== null) yield* wait_for_completion(k, done);
    for (const task of readers) if (task !== null) yield* kthread_stop(k, task);
    for (const rule of rules) clearFailRules(k, rule); // they are about this run only
  },
};

export default ext4Scenario;

if (import.meta.main) runExample(ext4Scenario);
