// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which labs there are. Files of a lab are read when they are needed; its checks are loaded inside the sandbox.
 *
 * @module
 */

import type { LabModule } from "./lab.ts";

/** The checks of each lab, in the order in which they are taught. */
export const LABS: Readonly<Record<string, () => Promise<{ readonly default: LabModule }>>> = {
  l0: () => import("./l0/lab.ts"),
  l5: () => import("./l5/lab.ts"),
  l9: () => import("./l9/lab.ts"),
};

/** Manifests as the program was loaded with them: for a host that may read no files. */
const MANIFESTS: Readonly<Record<string, () => Promise<{ readonly default: unknown }>>> = {
  l0: () => import("./l0/lab.json", { with: { type: "json" } }),
  l5: () => import("./l5/lab.json", { with: { type: "json" } }),
  l9: () => import("./l9/lab.json", { with: { type: "json" } }),
};

/** Texts of the manifests by path, without those that cannot be loaded. */
export async function loadedManifests(): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const [id, load] of Object.entries(MANIFESTS)) {
    try {
      texts.set(`${id}/lab.json`, JSON.stringify((await load()).default));
    } catch { /* reading the file says what is wrong with it */ }
  }
  return texts;
}
