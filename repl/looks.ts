// SPDX-License-Identifier: GPL-2.0-only
// The functions behind the commands that look, for lines of TypeScript: what `--ts` names, in scope beside mod.ts.
//
// Ours. Invariant: every one of them leaves the machine as it is, so none needs a thread.

export { cpu_rq } from "../kernel/sched/sched.ts";
export { tasklist } from "../kernel/fork.ts";
export { traceEvent, traceEvents } from "../kernel/trace/table.ts";
export { frag_show, meminfo_proc_show, pagetypeinfo_show, zoneinfo_show } from "../mm/show_mem.ts";
export { slabinfo_show } from "../mm/slab_common.ts";
export { vmallocinfo } from "../mm/vmalloc.ts";
export { krcState, tinyBatching } from "../rcu/kvfree.ts";
export { tinyCallbacks } from "../rcu/tiny.ts";
export { treeState } from "../rcu/tree_look.ts";
