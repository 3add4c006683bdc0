// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of polled grace periods: rcu/tree.ts, rcu/tiny.ts, and the cookies of rcu/rcu.ts. Every run is watched by the
 * monitors, whose P23 says that no cookie is done too early.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { VECTOR_DEVICE } from "../../kernel/machine/cpu.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import { array, embed, struct, u8 } from "../../kernel/machine/struct.ts";
import { deviceHandler, udelay, user_mode } from "../../kernel/entry.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { RcuOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { cond_resched } from "../../kernel/sched/core.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { RCU_GET_STATE_COMPLETED, rcu_gp_oldstate, rcu_head, rcu_seq_done_exact } from "../../rcu/rcu.ts";
import { gp_cleanup_delay, rcu_gp_in_progress, rcu_state } from "../../rcu/tree.ts";
import {
  call_rcu,
  cond_synchronize_rcu,
  cond_synchronize_rcu_full,
  get_completed_synchronize_rcu,
  get_completed_synchronize_rcu_full,
  get_state_synchronize_rcu,
  get_state_synchronize_rcu_full,
  kfree,
  kmalloc,
  poll_state_synchronize_rcu,
  poll_state_synchronize_rcu_full,
  preempt_disable,
  preempt_enable,
  rcu_barrier,
  rcu_read_lock,
  rcu_read_unlock,
  runToEnd,
  same_state_synchronize_rcu,
  same_state_synchronize_rcu_full,
  start_poll_synchronize_rcu,
  start_poll_synchronize_rcu_full,
  synchronize_rcu,
} from "../../mod.ts";
import { bootForTiny, jiffyNs, runCleanly } from "../machines.ts";
import { bootTree, checkQuiet, gpEvents, threadOn } from "./tree_machine.ts";

/** A cookie of either form, and what can be done with it. */
interface Cookie {
  poll(): boolean;
  cond(): MaySleep<void>;
}

/** A form of polling: how a cookie is taken, with its grace period asked for or not. */
interface Form {
  readonly name: string;
  get(k: Kernel): Cookie;
  start(k: Kernel): Atomic<Cookie>;
}

const page = struct("page_with_snapshot", { before: array(u8, 24), gp_snap: embed(rcu_gp_oldstate) });

function shortCookie(k: Kernel, oldstate: number): Cookie {
  return {
    poll: () => poll_state_synchronize_rcu(k, oldstate),
    cond: () => cond_synchronize_rcu(k, oldstate),
  };
}

function fullCookie(k: Kernel, rgosp: rcu_gp_oldstate): Cookie {
  return {
    poll: () => poll_state_synchronize_rcu_full(k, rgosp),
    cond: () => cond_synchronize_rcu_full(k, rgosp),
  };
}

function fullForm(name: string, place: (k: Kernel) => rcu_gp_oldstate): Form {
  return {
    name,
    get: (k) => {
      const rgosp = place(k);
      get_state_synchronize_rcu_full(k, rgosp);
      return fullCookie(k, rgosp);
    },
    *start(k) {
      const rgosp = place(k);
      yield* start_poll_synchronize_rcu_full(k, rgosp);
      return fullCookie(k, rgosp);
    },
  };
}

/** A cookie in the middle of a struct in emulated memory. */
function inMemory(k: Kernel): rcu_gp_oldstate {
  return page.at(k, k.dataAlloc(page.size)).gp_snap;
}

const FORMS: readonly Form[] = [
  {
    name: "short",
    get: (k) => shortCookie(k, get_state_synchronize_rcu(k)),
    *start(k) {
      return shortCookie(k, yield* start_poll_synchronize_rcu(k));
    },
  },
  fullForm("full", () => ({ rgos_norm: 0, rgos_exp: 0 })),
  fullForm("full in memory", inMemory),
];

const SHAPES = [1, 2, 4].flatMap((cpus) =>
  [1, 2, 3].map((seed) => ({ cpus, seed, fanout: 2, fanoutLeaf: 2 }))
);

/** Runs `test` on machines of several sizes under several seeds, in each form. */
function onEach(name: string, test: (k: Kernel, form: Form) => MaySleep<void>): void {
  for (const form of FORMS) {
    Deno.test(`${name} [${form.name} cpus=1,2,4 seed=1,2,3]`, () => {
      for (const shape of SHAPES) {
        const k = bootTree(shape);
        const verdict = runCleanly(k, (k) => test(k, form));
        assertEquals(verdict.violations, []);
        checkQuiet(k);
      }
    });
  }
}

