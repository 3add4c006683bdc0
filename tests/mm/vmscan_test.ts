// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of mm/vmscan.ts, mm/oom_kill.ts and mm/drop_caches.ts on booted machines. Expected numbers follow from the rules of
 * v5.7: freeable >> priority, times 4, by seeks; batches of 128; watermarks from the size of memory.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { done, type MaySleep } from "../../kernel/machine/effects.ts";
import { EINVAL, ENOMEM } from "../../kernel/errno.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import { GFP_NOFS, GFP_NOIO } from "../../kernel/gfp.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { traceEvent } from "../../kernel/trace/table.ts";
import { PF_KTHREAD, type task_struct } from "../../kernel/sched/sched.ts";
import { tasklist } from "../../kernel/fork.ts";
import { drop_caches_sysctl_handler } from "../../mm/drop_caches.ts";
import { NULL_PAGE } from "../../mm/mm_types.ts";
import { contig_page_data, high_wmark_pages, NR_FREE_PAGES, type zone } from "../../mm/mmzone.ts";
import { oom_badness, register_oom_notifier, tsk_is_oom_victim } from "../../mm/oom_kill.ts";
import {
  alloc_pages,
  current_gfp_context,
  memalloc_nofs_restore,
  memalloc_nofs_save,
  memalloc_noio_restore,
  memalloc_noio_save,
} from "../../mm/page_alloc.ts";
import {
  DEF_PRIORITY,
  register_shrinker,
  SHRINK_EMPTY,
  shrink_slab,
  SHRINK_STOP,
  shrinker,
  shrinkers,
  unregister_shrinker,
  wakeup_kswapd,
} from "../../mm/vmscan.ts";
import {
  all_vm_events,
  ALLOCSTALL_NORMAL,
  DROP_SLAB,
  OOM_KILL,
  PAGEOUTRUN,
  SLABS_SCANNED,
} from "../../mm/vmstat.ts";
import {
  boot,
  type Config,
  current,
  free_page,
  GFP_KERNEL,
  kfree,
  kmalloc,
  kthread_run,
  kvfree_rcu,
  msleep,
  NULL,
  runToEnd,
  schedule_timeout_uninterruptible,
} from "../../mod.ts";
import { dmesg } from "../helpers.ts";
import { arg, eventsOf, runCleanly } from "../machines.ts";
import { krc0, kvfreeMachine, lengths, newObjects, script } from "../rcu/kvfree_machine.ts";

const MiB = 2 ** 20;

function small(wanted: Partial<Config> = {}): Kernel {
  return boot({ rcu: "none", cpus: 1, memBytes: 16 * MiB, ...wanted });
}

function normal(k: Kernel): zone {
  return contig_page_data(k).node_zones[0];
}

function freePages(k: Kernel): number {
  return normal(k).vm_stat[NR_FREE_PAGES];
}

/** A shrinker that says it has `freeable` objects and notes what it is asked to scan. */
function noting(freeable: () => number, ret: number | null = null): { s: shrinker; scans: number[] } {
  const scans: number[] = [];
  const s = new shrinker(
    () => done(freeable()),
    (_k, _shrink, sc) => {
      scans.push(sc.nr_to_scan);
      return done(ret ?? sc.nr_to_scan);
    },
  );
  return { s, scans };
}

/** Allocates pages with GFP_NOWAIT's reach until `left` are free, and returns them. */
function* eat(k: Kernel, left: number): MaySleep<VirtAddr[]> {
  const pages: VirtAddr[] = [];
  while (freePages(k) > left) {
    const p = yield* kmalloc(k, 4096 * Math.min(2, freePages(k) - left), GFP_KERNEL);
    if (p === NULL) break;
    pages.push(p);
  }
  return pages;
}

