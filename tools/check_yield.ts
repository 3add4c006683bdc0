// SPDX-License-Identifier: GPL-2.0-only
/**
 * The type-aware check for generators that are never run. (`deno task yield`)
 *
 * A call to an `Atomic` or `MaySleep` function does nothing until `yield*` drives it, and the shared finished iterator
 * of `done()` is worse: the lock is taken, nothing waits. Both compile. This check asks TypeScript for the type of every
 * expression and refuses a generator that is
 *
 *   - dropped (an expression statement), or used as a condition, an operand or a piece of text;
 *   - stored in something that does not say that it holds a generator, and never run or handed on;
 *   - passed where `unknown` or a bare type parameter is expected (`assert(f(k))` holds always);
 *   - returned by a function that stands where `() => void` is expected;
 *
 * and, because it has the types at hand, two operators that lose meaning: `GFP_A | GFP_B` (flags combine by `gfp()`,
 * which keeps the brand) and a 32-bit operator on an address. The sibling rule in tools/lint_plugin.ts sees names only,
 * but runs in the editor.
 *
 * `checkYield()` is pure: files in, findings out; its tests need no permission. It reports no type errors, `deno check`
 * does.
 *
 * @module
 */

import ts, { type Finding, findingAt } from "./typescript.ts";
import { readTree, report } from "./files.ts";
import { createProgram, type ProgramOptions } from "./yield_program.ts";

/** All findings in `files` (path relative to the project root → text). */
export function checkYield(files: ReadonlyMap<string, string>, options: ProgramOptions): Finding[] {
  const program = createProgram(files, options);
  const check = new Checker(program.getTypeChecker());
  for (const path of files.keys()) {
    const source = program.getSourceFile("/" + path);
    if (source !== undefined) check.file(source);
  }
  return check.findings.map((it) => ({ ...it, file: it.file.slice(1) }));
}

// ---- the check ---------------------------------------------------------------------------------------------------

const YIELD = "the generator does nothing without yield*";

/** Iterators of the language's own collections; they are not steps of the machine. */
const BUILT_IN_ITERATOR = /^(Array|Map|Set|String|RegExpString|Builtin|Segment)?Iterator(Object)?$/;

class Checker {
  readonly findings: Finding[] = [];
  private readonly generators = new Map<ts.Type, boolean>();
  private readonly voids = new Map<ts.Type, boolean>();
  private readonly brands = new Map<ts.Type, string>();

  constructor(private readonly types: ts.TypeChecker) {}

  file(source: ts.SourceFile): void {
    const visit = (node: ts.Node): void => {
      this.node(node);
      ts.forEachChild(node, visit);
    };
    visit(source);
  }

  private add(node: ts.Node, what: string): void {
    this.findings.push(findingAt(node, what));
  }

  private node(node: ts.Node): void {
    if (ts.isExpressionStatement(node)) this.dropped(node.expression);
    else if (ts.isVoidExpression(node)) this.dropped(node.expression);
    else if (ts.isIfStatement(node) || ts.isWhileStatement(node) || ts.isDoStatement(node)) {
      this.tested(node.expression);
    } else if (ts.isForStatement(node)) {
      this.dropped(node.initializer);
      this.tested(node.condition);
      this.dropped(node.incrementor);
    } else if (ts.isSwitchStatement(node)) this.tested(node.expression);
    else if (ts.isCaseClause(node)) this.tested(node.expression);
    else if (ts.isConditionalExpression(node)) this.tested(node.condition);
    else if (ts.isPrefixUnaryExpression(node)) this.tested(node.operand);
    else if (ts.isTemplateSpan(node)) this.tested(node.expression);
    else if (ts.isThrowStatement(node)) this.tested(node.expression);
    else if (ts.isBinaryExpression(node)) this.binary(node);
    else if (ts.isVariableDeclaration(node)) this.stored(node);
    else if (ts.isCallExpression(node) || ts.isNewExpression(node)) this.passed(node);
    else if (ts.isClassLike(node)) this.overrides(node);
    this.standsFor(node);
  }

  // -- kinds of type --

  /** True when every non-null part of the type is a generator, and there is no null part unless `nullable`. */
  private isGenerator(type: ts.Type, nullable: boolean): boolean {
    if (type.isUnion()) {
      const parts = type.types.filter((part) =>
        (part.flags & (ts.TypeFlags.Null | ts.TypeFlags.Undefined)) === 0
      );
      if (!nullable && parts.length < type.types.length) return false;
      return parts.some((part) => this.isGenerator(part, nullable));
    }
    const known = this.generators.get(type);
    if (known !== undefined) return known;
    const answer = this.looksLikeGenerator(type);
    this.generators.set(type, answer);
    return answer;
  }

