// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a student says of each site, and what of it the machine confirms.
 *
 * A token is played again on the given program, and once more with that site as it should be: a failure that stays has
 * nothing to do with the site. Invariant: a finding is judged from these two runs.
 *
 * @module
 */

import { decodeToken, type FailRule, type TokenContent } from "../../mod.ts";
import type { Variant } from "../lab.ts";
import { CLEAR_ACTION, FAIL_ACTION, ruleFromOptions } from "../../explore/workbench.ts";
import { scheduleOf } from "../../explore/token.ts";
import { checkOptions, type OptionValues } from "../../explore/scenario.ts";
import { dealOf, type Site, SITES } from "./deal.ts";
import { CLASSES, type Difference, type FaultClass } from "./differences.ts";
import { type Parts, partsWith } from "./parts.ts";
import { type Play, play, type Played, storiesOf, type Story } from "./play.ts";
import { nothingSeen, resizeScenario, type Seen } from "./program.ts";
import { givenParts, givenScenario } from "./resize.ts";

/** What a student says of a site. */
export interface Finding extends Story {
  /** "unknown", "clean", or a class. */
  readonly verdict: string;
  readonly token: string;
}

/** Most stalls that a token may have. */
export const MOST_STALLS = 3;
const MOST_CPUS = 8;
const MOST_MEM = 256 * 2 ** 20;

/** The number of a variant. */
export function numberOf(variant: Variant): number {
  return Number(variant.variant);
}

/** The difference of a site, null where there is none. */
export function differenceOf(variant: Variant, site: Site): Difference | null {
  return dealOf(numberOf(variant))[site];
}

/** The finding for a site: an object, or made from the variant by a function. A text says what is wrong with it. */
export function findingOf(
  submission: Readonly<Record<string, unknown>>,
  variant: Variant,
  site: Site,
): Finding | string {
  const { findings } = submission;
  const all: unknown = typeof findings === "function" ? findings(variant) : findings;
  const found = typeof all === "object" && all !== null ? (all as Record<string, unknown>)[site] : undefined;
  if (typeof found !== "object" || found === null) return `findings.${site} is missing`;
  const { verdict, token, event, who, bytes, freedBy } = found as Record<string, unknown>;
  if (typeof verdict !== "string" || ![...CLASSES, "clean", "unknown"].includes(verdict)) {
    return `findings.${site}.verdict must be one of clean, unknown, ${CLASSES.join(", ")}`;
  }
  return {
    verdict,
    token: String(token ?? ""),
    event: Number(event ?? 0),
    who: String(who ?? ""),
    bytes: Number(bytes ?? 0),
    freedBy: String(freedBy ?? ""),
  };
}

/** Sites that are accused and have nothing. */
export function falselyAccused(submission: Readonly<Record<string, unknown>>, variant: Variant): Site[] {
  return SITES.filter((site) => {
    if (differenceOf(variant, site) !== null) return false;
    const finding = findingOf(submission, variant, site);
    return typeof finding === "object" && finding.verdict !== "clean" && finding.verdict !== "unknown";
  });
}

/** A token that can be played: its machine, its faults, its options. */
export interface Wanted {
  readonly content: TokenContent;
  readonly faults: readonly FailRule[];
  readonly options: OptionValues;
}

/** Reads a token; a text says why it is none for this site. */
export function readToken(token: string, variant: Variant, site: Site): Wanted | string {
  const text = token.trim().replace(/^TOKEN\s+/, "");
  if (text === "") return "there is no token";
  let content: TokenContent;
  try {
    content = decodeToken(text);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const { config, runs } = content;
  if (config.cpus > MOST_CPUS || config.memBytes > MOST_MEM) {
    return `its machine is too large: ${MOST_CPUS} CPUs and 256M are the most`;
  }
  const faults = runs.filter(({ name }) => name === FAIL_ACTION).map(({ options }) =>
    ruleFromOptions(options)
  );
  const programs = runs.filter(({ name }) => name !== FAIL_ACTION);
  if (programs.some(({ name }) => name === CLEAR_ACTION)) {
    return "it clears faults: arm only those that count";
  }
  if (programs.length !== 1) {
    return `it runs ${programs.length} programs: one run of the resize program is wanted`;
  }
  const [{ name, options: given }] = programs;
  if (!/(^|\/)resize\.ts$/.test(name)) return `it runs ${name}: the resize program is wanted`;
  try {
    const options = checkOptions(givenScenario(), given);
    if (Number(options.variant) !== numberOf(variant)) return `it runs variant ${options.variant}, not yours`;
    if (options.site !== site) {
      return `it runs --site ${options.site}: with --site ${site} it says something of ${site}`;
    }
    return { content, faults, options };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Plays what a token says, with these parts at its site. */
export function playToken(
  { content, faults, options }: Wanted,
  partsOf: (site: Site, options: OptionValues) => Parts,
  seen: Seen = nothingSeen(),
  sites = false,
): Played {
  const { config, deviations } = content;
  const { variant: _, ...own } = options;
  const what: Play = {
    config,
    schedule: scheduleOf(config, deviations),
    scenario: resizeScenario((site) => partsOf(site, options), [], seen),
    options: own,
    faults,
  };
  return play(what, sites);
}

/** What is confirmed of an accusation. */
export interface Confirmed {
  readonly wanted: Wanted;
  readonly played: Played;
  readonly class: FaultClass;
  /** Stalls, faults, and grows beyond the first. */
  readonly size: number;
  readonly stories: readonly Story[];
}

/** Plays the token of a finding. A text says why it does not expose anything. */
export function confirm(
  finding: Finding,
  variant: Variant,
  site: Site,
  execution: () => void,
): Confirmed | { readonly why: string; readonly played: Played | null } {
  const difference = differenceOf(variant, site);
  const wanted = readToken(finding.token, variant, site);
  if (typeof wanted === "string") return { why: wanted, played: null };
  const seen = nothingSeen();
  execution();
  const played = playToken(wanted, givenParts, seen, true);
  if (played.classes.size === 0) {
    const why = played.failure === null
      ? "the run that it names ends well: nothing is leaked, and what is pending is freed in the end"
      : `the run that it names shows no fault of a class: ${played.failure}`;
    return { why, played };
  }
  execution();
  const proper = playToken(wanted, () => partsWith());
  if (difference === null || [...proper.classes].some((what) => played.classes.has(what))) {
    return {
      why: "the same run fails also with the site as it should be: it is the machine, not the site",
      played,
    };
  }
  if (!played.classes.has(difference.class)) {
    return { why: "what the run shows is not what is wrong with the site", played };
  }
  if (played.stalls > MOST_STALLS) {
    return {
      why: `it has ${played.stalls} stalls, and ${MOST_STALLS} are the most (explore --minimise)`,
      played,
    };
  }
  const size = played.stalls + wanted.faults.length + Number(wanted.options.grows) - 1;
  return {
    wanted,
    played,
    class: difference.class,
    size,
    stories: storiesOf(played, difference.class, seen),
  };
}
