// SPDX-License-Identifier: GPL-2.0-only
// rcu, krc and timeline on tree RCU: what they say is what the machine and the log hold, nothing that they do changes
// it, and bad input ends in one line. Slow readers, user mode and batches that overlap are made by scenarios here.

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  call_rcu,
  complete,
  completion,
  cond_resched,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kmalloc,
  kthread_bind,
  kthread_create,
  kvfree_rcu,
  type MaySleep,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  schedule_timeout_uninterruptible,
  synchronize_rcu,
  udelay,
  user_mode,
  type VirtAddr,
  vmalloc,
  wait_for_completion,
  wake_up_process,
} from "../../mod.ts";
import type { Atomic } from "../../kernel/machine/effects.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { KVFREE_RCU_EVENT, READ_LOCK_EVENT } from "../../kernel/trace/events/quiesce.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { rcu_state } from "../../rcu/tree.ts";
import { treeCpu, treeNodes } from "../../rcu/tree_look.ts";
import { touchOf } from "../../repl/render/allocations.ts";
import { GracePeriods, holderOf } from "../../repl/render/gp.ts";
import { KrcHistory } from "../../repl/render/krc_history.ts";
import { cpusText, ranges } from "../../repl/render/text.ts";
import { KernelShell } from "./kernel_shell.ts";
import type { Ran } from "./harness.ts";

const BOOT = "boot --rcu tree --cpus 4 --seed 7";
const EXT4 = "run ext4_kvfree_array_rcu --variant kvfree_rcu --grows 3";

/** A scenario whose main function is `main`. */
function scenario(main: (k: Kernel) => MaySleep<void>): Scenario {
  return { name: "test", summary: "", options: [], main };
}

/** Starts a thread on a CPU. */
function* on(k: Kernel, cpu: number, comm: string, main: (k: Kernel) => MaySleep<void>): MaySleep<void> {
  const p = yield* kthread_create(k, main, comm);
  assert(typeof p !== "number");
  yield* kthread_bind(k, p, cpu);
  wake_up_process(k, p);
}

/** A shell with a scenario that has run to its end, or to event `until`. */
async function played(main: (k: Kernel) => MaySleep<void>, boot = BOOT): Promise<KernelShell> {
  const shell = new KernelShell();
  assertEquals((await shell.run(boot)).err, "");
  const { bench } = shell.session;
  bench.start(scenario(main), {}, null);
  for (const _ of bench.advance());
  return shell;
}

/** Events of a name. */
function events(k: Kernel, name: string, where: (r: EventRecord) => boolean = () => true): EventRecord[] {
  const id = traceEvents.find((event) => event.name === name)?.id;
  return [...k.log.records()].filter((r) => r.kind === id && where(r));
}

/** rcu_grace_period events of a kind. */
function gpEvents(k: Kernel, what: string): EventRecord[] {
  return events(k, "rcu_grace_period", (r) => k.log.text(r.args[2]) === what);
}

/** A reader on CPU 2 that stays in its section for 60 ms; CPU 0 gives an object to kvfree_rcu() meanwhile. */
function* heldUp(k: Kernel): MaySleep<void> {
  const done = new completion();
  yield* on(k, 2, "slowpoke", (k) => readSlowly(k, 60, done));
  yield* on(k, 0, "giver", function* giver(k): MaySleep<void> {
    yield* udelay(k, 100);
    yield* kvfree_rcu(k, yield* kmalloc(k, 100, GFP_KERNEL));
  });
  yield* wait_for_completion(k, done);
}

function* readSlowly(k: Kernel, ms: number, done: completion): MaySleep<void> {
  yield* rcu_read_lock(k);
  for (let i = 0; i < 10 * ms; i++) yield* udelay(k, 100);
  yield* rcu_read_unlock(k);
  complete(k, done);
}

/** An event while the grace period of heldUp() waits for the reader only. */
function whileHeldUp(k: Kernel): number {
  const start = gpEvents(k, "start")[0];
  return gpEvents(k, "fqsend").find((r) => r.seq > start.seq)!.seq + 5;
}

// Nothing changes

