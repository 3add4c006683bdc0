// SPDX-License-Identifier: GPL-2.0-only
/**
 * Each state monitor with a forged violation: the state of a machine at rest is tampered with. Each forgery has a lawful
 * twin that must pass.
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { VECTOR_RESCHEDULE } from "../../kernel/machine/cpu.ts";
import { WARN_ON } from "../../kernel/bug.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { DEFAULT_MAX_RCU_BLIMIT, qlowmark, rcu_data, rcu_state } from "../../rcu/tree.ts";
import { RCU_GP_CLEANUP, RCU_GP_INIT, RCU_GP_WAIT_FQS } from "../../rcu/tree_types.ts";
import { type Case, Forge, HEAD, read } from "./monitor_forge.ts";

/** An event that tells nothing, so that monitors look at the state. */
function look(f: Forge): void {
  f.tell("tracing_mark_write", ["look"], 1);
}

/** Forgeries in the state of a machine at rest. */
const STATES: readonly Case[] = [
  {
    property: "P33",
    what: "a reader begins on an idle CPU",
    forge: (f) => {
      per_cpu_ptr(f.k, rcu_data, f.k.cpu.id).dynticks = 2 * 4;
      read(f);
    },
    lawful: (f) => {
      const rdp = per_cpu_ptr(f.k, rcu_data, f.k.cpu.id);
      rdp.dynticks = 2 * 4 + 2;
      rdp.dynticks_nesting = 1;
      read(f);
    },
  },
  {
    property: "P39",
    what: "the limit stays raised with few callbacks left",
    forge: (f) => {
      per_cpu_ptr(f.k, rcu_data, 1).blimit = DEFAULT_MAX_RCU_BLIMIT;
      f.tell("rcu_utilization", ["End RCU core"]);
    },
    lawful: (f) => {
      qlowmark.set(f.k, -1);
      per_cpu_ptr(f.k, rcu_data, 1).blimit = DEFAULT_MAX_RCU_BLIMIT;
      f.tell("rcu_utilization", ["End RCU core"]);
    },
  },
  {
    property: "P53",
    what: "somebody is woken by a CPU that holds a node",
    forge: (f) => {
      rcu_state(f.k).node[2].lock.owner = f.k.cpu;
      f.tell("sched_waking", ["x", 5, 120, 0]);
    },
    lawful: (f) => {
      rcu_state(f.k).node[2].lock.owner = f.k.cpus.find((cpu) => cpu !== f.k.cpu) ?? null;
      f.tell("sched_waking", ["x", 5, 120, 0]);
    },
  },
  {
    property: "P58",
    what: "siblings share a bit",
    forge: (f) => {
      rcu_state(f.k).leaves[1].grpmask.set(rcu_state(f.k).leaves[0].grpmask);
      f.monitors.finish({ idle: false });
    },
    lawful: (f) => f.monitors.finish({ idle: false }),
  },
  {
    property: "P58",
    what: "a CPU is in another leaf than it thinks",
    forge: (f) => {
      per_cpu_ptr(f.k, rcu_data, 0).mynode = rcu_state(f.k).leaves[3];
      f.monitors.finish({ idle: false });
    },
    lawful: (f) => {
      per_cpu_ptr(f.k, rcu_data, 0).mynode = rcu_state(f.k).leaves[0];
      f.monitors.finish({ idle: false });
    },
  },
  {
    property: "P59",
    what: "the number changes without an event",
    forge: (f) => {
      for (const rnp of rcu_state(f.k).node) rnp.gp_seq += 4;
      rcu_state(f.k).gp_seq += 4;
      look(f);
    },
    lawful: look,
  },
  {
    property: "P60",
    what: "a node shows another number than rcu_state between grace periods",
    forge: (f) => {
      rcu_state(f.k).leaves[2].gp_seq -= 4;
      for (const cpu of [4, 5]) per_cpu_ptr(f.k, rcu_data, cpu).gp_seq -= 4;
      look(f);
    },
    lawful: (f) => {
      rcu_state(f.k).leaves[2].gp_seq -= 4;
      for (const cpu of [4, 5]) per_cpu_ptr(f.k, rcu_data, cpu).gp_seq -= 4;
      rcu_state(f.k).leaves[2].lock.owner = f.k.cpus[5]; // it is being changed
      look(f);
    },
  },
  {
    property: "P61",
    what: "something is owed between grace periods",
    forge: (f) => {
      for (const rnp of [rcu_state(f.k).leaves[0]]) rnp.qsmask.setBit(0);
      look(f);
    },
    lawful: (f) => {
      rcu_state(f.k).leaves[0].qsmask.setBit(0);
      rcu_state(f.k).leaves[0].lock.owner = f.k.cpus[5];
      look(f);
    },
  },
  {
    property: "P63",
    what: "something is owed when the end comes",
    forge: (f) => {
      rcu_state(f.k).leaves[0].qsmask.setBit(0);
      rcu_state(f.k).leaves[0].lock.owner = f.k.cpus[5];
      f.tell("rcu_future_grace_period", ["rcu_sched", f.gp_seq, f.gp_seq, 0, 0, 7, "Cleanup"], 0, f.kthread);
    },
    lawful: (f) => {
      f.tell("rcu_future_grace_period", ["rcu_sched", f.gp_seq, f.gp_seq, 0, 0, 7, "Cleanup"], 0, f.kthread);
    },
  },
  {
    property: "P66",
    what: "a CPU is ahead of its leaf",
    forge: (f) => {
      per_cpu_ptr(f.k, rcu_data, 3).gp_seq = f.gp_seq + 4;
      look(f);
    },
    lawful: (f) => {
      per_cpu_ptr(f.k, rcu_data, 3).gp_seq = f.gp_seq + 4;
      per_cpu_ptr(f.k, rcu_data, 3).gpwrap = true;
      look(f);
    },
  },
  {
    property: "P67",
    what: "a CPU thinks that it owes what nobody waits for",
    forge: (f) => {
      const rdp = per_cpu_ptr(f.k, rcu_data, 3);
      rdp.gp_seq = rdp.mynode.gp_seq;
      rdp.core_needs_qs = true;
      rdp.cpu_no_qs.norm = true;
      look(f);
    },
    lawful: (f) => {
      const rdp = per_cpu_ptr(f.k, rcu_data, 3);
      rdp.gp_seq = rdp.mynode.gp_seq;
      rdp.core_needs_qs = true;
      rdp.cpu_no_qs.norm = true;
      f.tell("rcu_fqs", ["rcu_sched", f.gp_seq, 3, "dti"], 0); // it was credited as idle
    },
  },
  {
    property: "P67",
    what: "a CPU has noted a quiescent state that it did not pass",
    forge: (f) => {
      const rdp = per_cpu_ptr(f.k, rcu_data, 3);
      f.tell("rcu_grace_period", ["rcu_sched", f.gp_seq, "cpustart"], 3);
      rdp.gp_seq = rdp.mynode.gp_seq - 4;
      rdp.core_needs_qs = true;
      rdp.cpu_no_qs.norm = false;
      look(f);
    },
    lawful: (f) => {
      const rdp = per_cpu_ptr(f.k, rcu_data, 3);
      f.tell("rcu_grace_period", ["rcu_sched", f.gp_seq, "cpustart"], 3);
      f.tell("rcu_grace_period", ["rcu_sched", f.gp_seq, "cpuqs"], 3);
      rdp.gp_seq = rdp.mynode.gp_seq - 4;
      rdp.core_needs_qs = true;
      rdp.cpu_no_qs.norm = false;
      look(f);
    },
  },
  {
    property: "P68",
    what: "a callback is counted that is not there",
    forge: (f) => {
      per_cpu_ptr(f.k, rcu_data, 1).cblist.len++;
      look(f);
    },
    lawful: look,
  },
  {
    property: "P68",
    what: "a tail does not stand on the list",
    forge: (f) => {
      per_cpu_ptr(f.k, rcu_data, 1).cblist.tails[3] = HEAD as VirtAddr;
      look(f);
    },
    lawful: look,
  },
  {
    property: "P68",
    what: "the second waiting segment is used and the first empty",
    forge: (f) => {
      const { cblist } = per_cpu_ptr(f.k, rcu_data, 1);
      oneCallback(f.k, 1);
      cblist.tails[2] = cblist.tails[3];
      cblist.gp_seq[2] = f.gp_seq;
      look(f);
    },
    lawful: (f) => {
      oneCallback(f.k, 1);
      look(f);
    },
  },
  {
    property: "P69",
    what: "callbacks wait for a grace period that nobody has asked for",
    forge: (f) => {
      oneCallback(f.k, 1, f.gp_seq + 4);
      look(f);
    },
    lawful: (f) => {
      oneCallback(f.k, 1, f.gp_seq + 4);
      const { mynode } = per_cpu_ptr(f.k, rcu_data, 1);
      mynode.gp_seq_needed = f.gp_seq + 4;
      rcu_state(f.k).gp_flags = 1;
      look(f);
    },
  },
  {
    property: "P70",
    what: "the counter says idle and the nesting does not",
    forge: (f) => {
      per_cpu_ptr(f.k, rcu_data, 6).dynticks = 8;
      per_cpu_ptr(f.k, rcu_data, 6).dynticks_nesting = 1;
      look(f);
    },
    lawful: (f) => {
      per_cpu_ptr(f.k, rcu_data, 6).dynticks = 8;
      per_cpu_ptr(f.k, rcu_data, 6).dynticks_nesting = 0;
      per_cpu_ptr(f.k, rcu_data, 6).dynticks_nmi_nesting = 0;
      look(f);
    },
  },
  {
    property: "P71",
    what: "a CPU holds two nodes of one level",
    forge: (f) => {
      const { leaves } = rcu_state(f.k);
      leaves[0].lock.owner = leaves[1].lock.owner = f.k.cpus[5];
      look(f);
    },
    lawful: (f) => {
      const { leaves, node } = rcu_state(f.k);
      leaves[0].lock.owner = node[0].lock.owner = f.k.cpus[5];
      look(f);
    },
  },
  {
    property: "P71",
    what: "a CPU that holds the root waits for a leaf",
    forge: (f) => {
      const { leaves, node } = rcu_state(f.k);
      node[0].lock.owner = f.k.cpus[5];
      f.k.cpus[5].blockedOn = leaves[0].lock;
      look(f);
    },
    lawful: (f) => {
      const { leaves, node } = rcu_state(f.k);
      leaves[0].lock.owner = f.k.cpus[5];
      f.k.cpus[5].blockedOn = node[0].lock;
      look(f);
    },
  },
  {
    property: "P71",
    what: "a CPU that holds a leaf waits for ofl_lock",
    forge: (f) => {
      rcu_state(f.k).leaves[0].lock.owner = f.k.cpus[5];
      f.k.cpus[5].blockedOn = rcu_state(f.k).ofl_lock;
      look(f);
    },
    lawful: (f) => {
      f.k.cpus[5].blockedOn = rcu_state(f.k).ofl_lock;
      look(f);
    },
  },
  {
    property: "P72",
    what: "online CPUs change without hotplug",
    forge: (f) => {
      rcu_state(f.k).leaves[0].qsmaskinitnext.clear();
      look(f);
    },
    lawful: look,
  },
  {
    property: "P72",
    what: "qsmaskinit changes between grace periods",
    forge: (f) => {
      rcu_state(f.k).leaves[0].qsmaskinit.clear();
      look(f);
    },
    lawful: look,
  },
  {
    property: "P77",
    what: "the kernel warns",
    forge: (f) => {
      WARN_ON(f.k, true);
      look(f);
    },
    lawful: look,
  },
];

