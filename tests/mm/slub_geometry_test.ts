// SPDX-License-Identifier: GPL-2.0-only
/**
 * The geometry of slub: orders, sizes and limits of caches against tables of a real kernel.
 *
 * Where an expected number is not from a table it follows from the rule named beside it.
 */
import { assert, assertEquals } from "@std/assert";
import { PAGE_SIZE } from "../../kernel/machine/addr.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  kmem_cache,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TYPESAFE_BY_RCU,
} from "../../mm/slab.ts";
import { calculate_alignment } from "../../mm/slab_common.ts";
import { calculate_order, calculate_sizes, oo_objects, oo_order } from "../../mm/slub.ts";
import { bareKernel } from "../helpers.ts";
import { kmallocCache, slabKernel } from "./slab_kernel.ts";

const SIZES = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192];

/** order / objects by number of CPUs: the algorithm run by hand for each size; 1 and 4 CPUs were read from a real kernel. */
const GEOMETRY: readonly (readonly [number, readonly string[]])[] = [
  [1, ["0/512", "0/256", "0/128", "0/64", "0/42", "0/32", "0/21", "0/16", "0/8", "1/8", "2/8", "3/8", "3/4"]],
  [2, [
    "0/512",
    "0/256",
    "0/128",
    "0/64",
    "0/42",
    "0/32",
    "0/21",
    "0/16",
    "1/16",
    "2/16",
    "3/16",
    "3/8",
    "3/4",
  ]],
  [4, [
    "0/512",
    "0/256",
    "0/128",
    "0/64",
    "0/42",
    "0/32",
    "0/21",
    "0/16",
    "1/16",
    "2/16",
    "3/16",
    "3/8",
    "3/4",
  ]],
  [8, [
    "0/512",
    "0/256",
    "0/128",
    "0/64",
    "0/42",
    "0/32",
    "0/21",
    "1/32",
    "2/32",
    "3/32",
    "3/16",
    "3/8",
    "3/4",
  ]],
  [16, [
    "0/512",
    "0/256",
    "0/128",
    "0/64",
    "0/42",
    "0/32",
    "1/42",
    "1/32",
    "2/32",
    "3/32",
    "3/16",
    "3/8",
    "3/4",
  ]],
  [64, [
    "0/512",
    "0/256",
    "0/128",
    "0/64",
    "0/42",
    "0/32",
    "1/42",
    "1/32",
    "2/32",
    "3/32",
    "3/16",
    "3/8",
    "3/4",
  ]],
  [256, [
    "0/512",
    "0/256",
    "0/128",
    "0/64",
    "0/42",
    "1/64",
    "1/42",
    "2/64",
    "3/64",
    "3/32",
    "3/16",
    "3/8",
    "3/4",
  ]],
];

for (const [cpus, expected] of GEOMETRY) {
  Deno.test(`calculate_order() gives the orders of the kernel's kmalloc caches cpus=${cpus}`, () => {
    const k = bareKernel({ cpus, memBytes: 32 * 2 ** 20 }, []);
    const found = SIZES.map((size) => {
      const order = calculate_order(k, size);
      return `${order}/${Math.floor((PAGE_SIZE << order) / size)}`;
    });
    assertEquals(found, expected);
  });
}

Deno.test("calculate_order() falls back to one object and refuses what no order holds cpus=4", () => {
  const k = bareKernel({ cpus: 4, memBytes: 8 * 2 ** 20 }, []);
  assertEquals(calculate_order(k, 20000), 3); // one object in order 3
  assertEquals(calculate_order(k, 40000), 4); // does not fit in order 3: the smallest that holds it
  assertEquals(calculate_order(k, 2 ** 22), 10);
  assertEquals(calculate_order(k, 2 ** 22 + 1), -1);
});

/** objects / order, alignment, min_partial as sysfs of a real 6.1 kernel shows them; cpu_partial by the rule of v5.7. */
const MEASURED: readonly (readonly [number, string, string, number, number, number])[] = [
  [8, "512/0", "512/0", 8, 5, 30],
  [16, "256/0", "256/0", 16, 5, 30],
  [32, "128/0", "128/0", 32, 5, 30],
  [64, "64/0", "64/0", 64, 5, 30],
  [96, "42/0", "42/0", 8, 5, 30],
  [128, "32/0", "32/0", 128, 5, 30],
  [192, "21/0", "21/0", 8, 5, 30],
  [256, "16/0", "16/0", 256, 5, 13],
  [512, "8/0", "16/1", 512, 5, 13],
  [1024, "8/1", "16/2", 1024, 5, 6],
  [2048, "8/2", "16/3", 2048, 5, 6],
  [4096, "8/3", "8/3", 4096, 6, 2],
  [8192, "4/3", "4/3", 8192, 6, 2],
];

for (const [cpus, rcu, column] of [[1, "tiny", 1], [4, "none", 2]] as const) {
  Deno.test(`kmem_cache_init() builds the kmalloc caches that a real kernel shows cpus=${cpus}`, () => {
    const k = slabKernel({ cpus, rcu });
    for (const row of MEASURED) {
      const s = kmallocCache(k, row[0]);
      assertEquals(
        [s.size, s.object_size, `${oo_objects(s.oo)}/${oo_order(s.oo)}`, s.align, s.min_partial],
        [row[0], row[0], row[column], row[3], row[4]],
      );
      assertEquals(s.cpu_partial, rcu === "tiny" ? 0 : row[5], `cpu_partial of ${s.name}`);
      assertEquals(oo_order(s.min), row[0] > PAGE_SIZE ? 1 : 0);
    }
  });
}

Deno.test("calculate_sizes() puts the free pointer where v5.7 does", () => {
  const k = bareKernel({ cpus: 4, memBytes: 8 * 2 ** 20 }, []);
  const offsets: Record<number, number> = {
    8: 0,
    16: 8,
    24: 16,
    32: 16,
    64: 32,
    96: 48,
    128: 64,
    192: 96,
    256: 128,
  };
  for (const [size, offset] of Object.entries(offsets)) {
    assertEquals(sized(k, Number(size), 0, 8).offset, offset, `object of ${size} bytes`);
  }
  for (
    const s of [sized(k, 64, SLAB_TYPESAFE_BY_RCU, 8), sized(k, 64, SLAB_POISON, 8), sized(k, 64, 0, 8, true)]
  ) {
    // A free must not change the object: the pointer stands behind it.
    assertEquals([s.offset, s.inuse, s.size], [64, 64, 72]);
  }
});

/** A cache with its sizes calculated. */
function sized(k: Kernel, object_size: number, flags: number, align: number, ctor = false): kmem_cache {
  const s = new kmem_cache();
  s.object_size = object_size;
  s.flags = flags;
  s.align = calculate_alignment(flags, align, object_size);
  if (ctor) s.ctor = () => {};
  assert(calculate_sizes(k, s, -1));
  return s;
}

Deno.test("calculate_sizes() gives the sizes of slub_debug=FZPU", () => {
  const k = bareKernel({ cpus: 4, memBytes: 8 * 2 ** 20 }, []);
  const FZPU = SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER;
  const sizes: Record<number, number> = {
    8: 344,
    16: 368,
    32: 416,
    64: 512,
    96: 432,
    128: 640,
    192: 528,
    256: 1024,
    512: 1536,
    1024: 3072,
    2048: 6144,
    4096: 12288,
    8192: 24576,
  };
  for (const [size, debug] of Object.entries(sizes)) {
    const n = Number(size);
    const align = Number.isInteger(Math.log2(n)) ? n : 8;
    assertEquals(sized(k, n, FZPU, align).size, debug, `kmalloc-${size}`);
  }
});
