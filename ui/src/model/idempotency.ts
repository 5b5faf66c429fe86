/** Keys that make a repeated POST harmless: the service answers the run that the key has made already. */

const BYTES = 16;

/** 32 hexadecimal digits. `crypto.randomUUID` is missing on hosts that are reached by plain HTTP; this is not. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(BYTES)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The keys of one form: one for each body, so that sending the same once more makes no second run. */
export class SubmitKeys {
  private readonly keys = new Map<string, string>();

  /** The key under which this body was sent before, else a new one. */
  of(body: unknown): string {
    const text = JSON.stringify(body);
    const known = this.keys.get(text);
    if (known !== undefined) return known;
    const key = newKey();
    this.keys.set(text, key);
    return key;
  }

  /** The body's key can't be used any more: what it had made was deleted. */
  forget(body: unknown): void {
    this.keys.delete(JSON.stringify(body));
  }
}
