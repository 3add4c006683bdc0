// SPDX-License-Identifier: GPL-2.0-only
/**
 * What KASAN adds to slabs, and what the shadow says of them. Expected sizes are worked out by hand from Linux's rules: 16
 * bytes of tracks behind the object, a red zone of at least 16, 32, 64, 128 or 256 bytes by size, and kmalloc()'s powers of
 * two aligned to themselves.
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { PAGE_OFFSET } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kasan_mem_to_shadow, shadowByte } from "../../mm/kasan/kasan.ts";
import { get_alloc_info, optimal_redzone } from "../../mm/kasan/common.ts";
import {
  boot_kmem_cache,
  kmalloc_caches,
  type kmem_cache,
  nearest_obj,
  SLAB_KASAN,
  SLAB_TYPESAFE_BY_RCU,
} from "../../mm/slab.ts";
import {
  kmem_cache_create,
  kmem_cache_destroy,
  kmem_cache_shrink,
  krealloc,
  ksize,
  slabinfo_show,
} from "../../mm/slab_common.ts";
import { page_address, virt_to_head_page } from "../../mm/mm_types.ts";
import { checkSlab } from "../../mm/slab_check.ts";
import {
  kmem_cache_alloc,
  kmem_cache_alloc_bulk,
  kmem_cache_free,
  oo_objects,
  oo_order,
} from "../../mm/slub.ts";
import { GFP_NOWAIT } from "../../kernel/gfp.ts";
import { run } from "../helpers.ts";
import { atOffset, give, slabKernel, take, takeMany } from "./slab_kernel.ts";

const kasan = { kasan: true };

/** Shadow bytes from `addr` on. */
function shadow(k: Kernel, addr: VirtAddr, count: number): number[] {
  return Array.from({ length: count }, (_, i) => shadowByte(k, atOffset(addr, i * 8)));
}

function create(
  k: Kernel,
  name: string,
  size: number,
  flags = 0,
  ctor: ((k: Kernel, object: VirtAddr) => void) | null = null,
): kmem_cache {
  const s = run(kmem_cache_create(k, name, size, 0, flags, ctor), true);
  if (s === null) throw new Error(`no cache ${name}`);
  return s;
}

Deno.test("optimal_redzone() grows where the object leaves room for less than a quarter", () => {
  const last: readonly [number, number][] = [
    [48, 16],
    [96, 32],
    [448, 64],
    [3968, 128],
    [16128, 256],
    [32256, 512],
    [64512, 1024],
  ];
  last.forEach(([size, redzone], i) => {
    assertEquals(optimal_redzone(size), redzone);
    assertEquals(optimal_redzone(size + 1), last[i + 1]?.[1] ?? 2048);
  });
});

Deno.test("calculate_sizes() leaves room for tracks and red zone in kmalloc's caches [kasan]", () => {
  const k = slabKernel(kasan);
  const sizes = Object.fromEntries(
    kmalloc_caches(k)[0].filter((s) => s !== null).map((s) => [s.object_size, s.size]),
  );
  assertEquals(sizes, {
    8: 24,
    16: 32,
    32: 64,
    64: 128,
    96: 128,
    128: 256,
    192: 256,
    256: 512,
    512: 1024,
    1024: 2048,
    2048: 4096,
    4096: 8192,
    8192: 16384,
  });
  for (const s of kmalloc_caches(k)[0]) if (s !== null) assertEquals(s.flags & SLAB_KASAN, SLAB_KASAN);
  // One CPU wants at least 8 objects, at most 32 KiB a slab.
  const s64 = kmalloc_caches(k)[0][6] as kmem_cache;
  assertEquals([oo_order(s64.oo), oo_objects(s64.oo)], [0, 32]);
  const s8k = kmalloc_caches(k)[0][13] as kmem_cache;
  assertEquals([oo_order(s8k.oo), oo_objects(s8k.oo)], [3, 2]);
  // struct kmem_cache itself has two more ints.
  assertEquals(boot_kmem_cache(k).object_size, boot_kmem_cache(slabKernel()).object_size + 8);
  assertEquals(slabinfo_show(k).length, slabinfo_show(slabKernel()).length);
});

