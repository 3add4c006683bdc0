// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of mm/kmemleak.ts: what is found, what is not, what is found wrongly (B29), and the text of it. Formats are those
 * of mm/kmemleak.c in v5.7.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { NULL } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { EINVAL, EPERM } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { for_each_process } from "../../kernel/fork.ts";
import {
  kmemleak_ignore,
  kmemleak_no_scan,
  kmemleak_not_leak,
  kmemleak_scan_area,
  kmemleak_seq_show,
  kmemleak_write,
} from "../../mm/kmemleak.ts";
import { SLAB_NOLEAKTRACE } from "../../mm/slab.ts";
import { kmem_cache_create, kmem_cache_destroy, krealloc } from "../../mm/slab_common.ts";
import {
  kmem_cache_alloc,
  kmem_cache_alloc_bulk,
  kmem_cache_free,
  kmem_cache_free_bulk,
} from "../../mm/slub.ts";
import {
  __get_free_page,
  addFailRule,
  array,
  boot,
  clearFailRules,
  type Config,
  embed,
  formatAddr,
  free_page,
  GFP_KERNEL,
  GFP_NOWAIT,
  kfree,
  kmalloc,
  kvfree_rcu,
  kzalloc,
  type Level,
  msleep,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  runToEnd,
  struct,
  u8,
  udelay,
  vfree,
  vmalloc,
} from "../../mod.ts";
import { dmesg } from "../helpers.ts";
import { runCleanly } from "../machines.ts";
import { KernelShell } from "../repl/kernel_shell.ts";
import { threadOn } from "../rcu/tree_machine.ts";

const AGE_MS = 5000;

function leakBoot(wanted: Partial<Config> = {}): Kernel {
  return boot({ rcu: "tiny", memBytes: 64 * 2 ** 20, kmemleak: true, ...wanted });
}

/** Runs `main`, which must cause `reports` reports. */
function onLeak(main: (k: Kernel) => MaySleep<void>, reports: number, wanted: Partial<Config> = {}): Kernel {
  const k = leakBoot(wanted);
  runCleanly(k, main, reports);
  return k;
}

/** Two scans: the first lets go what has changed since it was last seen. */
function* scanTwice(k: Kernel): MaySleep<void> {
  assertEquals(yield* kmemleak_write(k, "scan"), 0);
  assertEquals(yield* kmemleak_write(k, "scan"), 0);
}

/** Addresses of the objects that are listed. */
function listed(k: Kernel): VirtAddr[] {
  return kmemleak_seq_show(k).flatMap((line) => {
    const found = /^unreferenced object 0xffff([0-9a-f]{12}) /.exec(line);
    return found === null ? [] : [parseInt(found[1], 16) as VirtAddr];
  });
}

function* place(k: Kernel): MaySleep<VirtAddr> {
  return k.dataAlloc(8);
}

Deno.test("an object that nothing points at is listed after 5 s and a scan; one that .data points at is not", () => {
  const objects: VirtAddr[] = [];
  const k = onLeak(function* foo_leak(k) {
    const root = yield* place(k);
    const lost = yield* kzalloc(k, 100, GFP_KERNEL);
    const held = yield* kzalloc(k, 100, GFP_KERNEL);
    const inner = yield* kzalloc(k, 100, GFP_KERNEL);
    k.ram.storePtr(root, held);
    k.ram.storePtr(held + 8 as VirtAddr, inner + 24 as VirtAddr); // into it
    objects.push(lost, held, inner);
    yield* msleep(k, AGE_MS - 100);
    yield* scanTwice(k);
    assertEquals(listed(k), [], "too young");
    yield* msleep(k, 200);
    yield* kmemleak_write(k, "scan");
    assertEquals(listed(k), [lost]);
    yield* scanTwice(k);
    k.ram.storePtr(root, NULL);
    yield* scanTwice(k);
    assertEquals(listed(k), [lost, held, inner]);
  }, 2);
  assertEquals(k.reports.map((r) => r.title), [
    "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
  ]);
  assertEquals(listed(k), objects, "it is still so when the run is over");
});

