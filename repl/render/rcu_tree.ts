// SPDX-License-Identifier: GPL-2.0-only
// The state of tree RCU in words: the flavour, the tree of nodes, a CPU, a CPU's callbacks.
//
// Ours. A look at what rcu/tree_look.ts returns. Invariants: every number is read from the machine; big machines stay
// readable, and what is left out is counted.

import type { Kernel } from "../../kernel/kernel.ts";
import { heading, type Row, row, type Shown } from "../command.ts";
import { plainFields } from "../output.ts";
import { formatAddr } from "../../kernel/machine/addr.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import { cpu_rq } from "../../kernel/sched/sched.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import {
  type CallbackLook,
  type CpuLook,
  type NodeLook,
  type SegmentLook,
  treeBlockedReaders,
  treeCpu,
  treeNodes,
  treeState,
} from "../../rcu/tree_look.ts";
import type { SiteTable } from "../sites.ts";
import { GracePeriods } from "./gp.ts";
import { HOW, jiffiesText } from "./gp_words.ts";
import { cpusText, ms, wrapped } from "./text.ts";
import { count } from "./verdict.ts";

/** Most callbacks of a segment, and most CPUs, that are listed one by one. */
const MOST_LISTED = 10;

/** `rcu`: the flavour in one line, then the CPUs that have callbacks. */
export function* treeStateLines(k: Kernel): Generator<Row, void, void> {
  yield row("rcu", { flavour: "tree", ...plainFields(treeState(k)) }, ...stateLines(k));
}

function* stateLines(k: Kernel): Generator<string, void, void> {
  const look = treeState(k);
  const flags = look.gp_flags.length === 0 ? "no flags" : look.gp_flags.join("|");
  const what = look.inProgress
    ? `runs for ${jiffiesText(look.age)}, owed by ${
      look.owing.length === 0 ? "nobody" : cpusText(look.owing)
    }`
    : look.completed === 0
    ? "idle; no grace period has run yet"
    : `idle; ${count(look.completed, "grace period")} so far, the last took ${
      jiffiesText(look.last)
    }, the longest ${jiffiesText(look.gp_max)}`;
  yield* wrapped(
    `${look.name}: `,
    `gp_seq ${look.gp_seq}, ${look.gp_state}, ${what}, ${flags}, ${count(look.callbacks, "callback")}`,
    2,
  );
  if (look.gp_seq_needed > look.gp_seq) yield `  wanted up to ${look.gp_seq_needed}`;
  const busy = k.cpus.map(({ id }) => treeCpu(k, id, 0)).filter(({ len }) => len > 0);
  for (const cpu of busy.slice(0, MOST_LISTED)) {
    yield `  CPU ${String(cpu.cpu).padStart(3)}  ${count(cpu.len, "callback")}: ${segmentSummary(cpu)}`;
  }
  if (busy.length > MOST_LISTED) yield `  and ${count(busy.length - MOST_LISTED, "CPU")} more with callbacks`;
}

function segmentSummary(cpu: CpuLook): string {
  const parts = [cpu.invoking, ...cpu.segments].filter((segment) => segment.count > 0).map(
    ({ name, gp_seq, count }) => `${count} ${name}${gp_seq === null ? "" : ` for ${gp_seq}`}`,
  );
  return parts.join(", ");
}

/** Most nodes of a level that are drawn. */
const MOST_NODES = 8;

