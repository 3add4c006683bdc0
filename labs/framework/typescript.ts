// SPDX-License-Identifier: GPL-2.0-only
/**
 * The TypeScript compiler API, loaded without any permission. Only the grader's own side imports it, never the sandbox.
 *
 * @module
 */

import "./quiet_process.ts";
import ts from "typescript";

export default ts;