/** Polls once a jiffy until `cookie` is done. Returns how many jiffies that took. */
function* pollUntilDone(k: Kernel, cookie: Cookie): MaySleep<number> {
  let jiffies = 0;
  while (!cookie.poll()) {
    assert(++jiffies < 1000, "it is never done");
    yield* schedule_timeout_uninterruptible(k, 1);
  }
  return jiffies;
}

/** Keeps this CPU busy, but for what else wants to run on it, until `condition`, which is looked at every 20 us. */
function* letOthersRun(k: Kernel, condition: () => boolean): MaySleep<void> {
  for (let i = 0; !condition(); i++) {
    assert(i < 50_000, "it never comes");
    yield* udelay(k, 20);
    yield* cond_resched(k);
  }
}

/** A grace period that somebody else wants: a callback asks for it, and is waited for. */
function* someoneElses(k: Kernel): MaySleep<void> {
  const head = yield* kmalloc(k, rcu_head.size, GFP_KERNEL);
  yield* call_rcu(k, head, kfree);
  yield* rcu_barrier(k);
}

onEach(
  "P23 a cookie alone starts no grace period, and is done when somebody else's is over",
  function* (k, form) {
    const cookie = form.get(k);
    const since = k.seq;
    for (let i = 0; i < 50; i++) {
      yield* schedule_timeout_uninterruptible(k, 1);
      assertEquals(cookie.poll(), false);
    }
    assertEquals(gpEvents(k, since, "start"), []);
    const before = form.get(k);
    yield* someoneElses(k);
    assertEquals([cookie.poll(), before.poll(), form.get(k).poll()], [true, true, false]);
  },
);

onEach(
  "P23 start_poll_synchronize_rcu() starts one grace period, and its cookie is done after it",
  function* (k, form) {
    const since = k.seq;
    const cookie = yield* form.start(k);
    assertEquals(cookie.poll(), false);
    // The same wish again changes nothing while the first is not yet started.
    if (!rcu_gp_in_progress(k)) yield* form.start(k);
    assert((yield* pollUntilDone(k, cookie)) > 0);
    yield* schedule_timeout_uninterruptible(k, 50);
    const started = gpEvents(k, since, "start").length;
    assert(started === 1 || started === 2, `${started} grace periods`);
    assertEquals(gpEvents(k, since, "end").length, started);
  },
);

onEach("P23 a grace period that runs already does not count", function* (k, form) {
  const since = k.seq;
  const first = yield* form.start(k);
  // The root is told a little later than rcu_state.
  yield* letOthersRun(k, () => rcu_state(k).node[0].gp_seq % 4 !== 0);
  const ofRunning = rcu_state(k).gp_seq;
  const second = yield* form.start(k);
  let [pollsBefore, pollsBetween] = [0, 0];
  yield* letOthersRun(k, () => {
    const done = second.poll();
    if (!first.poll()) pollsBefore++;
    else if (!done) pollsBetween++;
    return done;
  });
  assert(pollsBefore > 0 && pollsBetween > 0, "the first is done alone for a while");
  assertEquals(first.poll(), true);
  const starts = gpEvents(k, since, "start").map(({ gp_seq }) => gp_seq);
  assertEquals(starts, [ofRunning, ofRunning + 4]);
});

onEach(
  "P23 a cookie is not done while a reader is open that was open when it was taken",
  function* (k, form) {
    const readers = k.config.cpus - 1;
    let [open, left] = [0, 1];
    for (let cpu = 1; cpu <= readers; cpu++) {
      yield* threadOn(k, cpu, `reader${cpu}`, function* (k) {
        yield* rcu_read_lock(k);
        open++;
        yield* udelay(k, cpu * 3 * jiffyNs(k) / 1000);
        open--;
        yield* rcu_read_unlock(k);
      });
    }
    let polls = 0;
    yield* threadOn(k, 0, "poller", function* (k) {
      yield* letOthersRun(k, () => open === readers);
      const cookie = yield* form.start(k);
      yield* letOthersRun(k, () => {
        if (!cookie.poll()) {
          polls++;
          return false;
        }
        assertEquals(open, 0);
        return true;
      });
      left = 0;
    });
    while (left > 0) yield* schedule_timeout_uninterruptible(k, 1);
    assert(polls > 10);
  },
);

onEach(
  "cond_synchronize_rcu() waits while the cookie is not done, and returns at once when it is",
  function* (k, form) {
    const cookie = form.get(k);
    let before = k.now();
    yield* cookie.cond();
    // With one CPU being able to block is a grace period: v5.7's synchronize_rcu() does not wait there.
    if (k.config.cpus > 1) {
      assert(k.now() - before > jiffyNs(k), "it waited");
      assertEquals(cookie.poll(), true);
    }
    yield* someoneElses(k);
    assertEquals(cookie.poll(), true);
    before = k.now();
    const since = k.seq;
    yield* cookie.cond();
    assert(k.now() - before < jiffyNs(k) / 10, "and now it need not");
    assertEquals(gpEvents(k, since, "newreq"), []);
  },
);

