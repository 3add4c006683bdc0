// SPDX-License-Identifier: GPL-2.0-only
/**
 * Branded numbers: kinds of number that must not be mixed up.
 *
 * Invariant: a brand exists only for the type checker; at run time every value here is a plain double.
 * A branded value is made in one place per kind (addr.ts for addresses, kernel/gfp.ts for GFP flags).
 *
 * @module
 */

declare const brand: unique symbol;

/** `T` marked as kind `B`; assignable to `T`, never from it. */
export type Brand<T, B> = T & { readonly [brand]: B };

/** A kernel virtual address: the low 48 bits of the canonical 64-bit address. */
export type VirtAddr = Brand<number, "VirtAddr">;

/** A byte offset into emulated RAM. */
export type PhysAddr = Brand<number, "PhysAddr">;

/** A page frame number: `PhysAddr` divided by the page size. */
export type Pfn = Brand<number, "Pfn">;

/** A virtual address known to point to an object laid out as `S` (a struct() layout). */
export type Ptr<S> = VirtAddr & { readonly pointee?: S };

/** What local_irq_save() returns and only local_irq_restore() takes. */
export type IrqFlags = Brand<number, "IrqFlags">;
