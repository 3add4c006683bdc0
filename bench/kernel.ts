// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the emulated kernel costs on this host. The log is off: it is what exploration runs with.
 *
 * @module
 */

import { pt } from "../kernel/machine/points.ts";
import {
  __get_free_page,
  array,
  boot,
  complete,
  completion,
  cond_resched,
  type Config,
  DEFAULT_LIMITS,
  embed,
  free_page,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kmalloc,
  kthread_run,
  kvfree_rcu,
  type MaySleep,
  rcu_head,
  reboot,
  runToEnd,
  struct,
  u8,
  wait_for_completion,
} from "../mod.ts";
import { schedule } from "../kernel/sched/core.ts";
import { type Figure, measure } from "./measure.ts";

/** Objects of the kvfree_rcu flood, as in the kernel's own scale test: 10 loops of 8000. */
export const FLOOD = 80_000;

const object = struct("object", { rcu: embed(rcu_head), data: array(u8, 48) });

function quietMachine(wanted: Partial<Config>): Kernel {
  const k = boot({ ...wanted, debug: false });
  k.log.recording = false;
  return k;
}

/** Boots of machines of several sizes; the median reuses the RAM, as exploration does. */
export function boots(): Figure[] {
  return [1, 4, 64].map((cpus) => {
    let k: Kernel | null = null;
    return measure(`boot, ${cpus} CPU${cpus > 1 ? "s" : ""}`, 1, 15, () => {
      if (k === null) k = quietMachine(cpus === 1 ? { rcu: "tiny" } : { rcu: "none", cpus });
      else reboot(k);
    });
  });
}

function inThread(name: string, operations: number, body: (k: Kernel) => MaySleep<void>): Figure {
  const k = quietMachine({ rcu: "tiny" });
  return measure(name, operations, 15, () => {
    runToEnd(k, "bench", body, DEFAULT_LIMITS, "none");
  });
}

/** The allocators' fast paths. */
export function allocators(): Figure[] {
  const n = 50_000;
  return [
    inThread("kmalloc(64) + kfree", n, function* (k): MaySleep<void> {
      for (let i = 0; i < n; i++) yield* kfree(k, yield* kmalloc(k, 64, GFP_KERNEL));
    }),
    inThread("order-0 page pair", n, function* (k): MaySleep<void> {
      for (let i = 0; i < n; i++) yield* free_page(k, yield* __get_free_page(k, GFP_KERNEL));
    }),
  ];
}

/** Two threads that give way to each other, and a point that nobody takes. */
export function switches(): Figure[] {
  const n = 10_000;
  const points = 1_000_000;
  const loop = inThread("(loop alone)", points, function* (k): MaySleep<void> {
    for (let i = 0; i < points; i++) if (k.budget === -1e9) yield* cond_resched(k);
  });
  const point = inThread("a point, untaken", points, function* (k): MaySleep<void> {
    for (let i = 0; i < points; i++) if (pt(k, 15, "bench")) yield* cond_resched(k);
  });
  return [
    inThread("context switch", 2 * n, function* (k): MaySleep<void> {
      const done = [new completion("bench"), new completion("bench")];
      for (const c of done) {
        yield* kthread_run(k, function* (k): MaySleep<void> {
          for (let i = 0; i < n; i++) yield* giveWay(k);
          complete(k, c);
        }, "switcher");
      }
      for (const c of done) yield* wait_for_completion(k, c);
    }),
    {
      name: "a point, untaken",
      first: point.first - loop.first,
      median: Math.max(0, point.median - loop.median),
    },
  ];
}

/** schedule() with the other thread picked: its virtual run time is made the smaller one. */
function* giveWay(k: Kernel): MaySleep<void> {
  k.charge(10_000);
  yield* schedule(k);
}

/** The flood on tiny: kmalloc, kvfree_rcu, freed by the batch. */
export function flood(recording: boolean): Figure & { readonly events: number } {
  const k = quietMachine({ rcu: "tiny" });
  let events = 0;
  const name = `${FLOOD} kvfree_rcu, tiny, log ${recording ? "on" : "off"}`;
  const figure = measure(name, 1, 30, () => {
    reboot(k);
    k.log.recording = recording;
    const before = k.seq;
    runToEnd(
      k,
      "flood",
      function* (k): MaySleep<void> {
        for (let i = 0; i < FLOOD; i++) {
          yield* kvfree_rcu(k, yield* kmalloc(k, object.size, GFP_KERNEL), object, "rcu");
          if (i % 8 === 7) yield* cond_resched(k);
        }
      },
      DEFAULT_LIMITS,
      "none",
    );
    events = k.seq - before;
  });
  return { ...figure, events };
}
