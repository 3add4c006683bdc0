// SPDX-License-Identifier: GPL-2.0-only
/**
 * The rcu_node tree against real kernels: the lines below are what they printed at boot with rcutree.dump_tree=1, and
 * 5.7's formulas for what they were not asked. Levels that a preemptible kernel printed count for their layout.
 */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { checkConfig, type Config, ConfigError } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { NUM_RCU_LVL_INIT, NUM_RCU_NODES, RCU_FANOUT_4, RCU_NUM_LVLS } from "../../kernel/rcu_node_tree.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import {
  jiffies_till_first_fqs,
  jiffies_to_sched_qs,
  num_rcu_lvl,
  rcu_data,
  rcu_dump_rcu_node_tree,
  rcu_init_geometry,
  rcu_init_one,
  rcu_state,
} from "../../rcu/tree.ts";
import * as tree from "../../rcu/tree.ts";
import { rcu_bootup_announce } from "../../rcu/tree_plugin.ts";
import { rcu_is_last_leaf_node } from "../../rcu/tree_types.ts";
import * as update from "../../rcu/update.ts";
import { bareKernel, dmesg } from "../helpers.ts";

/** A kernel in which the part of rcu_init() that makes the tree has run; with the memory that its CPUs need. */
function grow(wanted: Partial<Config>): Kernel {
  const memBytes = Math.max(8, Math.ceil((wanted.cpus ?? 1) * 96 / 1024)) * 2 ** 20;
  const k = bareKernel({ memBytes, debug: false, ...wanted }, [
    update.statics,
    tree.statics,
  ]);
  rcu_bootup_announce(k);
  rcu_init_geometry(k);
  rcu_init_one(k);
  rcu_dump_rcu_node_tree(k);
  return k;
}

function leaves(k: Kernel): string {
  return rcu_state(k).leaves.map((rnp) => `${rnp.grplo}:${rnp.grphi}`).join(" ");
}

function restricting(built: number, cpus: number): string {
  return `rcu: \tRCU restricting CPUs from NR_CPUS=${built} to nr_cpu_ids=${cpus}.`;
}

const BANNER = ["rcu: Hierarchical RCU implementation.", "rcu: \tRCU event tracing is enabled."];

Deno.test("boot says what a real kernel of 4 CPUs says [cpus=4 HZ=250]", () => {
  assertEquals(dmesg(grow({ cpus: 4 })), [
    ...BANNER,
    restricting(512, 4),
    "rcu: RCU calculated value of scheduler-enlistment delay is 25 jiffies.",
    "rcu: Adjusting geometry for rcu_fanout_leaf=16, nr_cpu_ids=4",
    "rcu: rcu_node tree layout dump",
    "rcu:  0:3 ^0  ",
  ]);
});

Deno.test("boot of as many CPUs as were built for adjusts nothing [cpus=512 HZ=250]", () => {
  const lines = dmesg(grow({ cpus: 512 }));
  assertEquals(lines.slice(0, 5), [
    ...BANNER,
    "rcu: RCU calculated value of scheduler-enlistment delay is 27 jiffies.",
    "rcu: rcu_node tree layout dump",
    "rcu:  0:511 ^0  ",
  ]);
  assert(lines[5].startsWith("rcu:  0:15 ^0  16:31 ^1  32:47 ^2  "));
  assert(lines[5].endsWith("480:495 ^30  496:511 ^31  "));
});

