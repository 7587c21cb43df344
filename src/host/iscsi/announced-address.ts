/**
 * Addresses that a target announces (in a redirect, in a list of targets), and those of them that are not
 * followed (D70). A target has not proved its identity when it sends a login elsewhere. So it must not
 * choose an address that only this node can reach: services on its loopback, a cloud's metadata on a
 * link-local address. Nor is such an announcement ever right: a target names an address of its own. Where
 * the configured portal is of the same kind itself (a gateway on this node, a direct cable with
 * link-local addresses) it is.
 *
 * What is judged are addresses, after names and strange spellings ("127.1") were resolved.
 */
import { BlockList, isIPv6 } from 'node:net';
import { err, ok, type Result } from '../../base/result.ts';
import { resolveHost } from './resolve-host.ts';

type AddressKind = 'loopback' | 'link-local' | 'unspecified' | 'multicast' | 'broadcast';

/** The first that fits; "::1" would be an IPv4-compatible address too. */
const RANGES: readonly (readonly [AddressKind, string, number, 'ipv4' | 'ipv6'])[] = [
  ['loopback', '::1', 128, 'ipv6'],
  ['unspecified', '0.0.0.0', 8, 'ipv4'],
  ['unspecified', '::', 128, 'ipv6'],
  ['loopback', '127.0.0.0', 8, 'ipv4'],
  ['link-local', '169.254.0.0', 16, 'ipv4'],
  ['link-local', 'fe80::', 10, 'ipv6'],
  ['multicast', '224.0.0.0', 4, 'ipv4'],
  ['multicast', 'ff00::', 8, 'ipv6'],
  ['broadcast', '255.255.255.255', 32, 'ipv4'],
];

/** Prefixes of IPv6 behind which an IPv4 address stands: IPv4-compatible (RFC 4291), NAT64 (RFC 6052). */
const EMBEDDING = ['::', '64:ff9b::'];

const KINDS: readonly (readonly [AddressKind, BlockList])[] = RANGES.map(
  ([kind, net, prefix, family]) => {
    const list = new BlockList();
    list.addSubnet(net, prefix, family);
    if (family === 'ipv4') {
      for (const head of EMBEDDING) list.addSubnet(`${head}${net}`, 96 + prefix, 'ipv6');
    }
    return [kind, list];
  },
);

/** Undefined: an ordinary address. */
export function kindOf(address: string): AddressKind | undefined {
  const bare = address.replace(/%.*$/, '');
  const family = isIPv6(bare) ? 'ipv6' : 'ipv4';
  return KINDS.find(([, list]) => list.check(bare, family))?.[0];
}

/** Why an announced address is not followed, in words; undefined: it is. */
export function refusalOf(announced: string, origin: string): string | undefined {
  const kind = kindOf(announced);
  if (kind === undefined || kind === kindOf(origin)) return undefined;
  return (
    `${announced} is ${kind === 'unspecified' ? 'an' : 'a'} ${kind} address, and the configured portal (${origin}) is none: not followed. ` +
    'Correct the portal address that the target announces, or configure the path there'
  );
}

/**
 * The same for a host that was announced by name or address by another one: the error says why it is not
 * followed. A name that does not resolve is no reason.
 */
export async function checkAnnouncedHost(
  announced: string,
  asked: string,
): Promise<Result<void, string>> {
  const [there, here] = await Promise.all([resolveHost(announced), resolveHost(asked)]);
  if (!there.ok || !here.ok) return ok(undefined);
  const refusals = there.value.map((address) => {
    const reasons = here.value.map((origin) => refusalOf(address, origin));
    return reasons.includes(undefined) ? undefined : reasons[0];
  });
  const refusal = refusals.find((reason) => reason !== undefined);
  return refusal === undefined ? ok(undefined) : err(refusal);
}
