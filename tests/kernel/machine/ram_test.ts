// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/machine/ram.ts and struct.ts. */
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { PAGE_OFFSET, VMALLOC_START } from "../../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { StateHash } from "../../../kernel/machine/hash.ts";
import { Ram, SHADOW_KMALLOC_FREE } from "../../../kernel/machine/ram.ts";
import {
  array,
  container_of,
  embed,
  int,
  ptr,
  struct,
  u16,
  u8,
  ulong,
} from "../../../kernel/machine/struct.ts";

function ramWithLog(): { ram: Ram; bad: string[] } {
  const ram = new Ram(1 << 20, new StateHash());
  const bad: string[] = [];
  ram.onBadAccess = (addr, size, write, phys) => {
    bad.push(`${write ? "w" : "r"}${size}@${phys < 0 ? "none" : phys}:${addr - PAGE_OFFSET}`);
  };
  return { ram, bad };
}

function at(offset: number): VirtAddr {
  return (PAGE_OFFSET + offset) as VirtAddr;
}

Deno.test("Ram stores pointers sign-extended and gives them back", () => {
  const { ram, bad } = ramWithLog();
  ram.unpoison(0, 64);
  ram.storePtr(at(8), VMALLOC_START + 0x2001);
  assertEquals(ram.loadPtr(at(8)) as number, VMALLOC_START + 0x2001);
  assertEquals([...ram.bytes.subarray(8, 16)], [0x01, 0x20, 0, 0, 0x00, 0xc9, 0xff, 0xff]);
  ram.storeLong(at(16), -1200);
  assertEquals(ram.loadLong(at(16)), -1200);
  assertEquals([...ram.bytes.subarray(20, 24)], [255, 255, 255, 255]);
  assertEquals(bad, []);
});

Deno.test("Ram reports accesses that the shadow forbids, to the byte", () => {
  const { ram, bad } = ramWithLog();
  ram.unpoison(0, 13);
  ram.load8(at(12));
  ram.load8(at(13));
  ram.loadPtr(at(8));
  ram.store32(at(8), 1);
  ram.poison(0, 16, SHADOW_KMALLOC_FREE);
  ram.store8(at(0), 1);
  assertEquals(bad, ["r1@13:13", "r8@8:8", "w1@0:0"]);
});

Deno.test("Ram.unpoison() and poison() are exact for every size and start", () => {
  for (const start of [0, 8, 24, 4088]) {
    for (const size of [1, 7, 8, 9, 31, 32, 33, 64, 100, 511, 512, 513, 4096]) {
      const { ram } = ramWithLog();
      ram.unpoison(start, size);
      for (const i of [0, size >> 1, size - 1]) {
        assertEquals(ram.isValid(start + i, 1), true, `${start}+${i} of ${size}`);
      }
      assertEquals(ram.isValid(start + size, 1), false);
      if (start > 0) assertEquals(ram.isValid(start - 1, 1), false);
    }
  }
});

Deno.test("Ram walks page tables in RAM, caches, and forgets on flush", () => {
  const { ram } = ramWithLog();
  const index = [(VMALLOC_START / 2 ** 39) % 512, 0, 0, 3].map(Math.floor);
  const tables = [0x10000, 0x11000, 0x12000, 0x13000];
  ram.pgd = tables[0];
  const targets = [tables[1], tables[2], tables[3], 0x20000];
  tables.forEach((table, level) => ram.rawStorePtr(table + index[level] * 8, targets[level] + 0x63));
  const addr = VMALLOC_START + 3 * 4096 + 5;
  assertEquals(ram.translate(addr), 0x20005);
  ram.rawStorePtr(tables[3] + 3 * 8, 0);
  assertEquals(ram.translate(addr), 0x20005, "still in the TLB");
  ram.flushTlbRange(VMALLOC_START + 3 * 4096, VMALLOC_START + 4 * 4096);
  assertEquals(ram.translate(addr), -1);
  assertEquals(ram.translate(PAGE_OFFSET + (1 << 20)), -1, "beyond RAM");
  assertEquals(ram.translate(0x1000), -1, "user space");
});

Deno.test("Ram.reset() leaves no byte and no shadow of the last run", () => {
  const { ram } = ramWithLog();
  ram.unpoison(4096, 8192);
  ram.rawFill(4096, 8192, 0x5a);
  ram.reset();
  assertEquals(ram.bytes.indexOf(0x5a), -1);
  assertEquals(ram.isValid(4096, 1), false);
  assertEquals([...ram.touchedPages()], []);
});

Deno.test("Ram folds every store into the state hash", () => {
  const one = new StateHash();
  const two = new StateHash();
  const a = new Ram(1 << 20, one);
  const b = new Ram(1 << 20, two);
  for (const ram of [a, b]) ram.unpoison(0, 64);
  a.storePtr(at(0), 5);
  b.storePtr(at(0), 5);
  assertEquals(one.text(), two.text());
  b.store8(at(9), 1);
  assertNotEquals(one.text(), two.text());
});

Deno.test("struct() lays out fields by C's rules", () => {
  const head = struct("head", { next: ptr, func: ulong });
  const s = struct("s", { a: u8, b: u16, c: u8, d: int, h: embed(head), e: u8 });
  assertEquals([head.size, head.align], [16, 8]);
  assertEquals(["a", "b", "c", "d", "h", "e"].map((f) => s.offsetof(f as "a")), [0, 2, 4, 8, 16, 32]);
  assertEquals(s.size, 40);
  assertEquals(struct("flex", { n: ulong, records: array(ptr, 0) }).size, 8);
});

Deno.test("struct() views read and write the bytes; container_of() finds the outer struct", () => {
  const { ram } = ramWithLog();
  ram.unpoison(0, 256);
  const k = { ram };
  const head = struct("head", { next: ptr, func: ulong });
  const outer = struct("outer", { id: int, rcu: embed(head), items: array(int, 4) });
  const v = outer.at(k, at(64));
  v.id = -5;
  v.rcu.next = at(8);
  v.items.set(3, 7);
  assertEquals([v.id, v.rcu.next as number, v.items.get(3)], [-5, at(8) as number, 7]);
  assertEquals(ram.loadPtr(at(64 + 8)) as number, at(8) as number);
  assertEquals(outer.f.id.get(k, at(64)), -5);
  assertEquals(container_of(v.rcu.addr, outer, "rcu") as number, at(64) as number);
  assertThrows(() => outer.at(k, at(64)).items = v.items, TypeError);
});
