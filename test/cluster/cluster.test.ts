/**
 * The product in a real Kubernetes, as its users meet it: installed by the README's commands, seen
 * through kubectl, used by pods; and nothing left behind when it is uninstalled.
 *
 * One cluster for all stories (stories/), a volume or two for each. Their order matters in four
 * places only: the idle volume lasts from one story to a later one and wants no maintenance of its
 * rack meanwhile, pathd goes late, uninstall last.
 * describe-*.txt are what `kubectl describe` printed, times and the like masked.
 */
import { afterAll, afterEach, beforeAll } from 'vitest';
import { say } from './process.ts';
import { Stage } from './stage.ts';
import { chapStories } from './stories/chap.ts';
import { debtStories } from './stories/debts.ts';
import { failoverStories, maintenanceStories } from './stories/failover.ts';
import { idleStories, mannerStories } from './stories/manners.ts';
import { ownerStories } from './stories/owner.ts';
import { quickstartStories } from './stories/quickstart.ts';
import { pathdStories, restartStories } from './stories/restarts.ts';
import { tenantStories } from './stories/tenants.ts';
import { memoryStories, uninstallStories } from './stories/uninstall.ts';
import { volumeStories } from './stories/volumes.ts';

const stage = new Stage();

beforeAll(() => stage.open());
afterAll(() => stage.close());
afterEach(async (context) => {
  if (context.task.result?.state === 'fail') say(await stage.world.report());
  await stage.clear();
});

quickstartStories(stage);
restartStories(stage);
maintenanceStories(stage);
mannerStories(stage);
failoverStories(stage);
volumeStories(stage);
tenantStories(stage);
chapStories(stage);
ownerStories(stage);
debtStories(stage);
idleStories(stage);
memoryStories(stage);
pathdStories(stage);
uninstallStories(stage);
