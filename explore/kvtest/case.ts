// SPDX-License-Identifier: GPL-2.0-only
/**
 * The words of a kvtest case: `kv2-vmalloc-allcpu-cold-n700` is 700 pointers to vmalloc memory from each CPU.
 *
 * They are those of a table that was recorded on real kernels, so that a row of it can be asked for by its name.
 * Invariant: a `KvtestCase` that exists makes sense at some level; whether it does at a given one is said by run.ts.
 *
 * @module
 */

import { KMALLOC_MAX_SIZE } from "../../mm/slab.ts";
import { rcu_head } from "../../rcu/rcu.ts";
import { OptionError } from "../scenario.ts";

/** kvfree_rcu() with a pointer alone, or with an rcu_head. */
export type Op = "kv1" | "kv2";
/** Which memory: all slab, all vmalloc, alternating from slab on, or the first half slab. */
export type Kind = "slab" | "vmalloc" | "mix" | "half";
/** Which allocations of the caller fail: none, pages, or pages and slab objects. */
export type Failing = "none" | "fail" | "pfail" | "bfail";
/** The two recorded scenarios with readers. */
export type Script = "stuck" | "early";

/** What a case does. */
export interface KvtestCase {
  /** As in the column `case`. */
  readonly name: string;
  readonly op: Op;
  readonly kind: Kind;
  /** Bytes of an object. */
  readonly size: number;
  /** Pointers of each CPU that takes part. */
  readonly n: number;
  readonly allcpu: boolean;
  /** Shrinkers have just run. */
  readonly cold: boolean;
  readonly failing: Failing;
  /** Not null: this instead of n pointers in a row. */
  readonly script: Script | null;
}

export const MIN_N = 1;
export const MAX_N = 100_000;
export const MAX_SIZE: number = KMALLOC_MAX_SIZE;
const DEFAULT_N = 10;
const DEFAULT_SIZE = 64;

/** Words that exclude each other. */
const KINDS: readonly string[] = ["vmalloc", "mix", "half"];
const FAILURES: readonly string[] = ["fail", "pfail", "bfail"];
const OTHERS: readonly string[] = ["allcpu", "cold"];
const SCRIPTS: readonly string[] = ["stuck", "early"];

/** All words, for Tab and for messages. */
export const WORDS: readonly string[] = [
  "kv1",
  "kv2",
  ...KINDS,
  "sizeS",
  ...OTHERS,
  ...FAILURES,
  "nN",
  ...SCRIPTS,
];

const ALLOWED = `kv1 or kv2, then any of ${[...KINDS, "sizeS", ...OTHERS, ...FAILURES, "nN"].join(", ")}; ` +
  `or ${SCRIPTS.join(" or ")} alone`;

function refused(text: string, what: string): OptionError {
  return new OptionError(`kvtest: "${text}": ${what}`);
}

/** The number of a word such as `n10`, which must be in its range. */
function numberOf(text: string, word: string, prefix: string, min: number, max: number): number {
  const n = Number(word.slice(prefix.length));
  if (n >= min && n <= max) return n;
  throw refused(text, `${word} is out of range: ${prefix}${min} to ${prefix}${max} are allowed`);
}

/** The one of `group` among the words, or `none`. */
function choice<T extends string>(
  text: string,
  words: readonly string[],
  group: readonly string[],
  none: T,
): T {
  const found = words.filter((word) => group.includes(word));
  if (found.length > 1) {
    throw refused(text, `${found.join(" and ")} exclude each other: one of ${group.join(", ")}`);
  }
  return (found[0] as T | undefined) ?? none;
}

/** Takes a case apart. `size` is what an option says about the objects. */
export function parseCase(text: string, size?: number): KvtestCase {
  const words = text.split("-");
  const [first, ...rest] = words;
  if (SCRIPTS.includes(first)) return scriptCase(text, first as Script, rest, size);
  if (first !== "kv1" && first !== "kv2") {
    throw refused(text, `"${first}" cannot be the first word: ${ALLOWED}`);
  }
  const numbers = rest.filter((word) => /^n\d+$/.test(word));
  const sizes = rest.filter((word) => /^size\d+$/.test(word));
  const known = [...KINDS, ...OTHERS, ...FAILURES, ...numbers, ...sizes];
  for (const [i, word] of rest.entries()) {
    if (word === "kv1" || word === "kv2") {
      throw refused(text, "kv1 or kv2 is the first word, and there is one");
    }
    if (!known.includes(word)) throw refused(text, `no word "${word}": ${ALLOWED}`);
    if (rest.indexOf(word) !== i) throw refused(text, `${word} stands there twice`);
  }
  if (numbers.length > 1) throw refused(text, `${numbers.join(" and ")}: one number of pointers is allowed`);
  if (sizes.length > 1) throw refused(text, `${sizes.join(" and ")}: one size is allowed`);
  const least = first === "kv2" ? rcu_head.size : 1;
  const bytes = sizes.length === 0 ? size : numberOf(text, sizes[0], "size", least, MAX_SIZE);
  if (size !== undefined && bytes !== size) {
    throw refused(text, `${sizes[0]} and --size ${size}: one size is allowed`);
  }
  if (bytes !== undefined && (bytes < least || bytes > MAX_SIZE)) {
    throw refused(text, `--size ${bytes} is out of range: ${least} to ${MAX_SIZE} bytes are allowed`);
  }
  const n = numbers.length === 0 ? DEFAULT_N : numberOf(text, numbers[0], "n", MIN_N, MAX_N);
  const failing = choice<Failing>(text, rest, FAILURES, "none");
  const named = words.filter((word) => !numbers.includes(word));
  if (size !== undefined && sizes.length === 0) named.push(`size${size}`);
  return {
    name: [...named, `n${n}`].join("-"),
    op: first,
    kind: choice<Kind>(text, rest, KINDS, "slab"),
    size: bytes ?? DEFAULT_SIZE,
    n,
    allcpu: rest.includes("allcpu"),
    cold: rest.includes("cold") || failing === "fail" || failing === "bfail",
    failing,
    script: null,
  };
}

function scriptCase(
  text: string,
  script: Script,
  rest: readonly string[],
  size: number | undefined,
): KvtestCase {
  if (rest.length > 0) throw refused(text, `${script} stands alone: ${ALLOWED}`);
  if (size !== undefined) {
    throw refused(text, `${script} has objects of ${DEFAULT_SIZE} bytes, --size is not for it`);
  }
  return {
    name: script,
    op: "kv2",
    kind: "slab",
    size: DEFAULT_SIZE,
    n: 30,
    allcpu: false,
    cold: false,
    failing: "none",
    script,
  };
}

/** Whether the i-th object of a case is vmalloc memory. */
export function isVmalloc({ kind, n }: KvtestCase, i: number): boolean {
  if (kind === "half") return i >= Math.floor(n / 2);
  return kind === "vmalloc" || (kind === "mix" && i % 2 === 1);
}
