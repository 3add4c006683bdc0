// SPDX-License-Identifier: GPL-2.0-only
/**
 * The waits of RCU's table of functions, with somebody told when they are called and when they return.
 *
 * Invariant: the calls go on as before, point by point; and the frames that lie in between bear a name that call traces
 * and call sites leave out (`next`, kernel/stacktrace.ts), so that reports are the same as well.
 *
 * @module
 */

import type { Atomic, MaySleep, Sleep, Step } from "../../kernel/machine/effects.ts";
import type { RcuOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { WaitCall, Waits } from "./waits.ts";

/** What yield* goes through. */
type Steps<T> = Iterator<Step | Sleep, T, void>;

/** One call of a wait. The call itself is made when it is first resumed. */
class WatchedCall<T, A> implements Steps<T> {
  private inner: Steps<T> | null = null;
  private from = 0;

  constructor(
    private readonly k: Kernel,
    private readonly call: (k: Kernel, arg: A) => Steps<T>,
    private readonly arg: A,
    private readonly returned: (from: number, value: T) => void,
  ) {}

  next(): IteratorResult<Step | Sleep, T> {
    if (this.inner === null) {
      this.from = this.k.seq;
      const { call } = this;
      this.inner = call(this.k, this.arg);
    }
    const result = this.inner.next();
    if (result.done === true) this.returned(this.from, result.value);
    return result;
  }

  [Symbol.iterator](): this {
    return this;
  }
}

function watched<T, A>(
  k: Kernel,
  call: (k: Kernel, arg: A) => Steps<T>,
  arg: A,
  returned: (from: number, value: T) => void,
): Atomic<T> {
  return new WatchedCall(k, call, arg, returned) as unknown as Atomic<T>;
}

/** `ops`, with `waits` told. */
export function watchedOps(ops: RcuOps, waits: Waits): RcuOps {
  function wait(what: WaitCall): (k: Kernel) => MaySleep<void> {
    return (k) => watched(k, ops[what], null, (from) => waits.returned(what, from));
  }
  return {
    ...ops,
    synchronize_rcu: wait("synchronize_rcu"),
    rcu_barrier: wait("rcu_barrier"),
    ...watchedPolling(ops, waits),
    ...watchedFullPolling(ops, waits),
  };
}

function watchedPolling(ops: RcuOps, waits: Waits): Partial<RcuOps> {
  return {
    get_state_synchronize_rcu: (k) => {
      const cookie = ops.get_state_synchronize_rcu(k);
      waits.cookieTaken(cookie, k.seq);
      return cookie;
    },
    start_poll_synchronize_rcu: (k) =>
      watched(k, ops.start_poll_synchronize_rcu, null, (from, cookie) => waits.cookieTaken(cookie, from)),
    poll_state_synchronize_rcu: (k, oldstate) => {
      const done = ops.poll_state_synchronize_rcu(k, oldstate);
      if (done) waits.cookieDone("poll_state_synchronize_rcu", oldstate);
      return done;
    },
    cond_synchronize_rcu: (k, oldstate) =>
      watched(
        k,
        ops.cond_synchronize_rcu,
        oldstate,
        () => waits.cookieDone("cond_synchronize_rcu", oldstate),
      ),
  };
}

function watchedFullPolling(ops: RcuOps, waits: Waits): Partial<RcuOps> {
  return {
    get_state_synchronize_rcu_full: (k, rgosp) => {
      ops.get_state_synchronize_rcu_full(k, rgosp);
      waits.fullCookieTaken(rgosp, k.seq);
    },
    start_poll_synchronize_rcu_full: (k, rgosp) =>
      watched(
        k,
        ops.start_poll_synchronize_rcu_full,
        rgosp,
        (from) => waits.fullCookieTaken(rgosp, from),
      ),
    poll_state_synchronize_rcu_full: (k, rgosp) => {
      const done = ops.poll_state_synchronize_rcu_full(k, rgosp);
      if (done) waits.fullCookieDone("poll_state_synchronize_rcu_full", rgosp);
      return done;
    },
    cond_synchronize_rcu_full: (k, rgosp) =>
      watched(
        k,
        ops.cond_synchronize_rcu_full,
        rgosp,
        () => waits.fullCookieDone("cond_synchronize_rcu_full", rgosp),
      ),
  };
}
