// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvtest against real kernels: every recorded row is run again with its phase of the timer wheel and compared.
 *
 * Exact are what is queued, how, and what is freed, how. The monitor of the series comes in the sixth jiffy after the
 * first call, or at once after a failed page; that of 6.1 when the wheel says so: 1250 + 64 - phase jiffies, or 1 to 3
 * once 510 pointers wait. In two cases of the recording the number of free objects in a slab cache decides who waits;
 * there calls that waited and single frees are all pointers.
 */
import { assert, assertEquals } from "@std/assert";
import type { Config } from "../../kernel/config.ts";
import { parseCase } from "../../explore/kvtest/case.ts";
import { HEADER, type KvtestRow, rowText } from "../../explore/kvtest/row.ts";
import { configFor, kvtest } from "../../explore/kvtest/run.ts";
import { COLUMNS, RECORDED, type Row } from "./kvfree_table.ts";

function runCase(
  text: string,
  wanted: Partial<Config> = {},
  phase: number | null = null,
): readonly KvtestRow[] {
  const c = parseCase(text);
  const running = kvtest(c, configFor(c, wanted), phase);
  let step = running.next();
  while (step.done !== true) step = running.next();
  assertEquals(step.value.reports, [], text);
  return step.value.rows;
}

function textOf(row: KvtestRow): Row {
  const cells = rowText(row).split("\t");
  return Object.fromEntries(COLUMNS.map((column, i) => [column, cells[i]])) as Row;
}

const EXACT = [
  "kernel",
  "cpus",
  "case",
  "op",
  "cpu",
  "count",
  "list",
  "ch_slab",
  "ch_vmalloc",
  "n_monitor",
  "n_work",
  "bulk_nr_records_in_order",
  "kvfree_callbacks",
] as const;
const SPARES = ["cached_before", "cached_after"] as const;
const CHANCE = ["kv1-pfail-n10", "kv1-pfail-n600"];

function pick(row: Row, columns: readonly (keyof Row)[]): string {
  return columns.map((column) => `${column}=${row[column]}`).join(" ");
}

/** Jiffies between which the monitor runs. */
function monitorRange(row: Row, phase: number): readonly [number, number] {
  if (row.kernel.startsWith("series")) return row.case.includes("pfail") ? [0, 2.1] : [5, 6.1];
  if (Number(row.count) >= 510) return [1, 3];
  const wheel = 1250 + 64 - phase;
  return [wheel - 1, wheel + 1];
}

function compare(recorded: Row, ours: KvtestRow): void {
  const got = textOf(ours);
  const chance = recorded.kernel === "series" && CHANCE.includes(recorded.case);
  if (chance) {
    const n = Number(/n(\d+)$/.exec(recorded.case)?.[1]);
    assertEquals(ours.kvfree_callbacks + ours.inline_waits, n, recorded.case);
    assertEquals([ours.n_monitor, ours.n_work], [ours.kvfree_callbacks, ours.kvfree_callbacks]);
    assert(ours.inline_waits > 0);
  } else {
    const columns = recorded.kernel === "6.1" ? [...EXACT, ...SPARES] : EXACT;
    assertEquals(pick(got, columns), pick(recorded, columns));
  }
  for (const column of ["monitor_at_j", "gp_wait_j", "fill_cache_at_j"] as const) {
    assertEquals(got[column] === "-", recorded[column] === "-", `${column} of ${recorded.case}`);
  }
  if (recorded.gp_starts !== "0") assert(Number(got.gp_starts) >= 1, `gp_starts of ${recorded.case}`);
  if (ours.monitor_at_j !== null) {
    const [least, most] = monitorRange(recorded, ours.phase);
    assert(
      ours.monitor_at_j >= least && ours.monitor_at_j <= most,
      `${recorded.case}: monitor at ${ours.monitor_at_j}, not between ${least} and ${most}`,
    );
  }
}

const groups = Map.groupBy(
  RECORDED,
  ({ kernel, cpus }) => `${kernel} on ${cpus} CPU${cpus === "1" ? "" : "s"}`,
);
for (const [group, rows] of groups) {
  Deno.test(`kvtest gives the ${rows.length} recorded rows of ${group}`, () => {
    const cases = Map.groupBy(rows, (row) => row.case);
    for (const [text, recorded] of cases) {
      const { kernel, cpus } = recorded[0];
      const ours = runCase(text, {
        level: kernel.startsWith("series") ? "7/7" : "v6.1.192",
        rcu: kernel.endsWith("tiny") ? "tiny" : "tree",
        cpus: Number(cpus),
      }, Number(recorded[0]["(j0+1250)%64"]));
      assertEquals(ours.length, recorded.length, text);
      assertEquals(ours[0].phase, Number(recorded[0]["(j0+1250)%64"]), text);
      for (const [i, row] of recorded.entries()) compare(row, ours[i]);
    }
  });
}

Deno.test("the recorded table has the columns that kvtest prints, and 190 rows", () => {
  assertEquals(HEADER, COLUMNS.join("\t"));
  assertEquals(RECORDED.length, 190);
});

/** What is queued and freed, in short. */
function short(row: KvtestRow): string {
  const { count, list, ch_slab, ch_vmalloc, bulk_nr_records_in_order: bulk, kvfree_callbacks } = textOf(row);
  return `${count} ${list} ${ch_slab} ${ch_vmalloc} | ${bulk} ${kvfree_callbacks}`;
}

