// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/module.ts: text that comes and goes, and what RCU still holds of it (B27). */
import { assert, assertEquals } from "@std/assert";
import { MODULES_VADDR, NULL, TEXT_START } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { EBUSY, EEXIST, ENOENT, ENOMEM, EWOULDBLOCK } from "../../kernel/errno.ts";
import {
  functionAt,
  isText,
  kallsyms_lookup,
  kallsyms_lookup_name,
  ksym,
  sprint_symbol,
} from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  delete_module,
  find_module,
  load_module,
  module_put,
  module_refcount,
  type ModuleImage,
  try_module_get,
} from "../../kernel/module.ts";
import { print_modules } from "../../kernel/module_list.ts";
import {
  boot,
  call_rcu,
  complete,
  completion,
  type Config,
  embed,
  GFP_KERNEL,
  kfree,
  kmalloc,
  kvfree_rcu,
  liveObjects,
  memoryVerdict,
  rcu_barrier,
  rcu_head,
  runToEnd,
  type RunVerdict,
  struct,
  ulong,
  wait_for_completion,
  WARN_ON,
} from "../../mod.ts";
import { dmesg } from "../helpers.ts";
import { runCleanly } from "../machines.ts";
import { threadOn } from "../rcu/tree_machine.ts";

const foo = struct("foo", { a: ulong, rcu: embed(rcu_head) });

function* foo_free(k: Kernel, head: VirtAddr): Atomic<void> {
  yield* kfree(k, head - foo.offsetof("rcu") as VirtAddr);
}
function foo_other(): void {}
function* foo_init(_k: Kernel): MaySleep<number> {
  return 0;
}
function* foo_exit(_k: Kernel): MaySleep<void> {}
function* foo_exit_barrier(k: Kernel): MaySleep<void> {
  yield* rcu_barrier(k);
}
function* foo_warns(k: Kernel): MaySleep<number> {
  WARN_ON(k, true);
  return 0;
}
function* foo_fails(_k: Kernel): MaySleep<number> {
  return -ENOMEM;
}
function* foo_odd(_k: Kernel): MaySleep<number> {
  return 3;
}

const FOO: ModuleImage = {
  name: "foo",
  functions: [foo_free, foo_other],
  init: foo_init,
  exit: foo_exit,
};

/** Code on a machine with tiny RCU, which must run cleanly. */
function onTiny(main: (k: Kernel) => MaySleep<void>, reports = 0): Kernel {
  const k = boot({ rcu: "tiny", memBytes: 64 * 2 ** 20 });
  runCleanly(k, main, reports);
  return k;
}

Deno.test("load_module() puts functions into the module area, where symbols bear the module's name", () => {
  onTiny(function* (k) {
    assertEquals(ksym(k, foo_other) < MODULES_VADDR, true, "it is the kernel's own before");
    assertEquals(yield* load_module(k, FOO), 0);
    const at = MODULES_VADDR;
    assertEquals(ksym(k, foo_free), at);
    assertEquals(ksym(k, foo_other), at + 0x40);
    assertEquals(ksym(k, foo_exit), at + 0xc0);
    assertEquals(functionAt(k, at), foo_free);
    assertEquals(kallsyms_lookup(k, at), "foo_free [foo]");
    assertEquals(sprint_symbol(k, at), "foo_free+0x0/0x40 [foo]");
    assertEquals(sprint_symbol(k, at + 0x51), "foo_other+0x11/0x40 [foo]");
    assertEquals(kallsyms_lookup_name(k, "foo_free"), at);
    assertEquals(kallsyms_lookup_name(k, "foo:foo_free"), at);
    assert(!isText(k, at + 0x800 as VirtAddr), "the rest of its page");
    assert(ksym(k, kfree) > TEXT_START && ksym(k, kfree) < MODULES_VADDR);
    assertEquals(print_modules(k), "Modules linked in: foo");
  });
});

Deno.test("delete_module() leaves no text; loaded again it may stand in the same place", () => {
  onTiny(function* (k) {
    yield* load_module(k, FOO);
    yield* load_module(k, { name: "bar", functions: [foo_odd] });
    const bar = ksym(k, foo_odd);
    assertEquals(bar, MODULES_VADDR + 0x2000, "a page of text and a guard page");
    assertEquals(print_modules(k), "Modules linked in: bar foo");
    const at = ksym(k, foo_free);
    assertEquals(yield* delete_module(k, "foo"), 0);
    assertEquals([isText(k, at), isText(k, bar)], [false, true]);
    assertEquals(ksym(k, foo_free), at, "a stored pointer does not change");
    assertEquals(kallsyms_lookup(k, at), "0xffffffffa0000000");
    assertEquals(kallsyms_lookup_name(k, "foo_free"), NULL);
    assertEquals(print_modules(k), "Modules linked in: bar [last unloaded: foo]");
    assertEquals(yield* load_module(k, FOO), 0);
    assertEquals([ksym(k, foo_free), isText(k, at)], [at, true]);
  });
});

