// SPDX-License-Identifier: GPL-2.0-only
/**
 * The machines of a variant, and the right answers about them.
 *
 * Invariant: an answer is found by doing the same on the same machine; none is stored. What the shell's commands do, this
 * does through the workbench that they use.
 *
 * @module
 */

import {
  checkConfig,
  type Config,
  formatAddr,
  type Kernel,
  memoryVerdict,
  type VirtAddr,
} from "../../mod.ts";
import ext4Scenario from "../../examples/ext4_kvfree_array_rcu.ts";
import type { OptionValues } from "../../explore/scenario.ts";
import { Workbench } from "../../explore/workbench.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { cpu_rq } from "../../kernel/sched/sched.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { frag_show } from "../../mm/show_mem.ts";
import { slabObjectAt } from "../../mm/slab_live.ts";
import type { Variant } from "../lab.ts";

/** The grace period that is asked about: the first one of a run. */
export const GP = -1199;

/** The variant of a key; 0 is the hand-out's. */
export function variantOf(key: number): Variant {
  const groups = [512, 100, 200, 600, 1000, 60, 30];
  return {
    cpus: 3 + key % 2,
    mem: `${[48, 32, 40, 64][key % 4]}M`,
    seed: 7 + key % 9973,
    grows: 3 + key % 3,
    hold: 30 + key % 17,
    groups: groups[key % groups.length],
    cpu: 1 + key % 2,
    seed2: 9 + key % 9931,
  };
}

/** What is booted first. */
export function machineOf({ cpus, mem, seed }: Variant): Config {
  const memBytes = parseInt(String(mem)) * 2 ** 20;
  return checkConfig({ cpus: Number(cpus), memBytes, seed: Number(seed) });
}

function optionsOf({ grows, hold, groups }: Variant): OptionValues {
  return { grows: String(grows), hold: String(hold), groups: String(groups) };
}

function finish(work: Iterable<void>): void {
  for (const _ of work);
}

/** A run of the variant, at its end. */
export function ran(variant: Variant): Workbench {
  const bench = new Workbench();
  bench.boot(machineOf(variant));
  bench.start(ext4Scenario, optionsOf(variant));
  finish(bench.advance());
  return bench;
}

const NAMES: ReadonlyMap<string, number> = new Map(traceEvents.map(({ name, id }) => [name, id]));

function records(k: Kernel, since: number, name: string): EventRecord[] {
  return [...k.log.records(since)].filter(({ kind }) => kind === NAMES.get(name));
}

/** The first machine after its run, and what it answers; each answer may take it to another event. */
export class Subject {
  readonly bench: Workbench;
  private readonly k: Kernel;
  private readonly since: number;
  private readonly batchStart: number;
  private readonly given: EventRecord;

  constructor(private readonly variant: Variant) {
    this.bench = ran(variant);
    this.k = this.bench.k;
    this.since = this.bench.since;
    [this.given] = records(this.k, this.since, "kvfree_rcu");
    this.batchStart = records(this.k, this.since, "rcu_batch_start")[0].seq;
  }

  largestFree(): readonly [number, number] {
    return largestFreeOf(this.k);
  }

  /** Any of them, when they reported together. */
  lastCpus(): number[] {
    return lastCpusOf(this.k, this.since);
  }

  pointers(): number {
    return records(this.k, this.since, "rcu_invoke_kfree_bulk_callback")[0].args[1];
  }

  endOfGp(): number {
    const { k } = this;
    const ends = records(k, this.since, "rcu_grace_period").filter(({ args }) =>
      k.log.text(args[2]) === "end"
    );
    return ends.find(({ args }) => args[1] === GP)?.seq ?? 0;
  }

  who(): string {
    finish(this.bench.goto(this.given.seq));
    return cpu_rq(this.k, Number(this.variant.cpu)).curr.comm;
  }

  cache(): string {
    finish(this.bench.goto(this.given.seq));
    return slabObjectAt(this.k, this.given.args[0] as VirtAddr)?.cache.name ?? "";
  }

  stepBack(): number {
    finish(this.bench.goto(this.given.seq));
    finish(this.bench.back(1));
    return this.k.seq;
  }

  pending(): number {
    finish(this.bench.goto(this.batchStart));
    return memoryVerdict(this.k, this.bench.since).pending.length;
  }
}

function largestFreeOf(k: Kernel): readonly [number, number] {
  const counts = frag_show(k)[0].replace(/^.*Normal/, "").trim().split(/\s+/).map(Number);
  const order = counts.findLastIndex((count) => count > 0);
  return [order, counts[order] ?? 0];
}

/** CPUs whose report let the grace period end: those of the last report that reached a leaf (all are in one). */
function lastCpusOf(k: Kernel, since: number): number[] {
  const reports = records(k, since, "rcu_quiescent_state_report").filter(({ args }) => args[1] === GP);
  const last = reports.at(-1);
  if (last === undefined) return [];
  const [, , mask, , , grplo] = last.args;
  return Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => (mask & (1 << bit)) !== 0).map((bit) =>
    grplo + bit
  );
}

/** The second machine: the printed helper without memory for its stub. */
export function leaked(variant: Variant): { bytes: number; token: string; where: string } {
  const bench = new Workbench();
  const k = bench.boot(checkConfig({ rcu: "tiny", cpus: 1, seed: Number(variant.seed2) }));
  const grows = String(variant.grows);
  bench.start(ext4Scenario, { variant: "printed", fail: "kmalloc", grows, groups: String(variant.groups) });
  finish(bench.advance());
  const lost = memoryVerdict(k, bench.since).leaked;
  return {
    bytes: lost.reduce((sum, { size }) => sum + size, 0),
    token: bench.token(),
    where: lost.map(({ addr }) => formatAddr(addr)).join(", "),
  };
}
