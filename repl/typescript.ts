// SPDX-License-Identifier: GPL-2.0-only
// Evaluates TypeScript line by line: names declared on one line are there on the next.
//
// Ours. The user's code (after rewrite.ts) is the body of a strict async function inside `with (scope)`: a name
// that the function does not declare itself is looked up in the session's scope and then among the globals, so
// closures of an earlier line see later assignments, two shells in one process share nothing, and a typing error
// in an assignment is an error instead of a new global. `with` costs about 40 ns per such look-up (measured), and
// nothing for names local to a function. No permission is needed, and nothing of the host is given or taken away.
// Invariants: `_` is the value of the last expression and `_error` what was last thrown; every error leaves as
// one `SourceError` (syntax, status 2) or `ScriptError` (thrown, status 1) with its place.
// Left out: checking of types, which would need the compiler (seconds, not milliseconds).

import { inputName, lineOfInput } from "./inputs.ts";
import { rewrite, SETTLE } from "./rewrite.ts";
import { headline, isA, OutputClosed, ShellError, stackOf, STATUS, UsageError } from "./status.ts";

/** What the user's code threw. */
export class ScriptError extends ShellError {
  override name = "ScriptError";
  /** Line in the text that was evaluated, from 0, if it was there that the error was made. */
  readonly line: number | undefined;

  constructor(thrown: unknown, line: number | undefined) {
    super(STATUS.failed, headline(thrown));
    this.cause = thrown;
    this.line = line;
  }
}

/** The value of a piece of code; `hasValue` is false when it does not end in an expression. */
export interface Evaluated {
  readonly value: unknown;
  readonly hasValue: boolean;
}

type Compiled = (scope: Record<string, unknown>, settle: unknown) => Promise<[unknown] | undefined>;

/** The engine has the last word on syntax: it refuses a little that the parser lets pass. */
function compile(code: string, source: string): Compiled {
  try {
    return new Function(
      "scope",
      SETTLE,
      `with (scope) return (async function () { "use strict";\n${code}\n})();\n//# sourceURL=${source}`,
    ) as Compiled;
  } catch (error) {
    throw new UsageError(headline(error));
  }
}

/** Evaluates text in a scope, keeping what it declares there. */
export class Evaluator {
  private readonly scope: Record<string, unknown>;
  private readonly carriedOut: (value: unknown) => value is PromiseLike<unknown>;
  private inputs = 0;

  /** `carriedOut` says which values of calls are waited for: those of kernel functions, in a kernel session. */
  constructor(scope: Record<string, unknown>, carriedOut: (value: unknown) => value is PromiseLike<unknown>) {
    this.scope = scope;
    this.carriedOut = carriedOut;
  }

  /** The value of a call in a box, so that only what is carried out is waited for, and no other promise. */
  private readonly settleCall = (value: unknown): [unknown] | PromiseLike<[unknown]> =>
    this.carriedOut(value) ? value.then((settled) => [settled]) : [value];

  /** Evaluates one piece. Throws `SourceError` or {@linkcode ScriptError}. */
  async evaluate(text: string): Promise<Evaluated> {
    const { code, names } = await rewrite(text);
    for (const name of names) if (!(name in this.scope)) this.scope[name] = undefined;
    const source = inputName(++this.inputs);
    const run = compile(code, source);
    try {
      const result = await run(this.scope, this.settleCall);
      if (result === undefined) return { value: undefined, hasValue: false };
      this.scope._ = result[0];
      return { value: result[0], hasValue: true };
    } catch (error) {
      throw this.thrown(error, source);
    }
  }

  /** Waits for a value that the session works out, in place of the last one. Throws {@linkcode ScriptError}. */
  async settle(value: Promise<unknown>): Promise<Evaluated> {
    try {
      const settled = await value;
      this.scope._ = settled;
      return { value: settled, hasValue: true };
    } catch (error) {
      throw this.thrown(error, inputName(this.inputs));
    }
  }

  private thrown(error: unknown, source: string): unknown {
    if (isA(error, OutputClosed)) return error;
    this.scope._error = error;
    if (isA(error, ShellError)) return error;
    const line = lineOfInput(stackOf(error), source);
    return new ScriptError(error, line === undefined ? undefined : line - 1);
  }
}
