// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a student's file finds around it: the functions that the instrumenter makes it call, its globals, and what it
 * imports from "quiesce".
 *
 * The file holds the real kernel, as kernel code does, but every use of a name that means something outside (names.ts)
 * comes by here. Invariants: no built-in function that makes or copies more than it was given runs uncounted; nothing of
 * the machine but what `KERNEL_OFFERED` says can be reached; globals and imports are frozen copies.
 *
 * Left out: a membrane around objects that the kernel hands out (tasks, locks). Their fields can be written, as in C.
 *
 * @module
 */

import { Kernel } from "../../mod.ts";
import type { Meter } from "./meter.ts";
import { KERNEL_MEMBERS, LINEAR, REFUSED } from "./names.ts";

/** Thrown into a student's code that does what is not allowed; the message is for the student. */
export class Refused extends Error {
  override readonly name: string = "Refused";
}

type Call = (...args: unknown[]) => unknown;
type Holder = Record<string, unknown>;

/** Loads and stores of emulated memory, in the student's hands. */
const RAM_OFFERED = [
  "load8",
  "load16",
  "load32",
  "loadLong",
  "loadPtr",
  "store8",
  "store16",
  "store32",
  "storeLong",
  "storePtr",
] as const;

/** Of a kernel object, what a student's code may use. */
export const KERNEL_OFFERED: readonly string[] = ["config", "cpu", "dataAlloc", "now", "ram"];

const NEVER_CALLED: ReadonlySet<string> = new Set(LINEAR);
const OF_THE_KERNEL: ReadonlySet<string> = new Set(KERNEL_MEMBERS);
/** Names of REFUSED that every object has. */
const ALWAYS: ReadonlySet<string> = new Set([
  "constructor",
  "prototype",
  "__proto__",
  "__defineGetter__",
  "__defineSetter__",
  "__lookupGetter__",
  "__lookupSetter__",
  "toLocaleString",
]);

/** What the code of the instrumenter calls; the name in that code is `$$`. */
export class Guest {
  private readonly kernels = new WeakMap<Kernel, Holder>();

  constructor(private readonly meter: Meter) {}

  /** A function begins. */
  enter(line: number, name: string): void {
    this.meter.enter(line, name);
  }

  /** A function ends. */
  leave(): void {
    this.meter.leave();
  }

  /** The head of a loop, or a `finally`. */
  step(line: number): void {
    this.meter.step(line);
  }

  /** First thing in a `catch`: what ends the student's code for good is not caught. */
  caught(error: unknown): void {
    if (error instanceof RangeError && /call stack/.test(error.message)) {
      this.meter.stop("calls itself without end");
    }
    this.meter.charge(1);
  }

  /** Operands of `+` and of templates. */
  str(value: unknown): unknown {
    if (typeof value === "string") this.meter.charge(value.length >> 3);
    else if (typeof value === "object" && Array.isArray(value)) this.refuse("an array as text: use join()");
    return value;
  }

  /** What `...` spreads in a call or an array. */
  spread(value: Iterable<unknown>): Iterable<unknown> {
    this.meter.charge(1 + sizeOf(value));
    return value;
  }

  /** What `...` copies into an object. */
  fields(value: unknown): unknown {
    this.guard(value);
    if (typeof value === "object" && value !== null) this.meter.charge(1 + Object.keys(value).length);
    return value;
  }

  /** The key of `object[key]`. */
  key(key: unknown): string | number {
    if (typeof key === "number") return key;
    if (typeof key === "object" && key !== null) this.refuse("an object as the name of a property");
    const name = String(key);
    if (Object.hasOwn(REFUSED, name) || NEVER_CALLED.has(name) || OF_THE_KERNEL.has(name)) {
      this.refuse(`"${name}" between brackets: a Map may have such keys`);
    }
    return name;
  }

  /** `object`, when its property `name` may be used; never to be called. */
  own(object: unknown, name: string): unknown {
    if (object instanceof Kernel) return this.kernelFor(object, name);
    const why = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
    if (why !== undefined && (ALWAYS.has(name) || typeof object !== "object" || isBuiltIn(object, name))) {
      this.refuse(`.${name} ${why}`);
    }
    if (NEVER_CALLED.has(name) && isBuiltIn(object, name)) {
      this.refuse(`.${name} can be called, but not be taken`);
    }
    return object;
  }

  /** `object.name(...args)` */
  call(object: unknown, name: string, args: unknown[]): unknown {
    const { meter } = this;
    if (object === null || object === undefined || !NEVER_CALLED.has(name)) {
      const owner = this.own(object, name) as Record<string, Call>;
      return owner[name](...args);
    }
    if (typeof object === "string") this.chargeText(object, name, args);
    else if (typeof object === "function") {
      if (name === "apply") meter.charge(1 + sizeOf(args[1]));
    } else if (isBuiltIn(object, name)) {
      const length = sizeOf(object);
      meter.charge(1 + length);
      if (name === "sort" || name === "toSorted") this.chargeSort(object as ArrayLike<unknown>, args);
      if (name === "join") this.chargeJoin(object as ArrayLike<unknown>, args);
      if (name === "concat") { for (const arg of args) meter.charge(sizeOf(arg)); }
    }
    return (object as Record<string, Call>)[name](...args);
  }