Deno.test("rcu, krc and timeline leave a machine with tree RCU as it was, at any moment [events=6]", async () => {
  const shell = await played(heldUp);
  const { k } = shell.session;
  const start = gpEvents(k, "start")[0].seq;
  for (const at of [Infinity, whileHeldUp(k), start + 3, start, start - 20, start - 100]) {
    if (at !== Infinity) await shell.run(`goto ${at}`);
    const state = (): string[] => [String(k.seq), String(k.points), k.hash.text(), k.digest()];
    const was = state();
    for (
      const line of [
        "rcu",
        "rcu tree",
        "rcu cpu 2",
        "rcu cblist",
        "rcu cblist 0",
        "rcu why",
        "krc",
        "timeline",
      ]
    ) {
      const { status, out, err } = await shell.run(line);
      assertEquals([status, err], [0, ""], line);
      assert(out !== "", line);
      for (const text of out.split("\n")) {
        assert(text.length <= 80 || /kvfree_rcu\(\): blocks/.test(text), text);
      }
    }
    assertEquals(state(), was);
  }
});

// Bad input

for (
  const [line, allowed] of [
    ["rcu cpu 9", /^rcu cpu: there is no CPU 9; this machine has CPUs 0 to 3$/],
    ["rcu cpu 4", /CPUs 0 to 3$/],
    ["rcu cblist 4", /^rcu cblist: there is no CPU 4; this machine has CPUs 0 to 3$/],
    ["rcu cpu", /^rcu cpu: of which CPU\? this machine has CPUs 0 to 3$/],
    ["rcu cpu -1", /must be a whole number of at least 0$/],
    ["rcu cpu two", /"two": must be a whole number/],
    ["rcu cpus", /"cpus": must be tree, cpu, cblist or why/],
    ["rcu tree 1", /^rcu tree: takes no number; rcu cpu 1 and rcu cblist 1 do$/],
    ["rcu why 1", /^rcu why: takes no number/],
    ["rcu --gp 4", /^rcu: --gp goes with why/],
    ["rcu why --gp 4", /^rcu why: --gp 4: the log holds -1199, -1195$/],
    ["krc 4", /^krc: there is no CPU 4; this machine has CPUs 0 to 3$/],
  ] as const
) {
  Deno.test(`"${line}" ends in one line that says what is allowed`, async () => {
    const shell = new KernelShell();
    await shell.run(`${BOOT}; ${EXT4}`);
    const { status, out, err } = await shell.run(line);
    assertEquals([status, out], [2, ""]);
    assertMatch(err.trimEnd(), allowed);
    assertEquals(err.trimEnd().split("\n").length, 1);
  });
}

// rcu why

