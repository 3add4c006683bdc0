// SPDX-License-Identifier: GPL-2.0-only
/**
 * Turns a student's TypeScript into JavaScript that counts its own steps.
 *
 * What is inserted calls the guest (guest.ts): at the head of every loop and function, in every `catch`, at operands of
 * `+`, at spreads, and wherever a name is used that means something outside of the file. Invariants: nothing in the
 * output can run for ever, or grow, between two such calls; the file's own meaning does not change.
 *
 * Left out: `o?.join()` and the like, where a part of a chain would have to be skipped; they are refused.
 *
 * @module
 */

import { DEFINE_NAME, ERROR_NAME, GUEST_NAME, SPECIAL } from "./names.ts";
import { checkSource, type Finding, lineOf, nameText } from "./scope.ts";
import { generatedLines } from "./source_map.ts";
import ts from "./typescript.ts";

/** A file that can be loaded. */
export interface Instrumented {
  /** The body of a function of `exports`, `require`, the guest and the globals. */
  readonly code: string;
  /** The line of the source, from 1, behind each line of the code. */
  readonly lines: readonly number[];
}

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.CommonJS,
  strict: true,
  isolatedModules: true,
  removeComments: true,
  sourceMap: true,
};

/** What TypeScript puts in front; the mark is for other loaders, and there is no `defineProperty` for it to call. */
const MODULE_MARK = 'Object.defineProperty(exports, "__esModule", { value: true });';

/** How TypeScript exports what was imported; the file itself cannot say `exports`. */
const DEFINE = "Object.defineProperty(exports, ";

/** What is wrong with a text, or what it becomes. `offered` are the names that it may import from "quiesce". */
export function instrument(text: string, offered: readonly string[]): Instrumented | readonly Finding[] {
  const source = ts.createSourceFile("submission.ts", text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.TS);
  const { parseDiagnostics } = source as unknown as { parseDiagnostics: readonly ts.Diagnostic[] };
  if (parseDiagnostics.length > 0) return parseDiagnostics.slice(0, 3).map((it) => findingOf(source, it));
  const refused = [...checkSource(source, offered)];
  if (refused.length > 0) return refused;
  const { outputText, diagnostics = [], sourceMapText = "" } = ts.transpileModule(text, {
    compilerOptions: OPTIONS,
    fileName: "submission.ts",
    reportDiagnostics: true,
    transformers: { before: [(context) => (file) => transform(file, context, refused)] },
  });
  const errors = diagnostics.filter((it) => it.category === ts.DiagnosticCategory.Error);
  if (errors.length > 0) return errors.slice(0, 3).map((it) => findingOf(source, it));
  if (refused.length > 0) return refused;
  return {
    code: outputText.replace(MODULE_MARK, "").replaceAll(DEFINE, () => `${DEFINE_NAME}(exports, `).replace(
      /\n\/\/# sourceMappingURL.*\s*$/,
      "\n",
    ),
    lines: generatedLines(sourceMapText),
  };
}

function findingOf(source: ts.SourceFile, diagnostic: ts.Diagnostic): Finding {
  return {
    line: source.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line + 1,
    what: ts.flattenDiagnosticMessageText(diagnostic.messageText, " ").replace(/\.$/, ""),
  };
}

