// SPDX-License-Identifier: GPL-2.0-only
/**
 * The resize program: a writer grows arrays of pointers under three readers, and unmounts.
 *
 * Four sites as in fs/ext4 of v5.8: add_new_gdb() and add_new_gdb_meta_bg() (s_group_desc), ext4_mb_alloc_groupinfo()
 * (s_group_info), ext4_alloc_flex_bg_array() (s_flex_groups). What each does with its arrays is in its parts. Invariant:
 * with proper parts nothing is left allocated at the end, whatever fails and however it is scheduled.
 *
 * Left out: two sites that share one array (here each has its own), block groups, and what is in them.
 *
 * @module
 */

import {
  complete,
  completion,
  cond_resched,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kmalloc,
  kthread_bind,
  kthread_create,
  kthread_should_stop,
  kthread_stop,
  kvfree,
  kvmalloc,
  type MaySleep,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  rcu_dereference_protected,
  type Scenario,
  type ScenarioOption,
  schedule_timeout_uninterruptible,
  struct,
  type task_struct,
  trace_mark,
  ulong,
  type VirtAddr,
  wait_for_completion,
  wake_up_process,
  WARN_ON_ONCE,
} from "../../mod.ts";
import { type Site, SITES } from "./deal.ts";
import { type ArrayPtr, type Parts, slot } from "./parts.ts";

/** What the arrays point to. */
const element = struct("element", { number: ulong, pad: ulong, more: ulong });

/** One array: the pointer that readers follow, and how long it is. */
const site_array = struct("site_array", { pointer: ptr, count: ulong });

/** A site of a mounted file system. */
interface Mounted {
  readonly site: Site;
  readonly parts: Parts;
  readonly at: VirtAddr;
}

function arrayPtr({ at }: Mounted): ArrayPtr {
  return at as ArrayPtr;
}

function countOf(k: Kernel, { at }: Mounted): number {
  return site_array.f.count.get(k, at);
}

function* makeElement(k: Kernel, number: number): MaySleep<VirtAddr> {
  const made = yield* kmalloc(k, element.size, GFP_KERNEL);
  if (made !== NULL) element.f.number.set(k, made, number);
  return made;
}

/** Makes the first array. Returns whether there was memory for all of it. */
function* ext4_fill_super(k: Kernel, fs: Mounted, count: number): MaySleep<boolean> {
  const array = yield* kvmalloc(k, count * ptr.size, GFP_KERNEL);
  if (array === NULL) return false;
  for (let i = 0; i < count; i++) {
    const made = yield* makeElement(k, i);
    if (made === NULL) {
      while (i > 0) yield* kfree(k, k.ram.loadPtr(slot(array, --i)));
      yield* kvfree(k, array);
      return false;
    }
    k.ram.storePtr(slot(array, i), made);
  }
  site_array.f.pointer.set(k, fs.at, array);
  site_array.f.count.set(k, fs.at, count);
  return true;
}

/** Makes the array one longer; without memory it stays as it is. */
function* growSite(k: Kernel, fs: Mounted): MaySleep<void> {
  const count = countOf(k, fs);
  const made = yield* makeElement(k, count);
  const n_array = yield* kvmalloc(k, (count + 1) * ptr.size, GFP_KERNEL);
  if (made === NULL || n_array === NULL) {
    yield* kfree(k, made);
    yield* kvfree(k, n_array);
    return;
  }
  const o_array = rcu_dereference_protected(k, arrayPtr(fs) as Ptr<Ptr<VirtAddr>>);
  for (let i = 0; i < count; i++) k.ram.storePtr(slot(n_array, i), k.ram.loadPtr(slot(o_array, i)));
  k.ram.storePtr(slot(n_array, count), made);
  yield* fs.parts.replaceArray(k, arrayPtr(fs), n_array, o_array);
  site_array.f.count.set(k, fs.at, count + 1);
  trace_mark(k, `${fs.site}: ${count + 1} elements`);
}

function* add_new_gdb(k: Kernel, fs: Mounted): MaySleep<void> {
  yield* growSite(k, fs);
}

function* add_new_gdb_meta_bg(k: Kernel, fs: Mounted): MaySleep<void> {
  yield* growSite(k, fs);
}

function* ext4_mb_alloc_groupinfo(k: Kernel, fs: Mounted): MaySleep<void> {
  yield* growSite(k, fs);
}

function* ext4_alloc_flex_bg_array(k: Kernel, fs: Mounted): MaySleep<void> {
  yield* growSite(k, fs);
}

/** Who grows the array of a site, as call sites and call traces name it. */
const GROWERS: Readonly<Record<Site, (k: Kernel, fs: Mounted) => MaySleep<void>>> = {
  gdb: add_new_gdb,
  meta_bg: add_new_gdb_meta_bg,
  groupinfo: ext4_mb_alloc_groupinfo,
  flex: ext4_alloc_flex_bg_array,
};