onEach("a callback finds a cookie done that was taken before it was queued", function* (k, form) {
  gp_cleanup_delay.set(k, 2); // now and then the end takes its time between two nodes
  let [ran, early] = [0, 0];
  for (let i = 0; i < 12; i++) {
    for (let cpu = 0; cpu < k.config.cpus; cpu++) {
      yield* threadOn(k, cpu, `caller${cpu}`, function* (k) {
        const head = yield* kmalloc(k, rcu_head.size, GFP_KERNEL);
        const cookie = form.get(k);
        yield* call_rcu(k, head, function* (k, head) {
          ran++;
          assertEquals(cookie.poll(), true);
          if (rcu_gp_in_progress(k) && rcu_state(k).node[0].gp_seq % 4 === 0) early++;
          yield* kfree(k, head);
        });
      });
    }
    yield* rcu_barrier(k);
    yield* schedule_timeout_uninterruptible(k, 3);
  }
  assertEquals(ran, 12 * k.config.cpus);
  // The larger the tree, the more rarely its end is slow.
  if (k.config.cpus < 4) assert(early > 0, "some ran while only the root knew of the end, and not rcu_state");
});

Deno.test("cookies count through zero, in both forms alike [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const seen: number[] = [];
  const verdict = runCleanly(k, function* (k) {
    const first = FORMS.map((form) => form.get(k));
    const rgosp = inMemory(k);
    for (let i = 0; i < 305; i++) {
      get_state_synchronize_rcu_full(k, rgosp);
      const cookie = yield* start_poll_synchronize_rcu(k);
      assertEquals(rgosp.rgos_norm, cookie, "nothing but normal grace periods has happened yet");
      assertEquals([poll_state_synchronize_rcu(k, cookie), poll_state_synchronize_rcu_full(k, rgosp)], [
        false,
        false,
      ]);
      yield* pollUntilDone(k, shortCookie(k, cookie));
      yield* pollUntilDone(k, fullCookie(k, rgosp));
      seen.push(cookie);
      while (rcu_gp_in_progress(k)) yield* schedule_timeout_uninterruptible(k, 1);
    }
    for (const old of first) assertEquals(old.poll(), true);
  });
  assertEquals(verdict.violations, []);
  assert(seen.includes(-4) && seen.includes(0) && seen.includes(4), "zero is a cookie like any other");
  for (let i = 1; i < seen.length; i++) assertEquals(seen[i] - seen[i - 1], 4);
});

Deno.test("rcu_seq_done_exact() takes what lies two grace periods and more ahead for very old", () => {
  // From idle a snapshot is 4 ahead, from a running one (current 1) 7: s - 7 is the first that cannot be.
  assertEquals([0, 4, 7, 8, 400].map((s) => rcu_seq_done_exact(0, s)), [true, false, false, true, true]);
  assertEquals([-1200, -1196, -1192].map((s) => rcu_seq_done_exact(-1200, s)), [true, false, true]);
  assertEquals(rcu_seq_done_exact(-1199, -1192), false);
  assertEquals(rcu_seq_done_exact(-1196, -1192), false);
});

for (const rcu of ["tree", "tiny"] as const) {
  Deno.test(`completed cookies are done at once and alike, and no other cookie is like them [rcu=${rcu}]`, () => {
    const k = rcu === "tree" ? bootTree({ cpus: 2 }) : bootForTiny();
    runCleanly(k, function* (k) {
      const completed = get_completed_synchronize_rcu(k);
      assertEquals(completed, RCU_GET_STATE_COMPLETED);
      const places = [{ rgos_norm: 0, rgos_exp: 0 }, inMemory(k), inMemory(k)];
      for (const rgosp of places.slice(0, 2)) get_completed_synchronize_rcu_full(k, rgosp);
      get_state_synchronize_rcu_full(k, places[2]);
      assertEquals(poll_state_synchronize_rcu(k, completed), true);
      assertEquals(places.map((rgosp) => poll_state_synchronize_rcu_full(k, rgosp)), [true, true, false]);
      const before = k.now();
      yield* cond_synchronize_rcu(k, completed);
      yield* cond_synchronize_rcu_full(k, places[1]);
      assert(k.now() - before < jiffyNs(k) / 10);
      assertEquals(same_state_synchronize_rcu_full(places[0], places[1]), true);
      assertEquals(same_state_synchronize_rcu_full(places[1], places[2]), false);
      assertEquals(same_state_synchronize_rcu(completed, get_state_synchronize_rcu(k)), false);
      assertEquals(
        same_state_synchronize_rcu(get_state_synchronize_rcu(k), get_state_synchronize_rcu(k)),
        true,
      );
    });
  });
}

