/**
 * A socket with faults: what is sent goes out in pieces, late, or only up to a byte; what comes in is
 * heard up to a byte. A cut is a FIN, an RST, or silence.
 */
import type { Socket } from 'node:net';
import type { Line } from './connection.ts';
import type { Faults } from './script.ts';

export class FaultyLine implements Line {
  readonly #socket: Socket;
  readonly #faults: Faults;
  readonly #onHeard: (bytes: Buffer) => void;
  #heard = 0;
  #sent = 0;
  #silent = false;
  /** Pieces go out one after the other. */
  #queue: Promise<void> = Promise.resolve();

  constructor(socket: Socket, faults: Faults, onHeard: (bytes: Buffer) => void) {
    this.#socket = socket;
    this.#faults = faults;
    this.#onHeard = onHeard;
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => this.#hear(bytes));
    if (faults.cut?.after === 0) setImmediate(() => this.#cut());
  }

  write(bytes: Buffer): void {
    if (this.#silent) return;
    const { cut, chunk, delayMs } = this.#faults;
    const left = cut?.direction === 'out' ? cut.after - this.#sent : bytes.length;
    const allowed = bytes.subarray(0, Math.max(0, left));
    this.#sent += allowed.length;
    if (chunk === undefined && delayMs === undefined) {
      if (allowed.length > 0) this.#socket.write(allowed);
    } else {
      this.#queue = this.#queue.then(() => this.#trickle(allowed));
    }
    if (cut?.direction === 'out' && this.#sent >= cut.after) this.#cut();
  }

  close(how: 'fin' | 'rst'): void {
    this.#silent = true;
    if (how === 'rst') this.#socket.resetAndDestroy();
    else void this.#queue.then(() => this.#socket.end());
  }

  async #trickle(bytes: Buffer): Promise<void> {
    const { chunk, delayMs } = this.#faults;
    for (let at = 0; at < bytes.length;) {
      const size = typeof chunk === 'function' ? chunk() : (chunk ?? bytes.length);
      const piece = bytes.subarray(at, at + Math.max(1, size));
      if (delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, delayMs));
      // One piece in a turn, or the kernel would put them together again.
      else await new Promise((resolve) => setImmediate(resolve));
      if (this.#socket.destroyed) return;
      this.#socket.write(piece);
      at += piece.length;
    }
  }

  #hear(bytes: Buffer): void {
    if (this.#silent) return;
    const { cut } = this.#faults;
    const left = cut?.direction === 'in' ? cut.after - this.#heard : bytes.length;
    const allowed = bytes.subarray(0, Math.max(0, left));
    this.#heard += allowed.length;
    if (allowed.length > 0) this.#onHeard(allowed);
    if (cut?.direction === 'in' && this.#heard >= cut.after) this.#cut();
  }

  #cut(): void {
    if (this.#silent) return;
    this.#silent = true;
    const how = this.#faults.cut?.how;
    if (how === 'rst') this.#socket.resetAndDestroy();
    else if (how === 'fin') void this.#queue.then(() => this.#socket.end());
  }
}
