// SPDX-License-Identifier: GPL-2.0-only
// Plays every transcript of this folder and writes it anew; read the difference before it is committed.
//
//   deno run --allow-read --allow-write=tests/transcripts tests/transcripts/update.ts
//
// Ours. Invariant: only `.txt` files of this folder are written.

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
