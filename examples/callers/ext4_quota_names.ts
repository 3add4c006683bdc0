// SPDX-License-Identifier: GPL-2.0-only
/**
 * ext4's names of quota files (fs/ext4/super.c): strings that /proc/mounts prints while a remount replaces them.
 *
 * Data structure: s_qf_names[], one pointer to a string for each quota type. Readers print the strings under
 * rcu_read_lock(); a remount swaps them under s_umount (an rwsem in Linux, a mutex here).
 *
 * Lesson: a string has no room for an rcu_head. `before` (5.10) therefore waits for a grace period, once for each
 * name and with s_umount held, so that whoever needs s_umount waits too. `after` (ext4_apply_quota_options() today)
 * hands the bare string over and goes on.
 *
 * Look at: the marks of `boot; run ext4_quota_names --variant before; trace -e tracing_mark_write`, which say how
 * long each remount held s_umount: 32 ms, two grace periods. With `--variant after` it is a microsecond.
 *
 *     deno run examples/callers/ext4_quota_names.ts --variant before
 */

import {
  type Atomic,
  GFP_KERNEL,
  type Kernel,
  kfree,
  type MaySleep,
  msleep,
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
  rcu_replace_pointer,
  type Scenario,
  synchronize_rcu,
  trace_mark,
  type VirtAddr,
  wait_for_completion,
  WARN_ON_ONCE,
} from "../../mod.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, VARIANT } from "./headless.ts";
import { kstrdup, readString } from "./kstrdup.ts";

/** USRQUOTA and GRPQUOTA: the two that can have a file of that name. */
const QUOTA_TYPES = 2;
/** The names that the remounts choose from. */
const NAMES = [["aquota.user", "aquota.group"], ["user.aquota", "group.aquota"]];

/** sbi->s_qf_names[qtype] */
function s_qf_name(sbi: VirtAddr, qtype: number): Ptr<Ptr<VirtAddr>> {
  return (sbi + qtype * ptr.size) as VirtAddr as Ptr<Ptr<VirtAddr>>;
}

/** Swaps in the names that the remount brings; null takes one away. Under s_umount. */
function* ext4_apply_quota_options(
  k: Kernel,
  sbi: VirtAddr,
  names: readonly (string | null)[],
  variant: string,
): MaySleep<void> {
  for (let i = 0; i < QUOTA_TYPES; i++) {
    const name = names[i];
    const qname = name === null ? NULL : yield* kstrdup(k, name, GFP_KERNEL);
    if (name !== null && qname === NULL) return;
    const old_qname = yield* rcu_replace_pointer(k, s_qf_name(sbi, i), qname as Ptr<VirtAddr>);
    if (variant === "after") yield* freeHeadless(k, old_qname);
    else if (old_qname !== NULL) {
      yield* synchronize_rcu(k);
      yield* kfree(k, old_qname);
    }
  }
}

function* ext4_remount(
  k: Kernel,
  sbi: VirtAddr,
  s_umount: mutex,
  names: readonly (string | null)[],
  variant: string,
): MaySleep<void> {
  yield* mutex_lock(k, s_umount);
  const start = k.now();
  yield* ext4_apply_quota_options(k, sbi, names, variant);
  const usecs = Math.round((k.now() - start) / 1000);
  trace_mark(k, `ext4_remount: s_umount held for ${usecs} us`);
  mutex_unlock(k, s_umount);
}

/** A line of /proc/mounts: each name is an old one or a new one, never half of each. */
function* ext4_show_quota_options(k: Kernel, sbi: VirtAddr): Atomic<void> {
  yield* rcu_read_lock(k);
  for (let i = 0; i < QUOTA_TYPES; i++) {
    const qf_name = yield* rcu_dereference(k, s_qf_name(sbi, i));
    if (qf_name === NULL) continue;
    const shown = yield* readString(k, qf_name, 500);
    WARN_ON_ONCE(k, !NAMES.some((names) => names[i] === shown));
  }
  yield* rcu_read_unlock(k);
}

function* cat(k: Kernel, sbi: VirtAddr): MaySleep<void> {
  for (let i = 0; i < 20; i++) {
    yield* ext4_show_quota_options(k, sbi);
    yield* msleep(k, 1);
  }
}

function* mount(k: Kernel, sbi: VirtAddr, variant: string): MaySleep<void> {
  const s_umount = new mutex("s_umount");
  for (let i = 0; i < 4; i++) {
    yield* ext4_remount(k, sbi, s_umount, NAMES[i % 2], variant);
    yield* msleep(k, 5);
  }
  yield* ext4_remount(k, sbi, s_umount, [null, null], variant);
}

export const quotaNamesScenario: Scenario = {
  name: "ext4_quota_names",
  summary: "a remount replaces strings that /proc/mounts prints: kvfree_rcu() without an rcu_head",
  options: [VARIANT],
  needs: headlessNeeds,
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const sbi = k.dataAlloc(QUOTA_TYPES * ptr.size);
    const threads = [
      yield* startOn(k, 1 % k.config.cpus, "cat/1", (k) => cat(k, sbi)),
      yield* startOn(k, 2 % k.config.cpus, "cat/2", (k) => cat(k, sbi)),
      yield* startOn(k, 0, "mount", (k) => mount(k, sbi, options.variant)),
    ];
    for (const done of threads) yield* wait_for_completion(k, done);
  },
};

export default quotaNamesScenario;

if (import.meta.main) runExample(quotaNamesScenario);