Deno.test("rcu_gp_oldstate is two signed words in memory", () => {
  assertEquals([rcu_gp_oldstate.size, rcu_gp_oldstate.align], [16, 8]);
  assertEquals([rcu_gp_oldstate.offsetof("rgos_norm"), rcu_gp_oldstate.offsetof("rgos_exp")], [0, 8]);
  const k = bootTree({ cpus: 1 });
  const addr = k.dataAlloc(page.size);
  get_state_synchronize_rcu_full(k, page.at(k, addr).gp_snap);
  const at = (addr + page.offsetof("gp_snap")) as VirtAddr;
  const cookie = rcu_state(k).gp_seq + 4;
  assert(cookie < 0, "it starts 300 grace periods below zero");
  assertEquals([page.at(k, addr).gp_snap.rgos_norm, page.at(k, addr).gp_snap.rgos_exp], [cookie, 4]);
  // Two's complement, low word first.
  const words = [0, 4, 8, 12].map((i) => k.ram.load32((at + i) as VirtAddr));
  assertEquals(words, [2 ** 32 + cookie, 2 ** 32 - 1, 4, 0]);
});

Deno.test("with one CPU synchronize_rcu() need not wait, and the short form is told [cpus=1]", () => {
  const k = bootTree({ cpus: 1 });
  runCleanly(k, function* (k) {
    const [short, full] = [FORMS[0].get(k), FORMS[1].get(k)];
    const since = k.seq;
    yield* synchronize_rcu(k);
    assertEquals(gpEvents(k, since), []);
    assertEquals([short.poll(), full.poll()], [true, false]);
    // Inside a normal grace period too; that one then does not count again.
    yield* start_poll_synchronize_rcu(k);
    yield* letOthersRun(k, () => rcu_gp_in_progress(k));
    const inside = get_state_synchronize_rcu(k);
    yield* synchronize_rcu(k);
    assertEquals(poll_state_synchronize_rcu(k, inside), false, "the one that ran");
    const polled = rcu_state(k).gp_seq_polled;
    while (rcu_gp_in_progress(k)) yield* schedule_timeout_uninterruptible(k, 1);
    assertEquals(rcu_state(k).gp_seq_polled, polled);
    yield* synchronize_rcu(k);
    assertEquals(poll_state_synchronize_rcu(k, inside), true);
  });
});

Deno.test("cookies of before rcu_init() can be polled: the short is done after a grace period, the full at once [cpus=2]", () => {
  const full = { rgos_norm: 0, rgos_exp: 0 };
  let short = 0;
  const k = bootTree({ cpus: 2 }, (k) => {
    short = get_state_synchronize_rcu(k);
    get_state_synchronize_rcu_full(k, full);
    // The root is all zeroes until rcu_init_one() gives it a number far below.
    assertEquals([short, full.rgos_norm], [-1196, 4]);
    assertEquals([poll_state_synchronize_rcu(k, short), poll_state_synchronize_rcu_full(k, full)], [
      false,
      false,
    ]);
    return doneVoid();
  });
  assertEquals(poll_state_synchronize_rcu_full(k, full), true);
  runCleanly(k, function* (k) {
    yield* someoneElses(k);
    assertEquals(poll_state_synchronize_rcu(k, short), true);
  });
});

/** RCUs whose polling is broken at one place. */
const BROKEN: readonly [string, (rcu: RcuOps) => Partial<RcuOps>][] = [
  ["poll_state_synchronize_rcu() says yes", () => ({ poll_state_synchronize_rcu: () => true })],
  ["poll_state_synchronize_rcu_full() says yes", () => ({ poll_state_synchronize_rcu_full: () => true })],
  ["cond_synchronize_rcu_full() does not wait", () => ({ cond_synchronize_rcu_full: () => doneVoid() })],
  ["a cookie asks for too little", (rcu) => ({
    *start_poll_synchronize_rcu(k: Kernel): Atomic<number> {
      return (yield* rcu.start_poll_synchronize_rcu(k)) - 4;
    },
  })],
  ["a cookie of the full form asks for too little", (rcu) => ({
    get_state_synchronize_rcu_full: (k: Kernel, rgosp: rcu_gp_oldstate) => {
      rcu.get_state_synchronize_rcu_full(k, rgosp);
      rgosp.rgos_norm -= 4;
    },
  })],
];

