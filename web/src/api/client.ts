import createClient from 'openapi-fetch';

import type { components, paths } from './schema';
import { Problem } from './problem';

/** The service's public REST API, typed from `openapi/openapi.json`; the pages know nothing else of it. */
export const client = createClient<paths>({ baseUrl: '' });

const COMMANDS = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

client.use({
  onRequest({ request }) {
    if (COMMANDS.has(request.method)) request.headers.set('Idempotency-Key', randomKey());
    return request;
  },
});

/** `crypto.randomUUID` exists on https and localhost only; this works on a plain address too. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

type ProblemBody = components['schemas']['Problem'];

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

let signedOut: () => void = () => {};

/** Names what happens when the service says that the sign-in has ended. */
export function whenSignedOut(then: () => void) {
  signedOut = then;
}

/**
 * The body of a successful answer.
 *
 * Throws a `Problem` for every other one, also for `not-yet`, which comes as 202.
 */
export async function answer<T>(call: Promise<Answer<T>>): Promise<Exclude<T, ProblemBody>> {
  const { data, error, response } = await call;
  const refused = response.headers.get('content-type')?.startsWith('application/problem+json');
  if (!response.ok || refused) {
    const problem = Problem.of(response, error ?? data);
    if (problem.status === 401 && problem.slug !== 'wrong-credentials') signedOut();
    throw problem;
  }
  return data as Exclude<T, ProblemBody>;
}

/** Repeats a read for as long as the service says that it does not know yet what was just written. */
export async function settled<T>(read: () => Promise<T>, tries = 3): Promise<T> {
  try {
    return await read();
  } catch (thrown) {
    if (tries > 1 && thrown instanceof Problem && thrown.slug === 'not-yet') return settled(read, tries - 1);
    throw thrown;
  }
}