  private looksLikeGenerator(type: ts.Type): boolean {
    if (type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.Never)) return false;
    const apparent = this.types.getApparentType(type);
    if (apparent.getProperty("next") === undefined) return false;
    if (BUILT_IN_ITERATOR.test(apparent.symbol?.name ?? "")) return false;
    return apparent.getProperties().some(({ escapedName }) => String(escapedName).startsWith("__@iterator"));
  }

  /** The second argument of `Brand<T, B>`, "" for a type without a brand. */
  private brandOf(type: ts.Type): string {
    const known = this.brands.get(type);
    if (known !== undefined) return known;
    let name = "";
    const mark = type.isIntersection() || type.isUnion()
      ? type.getProperties().find(({ escapedName }) => String(escapedName).startsWith("__@brand"))
      : undefined;
    if (mark !== undefined) {
      const literals = this.types.getTypeOfSymbol(mark);
      name = literals.isUnion() ? literals.types.map(literalText).join("|") : literalText(literals);
    }
    this.brands.set(type, name);
    return name;
  }

  /** Is it a generator, or maybe one? */
  private yields(expression: ts.Expression): boolean {
    return this.isGenerator(this.types.getTypeAtLocation(expression), true);
  }

  // -- dropped, tested, combined --

  private dropped(expression: ts.ForInitializer | undefined): void {
    if (expression === undefined || ts.isVariableDeclarationList(expression)) return;
    const inner = bare(expression);
    if (ts.isBinaryExpression(inner)) {
      const operator = inner.operatorToken.kind;
      if (isAssignment(operator)) return; // `binary()` looks at it
      if (operator === ts.SyntaxKind.CommaToken) {
        this.dropped(inner.left);
        return this.dropped(inner.right);
      }
      if (isLogical(operator)) return this.dropped(inner.right);
    }
    if (ts.isConditionalExpression(inner)) {
      this.dropped(inner.whenTrue);
      return this.dropped(inner.whenFalse);
    }
    if (ts.isYieldExpression(inner) || ts.isVoidExpression(inner)) return;
    // `stack.pop()` drops a generator that somebody else runs; `hook?.()` drops one that it made.
    const nullable = ts.isOptionalChain(inner);
    if (this.isGenerator(this.types.getTypeAtLocation(inner), nullable)) {
      this.add(inner, `value dropped: ${YIELD}`);
    }
  }

  /** Where a generator is always true, or not a number. A nullable one may be compared with null. */
  private tested(expression: ts.Expression | undefined): void {
    // Only calls: a generator in a variable was reported, or declared, where it was stored.
    if (expression === undefined || !ts.isCallExpression(bare(expression))) return;
    if (this.isGenerator(this.types.getTypeAtLocation(expression), false)) {
      this.add(expression, `used as a value: ${YIELD}`);
    }
  }

  private binary(node: ts.BinaryExpression): void {
    const operator = node.operatorToken.kind;
    if (operator === ts.SyntaxKind.EqualsToken) return this.assigned(node);
    if (operator === ts.SyntaxKind.CommaToken || operator === ts.SyntaxKind.InKeyword) return;
    if (operator === ts.SyntaxKind.InstanceOfKeyword) return;
    this.tested(node.left);
    if (!isLogical(operator)) this.tested(node.right);
    if (is32Bit(operator)) this.bits(node);
  }

  private bits(node: ts.BinaryExpression): void {
    const operator = node.operatorToken.getText();
    const left = this.brandOf(this.types.getTypeAtLocation(node.left));
    const right = this.brandOf(this.types.getTypeAtLocation(node.right));
    if (/gfp/i.test(left) && /gfp/i.test(right) && /[|^]/.test(operator)) {
      this.add(node, `\`${operator}\` loses the brand of GFP flags: combine them with gfp(a, b)`);
    }
    const path = node.getSourceFile().fileName;
    if (path === "/kernel/machine/addr.ts" || path === "/kernel/machine/ram.ts") return;
    const address = [left, right].find((brand) => /VirtAddr/.test(brand));
    if (address !== undefined) {
      this.add(node, `\`${operator}\` truncates an address to 32 bits: use kernel/machine/addr.ts`);
    }
  }

  // -- stored --

  /** `target = call()`: legal when the target is declared to hold generators. */
  private assigned(node: ts.BinaryExpression): void {
    const value = bare(node.right);
    if (!ts.isCallExpression(value) || !this.yields(value)) return;
    if (ts.isArrayLiteralExpression(node.left) || ts.isObjectLiteralExpression(node.left)) {
      return this.add(value, `taken apart: ${YIELD}`);
    }
    // A variable without a declared type takes the type of what is stored, so only its uses can tell.
    const symbol = this.types.getSymbolAtLocation(node.left);
    const declared = symbol?.valueDeclaration;
    if (declared !== undefined && ts.isVariableDeclaration(declared) && declared.type === undefined) {
      if (!this.isRun(declared)) this.add(value, `stored and never run: ${YIELD}`);
      return;
    }
    const target = symbol === undefined
      ? this.types.getTypeAtLocation(node.left)
      : this.types.getTypeOfSymbol(symbol);
    if (!this.isGenerator(target, true)) this.add(value, `stored: ${YIELD}`);
  }

  private stored(node: ts.VariableDeclaration): void {
    if (node.initializer === undefined) return;
    const value = bare(node.initializer);
    if (!ts.isCallExpression(value) && !ts.isConditionalExpression(value)) return;
    if (!this.yields(value)) return;
    if (!ts.isIdentifier(node.name)) return this.add(value, `taken apart: ${YIELD}`);
    if (node.type !== undefined) {
      if (!this.isGenerator(this.types.getTypeFromTypeNode(node.type), true)) {
        this.add(value, `stored: ${YIELD}`);
      }
    } else if (!this.isRun(node)) this.add(value, `stored and never run: ${YIELD}`);
  }

  /** Is a variable that holds a generator ever driven, returned or handed to somebody who takes generators? */
  private isRun(declaration: ts.VariableDeclaration): boolean {
    const name = declaration.name;
    if (!ts.isIdentifier(name)) return false;
    const symbol = this.types.getSymbolAtLocation(name);
    let scope: ts.Node = declaration;
    while (!ts.isFunctionLike(scope) && !ts.isSourceFile(scope)) scope = scope.parent;
    let run = false;
    const visit = (node: ts.Node): void => {
      if (run) return;
      if (ts.isIdentifier(node) && node.text === name.text && node !== name) {
        const isIt = ts.isShorthandPropertyAssignment(node.parent) ||
          this.types.getSymbolAtLocation(node) === symbol;
        if (isIt && this.isUse(node)) run = true;
      }
      ts.forEachChild(node, visit);
    };
    visit(scope);
    return run;
  }

  private isUse(node: ts.Identifier): boolean {
    let child: ts.Node = node;
    let parent = node.parent;
    while (
      ts.isParenthesizedExpression(parent) || ts.isAsExpression(parent) || ts.isNonNullExpression(parent)
    ) {
      child = parent;
      parent = parent.parent;
    }
    if (ts.isYieldExpression(parent)) return parent.asteriskToken !== undefined;
    if (ts.isPropertyAccessExpression(parent)) return parent.expression === child; // it.next(), it.return()
    if (ts.isForOfStatement(parent) || ts.isSpreadElement(parent)) return true;
    if (ts.isReturnStatement(parent) || ts.isArrowFunction(parent)) return true;
    if (ts.isArrayLiteralExpression(parent) || ts.isPropertyAssignment(parent)) return true;
    if (ts.isShorthandPropertyAssignment(parent)) return true;
    if (ts.isBinaryExpression(parent)) {
      return parent.operatorToken.kind === ts.SyntaxKind.EqualsToken && parent.right === child;
    }
    if (ts.isVariableDeclaration(parent)) return parent.initializer === child;
    if (ts.isCallExpression(parent) || ts.isNewExpression(parent)) return parent.expression !== child;
    return false;
  }

  // -- passed --

  private passed(call: ts.CallExpression | ts.NewExpression): void {
    for (const [index, argument] of (call.arguments ?? []).entries()) {
      const value = bare(argument);
      if (!ts.isCallExpression(value) || !this.yields(value)) continue;
      const parameter = this.vagueParameter(call, index);
      if (parameter !== undefined) this.add(value, `passed as ${parameter}: ${YIELD}`);
    }
  }

  /** The declared type of a parameter when it says nothing about what it takes: `unknown`, `any`, a bare `T`. */
  private vagueParameter(call: ts.CallExpression | ts.NewExpression, index: number): string | undefined {
    const declaration = this.types.getResolvedSignature(call)?.declaration;
    // An unresolved callee has no parameters to look at; `deno check` knows whether it exists.
    if (declaration === undefined || ts.isJSDocSignature(declaration)) return undefined;
    const parameters = declaration.parameters;
    const parameter = parameters[Math.min(index, parameters.length - 1)];
    if (parameter === undefined) return undefined;
    let type = this.types.getTypeAtLocation(parameter);
    if (parameter.dotDotDotToken !== undefined) {
      type = this.types.getIndexTypeOfType(type, ts.IndexKind.Number) ?? type;
    }
    // The `T` of `Array<T>` was chosen when the array was made; the `T` of a generic function takes anything.
    const own = type.symbol?.declarations?.some((it) => it.parent === declaration) ?? false;
    const anything = ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.NonPrimitive;
    const vague = (type.flags & anything) !== 0 || ((type.flags & ts.TypeFlags.TypeParameter) !== 0 && own);
    return vague && !this.isGenerator(type, true) ? this.types.typeToString(type) : undefined;
  }

  // -- a generator function where `() => void` is expected --

  /** Expressions that have an expected type: arguments, initialisers, right-hand sides, properties, results. */
  private standsFor(node: ts.Node): void {
    if (ts.isShorthandPropertyAssignment(node)) {
      return this.member(node, this.types.getTypeAtLocation(node.name));
    }
    if (ts.isMethodDeclaration(node) && ts.isObjectLiteralExpression(node.parent)) {
      return this.member(node, this.types.getTypeAtLocation(node));
    }
    if (!ts.isExpression(node) || !hasExpectation(node) || ts.isLiteralExpression(node)) return;
    const expected = this.types.getContextualType(node);
    if (expected === undefined || !this.takesVoid(expected)) return;
    const actual = this.types.getTypeAtLocation(node);
    if (actual === expected) return;
    if (this.dropsResult(actual, expected)) return this.add(node, GIVEN_VOID);
    // A whole table: `k.rcu = tree_rcu_ops`. Literals are looked at property by property.
    if (ts.isObjectLiteralExpression(node) || ts.isArrayLiteralExpression(node)) return;
    const name = this.droppingMember(actual, expected);
    if (name !== undefined) this.add(node, `member ${name}: ${GIVEN_VOID}`);
  }

  /** Does anything fit here that returns nothing: a function, or a table with one in it? */
  private takesVoid(expected: ts.Type): boolean {
    const known = this.voids.get(expected);
    if (known !== undefined) return known;
    const returnsVoid = (type: ts.Type): boolean =>
      this.types.getNonNullableType(type).getCallSignatures()
        .some((it) => (it.getReturnType().flags & ts.TypeFlags.Void) !== 0);
    const answer = returnsVoid(expected) || ((expected.flags & ts.TypeFlags.Object) !== 0 &&
      expected.getProperties().some((it) => returnsVoid(this.types.getTypeOfSymbol(it))));
    this.voids.set(expected, answer);
    return answer;
  }

  private member(node: ts.ShorthandPropertyAssignment | ts.MethodDeclaration, actual: ts.Type): void {
    const literal = node.parent;
    if (!ts.isObjectLiteralExpression(literal)) return;
    const name = node.name;
    if (!ts.isIdentifier(name) && !ts.isStringLiteral(name)) return;
    const expected = this.types.getContextualType(literal)?.getProperty(name.text);
    if (expected === undefined) return;
    if (this.dropsResult(actual, this.types.getTypeOfSymbol(expected))) this.add(node, GIVEN_VOID);
  }

  /** Classes: a method that overrides or implements one that returns nothing. */
  private overrides(node: ts.ClassLikeDeclaration): void {
    for (const clause of node.heritageClauses ?? []) {
      for (const base of clause.types) {
        const expected = this.types.getTypeAtLocation(base);
        for (const element of node.members) {
          if (element.name === undefined || !ts.isIdentifier(element.name)) continue;
          const wanted = expected.getProperty(element.name.text);
          if (wanted === undefined) continue;
          const actual = this.types.getTypeAtLocation(element);
          if (this.dropsResult(actual, this.types.getTypeOfSymbol(wanted))) this.add(element, GIVEN_VOID);
        }
      }
    }
  }

  private dropsResult(actual: ts.Type, expected: ts.Type): boolean {
    const wanted = this.types.getNonNullableType(expected).getCallSignatures();
    if (wanted.length === 0) return false;
    if (!wanted.every((it) => (it.getReturnType().flags & ts.TypeFlags.Void) !== 0)) return false;
    return this.types.getNonNullableType(actual).getCallSignatures()
      .some((it) => this.isGenerator(it.getReturnType(), true));
  }

  private droppingMember(actual: ts.Type, expected: ts.Type): string | undefined {
    if ((actual.flags & ts.TypeFlags.Object) === 0 || (expected.flags & ts.TypeFlags.Object) === 0) {
      return undefined;
    }
    if (this.types.isArrayType(expected)) return undefined;
    for (const wanted of expected.getProperties()) {
      const given = actual.getProperty(wanted.name);
      if (given === undefined || given === wanted) continue;
      if (this.dropsResult(this.types.getTypeOfSymbol(given), this.types.getTypeOfSymbol(wanted))) {
        return wanted.name;
      }
    }
    return undefined;
  }
}