function transform(
  file: ts.SourceFile,
  context: ts.TransformationContext,
  refused: Finding[],
): ts.SourceFile {
  const f = context.factory;

  function guest(method: string, ...args: ts.Expression[]): ts.Expression {
    return f.createCallExpression(
      f.createPropertyAccessExpression(f.createIdentifier(GUEST_NAME), method),
      undefined,
      args,
    );
  }

  function line(node: ts.Node): ts.Expression {
    return f.createNumericLiteral(lineOf(file, node));
  }

  function refuse(node: ts.Node, what: string): void {
    refused.push({ line: lineOf(file, node), what });
  }

  function expression(node: ts.Expression): ts.Expression {
    return ts.visitNode(node, visit) as ts.Expression;
  }

  function statement(node: ts.Expression): ts.Statement {
    return f.createExpressionStatement(node);
  }

  /** `{ enter; try { ... } finally { leave } }` */
  function counted(body: ts.Block, node: ts.Node, name: string): ts.Block {
    const enter = statement(guest("enter", line(node), f.createStringLiteral(name)));
    const leave = f.createBlock([statement(guest("leave"))]);
    return ts.setTextRange(
      f.createBlock(
        [enter, f.createTryStatement(f.createBlock(body.statements, true), undefined, leave)],
        true,
      ),
      body,
    );
  }

  /** `{ step; ... }` */
  function loopBody(body: ts.Statement, node: ts.Node): ts.Statement {
    return f.createBlock([statement(guest("step", line(node))), body], true);
  }

  function special(node: ts.Node): ts.Node | undefined {
    const access = accessOf(node);
    if (access === undefined) return undefined;
    const { object, name, chain } = access;
    if (!SPECIAL.has(name)) return undefined;
    if (chain) refuse(node, `?. and ${name} in one expression: test for undefined first`);
    if (object.kind === ts.SyntaxKind.SuperKeyword) {
      refuse(node, `super.${name}`);
      return node;
    }
    const own = guest("own", expression(object), f.createStringLiteral(name));
    return f.createPropertyAccessExpression(own, name);
  }

  function call(node: ts.CallExpression): ts.Node | undefined {
    const access = accessOf(bare(node.expression));
    if (access === undefined || !SPECIAL.has(access.name)) return undefined;
    const { object, name } = access;
    if (access.chain || node.questionDotToken !== undefined) {
      refuse(node, `?. and ${name} in one expression: test for undefined first`);
    }
    if (object.kind === ts.SyntaxKind.SuperKeyword) {
      refuse(node, `super.${name}`);
      return node;
    }
    const args = node.arguments.map((arg) => expression(arg));
    return guest(
      "call",
      expression(object),
      f.createStringLiteral(name),
      f.createArrayLiteralExpression(args),
    );
  }

  /** Names in patterns are properties that are read: those that need the guest are written out instead. */
  function checkPattern(node: ts.Node): void {
    if (ts.isBindingElement(node) && ts.isObjectBindingPattern(node.parent)) {
      if (node.dotDotDotToken !== undefined) {
        return refuse(node, "... in a pattern of an object: name the properties");
      }
      checkName(node, node.propertyName ?? node.name);
    } else if (isAssignment(node) && ts.isObjectLiteralExpression(node.left)) {
      node.left.properties.forEach(checkAssigned);
    } else if (ts.isForOfStatement(node) || ts.isForInStatement(node)) {
      if (ts.isObjectLiteralExpression(node.initializer)) node.initializer.properties.forEach(checkAssigned);
    } else if (isAssignment(node) && ts.isArrayLiteralExpression(node.left)) nested(node.left);
  }

  function nested(node: ts.Node): void {
    if (ts.isObjectLiteralExpression(node)) node.properties.forEach(checkAssigned);
    else ts.forEachChild(node, nested);
  }

  function checkAssigned(it: ts.ObjectLiteralElementLike): void {
    if (ts.isSpreadAssignment(it)) return refuse(it, "... in a pattern of an object: name the properties");
    if (it.name !== undefined) checkName(it, it.name);
    if (ts.isPropertyAssignment(it)) nested(it.initializer);
  }

  function checkName(node: ts.Node, name: ts.PropertyName | ts.BindingName): void {
    const text = nameText(name);
    if (text !== undefined && SPECIAL.has(text)) refuse(node, `${text} in a pattern: write object.${text}`);
  }

  function visit(node: ts.Node): ts.Node {
    if (ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return node;
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) || ts.isImportDeclaration(node)) {
      return node;
    }
    checkPattern(node);
    if (ts.isCallExpression(node)) {
      const counted = call(node);
      if (counted !== undefined) return counted;
    }
    const own = special(node);
    if (own !== undefined) return own;
    if (ts.isElementAccessExpression(node)) return element(node);
    if (ts.isComputedPropertyName(node)) {
      return f.updateComputedPropertyName(node, guest("key", expression(node.expression)));
    }
    if (ts.isSpreadElement(node)) {
      return f.updateSpreadElement(node, guest("spread", expression(node.expression)));
    }
    if (ts.isSpreadAssignment(node)) {
      return f.updateSpreadAssignment(node, guest("fields", expression(node.expression)));
    }
    if (ts.isTemplateSpan(node)) {
      return f.updateTemplateSpan(node, guest("str", expression(node.expression)), node.literal);
    }
    if (ts.isBinaryExpression(node)) return binary(node);
    if (ts.isFunctionLike(node)) return callable(node);
    if (ts.isIterationStatement(node, false)) return loop(node);
    if (ts.isTryStatement(node)) return tryStatement(node);
    return ts.visitEachChild(node, visit, context);
  }

  function element(node: ts.ElementAccessExpression): ts.Node {
    if (ts.isNumericLiteral(node.argumentExpression)) return ts.visitEachChild(node, visit, context);
    const key = guest("key", expression(node.argumentExpression));
    return node.questionDotToken === undefined && !ts.isOptionalChain(node)
      ? f.updateElementAccessExpression(node, expression(node.expression), key)
      : f.updateElementAccessChain(
        node as ts.ElementAccessChain,
        expression(node.expression),
        node.questionDotToken,
        key,
      );
  }

  function binary(node: ts.BinaryExpression): ts.Node {
    const { kind } = node.operatorToken;
    const plus = kind === ts.SyntaxKind.PlusToken;
    if (!plus && kind !== ts.SyntaxKind.PlusEqualsToken) return ts.visitEachChild(node, visit, context);
    const [left, right] = [expression(node.left), expression(node.right)];
    if (isLiteral(node.right) || (plus && isLiteral(node.left))) {
      return f.updateBinaryExpression(node, left, node.operatorToken, right);
    }
    return f.updateBinaryExpression(
      node,
      plus ? guest("str", left) : left,
      node.operatorToken,
      guest("str", right),
    );
  }

  function callable(node: ts.SignatureDeclaration): ts.Node {
    const name = functionName(node);
    const visited = ts.visitEachChild(node, visit, context) as ts.SignatureDeclaration;
    if (ts.isArrowFunction(visited)) {
      const body = ts.isBlock(visited.body)
        ? visited.body
        : f.createBlock([f.createReturnStatement(visited.body)]);
      const { modifiers, typeParameters, parameters, type, equalsGreaterThanToken: arrow } = visited;
      return f.updateArrowFunction(
        visited,
        modifiers,
        typeParameters,
        parameters,
        type,
        arrow,
        counted(body, node, name),
      );
    }
    const { body } = visited as ts.FunctionLikeDeclaration;
    if (body === undefined || !ts.isBlock(body)) return visited;
    const block = counted(body, node, name);
    if (ts.isFunctionDeclaration(visited)) {
      const { modifiers, asteriskToken, name: id, typeParameters, parameters, type } = visited;
      return f.updateFunctionDeclaration(
        visited,
        modifiers,
        asteriskToken,
        id,
        typeParameters,
        parameters,
        type,
        block,
      );
    }
    if (ts.isFunctionExpression(visited)) {
      const { modifiers, asteriskToken, name: id, typeParameters, parameters, type } = visited;
      return f.updateFunctionExpression(
        visited,
        modifiers,
        asteriskToken,
        id,
        typeParameters,
        parameters,
        type,
        block,
      );
    }
    if (ts.isMethodDeclaration(visited)) {
      const { modifiers, asteriskToken, name: id, questionToken, typeParameters, parameters, type } = visited;
      return f.updateMethodDeclaration(
        visited,
        modifiers,
        asteriskToken,
        id,
        questionToken,
        typeParameters,
        parameters,
        type,
        block,
      );
    }
    if (ts.isGetAccessorDeclaration(visited)) {
      const { modifiers, name: id, parameters, type } = visited;
      return f.updateGetAccessorDeclaration(visited, modifiers, id, parameters, type, block);
    }
    if (ts.isSetAccessorDeclaration(visited)) {
      return f.updateSetAccessorDeclaration(
        visited,
        visited.modifiers,
        visited.name,
        visited.parameters,
        block,
      );
    }
    if (ts.isConstructorDeclaration(visited)) return constructorOf(visited, node);
    return visited;
  }

  /** Parameter properties and fields are set after super(), so a constructor keeps its form and only counts itself. */
  function constructorOf(visited: ts.ConstructorDeclaration, node: ts.Node): ts.Node {
    const step = statement(guest("step", line(node)));
    const { modifiers, parameters, body } = visited;
    const statements = [step, ...body?.statements ?? []];
    return f.updateConstructorDeclaration(visited, modifiers, parameters, f.createBlock(statements, true));
  }

  function loop(node: ts.IterationStatement): ts.Node {
    const visited = ts.visitEachChild(node, visit, context);
    const body = loopBody(visited.statement, node);
    if (ts.isForStatement(visited)) {
      return f.updateForStatement(visited, visited.initializer, visited.condition, visited.incrementor, body);
    }
    if (ts.isForOfStatement(visited)) {
      return f.updateForOfStatement(visited, undefined, visited.initializer, visited.expression, body);
    }
    if (ts.isForInStatement(visited)) {
      return f.updateForInStatement(visited, visited.initializer, visited.expression, body);
    }
    if (ts.isWhileStatement(visited)) return f.updateWhileStatement(visited, visited.expression, body);
    return f.updateDoStatement(visited as ts.DoStatement, body, (visited as ts.DoStatement).expression);
  }

  function tryStatement(node: ts.TryStatement): ts.Node {
    const { tryBlock, catchClause, finallyBlock } = ts.visitEachChild(node, visit, context);
    const named = catchClause?.variableDeclaration;
    const variable = named ?? f.createVariableDeclaration(ERROR_NAME);
    const error = variable.name as ts.Identifier;
    const rest = catchClause?.block.statements ?? [f.createThrowStatement(error)];
    const caught = f.createBlock([statement(guest("caught", error)), ...rest], true);
    const last = finallyBlock === undefined
      ? undefined
      : f.createBlock([statement(guest("step", line(node))), ...finallyBlock.statements], true);
    return f.updateTryStatement(node, tryBlock, f.createCatchClause(variable, caught), last);
  }

  return ts.visitEachChild(file, visit, context);
}

