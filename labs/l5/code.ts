// SPDX-License-Identifier: GPL-2.0-only
/**
 * The functions that lab L5 is about, as the machine calls them.
 *
 * @module
 */

import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import type { Tiny } from "./start.ts";

/** What a student's file, or a broken machine, has in place of rcu/tiny.ts. */
export interface TinyCode {
  rcu_qs(m: Tiny): Atomic<void>;
  call_rcu(m: Tiny, head: number, func: number): Atomic<void>;
  rcu_process_callbacks(m: Tiny): Atomic<void>;
  synchronize_rcu(m: Tiny): MaySleep<void>;
  rcu_barrier(m: Tiny): MaySleep<void>;
  kvfree_call_rcu(m: Tiny, head: number, func: number): MaySleep<void>;
  kvfree_rcu_monitor(m: Tiny): Atomic<void>;
  kvfree_rcu_work(m: Tiny, slot: number): Atomic<void>;
}
