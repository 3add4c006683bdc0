// SPDX-License-Identifier: GPL-2.0-only
/**
 * The multicast groups of a netlink socket (net/netlink/af_netlink.c): a bitmap that grows, and its length.
 *
 * Data structure: nlk->groups, a bitmap, and nlk->ngroups, how many bits it has. A broadcast looks for the bit of its
 * group.
 *
 * Lesson: RCU protects the lifetime of one object, not two words that belong together. `before` (5.10) needs no RCU:
 * who broadcasts counts himself in, and the writer keeps newcomers out and waits for the others. `after` copies the
 * bitmap, publishes first the larger one and then the larger length, and frees the old one by kfree_rcu_mightsleep();
 * a reader that sees the new length sees the new bitmap. `reversed` publishes the length first: a reader on another
 * CPU takes the new length and the old bitmap, and reads behind its end. No grace period helps, for nothing is freed
 * too early.
 *
 * Look at: `boot --kasan; run netlink_groups --variant reversed`: slab-out-of-bounds in test_bit, with each of the
 * seeds 1 to 20. The other two variants report nothing.
 *
 *     deno run examples/callers/netlink_groups.ts --variant reversed --kasan
 */

import {
  type Atomic,
  cond_resched,
  GFP_ATOMIC,
  type Kernel,
  kfree,
  kzalloc,
  type MaySleep,
  msleep,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  raw_spinlock_t,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  schedule_timeout_uninterruptible,
  smp_load_acquire,
  smp_store_release,
  spin_lock,
  spin_unlock,
  struct,
  udelay,
  ulong,
  type VirtAddr,
  wait_for_completion,
  WARN_ON_ONCE,
} from "../../mod.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds } from "./headless.ts";

const netlink_sock = struct("netlink_sock", { groups: ptr, ngroups: ulong });

/** The socket, and the table's lock with the number of those who broadcast. */
interface Netlink {
  readonly nlk: Ptr<typeof netlink_sock>;
  readonly nl_table_lock: raw_spinlock_t;
  nl_table_users: number;
}

function NLGRPSZ(groups: number): number {
  return Math.ceil(groups / 64) * ulong.size;
}

function groupsPointer({ nlk }: Netlink): Ptr<Ptr<VirtAddr>> {
  return (nlk + netlink_sock.offsetof("groups")) as VirtAddr as Ptr<Ptr<VirtAddr>>;
}

function test_bit(k: Kernel, nr: number, addr: VirtAddr): boolean {
  return (k.ram.load32((addr + 4 * Math.floor(nr / 32)) as VirtAddr) >>> nr % 32) % 2 === 1;
}

/** Lets no more broadcasts begin, and waits for those that have begun. netlink_table_ungrab() is spin_unlock(). */
function* netlink_table_grab(k: Kernel, nl: Netlink): MaySleep<void> {
  yield* spin_lock(k, nl.nl_table_lock);
  while (nl.nl_table_users > 0) {
    spin_unlock(k, nl.nl_table_lock);
    yield* schedule_timeout_uninterruptible(k, 1);
    yield* spin_lock(k, nl.nl_table_lock);
  }
}

function* netlink_lock_table(k: Kernel, nl: Netlink): Atomic<void> {
  yield* spin_lock(k, nl.nl_table_lock);
  nl.nl_table_users++;
  spin_unlock(k, nl.nl_table_lock);
}

