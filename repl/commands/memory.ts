// SPDX-License-Identifier: GPL-2.0-only
// Memory: the kernel's own tables, leaks, the biography of an address, raw words.
//
// Ours. Tables have the kernel's formats and come from the functions that mirror its show functions. Invariant: all of
// these are looks, but for `kmemleak scan` and `clear`; a test compares the machine before and after.

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { LiveObject } from "../../mm/live.ts";
import { BREATHE, type Command, type Lines, type Output } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import type { Birth } from "../render/memory.ts";
import { areaRows, buddyRows, numberRows, plainRows, type Reader, slabRows } from "../render/proc.ts";
import { STATUS, UsageError } from "../status.ts";
import { finish } from "./run.ts";

/** A command that prints a table of the kernel; `show` is the mirror's function, as TypeScript calls it. */
function table(
  name: string,
  summary: string,
  show: string,
  lines: (k: Kernel) => Promise<Iterable<string>>,
  read: Reader = plainRows,
): Command<KernelSession> {
  return {
    name,
    group: "memory",
    summary,
    kind: "look",
    ts: name === "vmallocinfo" ? `print(${show}(k))` : `for (const line of ${show}(k)) print(line)`,
    examples: [{ line: name, shows: `the text of /proc/${name}` }],
    async *run({ k }): Lines {
      yield* read(await lines(k));
    },
  };
}

const tables: readonly Command<KernelSession>[] = [
  table(
    "buddyinfo",
    "free blocks by order",
    "frag_show",
    async (k) => (await import("../../mm/show_mem.ts")).frag_show(k),
    buddyRows,
  ),
  table(
    "slabinfo",
    "slab caches",
    "slabinfo_show",
    async (k) => (await import("../../mm/slab_common.ts")).slabinfo_show(k),
    slabRows,
  ),
  table("vmallocinfo", "vmalloc areas and who asked for them", "vmallocinfo", async (k) => {
    const text = (await import("../../mm/vmalloc.ts")).vmallocinfo(k);
    return text.split("\n").filter((line) => line !== "");
  }, areaRows),
  table(
    "meminfo",
    "memory in use",
    "meminfo_proc_show",
    async (k) => (await import("../../mm/show_mem.ts")).meminfo_proc_show(k),
    numberRows,
  ),
  table(
    "zoneinfo",
    "zones, watermarks and per-CPU lists",
    "zoneinfo_show",
    async (k) => (await import("../../mm/show_mem.ts")).zoneinfo_show(k),
    numberRows,
  ),
  table(
    "pagetypeinfo",
    "free blocks by order and migratetype",
    "pagetypeinfo_show",
    async (k) => (await import("../../mm/show_mem.ts")).pagetypeinfo_show(k),
  ),
];

const leaks: Command<KernelSession> = {
  name: "leaks",
  group: "memory",
  summary: "name the memory that nobody can free any more",
  kind: "look",
  description:
    "Counts from the start of the last run. Every allocation since then is live (something points at it),\n" +
    "pending (it waits in RCU or kvfree_rcu) or leaked. Status 1 when anything is leaked. A pointer that is\n" +
    "left over in live memory hides a leak, as it does from kmemleak.",
  ts: "print(memoryVerdict(k, 0).leaked)",
  examples: [{ line: "leaks", shows: "each leaked object, and three numbers" }],
  async *run(session): Lines {
    const { bench, k } = session;
    const [{ memoryVerdict }, { leakLines }] = await Promise.all([
      import("../../mm/live.ts"),
      import("../render/memory.ts"),
    ]);
    const verdict = memoryVerdict(k, bench.since);
    const births = yield* birthsOf(session, verdict.leaked);
    yield* leakLines(k, verdict, (object) => births.get(object));
    if (bench.running) {
      yield `the run is stopped at event ${k.seq}: what only variables of its threads hold counts as leaked until its end`;
      return STATUS.inconclusive;
    }
    if (verdict.leaked.length === 0) return;
    yield session.tokenRow();
    return STATUS.failed;
  },
};

/** Most objects whose allocation is looked for by a replay, when the log has wrapped. */
const MOST_REPLAYS = 4;

/** The allocations of objects: from the log, or from a second machine that does the same again. */
async function* birthsOf(
  session: KernelSession,
  objects: readonly LiveObject[],
): AsyncGenerator<Output, Map<LiveObject, Birth>> {
  const [{ birthRecord }, { viewOf }, { SiteTable }] = await Promise.all([
    import("../render/allocations.ts"),
    import("../render/events.ts"),
    import("../sites.ts"),
  ]);
  const { bench, k, sites } = session;
  const births = new Map<LiveObject, Birth>();
  const view = viewOf(k, sites);
  let replays = 0;
  for (const object of objects) {
    const record = birthRecord(k, object);
    if (record !== undefined) {
      births.set(object, { record, comm: view.comm(record.task), place: sites.placeOf(record) });
    } else if (replays++ < MOST_REPLAYS) {
      const own = new SiteTable();
      const work = bench.twin(
        object.birth + 64 + Math.ceil(object.size / 2048),
        (machine) => own.watch(machine),
      );
      let step = work.next();
      for (; step.done !== true; step = work.next()) yield BREATHE;
      const twin = step.value.k;
      const again = birthRecord(twin, object);
      if (again === undefined) continue;
      births.set(object, {
        record: again,
        comm: viewOf(twin, own).comm(again.task),
        place: own.placeOf(again),
      });
    }
  }
  return births;
}

