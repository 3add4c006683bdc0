// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/machine/machine.ts: the engine with bare threads, without a kernel. */
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { EmulatorFault } from "../../../kernel/machine/assert.ts";
import {
  type Deviation,
  POLICY_FINE,
  POLICY_TIME,
  type Schedule,
  siteHash,
} from "../../../kernel/machine/chooser.ts";
import { POINT_NS } from "../../../kernel/machine/cost.ts";
import { VECTOR_DEVICE } from "../../../kernel/machine/cpu.ts";
import { type Coroutine, HALT, STEP } from "../../../kernel/machine/effects.ts";
import { Machine } from "../../../kernel/machine/machine.ts";
import { POINT_NAMED, pt } from "../../../kernel/machine/points.ts";

const PLAIN: Schedule = { policy: POLICY_TIME, seed: 1, deviations: [] };

/** A machine whose interrupt handler logs, and threads that log "cpu:i" at each of `n` points and halt. */
function machine(nrCpus: number, n: number, schedule: Schedule): { m: Machine; log: string[] } {
  const m = new Machine(1 << 20, nrCpus, schedule);
  const log: string[] = [];
  m.vectors = {
    *interrupt(): Coroutine {
      const cpu = m.cpu;
      log.push(`irq${cpu.id}@${m.now()}`);
      cpu.pending = 0;
    },
    preempt: () => {
      throw new Error("no preemption here");
    },
    wantsPreempt: () => false,
    fault: (_cpu, error) => {
      throw error;
    },
  };
  function* body(id: number): Coroutine {
    m.cpus[id].irqsOn = true;
    for (let i = 0; i < n; i++) {
      if (pt(m, POINT_NAMED, "loop")) yield STEP;
      log.push(`${id}:${i}`);
      m.emit(1, id, i);
    }
    for (;;) yield HALT;
  }
  for (const cpu of m.cpus) m.powerOn(cpu, { pid: cpu.id, comm: `t${cpu.id}`, stack: [body(cpu.id)] });
  m.startDeviations();
  return { m, log };
}

Deno.test("Machine.run() runs CPUs a window at a time in id order", () => {
  const { m, log } = machine(2, 40, PLAIN);
  assertEquals(m.run(Infinity), "idle");
  const perWindow = POLICY_TIME.windowNs / POINT_NS;
  // A CPU yields at the point that reaches the window's end; what follows that point runs in the next window.
  const expected: string[] = [];
  for (let from = 0; from < 40; from += perWindow) {
    for (const id of [0, 1]) {
      const first = from === 0 ? 0 : from - 1;
      for (let i = first; i < Math.min(from + perWindow - 1, 40); i++) expected.push(`${id}:${i}`);
    }
  }
  for (const id of [0, 1]) if (!expected.includes(`${id}:39`)) expected.push(`${id}:39`);
  assertEquals(log, expected);
});

Deno.test("Machine.run() gives the same run however often it returns, with the log on or off", () => {
  const whole = machine(3, 200, PLAIN);
  whole.m.run(Infinity);
  for (const chunk of [1, 7, 64]) {
    const parts = machine(3, 200, PLAIN);
    parts.m.log.recording = false;
    while (parts.m.run(Infinity, chunk) === "points");
    assertEquals(parts.log, whole.log, `chunks of ${chunk} points`);
    assertEquals(parts.m.hash.text(), whole.m.hash.text());
    assertEquals(parts.m.points, whole.m.points);
  }
});

Deno.test("Machine.run() stops at the first point after event breakAt and goes on where it was", () => {
  const whole = machine(2, 30, PLAIN);
  whole.m.run(Infinity);
  const parts = machine(2, 30, PLAIN);
  assertEquals(parts.m.run(Infinity, Infinity, 10), "break");
  assertEquals(parts.m.seq, 10);
  assertEquals(parts.log.length, 10);
  parts.m.run(Infinity);
  assertEquals(parts.log, whole.log);
});

Deno.test("Machine delivers the timer at the first point after it is due, and an IPI later than it was sent", () => {
  const { m, log } = machine(2, 100, PLAIN);
  m.cpus[0].timerAt = 1025;
  m.cpus[1].ipis = VECTOR_DEVICE;
  m.cpus[1].ipiAt = 2500;
  m.run(Infinity);
  assertEquals(log.filter((l) => l.startsWith("irq")), ["irq0@1050", "irq1@2500"]);
});

Deno.test("Machine does not deliver an interrupt while the CPU has them off", () => {
  const { m, log } = machine(1, 20, PLAIN);
  const cpu = m.cpus[0];
  m.run(200);
  cpu.irqsOn = false;
  cpu.timerAt = 300;
  m.run(600);
  assertEquals(log.some((l) => l.startsWith("irq")), false);
  cpu.irqsOn = true;
  m.kick();
  m.run(Infinity);
  assertEquals(log.filter((l) => l.startsWith("irq")).length, 1);
});

Deno.test("Machine.run() lets a halted CPU's clock jump to its timer", () => {
  const { m, log } = machine(1, 1, PLAIN);
  m.run(Infinity);
  m.cpus[0].timerAt = 5_000_000;
  m.run(Infinity);
  assertEquals(log.at(-1), "irq0@5000000");
});

Deno.test("a CPU that halts with interrupts off stays halted, whatever is pending or due", () => {
  const m = new Machine(1 << 20, 2, PLAIN);
  let passed = 0;
  function* dead(): Coroutine {
    for (;;) {
      passed++;
      yield HALT;
    }
  }
  m.powerOn(m.cpus[0], { pid: 0, comm: "dead", stack: [dead()] });
  m.cpus[0].pending = VECTOR_DEVICE;
  m.cpus[0].timerAt = 100;
  assertEquals(m.run(Infinity), "idle");
  assertEquals(passed, 1);
  assertEquals(m.run(1e9), "idle");
  assertEquals(passed, 1);
});

