// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tokens: one line that replays a run anywhere.
 *
 * A token holds everything a run is a function of: versions, machine, schedule (policy, seed, deviations), and the
 * programs run since boot with their options. It is `q2.` and base64url of varints, with a checksum at the end.
 *
 * @module
 */

import { COST_VERSION } from "../kernel/machine/cost.ts";
import { type Deviation, POLICIES, POLICY_VERSION, type Schedule } from "../kernel/machine/chooser.ts";
import { nameHash } from "../kernel/machine/hash.ts";
import { checkConfig, type Config, LEVELS, type PreemptChoice, type RcuChoice } from "../kernel/config.ts";
import type { OptionValues } from "./scenario.ts";

/** A program that ran, by name. */
export interface TokenRun {
  readonly name: string;
  readonly options: OptionValues;
}

/** What a token says. */
export interface TokenContent {
  readonly config: Config;
  readonly deviations: readonly Deviation[] | null;
  readonly runs: readonly TokenRun[];
}

/** Thrown for text that is no token, or one of another version; the message is one line for the user. */
export class TokenError extends Error {
  override readonly name: string = "TokenError";
}

const PREFIX = "q2.";
/** The format in which tiny RCU on one CPU went without saying. */
const OLD_PREFIX = "q1.";
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const RCU: readonly RcuChoice[] = ["tiny", "tree", "none"];
const PREEMPT: readonly PreemptChoice[] = ["none", "full"];

/**
 * Words that tokens hold as one number, so that the usual token is short. Append only: a place once given stays given.
 */
const WORDS: readonly string[] = [
  "",
  "ext4_kvfree_array_rcu",
  "hello_kvfree_rcu",
  "variant",
  "printed",
  "fixed",
  "kvfree_rcu",
  "grows",
  "fail",
  "kmalloc",
  "page",
  "wrapper",
  "page,wrapper",
  "size",
  "!fail",
  "!clear",
  "what",
  "slab",
  "site",
  "cache",
  "order",
  "gfp",
  "gfpMask",
  "nth",
  "times",
  "-1",
  "0",
  "1",
  "2",
  "3",
  "kvfree_call_rcu_add_ptr_to_bulk",
  "attach_rcu_head_to_object",
  "kvfree_early",
  "kvfree_stranded",
  "kvmalloc",
  "groups",
  "512",
  "reader",
  "leaves",
  "escapes",
  "hold",
  "12",
];

class Writer {
  readonly bytes: number[] = [];

  varint(value: number): void {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.bytes.push((rest % 128) + 128);
    this.bytes.push(rest);
  }

  /** A word of the list by its place, or 0 and the bytes. */
  text(value: string): void {
    const word = WORDS.indexOf(value) + 1;
    this.varint(word);
    if (word > 0) return;
    const bytes = new TextEncoder().encode(value);
    this.varint(bytes.length);
    this.bytes.push(...bytes);
  }
}

class Reader {
  private at = 0;
  constructor(private readonly bytes: readonly number[]) {}

  varint(): number {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const byte = this.bytes[this.at++];
      if (byte === undefined || factor > 2 ** 49) throw new TokenError("token is cut off");
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  }

  text(): string {
    const word = this.varint();
    if (word > WORDS.length) throw new TokenError("token names a word that this build does not know");
    if (word > 0) return WORDS[word - 1];
    const length = this.varint();
    if (this.at + length > this.bytes.length) throw new TokenError("token is cut off");
    const text = new TextDecoder().decode(new Uint8Array(this.bytes.slice(this.at, this.at + length)));
    this.at += length;
    return text;
  }
}

/** The machine's numbers, in the order in which tokens hold those that differ from the default. */
function configNumbers(c: Config): number[] {
  return [
    RCU.indexOf(c.rcu),
    c.cpus,
    c.memBytes / 4096,
    c.HZ,
    PREEMPT.indexOf(c.preempt),
    LEVELS.indexOf(c.level),
    c.policy.id,
    c.kasan ? 1 : 0,
    c.debug ? 1 : 0,
    c.debugObjects ? 1 : 0,
    c.fanout,
    c.fanoutLeaf,
    c.nrCpus,
    c.bootFanoutLeaf,
    c.fanoutExact ? 1 : 0,
    c.dumpTree ? 1 : 0,
    c.kmemleak ? 1 : 0,
    c.rawLockNesting ? 1 : 0,
    c.rcuMinCachedObjs + 1,
    c.rcuDelayPageCacheFillMsec,
    c.rcuSelfTest ? 1 : 0,
    c.earlyDriver,
  ];
}

/**
 * What goes without saying, in the order of `configNumbers`: the default machine when the format was made. A later default
 * changes nothing here, so that a token means the same for ever.
 */
const UNSAID: readonly number[] = [
  1,
  4,
  65536,
  250,
  0,
  LEVELS.indexOf("7/7"),
  1,
  0,
  1,
  0,
  64,
  16,
  512,
  0,
  0,
  0,
  0,
  0,
  0,
  5000,
  0,
  0,
];

