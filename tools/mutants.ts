// SPDX-License-Identifier: GPL-2.0-only
/**
 * Mutants of rcu/tree.ts, each of which the stress must kill: a test that the tests can fail. (`deno task mutants`)
 *
 * A mutant changes one place in one function. Its text goes to a run of tests/rcu/stress.ts as an import map on standard
 * input, in which rcu/tree.ts is a data: URL; nothing is written anywhere. The unchanged file goes the same way first and
 * must survive. A mutant counts as killed when one of the properties that it was meant to break is violated.
 *
 * --smoke: three of them; NAME: those whose name contains it. The last line is `N killed, N survived`.
 *
 * @module
 */

import { readText } from "./files.ts";

/** One change to rcu/tree.ts. */
export interface Mutant {
  readonly name: string;
  /** Properties of which one must be found violated. */
  readonly breaks: readonly string[];
  /** What is replaced; must be there exactly once. */
  readonly find: string;
  readonly replace: string;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "synchronize_rcu() is a no-op",
    breaks: ["P1"],
    find: "else yield* wait_rcu_gp(k, call_rcu);",
    replace: "else return;",
  },
  {
    name: "rcu_gp_init() waits for nobody",
    breaks: ["P1", "P3"],
    find: "rnp.qsmask.set(rnp.qsmaskinit);",
    replace: "rnp.qsmask.clear();",
  },
  {
    name: "rcu_report_qs_rnp() reports up with bits left",
    breaks: ["P62", "P63"],
    find: "if (!rnp.qsmask.isZero() || rcu_preempt_blocked_readers_cgp(rnp)) {\n      raw_spin",
    replace: "if (rcu_preempt_blocked_readers_cgp(rnp)) {\n      raw_spin",
  },
  {
    name: "__note_gp_changes() clears the CPU's own bit",
    breaks: ["P1", "P3", "P62", "P67"],
    find: "const need_qs = rnp.qsmask.intersects(rdp.grpmask);",
    replace: "const need_qs = rnp.qsmask.intersects(rdp.grpmask);\n    rnp.qsmask.andNot(rdp.grpmask);",
  },
  {
    name: "__note_gp_changes() takes the quiescent state as passed",
    breaks: ["P67"],
    find: "rdp.cpu_no_qs.norm = need_qs;",
    replace: "rdp.cpu_no_qs.norm = false;",
  },
  {
    name: "rcu_sched_clock_irq() takes every tick for one in user mode",
    breaks: ["P1", "P3"],
    find: "yield* rcu_state(k).plugin.rcu_flavor_sched_clock_irq(k, user);",
    replace: "yield* rcu_state(k).plugin.rcu_flavor_sched_clock_irq(k, true);",
  },
  {
    name: "dyntick_save_progress_counter() takes every CPU for idle",
    breaks: ["P12"],
    find: "if (!rcu_dynticks_in_eqs(rdp.dynticks_snap)) return false;",
    replace: "",
  },
  {
    name: "rcu_accelerate_cbs() is content with the grace period that runs",
    breaks: ["P4"],
    find: "const gp_seq_req = rcu_seq_snap(rsp.gp_seq);",
    replace: "const gp_seq_req = rcu_seq_endval(rsp.gp_seq);",
  },
  {
    name: "get_state_synchronize_rcu() gives the number as it is",
    breaks: ["P23"],
    find: "return rcu_seq_snap(rcu_state(k).gp_seq_polled);",
    replace: "return rcu_state(k).gp_seq_polled;",
  },
  {
    name: "rcu_barrier() does not wait for the last callback",
    breaks: ["P20"],
    find: "yield* wait_for_completion(k, rsp.barrier_completion);",
    replace: "",
  },
  {
    name: "rcu_future_gp_cleanup() forgets requests",
    breaks: ["P69", "P35"],
    find: "const needmore = ULONG_CMP_LT(rnp.gp_seq, rnp.gp_seq_needed);",
    replace: "const needmore = false as boolean;",
  },
  {
    name: "rcu_gp_cleanup() goes from the leaves up",
    breaks: ["P60"],
    find: "for (const rnp of rcu_for_each_node_breadth_first(rsp)) {\n    needgp",
    replace: "for (const rnp of [...rcu_for_each_node_breadth_first(rsp)].reverse()) {\n    needgp",
  },
  {
    name: "rcu_gp_init() leaves out the last node",
    breaks: ["P60"],
    find: "for (const rnp of rcu_for_each_node_breadth_first(rsp)) {\n    yield* rcu_gp_slow",
    replace: "for (const rnp of rcu_for_each_node_breadth_first(rsp).slice(0, -1)) {\n    yield* rcu_gp_slow",
  },
  {
    name: "rcu_gp_fqs_loop() stops at the first look",
    breaks: ["P1", "P63"],
    find: "if (rnp.qsmask.isZero() && !rcu_preempt_blocked_readers_cgp(rnp)) break;",
    replace: "break;",
  },
  {
    name: "rcu_start_this_gp() wakes the thread with a node locked",
    breaks: ["P53"],
    find: '"newreq");\n  return true;',
    replace: '"newreq");\n  rcu_gp_kthread_wake(k);\n  return false;',
  },
  {
    name: "rcu_do_batch() has no limit",
    breaks: ["P40"],
    find: "-rcl.len >= bl &&",
    replace: "-rcl.len >= bl + 1000 &&",
  },
  {
    name: "rcu_do_batch() leaves the limit raised",
    breaks: ["P39"],
    find: "if (rdp.blimit >= DEFAULT_MAX_RCU_BLIMIT && count <= qlowmark(k)) rdp.blimit = blimit(k);",
    replace: "",
  },
  {
    name: "rcu_do_batch() does not count what it invoked",
    breaks: ["P68"],
    find: "rcu_segcblist_insert_count(k, cblist, rcl);",
    replace: "rcl.len = 0;",
  },
  {
    name: "rcu_nmi_exit_common() forgets that the CPU is idle again",
    breaks: ["P70"],
    find: "if (irq) rcu_prepare_for_idle(k);\n  rcu_dynticks_eqs_enter(k);",
    replace: "if (irq) rcu_prepare_for_idle(k);",
  },
  {
    name: "rcu_report_qs_rnp() reports nothing",
    breaks: ["P35"],
    find: "if ((!rnp.qsmask.intersects(mask) && !mask.isZero()) || rnp.gp_seq !== gps) {",
    replace: "if (rnp.gp_seq === gps || rnp.gp_seq !== gps) {",
  },
  {
    name: "rcu_implicit_dynticks_qs() interrupts idle CPUs",
    breaks: ["P41"],
    find: "const j = jiffies(k);\n  if (rcu_dynticks_in_eqs_since",
    replace: "const j = jiffies(k);\n  resched_cpu(k, rdp.cpu);\n  if (rcu_dynticks_in_eqs_since",
  },
];