function* ext4_put_super(k: Kernel, fs: Mounted): MaySleep<void> {
  const array = site_array.f.pointer.get(k, fs.at);
  site_array.f.pointer.set(k, fs.at, NULL);
  yield* fs.parts.freeElements(k, array, countOf(k, fs));
}

/** How many elements, the newest ones, a reader looks at. */
const LOOKS = 5;

function* reader(k: Kernel, sites: readonly Mounted[], usecs: number, seen: Seen): MaySleep<void> {
  for (let i = 0; !kthread_should_stop(k); i++) {
    for (const fs of sites) {
      const count = countOf(k, fs);
      const index = count - 1 - i % Math.min(count, LOOKS);
      const found = yield* fs.parts.sbi_array_rcu_deref(k, arrayPtr(fs), index, usecs);
      WARN_ON_ONCE(k, element.f.number.get(k, found) !== index, `${fs.site}: not the element of that number`);
      seen.looks++;
    }
    if (i % 2 === 1) yield* schedule_timeout_uninterruptible(k, 1);
    else yield* cond_resched(k);
  }
}

function* writer(
  k: Kernel,
  sites: readonly Mounted[],
  grows: number,
  done: completion,
  seen: Seen,
): MaySleep<void> {
  const from = k.now();
  for (let i = 0; i < grows; i++) {
    for (const fs of sites) yield* GROWERS[fs.site](k, fs);
    yield* schedule_timeout_uninterruptible(k, 1);
  }
  seen.writerNs = k.now() - from;
  complete(k, done);
}

/** Starts a thread that stays on one CPU. Null: there was no memory for it. */
function* startOn(
  k: Kernel,
  cpu: number,
  threadfn: (k: Kernel) => MaySleep<void>,
  name: string,
  seen: Seen,
): MaySleep<task_struct | null> {
  const task = yield* kthread_create(k, threadfn, name);
  if (typeof task === "number") return null;
  seen.threads[task.pid] = name;
  yield* kthread_bind(k, task, cpu);
  wake_up_process(k, task);
  return task;
}

const READERS = 3;

/** What a run tells its grader. */
export interface Seen {
  /** Virtual ns from the writer's start to its end; 0: it never ended. */
  writerNs: number;
  /** Elements that readers looked at. */
  looks: number;
  /** Names of its threads by pid. */
  threads: Record<number, string>;
}

/** Nothing yet. */
export function nothingSeen(): Seen {
  return { writerNs: 0, looks: 0, threads: {} };
}

const OPTIONS: readonly ScenarioOption[] = [
  {
    name: "site",
    kind: "enum",
    values: [...SITES, "all"],
    default: "all",
    help: "which array grows: one, or all of them in turn",
  },
  { name: "grows", kind: "int", min: 1, max: 64, default: "3", help: "how often it grows" },
  { name: "groups", kind: "int", min: 1, max: 2000, default: "12", help: "pointers in the first array" },
  {
    name: "hold",
    kind: "int",
    min: 0,
    max: 20,
    default: "12",
    help: "ms that the slowest reader takes for a look at the array",
  },
];

/** The program with the parts that `partsOf` gives its sites; `seen` is told what a grader wants to know. */
export function resizeScenario(
  partsOf: (site: Site, options: OptionValues) => Parts,
  more: readonly ScenarioOption[] = [],
  seen: Seen = nothingSeen(),
): Scenario {
  const options = [...OPTIONS.filter(({ name }) => more.every((option) => option.name !== name)), ...more];
  return {
    name: "resize",
    summary: "ext4's arrays grow under their readers, at four sites of the code",
    options,
    *main(k: Kernel, options: OptionValues): MaySleep<void> {
      seen.writerNs = seen.looks = 0;
      seen.threads = {};
      const wanted = SITES.filter((site) => options.site === "all" || options.site === site);
      const mounted: Mounted[] = [];
      for (const site of wanted) {
        const fs = { site, parts: partsOf(site, options), at: k.dataAlloc(site_array.size) };
        if (yield* ext4_fill_super(k, fs, Number(options.groups))) mounted.push(fs);
      }
      if (mounted.length === wanted.length) yield* growUnderReaders(k, mounted, options, seen);
      for (const fs of mounted) yield* ext4_put_super(k, fs);
    },
  };
}

function* growUnderReaders(
  k: Kernel,
  mounted: readonly Mounted[],
  options: OptionValues,
  seen: Seen,
): MaySleep<void> {
  const usecs = Math.floor(1000 * Number(options.hold) / READERS);
  const readers: (task_struct | null)[] = [];
  for (let i = 0; i < READERS; i++) {
    const look = (i + 1) * usecs; // the last one is the slowest
    const cpu = (i + 1) % k.config.cpus;
    readers.push(yield* startOn(k, cpu, (k) => reader(k, mounted, look, seen), `reader/${i}`, seen));
  }
  const done = new completion("the writer");
  const grows = Number(options.grows);
  const task = yield* startOn(k, 0, (k) => writer(k, mounted, grows, done, seen), "writer", seen);
  if (task !== null) yield* wait_for_completion(k, done);
  for (const task of readers) if (task !== null) yield* kthread_stop(k, task);
}
