/** Where dots of one size lie on a line, and how many lie below each: those that would cover one another are stacked. */
export function stacked(places: number[], size: number): { at: number; level: number }[] {
  const heights = new Map<number, number>();
  return places.map((place) => {
    const column = Math.round(place / size);
    const level = heights.get(column) ?? 0;
    heights.set(column, level + 1);
    return { at: column * size, level };
  });
}
