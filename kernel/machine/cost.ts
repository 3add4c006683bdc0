// SPDX-License-Identifier: GPL-2.0-only
/**
 * What things cost in virtual time. The table is part of the replay token's version: a change here changes every run.
 *
 * A point (a place where other CPUs may run) costs POINT_NS; work without points is added with `charge()`.
 *
 * @module
 */

/** Version of this table; part of every token. */
export const COST_VERSION = 1;

/** One point. */
export const POINT_NS = 50;
/** Clearing one page (rep stosq, a page in about this time). */
export const CLEAR_PAGE_NS = 250;
/** Entering and leaving an interrupt. */
export const IRQ_NS = 500;
/** A context switch: registers, stack, address space stay the same. */
export const SWITCH_NS = 800;
/** From sending an interprocessor interrupt to its arrival. */
export const IPI_NS = 700;
/** The smallest stall; stall n costs STALL_NS * 2^n. */
export const STALL_NS = 250;
