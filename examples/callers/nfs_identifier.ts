// SPDX-License-Identifier: GPL-2.0-only
/**
 * The NFS client's identifier in sysfs (fs/nfs/sysfs.c): safe to convert, and never converted.
 *
 * Data structure: c->identifier, a pointer to a string. Reading the file prints it under rcu_read_lock(); writing to
 * it stores a new one. Nothing serializes two writers: xchg() sees to it that each frees another string.
 *
 * Lesson: where nothing else hangs on the wait, the conversion changes only when the string is freed, and how long
 * write() takes. It was proposed in December 2021 ("Switch to kvfree_rcu() API") and never merged; the wait is still
 * there. For a string that is written once at boot, with nothing locked meanwhile, there is not much to gain.
 *
 * Look at: `boot; run nfs_identifier --variant before; trace -e tracing_mark_write`: each write() takes a grace
 * period, 16 ms and more; with `--variant after` it takes no time. Neither reports anything, with any seed.
 *
 *     deno run examples/callers/nfs_identifier.ts --variant before
 */

import {
  type Atomic,
  GFP_KERNEL,
  type Kernel,
  kfree,
  type MaySleep,
  msleep,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  synchronize_rcu,
  trace_mark,
  type VirtAddr,
  wait_for_completion,
  WARN_ON_ONCE,
} from "../../mod.ts";
import { xchg } from "../../kernel/compiler.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, VARIANT } from "./headless.ts";
import { kstrdup, readString } from "./kstrdup.ts";

const nfs_netns_client = struct("nfs_netns_client", { identifier: ptr });

type Client = Ptr<typeof nfs_netns_client>;

const IDENTIFIERS = ["host.example.org", "container-1", "container-2"];

/** cat /sys/fs/nfs/net/nfs_client/identifier */
function* nfs_netns_identifier_show(k: Kernel, c: Client): Atomic<void> {
  yield* rcu_read_lock(k);
  const identifier = yield* rcu_dereference(k, c as VirtAddr as Ptr<Ptr<VirtAddr>>);
  if (identifier !== NULL) {
    WARN_ON_ONCE(k, !IDENTIFIERS.includes(yield* readString(k, identifier, 100)));
  }
  yield* rcu_read_unlock(k);
}

/** echo NAME > /sys/fs/nfs/net/nfs_client/identifier */
function* nfs_netns_identifier_store(k: Kernel, c: Client, buf: string, variant: string): MaySleep<void> {
  const p = yield* kstrdup(k, buf, GFP_KERNEL);
  if (p === NULL) return;
  const old = yield* xchg(k, nfs_netns_client.at(k, c), "identifier", p);
  if (old === NULL) return;
  if (variant === "after") return yield* freeHeadless(k, old);
  yield* synchronize_rcu(k);
  yield* kfree(k, old);
}

/** The last user of the kobject is gone. */
function* nfs_netns_client_release(k: Kernel, c: Client): Atomic<void> {
  yield* kfree(k, nfs_netns_client.f.identifier.get(k, c));
}

function* cat(k: Kernel, c: Client): MaySleep<void> {
  for (let i = 0; i < 20; i++) {
    yield* nfs_netns_identifier_show(k, c);
    yield* msleep(k, 1);
  }
}

function* echo(k: Kernel, c: Client, buf: string, variant: string): MaySleep<void> {
  for (let i = 0; i < 4; i++) {
    const start = k.now();
    yield* nfs_netns_identifier_store(k, c, buf, variant);
    trace_mark(k, `write() took ${Math.round((k.now() - start) / 1000)} us`);
    yield* msleep(k, 5);
  }
}

export const nfsIdentifierScenario: Scenario = {
  name: "nfs_identifier",
  summary: "two writers replace a string in sysfs: a wait that could be kvfree_rcu(), and never was",
  options: [VARIANT],
  needs: headlessNeeds,
  *main(k: Kernel, { variant }: OptionValues): MaySleep<void> {
    const c = k.dataAlloc(nfs_netns_client.size) as VirtAddr as Client;
    const [, first, second] = IDENTIFIERS;
    yield* nfs_netns_identifier_store(k, c, IDENTIFIERS[0], variant);
    const threads = [
      yield* startOn(k, 1 % k.config.cpus, "cat", (k) => cat(k, c)),
      yield* startOn(k, 2 % k.config.cpus, "echo/1", (k) => echo(k, c, first, variant)),
      yield* startOn(k, 0, "echo/2", (k) => echo(k, c, second, variant)),
    ];
    for (const done of threads) yield* wait_for_completion(k, done);
    yield* nfs_netns_client_release(k, c);
  },
};

export default nfsIdentifierScenario;

if (import.meta.main) runExample(nfsIdentifierScenario);
