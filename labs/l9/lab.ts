// SPDX-License-Identifier: GPL-2.0-only
/**
 * L9, leak hunt: four copies of ext4_kvfree_array_rcu() and what is around it, three of them wrong.
 *
 * Invariant: the variant is a number; which site has what follows from it inside (deal.ts), and is printed nowhere.
 *
 * @module
 */

import type { Check, LabModule, Variant } from "../lab.ts";
import { classified, exposed, minimal } from "./check_findings.ts";
import { fixed, H1, W1, W2, W3 } from "./check_fixes.ts";
import { SITES, VARIANTS } from "./deal.ts";

const SITE_CHECKS = { X: exposed, M: minimal, C: classified, F: fixed } as const;

/** `X1` to `F4`, by site. */
function siteChecks(): Record<string, Check> {
  const checks: Record<string, Check> = {};
  SITES.forEach((site, i) => {
    for (const [letter, check] of Object.entries(SITE_CHECKS)) checks[`${letter}${i + 1}`] = check(site);
  });
  return checks;
}

const lab: LabModule = {
  id: "l9",
  variant(key: number): Variant {
    return { variant: key % VARIANTS };
  },
  checks: { ...siteChecks(), W1, W2, W3, H1 },
};

export default lab;
