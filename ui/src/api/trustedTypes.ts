/** The page's one Trusted Types policy, `podrun` in its Content-Security-Policy. Source: https://www.w3.org/TR/trusted-types/ */

type Policy = { createScriptURL(url: string): unknown };
type Factory = { createPolicy(name: string, rules: { createScriptURL(url: string): string }): Policy };

const factory = (globalThis as { trustedTypes?: Factory }).trustedTypes;
const policy = factory?.createPolicy('podrun', { createScriptURL: ofThisOrigin });

function ofThisOrigin(url: string): string {
  if (new URL(url, location.href).origin !== location.origin) throw new TypeError(`not a script of this page: ${url}`);
  return url;
}

/** A worker of the page's own scripts: `import url from './x.worker?worker&url'`. Whoever starts it ends it. */
export function startWorker(url: string): Worker {
  // The library's types know strings only; where the browser checks, it wants what the policy made.
  const trusted = (policy?.createScriptURL(url) ?? ofThisOrigin(url)) as string;
  return new Worker(trusted, { type: 'module' });
}