/** Puts one callback on a CPU's list, as a new one or as one that waits for `gp_seq`. */
function oneCallback(k: Kernel, cpu: number, gp_seq: number | null = null): void {
  const { cblist } = per_cpu_ptr(k, rcu_data, cpu);
  const head = k.dataAlloc(16);
  k.ram.storePtr(cblist.head, head);
  cblist.tails[3] = head;
  if (gp_seq !== null) {
    cblist.tails[1] = cblist.tails[2] = head;
    cblist.gp_seq[1] = gp_seq;
  }
  cblist.len = 1;
}

for (const { property, what, forge, lawful } of STATES) {
  Deno.test(`monitors say ${property} when ${what}, and not otherwise [state]`, () => {
    const bad = new Forge("all");
    forge(bad);
    assertEquals(bad.found(), [property], JSON.stringify(bad.monitors.violations));
    const good = new Forge("all");
    lawful(good);
    assertEquals(good.found(), []);
  });
}

Deno.test("monitors say P62 when a node that owes is not waited for above, and P60 by the phase of the grace period", () => {
  const owes = (tamper: (f: Forge) => void): string[] => {
    const f = new Forge("all");
    const rsp = rcu_state(f.k);
    const gp_seq = f.gp_seq + 1;
    f.gp(gp_seq, "start");
    f.nodes("init", gp_seq);
    const before = f.found(); // numbers and events disagree as yet
    rsp.gp_seq = gp_seq;
    rsp.gp_state = RCU_GP_WAIT_FQS;
    for (const rnp of rsp.node) {
      rnp.gp_seq = gp_seq;
      rnp.qsmask.set(rnp.qsmaskinit);
    }
    tamper(f);
    f.gp(gp_seq, "fqswait");
    return f.found().filter((property) => !before.includes(property));
  };
  assertEquals(owes(() => {}), []);
  assertEquals(owes((f) => rcu_state(f.k).node[0].qsmask.clear()), ["P62"]);
  assertEquals(owes((f) => rcu_state(f.k).leaves[3].qsmask.clear()), []); // the report is on its way up
  const behind = (gp_state: number): string[] =>
    owes((f) => {
      rcu_state(f.k).gp_state = gp_state;
      rcu_state(f.k).leaves[3].gp_seq -= 1;
      for (const cpu of [6, 7]) per_cpu_ptr(f.k, rcu_data, cpu).gp_seq = rcu_state(f.k).leaves[3].gp_seq - 4;
    });
  assert(!behind(RCU_GP_INIT).includes("P60"), "the start has not come there");
  assertEquals(
    owes((f) => {
      rcu_state(f.k).node[0].gp_seq -= 1;
    }),
    ["P60"],
  );
  assertEquals(
    owes((f) => {
      rcu_state(f.k).gp_state = RCU_GP_CLEANUP;
    }),
    [],
  );
});

Deno.test("monitors say P41 when the grace-period thread interrupts an idle CPU", () => {
  const cases: [boolean, string[]][] = [[true, ["P41"]], [false, []]];
  for (const [idle, expected] of cases) {
    const f = new Forge("events");
    const { k } = f;
    const thread = rcu_state(k).gp_kthread;
    assert(thread !== null);
    k.cpu.current = thread;
    const rdp = per_cpu_ptr(k, rcu_data, 3);
    rdp.dynticks = idle ? 8 : 10;
    k.observer = f.monitors;
    k.sendIpi(k.cpus[3], VECTOR_RESCHEDULE);
    assertEquals(f.found(), expected);
  }
});
