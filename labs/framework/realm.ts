// SPDX-License-Identifier: GPL-2.0-only
/**
 * Takes the host away from the realm that checks run in, and freezes what is left.
 *
 * A second wall: the first is that a student's file finds no name of the host (load.ts) and no way to one (guest.ts).
 * Only a worker calls this, once, after everything that needs the host is loaded. Invariant: afterwards no code of the
 * realm can reach the clock, randomness, the network, files, or the compiler, nor change what others are built on.
 *
 * @module
 */

/** Of the language, what stays; and what makes bytes of text, which tokens are. */
const KEPT: ReadonlySet<string> = new Set([
  "AggregateError",
  "Array",
  "ArrayBuffer",
  "BigInt",
  "BigInt64Array",
  "BigUint64Array",
  "Boolean",
  "DataView",
  "Error",
  "EvalError",
  "Float32Array",
  "Float64Array",
  "Infinity",
  "Int16Array",
  "Int32Array",
  "Int8Array",
  "Iterator",
  "JSON",
  "Map",
  "Math",
  "NaN",
  "Number",
  "Object",
  "Promise",
  "Proxy",
  "RangeError",
  "ReferenceError",
  "Reflect",
  "RegExp",
  "Set",
  "String",
  "Symbol",
  "SyntaxError",
  "TextDecoder",
  "TextEncoder",
  "TypeError",
  "URIError",
  "Uint16Array",
  "Uint32Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "WeakMap",
  "WeakSet",
  "globalThis",
  "isFinite",
  "isNaN",
  "parseFloat",
  "parseInt",
  "undefined",
]);

/** Of the host, what its own event loop calls; nobody else finds it. */
const EVENT_LOOP: ReadonlySet<string> = new Set(["dispatchEvent"]);

/** Locks the realm. What the caller still needs of the host, it has taken before. */
export function lockRealm(): void {
  const makers = [
    Function,
    Object.getPrototypeOf(function* () {}).constructor,
    Object.getPrototypeOf(async function () {}).constructor,
    Object.getPrototypeOf(async function* () {}).constructor,
  ];
  for (const maker of makers) {
    Object.defineProperty(maker.prototype, "constructor", {
      value: refuse,
      writable: false,
      configurable: false,
    });
  }
  removeHost();
  delete (Math as Partial<Math>).random;
  boundArrayText();
  const roots: object[] = makers.map((maker) => maker.prototype);
  for (const name of KEPT) {
    const value = (globalThis as Record<string, unknown>)[name];
    if (name !== "globalThis" && isObject(value)) roots.push(value);
  }
  roots.push(
    Object.getPrototypeOf([][Symbol.iterator]()),
    Object.getPrototypeOf(new Map()[Symbol.iterator]()),
    Object.getPrototypeOf(new Set()[Symbol.iterator]()),
    Object.getPrototypeOf(""[Symbol.iterator]()),
    Object.getPrototypeOf("".matchAll(/a/g)),
  );
  freezeAll(roots);
}

/** What stands where constructors of functions stood. */
function refuse(): never {
  throw new TypeError("code cannot be made from text here");
}

function removeHost(): void {
  for (
    let it: object | null = globalThis;
    it !== null && it !== Object.prototype;
    it = Object.getPrototypeOf(it)
  ) {
    for (const key of Reflect.ownKeys(it)) {
      // Symbols are how the host knows its own objects again.
      if (typeof key === "symbol" || KEPT.has(key) || EVENT_LOOP.has(key)) continue;
      if (Reflect.deleteProperty(it, key)) continue;
      Reflect.set(it, key, undefined);
    }
  }
}

/** A list of lists as text may be longer than anything that was counted: lists are joined with join() only. */
function boundArrayText(): void {
  const { join } = Array.prototype;
  Array.prototype.toString = function (this: unknown[]): string {
    for (const item of this) if (isObject(item)) throw new TypeError("a list of objects as text");
    return (join as (this: unknown[]) => string).call(this);
  };
}

function freezeAll(roots: readonly object[]): void {
  const seen = new Set<object>();
  const queue = [...roots];
  for (let it = queue.pop(); it !== undefined; it = queue.pop()) {
    if (seen.has(it) || it === globalThis) continue;
    seen.add(it);
    const prototype: unknown = Object.getPrototypeOf(it);
    if (isObject(prototype)) queue.push(prototype);
    for (const key of Reflect.ownKeys(it)) {
      const property = Object.getOwnPropertyDescriptor(it, key);
      for (const part of [property?.value, property?.get, property?.set]) {
        if (isObject(part)) queue.push(part);
      }
    }
    // Its own names stay assignable on what inherits from it: an Error's `name`, say.
    openInherited(it);
    if (it === Error) freezeError();
    else Object.freeze(it);
  }
}

/** What the kernel sets when it asks who called; everything else of Error is frozen. */
const STACK_NAMES: readonly (string | symbol)[] = ["stackTraceLimit", "prepareStackTrace"];

function freezeError(): void {
  for (const name of STACK_NAMES) {
    const value = (Error as unknown as Record<string | symbol, unknown>)[name];
    Object.defineProperty(Error, name, { value, writable: true });
  }
  for (const name of Reflect.ownKeys(Error)) {
    if (STACK_NAMES.includes(name)) continue;
    const { writable } = Object.getOwnPropertyDescriptor(Error, name) ?? {};
    Object.defineProperty(Error, name, {
      configurable: false,
      ...(writable === true ? { writable: false } : {}),
    });
  }
  Object.preventExtensions(Error);
}

/**
 * A frozen data property cannot be shadowed by an assignment. On the prototypes where programs do that, it becomes an
 * accessor whose setter defines the property on the object that it was assigned to.
 */
function openInherited(prototype: object): void {
  const names = prototype === Object.prototype
    ? ["toString", "valueOf", "constructor"]
    : Object.hasOwn(prototype, "message") || prototype === Error.prototype
    ? ["name", "message", "toString", "constructor"]
    : [];
  for (const name of names) {
    const property = Object.getOwnPropertyDescriptor(prototype, name);
    if (property === undefined || !("value" in property) || property.configurable !== true) continue;
    const { value } = property;
    Object.defineProperty(prototype, name, {
      get: () => value,
      set(this: object, own: unknown) {
        if (this === prototype) throw new TypeError(`${name} is frozen`);
        Object.defineProperty(this, name, {
          value: own,
          writable: true,
          configurable: true,
          enumerable: true,
        });
      },
      configurable: false,
      enumerable: false,
    });
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}
