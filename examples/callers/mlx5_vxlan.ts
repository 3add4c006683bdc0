// SPDX-License-Identifier: GPL-2.0-only
/**
 * drivers/net/ethernet/mellanox/mlx5/core/lib/vxlan.c: the UDP ports that the network card knows as VXLAN tunnels. For
 * every packet to send the driver looks, under RCU, whether the card knows its port, and if so leaves the inner checksum
 * to the card. Deleting a port takes it out of the table, and tells the card's firmware.
 *
 * Lesson: a conversion that would be wrong, and was not made. The wait stands between the table and the firmware: when
 * the card forgets a port, no packet may be on its way that counts on it. kvfree_rcu() in its place frees the entry
 * correctly, and KASAN has nothing to say; but the command is given too early.
 *
 * Look at: `--variant after` ends in a warning of the card (here: a model of it), which has got a packet that it cannot
 * treat. `before` is quiet. The alternative would be call_rcu() and a work for the command. With one CPU `after` is quiet
 * too: the sender does not give way.
 *
 *     deno run examples/callers/mlx5_vxlan.ts --variant before
 *     deno run examples/callers/mlx5_vxlan.ts --variant after
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
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  synchronize_rcu,
  u16,
  udelay,
  type VirtAddr,
  wait_for_completion,
  WARN_ON,
} from "../../mod.ts";
import { ENOENT, ENOMEM } from "../../kernel/errno.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, KEPT_VARIANT } from "./headless.ts";
import {
  INIT_LIST_HEAD,
  list_add_tail_rcu,
  list_del_rcu,
  list_for_each_entry,
  list_head,
  list_next_rcu,
} from "./list_rcu.ts";

const mlx5_vxlan_port = struct("mlx5_vxlan_port", { hlist: embed(list_head), udp_port: u16 });

/** struct mlx5_vxlan, with one bucket in its hash table; and the card. */
interface Vxlan {
  readonly htable: VirtAddr;
  readonly sync_lock: mutex;
  readonly card: Set<number>; // the ports that the firmware was told
}

/** The card sends a packet and computes the checksum inside the tunnel, for which it must know the port. */
function cardSends(k: Kernel, { card }: Vxlan, port: number): void {
  WARN_ON(k, !card.has(port));
}

/** The packet path. dev_queue_xmit() is in a section from before the look at the table until the card has the packet. */
function* mlx5e_xmit(k: Kernel, vxlan: Vxlan, port: number): Atomic<void> {
  yield* rcu_read_lock(k);
  if (yield* mlx5_vxlan_lookup_port(k, vxlan, port)) {
    yield* udelay(k, 100); // queueing discipline, descriptors, doorbell
    cardSends(k, vxlan, port);
  }
  yield* rcu_read_unlock(k);
}

function* mlx5_vxlan_lookup_port(k: Kernel, { htable }: Vxlan, port: number): Atomic<boolean> {
  let found = false;
  yield* rcu_read_lock(k);
  let at = yield* list_next_rcu(k, htable, htable);
  while (at !== NULL && !found) {
    found = mlx5_vxlan_port.f.udp_port.get(k, container_of(at, mlx5_vxlan_port, "hlist")) === port;
    at = yield* list_next_rcu(k, at, htable);
  }
  yield* rcu_read_unlock(k);
  return found;
}

function vxlan_lookup_port(k: Kernel, { htable }: Vxlan, port: number): VirtAddr {
  for (const vxlanp of list_for_each_entry(k, htable, mlx5_vxlan_port, "hlist")) {
    if (mlx5_vxlan_port.f.udp_port.get(k, vxlanp) === port) return vxlanp;
  }
  return NULL;
}

function mlx5_vxlan_core_add_port_cmd(_k: Kernel, { card }: Vxlan, port: number): void {
  card.add(port);
}

function mlx5_vxlan_core_del_port_cmd(_k: Kernel, { card }: Vxlan, port: number): void {
  card.delete(port);
}

function* mlx5_vxlan_add_port(k: Kernel, vxlan: Vxlan, port: number): MaySleep<number> {
  const vxlanp = yield* kzalloc(k, mlx5_vxlan_port.size, GFP_KERNEL);
  if (vxlanp === NULL) return -ENOMEM;
  mlx5_vxlan_port.f.udp_port.set(k, vxlanp, port);
  mlx5_vxlan_core_add_port_cmd(k, vxlan, port);
  yield* mutex_lock(k, vxlan.sync_lock);
  yield* list_add_tail_rcu(k, mlx5_vxlan_port.at(k, vxlanp).hlist.addr, vxlan.htable);
  mutex_unlock(k, vxlan.sync_lock);
  return 0;
}

function* mlx5_vxlan_del_port(k: Kernel, vxlan: Vxlan, port: number, variant: string): MaySleep<number> {
  yield* mutex_lock(k, vxlan.sync_lock);
  const vxlanp = vxlan_lookup_port(k, vxlan, port);
  if (WARN_ON(k, vxlanp === NULL)) {
    mutex_unlock(k, vxlan.sync_lock);
    return -ENOENT;
  }
  list_del_rcu(k, mlx5_vxlan_port.at(k, vxlanp).hlist.addr);
  if (variant === "before") {
    yield* synchronize_rcu(k);
    mlx5_vxlan_core_del_port_cmd(k, vxlan, port); // nobody counts on it any more
    yield* kfree(k, vxlanp);
  } else {
    mlx5_vxlan_core_del_port_cmd(k, vxlan, port);
    yield* freeHeadless(k, vxlanp);
  }
  mutex_unlock(k, vxlan.sync_lock);
  return 0;
}

/** The port of the first VXLAN tunnels; the other one is the one by IANA. */
const [OLD_VXLAN_PORT, IANA_VXLAN_UDP_PORT] = [8472, 4789];

/** Packets to both ports, in bursts of 12 ms. */
function* sender(k: Kernel, vxlan: Vxlan): MaySleep<void> {
  for (let i = 1; i <= 180; i++) {
    yield* mlx5e_xmit(k, vxlan, OLD_VXLAN_PORT);
    yield* mlx5e_xmit(k, vxlan, IANA_VXLAN_UDP_PORT);
    if (i % 60 === 0) yield* msleep(k, 1);
    else yield* cond_resched(k);
  }
}

export const mlx5VxlanScenario: Scenario = {
  name: "mlx5_vxlan",
  summary: "a card forgets a port while packets that count on it are on their way: a wait for a command",
  options: [KEPT_VARIANT],
  needs: headlessNeeds,
  *main(k: Kernel, { variant }: OptionValues): MaySleep<void> {
    const vxlan: Vxlan = {
      htable: k.dataAlloc(list_head.size),
      sync_lock: new mutex("vxlan->sync_lock"),
      card: new Set(),
    };
    INIT_LIST_HEAD(k, vxlan.htable);
    const ports = [OLD_VXLAN_PORT, IANA_VXLAN_UDP_PORT];
    for (const port of ports) yield* mlx5_vxlan_add_port(k, vxlan, port);
    const sent = yield* startOn(k, 1 % k.config.cpus, "sender", (k) => sender(k, vxlan));
    yield* msleep(k, 1);
    for (const port of ports) yield* mlx5_vxlan_del_port(k, vxlan, port, variant);
    yield* wait_for_completion(k, sent);
  },
};

export default mlx5VxlanScenario;

if (import.meta.main) runExample(mlx5VxlanScenario);
