// SPDX-License-Identifier: GPL-2.0-only
/**
 * vmalloc on booted machines: freeing from interrupts and with locks held, and several CPUs at once.
 *
 * At the end of each run everything must be as at its start: that is the property, whatever the schedule.
 */
import { assert, assertEquals } from "@std/assert";
import { addrAdd, NULL, PAGE_SIZE } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Policy, POLICY_FINE, POLICY_TIME } from "../../kernel/machine/chooser.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { checkConfig, type Config } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { raw_spinlock_t, spin_lock, spin_unlock } from "../../kernel/locking/spinlock.ts";
import { local_bh_disable, local_bh_enable } from "../../kernel/softirq.ts";
import { kthread_run } from "../../kernel/kthread.ts";
import { bootKernel } from "../../init/main.ts";
import { startProgram } from "../../init/program.ts";
import {
  purge_vmap_area_lazy,
  vfree,
  vfree_atomic,
  vmalloc,
  vmalloc_nr_pages,
  vmallocAreaAt,
  vmallocLiveAreas,
} from "../../mm/vmalloc.ts";
import { checkVmalloc } from "../../mm/vmalloc_check.ts";
import { executionsOf } from "../machines.ts";

function booted(wanted: Partial<Config>, policy: Policy = POLICY_TIME): Kernel {
  const config = checkConfig({ rcu: "none", memBytes: 64 * 2 ** 20, ...wanted, policy });
  return bootKernel(config, { policy, seed: config.seed, deviations: null });
}

/** Runs `main` as a thread until the machine has nothing to do for a second. */
function runMain(k: Kernel, main: (k: Kernel) => MaySleep<void>): void {
  let ended = false;
  startProgram(k, "main", function* (k: Kernel): MaySleep<void> {
    yield* main(k);
    ended = true;
  });
  k.run(k.now() + 1e9);
  assert(ended, k.reports.map((it) => it.lines.join("\n")).join("\n"));
}

Deno.test("vfree() with bottom halves off leaves the work to free_work, through the areas themselves", () => {
  const k = booted({ cpus: 1 });
  const since = k.seq;
  runMain(k, function* (k: Kernel): MaySleep<void> {
    const a = yield* vmalloc(k, PAGE_SIZE);
    const b = yield* vmalloc(k, PAGE_SIZE);
    for (const addr of [a, b]) k.ram.storePtr(addr, 0x5a5a);
    k.ram.storePtr(addrAdd(b, 8), 0x5b5b);
    local_bh_disable(k);
    yield* vfree(k, a);
    yield* vfree(k, b);
    // Not freed yet, but the list has overwritten the first word of each.
    assertEquals([k.ram.loadPtr(a), k.ram.loadPtr(b), k.ram.loadPtr(addrAdd(b, 8))], [NULL, a, 0x5b5b]);
    assertEquals(vmalloc_nr_pages(k), 2);
    yield* local_bh_enable(k);
  });
  assertEquals(vmalloc_nr_pages(k), 0);
  assertEquals(executionsOf(k, "free_work", since).length, 1);
  assertEquals(checkVmalloc(k), []);
  assertEquals(k.reports, []);
});

Deno.test("vfree_atomic() is allowed under a spinlock, vfree() is reported there", () => {
  for (const { free, reports } of [{ free: vfree_atomic, reports: 0 }, { free: vfree, reports: 1 }]) {
    const k = booted({ cpus: 1 });
    const lock = new raw_spinlock_t("some_lock");
    runMain(k, function* (k: Kernel): MaySleep<void> {
      const addr = yield* vmalloc(k, 3 * PAGE_SIZE);
      yield* spin_lock(k, lock);
      yield* free(k, addr);
      spin_unlock(k, lock);
    });
    assertEquals([vmalloc_nr_pages(k), k.reports.length], [0, reports], free.name);
    assertEquals(checkVmalloc(k), []);
  }
});

/** A thread that allocates and frees areas of sizes that depend on its number, and checks that they are its own. */
function* worker(k: Kernel, number: number): MaySleep<void> {
  const held: VirtAddr[] = [];
  for (let i = 0; i < 40; i++) {
    const pages = 1 + (i * 7 + number * 3) % 9;
    const addr = yield* vmalloc(k, pages * PAGE_SIZE);
    assert(addr !== NULL);
    for (let page = 0; page < pages; page++) {
      k.ram.storePtr(addrAdd(addr, page * PAGE_SIZE), number * 1000 + i);
    }
    held.push(addr);
    if (i % 3 === 2) {
      const [victim] = held.splice(i % held.length, 1);
      assertEquals(Math.floor(k.ram.loadPtr(victim) / 1000), number);
      // Another CPU may have got the address before this call returns.
      yield* vfree(k, victim);
    }
    if (i % 16 === number) yield* purge_vmap_area_lazy(k);
  }
  for (const addr of held) {
    assertEquals(Math.floor(k.ram.loadPtr(addr) / 1000), number);
    assert(vmallocAreaAt(k, addr) !== null);
    yield* vfree(k, addr);
  }
}

function stress(wanted: Partial<Config>, policy: Policy): Kernel {
  const k = booted(wanted, policy);
  let running = 0;
  k.startDeviations();
  runMain(k, function* (k: Kernel): MaySleep<void> {
    for (let number = 1; number <= 4; number++) {
      running++;
      yield* kthread_run(k, function* (k: Kernel): MaySleep<number> {
        yield* worker(k, number);
        running--;
        return 0;
      }, `worker/${number}`);
    }
  });
  if (k.lastException !== null) throw k.lastException;
  assertEquals(running, 0);
  return k;
}

for (const preempt of ["none", "full"] as const) {
  for (const policy of [POLICY_TIME, POLICY_FINE]) {
    for (let seed = 1; seed <= 3; seed++) {
      Deno.test(`vmalloc() and vfree() on four CPUs at once [preempt=${preempt} policy=${policy.name} seed=${seed}]`, () => {
        const k = stress({ cpus: 4, preempt, seed }, policy);
        assertEquals(k.reports.map((it) => it.lines.join("\n")), []);
        assertEquals(vmalloc_nr_pages(k), 0);
        assertEquals([...vmallocLiveAreas(k)], []);
        assertEquals(checkVmalloc(k), []);
      });
    }
  }
}

Deno.test("vmalloc() runs the same way twice [cpus=4 seed=7]", () => {
  const [a, b] = [1, 2].map(() => stress({ cpus: 4, seed: 7 }, POLICY_FINE));
  assertEquals([a.hash.text(), a.digest(), a.seq], [b.hash.text(), b.digest(), b.seq]);
});
