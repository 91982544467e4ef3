/** The weekdays after `from` and before `to`, both sessions: where the fan leaves room. */
export function weekdaysBetween(from: string, to: string): string[] {
  const days: string[] = [];
  const day = new Date(from);
  for (;;) {
    day.setUTCDate(day.getUTCDate() + 1);
    const session = day.toISOString().slice(0, 10);
    if (session >= to) return days;
    if (day.getUTCDay() % 6 !== 0) days.push(session);
  }
}

/**
 * The sessions up to each prediction's target, as far as the predictions tell.
 *
 * Holidays among the weekdays in between are not known here; as many days are kept as the horizon counts.
 */
export function sessionsAhead(asOf: string, targets: { session: string; horizon: number }[]): string[] {
  const found: string[] = [];
  let last = asOf;
  for (const { session, horizon } of [...targets].sort((one, other) => one.horizon - other.horizon)) {
    found.push(...weekdaysBetween(last, session).slice(0, Math.max(0, horizon - found.length - 1)), session);
    last = session;
  }
  return found;
}