function configFrom(numbers: readonly number[], seed: number): Config {
  const [rcu, cpus, pages, HZ, preempt, level, policy, kasan, debug, debugObjects, ...tree] = numbers;
  const [fanout, fanoutLeaf, nrCpus, bootFanoutLeaf, fanoutExact, dumpTree, ...later] = tree;
  const [kmemleak, rawLockNesting, cachedObjs, rcuDelayPageCacheFillMsec, selfTest, earlyDriver] = later;
  const found = POLICIES.find((p) => p.id === policy);
  if (found === undefined) throw new TokenError(`token names policy ${policy}, which does not exist here`);
  return checkConfig({
    rcu: RCU[rcu],
    cpus,
    memBytes: pages * 4096,
    HZ,
    preempt: PREEMPT[preempt],
    level: LEVELS[level],
    seed,
    policy: found,
    kasan: kasan === 1,
    debug: debug === 1,
    debugObjects: debugObjects === 1,
    fanout,
    fanoutLeaf,
    nrCpus,
    bootFanoutLeaf,
    fanoutExact: fanoutExact === 1,
    dumpTree: dumpTree === 1,
    kmemleak: kmemleak === 1,
    rawLockNesting: rawLockNesting === 1,
    rcuMinCachedObjs: cachedObjs - 1,
    rcuDelayPageCacheFillMsec,
    rcuSelfTest: selfTest === 1,
    earlyDriver,
  });
}

/** Writes a token. */
export function encodeToken(content: TokenContent): string {
  const w = new Writer();
  w.varint(COST_VERSION);
  w.varint(POLICY_VERSION);
  w.varint(content.config.seed);
  const numbers = configNumbers(content.config);
  const changed = numbers.map((n, i) => [i, n]).filter(([i, n]) => n !== UNSAID[i]);
  w.varint(changed.length);
  for (const [i, n] of changed) {
    w.varint(i);
    w.varint(n);
  }
  w.varint(content.runs.length);
  for (const run of content.runs) {
    w.text(run.name);
    const options = Object.entries(run.options);
    w.varint(options.length);
    for (const [name, value] of options) {
      w.text(name);
      w.text(value);
    }
  }
  w.varint(content.deviations === null ? 0 : content.deviations.length + 1);
  for (const d of content.deviations ?? []) {
    w.varint(d.site);
    w.varint(d.nth);
    w.varint(d.stall);
  }
  return PREFIX + base64url([...w.bytes, ...checksum(w.bytes)]);
}

/** Reads a token; throws TokenError with one line when it cannot be replayed here. */
export function decodeToken(token: string): TokenContent {
  if (token.startsWith(OLD_PREFIX)) {
    throw new TokenError(`token has format ${OLD_PREFIX}, this build replays ${PREFIX}: make it anew`);
  }
  if (!token.startsWith(PREFIX)) {
    throw new TokenError(`"${token.slice(0, 20)}" is not a token: they start with ${PREFIX}`);
  }
  const bytes = fromBase64url(token.slice(PREFIX.length));
  const body = bytes.slice(0, -2);
  if (String(checksum(body)) !== String(bytes.slice(-2))) {
    throw new TokenError("token is damaged: its checksum is wrong");
  }
  const r = new Reader(body);
  const cost = r.varint();
  const policy = r.varint();
  if (cost !== COST_VERSION || policy !== POLICY_VERSION) {
    throw new TokenError(
      `token was made by schedule version ${policy}.${cost}, this build replays ${POLICY_VERSION}.${COST_VERSION}`,
    );
  }
  const seed = r.varint();
  const numbers = [...UNSAID];
  for (let n = r.varint(); n > 0; n--) {
    const i = r.varint();
    numbers[i] = r.varint();
  }
  const config = configFrom(numbers, seed);
  const runs: TokenRun[] = [];
  for (let n = r.varint(); n > 0; n--) {
    const name = r.text();
    const options: Record<string, string> = {};
    for (let m = r.varint(); m > 0; m--) {
      const option = r.text();
      options[option] = r.text();
    }
    runs.push({ name, options });
  }
  const count = r.varint();
  if (count === 0) return { config, deviations: null, runs };
  const deviations: Deviation[] = [];
  for (let n = count - 1; n > 0; n--) {
    deviations.push({ site: r.varint(), nth: r.varint(), stall: r.varint() });
  }
  return { config, deviations, runs };
}

/** The schedule that a token, or a plain configuration, runs under. */
export function scheduleOf(config: Config, deviations: readonly Deviation[] | null = null): Schedule {
  return { policy: config.policy, seed: config.seed, deviations };
}

function checksum(bytes: readonly number[]): [number, number] {
  const h = nameHash(String.fromCharCode(...bytes));
  return [h & 0xff, (h >>> 8) & 0xff];
}

function base64url(bytes: readonly number[]): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const word = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const digits = Math.min(4, bytes.length - i + 1);
    for (let d = 0; d < digits; d++) text += DIGITS[(word >>> (18 - 6 * d)) & 63];
  }
  return text;
}

function fromBase64url(text: string): number[] {
  const bytes: number[] = [];
  let word = 0;
  let bits = 0;
  for (const char of text) {
    const digit = DIGITS.indexOf(char);
    if (digit < 0) throw new TokenError(`token has a character "${char}" that tokens do not have`);
    word = (word << 6) | digit;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((word >>> bits) & 0xff);
    word &= (1 << bits) - 1;
  }
  return bytes;
}
