/** The page's side of the layout's worker: at most one request in flight, and of those that wait only the newest. */
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
  readonly #onError: (message: string) => void;
  #worker: Worker | null = null;
  #known: Topology | null = null;
  #number = 0;
  #asked: Question | null = null;
  #waiting: Question | null = null;
  #timer: number | undefined;

  constructor(onAnswer: (answer: Answer) => void, onError: (message: string) => void) {
    this.#onAnswer = onAnswer;
    this.#onError = onError;
  }

  ask(question: Question): void {
    if (this.#asked === null) this.#send(question);
    else this.#waiting = question;
  }

  close(): void {
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
    this.#timer = window.setTimeout(() => this.#fail('The graph takes too long to lay out.'), LONGEST_MS);
    const request: LayoutRequest = { number: this.#number, ...question, topology };
    this.#worker.postMessage(request);
  }

  #start(): Worker {
    const worker = startWorker(workerUrl);
    worker.addEventListener('message', ({ data }: MessageEvent<LayoutAnswer>) => this.#answered(data));
    worker.addEventListener('error', (event) =>
      this.#fail(
        event.message || 'The graph’s worker can’t be loaded: maybe the service was upgraded, then load the page again.',
      ),
    );
    return worker;
  }

  #answered(answer: LayoutAnswer): void {
    const question = this.#asked;
    if (answer.number !== this.#number || question === null) return;
    window.clearTimeout(this.#timer);
    this.#asked = null;
    const next = this.#waiting;
    this.#waiting = null;
    if (next !== null) this.#send(next);
    else this.#onAnswer({ ...answer, question });
  }

  #fail(message: string): void {
    this.close();
    this.#onError(message);
  }
}
