// SPDX-License-Identifier: GPL-2.0-only
/**
 * Error numbers. Mirrors include/uapi/asm-generic/errno-base.h and errno.h (v5.7): the ones used here.
 *
 * Functions return them negated, as in C.
 *
 * @module
 */

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const ENXIO = 6;
export const EAGAIN = 11;
export const EWOULDBLOCK = EAGAIN;
export const ENOMEM = 12;
export const EBUSY = 16;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENOSPC = 28;
export const ENOSYS = 38;
export const ETIME = 62;
export const ETIMEDOUT = 110;