Deno.test("do_shrink_slab() scans freeable >> priority times 4 / seeks in batches and keeps the rest for later", () => {
  const k = small();
  runCleanly(k, function* (k) {
    const { s, scans } = noting(() => 1000);
    assertEquals(yield* register_shrinker(k, s), 0);
    yield* shrink_slab(k, GFP_KERNEL, DEF_PRIORITY);
    assertEquals([scans.length, s.nr_deferred], [0, 0], "1000 >> 12 is 0");

    // Priority 2: 250 x 4 / 2 = 500 = 3 x 128 + 116.
    assertEquals(yield* shrink_slab(k, GFP_KERNEL, 2), 384);
    assertEquals([scans, s.nr_deferred], [[128, 128, 128], 116]);

    // Priority 12: delta 0, the 116 wait on; priority 4: 62 x 2 = 124 and 116 make 240 = 128 + 112.
    yield* shrink_slab(k, GFP_KERNEL, DEF_PRIORITY);
    assertEquals([scans.length, s.nr_deferred], [3, 116]);
    yield* shrink_slab(k, GFP_KERNEL, 4);
    assertEquals([scans.length, s.nr_deferred], [4, 112]);

    // Priority 0: 2000 and 112, at most twice what there is: 2000 = 15 x 128 + 80. Deferred: 2112 - 1920.
    yield* shrink_slab(k, GFP_KERNEL, 0);
    assertEquals([scans.length, s.nr_deferred], [4 + 15, 192]);
    assertEquals(all_vm_events(k)[SLABS_SCANNED], 19 * 128);
    yield* unregister_shrinker(k, s);
  });
});

Deno.test("do_shrink_slab() scans a small cache in one go, caps a windup and honours seeks 0 and batch", () => {
  const k = small();
  runCleanly(k, function* (k) {
    const tiny = noting(() => 10);
    yield* register_shrinker(k, tiny.s);
    yield* shrink_slab(k, GFP_KERNEL, 0);
    assertEquals(tiny.scans, [20], "less than a batch, but more than there is");
    yield* unregister_shrinker(k, tiny.s);

    const wound = noting(() => 1000);
    wound.s.nr_deferred = 100_000;
    yield* register_shrinker(k, wound.s);
    yield* shrink_slab(k, GFP_KERNEL, DEF_PRIORITY);
    assertEquals(wound.scans.length, 3, "delta below a quarter: at most half of what there is");
    yield* unregister_shrinker(k, wound.s);

    const cheap = noting(() => 1000);
    cheap.s.seeks = 0;
    cheap.s.batch = 400;
    yield* register_shrinker(k, cheap.s);
    yield* shrink_slab(k, GFP_KERNEL, DEF_PRIORITY);
    assertEquals([cheap.scans, cheap.s.nr_deferred], [[400], 100]);
    yield* unregister_shrinker(k, cheap.s);
  });
});

Deno.test("do_shrink_slab() stops at SHRINK_STOP, skips SHRINK_EMPTY and reports a negative count", () => {
  const k = small();
  runCleanly(k, function* (k) {
    const stopping = noting(() => 1000, SHRINK_STOP);
    yield* register_shrinker(k, stopping.s);
    assertEquals(yield* shrink_slab(k, GFP_KERNEL, 0), 0);
    assertEquals([stopping.scans.length, stopping.s.nr_deferred], [1, 2000]);
    yield* unregister_shrinker(k, stopping.s);

    const empty = noting(() => SHRINK_EMPTY);
    yield* register_shrinker(k, empty.s);
    assertEquals([yield* shrink_slab(k, GFP_KERNEL, 0), empty.scans.length], [0, 0]);
    yield* unregister_shrinker(k, empty.s);

    const broken = noting(() => 300);
    broken.s.nr_deferred = -10_000;
    yield* register_shrinker(k, broken.s);
    yield* shrink_slab(k, GFP_KERNEL, 0);
    yield* unregister_shrinker(k, broken.s);
  });
  const lines = dmesg(k).filter((line) => line.startsWith("shrink_slab:"));
  assertEquals(lines.length, 1);
  assertStringIncludes(lines[0], "negative objects to delete nr=-9400");
});

Deno.test("register_shrinker() needs 8 bytes: without them -ENOMEM, and reclaim never calls it", () => {
  const k = small();
  runCleanly(k, function* (k) {
    const { s } = noting(() => 1);
    addFailRule(k, { what: "slab", cache: "kmalloc-8" });
    assertEquals(yield* register_shrinker(k, s), -ENOMEM);
    assertEquals(shrinkers(k).includes(s), false);
    assertEquals(yield* register_shrinker(k, s), 0);
    assertEquals(shrinkers(k).includes(s), true);
    yield* unregister_shrinker(k, s);
    assertEquals(shrinkers(k).includes(s), false);
  });
});

