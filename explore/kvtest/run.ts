// SPDX-License-Identifier: GPL-2.0-only
/**
 * One kvtest case on a fresh kernel of its own: what RCU holds after the calls, and what becomes of it.
 *
 * A case is prepared (spare pages, shrinkers, failing allocations), waits for the timer wheel's phase that was asked for,
 * and then calls: one thread for each CPU that takes part, bound to it. The calls of a CPU follow each other without a
 * break, as long as none of them waits. Invariant: the row is a function of the case and the configuration alone.
 *
 * @module
 */

import { PAGE_SIZE } from "../../kernel/machine/addr.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { checkConfig, type Config, levelAtLeast, MAX_MEM } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { complete, complete_all, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { kfree } from "../../mm/slub.ts";
import { drop_slab } from "../../mm/vmscan.ts";
import { bootKernel } from "../../init/main.ts";
import { offeredAt, whereOffered } from "../../rcu/levels/interfaces.ts";
import { Run } from "../run.ts";
import { OptionError } from "../scenario.ts";
import { scheduleOf } from "../token.ts";
import { alignTo, callAll, Caller, rowOf, startOn, untilQuiet, warmUp } from "./caller.ts";
import { type KvtestCase, MAX_SIZE } from "./case.ts";
import {
  armFailures,
  failHere,
  giveAway,
  hasWrappers,
  layoutOf,
  leaveOneWrapper,
  makeObjects,
} from "./objects.ts";
import type { KvtestRow } from "./row.ts";
import { earlyScript, stuckScript } from "./script.ts";
import { Watch } from "./watch.ts";

/** How long a case is watched, as the recordings were: longer than a late fill of the page cache. */
const WATCHED_MS = 7000;
/** A run ends long before; these only end what would go on for ever. */
const LIMITS = { ns: 1e13, points: 1e12 };
/** Points between two moments at which the host may stop. */
const CHUNK = 200_000;

/** What a case came to. */
export interface KvtestResult {
  readonly rows: readonly KvtestRow[];
  /** Titles of what the kernel reported. */
  readonly reports: readonly string[];
}

/** Refuses what the level, the flavour or the memory does not allow. Returns the configuration. */
export function configFor(c: KvtestCase, wanted: Partial<Config>): Config {
  const config = checkConfig(wanted);
  const { level, rcu, cpus } = config;
  const at = `level ${level}${rcu === "tiny" ? " of tiny RCU" : ""}`;
  const headless = "kvfree_call_rcu(NULL, ptr)";
  if (c.op === "kv1" && (rcu === "tiny" ? !levelAtLeast(level, "6/7") : !offeredAt(level, headless))) {
    const where = rcu === "tiny" ? "is there from 6/7 on" : whereOffered(headless);
    throw new OptionError(
      `kvtest: kv1 needs ${headless}, which ${where}, not at ${at}: use kv2 or a later level`,
    );
  }
  if (c.failing === "pfail" && levelAtLeast(level, "v5.9")) {
    throw new OptionError(`kvtest: pfail is a word for base to 7/7, not for ${at}: use fail`);
  }
  if (c.script !== null) {
    const least = c.script === "stuck" ? 2 : 3;
    if (rcu === "tiny" || cpus < least) {
      throw new OptionError(
        `kvtest: ${c.script} has readers on other CPUs: tree RCU on at least ${least} CPUs is allowed`,
      );
    }
  }
  return c.script === null ? withMemory(c, config, wanted) : config;
}

/** Bytes that the allocator takes for an object, at most. */
function footprint({ kind, size }: KvtestCase): number {
  const pages = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
  if (kind === "vmalloc") return pages + 256;
  const power = Math.max(8, 2 ** Math.ceil(Math.log2(size)));
  return kind === "slab" ? power : Math.max(power, pages) + 256;
}

