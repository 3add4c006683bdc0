// SPDX-License-Identifier: GPL-2.0-only
/**
 * Hunts in each difference for the instructor's solutions. Tokens and event numbers are those of one build: after a change
 * of the kernel `deno run --allow-read --allow-write labs/instructor/l9/hunt.ts` puts new ones into their files.
 *
 * Two hunters: one draws schedules, the other goes through all with few stalls. Neither looks at more than what a
 * student has: the program, faults, the class of what it found.
 *
 * @module
 */

import { checkConfig, encodeToken, type FailRule, type TokenRun } from "../../../mod.ts";
import { Executor } from "../../../explore/search/executor.ts";
import type { Plan } from "../../../explore/search/explore.ts";
import { searchBounded } from "../../../explore/search/bounded.ts";
import { minimising } from "../../../explore/search/minimise.ts";
import { samplePct } from "../../../explore/search/sample.ts";
import { Search } from "../../../explore/search/search.ts";
import { POLICY_RUN_ON } from "../../../kernel/machine/chooser.ts";
import { FAIL_ACTION, ruleToOptions } from "../../../explore/workbench.ts";
import { dealOf, type Site, SITES, VARIANTS } from "../../l9/deal.ts";
import { type Difference, DIFFERENCES } from "../../l9/differences.ts";
import { confirm } from "../../l9/findings.ts";
import { partsWith } from "../../l9/parts.ts";
import { classesOf, LIMITS } from "../../l9/play.ts";
import { resizeScenario } from "../../l9/program.ts";

/** Which faults to try, the fewest first. */
const FAULTS: readonly (readonly FailRule[])[] = [
  [],
  [{ what: "slab", site: "ext4_kvfree_array_rcu", times: -1 }],
  [
    { what: "slab", site: "ext4_kvfree_array_rcu", times: -1 },
    { what: "page", site: "ext4_kvfree_array_rcu", times: -1 },
  ],
];

/** How long readers look, the usual first. */
const HOLDS = ["12", "20"];

/** What a hunter finds. */
export interface Prey {
  readonly token: string;
  readonly verdict: string;
  readonly event: number;
  readonly who: string;
  readonly bytes: number;
  readonly freedBy: string;
}

/** Hunts one difference at the site where a variant has it. */
export function hunt(difference: Difference, plan: Plan & { policy: "pct" | "bounded" }, seed: number): Prey {
  const [variant, site] = whereIs(difference);
  for (const [faults, hold] of FAULTS.flatMap((faults) => HOLDS.map((hold) => [faults, hold] as const))) {
    const config = checkConfig({ cpus: 4, kasan: true, seed, policy: POLICY_RUN_ON, memBytes: 64 * 2 ** 20 });
    const options = { site, grows: "1", ...(hold === HOLDS[0] ? {} : { hold }) };
    const subject = {
      config,
      scenario: resizeScenario(() => partsWith(difference.change)),
      options,
      faults,
      limits: LIMITS,
      judge: (k: Parameters<typeof classesOf>[0], run: Parameters<typeof classesOf>[1]) =>
        classesOf(k, run).has(difference.class) ? { kind: difference.class, text: difference.class } : null,
    };
    const search = new Search(subject, { executions: 300, points: 1e9 });
    for (const _ of plan.policy === "pct" ? samplePct(search, plan) : searchBounded(search, plan));
    if (search.first === null) continue;
    const { deviations } = last(minimising(new Executor(subject), search.first.execution));
    const runs: TokenRun[] = faults.map((rule) => ({ name: FAIL_ACTION, options: ruleToOptions(rule) }));
    const run = { name: "labs/l9/resize.ts", options: { ...options, variant: String(variant) } };
    const token = encodeToken({ config, deviations, runs: [...runs, run] });
    const nothing = { verdict: difference.class, token, event: 0, who: "", bytes: 0, freedBy: "" };
    const confirmed = confirm(nothing, { variant }, site, () => {});
    if ("why" in confirmed) throw new Error(`${difference.id}: ${confirmed.why}`);
    const [{ event, who, bytes, freedBy }] = confirmed.stories;
    return { token, verdict: difference.class, event, who, bytes, freedBy };
  }
  throw new Error(`${difference.id} was not found`);
}

function last<R>(work: Generator<void, R, void>): R {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** A variant and a site that has the difference. */
function whereIs(difference: Difference): [number, Site] {
  for (let variant = 0; variant < VARIANTS; variant++) {
    for (const site of SITES) if (dealOf(variant)[site] === difference) return [variant, site];
  }
  throw new Error(`no variant has ${difference.id}`);
}

/** The table of a solution. */
export function table(plan: Plan & { policy: "pct" | "bounded" }, seed: number): Record<string, Prey> {
  const all = Object.values(DIFFERENCES).flat();
  return Object.fromEntries(all.map((difference) => [difference.id, hunt(difference, plan, seed)]));
}

/** Puts a table into the files that have one. */
function write(rows: Readonly<Record<string, Prey>>, files: readonly string[]): void {
  const text = Object.entries(rows).map(([id, prey]) => {
    const fields = Object.entries(prey).map(([name, value]) => `    ${name}: ${JSON.stringify(value)},\n`);
    return `  ${id}: {\n${fields.join("")}  },\n`;
  }).join("");
  for (const file of files) {
    const path = new URL(file, import.meta.url);
    const old = Deno.readTextFileSync(path);
    const head = "const PREY: Readonly<Record<string, Finding>> = {\n";
    const from = old.indexOf(head);
    if (from < 0) continue;
    const to = old.indexOf("\n};\n", from) + 1;
    Deno.writeTextFileSync(path, old.slice(0, from + head.length) + text + old.slice(to));
  }
}

if (import.meta.main) {
  const mutants = [...Deno.readDirSync(new URL("mutants", import.meta.url))].map(({ name }) =>
    `mutants/${name}`
  );
  write(table({ policy: "pct", runs: 200, depth: 2 }, 3), ["solution_a.ts", ...mutants]);
  write(table({ policy: "bounded", bound: 1 }, 11), ["solution_b.ts"]);
}