const GIVEN_VOID = "a function that returns a generator stands where () => void is expected: nobody runs it";

function literalText(type: ts.Type): string {
  return type.isStringLiteral() ? type.value : "";
}

/** Without parentheses, casts and `!`. */
function bare(expression: ts.Expression): ts.Expression {
  let inner = expression;
  while (
    ts.isParenthesizedExpression(inner) || ts.isAsExpression(inner) || ts.isNonNullExpression(inner) ||
    ts.isSatisfiesExpression(inner) || ts.isTypeAssertionExpression(inner)
  ) inner = inner.expression;
  return inner;
}

function isLogical(operator: ts.SyntaxKind): boolean {
  return operator === ts.SyntaxKind.AmpersandAmpersandToken || operator === ts.SyntaxKind.BarBarToken ||
    operator === ts.SyntaxKind.QuestionQuestionToken;
}

const BITS = new Set<ts.SyntaxKind>([
  ts.SyntaxKind.BarToken,
  ts.SyntaxKind.AmpersandToken,
  ts.SyntaxKind.CaretToken,
  ts.SyntaxKind.LessThanLessThanToken,
  ts.SyntaxKind.GreaterThanGreaterThanToken,
  ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken,
  ts.SyntaxKind.BarEqualsToken,
  ts.SyntaxKind.AmpersandEqualsToken,
  ts.SyntaxKind.CaretEqualsToken,
  ts.SyntaxKind.LessThanLessThanEqualsToken,
  ts.SyntaxKind.GreaterThanGreaterThanEqualsToken,
  ts.SyntaxKind.GreaterThanGreaterThanGreaterThanEqualsToken,
]);

