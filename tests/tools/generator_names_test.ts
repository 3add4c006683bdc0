// SPDX-License-Identifier: GPL-2.0-only
/** tools/generator_names.ts lists exactly the names that only generators have. */
import { assertEquals } from "@std/assert";
import { collectNames } from "../../tools/generator_names.ts";

function names(...texts: string[]): ReturnType<typeof collectNames> {
  return collectNames(new Map(texts.map((text, index) => [`kernel/${index}.ts`, text])));
}

Deno.test("collectNames() lists exported functions with a generator colour, sorted", () => {
  const text = `
    export function* b(k: K): Atomic<void> {}
    export function a(k: K): MaySleep<number> { return done(1); }
    export function union(k: K): Atomic<void> | MaySleep<void> { return x; }
    export function kmalloc<F extends Gfp>(k: K, flags: F): Colour<F, VirtAddr> { return x; }
    export function plain(k: K): number { return 1; }
    export function* each(k: K): Generator<number> { yield 1; }
    function* local(k: K): Atomic<void> {}
  `;
  assertEquals(names(text), { functions: ["a", "b", "kmalloc", "union"], members: [] });
});

Deno.test("collectNames() lists methods and function-typed members", () => {
  const text = `
    export interface Ops {
      call_rcu(k: K): Atomic<void>;
      work: (k: K) => MaySleep<void>;
      hook: ((k: K) => Atomic<void>) | null;
      count: number;
      plain(k: K): void;
    }
    class C { *run(k: K): Atomic<void> {} }
  `;
  assertEquals(names(text), { functions: [], members: ["call_rcu", "hook", "run", "work"] });
});

Deno.test("collectNames() leaves out a name that is also something else", () => {
  const one = "export function* lock(k: K): Atomic<void> {}\ninterface A { get(): Atomic<number> }";
  const two = "export function lock(): void {}\ninterface B { get(): number }";
  assertEquals(names(one), { functions: ["lock"], members: ["get"] });
  assertEquals(names(one, two), { functions: [], members: [] });
  assertEquals(names(two, one), { functions: [], members: [] });
});