Deno.test("unregister_shrinker() waits for a scan that runs; shrink_slab() gives up while somebody waits", () => {
  const k = small();
  const order: string[] = [];
  runCleanly(k, function* (k) {
    const s = new shrinker(() => done(10), function* (k): MaySleep<number> {
      order.push("scan begins");
      yield* msleep(k, 20);
      order.push("scan ends");
      return 10;
    });
    const after = noting(() => 10);
    yield* register_shrinker(k, s);
    yield* register_shrinker(k, after.s);
    yield* kthread_run(k, function* (k) {
      yield* shrink_slab(k, GFP_KERNEL, 0);
    }, "reclaim");
    yield* schedule_timeout_uninterruptible(k, 2);
    yield* kthread_run(k, function* (k) {
      yield* schedule_timeout_uninterruptible(k, 1);
      order.push(`second ${yield* shrink_slab(k, GFP_KERNEL, 0)}`);
    }, "second");
    yield* unregister_shrinker(k, s);
    order.push("unregistered");
    assertEquals(after.scans, [], "the first round ended early for the writer");
    yield* unregister_shrinker(k, after.s);
  });
  assertEquals(order, ["scan begins", "second 0", "scan ends", "unregistered"]);
});

Deno.test("drop_caches 2 drains kvfree_rcu() at once, says so unless told not to, and refuses what it does not know", () => {
  const m = kvfreeMachine();
  const { k } = m;
  script(m, function* (k) {
    for (const p of yield* newObjects(k, 20)) yield* kvfree_rcu(k, p);
    assertEquals(yield* drop_caches_sysctl_handler(k, 2), 0);
    assertEquals([krc0(k).count, lengths(krc0(k).batches[0].slab)], [0, [20]]);
    assertEquals(krc0(k).batches[0].pending, true, "a grace period was asked for");
    for (const bad of [0, 5, 1.5]) assertEquals(yield* drop_caches_sysctl_handler(k, bad), -EINVAL);
    assertEquals(yield* drop_caches_sysctl_handler(k, 1), 0);
    assertEquals(yield* drop_caches_sysctl_handler(k, 4), 0);
    assertEquals(yield* drop_caches_sysctl_handler(k, 2), 0);
    yield* schedule_timeout_uninterruptible(k, 8);
    yield* m.rcu.pass(k);
  });
  const said = dmesg(k).filter((line) => line.includes("drop_caches"));
  assertEquals(said.map((line) => line.replace(/^test\/0 \(\d+\): /, "")), [
    "drop_caches: 2",
    "drop_caches: 1",
    "drop_caches: 4",
  ]);
  assertEquals(all_vm_events(k)[DROP_SLAB], 2);
});

/** A cache of pages' worth of slab objects that gives them back when asked: what makes progress. */
class PageCache {
  readonly objects: VirtAddr[] = [];
  readonly s: shrinker;

  constructor() {
    const { objects } = this;
    this.s = new shrinker(() => done(objects.length), function* (k, _shrink, sc): MaySleep<number> {
      let freed = 0;
      for (; freed < sc.nr_to_scan && objects.length > 0; freed++) {
        yield* kfree(k, objects.pop() as VirtAddr);
      }
      return freed;
    });
  }

  /** Fills it until `left` pages are free. */
  *fill(k: Kernel, left: number): MaySleep<void> {
    while (freePages(k) > left) this.objects.push(yield* kmalloc(k, 4096, GFP_KERNEL));
  }
}

Deno.test("direct reclaim counts what slabs gave back, and the request succeeds", () => {
  const k = small();
  const { kswapd_failures } = contig_page_data(k);
  assertEquals(kswapd_failures, 0);
  const since = k.seq;
  runCleanly(k, function* (k) {
    const cache = new PageCache();
    yield* register_shrinker(k, cache.s);
    contig_page_data(k).kswapd_failures = 16; // kswapd has given up: it is all for direct reclaim
    yield* cache.fill(k, normal(k)._watermark[0] + 40);
    const pages: VirtAddr[] = [];
    while (eventsOf(k, "mm_vmscan_direct_reclaim_end", since).length === 0) {
      const p = yield* kmalloc(k, 8192, GFP_KERNEL);
      assert(p !== NULL);
      pages.push(p);
    }
    assertEquals(current(k).reclaim_state, null);
    assertEquals(contig_page_data(k).kswapd_failures, 0, "progress gives kswapd another chance");
    for (const p of pages) yield* kfree(k, p);
    yield* unregister_shrinker(k, cache.s);
    for (const p of cache.objects) yield* kfree(k, p);
  });
  const [end] = eventsOf(k, "mm_vmscan_direct_reclaim_end", since);
  assert(arg(end, "nr_reclaimed") >= 32, `reclaimed ${arg(end, "nr_reclaimed")}`);
  assertEquals(all_vm_events(k)[ALLOCSTALL_NORMAL], 1);
  const starts = eventsOf(k, "mm_shrink_slab_start", since).filter((r) => r.seq < end.seq);
  const priorities = starts.map((r) => arg(r, "priority"));
  assertEquals(priorities, priorities.map((_, i) => 12 - i), "from 12 downwards");
});

