/**
 * One policy (src/README.md): every part has `policy: () => Policy` and reads a value when it needs it. This
 * rule finds copies, which an edit of the operator would not reach:
 *
 *   kept     a property of type Policy, or a value of it assigned to a field
 *   handed   a value given to a constructor
 *   getter   an object whose getters read the policy: a copy of its names, and spread a copy of its values
 *   closed   a variable that holds a value and is used in a function that outlives the statement
 *   start    `options.policy.x`: what was wanted at the start, which need not be what is wanted now
 *
 * What one call is given may have it: parameters, and the interfaces that `given` names. One class is its
 * `holder`.
 */
const AT_ONCE = new Set([
  ...['map', 'flatMap', 'filter', 'find', 'findIndex', 'findLast', 'some', 'every'],
  ...['reduce', 'forEach', 'sort', 'toSorted'],
]);

const isFunction = ({ type }) =>
  ['ArrowFunctionExpression', 'FunctionExpression', 'FunctionDeclaration'].includes(type);

function isNamedPolicy(node) {
  if (node.type === 'Identifier') return node.name === 'policy';
  return node.type === 'MemberExpression' && !node.computed && node.property.name === 'policy';
}

/** Policy, Pick<Policy, …>, and unions or intersections with them; not `() => Policy`. */
function isPolicy(type) {
  if (type === undefined) return false;
  if (type.types !== undefined) return type.types.some(isPolicy);
  if (type.type !== 'TSTypeReference') return false;
  const { name } = type.typeName;
  if (name === 'Policy') return true;
  return (
    ['Pick', 'Omit', 'Partial', 'Readonly'].includes(name) &&
    isPolicy(type.typeArguments?.params[0])
  );
}

/** The name of the interface, alias or class that the property is declared in; undefined: a parameter. */
function ownerOf(node) {
  for (let at = node.parent; at !== null && at !== undefined; at = at.parent) {
    if (isFunction(at)) return undefined;
    const { type } = at;
    const isOwner =
      /^(TSInterfaceDeclaration|TSTypeAliasDeclaration|Class(Declaration|Expression))$/.test(type);
    if (isOwner) return at.id?.name ?? '';
  }
  return undefined;
}

/** What becomes of a value: the nearest thing around it that keeps it, and how. */
function fate(value) {
  let child = value;
  for (let at = value.parent; at !== null && at !== undefined; child = at, at = at.parent) {
    if (isFunction(at)) {
      const { parent } = at;
      const isGetter = parent.type === 'Property' && parent.kind === 'get';
      return isGetter ? { how: 'getter' } : {};
    }
    if (at.type === 'PropertyDefinition') return { how: 'kept' };
    if (at.type === 'NewExpression' && at.arguments.includes(child)) return { how: 'handed' };
    if (at.type === 'VariableDeclarator' && at.init === child) return { declarator: at };
    if (at.type === 'AssignmentExpression' && at.right === child) {
      const { left } = at;
      return left.type === 'MemberExpression' ? { how: 'kept' } : {};
    }
    // Only its answer goes on, as that of any other function.
    if (at.type === 'CallExpression' && at.arguments.includes(child)) return {};
  }
  return {};
}

/** The function is called before the statement that it stands in is over. */
function isCalledAtOnce(fn) {
  const { parent } = fn;
  if (parent.type !== 'CallExpression') return false;
  if (parent.callee === fn) return true;
  return parent.callee.type === 'MemberExpression' && AT_ONCE.has(parent.callee.property.name);
}

/** Whether the reference lies in a function that may be called later than the declaration. */
function isUsedLater(node, declaredIn) {
  for (let at = node; at !== null && at !== undefined && at !== declaredIn; at = at.parent) {
    if (isFunction(at) && !isCalledAtOnce(at)) return true;
  }
  return false;
}

export const onePolicy = {
  meta: {
    type: 'problem',
    schema: [
      {
        type: 'object',
        properties: {
          given: { type: 'array', items: { type: 'string' } },
          holder: { type: 'string' },
        },
        additionalProperties: false,
      },
    ],
    messages: {
      kept: 'a copy of the policy is kept: keep `policy: () => Policy` and read it when needed',
      handed: 'a value of the policy is handed to a part that lives on: hand it `policy`',
      getter: 'an object of getters is a second policy: hand `policy` on as it is',
      closed: 'a function keeps a value of the policy: read it inside',
      start: 'this is the policy of the start: ask `policy()`',
    },
  },
  create(context) {
    const { given = [], holder = '' } = context.options[0] ?? {};
    const { sourceCode } = context;

    const declared = (node) => {
      if (!isPolicy(node.typeAnnotation?.typeAnnotation)) return;
      const owner = ownerOf(node);
      if (owner === undefined || owner === holder || given.includes(owner)) return;
      context.report({ node, messageId: 'kept' });
    };

    const follow = (value) => {
      const { how, declarator } = fate(value);
      if (how !== undefined) context.report({ node: value, messageId: how });
      if (declarator === undefined) return;
      let declaredIn = declarator;
      while (declaredIn.parent !== null && !isFunction(declaredIn)) declaredIn = declaredIn.parent;
      for (const variable of sourceCode.getDeclaredVariables(declarator)) {
        for (const { identifier } of variable.references.filter((one) => one.isRead())) {
          if (isUsedLater(identifier, declaredIn)) {
            context.report({ node: identifier, messageId: 'closed' });
          } else if (variable.name !== 'policy') {
            const next = fate(identifier).how;
            if (next !== undefined) context.report({ node: identifier, messageId: next });
          }
        }
      }
    };

    return {
      TSPropertySignature: declared,
      PropertyDefinition: declared,
      CallExpression(node) {
        if (node.arguments.length === 0 && isNamedPolicy(node.callee)) follow(node);
      },
      MemberExpression(node) {
        const { object } = node;
        if (!isNamedPolicy(object)) return;
        if (object.type === 'Identifier') follow(node);
        else context.report({ node, messageId: 'start' });
      },
    };
  },
};
