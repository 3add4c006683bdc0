// SPDX-License-Identifier: GPL-2.0-only
/**
 * drivers/ipack/carriers/tpci200.c: a carrier board with slots for modules. The board's interrupt handler looks under
 * rcu_read_lock() which handler the module in a slot has registered, and calls it. tpci200_free_irq() takes it out.
 *
 * Lesson: a conversion that would be wrong, and was not made. "No interrupt handler runs any more" is what every driver
 * expects of a free_irq(): it frees what the handler works with. Here nothing but synchronize_rcu() makes it true. The
 * slot_irq itself is safe with kvfree_rcu(): it is all the rest that is not.
 *
 * Look at: `--variant after` ends in a use after free in ipoctal_irq_handler, freed by ipoctal_remove; `before` is quiet.
 * With one CPU `after` is quiet too: the interrupt is over before the driver goes on.
 *
 *     deno run examples/callers/tpci200_free_irq.ts --variant before
 *     deno run examples/callers/tpci200_free_irq.ts --variant after --kasan
 */

import {
  type Atomic,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kzalloc,
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
  RCU_INIT_POINTER,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  synchronize_rcu,
  u32,
  udelay,
  type VirtAddr,
} from "../../mod.ts";
import { deviceHandler } from "../../kernel/entry.ts";
import { EINVAL, ENOMEM } from "../../kernel/errno.ts";
import { functionAt, ksym } from "../../kernel/kallsyms.ts";
import { VECTOR_DEVICE } from "../../kernel/machine/cpu.ts";
import { runExample } from "../run_example.ts";
import { freeHeadless, headlessNeeds, KEPT_VARIANT } from "./headless.ts";

const slot_irq = struct("slot_irq", { handler: ptr, arg: ptr });
const TPCI200_NB_SLOT = 4;
type irq_handler = (k: Kernel, arg: VirtAddr) => Atomic<void>;

/** The board: its slots, and the registers that its interrupt handler reads. */
interface Board {
  readonly slots: VirtAddr; // pointers to slot_irq, __rcu
  readonly mutex: mutex;
  status: number; // which slots want attention, a bit each
  control: number; // which slots may interrupt
}

function slot({ slots }: Board, i: number): Ptr<Ptr<typeof slot_irq>> {
  return (slots + i * ptr.size) as VirtAddr as Ptr<Ptr<typeof slot_irq>>;
}

/** The board interrupts: every slot that wants attention has its handler called, all in one section. */
function* tpci200_interrupt(k: Kernel, tpci200: Board): Atomic<void> {
  const status_reg = tpci200.status & tpci200.control;
  yield* rcu_read_lock(k);
  for (let i = 0; i < TPCI200_NB_SLOT; i++) {
    if ((status_reg & (1 << i)) === 0) continue;
    const p = yield* rcu_dereference(k, slot(tpci200, i));
    if (p === NULL) tpci200.control &= ~(1 << i); // nobody wants it: silence the slot
    else {
      const { handler, arg } = slot_irq.at(k, p);
      yield* (functionAt(k, handler) as irq_handler)(k, arg);
    }
  }
  yield* rcu_read_unlock(k);
}

function* tpci200_request_irq(
  k: Kernel,
  tpci200: Board,
  i: number,
  handler: irq_handler,
  arg: VirtAddr,
): MaySleep<number> {
  const p = (yield* kzalloc(k, slot_irq.size, GFP_KERNEL)) as Ptr<typeof slot_irq>;
  if (p === NULL) return -ENOMEM;
  Object.assign(slot_irq.at(k, p), { handler: ksym(k, handler), arg });
  yield* mutex_lock(k, tpci200.mutex);
  yield* rcu_assign_pointer(k, slot(tpci200, i), p);
  tpci200.control |= 1 << i;
  mutex_unlock(k, tpci200.mutex);
  return 0;
}

function* tpci200_free_irq(k: Kernel, tpci200: Board, i: number, variant: string): MaySleep<number> {
  yield* mutex_lock(k, tpci200.mutex);
  const p = rcu_dereference_protected(k, slot(tpci200, i));
  if (p === NULL) {
    mutex_unlock(k, tpci200.mutex);
    return -EINVAL;
  }
  tpci200.control &= ~(1 << i);
  RCU_INIT_POINTER(k, slot(tpci200, i), NULL as VirtAddr as Ptr<typeof slot_irq>);
  if (variant === "before") {
    yield* synchronize_rcu(k); // also: the handler has returned, wherever it ran
    yield* kfree(k, p);
  } else yield* freeHeadless(k, p);
  mutex_unlock(k, tpci200.mutex);
  return 0;
}

/** A module with serial ports, and its driver's data. */
const ipoctal = struct("ipoctal", { received: u32 });
const CHARACTERS = 16;

/** Empties the receive FIFO, a character every 20 us. */
function* ipoctal_irq_handler(k: Kernel, arg: VirtAddr): Atomic<void> {
  for (let i = 0; i < CHARACTERS; i++) {
    ipoctal.f.received.set(k, arg, ipoctal.f.received.get(k, arg) + 1);
    yield* udelay(k, 20);
  }
}

/** The driver lets go of the module: no interrupts any more, then its data. */
function* ipoctal_remove(k: Kernel, tpci200: Board, data: VirtAddr, variant: string): MaySleep<void> {
  yield* tpci200_free_irq(k, tpci200, 0, variant);
  yield* kfree(k, data);
}

export const tpci200Scenario: Scenario = {
  name: "tpci200_free_irq",
  summary: "a driver takes its interrupt handler out and frees its data: a wait that is not for the kfree",
  options: [KEPT_VARIANT],
  needs: headlessNeeds,
  *main(k: Kernel, { variant }: OptionValues): MaySleep<void> {
    const tpci200: Board = {
      slots: k.dataAlloc(TPCI200_NB_SLOT * ptr.size),
      mutex: new mutex("tpci200->mutex"),
      status: 0,
      control: 0,
    };
    const data = yield* kzalloc(k, ipoctal.size, GFP_KERNEL);
    if (data === NULL) return;
    deviceHandler.set(k, (k) => tpci200_interrupt(k, tpci200));
    yield* tpci200_request_irq(k, tpci200, 0, ipoctal_irq_handler, data);
    yield* msleep(k, 1);

    tpci200.status = 1; // characters have come; the interrupt goes to another CPU than ours
    k.sendIpi(k.cpus[(k.cpu.id + 1) % k.config.cpus], VECTOR_DEVICE);
    yield* udelay(k, 100);
    yield* ipoctal_remove(k, tpci200, data, variant);
    yield* msleep(k, 1);
    deviceHandler.set(k, null);
  },
};

export default tpci200Scenario;

if (import.meta.main) runExample(tpci200Scenario);
