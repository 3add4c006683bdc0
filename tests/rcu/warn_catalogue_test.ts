// SPDX-License-Identifier: GPL-2.0-only
/**
 * The self-checks of RCU: every condition that must not happen is provoked, mostly by forcing state on a machine at rest
 * whose CPU 0 runs its idle task, and must be reported by the function that Linux (5.7) has the check in, and by no other.
 *
 * What can not be provoked here stands in ELSEWHERE or NOT_HERE, with where, or why. Text of a check is looked at only where
 * it has one; a WARN without text is known by its function.
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import type { Ulong64 } from "../../kernel/machine/ulong64.ts";
import type { Config } from "../../kernel/config.ts";
import { cpu_online_mask, cpumask_clear_cpu, cpumask_set_cpu } from "../../kernel/cpumask.ts";
import { udelay } from "../../kernel/entry.ts";
import { tasklist } from "../../kernel/fork.ts";
import { GFP_ATOMIC, GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { HARDIRQ_OFFSET, local_irq_disable, local_irq_enable } from "../../kernel/preempt.ts";
import { wake_up_process } from "../../kernel/sched/core.ts";
import { cpu_rq, type task_struct } from "../../kernel/sched/sched.ts";
import { __raise_softirq_irqoff, do_softirq, RCU_SOFTIRQ } from "../../kernel/softirq.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_INACTIVE } from "../../kernel/system_state.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { traceEvent } from "../../kernel/trace/table.ts";
import { kmalloc } from "../../mm/slub.ts";
import { rcu_head, rcu_seq_end, rcu_seq_set_state, rcu_seq_start } from "../../rcu/rcu.ts";
import {
  rcu_read_lock,
  rcu_read_lock_bh,
  rcu_read_lock_sched,
  rcu_read_unlock,
  rcu_read_unlock_bh,
  rcu_read_unlock_sched,
} from "../../rcu/rcupdate.ts";
import {
  rcu_segcblist_accelerate,
  rcu_segcblist_advance,
  rcu_segcblist_disable,
} from "../../rcu/rcu_segcblist.ts";
import {
  rcu_data,
  rcu_idle_enter,
  rcu_idle_exit,
  rcu_init_one,
  rcu_irq_enter,
  rcu_irq_exit,
  rcu_is_cpu_rrupt_from_idle,
  rcu_momentary_dyntick_idle,
  rcu_scheduler_starting,
  rcu_state,
} from "../../rcu/tree.ts";
import { rcu_lockdep_assert_cblist_protected, rcu_qs } from "../../rcu/tree_plugin.ts";
import {
  for_each_leaf_node_possible_cpu,
  raw_lockdep_assert_held_rcu_node,
  type rcu_data as RcuData,
  RCU_GP_FLAG_INIT,
  RCU_GP_WAIT_FQS,
  type rcu_node,
} from "../../rcu/tree_types.ts";
import { call_rcu, kfree, rcu_barrier, runToEnd, synchronize_rcu } from "../../mod.ts";
import { run } from "../helpers.ts";
import { bootTree, threadOn } from "./tree_machine.ts";

/** A condition, by the function and the words of the catalogue, and what the kernel must say: each report in short. */
interface Condition {
  readonly name: string;
  readonly says: readonly string[];
  readonly config?: Partial<Config>;
  /** Runs outside of the engine, on CPU 0 in its idle task, interrupts off, RCU not watching. */
  provoke(k: Kernel): void;
}

/** `at FUNC` for a WARN without text, the text of other reports without the place. */
function short(lines: readonly string[]): string {
  if (lines[2] === "WARNING: suspicious RCU usage") return lines[5].replace(/^\S+ /, "");
  if (lines[0] !== "------------[ cut here ]------------") return lines[0].replace(/ at \S+$/, "");
  return lines[1].startsWith("WARNING: CPU")
    ? lines[1].replace(/^.* (?=at )/, "")
    : lines[1].replace(/ffff[0-9a-f]+/, "ADDR");
}

function rdp0(k: Kernel): RcuData {
  return per_cpu_ptr(k, rcu_data, 0);
}

