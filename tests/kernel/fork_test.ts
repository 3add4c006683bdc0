// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/fork.ts: what a task is made of, and that all of it comes back. */
import { assert, assertEquals } from "@std/assert";
import { NULL, PAGE_SIZE } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { done, type MaySleep } from "../../kernel/machine/effects.ts";
import { ENOMEM } from "../../kernel/errno.ts";
import { kernel_thread, offStack, onStack, tasklist, THREAD_SIZE } from "../../kernel/fork.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_create, kthread_run } from "../../kernel/kthread.ts";
import { current, wake_up_process } from "../../kernel/sched/core.ts";
import { TASK_NEW } from "../../kernel/sched/sched.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { booted, Crowd, eachMachine, runOn0 } from "./booted.ts";
import { arg, eventsOf } from "../machines.ts";

/** Notes what kernel/ allocates from here on and has not given back: what it is, by address. */
function watchMemory(k: Kernel): Map<VirtAddr, string> {
  const held = new Map<VirtAddr, string>();
  const { mm } = k;
  function* taking(what: string, get: MaySleep<VirtAddr>): MaySleep<VirtAddr> {
    const addr = yield* get;
    if (addr !== NULL) held.set(addr, what);
    return addr;
  }
  k.mm = {
    ...mm,
    kzalloc: (k, size, flags) => taking(`${size}`, mm.kzalloc(k, size, flags)),
    alloc_task_struct: (k) => taking("task_struct", mm.alloc_task_struct(k)),
    alloc_thread_stack: (k) => taking("stack", mm.alloc_thread_stack(k)),
    kfree: (k, addr) => (held.delete(addr), mm.kfree(k, addr)),
    free_task_struct: (k, addr) => (held.delete(addr), mm.free_task_struct(k, addr)),
    free_thread_stack: (k, addr) => (held.delete(addr), mm.free_thread_stack(k, addr)),
  };
  return held;
}

Deno.test("a task's name is cut to 15 characters, in the task and in every trace of it", () => {
  const k = booted();
  runOn0(k, function* (k) {
    const long = yield* kthread_create(k, function* () {}, "a_very_long_thread_name");
    assert(typeof long !== "number");
    assertEquals([long.comm, k.log.text(long.commId)], ["a_very_long_thr", "a_very_long_thr"]);
    const fits = yield* kthread_create(k, function* () {}, "123456789012345");
    assert(typeof fits !== "number");
    assertEquals(fits.comm, "123456789012345");
    for (const p of [long, fits]) wake_up_process(k, p);
  });
  const names = eventsOf(k, "sched_process_fork").map((r) => k.log.text(arg(r, "child_comm")));
  assert(names.includes("a_very_long_thr"));
});

Deno.test("pids count up from 1 and are not used again; the list has who lives, in order of birth", () => {
  const k = booted();
  assertEquals([...tasklist(k)].slice(0, 2).map((p) => [p.pid, p.comm]), [[1, "init"], [2, "kthreadd"]]);
  runOn0(k, function* (k) {
    const pids: number[] = [];
    for (let i = 0; i < 3; i++) {
      const p = yield* kthread_run(k, function* () {}, "short");
      assert(typeof p !== "number" && tasklist(k).has(p));
      pids.push(p.pid);
      yield* msleep(k, 1);
      assert(!tasklist(k).has(p), "it has exited");
    }
    assertEquals(pids.map((pid) => pid - pids[0]), [0, 1, 2]);
    assert(tasklist(k).has(current(k)));
    const births = [...tasklist(k)].map((p) => p.pid);
    assertEquals(births, [...births].sort((a, b) => a - b));
  });
});

Deno.test("task_struct, stack and struct kthread are real allocations, and all come back [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    let during: string[] = [];
    runOn0(k, function* (k) {
      yield* msleep(k, 4); // who came before is buried
      const held = watchMemory(k);
      const crowd = new Crowd();
      for (let i = 0; i < 5; i++) yield* crowd.start(k, `t${i}`, (k) => msleep(k, 20));
      during = [...held.values()].sort();
      yield* crowd.wait(k);
      yield* msleep(k, 10);
      assertEquals([...held.values()], [], name);
    }, name);
    // struct kthread has 88 bytes.
    const one = (what: string): string[] => new Array(5).fill(what);
    assertEquals(during, [...one("88"), ...one("stack"), ...one("task_struct")], name);
  });
});

Deno.test("kernel_thread() without memory for the task or for its stack is -ENOMEM and leaves nothing", () => {
  for (const what of ["alloc_task_struct", "alloc_thread_stack"] as const) {
    const k = booted();
    runOn0(k, function* (k) {
      const held = watchMemory(k);
      k.mm = { ...k.mm, [what]: () => done(NULL) };
      const tasks = tasklist(k).size;
      assertEquals(yield* kernel_thread(k, function* () {}, "none"), -ENOMEM);
      assertEquals([held.size, tasklist(k).size], [0, tasks]);
    });
  }
});

Deno.test("a new task cannot be woken before it is started, and starts on its parent's CPU if that is all there is", () => {
  const k = booted();
  runOn0(k, function* (k): MaySleep<void> {
    let ran = false;
    const p = yield* kernel_thread(k, function* () {
      ran = true;
    }, "child");
    assert(typeof p !== "number" && p.state !== TASK_NEW);
    assert(!ran, "it waits for its turn");
    yield* msleep(k, 1);
    assert(ran);
  });
});

Deno.test("onStack() gives addresses inside the task's stack, last in first out", () => {
  runOn0(booted(), function* (k) {
    const p = current(k);
    const a = onStack(k, 16);
    const b = onStack(k, 32);
    assert(a >= p.stackAddr && a + 16 <= p.stackAddr + THREAD_SIZE && b + 32 === a);
    k.ram.storePtr(b, 0x1234);
    assertEquals(k.ram.loadPtr(b), 0x1234);
    offStack(k, 32);
    assertEquals(onStack(k, 32), b);
    offStack(k, 32);
    offStack(k, 16);
    assertEquals([p.stackUsed, THREAD_SIZE], [0, 4 * PAGE_SIZE]);
    yield* msleep(k, 1);
  });
});
