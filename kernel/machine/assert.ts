// SPDX-License-Identifier: GPL-2.0-only
/**
 * Assertions on the emulator itself. They are always on.
 *
 * A failed assertion is our own fault, never the emulated kernel's: the shell ends with status 5 and shows the token.
 *
 * @module
 */

/** Thrown when an invariant of the emulator does not hold. */
export class EmulatorFault extends Error {
  override readonly name: string = "EmulatorFault";
}

/** Throws `EmulatorFault` with `message` unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new EmulatorFault(message);
}

/** Marks a place that cannot be reached; the compiler checks that `value` has no type left. */
export function unreachable(value: never): never {
  throw new EmulatorFault(`unreachable: ${String(value)}`);
}