Deno.test("kswapd is woken below the low watermark, reclaims to the high one and sleeps again", () => {
  const k = small();
  let since = 0;
  runCleanly(k, function* (k) {
    const cache = new PageCache();
    yield* register_shrinker(k, cache.s);
    const zone = normal(k);
    yield* cache.fill(k, zone._watermark[1] + 20);
    yield* msleep(k, 500); // Filling boosted the watermark, for which kswapd was woken.
    since = k.seq;
    const pages = yield* eat(k, zone._watermark[1] - 10);
    // Whoever asks below the low watermark wakes kswapd, and is served all the same.
    pages.push(yield* kmalloc(k, 65536, GFP_KERNEL));
    assert(pages.at(-1) !== NULL && eventsOf(k, "mm_vmscan_wakeup_kswapd", since).length > 0);
    yield* msleep(k, 500);
    assert(freePages(k) > high_wmark_pages(zone), `${freePages(k)} free`);
    assertEquals(eventsOf(k, "mm_vmscan_kswapd_sleep", since).length, 1);
    for (const p of pages) yield* kfree(k, p);
    yield* unregister_shrinker(k, cache.s);
    for (const p of cache.objects) yield* kfree(k, p);
  });
  assertEquals(eventsOf(k, "mm_vmscan_direct_reclaim_begin", since).length, 0);
  assert(all_vm_events(k)[PAGEOUTRUN] >= 1);
});

Deno.test("kswapd is hopeless after 16 runs without progress and is not woken any more", () => {
  const k = small();
  const pgdat = contig_page_data(k);
  runCleanly(k, function* (k) {
    const pages = yield* eat(k, normal(k)._watermark[0] + 4);
    for (let i = 0; i < 40; i++) {
      wakeup_kswapd(k, normal(k), GFP_KERNEL, 0, 0);
      yield* msleep(k, 4);
    }
    assertEquals(pgdat.kswapd_failures, 16);
    const runs = all_vm_events(k)[PAGEOUTRUN];
    const since = k.seq;
    wakeup_kswapd(k, normal(k), GFP_KERNEL, 0, 0);
    yield* msleep(k, 300);
    assertEquals([all_vm_events(k)[PAGEOUTRUN], eventsOf(k, "mm_vmscan_wakeup_kswapd", since).length], [
      runs,
      0,
    ]);
    for (const p of pages) yield* kfree(k, p);
  });
});

Deno.test("a boosted watermark wakes kswapd, and the boost goes at once", () => {
  const k = small();
  const zone = normal(k);
  runCleanly(k, function* (k) {
    yield* msleep(k, 300);
    const since = k.seq;
    wakeup_kswapd(k, zone, 0, 0, 0);
    assertEquals(eventsOf(k, "mm_vmscan_wakeup_kswapd", since).length, 0, "balanced and not boosted");
    zone.watermark_boost = 64;
    wakeup_kswapd(k, zone, 0, 0, 0);
    assertEquals([zone.watermark_boost, eventsOf(k, "mm_vmscan_wakeup_kswapd", since).length], [0, 1]);
    yield* msleep(k, 300);
    assertEquals(eventsOf(k, "mm_vmscan_kswapd_wake", since).length, 1);
    assertEquals(contig_page_data(k).kswapd_failures, 0);
  });
});

/** Runs `main` until the machine panics, and returns the kernel log. */
function untilPanic(k: Kernel, main: (k: Kernel) => MaySleep<void>): string[] {
  assertEquals(runToEnd(k, "hungry", main).ending, "panic");
  return dmesg(k);
}