Deno.test("rcu why: the line of the issue exits 0 and tells who asked, and how each CPU reported", async () => {
  const shell = new KernelShell();
  const { status, out } = await shell.run(`${BOOT}; ${EXT4}; leaks; rcu why`);
  assertEquals(status, 0);
  assertMatch(out, /rcu_work_rcufn, queued by kworker\/\d:\d in kfree_rcu_monitor/);
  assertMatch(
    out,
    /3 pointers, the first\s+from\s+writer\s+in\s+add_new_gdb\s+\(examples\/ext4/,
  );
  assertMatch(out, /starts, and waits for CPUs 0-3/);
  assertMatch(out, /^ +\d+\.\d{3} +\d+ +over$/m);
  // The callback was numbered for the first grace period: rcu why explains that one and not the last, which nobody needed.
  const { k } = shell.session;
  const [first, second] = gpEvents(k, "start").map((r) => r.args[1]);
  assertMatch(
    out,
    new RegExp(`^grace period ${second} of rcu_sched is over.*\\n.* no callback waited for it`, "m"),
  );
  assertMatch(out, new RegExp(`^grace period ${first} of rcu_sched is over`, "m"));
});

Deno.test("rcu why: while a reader holds a grace period up it names the CPU, the task, since when and its line", async () => {
  const shell = await played(heldUp);
  const { k } = shell.session;
  await shell.run(`goto ${whileHeldUp(k)}`);
  assertEquals(rcu_state(k).node[0].qsmask.toNumber(), 0b100);
  const lock = [...k.log.records()].find((r) => r.kind === READ_LOCK_EVENT)!;
  const { out } = await shell.run("rcu why");
  const text = out.replace(/\s+/g, " ");
  assertMatch(text, /grace period -1199 of rcu_sched runs since event \d+: .* RCU_GP_WAIT_FQS, \d+ scans?/);
  assertMatch(
    text,
    new RegExp(
      `CPU 2 owes: slowpoke \\(pid \\d+\\) runs there, in rcu_read_lock\\(\\) of readSlowly ` +
        `\\(tests/repl/rcu_commands_test.ts:\\d+\\) since event ${lock.seq}, \\d+\\.\\d+ ms ago`,
    ),
  );
  assertEquals([...text.matchAll(/CPUs? [\d,-]+ owes?: /g)].length, 1, "the others have reported");
  assertEquals(
    (await shell.run("rcu tree")).out.trimEnd().split("\n").at(-1),
    "0       0-3              -1199   -1192  ..1.",
  );
  assertMatch((await shell.run("rcu")).out, /runs for \d+ jiffies, owed by CPU 2/);
  assertMatch(
    (await shell.run("rcu cpu 2")).out,
    /runs slowpoke \(pid \d+\), in rcu_read_lock\(\) since event/,
  );
});

Deno.test("rcu why: afterwards it names the reader that held the grace period up; timeline marks its end", async () => {
  const shell = await played(heldUp);
  const { k } = shell.session;
  const { out } = await shell.run("rcu why --gp -1199");
  assertMatch(
    out.replace(/\s+/g, " "),
    /CPU 2 was last, because of a reader: slowpoke on CPU 2 was in rcu_read_lock\(\) of readSlowly/,
  );
  const timeline = (await shell.run("timeline")).out;
  assertMatch(timeline, /\] .*rcu_read_unlock\(\): it held grace period -1199\s+up/);
  assertMatch(
    timeline.replace(/\s+/g, " "),
    /the grace period \(-1199, held up by slowpoke in rcu_read_lock\(\) on CPU 2\)/,
  );
  assertMatch(timeline.replace(/\s+/g, " "), /Its reader, slowpoke, had left after \d+/);
  assertEquals(holderOf(new GracePeriods(k, 0).find(-1199)!)?.lock.kind, READ_LOCK_EVENT);
});

Deno.test("rcu why: each CPU of each grace period reported once, and the last report is before the end [seeds=8]", async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const shell = new KernelShell();
    await shell.run(`boot --rcu tree --cpus 8 --fanout 2 --fanout-leaf 2 --seed ${seed}; ${EXT4}`);
    const { k } = shell.session;
    const periods = new GracePeriods(k, treeNodes(k).at(-1)!.level);
    const started = gpEvents(k, "start");
    assert(started.length > 1);
    assertEquals(
      periods.list.filter((gp) => gp.start !== undefined).map((gp) => gp.start!.seq),
      started.map((r) => r.seq),
    );
    for (const gp of periods.list) {
      if (gp.end === undefined) continue;
      assertEquals(
        gp.reports.map(({ cpu }) => cpu).sort(),
        gp.waitsFor.toSorted(),
        `seed ${seed}, ${gp.gp_seq}`,
      );
      assert(gp.reports.every(({ record }) => record.seq > gp.start!.seq && record.seq < gp.end!.seq));
      // rcu_fqs says of whom the scan found them.
      const found = events(k, "rcu_fqs", (r) => r.seq > gp.start!.seq && r.seq < gp.end!.seq).map((r) =>
        r.args[2]
      );
      const idle = gp.reports.filter(({ how }) => how === "idle" || how === "was idle").map(({ cpu }) => cpu);
      assertEquals(idle.sort(), found.sort());
    }
  }
});

Deno.test("rcu why: how a CPU passed its quiescent state: user mode, cond_resched(), a switch", async () => {
  const shell = await played(function* main(k): MaySleep<void> {
    const done = [new completion(), new completion()];
    yield* on(k, 1, "user", function* user(k): MaySleep<void> {
      yield* user_mode(k, 300e6);
      complete(k, done[0]);
    });
    // Never switches: after a tenth of a second the grace period wants its cond_resched().
    yield* on(k, 2, "kernel", function* busy(k): MaySleep<void> {
      for (let i = 0; i < 3000; i++) {
        yield* udelay(k, 100);
        yield* cond_resched(k);
      }
      complete(k, done[1]);
    });
    yield* udelay(k, 10_000);
    yield* synchronize_rcu(k);
    for (const c of done) yield* wait_for_completion(k, c);
  });
  const { out } = await shell.run("rcu why --gp -1199");
  const text = out.replace(/\s+/g, " ");
  assertMatch(text, /wakeme_after_rcu, queued by test in main \(tests\/repl\/rcu_commands_test\.ts:\d+\)/);
  assertMatch(text, /CPU 1 reports: the tick found it in user mode, user, at/);
  assertMatch(text, /CPU 2 reports: (cond_resched\(\) of kernel|context switch from kernel)/);
  assertMatch(text, /no reader held it up/);
});

