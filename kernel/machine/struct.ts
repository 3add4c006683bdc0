// SPDX-License-Identifier: GPL-2.0-only
/**
 * Struct layouts in emulated memory: sizes and offsets are computed by C's rules for a 64-bit machine, never written down.
 *
 * `struct("rcu_head", { next: ptr, func: ulong })` gives sizeof, offsetof, views with the C field names, and per-field
 * accessors that allocate nothing (`rcu_head.f.next.get(k, addr)`), for hot paths.
 *
 * @module
 */

import type { Ptr, VirtAddr } from "./brand.ts";
import type { Ram } from "./ram.ts";

/** Whatever carries the RAM: a kernel. */
export interface HasRam {
  readonly ram: Ram;
}

/** A C type: how large it is and how a value of it is read and written. */
export interface FieldType<T> {
  readonly size: number;
  readonly align: number;
  load(ram: Ram, addr: VirtAddr): T;
  store(ram: Ram, addr: VirtAddr, value: T): void;
}

export const u8: FieldType<number> = {
  size: 1,
  align: 1,
  load: (ram, addr) => ram.load8(addr),
  store: (ram, addr, value) => ram.store8(addr, value),
};
export const u16: FieldType<number> = {
  size: 2,
  align: 2,
  load: (ram, addr) => ram.load16(addr),
  store: (ram, addr, value) => ram.store16(addr, value),
};
export const u32: FieldType<number> = {
  size: 4,
  align: 4,
  load: (ram, addr) => ram.load32(addr),
  store: (ram, addr, value) => ram.store32(addr, value),
};
export const int: FieldType<number> = {
  size: 4,
  align: 4,
  load: (ram, addr) => ram.load32(addr) | 0,
  store: (ram, addr, value) => ram.store32(addr, value),
};
/** A 64-bit integer, exact up to 2^53. */
export const ulong: FieldType<number> = {
  size: 8,
  align: 8,
  load: (ram, addr) => ram.loadLong(addr),
  store: (ram, addr, value) => ram.storeLong(addr, value),
};
export const ptr: FieldType<VirtAddr> = {
  size: 8,
  align: 8,
  load: (ram, addr) => ram.loadPtr(addr),
  store: (ram, addr, value) => ram.storePtr(addr, value),
};

/** A view of an array in memory. */
export interface ArrayView<T> {
  readonly length: number;
  get(index: number): T;
  set(index: number, value: T): void;
}

/** `type name[length]`; length 0 is C's flexible array member. */
export function array<T>(type: FieldType<T>, length: number): FieldType<ArrayView<T>> {
  return {
    size: type.size * length,
    align: type.align,
    load: (ram, addr) => ({
      length,
      get: (index) => type.load(ram, (addr + index * type.size) as VirtAddr),
      set: (index, value) => type.store(ram, (addr + index * type.size) as VirtAddr, value),
    }),
    store: () => {
      throw new TypeError("arrays are stored element by element");
    },
  };
}

/** A struct inside a struct; the view's field is a view. */
export function embed<F extends Fields>(layout: Layout<F>): FieldType<ViewOf<Layout<F>>> {
  return {
    size: layout.size,
    align: layout.align,
    load: (ram, addr) => layout.view(ram, addr),
    store: () => {
      throw new TypeError(`struct ${layout.name} is stored field by field`);
    },
  };
}

// deno-lint-ignore no-explicit-any
export type Fields = Record<string, FieldType<any>>;

type ValueOf<T> = T extends FieldType<infer V> ? V : never;

/** The view of a layout: one property per C field, and the address. */
export type ViewOf<L> = L extends Layout<infer F>
  ? { -readonly [K in keyof F]: ValueOf<F[K]> } & { readonly addr: VirtAddr }
  : never;

/** One field: where it is, and accessors that allocate nothing. */
export interface Field<T> {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  get(k: HasRam, base: VirtAddr): T;
  set(k: HasRam, base: VirtAddr, value: T): void;
}

/** A struct's layout. */
export interface Layout<F extends Fields> {
  readonly name: string;
  /** sizeof, in bytes. */
  readonly size: number;
  readonly align: number;
  readonly f: { readonly [K in keyof F]: Field<ValueOf<F[K]>> };
  offsetof(member: keyof F & string): number;
  /** A view of the struct at `addr`. */
  at(k: HasRam, addr: VirtAddr): ViewOf<Layout<F>>;
  view(ram: Ram, addr: VirtAddr): ViewOf<Layout<F>>;
}

/** Lays out a struct by C's rules: fields in order, each aligned, the size rounded up to the largest alignment. */
export function struct<const F extends Fields>(name: string, fields: F): Layout<F> {
  class View {
    constructor(readonly ram: Ram, readonly addr: VirtAddr) {}
  }
  const f: Record<string, Field<unknown>> = {};
  let offset = 0;
  let align = 1;
  for (const [member, type] of Object.entries(fields)) {
    offset = Math.ceil(offset / type.align) * type.align;
    align = Math.max(align, type.align);
    f[member] = makeField(member, offset, type);
    defineAccessor(View.prototype, member, offset, type);
    offset += type.size;
  }
  const layout = {
    name,
    size: Math.ceil(offset / align) * align,
    align,
    f,
    offsetof: (member: string): number => f[member].offset,
    at: (k: HasRam, addr: VirtAddr): View => new View(k.ram, addr),
    view: (ram: Ram, addr: VirtAddr): View => new View(ram, addr),
  };
  return layout as unknown as Layout<F>;
}

function makeField(name: string, offset: number, type: FieldType<unknown>): Field<unknown> {
  if (type === ptr) return pointerField(name, offset) as Field<unknown>;
  if (type === ulong) return longField(name, offset) as Field<unknown>;
  return {
    name,
    offset,
    size: type.size,
    get: (k, base) => type.load(k.ram, (base + offset) as VirtAddr),
    set: (k, base, value) => type.store(k.ram, (base + offset) as VirtAddr, value),
  };
}

// The two kinds of field in hot paths call the RAM directly: no call through a type that has seen many.

function pointerField(name: string, offset: number): Field<VirtAddr> {
  return {
    name,
    offset,
    size: ptr.size,
    get: (k, base) => k.ram.loadPtr((base + offset) as VirtAddr),
    set: (k, base, value) => k.ram.storePtr((base + offset) as VirtAddr, value),
  };
}

function longField(name: string, offset: number): Field<number> {
  return {
    name,
    offset,
    size: ulong.size,
    get: (k, base) => k.ram.loadLong((base + offset) as VirtAddr),
    set: (k, base, value) => k.ram.storeLong((base + offset) as VirtAddr, value),
  };
}

function defineAccessor(prototype: object, member: string, offset: number, type: FieldType<unknown>): void {
  Object.defineProperty(prototype, member, {
    enumerable: true,
    get(this: { ram: Ram; addr: VirtAddr }): unknown {
      return type.load(this.ram, (this.addr + offset) as VirtAddr);
    },
    set(this: { ram: Ram; addr: VirtAddr }, value: unknown): void {
      type.store(this.ram, (this.addr + offset) as VirtAddr, value);
    },
  });
}

/** Address of the struct of which `member` stands at `addr`. @mirrors include/linux/kernel.h:container_of */
export function container_of<F extends Fields>(
  addr: VirtAddr,
  layout: Layout<F>,
  member: keyof F & string,
): Ptr<Layout<F>> {
  return (addr - layout.offsetof(member)) as Ptr<Layout<F>>;
}