for (const [name, broken] of BROKEN) {
  Deno.test(`P23 is violated by an RCU where ${name} [cpus=2]`, () => {
    const k = bootTree({ cpus: 2 });
    k.rcu = { ...k.rcu, ...broken(k.rcu) };
    const { violations } = runToEnd(k, "main", function* (k) {
      yield* pollUntilDone(k, yield* FORMS[0].start(k));
      yield* pollUntilDone(k, yield* FORMS[2].start(k));
      const cookie = FORMS[2].get(k);
      yield* cookie.cond();
      assert(cookie.poll() || name.startsWith("cond"));
    });
    assertEquals(violations.map(({ property }) => property).slice(0, 1), ["P23"]);
  });
}

onEach("P23 cookies taken and polled everywhere are never done too early", function* (k, form) {
  let left = 2 * k.config.cpus;
  for (let n = 0; n < 2 * k.config.cpus; n++) {
    const cpu = n % k.config.cpus;
    yield* threadOn(k, cpu, `poller${n}`, function* (k) {
      for (let i = 0; i < 8; i++) {
        const cookie = (n + i) % 3 === 0 ? form.get(k) : yield* form.start(k);
        yield* rcu_read_lock(k);
        yield* udelay(k, 700 * (1 + (n * 5 + i * 3) % 7));
        yield* rcu_read_unlock(k);
        if ((n + i) % 3 === 0) yield* cookie.cond();
        else if (i % 2 === 0) yield* pollUntilDone(k, cookie);
        else while (!cookie.poll()) yield* user_mode(k, 90_000);
      }
      left--;
    });
  }
  while (left > 0) yield* schedule_timeout_uninterruptible(k, 1);
});

Deno.test("start_poll_synchronize_rcu() before rcu_init() goes through a null pointer", () => {
  const early = function* (k: Kernel): Atomic<void> {
    yield* start_poll_synchronize_rcu(k);
  };
  assertThrows(
    () => bootTree({ cpus: 1 }, early),
    Error,
    "BUG: kernel NULL pointer dereference, address: 0000000000000000",
  );
});

// ---- tiny ------------------------------------------------------------------------------------------------------------

for (const form of FORMS) {
  Deno.test(`tiny: a cookie is done at the next quiescent state, of whatever kind, and not before [${form.name}]`, () => {
    const k = bootForTiny();
    const verdict = runCleanly(k, function* (k) {
      // The kernel is busy, through several ticks.
      preempt_disable(k);
      const cookies = [form.get(k), yield* form.start(k)];
      yield* udelay(k, 3 * jiffyNs(k) / 1000);
      assertEquals(cookies.map((cookie) => cookie.poll()), [false, false]);
      preempt_enable(k);

      const kinds: Record<string, () => MaySleep<void>> = {
        "a context switch": function* () {
          yield* schedule_timeout_uninterruptible(k, 1);
        },
        "a tick in user mode": function* () {
          yield* user_mode(k, 2 * jiffyNs(k));
        },
        "being able to block": () => synchronize_rcu(k),
      };
      for (const [name, quiescent] of Object.entries(kinds)) {
        const cookie = form.get(k);
        assertEquals(cookie.poll(), false, name);
        yield* quiescent();
        assertEquals([cookie.poll(), form.get(k).poll()], [true, false], name);
        yield* cookie.cond();
      }
    });
    assertEquals(verdict.violations, []);
  });
}

Deno.test("tiny: cookies start 300 below zero and go by two, so that none is the completed one", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k) {
    let cookie = get_state_synchronize_rcu(k);
    assertEquals((cookie + 300) % 2, 0);
    for (let i = 0; i < 400; i++) {
      yield* synchronize_rcu(k);
      assertEquals(get_state_synchronize_rcu(k) - cookie, 2);
      assertEquals(poll_state_synchronize_rcu(k, cookie), true);
      cookie = get_state_synchronize_rcu(k);
    }
    assert(cookie > 2, "through zero");
  });
});

Deno.test("tiny: start_poll_synchronize_rcu() from an interrupt on the idle CPU makes it switch, a cookie alone does not", () => {
  for (const form of FORMS) {
    for (const starts of [true, false]) {
      const k = bootForTiny();
      const cookies: Cookie[] = [];
      deviceHandler.set(k, function* (k) {
        cookies.push(starts ? yield* form.start(k) : form.get(k));
      });
      k.cpus[0].pending |= VECTOR_DEVICE;
      assertEquals(k.run(k.cpus[0].clock + 1e9), "idle");
      assertEquals(cookies.map((cookie) => cookie.poll()), [starts]);
    }
  }
});
