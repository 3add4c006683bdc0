// SPDX-License-Identifier: GPL-2.0-only
/**
 * Making allocations fail on purpose. Mirrors lib/fault-inject.c (v5.7): a fault_attr fails requests by probability,
 * interval and task. Beside it, ours: exact rules ("the 3rd order-0 page that kvfree_call_rcu asks for"), because an
 * experiment wants one certain failure, not a rate.
 *
 * Invariant: every decision is a function of the run so far; what the kernel draws at random, the chooser draws. Only a
 * rule that names a function looks at the host's call stack.
 * Left out: stack-trace address filters (a rule's `site` does that job) and the debugfs files.
 *
 * @module
 */

import { assert } from "./machine/assert.ts";
import { show_gfp_flags } from "./gfp.ts";
import type { Kernel } from "./kernel.ts";
import { in_task } from "./preempt.ts";
import { dumpStackLines, KERN_NOTICE, KERN_WARNING, printk } from "./printk.ts";
import { ___ratelimit, ratelimit_state } from "./ratelimit.ts";
import { current, type task_struct } from "./sched/sched.ts";
import { allocationCaller } from "./stacktrace.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "./static.ts";

/** How one kind of request is made to fail. @mirrors include/linux/fault-inject.h:fault_attr */
export class fault_attr {
  /** Percent; 0 is off. */
  probability = 0;
  /** Only every so manieth request comes into question. */
  interval = 1;
  /** Failures left, -1 is no limit. */
  times = 1;
  /** Size (bytes or pages) that is let through first. */
  space = 0;
  /** 0 silent, 1 a line, 2 with the call trace. */
  verbose = 2;
  /** Only tasks with make_it_fail. */
  task_filter = false;
  count = 0;
  readonly ratelimit_state: ratelimit_state = new ratelimit_state(0, 0);

  /** `dname` is the name of its debugfs folder. */
  constructor(readonly dname: string) {}
}

/**
 * Sets an attribute from "<interval>,<probability>,<space>,<times>". Returns whether the text could be read.
 *
 * @mirrors lib/fault-inject.c:setup_fault_attr
 */
export function setup_fault_attr(k: Kernel, attr: fault_attr, str: string): boolean {
  const match = /^\s*(\d+),\s*(\d+),\s*(-?\d+),\s*(-?\d+)/.exec(str);
  if (match === null) {
    printk(k, KERN_WARNING, "FAULT_INJECTION: failed to parse arguments");
    return false;
  }
  attr.interval = Number(match[1]);
  attr.probability = Number(match[2]);
  attr.space = Number(match[3]);
  attr.times = Number(match[4]);
  return true;
}

function fail_dump(k: Kernel, attr: fault_attr): void {
  if (attr.verbose === 0 || !___ratelimit(k, attr.ratelimit_state, "fail_dump")) return;
  printk(k, KERN_NOTICE, "FAULT_INJECTION: forcing a failure.");
  printk(
    k,
    KERN_NOTICE,
    `name ${attr.dname}, interval ${attr.interval}, probability ${attr.probability}, ` +
      `space ${attr.space}, times ${attr.times}`,
  );
  if (attr.verbose > 1) { for (const line of dumpStackLines(k)) printk(k, KERN_NOTICE, line); }
}

function fail_task(k: Kernel, _attr: fault_attr, task: task_struct): boolean {
  return in_task(k) && task.make_it_fail;
}

/**
 * Whether a request of this kind and size fails now.
 *
 * Context: any. Units: `size` is bytes or pages, as `attr.space`.
 *
 * @mirrors lib/fault-inject.c:should_fail
 * @simplified no stack-trace filter; the percentage is drawn by the chooser
 */
export function should_fail(k: Kernel, attr: fault_attr, size: number): boolean {
  let forced = false;
  if (in_task(k)) {
    const task = current(k);
    if (task.fail_nth !== 0) {
      if (--task.fail_nth !== 0) return false;
      forced = true;
    }
  }
  if (!forced) {
    if (attr.probability === 0) return false;
    if (attr.task_filter && !fail_task(k, attr, current(k))) return false;
    if (attr.times === 0) return false;
    if (attr.space > size) {
      attr.space -= size;
      return false;
    }
    if (attr.interval > 1) {
      attr.count++;
      if (attr.count % attr.interval !== 0) return false;
    }
    if (attr.probability <= k.choose(100, true)) return false;
  }
  fail_dump(k, attr);
  if (attr.times > 0) attr.times--;
  return true;
}

// Exact rules

/** Which requests a rule is about, and which of them fail; what is not given matches everything. */
export interface FailRule {
  readonly what: "slab" | "page";
  /** Name of the function that asks: the innermost one outside mm/. */
  readonly site?: string;
  /** Name of the kmem_cache (slab only). */
  readonly cache?: string;
  /** Bytes asked for (slab only). */
  readonly size?: number;
  /** Order of the block (page only). */
  readonly order?: number;
  /** All of these GFP bits are set ... */
  readonly gfp?: number;
  /** ... or, with a mask: the bits under the mask are exactly these (-1: the flags are exactly `gfp`). */
  readonly gfpMask?: number;
  /** The first match that fails, from 1; 1 when not given. */
  readonly nth?: number;
  /** How many fail from there on, -1 is for ever; 1 when not given. */
  readonly times?: number;
}

/** A rule at work. */
export interface FailRuleState {
  readonly rule: FailRule;
  /** From 1, in the order of addFailRule(); never used again. */
  readonly id: number;
  /** Requests that matched. */
  readonly matches: number;
  /** Requests that were made to fail. */
  readonly failures: number;
}

