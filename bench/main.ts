// SPDX-License-Identifier: GPL-2.0-only
/**
 * `deno task bench`: figures of this host in one run, with ratios, and one line appended to bench/history.ndjson.
 * `deno task bench series`: what the changes of kvfree_rcu()'s history were published with, beside ours.
 *
 * Absolute figures depend on the host and its load: compare ratios of one run. For scale, a real kernel under software
 * emulation takes 31 ms for the flood on tiny and 1.2 s from its start; a 6.1 kernel with 4 CPUs takes 144 to 226 ms for
 * rcuscale's kfree test right after boot, 102 to 131 ms warm, and 2.7 to 3.2 s from its start.
 *
 * @module
 */

import { allocators, boots, FLOOD, flood, switches } from "./kernel.ts";
import { type Figure, measure, table } from "./measure.ts";
import { seriesBench } from "./series.ts";
import { gracePeriods, kfreeScale, treeBoots } from "./tree.ts";

const REAL_KERNEL_FLOOD_NS = 31e6;
const REAL_KERNEL_START_NS = 1.2e9;
/** rcuscale's kfree test: the best of the first runs, of the warm ones, and from process start. */
const REAL_SCALE_FIRST_NS = 144e6;
const REAL_SCALE_WARM_NS = 102e6;
const REAL_SCALE_START_NS = 2.7e9;

function run(command: string, args: readonly string[]): void {
  const { success } = new Deno.Command(command, { args: [...args], stdout: "null", stderr: "null" })
    .outputSync();
  if (!success) throw new Error(`${command} ${args.join(" ")} failed`);
}

/** From process start to the end of a session that does nothing. */
function starts(): Figure[] {
  const deno = Deno.execPath();
  const figures = [
    measure(
      "start to prompt, deno task -q repl",
      1,
      6,
      () => run(deno, ["task", "-q", "repl", "-e", "version"]),
    ),
    measure("start, boot, run the example", 1, 6, () => {
      run(deno, ["task", "-q", "repl", "-e", "boot --rcu tiny; run ext4_kvfree_array_rcu"]);
    }),
  ];
  try {
    const npx = ["-y", "deno@2.9.6", "task", "-q", "repl", "-e", "version"];
    figures.push(measure("start to prompt, through npx", 1, 4, () => run("npx", npx)));
  } catch {
    // npx is not on every machine; the figure is left out.
  }
  return figures;
}

/** Host ns from the start of a process to the end of the kfree test's first run in it. */
function scaleFromStart(): number {
  const start = performance.now();
  run(Deno.execPath(), ["run", "--no-prompt", "bench/tree.ts"]);
  return (performance.now() - start) * 1e6;
}

if (import.meta.main && Deno.args[0] === "series") seriesBench();
else if (import.meta.main) {
  const fromStart = scaleFromStart();
  const floods = [flood(false), flood(true)];
  const scale = kfreeScale();
  const gps = gracePeriods();
  const figures = [
    ...boots(),
    ...treeBoots(),
    ...allocators(),
    ...switches(),
    ...floods,
    scale,
    ...gps,
    ...starts(),
  ];
  console.log(table(figures));
  const [off] = floods;
  const perSecond = (off.events / off.median) * 1e9;
  const pair = figures.find((f) => f.name.startsWith("kmalloc"))?.median ?? NaN;
  console.log(`events/s: ${(perSecond / 1e6).toFixed(1)} M`);
  console.log("ratios of this run:");
  console.log(`  flood, an object / kmalloc(64) + kfree: ${(off.median / FLOOD / pair).toFixed(1)}`);
  console.log(`  flood, log on / off: ${(floods[1].median / off.median).toFixed(2)}`);
  console.log(`  flood, first / median: ${(off.first / off.median).toFixed(1)}`);
  console.log(
    `  flood / a real kernel under software emulation (31 ms): ${
      (off.median / REAL_KERNEL_FLOOD_NS).toFixed(2)
    }`,
  );
  const start = figures.find((f) => f.name.startsWith("start, boot"))?.median ?? NaN;
  console.log(
    `  start, boot, run / a real kernel from its start (1.2 s): ${(start / REAL_KERNEL_START_NS).toFixed(2)}`,
  );
  console.log(
    `  rcuscale kfree, first / real (144 ms): ${(scale.first / REAL_SCALE_FIRST_NS).toFixed(2)}, ` +
      `median / real warm (102 ms): ${(scale.median / REAL_SCALE_WARM_NS).toFixed(2)}, ` +
      `from process start / real (2.7 s): ${(fromStart / REAL_SCALE_START_NS).toFixed(2)}`,
  );
  console.log("acquisitions of the root rcu_node's lock in a grace period:");
  for (const gp of gps) console.log(`  ${gp.name.padEnd(36)} ${gp.rootLocks.toFixed(1).padStart(6)}`);
  const line = { date: new Date().toISOString().slice(0, 10), deno: Deno.version.deno, figures };
  Deno.writeTextFileSync("bench/history.ndjson", JSON.stringify(line) + "\n", { append: true });
}