const kmemleak: Command<KernelSession> = {
  name: "kmemleak",
  group: "memory",
  summary: "the kernel's own leak detector: scan now, list what it suspects, forget that",
  kind: "advance",
  description:
    "For a machine booted with --kmemleak. It knows slab objects and vmalloc areas, not pages, and what pages\n" +
    "point at it takes for lost: compare leaks, which knows the truth. Suspected is what is older than 5 seconds\n" +
    "and was found lost by a scan; what has changed since the scan before gets away once, so that the second\n" +
    "scan in a row tells more. It scans of itself after 60 s and every 600 s of virtual time. Status 1 when a\n" +
    "scan finds something new, or the list is not empty.",
  usage: "kmemleak scan [SECONDS] | kmemleak list | kmemleak clear",
  args: [
    {
      name: "what",
      summary: "scan, list or clear",
      type: "enum",
      choices: ["scan", "list", "clear"],
      required: true,
    },
    { name: "seconds", summary: "of scan: virtual time to let pass first", type: "int", min: 0, max: 3600 },
  ],
  examples: [
    {
      line: "boot --kmemleak; run hello_kvfree_rcu; kmemleak scan 6",
      shows: "how many objects it suspects that it did not before",
    },
    {
      line: "boot --kmemleak; run hello_kvfree_rcu; kmemleak list",
      shows: "each suspected object, as in /sys/kernel/debug/kmemleak",
    },
  ],
  async *run(session, args): Lines {
    const { bench, k } = session;
    const what = args.text("what");
    if (!k.config.kmemleak) throw new UsageError("kmemleak: this machine was booted without --kmemleak");
    if (args.has("seconds") && what !== "scan") {
      throw new UsageError(`kmemleak ${what}: takes no number; kmemleak scan ${args.int("seconds")} does`);
    }
    const { kmemleak_seq_show, kmemleak_write } = await import("../../mm/kmemleak.ts");
    if (what === "list") {
      const lines = kmemleak_seq_show(k);
      yield* lines;
      return lines.length > 0 ? STATUS.failed : STATUS.ok;
    }
    const { msleep } = await import("../../kernel/time/timer.ts");
    const ms = args.has("seconds") ? 1000 * args.int("seconds") : 0;
    bench.start(
      {
        name: `kmemleak ${what}`,
        summary: "",
        options: [],
        *main(k) {
          if (ms > 0) yield* msleep(k, ms);
          yield* kmemleak_write(k, what);
        },
      },
      {},
      null,
    );
    return yield* finish(session, bench.advance());
  },
};

const obj: Command<KernelSession> = {
  name: "obj",
  group: "memory",
  summary: "tell the story of an address: allocated, queued, freed, by whom and when",
  kind: "look",
  args: [{
    name: "addr",
    summary: "any address inside the object, or the name of a variable",
    required: true,
    names: "address",
  }],
  examples: [{ line: "obj ffff888000001000", shows: "what is at that address" }],
  async *run(session, args): Lines {
    const { k, sites } = session;
    const addr = await addressOf(session, "obj", args.text("addr"));
    const [{ objectLines }, { viewOf }, { formatAddr }] = await Promise.all([
      import("../render/object.ts"),
      import("../render/events.ts"),
      import("../../kernel/machine/addr.ts"),
    ]);
    let lines = 0;
    for (const line of objectLines(k, viewOf(k, sites), sites, addr)) {
      lines++;
      yield line;
    }
    if (lines === 0) {
      throw new UsageError(`obj: nothing is at ${formatAddr(addr)}, and no event of the log is about it`);
    }
  },
};

const rd: Command<KernelSession> = {
  name: "rd",
  group: "memory",
  summary: "show memory in 64-bit words",
  kind: "look",
  args: [
    { name: "addr", summary: "an address, or the name of a variable", required: true, names: "address" },
    { name: "count", summary: "words; 1 if not given", type: "int", min: 1, max: 65536 },
  ],
  examples: [{ line: "rd ffff888000001000 8", shows: "eight words, and their characters" }],
  async *run(session, args): Lines {
    const { k } = session;
    const addr = await addressOf(session, "rd", args.text("addr"));
    const [{ hexLines }, { formatAddr }] = await Promise.all([
      import("../render/hex.ts"),
      import("../../kernel/machine/addr.ts"),
    ]);
    const aligned = addr - addr % 8 as VirtAddr;
    const all = yield* hexLines(k.ram, aligned, args.has("count") ? args.int("count") : 1);
    if (!all) throw new UsageError(`rd: nothing is mapped at ${formatAddr(addr)} or a little above`);
  },
};

/** An address as a user writes it: a number variable of TypeScript, or hexadecimal digits. */
async function addressOf(session: KernelSession, command: string, text: string): Promise<VirtAddr> {
  const { parseAddr } = await import("../../kernel/machine/addr.ts");
  const variable = Object.hasOwn(session.scope, text) ? session.scope[text] : undefined;
  if (typeof variable === "number") return variable as VirtAddr;
  const addr = parseAddr(text);
  if (Number.isNaN(addr)) {
    throw new UsageError(
      `${command}: "${text}" is no address: 1 to 16 hexadecimal digits, or a variable that holds one`,
    );
  }
  return addr;
}

/** In the order in which `help` lists them. */
export const memoryCommands: readonly Command<KernelSession>[] = [...tables, leaks, kmemleak, obj, rd];
