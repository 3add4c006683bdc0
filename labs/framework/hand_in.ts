// SPDX-License-Identifier: GPL-2.0-only
/**
 * The header of a starter, and the one file that is handed in.
 *
 * A hand-in is JSON with the text and what it was made for. Invariant: its hash is that of the text, so that a file that
 * was changed on the way is noticed; whether it is worth anything is for `lab grade` to say.
 *
 * @module
 */

import type { LabManifest, Variant } from "../lab.ts";
import { LabError } from "./host.ts";
import { sha256 } from "./sha256.ts";
import { keyOf, keyText, variantText } from "./variants.ts";

/** Lines in front of a starter; the grader takes them off again (submission.ts). */
export function headerOf(
  { id, title, version }: LabManifest,
  student: string | null,
  variant: Variant,
): string {
  const who = student === null ? "" : `// student: ${student}\n`;
  return `// lab: ${id}, ${title}, version ${version}\n${who}// variant: ${variantText(variant)}\n`;
}

/** What is written for a submission. */
export function sealed(
  manifest: LabManifest,
  student: string,
  text: string,
): { content: string; hash: string } {
  const hash = sha256(text);
  const { id, version, file } = manifest;
  const variant = keyText(keyOf(id, student));
  const content = JSON.stringify(
    { quiesce: "submission", lab: id, version, student, variant, hash, file, text },
    null,
    2,
  );
  return { content: content + "\n", hash };
}

/** The text and the student of a file that may be a hand-in or the student's file itself. */
export function openHandIn(content: string, id: string): { text: string; student: string | null } {
  if (!/^\s*\{\s*"quiesce"/.test(content)) return { text: content, student: null };
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(content);
  } catch {
    throw new LabError("this hand-in is damaged: it is not JSON");
  }
  const { lab, student, text, hash } = value;
  if (typeof text !== "string" || typeof student !== "string" || typeof hash !== "string") {
    throw new LabError("this hand-in is damaged: it has no text, no student or no hash");
  }
  if (lab !== id) throw new LabError(`this hand-in is for lab ${String(lab)}, not ${id}`);
  if (sha256(text) !== hash) throw new LabError("this hand-in is damaged: its text does not have its hash");
  return { text, student };
}