Deno.test("boot with fanouts of 2 prints the four-level tree of a real kernel [cpus=16 HZ=1000]", () => {
  const k = grow({ cpus: 16, HZ: 1000, fanout: 2, fanoutLeaf: 2, nrCpus: 16 });
  assertEquals(dmesg(k), [
    ...BANNER,
    "rcu: \tCONFIG_RCU_FANOUT set to non-default value of 2.",
    "rcu: \tFour(or more)-level hierarchy is enabled.",
    "rcu: \tBuild-time adjustment of leaf fanout to 2.",
    "rcu: RCU calculated value of scheduler-enlistment delay is 100 jiffies.",
    "rcu: rcu_node tree layout dump",
    "rcu:  0:15 ^0  ",
    "rcu:  0:7 ^0  8:15 ^1  ",
    "rcu:  0:3 ^0  4:7 ^1  8:11 ^0  12:15 ^1  ",
    "rcu:  0:1 ^0  2:3 ^1  4:5 ^0  6:7 ^1  8:9 ^0  10:11 ^1  12:13 ^0  14:15 ^1  ",
  ]);
});

Deno.test("boot with fanouts of 2 on fewer CPUs than built for [cpus=1 cpus=4]", () => {
  const small = { HZ: 1000, fanout: 2, fanoutLeaf: 2 };
  for (const [cpus, layout] of [[1, ["0:0 ^0  "]], [4, ["0:3 ^0  ", "0:1 ^0  2:3 ^1  "]]] as const) {
    const lines = dmesg(grow({ cpus, ...small }));
    assertEquals(lines[5], restricting(16, cpus));
    assertEquals(lines[7], `rcu: Adjusting geometry for rcu_fanout_leaf=2, nr_cpu_ids=${cpus}`);
    assertEquals(lines.slice(9), layout.map((line) => `rcu:  ${line}`));
  }
});

/** CPUs, nodes of each level (root first), spread of each level, first and last leaves; fanout 64, leaves of 16. */
const DEFAULT_SHAPES: readonly [number, number[], string, string][] = [
  [1, [1], "0:0", "0:0"],
  [2, [1], "0:1", "0:1"],
  [4, [1], "0:3", "0:3"],
  [8, [1], "0:7", "0:7"],
  [16, [1], "0:15", "0:15"],
  [17, [1, 2], "0:8", "9:16"],
  [64, [1, 4], "0:15", "48:63"],
  [100, [1, 7], "0:14", "90:99"],
  [256, [1, 16], "0:15", "240:255"],
  [512, [1, 32], "0:15", "496:511"],
  [1024, [1, 64], "0:15", "1008:1023"],
  [1025, [1, 2, 65], "0:15", "1024:1024"],
  [4096, [1, 4, 256], "0:15", "4080:4095"],
];

for (const [cpus, levels, first, last] of DEFAULT_SHAPES) {
  Deno.test(`rcu_init_geometry() gives levels ${levels} [cpus=${cpus} fanout=64 leaf=16]`, () => {
    const k = grow({ cpus });
    assertEquals(num_rcu_lvl(k), levels);
    assertEquals(rcu_state(k).node.length, levels.reduce((sum, n) => sum + n, 0));
    assertEquals([leaves(k).split(" ")[0], leaves(k).split(" ").at(-1)], [first, last]);
  });
}

/** Shapes of the kernel's own torture scenarios, and of teaching: build leaf and fanout, exact or not, leaves. */
const SMALL_SHAPES: readonly [string, Partial<Config>, number[], string][] = [
  ["4 CPUs, 2/2", { cpus: 4, fanout: 2, fanoutLeaf: 2 }, [1, 2], "0:1 2:3"],
  ["8 CPUs, 2/2", { cpus: 8, fanout: 2, fanoutLeaf: 2 }, [1, 2, 4], "0:1 2:3 4:5 6:7"],
  ["TREE02", { cpus: 8, fanout: 3, fanoutLeaf: 3 }, [1, 3], "0:2 3:5 6:7"],
  ["TREE05", { cpus: 8, fanout: 6, fanoutLeaf: 6 }, [1, 2], "0:3 4:7"],
  ["TREE06", { cpus: 8, fanout: 6, fanoutLeaf: 6, fanoutExact: true }, [1, 2], "0:5 6:7"],
  ["TREE08", { cpus: 8, fanout: 3, fanoutLeaf: 2, fanoutExact: true }, [1, 2, 4], "0:1 2:3 4:5 6:7"],
  ["17 CPUs, exact", { cpus: 17, fanoutExact: true }, [1, 2], "0:15 16:16"],
  ["TREE01", { cpus: 43 }, [1, 3], "0:14 15:29 30:42"],
  ["100 CPUs", { cpus: 100 }, [1, 7], "0:14 15:29 30:44 45:59 60:74 75:89 90:99"],
];

