/**
 * The Identity service. Probe is about this process only. A dead target, or a pathd that is being
 * replaced, must not cause a restart of csi. So csi is ready as soon as it answers.
 */
import { DRIVER_NAME } from '../../kubernetes/contract.ts';

export interface IdentityHandlers {
  GetPluginInfo(): object;
  GetPluginCapabilities(): object;
  Probe(): object;
}

export function identityHandlers(version: string): IdentityHandlers {
  return {
    GetPluginInfo: () => ({ name: DRIVER_NAME, vendorVersion: version, manifest: {} }),
    GetPluginCapabilities: () => ({
      // No controller service: volumes are pre-provisioned. Growing works while they are in use.
      capabilities: [{ volumeExpansion: { type: 'ONLINE' } }],
    }),
    Probe: () => ({ ready: { value: true } }),
  };
}
