// SPDX-License-Identifier: GPL-2.0-only
/**
 * Running an example on its own: `deno run examples/x.ts --option value`. Needs no permission.
 *
 * The example's options are those of `run` in the shell. Beside them stand a few of `boot`: --seed, --cpus, --rcu,
 * --level and --kasan.
 *
 * @module
 */

import {
  boot,
  checkNeeds,
  checkOptions,
  type Config,
  ConfigError,
  encodeToken,
  formatAddr,
  memorySince,
  OptionError,
  type OptionValues,
  Run,
  type Scenario,
} from "../mod.ts";

/** Boots a machine, runs the scenario with the program's arguments, says what came of it. */
export function runExample(scenario: Scenario): void {
  try {
    const [machine, given] = sortArguments(scenario, Deno.args);
    Deno.exit(runAndReport(scenario, checkOptions(scenario, given), machine));
  } catch (error) {
    if (!(error instanceof OptionError || error instanceof ConfigError)) throw error;
    console.error(error.message);
    Deno.exit(2);
  }
}

/** Sorts `--name value`, `--name=value` and `--kasan` into what is about the machine and what is about the scenario. */
export function sortArguments(
  scenario: Scenario,
  args: readonly string[],
): [machine: Partial<Config>, given: OptionValues] {
  const machine: Partial<Record<keyof Config, unknown>> = {};
  const given: Record<string, string> = {};
  for (let i = 0; i < args.length; i++) {
    const [, name, joined] = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(args[i]) ?? [];
    if (name === undefined) throw new OptionError(`${scenario.name}: "${args[i]}" is not an option`);
    if (name === "kasan" && joined === undefined) machine.kasan = true;
    else if (joined === undefined && i + 1 === args.length) {
      throw new OptionError(`${scenario.name}: --${name} needs a value`);
    } else {
      const value = joined ?? args[++i];
      if (name === "seed" || name === "cpus") machine[name] = wholeNumber(scenario, name, value);
      else if (name === "rcu" || name === "level") machine[name] = value;
      else given[name] = value;
    }
  }
  return [machine as Partial<Config>, given]; // boot() checks what came from the user
}

function wholeNumber(scenario: Scenario, name: string, value: string): number {
  if (!/^\d+$/.test(value)) {
    throw new OptionError(`${scenario.name}: --${name} "${value}" is not a whole number`);
  }
  return Number(value);
}

function runAndReport(scenario: Scenario, options: OptionValues, machine: Partial<Config>): number {
  const k = boot(machine);
  checkNeeds(scenario, options, k.config.level);
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
