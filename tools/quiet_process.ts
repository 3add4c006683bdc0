// SPDX-License-Identifier: GPL-2.0-only
/**
 * Makes the TypeScript package believe that it runs in a browser.
 *
 * On a server it reads the environment and the file system while it loads, which needs permissions that a bare
 * `deno test` does not have. Our tools hand it the files themselves, so it needs neither. Imported before the package,
 * by tools/typescript.ts only.
 *
 * @module
 */

import process from "node:process";

Object.assign(process, { browser: true });
