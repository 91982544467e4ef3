/** One thing that was checked, in plain words. */
export interface Step {
  /** What was asked. */
  asks: string;
  /** Whether it holds; `unknown` where this browser cannot tell. */
  result: 'holds' | 'fails' | 'unknown';
  /** What was found. */
  found: string;
}

/** What the steps come to together. */
export function verdict(steps: Step[]): Step['result'] {
  if (steps.some(({ result }) => result === 'fails')) return 'fails';
  return steps.some(({ result }) => result === 'unknown') ? 'unknown' : 'holds';
}

/** The step that a signature was checked in. */
export function signatureStep(asks: string, signed: boolean | undefined): Step {
  if (signed === undefined) return { asks, result: 'unknown', found: NO_ED25519 };
  return signed
    ? { asks, result: 'holds', found: 'Yes: the signature is the one of this key.' }
    : { asks, result: 'fails', found: 'No: this key has not signed this checkpoint.' };
}

const NO_ED25519 =
  'This browser cannot check Ed25519 signatures here. A current one can, on https or localhost; ' +
  'so can `almanac verify`.';