/** `rcu tree`: the nodes, level by level, and which of their bits stand. */
export function* treeLines(k: Kernel): Generator<Shown, void, void> {
  const nodes = treeNodes(k);
  const levels = nodes.at(-1)?.level ?? 0;
  yield heading(
    "masks: CPU grplo, or the first child, first; 1 owes, . does not,",
    "- takes part in none yet: offline, or no grace period has begun since it came",
    `${"level".padEnd(8)}${"CPUs".padEnd(14)}${"gp_seq".padStart(8)}${"needed".padStart(8)}  qsmask`,
  );
  for (let level = 0; level <= levels; level++) {
    const all = nodes.filter((node) => node.level === level);
    // A level that is too wide shows who owes first.
    const shown = all.length <= MOST_NODES
      ? all
      : [...all.filter(owes), ...all.filter((node) => !owes(node))].slice(0, MOST_NODES)
        .sort((a, b) => a.grplo - b.grplo);
    for (const node of shown) yield row("node", plainFields(node), ...nodeLines(node));
    const rest = all.filter((node) => !shown.includes(node));
    if (rest.length === 0) continue;
    const owing = rest.filter(owes).length;
    yield `${" ".repeat(2 * level + 8)}and ${count(rest.length, "node")} more, ${
      owing === 0 ? "none of which waits" : `${owing} of which ${owing === 1 ? "waits" : "wait"}`
    }`;
  }
  const blocked = treeBlockedReaders(k);
  if (blocked.length === 0) return;
  const names = blocked.slice(0, MOST_NODES).map(({ comm, pid }) => `${comm} (pid ${pid})`).join(", ");
  const more = blocked.length > MOST_NODES ? ` and ${blocked.length - MOST_NODES} more` : "";
  yield* wrapped("preempted readers that hold it up: ", `${names}${more}`, 2);
}

function owes(node: NodeLook): boolean {
  return node.qsmask.length > 0;
}

function* nodeLines(node: NodeLook): Generator<string, void, void> {
  const cpus = `${"  ".repeat(node.level)}${node.grplo}-${node.grphi}`;
  const head = `${String(node.level).padEnd(8)}${cpus.padEnd(14)}${String(node.gp_seq).padStart(8)}` +
    `${String(node.gp_seq_needed).padStart(8)}`;
  const words = bitsText(node);
  for (let i = 0; i < words.length; i += WORDS_OF_A_LINE) {
    const text = words.slice(i, i + WORDS_OF_A_LINE).join(" ");
    yield `${i === 0 ? head : " ".repeat(head.length)}  ${text}${node.locked && i === 0 ? " locked" : ""}`;
  }
}

/** Bits of a word, and words of a line; a wider mask in which all bits are alike is told in words. */
const BITS_OF_A_WORD = 16;
const WORDS_OF_A_LINE = 2;

/** Bits in words, lowest first. */
function bitsText({ bits, qsmask, qsmaskinit }: NodeLook): string[] {
  if (bits === 0) return ["none"];
  if (bits > BITS_OF_A_WORD && qsmask.length === 0) {
    return [`${".".repeat(8)}... none of ${qsmaskinit.length}`];
  }
  if (bits > BITS_OF_A_WORD && qsmask.length === bits) return [`${"1".repeat(8)}... all ${bits}`];
  const words: string[] = [];
  for (let bit = 0; bit < bits; bit++) {
    if (bit % BITS_OF_A_WORD === 0) words.push("");
    words[words.length - 1] += qsmask.includes(bit) ? "1" : qsmaskinit.includes(bit) ? "." : "-";
  }
  return words;
}

