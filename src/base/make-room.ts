/** Takes one out of a queue that is too long: the oldest that may give way, or the oldest of all. */
export function makeRoom<T>(queue: T[], givesWay: (item: T) => boolean): void {
  queue.splice(Math.max(0, queue.findIndex(givesWay)), 1);
}
