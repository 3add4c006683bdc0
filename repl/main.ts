// SPDX-License-Identifier: GPL-2.0-only
// `deno task repl`: which commands the shell has, and the session that they share.
//
// Ours. The one place that names the files of commands; program.ts runs them. Invariant: nothing here but names.

import { kernelCommands } from "./commands/table.ts";
import { shellCommands } from "./commands/shell.ts";
import { KernelSession } from "./kernel_session.ts";
import { runProgram } from "./program.ts";

if (import.meta.main) await runProgram(new KernelSession(), [...kernelCommands, ...shellCommands]);
