// SPDX-License-Identifier: GPL-2.0-only
/**
 * Lines that no user would type, for `deno task fuzz`: made from the records of the commands, from a vocabulary of
 * TypeScript, and from random characters.
 *
 * A line is a function of a seed. What cannot be cut short is left out: loops of the host's (`while`), and machines and
 * runs that would take seconds each; their ranges are tried at the ends that are refused.
 *
 * @module
 */

import type { ArgumentSpec, Described, Names, OptionSpec } from "../repl/command.ts";
import { FILTERS } from "../repl/filters.ts";

/** Draws from a seed: mulberry32. */
export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** From 0 to n - 1. */
  below(n: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 * n);
  }

  /** True once in n times. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

/** What lines are made of. */
export interface Vocabulary {
  readonly commands: readonly Described[];
  namesOf(names: Names): readonly string[];
  /** Whether promises may be broken that nobody waits for. */
  readonly strays: boolean;
  /** The words of `run`: names of examples and their options. */
  readonly examples: readonly (readonly string[])[];
}

/** Numbers at the ends of everything. */
const NUMBERS = [
  "0",
  "1",
  "2",
  "3",
  "-1",
  "7",
  "64",
  "0x10",
  "1e3",
  "1.5",
  "",
  "NaN",
  "99999999999999999999",
  "9007199254740991",
  "-0",
  "0x",
  "1_000",
  "٣",
  "5 ",
];
const SIZES = [
  "8M",
  "16M",
  "64M",
  "1K",
  "0",
  "-1M",
  "5000M",
  "64Q",
  "1.5G",
  "M",
  "8388608",
  "9007199254740993",
];
const WORDS = [
  "kvfree_rcu",
  "rcu:*",
  "*",
  "**:?",
  "../..",
  "/",
  ".",
  "-",
  "--",
  "constructor",
  "__proto__",
  "toString",
  "k",
  "_",
  "ffff888000001000",
  "ffffffffffffffff",
  "0",
  "é",
  "\u202e",
  "💥",
  "a\u0000b",
  "nosuch.ts",
  "q2.AQEBAAEDAACiaQ",
  "TOKEN",
  "(",
  "[",
  "\\",
  "%s%n",
];

/** Options whose large values mean large machines or long runs: these values and no others. */
const CAREFUL: Readonly<Record<string, readonly string[]>> = {
  cpus: ["1", "2", "3", "4", "0", "4097", "-1", "x"],
  mem: ["8M", "16M", "64M", "256M", "1K", "5000M", "x"],
  hz: ["12", "100", "250", "1000", "11", "10001"],
  "nr-cpus": ["1", "4", "512", "0", "4097"],
  "early-driver": ["0", "1", "10", "1001"],
  seconds: ["0", "1", "6", "3601"],
};

/** Commands that take seconds by themselves: only with arguments that are refused, or for help. */
const SLOW = new Set(["tour", "explore", "kvtest", "series", "bugs"]);

/** One line, or a few. */
export function fuzzLine(dice: Dice, words: Vocabulary): string {
  const kind = dice.below(10);
  if (kind < 6) return Array.from({ length: 1 + dice.below(2) }, () => commandLine(dice, words)).join("; ");
  if (kind < 8) return script(dice, words.strays ? ATOMS : TAME_ATOMS);
  return noise(dice);
}

function commandLine(dice: Dice, words: Vocabulary): string {
  const command = dice.pick(words.commands);
  const parts = [dice.once(40) ? misspelt(dice, command.name) : command.name];
  if (SLOW.has(command.name)) {
    parts.push(dice.pick(["--help", "nosuch", "--ts", "show B1", "list", "--json", "show 4"]));
  } else if (command.name === "run") parts.push(...runWords(dice, words));
  else {
    for (const option of command.options ?? []) {
      if (dice.once(3)) parts.push(...optionWords(dice, option, words));
    }
    for (const arg of command.args ?? []) {
      if (arg.required === true || dice.once(2)) parts.push(valueOf(dice, arg, words));
    }
    if (dice.once(12)) parts.splice(1 + dice.below(parts.length), 0, dice.pick(WORDS));
  }
  for (const flag of ["--json", "--ts", "--help"]) if (dice.once(12)) parts.push(flag);
  let line = parts.join(" ");
  while (dice.once(4)) line += `${dice.pick([" | ", "|"])}${filterWords(dice, words)}`;
  if (dice.once(10)) {
    line += ` ${dice.pick([">", ">>"])} ${dice.pick(["out.txt", "'a b'", "", "a b", "out.txt | count"])}`;
  }
  if (dice.once(30)) {
    line += dice.pick([" # remark", " ;;", " '", ' "', " \\", " &", " && version", " || exit", " <"]);
  }
  return line;
}

