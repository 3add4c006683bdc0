// SPDX-License-Identifier: GPL-2.0-only
/**
 * vmalloc: addresses, mappings, lazy freeing, failures, and a model of the address space.
 *
 * Where expected numbers come from: VMALLOC_START and the guard page give the addresses; four levels of 512 entries give
 * the table pages; lazy_max_pages() is fls(CPUs) x 8192 pages and a one-page area counts two, so the purge comes with
 * vfree number fls x 4096 + 1; texts are those of v5.7. The model is a sorted list of free ranges and first fit.
 */
import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import {
  addrAdd,
  formatAddr,
  NULL,
  PAGE_SIZE,
  pfnToVirt,
  VMALLOC_END,
  VMALLOC_START,
} from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import { addFailRule, clearFailRules } from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { SOFTIRQ_OFFSET } from "../../kernel/preempt.ts";
import { events } from "../../kernel/trace/events/vmalloc.ts";
import { structPageAddr } from "../../mm/debug.ts";
import { mem_map, NULL_PAGE, type page, page_to_phys, PAGE_USE_VMALLOC } from "../../mm/mm_types.ts";
import { nr_free_pages } from "../../mm/page_alloc.ts";
import { PAGE_KERNEL } from "../../mm/pgtable.ts";
import { kfree, kmalloc } from "../../mm/slub.ts";
import {
  __vmalloc,
  __vmalloc_node_range,
  alloc_vmap_area,
  areasOf,
  find_vm_area,
  free_unmap_vmap_area,
  free_vm_area,
  free_vmap_area,
  free_vmap_area_list,
  get_vm_area,
  is_vmalloc_addr,
  is_vmalloc_or_module_addr,
  map_kernel_range_noflush,
  NUMA_NO_NODE,
  purge_vmap_area_lazy,
  remove_vm_area,
  unmap_kernel_range,
  unmap_kernel_range_noflush,
  vfree,
  VM_MAP,
  vmalloc,
  vmalloc_node,
  vmalloc_nr_pages,
  vmalloc_to_page,
  vmalloc_to_pfn,
  vmallocAreaAt,
  vmallocinfo,
  vmallocLiveAreas,
  vmallocOwnAddresses,
  vmap,
  vmap_area,
  vmap_lazy_nr,
  vunmap,
  vzalloc,
  vzalloc_node,
} from "../../mm/vmalloc.ts";
import { checkVmalloc } from "../../mm/vmalloc_check.ts";
import { dmesg, run } from "../helpers.ts";
import { mmKernel, pageBytes, strayObjects, tablePages } from "./vmalloc_kernel.ts";

/** Accesses that were found wrong, in place of reports. */
function badAccesses(k: Kernel): string[] {
  const found: string[] = [];
  k.ram.onBadAccess = (addr, size, write, phys) => {
    found.push(`${write ? "write" : "read"} ${size} at ${formatAddr(addr)}${phys < 0 ? " unmapped" : ""}`);
  };
  return found;
}

function ranges(k: Kernel): string[] {
  return [...areasOf(free_vmap_area_list(k))].map((va) =>
    `${formatAddr(va.va_start)}-${formatAddr(va.va_end)}`
  );
}

