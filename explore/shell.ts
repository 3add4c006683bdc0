// SPDX-License-Identifier: GPL-2.0-only
/**
 * The public way to boot a machine, run code on it and ask about its memory.
 *
 * @module
 */

import type { MaySleep } from "../kernel/machine/effects.ts";
import type { Schedule } from "../kernel/machine/chooser.ts";
import { checkConfig, type Config } from "../kernel/config.ts";
import type { KernelParts } from "../kernel/hooks.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { bootKernel, rebootKernel } from "../init/main.ts";
import { type MemoryVerdict, memoryVerdict } from "../mm/live.ts";
import type { Watch } from "./monitors/monitors.ts";
import { DEFAULT_LIMITS, Run, type RunLimits, type RunVerdict } from "./run.ts";
import type { Scenario } from "./scenario.ts";
import { scheduleOf } from "./token.ts";

/** Boots a machine; what is not given has its default: tree RCU on 4 CPUs, 256 MiB, HZ 250, seed 1. */
export function boot(wanted: Partial<Config> = {}): Kernel {
  const config = checkConfig(wanted);
  return bootKernel(config, scheduleOf(config));
}

/** Boots a machine under an explicit schedule, with parts of one's own in place of the kernel's. */
export function bootWith(wanted: Partial<Config>, schedule: Schedule, parts: KernelParts = {}): Kernel {
  return bootKernel(checkConfig(wanted), schedule, null, parts);
}

/** Boots the same machine again, reusing its RAM; by default under the same seed. */
export function reboot(k: Kernel, schedule: Schedule = scheduleOf(k.config)): void {
  rebootKernel(k, schedule);
}

/**
 * Runs `main` in a kernel thread named `name` until it, and all that it caused, is over; watched by the event monitors
 * unless another choice is made (benchmarks have none).
 */
export function runToEnd(
  k: Kernel,
  name: string,
  main: (k: Kernel) => MaySleep<void>,
  limits: RunLimits = DEFAULT_LIMITS,
  watch: Watch = "events",
): RunVerdict {
  const scenario: Scenario = { name, summary: "", options: [], main };
  const run = new Run(k, scenario, {}, limits, watch);
  run.advance();
  return run.verdict();
}

/** What became of the memory allocated since a run started. */
export function memorySince(k: Kernel, run: Run): MemoryVerdict {
  return memoryVerdict(k, run.startSeq);
}