/** Any task that is not an idle one. */
function otherTask(k: Kernel): task_struct {
  return [...tasklist(k)][0];
}

/** Calls `f` with RCU watching, as between two times of idleness. */
function awake(f: (k: Kernel, rdp: RcuData) => void): (k: Kernel) => void {
  return (k) => {
    rcu_idle_exit(k);
    f(k, rdp0(k));
  };
}

/** Runs the RCU softirq of CPU 0, where every point yields; `between` is called at each. */
function rcuSoftirq(k: Kernel, between: () => void = () => {}): void {
  k.cpu.preempt_count = 0;
  k.budget = 0;
  k.slow = () => {
    k.budget = 0;
    return true;
  };
  __raise_softirq_irqoff(k, RCU_SOFTIRQ);
  const softirq = do_softirq(k);
  while (softirq.next().done !== true) between();
}

/** Calls `then` after each event called `name`. */
function onEvent(k: Kernel, name: string, then: (args: readonly (number | undefined)[]) => void): void {
  const emit = k.emit.bind(k);
  k.emit = (kind, ...args) => {
    emit(kind, ...args);
    if (traceEvent(kind)?.name === name) then(args);
  };
}

function inThread(k: Kernel, main: (k: Kernel) => MaySleep<void>): void {
  local_irq_enable(k);
  k.cpu.irqsOn = true;
  runToEnd(k, "test", main);
}

function newHead(k: Kernel): VirtAddr {
  return run(kmalloc(k, rcu_head.size, GFP_ATOMIC));
}

/** Puts `n` callbacks on CPU 0's list, the first `ready` of which may run. */
function queueCallbacks(k: Kernel, n: number, ready: number): void {
  const { cblist } = rdp0(k);
  for (let i = 0; i < n; i++) {
    run(call_rcu(k, newHead(k), () => doneVoid()));
    if (i !== ready - 1) continue;
    local_irq_disable(k);
    rcu_segcblist_accelerate(k, cblist, rcu_state(k).gp_seq);
    rcu_segcblist_advance(k, cblist, rcu_state(k).gp_seq);
  }
}

/** Answers `isZero()` of a mask by hand, call by call; then as it is. */
function answerIsZero(mask: Ulong64, answers: boolean[]): void {
  const isZero = mask.isZero.bind(mask);
  mask.isZero = () => answers.shift() ?? isZero();
}

const TWO_LEAVES: Partial<Config> = { cpus: 4, fanout: 2, fanoutLeaf: 2 };

/** The CPUs of another leaf go away, seen at a grace period, before which `force` is called. */
function leafLosesItsCpus(k: Kernel, force: (leaf: rcu_node) => void): void {
  inThread(k, (k) => synchronize_rcu(k));
  rcu_state(k).leaves[1].qsmaskinitnext.clear();
  force(rcu_state(k).leaves[1]);
  inThread(k, (k) => threadOn(k, 0, "first", (k) => synchronize_rcu(k)));
}

