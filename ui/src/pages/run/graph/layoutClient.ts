/** The page's side of the layout's worker: at most one request in flight, and of those that wait only the newest. */
import { findPart, PartMissing } from '@/api/parts';
import { startWorker } from '@/api/trustedTypes';
import type { LayoutAnswer, LayoutRequest } from './layout.worker';
import workerUrl from './layout.worker?worker&url';
import type { Topology } from './topology';

export type Question = {
  readonly topology: Topology;
  readonly unfolded: LayoutRequest['unfolded'];
  readonly direction: LayoutRequest['direction'];
};
export type Answer = LayoutAnswer & { readonly question: Question };

const LONGEST_MS = 20_000;

export class LayoutClient {
  readonly #onAnswer: (answer: Answer) => void;
  readonly #onError: (error: Error) => void;
  #worker: Worker | null = null;
  #known: Topology | null = null;
  #number = 0;
  #asked: Question | null = null;
  #waiting: Question | null = null;
  #timer: number | undefined;
  /** Looks for the worker’s file; aborted when the client is closed. */
  #looking: AbortController | null = null;
  #wasFound = false;

  constructor(onAnswer: (answer: Answer) => void, onError: (error: Error) => void) {
    this.#onAnswer = onAnswer;
    this.#onError = onError;
  }

  ask(question: Question): void {
    if (this.#asked === null && this.#looking === null) this.#send(question);
    else this.#waiting = question;
  }

  close(): void {
    this.#looking?.abort();
    this.#looking = null;
    window.clearTimeout(this.#timer);
    this.#worker?.terminate();
    this.#worker = null;
    this.#known = null;
    this.#asked = null;
    this.#waiting = null;
  }

  #send(question: Question): void {
    this.#worker ??= this.#start();
    this.#asked = question;
    this.#number += 1;
    const topology = question.topology === this.#known ? null : question.topology;
    this.#known = question.topology;
    this.#timer = window.setTimeout(() => this.#fail(new Error('The graph takes too long to lay out.')), LONGEST_MS);
    const request: LayoutRequest = { number: this.#number, ...question, topology };
    this.#worker.postMessage(request);
  }

  #start(): Worker {
    const worker = startWorker(workerUrl);
    worker.addEventListener('message', ({ data }: MessageEvent<LayoutAnswer>) => this.#answered(data));
    worker.addEventListener('error', (event) =>
      // Without a message it is the file that could not be loaded.
      event.message ? this.#fail(new Error(event.message)) : void this.#look(),
    );
    return worker;
  }

  #answered(answer: LayoutAnswer): void {
    const question = this.#asked;
    if (answer.number !== this.#number || question === null) return;
    window.clearTimeout(this.#timer);
    this.#asked = null;
    this.#wasFound = false;
    const next = this.#waiting;
    this.#waiting = null;
    if (next !== null) this.#send(next);
    else this.#onAnswer({ ...answer, question });
  }

  /** The service may be away, or have another worker since it was upgraded. Once it has the file, what was asked is asked again. */
  async #look(): Promise<void> {
    const question = this.#waiting ?? this.#asked;
    this.close();
    if (this.#wasFound || question === null) return this.#fail(new Error('The graph’s worker can’t be started.'));
    const looking = new AbortController();
    this.#looking = looking;
    this.#waiting = question;
    try {
      await findPart(workerUrl);
    } catch (error) {
      if (!looking.signal.aborted) this.#fail(error instanceof Error ? error : new PartMissing(String(error)));
      return;
    }
    if (looking.signal.aborted) return;
    this.#looking = null;
    this.#wasFound = true;
    const newest = this.#waiting;
    this.#waiting = null;
    this.#send(newest);
  }

  #fail(error: Error): void {
    this.close();
    this.#wasFound = false;
    this.#onError(error);
  }
}