  private chargeText(text: string, name: string, args: unknown[]): void {
    const { meter } = this;
    const count = Number(args[0]);
    switch (name) {
      case "repeat":
        return meter.charge(Math.max(1, text.length * count));
      case "padStart":
      case "padEnd":
        return meter.charge(Math.max(1, count));
      case "concat":
        for (const arg of args) meter.charge(sizeOf(this.str(arg)));
        return;
      case "replace":
      case "replaceAll": {
        if (typeof args[0] !== "string") this.refuse(`${name}() of anything but a text`);
        if (typeof args[1] === "function") return meter.charge(1 + text.length);
        const by = String(args[1]);
        if (by.includes("$")) this.refuse(`$ in what ${name}() puts in`);
        return meter.charge((1 + text.length) * (1 + by.length));
      }
      case "split":
        if (args[0] !== undefined && typeof args[0] !== "string") {
          this.refuse("split() by anything but a text");
        }
        return meter.charge(1 + text.length);
      default:
        return meter.charge(1 + (text.length >> 3));
    }
  }

  private chargeSort(list: ArrayLike<unknown>, args: unknown[]): void {
    const n = list.length;
    this.meter.charge(Math.ceil(n * Math.log2(n + 1)));
    if (args[0] === undefined) this.onlyPlain(list, "sort() without a comparison");
  }

  private chargeJoin(list: ArrayLike<unknown>, args: unknown[]): void {
    this.onlyPlain(list, "join()");
    let length = list.length * (args[0] === undefined ? 1 : String(args[0]).length);
    for (let i = 0; i < list.length; i++) {
      const item = list[i];
      length += typeof item === "string" ? item.length : 24;
    }
    this.meter.charge(length);
  }

  private onlyPlain(list: ArrayLike<unknown>, what: string): void {
    for (let i = 0; i < list.length; i++) {
      if (typeof list[i] === "object" && list[i] !== null) {
        this.refuse(`${what} of a list that holds objects`);
      }
    }
  }

  /** What stands in for the kernel where a property of it is used. */
  private kernelFor(k: Kernel, name: string): Holder {
    if (!KERNEL_OFFERED.includes(name)) {
      this.refuse(`k.${name}: of the kernel object only ${KERNEL_OFFERED.join(", ")} can be used`);
    }
    let holder = this.kernels.get(k);
    if (holder === undefined) {
      const { ram } = k;
      const ramHolder = Object.fromEntries(
        RAM_OFFERED.map((method) => [method, (ram[method] as Call).bind(ram)]),
      );
      holder = Object.freeze({
        config: Object.freeze({ ...k.config }),
        get cpu(): { readonly id: number } {
          return Object.freeze({ id: k.cpu.id });
        },
        dataAlloc: (size: number, align?: number) => k.dataAlloc(size, align),
        now: () => k.now(),
        ram: Object.freeze(ramHolder),
      });
      this.kernels.set(k, holder);
    }
    return holder;
  }

  /** Refuses to hand the machine or a function to something that looks at all properties. */
  private guard(value: unknown): void {
    if (value instanceof Kernel) this.refuse("the kernel object as a list of properties");
    if (typeof value === "function") this.refuse("a function as a list of properties");
  }

  private refuse(what: string): never {
    throw new Refused(what);
  }

