// SPDX-License-Identifier: GPL-2.0-only
/**
 * The path of a btrfs device (fs/btrfs/volumes.c), which a scan replaces when the device turns up under another name.
 *
 * Data structure: device->name, a pointer to a string. Readers are messages and ioctls, under rcu_read_lock();
 * writers hold device_list_mutex.
 *
 * Lesson: what an rcu_head costs that is there for its freeing only. `before` (until 2025) wraps each string in a
 * struct rcu_string, 16 bytes longer, with its own strdup and its own accessor: "/dev/sdb" takes 32 bytes instead of
 * 16. `after` it is a plain string from kstrdup(). In exchange kfree_rcu_mightsleep() needs a caller that may sleep:
 * this one holds only a mutex. Neither waits: what is won is memory and simplicity, not time.
 *
 * Look at: `boot; run btrfs_device_name --variant before; trace -e kmalloc --last 1`: bytes_req=25 bytes_alloc=32.
 * With `--variant after`: bytes_req=9 bytes_alloc=16.
 *
 *     deno run examples/callers/btrfs_device_name.ts --variant after
 */

import {
  array,
  type Atomic,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree_rcu,
  kmalloc,
  type MaySleep,
  msleep,
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_dereference_protected,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  u8,
  type VirtAddr,
  wait_for_completion,
  WARN_ON_ONCE,
} from "../../mod.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, VARIANT } from "./headless.ts";
import { kstrdup, readString, strcpy } from "./kstrdup.ts";

const rcu_string = struct("rcu_string", { rcu: embed(rcu_head), str: array(u8, 0) });

type Name = Ptr<typeof rcu_string>;

/** Under these names the device is found, one after the other. The last one is the shortest. */
const PATHS = ["/dev/disk/by-id/wwn-0x5000c500", "/dev/mapper/data", "/dev/sdc", "/dev/sdb"];

function* rcu_string_strdup(k: Kernel, src: string): MaySleep<VirtAddr> {
  const ret = yield* kmalloc(k, rcu_string.size + src.length + 1, GFP_KERNEL);
  if (ret !== NULL) strcpy(k, (ret + rcu_string.offsetof("str")) as VirtAddr, src);
  return ret;
}

/** A device was found at `path`. */
function* device_list_add(
  k: Kernel,
  device: Ptr<Name>,
  device_list_mutex: mutex,
  path: string,
  variant: string,
): MaySleep<void> {
  yield* mutex_lock(k, device_list_mutex);
  const name = variant === "after" ? yield* kstrdup(k, path, GFP_KERNEL) : yield* rcu_string_strdup(k, path);
  if (name !== NULL) {
    const old_name = rcu_dereference_protected(k, device);
    yield* rcu_assign_pointer(k, device, name as Name);
    if (variant === "after") yield* freeHeadless(k, old_name);
    else yield* kfree_rcu(k, old_name, rcu_string, "rcu");
  }
  mutex_unlock(k, device_list_mutex);
}

/** BTRFS_IOC_DEV_INFO: copies the path out. */
function* btrfs_ioctl_dev_info(k: Kernel, device: Ptr<Name>, variant: string): Atomic<void> {
  yield* rcu_read_lock(k);
  const name = yield* rcu_dereference(k, device);
  const str = variant === "after" ? name : name + rcu_string.offsetof("str");
  const path = yield* readString(k, str as VirtAddr, 100);
  yield* rcu_read_unlock(k);
  WARN_ON_ONCE(k, !PATHS.includes(path));
}

function* ioctl(k: Kernel, device: Ptr<Name>, variant: string): MaySleep<void> {
  for (let i = 0; i < 20; i++) {
    yield* btrfs_ioctl_dev_info(k, device, variant);
    yield* msleep(k, 1);
  }
}

function* scan(k: Kernel, device: Ptr<Name>, device_list_mutex: mutex, variant: string): MaySleep<void> {
  for (const path of PATHS.slice(1)) {
    yield* msleep(k, 5);
    yield* device_list_add(k, device, device_list_mutex, path, variant);
  }
}

export const deviceNameScenario: Scenario = {
  name: "btrfs_device_name",
  summary: "a string that is replaced under its readers: with an rcu_head in front of it, or without",
  options: [{
    ...VARIANT,
    help: "before: kfree_rcu() of a struct rcu_string; after: kvfree_rcu() of a string",
  }],
  needs: headlessNeeds,
  *main(k: Kernel, { variant }: OptionValues): MaySleep<void> {
    const device = k.dataAlloc(ptr.size) as VirtAddr as Ptr<Name>;
    const device_list_mutex = new mutex("device_list_mutex");
    yield* device_list_add(k, device, device_list_mutex, PATHS[0], variant);
    const threads = [
      yield* startOn(k, 1 % k.config.cpus, "ioctl/1", (k) => ioctl(k, device, variant)),
      yield* startOn(k, 2 % k.config.cpus, "ioctl/2", (k) => ioctl(k, device, variant)),
      yield* startOn(k, 0, "scan", (k) => scan(k, device, device_list_mutex, variant)),
    ];
    for (const done of threads) yield* wait_for_completion(k, done);
  },
};

export default deviceNameScenario;

if (import.meta.main) runExample(deviceNameScenario);