Deno.test("kasan_cache_create() puts the quarantine's link behind objects that may be looked at [kasan]", () => {
  const k = slabKernel(kasan);
  const rows: readonly [kmem_cache, number, number, number][] = [
    // cache, alloc_meta_offset, free_meta_offset, size
    [create(k, "two_hundred", 200), 200, 0, 264],
    [create(k, "ten", 10), 16, 0, 32],
    [create(k, "typesafe", 64, SLAB_TYPESAFE_BY_RCU), 72, 88, 96],
    [create(k, "constructed", 8, 0, () => {}), 16, 32, 40],
  ];
  for (const [s, alloc, free, size] of rows) {
    assertEquals(
      [s.kasan_info.alloc_meta_offset, s.kasan_info.free_meta_offset, s.size],
      [alloc, free, size],
      s.name,
    );
  }
  assertNotEquals(create(k, "ten_too", 10), rows[1][0], "caches with red zones are not merged");
});

Deno.test("without KASAN no cache has SLAB_KASAN, red zones or tracks", () => {
  const k = slabKernel();
  for (const s of kmalloc_caches(k)[0]) {
    if (s !== null) assertEquals([s.flags & SLAB_KASAN, s.size], [0, s.object_size]);
  }
});

Deno.test("the shadow of kmalloc(n) allows n bytes, of the freed object none, of its neighbours theirs [kasan]", () => {
  const k = slabKernel(kasan);
  const [a, b] = takeMany(k, 100, 2);
  assertEquals(b - a, 256);
  assertEquals(shadow(k, a, 32), [...Array(12).fill(0), 4, ...Array(19).fill(0xfc)]);
  give(k, a);
  assertEquals(shadow(k, a, 32), [...Array(16).fill(0xfb), ...Array(16).fill(0xfc)]);
  assertEquals(shadow(k, b, 13), [...Array(12).fill(0), 4]);
  assertEquals(shadow(k, take(k, 128), 17), [...Array(16).fill(0), 0xfc]);
  assertEquals(shadow(k, take(k, 1), 1), [1]);
});

Deno.test("the shadow of a large kmalloc() is fe behind it, ff when it is freed; memory never used is ff [kasan]", () => {
  const k = slabKernel(kasan);
  const p = take(k, 8197);
  assertEquals(shadow(k, atOffset(p, 8184), 4), [0, 5, 0xfe, 0xfe]);
  assertEquals(shadowByte(k, atOffset(p, 16383)), 0xfe);
  give(k, p);
  assertEquals(shadow(k, p, 2), [0xff, 0xff]);
  assertEquals(shadowByte(k, (PAGE_OFFSET + k.ram.size / 2) as VirtAddr), 0xff);
  assertEquals(shadowByte(k, (PAGE_OFFSET + 100 * 4096) as VirtAddr), 0xfa, "between the kernel's variables");
});

Deno.test("ksize() is the object and unpoisons it; krealloc() marks the new size [kasan]", () => {
  const k = slabKernel(kasan);
  const p = take(k, 17);
  assertEquals(shadow(k, p, 4), [0, 0, 1, 0xfc]);
  assertEquals(ksize(k, p), 32);
  assertEquals(shadow(k, p, 5), [0, 0, 0, 0, 0xfc]);
  assertEquals(run(krealloc(k, p, 19, GFP_NOWAIT)), p);
  assertEquals(shadow(k, p, 5), [0, 0, 3, 0xfc, 0xfc]);
  const q = run(krealloc(k, p, 40, GFP_NOWAIT));
  assertNotEquals(q, p);
  assertEquals(shadow(k, p, 1), [0xfb]);
});

