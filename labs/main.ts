// SPDX-License-Identifier: GPL-2.0-only
/**
 * `deno task lab ...`. Exit status: 0 done, 1 a check failed, 2 usage, 4 a budget ran out, 5 our own fault.
 *
 * @module
 */

import { runLab } from "./framework/commands.ts";
import { denoHost, LabError, STATUS } from "./framework/host.ts";
import { LABS } from "./registry.ts";

async function main(): Promise<number> {
  try {
    const lines = runLab(Deno.args, denoHost(Object.keys(LABS)));
    for (;;) {
      const step = await lines.next();
      if (step.done === true) return step.value;
      console.log(step.value);
    }
  } catch (error) {
    if (error instanceof LabError) {
      console.error(error.message);
      return error.status;
    }
    console.error(
      `our own fault: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`,
    );
    return STATUS.fault;
  }
}

if (import.meta.main) Deno.exit(await main());