/** Mutants of the smoke run: a guarantee, a request, an inner invariant. */
const SMOKE = [
  "synchronize_rcu() is a no-op",
  "rcu_future_gp_cleanup() forgets requests",
  "rcu_report_qs_rnp() reports up with bits left",
];

const TARGET = "rcu/tree.ts";
/** Seeds of each machine before a mutant counts as a survivor. */
const SEEDS = 12;
/** The unchanged file goes through fewer: `deno task stress` does that at length. */
const CONTROL_SEEDS = 2;
const LIMIT_MS = 100_000;

/** The mutated text of `source`. Throws unless the place is there exactly once. */
export function mutate(source: string, { name, find, replace }: Mutant): string {
  const places = source.split(find).length - 1;
  if (places !== 1) throw new Error(`mutant "${name}": its place is there ${places} times in ${TARGET}`);
  return source.replace(find, () => replace);
}

/** An import map in which rcu/tree.ts is `source`. */
function importMap(source: string): string {
  const root = new URL("../", import.meta.url);
  const url = new URL(TARGET, root).href;
  const absolute = source.replace(
    / from "(\.\.?\/[^"]+)"/g,
    (_all, path) => ` from "${new URL(path, url).href}"`,
  );
  const bytes = new TextEncoder().encode(absolute);
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  const { imports } = JSON.parse(readText("deno.json")) as { imports: Record<string, string> };
  const known = Object.entries(imports).map(([name, to]) => [
    name,
    to.startsWith("./") ? new URL(to, root).href : to,
  ]);
  return JSON.stringify({
    imports: { ...Object.fromEntries(known), [url]: `data:application/typescript;base64,${btoa(text)}` },
  });
}

/** What the stress said of a version of rcu/tree.ts. */
interface Outcome {
  readonly properties: readonly string[];
  /** Machine and seed, or what else went wrong. */
  readonly where: string;
}

/** Runs the stress on `source`, up to the first violation. */
async function stressed(source: string, seeds: number): Promise<Outcome> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--no-check", "--import-map=/dev/stdin"],
      ...["tests/rcu/stress.ts", "--stop", "--seeds", String(seeds)],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(LIMIT_MS),
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(importMap(source)));
  await writer.close();
  const { stdout, stderr, success } = await child.output();
  const output = new TextDecoder().decode(stdout);
  const found = /^VIOLATED (.*) \[(.*)\]$/m.exec(output);
  if (found !== null) return { properties: found[1].split(" "), where: found[2] };
  if (success) return { properties: [], where: "" };
  return { properties: [], where: `it fell: ${new TextDecoder().decode(stderr).trim().split("\n")[0]}` };
}

async function main(args: readonly string[]): Promise<void> {
  const source = readText(TARGET);
  const chosen = MUTANTS.filter(({ name }) =>
    args.includes("--smoke") ? SMOKE.includes(name) : args.every((arg) => name.includes(arg))
  );
  const control = await stressed(source, CONTROL_SEEDS);
  if (control.properties.length > 0 || control.where !== "") {
    console.log(`the unchanged file: ${control.properties.join(" ")} ${control.where}`);
    Deno.exit(1);
  }
  console.log("survived  the unchanged file");
  let survived = 0;
  for (const mutant of chosen) {
    const { properties, where } = await stressed(mutate(source, mutant), SEEDS);
    const killers = mutant.breaks.filter((property) => properties.includes(property));
    if (killers.length === 0) survived++;
    const others = properties.filter((property) => !killers.includes(property));
    const by = killers.length > 0 ? killers.join(" ") : `not by ${mutant.breaks.join(" ")}`;
    const also = others.length > 0 ? `, also ${others.join(" ")}` : "";
    console.log(`${killers.length > 0 ? "killed  " : "SURVIVED"}  ${mutant.name}: ${by}${also} [${where}]`);
  }
  console.log(`${chosen.length - survived} killed, ${survived} survived`);
  if (survived > 0) Deno.exit(1);
}

if (import.meta.main) await main(Deno.args);