function isAssignment(operator: ts.SyntaxKind): boolean {
  return operator >= ts.SyntaxKind.FirstAssignment && operator <= ts.SyntaxKind.LastAssignment;
}

function is32Bit(operator: ts.SyntaxKind): boolean {
  return BITS.has(operator);
}

/** Places where TypeScript compares an expression with an expected type. */
function hasExpectation(node: ts.Expression): boolean {
  const parent = node.parent;
  if (ts.isCallExpression(parent) || ts.isNewExpression(parent)) return parent.expression !== node;
  if (ts.isVariableDeclaration(parent) || ts.isPropertyDeclaration(parent) || ts.isParameter(parent)) {
    return parent.initializer === node;
  }
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isBinaryExpression(parent)) {
    return parent.right === node && isAssignment(parent.operatorToken.kind);
  }
  return ts.isReturnStatement(parent) || ts.isArrayLiteralExpression(parent) || ts.isArrowFunction(parent) ||
    ts.isConditionalExpression(parent) && parent.condition !== node || ts.isSatisfiesExpression(parent);
}

// ---- the command -------------------------------------------------------------------------------------------------

/** Where generators are made and used. */
export const CHECKED: readonly string[] = [
  "kernel",
  "mm",
  "rcu",
  "init",
  "explore",
  "examples",
  "labs",
  "repl",
  "tests",
  "bench",
  "deps",
  "mod.ts",
];

function main(): void {
  const libraries = import.meta.resolve("typescript").replace(/[^/]*$/, "");
  const files = readTree(CHECKED);
  const config = JSON.parse(Deno.readTextFileSync(new URL("../deno.json", import.meta.url)));
  const findings = checkYield(files, {
    lib: (name) => {
      try {
        return Deno.readTextFileSync(new URL(name, libraries));
      } catch {
        return undefined;
      }
    },
    rootLib: "lib.esnext.d.ts",
    imports: config.imports,
  });
  if (!report("yield", `${files.size} files`, findings)) Deno.exit(1);
}

if (import.meta.main) main();