Deno.test("rcu why: before any grace period, and while a callback has no number yet", async () => {
  const shell = new KernelShell();
  assertEquals(
    (await shell.run(`${BOOT}; rcu why`)).out.trimEnd().split("\n").at(-1),
    "no grace period has run yet",
  );
  const later = await played(heldUp);
  const queued = events(later.session.k, "rcu_callback")[0];
  const { out } = await later.run(`goto ${queued.seq}; rcu why`);
  assertMatch(out, /^no grace period has run yet\n1 callback on CPU 0: a tick there asks for one$/m);
});

// rcu cblist

function* nothing(k: Kernel, head: VirtAddr): Atomic<void> {
  yield* kfree(k, head);
}

Deno.test("rcu cblist: the segments hold what was queued, in order, ten by name, with the number they wait for", async () => {
  const shell = await played(function* (k): MaySleep<void> {
    yield* on(k, 1, "queuer", function* queuer(k): MaySleep<void> {
      for (let i = 0; i < 12; i++) {
        yield* call_rcu(k, yield* kmalloc(k, rcu_head.size, GFP_KERNEL), nothing);
      }
    });
  });
  const { k } = shell.session;
  const queued = events(k, "rcu_callback");
  assertEquals(queued.length, 12);
  const waiting = gpEvents(k, "fqswait")[0].seq;
  await shell.run(`goto ${queued[11].seq}; step`);
  const fresh = (await shell.run("rcu cblist 1")).out;
  assertMatch(fresh, /^CPU 1: 12 callbacks; rcu_state\.gp_seq is -1200$/m);
  assertMatch(fresh, /DONE +empty\n +WAIT +empty\n +NEXT_READY +empty\n +NEXT +12, no number yet/);
  const heads = [...fresh.matchAll(/rcu_head ffff([0-9a-f]+) {2}nothing$/gm)].map((match) =>
    parseInt(match[1], 16)
  );
  assertEquals(heads, queued.slice(0, 10).map((r) => r.args[1]));
  assertMatch(fresh, /^ +and 2 more$/m);
  await shell.run(`goto ${waiting}`);
  const numbered = (await shell.run("rcu cblist 1")).out;
  assertMatch(numbered, /WAIT +12, waits for gp_seq -1196/);
  assertEquals(treeCpu(k, 1, 0).segments.map(({ count }) => count), [0, 12, 0, 0]);
  assertMatch((await shell.run("cont; rcu cblist")).out, /^no CPU has callbacks$/m);
});

// rcu tree

Deno.test("rcu tree: many CPUs stay readable, and what is left out is counted [cpus=256]", async () => {
  const shell = new KernelShell();
  await shell.run("boot --rcu tree --cpus 256 --fanout-leaf 4 --seed 1");
  const { out } = await shell.run("rcu tree");
  const lines = out.trimEnd().split("\n");
  assert(lines.length < 30, `${lines.length} lines`);
  for (const line of lines) assert(line.length <= 80, line);
  const drawn = lines.filter((line) => /^\d/.test(line)).length;
  const left = [...out.matchAll(/and (\d+) nodes? more, none of which waits/g)].reduce(
    (n, m) => n + Number(m[1]),
    0,
  );
  assertEquals(drawn + left, treeNodes(shell.session.k).length);
});

// krc

