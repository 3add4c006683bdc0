// SPDX-License-Identifier: GPL-2.0-only
/**
 * Running an example on its own: `deno run examples/x.ts --option value`. Needs no permission.
 *
 * @module
 */

import {
  boot,
  checkOptions,
  ConfigError,
  encodeToken,
  formatAddr,
  memorySince,
  OptionError,
  Run,
  type Scenario,
} from "../mod.ts";

/** Boots the default machine, runs the scenario with the program's arguments, says what came of it. */
export function runExample(scenario: Scenario): void {
  try {
    const given: Record<string, string> = {};
    for (let i = 0; i < Deno.args.length; i += 2) {
      if (!Deno.args[i].startsWith("--")) {
        throw new OptionError(`${scenario.name}: "${Deno.args[i]}" is not an option`);
      }
      given[Deno.args[i].slice(2)] = Deno.args[i + 1] ?? "";
    }
    const { seed, ...rest } = given;
    const options = checkOptions(scenario, rest);
    Deno.exit(runAndReport(scenario, options, seed === undefined ? 1 : Number(seed)));
  } catch (error) {
    if (!(error instanceof OptionError || error instanceof ConfigError)) throw error;
    console.error(error.message);
    Deno.exit(2);
  }
}

function runAndReport(scenario: Scenario, options: Readonly<Record<string, string>>, seed: number): number {
  const k = boot({ seed });
  const run = new Run(k, scenario, options);
  run.advance();
  const { ending, reports, lastEvent, hash } = run.verdict();
  console.log(`${scenario.name}: ${ending} at event ${lastEvent}, ${reports} reports, hash ${hash}`);
  for (const report of k.reports) console.log(report.lines.join("\n"));
  const { live, pending, leaked } = memorySince(k, run);
  console.log(`memory: ${live.length} live, ${pending.length} pending in RCU, ${leaked.length} leaked`);
  for (const o of leaked) {
    console.log(`  leaked ${o.size} bytes at ${formatAddr(o.addr)} (${o.kind}), event ${o.birth}`);
  }
  const failed = ending !== "completed" || reports > 0 || leaked.length > 0;
  if (failed) {
    console.log(
      `TOKEN ${
        encodeToken({ config: k.config, deviations: null, runs: [{ name: scenario.name, options }] })
      }`,
    );
  }
  return failed ? 1 : 0;
}