Deno.test("load_module() and delete_module() refuse with the kernel's numbers", () => {
  const k = onTiny(function* (k) {
    assertEquals(yield* delete_module(k, "foo"), -ENOENT);
    assertEquals(yield* load_module(k, FOO), 0);
    assertEquals(yield* load_module(k, FOO), -EEXIST);
    const mod = find_module(k, "foo");
    assert(mod !== null && try_module_get(mod) && module_refcount(mod) === 1);
    assertEquals(yield* delete_module(k, "foo"), -EWOULDBLOCK);
    module_put(mod);
    assertEquals(yield* delete_module(k, "foo"), 0);
    assertEquals([try_module_get(mod), find_module(k, "foo")], [false, null]);
    assertEquals(yield* load_module(k, { name: "stuck", init: foo_init }), 0);
    assertEquals(yield* delete_module(k, "stuck"), -EBUSY);
    assertEquals(yield* load_module(k, { name: "bad", init: foo_fails, functions: [foo_other] }), -ENOMEM);
    assertEquals([find_module(k, "bad"), isText(k, ksym(k, foo_other))], [null, false]);
    assertEquals(yield* load_module(k, { name: "odd", init: foo_odd, exit: foo_exit }), 0);
  });
  assert(
    dmesg(k).includes(
      "do_init_module: 'odd'->init suspiciously returned 3, it should follow 0/-E convention",
    ),
  );
});

Deno.test("a report from a module's function names the module in the trace and in the list", () => {
  const k = onTiny(function* (k) {
    yield* load_module(k, { name: "foo", init: foo_warns, exit: foo_exit });
  }, 1);
  const { lines } = k.reports[0];
  assert(lines.includes("Modules linked in: foo(+)"), lines.join("\n"));
  assert(lines.includes(" foo_warns [foo]"), lines.join("\n"));
});

/** Loads foo, queues `count` callbacks of it on the last CPU, and unloads it from CPU 0. */
function unload(
  wanted: Partial<Config>,
  exit: (k: Kernel) => MaySleep<void>,
  count: number,
): [Kernel, RunVerdict] {
  const k = boot({ memBytes: 64 * 2 ** 20, ...wanted });
  let freed = 0;
  function* foo_callback(k: Kernel, head: VirtAddr): Atomic<void> {
    freed++;
    yield* foo_free(k, head);
  }
  const verdict = runToEnd(k, "rmmod", function* (k) {
    yield* load_module(k, { name: "foo", functions: [foo_callback], init: foo_init, exit });
    const queued = new completion("queued");
    function* foo_user(k: Kernel): MaySleep<void> {
      for (let i = 0; i < count; i++) {
        const p = yield* kmalloc(k, foo.size, GFP_KERNEL);
        yield* call_rcu(k, p + foo.offsetof("rcu") as VirtAddr, foo_callback);
      }
      complete(k, queued);
    }
    if (k.cpus.length === 1) yield* foo_user(k);
    else yield* threadOn(k, k.cpus.length - 1, "user", foo_user);
    yield* wait_for_completion(k, queued);
    assertEquals(yield* delete_module(k, "foo"), 0);
  });
  if (verdict.ending === "completed") assertEquals(freed, count);
  return [k, verdict];
}

const FLAVOURS: readonly Partial<Config>[] = [{ rcu: "tiny" }, { rcu: "tree", cpus: 2 }];

Deno.test("a callback of an unloaded module is an instruction fetch from nowhere: the machine panics", () => {
  for (const wanted of FLAVOURS) {
    const [k, verdict] = unload(wanted, foo_exit, 200);
    const where = `${wanted.rcu}: ${k.reports.map((r) => r.lines.join("\n")).join("\n")}`;
    assertEquals(verdict.ending, "panic", where);
    const { title, lines } = k.reports[0];
    assertEquals(title, "BUG: unable to handle page fault for address: ffffffffa0000000");
    assertEquals(lines.slice(0, 4), [
      title,
      "#PF: supervisor instruction fetch in kernel mode",
      "#PF: error_code(0x0010) - not-present page",
      "Oops: 0010 [#1]",
    ]);
    assert(lines[4].startsWith("CPU: "), where);
    assertEquals(lines.slice(5, 8), ["RIP: 0010:0xffffffffa0000000", "Code: Bad RIP value.", "Call Trace:"]);
    assertEquals(lines.slice(-3), [
      "Modules linked in: [last unloaded: foo]",
      "CR2: ffffffffa0000000",
      "---[ end trace 0000000000000000 ]---",
    ]);
    assertEquals(k.reports[1].title, "Kernel panic - not syncing: Fatal exception in interrupt");
  }
});

Deno.test("with rcu_barrier() in its exit function a module is unloaded without harm", () => {
  for (const wanted of FLAVOURS) {
    const [k, verdict] = unload(wanted, foo_exit_barrier, 200);
    assertEquals([verdict.ending, k.reports], ["completed", []], wanted.rcu);
  }
});

Deno.test("objects given to kvfree_rcu() outlive rcu_barrier() and the module, and are freed in the end (B27)", () => {
  const k = boot({ cpus: 2, level: "7/7", memBytes: 64 * 2 ** 20 });
  const objects: VirtAddr[] = [];
  runCleanly(k, function* (k) {
    yield* load_module(k, { ...FOO, exit: foo_exit_barrier });
    const since = k.seq;
    for (let i = 0; i < 3; i++) {
      const p = yield* kmalloc(k, foo.size, GFP_KERNEL);
      objects.push(p);
      yield* kvfree_rcu(k, p, foo, "rcu");
    }
    assertEquals(yield* delete_module(k, "foo"), 0);
    const { pending } = memoryVerdict(k, since);
    assertEquals(pending.map((o) => o.addr).filter((a) => objects.includes(a)).length, 3);
    assertEquals(find_module(k, "foo"), null);
  });
  const left = new Set([...liveObjects(k)].map((o) => o.addr));
  assertEquals(objects.filter((p) => left.has(p)), [], "the batch was freed after all");
});
