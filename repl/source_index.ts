// SPDX-License-Identifier: GPL-2.0-only
// Which declaration of ours stands for which name of Linux, and back: the index behind `src` and `xref`.
//
// Ours. The sources are read where this shell was loaded from, so what is shown is what runs; the tags in their comments
// (@mirrors, @simplified, @invented) and docs/linux-symbols.txt say the rest, as they do for `deno task map`. Built at
// the first question, in well under a second, without a compiler: our formatter puts every declaration at the left edge.
// Invariant: a line number is that of the declaration itself, not of its comment.

import { type Declaration, declarationsOf } from "./level_source.ts";

/** Where files come from. Paths are relative to the root of the project. */
export interface SourceReader {
  /** Every TypeScript file of these folders. Throws when they may not be read. */
  list(folders: readonly string[]): readonly string[];
  /** Undefined when there is no such file. */
  read(path: string): string | undefined;
}

/** One declaration of ours. */
export interface SourceEntry {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  /** `path/in/linux.c:symbol`, as tagged. */
  readonly mirrors: readonly string[];
  /** How it differs from Linux; empty when it says nothing. */
  readonly simplified: string;
  readonly invented: string | undefined;
  /** Comment and code. */
  readonly text: string;
  readonly code: string;
}

/** One name of Linux that is in scope. */
export interface LinuxName {
  readonly path: string;
  readonly symbol: string;
  readonly kind: string;
}

/** A place where a name is used. */
export interface Use {
  readonly file: string;
  readonly line: number;
  /** The declaration that it stands in. */
  readonly within: string;
}

/** Folders that mirror Linux, and those that use them. */
const MIRROR = ["kernel", "mm", "rcu", "init"];
const USERS = ["examples", "explore"];
const SYMBOLS = "docs/linux-symbols.txt";

/** The index. */
export class SourceIndex {
  /** Everything that is declared in the mirror, in the order of files and lines. */
  readonly entries: readonly SourceEntry[];
  readonly linux: readonly LinuxName[];
  private readonly reader: SourceReader;
  private readonly texts = new Map<string, string>();
  private readonly invented = new Map<string, string>();
  private users: SourceEntry[] | undefined;

  constructor(reader: SourceReader) {
    this.reader = reader;
    this.entries = reader.list(MIRROR).flatMap((file) => this.entriesOf(file));
    this.linux = symbolsOf(reader.read(SYMBOLS) ?? "");
  }

  /** Ours that stand for a name of Linux or have that name, the mirrored ones first. */
  find(name: string): SourceEntry[] {
    const found = this.entries.filter((entry) =>
      entry.name === name || entry.mirrors.some((tag) => tag.endsWith(`:${name}`))
    );
    if (found.length > 0) return found;
    return this.entries.filter((entry) => entry.name === `trace_${name}`);
  }

  /** The names of Linux that a declaration stands for: by its tags, or else by its own name. */
  linuxOf(entry: SourceEntry): LinuxName[] {
    if (entry.mirrors.length > 0) {
      return entry.mirrors.map((tag) => {
        const [path, symbol] = tag.split(":");
        return {
          path,
          symbol,
          kind: this.linux.find((s) => s.path === path && s.symbol === symbol)?.kind ?? "",
        };
      });
    }
    if (this.inventedReason(entry) !== undefined) return [];
    return this.linux.filter(({ symbol }) => symbol === entry.name);
  }

  /** Why Linux has no such thing: by the declaration's own tag, or by that of its file. */
  inventedReason(entry: SourceEntry): string | undefined {
    return entry.invented ?? this.invented.get(entry.file);
  }

  /** All names that can be asked for. */
  names(): string[] {
    return [...new Set([...this.entries.map(({ name }) => name), ...this.linux.map(({ symbol }) => symbol)])];
  }

  /** Where a name of ours is used, outside of its own declaration, of comments and of imports. */
  uses(name: string): Use[] {
    this.users ??= this.reader.list(USERS).flatMap((file) => this.entriesOf(file));
    const word = new RegExp(`(?<![\\w.$])${name}(?![\\w$]|\\??:)`); // neither a member nor the name of a field
    const uses: Use[] = [];
    for (const { name: within, file, line, code } of [...this.entries, ...this.users]) {
      if (within === name || !code.includes(name)) continue;
      for (const [i, text] of code.split("\n").entries()) {
        if (word.test(codeOf(text))) uses.push({ file, line: line + i, within });
      }
    }
    return uses;
  }

  private entriesOf(file: string): SourceEntry[] {
    const text = this.reader.read(file) ?? "";
    this.texts.set(file, text);
    const head = /^(?:\/\/.*\n|\s)*(\/\*\*[\s\S]*?\*\/)/.exec(text)?.[1] ?? "";
    const { invented } = tagsOf(head);
    if (invented !== undefined && /@module/.test(head)) this.invented.set(file, invented);
    return [...declarationsOf(text).values()].map((declaration) => entryOf(file, declaration));
  }
}

/** A line without its comment and without what stands in quotes. */
function codeOf(line: string): string {
  return line.replace(/"(?:[^"\\]|\\.)*"/g, '""').replace(/\/\/.*/, "");
}

function entryOf(file: string, { name, text, code, line }: Declaration): SourceEntry {
  const comment = text.slice(0, text.length - code.length);
  return { name, file, line, text, code, ...tagsOf(comment) };
}

/** The claims of a comment. */
export function tagsOf(comment: string): Pick<SourceEntry, "mirrors" | "simplified" | "invented"> {
  const text = comment.replace(/^\/\*\*|\*\/\s*$/g, "").replace(/^[ \t]*\*[ \t]?/gm, "");
  const mirrors: string[] = [];
  const simplified: string[] = [];
  let invented: string | undefined;
  for (const [, tag, body] of text.matchAll(/@(mirrors|simplified|invented)\b([\s\S]*?)(?=\s@[a-z]+\b|$)/g)) {
    const reason = body.replace(/\*\//g, "").trim().replace(/\s+/g, " ");
    if (tag === "simplified") simplified.push(reason);
    else if (tag === "invented") invented = reason;
    else mirrors.push(...[...reason.matchAll(/[\w./+-]+\.[chS]:\w+(?:\.\w+)*/g)].map(([it]) => it));
  }
  return { mirrors, simplified: simplified.join("; "), invented };
}

function symbolsOf(text: string): LinuxName[] {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
    const [path, symbol, kind] = line.split("\t");
    return { path, symbol, kind };
  });
}

/** Reads the project's own files by the host. */
export class OwnSources implements SourceReader {
  private readonly root = new URL("../", import.meta.url);

  /** Every TypeScript file of these folders, in order. */
  list(folders: readonly string[]): readonly string[] {
    const files: string[] = [];
    const visit = (folder: string): void => {
      const entries = [...Deno.readDirSync(new URL(folder, this.root))].sort((a, b) =>
        a.name < b.name ? -1 : 1
      );
      for (const { name, isDirectory } of entries) {
        if (isDirectory) visit(`${folder}${name}/`);
        else if (name.endsWith(".ts")) files.push(folder + name);
      }
    };
    for (const folder of folders) visit(`${folder}/`);
    return files;
  }

  /** A file's text. */
  read(path: string): string | undefined {
    try {
      return Deno.readTextFileSync(new URL(path, this.root));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }
}