function misspelt(dice: Dice, word: string): string {
  const at = dice.below(word.length + 1);
  return dice.once(2)
    ? word.slice(0, at) + word.slice(at + 1)
    : word.slice(0, at) + dice.pick([..."abz.-_"]) + word.slice(at);
}

function optionWords(dice: Dice, option: OptionSpec, words: Vocabulary): string[] {
  const name = `--${dice.once(40) ? misspelt(dice, option.name) : option.name}`;
  if (option.type === "flag") return [dice.once(20) ? `${name}=1` : name];
  const value = valueOf(dice, option, words);
  return dice.once(3) ? [`${name}=${value}`] : dice.once(30) ? [name] : [name, value];
}

function valueOf(dice: Dice, spec: OptionSpec | ArgumentSpec, words: Vocabulary): string {
  const careful = CAREFUL[spec.name];
  if (careful !== undefined) return dice.pick(careful);
  const known = [
    ...(spec.choices ?? []),
    ...(spec.names === undefined ? [] : words.namesOf(spec.names).slice(0, 200)),
  ];
  if (known.length > 0 && !dice.once(5)) return dice.pick(known);
  if (spec.type === "int" && !dice.once(8)) return dice.pick(NUMBERS);
  if (spec.type === "size" && !dice.once(8)) return dice.pick(SIZES);
  return dice.pick(WORDS);
}

function runWords(dice: Dice, { examples }: Vocabulary): string[] {
  if (dice.once(12)) return [dice.pick(WORDS)];
  const [name, ...options] = dice.pick(examples);
  const parts = [name];
  for (const option of options) {
    if (dice.once(4)) {
      parts.push(option, dice.pick(["0", "1", "2", "3", "x", "fixed", "printed", "kmalloc", "none"]));
    }
  }
  if (dice.once(6)) parts.push("--stop");
  return parts;
}

function filterWords(dice: Dice, words: Vocabulary): string {
  const filter = dice.pick(FILTERS);
  const parts = [dice.once(20) ? misspelt(dice, filter.name) : filter.name];
  for (const option of filter.options ?? []) {
    if (dice.once(3)) parts.push(...optionWords(dice, option, words));
  }
  for (const _ of filter.args ?? []) {
    if (!dice.once(4)) parts.push(dice.pick([...NUMBERS, ...WORDS, "kworker", "'a b'"]));
  }
  return parts.join(" ");
}

