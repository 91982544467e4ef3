/** Fewer sessions give no interval worth drawing. */
const FEWEST = 5;

/**
 * The mean difference of the losses up to each session, with its 95% interval.
 *
 * Outcomes over `horizon` sessions overlap, so neighbouring sessions count as far as they are alike (Newey & West 1987).
 */
export function running(
  points: { session: string; difference: string }[],
  horizon: number,
): { session: string; mean: number; low: number; high: number }[] {
  const values = points.map(({ difference }) => Number(difference));
  return points.flatMap(({ session }, place) => {
    const known = values.slice(0, place + 1);
    if (known.length < FEWEST) return [];
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    const error = 1.96 * Math.sqrt(variance(known, mean, horizon - 1) / known.length);
    return [{ session, mean, low: mean - error, high: mean + error }];
  });
}

function variance(values: number[], mean: number, lag: number): number {
  const along = (by: number) =>
    values.slice(by).reduce((sum, value, place) => sum + (value - mean) * ((values[place] ?? mean) - mean), 0) /
    values.length;
  let sum = along(0);
  for (let by = 1; by <= lag; by++) sum += 2 * (1 - by / (lag + 1)) * along(by);
  return Math.max(0, sum);
}
