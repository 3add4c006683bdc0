// SPDX-License-Identifier: GPL-2.0-only
/**
 * Forged runs for the monitors' tests: events that never were, and a machine at rest to tamper with.
 *
 * @module
 */

import { assert } from "@std/assert";
import { doneVoid } from "../../kernel/machine/effects.ts";
import { ksym } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { Monitors, type Watch } from "../../explore/monitors/monitors.ts";
import { rcu_data, rcu_state } from "../../rcu/tree.ts";
import { runToEnd, synchronize_rcu } from "../../mod.ts";
import { bootTree } from "../rcu/tree_machine.ts";

export const HEAD: number = 0x8880_0001_0000;
export const PTR: number = 0x8880_0002_0000;
export const START: number = 1_000_000;

/** A tree of three levels at rest, and its monitors. */
export class Forge {
  readonly k: Kernel = bootTree({ cpus: 8, fanout: 2, fanoutLeaf: 2 });
  readonly monitors: Monitors;
  private seq = START;

  constructor(watch: Watch) {
    runToEnd(this.k, "first grace period", synchronize_rcu); // until then the masks are empty
    // Readers are told to begin on this CPU: it is not idle.
    if (watch === "events") per_cpu_ptr(this.k, rcu_data, this.k.cpu.id).dynticks = 10;
    this.monitors = new Monitors(this.k, watch);
  }

  get gp_seq(): number {
    return rcu_state(this.k).gp_seq;
  }

  get kthread(): number {
    return rcu_state(this.k).gp_kthread?.pid ?? 0;
  }

  /** An event; texts are interned. Returns its number. */
  tell(name: string, args: readonly (number | string)[], cpu = 1, task = 100): number {
    const event = traceEvents.find((it) => it.name === name);
    assert(event !== undefined, name);
    const numbers = args.map((arg) => typeof arg === "number" ? arg : this.k.log.intern(arg));
    while (numbers.length < 8) numbers.push(0);
    this.monitors.see({
      seq: ++this.seq,
      ns: 0,
      cpu,
      flags: 0,
      task,
      kind: event.id,
      args: numbers,
      site: 0,
    });
    return this.seq;
  }

  /** An event of grace periods by their thread. */
  gp(gp_seq: number, event: string, task: number = this.kthread): number {
    return this.tell("rcu_grace_period", ["rcu_sched", gp_seq, event], 0, task);
  }

  /** The grace period reaches all nodes, at its start or its end. */
  nodes(what: "init" | "Cleanup", gp_seq: number): void {
    for (const rnp of rcu_state(this.k).node) this.node(what, gp_seq, rnp.level, rnp.grplo);
  }

  node(what: "init" | "Cleanup", gp_seq: number, level: number, grplo: number): void {
    if (what === "init") this.tell("rcu_grace_period_init", ["rcu_sched", gp_seq, level, grplo, 0, 0], 0);
    else this.tell("rcu_future_grace_period", ["rcu_sched", gp_seq, gp_seq, level, grplo, 0, what], 0);
  }

  start(): void {
    this.gp(this.gp_seq + 1, "start");
    this.nodes("init", this.gp_seq + 1);
    this.gp(this.gp_seq + 1, "fqswait");
  }

  end(): void {
    this.nodes("Cleanup", this.gp_seq + 4);
    this.gp(this.gp_seq + 1, "end");
  }

  found(): string[] {
    return [...new Set(this.monitors.violations.map(({ property }) => property))];
  }
}

export interface Case {
  readonly property: string;
  readonly what: string;
  readonly forge: (f: Forge) => void;
  /** Nearly the same, and lawful. */
  readonly lawful: (f: Forge) => void;
}

export function read(f: Forge, cpu = 1): void {
  f.tell("rcu_read_lock", [1], cpu, 100 + cpu);
}

export function unread(f: Forge, cpu = 1): void {
  f.tell("rcu_read_unlock", [0], cpu, 100 + cpu);
}

export function queue(f: Forge, head = HEAD, cpu = 2): void {
  f.tell("rcu_callback", ["rcu_sched", head, 0, 1], cpu);
}

export function invoke(f: Forge, head = HEAD, cpu = 2): void {
  f.tell("rcu_invoke_callback", ["rcu_sched", head, ksym(f.k, doneVoid)], cpu);
}

export function wholeGp(f: Forge, inside: () => void = () => {}): void {
  f.start();
  inside();
  f.end();
}
