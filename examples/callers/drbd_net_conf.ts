// SPDX-License-Identifier: GPL-2.0-only
/**
 * drivers/block/drbd: the options of a connection to the peer, a struct that many places read, a field at a time, through
 * rcu_dereference(connection->net_conf). The peer may change them: receive_protocol() copies, changes the copy, publishes.
 *
 * Lesson: queueing is the last thing to do with the old struct, as kfree() was. receive_protocol() compares the old
 * algorithm with the new one and logs it, and only then frees (`--log first`).
 *
 * Look at: what happens when that is the wrong way round. `--log next` logs behind the free: with `before` a report every
 * time, with `after` none at all: the memory is still there, and the bug waits for a slower machine. `--log late` sends
 * the parameters to the peer in between, 200 ms on a bad line: then `after` is caught as well; at levels from v6.1 on,
 * where a batch may wait for 5 s, not even then.
 *
 *     deno run examples/callers/drbd_net_conf.ts --variant before --log next
 *     deno run examples/callers/drbd_net_conf.ts --variant after --log next
 *     deno run examples/callers/drbd_net_conf.ts --variant after --log late
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
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  pr_info,
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
  u32,
  udelay,
  type VirtAddr,
  wait_for_completion,
  WARN_ON,
} from "../../mod.ts";
import { ENOMEM } from "../../kernel/errno.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, VARIANT } from "./headless.ts";

/** Some of the options; the algorithm is a string in Linux. */
const net_conf = struct("net_conf", {
  wire_protocol: u32,
  ping_timeo: u32,
  ping_int: u32,
  integrity_alg: u32,
});

const drbd_connection = struct("drbd_connection", { net_conf: ptr });

/** A connection, and the mutexes that whoever changes its options holds. */
interface Connection {
  readonly addr: VirtAddr;
  readonly conf_update: mutex; // the resource's
  readonly data_mutex: mutex; // of the data socket: nobody sends meanwhile
}

function net_conf_of({ addr }: Connection): Ptr<Ptr<typeof net_conf>> {
  return (addr + drbd_connection.offsetof("net_conf")) as VirtAddr as Ptr<Ptr<typeof net_conf>>;
}

/** How long to wait for the answer to a ping: one field of the options as they are now. */
function* conn_ping_timeo(k: Kernel, connection: Connection): Atomic<number> {
  yield* rcu_read_lock(k);
  const nc = yield* rcu_dereference(k, net_conf_of(connection));
  yield* udelay(k, 200); // meanwhile, on another CPU, the options are replaced
  const { ping_timeo } = net_conf.at(k, nc);
  yield* rcu_read_unlock(k);
  return ping_timeo;
}

/** The thread that pings: looks at the options again and again. */
function* drbd_ack_receiver(k: Kernel, connection: Connection): MaySleep<void> {
  for (let i = 1; i <= 180; i++) {
    WARN_ON(k, (yield* conn_ping_timeo(k, connection)) !== 5);
    if (i % 60 === 0) yield* msleep(k, 1);
    else yield* cond_resched(k);
  }
}

/** Sends the parameters to the peer, over a line that takes its time. */
function drbd_send_sync_param(k: Kernel): MaySleep<void> {
  return msleep(k, 200);
}

function logAlgorithm(k: Kernel, old: VirtAddr, integrity_alg: number): void {
  if (net_conf.at(k, old).integrity_alg === integrity_alg) return;
  pr_info(k, `peer data-integrity-alg: ${integrity_alg === 0 ? "(none)" : integrity_alg}`);
}

/** The peer has sent its options: takes over those on which both must agree. */
function* receive_protocol(
  k: Kernel,
  connection: Connection,
  p: { wire_protocol: number; integrity_alg: number },
  { variant, log }: OptionValues,
): MaySleep<number> {
  const new_net_conf = (yield* kzalloc(k, net_conf.size, GFP_KERNEL)) as Ptr<typeof net_conf>;
  if (new_net_conf === NULL) return -ENOMEM;

  yield* mutex_lock(k, connection.data_mutex);
  yield* mutex_lock(k, connection.conf_update);
  const old_net_conf = rcu_dereference_protected(k, net_conf_of(connection));
  const { ping_timeo, ping_int } = net_conf.at(k, old_net_conf);
  Object.assign(net_conf.at(k, new_net_conf), { ...p, ping_timeo, ping_int });
  yield* rcu_assign_pointer(k, net_conf_of(connection), new_net_conf);
  mutex_unlock(k, connection.conf_update);
  mutex_unlock(k, connection.data_mutex);

  if (log === "first") logAlgorithm(k, old_net_conf, p.integrity_alg);
  if (variant === "before") {
    yield* synchronize_rcu(k);
    yield* kfree(k, old_net_conf);
  } else yield* freeHeadless(k, old_net_conf);
  if (log === "late") yield* drbd_send_sync_param(k);
  if (log !== "first") logAlgorithm(k, old_net_conf, p.integrity_alg);
  return 0;
}

export const drbdNetConfScenario: Scenario = {
  name: "drbd_net_conf",
  summary: "a config struct is copied, changed and published: when is the old one used for the last time?",
  options: [VARIANT, {
    name: "log",
    kind: "enum",
    values: ["first", "next", "late"],
    default: "first",
    help: "when the old struct is logged: before it is freed, or (a bug) just after, or long after",
  }],
  needs: headlessNeeds,
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const connection: Connection = {
      addr: k.dataAlloc(drbd_connection.size),
      conf_update: new mutex("resource->conf_update"),
      data_mutex: new mutex("connection->data.mutex"),
    };
    const nc = yield* kzalloc(k, net_conf.size, GFP_KERNEL);
    if (nc === NULL) return;
    net_conf.f.ping_timeo.set(k, nc, 5);
    drbd_connection.f.net_conf.set(k, connection.addr, nc);
    const done = [
      yield* startOn(k, 1 % k.config.cpus, "drbd_a_r", (k) => drbd_ack_receiver(k, connection)),
      yield* startOn(k, 2 % k.config.cpus, "drbd_as", (k) => drbd_ack_receiver(k, connection)),
    ];
    for (let integrity_alg = 1; integrity_alg <= 2; integrity_alg++) {
      yield* msleep(k, 1);
      yield* receive_protocol(k, connection, { wire_protocol: 3, integrity_alg }, options);
    }
    for (const c of done) yield* wait_for_completion(k, c);
    yield* kfree(k, drbd_connection.f.net_conf.get(k, connection.addr)); // conn_free_config(): no readers left
    drbd_connection.f.net_conf.set(k, connection.addr, NULL);
  },
};

export default drbdNetConfScenario;

if (import.meta.main) runExample(drbdNetConfScenario);
