// SPDX-License-Identifier: GPL-2.0-only
/**
 * blk-mq's array of hardware queues (block/blk-mq.c), growing under those who look a queue up.
 *
 * Data structure: q->queue_hw_ctx, an array of pointers. The queues outlive it; only the array is replaced when a
 * device gets more of them. Requests are held back meanwhile, but not everybody who looks a queue up is a request.
 *
 * Lesson: `before` (5.10) frees the old array at once: a use after free for a reader that has just fetched the
 * pointer. It was found years later, when the lookup below became a reader of RCU. `wait` is the first repair
 * (89e1fb7ceffd): every queue that grows waits for a grace period, which came to 15 seconds on one machine. `after`
 * is the second one: kfree_rcu_mightsleep(hctxs).
 *
 * Look at: `boot --kasan; run blk_mq_hw_ctxs --variant before`: KASAN shows who reads, and who freed the array that
 * it reads, with each of the seeds 1 to 20. Then, for `wait` and `after`, `timeline`: seven waits one after the
 * other, and grace periods that two or three arrays share.
 *
 *     deno run examples/callers/blk_mq_hw_ctxs.ts --variant before --kasan
 */

import {
  type Atomic,
  cond_resched,
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
  type Scenario,
  struct,
  synchronize_rcu,
  trace_mark,
  udelay,
  ulong,
  type VirtAddr,
  wait_for_completion,
  WARN_ON_ONCE,
} from "../../mod.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds } from "./headless.ts";

const blk_mq_hw_ctx = struct("blk_mq_hw_ctx", { queue_num: ulong });
const request_queue = struct("request_queue", { queue_hw_ctx: ptr, nr_hw_queues: ulong });

type Queue = Ptr<typeof request_queue>;

function queue_hw_ctx(q: Queue): Ptr<Ptr<VirtAddr>> {
  return (q + request_queue.offsetof("queue_hw_ctx")) as VirtAddr as Ptr<Ptr<VirtAddr>>;
}

function slot(hctxs: VirtAddr, id: number): VirtAddr {
  return (hctxs + id * ptr.size) as VirtAddr;
}

/** Hardware queue `id`. It may be used after the section; the array may not. */
function* queue_hctx(k: Kernel, q: Queue, id: number): Atomic<VirtAddr> {
  yield* rcu_read_lock(k);
  const hctxs = yield* rcu_dereference(k, queue_hw_ctx(q));
  yield* udelay(k, 2000); // an interrupt, say: long enough for another CPU to replace the array
  const hctx = k.ram.loadPtr(slot(hctxs, id));
  yield* rcu_read_unlock(k);
  return hctx;
}

function* __blk_mq_realloc_hw_ctxs(k: Kernel, q: Queue, nr: number, variant: string): MaySleep<void> {
  const old = request_queue.f.nr_hw_queues.get(k, q);
  const hctxs = rcu_dereference_protected(k, queue_hw_ctx(q));
  const new_hctxs = yield* kzalloc(k, nr * ptr.size, GFP_KERNEL);
  if (new_hctxs === NULL) return;
  for (let i = 0; i < nr; i++) {
    const hctx = i < old ? k.ram.loadPtr(slot(hctxs, i)) : yield* kzalloc(k, blk_mq_hw_ctx.size, GFP_KERNEL);
    if (hctx !== NULL && i >= old) blk_mq_hw_ctx.f.queue_num.set(k, hctx, i);
    k.ram.storePtr(slot(new_hctxs, i), hctx);
  }
  yield* rcu_assign_pointer(k, queue_hw_ctx(q), new_hctxs as Ptr<VirtAddr>);
  request_queue.f.nr_hw_queues.set(k, q, nr);
  trace_mark(k, `__blk_mq_realloc_hw_ctxs: ${nr} queues`);
  if (variant === "wait") yield* synchronize_rcu(k); // the expedited one, in Linux
  if (variant === "after") yield* freeHeadless(k, hctxs);
  else yield* kfree(k, hctxs);
}

function* looker(k: Kernel, q: Queue): MaySleep<void> {
  for (let i = 0; i < 20; i++) {
    const id = i % request_queue.f.nr_hw_queues.get(k, q);
    const hctx = yield* queue_hctx(k, q, id);
    WARN_ON_ONCE(k, hctx !== NULL && blk_mq_hw_ctx.f.queue_num.get(k, hctx) !== id);
    yield* udelay(k, 300);
    yield* i % 4 === 3 ? msleep(k, 1) : cond_resched(k);
  }
}

function* blk_mq_update_nr_hw_queues(k: Kernel, q: Queue, variant: string): MaySleep<void> {
  for (let nr = 4; nr <= 16; nr += 2) {
    yield* msleep(k, 1);
    yield* __blk_mq_realloc_hw_ctxs(k, q, nr, variant);
  }
}

export const hwCtxsScenario: Scenario = {
  name: "blk_mq_hw_ctxs",
  summary: "an array of queues grows under its readers: freed at once in 5.10, which is a use after free",
  options: [{
    name: "variant",
    kind: "enum",
    values: ["before", "wait", "after"],
    default: "after",
    help: "the old array is freed at once (the bug), after a wait, or by kvfree_rcu()",
  }],
  needs: headlessNeeds,
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const q = k.dataAlloc(request_queue.size) as VirtAddr as Queue;
    yield* __blk_mq_realloc_hw_ctxs(k, q, 2, options.variant);
    const threads = [
      yield* startOn(k, 1 % k.config.cpus, "looker/1", (k) => looker(k, q)),
      yield* startOn(k, 2 % k.config.cpus, "looker/2", (k) => looker(k, q)),
      yield* startOn(k, 0, "update", (k) => blk_mq_update_nr_hw_queues(k, q, options.variant)),
    ];
    for (const done of threads) yield* wait_for_completion(k, done);
  },
};

export default hwCtxsScenario;

if (import.meta.main) runExample(hwCtxsScenario);