  /** The globals of the file, in the order of `GLOBALS` (names.ts). */
  globals(): Readonly<Record<string, unknown>> {
    const { meter } = this;
    const guard = (value: unknown): void => this.guard(value);
    const counted = <T>(value: T): T => {
      guard(value);
      meter.charge(1 + sizeOf(value) + (isPlain(value) ? Object.keys(value).length : 0));
      return value;
    };
    const maker = (real: new (...args: never[]) => object, cost: (args: unknown[]) => number): object =>
      made(function (...args: unknown[]): object {
        meter.charge(1 + cost(args));
        return Reflect.construct(real, args);
      }, real.prototype);
    const typed = (real: new (...args: never[]) => object): object =>
      maker(real, ([first]) => typeof first === "number" ? first : sizeOf(first));
    const filled = <T extends object>(real: new () => T, add: (to: T, item: unknown) => void): object =>
      made(function (items?: Iterable<unknown> | null): object {
        meter.charge(1);
        const it = new real();
        if (items === undefined || items === null) return it;
        for (const item of items) {
          meter.charge(1);
          add(it, item);
        }
        return it;
      }, real.prototype);
    const list = made(
      function (...args: unknown[]): unknown[] {
        meter.charge(1 + (args.length === 1 && typeof args[0] === "number" ? args[0] : args.length));
        return args.length === 1 ? new Array(args[0] as number) : args;
      },
      Array.prototype,
      {
        isArray: (value: unknown) => Array.isArray(value),
        of: (...items: unknown[]) => items,
        from(
          items: Iterable<unknown> | ArrayLike<unknown>,
          map?: (item: unknown, i: number) => unknown,
        ): unknown[] {
          guard(items);
          const all: unknown[] = [];
          if (Symbol.iterator in Object(items)) {
            for (const item of items as Iterable<unknown>) {
              meter.charge(1);
              all.push(map === undefined ? item : map(item, all.length));
            }
            return all;
          }
          const length = Number((items as ArrayLike<unknown>).length);
          for (let i = 0; i < length; i++) {
            meter.charge(1);
            const item = (items as ArrayLike<unknown>)[i];
            all.push(map === undefined ? item : map(item, i));
          }
          return all;
        },
      },
    );
    const pick = (from: object, names: readonly string[]): Holder =>
      Object.freeze(Object.fromEntries(names.map((name) => [name, (from as Holder)[name]])));
    return {
      undefined,
      NaN,
      Infinity,
      Array: list,
      Boolean: made((value: unknown) => Boolean(value)),
      Error,
      Float64Array: typed(Float64Array),
      Int32Array: typed(Int32Array),
      Map: filled(Map, (to, item) => to.set(...item as [unknown, unknown])),
      Math: pick(Math, [
        "E",
        "LN2",
        "PI",
        "abs",
        "cbrt",
        "ceil",
        "clz32",
        "floor",
        "imul",
        "log2",
        "max",
        "min",
        "pow",
        "round",
        "sign",
        "sqrt",
        "trunc",
      ]),
      Number: made(
        (value: unknown) => Number(this.str(value)),
        Number.prototype,
        pick(Number, [
          "EPSILON",
          "MAX_SAFE_INTEGER",
          "MAX_VALUE",
          "MIN_SAFE_INTEGER",
          "isFinite",
          "isInteger",
          "isNaN",
          "isSafeInteger",
          "parseFloat",
          "parseInt",
        ]),
      ),
      Object: made(() => ({}), Object.prototype, {
        assign: (to: object, ...from: object[]) => {
          guard(to);
          return Object.assign(to, ...from.map(counted));
        },
        entries: (of: object) => Object.entries(counted(of)),
        freeze: (it: object) => {
          guard(it);
          return Object.freeze(counted(it));
        },
        fromEntries: (pairs: Iterable<[string, unknown]>) =>
          Object.fromEntries(Array.from(pairs, (pair) => [this.key(counted(pair)[0]), pair[1]])),
        hasOwn: (it: object, name: string) => Object.hasOwn(it, name),
        is: (a: unknown, b: unknown) => Object.is(a, b),
        keys: (of: object) => Object.keys(counted(of)),
        values: (of: object) => Object.values(counted(of)),
      }),
      RangeError,
      Set: filled(Set, (to, item) => to.add(item)),
      String: made((value: unknown) => String(this.str(value)), String.prototype, {
        fromCharCode: (...codes: number[]) => String.fromCharCode(...codes),
      }),
      TypeError,
      Uint8Array: typed(Uint8Array),
      Uint16Array: typed(Uint16Array),
      Uint32Array: typed(Uint32Array),
      WeakMap: filled(WeakMap, (to, item) => to.set(...item as [object, unknown])),
      WeakSet: filled(WeakSet, (to, item) => to.add(item as object)),
      console: Object.freeze(
        Object.fromEntries(["debug", "error", "info", "log", "warn"].map((name) => [name, () => undefined])),
      ),
      isFinite: (value: unknown) => isFinite(value as number),
      isNaN: (value: unknown) => isNaN(value as number),
      parseFloat: (text: string) => parseFloat(text),
      parseInt: (text: string, radix?: number) => parseInt(text, radix),
    };
  }
}

/** A function that can stand for a built-in constructor: `instanceof` works, and nothing of it can be changed. */
function made(
  call: Call | ((...args: never[]) => unknown),
  prototype?: object,
  members: object = {},
): object {
  const it = call as unknown as { prototype?: object };
  if (prototype !== undefined) Object.defineProperty(it, "prototype", { value: prototype });
  return Object.freeze(Object.assign(it, members));
}

/** Whether the host's own stack was not enough. */
export function isStackOverflow(error: unknown): boolean {
  return error instanceof RangeError && error.message.includes("call stack");
}

/** Elements that a built-in function goes through when it is given `value`. */
function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  if (value instanceof Map || value instanceof Set) return value.size;
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    return (value as unknown as ArrayLike<unknown>).length;
  }
  return 0;
}

function isPlain(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether `object.name` is a method of the language and not one of the student's own. */
function isBuiltIn(object: unknown, name: string): boolean {
  if (typeof object === "string" || typeof object === "function") return true;
  if (typeof object !== "object" || object === null || Object.hasOwn(object, name)) return false;
  return Array.isArray(object) || ArrayBuffer.isView(object) || object instanceof Map ||
    object instanceof Set ||
    Symbol.iterator in object;
}
