// SPDX-License-Identifier: GPL-2.0-only
// "Did you mean": the nearest of some names, by edit distance with swapped neighbours counted once.
//
// Ours. Invariant: only a near name is offered (a third of its letters may differ, two for short names), or one
// that the word is the beginning of; a wild guess is worse than none.

/** Edit distance between two words: insert, delete, replace, swap neighbours. */
export function distance(a: string, b: string): number {
  let before: number[] = [];
  let last: number[] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.length];
}

/** The nearest of `names`, or undefined when none is near. */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  const lower = word.toLowerCase();
  let best: string | undefined;
  let least = Infinity;
  for (const name of names) {
    const d = name.startsWith(lower) && lower.length > 1 ? 0.5 : distance(lower, name.toLowerCase());
    const allowed = Math.max(word.length <= 2 ? 1 : 2, Math.floor(name.length / 3));
    if (d <= allowed && d < least) [best, least] = [name, d];
  }
  return best;
}

/** `. Did you mean X?`, or nothing, to follow a message; `show` puts the name into its form. */
export function didYouMean(
  word: string,
  names: Iterable<string>,
  show: (name: string) => string = (name) => name,
): string {
  const name = nearest(word, names);
  return name === undefined ? "" : `. Did you mean ${show(name)}?`;
}