Deno.test("an object whose contents changed since the last scan gets away with it once", () => {
  onLeak(function* (k) {
    const p = yield* kzalloc(k, 64, GFP_KERNEL);
    yield* msleep(k, AGE_MS + 100);
    k.ram.store32(p, 1);
    yield* kmemleak_write(k, "scan");
    assertEquals(listed(k), []);
    k.ram.store32(p, 2);
    yield* kmemleak_write(k, "scan");
    assertEquals(listed(k), []);
    yield* kmemleak_write(k, "scan");
    assertEquals(listed(k), [p]);
  }, 1);
});

Deno.test("an object that only a plain page points at is listed: pages are not scanned", () => {
  onLeak(function* (k) {
    const root = yield* place(k);
    const page = yield* __get_free_page(k, GFP_KERNEL);
    const p = yield* kzalloc(k, 64, GFP_KERNEL);
    k.ram.storePtr(root, page);
    k.ram.storePtr(page, p);
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    assertEquals(listed(k), [p]);
    yield* kfree(k, p);
    yield* free_page(k, page);
  }, 1);
});

Deno.test("freed objects vanish from the list, and an address that is used again is young again", () => {
  onLeak(function* (k) {
    const p = yield* kzalloc(k, 64, GFP_KERNEL);
    const large = yield* kzalloc(k, 20000, GFP_KERNEL);
    const area = yield* vmalloc(k, 10000);
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    assertEquals(listed(k), [p, large, area]);
    yield* kfree(k, large);
    yield* vfree(k, area);
    assertEquals(listed(k), [p]);
    yield* kfree(k, p);
    assertEquals(listed(k), []);
    const again = yield* kzalloc(k, 64, GFP_KERNEL);
    assertEquals(again, p);
    yield* scanTwice(k);
    assertEquals(listed(k), []);
    yield* kfree(k, again);
  }, 1);
});

Deno.test("kmemleak_ignore() silences an object and hides what it points at; kmemleak_not_leak() does not hide", () => {
  onLeak(function* (k) {
    const [ignored, below, grey, child] = [
      yield* kzalloc(k, 64, GFP_KERNEL),
      yield* kzalloc(k, 64, GFP_KERNEL),
      yield* kzalloc(k, 64, GFP_KERNEL),
      yield* kzalloc(k, 64, GFP_KERNEL),
    ];
    k.ram.storePtr(ignored, below);
    k.ram.storePtr(grey, child);
    kmemleak_ignore(k, ignored);
    kmemleak_not_leak(k, grey);
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    assertEquals(listed(k), [below]);
  }, 1);
});

Deno.test("kmemleak_no_scan() and kmemleak_scan_area() say what of an object is looked at", () => {
  onLeak(function* (k) {
    const root = yield* place(k);
    const table = yield* kzalloc(k, 64, GFP_KERNEL);
    const part = yield* kzalloc(k, 64, GFP_KERNEL);
    const [a, b, c] = [
      yield* kzalloc(k, 32, GFP_KERNEL),
      yield* kzalloc(k, 32, GFP_KERNEL),
      yield* kzalloc(k, 32, GFP_KERNEL),
    ];
    k.ram.storePtr(root, table);
    const second = yield* place(k);
    k.ram.storePtr(second, part);
    k.ram.storePtr(table, a);
    k.ram.storePtr(part, b);
    k.ram.storePtr(part + 8 as VirtAddr, c);
    kmemleak_no_scan(k, table);
    kmemleak_scan_area(k, part + 8 as VirtAddr, 8, GFP_KERNEL);
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    assertEquals(listed(k), [a, b]);
  }, 1);
});

Deno.test("a vmalloc area needs a reference besides its vm_struct's", () => {
  onLeak(function* (k) {
    const root = yield* place(k);
    const [lost, held] = [yield* vmalloc(k, 8192), yield* vmalloc(k, 3 * 2 ** 20)];
    k.ram.storePtr(root, held + 0x100000 as VirtAddr);
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    assertEquals(listed(k), [lost]);
    yield* vfree(k, lost);
    yield* vfree(k, held);
  }, 1);
});

