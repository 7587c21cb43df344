/**
 * The Node service: which RPC is served by what. Each one is parsed first (INVALID_ARGUMENT is
 * answered even while another call for the volume runs), then runs alone for its volume.
 */
import type * as wire from '../wire/csi-messages.ts';
import type { NodeContext } from './context.ts';
import { expand, parseExpand } from './expand.ts';
import { CallsInFlight } from './in-flight.ts';
import { parsePublish, publish } from './publish.ts';
import { parseStage, stage } from './stage.ts';
import { parseStats, stats } from './stats.ts';
import { parseUnpublish, unpublish } from './unpublish.ts';
import { parseUnstage, unstage } from './unstage.ts';

export interface NodeHandlers {
  NodeStageVolume(request: wire.StageRequest): Promise<object>;
  NodeUnstageVolume(request: wire.UnstageRequest): Promise<object>;
  NodePublishVolume(request: wire.PublishRequest): Promise<object>;
  NodeUnpublishVolume(request: wire.UnpublishRequest): Promise<object>;
  NodeGetVolumeStats(request: wire.StatsRequest): Promise<wire.StatsResponse>;
  NodeExpandVolume(request: wire.ExpandRequest): Promise<wire.ExpandResponse>;
  NodeGetCapabilities(): object;
  NodeGetInfo(): wire.NodeInfo;
}

const CAPABILITIES = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'EXPAND_VOLUME',
  // Asked for by kubelets up to 1.36 with the gate CSIVolumeHealth only: see condition.ts.
  'VOLUME_CONDITION',
  // The kubelet then tells ReadWriteOnce (two pods on one node are legal) from ReadWriteOncePod.
  'SINGLE_NODE_MULTI_WRITER',
];

export function nodeHandlers(node: NodeContext): NodeHandlers {
  const inFlight = new CallsInFlight();
  const alone = async <Call extends { readonly volumeId: string }, Response>(
    rpc: string,
    call: Call,
    action: (node: NodeContext, call: Call) => Promise<Response>,
  ): Promise<Response> => inFlight.run(call.volumeId, rpc, () => action(node, call));
  const noAnswer = (): object => ({});
  return {
    NodeStageVolume: async (request) =>
      alone('NodeStageVolume', parseStage(request), stage).then(noAnswer),
    NodeUnstageVolume: async (request) =>
      alone('NodeUnstageVolume', parseUnstage(request), unstage).then(noAnswer),
    NodePublishVolume: async (request) =>
      alone('NodePublishVolume', parsePublish(request), publish).then(noAnswer),
    NodeUnpublishVolume: async (request) =>
      alone('NodeUnpublishVolume', parseUnpublish(request), unpublish).then(noAnswer),
    NodeGetVolumeStats: async (request) => alone('NodeGetVolumeStats', parseStats(request), stats),
    NodeExpandVolume: async (request) => alone('NodeExpandVolume', parseExpand(request), expand),
    NodeGetCapabilities: () => ({ capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })) }),
    // No accessible_topology: rack and room would become node labels and collide with the
    // operator's.
    NodeGetInfo: () => ({ nodeId: node.nodeId, maxVolumesPerNode: node.maxVolumes }),
  };
}
