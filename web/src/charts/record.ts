import type { RecordPoint } from '../api/schemas';

/** Sessions a rolling share looks back on: about a quarter. */
export const WINDOW = 63;

/** A share over fewer sessions than this says nothing. */
const FEWEST = 15;

/** The squared error of drift minus the model's, added up: above zero the model is ahead. */
export function advantage(points: RecordPoint[]): { session: string; value: number }[] {
  let sum = 0;
  return points.map((point) => {
    sum += Number(point.squared_error_drift) - Number(point.squared_error);
    return { session: point.session, value: sum };
  });
}

/** The share inside an interval over the last sessions up to each. */
export function coverage(
  points: RecordPoint[],
  inside: 'inside_80' | 'inside_95',
): { session: string; value: number }[] {
  return points.flatMap((point, place) => {
    const window = points.slice(Math.max(0, place - WINDOW + 1), place + 1);
    const scored = window.reduce((sum, { scored: one }) => sum + one, 0);
    const held = window.reduce((sum, one) => sum + one[inside], 0);
    return scored > 0 && window.length >= FEWEST ? [{ session: point.session, value: held / scored }] : [];
  });
}