Deno.test("krc: what collects and its timer, what waits and for which gp_seq, the spare page afterwards", async () => {
  const shell = await played(heldUp);
  const { k } = shell.session;
  const given = [...k.log.records()].find((r) => r.kind === KVFREE_RCU_EVENT)!;
  const ptr = `ffff${given.args[0].toString(16)}`;
  const held = whileHeldUp(k);
  const collects = (await shell.run(`goto ${given.seq}; step 6; krc`)).out;
  assertMatch(collects, /^CPU 0: count 1, monitor_todo 1, timer expires in 5 jiffies$/m);
  assertMatch(collects, new RegExp(`collecting:\\n +slab: 1 pointer in 1 block\\n +${ptr}\\n +slot 0: free`));
  const waits = (await shell.run(`goto ${held}; krc`)).out;
  assertMatch(waits, /^CPU 0: count 0, monitor_todo 0, no timer$/m);
  assertMatch(
    waits,
    new RegExp(`slot 0, waits on CPU 0's list for gp_seq -1196:\\n +slab: 1 pointer in 1 block\\n +${ptr}`),
  );
  const over = (await shell.run("cont; krc")).out;
  assertMatch(
    over,
    /collecting: nothing\n +slot 0: free\n +slot 1: free\n +spare pages: slab ffff888\w+, vmalloc none/,
  );
});

// Batches in the timeline

/** Objects of both channels, given away on two CPUs at odd times, while readers come and go. */
function mixed(seed: number): (k: Kernel) => MaySleep<void> {
  return function* main(k): MaySleep<void> {
    const done = [0, 1, 2, 3].map(() => new completion());
    for (const cpu of [2, 3]) {
      yield* on(k, cpu, `reader/${cpu}`, function* reader(k): MaySleep<void> {
        for (let i = 0; i < 5; i++) {
          yield* rcu_read_lock(k);
          for (let j = 0; j < 100 + 37 * ((seed + i) % 5); j++) yield* udelay(k, 100);
          yield* rcu_read_unlock(k);
          yield* schedule_timeout_uninterruptible(k, 1 + cpu);
        }
        complete(k, done[cpu]);
      });
    }
    for (const cpu of [0, 1]) {
      yield* on(k, cpu, `giver/${cpu}`, function* giver(k): MaySleep<void> {
        for (let i = 0; i < 12; i++) {
          const big = (seed * 7 + i * 5 + cpu) % 3 === 0;
          yield* kvfree_rcu(k, big ? yield* vmalloc(k, 5000) : yield* kmalloc(k, 64, GFP_KERNEL));
          if (i % 3 === 2) yield* schedule_timeout_uninterruptible(k, 1 + (seed + i) % 8);
        }
        complete(k, done[cpu]);
      });
    }
    for (const c of done) yield* wait_for_completion(k, c);
    yield* kvfree_rcu(k, yield* kmalloc(k, 64, GFP_KERNEL)); // whatever is stranded goes with this one
  };
}

Deno.test("timeline: the slot that an object is said to be in is the one whose work frees it [seeds=12, page fails]", async () => {
  let late = 0;
  let checked = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const shell = await played(
      mixed(seed),
      `boot --rcu tree --cpus 4 --seed ${seed}${
        seed % 3 === 0 ? "; fail page --site kvfree_call_rcu_add_ptr_to_bulk --nth 3 --times 4" : ""
      }`,
    );
    const { k } = shell.session;
    const history = new KrcHistory(k);
    const queued = new Map<number, EventRecord>();
    const working = new Map<number, { cpu: number; slot: number }>();
    for (const r of k.log.records()) {
      const name = traceEvents.find((event) => event.id === r.kind)?.name;
      const touch = touchOf(r);
      let freed: readonly EventRecord[] = [];
      if (r.kind === KVFREE_RCU_EVENT) queued.set(r.args[0], r);
      else if (name === "workqueue_execute_start") {
        const slot = history.works.get(r.args[0]);
        if (slot !== undefined) working.set(r.task, slot);
      } else if (name === "workqueue_execute_end") working.delete(r.task);
      else if (name === "rcu_invoke_kfree_bulk_callback") {
        freed = history.bulks.get(r.seq) ?? [];
        assertEquals(freed.length, r.args[1], `seed ${seed}, event ${r.seq}`);
      } else if (touch?.kind === "freed" && working.has(r.task)) {
        freed = [...queued.values()].filter((from) => from.args[0] === touch.addr);
      }
      for (const from of freed) {
        const passage = history.passages.get(from.seq);
        assert(passage !== undefined, `seed ${seed}, event ${from.seq}`);
        const { cpu, slot, closed, given, invoked } = passage;
        assertEquals({ cpu, slot }, working.get(r.task), `seed ${seed}, event ${from.seq}`);
        assert(from.seq < closed.seq && closed.seq < r.seq);
        assert(invoked !== undefined && invoked.seq < r.seq);
        if (given !== closed) late++;
        queued.delete(from.args[0]);
        checked++;
      }
    }
    assertEquals(queued.size, 0, `seed ${seed}: all were freed`);
  }
  assertEquals(checked, 12 * 25);
  assert(late > 0, "some slot took an object late, as the series does (B9)");
});

