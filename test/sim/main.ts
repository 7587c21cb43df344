/**
 * `npm run sim`: thousands of volumes under the controller's rule in virtual time. Says what a fault
 * does to the fleet, and exits with 1 when a bound is broken.
 */
import { parseArgs } from 'node:util';
import { parsePolicy } from '../../src/paths/policy.ts';
import { volumeOf } from './fleet.ts';
import { endOf, Outcome } from './outcome.ts';
import { renderOutcome } from './report.ts';
import { SCENARIO_NAMES, scenarioOf } from './scenarios.ts';
import { runVolume } from './volume-run.ts';

const HELP = `usage: npm run sim -- [options]

Runs a fleet of volumes (20 racks in 4 rooms, three paths each) through faults, with the controller
of src/paths and the default policy, in virtual time.

  --volumes N       volumes, 20 to 100000; default 10000
  --scenario NAME   ${SCENARIO_NAMES.join(' | ')}; default: all
  --policy K=V      a policy parameter, may be repeated; default failback-jitter=120s
  --json            one JSON document instead of tables
  --help            this

Exit code: 0 every bound was kept, 1 one was not, 2 usage.`;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

class UsageError extends Error {}

function options() {
  const { values } = parseArgs({
    options: {
      volumes: { type: 'string', default: '10000' },
      scenario: { type: 'string' },
      policy: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const volumes = Number(values.volumes);
  if (!Number.isInteger(volumes) || volumes < 20 || volumes > 100_000) {
    throw new UsageError(`--volumes ${values.volumes}: a number from 20 to 100000`);
  }
  const known = SCENARIO_NAMES.find((name) => name === values.scenario);
  if (values.scenario !== undefined && known === undefined) {
    throw new UsageError(`--scenario ${values.scenario}: one of ${SCENARIO_NAMES.join(', ')}`);
  }
  const pairs = values.policy.map((text): [string, string] => {
    const at = text.indexOf('=');
    if (at < 1) throw new UsageError(`--policy ${text}: wants NAME=VALUE`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
  const policy = parsePolicy({ 'failback-jitter': '120s', ...Object.fromEntries(pairs) });
  if (!policy.ok) throw new UsageError(`--policy: ${JSON.stringify(policy.error)}`);
  const scenarios = known === undefined ? SCENARIO_NAMES : [known];
  return { volumes, scenarios, policy: policy.value, json: values.json, help: values.help };
}

function main(): number {
  const { volumes, scenarios, policy, json, help } = options();
  if (help) {
    print(HELP);
    return 0;
  }
  const rows: unknown[] = [];
  let kept = true;
  for (const name of scenarios) {
    const scenario = scenarioOf(name);
    const outcome = new Outcome(scenario);
    for (let index = 0; index < volumes; index++) {
      const volume = volumeOf(index);
      outcome.add(volume, runVolume(volume, scenario, policy, endOf(scenario)));
      if (process.stderr.isTTY && index % 500 === 0) {
        process.stderr.write(`\r${name}: ${String(index)} of ${String(volumes)} volumes `);
      }
    }
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
    kept &&= outcome.bounds().every((bound) => bound.kept);
    if (json) rows.push({ scenario: name, volumes, bounds: outcome.bounds() });
    else print(renderOutcome(outcome));
  }
  if (json) print(JSON.stringify({ rows }));
  return kept ? 0 : 1;
}

try {
  process.exitCode = main();
} catch (error) {
  const isUsage =
    error instanceof UsageError ||
    (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
  if (!isUsage) throw error;
  process.stderr.write(`sim: ${error.message}\n\n${HELP}\n`);
  process.exitCode = 2;
}
