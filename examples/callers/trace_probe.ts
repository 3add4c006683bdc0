// SPDX-License-Identifier: GPL-2.0-only
/**
 * kernel/trace/trace_probe.c: the list of trace files that want to hear of a probe. The probe's handler walks it with
 * preemption off, which makes it a reader without a call to RCU; files come and go under a mutex.
 *
 * Lesson: the simplest conversion of all, list_del_rcu() and a pointer. The link has no rcu_head, and need not have: it
 * is 24 bytes, with a head 40, the next size of kmalloc(). That was the answer when in 2023 the one-argument form was
 * questioned and the proposal was to embed heads.
 *
 * Look at: the lines of `dmesg`. Before: each removal takes a grace period, milliseconds. After: microseconds, and
 * `trace -e rcu_invoke_kfree_bulk_callback` shows that all links left in one batch.
 *
 *     deno task -q repl -e 'boot; run trace_probe --variant before; dmesg'
 *     deno task -q repl -e 'boot; run trace_probe --variant after; dmesg; trace -e rcu_invoke_kfree_bulk_callback'
 */

import {
  type Atomic,
  cond_resched,
  container_of,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kmalloc,
  type MaySleep,
  msleep,
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  pr_info,
  preempt_disable,
  preempt_enable,
  ptr,
  type Scenario,
  struct,
  synchronize_rcu,
  udelay,
  ulong,
  type VirtAddr,
  wait_for_completion,
} from "../../mod.ts";
import { ENOENT, ENOMEM } from "../../kernel/errno.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, VARIANT } from "./headless.ts";
import {
  INIT_LIST_HEAD,
  list_add_tail_rcu,
  list_del_rcu,
  list_empty,
  list_for_each_entry,
  list_head,
  list_next_rcu,
} from "./list_rcu.ts";

/** Where the hits go; only the count matters here. */
const trace_event_file = struct("trace_event_file", { hits: ulong });

export const event_file_link = struct("event_file_link", { file: ptr, list: embed(list_head) });

/** What trace_probe and its trace_probe_event have of it. */
const trace_probe = struct("trace_probe", { files: embed(list_head), flags: ulong });
const TP_FLAG_TRACE = 1;

function* trace_probe_add_file(k: Kernel, tp: VirtAddr, file: VirtAddr): MaySleep<number> {
  const link = yield* kmalloc(k, event_file_link.size, GFP_KERNEL);
  if (link === NULL) return -ENOMEM;
  const { list } = event_file_link.at(k, link);
  event_file_link.f.file.set(k, link, file);
  INIT_LIST_HEAD(k, list.addr);
  yield* list_add_tail_rcu(k, list.addr, trace_probe.at(k, tp).files.addr);
  trace_probe.f.flags.set(k, tp, TP_FLAG_TRACE);
  return 0;
}

function trace_probe_get_file_link(k: Kernel, tp: VirtAddr, file: VirtAddr): VirtAddr {
  for (const link of list_for_each_entry(k, trace_probe.at(k, tp).files.addr, event_file_link, "list")) {
    if (event_file_link.f.file.get(k, link) === file) return link;
  }
  return NULL;
}

function* trace_probe_remove_file(
  k: Kernel,
  tp: VirtAddr,
  file: VirtAddr,
  variant: string,
): MaySleep<number> {
  const link = trace_probe_get_file_link(k, tp, file);
  if (link === NULL) return -ENOENT;
  list_del_rcu(k, event_file_link.at(k, link).list.addr);
  if (variant === "before") {
    yield* synchronize_rcu(k);
    yield* kfree(k, link);
  } else yield* freeHeadless(k, link);
  if (list_empty(k, trace_probe.at(k, tp).files.addr)) trace_probe.f.flags.set(k, tp, 0);
  return 0;
}

/** The handler of a probe that was hit: writes to every file. Preemption is off, as in a breakpoint. */
function* kprobe_trace_func(k: Kernel, tp: VirtAddr): Atomic<void> {
  preempt_disable(k);
  const head = trace_probe.at(k, tp).files.addr;
  for (let at = yield* list_next_rcu(k, head, head); at !== NULL; at = yield* list_next_rcu(k, at, head)) {
    const file = event_file_link.f.file.get(k, container_of(at, event_file_link, "list"));
    trace_event_file.f.hits.set(k, file, trace_event_file.f.hits.get(k, file) + 1);
    yield* udelay(k, 100); // meanwhile, on another CPU, the link is taken off the list
  }
  preempt_enable(k);
}

/** Code with a probe in it, hit all the time; with four files a hit takes 0.4 ms. */
function* probedCode(k: Kernel, tp: VirtAddr): MaySleep<void> {
  for (let hit = 1; hit <= 90; hit++) {
    yield* kprobe_trace_func(k, tp);
    if (hit % 30 === 0) yield* msleep(k, 1);
    else yield* cond_resched(k);
  }
}

export const traceProbeScenario: Scenario = {
  name: "trace_probe",
  summary: "trace files leave a probe's list while the probe is hit: the simplest conversion",
  options: [VARIANT, {
    name: "files",
    kind: "int",
    min: 1,
    max: 100,
    default: "4",
    help: "files on the list",
  }],
  needs: headlessNeeds,
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const n = Number(options.files);
    const [tp, files] = [k.dataAlloc(trace_probe.size), k.dataAlloc(n * trace_event_file.size)];
    const fileAt = (i: number): VirtAddr => (files + i * trace_event_file.size) as VirtAddr;
    const event_mutex = new mutex("event_mutex");
    INIT_LIST_HEAD(k, trace_probe.at(k, tp).files.addr);
    yield* mutex_lock(k, event_mutex);
    for (let i = 0; i < n; i++) yield* trace_probe_add_file(k, tp, fileAt(i));
    mutex_unlock(k, event_mutex);

    const probed = yield* startOn(k, 1 % k.config.cpus, "probed", (k) => probedCode(k, tp));
    yield* msleep(k, 1);
    for (let i = 0; i < n; i++) {
      const begin = k.now();
      yield* mutex_lock(k, event_mutex);
      yield* trace_probe_remove_file(k, tp, fileAt(i), options.variant);
      mutex_unlock(k, event_mutex);
      pr_info(k, `trace_probe_remove_file took ${Math.round((k.now() - begin) / 1000)} us`);
    }
    yield* wait_for_completion(k, probed);
  },
};

export default traceProbeScenario;

if (import.meta.main) runExample(traceProbeScenario);