Deno.test("objects of caches are followed, single and in bulk, unless the cache says SLAB_NOLEAKTRACE", () => {
  onLeak(function* (k) {
    const s = yield* kmem_cache_create(k, "followed", 40, 0, 0, () => {});
    const quiet = yield* kmem_cache_create(k, "quiet", 40, 0, SLAB_NOLEAKTRACE, null);
    assert(s !== null && quiet !== null);
    const p = yield* kmem_cache_alloc(k, s, GFP_KERNEL);
    const q = yield* kmem_cache_alloc(k, quiet, GFP_KERNEL);
    const three = yield* __get_free_page(k, GFP_KERNEL);
    assertEquals(yield* kmem_cache_alloc_bulk(k, s, GFP_KERNEL, 3, three), 3);
    const bulk = [0, 8, 16].map((at) => k.ram.loadPtr(three + at as VirtAddr));
    const small = yield* kmalloc(k, 16, GFP_KERNEL);
    const moved = yield* krealloc(k, small, 300, GFP_KERNEL);
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    assertEquals(listed(k), [p, ...bulk, moved]);
    yield* kmem_cache_free_bulk(k, s, 3, three);
    yield* kmem_cache_free(k, s, p);
    yield* kmem_cache_free(k, quiet, q);
    yield* kfree(k, moved);
    yield* kmem_cache_destroy(k, s);
    yield* kmem_cache_destroy(k, quiet);
    assertEquals(listed(k), []);
    yield* free_page(k, three);
  }, 2); // what krealloc() gave is not all zero: it holds an old free pointer, and is found by the second scan
});

Deno.test("the text of an object: who, when, how old, two rows of bytes, and the call chain", () => {
  let p = NULL as VirtAddr;
  const k = onLeak(function* foo_leak(k) {
    p = yield* kzalloc(k, 100, GFP_KERNEL);
    [..."kmemleak.c\t~"].forEach((c, i) => k.ram.store8(p + 4 + i as VirtAddr, c.charCodeAt(0)));
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    const lines = kmemleak_seq_show(k);
    assertEquals(lines[0], `unreferenced object 0x${formatAddr(p)} (size 128):`);
    // jiffies of a 64-bit kernel start at 2^32 - 300 HZ.
    assertMatch(lines[1], /^ {2}comm "test", pid \d+, jiffies 42948\d{5} \(age 5\.[12]\d\ds\)$/);
    assertEquals(lines.slice(2, 6), [
      "  hex dump (first 32 bytes):",
      "    00 00 00 00 6b 6d 65 6d 6c 65 61 6b 2e 63 09 7e  ....kmemleak.c.~",
      "    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................",
      "  backtrace:",
    ]);
    const names = lines.slice(6).map((line) => /^ {4}\[<\(____ptrval____\)>\] (\w+)$/.exec(line)?.[1]);
    assertEquals([names[0], names[1]], ["__kmalloc", "foo_leak"]);
    assertEquals(names.at(-1), "ret_from_fork");
  }, 1);
  assert(
    dmesg(k).includes("kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"),
  );
});

Deno.test("an object of 8 bytes has one short row", () => {
  onLeak(function* (k) {
    yield* kzalloc(k, 8, GFP_KERNEL);
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    assertEquals(kmemleak_seq_show(k).slice(2, 5), [
      "  hex dump (first 8 bytes):",
      `    00 00 00 00 00 00 00 00${" ".repeat(26)}........`,
      "  backtrace:",
    ]);
  }, 1);
});

