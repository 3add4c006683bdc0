// SPDX-License-Identifier: GPL-2.0-only
/**
 * drivers/misc/vmw_vmci/vmci_event.c: one list of subscriptions for every kind of event of a virtual machine. The
 * dispatcher walks the list under rcu_read_lock() and calls the subscribers back inside of its section.
 *
 * Lesson: the conversion changes a contract. With synchronize_rcu() no callback was running any more when
 * vmci_event_unsubscribe() returned. With kvfree_rcu() the subscription is still there for a callback that runs, but what
 * the callback itself uses is the client's. Linux could convert: its clients pass NULL, or data that stays.
 *
 * Look at: the marks after the two variants. Before: "callback ends", then "unsubscribe returned"; after: the other way
 * round. `--client frees` is a client that relied on the wait: before is right, after ends in a use after free. With one
 * CPU neither shows: the callback does not give way.
 *
 *     deno task -q repl -e 'boot; run vmci_event --variant after; trace -e tracing_mark_write'
 *     deno run examples/callers/vmci_event.ts --variant after --client frees
 */

import {
  type Atomic,
  container_of,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kzalloc,
  type MaySleep,
  msleep,
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  ptr,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  synchronize_rcu,
  trace_mark,
  u32,
  udelay,
  type VirtAddr,
  wait_for_completion,
} from "../../mod.ts";
import { functionAt, ksym } from "../../kernel/kallsyms.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, VARIANT } from "./headless.ts";
import {
  INIT_LIST_HEAD,
  list_add_tail_rcu,
  list_del_rcu,
  list_for_each_entry,
  list_head,
  list_next_rcu,
} from "./list_rcu.ts";

const vmci_subscription = struct("vmci_subscription", {
  id: u32,
  event: u32,
  callback: ptr,
  callback_data: ptr,
  node: embed(list_head),
});

const VMCI_EVENT_QP_RESUMED = 1;
const VMCI_EVENT_MAX = 4;
const VMCI_SUCCESS = 0;
const VMCI_ERROR_NO_MEM = -3;
const VMCI_ERROR_NOT_FOUND = -20;

/** The file's static variables. */
interface VmciEvent {
  readonly subscriber_array: VirtAddr; // list heads, by event
  readonly subscriber_mutex: mutex;
  subscription_id: number;
}

function subscribers(vmci: VmciEvent, event: number): VirtAddr {
  return (vmci.subscriber_array + event * list_head.size) as VirtAddr;
}

function event_find(k: Kernel, vmci: VmciEvent, sub_id: number): VirtAddr {
  for (let e = 0; e < VMCI_EVENT_MAX; e++) {
    for (const cur of list_for_each_entry(k, subscribers(vmci, e), vmci_subscription, "node")) {
      if (vmci_subscription.f.id.get(k, cur) === sub_id) return cur;
    }
  }
  return NULL;
}

type vmci_event_cb = (k: Kernel, sub_id: number, client_data: VirtAddr) => Atomic<void>;

/** Calls whoever has subscribed, one after the other, all in one section. In Linux a tasklet comes here. */
function* event_deliver(k: Kernel, vmci: VmciEvent, event: number): Atomic<void> {
  yield* rcu_read_lock(k);
  const head = subscribers(vmci, event);
  for (let at = yield* list_next_rcu(k, head, head); at !== NULL; at = yield* list_next_rcu(k, at, head)) {
    const cur = vmci_subscription.at(k, container_of(at, vmci_subscription, "node"));
    yield* (functionAt(k, cur.callback) as vmci_event_cb)(k, cur.id, cur.callback_data);
  }
  yield* rcu_read_unlock(k);
}

/** Returns the new subscription's id, or an error. */
function* vmci_event_subscribe(
  k: Kernel,
  vmci: VmciEvent,
  event: number,
  callback: vmci_event_cb,
  callback_data: VirtAddr,
): MaySleep<number> {
  const s = yield* kzalloc(k, vmci_subscription.size, GFP_KERNEL);
  if (s === NULL) return VMCI_ERROR_NO_MEM;
  const sub = vmci_subscription.at(k, s);
  Object.assign(sub, { event, callback: ksym(k, callback), callback_data });
  yield* mutex_lock(k, vmci.subscriber_mutex);
  sub.id = ++vmci.subscription_id;
  yield* list_add_tail_rcu(k, sub.node.addr, subscribers(vmci, event));
  mutex_unlock(k, vmci.subscriber_mutex);
  return sub.id;
}

function* vmci_event_unsubscribe(
  k: Kernel,
  vmci: VmciEvent,
  sub_id: number,
  variant: string,
): MaySleep<number> {
  yield* mutex_lock(k, vmci.subscriber_mutex);
  const s = event_find(k, vmci, sub_id);
  if (s !== NULL) list_del_rcu(k, (s + vmci_subscription.offsetof("node")) as VirtAddr);
  mutex_unlock(k, vmci.subscriber_mutex);
  if (s === NULL) return VMCI_ERROR_NOT_FOUND;

  if (variant === "before") {
    yield* synchronize_rcu(k);
    yield* kfree(k, s);
  } else yield* freeHeadless(k, s);
  return VMCI_SUCCESS;
}

/** What the client keeps about its queue pair. */
const queue_pair = struct("queue_pair", { resumed: u32, done: u32 });

/** The client's callback: takes 20 ms, and looks at the client's data before and after. */
function* qp_resumed_cb(k: Kernel, sub_id: number, client_data: VirtAddr): Atomic<void> {
  trace_mark(k, `callback begins, subscription ${sub_id}`);
  queue_pair.f.resumed.set(k, client_data, 1);
  yield* udelay(k, 20_000);
  queue_pair.f.done.set(k, client_data, 1);
  trace_mark(k, "callback ends");
}

export const vmciEventScenario: Scenario = {
  name: "vmci_event",
  summary: "a subscriber leaves a list while it is called back: may the callback still run afterwards?",
  options: [VARIANT, {
    name: "client",
    kind: "enum",
    values: ["keeps", "frees"],
    default: "keeps",
    help: "what the client does with its data when unsubscribe has returned: keeps it for ever, or frees it",
  }],
  needs: headlessNeeds,
  *main(k: Kernel, { variant, client }: OptionValues): MaySleep<void> {
    const vmci: VmciEvent = {
      subscriber_array: k.dataAlloc(VMCI_EVENT_MAX * list_head.size),
      subscriber_mutex: new mutex("subscriber_mutex"),
      subscription_id: 0,
    };
    for (let e = 0; e < VMCI_EVENT_MAX; e++) INIT_LIST_HEAD(k, subscribers(vmci, e));
    const frees = client === "frees";
    const qp = frees ? yield* kzalloc(k, queue_pair.size, GFP_KERNEL) : k.dataAlloc(queue_pair.size);
    if (qp === NULL) return;
    const id = yield* vmci_event_subscribe(k, vmci, VMCI_EVENT_QP_RESUMED, qp_resumed_cb, qp);

    const host = yield* startOn(k, 1 % k.config.cpus, "vmci_dispatch", function* (k): MaySleep<void> {
      yield* event_deliver(k, vmci, VMCI_EVENT_QP_RESUMED);
    });
    yield* msleep(k, 1); // by now, on another CPU, the callback runs
    yield* vmci_event_unsubscribe(k, vmci, id, variant);
    trace_mark(k, "no callback any more? unsubscribe returned");
    if (frees) yield* kfree(k, qp);
    yield* wait_for_completion(k, host);
  },
};

export default vmciEventScenario;

if (import.meta.main) runExample(vmciEventScenario);