for (const [name, wanted, levels, expected] of SMALL_SHAPES) {
  Deno.test(`rcu_init_one() spreads the CPUs as ${name} does`, () => {
    const k = grow(wanted);
    assertEquals([num_rcu_lvl(k), leaves(k)], [levels, expected]);
  });
}

Deno.test("rcu_fanout_leaf=64 at boot gives leaves of 64 [cpus=512]", () => {
  const k = grow({ cpus: 512, bootFanoutLeaf: 64 });
  assertEquals(num_rcu_lvl(k), [1, 8]);
  assertEquals(leaves(k).split(" ").slice(0, 2), ["0:63", "64:127"]);
  assertStringIncludes(dmesg(k)[2], "Boot-time adjustment of leaf fanout to 64.");
  assertEquals(rcu_state(k).leaves[7].qsmask.isZero(), true);
});

for (const leaf of [1, 65]) {
  Deno.test(`rcu_fanout_leaf=${leaf} at boot warns and keeps the built levels [cpus=4]`, () => {
    const k = grow({ cpus: 4, bootFanoutLeaf: leaf });
    assertEquals(k.reports.map((r) => r.title), ["WARNING: CPU: 0 PID: 100 at rcu_init_geometry"]);
    const lines = dmesg(k);
    assertEquals(lines[2], `rcu: \tBoot-time adjustment of leaf fanout to ${leaf}.`);
    assertEquals(lines[5], `rcu: Adjusting geometry for rcu_fanout_leaf=${leaf}, nr_cpu_ids=4`);
    assertEquals(lines.at(-2), "rcu:  0:3 ^0  ");
    assert(lines.at(-1)?.startsWith("rcu:  0:0 ^0  1:1 ^1  2:2 ^2  3:3 ^3  4:3 ^4  5:3 ^5  6:3 ^6  "));
    assert(lines.at(-1)?.endsWith("30:3 ^30  31:3 ^31  "));
  });
}

Deno.test("rcu_fanout_leaf=2 at boot warns when two levels cannot hold the CPUs [cpus=200]", () => {
  const k = grow({ cpus: 200, bootFanoutLeaf: 2 });
  assertEquals(k.reports.length, 1);
  assertEquals(leaves(k).split(" ").slice(0, 2), ["0:6", "7:13"]);
});

Deno.test("checkConfig() refuses in one line a boot leaf for which the kernel has no room", () => {
  // Real machines: 64 CPUs need exactly the 33 nodes that NR_CPUS=512 has, 66 CPUs die before the first line.
  assertEquals(num_rcu_lvl(grow({ cpus: 64, bootFanoutLeaf: 2 })), [1, 32]);
  const error = assertThrows(() => checkConfig({ rcu: "none", cpus: 66, bootFanoutLeaf: 2 }), ConfigError);
  assertEquals(error.message, "rcu_fanout_leaf 2 needs 34 rcu_nodes, the kernel has room for 33");
});

Deno.test("checkConfig() refuses trees that cannot be built, in one line", () => {
  const refused: readonly [Partial<Config>, string][] = [
    [{ fanout: 1 }, "fanout 1 is out of range: 2 to 64 is allowed"],
    [{ fanoutLeaf: 65 }, "fanout-leaf 65 is out of range: 2 to 64 is allowed"],
    [
      { cpus: 17, fanout: 2, fanoutLeaf: 2 },
      "fanout 2 with fanout-leaf 2 holds 16 CPUs in four levels, not 17",
    ],
    [{ cpus: 8, nrCpus: 4 }, "nr-cpus 4 is out of range: 8 to 4096 is allowed"],
  ];
  for (const [wanted, message] of refused) {
    assertEquals(assertThrows(() => checkConfig({ rcu: "none", ...wanted }), ConfigError).message, message);
  }
});