Deno.test("the thread scans a minute after boot and every ten minutes; a run does not wait for it", () => {
  const k = leakBoot();
  assert(dmesg(k).includes("kmemleak: Automatic memory scanning thread started"));
  assert(
    dmesg(k).some((l) =>
      /^kmemleak: Kernel memory leak detector initialized \(mem pool available: 159\d\d\)$/.test(l)
    ),
  );
  assertEquals([...for_each_process(k)].filter((p) => p.comm === "kmemleak").length, 1);
  const short = runCleanly(k, function* (k) {
    yield* kzalloc(k, 64, GFP_KERNEL);
  });
  assert(short.ns < 1e9, `${short.ns}`);
  const long = runToEnd(k, "long", function* (k) {
    yield* msleep(k, 58_000);
    assertEquals(listed(k).length, 0);
    yield* msleep(k, 4000);
    assertEquals(listed(k).length, 1);
    yield* kzalloc(k, 64, GFP_KERNEL);
    yield* msleep(k, 560_000); // the wheel is coarse: up to 16 s more
    assertEquals(listed(k).length, 1);
    yield* msleep(k, 60_000);
    assertEquals(listed(k).length, 2);
  }, { ns: 1000e9, points: 1e8 });
  assertEquals([long.ending, long.reports], ["completed", 2], k.reports.map((r) => r.title).join("\n"));
});

Deno.test("clear, stack, scan=, dump and off do as /sys/kernel/debug/kmemleak does", () => {
  const k = onLeak(function* (k) {
    const p = yield* kzalloc(k, 64, GFP_KERNEL);
    yield* msleep(k, AGE_MS + 100);
    yield* scanTwice(k);
    assertEquals(listed(k), [p]);
    assertEquals(yield* kmemleak_write(k, "clear"), 0);
    yield* scanTwice(k);
    assertEquals(listed(k), []);
    assertEquals(yield* kmemleak_write(k, `dump=0x${formatAddr(p)}`), 0);
    assertEquals(yield* kmemleak_write(k, "dump=0xffff888000000008"), -EINVAL);
    assertEquals(yield* kmemleak_write(k, "nonsense"), -EINVAL);
    assertEquals(yield* kmemleak_write(k, "scan=x"), -EINVAL);
    assertEquals(yield* kmemleak_write(k, "stack=off"), 0);
    assertEquals(yield* kmemleak_write(k, "scan=off"), 0);
    assertEquals([...for_each_process(k)].filter((t) => t.comm === "kmemleak").length, 0);
    assertEquals(yield* kmemleak_write(k, "scan=20"), 0);
    const q = yield* kzalloc(k, 64, GFP_KERNEL);
    yield* msleep(k, 61_000);
    assertEquals(listed(k), [q], "found by the thread, which now comes every 20 s");
    assertEquals(yield* kmemleak_write(k, "off"), 0);
    assertEquals(yield* kmemleak_write(k, "scan"), -EPERM);
    yield* msleep(k, 100);
    assertEquals(yield* kmemleak_write(k, "clear"), 0);
    yield* kfree(k, p);
    yield* kfree(k, q);
  }, 2);
  const log = dmesg(k);
  for (
    const line of [
      "kmemleak:   min_count = 0",
      "kmemleak:   flags = 0x3",
      "kmemleak: Unknown object at 0xffff888000000008",
      "kmemleak: Automatic memory scanning thread ended",
      "kmemleak: Kernel memory leak detector disabled",
    ]
  ) assert(log.includes(line), `${line}\n${log.filter((l) => l.startsWith("kmem")).join("\n")}`);
});

Deno.test("colouring what is not there warns; freeing a pointer into an object does", () => {
  const k = onLeak(function* (k) {
    const p = yield* kzalloc(k, 64, GFP_KERNEL);
    kmemleak_ignore(k, 0x8880_0000_0008 as VirtAddr);
    kmemleak_not_leak(k, p + 8 as VirtAddr);
    yield* kfree(k, p);
  }, 3);
  assertEquals(k.reports[0].title, "kmemleak: Trying to color unknown object at 0xffff888000000008 as Black");
  assertMatch(k.reports[1].title, /^kmemleak: Found object by alias at 0xffff8880[0-9a-f]{8}$/);
  assertMatch(k.reports[2].title, /^kmemleak: Trying to color unknown object at 0x[0-9a-f]{16} as Grey$/);
});

