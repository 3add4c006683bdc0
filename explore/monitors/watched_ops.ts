// SPDX-License-Identifier: GPL-2.0-only
/**
 * The waits of RCU's table of functions, with somebody told when they are called and when they return.
 *
 * Invariant: the calls go on as before, point by point; and the frames that lie in between bear a name that call traces
 * and call sites leave out (`next`, kernel/stacktrace.ts), so that reports are the same as well.
 *
 * @module
 */

import type { MaySleep, Sleep, Step } from "../../kernel/machine/effects.ts";
import type { RcuOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { WaitCall, Waits } from "./waits.ts";

/** One call of a wait; what yield* goes through. The call itself is made when it is first resumed. */
class WatchedCall implements Iterator<Step | Sleep, void, void> {
  private inner: Iterator<Step | Sleep, void, void> | null = null;
  private from = 0;

  constructor(
    private readonly k: Kernel,
    private readonly waits: Waits,
    private readonly what: WaitCall,
    private readonly call: (k: Kernel, cookie: number) => Iterator<Step | Sleep, void, void>,
    private readonly cookie: number,
  ) {}

  next(): IteratorResult<Step | Sleep, void> {
    if (this.inner === null) {
      this.from = this.k.seq;
      const { call } = this;
      this.inner = call(this.k, this.cookie);
    }
    const result = this.inner.next();
    if (result.done === true) this.waits.returned(this.what, this.from, this.cookie);
    return result;
  }

  [Symbol.iterator](): this {
    return this;
  }
}

/** `ops`, with `waits` told. */
export function watchedOps(ops: RcuOps, waits: Waits): RcuOps {
  function watched(what: WaitCall): (k: Kernel, cookie?: number) => MaySleep<void> {
    return (k, cookie = 0) => new WatchedCall(k, waits, what, ops[what], cookie) as unknown as MaySleep<void>;
  }
  return {
    ...ops,
    synchronize_rcu: watched("synchronize_rcu"),
    rcu_barrier: watched("rcu_barrier"),
    cond_synchronize_rcu: watched("cond_synchronize_rcu"),
    get_state_synchronize_rcu: (k) => {
      const cookie = ops.get_state_synchronize_rcu(k);
      waits.cookieTaken(cookie);
      return cookie;
    },
  };
}
