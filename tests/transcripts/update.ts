// SPDX-License-Identifier: GPL-2.0-only
// Plays every transcript of this folder and writes it anew; read the difference before it is committed.
//
//   deno run --allow-read --allow-write=tests/transcripts,README.md tests/transcripts/update.ts
//
// Ours. Invariant: only `.txt` files of this folder and the session in README.md are written.

import { withSession } from "./readme.ts";
import { play } from "./transcript.ts";

const folder = new URL("./", import.meta.url);
for (const { name } of Deno.readDirSync(folder)) {
  if (!name.endsWith(".txt")) continue;
  const file = new URL(name, folder);
  const before = Deno.readTextFileSync(file);
  const after = await play(before);
  if (after === before) continue;
  Deno.writeTextFileSync(file, after);
  console.log(`${name}: changed`);
}

const readme = new URL("../../README.md", import.meta.url);
const text = Deno.readTextFileSync(readme);
const updated = await withSession(text);
if (updated !== text) {
  Deno.writeTextFileSync(readme, updated);
  console.log("README.md: changed");
}