Deno.test("a constructor writes into its object; every object of a new slab has empty tracks [kasan]", () => {
  const k = slabKernel(kasan);
  const seen: VirtAddr[] = [];
  const s = create(k, "constructed", 24, 0, (k, object) => {
    k.ram.store32(object, 7);
    seen.push(object);
  });
  const p = run(kmem_cache_alloc(k, s, GFP_NOWAIT));
  assertEquals(seen.length, oo_objects(s.oo));
  assertEquals(k.ram.load32(p), 7);
  const other = seen.find((object) => object !== p) as VirtAddr;
  assertEquals(k.ram.rawLoad32(get_alloc_info(s, other) - PAGE_OFFSET + 4), 0);
  assertNotEquals(k.ram.rawLoad32(get_alloc_info(s, p) - PAGE_OFFSET + 4), 0);
  assertEquals(checkSlab(k), []);
});

Deno.test("kmem_cache_alloc_bulk() hands out valid objects with tracks; the cache can be destroyed [kasan]", () => {
  const k = slabKernel(kasan);
  const s = create(k, "bulk", 56);
  const array = take(k, 10 * 8);
  assertEquals(run(kmem_cache_alloc_bulk(k, s, GFP_NOWAIT, 10, array)), 10);
  for (let i = 0; i < 10; i++) {
    const object = k.ram.loadPtr(atOffset(array, i * 8));
    assertEquals(shadow(k, object, 8), [...Array(7).fill(0), 0xfc]);
    assertNotEquals(k.ram.rawLoad32(get_alloc_info(s, object) - PAGE_OFFSET + 4), 0);
    run(kmem_cache_free(k, s, object));
  }
  assertEquals(checkSlab(k), []);
  run(kmem_cache_destroy(k, s), true);
  assertEquals(k.reports, []);
  assertEquals(checkSlab(k), []);
});

Deno.test("kasan_mem_to_shadow() is addr >> 3 plus 0xdffffc0000000000, of which 48 bits are kept", () => {
  for (const addr of [PAGE_OFFSET, 0xc900_0000_8000, 0xffff_8100_0040]) {
    const full = 0xffff_0000_0000_0000n + BigInt(addr);
    const expected = ((full >> 3n) + 0xdfff_fc00_0000_0000n) & 0xffff_ffff_ffffn;
    assertEquals(BigInt(kasan_mem_to_shadow(addr as VirtAddr)), expected);
  }
});

Deno.test("kasan_init_slab_obj() forgets the tracks that a page had as another slab [kasan]", () => {
  const k = slabKernel(kasan);
  const first = create(k, "first", 56);
  const objects = Array.from(
    { length: oo_objects(first.oo) },
    () => run(kmem_cache_alloc(k, first, GFP_NOWAIT)),
  );
  for (const object of objects) run(kmem_cache_free(k, first, object));
  assertEquals(run(kmem_cache_shrink(k, first), true), 0);
  const second = create(k, "second", 56);
  const p = run(kmem_cache_alloc(k, second, GFP_NOWAIT));
  assert(objects.includes(p), "the same page");
  const track = (object: VirtAddr): number =>
    k.ram.rawLoad32(get_alloc_info(second, object) - PAGE_OFFSET + 4);
  assertEquals(objects.map(track).filter((stack) => stack !== 0), [track(p)]);
});

Deno.test("nearest_obj() is the last object for what is behind it in its slab [kasan]", () => {
  const k = slabKernel(kasan);
  const s = kmalloc_caches(k)[0][3] as kmem_cache;
  const p = take(k, 8);
  const page = virt_to_head_page(k, p);
  const start = page_address(page);
  assertEquals([s.size, oo_objects(s.oo)], [24, 170]);
  const near = (bytes: number): number => nearest_obj(k, s, page, atOffset(start, bytes)) - start;
  assertEquals([0, 23, 24, 4056, 4079, 4080, 4095].map(near), [0, 0, 24, 4056, 4056, 4056, 4056]);
});