for (const order of [0, 1]) {
  Deno.test(`with no task to kill, out of memory is a panic with the whole report in front [order=${order}]`, () => {
    const k = small();
    const lines = untilPanic(k, function* (k) {
      while ((yield* alloc_pages(k, GFP_KERNEL, order)) !== NULL_PAGE);
    });
    const at = lines.findIndex((line) => line.includes("invoked oom-killer"));
    assertEquals(
      lines.slice(at, at + 1 + order),
      [
        `hungry invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=${order}, oom_score_adj=0`,
        "COMPACTION is disabled!!!",
      ].slice(0, 1 + order),
    );
    assertStringIncludes(lines[at + 1 + order], "CPU: 0 PID: ");
    const expected = [
      "Mem-Info:",
      "Unreclaimable slab info:",
      "Tasks state (memory values in pages):",
      "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
      "Out of memory and no killable processes...",
      "Kernel panic - not syncing: System is deadlocked on memory",
    ].map((line) => lines.indexOf(line, at));
    assertEquals(expected.toSorted((a, b) => a - b), expected);
    assert(expected[0] > at, String(expected));
  });
}

Deno.test("a shrinker that only queues work makes no progress: kvfree_rcu() cannot save the machine", () => {
  const m = kvfreeMachine({ memBytes: 16 * MiB });
  const since = m.k.seq;
  const lines = untilPanic(m.k, function* (k) {
    for (;;) yield* kvfree_rcu(k, yield* kmalloc(k, 4096, GFP_KERNEL));
  });
  assertEquals(lines.at(-1)?.startsWith("---[ end Kernel panic"), true);
  const scans = eventsOf(m.k, "mm_shrink_slab_end", since);
  assert(scans.some((r) => arg(r, "retval") > 0), "the shrinker said that it freed");
  const ends = eventsOf(m.k, "mm_vmscan_direct_reclaim_end", since);
  assertEquals(ends.map((r) => arg(r, "nr_reclaimed")).filter((n) => n > 0), [], "it counts for nothing");
});

Deno.test("an OOM notifier that gives pages back is progress; GFP_NOFS kills nobody", () => {
  const k = small();
  runCleanly(k, function* (k) {
    const reserve: VirtAddr[] = [];
    for (let i = 0; i < 400; i++) reserve.push(yield* kmalloc(k, 8192, GFP_KERNEL));
    let asked = 0;
    register_oom_notifier(k, function* (k): MaySleep<number> {
      asked++;
      const given = reserve.splice(0, 100);
      for (const p of given) yield* kfree(k, p);
      return given.length;
    });
    const pages = [];
    while (asked < 3) pages.push(yield* alloc_pages(k, GFP_KERNEL, 0));
    assertEquals([asked, reserve.length], [3, 100]);
    for (const p of reserve.splice(0)) yield* kfree(k, p);

    // Nothing left to give: a request without __GFP_FS goes round until somebody else frees.
    const taken: VirtAddr[] = [];
    for (const p of pages) taken.push((p * 4096 + 0x8880_0000_0000) as VirtAddr);
    yield* kthread_run(k, function* (k) {
      yield* msleep(k, 100);
      for (const p of taken.splice(0)) yield* free_page(k, p);
    }, "giver");
    while (taken.length > 0) assert((yield* kmalloc(k, 8192, GFP_NOFS)) !== NULL);
  });
  assertEquals(all_vm_events(k)[OOM_KILL], 0);
});

/** Makes a user process of a thread: what programs do who play one. */
function becomeUser(p: task_struct, anon_rss: number, oom_score_adj = 0): void {
  p.flags &= ~PF_KTHREAD;
  p.oom_score_adj = oom_score_adj;
  p.mm = {
    total_vm: anon_rss * 2,
    anon_rss,
    file_rss: 10,
    shmem_rss: 0,
    swapents: 0,
    pgtables_bytes: 8192,
  };
}

