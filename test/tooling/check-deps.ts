/** `npm run deps:check`: fails when src/ breaks the direction of dependencies (dependency-rules.ts). */
import { RULES, checkDependencies } from './dependency-rules.ts';

const root = new URL('../..', import.meta.url).pathname;
const { modules, summary } = await checkDependencies(root);
for (const { rule, from, to } of summary.violations) {
  const why = RULES.forbidden?.find((known) => known.name === rule.name)?.comment ?? '';
  console.error(`${from} → ${to}\n    ${rule.name}: ${why}`);
}
const seen = modules.filter((module) => module.source.startsWith('src/')).length;
console.log(`${String(seen)} modules, ${String(summary.violations.length)} violations`);
process.exitCode = summary.violations.length === 0 ? 0 : 1;