Deno.test("vmalloc() hands out climbing addresses with a guard page between them", () => {
  const k = mmKernel();
  const addrs = [0, 1, 2].map(() => formatAddr(run(vmalloc(k, PAGE_SIZE))));
  assertEquals(addrs, ["ffffc90000000000", "ffffc90000002000", "ffffc90000004000"]);
  assertEquals(formatAddr(run(vmalloc(k, pageBytes(3)))), "ffffc90000006000");
  assertEquals(formatAddr(run(vmalloc(k, 1))), "ffffc9000000a000");
  assertEquals(vmalloc_nr_pages(k), 7);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("vmalloc() costs three table pages first, then one for each 2 MiB, and they stay", () => {
  const k = mmKernel();
  assertEquals(tablePages(k), 0);
  const first = run(vmalloc(k, PAGE_SIZE));
  assertEquals(tablePages(k), 3);
  const second = run(vmalloc(k, PAGE_SIZE));
  assertEquals(tablePages(k), 3);
  const large = run(vmalloc(k, pageBytes(512))); // ends behind the first 2 MiB
  assertEquals(tablePages(k), 4);
  for (const addr of [first, second, large]) run(vfree(k, addr));
  assertEquals(tablePages(k), 4);
  assertEquals(strayObjects(k), []);
});

Deno.test("vmalloc() maps pages of its own, and both addresses show the same bytes", () => {
  const k = mmKernel();
  const bad = badAccesses(k);
  const addr = run(vmalloc(k, pageBytes(3)));
  const pages = new Set<page>();
  for (let i = 0; i < 3; i++) {
    const at = addrAdd(addr, pageBytes(i) + 8);
    const page = vmalloc_to_page(k, at);
    assertNotEquals(page, NULL_PAGE);
    assertEquals(mem_map(k).use[page], PAGE_USE_VMALLOC);
    pages.add(page);
    k.ram.storePtr(at, 0x1234_5678 + i);
    assertEquals(k.ram.loadPtr(addrAdd(pfnToVirt(page), 8)), 0x1234_5678 + i);
  }
  assertEquals(pages.size, 3);
  assertEquals(bad, []);
});

Deno.test("vzalloc() returns zeroed memory even where somebody wrote before", () => {
  const k = mmKernel();
  const addr = run(vmalloc(k, pageBytes(4)));
  for (let i = 0; i < 4 * 512; i++) k.ram.storePtr(addrAdd(addr, i * 8), -1 >>> 0);
  run(vfree(k, addr));
  const zeroed = run(vzalloc(k, pageBytes(4)));
  for (let i = 0; i < 4 * 512; i++) assertEquals(k.ram.loadPtr(addrAdd(zeroed, i * 8)), NULL);
});

Deno.test("vmalloc() leaves the guard page unmapped and the bytes behind the request invalid", () => {
  const k = mmKernel();
  const bad = badAccesses(k);
  const addr = run(vmalloc(k, PAGE_SIZE + 13));
  k.ram.store8(addrAdd(addr, PAGE_SIZE + 12), 1);
  assertEquals(bad, []);
  k.ram.store8(addrAdd(addr, PAGE_SIZE + 13), 1);
  k.ram.load8(addrAdd(addr, 2 * PAGE_SIZE - 1));
  k.ram.load8(addrAdd(addr, 2 * PAGE_SIZE));
  assertEquals(bad, [
    "write 1 at ffffc9000000100d",
    "read 1 at ffffc90000001fff",
    "read 1 at ffffc90000002000 unmapped",
  ]);
});

Deno.test("vfree() gives the pages back at once, and an access afterwards faults", () => {
  const k = mmKernel();
  run(vfree(k, run(vmalloc(k, PAGE_SIZE)))); // table pages are there now
  const free = nr_free_pages(k);
  const addr = run(vmalloc(k, pageBytes(10)));
  k.ram.store8(addr, 1);
  run(vfree(k, addr));
  const bad = badAccesses(k);
  k.ram.load8(addr);
  k.ram.store8(addrAdd(addr, pageBytes(9)), 1);
  assertEquals(bad, ["read 1 at ffffc90000002000 unmapped", "write 1 at ffffc9000000b000 unmapped"]);
  assertEquals(vmalloc_to_page(k, addr), NULL_PAGE);
  assertEquals(vmalloc_nr_pages(k), 0);
  assert(Math.abs(nr_free_pages(k) - free) < 20, "at most what the per-CPU lists hold is missing");
  assertEquals(checkVmalloc(k), []);
});

for (
  const { cpus, frees } of [{ cpus: 1, frees: 4097 }, { cpus: 2, frees: 8193 }, { cpus: 4, frees: 12289 }]
) {
  Deno.test(`vfree() number ${frees} purges, and addresses start over [cpus=${cpus}]`, () => {
    const k = mmKernel({ cpus });
    k.log.recording = false;
    const before = ranges(k);
    for (let i = 1; i < frees; i++) {
      const addr = run(vmalloc(k, PAGE_SIZE));
      assertEquals(addr, VMALLOC_START + (i - 1) * 2 * PAGE_SIZE);
      run(vfree(k, addr));
      if (vmap_lazy_nr(k) !== 2 * i) throw new Error(`purged after ${i}`);
    }
    run(vfree(k, run(vmalloc(k, PAGE_SIZE))));
    assertEquals(vmap_lazy_nr(k), 0);
    assertEquals(ranges(k), before);
    assertEquals(run(vmalloc(k, PAGE_SIZE)), VMALLOC_START);
    assertEquals(checkVmalloc(k), []);
  });
}

Deno.test("purge_vmap_area_lazy() merges everything back into one range", () => {
  const k = mmKernel();
  const whole = ranges(k);
  const addrs = Array.from({ length: 40 }, (_, i) => run(vmalloc(k, pageBytes(1 + i % 5))));
  for (const i of [3, 4, 5, 30, 28, 29, 0, 39]) run(vfree(k, addrs[i]));
  run(purge_vmap_area_lazy(k));
  assertEquals(checkVmalloc(k), []);
  assertEquals(ranges(k).length, 4); // what is below with [0], [3-5], [28-30], and the rest with [39]
  for (const [i, addr] of addrs.entries()) if (![3, 4, 5, 30, 28, 29, 0, 39].includes(i)) run(vfree(k, addr));
  run(purge_vmap_area_lazy(k));
  assertEquals(ranges(k), whole);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("vfree() of NULL does nothing; bad and unknown addresses are warned about", () => {
  const k = mmKernel();
  run(vfree(k, NULL));
  assertEquals(k.reports, []);
  const addr = run(vmalloc(k, pageBytes(2)));
  run(vfree(k, addrAdd(addr, 8)));
  run(vfree(k, addrAdd(VMALLOC_START, pageBytes(1000))));
  assertEquals(k.reports.map((it) => it.lines[1]), [
    "Trying to vfree() bad address (ffffc90000000008)",
    "Trying to vfree() nonexistent vm area (ffffc900003e8000)",
  ]);
  run(vfree(k, addr));
  run(vfree(k, addr));
  assertEquals(k.reports[2].lines[1], "Trying to vfree() nonexistent vm area (ffffc90000000000)");
  assertEquals(checkVmalloc(k), []);
});

Deno.test("vfree() under a spinlock is reported in the kernel's words and carried out", () => {
  const k = mmKernel();
  const addr = run(vmalloc(k, PAGE_SIZE));
  k.cpu.preempt_count = 1;
  run(vfree(k, addr));
  k.cpu.preempt_count = 0;
  assertMatch(k.reports[0].title, /^BUG: sleeping function called from invalid context at /);
  assertEquals(
    k.reports[0].lines[1],
    "in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 100, name: test/0",
  );
  assertEquals(vmalloc_nr_pages(k), 0);
});

Deno.test("vfree() of NULL under a spinlock is reported too, in softirq it is not", () => {
  for (const { count, reports } of [{ count: 1, reports: 1 }, { count: SOFTIRQ_OFFSET, reports: 0 }]) {
    const k = mmKernel();
    k.cpu.preempt_count = count;
    run(vfree(k, NULL));
    k.cpu.preempt_count = 0;
    assertEquals(k.reports.length, reports);
  }
});

Deno.test("vmalloc() in an interrupt is a BUG", () => {
  const k = mmKernel();
  k.cpu.preempt_count = SOFTIRQ_OFFSET;
  assertThrows(() => run(vmalloc(k, PAGE_SIZE)));
  k.cpu.preempt_count = 0;
  assertMatch(k.reports[k.reports.length - 1].title, /^kernel BUG at /);
});

Deno.test("vmalloc() of nothing, and of more than there is, fails with a warning", () => {
  for (const size of [0, 2 ** 40]) {
    const k = mmKernel();
    assertEquals(run(vmalloc(k, size)), NULL);
    const text = `vmalloc: allocation failure: ${size} bytes`;
    assertEquals(dmesg(k).filter((line) => line.includes(text)).length, 1);
  }
});

Deno.test("vmalloc() survives the failure of each single allocation it makes", () => {
  // 600 pages: the page array is a vmalloc area too, so every kind of allocation is among them.
  const SIZE = pageBytes(600);
  for (const what of ["slab", "page"] as const) {
    for (let nth = 1;; nth = nth < 12 ? nth + 1 : nth + 150) {
      const k = mmKernel();
      k.log.recording = false;
      assert(nth < 1500, `${what}: it fails for ever`);
      const id = addFailRule(k, { what, nth });
      const addr = run(vmalloc(k, SIZE));
      clearFailRules(k, id);
      assertEquals(checkVmalloc(k), [], `${what} ${nth}`);
      assertEquals(strayObjects(k), [], `${what} ${nth}`);
      if (addr !== NULL && nth > 12) break;
      if (addr !== NULL) {
        run(vfree(k, addr));
      } else {
        assertEquals([...vmallocLiveAreas(k)], [], `${what} ${nth}`);
        assertEquals(vmalloc_nr_pages(k), 0, `${what} ${nth}`);
      }
    }
  }
});

Deno.test("vmalloc() says how far it got when pages run out", () => {
  const k = mmKernel();
  run(vfree(k, run(vmalloc(k, PAGE_SIZE)))); // tables, slabs and the spare area are there now
  addFailRule(k, { what: "page", nth: 4 });
  assertEquals(run(vmalloc(k, pageBytes(5))), NULL);
  const text = "vmalloc: allocation failure, allocated 12288 of 24576 bytes"; // the area counts its guard page
  assertEquals(dmesg(k).filter((line) => line.includes(text)).length, 1);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("vmalloc() of more than 512 pages keeps its page array in vmalloc memory, which is nobody's leak", () => {
  const k = mmKernel();
  const addr = run(vmalloc(k, pageBytes(513)));
  assertEquals([...vmallocLiveAreas(k)].map((it) => [it.addr, it.size]), [[addr, pageBytes(513)]]);
  const array = [...vmallocOwnAddresses(k)].filter((it) => is_vmalloc_addr(k, it));
  assertEquals(array.map(formatAddr), ["ffffc90000202000"]);
  // The array holds struct page pointers: 64 bytes each from VMEMMAP_START on.
  const page = vmalloc_to_page(k, addrAdd(addr, pageBytes(512)));
  assertEquals(k.ram.loadPtr(addrAdd(array[0], 512 * 8)), structPageAddr(page));
  assertEquals(vmallocinfo(k).split("\n"), [
    "0xffffc90000000000-0xffffc90000202000 2105344 pages=513 vmalloc vpages",
    "0xffffc90000202000-0xffffc90000205000   12288 pages=2 vmalloc",
    "",
  ]);
  run(vfree(k, addr));
  assertEquals(vmalloc_nr_pages(k), 0);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("vmallocinfo() shows lazily freed areas, newest first, behind the last area", () => {
  const k = mmKernel();
  const [a, b, c] = [1, 2, 3].map((n) => run(vmalloc(k, pageBytes(n))));
  run(vfree(k, a));
  run(vfree(k, c));
  assertEquals(vmallocinfo(k).split("\n"), [
    "0xffffc90000002000-0xffffc90000005000   12288 pages=2 vmalloc",
    "0xffffc90000005000-0xffffc90000009000   16384 unpurged vm_area",
    "0xffffc90000000000-0xffffc90000002000    8192 unpurged vm_area",
    "",
  ]);
  run(vfree(k, b));
  assertEquals(vmallocinfo(k), ""); // as in 5.7: without a busy area nobody prints them
});

Deno.test("vmalloc() remembers its caller only while call sites are captured", () => {
  const k = mmKernel();
  run(vmalloc(k, PAGE_SIZE));
  const digest = k.digest();
  k.captureSite = (kind) => kind === 0 ? 1 : 0;
  k.siteName = (site) => site === 1 ? "some_driver" : "";
  run(vmalloc(k, PAGE_SIZE));
  const lines = vmallocinfo(k).split("\n");
  assertEquals(lines[0], "0xffffc90000000000-0xffffc90000002000    8192 pages=1 vmalloc");
  assertEquals(lines[1], "0xffffc90000002000-0xffffc90000004000    8192 some_driver pages=1 vmalloc");
  const other = mmKernel();
  run(vmalloc(other, PAGE_SIZE));
  assertEquals(other.digest(), digest);
});

Deno.test("find_vm_area() and vmallocAreaAt() find an area by any address in it", () => {
  const k = mmKernel();
  const addr = run(vmalloc(k, PAGE_SIZE + 1));
  const area = run(find_vm_area(k, addrAdd(addr, 5000)));
  assertEquals([area?.addr, area?.size, area?.requested], [addr, pageBytes(3), PAGE_SIZE + 1]);
  assertEquals(vmallocAreaAt(k, addrAdd(addr, pageBytes(3) - 1)), area);
  assertEquals(vmallocAreaAt(k, addrAdd(addr, pageBytes(3))), null);
  assertEquals(run(find_vm_area(k, addrAdd(addr, pageBytes(3)))), null);
});

Deno.test("is_vmalloc_addr() is a test of the range alone", () => {
  const k = mmKernel();
  const cases: [VirtAddr, boolean][] = [
    [VMALLOC_START, true],
    [addrAdd(VMALLOC_START, -1), false],
    [addrAdd(VMALLOC_END, -1), true],
    [VMALLOC_END, false],
    [pfnToVirt(5), false],
  ];
  for (const [addr, expected] of cases) assertEquals(is_vmalloc_addr(k, addr), expected, formatAddr(addr));
});

Deno.test("get_vm_area() reserves addresses only; free_vm_area() gives them back", () => {
  const k = mmKernel();
  const area = run(get_vm_area(k, pageBytes(2), VM_MAP));
  assert(area !== null);
  assertEquals([formatAddr(area.addr), area.size, area.nr_pages], ["ffffc90000000000", pageBytes(3), 0]);
  assertEquals(vmalloc_to_page(k, area.addr), NULL_PAGE);
  run(free_vm_area(k, area));
  assertEquals(run(remove_vm_area(k, area.addr)), null);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("vmap() maps given pages a second time; vunmap() leaves them alone", () => {
  const k = mmKernel();
  const bad = badAccesses(k);
  const addr = run(vmalloc(k, pageBytes(2)));
  const array = run(kmalloc(k, 16, GFP_KERNEL));
  const pages = [1, 0].map((i) => vmalloc_to_page(k, addrAdd(addr, pageBytes(i))));
  pages.forEach((page, i) => k.ram.storePtr(addrAdd(array, i * 8), structPageAddr(page)));
  const alias = run(vmap(k, array, 2, VM_MAP, PAGE_KERNEL));
  k.ram.storePtr(alias, 4711); // the second page
  assertEquals(k.ram.loadPtr(addrAdd(addr, PAGE_SIZE)), 4711);
  assertEquals(vmallocinfo(k).split("\n")[1], "0xffffc90000003000-0xffffc90000006000   12288 vmap");
  assertEquals(checkVmalloc(k), []);
  run(vunmap(k, alias));
  assertEquals(vmalloc_to_page(k, alias), NULL_PAGE);
  assertEquals(k.ram.loadPtr(addrAdd(addr, PAGE_SIZE)), 4711);
  assertEquals([vmalloc_nr_pages(k), bad], [2, []]);
  run(kfree(k, array));
});

Deno.test("vmap() warns about a NULL page and gives up cleanly", () => {
  const k = mmKernel();
  const addr = run(vmalloc(k, PAGE_SIZE));
  const array = run(kmalloc(k, 16, GFP_KERNEL));
  k.ram.storePtr(array, structPageAddr(vmalloc_to_page(k, addr)));
  k.ram.storePtr(addrAdd(array, 8), NULL);
  assertEquals(run(vmap(k, array, 2, VM_MAP, PAGE_KERNEL)), NULL);
  assertMatch(k.reports[0].title, /^WARNING: /);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("__vmalloc_node_range() aligns as asked up to 2^45 and fails from 2^46 on", () => {
  // No multiple of 2^46 lies in the vmalloc range (lib/test_vmalloc.c, align_shift_alloc_test).
  const k = mmKernel();
  for (let shift = 0; shift < 64; shift++) {
    const addr = run(
      __vmalloc_node_range(
        k,
        PAGE_SIZE,
        2 ** shift,
        VMALLOC_START,
        VMALLOC_END,
        GFP_KERNEL,
        PAGE_KERNEL,
        0,
        NUMA_NO_NODE,
        0,
      ),
    );
    assertEquals(addr !== NULL, shift < 46, `2^${shift}`);
    assertEquals(addr % 2 ** shift, 0);
    run(vfree(k, addr));
  }
  assertEquals(checkVmalloc(k), []);
});

Deno.test("alloc_vmap_area() purges when it finds nothing, tries again, and then says so", () => {
  const k = mmKernel();
  const end = VMALLOC_START + pageBytes(8);
  function take(pages: number): vmap_area | number {
    return run(alloc_vmap_area(k, pageBytes(pages), 1, VMALLOC_START, end, NUMA_NO_NODE, GFP_KERNEL));
  }
  const first = take(4);
  assert(typeof first !== "number" && typeof take(4) !== "number");
  run(free_unmap_vmap_area(k, first));
  assertEquals(vmap_lazy_nr(k), 4);
  const again = take(3);
  assert(typeof again !== "number");
  assertEquals([again.va_start, vmap_lazy_nr(k)], [VMALLOC_START, 0]);
  assertEquals(take(2), -16);
  assertEquals(strayObjects(k), []);
  assertEquals(
    dmesg(k).filter((line) => line.startsWith("vmap allocation")),
    ["vmap allocation for size 8192 failed: use vmalloc=<size> to increase size"],
  );
});

Deno.test("vmalloc events tell the life of an address in order", () => {
  const k = mmKernel();
  const since = k.seq + 1;
  const addr = run(vmalloc(k, 100));
  const born = k.seq;
  assertEquals([...vmallocLiveAreas(k)][0].birth, born);
  run(vfree(k, addr));
  run(purge_vmap_area_lazy(k));
  const view = { text: () => "", symbol: () => "", comm: () => "", site: () => "probe" };
  const lines: string[] = [];
  for (const record of k.log.records(since)) {
    const event = events.find((it) => it.id === record.kind);
    if (event !== undefined) lines.push(`${event.name}: ${event.print(view, record)}`);
  }
  assertEquals(lines, [
    "alloc_vmap_area: va_start: 18446683600570023936 size=8192 align=1 vstart=0xffffc90000000000 " +
    "vend=0xffffe8ffffffffff failed=0",
    "vmalloc: call_site=probe ptr=ffffc90000000000 bytes_req=100 bytes_alloc=4096 gfp_flags=GFP_KERNEL",
    "vfree: call_site=probe ptr=ffffc90000000000 deferred=0",
    "free_vmap_area_noflush: va_start=0xffffc90000000000 nr_lazy=2 nr_lazy_max=8192",
    "purge_vmap_area_lazy: start=0xffffc90000000000 end=0xffffc90000002000 num_purged=1",
  ]);
});

Deno.test("checkVmalloc() notices a wrong page table entry, counter and summary", () => {
  const k = mmKernel();
  const addr = run(vmalloc(k, pageBytes(2)));
  assertEquals(checkVmalloc(k), []);
  const phys = page_to_phys(vmalloc_to_page(k, addr));
  const first = [...areasOf(free_vmap_area_list(k))][0];
  first.subtree_max_size += PAGE_SIZE;
  vmap_lazy_nr.set(k, 5);
  run(kfree(k, NULL));
  const area = vmallocAreaAt(k, addr);
  assert(area !== null && phys !== 0);
  k.ram.storePtr(area.pages, structPageAddr(vmalloc_to_page(k, addrAdd(addr, PAGE_SIZE))));
  assertEquals(checkVmalloc(k).length, 3);
});

Deno.test("alloc_vmap_area() gives its spare object back when the CPU has got one meanwhile", () => {
  const k = mmKernel();
  function take(): MaySleep<vmap_area | number> {
    return alloc_vmap_area(k, PAGE_SIZE, 1, VMALLOC_START, VMALLOC_END, NUMA_NO_NODE, GFP_KERNEL);
  }
  run(take()); // splits the whole space in two: the spare object is used up
  const slow = take();
  slow.next();
  slow.next(); // has its own object, is about to allocate the spare one
  run(take());
  run(slow);
  assertEquals(strayObjects(k), []);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("vmalloc_node(), vzalloc_node() and __vmalloc() do what vmalloc() does; the second clears", () => {
  const k = mmKernel();
  const bad = badAccesses(k);
  const dirty = run(vmalloc_node(k, PAGE_SIZE, 0));
  k.ram.storeLong(dirty, 0x5a5a);
  const page = vmalloc_to_page(k, dirty);
  run(vfree(k, dirty));
  run(purge_vmap_area_lazy(k));
  const clean = run(vzalloc_node(k, PAGE_SIZE, 0));
  assertEquals(vmalloc_to_page(k, clean), page, "the same page");
  assertEquals(k.ram.loadLong(clean), 0);
  const third = run(__vmalloc(k, PAGE_SIZE, GFP_KERNEL, PAGE_KERNEL));
  assert(is_vmalloc_addr(k, third));
  assertEquals([vmalloc_nr_pages(k), bad], [2, []]);
});

Deno.test("vmalloc_to_pfn() is the number of the page; addresses of modules are none of their own", () => {
  const k = mmKernel();
  const addr = run(vmalloc(k, PAGE_SIZE));
  const pfn = vmalloc_to_pfn(k, addr);
  k.ram.storeLong(addr, 77);
  assertEquals(k.ram.loadLong(pfnToVirt(pfn)), 77);
  for (const at of [VMALLOC_START, addr, VMALLOC_END, pfnToVirt(pfn)]) {
    assertEquals(is_vmalloc_or_module_addr(k, at), is_vmalloc_addr(k, at));
  }
});

Deno.test("map_kernel_range_noflush() maps pages at reserved addresses; unmap_kernel_range() takes them away", () => {
  const k = mmKernel();
  const source = run(vmalloc(k, pageBytes(2)));
  const pages = vmallocAreaAt(k, source)?.pages;
  const area = run(get_vm_area(k, pageBytes(2), VM_MAP));
  assert(pages !== undefined && area !== null);
  for (const unmap of [unmap_kernel_range, unmap_kernel_range_noflush]) {
    assertEquals(run(map_kernel_range_noflush(k, area.addr, pageBytes(2), PAGE_KERNEL, pages)), 2);
    for (const offset of [0, PAGE_SIZE]) {
      assertEquals(
        vmalloc_to_page(k, addrAdd(area.addr, offset)),
        vmalloc_to_page(k, addrAdd(source, offset)),
      );
    }
    unmap(k, area.addr, pageBytes(2));
    assertEquals(vmalloc_to_page(k, area.addr), NULL_PAGE);
  }
});

Deno.test("free_vmap_area() gives a range back at once, merged with its neighbours", () => {
  const k = mmKernel();
  const before = ranges(k);
  const va = run(alloc_vmap_area(k, PAGE_SIZE, 1, VMALLOC_START, VMALLOC_END, NUMA_NO_NODE, GFP_KERNEL));
  assert(typeof va !== "number");
  assertNotEquals(ranges(k), before);
  run(free_vmap_area(k, va));
  assertEquals([ranges(k), vmap_lazy_nr(k)], [before, 0]);
  assertEquals(checkVmalloc(k), []);
});