Deno.test("a machine without it does nothing and loses nothing: no thread, no list, the same events", () => {
  const k = boot({ rcu: "tiny", memBytes: 64 * 2 ** 20 });
  assertEquals([...for_each_process(k)].filter((p) => p.comm === "kmemleak").length, 0);
  runCleanly(k, function* (k) {
    kmemleak_ignore(k, 0x8880_0000_0008 as VirtAddr);
    assertEquals(yield* kmemleak_write(k, "scan"), -EPERM);
  });
  assertEquals(kmemleak_seq_show(k), []);
});

const obj = struct("obj", { data: array(u8, 48), rcu: embed(rcu_head) });

/** Gives an object to kvfree_rcu() while a reader keeps the grace period from ending for 12 s, and scans. */
function reader(onList: boolean, silence: boolean, level: Level = "7/7"): { k: Kernel; found: boolean } {
  const k = leakBoot({ rcu: "tree", cpus: 2, level });
  let found = false;
  runCleanly(k, function* (k) {
    yield* threadOn(k, 1, "reader", function* (k) {
      yield* rcu_read_lock(k);
      yield* udelay(k, 12e6);
      yield* rcu_read_unlock(k);
    });
    yield* msleep(k, 100);
    const p = yield* kzalloc(k, obj.size, GFP_KERNEL);
    if (onList) addFailRule(k, { what: "page", gfp: GFP_NOWAIT, times: -1 });
    yield* kvfree_rcu(k, p, obj, "rcu");
    clearFailRules(k);
    if (silence) kmemleak_ignore(k, p);
    yield* msleep(k, AGE_MS + 1000);
    yield* scanTwice(k);
    found = listed(k).includes(p);
  }, silence || onList || level !== "7/7" ? 0 : 1);
  assertEquals(listed(k), [], "freed in the end");
  return { k, found };
}

Deno.test("what waits in a block of kvfree_rcu() is taken for a leak, unless ignored (B29)", () => {
  assertEquals(reader(false, false).found, true);
  assertEquals(reader(false, true).found, false);
  assertEquals(reader(false, false, "v6.1.192").found, false, "kvfree_call_rcu() ignores it");
});

Deno.test("what waits on a list of kvfree_rcu() is not: the list begins in per-CPU data", () => {
  assertEquals(reader(true, false).found, false);
});

Deno.test("nothing of the kernel itself is ever suspected [cpus=1,4 rcu=tree,tiny kasan]", () => {
  for (
    const wanted of [{ rcu: "tiny" }, { rcu: "tree", cpus: 4 }, {
      rcu: "tree",
      cpus: 1,
      kasan: true,
    }] as const
  ) {
    const k = leakBoot(wanted);
    runCleanly(k, function* (k) {
      const p = yield* vmalloc(k, 100_000);
      yield* vfree(k, p);
      yield* msleep(k, 65_000);
      yield* scanTwice(k);
      yield* scanTwice(k);
    });
    assertEquals(kmemleak_seq_show(k), []);
  }
});

Deno.test("the command scans, lists with status 1, and clears; without --kmemleak it refuses in one line", async () => {
  const shell = new KernelShell();
  assertEquals((await shell.run("kmemleak list")).err, "no kernel is booted. Try: boot\n");
  await shell.run("boot --rcu tiny --kmemleak; kzalloc(k, 100, GFP_KERNEL)");
  const scan = await shell.run("kmemleak scan 6");
  assertEquals([scan.status, scan.err], [1, ""]);
  assertMatch(scan.out, /^\[ +6\.\d{6}\] kmemleak: 1 new suspected memory leaks/);
  const list = await shell.run("kmemleak list");
  assertEquals(list.status, 1);
  assertMatch(
    list.out,
    /^unreferenced object 0xffff8880[0-9a-f]{8} \(size 128\):\n {2}comm "kzalloc", pid \d+, /,
  );
  assertEquals((await shell.run("kmemleak clear; kmemleak list")).status, 0);
  assertEquals((await shell.run("kmemleak list 3")).status, 2);
  const without = await shell.run("boot --rcu tiny; kmemleak scan");
  assertEquals([without.status, without.err.trimEnd()], [
    2,
    "kmemleak: this machine was booted without --kmemleak",
  ]);
});