Deno.test("kvtest kv2-vmalloc-n1531 at 2/7 on 3 CPUs, HZ 300: four blocks, 1531 callbacks, drained in the 7th jiffy", () => {
  const [row] = runCase("kv2-vmalloc-n1531", { level: "2/7", cpus: 3, HZ: 300 });
  assertEquals(short(row), "1531 0 [] [1+510+510+510] | - 1531");
  assert(row.monitor_at_j !== null && row.monitor_at_j > 6 && row.monitor_at_j < 7.1); // HZ/50 = 6, and one
});

Deno.test("kvtest sorts by address: mixes as in other recordings, large objects in the slab channel", () => {
  for (
    const [text, expected] of [
      ["kv2-mix-n1020", "1020 0 [510] [510] | 510 510"],
      ["kv2-mix-n1022", "1022 0 [1+510] [1+510] | 1+510 511"],
      ["kv2-half-n1200", "1200 0 [90+510] [90+510] | 90+510 600"],
      ["kv2-size8193-n10", "10 0 [10] [] | 10 -"],
      ["kv1-size65536-n10", "10 0 [10] [] | 10 -"],
      ["kv2-vmalloc-size8192-n10", "10 0 [] [10] | - 10"],
    ]
  ) assertEquals(short(runCase(text)[0]), expected, text);
});

Deno.test("kvtest: pages and wrappers failing: each kv1 waits for itself, each kv2 goes on the list", () => {
  const [alone] = runCase("kv1-bfail-n10");
  assertEquals([short(alone), alone.inline_waits, alone.n_monitor], ["0 0 [] [] | - -", 10, 0]);
  const [head] = runCase("kv2-mix-bfail-n1200");
  assertEquals([short(head), head.inline_waits], ["1200 1200 [] [] | - 1200", 0]);
});

Deno.test("kvtest before 2/7: blocks of 509, vmalloc memory on the list", () => {
  assertEquals(short(runCase("kv2-half-n1200", { level: "base" })[0]), "1200 600 [91+509] [] | 91+509 600");
});

Deno.test("kvtest kv1 at 4/7 to 6/7 calls kvfree_call_rcu(NULL, ptr), with the blocks of 7/7", () => {
  for (const level of ["4/7", "5/7", "6/7"] as const) {
    assertEquals(short(runCase("kv1-n511", { level })[0]), "511 0 [1+510] [] | 1+510 -");
  }
});

Deno.test("kvtest at 6.1: five spare pages of each CPU, then the list; a shrinker takes them on all CPUs [cpus=8 hz=1000]", () => {
  const machine = { level: "v6.1.192", cpus: 8, HZ: 1000 } as const;
  for (const [cpu, row] of runCase("kv2-size32-allcpu-n3000", machine).entries()) {
    assertEquals([row.cpu, short(row)], [
      cpu,
      "3000 450 [510+510+510+510+510] [] | 510+510+510+510+510 450",
    ]);
  }
  for (const row of runCase("kv2-vmalloc-allcpu-cold-n700", machine)) {
    assertEquals(short(row), "700 700 [] [] | - 700");
    // The back-off of 5 s, by a wheel of 512 jiffies there.
    assert(row.fill_cache_at_j !== null && row.fill_cache_at_j > 5000 && row.fill_cache_at_j <= 5512);
  }
});

Deno.test("kvtest at v5.11: five spare pages, a drain of HZ/50; shrinkers leave the spare pages alone", () => {
  const [warm] = runCase("kv2-n5000", { level: "v5.11" });
  assertEquals(short(warm), "5000 2450 [510+510+510+510+510] [] | 510+510+510+510+510 2450");
  assert(warm.monitor_at_j !== null && warm.monitor_at_j > 5 && warm.monitor_at_j < 6.1);
  assertEquals(textOf(runCase("kv2-cold-n10", { level: "v5.11" })[0]).cached_before, "5");
});

Deno.test("kvtest stuck: five slab pointers stay behind at 7/7 and go with one more call, bulk 6; none do at 6.1", () => {
  const [phase, after] = runCase("stuck");
  assertEquals(short(phase), "10 0 [5] [5] | 10+10 5");
  assertEquals([phase.n_monitor, phase.n_work], [3, 2], "as recorded");
  assertEquals(phase.notes, ["7 s later: 5 of 10 late pointers wait, count 0, monitor not armed"]);
  assertEquals([short(after), after.queued?.cached_before], ["1 0 [6] [] | 6 -", 11]);
  assertEquals(after.notes, ["after one more call: 0 of them wait"]);
  const [later] = runCase("stuck", { level: "v6.1.192" });
  assertEquals(short(later), "10 0 [5] [5] | 10+10+5 5");
  assertEquals(later.notes, ["7 s later: 0 of 10 late pointers wait, count 0, monitor not armed"]);
});

Deno.test("kvtest early: the late vmalloc pointers are freed under the second reader at 7/7 and v6.1, not at v6.1.192", () => {
  for (const [level, under] of [["7/7", 5], ["v6.1", 5], ["v6.1.192", 0]] as const) {
    const [row] = runCase("early", { level });
    assertEquals(textOf(row).ch_vmalloc, "[5]");
    assert(
      row.notes[1].includes(`: ${under} of 10 while the second reader was in its section`),
      row.notes[1],
    );
  }
});

Deno.test("kvtest is a function of the case and the machine: the same twice", () => {
  const [first, second] = [runCase("kv1-mix-pfail-n40"), runCase("kv1-mix-pfail-n40")];
  assertEquals(first, second);
});
