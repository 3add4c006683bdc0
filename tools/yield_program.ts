// SPDX-License-Identifier: GPL-2.0-only
/**
 * A TypeScript program over files in memory: the module resolution of deno.json without Deno and without a disk.
 *
 * Relative imports, the import map and `// @ts-types` comments are followed; npm packages and `node:` modules are not,
 * what comes from them has the type `any`. Library files (`lib.esnext.d.ts`, ...) come from a function.
 *
 * @module
 */

import ts from "./typescript.ts";

/** What a program needs to know about the world outside its files. */
export interface ProgramOptions {
  /** Text of a TypeScript library file such as `lib.es5.d.ts`. */
  lib(name: string): string | undefined;
  /** The first library file. */
  rootLib: string;
  /** Bare specifier → path of a file, from deno.json. */
  imports: Record<string, string>;
}

/** A compiler host over a map: `/path` is a project file, `/lib/...` a library file. */
export function createProgram(
  files: ReadonlyMap<string, string>,
  { lib, rootLib, imports }: ProgramOptions,
): ts.Program {
  const textOf = (path: string): string | undefined =>
    path.startsWith("/lib/") ? lib(path.slice("/lib/".length)) : files.get(path.slice(1));
  const resolve = (specifier: string, from: string): ts.ResolvedModuleFull | undefined => {
    const declared = declaredTypes(textOf(from) ?? "", specifier);
    const target = declared ?? imports[specifier] ?? specifier;
    if (!target.startsWith("./") && !target.startsWith("../")) return undefined;
    const base = target === specifier || target === declared ? from : "/";
    const path = new URL(target, new URL(base, "file:///")).pathname;
    if (!path.endsWith(".ts") || textOf(path) === undefined) return undefined;
    const extension = path.endsWith(".d.ts") ? ts.Extension.Dts : ts.Extension.Ts;
    return { resolvedFileName: path, extension, isExternalLibraryImport: false };
  };
  const host: ts.CompilerHost = {
    getSourceFile: (path, languageVersion) => {
      const text = textOf(path);
      return text === undefined ? undefined : ts.createSourceFile(path, text, languageVersion);
    },
    getDefaultLibFileName: () => "/lib/" + rootLib,
    getDefaultLibLocation: () => "/lib",
    writeFile: () => {},
    getCurrentDirectory: () => "/",
    getCanonicalFileName: (path) => path,
    useCaseSensitiveFileNames: () => true,
    getNewLine: () => "\n",
    fileExists: (path) => textOf(path) !== undefined,
    readFile: textOf,
    directoryExists: () => false,
    getDirectories: () => [],
    resolveModuleNameLiterals: (literals, from) =>
      literals.map(({ text }) => ({ resolvedModule: resolve(text, from) })),
  };
  const config: ts.CompilerOptions = {
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    allowImportingTsExtensions: true,
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    types: [],
  };
  return ts.createProgram({ rootNames: [...files.keys()].map((path) => "/" + path), options: config, host });
}

/** What a `// @ts-types="..."` comment in front of an import or export says its types are. */
function declaredTypes(text: string, specifier: string): string | undefined {
  for (const [, types, from] of text.matchAll(/@ts-types=["']([^"']+)["'][^"']*from\s*["']([^"']+)["']/g)) {
    if (from === specifier) return types;
  }
  return undefined;
}
