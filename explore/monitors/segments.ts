// SPDX-License-Identifier: GPL-2.0-only
/**
 * Callback lists in segments, and requests for grace periods.
 *
 * P68: tails stand in the order of the list; the count is what is linked plus what is being invoked; nothing is in the
 * second waiting segment when the first is empty; numbers of segments in use ascend and are those of idle times. P69: who
 * has a callback with a number has a grace period that runs or is asked for, all the way up.
 *
 * A list belongs to its CPU with interrupts off, so P68 is looked at on the CPU of the event; P69 while no
 * node is locked.
 *
 * @module
 */

import { NULL } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { rcu_head, rcu_seq_started, rcu_seq_state } from "../../rcu/rcu.ts";
import {
  RCU_DONE_TAIL,
  RCU_NEXT_READY_TAIL,
  RCU_NEXT_TAIL,
  type rcu_segcblist,
  RCU_WAIT_TAIL,
} from "../../rcu/rcu_segcblist.ts";
import { rcu_data, rcu_state } from "../../rcu/tree.ts";
import { type rcu_data as RcuData, RCU_GP_FLAG_INIT, type rcu_node } from "../../rcu/tree_types.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";

/** Longer lists are not walked. */
const MOST_WALKED = 64;

export class Segments implements Monitor {
  readonly on: Monitor["on"] = {};

  constructor(private readonly k: Kernel, private readonly findings: Findings) {}

  look(e: Seen): void {
    const { k } = this;
    this.lookAtList(e, per_cpu_ptr(k, rcu_data, e.cpu));
    const rsp = rcu_state(k);
    // Who has a node locked may be on the way up with a request, and others rely on it.
    for (const rnp of rsp.node) if (rnp.lock.owner !== null) return;
    const started = rcu_seq_state(rsp.gp_seq) !== 0 || (rsp.gp_flags & RCU_GP_FLAG_INIT) !== 0;
    for (let cpu = 0; cpu < k.config.cpus; cpu++) {
      const rdp = per_cpu_ptr(k, rcu_data, cpu);
      if (rdp.cblist.len > 0 && rdp.mynode.lock.owner === null) {
        this.lookAtRequest(e, rdp, rsp.gp_seq, started);
      }
    }
  }

  private peek(addr: VirtAddr): VirtAddr {
    const phys = this.k.ram.translate(addr);
    return phys < 0 ? NULL : this.k.ram.rawLoadPtr(phys);
  }

  private broken(e: Seen, cpu: number, text: string): void {
    this.findings.violated("P68", e.seq, `callbacks of CPU ${cpu}: ${text}, event ${e.seq}`);
  }

  private lookAtList(e: Seen, rdp: RcuData): void {
    const { cblist, batch, cpu } = rdp;
    const { tails, gp_seq } = cblist;
    if (
      tails[RCU_WAIT_TAIL] === tails[RCU_DONE_TAIL] && tails[RCU_NEXT_READY_TAIL] !== tails[RCU_WAIT_TAIL]
    ) {
      this.broken(e, cpu, "the first waiting segment is empty, the second is not");
    }
    const waits = inUse(cblist, RCU_WAIT_TAIL);
    const ready = inUse(cblist, RCU_NEXT_READY_TAIL);
    if (waits && ready && gp_seq[RCU_WAIT_TAIL] > gp_seq[RCU_NEXT_READY_TAIL]) {
      this.broken(e, cpu, `numbers ${gp_seq[RCU_WAIT_TAIL]} and ${gp_seq[RCU_NEXT_READY_TAIL]} descend`);
    }
    if (
      (waits && rcu_seq_state(gp_seq[RCU_WAIT_TAIL]) !== 0) ||
      (ready && rcu_seq_state(gp_seq[RCU_NEXT_READY_TAIL]) !== 0)
    ) this.broken(e, cpu, `waits for a number that no end has: ${gp_seq.join(" ")}`);
    if (cblist.len > MOST_WALKED) return;
    const linked = this.walk(e, rdp);
    const taken = this.count(batch.head) - batch.len;
    if (linked >= 0 && cblist.len !== linked + taken) {
      this.broken(e, cpu, `${cblist.len} counted, ${linked} linked, ${taken} taken out`);
    }
  }

  /** Length of the list; the tails must come in order. -1 when they do not. */
  private walk(e: Seen, { cblist, cpu }: RcuData): number {
    let seg = RCU_DONE_TAIL;
    let at = cblist.head;
    let length = 0;
    for (;; length++) {
      while (seg < cblist.tails.length && cblist.tails[seg] === at) seg++;
      const head = this.peek(at);
      if (head === NULL || length > MOST_WALKED) break;
      at = (head + rcu_head.offsetof("next")) as VirtAddr;
    }
    if (seg > RCU_NEXT_TAIL) return length;
    this.broken(e, cpu, `tail ${seg} is not on the list behind the others`);
    return -1;
  }

  private count(list: VirtAddr): number {
    let n = 0;
    for (let head = this.peek(list); head !== NULL && n <= MOST_WALKED; head = this.peek(head)) n++;
    return n;
  }

  private lookAtRequest(e: Seen, rdp: RcuData, gp_seq: number, started: boolean): void {
    for (const seg of [RCU_WAIT_TAIL, RCU_NEXT_READY_TAIL]) {
      const wanted = rdp.cblist.gp_seq[seg];
      if (!inUse(rdp.cblist, seg) || wanted <= gp_seq) continue;
      const noted = isNoted(rdp.mynode, wanted);
      if (started && noted) continue;
      const what = `CPU ${rdp.cpu} has callbacks for ${wanted}`;
      const why = noted ? "no grace period runs or is asked for" : "no node on its way up knows";
      this.findings.violated("P69", e.seq, `${what}, and ${why}, event ${e.seq}`);
    }
  }
}

function inUse({ tails }: rcu_segcblist, seg: number): boolean {
  return tails[seg] !== tails[seg - 1];
}

/** Whether grace period `wanted` was asked for at a leaf or above it, or has started there. */
function isNoted(leaf: rcu_node, wanted: number): boolean {
  for (let rnp: rcu_node | null = leaf; rnp !== null; rnp = rnp.parent) {
    if (rnp.gp_seq_needed >= wanted || rcu_seq_started(rnp.gp_seq, wanted)) return true;
  }
  return false;
}
