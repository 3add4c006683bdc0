// SPDX-License-Identifier: GPL-2.0-only
/**
 * net/core/sysctl_net_core.c: the table that says on which CPU a flow's socket was last read. The hash of a packet is
 * masked into it, for every packet; writing net.core.rps_sock_flow_entries replaces it by one of another size.
 *
 * Lesson: a vmalloc'ed table goes through kvfree_rcu()'s second channel, one vfree() each. And freeing needs no lock: the
 * old code waited for the grace period inside of sock_flow_mutex, with the next writer in the queue behind it; the
 * converted one only notes what to free, `tofree`, and frees it unlocked. NULL is fine.
 *
 * Look at: `dmesg` for how long each write held the mutex: with `before` a grace period, milliseconds. And the channel:
 * one rcu_invoke_kvfree_callback for each of the three old tables, none for the write that changes nothing.
 *
 *     deno task -q repl -e 'boot; run rps_sock_flow_table --variant before; dmesg'
 *     deno task -q repl -e 'boot; run rps_sock_flow_table; dmesg; trace -e rcu_invoke_kvfree_callback'
 */

import {
  type Atomic,
  cond_resched,
  type Kernel,
  type MaySleep,
  msleep,
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  pr_info,
  type Ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_dereference_protected,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  synchronize_rcu,
  u32,
  udelay,
  vfree,
  type VirtAddr,
  vmalloc,
  wait_for_completion,
} from "../../mod.ts";
import { ENOMEM } from "../../kernel/errno.ts";
import { mutex_is_locked } from "../../kernel/locking/mutex.ts";
import { smp_processor_id } from "../../kernel/preempt.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, VARIANT } from "./headless.ts";

const rps_sock_flow_table = struct("rps_sock_flow_table", { mask: u32 });
/** Where ents[] begins: it is aligned to a cache line. */
const ENTS = 64;
const RPS_NO_CPU = 0xffff_ffff;

function RPS_SOCK_FLOW_TABLE_SIZE(num: number): number {
  return ENTS + num * u32.size;
}

function ent(table: VirtAddr, index: number): VirtAddr {
  return (table + ENTS + index * u32.size) as VirtAddr;
}

/** The file's static variables. */
interface Rps {
  readonly rps_sock_flow_table: Ptr<Ptr<VirtAddr>>; // __rcu
  readonly sock_flow_mutex: mutex;
}

/** recvmsg() of a socket whose packets have that hash: from now on they are wanted on this CPU. */
function* sock_rps_record_flow_hash(k: Kernel, rps: Rps, hash: number): Atomic<void> {
  yield* rcu_read_lock(k);
  const table = yield* rcu_dereference(k, rps.rps_sock_flow_table);
  if (table !== NULL) {
    const index = (hash & rps_sock_flow_table.f.mask.get(k, table)) >>> 0;
    yield* udelay(k, 200); // meanwhile, on another CPU, the table is replaced
    k.ram.store32(ent(table, index), smp_processor_id(k));
  }
  yield* rcu_read_unlock(k);
}

/** Writes rps_sock_flow_entries; 0 turns it off. The old code frees under the mutex, the new one behind it. */
function* rps_sock_flow_sysctl(k: Kernel, rps: Rps, size: number, variant: string): MaySleep<number> {
  let tofree: VirtAddr = NULL;
  yield* mutex_lock(k, rps.sock_flow_mutex);
  const begin = k.now();
  const held = mutex_is_locked(rps.sock_flow_mutex);
  const orig_sock_table: VirtAddr = rcu_dereference_protected(k, rps.rps_sock_flow_table, held);
  const orig_size = orig_sock_table === NULL ? 0 : rps_sock_flow_table.f.mask.get(k, orig_sock_table) + 1;
  let sock_table: VirtAddr = orig_sock_table;
  if (size !== orig_size) {
    sock_table = size === 0 ? NULL : yield* vmalloc(k, RPS_SOCK_FLOW_TABLE_SIZE(size));
    if (size !== 0 && sock_table === NULL) {
      mutex_unlock(k, rps.sock_flow_mutex);
      return -ENOMEM;
    }
    if (size !== 0) rps_sock_flow_table.f.mask.set(k, sock_table, size - 1);
  }
  for (let i = 0; i < size; i++) k.ram.store32(ent(sock_table, i), RPS_NO_CPU);
  if (sock_table !== orig_sock_table) {
    yield* rcu_assign_pointer(k, rps.rps_sock_flow_table, sock_table as Ptr<VirtAddr>);
    tofree = orig_sock_table;
  }
  if (variant === "before" && tofree !== NULL) {
    yield* synchronize_rcu(k);
    yield* vfree(k, tofree);
  }
  pr_info(k, `rps_sock_flow_entries = ${size}: mutex held for ${Math.round((k.now() - begin) / 1000)} us`);
  mutex_unlock(k, rps.sock_flow_mutex);
  if (variant === "after") yield* freeHeadless(k, tofree);
  return 0;
}

/** Reads a socket, in bursts of 12 ms. */
function* receiver(k: Kernel, rps: Rps): MaySleep<void> {
  for (let i = 1; i <= 180; i++) {
    yield* sock_rps_record_flow_hash(k, rps, i * 40503);
    if (i % 60 === 0) yield* msleep(k, 1);
    else yield* cond_resched(k);
  }
}

export const rpsSockFlowScenario: Scenario = {
  name: "rps_sock_flow_table",
  summary: "a sysctl replaces a vmalloc'ed table of packet flows: freed under its mutex, or behind it?",
  options: [VARIANT],
  needs: headlessNeeds,
  *main(k: Kernel, { variant }: OptionValues): MaySleep<void> {
    const rps: Rps = {
      rps_sock_flow_table: k.dataAlloc(8) as VirtAddr as Rps["rps_sock_flow_table"],
      sock_flow_mutex: new mutex("sock_flow_mutex"),
    };
    yield* rps_sock_flow_sysctl(k, rps, 1024, variant);
    const cpu = 1 % k.config.cpus;
    const received = yield* startOn(k, cpu, "receiver", (k) => receiver(k, rps));
    for (const size of [2048, 4096, 4096, 0]) {
      yield* msleep(k, 4);
      yield* rps_sock_flow_sysctl(k, rps, size, variant);
    }
    yield* wait_for_completion(k, received);
  },
};

export default rpsSockFlowScenario;

if (import.meta.main) runExample(rpsSockFlowScenario);
