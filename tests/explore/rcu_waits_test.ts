// SPDX-License-Identifier: GPL-2.0-only
/** Tests of explore/rcu_waits.ts: who is named as holding a grace period up. */
import { assertEquals } from "@std/assert";
import { Ulong64 } from "../../kernel/machine/ulong64.ts";
import type { task_struct } from "../../kernel/sched/sched.ts";
import { tasklist } from "../../kernel/fork.ts";
import { rcuWaits } from "../../explore/rcu_waits.ts";
import { rcu_state } from "../../rcu/tree.ts";
import { bootTree } from "../rcu/tree_machine.ts";

Deno.test("rcuWaits() names a CPU that owes by its task, and no CPU that idles or when no grace period runs", () => {
  const k = bootTree({ cpus: 2 });
  const [root] = rcu_state(k).node;
  root.qsmask.or(Ulong64.bit(0));
  root.qsmask.or(Ulong64.bit(1));
  assertEquals(rcuWaits(k), [], "no grace period runs");
  rcu_state(k).gp_seq++;
  assertEquals(rcuWaits(k), [], "both CPUs idle");
  const p = [...tasklist(k)].find(({ comm }) => comm === "kthreadd") as task_struct;
  k.cpus[1].current = p;
  assertEquals(rcuWaits(k).map(({ cpu, comm, pid }) => [cpu, comm, pid]), [[1, "kthreadd", p.pid]]);
});
