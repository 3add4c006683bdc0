// SPDX-License-Identifier: GPL-2.0-only
/**
 * What students get of a lab: its folder. Solutions, mutants and hidden seeds are in another one and stay there.
 *
 * @module
 */

import { type Host, LabError } from "./host.ts";
import { sha256 } from "./sha256.ts";

/** Copies the files of labs into `out`, a folder each, and lists them with their hashes. Returns what to say. */
export function pack(host: Host, ids: readonly string[], out: string): string[] {
  const lines: string[] = [];
  const sums: string[] = [];
  const folder = out.replace(/\/+$/, "");
  for (const id of ids) {
    const files = host.labFiles(id);
    for (const file of files) {
      const text = host.labFile(`${id}/${file}`);
      if (text === null) throw new LabError(`labs/${id}/${file} is not there`);
      host.write(`${folder}/${id}/${file}`, text);
      sums.push(`${sha256(text)}  ${id}/${file}`);
    }
    lines.push(`${id}: ${files.length} files in ${folder}/${id}`);
  }
  host.write(`${folder}/SHA256SUMS`, sums.join("\n") + "\n");
  return lines;
}
