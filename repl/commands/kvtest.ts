// SPDX-License-Identifier: GPL-2.0-only
// One case of the table that was recorded on real kernels, run here and printed as a row of it.
//
// Ours. Invariant: the case has a kernel of its own; the machine on the bench is neither needed nor touched.

import type { Config } from "../../kernel/config.ts";
import type { Arguments } from "../arguments.ts";
import { BREATHE, type Command, heading, type Lines, row } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { STATUS } from "../status.ts";
import { levelNamed } from "./series.ts";

/** Levels by the names that kernels have in the recorded table. */
const KERNELS: Readonly<Record<string, string>> = { "series": "7/7", "6.1": "v6.1.192" };

const kvtest: Command<KernelSession> = {
  name: "kvtest",
  group: "learn",
  summary: "one case of kvfree_rcu() as a row of the recorded table",
  kind: "look",
  description:
    "Gives N pointers to RCU on a fresh kernel and prints a row: spare pages before and after the calls; what\n" +
    "RCU holds right after them (count, list, records by block, newest first); when the monitor ran, in\n" +
    "jiffies after the first call, and how often; how long its grace period was waited for; what was freed in\n" +
    "bulk, and one by one. Tab-separated with a header, or with --json an object a row, which adds\n" +
    "inline_waits: calls that waited and freed for themselves.\n" +
    "\n" +
    "A case is kv1 (a pointer alone) or kv2 (with an rcu_head), then any of these words, joined by -:\n" +
    "  vmalloc, mix, half   memory: slab otherwise; alternating from slab on; the first half slab\n" +
    "  sizeS                bytes of an object: 1 (kv2: 16) to 4194304; 64 otherwise\n" +
    "  allcpu               N from each CPU at once, a row for each; CPU 0 otherwise\n" +
    "  cold                 shrinkers have just run: from v5.14 on they take the spare pages, and the next\n" +
    "                       fill is late. v5.9 to v5.13 keep them; base to 7/7 have none on a fresh machine\n" +
    "  fail                 cold, and the caller's page allocations fail\n" +
    "  pfail                the same without spare pages, base to 7/7; for kv1 the cache of the wrappers has\n" +
    "                       one free object\n" +
    "  bfail                cold, and the caller's page and slab allocations fail\n" +
    "  nN                   pointers of a CPU: 1 to 100000; 10 otherwise\n" +
    "Or stuck or early: the two recorded scenarios with readers (bugs show B8, B9). After their rows, lines\n" +
    "with # say what stayed behind, and what was freed under a reader; in JSON they are notes.\n" +
    "\n" +
    "The kernel is called series at 7/7, 6.1 at v6.1.192, else by its level. From v5.9 on the spare pages are\n" +
    "there at the start; in the series a case of more than one pointer finds those that a pointer of its kind\n" +
    "left (10: the slab slot is full, 1: the vmalloc slot), and one that is cold, fails or has one pointer\n" +
    "finds none. --phase is the last column, (j0+1250)%64, at the first call: the monitor of v6.1 and later\n" +
    "runs at 1250+64-phase jiffies (HZ 250), as the timer wheel rounds.",
  usage:
    "kvtest CASE [--cpus N] [--hz H] [--rcu R] [--level L] [--size S] [--phase P] [--preempt M] [--json]",
  args: [{ name: "case", summary: "words joined by -, such as kv2-vmalloc-n1200", required: true }],
  options: [
    { name: "cpus", short: "c", value: "N", type: "int", summary: "CPUs: 4, with tiny RCU 1" },
    { name: "hz", value: "H", type: "int", summary: "ticks per second", default: "250" },
    { name: "rcu", type: "enum", choices: ["tree", "tiny"], summary: "which RCU", default: "tree" },
    {
      name: "level",
      value: "L",
      type: "string",
      names: "level",
      summary: "kvfree_rcu() at this level",
      default: "7/7",
    },
    { name: "size", value: "S", type: "size", summary: "bytes of an object" },
    {
      name: "phase",
      value: "P",
      type: "int",
      min: 0,
      max: 63,
      summary: "phase of the timer wheel at the first call",
    },
    {
      name: "preempt",
      value: "M",
      type: "string",
      summary: "none or full, as far as the RCU allows it",
      default: "none",
    },
  ],
  examples: [
    { line: "kvtest kv2-n511", shows: "a full block and one with a pointer, freed youngest first" },
    {
      line: "kvtest kv2-vmalloc-n1531 --cpus 3 --hz 300 --level 2/7",
      shows: "four blocks of vmalloc pointers",
    },
    { line: "kvtest kv2-n10 --level v6.1.192 --phase 46", shows: "a drain of 1268 jiffies" },
    { line: "kvtest stuck", shows: "five pointers that stay behind until somebody calls again" },
  ],
  complete(_, words) {
    const typed = (words.at(-1) ?? "").replace(/[^-]*$/, "");
    const first = ["kv1", "kv2", "stuck", "early"];
    const later = ["vmalloc", "mix", "half", "size", "allcpu", "cold", "fail", "pfail", "bfail", "n"];
    return words.length > 1 ? [] : typed === "" ? first : later.map((word) => typed + word);
  },
  async *run(session, args): Lines {
    const [{ parseCase }, { configFor, kvtest }, { HEADER, rowFields, rowText }] = await Promise.all([
      import("../../explore/kvtest/case.ts"),
      import("../../explore/kvtest/run.ts"),
      import("../../explore/kvtest/row.ts"),
    ]);
    const c = parseCase(args.text("case"), args.has("size") ? args.int("size") : undefined);
    const config = configFor(c, await machineOf(args));
    const running = kvtest(c, config, args.has("phase") ? args.int("phase") : null);
    let step = running.next();
    for (; step.done !== true; step = running.next()) yield BREATHE;
    const { rows, reports } = step.value;
    yield heading(HEADER);
    for (const it of rows) {
      yield row("kvtest", rowFields(it), rowText(it), ...it.notes.map((note) => `# ${note}`));
    }
    for (const title of reports) session.host.warn(`kvtest: the kernel reported: ${title}`);
    return reports.length > 0 ? STATUS.failed : STATUS.ok;
  },
};

async function machineOf(args: Arguments): Promise<Partial<Config>> {
  return {
    level: await levelNamed("kvtest", KERNELS[args.text("level")] ?? args.text("level")),
    rcu: args.text("rcu") as Config["rcu"],
    HZ: args.int("hz"),
    preempt: args.text("preempt") as Config["preempt"],
    ...(args.has("cpus") ? { cpus: args.int("cpus") } : {}),
  };
}

/** In the order in which `help` lists them. */
export const kvtestCommands: readonly Command<KernelSession>[] = [kvtest];