Deno.test("NR_CPUS is 512, or the CPUs, or what the fanouts can hold", () => {
  const built = (wanted: Partial<Config>): number => checkConfig({ rcu: "none", ...wanted }).nrCpus;
  assertEquals([built({ cpus: 4 }), built({ cpus: 1000 })], [512, 1000]);
  assertEquals([built({ cpus: 4, fanout: 2, fanoutLeaf: 2 }), built({ cpus: 4, fanout: 3 })], [16, 432]);
});

for (
  const [HZ, cpus, fqs, enlist] of [
    [100, 4, 1, 10],
    [250, 4, 1, 25],
    [300, 4, 2, 30],
    [1000, 4, 3, 100],
    [1000, 256, 4, 101],
    [1000, 1024, 7, 104],
    [1000, 4096, 19, 116],
    [100, 4096, 17, 51],
  ]
) {
  Deno.test(`rcu_init_geometry() waits ${fqs} jiffies, asks for help after ${enlist} [HZ=${HZ} cpus=${cpus}]`, () => {
    const k = grow({ HZ, cpus });
    assertEquals([jiffies_till_first_fqs(k), jiffies_to_sched_qs(k)], [fqs, enlist]);
  });
}

const shape = fc.record({
  cpus: fc.integer({ min: 1, max: 600 }),
  fanout: fc.integer({ min: 2, max: 64 }),
  fanoutLeaf: fc.integer({ min: 2, max: 64 }),
  fanoutExact: fc.boolean(),
});

Deno.test("P58 every CPU is in one leaf, ranges of children make up their parent's, bits differ", () => {
  fc.assert(
    fc.property(shape, (wanted) => {
      fc.pre(wanted.cpus <= RCU_FANOUT_4({ ...wanted, nrCpus: wanted.cpus }));
      const k = grow(wanted);
      const rsp = rcu_state(k);
      for (let cpu = 0; cpu < wanted.cpus; cpu++) {
        const rdp = per_cpu_ptr(k, rcu_data, cpu);
        assertEquals(rsp.leaves.filter((rnp) => rnp.grplo <= cpu && cpu <= rnp.grphi), [rdp.mynode]);
        assertEquals(rdp.grpmask.next(0), cpu - rdp.mynode.grplo);
      }
      for (const rnp of rsp.node) {
        const children = rsp.node.filter((child) => child.parent === rnp);
        if (children.length === 0) continue;
        assertEquals([children[0].grplo, children.at(-1)?.grphi], [rnp.grplo, rnp.grphi]);
        assertEquals(children.map((child) => child.grpmask.next(0)), children.map((_, i) => i));
        assert(children.length <= 64);
      }
      assertEquals(rcu_is_last_leaf_node(rsp, rsp.node[rsp.node.length - 1]), true);
      assertEquals(k.reports.length, 0);
    }),
    { numRuns: 60 },
  );
});

Deno.test("what was built for is computed like the preprocessor does", () => {
  const config = checkConfig({ rcu: "none", cpus: 4 });
  assertEquals([RCU_NUM_LVLS(config), NUM_RCU_LVL_INIT(config), NUM_RCU_NODES(config)], [2, [1, 32], 33]);
  const deep = checkConfig({ rcu: "none", cpus: 4, fanout: 2, fanoutLeaf: 2 });
  assertEquals([RCU_NUM_LVLS(deep), NUM_RCU_LVL_INIT(deep), NUM_RCU_NODES(deep)], [4, [1, 2, 4, 8], 15]);
});