Deno.test("the task with the most user memory is killed, may use the reserves and gives its memory back", () => {
  const k = small();
  const victims: string[] = [];
  let pid = 0;
  let over = false;
  runCleanly(k, function* (k) {
    for (const [comm, rss, adj] of [["small", 50, 0], ["large", 500, 0], ["spared", 900, -1000]] as const) {
      yield* kthread_run(k, function* (k) {
        const p = current(k);
        becomeUser(p, rss, adj);
        if (comm === "large") pid = p.pid;
        const pages: VirtAddr[] = [];
        for (let i = 0; i < rss / 2; i++) pages.push(yield* kmalloc(k, 8192, GFP_KERNEL));
        while (!tsk_is_oom_victim(p) && !over) yield* msleep(k, 4);
        if (tsk_is_oom_victim(p)) victims.push(comm);
        p.mm = null;
        for (const it of pages) yield* kfree(k, it);
      }, comm);
    }
    yield* msleep(k, 20);
    const before = freePages(k);
    const pages: VirtAddr[] = [];
    for (let i = 0; i < before / 2 + 150; i++) pages.push(yield* kmalloc(k, 8192, GFP_KERNEL));
    over = true;
    for (const p of pages) yield* kfree(k, p);
    yield* msleep(k, 20);
  }, 1);
  assertEquals(victims, ["large"]);
  assertEquals(all_vm_events(k)[OOM_KILL], 1);
  const lines = dmesg(k);
  const at = lines.findIndex((line) => line.startsWith("Tasks state"));
  const row = lines.slice(at).find((line) => line.endsWith(" large"));
  const number = String(pid).padStart(7);
  assertEquals(
    row,
    `[${number}]     0 ${number.slice(2)}     1000      510     8192        0             0 large`,
  );
  assert(lines.includes(`oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=large,pid=${pid},uid=0`));
  assert(lines.includes(
    `Out of memory: Killed process ${pid} (large) total-vm:4000kB, anon-rss:2000kB, file-rss:40kB, ` +
      "shmem-rss:0kB, UID:0 pgtables:8kB oom_score_adj:0",
  ));
});

Deno.test("oom_badness() is resident memory, page tables and swap, and the adjustment in thousandths", () => {
  const k = small();
  const [p] = [...tasklist(k)].filter((t) => t.pid === 2);
  assertEquals(oom_badness(p, 4000), 0, "a kernel thread");
  becomeUser(p, 300);
  assertEquals(oom_badness(p, 4000), 300 + 10 + 2);
  p.oom_score_adj = 100;
  assertEquals(oom_badness(p, 4000), 312 + 400);
  p.oom_score_adj = -500;
  assertEquals(oom_badness(p, 4000), 1, "never 0 for who may be killed");
  p.oom_score_adj = -1000;
  assertEquals(oom_badness(p, 4000), 0);
});

Deno.test("memalloc_noio_save() and memalloc_nofs_save() nest and take flags from the requests of their task", () => {
  const k = small();
  const masks: number[] = [];
  runCleanly(k, function* (k) {
    const note = (): number => masks.push(current_gfp_context(k, GFP_KERNEL));
    const outer = memalloc_nofs_save(k);
    note();
    const inner = memalloc_noio_save(k);
    const again = memalloc_noio_save(k);
    note();
    memalloc_noio_restore(k, again);
    note();
    memalloc_noio_restore(k, inner);
    note();
    memalloc_nofs_restore(k, outer);
    note();
  });
  assertEquals(masks, [GFP_NOFS, GFP_NOIO, GFP_NOIO, GFP_NOFS, GFP_KERNEL]);
});

Deno.test("the events of mm/vmscan.c read as in the kernel", () => {
  const k = small();
  runCleanly(k, function* (k) {
    const s = new shrinker(() => done(10), function* my_scan(_k, _s, sc): MaySleep<number> {
      yield* done(undefined);
      return sc.nr_to_scan;
    });
    yield* register_shrinker(k, s);
    yield* shrink_slab(k, GFP_KERNEL, 0);
    yield* unregister_shrinker(k, s);
  });
  const view = {
    text: (id: number): string => k.log.text(id),
    symbol: (addr: number): string => kallsyms_lookup(k, addr),
    comm: String,
    site: (): string => "",
  };
  const lines = ["mm_shrink_slab_start", "mm_shrink_slab_end"].map((name) => {
    const [record] = eventsOf(k, name);
    return traceEvent(record.kind)?.print(view, record).replace(/ffff[0-9a-f]{12}/, "SHRINKER");
  });
  assertEquals(lines, [
    "my_scan SHRINKER: nid: 0 objects to shrink 0 gfp_flags GFP_KERNEL cache items 10 delta 20 total_scan 20 priority 0",
    "my_scan SHRINKER: nid: 0 unused scan count 0 new scan count 0 total_scan 0 last shrinker return val 20",
  ]);
});
