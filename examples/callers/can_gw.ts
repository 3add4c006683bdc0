// SPDX-License-Identifier: GPL-2.0-only
/**
 * The CAN gateway (net/can/gw.c): what a job does to the frames that it passes on, changed while frames come in.
 *
 * Data structure: gwj->cf_mod, the functions that modify a frame. Readers are softirqs on any CPU; the one writer at
 * a time holds RTNL. A job without functions passes a frame on without a copy: others look at it too.
 *
 * Lesson: RCU needs a pointer to switch. `memcpy` (up to 6.14) overwrote the functions in place, with the softirqs of
 * its own CPU off: right on one CPU. On another CPU can_can_gw_rcv() had seen no function and so made no copy, and
 * then found one to call. `after` is the repair of 2025: a new cf_mod for each update, kfree_rcu_mightsleep() for the
 * old one. `before` is the same with a wait, which nobody wrote: RTNL is held, and all of the network's configuration
 * with it.
 *
 * Look at: `boot; run can_gw --variant memcpy`, with any of the seeds 1 to 20: the warning is "a frame that others
 * see is modified". With `boot --cpus 1` it never comes, nor with the other variants.
 *
 *     deno run examples/callers/can_gw.ts --variant memcpy
 */

import {
  array,
  type Atomic,
  cond_resched,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kzalloc,
  local_bh_disable,
  local_bh_enable,
  type MaySleep,
  msleep,
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_dereference_protected,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  synchronize_rcu,
  udelay,
  ulong,
  type VirtAddr,
  wait_for_completion,
} from "../../mod.ts";
import { WARN } from "../../kernel/bug.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds } from "./headless.ts";

const MAX_MODFUNCTIONS = 4;
const cf_mod = struct("cf_mod", { modfunc: array(ulong, MAX_MODFUNCTIONS) });
const cgw_job = struct("cgw_job", { cf_mod: ptr });

type Mod = Ptr<typeof cf_mod>;

/** Here a function that modifies a frame is a number, and modfunc[] ends at a zero, as in C. */
function cgw_parse_attr(k: Kernel, mod: Mod, functions: number): void {
  const { modfunc } = cf_mod.at(k, mod);
  for (let i = 0; i < MAX_MODFUNCTIONS; i++) modfunc.set(i, i < functions ? i + 1 : 0);
}

/** A frame comes in. The softirq of can_rcv(), which is the reader, calls it. */
function* can_can_gw_rcv(k: Kernel, gwj: Ptr<Mod>): Atomic<void> {
  const mod = yield* rcu_dereference(k, gwj);
  const { modfunc } = cf_mod.at(k, mod);
  const copied = modfunc.get(0) !== 0; // skb_copy(), or skb_clone() where nothing is modified
  yield* udelay(k, 1000);
  for (let i = 0; i < MAX_MODFUNCTIONS && modfunc.get(i) !== 0; i++) {
    if (WARN(k, !copied, "a frame that others see is modified")) return;
  }
}

function* can_rcv(k: Kernel, gwj: Ptr<Mod>): MaySleep<void> {
  for (let i = 0; i < 20; i++) {
    local_bh_disable(k);
    yield* rcu_read_lock(k);
    yield* can_can_gw_rcv(k, gwj);
    yield* rcu_read_unlock(k);
    yield* local_bh_enable(k);
    yield* udelay(k, 300);
    yield* i % 4 === 3 ? msleep(k, 1) : cond_resched(k);
  }
}

/** An update of a job that is there. Under RTNL. */
function* cgw_create_job(k: Kernel, gwj: Ptr<Mod>, functions: number, variant: string): MaySleep<void> {
  const old_cf = rcu_dereference_protected(k, gwj);
  if (variant === "memcpy") {
    local_bh_disable(k);
    cgw_parse_attr(k, old_cf, functions);
    yield* local_bh_enable(k);
    return;
  }
  const mod = (yield* kzalloc(k, cf_mod.size, GFP_KERNEL)) as VirtAddr as Mod;
  if (mod === NULL) return;
  cgw_parse_attr(k, mod, functions);
  yield* rcu_assign_pointer(k, gwj, mod);
  if (variant === "after") return yield* freeHeadless(k, old_cf);
  yield* synchronize_rcu(k);
  yield* kfree(k, old_cf);
}

function* cgw(k: Kernel, gwj: Ptr<Mod>, variant: string): MaySleep<void> {
  const rtnl_mutex = new mutex("rtnl_mutex");
  for (let i = 1; i <= 8; i++) {
    yield* msleep(k, 1);
    yield* mutex_lock(k, rtnl_mutex);
    yield* udelay(k, 500); // parses the request
    yield* cgw_create_job(k, gwj, i % 2 === 0 ? 0 : 2, variant);
    mutex_unlock(k, rtnl_mutex);
  }
}

export const canGwScenario: Scenario = {
  name: "can_gw",
  summary: "frames are modified while the modifications change: in place (a bug on SMP), or by a new object",
  options: [{
    name: "variant",
    kind: "enum",
    values: ["memcpy", "before", "after"],
    default: "after",
    help: "an update overwrites in place (the bug), or replaces and frees after a wait, or by kvfree_rcu()",
  }],
  needs: headlessNeeds,
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const gwj = k.dataAlloc(cgw_job.size) as VirtAddr as Ptr<Mod>;
    k.ram.storePtr(gwj, yield* kzalloc(k, cf_mod.size, GFP_KERNEL));
    const threads = [
      yield* startOn(k, 1 % k.config.cpus, "vcan0", (k) => can_rcv(k, gwj)),
      yield* startOn(k, 2 % k.config.cpus, "vcan1", (k) => can_rcv(k, gwj)),
      yield* startOn(k, 0, "cgw", (k) => cgw(k, gwj, options.variant)),
    ];
    for (const done of threads) yield* wait_for_completion(k, done);
  },
};

export default canGwScenario;

if (import.meta.main) runExample(canGwScenario);
