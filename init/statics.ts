// SPDX-License-Identifier: GPL-2.0-only
/**
 * Every file-scope variable of the kernel, in the order in which boot creates them.
 *
 * @invented the linker does this for C
 * @module
 */

import { statics as bug } from "../kernel/bug.ts";
import type { Config, RcuChoice } from "../kernel/config.ts";
import { statics as cpumask } from "../kernel/cpumask.ts";
import { statics as debugobjects } from "../kernel/debugobjects.ts";
import { statics as entry } from "../kernel/entry.ts";
import { statics as fault_inject } from "../kernel/fault_inject.ts";
import { statics as fork } from "../kernel/fork.ts";
import { statics as kallsyms } from "../kernel/kallsyms.ts";
import { statics as kthread } from "../kernel/kthread.ts";
import { statics as module_ } from "../kernel/module.ts";
import { statics as sched } from "../kernel/sched/sched.ts";
import { statics as smp } from "../kernel/smp.ts";
import { statics as smpboot } from "../kernel/smpboot.ts";
import { statics as softirq } from "../kernel/softirq.ts";
import { statics as lockdep } from "../kernel/locking/lockdep.ts";
import { statics as lockdep_rcu } from "../kernel/locking/lockdep_rcu.ts";
import type { StaticKey } from "../kernel/static.ts";
import { statics as system_state } from "../kernel/system_state.ts";
import { statics as hrtimer } from "../kernel/time/hrtimer.ts";
import { statics as jiffies } from "../kernel/time/jiffies.ts";
import { statics as tick_sched } from "../kernel/time/tick-sched.ts";
import { statics as timer } from "../kernel/time/timer.ts";
import { statics as workqueue } from "../kernel/workqueue.ts";
import { statics as drop_caches } from "../mm/drop_caches.ts";
import { statics as failslab } from "../mm/failslab.ts";
import { statics as mm_internal } from "../mm/internal.ts";
import { statics as mm_types } from "../mm/mm_types.ts";
import { statics as mmzone } from "../mm/mmzone.ts";
import { statics as oom_kill } from "../mm/oom_kill.ts";
import { statics as page_alloc } from "../mm/page_alloc.ts";
import { statics as pgtable } from "../mm/pgtable.ts";
import { statics as slab_common } from "../mm/slab_common.ts";
import { statics as slub } from "../mm/slub.ts";
import { statics as task_memory } from "../mm/task_memory.ts";
import { statics as vmalloc } from "../mm/vmalloc.ts";
import { statics as vmscan } from "../mm/vmscan.ts";
import { statics as vmstat } from "../mm/vmstat.ts";
import { kvfreeStatics } from "../rcu/kvfree.ts";
import { statics as tiny } from "../rcu/tiny.ts";
import { statics as tree } from "../rcu/tree.ts";
import { statics as update } from "../rcu/update.ts";
import { statics as kasan_common } from "../mm/kasan/common.ts";
import { statics as kasan_quarantine } from "../mm/kasan/quarantine.ts";
import { statics as kasan_report } from "../mm/kasan/report.ts";
import { statics as kmemleak } from "../mm/kmemleak.ts";
import { statics as live } from "../mm/live.ts";
import { statics as slab_live } from "../mm/slab_live.ts";
import { statics as program } from "./program.ts";

const kernel: readonly (readonly StaticKey[])[] = [
  system_state,
  kallsyms,
  bug,
  lockdep,
  lockdep_rcu,
  debugobjects,
  cpumask,
  jiffies,
  sched,
  fork,
  entry,
  smp,
  smpboot,
  softirq,
  timer,
  hrtimer,
  tick_sched,
  kthread,
  workqueue,
  module_,
  fault_inject,
];

const mm: readonly (readonly StaticKey[])[] = [
  mm_types,
  mm_internal,
  mmzone,
  vmstat,
  page_alloc,
  vmscan,
  drop_caches,
  oom_kill,
  slub,
  slab_common,
  slab_live,
  failslab,
  pgtable,
  vmalloc,
  live,
  task_memory,
];

const kasan: readonly (readonly StaticKey[])[] = [kasan_common, kasan_quarantine, kasan_report];

const flavour: Readonly<Record<RcuChoice, readonly (readonly StaticKey[])[]>> = {
  none: [],
  tiny: [tiny],
  tree: [tree],
};

/** The lists of statics of the files that `config` builds. */
export function staticsFor(config: Config): readonly (readonly StaticKey[])[] {
  return [
    ...kernel,
    ...mm,
    ...(config.kasan ? kasan : []),
    ...(config.kmemleak ? [kmemleak] : []),
    update,
    ...flavour[config.rcu],
    kvfreeStatics(config),
    program,
  ];
}
