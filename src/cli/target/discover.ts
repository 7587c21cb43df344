/**
 * `priority-path discover PORTAL`: which targets a portal has and where (SendTargets), and with --luns
 * what is in them. What iscsi-ls does, on the initiator that the volumes use.
 */
import { ok, type Result } from '../../base/result.ts';
import { checkAnnouncedHost } from '../../host/iscsi/announced-address.ts';
import type { DiscoveredTarget } from '../../host/iscsi/initiator-discovery.ts';
import { parsePortal } from '../../kubernetes/path-url.ts';
import type { Portal, SessionTarget } from '../../ports/session.ts';
import { type Command, EXIT } from '../commands.ts';
import { type FoundLuns, type FoundTarget, renderDiscovery } from './render-discovery.ts';
import type { TargetOptions } from './options.ts';
import {
  contextOf,
  discover,
  explainPortal,
  type Failure,
  listLuns,
  LOGOUT_MS,
  openSession,
} from './ask-target.ts';
import { type Report, targetCommand } from './target-command.ts';
import { summariseUnit, type UnitSummary } from './unit.ts';

export function discoverCommand(): Command {
  return targetCommand<Portal>({
    words: {
      name: 'discover',
      subject: 'PORTAL',
      help:
        'Lists the targets of a portal (host[:port], IPv6 in brackets; port 3260) with their portals.\n' +
        'Nothing is written to any of them.',
      switches: { luns: 'log in to each target and list its LUNs with type and size' },
    },
    summary: 'list the targets of a portal, and their LUNs',
    parse: (text) => parsePortal(text.replace(/^iscsi:\/\//, '').replace(/\/$/, '')),
    run,
  });
}

async function run(
  portal: Portal,
  options: TargetOptions,
  signal: AbortSignal,
): Promise<Result<Report, Failure>> {
  const found = await discover(portal, options, signal);
  if (!found.ok) return { ok: false, error: explainPortal(found.error, portal) };
  const targets: FoundTarget[] = [];
  let exit: number = EXIT.ok;
  for (const { targetName, portals } of found.value) {
    if (!options.switches.has('luns')) {
      targets.push({ targetName, portals });
      continue;
    }
    const luns = await lunsOf({ targetName, portals }, portal, options, signal);
    if (luns.exit !== EXIT.ok) exit = luns.exit;
    targets.push({ targetName, portals, luns: luns.found });
  }
  return ok({ text: renderDiscovery(portal, targets), data: { portal, targets }, exit });
}

async function lunsOf(
  { targetName, portals }: DiscoveredTarget,
  asked: Portal,
  options: TargetOptions,
  signal: AbortSignal,
): Promise<{ readonly found: FoundLuns; readonly exit: number }> {
  // By the way we came, if the target is there: others may be of networks that this machine is not in.
  const same = portals.find(({ host, port }) => host === asked.host && port === asked.port);
  const announced = same ?? portals[0] ?? asked;
  const { host, port } = announced;
  if (announced !== same) {
    const checked = await checkAnnouncedHost(host, asked.host);
    if (!checked.ok) return { found: { units: [], problem: checked.error }, exit: EXIT.failed };
  }
  const at = (lun: number): SessionTarget => ({ host, port, targetName, lun });
  const first = await unitsAt(at(0), options, signal, async (context) => listLuns(context));
  if (!first.ok) return { found: { units: [], problem: first.error.text }, exit: first.error.exit };
  const units: UnitSummary[] = [];
  for (const lun of first.value) {
    const unit = await unitsAt(at(lun), options, signal, async (context) =>
      summariseUnit(context, lun),
    );
    if (!unit.ok) return { found: { units, problem: unit.error.text }, exit: unit.error.exit };
    units.push(unit.value);
  }
  return { found: { units, problem: '' }, exit: EXIT.ok };
}

/** One session for one question: a session is bound to one LUN. */
async function unitsAt<T>(
  target: SessionTarget,
  options: TargetOptions,
  signal: AbortSignal,
  work: (context: ReturnType<typeof contextOf>) => Promise<Result<T, string>>,
): Promise<Result<T, Failure>> {
  const opened = await openSession(target, options, signal);
  if (!opened.ok) return opened;
  const { session } = opened.value;
  const done = await work(contextOf(session, options.timeoutMs));
  await session.logout(LOGOUT_MS);
  return done.ok ? done : { ok: false, error: { exit: EXIT.failed, text: done.error } };
}
