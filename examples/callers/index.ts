// SPDX-License-Identifier: GPL-2.0-only
/**
 * Callers of kvfree_rcu() in Linux, as examples: what `run` finds by name. None is loaded before it is wanted.
 *
 * Each has `--variant before | after`. In tpci200_free_irq, mlx5_vxlan and mmiotrace the conversion is wrong: nobody made
 * it. Nobody made it in nfs_identifier either, where it is right.
 */

import type { Scenario } from "../../mod.ts";

/** An example and how to load it. */
export interface Caller {
  readonly name: string;
  readonly load: () => Promise<{ default: Scenario }>;
}

export const CALLERS: readonly Caller[] = [
  { name: "vmci_event", load: () => import("./vmci_event.ts") },
  { name: "trace_probe", load: () => import("./trace_probe.ts") },
  { name: "rps_sock_flow_table", load: () => import("./rps_sock_flow_table.ts") },
  { name: "flow_limit", load: () => import("./flow_limit.ts") },
  { name: "ext4_quota_names", load: () => import("./ext4_quota_names.ts") },
  { name: "blk_mq_hw_ctxs", load: () => import("./blk_mq_hw_ctxs.ts") },
  { name: "netlink_groups", load: () => import("./netlink_groups.ts") },
  { name: "can_gw", load: () => import("./can_gw.ts") },
  { name: "btrfs_device_name", load: () => import("./btrfs_device_name.ts") },
  { name: "drbd_net_conf", load: () => import("./drbd_net_conf.ts") },
  { name: "tpci200_free_irq", load: () => import("./tpci200_free_irq.ts") },
  { name: "mlx5_vxlan", load: () => import("./mlx5_vxlan.ts") },
  { name: "mmiotrace", load: () => import("./mmiotrace.ts") },
  { name: "nfs_identifier", load: () => import("./nfs_identifier.ts") },
];
