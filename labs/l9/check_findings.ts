// SPDX-License-Identifier: GPL-2.0-only
/**
 * Checks of what a student found: exposed (X), minimal (M), classified and told (C), for each site.
 *
 * Invariant: a site without a difference gives its points to who says "clean", and none to who accuses it; an accusation
 * of it also takes a third of what the other sites give for being exposed.
 *
 * @module
 */

import { failed as failedBy } from "../framework/evidence.ts";
import type { Check, CheckContext, Outcome } from "../lab.ts";
import type { Site } from "./deal.ts";
import {
  confirm,
  type Confirmed,
  differenceOf,
  falselyAccused,
  type Finding,
  findingOf,
} from "./findings.ts";
import { evidence, type Played } from "./play.ts";

/** What a false accusation leaves of the points for what was exposed elsewhere. */
const AFTER_FALSE_ACCUSATION = 2 / 3;

function failed(cause: string, token: string | null, played: Played | null, credit?: number): Outcome {
  return failedBy(evidence(cause, token, played), credit);
}

/** What is common to the three: the outcome of who says nothing, of a clean site, or of a token that exposes nothing. */
function examine(
  { submission, variant, execution }: CheckContext,
  site: Site,
): { outcome: Outcome } | { finding: Finding; confirmed: Confirmed } {
  const finding = findingOf(submission, variant, site);
  if (typeof finding === "string") return { outcome: failed(finding, null, null) };
  if (finding.verdict === "unknown") return { outcome: failed(`${site}: no verdict was given`, null, null) };
  const clean = differenceOf(variant, site) === null;
  if (finding.verdict === "clean") {
    if (clean) return { outcome: { state: "PASS", note: `${site} is as it should be` } };
    return { outcome: failed(`${site} is said to be clean, and is not`, null, null) };
  }
  const confirmed = confirm(finding, variant, site, execution);
  if ("why" in confirmed) {
    const { why, played } = confirmed;
    const cause = `${site} is accused (${finding.verdict}), and its token does not show it: ${why}`;
    return { outcome: failed(cause, played === null ? null : finding.token, played) };
  }
  return { finding, confirmed };
}

/** X: the token exposes what is wrong with the site. */
export function exposed(site: Site): Check {
  return (context) => {
    const examined = examine(context, site);
    if ("outcome" in examined) return examined.outcome;
    const { finding, confirmed } = examined;
    const innocent = falselyAccused(context.submission, context.variant);
    if (innocent.length > 0) {
      const cause = `${site} is exposed, but ${innocent.join(", ")} is accused and has nothing`;
      return failed(cause, finding.token, confirmed.played, AFTER_FALSE_ACCUSATION);
    }
    return { state: "PASS", note: confirmed.played.failure ?? "" };
  };
}

/** M: with no more stalls, faults and grows than needed. */
export function minimal(site: Site): Check {
  return (context) => {
    const examined = examine(context, site);
    if ("outcome" in examined) return examined.outcome;
    const { finding, confirmed } = examined;
    const par = differenceOf(context.variant, site)?.par ?? 0;
    if (confirmed.size <= par) return { state: "PASS", note: `size ${confirmed.size}` };
    const cause =
      `the token of ${site} has ${confirmed.size} stalls, faults and further grows; ${par} are enough`;
    return failed(cause, finding.token, confirmed.played, confirmed.size === par + 1 ? 0.5 : 0);
  };
}

/** C: the class, and the story of the object, from the student's own run. */
export function classified(site: Site): Check {
  return (context) => {
    const examined = examine(context, site);
    if ("outcome" in examined) return examined.outcome;
    const { finding, confirmed } = examined;
    if (finding.verdict !== confirmed.class) {
      const cause = `${site} is called a ${finding.verdict}; the run of its token ends otherwise: ` +
        `${confirmed.played.failure}`;
      return failed(cause, finding.token, confirmed.played);
    }
    const wrong = wrongIn(finding, confirmed);
    if (wrong === null) return { state: "PASS" };
    const cause = `the class of ${site} is right; of the story of its run this is not: ${wrong}`;
    return failed(cause, finding.token, confirmed.played, 0.5);
  };
}

/** Which facts no story of the run has; of several stories the one that is nearest to what was said counts. */
function wrongIn(finding: Finding, { stories }: Confirmed): string | null {
  const facts = ["event", "who", "bytes", "freedBy"] as const;
  let least: string[] = [...facts];
  for (const story of stories) {
    const wrong = facts.filter((fact) => story[fact] !== finding[fact]);
    if (wrong.length < least.length) least = wrong;
  }
  return least.length === 0 ? null : least.join(", ");
}
