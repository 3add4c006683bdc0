// SPDX-License-Identifier: GPL-2.0-only
/**
 * net/core/sysctl_net_core.c and dev.c: every CPU may have a table that counts the packets of its flows, so that one flow
 * cannot fill the backlog. The packet path reads its own CPU's table; a sysctl with a mask of CPUs gives and takes them.
 *
 * Lesson: a wait in a loop. The old code waited for a grace period for each table that it took: on 64 CPUs 64 of them, one
 * after the other, all with the same result. kfree_rcu() collects the tables, and one grace period is enough for all. The
 * converted struct brings its own rcu_head: the two-argument form, which never sleeps.
 *
 * Look at: the last line of `dmesg`. On 64 CPUs the writer is kept for about a second, 16 ms for each table, or for some
 * microseconds; and `trace` has one batch of 64 records. (With one CPU synchronize_rcu() is over at once: to be in it
 * is a grace period.)
 *
 *     deno task -q repl -e 'boot --cpus 64; run flow_limit --variant before; dmesg -n 1'
 *     deno task -q repl -e 'boot --cpus 64; run flow_limit; dmesg -n 1; trace -e rcu_invoke_kfree_bulk_callback'
 */

import {
  array,
  type Atomic,
  cond_resched,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kfree_rcu,
  kzalloc,
  type MaySleep,
  msleep,
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  pr_info,
  type Ptr,
  ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_dereference_protected,
  rcu_head,
  RCU_INIT_POINTER,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  synchronize_rcu,
  u16,
  u32,
  u8,
  udelay,
  ulong,
  type VirtAddr,
  wait_for_completion,
} from "../../mod.ts";
import { cpumask_set_cpu, cpumask_t, cpumask_test_cpu, for_each_possible_cpu } from "../../kernel/cpumask.ts";
import { ENOMEM } from "../../kernel/errno.ts";
import { smp_processor_id } from "../../kernel/preempt.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { VARIANT } from "./headless.ts";

const FLOW_LIMIT_HISTORY = 128;
const netdev_flow_limit_table_len = 4096;

const sd_flow_limit = struct("sd_flow_limit", {
  rcu: embed(rcu_head), // new with the conversion
  count: ulong,
  num_buckets: u32,
  history_head: u32,
  history: array(u16, FLOW_LIMIT_HISTORY),
  buckets: array(u8, 0),
});
type Table = Ptr<typeof sd_flow_limit>;

/** Of each CPU's softnet_data only the pointer to the table: `softnet_data` is where CPU 0's stands. */
function flow_limit(softnet_data: VirtAddr, cpu: number): Ptr<Table> {
  return (softnet_data + cpu * ptr.size) as VirtAddr as Ptr<Table>;
}

/** Whether a packet is to be dropped: its flow has more than half of the last 128. */
function* skb_flow_limit(k: Kernel, softnet_data: VirtAddr, hash: number): Atomic<boolean> {
  let limited = false;
  yield* rcu_read_lock(k);
  const p = yield* rcu_dereference(k, flow_limit(softnet_data, smp_processor_id(k)));
  if (p !== NULL) {
    const fl = sd_flow_limit.at(k, p);
    const bucket = (flow: number): VirtAddr => (p + sd_flow_limit.offsetof("buckets") + flow) as VirtAddr;
    const new_flow = hash & (fl.num_buckets - 1);
    const old_flow = fl.history.get(fl.history_head);
    fl.history.set(fl.history_head, new_flow);
    fl.history_head = (fl.history_head + 1) & (FLOW_LIMIT_HISTORY - 1);
    yield* udelay(k, 400);
    const old = k.ram.load8(bucket(old_flow));
    if (old > 0) k.ram.store8(bucket(old_flow), old - 1);
    const packets = k.ram.load8(bucket(new_flow)) + 1;
    k.ram.store8(bucket(new_flow), packets);
    limited = packets > FLOW_LIMIT_HISTORY >> 1;
    if (limited) fl.count++;
  }
  yield* rcu_read_unlock(k);
  return limited;
}

/** Writes the mask of CPUs that have a table. Returns how many were taken, or an error. */
function* flow_limit_cpu_sysctl(
  k: Kernel,
  softnet_data: VirtAddr,
  flow_limit_update_mutex: mutex,
  mask: cpumask_t,
  variant: string,
): MaySleep<number> {
  const len = sd_flow_limit.size + netdev_flow_limit_table_len;
  let ret = 0;
  yield* mutex_lock(k, flow_limit_update_mutex);
  for (const i of for_each_possible_cpu(k)) {
    const slot = flow_limit(softnet_data, i);
    const cur = rcu_dereference_protected(k, slot);
    if (cur !== NULL && !cpumask_test_cpu(i, mask)) {
      RCU_INIT_POINTER(k, slot, NULL as VirtAddr as Table);
      if (variant === "before") {
        yield* synchronize_rcu(k);
        yield* kfree(k, cur);
      } else yield* kfree_rcu(k, cur, sd_flow_limit, "rcu");
      ret++;
    } else if (cur === NULL && cpumask_test_cpu(i, mask)) {
      const table = (yield* kzalloc(k, len, GFP_KERNEL)) as Table;
      if (table === NULL) {
        ret = -ENOMEM; // what was done before stays done
        break;
      }
      sd_flow_limit.f.num_buckets.set(k, table, netdev_flow_limit_table_len);
      yield* rcu_assign_pointer(k, slot, table);
    }
  }
  mutex_unlock(k, flow_limit_update_mutex);
  return ret;
}

/** A CPU that gets packets of two flows, in bursts of 12 ms. */
function* packets(k: Kernel, softnet_data: VirtAddr): MaySleep<void> {
  for (let i = 1; i <= 60; i++) {
    yield* skb_flow_limit(k, softnet_data, i % 2 === 0 ? 17 : 23);
    if (i % 30 === 0) yield* msleep(k, 1);
    else yield* cond_resched(k);
  }
}

export const flowLimitScenario: Scenario = {
  name: "flow_limit",
  summary: "a sysctl takes a table from every CPU: a grace period for each, or one for all?",
  options: [VARIANT],
  *main(k: Kernel, { variant }: OptionValues): MaySleep<void> {
    const softnet_data = k.dataAlloc(k.config.cpus * ptr.size);
    const mutexOfIt = new mutex("flow_limit_update_mutex");
    const [all, none] = [new cpumask_t(k.config.cpus), new cpumask_t(k.config.cpus)];
    for (const cpu of for_each_possible_cpu(k)) cpumask_set_cpu(cpu, all);
    yield* flow_limit_cpu_sysctl(k, softnet_data, mutexOfIt, all, variant);
    const done = [];
    for (const cpu of for_each_possible_cpu(k)) {
      done.push(yield* startOn(k, cpu, `packets/${cpu}`, (k) => packets(k, softnet_data)));
    }
    yield* msleep(k, 1);
    const begin = k.now();
    const taken = yield* flow_limit_cpu_sysctl(k, softnet_data, mutexOfIt, none, variant);
    const us = Math.round((k.now() - begin) / 1000);
    for (const c of done) yield* wait_for_completion(k, c);
    pr_info(k, `flow_limit_cpu_sysctl: ${taken} tables taken, the writer was kept for ${us} us`);
  },
};

export default flowLimitScenario;

if (import.meta.main) runExample(flowLimitScenario);
