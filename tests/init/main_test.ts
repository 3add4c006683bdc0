// SPDX-License-Identifier: GPL-2.0-only
/** Tests of init/main.ts and program.ts: machines of all sizes come up, at rest, the same way every time. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { POLICY_FINE, POLICY_TIME } from "../../kernel/machine/chooser.ts";
import { doneVoid } from "../../kernel/machine/effects.ts";
import type { Config } from "../../kernel/config.ts";
import { cpu_possible_mask, cpumask_equal, num_online_cpus } from "../../kernel/cpumask.ts";
import { tasklist } from "../../kernel/fork.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { current } from "../../kernel/sched/core.ts";
import { cpu_rq, overloaded, TASK_RUNNING } from "../../kernel/sched/sched.ts";
import { SYSTEM_RUNNING, system_state } from "../../kernel/system_state.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { boot_done } from "../../init/program.ts";
import { bootKernel, rebootKernel } from "../../init/main.ts";
import { boot, checkConfig, runToEnd } from "../../mod.ts";
import { dmesg } from "../helpers.ts";
import { arg, eventsOf } from "../machines.ts";

function bootNone(wanted: Partial<Config> = {}): Kernel {
  return boot({ rcu: "none", ...wanted });
}

/** What a machine at rest looks like. */
function checkAtRest(k: Kernel, where: string): void {
  const { cpus } = k.config;
  assertEquals(k.reports.map((r) => r.lines.join("\n")), [], where);
  assertEquals([boot_done(k), system_state(k), num_online_cpus(k)], [true, SYSTEM_RUNNING, cpus], where);
  for (const cpu of k.cpus) {
    const rq = cpu_rq(k, cpu.id);
    assertEquals([rq.curr.comm, rq.nr_running, rq.cfs.nr_running, rq.cfs.load_weight], [
      `swapper/${cpu.id}`,
      0,
      0,
      0,
    ], where);
    // The idle task has preemption off, for ever.
    assertEquals([cpu.online, cpu.irqsOn, cpu.preempt_count, cpu.pending], [true, true, 1, 0], where);
  }
  assertEquals(overloaded(k), 0, where);
  for (const p of tasklist(k)) assert(p.state !== TASK_RUNNING && !p.on_rq, `${p.comm} ${where}`);
}

Deno.test("machines of 1 to 64 CPUs boot to rest, with every kind of preemption and policy", () => {
  for (const cpus of [1, 2, 3, 4, 8, 16, 33, 64]) {
    for (const preempt of ["none", "full"] as const) {
      for (const policy of [POLICY_TIME, POLICY_FINE]) {
        const where = `cpus=${cpus} preempt=${preempt} policy=${policy.name}`;
        checkAtRest(bootNone({ cpus, preempt, policy }), where);
      }
    }
  }
});

Deno.test("a machine of 1024 CPUs boots to rest and runs a program [preempt=full]", () => {
  const k = bootNone({ cpus: 1024, preempt: "full" });
  checkAtRest(k, "cpus=1024");
  assertEquals(runToEnd(k, "program", (k) => msleep(k, 10)).ending, "completed");
});

Deno.test("HZ from 12 to 10000 and memory from 8 MiB on boot", () => {
  for (const HZ of [12, 100, 300, 1000, 10000]) checkAtRest(bootNone({ HZ, cpus: 2 }), `HZ=${HZ}`);
  for (const mb of [8, 16, 512]) checkAtRest(bootNone({ memBytes: mb * 2 ** 20, cpus: 2 }), `${mb}M`);
});

Deno.test("pids and names are those of Linux's boot: init, kthreadd, then workers and per-CPU threads", () => {
  const k = bootNone({ cpus: 2 });
  const names = [...tasklist(k)].map((p) => `${p.pid} ${p.comm}`);
  assertEquals(names.slice(0, 2), ["1 init", "2 kthreadd"]);
  for (
    const name of ["ksoftirqd/0", "ksoftirqd/1", "kworker/0:0", "kworker/1:0", "kworker/0:0H", "kworker/1:0H"]
  ) {
    assert(names.some((line) => line.endsWith(` ${name}`)), `${name} in ${names}`);
  }
});