Deno.test("Machine.run() does not hang on a CPU that is ready and never gets on", () => {
  const m = new Machine(1 << 20, 1, PLAIN);
  m.powerOn(m.cpus[0], { pid: 0, comm: "t", stack: [] });
  // A CPU as the engine must never see it: ready now, and unable to do anything.
  const lock = { name: "lock", owner: m.cpus[0], releasedAt: 0 };
  m.cpus[0].blockedOn = lock;
  m.cpus[0].readyAt = () => (m.cpus[0].blockedOn === lock && lock.owner === null ? Infinity : 0);
  m.cpus[0].current.stack.push(
    (function* (): Coroutine {
      for (;;) yield HALT;
    })(),
  );
  assertThrows(() => m.run(Infinity), EmulatorFault, "gets nowhere");
});

Deno.test("Machine.run() without a limit ends when nothing can run, also when one CPU is alone all the time", () => {
  const { m, log } = machine(1, 3_000_000, PLAIN);
  log.push = () => 0;
  assertEquals(m.run(Infinity), "idle");
  assertEquals([m.points, m.cpus[0].clock], [3_000_000, 3_000_000 * POINT_NS]);
});

Deno.test("a waiting CPU that is granted its lock in an interrupt goes on at the time of the release", () => {
  const m = new Machine(1 << 20, 1, PLAIN);
  const cpu = m.cpus[0];
  const lock = { name: "lock", owner: null as typeof cpu | null, releasedAt: 0 };
  const log: number[] = [];
  m.vectors = {
    *interrupt(): Coroutine {
      const spinning = cpu.blockedOn;
      cpu.pending = 0;
      cpu.irqsOn = false;
      cpu.blockedOn = null;
      lock.owner = cpu;
      lock.releasedAt = 5000; // by a CPU that is ahead
      cpu.blockedOn = spinning;
      cpu.irqsOn = true;
    },
    preempt: () => {
      throw new Error("no preemption here");
    },
    wantsPreempt: () => false,
    fault: (_cpu, error) => {
      throw error;
    },
  };
  function* waiter(): Coroutine {
    cpu.irqsOn = true;
    while (lock.owner !== cpu) {
      cpu.blockedOn = lock;
      yield STEP;
    }
    cpu.blockedOn = null;
    log.push(m.now());
    for (;;) yield HALT;
  }
  m.powerOn(cpu, { pid: 0, comm: "waiter", stack: [waiter()] });
  cpu.timerAt = 300;
  assertEquals(m.run(Infinity), "idle");
  assertEquals(log, [5000]);
});

Deno.test("a seed gives one run; different seeds give different runs", () => {
  function hash(seed: number): string {
    const { m } = machine(2, 3000, { policy: POLICY_FINE, seed, deviations: null });
    m.run(Infinity);
    return m.hash.text();
  }
  const seen = new Set<string>();
  for (let seed = 1; seed <= 20; seed++) {
    assertEquals(hash(seed), hash(seed));
    seen.add(hash(seed));
  }
  assertEquals(seen.size, 20);
});

Deno.test("a deviation stalls its CPU at the named occurrence of its site and nowhere else", () => {
  const stall: Deviation = { site: siteHash("t1", POINT_NAMED, "loop"), nth: 3, stall: 4 };
  const { m } = machine(2, 10, { policy: POLICY_TIME, seed: 1, deviations: [stall] });
  m.run(Infinity);
  assertEquals(m.cpus[0].clock, 10 * POINT_NS);
  assertEquals(m.cpus[1].clock, 10 * POINT_NS + 250 * 2 ** 4);
});

Deno.test("a seeded run, written down as deviations, is the same run", () => {
  const seeded: Schedule = { policy: POLICY_FINE, seed: 5, deviations: null };
  const plain = machine(2, 2000, seeded);
  plain.m.run(Infinity);
  const recorded = machine(2, 2000, { ...seeded, recordSites: true });
  recorded.m.run(Infinity);
  assertEquals(recorded.m.hash.text(), plain.m.hash.text(), "counting sites is observation");
  assertNotEquals(recorded.m.chooser.taken.length, 0);
  const replayed = machine(2, 2000, { ...seeded, deviations: recorded.m.chooser.taken });
  replayed.m.run(Infinity);
  assertEquals(replayed.log, plain.log);
  assertEquals(replayed.m.hash.text(), plain.m.hash.text());
});

Deno.test("Machine.powerCycle() gives the run of a fresh machine", () => {
  const fresh = machine(1, 50, PLAIN);
  fresh.m.run(Infinity);
  const used = machine(1, 50, PLAIN).m;
  used.ram.unpoison(0, 4096);
  used.ram.rawFill(0, 4096, 1);
  used.run(1000);
  used.powerCycle(PLAIN);
  assertEquals([used.seq, used.points, used.cpus[0].clock, used.ram.bytes.indexOf(1)], [0, 0, 0, -1]);
});

Deno.test("EventLog keeps the newest records when it is full and says which are the oldest", () => {
  const { m } = machine(1, 5000, PLAIN);
  m.run(Infinity);
  assertEquals(m.log.first, 1);
  assertEquals(m.log.last, 5000);
  assertEquals(m.log.get(4999)?.args.slice(0, 2), [0, 4998]);
  assertEquals([...m.log.records(4998)].map((r) => r.args[1]), [4997, 4998, 4999]);
});
