// SPDX-License-Identifier: GPL-2.0-only
/**
 * The stress of tree RCU at length: 16 machines x 200 seeds with every monitor watching. (`deno task stress`)
 *
 * --seeds N: so many of each machine. --machines N: only those of N CPUs. --stop: up to the first violation, small machines
 * with fast ticks first; tools/mutants.ts runs it so. A violation is shown with machine, seed and a TOKEN: `replay TOKEN`
 * in the shell, started in the project's folder, does the run again, there with the event monitors only. Status 1:
 * something was violated.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { encodeToken, scheduleOf } from "../../explore/token.ts";
import type { Scenario } from "../../explore/scenario.ts";
import { bootTree } from "./tree_machine.ts";
import { type Shape, shapeName, SHAPES, stress, stressRun } from "./tree_stress.ts";

/** What the shell runs for a TOKEN. */
const scenario: Scenario = {
  name: "stress",
  summary: "readers and writers at random",
  options: [],
  main: (k: Kernel): MaySleep<void> => stress(k, k.config.seed),
};
export default scenario;

/** The name under which a TOKEN finds it, from the project's folder. */
const REF = "tests/rcu/stress.ts";

interface Counts {
  runs: number;
  violated: number;
  ended: number;
  besideReader: number;
  invoked: number;
  sharedBarriers: number;
}

/** One run; says what it violated. */
function runOne(k: Kernel, shape: Shape, seed: number, counts: Counts): boolean {
  const config = { ...k.config, seed };
  const { violations, monitors } = stressRun(k, scheduleOf(config));
  counts.runs++;
  counts.ended += monitors.gp?.ended ?? 0;
  counts.besideReader += monitors.gp?.endedBesideReader ?? 0;
  counts.invoked += monitors.callbacks.invoked;
  counts.sharedBarriers += monitors.waits.shared;
  if (violations.size === 0) return true;
  counts.violated++;
  console.log(`VIOLATED ${[...violations.keys()].join(" ")} [${shapeName(shape)} seed=${seed}]`);
  for (const [property, text] of violations) console.log(`  property ${property} violated: ${text}`);
  console.log(`  TOKEN ${encodeToken({ config, deviations: null, runs: [{ name: REF, options: {} }] })}`);
  return false;
}

function countsText(c: Counts): string {
  return `${c.runs} runs, ${c.violated} violated; ${c.ended} grace periods, ${c.besideReader} of them ended beside a ` +
    `younger reader; ${c.invoked} callbacks; ${c.sharedBarriers} barriers shared`;
}

/** Seeds machine after machine; the numbers of the whole. */
function runAll(shapes: readonly Shape[], seeds: number): Counts {
  const total: Counts = { runs: 0, violated: 0, ended: 0, besideReader: 0, invoked: 0, sharedBarriers: 0 };
  for (const shape of shapes) {
    const counts: Counts = { runs: 0, violated: 0, ended: 0, besideReader: 0, invoked: 0, sharedBarriers: 0 };
    const k = bootTree(shape);
    for (let seed = 1; seed <= seeds; seed++) runOne(k, shape, seed, counts);
    console.log(`${shapeName(shape)}: ${countsText(counts)}`);
    for (const name of Object.keys(counts) as (keyof Counts)[]) total[name] += counts[name];
  }
  return total;
}

/** Machines side by side, seed after seed, up to the first violation. */
function runToViolation(shapes: readonly Shape[], seeds: number): Counts {
  const counts: Counts = { runs: 0, violated: 0, ended: 0, besideReader: 0, invoked: 0, sharedBarriers: 0 };
  const order = [...shapes].sort((a, b) => b.HZ - a.HZ || a.fanout - b.fanout || a.cpus - b.cpus);
  const machines = order.map((shape) => ({ shape, k: bootTree(shape) }));
  for (let seed = 1; seed <= seeds; seed++) {
    for (const { shape, k } of machines) if (!runOne(k, shape, seed, counts)) return counts;
  }
  return counts;
}

function main(args: readonly string[]): void {
  function number(name: string, otherwise: number): number {
    const at = args.indexOf(name);
    return at < 0 ? otherwise : Number(args[at + 1]);
  }
  const seeds = number("--seeds", 200);
  const cpus = number("--machines", 0);
  const shapes = SHAPES.filter((shape) => cpus === 0 || shape.cpus === cpus);
  const began = performance.now();
  const total = args.includes("--stop") ? runToViolation(shapes, seeds) : runAll(shapes, seeds);
  console.log(`${countsText(total)}; ${((performance.now() - began) / 1000).toFixed(1)} s`);
  if (total.violated > 0) Deno.exit(1);
}

if (import.meta.main) main(Deno.args);
