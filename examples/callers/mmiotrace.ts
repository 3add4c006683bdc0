// SPDX-License-Identifier: GPL-2.0-only
/**
 * mmiotrace (arch/x86/mm/mmio-mod.c, kmmio.c): a counter-example. The conversion was proposed, acknowledged, not
 * merged.
 *
 * Data structure: a remap_trace with its kmmio_probe for each traced mapping of device registers. The mapping's pages
 * are not present, so that every access faults; kmmio_handler() finds the probe, calls its handlers, makes the page
 * present and steps over the instruction, a reader of RCU from the fault to the end of the step. Here one mapping,
 * one probe.
 *
 * Lesson: look at what else comes after the wait. The trace may go a grace period later by itself: that is what
 * kvfree_rcu() does. But iounmap_trace_core() returns to iounmap(), which takes the mapping away, and with the wait
 * no handler was inside any more ("unregister_kmmio_probe() requirement", says its comment). Without it (`after`) the
 * instruction is stepped over on a mapping that is gone. In Linux the handler would even put the page's entry back. A
 * driver whose reader races with its iounmap() is wrong already; but such drivers are what one traces.
 *
 * Look at: `boot; run mmiotrace --variant after`: a page fault at the register, not at the trace; it kills the
 * driver's threads, for which the run waits in vain. `--variant before` is quiet, and so is one CPU.
 *
 *     deno run examples/callers/mmiotrace.ts --variant after
 */

import {
  type Atomic,
  cond_resched,
  container_of,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kzalloc,
  type MaySleep,
  msleep,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_dereference_protected,
  rcu_read_lock,
  rcu_read_unlock,
  READ_ONCE,
  type Scenario,
  struct,
  synchronize_rcu,
  udelay,
  ulong,
  vfree,
  type VirtAddr,
  vzalloc,
  wait_for_completion,
  WRITE_ONCE,
} from "../../mod.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, KEPT_VARIANT } from "./headless.ts";

const kmmio_probe = struct("kmmio_probe", { addr: ulong, len: ulong });
const remap_trace = struct("remap_trace", { probe: embed(kmmio_probe), accesses: ulong });

/** What is in .data: the driver's `base`, which is NULL when its device is gone, and the tracer's probe. */
const statics = struct("statics", { base: ptr, kmmio_probe: ptr });

type Data = Ptr<typeof statics>;

function probePointer(data: Data): Ptr<Ptr<typeof kmmio_probe>> {
  return (data + statics.offsetof("kmmio_probe")) as VirtAddr as Ptr<Ptr<typeof kmmio_probe>>;
}

/** The pre-handler: notes the access in the trace, which must still be there. */
function pre(k: Kernel, p: Ptr<typeof kmmio_probe>): void {
  remap_trace.at(k, container_of(p, remap_trace, "probe")).accesses++;
}

/** The fault, the handlers and the step over the load that faulted. Returns what was loaded. */
function* kmmio_handler(k: Kernel, data: Data, addr: VirtAddr): Atomic<number> {
  yield* rcu_read_lock(k);
  const p = yield* rcu_dereference(k, probePointer(data));
  if (p !== NULL) pre(k, p);
  yield* udelay(k, 1000); // decodes the instruction; the debug trap is still to come
  const value = k.ram.load32(addr);
  if (p !== NULL) pre(k, p);
  yield* rcu_read_unlock(k);
  return value;
}

function* iounmap_trace_core(k: Kernel, data: Data, variant: string): MaySleep<void> {
  const p = rcu_dereference_protected(k, probePointer(data));
  yield* rcu_assign_pointer(k, probePointer(data), NULL as Ptr<typeof kmmio_probe>); // unregister_kmmio_probe()
  const found_trace = container_of(p, remap_trace, "probe");
  if (variant === "after") return yield* freeHeadless(k, found_trace);
  yield* synchronize_rcu(k);
  yield* kfree(k, found_trace);
}

function* iounmap(k: Kernel, data: Data, addr: VirtAddr, variant: string): MaySleep<void> {
  yield* iounmap_trace_core(k, data, variant);
  yield* vfree(k, addr); // remove_vm_area(); the registers are memory here
}

/** The driver polls a register until its device is gone. */
function* poll(k: Kernel, data: Data): MaySleep<void> {
  for (let i = 0;; i++) {
    const base = yield* READ_ONCE(k, statics.at(k, data), "base");
    if (base === NULL) return;
    yield* kmmio_handler(k, data, base);
    yield* i % 16 === 15 ? msleep(k, 1) : cond_resched(k);
  }
}

function* remove(k: Kernel, data: Data, addr: VirtAddr, variant: string): MaySleep<void> {
  yield* msleep(k, 20);
  yield* udelay(k, 500);
  yield* WRITE_ONCE(k, statics.at(k, data), "base", NULL);
  yield* iounmap(k, data, addr, variant);
}

export const mmiotraceScenario: Scenario = {
  name: "mmiotrace",
  summary: "a counter-example: a mapping is taken away after the wait, so the wait has to stay",
  options: [KEPT_VARIANT],
  needs: headlessNeeds,
  *main(k: Kernel, { variant }: OptionValues): MaySleep<void> {
    const data = k.dataAlloc(statics.size) as VirtAddr as Data;
    const addr = yield* vzalloc(k, 8192); // ioremap()
    const trace = yield* kzalloc(k, remap_trace.size, GFP_KERNEL);
    if (addr === NULL || trace === NULL) return;
    statics.f.kmmio_probe.set(k, data, (trace + remap_trace.offsetof("probe")) as VirtAddr);
    statics.f.base.set(k, data, addr);
    const threads = [
      yield* startOn(k, 1 % k.config.cpus, "poll/1", (k) => poll(k, data)),
      yield* startOn(k, 2 % k.config.cpus, "poll/2", (k) => poll(k, data)),
      yield* startOn(k, 0, "remove", (k) => remove(k, data, addr, variant)),
    ];
    for (const done of threads) yield* wait_for_completion(k, done);
  },
};

export default mmiotraceScenario;

if (import.meta.main) runExample(mmiotraceScenario);
