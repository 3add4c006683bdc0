// SPDX-License-Identifier: GPL-2.0-only
/**
 * Lab L0: boot and look. README.md asks the questions; write the answers into the marked regions.
 *
 * @module
 */

// [student RUN

export const run = {
  /** A1: the name of the thread, such as "reader/1" or "swapper/2". */
  who: "",
  /** A2: [largest order, number of free blocks of that order]. */
  largestFree: [-1, -1],
  /** A3: the name of the cache. */
  cache: "",
  /** A4: the number of the CPU. */
  lastCpu: -1,
  /** A5: how many pointers. */
  pointers: -1,
  /** A6: the number of the event. */
  endOfGp: -1,
  /** A7: the number of the event. */
  stepBack: -1,
  /** A8: how many objects. */
  pending: -1,
};

// student]

// [student LEAK

export const leak = {
  /** A9: bytes, all together. */
  bytes: -1,
  /** A10: what follows the word TOKEN. */
  token: "",
};

// student]
