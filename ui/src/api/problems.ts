/** What the API answers when it refuses: RFC 9457, https://www.rfc-editor.org/rfc/rfc9457 */
import type { Problem, ProblemError } from './schema';

/** The API refused a request. `message` is its sentence for a person. */
export class ApiProblem extends Error {
  readonly status: number;
  readonly title: string;
  /** All that is wrong: with a document at JSON pointers into the body as sent, or with a query parameter. */
  readonly errors: readonly ProblemError[];

  constructor(status: number, problem: Partial<Problem> | null) {
    super(problem?.detail ?? problem?.title ?? `The service answered ${status}.`);
    this.name = 'ApiProblem';
    this.status = status;
    this.title = problem?.title ?? 'Refused';
    this.errors = problem?.errors ?? [];
  }
}

/** The service can't be reached, or something before it answered in its place. */
export class Unreachable extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'Unreachable';
  }
}

/** The service is there, and something that it needs for this alone can't be reached just now, such as the log store. */
export class PartUnavailable extends Unreachable {
  override readonly name = 'PartUnavailable';
}

/** The problem in an answer's body, null where it is none. */
export async function readProblem(response: Response): Promise<Partial<Problem> | null> {
  try {
    const body: unknown = await response.json();
    return typeof body === 'object' && body !== null ? (body as Partial<Problem>) : null;
  } catch {
    return null;
  }
}

/** A sentence for a person, of whatever was thrown. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