function* netlink_realloc_groups(k: Kernel, nl: Netlink, groups: number, variant: string): MaySleep<void> {
  const sk = netlink_sock.at(k, nl.nlk);
  if (variant === "before") yield* netlink_table_grab(k, nl);
  if (variant === "reversed") yield* smp_store_release(k, sk, "ngroups", groups);
  const old_groups = sk.groups;
  const new_groups = yield* kzalloc(k, NLGRPSZ(groups), GFP_ATOMIC);
  if (new_groups !== NULL) {
    for (let at = 0; old_groups !== NULL && at < NLGRPSZ(groups - 64); at += 8) {
      k.ram.storeLong((new_groups + at) as VirtAddr, k.ram.loadLong((old_groups + at) as VirtAddr));
    }
    if (variant === "reversed") yield* udelay(k, 700); // an interrupt, say
    yield* rcu_assign_pointer(k, groupsPointer(nl), new_groups as Ptr<VirtAddr>);
    if (variant !== "reversed") yield* smp_store_release(k, sk, "ngroups", groups);
  }
  if (variant === "before") {
    yield* kfree(k, old_groups); // krealloc() in Linux
    spin_unlock(k, nl.nl_table_lock);
  } else if (new_groups !== NULL) yield* freeHeadless(k, old_groups);
}

/** Whether the socket has joined `group`. */
function* do_one_broadcast(k: Kernel, nl: Netlink, group: number, variant: string): Atomic<boolean> {
  const sk = netlink_sock.at(k, nl.nlk);
  if (variant === "before") yield* netlink_lock_table(k, nl);
  else yield* rcu_read_lock(k);
  let joined = false;
  if (group < (yield* smp_load_acquire(k, sk, "ngroups"))) {
    const groups = variant === "before" ? sk.groups : yield* rcu_dereference(k, groupsPointer(nl));
    yield* udelay(k, 300);
    joined = test_bit(k, group, groups);
  }
  if (variant === "before") nl.nl_table_users--;
  else yield* rcu_read_unlock(k);
  return joined;
}

/** Broadcasts to group 1, which the socket has joined, and to the last group, which it has not. */
function* netlink_broadcast(k: Kernel, nl: Netlink, variant: string): MaySleep<void> {
  for (let i = 0; i < 120; i++) {
    WARN_ON_ONCE(k, !(yield* do_one_broadcast(k, nl, 1, variant)));
    const last = netlink_sock.f.ngroups.get(k, nl.nlk) - 1;
    yield* do_one_broadcast(k, nl, last, variant);
    yield* i % 16 === 15 ? msleep(k, 1) : cond_resched(k);
  }
}

function* genl_register_family(k: Kernel, nl: Netlink, variant: string): MaySleep<void> {
  for (let groups = 128; groups <= 1024; groups += 64) {
    yield* msleep(k, 1);
    yield* udelay(k, 250); // makes its list of operations
    yield* netlink_realloc_groups(k, nl, groups, variant);
  }
}

export const netlinkGroupsScenario: Scenario = {
  name: "netlink_groups",
  summary: "a bitmap and its length grow under their readers: the order of the two publications matters",
  options: [{
    name: "variant",
    kind: "enum",
    values: ["before", "after", "reversed"],
    default: "after",
    help: "without RCU, with kvfree_rcu(), or that with the length published first (a bug)",
  }],
  needs: headlessNeeds,
  *main(k: Kernel, { variant }: OptionValues): MaySleep<void> {
    const nlk = k.dataAlloc(netlink_sock.size) as VirtAddr as Netlink["nlk"];
    const nl: Netlink = { nlk, nl_table_lock: new raw_spinlock_t("nl_table_lock"), nl_table_users: 0 };
    yield* netlink_realloc_groups(k, nl, 64, variant);
    k.ram.store32(netlink_sock.f.groups.get(k, nlk), 2); // joins group 1
    const threads = [
      yield* startOn(k, 1 % k.config.cpus, "broadcast/1", (k) => netlink_broadcast(k, nl, variant)),
      yield* startOn(k, 2 % k.config.cpus, "broadcast/2", (k) => netlink_broadcast(k, nl, variant)),
      yield* startOn(k, 0, "genl", (k) => genl_register_family(k, nl, variant)),
    ];
    for (const done of threads) yield* wait_for_completion(k, done);
  },
};

export default netlinkGroupsScenario;

if (import.meta.main) runExample(netlinkGroupsScenario);
