// SPDX-License-Identifier: GPL-2.0-only
// The kernel's commands, group by group, in the order in which `help` lists them.
//
// Ours. Invariant: nothing here but names; no file of commands loads the kernel.

import type { Command } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { bugCommands } from "./bugs.ts";
import { exploreCommands } from "./explore.ts";
import { faultCommands } from "./fault.ts";
import { kvtestCommands } from "./kvtest.ts";
import { labCommands } from "./lab.ts";
import { machineCommands } from "./machine.ts";
import { memoryCommands } from "./memory.ts";
import { rcuCommands } from "./rcu.ts";
import { replayCommands } from "./replay.ts";
import { runCommands } from "./run.ts";
import { seriesCommands } from "./series.ts";
import { sourceCommands } from "./source.ts";
import { tourCommands } from "./tour.ts";
import { traceCommands } from "./trace.ts";

/** All of them. */
export const kernelCommands: readonly Command<KernelSession>[] = [
  ...tourCommands,
  ...bugCommands,
  ...seriesCommands,
  ...kvtestCommands,
  ...sourceCommands,
  ...labCommands,
  ...machineCommands,
  ...runCommands,
  ...replayCommands,
  ...memoryCommands,
  ...rcuCommands,
  ...traceCommands,
  ...faultCommands,
  ...exploreCommands,
];
