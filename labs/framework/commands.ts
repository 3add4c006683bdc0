// SPDX-License-Identifier: GPL-2.0-only
/**
 * `lab ...`: what `deno task lab` and the shell's `lab` both do.
 *
 * Invariants: a command yields lines and returns a status, 0 when it was done, 1 when a check failed, 4 when a check's
 * budget ran out; a mistake is one line and 2. The same words on the same files give the same lines.
 *
 * @module
 */

import type { LabManifest } from "../lab.ts";
import { type GradeOptions, type GradeReport, jobOf, type Mode, reportOf } from "./grade.ts";
import { type Host, LabError, STATUS, type Status } from "./host.ts";
import { ManifestError, parseManifest } from "./manifest.ts";
import { pack } from "./pack.ts";
import { type Format, FORMATS, formatted, reportLines } from "./results.ts";
import { SandboxFault } from "./sandbox.ts";
import { headerOf, openHandIn, sealed } from "./hand_in.ts";
import { studentOf } from "./submission.ts";
import { keyOf, keyText, variantText } from "./variants.ts";

export const USAGE = `lab list                         which labs there are
lab start ID [--dir D] [--student KEY]
                                 put the starter there, with your variant
lab check ID [--file F] [--student KEY]
                                 check the public properties
lab hint ID [PROPERTY [N]]       the first N hints
lab grade ID --student KEY [--file F] [--out O] [--key FILE]
          [--format text|json|gradescope|junit]
                                 all properties, the grader's seeds
lab submit ID [--file F] [--student KEY] [--out O]
                                 make the one file that is handed in
lab pack ID|--all --out D        the files for students, nothing of the instructor's`;