function withMemory(c: KvtestCase, config: Config, wanted: Partial<Config>): Config {
  const all = c.n * (c.allcpu ? config.cpus : 1);
  const needed = 1.25 * all * footprint(c) + 64 * 2 ** 20;
  if (needed <= config.memBytes) return config;
  const memBytes = Math.ceil(needed / 2 ** 20) * 2 ** 20;
  if (memBytes <= MAX_MEM) return checkConfig({ ...wanted, memBytes });
  throw new OptionError(
    `kvtest: ${all} objects of ${c.size} bytes (${MAX_SIZE} at most) need ${
      Math.ceil(needed / 2 ** 20)
    }M of memory: ` +
      `${MAX_MEM / 2 ** 20}M is allowed`,
  );
}

/**
 * Runs a case, in steps that let the host look up. `phase` is (j0 + 1250) mod 64 at the first call; null does not care.
 */
export function* kvtest(
  c: KvtestCase,
  config: Config,
  phase: number | null = null,
): Generator<void, KvtestResult, void> {
  const k = bootKernel(config, scheduleOf(config));
  k.log.recording = false;
  const rows: KvtestRow[] = [];
  const watch = new Watch(k);
  const main = c.script === null
    ? plainMain(c, watch, phase, rows)
    : c.script === "stuck"
    ? stuckScript(watch, phase, rows)
    : earlyScript(watch, phase, rows);
  const run = new Run(k, { name: "kvtest", summary: "", options: [], main }, {}, LIMITS, "none");
  k.observer = watch;
  while (!run.advance(CHUNK)) yield;
  if (k.lastException !== null) throw k.lastException;
  return { rows, reports: k.reports.map((report) => report.title) };
}

function plainMain(
  c: KvtestCase,
  watch: Watch,
  phase: number | null,
  rows: KvtestRow[],
): (k: Kernel) => MaySleep<void> {
  return function* kvtestMain(k) {
    if (startsWarm(c, k.config)) yield* warmUp(k, c);
    if (c.cold) yield* drop_slab(k);
    armFailures(k, c);
    const callers = k.cpus.slice(0, c.allcpu ? k.cpus.length : 1).map(({ id }) => new Caller(id));
    const go = new completion("kvtest begins");
    for (const caller of callers) {
      yield* startOn(k, caller.cpu, "kvt", (k) => callFrom(k, c, watch, phase, caller, callers, go));
    }
    for (const { done } of callers) yield* wait_for_completion(k, done);
    yield* msleep(k, WATCHED_MS);
    yield* untilQuiet(k);
    for (const { taken } of callers) for (const p of taken) yield* kfree(k, p);
    for (const caller of callers) rows.push(rowOf(k, c.name, c.op, caller));
  };
}

/**
 * Whether the spare pages are to be there. In the series they are what a case of the same kind leaves, so a machine on
 * which nothing was queued yet has none; from v5.9 on they are there, and a cold machine loses them to its shrinkers.
 */
function startsWarm({ n, cold, failing }: KvtestCase, { rcu, level }: Config): boolean {
  if (rcu === "tiny") return false;
  return levelAtLeast(level, "v5.9") || (n > 1 && !cold && failing === "none");
}

/** A CPU's thread: makes its objects, waits for the others, and calls. */
function* callFrom(
  k: Kernel,
  c: KvtestCase,
  watch: Watch,
  phase: number | null,
  caller: Caller,
  callers: readonly Caller[],
  go: completion,
): MaySleep<void> {
  const layout = layoutOf(c.size);
  const objects = yield* makeObjects(k, c);
  if (c.op === "kv1" && c.failing !== "none" && hasWrappers(k.config)) {
    caller.taken = yield* leaveOneWrapper(k);
  }
  if (caller === callers[0]) {
    for (const { ready } of callers.slice(1)) yield* wait_for_completion(k, ready);
    yield* alignTo(k, phase);
    complete_all(k, go);
  } else {
    complete(k, caller.ready);
    yield* wait_for_completion(k, go);
  }
  failHere(k, c.failing !== "none");
  yield* callAll(k, watch, caller, objects, (p) => giveAway(k, c.op, p, layout));
  failHere(k, false);
  complete(k, caller.done);
}