/** What a rule is compared with. */
export interface FailRequest {
  readonly gfp: number;
  readonly order?: number;
  readonly cache?: string;
  readonly size?: number;
}

class fail_rule_state implements FailRuleState {
  matches = 0;
  failures = 0;
  constructor(readonly id: number, readonly rule: FailRule) {}
}

class FailRules {
  readonly list: fail_rule_state[] = [];
  lastId = 0;
}

/** @invented the list of exact rules */
const fail_rules: KernelStatic<FailRules> = KERNEL_STATIC("fail_rules", () => new FailRules());

export const statics: readonly StaticKey[] = [fail_rules];

/**
 * Adds a rule and returns its number. A rule that can never match or fail is refused.
 *
 * @invented experiments want one certain failure
 */
export function addFailRule(k: Kernel, rule: FailRule): number {
  const { nth = 1, times = 1, order, cache, size } = rule;
  if (!Number.isSafeInteger(nth) || nth < 1) throw new RangeError(`nth ${nth}: 1 or more is allowed`);
  if (!Number.isSafeInteger(times) || times < -1 || times === 0) {
    throw new RangeError(`times ${times}: 1 or more, or -1 for ever, is allowed`);
  }
  if (rule.what === "slab" && order !== undefined) {
    throw new TypeError("order is about pages, not about slab");
  }
  if (rule.what === "page" && (cache !== undefined || size !== undefined)) {
    throw new TypeError("cache and size are about slab, not about pages");
  }
  const rules = fail_rules(k);
  rules.list.push(new fail_rule_state(++rules.lastId, Object.freeze({ ...rule })));
  return rules.lastId;
}

/**
 * Removes rule `id`, or all rules. Returns how many there were.
 *
 * @invented see addFailRule()
 */
export function clearFailRules(k: Kernel, id?: number): number {
  const { list } = fail_rules(k);
  const before = list.length;
  const rest = id === undefined ? [] : list.filter((it) => it.id !== id);
  list.splice(0, before, ...rest);
  return before - list.length;
}

/**
 * The rules with their hit counts; a look.
 *
 * @invented see addFailRule()
 */
export function listFailRules(k: Kernel): FailRuleState[] {
  return fail_rules(k).list.map(({ rule, id, matches, failures }) => ({ rule, id, matches, failures }));
}

/**
 * Whether any rule exists; the guard in front of shouldFailExactly() on paths that must be quick.
 *
 * @invented see addFailRule()
 */
export function failRulesExist(k: Kernel): boolean {
  return fail_rules(k).list.length !== 0;
}

/**
 * Whether a rule says that this request fails. Every rule counts every match, also when another one decides.
 *
 * @invented see addFailRule()
 */
export function shouldFailExactly(k: Kernel, what: FailRule["what"], request: FailRequest): boolean {
  let site: string | undefined;
  let fail = false;
  for (const state of fail_rules(k).list) {
    const { rule } = state;
    if (rule.what !== what || !matchesRequest(rule, request)) continue;
    if (rule.site !== undefined) {
      site ??= allocationCaller()?.name ?? "";
      if (site !== rule.site) continue;
    }
    if (!decide(state)) continue;
    fail = true;
    if (state.failures === 1) announce(k, state);
  }
  return fail;
}

function matchesRequest(rule: FailRule, request: FailRequest): boolean {
  if (rule.order !== undefined && rule.order !== request.order) return false;
  if (rule.cache !== undefined && rule.cache !== request.cache) return false;
  if (rule.size !== undefined && rule.size !== request.size) return false;
  if (rule.gfp === undefined) return true;
  return (request.gfp & (rule.gfpMask ?? rule.gfp)) === rule.gfp;
}

/** Counts a match; whether it is one of those that fail. */
function decide(state: fail_rule_state): boolean {
  const { nth = 1, times = 1 } = state.rule;
  state.matches++;
  if (state.matches < nth || (times !== -1 && state.matches >= nth + times)) return false;
  state.failures++;
  return true;
}

/** The first failure of a rule is said in the kernel log, later ones are only counted. */
function announce(k: Kernel, state: fail_rule_state): void {
  printk(k, KERN_NOTICE, "FAULT_INJECTION: forcing a failure.");
  printk(k, KERN_NOTICE, `rule ${state.id}: ${failRuleText(state.rule)}, at match ${state.matches}`);
}

/**
 * A rule in words.
 *
 * @invented see addFailRule()
 */
export function failRuleText(rule: FailRule): string {
  const { nth = 1, times = 1, gfp, gfpMask } = rule;
  assert(times !== 0, "a rule fails at least once");
  const parts: string[] = [rule.what];
  if (rule.order !== undefined) parts.push(`order ${rule.order}`);
  if (rule.cache !== undefined) parts.push(`cache ${rule.cache}`);
  if (rule.size !== undefined) parts.push(`size ${rule.size}`);
  if (gfp !== undefined) {
    const mask = gfpMask === undefined || gfpMask === -1 ? "" : ` of ${show_gfp_flags(gfpMask)}`;
    parts.push(`gfp ${gfpMask === -1 ? "exactly " : ""}${show_gfp_flags(gfp)}${mask}`);
  }
  if (rule.site !== undefined) parts.push(`in ${rule.site}`);
  parts.push(`nth ${nth}`, times === -1 ? "for ever" : `times ${times}`);
  return parts.join(", ");
}