const CONDITIONS: readonly Condition[] = [
  {
    name: "rcu_eqs_enter: dynticks_nmi_nesting is not DYNTICK_IRQ_NONIDLE",
    says: ["at rcu_eqs_enter"],
    provoke: awake((k, rdp) => {
      rdp.dynticks_nmi_nesting = 7;
      run(rcu_idle_enter(k));
    }),
  },
  {
    name: "rcu_eqs_enter: dynticks_nesting is 0",
    says: ["at rcu_eqs_enter"],
    provoke: awake((k, rdp) => {
      rdp.dynticks_nesting = 0;
      run(rcu_idle_enter(k));
    }),
  },
  {
    name: "rcu_eqs_enter: not the idle task",
    says: ["at rcu_eqs_enter"],
    provoke: awake((k) => {
      k.cpu.current = otherTask(k);
      run(rcu_idle_enter(k));
    }),
  },
  {
    name: "rcu_dynticks_eqs_enter: the counter says idle before",
    says: ["at rcu_dynticks_eqs_enter"],
    provoke: awake((k, rdp) => {
      rdp.dynticks += 2;
      run(rcu_idle_enter(k));
    }),
  },
  {
    name: "rcu_dynticks_eqs_enter: the special bit is set",
    says: ["at rcu_dynticks_eqs_enter"],
    provoke: awake((k, rdp) => {
      rdp.dynticks += 1;
      run(rcu_idle_enter(k));
    }),
  },
  {
    name: "rcu_dynticks_eqs_exit: the counter says not idle before",
    says: ["at rcu_dynticks_eqs_exit"],
    provoke(k) {
      rdp0(k).dynticks += 2;
      rcu_idle_exit(k);
    },
  },
  {
    name: "rcu_eqs_exit: dynticks_nesting is negative",
    says: ["at rcu_eqs_exit"],
    provoke(k) {
      rdp0(k).dynticks_nesting = -1;
      rcu_idle_exit(k);
    },
  },
  {
    name: "rcu_eqs_exit: dynticks_nmi_nesting is not 0",
    says: ["at rcu_eqs_exit"],
    provoke(k) {
      rdp0(k).dynticks_nmi_nesting = 2;
      rcu_idle_exit(k);
    },
  },
  {
    name: "rcu_eqs_exit: not the idle task",
    says: ["at rcu_eqs_exit"],
    provoke(k) {
      k.cpu.current = otherTask(k);
      rcu_idle_exit(k);
    },
  },
  {
    name: "rcu_idle_enter: interrupts are on",
    says: ["at rcu_idle_enter"],
    provoke: awake((k) => {
      local_irq_enable(k);
      run(rcu_idle_enter(k));
    }),
  },
  {
    name: "rcu_irq_enter: interrupts are on",
    says: ["at rcu_irq_enter"],
    provoke: awake((k) => {
      local_irq_enable(k);
      rcu_irq_enter(k);
    }),
  },
  {
    name: "rcu_irq_exit: interrupts are on",
    says: ["at rcu_irq_exit"],
    provoke: awake((k) => {
      local_irq_enable(k);
      rcu_irq_exit(k);
    }),
  },
  {
    name: "rcu_nmi_exit_common: dynticks_nmi_nesting is not positive",
    says: ["at rcu_nmi_exit_common"],
    provoke: awake((k, rdp) => {
      rdp.dynticks_nmi_nesting = 0;
      rcu_irq_exit(k);
    }),
  },
  {
    name: "rcu_nmi_exit_common: RCU does not watch this CPU",
    says: ["at rcu_nmi_exit_common"],
    provoke(k) {
      rdp0(k).dynticks_nmi_nesting = 3;
      rcu_irq_exit(k);
    },
  },
  {
    name: "rcu_nmi_enter_common: dynticks_nmi_nesting is negative",
    says: ["at rcu_nmi_enter_common"],
    provoke: awake((k, rdp) => {
      rdp.dynticks_nmi_nesting = -2;
      rcu_irq_enter(k);
    }),
  },
  {
    name: "rcu_momentary_dyntick_idle: called while idle",
    says: ["at rcu_momentary_dyntick_idle"],
    provoke(k) {
      run(rcu_momentary_dyntick_idle(k));
    },
  },
  {
    name: "rcu_is_cpu_rrupt_from_idle: not in a hard interrupt",
    says: ["at rcu_is_cpu_rrupt_from_idle"],
    provoke: awake((k) => {
      rcu_is_cpu_rrupt_from_idle(k);
    }),
  },
  {
    name: "rcu_is_cpu_rrupt_from_idle: dynticks_nesting is negative",
    says: ["RCU dynticks_nesting counter underflow!!"],
    provoke: awake((k, rdp) => {
      k.cpu.preempt_count += HARDIRQ_OFFSET;
      rdp.dynticks_nesting = -1;
      rcu_is_cpu_rrupt_from_idle(k);
    }),
  },
  {
    name: "rcu_is_cpu_rrupt_from_idle: dynticks_nmi_nesting is not positive",
    says: ["RCU dynticks_nmi_nesting counter underflow/zero!!"],
    provoke: awake((k, rdp) => {
      k.cpu.preempt_count += HARDIRQ_OFFSET;
      rdp.dynticks_nmi_nesting = 0;
      rcu_is_cpu_rrupt_from_idle(k);
    }),
  },
  {
    name: "rcu_implicit_dynticks_qs: an offline CPU holds the grace period longer than HZ",
    says: ["at rcu_implicit_dynticks_qs"],
    provoke(k) {
      const leaf = rcu_state(k).leaves[0];
      const { grpmask } = per_cpu_ptr(k, rcu_data, 1);
      inThread(k, function* (k) {
        yield* threadOn(k, 1, "loop", (k) => udelay(k, 1.2e6));
        yield* schedule_timeout_uninterruptible(k, 2);
        yield* call_rcu(k, yield* kmalloc(k, rcu_head.size, GFP_KERNEL), () => doneVoid());
        while (rcu_state(k).gp_state !== RCU_GP_WAIT_FQS) yield* schedule_timeout_uninterruptible(k, 1);
        leaf.qsmaskinitnext.andNot(grpmask);
        yield* rcu_barrier(k);
        leaf.qsmaskinitnext.or(grpmask);
      });
    },
  },
  {
    name: "rcu_gp_init: a grace period runs already",
    says: ["at rcu_gp_init"],
    provoke(k) {
      const rsp = rcu_state(k);
      inThread(k, function* (k) {
        rsp.gp_seq++;
        rsp.gp_flags = RCU_GP_FLAG_INIT;
        wake_up_process(k, rsp.gp_kthread as task_struct);
        yield* schedule_timeout_uninterruptible(k, 2);
        rsp.gp_seq--;
      });
    },
  },
  {
    name: "rcu_preempt_check_blocked_tasks: qsmask is left from the last grace period",
    says: ["at rcu_preempt_check_blocked_tasks"],
    provoke(k) {
      rcu_state(k).node[0].qsmask.setBit(0);
      inThread(k, (k) => synchronize_rcu(k));
    },
  },
  {
    name: "rcu_gp_cleanup: qsmask is not clear",
    says: ["at rcu_gp_cleanup"],
    config: TWO_LEAVES,
    provoke(k) {
      const rsp = rcu_state(k);
      onEvent(k, "rcu_quiescent_state_report", () => {
        if (rsp.node[0].qsmask.isZero()) rsp.leaves[1].qsmask.setBit(0);
      });
      onEvent(k, "rcu_grace_period", (args) => {
        if (k.log.text(args[2] ?? 0) === "end") rsp.leaves[1].qsmask.clear();
      });
      inThread(k, (k) => synchronize_rcu(k));
    },
  },
  {
    name: "rcu_report_qs_rsp: no grace period runs",
    says: ["at rcu_report_qs_rsp"],
    provoke: awake((k, rdp) => {
      rdp.mynode.qsmask.set(rdp.grpmask);
      rdp.core_needs_qs = true;
      rdp.cpu_no_qs.norm = false;
      rcuSoftirq(k);
    }),
  },
  {
    name: "rcu_report_qs_rnp: a child reports that is not done",
    says: ["at rcu_report_qs_rnp", "at rcu_report_qs_rsp"],
    config: TWO_LEAVES,
    provoke: awake((k, rdp) => {
      const [root, leaf] = [rcu_state(k).node[0], rdp.mynode];
      leaf.qsmask.set(rdp.grpmask);
      root.qsmask.set(leaf.grpmask);
      rdp.core_needs_qs = true;
      rdp.cpu_no_qs.norm = false;
      let reported = false;
      onEvent(k, "rcu_quiescent_state_report", () => reported = true);
      // QS4: the leaf is unlocked, the root not locked yet.
      rcuSoftirq(k, () => {
        if (reported) leaf.qsmask.setBit(1);
      });
    }),
  },
  {
    name: "rcu_cleanup_dead_rnp: the leaf has CPUs",
    says: ["at rcu_cleanup_dead_rnp"],
    config: TWO_LEAVES,
    provoke(k) {
      // Had CPUs, has none, and then has some.
      leafLosesItsCpus(k, (leaf) => answerIsZero(leaf.qsmaskinit, [false, true, false]));
    },
  },
  {
    name: "rcu_cleanup_dead_rnp: an ancestor waits for somebody between grace periods",
    says: ["at rcu_cleanup_dead_rnp", "at rcu_preempt_check_blocked_tasks"],
    config: TWO_LEAVES,
    provoke(k) {
      leafLosesItsCpus(k, () => rcu_state(k).node[0].qsmask.setBit(0));
    },
  },
  {
    name: "rcu_init_new_rnp: wait_blkd_tasks is set",
    says: ["at rcu_init_new_rnp"],
    config: TWO_LEAVES,
    provoke(k) {
      const leaf = rcu_state(k).leaves[1];
      leaf.qsmaskinit.clear();
      const answers = [false, true];
      Object.defineProperty(leaf, "wait_blkd_tasks", { get: () => answers.shift() ?? false, set() {} });
      inThread(k, (k) => threadOn(k, 0, "first", (k) => synchronize_rcu(k)));
    },
  },
  {
    name: "rcu_core: the CPU was never online",
    says: ["at rcu_core"],
    provoke: awake((k, rdp) => {
      rdp.beenonline = false;
      rcuSoftirq(k);
    }),
  },
  {
    name: "rcu_do_batch: the CPU is offline",
    says: ["at rcu_do_batch"],
    provoke: awake((k) => {
      queueCallbacks(k, 1, 1);
      onEvent(k, "rcu_utilization", () => cpumask_clear_cpu(0, cpu_online_mask(k)));
      rcuSoftirq(k);
      cpumask_set_cpu(0, cpu_online_mask(k));
    }),
  },
  {
    name: "rcu_do_batch: the count is 0, the list is not empty",
    says: ["at rcu_do_batch"],
    provoke: awake((k, rdp) => {
      queueCallbacks(k, 2, 1);
      rdp.cblist.len = 1;
      rcuSoftirq(k);
    }),
  },
  {
    name: "rcu_do_batch: the count is not 0, the list is empty",
    says: ["at rcu_do_batch"],
    provoke: awake((k, rdp) => {
      queueCallbacks(k, 1, 1);
      rdp.cblist.len = 2;
      rcuSoftirq(k);
    }),
  },
  {
    name: "__call_rcu: the head is not aligned",
    says: ["at __call_rcu"],
    provoke: awake((k) => {
      run(call_rcu(k, (run(kmalloc(k, 64, GFP_ATOMIC)) + 4) as VirtAddr, () => doneVoid()));
    }),
  },
  {
    name: "__call_rcu: the list is disabled after boot",
    says: ["at __call_rcu"],
    provoke: awake((k, rdp) => {
      rdp.cblist.enabled = false;
      run(call_rcu(k, newHead(k), () => doneVoid()));
    }),
  },
  {
    name: "__call_rcu: the list is disabled and RCU does not watch",
    says: ["at __call_rcu"],
    provoke(k) {
      rcu_scheduler_active.set(k, RCU_SCHEDULER_INACTIVE);
      rdp0(k).cblist.enabled = false;
      run(call_rcu(k, newHead(k), () => doneVoid()));
    },
  },
  {
    name: "__call_rcu: the head is queued already",
    says: [
      "ODEBUG: activate active (active state 1) object type: rcu_head hint: 0x0",
      "ODEBUG: active_state active (active state 1) object type: rcu_head hint: 0x0",
      "__call_rcu(): Double-freed CB ADDR->first()!!!",
    ],
    config: { debugObjects: true },
    provoke: awake((k) => {
      const head = newHead(k);
      const first = (): Atomic<void> => doneVoid();
      for (let i = 0; i < 2; i++) run(call_rcu(k, head, first));
    }),
  },
  {
    name: "kfree() of a queued head",
    says: ["ODEBUG: free active (active state 1) object type: rcu_head hint: 0x0"],
    config: { debugObjects: true },
    provoke: awake((k) => {
      const head = newHead(k);
      run(call_rcu(k, head, () => doneVoid()));
      run(kfree(k, head));
    }),
  },
  {
    name: "rcu_segcblist_advance: the list is disabled",
    says: ["at rcu_segcblist_advance"],
    provoke: awake((k, rdp) => {
      rdp.cblist.enabled = false;
      rcu_segcblist_advance(k, rdp.cblist, 0);
    }),
  },
  {
    name: "rcu_segcblist_accelerate: the list is disabled",
    says: ["at rcu_segcblist_accelerate"],
    provoke: awake((k, rdp) => {
      rdp.cblist.enabled = false;
      rcu_segcblist_accelerate(k, rdp.cblist, 0);
    }),
  },
  {
    name: "rcu_segcblist_disable: the list is not empty",
    says: ["at rcu_segcblist_disable"],
    provoke: awake((k, rdp) => {
      queueCallbacks(k, 1, 0);
      rdp.cblist.len = 0;
      rcu_segcblist_disable(k, rdp.cblist);
    }),
  },
  {
    name: "rcu_segcblist_disable: the count is not 0",
    says: ["at rcu_segcblist_disable"],
    provoke: awake((k, rdp) => {
      rdp.cblist.len = 1;
      rcu_segcblist_disable(k, rdp.cblist);
    }),
  },
  {
    name: "rcu_qs: called preemptible",
    says: ["rcu_qs() invoked with preemption enabled!!!!"],
    provoke: awake((k) => {
      k.cpu.preempt_count = 0;
      k.cpu.irqsOn = true;
      run(rcu_qs(k));
    }),
  },
  {
    name: "rcu_boot_init_percpu_data: dynticks_nesting is not 1",
    says: ["at rcu_boot_init_percpu_data"],
    config: { cpus: 1 },
    provoke: awake((k, rdp) => {
      rdp.dynticks_nesting = 2;
      rcu_init_one(k);
    }),
  },
  {
    name: "rcu_boot_init_percpu_data: RCU does not watch",
    says: ["at rcu_boot_init_percpu_data"],
    config: { cpus: 1 },
    provoke(k) {
      rdp0(k).dynticks_nesting = 1;
      rcu_init_one(k);
    },
  },
  {
    name: "rcu_scheduler_starting: more than one CPU is online",
    says: ["at rcu_scheduler_starting"],
    provoke(k) {
      for (const cpu of k.cpus) cpu_rq(k, cpu.id).nr_switches = 0;
      rcu_scheduler_starting(k);
    },
  },
  {
    name: "rcu_scheduler_starting: there was a context switch",
    says: ["at rcu_scheduler_starting"],
    config: { cpus: 1 },
    provoke: (k) => rcu_scheduler_starting(k),
  },
  {
    name: "rcu_init_geometry: rcu_fanout_leaf is out of range",
    says: ["at rcu_init_geometry"],
    config: { bootFanoutLeaf: 65 },
    provoke() {},
  },
  {
    name: "rcu_init_geometry: the tree cannot hold the CPUs",
    says: ["at rcu_init_geometry"],
    config: { cpus: 40, fanout: 2, fanoutLeaf: 16, bootFanoutLeaf: 2 },
    provoke() {},
  },
  {
    name: "synchronize_rcu: in a reader",
    says: [
      "Illegal synchronize_rcu() in RCU read-side critical section!",
      "Illegal context switch in RCU read-side critical section!",
      "BUG: sleeping function called from invalid context",
    ],
    config: { cpus: 1 },
    provoke: (k) =>
      inThread(k, function* (k) {
        yield* rcu_read_lock(k);
        yield* synchronize_rcu(k);
        yield* rcu_read_unlock(k);
      }),
  },
  {
    name: "synchronize_rcu: in a reader of the bh kind",
    says: [
      "Illegal synchronize_rcu() in RCU read-side critical section!",
      "Illegal context switch in RCU-bh read-side critical section!",
      "BUG: sleeping function called from invalid context",
    ],
    config: { cpus: 1 },
    provoke: (k) =>
      inThread(k, function* (k) {
        rcu_read_lock_bh(k);
        yield* synchronize_rcu(k);
        yield* rcu_read_unlock_bh(k);
      }),
  },
  {
    name: "synchronize_rcu: in a reader of the sched kind",
    says: [
      "Illegal synchronize_rcu() in RCU read-side critical section!",
      "Illegal context switch in RCU-sched read-side critical section!",
      "BUG: sleeping function called from invalid context",
    ],
    config: { cpus: 1 },
    provoke: (k) =>
      inThread(k, function* (k) {
        rcu_read_lock_sched(k);
        yield* synchronize_rcu(k);
        rcu_read_unlock_sched(k);
      }),
  },
  {
    name: "rcu_seq_start: the state is not 1 afterwards",
    says: ["at rcu_seq_start"],
    provoke: (k) => rcu_seq_start(k, { s: 5 }, "s"),
  },
  {
    name: "rcu_seq_end: the state is 0",
    says: ["at rcu_seq_end"],
    provoke: (k) => rcu_seq_end(k, { s: 4 }, "s"),
  },
  {
    name: "rcu_seq_set_state: the state is out of range",
    says: ["at rcu_seq_set_state"],
    provoke: (k) => rcu_seq_set_state(k, { s: 4 }, "s", 4),
  },
  {
    name: "raw_lockdep_assert_held_rcu_node: the node is not locked",
    says: ["at lockdep_assert_held"],
    provoke: (k) => raw_lockdep_assert_held_rcu_node(k, rcu_state(k).node[0]),
  },
  {
    name: "rcu_lockdep_assert_cblist_protected: interrupts are on",
    says: ["at rcu_lockdep_assert_cblist_protected"],
    provoke(k) {
      k.cpu.irqsOn = true;
      rcu_lockdep_assert_cblist_protected(k, rdp0(k));
    },
  },
  {
    name: "for_each_leaf_node_possible_cpu: not a leaf",
    says: ["at for_each_leaf_node_possible_cpu"],
    config: TWO_LEAVES,
    provoke: (k) =>
      assert([...for_each_leaf_node_possible_cpu(k, rcu_state(k), rcu_state(k).node[0])].length > 0),
  },
];

