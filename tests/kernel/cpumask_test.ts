// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/cpumask.ts against plain sets, at word boundaries and up to 4096 CPUs. */
import { assertEquals } from "@std/assert";
import {
  boot_cpu_init,
  cpu_online,
  cpu_online_mask,
  cpu_possible_mask,
  cpumask_any_and,
  cpumask_clear_cpu,
  cpumask_equal,
  cpumask_first,
  cpumask_next,
  cpumask_next_and,
  cpumask_of,
  cpumask_set_cpu,
  cpumask_t,
  cpumask_test_cpu,
  cpumask_weight,
  for_each_cpu,
  for_each_online_cpu,
  for_each_possible_cpu,
  nr_cpu_ids,
  num_online_cpus,
} from "../../kernel/cpumask.ts";
import * as cpumask from "../../kernel/cpumask.ts";
import { POLICY_TIME } from "../../kernel/machine/chooser.ts";
import { Random } from "../../kernel/machine/random.ts";
import { checkConfig } from "../../kernel/config.ts";
import { Kernel } from "../../kernel/kernel.ts";
import { instantiate } from "../../kernel/static.ts";

function maskOf(n: number, members: Iterable<number>): cpumask_t {
  const mask = new cpumask_t(n);
  for (const cpu of members) cpumask_set_cpu(cpu, mask);
  return mask;
}

Deno.test("cpumask_next(), cpumask_weight() and for_each_cpu() agree with a set [1 to 4096 CPUs]", () => {
  const random = new Random(3, 0);
  for (const n of [1, 31, 32, 33, 64, 100, 4096]) {
    for (const density of [0, 1, 2, 20]) {
      const members = [...Array(n).keys()].filter(() => density > 0 && random.below(density) === 0);
      const mask = maskOf(n, members);
      assertEquals([...for_each_cpu(mask)], members);
      assertEquals([cpumask_weight(mask), cpumask_first(mask)], [members.length, members[0] ?? -1]);
      for (const from of [-1, 0, 30, 31, 32, n - 2, n - 1]) {
        if (from >= -1) assertEquals(cpumask_next(from, mask), members.find((cpu) => cpu > from) ?? -1);
      }
      for (const cpu of members.filter((_, i) => i % 2 === 0)) cpumask_clear_cpu(cpu, mask);
      assertEquals([...for_each_cpu(mask)], members.filter((_, i) => i % 2 === 1));
    }
  }
});

Deno.test("cpumask_next_and(), cpumask_any_and(), cpumask_equal() and cpumask_of()", () => {
  const a = maskOf(100, [0, 31, 32, 63, 99]);
  const b = maskOf(100, [1, 32, 63, 64]);
  assertEquals([cpumask_any_and(a, b), cpumask_next_and(32, a, b), cpumask_next_and(63, a, b)], [32, 63, -1]);
  assertEquals(cpumask_any_and(a, new cpumask_t(100)), -1);
  assertEquals([cpumask_equal(a, b), cpumask_equal(a, maskOf(100, [99, 63, 32, 31, 0]))], [false, true]);
  assertEquals(cpumask_test_cpu(99, a), true);
});

Deno.test("all CPUs are possible, only the boot CPU is online at first", () => {
  const k = new Kernel(checkConfig({ rcu: "none", cpus: 40 }), {
    policy: POLICY_TIME,
    seed: 1,
    deviations: null,
  });
  instantiate(k, [cpumask.statics]);
  assertEquals([nr_cpu_ids(k), cpumask_weight(cpu_possible_mask(k)), num_online_cpus(k)], [40, 40, 0]);
  boot_cpu_init(k);
  cpumask_set_cpu(39, cpu_online_mask(k));
  assertEquals([...for_each_online_cpu(k)], [0, 39]);
  assertEquals([...for_each_possible_cpu(k)].length, 40);
  assertEquals([cpu_online(k, 0), cpu_online(k, 1), cpu_online(k, 4000)], [true, false, false]);
  assertEquals([...for_each_cpu(cpumask_of(k, 33))], [33]);
});
