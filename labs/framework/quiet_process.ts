// SPDX-License-Identifier: GPL-2.0-only
/**
 * Makes the TypeScript package believe that it runs in a browser, so that loading it needs no permission.
 *
 * The same as tools/quiet_process.ts, which no lab may import.
 *
 * @module
 */

import process from "node:process";

Object.assign(process, { browser: true });