const ATOMS = [
  "k",
  "_",
  "_error",
  "p",
  "undefined",
  "null",
  "NaN",
  "-0",
  "0",
  "1n",
  "3",
  '"text"',
  "'it'",
  "`t ${1}`",
  "[1, 2]",
  "{}",
  "({ a: 1 })",
  "/x/g",
  "k.cpus",
  "k.config",
  "k.log",
  "k.ram",
  "k.seq",
  "NULL",
  "GFP_KERNEL",
  "GFP_ATOMIC",
  "PAGE_SIZE",
  "jiffies(k)",
  "current(k)",
  "kmalloc(k, 64, GFP_KERNEL)",
  "kzalloc(k, 0, GFP_KERNEL)",
  "kmalloc(k, -1, GFP_KERNEL)",
  "kmalloc(k)",
  "kmalloc()",
  "vmalloc(k, 8192)",
  "kvmalloc(k, 9000, GFP_KERNEL)",
  "kfree(k, p)",
  "kfree(k, NULL)",
  "kfree(k, 12345)",
  "kvfree(k, p)",
  "vfree(k, p)",
  "alloc_pages(k, GFP_KERNEL, 0)",
  "rcu_read_lock(k)",
  "synchronize_rcu(k)",
  "rcu_barrier(k)",
  "kvfree_rcu(k, p)",
  "call_rcu(k, p, 5)",
  "msleep(k, 3)",
  "schedule(k)",
  "memoryVerdict(k, 0)",
  "[...liveObjects(k)].length",
  "slabinfo_show(k)",
  "formatAddr(p)",
  "parseAddr('zz')",
  "checkConfig({ cpus: 0 })",
  "new Kernel()",
  "print(k.seq)",
  "print()",
  "run(function* (k) { return 1 })",
  "run(function* (k) { yield* msleep(k, 1) })",
  "run(function* (k) { const q = yield* kmalloc(k, 32, GFP_KERNEL); yield* kfree(k, q); yield* kfree(k, q) })",
  "run(function* (k) { yield* rcu_read_lock(k); yield* msleep(k, 2) })",
  "run(function* (k) { throw new Error('mine') })",
  "run(function* (k) { yield 5 })",
  "run(3)",
  "run()",
  "run((k) => 3)",
  "run(async () => {})",
  "(() => { throw 3 })()",
  "(() => { throw null })()",
  "(() => { throw new Error('two\\nlines') })()",
  "(() => { throw { message: 5 } })()",
  "Promise.reject(new Error('later'))",
  "await Promise.resolve(4)",
  "await Promise.reject(undefined)",
  "new Proxy({}, { get() { throw new Error('trap') } })",
  "({ get x() { throw new Error('getter') } })",
  "({ [Symbol.toPrimitive]() { throw 1 } })",
  "Object.create(null)",
  "(() => { throw Object.create(null) })()",
  "(() => { throw Object.assign(new Error('x'), { message: 5, name: null, stack: 7 }) })()",
  "(() => { throw new Proxy(new Error('x'), { get() { throw 1 }, getPrototypeOf() { throw 2 } }) })()",
  "new Proxy({}, { getPrototypeOf() { throw 2 } })",
  "new Proxy([], { get() { throw 3 }, ownKeys() { throw 4 } })",
  "({ [Symbol.for('Deno.customInspect')]() { throw 5 } })",
  "({ then(f) { f(3) } })",
  "({ then() { throw 6 } })",
  "new Error('an error\\n    at file:1:2')",
  "queueMicrotask(() => {})",
  "Symbol('s')",
  "new Map([[1, {}]])",
  "function f() { return f }",
  "class C { #p = 1 }",
  "function* g(k) { yield* msleep(k, 1) }",
  "k.ram.load64(NULL)",
  "k.ram.store32(p, 7)",
  "k.ram.load8(k.ram.size)",
  "import('nosuch')",
  "eval('1 +')",
  "new Function('return (')()",
  "x = 3",
  "this",
  "arguments",
  "new.target",
];
const OPERATORS = [
  " + ",
  " - ",
  " * ",
  " / ",
  " | ",
  " && ",
  " ?? ",
  ", ",
  " === ",
  " in ",
  " instanceof ",
  "; ",
  " = ",
  " => ",
  "\n",
  " ",
];
const WRAPS = [
  ["let p = ", ""],
  ["const q = ", ";"],
  ["const { a, b: [c] } = ", ""],
  ["(", ")"],
  ["[", "]"],
  ["{", "}"],
  ["typeof ", ""],
  ["void ", ""],
  ["delete ", ""],
  ["await ", ""],
  ["yield* ", ""],
  ["throw ", ""],
  ["return ", ""],
  ["if (1) ", ""],
  ["print(", ")"],
  ["String(", ")"],
  ["JSON.stringify(", ")"],
  ["enum E { A = ", " }"],
  ["let t: number = ", ""],
  ["let u = <any>", ""],
  ["using w = ", ""],
  ["export const e = ", ""],
  ["interface I { x: ", " }"],
  ["try { ", " } finally {}"],
  ["label: ", ""],
  ["(", ""],
  ["`${", "}`"],
];

const TAME_ATOMS = ATOMS.filter((atom) => !/Promise\.reject|import\(/.test(atom));

function script(dice: Dice, atoms: readonly string[]): string {
  let text = dice.pick(atoms);
  for (let n = dice.below(4); n > 0; n--) {
    if (dice.once(2)) text += dice.pick(OPERATORS) + dice.pick(atoms);
    else {
      const [before, after] = dice.pick(WRAPS);
      text = before + text + after;
    }
  }
  // Who writes to the fields of `k` may break the machine, as with a debugger.
  if (/\bdelete\b|\bk\.\w+[^\w.(]*=(?![=>])/.test(text)) return dice.pick(atoms);
  if (dice.once(8)) text = text.slice(0, dice.below(text.length + 1));
  return text;
}

/** Random characters: printable, control, of other scripts, halves of pairs. */
function noise(dice: Dice): string {
  const length = 1 + dice.below(60);
  let text = "";
  for (let i = 0; i < length; i++) {
    const kind = dice.below(12);
    if (kind < 8) text += String.fromCharCode(32 + dice.below(95));
    else if (kind < 9) text += String.fromCharCode(dice.below(32));
    else if (kind < 10) {
      text += dice.pick(["'", '"', "`", "\\", "|", ">", ";", "#", "{", "(", "\n", "$", "*", "--"]);
    } else if (kind < 11) text += String.fromCharCode(dice.below(65536));
    else text += dice.pick(["boot", "ps", "run ", "k.", "let ", "exit", "\u2028", "\ufeff", "0x", "..."]);
  }
  // No loop of the host's own may come about by chance.
  return text.replace(/\b(while|for|do)\b/g, "x");
}