/** `rcu cpu N`: what RCU keeps for a CPU, and when it reported last. */
export function* cpuLines(
  k: Kernel,
  view: TraceView,
  sites: SiteTable,
  cpu: number,
): Generator<string, void, void> {
  const look = treeCpu(k, cpu, 0);
  const { gp_seq, inProgress } = treeState(k);
  const current = look.gp_seq === gp_seq ? "" : `; rcu_state has ${gp_seq}, which it has not noticed`;
  yield* wrapped(
    `CPU ${cpu}, `,
    `leaf ${look.grplo}-${look.grphi}: gp_seq ${look.gp_seq}, needed ${look.gp_seq_needed}${current}`,
    2,
  );
  yield `  owes a quiescent state: ${
    look.owes
      ? look.core_needs_qs
        ? look.noQs ? "yes, and has passed none" : "yes; it has passed one and not reported it"
        : "yes, and does not know yet"
      : inProgress
      ? "no, not any more"
      : "no, no grace period runs"
  }`;
  yield `  core_needs_qs ${flag(look.core_needs_qs)}, cpu_no_qs ${flag(look.noQs)}, gpwrap ${
    flag(look.gpwrap)
  }, ` +
    `urgent ${flag(look.rcu_urgent_qs)}, heavy ${flag(look.rcu_need_heavy_qs)}, ` +
    `${count(look.ticks_this_gp, "tick")} this gp`;
  yield `  dynticks 0x${look.dynticks.toString(16)}: ${
    look.eqs ? "idle (extended quiescent state)" : "RCU watches"
  }` +
    `; last scan saw 0x${look.dynticks_snap.toString(16)}; nesting ${look.dynticks_nesting}`;
  yield `  ${count(look.len, "callback")}${
    look.len === 0 ? "" : `: ${segmentSummary(look)}`
  }, blimit ${look.blimit}`;
  const task = cpu_rq(k, cpu).curr;
  const depth = task.rcu_read_lock_nesting;
  const periods = new GracePeriods(k, treeState(k).levels - 1);
  const section = periods.open.get(task.pid);
  const place = section === undefined ? "" : sites.placeOf(section.lock);
  yield* wrapped(
    "  ",
    `runs ${task.pid === 0 ? "its idle task" : `${task.comm} (pid ${task.pid})`}` +
      (depth === 0 ? "" : `, in rcu_read_lock() ${depth > 1 ? `(depth ${depth}) ` : ""}` +
        (section === undefined
          ? ""
          : `since event ${section.lock.seq}${place === "" ? "" : ` of ${place}`}`)),
    4,
  );
  const gp = periods.list.findLast((it) => it.reports.some((report) => report.cpu === cpu));
  const report = gp?.reports.find((it) => it.cpu === cpu);
  if (gp === undefined || report === undefined) {
    yield "  has not reported a quiescent state yet, as far as the log goes back";
    return;
  }
  const { noted, record } = report;
  const ago = `${ms(k.now() - record.ns)} ms ago, for grace period ${gp.gp_seq}`;
  yield* wrapped(
    "  ",
    `last reported at event ${record.seq}, ${ago}: ${HOW[report.how]}` +
      (noted === undefined ? ` (found by ${view.comm(record.task)})` : `, event ${noted.record.seq}`),
    4,
  );
}

function flag(value: boolean): string {
  return value ? "1" : "0";
}

/** `rcu cblist`: of one CPU, or of those that have callbacks. */
export function* cblistsLines(k: Kernel, cpu: number | undefined): Generator<string, void, void> {
  if (cpu !== undefined) return yield* cblistLines(k, cpu);
  const busy = k.cpus.filter(({ id }) => treeCpu(k, id, 0).len > 0);
  if (busy.length === 0) yield "no CPU has callbacks";
  for (const { id } of busy.slice(0, MOST_LISTED)) yield* cblistLines(k, id);
  if (busy.length > MOST_LISTED) yield `and ${count(busy.length - MOST_LISTED, "CPU")} more`;
}

/** The four segments of a CPU, and what is in them. */
function* cblistLines(k: Kernel, cpu: number): Generator<string, void, void> {
  const look = treeCpu(k, cpu, MOST_LISTED);
  const { gp_seq } = treeState(k);
  yield `CPU ${cpu}: ${count(look.len, "callback")}; rcu_state.gp_seq is ${gp_seq}`;
  if (look.invoking.count > 0) yield* segmentLines(k, look.invoking, "rcu_do_batch() has taken them off");
  const meaning = ["may run", "waits for", "waits for", "no number yet: the next tick gives one"];
  for (const [i, segment] of look.segments.entries()) {
    const state = segment.gp_seq === null ? meaning[i] : `${meaning[i]} gp_seq ${segment.gp_seq}`;
    yield* segmentLines(k, segment, segment.count === 0 ? "" : state);
  }
}

function* segmentLines(k: Kernel, segment: SegmentLook, state: string): Generator<string, void, void> {
  const { name, count: length, callbacks } = segment;
  yield `  ${name.padEnd(11)} ${length === 0 ? "empty" : `${length}, ${state}`}`;
  for (const callback of callbacks) {
    yield `    rcu_head ${formatAddr(callback.head)}  ${callbackText(k, callback)}`;
  }
  if (length > callbacks.length) yield `    and ${length - callbacks.length} more`;
}

function callbackText(k: Kernel, { head, func }: CallbackLook): string {
  if (func >= 4096) return kallsyms_lookup(k, func);
  return `frees ${formatAddr(head - func)} (head at offset ${func})`;
}
