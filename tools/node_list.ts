// SPDX-License-Identifier: GPL-2.0-only
/**
 * Machines and programs that must come out the same in every host: what `deno task node` executes in Deno and in Node.
 *
 * Chosen so that each flavour of RCU, levels of kvfree_rcu from both ends, KASAN, debug objects, kmemleak, several CPUs,
 * another policy, injected failures by function name and reports with call traces are all in it, and no run
 * takes longer than a moment. The list knows nothing of the host: it is compiled for Node together with the kernel.
 *
 * @module
 */

import {
  boot,
  checkOptions,
  type Config,
  encodeToken,
  type OptionValues,
  POLICY_FINE,
  Run,
  type Scenario,
} from "../mod.ts";
import { ext4Scenario } from "../examples/ext4_kvfree_array_rcu.ts";
import { helloScenario } from "../examples/hello_kvfree_rcu.ts";

/** One machine and what runs on it. */
export interface ListedRun {
  readonly name: string;
  readonly config: Partial<Config>;
  readonly scenario: Scenario;
  readonly options: OptionValues;
}

/** The list. */
export const RUNS: readonly ListedRun[] = [
  { name: "hello on tree RCU", config: {}, scenario: helloScenario, options: {} },
  { name: "tiny RCU", config: { rcu: "tiny" }, scenario: ext4Scenario, options: {} },
  {
    name: "tiny RCU, kmalloc() fails in a function that is named",
    config: { rcu: "tiny", seed: 2 },
    scenario: ext4Scenario,
    options: { variant: "printed", fail: "kmalloc" },
  },
  { name: "tree RCU, 7/7", config: { level: "7/7" }, scenario: ext4Scenario, options: { grows: "5" } },
  {
    name: "tree RCU, 7/7, 32 CPUs, small leaves",
    config: { cpus: 32, HZ: 1000, fanout: 4, fanoutLeaf: 4, seed: 3 },
    scenario: ext4Scenario,
    options: {},
  },
  {
    name: "tree RCU, base, fine policy",
    config: { level: "base", policy: POLICY_FINE, seed: 4 },
    scenario: ext4Scenario,
    options: { variant: "fixed" },
  },
  { name: "tree RCU, v6.3", config: { level: "v6.3", seed: 5 }, scenario: ext4Scenario, options: {} },
  {
    name: "KASAN reports a use after free",
    config: { kasan: true, seed: 6 },
    scenario: ext4Scenario,
    options: { reader: "escapes" },
  },
  {
    name: "debug objects and kmemleak, pages fail",
    config: { debugObjects: true, kmemleak: true, seed: 7 },
    scenario: ext4Scenario,
    options: { fail: "page" },
  },
];

/** Executes one of the list: a line with its hashes, its token, and the lines of its reports. */
export function execute({ name, config, scenario, options }: ListedRun): string[] {
  const k = boot(config);
  const chosen = checkOptions(scenario, options);
  const run = new Run(k, scenario, chosen);
  run.advance();
  const { ending, reports, violations, lastEvent, hash } = run.verdict();
  const token = encodeToken({
    config: k.config,
    deviations: null,
    runs: [{ name: scenario.name, options: chosen }],
  });
  return [
    `${name}: ${ending} at event ${lastEvent}, ${reports} reports, hash ${hash}, memory ${k.digest()}`,
    `  token ${token}`,
    ...k.reports.flatMap((report) => report.lines).map((line) => `  ${line}`),
    ...violations.map((violation) => `  ${JSON.stringify(violation)}`),
  ];
}

/** Executes all of the list. */
export function* executeAll(): Generator<string> {
  for (const run of RUNS) yield* execute(run);
}