/** B9 by hand: the second object joins a slot whose grace period began before; its reader is not waited for. */
function* overtaken(k: Kernel): MaySleep<void> {
  const done = [new completion(), new completion()];
  yield* on(k, 2, "first", (k) => readSlowly(k, 100, done[0]));
  yield* on(k, 3, "second", function* main(k): MaySleep<void> {
    yield* schedule_timeout_uninterruptible(k, 8);
    yield* readSlowly(k, 150, done[1]);
  });
  yield* on(k, 0, "giver", function* giver(k): MaySleep<void> {
    yield* kvfree_rcu(k, yield* vmalloc(k, 5000));
    yield* schedule_timeout_uninterruptible(k, 10);
    yield* kvfree_rcu(k, yield* kmalloc(k, 64, GFP_KERNEL));
  });
  for (const c of done) yield* wait_for_completion(k, c);
}

Deno.test("timeline: an object that came late into a slot is told, with the reader that it was freed under", async () => {
  const shell = await played(overtaken);
  const { out } = await shell.run("timeline");
  const text = out.replace(/\s+/g, " ");
  assertMatch(text, /! \|\| slot 0 of CPU 0 takes more, though it was given to RCU at event \d+: B/);
  assertMatch(
    text,
    / B ffff888\w+ \(64 bytes, giver\) .* \(-1199, which began before it was queued, held up by first/,
  );
  assertMatch(text, /It was freed while second was still in the section that had begun before it was queued/);
  const [vmalloced] = / A ffffc9\w+ .*? B ffff888/.exec(text) ?? [""];
  assertMatch(vmalloced, /the grace period \(-1199, held up by first .* Its reader, first, had left after/);
});

// Tiny

Deno.test("rcu why on tiny RCU: who queued the callback, which switch ended the grace period", async () => {
  const shell = new KernelShell();
  const before = await shell.run("boot --rcu tiny --seed 7; rcu why");
  assertMatch(before.out, /^tiny RCU: no callback has waited for a grace period yet$/m);
  const { status, out } = await shell.run("run ext4_kvfree_array_rcu --variant fixed --grows 1; rcu why");
  assertEquals(status, 0);
  const text = out.replace(/\s+/g, " ");
  assertMatch(
    text,
    /asked for by writer: call_rcu\(\) of ext4_rcu_ptr_callback in ext4_kvfree_array_rcu \(examples/,
  );
  assertMatch(text, /over \d+\.\d{3} ms later by the switch from \S+ to \S+, event \d+/);
  assertMatch(text, /the callback was invoked/);
  const views: Ran[] = [];
  for (const line of ["rcu", "rcu tree", "rcu cpu 0", "rcu cblist 0"]) views.push(await shell.run(line));
  for (const { status, out } of views) assertEquals([status, out], [0, views[0].out]);
  assertEquals(
    (await shell.run("rcu cpu 1")).err,
    "rcu cpu: there is no CPU 1; this machine has CPU 0 only\n",
  );
});

// Words

Deno.test("ranges() and cpusText() write CPUs as people do", () => {
  assertEquals([[], [3], [0, 1, 2, 3], [7, 0, 1, 5]].map(ranges), ["", "3", "0-3", "0-1,5,7"]);
  assertEquals(cpusText([3]), "CPU 3");
  assertEquals(cpusText([0, 1, 5]), "CPUs 0-1,5");
  const many = Array.from({ length: 64 }, (_, i) => 2 * i);
  assertMatch(cpusText(many), /^64 CPUs \(0,2,4,.*,\.\.\.\)$/);
});