/** Conditions with a test of their own. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "kfree_rcu_work: an offset of 4096 or more": "tree_kvfree_headless_test.ts, T22",
  "kvfree_call_rcu: queued already": "tree_kvfree_headless_test.ts, T63",
  "rcu_read_lock() and its kind: while idle": "lockdep_rcu_test.ts",
};

/** Conditions of the catalogue that cannot happen in what is built, and why. */
const NOT_HERE: Readonly<Record<string, string>> = {
  "rcu_preempt_check_blocked_tasks, rcu_gp_cleanup, rcu_report_qs_rnp, rcu_cleanup_dead_rnp: blocked tasks":
    "no reader is ever preempted: rcu_preempt_blocked_readers_cgp() and rcu_preempt_has_tasks() are constant",
  "rcu_report_unblock_qs_rnp: all": "preemptible RCU",
  "rcu_note_context_switch: a voluntary switch in a reader, not in qsmaskinitnext, queued already":
    "preemptible RCU",
  "rcu_preempt_ctxt_queue: all": "preemptible RCU",
  "rcu_preempt_deferred_qs_irqrestore: all": "preemptible RCU",
  "__rcu_read_lock, __rcu_read_unlock: the depth is impossible": "preemptible RCU",
  "rcutree_migrate_callbacks: all": "CPUs do not go away while the machine runs",
  "sync_exp_reset_tree, __rcu_report_exp_rnp: expmask": "there are no expedited grace periods",
  "rcu_sync: all": "there is no rcu_sync",
  "rcu_spawn_gp_kthread: no memory; rcu_init: no workqueue":
    "boot stops before, without memory for its threads",
  "rcu_gp_kthread: signal_pending()": "there are no signals",
};

for (const { name, says, config, provoke } of CONDITIONS) {
  Deno.test(`${name} is reported`, () => {
    const k = bootTree({ cpus: 2, ...config });
    k.cpu = k.cpus[0];
    local_irq_disable(k);
    provoke(k);
    assertEquals(k.reports.map((r) => short(r.lines)), says);
  });
}

Deno.test("every condition stands in the table once, and those that are not provoked say why", () => {
  const names = [...CONDITIONS.map((c) => c.name), ...Object.keys(ELSEWHERE), ...Object.keys(NOT_HERE)];
  assertEquals(new Set(names).size, names.length);
  assert([...Object.values(ELSEWHERE), ...Object.values(NOT_HERE)].every((why) => why.length > 10));
});
