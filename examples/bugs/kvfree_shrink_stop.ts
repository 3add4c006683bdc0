// SPDX-License-Identifier: GPL-2.0-only
/**
 * B12: two answers of a shrinker that reclaim understands differently from how they are meant.
 *
 * Reclaim asks kvfree_rcu()'s shrinker once when it has nothing, then 500 objects are given to kvfree_rcu() and reclaim
 * calls the shrinkers in earnest, as `echo 2 > /proc/sys/vm/drop_caches` does. The first call frees all there is.
 */

import {
  drop_slab,
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  type Ptr,
  rcu_head,
  type Scenario,
  struct,
} from "../../mod.ts";
import { SHRINK_EMPTY } from "../../mm/vmscan.ts";
import { all_vm_events, SLABS_SCANNED } from "../../mm/vmstat.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { shrinkCount } from "./measure.ts";

const object = struct("object", { rcu: embed(rcu_head) });
const OBJECTS = 500;
/** Objects of a call; mm/vmscan.c has it as SHRINK_BATCH. */
const BATCH = 128;

/** Calls of scan_objects() since boot that did not say that they should be the last. */
function scans(k: Kernel): number {
  return all_vm_events(k)[SLABS_SCANNED] / BATCH;
}

export const shrinkStopScenario: Scenario = {
  name: "kvfree_shrink_stop",
  summary: `reclaim calls kvfree_rcu()'s shrinker, with nothing to free and with ${OBJECTS} objects`,
  options: [],
  *main(k: Kernel): MaySleep<void> {
    const said = yield* shrinkCount(k);
    expect(
      k,
      said === SHRINK_EMPTY,
      "B12",
      `with nothing to free count_objects() says ${said}, "cannot tell", not SHRINK_EMPTY`,
    );
    for (let i = 0; i < OBJECTS; i++) {
      const p = (yield* kmalloc(k, object.size, GFP_KERNEL)) as Ptr<typeof object>;
      yield* kvfree_rcu(k, p, object, "rcu");
    }
    const before = scans(k);
    yield* drop_slab(k);
    const calls = scans(k) - before;
    expect(
      k,
      calls <= 1,
      "B12",
      `scan_objects() is called ${calls} times and frees nothing in ${calls - 1} of them`,
    );
  },
};

export default shrinkStopScenario;

export const bug: Bug = {
  id: "B12",
  title: 'kvfree_rcu()\'s shrinker returns 0 for "nothing left", and is called again and again',
  why: [
    "A scan that frees nothing should say SHRINK_STOP, but says 0, so reclaim goes on until it has asked for as many " +
    "objects as it meant to.",
    "A count of nothing should likewise be SHRINK_EMPTY, for 0 means that the shrinker could not tell.",
  ],
  history:
    'the scan in v5.8 and in the series, ended by c6dfd72b7a3b (v5.9); the count up to v6.0, ended by "Fix ' +
    'kfree_rcu_shrink_count() return value" (v6.1)',
  levels: levelsFromTo("base", "v5.14"),
  gone: "v6.1",
  shownAt: "7/7",
  demo: {
    scenario: shrinkStopScenario,
    file: "examples/bugs/kvfree_shrink_stop.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20 }),
  },
};