/** `object.name`, however it is written; undefined for anything else. */
function accessOf(node: ts.Node): { object: ts.Expression; name: string; chain: boolean } | undefined {
  const chain = ts.isOptionalChain(node);
  if (ts.isPropertyAccessExpression(node)) return { object: node.expression, name: node.name.text, chain };
  if (!ts.isElementAccessExpression(node)) return undefined;
  const key = bare(node.argumentExpression);
  return ts.isStringLiteralLike(key) ? { object: node.expression, name: key.text, chain } : undefined;
}

/** An expression without parentheses and what only the type checker sees. */
function bare(node: ts.Expression): ts.Expression {
  let inner = node;
  while (
    ts.isParenthesizedExpression(inner) || ts.isAsExpression(inner) || ts.isNonNullExpression(inner) ||
    ts.isSatisfiesExpression(inner) || ts.isTypeAssertionExpression(inner)
  ) inner = inner.expression;
  return inner;
}

function isAssignment(node: ts.Node): node is ts.BinaryExpression {
  return ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.EqualsToken;
}

function isLiteral(node: ts.Expression): boolean {
  return ts.isNumericLiteral(node) || ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node);
}

/** What a function is called in messages. */
function functionName(node: ts.SignatureDeclaration): string {
  if (ts.isConstructorDeclaration(node)) return "constructor";
  if (node.name !== undefined && ts.isIdentifier(node.name)) return node.name.text;
  const { parent } = node;
  if (parent !== undefined && (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent))) {
    return nameText(parent.name) ?? "";
  }
  return "";
}
