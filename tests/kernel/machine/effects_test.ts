// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/machine/effects.ts and of the colours of GFP flags: what must not compile does not. */
import { assertEquals } from "@std/assert";
import { type Atomic, done, doneVoid, type MaySleep, SLEEP, STEP } from "../../../kernel/machine/effects.ts";
import {
  __GFP_NOWARN,
  __GFP_ZERO,
  type Colour,
  type Gfp,
  gfp,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOWAIT,
} from "../../../kernel/gfp.ts";

function* sleeper(): MaySleep<number> {
  yield SLEEP;
  return 1;
}

function* stepper(): Atomic<number> {
  yield STEP;
  return 2;
}

function allocate<F extends Gfp>(_flags: F): Colour<F, number> {
  return done(7) as Colour<F, number>;
}

export function* atomicCallsSleeper(): Atomic<number> {
  // @ts-expect-error a sleeper may not be called from atomic code
  return yield* sleeper();
}

export function* atomicAllocatesSleeping(): Atomic<number> {
  // @ts-expect-error GFP_KERNEL may sleep, so atomic code may not allocate with it
  return yield* allocate(GFP_KERNEL);
}

export function* atomicCombinesSleeping(): Atomic<number> {
  // @ts-expect-error one sleeping flag makes the combination sleeping
  return yield* allocate(gfp(GFP_KERNEL, __GFP_ZERO));
}

function* atomicAllocates(): Atomic<number> {
  return (yield* allocate(gfp(GFP_NOWAIT, __GFP_NOWARN))) + (yield* allocate(GFP_ATOMIC)) +
    (yield* stepper());
}

function* sleepsAndAllocates(): MaySleep<number> {
  return (yield* sleeper()) + (yield* allocate(GFP_KERNEL)) + (yield* atomicAllocates());
}

Deno.test("done() returns its value through yield*, nested and in sequence", () => {
  const seen: unknown[] = [];
  const body = sleepsAndAllocates();
  let result = body.next();
  while (result.done !== true) {
    seen.push(result.value);
    result = body.next();
  }
  assertEquals(result.value, 1 + 7 + 7 + 7 + 2);
  assertEquals(seen, [SLEEP, STEP]);
});

Deno.test("doneVoid() is finished and yields nothing", () => {
  function* body(): Atomic<string> {
    yield* doneVoid();
    return "after";
  }
  assertEquals(body().next(), { done: true, value: "after" });
});