/** Words of a command. */
interface Words {
  readonly args: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

interface Sub {
  readonly least: number;
  readonly most: number;
  readonly options: readonly string[];
  readonly flags?: readonly string[];
  run(host: Host, words: Words): AsyncGenerator<string, Status, void>;
}

const SUBS: Readonly<Record<string, Sub>> = {
  list: { least: 0, most: 0, options: [], run: list },
  start: { least: 1, most: 1, options: ["dir", "student"], run: start },
  check: {
    least: 1,
    most: 1,
    options: ["file", "student"],
    run: (host, words) => judge(host, words, "check"),
  },
  hint: { least: 1, most: 3, options: [], run: hint },
  grade: {
    least: 1,
    most: 1,
    options: ["student", "file", "out", "format", "key"],
    run: (host, words) => judge(host, words, "grade"),
  },
  submit: { least: 1, most: 1, options: ["file", "student", "out"], run: submit },
  pack: { least: 0, most: 1, options: ["out"], flags: ["all"], run: packLabs },
};

/** Names of the commands. */
export const SUB_NAMES: readonly string[] = Object.keys(SUBS);

/** Options of a command, with dashes. */
export function optionsOf(name: string): string[] {
  const sub = Object.hasOwn(SUBS, name) ? SUBS[name] : undefined;
  return [...sub?.options ?? [], ...sub?.flags ?? []].map((option) => `--${option}`);
}

/** Carries out `lab WORDS`. Throws LabError. */
export async function* runLab(words: readonly string[], host: Host): AsyncGenerator<string, Status, void> {
  const [name, ...rest] = words;
  if (name === undefined || name === "help" || name === "--help") {
    yield* USAGE.split("\n");
    return name === undefined ? STATUS.usage : STATUS.ok;
  }
  if (!Object.hasOwn(SUBS, name)) {
    throw new LabError(`lab: no command "${name}" (${SUB_NAMES.join(", ")})${nearest(name, SUB_NAMES)}`);
  }
  const sub = SUBS[name];
  const parsed = parseWords(name, sub, rest);
  try {
    return yield* sub.run(host, parsed);
  } catch (error) {
    if (error instanceof ManifestError) throw new LabError(error.message);
    if (error instanceof SandboxFault) throw new LabError(`our own fault: ${error.message}`, STATUS.fault);
    throw error;
  }
}

function parseWords(name: string, sub: Sub, words: readonly string[]): Words {
  const args: string[] = [];
  const options = new Map<string, string>();
  for (let i = 0; i < words.length; i++) {
    const [, option, joined] = /^--([a-z]+)(?:=(.*))?$/s.exec(words[i]) ?? [];
    if (option === undefined) {
      args.push(words[i]);
      continue;
    }
    if (sub.flags?.includes(option) === true) options.set(option, "");
    else if (sub.options.includes(option)) {
      const value = joined ?? words[++i];
      if (value === undefined || value === "") throw new LabError(`lab ${name}: --${option} needs a value`);
      options.set(option, value);
    } else {
      const known = optionsOf(name);
      const allowed = known.length === 0 ? "it has none" : known.join(", ");
      throw new LabError(`lab ${name}: no option --${option} (${allowed})`);
    }
  }
  if (args.length < sub.least) throw new LabError(`lab ${name}: which lab? lab list shows them`);
  if (args.length > sub.most) throw new LabError(`lab ${name}: one word too many: "${args[sub.most]}"`);
  return { args, options };
}

function manifestOf(host: Host, id: string): LabManifest {
  if (!host.labs.includes(id)) {
    throw new LabError(`lab: no lab "${id}" (${host.labs.join(", ")})${nearest(id, host.labs)}`);
  }
  const manifest = parseManifest(labText(host, `${id}/lab.json`), `labs/${id}/lab.json`);
  if (manifest.id !== id) throw new LabError(`labs/${id}/lab.json: its id is "${manifest.id}"`);
  return manifest;
}

function labText(host: Host, path: string): string {
  const text = host.labFile(path);
  if (text === null) throw new LabError(`labs/${path} is not there`);
  return text;
}

async function* list(host: Host): AsyncGenerator<string, Status, void> {
  for (const id of host.labs) {
    const { title, hours, summary, properties } = await Promise.resolve(manifestOf(host, id));
    yield `${id.padEnd(4)} ${title} (${properties.length} properties, about ${hours} h)`;
    yield `     ${summary}`;
  }
  return STATUS.ok;
}

async function* start(host: Host, { args: [id], options }: Words): AsyncGenerator<string, Status, void> {
  const manifest = manifestOf(host, id);
  const student = options.get("student") ?? null;
  checkStudent(student);
  const path = inFolder(options.get("dir"), manifest.file);
  if (host.exists(path)) throw new LabError(`lab start: "${path}" is there already; it stays as it is`);
  const starter = labText(host, `${id}/start.ts`);
  // A job without checks: the lab says what the variant is.
  const { variant } = await host.run({ ...jobOf(manifest, "", { key: keyOf(id, student) }), ids: [] });
  host.write(path, headerOf(manifest, student, variant) + starter);
  yield `wrote ${path}`;
  yield student === null ? "the variant of the hand-out; yours: --student KEY" : `variant of ${student}:`;
  yield `  ${variantText(variant)}`;
  yield `read labs/${id}/README.md; check what you have: lab check ${id}`;
  return STATUS.ok;
}

async function* judge(
  host: Host,
  { args: [id], options }: Words,
  mode: Mode,
): AsyncGenerator<string, Status, void> {
  const manifest = manifestOf(host, id);
  const format = formatOf(options.get("format"));
  const out = options.get("out");
  const path = options.get("file") ?? manifest.file;
  const handIn = openHandIn(host.read(path), id);
  const student = options.get("student") ?? handIn.student ?? studentOf(handIn.text);
  checkStudent(student);
  if (mode === "grade" && student === null) throw new LabError("lab grade: whose is it? --student KEY");
  const keyFile = options.get("key");
  const key = keyFile === undefined ? null : host.read(keyFile).trim();
  if (key === "") throw new LabError(`lab grade: "${keyFile}" is empty: a key is expected`);
  if (out !== undefined) host.mustWrite(out);
  const hidden = mode === "grade" ? hiddenSeeds(host, id) : undefined;
  const grading: GradeOptions = {
    mode,
    student,
    key: keyOf(id, student),
    starter: labText(host, `${id}/start.ts`),
    ...(hidden === undefined ? {} : { seeds: hidden }),
  };
  const job = jobOf(manifest, handIn.text, grading);
  const report = reportOf(job, await host.run(job), handIn.text, grading);
  if (out !== undefined) {
    host.write(out, formatted(report, format, key));
    yield `${manifest.id}: ${report.score} of ${report.max} points, written to ${out}`;
  } else if (format === "text" && key === null) yield* reportLines(report);
  else yield* formatted(report, format, key).trimEnd().split("\n");
  return mode === "grade" ? STATUS.ok : statusOf(report);
}

function statusOf({ properties }: GradeReport): Status {
  if (properties.some(({ outcome }) => outcome.state === "FAIL")) return STATUS.failed;
  if (properties.some(({ outcome }) => outcome.state === "INCONCLUSIVE")) return STATUS.inconclusive;
  return STATUS.ok;
}

/** Seeds of the instructor's files, if they are there. */
function hiddenSeeds(host: Host, id: string): number[] | undefined {
  const path = `instructor/${id}/hidden.json`;
  const text = host.labFile(path);
  if (text === null) return undefined;
  let seeds: unknown;
  try {
    seeds = (JSON.parse(text) as { seeds?: unknown }).seeds;
  } catch {
    throw new LabError(`labs/${path}: not JSON`);
  }
  if (
    !Array.isArray(seeds) || seeds.length === 0 || !seeds.every((it) => Number.isSafeInteger(it) && it >= 0)
  ) {
    throw new LabError(`labs/${path}: "seeds" has to be a list of whole numbers`);
  }
  return seeds;
}

async function* hint(host: Host, { args: [id, property, n] }: Words): AsyncGenerator<string, Status, void> {
  const { properties, hints } = await Promise.resolve(manifestOf(host, id));
  if (property === undefined) {
    for (const it of properties) {
      const count = hints[it.id]?.length ?? 0;
      yield `${it.id.padEnd(4)} ${it.title}${
        count === 0 ? "" : ` (${count} ${count === 1 ? "hint" : "hints"})`
      }`;
    }
    return STATUS.ok;
  }
  const wanted = property.toUpperCase();
  const ids = properties.map((it) => it.id);
  if (!ids.some((it) => it.toUpperCase() === wanted)) {
    throw new LabError(`lab hint: ${id} has no property "${property}" (${ids.join(", ")})`);
  }
  const all = hints[ids.find((it) => it.toUpperCase() === wanted) ?? ""] ?? [];
  const count = n === undefined ? 1 : Number(n);
  if (!Number.isSafeInteger(count) || count < 1) throw new LabError(`lab hint: "${n}": how many? 1 or more`);
  if (all.length === 0) yield `${property}: no hints`;
  for (const [i, text] of all.slice(0, count).entries()) yield `${i + 1}. ${text}`;
  if (all.length > count) yield `${all.length - count} more: lab hint ${id} ${property} ${count + 1}`;
  return STATUS.ok;
}

async function* submit(host: Host, { args: [id], options }: Words): AsyncGenerator<string, Status, void> {
  const manifest = await Promise.resolve(manifestOf(host, id));
  const text = host.read(options.get("file") ?? manifest.file);
  const student = options.get("student") ?? studentOf(text);
  checkStudent(student);
  if (student === null) throw new LabError("lab submit: whose is it? --student KEY");
  const out = options.get("out") ?? `${id}-${student}.json`;
  const { notices } = jobOf(manifest, text, { starter: labText(host, `${id}/start.ts`) }).prepared;
  const file = sealed(manifest, student, text);
  host.write(out, file.content);
  for (const notice of notices) yield `! ${notice}`;
  yield `wrote ${out}: ${id}, version ${manifest.version}, student ${student}, variant ${
    keyText(keyOf(id, student))
  }`;
  yield `submission ${file.hash}`;
  return STATUS.ok;
}

async function* packLabs(host: Host, { args: [id], options }: Words): AsyncGenerator<string, Status, void> {
  const out = options.get("out");
  if (out === undefined) throw new LabError("lab pack: where to? --out D");
  if ((id === undefined) !== options.has("all")) throw new LabError("lab pack: one lab, or --all");
  const ids = id === undefined ? host.labs : [id];
  for (const it of ids) manifestOf(host, it);
  yield* await Promise.resolve(pack(host, ids, out));
  return STATUS.ok;
}

function formatOf(text: string | undefined): Format {
  const format = FORMATS.find((it) => it === (text ?? FORMATS[0]));
  if (format === undefined) throw new LabError(`lab grade: no format "${text}" (${FORMATS.join(", ")})`);
  return format;
}

function checkStudent(student: string | null): void {
  if (student === null || /^[\w.@-]{1,64}$/.test(student)) return;
  throw new LabError(`lab: "${student}" is no student key: letters, digits and . _ @ - only`);
}

function inFolder(folder: string | undefined, file: string): string {
  return folder === undefined ? file : `${folder.replace(/\/$/, "")}/${file}`;
}

/** `; did you mean "grade"?` when a name begins alike or differs in one letter. */
function nearest(name: string, names: readonly string[]): string {
  const close = names.find((it) => it.startsWith(name.slice(0, 2)) || distance(it, name) <= 1);
  return close === undefined || name.length === 0 ? "" : `; did you mean "${close}"?`;
}

function distance(a: string, b: string): number {
  if (a.length === b.length) return [...a].filter((letter, i) => letter !== b[i]).length;
  return Math.abs(a.length - b.length) === 1 && (a.includes(b) || b.includes(a)) ? 1 : 9;
}