Deno.test("the kernel log begins with the version and tells how many CPUs came up", () => {
  const log = dmesg(bootNone({ cpus: 3 }));
  assertEquals(log[0], "Linux version 5.7.0-quiesce (quiesce) #1 SMP");
  assert(log.includes("smp: Brought up 1 node, 3 CPUs"));
  assertEquals(dmesg(bootNone({ cpus: 1 }))[0], "Linux version 5.7.0-quiesce (quiesce) #1");
});

Deno.test("pid 1 brings the CPUs up from CPU 0 and may go anywhere afterwards", () => {
  const k = bootNone({ cpus: 4 });
  const init = [...tasklist(k)].find((p) => p.pid === 1);
  assert(init !== undefined && init.cpus_mask !== null);
  assert(cpumask_equal(init.cpus_mask, cpu_possible_mask(k)));
  const moved = eventsOf(k, "sched_migrate_task").filter((r) => arg(r, "pid") === 1);
  const lastUp = eventsOf(k, "sched_process_fork").findLast((r) =>
    k.log.text(arg(r, "child_comm")) === "ksoftirqd/3"
  );
  assert(lastUp !== undefined && moved.every((r) => r.seq > lastUp.seq));
});

Deno.test("RCU hears of each CPU, on that CPU, before anybody can see that it is online [cpus=4]", () => {
  const config = checkConfig({ cpus: 4 });
  const seen: string[] = [];
  bootKernel(config, { policy: POLICY_TIME, seed: 1, deviations: null }, function (k) {
    const { rcu } = k;
    k.rcu = {
      ...rcu,
      rcu_cpu_starting(k, cpu) {
        seen.push(`CPU ${cpu} on ${k.cpu.id}: ${num_online_cpus(k)} online, irqs ${k.cpu.irqsOn}`);
        return rcu.rcu_cpu_starting(k, cpu);
      },
    };
    return doneVoid();
  });
  assertEquals(seen.slice(-3), [1, 2, 3].map((cpu) => `CPU ${cpu} on ${cpu}: ${cpu} online, irqs false`));
});

Deno.test("a reboot is the boot of a fresh machine, whatever ran before [cpus=1,4]", () => {
  for (const cpus of [1, 4]) {
    const schedule = { policy: POLICY_FINE, seed: 11, deviations: null };
    const fresh = bootKernel(checkConfig({ rcu: "none", cpus }), schedule);
    const used = bootNone({ cpus, seed: 4 });
    runToEnd(used, "x", function* (k) {
      used.rcu_early_boot_tests = null;
      current(k).fail_nth = 3;
      yield* msleep(k, 100);
    });
    rebootKernel(used, schedule);
    assertEquals([used.hash.text(), used.seq, used.points, used.digest()], [
      fresh.hash.text(),
      fresh.seq,
      fresh.points,
      fresh.digest(),
    ]);
  }
});

Deno.test("a program that is given to pid 1 runs as a thread of that name, one after the other", () => {
  const k = bootNone({ cpus: 2 });
  const seen: string[] = [];
  for (const name of ["first", "second"]) {
    const verdict = runToEnd(k, name, function* (k) {
      seen.push(current(k).comm);
      yield* msleep(k, 1);
    });
    assertEquals(verdict.ending, "completed");
  }
  assertEquals(seen, ["first", "second"]);
});

Deno.test("a boot that cannot finish throws what stopped it", () => {
  const config = checkConfig({ rcu: "tiny" });
  const error = assertThrows(() =>
    bootKernel(config, { policy: POLICY_TIME, seed: 1, deviations: null }, () => {
      throw new Error("early test failed");
    })
  );
  assertMatch(String(error), /early test failed/);
});
